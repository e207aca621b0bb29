/* How an image is laid before the network: the canvas it is brought to, and for the density at every position the tiles
 * that the canvas is cut into, each as large as the network's input.  They lie a whole number of cells apart, so that
 * the cells of their feature maps are one even grid, and they overlap: in the overlap each cell is taken from the tile
 * whose border is further away.  Behind this the density knows one large grid, and nothing of tiles. */
#ifndef DN_DIFFERNET_TILES_H
#define DN_DIFFERNET_TILES_H

#include "cnn/maps.h"
#include "image/canvas.h"

#define TILES_MAX 32          /* of an image */
#define TILES_MAX_CELLS 65536 /* of the grid */

typedef struct tile_plan {
    canvas_shape whole;              /* of the network's input: what the flow's views are cut from */
    canvas_shape canvas;             /* what the tiles are cut from; with one tile the same as `whole` */
    int32_t columns, rows;           /* of tiles */
    int32_t step_columns, step_rows; /* cells from one tile to the next */
    maps_geometry tile, grid;        /* of a tile's maps, and of all together */
} tile_plan;

/* columns, rows: >= 1, fit: DN_FIT_...; they have passed tile_plan_check, which is DN_E_LIMIT or DN_E_ARGUMENT. */
dn_status tile_plan_check(const dn_extractor *extractor, int32_t columns, int32_t rows, dn_error *error);
tile_plan tile_plan_of(const dn_extractor *extractor, int32_t columns, int32_t rows, int32_t fit);
/* The tiles that suit images of this size: as fine as they can be with at most `most` tiles without enlarging the
 * images by more than a quarter; the fewest of equally fine ones. */
void tiles_choose(const dn_extractor *extractor, int32_t width, int32_t height, int32_t most, int32_t *columns,
                  int32_t *rows);

static inline size_t tile_canvas_samples(const tile_plan *plan)
{
    return (size_t)plan->canvas.width * (size_t)plan->canvas.height * 3;
}

static inline _Bool tiles_one(const tile_plan *plan)
{
    return plan->columns * plan->rows == 1;
}

/* Tile `index`, row by row, of a canvas: (height, width, 3) of the network's input. */
void tile_cut(const tile_plan *plan, const uint16_t *canvas, int32_t index, uint16_t *tile);
/* Puts the cells that tile `index` owns from its maps (rows, columns, channels) into those of the grid. */
void tile_store(const tile_plan *plan, int32_t index, const float *maps, float *grid);

#endif
