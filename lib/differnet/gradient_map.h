/* The paper's heat map (section 3.5): the gradient of the loss towards the pixels of each view, rotated back, blurred,
 * averaged. */
#ifndef DN_DIFFERNET_GRADIENT_MAP_H
#define DN_DIFFERNET_GRADIENT_MAP_H

#include "base/pool.h"
#include "cnn/view_features.h"
#include "differnet/model.h"

/* Views whose maps are kept apart until they are summed, in order: the sum's bits then do not depend on the number of
 * threads. */
#define GRADIENT_MAP_BLOCK 16

/* Starts as zeros. */
typedef struct gradient_map {
    dn_allocator allocator;
    const dn_model *model; /* borrowed; it has a flow */
    pool *workers;         /* borrowed */
    int32_t views;
    double sigma;            /* pixels of a view */
    double *angles;          /* (views) */
    const uint16_t *canvas;  /* (height, width, 3), of the run */
    float *features;         /* (views, dim), standardised */
    float *feature_gradient; /* (views, dim) */
    float *flow_scratch;
    view_features stage; /* its workers' scratch serves the gradients, too: views (FEATURES_BLOCK, height, width, 3),
                                as much for their gradient, then what features_gradient needs */
    float *view_maps;    /* (BLOCK, height, width): mean over channels of the views' absolute gradients */
    int32_t first;       /* view of the first of view_maps */
    float *map;          /* (height, width) */
} gradient_map;

/* workers: of options->threads threads. */
dn_status gradient_map_init(gradient_map *self, const dn_model *model, const dn_localizer_options *options,
                            const dn_allocator *allocator, pool *workers, dn_error *error);
void gradient_map_release(gradient_map *self);
/* *map: the unscaled map of a canvas (height, width, 3) at the network's resolution, (height, width); valid until the
 * next run. */
dn_status gradient_map_run(gradient_map *self, const uint16_t *canvas, const float **map, dn_error *error);

#endif
