/* From feature maps to few white dimensions: standardise each channel, take the subspace of the largest variance
 * (principal components), whiten. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"
#include "base/rng.h"
#include "base/simd.h"
#include "base/status.h"
#include "positions/positions.h"
#include "positions/symmetric.h"

/* Directions carried along beside the wanted ones, and rounds of the subspace iteration: the error of the subspace
 * falls by the quotient of the first eigenvalue left out to the last one wanted in each round (Golub and Van Loan,
 * section 8.2). */
#define EXTRA 28
#define ROUNDS 30

/* A channel's deviation counts as at least this share of the channels' typical one, an eigenvalue as at least this:
 * what hardly varies in good images shall not be magnified without bound. */
#define LEAST_DEVIATION 0.1
#define LEAST_VARIANCE 1e-4

#define TILE 64 /* rows of a product that one task computes */

/* ---- mean and deviation of the channels ---- */

struct column_job {
    positions *p;
    float *rows; /* (count, channels) */
    int64_t count;
    double *deviation; /* (channels) */
};

static void channel_moments(void *context, int32_t tile, int32_t worker)
{
    const struct column_job *job = context;
    int32_t channels = job->p->channels, first = tile * TILE;
    int32_t end = channels - first < TILE ? channels : first + TILE;
    double sum[TILE] = {0}, square[TILE] = {0};

    (void)worker;
    for (int64_t i = 0; i < job->count; i++)
        for (int32_t c = first; c < end; c++)
            sum[c - first] += job->rows[i * channels + c];
    for (int32_t c = first; c < end; c++)
        job->p->mean[c] = (float)(sum[c - first] / (double)job->count);
    for (int64_t i = 0; i < job->count; i++)
        for (int32_t c = first; c < end; c++) {
            double difference = (double)job->rows[i * channels + c] - job->p->mean[c];
            square[c - first] += difference * difference;
        }
    for (int32_t c = first; c < end; c++)
        job->deviation[c] = sqrt(square[c - first] / (double)job->count);
}

/* Floors the deviations, so that all are positive. */
static void floor_deviations(const positions *p, double *deviation)
{
    double square = 0, level = 0;

    for (int32_t c = 0; c < p->channels; c++) {
        square += deviation[c] * deviation[c];
        level += fabs((double)p->mean[c]);
    }
    /* Of images that are all alike nothing is known but their level. */
    double least = fmax(LEAST_DEVIATION * sqrt(square / p->channels), 1e-3 * level / p->channels);
    for (int32_t c = 0; c < p->channels; c++)
        deviation[c] = fmax(deviation[c], least > 1e-12 ? least : 1e-12);
}

SIMD_CLONES static void standardise(float *restrict row, const float *restrict mean, const float *restrict inverse,
                                    int32_t channels)
{
    for (int32_t c = 0; c < channels; c++)
        row[c] = (row[c] - mean[c]) * inverse[c];
}

struct row_job {
    const positions *p;
    float *rows;
    int64_t count;
    const float *inverse; /* (channels): 1 / deviation */
};

static void standardise_rows(void *context, int32_t tile, int32_t worker)
{
    const struct row_job *job = context;

    (void)worker;
    for (int64_t i = (int64_t)tile * TILE; i < job->count && i < ((int64_t)tile + 1) * TILE; i++)
        standardise(job->rows + i * job->p->channels, job->p->mean, job->inverse, job->p->channels);
}

/* ---- products whose rows are shared out ---- */

/* C (m, n) = A B. */
struct product_job {
    product_factor a;
    const float *b;
    float *c;
    int64_t m, n, k;
};

static void product_tile(void *context, int32_t tile, int32_t worker)
{
    const struct product_job *job = context;
    int64_t first = (int64_t)tile * TILE, rows = job->m - first < TILE ? job->m - first : TILE;
    product_factor a = job->a;

    (void)worker;
    a.data += first * a.row;
    product(rows, job->n, job->k, a, job->b, job->n, 0, job->c + first * job->n, job->n);
}

static void run_product(struct product_job job, pool *workers)
{
    pool_run(workers, (int32_t)((job.m + TILE - 1) / TILE), product_tile, &job);
}

/* ---- the subspace ---- */

/* What the iteration needs; q and y are (channels, width). */
struct subspace {
    int32_t channels, width;
    float *covariance; /* (channels, channels) */
    float *q, *y;
    double *gram, *inverse; /* (width, width) */
    double *wide;           /* per worker (width): one row in double */
    pool *workers;
};

SIMD_CLONES static void add_scaled(double *restrict sum, const double *restrict row, double factor, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        sum[i] += factor * row[i];
}

/* Rows of gram = A'B in double; A, B: (channels, width). */
struct gram_job {
    const struct subspace *s;
    const float *a, *b;
    _Bool upper; /* the upper triangle is enough */
};

#define GRAM_ROWS 8 /* that one task computes */

static void gram_rows(void *context, int32_t task, int32_t worker)
{
    const struct gram_job *job = context;
    int32_t width = job->s->width, first = task * GRAM_ROWS;
    int32_t end = width - first < GRAM_ROWS ? width : first + GRAM_ROWS, from = job->upper ? first : 0;
    double *gram = job->s->gram, *wide = job->s->wide + (int64_t)worker * width;

    memset(gram + (int64_t)first * width, 0, (size_t)(end - first) * (size_t)width * sizeof *gram);
    for (int32_t c = 0; c < job->s->channels; c++) {
        for (int32_t i = from; i < width; i++)
            wide[i] = job->b[(int64_t)c * width + i];
        for (int32_t i = first; i < end; i++)
            add_scaled(gram + (int64_t)i * width + from, wide + from, job->a[(int64_t)c * width + i], width - from);
    }
}

static void gram_of(const struct subspace *s, const float *a, const float *b, _Bool upper)
{
    struct gram_job job = {s, a, b, upper};

    pool_run(s->workers, (s->width + GRAM_ROWS - 1) / GRAM_ROWS, gram_rows, &job);
}

/* Rows of q = y inverse. */
static void orthonormal_rows(void *context, int32_t tile, int32_t worker)
{
    const struct subspace *s = context;
    int32_t width = s->width, end = s->channels - tile * TILE < TILE ? s->channels : (tile + 1) * TILE;
    double *wide = s->wide + (int64_t)worker * width;

    for (int32_t c = tile * TILE; c < end; c++) {
        memset(wide, 0, (size_t)width * sizeof *wide);
        for (int32_t j = 0; j < width; j++)
            add_scaled(wide + j, s->inverse + (int64_t)j * width + j, s->y[(int64_t)c * width + j], width - j);
        for (int32_t i = 0; i < width; i++)
            s->q[(int64_t)c * width + i] = (float)wide[i];
    }
}

/* q = y inverse(U) with y'y = U'U: orthonormal columns of the same span. */
static void orthonormalise(struct subspace *s)
{
    int32_t width = s->width;

    gram_of(s, s->y, s->y, 1);
    double trace = 0;
    for (int32_t i = 0; i < width; i++)
        trace += s->gram[(int64_t)i * width + i];
    for (int32_t i = 0; i < width; i++) /* so that rounding cannot make the factorisation fail */
        s->gram[(int64_t)i * width + i] += 1e-14 * trace + 1e-300;
    cholesky(s->gram, width);
    invert_triangle(s->gram, width, s->inverse);
    pool_run(s->workers, (s->channels + TILE - 1) / TILE, orthonormal_rows, s);
}

static void iterate(struct subspace *s)
{
    struct product_job job = {{s->covariance, s->channels, 1}, s->q, s->y, s->channels, s->width, s->channels};
    rng generator;

    rng_seed(&generator, 0, RNG_POSITIONS);
    for (int64_t i = 0; i < (int64_t)s->channels * s->width; i++)
        s->y[i] = (float)rng_normal(&generator);
    orthonormalise(s);
    for (int round = 0; round < ROUNDS; round++) {
        run_product(job, s->workers);
        orthonormalise(s);
    }
    run_product(job, s->workers); /* y = A q */
}

/* The `dims` largest of the eigenvalues on the diagonal of a (width, width), largest first. */
static void choose_largest(const double *a, int32_t width, int32_t dims, int32_t *chosen)
{
    for (int32_t k = 0; k < dims; k++) {
        int32_t best = -1;
        for (int32_t i = 0; i < width; i++) {
            _Bool taken = 0;
            for (int32_t j = 0; j < k; j++)
                taken |= chosen[j] == i;
            if (!taken && (best < 0 || a[(int64_t)i * width + i] > a[(int64_t)best * width + best]))
                best = i;
        }
        chosen[k] = best;
    }
}

/* projection = deviation^-1 q (eigenvectors of q'Aq) eigenvalues^-1/2 (Rayleigh and Ritz). */
static void make_projection(positions *p, const struct subspace *s, const float *inverse)
{
    int32_t width = s->width, chosen[POSITIONS_MAX_DIMS];
    double *vectors = s->inverse;

    gram_of(s, s->q, s->y, 0);
    for (int32_t i = 0; i < width; i++) /* rounding leaves it a little unsymmetric */
        for (int32_t j = 0; j < i; j++) {
            double mean = (s->gram[(int64_t)i * width + j] + s->gram[(int64_t)j * width + i]) / 2;
            s->gram[(int64_t)i * width + j] = s->gram[(int64_t)j * width + i] = mean;
        }
    jacobi(s->gram, width, vectors);
    choose_largest(s->gram, width, p->dims, chosen);
    for (int32_t c = 0; c < p->channels; c++)
        for (int32_t k = 0; k < p->dims; k++) {
            const double *vector = vectors + (int64_t)chosen[k] * width;
            double shifted = s->gram[(int64_t)chosen[k] * width + chosen[k]], sum = 0;
            double value = fmax(shifted - LEAST_VARIANCE, LEAST_VARIANCE);
            for (int32_t i = 0; i < width; i++)
                sum += vector[i] * s->q[(int64_t)c * width + i];
            p->projection[(int64_t)c * p->dims + k] = (float)(sum / sqrt(value) * inverse[c]);
        }
}

static dn_status find_subspace(positions *p, const float *rows, int64_t count, const float *inverse, pool *workers,
                               dn_error *error)
{
    size_t channels = (size_t)p->channels;
    int32_t width = p->channels - p->dims < EXTRA ? p->channels : p->dims + EXTRA;
    size_t panel = mem_padded_floats(channels * (size_t)width), square = mem_padded_floats(channels * channels);
    size_t side = (size_t)width, threads = (size_t)pool_threads(workers);
    float *floats = mem_alloc(&p->allocator, square + 2 * panel, sizeof *floats);
    double *doubles = mem_alloc(&p->allocator, (2 * side + threads) * side, sizeof *doubles);
    struct subspace s = {.channels = p->channels, .width = width, .covariance = floats, .workers = workers};
    dn_status status = floats && doubles ? DN_OK : fail_memory(error, "the projection of the feature maps");

    if (status == DN_OK) {
        s.q = floats + square;
        s.y = s.q + panel;
        s.gram = doubles;
        s.inverse = s.gram + side * side;
        s.wide = s.inverse + side * side;
        struct product_job covariance = {{rows, 1, p->channels}, rows, s.covariance, p->channels, p->channels, count};
        run_product(covariance, workers);
        for (size_t i = 0; i < channels * channels; i++)
            s.covariance[i] /= (float)count;
        for (size_t i = 0; i < channels; i++) /* directions without variance must not vanish from the iteration */
            s.covariance[i * channels + i] += (float)LEAST_VARIANCE;
        iterate(&s);
        make_projection(p, &s, inverse);
    }
    mem_free(&p->allocator, floats);
    mem_free(&p->allocator, doubles);
    return status;
}

dn_status positions_fit_projection(positions *p, float *rows, int64_t count, pool *workers, dn_error *error)
{
    size_t channels = (size_t)p->channels;
    double *deviation = mem_alloc(&p->allocator, channels, sizeof *deviation);
    float *inverse = mem_alloc(&p->allocator, channels, sizeof *inverse);
    dn_status status = deviation && inverse ? DN_OK : fail_memory(error, "the projection of the feature maps");

    if (status == DN_OK) {
        struct column_job moments = {p, rows, count, deviation};
        struct row_job all = {p, rows, count, inverse};
        pool_run(workers, (p->channels + TILE - 1) / TILE, channel_moments, &moments);
        floor_deviations(p, deviation);
        for (size_t c = 0; c < channels; c++)
            inverse[c] = (float)(1 / deviation[c]);
        pool_run(workers, (int32_t)((count + TILE - 1) / TILE), standardise_rows, &all);
        status = find_subspace(p, rows, count, inverse, workers, error);
    }
    mem_free(&p->allocator, deviation);
    mem_free(&p->allocator, inverse);
    return status;
}
