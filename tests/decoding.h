/* What the tests of image formats share. */
#ifndef DN_TESTS_DECODING_H
#define DN_TESTS_DECODING_H

#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "image/codec.h"
#include "support.h"

/* Bytes to decode without limits. */
static inline image_input input_of(const uint8_t *bytes, size_t size)
{
    return (image_input){.bytes = bytes,
                         .size = size,
                         .label = "test",
                         .max_pixels = INT64_MAX,
                         .max_memory = INT64_MAX,
                         .allocator = mem_allocator(NULL)};
}

/* Nothing behind the bytes can be read. */
static inline dn_status decode(const uint8_t *bytes, size_t size, dn_image **image, dn_error *error)
{
    const image_input input = input_of(guarded_copy(bytes, size), size);
    dn_status status = image_decode(&input, image, error);

    guarded_free(input.bytes, size);
    return status;
}

/* Decodes what must decode. */
static inline dn_image *decoded(const uint8_t *bytes, size_t size)
{
    dn_error error = {0};
    dn_image *image;

    ck_assert_msg(decode(bytes, size, &image, &error) == DN_OK, "%s", error.message);
    return image;
}

/* Decoding fails with this status, a message that has `part`, and no image. */
static inline void ck_fails(const uint8_t *bytes, size_t size, dn_status expected, const char *part)
{
    dn_error error = {0};
    dn_image *image = (dn_image *)&error;

    ck_assert_msg(decode(bytes, size, &image, &error) == expected, "%d, not %d: %s", error.status, expected,
                  error.message);
    ck_assert_ptr_null(image);
    check_error(&error, expected, part);
}

/* Size and format of an image. */
static inline void ck_shape(const dn_image *image, int32_t width, int32_t height, int32_t format)
{
    ck_assert_int_eq(image->width, width);
    ck_assert_int_eq(image->height, height);
    ck_assert_int_eq(image->format, format);
}

/* Sample `i` of an image's pixels. */
static inline int64_t sample(const dn_image *image, size_t i)
{
    uint16_t wide;

    if (image->format != DN_GRAY16)
        return image->pixels[i];
    memcpy(&wide, image->pixels + 2 * i, sizeof wide);
    return wide;
}

/* Every proper part of a file is an error that names it, and nothing is read beyond its end. */
static inline void ck_truncations(const uint8_t *bytes, size_t size)
{
    for (size_t cut = 1; cut < size; cut += cut < 200 ? 1 : 37) {
        dn_error error = {0};
        dn_image *image;
        dn_status status = decode(bytes, cut, &image, &error);
        ck_assert_msg(status == DN_E_FORMAT && strstr(error.message, "test: ") == error.message, "%zu of %zu: %d %s",
                      cut, size, status, error.message);
    }
}

/* Every allocation may fail: out of memory is told, nothing is leaked, and in the end it works. */
static inline void ck_decoding_without_memory(const uint8_t *bytes, size_t size)
{
    dn_status status = DN_E_MEMORY;

    for (long n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        image_input input = input_of(bytes, size);
        dn_error error = {0};
        dn_image *image = (dn_image *)&error;
        input.allocator = failing_allocator(&memory);
        status = image_decode(&input, &image, &error);
        ck_assert_msg(status == DN_OK || (status == DN_E_MEMORY && error.status == status && !image &&
                                          strstr(error.message, "out of memory")),
                      "%ld: %s", n, error.message);
        image_free(image);
        ck_assert_int_eq(memory.live, 0);
        ck_assert(status == DN_OK || memory.calls >= n);
        ck_assert_int_lt(n, 60);
    }
}

/* A pseudo-random sequence, and bytes changed by it: a decoder must survive them. */
static inline uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static inline int ck_survives(const uint8_t *bytes, size_t size, uint32_t seed, int rounds)
{
    uint8_t *changed = malloc(size);
    int failures = 0;

    for (int round = 0; round < rounds; round++) {
        memcpy(changed, bytes, size);
        for (int flip = 0; flip <= round % 4; flip++)
            changed[next_random(&seed) % size] ^= (uint8_t)(1u << next_random(&seed) % 8);
        image_input input = input_of(changed, size);
        dn_error error = {0};
        dn_image *image;
        input.max_pixels = 1 << 20;
        input.max_memory = 1 << 24;
        dn_status status = image_decode(&input, &image, &error);
        ck_assert(status == DN_OK ? image && image->width > 0 : !image && error.message[0]);
        failures += status != DN_OK;
        size_t samples = image ? (size_t)image->width * (size_t)image->height * (image->format == DN_RGB8 ? 3 : 1) : 0;
        int64_t sum = 0; /* every sample is set: a memory checker would see it otherwise */
        for (size_t i = 0; i < samples; i++)
            sum += sample(image, i);
        ck_assert(sum >= 0);
        image_free(image);
    }
    free(changed);
    return failures;
}

#endif
