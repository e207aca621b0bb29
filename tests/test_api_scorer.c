/* Scoring through the shared library: batches, early verdicts, allocations once all is warm. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "heatmap_golden.h"
#include "serving.h"

/* ---- batches ---- */

/* Same bits as one at a time, for numbers of views that fill the flow's blocks in different ways. */
START_TEST(batch_same_bits)
{
    static const int32_t numbers[] = {1, 3, 4, 13, 64, 100, 270};
    dn_pixels views[MANY];
    dn_score expected[MANY], scores[MANY];
    dn_error errors[MANY];
    dn_scorer_options options;
    dn_trainer *trainer = make_trainer(NULL, 1, 0.5);
    dn_model *model;

    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    draw_pictures(views);
    dn_scorer_options_init(&options);
    options.views = numbers[_i];
    options.false_alarm_rate = 0.5;
    int count = options.views > 200 ? 3 : options.views > 20 ? 7 : MANY;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, views, count, expected);
    dn_scorer_free(scorer);
    for (options.threads = 1; options.threads <= 3; options.threads++) {
        scorer = make_scorer(model, &options);
        int32_t together = dn_scorer_batch_images(scorer);
        ck_assert_int_eq(together, options.views > 128 ? 1 : options.views > 64 ? 2 : options.views > 13 ? 4 : 16);
        for (int of = count; of > 0; of = of > 2 ? 2 : of - 1) { /* count, 2, 1 */
            for (int i = 0; i < of; i++)
                dn_score_init(&scores[i]);
            ck_ok(dn_scorer_score_batch(scorer, views, of, scores, errors));
            ck_assert_mem_eq(scores, expected, (size_t)of * sizeof *scores);
            for (int i = 0; i < of; i++)
                ck_assert_int_eq(errors[i].status, DN_OK);
            ck_assert_ptr_null(dn_scorer_view_scores(scorer, NULL));
        }
        dn_scorer_free(scorer);
    }
    dn_model_unref(model);
}
END_TEST

/* A scorer's limits hold for each of its calls with paths. */
START_TEST(limits_of_files)
{
    const char *path = path_join(test_folder(), "a.png");
    dn_pixels views[MANY];
    dn_scorer_options options;
    dn_score score;
    dn_model *model = golden_model();

    draw_pictures(views);
    ck_ok(dn_image_write_png(&views[0], path, NULL));
    dn_score_init(&score);
    for (int i = 0; i < 4; i++) {
        dn_scorer_options_init(&options);
        options.max_pixels = SIDE * SIDE - (i == 0);
        options.max_memory = i == 1 ? SIDE * SIDE * 3 - 1 : 0;
        options.max_bytes = i == 2 ? 50 : 1 << 20;
        dn_scorer *scorer = make_scorer(model, &options);
        dn_status expected = i < 3 ? DN_E_LIMIT : DN_OK;
        ck_status(dn_scorer_score_path(scorer, path, &score), expected);
        ck_status(dn_scorer_decide_path(scorer, path, &score), expected);
        ck_status(dn_scorer_score_batch_paths(scorer, &path, 1, &score, NULL), expected);
        if (i < 3)
            check_error(dn_scorer_error(scorer), DN_E_LIMIT, path);
        ck_ok(dn_scorer_score(scorer, &views[0], &score)); /* of the caller's pixels nothing is limited */
        dn_scorer_free(scorer);
    }
    for (int i = 0; i < 3; i++) {
        dn_scorer *scorer;
        dn_error error = {0};
        dn_scorer_options_init(&options);
        options.max_pixels = i == 0 ? 0 : 1;
        options.max_bytes = i == 1 ? 0 : 1;
        options.max_memory = i == 2 ? -1 : 0;
        ck_status(dn_scorer_create(model, &options, &scorer, &error), DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "dn_scorer_options: max_");
    }
    dn_model_unref(model);
}
END_TEST

START_TEST(batch_of_files_and_bad_images)
{
    const char *folder = test_folder(), *paths[MANY], *absent = path_join(folder, "absent.png");
    const char *text = path_join(folder, "text.png"), *tiny = path_join(folder, "tiny.png");
    dn_pixels views[MANY];
    dn_score expected[MANY], scores[MANY];
    dn_error errors[MANY];
    dn_scorer_options options;
    dn_model *model = golden_model();

    draw_pictures(views);
    dn_scorer_options_init(&options);
    options.threads = 2;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, views, MANY, expected);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.png", i);
        paths[i] = path_join(folder, name);
        ck_ok(dn_image_write_png(&views[i], paths[i], NULL));
        dn_score_init(&scores[i]);
    }
    ck_ok(dn_scorer_score_batch_paths(scorer, paths, MANY, scores, errors));
    ck_assert_mem_eq(scores, expected, sizeof scores);

    write_file(text, "no image", 8);
    dn_pixels small = rgb_view(pictures[0], 7, 9);
    ck_ok(dn_image_write_png(&small, tiny, NULL));
    paths[2] = absent;
    paths[15] = text;
    paths[16] = tiny;
    for (int i = 0; i < MANY; i++)
        scores[i].score = -1;
    ck_status(dn_scorer_score_batch_paths(scorer, paths, MANY, scores, errors), DN_E_IO);
    check_error(dn_scorer_error(scorer), DN_E_IO, absent);
    check_error(&errors[2], DN_E_IO, absent);
    check_error(&errors[15], DN_E_FORMAT, text);
    check_error(&errors[16], DN_E_ARGUMENT, tiny);
    for (int i = 0; i < MANY; i++) {
        if (i == 2 || i == 15 || i == 16) {
            ck_assert_double_eq(scores[i].score, -1);
            continue;
        }
        ck_assert_int_eq(errors[i].status, DN_OK);
        ck_assert_mem_eq(&scores[i], &expected[i], sizeof *scores);
    }

    views[17].format = 9;
    scores[17].score = -1;
    scores[18].score = -1;
    ck_status(dn_scorer_score_batch(scorer, views, MANY, scores, NULL), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "images[17]: ");
    ck_assert_double_eq(scores[17].score, -1);
    ck_assert_mem_eq(&scores[18], &expected[18], sizeof *scores);
    for (int i = 0; i < 3; i++)
        views[i].pixels = NULL;
    ck_status(dn_scorer_score_batch(scorer, views, 3, scores, errors), DN_E_ARGUMENT); /* none is left */
    ck_ok(dn_scorer_score_batch(scorer, views + 3, 2, scores + 3, errors));
    ck_assert_int_eq(dn_scorer_error(scorer)->status, DN_OK);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(batch_arguments)
{
    dn_pixels views[MANY];
    const char *paths[2] = {"a", NULL};
    dn_score scores[3];
    dn_error errors[3] = {{0}};
    dn_model *model = golden_model();
    dn_scorer *scorer = make_scorer(model, NULL);

    draw_pictures(views);
    for (int i = 0; i < 3; i++)
        dn_score_init(&scores[i]);
    ck_ok(dn_scorer_score_batch(scorer, NULL, 0, NULL, NULL));
    ck_ok(dn_scorer_score_batch_paths(scorer, NULL, 0, NULL, NULL));
    ck_status(dn_scorer_score_batch(NULL, views, 1, scores, errors), DN_E_ARGUMENT);
    ck_status(dn_scorer_score_batch(scorer, views, -1, scores, errors), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "-1 images");
    ck_status(dn_scorer_score_batch(scorer, NULL, 1, scores, errors), DN_E_ARGUMENT);
    ck_status(dn_scorer_score_batch(scorer, views, 1, NULL, errors), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "scores is NULL");
    ck_status(dn_scorer_score_batch_paths(scorer, NULL, 1, scores, errors), DN_E_ARGUMENT);
    check_error(&errors[0], DN_E_ARGUMENT, "images is NULL");
    ck_status(dn_scorer_score_batch_paths(scorer, paths, 2, scores, errors), DN_E_ARGUMENT);
    check_error(&errors[0], DN_E_ARGUMENT, "paths[1] is NULL");
    check_error(&errors[1], DN_E_ARGUMENT, "paths[1] is NULL");
    scores[2].struct_size = 0;
    ck_status(dn_scorer_score_batch(scorer, views, 3, scores, errors), DN_E_ARGUMENT);
    check_error(&errors[2], DN_E_ARGUMENT, "struct_size is 0");
    scores[2].struct_size = 48;
    ck_status(dn_scorer_score_batch(scorer, views, 3, scores, errors), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "scores[2]");
    ck_assert_int_eq(dn_scorer_batch_images(NULL), 0);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* An older program's scores lie closer together. */
START_TEST(batch_short_structs)
{
    struct {
        uint32_t struct_size;
        int32_t anomalous;
        double score;
    } scores[3];
    dn_pixels views[MANY];
    dn_score expected[3];
    dn_model *model = golden_model();
    dn_scorer *scorer = make_scorer(model, NULL);

    draw_pictures(views);
    score_alone(scorer, views, 3, expected);
    for (int i = 0; i < 3; i++)
        scores[i].struct_size = sizeof *scores;
    ck_ok(dn_scorer_score_batch(scorer, views, 3, (dn_score *)(void *)scores, NULL));
    for (int i = 0; i < 3; i++)
        ck_assert_mem_eq((char *)&scores[i] + 4, (char *)&expected[i] + 4, sizeof *scores - 4);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- early verdicts ---- */

/* Views after which the verdict is certain, from the full score's view scores: computed anew here. */
static int32_t certain_after(const double *view_scores, int32_t views, double threshold)
{
    double sum = 0;

    for (int32_t i = 0, end = 8; i < views; i++) {
        sum += view_scores[i];
        if (i + 1 == end && sum / views > threshold)
            return end;
        if (i + 1 == end)
            end *= 2;
    }
    return views;
}

/* The verdict is that of the full score; it is found as early as it can be; what is not found early is the same. */
START_TEST(decide_is_exact)
{
    static const int32_t numbers[] = {1, 4, 8, 9, 40, 64};
    static const double rates[] = {0.05, 0.34, 0.67, 1};
    dn_pixels views[MANY];
    dn_scorer_options options;
    dn_score full, early;
    dn_trainer *trainer = make_trainer(NULL, 1, 0.5);
    dn_model *model;
    int lengths = 0, verdicts = 0;

    draw_pictures(views);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_scorer_options_init(&options);
    for (int n = 0; n < 6; n++)
        for (int r = 0; r < 4; r++) {
            options.views = numbers[n];
            options.false_alarm_rate = rates[r];
            options.threads = 1 + (n + r) % 3;
            dn_scorer *scorer = make_scorer(model, &options);
            for (int i = 0; i < MANY; i++) {
                dn_score_init(&full);
                dn_score_init(&early);
                ck_ok(dn_scorer_score(scorer, &views[i], &full));
                int32_t count;
                const double *view_scores = dn_scorer_view_scores(scorer, &count);
                int32_t expected = certain_after(view_scores, count, full.threshold);
                ck_ok(dn_scorer_decide(scorer, &views[i], &early));
                ck_assert_int_eq(early.views, expected);
                ck_assert_int_eq(early.anomalous, full.anomalous);
                dn_scorer_view_scores(scorer, &count);
                ck_assert_int_eq(count, expected);
                lengths |= expected == full.views ? 1 << 10 : expected;
                verdicts |= 1 << full.anomalous;
                if (expected == full.views) {
                    ck_assert_mem_eq(&early, &full, sizeof full);
                    continue;
                }
                ck_assert_int_eq(early.lower_bound, 1);
                ck_assert(early.score > full.threshold && early.score <= full.score);
                ck_assert_double_ge(early.p_value, full.p_value);
                ck_assert_double_eq(early.threshold, full.threshold);
                ck_assert_double_eq(early.false_alarm_rate, full.false_alarm_rate);
                ck_assert(isnan(early.log_likelihood));
            }
            dn_scorer_free(scorer);
        }
    ck_assert_int_eq(lengths, (8 | 16 | 32 | 1 << 10)); /* all cases came up */
    ck_assert_int_eq(verdicts, 3);
    dn_model_unref(model);
}
END_TEST

/* Without scores of good images there is no verdict to be early with. */
START_TEST(decide_without_verdicts)
{
    const char *path = path_join(test_folder(), "a.png");
    dn_pixels views[MANY];
    dn_scorer_options options;
    dn_trainer *trainer = make_trainer(NULL, 1, 0);
    dn_score full, early;
    dn_model *model;

    draw_pictures(views);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_scorer_options_init(&options);
    options.views = 20;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, &views[1], 1, &full);
    dn_score_init(&early);
    ck_ok(dn_scorer_decide(scorer, &views[1], &early));
    ck_assert_int_eq(early.anomalous, -1);
    ck_assert_mem_eq(&early, &full, sizeof full);
    ck_ok(dn_image_write_png(&views[1], path, NULL));
    dn_score_init(&early);
    ck_ok(dn_scorer_decide_path(scorer, path, &early));
    ck_assert_mem_eq(&early, &full, sizeof full);
    ck_status(dn_scorer_decide_path(scorer, path_join(path, "x"), &early), DN_E_IO);
    ck_status(dn_scorer_decide_path(scorer, NULL, &early), DN_E_ARGUMENT);
    ck_status(dn_scorer_decide(scorer, NULL, &early), DN_E_ARGUMENT);
    ck_status(dn_scorer_decide(scorer, &views[1], NULL), DN_E_ARGUMENT);
    ck_status(dn_scorer_decide(NULL, &views[1], &early), DN_E_ARGUMENT);
    ck_status(dn_scorer_decide_path(NULL, path, &early), DN_E_ARGUMENT);
    views[1].width = 7;
    ck_status(dn_scorer_decide(scorer, &views[1], &early), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "at least 8");
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- what verdicts go by ---- */

/* The verdict of one image by all ways of scoring is the one that `expected` tells. */
static void check_verdict(dn_scorer *scorer, const dn_pixels *view, const dn_score *expected)
{
    dn_score scores[3];

    for (int i = 0; i < 3; i++)
        dn_score_init(&scores[i]);
    ck_ok(dn_scorer_score(scorer, view, &scores[0]));
    ck_ok(dn_scorer_score_batch(scorer, view, 1, &scores[1], NULL));
    ck_ok(dn_scorer_decide(scorer, view, &scores[2]));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(scores[i].anomalous, expected->anomalous);
        ck_assert_double_eq(scores[i].threshold, expected->threshold);
        ck_assert_mem_eq(&scores[i].false_alarm_rate, &expected->false_alarm_rate, sizeof(double));
        ck_assert(scores[i].lower_bound || scores[i].score == expected->score);
        if (!scores[i].lower_bound)
            ck_assert_mem_eq(&scores[i].p_value, &expected->p_value, sizeof(double));
        ck_assert(scores[i].anomalous == 1 ? scores[i].index >= 0.5 : scores[i].index <= 0.5);
    }
}

START_TEST(verdicts_change)
{
    dn_pixels views[MANY];
    dn_scorer_options options;
    dn_score before, score;
    dn_trainer *trainer = make_trainer(NULL, 1, 0.5);
    dn_model *model;
    int32_t count;

    draw_pictures(views);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    const double *good = dn_model_holdout_scores(model, &count);
    ck_assert_int_eq(count, 3);
    dn_scorer_options_init(&options);
    options.views = 20;
    options.false_alarm_rate = 0.5;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, &views[1], 1, &before);
    score = before;

    score.threshold = nextafter(before.score, 0);
    score.anomalous = 1;
    score.false_alarm_rate = (1.0 + (good[0] > score.threshold) + (good[1] > score.threshold) +
                              (good[2] > score.threshold)) /
                             4;
    ck_ok(dn_scorer_set_threshold(scorer, score.threshold));
    dn_scorer_view_scores(scorer, &count);
    ck_assert_int_eq(count, 20); /* those of the last image are still there */
    check_verdict(scorer, &views[1], &score);
    ck_status(dn_scorer_set_threshold(scorer, -0.1), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "threshold is -0.1");
    ck_status(dn_scorer_set_threshold(scorer, (double)NAN), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_threshold(scorer, (double)INFINITY), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_false_alarm_rate(scorer, 0), DN_E_ARGUMENT);
    check_error(dn_scorer_error(scorer), DN_E_ARGUMENT, "false_alarm_rate is 0");
    ck_status(dn_scorer_set_false_alarm_rate(scorer, 1.01), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_false_alarm_rate(scorer, (double)NAN), DN_E_ARGUMENT);
    check_verdict(scorer, &views[1], &score); /* all stayed */
    score.threshold = before.score;
    score.anomalous = 0;
    ck_ok(dn_scorer_set_threshold(scorer, score.threshold));
    score.false_alarm_rate = (1.0 + (good[0] > score.threshold) + (good[1] > score.threshold) +
                              (good[2] > score.threshold)) /
                             4;
    check_verdict(scorer, &views[1], &score);

    ck_ok(dn_scorer_set_false_alarm_rate(scorer, 1)); /* the way back */
    score.threshold = -1;
    score.anomalous = 1;
    score.false_alarm_rate = 1;
    check_verdict(scorer, &views[1], &score);
    ck_ok(dn_scorer_set_false_alarm_rate(scorer, 0.5));
    check_verdict(scorer, &views[1], &before);
    ck_status(dn_scorer_set_false_alarm_rate(NULL, 0.5), DN_E_ARGUMENT);
    ck_status(dn_scorer_set_threshold(NULL, 1), DN_E_ARGUMENT);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* A model without scores of good images gives verdicts by a threshold, and an index. */
START_TEST(threshold_without_good_scores)
{
    dn_pixels views[MANY];
    dn_trainer *trainer = make_trainer(NULL, 1, 0);
    dn_score score;
    dn_model *model;

    draw_pictures(views);
    ck_ok(dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    dn_scorer *scorer = make_scorer(model, NULL);
    score_alone(scorer, &views[1], 1, &score);
    ck_assert(score.anomalous == -1 && isnan(score.index) && isnan(score.threshold));
    ck_ok(dn_scorer_set_threshold(scorer, score.score / 3));
    score_alone(scorer, &views[1], 1, &score);
    ck_assert_int_eq(score.anomalous, 1);
    ck_assert_double_eq_tol(score.index, 0.75, 1e-12);
    ck_assert(isnan(score.p_value) && isnan(score.false_alarm_rate));
    ck_ok(dn_scorer_set_false_alarm_rate(scorer, 0.05));
    score_alone(scorer, &views[1], 1, &score);
    ck_assert(score.anomalous == -1 && isnan(score.index));
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- memory ---- */

/* One use of everything; sizes: images 0 and 1 differ in size. */
static void use_all(dn_scorer *scorer, dn_localizer *localizer, const dn_pixels *views, int count)
{
    static float map[SIDE * SIDE * 64];
    dn_score scores[MANY];
    dn_error errors[MANY];

    for (int i = 0; i < count; i++)
        dn_score_init(&scores[i]);
    for (int i = 0; i < 2; i++) {
        ck_ok(dn_scorer_score(scorer, &views[i], &scores[i]));
        ck_ok(dn_scorer_decide(scorer, &views[i], &scores[i]));
        ck_ok(dn_localizer_map(localizer, &views[i], map));
    }
    ck_ok(dn_scorer_score_batch(scorer, views, count, scores, errors));
    ck_ok(dn_scorer_score_batch(scorer, views, 1, scores, NULL));
}

/* Once each kind of call has been made with the largest image, nothing is allocated any more. */
START_TEST(no_allocation_when_warm)
{
    static uint8_t large[300 * 200 * 3];
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_pixels views[MANY];
    dn_scorer_options scoring;
    dn_localizer_options localizing;
    dn_localizer *localizer;
    dn_model *model = golden_model();

    draw_pictures(views);
    draw_texture(large, 300, 200, 4);
    views[0] = rgb_view(large, 300, 200);
    dn_scorer_options_init(&scoring);
    dn_localizer_options_init(&localizing);
    scoring.threads = localizing.threads = 1 + _i;
    scoring.views = 10;
    localizing.views = 3;
    scoring.allocator = localizing.allocator = &allocator;
    dn_scorer *scorer = make_scorer(model, &scoring);
    ck_ok(dn_localizer_create(model, &localizing, &localizer, NULL));
    use_all(scorer, localizer, views, MANY);
    long calls = memory.calls, live = memory.live;
    for (int round = 0; round < 3; round++)
        use_all(scorer, localizer, views, MANY - round);
    ck_assert_int_eq(memory.calls, calls);
    ck_assert_int_eq(memory.live, live);
    views[1] = rgb_view(large, 200, 300); /* taller than any before in its place */
    use_all(scorer, localizer, views, MANY);
    ck_assert_int_gt(memory.calls, calls);
    calls = memory.calls;
    use_all(scorer, localizer, views, MANY);
    ck_assert_int_eq(memory.calls, calls);
    ck_assert_int_eq(memory.live, live);
    dn_scorer_free(scorer);
    dn_localizer_free(localizer);
    ck_assert_int_eq(memory.live, 0);
    dn_model_unref(model);
}
END_TEST

/* A batch for which memory is out fails as a whole or for one image; the scorer serves on. */
START_TEST(failing_allocations)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_pixels views[MANY];
    dn_scorer_options options;
    dn_score expected[3], scores[3];
    dn_error errors[3];
    dn_model *model = golden_model();
    int whole = 0, single = 0;

    draw_pictures(views);
    dn_scorer_options_init(&options);
    options.allocator = &allocator;
    dn_scorer *scorer = make_scorer(model, &options);
    score_alone(scorer, views, 3, expected);
    dn_scorer_free(scorer);
    for (long n = 1;; n++) {
        ck_assert_int_lt(n, 40);
        memory = (failing_memory){0};
        scorer = make_scorer(model, &options);
        memory.fail_at = memory.calls + n;
        for (int i = 0; i < 3; i++)
            dn_score_init(&scores[i]);
        dn_status status = dn_scorer_score_batch(scorer, views, 3, scores, errors);
        int failed = 0;
        for (int i = 0; i < 3; i++) {
            failed += errors[i].status != DN_OK;
            if (errors[i].status == DN_OK)
                ck_assert_mem_eq(&scores[i], &expected[i], sizeof *scores);
            else
                check_error(&errors[i], DN_E_MEMORY, "out of memory");
        }
        ck_assert_int_eq(status, failed ? DN_E_MEMORY : DN_OK);
        whole += failed == 3;
        single += failed == 1;
        dn_score_init(&scores[0]);
        memory.fail_at = failed == 3 ? memory.calls + 1 : 0; /* twice in a row */
        status = dn_scorer_decide(scorer, &views[0], &scores[0]);
        ck_assert_int_eq(status, failed == 3 ? DN_E_MEMORY : DN_OK);
        memory.fail_at = 0;
        ck_ok(dn_scorer_score_batch(scorer, views, 3, scores, errors)); /* the one failure is over */
        ck_assert_mem_eq(scores, expected, sizeof scores);
        dn_scorer_free(scorer);
        ck_assert_int_eq(memory.live, 0);
        if (!failed)
            break;
    }
    ck_assert_int_gt(whole, 5);
    ck_assert_int_eq(single, 3);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_scorer");
    TCase *tests = tcase_create("api_scorer");

    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, batch_same_bits, 0, 7);
    tcase_add_test(tests, limits_of_files);
    tcase_add_test(tests, batch_of_files_and_bad_images);
    tcase_add_test(tests, batch_arguments);
    tcase_add_test(tests, batch_short_structs);
    tcase_add_test(tests, decide_is_exact);
    tcase_add_test(tests, decide_without_verdicts);
    tcase_add_test(tests, verdicts_change);
    tcase_add_test(tests, threshold_without_good_scores);
    tcase_add_loop_test(tests, no_allocation_when_warm, 0, 3);
    tcase_add_test(tests, failing_allocations);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
