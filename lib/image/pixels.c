/* What a dn_pixels says about memory, and whether it can be true. */
#include "image/pixels.h"

#include "base/status.h"

static const pixel_layout layouts[] = {
    [DN_GRAY8] = {1, 1, {0, 0, 0}}, [DN_GRAY16] = {1, 2, {0, 0, 0}}, [DN_RGB8] = {3, 1, {0, 1, 2}},
    [DN_BGR8] = {3, 1, {2, 1, 0}},  [DN_RGBA8] = {4, 1, {0, 1, 2}},  [DN_BGRA8] = {4, 1, {2, 1, 0}},
};

const pixel_layout *image_layout(int32_t format)
{
    return format >= DN_GRAY8 && format <= DN_BGRA8 ? &layouts[format] : NULL;
}

int32_t image_bytes_per_pixel(int32_t format)
{
    const pixel_layout *layout = image_layout(format);

    return layout ? layout->channels * layout->bytes_per_sample : 0;
}

int64_t image_stride(const dn_pixels *image)
{
    return image->stride ? image->stride : (int64_t)image->width * image_bytes_per_pixel(image->format);
}

const uint8_t *image_row(const dn_pixels *image, int32_t y)
{
    return (const uint8_t *)image->pixels + y * image_stride(image);
}

dn_status pixels_check(const dn_pixels *image, int32_t min_side, dn_error *error)
{
    int32_t bytes = image_bytes_per_pixel(image->format);

    if (!image->pixels)
        return fail(error, DN_E_ARGUMENT, "image: pixels is NULL");
    if (bytes == 0)
        return fail(error, DN_E_ARGUMENT, "image: format %d is unknown; use DN_GRAY8 .. DN_BGRA8", (int)image->format);
    if (image->width < min_side || image->height < min_side)
        return fail(error, DN_E_ARGUMENT, "image: %d x %d pixels; width and height must be at least %d",
                    (int)image->width, (int)image->height, (int)min_side);
    if (image->reserved != 0)
        return fail(error, DN_E_ARGUMENT, "image: reserved is %d; it must be 0", (int)image->reserved);

    int64_t packed = (int64_t)image->width * bytes;
    int64_t largest = PTRDIFF_MAX / image->height; /* so that stride x height cannot overflow */
    if (packed > largest || image->stride > largest || image->stride < -largest)
        return fail(error, DN_E_ARGUMENT, "image: %d rows of %lld bytes do not fit into memory", (int)image->height,
                    (long long)image_stride(image));
    if (image->stride != 0 && image->stride < packed && image->stride > -packed)
        return fail(error, DN_E_ARGUMENT, "image: stride %lld is smaller than a row of %lld bytes",
                    (long long)image->stride, (long long)packed);
    return DN_OK;
}
