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

/* label: file name for messages.  max_pixels is checked before any pixel is allocated. */
dn_status image_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                       const dn_allocator *allocator, dn_image **out, dn_error *error);
dn_status image_open(const char *path, const dn_image_options *options, dn_image **out, dn_error *error);
void image_free(dn_image *image);

_Bool png_recognise(const uint8_t *bytes, size_t size);
dn_status png_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                     const dn_allocator *allocator, dn_image **out, dn_error *error);
dn_status png_encode(const dn_image_view *image, const dn_allocator *allocator, dn_blob **out, dn_error *error);
_Bool jpeg_recognise(const uint8_t *bytes, size_t size);
dn_status jpeg_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                      const dn_allocator *allocator, dn_image **out, dn_error *error);

/* An image of width x height with unset pixels, after checking max_pixels.  Used by both codecs. */
dn_status image_allocate(int64_t width, int64_t height, int32_t format, const char *label, int64_t max_pixels,
                         const dn_allocator *allocator, dn_image **out, dn_error *error);
/* The image turned as EXIF orientation 1 .. 8 says; replaces *image. */
dn_status image_orient(dn_image **image, int32_t orientation, const char *label, dn_error *error);

/* Blends the heat map over the image: see dn_image_overlay. */
void overlay_render(const dn_image_view *image, const float *map, float full, uint8_t *rgb);

#endif
