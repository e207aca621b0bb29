/* dn_extractor_* through the shared library, as a user calls it. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "support.h"

#define SIZE 64
#define PIXELS ((size_t)SIZE * SIZE * 3)

static dn_extractor_options make_options(int32_t size, int32_t scales, const dn_allocator *allocator)
{
    dn_extractor_options options;

    dn_extractor_options_init(&options);
    options.input_size = size;
    options.scales = scales;
    options.allocator = allocator;
    return options;
}

/* A small network with depthwise convolutions and three taps, 34 features a scale. */
static dn_extractor *open_mobile(const dn_allocator *allocator)
{
    dn_extractor_options options = make_options(SIZE, 2, allocator);
    dn_extractor *extractor = NULL;
    dn_error error = {0};
    dn_status status = dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), &options, &extractor, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return extractor;
}

#define DIMENSION (2 * 34)

static dn_extractor_info get_info(const dn_extractor *extractor)
{
    dn_extractor_info info;

    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(extractor, &info));
    return info;
}

static dn_pixels picture(uint32_t seed)
{
    static uint8_t rgb[90 * 70 * 3];

    draw_texture(rgb, 90, 70, seed);
    return rgb_view(rgb, 90, 70);
}

/* n views of a picture; malloc. */
static float *make_views(const dn_extractor *extractor, int32_t n)
{
    dn_pixels image = picture(3);
    double *angles = malloc((size_t)n * sizeof *angles);
    float *views = malloc((size_t)n * PIXELS * sizeof *views);

    for (int32_t i = 0; i < n; i++)
        angles[i] = i * 37.0 - 90;
    ck_ok(dn_extractor_views(extractor, &image, angles, n, views, NULL));
    free(angles);
    return views;
}

/* ---- options ---- */

START_TEST(options_have_defaults)
{
    dn_extractor_options options;
    dn_extractor_info info;

    memset(&options, 0xAA, sizeof options);
    dn_extractor_options_init(&options);
    ck_assert_uint_eq(options.struct_size, sizeof options);
    ck_assert_int_eq(options.input_size, 448);
    ck_assert_int_eq(options.scales, 3);
    ck_assert_int_eq(options.input_height, 0);
    ck_assert_ptr_null(options.allocator);
    memset(&info, 0xAA, sizeof info);
    dn_extractor_info_init(&info);
    ck_assert_uint_eq(info.struct_size, sizeof info);
    ck_assert_str_eq(info.name, "");
}
END_TEST

static dn_status open_with(const dn_extractor_options *options, dn_error *error)
{
    dn_extractor *extractor = (dn_extractor *)&extractor;
    dn_status status = dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), options, &extractor, error);

    ck_assert((status == DN_OK) == (extractor != NULL));
    dn_extractor_unref(extractor);
    return status;
}

START_TEST(options_are_checked)
{
    dn_allocator lame = {NULL, NULL, NULL};
    dn_extractor_options options = make_options(64, 2, NULL);
    dn_error error = {0};

    ck_ok(open_with(&options, &error));
    options.input_size = 65;
    ck_status(open_with(&options, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "multiple of 32"));
    options = make_options(64, 6, NULL);
    ck_status(open_with(&options, &error), DN_E_ARGUMENT);
    options = make_options(64, 2, NULL);
    options.input_height = 1;
    ck_status(open_with(&options, &error), DN_E_ARGUMENT);
    options = make_options(64, 2, &lame);
    ck_status(open_with(&options, &error), DN_E_ARGUMENT);
    options = make_options(64, 2, NULL);
    options.struct_size = 0;
    ck_status(open_with(&options, &error), DN_E_ARGUMENT);
}
END_TEST

/* A caller compiled against an older or a newer header. */
START_TEST(structs_of_other_versions)
{
    struct {
        dn_extractor_options known;
        int32_t tail[4];
    } longer;
    struct {
        dn_extractor_info known;
        int32_t tail[4];
    } longer_info;
    dn_extractor *extractor = NULL;

    dn_extractor_options_init_size(&longer.known, sizeof longer);
    longer.known.input_size = 64;
    ck_ok(dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), &longer.known, &extractor, NULL));
    dn_extractor_info_init_size(&longer_info.known, sizeof longer_info);
    ck_ok(dn_extractor_get_info(extractor, &longer_info.known));
    ck_assert_int_eq(longer_info.known.input_size, 64);
    ck_assert_int_eq(longer_info.known.scales, 3);
    ck_assert_int_eq(longer_info.tail[3], 0);
    dn_extractor_info older = {.struct_size = 2 * sizeof(int32_t), .scales = -7};
    ck_ok(dn_extractor_get_info(extractor, &older));
    ck_assert_int_eq(older.input_size, 64);
    ck_assert_int_eq(older.scales, -7);
    older.struct_size = 0;
    ck_status(dn_extractor_get_info(extractor, &older), DN_E_ARGUMENT);
    dn_extractor_unref(extractor);

    longer.tail[2] = 1;
    ck_status(open_with(&longer.known, NULL), DN_E_ARGUMENT);
    dn_extractor_options shorter = make_options(64, 99, NULL);
    shorter.struct_size = 2 * sizeof(int32_t); /* up to input_size: scales is the default */
    ck_ok(open_with(&shorter, NULL));
}
END_TEST

/* ---- opening ---- */

START_TEST(info_tells_all)
{
    dn_extractor *extractor = open_mobile(NULL);
    dn_extractor_info info = get_info(extractor);

    ck_assert_int_eq(info.input_size, SIZE);
    ck_assert_int_eq(info.scales, 2);
    ck_assert_int_eq(info.taps, 3);
    ck_assert_int_eq(info.feature_dim, DIMENSION);
    ck_assert_int_eq(info.random, 0);
    ck_assert_int_eq(info.layers, 13);
    ck_assert_int_eq(info.parameters, 216 + 8 + 72 + 8 + 96 + 12 + 108 + 192 + 16 + 288 + 6);
    ck_assert_float_eq(info.mean[1], 0.5f);
    ck_assert_float_eq(info.std[2], 0.5f);
    ck_assert_str_eq(info.name, "small random MobileNet");
    ck_assert_str_eq(dn_extractor_tap_name(extractor, 0), "relu6.5");
    ck_assert_str_eq(dn_extractor_tap_name(extractor, 1), "pw2");
    ck_assert_str_eq(dn_extractor_tap_name(extractor, 2), "head");
    ck_assert_ptr_null(dn_extractor_tap_name(extractor, 3));
    ck_assert_ptr_null(dn_extractor_tap_name(extractor, -1));
    ck_assert_ptr_null(dn_extractor_tap_name(NULL, 0));
    ck_status(dn_extractor_get_info(extractor, NULL), DN_E_ARGUMENT);
    ck_status(dn_extractor_get_info(NULL, &info), DN_E_ARGUMENT);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(path_and_memory_agree)
{
    const char *path = golden_path("cnn_alexnet.safetensors"); /* float16 */
    dn_extractor_options options = make_options(256, 3, NULL);
    dn_extractor *from_path, *from_memory;
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    ck_ok(dn_extractor_open_path(path, &options, &from_path, NULL));
    ck_ok(dn_extractor_open_memory(bytes, size, &options, &from_memory, NULL));
    memset(bytes, 0, size); /* nothing is kept of them */
    free(bytes);
    dn_extractor_info a = get_info(from_path), b = get_info(from_memory);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_eq(a.feature_dim, 30);
    ck_assert_str_eq(dn_extractor_tap_name(from_path, 0), "features.12");
    dn_extractor_unref(from_path);
    dn_extractor_unref(from_memory);
}
END_TEST

START_TEST(bad_files_are_refused)
{
    const char *path = path_join(test_folder(), "cut.safetensors");
    dn_extractor_options options = make_options(64, 2, NULL);
    dn_extractor *extractor;
    dn_error error = {0};
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);

    ck_status(dn_extractor_open_path(path, &options, &extractor, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_status(dn_extractor_open_path("/", &options, &extractor, &error), DN_E_IO);
    write_file(path, bytes, size - 1);
    ck_status(dn_extractor_open_path(path, &options, &extractor, &error), DN_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_assert_int_eq(error.status, DN_E_FORMAT);
    for (size_t cut = 0; cut < size; cut += 97)
        ck_status(dn_extractor_open_memory(bytes, cut, &options, &extractor, &error), DN_E_FORMAT);
    ck_assert_ptr_null(extractor);
    free(bytes);

    options = make_options(224, 3, NULL);
    ck_status(dn_extractor_open_path(golden_path("cnn_alexnet.safetensors"), &options, &extractor, &error),
              DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "256"));
    ck_status(dn_extractor_open_path(golden_path("cnn_results.safetensors"), NULL, &extractor, &error),
              DN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "cnn_results.safetensors"));
}
END_TEST

/* Any byte of a file may be wrong: an error or another network, never worse. */
START_TEST(damaged_files_do_no_harm)
{
    dn_extractor_options options = make_options(64, 2, NULL);
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);

    for (size_t i = 0; i < size && i < 3000; i += 3) {
        dn_extractor *extractor = NULL;
        uint8_t kept = bytes[i];
        bytes[i] = (uint8_t)(kept ^ (1u << (i / 3 % 8)));
        dn_status status = dn_extractor_open_memory(bytes, size, &options, &extractor, NULL);
        ck_assert((status == DN_OK) == (extractor != NULL));
        dn_extractor_unref(extractor);
        bytes[i] = kept;
    }
    free(bytes);
}
END_TEST

/* The small network's file with more entries at the start of its metadata; malloc. */
static uint8_t *annotated_file(size_t *size)
{
    static const char opening[] = "{\"__metadata__\":{";
    static const char notes[] = "\"training\":\"\\u00e9poques: 3\\n\",\"differnet.random\":\"0\","
                                "\"differnet.own\":\"x\",\"\":\"\",";
    size_t from = 8 + sizeof opening - 1, added = sizeof notes - 1, rest;
    uint8_t *file = read_file(golden_path("cnn_mobile.safetensors"), size), *longer = malloc(*size + added);
    uint64_t header;

    ck_assert_mem_eq(file + 8, opening, sizeof opening - 1);
    memcpy(&header, file, sizeof header);
    header += added;
    rest = *size - from;
    memcpy(longer, &header, sizeof header);
    memcpy(longer + 8, opening, sizeof opening - 1);
    memcpy(longer + from, notes, added);
    memcpy(longer + from + added, file + from, rest);
    *size += added;
    free(file);
    return longer;
}

START_TEST(metadata_is_kept)
{
    static const char *const expected[][2] = {{"training", "\xC3\xA9poques: 3\n"}, {"differnet.own", "x"}, {"", ""}};
    dn_extractor_options options = make_options(SIZE, 2, NULL);
    dn_extractor *extractor, *bare = open_mobile(NULL);
    const char *value = "untouched";
    size_t size;
    uint8_t *bytes = annotated_file(&size);

    ck_ok(dn_extractor_open_memory(bytes, size, &options, &extractor, NULL));
    memset(bytes, 0, size); /* nothing is kept of them */
    free(bytes);
    ck_assert_uint_eq(get_info(extractor).id, get_info(bare).id);
    ck_assert_str_eq(get_info(extractor).name, get_info(bare).name);
    ck_assert_ptr_null(dn_extractor_metadata(bare, 0, &value));
    ck_assert_ptr_null(dn_extractor_metadata(extractor, 3, &value));
    ck_assert_ptr_null(dn_extractor_metadata(extractor, -1, &value));
    ck_assert_ptr_null(dn_extractor_metadata(extractor, INT32_MAX, &value));
    ck_assert_ptr_null(dn_extractor_metadata(extractor, 0, NULL));
    ck_assert_ptr_null(dn_extractor_metadata(NULL, 0, &value));
    ck_assert_str_eq(value, "untouched");
    for (int32_t i = 0; i < 3; i++) {
        ck_assert_str_eq(dn_extractor_metadata(extractor, i, &value), expected[i][0]);
        ck_assert_str_eq(value, expected[i][1]);
    }
    dn_extractor_unref(bare);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(random_is_alexnet)
{
    dn_extractor *extractor, *other;
    const char *value;

    ck_ok(dn_extractor_random(NULL, 0, NULL, &extractor, NULL));
    dn_extractor_info info = get_info(extractor);
    ck_assert_int_eq(info.random, 1);
    ck_assert_int_eq(info.input_size, 448);
    ck_assert_int_eq(info.scales, 3);
    ck_assert_int_eq(info.feature_dim, 768);
    ck_assert_int_eq(info.parameters, 2469696);
    ck_assert_str_eq(info.name, "random AlexNet (seed 0)");
    ck_assert_ptr_null(dn_extractor_metadata(extractor, 0, &value));
    ck_ok(dn_extractor_random(NULL, 1, NULL, &other, NULL));
    ck_assert_uint_ne(get_info(other).id, info.id);
    dn_extractor_unref(other);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(random_checks_its_channels)
{
    const int32_t channels[5] = {4, 6, 8, 6, -1}, good[5] = {4, 6, 8, 6, 10};
    dn_extractor_options options = make_options(256, 3, NULL);
    dn_extractor *extractor;
    dn_error error = {0};

    ck_status(dn_extractor_random(channels, 1, &options, &extractor, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(extractor);
    ck_assert_ptr_nonnull(strstr(error.message, "channels[4] is -1"));
    ck_ok(dn_extractor_random(good, 1, &options, &extractor, &error));
    ck_assert_int_eq(get_info(extractor).feature_dim, 30);
    ck_assert_ptr_eq(dn_extractor_ref(extractor), extractor);
    dn_extractor_unref(extractor);
    ck_assert_int_eq(get_info(extractor).random, 1);
    dn_extractor_unref(extractor);
    dn_extractor_unref(NULL);
    ck_assert_ptr_null(dn_extractor_ref(NULL));
}
END_TEST

/* ---- views ---- */

START_TEST(views_are_normalised)
{
    dn_extractor *extractor = open_mobile(NULL); /* mean and std are 0.5 */
    static uint8_t gray[20 * 10];
    dn_pixels image = {.pixels = gray, .width = 20, .height = 10, .format = DN_GRAY8};
    const double angles[2] = {0, 45};
    float *views = malloc(2 * PIXELS * sizeof *views);

    memset(gray, 204, sizeof gray);
    ck_ok(dn_extractor_views(extractor, &image, angles, 2, views, NULL));
    for (size_t i = 0; i < PIXELS; i++)
        ck_assert_float_eq_tol(views[i], 0.6f, 1e-4f); /* (0.8 - 0.5) / 0.5 */
    for (size_t c = 0; c < 3; c++) {
        ck_assert_float_eq_tol(views[PIXELS + c], -1.0f, 1e-6f); /* a black corner */
        ck_assert_float_eq_tol(views[PIXELS + PIXELS / 2 + SIZE / 2 * 3 + c], 0.6f, 1e-4f);
    }
    free(views);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- features ---- */

START_TEST(features_of_image_and_views_agree)
{
    enum { N = 8 };
    dn_extractor *extractor = open_mobile(NULL);
    dn_pixels image = picture(3);
    double angles[N];
    float *views = make_views(extractor, N), together[N * DIMENSION], direct[N * DIMENSION], single[DIMENSION];

    for (int i = 0; i < N; i++)
        angles[i] = i * 37.0 - 90;
    ck_ok(dn_extractor_features(extractor, views, N, together, NULL));
    ck_ok(dn_extractor_features_image(extractor, &image, angles, N, direct, NULL));
    ck_assert_mem_eq(together, direct, sizeof direct);
    for (int i = 0; i < N; i++) {
        ck_ok(dn_extractor_features(extractor, views + (size_t)i * PIXELS, 1, single, NULL));
        ck_assert_double_lt(max_abs_difference(single, together + i * DIMENSION, DIMENSION), 1e-6);
    }
    ck_assert_double_gt(max_abs_difference(together, together + DIMENSION, DIMENSION), 1e-3);
    free(views);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(gradient_is_linear_and_separate)
{
    enum { N = 3 };
    dn_extractor *extractor = open_mobile(NULL);
    float *views = make_views(extractor, N), factors[N * DIMENSION];
    float *all = malloc(N * PIXELS * sizeof *all), *one = malloc(PIXELS * sizeof *one);

    for (int i = 0; i < N * DIMENSION; i++)
        factors[i] = (float)(i % 7 - 3);
    ck_ok(dn_extractor_gradient(extractor, views, N, factors, all, NULL));
    for (int i = 0; i < N; i++) {
        ck_ok(dn_extractor_gradient(extractor, views + (size_t)i * PIXELS, 1, factors + i * DIMENSION, one, NULL));
        ck_assert_double_lt(max_abs_difference(one, all + (size_t)i * PIXELS, PIXELS), 1e-5 * max_abs(one, PIXELS));
    }
    ck_assert_double_gt(max_abs(one, PIXELS), 0);
    for (int i = 0; i < DIMENSION; i++)
        factors[i] *= 2; /* exact in binary */
    ck_ok(dn_extractor_gradient(extractor, views, 1, factors, one, NULL));
    for (size_t i = 0; i < PIXELS; i++)
        ck_assert_float_eq(one[i], 2 * all[i]);
    memset(factors, 0, sizeof factors);
    ck_ok(dn_extractor_gradient(extractor, views, 1, factors, one, NULL));
    ck_assert_double_eq(max_abs(one, PIXELS), 0);
    free(one);
    free(all);
    free(views);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- threads ---- */

struct job {
    dn_extractor *extractor;
    const float *views;
    float features[2 * DIMENSION];
    float *gradient;
    dn_status status;
};

static void *run_job(void *argument)
{
    struct job *job = argument;
    float factors[DIMENSION];

    for (int i = 0; i < DIMENSION; i++)
        factors[i] = (float)(i % 5 - 2);
    dn_extractor *mine = dn_extractor_ref(job->extractor);
    job->status = dn_extractor_features(mine, job->views, 2, job->features, NULL);
    if (job->status == DN_OK)
        job->status = dn_extractor_gradient(mine, job->views, 1, factors, job->gradient, NULL);
    dn_extractor_unref(mine);
    return NULL;
}

START_TEST(threads_share_an_extractor)
{
    enum { THREADS = 3 };
    static struct job jobs[THREADS + 1];
    pthread_t threads[THREADS];
    dn_extractor *extractor = open_mobile(NULL);
    float *views = make_views(extractor, 2);

    for (int i = 0; i <= THREADS; i++)
        jobs[i] = (struct job){.extractor = extractor, .views = views, .gradient = malloc(PIXELS * sizeof(float))};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    run_job(&jobs[THREADS]);
    for (int i = 0; i <= THREADS; i++) {
        ck_ok(jobs[i].status);
        ck_assert_mem_eq(jobs[i].features, jobs[THREADS].features, sizeof jobs[i].features);
        ck_assert_mem_eq(jobs[i].gradient, jobs[THREADS].gradient, PIXELS * sizeof(float));
    }
    for (int i = 0; i <= THREADS; i++)
        free(jobs[i].gradient);
    free(views);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- refusals ---- */

START_TEST(not_finite_is_refused)
{
    dn_extractor *extractor = open_mobile(NULL);
    float *views = make_views(extractor, 2), features[2 * DIMENSION], factors[DIMENSION] = {0};
    float *gradient = malloc(2 * PIXELS * sizeof *gradient);
    dn_error error = {0};

    views[PIXELS + 77] = NAN;
    ck_status(dn_extractor_features(extractor, views, 2, features, &error), DN_E_NUMERIC);
    ck_assert_str_eq(error.message, "views: view 1 has a value that is not a finite number");
    ck_ok(dn_extractor_features(extractor, views, 1, features, &error));
    ck_status(dn_extractor_gradient(extractor, views + PIXELS, 1, factors, gradient, &error), DN_E_NUMERIC);
    views[PIXELS + 77] = -INFINITY;
    ck_status(dn_extractor_features(extractor, views, 2, features, &error), DN_E_NUMERIC);
    factors[5] = INFINITY;
    ck_status(dn_extractor_gradient(extractor, views, 1, factors, gradient, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "feature_gradient"));
    free(gradient);
    free(views);
    dn_extractor_unref(extractor);
}
END_TEST

/* The small network with a first layer of enormous weights: black (0) pixels pass it, but not the gradient. */
static dn_extractor *open_steep(void)
{
    dn_extractor_options options = make_options(SIZE, 2, NULL);
    dn_extractor *extractor = NULL;
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);
    uint64_t header;

    memcpy(&header, bytes, sizeof header);
    for (size_t i = 0; i < 8 * 3 * 3 * 3; i++) { /* conv0.weight, the file's first tensor */
        float weight;
        memcpy(&weight, bytes + 8 + header + 4 * i, sizeof weight);
        weight *= 1e30f;
        memcpy(bytes + 8 + header + 4 * i, &weight, sizeof weight);
    }
    ck_ok(dn_extractor_open_memory(bytes, size, &options, &extractor, NULL));
    free(bytes);
    return extractor;
}

START_TEST(overflow_is_refused)
{
    dn_extractor *extractor = open_steep();
    float *view = calloc(PIXELS, sizeof *view), *gradient = malloc(PIXELS * sizeof *gradient);
    float features[DIMENSION], factors[DIMENSION];
    dn_error error = {0};

    for (int i = 0; i < DIMENSION; i++)
        factors[i] = 1e20f;
    ck_ok(dn_extractor_features(extractor, view, 1, features, &error));
    ck_status(dn_extractor_gradient(extractor, view, 1, factors, gradient, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "pixel_gradient"));
    dn_extractor_unref(extractor);

    const int32_t channels[5] = {4, 6, 8, 6, 4};
    dn_extractor_options options = make_options(64, 1, NULL);
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    for (size_t i = 0; i < PIXELS; i++)
        view[i] = i % 2 ? 3e38f : -3e38f;
    ck_status(dn_extractor_features(extractor, view, 1, features, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "features"));
    dn_extractor_unref(extractor);
    free(gradient);
    free(view);
}
END_TEST

START_TEST(arguments_are_checked)
{
    dn_extractor *extractor = open_mobile(NULL), *out = extractor;
    dn_pixels image = picture(1), bad = image;
    float *view = make_views(extractor, 1), *gradient = malloc(PIXELS * sizeof *gradient), features[DIMENSION];
    double angle = 0, endless = INFINITY;
    dn_error error = {0};

    ck_status(dn_extractor_open_path(NULL, NULL, &out, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(out);
    ck_assert_ptr_nonnull(strstr(error.message, "path is NULL"));
    ck_status(dn_extractor_open_path("x", NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_open_memory(NULL, 3, NULL, &out, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_open_memory("x", 1, NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_random(NULL, 0, NULL, NULL, NULL), DN_E_ARGUMENT);

    ck_status(dn_extractor_views(NULL, &image, &angle, 1, view, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_views(extractor, NULL, &angle, 1, view, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_views(extractor, &image, NULL, 1, view, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_views(extractor, &image, &angle, 1, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_views(extractor, &image, &angle, 0, view, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_views(extractor, &image, &endless, 1, view, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "angles[0]"));
    bad.format = 99;
    ck_status(dn_extractor_views(extractor, &bad, &angle, 1, view, &error), DN_E_ARGUMENT);

    ck_status(dn_extractor_features(NULL, view, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features(extractor, NULL, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features(extractor, view, 1, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features(extractor, view, 65537, features, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "from 1 to 65536"));
    ck_status(dn_extractor_features(extractor, view, -1, features, NULL), DN_E_ARGUMENT);

    ck_status(dn_extractor_features_image(NULL, &image, &angle, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features_image(extractor, NULL, &angle, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features_image(extractor, &image, NULL, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features_image(extractor, &image, &angle, 1, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features_image(extractor, &image, &endless, 1, features, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features_image(extractor, &image, &angle, 0, features, &error), DN_E_ARGUMENT);

    ck_status(dn_extractor_gradient(NULL, view, 1, features, gradient, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_gradient(extractor, NULL, 1, features, gradient, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_gradient(extractor, view, 1, NULL, gradient, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_gradient(extractor, view, 1, features, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_gradient(extractor, view, 0, features, gradient, &error), DN_E_ARGUMENT);
    free(gradient);
    free(view);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- memory ---- */

enum call { OPEN_PATH, OPEN_MEMORY, RANDOM, VIEWS, FEATURES, FEATURES_IMAGE, GRADIENT, CALLS };

struct scene {
    dn_extractor *extractor; /* made with the failing allocator */
    dn_extractor_options options;
    uint8_t *bytes;
    size_t size;
    float *views, *pixels, features[DIMENSION];
};

static dn_status make_call(struct scene *b, enum call call, dn_extractor **out, dn_error *error)
{
    const int32_t channels[5] = {2, 2, 2, 2, 2};
    const double angle = 10;
    dn_pixels image = picture(2);
    dn_extractor_options options = b->options;

    switch (call) {
    case OPEN_PATH:
        return dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), &options, out, error);
    case OPEN_MEMORY:
        return dn_extractor_open_memory(b->bytes, b->size, &options, out, error);
    case RANDOM:
        options.scales = 1;
        return dn_extractor_random(channels, 1, &options, out, error);
    case VIEWS:
        return dn_extractor_views(b->extractor, &image, &angle, 1, b->pixels, error);
    case FEATURES:
        return dn_extractor_features(b->extractor, b->views, 1, b->features, error);
    case FEATURES_IMAGE:
        return dn_extractor_features_image(b->extractor, &image, &angle, 1, b->features, error);
    default:
        return dn_extractor_gradient(b->extractor, b->views, 1, b->features, b->pixels, error);
    }
}

START_TEST(allocations_may_fail)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    struct scene b = {.options = make_options(SIZE, 2, &allocator), .extractor = open_mobile(&allocator)};
    dn_status status = DN_E_MEMORY;
    long before, fail_at = 0;

    b.bytes = annotated_file(&b.size);
    b.views = make_views(b.extractor, 1);
    b.pixels = malloc(PIXELS * sizeof *b.pixels);
    before = memory.live;
    while (status == DN_E_MEMORY) {
        dn_extractor *out = NULL;
        dn_error error = {0};
        memory.calls = 0;
        memory.fail_at = ++fail_at;
        status = make_call(&b, (enum call)_i, &out, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert(status == DN_OK || out == NULL);
        dn_extractor_unref(out);
        ck_assert_int_eq(memory.live, before);
    }
    ck_ok(status);
    ck_assert_int_ge(fail_at, 2);
    free(b.pixels);
    free(b.views);
    free(b.bytes);
    dn_extractor_unref(b.extractor);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_extractor");
    TCase *tcase = tcase_create("api_extractor");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, options_have_defaults);
    tcase_add_test(tcase, options_are_checked);
    tcase_add_test(tcase, structs_of_other_versions);
    tcase_add_test(tcase, info_tells_all);
    tcase_add_test(tcase, path_and_memory_agree);
    tcase_add_test(tcase, bad_files_are_refused);
    tcase_add_test(tcase, damaged_files_do_no_harm);
    tcase_add_test(tcase, metadata_is_kept);
    tcase_add_test(tcase, random_is_alexnet);
    tcase_add_test(tcase, random_checks_its_channels);
    tcase_add_test(tcase, views_are_normalised);
    tcase_add_test(tcase, features_of_image_and_views_agree);
    tcase_add_test(tcase, gradient_is_linear_and_separate);
    tcase_add_test(tcase, threads_share_an_extractor);
    tcase_add_test(tcase, not_finite_is_refused);
    tcase_add_test(tcase, overflow_is_refused);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_loop_test(tcase, allocations_may_fail, 0, CALLS);
    suite_add_tcase(suite, tcase);
    return suite;
}

TEST_MAIN(make_suite)
