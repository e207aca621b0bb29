/* From an image to the CNN's input: stretch to a square canvas, rotate, jitter, normalise. */
#ifndef DN_IMAGE_VIEW_H
#define DN_IMAGE_VIEW_H

#include "base/memory.h"

/* DN_OK if the description makes sense (pointer, sizes >= min_side, stride, format). */
dn_status image_view_check(const dn_image_view *image, int32_t min_side, dn_error *error);

/* How a pixel format lies in memory: which of a pixel's samples is red, green, blue (the same one for gray). */
typedef struct pixel_layout {
    int32_t channels;         /* samples per pixel */
    int32_t bytes_per_sample; /* 1 or 2 */
    int32_t rgb[3];
} pixel_layout;
const pixel_layout *image_layout(int32_t format); /* NULL: unknown format */
int32_t image_bytes_per_pixel(int32_t format);    /* 0: unknown format */
/* Bytes from one row to the next, with the default (0) resolved. */
int64_t image_stride(const dn_image_view *image);
const uint8_t *image_row(const dn_image_view *image, int32_t y);

/* Stretches an image to canvas (size, size, 3), RGB, 0 .. 65535 standing for 0 .. 1: bilinear (triangle filter,
 * antialiased when shrinking: PIL's Image.resize with BILINEAR).  Gray is replicated, alpha ignored.  The view must
 * have passed image_view_check. */
dn_status canvas_fill(const dn_image_view *image, int32_t size, uint16_t *canvas, const dn_allocator *allocator,
                      dn_error *error);
/* Like canvas_fill, with scratch that stays for the next image. */
dn_status canvas_refill(const dn_image_view *image, int32_t size, uint16_t *canvas, mem_scratch *scratch,
                        dn_error *error);

/* Colour jitter of one view; {1, 1, 1} changes nothing. */
typedef struct view_jitter {
    float brightness, contrast, saturation; /* factors, applied in this order as torchvision's ColorJitter does */
} view_jitter;

/* Renders view (size, size, 3): the canvas rotated by `angle` degrees (finite) counter-clockwise about its centre,
 * nearest pixel, corners 0, then jittered (NULL: not), then (rgb - mean) / std.  The sampled pixel is the one PIL's
 * Image.rotate(angle, NEAREST) takes.  size: 1 .. 8192. */
void view_render(const uint16_t *canvas, int32_t size, double angle, const view_jitter *jitter, const float mean[3],
                 const float std[3], float *view);

/* Rotates (size, size, channels) by `angle` degrees (finite) counter-clockwise, bilinear, 0 outside. */
void map_rotate(const float *source, int32_t size, int32_t channels, double angle, float *target);

#define BLUR_MAX_SIGMA 64.0
/* Gaussian blur of (height, width, channels) in place, truncated at 4 sigma, borders mirrored (edge pixel included:
 * d c b a | a b c d | d c b a; scipy's "reflect").  scratch: height * width * channels floats.
 * sigma: 0 (nothing happens) .. BLUR_MAX_SIGMA. */
void map_blur(float *map, int32_t height, int32_t width, int32_t channels, double sigma, float *scratch);

/* Resamples (size, size) to (height, width): the inverse of canvas_fill's stretch, bilinear with half-pixel centres,
 * antialiased when shrinking. */
dn_status map_resize(const float *source, int32_t size, float *target, int32_t height, int32_t width,
                     mem_scratch *scratch, dn_error *error);

#endif
