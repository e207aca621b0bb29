/* How long the flow takes, with OpenBLAS' own speed measured in the same run.
 *
 *   bench_flow [HIDDEN ...]      default: 512 2048
 *   bench_flow --serve HIDDEN THREADS
 *
 * Per width and number of threads (1, 2): forward pass of 64 rows, gradient of 16 rows, training step of 96 rows with
 * Adam's update, and the same step with the gradients computed and thrown away.  Best of several runs.
 *
 * --serve: a worker of bench/run (bench_worker.py).  Requests: forward, gradient, step, products (the step without its
 * update).  The answer: seconds, and the loss where there is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/blas.h"
#include "base/memory.h"
#include "flow/flow_train.h"
#include "flow/pass.h"

enum { DIMENSION = 768, BLOCKS = 8, FORWARD_ROWS = 64, GRADIENT_ROWS = 16, TRAIN_ROWS = 96 };

/* On a busy machine, measure one thread with -DBENCH_CLOCK=CLOCK_PROCESS_CPUTIME_ID. */
#ifndef BENCH_CLOCK
#define BENCH_CLOCK CLOCK_MONOTONIC
#endif

static const double budget = 1.0; /* seconds per figure */

static double now(void)
{
    struct timespec t;

    clock_gettime(BENCH_CLOCK, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best time of several calls. */
static double best_of(void (*function)(void *context), void *context)
{
    double best = 1e9, begin = now();

    for (int i = 0; i < 100 && (i < 3 || now() - begin < budget); i++) {
        double start = now();
        function(context);
        double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

struct setting {
    dn_flow *flow;
    flow_optimiser *optimiser;
    pool *workers;
    float *x;      /* (TRAIN_ROWS, DIMENSION) */
    float *z;      /* likewise */
    float *logdet; /* (TRAIN_ROWS) */
    float *scratch;
    double loss; /* of the last step */
};

enum { SIDE = 1024 };

static void run_gemm(void *context)
{
    float *matrices = context;

    blas_gemm(BLAS_N, BLAS_N, SIDE, SIDE, SIDE, 1, matrices, SIDE, matrices + SIDE * SIDE, SIDE, 0,
              matrices + 2 * SIDE * SIDE, SIDE);
}

static void run_forward(void *context)
{
    struct setting *s = context;

    flow_forward(s->flow, s->x, FORWARD_ROWS, s->z, s->logdet, s->scratch, s->workers);
}

static void give_z(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                   float *logdet_gradient)
{
    (void)context;
    (void)logdet;
    for (int32_t i = 0; i < rows * DIMENSION; i++)
        z_gradient[i] = z[i];
    for (int32_t r = 0; r < rows; r++)
        logdet_gradient[r] = -1;
}

static void run_gradient(void *context)
{
    struct setting *s = context;

    flow_gradient(s->flow, s->x, GRADIENT_ROWS, give_z, NULL, NULL, NULL, s->z, s->scratch, s->workers);
}

static void run_step(void *context)
{
    struct setting *s = context;

    s->loss = flow_train_step(s->optimiser, s->x, TRAIN_ROWS, NULL, s->workers);
}

static void discard(void *context, const linear_tile *tile)
{
    (void)context;
    (void)tile;
}

/* The step's products without its update. */
static void run_products(void *context)
{
    struct setting *s = context;
    float *transposed = s->optimiser->scratch;
    float *memory = transposed + subnet_transposed_floats(s->flow, TRAIN_ROWS);
    flow_pass pass = pass_make(s->flow, TRAIN_ROWS, 1, memory, s->workers);
    linear_sink sink = {.take = discard, .parameters = s->flow->weights, .transposed = transposed};

    pass_forward(&pass, s->x, TRAIN_ROWS, s->z);
    pass_backward(&pass, s->z, s->logdet, NULL, &sink);
}

/* Aborts on failure: this is a benchmark. */
static void *need(void *pointer)
{
    if (!pointer) {
        fprintf(stderr, "bench_flow: out of memory\n");
        exit(1);
    }
    return pointer;
}

static struct setting make_setting(int32_t hidden, int32_t threads)
{
    const adam_options adam = {2e-4, 0.8, 0.8, 1e-4, 1e-5};
    dn_allocator allocator = mem_allocator(NULL);
    dn_flow_options options = {
        .struct_size = sizeof options, .dimension = DIMENSION, .blocks = BLOCKS, .hidden = hidden, .clamp = 3};
    struct setting s = {0};
    dn_error error = {0};

    if (flow_create(&options, &s.flow, &error) != DN_OK ||
        flow_optimiser_create(s.flow, &adam, TRAIN_ROWS, &s.optimiser, &error) != DN_OK ||
        pool_create(&allocator, threads, &s.workers, &error) != DN_OK) {
        fprintf(stderr, "bench_flow: %s\n", error.message);
        exit(1);
    }
    s.x = need(mem_zalloc(&allocator, TRAIN_ROWS * DIMENSION, sizeof *s.x));
    s.z = need(mem_zalloc(&allocator, TRAIN_ROWS * DIMENSION, sizeof *s.z));
    s.logdet = need(mem_zalloc(&allocator, TRAIN_ROWS, sizeof *s.logdet));
    s.scratch = need(mem_alloc(&allocator, flow_gradient_scratch(s.flow), sizeof *s.scratch));
    for (int32_t i = 0; i < TRAIN_ROWS * DIMENSION; i++)
        s.x[i] = (float)(i * 2654435761u % 1000) / 500.0f - 1.0f; /* as bench_peer.py's step_rows() */
    return s;
}

static void free_setting(struct setting *s)
{
    dn_allocator allocator = mem_allocator(NULL);

    mem_free(&allocator, s->x);
    mem_free(&allocator, s->z);
    mem_free(&allocator, s->logdet);
    mem_free(&allocator, s->scratch);
    pool_free(s->workers);
    flow_optimiser_free(s->optimiser);
    flow_unref(s->flow);
}

static void measure(int32_t hidden, int32_t threads)
{
    struct setting s = make_setting(hidden, threads);
    double products = 2e-9 * (double)flow_parameters(DIMENSION, BLOCKS, hidden); /* GFLOP per row and pass */
    double forward = best_of(run_forward, &s), gradient = best_of(run_gradient, &s);
    double without = best_of(run_products, &s), step = best_of(run_step, &s);

    printf("hidden %4d, %d thread%s: forward of 64 rows %7.1f ms (%3.0f GFLOP/s), gradient of 16 rows %7.1f ms, "
           "step of 96 rows %7.1f ms (%3.0f GFLOP/s), without update %7.1f ms, ratio %.2f\n",
           hidden, threads, threads > 1 ? "s" : " ", 1e3 * forward, FORWARD_ROWS * products / forward, 1e3 * gradient,
           1e3 * step, 3 * TRAIN_ROWS * products / step, 1e3 * without, step / without);
    free_setting(&s);
}

static int serve(int32_t hidden, int32_t threads)
{
    static const struct request {
        const char *name;
        void (*run)(void *context);
    } requests[] = {
        {"forward", run_forward}, {"gradient", run_gradient}, {"step", run_step}, {"products", run_products}};
    enum { COUNT = sizeof requests / sizeof requests[0] };
    struct setting s = make_setting(hidden, threads);
    char line[64];

    printf("ready {\"rows\": %d, \"hidden\": %d}\n", TRAIN_ROWS, hidden);
    while (fgets(line, sizeof line, stdin)) {
        size_t i = 0;
        line[strcspn(line, "\n")] = '\0';
        while (i < COUNT && strcmp(line, requests[i].name) != 0)
            i++;
        if (i == COUNT) {
            fprintf(stderr, "bench_flow: unknown request %s\n", line);
            return 2;
        }
        double start = now();
        requests[i].run(&s);
        printf("%.9f %.9g\n", now() - start, s.loss);
    }
    free_setting(&s);
    return 0;
}

int main(int count, char **arguments)
{
    dn_allocator allocator = mem_allocator(NULL);

    setvbuf(stdout, NULL, _IOLBF, 0);
    blas_set_threads(1);
    if (count == 4 && strcmp(arguments[1], "--serve") == 0)
        return serve(atoi(arguments[2]), atoi(arguments[3]));
    float *matrices = need(mem_zalloc(&allocator, (size_t)3 * SIDE * SIDE, sizeof *matrices));
    double seconds = best_of(run_gemm, matrices);
    mem_free(&allocator, matrices);
    printf("OpenBLAS %s, SGEMM of %d: %.0f GFLOP/s on one thread\n", blas_corename(), SIDE,
           2e-9 * SIDE * SIDE * SIDE / seconds);
    for (int i = 1; i < (count > 1 ? count : 3); i++)
        for (int32_t threads = 1; threads <= 2; threads++)
            measure(count > 1 ? atoi(arguments[i]) : i == 1 ? 512 : 2048, threads);
    return 0;
}
