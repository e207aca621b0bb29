#include "train/train_positions.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "train/light.h"

/* Rows that mean, deviation and projection are found from, at most, and views that they come from: enough for the
 * covariance of a thousand channels. */
#define PROJECTION_ROWS 16384
#define PROJECTION_VIEWS 64

#define FOLDS 10       /* at most, unless another number is asked for */
#define BATCH 16       /* views between two looks at the watcher */
#define MAP_SHARE 0.95 /* of good images whose map stays below the scale */

/* What the fit needs and makes on its way. */
struct fit {
    const dn_extractor *extractor;
    const train_images *images;
    pool *workers;
    const train_watch *watch;
    dn_allocator allocator;
    maps_geometry grid;
    positions *density;
    uint64_t seed;
    int32_t copies;     /* of each image, beside itself (light.h) */
    int32_t views;      /* images and copies: an image's own view comes first among its copies */
    int32_t folds;      /* at most; then as many as there are */
    int32_t *fold;      /* (views): which fold a view is in, that of its image */
    float *z;           /* (views, cells, dims) */
    uint16_t *canvases; /* per worker: (size, size, 3) */
    float *scratch;     /* per worker: maps, then what position_features needs */
    size_t canvas_stride, scratch_stride;
    dn_error *errors; /* (BATCH) */

    /* Of the pass over the views that is running. */
    int32_t first;      /* view of task 0, or its number among those of the projection */
    int32_t selected;   /* views that the projection is found from */
    int32_t cells_each; /* cells of each of them */
    float *rows;        /* (selected * cells_each, channels) */

    int32_t left_out;       /* fold that is scored */
    position_level *levels; /* (count) */
    double *peaks;          /* (count) */
};

static size_t grid_cells(const struct fit *fit)
{
    return (size_t)fit->grid.rows * (size_t)fit->grid.columns;
}

static size_t maps_floats(const struct fit *fit)
{
    return mem_padded_floats(grid_cells(fit) * (size_t)fit->grid.channels);
}

/* ---- images -> maps ---- */

/* Feature maps of a view. */
static dn_status view_maps(const struct fit *fit, int32_t view, int32_t worker, float **maps, dn_error *error)
{
    int32_t image = view / (fit->copies + 1), copy = view % (fit->copies + 1);
    light_copy light = {light_kind(image, copy - 1), fit->seed, (uint64_t)image, fit->extractor->mean,
                        fit->extractor->std};
    uint16_t *buffer = fit->canvases + (size_t)worker * fit->canvas_stride;
    const uint16_t *canvas;

    *maps = fit->scratch + (size_t)worker * fit->scratch_stride;
    TRY(train_images_canvas(fit->images, image, buffer, &canvas, error));
    position_features(fit->extractor, canvas, copy > 0 ? light_change : NULL, &light, *maps, *maps + maps_floats(fit),
                      NULL);
    if (!floats_finite(*maps, grid_cells(fit) * (size_t)fit->grid.channels)) {
        char label[TRAIN_LABEL];
        return fail(error, DN_E_NUMERIC, "%s: its feature maps are not finite: the backbone's numbers overflow",
                    train_images_label(fit->images, image, label));
    }
    return DN_OK;
}

/* Every so many cells of one of the selected views, beginning at another one in each. */
static void take_rows(void *context, int32_t task, int32_t worker)
{
    const struct fit *fit = context;
    int32_t number = fit->first + task, view = (int32_t)((int64_t)number * fit->views / fit->selected);
    size_t channels = (size_t)fit->grid.channels, cells = grid_cells(fit);
    float *rows = fit->rows + (size_t)number * (size_t)fit->cells_each * channels, *maps;

    fit->errors[task].status = view_maps(fit, view, worker, &maps, &fit->errors[task]);
    for (int32_t i = 0; fit->errors[task].status == DN_OK && i < fit->cells_each; i++) {
        size_t cell = ((size_t)i * cells / (size_t)fit->cells_each + (size_t)number) % cells;
        memcpy(rows + (size_t)i * channels, maps + cell * channels, channels * sizeof *rows);
    }
}

static void project_view(void *context, int32_t task, int32_t worker)
{
    const struct fit *fit = context;
    int32_t view = fit->first + task;
    size_t cells = grid_cells(fit);
    float *maps;

    fit->errors[task].status = view_maps(fit, view, worker, &maps, &fit->errors[task]);
    if (fit->errors[task].status == DN_OK)
        positions_project(fit->density, maps, (int32_t)cells,
                          fit->z + (size_t)view * cells * (size_t)fit->density->dims, maps + maps_floats(fit));
}

/* Runs a function for views 0 .. count - 1, BATCH at a time. */
static dn_status for_views(struct fit *fit, int32_t count, int64_t before, int64_t total, pool_function function,
                           dn_error *error)
{
    for (fit->first = 0; fit->first < count; fit->first += BATCH) {
        int32_t now = count - fit->first < BATCH ? count - fit->first : BATCH;
        TRY(train_report(fit->watch, DN_PHASE_MAPS, before + fit->first, total, (double)NAN, error));
        memset(fit->errors, 0, BATCH * sizeof *fit->errors);
        pool_run(fit->workers, now, function, fit);
        for (int32_t i = 0; i < now; i++)
            if (fit->errors[i].status != DN_OK)
                return fail(error, fit->errors[i].status, "%s", fit->errors[i].message);
    }
    return train_report(fit->watch, DN_PHASE_MAPS, before + count, total, (double)NAN, error);
}

/* Both passes over the views: for the projection, then to project. */
static dn_status project_views(struct fit *fit, dn_error *error)
{
    int32_t count = fit->views, cells = (int32_t)grid_cells(fit);
    size_t channels = (size_t)fit->grid.channels;

    fit->selected = count < PROJECTION_VIEWS ? count : PROJECTION_VIEWS;
    fit->cells_each = PROJECTION_ROWS / fit->selected < cells ? PROJECTION_ROWS / fit->selected : cells;
    int64_t total = (int64_t)fit->selected + count;
    fit->rows = mem_alloc(&fit->allocator, (size_t)fit->selected * (size_t)fit->cells_each,
                          channels * sizeof *fit->rows);
    if (!fit->rows)
        return fail_memory(error, "the feature maps");
    dn_status status = for_views(fit, fit->selected, 0, total, take_rows, error);
    if (status == DN_OK)
        status = positions_fit_projection(fit->density, fit->rows, (int64_t)fit->selected * fit->cells_each,
                                          fit->workers, error);
    mem_free(&fit->allocator, fit->rows);
    fit->rows = NULL;
    return status == DN_OK ? for_views(fit, count, fit->selected, total, project_view, error) : status;
}

/* ---- folds ---- */

/* Views are in the fold of their image. */
static void choose_folds(struct fit *fit)
{
    int32_t each = fit->copies + 1;

    train_images_folds(fit->images, fit->folds, fit->seed, fit->fold);
    for (int32_t view = fit->views - 1; view >= 0; view--)
        fit->fold[view] = fit->fold[view / each];
}

/* Levels and highest value of the map of an image that the density has not seen. */
static void score_image(void *context, int32_t image, int32_t worker)
{
    const struct fit *fit = context;
    const positions *density = fit->density;
    size_t cells = grid_cells(fit), dims = (size_t)density->dims;
    float *map = fit->scratch + (size_t)worker * fit->scratch_stride;
    int32_t view = image * (fit->copies + 1);
    const float *z = fit->z + (size_t)view * cells * dims;

    if (fit->fold[view] != fit->left_out)
        return;
    for (size_t cell = 0; cell < cells; cell++)
        map[cell] = positions_distance(density, (int32_t)cell, z + cell * dims);
    fit->levels[image] = position_smooth(map, density->rows, density->columns, map + maps_floats(fit));
    position_normalise(map, cells, fit->levels[image].median);
    fit->peaks[image] = position_peak(map, cells);
}

static dn_status cross_fit(struct fit *fit, const positions_options *options, dn_error *error)
{
    for (fit->left_out = 0; fit->left_out < fit->folds; fit->left_out++) {
        TRY(train_report(fit->watch, DN_PHASE_POSITIONS, fit->left_out, fit->folds + 1, (double)NAN, error));
        TRY(positions_fit_cells(fit->density, options, fit->z, fit->views, fit->fold, fit->left_out, fit->workers,
                                error));
        pool_run(fit->workers, fit->images->count, score_image, fit);
    }
    return DN_OK;
}

/* ---- all of it ---- */

static dn_status allocate(struct fit *fit, int32_t dims, dn_error *error)
{
    const dn_allocator *allocator = &fit->allocator;
    size_t threads = (size_t)pool_threads(fit->workers), count = (size_t)fit->images->count, cells = grid_cells(fit);
    size_t views = (size_t)fit->views;
    size_t features = position_features_scratch(fit->extractor, 1), floats;

    TRY(positions_allocate(fit->grid.rows, fit->grid.columns, fit->grid.channels, dims, 1, allocator, &fit->density,
                           error));
    fit->canvas_stride = mem_padded_floats(view_floats(fit->extractor->input_size));
    /* The second part serves rows that are projected and maps that are smoothed, too. */
    if (features < maps_floats(fit))
        features = maps_floats(fit);
    fit->scratch_stride = maps_floats(fit) + features;
    fit->fold = mem_zalloc(allocator, views, sizeof *fit->fold);
    fit->levels = mem_zalloc(allocator, count, sizeof *fit->levels);
    fit->peaks = mem_zalloc(allocator, count, sizeof *fit->peaks);
    fit->errors = mem_zalloc(allocator, BATCH, sizeof *fit->errors);
    fit->canvases = mem_alloc(allocator, threads, fit->canvas_stride * sizeof *fit->canvases);
    fit->scratch = mem_alloc(allocator, threads, fit->scratch_stride * sizeof *fit->scratch);
    if (size_mul(views, cells, &floats))
        fit->z = mem_alloc(allocator, floats, (size_t)dims * sizeof *fit->z);
    if (!fit->fold || !fit->levels || !fit->peaks || !fit->errors || !fit->canvases || !fit->scratch || !fit->z)
        return fail_memory(error, "the density at every position");
    return DN_OK;
}

static void release(struct fit *fit)
{
    mem_free(&fit->allocator, fit->fold);
    mem_free(&fit->allocator, fit->levels);
    mem_free(&fit->allocator, fit->peaks);
    mem_free(&fit->allocator, fit->errors);
    mem_free(&fit->allocator, fit->canvases);
    mem_free(&fit->allocator, fit->scratch);
    mem_free(&fit->allocator, fit->z);
    positions_unref(fit->density);
}

static dn_status run_fit(struct fit *fit, trained_positions *out, dn_error *error)
{
    positions_options fit_options = positions_default_options();
    int32_t count = fit->images->count;

    fit_options.dims = fit->density->dims;
    fit_options.views = fit->copies + 1;
    TRY(project_views(fit, error));
    fit->folds = count < 2 ? 0 : count < fit->folds ? count : fit->folds;
    out->folds = fit->folds;
    if (fit->folds > 0) {
        choose_folds(fit);
        TRY(cross_fit(fit, &fit_options, error));
        out->scale = quantile(fit->peaks, count, MAP_SHARE);
        out->levels = fit->levels;
        fit->levels = NULL;
    }
    TRY(positions_fit_cells(fit->density, &fit_options, fit->z, fit->views, fit->fold, -1, fit->workers, error));
    TRY(train_report(fit->watch, DN_PHASE_POSITIONS, fit->folds + 1, fit->folds + 1, (double)NAN, error));
    TRY(pool_check(fit->workers, error));
    out->density = fit->density;
    fit->density = NULL;
    return DN_OK;
}

dn_status train_positions(const dn_extractor *extractor, const dn_train_options *options, const train_images *images,
                          pool *workers, const train_watch *watch, const dn_allocator *allocator,
                          trained_positions *out, dn_error *error)
{
    struct fit fit = {.extractor = extractor,
                      .images = images,
                      .workers = workers,
                      .watch = watch,
                      .allocator = *allocator,
                      .grid = maps_of(extractor),
                      .folds = options->folds > 0 ? options->folds : FOLDS,
                      .seed = options->seed};
    int32_t dims = options->position_dims < fit.grid.channels ? options->position_dims : fit.grid.channels;

    *out = (trained_positions){.allocator = *allocator};
    if (fit.grid.rows > POSITIONS_MAX_SIDE || fit.grid.columns > POSITIONS_MAX_SIDE)
        return fail(error, DN_E_LIMIT,
                    "feature maps of %d x %d cells: at most %d x %d are handled; use a smaller "
                    "input_size",
                    fit.grid.rows, fit.grid.columns, POSITIONS_MAX_SIDE, POSITIONS_MAX_SIDE);
    fit.copies = options->light ? light_copies(images->count) : 0;
    if (images->count > INT32_MAX / (fit.copies + 1))
        return fail(error, DN_E_LIMIT, "%d images are too many for the density at every position", images->count);
    fit.views = images->count * (fit.copies + 1);
    dn_status status = allocate(&fit, dims, error);
    if (status == DN_OK)
        status = run_fit(&fit, out, error);
    release(&fit);
    if (status != DN_OK)
        trained_positions_release(out);
    return status;
}

void trained_positions_release(trained_positions *trained)
{
    positions_unref(trained->density);
    mem_free(&trained->allocator, trained->levels);
    trained->density = NULL;
    trained->levels = NULL;
}
