/* The Gaussian of each cell, in closed form.
 *
 * With n images, z_pi the row of image i in cell p, c_p the mean of cell p and N(p) the cells of its 3 x 3
 * neighbourhood inside the grid, w_q = 1 for the cell itself and `neighbour` for the others:
 *     S   = sum over p, i of (z_pi - c_p)(z_pi - c_p)' / (cells (n - 1))
 *     A_p = (sum over q in N(p), i of w_q (z_qi - c_p)(z_qi - c_p)' + prior S) / (n sum w_q + prior) + floor I
 * The neighbours' rows steady the covariance, and where they differ from the cell's they widen it: a part that lies a
 * few pixels beside its place is not anomalous.  Of an image with copies each view counts as its share of one image:
 * copies say how an image may vary, not that there are more of them. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"
#include "base/status.h"
#include "positions/positions.h"
#include "positions/symmetric.h"

positions_options positions_default_options(void)
{
    return (positions_options){.dims = 100, .prior = 20, .floor = 0.002, .neighbour = 0.3, .views = 1};
}

struct fit {
    positions *p;
    const positions_options *options;
    const float *z;         /* (n, cells, dims) */
    const int32_t *members; /* (count): views that are learned from */
    int32_t count;
    double images;          /* that these views are of */
    float *centre, *factor; /* of p */
    float *scatter;         /* (cells, dims, dims): sum over images of (z - c)(z - c)' of each cell */
    double *shared;         /* (dims, dims): S */
    float *rows;            /* per worker: (count, dims) */
    double *squares;        /* per worker: two of (dims, dims) */
    size_t rows_stride, squares_stride;
    _Bool *failed; /* (cells) */
};

static _Bool counts(const struct fit *fit, size_t cell)
{
    return !fit->options->inside || fit->options->inside[cell];
}

/* Mean and scatter of one cell. */
static void measure_cell(void *context, int32_t cell, int32_t worker)
{
    const struct fit *fit = context;
    size_t dims = (size_t)fit->p->dims, image = positions_cells(fit->p) * dims;
    float *rows = fit->rows + (size_t)worker * fit->rows_stride, *centre = fit->centre + (size_t)cell * dims;
    double mean[POSITIONS_MAX_DIMS] = {0};

    for (int32_t i = 0; i < fit->count; i++) {
        const float *z = fit->z + (size_t)fit->members[i] * image + (size_t)cell * dims;
        for (size_t j = 0; j < dims; j++)
            mean[j] += z[j];
    }
    for (size_t j = 0; j < dims; j++)
        centre[j] = (float)(mean[j] / fit->count);
    for (int32_t i = 0; i < fit->count; i++) {
        const float *z = fit->z + (size_t)fit->members[i] * image + (size_t)cell * dims;
        for (size_t j = 0; j < dims; j++)
            rows[(size_t)i * dims + j] = z[j] - centre[j];
    }
    product((int64_t)dims, (int64_t)dims, fit->count, (product_factor){rows, 1, (int64_t)dims}, rows, (int64_t)dims, 0,
            fit->scatter + (size_t)cell * dims * dims, (int64_t)dims);
}

/* One row of S: the sum over all cells, in their order. */
static void share_row(void *context, int32_t row, int32_t worker)
{
    const struct fit *fit = context;
    size_t dims = (size_t)fit->p->dims, cells = positions_cells(fit->p), counted = 0;
    double *sum = fit->shared + (size_t)row * dims;

    (void)worker;
    memset(sum, 0, dims * sizeof *sum);
    for (size_t cell = 0; cell < cells; cell++) {
        const float *scatter = fit->scatter + (cell * dims + (size_t)row) * dims;
        for (size_t j = 0; counts(fit, cell) && j < dims; j++)
            sum[j] += scatter[j];
        counted += counts(fit, cell);
    }
    double weight = 1.0 / (fit->options->views * (double)counted * (fit->images > 1 ? fit->images - 1 : 1));
    for (size_t j = 0; j < dims; j++)
        sum[j] *= weight;
}

/* a += weight times the scatter of cell q about the centre of cell p: its own about its own centre, and n times the
 * square of the difference of the centres.  Upper triangle only. */
static void add_neighbour(const struct fit *fit, size_t p, size_t q, double weight, double *a)
{
    size_t dims = (size_t)fit->p->dims;
    double share = weight / fit->options->views;
    const float *scatter = fit->scatter + q * dims * dims;
    double shift[POSITIONS_MAX_DIMS];

    for (size_t i = 0; i < dims; i++)
        shift[i] = (double)fit->centre[q * dims + i] - fit->centre[p * dims + i];
    for (size_t i = 0; i < dims; i++) {
        double factor = weight * fit->images * shift[i];
        for (size_t j = i; j < dims; j++)
            a[i * dims + j] += share * scatter[i * dims + j] + factor * shift[j];
    }
}

/* A_p, upper triangle. */
static void covariance_of(const struct fit *fit, int32_t cell, double *a)
{
    int32_t columns = fit->p->columns, y = cell / columns, x = cell % columns;
    double rows = 0;
    size_t dims = (size_t)fit->p->dims;

    memset(a, 0, dims * dims * sizeof *a);
    for (int32_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < fit->p->rows; v++)
        for (int32_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < columns; u++) {
            double weight = v == y && u == x ? 1 : fit->options->neighbour;
            size_t neighbour = (size_t)v * (size_t)columns + (size_t)u;
            if (!counts(fit, neighbour))
                continue;
            add_neighbour(fit, (size_t)cell, neighbour, weight, a);
            rows += weight * fit->images;
        }
    double weight = 1 / (rows + fit->options->prior);
    for (size_t i = 0; i < dims; i++) {
        for (size_t j = i; j < dims; j++)
            a[i * dims + j] = (a[i * dims + j] + fit->options->prior * fit->shared[i * dims + j]) * weight;
        a[i * dims + i] += fit->options->floor;
    }
}

/* The scatter is summed in float: where a cell's rows differ by far more than others' the floor can be below its
 * rounding, and A is not positive.  Then so much more is added to the diagonal, in shares of its mean. */
#define FIRST_SHARE 1e-6
#define LAST_SHARE 1e-3

/* A_p = U'U, U in place; false if that is no matter of rounding. */
static _Bool factorise(const struct fit *fit, int32_t cell, double *a)
{
    int32_t dims = fit->p->dims;
    double mean = 0;

    covariance_of(fit, cell, a);
    for (int32_t i = 0; i < dims; i++)
        mean += a[(size_t)i * (size_t)dims + (size_t)i] / dims;
    if (cholesky(a, dims))
        return 1;
    for (double share = FIRST_SHARE; isfinite(mean) && share <= LAST_SHARE; share *= 10) {
        covariance_of(fit, cell, a);
        for (int32_t i = 0; i < dims; i++)
            a[(size_t)i * (size_t)dims + (size_t)i] += share * mean;
        if (cholesky(a, dims))
            return 1;
    }
    return 0;
}

static void factorise_cell(void *context, int32_t cell, int32_t worker)
{
    const struct fit *fit = context;
    int32_t dims = fit->p->dims;
    double *a = fit->squares + (size_t)worker * fit->squares_stride, *inverse = a + (size_t)dims * (size_t)dims;
    float *factor = fit->factor + (size_t)cell * positions_triangle(dims);

    fit->failed[cell] = !factorise(fit, cell, a);
    if (fit->failed[cell])
        return;
    invert_triangle(a, dims, inverse);
    for (int32_t i = 0; i < dims; i++)
        for (int32_t j = i; j < dims; j++)
            *factor++ = (float)inverse[(size_t)i * (size_t)dims + (size_t)j];
}

static dn_status run_fit(struct fit *fit, pool *workers, dn_error *error)
{
    int32_t cells = (int32_t)positions_cells(fit->p);

    pool_run(workers, cells, measure_cell, fit);
    pool_run(workers, fit->p->dims, share_row, fit);
    pool_run(workers, cells, factorise_cell, fit);
    for (int32_t cell = 0; cell < cells; cell++)
        if (fit->failed[cell])
            return fail(error, DN_E_NUMERIC,
                        "the feature maps' covariance at row %d, column %d is not positive: the "
                        "numbers of the backbone or of the images overflow",
                        cell / fit->p->columns, cell % fit->p->columns);
    return DN_OK;
}

dn_status positions_fit_cells(positions *p, const positions_options *options, const float *z, int32_t n,
                              const int32_t *fold, int32_t left_out, pool *workers, dn_error *error)
{
    size_t dims = (size_t)p->dims, cells = positions_cells(p), threads = (size_t)pool_threads(workers);
    int32_t *members = mem_alloc(&p->allocator, (size_t)n, sizeof *members);
    struct fit fit = {.p = p,
                      .options = options,
                      .z = z,
                      .members = members,
                      .centre = p->centre,
                      .factor = p->owned,
                      .rows_stride = mem_padded_floats((size_t)n * dims),
                      .squares_stride = 2 * dims * dims};

    fit.scatter = mem_alloc(&p->allocator, cells, dims * dims * sizeof *fit.scatter);
    fit.shared = mem_alloc(&p->allocator, dims, dims * sizeof *fit.shared);
    fit.rows = mem_alloc(&p->allocator, threads, fit.rows_stride * sizeof *fit.rows);
    fit.squares = mem_alloc(&p->allocator, threads, fit.squares_stride * sizeof *fit.squares);
    fit.failed = mem_zalloc(&p->allocator, cells, sizeof *fit.failed);
    dn_status status = DN_OK;
    if (!members || !fit.scatter || !fit.shared || !fit.rows || !fit.squares || !fit.failed) {
        status = fail_memory(error, "the density at every position");
    } else {
        for (int32_t i = 0; i < n; i++)
            if (left_out < 0 || fold[i] != left_out)
                members[fit.count++] = i;
        fit.images = (double)fit.count / options->views;
        status = run_fit(&fit, workers, error);
    }
    mem_free(&p->allocator, members);
    mem_free(&p->allocator, fit.scatter);
    mem_free(&p->allocator, fit.shared);
    mem_free(&p->allocator, fit.rows);
    mem_free(&p->allocator, fit.squares);
    mem_free(&p->allocator, fit.failed);
    return status;
}
