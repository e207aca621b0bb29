#include "train/feature_bank.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "train/train_options.h"

/* Views between two reports of progress: whole images, or, of an image with more views, a multiple of
 * FEATURES_BLOCK. */
#define VIEWS_AT_ONCE 64

/* An image whose canvas is in memory. */
struct bank_canvas {
    int32_t image;    /* index into images->list */
    uint16_t *buffer; /* (height, width, 3); NULL until one that needs it is loaded */
    dn_status status;
    dn_error error;
};

static size_t dimension_of(const feature_bank *bank)
{
    return (size_t)bank->extractor->feature_dim;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Images whose views are computed together, so that a few views per image still occupy all threads. */
static int32_t images_together(const feature_bank *bank)
{
    int32_t images = smaller(VIEWS_AT_ONCE / bank->views, BANK_CANVASES);

    return images < 1 ? 1 : images;
}

/* ---- life ---- */

static dn_status allocate(feature_bank *bank, dn_error *error)
{
    size_t filled = (size_t)images_together(bank) * (size_t)bank->views;
    size_t drawn = (size_t)BANK_CANVASES * (size_t)bank->options->batch_views, views = filled > drawn ? filled : drawn;

    bank->loaded = mem_zalloc(&bank->allocator, BANK_CANVASES, sizeof *bank->loaded);
    bank->canvases = mem_zalloc(&bank->allocator, BANK_CANVASES, sizeof *bank->canvases);
    bank->angles = mem_alloc(&bank->allocator, views, sizeof *bank->angles);
    bank->jitters = mem_alloc(&bank->allocator, views, sizeof *bank->jitters);
    if (!bank->loaded || !bank->canvases || !bank->angles || !bank->jitters)
        return fail_memory(error, "the feature bank");
    return view_features_init(&bank->stage, bank->extractor, pool_threads(bank->workers), 0, &bank->allocator, error);
}

dn_status feature_bank_create(const dn_extractor *extractor, const dn_train_options *options,
                              const train_images *images, pool *workers, const dn_allocator *allocator,
                              feature_bank **out, dn_error *error)
{
    *out = NULL;
    feature_bank *bank = mem_zalloc(allocator, 1, sizeof *bank);
    if (!bank)
        return fail_memory(error, "the feature bank");
    bank->allocator = *allocator;
    bank->extractor = extractor;
    bank->options = options;
    bank->images = images;
    bank->workers = workers;
    bank->views = options->bank > 0 ? options->bank : options->batch_views;
    bank->member_count = images->train_count;
    dn_status status = allocate(bank, error);
    if (status != DN_OK) {
        feature_bank_free(bank);
        return status;
    }
    *out = bank;
    return DN_OK;
}

void feature_bank_free(feature_bank *bank)
{
    if (!bank)
        return;
    dn_allocator allocator = bank->allocator;
    for (int32_t i = 0; bank->loaded && i < BANK_CANVASES; i++)
        mem_free(&allocator, bank->loaded[i].buffer);
    mem_free(&allocator, bank->loaded);
    mem_free(&allocator, bank->canvases);
    mem_free(&allocator, bank->angles);
    mem_free(&allocator, bank->jitters);
    view_features_release(&bank->stage);
    mem_free(&allocator, bank->rows);
    mem_free(&allocator, bank->mean);
    mem_free(&allocator, bank);
}

void feature_bank_drop_rows(feature_bank *bank)
{
    mem_free(&bank->allocator, bank->rows);
    bank->rows = NULL;
    bank->filled = 0;
}

void feature_bank_choose(feature_bank *bank, const uint32_t *members, int32_t count)
{
    bank->members = members;
    bank->member_count = count;
    mem_free(&bank->allocator, bank->mean);
    bank->mean = bank->deviation = NULL;
}

/* A member's index into images->split, by which the rows lie. */
static uint32_t member(const feature_bank *bank, uint32_t number)
{
    return bank->members ? bank->members[number] : number;
}

void feature_bank_take_rows(feature_bank *bank, float *rows)
{
    mem_free(&bank->allocator, bank->rows);
    bank->rows = rows;
    bank->filled = bank->images->train_count;
}

void feature_bank_take_standardisation(feature_bank *bank, float *mean)
{
    mem_free(&bank->allocator, bank->mean);
    bank->mean = mean;
    bank->deviation = mean + dimension_of(bank);
}

/* ---- images -> canvases -> views -> features ---- */

static void load_canvas(void *context, int32_t task, int32_t worker)
{
    feature_bank *bank = context;
    struct bank_canvas *loaded = &bank->loaded[task];

    (void)worker;
    loaded->status = train_images_canvas(bank->images, loaded->image, loaded->buffer, &bank->canvases[task],
                                         &loaded->error);
}

/* Loads the canvases of `count` training images (indices into split: chosen[i], or first + i without `chosen`). */
static dn_status load_canvases(feature_bank *bank, const uint32_t *chosen, int32_t first, int32_t count,
                               dn_error *error)
{
    const train_images *images = bank->images;

    for (int32_t i = 0; i < count; i++) {
        struct bank_canvas *loaded = &bank->loaded[i];
        loaded->image = images->split[chosen ? (int32_t)chosen[i] : first + i];
        if (loaded->buffer || !train_images_loads(images, loaded->image))
            continue;
        loaded->buffer = train_images_buffer(images);
        if (!loaded->buffer)
            return fail_memory(error, "an image");
    }
    pool_run(bank->workers, count, load_canvas, bank);
    for (int32_t i = 0; i < count; i++)
        if (bank->loaded[i].status != DN_OK)
            return fail(error, bank->loaded[i].status, "%s", bank->loaded[i].error.message);
    return DN_OK;
}

static _Bool wants_jitter(const dn_train_options *options)
{
    return options->brightness > 0 || options->contrast > 0 || options->saturation > 0;
}

/* Features (images, views, dim) of the loaded images from `canvas` on, under the angles and jitters from `first` on;
 * finite, or an error that names the image. */
static dn_status compute_views(const feature_bank *bank, int32_t canvas, int32_t images, int32_t first, int32_t views,
                               float *features, dn_error *error)
{
    view_batch batch = {.images = images,
                        .views = views,
                        .canvases = bank->canvases + canvas,
                        .angles = bank->angles + first,
                        .own_angles = 1,
                        .jitters = wants_jitter(bank->options) ? bank->jitters + first : NULL};
    size_t floats = (size_t)views * dimension_of(bank);
    char label[TRAIN_LABEL];

    view_features_compute(&bank->stage, bank->workers, &batch, features);
    for (int32_t i = 0; i < images; i++)
        if (!floats_finite(features + (size_t)i * floats, floats))
            return fail(error, DN_E_NUMERIC, "%s: the features are not finite: the backbone's numbers overflow",
                        train_images_label(bank->images, bank->loaded[canvas + i].image, label));
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

/* The bank's views of one loaded image: a random angle from each views-th of the circle, so that none is left out.
 * They depend on the seed and the image's index only. */
static void choose_bank_views(feature_bank *bank, int32_t canvas)
{
    uint64_t image = (uint64_t)bank->loaded[canvas].image;
    int32_t views = bank->views, first = canvas * views;
    rng angles, jitters;

    rng_seed(&angles, bank->options->seed, RNG_BANK_ANGLE + (image << 8));
    rng_seed(&jitters, bank->options->seed, RNG_JITTER + (image << 8));
    for (int32_t i = 0; i < views; i++) {
        bank->angles[first + i] = -180 + (i + rng_uniform(&angles)) * 360 / views;
        bank->jitters[first + i] = draw_jitter(bank->options, &jitters);
    }
}

/* ---- filling the bank ---- */

/* Rows of training images first .. first + count - 1. */
static dn_status fill_images(feature_bank *bank, int32_t first, int32_t count, const train_watch *watch,
                             dn_error *error)
{
    int32_t views = bank->views;
    int64_t before = (int64_t)first * views, total = (int64_t)bank->images->train_count * views;

    TRY(load_canvases(bank, NULL, first, count, error));
    for (int32_t i = 0; i < count; i++)
        choose_bank_views(bank, i);
    for (int32_t done = 0; done < count * views;) {
        int32_t now = smaller(count * views - done, VIEWS_AT_ONCE), each = smaller(now, views);
        TRY(compute_views(bank, done / views, now / each, done, each,
                          bank->rows + (size_t)(before + done) * dimension_of(bank), error));
        done += now;
        if (done == count * views)
            bank->filled = first + count;
        TRY(train_report(watch, DN_PHASE_FEATURES, before + done, total, NAN, error));
    }
    return DN_OK;
}

dn_status feature_bank_fill(feature_bank *bank, const train_watch *watch, dn_error *error)
{
    int32_t views = bank->views, count = bank->images->train_count;

    if (!bank->rows)
        bank->rows = mem_alloc(&bank->allocator, (size_t)count * (size_t)views, dimension_of(bank) * sizeof(float));
    if (!bank->rows)
        return fail_memory(error, "the feature bank");
    TRY(train_report(watch, DN_PHASE_FEATURES, (int64_t)bank->filled * views, (int64_t)count * views, NAN, error));
    while (bank->filled < count)
        TRY(fill_images(bank, bank->filled, smaller(count - bank->filled, images_together(bank)), watch, error));
    return DN_OK;
}

/* ---- standardising ---- */

/* Row i of the members' rows. */
static const float *member_row(const feature_bank *bank, size_t i)
{
    size_t views = (size_t)bank->views;

    return bank->rows + ((size_t)member(bank, (uint32_t)(i / views)) * views + i % views) * dimension_of(bank);
}

/* mean and deviation (population) of each column of the members' rows: (dimension).  Two passes, summed in double. */
static void column_moments(const feature_bank *bank, double *mean, double *deviation)
{
    size_t rows = (size_t)bank->member_count * (size_t)bank->views, dimension = dimension_of(bank);

    for (size_t j = 0; j < dimension; j++)
        mean[j] = deviation[j] = 0;
    for (size_t i = 0; i < rows; i++) {
        const float *x = member_row(bank, i);
        for (size_t j = 0; j < dimension; j++)
            mean[j] += x[j];
    }
    for (size_t j = 0; j < dimension; j++)
        mean[j] /= (double)rows;
    for (size_t i = 0; i < rows; i++) {
        const float *x = member_row(bank, i);
        for (size_t j = 0; j < dimension; j++) {
            double difference = x[j] - mean[j];
            deviation[j] += difference * difference;
        }
    }
    for (size_t j = 0; j < dimension; j++)
        deviation[j] = sqrt(deviation[j] / (double)rows);
}

/* A dimension that hardly varies on good images must neither be divided by 0 nor have its rounding noise blown up: its
 * deviation counts as at least a tenth of what is usual (the root mean square over all dimensions), and a millionth of
 * its mean, about float's precision.  The tenth is for features that are zero on nearly all training views: new good
 * images wake some of them up, and must not end up hundreds of deviations away (docs/training.md).  Where nothing
 * varies at all the scale is unknown, and stays. */
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

dn_status feature_bank_standardise(feature_bank *bank, dn_error *error)
{
    size_t dimension = dimension_of(bank);
    _Bool standardised = bank->options->standardize;
    double *moments = mem_zalloc(&bank->allocator, 2 * dimension, sizeof *moments);
    float *mean = mem_zalloc(&bank->allocator, 2 * dimension, sizeof *mean);

    if (!moments || !mean) {
        mem_free(&bank->allocator, moments);
        mem_free(&bank->allocator, mean);
        return fail_memory(error, "the standardisation");
    }
    if (standardised) {
        column_moments(bank, moments, moments + dimension);
        floor_deviations(moments, moments + dimension, dimension);
    }
    for (size_t j = 0; j < dimension; j++) {
        mean[j] = (float)moments[j];
        mean[dimension + j] = standardised ? (float)moments[dimension + j] : 1;
    }
    mem_free(&bank->allocator, moments);
    feature_bank_take_standardisation(bank, mean);
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

static void draw_from_bank(const feature_bank *bank, const uint32_t *images, int32_t count, rng *generator, float *row)
{
    int32_t chosen[64]; /* batch_views' limit */
    int32_t take = bank->options->batch_views;
    size_t dimension = dimension_of(bank);

    for (int32_t i = 0; i < count; i++) {
        const float *rows = bank->rows + (size_t)images[i] * (size_t)bank->views * dimension;
        choose_rows(generator, bank->views, take, chosen);
        for (int32_t j = 0; j < take; j++, row += dimension)
            memcpy(row, rows + (size_t)chosen[j] * dimension, dimension * sizeof *row);
    }
}

/* Fresh views, as the paper draws them: the angle uniform over the circle. */
static dn_status draw_fresh(feature_bank *bank, const uint32_t *images, int32_t count, rng *generator, float *rows,
                            dn_error *error)
{
    int32_t take = bank->options->batch_views;

    for (int32_t first = 0; first < count; first += BANK_CANVASES) {
        int32_t now = smaller(count - first, BANK_CANVASES);
        TRY(load_canvases(bank, images + first, 0, now, error));
        for (int32_t i = 0; i < now * take; i++) {
            bank->angles[i] = -180 + 360 * rng_uniform(generator);
            bank->jitters[i] = draw_jitter(bank->options, generator);
        }
        TRY(compute_views(bank, 0, now, 0, take, rows + (size_t)first * (size_t)take * dimension_of(bank), error));
    }
    return DN_OK;
}

/* Noise keeps the density that the flow learns at least as wide as itself in every direction (Rothfuss et al., 2019,
 * "Noise regularization for conditional density estimation").  Without it the flow makes the density of a few images
 * ever narrower, and new good ones end up far outside.  The more images, the less is needed. */
static void add_noise(const feature_bank *bank, rng *generator, size_t count, float *rows)
{
    double deviation = bank->options->feature_noise / sqrt(bank->member_count);

    for (size_t i = 0; i < count; i++)
        rows[i] += (float)(deviation * rng_normal(generator));
}

dn_status feature_bank_draw(feature_bank *bank, const uint32_t *images, int32_t count, rng *generator, float *rows,
                            dn_error *error)
{
    size_t dimension = dimension_of(bank), n = (size_t)count * (size_t)bank->options->batch_views;
    uint32_t chosen[TRAIN_MAX_BATCH];

    for (int32_t i = 0; i < count; i++)
        chosen[i] = member(bank, images[i]);
    if (bank->options->bank > 0)
        draw_from_bank(bank, chosen, count, generator, rows);
    else
        TRY(draw_fresh(bank, chosen, count, generator, rows, error));
    view_features_standardise(rows, n, dimension, bank->mean, bank->deviation);
    if (bank->options->feature_noise > 0)
        add_noise(bank, generator, n * dimension, rows);
    return DN_OK;
}
