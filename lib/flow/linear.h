/* Linear layers on a batch of rows: forward and both gradients.
 *
 * Activations are stored transposed, as (features, rows), and multiplied in groups of rows that lie side by side.  Some
 * of OpenBLAS' kernels add up in an order that depends on a row's place in the product and on the number of rows; with
 * groups of LINEAR_GROUP all places are treated alike (on one OpenBLAS thread), so that a row's bits depend on the row
 * alone.  Where that is not needed, one group of all rows is faster with most kernels.
 *
 * Every product is cut into tiles of constant size, each one task of the pool.  Neither the cut nor what happens inside
 * a tile depends on the number of threads, so neither do the bits of the result. */
#ifndef DN_FLOW_LINEAR_H
#define DN_FLOW_LINEAR_H

#include "base/pool.h"

#define LINEAR_GROUP 16

/* Weights of one tile of the weight's gradient: few whole rows, so that an update walks through memory in order, and
 * small enough to stay in the cache until then. */
#define LINEAR_TILE 64
#define LINEAR_TILE_COLUMNS 2048

/* Floats of scratch per worker for linear_weight_gradient: one tile, and the bias' part. */
#define LINEAR_SCRATCH ((size_t)LINEAR_TILE * LINEAR_TILE_COLUMNS + LINEAR_TILE)

typedef struct linear {
    int32_t in, out;
    const float *weight; /* (out, in) */
    const float *bias;   /* (out) */
} linear;

/* A batch: `rows` rows, handled in groups of `group` (a divisor). */
typedef struct row_batch {
    int32_t rows, group;
} row_batch;

/* y = W x + bias, then max(y, 0) if `relu`.  x: (in, rows), y: (out, rows). */
void linear_forward(const linear *layer, const float *x, row_batch batch, _Bool relu, float *y, pool *workers);

/* dx = W^T dy, set to 0 where gate <= 0.  dy: (out, rows); gate: x itself, which is the output of a ReLU;
 * gate, dx: (in, rows). */
void linear_input_gradient(const linear *layer, const float *dy, const float *gate, row_batch batch, float *dx,
                           pool *workers);
/* dx += W^T dy. */
void linear_input_gradient_add(const linear *layer, const float *dy, row_batch batch, float *dx, pool *workers);

/* Receives `n` gradients of the parameters from `first` on: the layer's weight, then its bias.  Called once for each
 * parameter, by any worker at any time. */
typedef void (*linear_sink)(void *context, const float *first, size_t n, const float *gradient);

/* dW = dy x^T and dbias = sum of dy over the rows, handed to `sink` tile by tile and never stored as a whole.
 * x: (in, rows), dy: (out, rows); scratch: LINEAR_SCRATCH floats per thread of the pool. */
void linear_weight_gradient(const linear *layer, const float *x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *scratch, pool *workers);

#endif
