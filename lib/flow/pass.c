#include "flow/pass.h"

#include "base/memory.h"
#include "base/product.h"
#include "base/simd.h"

#define LANES COUPLING_LANES

_Static_assert(LANES % PRODUCT_LANES == 0, "a row's bits depend on the row alone");

/* A block's output is limited to +-FLOW_LIMIT, as in the reference implementation; the gradient of a limited value
 * is 0. */
#define FLOW_LIMIT 1e6f

/* ---- memory ---- */

static size_t wide(const dn_flow *flow, int32_t rows) /* (D, R) */
{
    return mem_padded_floats((size_t)rows * (size_t)flow->dimension);
}

static size_t narrow(const dn_flow *flow, int32_t rows) /* (hidden, R) */
{
    return mem_padded_floats((size_t)rows * (size_t)flow->hidden);
}

static size_t trace_floats(const dn_flow *flow, int32_t rows)
{
    return 4 * wide(flow, rows) + 2 * (FLOW_LAYERS - 1) * narrow(flow, rows);
}

static size_t common_floats(const dn_flow *flow, int32_t rows)
{
    return mem_padded_floats(2 * (size_t)rows) + 2 * wide(flow, rows) + 2 * narrow(flow, rows);
}

int32_t pass_rows(int32_t rows)
{
    return (rows + LANES - 1) / LANES * LANES;
}

size_t pass_floats(const dn_flow *flow, int32_t rows, _Bool keep)
{
    size_t total, row = (size_t)flow->dimension + (size_t)flow->hidden + 16;

    /* An upper bound of everything below, so that the sums themselves cannot overflow. */
    if (!size_mul(row * 8, (size_t)rows + 16, &total) || !size_mul(total, (size_t)flow->blocks + 1, &total) ||
        !size_mul(total, sizeof(float), &total))
        return 0;
    return common_floats(flow, rows) + trace_floats(flow, rows) * (keep ? (size_t)flow->blocks : 1);
}

static float *take(float **memory, size_t floats)
{
    float *taken = *memory;

    *memory += floats;
    return taken;
}

flow_pass pass_make(const dn_flow *flow, int32_t rows, _Bool keep, float *memory, pool *workers)
{
    flow_pass pass = {.flow = flow, .workers = workers, .rows = rows, .keep = keep};

    pass.logdet = (double *)(void *)take(&memory, mem_padded_floats(2 * (size_t)rows));
    for (int i = 0; i < 2; i++) {
        pass.gradient[i] = take(&memory, wide(flow, rows));
        pass.work[i] = take(&memory, narrow(flow, rows));
    }
    pass.traces = memory;
    return pass;
}

static block_trace trace_of(const flow_pass *pass, int32_t block)
{
    const dn_flow *flow = pass->flow;
    float *memory = pass->traces + (pass->keep ? (size_t)block * trace_floats(flow, pass->rows) : 0);
    block_trace trace;

    trace.permuted = take(&memory, wide(flow, pass->rows));
    trace.coupled = take(&memory, wide(flow, pass->rows));
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < FLOW_LAYERS - 1; i++)
            trace.net[which].hidden[i] = take(&memory, narrow(flow, pass->rows));
        trace.net[which].output = take(&memory, wide(flow, pass->rows));
    }
    return trace;
}

/* ---- between the nets: LANES rows at a time, all features of theirs ---- */

/* What a lane function gets to know. */
typedef struct lane_job {
    flow_pass *pass;
    void (*function)(const struct lane_job *job, int32_t row);
    int32_t block;
    const block_trace *trace; /* of `block` */
    const float *in;          /* (used, D) of the caller */
    float *out;               /* (used, D) of the caller */
    const float *logdet_gradient;
} lane_job;

static void lane_task(void *context, int32_t task, int32_t worker)
{
    const lane_job *job = context;

    (void)worker;
    job->function(job, task * LANES);
}

static void for_lanes(lane_job *job, void (*function)(const lane_job *job, int32_t row))
{
    job->function = function;
    pool_run(job->pass->workers, job->pass->rows / LANES, lane_task, job);
}

static const uint32_t *permutation_of(const flow_pass *pass, int32_t block)
{
    return pass->flow->permutation + (size_t)block * (size_t)pass->flow->dimension;
}

/* Floats of half of a (D, R) array: where its second half starts. */
static size_t half_floats(const flow_pass *pass)
{
    return (size_t)pass->flow->half * (size_t)pass->rows;
}

/* NaN passes: it must reach the result. */
SIMD_INLINE float limited(float value)
{
    return value > FLOW_LIMIT ? FLOW_LIMIT : value < -FLOW_LIMIT ? -FLOW_LIMIT : value;
}

/* to[i] = limited(from[permutation[i]]) for `dimension` features of LANES rows. */
SIMD_CLONES static void permute(const float *restrict from, const uint32_t *permutation, int32_t dimension,
                                int64_t stride, float *restrict to)
{
    for (int32_t i = 0; i < dimension; i++, to += stride)
        for (int k = 0; k < LANES; k++)
            to[k] = limited(from[permutation[i] * stride + k]);
}

/* to[permutation[i]] = from[i] */
SIMD_CLONES static void permute_back(const float *restrict from, const uint32_t *permutation, int32_t dimension,
                                     int64_t stride, float *restrict to)
{
    for (int32_t i = 0; i < dimension; i++, from += stride)
        for (int k = 0; k < LANES; k++)
            to[permutation[i] * stride + k] = from[k];
}

/* values = limited(values) */
SIMD_CLONES static void limit(float *values, int32_t dimension, int64_t stride)
{
    for (int32_t i = 0; i < dimension; i++, values += stride)
        for (int k = 0; k < LANES; k++)
            values[k] = limited(values[k]);
}

/* gradient = 0 where y was limited. */
SIMD_CLONES static void limit_gradient(const float *restrict y, int32_t dimension, int64_t stride,
                                       float *restrict gradient)
{
    for (int32_t i = 0; i < dimension; i++, y += stride, gradient += stride)
        for (int k = 0; k < LANES; k++)
            gradient[k] = y[k] > FLOW_LIMIT || y[k] < -FLOW_LIMIT ? 0.0f : gradient[k];
}

/* LANES of the caller's rows (used, D), from `row` on, as columns of a (D, R) array, whose entry i is the caller's
 * feature order[i] (NULL: i).  Behind the `used` rows the first one is repeated, so that what is computed there is
 * finite if the results are: its gradients are 0, and 0 times infinity would not be. */
static void load_rows(const lane_job *job, int32_t row, const uint32_t *order, float *lanes)
{
    int32_t dimension = job->pass->flow->dimension, stride = job->pass->rows;

    for (int32_t k = 0; k < LANES; k++) {
        const float *from = job->in + (row + k < job->pass->used ? (size_t)(row + k) * (size_t)dimension : 0);
        for (int32_t i = 0; i < dimension; i++)
            lanes[(size_t)i * (size_t)stride + (size_t)k] = from[order ? order[i] : (uint32_t)i];
    }
}

/* The gradient of the rows behind the `used` ones: 0. */
static void clear_unused(const flow_pass *pass, int32_t row, float *lanes)
{
    for (int32_t k = 0; k < LANES; k++)
        for (int32_t i = 0; i < pass->flow->dimension && row + k >= pass->used; i++)
            lanes[(size_t)i * (size_t)pass->rows + (size_t)k] = 0;
}

/* The other way: the caller's feature order[i] gets entry i. */
static void store_rows(const lane_job *job, int32_t row, const uint32_t *order, const float *lanes)
{
    int32_t dimension = job->pass->flow->dimension, stride = job->pass->rows;

    for (int32_t k = 0; k < LANES && row + k < job->pass->used; k++) {
        float *to = job->out + (size_t)(row + k) * (size_t)dimension;
        for (int32_t i = 0; i < dimension; i++)
            to[order[i]] = lanes[(size_t)i * (size_t)stride + (size_t)k];
    }
}

/* ---- forward ---- */

/* Block 0's permutation of the caller's rows. */
static void enter(const lane_job *job, int32_t row)
{
    for (int k = 0; k < LANES; k++)
        job->pass->logdet[row + k] = 0;
    load_rows(job, row, permutation_of(job->pass, 0), job->trace->permuted + row);
}

/* Half 0: y1 = x1 * exp(l(s2)) + t2.  Half 1: y2 = x2 * exp(l(s1)) + t1. */
static void couple(const lane_job *job, int32_t row, int which)
{
    const flow_pass *pass = job->pass;
    size_t start = (which == NET1 ? half_floats(pass) : 0) + (size_t)row;
    float *s = job->trace->net[which].output + row;

    coupling_forward(job->trace->permuted + start, s, s + half_floats(pass), job->trace->coupled + start,
                     pass->flow->half, pass->rows, (float)pass->flow->clamp, pass->logdet + row);
}

static void couple_first(const lane_job *job, int32_t row)
{
    couple(job, row, NET2);
}

/* The second half; then the limit, and the next block's permutation or the way out. */
static void couple_second(const lane_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    int32_t dimension = pass->flow->dimension, next = job->block + 1;
    float *y = job->trace->coupled + row;

    couple(job, row, NET1);
    if (next < pass->flow->blocks) {
        permute(y, permutation_of(pass, next), dimension, pass->rows, trace_of(pass, next).permuted + row);
        return;
    }
    for (int32_t k = 0; k < LANES && row + k < pass->used; k++) /* y stays: the gradient needs to know its size */
        for (int32_t i = 0; i < dimension; i++)
            job->out[(size_t)(row + k) * (size_t)dimension + (size_t)i] = limited(y[i * (int64_t)pass->rows + k]);
}

static void net_forward(flow_pass *pass, int32_t block, int which, const float *x, const block_trace *trace)
{
    subnet net = subnet_of(pass->flow, block, which);

    subnet_forward(&net, x, pass->rows, &trace->net[which], pass->workers);
}

void pass_forward(flow_pass *pass, const float *x, int32_t used, float *z)
{
    block_trace trace = trace_of(pass, 0);
    lane_job job = {.pass = pass, .trace = &trace, .in = x, .out = z};

    pass->used = used;
    for_lanes(&job, enter);
    for (job.block = 0; job.block < pass->flow->blocks; job.block++) {
        trace = trace_of(pass, job.block);
        net_forward(pass, job.block, NET2, trace.permuted + half_floats(pass), &trace);
        for_lanes(&job, couple_first);
        net_forward(pass, job.block, NET1, trace.coupled, &trace);
        for_lanes(&job, couple_second);
    }
}

/* ---- inverse: from trace->coupled to trace->permuted, which then change places ---- */

static void enter_inverse(const lane_job *job, int32_t row)
{
    load_rows(job, row, NULL, job->trace->coupled + row);
}

/* x = (y - t) * exp(-l(s)) of one half, in place. */
static void uncouple(const lane_job *job, int32_t row, int which)
{
    const flow_pass *pass = job->pass;
    const float *s = job->trace->net[which].output + row;

    coupling_inverse(job->trace->coupled + (which == NET1 ? half_floats(pass) : 0) + row, s, s + half_floats(pass),
                     pass->flow->half, pass->rows, (float)pass->flow->clamp);
}

static void uncouple_second(const lane_job *job, int32_t row)
{
    uncouple(job, row, NET1);
}

/* The first half; then the limit, and the permutation backwards. */
static void uncouple_first(const lane_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const uint32_t *permutation = permutation_of(pass, job->block);
    float *x = job->trace->coupled + row;

    uncouple(job, row, NET2);
    limit(x, pass->flow->dimension, pass->rows);
    if (job->block > 0)
        permute_back(x, permutation, pass->flow->dimension, pass->rows, job->trace->permuted + row);
    else
        store_rows(job, row, permutation, x);
}

void pass_inverse(flow_pass *pass, const float *z, int32_t used, float *x)
{
    block_trace trace = trace_of(pass, 0);
    lane_job job = {.pass = pass, .trace = &trace, .in = z, .out = x};

    pass->used = used;
    for_lanes(&job, enter_inverse);
    for (job.block = pass->flow->blocks - 1; job.block >= 0; job.block--) {
        net_forward(pass, job.block, NET1, trace.coupled, &trace);
        for_lanes(&job, uncouple_second);
        net_forward(pass, job.block, NET2, trace.coupled + half_floats(pass), &trace);
        for_lanes(&job, uncouple_first);
        float *previous = trace.permuted;
        trace.permuted = trace.coupled;
        trace.coupled = previous;
    }
}

/* ---- backward: the gradient towards the present place is in pass->gradient[block % 2] ---- */

static float *gradient_of(const flow_pass *pass, int32_t block)
{
    return pass->gradient[block % 2];
}

/* Through one half's coupling. */
static void couple_gradient(const lane_job *job, int32_t row, int which)
{
    const flow_pass *pass = job->pass;
    size_t start = (which == NET1 ? half_floats(pass) : 0) + (size_t)row;
    float *s = job->trace->net[which].output + row, logdet_gradient[LANES];

    for (int32_t k = 0; k < LANES; k++)
        logdet_gradient[k] = row + k < pass->used ? job->logdet_gradient[row + k] : 0.0f;
    coupling_gradient(job->trace->permuted + start, gradient_of(pass, job->block) + start, s, s + half_floats(pass),
                      pass->flow->half, pass->rows, logdet_gradient);
}

/* From the gradient behind a block to the one before its second coupling: first the permutation that follows is
 * undone (or the caller's gradient fetched), then the limit, then the coupling. */
static void couple_second_gradient(const lane_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    int32_t dimension = pass->flow->dimension, next = job->block + 1;
    float *gradient = gradient_of(pass, job->block) + row;

    if (next < pass->flow->blocks) {
        permute_back(gradient_of(pass, next) + row, permutation_of(pass, next), dimension, pass->rows, gradient);
    } else {
        load_rows(job, row, NULL, gradient);
        clear_unused(pass, row, gradient);
    }
    limit_gradient(job->trace->coupled + row, dimension, pass->rows, gradient);
    couple_gradient(job, row, NET1);
}

static void couple_first_gradient(const lane_job *job, int32_t row)
{
    couple_gradient(job, row, NET2);
}

/* Block 0's permutation undone. */
static void leave_gradient(const lane_job *job, int32_t row)
{
    store_rows(job, row, permutation_of(job->pass, 0), gradient_of(job->pass, 0) + row);
}

/* Adds the net's part to the gradient of its input x, the half of the block that dx belongs to. */
static void net_backward(flow_pass *pass, int32_t block, int which, const float *x, const block_trace *trace, float *dx,
                         const linear_sink *sink)
{
    subnet net = subnet_of(pass->flow, block, which);

    subnet_backward(&net, x, pass->rows, &trace->net[which], dx, pass->work, sink, pass->workers);
}

void pass_backward(flow_pass *pass, const float *z_gradient, const float *logdet_gradient, float *x_gradient,
                   const linear_sink *sink)
{
    block_trace trace;
    lane_job job = {
        .pass = pass, .trace = &trace, .in = z_gradient, .out = x_gradient, .logdet_gradient = logdet_gradient};

    for (job.block = pass->flow->blocks - 1; job.block >= 0; job.block--) {
        float *gradient = gradient_of(pass, job.block);
        size_t half = half_floats(pass);
        trace = trace_of(pass, job.block);
        for_lanes(&job, couple_second_gradient);
        net_backward(pass, job.block, NET1, trace.coupled, &trace, gradient, sink);
        for_lanes(&job, couple_first_gradient);
        net_backward(pass, job.block, NET2, trace.permuted + half, &trace, gradient + half, sink);
    }
    job.block = 0;
    if (x_gradient)
        for_lanes(&job, leave_gradient);
}
