/* Linear layers on a batch of rows: forward and both gradients.
 *
 * Every product is cut into tiles of constant size, each one blas_gemm and one task of the pool.  Neither the cut nor
 * what happens inside a tile depends on the number of threads, so neither do the bits of the result. */
#ifndef DN_FLOW_LINEAR_H
#define DN_FLOW_LINEAR_H

#include "base/pool.h"

#define LINEAR_TILE 128          /* columns of a forward or input-gradient tile; rows of a weight-gradient tile */
#define LINEAR_TILE_COLUMNS 1024 /* columns of a weight-gradient tile */

/* Floats of scratch per worker for linear_weight_gradient: one tile, and the bias' part. */
#define LINEAR_SCRATCH ((size_t)LINEAR_TILE * LINEAR_TILE_COLUMNS + LINEAR_TILE)

typedef struct linear {
    int32_t in, out;
    const float *weight; /* (out, in) */
    const float *bias;   /* (out) */
} linear;

/* Rows of floats that may be a part of wider rows. */
typedef struct rows_view {
    const float *data;
    int64_t stride; /* floats from one row to the next */
} rows_view;

/* y = x W^T + bias, then max(y, 0) if `relu`.  x: (rows, in), y: (rows, out) without gaps. */
void linear_forward(const linear *layer, rows_view x, int32_t rows, _Bool relu, float *y, pool *workers);

/* dx = dy W, set to 0 where gate <= 0.  dy: (rows, out); gate: x itself if it is the output of a ReLU, (rows, in).
 * dx: (rows, in). */
void linear_input_gradient(const linear *layer, const float *dy, const float *gate, int32_t rows, float *dx,
                           pool *workers);
/* dx += dy W.  dx: (rows, in), dx_stride floats from row to row. */
void linear_input_gradient_add(const linear *layer, const float *dy, int32_t rows, float *dx, int64_t dx_stride,
                               pool *workers);

/* Receives `n` gradients of the parameters from `first` on: the layer's weight, then its bias.  Called once for each
 * parameter, by any worker at any time. */
typedef void (*linear_sink)(void *context, const float *first, size_t n, const float *gradient);

/* dW = dy^T x and dbias = sum of dy's rows, handed to `sink` tile by tile and never stored as a whole.
 * x: (rows, in), dy: (rows, out); scratch: LINEAR_SCRATCH floats per thread of the pool. */
void linear_weight_gradient(const linear *layer, rows_view x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *scratch, pool *workers);

#endif
