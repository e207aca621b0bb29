#include "flow/coupling.h"

#include <string.h>

#include "base/simd.h"

#define CLAMP_SCALE 0.636f /* about 2 / pi: |l(s)| stays below a */

/* exp and atan without a call or a branch, so that the compiler can work on many elements at once; the C library's
 * would take longer than the matrix products of a small flow.  Both are accurate to about 2 units in the last place
 * (tests/test_flow.c); NaN stays NaN. */

/* e^x for |x| <= 120; infinity and 0 beyond the range of float. */
SIMD_INLINE float exponential(float x)
{
    const float log2_e = 1.44269504f;
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f; /* high: 9 bits, so that n * high is exact */
    const float round = 12582912.0f;                                /* 1.5 * 2^23: adding it rounds to integer */
    float n = (x * log2_e + round) - round;
    float r = (x - n * ln2_high) - n * ln2_low; /* |r| <= ln 2 / 2 */
    /* e^r = 1 + r + r^2 q(r), minimax */
    float q = 0.5f + r * (0.166665182f + r * (0.041666206f + r * (0.0083688898f + r * 0.00139504892f)));
    float e = 1.0f + (r + r * r * q);
    /* 2^n in two factors, since n may leave the range of one exponent.  NaN gives some integer: harmless. */
    int32_t whole = (int32_t)(n >= -250.0f && n <= 250.0f ? n : 0.0f);
    int32_t part = whole / 2;
    int32_t first_bits = (part + 127) << 23, second_bits = (whole - part + 127) << 23;
    float first, second;
    memcpy(&first, &first_bits, sizeof first);
    memcpy(&second, &second_bits, sizeof second);
    return e * first * second;
}

SIMD_INLINE float arctangent(float x)
{
    const float half_pi = 1.57079633f;
    float size = x < 0.0f ? -x : x;
    float t = size > 1.0f ? 1.0f / size : size; /* atan(x) = pi / 2 - atan(1 / x) */
    float u = t * t;
    /* atan t = t + t u p(u) on [0, 1], minimax */
    float p = -0.333331674f +
              u * (0.199941367f +
                   u * (-0.142142057f +
                        u * (0.106789291f +
                             u * (-0.07580553f + u * (0.0435532406f + u * (-0.016580997f + u * 0.00297454302f))))));
    float angle = t + t * (u * p);
    float folded = size > 1.0f ? half_pi - angle : angle;
    return x < 0.0f ? -folded : folded;
}

/* l(s), paper equation 5. */
SIMD_INLINE float soft_clamp(float s, float a)
{
    return a * CLAMP_SCALE * arctangent(s / a);
}

SIMD_CLONES void coupling_forward(const float *restrict x, float *restrict s, float *restrict t, float *restrict y,
                                  int32_t half, int64_t stride, float a, double *restrict logdet)
{
    for (int32_t i = 0; i < half; i++, x += stride, s += stride, t += stride, y += stride)
        for (int k = 0; k < COUPLING_LANES; k++) {
            float ratio = s[k] / a, l = soft_clamp(s[k], a), factor = exponential(l);
            y[k] = x[k] * factor + t[k];
            logdet[k] += (double)l;
            s[k] = factor;
            t[k] = CLAMP_SCALE / (1.0f + ratio * ratio); /* l'(s) */
        }
}

SIMD_CLONES void coupling_inverse(float *restrict y, const float *restrict s, const float *restrict t, int32_t half,
                                  int64_t stride, float a)
{
    for (int32_t i = 0; i < half; i++, y += stride, s += stride, t += stride)
        for (int k = 0; k < COUPLING_LANES; k++)
            y[k] = (y[k] - t[k]) * exponential(-soft_clamp(s[k], a));
}

SIMD_CLONES void coupling_gradient(const float *restrict x, float *restrict d, float *restrict s, float *restrict t,
                                   int32_t half, int64_t stride, const float *restrict logdet_gradient)
{
    for (int32_t i = 0; i < half; i++, x += stride, d += stride, s += stride, t += stride)
        for (int k = 0; k < COUPLING_LANES; k++) {
            float dy = d[k], factor = s[k], slope = t[k];
            d[k] = dy * factor;                                       /* dy/dx = exp(l) */
            s[k] = (dy * x[k] * factor + logdet_gradient[k]) * slope; /* dy/ds = x exp(l) l', dlogdet/ds = l' */
            t[k] = dy;                                                /* dy/dt = 1 */
        }
}
