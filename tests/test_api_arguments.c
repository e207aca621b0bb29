/* Every public function with each of its pointers NULL, with hooks that cannot be, and while its handle is in use: refused
 * by status and name, and nothing is done. */
#include <stdlib.h>
#include <string.h>

#include "heatmap_golden.h"
#include "support.h"
#include "training.h"

#define NOT(expression) ck_assert_int_eq((expression), DN_E_ARGUMENT)

static uint8_t picture[GOLDEN_SIZE * GOLDEN_SIZE * 3];
static float numbers[8 * GOLDEN_SIZE * GOLDEN_SIZE];
static dn_pixels view;
static dn_model *model;
static dn_score score;
static dn_error error;

static void set_up(void)
{
    golden_image(picture);
    view = rgb_view(picture, GOLDEN_SIZE, GOLDEN_SIZE);
    model = golden_model();
    dn_score_init(&score);
}

static void tear_down(void)
{
    dn_model_unref(model);
}

/* ---- NULL ---- */

START_TEST(images)
{
    dn_image *image;
    dn_blob *blob;

    NOT(dn_image_open_path(NULL, NULL, &image, &error));
    NOT(dn_image_open_path("x", NULL, NULL, &error));
    NOT(dn_image_open_memory(NULL, 1, NULL, &image, &error));
    NOT(dn_image_open_memory("x", 1, NULL, NULL, &error));
    NOT(dn_image_write_png(NULL, "x", &error));
    NOT(dn_image_write_png(&view, NULL, &error));
    NOT(dn_image_encode_png(NULL, &blob, &error));
    NOT(dn_image_encode_png(&view, NULL, &error));
    NOT(dn_image_overlay(NULL, numbers, 1, picture, &error));
    NOT(dn_image_overlay(&view, NULL, 1, picture, &error));
    NOT(dn_image_overlay(&view, numbers, 1, NULL, &error));
    NOT(dn_model_overlay(NULL, &view, numbers, 1, picture, &error));
}
END_TEST

START_TEST(extractors)
{
    static const int32_t channels[5] = {4, 4, 4, 4, 4};
    const dn_extractor *e = dn_model_extractor(model);
    const double angle = 0;
    dn_extractor *out;
    dn_extractor_info info;
    dn_maps_info maps;
    dn_blob *blob;

    dn_extractor_info_init(&info);
    dn_maps_info_init(&maps);
    NOT(dn_extractor_open_path(NULL, NULL, &out, &error));
    NOT(dn_extractor_open_path("x", NULL, NULL, &error));
    NOT(dn_extractor_open_memory(NULL, 1, NULL, &out, &error));
    NOT(dn_extractor_open_memory("x", 1, NULL, NULL, &error));
    NOT(dn_extractor_default(NULL, NULL, &error));
    NOT(dn_extractor_random(channels, 1, NULL, NULL, &error));
    NOT(dn_extractor_save(NULL, "x", DN_STORAGE_F32, &error));
    NOT(dn_extractor_save(e, NULL, DN_STORAGE_F32, &error));
    NOT(dn_extractor_save_memory(NULL, DN_STORAGE_F32, &blob, &error));
    NOT(dn_extractor_save_memory(e, DN_STORAGE_F32, NULL, &error));
    NOT(dn_extractor_get_info(NULL, &info));
    NOT(dn_extractor_get_info(e, NULL));
    NOT(dn_extractor_views(NULL, &view, &angle, 1, numbers, &error));
    NOT(dn_extractor_views(e, NULL, &angle, 1, numbers, &error));
    NOT(dn_extractor_views(e, &view, &angle, 1, NULL, &error));
    NOT(dn_extractor_features(NULL, numbers, 1, numbers, &error));
    NOT(dn_extractor_features(e, NULL, 1, numbers, &error));
    NOT(dn_extractor_features(e, numbers, 1, NULL, &error));
    NOT(dn_extractor_features_image(NULL, &view, &angle, 1, numbers, &error));
    NOT(dn_extractor_features_image(e, NULL, &angle, 1, numbers, &error));
    NOT(dn_extractor_features_image(e, &view, &angle, 1, NULL, &error));
    NOT(dn_extractor_gradient(NULL, numbers, 1, numbers, numbers, &error));
    NOT(dn_extractor_gradient(e, NULL, 1, numbers, numbers, &error));
    NOT(dn_extractor_gradient(e, numbers, 1, NULL, numbers, &error));
    NOT(dn_extractor_gradient(e, numbers, 1, numbers, NULL, &error));
    NOT(dn_extractor_get_maps_info(NULL, &maps));
    NOT(dn_extractor_get_maps_info(e, NULL));
    NOT(dn_extractor_maps(NULL, numbers, 1, numbers, &error));
    NOT(dn_extractor_maps(e, NULL, 1, numbers, &error));
    NOT(dn_extractor_maps(e, numbers, 1, NULL, &error));
    NOT(dn_extractor_maps(e, numbers, 0, numbers, &error));
    NOT(dn_extractor_maps(e, numbers, INT32_MAX, numbers, &error));
    ck_assert_ptr_null(dn_extractor_map_name(NULL, 0));
    ck_assert_ptr_null(dn_extractor_map_name(e, -1));
    ck_assert_ptr_null(dn_extractor_map_name(e, 1000));
    ck_assert_ptr_nonnull(dn_extractor_map_name(e, 0));
}
END_TEST

START_TEST(flows)
{
    dn_flow *f = dn_model_flow(model), *out;
    double likelihood;
    dn_flow_options info;
    dn_blob *blob;

    dn_flow_options_init(&info);
    NOT(dn_flow_create(NULL, NULL, &error));
    NOT(dn_flow_open_path(NULL, NULL, &out, &error));
    NOT(dn_flow_open_path("x", NULL, NULL, &error));
    NOT(dn_flow_open_memory(NULL, 1, NULL, &out, &error));
    NOT(dn_flow_open_memory("x", 1, NULL, NULL, &error));
    NOT(dn_flow_save(NULL, "x", &error));
    NOT(dn_flow_save(f, NULL, &error));
    NOT(dn_flow_save_memory(NULL, &blob, &error));
    NOT(dn_flow_save_memory(f, NULL, &error));
    NOT(dn_flow_get_info(NULL, &info));
    NOT(dn_flow_get_info(f, NULL));
    NOT(dn_flow_forward(NULL, numbers, 1, numbers, NULL, &error));
    NOT(dn_flow_forward(f, NULL, 1, numbers, NULL, &error));
    NOT(dn_flow_forward(f, numbers, 1, NULL, NULL, &error));
    NOT(dn_flow_inverse(NULL, numbers, 1, numbers, &error));
    NOT(dn_flow_inverse(f, NULL, 1, numbers, &error));
    NOT(dn_flow_inverse(f, numbers, 1, NULL, &error));
    NOT(dn_flow_sample(NULL, 1, 1, numbers, &error));
    NOT(dn_flow_sample(f, 1, 1, NULL, &error));
    NOT(dn_flow_log_likelihood(NULL, numbers, 1, &likelihood, &error));
    NOT(dn_flow_log_likelihood(f, NULL, 1, &likelihood, &error));
    NOT(dn_flow_log_likelihood(f, numbers, 1, NULL, &error));
    NOT(dn_flow_gradient(NULL, numbers, 1, numbers, NULL, numbers, &error));
    NOT(dn_flow_gradient(f, NULL, 1, numbers, NULL, numbers, &error));
    NOT(dn_flow_gradient(f, numbers, 1, NULL, NULL, numbers, &error));
    NOT(dn_flow_gradient(f, numbers, 1, numbers, NULL, NULL, &error));
}
END_TEST

START_TEST(models)
{
    dn_train_options options;
    dn_model *out;
    dn_model_info info;
    dn_blob *blob;

    dn_model_info_init(&info);
    dn_train_options_init(&options);
    NOT(dn_model_open_path(NULL, NULL, &out, &error));
    NOT(dn_model_open_path("x", NULL, NULL, &error));
    NOT(dn_model_open_memory(NULL, 1, NULL, &out, &error));
    NOT(dn_model_open_memory("x", 1, NULL, NULL, &error));
    NOT(dn_model_save(NULL, "x", DN_STORAGE_F32, &error));
    NOT(dn_model_save(model, NULL, DN_STORAGE_F32, &error));
    NOT(dn_model_save_memory(NULL, DN_STORAGE_F32, &blob, &error));
    NOT(dn_model_save_memory(model, DN_STORAGE_F32, NULL, &error));
    NOT(dn_model_get_info(NULL, &info));
    NOT(dn_model_get_info(model, NULL));
    NOT(dn_train_options_of_model(NULL, model));
    NOT(dn_train_options_of_model(&options, NULL));
    NOT(dn_train_options_preset(NULL, DN_PRESET_FAST));
    dn_model_holdout_scores(model, NULL); /* the count may be of no interest */
}
END_TEST

START_TEST(scorers)
{
    const char *path = "x";
    dn_scorer *s;

    NOT(dn_scorer_create(NULL, NULL, &s, &error));
    NOT(dn_scorer_create(model, NULL, NULL, &error));
    ck_ok(dn_scorer_create(model, NULL, &s, &error));
    NOT(dn_scorer_set_false_alarm_rate(NULL, 0.5));
    NOT(dn_scorer_set_threshold(NULL, 1));
    NOT(dn_scorer_set_operating_point(NULL, "x"));
    NOT(dn_scorer_set_operating_point(s, NULL));
    NOT(dn_scorer_set_mask(NULL, &view, DN_MASK_INCLUDE));
    NOT(dn_scorer_set_mask(s, &view, 77));
    NOT(dn_scorer_score(NULL, &view, &score));
    NOT(dn_scorer_score(s, NULL, &score));
    NOT(dn_scorer_score(s, &view, NULL));
    NOT(dn_scorer_score_path(NULL, path, &score));
    NOT(dn_scorer_score_path(s, NULL, &score));
    NOT(dn_scorer_score_path(s, path, NULL));
    NOT(dn_scorer_decide(NULL, &view, &score));
    NOT(dn_scorer_decide(s, NULL, &score));
    NOT(dn_scorer_decide(s, &view, NULL));
    NOT(dn_scorer_decide_path(NULL, path, &score));
    NOT(dn_scorer_decide_path(s, NULL, &score));
    NOT(dn_scorer_decide_path(s, path, NULL));
    NOT(dn_scorer_inspect(NULL, &view, numbers, &score));
    NOT(dn_scorer_inspect(s, NULL, numbers, &score));
    NOT(dn_scorer_inspect(s, &view, NULL, &score));
    NOT(dn_scorer_inspect(s, &view, numbers, NULL));
    NOT(dn_scorer_score_batch(NULL, &view, 1, &score, NULL));
    NOT(dn_scorer_score_batch(s, NULL, 1, &score, NULL));
    NOT(dn_scorer_score_batch(s, &view, 1, NULL, &error));
    check_error(&error, DN_E_ARGUMENT, "list of scores");
    NOT(dn_scorer_score_batch_paths(s, NULL, 1, &score, NULL));
    path = NULL;
    NOT(dn_scorer_score_batch_paths(s, &path, 1, &score, &error));
    check_error(&error, DN_E_ARGUMENT, "paths[0] is NULL");
    ck_assert_int_eq(dn_scorer_batch_images(NULL), 0);
    ck_assert_ptr_null(dn_scorer_view_scores(NULL, NULL));
    ck_assert_ptr_null(dn_scorer_error(NULL));
    dn_scorer_free(s);
}
END_TEST

START_TEST(localizers)
{
    dn_box box;
    dn_box_options boxes;
    dn_localizer *l;
    int32_t count;
    float threshold;

    NOT(dn_localizer_create(NULL, NULL, &l, &error));
    NOT(dn_localizer_create(model, NULL, NULL, &error));
    ck_ok(dn_localizer_create(model, NULL, &l, &error));
    NOT(dn_localizer_map(NULL, &view, numbers));
    NOT(dn_localizer_map(l, NULL, numbers));
    NOT(dn_localizer_map(l, &view, NULL));
    NOT(dn_localizer_set_mask(NULL, &view, DN_MASK_INCLUDE));
    NOT(dn_localizer_set_mask(l, &view, 77));
    NOT(dn_localizer_boxes(NULL, numbers, 8, 8, 1, &box, 1, &count));
    NOT(dn_localizer_boxes(l, NULL, 8, 8, 1, &box, 1, &count));
    NOT(dn_localizer_boxes(l, numbers, 8, 0, 1, &box, 1, &count));
    NOT(dn_localizer_boxes(l, numbers, 8, 8, 1, NULL, 1, &count));
    NOT(dn_localizer_boxes(l, numbers, 8, 8, 1, &box, 1, NULL));
    NOT(dn_localizer_find_boxes(NULL, numbers, 8, 8, NULL, &box, 1, &count));
    NOT(dn_localizer_find_boxes(l, NULL, 8, 8, NULL, &box, 1, &count));
    dn_box_options_init(&boxes);
    boxes.struct_size = 4;
    NOT(dn_localizer_find_boxes(l, numbers, 8, 8, &boxes, &box, 1, &count));
    NOT(dn_localizer_threshold(NULL, 0.1, &threshold, NULL));
    NOT(dn_localizer_threshold(l, 0.1, NULL, NULL));
    NOT(dn_localizer_threshold(l, 0, &threshold, NULL));
    NOT(dn_localizer_threshold(l, 1.5, &threshold, NULL));
    ck_assert_ptr_null(dn_localizer_error(NULL));
    dn_localizer_free(l);
}
END_TEST

START_TEST(monitors_and_calibrators)
{
    dn_monitor *m;
    dn_calibrator *c;
    dn_model *out;
    dn_monitor_state state;
    dn_calibrator_info info;

    dn_monitor_state_init(&state);
    dn_calibrator_info_init(&info);
    NOT(dn_monitor_create(NULL, NULL, &error));
    ck_ok(dn_monitor_create(NULL, &m, &error));
    NOT(dn_monitor_add(NULL, 0.5));
    NOT(dn_monitor_get_state(NULL, &state));
    NOT(dn_monitor_get_state(m, NULL));
    NOT(dn_monitor_reset(NULL));
    ck_assert_ptr_null(dn_monitor_error(NULL));
    dn_monitor_free(m);

    NOT(dn_calibrator_create(NULL, NULL, &c, &error));
    NOT(dn_calibrator_create(model, NULL, NULL, &error));
    ck_ok(dn_calibrator_create(model, NULL, &c, &error));
    NOT(dn_calibrator_add_path(NULL, "x", NULL));
    NOT(dn_calibrator_add_path(c, NULL, NULL));
    NOT(dn_calibrator_add_pixels(NULL, &view, NULL));
    NOT(dn_calibrator_add_pixels(c, NULL, NULL));
    NOT(dn_calibrator_set_point(NULL, "x", 1));
    NOT(dn_calibrator_set_point(c, NULL, 1));
    NOT(dn_calibrator_note(NULL, "x", "y"));
    NOT(dn_calibrator_note(c, NULL, "y"));
    NOT(dn_calibrator_note(c, "x", NULL));
    NOT(dn_calibrator_get_info(NULL, &info, NULL, 0));
    NOT(dn_calibrator_get_info(c, NULL, NULL, 0));
    NOT(dn_calibrator_get_info(c, &info, NULL, 1));
    NOT(dn_calibrator_get_info(c, &info, NULL, -1));
    NOT(dn_calibrator_model(NULL, &out));
    NOT(dn_calibrator_model(c, NULL));
    ck_assert_ptr_null(dn_calibrator_error(NULL));
    dn_calibrator_free(c);
}
END_TEST

START_TEST(trainers)
{
    dn_train_options options = tiny_options();
    dn_trainer *t;
    dn_trainer_info info;
    dn_model *out;
    int32_t kind;

    dn_trainer_info_init(&info);
    NOT(dn_trainer_create(NULL, NULL, &t, &error));
    NOT(dn_trainer_create(dn_model_extractor(model), NULL, NULL, &error));
    NOT(dn_trainer_create_like(NULL, &options, &t, &error));
    NOT(dn_trainer_create_like(model, &options, NULL, &error));
    t = tiny_trainer(&options, 1);
    NOT(dn_trainer_set_mask(NULL, &view, DN_MASK_INCLUDE));
    NOT(dn_trainer_set_mask(t, &view, 77));
    NOT(dn_trainer_add_path(NULL, "x"));
    NOT(dn_trainer_add_path(t, NULL));
    NOT(dn_trainer_add_pixels(NULL, &view));
    NOT(dn_trainer_add_pixels(t, NULL));
    NOT(dn_trainer_set_group(NULL, "x"));
    NOT(dn_trainer_set_group(t, ""));
    NOT(dn_trainer_get_info(NULL, &info));
    NOT(dn_trainer_get_info(t, NULL));
    NOT(dn_trainer_note(NULL, "x", "y"));
    NOT(dn_trainer_note(t, NULL, "y"));
    NOT(dn_trainer_note(t, "x", NULL));
    NOT(dn_trainer_run(NULL, NULL, NULL, &out));
    NOT(dn_trainer_run(t, NULL, NULL, NULL));
    NOT(dn_trainer_model(NULL, &out));
    NOT(dn_trainer_model(t, NULL));
    ck_assert_int_eq(dn_trainer_duplicate_of(NULL, 0, &kind), -1);
    ck_assert_ptr_null(dn_trainer_advice(NULL, 0));
    ck_assert_ptr_null(dn_trainer_error(NULL));
    dn_trainer_free(t);
}
END_TEST

/* ---- hooks of which a half is missing, structs that were not initialised ---- */

static void *no_memory(size_t alignment, size_t size, void *user)
{
    (void)alignment;
    (void)size;
    (void)user;
    return NULL;
}

/* What creates a handle, with these options. */
#define REFUSES(type, call)                        \
    do {                                           \
        dn_##type options;                         \
        dn_##type##_init(&options);                \
        options.allocator = &half;                 \
        NOT(call);                                 \
        check_error(&error, DN_E_ARGUMENT, #type); \
        options.allocator = &other_half;           \
        NOT(call);                                 \
        dn_##type##_init(&options);                \
        options.struct_size = 4;                   \
        NOT(call);                                 \
        check_error(&error, DN_E_ARGUMENT, #type); \
    } while (0)
#define REFUSES_RUNNER(type, call)                 \
    do {                                           \
        dn_##type options;                         \
        dn_##type##_init(&options);                \
        options.runner = &no_runner;               \
        NOT(call);                                 \
        check_error(&error, DN_E_ARGUMENT, #type); \
    } while (0)

START_TEST(hooks_and_sizes)
{
    static const int32_t channels[5] = {4, 4, 4, 4, 4};
    const dn_allocator half = {.alloc = no_memory}, other_half = {.free = (void (*)(void *, void *))(uintptr_t)1};
    const dn_runner no_runner = {NULL, NULL};
    dn_extractor *extractor = dn_model_extractor(model), *e;
    dn_image *image;
    dn_flow *flow;
    dn_model *out;
    dn_scorer *scorer;
    dn_localizer *localizer;
    dn_monitor *monitor;
    dn_calibrator *calibrator;
    dn_trainer *trainer;

    REFUSES(image_options, dn_image_open_path("x", &options, &image, &error));
    REFUSES(image_options, dn_image_open_memory("x", 1, &options, &image, &error));
    REFUSES(extractor_options, dn_extractor_open_path("x", &options, &e, &error));
    REFUSES(extractor_options, dn_extractor_open_memory("x", 1, &options, &e, &error));
    REFUSES(extractor_options, dn_extractor_default(&options, &e, &error));
    REFUSES(extractor_options, dn_extractor_random(channels, 1, &options, &e, &error));
    REFUSES(flow_options, dn_flow_create(&options, &flow, &error));
    REFUSES(model_options, dn_model_open_path("x", &options, &out, &error));
    REFUSES(model_options, dn_model_open_memory("x", 1, &options, &out, &error));
    REFUSES(scorer_options, dn_scorer_create(model, &options, &scorer, &error));
    REFUSES(localizer_options, dn_localizer_create(model, &options, &localizer, &error));
    REFUSES(monitor_options, dn_monitor_create(&options, &monitor, &error));
    REFUSES(calibrator_options, dn_calibrator_create(model, &options, &calibrator, &error));
    REFUSES(train_options, dn_trainer_create(extractor, &options, &trainer, &error));
    REFUSES(train_options, dn_trainer_create_like(model, &options, &trainer, &error));
    REFUSES_RUNNER(scorer_options, dn_scorer_create(model, &options, &scorer, &error));
    REFUSES_RUNNER(localizer_options, dn_localizer_create(model, &options, &localizer, &error));
    REFUSES_RUNNER(calibrator_options, dn_calibrator_create(model, &options, &calibrator, &error));
    REFUSES_RUNNER(train_options, dn_trainer_create(extractor, &options, &trainer, &error));
    NOT(dn_flow_open_path("x", &half, &flow, &error));
    NOT(dn_flow_open_memory("x", 1, &half, &flow, &error));
}
END_TEST

/* ---- a handle in use: by the runner that it calls itself ---- */

static dn_scorer *scorer;
static dn_localizer *localizer;
static dn_calibrator *calibrator;
static dn_trainer *trainer;
static void (*probe)(void);
static int probed;

#define BUSY(expression) ck_assert_int_eq((expression), DN_E_STATE)

static void run_and_probe(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    (void)user;
    for (int32_t i = 0; i < jobs; i++)
        job(context, i);
    if (probe && !probed++)
        probe();
}

static const dn_runner prober = {run_and_probe, NULL};

static void probe_scorer(void)
{
    dn_error errors[1] = {{0}};
    const char *path = "x";
    int32_t count = 7;

    BUSY(dn_scorer_set_false_alarm_rate(scorer, 0.5));
    BUSY(dn_scorer_set_threshold(scorer, 1));
    BUSY(dn_scorer_set_operating_point(scorer, "x"));
    BUSY(dn_scorer_set_mask(scorer, NULL, DN_MASK_INCLUDE));
    BUSY(dn_scorer_score(scorer, &view, &score));
    BUSY(dn_scorer_score_path(scorer, path, &score));
    BUSY(dn_scorer_decide(scorer, &view, &score));
    BUSY(dn_scorer_decide_path(scorer, path, &score));
    BUSY(dn_scorer_inspect(scorer, &view, numbers, &score));
    BUSY(dn_scorer_score_batch(scorer, &view, 1, &score, errors));
    check_error(&errors[0], DN_E_STATE, "");
    BUSY(dn_scorer_score_batch_paths(scorer, &path, 1, &score, NULL));
    ck_assert_int_eq(dn_scorer_error(scorer)->status, DN_E_STATE);
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count));
    ck_assert_int_eq(count, 0);
}

static void probe_localizer(void)
{
    dn_box box;
    int32_t count;
    float threshold;

    BUSY(dn_localizer_map(localizer, &view, numbers));
    BUSY(dn_localizer_set_mask(localizer, NULL, DN_MASK_INCLUDE));
    BUSY(dn_localizer_boxes(localizer, numbers, 8, 8, 1, &box, 1, &count));
    BUSY(dn_localizer_find_boxes(localizer, numbers, 8, 8, NULL, &box, 1, &count));
    BUSY(dn_localizer_threshold(localizer, 0.1, &threshold, NULL));
    ck_assert_int_eq(dn_localizer_error(localizer)->status, DN_E_STATE);
}

static void probe_calibrator(void)
{
    dn_calibrator_info info;
    dn_model *out;

    dn_calibrator_info_init(&info);
    BUSY(dn_calibrator_add_path(calibrator, "x", NULL));
    BUSY(dn_calibrator_add_pixels(calibrator, &view, NULL));
    BUSY(dn_calibrator_set_point(calibrator, "x", 1));
    BUSY(dn_calibrator_note(calibrator, "x", "y"));
    BUSY(dn_calibrator_get_info(calibrator, &info, NULL, 0));
    BUSY(dn_calibrator_model(calibrator, &out));
    ck_assert_int_eq(dn_calibrator_error(calibrator)->status, DN_E_STATE);
}

static void probe_trainer(void)
{
    dn_trainer_info info;
    dn_model *out;
    int32_t kind;

    dn_trainer_info_init(&info);
    BUSY(dn_trainer_set_mask(trainer, NULL, DN_MASK_INCLUDE));
    BUSY(dn_trainer_add_path(trainer, "x"));
    BUSY(dn_trainer_add_pixels(trainer, &view));
    BUSY(dn_trainer_set_group(trainer, "x"));
    BUSY(dn_trainer_note(trainer, "x", "y"));
    BUSY(dn_trainer_get_info(trainer, &info));
    BUSY(dn_trainer_run(trainer, NULL, NULL, &out));
    BUSY(dn_trainer_model(trainer, &out));
    ck_assert_int_eq(dn_trainer_duplicate_of(trainer, 0, &kind), -1);
    ck_assert_ptr_null(dn_trainer_advice(trainer, 0));
    ck_assert_int_eq(dn_trainer_error(trainer)->status, DN_E_STATE);
}

START_TEST(handles_in_use)
{
    dn_scorer_options scoring;
    dn_localizer_options localizing;
    dn_calibrator_options calibrating;
    dn_train_options training = tiny_options();
    dn_model *made;

    dn_scorer_options_init(&scoring);
    dn_localizer_options_init(&localizing);
    dn_calibrator_options_init(&calibrating);
    scoring.runner = localizing.runner = calibrating.runner = training.runner = &prober;
    scoring.threads = localizing.threads = calibrating.threads = training.threads = 2;
    scoring.views = localizing.views = training.views = 16; /* more than one task */
    probe = NULL;
    ck_ok(dn_scorer_create(model, &scoring, &scorer, &error));
    ck_ok(dn_localizer_create(model, &localizing, &localizer, &error));
    trainer = tiny_trainer(&training, 5);

    probe = probe_scorer, probed = 0;
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_int_gt(probed, 0);
    probe = probe_localizer, probed = 0;
    ck_ok(dn_localizer_map(localizer, &view, numbers));
    ck_assert_int_gt(probed, 0);
    probe = probe_trainer, probed = 0;
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &made));
    ck_assert_int_gt(probed, 0);
    probe = NULL;
    ck_ok(dn_calibrator_create(made, &calibrating, &calibrator, &error));
    probe = probe_calibrator, probed = 0;
    ck_ok(dn_calibrator_add_pixels(calibrator, &view, NULL));
    ck_assert_int_gt(probed, 0);

    dn_model_unref(made);
    dn_trainer_free(trainer);
    dn_calibrator_free(calibrator);
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_arguments");
    TCase *tests = tcase_create("api_arguments");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, images);
    tcase_add_test(tests, extractors);
    tcase_add_test(tests, flows);
    tcase_add_test(tests, models);
    tcase_add_test(tests, scorers);
    tcase_add_test(tests, localizers);
    tcase_add_test(tests, monitors_and_calibrators);
    tcase_add_test(tests, trainers);
    tcase_add_test(tests, hooks_and_sizes);
    tcase_add_test(tests, handles_in_use);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
