/* Calibrating a model anew: scores stay, verdicts go by other good images; operating points; defects among the good. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "differnet/calibrator.h"
#include "training.h"

/* with_positions 2: positions alone, without a flow. */
static dn_model *trained(int32_t with_positions)
{
    dn_train_options options = tiny_options();
    dn_model *model = NULL;

    options.epochs = 2;
    options.positions = with_positions > 0;
    if (with_positions == 2) {
        options.flow = 0;
        options.epochs = 0;
        options.copies = DN_COPIES_NONE;
    }
    options.position_dims = 4;
    dn_trainer *trainer = tiny_trainer(&options, 12);
    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

static dn_calibrator *calibrator_of(dn_model *model, int32_t keep, const dn_allocator *allocator)
{
    dn_calibrator_options options;
    dn_calibrator *calibrator = NULL;
    dn_error error = {0};

    dn_calibrator_options_init(&options);
    options.keep = keep;
    options.accept_suspects = 1;
    options.allocator = allocator;
    ck_assert_msg(dn_calibrator_create(model, &options, &calibrator, &error) == DN_OK, "%s", error.message);
    return calibrator;
}

#define calibrator_ok(calibrator, expression) \
    ck_assert_msg((expression) == DN_OK, "%s: %s", #expression, dn_calibrator_error(calibrator)->message)

static dn_status add_texture(dn_calibrator *calibrator, uint32_t seed, dn_score *score)
{
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, seed);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    return dn_calibrator_add_pixels(calibrator, &view, score);
}

/* The texture with a value that is one higher here and there, as a second shot of the same part has. */
static dn_status add_second_shot(dn_calibrator *calibrator, uint32_t seed)
{
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, seed);
    for (size_t i = 0; i < sizeof rgb; i += 7)
        rgb[i] = (uint8_t)(rgb[i] < 255 ? rgb[i] + 1 : 254);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    return dn_calibrator_add_pixels(calibrator, &view, NULL);
}

static dn_score score_texture(dn_model *model, uint32_t seed, int32_t views)
{
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    dn_scorer_options options;
    dn_scorer *scorer = NULL;
    dn_score score;

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, seed);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    dn_scorer_options_init(&options);
    options.views = views;
    ck_ok(dn_scorer_create(model, &options, &scorer, NULL));
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &view, &score));
    dn_scorer_free(scorer);
    return score;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of nothing new the very file comes out: whatever a model holds is in its copy. */
START_TEST(all_is_copied)
{
    for (int32_t with_positions = 0; with_positions <= 1; with_positions++) {
        dn_model *model = trained(with_positions), *made = NULL;
        dn_calibrator *calibrator = calibrator_of(model, with_positions, NULL);
        calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
        dn_blob *old = model_bytes(model), *new = model_bytes(made);
        ck_assert(same_bytes(old, new));
        dn_blob_free(old);
        dn_blob_free(new);
        dn_model_unref(made);
        dn_calibrator_free(calibrator);
        dn_model_unref(model);
    }
}
END_TEST

/* ---- images in place of the model's, or beside them ---- */

enum { IMAGES = 9 };

static void check_new_scores(int32_t with_positions, int32_t keep)
{
    dn_model *model = trained(with_positions), *made = NULL, *again = NULL;
    dn_calibrator *calibrator = calibrator_of(model, keep, NULL);
    dn_blob *before = model_bytes(model);
    double expected[64];
    int32_t count = 0, held;
    const double *scores = dn_model_holdout_scores(model, &held);

    for (int32_t i = 0; keep && i < held; i++)
        expected[count++] = scores[i];
    for (uint32_t i = 0; i < IMAGES; i++) {
        dn_score told;
        dn_score_init(&told);
        calibrator_ok(calibrator, add_texture(calibrator, 100 + i, &told));
        expected[count] = score_texture(model, 100 + i, 0).score;
        ck_assert(told.score == expected[count]);
        count++;
    }
    qsort(expected, (size_t)count, sizeof *expected, compare);
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
    dn_calibrator_free(calibrator);
    dn_blob *after = model_bytes(model);
    ck_assert(same_bytes(before, after)); /* the model that is shared is what it was */
    dn_blob *bytes = model_bytes(made);
    again = model_of_bytes(bytes);
    for (int i = 0; i < 2; i++) {
        dn_model *of = i == 0 ? made : again;
        scores = dn_model_holdout_scores(of, &held);
        ck_assert_int_eq(held, count);
        ck_assert(memcmp(scores, expected, (size_t)count * sizeof *scores) == 0);
        ck_assert_str_eq(dn_model_note(of, 0, NULL), "part");
        /* The image's score has the bits it had, its p-value goes by the new images: for other numbers of views, too. */
        for (int32_t views = 0; views <= 2; views += 2) {
            dn_score old = score_texture(model, 7, views), fresh = score_texture(of, 7, views);
            ck_assert(old.score == fresh.score);
            double above = 0;
            for (uint32_t k = 0; k < IMAGES; k++)
                above += score_texture(of, 100 + k, views).score >= fresh.score;
            if (!keep)
                ck_assert_double_eq_tol(fresh.p_value, (1 + above) / (IMAGES + 1), 1e-12);
        }
    }
    dn_blob_free(before);
    dn_blob_free(after);
    dn_blob_free(bytes);
    dn_model_unref(again);
    dn_model_unref(made);
    dn_model_unref(model);
}

START_TEST(other_images)
{
    check_new_scores(0, 0);
    check_new_scores(1, 0);
}
END_TEST

START_TEST(more_images)
{
    check_new_scores(0, 1);
    check_new_scores(1, 1);
}
END_TEST

START_TEST(without_a_flow)
{
    dn_model *model = trained(2);
    dn_calibrator *calibrator = calibrator_of(model, 1, NULL);
    dn_calibrator_info info;
    int32_t held;

    dn_model_holdout_scores(model, &held);
    calibrator_ok(calibrator, add_texture(calibrator, 100, NULL));
    dn_calibrator_info_init(&info);
    calibrator_ok(calibrator, dn_calibrator_get_info(calibrator, &info, NULL, 0));
    ck_assert_int_eq(info.good_scores, held + 1);
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
    check_new_scores(2, 0);
    check_new_scores(2, 1);
}
END_TEST

/* The map's value from which on there is a box goes by the same images. */
START_TEST(heights_of_maps)
{
    for (int32_t keep = 0; keep <= 1; keep++) {
        dn_model *model = trained(2), *made;
        dn_calibrator *calibrator = calibrator_of(model, keep, NULL);
        dn_localizer *localizer;
        float threshold, highest = 0, map[PICTURE_WIDTH * PICTURE_HEIGHT];
        double kept;

        for (uint32_t i = 0; i < IMAGES; i++)
            calibrator_ok(calibrator, add_texture(calibrator, 100 + i, NULL));
        calibrator_ok(calibrator, add_second_shot(calibrator, 100));
        calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
        ck_ok(dn_localizer_create(made, NULL, &localizer, NULL));
        double heights = IMAGES + (keep ? model->peak_count : 0);
        ck_ok(dn_localizer_threshold(localizer, 1 / (heights + 1), &threshold, &kept));
        ck_assert_double_eq_tol(kept, 1 / (heights + 1), 1e-12);
        for (uint32_t i = 0; i < IMAGES; i++) {
            uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
            draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 100 + i);
            dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
            ck_ok(dn_localizer_map(localizer, &view, map));
            for (size_t p = 0; p < sizeof map / sizeof *map; p++)
                highest = map[p] > highest ? map[p] : highest;
        }
        ck_assert_float_lt(highest, threshold);
        if (!keep) /* between the cells' centres a map is nowhere above its highest cell, and hardly below it */
            ck_assert_float_gt(highest, 0.9f * threshold);
        dn_localizer_free(localizer);
        dn_model_unref(made);
        dn_calibrator_free(calibrator);
        dn_model_unref(model);
    }
}
END_TEST

START_TEST(repetitions_count_once)
{
    dn_model *model = trained(1), *made;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    dn_calibrator_info info;
    int32_t held;

    for (uint32_t i = 0; i < 6; i++)
        calibrator_ok(calibrator, add_texture(calibrator, 50 + i / 3, NULL));
    dn_calibrator_info_init(&info);
    calibrator_ok(calibrator, dn_calibrator_get_info(calibrator, &info, NULL, 0));
    ck_assert(info.added == 6 && info.counted == 2 && info.good_scores == 2 && info.suspects == 0);
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
    dn_model_holdout_scores(made, &held);
    ck_assert_int_eq(held, 2);
    dn_model_unref(made);
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* Near copies are one image, too, wherever they stand; the model compares with the first of them. */
START_TEST(near_copies_count_once)
{
    dn_model *model = trained(1), *made;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    dn_calibrator_info info;
    double expected[3];
    int32_t held;

    for (uint32_t i = 0; i < 3; i++) {
        calibrator_ok(calibrator, add_texture(calibrator, 50 + i, NULL));
        expected[i] = score_texture(model, 50 + i, 0).score;
    }
    qsort(expected, 3, sizeof *expected, compare);
    for (uint32_t i = 0; i < 3; i++)
        calibrator_ok(calibrator, add_second_shot(calibrator, 50 + i));
    dn_calibrator_info_init(&info);
    calibrator_ok(calibrator, dn_calibrator_get_info(calibrator, &info, NULL, 0));
    ck_assert_int_eq(info.added, 6);
    ck_assert_int_eq(info.counted, 3);
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
    const double *scores = dn_model_holdout_scores(made, &held);
    ck_assert_int_eq(held, 3);
    ck_assert(memcmp(scores, expected, sizeof expected) == 0);
    dn_model_unref(made);
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* More than once the memory grows; another model may be made with more images. */
START_TEST(many_images)
{
    dn_model *model = trained(1), *few, *more;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    int32_t held;

    for (uint32_t i = 0; i < 70; i++)
        calibrator_ok(calibrator, add_texture(calibrator, 1000 + i, NULL));
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &few));
    for (uint32_t i = 70; i < 140; i++)
        calibrator_ok(calibrator, add_texture(calibrator, 1000 + i, NULL));
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &more));
    const double *scores = dn_model_holdout_scores(more, &held);
    ck_assert_int_eq(held, 140);
    int found = 0;
    for (int32_t i = 0; i < held; i++)
        found += scores[i] == score_texture(model, 1000, 0).score;
    ck_assert_int_eq(found, 1);
    dn_model_holdout_scores(few, &held);
    ck_assert_int_eq(held, 70);
    dn_model_unref(few);
    dn_model_unref(more);
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* ---- operating points ---- */

START_TEST(operating_points)
{
    dn_model *model = trained(1), *made, *again;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    double threshold;
    int32_t held, before;

    calibrator_ok(calibrator, dn_calibrator_set_point(calibrator, "best-f1", 0.25));
    calibrator_ok(calibrator, dn_calibrator_set_point(calibrator, "Strict_2.0", 1e300));
    calibrator_ok(calibrator, dn_calibrator_set_point(calibrator, "best-f1", 0));
    calibrator_ok(calibrator, dn_calibrator_note(calibrator, "part", "flange 2"));
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made)); /* no images: the model's good scores stay */
    dn_blob *bytes = model_bytes(made);
    again = model_of_bytes(bytes);
    ck_assert_str_eq(dn_model_operating_point(again, 0, &threshold), "best-f1");
    ck_assert(threshold == 0);
    ck_assert_str_eq(dn_model_operating_point(again, 1, &threshold), "Strict_2.0");
    ck_assert(threshold == 1e300);
    ck_assert_ptr_null(dn_model_operating_point(again, 2, &threshold));
    ck_assert(isnan(threshold));
    ck_assert_ptr_null(dn_model_operating_point(again, -1, NULL));
    ck_assert_ptr_null(dn_model_operating_point(NULL, 0, NULL));
    ck_assert_ptr_null(dn_model_operating_point(model, 0, NULL));
    const char *told;
    ck_assert_str_eq(dn_model_note(again, 0, &told), "part");
    ck_assert_str_eq(told, "flange 2");
    const double *old = dn_model_holdout_scores(model, &before), *scores = dn_model_holdout_scores(again, &held);
    ck_assert(held == before && memcmp(old, scores, (size_t)held * sizeof *old) == 0);
    dn_blob_free(bytes);

    /* A calibrator of the new model keeps its points. */
    dn_calibrator_free(calibrator);
    calibrator = calibrator_of(again, 0, NULL);
    dn_model_unref(made);
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
    ck_assert_str_eq(dn_model_operating_point(made, 1, NULL), "Strict_2.0");

    dn_scorer *scorer;
    dn_score score;
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 3);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    ck_ok(dn_scorer_create(again, NULL, &scorer, NULL));
    dn_score_init(&score);
    ck_ok(dn_scorer_set_operating_point(scorer, "best-f1"));
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert(score.anomalous == 1 && score.threshold == 0);
    ck_ok(dn_scorer_set_operating_point(scorer, "Strict_2.0"));
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert(score.anomalous == 0 && score.threshold == 1e300);
    ck_status(dn_scorer_set_operating_point(scorer, "strict"), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "no operating point strict; there are best-f1,Strict_2.0");
    ck_status(dn_scorer_set_operating_point(scorer, NULL), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_operating_point(NULL, "x"), DN_E_ARGUMENT);
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert(score.threshold == 1e300);
    dn_scorer_free(scorer);
    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    ck_status(dn_scorer_set_operating_point(scorer, "strict"), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "the model has no operating points");
    dn_scorer_free(scorer);
    dn_calibrator_free(calibrator);
    dn_model_unref(again);
    dn_model_unref(made);
    dn_model_unref(model);
}
END_TEST

START_TEST(points_refused)
{
    static const char *const names[] = {"", "a,b", "a b", "\xc3\xbc", "123456789012345678901234567890123"};
    static const double thresholds[] = {-1e-9, (double)NAN, (double)INFINITY};
    dn_model *model = trained(0), *made;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    char name[] = "a";

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_status(dn_calibrator_set_point(calibrator, names[i], 1), DN_E_ARGUMENT);
        check_error(dn_calibrator_error(calibrator), DN_E_ARGUMENT, "1 to 32 of the letters");
    }
    for (size_t i = 0; i < 3; i++) {
        ck_status(dn_calibrator_set_point(calibrator, "x", thresholds[i]), DN_E_ARGUMENT);
        check_error(dn_calibrator_error(calibrator), DN_E_ARGUMENT, "x: its threshold is");
    }
    for (int i = 0; i < DN_POINTS; i++, name[0]++)
        calibrator_ok(calibrator, dn_calibrator_set_point(calibrator, name, i));
    ck_status(dn_calibrator_set_point(calibrator, "z", 1), DN_E_ARGUMENT);
    check_error(dn_calibrator_error(calibrator), DN_E_ARGUMENT, "more than 16 operating points");
    calibrator_ok(calibrator, dn_calibrator_set_point(calibrator, "a", 5)); /* there already */
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made));
    ck_assert_ptr_nonnull(dn_model_operating_point(made, DN_POINTS - 1, NULL));

    /* Files whose names do not fit. */
    static const char *const damaged[][2] = {{"a,b,c,d", "a,b,b,d"}, {"a,b,c,d", "a,b,c-d"}, {"a,b,c,d", "a,b,,cd"}};
    dn_blob *blob = model_bytes(made);
    size_t size = dn_blob_size(blob);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        uint8_t *bytes = malloc(size);
        dn_model *opened;
        dn_error error;
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, damaged[i][0], damaged[i][1]);
        sign_file(bytes, size);
        ck_status(dn_model_open_memory(bytes, size, NULL, &opened, &error), DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT, "operating point");
        free(bytes);
    }
    dn_blob_free(blob);
    dn_model_unref(made);
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* ---- defects among the good ---- */

START_TEST(suspects_by_hand)
{
    double scratch[64], held[40], fresh[24];
    suspicion told;

    /* Quartiles of the logarithms 0 .. 7 of 8 scores: 1.75 and 5.25; the fence is 5.25 + 2.2 * 3.5 = 12.95. */
    for (int i = 0; i < 8; i++)
        fresh[i] = exp(i);
    told = suspect_scores(NULL, 0, fresh, 8, scratch);
    ck_assert(!told.moved);
    ck_assert_double_eq_tol(log(told.limit), 12.95, 1e-9);
    /* Together with held ones that are the same the quartiles are those of 16. */
    memcpy(held, fresh, 8 * sizeof *held);
    told = suspect_scores(held, 8, fresh, 8, scratch);
    ck_assert(!told.moved);
    ck_assert_double_eq_tol(log(told.limit), 5.25 + 2.2 * 3.5, 1e-9);
    /* Seven scores are too few for quartiles. */
    ck_assert(isinf(suspect_scores(NULL, 0, fresh, 7, scratch).limit));

    /* 20 held below 20 fresh: chance 1 / C(40, 20), the line has moved; the fence is that of the fresh ones. */
    for (int i = 0; i < 20; i++) {
        held[i] = 1 + 0.01 * i;
        fresh[i] = 2 + 0.01 * i;
    }
    told = suspect_scores(held, 20, fresh, 20, scratch);
    ck_assert(told.moved && told.limit > 2.2 && isfinite(told.limit));

    /* 7 of 20 fresh ones above 20 held ones: 20/40 * 19/39 * ... * 14/34 = 0.0042, less than half of them: suspects.
     * 6 of them: 0.0101, chance. */
    for (int above = 6; above <= 7; above++) {
        for (int i = 0; i < 20; i++)
            fresh[i] = i < above ? 1.3 : 0.985 + 0.01 * i;
        told = suspect_scores(held, 20, fresh, 20, scratch);
        ck_assert(!told.moved);
        if (above == 7)
            ck_assert(told.limit == held[19]);
        else
            ck_assert(told.limit > held[19]);
    }
}
END_TEST

START_TEST(suspects_are_refused)
{
    dn_model *model = trained(1), *made = (dn_model *)&made;
    dn_calibrator_options options;
    dn_calibrator *calibrator;
    dn_calibrator_info info;
    int32_t suspects[4] = {-1, -1, -1, -1};
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    dn_calibrator_options_init(&options);
    ck_ok(dn_calibrator_create(model, &options, &calibrator, NULL));
    for (uint32_t i = 0; i < 30; i++) {
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 5 + 97 * 13 * i); /* alike but for the noise */
        for (size_t k = 0; k < sizeof rgb && (i == 4 || i == 17); k++)
            rgb[k] = k / 90 % 2 ? 255 : 0; /* nothing like the others */
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        view.height -= i == 17 ? 2 : 0;
        calibrator_ok(calibrator, dn_calibrator_add_pixels(calibrator, &view, NULL));
    }
    dn_calibrator_info_init(&info);
    calibrator_ok(calibrator, dn_calibrator_get_info(calibrator, &info, suspects, 4));
    ck_assert_msg(info.suspects == 2 && suspects[0] == 4 && suspects[1] == 17 && suspects[2] == -1,
                  "%d suspects: %d %d", info.suspects, suspects[0], suspects[1]);
    ck_status(dn_calibrator_model(calibrator, &made), DN_E_STATE);
    ck_assert_ptr_null(made);
    check_error(dn_calibrator_error(calibrator), DN_E_STATE, "2 of 30 good images score like defects (number 4");
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* ---- what is refused, and what fails ---- */

START_TEST(refused)
{
    dn_model *model = trained(0), *made = (dn_model *)&made;
    dn_calibrator *calibrator = calibrator_of(model, 0, NULL);
    dn_calibrator_info info;
    dn_score score = {.struct_size = 1};

    dn_calibrator_info_init(&info);
    ck_status(dn_calibrator_add_path(calibrator, "/nowhere/at all.png", NULL), DN_E_IO);
    check_error(dn_calibrator_error(calibrator), DN_E_IO, "/nowhere/at all.png");
    ck_status(add_texture(calibrator, 1, &score), DN_E_ARGUMENT);
    ck_status(dn_calibrator_add_path(calibrator, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_calibrator_add_pixels(calibrator, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_calibrator_note(calibrator, "a=b", ""), DN_E_ARGUMENT);
    calibrator_ok(calibrator, dn_calibrator_get_info(calibrator, &info, NULL, 0));
    ck_assert_int_eq(info.added, 0);
    ck_status(dn_calibrator_get_info(calibrator, &info, NULL, 1), DN_E_ARGUMENT);
    ck_status(dn_calibrator_get_info(calibrator, NULL, NULL, 0), DN_E_ARGUMENT);
    ck_status(dn_calibrator_model(calibrator, NULL), DN_E_ARGUMENT);
    ck_status(dn_calibrator_model(NULL, &made), DN_E_ARGUMENT);
    ck_assert_ptr_null(made);
    ck_assert_ptr_null(dn_calibrator_error(NULL));
    dn_calibrator_free(NULL);
    dn_calibrator_free(calibrator);
#define REFUSED(field, value)                                                           \
    do {                                                                                \
        dn_calibrator_options o;                                                        \
        dn_error error;                                                                 \
        dn_calibrator_options_init(&o);                                                 \
        o.field = (value);                                                              \
        ck_status(dn_calibrator_create(model, &o, &calibrator, &error), DN_E_ARGUMENT); \
        ck_assert_ptr_null(calibrator);                                                 \
        check_error(&error, DN_E_ARGUMENT, #field);                                     \
    } while (0)
    REFUSED(keep, 2);
    REFUSED(accept_suspects, -1);
    REFUSED(threads, 0);
    REFUSED(threads, 257);
    REFUSED(max_pixels, 0);
#undef REFUSED
    ck_status(dn_calibrator_create(NULL, NULL, &calibrator, NULL), DN_E_ARGUMENT);
    dn_model_unref(model);
}
END_TEST

/* Scores without what they come from, as files of earlier versions have them. */
START_TEST(scores_alone_cannot_be_kept)
{
    dn_model *model = trained(1), *made = NULL;
    dn_calibrator_options options;
    dn_calibrator *calibrator;
    dn_error error;

    calibration_free(model->calibration);
    model->calibration = NULL;
    dn_calibrator_options_init(&options);
    options.keep = 1;
    ck_status(dn_calibrator_create(model, &options, &calibrator, &error), DN_E_STATE);
    check_error(&error, DN_E_STATE, "keep = 0");
    ck_ok(dn_calibrator_create(model, NULL, &calibrator, NULL));
    calibrator_ok(calibrator, dn_calibrator_model(calibrator, &made)); /* of nothing new: a copy */
    ck_assert_int_eq(made->holdout_count, model->holdout_count);
    ck_assert_ptr_null(made->calibration);
    dn_calibrator_free(calibrator);
    dn_model_unref(made);
    model->holdout_count = 0; /* there is nothing to be kept */
    ck_ok(dn_calibrator_create(model, &options, &calibrator, &error));
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
}
END_TEST

/* Each allocation fails in turn: nothing leaks, and what was added before stays. */
START_TEST(without_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model *model = trained(1), *made;
    dn_calibrator_options options;
    dn_calibrator *calibrator = NULL;
    long failures = 0;

    dn_calibrator_options_init(&options);
    options.allocator = &allocator;
    for (memory.fail_at = 1;; memory.fail_at++, failures++) {
        memory.calls = 0;
        dn_status status = dn_calibrator_create(model, &options, &calibrator, NULL);
        if (status == DN_OK)
            break;
        ck_assert_int_eq(status, DN_E_MEMORY);
        ck_assert_int_eq(memory.live, 0);
    }
    for (memory.fail_at = 1;; memory.fail_at++, failures++) {
        memory.calls = 0;
        dn_status status = add_texture(calibrator, 5, NULL);
        if (status == DN_OK)
            break;
        ck_assert_int_eq(status, DN_E_MEMORY);
    }
    memory.fail_at = 0;
    calibrator_ok(calibrator, add_texture(calibrator, 6, NULL));
    dn_calibrator_info info;
    dn_calibrator_info_init(&info);
    for (memory.fail_at = 1;; memory.fail_at++, failures++) {
        memory.calls = 0;
        dn_status status = dn_calibrator_get_info(calibrator, &info, NULL, 0);
        if (status == DN_OK)
            break;
        ck_assert_int_eq(status, DN_E_MEMORY);
    }
    ck_assert_int_eq(info.counted, 2);
    long live = memory.live;
    for (memory.fail_at = 1;; memory.fail_at++, failures++) {
        memory.calls = 0;
        dn_status status = dn_calibrator_model(calibrator, &made);
        if (status == DN_OK)
            break;
        ck_assert_int_eq(status, DN_E_MEMORY);
        ck_assert_ptr_null(made);
        ck_assert_int_eq(memory.live, live);
    }
    ck_assert_int_gt(failures, 10);
    int32_t held;
    dn_model_holdout_scores(made, &held);
    ck_assert_int_eq(held, 2);
    dn_calibrator_free(calibrator);
    dn_model_unref(made);
    ck_assert_int_eq(memory.live, 0);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("calibrator");
    TCase *cases = tcase_create("calibrator");

    tcase_add_test(cases, all_is_copied);
    tcase_add_test(cases, other_images);
    tcase_add_test(cases, more_images);
    tcase_add_test(cases, without_a_flow);
    tcase_add_test(cases, heights_of_maps);
    tcase_add_test(cases, repetitions_count_once);
    tcase_add_test(cases, near_copies_count_once);
    tcase_add_test(cases, many_images);
    tcase_add_test(cases, operating_points);
    tcase_add_test(cases, points_refused);
    tcase_add_test(cases, suspects_by_hand);
    tcase_add_test(cases, suspects_are_refused);
    tcase_add_test(cases, refused);
    tcase_add_test(cases, scores_alone_cannot_be_kept);
    tcase_add_test(cases, without_memory);
    tcase_set_timeout(cases, 120);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
