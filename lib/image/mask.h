/* Which pixels of an image count. */
#ifndef DN_IMAGE_MASK_H
#define DN_IMAGE_MASK_H

#include "image/canvas.h"

typedef struct image_mask {
    dn_allocator allocator;
    int32_t width, height; /* 0: there is none, all pixels count */
    uint8_t *inside;       /* (height, width): 1 or 0 */
} image_mask;

/* From an image in which what counts is bright (DN_MASK_INCLUDE), or what does not (DN_MASK_IGNORE): its brightest
 * channel is at least half of white.  It has passed pixels_check.  DN_E_ARGUMENT if nothing would count.  On failure
 * the mask is as it was. */
dn_status mask_set(image_mask *self, const dn_pixels *image, int32_t kind, dn_error *error);
void mask_clear(image_mask *self);

/* DN_E_ARGUMENT unless an image of this size has the mask's aspect: within a pixel of the smaller one, or 1 %. */
dn_status mask_check(const image_mask *self, int32_t width, int32_t height, dn_error *error);
/* Whether the point (x, y) counts, in units of the image's width and height: 0 .. 1, what is beyond being the border. */
_Bool mask_at(const image_mask *self, double x, double y);
/* What does not count gets the canvas' fill, in the place of an image. */
void mask_fill(const image_mask *self, const canvas_shape *shape, const canvas_place *place, uint16_t *canvas);
/* What does not count becomes 0 in a map (height, width) of the image. */
void mask_map(const image_mask *self, float *map, int32_t height, int32_t width);

#endif
