/* AlexNet's convolutions at the three scales of a 448 pixel view, direct and fast method, one thread.
 *
 *   bench_conv [ROUNDS [VIEWS]]     (default 9 rounds of 4 views together)
 *
 * Both methods alternate in each round; medians are shown.  Times are those of one view, of this thread's processor time, so that a busy
 * machine blurs them less.  "Error" is the largest difference between both, relative to the largest output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/blas.h"
#include "base/memory.h"
#include "base/rng.h"
#include "nn/conv.h"

#define MOST_ROUNDS 99
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

/* One layer at one scale.  specs: direct, fast. */
static void measure(const char *name, const conv_spec specs[2], int32_t side, int rounds, int32_t views,
                    rng *generator)
{
    int32_t out = conv_out(side, specs[0].pad_top, specs[0].pad_bottom, specs[0].kernel_h, specs[0].stride);
    size_t inputs = (size_t)views * (size_t)side * (size_t)side * (size_t)specs[0].in_c;
    size_t outputs = (size_t)views * (size_t)out * (size_t)out * (size_t)specs[0].out_c;
    float *x = random_floats(generator, inputs, 1), *dx = random_floats(generator, inputs, 1), *y[2], *scratch[2];
    double seconds[4][MOST_ROUNDS], middle[4]; /* forward direct, fast, gradient direct, fast */

    for (int i = 0; i < 2; i++) {
        y[i] = random_floats(generator, outputs, 1);
        scratch[i] = random_floats(generator, conv_scratch(&specs[i], views, side, side), 1);
    }
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 2; i++) {
            double start = now();
            conv_forward(&specs[i], views, side, side, x, ACTIVATION_RELU, y[i], scratch[i]);
            double half = now();
            conv_gradient(&specs[i], views, side, side, y[0], dx, scratch[i]);
            seconds[i][round] = half - start;
            seconds[2 + i][round] = now() - half;
        }
    for (int i = 0; i < 4; i++) {
        middle[i] = median(seconds[i], rounds) / views;
        total[i] += middle[i];
    }
    printf("%s %4d %9.3f %9.3f %6.2f %11.3f %9.3f %6.2f %10.1e\n", name, side, 1e3 * middle[0], 1e3 * middle[1],
           middle[0] / middle[1], 1e3 * middle[2], 1e3 * middle[3], middle[2] / middle[3],
           largest_difference(y[0], y[1], outputs));
    for (int i = 0; i < 2; i++) {
        free(y[i]);
        free(scratch[i]);
    }
    free(x);
    free(dx);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 9, views = argc > 2 ? atoi(argv[2]) : 4;
    rng generator;

    if (rounds < 1 || rounds > MOST_ROUNDS || views < 1 || views > 64) {
        fprintf(stderr, "bench_conv: rounds must be 1 to %d, views 1 to 64\n", MOST_ROUNDS);
        return 2;
    }
    rng_seed(&generator, 1, RNG_BACKBONE);
    blas_set_threads(1);
    print_machine(&generator);
    printf("layer  side    direct      fast  ratio    gradient      fast  ratio      error   (ms)\n");
    for (size_t l = 0; l < sizeof layers / sizeof layers[0]; l++) {
        const struct layer *layer = &layers[l];
        size_t fan_in = (size_t)(layer->kernel * layer->kernel * layer->in_c), out_c = (size_t)layer->out_c;
        float *weight = random_floats(&generator, fan_in * out_c, sqrt(2.0 / (double)fan_in));
        float *bias = random_floats(&generator, out_c, 0.1);
        conv_spec specs[2] = {{layer->in_c, layer->out_c, layer->kernel, layer->kernel, layer->stride, layer->pad,
                               layer->pad, layer->pad, layer->pad, 1, weight, bias, NULL}};
        float *packed = random_floats(&generator, conv_packed_floats(&specs[0]), 1);
        conv_pack(&specs[0], packed);
        specs[1] = specs[0];
        specs[1].packed = packed;
        for (int s = 0; s < SCALES; s++)
            measure(layer->name, specs, layer->sides[s], rounds, views, &generator);
        free(weight);
        free(bias);
        free(packed);
    }
    printf("sum        %9.3f %9.3f %6.2f %11.3f %9.3f %6.2f\n", 1e3 * total[0], 1e3 * total[1], total[0] / total[1],
           1e3 * total[2], 1e3 * total[3], total[2] / total[3]);
    return 0;
}
