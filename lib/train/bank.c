#include "train/bank.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "cnn/features.h"

/* Views between two reports of progress: whole images, or, of an image with more views, a multiple of FEATURES_BLOCK. */
#define VIEWS_AT_ONCE 64

/* A canvas in memory. */
struct bank_slot {
    int32_t image;          /* index into trainer->images */
    const uint16_t *canvas; /* (size, size, 3): `buffer`, or the image's own */
    uint16_t *buffer;       /* NULL until an image by path is loaded */
    dn_status status;
    dn_error error;
};

int32_t bank_views(const dn_trainer *t)
{
    return t->options.bank > 0 ? t->options.bank : t->options.batch_views;
}

/* Images whose views are computed together, so that a few views per image still occupy all threads. */
static int32_t images_together(const dn_trainer *t)
{
    int32_t images = VIEWS_AT_ONCE / bank_views(t);

    return images < 1 ? 1 : images > TRAIN_CANVASES ? TRAIN_CANVASES : images;
}

/* ---- memory ---- */

dn_status bank_prepare(dn_trainer *t, dn_error *error)
{
    int32_t threads = pool_threads(t->workers);
    size_t filled = (size_t)images_together(t) * (size_t)bank_views(t);
    size_t drawn = (size_t)TRAIN_CANVASES * (size_t)t->options.batch_views;

    if (!t->slots)
        t->slots = mem_zalloc(&t->allocator, TRAIN_CANVASES, sizeof *t->slots);
    if (!t->requests)
        t->requests = mem_alloc(&t->allocator, filled > drawn ? filled : drawn, sizeof *t->requests);
    if (!t->scratch)
        t->scratch = mem_zalloc(&t->allocator, (size_t)threads, sizeof *t->scratch);
    if (!t->slots || !t->requests || !t->scratch)
        return fail_memory(error, "the feature bank");
    for (int32_t i = 0; i < threads; i++) {
        if (!t->scratch[i])
            t->scratch[i] = mem_alloc(&t->allocator, features_forward_scratch(t->extractor), sizeof **t->scratch);
        if (!t->scratch[i])
            return fail_memory(error, "the CNN's scratch");
    }
    return DN_OK;
}

void bank_release(dn_trainer *t)
{
    for (int32_t i = 0; t->scratch && i < pool_threads(t->workers); i++)
        mem_free(&t->allocator, t->scratch[i]);
    for (int32_t i = 0; t->slots && i < TRAIN_CANVASES; i++)
        mem_free(&t->allocator, t->slots[i].buffer);
    mem_free(&t->allocator, t->scratch);
    mem_free(&t->allocator, t->slots);
    mem_free(&t->allocator, t->requests);
    mem_free(&t->allocator, t->bank);
}

/* ---- images -> canvases -> views -> features ---- */

static void load_slot(void *context, int32_t task, int32_t worker)
{
    dn_trainer *t = context;
    struct bank_slot *slot = &t->slots[task];

    (void)worker;
    slot->status = train_image_canvas(t, slot->image, slot->buffer, &slot->canvas, &slot->error);
}

/* Loads `count` training images (indices into split: images[i], or first + i without `images`) into slots 0 ... */
static dn_status load_slots(dn_trainer *t, const uint32_t *images, int32_t first, int32_t count, dn_error *error)
{
    size_t size = (size_t)t->extractor->input_size;

    for (int32_t i = 0; i < count; i++) {
        struct bank_slot *slot = &t->slots[i];
        slot->image = t->split[images ? (int32_t)images[i] : first + i];
        if (!slot->buffer && t->images[slot->image].path)
            slot->buffer = mem_alloc(&t->allocator, size * size * 3, sizeof *slot->buffer);
        if (!slot->buffer && t->images[slot->image].path)
            return fail_memory(error, "an image");
    }
    pool_run(t->workers, count, load_slot, t);
    for (int32_t i = 0; i < count; i++)
        if (t->slots[i].status != DN_OK)
            return fail(error, t->slots[i].status, "%s", t->slots[i].error.message);
    return DN_OK;
}

struct view_job {
    dn_trainer *trainer;
    const view_request *requests;
    int32_t views;   /* of each image, one behind the other */
    float *features; /* (count, dim) */
};

static _Bool wants_jitter(const dn_train_options *options)
{
    return options->brightness > 0 || options->contrast > 0 || options->saturation > 0;
}

struct block_views {
    const dn_trainer *trainer;
    const view_request *requests;
};

static void render(void *context, int32_t index, float *view)
{
    const struct block_views *views = context;
    const dn_trainer *t = views->trainer;
    const dn_extractor *extractor = t->extractor;
    const view_request *request = &views->requests[index];

    view_render(t->slots[request->slot].canvas, extractor->input_size, request->angle,
                wants_jitter(&t->options) ? &request->jitter : NULL, extractor->mean, extractor->std, view);
}

/* One block of an image's views. */
static void compute_block(void *context, int32_t task, int32_t worker)
{
    const struct view_job *job = context;
    const dn_trainer *t = job->trainer;
    int32_t blocks = features_blocks(job->views), block = task % blocks;
    size_t first = (size_t)(task / blocks) * (size_t)job->views + (size_t)block * FEATURES_BLOCK;
    struct block_views views = {t, job->requests + first};

    features_forward(t->extractor, render, &views, features_block_views(job->views, block),
                     job->features + first * (size_t)t->extractor->feature_dim, t->scratch[worker]);
}

/* Features (count, dim) of the views asked for, `views` of each image; finite, or an error that names the image. */
static dn_status compute_views(dn_trainer *t, const view_request *requests, int32_t count, int32_t views,
                               float *features, dn_error *error)
{
    struct view_job job = {t, requests, views, features};
    size_t dimension = (size_t)t->extractor->feature_dim;
    char label[TRAIN_LABEL];

    pool_run(t->workers, count / views * features_blocks(views), compute_block, &job);
    for (int32_t i = 0; i < count; i++)
        if (!floats_finite(features + (size_t)i * dimension, dimension))
            return fail(error, DN_E_NUMERIC, "%s: the features are not finite: the backbone's numbers overflow",
                        train_image_label(t, t->slots[requests[i].slot].image, label));
    return DN_OK;
}

/* ---- choosing views ---- */

/* Factor from [1 - amount, 1 + amount]. */
static float jitter_factor(rng *generator, double amount)
{
    return (float)(1 + amount * (2 * rng_uniform(generator) - 1));
}

/* Without jitter nothing is drawn. */
static view_jitter draw_jitter(const dn_train_options *options, rng *generator)
{
    view_jitter jitter = {1, 1, 1};

    if (wants_jitter(options)) {
        jitter.brightness = jitter_factor(generator, options->brightness);
        jitter.contrast = jitter_factor(generator, options->contrast);
        jitter.saturation = jitter_factor(generator, options->saturation);
    }
    return jitter;
}

/* The bank's views of one image: a random angle from each views-th of the circle, so that none is left out.  They
 * depend on the seed and the image's index only. */
static void choose_bank_views(const dn_trainer *t, int32_t slot, int32_t views, view_request *requests)
{
    uint64_t image = (uint64_t)t->slots[slot].image;
    rng angles, jitters;

    rng_seed(&angles, t->options.seed, RNG_BANK_ANGLE + (image << 8));
    rng_seed(&jitters, t->options.seed, RNG_JITTER + (image << 8));
    for (int32_t i = 0; i < views; i++)
        requests[i] = (view_request){slot, -180 + (i + rng_uniform(&angles)) * 360 / views,
                                     draw_jitter(&t->options, &jitters)};
}

/* ---- filling the bank ---- */

/* Rows of training images first .. first + count - 1. */
static dn_status fill_images(dn_trainer *t, int32_t first, int32_t count, const train_watch *watch, dn_error *error)
{
    int32_t views = bank_views(t);
    int64_t before = (int64_t)first * views, total = (int64_t)t->train_count * views;
    size_t dimension = (size_t)t->extractor->feature_dim;

    TRY(load_slots(t, NULL, first, count, error));
    for (int32_t i = 0; i < count; i++)
        choose_bank_views(t, i, views, t->requests + (size_t)i * (size_t)views);
    for (int32_t done = 0; done < count * views;) {
        int32_t now = count * views - done;
        now = now > VIEWS_AT_ONCE ? VIEWS_AT_ONCE : now;
        TRY(compute_views(t, t->requests + done, now, now < views ? now : views,
                          t->bank + (size_t)(before + done) * dimension, error));
        done += now;
        if (done == count * views)
            t->banked = first + count;
        TRY(train_report(watch, DN_PHASE_FEATURES, before + done, total, NAN, error));
    }
    return DN_OK;
}

dn_status bank_fill(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    int32_t views = bank_views(t), together = images_together(t);
    size_t row = (size_t)t->extractor->feature_dim * sizeof(float);

    if (!t->bank)
        t->bank = mem_alloc(&t->allocator, (size_t)t->train_count * (size_t)views, row);
    if (!t->bank)
        return fail_memory(error, "the feature bank");
    TRY(train_report(watch, DN_PHASE_FEATURES, (int64_t)t->banked * views, (int64_t)t->train_count * views, NAN,
                     error));
    while (t->banked < t->train_count) {
        int32_t left = t->train_count - t->banked;
        TRY(fill_images(t, t->banked, left < together ? left : together, watch, error));
    }
    return DN_OK;
}

/* ---- standardising ---- */

/* mean and deviation (population) of each column of x: (rows, dimension).  Two passes, summed in double. */
static void column_moments(const float *x, size_t rows, size_t dimension, double *mean, double *deviation)
{
    for (size_t j = 0; j < dimension; j++)
        mean[j] = deviation[j] = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < dimension; j++)
            mean[j] += x[i * dimension + j];
    for (size_t j = 0; j < dimension; j++)
        mean[j] /= (double)rows;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < dimension; j++) {
            double difference = x[i * dimension + j] - mean[j];
            deviation[j] += difference * difference;
        }
    for (size_t j = 0; j < dimension; j++)
        deviation[j] = sqrt(deviation[j] / (double)rows);
}

/* A dimension that hardly varies on good images must neither be divided by 0 nor have its rounding noise blown up: its
 * deviation counts as at least a tenth of what is usual (the root mean square over all dimensions), and a millionth of
 * its mean, about float's precision.  The tenth is for features that are zero on nearly all training views: new good
 * images wake some of them up, and must not end up hundreds of deviations away (docs/training.md).  Where nothing varies
 * at all the scale is unknown, and stays. */
#define LEAST_DEVIATION 0.1
static void floor_deviations(const double *mean, double *deviation, size_t dimension)
{
    double squares = 0;

    for (size_t j = 0; j < dimension; j++)
        squares += deviation[j] * deviation[j];
    double usual = sqrt(squares / (double)dimension);
    for (size_t j = 0; j < dimension; j++) {
        double least = fmax(LEAST_DEVIATION * usual, 1e-6 * fabs(mean[j]));
        if (usual < FLT_MIN)
            deviation[j] = 1;
        else
            deviation[j] = fmax(deviation[j], fmax(least, FLT_MIN));
    }
}

dn_status bank_standardise(dn_trainer *t, dn_error *error)
{
    size_t dimension = (size_t)t->extractor->feature_dim;
    double *moments = mem_zalloc(&t->allocator, 2 * dimension, sizeof *moments);
    float *mean = mem_zalloc(&t->allocator, 2 * dimension, sizeof *mean);

    if (!moments || !mean) {
        mem_free(&t->allocator, moments);
        mem_free(&t->allocator, mean);
        return fail_memory(error, "the standardisation");
    }
    if (t->options.standardize) {
        size_t rows = (size_t)t->train_count * (size_t)bank_views(t);
        column_moments(t->bank, rows, dimension, moments, moments + dimension);
        floor_deviations(moments, moments + dimension, dimension);
    }
    t->mean = mean;
    t->deviation = mean + dimension;
    for (size_t j = 0; j < dimension; j++) {
        t->mean[j] = (float)moments[j];
        t->deviation[j] = t->options.standardize ? (float)moments[dimension + j] : 1;
    }
    mem_free(&t->allocator, moments);
    return DN_OK;
}

/* ---- rows of a training step ---- */

/* `count` different numbers of 0 .. n-1 (Floyd's algorithm), or any if there are fewer than that. */
static void choose_rows(rng *generator, int32_t n, int32_t count, int32_t *chosen)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t last = n >= count ? n - count + i : n - 1;
        int32_t pick = (int32_t)rng_below(generator, (uint64_t)last + 1);
        for (int32_t j = 0; n >= count && j < i; j++)
            if (chosen[j] == pick) {
                pick = last;
                break;
            }
        chosen[i] = pick;
    }
}

static void draw_from_bank(dn_trainer *t, const uint32_t *images, int32_t count, rng *generator)
{
    int32_t chosen[64]; /* batch_views' limit */
    int32_t take = t->options.batch_views, views = t->options.bank;
    size_t dimension = (size_t)t->extractor->feature_dim;
    float *row = t->rows;

    for (int32_t i = 0; i < count; i++) {
        const float *rows = t->bank + (size_t)images[i] * (size_t)views * dimension;
        choose_rows(generator, views, take, chosen);
        for (int32_t j = 0; j < take; j++, row += dimension)
            memcpy(row, rows + (size_t)chosen[j] * dimension, dimension * sizeof *row);
    }
}

/* Fresh views, as the paper draws them: the angle uniform over the circle. */
static dn_status draw_fresh(dn_trainer *t, const uint32_t *images, int32_t count, rng *generator, dn_error *error)
{
    int32_t take = t->options.batch_views;
    size_t dimension = (size_t)t->extractor->feature_dim;

    for (int32_t first = 0; first < count; first += TRAIN_CANVASES) {
        int32_t now = count - first < TRAIN_CANVASES ? count - first : TRAIN_CANVASES;
        TRY(load_slots(t, images + first, 0, now, error));
        for (int32_t i = 0; i < now * take; i++) {
            double angle = -180 + 360 * rng_uniform(generator);
            t->requests[i] = (view_request){i / take, angle, draw_jitter(&t->options, generator)};
        }
        TRY(compute_views(t, t->requests, now * take, take, t->rows + (size_t)first * (size_t)take * dimension, error));
    }
    return DN_OK;
}

/* Noise keeps the density that the flow learns at least as wide as itself in every direction (Rothfuss et al., 2019,
 * "Noise regularization for conditional density estimation").  Without it the flow makes the density of a few images
 * ever narrower, and new good ones end up far outside.  The more images, the less is needed. */
static void add_noise(const dn_trainer *t, rng *generator, size_t count)
{
    double deviation = t->options.feature_noise / sqrt(t->train_count);

    for (size_t i = 0; i < count; i++)
        t->rows[i] += (float)(deviation * rng_normal(generator));
}

dn_status bank_draw(dn_trainer *t, const uint32_t *images, int32_t count, rng *generator, dn_error *error)
{
    size_t dimension = (size_t)t->extractor->feature_dim;
    size_t rows = (size_t)count * (size_t)t->options.batch_views;

    if (t->options.bank > 0)
        draw_from_bank(t, images, count, generator);
    else
        TRY(draw_fresh(t, images, count, generator, error));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < dimension; j++)
            t->rows[i * dimension + j] = (t->rows[i * dimension + j] - t->mean[j]) / t->deviation[j];
    if (t->options.feature_noise > 0)
        add_noise(t, generator, rows * dimension);
    return DN_OK;
}
