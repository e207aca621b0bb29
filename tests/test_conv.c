/* Convolution against a naive loop in double, its gradient as the transpose of the forward pass. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/rng.h"
#include "nn/activation.h"
#include "nn/conv.h"
#include "support.h"

struct sample {
    const char *name;
    int32_t in_c, out_c, kernel_h, kernel_w, stride;
    int32_t top, left, bottom, right;
    int32_t depthwise;
    int32_t in_h, in_w;
};

static const struct sample samples[] = {
    {"AlexNet 1", 3, 16, 11, 11, 4, 2, 2, 2, 2, 0, 71, 64},
    {"AlexNet 1, barely large enough", 3, 16, 11, 11, 4, 2, 2, 2, 2, 0, 7, 7},
    {"AlexNet 2", 8, 12, 5, 5, 1, 2, 2, 2, 2, 0, 27, 19},
    {"AlexNet 3", 12, 20, 3, 3, 1, 1, 1, 1, 1, 0, 13, 13},
    {"AlexNet 4", 20, 9, 3, 3, 1, 1, 1, 1, 1, 0, 6, 6},
    {"AlexNet 5, one position", 9, 9, 3, 3, 1, 1, 1, 1, 1, 0, 1, 1},
    {"several strips", 4, 3, 3, 3, 1, 1, 1, 1, 1, 0, 66, 63},
    {"several strips of the least size", 256, 2, 3, 3, 1, 1, 1, 1, 1, 0, 9, 8},
    {"MobileNet first", 3, 32, 3, 3, 2, 0, 0, 1, 1, 0, 32, 30},
    {"MobileNet 1 x 1", 24, 40, 1, 1, 1, 0, 0, 0, 0, 0, 14, 15},
    {"1 x 1 in strips", 300, 5, 1, 1, 1, 0, 0, 0, 0, 0, 29, 31},
    {"1 x 1 stride 2", 7, 5, 1, 1, 2, 0, 0, 0, 0, 0, 9, 8},
    {"2 x 2 with its windows in the padding", 4, 5, 2, 2, 1, 1, 1, 1, 1, 0, 1, 3},
    {"MobileNet depthwise", 33, 33, 3, 3, 1, 1, 1, 1, 1, 1, 15, 14},
    {"MobileNet depthwise stride 2", 40, 40, 3, 3, 2, 0, 1, 1, 0, 1, 15, 14},
    {"depthwise 5 x 5, small input", 5, 5, 5, 5, 1, 2, 2, 2, 2, 1, 2, 3},
    {"1 x 7", 6, 10, 1, 7, 1, 0, 3, 0, 3, 0, 9, 17},
    {"7 x 1", 6, 10, 7, 1, 1, 3, 0, 3, 0, 0, 17, 9},
    {"stride beyond the kernel", 5, 4, 2, 2, 3, 0, 0, 0, 0, 0, 12, 11},
    {"kernel as large as the input", 5, 4, 6, 5, 1, 0, 0, 0, 0, 0, 6, 5},
    {"one-sided padding", 4, 6, 4, 3, 2, 3, 0, 0, 2, 0, 9, 10},
    /* From here on by Winograd's method. */
    {"3 x 3", 32, 48, 3, 3, 1, 1, 1, 1, 1, 0, 15, 14},
    {"3 x 3, several panels and slices", 272, 112, 3, 3, 1, 1, 1, 1, 1, 0, 9, 8},
    {"3 x 3, as few tiles as there may be", 32, 32, 3, 3, 1, 1, 1, 1, 1, 0, 5, 8},
    {"3 x 3, too few tiles", 32, 32, 3, 3, 1, 1, 1, 1, 1, 0, 4, 12},
    {"3 x 3 without padding", 48, 32, 3, 3, 1, 0, 0, 0, 0, 0, 18, 18},
    {"3 x 3, all sides differ", 32, 32, 3, 3, 1, 2, 0, 1, 2, 0, 13, 19},
    {"5 x 5", 32, 32, 5, 5, 1, 2, 2, 2, 2, 0, 16, 17},
    {"5 x 5, all sides differ", 32, 32, 5, 5, 1, 4, 3, 0, 1, 0, 14, 13},
    {"11 x 11 stride 4", 3, 32, 11, 11, 4, 2, 2, 2, 2, 0, 66, 63},
    {"11 x 10 stride 4, padding beyond a block", 3, 32, 11, 10, 4, 9, 5, 10, 0, 0, 48, 61},
    {"6 x 5 stride 2", 8, 32, 6, 5, 2, 2, 1, 0, 2, 0, 33, 34},
    {"9 x 10 stride 2", 8, 32, 9, 10, 2, 4, 4, 4, 4, 0, 29, 30},
};
#define SAMPLES ((int)(sizeof samples / sizeof samples[0]))
/* A loop over 0 .. 2 SAMPLES - 1 takes each sample with one view and with three. */
#define VIEWS_OF(i) ((i) < SAMPLES ? 1 : 3)
static const enum activation activations[] = {ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6};

/* A layer with random weights and everything that a call needs, each block exactly as long as promised. */
struct layer {
    conv_spec spec;
    int32_t views;
    int32_t in_h, in_w, out_h, out_w;
    size_t inputs, outputs, weights;
    float *weight, *bias, *x, *dy, *packed;
};

static float *random_floats(rng *generator, size_t n, double scale)
{
    float *values = malloc(n * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(scale * rng_normal(generator));
    return values;
}

static float *garbage(size_t n)
{
    float *values = malloc(n ? n * sizeof *values : 1);

    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < n; i++)
        values[i] = NAN;
    return values;
}

static struct layer make_layer(const struct sample *s, int32_t views, uint64_t seed)
{
    struct layer l = {.views = views, .in_h = s->in_h, .in_w = s->in_w};
    rng generator;

    rng_seed(&generator, seed, 1);
    l.spec = (conv_spec){.in_c = s->in_c,
                         .out_c = s->out_c,
                         .kernel_h = s->kernel_h,
                         .kernel_w = s->kernel_w,
                         .stride = s->stride,
                         .pad_top = s->top,
                         .pad_left = s->left,
                         .pad_bottom = s->bottom,
                         .pad_right = s->right,
                         .groups = s->depthwise ? s->in_c : 1};
    l.out_h = conv_out(s->in_h, s->top, s->bottom, s->kernel_h, s->stride);
    l.out_w = conv_out(s->in_w, s->left, s->right, s->kernel_w, s->stride);
    ck_assert_int_gt(l.out_h, 0);
    ck_assert_int_gt(l.out_w, 0);
    l.inputs = (size_t)(views * s->in_h * s->in_w * s->in_c);
    l.outputs = (size_t)(views * l.out_h * l.out_w * s->out_c);
    int32_t fan_in = s->kernel_h * s->kernel_w * (s->depthwise ? 1 : s->in_c);
    l.weights = (size_t)(fan_in * s->out_c);
    l.spec.weight = l.weight = random_floats(&generator, l.weights, sqrt(2.0 / fan_in));
    l.spec.bias = l.bias = random_floats(&generator, (size_t)s->out_c, 0.5);
    l.x = random_floats(&generator, l.inputs, 2);
    l.dy = random_floats(&generator, l.outputs, 1);
    size_t packed = conv_packed_floats(&l.spec);
    if (packed) {
        l.packed = garbage(packed);
        conv_pack(&l.spec, l.packed);
        l.spec.packed = l.packed;
    }
    return l;
}

static void free_layer(struct layer *l)
{
    free(l->weight);
    free(l->bias);
    free(l->x);
    free(l->dy);
    free(l->packed);
}

static float *run_forward(const struct layer *l, enum activation activation)
{
    float *y = garbage(l->outputs), *scratch = garbage(conv_scratch(&l->spec, l->views, l->in_h, l->in_w));

    conv_forward(&l->spec, l->views, l->in_h, l->in_w, l->x, activation, y, scratch);
    free(scratch);
    return y;
}

static float *run_gradient(const struct layer *l, const float *dy)
{
    float *dx = garbage(l->inputs), *scratch = garbage(conv_gradient_scratch(&l->spec, l->views, l->in_h, l->in_w));

    conv_gradient(&l->spec, l->views, l->in_h, l->in_w, dy, dx, scratch);
    free(scratch);
    return dx;
}

/* ---- the oracle ---- */

static double activate(enum activation activation, double value)
{
    if (activation == ACTIVATION_NONE || value != value)
        return value;
    if (value < 0)
        return 0;
    return activation == ACTIVATION_RELU6 && value > 6 ? 6 : value;
}

static double oracle_at(const struct layer *l, const double *x, int32_t oy, int32_t ox, int32_t o)
{
    const conv_spec *c = &l->spec;
    double sum = (double)c->bias[o];
    int32_t group_c = c->in_c / c->groups, first = c->groups > 1 ? o : 0;

    for (int32_t ky = 0; ky < c->kernel_h; ky++)
        for (int32_t kx = 0; kx < c->kernel_w; kx++) {
            int32_t iy = oy * c->stride - c->pad_top + ky, ix = ox * c->stride - c->pad_left + kx;
            if (iy < 0 || iy >= l->in_h || ix < 0 || ix >= l->in_w)
                continue;
            for (int32_t i = 0; i < group_c; i++)
                sum += x[(iy * l->in_w + ix) * c->in_c + first + i] *
                       (double)c->weight[((ky * c->kernel_w + kx) * group_c + i) * c->out_c + o];
        }
    return sum;
}

/* activation(conv(x) + bias) in double */
static double *oracle_forward(const struct layer *l, const double *x, enum activation activation)
{
    double *y = malloc(l->outputs * sizeof *y), *at = y;

    ck_assert_ptr_nonnull(y);
    for (int32_t v = 0; v < l->views; v++, x += l->inputs / (size_t)l->views)
        for (int32_t oy = 0; oy < l->out_h; oy++)
            for (int32_t ox = 0; ox < l->out_w; ox++)
                for (int32_t o = 0; o < l->spec.out_c; o++)
                    *at++ = activate(activation, oracle_at(l, x, oy, ox, o));
    return y;
}

/* Scatters one view's dy along the loops of oracle_at. */
static void oracle_scatter(const struct layer *l, const float *dy, double *dx)
{
    const conv_spec *c = &l->spec;
    int32_t group_c = c->in_c / c->groups;

    for (int32_t oy = 0; oy < l->out_h; oy++)
        for (int32_t ox = 0; ox < l->out_w; ox++)
            for (int32_t tap = 0; tap < c->kernel_h * c->kernel_w; tap++) {
                int32_t iy = oy * c->stride - c->pad_top + tap / c->kernel_w;
                int32_t ix = ox * c->stride - c->pad_left + tap % c->kernel_w;
                if (iy < 0 || iy >= l->in_h || ix < 0 || ix >= l->in_w)
                    continue;
                for (int32_t i = 0; i < group_c; i++)
                    for (int32_t o = 0; o < c->out_c; o++)
                        dx[(iy * l->in_w + ix) * c->in_c + (c->groups > 1 ? o : 0) + i] +=
                            (double)dy[(oy * l->out_w + ox) * c->out_c + o] *
                            (double)c->weight[(tap * group_c + i) * c->out_c + o];
            }
}

/* The transpose of oracle_forward without bias and activation. */
static double *oracle_gradient(const struct layer *l, const float *dy)
{
    double *dx = calloc(l->inputs, sizeof *dx);
    size_t views = (size_t)l->views;

    ck_assert_ptr_nonnull(dx);
    for (size_t v = 0; v < views; v++)
        oracle_scatter(l, dy + v * (l->outputs / views), dx + v * (l->inputs / views));
    return dx;
}

static double *widen(const float *values, size_t n)
{
    double *wide = malloc(n * sizeof *wide);

    ck_assert_ptr_nonnull(wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)values[i];
    return wide;
}

/* Largest difference relative to the largest value. */
static double relative_error(const float *values, const double *expected, size_t n)
{
    double worst = 0, scale = 0;

    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)values[i] - expected[i]);
        if (!(error <= worst)) /* so that NaN is kept */
            worst = error;
        scale = fmax(scale, fabs(expected[i]));
    }
    return scale > 0 ? worst / scale : worst;
}

/* Winograd's method trades digits for speed. */
static double tolerance(const struct layer *l)
{
    return l->packed ? 1e-5 : 2e-6;
}

/* Root of the mean squared difference. */
static double rms_error(const float *values, const double *expected, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ((double)values[i] - expected[i]) * ((double)values[i] - expected[i]);
    return sqrt(sum / (double)n);
}

/* ---- tests ---- */

START_TEST(output_size)
{
    ck_assert_int_eq(conv_out(448, 2, 2, 11, 4), 111);
    ck_assert_int_eq(conv_out(7, 2, 2, 11, 4), 1);
    ck_assert_int_le(conv_out(6, 2, 2, 11, 4), 0);
    ck_assert_int_le(conv_out(1, 0, 0, 64, 1), 0);
    ck_assert_int_eq(conv_out(8, 0, 1, 3, 2), 4);
}
END_TEST

START_TEST(forward_is_the_oracle)
{
    struct layer l = make_layer(&samples[_i % SAMPLES], VIEWS_OF(_i), (uint64_t)_i);
    double *x = widen(l.x, l.inputs);

    for (int a = 0; a < 3; a++) {
        float *y = run_forward(&l, activations[a]);
        double *expected = oracle_forward(&l, x, activations[a]);
        double error = relative_error(y, expected, l.outputs);
        ck_assert_msg(error < tolerance(&l), "%s, activation %d: error %g", samples[_i % SAMPLES].name, a, error);
        free(y);
        free(expected);
    }
    free(x);
    free_layer(&l);
}
END_TEST

START_TEST(gradient_is_the_oracle)
{
    struct layer l = make_layer(&samples[_i % SAMPLES], VIEWS_OF(_i), (uint64_t)_i);
    float *dx = run_gradient(&l, l.dy);
    double *expected = oracle_gradient(&l, l.dy);
    double error = relative_error(dx, expected, l.inputs);

    ck_assert_msg(error < tolerance(&l), "%s: error %g", samples[_i % SAMPLES].name, error);
    free(expected);
    free(dx);
    free_layer(&l);
}
END_TEST

/* <dy, conv(x)> = <gradient(dy), x>, with conv without bias. */
START_TEST(gradient_is_adjoint)
{
    struct layer l = make_layer(&samples[_i % SAMPLES], VIEWS_OF(_i), (uint64_t)_i + 100);

    memset(l.bias, 0, (size_t)l.spec.out_c * sizeof *l.bias);
    float *y = run_forward(&l, ACTIVATION_NONE), *dx = run_gradient(&l, l.dy);
    double left = 0, right = 0, size = 0;
    for (size_t i = 0; i < l.outputs; i++) {
        left += (double)l.dy[i] * (double)y[i];
        size += fabs((double)l.dy[i] * (double)y[i]);
    }
    for (size_t i = 0; i < l.inputs; i++)
        right += (double)dx[i] * (double)l.x[i];
    ck_assert_msg(fabs(left - right) < 1e-6 * size, "%s: %.9g, %.9g", samples[_i % SAMPLES].name, left, right);
    free(y);
    free(dx);
    free_layer(&l);
}
END_TEST

/* d/dx of <dy, activation(conv(x) + bias)> by differences of the oracle, against activation_gradient and
 * conv_gradient as they are chained. */
START_TEST(gradient_is_finite_difference)
{
    static const struct sample small[] = {
        {"strided", 3, 4, 3, 2, 2, 1, 0, 1, 1, 0, 6, 5},
        {"depthwise", 4, 4, 3, 3, 1, 1, 1, 0, 1, 1, 5, 4},
        {"1 x 1", 5, 3, 1, 1, 1, 0, 0, 0, 0, 0, 3, 4},
    };
    const double step = 1e-7;

    for (int a = 0; a < 3; a++) {
        struct layer l = make_layer(&small[_i], 1, (uint64_t)a + 7);
        float *y = run_forward(&l, activations[a]), *dy = malloc(l.outputs * sizeof *dy);
        double *x = widen(l.x, l.inputs);
        memcpy(dy, l.dy, l.outputs * sizeof *dy);
        activation_gradient(activations[a], y, dy, l.outputs);
        float *dx = run_gradient(&l, dy);
        for (size_t i = 0; i < l.inputs; i++) {
            double difference = 0, kept = x[i];
            x[i] = kept + step;
            double *above = oracle_forward(&l, x, activations[a]);
            x[i] = kept - step;
            double *below = oracle_forward(&l, x, activations[a]);
            x[i] = kept;
            for (size_t o = 0; o < l.outputs; o++)
                difference += (double)l.dy[o] * (above[o] - below[o]) / (2 * step);
            ck_assert_msg(fabs(difference - (double)dx[i]) < 1e-5, "%s: input %zu: %g, difference %g", small[_i].name,
                          i, (double)dx[i], difference);
            free(above);
            free(below);
        }
        free(y);
        free(dy);
        free(x);
        free(dx);
        free_layer(&l);
    }
}
END_TEST

START_TEST(repeated_runs_have_equal_bits)
{
    struct layer l = make_layer(&samples[_i % SAMPLES], VIEWS_OF(_i), 3);

    float *y = run_forward(&l, ACTIVATION_RELU), *dx = run_gradient(&l, l.dy);
    for (int run = 0; run < 3; run++) {
        float *y2 = run_forward(&l, ACTIVATION_RELU), *dx2 = run_gradient(&l, l.dy);
        ck_assert_int_eq(memcmp(y, y2, l.outputs * sizeof *y), 0);
        ck_assert_int_eq(memcmp(dx, dx2, l.inputs * sizeof *dx), 0);
        free(y2);
        free(dx2);
    }
    free(y);
    free(dx);
    free_layer(&l);
}
END_TEST

/* What the other views hold does not matter to a view. */
START_TEST(views_are_apart)
{
    struct layer l = make_layer(&samples[_i], 3, 5);
    size_t inputs = l.inputs / 3, outputs = l.outputs / 3;
    float *y = run_forward(&l, ACTIVATION_RELU), *dx = run_gradient(&l, l.dy);

    for (size_t i = 0; i < l.inputs; i++)
        l.x[i] = i / inputs == 1 ? l.x[i] : -3 * l.x[i];
    for (size_t i = 0; i < l.outputs; i++)
        l.dy[i] = i / outputs == 1 ? l.dy[i] : 2 - l.dy[i];
    float *y2 = run_forward(&l, ACTIVATION_RELU), *dx2 = run_gradient(&l, l.dy);
    ck_assert_mem_eq(y + outputs, y2 + outputs, outputs * sizeof *y);
    ck_assert_mem_eq(dx + inputs, dx2 + inputs, inputs * sizeof *dx);
    ck_assert_mem_ne(y, y2, outputs * sizeof *y);
    free(y);
    free(dx);
    free(y2);
    free(dx2);
    free_layer(&l);
}
END_TEST

/* NaN in the input reaches every output whose window holds it. */
START_TEST(not_a_number_is_kept)
{
    struct layer l = make_layer(&samples[_i], 1, 4);
    double *x = widen(l.x, l.inputs);
    size_t position = l.inputs / 2;

    l.x[position] = NAN;
    x[position] = NAN;
    for (int a = 0; a < 3; a++) {
        size_t lost = 0;
        float *y = run_forward(&l, activations[a]);
        double *expected = oracle_forward(&l, x, activations[a]);
        for (size_t i = 0; i < l.outputs; i++)
            lost += isnan(expected[i]) && !isnan(y[i]);
        ck_assert_msg(lost == 0, "%s: %zu outputs", samples[_i].name, lost);
        free(y);
        free(expected);
    }
    free(x);
    free_layer(&l);
}
END_TEST

/* A layer in several groups of tiles, against the direct method. */
START_TEST(fast_is_direct)
{
    static const struct sample large = {"5 x 5", 32, 32, 5, 5, 1, 2, 2, 2, 2, 0, 66, 66};
    struct layer l = make_layer(&large, 1, 11), direct = l;

    ck_assert_ptr_nonnull(l.spec.packed);
    direct.spec.packed = NULL;
    float *fast_y = run_forward(&l, ACTIVATION_RELU), *y = run_forward(&direct, ACTIVATION_RELU);
    float *fast_dx = run_gradient(&l, l.dy), *dx = run_gradient(&direct, l.dy);
    ck_assert_double_lt(max_abs_difference(fast_y, y, l.outputs), 1e-5 * max_abs(y, l.outputs));
    ck_assert_double_lt(max_abs_difference(fast_dx, dx, l.inputs), 1e-5 * max_abs(dx, l.inputs));
    ck_assert_int_ne(memcmp(fast_y, y, l.outputs * sizeof *y), 0); /* two methods indeed */
    free(y);
    free(dx);
    free(fast_y);
    free(fast_dx);
    free_layer(&l);
}
END_TEST

/* 3 or 5 taps both ways, and whole vectors of channels, enough of them; for others there are no weights of its own. */
START_TEST(what_the_fast_method_takes)
{
    static const struct {
        int32_t in_c, out_c, kernel_h, kernel_w, stride;
        _Bool fits;
    } cases[] = {{32, 32, 3, 3, 1, 1}, {32, 48, 5, 5, 1, 1}, {8, 32, 6, 6, 2, 1},  {32, 32, 4, 4, 1, 0},
                 {32, 32, 3, 5, 1, 0}, {32, 32, 5, 3, 1, 0}, {16, 32, 3, 3, 1, 0}, {40, 32, 3, 3, 1, 0},
                 {32, 16, 3, 3, 1, 0}, {32, 40, 3, 3, 1, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float mark = 7;
        conv_spec spec = {.in_c = cases[i].in_c,
                          .out_c = cases[i].out_c,
                          .kernel_h = cases[i].kernel_h,
                          .kernel_w = cases[i].kernel_w,
                          .stride = cases[i].stride,
                          .groups = 1};
        ck_assert_msg((conv_packed_floats(&spec) > 0) == cases[i].fits, "%zu", i);
        if (!cases[i].fits)
            conv_pack(&spec, &mark);
        ck_assert_float_eq(mark, 7);
    }
}
END_TEST

/* The digits lost: rms error relative to the values, and to the direct method's (which depends on the processor's
 * matrix product).  The transforms' points magnify the rounding of the products, for 5 taps more than for 3. */
START_TEST(fast_is_accurate)
{
    static const struct {
        struct sample sample;
        double most; /* times the direct method's error */
    } typical[] = {
        {{"3 x 3", 128, 32, 3, 3, 1, 1, 1, 1, 1, 0, 16, 16}, 10},
        {{"5 x 5", 64, 32, 5, 5, 1, 2, 2, 2, 2, 0, 16, 16}, 25},
        {{"11 x 11", 3, 64, 11, 11, 4, 2, 2, 2, 2, 0, 63, 63}, 10},
    };
    struct layer l = make_layer(&typical[_i].sample, 1, 12), direct = l;
    double *x = widen(l.x, l.inputs);

    ck_assert_ptr_nonnull(l.spec.packed);
    direct.spec.packed = NULL;
    float *fast_y = run_forward(&l, ACTIVATION_NONE), *y = run_forward(&direct, ACTIVATION_NONE);
    float *fast_dx = run_gradient(&l, l.dy), *dx = run_gradient(&direct, l.dy);
    double *exact_y = oracle_forward(&l, x, ACTIVATION_NONE), *exact_dx = oracle_gradient(&l, l.dy);
    double fast = rms_error(fast_y, exact_y, l.outputs), fast_gradient = rms_error(fast_dx, exact_dx, l.inputs);
    double lost = fast / rms_error(y, exact_y, l.outputs);
    double lost_gradient = fast_gradient / rms_error(dx, exact_dx, l.inputs);
    ck_assert_msg(lost < typical[_i].most && lost_gradient < typical[_i].most,
                  "%s: %g, gradient %g times the direct method's error", typical[_i].sample.name, lost, lost_gradient);
    memset(fast_y, 0, l.outputs * sizeof *fast_y);
    memset(fast_dx, 0, l.inputs * sizeof *fast_dx);
    ck_assert_double_lt(fast, 4e-6 * rms_error(fast_y, exact_y, l.outputs)); /* of the values' own size */
    ck_assert_double_lt(fast_gradient, 4e-6 * rms_error(fast_dx, exact_dx, l.inputs));
    free(x);
    free(y);
    free(dx);
    free(fast_y);
    free(fast_dx);
    free(exact_y);
    free(exact_dx);
    free_layer(&l);
}
END_TEST

START_TEST(activations_by_value)
{
    const float values[] = {-INFINITY, -1, -0.0f, 0, 0.5f, 6, 7, INFINITY, NAN};
    enum { COUNT = sizeof values / sizeof values[0] };
    const float relu[COUNT] = {0, 0, 0, 0, 0.5f, 6, 7, INFINITY, NAN}, relu6[COUNT] = {0, 0, 0, 0, 0.5f, 6, 6, 6, NAN};
    const float open[COUNT] = {0, 0, 0, 0, 1, 1, 1, 1, 1}, open6[COUNT] = {0, 0, 0, 0, 1, 0, 0, 0, 1};

    for (int a = 0; a < 3; a++)
        for (int i = 0; i < COUNT; i++) {
            float y = values[i], biased = values[i], zero = 0, dy = 1;
            float expected = a == 0 ? values[i] : a == 1 ? relu[i] : relu6[i];
            activation_forward(activations[a], &y, 1);
            activation_bias(activations[a], &zero, &biased, 1, 1);
            ck_assert(isnan(expected) ? isnan(y) && isnan(biased) : y == expected && biased == expected);
            activation_gradient(activations[a], &y, &dy, 1);
            ck_assert_float_eq(dy, a == 0 ? 1 : a == 1 ? open[i] : open6[i]);
        }
}
END_TEST

START_TEST(shared_forward_has_the_same_bits)
{
    struct layer l = make_layer(&samples[_i], 1, 12);
    dn_allocator allocator = mem_allocator(NULL);
    float *alone = run_forward(&l, ACTIVATION_RELU), *shared = garbage(l.outputs);

    for (int32_t threads = 1; threads <= 3; threads++) {
        float *scratch = garbage(conv_shared_scratch(&l.spec, l.in_h, l.in_w, threads));
        pool *workers;
        ck_ok(pool_create(&allocator, threads, &workers, NULL));
        conv_forward_shared(&l.spec, l.in_h, l.in_w, l.x, ACTIVATION_RELU, shared, scratch, workers);
        pool_free(workers);
        free(scratch);
        ck_assert_mem_eq(alone, shared, l.outputs * sizeof *alone);
    }
    free(alone);
    free(shared);
    free_layer(&l);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("conv");
    TCase *conv = tcase_create("conv");

    tcase_set_timeout(conv, 120);
    tcase_add_test(conv, output_size);
    tcase_add_loop_test(conv, forward_is_the_oracle, 0, 2 * SAMPLES);
    tcase_add_loop_test(conv, gradient_is_the_oracle, 0, 2 * SAMPLES);
    tcase_add_loop_test(conv, gradient_is_adjoint, 0, 2 * SAMPLES);
    tcase_add_loop_test(conv, gradient_is_finite_difference, 0, 3);
    tcase_add_loop_test(conv, repeated_runs_have_equal_bits, 0, 2 * SAMPLES);
    tcase_add_loop_test(conv, shared_forward_has_the_same_bits, 0, SAMPLES);
    tcase_add_loop_test(conv, views_are_apart, 0, SAMPLES);
    tcase_add_loop_test(conv, not_a_number_is_kept, 0, SAMPLES);
    tcase_add_test(conv, fast_is_direct);
    tcase_add_test(conv, what_the_fast_method_takes);
    tcase_add_loop_test(conv, fast_is_accurate, 0, 3);
    tcase_add_test(conv, activations_by_value);
    suite_add_tcase(suite, conv);
    return suite;
}

TEST_MAIN(make_suite)
