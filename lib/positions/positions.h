/* The density at every position of the feature maps: a Gaussian for each cell of the grid (PaDiM: Defard et al., 2020),
 * of projected and whitened features, its covariance from the cell and its neighbours, shrunk towards the one that all
 * cells share (docs/numerics.md, "Positions").
 *
 * An image's maps are (rows, columns, channels), one row of `channels` features a cell, cell after cell. */
#ifndef DN_POSITIONS_POSITIONS_H
#define DN_POSITIONS_POSITIONS_H

#include <stdatomic.h>

#include "base/pool.h"
#include "differnet.h"
#include "format/safetensors.h"

#define POSITIONS_MAX_DIMS 512
#define POSITIONS_MAX_SIDE 512 /* rows, columns */
#define POSITIONS_MAX_CHANNELS 65536

/* Immutable once it is fitted, and then shared. */
typedef struct positions {
    atomic_int references;
    dn_allocator allocator;
    int32_t rows, columns, channels, dims;
    float *mean;         /* (channels) of all rows */
    float *projection;   /* (channels, dims): z = (y - mean) projection is standardised, projected and white */
    float *centre;       /* (rows * columns, dims): mean of z in each cell */
    const float *factor; /* (rows * columns, dims (dims + 1) / 2): of each cell's covariance U'U, the upper triangle of
                            the inverse of U, row by row; in `owned`, or in a mapped file that keep_alive holds */
    float *owned;        /* NULL if the factors are mapped */
    struct positions *details; /* a density of the details (cnn/maps.h), on their finer grid, whose distances are added
                                  to this one's; NULL: none.  Freed with this one */
    double detail_weight;      /* of their distances, > 0 */
    void (*release)(void *keep_alive); /* called when freed; may be NULL */
    void *keep_alive;
} positions;

static inline size_t positions_triangle(int32_t dims)
{
    return (size_t)dims * ((size_t)dims + 1) / 2;
}

static inline size_t positions_cells(const positions *p)
{
    return (size_t)p->rows * (size_t)p->columns;
}

/* One with unset numbers; the factors are allocated, or NULL (`own` 0).  The shape has been checked. */
dn_status positions_allocate(int32_t rows, int32_t columns, int32_t channels, int32_t dims, _Bool own,
                             const dn_allocator *allocator, positions **out, dn_error *error);
positions *positions_ref(positions *p);
void positions_unref(positions *p); /* NULL is allowed */

/* z (cells, dims) = (maps - mean) projection of `cells` rows of maps (cells, channels).
 * scratch: cells * channels floats. */
void positions_project(const positions *p, const float *maps, int32_t cells, float *z, float *scratch);
/* Squared Mahalanobis distance over dims of each cell: about 1 in good images.  z: (dims); cell: row-major index. */
float positions_distance(const positions *p, int32_t cell, const float *z);
/* map (rows, columns) of distances of an image's maps (rows, columns, channels).
 * scratch: positions_map_scratch() floats for each worker. */
size_t positions_map_scratch(const positions *p);
void positions_map(const positions *p, const float *maps, float *map, float *scratch, pool *workers);
/* map (rows, columns) += weight times the largest distance of the details in each cell.
 * fine: (rows, columns) of the details. */
void positions_add_details(const positions *p, const float *fine, float weight, float *map);

/* ---- positions_fit.c ---- */

typedef struct positions_options {
    int32_t dims;          /* at most: no more than there are channels */
    double prior;          /* rows that the shared covariance counts as */
    double floor;          /* added to the diagonal of each covariance */
    double neighbour;      /* weight of the rows of a cell's neighbours, > 0 */
    int32_t views;         /* of each image, one behind the other in z: each counts as its share of an image */
    const uint8_t *inside; /* (cells): the others, marked 0, are not looked at, nor learned from; NULL: all count */
} positions_options;
positions_options positions_default_options(void);

/* Mean, projection and whitening from `count` rows (count, channels); they are changed (standardised). */
dn_status positions_fit_projection(positions *p, float *rows, int64_t count, pool *workers, dn_error *error);
/* The Gaussians of n views.  z: (n, cells, dims). */
dn_status positions_fit_cells(positions *p, const positions_options *options, const float *z, int32_t n, pool *workers,
                              dn_error *error);

/* The same, and how far images are from all but themselves and others of their fold: the sums over all views are taken
 * once.  What is given is borrowed until it is freed. */
typedef struct positions_fit positions_fit;
dn_status positions_fit_create(positions *p, const positions_options *options, const float *z, int32_t n, pool *workers,
                               positions_fit **out, dn_error *error);
void positions_fit_free(positions_fit *fit); /* NULL is allowed */
/* Fits the density to all views. */
dn_status positions_fit_all(positions_fit *fit, dn_error *error);
/* As positions_distance() by a density of the views whose entry in `fold` (n) is not `left_out`, of which there must be
 * some: of the other images' own views, their rows in distances (n / options.views, cells). */
dn_status positions_fit_judge(positions_fit *fit, const int32_t *fold, int32_t left_out, float *distances,
                              dn_error *error);

/* ---- positions_io.c ---- */

/* Adds tensors under `prefix`: mean, projection, centre (float32) and factor (as `stored` says). */
void positions_to_tensors(const positions *p, const char *prefix, enum st_type stored, st_writer *writer);
/* What positions_to_tensors wrote, for maps of `channels` channels.  Float32 factors are used in place if they are
 * aligned: *in_place tells, and the caller sets release and keep_alive; in_place NULL: they are always copied.  NaN and
 * infinity are DN_E_NUMERIC except, without `verify`, in factors that are used in place: these are not read at all. */
dn_status positions_from_tensors(const st_file *file, const char *prefix, int32_t channels,
                                 const dn_allocator *allocator, _Bool *in_place, _Bool verify, positions **out,
                                 dn_error *error);

#endif
