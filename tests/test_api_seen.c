/* Images that are not like those learned from, through the shared library: by every way of scoring. */
#include <math.h>
#include <string.h>

#include "heatmap_golden.h"
#include "serving.h"
#include "training.h"

enum { IMAGES = 6, AREA = PICTURE_WIDTH * PICTURE_HEIGHT };

/* Adds the pictures 1 .. IMAGES, by path where `folder` is there; both densities are learned. */
static dn_model *model_of(const char *folder)
{
    dn_train_options options = tiny_options();
    uint8_t rgb[AREA * 3];
    dn_model *model;

    options.positions = 1;
    options.epochs = 1;
    dn_trainer *trainer = tiny_trainer(&options, folder ? 0 : IMAGES);
    for (uint32_t i = 1; folder && i <= IMAGES; i++) {
        const char *path = path_join(folder, (char[]){(char)('a' + i), '.', 'p', 'n', 'g', 0});
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, i);
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        ck_ok(dn_image_write_png(&view, path, NULL));
        trainer_ok(trainer, dn_trainer_add_path(trainer, path));
    }
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

/* Images by pixels and by path are measured alike, and what is kept is told. */
START_TEST(kept_by_the_model)
{
    dn_model *a = model_of(NULL), *b = model_of(test_folder());
    dn_model_info info, other;

    dn_model_info_init(&info);
    dn_model_info_init(&other);
    ck_ok(dn_model_get_info(a, &info));
    ck_ok(dn_model_get_info(b, &other));
    ck_assert_int_eq(info.seen_images, IMAGES);
    ck_assert_mem_eq(info.seen_low, other.seen_low, sizeof info.seen_low);
    ck_assert_mem_eq(info.seen_high, other.seen_high, sizeof info.seen_high);
    for (int t = 0; t < DN_TRAITS; t++)
        ck_assert(info.seen_low[t] >= 0 && info.seen_low[t] <= info.seen_high[t]);
    ck_assert_double_eq_tol(info.seen_low[DN_TRAIT_SHAPE], 1.25, 1e-12);
    ck_assert_double_eq_tol(info.seen_high[DN_TRAIT_SIZE], sqrt(AREA), 1e-12);
    ck_assert_double_eq(info.seen_high[DN_TRAIT_BITS], 8);
    ck_assert_double_gt(info.seen_low[DN_TRAIT_COLOUR], 0.02);
    dn_model_unref(a);
    dn_model_unref(b);
}
END_TEST

/* The warnings of one image by all ways of scoring. */
static void check_warnings(dn_model *model, const dn_pixels *view, uint32_t expected)
{
    static float map[4 * AREA];
    const char *path = path_join(test_folder(), "image.png");
    dn_pixels views[2] = {*view, *view};
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_score scores[8];

    for (int i = 0; i < 8; i++)
        dn_score_init(&scores[i]);
    ck_ok(dn_image_write_png(view, path, NULL));
    ck_ok(dn_scorer_score(scorer, view, &scores[0]));
    ck_ok(dn_scorer_score_path(scorer, path, &scores[1]));
    ck_ok(dn_scorer_decide(scorer, view, &scores[2]));
    ck_ok(dn_scorer_decide_path(scorer, path, &scores[3]));
    ck_ok(dn_scorer_inspect(scorer, view, map, &scores[4]));
    ck_ok(dn_scorer_score_batch(scorer, views, 2, &scores[5], NULL));
    ck_ok(dn_scorer_score_batch_paths(scorer, (const char *[]){path}, 1, &scores[7], NULL));
    for (int i = 0; i < 8; i++)
        ck_assert_msg(scores[i].warnings == expected, "way %d: %#x, not %#x", i, scores[i].warnings, expected);
    dn_scorer_free(scorer);
}

START_TEST(by_every_way_of_scoring)
{
    dn_model *model = model_of(NULL);
    uint8_t rgb[AREA * 3], changed[AREA * 3], gray[AREA];
    uint16_t wide[AREA];
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT), other = view;

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 9);
    check_warnings(model, &view, 0);
    other.pixels = changed;
    for (int i = 0; i < AREA * 3; i++)
        changed[i] = (uint8_t)(rgb[i] / 4);
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_score score;
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &other, &score));
    ck_assert((score.warnings & DN_WARN_DARK) && (score.warnings & DN_WARN_FLAT));
    dn_scorer_free(scorer);
    check_warnings(model, &other, score.warnings);

    for (int i = 0; i < AREA; i++) {
        gray[i] = (uint8_t)((rgb[3 * i] + 2 * rgb[3 * i + 1] + rgb[3 * i + 2]) / 4);
        wide[i] = (uint16_t)(257 * gray[i]);
        memset(changed + 3 * i, gray[i], 3);
    }
    check_warnings(model, &other, DN_WARN_GRAY); /* although it is stored in three channels */
    check_warnings(model, &(dn_pixels){gray, PICTURE_WIDTH, PICTURE_HEIGHT, 0, DN_GRAY8, 0}, DN_WARN_GRAY);
    check_warnings(model, &(dn_pixels){wide, PICTURE_WIDTH, PICTURE_HEIGHT, 0, DN_GRAY16, 0},
                   DN_WARN_GRAY | DN_WARN_16_BIT);
    dn_model_unref(model);
}
END_TEST

/* A batch's images keep their own warnings, and their order, when others cannot be read. */
START_TEST(in_a_batch)
{
    dn_model *model = model_of(NULL);
    uint8_t rgb[AREA * 3], dark[AREA * 3] = {0};
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT), views[4] = {view, view, view, view};
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_score scores[4];
    dn_error errors[4];

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 9);
    views[1].width = 1;
    views[2].pixels = dark;
    for (int i = 0; i < 4; i++)
        dn_score_init(&scores[i]);
    ck_status(dn_scorer_score_batch(scorer, views, 4, scores, errors), DN_E_ARGUMENT);
    ck_assert_uint_eq(scores[0].warnings, 0);
    ck_assert(scores[2].warnings & DN_WARN_DARK);
    ck_assert_uint_eq(scores[3].warnings, 0);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* A file of old knows nothing of its images, and warns of nothing. */
START_TEST(file_of_old)
{
    uint8_t dark[AREA * 3] = {0};
    dn_pixels view = rgb_view(dark, PICTURE_WIDTH, PICTURE_HEIGHT);
    dn_model *model = golden_model();
    dn_scorer *scorer = make_scorer(model, NULL);
    dn_model_info info;
    dn_score score;

    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_assert_int_eq(info.seen_images, 0);
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &view, &score));
    ck_assert_uint_eq(score.warnings, 0);
    ck_assert_str_eq(dn_warning_text(DN_WARN_BLURRED), "less sharp than all images learned from");
    ck_assert_ptr_null(dn_warning_text(3));
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_seen");
    TCase *tests = tcase_create("api_seen");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, kept_by_the_model);
    tcase_add_test(tests, by_every_way_of_scoring);
    tcase_add_test(tests, in_a_batch);
    tcase_add_test(tests, file_of_old);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
