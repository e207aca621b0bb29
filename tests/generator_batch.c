#include "generator_batch.h"

#include <stdlib.h>

struct generator_options plain_options(int32_t size)
{
    return (struct generator_options){.struct_size = sizeof(struct generator_options),
                                      .size = size,
                                      .seed = 5,
                                      .siblings = 4,
                                      .threads = 1,
                                      .zoom = 1};
}

static void *room(int64_t n, size_t size)
{
    void *memory = malloc((size_t)n * size);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

struct batch make_batch(int64_t count, int32_t step, struct generator_options options)
{
    int64_t pixels = (int64_t)options.size * options.size;
    struct batch b = {.options = options, .count = count};

    b.classes = room(count, sizeof *b.classes);
    b.defects = room(count, sizeof *b.defects);
    b.kinds = room(count, sizeof *b.kinds);
    b.instances = room(count, sizeof *b.instances);
    b.images = room(count * pixels, 3);
    b.masks = room(count * pixels, 1);
    for (int64_t i = 0; i < count; i++) {
        b.classes[i] = (int32_t)i * step;
        b.instances[i] = 0;
        b.defects[i] = 0;
    }
    return b;
}

void free_batch(struct batch *b)
{
    free(b->classes);
    free(b->defects);
    free(b->kinds);
    free(b->instances);
    free(b->images);
    free(b->masks);
}

void run_batch(struct batch *b)
{
    ck_assert_int_eq(
        generator_run(&b->options, b->classes, b->instances, b->defects, b->count, b->images, b->kinds, b->masks),
        GENERATOR_OK);
}

double mean_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += abs(a[i] - b[i]);
    return sum / (double)n;
}

int pixel_difference(const uint8_t *a, const uint8_t *b)
{
    int red = abs(a[0] - b[0]), green = abs(a[1] - b[1]), blue = abs(a[2] - b[2]);
    int more = red > green ? red : green;

    return more > blue ? more : blue;
}
