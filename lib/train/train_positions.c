#include "train/train_positions.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "train/choose_copies.h"

/* Rows that mean, deviation and projection are found from, at most, and views that they come from: enough for the
 * covariance of a thousand channels. */
#define PROJECTION_ROWS 16384
#define PROJECTION_VIEWS 64

#define FOLDS 10       /* at most, unless another number is asked for */
#define MAP_SHARE 0.95 /* of good images whose map stays below the scale */

/* What the fit needs and makes on its way. */
struct fit {
    train_maps maps;
    const dn_train_options *options;
    dn_allocator allocator;
    positions *density;
    train_maps_progress progress;
    copy_plan plan;
    int32_t views; /* images and copies: an image's own view comes first among its copies */
    int32_t folds; /* at most; then as many as there are */
    int32_t *fold; /* (views): which fold a view is in, that of its image */
    float *z;      /* (views, cells, dims) */

    int32_t left_out;       /* fold that is scored */
    position_level *levels; /* (images.count) */
    double *peaks;          /* likewise */
};

/* ---- images -> z ---- */

/* Mean, deviation and projection, from the images themselves. */
static dn_status find_projection(struct fit *fit, dn_error *error)
{
    const train_images *images = fit->maps.images;
    int32_t cells = fit->maps.counted, chosen[PROJECTION_VIEWS];
    train_views views = {chosen, images->count < PROJECTION_VIEWS ? images->count : PROJECTION_VIEWS, NULL, -1, 1};
    int32_t cells_each = PROJECTION_ROWS / views.count < cells ? PROJECTION_ROWS / views.count : cells;

    fit->progress = (train_maps_progress){DN_PHASE_MAPS, 0, views.count + fit->views};
    for (int32_t i = 0; i < views.count; i++)
        chosen[i] = (int32_t)((int64_t)i * images->count / views.count);
    float *rows = mem_alloc(&fit->allocator, (size_t)views.count * (size_t)cells_each,
                            (size_t)fit->maps.grid.channels * sizeof *rows);
    if (!rows)
        return fail_memory(error, "the feature maps");
    dn_status status = train_maps_rows(&fit->maps, &views, cells_each, &fit->progress, rows, error);
    if (status == DN_OK)
        status = positions_fit_projection(fit->density, rows, (int64_t)views.count * cells_each, fit->maps.workers,
                                          error);
    mem_free(&fit->allocator, rows);
    return status;
}

/* Which copies there are to be. */
static dn_status plan_views(struct fit *fit, int32_t kind, dn_error *error)
{
    const dn_extractor *extractor = fit->maps.extractor;
    int32_t count = fit->maps.images->count;

    fit->plan = copies_planned(kind, count, fit->options->light, fit->options->seed, extractor->mean, extractor->std);
    if (count > INT32_MAX / (fit->plan.count + 2))
        return fail(error, DN_E_LIMIT, "%d images are too many for the density at every position", count);
    fit->views = count * (fit->plan.count + 1);
    return DN_OK;
}

static dn_status allocate_views(struct fit *fit, dn_error *error)
{
    size_t floats;

    fit->fold = mem_zalloc(&fit->allocator, (size_t)fit->views, sizeof *fit->fold);
    if (size_mul((size_t)fit->views, train_maps_cells(&fit->maps), &floats))
        fit->z = mem_alloc(&fit->allocator, floats, (size_t)fit->density->dims * sizeof *fit->z);
    return fit->fold && fit->z ? DN_OK : fail_memory(error, "the density at every position");
}

static dn_status project_views(struct fit *fit, dn_error *error)
{
    int32_t kind = fit->options->copies;
    _Bool choose = kind == DN_COPIES_AUTO && tiles_one(&fit->maps.images->plan);

    if (!tiles_one(&fit->maps.images->plan)) { /* a tile moved by itself is not what a moved image shows there */
        if (kind > DN_COPIES_NONE)
            return fail(error, DN_E_ARGUMENT,
                        "moved copies and several tiles do not go together: use copies none or "
                        "auto, or one tile");
        kind = DN_COPIES_NONE;
    }

    TRY(plan_views(fit, choose ? DN_COPIES_NONE : kind, error));
    TRY(find_projection(fit, error));
    if (choose) {
        TRY(choose_copies(&fit->maps, fit->density, fit->options->seed, &kind, error));
        TRY(plan_views(fit, kind, error));
        fit->progress.total = fit->progress.done + fit->views;
    }
    TRY(allocate_views(fit, error));
    train_views views = {NULL, fit->maps.images->count, &fit->plan, -1, fit->plan.count + 1};
    return train_maps_project(&fit->maps, &views, fit->density, &fit->progress, fit->z, error);
}

/* ---- folds ---- */

/* Views are in the fold of their image. */
static void choose_folds(struct fit *fit)
{
    int32_t each = fit->plan.count + 1;

    train_images_folds(fit->maps.images, fit->folds, fit->options->seed, fit->fold);
    for (int32_t view = fit->views - 1; view >= 0; view--)
        fit->fold[view] = fit->fold[view / each];
}

/* Levels and highest value of the map of an image that the density has not seen. */
static void score_image(void *context, int32_t image, int32_t worker)
{
    const struct fit *fit = context;
    const positions *density = fit->density;
    size_t cells = train_maps_cells(&fit->maps), dims = (size_t)density->dims;
    float *map = train_maps_worker(&fit->maps, worker);
    int32_t view = image * (fit->plan.count + 1);
    const float *z = fit->z + (size_t)view * cells * dims;

    if (fit->fold[view] != fit->left_out)
        return;
    const uint8_t *inside = train_maps_image_inside(&fit->maps, image, worker);
    for (size_t cell = 0; cell < cells; cell++)
        map[cell] = positions_distance(density, (int32_t)cell, z + cell * dims);
    fit->levels[image] = position_smooth(map, density->rows, density->columns, inside,
                                         map + train_maps_floats(&fit->maps));
    position_normalise(map, cells, fit->levels[image].median);
    fit->peaks[image] = position_peak(map, cells);
}

static dn_status cross_fit(struct fit *fit, const positions_options *options, dn_error *error)
{
    for (fit->left_out = 0; fit->left_out < fit->folds; fit->left_out++) {
        TRY(train_report(fit->maps.watch, DN_PHASE_POSITIONS, fit->left_out, fit->folds + 1, (double)NAN, error));
        TRY(positions_fit_cells(fit->density, options, fit->z, fit->views, fit->fold, fit->left_out, fit->maps.workers,
                                error));
        pool_run(fit->maps.workers, fit->maps.images->count, score_image, fit);
    }
    return DN_OK;
}

/* ---- all of it ---- */

static dn_status allocate(struct fit *fit, int32_t dims, dn_error *error)
{
    const dn_allocator *allocator = &fit->allocator;
    const maps_geometry *grid = &fit->maps.grid;
    size_t count = (size_t)fit->maps.images->count;

    TRY(positions_allocate(grid->rows, grid->columns, grid->channels, dims, 1, allocator, &fit->density, error));
    fit->levels = mem_zalloc(allocator, count, sizeof *fit->levels);
    fit->peaks = mem_zalloc(allocator, count, sizeof *fit->peaks);
    return fit->levels && fit->peaks ? DN_OK : fail_memory(error, "the density at every position");
}

static void release(struct fit *fit)
{
    mem_free(&fit->allocator, fit->fold);
    mem_free(&fit->allocator, fit->levels);
    mem_free(&fit->allocator, fit->peaks);
    mem_free(&fit->allocator, fit->z);
    positions_unref(fit->density);
    train_maps_release(&fit->maps);
}

static dn_status run_fit(struct fit *fit, trained_positions *out, dn_error *error)
{
    positions_options options = positions_default_options();
    int32_t count = fit->maps.images->count;

    TRY(project_views(fit, error));
    options.dims = fit->density->dims;
    options.views = fit->plan.count + 1;
    options.inside = train_maps_inside(&fit->maps);
    int32_t groups = fit->maps.images->groups.count;
    fit->folds = groups < 2 ? 0 : groups < fit->folds ? groups : fit->folds;
    out->folds = fit->folds;
    if (fit->folds > 0) {
        choose_folds(fit);
        TRY(cross_fit(fit, &options, error));
        out->scale = quantile(fit->peaks, count, MAP_SHARE);
        out->levels = fit->levels;
        out->peaks = fit->peaks;
        fit->levels = NULL;
        fit->peaks = NULL;
    }
    TRY(positions_fit_cells(fit->density, &options, fit->z, fit->views, fit->fold, -1, fit->maps.workers, error));
    TRY(train_report(fit->maps.watch, DN_PHASE_POSITIONS, fit->folds + 1, fit->folds + 1, (double)NAN, error));
    TRY(pool_check(fit->maps.workers, error));
    out->copies = fit->plan.kind;
    out->density = fit->density;
    fit->density = NULL;
    return DN_OK;
}

dn_status train_positions(const dn_extractor *extractor, const dn_train_options *options, const train_images *images,
                          pool *workers, const train_watch *watch, const dn_allocator *allocator,
                          trained_positions *out, dn_error *error)
{
    struct fit fit = {
        .options = options, .allocator = *allocator, .folds = options->folds > 0 ? options->folds : FOLDS};
    const maps_geometry grid = images->plan.grid;

    *out = (trained_positions){.allocator = *allocator};
    if (grid.rows > POSITIONS_MAX_SIDE || grid.columns > POSITIONS_MAX_SIDE)
        return fail(error, DN_E_LIMIT,
                    "feature maps of %d x %d cells: at most %d x %d are handled; use a smaller "
                    "input_size",
                    grid.rows, grid.columns, POSITIONS_MAX_SIDE, POSITIONS_MAX_SIDE);
    TRY(train_maps_init(&fit.maps, extractor, images, workers, watch, allocator, error));
    dn_status status = allocate(&fit, options->position_dims < grid.channels ? options->position_dims : grid.channels,
                                error);
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
    mem_free(&trained->allocator, trained->peaks);
    trained->density = NULL;
    trained->levels = NULL;
    trained->peaks = NULL;
}
