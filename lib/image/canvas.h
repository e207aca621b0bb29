/* Stretching an image of any format to the square that views are cut from. */
#ifndef DN_IMAGE_CANVAS_H
#define DN_IMAGE_CANVAS_H

#include "base/memory.h"

/* Stretches an image to canvas (size, size, 3), RGB, 0 .. 65535 standing for 0 .. 1: bilinear (triangle filter,
 * antialiased when shrinking: PIL's Image.resize with BILINEAR).  Gray is replicated, alpha ignored.  The image
 * must have passed pixels_check. */
dn_status canvas_fill(const dn_pixels *image, int32_t size, uint16_t *canvas, const dn_allocator *allocator,
                      dn_error *error);
/* Like canvas_fill, with scratch that stays for the next image. */
dn_status canvas_refill(const dn_pixels *image, int32_t size, uint16_t *canvas, mem_scratch *scratch, dn_error *error);

#endif
