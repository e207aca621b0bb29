/* Pooling and global mean against naive loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/conv.h"
#include "nn/pooling.h"
#include "support.h"

struct sample {
    const char *name;
    pool_spec spec;
    int32_t in_h, in_w;
};

static const struct sample samples[] = {
    {"AlexNet", {.channels = 33, .kernel_h = 3, .kernel_w = 3, .stride = 2}, 13, 27},
    {"AlexNet, barely large enough", {.channels = 64, .kernel_h = 3, .kernel_w = 3, .stride = 2}, 3, 4},
    {"no overlap", {.channels = 130, .kernel_h = 2, .kernel_w = 2, .stride = 2}, 6, 5},
    {"padded",
     {.channels = 5,
      .kernel_h = 3,
      .kernel_w = 3,
      .stride = 2,
      .pad_top = 1,
      .pad_left = 1,
      .pad_bottom = 1,
      .pad_right = 1},
     7,
     8},
    {"padded on one side",
     {.channels = 1, .kernel_h = 3, .kernel_w = 2, .stride = 1, .pad_bottom = 2, .pad_left = 1},
     4,
     6},
    {"gaps", {.channels = 16, .kernel_h = 2, .kernel_w = 1, .stride = 3}, 9, 8},
    {"one position", {.channels = 7, .kernel_h = 1, .kernel_w = 1, .stride = 1}, 1, 1},
};
#define SAMPLES ((int)(sizeof samples / sizeof samples[0]))

struct maps {
    const pool_spec *spec;
    int32_t in_h, in_w, out_h, out_w;
    size_t inputs, outputs;
    float *x, *y, *dy, *dx; /* y and dx start as NaN */
};

static float *filled(size_t n, float value)
{
    float *values = malloc(n * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < n; i++)
        values[i] = value;
    return values;
}

/* Small whole numbers: equal ones in a window are frequent, and sums are exact. */
static float *whole_numbers(rng *generator, size_t n)
{
    float *values = filled(n, 0);

    for (size_t i = 0; i < n; i++)
        values[i] = (float)rng_below(generator, 9) - 6;
    return values;
}

static struct maps make_maps(const struct sample *s, uint64_t seed)
{
    const pool_spec *p = &s->spec;
    struct maps m = {.spec = p, .in_h = s->in_h, .in_w = s->in_w};
    rng generator;

    rng_seed(&generator, seed, 2);
    m.out_h = conv_out(s->in_h, p->pad_top, p->pad_bottom, p->kernel_h, p->stride);
    m.out_w = conv_out(s->in_w, p->pad_left, p->pad_right, p->kernel_w, p->stride);
    m.inputs = (size_t)(m.in_h * m.in_w * p->channels);
    m.outputs = (size_t)(m.out_h * m.out_w * p->channels);
    m.x = whole_numbers(&generator, m.inputs);
    m.dy = whole_numbers(&generator, m.outputs);
    m.y = filled(m.outputs, NAN);
    m.dx = filled(m.inputs, NAN);
    return m;
}

static void free_maps(struct maps *m)
{
    free(m->x);
    free(m->y);
    free(m->dy);
    free(m->dx);
}

/* ---- the oracle ---- */

/* Index of tap (ky, kx) of output (oy, ox, c) in x; -1: padding. */
static long input_at(const struct maps *m, int32_t oy, int32_t ox, int32_t ky, int32_t kx, int32_t c)
{
    int32_t iy = oy * m->spec->stride - m->spec->pad_top + ky, ix = ox * m->spec->stride - m->spec->pad_left + kx;

    if (iy < 0 || iy >= m->in_h || ix < 0 || ix >= m->in_w)
        return -1;
    return ((long)iy * m->in_w + ix) * m->spec->channels + c;
}

/* Index in x of the first maximum of a window (the last NaN if there is one); and the window's sum. */
static long oracle_window(const struct maps *m, int32_t oy, int32_t ox, int32_t c, double *sum)
{
    long best = -1;

    *sum = 0;
    for (int32_t ky = 0; ky < m->spec->kernel_h; ky++)
        for (int32_t kx = 0; kx < m->spec->kernel_w; kx++) {
            long at = input_at(m, oy, ox, ky, kx, c);
            if (at < 0)
                continue;
            *sum += (double)m->x[at];
            if (best < 0 || m->x[at] > m->x[best] || isnan(m->x[at]))
                best = at;
        }
    return best;
}

/* ---- tests ---- */

START_TEST(maximum)
{
    struct maps m = make_maps(&samples[_i], (uint64_t)_i);
    float *expected_dx = filled(m.inputs, 0);
    size_t at = 0;

    maxpool_forward(m.spec, m.in_h, m.in_w, m.x, m.y);
    maxpool_gradient(m.spec, m.in_h, m.in_w, m.x, m.dy, m.dx);
    for (int32_t oy = 0; oy < m.out_h; oy++)
        for (int32_t ox = 0; ox < m.out_w; ox++)
            for (int32_t c = 0; c < m.spec->channels; c++, at++) {
                double sum;
                long best = oracle_window(&m, oy, ox, c, &sum);
                ck_assert_float_eq(m.y[at], m.x[best]);
                expected_dx[best] += m.dy[at];
            }
    for (size_t i = 0; i < m.inputs; i++)
        ck_assert_float_eq(m.dx[i], expected_dx[i]);
    free(expected_dx);
    free_maps(&m);
}
END_TEST

START_TEST(average)
{
    struct maps m = make_maps(&samples[_i], (uint64_t)_i);
    double *expected_dx = calloc(m.inputs, sizeof *expected_dx), area = m.spec->kernel_h * m.spec->kernel_w;
    size_t at = 0;

    avgpool_forward(m.spec, m.in_h, m.in_w, m.x, m.y);
    avgpool_gradient(m.spec, m.in_h, m.in_w, m.dy, m.dx);
    for (int32_t oy = 0; oy < m.out_h; oy++)
        for (int32_t ox = 0; ox < m.out_w; ox++)
            for (int32_t c = 0; c < m.spec->channels; c++, at++) {
                double sum;
                oracle_window(&m, oy, ox, c, &sum);
                ck_assert_float_eq(m.y[at], (float)(sum / area));
                for (int32_t ky = 0; ky < m.spec->kernel_h; ky++)
                    for (int32_t kx = 0; kx < m.spec->kernel_w; kx++) {
                        long input = input_at(&m, oy, ox, ky, kx, c);
                        if (input >= 0)
                            expected_dx[input] += (double)m.dy[at] / area;
                    }
            }
    for (size_t i = 0; i < m.inputs; i++)
        ck_assert_double_eq_tol((double)m.dx[i], expected_dx[i], 1e-5);
    free(expected_dx);
    free_maps(&m);
}
END_TEST

/* Every window with a NaN gives NaN, wherever in the window it lies. */
START_TEST(not_a_number_is_kept)
{
    struct maps m = make_maps(&samples[_i], 5);

    for (size_t place = 0; place < m.inputs; place += 1 + m.inputs / 50) {
        float kept = m.x[place];
        size_t at = 0, wrong = 0;
        m.x[place] = NAN;
        maxpool_forward(m.spec, m.in_h, m.in_w, m.x, m.y);
        maxpool_gradient(m.spec, m.in_h, m.in_w, m.x, m.dy, m.dx);
        for (int32_t oy = 0; oy < m.out_h; oy++)
            for (int32_t ox = 0; ox < m.out_w; ox++)
                for (int32_t c = 0; c < m.spec->channels; c++, at++) {
                    double sum;
                    oracle_window(&m, oy, ox, c, &sum);
                    wrong += !isnan(m.y[at]) != !isnan(sum);
                }
        ck_assert_uint_eq(wrong, 0);
        m.x[place] = kept;
    }
    free_maps(&m);
}
END_TEST

/* A window of -infinity alone has -infinity as its maximum, and its gradient stays inside the window. */
START_TEST(minus_infinity)
{
    struct maps m = make_maps(&samples[_i], 6);
    double given = 0, received = 0;

    for (size_t i = 0; i < m.inputs; i++)
        m.x[i] = -INFINITY;
    maxpool_forward(m.spec, m.in_h, m.in_w, m.x, m.y);
    maxpool_gradient(m.spec, m.in_h, m.in_w, m.x, m.dy, m.dx);
    for (size_t i = 0; i < m.outputs; i++) {
        ck_assert_float_eq(m.y[i], -INFINITY);
        given += (double)m.dy[i];
    }
    for (size_t i = 0; i < m.inputs; i++)
        received += (double)m.dx[i];
    ck_assert_double_eq(given, received);
    free_maps(&m);
}
END_TEST

START_TEST(global_mean)
{
    enum { POSITIONS = 37, CHANNELS = 131 };
    rng generator;
    float mean[CHANNELS], *x;

    rng_seed(&generator, 1, 3);
    x = filled(POSITIONS * CHANNELS, 0);
    for (int i = 0; i < POSITIONS * CHANNELS; i++)
        x[i] = (float)rng_normal(&generator) + 1000;
    global_mean_forward(x, POSITIONS, CHANNELS, mean);
    for (int c = 0; c < CHANNELS; c++) {
        double sum = 0;
        for (int p = 0; p < POSITIONS; p++)
            sum += (double)x[p * CHANNELS + c];
        ck_assert_float_eq(mean[c], (float)(sum / POSITIONS));
    }
    for (int i = 0; i < POSITIONS * CHANNELS; i++)
        x[i] = (float)i;
    global_mean_gradient(mean, POSITIONS, CHANNELS, x);
    for (int i = 0; i < POSITIONS * CHANNELS; i++)
        ck_assert_float_eq(x[i], (float)i + mean[i % CHANNELS] / POSITIONS);
    free(x);
}
END_TEST

/* A float sum of so many values would be off by far more. */
START_TEST(global_mean_is_summed_in_double)
{
    int32_t positions = 200000;
    float *x = filled((size_t)positions, 0.1f), mean;

    global_mean_forward(x, positions, 1, &mean);
    ck_assert_float_eq(mean, 0.1f);
    x[17] = NAN;
    global_mean_forward(x, positions, 1, &mean);
    ck_assert(isnan(mean));
    free(x);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pooling");
    TCase *pooling = tcase_create("pooling");

    tcase_set_timeout(pooling, 120);
    tcase_add_loop_test(pooling, maximum, 0, SAMPLES);
    tcase_add_loop_test(pooling, average, 0, SAMPLES);
    tcase_add_loop_test(pooling, not_a_number_is_kept, 0, SAMPLES);
    tcase_add_loop_test(pooling, minus_infinity, 0, SAMPLES);
    tcase_add_test(pooling, global_mean);
    tcase_add_test(pooling, global_mean_is_summed_in_double);
    suite_add_tcase(suite, pooling);
    return suite;
}

TEST_MAIN(make_suite)
