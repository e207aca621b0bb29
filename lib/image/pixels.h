/* What a dn_pixels says about memory, and whether it can be true. */
#ifndef DN_IMAGE_PIXELS_H
#define DN_IMAGE_PIXELS_H

#include "differnet.h"

/* DN_OK if the description makes sense (pointer, sizes >= min_side, stride, format). */
dn_status pixels_check(const dn_pixels *image, int32_t min_side, dn_error *error);

/* How a pixel format lies in memory: which of a pixel's samples is red, green, blue (the same one for gray). */
typedef struct pixel_layout {
    int32_t channels;         /* samples per pixel */
    int32_t bytes_per_sample; /* 1 or 2 */
    int32_t rgb[3];
} pixel_layout;
const pixel_layout *image_layout(int32_t format); /* NULL: unknown format */
int32_t image_bytes_per_pixel(int32_t format);    /* 0: unknown format */
/* Bytes from one row to the next, with the default (0) resolved. */
int64_t image_stride(const dn_pixels *image);
const uint8_t *image_row(const dn_pixels *image, int32_t y);

#endif
