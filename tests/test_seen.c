/* What images are like: traits by hand and by a naive version, limits of the warnings, their place in a model's file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet/seen.h"
#include "small_model.h"

static dn_pixels described(int32_t width, int32_t height, int32_t format)
{
    return (dn_pixels){NULL, width, height, 0, format, 0};
}

static void set_gray(uint16_t *canvas, int32_t pixel, uint16_t value)
{
    for (int c = 0; c < 3; c++)
        canvas[3 * pixel + c] = value;
}

/* ---- traits ---- */

START_TEST(one_gray)
{
    uint16_t canvas[9 * 7 * 3];
    double traits[DN_TRAITS];
    dn_pixels image = described(30, 20, DN_GRAY16);

    for (int i = 0; i < 9 * 7; i++)
        set_gray(canvas, i, 32768);
    image_traits(&image, canvas, 9, 7, traits);
    ck_assert_double_eq(traits[DN_TRAIT_COLOUR], 0);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTNESS], 32768 / 65535.0, 1e-12);
    ck_assert_double_eq(traits[DN_TRAIT_CONTRAST], 0);
    ck_assert_double_eq(traits[DN_TRAIT_SHARPNESS], 0);
    ck_assert_double_eq_tol(traits[DN_TRAIT_DARKEST], 32768 / 65535.0, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTEST], 32768 / 65535.0, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_SIZE], sqrt(600), 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_SHAPE], 1.5, 1e-12);
    ck_assert_double_eq(traits[DN_TRAIT_BITS], 16);
}
END_TEST

/* Two pixels are looked at: 40000 and 0, in a black surrounding. */
START_TEST(two_pixels)
{
    uint16_t canvas[3 * 4 * 3] = {0};
    double traits[DN_TRAITS];
    dn_pixels image = described(4, 3, DN_RGB8);

    set_gray(canvas, 1 * 4 + 1, 40000);
    image_traits(&image, canvas, 3, 4, traits);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTNESS], 20000 / 65535.0, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_CONTRAST], 625 / 1024.0, 1e-12); /* 40000 / 64 bins */
    /* Laplacians 4 x 40000 and -40000; differences to the right 40000 and 0. */
    ck_assert_double_eq_tol(traits[DN_TRAIT_SHARPNESS], 5, 1e-12);
    ck_assert_double_eq(traits[DN_TRAIT_DARKEST], 0);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTEST], 40000 / 65535.0, 1e-12);
    ck_assert_double_eq(traits[DN_TRAIT_BITS], 8);
    canvas[(1 * 4 + 2) * 3] = 65535; /* red: gray 16383 */
    image_traits(&image, canvas, 3, 4, traits);
    ck_assert_double_eq_tol(traits[DN_TRAIT_COLOUR], 0.5, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTNESS], (40000 + 16383) / 2.0 / 65535, 1e-12);
}
END_TEST

static double gray_at(const uint16_t *canvas, int32_t width, int32_t y, int32_t x)
{
    const uint16_t *rgb = canvas + ((size_t)y * (size_t)width + (size_t)x) * 3;

    return floor((rgb[0] + 2.0 * rgb[1] + rgb[2]) / 4);
}

/* Widths around the pieces that are handled at a time. */
START_TEST(against_the_naive_version)
{
    static const int32_t widths[] = {3, 50, 513, 514, 515, 1026, 1100};
    int32_t width = widths[_i], height = 11;
    uint16_t *canvas = malloc((size_t)width * (size_t)height * 6);
    double traits[DN_TRAITS], sum = 0, differences = 0, curves = 0, colour = 0, count = 0;
    dn_pixels image = described(width, height, DN_RGB8);

    for (int32_t i = 0; i < width * height * 3; i++)
        canvas[i] = (uint16_t)((uint32_t)i * 2654435761u >> 16);
    image_traits(&image, canvas, height, width, traits);
    for (int32_t y = 1; y < height - 1; y += 4)
        for (int32_t x = 1; x < width - 1; x++) {
            const uint16_t *rgb = canvas + (y * width + x) * 3;
            double gray = gray_at(canvas, width, y, x);
            double curve = 4 * gray - gray_at(canvas, width, y - 1, x) - gray_at(canvas, width, y + 1, x) -
                           gray_at(canvas, width, y, x - 1) - gray_at(canvas, width, y, x + 1);
            colour += fmax(rgb[0], fmax(rgb[1], rgb[2])) - fmin(rgb[0], fmin(rgb[1], rgb[2]));
            sum += gray;
            curves += fabs(curve);
            differences += fabs(gray_at(canvas, width, y, x + 1) - gray);
            count++;
        }
    ck_assert_double_eq_tol(traits[DN_TRAIT_COLOUR], colour / count / 65535, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_BRIGHTNESS], sum / count / 65535, 1e-12);
    ck_assert_double_eq_tol(traits[DN_TRAIT_SHARPNESS], curves / fmax(differences, 64 * count), 1e-12);
    free(canvas);
}
END_TEST

/* ---- warnings ---- */

static const double middling[DN_TRAITS] = {
    [DN_TRAIT_COLOUR] = 0.1,    [DN_TRAIT_BRIGHTNESS] = 0.4, [DN_TRAIT_CONTRAST] = 0.5,
    [DN_TRAIT_SHARPNESS] = 0.2, [DN_TRAIT_DARKEST] = 0,      [DN_TRAIT_BRIGHTEST] = 1,
    [DN_TRAIT_SIZE] = 500,      [DN_TRAIT_SHAPE] = 1.5,      [DN_TRAIT_BITS] = 8};

/* The warnings of an image that is `middling` in all but one trait, from `images` that are middling or middling times
 * `spread` in that trait. */
static uint32_t warnings_of(int trait, double images, double spread, double value)
{
    double traits[DN_TRAITS];
    seen_images seen = {0};

    memcpy(traits, middling, sizeof traits);
    seen_add(&seen, traits);
    traits[trait] *= spread;
    seen_add(&seen, traits);
    ck_assert_double_eq(seen.images, 2);
    seen.images = images;
    traits[trait] = value;
    return seen_warnings(&seen, traits);
}

START_TEST(limits)
{
    static const struct {
        int trait;
        uint32_t below, above;
    } cases[] = {
        {DN_TRAIT_BRIGHTNESS, DN_WARN_DARK, DN_WARN_BRIGHT},  {DN_TRAIT_CONTRAST, DN_WARN_FLAT, DN_WARN_CONTRAST},
        {DN_TRAIT_SHARPNESS, DN_WARN_BLURRED, DN_WARN_SHARP}, {DN_TRAIT_SIZE, DN_WARN_SMALL, DN_WARN_LARGE},
        {DN_TRAIT_SHAPE, DN_WARN_NARROW, DN_WARN_WIDE},
    };

    for (size_t c = 0; c < 5; c++) {
        int trait = cases[c].trait;
        double value = middling[trait];
        /* 100 images alike: log 0.15 + 0.01. */
        ck_assert_uint_eq(warnings_of(trait, 100, 1, value * exp(-0.159)), 0);
        ck_assert_uint_eq(warnings_of(trait, 100, 1, value * exp(-0.161)), cases[c].below);
        ck_assert_uint_eq(warnings_of(trait, 100, 1, value * exp(0.159)), 0);
        ck_assert_uint_eq(warnings_of(trait, 100, 1, value * exp(0.161)), cases[c].above);
        /* 40 images over a range of log 1: 0.25 + 0.2 of it. */
        ck_assert_uint_eq(warnings_of(trait, 40, exp(1), value * exp(-0.449)), 0);
        ck_assert_uint_eq(warnings_of(trait, 40, exp(1), value * exp(-0.451)), cases[c].below);
        ck_assert_uint_eq(warnings_of(trait, 40, exp(1), value * exp(1.449)), 0);
        ck_assert_uint_eq(warnings_of(trait, 40, exp(1), value * exp(1.451)), cases[c].above);
        /* A single one tells little. */
        ck_assert_uint_eq(warnings_of(trait, 1, 1, value * exp(-1.14)), 0);
        ck_assert_uint_eq(warnings_of(trait, 1, 1, value * exp(-1.16)), cases[c].below);
        ck_assert_uint_eq(warnings_of(trait, 100, 1, 0), cases[c].below);
    }
}
END_TEST

/* Several at once, kinds of images, and where nothing is known. */
START_TEST(kinds)
{
    seen_images seen = {0};
    double traits[DN_TRAITS];

    memcpy(traits, middling, sizeof traits);
    ck_assert_uint_eq(seen_warnings(&seen, traits), 0);
    traits[DN_TRAIT_BRIGHTNESS] = 0;
    ck_assert_uint_eq(seen_warnings(&seen, traits), 0);
    seen_add(&seen, middling);
    seen.images = 100;
    traits[DN_TRAIT_COLOUR] = 0;
    traits[DN_TRAIT_BITS] = 16;
    ck_assert_uint_eq(seen_warnings(&seen, traits), DN_WARN_GRAY | DN_WARN_16_BIT | DN_WARN_DARK);
    seen.low[DN_TRAIT_COLOUR] = 0; /* it learned from both */
    seen.high[DN_TRAIT_BITS] = 16;
    ck_assert_uint_eq(seen_warnings(&seen, traits), DN_WARN_DARK);
    seen.high[DN_TRAIT_COLOUR] = 0.001;
    seen.low[DN_TRAIT_BITS] = 16;
    ck_assert_uint_eq(seen_warnings(&seen, middling), DN_WARN_COLOUR | DN_WARN_8_BIT);
    traits[DN_TRAIT_COLOUR] = 0.01; /* a tint is not colour */
    ck_assert_uint_eq(seen_warnings(&seen, traits), DN_WARN_DARK);
}
END_TEST

START_TEST(texts)
{
    int count = 0;

    for (uint32_t bit = 1; bit != 0; bit <<= 1)
        count += warning_text(bit) != NULL;
    ck_assert_int_eq(count, 14);
    ck_assert_str_eq(warning_text(DN_WARN_DARK), "darker than all images learned from");
    ck_assert_str_eq(warning_text(DN_WARN_GRAY), "gray image, the model learned from colour");
    ck_assert_ptr_null(warning_text(0));
    ck_assert_ptr_null(warning_text(DN_WARN_DARK | DN_WARN_GRAY));
}
END_TEST

/* ---- files ---- */

static dn_status reopen(dn_model *model, dn_model **out, dn_error *error)
{
    const dn_model_options options = {.struct_size = sizeof options, .verify = 1};
    dn_blob *blob = NULL;

    ck_ok(model_save_memory(model, DN_STORAGE_F16, &blob, NULL));
    dn_status status = model_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, out, error);
    dn_blob_free(blob);
    return status;
}

START_TEST(kept_in_the_file)
{
    dn_model *model = small_model(), *again;
    double other[DN_TRAITS];

    ck_ok(model_seal(model, NULL));
    uint32_t before = model->id;
    ck_ok(reopen(model, &again, NULL));
    ck_assert_double_eq(again->seen.images, 0); /* as in a file of old */
    model_unref(again);
    for (int t = 0; t < DN_TRAITS; t++)
        other[t] = middling[t] * 1.7;
    seen_add(&model->seen, other);
    seen_add(&model->seen, middling);
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_ne(model->id, before); /* its answers have warnings now */
    ck_ok(reopen(model, &again, NULL));
    ck_assert_mem_eq(&again->seen, &model->seen, sizeof model->seen);
    model_unref(again);
    model_unref(model);
}
END_TEST

START_TEST(impossible_numbers)
{
    for (int i = 0; i < 8; i++) {
        dn_model *model = small_model(), *again;
        seen_images *seen = &model->seen;
        dn_error error = {0};
        seen_add(seen, middling);
        double *const spoilt[8] = {&seen->images, &seen->images,  &seen->images,  &seen->low[2],
                                   &seen->low[0], &seen->high[8], &seen->high[0], &seen->low[5]};
        static const double values[8] = {0.5, 1.5, 1e10, 0.6, -0.1, (double)NAN, (double)INFINITY, 1.1};
        *spoilt[i] = values[i];
        ck_assert_int_eq(reopen(model, &again, &error), i == 5 || i == 6 ? DN_E_NUMERIC : DN_E_FORMAT);
        ck_assert_ptr_nonnull(strstr(error.message, "seen."));
        ck_assert_ptr_null(again);
        model_unref(model);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("seen");
    TCase *tests = tcase_create("seen");

    tcase_add_test(tests, one_gray);
    tcase_add_test(tests, two_pixels);
    tcase_add_loop_test(tests, against_the_naive_version, 0, 7);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, kinds);
    tcase_add_test(tests, texts);
    tcase_add_test(tests, kept_in_the_file);
    tcase_add_test(tests, impossible_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
