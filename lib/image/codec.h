/* PNG and JPEG.  codec_png.c and codec_jpeg.c are the only includers of their libraries. */
#ifndef DN_IMAGE_CODEC_H
#define DN_IMAGE_CODEC_H

#include "base/blob.h"
#include "differnet.h"

struct dn_image {
    dn_allocator allocator;
    uint8_t *pixels; /* rows tightly packed */
    int32_t width, height;
    int32_t format;  /* DN_GRAY8, DN_GRAY16 or DN_RGB8 */
};

/* The defaults of dn_image_options. */
dn_image_options image_default_options(void);

/* label: file name for messages.  max_pixels is checked before any pixel is allocated. */
dn_status image_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                       const dn_allocator *allocator, dn_image **out, dn_error *error);
/* options: NULL means the defaults. */
dn_status image_open(const char *path, const dn_image_options *options, dn_image **out, dn_error *error);
void image_free(dn_image *image); /* NULL is allowed */
dn_pixels image_pixels(const dn_image *image);

_Bool png_recognise(const uint8_t *bytes, size_t size);
dn_status png_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                     const dn_allocator *allocator, dn_image **out, dn_error *error);
/* The image must have passed pixels_check. */
dn_status png_encode(const dn_pixels *image, const dn_allocator *allocator, dn_blob **out, dn_error *error);
_Bool jpeg_recognise(const uint8_t *bytes, size_t size);
dn_status jpeg_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                      const dn_allocator *allocator, dn_image **out, dn_error *error);

/* DN_E_LIMIT above max_pixels. */
dn_status image_check_size(int64_t width, int64_t height, const char *label, int64_t max_pixels, dn_error *error);
/* An image of width x height with unset pixels, after image_check_size.  Used by both codecs. */
dn_status image_allocate(int64_t width, int64_t height, int32_t format, const char *label, int64_t max_pixels,
                         const dn_allocator *allocator, dn_image **out, dn_error *error);

#endif
