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
    const float *x;
    row_batch batch;
    int32_t tile; /* features per task */
    _Bool relu;
    float *y;
};

/* Few features for a small group of rows: OpenBLAS then skips the packing (below about 10^6 multiplications, with
 * AVX-512), and the weights come from the cache for all groups but the first. */
static int32_t forward_features(row_batch batch)
{
    return batch.group <= LINEAR_GROUP ? 24 : 128;
}

/* y (n, rows) += bias (n), and ReLU.  NaN stays NaN: a broken weight must not vanish here. */
SIMD_CLONES static void add_bias(const float *bias, int32_t n, int32_t rows, _Bool relu, float *y)
{
    for (int32_t i = 0; i < n; i++) {
        float *row = y + (size_t)i * (size_t)rows, b = bias[i];
        if (relu)
            for (int32_t r = 0; r < rows; r++) {
                float value = row[r] + b;
                row[r] = value < 0.0f ? 0.0f : value;
            }
        else
            for (int32_t r = 0; r < rows; r++)
                row[r] += b;
    }
}

static void forward_tile(void *context, int32_t task, int32_t worker)
{
    const struct forward *job = context;
    const linear *layer = job->layer;
    int32_t first = task * job->tile, rows = job->batch.rows, group = job->batch.group;
    int32_t n = smaller(job->tile, layer->out - first);
    const float *weight = layer->weight + (size_t)first * (size_t)layer->in;
    float *y = job->y + (size_t)first * (size_t)rows;

    (void)worker;
    for (int32_t r = 0; r < rows; r += group)
        blas_gemm(BLAS_N, BLAS_N, n, group, layer->in, 1, weight, layer->in, job->x + r, rows, 0, y + r, rows);
    add_bias(layer->bias + first, n, rows, job->relu, y);
}

void linear_forward(const linear *layer, const float *x, row_batch batch, _Bool relu, float *y, pool *workers)
{
    struct forward job = {layer, x, batch, forward_features(batch), relu, y};

    pool_run(workers, tiles(layer->out, job.tile), forward_tile, &job);
}

/* ---- gradient towards the input ---- */

/* A task computes INPUT_TILE features of dx, adding up INPUT_CHUNK outputs at a time: long pieces of few rows of the
 * weight are read faster than short pieces of all. */
#define INPUT_TILE 256
#define INPUT_CHUNK 128

struct input_gradient {
    const linear *layer;
    const float *dy, *gate; /* gate NULL: add */
    row_batch batch;
    float *dx;
};

SIMD_CLONES static void close_gates(const float *restrict gate, float *restrict dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = gate[i] <= 0.0f ? 0.0f : dx[i]; /* a NaN opens the gate, so that it is seen */
}

static void input_gradient_tile(void *context, int32_t task, int32_t worker)
{
    const struct input_gradient *job = context;
    const linear *layer = job->layer;
    int32_t first = task * INPUT_TILE, rows = job->batch.rows, group = job->batch.group;
    int32_t n = smaller(INPUT_TILE, layer->in - first);
    size_t start = (size_t)first * (size_t)rows;

    (void)worker;
    for (int32_t o = 0; o < layer->out; o += INPUT_CHUNK) {
        const float *weight = layer->weight + (size_t)o * (size_t)layer->in + first;
        const float *dy = job->dy + (size_t)o * (size_t)rows;
        for (int32_t r = 0; r < rows; r += group)
            blas_gemm(BLAS_T, BLAS_N, n, group, smaller(INPUT_CHUNK, layer->out - o), 1, weight, layer->in, dy + r,
                      rows, job->gate && o == 0 ? 0 : 1, job->dx + start + r, rows);
    }
    if (job->gate)
        close_gates(job->gate + start, job->dx + start, (size_t)n * (size_t)rows);
}

void linear_input_gradient(const linear *layer, const float *dy, const float *gate, row_batch batch, float *dx,
                           pool *workers)
{
    struct input_gradient job = {layer, dy, gate, batch, dx};

    pool_run(workers, tiles(layer->in, INPUT_TILE), input_gradient_tile, &job);
}

void linear_input_gradient_add(const linear *layer, const float *dy, row_batch batch, float *dx, pool *workers)
{
    struct input_gradient job = {layer, dy, NULL, batch, dx};

    pool_run(workers, tiles(layer->in, INPUT_TILE), input_gradient_tile, &job);
}

/* ---- gradient of weight and bias ---- */

struct weight_gradient {
    const linear *layer;
    const float *x, *dy;
    int32_t rows;
    linear_sink sink;
    void *context;
    float *scratch;
};

/* sum (n) of dy (n, rows). */
static void sum_rows(const float *dy, int32_t n, int32_t rows, float *sum)
{
    for (int32_t i = 0; i < n; i++) {
        double total = 0;
        for (int32_t r = 0; r < rows; r++)
            total += (double)dy[(size_t)i * (size_t)rows + (size_t)r];
        sum[i] = (float)total;
    }
}

static void weight_gradient_tile(void *context, int32_t task, int32_t worker)
{
    const struct weight_gradient *job = context;
    const linear *layer = job->layer;
    int32_t across = tiles(layer->in, LINEAR_TILE_COLUMNS), rows = job->rows;
    int32_t first = task / across * LINEAR_TILE, column = task % across * LINEAR_TILE_COLUMNS;
    int32_t n = smaller(LINEAR_TILE, layer->out - first), columns = smaller(LINEAR_TILE_COLUMNS, layer->in - column);
    const float *dy = job->dy + (size_t)first * (size_t)rows;
    float *tile = job->scratch + (size_t)worker * LINEAR_SCRATCH; /* (n, columns) */
    float *sum = tile + (size_t)LINEAR_TILE * LINEAR_TILE_COLUMNS;

    blas_gemm(BLAS_N, BLAS_T, n, columns, rows, 1, dy, rows, job->x + (size_t)column * (size_t)rows, rows, 0, tile,
              columns);
    for (int32_t i = 0; i < n; i++)
        job->sink(job->context, layer->weight + (size_t)(first + i) * (size_t)layer->in + column, (size_t)columns,
                  tile + (size_t)i * (size_t)columns);
    if (column > 0)
        return;
    sum_rows(dy, n, rows, sum);
    job->sink(job->context, layer->bias + first, (size_t)n, sum);
}

void linear_weight_gradient(const linear *layer, const float *x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *scratch, pool *workers)
{
    struct weight_gradient job = {layer, x, dy, rows, sink, context, scratch};

    pool_run(workers, tiles(layer->out, LINEAR_TILE) * tiles(layer->in, LINEAR_TILE_COLUMNS), weight_gradient_tile,
             &job);
}
