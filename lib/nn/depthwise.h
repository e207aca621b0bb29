/* Depthwise convolution (groups = channels), computed directly; conv.c sends such layers here. */
#ifndef DN_NN_DEPTHWISE_H
#define DN_NN_DEPTHWISE_H

#include "nn/conv.h"

void depthwise_forward(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *x, enum activation activation,
                       float *y);
void depthwise_gradient(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *dy, float *dx);

#endif
