/* Training through the public interface. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "training.h"

/* ---- options ---- */

START_TEST(defaults_are_documented)
{
    dn_train_options o;

    dn_train_options_init(&o);
    ck_assert_uint_eq(o.struct_size, sizeof o);
    ck_assert(o.epochs == 64 && o.seed == 0 && o.hidden == 512 && o.blocks == 8 && o.clamp == 3);
    ck_assert(o.batch_images == 24 && o.batch_views == 4 && o.bank == 20 && o.standardize == 1);
    ck_assert(o.epoch_steps == 8 && o.schedule == DN_SCHEDULE_COSINE && o.feature_noise == 2);
    ck_assert(o.learning_rate == 1e-3 && o.beta1 == 0.8 && o.beta2 == 0.8 && o.epsilon == 1e-4);
    ck_assert(o.weight_decay == 1e-5 && o.brightness == 0 && o.contrast == 0 && o.saturation == 0);
    ck_assert(o.holdout == 0.1 && o.views == 16 && o.angles == DN_ANGLES_STRATIFIED && o.heatmap_images == 16);
    ck_assert(o.calibration == DN_CALIBRATION_AUTO && o.folds == 0 && o.duplicates == 1);
    ck_assert(o.threads == 1 && !o.checkpoint && o.checkpoint_epochs == 16 && o.resume == 0 && !o.allocator);
}
END_TEST

START_TEST(presets)
{
    dn_train_options o;

    dn_train_options_init(&o);
    o.epochs = 1;
    ck_ok(dn_train_options_preset(&o, DN_PRESET_PAPER));
    ck_assert(o.hidden == 2048 && o.epochs == 192 && o.epoch_steps == 1 && o.schedule == DN_SCHEDULE_CONSTANT);
    ck_assert(o.learning_rate == 2e-4 && o.feature_noise == 0);
    ck_ok(dn_train_options_preset(&o, DN_PRESET_COMPACT));
    dn_train_options defaults;
    dn_train_options_init(&defaults);
    ck_assert(!memcmp(&o, &defaults, sizeof o));
    ck_status(dn_train_options_preset(&o, 3), DN_E_ARGUMENT);
    ck_status(dn_train_options_preset(&o, -1), DN_E_ARGUMENT);
    ck_status(dn_train_options_preset(NULL, 0), DN_E_ARGUMENT);
    o.struct_size = offsetof(dn_train_options, positions); /* a field of the preset is missing */
    ck_status(dn_train_options_preset(&o, 0), DN_E_ARGUMENT);
}
END_TEST

static void refused(const dn_train_options *options, const char *field)
{
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *trainer = (dn_trainer *)&trainer;
    dn_error error = {0};

    ck_status(dn_trainer_create(extractor, options, &trainer, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(trainer);
    ck_assert_msg(strstr(error.message, field) != NULL, "no %s in: %s", field, error.message);
    ck_status(dn_trainer_create(extractor, options, &trainer, NULL), DN_E_ARGUMENT);
    dn_extractor_unref(extractor);
}

static void accepted(const dn_train_options *options)
{
    dn_trainer_free(tiny_trainer(options, 0));
}

START_TEST(integers_out_of_range)
{
#define CHECK(field, low, high)                                      \
    do {                                                             \
        dn_train_options o = tiny_options();                         \
        o.field = (low);                                             \
        accepted(&o);                                                \
        o.field = (low)-1;                                           \
        refused(&o, #field " is");                                   \
        o.field = (high) + 1;                                        \
        refused(&o, #field " is");                                   \
        o.field = INT32_MIN;                                         \
        refused(&o, #field " is -2147483648, outside " #low " .. "); \
        o.field = INT32_MAX;                                         \
        refused(&o, #high);                                          \
    } while (0)
    CHECK(epochs, 0, 1000000);
    CHECK(hidden, 1, 16384);
    CHECK(blocks, 1, 64);
    CHECK(batch_images, 1, 1024);
    CHECK(batch_views, 1, 64);
    CHECK(epoch_steps, 1, 100000);
    CHECK(schedule, 0, 1);
    CHECK(bank, 0, 4096);
    CHECK(standardize, 0, 1);
    CHECK(views, 1, 1024);
    CHECK(angles, 0, 1);
    CHECK(heatmap_images, 0, 1024);
    CHECK(threads, 1, 256);
    CHECK(checkpoint_epochs, 1, 1000000);
    CHECK(calibration, 0, 2);
    CHECK(duplicates, 0, 1);
#undef CHECK
    dn_train_options o = tiny_options();
    o.checkpoint = "x";
    o.resume = 1;
    accepted(&o);
    o.resume = 2;
    refused(&o, "resume is 2");
}
END_TEST

START_TEST(reals_out_of_range)
{
#define CHECK(field, inside, below, above)   \
    do {                                     \
        dn_train_options o = tiny_options(); \
        o.field = (inside);                  \
        accepted(&o);                        \
        o.field = (below);                   \
        refused(&o, #field " is");           \
        o.field = (above);                   \
        refused(&o, #field " is");           \
        o.field = (double)NAN;               \
        refused(&o, #field " is");           \
        o.field = (double)INFINITY;          \
        refused(&o, #field " is");           \
        o.field = -(double)INFINITY;         \
        refused(&o, #field " is");           \
    } while (0)
    CHECK(clamp, 100, 0, 100.001);
    CHECK(learning_rate, 1, 0, 1.001);
    CHECK(beta1, 0, -1e-9, 1);
    CHECK(beta2, 0, -1e-9, 1);
    CHECK(epsilon, 1, 0, 1.001);
    CHECK(weight_decay, 0, -1e-9, 1.001);
    CHECK(weight_decay, 1, -1e-9, 1.001);
    CHECK(feature_noise, 0, -1e-9, 100.001);
    CHECK(feature_noise, 100, -1e-9, 100.001);
    CHECK(brightness, 1, -1e-9, 1.001);
    CHECK(contrast, 1, -1e-9, 1.001);
    CHECK(saturation, 1, -1e-9, 1.001);
    CHECK(holdout, 0.5, -1e-9, 0.5001);
#undef CHECK
}
END_TEST

START_TEST(limits_of_files_out_of_range)
{
    dn_train_options o = tiny_options();

    o.max_pixels = 0;
    refused(&o, "dn_train_options: max_pixels is 0");
    o.max_pixels = o.max_bytes = o.max_memory = INT64_MAX;
    accepted(&o);
    o.max_bytes = -1;
    refused(&o, "max_bytes is -1");
    o.max_bytes = 1;
    o.max_memory = -1;
    refused(&o, "max_memory is -1");
    o.max_memory = 0;
    accepted(&o);
}
END_TEST

START_TEST(other_bad_options)
{
    dn_train_options o = tiny_options();
    dn_allocator allocator = {NULL, NULL, NULL};

    o.resume = 1;
    refused(&o, "resume is 1, but checkpoint is NULL");
    o = tiny_options();
    o.checkpoint = "";
    refused(&o, "checkpoint is an empty path");
    o = tiny_options();
    o.allocator = &allocator;
    refused(&o, "allocator");
    o = tiny_options();
    o.struct_size = 4;
    refused(&o, "struct_size");
    struct {
        dn_train_options known;
        uint64_t unknown;
    } longer = {tiny_options(), 0};
    longer.known.struct_size = sizeof longer;
    accepted(&longer.known);
    longer.unknown = 1;
    refused(&longer.known, "does not know");
    accepted(NULL);
}
END_TEST

START_TEST(null_arguments)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = NULL;
    dn_model *model = NULL;
    dn_error error = {0};

    ck_status(dn_trainer_create(NULL, &o, &trainer, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "extractor is NULL"));
    dn_extractor *extractor = tiny_extractor(NULL);
    ck_status(dn_trainer_create(extractor, &o, NULL, &error), DN_E_ARGUMENT);
    dn_extractor_unref(extractor);
    ck_status(dn_trainer_add_path(NULL, "x"), DN_E_ARGUMENT);
    ck_status(dn_trainer_add_pixels(NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_trainer_run(NULL, NULL, NULL, &model), DN_E_ARGUMENT);
    ck_status(dn_trainer_model(NULL, &model), DN_E_ARGUMENT);
    ck_assert_ptr_null(dn_trainer_error(NULL));
    dn_trainer_free(NULL);
    trainer = tiny_trainer(&o, 1);
    trainer_fails(trainer, dn_trainer_add_path(trainer, NULL), DN_E_ARGUMENT, "path is NULL");
    trainer_fails(trainer, dn_trainer_add_pixels(trainer, NULL), DN_E_ARGUMENT, "image is NULL");
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, NULL), DN_E_ARGUMENT, "out is NULL");
    trainer_fails(trainer, dn_trainer_model(trainer, NULL), DN_E_ARGUMENT, "out is NULL");
    dn_trainer_free(trainer);
}
END_TEST

/* ---- images ---- */

static void write_picture(const char *path, uint32_t seed)
{
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, seed);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    ck_ok(dn_image_write_png(&view, path, NULL));
}

START_TEST(bad_images_are_refused_when_added)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 0);
    const char *folder = test_folder(), *good = path_join(folder, "good.png");
    uint8_t pixels[7 * 9 * 3] = {0};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "add at least one good image");
    write_picture(good, 1);
    trainer_ok(trainer, dn_trainer_add_path(trainer, good));
    trainer_fails(trainer, dn_trainer_add_path(trainer, path_join(folder, "none.png")), DN_E_IO, "none.png");
    trainer_fails(trainer, dn_trainer_add_path(trainer, ""), DN_E_IO, "");
    write_file(path_join(folder, "text.png"), "not an image", 12);
    trainer_fails(trainer, dn_trainer_add_path(trainer, path_join(folder, "text.png")), DN_E_FORMAT, "text.png");
    dn_pixels small = {.pixels = pixels, .width = 7, .height = 9, .format = DN_RGB8};
    ck_ok(dn_image_write_png(&small, path_join(folder, "small.png"), NULL));
    trainer_fails(trainer, dn_trainer_add_path(trainer, path_join(folder, "small.png")), DN_E_ARGUMENT, "small.png");
    trainer_fails(trainer, dn_trainer_add_pixels(trainer, &small), DN_E_ARGUMENT, "7");
    small.format = 99;
    trainer_fails(trainer, dn_trainer_add_pixels(trainer, &small), DN_E_ARGUMENT, "format");
    trainer_ok(trainer, dn_trainer_add_path(trainer, good)); /* twice is allowed */
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    ck_assert_int_eq(dn_trainer_error(trainer)->status, DN_OK);
    dn_model_info info;
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert_int_eq(info.train_images, 2);
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(limits_of_files)
{
    const int64_t size = PICTURE_WIDTH * PICTURE_HEIGHT;
    const char *path = path_join(test_folder(), "good.png");
    dn_train_options o = tiny_options();

    write_picture(path, 1);
    o.max_pixels = size - 1;
    dn_trainer *trainer = tiny_trainer(&o, 0);
    trainer_fails(trainer, dn_trainer_add_path(trainer, path), DN_E_LIMIT, "raise max_pixels");
    dn_trainer_free(trainer);
    o.max_pixels = size;
    o.max_memory = size * 3 - 1;
    trainer = tiny_trainer(&o, 0);
    trainer_fails(trainer, dn_trainer_add_path(trainer, path), DN_E_LIMIT, "raise max_memory");
    dn_trainer_free(trainer);
    o.max_memory = 0;
    o.max_bytes = 100;
    trainer = tiny_trainer(&o, 0);
    trainer_fails(trainer, dn_trainer_add_path(trainer, path), DN_E_LIMIT, "100");
    dn_trainer_free(trainer);
    o.max_bytes = 1 << 20;
    trainer = tiny_trainer(&o, 0);
    trainer_ok(trainer, dn_trainer_add_path(trainer, path));
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(path_and_pixels_train_the_same_model)
{
    dn_train_options o = tiny_options();
    dn_trainer *by_path = tiny_trainer(&o, 0), *by_pixels = tiny_trainer(&o, 5);
    const char *folder = test_folder();

    for (uint32_t i = 1; i <= 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u.png", i);
        write_picture(path_join(folder, name), i);
        trainer_ok(by_path, dn_trainer_add_path(by_path, path_join(folder, name)));
    }
    dn_blob *a = run_to_bytes(by_path), *b = run_to_bytes(by_pixels);
    ck_assert(same_bytes(a, b));
    dn_blob_free(a);
    dn_blob_free(b);
}
END_TEST

START_TEST(an_image_that_vanishes_is_named)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 1);
    const char *path = path_join(test_folder(), "fleeting.png");
    dn_model *model = NULL;

    write_picture(path, 1);
    trainer_ok(trainer, dn_trainer_add_path(trainer, path));
    write_picture(path, 2);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "fleeting.png");
    remove(path);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_IO, "fleeting.png");
    ck_assert_ptr_null(model);
    write_picture(path, 1);
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

enum { FLEETING = 6 };

static const char *fleeting(const char *folder, uint32_t number)
{
    char name[32];

    snprintf(name, sizeof name, "fleeting-%u.png", (unsigned)number);
    return path_join(folder, name);
}

/* Removes all files of a folder when a phase begins. */
typedef struct remover {
    const char *folder;
    int32_t phase;
} remover;

static int32_t remove_then(const dn_progress *progress, void *user)
{
    const remover *r = user;

    for (uint32_t i = 1; progress->phase == r->phase && i <= FLEETING; i++)
        remove(fleeting(r->folder, i));
    return 0;
}

/* All phases that look at images again tell which one is gone; none is added where training has begun. */
START_TEST(images_that_vanish_later)
{
    static const int32_t phases[] = {DN_PHASE_MAPS, DN_PHASE_COPIES, DN_PHASE_HOLDOUT, DN_PHASE_HEATMAP,
                                     DN_PHASE_TRAIN};
    dn_train_options o = tiny_options();
    remover r = {test_folder(), phases[_i]};
    dn_trainer *trainer;
    dn_model *model = NULL;

    o.holdout = 0.4;
    o.epochs = 1;
    o.bank = phases[_i] == DN_PHASE_TRAIN ? 0 : 6;
    o.positions = 1;
    o.light = 0;
    trainer = tiny_trainer(&o, 0);
    for (uint32_t i = 1; i <= FLEETING; i++) {
        write_picture(fleeting(r.folder, i), i);
        trainer_ok(trainer, dn_trainer_add_path(trainer, fleeting(r.folder, i)));
    }
    trainer_fails(trainer, dn_trainer_run(trainer, remove_then, &r, &model), DN_E_IO, "fleeting-");
    ck_assert_ptr_null(model);
    ck_assert_int_eq(count_files(r.folder), 0);
    for (uint32_t i = 1; i <= FLEETING; i++)
        write_picture(fleeting(r.folder, i), i);
    trainer_fails(trainer, dn_trainer_add_path(trainer, fleeting(r.folder, 1)), DN_E_STATE, "make a new trainer");
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(sixteen_bit_gray)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 0);
    uint16_t pixels[24 * 20];
    dn_model *model = NULL;

    for (int i = 0; i < 24 * 20; i++)
        pixels[i] = (uint16_t)(i * 131);
    dn_pixels view = {.pixels = pixels, .width = 24, .height = 20, .format = DN_GRAY16};
    trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    const char *path = path_join(test_folder(), "gray.png");
    ck_ok(dn_image_write_png(&view, path, NULL));
    trainer_ok(trainer, dn_trainer_add_path(trainer, path));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

/* ---- the model ---- */

START_TEST(the_model_knows_its_training)
{
    dn_train_options o = tiny_options();
    o.seed = 7;
    o.views = 3;
    o.angles = DN_ANGLES_GRID;
    dn_trainer *trainer = tiny_trainer(&o, 10);
    watcher w = {0};
    dn_model *model = NULL;
    dn_model_info info;
    int32_t count = -1;

    trainer_ok(trainer, dn_trainer_run(trainer, watch, &w, &model));
    dn_trainer_free(trainer); /* the model lives on */
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert(info.train_images == 8 && info.holdout_images == 2 && info.epochs == 6 && info.bank == 6);
    ck_assert(info.seed == 7 && info.views == 3 && info.angles == DN_ANGLES_GRID && info.standardized == 1);
    ck_assert(info.hidden == 8 && info.blocks == 2 && info.feature_dim == 8 && info.backbone_random == 1);
    ck_assert_str_eq(info.library, dn_version());
    ck_assert(info.final_loss == w.loss && isfinite(info.final_loss));
    ck_assert(info.heatmap_scale > 0);
    const double *scores = dn_model_holdout_scores(model, &count);
    ck_assert_int_eq(count, 2);
    ck_assert(scores[0] > 0 && scores[0] <= scores[1]);
    dn_model_unref(model);
    ck_assert(w.phases_fell == 0);
    ck_assert(w.calls[DN_PHASE_FEATURES] == 2 && w.done[DN_PHASE_FEATURES] == 48 && w.total[DN_PHASE_FEATURES] == 48);
    ck_assert(w.calls[DN_PHASE_TRAIN] == 1 + 6 * 4 && w.done[DN_PHASE_TRAIN] == 6 && w.total[DN_PHASE_TRAIN] == 6);
    ck_assert(w.done[DN_PHASE_HOLDOUT] == 2 && w.total[DN_PHASE_HOLDOUT] == 2);
    ck_assert(w.done[DN_PHASE_HEATMAP] == 2 && w.total[DN_PHASE_HEATMAP] == 2);
}
END_TEST

/* Held-out scores are what a scorer gives for these images, whichever they are. */
START_TEST(holdout_scores_are_scores)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 5);
    dn_model *model = NULL;
    dn_scorer *scorer = NULL;
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    int32_t count, found = 0;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    const double *held = dn_model_holdout_scores(model, &count);
    ck_assert_int_eq(count, 1);
    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    for (uint32_t i = 1; i <= 5; i++) {
        dn_score score;
        dn_score_init(&score);
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, i);
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        ck_ok(dn_scorer_score(scorer, &view, &score));
        found += score.score == held[0];
    }
    ck_assert_int_eq(found, 1);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(few_images)
{
    for (int images = 1; images <= 4; images++) {
        dn_train_options o = tiny_options();
        o.epochs = 1;
        dn_trainer *trainer = tiny_trainer(&o, images);
        dn_model *model = NULL;
        int32_t count = -1;
        trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
        dn_model_holdout_scores(model, &count);
        ck_assert_int_eq(count, images >= 3);
        dn_model_unref(model);
        dn_trainer_free(trainer);
    }
}
END_TEST

/* The extremes: no epoch, no bank, no standardisation, no held-out image, no scale. */
START_TEST(with_everything_switched_off)
{
    dn_train_options o = tiny_options();
    o.epochs = 0;
    o.bank = 0;
    o.standardize = 0;
    o.holdout = 0;
    o.heatmap_images = 0;
    dn_trainer *trainer = tiny_trainer(&o, 4);
    dn_model *model = NULL;
    dn_model_info info;
    watcher w = {0};

    trainer_ok(trainer, dn_trainer_run(trainer, watch, &w, &model));
    for (int phase = 0; phase < 5; phase++)
        ck_assert_int_eq(w.calls[phase], 0);
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert(info.epochs == 0 && info.holdout_images == 0 && info.heatmap_scale == 0 && info.standardized == 0);
    ck_assert(isnan(info.final_loss));
    ck_assert(dn_model_feature_mean(model)[3] == 0 && dn_model_feature_deviation(model)[3] == 1);
    dn_model_unref(model);
    trainer_ok(trainer, dn_trainer_model(trainer, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(state_is_checked)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 3);
    dn_model *first = NULL, *second = NULL;

    trainer_fails(trainer, dn_trainer_model(trainer, &first), DN_E_STATE, "no epoch");
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &first));
    trainer_fails(trainer, add_picture(trainer, 9), DN_E_STATE, "make a new trainer");
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &second)); /* nothing left to train: the same again */
    dn_blob *a = model_bytes(first), *b = model_bytes(second);
    ck_assert(same_bytes(a, b));
    dn_blob_free(a);
    dn_blob_free(b);
    dn_model_unref(first);
    dn_model_unref(second);
    dn_trainer_free(trainer);
}
END_TEST

/* ---- cancelling ---- */

/* Cancelled at any call, then continued: the same model as without. */
START_TEST(cancel_and_go_on)
{
    dn_train_options o = tiny_options();
    o.epochs = 3;
    o.batch_images = 1;
    o.heatmap_images = 1;
    o.bank = 70; /* more than are computed between two calls */
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, 3));
    int cancelled = 0;

    for (int32_t phase = DN_PHASE_FEATURES; phase <= DN_PHASE_HEATMAP; phase++)
        for (int call = 1; call <= 4; call++) {
            dn_trainer *trainer = tiny_trainer(&o, 3);
            watcher w = {.cancel_phase = phase, .cancel_call = call};
            dn_model *model = (dn_model *)&w;
            dn_status status = dn_trainer_run(trainer, watch, &w, &model);
            if (status == DN_E_CANCELLED) {
                ck_assert_ptr_null(model);
                cancelled++;
            } else {
                trainer_ok(trainer, status);
                dn_model_unref(model);
            }
            dn_blob *resumed = run_to_bytes(trainer);
            ck_assert_msg(same_bytes(straight, resumed), "phase %d, call %d", phase, call);
            dn_blob_free(resumed);
        }
    ck_assert_int_ge(cancelled, 4 + 4 + 2 + 2);
    dn_blob_free(straight);
}
END_TEST

/* The model of a cancelled training is that of a shorter one. */
START_TEST(model_after_cancel)
{
    dn_train_options o = tiny_options();
    dn_trainer *trainer = tiny_trainer(&o, 5);
    /* 4 training images, 2 steps per epoch, a call at the start and after each step: in the middle of epoch 3. */
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 6};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    trainer_ok(trainer, dn_trainer_model(trainer, &model));
    dn_blob *cut = model_bytes(model), *whole = run_to_bytes(trainer); /* the model does not disturb the trainer */
    dn_model_unref(model);
    dn_blob *expected_whole = run_to_bytes(tiny_trainer(&o, 5));
    o.epochs = 2;
    dn_blob *expected_cut = run_to_bytes(tiny_trainer(&o, 5));
    ck_assert(same_bytes(cut, expected_cut));
    ck_assert(same_bytes(whole, expected_whole));
    ck_assert(!same_bytes(cut, whole));
    dn_blob_free(cut);
    dn_blob_free(whole);
    dn_blob_free(expected_cut);
    dn_blob_free(expected_whole);
}
END_TEST

/* Cancelled while features are made, or maps: there is nothing to be had yet. */
START_TEST(no_model_after_cancel)
{
    dn_train_options o = tiny_options();
    watcher w = {.cancel_phase = _i ? DN_PHASE_MAPS : DN_PHASE_FEATURES, .cancel_call = 1};
    dn_model *model = NULL;

    o.positions = _i;
    dn_trainer *trainer = tiny_trainer(&o, 5);
    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    trainer_fails(trainer, dn_trainer_model(trainer, &model), DN_E_STATE, "there is no model");
    ck_assert_ptr_null(model);
    dn_trainer_free(trainer);
}
END_TEST

/* In the middle of an epoch the model takes a copy of the last good weights. */
START_TEST(model_after_cancel_without_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_train_options o = tiny_options();
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 6};
    dn_model *model = NULL;
    dn_status status = DN_E_MEMORY;
    int failures = 0;

    o.allocator = &allocator;
    dn_trainer *trainer = tiny_trainer(&o, 5);
    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    for (; status != DN_OK; failures++) {
        ck_assert_int_lt(failures, 200);
        memory.fail_at = memory.calls + failures + 1;
        status = dn_trainer_model(trainer, &model);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && !model));
    }
    memory.fail_at = 0;
    ck_assert_int_gt(failures, 5);
    dn_model_unref(model);
    dn_trainer_free(trainer);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- determinism ---- */

static dn_blob *train_with(int32_t threads, uint64_t seed, int32_t bank)
{
    dn_train_options o = tiny_options();

    o.threads = threads;
    o.seed = seed;
    o.bank = bank;
    o.epochs = 3;
    o.brightness = o.contrast = o.saturation = 0.1;
    return run_to_bytes(tiny_trainer(&o, 6));
}

START_TEST(same_bits_for_any_threads)
{
    static const int32_t banks[] = {6, 2, 0};
    int32_t bank = banks[_i];
    dn_blob *one = train_with(1, 0, bank);

    for (int32_t threads = 1; threads <= 3; threads++) {
        dn_blob *other = train_with(threads, 0, bank);
        ck_assert_msg(same_bytes(one, other), "%d threads", threads);
        dn_blob_free(other);
    }
    dn_blob *seeded = train_with(1, 1, bank);
    ck_assert(!same_bytes(one, seeded));
    dn_blob_free(seeded);
    dn_blob_free(one);
}
END_TEST

/* ---- memory ---- */

/* Everything from the trainer to the model, with the n-th allocation failing. */
static dn_status whole_run(failing_memory *memory, dn_extractor *extractor, const char *image, const char *checkpoint)
{
    dn_allocator allocator = failing_allocator(memory);
    dn_train_options o = tiny_options();
    dn_trainer *trainer = NULL;
    dn_model *model = NULL;
    dn_error error = {0};

    o.epochs = 1;
    o.blocks = 1;
    o.bank = 2;
    o.batch_views = 1;
    o.views = 1;
    o.heatmap_images = checkpoint ? 0 : 1; /* once is enough: it is slow */
    o.allocator = &allocator;
    o.checkpoint = checkpoint;
    o.resume = checkpoint != NULL;
    dn_status status = dn_trainer_create(extractor, &o, &trainer, &error);
    for (uint32_t i = 1; status == DN_OK && i <= 2; i++)
        status = add_picture(trainer, i);
    if (status == DN_OK)
        status = dn_trainer_add_path(trainer, image);
    if (status == DN_OK)
        status = dn_trainer_run(trainer, NULL, NULL, &model);
    if (status != DN_OK) {
        const char *message = trainer ? dn_trainer_error(trainer)->message : error.message;
        ck_assert_msg(status == DN_E_MEMORY && strstr(message, "memory") != NULL, "status %d: %s", status, message);
        ck_assert_ptr_null(model);
    }
    dn_model_unref(model);
    dn_trainer_free(trainer);
    return status;
}

START_TEST(every_allocation_can_fail)
{
    dn_extractor *extractor = tiny_extractor(NULL);
    const char *folder = test_folder(), *image = path_join(folder, "1.png");
    const char *checkpoint = path_join(folder, "checkpoint"), *bank = path_join(folder, "checkpoint.bank");
    dn_status status = DN_E_MEMORY;

    write_picture(image, 3);
    for (long n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        status = whole_run(&memory, extractor, image, _i ? checkpoint : NULL);
        ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
        remove(checkpoint);
        remove(bank);
        ck_assert_int_eq(count_files(folder), 1);
        ck_assert_int_lt(n, 2000);
    }
    dn_extractor_unref(extractor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_train");
    TCase *options = tcase_create("options"), *images = tcase_create("images"), *run = tcase_create("run");

    tcase_add_test(options, defaults_are_documented);
    tcase_add_test(options, presets);
    tcase_add_test(options, integers_out_of_range);
    tcase_add_test(options, reals_out_of_range);
    tcase_add_test(options, limits_of_files_out_of_range);
    tcase_add_test(options, other_bad_options);
    tcase_add_test(options, null_arguments);
    tcase_add_test(images, bad_images_are_refused_when_added);
    tcase_add_test(images, limits_of_files);
    tcase_add_test(images, path_and_pixels_train_the_same_model);
    tcase_add_test(images, an_image_that_vanishes_is_named);
    tcase_add_test(images, sixteen_bit_gray);
    tcase_set_timeout(run, 120);
    tcase_add_loop_test(run, images_that_vanish_later, 0, 5);
    tcase_add_test(run, the_model_knows_its_training);
    tcase_add_test(run, holdout_scores_are_scores);
    tcase_add_test(run, few_images);
    tcase_add_test(run, with_everything_switched_off);
    tcase_add_test(run, state_is_checked);
    tcase_add_test(run, cancel_and_go_on);
    tcase_add_test(run, model_after_cancel);
    tcase_add_loop_test(run, no_model_after_cancel, 0, 2);
    tcase_add_test(run, model_after_cancel_without_memory);
    tcase_add_loop_test(run, same_bits_for_any_threads, 0, 3);
    tcase_add_loop_test(run, every_allocation_can_fail, 0, 2);
    suite_add_tcase(suite, options);
    suite_add_tcase(suite, images);
    suite_add_tcase(suite, run);
    return suite;
}

TEST_MAIN(make_suite)
