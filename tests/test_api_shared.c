/* Mutable handles that more than one call gets hold of: DN_E_STATE for the second, never wrong numbers. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "heatmap_golden.h"
#include "runners.h"
#include "support.h"

#define SIDE 48
#define PICTURES 4
#define THREADS 4
#define ROUNDS 25

static uint8_t pixels[PICTURES][SIDE * SIDE * 3];
static dn_pixels pictures[PICTURES];

static void draw_pictures(void)
{
    for (int i = 0; i < PICTURES; i++) {
        draw_texture(pixels[i], SIDE, SIDE, (uint32_t)i);
        pictures[i] = rgb_view(pixels[i], SIDE, SIDE);
    }
}

/* Nothing of an output struct that was set up may have changed. */
static void untouched(const dn_score *score)
{
    dn_score empty;

    dn_score_init(&empty);
    ck_assert_mem_eq(score, &empty, sizeof empty);
}

/* ---- what an intruder gets, in a thread of its own and in a callback of the call itself ---- */

typedef struct intruder {
    dn_runner runner; /* of the handle; its run lets the intruder in */
    int32_t (*enter)(struct intruder *self);
    dn_scorer *scorer;
    dn_localizer *localizer;
    dn_trainer *trainer;
    long entered;
} intruder;

static void *enter_thread(void *argument)
{
    intruder *self = argument;

    self->enter(self);
    return NULL;
}

static void intrude(intruder *self)
{
    pthread_t thread;

    self->entered++;
    self->enter(self);
    ck_assert_int_eq(pthread_create(&thread, NULL, enter_thread, self), 0);
    pthread_join(thread, NULL);
}

/* A dn_runner's: the first loop of a call lets the intruder in. */
static void run_with_intruder(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    intruder *self = user;

    if (self->enter && self->entered == 0)
        intrude(self);
    for (int32_t i = 0; i < jobs; i++)
        job(context, i);
}

static int32_t enter_scorer(intruder *self)
{
    dn_scorer *scorer = self->scorer;
    const char *paths[2] = {"absent.png", "absent.png"};
    static float map[SIDE * SIDE];
    dn_error errors[2];
    dn_score scores[2];
    int32_t count = 7;

    dn_score_init(&scores[0]);
    dn_score_init(&scores[1]);
    ck_status(dn_scorer_score(scorer, &pictures[1], scores), DN_E_STATE);
    ck_status(dn_scorer_score(scorer, NULL, NULL), DN_E_STATE); /* before anything else is looked at */
    ck_status(dn_scorer_score_path(scorer, paths[0], scores), DN_E_STATE);
    ck_status(dn_scorer_decide(scorer, &pictures[1], scores), DN_E_STATE);
    ck_status(dn_scorer_decide_path(scorer, paths[0], scores), DN_E_STATE);
    ck_status(dn_scorer_inspect(scorer, &pictures[1], map, scores), DN_E_STATE);
    ck_status(dn_scorer_score_batch(scorer, pictures, 2, scores, errors), DN_E_STATE);
    check_error(&errors[1], DN_E_STATE, "one call at a time");
    ck_status(dn_scorer_score_batch(scorer, pictures, 2, scores, NULL), DN_E_STATE);
    ck_status(dn_scorer_score_batch_paths(scorer, paths, 2, scores, errors), DN_E_STATE);
    check_error(&errors[0], DN_E_STATE, "one call at a time");
    untouched(&scores[0]);
    untouched(&scores[1]);
    check_error(dn_scorer_error(scorer), DN_E_STATE, "used by another thread");
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count));
    ck_assert_int_eq(count, 0);
    ck_assert_int_ge(dn_scorer_batch_images(scorer), 1); /* never changes */
    return 0;
}

START_TEST(scorer_serves_one_call)
{
    intruder self = {.runner = {run_with_intruder, &self}};
    dn_model *model = golden_model();
    dn_scorer_options options;
    dn_score expected, score, batch[2];
    int32_t count;

    draw_pictures();
    dn_score_init(&expected);
    dn_score_init(&score);
    dn_score_init(&batch[0]);
    dn_score_init(&batch[1]);
    dn_scorer_options_init(&options);
    options.views = 70; /* enough for more than one thread */
    options.threads = 2;
    options.runner = &self.runner;
    ck_ok(dn_scorer_create(model, &options, &self.scorer, NULL));
    ck_ok(dn_scorer_score(self.scorer, &pictures[0], &expected));
    self.enter = enter_scorer;
    ck_ok(dn_scorer_score(self.scorer, &pictures[0], &score));
    ck_assert_int_eq(self.entered, 1);
    ck_assert_mem_eq(&score, &expected, sizeof score);
    ck_assert_int_eq(dn_scorer_error(self.scorer)->status, DN_OK);
    ck_assert_ptr_nonnull(dn_scorer_view_scores(self.scorer, &count));
    ck_assert_int_eq(count, expected.views);
    self.entered = 0;
    ck_ok(dn_scorer_score_batch(self.scorer, pictures, 2, batch, NULL));
    ck_assert_int_eq(self.entered, 1);
    ck_assert_mem_eq(&batch[0], &expected, sizeof expected);
    dn_scorer_free(self.scorer);
    dn_model_unref(model);
}
END_TEST

static int32_t enter_localizer(intruder *self)
{
    static float map[SIDE * SIDE];
    int32_t count = 7;
    dn_box box;

    map[0] = 5;
    ck_status(dn_localizer_map(self->localizer, &pictures[1], map), DN_E_STATE);
    ck_status(dn_localizer_map(self->localizer, NULL, NULL), DN_E_STATE);
    ck_assert(map[0] == 5);
    ck_status(dn_localizer_boxes(self->localizer, map, SIDE, SIDE, 1, &box, 1, &count), DN_E_STATE);
    ck_assert_int_eq(count, 7);
    check_error(dn_localizer_error(self->localizer), DN_E_STATE, "used by another thread");
    return 0;
}

START_TEST(localizer_serves_one_call)
{
    static float expected[SIDE * SIDE], map[SIDE * SIDE];
    intruder self = {.runner = {run_with_intruder, &self}};
    dn_model *model = golden_model();
    dn_localizer_options options;

    draw_pictures();
    dn_localizer_options_init(&options);
    options.views = 20; /* enough for more than one thread */
    options.threads = 2;
    options.runner = &self.runner;
    ck_ok(dn_localizer_create(model, &options, &self.localizer, NULL));
    ck_ok(dn_localizer_map(self.localizer, &pictures[0], expected));
    self.enter = enter_localizer;
    ck_ok(dn_localizer_map(self.localizer, &pictures[0], map));
    ck_assert_int_eq(self.entered, 1);
    ck_assert_mem_eq(map, expected, sizeof map);
    ck_assert_int_eq(dn_localizer_error(self.localizer)->status, DN_OK);
    dn_localizer_free(self.localizer);
    dn_model_unref(model);
}
END_TEST

static int32_t enter_trainer(intruder *self)
{
    dn_model *model = (dn_model *)&self; /* anything but NULL */

    ck_status(dn_trainer_add_pixels(self->trainer, &pictures[1]), DN_E_STATE);
    ck_status(dn_trainer_add_path(self->trainer, "absent.png"), DN_E_STATE);
    ck_status(dn_trainer_run(self->trainer, NULL, NULL, &model), DN_E_STATE);
    ck_assert_ptr_null(model);
    model = (dn_model *)&self;
    ck_status(dn_trainer_model(self->trainer, &model), DN_E_STATE);
    ck_assert_ptr_null(model);
    check_error(dn_trainer_error(self->trainer), DN_E_STATE, "used by another thread");
    return 0;
}

static int32_t progress_with_intruder(const dn_progress *progress, void *user)
{
    (void)progress;
    intrude(user);
    return 0;
}

static dn_trainer *make_trainer(void)
{
    const int32_t channels[5] = {2, 3, 2, 3, 4};
    dn_extractor_options extracting;
    dn_train_options options;
    dn_extractor *extractor;
    dn_trainer *trainer;

    dn_extractor_options_init(&extracting);
    extracting.input_size = 64;
    extracting.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &extracting, &extractor, NULL));
    dn_train_options_init(&options);
    options.epochs = 2;
    options.hidden = 8;
    options.blocks = 2;
    options.bank = 2;
    options.views = 4;
    options.heatmap_images = 1;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (int i = 0; i < PICTURES; i++)
        ck_ok(dn_trainer_add_pixels(trainer, &pictures[i]));
    return trainer;
}

static uint32_t model_id(dn_model *model)
{
    dn_model_info info;

    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    dn_model_unref(model);
    return info.id;
}

START_TEST(trainer_serves_one_call)
{
    intruder self = {.enter = enter_trainer};
    dn_model *model;

    draw_pictures();
    self.trainer = make_trainer();
    ck_ok(dn_trainer_run(self.trainer, NULL, NULL, &model));
    uint32_t expected = model_id(model);
    dn_trainer_free(self.trainer);
    self.trainer = make_trainer();
    ck_ok(dn_trainer_run(self.trainer, progress_with_intruder, &self, &model));
    ck_assert_int_gt(self.entered, 5);
    ck_assert_uint_eq(model_id(model), expected);
    ck_assert_int_eq(dn_trainer_error(self.trainer)->status, DN_OK);
    ck_ok(dn_trainer_model(self.trainer, &model)); /* no longer in use */
    ck_assert_uint_eq(model_id(model), expected);
    dn_trainer_free(self.trainer);
}
END_TEST

/* ---- a call ends however it ends ---- */

START_TEST(failed_calls_end)
{
    dn_model *model = golden_model();
    dn_pixels small = rgb_view(pixels[0], 2, 2);
    static float map[SIDE * SIDE];
    dn_localizer *localizer;
    dn_scorer *scorer;
    dn_score score;
    dn_model *out;

    draw_pictures();
    dn_score_init(&score);
    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    ck_status(dn_scorer_score(scorer, NULL, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_score(scorer, &small, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_decide(scorer, &pictures[0], NULL), DN_E_ARGUMENT);
    ck_status(dn_scorer_score_path(scorer, "/nonexistent", &score), DN_E_IO);
    ck_status(dn_scorer_score_batch(scorer, NULL, 1, &score, NULL), DN_E_ARGUMENT);
    ck_status(dn_scorer_score_batch(scorer, pictures, -1, &score, NULL), DN_E_ARGUMENT);
    ck_ok(dn_scorer_score(scorer, &pictures[0], &score));
    dn_scorer_free(scorer);

    ck_ok(dn_localizer_create(model, NULL, &localizer, NULL));
    ck_status(dn_localizer_map(localizer, &small, map), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 0, 0, 1, NULL, 0, NULL), DN_E_ARGUMENT);
    ck_ok(dn_localizer_map(localizer, &pictures[0], map));
    dn_localizer_free(localizer);

    dn_trainer *trainer = make_trainer();
    ck_status(dn_trainer_add_path(trainer, "/nonexistent"), DN_E_IO);
    ck_status(dn_trainer_model(trainer, &out), DN_E_STATE);
    check_error(dn_trainer_error(trainer), DN_E_STATE, "train"); /* of its own, not of another call */
    ck_status(dn_trainer_run(trainer, NULL, NULL, NULL), DN_E_ARGUMENT);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &out));
    dn_model_unref(out);
    dn_trainer_free(trainer);
    dn_model_unref(model);
}
END_TEST

/* ---- threads that all use one handle without a lock ---- */

typedef struct crowd {
    dn_scorer *scorer;
    const dn_score *expected; /* (PICTURES) */
    long scored;
} crowd;

static void *crowd_thread(void *argument)
{
    crowd *self = argument;

    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < PICTURES; i++) {
            dn_score score;
            dn_score_init(&score);
            dn_status status = dn_scorer_score(self->scorer, &pictures[i], &score);
            if (status == DN_OK) {
                ck_assert_mem_eq(&score, &self->expected[i], sizeof score);
                self->scored++;
            } else {
                ck_status(status, DN_E_STATE);
                untouched(&score);
            }
        }
    return NULL;
}

START_TEST(never_wrong_numbers)
{
    dn_model *model = golden_model();
    dn_score expected[PICTURES];
    dn_scorer_options options;
    pthread_t threads[THREADS];
    crowd members[THREADS];
    dn_scorer *scorer;
    long scored = 0;

    draw_pictures();
    dn_scorer_options_init(&options);
    options.threads = 1 + _i;
    ck_ok(dn_scorer_create(model, &options, &scorer, NULL));
    for (int i = 0; i < PICTURES; i++) {
        dn_score_init(&expected[i]);
        ck_ok(dn_scorer_score(scorer, &pictures[i], &expected[i]));
    }
    for (int t = 0; t < THREADS; t++) {
        members[t] = (crowd){scorer, expected, 0};
        ck_assert_int_eq(pthread_create(&threads[t], NULL, crowd_thread, &members[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        scored += members[t].scored;
    }
    ck_assert_int_ge(scored, 1);
    dn_score score;
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &pictures[0], &score)); /* free again */
    ck_assert_mem_eq(&score, &expected[0], sizeof score);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_shared");
    TCase *tests = tcase_create("api_shared");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, scorer_serves_one_call);
    tcase_add_test(tests, localizer_serves_one_call);
    tcase_add_test(tests, trainer_serves_one_call);
    tcase_add_test(tests, failed_calls_end);
    tcase_add_loop_test(tests, never_wrong_numbers, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
