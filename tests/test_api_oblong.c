/* Inputs that are not square through the shared library: options, training, files, scores, maps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "training.h"

enum { WIDTH = 96, HEIGHT = 64, PART_WIDTH = 75, PART_HEIGHT = 50, IMAGES = 8 };
enum { FAST, COMPACT, PAPER, TILED, KINDS };

static dn_extractor *oblong_extractor(int32_t width, int32_t height)
{
    const int32_t channels[5] = {4, 4, 6, 6, 8};
    dn_extractor_options options;
    dn_extractor *extractor = NULL;

    dn_extractor_options_init(&options);
    options.input_size = width;
    options.input_height = height;
    options.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

static dn_train_options options_of(int kind)
{
    dn_train_options options = tiny_options();

    options.preset = kind == PAPER ? DN_PRESET_PAPER : kind == FAST ? DN_PRESET_FAST : DN_PRESET_COMPACT;
    options.flow = kind != FAST;
    options.positions = kind != PAPER;
    options.epochs = options.flow ? 2 : 0;
    options.calibration = kind == PAPER ? DN_CALIBRATION_SPLIT : DN_CALIBRATION_CROSS;
    options.folds = kind == PAPER ? 0 : 2;
    options.copies = kind == FAST ? DN_COPIES_AUTO : kind == COMPACT ? DN_COPIES_TURN : DN_COPIES_NONE;
    options.details = kind == FAST ? DN_DETAILS_ON : DN_DETAILS_OFF;
    if (kind == TILED) {
        options.tile_columns = 2;
        options.fit = DN_FIT_LETTERBOX;
    }
    return options;
}

static dn_pixels part(uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3], uint32_t seed)
{
    draw_texture(rgb, PART_WIDTH, PART_HEIGHT, seed);
    return rgb_view(rgb, PART_WIDTH, PART_HEIGHT);
}

static void add_parts(dn_trainer *trainer)
{
    uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3];

    for (uint32_t i = 1; i <= IMAGES; i++) {
        dn_pixels view = part(rgb, i);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
}

static dn_trainer *trainer_of(const dn_train_options *options, int32_t width, int32_t height)
{
    dn_extractor *extractor = oblong_extractor(width, height);
    dn_trainer *trainer = NULL;

    ck_ok(dn_trainer_create(extractor, options, &trainer, NULL));
    dn_extractor_unref(extractor);
    add_parts(trainer);
    return trainer;
}

static dn_blob *bytes_of(int kind, int32_t threads)
{
    dn_train_options options = options_of(kind);

    options.threads = threads;
    return run_to_bytes(trainer_of(&options, WIDTH, HEIGHT));
}

/* ---- options ---- */

START_TEST(sizes_that_cannot_be)
{
    static const struct {
        int32_t size, height;
        const char *part;
    } cases[] = {
        {96, 31, "input_height is 31"},
        {96, 65, "multiple of 32"},
        {96, -32, "input_height"},
        {96, 2080, "input_height"},
        {96, INT32_MAX, "input_height"},
        {96, INT32_MIN, "input_height"},
        {0, 64, "input_size"},
        {2080, 64, "input_size"},
        {33, 64, "input_size is 33"},
        {2048, 32, "2048 x 32 is too small"},
        {32, 2048, "32 x 2048 is too small"},
    };
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_extractor_options_init(&options);
        options.input_size = cases[i].size;
        options.input_height = cases[i].height;
        options.scales = 1;
        ck_status(dn_extractor_random(NULL, 1, &options, &extractor, &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, cases[i].part);
        ck_assert_ptr_null(extractor);
    }
}
END_TEST

/* A height that is the width is a square: the same in everything. */
START_TEST(what_an_extractor_tells)
{
    dn_extractor *oblong = oblong_extractor(WIDTH, HEIGHT), *square = oblong_extractor(64, 0),
                 *same = oblong_extractor(64, 64);
    dn_extractor_info info;
    dn_maps_info maps;

    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(oblong, &info));
    ck_assert_int_eq(info.input_size, WIDTH);
    ck_assert_int_eq(info.input_height, HEIGHT);
    dn_maps_info_init(&maps);
    ck_ok(dn_extractor_get_maps_info(oblong, &maps));
    ck_assert_int_eq(maps.columns, 5);
    ck_assert_int_eq(maps.rows, 3);
    for (int i = 0; i < 2; i++) {
        ck_ok(dn_extractor_get_info(i ? square : same, &info));
        ck_assert_int_eq(info.input_size, 64);
        ck_assert_int_eq(info.input_height, 64);
    }
    dn_extractor_unref(oblong);
    dn_extractor_unref(square);
    dn_extractor_unref(same);
}
END_TEST

/* An image as large as the input is its own upright view; its features are those of the image. */
START_TEST(views_of_an_image)
{
    static uint8_t rgb[WIDTH * HEIGHT * 3];
    static float views[2][WIDTH * HEIGHT * 3];
    float of_views[2][8], of_image[2][8];
    const double angles[2] = {0, 180};
    dn_extractor *extractor = oblong_extractor(WIDTH, HEIGHT);
    dn_extractor_info info;

    draw_texture(rgb, WIDTH, HEIGHT, 4);
    dn_pixels view = rgb_view(rgb, WIDTH, HEIGHT);
    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(extractor, &info));
    ck_ok(dn_extractor_views(extractor, &view, angles, 2, views[0], NULL));
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < 3; c++) {
            double value = (rgb[3 * i + c] / 255.0 - (double)info.mean[c]) / (double)info.std[c];
            ck_assert_double_eq_tol((double)views[0][3 * i + c], value, 1e-5);
            ck_assert_float_eq(views[1][3 * (WIDTH * HEIGHT - 1 - i) + c], views[0][3 * i + c]);
        }
    ck_ok(dn_extractor_features(extractor, views[0], 2, of_views[0], NULL));
    ck_ok(dn_extractor_features_image(extractor, &view, angles, 2, of_image[0], NULL));
    ck_assert_mem_eq(of_views, of_image, sizeof of_views);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- training ---- */

START_TEST(same_bytes_for_any_threads)
{
    dn_blob *one = bytes_of(_i, 1), *three = bytes_of(_i, 3);

    ck_assert(same_bytes(one, three));
    dn_blob_free(one);
    dn_blob_free(three);
}
END_TEST

static void check_info(const dn_model *model, int kind)
{
    dn_model_info info;

    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert_int_eq(info.input_size, WIDTH);
    ck_assert_int_eq(info.input_height, HEIGHT);
    ck_assert_int_eq(info.map_rows, kind == PAPER ? 0 : 3);
    ck_assert_int_eq(info.map_columns, kind == PAPER ? 0 : kind == TILED ? 9 : 5);
    ck_assert_int_eq(info.detail_rows, kind == FAST ? 7 : 0);     /* 64 -> 15 -> 7 */
    ck_assert_int_eq(info.detail_columns, kind == FAST ? 11 : 0); /* 96 -> 23 -> 11 */
}

static dn_score score_of(dn_model *model, const dn_pixels *view)
{
    dn_scorer *scorer = NULL;
    dn_score score;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, view, &score));
    dn_scorer_free(scorer);
    return score;
}

/* A file tells it in a format that older versions refuse; opened, it is the same model. */
START_TEST(file_of_a_model)
{
    uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3];
    dn_blob *blob = bytes_of(_i, 1);
    const char *header = (const char *)dn_blob_data(blob) + 8;
    dn_model *model = model_of_bytes(blob);
    dn_blob *again = model_bytes(model), *half = NULL;
    dn_pixels view = part(rgb, 77);
    dn_score score = score_of(model, &view);

    ck_assert_ptr_nonnull(strstr(header, "\"differnet.format\":\"5\""));
    ck_assert_ptr_nonnull(strstr(header, "{\\\"input_size\\\":96,\\\"input_height\\\":64,"));
    ck_assert(same_bytes(blob, again));
    check_info(model, _i);
    ck_ok(dn_model_save_memory(model, DN_STORAGE_F16, &half, NULL));
    dn_model *smaller = model_of_bytes(half);
    check_info(smaller, _i);
    ck_assert_double_eq_tol(score_of(smaller, &view).score, score.score, 0.05 * score.score);
    dn_model_unref(smaller);
    dn_model_unref(model);
    dn_blob_free(half);
    dn_blob_free(again);
    dn_blob_free(blob);
}
END_TEST

/* Files of square inputs are as they were. */
START_TEST(file_of_a_square_model)
{
    dn_train_options options = options_of(_i);
    dn_blob *blob = run_to_bytes(trainer_of(&options, 64, 64)), *same = run_to_bytes(trainer_of(&options, 64, 0));
    const char *header = (const char *)dn_blob_data(blob) + 8;
    static const char *const formats[KINDS] = {"\"differnet.format\":\"4\"", "\"differnet.format\":\"5\"",
                                               "\"differnet.format\":\"2\"", "\"differnet.format\":\"5\""};

    ck_assert(same_bytes(blob, same));
    ck_assert_ptr_nonnull(strstr(header, formats[_i]));
    ck_assert_ptr_null(strstr(header, "input_height"));
    dn_blob_free(blob);
    dn_blob_free(same);
}
END_TEST

/* Heights that do not fit, with right checksums. */
START_TEST(files_that_cannot_be)
{
    static const struct {
        const char *to, *part;
        int kinds; /* bits: those that it is about */
    } cases[] = {
        {"input_height\\\":00", "differnet.facts", 1 << FAST | 1 << PAPER},
        {"input_height\\\":-1", "input_height", 1 << FAST | 1 << PAPER},
        {"input_height\\\":31", "input_height", 1 << FAST | 1 << PAPER},
        {"input_height\\\":65", "multiple of 32", 1 << FAST | 1 << PAPER},
        {"input_height\\\":32", "too small", 1 << FAST | 1 << PAPER},
        {"input_height\\\":96", "does not fit maps", 1 << FAST | 1 << COMPACT},
        {"input_height\\\":9x", "differnet.facts", 1 << FAST},
        {"inpud_height\\\":64", "does not fit maps", 1 << FAST | 1 << COMPACT},
    };
    dn_blob *blob = bytes_of(_i, 1);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);
    dn_model *model;
    dn_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!(cases[i].kinds >> _i & 1))
            continue;
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, "input_height\\\":64", cases[i].to);
        sign_file(bytes, size);
        ck_assert_int_ne(dn_model_open_memory(bytes, size, NULL, &model, &error), DN_OK);
        ck_assert_msg(error.status == DN_E_FORMAT && strstr(error.message, cases[i].part), "%s: %s", cases[i].to,
                      error.message);
        ck_assert_ptr_null(model);
    }
    free(bytes);
    dn_blob_free(blob);
}
END_TEST

/* The height is a part of what a model is: a flow alone fits any, and would score otherwise. */
START_TEST(another_height_is_another_model)
{
    uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3];
    dn_blob *blob = bytes_of(PAPER, 1);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);
    dn_model *model = model_of_bytes(blob), *other;
    dn_pixels view = part(rgb, 77);
    dn_model_info infos[2];

    memcpy(bytes, dn_blob_data(blob), size);
    replace_text(bytes, size, "input_height\\\":64", "input_height\\\":96");
    sign_file(bytes, size);
    ck_ok(dn_model_open_memory(bytes, size, NULL, &other, NULL));
    for (int i = 0; i < 2; i++) {
        dn_model_info_init(&infos[i]);
        ck_ok(dn_model_get_info(i ? other : model, &infos[i]));
    }
    ck_assert_int_eq(infos[1].input_height, 96);
    ck_assert_uint_ne(infos[0].id, infos[1].id);
    ck_assert(score_of(model, &view).score != score_of(other, &view).score);
    dn_model_unref(model);
    dn_model_unref(other);
    free(bytes);
    dn_blob_free(blob);
}
END_TEST

/* ---- in use ---- */

static void map_of(dn_model *model, int32_t method, int32_t threads, const dn_pixels *view, float *map)
{
    dn_localizer_options options;
    dn_localizer *localizer = NULL;

    dn_localizer_options_init(&options);
    options.method = method;
    options.threads = threads;
    options.views = 4;
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, view, map));
    dn_localizer_free(localizer);
}

/* A part with a bright spot near its right end, which a square view would show squeezed: the map has its highest value
 * there, not elsewhere; the gradient's is there and finite, and has the same bits for any threads. */
START_TEST(maps_of_a_model)
{
    enum { PIXELS = PART_WIDTH * PART_HEIGHT, AT_X = 62, AT_Y = 14 };
    static uint8_t rgb[PIXELS * 3];
    static float map[PIXELS], other[PIXELS];
    dn_blob *blob = bytes_of(_i, 1);
    dn_model *model = model_of_bytes(blob);
    dn_pixels view = part(rgb, 3);

    for (int y = AT_Y - 4; y < AT_Y + 4; y++)
        memset(rgb + (y * PART_WIDTH + AT_X - 4) * 3, y % 2 ? 255 : 0, 8 * 3);
    for (int32_t method = DN_MAP_POSITIONS; method <= DN_MAP_GRADIENT; method++) {
        if (_i == (method == DN_MAP_POSITIONS ? PAPER : FAST))
            continue;
        map_of(model, method, 1, &view, map);
        map_of(model, method, 3, &view, other);
        ck_assert_mem_eq(map, other, sizeof map);
        int highest = 0;
        for (int i = 0; i < PIXELS; i++) {
            ck_assert(isfinite(map[i]) && map[i] >= 0);
            highest = map[i] > map[highest] ? i : highest;
        }
        ck_assert(map[highest] > 0);
        if (method == DN_MAP_POSITIONS && _i != TILED) /* there the border of the letterbox is higher still */
            ck_assert_msg(abs(highest % PART_WIDTH - AT_X) < 16 && abs(highest / PART_WIDTH - AT_Y) < 16,
                          "highest at %d, %d", highest % PART_WIDTH, highest / PART_WIDTH);
    }
    if (_i != PAPER) { /* the verdict's own map */
        dn_scorer *scorer = NULL;
        dn_score score;
        ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
        dn_score_init(&score);
        ck_ok(dn_scorer_inspect(scorer, &view, map, &score));
        map_of(model, DN_MAP_POSITIONS, 1, &view, other);
        ck_assert_mem_eq(map, other, sizeof map);
        dn_scorer_free(scorer);
    }
    dn_model_unref(model);
    dn_blob_free(blob);
}
END_TEST

/* The same images learned anew, by nothing but the model: the same bytes. */
START_TEST(learned_like_a_model)
{
    dn_blob *first = bytes_of(_i, 1);
    dn_model *model = model_of_bytes(first);
    dn_train_options options = options_of(_i);
    dn_trainer *trainer = NULL;

    ck_ok(dn_train_options_of_model(&options, model));
    options.epoch_steps = options_of(_i).epoch_steps; /* what a model does not tell */
    options.schedule = options_of(_i).schedule;
    options.learning_rate = options_of(_i).learning_rate;
    options.feature_noise = options_of(_i).feature_noise;
    options.copies = options_of(_i).copies;
    ck_ok(dn_trainer_create_like(model, &options, &trainer, NULL));
    add_parts(trainer);
    dn_blob *second = run_to_bytes(trainer);
    ck_assert(same_bytes(first, second));
    dn_blob_free(first);
    dn_blob_free(second);
    dn_model_unref(model);
}
END_TEST

/* What images are like is measured on all of them: here the left half is black and the right one white. */
START_TEST(traits_of_an_image)
{
    static uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3];
    const dn_train_options options = options_of(FAST);
    dn_extractor *extractor = oblong_extractor(128, 64);
    dn_trainer *trainer;
    dn_model_info info;
    dn_model *model;

    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = i / 3 % PART_WIDTH > PART_WIDTH / 2 ? 255 : 0;
    const dn_pixels view = rgb_view(rgb, PART_WIDTH, PART_HEIGHT);
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    add_parts(trainer);
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert_double_gt(info.seen_low[DN_TRAIT_CONTRAST], 0.1); /* either half has none */
    dn_trainer_free(trainer);
    dn_model_unref(model);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(calibrated_anew)
{
    uint8_t rgb[PART_WIDTH * PART_HEIGHT * 3];
    dn_blob *blob = bytes_of(_i, 1);
    dn_model *model = model_of_bytes(blob), *fresh = NULL;
    dn_calibrator_options options;
    dn_calibrator *calibrator = NULL;
    dn_score score;

    dn_calibrator_options_init(&options);
    options.accept_suspects = 1; /* of so few images that were learned from, chance alone makes some */
    ck_ok(dn_calibrator_create(model, &options, &calibrator, NULL));
    for (uint32_t i = 20; i < 26; i++) {
        dn_pixels view = part(rgb, i);
        dn_score_init(&score);
        ck_ok(dn_calibrator_add_pixels(calibrator, &view, &score));
        ck_assert(isfinite(score.score));
    }
    ck_ok(dn_calibrator_model(calibrator, &fresh));
    check_info(fresh, _i);
    dn_blob *bytes = model_bytes(fresh);
    dn_model *again = model_of_bytes(bytes);
    check_info(again, _i);
    dn_blob_free(bytes);
    dn_calibrator_free(calibrator);
    dn_model_unref(again);
    dn_model_unref(fresh);
    dn_model_unref(model);
    dn_blob_free(blob);
}
END_TEST

/* How many tiles there are is known with the first image alone; a tile cannot be moved by itself. */
START_TEST(copies_and_several_tiles)
{
    static uint8_t rgb[300 * HEIGHT * 3];
    dn_train_options options = options_of(COMPACT);
    dn_trainer *trainer = NULL;
    dn_model *model;

    options.tile_columns = options.tile_rows = 0;
    options.copies = DN_COPIES_TURN;
    dn_extractor *extractor = oblong_extractor(WIDTH, HEIGHT);
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (uint32_t i = 1; i <= IMAGES; i++) {
        draw_texture(rgb, 300, HEIGHT, i);
        dn_pixels view = rgb_view(rgb, 300, HEIGHT);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_ARGUMENT, "do not go together");
    ck_assert_ptr_null(model);
    dn_trainer_free(trainer);
}
END_TEST

/* A checkpoint goes on with inputs of its own shape alone. */
START_TEST(resumed_from_a_checkpoint)
{
    static const int32_t others[][2] = {{HEIGHT, WIDTH}, {WIDTH, WIDTH}, {WIDTH, 128}};
    dn_train_options options = options_of(COMPACT);
    watcher cancels = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 2};
    dn_model *model;

    options.epochs = 4;
    dn_blob *straight = run_to_bytes(trainer_of(&options, WIDTH, HEIGHT));
    options.checkpoint = path_join(test_folder(), "checkpoint");
    options.resume = 1;
    dn_trainer *trainer = trainer_of(&options, WIDTH, HEIGHT);
    trainer_fails(trainer, dn_trainer_run(trainer, watch, &cancels, &model), DN_E_CANCELLED, "cancelled");
    dn_trainer_free(trainer);
    for (int i = 0; i < 3; i++) {
        trainer = trainer_of(&options, others[i][0], others[i][1]);
        trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "other input_size");
        dn_trainer_free(trainer);
    }
    options.fit = DN_FIT_LETTERBOX; /* the same pixels placed otherwise are other images */
    trainer = trainer_of(&options, WIDTH, HEIGHT);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "images");
    dn_trainer_free(trainer);
    options.fit = DN_FIT_STRETCH;
    dn_blob *resumed = run_to_bytes(trainer_of(&options, WIDTH, HEIGHT));
    ck_assert(same_bytes(straight, resumed));
    dn_blob_free(straight);
    dn_blob_free(resumed);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_oblong");
    TCase *tests = tcase_create("api_oblong");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, sizes_that_cannot_be);
    tcase_add_test(tests, copies_and_several_tiles);
    tcase_add_test(tests, what_an_extractor_tells);
    tcase_add_test(tests, views_of_an_image);
    tcase_add_loop_test(tests, same_bytes_for_any_threads, 0, KINDS);
    tcase_add_loop_test(tests, file_of_a_model, 0, KINDS);
    tcase_add_loop_test(tests, file_of_a_square_model, 0, KINDS);
    tcase_add_loop_test(tests, files_that_cannot_be, 0, PAPER + 1);
    tcase_add_test(tests, another_height_is_another_model);
    tcase_add_loop_test(tests, maps_of_a_model, 0, KINDS);
    tcase_add_loop_test(tests, learned_like_a_model, 0, KINDS);
    tcase_add_test(tests, traits_of_an_image);
    tcase_add_loop_test(tests, calibrated_anew, 0, KINDS);
    tcase_add_test(tests, resumed_from_a_checkpoint);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
