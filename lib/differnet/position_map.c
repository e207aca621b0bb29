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
    return mem_padded_floats(view_floats(extractor->input_size));
}

size_t position_features_scratch(const dn_extractor *extractor, int32_t threads)
{
    size_t view = padded_view(extractor), rest = maps_scratch(extractor, threads), floats;

    return size_add(view, rest > view ? rest : view, &floats) ? floats : 0;
}

void position_features(const dn_extractor *extractor, const uint16_t *canvas, position_change change, void *context,
                       float *maps, float *scratch, pool *workers)
{
    float *rest = scratch + padded_view(extractor);

    view_render(canvas, extractor->input_size, 0, NULL, extractor->mean, extractor->std, scratch);
    if (change)
        change(context, extractor->input_size, scratch, rest);
    maps_forward(extractor, scratch, maps, rest, workers);
}

static size_t maps_floats(const positions *density)
{
    return mem_padded_floats(positions_cells(density) * (size_t)density->channels);
}

size_t position_map_scratch(const dn_extractor *extractor, const positions *density, int32_t threads)
{
    size_t features = position_features_scratch(extractor, threads), rows, part, floats;

    if (features == 0 || !size_mul(positions_map_scratch(density), (size_t)threads, &rows))
        return 0;
    part = features > rows ? features : rows; /* one after the other */
    return size_add(part, maps_floats(density), &floats) ? floats : 0;
}

position_level position_map(const dn_extractor *extractor, const positions *density, const uint16_t *canvas, float *map,
                            float *scratch, pool *workers)
{
    float *maps = scratch, *rest = scratch + maps_floats(density);

    position_features(extractor, canvas, NULL, NULL, maps, rest, workers);
    positions_map(density, maps, map, rest, workers);
    position_level level = position_smooth(map, density->rows, density->columns, maps);
    position_normalise(map, positions_cells(density), level.median);
    return level;
}

static int compare_falling(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;

    return (first < second) - (first > second);
}

/* copy: as many floats as the map has. */
static position_level measure(const float *map, size_t cells, float *copy)
{
    size_t top = (size_t)(POSITION_TOP_SHARE * (double)cells);
    double sum = 0;

    if (!floats_finite(map, cells))
        return (position_level){(double)NAN, (double)NAN};
    memcpy(copy, map, cells * sizeof *copy);
    qsort(copy, cells, sizeof *copy, compare_falling);
    top = top > 1 ? top : 1;
    for (size_t i = 0; i < top; i++)
        sum += (double)copy[i];
    return (position_level){sum / (double)top, (double)copy[cells / 2]};
}

position_level position_smooth(float *map, int32_t rows, int32_t columns, float *scratch)
{
    map_blur(map, rows, columns, 1, POSITION_MAP_SIGMA, scratch);
    return measure(map, (size_t)rows * (size_t)columns, scratch);
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

/* Between which two of `cells` cells the pixel `at` of `pixels` lies, and the second one's share. */
struct between {
    int32_t first, second;
    float share;
};

static struct between between_cells(int32_t at, int32_t pixels, int32_t size, double offset, double stride,
                                    int32_t cells)
{
    double cell = ((at + 0.5) * size / pixels - offset) / stride;

    if (!(cell > 0))
        return (struct between){0, 0, 0};
    if (cell >= cells - 1)
        return (struct between){cells - 1, cells - 1, 0};
    int32_t first = (int32_t)cell;
    return (struct between){first, first + 1, (float)(cell - first)};
}

void position_to_image(const float *map, const maps_geometry *geometry, int32_t size, float factor, float *target,
                       int32_t height, int32_t width)
{
    for (int32_t y = 0; y < height; y++) {
        struct between v = between_cells(y, height, size, geometry->offset_y, geometry->stride_y, geometry->rows);
        const float *above = map + (size_t)v.first * (size_t)geometry->columns;
        const float *below = map + (size_t)v.second * (size_t)geometry->columns;
        for (int32_t x = 0; x < width; x++) {
            struct between u = between_cells(x, width, size, geometry->offset_x, geometry->stride_x, geometry->columns);
            float first = above[u.first] + v.share * (below[u.first] - above[u.first]);
            float second = above[u.second] + v.share * (below[u.second] - above[u.second]);
            *target++ = factor * (first + u.share * (second - first));
        }
    }
}

dn_status position_image_map(const dn_model *model, const float *cells, float *map, int32_t height, int32_t width,
                             dn_error *error)
{
    double scale = model->facts.positions_scale;
    maps_geometry geometry = maps_of(model->extractor);
    float factor = scale > 0 ? (float)(1 / scale) : 1;

    for (size_t i = 0; i < positions_cells(model->positions); i++)
        if (!isfinite(cells[i] * factor))
            return fail(error, DN_E_NUMERIC,
                        "the image's map is not finite: the model's numbers overflow; train it "
                        "anew");
    position_to_image(cells, &geometry, model->extractor->input_size, factor, map, height, width);
    return DN_OK;
}
