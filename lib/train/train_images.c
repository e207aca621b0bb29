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

void train_images_init(train_images *images, const dn_extractor *extractor, const dn_train_options *options,
                       const dn_allocator *allocator)
{
    *images = (train_images){.allocator = *allocator,
                             .extractor = extractor,
                             .tile_columns = options->tile_columns,
                             .tile_rows = options->tile_rows,
                             .fit = options->fit,
                             .range = {options->range_low, options->range_high}};
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
        mem_free(&images->allocator, images->list[i].tiles);
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

#define AUTO_TILES 6 /* at most: each is a run of the network, and makes the model larger */

/* The first image tells how many tiles there are, where the options leave it open. */
static dn_status choose_plan(train_images *images, int32_t width, int32_t height, dn_error *error)
{
    int32_t columns = images->tile_columns, rows = images->tile_rows;

    if (images->count > 0)
        return DN_OK;
    if (columns == 0)
        tiles_choose(images->extractor, width, height, AUTO_TILES, &columns, &rows);
    TRY(tile_plan_check(images->extractor, columns, rows, error));
    images->plan = tile_plan_of(images->extractor, columns, rows, images->fit);
    images->plan.whole.range = images->plan.canvas.range = images->range;
    return DN_OK;
}

static uint16_t *canvas_buffer(const train_images *images, const canvas_shape *shape)
{
    return mem_alloc(&images->allocator, (size_t)shape->width * (size_t)shape->height * 3, sizeof(uint16_t));
}

uint16_t *train_images_buffer(const train_images *images)
{
    return canvas_buffer(images, &images->plan.whole);
}

static dn_status fill_canvas(const train_images *images, const dn_pixels *pixels, const canvas_shape *shape,
                             uint16_t *canvas, dn_error *error)
{
    mem_scratch scratch = {.allocator = images->allocator};
    dn_status status = canvas_refill(pixels, shape, canvas, &scratch, error);

    mem_release(&scratch);
    return status;
}

/* An image on a canvas that is made for it. */
static dn_status make_canvas(const train_images *images, const dn_pixels *pixels, const canvas_shape *shape,
                             uint16_t **canvas, dn_error *error)
{
    *canvas = canvas_buffer(images, shape);
    if (!*canvas)
        return fail_memory(error, "an image");
    dn_status status = fill_canvas(images, pixels, shape, *canvas, error);
    if (status != DN_OK) {
        mem_free(&images->allocator, *canvas);
        *canvas = NULL;
    }
    return status;
}

/* The image on a square of its own, and its traits. */
static dn_status measure(const train_images *images, const dn_pixels *pixels, uint16_t **canvas,
                         double traits[DN_TRAITS], dn_error *error)
{
    const canvas_shape *whole = &images->plan.whole;

    TRY(make_canvas(images, pixels, whole, canvas, error));
    image_traits(pixels, *canvas, whole->width, whole->height, traits);
    return DN_OK;
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
    status = choose_plan(images, view.width, view.height, error);
    if (status == DN_OK)
        status = measure(images, &view, &canvas, traits, error);
    image_free(image);
    TRY(status);
    mem_free(&images->allocator, canvas);
    char *copy = mem_strdup(&images->allocator, path);
    if (!copy)
        return fail_memory(error, "a file name");
    images->list[images->count++] = (train_image){.path = copy, .crc = crc, .width = view.width, .height = view.height};
    seen_add(&images->seen, traits);
    return DN_OK;
}

dn_status train_images_add_pixels(train_images *images, const dn_pixels *pixels, dn_error *error)
{
    double traits[DN_TRAITS];

    TRY(reserve(images, error));
    TRY(pixels_check(pixels, DN_MIN_SIDE, error));
    train_image added = {.crc = image_crc(pixels), .width = pixels->width, .height = pixels->height};
    TRY(choose_plan(images, pixels->width, pixels->height, error));
    TRY(measure(images, pixels, &added.canvas, traits, error));
    dn_status status = tiles_one(&images->plan)
                           ? DN_OK
                           : make_canvas(images, pixels, &images->plan.canvas, &added.tiles, error);
    if (status != DN_OK) {
        mem_free(&images->allocator, added.canvas);
        return status;
    }
    images->list[images->count++] = added;
    seen_add(&images->seen, traits);
    return DN_OK;
}

uint64_t train_images_id(const train_images *images)
{
    uint32_t crc = 0;

    if (images->fit != DN_FIT_STRETCH)
        crc = libdeflate_crc32(crc, &images->fit, sizeof images->fit);
    for (int32_t i = 0; i < images->count; i++)
        crc = libdeflate_crc32(crc, &images->list[i].crc, sizeof images->list[i].crc);
    if (images->range.high > 0) /* the same pixels in another range are other images */
        crc = libdeflate_crc32(crc, &images->range, sizeof images->range);
    return (uint64_t)images->count << 32 | crc;
}

/* The image of a path on a canvas. */
static dn_status load_canvas(const train_images *images, const train_image *added, const canvas_shape *shape,
                             uint16_t *canvas, dn_error *error)
{
    dn_image *image;

    TRY(image_open(added->path, &images->files, DN_MIN_SIDE, &image, error));
    dn_pixels view = image_pixels(image);
    dn_status status = DN_OK;
    /* A checkpoint or a bank would mix the features of two different images. */
    if (image_crc(&view) != added->crc)
        status = fail(error, DN_E_STATE, "%s: changed since it was added: make a new trainer", added->path);
    if (status == DN_OK)
        status = fill_canvas(images, &view, shape, canvas, error);
    image_free(image);
    return status;
}

dn_status train_images_canvas(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                              dn_error *error)
{
    const train_image *added = &images->list[index];

    *canvas = added->canvas ? added->canvas : buffer;
    return added->canvas ? DN_OK : load_canvas(images, added, &images->plan.whole, buffer, error);
}

dn_status train_images_tiles(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                             dn_error *error)
{
    const train_image *added = &images->list[index];

    if (tiles_one(&images->plan))
        return train_images_canvas(images, index, buffer, canvas, error);
    *canvas = added->tiles ? added->tiles : buffer;
    return added->tiles ? DN_OK : load_canvas(images, added, &images->plan.canvas, buffer, error);
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
