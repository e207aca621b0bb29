/* The range of 16-bit pixels through the shared library: training, file, score, map, overlay, advice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serving.h"
#include "training.h"

enum { SIZE = 64, PIXELS = SIZE * SIZE, IMAGES = 6, WIDE = 4369 /* 65535 / 15 */, NARROW = 273 /* 4095 / 15 */ };

/* A texture in 16 grays, `step` apart; as large as the network's input, so that nothing is rounded on the way. */
static dn_pixels draw(uint16_t *gray, uint32_t seed, int step, int base)
{
    static uint8_t rgb[PIXELS * 3];

    draw_texture(rgb, SIZE, SIZE, seed);
    for (int i = 0; i < PIXELS; i++)
        gray[i] = (uint16_t)(base + rgb[3 * i] / 16 * step);
    return (dn_pixels){gray, SIZE, SIZE, 0, DN_GRAY16, 0};
}

static dn_train_options options_of(int32_t low, int32_t high)
{
    dn_train_options options = tiny_options();

    options.positions = 1;
    options.epochs = 1;
    options.range_low = low;
    options.range_high = high;
    return options;
}

static dn_trainer *trainer_of(const dn_train_options *options, int step, int base)
{
    dn_trainer *trainer = tiny_trainer(options, 0);
    uint16_t gray[PIXELS];

    for (uint32_t i = 1; i <= IMAGES; i++) {
        dn_pixels view = draw(gray, i, step, base);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
    return trainer;
}

static dn_model *model_of(const dn_train_options *options, int step, int base)
{
    dn_trainer *trainer = trainer_of(options, step, base);
    dn_model *model;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

static void score_and_map(dn_model *model, int step, int base, dn_score *score, float *inspected, float *mapped)
{
    uint16_t gray[PIXELS];
    dn_pixels view = draw(gray, 30, step, base);
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_localizer *localizer;

    dn_score_init(score);
    ck_ok(dn_scorer_inspect(scorer, &view, inspected, score));
    ck_ok(dn_localizer_create(model, NULL, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, &view, mapped));
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
}

/* What its file holds, whose range is this. */
static dn_model *reopened(dn_model *model, int32_t low, int32_t high)
{
    dn_blob *blob = model_bytes(model);
    dn_model *again = model_of_bytes(blob);
    dn_model_info info;

    dn_blob_free(blob);
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(again, &info));
    ck_assert_int_eq(info.range_low, low);
    ck_assert_int_eq(info.range_high, high);
    return again;
}

/* 12 bits in their range, and a thermal range, are what the same picture is in all 16 bits. */
START_TEST(as_if_in_16_bits)
{
    static const struct {
        int32_t low, high;
        int step, base;
    } cases[] = {{0, 0, WIDE, 0}, {0, 65535, WIDE, 0}, {0, 4095, NARROW, 0}, {20000, 24095, NARROW, 20000}};
    static float maps[4][PIXELS], others[4][PIXELS];
    dn_score scores[4];

    for (int i = 0; i < 4; i++) {
        dn_train_options options = options_of(cases[i].low, cases[i].high);
        dn_model *model = model_of(&options, cases[i].step, cases[i].base);
        score_and_map(model, cases[i].step, cases[i].base, &scores[i], maps[i], others[i]);
        ck_assert_mem_eq(&scores[i], &scores[0], sizeof scores[0]);
        ck_assert_mem_eq(maps[i], maps[0], sizeof maps[0]);
        ck_assert_mem_eq(others[i], maps[0], sizeof maps[0]);
        dn_model *again = reopened(model, cases[i].low, cases[i].high);
        score_and_map(again, cases[i].step, cases[i].base, &scores[i], maps[i], others[i]);
        ck_assert_mem_eq(&scores[i], &scores[0], sizeof scores[0]);
        dn_model_unref(again);
        dn_model_unref(model);
    }
    ck_assert_uint_eq(scores[0].warnings, 0);
}
END_TEST

/* Values outside are black or white; 8-bit pixels do not know of the range. */
START_TEST(outside_of_it)
{
    static uint16_t gray[PIXELS], clipped[PIXELS];
    dn_train_options options = options_of(1000, 2000);
    dn_model *model = model_of(&options, 60, 1000);
    dn_pixels view = {gray, SIZE, SIZE, 0, DN_GRAY16, 0}, other = {clipped, SIZE, SIZE, 0, DN_GRAY16, 0};
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_score scores[2];

    for (int i = 0; i < PIXELS; i++) {
        gray[i] = (uint16_t)((uint32_t)i * 2654435761u >> 16);
        clipped[i] = gray[i] < 1000 ? 1000 : gray[i] > 2000 ? 2000 : gray[i];
    }
    score_alone(scorer, &view, 1, &scores[0]);
    score_alone(scorer, &other, 1, &scores[1]);
    ck_assert_mem_eq(&scores[0], &scores[1], sizeof *scores);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(overlays)
{
    dn_train_options options = options_of(1000, 2000);
    dn_model *model = model_of(&options, 60, 1000);
    const uint16_t gray[8] = {0, 999, 1000, 1001, 1500, 1999, 2000, 65535};
    const uint8_t expected[8] = {0, 0, 0, 0, 128, 255, 255, 255}, whole[8] = {0, 4, 4, 4, 6, 8, 8, 255};
    const float map[8] = {0};
    dn_pixels view = {gray, 8, 1, 0, DN_GRAY16, 0};
    uint8_t rgb[24];
    dn_error error;

    ck_ok(dn_model_overlay(model, &view, map, 0, rgb, NULL));
    for (int i = 0; i < 24; i++)
        ck_assert_int_eq(rgb[i], expected[i / 3]);
    ck_ok(dn_image_overlay(&view, map, 0, rgb, NULL));
    for (int i = 0; i < 24; i++)
        ck_assert_int_eq(rgb[i], whole[i / 3]);
    ck_status(dn_model_overlay(NULL, &view, map, 0, rgb, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_overlay(model, NULL, map, 0, rgb, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_overlay(model, &view, NULL, 0, rgb, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_overlay(model, &view, map, 0, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_overlay(model, &view, map, 1, rgb, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "full is 1");
    dn_model_unref(model);
}
END_TEST

START_TEST(wrong_options)
{
    static const int32_t wrong[][2] = {{0, -1}, {-1, 5}, {0, 65536}, {5, 5}, {6, 5}, {5, 0}};
    dn_extractor *extractor = tiny_extractor(NULL);

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dn_train_options options = options_of(wrong[i][0], wrong[i][1]);
        dn_trainer *trainer;
        dn_error error;
        ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "range_");
    }
    dn_extractor_unref(extractor);
}
END_TEST

/* A checkpoint belongs to its range. */
START_TEST(checkpoint_of_another_range)
{
    dn_train_options options = options_of(0, 4095);
    dn_model *model;

    options.positions = 0;
    options.checkpoint = path_join(test_folder(), "state");
    dn_model_unref(model_of(&options, NARROW, 0));
    options.resume = 1;
    dn_model_unref(model_of(&options, NARROW, 0));
    options.range_high = 8191;
    dn_trainer *trainer = trainer_of(&options, NARROW, 0);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "images");
    dn_trainer_free(trainer);
}
END_TEST

/* ---- advice ---- */

static void check_advice(int step, int base, int32_t low, int32_t high, const char *expected)
{
    dn_train_options options = options_of(low, high);
    dn_trainer *trainer = trainer_of(&options, step, base);
    const char *advice = dn_trainer_advice(trainer, 0);

    if (expected)
        ck_assert_msg(advice && strstr(advice, expected), "%s", advice ? advice : "no advice");
    else
        ck_assert_ptr_null(advice);
    ck_assert_ptr_null(dn_trainer_advice(trainer, 1));
    ck_assert_ptr_null(dn_trainer_advice(trainer, -1));
    dn_trainer_free(trainer);
}

START_TEST(advice)
{
    dn_train_options options = options_of(0, 0);
    dn_trainer *empty = tiny_trainer(&options, 0), *bytes = tiny_trainer(&options, 2);

    check_advice(NARROW, 0, 0, 0, "range_low = 0 and range_high = 4095");
    check_advice(17, 0, 0, 0, "range_low = 0 and range_high = 255");
    check_advice(NARROW, 0, 0, 4095, NULL);
    check_advice(NARROW / 2, 1000, 0, 0, "range_low = 0 and range_high = 4095"); /* never black */
    check_advice(WIDE, 0, 0, 0, NULL);
    check_advice(WIDE / 2, 20000, 0, 4095,
                 "all of the 16-bit images is white with range_low = 0 and range_high = 4095");
    check_advice(NARROW, 0, 5000, 65535, "is black with range_low = 5000");
    check_advice(NARROW, 0, 1000, 3000, NULL); /* at both ends */
    check_advice(NARROW, 0, 0, 65535, "range_low = 0 and range_high = 4095");
    check_advice(2000, 0, 0, 0, NULL); /* more than a quarter */
    /* Thermal: a quarter of the used range is kept free at both ends. */
    check_advice(100, 20000, 0, 0, "set range_low = ");
    ck_assert_ptr_null(dn_trainer_advice(empty, 0));
    ck_assert_ptr_null(dn_trainer_advice(bytes, 0));
    ck_assert_ptr_null(dn_trainer_advice(NULL, 0));
    dn_trainer_free(empty);
    dn_trainer_free(bytes);
}
END_TEST

START_TEST(advice_of_a_thermal_range)
{
    dn_train_options options = options_of(0, 0);
    dn_trainer *trainer = tiny_trainer(&options, 0);
    uint16_t gray[PIXELS];
    int low, high;

    for (int i = 0; i < PIXELS; i++)
        gray[i] = (uint16_t)(i / SIZE % 8 < 4 ? 20000 : 24000); /* the canvas is the image: nothing is averaged */
    dn_pixels view = {gray, SIZE, SIZE, 0, DN_GRAY16, 0};
    trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    const char *text = dn_trainer_advice(trainer, 0);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, "values from 20000 to 24000"));
    ck_assert_int_eq(sscanf(strstr(text, "set range_low"), "set range_low = %d and range_high = %d", &low, &high), 2);
    ck_assert_int_eq(low, 19000);
    ck_assert(high == 25001 || high == 25000); /* up to rounding, and one more */
    dn_trainer_free(trainer);
}
END_TEST

/* The room beside the used range ends where the values do. */
START_TEST(advice_at_the_ends)
{
    static const struct {
        uint16_t dark, bright;
        const char *expected;
    } cases[] = {{0, 10, "range_low = 0 and range_high = 1"}, {55000, 65535, "and range_high = 65535"}};
    dn_train_options options = options_of(0, 0);
    uint16_t gray[PIXELS];

    for (int n = 0; n < 2; n++) {
        dn_trainer *trainer = tiny_trainer(&options, 0);
        for (int i = 0; i < PIXELS; i++)
            gray[i] = i / SIZE % 8 < 4 ? cases[n].dark : cases[n].bright;
        dn_pixels view = {gray, SIZE, SIZE, 0, DN_GRAY16, 0};
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
        const char *text = dn_trainer_advice(trainer, 0);
        ck_assert_msg(text && strstr(text, cases[n].expected), "%s", text ? text : "no advice");
        dn_trainer_free(trainer);
    }
}
END_TEST

/* ---- files ---- */

static void check_file(uint8_t *bytes, size_t size, dn_status status, const char *part)
{
    dn_model *model;
    dn_error error = {0};

    sign_file(bytes, size);
    ck_status(dn_model_open_memory(bytes, size, NULL, &model, &error), status);
    if (status != DN_OK)
        check_error(&error, status, part);
    dn_model_unref(model);
}

/* The least range there is. */
START_TEST(file_of_two_values)
{
    dn_train_options options = options_of(0, 1);
    dn_model *model = model_of(&options, NARROW, 20000);

    dn_model_unref(reopened(model, 0, 1));
    dn_model_unref(model);
}
END_TEST

START_TEST(file)
{
    static const char *const others[] = {
        "{\\\"low\\\":20000,\\\"high\\\":20000}", "{\\\"low\\\":24095,\\\"high\\\":20000}",
        "{\\\"low\\\":20000,\\\"high\\\":99999}", "{\\\"low\\\":-1000,\\\"high\\\":24095}",
        "{\\\"low\\\":20000,\\\"hugh\\\":24095}", "{\\\"low\\\":20000,\\\"high\\\":24.95}"};
    dn_train_options options = options_of(20000, 24095);
    dn_model *model = model_of(&options, NARROW, 20000);
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, "{\\\"low\\\":20000,\\\"high\\\":24095}", others[i]);
        check_file(bytes, size, DN_E_FORMAT, "differnet.range");
    }
    memcpy(bytes, dn_blob_data(blob), size); /* an older version would score it wrongly: the number tells */
    replace_text(bytes, size, "\"differnet.format\":\"5\"", "\"differnet.format\":\"2\"");
    check_file(bytes, size, DN_OK, NULL);
    free(bytes);
    dn_blob_free(blob);
    dn_model_unref(model);
    options = options_of(0, 0);
    model = model_of(&options, WIDE, 0);
    blob = model_bytes(model);
    bytes = malloc(dn_blob_size(blob));
    memcpy(bytes, dn_blob_data(blob), dn_blob_size(blob));
    replace_text(bytes, dn_blob_size(blob), "\"differnet.format\":\"5\"", "\"differnet.format\":\"1\""); /* is 5 */
    free(bytes);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_range");
    TCase *tests = tcase_create("api_range");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, as_if_in_16_bits);
    tcase_add_test(tests, outside_of_it);
    tcase_add_test(tests, overlays);
    tcase_add_test(tests, wrong_options);
    tcase_add_test(tests, checkpoint_of_another_range);
    tcase_add_test(tests, advice);
    tcase_add_test(tests, advice_of_a_thermal_range);
    tcase_add_test(tests, advice_at_the_ends);
    tcase_add_test(tests, file);
    tcase_add_test(tests, file_of_two_values);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
