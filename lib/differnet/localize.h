/* Localization: the map of an image in its own pixels, of the density at every position or the paper's gradient. */
#ifndef DN_DIFFERNET_LOCALIZE_H
#define DN_DIFFERNET_LOCALIZE_H

#include <stdatomic.h>

#include "base/pool.h"
#include "differnet/model.h"

dn_localizer_options localizer_default_options(void);
dn_status localizer_options_check(const dn_localizer_options *options, dn_error *error); /* ranges of its numbers */
/* options: complete and checked. */
dn_status localizer_create(dn_model *model, const dn_localizer_options *options, dn_localizer **out, dn_error *error);
void localizer_free(dn_localizer *localizer);
/* The image has passed pixels_check.  Allocates only where the image needs more scratch than all before it.
 * map: (height, width) of the image; divided by the model's scale of this kind of map if it has one. */
dn_status localizer_map(dn_localizer *localizer, const dn_pixels *image, float *map, dn_error *error);
/* What counts of the images to come, within the model's own mask (NULL: that alone).  The image has passed
 * pixels_check. */
dn_status localizer_set_mask(dn_localizer *localizer, const dn_pixels *image, int32_t kind, dn_error *error);
/* The gradient's unscaled map at the network's own resolution, (height, width): what the scale is calibrated on.  Valid
 * until the next call.  For localizers of this method. */
dn_status localizer_raw_map(dn_localizer *localizer, const dn_pixels *image, const float **map, dn_error *error);
/* Like localizer_raw_map, of an image that canvas_fill has stretched already: canvas (height, width, 3). */
dn_status localizer_raw_map_canvas(dn_localizer *localizer, const uint16_t *canvas, const float **map, dn_error *error);
/* regions_find with the localizer's allocator and error. */
dn_status localizer_boxes(dn_localizer *localizer, const float *map, int32_t width, int32_t height,
                          const dn_box_options *options, dn_box *boxes, int32_t capacity, int32_t *count);
/* See dn_localizer_threshold. */
dn_status localizer_threshold(dn_localizer *localizer, double false_alarm_rate, float *threshold, double *kept,
                              dn_error *error);
dn_error *localizer_error(dn_localizer *localizer);
atomic_int *localizer_in_use(dn_localizer *localizer); /* 1: a call is in progress */

#endif
