/* Metrics of the command: against scikit-learn and a direct AUPRO (golden/make_metrics.py), and by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/metrics.h"
#include "../tools/operating_points.h"
#include "support.h"

#define CLOSE 1e-12

/* ---- golden cases ---- */

static double next_number(FILE *file)
{
    double value = NAN;

    ck_assert_int_eq(fscanf(file, "%lf", &value), 1);
    return value;
}

static void check_image_case(FILE *file)
{
    int count = (int)next_number(file);
    double auroc = next_number(file), precision = next_number(file), f1 = next_number(file), threshold = NAN;
    ranked_score *scores = calloc((size_t)count, sizeof *scores);

    ck_assert_ptr_nonnull(scores);
    for (int i = 0; i < count; i++) {
        scores[i].score = next_number(file);
        scores[i].anomalous = next_number(file) > 0;
    }
    metrics_rank(scores, (size_t)count);
    ck_assert_double_eq_tol(metrics_auroc(scores, (size_t)count), auroc, CLOSE);
    ck_assert_double_eq_tol(metrics_average_precision(scores, (size_t)count), precision, CLOSE);
    ck_assert_double_eq_tol(metrics_best_f1(scores, (size_t)count, &threshold), f1, CLOSE);

    /* The threshold is one at which that F1 is reached. */
    double hits = 0, alarms = 0, all = 0;
    for (int i = 0; i < count; i++) {
        hits += scores[i].anomalous && scores[i].score >= threshold;
        alarms += !scores[i].anomalous && scores[i].score >= threshold;
        all += scores[i].anomalous;
    }
    ck_assert_double_eq_tol(2 * hits / (hits + alarms + all), f1, CLOSE);
    free(scores);
}

static void check_pixel_case(FILE *file)
{
    int images = (int)next_number(file);
    double auroc = next_number(file), aupro = next_number(file);
    pixel_histogram histogram;

    ck_assert(pixel_histogram_init(&histogram));
    for (int n = 0; n < images; n++) {
        int32_t width = (int32_t)next_number(file), height = (int32_t)next_number(file);
        int has_mask = (int)next_number(file), pixels = width * height;
        float map[1024];
        uint8_t mask[1024];
        ck_assert_int_le(pixels, 1024);
        for (int i = 0; i < pixels; i++)
            map[i] = (float)next_number(file);
        for (int i = 0; i < pixels && has_mask; i++)
            mask[i] = next_number(file) > 0 ? 255 : 0;
        ck_assert(pixel_histogram_add(&histogram, map, has_mask ? mask : NULL, width, height));
    }
    ck_assert_double_eq_tol(pixel_histogram_auroc(&histogram), auroc, CLOSE);
    ck_assert_double_eq_tol(pixel_histogram_aupro(&histogram, 0.3), aupro, CLOSE);
    pixel_histogram_free(&histogram);
}

START_TEST(golden_cases)
{
    FILE *file = fopen(golden_path("metrics.txt"), "r");
    char kind[16];
    int cases = 0;

    ck_assert_ptr_nonnull(file);
    for (; fscanf(file, "%15s", kind) == 1; cases++) {
        if (strcmp(kind, "image") == 0)
            check_image_case(file);
        else
            check_pixel_case(file);
    }
    ck_assert_int_eq(cases, 8);
    fclose(file);
}
END_TEST

/* ---- by hand ---- */

START_TEST(ties_count_half)
{
    ranked_score same[4] = {{1, 1}, {1, 0}, {1, 0}, {1, 1}};
    ranked_score perfect[3] = {{1, 0}, {3, 1}, {2, 1}};
    ranked_score wrong[2] = {{1, 1}, {2, 0}};
    double threshold = 0;

    metrics_rank(same, 4);
    ck_assert_double_eq(metrics_auroc(same, 4), 0.5);
    ck_assert_double_eq(metrics_average_precision(same, 4), 0.5);
    metrics_rank(perfect, 3);
    ck_assert_double_eq(metrics_auroc(perfect, 3), 1);
    ck_assert_double_eq(metrics_average_precision(perfect, 3), 1);
    ck_assert_double_eq(metrics_best_f1(perfect, 3, &threshold), 1);
    ck_assert_double_eq(threshold, 2);
    metrics_rank(wrong, 2);
    ck_assert_double_eq(metrics_auroc(wrong, 2), 0);
    ck_assert_double_eq(metrics_average_precision(wrong, 2), 0.5);
    ck_assert_double_eq_tol(metrics_best_f1(wrong, 2, NULL), 2.0 / 3, CLOSE);
}
END_TEST

static double bell_number(uint32_t *state)
{
    double sum = -6;

    for (int i = 0; i < 12; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += *state / 4294967296.0;
    }
    return sum;
}

/* Deviation of the AUROC after DeLong et al. (1988), from all pairs. */
static double delong_deviation(const ranked_score *scores, int count)
{
    double mean = metrics_auroc(scores, (size_t)count), variance = 0;

    for (int kind = 0; kind < 2; kind++) {
        double squares = 0, members = 0;
        for (int i = 0; i < count; i++) {
            double wins = 0, others = 0;
            if (scores[i].anomalous != kind)
                continue;
            for (int k = 0; k < count; k++) {
                if (scores[k].anomalous == kind)
                    continue;
                double better = kind ? scores[i].score - scores[k].score : scores[k].score - scores[i].score;
                wins += better > 0 ? 1 : better == 0 ? 0.5 : 0;
                others++;
            }
            squares += (wins / others - mean) * (wins / others - mean);
            members++;
        }
        variance += squares / (members - 1) / members;
    }
    return sqrt(variance);
}

START_TEST(bootstrap_interval)
{
    ranked_score scores[300];
    double interval[2], again[2];
    uint32_t state = 5;

    for (int i = 0; i < 300; i++)
        scores[i] = (ranked_score){bell_number(&state) + (i % 3 == 0 ? 1 : 0), i % 3 == 0};
    metrics_rank(scores, 300);
    ck_assert(metrics_auroc_interval(scores, 300, 2000, interval));
    ck_assert(metrics_auroc_interval(scores, 300, 2000, again));
    ck_assert_mem_eq(interval, again, sizeof again);

    double auroc = metrics_auroc(scores, 300), deviation = delong_deviation(scores, 300);
    ck_assert_double_eq_tol(interval[0], auroc - 1.96 * deviation, 0.3 * deviation);
    ck_assert_double_eq_tol(interval[1], auroc + 1.96 * deviation, 0.3 * deviation);

    ranked_score apart[4] = {{4, 1}, {3, 1}, {2, 0}, {1, 0}};
    ck_assert(metrics_auroc_interval(apart, 4, 100, interval));
    ck_assert_double_eq(interval[0], 1);
    ck_assert_double_eq(interval[1], 1);
}
END_TEST

/* One 10 x 10 image; `mask` and `map` as pictures: '#' defective, digits map values. */
static pixel_histogram one_image(const char *mask_picture, const char *map_picture)
{
    pixel_histogram histogram;
    float map[100];
    uint8_t mask[100];

    for (int i = 0; i < 100; i++) {
        mask[i] = mask_picture[i] == '#';
        map[i] = (float)(map_picture[i] - '0');
    }
    ck_assert(pixel_histogram_init(&histogram));
    ck_assert(pixel_histogram_add(&histogram, map, mask, 10, 10));
    return histogram;
}

/* clang-format off */

/* A region of 1 pixel and one of 9. */
#define TWO_REGIONS "#........." ".........." ".........." "...###...." "...###...." \
                    "...###...." ".........." ".........." ".........." ".........."

START_TEST(regions_weigh_the_same)
{
    /* Only the small region is found before everything else comes at once: overlap 1/2 at no false positive, then a
     * straight line to (1, 1): 1/2 + 1/2 * 0.3 / 2 of area per 0.3. */
    pixel_histogram histogram = one_image(TWO_REGIONS,
        "5000000000" "0000000000" "0000000000" "0000000000" "0000000000"
        "0000000000" "0000000000" "0000000000" "0000000000" "0000000000");
    ck_assert_uint_eq(histogram.regions, 2);
    ck_assert_double_eq_tol(pixel_histogram_aupro(&histogram, 0.3), 0.5 + 0.5 * 0.3 / 2, CLOSE);
    /* A tenth of the defective pixels: 0.1 + 0.9 / 2. */
    ck_assert_double_eq_tol(pixel_histogram_auroc(&histogram), 0.55, CLOSE);
    pixel_histogram_free(&histogram);
}
END_TEST

START_TEST(aupro_stops_at_the_limit)
{
    /* 27 of 90 normal pixels (0.3) are reported before any defective one: nothing is left below the limit. */
    pixel_histogram late = one_image(TWO_REGIONS,
        "0999999999" "9999999999" "9999999900" "0001110000" "0001110000"
        "0001110000" "0000000000" "0000000000" "0000000000" "0000000000");
    ck_assert_double_eq_tol(pixel_histogram_aupro(&late, 0.3), 0, CLOSE);
    ck_assert_double_gt(pixel_histogram_aupro(&late, 0.6), 0);
    pixel_histogram_free(&late);

    pixel_histogram perfect = one_image(TWO_REGIONS,
        "3000000000" "0000000000" "0000000000" "0002220000" "0002220000"
        "0002220000" "0000000000" "0000000000" "0000000000" "1111111111");
    ck_assert_double_eq_tol(pixel_histogram_aupro(&perfect, 0.3), 1, CLOSE);
    ck_assert_double_eq_tol(pixel_histogram_auroc(&perfect), 1, CLOSE);
    pixel_histogram_free(&perfect);

    /* 9 normal pixels (0.1) with the defects: a ramp of 0.1 to 1, then 0.2 at 1: (0.05 + 0.2) / 0.3. */
    pixel_histogram ramp = one_image(TWO_REGIONS,
        "3000000000" "0000000000" "0000000000" "0003330000" "0003330000"
        "0003330000" "0000000000" "0000000000" "0000000000" "3333333330");
    ck_assert_double_eq_tol(pixel_histogram_aupro(&ramp, 0.3), 0.25 / 0.3, CLOSE);
    pixel_histogram_free(&ramp);
}
END_TEST

START_TEST(regions_touch_at_corners)
{
    static const char flat[] = "0000000000" "0000000000" "0000000000" "0000000000" "0000000000"
                               "0000000000" "0000000000" "0000000000" "0000000000" "0000000000";
    /* A U whose arms meet at the bottom, a diagonal to the lower left, and one pixel alone at the border. */
    pixel_histogram histogram = one_image(
        "#.#......#" "#.#.....#." "###....#.." "......#..." ".....#...."
        ".........." ".........#" ".........." "#........." ".#........", flat);
    ck_assert_uint_eq(histogram.regions, 4);
    pixel_histogram_free(&histogram);
}
END_TEST

/* clang-format on */

START_TEST(good_images_count_as_normal)
{
    float map[4] = {1, 1, 0, 0};
    uint8_t mask[4] = {1, 0, 0, 0};
    pixel_histogram histogram;

    ck_assert(pixel_histogram_init(&histogram));
    ck_assert(isnan(pixel_histogram_auroc(&histogram)));
    ck_assert(isnan(pixel_histogram_aupro(&histogram, 0.3)));
    ck_assert(pixel_histogram_add(&histogram, map, NULL, 2, 2));
    ck_assert(isnan(pixel_histogram_aupro(&histogram, 0.3)));
    ck_assert(pixel_histogram_add(&histogram, map, mask, 2, 2));
    /* 3 of 7 normal pixels tie with the defective one. */
    ck_assert_double_eq_tol(pixel_histogram_auroc(&histogram), 4.0 / 7 + 1.5 / 7, CLOSE);
    ck_assert_double_eq_tol(pixel_histogram_aupro(&histogram, 0.3), 0.3 / (3.0 / 7) / 2, CLOSE);
    pixel_histogram_free(&histogram);
}
END_TEST

START_TEST(points_by_hand)
{
    /* good 1, 2, 5, 6; defective 4, 4, 7, 9 */
    ranked_score scores[] = {{1, 0}, {4, 1}, {2, 0}, {7, 1}, {5, 0}, {9, 1}, {4, 1}, {6, 0}};
    operating_point points[POINT_CHOICES];

    metrics_rank(scores, 8);
    choose_points(scores, 8, 0, points);
    /* F1: 9: 2/5; 9, 7: 4/6; down to 4: 8/10, the best.  Balanced: 0.75 for both; the first one has fewer alarms. */
    ck_assert_str_eq(points[POINT_BEST_F1].name, "best-f1");
    ck_assert_double_eq_tol(points[POINT_BEST_F1].f1, 0.8, CLOSE);
    ck_assert_double_eq_tol(points[POINT_BEST_F1].threshold, sqrt(2 * 4), CLOSE);
    ck_assert(points[POINT_BEST_F1].false_alarms == 2 && points[POINT_BEST_F1].missed == 0);
    ck_assert_str_eq(points[POINT_BALANCED].name, "balanced");
    ck_assert_double_eq_tol(points[POINT_BALANCED].balanced_accuracy, 0.75, CLOSE);
    ck_assert_double_eq_tol(points[POINT_BALANCED].threshold, sqrt(6 * 7), CLOSE);
    ck_assert(points[POINT_BALANCED].false_alarms == 0 && points[POINT_BALANCED].missed == 2);
    ck_assert_str_eq(points[POINT_MAX_MISSES].name, "max-misses");
    ck_assert_double_eq_tol(points[POINT_MAX_MISSES].threshold, sqrt(2 * 4), CLOSE);
    /* A quarter may be missed: one, but 4 and 4 cannot be divided.  Half: two. */
    choose_points(scores, 8, 0.49, points);
    ck_assert(points[POINT_MAX_MISSES].missed == 0);
    choose_points(scores, 8, 0.5, points);
    ck_assert(points[POINT_MAX_MISSES].missed == 2 && points[POINT_MAX_MISSES].false_alarms == 0);
    choose_points(scores, 8, 1, points); /* all may be missed: above the highest */
    ck_assert(points[POINT_MAX_MISSES].missed == 4 && points[POINT_MAX_MISSES].threshold == 9);
    /* The lowest is defective: below all of them. */
    ranked_score odd[] = {{0.5, 1}, {3, 0}};
    metrics_rank(odd, 2);
    choose_points(odd, 2, 0, points);
    ck_assert(points[POINT_MAX_MISSES].missed == 0 && points[POINT_MAX_MISSES].threshold == 0.25);
    ck_assert(points[POINT_MAX_MISSES].false_alarms == 1);
    /* Of zeros and huge numbers. */
    ranked_score wide[] = {{0, 0}, {1e300, 1}, {1e-300, 0}};
    metrics_rank(wide, 3);
    choose_points(wide, 3, 0, points);
    ck_assert_double_eq_tol(points[POINT_BEST_F1].threshold, 1, 1e-9);
    ck_assert(points[POINT_BEST_F1].f1 == 1);
}
END_TEST

START_TEST(correlations)
{
    const double a[] = {1, 2, 3, 4}, b[] = {1, 3, 2, 5}, ties[] = {2, 1, 2, 9}, same[] = {0.1, 0.1, 0.1, 0.1};
    const double falling[] = {100, 3, 2, 0.1};

    ck_assert_double_eq_tol(metrics_correlation(a, b, 4), 5.5 / sqrt(5 * 8.75), CLOSE);
    ck_assert_double_eq_tol(metrics_rank_correlation(a, b, 4), 0.8, CLOSE); /* 1 - 6 * 2 / (4 * 15) */
    ck_assert_double_eq_tol(metrics_rank_correlation(a, falling, 4), -1, CLOSE);
    /* Ranks 1.5, 0, 1.5, 3 against 0, 1, 2, 3. */
    ck_assert_double_eq_tol(metrics_rank_correlation(a, ties, 4), 3 / sqrt(5 * 4.5), CLOSE);
    ck_assert(isnan(metrics_correlation(a, same, 4)) && isnan(metrics_rank_correlation(same, a, 4)));
    ck_assert(isnan(metrics_correlation(a, b, 1)) && isnan(metrics_rank_correlation(a, b, 0)));
}
END_TEST

START_TEST(boxes_hit_regions)
{
    /* Two regions, the right one touching at a corner only. */
    const uint8_t mask[4 * 6] = {
        1, 1, 0, 0, 0, 0, /**/
        1, 0, 0, 0, 1, 0, /**/
        0, 0, 0, 0, 0, 1, /**/
        0, 0, 0, 0, 0, 0, /**/
    };
    const dn_box beside[] = {{.x = 2, .y = 0, .width = 2, .height = 4}, {.x = 0, .y = 3, .width = 6, .height = 1}};
    const dn_box corner[] = {{.x = 5, .y = 2, .width = 1, .height = 2}, {.x = 1, .y = 1, .width = 5, .height = 3}};
    box_figures figures = {0};

    ck_assert(box_figures_add(&figures, true, beside, 2, mask, 6, 4));
    ck_assert(figures.defects == 2 && figures.defects_hit == 0 && figures.in_defective == 2);
    ck_assert(box_figures_add(&figures, true, corner, 2, mask, 6, 4)); /* both boxes hit the same one */
    ck_assert(figures.defects == 4 && figures.defects_hit == 1 && figures.in_defective == 4);
    ck_assert(box_figures_add(&figures, true, NULL, 0, mask, 6, 4));
    ck_assert(box_figures_add(&figures, false, NULL, 0, NULL, 6, 4));
    ck_assert(box_figures_add(&figures, false, beside, 2, NULL, 6, 4));
    ck_assert(figures.defects == 6 && figures.defects_hit == 1 && figures.in_defective == 4);
    ck_assert(figures.good_with_boxes == 1 && figures.in_good == 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("metrics");
    TCase *all = tcase_create("all");

    tcase_add_test(all, golden_cases);
    tcase_add_test(all, ties_count_half);
    tcase_add_test(all, bootstrap_interval);
    tcase_add_test(all, correlations);
    tcase_add_test(all, points_by_hand);
    tcase_add_test(all, regions_weigh_the_same);
    tcase_add_test(all, aupro_stops_at_the_limit);
    tcase_add_test(all, boxes_hit_regions);
    tcase_add_test(all, regions_touch_at_corners);
    tcase_add_test(all, good_images_count_as_normal);
    suite_add_tcase(suite, all);
    return suite;
}

TEST_MAIN(make_suite)
