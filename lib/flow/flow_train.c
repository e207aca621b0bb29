#include "flow/flow_train.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/simd.h"
#include "base/status.h"
#include "flow/pass.h"

/* ---- Adam (Kingma and Ba, 2015), as torch.optim.Adam computes it ---- */

/* The step's constants, in float as the loop uses them. */
typedef struct adam_step {
    float weight_decay, beta1, beta2, keep1, keep2, epsilon;
    float rate;    /* learning rate / (1 - beta1^t) */
    float rescale; /* 1 / sqrt(1 - beta2^t) */
} adam_step;

static adam_step prepare_step(const adam_options *options, int64_t step)
{
    double t = (double)step;

    return (adam_step){
        .weight_decay = (float)options->weight_decay,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .keep1 = (float)(1 - options->beta1),
        .keep2 = (float)(1 - options->beta2),
        /* Not 0 as float: a parameter whose gradient is 0 would become 0 / 0. */
        .epsilon = fmaxf((float)options->epsilon, FLT_MIN),
        .rate = (float)(options->learning_rate / (1 - pow(options->beta1, t))),
        .rescale = (float)(1 / sqrt(1 - pow(options->beta2, t))),
    };
}

/* gradient, m, v: (rows, columns); w: its rows are `stride` apart. */
SIMD_CLONES static void adam(const adam_step *step, const linear_tile *tile, float *restrict w, float *restrict m,
                             float *restrict v)
{
    const adam_step s = *step;
    const float *restrict gradient = tile->gradient;
    size_t columns = tile->columns;

    for (size_t row = 0; row < tile->rows; row++, w += tile->stride, m += columns, v += columns, gradient += columns)
        for (size_t i = 0; i < columns; i++) {
            float g = gradient[i] + s.weight_decay * w[i];
            m[i] = s.beta1 * m[i] + s.keep1 * g;
            v[i] = s.beta2 * v[i] + s.keep2 * g * g;
            w[i] -= s.rate * m[i] / (sqrtf(v[i]) * s.rescale + s.epsilon);
        }
}

/* ---- where the gradients go ---- */

struct update {
    flow_optimiser *optimiser;
    adam_step step;
    float *gradients; /* NULL: update */
};

static void take_gradient(void *context, const linear_tile *tile)
{
    const struct update *update = context;
    flow_optimiser *optimiser = update->optimiser;
    size_t offset = (size_t)(tile->first - optimiser->flow->weights);

    if (update->gradients)
        for (size_t row = 0; row < tile->rows; row++)
            memcpy(update->gradients + offset + row * tile->stride, tile->gradient + row * tile->columns,
                   tile->columns * sizeof *tile->gradient);
    else
        adam(&update->step, tile, optimiser->flow->owned + offset, optimiser->m + tile->place,
             optimiser->v + tile->place);
}

/* ---- the optimiser ---- */

/* Scratch: gradient towards z (rows, D) and logdet (rows); a layer's input, transposed; the pass. */
static size_t head_floats(const dn_flow *flow, int32_t max_rows)
{
    return ((size_t)max_rows * ((size_t)flow->dimension + 1) + 15) / 16 * 16;
}

static size_t scratch_floats(const dn_flow *flow, int32_t max_rows)
{
    size_t pass = pass_floats(flow, pass_rows(max_rows), 1);

    if (pass == 0)
        return SIZE_MAX; /* no allocator has that much */
    /* No overflow: pass_floats has found room for several times as much. */
    return head_floats(flow, max_rows) + subnet_transposed_floats(flow, pass_rows(max_rows)) + pass;
}

dn_status flow_optimiser_create(dn_flow *flow, const adam_options *options, int32_t max_rows, flow_optimiser **out,
                                dn_error *error)
{
    size_t parameters = flow_parameters(flow->dimension, flow->blocks, flow->hidden);

    *out = NULL;
    flow_optimiser *optimiser = mem_zalloc(&flow->allocator, 1, sizeof *optimiser);
    if (!optimiser)
        return fail_memory(error, "the optimiser");
    *optimiser = (flow_optimiser){
        .flow = flow, .allocator = flow->allocator, .options = *options, .max_rows = max_rows};
    /* One block for both: two that start alike within their pages were slower in most runs. */
    optimiser->m = mem_zalloc(&flow->allocator, parameters, 2 * sizeof *optimiser->m);
    optimiser->v = optimiser->m ? optimiser->m + parameters : NULL;
    optimiser->scratch = mem_alloc(&flow->allocator, scratch_floats(flow, max_rows), sizeof(float));
    if (!optimiser->m || !optimiser->scratch) {
        flow_optimiser_free(optimiser);
        return fail_memory(error, "the optimiser");
    }
    *out = optimiser;
    return DN_OK;
}

void flow_optimiser_free(flow_optimiser *optimiser)
{
    if (!optimiser)
        return;
    dn_allocator allocator = optimiser->allocator;
    mem_free(&allocator, optimiser->m);
    mem_free(&allocator, optimiser->scratch);
    mem_free(&allocator, optimiser);
}

void flow_moments_by_place(const dn_flow *flow, const float *by_parameter, float *by_place)
{
    for (int32_t net = 0; net < 2 * flow->blocks; net++) {
        subnet layers = subnet_of(flow, net / 2, net % 2);
        for (int i = 0; i < FLOW_LAYERS; i++) {
            size_t offset = (size_t)(layers.layers[i].weight - flow->weights);
            linear_by_place(&layers.layers[i], by_parameter + offset, by_place + offset);
        }
    }
}

/* loss = mean over rows of (|z|^2 / 2 - logdet) / D (paper equation 3), and in place of z its gradient. */
static double loss_and_gradient(float *z, const double *logdet, int32_t rows, int32_t dimension, float *logdet_gradient)
{
    double share = 1.0 / ((double)rows * (double)dimension), loss = 0;

    for (int32_t r = 0; r < rows; r++) {
        float *row = z + (size_t)r * (size_t)dimension;
        double square = 0;
        for (int32_t i = 0; i < dimension; i++) {
            square += (double)row[i] * (double)row[i];
            row[i] *= (float)share;
        }
        loss += (0.5 * square - logdet[r]) * share;
        logdet_gradient[r] = (float)-share;
    }
    return loss;
}

double flow_train_step(flow_optimiser *optimiser, const float *x, int32_t rows, float *gradients, pool *workers)
{
    dn_flow *flow = optimiser->flow;
    float *z = optimiser->scratch, *logdet_gradient = z + (size_t)rows * (size_t)flow->dimension;
    float *transposed = optimiser->scratch + head_floats(flow, optimiser->max_rows);
    float *memory = transposed + subnet_transposed_floats(flow, pass_rows(optimiser->max_rows));
    flow_pass pass = pass_make(flow, pass_rows(rows), 1, memory, workers);

    pass_forward(&pass, x, rows, z);
    double loss = loss_and_gradient(z, pass.logdet, rows, flow->dimension, logdet_gradient);
    if (!isfinite(loss))
        return loss;
    struct update update = {optimiser, prepare_step(&optimiser->options, optimiser->step + 1), gradients};
    linear_sink sink = {.take = take_gradient,
                        .context = &update,
                        .parameters = flow->weights,
                        .arrays = gradients ? NULL : optimiser->m,
                        .arrays_apart = optimiser->v - optimiser->m,
                        .transposed = transposed};
    pass_backward(&pass, z, logdet_gradient, NULL, &sink);
    if (!gradients)
        optimiser->step++;
    return loss;
}
