#include "base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void rng_seed(rng *generator, uint64_t seed, uint64_t stream)
{
    /* Seed and stream are mixed one after the other, so that neighbours of either are unrelated. */
    uint64_t state = seed;
    state = splitmix(&state) ^ stream;
    for (int i = 0; i < 4; i++)
        generator->state[i] = splitmix(&state);
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t rng_next(rng *generator)
{
    uint64_t *s = generator->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double rng_uniform(rng *generator)
{
    return (double)(rng_next(generator) >> 11) * 0x1p-53;
}

uint64_t rng_below(rng *generator, uint64_t n)
{
    /* Values below 2^64 mod n would make the small remainders more likely: draw again. */
    uint64_t reject = (0 - n) % n;
    uint64_t value;

    do
        value = rng_next(generator);
    while (value < reject);
    return value % n;
}

double rng_normal(rng *generator)
{
    const double two_pi = 6.283185307179586476925;
    double radius = sqrt(-2.0 * log(1.0 - rng_uniform(generator)));

    return radius * cos(two_pi * rng_uniform(generator));
}

void rng_permutation(rng *generator, uint32_t *permutation, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        permutation[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(generator, i);
        uint32_t kept = permutation[i - 1];
        permutation[i - 1] = permutation[j];
        permutation[j] = kept;
    }
}
