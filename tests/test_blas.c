/* lib/base/blas.c: products in all four orientations, thread settings. */
#include <string.h>

#include "base/blas.h"
#include "support.h"

START_TEST(test_gemm)
{
    enum { M = 5, N = 7, K = 3, LD = 9 };
    float a[LD * LD], b[LD * LD], c[LD * LD], start[LD * LD];

    for (int i = 0; i < LD * LD; i++) {
        a[i] = (float)(i % 11) - 5;
        b[i] = (float)(i % 7) - 3;
        start[i] = (float)(i % 5);
    }
    for (int kind = 0; kind < 4; kind++) {
        int ta = kind & 1, tb = kind >> 1;
        memcpy(c, start, sizeof c);
        blas_gemm(ta ? BLAS_T : BLAS_N, tb ? BLAS_T : BLAS_N, M, N, K, 2, a, LD, b, LD, 3, c, LD);
        for (int i = 0; i < LD * LD; i++) {
            int row = i / LD, column = i % LD;
            float expected = start[i];
            if (row < M && column < N) {
                float sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (ta ? a[k * LD + row] : a[row * LD + k]) * (tb ? b[column * LD + k] : b[k * LD + column]);
                expected = 2 * sum + 3 * start[i];
            }
            ck_assert_float_eq(c[i], expected); /* small integers: exact */
        }
    }
}
END_TEST

START_TEST(test_blas_settings)
{
    int32_t before = blas_threads();

    blas_warm();
    blas_set_threads(1);
    ck_assert_int_eq(blas_threads(), 1);
    blas_set_threads(before);
    ck_assert_uint_gt(strlen(blas_corename()), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("blas");
    TCase *tests = tcase_create("blas");

    tcase_add_test(tests, test_gemm);
    tcase_add_test(tests, test_blas_settings);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
