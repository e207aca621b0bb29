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

int32_t inside_masked(const tile_plan *plan, const image_mask *mask, int32_t width, int32_t height, uint8_t *inside)
{
    const maps_geometry *grid = &plan->grid;
    canvas_place place = canvas_place_of(&plan->canvas, width, height);
    int32_t all = inside_cells(plan, width, height, inside), count = 0;

    if (mask->width == 0)
        return all;
    for (int32_t y = 0; y < grid->rows; y++)
        for (int32_t x = 0; x < grid->columns; x++, inside++) {
            *inside &= mask_at(mask, (grid->offset_x + x * grid->stride_x - place.x) / place.width,
                               (grid->offset_y + y * grid->stride_y - place.y) / place.height);
            count += *inside;
        }
    return count;
}

dn_status inside_find(const tile_plan *plan, const image_mask *mask, int32_t width, int32_t height, uint8_t *inside,
                      _Bool *partly, dn_error *error)
{
    TRY(mask_check(mask, width, height, error));
    int32_t count = inside_masked(plan, mask, width, height, inside);
    *partly = count < plan->grid.rows * plan->grid.columns;
    if (count > 0)
        return DN_OK;
    return fail(error, DN_E_ARGUMENT,
                "an image of %d x %d pixels leaves no position to look at: it is too narrow for what "
                "is cut from it, or no position's centre is inside the mask",
                width, height);
}
