/* From a canvas to the CNN's input: rotate, jitter, normalise. */
#ifndef DN_IMAGE_VIEW_H
#define DN_IMAGE_VIEW_H

#include <stdint.h>

/* Colour jitter of one view; {1, 1, 1} changes nothing. */
typedef struct view_jitter {
    float brightness, contrast, saturation; /* factors, applied in this order as torchvision's ColorJitter does */
} view_jitter;

/* Renders view (height, width, 3): the canvas, as large, rotated by `angle` degrees (finite) counter-clockwise about its centre,
 * nearest pixel, 0 where nothing of it comes to lie, then jittered (NULL: not), then (rgb - mean) / std.  The sampled pixel is the one PIL's
 * Image.rotate(angle, NEAREST) takes.  width, height: 1 .. 8192. */
void view_render(const uint16_t *canvas, int32_t width, int32_t height, double angle, const view_jitter *jitter,
                 const float mean[3], const float std[3], float *view);

#endif
