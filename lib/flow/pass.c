#include "flow/pass.h"

#include <string.h>

#include "base/memory.h"
#include "flow/coupling.h"

/* Between the nets everything is done row by row, in tasks of so many rows. */
#define ROWS_PER_TASK 8

/* A block's output is limited to +-FLOW_LIMIT, as in the reference implementation; the gradient of a limited value
 * is 0. */
#define FLOW_LIMIT 1e6f

/* ---- memory ---- */

/* Floats rounded up to a multiple of 64 bytes. */
static size_t padded(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static size_t wide(const dn_flow *flow, int32_t rows) /* (R, D) */
{
    return padded((size_t)rows * (size_t)flow->dimension);
}

static size_t narrow(const dn_flow *flow, int32_t rows) /* (R, hidden) */
{
    return padded((size_t)rows * (size_t)flow->hidden);
}

static size_t trace_floats(const dn_flow *flow, int32_t rows)
{
    return 4 * wide(flow, rows) + 2 * (FLOW_LAYERS - 1) * narrow(flow, rows);
}

static size_t common_floats(const dn_flow *flow, int32_t rows)
{
    return padded(2 * (size_t)rows) + 2 * wide(flow, rows) + 2 * narrow(flow, rows);
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

    pass.logdet = (double *)(void *)take(&memory, padded(2 * (size_t)rows));
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

/* ---- row by row ---- */

/* What a row function gets to know. */
typedef struct row_job {
    flow_pass *pass;
    void (*function)(const struct row_job *job, int32_t row);
    int32_t block;
    const block_trace *trace; /* of `block` */
    const float *in;          /* (used, D) of the caller */
    float *out;               /* (used, D) of the caller */
    const float *logdet_gradient;
} row_job;

static void row_task(void *context, int32_t task, int32_t worker)
{
    const row_job *job = context;
    int32_t last = (task + 1) * ROWS_PER_TASK;

    (void)worker;
    for (int32_t row = task * ROWS_PER_TASK; row < last && row < job->pass->rows; row++)
        job->function(job, row);
}

static void for_rows(row_job *job, void (*function)(const row_job *job, int32_t row))
{
    job->function = function;
    pool_run(job->pass->workers, (job->pass->rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK, row_task, job);
}

static size_t at(const flow_pass *pass, int32_t row)
{
    return (size_t)row * (size_t)pass->flow->dimension;
}

static const uint32_t *permutation_of(const flow_pass *pass, int32_t block)
{
    return pass->flow->permutation + (size_t)block * (size_t)pass->flow->dimension;
}

static rows_view half_rows(const flow_pass *pass, const float *rows, int which)
{
    return (rows_view){rows + (which ? pass->flow->half : 0), pass->flow->dimension};
}

/* NaN passes: it must reach the result. */
static float limited(float value)
{
    return value > FLOW_LIMIT ? FLOW_LIMIT : value < -FLOW_LIMIT ? -FLOW_LIMIT : value;
}

/* ---- forward ---- */

/* Block 0's permutation of the caller's rows; rows beyond `used` are zeros. */
static void enter_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const uint32_t *permutation = permutation_of(pass, 0);
    const float *x = job->in + at(pass, row);
    float *permuted = job->trace->permuted + at(pass, row);

    pass->logdet[row] = 0;
    if (row >= pass->used) {
        memset(permuted, 0, (size_t)pass->flow->dimension * sizeof *permuted);
        return;
    }
    for (int32_t i = 0; i < pass->flow->dimension; i++)
        permuted[i] = x[permutation[i]];
}

/* y1 = x1 * exp(l(s2)) + t2 */
static void couple_first_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const block_trace *trace = job->trace;
    size_t start = at(pass, row);

    pass->logdet[row] += coupling_forward(trace->permuted + start, trace->net[NET2].output + start,
                                          trace->coupled + start, pass->flow->half, (float)pass->flow->clamp);
}

/* y2 = x2 * exp(l(s1)) + t1; then the limit, and the next block's permutation or the way out. */
static void couple_second_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const block_trace *trace = job->trace;
    int32_t half = pass->flow->half, dimension = pass->flow->dimension;
    size_t start = at(pass, row);
    const float *y = trace->coupled + start;

    pass->logdet[row] += coupling_forward(trace->permuted + start + half, trace->net[NET1].output + start,
                                          trace->coupled + start + half, half, (float)pass->flow->clamp);
    if (job->block + 1 < pass->flow->blocks) {
        const uint32_t *permutation = permutation_of(pass, job->block + 1);
        float *next = trace_of(pass, job->block + 1).permuted + start;
        for (int32_t i = 0; i < dimension; i++)
            next[i] = limited(y[permutation[i]]);
    } else if (row < pass->used) {
        for (int32_t i = 0; i < dimension; i++)
            job->out[start + (size_t)i] = limited(y[i]);
    }
}

static void net_forward(flow_pass *pass, int32_t block, int which, rows_view x, const block_trace *trace)
{
    subnet net = subnet_of(pass->flow, block, which);

    subnet_forward(&net, x, pass->rows, &trace->net[which], pass->workers);
}

void pass_forward(flow_pass *pass, const float *x, int32_t used, float *z)
{
    block_trace trace = trace_of(pass, 0);
    row_job job = {.pass = pass, .trace = &trace, .in = x, .out = z};

    pass->used = used;
    for_rows(&job, enter_row);
    for (job.block = 0; job.block < pass->flow->blocks; job.block++) {
        trace = trace_of(pass, job.block);
        net_forward(pass, job.block, NET2, half_rows(pass, trace.permuted, 1), &trace);
        for_rows(&job, couple_first_row);
        net_forward(pass, job.block, NET1, half_rows(pass, trace.coupled, 0), &trace);
        for_rows(&job, couple_second_row);
    }
}

/* ---- inverse: works in trace->coupled ---- */

static void enter_inverse_row(const row_job *job, int32_t row)
{
    size_t start = at(job->pass, row), size = (size_t)job->pass->flow->dimension * sizeof(float);

    if (row < job->pass->used)
        memcpy(job->trace->coupled + start, job->in + start, size);
    else
        memset(job->trace->coupled + start, 0, size);
}

/* x2 = (y2 - t1) * exp(-l(s1)) */
static void uncouple_second_row(const row_job *job, int32_t row)
{
    const dn_flow *flow = job->pass->flow;
    size_t start = at(job->pass, row);

    coupling_inverse(job->trace->coupled + start + flow->half, job->trace->net[NET1].output + start, flow->half,
                     (float)flow->clamp);
}

/* x1 = (y1 - t2) * exp(-l(s2)), then the permutation backwards, and the limit. */
static void uncouple_first_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const uint32_t *permutation = permutation_of(pass, job->block);
    size_t start = at(pass, row);
    float *y = job->trace->coupled + start, *x = job->trace->permuted + start;

    coupling_inverse(y, job->trace->net[NET2].output + start, pass->flow->half, (float)pass->flow->clamp);
    for (int32_t i = 0; i < pass->flow->dimension; i++)
        x[permutation[i]] = limited(y[i]);
    float *target = job->block > 0 ? y : row < pass->used ? job->out + start : NULL;
    if (target)
        memcpy(target, x, (size_t)pass->flow->dimension * sizeof *target);
}

void pass_inverse(flow_pass *pass, const float *z, int32_t used, float *x)
{
    block_trace trace = trace_of(pass, 0);
    row_job job = {.pass = pass, .trace = &trace, .in = z, .out = x};

    pass->used = used;
    for_rows(&job, enter_inverse_row);
    for (job.block = pass->flow->blocks - 1; job.block >= 0; job.block--) {
        net_forward(pass, job.block, NET1, half_rows(pass, trace.coupled, 0), &trace);
        for_rows(&job, uncouple_second_row);
        net_forward(pass, job.block, NET2, half_rows(pass, trace.coupled, 1), &trace);
        for_rows(&job, uncouple_first_row);
    }
}

/* ---- backward: the gradient towards the present place is in pass->gradient[block % 2] ---- */

static float *gradient_of(const flow_pass *pass, int32_t block)
{
    return pass->gradient[block % 2];
}

/* From the gradient behind a block to the one before its second coupling: first the permutation that follows is
 * undone (or the caller's gradient fetched), then the limit, then the coupling. */
static void uncouple_gradient_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const block_trace *trace = job->trace;
    int32_t half = pass->flow->half, dimension = pass->flow->dimension;
    size_t start = at(pass, row);
    const float *y = trace->coupled + start;
    float *gradient = gradient_of(pass, job->block) + start;

    if (job->block + 1 < pass->flow->blocks) {
        const uint32_t *permutation = permutation_of(pass, job->block + 1);
        const float *behind = gradient_of(pass, job->block + 1) + start;
        for (int32_t i = 0; i < dimension; i++)
            gradient[permutation[i]] = behind[i];
    } else if (row < pass->used) {
        memcpy(gradient, job->in + start, (size_t)dimension * sizeof *gradient);
    } else {
        memset(gradient, 0, (size_t)dimension * sizeof *gradient);
    }
    for (int32_t i = 0; i < dimension; i++)
        gradient[i] = y[i] > FLOW_LIMIT || y[i] < -FLOW_LIMIT ? 0.0f : gradient[i];
    coupling_gradient(trace->permuted + start + half, gradient + half, trace->net[NET1].output + start, half,
                      row < pass->used ? job->logdet_gradient[row] : 0.0f);
}

static void uncouple_gradient_first_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    size_t start = at(pass, row);

    coupling_gradient(job->trace->permuted + start, gradient_of(pass, job->block) + start,
                      job->trace->net[NET2].output + start, pass->flow->half,
                      row < pass->used ? job->logdet_gradient[row] : 0.0f);
}

/* Block 0's permutation undone. */
static void leave_gradient_row(const row_job *job, int32_t row)
{
    const flow_pass *pass = job->pass;
    const uint32_t *permutation = permutation_of(pass, 0);
    size_t start = at(pass, row);
    const float *gradient = gradient_of(pass, 0) + start;

    if (row < pass->used)
        for (int32_t i = 0; i < pass->flow->dimension; i++)
            job->out[start + permutation[i]] = gradient[i];
}

/* Adds the net's part to the gradient of its input: the first or second half of the gradient. */
static void net_backward(flow_pass *pass, int32_t block, int which, rows_view x, const block_trace *trace, int half,
                         const subnet_sink *sink)
{
    subnet net = subnet_of(pass->flow, block, which);

    subnet_backward(&net, x, pass->rows, &trace->net[which], gradient_of(pass, block) + (half ? pass->flow->half : 0),
                    pass->flow->dimension, pass->work, sink, pass->workers);
}

void pass_backward(flow_pass *pass, const float *z_gradient, const float *logdet_gradient, float *x_gradient,
                   const subnet_sink *sink)
{
    block_trace trace;
    row_job job = {
        .pass = pass, .trace = &trace, .in = z_gradient, .out = x_gradient, .logdet_gradient = logdet_gradient};

    for (job.block = pass->flow->blocks - 1; job.block >= 0; job.block--) {
        trace = trace_of(pass, job.block);
        for_rows(&job, uncouple_gradient_row);
        net_backward(pass, job.block, NET1, half_rows(pass, trace.coupled, 0), &trace, 0, sink);
        for_rows(&job, uncouple_gradient_first_row);
        net_backward(pass, job.block, NET2, half_rows(pass, trace.permuted, 1), &trace, 1, sink);
    }
    if (x_gradient)
        for_rows(&job, leave_gradient_row);
}
