/* From a trained flow to a model that can judge: scores of the held-out images, scale of the heat map. */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "train/trainer.h"

static dn_status bare_model(dn_trainer *t, dn_model **out, dn_error *error)
{
    model_facts facts = {.views = t->options.views, .angles = t->options.angles,
                         .standardized = t->options.standardize, .train_images = t->images.train_count,
                         .epochs = t->state->epoch, .bank = t->options.bank, .seed = t->options.seed,
                         .final_loss = t->state->loss};
    dn_flow *flow;

    snprintf(facts.library, sizeof facts.library, "%d.%d.%d", DN_VERSION_MAJOR, DN_VERSION_MINOR, DN_VERSION_PATCH);
    TRY(train_state_good_flow(t->state, &flow, error));
    dn_status status = model_create_with_flow(t->extractor, flow, t->bank->mean, t->bank->deviation, &facts,
                                              &t->allocator, out, error);
    flow_unref(flow);
    return status;
}

/* Passes a failure on, with the image's name before it. */
static dn_status fail_image(const dn_trainer *t, int32_t image, const dn_error *cause, dn_error *error)
{
    char label[TRAIN_LABEL];

    return fail(error, cause->status, "%s: %s", train_images_label(&t->images, image, label), cause->message);
}

/* ---- scores of the held-out images ---- */

static dn_status score_image(dn_trainer *t, dn_scorer *scorer, int32_t image, uint16_t *buffer, double *score,
                             dn_error *error)
{
    const uint16_t *canvas;
    dn_score result = {.struct_size = sizeof result};
    dn_error cause = {0};

    TRY(train_images_canvas(&t->images, image, buffer, &canvas, error));
    if (scorer_score_canvas(scorer, canvas, &result, &cause) != DN_OK)
        return fail_image(t, image, &cause, error);
    *score = result.score;
    return DN_OK;
}

static dn_status score_all(dn_trainer *t, dn_scorer *scorer, uint16_t *buffer, double *scores,
                           const train_watch *watch, dn_error *error)
{
    for (int32_t i = 0; i < t->images.holdout_count; i++) {
        TRY(train_report(watch, DN_PHASE_HOLDOUT, i, t->images.holdout_count, t->state->loss, error));
        TRY(score_image(t, scorer, t->images.split[t->images.train_count + i], buffer, &scores[i], error));
    }
    return train_report(watch, DN_PHASE_HOLDOUT, t->images.holdout_count, t->images.holdout_count, t->state->loss,
                        error);
}

static dn_status score_holdout(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    dn_scorer_options options = scorer_default_options();
    dn_scorer *scorer = NULL;

    options.threads = t->options.threads;
    options.allocator = &t->allocator;
    options.runner = t->options.runner;
    if (t->images.holdout_count == 0)
        return DN_OK;
    double *scores = mem_alloc(&t->allocator, (size_t)t->images.holdout_count, sizeof *scores);
    uint16_t *buffer = train_images_buffer(&t->images);
    dn_status status = scores && buffer ? scorer_create(model, &options, &scorer, error)
                                        : fail_memory(error, "the held-out scores");
    if (status == DN_OK)
        status = score_all(t, scorer, buffer, scores, watch, error);
    if (status == DN_OK)
        status = model_set_holdout(model, scores, t->images.holdout_count, error);
    scorer_free(scorer);
    mem_free(&t->allocator, buffer);
    mem_free(&t->allocator, scores);
    return status;
}

/* ---- scale of the heat map ----
 * A heat map divided by the scale shall stay below 1 on nearly every pixel of a good image, so that one colour scale
 * serves all images and good parts are not red.  Per image: the value that 99.9 % of the raw map's pixels stay below,
 * so that single pixels do not count.  Over the images: the 95 % quantile of that, so that neither does a single
 * image.  Held-out images come first, because the flow knows the others too well. */
#define PIXEL_SHARE 0.999
#define IMAGE_SHARE 0.95

/* The k-th smallest of n finite values, which are reordered (Hoare's selection). */
static float select_smallest(float *values, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                float kept = values[i];
                values[i++] = values[j];
                values[j--] = kept;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return values[k];
}

/* Quantile of n sorted values, linear between neighbours. */
static double sorted_quantile(const double *values, int32_t n, double share)
{
    double position = share * (n - 1);
    int32_t below = (int32_t)position;

    if (below + 1 >= n)
        return values[n - 1];
    return values[below] + (position - below) * (values[below + 1] - values[below]);
}

static void insert_sorted(double *values, int32_t count, double value)
{
    int32_t i = count;

    for (; i > 0 && values[i - 1] > value; i--)
        values[i] = values[i - 1];
    values[i] = value;
}

/* The raw map's value that PIXEL_SHARE of its pixels stay below.  copy: as large as a map. */
static dn_status image_peak(dn_trainer *t, dn_localizer *localizer, int32_t image, uint16_t *buffer, float *copy,
                            double *peak, dn_error *error)
{
    const uint16_t *canvas;
    const float *map;
    dn_error cause = {0};
    int64_t pixels = (int64_t)t->extractor->input_size * t->extractor->input_size;

    TRY(train_images_canvas(&t->images, image, buffer, &canvas, error));
    if (localizer_raw_map_canvas(localizer, canvas, &map, &cause) != DN_OK)
        return fail_image(t, image, &cause, error);
    memcpy(copy, map, (size_t)pixels * sizeof *copy);
    *peak = select_smallest(copy, pixels, (int64_t)(PIXEL_SHARE * (double)(pixels - 1)));
    return DN_OK;
}

/* The images that set the scale: held-out ones (at the end of `split`), then training ones. */
static int32_t heatmap_image(const dn_trainer *t, int32_t i)
{
    return t->images.split[i < t->images.holdout_count ? t->images.train_count + i : i - t->images.holdout_count];
}

static dn_status measure_scale(dn_trainer *t, dn_localizer *localizer, uint16_t *buffer, float *copy, double *peaks,
                               int32_t images, const train_watch *watch, double *scale, dn_error *error)
{
    for (int32_t i = 0; i < images; i++) {
        double peak = 0;
        TRY(train_report(watch, DN_PHASE_HEATMAP, i, images, t->state->loss, error));
        TRY(image_peak(t, localizer, heatmap_image(t, i), buffer, copy, &peak, error));
        insert_sorted(peaks, i, peak);
    }
    *scale = sorted_quantile(peaks, images, IMAGE_SHARE);
    return train_report(watch, DN_PHASE_HEATMAP, images, images, t->state->loss, error);
}

static dn_status scale_heatmap(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    dn_localizer_options options = localizer_default_options(); /* those that maps will mostly be made with */
    int32_t images = t->options.heatmap_images < t->images.count ? t->options.heatmap_images : t->images.count;
    size_t size = (size_t)t->extractor->input_size;
    dn_localizer *localizer = NULL;
    double scale = 0;

    options.threads = t->options.threads;
    options.allocator = &t->allocator;
    options.runner = t->options.runner;
    if (images == 0)
        return DN_OK;
    double *peaks = mem_alloc(&t->allocator, (size_t)images, sizeof *peaks);
    float *copy = mem_alloc(&t->allocator, size * size, sizeof *copy);
    uint16_t *buffer = train_images_buffer(&t->images);
    dn_status status = peaks && copy && buffer ? localizer_create(model, &options, &localizer, error)
                                               : fail_memory(error, "the heat map's scale");
    if (status == DN_OK)
        status = measure_scale(t, localizer, buffer, copy, peaks, images, watch, &scale, error);
    /* Good images without any gradient say nothing about the scale: it stays unknown. */
    if (status == DN_OK && scale >= FLT_MIN)
        model_set_heatmap_scale(model, scale);
    localizer_free(localizer);
    mem_free(&t->allocator, buffer);
    mem_free(&t->allocator, copy);
    mem_free(&t->allocator, peaks);
    return status;
}

dn_status train_make_model(dn_trainer *t, const train_watch *watch, dn_model **out, dn_error *error)
{
    dn_model *model;

    TRY(bare_model(t, &model, error));
    dn_status status = score_holdout(t, model, watch, error);
    if (status == DN_OK)
        status = scale_heatmap(t, model, watch, error);
    if (status == DN_OK)
        status = model_seal(model, error);
    if (status != DN_OK) {
        model_unref(model);
        return status;
    }
    *out = model;
    return DN_OK;
}
