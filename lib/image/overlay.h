/* A heat map drawn over an image. */
#ifndef DN_IMAGE_OVERLAY_H
#define DN_IMAGE_OVERLAY_H

#include "image/canvas.h"

/* Blends the heat map over the image, whose 16-bit pixels are shown in a range: see dn_image_overlay.  full: > 1.  NaN or infinity in the map is DN_E_NUMERIC. */
dn_status overlay_render(const dn_pixels *image, canvas_range range, const float *map, float full, uint8_t *rgb,
                         dn_error *error);

#endif
