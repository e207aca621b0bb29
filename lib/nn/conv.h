/* 2-D convolution on NHWC data, with its gradient towards the input.  One view at a time: the batch is outside. */
#ifndef DN_NN_CONV_H
#define DN_NN_CONV_H

#include <stddef.h>
#include <stdint.h>

enum activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6 };

/* A convolution layer; weights are shared by all scales, the input's height and width come with each call. */
typedef struct conv_spec {
    int32_t in_c, out_c;
    int32_t kernel_h, kernel_w, stride;
    int32_t pad_top, pad_left, pad_bottom, pad_right; /* smaller than the kernel */
    int32_t groups;      /* 1, or in_c = out_c (depthwise) */
    const float *weight; /* (kernel_h, kernel_w, in_c / groups, out_c) */
    const float *bias;   /* (out_c) */
    const float *packed; /* conv_pack's result: weights as the fast algorithm wants them; NULL without one */
} conv_spec;

/* Output size: floor((in + pads - kernel) / stride) + 1; <= 0 if the input is too small. */
int32_t conv_out(int32_t in, int32_t pad_before, int32_t pad_after, int32_t kernel, int32_t stride);

/* Floats that conv_pack writes; 0: this layer's algorithm needs none.  The choice depends on the layer and the input
 * size only, never on timing, so that results are the same on every run. */
size_t conv_packed_floats(const conv_spec *spec);
void conv_pack(const conv_spec *spec, float *packed);

/* Floats of scratch for the calls below at this input size. */
size_t conv_forward_scratch(const conv_spec *spec, int32_t in_h, int32_t in_w);
size_t conv_gradient_scratch(const conv_spec *spec, int32_t in_h, int32_t in_w);

/* y = activation(conv(x) + bias).  x: (in_h, in_w, in_c) -> y: (out_h, out_w, out_c). */
void conv_forward(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *x, enum activation activation,
                  float *y, float *scratch);
/* dx = gradient of <dy, conv(x)>.  dy: (out_h, out_w, out_c) -> dx: (in_h, in_w, in_c), overwritten. */
void conv_gradient(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *dy, float *dx, float *scratch);

#endif
