/* Bringing an image of any format to a canvas of fixed size: the one that views are cut from, or the one that tiles
 * are. */
#ifndef DN_IMAGE_CANVAS_H
#define DN_IMAGE_CANVAS_H

#include "base/memory.h"

/* Which values of 16-bit pixels are black and white; 0, 0: 0 and 65535.  8-bit pixels always use their whole range. */
typedef struct canvas_range {
    int32_t low, high;
} canvas_range;

typedef struct canvas_shape {
    int32_t width, height;
    canvas_range range;
    int32_t fit;      /* DN_FIT_STRETCH, or DN_FIT_LETTERBOX: the image keeps its aspect */
    uint16_t fill[3]; /* RGB of what the image leaves free */
} canvas_shape;

/* The part of the canvas that the image covers. */
typedef struct canvas_place {
    int32_t x, y, width, height;
} canvas_place;
/* With DN_FIT_LETTERBOX the largest rectangle of the image's aspect, to whole pixels, in the middle; else all. */
canvas_place canvas_place_of(const canvas_shape *shape, int32_t width, int32_t height);

/* Stretches an image to canvas (height, width, 3), RGB, 0 .. 65535 standing for 0 .. 1: bilinear (triangle filter,
 * antialiased when shrinking: PIL's Image.resize with BILINEAR).  Gray is replicated, alpha ignored.  The image
 * must have passed pixels_check. */
dn_status canvas_fill(const dn_pixels *image, int32_t width, int32_t height, uint16_t *canvas,
                      const dn_allocator *allocator, dn_error *error);
/* Likewise to the image's place on canvas (height, width, 3), with scratch that stays for the next image.  16-bit pixels
 * outside the shape's range become 0 or 65535, after the stretch. */
dn_status canvas_refill(const dn_pixels *image, const canvas_shape *shape, uint16_t *canvas, mem_scratch *scratch,
                        dn_error *error);

#endif
