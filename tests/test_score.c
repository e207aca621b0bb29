/* Scorer: against PyTorch in float64, same bits for any number of threads, bad numbers, failing allocations. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "differnet/monitor.h"
#include "differnet/score.h"
#include "golden.h"
#include "heatmap_golden.h"
#include "small_model.h"
#include "support.h"

static const dn_scorer_options plain = {
    .struct_size = sizeof plain, .angles = -1, .threads = 1, .false_alarm_rate = 0.05};

static uint8_t image_bytes[GOLDEN_SIZE * GOLDEN_SIZE * 3];

static dn_pixels image(void)
{
    golden_image(image_bytes);
    return rgb_view(image_bytes, GOLDEN_SIZE, GOLDEN_SIZE);
}

static dn_score score_with(dn_model *model, const dn_scorer_options *options, double *view_scores)
{
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score score = {0};
    dn_error error = {0};

    ck_ok(scorer_create(model, options, &scorer, &error));
    dn_status status = scorer_score(scorer, &(scorer_input){.view = &view}, &score, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    if (view_scores)
        memcpy(view_scores, scorer->view_scores, (size_t)scorer->views * sizeof *view_scores);
    scorer_free(scorer);
    return score;
}

START_TEST(angles_of_views)
{
    double angles[1024];
    st_file *golden = golden_open("heatmap.safetensors");
    double *expected = golden_doubles(golden, "angles", NULL);

    score_angles(DN_ANGLES_STRATIFIED, GOLDEN_VIEWS, angles);
    for (int i = 0; i < GOLDEN_VIEWS; i++)
        ck_assert_double_eq_tol(angles[i], expected[i], 1e-12);
    score_angles(DN_ANGLES_STRATIFIED, 1024, angles);
    for (int i = 0; i < 1024; i++)
        ck_assert(angles[i] >= -180 + i * 360.0 / 1024 && angles[i] < -180 + (i + 1) * 360.0 / 1024);
    score_angles(DN_ANGLES_GRID, 8, angles);
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq(angles[i], 45.0 * i);
    free(expected);
    golden_close(golden);
}
END_TEST

START_TEST(matches_golden)
{
    st_file *golden = golden_open("heatmap.safetensors");
    double *views = golden_doubles(golden, "view_scores", NULL), *score = golden_doubles(golden, "score", NULL);
    double *likelihood = golden_doubles(golden, "log_likelihood", NULL);
    int64_t *sum = golden_integers(golden, "image_sum", NULL), drawn = 0;
    double view_scores[GOLDEN_VIEWS];
    dn_model *model = golden_model();
    dn_score result = score_with(model, &plain, view_scores);

    for (size_t i = 0; i < sizeof image_bytes; i++)
        drawn += image_bytes[i];
    ck_assert_int_eq(drawn, sum[0]);
    ck_assert_int_eq(result.views, GOLDEN_VIEWS);
    ck_assert_double_eq_tol(result.score, score[0], 2e-5 * score[0]);
    ck_assert_double_eq_tol(result.log_likelihood, likelihood[0], 2e-5 * fabs(likelihood[0]));
    for (int i = 0; i < GOLDEN_VIEWS; i++)
        ck_assert_double_eq_tol(view_scores[i], views[i], 5e-5 * views[i]);
    ck_assert_double_eq(result.p_value, (1 + 1) / 6.0); /* one of the 5 held-out scores is above 7.49 */
    ck_assert_int_eq(result.anomalous, 0);
    ck_assert_double_eq(result.threshold, 7.5);
    ck_assert_double_eq(result.false_alarm_rate, 1 / 6.0);
    free(views);
    free(score);
    free(likelihood);
    free(sum);
    model_unref(model);
    golden_close(golden);
}
END_TEST

/* Same bits for 1, 2 and 3 threads and on repetition; the views span two blocks of the flow. */
START_TEST(same_bits_for_any_threads)
{
    enum { MANY = FLOW_ROWS + 6 };
    dn_model *model = small_model();
    double first[MANY], other[MANY];
    dn_scorer_options options = plain;

    options.views = MANY;
    dn_score expected = score_with(model, &options, first);
    for (options.threads = 1; options.threads <= 3; options.threads++) {
        dn_score again = score_with(model, &options, other);
        ck_assert_int_eq(again.views, MANY);
        ck_assert_mem_eq(&again.score, &expected.score, sizeof again.score);
        ck_assert_mem_eq(&again.log_likelihood, &expected.log_likelihood, sizeof again.score);
        ck_assert_mem_eq(other, first, sizeof first);
    }
    model_unref(model);
}
END_TEST

typedef struct results {
    double scores[4];
    dn_status statuses[4];
    int count;
} results;

static void collect(void *context, int32_t image, const dn_score *score, const dn_error *error)
{
    results *r = context;

    ck_assert_int_eq(image, r->count++);
    r->statuses[image] = error->status;
    r->scores[image] = score->score;
}

/* Images of a group that cannot be used take nothing from the others, wherever they are; an earlier picture's canvas is
 * not scored in their place. */
START_TEST(group_with_bad_images)
{
    dn_model *model = small_model();
    dn_pixels good = image(), bad = good, views[4];
    dn_score expected = score_with(model, &plain, NULL);
    dn_scorer *scorer;

    bad.width = DN_MIN_SIDE - 1;
    ck_ok(scorer_create(model, &plain, &scorer, NULL));
    ck_assert_int_ge(scorer->batch, 4);
    for (unsigned set = 0; set < 16; set++) {
        results r = {.count = 0};
        int32_t done;
        for (unsigned i = 0; i < 4; i++)
            views[i] = set >> i & 1 ? bad : good;
        ck_ok(scorer_score_list(scorer, &(scorer_list){.views = views, .count = 4}, collect, &r, &done, NULL));
        ck_assert(done == 4 && r.count == 4);
        for (unsigned i = 0; i < 4; i++) {
            ck_assert_int_eq(r.statuses[i], set >> i & 1 ? DN_E_ARGUMENT : DN_OK);
            ck_assert_double_eq(r.scores[i], set >> i & 1 ? 0 : expected.score);
        }
    }
    scorer_free(scorer);
    model_unref(model);
}
END_TEST

/* A view's score depends on its angle alone, not on the number of views. */
START_TEST(views_are_independent)
{
    dn_model *model = golden_model();
    double four[4], eight[8];
    dn_scorer_options options = plain;

    options.angles = DN_ANGLES_GRID;
    options.views = 4;
    score_with(model, &options, four);
    options.views = 8;
    score_with(model, &options, eight);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(four[i], eight[2 * i]);
    model_unref(model);
}
END_TEST

/* Scores of one model on several threads at once. */
struct shared {
    dn_model *model;
    dn_score score;
};

static void *score_on_thread(void *argument)
{
    struct shared *shared = argument;
    dn_model *model = model_ref(shared->model);
    dn_scorer_options options = plain;
    dn_scorer *scorer;
    dn_pixels view = rgb_view(image_bytes, GOLDEN_SIZE, GOLDEN_SIZE);

    options.threads = 2;
    if (scorer_create(model, &options, &scorer, NULL) != DN_OK)
        return NULL;
    model_unref(model); /* the scorer has its own reference */
    for (int i = 0; i < 3; i++)
        if (scorer_score(scorer, &(scorer_input){.view = &view}, &shared->score, NULL) != DN_OK)
            shared->score.score = -1;
    scorer_free(scorer);
    return NULL;
}

START_TEST(shared_model)
{
    struct shared shared[3];
    pthread_t threads[3];
    dn_model *model = golden_model();
    dn_score expected = score_with(model, &plain, NULL);

    for (int i = 0; i < 3; i++) {
        shared[i] = (struct shared){.model = model};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, score_on_thread, &shared[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_mem_eq(&shared[i].score, &expected, sizeof expected);
    }
    model_unref(model);
}
END_TEST

/* Numbers that overflow on the way are an error, and leave no view scores. */
START_TEST(overflow_is_an_error)
{
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score score;
    dn_error error = {0};

    for (int i = 0; i < GOLDEN_DIM; i++)
        model->deviation[i] = 1e-45f; /* of a model of our own: standardised features become infinite */
    ck_ok(scorer_create(model, &plain, &scorer, NULL));
    ck_status(scorer_score(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "overflow"));
    ck_status(scorer_decide(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "overflow"));
    ck_assert_int_eq(scorer->scored, 0);
    scorer_free(scorer);
    model_unref(model);
}
END_TEST

/* The flow limits its blocks' outputs, so that infinite features can come out of it as finite numbers. */
START_TEST(infinite_features_are_an_error)
{
    dn_model *model = small_model();
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score score;
    dn_error error = {0};

    for (int i = 0; i < model->extractor->feature_dim; i++) {
        model->mean[i] = 0;
        model->deviation[i] = 1e-45f; /* features, which are >= 0, become 0 or infinity */
    }
    for (size_t i = 0; i < flow_parameters(4, 2, 8); i++) /* all hidden units closed, whatever comes in */
        model->flow->owned[i] = -fabsf(model->flow->owned[i]);
    ck_ok(scorer_create(model, &plain, &scorer, NULL));
    ck_status(scorer_score(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "features"));
    ck_status(scorer_decide(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "features"));
    scorer_free(scorer);
    model_unref(model);
}
END_TEST

START_TEST(without_holdout)
{
    dn_model *model = golden_model();

    ck_ok(model_set_holdout(model, NULL, 0, NULL));
    dn_score score = score_with(model, &plain, NULL);
    ck_assert_int_eq(score.anomalous, -1);
    ck_assert(isnan(score.p_value) && isnan(score.threshold));
    ck_assert(score.score > 0);
    model_unref(model);
}
END_TEST

START_TEST(failing_allocations)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model *model = small_model();
    dn_pixels view = image();
    dn_scorer_options options = plain;
    dn_status status = DN_E_MEMORY;

    options.threads = 2;
    options.allocator = &allocator;
    for (long fail_at = 1; status != DN_OK; fail_at++) {
        dn_scorer *scorer;
        dn_score score;
        dn_error error = {0};
        memory = (failing_memory){.fail_at = fail_at};
        status = scorer_create(model, &options, &scorer, &error);
        if (status == DN_OK)
            status = scorer_score(scorer, &(scorer_input){.view = &view}, &score, &error);
        if (status != DN_OK) {
            ck_assert_int_eq(status, DN_E_MEMORY);
            ck_assert_ptr_nonnull(strstr(error.message, "memory"));
        }
        scorer_free(scorer);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(fail_at, 100);
    }
    ck_assert_int_gt(memory.calls, 8);
    ck_assert_int_eq(atomic_load(&model->references), 1);
    model_unref(model);
}
END_TEST

/* One thread at a time: a call during another one is refused, and changes nothing. */
START_TEST(a_monitor_in_use)
{
    dn_monitor_state before, after;
    dn_monitor *monitor;

    ck_ok(dn_monitor_create(NULL, &monitor, NULL));
    ck_ok(dn_monitor_add(monitor, 0.25));
    dn_monitor_state_init(&before);
    dn_monitor_state_init(&after);
    ck_ok(dn_monitor_get_state(monitor, &before));
    atomic_store(monitor_in_use(monitor), 1);
    ck_status(dn_monitor_add(monitor, 0.5), DN_E_STATE);
    ck_status(dn_monitor_get_state(monitor, &after), DN_E_STATE);
    ck_status(dn_monitor_reset(monitor), DN_E_STATE);
    atomic_store(monitor_in_use(monitor), 0);
    ck_ok(dn_monitor_get_state(monitor, &after));
    ck_assert_mem_eq(&before, &after, sizeof before);
    dn_monitor_free(monitor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("score");
    TCase *tests = tcase_create("score");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, angles_of_views);
    tcase_add_test(tests, matches_golden);
    tcase_add_test(tests, same_bits_for_any_threads);
    tcase_add_test(tests, group_with_bad_images);
    tcase_add_test(tests, views_are_independent);
    tcase_add_test(tests, shared_model);
    tcase_add_test(tests, overflow_is_an_error);
    tcase_add_test(tests, infinite_features_are_an_error);
    tcase_add_test(tests, without_holdout);
    tcase_add_test(tests, a_monitor_in_use);
    tcase_add_test(tests, failing_allocations);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
