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

/* A threshold that is given: p-values stay, the rate is the largest p above it. */
START_TEST(given_threshold)
{
    const double scores[] = {1, 2, 2, 5};
    static const struct {
        double threshold, rate;
    } cases[] = {{0, 1},       {0.5, 1},       {1, 4 / 5.0}, {1.5, 4 / 5.0},
                 {2, 2 / 5.0}, {4.9, 2 / 5.0}, {5, 1 / 5.0}, {9, 1 / 5.0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (double value = 0; value < 8; value += 0.5) {
            dn_score by_rate = {.score = value}, score = {.score = value};
            calibrate_verdict(scores, 4, 0.5, &by_rate);
            calibrate_threshold(scores, 4, cases[i].threshold, &score);
            ck_assert_double_eq(score.threshold, cases[i].threshold);
            ck_assert_double_eq(score.false_alarm_rate, cases[i].rate);
            ck_assert_double_eq(score.p_value, by_rate.p_value);
            ck_assert_int_eq(score.anomalous, value > cases[i].threshold);
        }
    dn_score score = {.score = 3, .anomalous = -1};
    calibrate_threshold(NULL, 0, 2, &score);
    ck_assert(score.anomalous == 1 && score.threshold == 2);
    ck_assert(isnan(score.p_value) && isnan(score.false_alarm_rate));
}
END_TEST

static double index_at(const double *scores, int count, double threshold, double value)
{
    dn_score score = {.score = value, .threshold = threshold};

    calibrate_index(scores, count, &score);
    return score.index;
}

START_TEST(index_by_hand)
{
    const double scores[] = {0.5, 2, 7}, spread[] = {0, 0, 0}, near[] = {1, 1, 1};

    ck_assert_double_eq_tol(index_at(scores, 3, 6, 2), 0.25, 1e-12); /* the median; k = log 3 / log 3 */
    ck_assert_double_eq(index_at(scores, 3, 6, 6), 0.5);
    ck_assert_double_eq_tol(index_at(scores, 3, 6, 18), 0.75, 1e-12);
    ck_assert_double_eq_tol(index_at(scores, 3, 18, 6), 1 / (1 + sqrt(3)), 1e-12);      /* k = 1 / 2 */
    ck_assert_double_eq_tol(index_at(scores, 3, 1, 3), 0.75, 1e-12);                    /* below the median: k = 1 */
    ck_assert_double_eq_tol(index_at(NULL, 0, 1, 4), 0.8, 1e-12);                       /* nothing is known: k = 1 */
    ck_assert_double_eq_tol(index_at(spread, 3, 1, 16), 2 / 3.0, 1e-12);                /* k = 0.25 at least */
    ck_assert_double_eq_tol(index_at(near, 3, 1.0001, 2.0002), 65536 / 65537.0, 1e-12); /* 16 at most */
    ck_assert_double_eq(index_at(scores, 3, 0, 0), 0.5);
    ck_assert_double_eq(index_at(scores, 3, 0, 1e-300), 1);
    ck_assert_double_eq(index_at(scores, 3, -1, 0), 1);
    ck_assert(isnan(index_at(scores, 3, (double)NAN, 1)));
}
END_TEST

/* 0 .. 1 and rising from 0 to the largest scores, on the right side of 0.5, for any threshold and spread. */
START_TEST(index_is_monotone)
{
    static const double thresholds[] = {0, 1e-300, 1e-10, 0.9, 1, 1.5, 40, 1e12, 1e300};
    static const double medians[] = {0, 1e-200, 0.5, 0.99999, 1, 30, 1e15};

    for (size_t t = 0; t < sizeof thresholds / sizeof *thresholds; t++)
        for (size_t m = 0; m < sizeof medians / sizeof *medians; m++) {
            double before = index_at(&medians[m], 1, thresholds[t], 0);
            ck_assert(before >= 0 && before <= 0.5);
            for (double value = 1e-300; value <= 1e300; value *= 1.37) {
                double now = index_at(&medians[m], 1, thresholds[t], value);
                ck_assert(isfinite(now) && now >= before && now <= 1);
                ck_assert(value > thresholds[t] ? now >= 0.5 : now <= 0.5);
                before = now;
            }
            ck_assert_double_ge(index_at(&medians[m], 1, thresholds[t], 1.7e308), before);
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
    tcase_add_test(tests, given_threshold);
    tcase_add_test(tests, index_by_hand);
    tcase_add_test(tests, index_is_monotone);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
