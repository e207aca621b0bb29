/* Separable resampling with a triangle filter, row by row: what canvas_fill and map_resize share. */
#ifndef DN_IMAGE_RESAMPLE_H
#define DN_IMAGE_RESAMPLE_H

#include "base/memory.h"

enum sample_type { SAMPLE_U8, SAMPLE_U16, SAMPLE_F32 };

/* (height, width, channels) samples; any alignment. */
typedef struct resample_source {
    const uint8_t *pixels; /* first byte of the top row */
    int64_t stride;        /* bytes; may be negative */
    int32_t height, width;
    int32_t channels; /* 1, 3 or 4 */
    enum sample_type type;
} resample_source;

/* Receives row y of the result, (width, channels) in the source's units; called for y = 0, 1, ... */
typedef void (*resample_emit)(void *context, int32_t y, const float *row);

/* Bilinear resampling to (height, width) with half-pixel centres; when shrinking, the triangle is as wide as needed
 * to weigh every source pixel (antialiasing).  Scratch is a few rows, and weights. */
dn_status resample(const resample_source *source, int32_t height, int32_t width, resample_emit emit, void *context,
                   mem_scratch *scratch, dn_error *error);

#endif
