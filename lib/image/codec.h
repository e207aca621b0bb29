/* Decoding image files.  Each format is a row of the table in codec.c and a file codec_<format>.c. */
#ifndef DN_IMAGE_CODEC_H
#define DN_IMAGE_CODEC_H

#include "base/blob.h"
#include "differnet.h"

struct dn_image {
    dn_allocator allocator;
    uint8_t *pixels; /* rows tightly packed */
    int32_t width, height;
    int32_t format; /* DN_GRAY8, DN_GRAY16 or DN_RGB8 */
};

/* An encoded image and the bounds it is decoded within. */
typedef struct image_input {
    const uint8_t *bytes;
    size_t size;
    const char *label; /* file name, for messages */
    int64_t max_pixels;
    int64_t max_memory; /* bytes for pixels and decoder */
    int32_t min_side;   /* smaller images are refused before they are decoded; 0 or 1: none */
    dn_allocator allocator;
} image_input;

/* The defaults of dn_image_options. */
#define IMAGE_MAX_PIXELS (64 << 20)
#define IMAGE_MAX_BYTES (1 << 30)
dn_image_options image_default_options(void);
/* What max_memory = 0 stands for. */
int64_t image_default_memory(int64_t max_pixels);

/* The ending number `index` (0, 1, ...) of the formats' file names, with its dot; NULL: no more of them. */
const char *image_ending(int32_t index);
dn_status image_decode(const image_input *input, dn_image **out, dn_error *error);
/* options: NULL means the defaults. */
dn_status image_open(const char *path, const dn_image_options *options, int32_t min_side, dn_image **out,
                     dn_error *error);
void image_free(dn_image *image); /* NULL is allowed */
dn_pixels image_pixels(const dn_image *image);

/* ---- the formats ---- */

_Bool png_recognise(const uint8_t *bytes, size_t size);
dn_status png_decode(const image_input *input, dn_image **out, dn_error *error);
/* The image must have passed pixels_check. */
dn_status png_encode(const dn_pixels *image, const dn_allocator *allocator, dn_blob **out, dn_error *error);
_Bool jpeg_recognise(const uint8_t *bytes, size_t size);
dn_status jpeg_decode(const image_input *input, dn_image **out, dn_error *error);
_Bool bmp_recognise(const uint8_t *bytes, size_t size);
dn_status bmp_decode(const image_input *input, dn_image **out, dn_error *error);
_Bool pnm_recognise(const uint8_t *bytes, size_t size);
dn_status pnm_decode(const image_input *input, dn_image **out, dn_error *error);
/* Both only where the build has libtiff (DN_WITH_TIFF). */
_Bool tiff_recognise(const uint8_t *bytes, size_t size);
dn_status tiff_decode(const image_input *input, dn_image **out, dn_error *error);

/* ---- for the formats ---- */

/* DN_E_LIMIT above max_pixels and for a side of more than IMAGE_MAX_SIDE, DN_E_ARGUMENT below min_side, DN_E_FORMAT
 * for a size that no image has. */
#define IMAGE_MAX_SIDE (1 << 20) /* a row costs time however narrow it is: 64 million rows of one pixel would be slow */
dn_status image_check_size(const image_input *input, int64_t width, int64_t height, dn_error *error);
/* DN_E_LIMIT if decoding takes more than max_memory. */
dn_status image_check_memory(const image_input *input, uint64_t bytes, dn_error *error);
/* An image of width x height with unset pixels, after image_check_size, and image_check_memory of its pixels and the
 * `decoder_bytes` that decoding takes beside them. */
dn_status image_allocate(const image_input *input, int64_t width, int64_t height, int32_t format,
                         uint64_t decoder_bytes, dn_image **out, dn_error *error);

#endif
