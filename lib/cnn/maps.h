/* A view's feature maps at a common grid: the outputs of the layers that are tapped for maps, brought to the grid of
 * the coarsest of them, one behind the other as channels. */
#ifndef DN_CNN_MAPS_H
#define DN_CNN_MAPS_H

#include "base/pool.h"
#include "cnn/extractor.h"

/* Where the maps are.  Cell (row, column) is centred on the pixel (offset_y + row * stride_y, offset_x + ...) of the
 * view, in coordinates whose pixel centres are at half-integers: the centre of what its numbers are computed from. */
typedef struct maps_geometry {
    int32_t rows, columns, channels;
    double stride_y, stride_x, offset_y, offset_x;
} maps_geometry;

/* Marks the layers that maps are taken from where the layer list marks none: AlexNet's second pool and third to fifth
 * convolution (with their activation), of other networks the last activation of each size from a quarter to a
 * sixteenth of the view. */
void maps_default_taps(dn_extractor *extractor);
maps_geometry maps_of(const dn_extractor *extractor);
/* The details: the output of one earlier layer at its own, finer grid; of AlexNet's second convolution (with its
 * activation), of other networks none (0 rows).  Only tells where cells are, not on which pixels they are centred. */
maps_geometry maps_details_of(const dn_extractor *extractor);
int32_t maps_taps(const dn_extractor *extractor);
const char *maps_tap_name(const dn_extractor *extractor, int32_t tap); /* NULL: there are fewer */
/* view (height, width, 3) -> maps (rows, columns, channels), and details, likewise of their grid, if they are not NULL; the
 * work shared out; the same bits for any number of workers.  scratch: maps_scratch() floats for so many threads. */
size_t maps_scratch(const dn_extractor *extractor, int32_t threads);
void maps_forward(const dn_extractor *extractor, const float *view, float *maps, float *details, float *scratch,
                  pool *workers);

/* maps_forward of n views, with scratch of its own; DN_E_NUMERIC if a number is not finite. */
dn_status maps_of_views(const dn_extractor *extractor, const float *views, int32_t n, float *maps, dn_error *error);

/* Brings `source` (height, width, channels) to the grid: averages the pixels of each cell where it is finer,
 * interpolates between its pixels where it is coarser.  Written to channels first .. first + channels - 1 of grid
 * (rows, columns, stride). */
void maps_to_grid(const float *source, int32_t height, int32_t width, int32_t channels, float *grid, int32_t rows,
                  int32_t columns, int32_t stride, int32_t first);

#endif
