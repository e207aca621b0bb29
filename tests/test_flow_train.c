/* Training steps of the flow against PyTorch (golden files), differences, and Adam's formulas in double. */
#include "flow/flow_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/rng.h"
#include "golden.h"
#include "naive_flow.h"
#include "support.h"

static const adam_options paper = {
    .learning_rate = 2e-4, .beta1 = 0.8, .beta2 = 0.8, .epsilon = 1e-4, .weight_decay = 1e-5};

static dn_flow *make_flow(int32_t dimension, int32_t blocks, int32_t hidden, const dn_allocator *allocator)
{
    dn_flow_options options = {.struct_size = sizeof options,
                               .dimension = dimension,
                               .blocks = blocks,
                               .hidden = hidden,
                               .clamp = 3,
                               .seed = 2,
                               .allocator = allocator};
    dn_flow *flow;

    ck_ok(flow_create(&options, &flow, NULL));
    for (size_t i = 0; i < flow_parameters(dimension, blocks, hidden); i++)
        flow->owned[i] *= 2;
    return flow;
}

static size_t parameters_of(const dn_flow *flow)
{
    return flow_parameters(flow->dimension, flow->blocks, flow->hidden);
}

static flow_optimiser *make_optimiser(dn_flow *flow, const adam_options *options, int32_t rows)
{
    flow_optimiser *optimiser;

    ck_ok(flow_optimiser_create(flow, options, rows, &optimiser, NULL));
    return optimiser;
}

static float *normal_rows(int32_t n, int32_t dimension)
{
    size_t count = (size_t)n * (size_t)dimension;
    float *rows = malloc(count * sizeof *rows);
    rng generator;

    ck_assert_ptr_nonnull(rows);
    rng_seed(&generator, 8, 0);
    for (size_t i = 0; i < count; i++)
        rows[i] = (float)rng_normal(&generator);
    return rows;
}

static float *copy_of(const float *values, size_t n)
{
    float *copy = malloc(n * sizeof *copy);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

/* ---- PyTorch ---- */

static dn_flow *golden_flow(void)
{
    size_t size;
    uint8_t *bytes = read_file(golden_path("flow.safetensors"), &size);
    dn_allocator allocator = mem_allocator(NULL);
    dn_flow *flow;

    ck_ok(flow_read(bytes, size, "flow.safetensors", &allocator, &flow, NULL));
    free(bytes);
    return flow;
}

START_TEST(gradient_agrees_with_pytorch)
{
    dn_flow *flow = golden_flow();
    st_file *results = golden_open("flow_results.safetensors");
    size_t n, parameters;
    float *x = golden_floats(results, "x", &n), *expected = golden_floats(results, "parameter_gradient", &parameters);
    double *loss = golden_doubles(results, "loss", NULL);
    float *gradients = malloc(parameters * sizeof *gradients);
    flow_optimiser *optimiser = make_optimiser(flow, &paper, 9);

    ck_assert_ptr_nonnull(gradients);
    ck_assert_uint_eq(parameters, parameters_of(flow));
    ck_assert_double_eq_tol(flow_train_step(optimiser, x, (int32_t)n / 12, gradients, NULL), loss[0], 1e-6);
    for (size_t i = 0; i < parameters; i++)
        ck_assert_msg(fabs((double)gradients[i] - (double)expected[i]) <= 5e-6 * (1 + fabs((double)expected[i])),
                      "gradient[%zu]: %.9g, not %.9g", i, (double)gradients[i], (double)expected[i]);
    ck_assert_int_eq(optimiser->step, 0);
    flow_optimiser_free(optimiser);
    free(gradients);
    free(x);
    free(expected);
    free(loss);
    golden_close(results);
    flow_unref(flow);
}
END_TEST

START_TEST(ten_steps_agree_with_pytorch)
{
    dn_flow *flow = golden_flow();
    st_file *results = golden_open("flow_results.safetensors");
    size_t n, parameters, steps;
    float *x = golden_floats(results, "x", &n), *trained = golden_floats(results, "trained", &parameters);
    double *losses = golden_doubles(results, "losses", &steps);
    float *before = copy_of(flow->weights, parameters);
    flow_optimiser *optimiser = make_optimiser(flow, &paper, (int32_t)n / 12);

    for (size_t i = 0; i < steps; i++)
        ck_assert_double_eq_tol(flow_train_step(optimiser, x, (int32_t)n / 12, NULL, NULL), losses[i], 2e-5);
    ck_assert_int_eq(optimiser->step, (int64_t)steps);
    ck_assert_double_gt(max_abs_difference(flow->weights, before, parameters), 1e-3);
    ck_assert_double_lt(max_abs_difference(flow->weights, trained, parameters), 2e-6);
    flow_optimiser_free(optimiser);
    free(before);
    free(x);
    free(trained);
    free(losses);
    golden_close(results);
    flow_unref(flow);
}
END_TEST

/* ---- differences ---- */

/* loss of `rows` rows. */
static double naive_loss(const dn_flow *flow, const double *weights, const float *x, int32_t rows)
{
    int32_t dimension = flow->dimension;
    double *wide = naive_room(dimension), *z = naive_room(dimension), loss = 0;

    for (int32_t r = 0; r < rows; r++) {
        for (int32_t i = 0; i < dimension; i++)
            wide[i] = (double)x[r * dimension + i];
        loss -= naive_forward(flow, weights, wide, z);
        for (int32_t i = 0; i < dimension; i++)
            loss += 0.5 * z[i] * z[i];
    }
    free(wide);
    free(z);
    return loss / rows / dimension;
}

START_TEST(gradient_agrees_with_differences)
{
    static const int32_t shapes[][3] = {{2, 1, 1}, {8, 3, 6}, {270, 1, 140}};
    enum { ROWS = 3, CHECKED = 60 };
    const double step = 1e-6;
    dn_flow *flow = make_flow(shapes[_i][0], shapes[_i][1], shapes[_i][2], NULL);
    flow_optimiser *optimiser = make_optimiser(flow, &paper, ROWS);
    size_t parameters = parameters_of(flow);
    float *x = normal_rows(ROWS, flow->dimension), *gradients = malloc(parameters * sizeof *gradients);
    double *weights = naive_weights(flow);

    ck_assert_ptr_nonnull(gradients);
    double loss = flow_train_step(optimiser, x, ROWS, gradients, NULL);
    ck_assert_double_eq_tol(loss, naive_loss(flow, weights, x, ROWS), 1e-5);
    for (size_t i = 0; i < parameters; i += 1 + parameters / CHECKED) {
        double kept = weights[i];
        weights[i] = kept + step;
        double above = naive_loss(flow, weights, x, ROWS);
        weights[i] = kept - step;
        double expected = (above - naive_loss(flow, weights, x, ROWS)) / (2 * step);
        weights[i] = kept;
        ck_assert_double_eq_tol((double)gradients[i], expected, 2e-6 + 1e-5 * fabs(expected));
    }
    flow_optimiser_free(optimiser);
    free(x);
    free(gradients);
    free(weights);
    flow_unref(flow);
}
END_TEST

/* ---- Adam ---- */

/* expected: in the order of the parameters. */
static void check_moments(const dn_flow *flow, const double *expected, const float *moments)
{
    size_t n = parameters_of(flow);
    float *floats = malloc(n * sizeof *floats), *by_place = malloc(n * sizeof *by_place);

    ck_assert(floats && by_place);
    for (size_t i = 0; i < n; i++)
        floats[i] = (float)expected[i];
    flow_moments_by_place(flow, floats, by_place);
    for (size_t i = 0; i < n; i++)
        ck_assert_double_eq_tol((double)moments[i], (double)by_place[i], 1e-6 * (1 + fabs((double)by_place[i])));
    free(floats);
    free(by_place);
}

START_TEST(update_follows_adams_formulas)
{
    const adam_options o = {.learning_rate = 0.05, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-3, .weight_decay = 0.2};
    dn_flow *flow = make_flow(8, 2, 150, NULL); /* so wide that moments are ordered otherwise than weights */
    flow_optimiser *optimiser = make_optimiser(flow, &o, 4);
    size_t n = parameters_of(flow);
    float *x = normal_rows(4, 8), *gradients = malloc(n * sizeof *gradients);
    double *m = calloc(n, sizeof *m), *v = calloc(n, sizeof *v);

    ck_assert(gradients && m && v);
    for (int t = 1; t <= 3; t++) {
        double *w = naive_weights(flow);
        flow_train_step(optimiser, x, 4, gradients, NULL);
        flow_train_step(optimiser, x, 4, NULL, NULL);
        ck_assert_int_eq(optimiser->step, t);
        for (size_t i = 0; i < n; i++) {
            double g = (double)gradients[i] + o.weight_decay * w[i];
            m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
            v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
            double root = sqrt(v[i]) / sqrt(1 - pow(o.beta2, t));
            double expected = w[i] - o.learning_rate / (1 - pow(o.beta1, t)) * m[i] / (root + o.epsilon);
            ck_assert_double_eq_tol((double)flow->weights[i], expected, 1e-6);
        }
        check_moments(flow, m, optimiser->m);
        check_moments(flow, v, optimiser->v);
        free(w);
    }
    flow_optimiser_free(optimiser);
    free(x);
    free(gradients);
    free(m);
    free(v);
    flow_unref(flow);
}
END_TEST

START_TEST(training_lowers_the_loss)
{
    enum { ROWS = 16 };
    const adam_options fast = {.learning_rate = 3e-3, .beta1 = 0.8, .beta2 = 0.8, .epsilon = 1e-4};
    dn_flow *flow = make_flow(6, 2, 16, NULL);
    flow_optimiser *optimiser = make_optimiser(flow, &fast, ROWS);
    float *x = normal_rows(ROWS, 6);

    for (int i = 0; i < ROWS * 6; i++)
        x[i] = 5 + 3 * x[i]; /* far from N(0, 1) */
    double first = flow_train_step(optimiser, x, ROWS, NULL, NULL), last = first;
    for (int step = 0; step < 150; step++)
        last = flow_train_step(optimiser, x, ROWS, NULL, NULL);
    ck_assert_msg(last < 0.2 * first, "loss %g, then %g", first, last);
    flow_optimiser_free(optimiser);
    free(x);
    flow_unref(flow);
}
END_TEST

/* An epsilon that is 0 as float must not become 0 / 0 where a gradient is 0 (here the first layer's weights'). */
START_TEST(tiny_epsilon_is_no_division_by_zero)
{
    const adam_options tiny = {.learning_rate = 1e-3, .beta1 = 0.8, .beta2 = 0.8, .epsilon = 1e-60};
    dn_flow *flow = make_flow(6, 1, 8, NULL);
    flow_optimiser *optimiser = make_optimiser(flow, &tiny, 2);
    const float zeros[12] = {0};

    flow_train_step(optimiser, zeros, 2, NULL, NULL);
    ck_assert(floats_finite(flow->weights, parameters_of(flow)));
    flow_optimiser_free(optimiser);
    flow_unref(flow);
}
END_TEST

/* ---- determinism, failure ---- */

START_TEST(threads_do_not_change_bits)
{
    enum { ROWS = 5 };
    float *x = normal_rows(ROWS, 270), *expected = NULL;
    dn_allocator allocator = mem_allocator(NULL);

    for (int32_t threads = 1; threads <= 3; threads++) {
        dn_flow *flow = make_flow(270, 2, 150, NULL);
        flow_optimiser *optimiser = make_optimiser(flow, &paper, ROWS);
        size_t n = parameters_of(flow);
        pool *workers;
        ck_ok(pool_create(&allocator, threads, &workers, NULL));
        for (int step = 0; step < 3; step++)
            flow_train_step(optimiser, x, ROWS - step, NULL, workers);
        pool_free(workers);
        if (threads == 1)
            expected = copy_of(flow->weights, n);
        ck_assert_mem_eq(flow->weights, expected, n * sizeof *expected);
        flow_optimiser_free(optimiser);
        flow_unref(flow);
    }
    free(expected);
    free(x);
}
END_TEST

START_TEST(an_infinite_loss_changes_nothing)
{
    dn_flow *flow = make_flow(6, 2, 4, NULL);
    flow_optimiser *optimiser = make_optimiser(flow, &paper, 2);
    size_t n = parameters_of(flow);
    float *x = normal_rows(2, 6), *gradients = copy_of(flow->weights, n);

    flow_train_step(optimiser, x, 2, NULL, NULL);
    float *weights = copy_of(flow->weights, n), *m = copy_of(optimiser->m, n), *v = copy_of(optimiser->v, n);
    x[7] = NAN;
    ck_assert(isnan(flow_train_step(optimiser, x, 2, NULL, NULL)));
    ck_assert(isnan(flow_train_step(optimiser, x, 2, gradients, NULL)));
    x[7] = 0;
    ck_assert(isfinite(flow_train_step(optimiser, x, 2, gradients, NULL))); /* asks for gradients: no update */
    ck_assert_mem_eq(flow->weights, weights, n * sizeof *weights);
    ck_assert_mem_eq(optimiser->m, m, n * sizeof *m);
    ck_assert_mem_eq(optimiser->v, v, n * sizeof *v);
    ck_assert_int_eq(optimiser->step, 1);
    flow_optimiser_free(optimiser);
    free(x);
    free(gradients);
    free(weights);
    free(m);
    free(v);
    flow_unref(flow);
}
END_TEST

START_TEST(survives_failing_allocations)
{
    for (long fail_at = 0;; fail_at++) {
        failing_memory memory = {0};
        dn_allocator failing = failing_allocator(&memory);
        dn_flow *flow = make_flow(6, 1, 3, &failing);
        flow_optimiser *optimiser;
        dn_error error = {0};
        memory.fail_at = memory.calls + 1 + fail_at;
        dn_status status = flow_optimiser_create(flow, &paper, 4, &optimiser, &error);
        flow_optimiser_free(optimiser);
        flow_unref(flow);
        ck_assert_int_eq(memory.live, 0);
        if (status == DN_OK) {
            ck_assert_int_eq(fail_at, 3);
            break;
        }
        ck_status(status, DN_E_MEMORY);
        ck_assert_ptr_null(optimiser);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("flow_train");
    TCase *tests = tcase_create("flow_train");

    tcase_add_test(tests, gradient_agrees_with_pytorch);
    tcase_add_test(tests, ten_steps_agree_with_pytorch);
    tcase_add_loop_test(tests, gradient_agrees_with_differences, 0, 3);
    tcase_add_test(tests, update_follows_adams_formulas);
    tcase_add_test(tests, training_lowers_the_loss);
    tcase_add_test(tests, tiny_epsilon_is_no_division_by_zero);
    tcase_add_test(tests, threads_do_not_change_bits);
    tcase_add_test(tests, an_infinite_loss_changes_nothing);
    tcase_add_test(tests, survives_failing_allocations);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
