/* The monitor: against a version that remembers every p-value, by simulation of what it promises, and its errors. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "support.h"

/* ---- an independent version ---- */

#define MOST 4096

/* As docs/numerics.md tells it: each bet's price is the mean of g over all places and all images before. */
typedef struct naive {
    int32_t good;
    double seen[MOST];
    int images;
    double evidence[6];
} naive;

static double naive_bet(int k, double p)
{
    switch (k) {
    case 0:
        return 1.5 - p;
    case 1:
        return 1.9 - 1.8 * p;
    case 2:
        return 0.5 + p;
    case 3:
        return 0.1 + 1.8 * p;
    case 4:
        return 1 + 0.45 * (3 * (1 - 2 * p) * (1 - 2 * p) - 1);
    default:
        return 1 - 0.45 * (3 * (1 - 2 * p) * (1 - 2 * p) - 1);
    }
}

static double naive_add(naive *n, double p)
{
    double mean = 0;

    for (int k = 0; k < 6; k++) {
        double sum = 0;
        for (int32_t j = 1; j <= n->good + 1; j++)
            sum += naive_bet(k, (double)j / (n->good + 1));
        for (int i = 0; i < n->images; i++)
            sum += naive_bet(k, n->seen[i]);
        double price = n->good > 0 ? sum / (n->good + 1 + n->images) : 1;
        n->evidence[k] = (1 + n->evidence[k]) * naive_bet(k, p) / price;
        mean += n->evidence[k] / 6;
    }
    n->seen[n->images++] = p;
    return mean;
}

/* ---- what the tests share ---- */

static uint64_t random_state;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static dn_monitor *monitor_with(int32_t good_scores, double between, int32_t window)
{
    dn_monitor_options options;
    dn_monitor *monitor = NULL;
    dn_error error = {0};

    dn_monitor_options_init(&options);
    options.good_scores = good_scores;
    options.images_between_alarms = between;
    options.window = window;
    ck_assert_msg(dn_monitor_create(&options, &monitor, &error) == DN_OK, "%s", error.message);
    return monitor;
}

static dn_monitor_state state_of(dn_monitor *monitor)
{
    dn_monitor_state state;

    dn_monitor_state_init(&state);
    ck_ok(dn_monitor_get_state(monitor, &state));
    return state;
}

/* The p-value of a score among n good ones. */
static double p_value(const double *good, int32_t n, double score)
{
    int32_t above = 0;

    for (int32_t i = 0; i < n; i++)
        above += good[i] >= score;
    return (1.0 + above) / (n + 1.0);
}

/* ---- tests ---- */

START_TEST(one_good_score_by_hand)
{
    dn_monitor *monitor = monitor_with(1, 100, 3);
    /* Places 1/2 and 1.  First bet: g = 1.5 - p is 1 and 0.5, mean 0.75; and so on for the others. */
    double first = (1 / 0.75 + 1 / 0.55 + 1 / 1.25 + 1 / 1.45 + 0.55 / 1.225 + 1.45 / 0.775) / 6;
    dn_monitor_state state = state_of(monitor);

    ck_assert(state.images == 0 && state.moved == 0 && state.evidence == 0 && state.recent_images == 0);
    ck_assert(isnan(state.recent_mean));
    ck_ok(dn_monitor_add(monitor, 0.5));
    state = state_of(monitor);
    ck_assert_double_eq_tol(state.evidence, first / 100, 1e-15);
    ck_assert(state.images == 1 && state.recent_mean == 0.5 && state.recent_images == 1);
    dn_monitor_free(monitor);
}
END_TEST

START_TEST(as_the_naive_version)
{
    static const int32_t good[] = {0, 1, 7, 40, 1000};

    for (int i = 0; i < 5; i++) {
        dn_monitor *monitor = monitor_with(good[i], 1e12, 10);
        static naive own;
        memset(&own, 0, sizeof own);
        own.good = good[i];
        random_state = 5;
        for (int t = 0; t < 300; t++) {
            int32_t places = good[i] ? good[i] + 1 : 1000;
            double p = ceil((t < 150 ? uniform() : 0.3 * uniform()) * places) / places;
            p = p > 0 ? p : 1.0 / places;
            double expected = naive_add(&own, p) / 1e12;
            ck_ok(dn_monitor_add(monitor, p));
            ck_assert_double_eq_tol(state_of(monitor).evidence / expected, 1, 1e-9);
        }
        dn_monitor_free(monitor);
    }
}
END_TEST

START_TEST(recent_values_and_reset)
{
    dn_monitor *monitor = monitor_with(9, 20, 3), *fresh = monitor_with(9, 20, 3);

    for (int i = 0; i < 100; i++)
        ck_ok(dn_monitor_add(monitor, 0.1));
    dn_monitor_state state = state_of(monitor);
    ck_assert(state.moved == 1 && state.images == 100 && state.moved_at > 3 && state.moved_at < 30);
    ck_ok(dn_monitor_add(monitor, 1));
    ck_ok(dn_monitor_add(monitor, 0.7));
    state = state_of(monitor);
    ck_assert_double_eq_tol(state.recent_mean, (0.1 + 1 + 0.7) / 3, 1e-15);
    ck_assert_int_eq(state.recent_images, 3);
    ck_ok(dn_monitor_reset(monitor));
    state = state_of(monitor);
    ck_assert(state.moved == 0 && state.images == 0 && state.moved_at == 0 && state.evidence == 0);
    for (int i = 0; i < 5; i++) { /* as if it were new */
        ck_ok(dn_monitor_add(monitor, 0.3));
        ck_ok(dn_monitor_add(fresh, 0.3));
    }
    ck_assert(state_of(monitor).evidence == state_of(fresh).evidence);
    dn_monitor_free(monitor);
    dn_monitor_free(fresh);
}
END_TEST

/* Of good images of any distribution, at most m / A of all lines have an alarm within m images; and the promise is not
 * kept by never ringing at all. */
START_TEST(false_alarms_are_as_promised)
{
    enum { RUNS = 1500, IMAGES = 200, BETWEEN = 1000 };
    static const int32_t counts[] = {3, 19, 100};

    random_state = 11;
    for (int c = 0; c < 3; c++) {
        int alarms = 0;
        dn_monitor *monitor = monitor_with(counts[c], BETWEEN, 1);
        for (int run = 0; run < RUNS; run++) {
            double good[100];
            for (int32_t i = 0; i < counts[c]; i++)
                good[i] = -log(1 - uniform()); /* scores are not uniform, and need not be */
            ck_ok(dn_monitor_reset(monitor));
            for (int t = 0; t < IMAGES; t++)
                ck_ok(dn_monitor_add(monitor, p_value(good, counts[c], -log(1 - uniform()))));
            alarms += state_of(monitor).moved;
        }
        double promised = (double)IMAGES / BETWEEN, deviation = sqrt(promised * (1 - promised) / RUNS);
        ck_assert_msg((double)alarms / RUNS <= promised + 3 * deviation, "%d good scores: %d of %d", counts[c], alarms,
                      RUNS);
        if (counts[c] >= 19)
            ck_assert_msg((double)alarms / RUNS >= promised / 4, "%d good scores: %d of %d", counts[c], alarms, RUNS);
        dn_monitor_free(monitor);
    }
}
END_TEST

/* How soon a change is told: scores that rise, that fall, a camera that repeats one picture. */
START_TEST(changes_are_told)
{
    enum { RUNS = 200, BEFORE = 200, AFTER = 200, GOOD = 100 };

    random_state = 3;
    for (int kind = 0; kind < 3; kind++) {
        int told = 0, early = 0;
        dn_monitor *monitor = monitor_with(GOOD, 10000, 50);
        for (int run = 0; run < RUNS; run++) {
            double good[GOOD];
            for (int i = 0; i < GOOD; i++)
                good[i] = uniform();
            ck_ok(dn_monitor_reset(monitor));
            for (int t = 0; t < BEFORE; t++)
                ck_ok(dn_monitor_add(monitor, p_value(good, GOOD, uniform())));
            early += state_of(monitor).moved;
            for (int t = 0; t < AFTER; t++) {
                double score = kind == 0 ? sqrt(uniform()) : kind == 1 ? pow(uniform(), 2) : 0.5;
                ck_ok(dn_monitor_add(monitor, p_value(good, GOOD, score)));
            }
            told += state_of(monitor).moved;
        }
        ck_assert_int_le(early, RUNS / 10);
        ck_assert_msg(told >= RUNS * 9 / 10, "change %d: told %d of %d times", kind, told, RUNS);
        dn_monitor_free(monitor);
    }
}
END_TEST

START_TEST(never_infinite)
{
    dn_monitor *monitor = monitor_with(0, 1, 1);

    for (int i = 0; i < 20000; i++)
        ck_ok(dn_monitor_add(monitor, DBL_MIN));
    dn_monitor_state state = state_of(monitor);
    ck_assert(isfinite(state.evidence) && state.moved == 1 && state.moved_at == 1);
    dn_monitor_free(monitor);
}
END_TEST

START_TEST(refused)
{
    dn_monitor *monitor = monitor_with(10, 100, 5);
    static const double wrong[] = {0, -0.5, 1.0001};
    dn_monitor_state short_state = {.struct_size = 2};

    for (int i = 0; i < 5; i++) {
        double p = i < 3 ? wrong[i] : i == 3 ? (double)NAN : (double)INFINITY;
        ck_status(dn_monitor_add(monitor, p), DN_E_ARGUMENT);
        check_error(dn_monitor_error(monitor), DN_E_ARGUMENT, "above 0 and at most 1");
    }
    ck_assert_int_eq(state_of(monitor).images, 0);
    ck_status(dn_monitor_get_state(monitor, NULL), DN_E_ARGUMENT);
    ck_status(dn_monitor_get_state(monitor, &short_state), DN_E_ARGUMENT);
    ck_status(dn_monitor_add(NULL, 0.5), DN_E_ARGUMENT);
    ck_status(dn_monitor_reset(NULL), DN_E_ARGUMENT);
    ck_assert_ptr_null(dn_monitor_error(NULL));
    dn_monitor_free(NULL);
    dn_monitor_free(monitor);
#define REFUSED(field, value)                                              \
    do {                                                                   \
        dn_monitor_options o;                                              \
        dn_error error;                                                    \
        dn_monitor_options_init(&o);                                       \
        o.field = (value);                                                 \
        ck_status(dn_monitor_create(&o, &monitor, &error), DN_E_ARGUMENT); \
        ck_assert_ptr_null(monitor);                                       \
        check_error(&error, DN_E_ARGUMENT, #field " is");                  \
    } while (0)
    REFUSED(good_scores, -1);
    REFUSED(good_scores, (1 << 24) + 1);
    REFUSED(images_between_alarms, 0.999);
    REFUSED(images_between_alarms, 1.001e12);
    REFUSED(images_between_alarms, (double)NAN);
    REFUSED(window, 0);
    REFUSED(window, 1000001);
#undef REFUSED
    ck_status(dn_monitor_create(NULL, NULL, NULL), DN_E_ARGUMENT);
}
END_TEST

START_TEST(memory)
{
    failing_memory state = {0};
    dn_allocator allocator = failing_allocator(&state);
    dn_monitor_options options;
    dn_monitor *monitor;
    dn_error error;

    dn_monitor_options_init(&options);
    ck_assert(options.good_scores == 0 && options.images_between_alarms == 10000 && options.window == 50);
    options.allocator = &allocator;
    for (state.fail_at = 1; state.fail_at <= 2; state.fail_at++) {
        state.calls = 0;
        ck_status(dn_monitor_create(&options, &monitor, &error), DN_E_MEMORY);
        ck_assert_ptr_null(monitor);
        ck_assert_int_eq(state.live, 0);
    }
    state.fail_at = state.calls = 0;
    ck_ok(dn_monitor_create(&options, &monitor, &error));
    long calls = state.calls;
    for (int i = 0; i < 1000; i++)
        ck_ok(dn_monitor_add(monitor, 0.5));
    ck_ok(dn_monitor_reset(monitor));
    state_of(monitor);
    ck_assert_int_eq(state.calls, calls); /* nothing but creation allocates */
    dn_monitor_free(monitor);
    ck_assert_int_eq(state.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("monitor");
    TCase *cases = tcase_create("monitor");

    tcase_add_test(cases, one_good_score_by_hand);
    tcase_add_test(cases, as_the_naive_version);
    tcase_add_test(cases, recent_values_and_reset);
    tcase_add_test(cases, false_alarms_are_as_promised);
    tcase_add_test(cases, changes_are_told);
    tcase_add_test(cases, never_infinite);
    tcase_add_test(cases, refused);
    tcase_add_test(cases, memory);
    tcase_set_timeout(cases, 240);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
