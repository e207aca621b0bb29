/* Heat maps: gradients and map against PyTorch in float64, same bits for any number of threads; regions against a
 * flood fill. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cnn/view_features.h"
#include "differnet/regions.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "golden.h"
#include "heatmap_golden.h"
#include "image/canvas.h"
#include "image/heatmap.h"
#include "image/view.h"
#include "small_model.h"
#include "support.h"

#define PIXELS (GOLDEN_SIZE * GOLDEN_SIZE)
#define GRADIENT_STEP 5
#define GRADIENT_SIDE 26
#define MAP_STEP 2

static const dn_localizer_options plain = {
    .struct_size = sizeof plain, .views = GOLDEN_VIEWS, .angles = -1, .threads = 1, .sigma = 3};

static uint8_t image_bytes[PIXELS * 3];

static dn_pixels image(void)
{
    golden_image(image_bytes);
    return rgb_view(image_bytes, GOLDEN_SIZE, GOLDEN_SIZE);
}

static void raw_map_with(dn_model *model, const dn_localizer_options *options, float *map)
{
    dn_pixels view = image();
    dn_localizer *localizer;
    dn_error error = {0};
    const float *raw;

    ck_ok(localizer_create(model, options, &localizer, &error));
    dn_status status = localizer_raw_map(localizer, &view, &raw, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    memcpy(map, raw, (size_t)model->extractor->input_width * (size_t)model->extractor->input_width * sizeof *map);
    localizer_free(localizer);
}

/* ---- against the golden file ---- */

/* A given gradient of `dim` features. */
struct given {
    const float *gradient;
    size_t dim;
};

static void copy_gradient(void *context, const float *features, int32_t n, float *gradient)
{
    const struct given *given = context;

    (void)features;
    ck_assert_int_eq(n, 1);
    memcpy(gradient, given->gradient, given->dim * sizeof *gradient);
}

static void loss_chain(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                       float *logdet_gradient)
{
    int32_t dim = ((const dn_model *)context)->extractor->feature_dim;

    (void)logdet;
    for (int32_t i = 0; i < rows * dim; i++)
        z_gradient[i] = z[i] / (float)dim;
    for (int32_t i = 0; i < rows; i++)
        logdet_gradient[i] = -1.0f / (float)dim;
}

/* Pixel gradient (size, size, 3) of one view's loss, step by step. */
static void view_gradient(dn_model *model, const uint16_t *canvas, double angle, float *gradient)
{
    const dn_extractor *extractor = model->extractor;
    dn_allocator allocator = mem_allocator(NULL);
    float y[GOLDEN_DIM], feature_gradient[GOLDEN_DIM]; /* at most so many */
    struct given given = {feature_gradient, (size_t)extractor->feature_dim};
    float *view = mem_alloc(&allocator, PIXELS * 3, sizeof *view);
    float *scratch = mem_alloc(&allocator, features_gradient_scratch(extractor), sizeof *scratch);
    float *flow_memory = mem_alloc(&allocator, flow_gradient_scratch(model->flow), sizeof *flow_memory);

    view_render(canvas, extractor->input_width, extractor->input_height, angle, NULL, extractor->mean, extractor->std,
                view);
    ck_assert_int_eq(dn_extractor_features(extractor, view, 1, y, NULL), DN_OK);
    view_features_standardise(y, 1, (size_t)model->extractor->feature_dim, model->mean, model->deviation);
    flow_gradient(model->flow, y, 1, loss_chain, model, NULL, NULL, feature_gradient, flow_memory, NULL);
    for (int i = 0; i < extractor->feature_dim; i++)
        feature_gradient[i] /= model->deviation[i];
    features_gradient(extractor, view, 1, copy_gradient, &given, gradient, scratch);
    mem_free(&allocator, view);
    mem_free(&allocator, scratch);
    mem_free(&allocator, flow_memory);
}

/* Every GRADIENT_STEP-th pixel against the golden ones: direction and size. */
static void compare_gradient(const float *gradient, const float *expected)
{
    double dot = 0, own = 0, golden = 0;

    for (int y = 0; y < GRADIENT_SIDE; y++)
        for (int x = 0; x < GRADIENT_SIDE; x++)
            for (int c = 0; c < 3; c++) {
                double a = (double)gradient[((y * GOLDEN_SIZE + x) * 3) * GRADIENT_STEP + c];
                double b = (double)expected[(y * GRADIENT_SIDE + x) * 3 + c];
                dot += a * b;
                own += a * a;
                golden += b * b;
            }
    ck_assert_double_gt(dot / sqrt(own * golden), 0.99999);
    ck_assert_double_eq_tol(sqrt(own / golden), 1, 1e-3);
}

START_TEST(gradients_match_golden)
{
    st_file *golden = golden_open("heatmap.safetensors");
    float *expected = golden_floats(golden, "gradient", NULL), *gradient = malloc(PIXELS * 3 * sizeof *gradient);
    double *angles = golden_doubles(golden, "angles", NULL);
    uint16_t *canvas = malloc(PIXELS * 3 * sizeof *canvas);
    dn_allocator allocator = mem_allocator(NULL);
    dn_model *model = golden_model();
    dn_pixels view = image();

    ck_ok(canvas_fill(&view, GOLDEN_SIZE, GOLDEN_SIZE, canvas, &allocator, NULL));
    for (int i = 0; i < GOLDEN_VIEWS; i++) {
        view_gradient(model, canvas, angles[i], gradient);
        compare_gradient(gradient, expected + i * GRADIENT_SIDE * GRADIENT_SIDE * 3);
    }
    model_unref(model);
    free(canvas);
    free(gradient);
    free(expected);
    free(angles);
    golden_close(golden);
}
END_TEST

START_TEST(map_matches_golden)
{
    st_file *golden = golden_open("heatmap.safetensors");
    float *expected = golden_floats(golden, "map", NULL), *map = malloc(PIXELS * sizeof *map);
    float sampled[PIXELS / MAP_STEP / MAP_STEP], largest;
    dn_model *model = golden_model();
    size_t count = 0;

    raw_map_with(model, &plain, map);
    for (int y = 0; y < GOLDEN_SIZE; y += MAP_STEP)
        for (int x = 0; x < GOLDEN_SIZE; x += MAP_STEP)
            sampled[count++] = map[y * GOLDEN_SIZE + x];
    largest = (float)max_abs(expected, count);
    ck_assert_double_lt(max_abs_difference(sampled, expected, count), 1e-3 * (double)largest);
    model_unref(model);
    free(map);
    free(expected);
    golden_close(golden);
}
END_TEST

/* ---- the map ---- */

/* 18 views: more than are summed at a time. */
START_TEST(same_bits_for_any_threads)
{
    static float first[SMALL_SIDE * SMALL_SIDE], other[SMALL_SIDE * SMALL_SIDE];
    dn_model *model = small_model();
    dn_localizer_options options = plain;

    options.views = 18;
    raw_map_with(model, &options, first);
    ck_assert(max_abs(first, SMALL_SIDE * SMALL_SIDE) > 0);
    for (options.threads = 1; options.threads <= 3; options.threads++) {
        raw_map_with(model, &options, other);
        ck_assert_mem_eq(other, first, sizeof first);
    }
    model_unref(model);
}
END_TEST

/* Adds the mean over channels of |blurred gradient, turned back| of one view. */
static void add_view(dn_model *model, const uint16_t *canvas, double angle, double sigma, double *sum)
{
    enum { SMALL = SMALL_SIDE * SMALL_SIDE };
    static float gradient[SMALL * 3], back[SMALL * 3];

    view_gradient(model, canvas, angle, gradient);
    map_rotate(gradient, SMALL_SIDE, SMALL_SIDE, 3, -angle, back);
    map_blur(back, SMALL_SIDE, SMALL_SIDE, 3, sigma, gradient);
    for (int i = 0; i < SMALL; i++)
        sum[i] += (fabs((double)back[3 * i]) + fabs((double)back[3 * i + 1]) + fabs((double)back[3 * i + 2])) / 3;
}

/* The map of 18 views, more than are summed at a time, against the same put together one by one. */
START_TEST(map_of_many_views)
{
    enum { SMALL = SMALL_SIDE * SMALL_SIDE, VIEWS = 18 };
    static float map[SMALL], expected[SMALL];
    static double sum[SMALL];
    static uint16_t canvas[SMALL * 3];
    dn_allocator allocator = mem_allocator(NULL);
    dn_model *model = small_model();
    dn_localizer_options options = plain;
    dn_pixels view = image();
    double angles[VIEWS];

    options.views = VIEWS;
    options.sigma = 1.5;
    raw_map_with(model, &options, map);
    ck_ok(canvas_fill(&view, SMALL_SIDE, SMALL_SIDE, canvas, &allocator, NULL));
    score_angles(DN_ANGLES_STRATIFIED, VIEWS, angles);
    for (int i = 0; i < VIEWS; i++)
        add_view(model, canvas, angles[i], 1.5, sum);
    for (int i = 0; i < SMALL; i++)
        expected[i] = (float)(sum[i] * sum[i] / VIEWS / VIEWS);
    ck_assert(max_abs(expected, SMALL) > 0);
    ck_assert_double_lt(max_abs_difference(map, expected, SMALL), 1e-5 * max_abs(expected, SMALL));
    model_unref(model);
}
END_TEST

/* The views' angles are the model's unless others are asked for. */
START_TEST(angles_of_views)
{
    static float expected[PIXELS], map[PIXELS];
    dn_model *model = golden_model();
    const int32_t own = model->facts.angles, other = own == DN_ANGLES_GRID ? DN_ANGLES_STRATIFIED : DN_ANGLES_GRID;
    dn_localizer_options options = plain;

    raw_map_with(model, &options, expected);
    options.angles = own;
    raw_map_with(model, &options, map);
    ck_assert_mem_eq(map, expected, sizeof map);
    options.angles = other;
    raw_map_with(model, &options, map);
    ck_assert_mem_ne(map, expected, sizeof map);
    model->facts.angles = other;
    raw_map_with(model, &plain, expected);
    ck_assert_mem_eq(map, expected, sizeof map);
    model_unref(model);
}
END_TEST

/* Mean of a map in the image's own pixels: scaled, and kept by the resize. */
START_TEST(map_of_another_size)
{
    enum { WIDTH = 70, HEIGHT = 200 };
    static float raw[PIXELS], map[WIDTH * HEIGHT];
    static uint8_t rgb[WIDTH * HEIGHT * 3];
    dn_pixels view = rgb_view(rgb, WIDTH, HEIGHT);
    dn_model *model = golden_model();
    dn_localizer *localizer;
    const float *own;
    double raw_sum = 0, sum = 0;

    draw_texture(rgb, WIDTH, HEIGHT, 5);
    ck_ok(localizer_create(model, &plain, &localizer, NULL));
    ck_ok(localizer_map(localizer, &view, map, NULL));
    ck_ok(localizer_raw_map(localizer, &view, &own, NULL));
    memcpy(raw, own, sizeof raw);
    for (int i = 0; i < PIXELS; i++)
        raw_sum += (double)raw[i];
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        ck_assert(map[i] >= 0);
        sum += (double)map[i];
    }
    ck_assert_double_eq(model->facts.heatmap_scale, 0.0025);
    ck_assert_double_eq_tol(sum / (WIDTH * HEIGHT), raw_sum / PIXELS / 0.0025, 0.03 * raw_sum / PIXELS / 0.0025);
    model_set_heatmap_scale(model, 0); /* not known: as it is */
    ck_ok(localizer_map(localizer, &view, map, NULL));
    sum = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        sum += (double)map[i];
    ck_assert_double_eq_tol(sum / (WIDTH * HEIGHT), raw_sum / PIXELS, 0.03 * raw_sum / PIXELS);
    localizer_free(localizer);
    model_unref(model);
}
END_TEST

START_TEST(overflow_is_an_error)
{
    static float map[PIXELS];
    dn_model *model = golden_model();
    dn_pixels view = image();
    dn_localizer *localizer;
    dn_error error = {0};

    ck_ok(localizer_create(model, &plain, &localizer, NULL));
    model_set_heatmap_scale(model, 1e-300);
    ck_status(localizer_map(localizer, &view, map, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "scale"));
    for (int i = 0; i < GOLDEN_DIM; i++)
        model->deviation[i] = 1e-45f;
    ck_status(localizer_map(localizer, &view, map, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "overflow"));
    localizer_free(localizer);
    model_unref(model);
}
END_TEST

/* All hidden units closed: the flow passes nothing on of what comes in, and its limit hides infinity. */
START_TEST(infinite_features_are_an_error)
{
    dn_model *model = small_model();
    dn_pixels view = image();
    dn_localizer *localizer;
    dn_error error = {0};
    const float *raw;

    for (int i = 0; i < model->extractor->feature_dim; i++) {
        model->mean[i] = 0;
        model->deviation[i] = 1e-45f;
    }
    for (size_t i = 0; i < flow_parameters(4, 2, 8); i++)
        model->flow->owned[i] = -fabsf(model->flow->owned[i]);
    ck_ok(localizer_create(model, &plain, &localizer, NULL));
    ck_status(localizer_raw_map(localizer, &view, &raw, &error), DN_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "features"));
    ck_assert_ptr_null(raw);
    localizer_free(localizer);
    model_unref(model);
}
END_TEST

START_TEST(failing_allocations)
{
    static float map[PIXELS];
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model *model = small_model();
    dn_pixels view = image();
    dn_localizer_options options = plain;
    dn_status status = DN_E_MEMORY;

    options.views = 2;
    options.threads = 2;
    options.allocator = &allocator;
    for (long fail_at = 1; status != DN_OK; fail_at++) {
        dn_localizer *localizer;
        dn_error error = {0};
        memory = (failing_memory){.fail_at = fail_at};
        status = localizer_create(model, &options, &localizer, &error);
        if (status == DN_OK)
            status = localizer_map(localizer, &view, map, &error);
        if (status != DN_OK) {
            ck_assert_int_eq(status, DN_E_MEMORY);
            ck_assert_ptr_nonnull(strstr(error.message, "memory"));
        }
        localizer_free(localizer);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(fail_at, 100);
    }
    ck_assert_int_gt(memory.calls, 9);
    ck_assert_int_eq(atomic_load(&model->references), 1);
    model_unref(model);
}
END_TEST

/* ---- regions ---- */

#define SIDE 24

/* The region of pixel `start` by flood fill; marks its pixels. */
static dn_box flood(const float *map, int width, int height, float threshold, int gap, int start, _Bool *seen)
{
    double sum = 0, sum_x = 0, sum_y = 0;
    static int stack[SIDE * SIDE];
    int depth = 0, x0 = width, y0 = height, x1 = 0, y1 = 0;
    dn_box box = {.peak = 0};

    stack[depth++] = start;
    seen[start] = 1;
    while (depth > 0) {
        int at = stack[--depth], x = at % width, y = at / width;
        x0 = x < x0 ? x : x0;
        x1 = x > x1 ? x : x1;
        y0 = y < y0 ? y : y0;
        y1 = y > y1 ? y : y1;
        box.area++;
        sum += (double)map[at];
        sum_x += x + 0.5;
        sum_y += y + 0.5;
        box.peak = map[at] > box.peak ? map[at] : box.peak;
        for (int ny = y - 1 - gap; ny <= y + 1 + gap; ny++)
            for (int nx = x - 1 - gap; nx <= x + 1 + gap; nx++) {
                int next = ny * width + nx;
                if (nx < 0 || ny < 0 || nx >= width || ny >= height || seen[next] || !(map[next] >= threshold))
                    continue;
                seen[next] = 1;
                stack[depth++] = next;
            }
    }
    box.x = x0;
    box.y = y0;
    box.width = x1 - x0 + 1;
    box.height = y1 - y0 + 1;
    box.mean = (float)(sum / box.area);
    box.centroid_x = (float)(sum_x / box.area);
    box.centroid_y = (float)(sum_y / box.area);
    return box;
}

/* All values differ, so that the order by peak is unique. */
static void check_regions(const float *map, int width, int height, float threshold, int gap, int min_area)
{
    dn_box_options options = {.threshold = threshold, .gap = gap, .min_area = min_area};
    static dn_box found[SIDE * SIDE];
    _Bool seen[SIDE * SIDE] = {0};
    dn_allocator allocator = mem_allocator(NULL);
    int32_t count, expected = 0;

    ck_ok(regions_find(map, width, height, &options, found, SIDE * SIDE, &count, &allocator, NULL));
    for (int i = 1; i < count; i++)
        ck_assert(found[i].peak < found[i - 1].peak);
    for (int at = 0; at < width * height; at++) {
        if (seen[at] || !(map[at] >= threshold))
            continue;
        dn_box box = flood(map, width, height, threshold, gap, at, seen);
        if (box.area < min_area)
            continue;
        int i = 0;
        while (i < count && found[i].peak != box.peak)
            i++;
        ck_assert_int_lt(i, count);
        ck_assert_mem_eq(&found[i], &box, offsetof(dn_box, mean));
        ck_assert_float_eq_tol(found[i].mean, box.mean, 1e-5f * box.mean);
        ck_assert_float_eq_tol(found[i].centroid_x, box.centroid_x, 1e-5f);
        ck_assert_float_eq_tol(found[i].centroid_y, box.centroid_y, 1e-5f);
        expected++;
    }
    ck_assert_int_eq(count, expected);
}

START_TEST(regions_match_flood_fill)
{
    float map[SIDE * SIDE];
    uint32_t state = 1;

    for (int round = 0; round < 60; round++) {
        int width = 1 + round * 7 % SIDE, height = 1 + round * 11 % SIDE;
        for (int i = 0; i < width * height; i++) { /* 0 .. 63, and a fraction that no other pixel has */
            state = state * 1664525u + 1013904223u;
            map[i] = (float)(state >> 26) + (float)i * 0x1p-10f;
        }
        for (float threshold = 4; threshold < 64; threshold += 11) /* at 59 there are gaps */
            for (int gap = 0; gap < 5; gap += 1 + gap)
                check_regions(map, width, height, threshold, gap, 1 + round % 4 * 3);
    }
}
END_TEST

/* A spiral is one region, found although its arms only meet at the end; a NaN belongs to none. */
START_TEST(regions_of_special_maps)
{
    static const char *const picture[] = {
        "#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######",
    };
    float map[49];
    dn_box boxes[25];
    dn_allocator allocator = mem_allocator(NULL);
    int32_t count;

    for (int i = 0; i < 49; i++)
        map[i] = picture[i / 7][i % 7] == '#' ? 2.0f : 0.5f;
    ck_ok(
        regions_find(map, 7, 7, &(dn_box_options){.threshold = 1, .min_area = 1}, boxes, 25, &count, &allocator, NULL));
    ck_assert_int_eq(count, 1);
    ck_assert_mem_eq(&boxes[0], (&(dn_box){0, 0, 7, 7, 2.0f, 31, 2.0f, 3.5f, 3.5f, 0}), offsetof(dn_box, centroid_x));
    for (int i = 0; i < 49; i++) /* every second column: all peaks equal, order by place */
        map[i] = i % 7 % 2 ? (float)NAN : 3.0f;
    ck_ok(
        regions_find(map, 7, 7, &(dn_box_options){.threshold = 1, .min_area = 1}, boxes, 3, &count, &allocator, NULL));
    ck_assert_int_eq(count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_mem_eq(&boxes[i], (&(dn_box){2 * i, 0, 1, 7, 3.0f, 7, 3.0f, 2 * i + 0.5f, 3.5f, 0}), sizeof(dn_box));
    ck_ok(regions_find(map, 7, 7, &(dn_box_options){.threshold = 3.5f, .min_area = 1}, boxes, 3, &count, &allocator,
                       NULL));
    ck_assert_int_eq(count, 0);
    ck_ok(regions_find(map, 7, 7, &(dn_box_options){.threshold = 3, .min_area = 1}, NULL, 0, &count, &allocator, NULL));
    ck_assert_int_eq(count, 0);
}
END_TEST

/* By hand: two bars with two columns between them and a pixel three rows below. */
START_TEST(regions_within_a_gap)
{
    static const char *const picture[6] = {"#..##...", "#..##...", "........", "........", "........", "#......."};
    static const struct {
        int gap, min_area, count, area, width, height;
        float x, y;
    } cases[] = {{0, 1, 3, 4, 2, 2, 4, 1},
                 {1, 1, 3, 4, 2, 2, 4, 1},
                 {2, 1, 2, 6, 5, 2, 17 / 6.0f, 1},
                 {3, 1, 1, 7, 5, 6, 2.5f, 11.5f / 7},
                 {0, 2, 2, 4, 2, 2, 4, 1},
                 {0, 3, 1, 4, 2, 2, 4, 1},
                 {2, 2, 1, 6, 5, 2, 17 / 6.0f, 1},
                 {0, 5, 0, 0, 0, 0, 0, 0},
                 {256, 7, 1, 7, 5, 6, 2.5f, 11.5f / 7}};
    dn_allocator allocator = mem_allocator(NULL);
    float map[48];
    dn_box boxes[4];
    int32_t count;

    for (int i = 0; i < 48; i++)
        map[i] = picture[i / 8][i % 8] == '#' ? 2.0f : 0.5f;
    map[3] = 4; /* the peak, of the second bar */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_box_options options = {.threshold = 2, .gap = cases[i].gap, .min_area = cases[i].min_area};
        ck_ok(regions_find(map, 8, 6, &options, boxes, 4, &count, &allocator, NULL));
        ck_assert_int_eq(count, cases[i].count);
        if (count == 0)
            continue;
        ck_assert(boxes[0].peak == 4 && boxes[0].area == cases[i].area && boxes[0].width == cases[i].width &&
                  boxes[0].height == cases[i].height);
        ck_assert_float_eq_tol(boxes[0].mean, 2 + 2.0f / (float)cases[i].area, 1e-6f);
        ck_assert_float_eq_tol(boxes[0].centroid_x, cases[i].x, 1e-6f);
        ck_assert_float_eq_tol(boxes[0].centroid_y, cases[i].y, 1e-6f);
        ck_assert_int_eq(boxes[0].reserved, 0);
    }
}
END_TEST

START_TEST(regions_failing_allocations)
{
    static float map[40 * 40];
    dn_box boxes[4];
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_status status = DN_E_MEMORY;
    int32_t count;

    for (int i = 0; i < 40 * 40; i++) /* isolated pixels: the components' array grows */
        map[i] = i % 2 == 0 && i / 40 % 2 == 0 ? (float)(i + 2) : 0;
    for (long fail_at = 1; status != DN_OK; fail_at++) {
        memory = (failing_memory){.fail_at = fail_at};
        status = regions_find(map, 40, 40, &(dn_box_options){.threshold = 1, .min_area = 1}, boxes, 4, &count,
                              &allocator, NULL);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && count == 0));
        ck_assert_int_eq(memory.live, 0);
    }
    ck_assert_int_eq(memory.calls, 6);
    ck_assert_int_eq(count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq((double)boxes[i].peak, 38 * 40 + 38 + 2 - 2 * i);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("localize");
    TCase *maps = tcase_create("maps"), *regions = tcase_create("regions");

    tcase_set_timeout(maps, 240);
    tcase_add_test(maps, gradients_match_golden);
    tcase_add_test(maps, map_matches_golden);
    tcase_add_test(maps, same_bits_for_any_threads);
    tcase_add_test(maps, map_of_many_views);
    tcase_add_test(maps, angles_of_views);
    tcase_add_test(maps, map_of_another_size);
    tcase_add_test(maps, overflow_is_an_error);
    tcase_add_test(maps, infinite_features_are_an_error);
    tcase_add_test(maps, failing_allocations);
    suite_add_tcase(suite, maps);
    tcase_set_timeout(regions, 60);
    tcase_add_test(regions, regions_match_flood_fill);
    tcase_add_test(regions, regions_of_special_maps);
    tcase_add_test(regions, regions_within_a_gap);
    tcase_add_test(regions, regions_failing_allocations);
    suite_add_tcase(suite, regions);
    return suite;
}

TEST_MAIN(make_suite)
