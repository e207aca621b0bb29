/* Blurring and resampling of float maps. */
#include <math.h>
#include <string.h>

#include "image/resample.h"
#include "image/heatmap.h"

#define BLUR_MAX_RADIUS 256 /* 4 x BLUR_MAX_SIGMA */
#define BLUR_CHUNK 16       /* sums that stay in registers */

/* weights[k], k = 0 .. radius: exp(-k^2 / (2 sigma^2)), normalised over -radius .. radius. */
static int32_t gaussian(double sigma, float weights[BLUR_MAX_RADIUS + 1])
{
    int32_t radius = (int32_t)(4 * sigma + 0.5);
    double sum = 1;

    for (int32_t k = 1; k <= radius; k++)
        sum += 2 * exp(-0.5 * k * k / (sigma * sigma));
    for (int32_t k = 0; k <= radius; k++)
        weights[k] = (float)(exp(-0.5 * k * k / (sigma * sigma)) / sum);
    return radius;
}

/* Index of the mirrored line d c b a | a b c d | d c b a; i may be any distance outside. */
static int32_t mirror(int32_t i, int32_t n)
{
    while (i < 0 || i >= n)
        i = i < 0 ? -1 - i : 2 * n - 1 - i;
    return i;
}

/* target[i] = w[0] middle[i] + sum over k = 1 .. radius of w[k] (before[k][i] + after[k][i]). */
static void blur_line(const float *const *before, const float *const *after, const float *weights, int32_t radius,
                      size_t n, float *restrict target)
{
    size_t i = 0;

    for (; i + BLUR_CHUNK <= n; i += BLUR_CHUNK) {
        float sum[BLUR_CHUNK];
        for (int j = 0; j < BLUR_CHUNK; j++)
            sum[j] = weights[0] * before[0][i + (size_t)j];
        for (int32_t k = 1; k <= radius; k++) {
            const float *a = before[k] + i, *b = after[k] + i;
            for (int j = 0; j < BLUR_CHUNK; j++)
                sum[j] += weights[k] * (a[j] + b[j]);
        }
        memcpy(target + i, sum, sizeof sum);
    }
    for (; i < n; i++) {
        float sum = weights[0] * before[0][i];
        for (int32_t k = 1; k <= radius; k++)
            sum += weights[k] * (before[k][i] + after[k][i]);
        target[i] = sum;
    }
}

static void blur_columns(const float *source, int32_t height, size_t row, const float *weights, int32_t radius,
                         float *target)
{
    const float *before[BLUR_MAX_RADIUS + 1], *after[BLUR_MAX_RADIUS + 1];

    for (int32_t y = 0; y < height; y++) {
        for (int32_t k = 0; k <= radius; k++) {
            before[k] = source + (size_t)mirror(y - k, height) * row;
            after[k] = source + (size_t)mirror(y + k, height) * row;
        }
        blur_line(before, after, weights, radius, row, target + (size_t)y * row);
    }
}

/* Pixel x of one row, where the filter reaches over the row's ends. */
static void blur_end(const float *source, int32_t width, int32_t channels, const float *weights, int32_t radius,
                     int32_t x, float *target)
{
    for (int32_t c = 0; c < channels; c++)
        target[x * channels + c] = weights[0] * source[x * channels + c];
    for (int32_t k = 1; k <= radius; k++) {
        const float *a = source + mirror(x - k, width) * channels, *b = source + mirror(x + k, width) * channels;
        for (int32_t c = 0; c < channels; c++)
            target[x * channels + c] += weights[k] * (a[c] + b[c]);
    }
}

static void blur_row(const float *source, int32_t width, int32_t channels, const float *weights, int32_t radius,
                     float *target)
{
    const float *before[BLUR_MAX_RADIUS + 1], *after[BLUR_MAX_RADIUS + 1];
    int32_t inner = width > 2 * radius ? width - 2 * radius : 0; /* pixels radius .. radius + inner - 1 */

    for (int32_t x = 0; x < (inner ? radius : width); x++)
        blur_end(source, width, channels, weights, radius, x, target);
    if (inner == 0)
        return;
    for (int32_t k = 0; k <= radius; k++) {
        before[k] = source + (radius - k) * channels;
        after[k] = source + (radius + k) * channels;
    }
    blur_line(before, after, weights, radius, (size_t)inner * (size_t)channels, target + radius * channels);
    for (int32_t x = radius + inner; x < width; x++)
        blur_end(source, width, channels, weights, radius, x, target);
}

void map_blur(float *map, int32_t height, int32_t width, int32_t channels, double sigma, float *scratch)
{
    float weights[BLUR_MAX_RADIUS + 1];
    size_t row = (size_t)width * (size_t)channels;

    if (!(sigma > 0))
        return;
    int32_t radius = gaussian(sigma < BLUR_MAX_SIGMA ? sigma : BLUR_MAX_SIGMA, weights);
    if (radius == 0) /* nothing to mix; and the square of a tiny sigma is 0, so that the weight is no number */
        return;
    blur_columns(map, height, row, weights, radius, scratch);
    for (int32_t y = 0; y < height; y++)
        blur_row(scratch + (size_t)y * row, width, channels, weights, radius, map + (size_t)y * row);
}

typedef struct map_rows {
    float *map; /* (height, width) */
    int32_t width;
} map_rows;

static void store_map_row(void *context, int32_t y, const float *row)
{
    const map_rows *rows = context;

    memcpy(rows->map + (size_t)y * (size_t)rows->width, row, (size_t)rows->width * sizeof *row);
}

dn_status map_resize(const float *source, int32_t columns, const canvas_place *place, float *target, int32_t height,
                     int32_t width, mem_scratch *scratch, dn_error *error)
{
    map_rows rows = {target, width};
    const float *first = source + (size_t)place->y * (size_t)columns + (size_t)place->x;
    resample_source map = {
        (const uint8_t *)first, (int64_t)columns * (int64_t)sizeof *source, place->height, place->width, 1, SAMPLE_F32};

    return resample(&map, height, width, store_map_row, &rows, scratch, error);
}
