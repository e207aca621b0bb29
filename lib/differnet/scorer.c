/* The scorer: its options, memory and images. */
#include "differnet/score.h"

#include <math.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/rng.h"
#include "base/status.h"
#include "differnet/inside.h"
#include "image/canvas.h"
#include "image/codec.h"
#include "image/pixels.h"

void score_angles(int32_t kind, int32_t n, double *angles)
{
    rng generator;

    rng_seed(&generator, 0, RNG_SCORE_ANGLE);
    for (int32_t i = 0; i < n; i++)
        angles[i] = kind == DN_ANGLES_GRID ? i * 360.0 / n : -180 + (i + rng_uniform(&generator)) * 360.0 / n;
}

/* ---- options ---- */

dn_scorer_options scorer_default_options(void)
{
    return (dn_scorer_options){.struct_size = sizeof(dn_scorer_options),
                               .views = 0,
                               .angles = -1,
                               .threads = 1,
                               .false_alarm_rate = 0.05,
                               .max_pixels = IMAGE_MAX_PIXELS,
                               .max_bytes = IMAGE_MAX_BYTES};
}

dn_status scorer_options_check(const dn_scorer_options *options, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_scorer_options, views, 0, MODEL_MAX_VIEWS, "0: the model's number"),
        OPTION_INTEGER(dn_scorer_options, angles, -1, DN_ANGLES_GRID, "-1: the model's kind"),
        OPTION_INTEGER(dn_scorer_options, threads, 1, POOL_MAX_THREADS, NULL),
        OPTION_REAL(dn_scorer_options, false_alarm_rate, 0, 1, OPTION_ABOVE),
    };

    return options_check(options, "dn_scorer_options", ranges, OPTION_COUNT(ranges), error);
}

/* ---- verdict ---- */

dn_status scorer_set_false_alarm_rate(dn_scorer *scorer, double rate, dn_error *error)
{
    dn_scorer_options options = scorer_default_options();

    options.false_alarm_rate = rate;
    TRY(scorer_options_check(&options, error));
    scorer->false_alarm_rate = rate;
    scorer->threshold = (double)NAN;
    return DN_OK;
}

dn_status scorer_set_threshold(dn_scorer *scorer, double threshold, dn_error *error)
{
    if (!isfinite(threshold) || threshold < 0)
        return fail(error, DN_E_ARGUMENT, "threshold is %g, must be a finite number >= 0, as scores are", threshold);
    scorer->threshold = threshold;
    return DN_OK;
}

/* ---- mask ---- */

dn_status scorer_set_mask(dn_scorer *scorer, const dn_pixels *image, int32_t kind, dn_error *error)
{
    return mask_for_call(&scorer->own_mask, image, kind, &scorer->model->mask, &scorer->mask, error);
}

/* ---- memory ---- */

/* Whether the positions look at a canvas of their own. */
static _Bool has_tiles(const dn_scorer *scorer)
{
    return scorer->model->positions && !tiles_one(&scorer->model->plan);
}

static size_t canvas_samples(const dn_scorer *scorer)
{
    return view_floats(scorer->model->extractor);
}

static size_t tile_samples(const dn_scorer *scorer)
{
    return has_tiles(scorer) ? tile_canvas_samples(&scorer->model->plan) : 0;
}

static int32_t batch_images(const dn_scorer *scorer)
{
    size_t samples = canvas_samples(scorer) + tile_samples(scorer);
    size_t canvases = SCORE_CANVASES / (samples * sizeof(uint16_t));
    int32_t images = SCORE_ROWS / scorer->views < SCORE_IMAGES ? SCORE_ROWS / scorer->views : SCORE_IMAGES;

    if (canvases < (size_t)images)
        images = (int32_t)canvases;
    return images > 1 ? images : 1;
}

static void release_images(dn_scorer *scorer)
{
    const dn_allocator *allocator = &scorer->allocator;

    for (int32_t i = 0; scorer->images && i < scorer->capacity; i++) {
        if (scorer->images[i].tiles != scorer->images[i].canvas)
            mem_free(allocator, scorer->images[i].tiles);
        mem_free(allocator, scorer->images[i].canvas);
        mem_free(allocator, scorer->images[i].inside);
        mem_release(&scorer->images[i].resampling);
    }
    mem_free(allocator, scorer->images);
    mem_free(allocator, scorer->loaded);
    mem_free(allocator, scorer->canvases);
    mem_free(allocator, scorer->features);
    mem_free(allocator, scorer->logdet);
    mem_free(allocator, scorer->flow_scratch);
    mem_free(allocator, scorer->maps);
    mem_free(allocator, scorer->levels);
    scorer->images = NULL;
    scorer->loaded = NULL;
    scorer->canvases = NULL;
    scorer->features = scorer->logdet = scorer->flow_scratch = scorer->maps = NULL;
    scorer->levels = NULL;
    scorer->capacity = 0;
}

/* What the flow needs for `images` images. */
static _Bool allocate_rows(dn_scorer *scorer, size_t images)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t rows = images * (size_t)scorer->views;
    size_t flow_floats = flow_rows_scratch(scorer->model->flow, scorer->flow_rows);

    scorer->features = mem_alloc(allocator, rows * (size_t)scorer->model->extractor->feature_dim,
                                 sizeof *scorer->features);
    scorer->logdet = mem_alloc(allocator, rows, sizeof *scorer->logdet);
    scorer->flow_scratch = flow_floats ? mem_alloc(allocator, flow_floats, sizeof *scorer->flow_scratch) : NULL;
    return scorer->features && scorer->logdet && scorer->flow_scratch;
}

/* What the density at every position needs. */
static _Bool allocate_maps(dn_scorer *scorer, size_t images)
{
    size_t cells = positions_cells(scorer->model->positions);

    scorer->maps = mem_alloc(&scorer->allocator, images, cells * sizeof *scorer->maps);
    scorer->levels = mem_alloc(&scorer->allocator, images, sizeof *scorer->levels);
    return scorer->maps && scorer->levels;
}

static _Bool allocate_image(const dn_scorer *scorer, struct score_image *image)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t tiles = tile_samples(scorer);

    image->resampling.allocator = *allocator;
    image->canvas = mem_alloc(allocator, canvas_samples(scorer), sizeof *image->canvas);
    image->tiles = tiles > 0 ? mem_alloc(allocator, tiles, sizeof *image->tiles) : image->canvas;
    if (!image->canvas || !image->tiles)
        return 0;
    if (!scorer->model->positions)
        return 1;
    image->inside = mem_alloc(allocator, positions_cells(scorer->model->positions), sizeof *image->inside);
    return image->inside != NULL;
}

static _Bool allocate_images(dn_scorer *scorer)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t images = (size_t)scorer->capacity;

    scorer->images = mem_zalloc(allocator, images, sizeof *scorer->images);
    scorer->loaded = mem_alloc(allocator, images, sizeof *scorer->loaded);
    scorer->canvases = mem_alloc(allocator, images, sizeof *scorer->canvases);
    if (!scorer->images || !scorer->loaded || !scorer->canvases ||
        (scorer->model->flow && !allocate_rows(scorer, images)) ||
        (scorer->model->positions && !allocate_maps(scorer, images)))
        return 0;
    for (size_t i = 0; i < images; i++)
        if (!allocate_image(scorer, &scorer->images[i]))
            return 0;
    return 1;
}

dn_status scorer_reserve(dn_scorer *scorer, int32_t images, dn_error *error)
{
    if (images <= scorer->capacity)
        return DN_OK;
    release_images(scorer);
    scorer->capacity = images;
    scorer->flow_rows = images * scorer->views < SCORE_ROWS ? images * scorer->views : SCORE_ROWS;
    if (allocate_images(scorer))
        return DN_OK;
    release_images(scorer); /* a later call tries again */
    return fail_memory(error, "the scorer");
}

static dn_status allocate_map_scratch(dn_scorer *scorer, int32_t threads, dn_error *error)
{
    size_t floats = position_map_scratch(scorer->model->extractor, &scorer->model->plan, scorer->model->positions,
                                         threads);

    scorer->map_scratch = floats ? mem_alloc(&scorer->allocator, floats, sizeof *scorer->map_scratch) : NULL;
    return scorer->map_scratch ? DN_OK : fail_memory(error, "the scorer");
}

static dn_status allocate(dn_scorer *scorer, const dn_scorer_options *options, dn_error *error)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t views = (size_t)scorer->views;

    scorer->angles = mem_alloc(allocator, views, sizeof *scorer->angles);
    scorer->view_scores = mem_alloc(allocator, views, sizeof *scorer->view_scores);
    if (!scorer->angles || !scorer->view_scores)
        return fail_memory(error, "the scorer");
    if (scorer->model->flow)
        TRY(view_features_init(&scorer->stage, scorer->model->extractor, options->threads, 0, allocator, error));
    if (scorer->model->positions)
        TRY(allocate_map_scratch(scorer, options->threads, error));
    TRY(scorer_reserve(scorer, 1, error));
    return pool_create_on(options->runner, allocator, options->threads, &scorer->workers, error);
}

/* The views' angles, and the scores that good images have under them.  Fewer views than the model's are a part of its
 * own, for which the calibration has the scores of good images exactly.  More views than those have wider scores of good
 * images than they need: their means over fewer views scatter more. */
static dn_status choose_views(dn_scorer *scorer, int32_t kind, dn_error *error)
{
    const dn_model *model = scorer->model;
    const calibration *rows = model->calibration;
    int32_t views = scorer->views, stored = model->facts.views;
    double all[MODEL_MAX_VIEWS];

    scorer->good_scores = model->holdout_scores;
    score_angles(kind, views, scorer->angles);
    if (!model->flow || !rows || views >= stored)
        return DN_OK;
    if (kind == model->facts.angles) {
        score_angles(kind, stored, all);
        for (int32_t i = 0; i < views; i++)
            scorer->angles[i] = all[calibration_view(i, views, stored)];
    }
    scorer->own_scores = mem_alloc(&scorer->allocator, (size_t)rows->count, sizeof *scorer->own_scores);
    if (!scorer->own_scores)
        return fail_memory(error, "the scorer");
    model_calibrated_scores(model, rows, views, scorer->own_scores);
    scorer->good_scores = scorer->own_scores;
    return DN_OK;
}

dn_status scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    dn_scorer *scorer = mem_zalloc(&allocator, 1, sizeof *scorer);
    if (!scorer)
        return fail_memory(error, "the scorer");
    scorer->allocator = allocator;
    scorer->files = (dn_image_options){.struct_size = sizeof scorer->files,
                                       .max_pixels = options->max_pixels,
                                       .max_bytes = options->max_bytes,
                                       .max_memory = options->max_memory,
                                       .allocator = &scorer->allocator};
    scorer->own_mask.allocator = allocator;
    scorer->model = model_ref(model);
    scorer->mask = &model->mask;
    scorer->views = !model->flow ? 1 : options->views > 0 ? options->views : model->facts.views;
    scorer->false_alarm_rate = options->false_alarm_rate;
    scorer->threshold = (double)NAN;
    scorer->batch = batch_images(scorer);
    dn_status status = allocate(scorer, options, error);
    if (status == DN_OK)
        status = choose_views(scorer, options->angles >= 0 ? options->angles : model->facts.angles, error);
    if (status != DN_OK) {
        scorer_free(scorer);
        return status;
    }
    *out = scorer;
    return DN_OK;
}

void scorer_free(dn_scorer *scorer)
{
    if (!scorer)
        return;
    dn_allocator allocator = scorer->allocator;
    pool_free(scorer->workers);
    release_images(scorer);
    mask_clear(&scorer->own_mask);
    mem_free(&allocator, scorer->angles);
    mem_free(&allocator, scorer->own_scores);
    view_features_release(&scorer->stage);
    mem_free(&allocator, scorer->view_scores);
    mem_free(&allocator, scorer->map_scratch);
    model_unref(scorer->model);
    mem_free(&allocator, scorer);
}

/* ---- images -> canvases ---- */

static dn_status fill_image(const dn_scorer *scorer, const dn_pixels *view, struct score_image *image, dn_error *error)
{
    const dn_model *model = scorer->model;
    const canvas_shape *whole = &model->plan.whole;
    double traits[DN_TRAITS];

    TRY(pixels_check(view, DN_MIN_SIDE, error));
    TRY(mask_check(scorer->mask, view->width, view->height, error));
    image->place = canvas_place_of(whole, view->width, view->height);
    TRY(canvas_refill(view, whole, image->canvas, &image->resampling, error));
    if (image->tiles != image->canvas)
        TRY(canvas_refill(view, &model->plan.canvas, image->tiles, &image->resampling, error));
    image->warnings = 0;
    if (model->seen.images > 0) {
        image_traits(view, image->canvas, whole->height, whole->width, traits);
        image->warnings = seen_warnings(&model->seen, traits);
    }
    if (!image->inside)
        return DN_OK;
    return inside_find(&model->plan, scorer->mask, view->width, view->height, image->inside, &image->partly, error);
}

/* Likewise of a file; errors name it. */
static dn_status open_image(const dn_scorer *scorer, const char *path, struct score_image *image, dn_error *error)
{
    dn_image *decoded;
    dn_error cause = {0};

    TRY(image_open(path, &scorer->files, DN_MIN_SIDE, &decoded, error));
    const dn_pixels view = image_pixels(decoded);
    dn_status status = fill_image(scorer, &view, image, &cause);
    image_free(decoded);
    return status == DN_OK ? DN_OK : fail(error, status, "%s: %s", path, cause.message);
}

struct load_job {
    dn_scorer *scorer;
    const scorer_input *inputs;
    dn_error *errors;
};

static void load_image(void *context, int32_t task, int32_t worker)
{
    const struct load_job *job = context;
    const scorer_input *input = &job->inputs[task];
    struct score_image *image = &job->scorer->images[task];
    dn_error *error = &job->errors[task];

    (void)worker;
    *error = (dn_error){0};
    if (input->path)
        error->status = open_image(job->scorer, input->path, image, error);
    else
        error->status = fill_image(job->scorer, input->view, image, error);
}

void scorer_list_loaded(dn_scorer *scorer, int32_t number, int32_t *loaded)
{
    scorer->loaded[*loaded] = number;
    scorer->canvases[(*loaded)++] = scorer->images[number].canvas;
}

int32_t scorer_load(dn_scorer *scorer, const scorer_input *inputs, int32_t count, dn_error *errors)
{
    struct load_job job = {scorer, inputs, errors};
    int32_t loaded = 0;

    pool_run(scorer->workers, count, load_image, &job);
    for (int32_t i = 0; i < count; i++)
        if (errors[i].status == DN_OK)
            scorer_list_loaded(scorer, i, &loaded);
    return loaded;
}
