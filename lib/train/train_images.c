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
                             .range = {options->range_low, options->range_high},
                             .mask = {.allocator = *allocator},
                             .name = -1};
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
        mem_free(&images->allocator, images->list[i].thumb);
    }
    for (int32_t i = 0; i < images->name_count; i++)
        mem_free(&images->allocator, images->names[i]);
    mem_free(&images->allocator, images->names);
    mask_clear(&images->mask);
    groups_release(&images->groups, &images->allocator);
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
    if (images->groups.count > 0)
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

/* What does not count of an image is filled, on the plan's whole. */
static void hide_masked(const train_images *images, int32_t width, int32_t height, uint16_t *canvas)
{
    const canvas_place place = canvas_place_of(&images->plan.whole, width, height);

    mask_fill(&images->mask, &images->plan.whole, &place, canvas);
}

/* The thumbnail of an image: of what counts, because images that differ only elsewhere are one to the model. */
static dn_status make_thumb(const train_images *images, const train_image *image, float *thumb, dn_error *error)
{
    int32_t width = images->plan.whole.width, height = images->plan.whole.height;

    if (images->mask.width == 0) {
        group_thumb(image->canvas, width, height, thumb);
        return DN_OK;
    }
    uint16_t *filled = train_images_buffer(images);
    if (!filled)
        return fail_memory(error, "an image");
    memcpy(filled, image->canvas, view_floats(images->extractor) * sizeof *filled);
    hide_masked(images, image->width, image->height, filled);
    group_thumb(filled, width, height, thumb);
    mem_free(&images->allocator, filled);
    return DN_OK;
}

/* The image on a canvas of its own, its traits and its thumbnail.  After a failure it has neither. */
static dn_status measure(const train_images *images, const dn_pixels *pixels, train_image *image,
                         double traits[DN_TRAITS], dn_error *error)
{
    const canvas_shape *whole = &images->plan.whole;

    *image = (train_image){
        .crc = image_crc(pixels), .width = pixels->width, .height = pixels->height, .name = images->name};
    TRY(mask_check(&images->mask, pixels->width, pixels->height, error));
    TRY(make_canvas(images, pixels, whole, &image->canvas, error));
    image->thumb = mem_alloc(&images->allocator, THUMB_SIZE, sizeof *image->thumb);
    dn_status status = image->thumb ? make_thumb(images, image, image->thumb, error) : fail_memory(error, "an image");
    if (status != DN_OK) {
        mem_free(&images->allocator, image->canvas);
        mem_free(&images->allocator, image->thumb);
        return status;
    }
    image_traits(pixels, image->canvas, whole->height, whole->width, traits);
    return DN_OK;
}

dn_status train_images_set_mask(train_images *images, const dn_pixels *mask, int32_t kind, dn_error *error)
{
    if (images->count > 0)
        return fail(error, DN_E_STATE, "the mask comes before the first image, and there are %d: make a new trainer",
                    images->count);
    if (mask)
        return mask_set(&images->mask, mask, kind, NULL, error);
    mask_clear(&images->mask);
    return DN_OK;
}

dn_status train_images_add_path(train_images *images, const char *path, dn_error *error)
{
    double traits[DN_TRAITS];
    train_image added = {0};
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
    status = choose_plan(images, view.width, view.height, error);
    if (status == DN_OK)
        status = measure(images, &view, &added, traits, error);
    image_free(image);
    TRY(status);
    mem_free(&images->allocator, added.canvas);
    added.canvas = NULL;
    added.path = mem_strdup(&images->allocator, path);
    if (!added.path) {
        mem_free(&images->allocator, added.thumb);
        return fail_memory(error, "a file name");
    }
    images->list[images->count++] = added;
    seen_add(&images->seen, traits);
    return DN_OK;
}

dn_status train_images_add_pixels(train_images *images, const dn_pixels *pixels, dn_error *error)
{
    double traits[DN_TRAITS];

    TRY(reserve(images, error));
    TRY(pixels_check(pixels, DN_MIN_SIDE, error));
    train_image added = {0};
    TRY(choose_plan(images, pixels->width, pixels->height, error));
    TRY(measure(images, pixels, &added, traits, error));
    dn_status status = tiles_one(&images->plan)
                           ? DN_OK
                           : make_canvas(images, pixels, &images->plan.canvas, &added.tiles, error);
    if (status != DN_OK) {
        mem_free(&images->allocator, added.canvas);
        mem_free(&images->allocator, added.thumb);
        return status;
    }
    images->list[images->count++] = added;
    seen_add(&images->seen, traits);
    return DN_OK;
}

/* ---- groups ---- */

static dn_status add_name(train_images *images, const char *name, dn_error *error)
{
    if (images->name_count == images->name_capacity) {
        int32_t capacity = images->name_capacity ? 2 * images->name_capacity : 64;
        char **names = mem_alloc(&images->allocator, (size_t)capacity, sizeof *names);
        if (!names)
            return fail_memory(error, "the names of groups");
        if (images->name_count > 0)
            memcpy(names, images->names, (size_t)images->name_count * sizeof *names);
        mem_free(&images->allocator, images->names);
        images->names = names;
        images->name_capacity = capacity;
    }
    char *copy = mem_strdup(&images->allocator, name);
    if (!copy)
        return fail_memory(error, "a group's name");
    images->names[images->name_count++] = copy;
    return DN_OK;
}

dn_status train_images_set_group(train_images *images, const char *name, dn_error *error)
{
    TRY(reserve(images, error)); /* there is no way to add to a training that has begun */
    if (!name) {
        images->name = -1;
        return DN_OK;
    }
    /* The last ones first: a burst's images come one behind the other. */
    int32_t found = images->name_count - 1;
    while (found >= 0 && strcmp(images->names[found], name) != 0)
        found--;
    if (found < 0) {
        TRY(add_name(images, name, error));
        found = images->name_count - 1;
    }
    images->name = found;
    return DN_OK;
}

dn_status train_images_find_groups(train_images *images, _Bool copies, dn_error *error)
{
    int32_t room = images->count > images->name_count ? images->count : images->name_count;

    if (images->groups.count > 0)
        return DN_OK;
    group_image *list = mem_alloc(&images->allocator, (size_t)images->count, sizeof *list);
    if (!list)
        return fail_memory(error, "the groups of images");
    for (int32_t i = 0; i < images->count; i++)
        list[i] = (group_image){images->list[i].thumb, images->list[i].crc, images->list[i].name};
    dn_status status = groups_find(list, images->count, room, copies, &images->allocator, &images->groups, error);
    mem_free(&images->allocator, list);
    return status;
}

_Bool train_images_first(const train_images *images, int32_t image)
{
    return images->groups.first[images->groups.group[image]] == image;
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
    if (images->mask.width > 0) {
        crc = libdeflate_crc32(crc, &images->mask.width, sizeof images->mask.width);
        crc = libdeflate_crc32(crc, images->mask.bits, (size_t)images->mask.height * mask_stride(images->mask.width));
    }
    if (images->groups.count < images->count)
        crc = libdeflate_crc32(crc, images->groups.group, (size_t)images->count * sizeof *images->groups.group);
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

/* The image of `index` on the plan's whole, all of it. */
static dn_status whole_canvas(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                              dn_error *error)
{
    const train_image *added = &images->list[index];

    *canvas = added->canvas ? added->canvas : buffer;
    return added->canvas ? DN_OK : load_canvas(images, added, &images->plan.whole, buffer, error);
}

_Bool train_images_loads(const train_images *images, int32_t image)
{
    return images->list[image].canvas == NULL || images->mask.width > 0;
}

dn_status train_images_canvas(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                              dn_error *error)
{
    const train_image *added = &images->list[index];

    TRY(whole_canvas(images, index, buffer, canvas, error));
    if (images->mask.width == 0)
        return DN_OK;
    if (*canvas != buffer) /* it was kept, and stays as it is */
        memcpy(buffer, *canvas, view_floats(images->extractor) * sizeof *buffer);
    hide_masked(images, added->width, added->height, buffer);
    *canvas = buffer;
    return DN_OK;
}

dn_status train_images_tiles(const train_images *images, int32_t index, uint16_t *buffer, const uint16_t **canvas,
                             dn_error *error)
{
    const train_image *added = &images->list[index];

    if (tiles_one(&images->plan))
        return whole_canvas(images, index, buffer, canvas, error);
    *canvas = added->tiles ? added->tiles : buffer;
    return added->tiles ? DN_OK : load_canvas(images, added, &images->plan.canvas, buffer, error);
}

/* ---- held-out images ---- */

int32_t train_images_held(const train_images *images, double holdout)
{
    int32_t groups = images->groups.count;

    if (holdout <= 0 || groups < 3)
        return 0;
    int32_t wanted = (int32_t)floor(holdout * groups + 0.5);
    return wanted < 1 ? 1 : wanted;
}

dn_status train_images_split(train_images *images, double holdout, uint64_t seed, dn_error *error)
{
    rng generator;
    int32_t held = train_images_held(images, holdout), groups = images->groups.count;
    const int32_t *group = images->groups.group;

    if (images->split)
        return DN_OK;
    int32_t *split = mem_alloc(&images->allocator, (size_t)images->count, sizeof *split);
    uint32_t *shuffled = mem_alloc(&images->allocator, (size_t)groups, sizeof *shuffled);
    uint8_t *out = mem_zalloc(&images->allocator, (size_t)groups, 1);
    _Bool made = split && shuffled && out;

    if (made) {
        rng_seed(&generator, seed, RNG_HOLDOUT);
        rng_permutation(&generator, shuffled, (uint32_t)groups);
        for (int32_t i = 0; i < held; i++)
            out[shuffled[i]] = 1;
        images->train_count = 0;
        for (int32_t i = 0; i < images->count; i++)
            images->train_count += !out[group[i]];
        for (int32_t i = 0, train = 0, hold = images->train_count; i < images->count; i++)
            split[out[group[i]] ? hold++ : train++] = i;
        images->split = split;
        images->holdout_count = images->count - images->train_count;
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
    int32_t groups = images->groups.count;

    rng_seed(&generator, seed, RNG_FOLDS);
    for (int32_t i = 0; i < groups; i++)
        fold[i] = i % folds;
    for (int32_t i = groups - 1; i > 0; i--) {
        int32_t j = (int32_t)rng_below(&generator, (uint64_t)i + 1), kept = fold[i];
        fold[i] = fold[j];
        fold[j] = kept;
    }
    for (int32_t i = images->count - 1; i >= 0; i--) /* an image's group has no higher number than the image */
        fold[i] = fold[images->groups.group[i]];
}
