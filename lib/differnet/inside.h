/* Which cells of the grid count in an image: those whose centre lies on the image, where it does not cover the canvas,
 * and inside its mask. */
#ifndef DN_DIFFERNET_INSIDE_H
#define DN_DIFFERNET_INSIDE_H

#include "differnet/tiles.h"
#include "image/mask.h"

/* inside (rows, columns) of the grid, 1 or 0, of an image of width x height pixels; returns how many are 1. */
int32_t inside_cells(const tile_plan *plan, int32_t width, int32_t height, uint8_t *inside);
/* Likewise, and by a mask of the image's aspect. */
int32_t inside_masked(const tile_plan *plan, const image_mask *mask, int32_t width, int32_t height, uint8_t *inside);
/* Likewise; *partly: not all are 1.  DN_E_ARGUMENT if none is, or the mask has another aspect. */
dn_status inside_find(const tile_plan *plan, const image_mask *mask, int32_t width, int32_t height, uint8_t *inside,
                      _Bool *partly, dn_error *error);

#endif
