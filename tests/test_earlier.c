/* What was made with earlier versions: model files with the scores they had, structs of every size. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap_golden.h"
#include "support.h"

/* ---- models (golden/make_models.py) ---- */

#define MODELS 7

typedef struct earlier_model {
    char name[32], picture[32];
    double score, p_value; /* as the version gave that wrote it */
} earlier_model;

static void read_scores(earlier_model models[MODELS])
{
    FILE *file = fopen(golden_path("models/scores.txt"), "r");
    char rest;

    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < MODELS; i++)
        ck_assert_int_eq(
            fscanf(file, "%31s %31s %lf %lf", models[i].name, models[i].picture, &models[i].score, &models[i].p_value),
            4);
    ck_assert_int_eq(fscanf(file, " %c", &rest), EOF);
    fclose(file);
}

static dn_model *open_model(const char *path, int32_t verify)
{
    dn_error error = {0};
    dn_model_options options;
    dn_model *model;

    dn_model_options_init(&options);
    options.verify = verify;
    dn_status status = dn_model_open_path(path, &options, &model, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

static dn_score score_of(dn_model *model, const char *picture)
{
    dn_error error = {0};
    dn_scorer *scorer;
    dn_score score;

    ck_ok(dn_scorer_create(model, NULL, &scorer, &error));
    dn_score_init(&score);
    ck_ok(dn_scorer_score_path(scorer, picture, &score));
    dn_scorer_free(scorer);
    return score;
}

/* The highest value of a picture's map. */
static double peak_of(dn_model *model, const char *picture)
{
    dn_error error = {0};
    dn_localizer *localizer;
    dn_image *image;
    dn_pixels pixels;
    double peak = 0;

    ck_ok(dn_image_open_path(picture, NULL, &image, &error));
    dn_image_pixels(image, &pixels);
    size_t count = (size_t)pixels.width * (size_t)pixels.height;
    float *map = malloc(count * sizeof *map);
    ck_assert_ptr_nonnull(map);
    ck_ok(dn_localizer_create(model, NULL, &localizer, &error));
    ck_ok(dn_localizer_map(localizer, &pixels, map));
    for (size_t i = 0; i < count; i++)
        peak = fmax(peak, map[i]);
    dn_localizer_free(localizer);
    dn_image_free(image);
    free(map);
    return peak;
}

/* Opens in both ways, gives the score it gave then, has a map, and is the same model once saved by this version. */
START_TEST(models_of_earlier_versions)
{
    earlier_model models[MODELS];
    dn_error error = {0};
    char file[48];

    read_scores(models);
    const earlier_model *then = &models[_i];
    snprintf(file, sizeof file, "models/%s.dnm", then->name);
    const char *path = golden_path(file), *again = path_join(test_folder(), "again.dnm");
    snprintf(file, sizeof file, "models/%s", then->picture);
    const char *picture = golden_path(file);

    for (int32_t verify = 0; verify < 2; verify++) {
        dn_model *model = open_model(path, verify);
        dn_model_info info, saved_info;

        dn_model_info_init(&info);
        dn_model_info_init(&saved_info);
        ck_ok(dn_model_get_info(model, &info));
        dn_score score = score_of(model, picture);
        ck_assert_double_eq_tol(score.score, then->score, 1e-4 * then->score);
        ck_assert_double_eq_tol(score.p_value, then->p_value, 1e-9);
        double peak = peak_of(model, picture);
        ck_assert(peak > 0 && isfinite(peak));

        ck_ok(dn_model_save(model, again, info.storage, &error));
        dn_model *saved = open_model(again, DN_VERIFY_FULL);
        ck_ok(dn_model_get_info(saved, &saved_info));
        ck_assert_mem_eq(&saved_info, &info, sizeof info);
        ck_assert_double_eq(score_of(saved, picture).score, score.score);
        ck_assert_double_eq(score_of(saved, picture).p_value, score.p_value);
        dn_model_unref(saved);
        dn_model_unref(model);
    }
}
END_TEST

/* ---- a flow's file of format 1 ---- */

/* Of dn_flow_create and dn_flow_save at af82d89, the last version that wrote format 1: dimension 6, 2 blocks, 5 hidden,
 * clamp 2.5, seed 7.  And what it made of two rows of (37 i mod 23 - 11) / 8. */
START_TEST(flow_of_format_1)
{
    static const float then_z[12] = {-1.48325896f,  -1.44925833f,  0.307444453f, 1.11248481f,
                                     -1.20093369f,  -0.218598127f, 1.13870335f,  -0.159797817f,
                                     -0.474044561f, 0.307753205f,  0.733293355f, -1.12012362f};
    static const float then_logdet[2] = {-0.807497382f, -0.676229298f};
    const char *path = golden_path("models/flow_format1.safetensors"), *again = path_join(test_folder(), "again");
    float x[12], z[12], again_z[12], logdet[2];
    dn_flow_options info;
    dn_error error = {0};
    dn_flow *flow, *saved;
    size_t size;

    dn_flow_options_init(&info);
    for (int i = 0; i < 12; i++)
        x[i] = (float)(i * 37 % 23 - 11) / 8;
    ck_ok(dn_flow_open_path(path, NULL, &flow, &error));
    ck_ok(dn_flow_get_info(flow, &info));
    ck_assert(info.dimension == 6 && info.blocks == 2 && info.hidden == 5 && info.clamp == 2.5 && info.seed == 7);
    ck_ok(dn_flow_forward(flow, x, 2, z, logdet, &error));
    ck_assert_double_lt(max_abs_difference(z, then_z, 12), 2e-6);
    ck_assert_double_lt(max_abs_difference(logdet, then_logdet, 2), 2e-6);

    ck_ok(dn_flow_save(flow, again, &error));
    ck_ok(dn_flow_open_path(again, NULL, &saved, &error));
    ck_ok(dn_flow_forward(saved, x, 2, again_z, logdet, &error));
    ck_assert_mem_eq(again_z, z, sizeof z);
    dn_flow_unref(saved);
    dn_flow_unref(flow);

    uint8_t *bytes = read_file(path, &size);
    bytes[size - 1] ^= 1; /* of a permutation */
    ck_status(dn_flow_open_memory(bytes, size, NULL, &flow, &error), DN_E_FORMAT);
    check_error(&error, DN_E_FORMAT, "checksum");
    free(bytes);
}
END_TEST

/* Files that say, with right checksums, what no version writes: refused by name of the file, never believed. */
START_TEST(facts_that_cannot_be)
{
    static const struct {
        const char *name, *from, *to;
    } changes[] = {
        {"format3_tiles", "tile_columns\\\":2", "tile_columns\\\":0"},
        {"format3_tiles", "tile_columns\\\":2,", "tile_columns\\\":99"}, /* no comma: no JSON */
        {"format3_tiles", "tile_rows\\\":1", "tile_rows\\\":0"},
        {"format3_tiles", "tile_rows\\\":1", "tile_rovs\\\":1"},
        {"format3_tiles", "\"letterbox\\\"", "\"letterbux\\\""},
        {"format3_range", "high\\\":4095", "high\\\":   0"},
        {"format3_range", "high\\\":4095", "high\\\":9e99"},
        {"format3_range", "low\\\":0,", "lov\\\":0,"},
        {"format3_range", "high\\\":4095}", "high\\\":4095 "},
        {"format2_first", "seed\\\":\\\"0\\\",\\\"final", "seed\\\":\\\"x\\\",\\\"final"},
        {"format2_first", "final_loss\\\":1.4", "final_loss\\\":[],"},
        {"format2_first", "final_loss\\\":1.4044730208090768", "final_loss\\\":true              "},
        {"format2_first", "heatmap_scale\\\":0.000", "heatmap_scale\\\":-1.00"},
        {"format2_first", "heatmap_scale\\\":0.000168091720843222", "heatmap_scale\\\":null                "},
        {"format2_first", "library\\\":\\\"0.1.0\\\"", "library\\\":        3"},
        {"format2_first", "library\\\":\\\"0.1.0", "library\\\":\\\"0.\303\2441"}, /* no ASCII */
        {"format2_first", "views\\\":3", "views\\\":0"},
        {"format2_first", "scales\\\":1", "scales\\\":9"},
        {"format2_first", "train_images\\\":11", "train_images\\\":-1"},
        {"format2_first", "standardized\\\":1", "standardized\\\":2"},
        {"format2_first", "epochs\\\":2", "epocks\\\":2"},
        {"format2_first", "preset\":\"compact", "preset\":\"COMPACT"},
    };
    char file[48];
    size_t size;
    dn_error error = {0};
    dn_model *model;

    snprintf(file, sizeof file, "models/%s.dnm", changes[_i].name);
    uint8_t *bytes = read_file(golden_path(file), &size);
    replace_text(bytes, size, changes[_i].from, changes[_i].to);
    sign_file(bytes, size);
    ck_status(dn_model_open_memory(bytes, size, NULL, &model, &error), DN_E_FORMAT);
    ck_assert_uint_gt(strlen(error.message), 0);
    ck_assert_ptr_null(model);
    free(bytes);
}
END_TEST

/* ---- option structs ---- */

/* A struct, and the call that reads it.  All other arguments of these calls are good. */
typedef struct option_struct {
    const char *name;
    size_t size; /* in this version's header */
    void (*init)(void *options, size_t size);
    dn_status (*use)(const void *options, dn_error *error);
} option_struct;

static dn_status use_image(const void *options, dn_error *error)
{
    dn_image *image;
    dn_status status = dn_image_open_path(golden_path("images/rgb8.png"), options, &image, error);

    dn_image_free(image);
    return status;
}

static dn_status use_extractor(const void *options, dn_error *error)
{
    dn_extractor *extractor;
    dn_status status = dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), options, &extractor, error);

    dn_extractor_unref(extractor);
    return status;
}

static dn_status use_flow(const void *options, dn_error *error)
{
    dn_flow *flow;
    dn_status status = dn_flow_create(options, &flow, error);

    dn_flow_unref(flow);
    return status;
}

static dn_status use_model(const void *options, dn_error *error)
{
    dn_model *model;
    dn_status status = dn_model_open_path(golden_path(GOLDEN_MODEL), options, &model, error);

    dn_model_unref(model);
    return status;
}

static dn_status use_scorer(const void *options, dn_error *error)
{
    dn_model *model = golden_model();
    dn_scorer *scorer;
    dn_status status = dn_scorer_create(model, options, &scorer, error);

    dn_scorer_free(scorer);
    dn_model_unref(model);
    return status;
}

static dn_status use_monitor(const void *options, dn_error *error)
{
    dn_monitor *monitor;
    dn_status status = dn_monitor_create(options, &monitor, error);

    dn_monitor_free(monitor);
    return status;
}

static dn_status use_calibrator(const void *options, dn_error *error)
{
    dn_model *model = golden_model();
    dn_calibrator *calibrator;
    dn_status status = dn_calibrator_create(model, options, &calibrator, error);

    dn_calibrator_free(calibrator);
    dn_model_unref(model);
    return status;
}

static dn_status use_localizer(const void *options, dn_error *error)
{
    dn_model *model = golden_model();
    dn_localizer *localizer;
    dn_status status = dn_localizer_create(model, options, &localizer, error);

    dn_localizer_free(localizer);
    dn_model_unref(model);
    return status;
}

static dn_status use_boxes(const void *options, dn_error *error)
{
    const float map[4] = {0, 2, 0, 0};
    dn_model *model = golden_model();
    dn_localizer *localizer;
    int32_t count = 0;

    ck_ok(dn_localizer_create(model, NULL, &localizer, error));
    dn_status status = dn_localizer_find_boxes(localizer, map, 2, 2, options, NULL, 0, &count);
    if (status != DN_OK)
        *error = *dn_localizer_error(localizer);
    dn_localizer_free(localizer);
    dn_model_unref(model);
    return status;
}

static dn_status use_training(const void *options, dn_error *error)
{
    dn_model *model = golden_model();
    dn_trainer *trainer;
    dn_status status = dn_trainer_create(dn_model_extractor(model), options, &trainer, error);

    dn_trainer_free(trainer);
    dn_model_unref(model);
    return status;
}

/* The init functions, as functions of one type. */
#define INIT(type)                                     \
    static void init_##type(void *object, size_t size) \
    {                                                  \
        dn_##type##_init_size(object, size);           \
    }
INIT(image_options)
INIT(extractor_options)
INIT(flow_options)
INIT(model_options)
INIT(scorer_options)
INIT(monitor_options)
INIT(calibrator_options)
INIT(localizer_options)
INIT(box_options)
INIT(train_options)
INIT(extractor_info)
INIT(maps_info)
INIT(model_info)
INIT(score)
INIT(monitor_state)
INIT(calibrator_info)
INIT(trainer_info)

#define OPTIONS(type, use)                               \
    {                                                    \
        "dn_" #type, sizeof(dn_##type), init_##type, use \
    }
static const option_struct option_structs[] = {
    OPTIONS(image_options, use_image),
    OPTIONS(extractor_options, use_extractor),
    OPTIONS(flow_options, use_flow),
    OPTIONS(model_options, use_model),
    OPTIONS(scorer_options, use_scorer),
    OPTIONS(monitor_options, use_monitor),
    OPTIONS(calibrator_options, use_calibrator),
    OPTIONS(localizer_options, use_localizer),
    OPTIONS(box_options, use_boxes),
    OPTIONS(train_options, use_training),
};

#define LEAST 8  /* bytes of a struct */
#define LATER 32 /* bytes that a later version may have added */

/* As a program compiled with a header of any age sets it up: where its struct ends, the rest has its defaults. */
START_TEST(options_of_every_size)
{
    const option_struct *kind = &option_structs[_i];
    uint8_t *now = malloc(kind->size);
    dn_error error = {0};

    ck_assert_ptr_nonnull(now);
    kind->init(now, kind->size);
    for (size_t size = LEAST; size <= kind->size + LATER; size += 4) {
        uint8_t *options = malloc(size); /* on the heap, so that a byte beyond is seen */

        ck_assert_ptr_nonnull(options);
        memset(options, 0xAA, size);
        kind->init(options, size);
        ck_assert_mem_eq(options + 4, now + 4, (size < kind->size ? size : kind->size) - 4);
        dn_status status = kind->use(options, &error);
        ck_assert_msg(status == DN_OK, "%s of %zu bytes: %s", kind->name, size, error.message);
        for (size_t i = kind->size; i < size; i++) {
            options[i] = 1; /* an option that this version does not know */
            ck_status(kind->use(options, &error), DN_E_ARGUMENT);
            check_error(&error, DN_E_ARGUMENT, "does not know");
            ck_assert_ptr_nonnull(strstr(error.message, kind->name));
            options[i] = 0;
        }
        free(options);
    }
    free(now);
}
END_TEST

START_TEST(options_of_impossible_sizes)
{
    static const uint32_t sizes[] = {0, 1, LEAST - 1, 4097, UINT32_MAX};
    const option_struct *kind = &option_structs[_i];
    uint8_t *options = calloc(1, 4096);
    dn_error error = {0};

    ck_assert_ptr_nonnull(options);
    kind->init(options, kind->size);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(options, &sizes[i], sizeof sizes[i]);
        ck_status(kind->use(options, &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "struct_size");
        ck_assert_ptr_nonnull(strstr(error.message, kind->name));
    }
    free(options);
}
END_TEST

/* ---- output structs ---- */

/* A struct that the library fills, and the call; the handles that all of these calls are about are made once. */
typedef struct output_struct {
    const char *name;
    size_t size;
    void (*init)(void *object, size_t size);
    dn_status (*get)(void *object);
} output_struct;

static struct {
    dn_model *model;
    dn_monitor *monitor;
    dn_calibrator *calibrator;
    dn_trainer *trainer;
    dn_scorer *scorer;
} handles;

static void make_handles(void)
{
    dn_error error = {0};

    handles.model = golden_model();
    ck_ok(dn_trainer_create(dn_model_extractor(handles.model), NULL, &handles.trainer, &error));
    ck_ok(dn_monitor_create(NULL, &handles.monitor, &error));
    ck_ok(dn_calibrator_create(handles.model, NULL, &handles.calibrator, &error));
    ck_ok(dn_scorer_create(handles.model, NULL, &handles.scorer, &error));
}

static void free_handles(void)
{
    dn_scorer_free(handles.scorer);
    dn_calibrator_free(handles.calibrator);
    dn_monitor_free(handles.monitor);
    dn_trainer_free(handles.trainer);
    dn_model_unref(handles.model);
}

static dn_status get_extractor(void *info)
{
    return dn_extractor_get_info(dn_model_extractor(handles.model), info);
}

static dn_status get_maps(void *info)
{
    return dn_extractor_get_maps_info(dn_model_extractor(handles.model), info);
}

static dn_status get_flow(void *options)
{
    return dn_flow_get_info(dn_model_flow(handles.model), options);
}

static dn_status get_model(void *info)
{
    return dn_model_get_info(handles.model, info);
}

static dn_status get_monitor(void *state)
{
    return dn_monitor_get_state(handles.monitor, state);
}

static dn_status get_calibrator(void *info)
{
    return dn_calibrator_get_info(handles.calibrator, info, NULL, 0);
}

static dn_status get_trainer(void *info)
{
    return dn_trainer_get_info(handles.trainer, info);
}

static dn_status get_score(void *score)
{
    return dn_scorer_score_path(handles.scorer, golden_path("images/rgb8.png"), score);
}

static const output_struct output_structs[] = {
    OPTIONS(extractor_info, get_extractor), OPTIONS(maps_info, get_maps),
    OPTIONS(flow_options, get_flow),        OPTIONS(model_info, get_model),
    OPTIONS(monitor_state, get_monitor),    OPTIONS(calibrator_info, get_calibrator),
    OPTIONS(trainer_info, get_trainer),     OPTIONS(score, get_score),
};

/* A shorter one is the beginning of the whole one, a longer one ends in zeros; impossible sizes are refused. */
START_TEST(outputs_of_every_size)
{
    static const uint32_t impossible[] = {0, LEAST - 1, 4097};
    const output_struct *kind = &output_structs[_i];
    uint8_t *whole = malloc(kind->size), bytes[4];

    ck_assert_ptr_nonnull(whole);
    kind->init(whole, kind->size);
    ck_ok(kind->get(whole));
    for (size_t size = LEAST; size <= kind->size + LATER; size += 4) {
        uint8_t *output = malloc(size); /* on the heap, so that a byte beyond is seen */
        uint32_t told;

        ck_assert_ptr_nonnull(output);
        kind->init(output, size);
        memset(output + 4, 0xAA, size - 4);
        ck_ok(kind->get(output));
        memcpy(&told, output, sizeof told);
        ck_assert_uint_eq(told, size);
        ck_assert_mem_eq(output + 4, whole + 4, (size < kind->size ? size : kind->size) - 4);
        for (size_t i = kind->size; i < size; i++)
            ck_assert_uint_eq(output[i], 0);
        free(output);
    }
    memcpy(bytes, whole + 4, sizeof bytes);
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        memcpy(whole, &impossible[i], sizeof impossible[i]);
        ck_status(kind->get(whole), DN_E_ARGUMENT);
        ck_assert_mem_eq(whole + 4, bytes, sizeof bytes);
    }
    free(whole);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("earlier");
    TCase *files = tcase_create("files"), *structs = tcase_create("structs"), *outputs = tcase_create("outputs");
    const int options = sizeof option_structs / sizeof *option_structs;

    tcase_add_loop_test(files, models_of_earlier_versions, 0, MODELS);
    tcase_add_test(files, flow_of_format_1);
    tcase_add_loop_test(files, facts_that_cannot_be, 0, 22);
    suite_add_tcase(suite, files);
    tcase_add_loop_test(structs, options_of_every_size, 0, options);
    tcase_add_loop_test(structs, options_of_impossible_sizes, 0, options);
    tcase_set_timeout(structs, 240);
    suite_add_tcase(suite, structs);
    tcase_add_unchecked_fixture(outputs, make_handles, free_handles);
    tcase_add_loop_test(outputs, outputs_of_every_size, 0, sizeof output_structs / sizeof *output_structs);
    suite_add_tcase(suite, outputs);
    return suite;
}

TEST_MAIN(make_suite)
