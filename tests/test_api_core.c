/* The API's common rules: versions, statuses, blobs, option and output structs of other versions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi_layout.h"
#include "support.h"

static dn_error error;

START_TEST(test_version)
{
    char expected[32];

    snprintf(expected, sizeof expected, "%d.%d.%d", DN_VERSION_MAJOR, DN_VERSION_MINOR, DN_VERSION_PATCH);
    ck_assert_str_eq(dn_version(), expected);
}
END_TEST

START_TEST(test_status_strings)
{
    for (dn_status status = DN_E_THREAD; status <= DN_OK; status++) {
        const char *name = dn_status_string(status);
        ck_assert_ptr_nonnull(name);
        ck_assert_str_ne(name, "unknown status");
        for (dn_status other = DN_E_THREAD; other < status; other++)
            ck_assert_str_ne(name, dn_status_string(other));
    }
    ck_assert_str_eq(dn_status_string(DN_E_MEMORY), "out of memory");
    ck_assert_str_eq(dn_status_string(1), "unknown status");
    ck_assert_str_eq(dn_status_string(DN_E_THREAD - 1), "unknown status");
    ck_assert_str_eq(dn_status_string(INT32_MIN), "unknown status");
}
END_TEST

START_TEST(test_null_handles)
{
    ck_assert_ptr_null(dn_blob_data(NULL));
    ck_assert_uint_eq(dn_blob_size(NULL), 0);
    dn_blob_free(NULL);
    dn_image_free(NULL);
    dn_extractor_unref(NULL);
    dn_flow_unref(NULL);
    dn_model_unref(NULL);
    dn_scorer_free(NULL);
    dn_localizer_free(NULL);
    dn_trainer_free(NULL);
}
END_TEST

START_TEST(test_blob)
{
    static const uint8_t pixels[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    dn_pixels view = rgb_view(pixels, 2, 2);
    dn_blob *blob;

    ck_ok(dn_image_encode_png(&view, &blob, &error));
    ck_assert_uint_gt(dn_blob_size(blob), 8);
    ck_assert_mem_eq(dn_blob_data(blob), "\x89PNG\r\n\x1A\n", 8);
    dn_blob_free(blob);
}
END_TEST

START_TEST(test_blas)
{
    int32_t before = dn_blas_threads();

    ck_assert_int_ge(before, DN_OPENBLAS);
    ck_status(dn_blas_set_threads(0), DN_E_ARGUMENT);
    ck_status(dn_blas_set_threads(1025), DN_E_ARGUMENT);
    ck_assert_int_eq(dn_blas_threads(), before);
    if (!DN_OPENBLAS) {
        ck_status(dn_blas_set_threads(1), DN_E_UNSUPPORTED);
        ck_assert_int_eq(before, 0);
        ck_assert_str_eq(dn_blas_corename(), "none");
        return;
    }
    ck_ok(dn_blas_set_threads(1));
    ck_assert_int_eq(dn_blas_threads(), 1);
    ck_ok(dn_blas_set_threads(before));
    ck_assert_uint_gt(strlen(dn_blas_corename()), 0);
}
END_TEST

/* ---- option structs ---- */

/* Options of a later version: 24 bytes longer. */
typedef struct later_options {
    dn_flow_options known;
    uint8_t tail[24];
} later_options;

/* Options of an earlier version: they ended before `clamp`. */
typedef struct earlier_options {
    uint32_t struct_size;
    int32_t dimension, blocks, hidden;
} earlier_options;

static later_options small_flow(void)
{
    later_options options;

    dn_flow_options_init_size(&options.known, sizeof options);
    options.known.dimension = 4;
    options.known.blocks = 2;
    options.known.hidden = 3;
    return options;
}

static dn_status create(const dn_flow_options *options)
{
    dn_flow *flow = (dn_flow *)&error; /* not NULL, to see that a failure sets it */
    dn_status status = dn_flow_create(options, &flow, &error);

    if (status != DN_OK) {
        ck_assert_ptr_null(flow);
        ck_assert_int_eq(error.status, status);
        ck_assert_uint_gt(strlen(error.message), 0);
    }
    dn_flow_unref(flow);
    return status;
}

START_TEST(test_longer_options)
{
    later_options options = small_flow();

    ck_assert_uint_eq(options.known.struct_size, sizeof options);
    for (size_t i = 0; i < sizeof options.tail; i++)
        ck_assert_uint_eq(options.tail[i], 0);
    ck_ok(create(&options.known));
    for (size_t i = 0; i < sizeof options.tail; i++) {
        options.tail[i] = 1;
        ck_status(create(&options.known), DN_E_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.message, "does not know"));
        ck_assert_ptr_nonnull(strstr(error.message, dn_version()));
        options.tail[i] = 0;
    }
    /* Bytes behind struct_size are none of the library's business. */
    options.tail[23] = 1;
    options.known.struct_size = sizeof options - 1;
    ck_ok(create(&options.known));
}
END_TEST

/* What an earlier version did not have keeps its default. */
START_TEST(test_shorter_options)
{
    earlier_options *options = malloc(sizeof *options); /* on the heap, so that a read beyond is seen */
    dn_flow_options info;
    dn_flow *flow;

    ck_assert_ptr_nonnull(options);
    dn_flow_options_init_size((dn_flow_options *)(void *)options, sizeof *options);
    ck_assert_uint_eq(options->struct_size, sizeof *options);
    options->dimension = 4;
    options->blocks = 2;
    options->hidden = 3;
    ck_ok(dn_flow_create((dn_flow_options *)(void *)options, &flow, &error));
    dn_flow_options_init(&info);
    ck_ok(dn_flow_get_info(flow, &info));
    ck_assert_int_eq(info.dimension, 4);
    ck_assert_int_eq(info.blocks, 2);
    ck_assert_int_eq(info.hidden, 3);
    ck_assert_double_eq(info.clamp, 3);
    ck_assert_uint_eq(info.seed, 0);
    dn_flow_unref(flow);
    free(options);
}
END_TEST

START_TEST(test_bad_struct_size)
{
    static const uint32_t sizes[] = {0, 1, 4, 7, 4097, UINT32_MAX};
    dn_flow_options *options = calloc(1, 8192);

    ck_assert_ptr_nonnull(options);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *options = small_flow().known;
        options->struct_size = sizes[i];
        ck_status(create(options), DN_E_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.message, "struct_size"));
        ck_assert_ptr_nonnull(strstr(error.message, "init macro"));
    }
    *options = small_flow().known;
    options->struct_size = 4096;
    ck_ok(create(options));
    free(options);
}
END_TEST

START_TEST(test_init_of_odd_sizes)
{
    uint8_t bytes[64];

    memset(bytes, 0xAA, sizeof bytes);
    dn_flow_options_init_size((dn_flow_options *)(void *)bytes, 3); /* too small for struct_size: left alone */
    dn_flow_options_init_size((dn_flow_options *)(void *)bytes, 4097);
    dn_flow_options_init_size(NULL, sizeof(dn_flow_options));
    for (size_t i = 0; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0xAA);
    dn_flow_options_init_size((dn_flow_options *)(void *)bytes, 20);
    for (size_t i = 20; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0xAA);
}
END_TEST

/* Defaults as the header documents them. */
START_TEST(test_defaults)
{
    dn_image_options image;
    dn_extractor_options extractor;
    dn_flow_options flow;
    dn_model_options model;
    dn_scorer_options scorer;
    dn_localizer_options localizer;

    dn_image_options_init(&image);
    ck_assert(image.struct_size == sizeof image && image.max_pixels == 64 << 20 && image.max_bytes == 1 << 30);
    ck_assert_ptr_null(image.allocator);
    dn_extractor_options_init(&extractor);
    ck_assert(extractor.struct_size == sizeof extractor && extractor.input_size == 448 && extractor.scales == 3);
    ck_assert_ptr_null(extractor.allocator);
    dn_flow_options_init(&flow);
    ck_assert(flow.struct_size == sizeof flow && flow.dimension == 768 && flow.blocks == 8 && flow.hidden == 512);
    ck_assert(flow.clamp == 3 && flow.seed == 0 && !flow.allocator);
    dn_model_options_init(&model);
    ck_assert(model.struct_size == sizeof model && model.verify == DN_VERIFY_FULL && !model.allocator);
    dn_scorer_options_init(&scorer);
    ck_assert(scorer.struct_size == sizeof scorer && scorer.views == 0 && scorer.angles == -1 && scorer.threads == 1);
    ck_assert(scorer.false_alarm_rate == 0.05 && !scorer.allocator);
    dn_localizer_options_init(&localizer);
    ck_assert(localizer.struct_size == sizeof localizer && localizer.views == 16 && localizer.angles == -1);
    ck_assert(localizer.threads == 1 && localizer.sigma == 3 && !localizer.allocator);
}
END_TEST

START_TEST(test_training_defaults)
{
    dn_train_options train;

    dn_train_options_init(&train);
    ck_assert(train.struct_size == sizeof train && train.epochs == 64 && train.seed == 0 && train.hidden == 512);
    ck_assert(train.blocks == 8 && train.clamp == 3 && train.batch_images == 24 && train.batch_views == 4);
    ck_assert(train.bank == 20 && train.standardize == 1 && train.learning_rate == 1e-3 && train.beta1 == 0.8);
    ck_assert(train.beta2 == 0.8 && train.epsilon == 1e-4 && train.weight_decay == 1e-5 && train.brightness == 0);
    ck_assert(train.contrast == 0 && train.saturation == 0 && train.holdout == 0.1 && train.views == 16);
    ck_assert(train.angles == DN_ANGLES_STRATIFIED && train.heatmap_images == 16 && train.threads == 1);
    ck_assert(!train.checkpoint && train.checkpoint_epochs == 16 && train.resume == 0 && !train.allocator);
    ck_ok(dn_train_options_preset(&train, DN_PRESET_PAPER));
    ck_assert_int_eq(train.hidden, 2048);
    ck_ok(dn_train_options_preset(&train, DN_PRESET_COMPACT));
    ck_assert_int_eq(train.hidden, 512);
    ck_status(dn_train_options_preset(&train, 3), DN_E_ARGUMENT);
    ck_status(dn_train_options_preset(NULL, DN_PRESET_COMPACT), DN_E_ARGUMENT);
}
END_TEST

/* ---- output structs ---- */

START_TEST(test_output_structs)
{
    later_options options = small_flow(), info;
    earlier_options *shorter = malloc(sizeof *shorter);
    dn_flow_options *out = (dn_flow_options *)(void *)shorter;
    dn_flow *flow;

    ck_ok(dn_flow_create(&options.known, &flow, &error));
    dn_flow_options_init_size(&info.known, sizeof info);
    memset(info.tail, 0xAA, sizeof info.tail);
    ck_ok(dn_flow_get_info(flow, &info.known));
    ck_assert_uint_eq(info.known.struct_size, sizeof info);
    ck_assert_int_eq(info.known.dimension, 4);
    for (size_t i = 0; i < sizeof info.tail; i++)
        ck_assert_uint_eq(info.tail[i], 0);
    dn_flow_options_init_size(out, sizeof *shorter);
    ck_ok(dn_flow_get_info(flow, out));
    ck_assert_uint_eq(shorter->struct_size, sizeof *shorter);
    ck_assert_int_eq(shorter->blocks, 2);
    shorter->struct_size = 0;
    ck_status(dn_flow_get_info(flow, out), DN_E_ARGUMENT);
    ck_status(dn_flow_get_info(flow, NULL), DN_E_ARGUMENT);
    ck_status(dn_flow_get_info(NULL, &info.known), DN_E_ARGUMENT);
    free(shorter);
    dn_flow_unref(flow);
}
END_TEST

/* ---- what every entry point refuses ---- */

START_TEST(test_null_arguments)
{
    dn_image *image;
    dn_flow *flow;
    dn_model *model;
    dn_extractor *extractor;
    dn_scorer *scorer;
    dn_localizer *localizer;
    dn_trainer *trainer;
    float values[4] = {0};

    ck_status(dn_image_open_path(NULL, NULL, &image, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "dn_image_open_path: path is NULL"));
    ck_status(dn_image_open_path("x", NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_image_open_memory(NULL, 5, NULL, &image, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_create(NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_open_path(NULL, NULL, &flow, NULL), DN_E_ARGUMENT);
    ck_status(dn_flow_forward(NULL, values, 1, values, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_model_open_path(NULL, NULL, &model, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(model);
    ck_status(dn_model_open_memory(NULL, 5, NULL, &model, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_open_path(NULL, NULL, &extractor, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_features(NULL, values, 1, values, &error), DN_E_ARGUMENT);
    ck_status(dn_scorer_create(NULL, NULL, &scorer, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(scorer);
    ck_status(dn_localizer_create(NULL, NULL, &localizer, &error), DN_E_ARGUMENT);
    ck_status(dn_trainer_create(NULL, NULL, &trainer, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(trainer);
}
END_TEST

START_TEST(test_absent_files)
{
    const char *path = path_join(test_folder(), "absent");
    dn_image *image;
    dn_flow *flow;
    dn_model *model;
    dn_extractor *extractor;

    ck_status(dn_image_open_path(path, NULL, &image, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_status(dn_flow_open_path(path, NULL, &flow, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_status(dn_model_open_path(path, NULL, &model, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_status(dn_extractor_open_path(path, NULL, &extractor, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
}
END_TEST

/* A file of one kind is refused, by name, where another is expected. */
START_TEST(test_kinds)
{
    const char *path = path_join(test_folder(), "part.flow");
    later_options options = small_flow();
    dn_flow *flow;
    dn_model *model;
    dn_extractor *extractor;

    ck_ok(dn_flow_create(&options.known, &flow, &error));
    ck_ok(dn_flow_save(flow, path, &error));
    dn_flow_unref(flow);
    ck_status(dn_model_open_path(path, NULL, &model, &error), DN_E_KIND);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_status(dn_extractor_open_path(path, NULL, &extractor, &error), DN_E_KIND);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_ok(dn_flow_open_path(path, NULL, &flow, &error));
    dn_flow_unref(flow);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_core");
    TCase *core = tcase_create("core");

    tcase_add_test(core, test_version);
    tcase_add_test(core, test_status_strings);
    tcase_add_test(core, test_null_handles);
    tcase_add_test(core, test_blob);
    tcase_add_test(core, test_blas);
    tcase_add_test(core, test_longer_options);
    tcase_add_test(core, test_shorter_options);
    tcase_add_test(core, test_bad_struct_size);
    tcase_add_test(core, test_init_of_odd_sizes);
    tcase_add_test(core, test_defaults);
    tcase_add_test(core, test_training_defaults);
    tcase_add_test(core, test_output_structs);
    tcase_add_test(core, test_null_arguments);
    tcase_add_test(core, test_absent_files);
    tcase_add_test(core, test_kinds);
    suite_add_tcase(suite, core);
    return suite;
}

TEST_MAIN(make_suite)
