/* Regions of a heat map. */
#ifndef DN_DIFFERNET_REGIONS_H
#define DN_DIFFERNET_REGIONS_H

#include "differnet.h"

#define REGIONS_MAX_GAP 256

dn_box_options regions_default_options(void);
/* Regions >= threshold, 8-connected or with at most options->gap pixels between them, strongest first. */
dn_status regions_find(const float *map, int32_t width, int32_t height, const dn_box_options *options, dn_box *boxes,
                       int32_t capacity, int32_t *count, const dn_allocator *allocator, dn_error *error);

#endif
