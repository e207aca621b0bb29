/* Cross-fitting of the flow: no image is scored by a flow that has seen it; the same bits however often it is
 * interrupted; what the model tells; when it is chosen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "failing_files.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include "training.h"

#define IMAGES 7
#define FOLDS 3

static dn_train_options cross_options(void)
{
    dn_train_options o = tiny_options();

    o.calibration = DN_CALIBRATION_CROSS;
    o.folds = FOLDS;
    o.epochs = 3;
    o.feature_noise = 0.5;
    o.checkpoint_epochs = 1;
    return o;
}

static const char *new_checkpoint(void)
{
    return path_join(test_folder(), "state");
}

/* A trainer whose picture number `other` (-1: none) is another one. */
static dn_trainer *trainer_with(const dn_train_options *o, int other)
{
    dn_trainer *t = tiny_trainer(o, 0);

    for (int i = 0; i < IMAGES; i++)
        trainer_ok(t, add_picture(t, i == other ? 99 : (uint32_t)i + 1));
    return t;
}

static dn_model *run(dn_trainer *t)
{
    dn_model *model;

    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    return model;
}

/* ---- what is learned from what ---- */

/* A fold's flow makes as many steps as the model's own, as far as whole epochs go. */
START_TEST(epochs_of_a_part)
{
    dn_train_options o = {.epochs = 64, .batch_images = 24, .epoch_steps = 8};

    ck_assert_int_eq(train_epochs_of_part(&o, 40, 32), 64);   /* epochs of 8 steps both: 4 passes of 2 */
    ck_assert_int_eq(train_epochs_of_part(&o, 100, 80), 80);  /* 10 and 8 */
    ck_assert_int_eq(train_epochs_of_part(&o, 400, 320), 78); /* 17 and 14: 77.7 */
    ck_assert_int_eq(train_epochs_of_part(&o, 193, 154), 41); /* 9 and 14, two passes of 7: 41.1 */
    o.epochs = 0;
    ck_assert_int_eq(train_epochs_of_part(&o, 100, 80), 0);
    o = (dn_train_options){.epochs = 1000000, .batch_images = 1, .epoch_steps = 1};
    ck_assert_int_eq(train_epochs_of_part(&o, INT32_MAX, 1), INT32_MAX);
}
END_TEST

START_TEST(folds_are_even)
{
    dn_train_options o = cross_options();
    dn_trainer *t = trainer_with(&o, -1);
    int32_t fold[IMAGES], finer[IMAGES];

    ck_ok(train_images_find_groups(&t->images, 1, NULL));
    for (int32_t folds = 2; folds <= IMAGES; folds++) {
        int in[IMAGES] = {0};
        train_images_folds(&t->images, folds, 5, fold);
        for (int i = 0; i < IMAGES; i++)
            in[fold[i]]++;
        for (int i = 0; i < folds; i++)
            ck_assert(in[i] == IMAGES / folds || in[i] == IMAGES / folds + 1);
    }
    train_images_folds(&t->images, 3, 5, fold);
    train_images_folds(&t->images, 6, 5, finer);
    for (int i = 0; i < IMAGES; i++)
        ck_assert_int_eq(finer[i] % 3, fold[i]);
    dn_trainer_free(t);
}
END_TEST

/* Another picture in a fold changes nothing of what that fold's flow says of the others, for it never saw it; all other
 * flows did.  Mean and deviation included. */
START_TEST(no_flow_sees_its_fold)
{
    dn_train_options o = cross_options();
    size_t row = (size_t)o.views * sizeof(double);

    o.bank = _i ? 0 : 6;
    dn_trainer *plain = trainer_with(&o, -1);
    dn_model_unref(run(plain));
    for (int other = 0; other < IMAGES; other += 3) {
        dn_trainer *changed = trainer_with(&o, other);
        const cross_fit *a = &plain->cross, *b = &changed->cross;
        dn_model_unref(run(changed));
        ck_assert_mem_eq(a->fold, b->fold, IMAGES * sizeof *a->fold);
        for (int i = 0; i < IMAGES; i++) {
            _Bool same = !memcmp(a->scores + i * o.views, b->scores + i * o.views, row);
            ck_assert_int_eq(same, i != other && a->fold[i] == a->fold[other]);
        }
        dn_trainer_free(changed);
    }
    dn_trainer_free(plain);
}
END_TEST

/* The model's own flow is the one that learns from all images, cross-fitted or not. */
START_TEST(own_flow_learns_from_all)
{
    dn_train_options o = cross_options(), split = cross_options();
    dn_trainer *t = trainer_with(&o, -1), *u;
    dn_model *model = run(t), *other;

    split.calibration = DN_CALIBRATION_SPLIT;
    split.holdout = 0;
    u = trainer_with(&split, -1);
    other = run(u);
    ck_assert_int_eq(other->holdout_count, 0);
    ck_assert_mem_eq(model->flow->weights, other->flow->weights,
                     flow_parameters(model->flow->dimension, model->flow->blocks, model->flow->hidden) * sizeof(float));
    ck_assert_mem_eq(model->mean, other->mean, (size_t)model->extractor->feature_dim * sizeof *model->mean);
    ck_assert(model->facts.final_loss == other->facts.final_loss);
    dn_model_unref(other);
    dn_model_unref(model);
    dn_trainer_free(u);
    dn_trainer_free(t);
}
END_TEST

START_TEST(what_the_model_tells)
{
    dn_train_options o = cross_options();
    dn_model_info info;

    o.positions = _i;
    o.position_dims = 5;
    dn_trainer *t = trainer_with(&o, -1);
    watcher w = {0};
    dn_model *model;
    trainer_ok(t, dn_trainer_run(t, watch, &w, &model));
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert(info.train_images == IMAGES && info.holdout_images == IMAGES && info.epochs == 3);
    ck_assert(info.calibration == DN_CALIBRATION_CROSS && info.folds == FOLDS);
    ck_assert(info.heatmap_scale > 0);
    ck_assert_int_eq(w.total[DN_PHASE_FOLDS], 6 + 4 + 4); /* of 2, 3 and 3 steps; the model's own are 3 of 4 */
    ck_assert_int_eq(w.done[DN_PHASE_FOLDS], 6 + 4 + 4);
    ck_assert_int_eq(w.done[DN_PHASE_TRAIN], 3);
    ck_assert_int_eq(w.total[DN_PHASE_FEATURES], IMAGES * 6); /* the bank, once */
    ck_assert_int_eq(w.done[DN_PHASE_FEATURES], IMAGES * 6);
    const calibration *rows = model->calibration;
    ck_assert_int_eq(rows->count, IMAGES);
    ck_assert_mem_eq(rows->flow, t->cross.scores, IMAGES * 4 * sizeof(double));
    for (int i = 0; _i && i < IMAGES; i++)
        ck_assert(rows->levels[i].top == t->positions.levels[i].top);
    ck_assert(t->cross.peaks[0] > 0 && t->cross.peaks[1] > 0 && t->cross.peaks[2] == 0);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

START_TEST(same_bytes_for_any_threads)
{
    dn_train_options o = cross_options();
    dn_blob *one = run_to_bytes(trainer_with(&o, -1));

    for (o.threads = 2; o.threads <= 3; o.threads++) {
        dn_blob *other = run_to_bytes(trainer_with(&o, -1));
        ck_assert(same_bytes(one, other));
        dn_blob_free(other);
    }
    dn_blob_free(one);
}
END_TEST

/* ---- when ---- */

static int32_t chosen(int32_t way, double holdout, int32_t images)
{
    dn_train_options o = tiny_options();
    dn_error error;

    o.calibration = way;
    o.holdout = holdout;
    dn_trainer *t = tiny_trainer(&o, images);
    ck_ok(trainer_prepare(t, &error));
    int32_t folds = t->cross.folds;
    ck_assert_int_eq(t->images.train_count + t->images.holdout_count, images);
    ck_assert(folds == 0 || t->images.holdout_count == 0);
    dn_trainer_free(t);
    return folds;
}

/* The least rate of 19 held-out images is 5 %. */
START_TEST(chosen_by_what_a_split_can_promise)
{
    ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0.1, 184), 5);
    ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0.1, 185), 0);
    ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0.5, 37), 0);
    ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0.5, 36), 5);
    ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0, 185), 5);
    ck_assert_int_eq(chosen(DN_CALIBRATION_SPLIT, 0.1, 10), 0);
    ck_assert_int_eq(chosen(DN_CALIBRATION_CROSS, 0.1, 185), 5);
    for (int images = 1; images <= 6; images++)
        ck_assert_int_eq(chosen(DN_CALIBRATION_AUTO, 0.1, images), images < 2 ? 0 : images < 5 ? images : 5);
}
END_TEST

START_TEST(one_fold_is_refused)
{
    dn_train_options o = cross_options();
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *t;
    dn_error error;

    for (o.folds = -1; o.folds <= 101; o.folds += o.folds == 1 ? 100 : 2) {
        ck_status(dn_trainer_create(extractor, &o, &t, &error), DN_E_ARGUMENT);
        ck_assert_msg(strstr(error.message, "folds") != NULL, "%s", error.message);
    }
    dn_extractor_unref(extractor);
}
END_TEST

/* The extremes: two images; no epoch; more folds than images. */
START_TEST(few_images)
{
    for (int images = 1; images <= 3; images++)
        for (int epochs = 0; epochs < 2; epochs++) {
            dn_train_options o = cross_options();
            dn_model_info info;
            o.epochs = epochs;
            o.folds = 100;
            dn_trainer *t = tiny_trainer(&o, images);
            dn_model *model = run(t);
            dn_model_info_init(&info);
            ck_ok(dn_model_get_info(model, &info));
            ck_assert_int_eq(info.holdout_images, images < 2 ? 0 : images);
            ck_assert_int_eq(info.folds, images < 2 ? 0 : images);
            ck_assert_int_eq(info.calibration, images < 2 ? 0 : DN_CALIBRATION_CROSS);
            dn_model_unref(model);
            dn_trainer_free(t);
        }
}
END_TEST

/* ---- interrupted ---- */

/* Stopped at the n-th call of a phase; false: there is none. */
static _Bool stopped(const dn_train_options *o, int32_t phase, int call)
{
    dn_trainer *t = trainer_with(o, -1);
    watcher w = {.cancel_phase = phase, .cancel_call = call};
    dn_model *model = NULL;
    dn_status status = dn_trainer_run(t, watch, &w, &model);

    ck_assert(status == DN_E_CANCELLED || status == DN_OK);
    dn_model_unref(model);
    dn_trainer_free(t);
    return status == DN_E_CANCELLED;
}

/* Wherever it is stopped, going on from the file gives the same bytes. */
START_TEST(resume_gives_the_same_bytes)
{
    static const int32_t phases[] = {DN_PHASE_FEATURES, DN_PHASE_TRAIN, DN_PHASE_FOLDS, DN_PHASE_HOLDOUT,
                                     DN_PHASE_HEATMAP};
    dn_train_options o = cross_options();
    int stops = 0;

    o.bank = _i < 5 ? 6 : 0;
    dn_blob *straight = run_to_bytes(trainer_with(&o, -1));
    for (int call = 1;; call += call < 5 ? 1 : 4) {
        o.checkpoint = new_checkpoint();
        o.resume = 0;
        if (!stopped(&o, phases[_i % 5], call))
            break;
        o.resume = 1;
        dn_blob *bytes = run_to_bytes(trainer_with(&o, -1));
        ck_assert_msg(same_bytes(bytes, straight), "phase %d, call %d", phases[_i % 5], call);
        dn_blob_free(bytes);
        stops++;
    }
    ck_assert_int_gt(stops, 1);
    dn_blob_free(straight);
}
END_TEST

/* A fold that is done is not trained again: the file holds its scores. */
START_TEST(folds_that_are_done)
{
    dn_train_options o = cross_options();
    watcher w = {0};
    dn_model *model;

    o.checkpoint = new_checkpoint();
    /* each fold: the start, then a call after each of 6 x 2 or 4 x 3 steps */
    ck_assert(stopped(&o, DN_PHASE_FOLDS, 16));
    o.resume = 1;
    dn_trainer *t = trainer_with(&o, -1);
    trainer_ok(t, dn_trainer_run(t, watch, &w, &model));
    ck_assert_int_eq(w.calls[DN_PHASE_TRAIN], 0);
    ck_assert_int_eq(w.calls[DN_PHASE_FEATURES], 0); /* the bank's file */
    ck_assert_int_lt(w.calls[DN_PHASE_FOLDS], 27);
    ck_assert_int_eq(w.done[DN_PHASE_FOLDS], 14);
    dn_model_unref(model);
    dn_trainer_free(t);
    w = (watcher){0}; /* and then nothing is left to be done */
    t = trainer_with(&o, -1);
    trainer_ok(t, dn_trainer_run(t, watch, &w, &model));
    ck_assert_int_eq(w.calls[DN_PHASE_FOLDS] + w.calls[DN_PHASE_HOLDOUT] + w.calls[DN_PHASE_HEATMAP], 0);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

/* Without any epoch there is no loss to be kept; the file goes on all the same. */
START_TEST(resumed_without_epochs)
{
    dn_train_options o = cross_options();

    o.epochs = 0;
    dn_blob *straight = run_to_bytes(trainer_with(&o, -1));
    o.checkpoint = new_checkpoint();
    ck_assert(stopped(&o, DN_PHASE_HOLDOUT, 4));
    o.resume = 1;
    dn_blob *bytes = run_to_bytes(trainer_with(&o, -1));
    ck_assert(same_bytes(bytes, straight));
    dn_blob_free(bytes);
    dn_blob_free(straight);
}
END_TEST

/* One trainer, cancelled again and again. */
START_TEST(cancelled_again_and_again)
{
    dn_train_options o = cross_options();
    dn_blob *straight = run_to_bytes(trainer_with(&o, -1));
    dn_trainer *t = trainer_with(&o, -1);
    dn_model *model = NULL;
    dn_status status;

    do {
        watcher w = {.cancel_phase = DN_PHASE_FOLDS, .cancel_call = 3};
        status = dn_trainer_run(t, watch, &w, &model);
        ck_assert(status == DN_OK || status == DN_E_CANCELLED);
    } while (status != DN_OK);
    dn_blob *bytes = model_bytes(model);
    ck_assert(same_bytes(bytes, straight));
    dn_blob_free(bytes);
    dn_blob_free(straight);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

/* A model of what is there: its own flow, and the scores of the folds that are done. */
START_TEST(model_before_the_end)
{
    dn_train_options o = cross_options();
    dn_trainer *t = trainer_with(&o, -1);
    watcher w = {.cancel_phase = DN_PHASE_FOLDS, .cancel_call = 16};
    dn_model *model;
    int done = 0;

    trainer_fails(t, dn_trainer_run(t, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    ck_assert_int_eq(t->cross.done, 1);
    trainer_ok(t, dn_trainer_model(t, &model));
    for (int i = 0; i < IMAGES; i++)
        done += t->cross.fold[i] == 0;
    ck_assert_int_eq(model->holdout_count, done);
    ck_assert_int_eq(model->calibration->count, done);
    ck_assert_int_eq(model->facts.epochs, 3);
    dn_model_unref(model);
    dn_trainer_free(t);
    t = trainer_with(&o, -1);
    w = (watcher){.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 8};
    trainer_fails(t, dn_trainer_run(t, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    trainer_ok(t, dn_trainer_model(t, &model)); /* an epoch of its own flow: scores, but no verdicts */
    ck_assert_int_eq(model->holdout_count, 0);
    ck_assert_int_eq(model->facts.calibration, 0);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

/* ---- files that do not fit ---- */

static void expect_failure(const dn_train_options *o, dn_status expected, const char *part)
{
    dn_trainer *t = trainer_with(o, -1);
    dn_model *model;

    trainer_fails(t, dn_trainer_run(t, NULL, NULL, &model), expected, part);
    dn_trainer_free(t);
}

START_TEST(other_options_are_refused)
{
    dn_train_options o = cross_options(), other;

    o.checkpoint = new_checkpoint();
    ck_assert(stopped(&o, DN_PHASE_FOLDS, 12));
    o.resume = 1;
#define OTHER(field, value)                                            \
    do {                                                               \
        other = o;                                                     \
        other.field = (value);                                         \
        expect_failure(&other, DN_E_STATE, "made with other " #field); \
    } while (0)
    OTHER(folds, 2);
    OTHER(views, 3);
    OTHER(angles, 1);
    OTHER(heatmap_images, 1);
    OTHER(epochs, 4);
    OTHER(seed, 1);
#undef OTHER
    other = o;
    other.calibration = DN_CALIBRATION_SPLIT;
    expect_failure(&other, DN_E_STATE, "does not belong");
    other.holdout = 0;
    expect_failure(&other, DN_E_STATE, "does not belong");
}
END_TEST

START_TEST(impossible_numbers)
{
    static const char *const parts[] = {"counters are invalid", "counters are invalid", "counters are invalid",
                                        "folds.scores",         "folds.peaks",          "deviation is not positive",
                                        "own.weights"};
    dn_train_options o = cross_options();
    dn_trainer *t = trainer_with(&o, -1);
    watcher w = {.cancel_phase = DN_PHASE_FOLDS, .cancel_call = 16};
    dn_model *model;
    cross_fit *cross = &t->cross;

    trainer_fails(t, dn_trainer_run(t, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    if (_i == 0)
        cross->done = FOLDS + 1;
    else if (_i == 1)
        cross->done = -1;
    else if (_i == 2)
        cross->epoch = 2;
    else if (_i == 3)
        cross->scores[5] = -1;
    else if (_i == 4)
        cross->peaks[1] = -1;
    else if (_i == 5)
        cross->mean[t->extractor->feature_dim] = 0;
    else
        cross->flow->owned[3] = NAN;
    o.checkpoint = new_checkpoint();
    ck_ok(checkpoint_save(o.checkpoint, t->state, t->bank, cross, NULL));
    dn_trainer_free(t);
    o.resume = 1;
    expect_failure(&o, _i == 6 ? DN_E_NUMERIC : DN_E_FORMAT, parts[_i]);
}
END_TEST

/* Out of memory at any point: told, nothing lost, and a further run ends well. */
START_TEST(failing_allocations)
{
    dn_train_options o = cross_options();
    dn_blob *straight = run_to_bytes(trainer_with(&o, -1));
    dn_extractor *extractor = tiny_extractor(NULL);
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_status status = DN_E_MEMORY;

    o.allocator = &allocator;
    for (long fail_at = 1; status != DN_OK; fail_at += 1 + fail_at / 20) {
        dn_trainer *t;
        dn_model *model = NULL;
        memory = (failing_memory){0};
        ck_ok(dn_trainer_create(extractor, &o, &t, NULL));
        for (int i = 0; i < IMAGES; i++)
            trainer_ok(t, add_picture(t, (uint32_t)i + 1));
        memory.fail_at = memory.calls + fail_at;
        status = dn_trainer_run(t, NULL, NULL, &model);
        memory.fail_at = 0;
        if (status != DN_OK) {
            ck_assert_int_eq(status, DN_E_MEMORY);
            trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
        }
        dn_blob *bytes = model_bytes(model);
        ck_assert_msg(same_bytes(bytes, straight), "allocation %ld", fail_at);
        dn_blob_free(bytes);
        dn_model_unref(model);
        dn_trainer_free(t);
        ck_assert_int_eq(memory.live, 0);
    }
    dn_extractor_unref(extractor);
    dn_blob_free(straight);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cross");
    TCase *tests = tcase_create("cross");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, epochs_of_a_part);
    tcase_add_test(tests, folds_are_even);
    tcase_add_loop_test(tests, no_flow_sees_its_fold, 0, 2);
    tcase_add_test(tests, own_flow_learns_from_all);
    tcase_add_loop_test(tests, what_the_model_tells, 0, 2);
    tcase_add_test(tests, same_bytes_for_any_threads);
    tcase_add_test(tests, chosen_by_what_a_split_can_promise);
    tcase_add_test(tests, one_fold_is_refused);
    tcase_add_test(tests, few_images);
    tcase_add_loop_test(tests, resume_gives_the_same_bytes, 0, 10);
    tcase_add_test(tests, folds_that_are_done);
    tcase_add_test(tests, resumed_without_epochs);
    tcase_add_test(tests, cancelled_again_and_again);
    tcase_add_test(tests, model_before_the_end);
    tcase_add_test(tests, other_options_are_refused);
    tcase_add_loop_test(tests, impossible_numbers, 0, 7);
    tcase_add_test(tests, failing_allocations);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
