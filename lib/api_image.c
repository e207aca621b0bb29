/* Images: decoding, describing, writing, heat-map overlay. */
#include "api.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "differnet/model.h"
#include "image/codec.h"
#include "image/overlay.h"
#include "image/pixels.h"

void dn_image_options_init_size(dn_image_options *options, size_t size)
{
    dn_image_options own = image_default_options();

    options_init(options, size, &own, sizeof own);
}

dn_status image_limits_check(int64_t max_pixels, int64_t max_bytes, int64_t max_memory, const char *what,
                             dn_error *error)
{
    if (max_pixels < 1)
        return fail(error, DN_E_ARGUMENT, "%s: max_pixels is %lld; it must be at least 1", what, (long long)max_pixels);
    if (max_bytes < 1)
        return fail(error, DN_E_ARGUMENT, "%s: max_bytes is %lld; it must be at least 1", what, (long long)max_bytes);
    if (max_memory < 0)
        return fail(error, DN_E_ARGUMENT, "%s: max_memory is %lld; it must be at least 1, or 0 for the default", what,
                    (long long)max_memory);
    return DN_OK;
}

/* The caller's options (nullable) over the defaults, checked. */
static dn_status read_options(const dn_image_options *callers, dn_image_options *own, dn_error *error)
{
    *own = image_default_options();
    TRY(options_read(own, sizeof *own, callers, "dn_image_options", error));
    if (own->reserved != 0)
        return fail(error, DN_E_ARGUMENT, "dn_image_options: reserved is %u; it must be 0", (unsigned)own->reserved);
    TRY(image_limits_check(own->max_pixels, own->max_bytes, own->max_memory, "dn_image_options", error));
    return allocator_check(own->allocator, "dn_image_options", error);
}

dn_status mask_arguments_check(const dn_pixels *mask, int32_t kind, dn_error *error)
{
    if (kind != DN_MASK_INCLUDE && kind != DN_MASK_IGNORE)
        return fail(error, DN_E_ARGUMENT, "kind is %d, must be DN_MASK_INCLUDE or DN_MASK_IGNORE", kind);
    return pixels_check(mask, 1, error);
}

dn_status dn_image_open_path(const char *path, const dn_image_options *options, dn_image **out, dn_error *error)
{
    dn_image_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(path, error);
    TRY(read_options(options, &own, error));
    return image_open(path, &own, 0, out, error);
}

dn_status dn_image_open_memory(const void *bytes, size_t size, const dn_image_options *options, dn_image **out,
                               dn_error *error)
{
    dn_image_options own;

    REQUIRE(out, error);
    *out = NULL;
    if (size > 0)
        REQUIRE(bytes, error);
    TRY(read_options(options, &own, error));
    if (size > (uint64_t)own.max_bytes)
        return fail(error, DN_E_LIMIT, "image in memory: %zu bytes, more than the limit of %lld", size,
                    (long long)own.max_bytes);
    const image_input input = {.bytes = bytes,
                               .size = size,
                               .label = "image in memory",
                               .max_pixels = own.max_pixels,
                               .max_memory = own.max_memory ? own.max_memory : image_default_memory(own.max_pixels),
                               .allocator = mem_allocator(own.allocator)};
    return image_decode(&input, out, error);
}

const char *dn_image_ending(int32_t index)
{
    return image_ending(index);
}

void dn_image_pixels(const dn_image *image, dn_pixels *out)
{
    if (!out)
        return;
    *out = (dn_pixels){0};
    if (image)
        *out = image_pixels(image);
}

void dn_image_free(dn_image *image)
{
    image_free(image);
}

dn_status dn_image_encode_png(const dn_pixels *image, dn_blob **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(NULL);

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(image, error);
    TRY(pixels_check(image, 1, error));
    return png_encode(image, &allocator, out, error);
}

dn_status dn_image_write_png(const dn_pixels *image, const char *path, dn_error *error)
{
    dn_allocator allocator = mem_allocator(NULL);
    file_writer writer;
    dn_blob *blob;

    REQUIRE(image, error);
    REQUIRE(path, error);
    TRY(pixels_check(image, 1, error));
    TRY(png_encode(image, &allocator, &blob, error));
    dn_status status = file_writer_open(&writer, path, &allocator, error);
    if (status == DN_OK)
        status = file_writer_write(&writer, blob->data, blob->size, error);
    if (status == DN_OK)
        status = file_writer_commit(&writer, error);
    blob_free(blob);
    return status;
}

static dn_status overlay(const dn_pixels *image, canvas_range range, const float *map, float full, uint8_t *rgb,
                         dn_error *error)
{
    TRY(pixels_check(image, 1, error));
    if (!isfinite(full) || (full > 0 && full <= 1))
        return fail(error, DN_E_ARGUMENT, "overlay: full is %g; it must be above 1, or 0 for the default",
                    (double)full);
    return overlay_render(image, range, map, full > 0 ? full : DN_OVERLAY_FULL, rgb, error);
}

dn_status dn_image_overlay(const dn_pixels *image, const float *map, float full, uint8_t *rgb, dn_error *error)
{
    REQUIRE(image, error);
    REQUIRE(map, error);
    REQUIRE(rgb, error);
    return overlay(image, (canvas_range){0, 0}, map, full, rgb, error);
}

dn_status dn_model_overlay(const dn_model *model, const dn_pixels *image, const float *map, float full, uint8_t *rgb,
                           dn_error *error)
{
    REQUIRE(model, error);
    REQUIRE(image, error);
    REQUIRE(map, error);
    REQUIRE(rgb, error);
    TRY(overlay(image, model->facts.range, map, full, rgb, error));
    mask_darken(&model->mask, rgb, image->height, image->width);
    return DN_OK;
}
