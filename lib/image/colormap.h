/* The heat map's colours. */
#ifndef DN_IMAGE_COLORMAP_H
#define DN_IMAGE_COLORMAP_H

#include <stdint.h>

/* Colour of t = 0 .. 1 as sRGB bytes: dark blue, magenta, orange, yellow; equal steps of t look equally large. */
void colormap_at(double t, uint8_t rgb[3]);

#endif
