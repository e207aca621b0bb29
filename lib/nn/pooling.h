/* Pooling and global average on NHWC data, forward and gradient in one file. */
#ifndef DN_NN_POOLING_H
#define DN_NN_POOLING_H

#include <stdint.h>

typedef struct pool_spec {
    int32_t channels, kernel_h, kernel_w, stride;
    int32_t pad_top, pad_left, pad_bottom, pad_right; /* smaller than the kernel.  Maximum: as -infinity; average:
                                                         counted as zeros (PyTorch's default) */
} pool_spec;

/* x: (in_h, in_w, channels) -> y: (out_h, out_w, channels); output size as conv_out. */
void maxpool_forward(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, float *y);
/* dx: the gradient goes to the first maximum of each window in row order (PyTorch's choice); overwritten. */
void maxpool_gradient(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, const float *dy, float *dx);
void avgpool_forward(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, float *y);
void avgpool_gradient(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *dy, float *dx);

/* mean over positions: x (positions, channels) -> mean (channels), summed in double. */
void global_mean_forward(const float *x, int32_t positions, int32_t channels, float *mean);
/* dx[p][c] += dmean[c] / positions. */
void global_mean_gradient(const float *dmean, int32_t positions, int32_t channels, float *dx);

#endif
