/* dn_flow_*: the normalizing flow on its own. */
#include "api.h"

#include <math.h>

#include "base/file.h"
#include "base/finite.h"
#include "base/memory.h"
#include "base/product.h"
#include "base/rng.h"
#include "flow/flow.h"

static const dn_flow_options default_options = {
    .struct_size = sizeof(dn_flow_options), .dimension = 768, .blocks = 8, .hidden = 512, .clamp = 3};

void dn_flow_options_init_size(dn_flow_options *options, size_t size)
{
    options_init(options, size, &default_options, sizeof default_options);
}

/* ---- handles and files ---- */

dn_status dn_flow_create(const dn_flow_options *options, dn_flow **out, dn_error *error)
{
    dn_flow_options own = default_options;

    REQUIRE(out, error);
    *out = NULL;
    TRY(options_read(&own, sizeof own, options, "dn_flow_options", error));
    TRY(allocator_check(own.allocator, "dn_flow_options", error));
    TRY(flow_check(&own, DN_E_ARGUMENT, "dn_flow_options", error));
    return flow_create(&own, out, error);
}

dn_status dn_flow_open_path(const char *path, const dn_allocator *allocator, dn_flow **out, dn_error *error)
{
    file_mapping mapping;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(path, error);
    TRY(allocator_check(allocator, __func__, error));
    dn_allocator own = mem_allocator(allocator);
    TRY(file_map(path, &mapping, error));
    dn_status status = flow_read(mapping.bytes, mapping.size, path, &own, out, error);
    file_unmap(&mapping);
    return status;
}

dn_status dn_flow_open_memory(const void *bytes, size_t size, const dn_allocator *allocator, dn_flow **out,
                              dn_error *error)
{
    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(bytes, error);
    TRY(allocator_check(allocator, __func__, error));
    dn_allocator own = mem_allocator(allocator);
    return flow_read(bytes, size, "(memory)", &own, out, error);
}

dn_status dn_flow_save(const dn_flow *flow, const char *path, dn_error *error)
{
    REQUIRE(flow, error);
    REQUIRE(path, error);
    st_writer *writer = flow_writer(flow);
    if (!writer)
        return fail_memory(error, path);
    dn_status status = st_writer_save(writer, path, error);
    st_writer_free(writer);
    return status;
}

dn_status dn_flow_save_memory(const dn_flow *flow, dn_blob **out, dn_error *error)
{
    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(flow, error);
    st_writer *writer = flow_writer(flow);
    if (!writer)
        return fail_memory(error, "a flow file in memory");
    dn_status status = st_writer_save_memory(writer, out, error);
    st_writer_free(writer);
    return status;
}

dn_flow *dn_flow_ref(dn_flow *flow)
{
    return flow ? flow_ref(flow) : NULL;
}

void dn_flow_unref(dn_flow *flow)
{
    flow_unref(flow);
}

dn_status dn_flow_get_info(const dn_flow *flow, dn_flow_options *info)
{
    REQUIRE(flow, NULL);
    REQUIRE(info, NULL);
    dn_flow_options own = {.struct_size = sizeof own,
                           .dimension = flow->dimension,
                           .blocks = flow->blocks,
                           .hidden = flow->hidden,
                           .clamp = flow->clamp,
                           .seed = flow->seed};
    return output_write(info, &own, sizeof own, "dn_flow_options", NULL);
}

/* ---- use ---- */

/* n >= 1 rows of `width` finite floats. */
static dn_status check_rows(const char *what, const float *values, int32_t n, int32_t width, dn_error *error)
{
    for (int32_t r = 0; r < n; r++)
        if (!floats_finite(values + (size_t)r * (size_t)width, (size_t)width))
            return fail(error, DN_E_NUMERIC, "%s holds NaN or infinity in row %d", what, r);
    return DN_OK;
}

static dn_status check_call(const dn_flow *flow, const char *what, const float *values, int32_t n, dn_error *error)
{
    if (n < 1)
        return fail(error, DN_E_ARGUMENT, "n is %d, must be 1 or more", n);
    TRY(product_ready(1, error));
    return check_rows(what, values, n, flow->dimension, error);
}

/* Scratch for one call; mem_free with the flow's allocator. */
static dn_status make_scratch(const dn_flow *flow, size_t floats, float **scratch, dn_error *error)
{
    *scratch = floats ? mem_alloc(&flow->allocator, floats, sizeof **scratch) : NULL;
    return *scratch ? DN_OK : fail_memory(error, "the flow's scratch");
}

dn_status dn_flow_forward(const dn_flow *flow, const float *x, int32_t n, float *z, float *logdet, dn_error *error)
{
    float *scratch;

    REQUIRE(flow, error);
    REQUIRE(x, error);
    REQUIRE(z, error);
    TRY(check_call(flow, "x", x, n, error));
    TRY(make_scratch(flow, flow_scratch(flow), &scratch, error));
    flow_forward(flow, x, n, z, logdet, scratch, NULL);
    mem_free(&flow->allocator, scratch);
    TRY(check_rows("z", z, n, flow->dimension, error));
    return logdet ? check_rows("logdet", logdet, n, 1, error) : DN_OK;
}

dn_status dn_flow_inverse(const dn_flow *flow, const float *z, int32_t n, float *x, dn_error *error)
{
    float *scratch;

    REQUIRE(flow, error);
    REQUIRE(z, error);
    REQUIRE(x, error);
    TRY(check_call(flow, "z", z, n, error));
    TRY(make_scratch(flow, flow_scratch(flow), &scratch, error));
    flow_inverse(flow, z, n, x, scratch, NULL);
    mem_free(&flow->allocator, scratch);
    return check_rows("x", x, n, flow->dimension, error);
}

dn_status dn_flow_sample(const dn_flow *flow, uint64_t seed, int32_t n, float *x, dn_error *error)
{
    rng generator;

    REQUIRE(flow, error);
    REQUIRE(x, error);
    if (n < 1)
        return fail(error, DN_E_ARGUMENT, "n is %d, must be 1 or more", n);
    rng_seed(&generator, seed, RNG_FLOW_SAMPLE);
    for (size_t i = 0; i < (size_t)n * (size_t)flow->dimension; i++)
        x[i] = (float)rng_normal(&generator);
    return dn_flow_inverse(flow, x, n, x, error);
}

/* log p(x) of up to FLOW_ROWS rows (paper equation 2).  z: (rows, D), scratch. */
static void log_likelihood_block(const dn_flow *flow, const float *x, int32_t rows, float *z, float *scratch,
                                 double *log_likelihood)
{
    float logdet[FLOW_ROWS];

    flow_forward(flow, x, rows, z, logdet, scratch, NULL);
    for (int32_t r = 0; r < rows; r++) {
        const float *row = z + (size_t)r * (size_t)flow->dimension;
        double square = 0;
        for (int32_t i = 0; i < flow->dimension; i++)
            square += (double)row[i] * (double)row[i];
        log_likelihood[r] = -0.5 * square - 0.5 * flow->dimension * LOG_TWO_PI + (double)logdet[r];
    }
}

dn_status dn_flow_log_likelihood(const dn_flow *flow, const float *x, int32_t n, double *log_likelihood,
                                 dn_error *error)
{
    float *scratch;

    REQUIRE(flow, error);
    REQUIRE(x, error);
    REQUIRE(log_likelihood, error);
    TRY(check_call(flow, "x", x, n, error));
    size_t dimension = (size_t)flow->dimension, work = flow_scratch(flow);
    TRY(make_scratch(flow, work + FLOW_ROWS * dimension, &scratch, error));
    for (int64_t first = 0; first < n; first += FLOW_ROWS) {
        int32_t rows = n - first < FLOW_ROWS ? (int32_t)(n - first) : FLOW_ROWS;
        log_likelihood_block(flow, x + (size_t)first * dimension, rows, scratch + work, scratch,
                             log_likelihood + first);
    }
    mem_free(&flow->allocator, scratch);
    for (int32_t r = 0; r < n; r++)
        if (!isfinite(log_likelihood[r]))
            return fail(error, DN_E_NUMERIC, "the log-likelihood of row %d is not finite", r);
    return DN_OK;
}

/* The caller's factors, handed out block by block. */
struct factors {
    const float *z_gradient;      /* (n, D) */
    const float *logdet_gradient; /* (n) or NULL */
    size_t dimension;
    size_t done; /* rows handed out */
};

static void hand_out(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                     float *logdet_gradient)
{
    struct factors *factors = context;
    const float *from = factors->z_gradient + factors->done * factors->dimension;

    (void)z;
    (void)logdet;
    for (size_t i = 0; i < (size_t)rows * factors->dimension; i++)
        z_gradient[i] = from[i];
    for (size_t r = 0; r < (size_t)rows; r++)
        logdet_gradient[r] = factors->logdet_gradient ? factors->logdet_gradient[factors->done + r] : 0.0f;
    factors->done += (size_t)rows;
}

dn_status dn_flow_gradient(const dn_flow *flow, const float *x, int32_t n, const float *z_gradient,
                           const float *logdet_gradient, float *x_gradient, dn_error *error)
{
    float *scratch;

    REQUIRE(flow, error);
    REQUIRE(x, error);
    REQUIRE(z_gradient, error);
    REQUIRE(x_gradient, error);
    TRY(check_call(flow, "x", x, n, error));
    TRY(check_rows("z_gradient", z_gradient, n, flow->dimension, error));
    if (logdet_gradient)
        TRY(check_rows("logdet_gradient", logdet_gradient, n, 1, error));
    TRY(make_scratch(flow, flow_gradient_scratch(flow), &scratch, error));
    struct factors factors = {z_gradient, logdet_gradient, (size_t)flow->dimension, 0};
    flow_gradient(flow, x, n, hand_out, &factors, NULL, NULL, x_gradient, scratch, NULL);
    mem_free(&flow->allocator, scratch);
    return check_rows("x_gradient", x_gradient, n, flow->dimension, error);
}
