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

/* dx = W^T dy, set to 0 where gate <= 0.  dy: (out, rows); gate: x itself, which is the output of a ReLU;
 * gate, dx: (in, rows). */
void linear_input_gradient(const linear *layer, const float *dy, const float *gate, int32_t rows, float *dx,
                           pool *workers);
/* dx += W^T dy. */
void linear_input_gradient_add(const linear *layer, const float *dy, int32_t rows, float *dx, pool *workers);

/* Gradients of some of the parameters of a layer: `rows` rows of `columns` each, `stride` parameters apart. */
typedef struct linear_tile {
    const float *first;    /* the parameters: a part of the layer's weight or bias */
    size_t rows, columns, stride;
    const float *gradient; /* (rows, columns) */
} linear_tile;

/* Receives the gradients of a tile.  Each parameter is in one tile, which any worker may hand over at any time. */
typedef void (*linear_sink)(void *context, const linear_tile *tile);

/* dW = dy x^T and dbias = sum of dy over the rows, handed to `sink` tile by tile and never stored as a whole.
 * x: (in, rows), dy: (out, rows); transposed: (rows, in), scratch. */
void linear_weight_gradient(const linear *layer, const float *x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *transposed, pool *workers);

#endif
