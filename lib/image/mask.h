/* Which pixels of an image count. */
#ifndef DN_IMAGE_MASK_H
#define DN_IMAGE_MASK_H

#include "image/canvas.h"

typedef struct image_mask {
    dn_allocator allocator;
    int32_t width, height; /* 0: there is none, all pixels count */
    _Bool of_model;        /* for messages: it is the one a model was trained with */
    uint8_t *bits;         /* (height, mask_stride(width)): a pixel a bit, the highest one first; 1: it counts */
} image_mask;

/* Bytes of a row. */
size_t mask_stride(int32_t width);

/* From an image in which what counts is bright (DN_MASK_INCLUDE), or what does not (DN_MASK_IGNORE): its brightest
 * channel is at least half of white.  It has passed pixels_check.
 * within: the model's mask, what it leaves out does not count either (the result is as fine as the finer of both); NULL:
 * none.  DN_E_ARGUMENT if nothing would count, or their aspects differ.  On failure the mask is as it was. */
dn_status mask_set(image_mask *self, const dn_pixels *image, int32_t kind, const image_mask *within, dn_error *error);
/* What holds for the images to come: the model's mask, `kept`, or (*own) what of it counts by an image, too; NULL: the
 * model's alone.  As mask_set. */
dn_status mask_for_call(image_mask *own, const dn_pixels *image, int32_t kind, const image_mask *kept,
                        const image_mask **out, dn_error *error);
/* From bits as they are kept; spare ones at the end of a row are not looked at. */
dn_status mask_set_bits(image_mask *self, const uint8_t *bits, int32_t width, int32_t height, dn_error *error);
/* `to` becomes as `from`. */
dn_status mask_copy(const image_mask *from, image_mask *to, dn_error *error);
void mask_clear(image_mask *self);
/* How many of its pixels count. */
int64_t mask_count(const image_mask *self);

/* DN_E_ARGUMENT unless an image of this size has the mask's aspect: within a pixel of the smaller one, or 1 %. */
dn_status mask_check(const image_mask *self, int32_t width, int32_t height, dn_error *error);
/* Whether the point (x, y) counts, in units of the image's width and height: 0 .. 1, what is beyond being the border. */
_Bool mask_at(const image_mask *self, double x, double y);
/* What does not count gets the canvas' fill, in the place of an image. */
void mask_fill(const image_mask *self, const canvas_shape *shape, const canvas_place *place, uint16_t *canvas);
/* What does not count becomes 0 in a map (height, width) of the image. */
void mask_map(const image_mask *self, float *map, int32_t height, int32_t width);
/* What does not count becomes dark in an overlay (height, width, 3) of the image. */
void mask_darken(const image_mask *self, uint8_t *rgb, int32_t height, int32_t width);

#endif
