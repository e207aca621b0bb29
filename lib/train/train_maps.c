#include "train/train_maps.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "differnet/position_map.h"

size_t train_maps_cells(const train_maps *maps)
{
    return (size_t)maps->grid.rows * (size_t)maps->grid.columns;
}

size_t train_maps_floats(const train_maps *maps)
{
    return mem_padded_floats(train_maps_cells(maps) * (size_t)maps->grid.channels);
}

float *train_maps_worker(const train_maps *maps, int32_t worker)
{
    return maps->scratch + (size_t)worker * maps->scratch_stride;
}

dn_status train_maps_init(train_maps *maps, const dn_extractor *extractor, const train_images *images, pool *workers,
                          const train_watch *watch, const dn_allocator *allocator, dn_error *error)
{
    size_t threads = (size_t)pool_threads(workers), features = position_features_scratch(extractor, 1);

    *maps = (train_maps){.allocator = *allocator,
                         .extractor = extractor,
                         .images = images,
                         .workers = workers,
                         .watch = watch,
                         .grid = maps_of(extractor)};
    maps->canvas_stride = mem_padded_floats(view_floats(extractor->input_size));
    /* The second part serves rows that are projected and maps that are smoothed, too. */
    maps->scratch_stride = train_maps_floats(maps) +
                           (features > train_maps_floats(maps) ? features : train_maps_floats(maps));
    maps->errors = mem_zalloc(allocator, TRAIN_MAPS_BATCH, sizeof *maps->errors);
    maps->canvases = mem_alloc(allocator, threads, maps->canvas_stride * sizeof *maps->canvases);
    maps->scratch = mem_alloc(allocator, threads, maps->scratch_stride * sizeof *maps->scratch);
    if (maps->errors && maps->canvases && maps->scratch)
        return DN_OK;
    train_maps_release(maps);
    return fail_memory(error, "the feature maps");
}

void train_maps_release(train_maps *maps)
{
    mem_free(&maps->allocator, maps->errors);
    mem_free(&maps->allocator, maps->canvases);
    mem_free(&maps->allocator, maps->scratch);
    maps->errors = NULL;
    maps->canvases = NULL;
    maps->scratch = NULL;
}

/* What a worker makes of views. */
struct views_job {
    train_maps *maps;
    const train_views *views;
    int32_t first;      /* view of task 0 */
    int32_t cells_each; /* of train_maps_rows, or: */
    const positions *density;
    float *target;
};

/* Feature maps (rows, columns, channels) of a view. */
static dn_status view_maps(const struct views_job *job, int32_t view, int32_t worker, float **target, dn_error *error)
{
    const train_maps *maps = job->maps;
    const train_views *views = job->views;
    int32_t number = view / views->each, image = views->images ? views->images[number] : number;
    image_copy copy = {views->plan, image, views->first + view % views->each};
    uint16_t *buffer = maps->canvases + (size_t)worker * maps->canvas_stride;
    const uint16_t *canvas;

    *target = train_maps_worker(maps, worker);
    TRY(train_images_canvas(maps->images, image, buffer, &canvas, error));
    position_features(maps->extractor, canvas, views->plan ? copies_change : NULL, &copy, *target,
                      *target + train_maps_floats(maps), NULL);
    if (!floats_finite(*target, train_maps_cells(maps) * (size_t)maps->grid.channels)) {
        char label[TRAIN_LABEL];
        return fail(error, DN_E_NUMERIC, "%s: its feature maps are not finite: the backbone's numbers overflow",
                    train_images_label(maps->images, image, label));
    }
    return DN_OK;
}

static void take_rows(void *context, int32_t task, int32_t worker)
{
    const struct views_job *job = context;
    int32_t view = job->first + task;
    size_t channels = (size_t)job->maps->grid.channels, cells = train_maps_cells(job->maps);
    float *rows = job->target + (size_t)view * (size_t)job->cells_each * channels, *maps;
    dn_error *error = &job->maps->errors[task];

    error->status = view_maps(job, view, worker, &maps, error);
    for (int32_t i = 0; error->status == DN_OK && i < job->cells_each; i++) {
        size_t cell = ((size_t)i * cells / (size_t)job->cells_each + (size_t)view) % cells;
        memcpy(rows + (size_t)i * channels, maps + cell * channels, channels * sizeof *rows);
    }
}

static void project_view(void *context, int32_t task, int32_t worker)
{
    const struct views_job *job = context;
    int32_t view = job->first + task;
    size_t cells = train_maps_cells(job->maps);
    dn_error *error = &job->maps->errors[task];
    float *maps;

    error->status = view_maps(job, view, worker, &maps, error);
    if (error->status == DN_OK)
        positions_project(job->density, maps, (int32_t)cells,
                          job->target + (size_t)view * cells * (size_t)job->density->dims,
                          maps + train_maps_floats(job->maps));
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
                          float *rows, dn_error *error)
{
    struct views_job job = {.maps = maps, .views = views, .cells_each = cells_each, .target = rows};

    return for_views(&job, take_rows, progress, error);
}

dn_status train_maps_project(train_maps *maps, const train_views *views, const positions *density,
                             train_maps_progress *progress, float *z, dn_error *error)
{
    struct views_job job = {.maps = maps, .views = views, .density = density, .target = z};

    return for_views(&job, project_view, progress, error);
}
