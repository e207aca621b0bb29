/* What a model keeps of good images: their scores for any number of views, in files, and as training fills it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "differnet/score.h"
#include "small_model.h"
#include "support.h"
#include "train/trainer.h"
#include "training.h"

#define ROWS 3
#define VIEWS 4 /* small_model's */

static const double flow_scores[ROWS][VIEWS] = {{1, 2, 3, 6}, {0.5, 0.25, 1, 4}, {10, 0, 0, 2}};

static calibration *made_rows(int32_t views, _Bool levels, const dn_allocator *allocator)
{
    dn_allocator own = mem_allocator(allocator);
    calibration *rows;

    ck_ok(calibration_create(ROWS, views, levels, &own, &rows, NULL));
    if (views > 0)
        memcpy(rows->flow, flow_scores, sizeof flow_scores);
    for (int i = 0; levels && i < ROWS; i++)
        rows->levels[i] = (position_level){3 + i, 1 + 0.5 * i};
    return rows;
}

static dn_model *model_with_rows(void)
{
    dn_model *model = small_model();

    ck_ok(model_set_calibration(model, made_rows(VIEWS, 0, NULL), NULL));
    ck_ok(model_seal(model, NULL));
    return model;
}

/* ---- the scores of so many views ---- */

START_TEST(views_are_spread)
{
    static const int32_t of_16[] = {0, 3, 6, 9, 12};

    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(calibration_view(i, 16, 16), i);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(calibration_view(i, 4, 16), 4 * i);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(calibration_view(i, 5, 16), of_16[i]);
    for (int views = 1; views <= 1024; views++) { /* each once, the last one within bounds */
        for (int i = 1; i < views; i++)
            ck_assert_int_gt(calibration_view(i, views, 1024), calibration_view(i - 1, views, 1024));
        ck_assert_int_lt(calibration_view(views - 1, views, 1024), 1024);
    }
}
END_TEST

/* Each number of each row: from 0 on, and finite. */
START_TEST(numbers_are_checked)
{
    static const double wrong[] = {NAN, INFINITY, -INFINITY, -1e-300}, right[] = {0, 1e300};
    calibration *rows = made_rows(VIEWS, 1, NULL);
    char part[100];

    for (int i = 0; i < ROWS * VIEWS + 2 * ROWS; i++) {
        int level = i - ROWS * VIEWS;
        double *number = level < 0      ? &rows->flow[i]
                         : level < ROWS ? &rows->levels[level].top
                                        : &rows->levels[level - ROWS].median;
        double old = *number;
        if (level < 0)
            snprintf(part, sizeof part, "good image %d: the flow's score of a view is ", i / VIEWS);
        else
            snprintf(part, sizeof part, "good image %d: its map's scores are ", level % ROWS);
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            dn_error error = {0};
            *number = wrong[k];
            ck_status(calibration_check(rows, &error), DN_E_NUMERIC);
            check_error(&error, DN_E_NUMERIC, part);
        }
        for (size_t k = 0; k < sizeof right / sizeof *right; k++) {
            *number = right[k];
            ck_ok(calibration_check(rows, NULL));
        }
        *number = old;
    }
    calibration_free(rows);
}
END_TEST

START_TEST(hand_made_scores)
{
    static const struct {
        int32_t views;
        double scores[ROWS];
    } cases[] = {
        {1, {0.5, 1, 10}},     {2, {0.75, 2, 5}},     {3, {1.75 / 3, 2, 10.0 / 3}},
        {4, {5.75 / 4, 3, 3}}, {5, {5.75 / 4, 3, 3}}, {1024, {5.75 / 4, 3, 3}},
    };
    dn_model *model = model_with_rows();
    double scores[ROWS];

    ck_assert_int_eq(model->holdout_count, ROWS);
    for (int i = 0; i < ROWS; i++)
        ck_assert_double_eq(model->holdout_scores[i], cases[3].scores[i]);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        model_calibrated_scores(model, model->calibration, cases[c].views, scores);
        for (int i = 0; i < ROWS; i++)
            ck_assert_double_eq_tol(scores[i], cases[c].scores[i], 1e-15);
    }
    model_unref(model);
}
END_TEST

/* Both densities: the parts of each row, combined as a scorer combines them. */
START_TEST(hand_made_parts)
{
    dn_model *model = small_model();
    calibration *rows = made_rows(VIEWS, 1, NULL);
    const part_standard standards[PARTS] = {{0, 1}, {0.1, 2}, {0.2, 3}};
    double scores[ROWS], expected[ROWS];

    model->facts.whole_share = 0.5;
    model->facts.flow_weight = 0.25;
    memcpy(model->facts.standards, standards, sizeof standards);
    for (int views = 1; views <= VIEWS; views++) {
        for (int i = 0; i < ROWS; i++) {
            double parts[PARTS], sum = 0;
            for (int v = 0; v < views; v++)
                sum += flow_scores[i][v * VIEWS / views];
            parts[PART_FLOW] = sum / views;
            parts[PART_LOCAL] = (3 + i) / sqrt(1 + 0.5 * i);
            parts[PART_WHOLE] = 1 + 0.5 * i;
            expected[i] = parts_combine(standards, 0.25, parts);
        }
        model_calibrated_scores(model, rows, views, scores);
        for (int i = 0; i < ROWS; i++) {
            int found = 0;
            for (int j = 0; j < ROWS; j++)
                found += fabs(scores[j] - expected[i]) < 1e-12;
            ck_assert_int_eq(found, 1);
            ck_assert(i == 0 || scores[i - 1] <= scores[i]);
        }
    }
    calibration_free(rows);
    model_unref(model);
}
END_TEST

/* ---- scorers ---- */

static dn_scorer *scorer_with(dn_model *model, int32_t views, int32_t angles)
{
    dn_scorer_options options = {
        .struct_size = sizeof options, .views = views, .angles = angles, .threads = 1, .false_alarm_rate = 0.3};
    dn_scorer *scorer;

    ck_ok(scorer_create(model, &options, &scorer, NULL));
    return scorer;
}

/* Fewer views look where the model's own do, and are compared with the good images' scores of just these. */
START_TEST(fewer_views)
{
    uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    dn_model *model = model_with_rows();
    dn_scorer *full = scorer_with(model, 0, -1);
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_score all = {0};

    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 3);
    ck_ok(scorer_score(full, &(scorer_input){.view = &view}, &all, NULL));
    ck_assert_ptr_eq(full->good_scores, model->holdout_scores);
    for (int32_t views = 1; views <= 7; views++) {
        dn_scorer *scorer = scorer_with(model, views, -1);
        double expected[ROWS], sum = 0;
        int at_least = 0;
        dn_score score = {0}, decided = {0};
        ck_ok(scorer_score(scorer, &(scorer_input){.view = &view}, &score, NULL));
        for (int32_t i = 0; views <= VIEWS && i < views; i++) {
            ck_assert_double_eq(scorer->angles[i], full->angles[i * VIEWS / views]);
            ck_assert_double_eq_tol(scorer->view_scores[i], full->view_scores[i * VIEWS / views], 1e-4);
            sum += scorer->view_scores[i];
        }
        if (views <= VIEWS)
            ck_assert_double_eq_tol(score.score, sum / views, 1e-12);
        model_calibrated_scores(model, model->calibration, views, expected);
        for (int i = 0; i < ROWS; i++)
            at_least += expected[i] >= score.score;
        ck_assert_double_eq(score.p_value, (1.0 + at_least) / (ROWS + 1));
        ck_ok(scorer_decide(scorer, &(scorer_input){.view = &view}, &decided, NULL));
        ck_assert_int_eq(decided.anomalous, score.anomalous);
        ck_assert_double_eq(decided.threshold, score.threshold);
        scorer_free(scorer);
    }
    scorer_free(full);
    model_unref(model);
}
END_TEST

/* Of another kind of angles, or of a model that does not know its rows: angles of their own. */
START_TEST(angles_of_their_own)
{
    dn_model *model = model_with_rows();
    double expected[2];

    dn_scorer *scorer = scorer_with(model, 2, DN_ANGLES_GRID);
    ck_assert_double_eq(scorer->angles[1], 180);
    ck_assert_double_eq(scorer->good_scores[2], 5);
    scorer_free(scorer);
    const double scores[2] = {1, 2};
    ck_ok(model_set_holdout(model, scores, 2, NULL));
    ck_assert_ptr_null(model->calibration);
    score_angles(DN_ANGLES_STRATIFIED, 2, expected);
    scorer = scorer_with(model, 2, -1);
    ck_assert_mem_eq(scorer->angles, expected, sizeof expected);
    ck_assert_ptr_eq(scorer->good_scores, model->holdout_scores);
    scorer_free(scorer);
    model_unref(model);
}
END_TEST

/* ---- numbers that cannot be ---- */

START_TEST(impossible_rows)
{
    static const double bad[] = {-1e-9, (double)NAN, (double)INFINITY};
    dn_model *model = model_with_rows();
    dn_error error = {0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int place = 0; place < 3; place++) {
            calibration *rows = made_rows(VIEWS, 1, NULL);
            *(place == 0 ? &rows->flow[5] : place == 1 ? &rows->levels[1].top : &rows->levels[1].median) = bad[i];
            ck_status(model_set_calibration(model, rows, &error), DN_E_NUMERIC);
            ck_assert_msg(strstr(error.message, "good image 1") != NULL, "%s", error.message);
            ck_assert_int_eq(model->holdout_count, ROWS); /* unchanged */
            ck_assert_double_eq(model->calibration->flow[0], 1);
            calibration_free(rows);
        }
    model_unref(model);
}
END_TEST

/* ---- files ---- */

static dn_model *opened(const dn_blob *blob)
{
    const dn_model_options options = {.struct_size = sizeof options, .verify = DN_VERIFY_FULL};
    dn_error error = {0};
    dn_model *model;
    dn_status status = model_open_memory(blob->data, blob->size, &options, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

/* Either storage keeps every bit. */
START_TEST(round_trip)
{
    dn_model *model = model_with_rows();
    uint32_t id = model->id;
    dn_blob *blob;

    ck_ok(model_save_memory(model, _i, &blob, NULL));
    dn_model *again = opened(blob);
    ck_assert_int_eq(again->calibration->count, ROWS);
    ck_assert_int_eq(again->calibration->views, VIEWS);
    ck_assert_mem_eq(again->calibration->flow, flow_scores, sizeof flow_scores);
    ck_assert_ptr_null(again->calibration->levels);
    ck_assert_mem_eq(again->holdout_scores, model->holdout_scores, ROWS * sizeof *model->holdout_scores);
    if (_i == DN_STORAGE_F32)
        ck_assert_uint_eq(again->id, id);
    model_unref(again);
    blob_free(blob);
    model->calibration->flow[0] += 1e-9; /* another verdict for some number of views: another model */
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_ne(model->id, id);
    model_unref(model);
}
END_TEST

/* A model of old, and one without good images: no rows, but scores as they were. */
START_TEST(without_rows)
{
    const double scores[2] = {1, 2};
    dn_model *model = small_model();
    dn_blob *blob;

    ck_ok(model_set_holdout(model, scores, 2, NULL));
    for (int round = 0; round < 2; round++) {
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        dn_model *again = opened(blob);
        ck_assert_ptr_null(again->calibration);
        ck_assert_int_eq(again->holdout_count, round ? 0 : 2);
        model_unref(again);
        blob_free(blob);
        calibration *none;
        ck_ok(calibration_create(0, VIEWS, 0, &model->allocator, &none, NULL));
        ck_ok(model_set_calibration(model, none, NULL));
    }
    model_unref(model);
}
END_TEST

/* What a file must not hold.  The rows that are written are spoilt, or belong to another number of images or views. */
START_TEST(hostile_files)
{
    static const struct {
        int32_t entry; /* of calibration.flow; -1: none */
        double number;
        int32_t count, views;
        dn_status status;
        const char *part;
    } cases[] = {
        {5, -1, ROWS, VIEWS, DN_E_FORMAT, "calibration.flow: entry 5"},
        {11, (double)NAN, ROWS, VIEWS, DN_E_NUMERIC, "calibration.flow"},
        {0, (double)INFINITY, ROWS, VIEWS, DN_E_NUMERIC, "calibration.flow"},
        {-1, 0, ROWS - 1, VIEWS, DN_E_FORMAT, "calibration.flow: dimension 0"},
        {-1, 0, ROWS, VIEWS - 1, DN_E_FORMAT, "calibration.flow: dimension 1"},
    };
    const dn_model_options options = {.struct_size = sizeof options, .verify = DN_VERIFY_FULL};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_model *model = model_with_rows(), *none;
        dn_error error = {0};
        dn_blob *blob;
        if (cases[i].entry >= 0)
            model->calibration->flow[cases[i].entry] = cases[i].number;
        model->calibration->count = cases[i].count;
        model->calibration->views = cases[i].views;
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        ck_status(model_open_memory(blob->data, blob->size, &options, &none, &error), cases[i].status);
        ck_assert_msg(strstr(error.message, cases[i].part) != NULL, "%s", error.message);
        blob_free(blob);
        model_unref(model);
    }
}
END_TEST

/* ---- training ---- */

/* The rows are what a scorer finds for the held-out images, for any number of views. */
START_TEST(rows_of_a_training)
{
    dn_train_options options = tiny_options();
    dn_model *model;

    options.positions = _i;
    options.position_dims = 5;
    dn_trainer *t = tiny_trainer(&options, 10);
    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    const calibration *rows = model->calibration;
    ck_assert_int_eq(rows->count, 2);
    ck_assert_int_eq(rows->views, 4);
    ck_assert_int_eq(rows->levels != NULL, _i);
    for (int32_t views = 1; views <= 4; views++)
        for (int32_t i = 0; i < rows->count; i++) {
            uint16_t *buffer = train_images_buffer(&t->images);
            const uint16_t *canvas;
            dn_scorer *scorer = scorer_with(model, views, -1);
            dn_score score = {0};
            ck_ok(train_images_canvas(&t->images, t->images.split[t->images.train_count + i], buffer, &canvas, NULL));
            ck_ok(scorer_score_canvas(scorer, canvas, &score, NULL));
            double expected = calibration_flow(rows, i, views);
            ck_assert_double_eq_tol(score.flow_score, expected, 1e-5 * expected);
            scorer_free(scorer);
            mem_free(&t->images.allocator, buffer);
        }
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("calibration");
    TCase *tests = tcase_create("calibration");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, views_are_spread);
    tcase_add_test(tests, numbers_are_checked);
    tcase_add_test(tests, hand_made_scores);
    tcase_add_test(tests, hand_made_parts);
    tcase_add_test(tests, fewer_views);
    tcase_add_test(tests, angles_of_their_own);
    tcase_add_test(tests, impossible_rows);
    tcase_add_loop_test(tests, round_trip, DN_STORAGE_F32, DN_STORAGE_F16 + 1);
    tcase_add_test(tests, without_rows);
    tcase_add_test(tests, hostile_files);
    tcase_add_loop_test(tests, rows_of_a_training, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
