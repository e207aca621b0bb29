/* A trainer like a model, through the shared library: the same images give the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "training.h"

enum { FAST, SPLIT, CROSS, USUAL_FOLDS, FLOW, SHAPED, BARE, KINDS, IMAGES = 10 };

static dn_train_options options_of(int kind)
{
    dn_train_options options = tiny_options();

    ck_ok(dn_train_options_preset(&options, kind == FAST ? DN_PRESET_FAST : kind == FLOW ? DN_PRESET_PAPER : 0));
    options.epochs = kind == FAST ? 0 : 3;
    options.epoch_steps = 1;
    options.hidden = 8;
    options.views = 5;
    options.seed = 7;
    options.bank = 5;
    options.holdout = kind == SPLIT ? 0.3 : kind == BARE ? 0 : 0.1;
    options.clamp = 2.5;
    options.blocks = 3;
    options.standardize = kind != FLOW;
    options.angles = DN_ANGLES_GRID;
    options.position_dims = kind == SHAPED ? 6 : 100;
    options.copies = kind == FAST ? DN_COPIES_SMALL : kind == SHAPED ? DN_COPIES_NONE : DN_COPIES_MIRROR;
    options.details = kind == FAST ? DN_DETAILS_ON : DN_DETAILS_OFF; /* auto in other_options */
    options.calibration = kind == CROSS || kind == USUAL_FOLDS ? DN_CALIBRATION_CROSS : DN_CALIBRATION_SPLIT;
    options.folds = kind == CROSS || kind == FAST ? 4 : 0;
    if (kind == SHAPED) {
        options.tile_columns = 2;
        options.fit = DN_FIT_LETTERBOX;
        options.range_low = 10;
        options.range_high = 4095;
    }
    return options;
}

/* What a model does not tell; all that it tells is something else than in options_of. */
static dn_train_options other_options(void)
{
    dn_train_options options = tiny_options();

    options.epoch_steps = 1;
    options.epochs = 9;
    options.hidden = options.bank = 2;
    options.views = 3;
    options.seed = 99;
    options.holdout = 0.1;
    options.position_dims = 2;
    options.calibration = DN_CALIBRATION_AUTO;
    options.folds = 2;
    options.tile_columns = options.tile_rows = 3;
    options.range_high = 77;
    options.copies = DN_COPIES_TURN;
    return options;
}

static dn_blob *run_on(dn_trainer *trainer)
{
    for (uint32_t i = 1; i <= IMAGES; i++)
        trainer_ok(trainer, add_picture(trainer, i));
    return run_to_bytes(trainer);
}

static dn_trainer *first_trainer(int kind)
{
    const dn_train_options options = options_of(kind);
    dn_trainer *trainer = tiny_trainer(&options, 0);

    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    return trainer;
}

START_TEST(same_images_same_bytes)
{
    static uint8_t gray[PICTURE_WIDTH * PICTURE_HEIGHT];
    const dn_pixels mask = {gray, PICTURE_WIDTH, PICTURE_HEIGHT, 0, DN_GRAY8, 0};
    dn_trainer *trainer = first_trainer(_i), *like;
    dn_train_options options = other_options();
    dn_model *model;
    dn_error error;

    memset(gray, 255, sizeof gray / 2);
    if (_i != SPLIT)
        trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    dn_blob *first = run_on(trainer), *second;
    model = model_of_bytes(first);
    ck_ok(dn_train_options_of_model(&options, model));
    options.epoch_steps = options_of(_i).epoch_steps; /* its preset has set it */
    ck_assert_msg(dn_trainer_create_like(model, &options, &like, &error) == DN_OK, "%s", error.message);
    second = run_on(like);
    ck_assert(same_bytes(first, second));
    dn_blob_free(second);
    dn_blob_free(first);
    dn_model_unref(model);
}
END_TEST

/* The model of a file, from before files told what was asked for. */
static dn_model *of_old(const dn_blob *file)
{
    size_t size = dn_blob_size(file);
    uint8_t *bytes = malloc(size);
    dn_model *model;
    dn_error error;

    memcpy(bytes, dn_blob_data(file), size);
    replace_text(bytes, size, "differnet.asked", "differnet.later");
    sign_file(bytes, size);
    ck_assert_msg(dn_model_open_memory(bytes, size, NULL, &model, &error) == DN_OK, "%s", error.message);
    free(bytes);
    return model;
}

/* It is guessed by what came of it. */
START_TEST(like_a_model_of_old)
{
    dn_blob *first = run_on(first_trainer(_i));
    dn_model *model = of_old(first);
    dn_train_options options = other_options(), own = options_of(_i), others = options;

    ck_ok(dn_train_options_of_model(&options, model));
    ck_assert_int_eq(options.calibration, _i == FAST ? DN_CALIBRATION_CROSS : own.calibration);
    ck_assert_int_eq(options.folds, own.folds);
    ck_assert_double_eq_tol(options.holdout, own.holdout, 1e-12);
    ck_assert_int_eq(options.copies, _i == FLOW ? DN_COPIES_AUTO : own.copies);
    ck_assert_int_eq(options.details, _i == FLOW ? others.details : own.details);
    dn_blob_free(first);
    dn_model_unref(model);
}
END_TEST

/* What calibrated a model later says nothing of how to train one like it. */
START_TEST(like_a_calibrated_model)
{
    dn_train_options options = other_options();
    dn_calibrator_options calibrating;
    dn_calibrator *calibrator;
    dn_model *model, *calibrated;
    dn_trainer *like;
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    dn_blob *first = run_on(first_trainer(CROSS)), *second;
    model = model_of_bytes(first);
    dn_calibrator_options_init(&calibrating);
    calibrating.accept_suspects = 1;
    ck_ok(dn_calibrator_create(model, &calibrating, &calibrator, NULL));
    for (uint32_t i = 0; i <= IMAGES; i++) { /* more than were learned from */
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 100 + i);
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        ck_ok(dn_calibrator_add_pixels(calibrator, &view, NULL));
    }
    ck_ok(dn_calibrator_model(calibrator, &calibrated));
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
    ck_ok(dn_train_options_of_model(&options, calibrated));
    options.epoch_steps = options_of(CROSS).epoch_steps; /* its preset has set it */
    ck_ok(dn_trainer_create_like(calibrated, &options, &like, NULL));
    second = run_on(like);
    ck_assert(same_bytes(first, second));
    dn_blob_free(first);
    dn_blob_free(second);

    first = model_bytes(calibrated);
    model = of_old(first);
    ck_ok(dn_train_options_of_model(&options, model));
    ck_assert_int_eq(options.calibration, DN_CALIBRATION_AUTO);
    dn_blob_free(first);
    dn_model_unref(model);
    dn_model_unref(calibrated);
}
END_TEST

START_TEST(without_options)
{
    dn_blob *blob = run_on(first_trainer(FAST));
    dn_model *model;
    dn_trainer *like;
    dn_error error;
    struct {
        uint32_t size, rest[8];
    } small = {sizeof small, {0}};

    model = model_of_bytes(blob);
    ck_ok(dn_trainer_create_like(model, NULL, &like, NULL));
    dn_blob *again = run_on(like);
    ck_assert(same_bytes(blob, again));
    dn_train_options options;
    dn_train_options_init(&options);
    ck_status(dn_train_options_of_model(&options, NULL), DN_E_ARGUMENT);
    ck_status(dn_train_options_of_model(NULL, model), DN_E_ARGUMENT);
    ck_status(dn_train_options_of_model((dn_train_options *)&small, model), DN_E_ARGUMENT);
    ck_assert_uint_eq(small.rest[0], 0);
    dn_train_options_init_size(&options,
                               offsetof(dn_train_options, details)); /* of a header before the last field set */
    options.details = 77;
    ck_status(dn_train_options_of_model(&options, model), DN_E_ARGUMENT);
    ck_assert_int_eq(options.details, 77);
    dn_train_options_init(&options);
    ck_status(dn_trainer_create_like(NULL, NULL, &like, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(like);
    ck_status(dn_trainer_create_like(model, NULL, NULL, &error), DN_E_ARGUMENT);
    options.threads = 0;
    ck_status(dn_trainer_create_like(model, &options, &like, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "threads");
    dn_blob_free(again);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

START_TEST(every_allocation_can_fail)
{
    uint8_t gray[PICTURE_WIDTH * PICTURE_HEIGHT];
    const dn_pixels mask = {gray, PICTURE_WIDTH, PICTURE_HEIGHT, 0, DN_GRAY8, 0};
    dn_trainer *first = first_trainer(FAST);
    dn_model *model;
    dn_status status = DN_E_MEMORY;
    long n;

    memset(gray, 0, sizeof gray);
    memset(gray, 255, sizeof gray / 2);
    trainer_ok(first, dn_trainer_set_mask(first, &mask, DN_MASK_INCLUDE));
    dn_blob *blob = run_on(first);

    model = model_of_bytes(blob);
    for (n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        dn_train_options options;
        dn_trainer *like;
        dn_train_options_init(&options);
        options.allocator = &allocator;
        status = dn_trainer_create_like(model, &options, &like, NULL);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && like == NULL));
        dn_trainer_free(like);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(n, 100);
    }
    ck_assert_int_gt(n, 2);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_like");
    TCase *tests = tcase_create("api_like");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, same_images_same_bytes, 0, KINDS);
    tcase_add_loop_test(tests, like_a_model_of_old, 0, KINDS);
    tcase_add_test(tests, like_a_calibrated_model);
    tcase_add_test(tests, without_options);
    tcase_add_test(tests, every_allocation_can_fail);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
