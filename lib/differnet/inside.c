#include "differnet/inside.h"

#include "base/status.h"

/* Whether the centre of cell i lies on `size` pixels of the canvas from `from` on. */
static _Bool centre_on(int32_t i, double offset, double stride, int32_t from, int32_t size)
{
    double at = offset + i * stride - from;

    return at >= 0 && at < size;
}

int32_t inside_cells(const tile_plan *plan, int32_t width, int32_t height, uint8_t *inside)
{
    const maps_geometry *grid = &plan->grid;
    canvas_place place = canvas_place_of(&plan->canvas, width, height);
    int32_t count = 0;

    for (int32_t y = 0; y < grid->rows; y++)
        for (int32_t x = 0; x < grid->columns; x++) {
            *inside = centre_on(y, grid->offset_y, grid->stride_y, place.y, place.height) &&
                      centre_on(x, grid->offset_x, grid->stride_x, place.x, place.width);
            count += *inside++;
        }
    return count;
}

dn_status inside_find(const tile_plan *plan, int32_t width, int32_t height, uint8_t *inside, _Bool *partly,
                      dn_error *error)
{
    int32_t count = inside_cells(plan, width, height, inside);

    *partly = count < plan->grid.rows * plan->grid.columns;
    if (count > 0)
        return DN_OK;
    return fail(error, DN_E_ARGUMENT, "an image of %d x %d pixels leaves nothing of the positions that are looked at",
                width, height);
}
