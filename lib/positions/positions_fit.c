/* The Gaussian of each cell, in closed form.
 *
 * With n images, z_pi the row of image i in cell p, c_p the mean of cell p and N(p) the cells of its 3 x 3
 * neighbourhood inside the grid, w_q = 1 for the cell itself and `neighbour` for the others:
 *     S   = sum over p, i of (z_pi - c_p)(z_pi - c_p)' / (cells (n - 1))
 *     A_p = (sum over q in N(p), i of w_q (z_qi - c_p)(z_qi - c_p)' + prior S) / (n sum w_q + prior) + floor I
 * The neighbours' rows steady the covariance, and where they differ from the cell's they widen it: a part that lies a
 * few pixels beside its place is not anomalous.  Of an image with copies each view counts as its share of one image:
 * copies say how an image may vary, not that there are more of them.
 *
 * Without some of the views, the set E of v views, means and scatters are those of all n without theirs:
 *     c'_p = c_p + s_p,  s_p = - sum over i in E of (z_pi - c_p) / (n - v)
 *     sum over the others of (z_pi - c'_p)(z_pi - c'_p)' =
 *         sum over all of (z_pi - c_p)(z_pi - c_p)' - sum over i in E of (z_pi - c_p)(z_pi - c_p)' - (n - v) s_p s_p'
 * which takes a fold's share of the time that sums over the others would take.  Where next to nothing is left, an image
 * that is nothing like the others being left out, they are summed anew. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/product.h"
#include "base/simd.h"
#include "base/status.h"
#include "positions/positions.h"
#include "positions/symmetric.h"

positions_options positions_default_options(void)
{
    return (positions_options){.dims = 100, .prior = 20, .floor = 0.002, .neighbour = 0.3, .views = 1};
}

struct positions_fit {
    positions *p;
    positions_options options;
    const float *z; /* (n, cells, dims) */
    int32_t n;
    pool *workers;
    float *centre;  /* (cells, dims): of all views */
    float *scatter; /* (cells, upper triangle): sum over all views of (z - c)(z - c)' of each cell */
    float *rest;    /* likewise, of the views that are not left out; NULL: none ever were */

    int32_t *views; /* (n): first those that are left out, then the others */
    int32_t left_count;
    double images;     /* that the others are of */
    const float *used; /* scatter or rest */
    double *shared;    /* (dims, dims): S, upper triangle */
    float *distances;  /* (n / views, cells): of the images that are left out */
    float *rows;       /* per worker: (n + 1, dims) and (dims, dims) */
    double *squares;   /* per worker: two of (dims, dims) */
    size_t rows_stride, squares_stride;
    _Bool *failed; /* (cells) */
};

static _Bool counts(const positions_fit *fit, size_t cell)
{
    return !fit->options.inside || fit->options.inside[cell];
}

/* Row of a view in a cell. */
static const float *row_of(const positions_fit *fit, int32_t view, int32_t cell)
{
    return fit->z + ((size_t)view * positions_cells(fit->p) + (size_t)cell) * (size_t)fit->p->dims;
}

/* sum (dims, dims) = rows' rows.  rows: (count, dims) */
static void sum_squares(const float *rows, int32_t count, int64_t dims, float *sum)
{
    product(dims, dims, count, (product_factor){rows, 1, dims}, rows, dims, 0, sum, dims);
}

/* Mean c (dims) and scatter (triangle) of one cell over `count` views.  views: which; NULL: the first. */
static void measure(const positions_fit *fit, int32_t cell, const int32_t *views, int32_t count, float *rows,
                    float *centre, float *scatter)
{
    size_t dims = (size_t)fit->p->dims;
    float *square = rows + ((size_t)fit->n + 1) * dims;
    double mean[POSITIONS_MAX_DIMS] = {0};

    for (int32_t i = 0; i < count; i++) {
        const float *z = row_of(fit, views ? views[i] : i, cell);
        for (size_t j = 0; j < dims; j++)
            mean[j] += z[j];
    }
    for (size_t j = 0; j < dims; j++)
        centre[j] = (float)(mean[j] / count);
    for (int32_t i = 0; i < count; i++) {
        const float *z = row_of(fit, views ? views[i] : i, cell);
        for (size_t j = 0; j < dims; j++)
            rows[(size_t)i * dims + j] = z[j] - centre[j];
    }
    sum_squares(rows, count, (int64_t)dims, square);
    for (size_t i = 0; i < dims; scatter += dims - i, i++)
        memcpy(scatter, square + i * dims + i, (dims - i) * sizeof *scatter);
}

static void measure_cell(void *context, int32_t cell, int32_t worker)
{
    const positions_fit *fit = context;
    size_t dims = (size_t)fit->p->dims;

    measure(fit, cell, NULL, fit->n, fit->rows + (size_t)worker * fit->rows_stride, fit->centre + (size_t)cell * dims,
            fit->scatter + (size_t)cell * positions_triangle(fit->p->dims));
}

static double trace(const float *triangle, size_t dims)
{
    double sum = 0;

    for (size_t i = 0; i < dims; triangle += dims - i, i++)
        sum += *triangle;
    return sum;
}

/* Less than this share of a scatter is left: rounding, of numbers as large as the whole, would be felt in it. */
#define LEAST_LEFT 0.02

/* Mean and scatter of one cell without the views that are left out. */
static void leave_out(void *context, int32_t cell, int32_t worker)
{
    const positions_fit *fit = context;
    size_t dims = (size_t)fit->p->dims, at = (size_t)cell * positions_triangle(fit->p->dims);
    size_t last = (size_t)fit->left_count * dims;
    double others = fit->n - fit->left_count, sum[POSITIONS_MAX_DIMS] = {0}, taken = 0;
    const float *centre = fit->centre + (size_t)cell * dims, *all = fit->scatter + at;
    float *rest_centre = fit->p->centre + (size_t)cell * dims, *rest = fit->rest + at;
    float *rows = fit->rows + (size_t)worker * fit->rows_stride, *square = rows + ((size_t)fit->n + 1) * dims;

    for (int32_t i = 0; i < fit->left_count; i++) {
        const float *z = row_of(fit, fit->views[i], cell);
        for (size_t j = 0; j < dims; j++) {
            float difference = z[j] - centre[j];
            rows[(size_t)i * dims + j] = difference;
            sum[j] += difference;
        }
    }
    for (size_t j = 0; j < dims; j++) {
        double shift = -sum[j] / others;
        rest_centre[j] = (float)(centre[j] + shift);
        rows[last + j] = (float)(sqrt(others) * shift);
    }
    for (size_t i = 0; i < last + dims; i++)
        taken += (double)rows[i] * rows[i];
    double whole = trace(all, dims);
    if (!(whole - taken >= LEAST_LEFT * whole)) {
        measure(fit, cell, fit->views + fit->left_count, fit->n - fit->left_count, rows, rest_centre, rest);
        return;
    }
    sum_squares(rows, fit->left_count + 1, (int64_t)dims, square);
    for (size_t i = 0; i < dims; all += dims - i, rest += dims - i, i++)
        for (size_t j = i; j < dims; j++)
            rest[j - i] = all[j - i] - square[i * dims + j];
}

/* sum (n) += x (n) */
SIMD_CLONES static void add_floats(double *restrict sum, const float *restrict x, size_t n)
{
    for (size_t j = 0; j < n; j++)
        sum[j] += x[j];
}

/* One row of S, from its diagonal on: the sum over all cells, in their order. */
static void share_row(void *context, int32_t row, int32_t worker)
{
    const positions_fit *fit = context;
    size_t dims = (size_t)fit->p->dims, length = dims - (size_t)row, cells = positions_cells(fit->p), counted = 0;
    size_t triangle = positions_triangle(fit->p->dims), before = triangle - length * (length + 1) / 2;
    double *sum = fit->shared + (size_t)row * dims + row;

    (void)worker;
    memset(sum, 0, length * sizeof *sum);
    for (size_t cell = 0; cell < cells; cell++) {
        if (!counts(fit, cell))
            continue;
        add_floats(sum, fit->used + cell * triangle + before, length);
        counted++;
    }
    double weight = 1.0 / (fit->options.views * (double)counted * (fit->images > 1 ? fit->images - 1 : 1));
    for (size_t j = 0; j < length; j++)
        sum[j] *= weight;
}

/* Upper triangle of a (n, n) += share scatter + factor shift shift'. */
SIMD_CLONES static void add_square(double *restrict a, const float *restrict scatter, const double *restrict shift,
                                   size_t n, double share, double factor)
{
    for (size_t i = 0; i < n; a += n + 1, scatter += n - i, shift++, i++) {
        double own = factor * *shift;
        for (size_t j = 0; j < n - i; j++)
            a[j] += share * scatter[j] + own * shift[j];
    }
}

/* a += weight times the scatter of cell q about the centre of cell p: its own about its own centre, and n times the
 * square of the difference of the centres.  Upper triangle only. */
static void add_neighbour(const positions_fit *fit, size_t p, size_t q, double weight, double *a)
{
    size_t dims = (size_t)fit->p->dims;
    double shift[POSITIONS_MAX_DIMS];

    for (size_t i = 0; i < dims; i++)
        shift[i] = (double)fit->p->centre[q * dims + i] - fit->p->centre[p * dims + i];
    add_square(a, fit->used + q * positions_triangle(fit->p->dims), shift, dims, weight / fit->options.views,
               weight * fit->images);
}

/* A_p, upper triangle. */
static void covariance_of(const positions_fit *fit, int32_t cell, double *a)
{
    int32_t columns = fit->p->columns, y = cell / columns, x = cell % columns;
    double rows = 0;
    size_t dims = (size_t)fit->p->dims;

    memset(a, 0, dims * dims * sizeof *a);
    for (int32_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < fit->p->rows; v++)
        for (int32_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < columns; u++) {
            double weight = v == y && u == x ? 1 : fit->options.neighbour;
            size_t neighbour = (size_t)v * (size_t)columns + (size_t)u;
            if (!counts(fit, neighbour))
                continue;
            add_neighbour(fit, (size_t)cell, neighbour, weight, a);
            rows += weight * fit->images;
        }
    double weight = 1 / (rows + fit->options.prior);
    for (size_t i = 0; i < dims; i++) {
        for (size_t j = i; j < dims; j++)
            a[i * dims + j] = (a[i * dims + j] + fit->options.prior * fit->shared[i * dims + j]) * weight;
        a[i * dims + i] += fit->options.floor;
    }
}

/* The scatter is summed in float: where a cell's rows differ by far more than others' the floor can be below its
 * rounding, and A is not positive.  Then so much more is added to the diagonal, in shares of its mean. */
#define FIRST_SHARE 1e-6
#define LAST_SHARE 1e-3

/* A_p = U'U, U in place; false if that is no matter of rounding. */
static _Bool factorise(const positions_fit *fit, int32_t cell, double *a)
{
    int32_t dims = fit->p->dims;
    double mean = 0;

    covariance_of(fit, cell, a);
    for (int32_t i = 0; i < dims; i++)
        mean += a[(size_t)i * (size_t)dims + (size_t)i] / dims;
    if (!isfinite(mean)) /* a single infinite number has a root, too */
        return 0;
    if (cholesky(a, dims))
        return 1;
    for (double share = FIRST_SHARE; share <= LAST_SHARE; share *= 10) {
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
    const positions_fit *fit = context;
    int32_t dims = fit->p->dims;
    double *a = fit->squares + (size_t)worker * fit->squares_stride, *inverse = a + (size_t)dims * (size_t)dims;
    float *factor = fit->p->owned + (size_t)cell * positions_triangle(dims);

    fit->failed[cell] = !factorise(fit, cell, a);
    if (fit->failed[cell])
        return;
    invert_triangle(a, dims, inverse);
    for (int32_t i = 0; i < dims; i++)
        for (int32_t j = i; j < dims; j++)
            *factor++ = (float)inverse[(size_t)i * (size_t)dims + (size_t)j];
}

/* How far the images that are left out are from the others: their own views, the first of each. */
static void judge_cell(void *context, int32_t cell, int32_t worker)
{
    const positions_fit *fit = context;
    int32_t dims = fit->p->dims, views = fit->options.views;
    double *a = fit->squares + (size_t)worker * fit->squares_stride, *difference = a + (size_t)dims * (size_t)dims;
    const float *centre = fit->p->centre + (size_t)cell * (size_t)dims;

    fit->failed[cell] = !factorise(fit, cell, a);
    for (int32_t i = 0; i < fit->left_count && !fit->failed[cell]; i++) {
        int32_t view = fit->views[i];
        if (view % views != 0)
            continue;
        const float *z = row_of(fit, view, cell);
        for (int32_t j = 0; j < dims; j++)
            difference[j] = (double)z[j] - centre[j];
        fit->distances[(size_t)(view / views) * positions_cells(fit->p) + (size_t)cell] =
            (float)(squared_distance(a, dims, difference) / dims);
    }
}

/* The Gaussians from means and scatters, and what each of them is for. */
static dn_status factorise_cells(positions_fit *fit, void (*use)(void *, int32_t, int32_t), dn_error *error)
{
    int32_t cells = (int32_t)positions_cells(fit->p);

    pool_run(fit->workers, fit->p->dims, share_row, fit);
    pool_run(fit->workers, cells, use, fit);
    for (int32_t cell = 0; cell < cells; cell++)
        if (fit->failed[cell])
            return fail(error, DN_E_NUMERIC,
                        "the feature maps' covariance at row %d, column %d is not positive: the "
                        "numbers of the backbone or of the images overflow",
                        cell / fit->p->columns, cell % fit->p->columns);
    return DN_OK;
}

dn_status positions_fit_create(positions *p, const positions_options *options, const float *z, int32_t n, pool *workers,
                               positions_fit **out, dn_error *error)
{
    const dn_allocator *allocator = &p->allocator;
    size_t dims = (size_t)p->dims, cells = positions_cells(p), threads = (size_t)pool_threads(workers);

    *out = NULL;
    positions_fit *fit = mem_zalloc(allocator, 1, sizeof *fit);
    if (!fit)
        return fail_memory(error, "the density at every position");
    fit->p = p;
    fit->options = *options;
    fit->z = z;
    fit->n = n;
    fit->workers = workers;
    fit->rows_stride = mem_padded_floats(((size_t)n + 1 + dims) * dims);
    fit->squares_stride = 2 * dims * dims;
    fit->centre = mem_alloc(allocator, cells, dims * sizeof *fit->centre);
    fit->scatter = mem_alloc(allocator, cells, positions_triangle(p->dims) * sizeof *fit->scatter);
    fit->views = mem_alloc(allocator, (size_t)n, sizeof *fit->views);
    fit->shared = mem_alloc(allocator, dims, dims * sizeof *fit->shared);
    fit->rows = mem_alloc(allocator, threads, fit->rows_stride * sizeof *fit->rows);
    fit->squares = mem_alloc(allocator, threads, fit->squares_stride * sizeof *fit->squares);
    fit->failed = mem_zalloc(allocator, cells, sizeof *fit->failed);
    if (!fit->centre || !fit->scatter || !fit->views || !fit->shared || !fit->rows || !fit->squares || !fit->failed) {
        positions_fit_free(fit);
        return fail_memory(error, "the density at every position");
    }
    pool_run(workers, (int32_t)cells, measure_cell, fit);
    *out = fit;
    return DN_OK;
}

dn_status positions_fit_all(positions_fit *fit, dn_error *error)
{
    memcpy(fit->p->centre, fit->centre, positions_cells(fit->p) * (size_t)fit->p->dims * sizeof *fit->centre);
    fit->images = (double)fit->n / fit->options.views;
    fit->used = fit->scatter;
    return factorise_cells(fit, factorise_cell, error);
}

dn_status positions_fit_judge(positions_fit *fit, const int32_t *fold, int32_t left_out, float *distances,
                              dn_error *error)
{
    if (!fit->rest)
        fit->rest = mem_alloc(&fit->p->allocator, positions_cells(fit->p),
                              positions_triangle(fit->p->dims) * sizeof *fit->rest);
    if (!fit->rest)
        return fail_memory(error, "the density at every position");
    fit->left_count = 0;
    for (int32_t i = 0; i < fit->n; i++)
        if (fold[i] == left_out)
            fit->views[fit->left_count++] = i;
    for (int32_t i = 0, next = fit->left_count; i < fit->n; i++)
        if (fold[i] != left_out)
            fit->views[next++] = i;
    fit->images = (double)(fit->n - fit->left_count) / fit->options.views;
    fit->used = fit->rest;
    fit->distances = distances;
    pool_run(fit->workers, (int32_t)positions_cells(fit->p), leave_out, fit);
    return factorise_cells(fit, judge_cell, error);
}

void positions_fit_free(positions_fit *fit)
{
    if (!fit)
        return;
    dn_allocator allocator = fit->p->allocator;
    mem_free(&allocator, fit->centre);
    mem_free(&allocator, fit->scatter);
    mem_free(&allocator, fit->rest);
    mem_free(&allocator, fit->views);
    mem_free(&allocator, fit->shared);
    mem_free(&allocator, fit->rows);
    mem_free(&allocator, fit->squares);
    mem_free(&allocator, fit->failed);
    mem_free(&allocator, fit);
}

dn_status positions_fit_cells(positions *p, const positions_options *options, const float *z, int32_t n, pool *workers,
                              dn_error *error)
{
    positions_fit *fit;

    TRY(positions_fit_create(p, options, z, n, workers, &fit, error));
    dn_status status = positions_fit_all(fit, error);
    positions_fit_free(fit);
    return status;
}
