#include "differnet/position_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "image/heatmap.h"
#include "image/view.h"

static size_t padded_view(const dn_extractor *extractor)
{
    return mem_padded_floats(view_floats(extractor));
}

static size_t padded_maps(const maps_geometry *maps)
{
    return mem_padded_floats((size_t)maps->rows * (size_t)maps->columns * (size_t)maps->channels);
}

/* Floats that hold a tile's part of the canvas. */
static size_t padded_cut(const dn_extractor *extractor)
{
    return padded_view(extractor) / (sizeof(float) / sizeof(uint16_t));
}

size_t position_features_scratch(const dn_extractor *extractor, const tile_plan *plan, int32_t threads)
{
    size_t view = padded_view(extractor), rest = maps_scratch(extractor, threads), floats;
    size_t tile = tiles_one(plan) ? 0 : mem_padded_floats(padded_cut(extractor)) + padded_maps(&plan->tile);

    return size_add(view + tile, rest > view ? rest : view, &floats) ? floats : 0;
}

/* Of one part (height, width, 3): maps (rows, columns, channels) of a tile.  scratch: the view, then the rest. */
static void cut_features(const dn_extractor *extractor, const uint16_t *cut, position_change change, void *context,
                         float *maps, float *details, float *scratch, pool *workers)
{
    float *rest = scratch + padded_view(extractor);

    view_render(cut, extractor->input_width, extractor->input_height, 0, NULL, extractor->mean, extractor->std,
                scratch);
    if (change)
        change(context, extractor->input_width, extractor->input_height, scratch, rest);
    maps_forward(extractor, scratch, maps, details, rest, workers);
}

void position_features(const dn_extractor *extractor, const tile_plan *plan, const uint16_t *canvas,
                       position_change change, void *context, float *maps, float *details, float *scratch,
                       pool *workers)
{
    if (tiles_one(plan)) {
        cut_features(extractor, canvas, change, context, maps, details, scratch, workers);
        return;
    }
    float *cut = scratch, *tile = cut + mem_padded_floats(padded_cut(extractor));
    float *rest = tile + padded_maps(&plan->tile);
    for (int32_t i = 0; i < plan->columns * plan->rows; i++) {
        tile_cut(plan, canvas, i, (uint16_t *)cut);
        cut_features(extractor, (const uint16_t *)cut, change, context, tile, NULL, rest, workers);
        tile_store(plan, i, tile, maps);
    }
}

size_t position_maps_floats(const maps_geometry *grid)
{
    size_t maps = padded_maps(grid), smooth = mem_padded_floats(2 * (size_t)grid->rows * (size_t)grid->columns);

    return maps > smooth ? maps : smooth;
}

/* Floats of the maps of a density's details. */
static size_t details_floats(const positions *density)
{
    const positions *details = density->details;

    return details ? mem_padded_floats(positions_cells(details) * (size_t)details->channels) : 0;
}

/* Floats that hold the grid's maps, and then the details' distances. */
static size_t maps_region(const positions *density, const maps_geometry *grid)
{
    size_t maps = position_maps_floats(grid);
    size_t fine = density->details ? mem_padded_floats(positions_cells(density->details)) : 0;

    return maps > fine ? maps : fine;
}

size_t position_map_scratch(const dn_extractor *extractor, const tile_plan *plan, const positions *density,
                            int32_t threads)
{
    size_t features = position_features_scratch(extractor, plan, threads), row = positions_map_scratch(density);
    size_t details = density->details ? positions_map_scratch(density->details) : 0, rows, floats;

    row = row > details ? row : details;
    if (features == 0 || !size_mul(row, (size_t)threads, &rows))
        return 0;
    rows = features > rows ? features : rows; /* one after the other */
    return size_add(rows, maps_region(density, &plan->grid) + details_floats(density), &floats) ? floats : 0;
}

position_level position_map(const dn_extractor *extractor, const tile_plan *plan, const positions *density,
                            const uint16_t *canvas, const uint8_t *inside, float *map, float *scratch, pool *workers)
{
    const positions *details = density->details;
    float *maps = scratch, *fine = scratch + maps_region(density, &plan->grid);
    float *rest = fine + details_floats(density);

    position_features(extractor, plan, canvas, NULL, NULL, maps, details ? fine : NULL, rest, workers);
    positions_map(density, maps, map, rest, workers);
    if (details) {
        positions_map(details, fine, maps, rest, workers); /* the maps are used up */
        positions_add_details(density, maps, (float)density->detail_weight, map);
    }
    position_level level = position_smooth(map, density->rows, density->columns, inside, maps);
    position_normalise(map, positions_cells(density), level.median);
    return level;
}

static int compare_falling(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;

    return (first < second) - (first > second);
}

/* copy: as many floats as the map has. */
static position_level measure(const float *map, size_t cells, const uint8_t *inside, float *copy)
{
    size_t count = 0;
    double sum = 0;

    if (!floats_finite(map, cells))
        return (position_level){(double)NAN, (double)NAN};
    for (size_t i = 0; i < cells; i++)
        if (!inside || inside[i])
            copy[count++] = map[i];
    if (count == 0)
        return (position_level){0, 0};
    qsort(copy, count, sizeof *copy, compare_falling);
    size_t top = (size_t)(POSITION_TOP_SHARE * (double)count);
    top = top > 1 ? top : 1;
    for (size_t i = 0; i < top; i++)
        sum += (double)copy[i];
    return (position_level){sum / (double)top, (double)copy[count / 2]};
}

/* The smoothed map of the cells inside alone: each divided by the weight that they have in it.
 * scratch: 2 * rows * columns floats. */
static void smooth_inside(float *map, int32_t rows, int32_t columns, const uint8_t *inside, float *scratch)
{
    size_t cells = (size_t)rows * (size_t)columns;
    float *weights = scratch + cells;

    for (size_t i = 0; i < cells; i++) {
        weights[i] = inside[i];
        if (!inside[i])
            map[i] = 0; /* NaN as well */
    }
    map_blur(map, rows, columns, 1, POSITION_MAP_SIGMA, scratch);
    map_blur(weights, rows, columns, 1, POSITION_MAP_SIGMA, scratch);
    for (size_t i = 0; i < cells; i++)
        map[i] = inside[i] ? map[i] / weights[i] : 0;
}

position_level position_smooth(float *map, int32_t rows, int32_t columns, const uint8_t *inside, float *scratch)
{
    if (inside)
        smooth_inside(map, rows, columns, inside, scratch);
    else
        map_blur(map, rows, columns, 1, POSITION_MAP_SIGMA, scratch);
    return measure(map, (size_t)rows * (size_t)columns, inside, scratch);
}

/* Where everything is as in all good images a distance can be 0. */
#define LEAST_LEVEL 1e-6

static double floored(double level)
{
    return level < LEAST_LEVEL ? LEAST_LEVEL : level; /* NaN stays */
}

void position_scores(position_level level, double share, double *local, double *whole)
{
    *whole = floored(level.median);
    *local = floored(level.top) / pow(*whole, share);
}

double position_fit_share(const position_level *levels, int32_t count)
{
    double x = 0, y = 0, xx = 0, xy = 0;

    if (count < 2)
        return 0;
    for (int32_t i = 0; i < count; i++) {
        x += log(floored(levels[i].median)) / count;
        y += log(floored(levels[i].top)) / count;
    }
    for (int32_t i = 0; i < count; i++) {
        double difference = log(floored(levels[i].median)) - x;
        xx += difference * difference;
        xy += difference * (log(floored(levels[i].top)) - y);
    }
    return xx > 0 ? fmin(fmax(xy / xx, 0), 1.5) * count / (count + 10.0) : 0;
}

void position_normalise(float *map, size_t cells, double median)
{
    float factor = (float)(1 / sqrt(floored(median)));

    for (size_t i = 0; i < cells; i++)
        map[i] *= factor;
}

double position_peak(const float *map, size_t cells)
{
    float most = 0;

    for (size_t i = 0; i < cells; i++)
        most = map[i] > most ? map[i] : most;
    return (double)most;
}

/* Between which two of `cells` cells the pixel `at` of `pixels` lies, and the second one's share.  The pixels cover
 * `size` pixels of the canvas from `from` on. */
struct between {
    int32_t first, second;
    float share;
};

static struct between between_cells(int32_t at, int32_t pixels, int32_t from, int32_t size, double offset,
                                    double stride, int32_t cells)
{
    double cell = (from + (at + 0.5) * size / pixels - offset) / stride;

    if (!(cell > 0))
        return (struct between){0, 0, 0};
    if (cell >= cells - 1)
        return (struct between){cells - 1, cells - 1, 0};
    int32_t first = (int32_t)cell;
    return (struct between){first, first + 1, (float)(cell - first)};
}

/* Between the cells inside; 0 where none is. */
static float between_inside(const float *map, const uint8_t *inside, int32_t columns, const struct between *v,
                            const struct between *u)
{
    const int32_t rows[2] = {v->first, v->second}, cells[2] = {u->first, u->second};
    const float down[2] = {1 - v->share, v->share}, across[2] = {1 - u->share, u->share};
    float sum = 0, weights = 0;

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            size_t cell = (size_t)rows[i] * (size_t)columns + (size_t)cells[j];
            float weight = inside[cell] ? down[i] * across[j] : 0;
            sum += weight * map[cell];
            weights += weight;
        }
    return weights > 0 ? sum / weights : 0;
}

void position_to_image(const float *map, const maps_geometry *geometry, const uint8_t *inside,
                       const canvas_place *place, float factor, float *target, int32_t height, int32_t width)
{
    for (int32_t y = 0; y < height; y++) {
        struct between v = between_cells(y, height, place->y, place->height, geometry->offset_y, geometry->stride_y,
                                         geometry->rows);
        const float *above = map + (size_t)v.first * (size_t)geometry->columns;
        const float *below = map + (size_t)v.second * (size_t)geometry->columns;
        for (int32_t x = 0; x < width; x++) {
            struct between u = between_cells(x, width, place->x, place->width, geometry->offset_x, geometry->stride_x,
                                             geometry->columns);
            if (inside) {
                *target++ = factor * between_inside(map, inside, geometry->columns, &v, &u);
                continue;
            }
            float first = above[u.first] + v.share * (below[u.first] - above[u.first]);
            float second = above[u.second] + v.share * (below[u.second] - above[u.second]);
            *target++ = factor * (first + u.share * (second - first));
        }
    }
}

dn_status position_image_map(const dn_model *model, const float *cells, const uint8_t *inside, float *map,
                             int32_t height, int32_t width, dn_error *error)
{
    double scale = model->facts.positions_scale;
    canvas_place place = canvas_place_of(&model->plan.canvas, width, height);
    float factor = scale > 0 ? (float)(1 / scale) : 1;

    for (size_t i = 0; i < positions_cells(model->positions); i++)
        if (!isfinite(cells[i] * factor))
            return fail(error, DN_E_NUMERIC,
                        "the image's map is not finite: the model's numbers overflow; train it "
                        "anew");
    position_to_image(cells, &model->plan.grid, inside, &place, factor, map, height, width);
    return DN_OK;
}
