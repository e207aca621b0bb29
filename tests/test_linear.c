/* Linear layers against naive loops in double, and the same bits for any number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "flow/linear.h"
#include "support.h"

struct sample {
    int32_t in, out, rows;
};

/* Below, at and above the size of a tile, in both directions. */
static const struct sample samples[] = {{1, 1, 1},     {5, 3, 2},     {64, 64, 96},  {65, 127, 33}, {128, 128, 32},
                                        {130, 257, 7}, {64, 300, 48}, {2060, 20, 5}, {330, 300, 40}};
#define SAMPLES ((int)(sizeof samples / sizeof samples[0]))

#define SMALL 1e-4

struct data {
    linear layer;
    int32_t rows;
    float *parameters; /* weight, then bias */
    float *x;          /* (in, rows) */
    float *dy;         /* (out, rows) */
    float *y;          /* (out, rows) */
    float *dx;         /* (in, rows) */
    float *gradient;   /* of the parameters */
    float *transposed; /* (rows, in) */
    float *at_place;   /* the parameters, where the sink is told that they have their place; as much again */
    int *calls;        /* how often the sink got each parameter */
};

static float *drawn(rng *generator, size_t n)
{
    float *values = malloc(n * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(2 * rng_uniform(generator) - 1);
    return values;
}

static struct data make_data(const struct sample *s)
{
    rng generator;
    struct data d = {.rows = s->rows};
    size_t weights = (size_t)s->in * (size_t)s->out, all = weights + (size_t)s->out;

    rng_seed(&generator, 5, 0);
    d.parameters = drawn(&generator, all);
    d.x = drawn(&generator, (size_t)s->rows * (size_t)s->in);
    d.dy = drawn(&generator, (size_t)s->rows * (size_t)s->out);
    d.y = drawn(&generator, (size_t)s->rows * (size_t)s->out);
    d.dx = drawn(&generator, (size_t)s->rows * (size_t)s->in);
    d.gradient = drawn(&generator, all);
    d.transposed = drawn(&generator, (size_t)s->rows * (size_t)s->in);
    d.at_place = drawn(&generator, 2 * all);
    d.calls = calloc(all, sizeof *d.calls);
    ck_assert_ptr_nonnull(d.calls);
    d.layer = (linear){s->in, s->out, d.parameters, d.parameters + weights};
    return d;
}

static void free_data(struct data *d)
{
    free(d->parameters);
    free(d->x);
    free(d->dy);
    free(d->y);
    free(d->dx);
    free(d->gradient);
    free(d->transposed);
    free(d->at_place);
    free(d->calls);
}

START_TEST(forward_is_a_matrix_product)
{
    struct data d = make_data(&samples[_i]);
    int32_t in = d.layer.in, out = d.layer.out;

    for (int relu = 0; relu <= 1; relu++) {
        linear_forward(&d.layer, d.x, d.rows, relu != 0, d.y, NULL);
        for (int32_t r = 0; r < d.rows; r++)
            for (int32_t o = 0; o < out; o++) {
                double sum = (double)d.layer.bias[o];
                for (int32_t i = 0; i < in; i++)
                    sum += (double)d.x[i * d.rows + r] * (double)d.layer.weight[o * in + i];
                sum = relu && sum < 0 ? 0 : sum;
                ck_assert_double_eq_tol((double)d.y[o * d.rows + r], sum, SMALL);
            }
    }
    free_data(&d);
}
END_TEST

START_TEST(relu_keeps_nan)
{
    struct data d = make_data(&samples[1]);

    d.parameters[0] = NAN;
    linear_forward(&d.layer, d.x, d.rows, 1, d.y, NULL);
    ck_assert(isnan(d.y[0]));
    free_data(&d);
}
END_TEST

/* dx[i][r] = sum_o W[o][i] dy[o][r] */
static double input_gradient(const struct data *d, int32_t r, int32_t i)
{
    double sum = 0;

    for (int32_t o = 0; o < d->layer.out; o++)
        sum += (double)d->dy[o * d->rows + r] * (double)d->layer.weight[o * d->layer.in + i];
    return sum;
}

START_TEST(input_gradient_is_the_transposed_product)
{
    struct data d = make_data(&samples[_i]);
    int32_t in = d.layer.in;
    size_t n = (size_t)d.rows * (size_t)in;
    float *gate = malloc(n * sizeof *gate);

    ck_assert_ptr_nonnull(gate);
    for (size_t i = 0; i < n; i++)
        gate[i] = i % 3 == 0 ? 0.0f : 0.5f;
    linear_backward(&d.layer, gate, d.dy, d.rows, 0, d.dx, NULL, NULL);
    for (int32_t i = 0; i < in; i++)
        for (int32_t r = 0; r < d.rows; r++) {
            double expected = (i * d.rows + r) % 3 == 0 ? 0 : input_gradient(&d, r, i);
            ck_assert_double_eq_tol((double)d.dx[i * d.rows + r], expected, SMALL);
        }
    free(gate);
    free_data(&d);
}
END_TEST

START_TEST(input_gradient_adds)
{
    struct data d = make_data(&samples[_i]);

    for (int32_t i = 0; i < d.layer.in * d.rows; i++)
        d.dx[i] = 0.25f * (float)(i % 7);
    linear_backward(&d.layer, d.x, d.dy, d.rows, 1, d.dx, NULL, NULL);
    for (int32_t i = 0; i < d.layer.in; i++)
        for (int32_t r = 0; r < d.rows; r++) {
            double expected = 0.25 * (double)((i * d.rows + r) % 7) + input_gradient(&d, r, i);
            ck_assert_double_eq_tol((double)d.dx[i * d.rows + r], expected, SMALL);
        }
    free_data(&d);
}
END_TEST

/* Breaks what it is given: nobody may use it any more. */
static void collect(void *context, const linear_tile *tile)
{
    struct data *d = context;
    size_t offset = (size_t)(tile->first - d->parameters);

    for (size_t row = 0; row < tile->rows; row++, offset += tile->stride)
        for (size_t i = 0; i < tile->columns; i++) {
            d->at_place[tile->place + row * tile->columns + i] = d->parameters[offset + i];
            d->parameters[offset + i] = NAN;
            d->gradient[offset + i] = tile->gradient[row * tile->columns + i];
            d->calls[offset + i]++; /* no parameter is given twice, so no two threads meet here */
        }
}

static void backward(struct data *d, pool *workers)
{
    int64_t all = ((int64_t)d->layer.in + 1) * d->layer.out;
    linear_sink sink = {.take = collect,
                        .context = d,
                        .parameters = d->parameters,
                        .arrays = d->at_place,
                        .arrays_apart = all,
                        .transposed = d->transposed};

    linear_backward(&d->layer, d->x, d->dy, d->rows, 0, d->dx, &sink, workers);
}

/* Place of weight[o, i]: blocks of 64 columns. */
static size_t place_of(const linear *layer, int32_t o, int32_t i)
{
    int32_t first = i - i % 64, wide = layer->in - first < 64 ? layer->in - first : 64;

    return (size_t)(first * layer->out + o * wide + i % 64);
}

START_TEST(each_parameter_reaches_the_sink_once)
{
    struct data d = make_data(&samples[_i]), untouched = make_data(&samples[_i]);
    int32_t in = d.layer.in, out = d.layer.out;
    size_t all = (size_t)in * (size_t)out + (size_t)out;

    backward(&d, NULL);
    for (int32_t o = 0; o < out; o++) {
        double bias = 0;
        for (int32_t r = 0; r < d.rows; r++)
            bias += (double)d.dy[o * d.rows + r];
        ck_assert_double_eq_tol((double)d.gradient[in * out + o], bias, SMALL);
        ck_assert(d.at_place[in * out + o] == untouched.parameters[in * out + o]);
        for (int32_t i = 0; i < in; i++) {
            double sum = 0;
            for (int32_t r = 0; r < d.rows; r++)
                sum += (double)d.dy[o * d.rows + r] * (double)d.x[i * d.rows + r];
            ck_assert_double_eq_tol((double)d.gradient[o * in + i], sum, SMALL);
            ck_assert(d.at_place[place_of(&d.layer, o, i)] == untouched.parameters[o * in + i]);
        }
    }
    for (size_t i = 0; i < all; i++)
        ck_assert_int_eq(d.calls[i], 1);
    linear_by_place(&untouched.layer, untouched.parameters, d.gradient);
    ck_assert_mem_eq(d.gradient, d.at_place, all * sizeof *d.gradient);
    linear_backward(&untouched.layer, d.x, d.dy, d.rows, 0, untouched.dx, NULL, NULL);
    ck_assert_mem_eq(d.dx, untouched.dx, (size_t)(in * d.rows) * sizeof *d.dx);
    free_data(&d);
    free_data(&untouched);
}
END_TEST

/* Forward and backward with a pool, into d's arrays. */
static void run_all(struct data *d, int32_t threads)
{
    pool *workers = NULL;
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error = {0};

    if (threads > 1)
        ck_ok(pool_create(&allocator, threads, &workers, &error));
    linear_forward(&d->layer, d->x, d->rows, 1, d->y, workers);
    backward(d, workers);
    pool_free(workers);
}

START_TEST(threads_do_not_change_bits)
{
    const struct sample sample = {2100, 150, 40};
    struct data alone = make_data(&sample);

    run_all(&alone, 1);
    for (int32_t threads = 2; threads <= 3; threads++) {
        struct data d = make_data(&sample);
        run_all(&d, threads);
        ck_assert_mem_eq(d.y, alone.y, (size_t)(40 * 150) * sizeof(float));
        ck_assert_mem_eq(d.dx, alone.dx, (size_t)(40 * 2100) * sizeof(float));
        ck_assert_mem_eq(d.gradient, alone.gradient, (size_t)(2101 * 150) * sizeof(float));
        free_data(&d);
    }
    free_data(&alone);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("linear");
    TCase *tests = tcase_create("linear");

    tcase_add_loop_test(tests, forward_is_a_matrix_product, 0, SAMPLES);
    tcase_add_test(tests, relu_keeps_nan);
    tcase_add_loop_test(tests, input_gradient_is_the_transposed_product, 0, SAMPLES);
    tcase_add_loop_test(tests, input_gradient_adds, 0, SAMPLES);
    tcase_add_loop_test(tests, each_parameter_reaches_the_sink_once, 0, SAMPLES);
    tcase_add_test(tests, threads_do_not_change_bits);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
