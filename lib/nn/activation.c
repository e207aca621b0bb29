#include "nn/activation.h"

#include "base/simd.h"

/* Both are written so that NaN comes out as NaN. */
SIMD_INLINE float relu(float x)
{
    return x < 0 ? 0 : x;
}

SIMD_INLINE float relu6(float x)
{
    return x < 0 ? 0 : x > 6 ? 6 : x;
}

SIMD_CLONES
static void relu_forward(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = relu(x[i]);
}

SIMD_CLONES
static void relu6_forward(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = relu6(x[i]);
}

void activation_forward(enum activation activation, float *x, size_t n)
{
    if (activation == ACTIVATION_RELU)
        relu_forward(x, n);
    else if (activation == ACTIVATION_RELU6)
        relu6_forward(x, n);
}

SIMD_CLONES
static void relu_gradient(const float *restrict y, float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] <= 0 ? 0 : dy[i];
}

SIMD_CLONES
static void relu6_gradient(const float *restrict y, float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] <= 0 ? 0 : y[i] >= 6 ? 0 : dy[i];
}

void activation_gradient(enum activation activation, const float *y, float *dy, size_t n)
{
    if (activation == ACTIVATION_RELU)
        relu_gradient(y, dy, n);
    else if (activation == ACTIVATION_RELU6)
        relu6_gradient(y, dy, n);
}

SIMD_CLONES
static void bias_none(const float *restrict bias, float *restrict x, size_t positions, size_t channels)
{
    for (size_t p = 0; p < positions; p++, x += channels)
        for (size_t c = 0; c < channels; c++)
            x[c] += bias[c];
}

SIMD_CLONES
static void bias_relu(const float *restrict bias, float *restrict x, size_t positions, size_t channels)
{
    for (size_t p = 0; p < positions; p++, x += channels)
        for (size_t c = 0; c < channels; c++)
            x[c] = relu(x[c] + bias[c]);
}

SIMD_CLONES
static void bias_relu6(const float *restrict bias, float *restrict x, size_t positions, size_t channels)
{
    for (size_t p = 0; p < positions; p++, x += channels)
        for (size_t c = 0; c < channels; c++)
            x[c] = relu6(x[c] + bias[c]);
}

void activation_bias(enum activation activation, const float *bias, float *x, size_t positions, size_t channels)
{
    if (activation == ACTIVATION_RELU)
        bias_relu(bias, x, positions, channels);
    else if (activation == ACTIVATION_RELU6)
        bias_relu6(bias, x, positions, channels);
    else
        bias_none(bias, x, positions, channels);
}
