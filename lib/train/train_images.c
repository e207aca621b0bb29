#include "train/train_images.h"

#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "image/canvas.h"
#include "image/codec.h"
#include "image/pixels.h"

void train_images_init(train_images *images, int32_t size, const dn_train_options *options,
                       const dn_allocator *allocator)
{
    *images = (train_images){.allocator = *allocator, .size = size};
    images->files = (dn_image_options){.struct_size = sizeof images->files,
                                       .max_pixels = options->max_pixels,
                                       .max_bytes = options->max_bytes,
                                       .max_memory = options->max_memory,
                                       .allocator = &images->allocator};
}

void train_images_release(train_images *images)
{
    for (int32_t i = 0; i < images->count; i++) {
        mem_free(&images->allocator, images->list[i].path);
        mem_free(&images->allocator, images->list[i].canvas);
    }
    mem_free(&images->allocator, images->list);
    mem_free(&images->allocator, images->split);
}

const char *train_images_label(const train_images *images, int32_t image, char buffer[TRAIN_LABEL])
{
    if (images->list[image].path)
        return images->list[image].path;
    snprintf(buffer, TRAIN_LABEL, "image %d", image + 1);
    return buffer;
}

/* ---- adding ---- */

/* crc32 of what an image shows, whatever its stride. */
static uint32_t image_crc(const dn_pixels *image)
{
    int32_t shape[3] = {image->width, image->height, image->format};
    size_t bytes = (size_t)image->width * (size_t)image_bytes_per_pixel(image->format);
    int64_t stride = image->stride ? image->stride : (int64_t)bytes;
    uint32_t crc = libdeflate_crc32(0, shape, sizeof shape);

    for (int32_t y = 0; y < image->height; y++)
        crc = libdeflate_crc32(crc, (const uint8_t *)image->pixels + y * stride, bytes);
    return crc;
}

/* Makes room for one image more. */
static dn_status reserve(train_images *images, dn_error *error)
{
    if (images->split)
        return fail(error, DN_E_STATE, "images cannot be added once training has begun: make a new trainer");
    if (images->count < images->capacity)
        return DN_OK;
    if (images->capacity > INT32_MAX / 2)
        return fail(error, DN_E_ARGUMENT, "too many images: %d", images->count);
    int32_t capacity = images->capacity ? 2 * images->capacity : 64;
    train_image *list = mem_alloc(&images->allocator, (size_t)capacity, sizeof *list);
    if (!list)
        return fail_memory(error, "the list of images");
    if (images->count > 0)
        memcpy(list, images->list, (size_t)images->count * sizeof *list);
    mem_free(&images->allocator, images->list);
    images->list = list;
    images->capacity = capacity;
    return DN_OK;
}

uint16_t *train_images_buffer(const train_images *images)
{
    size_t size = (size_t)images->size;

    return mem_alloc(&images->allocator, size * size * 3, sizeof(uint16_t));
}

/* The image on a canvas of its own, and its traits. */
static dn_status measure(const train_images *images, const dn_pixels *pixels, uint16_t **canvas,
                         double traits[DN_TRAITS], dn_error *error)
{
    *canvas = train_images_buffer(images);
    if (!*canvas)
        return fail_memory(error, "an image");
    dn_status status = canvas_fill(pixels, images->size, *canvas, &images->allocator, error);
    if (status == DN_OK) {
        image_traits(pixels, *canvas, images->size, images->size, traits);
        return DN_OK;
    }
    mem_free(&images->allocator, *canvas);
    return status;
}

dn_status train_images_add_path(train_images *images, const char *path, dn_error *error)
{
    double traits[DN_TRAITS];
    uint16_t *canvas;
    dn_image *image;
    dn_error cause = {0};

    TRY(reserve(images, error));
    TRY(image_open(path, &images->files, DN_MIN_SIDE, &image, error));
    dn_pixels view = image_pixels(image);
    dn_status status = pixels_check(&view, DN_MIN_SIDE, &cause);
    if (status != DN_OK) {
        image_free(image);
        return fail(error, status, "%s: %s", path, cause.message);
    }
    uint32_t crc = image_crc(&view);
    status = measure(images, &view, &canvas, traits, error);
    image_free(image);
    TRY(status);
    mem_free(&images->allocator, canvas);
    char *copy = mem_strdup(&images->allocator, path);
    if (!copy)
        return fail_memory(error, "a file name");
    images->list[images->count++] = (train_image){.path = copy, .crc = crc};
    seen_add(&images->seen, traits);
    return DN_OK;
}

dn_status train_images_add_pixels(train_images *images, const dn_pixels *pixels, dn_error *error)
{
    double traits[DN_TRAITS];
    uint16_t *canvas;

    TRY(reserve(images, error));
    TRY(pixels_check(pixels, DN_MIN_SIDE, error));
    TRY(measure(images, pixels, &canvas, traits, error));
    images->list[images->count++] = (train_image){.canvas = canvas, .crc = image_crc(pixels)};
    seen_add(&images->seen, traits);
    return DN_OK;
}

uint64_t train_images_id(const train_images *images)
{
    uint32_t crc = 0;

    for (int32_t i = 0; i < images->count; i++)
        crc = libdeflate_crc32(crc, &images->list[i].crc, sizeof images->list[i].crc);
    return (uint64_t)images->count << 32 | crc;
}

dn_status train_images_canvas(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                              dn_error *error)
{
    const train_image *added = &images->list[index];
    dn_image *image;

    if (added->canvas) {
        *canvas = added->canvas;
        return DN_OK;
    }
    TRY(image_open(added->path, &images->files, DN_MIN_SIDE, &image, error));
    dn_pixels view = image_pixels(image);
    dn_status status = DN_OK;
    /* A checkpoint or a bank would mix the features of two different images. */
    if (image_crc(&view) != added->crc)
        status = fail(error, DN_E_STATE, "%s: changed since it was added: make a new trainer", added->path);
    if (status == DN_OK)
        status = canvas_fill(&view, images->size, buffer, &images->allocator, error);
    image_free(image);
    *canvas = buffer;
    return status;
}

/* ---- held-out images ---- */

int32_t train_images_held(const train_images *images, double holdout)
{
    if (holdout <= 0 || images->count < 3)
        return 0;
    int32_t wanted = (int32_t)floor(holdout * images->count + 0.5);
    return wanted < 1 ? 1 : wanted;
}

dn_status train_images_split(train_images *images, double holdout, uint64_t seed, dn_error *error)
{
    rng generator;
    int32_t held = train_images_held(images, holdout), trained = images->count - held;

    if (images->split)
        return DN_OK;
    int32_t *split = mem_alloc(&images->allocator, (size_t)images->count, sizeof *split);
    uint32_t *shuffled = mem_alloc(&images->allocator, (size_t)images->count, sizeof *shuffled);
    uint8_t *out = mem_zalloc(&images->allocator, (size_t)images->count, 1);
    _Bool made = split && shuffled && out;

    if (made) {
        rng_seed(&generator, seed, RNG_HOLDOUT);
        rng_permutation(&generator, shuffled, (uint32_t)images->count);
        for (int32_t i = 0; i < held; i++)
            out[shuffled[i]] = 1;
        for (int32_t i = 0, train = 0, hold = trained; i < images->count; i++)
            split[out[i] ? hold++ : train++] = i;
        images->split = split;
        images->train_count = trained;
        images->holdout_count = held;
    } else {
        mem_free(&images->allocator, split);
    }
    mem_free(&images->allocator, shuffled);
    mem_free(&images->allocator, out);
    return made ? DN_OK : fail_memory(error, "the list of held-out images");
}

/* ---- folds ---- */

void train_images_folds(const train_images *images, int32_t folds, uint64_t seed, int32_t *fold)
{
    rng generator;

    rng_seed(&generator, seed, RNG_FOLDS);
    for (int32_t i = 0; i < images->count; i++)
        fold[i] = i % folds;
    for (int32_t i = images->count - 1; i > 0; i--) {
        int32_t j = (int32_t)rng_below(&generator, (uint64_t)i + 1), kept = fold[i];
        fold[i] = fold[j];
        fold[j] = kept;
    }
}
