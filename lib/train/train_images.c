/* The trainer's images: adding, decoding, splitting off the held-out ones. */
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "train/trainer.h"
#include "image/canvas.h"
#include "image/codec.h"
#include "image/pixels.h"

const char *train_image_label(const dn_trainer *t, int32_t image, char buffer[TRAIN_LABEL])
{
    if (t->images[image].path)
        return t->images[image].path;
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

static dn_status open_image(const dn_trainer *t, const char *path, dn_image **out, dn_error *error)
{
    dn_image_options options = image_default_options();

    options.allocator = &t->allocator;
    return image_open(path, &options, out, error);
}

/* Makes room for one image more. */
static dn_status reserve(dn_trainer *t, dn_error *error)
{
    if (t->split)
        return fail(error, DN_E_STATE, "images cannot be added once training has begun: make a new trainer");
    if (t->count < t->capacity)
        return DN_OK;
    if (t->capacity > INT32_MAX / 2)
        return fail(error, DN_E_ARGUMENT, "too many images: %d", t->count);
    int32_t capacity = t->capacity ? 2 * t->capacity : 64;
    train_image *images = mem_alloc(&t->allocator, (size_t)capacity, sizeof *images);
    if (!images)
        return fail_memory(error, "the list of images");
    if (t->count > 0)
        memcpy(images, t->images, (size_t)t->count * sizeof *images);
    mem_free(&t->allocator, t->images);
    t->images = images;
    t->capacity = capacity;
    return DN_OK;
}

dn_status trainer_add_path(dn_trainer *t, const char *path, dn_error *error)
{
    dn_image *image;
    dn_error cause = {0};

    TRY(reserve(t, error));
    TRY(open_image(t, path, &image, error));
    dn_pixels view = image_pixels(image);
    dn_status status = pixels_check(&view, DN_MIN_SIDE, &cause);
    if (status != DN_OK) {
        image_free(image);
        return fail(error, status, "%s: %s", path, cause.message);
    }
    uint32_t crc = image_crc(&view);
    image_free(image);
    char *copy = mem_strdup(&t->allocator, path);
    if (!copy)
        return fail_memory(error, "a file name");
    t->images[t->count++] = (train_image){.path = copy, .crc = crc};
    return DN_OK;
}

dn_status trainer_add_pixels(dn_trainer *t, const dn_pixels *view, dn_error *error)
{
    TRY(reserve(t, error));
    TRY(pixels_check(view, DN_MIN_SIDE, error));
    size_t size = (size_t)t->extractor->input_size;
    uint16_t *canvas = mem_alloc(&t->allocator, size * size * 3, sizeof *canvas);
    if (!canvas)
        return fail_memory(error, "an image");
    dn_status status = canvas_fill(view, t->extractor->input_size, canvas, &t->allocator, error);
    if (status != DN_OK) {
        mem_free(&t->allocator, canvas);
        return status;
    }
    t->images[t->count++] = (train_image){.canvas = canvas, .crc = image_crc(view)};
    return DN_OK;
}

dn_status train_image_canvas(const dn_trainer *t, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                             dn_error *error)
{
    const train_image *added = &t->images[index];
    dn_image *image;

    if (added->canvas) {
        *canvas = added->canvas;
        return DN_OK;
    }
    TRY(open_image(t, added->path, &image, error));
    dn_pixels view = image_pixels(image);
    dn_status status = DN_OK;
    /* A checkpoint or a bank would mix the features of two different images. */
    if (image_crc(&view) != added->crc)
        status = fail(error, DN_E_STATE, "%s: changed since it was added: make a new trainer", added->path);
    if (status == DN_OK)
        status = canvas_fill(&view, t->extractor->input_size, buffer, &t->allocator, error);
    image_free(image);
    *canvas = buffer;
    return status;
}

/* ---- held-out images ---- */

/* Images to keep out: the share asked for, at least one if there are three or more, none otherwise. */
static int32_t holdout_images(const dn_trainer *t)
{
    if (t->options.holdout <= 0 || t->count < 3)
        return 0;
    int32_t wanted = (int32_t)floor(t->options.holdout * t->count + 0.5);
    return wanted < 1 ? 1 : wanted;
}

dn_status train_images_split(dn_trainer *t, dn_error *error)
{
    rng generator;
    int32_t held = holdout_images(t), trained = t->count - held;
    int32_t *split = mem_alloc(&t->allocator, (size_t)t->count, sizeof *split);
    uint32_t *shuffled = mem_alloc(&t->allocator, (size_t)t->count, sizeof *shuffled);
    uint8_t *out = mem_zalloc(&t->allocator, (size_t)t->count, 1);
    _Bool made = split && shuffled && out;

    if (made) {
        rng_seed(&generator, t->options.seed, RNG_HOLDOUT);
        rng_permutation(&generator, shuffled, (uint32_t)t->count);
        for (int32_t i = 0; i < held; i++)
            out[shuffled[i]] = 1;
        for (int32_t i = 0, train = 0, hold = trained; i < t->count; i++)
            split[out[i] ? hold++ : train++] = i;
        t->split = split;
        t->train_count = trained;
        t->holdout_count = held;
    } else {
        mem_free(&t->allocator, split);
    }
    mem_free(&t->allocator, shuffled);
    mem_free(&t->allocator, out);
    return made ? DN_OK : fail_memory(error, "the list of held-out images");
}
