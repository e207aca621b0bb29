/* What PNG and JPEG share: telling them apart, limits, and the image they end up in. */
#include "image/codec.h"
#include "image/pixels.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

dn_image_options image_default_options(void)
{
    return (dn_image_options){.struct_size = sizeof(dn_image_options), .max_pixels = 64 << 20, .max_bytes = 1 << 30};
}

dn_status image_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                       const dn_allocator *allocator, dn_image **out, dn_error *error)
{
    *out = NULL;
    if (size == 0)
        return fail(error, DN_E_FORMAT, "%s: the file is empty", label);
    if (png_recognise(bytes, size))
        return png_decode(bytes, size, label, max_pixels, allocator, out, error);
    if (jpeg_recognise(bytes, size))
        return jpeg_decode(bytes, size, label, max_pixels, allocator, out, error);
    return fail(error, DN_E_FORMAT, "%s: not a PNG or JPEG file", label);
}

dn_status image_open(const char *path, const dn_image_options *options, dn_image **out, dn_error *error)
{
    dn_image_options own = options ? *options : image_default_options();
    dn_allocator allocator = mem_allocator(own.allocator);
    uint8_t *bytes;
    size_t size;

    *out = NULL;
    TRY(file_read(path, own.max_bytes, &allocator, &bytes, &size, error));
    dn_status status = image_decode(bytes, size, path, own.max_pixels, &allocator, out, error);
    mem_free(&allocator, bytes);
    return status;
}

void image_free(dn_image *image)
{
    if (!image)
        return;
    dn_allocator allocator = image->allocator;
    mem_free(&allocator, image->pixels);
    mem_free(&allocator, image);
}

dn_pixels image_pixels(const dn_image *image)
{
    return (dn_pixels){.pixels = image->pixels, .width = image->width, .height = image->height,
                           .format = image->format};
}

dn_status image_check_size(int64_t width, int64_t height, const char *label, int64_t max_pixels, dn_error *error)
{
    if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
        return fail(error, DN_E_FORMAT, "%s: impossible size of %lld x %lld pixels", label, (long long)width,
                    (long long)height);
    if (width > max_pixels / height)
        return fail(error, DN_E_LIMIT, "%s: %lld x %lld pixels, more than the limit of %lld; raise max_pixels to read "
                    "it", label, (long long)width, (long long)height, (long long)max_pixels);
    return DN_OK;
}

dn_status image_allocate(int64_t width, int64_t height, int32_t format, const char *label, int64_t max_pixels,
                         const dn_allocator *allocator, dn_image **out, dn_error *error)
{
    size_t bytes;

    *out = NULL;
    TRY(image_check_size(width, height, label, max_pixels, error));
    dn_image *image = mem_zalloc(allocator, 1, sizeof *image);
    if (!image)
        return fail_memory(error, label);
    image->allocator = *allocator;
    image->width = (int32_t)width;
    image->height = (int32_t)height;
    image->format = format;
    if (size_mul((size_t)width * (size_t)image_bytes_per_pixel(format), (size_t)height, &bytes))
        image->pixels = mem_alloc(allocator, bytes, 1);
    if (!image->pixels) {
        image_free(image);
        return fail_memory(error, label);
    }
    *out = image;
    return DN_OK;
}
