#include "flow/coupling.h"

#include <string.h>

#include "base/simd.h"

#define CLAMP_SCALE 0.636f /* about 2 / pi: |l(s)| stays below a */
#define LANES 8
#define CHUNK 64

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

/* Sum in double, in an order that depends on n alone. */
SIMD_INLINE double sum_lanes(const float *values, int32_t n)
{
    double lanes[LANES] = {0};
    double sum = 0;
    int32_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int32_t k = 0; k < LANES; k++)
            lanes[k] += (double)values[i + k];
    for (; i < n; i++)
        sum += (double)values[i];
    for (int32_t k = 0; k < LANES; k++)
        sum += lanes[k];
    return sum;
}

SIMD_CLONES double coupling_forward(const float *restrict x, float *restrict net, float *restrict y, int32_t half, float a)
{
    double sum = 0;
    float l[CHUNK];

    for (int32_t first = 0; first < half; first += CHUNK) {
        int32_t n = half - first < CHUNK ? half - first : CHUNK;
        const float *x_part = x + first;
        float *s = net + first, *t = net + half + first, *y_part = y + first;
        for (int32_t i = 0; i < n; i++) {
            float ratio = s[i] / a;
            l[i] = soft_clamp(s[i], a);
            float factor = exponential(l[i]);
            y_part[i] = x_part[i] * factor + t[i];
            s[i] = factor;
            t[i] = CLAMP_SCALE / (1.0f + ratio * ratio); /* l'(s) */
        }
        sum += sum_lanes(l, n);
    }
    return sum;
}

SIMD_CLONES void coupling_inverse(float *restrict y, const float *restrict net, int32_t half, float a)
{
    for (int32_t i = 0; i < half; i++)
        y[i] = (y[i] - net[half + i]) * exponential(-soft_clamp(net[i], a));
}

SIMD_CLONES void coupling_gradient(const float *restrict x, float *restrict d, float *restrict net, int32_t half,
                       float logdet_gradient)
{
    float *restrict s = net, *restrict t = net + half;

    for (int32_t i = 0; i < half; i++) {
        float dy = d[i], factor = s[i], slope = t[i];
        d[i] = dy * factor;                                    /* dy/dx = exp(l) */
        s[i] = (dy * x[i] * factor + logdet_gradient) * slope; /* dy/ds = x exp(l) l', dlogdet/ds = l' */
        t[i] = dy;                                             /* dy/dt = 1 */
    }
}
