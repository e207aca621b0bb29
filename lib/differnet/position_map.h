/* One image through the density at every position: canvas -> upright views of its tiles -> feature maps -> distances ->
 * map, score. */
#ifndef DN_DIFFERNET_POSITION_MAP_H
#define DN_DIFFERNET_POSITION_MAP_H

#include "cnn/maps.h"
#include "differnet/model.h"

/* The map is smoothed by a Gaussian of so many cells: what is anomalous covers more than one of them, chance does not.
 * */
#define POSITION_MAP_SIGMA 0.6
/* Share of the cells whose mean tells what stands out. */
#define POSITION_TOP_SHARE 0.025

/* Below, `inside` (rows, columns) of the grid tells which cells count: 1, or 0 for one that is left out; NULL: all do. */

/* Floats of scratch for position_map on so many threads; 0 if it overflows. */
size_t position_map_scratch(const dn_extractor *extractor, const tile_plan *plan, const positions *density,
                            int32_t threads);
/* map (rows, columns): smoothed distances of the plan's canvas (height, width, 3), about 1 in good images, divided by
 * the root of their median.  The same bits for any number of workers. */
position_level position_map(const dn_extractor *extractor, const tile_plan *plan, const positions *density,
                            const uint16_t *canvas, const uint8_t *inside, float *map, float *scratch, pool *workers);
/* Feature maps (rows, columns, channels) of the grid, from the upright views of a canvas' tiles, each changed by
 * `change` (NULL: not); and the view's details (cnn/maps.h) if they are not NULL: of one tile alone. */
/* view (height, width, 3); scratch: as large. */
typedef void (*position_change)(void *context, int32_t width, int32_t height, float *view, float *scratch);
size_t position_features_scratch(const dn_extractor *extractor, const tile_plan *plan, int32_t threads);
void position_features(const dn_extractor *extractor, const tile_plan *plan, const uint16_t *canvas,
                       position_change change, void *context, float *maps, float *details, float *scratch,
                       pool *workers);
/* Floats of the grid's maps, and at least what position_smooth needs. */
size_t position_maps_floats(const maps_geometry *grid);
/* Smooths distances (rows, columns) in place and measures them.  What is outside has no part in it, and becomes 0.
 * scratch: as many floats, twice as many with `inside`. */
position_level position_smooth(float *map, int32_t rows, int32_t columns, const uint8_t *inside, float *scratch);
/* The parts' scores: local = top / median^share, whole = median. */
void position_scores(position_level level, double share, double *local, double *whole);
/* The share for which local and whole are uncorrelated over good images: by least squares of log top on log median,
 * within 0 .. 1.5, shrunk by count / (count + 10), because a few images tell little about it. */
double position_fit_share(const position_level *levels, int32_t count);
/* The map divided by the root of its median: what is shown.  An image that is unusual as a whole raises all its cells.
 * */
void position_normalise(float *map, size_t cells, double median);

/* Brings the map to the image's own pixels, (height, width), the image lying at `place` on the canvas: linear between
 * the centres of the cells inside, constant beyond the outermost ones; times `factor`.  0 where none of the cells around
 * is inside. */
void position_to_image(const float *map, const maps_geometry *geometry, const uint8_t *inside,
                       const canvas_place *place, float factor, float *target, int32_t height, int32_t width);
/* The map's highest value: what its scale is set by. */
double position_peak(const float *map, size_t cells);
/* position_to_image of a model's map, divided by the model's scale; DN_E_NUMERIC if it is not finite. */
dn_status position_image_map(const dn_model *model, const float *cells, const uint8_t *inside, float *map,
                             int32_t height, int32_t width, dn_error *error);

#endif
