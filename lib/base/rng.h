/* Random numbers: xoshiro256** (Blackman and Vigna), seeded by splitmix64.  The same numbers on every machine. */
#ifndef DN_BASE_RNG_H
#define DN_BASE_RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t state[4];
} rng;

/* `stream` keeps uses of one seed apart: each (seed, stream) pair is a sequence of its own.  Streams in use are
 * listed here so that none is used twice. */
enum rng_stream {
    RNG_FLOW_PERMUTATION = 1, /* + block << 8 */
    RNG_FLOW_WEIGHTS = 2,
    RNG_FLOW_SAMPLE = 3,
    RNG_BACKBONE = 4,
    RNG_BANK_ANGLE = 5, /* + image << 8 */
    RNG_TRAIN_ORDER = 6,
    RNG_HOLDOUT = 7,
    RNG_SCORE_ANGLE = 8,
    RNG_JITTER = 9, /* + image << 8 */
    RNG_POSITIONS = 10,
    RNG_FOLDS = 11,
    RNG_LIGHT = 12,  /* + image << 8, + copy << 40 */
    RNG_COPIES = 13, /* + image << 8 */
    RNG_CONTEST = 14
};
void rng_seed(rng *generator, uint64_t seed, uint64_t stream);
uint64_t rng_next(rng *generator);
double rng_uniform(rng *generator);             /* [0, 1), 53 bits */
uint64_t rng_below(rng *generator, uint64_t n); /* 0 .. n-1, unbiased; n >= 1 */
double rng_normal(rng *generator);              /* N(0, 1), Box-Muller, one value per two uniforms */
void rng_permutation(rng *generator, uint32_t *permutation, uint32_t n); /* Fisher-Yates of 0 .. n-1 */

#endif
