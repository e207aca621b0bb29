#include "nn/depthwise.h"

#include <string.h>

#include "base/simd.h"
#include "nn/activation.h"
#include "nn/window.h"

/* sum[c] += a[c] * b[c] */
SIMD_INLINE void add_product(const float *restrict a, const float *restrict b, float *restrict sum, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        sum[c] += a[c] * b[c];
}

/* One row of y, without the activation.  y[oy][ox][c] = bias[c] + sum_ky,kx w[ky][kx][c] * x[iy][ix][c]. */
SIMD_CLONES
static void forward_row(const conv_spec *spec, int32_t in_h, int32_t in_w, int32_t oy, int32_t out_w, const float *x,
                        float *y)
{
    size_t channels = (size_t)spec->in_c;
    window h = window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h);

    for (int32_t ox = 0; ox < out_w; ox++, y += channels) {
        window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
        memcpy(y, spec->bias, channels * sizeof *y);
        for (int32_t ky = h.first; ky < h.last; ky++)
            for (int32_t kx = w.first; kx < w.last; kx++)
                add_product(x + ((size_t)(h.origin + ky) * (size_t)in_w + (size_t)(w.origin + kx)) * channels,
                            spec->weight + ((size_t)ky * (size_t)spec->kernel_w + (size_t)kx) * channels, y, channels);
    }
}

void depthwise_forward(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *x, enum activation activation,
                       float *y)
{
    int32_t out_h = conv_out(in_h, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);
    int32_t out_w = conv_out(in_w, spec->pad_left, spec->pad_right, spec->kernel_w, spec->stride);
    size_t row = (size_t)out_w * (size_t)spec->out_c;

    for (int32_t oy = 0; oy < out_h; oy++, y += row) {
        forward_row(spec, in_h, in_w, oy, out_w, x, y);
        activation_forward(activation, y, row);
    }
}

/* dx[iy][ix][c] += w[ky][kx][c] * dy[oy][ox][c] for one row of dy. */
SIMD_CLONES
static void gradient_row(const conv_spec *spec, int32_t in_h, int32_t in_w, int32_t oy, int32_t out_w, const float *dy,
                         float *dx)
{
    size_t channels = (size_t)spec->in_c;
    window h = window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h);

    for (int32_t ox = 0; ox < out_w; ox++, dy += channels) {
        window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
        for (int32_t ky = h.first; ky < h.last; ky++)
            for (int32_t kx = w.first; kx < w.last; kx++)
                add_product(dy, spec->weight + ((size_t)ky * (size_t)spec->kernel_w + (size_t)kx) * channels,
                            dx + ((size_t)(h.origin + ky) * (size_t)in_w + (size_t)(w.origin + kx)) * channels,
                            channels);
    }
}

void depthwise_gradient(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *dy, float *dx)
{
    int32_t out_h = conv_out(in_h, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);
    int32_t out_w = conv_out(in_w, spec->pad_left, spec->pad_right, spec->kernel_w, spec->stride);
    size_t row = (size_t)out_w * (size_t)spec->out_c;

    memset(dx, 0, (size_t)in_h * (size_t)in_w * (size_t)spec->in_c * sizeof *dx);
    for (int32_t oy = 0; oy < out_h; oy++, dy += row)
        gradient_row(spec, in_h, in_w, oy, out_w, dy, dx);
}
