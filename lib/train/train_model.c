/* From a trained flow to a model that can judge: scores of the held-out images, scale of the heat map. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "train/trainer.h"

static const char *const preset_names[] = {
    [DN_PRESET_COMPACT] = "compact", [DN_PRESET_PAPER] = "paper", [DN_PRESET_FAST] = "fast"};

/* A model with the flow alone, or without any density yet. */
static dn_status bare_model(dn_trainer *t, dn_model **out, dn_error *error)
{
    model_facts facts = {.views = 1,
                         .angles = t->options.angles,
                         .standardized = t->options.standardize,
                         .train_images = t->images.count,
                         .seed = t->options.seed,
                         .final_loss = (double)NAN};
    dn_flow *flow;

    snprintf(facts.library, sizeof facts.library, "%d.%d.%d", DN_VERSION_MAJOR, DN_VERSION_MINOR, DN_VERSION_PATCH);
    snprintf(facts.preset, sizeof facts.preset, "%s", preset_names[t->options.preset]);
    if (!t->options.flow)
        return model_create(t->extractor, &facts, &t->allocator, out, error);
    facts.views = t->options.views;
    facts.train_images = t->images.train_count;
    facts.epochs = t->state->epoch;
    facts.bank = t->options.bank;
    facts.final_loss = t->state->loss;
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

/* scores: (views) of the flow. */
static dn_status score_image(dn_trainer *t, dn_scorer *scorer, int32_t image, uint16_t *buffer, double *scores,
                             dn_error *error)
{
    const uint16_t *canvas;
    dn_score result = {.struct_size = sizeof result};
    dn_error cause = {0};

    TRY(train_images_canvas(&t->images, image, buffer, &canvas, error));
    if (scorer_score_canvas(scorer, canvas, &result, &cause) != DN_OK)
        return fail_image(t, image, &cause, error);
    memcpy(scores, scorer->view_scores, (size_t)scorer->views * sizeof *scores);
    return DN_OK;
}

static dn_status score_all(dn_trainer *t, dn_scorer *scorer, uint16_t *buffer, calibration *rows,
                           const train_watch *watch, dn_error *error)
{
    for (int32_t i = 0; i < rows->count; i++) {
        TRY(train_report(watch, DN_PHASE_HOLDOUT, i, rows->count, t->state->loss, error));
        TRY(score_image(t, scorer, t->images.split[t->images.train_count + i], buffer,
                        rows->flow + (size_t)i * (size_t)rows->views, error));
    }
    return train_report(watch, DN_PHASE_HOLDOUT, rows->count, rows->count, t->state->loss, error);
}

/* The flow's scores of the held-out images, by a model with the flow alone. */
static dn_status score_holdout(dn_trainer *t, dn_model *model, calibration *rows, const train_watch *watch,
                               dn_error *error)
{
    dn_scorer_options options = scorer_default_options();
    dn_scorer *scorer = NULL;

    options.threads = t->options.threads;
    options.allocator = &t->allocator;
    options.runner = t->options.runner;
    uint16_t *buffer = train_images_buffer(&t->images);
    dn_status status = buffer ? scorer_create(model, &options, &scorer, error)
                              : fail_memory(error, "the held-out scores");
    if (status == DN_OK)
        status = score_all(t, scorer, buffer, rows, watch, error);
    scorer_free(scorer);
    mem_free(&t->allocator, buffer);
    return status;
}

/* Standardises the positions' parts over all images: each was scored by the density that has not seen it.  sorted:
 * (count). */
static void standardise_positions(const dn_trainer *t, dn_model *model, double *sorted)
{
    int32_t count = t->positions.levels ? t->images.count : 0;
    double parts[PARTS];

    model->facts.whole_share = count > 0 ? position_fit_share(t->positions.levels, count) : 0;
    for (int p = PART_LOCAL; p <= PART_WHOLE; p++) {
        for (int32_t i = 0; i < count; i++) {
            position_scores(t->positions.levels[i], model->facts.whole_share, &parts[PART_LOCAL], &parts[PART_WHOLE]);
            sorted[i] = parts[p];
        }
        model->facts.standards[p] = part_measure(sorted, count);
    }
}

/* What the model compares a score with: good images that were not learned from.  Of the held-out ones by the flow; by
 * the positions' density of all, each by the one that has not seen it.  With a flow only the held-out images tell how the
 * whole score of good images lies.  sorted: (count). */
static dn_status measure_rows(dn_trainer *t, dn_model *model, calibration *rows, double *sorted,
                              const train_watch *watch, dn_error *error)
{
    int32_t first = t->options.flow ? t->images.train_count : 0; /* of split */

    if (rows->flow && rows->count > 0)
        TRY(score_holdout(t, model, rows, watch, error));
    for (int32_t i = 0; rows->levels && i < rows->count; i++)
        rows->levels[i] = t->positions.levels[t->images.split[first + i]];
    if (!t->positions.density)
        return DN_OK;
    standardise_positions(t, model, sorted);
    for (int32_t i = 0; rows->flow && i < rows->count; i++)
        sorted[i] = calibration_flow(rows, i, rows->views);
    if (rows->flow)
        model->facts.standards[PART_FLOW] = part_measure(sorted, rows->count);
    return DN_OK;
}

static dn_status calibrate(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    _Bool levels = t->positions.levels != NULL;
    int32_t count = model->flow ? t->images.holdout_count : levels ? t->images.count : 0;
    calibration *rows;

    TRY(calibration_create(count, model->flow ? model->facts.views : 0, levels, &t->allocator, &rows, error));
    double *sorted = mem_alloc(&t->allocator, (size_t)t->images.count, sizeof *sorted);
    dn_status status = sorted ? measure_rows(t, model, rows, sorted, watch, error)
                              : fail_memory(error, "the scores of good images");
    mem_free(&t->allocator, sorted);
    if (status == DN_OK)
        status = model_set_calibration(model, rows, error);
    if (status != DN_OK)
        calibration_free(rows);
    return status;
}

/* The rest of the model: scores of good images, then the density at every position. */
static dn_status add_densities(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    TRY(calibrate(t, model, watch, error));
    if (!t->positions.density)
        return DN_OK;
    model->facts.positions_scale = t->positions.scale;
    return model_set_positions(model, t->positions.density, error);
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
        peaks[i] = peak;
    }
    *scale = quantile(peaks, images, IMAGE_SHARE);
    return train_report(watch, DN_PHASE_HEATMAP, images, images, t->state->loss, error);
}

static dn_status scale_heatmap(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    dn_localizer_options options = localizer_default_options(); /* those that maps will mostly be made with */
    int32_t images = t->options.heatmap_images < t->images.count ? t->options.heatmap_images : t->images.count;
    size_t size = (size_t)t->extractor->input_size;
    dn_localizer *localizer = NULL;
    double scale = 0;

    options.method = DN_MAP_GRADIENT;
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
    model->seen = t->images.seen;
    dn_status status = add_densities(t, model, watch, error);
    if (status == DN_OK && model->flow)
        status = scale_heatmap(t, model, watch, error);
    if (status == DN_OK)
        status = model_notes_copy(&model->notes, &t->notes, &t->allocator, error);
    if (status == DN_OK)
        status = model_seal(model, error);
    if (status != DN_OK) {
        model_unref(model);
        return status;
    }
    *out = model;
    return DN_OK;
}
