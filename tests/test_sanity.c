/* Does it work at all: gray squares are good, circles are anomalous. */
#include <math.h>

#include "training.h"

#define SIDE 96
#define TRAIN 12
#define TEST 6

static uint32_t noise_state;

static double noise(void) /* 0 .. 1 */
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)(noise_state >> 8) / (1 << 24);
}

/* A filled shape of slightly varying position, size and brightness on a noisy background. */
static void draw_shape(uint8_t *gray, _Bool circle, uint32_t seed)
{
    noise_state = seed * 7919 + 17;
    double x0 = SIDE / 2.0 + 3 * (noise() - 0.5), y0 = SIDE / 2.0 + 3 * (noise() - 0.5);
    double half = 28 + (noise() - 0.5), bright = 150 + 4 * (noise() - 0.5);

    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double dx = fabs(x - x0), dy = fabs(y - y0);
            _Bool inside = circle ? hypot(dx, dy) <= half : fmax(dx, dy) <= half;
            gray[y * SIDE + x] = (uint8_t)((inside ? bright : 60) + 6 * noise());
        }
}

static dn_pixels shape_view(const uint8_t *gray)
{
    return (dn_pixels){.pixels = gray, .width = SIDE, .height = SIDE, .format = DN_GRAY8};
}

static dn_model *train_on_squares(void)
{
    const int32_t channels[5] = {16, 32, 24, 24, 24};
    dn_extractor_options size;
    dn_train_options options;
    dn_extractor *extractor = NULL;
    dn_trainer *trainer = NULL;
    dn_model *model = NULL;

    dn_extractor_options_init(&size);
    size.input_size = 96;
    size.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &size, &extractor, NULL));
    dn_train_options_init(&options);
    options.seed = 1;
    options.epochs = 40;
    options.hidden = 32;
    options.blocks = 4;
    options.bank = 32;
    options.learning_rate = 2e-3;
    options.holdout = 0.3;
    options.views = 16;
    options.heatmap_images = 8;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (uint32_t i = 0; i < TRAIN; i++) {
        uint8_t gray[SIDE * SIDE];
        draw_shape(gray, 0, i);
        dn_pixels view = shape_view(gray);
        trainer_ok(trainer, dn_trainer_add_pixels(trainer, &view));
    }
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

static dn_score score_shape(dn_scorer *scorer, _Bool circle, uint32_t seed)
{
    uint8_t gray[SIDE * SIDE];
    dn_score score;

    draw_shape(gray, circle, seed);
    dn_pixels view = shape_view(gray);
    dn_score_init(&score);
    ck_ok(dn_scorer_score(scorer, &view, &score));
    return score;
}

/* Share of an image's pixels that its heat map shows above what good images do. */
static double hot_share(dn_localizer *localizer, _Bool circle, uint32_t seed)
{
    static float map[SIDE * SIDE];
    uint8_t gray[SIDE * SIDE];
    int hot = 0;

    draw_shape(gray, circle, seed);
    dn_pixels view = shape_view(gray);
    ck_ok(dn_localizer_map(localizer, &view, map));
    for (int i = 0; i < SIDE * SIDE; i++)
        hot += map[i] > 1;
    return (double)hot / (SIDE * SIDE);
}

/* Good parts are not red, the others are. */
static void check_heat_maps(dn_model *model)
{
    dn_localizer *localizer = NULL;

    ck_ok(dn_localizer_create(model, NULL, &localizer, NULL));
    for (uint32_t i = 0; i < 3; i++) {
        double square = hot_share(localizer, 0, 100 + i), circle = hot_share(localizer, 1, 200 + i);
        ck_assert_msg(square < 0.02 && circle > 0.1, "hot pixels: square %.3f, circle %.3f", square, circle);
    }
    dn_localizer_free(localizer);
}

START_TEST(squares_against_circles)
{
    dn_model *model = train_on_squares();
    dn_scorer *scorer = NULL;
    dn_score squares[TEST], circles[TEST];
    double square_p = 0, circle_p = 0;
    int right = 0;

    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    for (uint32_t i = 0; i < TEST; i++) {
        squares[i] = score_shape(scorer, 0, 100 + i);
        circles[i] = score_shape(scorer, 1, 200 + i);
        square_p += squares[i].p_value / TEST;
        circle_p += circles[i].p_value / TEST;
    }
    for (int i = 0; i < TEST; i++)
        for (int j = 0; j < TEST; j++)
            right += circles[j].score > squares[i].score;
    ck_assert_msg(right == TEST * TEST, "AUROC %.3f instead of 1", (double)right / (TEST * TEST));
    ck_assert_msg(square_p > circle_p, "mean p-value of squares %.3f, of circles %.3f", square_p, circle_p);
    for (int i = 0; i < TEST; i++)
        ck_assert_int_eq(circles[i].anomalous, 1);
    check_heat_maps(model);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sanity");
    TCase *core = tcase_create("core");

    tcase_set_timeout(core, 120);
    tcase_add_test(core, squares_against_circles);
    suite_add_tcase(suite, core);
    return suite;
}

TEST_MAIN(make_suite)
