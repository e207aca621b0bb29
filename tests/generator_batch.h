/* What the tests of the generator share: a batch of pictures with all its arrays. */
#ifndef DN_TESTS_GENERATOR_BATCH_H
#define DN_TESTS_GENERATOR_BATCH_H

#include "../tools/pretrain/generator.h"
#include "support.h"

struct batch {
    struct generator_options options;
    int64_t count;
    int32_t *classes, *defects, *kinds;
    int64_t *instances;
    uint8_t *images, *masks; /* (count, size, size, 3), (count, size, size) */
};

/* Nothing varies: pose, look and degrade 0. */
struct generator_options plain_options(int32_t size);
/* Class i * step, instance 0, no defect. */
struct batch make_batch(int64_t count, int32_t step, struct generator_options options);
void free_batch(struct batch *b);
void run_batch(struct batch *b); /* must succeed */

/* Of n bytes. */
double mean_difference(const uint8_t *a, const uint8_t *b, size_t n);
/* Largest of the three channels. */
int pixel_difference(const uint8_t *a, const uint8_t *b);

#endif
