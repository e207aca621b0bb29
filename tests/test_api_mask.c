/* A mask that a model is trained with, through the shared library: what it leaves out has no part in the model, its file,
 * scores, maps and overlays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serving.h"
#include "training.h"

/* Three tiles of 64 pixels beside each other, 48 apart: what counts is seen by the first one alone, which ends at 64. */
enum { WIDE = 160, HIGH = 64, PIXELS = WIDE * HIGH, COUNTS = 40, BEYOND = 80, IMAGES = 8 };

/* `other`: the same within BEYOND, something else outside of it. */
static dn_pixels draw(uint8_t *rgb, uint32_t seed, _Bool other)
{
    static uint8_t outside[PIXELS * 3];

    draw_texture(rgb, WIDE, HIGH, seed);
    draw_texture(outside, WIDE, HIGH, 1000 + seed * 7);
    for (int i = 0; other && i < PIXELS; i++)
        if (i % WIDE >= BEYOND)
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = (uint8_t)(255 - outside[3 * i + c] / 2);
    return rgb_view(rgb, WIDE, HIGH);
}

/* Bright from column `from` to column `to` - 1. */
static dn_pixels draw_mask(uint8_t *gray, int from, int to)
{
    for (int i = 0; i < PIXELS; i++)
        gray[i] = i % WIDE >= from && i % WIDE < to ? 255 : 0;
    return (dn_pixels){gray, WIDE, HIGH, 0, DN_GRAY8, 0};
}

static dn_train_options options_of(_Bool flow)
{
    dn_train_options options = tiny_options();

    options.positions = 1;
    options.flow = flow;
    options.epochs = flow ? 2 : 0;
    options.preset = flow ? DN_PRESET_COMPACT : DN_PRESET_FAST;
    options.tile_columns = 3;
    options.tile_rows = 1;
    return options;
}

static dn_trainer *trainer_of(const dn_train_options *options, _Bool masked, _Bool other)
{
    static uint8_t rgb[PIXELS * 3], gray[PIXELS];
    dn_trainer *trainer = tiny_trainer(options, 0);
    const dn_pixels mask = draw_mask(gray, 0, COUNTS);

    if (masked)
        trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    for (uint32_t i = 1; i <= IMAGES; i++) {
        dn_pixels view = draw(rgb, i, other);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
    return trainer;
}

static dn_model *model_of(_Bool flow, _Bool masked, _Bool other)
{
    const dn_train_options options = options_of(flow);
    dn_trainer *trainer = trainer_of(&options, masked, other);
    dn_model *model;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

static dn_localizer *localizer_of(dn_model *model)
{
    dn_localizer *localizer;

    ck_ok(dn_localizer_create(model, NULL, &localizer, NULL));
    return localizer;
}

/* What a model says of an image; the warnings are about the whole of it. */
static void inspect(dn_model *model, _Bool other, dn_score *score, float *map)
{
    static uint8_t rgb[PIXELS * 3];
    dn_scorer *scorer = make_scorer(model, NULL);
    const dn_pixels view = draw(rgb, 50, other);

    dn_score_init(score);
    ck_ok(dn_scorer_inspect(scorer, &view, map, score));
    score->warnings = 0;
    dn_scorer_free(scorer);
}

/* Models of images that differ where they do not count are the same, and say the same of such images. */
START_TEST(what_does_not_count_changes_nothing)
{
    static float maps[4][PIXELS];
    dn_model *models[4];
    dn_score scores[4];
    const double *good[4];
    int32_t count;

    for (int i = 0; i < 4; i++) { /* with and without the mask, images of both kinds */
        models[i] = model_of(_i, i < 2, i % 2);
        inspect(models[i], i % 2, &scores[i], maps[i]);
        good[i] = dn_model_holdout_scores(models[i], &count);
        ck_assert_int_gt(count, 0);
    }
    ck_assert_mem_eq(&scores[0], &scores[1], sizeof *scores);
    ck_assert_mem_eq(maps[0], maps[1], sizeof *maps);
    ck_assert_mem_eq(good[0], good[1], (size_t)count * sizeof **good);
    for (int i = 0; i < PIXELS; i++)
        ck_assert((maps[0][i] != 0) == (i % WIDE < COUNTS));
    ck_assert_double_ne(scores[2].score, scores[3].score);
    ck_assert_double_ne(scores[2].score, scores[0].score);
    for (int i = 0; i < 4; i++)
        dn_model_unref(models[i]);
}
END_TEST

START_TEST(kept_in_the_file)
{
    static float maps[2][PIXELS];
    dn_model *model = model_of(_i, 1, 0), *again, *calibrated, *without = model_of(_i, 0, 0);
    dn_model_info info, other;
    dn_score scores[2];
    dn_blob *blob = model_bytes(model), *same;

    dn_model_info_init(&info);
    dn_model_info_init(&other);
    ck_ok(dn_model_get_info(without, &other));
    ck_assert_double_eq(other.mask_share, 1);
    uint8_t *bytes = malloc(dn_blob_size(blob));
    memcpy(bytes, dn_blob_data(blob), dn_blob_size(blob));
    replace_text(bytes, dn_blob_size(blob), _i == 1 ? "\"differnet.format\":\"5\"" : "\"differnet.format\":\"3\"",
                 "\"differnet.format\":\"2\""); /* is 5 with both densities, else 3 */
    free(bytes);
    again = model_of_bytes(blob);
    ck_ok(dn_model_get_info(model, &info));
    ck_ok(dn_model_get_info(again, &other));
    ck_assert_mem_eq(&info, &other, sizeof info);
    ck_assert_double_eq_tol(info.mask_share, (double)COUNTS / WIDE, 1e-12);
    same = model_bytes(again);
    ck_assert(same_bytes(blob, same));
    inspect(model, 0, &scores[0], maps[0]);
    inspect(again, 0, &scores[1], maps[1]);
    ck_assert_mem_eq(&scores[0], &scores[1], sizeof *scores);
    ck_assert_mem_eq(maps[0], maps[1], sizeof *maps);
    /* A model with new verdicts keeps it, too. */
    dn_calibrator *calibrator;
    ck_ok(dn_calibrator_create(model, NULL, &calibrator, NULL));
    ck_ok(dn_calibrator_set_point(calibrator, "loose", 3));
    ck_ok(dn_calibrator_model(calibrator, &calibrated));
    ck_ok(dn_model_get_info(calibrated, &other));
    ck_assert_double_eq(other.mask_share, info.mask_share);
    dn_calibrator_free(calibrator);
    dn_model_unref(calibrated);
    dn_blob_free(same);
    dn_blob_free(blob);
    dn_model_unref(without);
    dn_model_unref(again);
    dn_model_unref(model);
}
END_TEST

/* A call's mask and the model's: what counts by both. */
START_TEST(both_masks_hold)
{
    static uint8_t gray[PIXELS], rgb[PIXELS * 3];
    static float map[PIXELS], other[PIXELS], own[PIXELS];
    dn_model *model = model_of(0, 1, 0);
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_localizer *localizer = localizer_of(model);
    const dn_pixels view = draw(rgb, 51, 0);
    dn_pixels mask;
    dn_score both, explicit, alone;
    dn_score *scores[3] = {&both, &explicit, &alone};

    for (int i = 0; i < 3; i++)
        dn_score_init(scores[i]);
    ck_ok(dn_scorer_inspect(scorer, &view, own, &alone));
    mask = draw_mask(gray, COUNTS / 2, WIDE);
    ck_ok(dn_scorer_set_mask(scorer, &mask, DN_MASK_INCLUDE));
    ck_ok(dn_localizer_set_mask(localizer, &mask, DN_MASK_INCLUDE));
    ck_ok(dn_scorer_inspect(scorer, &view, map, &both));
    ck_ok(dn_localizer_map(localizer, &view, other));
    ck_assert_mem_eq(map, other, sizeof map);
    for (int i = 0; i < PIXELS; i++)
        ck_assert((map[i] != 0) == (i % WIDE >= COUNTS / 2 && i % WIDE < COUNTS));
    mask = draw_mask(gray, COUNTS / 2, COUNTS);
    ck_ok(dn_scorer_set_mask(scorer, &mask, DN_MASK_INCLUDE));
    ck_ok(dn_scorer_inspect(scorer, &view, map, &explicit));
    ck_assert_mem_eq(&both, &explicit, sizeof both);
    ck_assert_double_ne(both.score, alone.score);
    /* A mask that leaves nothing of the model's is refused, and the one before stays; without one the model's holds. */
    mask = draw_mask(gray, COUNTS, WIDE);
    ck_status(dn_scorer_set_mask(scorer, &mask, DN_MASK_INCLUDE), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "model's own mask");
    ck_status(dn_localizer_set_mask(localizer, &mask, DN_MASK_INCLUDE), DN_E_ARGUMENT);
    ck_ok(dn_scorer_inspect(scorer, &view, map, &explicit));
    ck_assert_mem_eq(&both, &explicit, sizeof both);
    const dn_pixels narrow = {gray, WIDE / 4, HIGH, WIDE, DN_GRAY8, 0};
    ck_status(dn_scorer_set_mask(scorer, &narrow, DN_MASK_IGNORE), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "another aspect than the model's own");
    ck_ok(dn_scorer_set_mask(scorer, NULL, 0));
    ck_ok(dn_localizer_set_mask(localizer, NULL, 0));
    ck_ok(dn_scorer_inspect(scorer, &view, map, &explicit));
    ck_assert_mem_eq(&alone, &explicit, sizeof alone);
    ck_assert_mem_eq(map, own, sizeof map);
    ck_ok(dn_localizer_map(localizer, &view, other));
    ck_assert_mem_eq(other, own, sizeof map);
    /* An image of another aspect. */
    const dn_pixels part = {rgb, WIDE / 2, HIGH, 3 * WIDE, DN_RGB8, 0};
    ck_status(dn_scorer_score(scorer, &part, &both), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "the model's mask of 160 x 64");
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(overlays_are_dark_outside)
{
    static uint8_t rgb[PIXELS * 3], plain[PIXELS * 3], masked[PIXELS * 3];
    static float map[PIXELS];
    dn_model *model = model_of(0, 1, 0);
    const dn_pixels view = draw(rgb, 3, 0);

    ck_ok(dn_image_overlay(&view, map, 0, plain, NULL));
    ck_ok(dn_model_overlay(model, &view, map, 0, masked, NULL));
    for (int i = 0; i < PIXELS; i++)
        for (int c = 3 * i; c < 3 * i + 3; c++)
            ck_assert_int_eq(masked[c], i % WIDE < COUNTS ? plain[c] : plain[c] / 3);
    dn_model_unref(model);
}
END_TEST

START_TEST(wrong_masks)
{
    static uint8_t gray[PIXELS], rgb[PIXELS * 3];
    const dn_train_options options = options_of(0);
    dn_trainer *trainer = tiny_trainer(&options, 0);
    dn_pixels mask = draw_mask(gray, 0, 0), view = draw(rgb, 1, 0);

    trainer_fails(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE), DN_E_ARGUMENT, "black everywhere");
    trainer_fails(trainer, dn_trainer_set_mask(trainer, &mask, 2), DN_E_ARGUMENT, "kind is 2");
    ck_status(dn_trainer_set_mask(NULL, &mask, 0), DN_E_ARGUMENT);
    mask.width = 0;
    trainer_fails(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE), DN_E_ARGUMENT, "width");
    /* A column that no cell's centre lies on. */
    mask = draw_mask(gray, 0, 1);
    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    trainer_fails(trainer, add_picture(trainer, 1), DN_E_ARGUMENT, "another aspect");
    trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    trainer_fails(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE), DN_E_STATE, "before the first image");
    trainer_fails(trainer, dn_trainer_set_mask(trainer, NULL, 0), DN_E_STATE, "before the first image");
    dn_model *model;
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_ARGUMENT, "image 1: ");
    dn_trainer_free(trainer);
    /* Such a mask of a call alone: the map has nothing to be made of. */
    static float map[PIXELS];
    model = model_of(0, 0, 0);
    dn_localizer *localizer = localizer_of(model);
    ck_ok(dn_localizer_set_mask(localizer, &mask, DN_MASK_INCLUDE));
    ck_status(dn_localizer_map(localizer, &view, map), DN_E_ARGUMENT);
    check_error(dn_localizer_error(localizer), DN_E_ARGUMENT, "leaves no position to look at");
    dn_localizer_free(localizer);
    dn_model_unref(model);
    /* One that was taken back is none. */
    trainer = tiny_trainer(&options, 0);
    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    trainer_ok(trainer, dn_trainer_set_mask(trainer, NULL, 0));
    trainer_ok(trainer, add_picture(trainer, 1));
    dn_trainer_free(trainer);
}
END_TEST

/* A checkpoint belongs to its mask. */
START_TEST(checkpoint_of_another_mask)
{
    dn_train_options options = options_of(1);
    dn_model *model;

    options.checkpoint = path_join(test_folder(), "state");
    dn_trainer *trainer = trainer_of(&options, 1, 0);
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_model_unref(model);
    options.resume = 1;
    trainer = trainer_of(&options, 0, 0);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "images");
    dn_trainer_free(trainer);
    trainer = trainer_of(&options, 1, 0);
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_model_unref(model);
}
END_TEST

/* Images that are read from their files again give the model of those that are kept. */
START_TEST(images_of_files)
{
    static uint8_t rgb[PIXELS * 3], gray[PIXELS];
    const dn_train_options options = options_of(1);
    dn_trainer *trainer = tiny_trainer(&options, 0);
    const dn_pixels mask = draw_mask(gray, 0, COUNTS);
    const char *folder = test_folder();
    char name[16];

    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    for (uint32_t i = 1; i <= IMAGES; i++) {
        dn_pixels view = draw(rgb, i, 0);
        snprintf(name, sizeof name, "%d.png", (int)i);
        ck_ok(dn_image_write_png(&view, path_join(folder, name), NULL));
        trainer_ok(trainer, dn_trainer_add_path(trainer, path_join(folder, name)));
    }
    dn_blob *of_files = run_to_bytes(trainer), *kept = run_to_bytes(trainer_of(&options, 1, 0));
    ck_assert(same_bytes(of_files, kept));
    dn_blob_free(of_files);
    dn_blob_free(kept);
}
END_TEST

/* Images that differ only where they do not count are one; images that are equal there may be several. */
START_TEST(duplicates_by_what_counts)
{
    static uint8_t rgb[PIXELS * 3], gray[PIXELS];
    const dn_train_options options = options_of(0);
    dn_trainer *trainer = tiny_trainer(&options, 0);
    const dn_pixels mask = draw_mask(gray, 0, COUNTS);
    dn_model *model;
    int32_t kind;

    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    for (uint32_t i = 0; i < 12; i++) { /* 0 and 6, 1 and 7, ... */
        dn_pixels view = draw(rgb, 1 + i % 6, i >= 6);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    for (int32_t i = 0; i < 12; i++) {
        ck_assert_int_eq(dn_trainer_duplicate_of(trainer, i, &kind), i < 6 ? -1 : i - 6);
        ck_assert_int_eq(kind, i < 6 ? 0 : DN_DUPLICATE_NEAR);
    }
    dn_trainer_free(trainer);
    dn_model_unref(model);
}
END_TEST

/* ---- damage and memory ---- */

static void check_file(uint8_t *bytes, size_t size, const char *part)
{
    dn_model *model;
    dn_error error = {0};

    sign_file(bytes, size);
    ck_status(dn_model_open_memory(bytes, size, NULL, &model, &error), DN_E_FORMAT);
    check_error(&error, DN_E_FORMAT, part);
}

START_TEST(damaged_files)
{
    static const char *const others[][2] = {{"{\\\"width\\\":000,\\\"height\\\":64}", "differnet.mask"},
                                            {"{\\\"width\\\":160,\\\"height\\\":-4}", "differnet.mask"},
                                            {"{\\\"width\\\":160,\\\"weight\\\":64}", "differnet.mask"},
                                            {"{\\\"width\\\":160,\\\"height\\\":63}", "tensor mask"},
                                            {"{\\\"width\\\":169,\\\"height\\\":64}", "tensor mask"}};
    dn_model *model = model_of(0, 1, 0);
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, "{\\\"width\\\":160,\\\"height\\\":64}", others[i][0]);
        check_file(bytes, size, others[i][1]);
    }
    /* U8 tensors stand last: 64 rows of 20 bytes. */
    memcpy(bytes, dn_blob_data(blob), size);
    for (int i = 0; i < 64; i++)
        ck_assert_mem_eq(bytes + size - 64 * 20 + i * 20, "\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    memset(bytes + size - 64 * 20, 0, 64 * 20);
    check_file(bytes, size, "nothing of an image counts");
    free(bytes);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

/* From the trainer to a score by both masks. */
static dn_status whole_run(const dn_allocator *allocator, dn_extractor *extractor)
{
    static uint8_t rgb[PIXELS * 3], gray[PIXELS];
    dn_train_options options = options_of(0);
    dn_scorer_options scoring;
    dn_trainer *trainer;
    dn_scorer *scorer = NULL;
    dn_model *model = NULL;
    dn_score score;
    const dn_pixels view = draw(rgb, 1, 0);
    dn_pixels mask = draw_mask(gray, 0, COUNTS);

    dn_scorer_options_init(&scoring);
    dn_score_init(&score);
    options.allocator = scoring.allocator = allocator;
    dn_status status = dn_trainer_create(extractor, &options, &trainer, NULL);
    if (status == DN_OK)
        status = dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE);
    if (status == DN_OK)
        status = dn_trainer_add_pixels(trainer, &view);
    if (status == DN_OK)
        status = dn_trainer_run(trainer, NULL, NULL, &model);
    dn_trainer_free(trainer);
    if (status == DN_OK)
        status = dn_scorer_create(model, &scoring, &scorer, NULL);
    mask = draw_mask(gray, 4, WIDE);
    if (status == DN_OK)
        status = dn_scorer_set_mask(scorer, &mask, DN_MASK_INCLUDE);
    if (status == DN_OK)
        status = dn_scorer_score(scorer, &view, &score);
    dn_scorer_free(scorer);
    dn_model_unref(model);
    return status;
}

START_TEST(every_allocation_can_fail)
{
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_status status = DN_E_MEMORY;
    long n;

    for (n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        status = whole_run(&allocator, extractor);
        ck_assert_msg(status == DN_OK || status == DN_E_MEMORY, "allocation %ld: status %d", n, status);
        ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
        ck_assert_int_lt(n, 3000);
    }
    ck_assert_int_gt(n, 40);
    dn_extractor_unref(extractor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_mask");
    TCase *tests = tcase_create("api_mask");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, what_does_not_count_changes_nothing, 0, 2);
    tcase_add_loop_test(tests, kept_in_the_file, 0, 2);
    tcase_add_test(tests, both_masks_hold);
    tcase_add_test(tests, overlays_are_dark_outside);
    tcase_add_test(tests, wrong_masks);
    tcase_add_test(tests, checkpoint_of_another_mask);
    tcase_add_test(tests, images_of_files);
    tcase_add_test(tests, duplicates_by_what_counts);
    tcase_add_test(tests, damaged_files);
    tcase_add_test(tests, every_allocation_can_fail);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
