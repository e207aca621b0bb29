/* Fuzz target: convolution of any shape, by whichever method the library chooses, against a loop in double; its gradient
 * likewise; and one view's bits do not depend on others, nor on the number of workers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "fuzz.h"
#include "nn/conv.h"

#define MAX_WORK 3000000 /* products of the naive loop */

/* The input: a shape; then a seed. */
enum { IN_C, OUT_C, KERNEL_H, KERNEL_W, STRIDE, TOP, LEFT, BOTTOM, RIGHT, IN_H, IN_W, KIND, SEED, BYTES = SEED + 4 };

static uint32_t state;

static float draw(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)((int32_t)(state >> 8) - (1 << 23)) / (1 << 23);
}

static float *floats(size_t n, _Bool random)
{
    float *values = malloc(n ? n * sizeof *values : 1);

    fuzz_require(values != NULL, "memory");
    for (size_t i = 0; i < n; i++)
        values[i] = random ? draw() : NAN;
    return values;
}

/* Often what the fast methods take: square kernels, channels by the dozen. */
static conv_spec shape_of(const uint8_t *data)
{
    conv_spec s = {.in_c = 1 + data[IN_C] % 70,
                   .out_c = 1 + data[OUT_C] % 70,
                   .kernel_h = 1 + data[KERNEL_H] % 11,
                   .kernel_w = 1 + data[KERNEL_W] % 11,
                   .stride = 1 + data[STRIDE] % 4,
                   .groups = 1};

    if (data[KIND] & 1)
        s.kernel_w = s.kernel_h;
    if (data[KIND] & 2)
        s.in_c = s.out_c = 32 + data[OUT_C] % 40;
    if (data[KIND] & 4)
        s.stride = 1;
    if (data[KIND] & 8)
        s.groups = s.out_c = s.in_c;
    s.pad_top = data[TOP] % s.kernel_h;
    s.pad_bottom = data[BOTTOM] % s.kernel_h;
    s.pad_left = data[LEFT] % s.kernel_w;
    s.pad_right = data[RIGHT] % s.kernel_w;
    return s;
}

/* A call's numbers. */
typedef struct layer {
    conv_spec spec;
    int32_t in_h, in_w, out_h, out_w;
    size_t inputs, outputs;
    double fan_in;
    float *x, *dy;
} layer;

/* Weight of an input channel within its group. */
static double weight_at(const conv_spec *s, int32_t ky, int32_t kx, int32_t i, int32_t o)
{
    return s->weight[((size_t)(ky * s->kernel_w + kx) * (size_t)(s->in_c / s->groups) + (size_t)i) * (size_t)s->out_c +
                     (size_t)o];
}

/* y = conv(x) without bias, or dx of dy: the same products, gathered or scattered. */
static void naive(const layer *l, const float *from, double *to, _Bool back)
{
    const conv_spec *s = &l->spec;

    memset(to, 0, (back ? l->inputs : l->outputs) * sizeof *to);
    for (int32_t y = 0; y < l->out_h; y++)
        for (int32_t x = 0; x < l->out_w; x++)
            for (int32_t ky = 0; ky < s->kernel_h; ky++)
                for (int32_t kx = 0; kx < s->kernel_w; kx++) {
                    int32_t iy = y * s->stride + ky - s->pad_top, ix = x * s->stride + kx - s->pad_left;
                    if (iy < 0 || iy >= l->in_h || ix < 0 || ix >= l->in_w)
                        continue;
                    for (int32_t i = 0; i < s->in_c; i++)
                        for (int32_t o = s->groups > 1 ? i : 0; o < (s->groups > 1 ? i + 1 : s->out_c); o++) {
                            size_t in = ((size_t)iy * (size_t)l->in_w + (size_t)ix) * (size_t)s->in_c + (size_t)i;
                            size_t out = ((size_t)y * (size_t)l->out_w + (size_t)x) * (size_t)s->out_c + (size_t)o;
                            double w = weight_at(s, ky, kx, s->groups > 1 ? 0 : i, o);
                            if (back)
                                to[in] += w * from[out];
                            else
                                to[out] += w * from[in];
                        }
                }
}

/* Winograd's method loses more than the direct one: its transforms sum up to 11 x 11 terms of either sign. */
static void check_near(const float *got, const double *expected, size_t n, double scale, const char *what)
{
    for (size_t i = 0; i < n; i++)
        fuzz_require(fabs(got[i] - expected[i]) <= 1e-4 * scale, what);
}

static void check_forward(const layer *l, int32_t activation, pool *workers)
{
    const conv_spec *s = &l->spec;
    float *y = floats(3 * l->outputs, 0), *shared = floats(l->outputs, 0), *three = floats(3 * l->inputs, 1);
    float *scratch = floats(conv_scratch(s, 3, l->in_h, l->in_w), 0);
    float *shared_scratch = floats(conv_shared_scratch(s, l->in_h, l->in_w, pool_threads(workers)), 0);
    double *expected = malloc(l->outputs * sizeof *expected);

    fuzz_require(expected != NULL, "memory");
    naive(l, l->x, expected, 0);
    for (size_t i = 0; i < l->outputs; i++) {
        expected[i] += s->bias[i % (size_t)s->out_c];
        if (activation != ACTIVATION_NONE && expected[i] < 0)
            expected[i] = 0;
        if (activation == ACTIVATION_RELU6 && expected[i] > 6)
            expected[i] = 6;
    }
    conv_forward(s, 1, l->in_h, l->in_w, l->x, (enum activation)activation, y, scratch);
    check_near(y, expected, l->outputs, 1 + sqrt(l->fan_in), "the convolution");
    conv_forward_shared(s, l->in_h, l->in_w, l->x, (enum activation)activation, shared, shared_scratch, workers);
    fuzz_require(!memcmp(y, shared, l->outputs * sizeof *y), "bits do not depend on workers");
    memcpy(three + l->inputs, l->x, l->inputs * sizeof *three);
    memcpy(shared, y, l->outputs * sizeof *y);
    conv_forward(s, 3, l->in_h, l->in_w, three, (enum activation)activation, y, scratch);
    fuzz_require(!memcmp(y + l->outputs, shared, l->outputs * sizeof *y), "bits do not depend on other views");
    free(expected);
    free(shared_scratch);
    free(scratch);
    free(three);
    free(shared);
    free(y);
}

static void check_gradient(const layer *l)
{
    float *dx = floats(l->inputs, 0), *scratch = floats(conv_gradient_scratch(&l->spec, 1, l->in_h, l->in_w), 0);
    double *expected = malloc(l->inputs * sizeof *expected);

    fuzz_require(expected != NULL, "memory");
    naive(l, l->dy, expected, 1);
    conv_gradient(&l->spec, 1, l->in_h, l->in_w, l->dy, dx, scratch);
    check_near(dx, expected, l->inputs,
               1 + sqrt((double)l->spec.kernel_h * l->spec.kernel_w * l->spec.out_c / l->spec.groups), "the gradient");
    free(expected);
    free(scratch);
    free(dx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pool *workers;
    dn_allocator allocator = mem_allocator(NULL);

    if (size < BYTES)
        return 0;
    layer l = {.spec = shape_of(data), .in_h = 1 + data[IN_H] % 40, .in_w = 1 + data[IN_W] % 40};
    conv_spec *s = &l.spec;
    memcpy(&state, data + SEED, sizeof state);
    l.out_h = conv_out(l.in_h, s->pad_top, s->pad_bottom, s->kernel_h, s->stride);
    l.out_w = conv_out(l.in_w, s->pad_left, s->pad_right, s->kernel_w, s->stride);
    fuzz_require((l.out_h >= 1) == (l.in_h + s->pad_top + s->pad_bottom >= s->kernel_h), "where a kernel fits");
    l.fan_in = (double)s->kernel_h * s->kernel_w * (s->in_c / s->groups);
    if (l.out_h < 1 || l.out_w < 1 || l.fan_in * s->out_c * l.out_h * l.out_w > MAX_WORK)
        return 0;
    if (!workers)
        fuzz_require(pool_create(&allocator, 2, &workers, NULL) == DN_OK, "workers");
    l.inputs = (size_t)(l.in_h * l.in_w * s->in_c);
    l.outputs = (size_t)(l.out_h * l.out_w * s->out_c);
    float *weight = floats((size_t)l.fan_in * (size_t)s->out_c, 1), *bias = floats((size_t)s->out_c, 1);
    l.x = floats(l.inputs, 1);
    l.dy = floats(l.outputs, 1);
    s->weight = weight;
    s->bias = bias;
    size_t packed_floats = conv_packed_floats(s);
    float *packed = mem_alloc(&allocator, packed_floats, sizeof *packed);
    fuzz_require(packed != NULL, "memory");
    if (packed_floats) {
        conv_pack(s, packed);
        s->packed = packed;
    }
    check_forward(&l, data[KIND] >> 4 & 3 ? (data[KIND] >> 4 & 3) - 1 : 0, workers);
    check_gradient(&l);
    mem_free(&allocator, packed);
    free(l.dy);
    free(l.x);
    free(bias);
    free(weight);
    return 0;
}

/* AlexNet's and MobileNet's kinds of layers; Winograd's; depthwise. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    static const uint8_t shapes[][SEED] = {
        {2, 15, 10, 10, 3, 2, 2, 2, 2, 36, 33, 0}, {7, 11, 4, 4, 0, 2, 2, 2, 2, 18, 17, 16},
        {0, 0, 2, 2, 0, 1, 1, 1, 1, 14, 13, 39},   {0, 0, 4, 4, 0, 2, 2, 2, 2, 15, 16, 7},
        {32, 0, 2, 2, 1, 0, 1, 1, 0, 14, 13, 8},   {6, 4, 0, 0, 1, 0, 0, 0, 0, 8, 7, 0},
        {5, 9, 6, 0, 0, 3, 0, 0, 0, 16, 8, 32},    {23, 39, 0, 0, 0, 0, 0, 0, 0, 13, 14, 48},
        {40, 40, 2, 2, 0, 1, 1, 1, 1, 4, 7, 2},    {63, 60, 2, 2, 0, 2, 0, 1, 2, 12, 18, 4},
    };

    if ((size_t)index >= sizeof shapes / sizeof *shapes)
        return NULL;
    *size = BYTES;
    uint8_t *seed = calloc(1, BYTES);
    fuzz_require(seed != NULL, "memory");
    return memcpy(seed, shapes[index], SEED);
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
