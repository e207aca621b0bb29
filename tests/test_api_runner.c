/* The host's threads through the shared library: scorer, localizer and trainer on a dn_runner, good and broken. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap_golden.h"
#include "runners.h"
#include "serving.h"
#include "training.h"

static const struct {
    void (*run)(dn_job_fn job, void *context, int32_t jobs, void *user);
} good_runners[] = {{run_in_order}, {run_reversed}, {run_on_threads}};

START_TEST(runner_same_bits)
{
    static float expected_map[SIDE * SIDE], map[SIDE * SIDE];
    dn_pixels views[MANY];
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {good_runners[_i].run, &self};
    dn_scorer_options scoring;
    dn_localizer_options localizing;
    dn_localizer *localizer;
    dn_score expected[3], scores[3];
    dn_model *model = golden_model();

    draw_pictures(views);
    dn_scorer_options_init(&scoring);
    ck_assert_ptr_null(scoring.runner);
    scoring.views = 70;
    dn_scorer *scorer = make_scorer(model, &scoring);
    score_alone(scorer, views, 3, expected);
    dn_scorer_free(scorer);
    dn_localizer_options_init(&localizing);
    localizing.views = 5;
    ck_ok(dn_localizer_create(model, &localizing, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, &views[0], expected_map));
    dn_localizer_free(localizer);
    scoring.runner = localizing.runner = &runner;
    for (int threads = 1; threads <= 4; threads++) {
        scoring.threads = localizing.threads = threads;
        long before = self.runs;
        scorer = make_scorer(model, &scoring);
        ck_ok(dn_localizer_create(model, &localizing, &localizer, NULL));
        ck_assert_int_eq(self.runs - before, threads > 1 ? 2 : 0); /* each tries it out */
        score_alone(scorer, views, 3, scores);
        ck_assert_mem_eq(scores, expected, sizeof scores);
        ck_ok(dn_localizer_map(localizer, &views[0], map));
        ck_assert_mem_eq(map, expected_map, sizeof map);
        ck_assert_int_eq(self.runs - before > 10, threads > 1);
        dn_scorer_free(scorer);
        dn_localizer_free(localizer);
    }
    dn_model_unref(model);
}
END_TEST

static uint32_t model_id(const dn_model *model)
{
    dn_model_info info;

    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    return info.id;
}

static int32_t break_runner(const dn_progress *progress, void *user)
{
    if (progress->phase == DN_PHASE_TRAIN && progress->done == 1)
        ((host *)user)->fault = RUNNER_SKIPS;
    return 0;
}

/* Training on a runner gives the same model; a runner that breaks its contract ends it, and it can be gone on with. */
START_TEST(runner_trains)
{
    host self = {.fault = RUNNER_GOOD};
    dn_runner *runner = malloc(sizeof *runner);
    dn_model *model;

    dn_trainer *trainer = make_trainer(NULL, 1, 0.3);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    uint32_t expected = model_id(model);
    dn_model_unref(model);
    dn_trainer_free(trainer);

    *runner = (dn_runner){run_broken, &self};
    trainer = make_trainer(runner, 3, 0.3);
    free(runner); /* it was copied */
    ck_status(dn_trainer_run(trainer, break_runner, &self, &model), DN_E_THREAD);
    check_error(dn_trainer_error(trainer), DN_E_THREAD, "left a job out");
    ck_assert_ptr_null(model);
    self.fault = RUNNER_GOOD;
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    ck_assert_uint_eq(model_id(model), expected);
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

/* Breaks the runner when a phase begins. */
typedef struct breaker {
    host *self;
    int32_t phase;
} breaker;

static int32_t break_in(const dn_progress *progress, void *user)
{
    const breaker *b = user;

    if (progress->phase == b->phase)
        b->self->fault = RUNNER_SKIPS;
    return 0;
}

/* While views are made for each step, in the density at every position, and where images are looked at again. */
START_TEST(runner_breaks_in_a_phase)
{
    static const int32_t phases[] = {DN_PHASE_TRAIN, DN_PHASE_MAPS, DN_PHASE_HOLDOUT, DN_PHASE_HEATMAP};
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {run_broken, &self};
    dn_train_options o = tiny_options();
    breaker b = {&self, phases[_i]};
    dn_model *model;

    o.bank = 0;
    o.views = 70; /* several blocks: one task alone needs no runner */
    o.positions = phases[_i] == DN_PHASE_MAPS;
    dn_blob *expected = run_to_bytes(tiny_trainer(&o, 6));
    o.threads = 3;
    o.runner = &runner;
    dn_trainer *trainer = tiny_trainer(&o, 6);
    trainer_fails(trainer, dn_trainer_run(trainer, break_in, &b, &model), DN_E_THREAD, "left a job out");
    ck_assert_ptr_null(model);
    self.fault = RUNNER_GOOD;
    dn_blob *bytes = run_to_bytes(trainer);
    ck_assert(same_bytes(bytes, expected));
    dn_blob_free(bytes);
    dn_blob_free(expected);
}
END_TEST

/* Maps of the density at every position. */
START_TEST(runner_broken_in_maps)
{
    static float expected[SIDE * SIDE], map[SIDE * SIDE];
    dn_pixels views[MANY];
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {run_broken, &self};
    dn_localizer_options options;
    dn_localizer *localizer;
    dn_model *model;

    draw_pictures(views);
    ck_ok(dn_model_open_path(golden_path("models/format4_details.dnm"), NULL, &model, NULL));
    dn_localizer_options_init(&options);
    options.threads = 3;
    options.runner = &runner;
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, &views[0], expected));
    self.fault = RUNNER_SKIPS;
    ck_status(dn_localizer_map(localizer, &views[0], map), DN_E_THREAD);
    check_error(dn_localizer_error(localizer), DN_E_THREAD, "left a job out");
    self.fault = RUNNER_GOOD;
    ck_ok(dn_localizer_map(localizer, &views[0], map));
    ck_assert_mem_eq(map, expected, sizeof map);
    dn_localizer_free(localizer);
    dn_model_unref(model);
}
END_TEST

/* Leaves a job out from its run number `good` on. */
typedef struct tiring {
    host self;
    long good;
} tiring;

static void run_until_tired(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    tiring *t = user;

    t->self.fault = t->self.runs < t->good ? RUNNER_GOOD : RUNNER_SKIPS;
    run_broken(job, context, jobs, &t->self);
}

/* The batch's error is the first one: that of an image, not of the runner that broke behind it. */
START_TEST(first_error_of_a_batch)
{
    tiring t = {.good = INT32_MAX};
    dn_runner runner = {run_until_tired, &t};
    dn_pixels views[MANY];
    dn_score scores[MANY];
    dn_error errors[MANY];
    dn_scorer_options options;
    dn_model *model = golden_model();

    draw_pictures(views);
    views[0].width = 0;
    for (int i = 0; i < MANY; i++)
        dn_score_init(&scores[i]);
    dn_scorer_options_init(&options);
    options.threads = 3;
    options.runner = &runner;
    dn_scorer *scorer = make_scorer(model, &options);
    long before = t.self.runs;
    ck_status(dn_scorer_score_batch(scorer, views, 16, scores, errors), DN_E_ARGUMENT);
    t.good = t.self.runs + (t.self.runs - before); /* the first 16 again */
    ck_status(dn_scorer_score_batch(scorer, views, MANY, scores, errors), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "images[0]");
    check_error(&errors[0], DN_E_ARGUMENT, "images[0]");
    for (int i = 1; i < MANY; i++)
        ck_status(errors[i].status, i < 16 ? DN_OK : DN_E_THREAD);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(runner_broken)
{
    static float map[SIDE * SIDE];
    dn_pixels views[MANY];
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {run_broken, &self};
    dn_scorer_options scoring;
    dn_localizer_options localizing;
    dn_localizer *localizer;
    dn_score expected, score, scores[2];
    dn_error errors[2], error;
    dn_model *model = golden_model();

    draw_pictures(views);
    dn_scorer_options_init(&scoring);
    dn_localizer_options_init(&localizing);
    scoring.threads = localizing.threads = 3;
    scoring.runner = localizing.runner = &runner;
    scoring.views = localizing.views = 8; /* more than one block: one task alone needs no runner */
    dn_scorer *scorer = make_scorer(model, &scoring);
    ck_ok(dn_localizer_create(model, &localizing, &localizer, NULL));
    score_alone(scorer, views, 1, &expected);
    for (int fault = RUNNER_GOOD + 1; fault < RUNNER_FAULTS; fault++) {
        self.fault = (enum runner_fault)fault;
        score = expected;
        score.score = -7;
        ck_status(dn_scorer_score(scorer, &views[0], &score), DN_E_THREAD);
        check_error(dn_scorer_error(scorer), DN_E_THREAD, "runner");
        ck_assert_double_eq(score.score, -7);
        ck_assert_ptr_null(dn_scorer_view_scores(scorer, NULL));
        ck_status(dn_scorer_decide(scorer, &views[0], &score), DN_E_THREAD);
        dn_score_init(&scores[0]);
        dn_score_init(&scores[1]);
        ck_status(dn_scorer_score_batch(scorer, views, 2, scores, errors), DN_E_THREAD);
        check_error(&errors[0], DN_E_THREAD, "runner");
        check_error(&errors[1], DN_E_THREAD, "runner");
        ck_status(dn_localizer_map(localizer, &views[0], map), DN_E_THREAD);
        check_error(dn_localizer_error(localizer), DN_E_THREAD, "runner");
        host_settle(&self);
        self.fault = RUNNER_GOOD;
        if (fault == RUNNER_LATE) /* a job that comes too late is told by the next call */
            ck_status(dn_localizer_map(localizer, &views[0], map), DN_E_THREAD);
        score_alone(scorer, views, 1, &score);
        ck_assert_mem_eq(&score, &expected, sizeof score);
        ck_ok(dn_localizer_map(localizer, &views[0], map));
    }
    dn_scorer_free(scorer);
    dn_localizer_free(localizer);

    self.fault = RUNNER_IDLES;
    ck_status(dn_scorer_create(model, &scoring, &scorer, &error), DN_E_THREAD);
    ck_assert_ptr_null(scorer);
    check_error(&error, DN_E_THREAD, "dn_runner");
    runner.run = NULL;
    ck_status(dn_scorer_create(model, &scoring, &scorer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "lacks run");
    ck_status(dn_localizer_create(model, &localizing, &localizer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "dn_localizer_options: the runner");
    dn_train_options training;
    dn_trainer *trainer;
    dn_train_options_init(&training);
    training.positions = 0;
    training.runner = &runner;
    ck_status(dn_trainer_create(dn_model_extractor(model), &training, &trainer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "dn_train_options: the runner");
    dn_model_unref(model);
}
END_TEST

/* A program compiled before `runner` was there: its struct ends with the allocator. */
START_TEST(runner_unknown_to_the_caller)
{
    dn_model *model = golden_model();
    dn_scorer_options options;
    dn_scorer *scorer;

    memset(&options, 0x55, sizeof options);
    dn_scorer_options_init_size(&options, offsetof(dn_scorer_options, runner));
    ck_ok(dn_scorer_create(model, &options, &scorer, NULL));
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_runner");
    TCase *tests = tcase_create("api_runner");

    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, runner_same_bits, 0, 3);
    tcase_add_test(tests, runner_trains);
    tcase_add_loop_test(tests, runner_breaks_in_a_phase, 0, 4);
    tcase_add_test(tests, runner_broken);
    tcase_add_test(tests, runner_broken_in_maps);
    tcase_add_test(tests, first_error_of_a_batch);
    tcase_add_test(tests, runner_unknown_to_the_caller);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
