/* What an image is like as a whole: numbers by which images of another camera, light or format are told. */
#ifndef DN_IMAGE_TRAITS_H
#define DN_IMAGE_TRAITS_H

#include "differnet.h"

/* Measures an image (DN_TRAIT_...) that lies stretched on canvas (height, width, 3), both sides at least 3.  Gray is (r + 2 g + b) / 4;
 * every fourth row of the canvas is looked at, its outermost pixels are not. */
void image_traits(const dn_pixels *image, const uint16_t *canvas, int32_t height, int32_t width,
                  double traits[DN_TRAITS]);

#endif
