/* Small random numbers from a counter: the same seed gives the same numbers on every machine.
 * (Never two of them in one expression: C leaves the order open.) */
#ifndef DN_PRETRAIN_RANDOM_H
#define DN_PRETRAIN_RANDOM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t mix_bits(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t dice_bits(struct dice *d)
{
    d->state += 0x9E3779B97F4A7C15u;
    return mix_bits(d->state);
}

/* Three numbers, mixed one after the other, so that neighbours of any are unrelated. */
static inline struct dice dice_of(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t state = mix_bits(seed + 0x9E3779B97F4A7C15u);

    state = mix_bits((state ^ stream) + 0x9E3779B97F4A7C15u);
    return (struct dice){mix_bits((state ^ index) + 0x9E3779B97F4A7C15u)};
}

/* In [0, 1). */
static inline float dice_uniform(struct dice *d)
{
    return (float)(dice_bits(d) >> 40) * 0x1p-24f;
}

static inline float dice_range(struct dice *d, float low, float high)
{
    return low + (high - low) * dice_uniform(d);
}

/* Log-uniform in [low, high), both > 0. */
static inline float dice_log(struct dice *d, float low, float high)
{
    return low * expf(logf(high / low) * dice_uniform(d));
}

/* In 0 .. n - 1. */
static inline int32_t dice_below(struct dice *d, int32_t n)
{
    return (int32_t)(((dice_bits(d) >> 32) * (uint64_t)n) >> 32);
}

/* In low .. high, both included. */
static inline int32_t dice_int(struct dice *d, int32_t low, int32_t high)
{
    return low + dice_below(d, high - low + 1);
}

static inline bool dice_chance(struct dice *d, float probability)
{
    return dice_uniform(d) < probability;
}

static inline float dice_sign(struct dice *d)
{
    return dice_chance(d, 0.5f) ? 1.0f : -1.0f;
}

/* Log-uniform of either sign. */
static inline float dice_signed_log(struct dice *d, float low, float high)
{
    float sign = dice_sign(d);

    return sign * dice_log(d, low, high);
}

static inline uint32_t dice_seed(struct dice *d)
{
    return (uint32_t)(dice_bits(d) >> 32);
}

#endif
