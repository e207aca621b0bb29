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

/* ---- backward ---- */

/* A task has a block of BLOCK features of x, which is a block of columns of the weight.  It walks down that block in
 * tiles of CHUNK outputs, which it uses three times while they are in the cache: for dx, for their own gradient, and
 * for the update that the sink makes of it.  So the weight comes from memory once.
 *
 * With a sink, nothing of this waits for memory, because what comes next is fetched during the products: during that
 * for dx the next tile of the weight, whose rows are far apart; during that for the gradient what the sink will update
 * of its arrays.  Without one, the weight is only read, maybe by others as well, from whom it must not be taken away:
 * nothing is fetched. */
#define BLOCK 64 /* also of checkpoints (docs/format.md): another one needs another CHECKPOINT_FORMAT */
#define CHUNK 64
#define LINES (CHUNK * BLOCK / FETCH_FLOATS)
_Static_assert(BLOCK % FETCH_FLOATS == 0, "rows of a tile are whole lines");

struct backward {
    const linear *layer;
    const float *x, *dy;
    int32_t rows;
    _Bool add;
    float *dx;
    const linear_sink *sink; /* or NULL */
};

/* A part of the weight: a tile. */
struct part {
    int32_t output, feature, outputs, features;
};

static const float *weight_of(const linear *layer, const struct part *part)
{
    return layer->weight + (size_t)part->output * (size_t)layer->in + part->feature;
}

/* The tile below this one; without outputs behind the last. */
static struct part below(const linear *layer, const struct part *part)
{
    int32_t output = part->output + part->outputs;

    return (struct part){output, part->feature, smaller(CHUNK, layer->out - output), part->features};
}

/* copy: (outputs, BLOCK), because rows that are a power of 2 apart share few cache sets. */
static void copy_part(const linear *layer, const struct part *part, float *copy)
{
    const float *weight = weight_of(layer, part);

    for (int32_t o = 0; o < part->outputs; o++, weight += layer->in, copy += BLOCK)
        if (part->features == BLOCK)
            memcpy(copy, weight, BLOCK * sizeof *copy); /* of constant size: no call */
        else
            memcpy(copy, weight, (size_t)part->features * sizeof *copy);
}

SIMD_CLONES static void close_gates(const float *restrict gate, float *restrict dx, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = gate[i] <= 0.0f ? 0.0f : dx[i]; /* a NaN opens the gate, so that it is seen */
}

/* Place of a layer's weight: column blocks one behind the other, each (out, features). */
static size_t weight_place(const linear *layer, int32_t output, int32_t feature)
{
    int32_t first = feature / BLOCK * BLOCK;

    return (size_t)first * (size_t)layer->out + (size_t)output * (size_t)smaller(BLOCK, layer->in - first) +
           (size_t)(feature - first);
}

void linear_by_place(const linear *layer, const float *by_parameter, float *by_place)
{
    size_t weights = (size_t)layer->in * (size_t)layer->out;

    for (int32_t o = 0; o < layer->out; o++)
        for (int32_t i = 0; i < layer->in; i += BLOCK)
            memcpy(by_place + weight_place(layer, o, i), by_parameter + (size_t)o * (size_t)layer->in + i,
                   (size_t)smaller(BLOCK, layer->in - i) * sizeof *by_place);
    memcpy(by_place + weights, by_parameter + weights, (size_t)layer->out * sizeof *by_place);
}

/* Where the sink's arrays have the first parameter of a part. */
static size_t place_of(const struct backward *job, const struct part *part)
{
    return (size_t)(job->layer->weight - job->sink->parameters) + weight_place(job->layer, part->output, part->feature);
}

/* Lines of a tile with all CHUNK outputs, counted from its first number, in the weight and in the sink's arrays.  A
 * tile with fewer outputs has fewer of them. */
struct lines {
    int64_t weight[LINES];     /* row by row */
    int64_t arrays[2 * LINES]; /* alternately of one and the other */
};

static int32_t weight_lines(int32_t outputs, int32_t features)
{
    return outputs * tiles(features, FETCH_FLOATS);
}

static int32_t array_lines(int32_t outputs, int32_t features)
{
    return tiles(outputs * features, FETCH_FLOATS);
}

static void list_lines(const struct backward *job, int32_t features, struct lines *lines)
{
    int32_t of_row = tiles(features, FETCH_FLOATS);

    for (int32_t i = 0; i < weight_lines(CHUNK, features); i++)
        lines->weight[i] = (int64_t)(i / of_row) * job->layer->in + i % of_row * FETCH_FLOATS;
    for (int32_t i = 0; i < array_lines(CHUNK, features); i++) {
        lines->arrays[2 * i] = i * FETCH_FLOATS;
        lines->arrays[2 * i + 1] = i * FETCH_FLOATS + job->sink->arrays_apart;
    }
}

/* dx (features, rows) of the block: the part's share, W^T dy. */
static void backward_input(const struct backward *job, const struct part *part, const float *copy,
                           const struct lines *lines)
{
    const float *dy = job->dy + (size_t)part->output * (size_t)job->rows;
    float *dx = job->dx + (size_t)part->feature * (size_t)job->rows;
    struct part next = below(job->layer, part);
    product_ahead ahead = {0};

    if (job->sink && next.outputs > 0)
        ahead = (product_ahead){weight_of(job->layer, &next), lines->weight,
                                lines->weight + weight_lines(next.outputs, next.features) - 1};
    product_fetching(part->features, job->rows, part->outputs, (product_factor){copy, 1, BLOCK}, dy, job->rows,
                     job->add || part->output > 0, dx, job->rows, ahead);
}

/* The part's gradient, dy x^T, to the sink.  x: (rows, features) of the block. */
static void backward_weight(const struct backward *job, const struct part *part, const float *x,
                            const struct lines *lines, float *gradient)
{
    const float *dy = job->dy + (size_t)part->output * (size_t)job->rows;
    product_ahead ahead = {0};

    if (job->sink->arrays)
        ahead = (product_ahead){job->sink->arrays + place_of(job, part), lines->arrays,
                                lines->arrays + 2 * array_lines(part->outputs, part->features) - 1};
    product_fetching(part->outputs, part->features, job->rows, (product_factor){dy, job->rows, 1}, x, part->features, 0,
                     gradient, part->features, ahead);
    job->sink->take(job->sink->context,
                    &(linear_tile){weight_of(job->layer, part), (size_t)part->outputs, (size_t)part->features,
                                   (size_t)job->layer->in, gradient, place_of(job, part)});
}

/* Gradient of bias first .. first + n - 1, the sum of dy over the rows, to the sink; n <= CHUNK. */
static void backward_bias(const struct backward *job, int32_t first, int32_t n)
{
    const float *dy = job->dy + (size_t)first * (size_t)job->rows, *bias = job->layer->bias + first;
    float gradient[CHUNK];

    for (int32_t i = 0; i < n; i++) {
        double total = 0;
        for (int32_t r = 0; r < job->rows; r++)
            total += (double)*dy++;
        gradient[i] = (float)total;
    }
    job->sink->take(job->sink->context,
                    &(linear_tile){bias, 1, (size_t)n, (size_t)n, gradient, (size_t)(bias - job->sink->parameters)});
}

static void backward_block(const struct backward *job, int32_t block)
{
    const linear *layer = job->layer;
    struct part part = {0, block * BLOCK, smaller(CHUNK, layer->out), smaller(BLOCK, layer->in - block * BLOCK)};
    size_t start = (size_t)part.feature * (size_t)job->rows;
    float tile[CHUNK * BLOCK], *x = NULL; /* the weight's copy, then its gradient */
    struct lines lines;                   /* with a sink */

    if (job->sink) {
        list_lines(job, part.features, &lines);
        x = job->sink->transposed + start;
        product_transpose(part.features, job->rows, job->x + start, job->rows, x, part.features);
    }
    for (; part.outputs > 0; part = below(layer, &part)) {
        copy_part(layer, &part, tile);
        backward_input(job, &part, tile, &lines);
        if (job->sink)
            backward_weight(job, &part, x, &lines, tile);
    }
    if (!job->add)
        close_gates(job->x + start, job->dx + start, (size_t)part.features * (size_t)job->rows);
}

/* A block of features, and an equal share of the bias. */
static void backward_task(void *context, int32_t task, int32_t worker)
{
    const struct backward *job = context;
    int64_t out = job->layer->out, blocks = tiles(job->layer->in, BLOCK);
    int32_t first = (int32_t)(out * task / blocks), end = (int32_t)(out * (task + 1) / blocks);

    (void)worker;
    backward_block(job, task);
    for (; job->sink && first < end; first += CHUNK)
        backward_bias(job, first, smaller(CHUNK, end - first));
}

void linear_backward(const linear *layer, const float *x, const float *dy, int32_t rows, _Bool add, float *dx,
                     const linear_sink *sink, pool *workers)
{
    struct backward job = {layer, x, dy, rows, add, dx, sink};

    pool_run(workers, tiles(layer->in, BLOCK), backward_task, &job);
}
