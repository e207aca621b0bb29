/* The trainer's insides: held-out images, feature bank, standardisation, steps, divergence, the heat map's scale. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "differnet/localize.h"
#include "train/trainer.h"
#include "training.h"

/* ---- held-out images ---- */

START_TEST(share_of_held_out_images)
{
    static const struct {
        int images;
        double holdout;
        int held;
    } cases[] = {{1, 0.5, 0},  {2, 0.5, 0},  {3, 0.1, 1}, {3, 0, 0},    {10, 0.1, 1},
                 {14, 0.1, 1}, {15, 0.1, 2}, {3, 0.5, 2}, {10, 0.5, 5}, {24, 0.001, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_train_options o = tiny_options();
        o.holdout = cases[i].holdout;
        dn_trainer *t = tiny_trainer(&o, cases[i].images);
        uint8_t seen[24] = {0};
        trainer_ok(t, trainer_prepare(t, &t->error));
        ck_assert_int_eq(t->images.holdout_count, cases[i].held);
        ck_assert_int_eq(t->images.train_count, cases[i].images - cases[i].held);
        for (int32_t k = 0; k < t->images.count; k++) {
            seen[t->images.split[k]]++;
            if (k > 0 && k != t->images.train_count) /* in order of addition */
                ck_assert_int_gt(t->images.split[k], t->images.split[k - 1]);
        }
        for (int32_t k = 0; k < t->images.count; k++)
            ck_assert_int_eq(seen[k], 1);
        dn_trainer_free(t);
    }
}
END_TEST

START_TEST(seed_chooses_held_out_images)
{
    int held[24] = {0};
    int chosen = 0;

    for (uint64_t seed = 0; seed < 40; seed++) {
        dn_train_options o = tiny_options();
        o.seed = seed;
        o.holdout = 0.1;
        dn_trainer *t = tiny_trainer(&o, 8);
        trainer_ok(t, trainer_prepare(t, &t->error));
        held[t->images.split[7]]++;
        dn_trainer_free(t);
    }
    for (int i = 0; i < 8; i++)
        chosen += held[i] > 0;
    ck_assert_int_ge(chosen, 6);
}
END_TEST

/* ---- the feature bank ---- */

static dn_trainer *filled_trainer(const dn_train_options *options, int images)
{
    const train_watch nobody = {NULL, NULL};
    dn_trainer *t = tiny_trainer(options, images);

    trainer_ok(t, trainer_prepare(t, &t->error));
    trainer_ok(t, feature_bank_fill(t->bank, &nobody, &t->error));
    return t;
}

/* Row `view` of image `image`, from its definition. */
static void naive_row(const dn_trainer *t, int32_t image, int32_t view, float *row)
{
    const dn_extractor *extractor = t->extractor;
    int32_t size = extractor->input_width, views = t->bank->views;
    float *pixels = malloc((size_t)size * (size_t)size * 3 * sizeof *pixels);
    view_jitter jitter = {1, 1, 1};
    double angle = 0;
    rng angles, jitters;

    rng_seed(&angles, t->options.seed, 5 + ((uint64_t)image << 8));
    rng_seed(&jitters, t->options.seed, 9 + ((uint64_t)image << 8));
    for (int32_t k = 0; k <= view; k++) {
        angle = -180 + (k + rng_uniform(&angles)) * 360 / views;
        jitter.brightness = (float)(1 + t->options.brightness * (2 * rng_uniform(&jitters) - 1));
        jitter.contrast = (float)(1 + t->options.contrast * (2 * rng_uniform(&jitters) - 1));
        jitter.saturation = (float)(1 + t->options.saturation * (2 * rng_uniform(&jitters) - 1));
    }
    view_render(t->images.list[image].canvas, size, size, angle, &jitter, extractor->mean, extractor->std, pixels);
    ck_assert_int_eq(dn_extractor_features(extractor, pixels, 1, row, NULL), DN_OK);
    free(pixels);
}

START_TEST(bank_rows_are_features_of_random_views)
{
    static const int32_t banks[] = {1, 5, 70, 0};
    dn_train_options o = tiny_options();
    o.bank = banks[_i];
    o.brightness = _i == 2 ? 0 : 0.3;
    o.contrast = 0.2;
    o.threads = 2;
    dn_trainer *t = filled_trainer(&o, 4);
    int32_t views = t->bank->views, dim = t->extractor->feature_dim;
    float *row = malloc((size_t)dim * sizeof *row);

    ck_assert_int_eq(views, banks[_i] > 0 ? banks[_i] : o.batch_views);
    ck_assert_int_eq(t->bank->filled, 3);
    for (int32_t i = 0; i < t->images.train_count; i++)
        for (int32_t k = 0; k < views; k++) {
            naive_row(t, t->images.split[i], k, row);
            const float *found = t->bank->rows + (size_t)(i * views + k) * (size_t)dim;
            /* Not the same bits: in the bank the view was one of a block. */
            ck_assert_msg(max_abs_difference(found, row, (size_t)dim) < 1e-6 * max_abs(row, (size_t)dim),
                          "image %d, view %d", i, k);
        }
    free(row);
    dn_trainer_free(t);
}
END_TEST

/* An image's rows do not depend on which other images there are. */
START_TEST(bank_rows_depend_on_their_image_only)
{
    dn_train_options o = tiny_options();
    o.holdout = 0;
    o.saturation = 0.5;
    dn_trainer *few = filled_trainer(&o, 2), *many = filled_trainer(&o, 5);
    size_t rows = (size_t)(2 * o.bank * few->extractor->feature_dim);

    ck_assert(!memcmp(few->bank->rows, many->bank->rows, rows * sizeof(float)));
    ck_assert(memcmp(few->bank->rows, few->bank->rows + rows / 2, rows / 2 * sizeof(float)) != 0);
    dn_trainer_free(few);
    dn_trainer_free(many);
}
END_TEST

/* ---- standardisation ---- */

/* A trainer whose bank holds these rows. */
static dn_trainer *trainer_with_bank(const dn_train_options *options, int images)
{
    dn_trainer *t = filled_trainer(options, images);

    ck_assert_int_eq(t->extractor->feature_dim, 8);
    return t;
}

START_TEST(standardisation_is_mean_and_deviation)
{
    dn_train_options o = tiny_options();
    dn_trainer *t = trainer_with_bank(&o, 5);
    size_t rows = (size_t)(t->images.train_count * o.bank);

    for (size_t i = 0; i < rows * 8; i++) /* columns of different means and scales */
        t->bank->rows[i] = (float)(sin((double)i * 1.7) * (1 + (double)(i % 8)) + (double)(i % 8) * 10);
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    for (size_t j = 0; j < 8; j++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < rows; i++)
            sum += t->bank->rows[i * 8 + j];
        for (size_t i = 0; i < rows; i++)
            squares += pow(t->bank->rows[i * 8 + j] - sum / (double)rows, 2);
        ck_assert_double_eq_tol(t->bank->mean[j], sum / (double)rows, 1e-5);
        ck_assert_double_eq_tol(t->bank->deviation[j], sqrt(squares / (double)rows), 1e-5);
    }
    dn_trainer_free(t);
}
END_TEST

START_TEST(constant_dimensions_have_a_floor)
{
    dn_train_options o = tiny_options();
    dn_trainer *t = trainer_with_bank(&o, 5);
    size_t rows = (size_t)(t->images.train_count * o.bank);
    double usual = sqrt(5.0 / 8); /* five columns of deviation 1, three of (nearly) 0 */

    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < 8; j++)
            t->bank->rows[i * 8 + j] = j < 5 ? (i % 2 ? 1.0f : -1.0f) : j == 5 ? 0 : j == 6 ? 1e6f : 7;
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    ck_assert_double_eq_tol(t->bank->deviation[0], 1, 1e-6);
    ck_assert_double_eq_tol(t->bank->deviation[5], 0.1 * usual, 1e-6);
    ck_assert_double_eq_tol(t->bank->deviation[6], 1, 1e-6); /* a millionth of the mean */
    ck_assert_double_eq_tol(t->bank->deviation[7], 0.1 * usual, 1e-6);
    dn_trainer_free(t);
}
END_TEST

START_TEST(nothing_varies)
{
    dn_train_options o = tiny_options();
    dn_trainer *t = trainer_with_bank(&o, 2);

    for (size_t i = 0; i < (size_t)(2 * o.bank * 8); i++)
        t->bank->rows[i] = (float)(i % 8) * 0.1f;
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    for (size_t j = 0; j < 8; j++) {
        ck_assert_double_eq_tol(t->bank->mean[j], (double)j * 0.1, 1e-6);
        ck_assert(t->bank->deviation[j] == 1);
    }
    dn_trainer_free(t);
}
END_TEST

START_TEST(standardisation_can_be_off)
{
    dn_train_options o = tiny_options();
    o.standardize = 0;
    dn_trainer *t = trainer_with_bank(&o, 2);

    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    for (size_t j = 0; j < 8; j++)
        ck_assert(t->bank->mean[j] == 0 && t->bank->deviation[j] == 1);
    dn_trainer_free(t);
}
END_TEST

/* ---- rows of a step ---- */

/* Which bank row of `image` a drawn row is; -1: none.  The bank's rows are numbered in their first value. */
static void number_bank(dn_trainer *t)
{
    size_t rows = (size_t)(t->images.train_count * t->options.bank);

    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < 8; j++)
            t->bank->rows[i * 8 + j] = j == 0 ? (float)i : 0.5f;
}

START_TEST(views_are_drawn_without_replacement)
{
    dn_train_options o = tiny_options();
    const uint32_t images[2] = {2, 0};
    int often[6] = {0};
    float drawn[6 * 8];
    rng generator;

    o.holdout = 0;
    o.standardize = 0;
    dn_trainer *t = filled_trainer(&o, 3);
    number_bank(t);
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    rng_seed(&generator, 3, 1);
    for (int round = 0; round < 600; round++) {
        trainer_ok(t, feature_bank_draw(t->bank, images, 2, &generator, drawn, &t->error));
        for (int i = 0; i < 6; i++) {
            int row = (int)drawn[i * 8];
            ck_assert_int_eq(row / 6, (int)images[i / 3]);
            ck_assert(drawn[i * 8 + 7] == 0.5f);
            often[row % 6]++;
            for (int k = i / 3 * 3; k < i; k++)
                ck_assert_int_ne((int)drawn[k * 8], row);
        }
    }
    for (int k = 0; k < 6; k++) /* 600 expected, deviation about 21 */
        ck_assert_msg(abs(often[k] - 600) < 110, "view %d was drawn %d times", k, often[k]);
    dn_trainer_free(t);
}
END_TEST

START_TEST(a_small_bank_is_drawn_with_replacement)
{
    dn_train_options o = tiny_options();
    const uint32_t image = 1;
    int often[2] = {0};
    float drawn[3 * 8];
    rng generator;

    o.bank = 2;
    o.standardize = 0;
    dn_trainer *t = filled_trainer(&o, 2);
    number_bank(t);
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    rng_seed(&generator, 3, 1);
    for (int round = 0; round < 100; round++) {
        trainer_ok(t, feature_bank_draw(t->bank, &image, 1, &generator, drawn, &t->error));
        for (int i = 0; i < 3; i++)
            often[(int)drawn[i * 8] - 2]++;
    }
    ck_assert_msg(often[0] > 100 && often[1] > 100, "%d and %d", often[0], often[1]);
    dn_trainer_free(t);
}
END_TEST

START_TEST(rows_are_standardised)
{
    dn_train_options o = tiny_options();
    const uint32_t image = 0;
    float drawn[3 * 8];
    rng generator;

    o.bank = 3;
    dn_trainer *t = filled_trainer(&o, 1);
    trainer_ok(t, feature_bank_standardise(t->bank, &t->error));
    rng_seed(&generator, 3, 1);
    trainer_ok(t, feature_bank_draw(t->bank, &image, 1, &generator, drawn, &t->error)); /* all three views */
    for (size_t j = 0; j < 8; j++) {
        double sum = drawn[j] + drawn[8 + j] + drawn[16 + j];
        double squares = pow(drawn[j], 2) + pow(drawn[8 + j], 2) + pow(drawn[16 + j], 2);
        ck_assert_double_eq_tol(sum, 0, 1e-3);
        ck_assert(squares < 3.001);
    }
    dn_trainer_free(t);
}
END_TEST

/* ---- training ---- */

START_TEST(loss_falls)
{
    dn_train_options o = tiny_options();
    o.epochs = 40;
    o.learning_rate = 5e-3;
    dn_trainer *t = tiny_trainer(&o, 6);
    watcher first = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 4}, last = {0};
    dn_model *model = NULL;

    trainer_fails(t, dn_trainer_run(t, watch, &first, &model), DN_E_CANCELLED, "cancelled"); /* after epoch 1 */
    trainer_ok(t, dn_trainer_run(t, watch, &last, &model));
    ck_assert_msg(last.loss < first.loss - 0.1, "from %g to %g", first.loss, last.loss);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

/* ---- divergence ---- */

typedef struct saboteur {
    dn_trainer *trainer;
    int64_t epoch; /* strikes when so many epochs are done */
    int moment;    /* 1: a second moment, so that a weight turns NaN with a finite loss; 0: a weight */
    int struck;
    _Bool cancels; /* and then the training */
} saboteur;

static int32_t sabotage(const dn_progress *progress, void *user)
{
    saboteur *s = user;

    if (progress->phase == DN_PHASE_TRAIN && progress->done == s->epoch && !s->struck) {
        s->struck = 1;
        if (s->moment)
            s->trainer->state->optimiser->v[3] = NAN;
        else
            s->trainer->state->flow->owned[3] = NAN;
    }
    return s->cancels && s->struck;
}

START_TEST(divergence_keeps_the_last_good_epoch)
{
    dn_train_options o = tiny_options();
    o.batch_images = 8;
    dn_trainer *t = tiny_trainer(&o, 6);
    saboteur s = {t, 3, _i, 0, 0};
    dn_model *model = NULL;

    trainer_fails(t, dn_trainer_run(t, sabotage, &s, &model), DN_E_NUMERIC, "epoch 4");
    ck_assert_ptr_null(model);
    ck_assert_ptr_nonnull(strstr(t->error.message, "learning_rate below 0.0002"));
    trainer_fails(t, dn_trainer_run(t, NULL, NULL, &model), DN_E_NUMERIC, "diverged before");
    trainer_ok(t, dn_trainer_model(t, &model));
    dn_blob *kept = model_bytes(model);
    dn_model_unref(model);
    dn_trainer_free(t);
    o.epochs = 3;
    dn_blob *expected = run_to_bytes(tiny_trainer(&o, 6));
    ck_assert(same_bytes(kept, expected));
    dn_blob_free(kept);
    dn_blob_free(expected);
}
END_TEST

/* What has gone wrong by the time of a cancel is not saved. */
START_TEST(divergence_is_not_saved)
{
    dn_train_options o = tiny_options();
    size_t sizes[2];
    o.checkpoint = path_join(test_folder(), "state");
    o.checkpoint_epochs = 1;
    dn_trainer *t = tiny_trainer(&o, 6);
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 3};
    dn_model *model = NULL;

    trainer_fails(t, dn_trainer_run(t, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    dn_trainer_free(t);
    o.resume = 1;
    o.checkpoint_epochs = 6;
    t = tiny_trainer(&o, 6);
    saboteur s = {.trainer = t, .epoch = 2, .cancels = 1};
    uint8_t *before = read_file(o.checkpoint, &sizes[0]);
    trainer_fails(t, dn_trainer_run(t, sabotage, &s, &model), DN_E_NUMERIC, "diverged in epoch 3");
    uint8_t *after = read_file(o.checkpoint, &sizes[1]);
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_eq(before, after, sizes[0]);
    free(before);
    free(after);
    dn_trainer_free(t);
}
END_TEST

START_TEST(divergence_at_once_leaves_no_model)
{
    dn_train_options o = tiny_options();
    dn_trainer *t = tiny_trainer(&o, 3);
    saboteur s = {t, 0, _i, 0, 0};
    dn_model *model = NULL;

    trainer_fails(t, dn_trainer_run(t, sabotage, &s, &model), DN_E_NUMERIC, "no epoch went well");
    trainer_fails(t, dn_trainer_model(t, &model), DN_E_STATE, "no epoch");
    dn_trainer_free(t);
}
END_TEST

START_TEST(features_that_overflow_name_the_image)
{
    dn_train_options o = tiny_options();
    o.bank = _i ? 0 : 6;
    o.standardize = 0;
    dn_trainer *t = tiny_trainer(&o, _i == 1 ? 0 : 3);
    dn_model *model = NULL;

    if (_i == 1) { /* of files, by their names */
        uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
        const char *path = path_join(test_folder(), "odd.png");
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 1);
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        ck_ok(dn_image_write_png(&view, path, NULL));
        trainer_ok(t, dn_trainer_add_path(t, path));
    }
    for (int32_t i = 0; i < t->extractor->layer_count; i++)
        if (t->extractor->layers[i].kind == LAYER_CONV)
            ((float *)(uintptr_t)t->extractor->layers[i].conv.bias)[0] = INFINITY;
    trainer_fails(t, dn_trainer_run(t, NULL, NULL, &model), DN_E_NUMERIC, _i == 1 ? "odd.png: " : "image ");
    dn_trainer_free(t);
}
END_TEST

/* ---- scale of the heat map ---- */

static int compare_floats(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static int compare_doubles(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

START_TEST(heatmap_scale_is_what_most_good_pixels_stay_below)
{
    dn_train_options o = tiny_options();
    o.holdout = 0.4;
    o.heatmap_images = 3; /* two held-out ones and the first of the others */
    dn_trainer *t = tiny_trainer(&o, 5);
    dn_localizer_options options;
    dn_localizer *localizer = NULL;
    dn_model *model = NULL;
    dn_model_info info;
    double peaks[3];
    const size_t pixels = 64 * 64;
    float *sorted = malloc(pixels * sizeof *sorted);

    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    dn_localizer_options_init(&options);
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    for (int i = 0; i < 3; i++) {
        int32_t image = t->images.split[i < 2 ? t->images.train_count + i : 0];
        const float *map;
        ck_ok(localizer_raw_map_canvas(localizer, t->images.list[image].canvas, &map, NULL));
        memcpy(sorted, map, pixels * sizeof *sorted);
        qsort(sorted, pixels, sizeof *sorted, compare_floats);
        peaks[i] = sorted[4090]; /* 0.999 * 4095 = 4090.9 */
    }
    qsort(peaks, 3, sizeof *peaks, compare_doubles);
    ck_assert_double_eq_tol(info.heatmap_scale, peaks[1] + 0.9 * (peaks[2] - peaks[1]), 1e-12 * peaks[2]);
    ck_assert(info.heatmap_scale > 0);
    free(sorted);
    dn_localizer_free(localizer);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

START_TEST(an_odd_feature_is_refused_at_once)
{
    const int32_t channels[5] = {4, 4, 6, 6, 5};
    dn_extractor_options options;
    dn_extractor *extractor = NULL;
    dn_trainer *trainer = (dn_trainer *)1;
    dn_error error = {0};

    dn_extractor_options_init(&options);
    options.input_size = 64;
    options.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    ck_status(dn_trainer_create(extractor, NULL, &trainer, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(trainer);
    ck_assert_msg(strstr(error.message, "gives 5 numbers per view"), "%s", error.message);
    dn_extractor_unref(extractor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("train");
    TCase *core = tcase_create("core");

    tcase_set_timeout(core, 60);
    tcase_add_test(core, an_odd_feature_is_refused_at_once);
    tcase_add_test(core, share_of_held_out_images);
    tcase_add_test(core, seed_chooses_held_out_images);
    tcase_add_loop_test(core, bank_rows_are_features_of_random_views, 0, 4);
    tcase_add_test(core, bank_rows_depend_on_their_image_only);
    tcase_add_test(core, standardisation_is_mean_and_deviation);
    tcase_add_test(core, constant_dimensions_have_a_floor);
    tcase_add_test(core, nothing_varies);
    tcase_add_test(core, standardisation_can_be_off);
    tcase_add_test(core, views_are_drawn_without_replacement);
    tcase_add_test(core, a_small_bank_is_drawn_with_replacement);
    tcase_add_test(core, rows_are_standardised);
    tcase_add_test(core, loss_falls);
    tcase_add_loop_test(core, divergence_keeps_the_last_good_epoch, 0, 2);
    tcase_add_test(core, divergence_is_not_saved);
    tcase_add_loop_test(core, divergence_at_once_leaves_no_model, 0, 2);
    tcase_add_loop_test(core, features_that_overflow_name_the_image, 0, 2);
    tcase_add_test(core, heatmap_scale_is_what_most_good_pixels_stay_below);
    suite_add_tcase(suite, core);
    return suite;
}

TEST_MAIN(make_suite)
