/* The generator of pictures for pretraining: repeatable, damaged only where the mask says, twins alike, not equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generator_batch.h"

#define SIDE 64
#define PIXELS (SIDE * SIDE)

/* ---- the same picture whatever is around it ---- */

static struct batch mixed_batch(int64_t count)
{
    struct generator_options options = plain_options(SIDE);
    struct batch b;

    options.pose = options.look = options.degrade = 1;
    b = make_batch(count, 7, options);
    for (int64_t i = 0; i < count; i++) {
        b.instances[i] = i * 1000003 - 50;
        b.defects[i] = (int32_t)(i % (generator_defect_kinds() + 2)) - 1;
    }
    return b;
}

START_TEST(threads_change_nothing)
{
    struct batch one = mixed_batch(150), four = mixed_batch(150);

    four.options.threads = 4;
    run_batch(&one);
    run_batch(&four);
    ck_assert_mem_eq(one.images, four.images, 150 * PIXELS * 3);
    ck_assert_mem_eq(one.masks, four.masks, 150 * PIXELS);
    ck_assert_mem_eq(one.kinds, four.kinds, 150 * sizeof *one.kinds);
    free_batch(&one);
    free_batch(&four);
}
END_TEST

START_TEST(order_and_batch_change_nothing)
{
    struct batch all = mixed_batch(90);
    uint8_t image[PIXELS * 3], mask[PIXELS];
    int32_t kind;

    run_batch(&all);
    for (int64_t i = all.count - 1; i >= 0; i -= 4) {
        ck_assert_int_eq(
            generator_run(&all.options, all.classes + i, all.instances + i, all.defects + i, 1, image, &kind, mask),
            GENERATOR_OK);
        ck_assert_int_eq(kind, all.kinds[i]);
        ck_assert_mem_eq(image, all.images + i * PIXELS * 3, sizeof image);
        ck_assert_mem_eq(mask, all.masks + i * PIXELS, sizeof mask);
        /* nor does what the caller does not want */
        ck_assert_int_eq(
            generator_run(&all.options, all.classes + i, all.instances + i, all.defects + i, 1, image, NULL, NULL),
            GENERATOR_OK);
        ck_assert_mem_eq(image, all.images + i * PIXELS * 3, sizeof image);
    }
    free_batch(&all);
}
END_TEST

START_TEST(seed_class_and_instance_change_it)
{
    struct batch b = make_batch(3, 0, plain_options(SIDE)), other = make_batch(1, 0, plain_options(SIDE));

    b.options.pose = other.options.pose = 0.5f;
    b.instances[1] = 1;
    b.classes[2] = 4;
    other.options.seed = 6;
    run_batch(&b);
    run_batch(&other);
    ck_assert(mean_difference(b.images, b.images + PIXELS * 3, PIXELS * 3) > 1);
    ck_assert(mean_difference(b.images, b.images + PIXELS * 6, PIXELS * 3) > 1);
    ck_assert(mean_difference(b.images, other.images, PIXELS * 3) > 1);
    free_batch(&b);
    free_batch(&other);
}
END_TEST

/* A class looks the same in every resolution: means of 2 x 2 pixels of the large one are nearly the small one. */
START_TEST(sizes_show_the_same)
{
    enum { COUNT = 60 };
    struct batch small = make_batch(COUNT, 4, plain_options(SIDE));
    struct batch large = make_batch(COUNT, 4, plain_options(2 * SIDE));
    double worst = 0, sum = 0;

    run_batch(&small);
    run_batch(&large);
    for (int64_t i = 0; i < COUNT; i++) {
        double difference = 0;
        for (int64_t at = 0; at < PIXELS; at++) {
            const uint8_t *from = large.images + 3 * (4 * PIXELS * i + at / SIDE * 4 * SIDE + at % SIDE * 2);
            int mean = (from[0] + from[3] + from[6 * SIDE] + from[6 * SIDE + 3]) / 4;
            difference += abs(mean - small.images[3 * (PIXELS * i + at)]);
        }
        sum += difference / PIXELS;
        worst = fmax(worst, difference / PIXELS);
    }
    ck_assert_msg(sum / COUNT < 10 && worst < 45, "mean %.2f, worst %.2f", sum / COUNT, worst);
    free_batch(&small);
    free_batch(&large);
}
END_TEST

/* ---- pictures one can learn from ---- */

static double deviation(const uint8_t *image, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t i = 1; i < 3 * n; i += 3) {
        sum += image[i];
        squares += (double)image[i] * image[i];
    }
    return sqrt(fmax(0, squares / (double)n - sum * sum / (double)n / (double)n));
}

START_TEST(no_picture_is_nearly_constant)
{
    struct generator_options options = plain_options(SIDE);
    struct batch b;

    options.pose = options.look = 1;
    b = make_batch(600, 4, options);
    run_batch(&b);
    for (int64_t i = 0; i < b.count; i++) {
        double found = deviation(b.images + i * PIXELS * 3, PIXELS);
        ck_assert_msg(found > 5, "class %d: deviation %.2f", b.classes[i], found);
    }
    free_batch(&b);
}
END_TEST

START_TEST(all_sizes)
{
    static const int32_t sizes[] = {32, 33, 47, 128, 250, 448};

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct generator_options options = plain_options(sizes[k]);
        size_t pixels = (size_t)(sizes[k] * sizes[k]);
        struct batch b;
        options.degrade = options.pose = options.look = 1;
        b = make_batch(45, 4, options);
        for (int64_t i = 0; i < b.count; i++)
            b.defects[i] = (int32_t)(i % (generator_defect_kinds() + 1));
        run_batch(&b);
        for (int64_t i = 0; i < b.count; i++)
            ck_assert(deviation(b.images + 3 * pixels * (size_t)i, pixels) > 3);
        free_batch(&b);
    }
}
END_TEST

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Without pose and look, so that nothing but the class differs. */
START_TEST(twins_differ_a_little_and_families_much)
{
    enum { FAMILIES = 100 };
    struct batch b = make_batch(4 * FAMILIES, 1, plain_options(128));
    size_t bytes = 128 * 128 * 3;
    double twins[3 * FAMILIES], families[FAMILIES];
    int equal = 0;

    run_batch(&b);
    for (int f = 0; f < FAMILIES; f++) {
        const uint8_t *first = b.images + (size_t)(4 * f) * bytes;
        for (int k = 1; k < 4; k++) {
            twins[3 * f + k - 1] = mean_difference(first, first + (size_t)k * bytes, bytes);
            equal += twins[3 * f + k - 1] < 0.5;
        }
        families[f] = mean_difference(first, b.images + (size_t)(4 * ((f + 1) % FAMILIES)) * bytes, bytes);
    }
    qsort(twins, 3 * FAMILIES, sizeof *twins, by_value);
    qsort(families, FAMILIES, sizeof *families, by_value);
    ck_assert_msg(equal <= 3 * FAMILIES / 50, "%d of %d twins look the same", equal, 3 * FAMILIES);
    ck_assert_msg(twins[3 * FAMILIES / 2] < 0.5 * families[FAMILIES / 2], "twins %.1f, families %.1f",
                  twins[3 * FAMILIES / 2], families[FAMILIES / 2]);
    ck_assert_msg(families[0] > 5, "two families differ by %.2f", families[0]);
    free_batch(&b);
}
END_TEST

/* ---- options ---- */

/* Mean difference of instance 1 from instance 0 over classes, with one option set. */
static double spread(struct generator_options options)
{
    struct batch b = make_batch(80, 4, options), other = make_batch(80, 4, options);
    double difference;

    for (int64_t i = 0; i < b.count; i++)
        other.instances[i] = 1;
    run_batch(&b);
    run_batch(&other);
    difference = mean_difference(b.images, other.images, 80 * PIXELS * 3);
    free_batch(&b);
    free_batch(&other);
    return difference;
}

START_TEST(options_do_what_they_say)
{
    struct generator_options still = plain_options(SIDE), moved = still, lit = still, slightly = still;
    struct batch sharp = make_batch(40, 4, still), poor = make_batch(40, 4, still), near = make_batch(40, 4, still);

    moved.pose = lit.look = 1;
    slightly.pose = 0.1f;
    ck_assert(spread(moved) > 1.5 * spread(still));
    ck_assert(spread(lit) > 1.5 * spread(still));
    ck_assert(spread(slightly) < spread(moved));
    poor.options.degrade = 1;
    near.options.zoom = 1.3f;
    run_batch(&sharp);
    run_batch(&poor);
    run_batch(&near);
    ck_assert(mean_difference(sharp.images, poor.images, 40 * PIXELS * 3) > 1);
    ck_assert(mean_difference(sharp.images, poor.images, 40 * PIXELS * 3) < 15);
    ck_assert(mean_difference(sharp.images, near.images, 40 * PIXELS * 3) > 4);
    free_batch(&sharp);
    free_batch(&poor);
    free_batch(&near);
}
END_TEST

START_TEST(zeros_are_the_defaults)
{
    struct batch b = make_batch(30, 1, plain_options(SIDE)), zeros = make_batch(30, 1, plain_options(SIDE));

    zeros.options.siblings = zeros.options.threads = 0;
    zeros.options.zoom = 0;
    run_batch(&b);
    run_batch(&zeros);
    ck_assert_mem_eq(b.images, zeros.images, 30 * PIXELS * 3);
    free_batch(&b);
    free_batch(&zeros);
}
END_TEST

/* ---- defects ---- */

/* (One assertion for all: each of Check's writes to a file.) */
static int64_t masked(const uint8_t *mask, size_t n)
{
    int64_t count = 0, others = 0;

    for (size_t i = 0; i < n; i++) {
        count += mask[i] == 255;
        others += mask[i] != 0 && mask[i] != 255;
    }
    ck_assert_int_eq(others, 0);
    return count;
}

/* The most that two pictures differ outside of the mask, and the least inside. */
static void differences(const uint8_t *a, const uint8_t *b, const uint8_t *mask, size_t n, int *outside, int *within)
{
    *outside = 0;
    *within = 255;
    for (size_t i = 0; i < n; i++) {
        int difference = pixel_difference(a + 3 * i, b + 3 * i);
        if (!mask[i] && difference > *outside)
            *outside = difference;
        if (mask[i] && difference < *within)
            *within = difference;
    }
}

/* Every kind on 200 classes: seen, where the mask says and nowhere else, and not all over the picture. */
START_TEST(defects_are_where_the_mask_is)
{
    struct generator_options options = plain_options(SIDE);
    struct batch good, bad;

    options.pose = options.look = 0.5f;
    good = make_batch(200, 4, options);
    bad = make_batch(200, 4, options);
    run_batch(&good);
    ck_assert_int_eq(masked(good.masks, 200 * PIXELS), 0);
    for (int64_t i = 0; i < bad.count; i++)
        bad.defects[i] = _i;
    run_batch(&bad);
    for (int64_t i = 0; i < bad.count; i++) {
        const uint8_t *mask = bad.masks + i * PIXELS;
        const uint8_t *a = good.images + i * PIXELS * 3, *b = bad.images + i * PIXELS * 3;
        int64_t area = masked(mask, PIXELS);
        int outside, within;
        ck_assert_int_eq(bad.kinds[i], _i);
        ck_assert_msg(area >= 4 && area < PIXELS / 3, "class %d: %ld pixels", bad.classes[i], (long)area);
        differences(a, b, mask, PIXELS, &outside, &within);
        ck_assert_msg(within >= 4 && outside <= 6, "class %d: %d within, %d outside", bad.classes[i], within, outside);
    }
    free_batch(&good);
    free_batch(&bad);
}
END_TEST

/* Noise, blur and the losses of JPEG are those of the good picture: most pixels are equal to the last bit. */
START_TEST(degradation_is_the_same_with_a_defect)
{
    struct generator_options options = plain_options(128);
    struct batch good, bad;
    int64_t pixels = 128 * 128, equal = 0;

    options.pose = options.look = options.degrade = 1;
    good = make_batch(150, 4, options);
    bad = make_batch(150, 4, options);
    for (int64_t i = 0; i < bad.count; i++)
        bad.defects[i] = -1;
    run_batch(&good);
    run_batch(&bad);
    for (int64_t i = 0; i < 150 * pixels; i++)
        equal += !memcmp(good.images + 3 * i, bad.images + 3 * i, 3);
    ck_assert_msg((double)equal > 0.9 * 150 * (double)pixels, "%.3f", (double)equal / (150 * (double)pixels));
    for (int64_t i = 0; i < bad.count; i++)
        ck_assert(masked(bad.masks + i * pixels, (size_t)pixels) >= 4);
    free_batch(&good);
    free_batch(&bad);
}
END_TEST

START_TEST(random_kinds_are_all_kinds)
{
    struct batch b = make_batch(400, 3, plain_options(32));
    int seen[64] = {0};

    ck_assert_int_lt(generator_defect_kinds(), 64);
    for (int64_t i = 0; i < b.count; i++)
        b.defects[i] = -1;
    run_batch(&b);
    for (int64_t i = 0; i < b.count; i++) {
        ck_assert(b.kinds[i] >= 1 && b.kinds[i] <= generator_defect_kinds());
        seen[b.kinds[i]]++;
    }
    for (int32_t kind = 1; kind <= generator_defect_kinds(); kind++)
        ck_assert_int_ge(seen[kind], 8);
    free_batch(&b);
}
END_TEST

/* ---- names ---- */

START_TEST(names_and_families)
{
    int32_t families = generator_families(), textures = 0;

    for (int32_t i = 0; i < families; i++)
        for (int32_t j = 0; j < i; j++)
            ck_assert_str_ne(generator_family_name(i), generator_family_name(j));
    for (int32_t kind = 0; kind <= generator_defect_kinds(); kind++)
        ck_assert_ptr_nonnull(generator_defect_name(kind));
    ck_assert_str_eq(generator_defect_name(0), "none");
    ck_assert_ptr_null(generator_family_name(-1));
    ck_assert_ptr_null(generator_family_name(families));
    ck_assert_ptr_null(generator_defect_name(-1));
    ck_assert_ptr_null(generator_defect_name(generator_defect_kinds() + 1));
    for (int32_t c = 0; c < 4000; c++) {
        int32_t family = generator_family_of(5, 4, c);
        ck_assert(family >= 0 && family < families);
        ck_assert_int_eq(family, generator_family_of(5, 4, c / 4 * 4));
        textures += family < generator_texture_families();
    }
    ck_assert(textures > 1300 && textures < 2200);
    ck_assert_int_eq(generator_family_of(5, 0, 77), generator_family_of(5, 4, 77));
    ck_assert_int_eq(generator_family_of(5, 4, -1), -1);
    ck_assert_int_eq(generator_family_of(5, 65, 0), -1);
    ck_assert_int_eq(generator_family_of(5, -1, 0), -1);
}
END_TEST

static Suite *generator_suite(void)
{
    Suite *suite = suite_create("generator");
    TCase *pictures = tcase_create("pictures"), *defects = tcase_create("defects");

    tcase_set_timeout(pictures, 240);
    tcase_add_test(pictures, threads_change_nothing);
    tcase_add_test(pictures, order_and_batch_change_nothing);
    tcase_add_test(pictures, seed_class_and_instance_change_it);
    tcase_add_test(pictures, sizes_show_the_same);
    tcase_add_test(pictures, no_picture_is_nearly_constant);
    tcase_add_test(pictures, all_sizes);
    tcase_add_test(pictures, twins_differ_a_little_and_families_much);
    tcase_add_test(pictures, options_do_what_they_say);
    tcase_add_test(pictures, zeros_are_the_defaults);
    tcase_add_test(pictures, names_and_families);
    suite_add_tcase(suite, pictures);
    tcase_set_timeout(defects, 240);
    tcase_add_loop_test(defects, defects_are_where_the_mask_is, 1, generator_defect_kinds() + 1);
    tcase_add_test(defects, degradation_is_the_same_with_a_defect);
    tcase_add_test(defects, random_kinds_are_all_kinds);
    suite_add_tcase(suite, defects);
    return suite;
}

TEST_MAIN(generator_suite)
