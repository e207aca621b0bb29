#include "format/half.h"

#include <string.h>

#include "base/simd.h"

/* binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.  binary32: 1, 8 (bias 127), 23. */

SIMD_INLINE uint32_t float_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

SIMD_INLINE float float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value / 2^shift, to nearest, ties to even.  shift: 1 .. 31. */
static uint32_t shift_rounded(uint32_t value, uint32_t shift)
{
    uint32_t half = 1u << (shift - 1);
    uint32_t rest = value & (2 * half - 1);
    uint32_t quotient = value >> shift;

    if (rest > half || (rest == half && (quotient & 1)))
        quotient++;
    return quotient;
}

uint16_t half_from_float(float value)
{
    uint32_t bits = float_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;

    if (magnitude > 0x7F800000) /* NaN: the top of its payload is kept, and it is made quiet so that some bit is set */
        return (uint16_t)(sign | 0x7E00 | ((magnitude >> 13) & 0x01FF));
    if (magnitude >= 0x47800000) /* 2^16 and infinity */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude >= 0x38800000) /* 2^-14: normal.  A carry out of the fraction raises the exponent, up to infinity */
        return (uint16_t)(sign | shift_rounded(magnitude - (112u << 23), 13));
    if (magnitude < 0x33000000) /* below 2^-25: half of the smallest denormal */
        return (uint16_t)sign;
    /* Denormal: 0.fraction * 2^-14, that is, multiples of 2^-24. */
    uint32_t significand = (magnitude & 0x007FFFFF) | 0x00800000;
    return (uint16_t)(sign | shift_rounded(significand, 126 - (magnitude >> 23)));
}

/* Without a branch, so that the compiler can work on many at once. */
SIMD_INLINE float widen(uint16_t half)
{
    uint32_t magnitude = half & 0x7FFF, sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t denormal = float_bits((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t bits = magnitude < 0x0400 ? denormal : normal;

    bits += magnitude >= 0x7C00 ? 112u << 23 : 0; /* infinity, NaN */
    return float_of_bits(bits | sign);
}

float half_to_float(uint16_t half)
{
    return widen(half);
}

SIMD_CLONES _Bool halves_to_floats(const uint8_t *halves, size_t n, float *restrict out)
{
    uint16_t largest = 0;

    for (size_t i = 0; i < n; i++) {
        uint16_t half, magnitude;
        memcpy(&half, halves + 2 * i, sizeof half);
        out[i] = widen(half);
        magnitude = half & 0x7FFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < 0x7C00;
}
