#include "flow/linear.h"

#include <string.h>

#include "base/product.h"
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

#define FORWARD_TILE 64 /* features of y per task */

struct forward {
    const linear *layer;
    const float *x;
    int32_t rows;
    _Bool relu;
    float *y;
};

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
    int32_t first = task * FORWARD_TILE, n = smaller(FORWARD_TILE, layer->out - first);
    product_factor weight = {layer->weight + (size_t)first * (size_t)layer->in, layer->in, 1};
    float *y = job->y + (size_t)first * (size_t)job->rows;

    (void)worker;
    product(n, job->rows, layer->in, weight, job->x, job->rows, 0, y, job->rows);
    add_bias(layer->bias + first, n, job->rows, job->relu, y);
}

void linear_forward(const linear *layer, const float *x, int32_t rows, _Bool relu, float *y, pool *workers)
{
    struct forward job = {layer, x, rows, relu, y};

    pool_run(workers, tiles(layer->out, FORWARD_TILE), forward_tile, &job);
}

/* ---- gradient towards the input ---- */

/* A task computes INPUT_TILE features of dx.  It takes the weight in parts of INPUT_CHUNK outputs by INPUT_PART
 * features, each copied together first, because the weight's columns are far apart: while one part is multiplied the
 * next one is fetched, which the processor could not foresee. */
#define INPUT_TILE 256
#define INPUT_CHUNK 32
#define INPUT_PART 64

struct input_gradient {
    const linear *layer;
    const float *dy, *gate; /* gate NULL: add */
    int32_t rows;
    float *dx;
};

/* A part of the weight: its first output and feature, and how many of each. */
struct part {
    int32_t output, feature, outputs, features;
};

/* Part `index` of the task's features first .. end - 1; one without outputs behind the last. */
static struct part part_at(const linear *layer, int32_t first, int32_t end, int32_t index)
{
    int32_t across = tiles(end - first, INPUT_PART);
    struct part part = {index / across * INPUT_CHUNK, first + index % across * INPUT_PART, 0, 0};

    if (part.output < layer->out)
        part.outputs = smaller(INPUT_CHUNK, layer->out - part.output);
    part.features = smaller(INPUT_PART, end - part.feature);
    return part;
}

static const float *weight_of(const linear *layer, const struct part *part)
{
    return layer->weight + (size_t)part->output * (size_t)layer->in + part->feature;
}

SIMD_INLINE void fetch_part(const linear *layer, const struct part *part)
{
    const float *weight = weight_of(layer, part);

    for (int32_t o = 0; o < part->outputs; o++, weight += layer->in)
        for (int32_t i = 0; i < part->features; i += FETCH_FLOATS)
            FETCH(weight + i);
}

/* copy: (outputs, INPUT_PART) */
static void copy_part(const linear *layer, const struct part *part, float *copy)
{
    const float *weight = weight_of(layer, part);

    for (int32_t o = 0; o < part->outputs; o++, weight += layer->in, copy += INPUT_PART)
        if (part->features == INPUT_PART)
            memcpy(copy, weight, INPUT_PART * sizeof *copy); /* of constant size: no call */
        else
            memcpy(copy, weight, (size_t)part->features * sizeof *copy);
}

SIMD_CLONES static void close_gates(const float *restrict gate, float *restrict dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = gate[i] <= 0.0f ? 0.0f : dx[i]; /* a NaN opens the gate, so that it is seen */
}

static void input_gradient_tile(void *context, int32_t task, int32_t worker)
{
    const struct input_gradient *job = context;
    const linear *layer = job->layer;
    int32_t first = task * INPUT_TILE, end = smaller(first + INPUT_TILE, layer->in), index = 0;
    size_t rows = (size_t)job->rows, start = (size_t)first * rows;
    float copy[INPUT_CHUNK * INPUT_PART];

    (void)worker;
    for (struct part part = part_at(layer, first, end, 0), next; part.outputs > 0; part = next) {
        next = part_at(layer, first, end, ++index);
        copy_part(layer, &part, copy);
        if (next.outputs > 0)
            fetch_part(layer, &next);
        product(part.features, job->rows, part.outputs, (product_factor){copy, 1, INPUT_PART},
                job->dy + (size_t)part.output * rows, job->rows, !job->gate || part.output > 0,
                job->dx + (size_t)part.feature * rows, job->rows);
    }
    if (job->gate)
        close_gates(job->gate + start, job->dx + start, (size_t)(end - first) * rows);
}

void linear_input_gradient(const linear *layer, const float *dy, const float *gate, int32_t rows, float *dx,
                           pool *workers)
{
    struct input_gradient job = {layer, dy, gate, rows, dx};

    pool_run(workers, tiles(layer->in, INPUT_TILE), input_gradient_tile, &job);
}

void linear_input_gradient_add(const linear *layer, const float *dy, int32_t rows, float *dx, pool *workers)
{
    struct input_gradient job = {layer, dy, NULL, rows, dx};

    pool_run(workers, tiles(layer->in, INPUT_TILE), input_gradient_tile, &job);
}

/* ---- gradient of weight and bias ---- */

/* A task computes the gradient of WEIGHT_ROWS whole rows of the weight, so that an update walks through memory in
 * order, in tiles that stay in the first cache until they are handed over. */
#define WEIGHT_ROWS 64
#define TILE_ROWS 8
#define TILE_COLUMNS 512

struct weight_gradient {
    const linear *layer;
    const float *x, *dy; /* x: (rows, in) */
    int32_t rows;
    linear_sink sink;
    void *context;
};

#define TRANSPOSE_TILE 64 /* features of x per task */

struct transpose {
    const float *x; /* (in, rows) */
    int32_t in, rows;
    float *transposed; /* (rows, in) */
};

static void transpose_part(void *context, int32_t task, int32_t worker)
{
    const struct transpose *job = context;
    int32_t first = task * TRANSPOSE_TILE;

    (void)worker;
    product_transpose(smaller(TRANSPOSE_TILE, job->in - first), job->rows, job->x + (size_t)first * (size_t)job->rows,
                      job->rows, job->transposed + first, job->in);
}

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

/* Rows first .. first + n - 1 of the weight, n <= TILE_ROWS. */
static void weight_gradient_rows(const struct weight_gradient *job, int32_t first, int32_t n)
{
    const linear *layer = job->layer;
    product_factor dy = {job->dy + (size_t)first * (size_t)job->rows, job->rows, 1};
    float gradient[TILE_ROWS * TILE_COLUMNS];

    for (int32_t column = 0; column < layer->in; column += TILE_COLUMNS) {
        int32_t columns = smaller(TILE_COLUMNS, layer->in - column);
        linear_tile tile = {layer->weight + (size_t)first * (size_t)layer->in + column, (size_t)n, (size_t)columns,
                            (size_t)layer->in, gradient};
        product(n, columns, job->rows, dy, job->x + column, layer->in, 0, gradient, columns);
        job->sink(job->context, &tile);
    }
}

static void weight_gradient_task(void *context, int32_t task, int32_t worker)
{
    const struct weight_gradient *job = context;
    const linear *layer = job->layer;
    int32_t first = task * WEIGHT_ROWS, n = smaller(WEIGHT_ROWS, layer->out - first);
    float sum[WEIGHT_ROWS];
    linear_tile bias = {layer->bias + first, 1, (size_t)n, (size_t)n, sum};

    (void)worker;
    for (int32_t i = 0; i < n; i += TILE_ROWS)
        weight_gradient_rows(job, first + i, smaller(TILE_ROWS, n - i));
    sum_rows(job->dy + (size_t)first * (size_t)job->rows, n, job->rows, sum);
    job->sink(job->context, &bias);
}

void linear_weight_gradient(const linear *layer, const float *x, const float *dy, int32_t rows, linear_sink sink,
                            void *context, float *transposed, pool *workers)
{
    struct transpose before = {x, layer->in, rows, transposed};
    struct weight_gradient job = {layer, transposed, dy, rows, sink, context};

    pool_run(workers, tiles(layer->in, TRANSPOSE_TILE), transpose_part, &before);
    pool_run(workers, tiles(layer->out, WEIGHT_ROWS), weight_gradient_task, &job);
}
