#include "nn/pooling.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/simd.h"
#include "nn/conv.h"
#include "nn/window.h"

/* Channels that are handled at once where each needs some state. */
#define CHANNEL_BLOCK 64

static int32_t pool_out_h(const pool_spec *spec, int32_t in_h)
{
    return conv_out(in_h, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);
}

static int32_t pool_out_w(const pool_spec *spec, int32_t in_w)
{
    return conv_out(in_w, spec->pad_left, spec->pad_right, spec->kernel_w, spec->stride);
}

/* Floats before position (y, x) of a map (.., width, channels). */
SIMD_INLINE size_t offset_of(int32_t y, int32_t x, int32_t width, size_t channels)
{
    return ((size_t)y * (size_t)width + (size_t)x) * channels;
}

/* The later of two values in a window wins if it is larger, or NaN: so NaN stays (PyTorch's rule). */
SIMD_INLINE _Bool wins(float value, float best)
{
    return (value > best) | (value != value);
}

/* ---- maximum ---- */

SIMD_CLONES
static void maxpool_row(const pool_spec *spec, int32_t in_w, window h, int32_t out_w, const float *restrict x,
                        float *restrict y)
{
    size_t channels = (size_t)spec->channels;

    for (int32_t ox = 0; ox < out_w; ox++, y += channels) {
        window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
        for (size_t c = 0; c < channels; c++)
            y[c] = -INFINITY;
        for (int32_t ky = h.first; ky < h.last; ky++)
            for (int32_t kx = w.first; kx < w.last; kx++) {
                const float *value = x + offset_of(h.origin + ky, w.origin + kx, in_w, channels);
                for (size_t c = 0; c < channels; c++)
                    y[c] = wins(value[c], y[c]) ? value[c] : y[c];
            }
    }
}

void maxpool_forward(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, float *y)
{
    int32_t out_h = pool_out_h(spec, in_h), out_w = pool_out_w(spec, in_w);

    for (int32_t oy = 0; oy < out_h; oy++, y += (size_t)out_w * (size_t)spec->channels)
        maxpool_row(spec, in_w, window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h), out_w, x, y);
}

/* where[c] = position (iy * in_w + ix) of the first maximum of channel c in the window, for `width` channels of x. */
SIMD_CLONES
static void find_maxima(window h, window w, int32_t in_w, size_t channels, size_t width, const float *restrict x,
                        int32_t *restrict where)
{
    float best[CHANNEL_BLOCK];
    int32_t first = (h.origin + h.first) * in_w + w.origin + w.first;

    for (size_t c = 0; c < width; c++) {
        best[c] = -INFINITY;
        where[c] = first;
    }
    for (int32_t ky = h.first; ky < h.last; ky++)
        for (int32_t kx = w.first; kx < w.last; kx++) {
            int32_t position = (h.origin + ky) * in_w + w.origin + kx;
            const float *value = x + (size_t)position * channels;
            for (size_t c = 0; c < width; c++) {
                _Bool won = wins(value[c], best[c]);
                best[c] = won ? value[c] : best[c];
                where[c] = won ? position : where[c];
            }
        }
}

/* dx[first maximum of the window] += dy */
static void maxpool_gradient_at(window h, window w, int32_t in_w, size_t channels, const float *x, const float *dy,
                                float *dx)
{
    int32_t where[CHANNEL_BLOCK];

    for (size_t c0 = 0; c0 < channels; c0 += CHANNEL_BLOCK) {
        size_t width = channels - c0 < CHANNEL_BLOCK ? channels - c0 : CHANNEL_BLOCK;
        find_maxima(h, w, in_w, channels, width, x + c0, where);
        for (size_t c = 0; c < width; c++)
            dx[(size_t)where[c] * channels + c0 + c] += dy[c0 + c];
    }
}

void maxpool_gradient(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, const float *dy, float *dx)
{
    int32_t out_h = pool_out_h(spec, in_h), out_w = pool_out_w(spec, in_w);
    size_t channels = (size_t)spec->channels;

    memset(dx, 0, offset_of(in_h, 0, in_w, channels) * sizeof *dx);
    for (int32_t oy = 0; oy < out_h; oy++) {
        window h = window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h);
        for (int32_t ox = 0; ox < out_w; ox++, dy += channels) {
            window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
            maxpool_gradient_at(h, w, in_w, channels, x, dy, dx);
        }
    }
}

/* ---- average ---- */

/* Sums one window after the other, then divides by the kernel's area, padding included. */
SIMD_CLONES
static void avgpool_row(const pool_spec *spec, int32_t in_w, window h, int32_t out_w, const float *restrict x,
                        float *restrict y)
{
    size_t channels = (size_t)spec->channels;
    float area = (float)spec->kernel_h * (float)spec->kernel_w;

    for (int32_t ox = 0; ox < out_w; ox++, y += channels) {
        window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
        memset(y, 0, channels * sizeof *y);
        for (int32_t ky = h.first; ky < h.last; ky++)
            for (int32_t kx = w.first; kx < w.last; kx++) {
                const float *value = x + offset_of(h.origin + ky, w.origin + kx, in_w, channels);
                for (size_t c = 0; c < channels; c++)
                    y[c] += value[c];
            }
        for (size_t c = 0; c < channels; c++)
            y[c] /= area;
    }
}

void avgpool_forward(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *x, float *y)
{
    int32_t out_h = pool_out_h(spec, in_h), out_w = pool_out_w(spec, in_w);

    for (int32_t oy = 0; oy < out_h; oy++, y += (size_t)out_w * (size_t)spec->channels)
        avgpool_row(spec, in_w, window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h), out_w, x, y);
}

SIMD_CLONES
static void avgpool_gradient_row(const pool_spec *spec, int32_t in_w, window h, int32_t out_w, const float *restrict dy,
                                 float *restrict dx)
{
    size_t channels = (size_t)spec->channels;
    float area = (float)spec->kernel_h * (float)spec->kernel_w;

    for (int32_t ox = 0; ox < out_w; ox++, dy += channels) {
        window w = window_at(ox, spec->stride, spec->pad_left, spec->kernel_w, in_w);
        for (int32_t ky = h.first; ky < h.last; ky++)
            for (int32_t kx = w.first; kx < w.last; kx++) {
                float *target = dx + offset_of(h.origin + ky, w.origin + kx, in_w, channels);
                for (size_t c = 0; c < channels; c++)
                    target[c] += dy[c] / area;
            }
    }
}

void avgpool_gradient(const pool_spec *spec, int32_t in_h, int32_t in_w, const float *dy, float *dx)
{
    int32_t out_h = pool_out_h(spec, in_h), out_w = pool_out_w(spec, in_w);

    memset(dx, 0, offset_of(in_h, 0, in_w, (size_t)spec->channels) * sizeof *dx);
    for (int32_t oy = 0; oy < out_h; oy++, dy += (size_t)out_w * (size_t)spec->channels)
        avgpool_gradient_row(spec, in_w, window_at(oy, spec->stride, spec->pad_top, spec->kernel_h, in_h), out_w, dy,
                             dx);
}

/* ---- mean over all positions ---- */

/* Mean of `width` channels of x (positions, channels), one after the other position, in double. */
SIMD_CLONES
static void mean_block(const float *restrict x, size_t positions, size_t channels, size_t width, float *restrict mean)
{
    double sum[CHANNEL_BLOCK] = {0};

    for (size_t p = 0; p < positions; p++, x += channels)
        for (size_t c = 0; c < width; c++)
            sum[c] += (double)x[c];
    for (size_t c = 0; c < width; c++)
        mean[c] = (float)(sum[c] / (double)positions);
}

void global_mean_forward(const float *x, int32_t positions, int32_t channels, float *mean)
{
    for (int32_t c = 0; c < channels; c += CHANNEL_BLOCK) {
        int32_t width = channels - c < CHANNEL_BLOCK ? channels - c : CHANNEL_BLOCK;
        mean_block(x + c, (size_t)positions, (size_t)channels, (size_t)width, mean + c);
    }
}

SIMD_CLONES
static void add_mean_gradient(const float *restrict dmean, size_t positions, size_t channels, float *restrict dx)
{
    float count = (float)positions;

    for (size_t p = 0; p < positions; p++, dx += channels)
        for (size_t c = 0; c < channels; c++)
            dx[c] += dmean[c] / count;
}

void global_mean_gradient(const float *dmean, int32_t positions, int32_t channels, float *dx)
{
    add_mean_gradient(dmean, (size_t)positions, (size_t)channels, dx);
}
