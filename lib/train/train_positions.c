#include "train/train_positions.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "train/choose_copies.h"

/* Rows that mean, deviation and projection are found from, at most: enough for the covariance of a thousand channels.
 * They come from few of the images.  In the directions that are found from its own rows an image looks more unusual than
 * a new one does: judged there, those images would make all scores of good images too high and verdicts too mild
 * (docs/accuracy.md, "False alarms: promised and observed"). */
#define PROJECTION_ROWS 16384
#define PROJECTION_SHARE 5 /* one image of so many */
#define PROJECTION_LEAST 8
#define PROJECTION_MOST 64

/* Up to so many images those that gave the projection are judged in a second one, from as many others: every image is
 * needed.  With more they are not judged, and the memory of a second projection of all is saved.  Then those that are kept
 * out of the flow's training, which alone calibrate, give none. */
#define SECOND_MOST 128

#define DETAIL_DIMS 40  /* dimensions of the details, at most */
#define DETAIL_WEIGHT 1 /* of their distances beside the others: docs/accuracy.md, "A finer grid" */

#define FEW_IMAGES 40 /* at most: what a fold lacks is felt, so that each is a fold */

#define MAP_SHARE 0.95 /* of good images whose map stays below the scale */

/* What the fit needs and makes on its way. */
struct fit {
    train_maps maps;
    const dn_train_options *options;
    dn_allocator allocator;
    train_maps_progress progress;
    int32_t folds;       /* at most; then as many as there are; 0: too few images */
    int32_t given;       /* the first so many folds have the images that the projection is found from */
    int32_t *image_fold; /* (images.count) */
    uint8_t *kept;       /* (images.count): 1: gives no projection */
    /* The model's, and where there are few images one in whose projection the images of the first `given` folds have no
     * part: they are judged there. */
    train_space spaces[2];
    int32_t space_count;
    copy_plan plan;
    int32_t views;        /* images and copies: an image's own view comes first among its copies */
    int32_t *fold;        /* (views): which fold a view is in, that of its image */
    uint8_t *fine_inside; /* (cells of the details) */

    train_space *judge;                /* the space whose views are fitted */
    positions_fit *cells, *fine_fit;   /* there, of the density and of the details */
    float *distances, *fine_distances; /* (images, cells), (images, cells of the details): of those that are judged */
    int32_t left_out;                  /* fold that is judged */
    position_level *levels;            /* (images.count) */
    double *peaks;                     /* likewise */
    int32_t *judged;                   /* likewise: 1 where the two are set, -1 where they shall not be */
};

/* ---- folds ---- */

/* Images that the projection is found from. */
static int32_t projection_images(int32_t images)
{
    int32_t some = images / PROJECTION_SHARE;

    some = some < PROJECTION_LEAST ? PROJECTION_LEAST : some > PROJECTION_MOST ? PROJECTION_MOST : some;
    return some < images ? some : images;
}

/* Folds of whole groups.  The first ones, half of them at most, have the images that the projection is found from. */
static void choose_folds(struct fit *fit)
{
    const train_images *images = fit->maps.images;
    int32_t groups = images->groups.count, enough = projection_images(images->count), there = 0;

    fit->folds = groups < 2 ? 0 : groups < fit->folds ? groups : fit->folds;
    fit->space_count = fit->folds > 0 && images->count <= SECOND_MOST ? 2 : 1;
    if (fit->folds == 0)
        return;
    train_images_folds(images, fit->folds, fit->options->seed, fit->image_fold);
    for (int32_t i = images->train_count; fit->space_count == 1 && i < images->train_count + images->holdout_count; i++)
        fit->kept[images->split[i]] = 1;
    while (there < enough && fit->given < fit->folds / 2) {
        for (int32_t i = 0; i < images->count; i++)
            there += fit->image_fold[i] == fit->given && !fit->kept[i];
        fit->given++;
    }
    if (there == 0)
        memset(fit->kept, 0, (size_t)images->count);
}

/* ---- images -> z ---- */

static int32_t rows_each(int32_t views, size_t cells)
{
    return (size_t)(PROJECTION_ROWS / views) < cells ? PROJECTION_ROWS / views : (int32_t)cells;
}

/* Whether the projection of space 0 or 1 may be found from an image. */
static _Bool may_give(const struct fit *fit, int32_t space, int32_t image)
{
    int32_t first = space * fit->given;

    return fit->folds == 0 ||
           (!fit->kept[image] && fit->image_fold[image] >= first && fit->image_fold[image] < first + fit->given);
}

/* Those that it is found from, evenly from those that may: their number. */
static int32_t choose_sources(const struct fit *fit, int32_t space, int32_t chosen[PROJECTION_MOST])
{
    const train_images *images = fit->maps.images;
    int32_t there = 0, count = 0;

    for (int32_t i = 0; i < images->count; i++)
        there += may_give(fit, space, i);
    int32_t wanted = projection_images(images->count);
    wanted = wanted < there ? wanted : there;
    for (int32_t i = 0, seen = 0; i < images->count; i++)
        if (may_give(fit, space, i)) {
            if (count < wanted && seen == (int64_t)count * there / wanted)
                chosen[count++] = i;
            seen++;
        }
    return count;
}

/* Images that gave the projection, and others of their groups, are not judged in it. */
static void mark_sources(struct fit *fit)
{
    const int32_t *group = fit->maps.images->groups.group;
    int32_t chosen[PROJECTION_MOST], count = choose_sources(fit, 0, chosen);

    for (int32_t i = 0; i < fit->maps.images->count; i++)
        for (int32_t k = 0; k < count; k++)
            if (group[i] == group[chosen[k]])
                fit->judged[i] = -1;
}

/* Mean, deviation and projection of both densities of a space. */
static dn_status find_projections(struct fit *fit, int32_t space, dn_error *error)
{
    positions *density = fit->spaces[space].density, *details = density->details;
    int32_t chosen[PROJECTION_MOST];
    train_views views = {chosen, choose_sources(fit, space, chosen), NULL, -1, 1};
    int32_t each = rows_each(views.count, (size_t)fit->maps.counted);
    int32_t fine_each = details ? rows_each(views.count, train_maps_details(&fit->maps)) : 0;
    size_t floats = (size_t)views.count * (size_t)each, fine_floats = (size_t)views.count * (size_t)fine_each;

    float *rows = mem_alloc(&fit->allocator, floats, (size_t)fit->maps.grid.channels * sizeof *rows), *fine = NULL;
    if (details)
        fine = mem_alloc(&fit->allocator, fine_floats, (size_t)details->channels * sizeof *fine);
    dn_status status = rows && (fine || !details) ? DN_OK : fail_memory(error, "the feature maps");
    if (status == DN_OK)
        status = train_maps_rows(&fit->maps, &views, each, &fit->progress, rows, fine_each, fine, error);
    if (status == DN_OK)
        status = positions_fit_projection(density, rows, (int64_t)floats, fit->maps.workers, error);
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

static dn_status allocate_space(const struct fit *fit, train_space *space, dn_error *error)
{
    const positions *density = space->density;
    size_t floats;

    if (size_mul((size_t)fit->views, train_maps_cells(&fit->maps), &floats))
        space->z = mem_alloc(&fit->allocator, floats, (size_t)density->dims * sizeof *space->z);
    if (density->details)
        space->fine = mem_alloc(&fit->allocator, (size_t)fit->views,
                                train_maps_details(&fit->maps) * (size_t)density->details->dims * sizeof *space->fine);
    return space->z && (space->fine || !density->details) ? DN_OK : fail_memory(error, "the density at every position");
}

/* Views are in the fold of their image.  And room for what they are projected to, and for what is told of the images. */
static dn_status allocate_views(struct fit *fit, dn_error *error)
{
    size_t images = (size_t)fit->maps.images->count, fine = train_maps_details(&fit->maps);
    _Bool details = fit->spaces[0].density->details != NULL;

    fit->fold = mem_alloc(&fit->allocator, (size_t)fit->views, sizeof *fit->fold);
    fit->distances = mem_alloc(&fit->allocator, images, train_maps_cells(&fit->maps) * sizeof *fit->distances);
    if (details) {
        fit->fine_inside = mem_alloc(&fit->allocator, fine, sizeof *fit->fine_inside);
        fit->fine_distances = mem_alloc(&fit->allocator, images, fine * sizeof *fit->fine_distances);
    }
    if (!fit->fold || !fit->distances || (details && (!fit->fine_inside || !fit->fine_distances)))
        return fail_memory(error, "the density at every position");
    for (int32_t view = 0; view < fit->views; view++)
        fit->fold[view] = fit->image_fold[view / (fit->plan.count + 1)];
    for (int32_t i = 0; i < fit->space_count; i++)
        TRY(allocate_space(fit, &fit->spaces[i], error));
    return DN_OK;
}

/* A density of the shape of the maps, to be fitted. */
static dn_status allocate_density(const struct fit *fit, _Bool details, positions **out, dn_error *error)
{
    const maps_geometry *grid = &fit->maps.grid, *fine = &fit->maps.details;
    const dn_allocator *allocator = &fit->allocator;
    int32_t dims = fit->options->position_dims < grid->channels ? fit->options->position_dims : grid->channels;

    TRY(positions_allocate(grid->rows, grid->columns, grid->channels, dims, 1, allocator, out, error));
    if (!details)
        return DN_OK;
    (*out)->detail_weight = DETAIL_WEIGHT;
    return positions_allocate(fine->rows, fine->columns, fine->channels,
                              fine->channels < DETAIL_DIMS ? fine->channels : DETAIL_DIMS, 1, allocator,
                              &(*out)->details, error);
}

/* Views that the watcher is told of: those of the projections and all. */
static int64_t count_views(const struct fit *fit)
{
    int32_t chosen[PROJECTION_MOST];
    int64_t total = fit->views;

    for (int32_t i = 0; i < fit->space_count; i++)
        total += choose_sources(fit, i, chosen);
    return total;
}

static dn_status project_views(struct fit *fit, dn_error *error)
{
    int32_t kind = fit->options->copies;
    positions *density = fit->spaces[0].density;
    _Bool choose = kind == DN_COPIES_AUTO && tiles_one(&fit->maps.images->plan), fixed = 0;
    _Bool judge = density->details && fit->options->details == DN_DETAILS_AUTO;

    if (!tiles_one(&fit->maps.images->plan)) { /* a tile moved by itself is not what a moved image shows there */
        if (kind > DN_COPIES_NONE)
            return fail(error, DN_E_ARGUMENT,
                        "moved copies and several tiles do not go together: use copies none or "
                        "auto, or one tile");
        kind = DN_COPIES_NONE;
    }

    TRY(plan_views(fit, choose ? DN_COPIES_NONE : kind, error));
    fit->progress = (train_maps_progress){DN_PHASE_MAPS, 0, count_views(fit)};
    TRY(find_projections(fit, 0, error));
    if (choose || judge) {
        TRY(choose_copies(&fit->maps, density, fit->options->seed, choose ? &kind : NULL, &fixed, error));
        if (judge && !fixed) { /* where nothing is ever in the same place twice they harm */
            positions_unref(density->details);
            density->details = NULL;
        }
        TRY(plan_views(fit, kind, error));
        fit->progress.total = count_views(fit);
    }
    if (fit->space_count > 1) {
        TRY(allocate_density(fit, density->details != NULL, &fit->spaces[1].density, error));
        TRY(find_projections(fit, 1, error));
    }
    TRY(allocate_views(fit, error));
    train_views views = {NULL, fit->maps.images->count, &fit->plan, -1, fit->plan.count + 1};
    return train_maps_project(&fit->maps, &views, fit->spaces, fit->space_count, &fit->progress, error);
}

/* ---- cross-fitting ---- */

/* Levels and highest value of the map of an image that the density has not seen. */
static void score_image(void *context, int32_t image, int32_t worker)
{
    const struct fit *fit = context;
    const positions *density = fit->judge->density;
    size_t cells = train_maps_cells(&fit->maps), fine = train_maps_details(&fit->maps);
    float *map = train_maps_worker(&fit->maps, worker);

    if (fit->image_fold[image] != fit->left_out || fit->judged[image] < 0)
        return;
    const uint8_t *inside = train_maps_image_inside(&fit->maps, image, worker);
    memcpy(map, fit->distances + (size_t)image * cells, cells * sizeof *map);
    if (density->details)
        positions_add_details(density, fit->fine_distances + (size_t)image * fine, (float)density->detail_weight, map);
    fit->levels[image] = position_smooth(map, density->rows, density->columns, inside,
                                         map + train_maps_floats(&fit->maps));
    position_normalise(map, cells, fit->levels[image].median);
    fit->peaks[image] = position_peak(map, cells);
    fit->judged[image] = 1;
}

static void close_space(struct fit *fit)
{
    positions_fit_free(fit->cells);
    positions_fit_free(fit->fine_fit);
    fit->cells = NULL;
    fit->fine_fit = NULL;
}

/* The sums over all views of a space, for fits of both its densities. */
static dn_status open_space(struct fit *fit, train_space *space, dn_error *error)
{
    positions_options options = positions_default_options();
    positions *density = space->density, *details = density->details;
    pool *workers = fit->maps.workers;

    close_space(fit);
    fit->judge = space;
    options.dims = density->dims;
    options.views = fit->plan.count + 1;
    options.inside = train_maps_inside(&fit->maps);
    TRY(positions_fit_create(density, &options, space->z, fit->views, workers, &fit->cells, error));
    if (!details)
        return DN_OK;
    options.dims = details->dims;
    options.inside = train_maps_details_inside(&fit->maps, fit->fine_inside);
    return positions_fit_create(details, &options, space->fine, fit->views, workers, &fit->fine_fit, error);
}

/* Folds from `first` to before `end`, judged in a space. */
static dn_status judge_folds(struct fit *fit, train_space *space, int32_t first, int32_t end, dn_error *error)
{
    TRY(open_space(fit, space, error));
    for (fit->left_out = first; fit->left_out < end; fit->left_out++) {
        TRY(train_report(fit->maps.watch, DN_PHASE_POSITIONS, fit->left_out, fit->folds + 1, (double)NAN, error));
        TRY(positions_fit_judge(fit->cells, fit->fold, fit->left_out, fit->distances, error));
        if (fit->fine_fit)
            TRY(positions_fit_judge(fit->fine_fit, fit->fold, fit->left_out, fit->fine_distances, error));
        pool_run(fit->maps.workers, fit->maps.images->count, score_image, fit);
    }
    return DN_OK;
}

static void release_views(const struct fit *fit, train_space *space)
{
    mem_free(&fit->allocator, space->z);
    mem_free(&fit->allocator, space->fine);
    space->z = NULL;
    space->fine = NULL;
}

/* All folds; then the first space is open. */
static dn_status cross_fit(struct fit *fit, dn_error *error)
{
    if (fit->space_count == 1) {
        mark_sources(fit);
        return judge_folds(fit, &fit->spaces[0], 0, fit->folds, error);
    }
    TRY(judge_folds(fit, &fit->spaces[1], 0, fit->given, error));
    release_views(fit, &fit->spaces[1]);
    return judge_folds(fit, &fit->spaces[0], fit->given, fit->folds, error);
}

/* What the model keeps. */
static dn_status fit_all(struct fit *fit, dn_error *error)
{
    TRY(positions_fit_all(fit->cells, error));
    return fit->fine_fit ? positions_fit_all(fit->fine_fit, error) : DN_OK;
}

/* ---- all of it ---- */

static dn_status allocate(struct fit *fit, dn_error *error)
{
    const maps_geometry *fine = &fit->maps.details;
    int32_t wanted = fit->options->details;
    size_t count = (size_t)fit->maps.images->count;
    _Bool there = fine->rows > 0 && fine->rows <= POSITIONS_MAX_SIDE && fine->columns <= POSITIONS_MAX_SIDE;

    if (wanted == DN_DETAILS_ON && !there)
        return fail(error, DN_E_ARGUMENT,
                    "there are no details with several tiles, nor with this backbone: leave them to auto");
    TRY(allocate_density(fit, there && wanted != DN_DETAILS_OFF, &fit->spaces[0].density, error));
    fit->image_fold = mem_zalloc(&fit->allocator, count, sizeof *fit->image_fold);
    fit->kept = mem_zalloc(&fit->allocator, count, sizeof *fit->kept);
    fit->levels = mem_zalloc(&fit->allocator, count, sizeof *fit->levels);
    fit->peaks = mem_zalloc(&fit->allocator, count, sizeof *fit->peaks);
    fit->judged = mem_zalloc(&fit->allocator, count, sizeof *fit->judged);
    return fit->image_fold && fit->kept && fit->levels && fit->peaks && fit->judged
               ? DN_OK
               : fail_memory(error, "the density at every position");
}

static void release(struct fit *fit)
{
    close_space(fit);
    for (int32_t i = 0; i < 2; i++) {
        release_views(fit, &fit->spaces[i]);
        positions_unref(fit->spaces[i].density);
    }
    mem_free(&fit->allocator, fit->image_fold);
    mem_free(&fit->allocator, fit->kept);
    mem_free(&fit->allocator, fit->fold);
    mem_free(&fit->allocator, fit->levels);
    mem_free(&fit->allocator, fit->peaks);
    mem_free(&fit->allocator, fit->judged);
    mem_free(&fit->allocator, fit->fine_inside);
    mem_free(&fit->allocator, fit->distances);
    mem_free(&fit->allocator, fit->fine_distances);
    train_maps_release(&fit->maps);
}

/* What the folds told. */
static void take_judged(struct fit *fit, trained_positions *out)
{
    for (int32_t i = 0; i < fit->maps.images->count; i++) {
        int32_t row = out->judged;
        fit->levels[row] = fit->levels[i];
        if (fit->judged[i] > 0 && train_images_first(fit->maps.images, i))
            fit->peaks[out->peak_count++] = fit->peaks[i];
        out->judged += fit->judged[i] > 0;
        fit->judged[i] = fit->judged[i] > 0 ? row : -1;
    }
    out->scale = quantile(fit->peaks, out->peak_count, MAP_SHARE);
    out->levels = fit->levels;
    out->peaks = fit->peaks;
    out->row = fit->judged;
    fit->levels = NULL;
    fit->peaks = NULL;
    fit->judged = NULL;
}

static dn_status run_fit(struct fit *fit, trained_positions *out, dn_error *error)
{
    choose_folds(fit);
    TRY(project_views(fit, error));
    out->folds = fit->folds;
    if (fit->folds > 0) {
        TRY(cross_fit(fit, error));
        take_judged(fit, out);
    } else {
        TRY(open_space(fit, &fit->spaces[0], error));
    }
    TRY(fit_all(fit, error));
    TRY(train_report(fit->maps.watch, DN_PHASE_POSITIONS, fit->folds + 1, fit->folds + 1, (double)NAN, error));
    TRY(pool_check(fit->maps.workers, error));
    out->copies = fit->plan.kind;
    out->density = fit->spaces[0].density;
    fit->spaces[0].density = NULL;
    return DN_OK;
}

dn_status train_positions(const dn_extractor *extractor, const dn_train_options *options, const train_images *images,
                          pool *workers, const train_watch *watch, const dn_allocator *allocator,
                          trained_positions *out, dn_error *error)
{
    int32_t folds = images->groups.count > FEW_IMAGES ? POSITIONS_FOLDS : FEW_IMAGES;
    struct fit fit = {
        .options = options, .allocator = *allocator, .folds = options->folds > 0 ? options->folds : folds};
    const maps_geometry grid = images->plan.grid;

    *out = (trained_positions){.allocator = *allocator};
    if (grid.rows > POSITIONS_MAX_SIDE || grid.columns > POSITIONS_MAX_SIDE)
        return fail(error, DN_E_LIMIT,
                    "feature maps of %d x %d cells: at most %d x %d are handled; use a smaller "
                    "input_size",
                    grid.rows, grid.columns, POSITIONS_MAX_SIDE, POSITIONS_MAX_SIDE);
    TRY(train_maps_init(&fit.maps, extractor, images, workers, watch, allocator, error));
    dn_status status = allocate(&fit, error);
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
    mem_free(&trained->allocator, trained->row);
    trained->density = NULL;
    trained->levels = NULL;
    trained->peaks = NULL;
    trained->row = NULL;
}
