#include "train/train_positions.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "train/choose_copies.h"

/* Rows that mean, deviation and projection are found from, at most: enough for the covariance of a thousand channels.
 * They come from few of the images.  In the directions that are found from its own rows an image looks more unusual than
 * a new one does; were they found from all images, all good scores would be too high and verdicts too mild
 * (docs/accuracy.md, "False alarms: promised and observed"). */
#define PROJECTION_ROWS 16384
#define PROJECTION_SHARE 5 /* one image of so many */
#define PROJECTION_LEAST 8
#define PROJECTION_MOST 64

#define DETAIL_DIMS 40  /* dimensions of the details, at most */
#define DETAIL_WEIGHT 1 /* of their distances beside the others: docs/accuracy.md, "A finer grid" */

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
    int32_t views;        /* images and copies: an image's own view comes first among its copies */
    int32_t folds;        /* at most; then as many as there are */
    int32_t *fold;        /* (views): which fold a view is in, that of its image */
    float *z;             /* (views, cells, dims) */
    float *fine;          /* likewise of the details; NULL: there are none */
    uint8_t *fine_inside; /* (cells of the details) */

    int32_t left_out;       /* fold that is scored */
    position_level *levels; /* (images.count) */
    double *peaks;          /* likewise */
};

/* ---- images -> z ---- */

static int32_t projection_views(int32_t images)
{
    int32_t views = images / PROJECTION_SHARE;

    views = views < PROJECTION_LEAST ? PROJECTION_LEAST : views > PROJECTION_MOST ? PROJECTION_MOST : views;
    return views < images ? views : images;
}

static int32_t rows_each(int32_t views, size_t cells)
{
    return (size_t)(PROJECTION_ROWS / views) < cells ? PROJECTION_ROWS / views : (int32_t)cells;
}

/* Mean, deviation and projection of both densities. */
static dn_status find_projections(struct fit *fit, dn_error *error)
{
    const train_images *images = fit->maps.images;
    positions *details = fit->density->details;
    int32_t chosen[PROJECTION_MOST];
    train_views views = {chosen, projection_views(images->count), NULL, -1, 1};
    int32_t each = rows_each(views.count, (size_t)fit->maps.counted);
    int32_t fine_each = details ? rows_each(views.count, train_maps_details(&fit->maps)) : 0;
    size_t floats = (size_t)views.count * (size_t)each, fine_floats = (size_t)views.count * (size_t)fine_each;

    fit->progress = (train_maps_progress){DN_PHASE_MAPS, 0, views.count + fit->views};
    for (int32_t i = 0; i < views.count; i++)
        chosen[i] = (int32_t)((int64_t)i * images->count / views.count);
    float *rows = mem_alloc(&fit->allocator, floats, (size_t)fit->maps.grid.channels * sizeof *rows), *fine = NULL;
    if (details)
        fine = mem_alloc(&fit->allocator, fine_floats, (size_t)details->channels * sizeof *fine);
    dn_status status = rows && (fine || !details) ? DN_OK : fail_memory(error, "the feature maps");
    if (status == DN_OK)
        status = train_maps_rows(&fit->maps, &views, each, &fit->progress, rows, fine_each, fine, error);
    if (status == DN_OK)
        status = positions_fit_projection(fit->density, rows, (int64_t)floats, fit->maps.workers, error);
    if (status == DN_OK && details)
        status = positions_fit_projection(details, fine, (int64_t)fine_floats, fit->maps.workers, error);
    mem_free(&fit->allocator, rows);
    mem_free(&fit->allocator, fine);
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
    _Bool failed = !fit->fold || !fit->z;
    if (fit->density->details) {
        fit->fine = mem_alloc(&fit->allocator, (size_t)fit->views,
                              train_maps_details(&fit->maps) * (size_t)fit->density->details->dims * sizeof *fit->fine);
        fit->fine_inside = mem_alloc(&fit->allocator, train_maps_details(&fit->maps), sizeof *fit->fine_inside);
        failed |= !fit->fine || !fit->fine_inside;
    }
    return failed ? fail_memory(error, "the density at every position") : DN_OK;
}

static dn_status project_views(struct fit *fit, dn_error *error)
{
    int32_t kind = fit->options->copies;
    _Bool choose = kind == DN_COPIES_AUTO && tiles_one(&fit->maps.images->plan), fixed = 0;
    _Bool judge = fit->density->details && fit->options->details == DN_DETAILS_AUTO;

    if (!tiles_one(&fit->maps.images->plan)) { /* a tile moved by itself is not what a moved image shows there */
        if (kind > DN_COPIES_NONE)
            return fail(error, DN_E_ARGUMENT,
                        "moved copies and several tiles do not go together: use copies none or "
                        "auto, or one tile");
        kind = DN_COPIES_NONE;
    }

    TRY(plan_views(fit, choose ? DN_COPIES_NONE : kind, error));
    TRY(find_projections(fit, error));
    if (choose || judge) {
        TRY(choose_copies(&fit->maps, fit->density, fit->options->seed, choose ? &kind : NULL, &fixed, error));
        if (judge && !fixed) { /* where nothing is ever in the same place twice they harm */
            positions_unref(fit->density->details);
            fit->density->details = NULL;
        }
        TRY(plan_views(fit, kind, error));
        fit->progress.total = fit->progress.done + fit->views;
    }
    TRY(allocate_views(fit, error));
    train_views views = {NULL, fit->maps.images->count, &fit->plan, -1, fit->plan.count + 1};
    return train_maps_project(&fit->maps, &views, fit->density, &fit->progress, fit->z, fit->fine, error);
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

/* map (cells) += those of the details.  fine: (cells of the details). */
static void add_details(const struct fit *fit, int32_t view, float *fine, float *map)
{
    const positions *details = fit->density->details;
    size_t cells = positions_cells(details), dims = (size_t)details->dims;
    const float *z = fit->fine + (size_t)view * cells * dims;

    for (size_t cell = 0; cell < cells; cell++)
        fine[cell] = positions_distance(details, (int32_t)cell, z + cell * dims);
    positions_add_details(fit->density, fine, (float)fit->density->detail_weight, map);
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
    if (density->details)
        add_details(fit, view, map + train_maps_floats(&fit->maps), map);
    fit->levels[image] = position_smooth(map, density->rows, density->columns, inside,
                                         map + train_maps_floats(&fit->maps));
    position_normalise(map, cells, fit->levels[image].median);
    fit->peaks[image] = position_peak(map, cells);
}

/* Both densities, of all views but those of a fold (-1: of all). */
static dn_status fit_cells(struct fit *fit, const positions_options *options, int32_t left_out, dn_error *error)
{
    positions *details = fit->density->details;
    positions_options fine = *options;

    TRY(positions_fit_cells(fit->density, options, fit->z, fit->views, fit->fold, left_out, fit->maps.workers, error));
    if (!details)
        return DN_OK;
    fine.dims = details->dims;
    fine.inside = train_maps_details_inside(&fit->maps, fit->fine_inside);
    return positions_fit_cells(details, &fine, fit->fine, fit->views, fit->fold, left_out, fit->maps.workers, error);
}

static dn_status cross_fit(struct fit *fit, const positions_options *options, dn_error *error)
{
    for (fit->left_out = 0; fit->left_out < fit->folds; fit->left_out++) {
        TRY(train_report(fit->maps.watch, DN_PHASE_POSITIONS, fit->left_out, fit->folds + 1, (double)NAN, error));
        TRY(fit_cells(fit, options, fit->left_out, error));
        pool_run(fit->maps.workers, fit->maps.images->count, score_image, fit);
    }
    return DN_OK;
}

/* ---- all of it ---- */

static dn_status allocate(struct fit *fit, int32_t dims, dn_error *error)
{
    const dn_allocator *allocator = &fit->allocator;
    const maps_geometry *grid = &fit->maps.grid;
    int32_t count = fit->maps.images->count;

    TRY(positions_allocate(grid->rows, grid->columns, grid->channels, dims, 1, allocator, &fit->density, error));
    const maps_geometry *fine = &fit->maps.details;
    int32_t wanted = fit->options->details;
    _Bool there = fine->rows > 0 && fine->rows <= POSITIONS_MAX_SIDE && fine->columns <= POSITIONS_MAX_SIDE;
    if (wanted == DN_DETAILS_ON && !there)
        return fail(error, DN_E_ARGUMENT,
                    "there are no details with several tiles, nor with this backbone: leave them to auto");
    if (there && wanted != DN_DETAILS_OFF) {
        TRY(positions_allocate(fine->rows, fine->columns, fine->channels,
                               fine->channels < DETAIL_DIMS ? fine->channels : DETAIL_DIMS, 1, allocator,
                               &fit->density->details, error));
        fit->density->detail_weight = DETAIL_WEIGHT;
    }
    fit->levels = mem_zalloc(allocator, (size_t)count, sizeof *fit->levels);
    fit->peaks = mem_zalloc(allocator, (size_t)count, sizeof *fit->peaks);
    return fit->levels && fit->peaks ? DN_OK : fail_memory(error, "the density at every position");
}

static void release(struct fit *fit)
{
    mem_free(&fit->allocator, fit->fold);
    mem_free(&fit->allocator, fit->levels);
    mem_free(&fit->allocator, fit->peaks);
    mem_free(&fit->allocator, fit->z);
    mem_free(&fit->allocator, fit->fine);
    mem_free(&fit->allocator, fit->fine_inside);
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
    TRY(fit_cells(fit, &options, -1, error));
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
