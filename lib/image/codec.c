/* The table of formats, and what all of them share: limits, and the image they end up in. */
#include "image/codec.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "image/foreign.h"
#include "image/pixels.h"

#define MAX_ENDINGS 6
#define BYTES_PER_PIXEL 8 /* RGB, its copy turned by the orientation, and some more; most of a progressive JPEG */
#define SPARE_BYTES (16 << 20)

/* Formats are told apart by content; the endings are for who looks for images in a folder. */
static const struct image_codec {
    const char *name;
    const char *endings[MAX_ENDINGS];
    _Bool (*recognise)(const uint8_t *bytes, size_t size);
    dn_status (*decode)(const image_input *input, dn_image **out, dn_error *error);
} codecs[] = {
    {"PNG", {".png"}, png_recognise, png_decode},
    {"JPEG", {".jpg", ".jpeg"}, jpeg_recognise, jpeg_decode},
    {"BMP", {".bmp"}, bmp_recognise, bmp_decode},
    {"PNM", {".pnm", ".pbm", ".pgm", ".ppm"}, pnm_recognise, pnm_decode},
#ifdef DN_WITH_TIFF
    {"TIFF", {".tif", ".tiff"}, tiff_recognise, tiff_decode},
#endif
};
enum { CODECS = sizeof codecs / sizeof *codecs };

dn_image_options image_default_options(void)
{
    return (dn_image_options){
        .struct_size = sizeof(dn_image_options), .max_pixels = IMAGE_MAX_PIXELS, .max_bytes = IMAGE_MAX_BYTES};
}

int64_t image_default_memory(int64_t max_pixels)
{
    return max_pixels > (INT64_MAX - SPARE_BYTES) / BYTES_PER_PIXEL ? INT64_MAX
                                                                    : max_pixels * BYTES_PER_PIXEL + SPARE_BYTES;
}

const char *image_ending(int32_t index)
{
    for (int i = 0; i < CODECS && index >= 0; i++)
        for (int e = 0; e < MAX_ENDINGS && codecs[i].endings[e]; e++)
            if (index-- == 0)
                return codecs[i].endings[e];
    return NULL;
}

/* What is no image of ours is told by its name, if it is anything known. */
static dn_status refuse_unknown(const image_input *input, dn_error *error)
{
    const char *kind = foreign_kind(input->bytes, input->size);
    char names[64] = "";

    for (int i = 0; i < CODECS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s",
                 i == 0           ? ""
                 : i < CODECS - 1 ? ", "
                                  : " or ",
                 codecs[i].name);
    }
    if (kind)
        return fail(error, DN_E_FORMAT, "%s: %s, not a %s file", input->label, kind, names);
    return fail(error, DN_E_FORMAT, "%s: not a %s file", input->label, names);
}

dn_status image_decode(const image_input *input, dn_image **out, dn_error *error)
{
    *out = NULL;
    if (input->size == 0)
        return fail(error, DN_E_FORMAT, "%s: the file is empty", input->label);
    for (int i = 0; i < CODECS; i++)
        if (codecs[i].recognise(input->bytes, input->size))
            return codecs[i].decode(input, out, error);
    return refuse_unknown(input, error);
}

dn_status image_open(const char *path, const dn_image_options *options, int32_t min_side, dn_image **out,
                     dn_error *error)
{
    dn_image_options own = options ? *options : image_default_options();
    image_input input = {.label = path,
                         .max_pixels = own.max_pixels,
                         .min_side = min_side,
                         .max_memory = own.max_memory ? own.max_memory : image_default_memory(own.max_pixels),
                         .allocator = mem_allocator(own.allocator)};
    uint8_t *bytes;

    *out = NULL;
    TRY(file_read(path, own.max_bytes, &input.allocator, &bytes, &input.size, error));
    input.bytes = bytes;
    dn_status status = image_decode(&input, out, error);
    mem_free(&input.allocator, bytes);
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
    return (dn_pixels){
        .pixels = image->pixels, .width = image->width, .height = image->height, .format = image->format};
}

dn_status image_check_size(const image_input *input, int64_t width, int64_t height, dn_error *error)
{
    const char *label = input->label;
    long long w = width, h = height;

    if (width < 1 || height < 1)
        return fail(error, DN_E_FORMAT, "%s: impossible size of %lld x %lld pixels", label, w, h);
    if (width < input->min_side || height < input->min_side)
        return fail(error, DN_E_ARGUMENT, "%s: image: %lld x %lld pixels; width and height must be at least %d", label,
                    w, h, (int)input->min_side);
    if (width > input->max_pixels / height)
        return fail(error, DN_E_LIMIT,
                    "%s: %lld x %lld pixels, more than the limit of %lld; raise max_pixels to read "
                    "it",
                    label, w, h, (long long)input->max_pixels);
    if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return fail(error, DN_E_LIMIT, "%s: %lld x %lld pixels; a side may have %d at most", label, w, h,
                    IMAGE_MAX_SIDE);
    return DN_OK;
}

dn_status image_check_memory(const image_input *input, uint64_t bytes, dn_error *error)
{
    if (bytes <= (uint64_t)input->max_memory)
        return DN_OK;
    return fail(error, DN_E_LIMIT,
                "%s: decoding takes %llu bytes, more than the limit of %lld; raise max_memory to "
                "read it",
                input->label, (unsigned long long)bytes, (long long)input->max_memory);
}

dn_status image_allocate(const image_input *input, int64_t width, int64_t height, int32_t format,
                         uint64_t decoder_bytes, dn_image **out, dn_error *error)
{
    *out = NULL;
    TRY(image_check_size(input, width, height, error));
    size_t bytes = (size_t)width * (size_t)height * (size_t)image_bytes_per_pixel(format); /* below 2^40 x 4 */
    TRY(image_check_memory(input, bytes + decoder_bytes, error));
    dn_image *image = mem_zalloc(&input->allocator, 1, sizeof *image);
    if (!image)
        return fail_memory(error, input->label);
    image->allocator = input->allocator;
    image->width = (int32_t)width;
    image->height = (int32_t)height;
    image->format = format;
    image->pixels = mem_alloc(&input->allocator, bytes, 1);
    if (!image->pixels) {
        image_free(image);
        return fail_memory(error, input->label);
    }
    *out = image;
    return DN_OK;
}
