/* AlexNet's convolutions at the three scales of a 448 pixel view, direct and fast method, one thread.
 *
 *   bench_conv [ROUNDS] [--json]     (default 9)
 *
 * Direct: im2row and cblas_sgemm.  Both methods alternate in each round; medians are shown, or with --json one object
 * per line with the seconds of all rounds, for bench/run.  Times are of this thread's processor time, so that a busy
 * machine blurs them less, and per view of FEATURES_BLOCK that are taken together.  A figure is the mean of so many calls
 * that they take SHORTEST seconds.  "Error" is the largest difference between both, relative to the largest output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/blas.h"
#include "base/memory.h"
#include "base/rng.h"
#include "cnn/features.h"
#include "nn/conv.h"

#define MOST_ROUNDS 99
#define SHORTEST 2e-3
#define SCALES 3

static const struct layer {
    const char *name;
    int32_t in_c, out_c, kernel, stride, pad;
    int32_t sides[SCALES]; /* of its input, at 448, 224, 112 pixels */
} layers[] = {
    {"conv1", 3, 64, 11, 4, 2, {448, 224, 112}}, {"conv2", 64, 192, 5, 1, 2, {55, 27, 13}},
    {"conv3", 192, 384, 3, 1, 1, {27, 13, 6}},   {"conv4", 384, 256, 3, 1, 1, {27, 13, 6}},
    {"conv5", 256, 256, 3, 1, 1, {27, 13, 6}},
};

/* Sums of the medians: forward and gradient, direct and fast. */
static double total[4];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[MOST_ROUNDS];

    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return sorted[count / 2];
}

static float *random_floats(rng *generator, size_t n, double scale)
{
    dn_allocator allocator = mem_allocator(NULL);
    float *values = mem_alloc(&allocator, n, sizeof *values);

    if (!values) {
        fprintf(stderr, "bench_conv: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(scale * rng_normal(generator));
    return values;
}

static void print_machine(rng *generator)
{
    enum { SIDE = 1024, RUNS = 7 };
    float *a = random_floats(generator, SIDE * SIDE, 1), *b = random_floats(generator, SIDE * SIDE, 1);
    float *c = random_floats(generator, SIDE * SIDE, 1);
    double seconds[RUNS];
    char line[256] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");

    while (file && fgets(line, sizeof line, file) && strncmp(line, "model name", 10))
        ;
    if (file)
        fclose(file);
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        blas_gemm(BLAS_N, BLAS_N, SIDE, SIDE, SIDE, 1, a, SIDE, b, SIDE, 0, c, SIDE);
        seconds[i] = now() - start;
    }
    printf("%sOpenBLAS core: %s, SGEMM %d: %.1f GFLOP/s on one thread\n", line, blas_corename(), SIDE,
           2e-9 * SIDE * SIDE * SIDE / median(seconds, RUNS));
    if (getenv("OPENBLAS_CORETYPE") || getenv("OPENBLAS_L2_SIZE"))
        printf("warning: OPENBLAS_CORETYPE or OPENBLAS_L2_SIZE is set, OpenBLAS may be slower than it could be\n");
    free(a);
    free(b);
    free(c);
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double difference = 0, size = 0;

    for (size_t i = 0; i < n; i++) {
        difference = fmax(difference, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return difference / size;
}

/* One layer at one scale. */
struct layer_case {
    const char *name;
    conv_spec specs[2];  /* direct, fast */
    int32_t side, scale; /* of the layer's input; of the view, 448 and so on */
    size_t inputs, outputs;
    float *x, *dx, *y[2], *scratch[2];
    double seconds[4][MOST_ROUNDS]; /* forward direct, fast, gradient direct, fast */
};

static void prepare_case(struct layer_case *c, rng *generator)
{
    const conv_spec *spec = &c->specs[0];
    int32_t out = conv_out(c->side, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);

    c->inputs = (size_t)FEATURES_BLOCK * (size_t)c->side * (size_t)c->side * (size_t)spec->in_c;
    c->outputs = (size_t)FEATURES_BLOCK * (size_t)out * (size_t)out * (size_t)spec->out_c;
    c->x = random_floats(generator, c->inputs, 1);
    c->dx = random_floats(generator, c->inputs, 1);
    for (int i = 0; i < 2; i++) {
        c->y[i] = random_floats(generator, c->outputs, 1);
        c->scratch[i] = random_floats(generator, conv_scratch(&c->specs[i], FEATURES_BLOCK, c->side, c->side), 1);
    }
}

static void free_case(struct layer_case *c)
{
    for (int i = 0; i < 2; i++) {
        free(c->y[i]);
        free(c->scratch[i]);
    }
    free(c->x);
    free(c->dx);
}

/* Seconds per view of a method (0 direct, 1 fast), forward or gradient. */
static double time_method(struct layer_case *c, int method, int gradient)
{
    double start = now(), elapsed;
    int calls = 0;

    do {
        if (gradient)
            conv_gradient(&c->specs[method], FEATURES_BLOCK, c->side, c->side, c->y[0], c->dx, c->scratch[method]);
        else
            conv_forward(&c->specs[method], FEATURES_BLOCK, c->side, c->side, c->x, ACTIVATION_RELU, c->y[method],
                         c->scratch[method]);
        calls++;
        elapsed = now() - start;
    } while (elapsed < SHORTEST);
    return elapsed / calls / FEATURES_BLOCK;
}

static void print_row(struct layer_case *c, int rounds)
{
    double middle[4];

    for (int i = 0; i < 4; i++) {
        middle[i] = median(c->seconds[i], rounds);
        total[i] += middle[i];
    }
    printf("%s %4d %9.3f %9.3f %6.2f %11.3f %9.3f %6.2f %10.1e\n", c->name, c->side, 1e3 * middle[0], 1e3 * middle[1],
           middle[0] / middle[1], 1e3 * middle[2], 1e3 * middle[3], middle[2] / middle[3],
           largest_difference(c->y[0], c->y[1], c->outputs));
}

static void print_json(const struct layer_case *c, int rounds)
{
    static const char *const names[4] = {"direct", "fast", "gradient_direct", "gradient_fast"};

    printf("{\"layer\": \"%s\", \"scale\": %d, \"side\": %d, \"error\": %.3e", c->name, c->scale, c->side,
           largest_difference(c->y[0], c->y[1], c->outputs));
    for (int i = 0; i < 4; i++) {
        printf(", \"%s\": [", names[i]);
        for (int round = 0; round < rounds; round++)
            printf("%s%.9f", round ? ", " : "", c->seconds[i][round]);
        putchar(']');
    }
    printf("}\n");
}

static void measure(struct layer_case *c, int rounds, int json, rng *generator)
{
    prepare_case(c, generator);
    for (int i = 0; i < 2; i++) /* touches all memory once */
        time_method(c, i, 0);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 4; i++)
            c->seconds[i][round] = time_method(c, i % 2, i / 2);
    if (json)
        print_json(c, rounds);
    else
        print_row(c, rounds);
    free_case(c);
}

/* A layer at all scales. */
static void measure_layer(const struct layer *layer, int rounds, int json, rng *generator)
{
    size_t fan_in = (size_t)(layer->kernel * layer->kernel * layer->in_c), out_c = (size_t)layer->out_c;
    float *weight = random_floats(generator, fan_in * out_c, sqrt(2.0 / (double)fan_in));
    float *bias = random_floats(generator, out_c, 0.1);
    conv_spec specs[2] = {{layer->in_c, layer->out_c, layer->kernel, layer->kernel, layer->stride, layer->pad,
                           layer->pad, layer->pad, layer->pad, 1, weight, bias, NULL}};
    float *packed = random_floats(generator, conv_packed_floats(&specs[0]), 1);

    conv_pack(&specs[0], packed);
    specs[1] = specs[0];
    specs[1].packed = packed;
    for (int s = 0; s < SCALES; s++) {
        struct layer_case c = {
            .name = layer->name, .specs = {specs[0], specs[1]}, .side = layer->sides[s], .scale = layers[0].sides[s]};
        measure(&c, rounds, json, generator);
    }
    free(weight);
    free(bias);
    free(packed);
}

int main(int argc, char **argv)
{
    int json = argc > 1 && strcmp(argv[argc - 1], "--json") == 0;
    int rounds = argc > 1 + json ? atoi(argv[1]) : 9;
    rng generator;

    if (rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "bench_conv: rounds must be 1 to %d\n", MOST_ROUNDS);
        return 2;
    }
    rng_seed(&generator, 1, RNG_BACKBONE);
    blas_set_threads(1);
    if (!json) {
        print_machine(&generator);
        printf("layer  side    direct      fast  ratio    gradient      fast  ratio      error   (ms)\n");
    }
    for (size_t l = 0; l < sizeof layers / sizeof layers[0]; l++)
        measure_layer(&layers[l], rounds, json, &generator);
    if (!json)
        printf("sum        %9.3f %9.3f %6.2f %11.3f %9.3f %6.2f\n", 1e3 * total[0], 1e3 * total[1], total[0] / total[1],
               1e3 * total[2], 1e3 * total[3], total[2] / total[3]);
    return 0;
}
