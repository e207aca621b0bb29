/* Linear layers on a batch of rows: forward and both gradients.
 *
 * Activations are stored transposed, as (features, rows).  Every product is cut into tasks of constant size.  Neither
 * the cut nor what happens inside a task depends on the number of threads, and a product's bits not on the cut
 * (base/product.h): so the bits of y and dx of a row depend on the row alone, if there are PRODUCT_LANES rows in all or
 * a multiple of that. */
#ifndef DN_FLOW_LINEAR_H
#define DN_FLOW_LINEAR_H

#include "base/pool.h"

typedef struct linear {
    int32_t in, out;
    const float *weight; /* (out, in) */
    const float *bias;   /* (out) */
} linear;

/* y = W x + bias, then max(y, 0) if `relu`.  x: (in, rows), y: (out, rows). */
void linear_forward(const linear *layer, const float *x, int32_t rows, _Bool relu, float *y, pool *workers);

/* Gradients of some of the parameters of a layer: `rows` rows of `columns` each, `stride` parameters apart. */
typedef struct linear_tile {
    const float *first; /* the parameters: a part of the layer's weight or bias */
    size_t rows, columns, stride;
    const float *gradient; /* (rows, columns) */
    size_t place;          /* of the first parameter, in arrays ordered by place: there a tile has no gaps */
} linear_tile;

/* Where the gradients go, tile by tile: they are never stored as a whole.
 *
 * What belongs to a parameter, as an optimiser's moments do, is best kept in the order in which tiles come: by place,
 * so that it is read from memory in one go.  Parameters have the same place in all arrays, counted from `parameters`;
 * a bias keeps the one it has there. */
typedef struct linear_sink {
    /* Each parameter is in one tile, which any worker may hand over at any time, after linear_backward has used the
     * tile for the last time: `take` may change it. */
    void (*take)(void *context, const linear_tile *tile);
    void *context;
    const float *parameters; /* where all layers' parameters start */
    const float *arrays;     /* two arrays ordered by place, fetched before `take` updates them; NULL: none */
    int64_t arrays_apart;    /* floats from the first to the second, which is in the same block of memory */
    float *transposed;       /* (in, rows) of any layer: scratch */
} linear_sink;

/* From the order of the parameters (weight, then bias) to that of their places. */
void linear_by_place(const linear *layer, const float *by_parameter, float *by_place);

/* dx = W^T dy, but 0 where x <= 0: x is the output of a ReLU.  If `add`: dx += W^T dy.
 * With a sink also dW = dy x^T, and dbias = sum of dy over the rows.  x, dx: (in, rows), dy: (out, rows). */
void linear_backward(const linear *layer, const float *x, const float *dy, int32_t rows, _Bool add, float *dx,
                     const linear_sink *sink, pool *workers);

#endif
