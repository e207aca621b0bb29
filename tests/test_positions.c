/* The density at every position against NumPy and SciPy in float64 (golden/make_positions.py), its file, its faults. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/rng.h"
#include "golden.h"
#include "positions/positions.h"
#include "positions/symmetric.h"
#include "support.h"

/* One case of the golden file. */
struct data {
    float *train, *test; /* (images, rows, columns, channels), (tests, ...) */
    double *distance, *distance_odd, *distance_views, *mean;
    int32_t images, tests, rows, columns, channels, dims;
};

static const char *const names[] = {"all", "few", "one"};
enum { CASES = 3 };

static struct data read_case(const char *name)
{
    st_file *file = golden_open("positions.safetensors");
    char key[32];
    struct data d;

    snprintf(key, sizeof key, "%s.train", name);
    const st_tensor *tensor = golden_tensor(file, key);
    d.images = (int32_t)tensor->shape[0];
    d.rows = (int32_t)tensor->shape[1];
    d.columns = (int32_t)tensor->shape[2];
    d.channels = (int32_t)tensor->shape[3];
    d.train = golden_floats(file, key, NULL);
    snprintf(key, sizeof key, "%s.test", name);
    d.tests = (int32_t)golden_tensor(file, key)->shape[0];
    d.test = golden_floats(file, key, NULL);
    snprintf(key, sizeof key, "%s.dims", name);
    int64_t *dims = golden_integers(file, key, NULL);
    d.dims = (int32_t)*dims;
    free(dims);
    snprintf(key, sizeof key, "%s.distance", name);
    d.distance = golden_doubles(file, key, NULL);
    snprintf(key, sizeof key, "%s.distance_odd", name);
    d.distance_odd = golden_doubles(file, key, NULL);
    snprintf(key, sizeof key, "%s.distance_views", name);
    d.distance_views = d.images % 3 == 0 ? golden_doubles(file, key, NULL) : NULL;
    snprintf(key, sizeof key, "%s.mean", name);
    d.mean = golden_doubles(file, key, NULL);
    golden_close(file);
    return d;
}

static void free_case(struct data *d)
{
    free(d->train);
    free(d->test);
    free(d->distance);
    free(d->distance_odd);
    free(d->distance_views);
    free(d->mean);
}

static size_t map_floats(const struct data *d)
{
    return (size_t)d->rows * (size_t)d->columns * (size_t)d->channels;
}

/* An untrained density with the projection of the images, and z of theirs and of the tests' maps behind them. */
static dn_status project(const struct data *d, const dn_allocator *allocator, pool *workers, float *z, positions **out)
{
    int32_t cells = d->rows * d->columns;
    size_t floats = (size_t)d->images * map_floats(d), width = (size_t)cells * (size_t)d->dims;
    float *rows = malloc(floats * sizeof *rows);
    float *scratch = malloc((size_t)(d->images > d->tests ? d->images : d->tests) * map_floats(d) * sizeof *rows);

    ck_assert(rows && scratch);
    memcpy(rows, d->train, floats * sizeof *rows);
    dn_status status = positions_allocate(d->rows, d->columns, d->channels, d->dims, 1, allocator, out, NULL);
    if (status == DN_OK)
        status = positions_fit_projection(*out, rows, (int64_t)d->images * cells, workers, NULL);
    if (status == DN_OK) {
        positions_project(*out, d->train, d->images * cells, z, scratch);
        positions_project(*out, d->test, d->tests * cells, z + (size_t)d->images * width, scratch);
    } else {
        positions_unref(*out);
        *out = NULL;
    }
    free(rows);
    free(scratch);
    return status;
}

static float *room_for_z(const struct data *d)
{
    float *z = malloc((size_t)(d->images + d->tests) * map_floats(d) * sizeof *z);

    ck_assert_ptr_nonnull(z);
    return z;
}

/* So many views are an image. */
static dn_status fit_views(const struct data *d, int32_t views, const dn_allocator *allocator, pool *workers,
                           positions **out)
{
    positions_options options = positions_default_options();
    float *z = room_for_z(d);

    options.views = views;
    dn_status status = project(d, allocator, workers, z, out);
    if (status == DN_OK)
        status = positions_fit_cells(*out, &options, z, d->images, workers, NULL);
    if (status != DN_OK) {
        positions_unref(*out);
        *out = NULL;
    }
    free(z);
    return status;
}

static dn_status fit(const struct data *d, const dn_allocator *allocator, pool *workers, positions **out)
{
    return fit_views(d, 1, allocator, workers, out);
}

/* How far the test images are from images 1, 3, 5, ...: they and images 0, 2, 4, ... are a fold.
 * distances: (images + tests, cells). */
static dn_status judge(const struct data *d, const dn_allocator *allocator, pool *workers, float *distances)
{
    positions_options options = positions_default_options();
    positions_fit *sums = NULL;
    positions *p;
    int32_t fold[32] = {0};
    float *z = room_for_z(d);

    for (int32_t i = 0; i < d->images; i++)
        fold[i] = i % 2;
    dn_status status = project(d, allocator, workers, z, &p);
    if (status == DN_OK)
        status = positions_fit_create(p, &options, z, d->images + d->tests, workers, &sums, NULL);
    /* Other sets of views before leave nothing behind. */
    if (status == DN_OK)
        status = positions_fit_judge(sums, fold, 1, distances, NULL);
    if (status == DN_OK)
        status = positions_fit_all(sums, NULL);
    if (status == DN_OK)
        status = positions_fit_judge(sums, fold, 0, distances, NULL);
    positions_fit_free(sums);
    positions_unref(p);
    free(z);
    return status;
}

static void check_maps(const struct data *d, const positions *p, const double *expected, double tolerance)
{
    int32_t cells = d->rows * d->columns;
    float *map = malloc((size_t)cells * sizeof *map), *scratch = malloc(positions_map_scratch(p) * sizeof *scratch);

    for (int32_t i = 0; i < d->tests; i++, expected += cells) {
        positions_map(p, d->test + (size_t)i * map_floats(d), map, scratch, NULL);
        for (int32_t c = 0; c < cells; c++)
            ck_assert_double_le(fabs(map[c] - expected[c]), tolerance * expected[c]);
    }
    free(map);
    free(scratch);
}

START_TEST(test_against_numpy)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case(names[_i]);
    positions *p;

    ck_ok(fit(&d, &allocator, NULL, &p));
    for (int32_t c = 0; c < d.channels; c++)
        ck_assert_double_le(fabs(p->mean[c] - d.mean[c]), 1e-6 * (1 + fabs(d.mean[c])));
    check_maps(&d, p, d.distance, 1e-4);
    positions_unref(p);
    if (d.images > 1) { /* learned from the odd images only */
        int32_t cells = d.rows * d.columns;
        float *distances = malloc((size_t)(d.images + d.tests) * (size_t)cells * sizeof *distances);
        ck_ok(judge(&d, &allocator, NULL, distances));
        for (int32_t i = 0; i < d.tests * cells; i++)
            ck_assert_double_le(fabs(distances[d.images * cells + i] - d.distance_odd[i]), 1e-4 * d.distance_odd[i]);
        free(distances);
    }
    if (d.distance_views) {
        ck_ok(fit_views(&d, 3, &allocator, NULL, &p));
        check_maps(&d, p, d.distance_views, 1e-4);
        positions_unref(p);
    }
    free_case(&d);
}
END_TEST

static size_t factor_floats(const positions *p)
{
    return positions_cells(p) * positions_triangle(p->dims);
}

START_TEST(test_same_bits_for_any_threads)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case("few");
    positions *one, *many;
    pool *workers;
    size_t size = (size_t)(d.images + d.tests) * (size_t)(d.rows * d.columns) * sizeof(float);
    float *alone = calloc(1, size), *shared = calloc(1, size);

    ck_ok(pool_create(&allocator, 3, &workers, NULL));
    ck_ok(fit(&d, &allocator, NULL, &one));
    ck_ok(fit(&d, &allocator, workers, &many));
    ck_assert_mem_eq(one->projection, many->projection, (size_t)d.channels * (size_t)d.dims * sizeof(float));
    ck_assert_mem_eq(one->centre, many->centre, positions_cells(one) * (size_t)d.dims * sizeof(float));
    ck_assert_mem_eq(one->factor, many->factor, factor_floats(one) * sizeof(float));
    ck_ok(judge(&d, &allocator, NULL, alone));
    ck_ok(judge(&d, &allocator, workers, shared));
    ck_assert_mem_eq(alone, shared, size);
    free(alone);
    free(shared);
    positions_unref(one);
    positions_unref(many);
    pool_free(workers);
    free_case(&d);
}
END_TEST

/* An image that is nothing like the others is taken away again without harm to what they tell. */
START_TEST(test_outlier_left_out)
{
    enum { CELLS = 4, DIMS = 3, VIEWS = 2, IMAGES = 8, WIDTH = CELLS * DIMS };
    dn_allocator allocator = mem_allocator(NULL);
    positions_options options = positions_default_options();
    positions_fit *sums;
    positions *p;
    float z[IMAGES * VIEWS * WIDTH], distances[IMAGES * CELLS];
    int32_t fold[IMAGES * VIEWS] = {[0] = 1, [1] = 1, [IMAGES * VIEWS - 2] = 1, [IMAGES * VIEWS - 1] = 1};
    rng generator;

    rng_seed(&generator, 5, 0);
    for (int i = 0; i < IMAGES * VIEWS * WIDTH; i++)
        z[i] = (float)rng_normal(&generator);
    for (int i = (IMAGES - 1) * VIEWS * WIDTH; i < IMAGES * VIEWS * WIDTH; i++)
        z[i] += i % 2 ? 500 : -300;
    for (int i = 0; i < IMAGES * CELLS; i++)
        distances[i] = -1;
    options.views = VIEWS;
    ck_ok(positions_allocate(2, 2, DIMS, DIMS, 1, &allocator, &p, NULL));
    ck_ok(positions_fit_create(p, &options, z, IMAGES * VIEWS, NULL, &sums, NULL));
    ck_ok(positions_fit_judge(sums, fold, 1, distances, NULL));
    positions_fit_free(sums);
    ck_ok(positions_fit_cells(p, &options, z + VIEWS * WIDTH, (IMAGES - 2) * VIEWS, NULL, NULL));
    for (int i = 0; i < IMAGES; i++)
        for (int cell = 0; cell < CELLS; cell++) {
            float distance = positions_distance(p, cell, z + i * VIEWS * WIDTH + cell * DIMS);
            if (i == 0 || i == IMAGES - 1)
                ck_assert_double_le(fabs(distances[i * CELLS + cell] - distance), 1e-5 * distance);
            else
                ck_assert_float_eq(distances[i * CELLS + cell], -1); /* not asked for */
        }
    positions_unref(p);
}
END_TEST

/* Images without any variation: every distance to themselves is 0, to others finite. */
START_TEST(test_constant_images)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case("few");
    positions *p;
    float map[12], *scratch;

    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < (size_t)d.images * map_floats(&d); i++)
            d.train[i] = (float)value;
        ck_ok(fit(&d, &allocator, NULL, &p));
        scratch = malloc(positions_map_scratch(p) * sizeof *scratch);
        positions_map(p, d.train, map, scratch, NULL);
        for (int c = 0; c < 12; c++)
            ck_assert_float_eq(map[c], 0);
        positions_map(p, d.test, map, scratch, NULL);
        for (int c = 0; c < 12; c++)
            ck_assert(isfinite(map[c]) && map[c] >= 0);
        free(scratch);
        positions_unref(p);
    }
    free_case(&d);
}
END_TEST

START_TEST(test_numbers_that_overflow)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case("all");
    positions *p;

    d.train[20] = INFINITY;
    ck_status(fit(&d, &allocator, NULL, &p), DN_E_NUMERIC);
    ck_assert_ptr_null(p);
    free_case(&d);
}
END_TEST

/* Numbers that do not fit a float's range once they are squared; one dimension has an infinite variance of its own. */
START_TEST(test_judged_numbers_that_overflow)
{
    dn_allocator allocator = mem_allocator(NULL);
    positions_options options = positions_default_options();
    const int32_t fold[4] = {0, 0, 1, 1};
    float z[4] = {1e30f, -1e30f, 1, 2}, distances[4];
    dn_error error;
    positions_fit *sums;
    positions *p;

    ck_ok(positions_allocate(1, 1, 1, 1, 1, &allocator, &p, NULL));
    ck_ok(positions_fit_create(p, &options, z, 4, NULL, &sums, NULL));
    ck_status(positions_fit_judge(sums, fold, 1, distances, &error), DN_E_NUMERIC);
    check_error(&error, DN_E_NUMERIC, "row 0, column 0 is not positive");
    ck_status(positions_fit_all(sums, &error), DN_E_NUMERIC);
    positions_fit_free(sums);
    positions_unref(p);
}
END_TEST

START_TEST(test_memory_faults)
{
    struct data d = read_case("all");
    float *distances = malloc((size_t)(d.images + d.tests) * (size_t)(d.rows * d.columns) * sizeof *distances);
    long calls;

    for (long n = 1;; n++) {
        failing_memory state = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&state);
        positions *p = NULL;
        dn_status status = _i == 0 ? fit(&d, &allocator, NULL, &p) : judge(&d, &allocator, NULL, distances);
        calls = state.calls;
        positions_unref(p);
        ck_assert_int_eq(state.live, 0);
        if (status == DN_OK)
            break;
        ck_status(status, DN_E_MEMORY);
    }
    ck_assert_int_ge(calls, _i == 0 ? 10 : 11);
    free(distances);
    free_case(&d);
}
END_TEST

/* The largest of the details' cells that a cell touches; NaN is not lost. */
START_TEST(test_details_are_added)
{
    enum { ROWS = 3, COLUMNS = 2, FINE_ROWS = 7, FINE_COLUMNS = 5 };
    positions details = {.rows = FINE_ROWS, .columns = FINE_COLUMNS};
    positions p = {.rows = ROWS, .columns = COLUMNS, .details = &details};
    float fine[FINE_ROWS * FINE_COLUMNS], map[ROWS * COLUMNS];

    for (int i = 0; i < FINE_ROWS * FINE_COLUMNS; i++)
        fine[i] = (float)(i * 13 % 35);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        map[i] = (float)i;
    positions_add_details(&p, fine, 0.5f, map);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++) {
            float most = 0;
            for (int v = 0; v < FINE_ROWS; v++)
                for (int u = 0; u < FINE_COLUMNS; u++)
                    if ((v + 1) * ROWS > y * FINE_ROWS && v * ROWS < (y + 1) * FINE_ROWS &&
                        (u + 1) * COLUMNS > x * FINE_COLUMNS && u * COLUMNS < (x + 1) * FINE_COLUMNS)
                        most = fmaxf(most, fine[v * FINE_COLUMNS + u]);
            ck_assert_float_eq(map[y * COLUMNS + x], (float)(y * COLUMNS + x) + 0.5f * most);
        }
    fine[FINE_COLUMNS * FINE_ROWS - 1] = NAN;
    positions_add_details(&p, fine, 0.5f, map);
    ck_assert(isnan(map[ROWS * COLUMNS - 1]) && isfinite(map[0]));
}
END_TEST

/* Saves to memory and reads again. */
static positions *through_file(const positions *p, enum st_type stored, _Bool *in_place, st_file **file, dn_blob **blob)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    positions *read;

    positions_to_tensors(p, "positions.", stored, writer);
    ck_ok(st_writer_save_memory(writer, blob, NULL));
    st_writer_free(writer);
    ck_ok(st_parse(dn_blob_data(*blob), dn_blob_size(*blob), "test", &allocator, file, NULL));
    ck_ok(positions_from_tensors(*file, "positions.", p->channels, &allocator, in_place, 1, &read, NULL));
    return read;
}

START_TEST(test_file)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case("few");
    positions *p, *read;
    st_file *file;
    dn_blob *blob;
    _Bool in_place;

    ck_ok(fit(&d, &allocator, NULL, &p));
    for (int half = 0; half < 2; half++) {
        read = through_file(p, half ? ST_F16 : ST_F32, &in_place, &file, &blob);
        ck_assert_int_eq(in_place, !half);
        ck_assert_int_eq(read->rows, p->rows);
        ck_assert_int_eq(read->columns, p->columns);
        ck_assert_int_eq(read->dims, p->dims);
        if (!half)
            ck_assert_mem_eq(read->factor, p->factor, factor_floats(p) * sizeof(float));
        check_maps(&d, read, d.distance, half ? 5e-3 : 1e-4);
        positions_unref(read);
        st_free(file);
        dn_blob_free(blob);
    }
    positions_unref(p);
    free_case(&d);
}
END_TEST

START_TEST(test_files_that_do_not_fit)
{
    dn_allocator allocator = mem_allocator(NULL);
    struct data d = read_case("few");
    positions *p, *read;
    st_file *file;
    dn_blob *blob;
    dn_error error;

    ck_ok(fit(&d, &allocator, NULL, &p));
    read = through_file(p, ST_F32, NULL, &file, &blob);
    positions_unref(read);
    ck_status(positions_from_tensors(file, "positions.", d.channels + 1, &allocator, NULL, 1, &read, &error),
              DN_E_FORMAT);
    check_error(&error, DN_E_FORMAT, "positions.");
    ck_status(positions_from_tensors(file, "other.", d.channels, &allocator, NULL, 1, &read, &error), DN_E_FORMAT);
    ck_assert_ptr_null(read);
    ck_status(positions_from_tensors(file, "positions.", d.dims - 1, &allocator, NULL, 1, &read, &error), DN_E_FORMAT);
    check_error(&error, DN_E_FORMAT, "cannot be");
    st_free(file);
    dn_blob_free(blob);
    positions_unref(p);
    free_case(&d);
}
END_TEST

static const char *const tensor_names[] = {"p.mean", "p.projection", "p.centre", "p.factor"};

/* What reading a file says whose tensors have these shapes; `wider`: which of them has one more in its last size. */
static dn_status read_shapes(int64_t rows, int64_t columns, int64_t channels, int64_t dims, int wider, dn_error *error)
{
    const int64_t shapes[][3] = {
        {channels}, {channels, dims}, {rows, columns, dims}, {rows, columns, dims * (dims + 1) / 2}};
    static const int32_t ranks[] = {1, 2, 3, 3};
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    float *zeros = calloc((size_t)600 * 600, sizeof *zeros);
    positions *read = (positions *)error;
    st_file *file;
    dn_blob *blob;

    for (int i = 0; i < 4; i++) {
        int64_t shape[3];
        memcpy(shape, shapes[i], sizeof shape);
        shape[ranks[i] - 1] += i == wider;
        st_writer_tensor(writer, tensor_names[i], ST_F32, ST_F32, ranks[i], shape, zeros);
    }
    ck_ok(st_writer_save_memory(writer, &blob, NULL));
    st_writer_free(writer);
    ck_ok(st_parse(dn_blob_data(blob), dn_blob_size(blob), "test", &allocator, &file, NULL));
    dn_status status = positions_from_tensors(file, "p.", (int32_t)channels, &allocator, NULL, 1, &read, error);
    ck_assert((status == DN_OK) == (read != NULL));
    if (read)
        ck_assert(read->rows == rows && read->columns == columns && read->channels == channels && read->dims == dims);
    positions_unref(read);
    st_free(file);
    dn_blob_free(blob);
    free(zeros);
    return status;
}

START_TEST(test_shapes_in_files)
{
    static const struct {
        int64_t rows, columns, channels, dims;
        _Bool good;
    } cases[] = {{1, 1, 1, 1, 1},   {512, 1, 1, 1, 1}, {1, 512, 1, 1, 1},   {1, 1, 512, 512, 1},
                 {2, 3, 7, 5, 1},   {0, 1, 1, 1, 0},   {1, 0, 1, 1, 0},     {1, 1, 1, 0, 0},
                 {513, 1, 1, 1, 0}, {1, 513, 1, 1, 0}, {1, 1, 513, 513, 0}, {1, 1, 4, 5, 0}};
    char message[200];
    dn_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_status status = read_shapes(cases[i].rows, cases[i].columns, cases[i].channels, cases[i].dims, -1, &error);
        ck_status(status, cases[i].good ? DN_OK : DN_E_FORMAT);
        snprintf(message, sizeof message, "test: tensor p.centre: a grid of %d x %d cells and %d dimensions cannot be",
                 (int)cases[i].rows, (int)cases[i].columns, (int)cases[i].dims);
        if (!cases[i].good)
            ck_assert_str_eq(error.message, message);
    }
    for (int i = 0; i < 4; i++) {
        ck_status(read_shapes(2, 3, 7, 5, i, &error), DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT,
                    i == 2 ? "p.factor" : tensor_names[i]); /* what is read first: it goes by the centre's */
    }
}
END_TEST

/* ---- small symmetric matrices ---- */

/* The same, a row at a time and in the plainest order: these bits are the library's, too. */
static void plain_cholesky(double *a, int n)
{
    for (int j = 0; j < n; j++) {
        double pivot = sqrt(a[j * n + j]);
        for (int i = j; i < n; i++)
            a[j * n + i] /= pivot;
        for (int i = j + 1; i < n; i++)
            for (int k = i; k < n; k++)
                a[i * n + k] -= a[j * n + i] * a[j * n + k];
    }
}

static void plain_inverse(const double *u, int n, double *inverse)
{
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i; k < n; k++)
            inverse[i * n + k] = i == k;
        for (int j = i + 1; j < n; j++)
            for (int k = j; k < n; k++)
                inverse[i * n + k] -= u[i * n + j] * inverse[j * n + k];
        for (int k = i; k < n; k++)
            inverse[i * n + k] /= u[i * n + i];
    }
}

START_TEST(test_triangles_have_the_plain_bits)
{
    enum { N = 43 };
    static double a[N * N], b[N * N], inverse[N * N], expected[N * N];

    for (int n = 1; n <= N; n++) {
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                a[i * n + j] = b[i * n + j] = cos(i * j + 0.3 * (i + j)) / n + 2 * (i == j);
        memset(inverse, 0, sizeof inverse);
        memset(expected, 0, sizeof expected);
        ck_assert(cholesky(a, n));
        invert_triangle(a, n, inverse);
        plain_cholesky(b, n);
        plain_inverse(b, n, expected);
        ck_assert(memcmp(a, b, sizeof a) == 0);
        ck_assert(memcmp(inverse, expected, sizeof inverse) == 0);
    }
}
END_TEST

START_TEST(test_cholesky_and_inverse)
{
    enum { N = 5 };
    double a[N * N], kept[N * N], inverse[N * N];

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i * N + j] = kept[i * N + j] = 1.0 / (i + j + 1) + (i == j);
    ck_assert(cholesky(a, N));
    invert_triangle(a, N, inverse);
    for (int i = 0; i < N; i++)
        for (int j = i; j < N; j++) {
            double product = 0, unit = 0;
            for (int k = 0; k <= i; k++)
                product += a[k * N + i] * a[k * N + j];
            ck_assert_double_eq_tol(product, kept[i * N + j], 1e-14);
            for (int k = i; k <= j; k++)
                unit += a[i * N + k] * inverse[k * N + j];
            ck_assert_double_eq_tol(unit, i == j, 1e-14);
        }
    a[0] = -1;
    ck_assert(!cholesky(a, N));
    a[0] = NAN;
    ck_assert(!cholesky(a, N));
}
END_TEST

START_TEST(test_eigenvectors)
{
    enum { N = 6 };
    double a[N * N], kept[N * N], vectors[N * N];

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i * N + j] = kept[i * N + j] = cos(i + j) + (i == j ? i : 0);
    jacobi(a, N, vectors);
    for (int k = 0; k < N; k++)
        for (int i = 0; i < N; i++) {
            double image = 0;
            for (int j = 0; j < N; j++)
                image += kept[i * N + j] * vectors[k * N + j];
            ck_assert_double_eq_tol(image, a[k * N + k] * vectors[k * N + i], 1e-12);
        }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("positions");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_against_numpy, 0, CASES);
    tcase_add_test(tests, test_same_bits_for_any_threads);
    tcase_add_test(tests, test_outlier_left_out);
    tcase_add_test(tests, test_constant_images);
    tcase_add_test(tests, test_numbers_that_overflow);
    tcase_add_test(tests, test_judged_numbers_that_overflow);
    tcase_add_loop_test(tests, test_memory_faults, 0, 2); /* a fit, a judgement */
    tcase_add_test(tests, test_details_are_added);
    tcase_add_test(tests, test_file);
    tcase_add_test(tests, test_files_that_do_not_fit);
    tcase_add_test(tests, test_shapes_in_files);
    tcase_add_test(tests, test_cholesky_and_inverse);
    tcase_add_test(tests, test_triangles_have_the_plain_bits);
    tcase_add_test(tests, test_eigenvectors);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
