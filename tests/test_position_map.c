/* From feature maps to a map and a score: the grid, its geometry, levels, parts, copies in another light. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "cnn/extractor_file.h"
#include "cnn/maps.h"
#include "differnet/density.h"
#include "differnet/position_map.h"
#include "support.h"
#include "train/light.h"

/* ---- bringing a layer's output to the grid ---- */

/* Weight of source pixel `pixel` in cell `cell`, as maps_to_grid promises: the average of all pixels that the cell
 * touches where the source is at least as fine, a tent about the cell's centre where it is coarser. */
static double weight_of(int cell, int cells, int pixel, int pixels)
{
    double low = (double)cell * pixels / cells, high = (cell + 1.0) * pixels / cells;

    if (pixels >= cells) {
        int count = 0;
        for (int p = 0; p < pixels; p++)
            count += p + 1 > low + 1e-9 && p < high - 1e-9;
        return pixel + 1 > low + 1e-9 && pixel < high - 1e-9 ? 1.0 / count : 0;
    }
    double at = fmin(fmax((low + high) / 2 - 0.5, 0), pixels - 1);
    return fmax(1 - fabs(at - pixel), 0);
}

START_TEST(to_grid_against_a_naive_loop)
{
    static const struct {
        int height, width, rows, columns;
    } cases[] = {{5, 7, 5, 7}, {10, 14, 5, 7}, {11, 13, 5, 4},  {3, 2, 5, 7},
                 {1, 1, 4, 3}, {4, 9, 8, 3},   {55, 27, 27, 27}};
    enum { CHANNELS = 3, STRIDE = 7, FIRST = 2 };
    int h = cases[_i].height, w = cases[_i].width, rows = cases[_i].rows, columns = cases[_i].columns;
    float *source = malloc((size_t)(h * w * CHANNELS) * sizeof *source);
    float *grid = malloc((size_t)(rows * columns * STRIDE) * sizeof *grid);

    for (int i = 0; i < h * w * CHANNELS; i++)
        source[i] = (float)sin(i * 1.7 + _i);
    for (int i = 0; i < rows * columns * STRIDE; i++)
        grid[i] = -77;
    maps_to_grid(source, h, w, CHANNELS, grid, rows, columns, STRIDE, FIRST);
    for (int cell = 0; cell < rows * columns; cell++)
        for (int c = 0; c < STRIDE; c++) {
            double expected = 0;
            for (int y = 0; y < h && c >= FIRST && c < FIRST + CHANNELS; y++)
                for (int x = 0; x < w; x++)
                    expected += weight_of(cell / columns, rows, y, h) * weight_of(cell % columns, columns, x, w) *
                                source[(y * w + x) * CHANNELS + c - FIRST];
            if (c < FIRST || c >= FIRST + CHANNELS)
                ck_assert_float_eq(grid[cell * STRIDE + c], -77); /* other taps' channels */
            else
                ck_assert_double_eq_tol(grid[cell * STRIDE + c], expected, 1e-6);
        }
    if (h == rows && w == columns)
        for (int cell = 0; cell < rows * columns; cell++)
            ck_assert_mem_eq(grid + cell * STRIDE + FIRST, source + cell * CHANNELS, CHANNELS * sizeof *source);
    free(source);
    free(grid);
}
END_TEST

/* ---- where the cells are ---- */

static dn_extractor *alexnet(int32_t size)
{
    static const int32_t channels[5] = {2, 3, 4, 5, 6};
    const dn_extractor_options options = {.struct_size = sizeof options, .input_size = size, .scales = 1};
    dn_extractor *extractor;

    ck_ok(extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

START_TEST(geometry_of_alexnet)
{
    static const int32_t sizes[] = {64, 224, 448}, cells[] = {3, 13, 27};
    static const char *const names[] = {"features.5", "features.7", "features.9", "features.11"};
    dn_extractor *extractor = alexnet(sizes[_i]);
    maps_geometry maps = maps_of(extractor);

    ck_assert_int_eq(maps.rows, cells[_i]);
    ck_assert_int_eq(maps.columns, cells[_i]);
    ck_assert_int_eq(maps.channels, 3 + 4 + 5 + 6);
    ck_assert_double_eq(maps.stride_y, 16); /* 4 x 2 x 2 */
    ck_assert_double_eq(maps.stride_x, 16);
    /* A pixel's centre, then each window's: 0.5 + (5 - 2) + 4 (1 - 0) + 8 (2 - 2) + 8 (1 - 0) */
    ck_assert_double_eq(maps.offset_y, 15.5);
    ck_assert_double_eq(maps.offset_x, 15.5);
    ck_assert_int_eq(maps_taps(extractor), 4);
    for (int32_t i = 0; i < 4; i++)
        ck_assert_str_eq(maps_tap_name(extractor, i), names[i]);
    ck_assert_ptr_null(maps_tap_name(extractor, 4));
    extractor_unref(extractor);
}
END_TEST

static dn_extractor *mobile(void)
{
    const dn_extractor_options options = {.struct_size = sizeof options, .input_size = 64, .scales = 1};
    dn_extractor *extractor;
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);

    ck_ok(extractor_open_memory(bytes, size, "mobile", &options, &extractor, NULL));
    free(bytes);
    return extractor;
}

/* Layers: a convolution of stride 2, two of stride 1, one of stride 2, ... of which two pad after the image alone. */
START_TEST(geometry_of_a_layer_list)
{
    dn_extractor *extractor = mobile();
    maps_geometry maps = maps_of(extractor);

    /* By default the last activation behind stride 4: the convolution pw2's. */
    ck_assert_int_eq(maps_taps(extractor), 1);
    ck_assert_str_eq(maps_tap_name(extractor, 0), extractor->layers[9].name);
    ck_assert_int_eq(maps.channels, extractor->layers[9].out_channels);
    ck_assert_int_eq(maps.rows, 16);
    ck_assert_int_eq(maps.columns, 16);
    ck_assert_double_eq(maps.stride_y, 4);
    ck_assert_double_eq(maps.offset_y, 0.5 + 1 + 0 + 0 + 2 * 1); /* 3 x 3: without pad, with, 1 x 1, without */
    ck_assert_double_eq(maps.offset_x, 0.5 + 1 + 0 + 0 + 2 * 1);
    /* A finer one beside it, and the last pool's: the grid is the coarsest's. */
    extractor->layers[1].map = 1;
    extractor->layers[11].map = 1;
    maps_geometry more = maps_of(extractor);
    ck_assert_int_eq(maps_taps(extractor), 3);
    ck_assert_int_eq(more.channels, 8 + 2 * maps.channels);
    ck_assert_int_eq(more.rows, 15);    /* pools: 16 + 1 - 3 + 1, 15 + 1 - 2 + 1 */
    ck_assert_int_eq(more.columns, 15); /* 16 + 1 - 3 + 1, 15 + 2 - 3 + 1 */
    ck_assert_double_eq(more.stride_x, 4);
    ck_assert_double_eq(more.offset_y, maps.offset_y + 4 * (1 - 1) + 4 * (0.5 - 1)); /* pads above: 1 and 1 */
    ck_assert_double_eq(more.offset_x, maps.offset_x + 4 * (1 - 0) + 4 * (1 - 1));   /* pads left: 0 and 1 */
    extractor_unref(extractor);
}
END_TEST

/* The second convolution's output: its largest values of 3 x 3 cells, every second one, are the first of the maps. */
START_TEST(details_of_networks)
{
    dn_extractor *extractor = alexnet(96), *other = mobile();
    maps_geometry maps = maps_of(extractor), fine = maps_details_of(extractor);
    float view[96 * 96 * 3], with[5 * 5 * 18], without[5 * 5 * 18], more[5 * 5 * 21];
    float details[11 * 11 * 3], same[11 * 11 * 3];

    ck_assert_int_eq(maps_details_of(other).rows, 0);
    ck_assert_int_eq(maps.rows, 5); /* 96 -> 23 -> 11 -> 5 */
    ck_assert_int_eq(fine.rows, 11);
    ck_assert_int_eq(fine.columns, 11);
    ck_assert_int_eq(fine.channels, 3);
    for (size_t i = 0; i < sizeof view / sizeof *view; i++)
        view[i] = (float)sin((double)i * 0.37);
    float *scratch = malloc(maps_scratch(extractor, 1) * sizeof *scratch);
    maps_forward(extractor, view, without, NULL, scratch, NULL);
    maps_forward(extractor, view, with, details, scratch, NULL);
    ck_assert_mem_eq(with, without, sizeof with);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 5; x++)
            for (int c = 0; c < 3; c++) {
                float most = 0;
                for (int i = 0; i < 9; i++)
                    most = fmaxf(most, details[((2 * y + i / 3) * 11 + 2 * x + i % 3) * 3 + c]);
                ck_assert_float_eq(with[(y * 5 + x) * 18 + c], most);
            }
    free(scratch);
    extractor->layers[3].map = 1; /* the convolution's own output is wanted: the activation is a step of its own */
    ck_assert_int_eq(maps_of(extractor).channels, 21);
    ck_assert_int_eq(maps_details_of(extractor).channels, 3);
    scratch = malloc(maps_scratch(extractor, 1) * sizeof *scratch);
    maps_forward(extractor, view, more, same, scratch, NULL);
    ck_assert_mem_eq(same, details, sizeof same);
    free(scratch);
    extractor_unref(extractor);
    extractor_unref(other);
}
END_TEST

/* The same bits for any number of threads. */
START_TEST(forward)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_extractor *extractor = _i ? mobile() : alexnet(96);
    if (_i)
        extractor->layers[1].map = 1;
    maps_geometry maps = maps_of(extractor);
    size_t pixels = view_floats(extractor);
    size_t floats = (size_t)(maps.rows * maps.columns * maps.channels);
    float *view = malloc(pixels * sizeof *view);
    float *one = malloc(floats * sizeof *one), *many = malloc(floats * sizeof *many);

    for (size_t i = 0; i < pixels; i++)
        view[i] = (float)sin((double)i * 0.37);
    ck_ok(maps_of_views(extractor, view, 1, one, NULL));
    ck_assert_double_gt(max_abs(one, floats), 0);
    for (int32_t threads = 1; threads <= 3; threads++) {
        pool *workers;
        float *scratch = mem_alloc(&allocator, maps_scratch(extractor, threads), sizeof *scratch);
        ck_ok(pool_create(&allocator, threads, &workers, NULL));
        memset(many, 0xff, floats * sizeof *many);
        maps_forward(extractor, view, many, NULL, scratch, workers);
        ck_assert_mem_eq(one, many, floats * sizeof *one);
        pool_free(workers);
        mem_free(&allocator, scratch);
    }
    view[7] = NAN;
    dn_error error;
    ck_status(maps_of_views(extractor, view, 1, one, &error), DN_E_NUMERIC);
    check_error(&error, DN_E_NUMERIC, "a view holds NaN");
    free(view);
    free(one);
    free(many);
    extractor_unref(extractor);
}
END_TEST

/* ---- levels and scores ---- */

START_TEST(smoothed_levels)
{
    float map[100], scratch[100];

    for (int i = 0; i < 100; i++)
        map[i] = 3;
    position_level level = position_smooth(map, 10, 10, NULL, scratch);
    ck_assert_double_eq_tol(level.top, 3, 1e-6);
    ck_assert_double_eq_tol(level.median, 3, 1e-6);
    memset(map, 0, sizeof map);
    map[55] = 100;
    level = position_smooth(map, 10, 10, NULL, scratch);
    ck_assert_double_eq(level.median, 0);
    /* The two highest of 100 cells: the middle one, (1 / sum over k of exp(-k^2 / 0.72))^2, and one beside it. */
    double sum = 1 + 2 * exp(-1 / 0.72) + 2 * exp(-4 / 0.72);
    ck_assert_double_eq_tol(level.top, 100 / sum / sum * (1 + exp(-1 / 0.72)) / 2, 1e-3);
    ck_assert_double_eq_tol(map[55], 100 / sum / sum, 1e-3);
    map[3] = NAN;
    level = position_smooth(map, 10, 10, NULL, scratch);
    ck_assert(isnan(level.top) && isnan(level.median));
}
END_TEST

START_TEST(scores_of_levels)
{
    double local, whole;

    position_scores((position_level){8, 4}, 0, &local, &whole);
    ck_assert_double_eq(local, 8);
    ck_assert_double_eq(whole, 4);
    position_scores((position_level){8, 4}, 0.5, &local, &whole);
    ck_assert_double_eq_tol(local, 4, 1e-12);
    position_scores((position_level){8, 4}, 1, &local, &whole);
    ck_assert_double_eq_tol(local, 2, 1e-12);
    position_scores((position_level){0, 0}, 1, &local, &whole); /* floored, not divided by zero */
    ck_assert_double_eq_tol(local, 1, 1e-12);
    ck_assert_double_eq(whole, 1e-6);
    position_scores((position_level){(double)NAN, (double)NAN}, 1, &local, &whole);
    ck_assert(isnan(local) && isnan(whole));
}
END_TEST

START_TEST(share)
{
    position_level levels[40] = {{0, 0}};

    ck_assert_double_eq(position_fit_share(levels, 0), 0);
    levels[0] = (position_level){3, 2};
    ck_assert_double_eq(position_fit_share(levels, 1), 0);
    for (int i = 0; i < 40; i++)
        levels[i] = (position_level){5 * pow(1 + i, 0.7), 1 + i};
    ck_assert_double_eq_tol(position_fit_share(levels, 40), 0.7 * 40 / 50, 1e-9);
    ck_assert_double_eq_tol(position_fit_share(levels, 2), 0.7 * 2 / 12, 1e-9);
    for (int i = 0; i < 40; i++)
        levels[i].top = pow(1 + i, 3); /* at most 1.5 */
    ck_assert_double_eq_tol(position_fit_share(levels, 40), 1.5 * 40 / 50, 1e-9);
    for (int i = 0; i < 40; i++)
        levels[i].top = 1 / (1.0 + i); /* at least 0 */
    ck_assert_double_eq(position_fit_share(levels, 40), 0);
    for (int i = 0; i < 40; i++)
        levels[i] = (position_level){i, 2}; /* all the same: nothing to be told */
    ck_assert_double_eq(position_fit_share(levels, 40), 0);
}
END_TEST

START_TEST(normalised_and_peak)
{
    float map[4] = {1, 4, 2, 0};

    position_normalise(map, 4, 4);
    ck_assert_float_eq(map[0], 0.5f);
    ck_assert_float_eq(map[1], 2);
    ck_assert_float_eq(map[3], 0);
    ck_assert_double_eq(position_peak(map, 4), 2);
    position_normalise(map, 4, 0);
    ck_assert_float_eq_tol(map[1], 2000, 0.01f); /* the least level is 1e-6 */
    position_normalise(map, 4, (double)NAN);
    ck_assert(isnan(map[0]));
    ck_assert_double_eq(position_peak(map, 0), 0);
}
END_TEST

/* A view of 40 pixels, cells centred on 10 + 10 i pixels in one direction and 5 + 20 i in the other. */
START_TEST(to_the_image)
{
    static const float map[6] = {1, 2, 3, 5, 7, 11}; /* 3 rows, 2 columns */
    const maps_geometry maps = {
        .rows = 3, .columns = 2, .channels = 1, .stride_y = 10, .stride_x = 20, .offset_y = 10, .offset_x = 5};
    float image[80 * 20];

    position_to_image(map, &maps, NULL, &(canvas_place){0, 0, 40, 40}, 2, image, 80,
                      20); /* half a pixel of the view high, two wide */
    for (int y = 0; y < 80; y++)
        for (int x = 0; x < 20; x++) {
            double row = fmin(fmax(((y + 0.5) / 2 - 10) / 10, 0), 2);
            double column = fmin(fmax(((x + 0.5) * 2 - 5) / 20, 0), 1);
            int above = row < 1 ? 0 : 1;
            double down = row - above;
            const float *first = map + 2 * above, *second = first + 2;
            double left = first[0] + down * (second[0] - first[0]), right = first[1] + down * (second[1] - first[1]);
            ck_assert_double_eq_tol(image[y * 20 + x], 2 * (left + column * (right - left)), 1e-5);
        }
    ck_assert_float_eq(image[0], 2); /* beyond the outermost cells nothing changes */
    ck_assert_float_eq(image[80 * 20 - 1], 22);
    const maps_geometry single = {.rows = 1, .columns = 1, .channels = 1, .stride_y = 16, .stride_x = 16};
    position_to_image(map, &single, NULL, &(canvas_place){0, 0, 40, 40}, 3, image, 4, 4);
    for (int i = 0; i < 16; i++)
        ck_assert_float_eq(image[i], 3);
}
END_TEST

/* ---- parts ---- */

START_TEST(quantiles)
{
    double values[5] = {5, 1, 4, 2, 3}, one[1] = {7};

    ck_assert_double_eq(quantile(values, 5, 0.5), 3);
    ck_assert_double_eq(quantile(values, 5, 0), 1);
    ck_assert_double_eq(quantile(values, 5, 1), 5);
    ck_assert_double_eq_tol(quantile(values, 5, 0.9), 4.6, 1e-12);
    ck_assert_double_eq(quantile(one, 1, 0.9), 7);
}
END_TEST

START_TEST(parts_are_measured)
{
    double scores[5] = {exp(4), exp(1), exp(3), exp(0), exp(2)}, equal[3] = {2, 2, 2}, none[2] = {0, 0};
    part_standard standard = part_measure(scores, 5);

    ck_assert_double_eq_tol(standard.median, 2, 1e-12);
    ck_assert_double_eq_tol(standard.spread, log(0.4 * exp(3) + 0.6 * exp(4)) - 2, 1e-12);
    standard = part_measure(equal, 3);
    ck_assert_double_eq_tol(standard.median, log(2), 1e-12);
    ck_assert_double_eq(standard.spread, PART_LEAST_SPREAD);
    standard = part_measure(none, 2);
    ck_assert(isfinite(standard.median) && standard.median < -60);
    ck_assert_double_eq(standard.spread, PART_LEAST_SPREAD);
    standard = part_measure(none, 0);
    ck_assert(standard.median == 0 && standard.spread == 0);
}
END_TEST

/* local and whole: their t, standardised by medians 1 and -1, spreads 2 and 0.5. */
static double combined_with(double weight, double flow, double local, double whole)
{
    static const part_standard standards[PARTS] = {{3, 4}, {1, 2}, {-1, 0.5}};
    const double scores[PARTS] = {isnan(flow) ? flow : exp(3 + 4 * flow), exp(1 + 2 * local), exp(-1 + 0.5 * whole)};

    return parts_combine(standards, weight, scores);
}

static double combined(double flow, double local, double whole)
{
    return combined_with(0.5, flow, local, whole);
}

START_TEST(a_flow_needs_images)
{
    ck_assert_double_eq(part_flow_weight(150), 0.5);
    ck_assert_double_eq_tol(part_flow_weight(1), 1 / 22501.0, 1e-12);
    ck_assert_double_eq_tol(part_flow_weight(1000), 1 / 1.0225, 1e-12);
    ck_assert(part_flow_weight(INT32_MAX) <= 1);
}
END_TEST

START_TEST(parts_are_combined)
{
    static const part_standard unknown[PARTS] = {{0, 0}, {0, 0}, {0, 0}};
    const double none = (double)NAN, flow[PARTS] = {0.75, none, none}, ones[PARTS] = {none, 1, 1};

    ck_assert_double_eq(parts_combine(unknown, 0.5, flow), 0.75); /* the flow's alone is that score */
    ck_assert_double_eq(parts_combine(unknown, 0.5, ones), 1);
    ck_assert_double_eq_tol(combined(none, 0, 0), 1, 1e-12);
    ck_assert_double_eq_tol(combined(none, 3, 4), 1 + 5 + 0.35, 1e-9);  /* exp(log(1 + p)) */
    ck_assert_double_eq_tol(combined(none, 3, -4), 1 + 3 - 0.05, 1e-9); /* below the median nothing is unusual */
    ck_assert_double_eq_tol(combined(none, -2, -4), 1 / 1.3, 1e-9);
    ck_assert_double_eq_tol(combined(2, 3, 8), (1 + 5 + 0.55) * sqrt(3), 1e-9); /* with a flow the level counts half */
    ck_assert_double_eq_tol(combined(2, 3, -4), (1 + 3 - 0.05) * sqrt(3), 1e-9);
    ck_assert_double_eq_tol(combined(-1, 3, 8), (1 + 5 + 0.55) / sqrt(2), 1e-9);
    ck_assert_double_eq_tol(combined_with(1, 2, 3, -4), (1 + 3 - 0.05) * 3, 1e-9);
    ck_assert_double_eq_tol(combined_with(0, 2, 3, 1.9), 4 * 3, 1e-9); /* files of old: the level counts beyond 2 */
    ck_assert_double_eq_tol(combined_with(0, 2, 3, -9), 4 * 3, 1e-9);
    ck_assert_double_eq_tol(combined_with(0, -1, 3, 4), 4.0 / 2 * 27, 1e-9);
    ck_assert_double_eq_tol(combined(0, 0, 0), 1, 1e-12);
    const double zero[PARTS] = {0, 0, 0};
    ck_assert(isfinite(parts_combine(unknown, 1, zero)) && parts_combine(unknown, 1, zero) >= 0);
    const double huge[PARTS] = {1e300, 1e300, 1e300};
    ck_assert(isfinite(parts_combine(unknown, 1, huge)));
    for (double t = -3; t < 3; t += 0.25) { /* it grows with each */
        ck_assert_double_lt(combined(none, t, 1), combined(none, t + 0.25, 1));
        ck_assert_double_lt(combined(none, 1, t), combined(none, 1, t + 0.25));
        ck_assert_double_lt(combined(t, 1, 1), combined(t + 0.25, 1, 1));
        ck_assert_double_lt(combined(1, t, 1), combined(1, t + 0.25, 1));
        ck_assert_double_le(combined(1, 1, t), combined(1, 1, t + 0.25));
    }
}
END_TEST

/* ---- light ---- */

#define SIDE 8
#define FLOATS (SIDE * SIDE * 3)

static const float mean[3] = {0.5f, 0.4f, 0.3f}, std[3] = {0.25f, 0.2f, 0.5f};

/* A view whose pixels have the gray values 0, 1/63 ... 1 in all channels. */
static void draw_ramp(float *view)
{
    for (int i = 0; i < FLOATS; i++)
        view[i] = ((float)(i / 3) / 63 - mean[i % 3]) / std[i % 3];
}

static void changed(int32_t kind, uint64_t seed, uint64_t image, float *view)
{
    light_copy copy = {kind, seed, image, mean, std};
    float scratch[FLOATS];

    draw_ramp(view);
    light_change(&copy, SIDE, SIDE, view, scratch);
}

static double gray(const float *view, int i)
{
    return (double)(view[i] * std[i % 3] + mean[i % 3]);
}

START_TEST(gain)
{
    float view[FLOATS];

    for (int32_t kind = 0; kind < 2; kind++) {
        changed(kind, 0, 0, view);
        for (int i = 0; i < FLOATS; i++)
            ck_assert_double_eq_tol(gray(view, i), fmin(i / 3 / 63.0 * (kind ? 1.07 : 0.93), 1), 1e-6);
        ck_assert_double_eq_tol(gray(view, 0), 0, 1e-6);
        ck_assert_double_eq_tol(gray(view, FLOATS - 1), kind ? 1 : 0.93, 1e-6);
    }
}
END_TEST

START_TEST(out_of_focus)
{
    float view[FLOATS], ramp[FLOATS];
    double before = 0, after = 0;

    changed(2, 0, 0, view);
    draw_ramp(ramp);
    ck_assert_double_gt(max_abs_difference(view, ramp, FLOATS), 0.01);
    for (int i = 0; i < FLOATS; i += 3) {
        before += gray(ramp, i);
        after += gray(view, i);
        ck_assert_double_eq_tol(gray(view, i), gray(view, i + 1), 1e-5);
    }
    ck_assert_double_eq_tol(before, after, 1e-4); /* light is moved, not lost */
}
END_TEST

START_TEST(noise)
{
    float view[FLOATS], again[FLOATS], other[FLOATS], ramp[FLOATS];
    double sum = 0, squares = 0;

    draw_ramp(ramp);
    changed(3, 5, 2, view);
    changed(3, 5, 2, again);
    ck_assert_mem_eq(view, again, sizeof view);
    for (int i = 0; i < FLOATS; i++) {
        double difference = gray(view, i) - gray(ramp, i);
        sum += difference;
        squares += difference * difference;
        ck_assert_double_eq_tol(difference, gray(view, i / 3 * 3) - gray(ramp, i / 3 * 3), 1e-6);
    }
    ck_assert_double_lt(fabs(sum / FLOATS), 4 * 2.5 / 255 / 8);
    ck_assert_double_gt(sqrt(squares / FLOATS), 1.7 / 255);
    ck_assert_double_lt(sqrt(squares / FLOATS), 3.4 / 255);
    changed(3, 5, 3, other); /* another image */
    ck_assert_mem_ne(view, other, sizeof view);
    changed(3, 6, 2, other); /* another seed */
    ck_assert_mem_ne(view, other, sizeof view);
}
END_TEST

START_TEST(copies)
{
    static const int32_t images[] = {1, 32, 33, 128, 129, 100000}, expected[] = {4, 4, 2, 2, 1, 1};

    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(light_copies(images[i]), expected[i]);
    for (int32_t image = 0; image < 8; image++) { /* four copies: one of each kind; fewer: all kinds over the images */
        int seen = 0;
        for (int32_t number = 0; number < 4; number++)
            seen |= 1 << light_kind(image, number, LIGHT_KINDS);
        ck_assert_int_eq(seen, 15);
        ck_assert_int_ne(light_kind(image, 0, LIGHT_KINDS), light_kind(image + 1, 0, LIGHT_KINDS));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("position_map");
    TCase *tests = tcase_create("all");

    tcase_add_loop_test(tests, to_grid_against_a_naive_loop, 0, 7);
    tcase_add_loop_test(tests, geometry_of_alexnet, 0, 3);
    tcase_add_test(tests, geometry_of_a_layer_list);
    tcase_add_test(tests, details_of_networks);
    tcase_add_loop_test(tests, forward, 0, 2);
    tcase_add_test(tests, smoothed_levels);
    tcase_add_test(tests, scores_of_levels);
    tcase_add_test(tests, share);
    tcase_add_test(tests, normalised_and_peak);
    tcase_add_test(tests, to_the_image);
    tcase_add_test(tests, quantiles);
    tcase_add_test(tests, parts_are_measured);
    tcase_add_test(tests, a_flow_needs_images);
    tcase_add_test(tests, parts_are_combined);
    tcase_add_test(tests, gain);
    tcase_add_test(tests, out_of_focus);
    tcase_add_test(tests, noise);
    tcase_add_test(tests, copies);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
