/* Fuzz target: the density at every position, fitted to images of any shape and kind, also such as make covariances
 * singular or huge.  Distances are compared with the formulas of docs/numerics.md, computed in double from the same
 * projected rows; then the density goes through its tensors, and has the same bits. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "positions/positions.h"

enum { ROWS, COLUMNS, CHANNELS, DIMS, IMAGES, KIND, VIEWS, SEED, BYTES = SEED + 4 };
enum { MAX_DIMS = 10 };

static uint32_t state;

static double draw(void)
{
    state = state * 1664525u + 1013904223u;
    return ((double)(state >> 8) - (1 << 23)) / (1 << 23);
}

static void *memory(size_t n, size_t size)
{
    void *block = calloc(n ? n : 1, size);

    fuzz_require(block != NULL, "memory");
    return block;
}

/* A case: maps (images, cells, channels), learned as images / views pictures of that many views. */
typedef struct sample {
    int32_t rows, columns, cells, channels, dims, images, views;
    float *maps;
} sample;

/* kind: what is constant, and how far from 1 the numbers are. */
static void draw_maps(sample *s, uint8_t kind)
{
    static const double scales[] = {1, 1e-6, 1e6, 1e18};
    size_t n = (size_t)s->images * (size_t)s->cells * (size_t)s->channels;

    s->maps = memory(n, sizeof *s->maps);
    for (size_t i = 0; i < n; i++) {
        size_t channel = i % (size_t)s->channels, image = i / (size_t)s->channels / (size_t)s->cells;
        double value = draw() * (kind & 8 ? pow(0.1, (double)channel) : 1);
        if ((kind & 1 && channel % 2) || (kind & 2 && image > 0))
            value = kind & 2 && image > 0 ? (double)s->maps[i % ((size_t)s->cells * (size_t)s->channels)] : 0.5;
        else
            value *= scales[kind >> 4 & 3];
        s->maps[i] = (float)(kind & 4 && value < 0 ? 0 : value);
    }
}

/* ---- in double ---- */

typedef struct judge {
    const sample *s;
    const positions_options *options;
    const float *z; /* (images, cells, dims) */
    double *centre; /* (cells, dims) */
    double shared[MAX_DIMS * MAX_DIMS];
} judge;

static const float *row_of(const judge *j, int32_t image, int32_t cell)
{
    return j->z + ((size_t)image * (size_t)j->s->cells + (size_t)cell) * (size_t)j->s->dims;
}

/* a += weight (z - c)(z - c)' over all views of cell q, about the centre of cell p. */
static void add_rows(const judge *j, int32_t p, int32_t q, double weight, double *a)
{
    int32_t k = j->s->dims;

    for (int32_t i = 0; i < j->s->images; i++)
        for (int32_t u = 0; u < k; u++)
            for (int32_t v = 0; v < k; v++)
                a[u * k + v] += weight * (row_of(j, i, q)[u] - j->centre[p * k + u]) *
                                (row_of(j, i, q)[v] - j->centre[p * k + v]);
}

static void learn(judge *j)
{
    int32_t k = j->s->dims;
    double n = (double)j->s->images / j->s->views;

    for (int32_t p = 0; p < j->s->cells; p++)
        for (int32_t u = 0; u < k; u++) {
            for (int32_t i = 0; i < j->s->images; i++)
                j->centre[p * k + u] += row_of(j, i, p)[u];
            j->centre[p * k + u] /= j->s->images;
        }
    for (int32_t p = 0; p < j->s->cells; p++)
        add_rows(j, p, p, 1 / (j->s->views * (double)j->s->cells * (n > 1 ? n - 1 : 1)), j->shared);
}

/* A_p */
static void covariance(const judge *j, int32_t p, double *a)
{
    int32_t k = j->s->dims, columns = j->s->columns;
    double weights = 0, n = (double)j->s->images / j->s->views;

    memset(a, 0, (size_t)(k * k) * sizeof *a);
    for (int32_t q = 0; q < j->s->cells; q++) {
        if (abs(q / columns - p / columns) > 1 || abs(q % columns - p % columns) > 1)
            continue;
        double w = q == p ? 1 : j->options->neighbour;
        add_rows(j, p, q, w / j->s->views, a);
        weights += w;
    }
    for (int32_t u = 0; u < k * k; u++)
        a[u] = (a[u] + j->options->prior * j->shared[u]) / (n * weights + j->options->prior);
    for (int32_t u = 0; u < k; u++)
        a[u * k + u] += j->options->floor;
}

/* x' A^-1 x / k by elimination with the diagonal as pivots, A positive; *condition: of the pivots. */
static double distance(double *a, double *x, int32_t k, double *condition)
{
    double sum = 0, least = DBL_MAX, most = 0;

    for (int32_t i = 0; i < k; i++) {
        double pivot = a[i * k + i];
        least = fmin(least, pivot);
        most = fmax(most, pivot);
        sum += x[i] * x[i] / pivot;
        for (int32_t r = i + 1; r < k; r++) {
            double factor = a[r * k + i] / pivot;
            for (int32_t c = i; c < k; c++)
                a[r * k + c] -= factor * a[i * k + c];
            x[r] -= factor * x[i];
        }
    }
    *condition = most / least;
    return sum / k;
}

static void check_distances(judge *j, const positions *p)
{
    int32_t k = j->s->dims;
    double a[MAX_DIMS * MAX_DIMS], x[MAX_DIMS], condition;
    float z[MAX_DIMS];

    learn(j);
    for (int32_t cell = 0; cell < j->s->cells; cell++) {
        for (int32_t u = 0; u < k; u++)
            z[u] = row_of(j, 0, cell)[u] + (float)(3 * draw());
        float got = positions_distance(p, cell, z);
        covariance(j, cell, a);
        for (int32_t u = 0; u < k; u++)
            x[u] = z[u] - j->centre[cell * k + u];
        double expected = distance(a, x, k, &condition);
        fuzz_require(isfinite(got) && got >= 0, "a distance is a number");
        /* float32 factors, and products in float32 that the covariance is made of */
        fuzz_require(fabs(got - expected) <= (1e-4 + 1e-6 * condition) * expected + 1e-6, "a distance");
    }
}

/* ---- the library ---- */

static void check_projection(const sample *s, const positions *p, const float *z)
{
    for (int32_t u = 0; u < s->dims; u++) {
        double sum = 0, size = 0;
        for (int32_t c = 0; c < s->channels; c++) {
            double term = ((double)s->maps[c] - p->mean[c]) * p->projection[(size_t)c * (size_t)s->dims + (size_t)u];
            sum += term;
            size += fabs(term);
        }
        fuzz_require(fabs(z[u] - sum) <= 1e-5 * size + 1e-12, "the projection");
    }
}

static void check_tensors(const sample *s, const positions *p)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    dn_error error = {0};
    dn_blob *blob;
    st_file *file;
    positions *copy;

    fuzz_require(writer != NULL, "memory");
    positions_to_tensors(p, "p.", ST_F32, writer);
    fuzz_require(st_writer_save_memory(writer, &blob, &error) == DN_OK, error.message);
    st_writer_free(writer);
    fuzz_require(st_parse(blob->data, blob->size, "positions", &allocator, &file, &error) == DN_OK, error.message);
    fuzz_require(positions_from_tensors(file, "p.", s->channels, &allocator, NULL, 1, &copy, &error) == DN_OK,
                 error.message);
    st_free(file);
    blob_free(blob);
    size_t cells = (size_t)s->cells, dims = (size_t)s->dims;
    fuzz_require(!memcmp(copy->centre, p->centre, cells * dims * sizeof *p->centre) &&
                     !memcmp(copy->factor, p->factor, cells * positions_triangle(s->dims) * sizeof *p->factor) &&
                     !memcmp(copy->projection, p->projection, (size_t)s->channels * dims * sizeof *p->projection),
                 "a file keeps all bits");
    positions_unref(copy);
}

static void fit(const sample *s, positions *p)
{
    size_t rows = (size_t)s->images * (size_t)s->cells, floats = rows * (size_t)s->channels;
    float *changed = memory(floats, sizeof *changed), *z = memory(rows * (size_t)s->dims, sizeof *z);
    positions_options options = positions_default_options();
    dn_error error = {0};

    memcpy(changed, s->maps, floats * sizeof *changed);
    dn_status status = positions_fit_projection(p, changed, (int64_t)rows, NULL, &error);
    if (status == DN_OK) {
        positions_project(p, s->maps, (int32_t)rows, z, changed);
        check_projection(s, p, z);
        options.dims = s->dims;
        options.views = s->views;
        status = positions_fit_cells(p, &options, z, s->images, NULL, &error);
    }
    fuzz_require(status == DN_OK || (status == DN_E_NUMERIC && error.message[0]), "a fit, or numbers that overflow");
    if (status == DN_OK) {
        judge j = {.s = s, .options = &options, .z = z, .centre = memory((size_t)s->cells * MAX_DIMS, sizeof(double))};
        check_distances(&j, p);
        free(j.centre);
        check_tensors(s, p);
    }
    free(z);
    free(changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_allocator allocator = mem_allocator(NULL);
    positions *p;

    if (size < BYTES)
        return 0;
    sample s = {.rows = 1 + data[ROWS] % 4,
                .columns = 1 + data[COLUMNS] % 5,
                .channels = 1 + data[CHANNELS] % 20,
                .views = 1 + data[VIEWS] % 3};
    s.dims = 1 + data[DIMS] % MAX_DIMS;
    s.dims = s.dims < s.channels ? s.dims : s.channels;
    s.images = s.views * (1 + data[IMAGES] % 8);
    s.cells = s.rows * s.columns;
    memcpy(&state, data + SEED, sizeof state);
    draw_maps(&s, data[KIND]);
    fuzz_require(positions_allocate(s.rows, s.columns, s.channels, s.dims, 1, &allocator, &p, NULL) == DN_OK, "memory");
    fit(&s, p);
    positions_unref(p);
    free(s.maps);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    static const uint8_t cases[][SEED] = {
        {2, 3, 11, 5, 6, 0, 0}, {0, 0, 0, 0, 0, 0, 0},  {3, 4, 19, 9, 7, 8, 1},
        {1, 1, 7, 7, 1, 1, 0},  {1, 2, 7, 3, 4, 2, 2},  {2, 2, 5, 2, 3, 4, 0},
        {2, 2, 9, 9, 7, 16, 0}, {2, 2, 9, 9, 7, 32, 0}, {2, 2, 9, 9, 7, 48, 0},
    };

    if ((size_t)index >= sizeof cases / sizeof *cases)
        return NULL;
    *size = BYTES;
    uint8_t *seed = memory(1, BYTES);
    return memcpy(seed, cases[index], SEED);
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
