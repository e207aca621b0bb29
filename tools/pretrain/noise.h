/* Arithmetic that the compiler turns into vector instructions: no branch, no call.  Angles are in turns (1 = 360
 * degrees).  Every loop over a row that uses it is compiled for several instruction sets (ROW_CLONES); the project is
 * built without contraction of products and sums, so that all of them give the same pixels. */
#ifndef DN_PRETRAIN_NOISE_H
#define DN_PRETRAIN_NOISE_H

#include <math.h>
#include <stdint.h>

#if defined __x86_64__ && defined __GLIBC__ && !defined __clang__ && __GNUC__ >= 9 && \
    !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#define ROW_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ROW_CLONES
#endif

#define ROW_INLINE static inline __attribute__((always_inline))

#define MAX_SIDE 1024 /* of a picture, pixels; so a row fits on the stack */

ROW_INLINE float least(float a, float b)
{
    return a < b ? a : b;
}

ROW_INLINE float most(float a, float b)
{
    return a > b ? a : b;
}

ROW_INLINE float clamp01(float x)
{
    return least(most(x, 0.0f), 1.0f);
}

ROW_INLINE float blend(float a, float b, float t)
{
    return a + (b - a) * t;
}

ROW_INLINE float smooth01(float x)
{
    float t = clamp01(x);

    return t * t * (3 - 2 * t);
}

/* Coverage of a pixel whose centre is `distance` outside of an edge; pixel: its width in the same unit. */
ROW_INLINE float inside(float distance, float pixel)
{
    return clamp01(0.5f - distance / pixel);
}

/* Largest integer <= x, |x| < 2^31. */
ROW_INLINE int32_t floor_int(float x)
{
    int32_t i = (int32_t)x;

    return i - ((float)i > x);
}

ROW_INLINE float floor_of(float x)
{
    return (float)floor_int(x);
}

ROW_INLINE float fraction(float x)
{
    return x - floor_of(x);
}

/* i modulo n, for n > 0; by floats, for |i| < 2^22. */
ROW_INLINE int32_t modulo(int32_t i, int32_t n)
{
    int32_t rest = i - n * floor_int(((float)i + 0.5f) / (float)n);

    return rest;
}

/* sin of x turns, to 0.001. */
ROW_INLINE float sine(float x)
{
    float t = x - floor_of(x + 0.5f);
    float y = 8 * t - 16 * t * fabsf(t);

    return y * (0.775f + 0.225f * fabsf(y));
}

/* Angle of (x, y) in turns, in [-0.5, 0.5]. */
ROW_INLINE float turn_of(float y, float x)
{
    float ax = fabsf(x), ay = fabsf(y);
    float a = least(ax, ay) / (most(ax, ay) + 1e-20f), s = a * a;
    float r = a * (0.9998660f + s * (-0.3302995f + s * (0.1801410f + s * (-0.0851330f + s * 0.0208351f))));

    r *= 0.15915494f;
    r = ay > ax ? 0.25f - r : r;
    r = x < 0 ? 0.5f - r : r;
    return y < 0 ? -r : r;
}

ROW_INLINE uint32_t hash_bits(int32_t x, int32_t y, uint32_t seed)
{
    uint32_t h = (uint32_t)x * 0x9E3779B1u ^ (uint32_t)y * 0x85EBCA77u ^ seed;

    h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
    h = (h ^ (h >> 12)) * 0x297A2D39u;
    return h ^ (h >> 15);
}

/* In [0, 1). */
ROW_INLINE float hash01(int32_t x, int32_t y, uint32_t seed)
{
    return (float)(int32_t)(hash_bits(x, y, seed) >> 8) * 0x1p-24f;
}

/* Value noise in [0, 1), period of one unit. */
ROW_INLINE float value_noise(float x, float y, uint32_t seed)
{
    int32_t i = floor_int(x), j = floor_int(y);
    float fx = x - (float)i, fy = y - (float)j;
    float top, bottom;

    fx = fx * fx * (3 - 2 * fx);
    fy = fy * fy * (3 - 2 * fy);
    top = blend(hash01(i, j, seed), hash01(i + 1, j, seed), fx);
    bottom = blend(hash01(i, j + 1, seed), hash01(i + 1, j + 1, seed), fx);
    return blend(top, bottom, fy);
}

/* Noise along a line. */
ROW_INLINE float line_noise(float x, int32_t line, uint32_t seed)
{
    int32_t i = floor_int(x);
    float f = x - (float)i;

    return blend(hash01(i, line, seed), hash01(i + 1, line, seed), f * f * (3 - 2 * f));
}

/* A wave of period 1 from 0 to 1: weights of the profiles, one of them 1 and the others 0, so that a loop over pixels
 * has no branch. */
struct wave {
    float sine, triangle, trapezoid, saw, crest;
    float width; /* of the trapezoid's top, 0..1 of the period */
};

enum wave_shape { WAVE_SINE, WAVE_TRIANGLE, WAVE_TRAPEZOID, WAVE_SAW, WAVE_CREST, WAVE_SHAPES };

static inline struct wave wave_of(int32_t shape, float width)
{
    return (struct wave){shape == WAVE_SINE, shape == WAVE_TRIANGLE, shape == WAVE_TRAPEZOID, shape == WAVE_SAW,
                         shape == WAVE_CREST, width};
}

ROW_INLINE float wave_at(struct wave w, float x)
{
    float f = fraction(x), up = 1 - fabsf(2 * f - 1);
    float top = clamp01((up - 1 + w.width) * 4 + 0.5f), saw = least(f * (1 / 0.85f), (1 - f) * (1 / 0.15f));
    float crest = sqrtf(most(0.0f, up * (2 - up)));

    return w.sine * (0.5f - 0.5f * sine(f + 0.25f)) + w.triangle * up + w.trapezoid * top + w.saw * saw +
           w.crest * crest;
}

/* 1 where `index` is a multiple of `every`, otherwise 0; every 0: 0 everywhere. */
struct gaps {
    int32_t every;
    float any;
};

static inline struct gaps gaps_of(int32_t every)
{
    return (struct gaps){every > 0 ? every : 1, every > 0};
}

ROW_INLINE float gap_at(struct gaps g, int32_t index)
{
    return g.any * (float)(modulo(index, g.every) == 0);
}

#endif
