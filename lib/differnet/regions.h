/* Regions of a heat map. */
#ifndef DN_DIFFERNET_REGIONS_H
#define DN_DIFFERNET_REGIONS_H

#include "differnet.h"

/* 8-connected regions >= threshold, strongest first. */
dn_status regions_find(const float *map, int32_t width, int32_t height, float threshold, dn_box *boxes,
                       int32_t capacity, int32_t *count, const dn_allocator *allocator, dn_error *error);

#endif
