/* Feature maps of the training's images and of their copies, for the density at every position: many views at a time, by
 * all workers. */
#ifndef DN_TRAIN_TRAIN_MAPS_H
#define DN_TRAIN_TRAIN_MAPS_H

#include "base/pool.h"
#include "cnn/maps.h"
#include "positions/positions.h"
#include "train/copies.h"
#include "train/train_images.h"
#include "train/watch.h"

typedef struct train_maps {
    dn_allocator allocator;
    const dn_extractor *extractor; /* borrowed, like the next three */
    const train_images *images;
    pool *workers;
    const train_watch *watch;
    maps_geometry grid;    /* of the images' plan */
    uint8_t *inside;       /* (cells): counts in at least one image; then per worker (cells) for one image */
    int32_t counted;       /* cells that do */
    uint16_t *canvases;    /* per worker: (height, width, 3) of the images' plan */
    int32_t *held;         /* per worker: the image that its canvas holds, -1: none */
    float *scratch;        /* per worker: maps, then what position_features needs, then details */
    maps_geometry details; /* grid of the details; 0 rows: there are none */
    size_t canvas_stride, scratch_stride, details_at; /* the last one: within the scratch */
    dn_error *errors;                                 /* (TRAIN_MAPS_BATCH) */
} train_maps;

/* Views between two looks at the watcher. */
#define TRAIN_MAPS_BATCH 16

/* On failure there is nothing to release; DN_E_ARGUMENT if nothing of an image counts. */
dn_status train_maps_init(train_maps *maps, const dn_extractor *extractor, const train_images *images, pool *workers,
                          const train_watch *watch, const dn_allocator *allocator, dn_error *error);
void train_maps_release(train_maps *maps);

/* Cells of the grid; floats of an image's maps, padded. */
size_t train_maps_cells(const train_maps *maps);
size_t train_maps_floats(const train_maps *maps);
/* The cells that are learned from; NULL: all. */
const uint8_t *train_maps_inside(const train_maps *maps);
/* The cells of one image that count, in the worker's memory; NULL: all. */
const uint8_t *train_maps_image_inside(const train_maps *maps, int32_t image, int32_t worker);
/* A worker's scratch: two parts of train_maps_floats() floats. */
float *train_maps_worker(const train_maps *maps, int32_t worker);
/* Cells of the details' grid, 0: there are none.  Which of them are learned from: those in cells that are, into `inside`
 * (of them); NULL if all are. */
size_t train_maps_details(const train_maps *maps);
const uint8_t *train_maps_details_inside(const train_maps *maps, uint8_t *inside);

/* Which views: `each` of every image, the image itself and then its copies, or some copies alone. */
typedef struct train_views {
    const int32_t *images; /* (count): numbers of the images; NULL: 0 ... */
    int32_t count;         /* images */
    const copy_plan *plan; /* NULL: no copies */
    int32_t first, each;   /* copies first .. first + each - 1 of each image, -1 being the image itself */
} train_views;

/* What the watcher is told: `done` views of `total` of a phase before these. */
typedef struct train_maps_progress {
    int32_t phase;
    int64_t done, total;
} train_maps_progress;

/* Every so many of the cells that are learned from, of each view, `cells_each`, beginning at another cell in each.
 * rows: (count * each * cells_each, channels).  fine_rows: likewise of all cells of the details, fine_each of each
 * view; NULL: none. */
dn_status train_maps_rows(train_maps *maps, const train_views *views, int32_t cells_each, train_maps_progress *progress,
                          float *rows, int32_t fine_each, float *fine_rows, dn_error *error);
/* Where a density's projection puts views.  z: (views, cells, dims); fine: likewise of the density's details, NULL: they
 * are not looked at. */
typedef struct train_space {
    positions *density;
    float *z, *fine;
} train_space;

/* The views' maps, projected into each of `count` spaces, all of which look at details or none. */
dn_status train_maps_project(train_maps *maps, const train_views *views, const train_space *spaces, int32_t count,
                             train_maps_progress *progress, dn_error *error);

#endif
