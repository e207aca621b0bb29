/* Features and their gradient towards the pixels, against PyTorch in float64 (tests/golden/make_cnn.py). */
#include "cnn/features.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "golden.h"
#include "support.h"

static dn_extractor *open_backbone(const char *name, int32_t size, int32_t scales)
{
    char file_name[64];
    dn_extractor_options options = {.struct_size = sizeof options, .input_size = size, .scales = scales};
    dn_extractor *extractor = NULL;
    dn_error error = {0};

    snprintf(file_name, sizeof file_name, "cnn_%s.safetensors", name);
    st_file *file = golden_open(file_name);
    dn_status status = extractor_from_tensors(file, "", &options, &extractor, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    golden_close(file);
    return extractor;
}

static double triangle(int64_t k, int64_t period)
{
    return (double)llabs(k % (2 * period) - period) / (double)period * 2.0 - 1.0;
}

/* make_view of tests/golden/make_cnn.py, bit for bit. */
static float *make_view(int32_t size, int32_t seed)
{
    float *view = malloc((size_t)size * (size_t)size * 3 * sizeof *view), *next = view;

    ck_assert_ptr_nonnull(view);
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++)
            for (int64_t c = 0; c < 3; c++) {
                int64_t noise = ((x * 73856093) ^ (y * 19349663) ^ ((c + 3 * seed + 1) * 83492791)) % 1021;
                double value = triangle(3 * x + 5 * y + 11 * c + seed * 17, 64) +
                               0.5 * triangle(7 * x - 4 * y + 29 * c + 4096, 41);
                value = value + 0.25 * triangle(x * y / 16 + seed, 53) + 0.5 * ((double)noise / 1021.0);
                *next++ = (float)value;
            }
    return view;
}

static float *make_scratch(size_t floats)
{
    float *scratch = malloc(floats * sizeof *scratch); /* exactly as much as asked for: sanitizers see an overrun */

    ck_assert_ptr_nonnull(scratch);
    for (size_t i = 0; i < floats; i++)
        scratch[i] = NAN; /* what was there before must not matter */
    return scratch;
}

struct views {
    const float *first; /* (.., size, size, 3) */
    size_t floats;      /* of one */
    int32_t next;       /* the one that is due */
};

static void give_view(void *context, int32_t index, float *view)
{
    struct views *views = context;

    ck_assert_int_eq(index, views->next++);
    memcpy(view, views->first + (size_t)index * views->floats, views->floats * sizeof *view);
}

static size_t pixels(const dn_extractor *extractor)
{
    return (size_t)extractor->input_width * (size_t)extractor->input_width * 3;
}

static float *forward(const dn_extractor *extractor, const float *views, int32_t n)
{
    float *scratch = make_scratch(features_forward_scratch(extractor));
    float *features = malloc((size_t)n * (size_t)extractor->feature_dim * sizeof *features);
    struct views source = {views, pixels(extractor), 0};

    ck_assert_ptr_nonnull(features);
    features_forward(extractor, give_view, &source, n, features, scratch);
    ck_assert_int_eq(source.next, n);
    free(scratch);
    return features;
}

/* The functional whose gradient is taken, and what the chain was called with. */
struct functional {
    const float *factors;
    size_t dimension;
    float *seen; /* (n, dimension) */
    int32_t n;
    int calls;
};

static void chain(void *context, const float *features, int32_t n, float *feature_gradient)
{
    struct functional *functional = context;

    ck_assert_int_eq(n, functional->n);
    functional->calls++;
    memcpy(functional->seen, features, (size_t)n * functional->dimension * sizeof *features);
    for (size_t v = 0; v < (size_t)n; v++)
        memcpy(feature_gradient + v * functional->dimension, functional->factors,
               functional->dimension * sizeof *features);
}

/* Pixel gradient of n views, each with the same functional. */
static float *gradients(const dn_extractor *extractor, const float *views, int32_t n, const float *factors, float *seen)
{
    struct functional functional = {factors, (size_t)extractor->feature_dim, seen, n, 0};
    float *scratch = make_scratch(features_gradient_scratch(extractor));
    float *result = make_scratch((size_t)n * pixels(extractor));

    features_gradient(extractor, views, n, chain, &functional, result, scratch);
    ck_assert_int_eq(functional.calls, 1);
    free(scratch);
    return result;
}

static float *gradient(const dn_extractor *extractor, const float *view, const float *factors, float *seen)
{
    return gradients(extractor, view, 1, factors, seen);
}

/* ---- against PyTorch ---- */

static const struct golden {
    const char *name;
    int32_t size, scales, seed;
} goldens[] = {{"alexnet", 256, 3, 1}, {"alexnet", 256, 3, 2}, {"mobile", 64, 2, 1}, {"mobile", 64, 2, 2}};

static const char *key(const struct golden *golden, const char *what)
{
    static char text[64];

    snprintf(text, sizeof text, "%s.%d.%s", golden->name, golden->seed, what);
    return text;
}

static void check_features(const float *features, const double *expected, size_t count, const char *name)
{
    double largest = 0, error = 0;

    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(expected[i]));
        error = fmax(error, fabs((double)features[i] - expected[i]));
    }
    ck_assert_msg(error < 1e-5 * largest, "%s: error %g of %g", name, error, largest);
}

/* numbers: step between the samples, norm and sum of the whole gradient. */
static void check_gradient(const float *found, size_t count, const float *samples, size_t sample_count,
                           const double numbers[3], const char *name)
{
    double dot = 0, found_square = 0, sample_square = 0, norm = 0, sum = 0;
    size_t step = (size_t)numbers[0];

    ck_assert_uint_eq((count + step - 1) / step, sample_count);
    for (size_t i = 0; i < sample_count; i++) {
        double a = (double)found[i * step], b = (double)samples[i];
        dot += a * b;
        found_square += a * a;
        sample_square += b * b;
    }
    for (size_t i = 0; i < count; i++) {
        norm += (double)found[i] * (double)found[i];
        sum += (double)found[i];
    }
    double cosine = dot / sqrt(found_square * sample_square);
    ck_assert_msg(cosine > 0.99999, "%s: cosine 1 - %g", name, 1 - cosine);
    ck_assert_msg(fabs(sqrt(norm) / numbers[1] - 1) < 1e-4, "%s: norm %g, not %g", name, sqrt(norm), numbers[1]);
    ck_assert_msg(fabs(sum - numbers[2]) < 1e-3 * numbers[1], "%s: sum %g, not %g", name, sum, numbers[2]);
}

START_TEST(matches_pytorch)
{
    const struct golden *golden = &goldens[_i];
    dn_extractor *extractor = open_backbone(golden->name, golden->size, golden->scales);
    float *view = make_view(golden->size, golden->seed);
    st_file *file = golden_open("cnn_results.safetensors");
    size_t count, sample_count;
    double *expected = golden_doubles(file, key(golden, "features"), &count);
    float *factors = golden_floats(file, key(golden, "functional"), NULL);
    float *samples = golden_floats(file, key(golden, "gradient"), &sample_count);
    double *numbers = golden_doubles(file, key(golden, "norm"), NULL);

    ck_assert_uint_eq(count, (size_t)extractor->feature_dim);
    float *features = forward(extractor, view, 1);
    check_features(features, expected, count, golden->name);
    float *seen = malloc(count * sizeof *seen);
    float *found = gradient(extractor, view, factors, seen);
    check_gradient(found, pixels(extractor), samples, sample_count, numbers, golden->name);
    /* The gradient's forward pass is the same arithmetic. */
    ck_assert_mem_eq(seen, features, count * sizeof *seen);
    float *again = gradient(extractor, view, factors, seen);
    ck_assert_mem_eq(found, again, pixels(extractor) * sizeof *found);

    free(again);
    free(found);
    free(seen);
    free(features);
    free(numbers);
    free(samples);
    free(factors);
    free(expected);
    golden_close(file);
    free(view);
    extractor_unref(extractor);
}
END_TEST

/* ---- properties ---- */

/* The gradient along a random direction is the slope of the functional there. */
START_TEST(gradient_is_slope)
{
    dn_extractor *extractor = open_backbone("mobile", 64, 2);
    size_t count = pixels(extractor), dimension = (size_t)extractor->feature_dim;
    float *view = make_view(64, 5), *direction = make_view(64, 6), *moved = make_view(64, 5);
    float *factors = malloc(dimension * sizeof *factors), *seen = malloc(dimension * sizeof *seen);
    double slope = 0, difference = 0;
    const double step = 1e-3;

    for (size_t i = 0; i < dimension; i++)
        factors[i] = (float)cos((double)i);
    float *found = gradient(extractor, view, factors, seen);
    for (size_t i = 0; i < count; i++) {
        slope += (double)found[i] * (double)direction[i];
        moved[i] = (float)((double)view[i] + step * (double)direction[i]);
        view[i] = (float)((double)view[i] - step * (double)direction[i]);
    }
    float *above = forward(extractor, moved, 1), *below = forward(extractor, view, 1);
    for (size_t i = 0; i < dimension; i++)
        difference += (double)factors[i] * ((double)above[i] - (double)below[i]) / (2 * step);
    ck_assert_msg(fabs(slope - difference) < 0.02 * fabs(slope), "slope %g, difference %g", slope, difference);

    free(below);
    free(above);
    free(found);
    free(seen);
    free(factors);
    free(moved);
    free(direction);
    free(view);
    extractor_unref(extractor);
}
END_TEST

/* Scale s of a view is the first scale of its every 2^s-th pixel. */
START_TEST(scales_are_strided_views)
{
    dn_extractor *whole = open_backbone("mobile", 128, 3), *half = open_backbone("mobile", 64, 2);
    float *view = make_view(128, 3), *small = malloc(64 * 64 * 3 * sizeof *small);

    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 64; x++)
            memcpy(small + (y * 64 + x) * 3, view + (2 * y * 128 + 2 * x) * 3, 3 * sizeof *small);
    float *features = forward(whole, view, 1), *of_half = forward(half, small, 1);
    ck_assert_int_eq(whole->feature_dim, 3 * whole->tap_channels);
    ck_assert_mem_eq(features + whole->tap_channels, of_half, 2 * (size_t)whole->tap_channels * sizeof *features);

    free(of_half);
    free(features);
    free(small);
    free(view);
    extractor_unref(half);
    extractor_unref(whole);
}
END_TEST

static float *make_views(int32_t size, int32_t first, int32_t n)
{
    size_t floats = (size_t)size * (size_t)size * 3;
    float *views = malloc((size_t)n * floats * sizeof *views);

    ck_assert_ptr_nonnull(views);
    for (int32_t i = 0; i < n; i++) {
        float *view = make_view(size, first + i);
        memcpy(views + (size_t)i * floats, view, floats * sizeof *view);
        free(view);
    }
    return views;
}

/* Backbones whose first steps take one view at a time at no scale, and at the first one. */
static const struct {
    const char *name;
    int32_t size, scales;
} backbones[] = {{"mobile", 64, 2}, {"alexnet", 448, 3}};

/* A block gives what its views give alone, as far as rounding allows, and the same bits whatever the others show. */
START_TEST(views_do_not_influence_each_other)
{
    int32_t size = backbones[_i].size;
    dn_extractor *extractor = open_backbone(backbones[_i].name, size, backbones[_i].scales);
    size_t dimension = (size_t)extractor->feature_dim, count = pixels(extractor);
    float *views = make_views(size, 0, FEATURES_BLOCK), *others = make_views(size, 30, FEATURES_BLOCK);
    float *factors = malloc(dimension * sizeof *factors);
    float *seen = malloc(FEATURES_BLOCK * dimension * sizeof *seen);

    for (size_t i = 0; i < dimension; i++)
        factors[i] = (float)sin((double)i);
    float *together = forward(extractor, views, FEATURES_BLOCK);
    float *slopes = gradients(extractor, views, FEATURES_BLOCK, factors, seen);
    ck_assert_mem_eq(seen, together, FEATURES_BLOCK * dimension * sizeof *seen);
    for (size_t i = 0; i < FEATURES_BLOCK; i++) {
        float *alone = forward(extractor, views + i * count, 1);
        float *slope = gradient(extractor, views + i * count, factors, seen);
        ck_assert_double_lt(max_abs_difference(alone, together + i * dimension, dimension),
                            1e-5 * max_abs(alone, dimension));
        ck_assert_double_lt(max_abs_difference(slope, slopes + i * count, count), 1e-3 * max_abs(slope, count));
        memcpy(others + i * count, views + i * count, count * sizeof *others);
        float *among = forward(extractor, others, FEATURES_BLOCK);
        float *slopes_among = gradients(extractor, others, FEATURES_BLOCK, factors, seen);
        ck_assert_mem_eq(among + i * dimension, together + i * dimension, dimension * sizeof *among);
        ck_assert_mem_eq(slopes_among + i * count, slopes + i * count, count * sizeof *slopes);
        free(alone);
        free(slope);
        free(among);
        free(slopes_among);
    }
    free(slopes);
    free(together);
    free(seen);
    free(factors);
    free(others);
    free(views);
    extractor_unref(extractor);
}
END_TEST

/* With Winograd's convolutions alone a view's bits depend on the view alone. */
START_TEST(bits_do_not_depend_on_the_block)
{
    const int32_t channels[5] = {32, 48, 32, 64, 32};
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_extractor_options_init(&options);
    ck_ok(extractor_random(channels, 1, &options, &extractor, NULL));
    size_t dimension = (size_t)extractor->feature_dim, count = pixels(extractor);
    float *views = make_views(448, 0, FEATURES_BLOCK);
    float *factors = malloc(dimension * sizeof *factors), *seen = malloc(FEATURES_BLOCK * dimension * sizeof *seen);
    float *together = forward(extractor, views, FEATURES_BLOCK);

    for (size_t i = 0; i < dimension; i++)
        factors[i] = (float)cos((double)i);
    float *slopes = gradients(extractor, views, FEATURES_BLOCK, factors, seen);
    for (size_t i = 0; i < FEATURES_BLOCK; i++)
        for (int32_t n = 1; n <= 3 && i + (size_t)n <= FEATURES_BLOCK; n++) {
            float *alone = forward(extractor, views + i * count, n);
            float *slope = gradients(extractor, views + i * count, n, factors, seen);
            ck_assert_mem_eq(alone, together + i * dimension, (size_t)n * dimension * sizeof *alone);
            ck_assert_mem_eq(slope, slopes + i * count, (size_t)n * count * sizeof *slope);
            free(alone);
            free(slope);
        }
    free(slopes);
    free(together);
    free(seen);
    free(factors);
    free(views);
    extractor_unref(extractor);
}
END_TEST

START_TEST(blocks_cover_all_views)
{
    for (int32_t views = 1; views < 40; views++) {
        int32_t sum = 0;
        for (int32_t block = 0; block < features_blocks(views); block++) {
            int32_t n = features_block_views(views, block);
            ck_assert_int_ge(n, 1);
            ck_assert_int_le(n, FEATURES_BLOCK);
            ck_assert_int_eq(sum, block * FEATURES_BLOCK);
            sum += n;
        }
        ck_assert_int_eq(sum, views);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("features");
    TCase *tcase = tcase_create("features");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, matches_pytorch, 0, (int)(sizeof goldens / sizeof goldens[0]));
    tcase_add_test(tcase, gradient_is_slope);
    tcase_add_test(tcase, scales_are_strided_views);
    tcase_add_loop_test(tcase, views_do_not_influence_each_other, 0, (int)(sizeof backbones / sizeof backbones[0]));
    tcase_add_test(tcase, bits_do_not_depend_on_the_block);
    tcase_add_test(tcase, blocks_cover_all_views);
    suite_add_tcase(suite, tcase);
    return suite;
}

TEST_MAIN(make_suite)
