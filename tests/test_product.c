/* Products against naive loops in double, for OpenBLAS and every instruction set that there is code for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/product.h"
#include "base/rng.h"
#include "support.h"

#define FIRST_KIND (DN_OPENBLAS ? PRODUCT_BLAS : 0)

/* m, n, k: columns left over, and k below, at and above a slice. */
static const struct shape {
    int64_t m, n, k;
} shapes[] = {{1, 1, 1},    {5, 3, 2},    {6, 16, 7},   {7, 17, 256}, {8, 32, 257}, {9, 48, 31}, {13, 64, 5},
              {16, 80, 40}, {3, 95, 513}, {25, 96, 12}, {2, 112, 3},  {4, 0, 3},    {0, 16, 4},  {4, 16, 0}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

#define GAP 3 /* floats between the rows of each matrix, which must stay as they are */

static float *drawn(rng *generator, int64_t n)
{
    float *values = malloc(((size_t)n + 1) * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(2 * rng_uniform(generator) - 1);
    return values;
}

struct sample {
    struct shape shape;
    int64_t lda, ldb, ldc;
    float *a, *b, *c, *before;
};

static struct sample make_sample(struct shape shape, _Bool transposed)
{
    struct sample s = {shape, (transposed ? shape.m : shape.k) + GAP, shape.n + GAP, shape.n + GAP, 0, 0, 0, 0};
    rng generator;

    rng_seed(&generator, 3, 0);
    s.a = drawn(&generator, (transposed ? shape.k : shape.m) * s.lda);
    s.b = drawn(&generator, shape.k * s.ldb);
    s.c = drawn(&generator, shape.m * s.ldc);
    s.before = drawn(&generator, shape.m * s.ldc);
    memcpy(s.before, s.c, (size_t)(shape.m * s.ldc) * sizeof *s.c);
    return s;
}

static void free_sample(struct sample *s)
{
    free(s->a);
    free(s->b);
    free(s->c);
    free(s->before);
}

static void check_kind(int32_t kind, struct shape shape, _Bool transposed, _Bool add)
{
    struct sample s = make_sample(shape, transposed);
    product_factor a = {s.a, transposed ? 1 : s.lda, transposed ? s.lda : 1};

    product_of_kind(kind)(shape.m, shape.n, shape.k, a, s.b, s.ldb, add, s.c, s.ldc, NULL);
    for (int64_t i = 0; i < shape.m; i++)
        for (int64_t j = 0; j < s.ldc; j++) {
            double before = (double)s.before[i * s.ldc + j], sum = add || j >= shape.n ? before : 0;
            for (int64_t k = 0; k < shape.k && j < shape.n; k++)
                sum += (double)s.a[i * a.row + k * a.column] * (double)s.b[k * s.ldb + j];
            ck_assert_double_eq_tol((double)s.c[i * s.ldc + j], sum, 2e-5);
        }
    free_sample(&s);
}

START_TEST(equals_naive_loops)
{
    for (int32_t kind = FIRST_KIND; kind < product_kinds(); kind++) {
        for (int i = 0; i < SHAPES; i++)
            for (int variant = 0; variant < 4; variant++)
                check_kind(kind, shapes[i], variant % 2 != 0, variant / 2 != 0);
        for (int64_t m = 1; m <= 17; m++) /* all tiles */
            for (int64_t n = 4; n <= 64; n += 4)
                check_kind(kind, (struct shape){m, n, 5}, 0, m % 2 != 0);
    }
}
END_TEST

/* Whatever the width of its vectors, with FMA the sums are the same. */
START_TEST(avx2_and_avx512_agree)
{
    const struct shape shape = {19, 96, 300};
    struct sample s = make_sample(shape, 0);
    product_factor a = {s.a, s.lda, 1};

    if (product_kinds() == 3) {
        product_of_kind(1)(shape.m, shape.n, shape.k, a, s.b, s.ldb, 0, s.c, s.ldc, NULL);
        product_of_kind(2)(shape.m, shape.n, shape.k, a, s.b, s.ldb, 0, s.before, s.ldc, NULL);
        for (int64_t i = 0; i < shape.m; i++)
            ck_assert_mem_eq(s.c + i * s.ldc, s.before + i * s.ldc, (size_t)shape.n * sizeof *s.c);
    }
    free_sample(&s);
}
END_TEST

/* B in panels gives the same bits. */
START_TEST(panels_hold_the_columns_in_order)
{
    const struct shape shape = {19, 0, 300};

    for (int32_t kind = FIRST_KIND; kind < product_kinds(); kind++)
        for (int64_t n = 16; n <= 256; n += 16) {
            struct sample s = make_sample((struct shape){shape.m, n, shape.k}, 0);
            float *panels = malloc((size_t)(shape.k * n) * sizeof *panels), *next = panels;
            ck_assert_ptr_nonnull(panels);
            for (int64_t j = 0, width; j < n; j += width) {
                width = product_panel_of_kind(kind, n - j);
                ck_assert_int_le(width, PRODUCT_WIDEST);
                for (int64_t k = 0; k < shape.k; k++, next += width)
                    memcpy(next, s.b + k * s.ldb + j, (size_t)width * sizeof *next);
            }
            product_factor a = {s.a, s.lda, 1};
            for (int add = 0; add < 2; add++) {
                product_of_kind(kind)(shape.m, n, shape.k, a, s.b, s.ldb, add, s.c, s.ldc, NULL);
                product_of_kind(kind)(shape.m, n, shape.k, a, panels, 0, add, s.before, s.ldc, NULL);
                for (int64_t i = 0; i < shape.m; i++)
                    ck_assert_mem_eq(s.c + i * s.ldc, s.before + i * s.ldc, (size_t)n * sizeof *s.c);
            }
            free(panels);
            free_sample(&s);
        }
}
END_TEST

/* A row's bits are the same alone, among others, and with other columns beside. */
START_TEST(bits_depend_on_row_and_column_alone)
{
    const struct shape shape = {29, 112, 600};
    struct sample s = make_sample(shape, 0);
    float some[8 * 16];

    for (int32_t kind = FIRST_KIND; kind < product_kinds(); kind++) {
        product_function multiply = product_of_kind(kind);
        multiply(shape.m, shape.n, shape.k, (product_factor){s.a, s.lda, 1}, s.b, s.ldb, 0, s.c, s.ldc, NULL);
        for (int64_t i = 0, m = 1; i + m <= shape.m; i++, m = i % 8 + 1)
            for (int64_t j = 0; j < shape.n; j += 16) {
                multiply(m, 16, shape.k, (product_factor){s.a + i * s.lda, s.lda, 1}, s.b + j, s.ldb, 0, some, 16,
                         NULL);
                for (int64_t row = 0; row < m; row++)
                    ck_assert_mem_eq(some + row * 16, s.c + (i + row) * s.ldc + j, 16 * sizeof *some);
            }
    }
    free_sample(&s);
}
END_TEST

/* Fetching changes nothing, whatever there is to fetch, and comes to its end. */
START_TEST(fetching_gives_the_same_bits)
{
    static const int64_t offsets[] = {0, 99, 16, 5};
    float memory[100] = {0};

    for (int32_t kind = FIRST_KIND; kind < product_kinds(); kind++)
        for (int i = 0; i < SHAPES; i++)
            for (int last = 0; last < 4; last++) {
                struct shape shape = shapes[i];
                struct sample s = make_sample(shape, 0);
                product_factor a = {s.a, s.lda, 1};
                product_ahead ahead = {memory, offsets, offsets + last};
                product_of_kind(kind)(shape.m, shape.n, shape.k, a, s.b, s.ldb, 1, s.c, s.ldc, NULL);
                product_of_kind(kind)(shape.m, shape.n, shape.k, a, s.b, s.ldb, 1, s.before, s.ldc, &ahead);
                ck_assert_mem_eq(s.c, s.before, (size_t)(shape.m * s.ldc) * sizeof *s.c);
                ck_assert(ahead.next >= offsets && ahead.next <= ahead.last);
                ck_assert(shape.m < 1 || shape.n < 16 || shape.k < 3 || ahead.next == ahead.last);
                free_sample(&s);
            }
}
END_TEST

START_TEST(nan_and_infinity_reach_the_result)
{
    float a[2 * 20], b[20 * 16], c[2 * 16];

    for (int i = 0; i < 2 * 20; i++)
        a[i] = 1;
    for (int i = 0; i < 20 * 16; i++)
        b[i] = 1;
    a[7] = NAN;
    b[3 * 16 + 5] = INFINITY;
    for (int32_t kind = FIRST_KIND; kind < product_kinds(); kind++) {
        product_of_kind(kind)(2, 16, 20, (product_factor){a, 20, 1}, b, 16, 0, c, 16, NULL);
        for (int j = 0; j < 16; j++) {
            ck_assert(isnan(c[j]));
            ck_assert(j == 5 ? isinf(c[16 + j]) : c[16 + j] == 20.0f);
        }
    }
}
END_TEST

START_TEST(transposes)
{
    enum { ROWS = 37, COLUMNS = 50 };
    float from[ROWS * (COLUMNS + 1)], to[COLUMNS * (ROWS + 2)];

    for (int i = 0; i < ROWS * (COLUMNS + 1); i++)
        from[i] = (float)i;
    for (int i = 0; i < COLUMNS * (ROWS + 2); i++)
        to[i] = -1;
    product_transpose(ROWS, COLUMNS, from, COLUMNS + 1, to, ROWS + 2);
    for (int x = 0; x < COLUMNS; x++)
        for (int y = 0; y < ROWS + 2; y++)
            ck_assert(to[x * (ROWS + 2) + y] == (y < ROWS ? from[y * (COLUMNS + 1) + x] : -1.0f));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("product");
    TCase *tests = tcase_create("product");

    tcase_add_test(tests, equals_naive_loops);
    tcase_add_test(tests, avx2_and_avx512_agree);
    tcase_add_test(tests, panels_hold_the_columns_in_order);
    tcase_add_test(tests, bits_depend_on_row_and_column_alone);
    tcase_add_test(tests, fetching_gives_the_same_bits);
    tcase_add_test(tests, nan_and_infinity_reach_the_result);
    tcase_add_test(tests, transposes);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
