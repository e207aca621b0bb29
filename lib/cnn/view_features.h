/* Views of images to rows of features: render, CNN, and standardise if asked.  Blocks of an image's views are the tasks
 * of a pool. */
#ifndef DN_CNN_VIEW_FEATURES_H
#define DN_CNN_VIEW_FEATURES_H

#include "base/pool.h"
#include "cnn/features.h"
#include "image/view.h"

/* What the workers need.  Starts as zeros. */
typedef struct view_features {
    const dn_extractor *extractor; /* borrowed */
    dn_allocator allocator;
    size_t stride;  /* floats of a worker */
    float *scratch; /* (threads, stride) */
} view_features;

/* `views` views of each of `images` images. */
typedef struct view_batch {
    int32_t images, views;
    const uint16_t *const *canvases; /* (images), each (height, width, 3) */
    const double *angles;            /* degrees: (views), the same for all images; (images, views) if own_angles */
    _Bool own_angles;
    const view_jitter *jitters;    /* (images, views); NULL: none */
    const float *mean, *deviation; /* (feature_dim): what the rows are standardised with; NULL: they are not */
} view_batch;

/* least: floats that each worker's scratch has at least, because its owner has a use for it between two calls. */
dn_status view_features_init(view_features *stage, const dn_extractor *extractor, int32_t threads, size_t least,
                             const dn_allocator *allocator, dn_error *error);
void view_features_release(view_features *stage);

/* Scratch of a worker, aligned to 64 bytes. */
static inline float *view_features_scratch(const view_features *stage, int32_t worker)
{
    return stage->scratch + (size_t)worker * stage->stride;
}

/* rows: (images, views, feature_dim).  workers: of `threads` threads, or NULL.  Allocates nothing.  Rows of a hostile
 * backbone may be infinite or NaN: the caller looks. */
void view_features_compute(const view_features *stage, pool *workers, const view_batch *batch, float *rows);

/* One view (height, width, 3) as the CNN takes it.  jitter: NULL for none. */
void view_features_render(const dn_extractor *extractor, const uint16_t *canvas, double angle,
                          const view_jitter *jitter, float *view);

/* rows (n, dim) = (rows - mean) / deviation, in place. */
void view_features_standardise(float *rows, size_t n, size_t dim, const float *mean, const float *deviation);

#endif
