/* Sixteen threads of the host with one model: each has a scorer of its own and gets the same bits, whatever goes on beside
 * it: handles made and freed, models opened, calls that fail, trainings that are cancelled.  SCORES in the environment:
 * how many in all (default 640).  scripts/soak runs it under ThreadSanitizer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap_golden.h"
#include "training.h"

#define THREADS 16
#define PICTURES 3
#define SIDE GOLDEN_SIZE

static uint8_t pixels[PICTURES][SIDE * SIDE * 3];
static dn_pixels pictures[PICTURES];
static dn_model *model;
static dn_score expected[PICTURES];
static float expected_map[SIDE * SIDE];
static atomic_int wrong; /* ck_assert is for the main thread */
static atomic_long scores;
static long wanted;

static void require(_Bool condition)
{
    if (!condition)
        atomic_store(&wrong, 1);
}

static dn_scorer *new_scorer(int32_t threads)
{
    dn_scorer_options options;
    dn_scorer *scorer = NULL;

    dn_scorer_options_init(&options);
    options.views = 8;
    options.threads = threads;
    require(dn_scorer_create(model, &options, &scorer, NULL) == DN_OK);
    return scorer;
}

static void score_one(dn_scorer *scorer, int which)
{
    dn_score score;

    dn_score_init(&score);
    require(dn_scorer_score(scorer, &pictures[which], &score) == DN_OK);
    require(!memcmp(&score, &expected[which], sizeof score));
    atomic_fetch_add(&scores, 1);
}

static void score_batch(dn_scorer *scorer)
{
    dn_score batch[PICTURES];

    for (int i = 0; i < PICTURES; i++)
        dn_score_init(&batch[i]);
    require(dn_scorer_score_batch(scorer, pictures, PICTURES, batch, NULL) == DN_OK);
    require(!memcmp(batch, expected, sizeof batch));
    atomic_fetch_add(&scores, PICTURES);
}

static void map_one(void)
{
    static _Thread_local float map[SIDE * SIDE];
    dn_localizer_options options;
    dn_localizer *localizer = NULL;

    dn_localizer_options_init(&options);
    options.views = 2;
    require(dn_localizer_create(model, &options, &localizer, NULL) == DN_OK);
    require(dn_localizer_map(localizer, &pictures[0], map) == DN_OK);
    require(!memcmp(map, expected_map, sizeof map));
    dn_localizer_free(localizer);
}

static const char *model_path; /* paths are put together before there are threads */

static void open_model(void)
{
    dn_model *opened = NULL;

    require(dn_model_open_path(model_path, NULL, &opened, NULL) == DN_OK);
    dn_model_unref(opened);
    require(dn_model_open_path("absent", NULL, &opened, NULL) == DN_E_IO && !opened);
    dn_model_unref(dn_model_ref(model));
}

static int32_t cancel_soon(const dn_progress *progress, void *user)
{
    (void)progress;
    return --*(int *)user == 0;
}

static void train_a_little(int patience)
{
    const int32_t channels[5] = {2, 2, 2, 2, 4};
    dn_extractor_options extracting;
    dn_train_options options = tiny_options();
    dn_extractor *extractor = NULL;
    dn_trainer *trainer = NULL;
    dn_model *made = NULL;
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    dn_extractor_options_init(&extracting);
    extracting.input_size = 64;
    extracting.scales = 1;
    options.threads = 2;
    require(dn_extractor_random(channels, 1, &extracting, &extractor, NULL) == DN_OK);
    require(dn_trainer_create(extractor, &options, &trainer, NULL) == DN_OK);
    dn_extractor_unref(extractor);
    for (uint32_t i = 1; i < 4; i++) {
        draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, i);
        dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
        require(dn_trainer_add_pixels(trainer, &view) == DN_OK);
    }
    require(dn_trainer_run(trainer, cancel_soon, &patience, &made) == DN_E_CANCELLED && !made);
    dn_trainer_free(trainer);
}

static void *work(void *argument)
{
    int number = *(const int *)argument;
    dn_scorer *scorer = new_scorer(1 + number % 2);

    for (int round = number; scorer && atomic_load(&scores) < wanted && !atomic_load(&wrong); round++) {
        for (int i = 0; i < PICTURES; i++)
            score_one(scorer, i);
        if (round % 7 == 0) {
            dn_scorer_free(scorer);
            scorer = new_scorer(1 + round % 3);
        } else if (round % 7 == 1) {
            open_model();
        } else if (round % 7 == 2) {
            score_batch(scorer);
        } else if (round % 14 == 3) {
            map_one();
        } else if (round % 28 == 4) {
            train_a_little(2 + round % 9);
        }
    }
    dn_scorer_free(scorer);
    return NULL;
}

START_TEST(sixteen_threads)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    dn_localizer_options options;
    dn_localizer *localizer;

    wanted = getenv("SCORES") ? atol(getenv("SCORES")) : 640;
    model = golden_model();
    golden_image(pixels[0]);
    for (int i = 0; i < PICTURES; i++) {
        if (i > 0)
            draw_texture(pixels[i], SIDE, SIDE, (uint32_t)i);
        pictures[i] = rgb_view(pixels[i], SIDE, SIDE);
    }
    dn_scorer *scorer = new_scorer(1);
    for (int i = 0; i < PICTURES; i++) {
        dn_score_init(&expected[i]);
        ck_ok(dn_scorer_score(scorer, &pictures[i], &expected[i]));
    }
    dn_scorer_free(scorer);
    dn_localizer_options_init(&options);
    options.views = 2;
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, &pictures[0], expected_map));
    dn_localizer_free(localizer);
    model_path = golden_path(GOLDEN_MODEL);
    for (int t = 0; t < THREADS; t++) {
        numbers[t] = t;
        ck_assert_int_eq(pthread_create(&threads[t], NULL, work, &numbers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    ck_assert_int_eq(atomic_load(&wrong), 0);
    ck_assert_int_ge(atomic_load(&scores), wanted);
    if (getenv("SCORES"))
        printf("%ld scores from %d threads\n", atomic_load(&scores), THREADS);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("crowd");
    TCase *tests = tcase_create("crowd");

    tcase_add_test(tests, sixteen_threads);
    tcase_set_timeout(tests, 3600);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
