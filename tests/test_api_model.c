/* Model, scorer and localizer through the shared library: arguments, defaults, a whole use, several threads. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap_golden.h"
#include "support.h"

#define PIXELS (GOLDEN_SIZE * GOLDEN_SIZE)

static uint8_t image_bytes[PIXELS * 3];

static dn_pixels image(void)
{
    golden_image(image_bytes);
    return rgb_view(image_bytes, GOLDEN_SIZE, GOLDEN_SIZE);
}

/* ---- model ---- */

START_TEST(model_arguments)
{
    dn_model_options options;
    dn_error error = {0};
    dn_model *model = golden_model(), *other = model;
    dn_blob *blob = NULL;

    ck_status(dn_model_open_path(NULL, NULL, &other, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "path is NULL");
    ck_assert_ptr_null(other);
    ck_status(dn_model_open_path("x", NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_model_open_memory(NULL, 3, NULL, &other, &error), DN_E_ARGUMENT);
    ck_status(dn_model_open_memory("abc", 0, NULL, &other, &error), DN_E_FORMAT);
    dn_model_options_init(&options);
    ck_assert_int_eq(options.verify, DN_VERIFY_FULL);
    options.verify = 2;
    ck_status(dn_model_open_path(golden_path(GOLDEN_MODEL), &options, &other, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "verify is 2");
    dn_allocator half = {NULL, NULL, NULL};
    dn_model_options_init(&options);
    options.allocator = &half;
    ck_status(dn_model_open_path(golden_path(GOLDEN_MODEL), &options, &other, &error), DN_E_ARGUMENT);
    options.struct_size = 3;
    ck_status(dn_model_open_path(golden_path(GOLDEN_MODEL), &options, &other, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "struct_size");
    ck_status(dn_model_save(NULL, "x", DN_STORAGE_F32, &error), DN_E_ARGUMENT);
    ck_status(dn_model_save(model, NULL, DN_STORAGE_F32, &error), DN_E_ARGUMENT);
    ck_status(dn_model_save(model, "x", 2, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "storage is 2");
    ck_status(dn_model_save_memory(model, -1, &blob, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_save_memory(model, DN_STORAGE_F32, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_get_info(NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_model_get_info(model, NULL), DN_E_ARGUMENT);
    dn_model_unref(model);
    dn_model_unref(NULL);
    ck_assert_ptr_null(dn_model_ref(NULL));
    ck_assert_ptr_null(dn_model_extractor(NULL));
    ck_assert_ptr_null(dn_model_flow(NULL));
    ck_assert_ptr_null(dn_model_feature_mean(NULL));
    ck_assert_ptr_null(dn_model_feature_deviation(NULL));
    int32_t count = 5;
    ck_assert_ptr_null(dn_model_holdout_scores(NULL, &count));
    ck_assert_int_eq(count, 0);
}
END_TEST

START_TEST(model_info)
{
    dn_model *model = golden_model();
    dn_model_info info;
    const char *value;
    int32_t count;

    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert_uint_eq(info.struct_size, sizeof info);
    ck_assert_uint_ne(info.id, 0);
    ck_assert_int_eq(info.input_size, GOLDEN_SIZE);
    ck_assert_int_eq(info.scales, 2);
    ck_assert_int_eq(info.feature_dim, GOLDEN_DIM);
    ck_assert_int_eq(info.blocks, 2);
    ck_assert_int_eq(info.hidden, 8);
    ck_assert_int_eq(info.views, GOLDEN_VIEWS);
    ck_assert_int_eq(info.angles, DN_ANGLES_STRATIFIED);
    ck_assert_int_eq(info.standardized, 1);
    ck_assert_int_eq(info.backbone_random, 0);
    ck_assert_int_eq(info.storage, DN_STORAGE_F32);
    ck_assert_int_eq(info.train_images, 3);
    ck_assert_int_eq(info.holdout_images, 5);
    ck_assert_int_eq(info.epochs, 2);
    ck_assert(info.seed == UINT64_MAX);
    ck_assert_double_eq(info.clamp, 3);
    ck_assert(isnan(info.final_loss));
    ck_assert_double_eq(info.heatmap_scale, 0.0025);
    ck_assert_str_eq(info.backbone, "AlexNet");
    ck_assert_str_eq(info.library, "0.1.0");
    dn_extractor_info extractor;
    dn_extractor_info_init(&extractor);
    ck_ok(dn_extractor_get_info(dn_model_extractor(model), &extractor));
    ck_assert_ptr_null(dn_extractor_metadata(dn_model_extractor(model), 0, &value));
    /* 4 nets of 4 x 8, 8 x 8, 8 x 8 and 8 x 8 weights and 8 biases each */
    ck_assert_int_eq(info.parameters, extractor.parameters + 4 * (4 * 8 + 3 * 8 * 8 + 4 * 8));
    const double *scores = dn_model_holdout_scores(model, &count);
    ck_assert_int_eq(count, 5);
    ck_assert_double_eq(scores[0], 0.25);
    for (int i = 0; i < GOLDEN_DIM; i++)
        ck_assert(dn_model_feature_deviation(model)[i] > 0 && isfinite(dn_model_feature_mean(model)[i]));
    dn_model_unref(model);
}
END_TEST

START_TEST(model_save_and_open)
{
    const char *path = path_join(test_folder(), "m.dnm");
    dn_model *model = golden_model(), *again;
    dn_model_info info, other;
    dn_blob *blob;
    size_t size;

    ck_ok(dn_model_save(model, path, DN_STORAGE_F32, NULL));
    ck_ok(dn_model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    uint8_t *bytes = read_file(path, &size);
    ck_assert_uint_eq(dn_blob_size(blob), size);
    ck_assert_mem_eq(dn_blob_data(blob), bytes, size);
    free(bytes);
    ck_ok(dn_model_open_memory(dn_blob_data(blob), size, NULL, &again, NULL));
    dn_blob_free(blob);
    dn_model_info_init(&info);
    dn_model_info_init(&other);
    ck_ok(dn_model_get_info(model, &info));
    ck_ok(dn_model_get_info(again, &other));
    ck_assert_uint_eq(info.id, other.id);
    ck_assert_int_eq(info.parameters, other.parameters);
    dn_model_unref(again);
    dn_model_unref(model);
}
END_TEST

/* ---- scorer ---- */

static void check_scorer_options(const char *part, const dn_scorer_options *options)
{
    dn_model *model = golden_model();
    dn_scorer *scorer = NULL;
    dn_error error = {0};

    ck_status(dn_scorer_create(model, options, &scorer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, part);
    ck_assert_ptr_null(scorer);
    dn_model_unref(model);
}

START_TEST(scorer_options)
{
    dn_scorer_options options;
#define TRY_OPTION(field, value)      \
    dn_scorer_options_init(&options); \
    options.field = (value);          \
    check_scorer_options(#field " is", &options)

    TRY_OPTION(views, -1);
    TRY_OPTION(views, 1025);
    TRY_OPTION(angles, -2);
    TRY_OPTION(angles, 2);
    TRY_OPTION(threads, 0);
    TRY_OPTION(threads, 257);
    TRY_OPTION(false_alarm_rate, 0);
    TRY_OPTION(false_alarm_rate, 1.0001);
    TRY_OPTION(false_alarm_rate, -1);
    TRY_OPTION(false_alarm_rate, (double)NAN);
#undef TRY_OPTION
    dn_scorer_options_init(&options);
    ck_assert_int_eq(options.views, 0);
    ck_assert_int_eq(options.angles, -1);
    ck_assert_int_eq(options.threads, 1);
    ck_assert_double_eq(options.false_alarm_rate, 0.05);
    dn_scorer *scorer;
    ck_status(dn_scorer_create(NULL, NULL, &scorer, NULL), DN_E_ARGUMENT);
}
END_TEST

START_TEST(scorer_use)
{
    const char *path = path_join(test_folder(), "good.png");
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score score, from_path;
    int32_t count;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    dn_model_unref(model); /* the scorer keeps it */
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count));
    ck_assert_int_eq(count, 0);
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_uint_eq(score.struct_size, sizeof score);
    ck_assert_int_eq(score.views, GOLDEN_VIEWS);
    ck_assert_int_eq(score.anomalous, 0);
    ck_assert_double_eq(score.threshold, 7.5);
    const double *views = dn_scorer_view_scores(scorer, &count);
    ck_assert_int_eq(count, GOLDEN_VIEWS);
    ck_assert_double_eq_tol(score.score, (views[0] + views[1] + views[2] + views[3]) / 4, 1e-12);

    ck_ok(dn_image_write_png(&view, path, NULL));
    dn_score_init(&from_path);
    ck_ok(dn_scorer_score_path(scorer, path, &from_path));
    ck_assert_mem_eq(&score, &from_path, sizeof score);
    ck_assert_int_eq(dn_scorer_error(scorer)->status, DN_OK);
    dn_scorer_free(scorer);
}
END_TEST

/* An older program's shorter dn_score gets as much as it has room for. */
START_TEST(scorer_short_struct)
{
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score score;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    memset(&score, 0x55, sizeof score);
    score.struct_size = 16;
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert(score.score > 1 && score.struct_size == 16);
    ck_assert_int_eq(score.views, 0x55555555);
    score.struct_size = 0;
    ck_status(dn_scorer_score(scorer, &view, &score), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "struct_size");
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, NULL));
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(scorer_bad_images)
{
    const char *folder = test_folder(), *path = path_join(folder, "tiny.png"), *absent = path_join(folder, "absent");
    static uint8_t pixels[8 * 3000 * 3];
    const int32_t sizes[][2] = {{1, 1}, {7, 100}, {3000, 1}, {8, 7}};
    dn_model *model = golden_model();
    dn_scorer *scorer;
    dn_score score;
    int32_t count;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    dn_score_init(&score);
    dn_pixels view = image();
    ck_ok(dn_scorer_score(scorer, &view, &score));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        view = rgb_view(pixels, sizes[i][0], sizes[i][1]);
        ck_status(dn_scorer_score(scorer, &view, &score), DN_E_ARGUMENT);
        check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "at least 8");
        ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count)); /* not those of the image before */
    }
    ck_ok(dn_image_write_png(&view, path, NULL));
    ck_status(dn_scorer_score_path(scorer, path, &score), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, path);
    ck_status(dn_scorer_score_path(scorer, absent, &score), DN_E_IO);
    check_error(dn_scorer_error(scorer), DN_E_IO, absent);
    write_file(path, "no image", 8);
    ck_status(dn_scorer_score_path(scorer, path, &score), DN_E_FORMAT);
    check_error(dn_scorer_error(scorer), DN_E_FORMAT, path);
    view = image();
    view.format = 9;
    ck_status(dn_scorer_score(scorer, &view, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_score(scorer, NULL, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_score(scorer, &view, NULL), DN_E_ARGUMENT);
    ck_status(dn_scorer_score_path(scorer, NULL, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_score(NULL, &view, &score), DN_E_ARGUMENT);
    view = rgb_view(pixels, 8, 3000); /* narrow, but allowed */
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_int_eq(dn_scorer_error(scorer)->status, DN_OK);
    ck_assert_ptr_null(dn_scorer_error(NULL));
    dn_scorer_free(scorer);
    dn_scorer_free(NULL);
    dn_model_unref(model);
}
END_TEST

/* The same picture in all formats has nearly the same score; gray ones in theirs. */
START_TEST(scorer_formats)
{
    static uint8_t other[PIXELS * 4];
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_scorer *scorer;
    dn_score expected, score;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    dn_score_init(&expected);
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &view, &expected));
    for (int i = 0; i < PIXELS; i++)
        for (int c = 0; c < 4; c++)
            other[4 * i + c] = c == 3 ? (uint8_t)i : image_bytes[3 * i + 2 - c];
    view.pixels = other;
    view.format = DN_BGRA8;
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_mem_eq(&score, &expected, sizeof score);
    /* the same, bottom-up with a stride */
    for (int y = 0; y < GOLDEN_SIZE; y++)
        memcpy(other + (GOLDEN_SIZE - 1 - y) * 400, image_bytes + y * GOLDEN_SIZE * 3, GOLDEN_SIZE * 3);
    view.pixels = other + (GOLDEN_SIZE - 1) * 400;
    view.stride = -400;
    view.format = DN_RGB8;
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_mem_eq(&score, &expected, sizeof score);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- localizer ---- */

static void check_localizer_options(const char *part, const dn_localizer_options *options)
{
    dn_model *model = golden_model();
    dn_localizer *localizer = NULL;
    dn_error error = {0};

    ck_status(dn_localizer_create(model, options, &localizer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, part);
    ck_assert_ptr_null(localizer);
    dn_model_unref(model);
}

START_TEST(localizer_options)
{
    dn_localizer_options options;
#define TRY_OPTION(field, value)         \
    dn_localizer_options_init(&options); \
    options.field = (value);             \
    check_localizer_options(#field " is", &options)

    TRY_OPTION(views, 0);
    TRY_OPTION(views, 1025);
    TRY_OPTION(angles, 2);
    TRY_OPTION(threads, 0);
    TRY_OPTION(threads, 257);
    TRY_OPTION(sigma, -0.1);
    TRY_OPTION(sigma, 64.1);
    TRY_OPTION(sigma, (double)NAN);
#undef TRY_OPTION
    dn_localizer_options_init(&options);
    ck_assert_int_eq(options.views, 16);
    ck_assert_int_eq(options.angles, -1);
    ck_assert_int_eq(options.threads, 1);
    ck_assert_double_eq(options.sigma, 3);
}
END_TEST

START_TEST(localizer_use)
{
    static float map[PIXELS];
    dn_localizer_options options;
    dn_localizer *localizer;
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_box boxes[8];
    int32_t count = -1;
    float peak = 0;

    dn_localizer_options_init(&options);
    options.views = GOLDEN_VIEWS;
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    dn_model_unref(model);
    ck_ok(dn_localizer_map(localizer, &view, map));
    for (int i = 0; i < PIXELS; i++) {
        ck_assert(map[i] >= 0);
        peak = map[i] > peak ? map[i] : peak;
    }
    ck_assert(peak > 1);
    ck_ok(dn_localizer_boxes(localizer, map, GOLDEN_SIZE, GOLDEN_SIZE, peak / 2, boxes, 8, &count));
    ck_assert_int_ge(count, 1);
    ck_assert(boxes[0].peak == peak);
    ck_assert_int_ge(boxes[0].area, 1);
    ck_assert_int_le(boxes[0].area, boxes[0].width * boxes[0].height);

    ck_status(dn_localizer_map(localizer, NULL, map), DN_E_ARGUMENT);
    ck_status(dn_localizer_map(localizer, &view, NULL), DN_E_ARGUMENT);
    check_error(dn_localizer_error(localizer), DN_E_ARGUMENT, "map is NULL");
    view.width = 7;
    ck_status(dn_localizer_map(localizer, &view, map), DN_E_ARGUMENT);
    check_error(dn_localizer_error(localizer), DN_E_ARGUMENT, "at least 8");
    ck_status(dn_localizer_map(NULL, &view, map), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 4, 4, 0, boxes, 8, &count), DN_E_ARGUMENT);
    ck_assert_int_eq(count, 0);
    ck_status(dn_localizer_boxes(localizer, map, 4, 4, NAN, boxes, 8, &count), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 0, 4, 1, boxes, 8, &count), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 65536, 65536, 1, boxes, 8, &count), DN_E_LIMIT);
    ck_status(dn_localizer_boxes(localizer, map, 4, 4, 1, NULL, 8, &count), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 4, 4, 1, boxes, -1, &count), DN_E_ARGUMENT);
    ck_status(dn_localizer_boxes(localizer, map, 4, 4, 1, boxes, 8, NULL), DN_E_ARGUMENT);
    ck_ok(dn_localizer_boxes(localizer, map, 4, 4, 1, NULL, 0, &count));
    for (int i = 0; i < 5; i++) {
        dn_box_options finding;
        dn_box_options_init(&finding);
        ck_assert(finding.threshold == 1 && finding.min_area == 1 && finding.gap == 0);
        finding.min_area = i == 0 ? 0 : 1;
        finding.gap = i == 1 ? -1 : i == 2 ? 257 : 0;
        finding.threshold = i == 3 ? 0 : 1;
        ck_status(dn_localizer_find_boxes(localizer, map, 4, 4, &finding, boxes, 8, &count),
                  i < 4 ? DN_E_ARGUMENT : DN_OK);
    }
    ck_ok(dn_localizer_find_boxes(localizer, map, 4, 4, NULL, boxes, 8, &count));
    float threshold;
    ck_status(dn_localizer_threshold(localizer, 0.1, &threshold, NULL), DN_E_STATE); /* a model without positions */
    check_error(dn_localizer_error(localizer), DN_E_STATE, "give a threshold");
    ck_status(dn_localizer_threshold(localizer, 0, &threshold, NULL), DN_E_ARGUMENT);
    check_error(dn_localizer_error(localizer), DN_E_ARGUMENT, "false_alarm_rate is 0");
    ck_status(dn_localizer_threshold(localizer, (double)NAN, &threshold, NULL), DN_E_ARGUMENT);
    ck_status(dn_localizer_threshold(localizer, 0.1, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_localizer_threshold(NULL, 0.1, &threshold, NULL), DN_E_ARGUMENT);
    ck_ok(dn_localizer_boxes(localizer, map, 4, 4, 1, NULL, 0, &count));
    ck_assert_int_eq(dn_localizer_error(localizer)->status, DN_OK);
    ck_assert_ptr_null(dn_localizer_error(NULL));
    dn_localizer_free(localizer);
    dn_localizer_free(NULL);
}
END_TEST

/* ---- threads ---- */

struct job {
    dn_model *model;
    double score;
    float map[PIXELS];
};

static void *use_model(void *argument)
{
    struct job *job = argument;
    dn_model *model = dn_model_ref(job->model);
    dn_pixels view = rgb_view(image_bytes, GOLDEN_SIZE, GOLDEN_SIZE);
    dn_localizer_options options;
    dn_scorer *scorer;
    dn_localizer *localizer;
    dn_score score;

    dn_score_init(&score);
    dn_localizer_options_init(&options);
    options.views = 2;
    options.threads = 2;
    if (dn_scorer_create(model, NULL, &scorer, NULL) == DN_OK && dn_scorer_score(scorer, &view, &score) == DN_OK)
        job->score = score.score;
    dn_scorer_free(scorer);
    if (dn_localizer_create(model, &options, &localizer, NULL) != DN_OK ||
        dn_localizer_map(localizer, &view, job->map) != DN_OK)
        job->score = -1;
    dn_localizer_free(localizer);
    dn_model_unref(model);
    return NULL;
}

/* One model, three threads, each with handles of its own: the same bits everywhere. */
START_TEST(one_model_many_threads)
{
    static struct job jobs[3];
    pthread_t threads[3];
    dn_model *model = golden_model();

    image();
    for (int i = 0; i < 3; i++) {
        jobs[i].model = model;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_model, &jobs[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    dn_model_unref(model);
    for (int i = 1; i < 3; i++) {
        ck_assert_double_eq(jobs[i].score, jobs[0].score);
        ck_assert_mem_eq(jobs[i].map, jobs[0].map, sizeof jobs[0].map);
    }
    ck_assert(jobs[0].score > 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_model");
    TCase *tests = tcase_create("api_model");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, model_arguments);
    tcase_add_test(tests, model_info);
    tcase_add_test(tests, model_save_and_open);
    tcase_add_test(tests, scorer_options);
    tcase_add_test(tests, scorer_use);
    tcase_add_test(tests, scorer_short_struct);
    tcase_add_test(tests, scorer_bad_images);
    tcase_add_test(tests, scorer_formats);
    tcase_add_test(tests, localizer_options);
    tcase_add_test(tests, localizer_use);
    tcase_add_test(tests, one_model_many_threads);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
