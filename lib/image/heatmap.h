/* Maps of one value or a few per pixel: rotate, blur, resize. */
#ifndef DN_IMAGE_HEATMAP_H
#define DN_IMAGE_HEATMAP_H

#include "base/memory.h"
#include "image/canvas.h"

/* Rotates (height, width, channels) by `angle` degrees (finite) counter-clockwise about its centre, bilinear, 0
 * outside. */
void map_rotate(const float *source, int32_t width, int32_t height, int32_t channels, double angle, float *target);

#define BLUR_MAX_SIGMA 64.0
/* Gaussian blur of (height, width, channels) in place, truncated at 4 sigma, borders mirrored (edge pixel included:
 * d c b a | a b c d | d c b a; scipy's "reflect").  scratch: height * width * channels floats.
 * sigma: 0 (nothing happens) .. BLUR_MAX_SIGMA. */
void map_blur(float *map, int32_t height, int32_t width, int32_t channels, double sigma, float *scratch);

/* Resamples the part `place` of a map whose rows have `columns` values to (height, width): the inverse of canvas_refill, bilinear with half-pixel
 * centres, antialiased when shrinking. */
dn_status map_resize(const float *source, int32_t columns, const canvas_place *place, float *target, int32_t height,
                     int32_t width, mem_scratch *scratch, dn_error *error);

#endif
