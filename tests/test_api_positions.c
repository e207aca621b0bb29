/* The density at every position through the shared library: from pictures to model, file, score and map. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runners.h"
#include "serving.h"
#include "training.h"

/* SHAPED: both densities, the positions' on 3 x 2 tiles, images in their own aspect.  DETAILED: positions alone, with the
 * finer grid. */
enum { FAST, COMPACT, SHAPED, DETAILED, MODELS };

static _Bool has_flow(int kind)
{
    return kind == COMPACT || kind == SHAPED;
}

static dn_train_options options_of(int kind)
{
    dn_train_options options = tiny_options();

    options.positions = 1;
    options.flow = has_flow(kind);
    options.epochs = has_flow(kind) ? 2 : 0;
    options.preset = has_flow(kind) ? DN_PRESET_COMPACT : DN_PRESET_FAST;
    if (kind == SHAPED) {
        options.tile_columns = 3;
        options.tile_rows = 2;
        options.fit = DN_FIT_LETTERBOX;
    }
    options.details = kind == DETAILED ? DN_DETAILS_ON : DN_DETAILS_AUTO;
    return options;
}

static dn_model *train_model(const dn_train_options *options, int images)
{
    dn_trainer *trainer = tiny_trainer(options, images);
    dn_model *model;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

static dn_model *model_of(int kind)
{
    dn_train_options options = options_of(kind);

    return train_model(&options, 6);
}

static dn_scorer *scorer_on(dn_model *model, int32_t threads, const dn_allocator *allocator)
{
    dn_scorer_options options;

    dn_scorer_options_init(&options);
    options.threads = threads;
    options.allocator = allocator;
    return make_scorer(model, &options);
}

static dn_localizer *localizer_on(dn_model *model, int32_t threads, const dn_allocator *allocator)
{
    dn_localizer_options options;
    dn_localizer *localizer;

    dn_localizer_options_init(&options);
    options.threads = threads;
    options.allocator = allocator;
    options.method = DN_MAP_POSITIONS;
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    return localizer;
}

static dn_score score_one(dn_model *model, const dn_pixels *view)
{
    dn_scorer *scorer = scorer_on(model, 1, NULL);
    dn_score score;

    score_alone(scorer, view, 1, &score);
    dn_scorer_free(scorer);
    return score;
}

/* All numbers that the model's densities give are there and finite, and the verdict fits them. */
static void check_score(const dn_score *score, _Bool flow, int32_t holdout)
{
    ck_assert(isfinite(score->score) && score->score >= 0);
    ck_assert(isfinite(score->local_score) && score->local_score > 0);
    ck_assert(isfinite(score->whole_score) && score->whole_score > 0);
    ck_assert_int_eq(isfinite(score->flow_score) != 0, flow);
    ck_assert_int_eq(isfinite(score->log_likelihood) != 0, flow);
    ck_assert_int_eq(score->lower_bound, 0);
    if (holdout == 0) {
        ck_assert_int_eq(score->anomalous, -1);
        ck_assert(isnan(score->p_value) && isnan(score->threshold) && isnan(score->false_alarm_rate));
        return;
    }
    double steps = score->p_value * (holdout + 1);
    ck_assert_double_eq_tol(steps, round(steps), 1e-9);
    ck_assert(score->p_value > 0 && score->p_value <= 1);
    ck_assert_double_eq_tol(score->false_alarm_rate, fmax(0.05, 1.0 / (holdout + 1)), 1e-12);
    ck_assert_int_eq(score->anomalous, score->p_value <= score->false_alarm_rate);
    ck_assert_int_eq(score->anomalous, score->score > score->threshold);
}

/* ---- training ---- */

START_TEST(same_bytes_for_any_threads)
{
    static void (*const runs[])(dn_job_fn, void *, int32_t, void *) = {run_in_order, run_reversed, run_on_threads};
    dn_train_options options = options_of(_i);
    dn_blob *one = run_to_bytes(tiny_trainer(&options, 6)), *other;

    for (options.threads = 2; options.threads <= 3; options.threads++) {
        other = run_to_bytes(tiny_trainer(&options, 6));
        ck_assert_msg(same_bytes(one, other), "%d threads", options.threads);
        dn_blob_free(other);
    }
    for (int r = 0; r < 3; r++) {
        host self = {RUNNER_GOOD, 0, NULL, NULL};
        dn_runner runner = {runs[r], &self};
        options.threads = 3;
        options.runner = &runner;
        other = run_to_bytes(tiny_trainer(&options, 6));
        ck_assert_msg(same_bytes(one, other), "runner %d", r);
        ck_assert_int_gt(self.runs, 10);
        dn_blob_free(other);
    }
    dn_blob_free(one);
}
END_TEST

START_TEST(what_the_model_tells)
{
    dn_train_options options = options_of(_i);
    dn_model_info told;
    int32_t count;

    options.position_dims = has_flow(_i) ? 5 : 100; /* no more than there are channels */
    options.seed = 7;
    dn_model *model = train_model(&options, 6);
    dn_model_info_init(&told);
    ck_ok(dn_model_get_info(model, &told));
    ck_assert_int_eq(told.positions, 1);
    ck_assert_int_eq(told.map_rows, _i == SHAPED ? 6 : 3); /* 64 pixels -> 15 -> 7 -> 3 */
    ck_assert_int_eq(told.map_columns, _i == SHAPED ? 9 : 3);
    ck_assert_double_eq(told.detail_weight, _i == DETAILED ? 1 : 0);
    ck_assert_int_eq(told.detail_rows, _i == DETAILED ? 7 : 0);
    ck_assert_int_eq(told.detail_columns, _i == DETAILED ? 7 : 0);
    double learned = (double)told.train_images * told.train_images, weight = learned / (learned + 150.0 * 150.0);
    ck_assert_double_eq_tol(told.flow_weight, has_flow(_i) ? weight : 0, 1e-15);
    ck_assert_int_eq(told.tile_columns, _i == SHAPED ? 3 : 1);
    ck_assert_int_eq(told.tile_rows, _i == SHAPED ? 2 : 1);
    ck_assert_int_eq(told.fit, _i == SHAPED ? DN_FIT_LETTERBOX : DN_FIT_STRETCH);
    ck_assert_int_eq(told.map_channels, 4 + 6 + 6 + 8);
    ck_assert_int_eq(told.position_dims, has_flow(_i) ? 5 : 24);
    ck_assert_double_gt(told.positions_scale, 0);
    ck_assert_uint_eq(told.seed, 7);
    ck_assert_int_eq(told.storage, DN_STORAGE_F32);
    ck_assert_str_eq(told.preset, has_flow(_i) ? "compact" : "fast");
    ck_assert_int_eq(told.flow, has_flow(_i));
    ck_assert_int_eq(told.blocks, has_flow(_i) ? 2 : 0);
    ck_assert_int_eq(told.hidden, has_flow(_i) ? 8 : 0);
    ck_assert_int_eq(told.views, has_flow(_i) ? 4 : 1);
    ck_assert_int_eq(told.epochs, has_flow(_i) ? 2 : 0);
    ck_assert_int_eq(told.train_images, has_flow(_i) ? 5 : 6);
    ck_assert_int_eq(told.holdout_images, has_flow(_i) ? 1 : 6);
    ck_assert_int_eq(told.heatmap_scale > 0, has_flow(_i));
    ck_assert_int_eq(isnan(told.final_loss) != 0, !has_flow(_i));
    ck_assert_int_eq(dn_model_flow(model) != NULL, has_flow(_i));
    ck_assert_int_eq(dn_model_feature_mean(model) != NULL, has_flow(_i));
    ck_assert_int_eq(dn_model_feature_deviation(model) != NULL, has_flow(_i));
    ck_assert_ptr_nonnull(dn_model_holdout_scores(model, &count));
    ck_assert_int_eq(count, told.holdout_images);
    dn_model_unref(model);
}
END_TEST

START_TEST(options_that_cannot_be)
{
    static const struct {
        size_t field;
        const char *name;
        int32_t low, high;
    } fields[] = {
        {offsetof(dn_train_options, flow), "flow", 0, 1},
        {offsetof(dn_train_options, positions), "positions", 0, 1},
        {offsetof(dn_train_options, light), "light", 0, 1},
        {offsetof(dn_train_options, copies), "copies", DN_COPIES_AUTO, DN_COPIES_TURN},
        {offsetof(dn_train_options, details), "details", DN_DETAILS_AUTO, DN_DETAILS_ON},
        {offsetof(dn_train_options, position_dims), "position_dims", 1, 512},
        {offsetof(dn_train_options, fit), "fit", DN_FIT_STRETCH, DN_FIT_LETTERBOX},
        {offsetof(dn_train_options, preset), "preset", DN_PRESET_COMPACT, DN_PRESET_FAST},
    };
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *trainer;
    dn_error error;

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (int side = 0; side < 2; side++) {
            dn_train_options options = options_of(COMPACT);
            int32_t *field = (int32_t *)(void *)((char *)&options + fields[i].field);
            char part[40];
            *field = side ? fields[i].high : fields[i].low;
            ck_ok(dn_trainer_create(extractor, &options, &trainer, &error));
            dn_trainer_free(trainer);
            *field += side ? 1 : -1;
            ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
            ck_assert_ptr_null(trainer);
            snprintf(part, sizeof part, "%s is %d", fields[i].name, *field);
            check_error(&error, DN_E_ARGUMENT, part);
        }
    dn_train_options options = options_of(COMPACT);
    options.flow = options.positions = 0;
    ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "flow and positions are both 0");
    options = options_of(COMPACT);
    options.tile_columns = 0;
    ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "0 x 1 tiles");
    options.tile_columns = 33;
    ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "tile_columns is 33");
    options.tile_columns = options.tile_rows = 6;
    ck_status(dn_trainer_create(extractor, &options, &trainer, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "6 x 6 tiles");
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(copies_in_another_light_change_the_model)
{
    dn_train_options options = options_of(FAST);
    dn_blob *with = run_to_bytes(tiny_trainer(&options, 4));

    options.light = 0;
    dn_blob *without = run_to_bytes(tiny_trainer(&options, 4));
    options.seed = 1; /* without copies it divides the folds alone */
    dn_blob *seeded = run_to_bytes(tiny_trainer(&options, 4));
    ck_assert_uint_eq(dn_blob_size(with), dn_blob_size(without));
    ck_assert(!same_bytes(with, without));
    ck_assert(!same_bytes(seeded, without)); /* the seed is told, if nothing else */
    dn_blob_free(with);
    dn_blob_free(without);
    dn_blob_free(seeded);
}
END_TEST

/* A bar on gray, `degrees` from upright, with a little noise. */
static void draw_bar(uint8_t *rgb, int side, double degrees, uint32_t seed)
{
    double cosine = cos(degrees * 3.14159265358979323846 / 180), sine = sin(degrees * 3.14159265358979323846 / 180);

    draw_texture(rgb, side, side, seed);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double u = x - side / 2.0 + 0.5, v = y - side / 2.0 + 0.5;
            double along = u * sine + v * cosine, across = u * cosine - v * sine;
            _Bool inside = fabs(across) < side / 10.0 && along > -side / 10.0 && along < side / 2.5;
            for (int c = 0; c < 3; c++) {
                uint8_t *value = &rgb[(y * side + x) * 3 + c];
                *value = (uint8_t)((inside ? 200 : 60) + *value / 32);
            }
        }
}

enum { BAR_SIDE = 64, BARS = 12 };

/* Of BARS pictures, `different` ones again and again. */
static dn_model_info model_of_some_bars(int different, int32_t copies, int32_t details, double turn)
{
    dn_train_options options = options_of(FAST);
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *trainer;
    dn_model *model;

    options.copies = copies;
    options.details = details;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (int i = 0; i < BARS; i++) {
        uint8_t rgb[BAR_SIDE * BAR_SIDE * 3];
        draw_bar(rgb, BAR_SIDE, turn * (i % different), 100 + (uint32_t)(i % different));
        dn_pixels view = rgb_view(rgb, BAR_SIDE, BAR_SIDE);
        ck_ok(dn_trainer_add_pixels(trainer, &view));
    }
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_model_info info;
    dn_blob *blob;
    dn_model *opened;
    dn_model_info_init(&info);
    ck_ok(dn_model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    opened = model_of_bytes(blob);
    ck_ok(dn_model_get_info(opened, &info));
    dn_model_unref(opened);
    dn_model_unref(model);
    dn_blob_free(blob);
    return info;
}

static dn_model_info model_of_bars(int32_t copies, int32_t details, double turn)
{
    return model_of_some_bars(BARS, copies, details, turn);
}

/* A part in one pose is learned as it is; one that lies at any angle, turned.  What is asked for is done. */
START_TEST(copies_suit_the_part)
{
    ck_assert_int_eq(model_of_bars(DN_COPIES_AUTO, DN_DETAILS_AUTO, 0).copies, DN_COPIES_NONE);
    ck_assert_int_eq(model_of_bars(DN_COPIES_AUTO, DN_DETAILS_AUTO, 137.5).copies, DN_COPIES_TURN);
    for (int32_t copies = DN_COPIES_NONE; copies <= DN_COPIES_TURN; copies++)
        ck_assert_int_eq(model_of_bars(copies, DN_DETAILS_OFF, 0).copies, copies);
}
END_TEST

/* Details are for parts in a fixed pose, whatever copies are learned; what is asked for is done. */
START_TEST(details_suit_the_part)
{
    for (int32_t copies = DN_COPIES_AUTO; copies <= DN_COPIES_MIRROR; copies += DN_COPIES_MIRROR) {
        ck_assert_double_gt(model_of_bars(copies, DN_DETAILS_AUTO, 0).detail_weight, 0);
        ck_assert_double_eq(model_of_bars(copies, DN_DETAILS_AUTO, 137.5).detail_weight, 0);
    }
    ck_assert_double_eq(model_of_bars(DN_COPIES_NONE, DN_DETAILS_OFF, 0).detail_weight, 0);
    ck_assert_double_gt(model_of_bars(DN_COPIES_NONE, DN_DETAILS_ON, 137.5).detail_weight, 0);

    dn_train_options options = options_of(SHAPED);
    options.details = DN_DETAILS_ON;
    dn_trainer *trainer = tiny_trainer(&options, 4);
    dn_model *model;
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_ARGUMENT, "several tiles");
    dn_trainer_free(trainer);
}
END_TEST

/* Images that were added again are no further parts, and none that tells of itself. */
START_TEST(repetitions_have_no_say)
{
    ck_assert_int_eq(model_of_some_bars(4, DN_COPIES_AUTO, DN_DETAILS_AUTO, 137.5).copies, DN_COPIES_NONE);
    ck_assert_double_eq(model_of_some_bars(BARS - 1, DN_COPIES_AUTO, DN_DETAILS_AUTO, 0).detail_weight, 0);
}
END_TEST

/* Of many images those that gave the projection do not calibrate; those that are kept out for it never give it. */
START_TEST(many_images_calibrate)
{
    enum { IMAGES = 130, GIVEN = IMAGES / 5, KEPT = 20 };
    int32_t count;

    for (int kind = FAST; kind <= COMPACT; kind++) {
        dn_train_options options = options_of(kind);
        options.copies = DN_COPIES_NONE;
        options.calibration = DN_CALIBRATION_SPLIT;
        options.holdout = (double)KEPT / IMAGES;
        dn_model *model = train_model(&options, IMAGES);
        dn_model_holdout_scores(model, &count);
        ck_assert_int_eq(count, has_flow(kind) ? KEPT : IMAGES - GIVEN);
        dn_model_unref(model);
    }
}
END_TEST

/* A network of one channel in each layer has fewer numbers in its maps than the finer grid has cells. */
START_TEST(details_of_one_channel)
{
    const int32_t channels[5] = {1, 1, 1, 1, 1};
    dn_train_options options = options_of(DETAILED);
    dn_extractor_options extracting;
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_model *model;
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);

    dn_extractor_options_init(&extracting);
    extracting.input_size = 64;
    extracting.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &extracting, &extractor, NULL));
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (uint32_t i = 1; i <= 4; i++)
        ck_ok(add_picture(trainer, i));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 9);
    dn_score score = score_one(model, &view);
    check_score(&score, 0, 4);
    dn_model_unref(model);
}
END_TEST

/* Cancels at the n-th call of a phase. */
typedef struct canceller {
    int32_t phase;
    int call, calls;
    int64_t total;
} canceller;

static int32_t cancel(const dn_progress *progress, void *user)
{
    canceller *c = user;

    ck_assert_int_le(progress->done, progress->total);
    if (progress->phase != c->phase)
        return 0;
    ck_assert(c->total == 0 || c->total == progress->total);
    c->total = progress->total;
    return ++c->calls == c->call;
}

START_TEST(cancelled_and_run_again)
{
    dn_train_options options = options_of(_i);
    dn_blob *straight = run_to_bytes(tiny_trainer(&options, 5));
    int64_t totals[] = {2 + 2 + 5 * 5, 5 + 1}; /* views of both projections and all; folds and the last fit */
    int cancelled[2] = {0};

    for (int p = 0; p < 2; p++)
        for (int call = 1;; call++) {
            canceller c = {p ? DN_PHASE_POSITIONS : DN_PHASE_MAPS, call, 0, 0};
            dn_trainer *trainer = tiny_trainer(&options, 5);
            dn_model *model = (dn_model *)(uintptr_t)&c, *early;
            dn_status status = dn_trainer_run(trainer, cancel, &c, &model);
            ck_assert_int_eq(c.total, totals[p]);
            if (status == DN_OK) {
                dn_model_unref(model);
                dn_trainer_free(trainer);
                break;
            }
            trainer_fails(trainer, status, DN_E_CANCELLED, "cancelled");
            ck_assert_ptr_null(model);
            ck_status(dn_trainer_model(trainer, &early), DN_E_STATE);
            ck_assert_ptr_null(early);
            dn_blob *again = run_to_bytes(trainer);
            ck_assert_msg(same_bytes(straight, again), "phase %d, call %d", c.phase, call);
            dn_blob_free(again);
            cancelled[p]++;
        }
    ck_assert_int_ge(cancelled[0], 4);
    ck_assert_int_ge(cancelled[1], 6);
    dn_blob_free(straight);
}
END_TEST

/* Another process learns the positions again, and goes on with the flow. */
START_TEST(resumed_from_a_checkpoint)
{
    const char *folder = test_folder();
    dn_train_options options = options_of(COMPACT);
    canceller c = {DN_PHASE_TRAIN, 3, 0, 0};
    dn_model *model;

    options.epochs = 4;
    dn_blob *straight = run_to_bytes(tiny_trainer(&options, 5));
    options.checkpoint = path_join(folder, "checkpoint");
    options.resume = 1;
    dn_trainer *trainer = tiny_trainer(&options, 5);
    trainer_fails(trainer, dn_trainer_run(trainer, cancel, &c, &model), DN_E_CANCELLED, "cancelled");
    dn_trainer_free(trainer);
    ck_assert_int_eq(count_files(folder), 2); /* the state and the bank */
    dn_blob *resumed = run_to_bytes(tiny_trainer(&options, 5));
    ck_assert(same_bytes(straight, resumed));
    dn_blob_free(straight);
    dn_blob_free(resumed);
}
END_TEST

/* ---- files ---- */

static dn_model *open_path(const char *path, int32_t verify)
{
    dn_model_options options;
    dn_model *model;
    dn_error error = {0};

    dn_model_options_init(&options);
    options.verify = verify;
    dn_status status = dn_model_open_path(path, &options, &model, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

START_TEST(saved_and_opened)
{
    const char *folder = test_folder(), *path = path_join(folder, "a.dnm"), *half = path_join(folder, "half.dnm");
    dn_model *model = model_of(_i), *again;
    dn_pixels views[MANY];
    dn_score scores[4], score;
    dn_model_info first, second;

    draw_pictures(views);
    for (int i = 0; i < 4; i++)
        scores[i] = score_one(model, &views[i]);
    ck_ok(dn_model_save(model, path, DN_STORAGE_F32, NULL));
    ck_ok(dn_model_save(model, half, DN_STORAGE_F16, NULL));
    dn_model_info_init(&first);
    dn_model_info_init(&second);
    ck_ok(dn_model_get_info(model, &first));
    for (int32_t verify = DN_VERIFY_HEADER; verify <= DN_VERIFY_FULL; verify++) {
        again = open_path(path, verify);
        ck_ok(dn_model_get_info(again, &second));
        ck_assert_mem_eq(&first, &second, sizeof first);
        for (int i = 0; i < 4; i++) {
            score = score_one(again, &views[i]);
            ck_assert_mem_eq(&score, &scores[i], sizeof score);
        }
        dn_blob *expected = model_bytes(model), *bytes = model_bytes(again);
        ck_assert(same_bytes(expected, bytes));
        dn_blob_free(expected);
        dn_blob_free(bytes);
        dn_model_unref(again);
        again = open_path(half, verify);
        ck_ok(dn_model_get_info(again, &second));
        ck_assert_int_eq(second.storage, DN_STORAGE_F16);
        ck_assert_uint_ne(second.id, first.id);
        for (int i = 0; i < 4; i++) {
            score = score_one(again, &views[i]);
            ck_assert_double_eq_tol(score.local_score, scores[i].local_score, 0.02 * scores[i].local_score);
            ck_assert_double_eq_tol(score.whole_score, scores[i].whole_score, 0.02 * scores[i].whole_score);
            ck_assert_double_eq_tol(score.score, scores[i].score, 0.1 * scores[i].score);
        }
        dn_model_unref(again);
    }
    dn_model_unref(model);
}
END_TEST

/* The bytes of a tensor in a model's file. */
static float *tensor_in(uint8_t *bytes, size_t size, const char *name)
{
    uint64_t header = 0;
    char key[80];
    unsigned long long first = 0;

    memcpy(&header, bytes, sizeof header);
    ck_assert_uint_lt(header, size - 8);
    char *text = calloc(1, header + 1);
    memcpy(text, bytes + 8, header);
    snprintf(key, sizeof key, "\"%s\":{", name);
    const char *at = strstr(text, key);
    at = at ? strstr(at, "\"data_offsets\":[") : NULL;
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "\"data_offsets\":[%llu", &first), 1);
    free(text);
    return (float *)(void *)(bytes + 8 + header + first);
}

static void set_float(float *at, float value)
{
    memcpy(at, &value, sizeof value);
}

/* Where the numbers of the cell in the grid's middle begin. */
static size_t middle_factor(const dn_model *model)
{
    dn_model_info told;

    dn_model_info_init(&told);
    ck_ok(dn_model_get_info(model, &told));
    size_t cell = (size_t)(told.map_rows / 2 * told.map_columns + told.map_columns / 2);
    return cell * (size_t)(told.position_dims * (told.position_dims + 1) / 2);
}

/* A file whose checksum nobody compares: what its numbers do is an error, never NaN. */
START_TEST(damaged_numbers)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 3e38f};
    static float map[SIDE * SIDE];
    dn_model *model = model_of(_i), *spoilt;
    dn_model_options trusting;
    dn_pixels views[MANY];
    dn_score scores[2];
    dn_error errors[2];
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob), middle = middle_factor(model);
    uint8_t *bytes = malloc(size);

    draw_pictures(views);
    dn_model_options_init(&trusting);
    trusting.verify = DN_VERIFY_HEADER;
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        memcpy(bytes, dn_blob_data(blob), size);
        set_float(tensor_in(bytes, size, "positions.factor") + middle, values[v]);
        ck_status(dn_model_open_memory(bytes, size, NULL, &spoilt, &errors[0]), DN_E_FORMAT);
        check_error(&errors[0], DN_E_FORMAT, "checksum");
        ck_ok(dn_model_open_memory(bytes, size, &trusting, &spoilt, NULL));
        dn_scorer *scorer = scorer_on(spoilt, 1 + (int32_t)v % 2, NULL);
        dn_localizer *localizer = localizer_on(spoilt, 1, NULL);
        dn_score_init(&scores[0]);
        dn_score_init(&scores[1]);
        ck_status(dn_scorer_score(scorer, &views[0], &scores[0]), DN_E_NUMERIC);
        check_error(dn_scorer_error(scorer), DN_E_NUMERIC, "score");
        ck_status(dn_scorer_decide(scorer, &views[0], &scores[0]), DN_E_NUMERIC);
        ck_status(dn_scorer_inspect(scorer, &views[0], map, &scores[0]), DN_E_NUMERIC);
        ck_status(dn_scorer_score_batch(scorer, views, 2, scores, errors), DN_E_NUMERIC);
        check_error(&errors[1], DN_E_NUMERIC, "score");
        ck_status(dn_localizer_map(localizer, &views[0], map), DN_E_NUMERIC);
        check_error(dn_localizer_error(localizer), DN_E_NUMERIC, "not finite");
        dn_scorer_free(scorer);
        dn_localizer_free(localizer);
        dn_model_unref(spoilt);
        sign_file(bytes, size);
        if (v < 3) {
            ck_status(dn_model_open_memory(bytes, size, NULL, &spoilt, &errors[0]), DN_E_NUMERIC);
            check_error(&errors[0], DN_E_NUMERIC, "positions.factor");
        }
    }
    free(bytes);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

/* What the flow's word counts is told where there are both densities, in a file that earlier versions refuse. */
START_TEST(weight_of_the_flow)
{
    static const double values[] = {0, -0.5, 1.0000001, (double)NAN, (double)INFINITY};
    dn_model *model = model_of(_i), *spoilt;
    dn_error error;
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);

    memcpy(bytes, dn_blob_data(blob), size);
    _Bool told = find_text(bytes, size, "\"flow.weight\"") != NULL;
    ck_assert_int_eq(told, has_flow(_i));
    ck_assert_int_eq(find_text(bytes, size, "\"differnet.format\":\"5\"") != NULL, has_flow(_i));
    for (size_t v = 0; told && v < sizeof values / sizeof *values; v++) {
        double *weight = (double *)(void *)tensor_in(bytes, size, "flow.weight");
        dn_model_info info;
        dn_model_info_init(&info);
        ck_ok(dn_model_get_info(model, &info));
        double images = info.train_images;
        if (v == 0)
            ck_assert_double_eq_tol(*weight, images * images / (images * images + 150 * 150), 1e-12);
        *weight = values[v];
        sign_file(bytes, size);
        ck_assert_int_ne(dn_model_open_memory(bytes, size, NULL, &spoilt, &error), DN_OK);
        check_error(&error, isfinite(values[v]) ? DN_E_FORMAT : DN_E_NUMERIC, "flow.weight");
    }
    free(bytes);
    dn_blob_free(blob);
    dn_model_unref(model);
}
END_TEST

/* A backbone whose maps are huge: either all is finite, or training says what is wrong. */
START_TEST(huge_maps)
{
    static const float factors[] = {1e6f, 1e12f, 1e19f, 1e25f, 1e30f};
    dn_extractor *extractor = tiny_extractor(NULL), *large;
    dn_extractor_options extracting;
    dn_blob *blob;
    dn_error error = {0};
    int refused = 0;

    dn_extractor_options_init(&extracting);
    extracting.input_size = 64;
    extracting.scales = 1;
    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &blob, NULL));
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        dn_train_options options = options_of(FAST);
        dn_trainer *trainer;
        dn_model *model;
        memcpy(bytes, dn_blob_data(blob), size);
        for (int layer = 0; layer <= 3; layer += 3) { /* of the first convolution and, at last, of the second */
            float *weights = tensor_in(bytes, size, layer ? "features.3.weight" : "features.0.weight"), weight;
            for (int i = 0; (layer == 0 || factors[f] == 1e30f) && i < 4 * (layer ? 4 * 25 : 3 * 121); i++) {
                memcpy(&weight, weights + i, sizeof weight);
                set_float(weights + i, weight * factors[f]);
            }
        }
        sign_file(bytes, size);
        dn_status status = dn_extractor_open_memory(bytes, size, &extracting, &large, &error);
        ck_assert_msg(status == DN_OK, "%s", error.message);
        ck_ok(dn_trainer_create(large, &options, &trainer, NULL));
        for (uint32_t i = 1; i <= 4; i++)
            ck_ok(add_picture(trainer, i));
        status = dn_trainer_run(trainer, NULL, NULL, &model);
        if (status == DN_OK) {
            dn_pixels views[MANY];
            draw_pictures(views);
            dn_score score = score_one(model, &views[4]);
            check_score(&score, 0, 4);
            dn_model_unref(model);
        } else {
            trainer_fails(trainer, status, DN_E_NUMERIC, "overflow");
            refused++;
        }
        dn_trainer_free(trainer);
        dn_extractor_unref(large);
    }
    ck_assert(refused > 0 && refused < 5);
    free(bytes);
    dn_blob_free(blob);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- scores and maps ---- */

START_TEST(inspect_is_score_and_map)
{
    static float map[SIDE * SIDE], expected[SIDE * SIDE];
    dn_model *model = model_of(_i);
    dn_pixels views[MANY];
    dn_score score, alone;

    draw_pictures(views);
    for (int32_t threads = 1; threads <= 3; threads++) {
        dn_scorer *first = scorer_on(model, 1, NULL), *scorer = scorer_on(model, threads, NULL);
        dn_localizer *localizer = localizer_on(model, 4 - threads, NULL);
        for (int i = 0; i < 6; i++) {
            score_alone(first, &views[i], 1, &alone);
            ck_ok(dn_localizer_map(localizer, &views[i], expected));
            memset(map, 0xff, sizeof map);
            dn_score_init(&score);
            ck_ok(dn_scorer_inspect(scorer, &views[i], map, &score));
            ck_assert_mem_eq(&score, &alone, sizeof score);
            ck_assert_mem_eq(map, expected, sizeof map);
            check_score(&score, has_flow(_i), has_flow(_i) ? 1 : 6);
            for (int p = 0; p < SIDE * SIDE; p++)
                ck_assert(isfinite(map[p]) && map[p] >= 0);
        }
        dn_scorer_free(first);
        dn_scorer_free(scorer);
        dn_localizer_free(localizer);
    }
    dn_model_unref(model);
}
END_TEST

START_TEST(inspect_checks_its_arguments)
{
    static float map[SIDE * SIDE];
    dn_model *model = model_of(FAST);
    dn_scorer *scorer = scorer_on(model, 1, NULL);
    dn_pixels views[MANY];
    dn_score score;
    int32_t count;

    draw_pictures(views);
    dn_score_init(&score);
    ck_status(dn_scorer_inspect(NULL, &views[0], map, &score), DN_E_ARGUMENT);
    ck_status(dn_scorer_inspect(scorer, NULL, map, &score), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "image is NULL");
    ck_status(dn_scorer_inspect(scorer, &views[0], NULL, &score), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "map is NULL");
    ck_status(dn_scorer_inspect(scorer, &views[0], map, NULL), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "score is NULL");
    views[1].width = DN_MIN_SIDE - 1;
    ck_status(dn_scorer_inspect(scorer, &views[1], map, &score), DN_E_ARGUMENT);
    score.struct_size = 0;
    ck_status(dn_scorer_inspect(scorer, &views[0], map, &score), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "struct_size is 0");
    dn_score_init(&score);
    ck_ok(dn_scorer_inspect(scorer, &views[0], map, &score));
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count));
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(batch_is_single_and_fast_decides_exactly)
{
    dn_model *model = model_of(_i);
    dn_pixels views[MANY];
    dn_score expected[MANY], scores[MANY];
    dn_error errors[MANY];

    draw_pictures(views);
    dn_scorer *scorer = scorer_on(model, 1, NULL);
    score_alone(scorer, views, MANY, expected);
    dn_scorer_free(scorer);
    for (int32_t threads = 1; threads <= 3; threads++) {
        scorer = scorer_on(model, threads, NULL);
        for (int i = 0; i < MANY; i++)
            dn_score_init(&scores[i]);
        ck_ok(dn_scorer_score_batch(scorer, views, MANY, scores, errors));
        ck_assert_mem_eq(scores, expected, sizeof scores);
        for (int i = 0; i < MANY; i++) {
            ck_ok(dn_scorer_decide(scorer, &views[i], &scores[i]));
            ck_assert_int_eq(scores[i].anomalous, expected[i].anomalous);
            ck_assert_double_le(scores[i].score, expected[i].score);
            if (!scores[i].lower_bound)
                ck_assert_mem_eq(&scores[i], &expected[i], sizeof *scores);
            ck_assert(has_flow(_i) || !scores[i].lower_bound);
        }
        dn_scorer_free(scorer);
    }
    dn_model_unref(model);
}
END_TEST

/* Without a flow there is one view, whatever is asked for. */
START_TEST(fast_has_one_view)
{
    dn_model *model = model_of(FAST);
    dn_scorer_options options;
    dn_pixels views[MANY];
    dn_score score, expected;
    int32_t count = -1;

    draw_pictures(views);
    expected = score_one(model, &views[0]);
    dn_scorer_options_init(&options);
    options.views = 32;
    options.angles = DN_ANGLES_GRID;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, views, 1, &score);
    ck_assert_int_eq(score.views, 1);
    ck_assert_mem_eq(&score, &expected, sizeof score);
    ck_assert_ptr_null(dn_scorer_view_scores(scorer, &count));
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(dn_scorer_batch_images(scorer), 16);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(methods)
{
    dn_train_options options = tiny_options(), both = options_of(COMPACT);
    dn_model *fast = model_of(FAST), *compact = train_model(&both, 4), *paper = train_model(&options, 4);
    const struct {
        dn_model *model;
        int32_t method;
        dn_status status;
        const char *part;
    } cases[] = {
        {fast, DN_MAP_DEFAULT, DN_OK, NULL},
        {fast, DN_MAP_POSITIONS, DN_OK, NULL},
        {fast, DN_MAP_GRADIENT, DN_E_STATE, "no flow"},
        {compact, DN_MAP_DEFAULT, DN_OK, NULL},
        {compact, DN_MAP_POSITIONS, DN_OK, NULL},
        {compact, DN_MAP_GRADIENT, DN_OK, NULL},
        {paper, DN_MAP_DEFAULT, DN_OK, NULL},
        {paper, DN_MAP_GRADIENT, DN_OK, NULL},
        {paper, DN_MAP_POSITIONS, DN_E_STATE, "no density at every position"},
        {fast, -1, DN_E_ARGUMENT, "method is -1"},
        {fast, 3, DN_E_ARGUMENT, "method is 3"},
    };
    static float map[SIDE * SIDE];
    dn_pixels views[MANY];
    dn_score score;

    draw_pictures(views);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_localizer_options localizing;
        dn_localizer *localizer;
        dn_error error = {0};
        dn_localizer_options_init(&localizing);
        localizing.method = cases[i].method;
        ck_status(dn_localizer_create(cases[i].model, &localizing, &localizer, &error), cases[i].status);
        ck_assert_int_eq(localizer != NULL, cases[i].status == DN_OK);
        if (localizer)
            ck_ok(dn_localizer_map(localizer, &views[0], map));
        else
            check_error(&error, cases[i].status, cases[i].part);
        dn_localizer_free(localizer);
    }
    dn_scorer *scorer = scorer_on(paper, 1, NULL);
    dn_score_init(&score);
    ck_status(dn_scorer_inspect(scorer, &views[0], map, &score), DN_E_STATE);
    check_error(dn_scorer_error(scorer), DN_E_STATE, "no density at every position");
    score_alone(scorer, views, 1, &score);
    ck_assert(isnan(score.local_score) && isnan(score.whole_score) && score.score == score.flow_score);
    dn_scorer_free(scorer);
    dn_model_unref(fast);
    dn_model_unref(compact);
    dn_model_unref(paper);
}
END_TEST

/* ---- few images, and images that say little ---- */

enum { TEXTURES, IDENTICAL, BLACK, GRAY, WHITE, CONTENTS };

static void draw_content(uint8_t *rgb, int content, uint32_t number)
{
    if (content == TEXTURES || content == IDENTICAL)
        draw_texture(rgb, SIDE, SIDE, content == TEXTURES ? number : 1);
    else
        memset(rgb, content == BLACK ? 0 : content == GRAY ? 128 : 255, SIDE * SIDE * 3);
}

START_TEST(few_images_and_dull_ones)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    static float map[SIDE * SIDE];
    int kind = _i % MODELS, content = _i / MODELS % CONTENTS, light = _i / MODELS / CONTENTS;
    dn_pixels view = rgb_view(rgb, SIDE, SIDE);

    for (int count = 1; count <= 5; count += count < 3 ? 1 : 2) {
        dn_train_options options = options_of(kind);
        dn_score good, other;
        dn_model *model;
        int32_t holdout;
        options.light = light;
        options.duplicates = 0; /* dull images all are */
        dn_trainer *trainer = tiny_trainer(&options, 0);
        for (int i = 0; i < count; i++) {
            draw_content(rgb, content, (uint32_t)i + 1);
            trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
        }
        trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
        dn_trainer_free(trainer);
        dn_model_holdout_scores(model, &holdout);
        ck_assert_int_eq(holdout, has_flow(kind) ? count >= 3 : count >= 2 ? count : 0);
        dn_scorer *scorer = scorer_on(model, 1, NULL);
        dn_score_init(&good);
        ck_ok(dn_scorer_inspect(scorer, &view, map, &good));
        check_score(&good, has_flow(kind), holdout);
        draw_texture(rgb, SIDE, SIDE, 50);
        memset(rgb + SIDE * 20 * 3, 255, SIDE * 8 * 3);
        dn_score_init(&other);
        ck_ok(dn_scorer_inspect(scorer, &view, map, &other));
        check_score(&other, has_flow(kind), holdout);
        ck_assert_double_gt(other.local_score, good.local_score);
        for (int p = 0; p < SIDE * SIDE; p++)
            ck_assert(isfinite(map[p]) && map[p] >= 0);
        dn_scorer_free(scorer);
        dn_model_unref(model);
    }
}
END_TEST

/* ---- a defect ---- */

#define WIDE 320
#define HIGH 240
#define LEFT 200
#define TOP 60
#define SQUARE 48

/* Pictures of one and the same part, but for noise; with a bright square if it is no good one. */
static void draw_part(uint8_t *rgb, uint32_t seed, _Bool defect)
{
    uint32_t noise = seed * 2654435761u + 7;

    draw_texture(rgb, WIDE, HIGH, 5);
    for (size_t i = 0; i < WIDE * HIGH * 3; i++) {
        noise = noise * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(rgb[i] * 0.8 + (noise >> 24) / 16.0);
    }
    for (int y = TOP; defect && y < TOP + SQUARE; y++)
        memset(rgb + (y * WIDE + LEFT) * 3, 250, SQUARE * 3);
}

static dn_model *model_of_parts(int32_t columns, int32_t rows, int32_t fit)
{
    static uint8_t rgb[WIDE * HIGH * 3];
    const int32_t channels[5] = {8, 8, 8, 8, 8};
    dn_train_options options = options_of(FAST);
    dn_extractor_options extracting;
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_model *model;
    dn_pixels view = rgb_view(rgb, WIDE, HIGH);

    dn_extractor_options_init(&extracting);
    extracting.input_size = 256;
    extracting.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &extracting, &extractor, NULL));
    options.threads = 2;
    options.details = DN_DETAILS_OFF; /* eight random channels of the second layer are mostly chance */
    options.tile_columns = columns;
    options.tile_rows = rows;
    options.fit = fit;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    for (uint32_t i = 1; i <= 20; i++) {
        draw_part(rgb, i, 0);
        ck_ok(dn_trainer_add_pixels(trainer, &view));
    }
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_extractor_unref(extractor);
    return model;
}

static int highest(const float *map)
{
    int at = 0;

    for (int i = 0; i < WIDE * HIGH; i++)
        if (map[i] > map[at])
            at = i;
    return at;
}

#define PART_SHAPES 4

START_TEST(a_bright_square_is_found)
{
    static uint8_t rgb[WIDE * HIGH * 3];
    static float map[WIDE * HIGH];
    static const struct {
        int32_t columns, rows, fit;
    } shapes[PART_SHAPES] = {
        {1, 1, DN_FIT_STRETCH}, {3, 2, DN_FIT_STRETCH}, {1, 1, DN_FIT_LETTERBOX}, {0, 0, DN_FIT_LETTERBOX}};
    dn_model *model = model_of_parts(shapes[_i].columns, shapes[_i].rows, shapes[_i].fit);
    dn_scorer *scorer = scorer_on(model, 2, NULL);
    dn_localizer *localizer = localizer_on(model, 1, NULL);
    dn_pixels view = rgb_view(rgb, WIDE, HIGH);
    dn_score score;
    dn_box box;
    double good = 0;
    int32_t boxes;

    for (uint32_t i = 0; i < 6; i++) {
        draw_part(rgb, 100 + i, 0);
        dn_score_init(&score);
        ck_ok(dn_scorer_inspect(scorer, &view, map, &score));
        good = fmax(good, score.score);
        ck_assert_float_lt(map[highest(map)], 2);
    }
    draw_part(rgb, 200, 1);
    dn_score_init(&score);
    ck_ok(dn_scorer_inspect(scorer, &view, map, &score));
    ck_assert_double_gt(score.score, 2 * good);
    ck_assert_int_eq(score.anomalous, 1);
    ck_assert_double_eq_tol(score.p_value, 1.0 / 21, 1e-12);
    int x = highest(map) % WIDE, y = highest(map) / WIDE;
    ck_assert_msg(x >= LEFT - 2 && x < LEFT + SQUARE && y >= TOP - 2 && y < TOP + SQUARE, "highest at %d, %d", x, y);
    ck_assert_float_gt(map[y * WIDE + x], 4);
    ck_ok(dn_localizer_boxes(localizer, map, WIDE, HIGH, map[y * WIDE + x] / 2, &box, 1, &boxes));
    ck_assert_int_eq(boxes, 1);
    ck_assert_int_le(abs(2 * box.x + box.width - 2 * LEFT - SQUARE), SQUARE);
    ck_assert_int_le(abs(2 * box.y + box.height - 2 * TOP - SQUARE), SQUARE);
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* A defect that the mask leaves out has no part in score, map and boxes, from the scorer and the localizer alike. */
START_TEST(a_mask_hides_a_square)
{
    static uint8_t rgb[WIDE * HIGH * 3], marked[HIGH / 2 * WIDE / 2];
    static float map[WIDE * HIGH], other[WIDE * HIGH];
    dn_model *model = model_of_parts(_i ? 2 : 1, 1, DN_FIT_STRETCH);
    dn_scorer *scorer = scorer_on(model, 1, NULL);
    dn_localizer *localizer = localizer_on(model, 1, NULL);
    const dn_pixels view = rgb_view(rgb, WIDE, HIGH), mask = {marked, WIDE / 2, HIGH / 2, 0, DN_GRAY8, 0};
    dn_score bad, good, hidden;
    dn_box boxes[8];
    int32_t count;

    draw_part(rgb, 200, 0);
    dn_score_init(&good);
    ck_ok(dn_scorer_inspect(scorer, &view, map, &good));
    draw_part(rgb, 200, 1);
    dn_score_init(&bad);
    ck_ok(dn_scorer_inspect(scorer, &view, map, &bad));
    ck_assert_double_gt(bad.score, 1.5 * good.score);
    /* The square, and what sees it: 163 pixels of the input, 102 of the image to each side of a cell's centre. */
    for (int y = 0; y < HIGH / 2; y++)
        for (int x = 0; x < WIDE / 2; x++)
            marked[y * WIDE / 2 + x] = 2 * x > LEFT - 106 ? 255 : 0;
    ck_ok(dn_scorer_set_mask(scorer, &mask, DN_MASK_IGNORE));
    ck_ok(dn_localizer_set_mask(localizer, &mask, DN_MASK_IGNORE));
    dn_score_init(&hidden);
    ck_ok(dn_scorer_inspect(scorer, &view, map, &hidden));
    draw_part(rgb, 200, 0);
    dn_score_init(&good);
    ck_ok(dn_scorer_score(scorer, &view, &good));
    draw_part(rgb, 200, 1);
    ck_assert_double_eq(hidden.score, good.score);
    ck_assert_double_lt(hidden.score, bad.score);
    for (int i = 0; i < WIDE * HIGH; i++)
        ck_assert(!marked[i / WIDE / 2 * (WIDE / 2) + i % WIDE / 2] || map[i] == 0);
    ck_ok(dn_localizer_map(localizer, &view, other));
    ck_assert_mem_eq(map, other, sizeof map);
    ck_ok(dn_localizer_boxes(localizer, map, WIDE, HIGH, 1e-6f, boxes, 8, &count));
    for (int i = 0; i < count; i++)
        ck_assert_int_le(boxes[i].x + boxes[i].width, LEFT - 104);
    /* An image of another aspect does not fit; without a mask everything is as it was. */
    const dn_pixels narrow = {rgb, WIDE / 2, HIGH, WIDE * 3, DN_RGB8, 0};
    ck_status(dn_scorer_score(scorer, &narrow, &hidden), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "another aspect");
    ck_status(dn_localizer_map(localizer, &narrow, other), DN_E_ARGUMENT);
    memset(marked, 255, sizeof marked);
    ck_status(dn_scorer_set_mask(scorer, &mask, DN_MASK_IGNORE), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "white everywhere");
    ck_status(dn_localizer_set_mask(localizer, &mask, DN_MASK_IGNORE), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_mask(scorer, &mask, 2), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "kind is 2");
    ck_status(dn_localizer_set_mask(localizer, &mask, -1), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_mask(NULL, &mask, 0), DN_E_ARGUMENT);
    ck_status(dn_localizer_set_mask(NULL, &mask, 0), DN_E_ARGUMENT);
    ck_ok(dn_scorer_set_mask(scorer, NULL, 0));
    ck_ok(dn_localizer_set_mask(localizer, NULL, 0));
    dn_score_init(&hidden);
    ck_ok(dn_scorer_score(scorer, &view, &hidden));
    ck_assert_mem_eq(&hidden, &bad, sizeof bad);
    dn_scorer_free(scorer);
    dn_localizer_free(localizer);
    dn_model_unref(model);
}
END_TEST

/* With a flow: what does not count may be anything, if a mask leaves out what the positions see, too. */
START_TEST(a_mask_and_the_flow)
{
    static uint8_t first[SIDE * SIDE * 3], second[SIDE * SIDE * 3], marked[SIDE * SIDE];
    dn_train_options options = tiny_options();
    dn_model *model = train_model(&options, 4);
    dn_scorer *scorer = scorer_on(model, 1, NULL);
    dn_localizer_options localizing;
    dn_localizer *localizer;
    static float map[SIDE * SIDE];
    dn_score a, b, c;

    draw_texture(first, SIDE, SIDE, 1);
    memcpy(second, first, sizeof first);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            marked[y * SIDE + x] = x < SIDE / 2 ? 255 : 0;
            if (x >= SIDE / 2 + 4) /* beyond what stretching mixes at the edge */
                memset(second + (y * SIDE + x) * 3, 255, 3);
        }
    const dn_pixels one = rgb_view(first, SIDE, SIDE), two = rgb_view(second, SIDE, SIDE);
    const dn_pixels mask = {marked, SIDE, SIDE, 0, DN_GRAY8, 0};
    dn_score_init(&a);
    dn_score_init(&b);
    dn_score_init(&c);
    ck_ok(dn_scorer_score(scorer, &one, &c));
    ck_ok(dn_scorer_set_mask(scorer, &mask, DN_MASK_INCLUDE));
    ck_ok(dn_scorer_score(scorer, &one, &a));
    ck_ok(dn_scorer_decide(scorer, &two, &b));
    if (!b.lower_bound)
        ck_assert_double_eq(a.score, b.score);
    ck_ok(dn_scorer_score(scorer, &two, &b));
    ck_assert_double_eq(a.score, b.score);
    ck_assert_double_ne(a.score, c.score);
    dn_localizer_options_init(&localizing);
    ck_ok(dn_localizer_create(model, &localizing, &localizer, NULL));
    ck_ok(dn_localizer_set_mask(localizer, &mask, DN_MASK_INCLUDE));
    ck_ok(dn_localizer_map(localizer, &one, map));
    for (int i = 0; i < SIDE * SIDE; i++)
        ck_assert(marked[i] || map[i] == 0);
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- memory ---- */

static void use_all(dn_scorer *scorer, dn_localizer *localizer, const dn_pixels *views, int count)
{
    static float map[200 * 300];
    dn_score scores[MANY];
    dn_error errors[MANY];

    for (int i = 0; i < count; i++)
        dn_score_init(&scores[i]);
    for (int i = 0; i < 2; i++) {
        ck_ok(dn_scorer_score(scorer, &views[i], &scores[i]));
        ck_ok(dn_scorer_decide(scorer, &views[i], &scores[i]));
        ck_ok(dn_scorer_inspect(scorer, &views[i], map, &scores[i]));
        ck_ok(dn_localizer_map(localizer, &views[i], map));
    }
    ck_ok(dn_scorer_score_batch(scorer, views, count, scores, errors));
}

START_TEST(no_allocation_when_warm)
{
    static uint8_t large[300 * 200 * 3];
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model *model = model_of(_i % MODELS);
    int32_t threads = 1 + _i / MODELS;
    dn_pixels views[MANY];

    draw_pictures(views);
    draw_texture(large, 300, 200, 4);
    views[0] = rgb_view(large, 300, 200);
    dn_scorer *scorer = scorer_on(model, threads, &allocator);
    dn_localizer *localizer = localizer_on(model, threads, &allocator);
    use_all(scorer, localizer, views, MANY);
    long calls = memory.calls, live = memory.live;
    for (int round = 0; round < 3; round++)
        use_all(scorer, localizer, views, MANY - round);
    ck_assert_int_eq(memory.calls, calls);
    ck_assert_int_eq(memory.live, live);
    dn_scorer_free(scorer);
    dn_localizer_free(localizer);
    ck_assert_int_eq(memory.live, 0);
    dn_model_unref(model);
}
END_TEST

static dn_status train_with(const dn_allocator *allocator, dn_extractor *extractor, int kind, dn_model **model)
{
    dn_train_options options = options_of(kind);
    dn_trainer *trainer;
    dn_error error = {0};

    *model = NULL;
    options.epochs = options.epochs > 0;
    options.bank = options.views = options.blocks = 1;
    options.heatmap_images = 0;
    options.light = 0;
    options.threads = has_flow(kind) ? 1 : 2;
    options.allocator = allocator;
    dn_status status = dn_trainer_create(extractor, &options, &trainer, &error);
    ck_assert_int_eq(error.status, status);
    for (uint32_t i = 1; status == DN_OK && i <= 3; i++)
        status = add_picture(trainer, i);
    if (status == DN_OK)
        status = dn_trainer_run(trainer, NULL, NULL, model);
    ck_assert_int_eq(status == DN_OK, *model != NULL);
    if (trainer)
        ck_assert_int_eq(dn_trainer_error(trainer)->status, status);
    dn_trainer_free(trainer);
    return status;
}

/* Score, map and both at once. */
static dn_status use_with(const dn_allocator *allocator, dn_model *model)
{
    static float map[SIDE * SIDE];
    dn_pixels views[MANY];
    dn_score score;
    dn_scorer_options scoring;
    dn_localizer_options localizing;
    dn_scorer *scorer;
    dn_localizer *localizer;

    draw_pictures(views);
    dn_scorer_options_init(&scoring);
    dn_localizer_options_init(&localizing);
    scoring.allocator = localizing.allocator = allocator;
    scoring.threads = localizing.threads = 2;
    dn_score_init(&score);
    dn_status status = dn_scorer_create(model, &scoring, &scorer, NULL);
    if (status == DN_OK)
        status = dn_scorer_set_mask(scorer, &views[0], DN_MASK_INCLUDE);
    if (status == DN_OK)
        status = dn_scorer_inspect(scorer, &views[1], map, &score);
    dn_scorer_free(scorer);
    if (status != DN_OK)
        return status;
    status = dn_localizer_create(model, &localizing, &localizer, NULL);
    if (status == DN_OK)
        status = dn_localizer_set_mask(localizer, &views[0], DN_MASK_INCLUDE);
    if (status == DN_OK)
        status = dn_localizer_map(localizer, &views[1], map);
    dn_localizer_free(localizer);
    return status;
}

/* Everything that is done with a model, in a file and out of it. */
static dn_status save_and_use(const dn_allocator *allocator, dn_model *model, int kind, const char *path)
{
    dn_model_options opening;
    dn_model *again = NULL;
    dn_error error = {0};

    dn_status status = dn_model_save(model, path, kind == COMPACT ? DN_STORAGE_F16 : DN_STORAGE_F32, &error);
    dn_model_options_init(&opening);
    opening.allocator = allocator;
    if (status == DN_OK)
        status = dn_model_open_path(path, &opening, &again, &error);
    ck_assert_int_eq(error.status, status);
    if (status == DN_OK)
        status = use_with(allocator, again);
    dn_model_unref(again);
    return status;
}

START_TEST(every_allocation_of_a_training_can_fail)
{
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_status status = DN_E_MEMORY;
    dn_model *model;
    long n;

    for (n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        status = train_with(&allocator, extractor, _i, &model);
        dn_model_unref(model);
        ck_assert_msg(status == DN_OK || status == DN_E_MEMORY, "allocation %ld: status %d", n, status);
        ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
        ck_assert_int_lt(n, 3000);
    }
    ck_assert_int_gt(n, 50);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(every_allocation_of_a_model_can_fail)
{
    const char *folder = test_folder(), *path = path_join(folder, "a.dnm");
    dn_extractor *extractor = tiny_extractor(NULL);
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_status status = DN_E_MEMORY;
    dn_model *model;
    long n;

    ck_ok(train_with(&allocator, extractor, _i, &model));
    const long live = memory.live;
    for (n = 1; status != DN_OK; n++) {
        memory.fail_at = memory.calls + n;
        status = save_and_use(&allocator, model, _i, path);
        ck_assert_msg(status == DN_OK || status == DN_E_MEMORY, "allocation %ld: status %d", n, status);
        ck_assert_msg(memory.live == live, "allocation %ld: %ld blocks leak", n, memory.live - live);
        ck_assert_int_le(count_files(folder), 1); /* the model or nothing */
        ck_assert_int_lt(n, 3000);
    }
    ck_assert_int_gt(n, 50);
    dn_model_unref(model);
    ck_assert_int_eq(memory.live, 0);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- the contest of copies ---- */

enum { CONTESTANTS = 8 };

/* Looks on at a training: cancels at a call of the contest, or notes the allocations made before and until its end. */
typedef struct contest_watcher {
    const failing_memory *memory;
    int cancel, calls;
    long before, until;
} contest_watcher;

static int32_t watch_contest(const dn_progress *progress, void *user)
{
    contest_watcher *w = user;

    if (progress->phase == DN_PHASE_COPIES) {
        w->until = w->memory ? w->memory->calls : 0;
        return ++w->calls == w->cancel;
    }
    if (w->calls == 0)
        w->before = w->memory ? w->memory->calls : 0;
    return 0;
}

/* Half of each picture counts. */
static dn_trainer *contest_trainer(const dn_allocator *allocator)
{
    uint8_t gray[PICTURE_WIDTH * PICTURE_HEIGHT];
    dn_pixels mask = {
        .pixels = gray, .width = PICTURE_WIDTH, .height = PICTURE_HEIGHT, .stride = 0, .format = DN_GRAY8};
    dn_train_options options = options_of(FAST);
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *trainer;

    for (int i = 0; i < PICTURE_WIDTH * PICTURE_HEIGHT; i++)
        gray[i] = i % PICTURE_WIDTH < PICTURE_WIDTH / 2 ? 255 : 0;
    options.light = 0;
    options.allocator = allocator;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    for (uint32_t i = 1; i <= CONTESTANTS; i++)
        ck_ok(add_picture(trainer, i));
    return trainer;
}

/* Cancelled at each of its steps, and run again: the same model. */
START_TEST(contest_cancelled)
{
    dn_blob *straight = run_to_bytes(contest_trainer(NULL));
    int cancelled = 0;

    for (int call = 1;; call++) {
        contest_watcher w = {.cancel = call};
        dn_trainer *trainer = contest_trainer(NULL);
        dn_model *model;
        dn_status status = dn_trainer_run(trainer, watch_contest, &w, &model);
        if (status == DN_OK) {
            dn_model_unref(model);
            dn_trainer_free(trainer);
            break;
        }
        trainer_fails(trainer, status, DN_E_CANCELLED, "cancelled");
        ck_assert_ptr_null(model);
        cancelled++;
        if (call % 4 != 1) { /* of some only: it takes long */
            dn_trainer_free(trainer);
            continue;
        }
        dn_blob *again = run_to_bytes(trainer);
        ck_assert_msg(same_bytes(straight, again), "call %d", call);
        dn_blob_free(again);
    }
    ck_assert_int_ge(cancelled, 12);
    dn_blob_free(straight);
}
END_TEST

START_TEST(contest_without_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    contest_watcher w = {.memory = &memory};
    dn_trainer *trainer = contest_trainer(&allocator);
    dn_model *model;

    trainer_ok(trainer, dn_trainer_run(trainer, watch_contest, &w, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
    ck_assert_int_eq(memory.live, 0);
    ck_assert_int_ge(w.until - w.before, 4); /* images and their places, twice those that are learned from, the fits */
    for (long n = w.before + 1; n <= w.until; n++) {
        memory = (failing_memory){.fail_at = n};
        trainer = contest_trainer(&allocator);
        trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_MEMORY, "out of memory");
        ck_assert_ptr_null(model);
        dn_trainer_free(trainer);
        ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_positions");
    TCase *tests = tcase_create("api_positions");

    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, same_bytes_for_any_threads, 0, MODELS);
    tcase_add_loop_test(tests, what_the_model_tells, 0, MODELS);
    tcase_add_test(tests, options_that_cannot_be);
    tcase_add_test(tests, copies_in_another_light_change_the_model);
    tcase_add_test(tests, copies_suit_the_part);
    tcase_add_test(tests, details_suit_the_part);
    tcase_add_test(tests, repetitions_have_no_say);
    tcase_add_test(tests, many_images_calibrate);
    tcase_add_test(tests, details_of_one_channel);
    tcase_add_loop_test(tests, cancelled_and_run_again, 0, MODELS);
    tcase_add_test(tests, resumed_from_a_checkpoint);
    tcase_add_loop_test(tests, saved_and_opened, 0, MODELS);
    tcase_add_loop_test(tests, damaged_numbers, 0, MODELS);
    tcase_add_loop_test(tests, weight_of_the_flow, 0, MODELS);
    tcase_add_test(tests, huge_maps);
    tcase_add_loop_test(tests, inspect_is_score_and_map, 0, MODELS);
    tcase_add_test(tests, inspect_checks_its_arguments);
    tcase_add_loop_test(tests, batch_is_single_and_fast_decides_exactly, 0, MODELS);
    tcase_add_test(tests, fast_has_one_view);
    tcase_add_test(tests, methods);
    tcase_add_loop_test(tests, few_images_and_dull_ones, 0, 2 * MODELS * CONTENTS);
    tcase_add_loop_test(tests, a_bright_square_is_found, 0, PART_SHAPES);
    tcase_add_loop_test(tests, a_mask_hides_a_square, 0, 2);
    tcase_add_test(tests, a_mask_and_the_flow);
    tcase_add_loop_test(tests, no_allocation_when_warm, 0, 2 * MODELS);
    tcase_add_loop_test(tests, every_allocation_of_a_training_can_fail, 0, MODELS);
    tcase_add_loop_test(tests, every_allocation_of_a_model_can_fail, 0, MODELS);
    tcase_add_test(tests, contest_cancelled);
    tcase_add_test(tests, contest_without_memory);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
