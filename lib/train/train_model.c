/* From a trained flow to a model that can judge: scores of the held-out images, scale of the heat map. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "train/train_options.h"
#include "train/trainer.h"

static model_facts facts_of(const dn_trainer *t)
{
    model_facts facts = {.views = t->options.flow ? t->options.views : 1,
                         .angles = t->options.angles,
                         .standardized = t->options.standardize,
                         .train_images = t->options.flow ? t->images.train_count : t->images.count,
                         .bank = t->options.flow ? t->options.bank : 0,
                         .seed = t->options.seed,
                         .tile_columns = t->images.plan.columns,
                         .tile_rows = t->images.plan.rows,
                         .fit = t->images.plan.whole.fit,
                         .range = t->images.range,
                         .asked = t->asked,
                         .final_loss = (double)NAN};

    if (t->options.flow && t->options.positions) /* further images of a part say little that is new */
        facts.flow_weight = part_flow_weight(t->images.groups.count -
                                             train_images_held(&t->images, t->options.holdout));

    snprintf(facts.library, sizeof facts.library, "%d.%d.%d", DN_VERSION_MAJOR, DN_VERSION_MINOR, DN_VERSION_PATCH);
    snprintf(facts.preset, sizeof facts.preset, "%s", train_preset_names[t->options.preset]);
    return facts;
}

/* A model with the flow that the state holds. */
static dn_status model_of_state(dn_trainer *t, dn_model **out, dn_error *error)
{
    model_facts facts = facts_of(t);
    dn_flow *flow;

    facts.epochs = t->state->epoch;
    facts.final_loss = t->state->loss;
    TRY(train_state_good_flow(t->state, &flow, error));
    dn_status status = model_create_with_flow(t->extractor, flow, t->bank->mean, t->bank->deviation, &facts,
                                              &t->allocator, out, error);
    flow_unref(flow);
    return status;
}

/* A model with its own flow alone, or without any density yet. */
static dn_status bare_model(dn_trainer *t, dn_model **out, dn_error *error)
{
    model_facts facts = facts_of(t);
    const cross_fit *cross = &t->cross;

    if (!t->options.flow)
        return model_create(t->extractor, &facts, &t->allocator, out, error);
    if (!cross->flow)
        return model_of_state(t, out, error);
    facts.epochs = cross->epoch;
    facts.final_loss = cross->loss;
    return model_create_with_flow(t->extractor, cross->flow, cross->mean, cross->mean + t->extractor->feature_dim,
                                  &facts, &t->allocator, out, error);
}

/* Passes a failure on, with the image's name before it. */
static dn_status fail_image(const dn_trainer *t, int32_t image, const dn_error *cause, dn_error *error)
{
    char label[TRAIN_LABEL];

    return fail(error, cause->status, "%s: %s", train_images_label(&t->images, image, label), cause->message);
}

/* The loss for who watches. */
static double loss_of(const dn_trainer *t)
{
    return t->state ? t->state->loss : t->cross.loss;
}

/* ---- scores of images that a flow has not learned from ---- */

/* Some images, and where the flow's scores of their views go: image images[i] to row i, or to the row of its own
 * number. */
typedef struct chosen_images {
    const int32_t *images; /* (count); NULL: all of fold `fold` */
    int32_t count, fold;
    double *scores; /* (rows, views) */
} chosen_images;

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

static dn_status score_chosen(dn_trainer *t, dn_scorer *scorer, uint16_t *buffer, const chosen_images *chosen,
                              const train_watch *watch, dn_error *error)
{
    int32_t done = 0, total = chosen->images ? chosen->count : t->cross.count;

    for (int32_t i = 0; i < total; i++) {
        int32_t image = chosen->images ? chosen->images[i] : i;
        if (!chosen->images && (t->cross.fold[i] != chosen->fold || !train_images_first(&t->images, i)))
            continue;
        TRY(train_report(watch, DN_PHASE_HOLDOUT, done++, chosen->count, loss_of(t), error));
        TRY(score_image(t, scorer, image, buffer, chosen->scores + (size_t)i * (size_t)scorer->views, error));
    }
    return train_report(watch, DN_PHASE_HOLDOUT, chosen->count, chosen->count, loss_of(t), error);
}

/* model: with a flow alone. */
static dn_status score_with(dn_trainer *t, dn_model *model, const chosen_images *chosen, const train_watch *watch,
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
        status = score_chosen(t, scorer, buffer, chosen, watch, error);
    scorer_free(scorer);
    mem_free(&t->allocator, buffer);
    return status;
}

/* Standardises the positions' parts over the images that were judged by a density that has not seen them.  sorted:
 * room for all. */
static void standardise_positions(const dn_trainer *t, dn_model *model, double *sorted)
{
    const position_level *levels = t->positions.levels;
    int32_t count = t->positions.judged;
    double parts[PARTS];

    model->facts.whole_share = count > 0 ? position_fit_share(levels, count) : 0;
    for (int p = PART_LOCAL; p <= PART_WHOLE; p++) {
        for (int32_t i = 0; i < count; i++) {
            position_scores(levels[i], model->facts.whole_share, &parts[PART_LOCAL], &parts[PART_WHOLE]);
            sorted[i] = parts[p];
        }
        model->facts.standards[p] = part_measure(sorted, count);
    }
}

/* Whether the scores of an image tell how those of good images lie: one that the densities in the model judged without
 * having seen it, of each group the first. */
static _Bool calibrates(const dn_trainer *t, int32_t image)
{
    const cross_fit *cross = &t->cross;

    return train_images_first(&t->images, image) && (!t->positions.row || t->positions.row[image] >= 0) &&
           (cross->folds == 0 || cross->fold[image] < cross->done);
}

/* The images whose scores the model compares with.  With a flow that kept some images out these, else all that
 * calibrate.  images: room for all; returns their number. */
static int32_t list_images(const dn_trainer *t, int32_t *images)
{
    int32_t count = 0;

    if (t->options.flow && t->cross.folds == 0) {
        for (int32_t i = t->images.train_count; i < t->images.count; i++)
            if (calibrates(t, t->images.split[i]))
                images[count++] = t->images.split[i];
        return count;
    }
    for (int32_t i = 0; i < t->images.count; i++)
        if (calibrates(t, i) && (t->options.flow || t->positions.levels))
            images[count++] = i;
    return count;
}

/* The rows of these images (rows->count), and what standardises the parts.  sorted: room for all images. */
static dn_status measure_rows(dn_trainer *t, dn_model *model, const int32_t *images, calibration *rows, double *sorted,
                              const train_watch *watch, dn_error *error)
{
    size_t views = (size_t)rows->views;

    if (rows->flow && t->cross.folds == 0 && rows->count > 0)
        TRY(score_with(t, model, &(chosen_images){images, rows->count, 0, rows->flow}, watch, error));
    for (int32_t i = 0; rows->flow && t->cross.folds > 0 && i < rows->count; i++)
        memcpy(rows->flow + (size_t)i * views, t->cross.scores + (size_t)images[i] * views, views * sizeof *rows->flow);
    for (int32_t i = 0; rows->levels && i < rows->count; i++)
        rows->levels[i] = t->positions.levels[t->positions.row[images[i]]];
    if (!t->positions.density)
        return DN_OK;
    standardise_positions(t, model, sorted);
    for (int32_t i = 0; rows->flow && i < rows->count; i++)
        sorted[i] = calibration_flow(rows, i, rows->views);
    if (rows->flow)
        model->facts.standards[PART_FLOW] = part_measure(sorted, rows->count);
    return DN_OK;
}

/* How those scores came about. */
static void tell_calibration(const dn_trainer *t, int32_t count, model_facts *facts)
{
    _Bool crossed = t->options.flow ? t->cross.folds > 0 : t->positions.folds > 0;

    if (count == 0)
        return;
    facts->calibration = crossed ? DN_CALIBRATION_CROSS : DN_CALIBRATION_SPLIT;
    facts->folds = !crossed ? 0 : t->options.flow ? t->cross.folds : t->positions.folds;
}

static dn_status calibrate_with(dn_trainer *t, dn_model *model, int32_t *images, double *sorted,
                                const train_watch *watch, dn_error *error)
{
    int32_t count = list_images(t, images);
    calibration *rows;

    TRY(calibration_create(count, model->flow ? model->facts.views : 0, t->positions.levels != NULL, &t->allocator,
                           &rows, error));
    tell_calibration(t, count, &model->facts);
    dn_status status = measure_rows(t, model, images, rows, sorted, watch, error);
    if (status == DN_OK)
        status = model_set_calibration(model, rows, error);
    if (status != DN_OK)
        calibration_free(rows);
    return status;
}

static dn_status calibrate(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    size_t count = (size_t)t->images.count;
    int32_t *images = mem_alloc(&t->allocator, count, sizeof *images);
    double *sorted = mem_alloc(&t->allocator, count, sizeof *sorted);
    dn_status status = images && sorted ? calibrate_with(t, model, images, sorted, watch, error)
                                        : fail_memory(error, "the scores of good images");

    mem_free(&t->allocator, images);
    mem_free(&t->allocator, sorted);
    return status;
}

/* The rest of the model: scores of good images, then the density at every position. */
static dn_status add_densities(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    TRY(calibrate(t, model, watch, error));
    if (!t->positions.density)
        return DN_OK;
    model->facts.positions_scale = t->positions.scale;
    model->facts.copies = t->positions.copies;
    if (t->positions.peaks)
        TRY(model_set_peaks(model, t->positions.peaks, t->positions.peak_count, error));
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
    int64_t pixels = (int64_t)view_floats(t->extractor) / 3;

    TRY(train_images_canvas(&t->images, image, buffer, &canvas, error));
    if (localizer_raw_map_canvas(localizer, canvas, &map, &cause) != DN_OK)
        return fail_image(t, image, &cause, error);
    memcpy(copy, map, (size_t)pixels * sizeof *copy);
    *peak = select_smallest(copy, pixels, (int64_t)(PIXEL_SHARE * (double)(pixels - 1)));
    return DN_OK;
}

/* Peaks of the images of a fold, or (fold -1) of `images` images: held-out ones (at the end of `split`), then training
 * ones. */
typedef struct peak_job {
    int32_t images, fold;
    double *peaks; /* (images), by number or, of a fold, by image */
} peak_job;

static dn_status measure_peaks(dn_trainer *t, dn_localizer *localizer, uint16_t *buffer, float *copy,
                               const peak_job *job, const train_watch *watch, dn_error *error)
{
    int32_t held = t->images.holdout_count;

    for (int32_t i = 0; i < job->images; i++) {
        int32_t image = job->fold >= 0 ? i : t->images.split[i < held ? t->images.train_count + i : i - held];
        if (job->fold >= 0 && t->cross.fold[i] != job->fold)
            continue;
        TRY(train_report(watch, DN_PHASE_HEATMAP, i, job->images, loss_of(t), error));
        TRY(image_peak(t, localizer, image, buffer, copy, &job->peaks[i], error));
    }
    return train_report(watch, DN_PHASE_HEATMAP, job->images, job->images, loss_of(t), error);
}

static dn_status peaks_with(dn_trainer *t, dn_model *model, const peak_job *job, const train_watch *watch,
                            dn_error *error)
{
    dn_localizer_options options = localizer_default_options(); /* those that maps will mostly be made with */
    size_t pixels = view_floats(t->extractor) / 3;
    dn_localizer *localizer = NULL;

    options.method = DN_MAP_GRADIENT;
    options.threads = t->options.threads;
    options.allocator = &t->allocator;
    options.runner = t->options.runner;
    float *copy = mem_alloc(&t->allocator, pixels, sizeof *copy);
    uint16_t *buffer = train_images_buffer(&t->images);
    dn_status status = copy && buffer ? localizer_create(model, &options, &localizer, error)
                                      : fail_memory(error, "the heat map's scale");
    if (status == DN_OK)
        status = measure_peaks(t, localizer, buffer, copy, job, watch, error);
    localizer_free(localizer);
    mem_free(&t->allocator, buffer);
    mem_free(&t->allocator, copy);
    return status;
}

/* Images that set the scale, at most. */
static int32_t heatmap_images(const dn_trainer *t)
{
    return t->options.heatmap_images < t->images.count ? t->options.heatmap_images : t->images.count;
}

static dn_status scale_heatmap(dn_trainer *t, dn_model *model, const train_watch *watch, dn_error *error)
{
    int32_t images = heatmap_images(t), known = 0;

    if (images == 0)
        return DN_OK;
    double *peaks = mem_zalloc(&t->allocator, (size_t)images, sizeof *peaks);
    if (!peaks)
        return fail_memory(error, "the heat map's scale");
    for (int32_t i = 0; t->cross.folds > 0 && i < images; i++) /* by flows that have not seen the image */
        if (t->cross.peaks[i] > 0)
            peaks[known++] = t->cross.peaks[i];
    dn_status status = DN_OK;
    if (known == 0) {
        known = images;
        status = peaks_with(t, model, &(peak_job){images, -1, peaks}, watch, error);
    }
    double scale = status == DN_OK ? quantile(peaks, known, IMAGE_SHARE) : 0;
    /* Good images without any gradient say nothing about the scale: it stays unknown. */
    if (scale >= FLT_MIN)
        model_set_heatmap_scale(model, scale);
    mem_free(&t->allocator, peaks);
    return status;
}

/* ---- */

dn_status train_score_fold(dn_trainer *t, int32_t fold, const train_watch *watch, dn_error *error)
{
    const cross_fit *cross = &t->cross;
    chosen_images chosen = {NULL, 0, fold, cross->scores};
    peak_job job = {heatmap_images(t), fold, cross->peaks};
    dn_model *model;

    for (int32_t i = 0; i < cross->count; i++)
        chosen.count += cross->fold[i] == fold && train_images_first(&t->images, i);
    TRY(model_of_state(t, &model, error));
    dn_status status = score_with(t, model, &chosen, watch, error);
    if (status == DN_OK && job.images > 0)
        status = peaks_with(t, model, &job, watch, error);
    model_unref(model);
    return status;
}

dn_status train_make_model(dn_trainer *t, const train_watch *watch, dn_model **out, dn_error *error)
{
    dn_model *model;

    TRY(bare_model(t, &model, error));
    model->seen = t->images.seen;
    dn_status status = mask_copy(&t->images.mask, &model->mask, error);
    if (status == DN_OK)
        status = add_densities(t, model, watch, error);
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
