#include "positions/positions.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"
#include "base/simd.h"
#include "base/status.h"

dn_status positions_allocate(int32_t rows, int32_t columns, int32_t channels, int32_t dims, _Bool own,
                             const dn_allocator *allocator, positions **out, dn_error *error)
{
    size_t cells = (size_t)rows * (size_t)columns;

    *out = NULL;
    positions *p = mem_zalloc(allocator, 1, sizeof *p);
    if (!p)
        return fail_memory(error, "the density at every position");
    atomic_init(&p->references, 1);
    p->allocator = *allocator;
    p->rows = rows;
    p->columns = columns;
    p->channels = channels;
    p->dims = dims;
    p->mean = mem_alloc(allocator, (size_t)channels, sizeof *p->mean);
    p->projection = mem_alloc(allocator, (size_t)channels * (size_t)dims, sizeof *p->projection);
    p->centre = mem_alloc(allocator, cells, (size_t)dims * sizeof *p->centre);
    if (own)
        p->owned = mem_alloc(allocator, cells, positions_triangle(dims) * sizeof *p->owned);
    if (!p->mean || !p->projection || !p->centre || (own && !p->owned)) {
        positions_unref(p);
        return fail_memory(error, "the density at every position");
    }
    p->factor = p->owned;
    *out = p;
    return DN_OK;
}

positions *positions_ref(positions *p)
{
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

void positions_unref(positions *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
        return;
    dn_allocator allocator = p->allocator;
    if (p->release)
        p->release(p->keep_alive);
    positions_unref(p->details);
    mem_free(&allocator, p->mean);
    mem_free(&allocator, p->projection);
    mem_free(&allocator, p->centre);
    mem_free(&allocator, p->owned);
    mem_free(&allocator, p);
}

/* to = from - mean, row by row. */
SIMD_CLONES static void centre_rows(const float *restrict from, const float *restrict mean, size_t count, size_t width,
                                    float *restrict to)
{
    for (size_t i = 0; i < count; i++, from += width, to += width)
        for (size_t j = 0; j < width; j++)
            to[j] = from[j] - mean[j];
}

void positions_project(const positions *p, const float *maps, int32_t cells, float *z, float *scratch)
{
    centre_rows(maps, p->mean, (size_t)cells, (size_t)p->channels, scratch);
    product(cells, p->dims, p->channels, (product_factor){scratch, p->channels, 1}, p->projection, p->dims, 0, z,
            p->dims);
}

/* d' = x' inverse(U) of an upper triangle that is packed row by row: the sum over j of x[j] times row j. */
SIMD_CLONES static void whiten(const float *restrict x, const float *restrict triangle, int32_t dims, float *restrict d)
{
    memset(d, 0, (size_t)dims * sizeof *d);
    for (int32_t j = 0; j < dims; j++) {
        for (int32_t i = j; i < dims; i++)
            d[i] += x[j] * triangle[i - j];
        triangle += dims - j;
    }
}

float positions_distance(const positions *p, int32_t cell, const float *z)
{
    float x[POSITIONS_MAX_DIMS] = {0}, d[POSITIONS_MAX_DIMS];
    const float *centre = p->centre + (size_t)cell * (size_t)p->dims;
    double sum = 0;

    for (int32_t i = 0; i < p->dims; i++)
        x[i] = z[i] - centre[i];
    /* With the covariance U'U: (z - c)' inverse(U'U) (z - c) = |(z - c)' inverse(U)|^2. */
    whiten(x, p->factor + (size_t)cell * positions_triangle(p->dims), p->dims, d);
    for (int32_t i = 0; i < p->dims; i++)
        sum += (double)d[i] * d[i];
    return (float)(sum / p->dims);
}

/* ---- one image ---- */

struct map_job {
    const positions *p;
    const float *maps; /* (rows, columns, channels) */
    float *map;        /* (rows, columns) */
    float *scratch;
};

size_t positions_map_scratch(const positions *p)
{
    return mem_padded_floats((size_t)p->columns * ((size_t)p->channels + (size_t)p->dims));
}

/* One row of the grid. */
static void map_row(void *context, int32_t row, int32_t worker)
{
    const struct map_job *job = context;
    const positions *p = job->p;
    size_t columns = (size_t)p->columns, width = columns * (size_t)p->channels;
    float *centred = job->scratch + (size_t)worker * positions_map_scratch(p), *z = centred + width;

    positions_project(p, job->maps + (size_t)row * width, p->columns, z, centred);
    for (int32_t x = 0; x < p->columns; x++)
        job->map[(size_t)row * columns + (size_t)x] = positions_distance(p, row * p->columns + x,
                                                                         z + (size_t)x * (size_t)p->dims);
}

void positions_map(const positions *p, const float *maps, float *map, float *scratch, pool *workers)
{
    struct map_job job = {p, maps, map, scratch};

    pool_run(workers, p->rows, map_row, &job);
}

/* ---- details ---- */

void positions_add_details(const positions *p, const float *fine, float weight, float *map)
{
    const positions *details = p->details;

    for (int32_t y = 0; y < p->rows; y++)
        for (int32_t x = 0; x < p->columns; x++) {
            int64_t top = (int64_t)y * details->rows / p->rows, left = (int64_t)x * details->columns / p->columns;
            int64_t bottom = ((int64_t)(y + 1) * details->rows + p->rows - 1) / p->rows;
            int64_t right = ((int64_t)(x + 1) * details->columns + p->columns - 1) / p->columns;
            float most = 0;
            for (int64_t v = top; v < bottom; v++)
                for (int64_t u = left; u < right; u++) {
                    float value = fine[v * details->columns + u];
                    most = value > most || isnan(value) ? value : most; /* NaN stays to be found */
                }
            map[y * p->columns + x] += weight * most;
        }
}
