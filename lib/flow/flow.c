#include "flow/flow.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "flow/pass.h"

/* ---- creation ---- */

size_t flow_parameters(int32_t dimension, int32_t blocks, int32_t hidden)
{
    size_t parameters;

    if (!size_mul(subnet_parameters(dimension / 2, hidden), 2 * (size_t)blocks, &parameters))
        return 0;
    return parameters;
}

dn_status flow_check(const dn_flow_options *c, dn_status status, const char *label, dn_error *error)
{
    if (c->dimension < 2 || c->dimension > FLOW_MAX_DIMENSION || c->dimension % 2 != 0)
        return fail(error, status, "%s: dimension is %d, must be even and 2 .. %d", label, c->dimension,
                    FLOW_MAX_DIMENSION);
    if (c->blocks < 1 || c->blocks > FLOW_MAX_BLOCKS)
        return fail(error, status, "%s: blocks is %d, must be 1 .. %d", label, c->blocks, FLOW_MAX_BLOCKS);
    if (c->hidden < 1 || c->hidden > FLOW_MAX_HIDDEN)
        return fail(error, status, "%s: hidden is %d, must be 1 .. %d", label, c->hidden, FLOW_MAX_HIDDEN);
    /* As float, in which it is used, it must not become 0. */
    if (!((float)c->clamp > 0.0f && c->clamp <= FLOW_MAX_CLAMP))
        return fail(error, status, "%s: clamp is %g, must be > 0 .. %g", label, c->clamp, FLOW_MAX_CLAMP);
    return DN_OK;
}

dn_status flow_allocate(const dn_flow_options *c, _Bool allocate, dn_flow **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(c->allocator);
    size_t parameters = flow_parameters(c->dimension, c->blocks, c->hidden);

    *out = NULL;
    dn_flow *flow = mem_zalloc(&allocator, 1, sizeof *flow);
    if (!flow)
        return fail_memory(error, "the flow");
    atomic_init(&flow->references, 1);
    flow->allocator = allocator;
    flow->dimension = c->dimension;
    flow->half = c->dimension / 2;
    flow->blocks = c->blocks;
    flow->hidden = c->hidden;
    flow->clamp = c->clamp;
    flow->seed = c->seed;
    flow->permutation = mem_alloc(&allocator, (size_t)c->blocks * (size_t)c->dimension, sizeof *flow->permutation);
    if (allocate && parameters > 0)
        flow->weights = flow->owned = mem_alloc(&allocator, parameters, sizeof *flow->owned);
    if (!flow->permutation || parameters == 0 || (allocate && !flow->owned)) {
        flow_unref(flow);
        return fail_memory(error, "the flow's weights");
    }
    *out = flow;
    return DN_OK;
}

/* U(-1 / sqrt(in), 1 / sqrt(in)) for weights and biases: PyTorch's default for a linear layer. */
static void draw_weights(dn_flow *flow)
{
    rng generator;
    float *next = flow->owned;

    rng_seed(&generator, flow->seed, RNG_FLOW_WEIGHTS);
    for (int32_t k = 0; k < 2 * flow->blocks; k++) {
        subnet net = subnet_of(flow, k / 2, k % 2);
        for (int i = 0; i < FLOW_LAYERS; i++) {
            size_t in = (size_t)net.layers[i].in, n = (in + 1) * (size_t)net.layers[i].out;
            double bound = 1 / sqrt((double)in);
            for (size_t j = 0; j < n; j++)
                next[j] = (float)(bound * (2 * rng_uniform(&generator) - 1));
            next += n;
        }
    }
}

dn_status flow_create(const dn_flow_options *options, dn_flow **out, dn_error *error)
{
    rng generator;
    dn_flow *flow;

    *out = NULL;
    TRY(flow_check(options, DN_E_ARGUMENT, "flow options", error));
    TRY(flow_allocate(options, 1, &flow, error));
    for (int32_t k = 0; k < flow->blocks; k++) {
        rng_seed(&generator, flow->seed, RNG_FLOW_PERMUTATION + ((uint64_t)k << 8));
        rng_permutation(&generator, flow->permutation + (size_t)k * (size_t)flow->dimension, (uint32_t)flow->dimension);
    }
    draw_weights(flow);
    *out = flow;
    return DN_OK;
}

dn_flow *flow_ref(dn_flow *flow)
{
    atomic_fetch_add_explicit(&flow->references, 1, memory_order_relaxed);
    return flow;
}

void flow_unref(dn_flow *flow)
{
    if (!flow || atomic_fetch_sub_explicit(&flow->references, 1, memory_order_acq_rel) != 1)
        return;
    if (flow->release)
        flow->release(flow->keep_alive);
    dn_allocator allocator = flow->allocator;
    mem_free(&allocator, flow->owned);
    mem_free(&allocator, flow->permutation);
    mem_free(&allocator, flow);
}

/* ---- use, in blocks of FLOW_ROWS ---- */

_Static_assert(FLOW_ROWS % COUPLING_LANES == 0, "a whole block needs no filling up");

static int32_t block_rows(int32_t n, int64_t first)
{
    return n - first < FLOW_ROWS ? (int32_t)(n - first) : FLOW_ROWS;
}

static flow_pass block_pass(const dn_flow *flow, int32_t rows, _Bool keep, float *scratch, pool *workers)
{
    return pass_make(flow, pass_rows(rows), keep, scratch, workers);
}

size_t flow_scratch(const dn_flow *flow)
{
    return pass_floats(flow, FLOW_ROWS, 0);
}

size_t flow_rows_scratch(const dn_flow *flow, int32_t rows)
{
    return pass_floats(flow, pass_rows(rows), 0);
}

void flow_forward_rows(const dn_flow *flow, const float *x, int32_t n, int32_t rows, float *z, float *logdet,
                       float *scratch, pool *workers)
{
    for (int64_t first = 0; first < n; first += rows) {
        size_t start = (size_t)first * (size_t)flow->dimension;
        int32_t now = n - first < rows ? (int32_t)(n - first) : rows;
        flow_pass pass = block_pass(flow, now, 0, scratch, workers);
        pass_forward(&pass, x + start, now, z + start);
        for (int32_t r = 0; logdet && r < now; r++)
            logdet[first + r] = (float)pass.logdet[r];
    }
}

void flow_forward(const dn_flow *flow, const float *x, int32_t n, float *z, float *logdet, float *scratch,
                  pool *workers)
{
    flow_forward_rows(flow, x, n, FLOW_ROWS, z, logdet, scratch, workers);
}

void flow_inverse(const dn_flow *flow, const float *z, int32_t n, float *x, float *scratch, pool *workers)
{
    for (int64_t first = 0; first < n; first += FLOW_ROWS) {
        size_t start = (size_t)first * (size_t)flow->dimension;
        int32_t rows = block_rows(n, first);
        flow_pass pass = block_pass(flow, rows, 0, scratch, workers);
        pass_inverse(&pass, z + start, rows, x + start);
    }
}

/* Floats in front of the pass: z and its gradient (FLOW_ROWS, D), logdet and its gradient (FLOW_ROWS). */
static size_t chain_floats(const dn_flow *flow)
{
    return 2 * FLOW_ROWS * ((size_t)flow->dimension + 1);
}

size_t flow_gradient_scratch(const dn_flow *flow)
{
    size_t floats = pass_floats(flow, FLOW_ROWS, 1);

    return floats ? floats + chain_floats(flow) : 0;
}

void flow_gradient(const dn_flow *flow, const float *x, int32_t n, flow_chain chain, void *context, float *z,
                   float *logdet, float *x_gradient, float *scratch, pool *workers)
{
    size_t block = FLOW_ROWS * (size_t)flow->dimension;
    float *block_z = scratch, *z_gradient = block_z + block;
    float *block_logdet = z_gradient + block, *logdet_gradient = block_logdet + FLOW_ROWS;

    for (int64_t first = 0; first < n; first += FLOW_ROWS) {
        size_t start = (size_t)first * (size_t)flow->dimension;
        int32_t rows = block_rows(n, first);
        flow_pass pass = block_pass(flow, rows, 1, scratch + chain_floats(flow), workers);
        pass_forward(&pass, x + start, rows, block_z);
        for (int32_t r = 0; r < rows; r++)
            block_logdet[r] = (float)pass.logdet[r];
        chain(context, block_z, block_logdet, rows, z_gradient, logdet_gradient);
        pass_backward(&pass, z_gradient, logdet_gradient, x_gradient + start, NULL);
        if (z)
            memcpy(z + start, block_z, (size_t)rows * (size_t)flow->dimension * sizeof *z);
        if (logdet)
            memcpy(logdet + first, block_logdet, (size_t)rows * sizeof *logdet);
    }
}
