#include "train/train_maps.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "differnet/inside.h"
#include "differnet/position_map.h"

size_t train_maps_cells(const train_maps *maps)
{
    return (size_t)maps->grid.rows * (size_t)maps->grid.columns;
}

size_t train_maps_floats(const train_maps *maps)
{
    return position_maps_floats(&maps->grid);
}

float *train_maps_worker(const train_maps *maps, int32_t worker)
{
    return maps->scratch + (size_t)worker * maps->scratch_stride;
}

size_t train_maps_details(const train_maps *maps)
{
    return (size_t)maps->details.rows * (size_t)maps->details.columns;
}

const uint8_t *train_maps_details_inside(const train_maps *maps, uint8_t *inside)
{
    const maps_geometry *fine = &maps->details, *grid = &maps->grid;
    const uint8_t *coarse = train_maps_inside(maps);

    for (int32_t y = 0; coarse && y < fine->rows; y++)
        for (int32_t x = 0; x < fine->columns; x++)
            *inside++ = coarse[y * grid->rows / fine->rows * grid->columns + x * grid->columns / fine->columns];
    return coarse ? inside - train_maps_details(maps) : NULL;
}

const uint8_t *train_maps_inside(const train_maps *maps)
{
    return (size_t)maps->counted < train_maps_cells(maps) ? maps->inside : NULL;
}

const uint8_t *train_maps_image_inside(const train_maps *maps, int32_t image, int32_t worker)
{
    const train_image *added = &maps->images->list[image];
    uint8_t *inside = maps->inside + (size_t)(worker + 1) * train_maps_cells(maps);
    int32_t count = inside_masked(&maps->images->plan, &maps->images->mask, added->width, added->height, inside);

    return (size_t)count < train_maps_cells(maps) ? inside : NULL;
}

/* Cells that count in at least one image. */
static dn_status find_inside(train_maps *maps, dn_error *error)
{
    const train_images *images = maps->images;
    size_t cells = train_maps_cells(maps);
    uint8_t *own = maps->inside + cells;
    _Bool partly;

    for (int32_t i = 0; i < images->count; i++) {
        const train_image *added = &images->list[i];
        dn_error cause = {0};
        char label[TRAIN_LABEL];
        if (inside_find(&images->plan, &images->mask, added->width, added->height, own, &partly, &cause) != DN_OK)
            return fail(error, cause.status, "%s: %s", train_images_label(images, i, label), cause.message);
        for (size_t cell = 0; cell < cells; cell++)
            maps->inside[cell] |= own[cell];
    }
    for (size_t cell = 0; cell < cells; cell++)
        maps->counted += maps->inside[cell];
    return DN_OK;
}

dn_status train_maps_init(train_maps *maps, const dn_extractor *extractor, const train_images *images, pool *workers,
                          const train_watch *watch, const dn_allocator *allocator, dn_error *error)
{
    const tile_plan *plan = &images->plan;
    size_t threads = (size_t)pool_threads(workers), features = position_features_scratch(extractor, plan, 1);

    *maps = (train_maps){.allocator = *allocator,
                         .extractor = extractor,
                         .images = images,
                         .workers = workers,
                         .watch = watch,
                         .grid = plan->grid};
    if (tiles_one(plan))
        maps->details = maps_details_of(extractor);
    maps->canvas_stride = mem_padded_floats(tile_canvas_samples(plan));
    /* The second part serves rows that are projected and maps that are smoothed, too. */
    size_t fine = mem_padded_floats(train_maps_details(maps) * (size_t)maps->details.channels);
    size_t second = features > train_maps_floats(maps) ? features : train_maps_floats(maps);
    second = second > fine ? second : fine;
    maps->details_at = train_maps_floats(maps) + second;
    maps->scratch_stride = maps->details_at + fine;
    maps->errors = mem_zalloc(allocator, TRAIN_MAPS_BATCH, sizeof *maps->errors);
    maps->canvases = mem_alloc(allocator, threads, maps->canvas_stride * sizeof *maps->canvases);
    maps->held = mem_alloc(allocator, threads, sizeof *maps->held);
    maps->scratch = mem_alloc(allocator, threads, maps->scratch_stride * sizeof *maps->scratch);
    maps->inside = mem_zalloc(allocator, threads + 1, train_maps_cells(maps) * sizeof *maps->inside);
    _Bool made = maps->errors && maps->canvases && maps->held && maps->scratch && maps->inside;
    for (size_t i = 0; made && i < threads; i++)
        maps->held[i] = -1;
    dn_status status = made ? find_inside(maps, error) : fail_memory(error, "the feature maps");
    if (status != DN_OK)
        train_maps_release(maps);
    return status;
}

void train_maps_release(train_maps *maps)
{
    mem_free(&maps->allocator, maps->errors);
    mem_free(&maps->allocator, maps->canvases);
    mem_free(&maps->allocator, maps->held);
    mem_free(&maps->allocator, maps->scratch);
    mem_free(&maps->allocator, maps->inside);
    maps->inside = NULL;
    maps->errors = NULL;
    maps->canvases = NULL;
    maps->held = NULL;
    maps->scratch = NULL;
}

/* What a worker makes of views. */
struct views_job {
    train_maps *maps;
    const train_views *views;
    int32_t first;      /* view of task 0 */
    _Bool details;      /* are looked at */
    int32_t cells_each; /* of train_maps_rows */
    float *rows;
    int32_t fine_each;
    float *fine_rows;
    const train_space *spaces; /* (count) of train_maps_project */
    int32_t count;
};

/* An image's canvas.  Views of one image come one after the other, and a file is not read for each of them. */
static dn_status view_canvas(const train_maps *maps, int32_t image, int32_t worker, const uint16_t **canvas,
                             dn_error *error)
{
    uint16_t *buffer = maps->canvases + (size_t)worker * maps->canvas_stride;

    *canvas = buffer;
    if (maps->held[worker] == image)
        return DN_OK;
    maps->held[worker] = -1;
    TRY(train_images_tiles(maps->images, image, buffer, canvas, error));
    if (*canvas == buffer)
        maps->held[worker] = image;
    return DN_OK;
}

/* Feature maps (rows, columns, channels) of a view. */
static dn_status view_maps(const struct views_job *job, int32_t view, int32_t worker, float **target, dn_error *error)
{
    const train_maps *maps = job->maps;
    const train_views *views = job->views;
    int32_t number = view / views->each, image = views->images ? views->images[number] : number;
    image_copy copy = {views->plan, image, views->first + view % views->each};
    const uint16_t *canvas;

    *target = train_maps_worker(maps, worker);
    TRY(view_canvas(maps, image, worker, &canvas, error));
    position_features(maps->extractor, &maps->images->plan, canvas, views->plan ? copies_change : NULL, &copy, *target,
                      job->details ? *target + maps->details_at : NULL, *target + train_maps_floats(maps), NULL);
    if (!floats_finite(*target, train_maps_cells(maps) * (size_t)maps->grid.channels) ||
        (job->details &&
         !floats_finite(*target + maps->details_at, train_maps_details(maps) * (size_t)maps->details.channels))) {
        char label[TRAIN_LABEL];
        return fail(error, DN_E_NUMERIC, "%s: its feature maps are not finite: the backbone's numbers overflow",
                    train_images_label(maps->images, image, label));
    }
    return DN_OK;
}

/* Cell `number` of those that are learned from. */
static size_t counted_cell(const train_maps *maps, size_t number)
{
    size_t cell = 0;

    if (!train_maps_inside(maps))
        return number;
    for (number += 1; number > 0; cell++)
        number -= maps->inside[cell];
    return cell - 1;
}

static void take_rows(void *context, int32_t task, int32_t worker)
{
    const struct views_job *job = context;
    int32_t view = job->first + task;
    size_t channels = (size_t)job->maps->grid.channels, cells = (size_t)job->maps->counted;
    float *rows = job->rows + (size_t)view * (size_t)job->cells_each * channels, *maps;
    dn_error *error = &job->maps->errors[task];

    error->status = view_maps(job, view, worker, &maps, error);
    for (int32_t i = 0; error->status == DN_OK && i < job->cells_each; i++) {
        size_t cell = ((size_t)i * cells / (size_t)job->cells_each + (size_t)view) % cells;
        memcpy(rows + (size_t)i * channels, maps + counted_cell(job->maps, cell) * channels, channels * sizeof *rows);
    }
    channels = (size_t)job->maps->details.channels;
    cells = train_maps_details(job->maps);
    for (int32_t i = 0; job->details && error->status == DN_OK && i < job->fine_each; i++) {
        size_t cell = ((size_t)i * cells / (size_t)job->fine_each + (size_t)view) % cells;
        memcpy(job->fine_rows + ((size_t)view * (size_t)job->fine_each + (size_t)i) * channels,
               maps + job->maps->details_at + cell * channels, channels * sizeof *rows);
    }
}

static void project_view(void *context, int32_t task, int32_t worker)
{
    const struct views_job *job = context;
    size_t view = (size_t)(job->first + task), cells = train_maps_cells(job->maps);
    size_t fine_cells = train_maps_details(job->maps);
    dn_error *error = &job->maps->errors[task];
    float *maps;

    error->status = view_maps(job, (int32_t)view, worker, &maps, error);
    for (const train_space *space = job->spaces; error->status == DN_OK && space < job->spaces + job->count; space++) {
        const positions *density = space->density;
        float *scratch = maps + train_maps_floats(job->maps);
        positions_project(density, maps, (int32_t)cells, space->z + view * cells * (size_t)density->dims, scratch);
        if (space->fine)
            positions_project(density->details, maps + job->maps->details_at, (int32_t)fine_cells,
                              space->fine + view * fine_cells * (size_t)density->details->dims, scratch);
    }
}

/* Runs a function for all views, TRAIN_MAPS_BATCH at a time. */
static dn_status for_views(struct views_job *job, pool_function function, train_maps_progress *progress,
                           dn_error *error)
{
    train_maps *maps = job->maps;
    int32_t count = job->views->count * job->views->each;

    for (job->first = 0; job->first < count; job->first += TRAIN_MAPS_BATCH) {
        int32_t now = count - job->first < TRAIN_MAPS_BATCH ? count - job->first : TRAIN_MAPS_BATCH;
        TRY(train_report(maps->watch, progress->phase, progress->done, progress->total, (double)NAN, error));
        memset(maps->errors, 0, TRAIN_MAPS_BATCH * sizeof *maps->errors);
        pool_run(maps->workers, now, function, job);
        for (int32_t i = 0; i < now; i++)
            if (maps->errors[i].status != DN_OK)
                return fail(error, maps->errors[i].status, "%s", maps->errors[i].message);
        progress->done += now;
    }
    return train_report(maps->watch, progress->phase, progress->done, progress->total, (double)NAN, error);
}

dn_status train_maps_rows(train_maps *maps, const train_views *views, int32_t cells_each, train_maps_progress *progress,
                          float *rows, int32_t fine_each, float *fine_rows, dn_error *error)
{
    struct views_job job = {.maps = maps,
                            .views = views,
                            .details = fine_rows != NULL,
                            .cells_each = cells_each,
                            .rows = rows,
                            .fine_each = fine_each,
                            .fine_rows = fine_rows};

    return for_views(&job, take_rows, progress, error);
}

dn_status train_maps_project(train_maps *maps, const train_views *views, const train_space *spaces, int32_t count,
                             train_maps_progress *progress, dn_error *error)
{
    struct views_job job = {
        .maps = maps, .views = views, .details = spaces[0].fine != NULL, .spaces = spaces, .count = count};

    return for_views(&job, project_view, progress, error);
}
