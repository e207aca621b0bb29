/* dn_extractor_default: the backbone that is compiled into the library, or that there is none.  Nothing here depends on
 * its numbers.  EMBED_BACKBONE: 1 or 0, how the library was configured; DEFAULT_BACKBONE: the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "support.h"

#define MAX_FILE 6000000 /* bytes: every installation carries them */

static dn_extractor_options make_options(int32_t size, int32_t scales, const dn_allocator *allocator)
{
    dn_extractor_options options;

    dn_extractor_options_init(&options);
    options.input_size = size;
    options.scales = scales;
    options.allocator = allocator;
    return options;
}

START_TEST(options_are_checked)
{
    dn_extractor_options options = make_options(65, 1, NULL);
    dn_extractor *extractor = (dn_extractor *)&options;
    dn_error error = {0};

    ck_status(dn_extractor_default(NULL, NULL, &error), DN_E_ARGUMENT);
    options.input_height = -1;
    ck_status(dn_extractor_default(&options, &extractor, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(extractor);
    ck_assert_ptr_nonnull(strstr(error.message, "input_height"));
}
END_TEST

/* ---- with a built-in backbone ---- */

static dn_extractor *open_default(int32_t size, int32_t scales)
{
    dn_extractor_options options = make_options(size, scales, NULL);
    dn_extractor *extractor = NULL;
    dn_error error = {0};
    dn_status status = dn_extractor_default(&options, &extractor, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return extractor;
}

static dn_extractor *open_file(int32_t size, int32_t scales)
{
    dn_extractor_options options = make_options(size, scales, NULL);
    dn_extractor *extractor = NULL;
    size_t bytes;
    uint8_t *file = read_file(DEFAULT_BACKBONE, &bytes);

    ck_assert_uint_le(bytes, MAX_FILE);
    ck_ok(dn_extractor_open_memory(file, bytes, &options, &extractor, NULL));
    free(file);
    return extractor;
}

static dn_extractor_info get_info(const dn_extractor *extractor)
{
    dn_extractor_info info;

    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(extractor, &info));
    return info;
}

/* Features of a picture; malloc. */
static float *make_features(const dn_extractor *extractor)
{
    static uint8_t rgb[300 * 200 * 3];
    const double angle = 33;
    float *features = malloc((size_t)get_info(extractor).feature_dim * sizeof *features);

    draw_texture(rgb, 300, 200, 4);
    dn_pixels image = rgb_view(rgb, 300, 200);
    ck_ok(dn_extractor_features_image(extractor, &image, &angle, 1, features, NULL));
    return features;
}

START_TEST(it_is_a_trained_one)
{
    dn_extractor *extractor;

    ck_ok(dn_extractor_default(NULL, &extractor, NULL));
    dn_extractor_info info = get_info(extractor);
    ck_assert_int_eq(info.random, 0);
    ck_assert_int_eq(info.input_size, 448);
    ck_assert_int_eq(info.scales, 3);
    ck_assert_int_gt(info.feature_dim, 0);
    ck_assert_int_eq(info.feature_dim % 2, 0); /* a flow splits it */
    ck_assert_int_gt(info.parameters, 0);
    ck_assert_str_ne(info.name, "");
    for (int32_t i = 0; i < info.taps; i++)
        ck_assert_ptr_nonnull(dn_extractor_tap_name(extractor, i));
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(it_equals_its_file)
{
    dn_extractor *built_in = open_default(64, 1), *file = open_file(64, 1);
    dn_extractor_info a = get_info(built_in), b = get_info(file);
    const char *key, *value, *same;
    int32_t notes = 0;

    ck_assert_mem_eq(&a, &b, sizeof a);
    for (; (key = dn_extractor_metadata(file, notes, &value)); notes++) {
        ck_assert_str_eq(dn_extractor_metadata(built_in, notes, &same), key);
        ck_assert_str_eq(same, value);
    }
    ck_assert_ptr_null(dn_extractor_metadata(built_in, notes, &same));
    dn_extractor_unref(file);
    dn_extractor_unref(built_in);
}
END_TEST

static const struct {
    int32_t size, scales;
} inputs[] = {{64, 1}, {256, 3}, {448, 3}};

START_TEST(features_are_its_files)
{
    dn_extractor *built_in = open_default(inputs[_i].size, inputs[_i].scales);
    dn_extractor *file = open_file(inputs[_i].size, inputs[_i].scales);
    float *features = make_features(built_in), *expected = make_features(file);
    size_t dimension = (size_t)get_info(built_in).feature_dim;

    for (size_t i = 0; i < dimension; i++)
        ck_assert(isfinite(features[i]));
    ck_assert_double_gt(max_abs(features, dimension), 0);
    ck_assert_mem_eq(features, expected, dimension * sizeof *features);
    free(expected);
    free(features);
    dn_extractor_unref(file);
    dn_extractor_unref(built_in);
}
END_TEST

START_TEST(allocations_may_fail)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor_options options = make_options(64, 1, &allocator);
    dn_status status = DN_E_MEMORY;
    long fail_at = 0;

    while (status == DN_E_MEMORY) {
        dn_extractor *extractor = (dn_extractor *)&options;
        dn_error error = {0};
        memory.calls = 0;
        memory.fail_at = ++fail_at;
        status = dn_extractor_default(&options, &extractor, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert((status == DN_OK) == (extractor != NULL));
        dn_extractor_unref(extractor);
        ck_assert_int_eq(memory.live, 0);
    }
    ck_ok(status);
    ck_assert_int_gt(fail_at, 5);
}
END_TEST

/* ---- without ---- */

START_TEST(absence_is_told)
{
    dn_extractor *extractor = (dn_extractor *)&inputs;
    dn_error error = {0};

    ck_status(dn_extractor_default(NULL, &extractor, &error), DN_E_UNSUPPORTED);
    ck_assert_ptr_null(extractor);
    ck_assert_int_eq(error.status, DN_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "embed_backbone=false"));
    ck_assert_ptr_nonnull(strstr(error.message, "dn_extractor_open_path"));
    ck_status(dn_extractor_default(NULL, &extractor, NULL), DN_E_UNSUPPORTED);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create(EMBED_BACKBONE ? "api_default" : "api_default (built without a backbone)");
    TCase *tcase = tcase_create("api_default");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, options_are_checked);
    if (EMBED_BACKBONE) {
        tcase_add_test(tcase, it_is_a_trained_one);
        tcase_add_test(tcase, it_equals_its_file);
        tcase_add_loop_test(tcase, features_are_its_files, 0, sizeof inputs / sizeof *inputs);
        tcase_add_test(tcase, allocations_may_fail);
    } else {
        tcase_add_test(tcase, absence_is_told);
    }
    suite_add_tcase(suite, tcase);
    return suite;
}

TEST_MAIN(make_suite)
