/* The flow against PyTorch (golden files) and against a naive version in double. */
#include "flow/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/rng.h"
#include "flow/coupling.h"
#include "golden.h"
#include "naive_flow.h"
#include "support.h"

static dn_allocator allocator; /* the default one */

static void set_up(void)
{
    allocator = mem_allocator(NULL);
}

/* ---- helpers ---- */

static float *aligned(size_t floats)
{
    float *memory = mem_alloc(&allocator, floats, sizeof *memory);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void drop(void *memory)
{
    mem_free(&allocator, memory);
}

static dn_flow *make_flow(int32_t dimension, int32_t blocks, int32_t hidden)
{
    dn_flow_options options = {.struct_size = sizeof options,
                               .dimension = dimension,
                               .blocks = blocks,
                               .hidden = hidden,
                               .clamp = 1.5,
                               .seed = 3};
    dn_flow *flow;

    ck_ok(flow_create(&options, &flow, NULL));
    return flow;
}

/* Initial weights are small: larger ones bring s out of the linear part of the soft clamp. */
static void enlarge(dn_flow *flow, float factor)
{
    size_t n = flow_parameters(flow->dimension, flow->blocks, flow->hidden);

    for (size_t i = 0; i < n; i++)
        flow->owned[i] *= factor;
}

static float *normal_rows(int32_t n, int32_t dimension, uint64_t seed)
{
    size_t count = (size_t)n * (size_t)dimension;
    float *rows = aligned(count);
    rng generator;

    rng_seed(&generator, seed, 0);
    for (size_t i = 0; i < count; i++)
        rows[i] = (float)rng_normal(&generator);
    return rows;
}

struct factors {
    const float *z_gradient, *logdet_gradient;
    size_t dimension, done;
};

static void give_factors(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                         float *logdet_gradient)
{
    struct factors *f = context;

    ck_assert_ptr_nonnull(z);
    ck_assert_ptr_nonnull(logdet);
    memcpy(z_gradient, f->z_gradient + f->done * f->dimension, (size_t)rows * f->dimension * sizeof *z_gradient);
    memcpy(logdet_gradient, f->logdet_gradient + f->done, (size_t)rows * sizeof *logdet_gradient);
    f->done += (size_t)rows;
}

/* flow_gradient with fixed factors; z and logdet may be NULL. */
static void gradient(const dn_flow *flow, const float *x, int32_t n, const float *z_gradient,
                     const float *logdet_gradient, float *z, float *logdet, float *x_gradient, pool *workers)
{
    struct factors factors = {z_gradient, logdet_gradient, (size_t)flow->dimension, 0};
    float *scratch = aligned(flow_gradient_scratch(flow));

    flow_gradient(flow, x, n, give_factors, &factors, z, logdet, x_gradient, scratch, workers);
    ck_assert_uint_eq(factors.done, (size_t)n);
    drop(scratch);
}

static void forward(const dn_flow *flow, const float *x, int32_t n, float *z, float *logdet, pool *workers)
{
    float *scratch = aligned(flow_scratch(flow));

    flow_forward(flow, x, n, z, logdet, scratch, workers);
    drop(scratch);
}

static void inverse(const dn_flow *flow, const float *z, int32_t n, float *x, pool *workers)
{
    float *scratch = aligned(flow_scratch(flow));

    flow_inverse(flow, z, n, x, scratch, workers);
    drop(scratch);
}

/* |a - b| <= tolerance * (1 + |b|) for all. */
static void assert_close(const char *what, const float *a, const double *b, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs((double)a[i] - b[i]) <= tolerance * (1 + fabs(b[i])), "%s[%zu]: %.9g, not %.9g", what, i,
                      (double)a[i], b[i]);
}

/* ---- PyTorch ---- */

static dn_flow *golden_flow(void)
{
    size_t size;
    uint8_t *bytes = read_file(golden_path("flow.safetensors"), &size);
    dn_flow *flow = NULL;
    dn_error error = {0};
    dn_status status = flow_read(bytes, size, "flow.safetensors", &allocator, &flow, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    free(bytes);
    return flow;
}

START_TEST(agrees_with_pytorch)
{
    dn_flow *flow = golden_flow();
    st_file *results = golden_open("flow_results.safetensors");
    size_t n, rows;
    float *x = golden_floats(results, "x", &n);
    float *z_gradient = golden_floats(results, "z_gradient", NULL);
    float *logdet_gradient = golden_floats(results, "logdet_gradient", &rows);
    float *sample = golden_floats(results, "sample_z", NULL);
    double *z = golden_doubles(results, "z", NULL), *logdet = golden_doubles(results, "logdet", NULL);
    double *x_gradient = golden_doubles(results, "x_gradient", NULL);
    double *sample_x = golden_doubles(results, "sample_x", NULL);
    float *ours = aligned(n), *our_logdet = aligned(rows), *our_gradient = aligned(n);

    ck_assert_int_eq(flow->dimension, 12);
    ck_assert_uint_eq(flow->seed, 7);
    forward(flow, x, (int32_t)rows, ours, our_logdet, NULL);
    assert_close("z", ours, z, n, 2e-6);
    assert_close("logdet", our_logdet, logdet, rows, 2e-6);
    gradient(flow, x, (int32_t)rows, z_gradient, logdet_gradient, ours, our_logdet, our_gradient, NULL);
    assert_close("z", ours, z, n, 2e-6);
    assert_close("logdet", our_logdet, logdet, rows, 2e-6);
    assert_close("x_gradient", our_gradient, x_gradient, n, 5e-6);
    inverse(flow, sample, (int32_t)rows, ours, NULL);
    assert_close("inverse", ours, sample_x, n, 5e-6);

    void *memory[] = {x, z_gradient, logdet_gradient, sample, z, logdet, x_gradient, sample_x};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        free(memory[i]);
    drop(ours);
    drop(our_logdet);
    drop(our_gradient);
    golden_close(results);
    flow_unref(flow);
}
END_TEST

/* ---- the naive version ---- */

static const struct {
    int32_t dimension, blocks, hidden;
} shapes[] = {{2, 1, 1}, {6, 2, 5}, {270, 2, 140}, {32, 5, 16}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

START_TEST(agrees_with_naive_version)
{
    enum { ROWS = 3 };
    dn_flow *flow = make_flow(shapes[_i].dimension, shapes[_i].blocks, shapes[_i].hidden);
    int32_t dimension = flow->dimension;
    float *x = normal_rows(ROWS, dimension, 1), *z = aligned((size_t)(ROWS * dimension)), logdet[ROWS];
    double *wide = naive_room(dimension), *expected = naive_room(dimension);

    enlarge(flow, 2);
    double *weights = naive_weights(flow);
    forward(flow, x, ROWS, z, logdet, NULL);
    for (int32_t r = 0; r < ROWS; r++) {
        for (int32_t i = 0; i < dimension; i++)
            wide[i] = (double)x[r * dimension + i];
        double expected_logdet = naive_forward(flow, weights, wide, expected);
        assert_close("z", z + r * dimension, expected, (size_t)dimension, 2e-5);
        assert_close("logdet", &logdet[r], &expected_logdet, 1, 2e-5);
    }
    free(weights);
    free(wide);
    free(expected);
    drop(x);
    drop(z);
    flow_unref(flow);
}
END_TEST

/* Central differences of the naive version; a step so small that no ReLU switches on the way. */
START_TEST(gradient_agrees_with_differences)
{
    enum { ROWS = 2, CHECKED = 40 };
    const double step = 1e-6;
    dn_flow *flow = make_flow(shapes[_i].dimension, shapes[_i].blocks, shapes[_i].hidden);
    int32_t dimension = flow->dimension;
    float *x = normal_rows(ROWS, dimension, 1), *z_gradient = normal_rows(ROWS, dimension, 2);
    float *x_gradient = aligned((size_t)(ROWS * dimension)), logdet_gradient[ROWS] = {0.7f, -1.3f};
    double *wide = naive_room(dimension);

    enlarge(flow, 2);
    double *weights = naive_weights(flow);
    gradient(flow, x, ROWS, z_gradient, logdet_gradient, NULL, NULL, x_gradient, NULL);
    for (int32_t r = 0; r < ROWS; r++) {
        const float *factors = z_gradient + r * dimension;
        for (int32_t i = 0; i < dimension; i++)
            wide[i] = (double)x[r * dimension + i];
        for (int32_t i = 0; i < dimension; i += 1 + dimension / CHECKED) {
            double kept = wide[i], share = (double)logdet_gradient[r];
            wide[i] = kept + step;
            double above = naive_target(flow, weights, wide, factors, share);
            wide[i] = kept - step;
            double below = naive_target(flow, weights, wide, factors, share);
            wide[i] = kept;
            double expected = (above - below) / (2 * step);
            assert_close("x_gradient", &x_gradient[r * dimension + i], &expected, 1, 5e-5);
        }
    }
    free(weights);
    free(wide);
    drop(x);
    drop(z_gradient);
    drop(x_gradient);
    flow_unref(flow);
}
END_TEST

/* ---- the coupling ---- */

struct lanes {
    float x[COUPLING_LANES], s[COUPLING_LANES], t[COUPLING_LANES], y[COUPLING_LANES];
    double logdet[COUPLING_LANES];
};

/* One feature of 16 rows with x = 1 and t = 0, so that y = exp(l(s)) and logdet = l(s). */
static struct lanes couple(const float *s, float a)
{
    struct lanes lanes = {.logdet = {0}};

    for (int k = 0; k < COUPLING_LANES; k++) {
        lanes.x[k] = 1;
        lanes.s[k] = s[k];
    }
    coupling_forward(lanes.x, lanes.s, lanes.t, lanes.y, 1, COUPLING_LANES, a, lanes.logdet);
    return lanes;
}

/* exp(l(s)), l(s) and l'(s) over the whole range, against the C library in double. */
START_TEST(coupling_is_accurate)
{
    static const float clamps[] = {0.5f, 3.0f, 100.0f};
    float a = clamps[_i], s[COUPLING_LANES];
    double worst_l = 0, worst_exp = 0;

    for (int i = -4000; i < 4000; i += COUPLING_LANES) {
        for (int k = 0; k < COUPLING_LANES; k++)
            s[k] = (float)(i + k) * (float)abs(i + k) * 1e-4f * a / 40;
        struct lanes lanes = couple(s, a);
        for (int k = 0; k < COUPLING_LANES; k++) {
            double ratio = (double)s[k] / (double)a, l = lanes.logdet[k];
            double expected = (double)a * 0.636 * atan(ratio), slope = 0.636 / (1 + ratio * ratio);
            worst_l = fmax(worst_l, fabs(l - expected) / (fabs(expected) + 1e-30));
            if (fabs(l) < 87) /* within float's range */
                worst_exp = fmax(worst_exp, fabs((double)lanes.y[k] / exp(l) - 1));
            ck_assert_double_eq_tol((double)lanes.t[k] / slope, 1, 1e-6);
            ck_assert(lanes.s[k] == lanes.y[k]);
        }
    }
    ck_assert_msg(worst_l < 5e-7, "l(s) is wrong by %g", worst_l); /* 0.636 a, the quotient, atan: 4 roundings */
    ck_assert_msg(worst_exp < 2.4e-7, "exp is wrong by %g", worst_exp);
}
END_TEST

START_TEST(coupling_overflows_to_infinity)
{
    const float s[COUPLING_LANES] = {1e30f, -1e30f, NAN, INFINITY, 0, -INFINITY};
    struct lanes wide = couple(s, 100), usual = couple(s, 3);

    ck_assert_double_eq_tol(wide.logdet[0], 100 * 0.636 * asin(1), 1e-4);
    ck_assert(isinf(wide.y[0]) && isinf(wide.y[3]));
    ck_assert(wide.y[1] >= 0 && wide.y[1] < 1e-40f);
    ck_assert(isnan(usual.logdet[2]) && isnan(usual.y[2])); /* and no other row is touched */
    ck_assert_double_eq_tol(usual.logdet[3], 3 * 0.636 * asin(1), 1e-6);
    ck_assert_double_eq_tol(usual.logdet[5], -3 * 0.636 * asin(1), 1e-6);
    ck_assert(usual.logdet[4] == 0 && usual.y[4] == 1);
}
END_TEST

/* A flow whose nets give s = 0 and t = `shift` whatever the input. */
static dn_flow *shifting_flow(float shift)
{
    dn_flow *flow = make_flow(4, 1, 3);
    size_t net = flow_parameters(4, 1, 3) / 2;

    memset(flow->owned, 0, 2 * net * sizeof(float));
    for (size_t which = 1; which <= 2; which++)
        for (size_t i = 1; i <= 2; i++) /* the last layer's bias of t */
            flow->owned[which * net - i] = shift;
    return flow;
}

START_TEST(output_is_limited)
{
    dn_flow *flow = shifting_flow(2e6f);
    const float x[4] = {1, 2, -5e6f, 4}, ones[4] = {1, 1, 1, 1}, share[1] = {0};
    float z[4], x_gradient[4], logdet[1];

    gradient(flow, x, 1, ones, share, z, logdet, x_gradient, NULL);
    for (int i = 0; i < 4; i++) {
        ck_assert_float_eq(z[i], flow->permutation[i] == 2 ? -1e6f : 1e6f);
        ck_assert_float_eq(x_gradient[i], 0);
    }
    flow_unref(flow);
    flow = shifting_flow(0.5f);
    gradient(flow, ones, 1, ones, share, z, logdet, x_gradient, NULL);
    for (int i = 0; i < 4; i++) {
        ck_assert_float_eq(z[i], 1.5f);
        ck_assert_float_eq(x_gradient[i], 1);
    }
    flow_unref(flow);
}
END_TEST

START_TEST(nan_reaches_the_result)
{
    dn_flow *flow = make_flow(8, 2, 5);
    float x[8] = {0}, z[8], logdet;

    flow->owned[0] = NAN;
    x[0] = NAN;
    forward(flow, x, 1, z, &logdet, NULL);
    ck_assert(!floats_finite(z, 8));
    ck_assert(isnan(logdet));
    flow_unref(flow);
}
END_TEST

START_TEST(finds_what_is_not_finite)
{
    float values[37] = {0};

    values[3] = 3.4e38f;
    values[4] = -1e-45f;
    ck_assert(floats_finite(values, 37));
    for (int i = 0; i < 37; i++) {
        static const float bad[] = {NAN, INFINITY, -INFINITY};
        float kept = values[i];
        for (int k = 0; k < 3; k++) {
            values[i] = bad[k];
            ck_assert(!floats_finite(values, 37));
        }
        values[i] = kept;
    }
    ck_assert(floats_finite(values, 0));
}
END_TEST

/* ---- inverse ---- */

START_TEST(inverse_undoes_forward)
{
    enum { ROWS = 4 };
    dn_flow *flow = make_flow(768, 8, 64);
    size_t n = ROWS * 768;
    float *x = normal_rows(ROWS, 768, 4), *z = aligned(n);

    enlarge(flow, 1.5f);
    forward(flow, x, ROWS, z, NULL, NULL);
    ck_assert(max_abs_difference(x, z, n) > 0.5); /* it does something */
    inverse(flow, z, ROWS, z, NULL);
    ck_assert_double_lt(max_abs_difference(x, z, n), 1e-4);
    drop(x);
    drop(z);
    flow_unref(flow);
}
END_TEST

/* ---- the same bits ---- */

/* z, logdet, x_gradient and inverse of n rows, computed with `threads` threads in calls of `chunk` rows. */
struct run {
    float *z, *logdet, *x_gradient, *x;
};

static struct run run_flow(const dn_flow *flow, const float *x, int32_t n, int32_t chunk, int32_t threads)
{
    size_t width = (size_t)flow->dimension, count = (size_t)n * width;
    struct run run = {aligned(count), aligned((size_t)n), aligned(count), aligned(count)};
    float *ones = aligned(count);
    pool *workers = NULL;

    for (size_t i = 0; i < count; i++)
        ones[i] = 1;
    if (threads > 1)
        ck_ok(pool_create(&allocator, threads, &workers, NULL));
    for (int32_t first = 0; first < n; first += chunk) {
        int32_t rows = n - first < chunk ? n - first : chunk;
        size_t start = (size_t)first * width;
        forward(flow, x + start, rows, run.z + start, run.logdet + first, workers);
        gradient(flow, x + start, rows, ones, ones, NULL, NULL, run.x_gradient + start, workers);
        inverse(flow, x + start, rows, run.x + start, workers);
    }
    pool_free(workers);
    drop(ones);
    return run;
}

static void free_run(struct run *run)
{
    drop(run->z);
    drop(run->logdet);
    drop(run->x_gradient);
    drop(run->x);
}

START_TEST(rows_do_not_depend_on_company_or_threads)
{
    enum { N = 67 };
    static const struct {
        int32_t chunk, threads;
    } ways[] = {{1, 1}, {5, 1}, {33, 2}, {N, 3}};
    dn_flow *flow = make_flow(140, 2, 150);
    float *x = normal_rows(N, 140, 9);
    struct run whole = run_flow(flow, x, N, N, 1);

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int32_t n = ways[i].chunk == 1 ? 3 : N; /* a row costs as much as a block of them */
        size_t bytes = (size_t)n * 140 * sizeof(float);
        struct run run = run_flow(flow, x, n, ways[i].chunk, ways[i].threads);
        ck_assert_mem_eq(run.z, whole.z, bytes);
        ck_assert_mem_eq(run.logdet, whole.logdet, (size_t)n * sizeof(float));
        ck_assert_mem_eq(run.x_gradient, whole.x_gradient, bytes);
        ck_assert_mem_eq(run.x, whole.x, bytes);
        free_run(&run);
    }
    free_run(&whole);
    drop(x);
    flow_unref(flow);
}
END_TEST

/* Nor on the size of the flow's blocks, whether they are filled up or not. */
START_TEST(rows_do_not_depend_on_blocks)
{
    enum { N = 67 };
    static const int32_t blocks[] = {1, 7, 16, 50, N, 256};
    dn_flow *flow = make_flow(140, 2, 150);
    float *x = normal_rows(N, 140, 5), *z = aligned(N * 140), *logdet = aligned(N);
    float *other = aligned(N * 140), *other_logdet = aligned(N);

    enlarge(flow, 2);
    forward(flow, x, N, z, logdet, NULL);
    for (int i = 0; i < 6; i++) {
        float *scratch = aligned(flow_rows_scratch(flow, blocks[i]));
        flow_forward_rows(flow, x, N, blocks[i], other, other_logdet, scratch, NULL);
        ck_assert_mem_eq(other, z, N * 140 * sizeof *z);
        ck_assert_mem_eq(other_logdet, logdet, N * sizeof *logdet);
        drop(scratch);
    }
    drop(x);
    drop(z);
    drop(logdet);
    drop(other);
    drop(other_logdet);
    flow_unref(flow);
}
END_TEST

START_TEST(works_in_place)
{
    dn_flow *flow = make_flow(6, 3, 4);
    float *x = normal_rows(2, 6, 3), z[12];

    forward(flow, x, 2, z, NULL, NULL);
    forward(flow, x, 2, x, NULL, NULL);
    ck_assert_mem_eq(x, z, sizeof z);
    drop(x);
    flow_unref(flow);
}
END_TEST

/* ---- creation ---- */

START_TEST(initial_weights_fill_their_range)
{
    dn_flow *flow = make_flow(20, 2, 30);
    const float *weight = flow->weights;
    static const int32_t in[] = {10, 30, 30, 30}, out[] = {30, 30, 30, 20};

    for (int net = 0; net < 4; net++)
        for (int layer = 0; layer < 4; layer++) {
            size_t n = (size_t)(in[layer] + 1) * (size_t)out[layer];
            double bound = 1 / sqrt(in[layer]), largest = max_abs(weight, n), sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += (double)weight[i];
            ck_assert_double_le(largest, bound);
            ck_assert_double_gt(largest, 0.97 * bound);
            ck_assert_double_lt(fabs(sum / (double)n), 5 * bound / sqrt(3 * (double)n));
            weight += n;
        }
    ck_assert_uint_eq((size_t)(weight - flow->weights), flow_parameters(20, 2, 30));
    flow_unref(flow);
}
END_TEST

START_TEST(seed_decides)
{
    dn_flow_options options = {.struct_size = sizeof options, .dimension = 64, .blocks = 2, .hidden = 3, .clamp = 3};
    dn_flow *flow, *same, *other;
    size_t bytes = flow_parameters(64, 2, 3) * sizeof(float), permutation = 64 * sizeof(uint32_t);

    ck_ok(flow_create(&options, &flow, NULL));
    ck_ok(flow_create(&options, &same, NULL));
    options.seed = 1;
    ck_ok(flow_create(&options, &other, NULL));
    ck_assert_mem_eq(flow->weights, same->weights, bytes);
    ck_assert_mem_eq(flow->permutation, same->permutation, 2 * permutation);
    ck_assert_mem_ne(flow->weights, other->weights, bytes);
    ck_assert_mem_ne(flow->permutation, other->permutation, permutation);
    ck_assert_mem_ne(flow->permutation, flow->permutation + 64, permutation);
    flow_unref(flow);
    flow_unref(same);
    flow_unref(other);
}
END_TEST

START_TEST(counts_parameters)
{
    ck_assert_uint_eq(flow_parameters(768, 8, 2048), 16 * 10754816);
    ck_assert_uint_eq(flow_parameters(2, 1, 1), 2 * (2 + 2 + 2 + 4));
}
END_TEST

START_TEST(survives_failing_allocations)
{
    for (long fail_at = 1;; fail_at++) {
        failing_memory memory = {.fail_at = fail_at};
        dn_allocator failing = failing_allocator(&memory);
        dn_flow_options options = {.dimension = 6, .blocks = 1, .hidden = 3, .clamp = 3, .allocator = &failing};
        dn_error error = {0};
        dn_flow *flow;
        dn_status status = flow_create(&options, &flow, &error);
        flow_unref(flow);
        ck_assert_int_eq(memory.live, 0);
        if (status == DN_OK) {
            ck_assert_int_gt(fail_at, 3);
            break;
        }
        ck_status(status, DN_E_MEMORY);
        ck_assert_ptr_null(flow);
    }
}
END_TEST

/* ---- files ---- */

/* The flow's tensors as a file in memory, 64-byte aligned and `shift` bytes off; drop() what *memory gets. */
static st_file *file_of(const dn_flow *flow, enum st_type stored, size_t shift, uint8_t **memory)
{
    st_writer *writer = st_writer_create(&allocator);
    st_file *file;
    dn_blob *blob;

    ck_assert_ptr_nonnull(writer);
    flow_to_tensors(flow, "part.", stored, writer);
    ck_ok(st_writer_save_memory(writer, &blob, NULL));
    st_writer_free(writer);
    *memory = mem_alloc(&allocator, blob->size + shift, 1);
    ck_assert_ptr_nonnull(*memory);
    memcpy(*memory + shift, blob->data, blob->size);
    ck_ok(st_parse(*memory + shift, blob->size, "file", &allocator, &file, NULL));
    blob_free(blob);
    return file;
}

static int releases;

static void count_release(void *keep_alive)
{
    ck_assert_ptr_eq(keep_alive, &releases);
    releases++;
}

START_TEST(weights_are_used_in_place)
{
    dn_flow *flow = make_flow(10, 2, 7), *read;
    size_t parameters = flow_parameters(10, 2, 7);
    _Bool in_place = 0;
    uint8_t *memory;
    st_file *file = file_of(flow, ST_F32, 0, &memory);

    ck_ok(flow_from_tensors(file, "part.", &allocator, &in_place, 1, &read, NULL));
    ck_assert(in_place);
    ck_assert_ptr_null(read->owned);
    ck_assert_ptr_eq(read->weights, st_find(file, "part.blocks.0.net2.0.weight")->data);
    ck_assert_mem_eq(read->weights, flow->weights, parameters * sizeof(float));
    ck_assert_mem_eq(read->permutation, flow->permutation, 20 * sizeof(uint32_t));
    ck_assert(read->clamp == flow->clamp && read->seed == 3);
    read->release = count_release;
    read->keep_alive = &releases;
    ck_assert_ptr_eq(flow_ref(read), read);
    flow_unref(read);
    ck_assert_int_eq(releases, 0);
    flow_unref(read);
    ck_assert_int_eq(releases, 1);
    /* NaN is found there too. */
    ((float *)(void *)memory)[(st_find(file, "part.blocks.1.net1.3.bias")->data - memory) / 4 + 9] = NAN;
    dn_error error = {0};
    ck_status(flow_from_tensors(file, "part.", &allocator, &in_place, 1, &read, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "part.blocks.1.net1.3.bias"));
    ck_assert_ptr_null(read);
    (void)st_data_crc32(file); /* finds out which tensors are finite, and changes nothing here */
    ck_status(flow_from_tensors(file, "part.", &allocator, &in_place, 1, &read, &error), DN_E_NUMERIC);
    /* Weights that are not read cannot be found wrong; those that are copied are. */
    ck_ok(flow_from_tensors(file, "part.", &allocator, &in_place, 0, &read, NULL));
    ck_assert(in_place);
    flow_unref(read);
    ck_status(flow_from_tensors(file, "part.", &allocator, NULL, 0, &read, NULL), DN_E_NUMERIC);
    st_free(file);
    drop(memory);
    flow_unref(flow);
}
END_TEST

START_TEST(weights_are_copied_where_they_must)
{
    static const struct {
        enum st_type stored;
        size_t shift;
        _Bool ask;
    } ways[] = {{ST_F32, 1, 1}, {ST_F16, 0, 1}, {ST_F32, 0, 0}};
    dn_flow *flow = make_flow(10, 2, 7), *read;
    size_t parameters = flow_parameters(10, 2, 7);

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        _Bool in_place = 1;
        uint8_t *memory;
        st_file *file = file_of(flow, ways[i].stored, ways[i].shift, &memory);
        ck_ok(flow_from_tensors(file, "part.", &allocator, ways[i].ask ? &in_place : NULL, 1, &read, NULL));
        ck_assert(!ways[i].ask || !in_place);
        ck_assert_ptr_nonnull(read->owned);
        ck_assert_double_le(max_abs_difference(read->weights, flow->weights, parameters),
                            ways[i].stored == ST_F16 ? 3e-4 : 0);
        flow_unref(read);
        st_free(file);
        drop(memory);
    }
    flow_unref(flow);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("flow");
    TCase *tests = tcase_create("flow");

    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, agrees_with_pytorch);
    tcase_add_loop_test(tests, agrees_with_naive_version, 0, SHAPES);
    tcase_add_loop_test(tests, gradient_agrees_with_differences, 0, SHAPES);
    tcase_add_loop_test(tests, coupling_is_accurate, 0, 3);
    tcase_add_test(tests, coupling_overflows_to_infinity);
    tcase_add_test(tests, output_is_limited);
    tcase_add_test(tests, nan_reaches_the_result);
    tcase_add_test(tests, finds_what_is_not_finite);
    tcase_add_test(tests, inverse_undoes_forward);
    tcase_add_test(tests, rows_do_not_depend_on_company_or_threads);
    tcase_add_test(tests, rows_do_not_depend_on_blocks);
    tcase_add_test(tests, works_in_place);
    tcase_add_test(tests, initial_weights_fill_their_range);
    tcase_add_test(tests, seed_decides);
    tcase_add_test(tests, counts_parameters);
    tcase_add_test(tests, survives_failing_allocations);
    tcase_add_test(tests, weights_are_used_in_place);
    tcase_add_test(tests, weights_are_copied_where_they_must);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
