#include "flow/linear.h"

#include "base/blas.h"
#include "base/simd.h"

static int32_t tiles(int32_t size, int32_t tile)
{
    return (size + tile - 1) / tile;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* ---- forward ---- */

struct forward {
    const linear *layer;
    rows_view x;
    int32_t rows;
    _Bool relu;
    float *y;
};

/* y (rows, n) += bias (n), and ReLU.  NaN stays NaN: a broken weight must not vanish here. */
SIMD_CLONES static void add_bias(const float *bias, int32_t rows, int32_t n, _Bool relu, float *y, int64_t stride)
{
    for (int32_t r = 0; r < rows; r++) {
        float *row = y + r * stride;
        if (relu)
            for (int32_t i = 0; i < n; i++) {
                float value = row[i] + bias[i];
                row[i] = value < 0.0f ? 0.0f : value;
            }
        else
            for (int32_t i = 0; i < n; i++)
                row[i] += bias[i];
    }
}

static void forward_tile(void *context, int32_t task, int32_t worker)
{
    const struct forward *job = context;
    const linear *layer = job->layer;
    int32_t first = task * LINEAR_TILE;
    int32_t n = smaller(LINEAR_TILE, layer->out - first);
    float *y = job->y + first;

    (void)worker;
    blas_gemm(BLAS_N, BLAS_T, job->rows, n, layer->in, 1, job->x.data, job->x.stride,
              layer->weight + (size_t)first * (size_t)layer->in, layer->in, 0, y, layer->out);
    add_bias(layer->bias + first, job->rows, n, job->relu, y, layer->out);
}

void linear_forward(const linear *layer, rows_view x, int32_t rows, _Bool relu, float *y, pool *workers)
{
    struct forward job = {layer, x, rows, relu, y};

    pool_run(workers, tiles(layer->out, LINEAR_TILE), forward_tile, &job);
}

/* ---- gradient towards the input ---- */

struct input_gradient {
    const linear *layer;
    const float *dy, *gate;
    int32_t rows;
    float *dx;
    int64_t stride;
};

static void input_gradient_tile(void *context, int32_t task, int32_t worker)
{
    const struct input_gradient *job = context;
    const linear *layer = job->layer;
    int32_t first = task * LINEAR_TILE;
    int32_t n = smaller(LINEAR_TILE, layer->in - first);
    float *dx = job->dx + first;

    (void)worker;
    blas_gemm(BLAS_N, BLAS_N, job->rows, n, layer->out, 1, job->dy, layer->out, layer->weight + first, layer->in,
              job->gate ? 0 : 1, dx, job->stride);
    if (!job->gate)
        return;
    for (int32_t r = 0; r < job->rows; r++) {
        const float *gate = job->gate + first + r * job->stride;
        float *row = dx + r * job->stride;
        for (int32_t i = 0; i < n; i++)
            row[i] = gate[i] > 0.0f ? row[i] : 0.0f;
    }
}

void linear_input_gradient(const linear *layer, const float *dy, const float *gate, int32_t rows, float *dx,
                           pool *workers)
{
    struct input_gradient job = {layer, dy, gate, rows, dx, layer->in};

    pool_run(workers, tiles(layer->in, LINEAR_TILE), input_gradient_tile, &job);
}

void linear_input_gradient_add(const linear *layer, const float *dy, int32_t rows, float *dx, int64_t dx_stride,
                               pool *workers)
{
    struct input_gradient job = {layer, dy, NULL, rows, dx, dx_stride};

    pool_run(workers, tiles(layer->in, LINEAR_TILE), input_gradient_tile, &job);
}

/* ---- gradient of weight and bias ---- */

struct weight_gradient {
    const linear *layer;
    rows_view x;
    const float *dy;
    int32_t rows;
    linear_sink sink;
    void *context;
    float *scratch;
};

/* sum over rows of dy (rows, n); stride floats from row to row. */
SIMD_CLONES static void sum_rows(const float *dy, int64_t stride, int32_t rows, int32_t n, float *sum)
{
    for (int32_t i = 0; i < n; i++)
        sum[i] = 0;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < n; i++)
            sum[i] += dy[r * stride + i];
}

static void weight_gradient_tile(void *context, int32_t task, int32_t worker)
{
    const struct weight_gradient *job = context;
    const linear *layer = job->layer;
    int32_t across = tiles(layer->in, LINEAR_TILE_COLUMNS);
    int32_t first = task / across * LINEAR_TILE, column = task % across * LINEAR_TILE_COLUMNS;
    int32_t n = smaller(LINEAR_TILE, layer->out - first), columns = smaller(LINEAR_TILE_COLUMNS, layer->in - column);
    float *tile = job->scratch + (size_t)worker * LINEAR_SCRATCH; /* (n, columns) */
    float *sum = tile + (size_t)LINEAR_TILE * LINEAR_TILE_COLUMNS;

    blas_gemm(BLAS_T, BLAS_N, n, columns, job->rows, 1, job->dy + first, layer->out, job->x.data + column,
              job->x.stride, 0, tile, columns);
    for (int32_t i = 0; i < n; i++)
        job->sink(job->context, layer->weight + (size_t)(first + i) * (size_t)layer->in + column, (size_t)columns,
                  tile + (size_t)i * (size_t)columns);
    if (column > 0)
        return;
    sum_rows(job->dy + first, layer->out, job->rows, n, sum);
    job->sink(job->context, layer->bias + first, (size_t)n, sum);
}

void linear_weight_gradient(const linear *layer, rows_view x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *scratch, pool *workers)
{
    struct weight_gradient job = {layer, x, dy, rows, sink, context, scratch};

    pool_run(workers, tiles(layer->out, LINEAR_TILE) * tiles(layer->in, LINEAR_TILE_COLUMNS), weight_gradient_tile,
             &job);
}
