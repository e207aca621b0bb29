/* lib/base/rng.c: known numbers, distributions, permutations. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/rng.h"
#include "support.h"

START_TEST(test_rng_known)
{
    /* The generator's published test vector, and seedings from an independent implementation. */
    static const uint64_t published[4] = {11520, 0, 1509978240, 1215971899390074240};
    static const struct {
        uint64_t seed, stream, numbers[2];
    } seeded[] = {
        {0, 0, {0xfb5405f7bd79c540, 0x780c98e26cea5883}},
        {0, 1, {0xef75d62a19ba94ed, 0x8e9490536375f270}},
        {1, 0, {0xee127fe613436e33, 0xd6dad8d34a1874ea}},
        {UINT64_MAX, UINT64_MAX, {0x5a24625849aef5fa, 0x0177bf4162305fac}},
    };
    rng generator = {{1, 2, 3, 4}};

    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(rng_next(&generator), published[i]);
    for (size_t k = 0; k < sizeof seeded / sizeof *seeded; k++) {
        rng_seed(&generator, seeded[k].seed, seeded[k].stream);
        for (int i = 0; i < 2; i++)
            ck_assert_uint_eq(rng_next(&generator), seeded[k].numbers[i]);
    }
}
END_TEST

START_TEST(test_rng_uniform)
{
    enum { DRAWS = 100000, BINS = 16 };
    long bins[BINS] = {0};
    double sum = 0, sum_of_squares = 0, normal_sum = 0, normal_squares = 0;
    int outside = 0;
    rng generator;

    rng_seed(&generator, 3, 0);
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&generator);
        outside += !(u >= 0 && u < 1);
        bins[(int)(u * BINS) & (BINS - 1)]++;
        sum += u;
        sum_of_squares += u * u;
    }
    ck_assert_int_eq(outside, 0);
    double chi_square = 0;
    for (int i = 0; i < BINS; i++)
        chi_square += pow((double)bins[i] - (double)DRAWS / BINS, 2) / ((double)DRAWS / BINS);
    ck_assert_double_lt(chi_square, 37.7); /* 15 degrees of freedom, p = 0.001 */
    ck_assert_double_eq_tol(sum / DRAWS, 0.5, 4 * sqrt(1.0 / 12 / DRAWS));
    ck_assert_double_eq_tol(sum_of_squares / DRAWS, 1.0 / 3, 0.004);
    for (int i = 0; i < DRAWS; i++) {
        double z = rng_normal(&generator);
        normal_sum += z;
        normal_squares += z * z;
    }
    ck_assert_double_eq_tol(normal_sum / DRAWS, 0, 4 / sqrt(DRAWS));
    ck_assert_double_eq_tol(normal_squares / DRAWS, 1, 0.02);
}
END_TEST

START_TEST(test_rng_below)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 1000, (uint64_t)1 << 63, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    long counts[7] = {0};
    rng generator;

    rng_seed(&generator, 4, 0);
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        for (int i = 0; i < 200; i++)
            ck_assert_uint_lt(rng_below(&generator, limits[k]), limits[k]);
    for (int i = 0; i < 70000; i++)
        counts[rng_below(&generator, 7)]++;
    for (int i = 0; i < 7; i++)
        ck_assert_int_le(labs(counts[i] - 10000), 400);
    /* A plain remainder would give the lowest third half of all draws. */
    long low = 0;
    for (int i = 0; i < 9000; i++)
        low += rng_below(&generator, (uint64_t)3 << 62) < (uint64_t)1 << 62;
    ck_assert_int_le(labs(low - 3000), 250);
}
END_TEST

START_TEST(test_rng_permutation)
{
    static const uint32_t known[8] = {6, 1, 2, 4, 0, 3, 5, 7};
    uint32_t order[1000], seen[1000] = {0};
    long first_at[5] = {0};
    rng generator;

    rng_seed(&generator, 7, 1);
    rng_permutation(&generator, order, 8);
    ck_assert_mem_eq(order, known, sizeof known);
    rng_permutation(&generator, order, 1000);
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_lt(order[i], 1000);
        ck_assert_uint_eq(seen[order[i]]++, 0);
    }
    for (int i = 0; i < 10000; i++) {
        rng_permutation(&generator, order, 5);
        for (int k = 0; k < 5; k++)
            first_at[k] += order[k] == 0;
    }
    for (int k = 0; k < 5; k++)
        ck_assert_int_le(labs(first_at[k] - 2000), 200);
    rng_permutation(&generator, order, 1);
    ck_assert_uint_eq(order[0], 0);
    rng_permutation(&generator, order, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("rng");
    TCase *tests = tcase_create("rng");

    tcase_add_test(tests, test_rng_known);
    tcase_add_test(tests, test_rng_uniform);
    tcase_add_test(tests, test_rng_below);
    tcase_add_test(tests, test_rng_permutation);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
