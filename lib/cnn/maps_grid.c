/* Bringing a layer's output to the grid. */
#include <string.h>

#include "base/simd.h"
#include "cnn/maps.h"

SIMD_CLONES static void add(float *restrict sum, const float *restrict x, float weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * x[i];
}

/* Which source pixels make grid cell i of `cells`, and the first one's weight: an average of a range where the source
 * is finer, otherwise two neighbours between which the cell's centre lies. */
struct span {
    int32_t first, last;
    float weight, last_weight; /* of each but the last one; of the last one, if interpolated */
};

static struct span span_of(int32_t i, int32_t cells, int32_t pixels)
{
    if (pixels >= cells) {
        int32_t first = (int32_t)((int64_t)i * pixels / cells);
        int32_t end = (int32_t)(((int64_t)(i + 1) * pixels + cells - 1) / cells);
        float weight = 1.0f / (float)(end - first);
        return (struct span){first, end - 1, weight, weight};
    }
    double at = (i + 0.5) * pixels / cells - 0.5;
    int32_t first = at > 0 ? (int32_t)at : 0, last = first + 1 < pixels ? first + 1 : first;
    float share = at > first && last > first ? (float)(at - first) : 0;
    return first == last ? (struct span){first, first, 1, 1} : (struct span){first, last, 1 - share, share};
}

static float weight_at(const struct span *span, int32_t i)
{
    return i == span->last ? span->last_weight : span->weight;
}

void maps_to_grid(const float *source, int32_t height, int32_t width, int32_t channels, float *grid, int32_t rows,
                  int32_t columns, int32_t stride, int32_t first)
{
    size_t row = (size_t)width * (size_t)channels, count = (size_t)channels;

    for (int32_t y = 0; y < rows; y++)
        for (int32_t x = 0; x < columns; x++) {
            float *cell = grid + ((size_t)y * (size_t)columns + (size_t)x) * (size_t)stride + (size_t)first;
            struct span v = span_of(y, rows, height), u = span_of(x, columns, width);
            memset(cell, 0, count * sizeof *cell);
            for (int32_t i = v.first; i <= v.last; i++)
                for (int32_t j = u.first; j <= u.last; j++)
                    add(cell, source + (size_t)i * row + (size_t)j * count, weight_at(&v, i) * weight_at(&u, j), count);
        }
}
