/* 2-D convolution on NHWC data, with its gradient towards the input.
 *
 * `views` inputs of the same size lie one behind the other.  Several at once share the passes over the weights; each
 * one's bits are those that it has alone. */
#ifndef DN_NN_CONV_H
#define DN_NN_CONV_H

#include <stddef.h>
#include <stdint.h>

#include "nn/activation.h"

struct pool; /* base/pool.h */

/* A convolution layer; weights are shared by all scales, the input's height and width come with each call. */
typedef struct conv_spec {
    int32_t in_c, out_c;
    int32_t kernel_h, kernel_w, stride;
    int32_t pad_top, pad_left, pad_bottom, pad_right; /* smaller than the kernel */
    int32_t groups;                                   /* 1, or in_c = out_c (depthwise) */
    const float *weight;                              /* (kernel_h, kernel_w, in_c / groups, out_c) */
    const float *bias;                                /* (out_c) */
    const float *packed; /* conv_pack's result: weights as the fast algorithm wants them; NULL without one */
} conv_spec;

/* Output size: floor((in + pads - kernel) / stride) + 1; <= 0 if the input is too small. */
int32_t conv_out(int32_t in, int32_t pad_before, int32_t pad_after, int32_t kernel, int32_t stride);

/* Floats that conv_pack writes; 0: this layer's algorithm needs none.  The choice depends on the layer and the input
 * size only, never on timing, so that results are the same on every run. */
size_t conv_packed_floats(const conv_spec *spec);
void conv_pack(const conv_spec *spec, float *packed);

/* Floats of scratch for the calls below with up to `views` views of this size. */
size_t conv_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w);
size_t conv_gradient_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w);

/* y = activation(conv(x) + bias).  x: (views, in_h, in_w, in_c) -> y: (views, out_h, out_w, out_c). */
void conv_forward(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *x,
                  enum activation activation, float *y, float *scratch);
/* conv_forward of one view, its work shared out: the same bits for any number of workers.  (The direct method's
 * products and depthwise layers run on the caller alone.)  scratch: conv_shared_scratch(). */
size_t conv_shared_scratch(const conv_spec *spec, int32_t in_h, int32_t in_w, int32_t threads);
void conv_forward_shared(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *x, enum activation activation,
                         float *y, float *scratch, struct pool *workers);
/* dx = gradient of <dy, conv(x)>.  dy: (views, out_h, out_w, out_c) -> dx: (views, in_h, in_w, in_c), overwritten. */
void conv_gradient(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *dy, float *dx,
                   float *scratch);

#endif
