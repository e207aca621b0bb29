/* Inputs that are not square: features, gradients, maps and tiles against what square ones give, or slopes do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cnn/extractor_file.h"
#include "cnn/extractor_views.h"
#include "cnn/maps.h"
#include "differnet/position_map.h"
#include "image/canvas.h"
#include "support.h"

static dn_extractor_options options_of(int32_t width, int32_t height, int32_t scales)
{
    return (dn_extractor_options){
        .struct_size = sizeof(dn_extractor_options), .input_size = width, .input_height = height, .scales = scales};
}

static dn_extractor *alexnet(int32_t width, int32_t height)
{
    static const int32_t channels[5] = {2, 2, 3, 2, 4};
    const dn_extractor_options options = options_of(width, height, 1);
    dn_extractor *extractor;

    ck_ok(extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

/* A network whose windows are not square either. */
static dn_extractor *mobile(int32_t width, int32_t height, int32_t scales)
{
    const dn_extractor_options options = options_of(width, height, scales);
    dn_extractor *extractor;
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);

    ck_ok(extractor_open_memory(bytes, size, "mobile", &options, &extractor, NULL));
    free(bytes);
    return extractor;
}

/* A view (height, width, 3) of smooth and of random parts. */
static float *make_view(int32_t width, int32_t height, uint32_t seed)
{
    float *view = malloc((size_t)width * (size_t)height * 3 * sizeof *view), *next = view;

    ck_assert_ptr_nonnull(view);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                seed = seed * 1664525u + 1013904223u;
                *next++ = (float)(sin(0.05 * x + c) + cos(0.07 * y) + (double)(seed >> 8) / (1 << 24));
            }
    return view;
}

/* Part (height, width, 3) of a view whose rows have `columns` pixels, from pixel (top, left) on. */
static float *cut(const float *view, int32_t columns, int32_t top, int32_t left, int32_t width, int32_t height)
{
    float *part = malloc((size_t)width * (size_t)height * 3 * sizeof *part);

    ck_assert_ptr_nonnull(part);
    for (int32_t y = 0; y < height; y++)
        memcpy(part + (size_t)y * (size_t)width * 3, view + ((size_t)(top + y) * (size_t)columns + (size_t)left) * 3,
               (size_t)width * 3 * sizeof *part);
    return part;
}

static float *maps_alone(const dn_extractor *extractor, const float *view)
{
    maps_geometry maps = maps_of(extractor);
    float *out = malloc((size_t)maps.rows * (size_t)maps.columns * (size_t)maps.channels * sizeof *out);

    ck_ok(maps_of_views(extractor, view, 1, out, NULL));
    return out;
}

/* ---- maps ---- */

enum { SHORT = 448, LONG = 640, CELLS = 27, LONG_CELLS = 39, SHIFT = LONG_CELLS - CELLS };

/* An oblong view is the beginning of a square one, or its end: 12 cells further on.  What its cells see of the image is
 * the same as there, but for those that see the border which one of both has not: the last six, the first five. */
START_TEST(maps_are_those_of_a_square)
{
    _Bool upright = _i / 2, end = _i % 2;
    dn_extractor *square = alexnet(LONG, LONG), *oblong = alexnet(upright ? SHORT : LONG, upright ? LONG : SHORT);
    maps_geometry maps = maps_of(oblong);
    float *view = make_view(LONG, LONG, 7);
    int32_t skipped = end ? LONG - SHORT : 0;
    float *part = cut(view, LONG, upright ? 0 : skipped, upright ? skipped : 0, oblong->input_width,
                      oblong->input_height);
    float *expected = maps_alone(square, view), *found = maps_alone(oblong, part);
    size_t channels = (size_t)maps.channels;
    double largest = max_abs(expected, LONG_CELLS * LONG_CELLS * channels);
    int compared = 0;

    ck_assert_int_eq(maps.rows, upright ? LONG_CELLS : CELLS);
    ck_assert_int_eq(maps.columns, upright ? CELLS : LONG_CELLS);
    ck_assert_double_eq(maps.offset_x, 15.5);
    ck_assert_double_eq(maps.stride_y, 16);
    for (int32_t y = 0; y < maps.rows; y++)
        for (int32_t x = 0; x < maps.columns; x++) {
            int32_t along = upright ? x : y, shift = end ? SHIFT : 0;
            if (end ? along < 5 : along >= CELLS - 6)
                continue;
            const float *there = expected +
                                 (size_t)((y + (upright ? 0 : shift)) * LONG_CELLS + x + (upright ? shift : 0)) *
                                     channels;
            const float *here = found + (size_t)(y * maps.columns + x) * channels;
            ck_assert_double_lt(max_abs_difference(here, there, channels), 1e-5 * largest);
            compared++;
        }
    ck_assert_int_eq(compared, LONG_CELLS * (CELLS - (end ? 5 : 6)));
    free(found);
    free(expected);
    free(part);
    free(view);
    extractor_unref(oblong);
    extractor_unref(square);
}
END_TEST

/* ---- features ---- */

/* The feature is the mean of the last map over all its positions. */
START_TEST(feature_is_the_mean_of_a_map)
{
    dn_extractor *extractor = _i ? alexnet(96, 256) : alexnet(256, 96);
    float *view = make_view(extractor->input_width, extractor->input_height, 3), feature[4];

    for (int32_t i = 0; i < extractor->layer_count; i++)
        extractor->layers[i].map = i + 1 == extractor->layer_count;
    maps_geometry last = maps_of(extractor);
    float *map = maps_alone(extractor, view);
    ck_assert_int_eq(_i ? last.rows : last.columns, 7); /* 256 -> 63 -> 31 -> 15 -> 7 */
    ck_assert_int_eq(_i ? last.columns : last.rows, 2); /* 96 -> 23 -> 11 -> 5 -> 2 */
    ck_ok(extractor_features(extractor, view, 1, feature, NULL));
    ck_assert_int_eq(extractor->feature_dim, 4);
    ck_assert_double_gt(max_abs(feature, 4), 0);
    for (int c = 0; c < 4; c++) {
        double sum = 0;
        for (int32_t i = 0; i < 14; i++)
            sum += (double)map[i * 4 + c];
        ck_assert_double_eq_tol((double)feature[c], sum / 14, 1e-5 * max_abs(map, 56));
    }
    free(map);
    free(view);
    extractor_unref(extractor);
}
END_TEST

/* Scale s of a view is the first scale of its every 2^s-th pixel. */
START_TEST(scales_are_strided_views)
{
    dn_extractor *whole = mobile(192, 128, 2), *half = mobile(96, 64, 1);
    float *view = make_view(192, 128, 3), *small = malloc(96 * 64 * 3 * sizeof *small);
    size_t dimension = (size_t)half->feature_dim;
    float *features = malloc(2 * dimension * sizeof *features), *expected = malloc(dimension * sizeof *expected);

    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 96; x++)
            memcpy(small + (y * 96 + x) * 3, view + (2 * y * 192 + 2 * x) * 3, 3 * sizeof *small);
    ck_ok(extractor_features(whole, view, 1, features, NULL));
    ck_ok(extractor_features(half, small, 1, expected, NULL));
    ck_assert_mem_eq(features + dimension, expected, dimension * sizeof *features);
    free(expected);
    free(features);
    free(small);
    free(view);
    extractor_unref(half);
    extractor_unref(whole);
}
END_TEST

/* sum over j of cos(j) feature j. */
static double functional(const dn_extractor *extractor, const float *view, float *features)
{
    double sum = 0;

    ck_ok(extractor_features(extractor, view, 1, features, NULL));
    for (int32_t j = 0; j < extractor->feature_dim; j++)
        sum += cos(j) * (double)features[j];
    return sum;
}

/* The gradient along a random direction is the slope there, and the gradient of each of several views is its own. */
START_TEST(gradient_is_slope)
{
    const double step = 1e-3;
    int32_t width = _i ? 64 : 96, height = _i ? 96 : 64;
    dn_extractor *extractor = mobile(width, height, 2);
    size_t count = view_floats(extractor), dimension = (size_t)extractor->feature_dim;
    float *view = make_view(width, height, 5), *direction = make_view(width, height, 6);
    float *moved = malloc(count * sizeof *moved), *found = malloc(count * sizeof *found);
    float *factors = malloc(dimension * sizeof *factors), *features = malloc(dimension * sizeof *features);
    double slope = 0;

    for (size_t j = 0; j < dimension; j++)
        factors[j] = (float)cos((double)j);
    ck_ok(extractor_gradient(extractor, view, 1, factors, found, NULL));
    for (size_t i = 0; i < count; i++)
        slope += (double)found[i] * (double)direction[i];
    double difference = 0;
    for (int side = -1; side <= 1; side += 2) {
        for (size_t i = 0; i < count; i++)
            moved[i] = (float)((double)view[i] + side * step * (double)direction[i]);
        difference += side * functional(extractor, moved, features) / (2 * step);
    }
    ck_assert_msg(fabs(slope - difference) < 0.02 * fabs(slope), "slope %g, difference %g", slope, difference);
    free(features);
    free(factors);
    free(found);
    free(moved);
    free(direction);
    free(view);
    extractor_unref(extractor);
}
END_TEST

/* ---- tiles ---- */

/* 96 x 64 pixels, 5 x 3 cells: of the columns one is shared, of the rows none; a step of 64, 48 pixels.  Features of
 * tiles are those that each tile has alone. */
START_TEST(features_of_tiles)
{
    static uint8_t rgb[200 * 90 * 3];
    dn_allocator allocator = mem_allocator(NULL);
    dn_extractor *extractor = alexnet(96, 64);
    tile_plan plan = tile_plan_of(extractor, 2, 2, DN_FIT_STRETCH), one = tile_plan_of(extractor, 1, 1, 0);
    mem_scratch rows = {.allocator = allocator};
    size_t channels = (size_t)plan.tile.channels;
    uint16_t *canvas = malloc(tile_canvas_samples(&plan) * sizeof *canvas);
    uint16_t *part = malloc(view_floats(extractor) * sizeof *part);
    float *scratch = malloc(position_features_scratch(extractor, &plan, 1) * sizeof *scratch);
    float *maps = malloc(6 * 9 * channels * sizeof *maps), *alone = malloc(15 * channels * sizeof *alone);

    draw_texture(rgb, 200, 90, 3);
    dn_pixels view = rgb_view(rgb, 200, 90);
    ck_ok(tile_plan_check(extractor, 2, 2, NULL));
    ck_assert_int_eq(one.whole.width, 96);
    ck_assert_int_eq(one.whole.height, 64);
    ck_assert_int_eq(plan.canvas.width, 96 + 64);
    ck_assert_int_eq(plan.canvas.height, 64 + 48);
    ck_assert_int_eq(plan.grid.columns, 9);
    ck_assert_int_eq(plan.grid.rows, 6);
    ck_ok(canvas_refill(&view, &plan.canvas, canvas, &rows, NULL));
    position_features(extractor, &plan, canvas, NULL, NULL, maps, NULL, scratch, NULL);
    for (int32_t tile = 0; tile < 4; tile++) {
        int32_t across = tile % 2, down = tile / 2;
        tile_cut(&plan, canvas, tile, part);
        for (int32_t y = 0; y < 64; y++)
            ck_assert_mem_eq(part + y * 96 * 3, canvas + ((48 * down + y) * 160 + 64 * across) * 3,
                             96 * 3 * sizeof *part);
        position_features(extractor, &one, part, NULL, NULL, alone, NULL, scratch, NULL);
        for (int32_t y = 0; y < 3; y++)
            for (int32_t x = 0; x < (across ? 5 : 4); x++)
                ck_assert_mem_eq(maps + (size_t)((3 * down + y) * 9 + 4 * across + x) * channels,
                                 alone + (size_t)(y * 5 + x) * channels, channels * sizeof *maps);
    }
    mem_release(&rows);
    free(canvas);
    free(part);
    free(scratch);
    free(maps);
    free(alone);
    extractor_unref(extractor);
}
END_TEST

/* Images of 2 : 1 need one tile of that shape, where a square one would take two. */
START_TEST(tiles_that_suit_a_size)
{
    dn_extractor *oblong = alexnet(640, 320), *square = alexnet(320, 320);
    int32_t columns, rows;

    tiles_choose(square, 640, 320, 6, &columns, &rows);
    ck_assert_int_eq(columns, 2);
    ck_assert_int_eq(rows, 1);
    tiles_choose(oblong, 640, 320, 6, &columns, &rows);
    ck_assert_int_eq(columns, 1);
    ck_assert_int_eq(rows, 1);
    tiles_choose(oblong, 640, 640, 6, &columns, &rows);
    ck_assert_int_eq(columns, 1);
    ck_assert_int_eq(rows, 2);
    extractor_unref(oblong);
    extractor_unref(square);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("oblong");
    TCase *tests = tcase_create("oblong");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, maps_are_those_of_a_square, 0, 4);
    tcase_add_loop_test(tests, feature_is_the_mean_of_a_map, 0, 2);
    tcase_add_test(tests, scales_are_strided_views);
    tcase_add_loop_test(tests, gradient_is_slope, 0, 2);
    tcase_add_test(tests, features_of_tiles);
    tcase_add_test(tests, tiles_that_suit_a_size);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
