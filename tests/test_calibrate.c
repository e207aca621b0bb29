/* Verdicts: against the definition, for every number of held-out scores up to 20, with ties, at many rates. */
#include <math.h>
#include <stdlib.h>

#include "differnet/calibrate.h"
#include "differnet/score.h"
#include "support.h"

#define MOST 20

static const double rates[] = {1e-9, 0.001,   0.01, 0.025, 0.05, 0.1,  0.15, 0.2, 0.25,
                               0.3,  1.0 / 3, 0.5,  0.7,   0.9,  0.95, 0.99, 1.0};

/* p <= rate in exact arithmetic, rate being the decimal number meant: both in units of 1e-12. */
static _Bool at_most(int above, int count, double rate)
{
    return (double)(1 + above) <= rate * (count + 1) + 1e-9;
}

static void check_one(const double *scores, int count, double rate, double value)
{
    dn_score score = {.score = value};
    int above = 0;

    for (int i = 0; i < count; i++)
        above += scores[i] >= value;
    calibrate_verdict(scores, count, rate, &score);
    double effective = rate > 1.0 / (count + 1) ? rate : 1.0 / (count + 1);
    ck_assert_double_eq(score.p_value, (1.0 + above) / (count + 1));
    ck_assert_double_eq(score.false_alarm_rate, effective);
    ck_assert_msg(score.anomalous == at_most(above, count, effective), "n %d rate %g score %g: anomalous %d, p %g",
                  count, rate, value, score.anomalous, score.p_value);
    ck_assert_int_eq(score.anomalous, value > score.threshold);
    ck_assert(isfinite(score.threshold));
}

/* Scores 0 .. n-1, each value `ties` times; probed at, between, below and above them. */
static void check_set(int count, int ties, double rate)
{
    double scores[MOST];

    for (int i = 0; i < count; i++)
        scores[i] = i / ties;
    for (double value = 0; value <= count + 1; value += 0.5)
        check_one(scores, count, rate, value);
}

START_TEST(definition)
{
    for (int count = 1; count <= MOST; count++)
        for (int ties = 1; ties <= count; ties += 1 + ties)
            for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
                check_set(count, ties, rates[i]);
}
END_TEST

/* Every rate m / (n + 1) must allow exactly m - 1 scores above, however it rounds: 0.29 * 100 is below 29. */
START_TEST(exact_rates)
{
    static const int counts[] = {1, 2, 9, 19, 48, 99, 999, 4095};
    static double scores[4096];

    for (int i = 0; i < 4096; i++)
        scores[i] = i + 1;
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (int m = 1; m <= counts[k]; m++) {
            dn_score score = {.score = 0};
            calibrate_verdict(scores, counts[k], (double)m / (counts[k] + 1), &score);
            ck_assert_double_eq(score.threshold, scores[counts[k] - m]);
        }
}
END_TEST

/* A rate of 1 calls everything anomalous, a score of 0 too. */
START_TEST(rate_one)
{
    const double scores[] = {0, 0, 1};
    dn_score score = {.score = 0};

    calibrate_verdict(scores, 3, 1, &score);
    ck_assert_int_eq(score.anomalous, 1);
    ck_assert_double_eq(score.threshold, -1);
    ck_assert_double_eq(score.p_value, 1);
}
END_TEST

START_TEST(no_scores)
{
    dn_score score = {.score = 3, .anomalous = 1};

    calibrate_verdict(NULL, 0, 0.05, &score);
    ck_assert_int_eq(score.anomalous, -1);
    ck_assert(isnan(score.p_value) && isnan(score.threshold) && isnan(score.false_alarm_rate));
}
END_TEST

/* The promise itself: of n + 1 exchangeable scores at most a share of `rate` is called anomalous given the others. */
START_TEST(keeps_the_rate)
{
    enum { N = 30 };
    double all[N] = {0}, others[N - 1];

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++) {
            double value = (double)((round * 37 + i * i * 13) % (5 + round)); /* many ties */
            int k = i;
            for (; k > 0 && all[k - 1] > value; k--)
                all[k] = all[k - 1];
            all[k] = value;
        }
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            int alarms = 0;
            double effective = 0;
            for (int left_out = 0; left_out < N; left_out++) {
                for (int i = 0; i < N - 1; i++)
                    others[i] = all[i + (i >= left_out)];
                dn_score score = {.score = all[left_out]};
                calibrate_verdict(others, N - 1, rates[r], &score);
                alarms += score.anomalous;
                effective = score.false_alarm_rate;
            }
            ck_assert_double_le(alarms, effective * N + 1e-9);
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("calibrate");
    TCase *tests = tcase_create("calibrate");

    tcase_add_test(tests, definition);
    tcase_add_test(tests, exact_rates);
    tcase_add_test(tests, rate_one);
    tcase_add_test(tests, no_scores);
    tcase_add_test(tests, keeps_the_rate);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
