#include "differnet/tiles.h"

#include <string.h>

#include "base/status.h"
#include "positions/positions.h"

/* A tile and the next one share this part of its cells, rounded down. */
#define OVERLAP 5

static int32_t step_of(int32_t cells)
{
    return cells - cells / OVERLAP;
}

static int32_t grid_cells(int32_t cells, int32_t tiles)
{
    return cells + (tiles - 1) * step_of(cells);
}

/* Pixels of a side of the canvas; input: the same side of the network's input. */
static int32_t canvas_side(int32_t input, int32_t cells, double stride, int32_t tiles)
{
    return input + (tiles - 1) * step_of(cells) * (int32_t)stride;
}

dn_status tile_plan_check(const dn_extractor *extractor, int32_t columns, int32_t rows, dn_error *error)
{
    maps_geometry tile = maps_of(extractor);

    if (columns < 1 || rows < 1 || columns > TILES_MAX || rows > TILES_MAX || columns * rows > TILES_MAX)
        return fail(error, DN_E_ARGUMENT, "%d x %d tiles: 1 to %d of them are possible", columns, rows, TILES_MAX);
    if (columns * rows == 1)
        return DN_OK;
    int32_t across = grid_cells(tile.columns, columns), down = grid_cells(tile.rows, rows);
    if (across > POSITIONS_MAX_SIDE || down > POSITIONS_MAX_SIDE || across * down > TILES_MAX_CELLS)
        return fail(
            error, DN_E_LIMIT,
            "%d x %d tiles make a grid of %d x %d cells: at most %d x %d, and %d in all, are handled; use fewer "
            "tiles",
            columns, rows, down, across, POSITIONS_MAX_SIDE, POSITIONS_MAX_SIDE, TILES_MAX_CELLS);
    return DN_OK;
}

tile_plan tile_plan_of(const dn_extractor *extractor, int32_t columns, int32_t rows, int32_t fit)
{
    maps_geometry tile = maps_of(extractor);
    tile_plan plan = {.columns = columns, .rows = rows, .tile = tile, .grid = tile};

    plan.whole = (canvas_shape){.width = extractor->input_width, .height = extractor->input_height, .fit = fit};
    for (int c = 0; c < 3; c++) {
        float fill = extractor->mean[c] * 65535.0f + 0.5f; /* 0 once it is normalised */
        plan.whole.fill[c] = (uint16_t)(fill > 0 ? fill < 65535.0f ? fill : 65535.0f : 0);
    }
    plan.canvas = plan.whole;
    plan.canvas.width = canvas_side(extractor->input_width, tile.columns, tile.stride_x, columns);
    plan.canvas.height = canvas_side(extractor->input_height, tile.rows, tile.stride_y, rows);
    plan.step_columns = step_of(tile.columns);
    plan.step_rows = step_of(tile.rows);
    plan.grid.columns = grid_cells(tile.columns, columns);
    plan.grid.rows = grid_cells(tile.rows, rows);
    return plan;
}

/* ---- how many ---- */

#define ENLARGED 1.25 /* a canvas' side, as a multiple of the image's, at most */

void tiles_choose(const dn_extractor *extractor, int32_t width, int32_t height, int32_t most, int32_t *columns,
                  int32_t *rows)
{
    maps_geometry tile = maps_of(extractor);
    double finest = 0;

    *columns = *rows = 1;
    for (int32_t down = 1; down <= most; down++)
        for (int32_t across = 1; across * down <= most; across++) {
            double x = (double)canvas_side(extractor->input_width, tile.columns, tile.stride_x, across) / width;
            double y = (double)canvas_side(extractor->input_height, tile.rows, tile.stride_y, down) / height;
            if ((across > 1 && x > ENLARGED) || (down > 1 && y > ENLARGED) ||
                tile_plan_check(extractor, across, down, NULL) != DN_OK)
                continue;
            double fine = x < y ? x : y;
            if (fine > finest) { /* of equals the first, which has no more tiles than the others */
                finest = fine;
                *columns = across;
                *rows = down;
            }
        }
}

/* ---- cutting and putting together ---- */

void tile_cut(const tile_plan *plan, const uint16_t *canvas, int32_t index, uint16_t *tile)
{
    int32_t stride_x = (int32_t)plan->tile.stride_x, stride_y = (int32_t)plan->tile.stride_y;
    size_t row = (size_t)plan->canvas.width * 3, width = (size_t)plan->whole.width * 3;
    size_t y = (size_t)(index / plan->columns * plan->step_rows * stride_y);
    size_t x = (size_t)(index % plan->columns * plan->step_columns * stride_x);

    for (int32_t i = 0; i < plan->whole.height; i++)
        memcpy(tile + (size_t)i * width, canvas + (y + (size_t)i) * row + x * 3, width * sizeof *tile);
}

/* Cells first .. end - 1 of tile `index` of `tiles` in a row are its own. */
struct owned {
    int32_t first, end;
};

static struct owned owned_cells(int32_t index, int32_t tiles, int32_t cells, int32_t step)
{
    int32_t shared = cells - step;

    return (struct owned){index > 0 ? shared / 2 : 0, index + 1 < tiles ? step + shared / 2 : cells};
}

void tile_store(const tile_plan *plan, int32_t index, const float *maps, float *grid)
{
    int32_t down = index / plan->columns, across = index % plan->columns;
    struct owned y = owned_cells(down, plan->rows, plan->tile.rows, plan->step_rows);
    struct owned x = owned_cells(across, plan->columns, plan->tile.columns, plan->step_columns);
    size_t channels = (size_t)plan->tile.channels;

    for (int32_t i = y.first; i < y.end; i++) {
        size_t from = (size_t)i * (size_t)plan->tile.columns + (size_t)x.first;
        size_t to = (size_t)(down * plan->step_rows + i) * (size_t)plan->grid.columns +
                    (size_t)(across * plan->step_columns + x.first);
        memcpy(grid + to * channels, maps + from * channels, (size_t)(x.end - x.first) * channels * sizeof *grid);
    }
}
