/* lib/base/blas.c: products in all four orientations, memory for them, thread settings. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/blas.h"
#include "support.h"

#if DN_OPENBLAS
static dn_error error;
#endif

#if DN_OPENBLAS

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

/* Limits the process's memory; 0: not at all. */
static void limit_memory(rlim_t bytes)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Without room for its buffers OpenBLAS is not called; with room it is enough to have asked once. */
START_TEST(test_blas_reserve)
{
    const rlim_t little = (rlim_t)64 << 20;

    if (getenv("CK_FORK") && !strcmp(getenv("CK_FORK"), "no"))
        return; /* valgrind needs memory itself */
    error = (dn_error){0};
    limit_memory(little);
    dn_status none = blas_reserve(1, &error);
    limit_memory(0);
    ck_status(none, DN_E_MEMORY);
    check_error(&error, DN_E_MEMORY, "MiB");
    ck_ok(blas_reserve(2, &error));
    limit_memory(little);
    dn_status first = blas_reserve(1, &error), second = blas_reserve(2, &error), third = blas_reserve(3, &error);
    limit_memory(0);
    ck_ok(first);
    ck_ok(second);
    ck_status(third, DN_E_MEMORY);
}
END_TEST

#endif

START_TEST(test_blas_settings)
{
    int32_t before = blas_threads();

    if (!DN_OPENBLAS) {
        ck_assert_int_eq(before, 0);
        ck_status(blas_set_threads(1), DN_E_UNSUPPORTED);
        ck_assert_str_eq(blas_corename(), "none");
        return;
    }
    ck_ok(blas_set_threads(1));
    ck_assert_int_eq(blas_threads(), 1);
    ck_ok(blas_set_threads(before));
    ck_assert_uint_gt(strlen(blas_corename()), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("blas");
    TCase *tests = tcase_create("blas");

#if DN_OPENBLAS
    tcase_add_test(tests, test_gemm);
    tcase_add_test(tests, test_blas_reserve);
#endif
    tcase_add_test(tests, test_blas_settings);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
