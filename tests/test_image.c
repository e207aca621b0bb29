/* Geometry: canvas, views, map rotation, blur, resampling; against PIL, scipy (golden) and naive loops. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "golden.h"
#include "image/canvas.h"
#include "image/heatmap.h"
#include "image/pixels.h"
#include "image/view.h"
#include "support.h"

static const float no_mean[3] = {0, 0, 0}, no_std[3] = {1, 1, 1};

/* Keeps the largest |difference|, NaN included: one assertion per picture instead of one per pixel. */
static void keep_largest(double *largest, double difference)
{
    if (!(fabs(difference) <= *largest))
        *largest = fabs(difference);
}

static dn_allocator heap(void)
{
    return mem_allocator(NULL);
}

/* ---- descriptions of pixels ---- */

START_TEST(check_accepts_and_refuses)
{
    uint8_t pixels[64];
    dn_error error;
    dn_pixels good = {pixels, 2, 3, 0, DN_RGB8, 0}, view = good;

    ck_ok(pixels_check(&view, 1, &error));
    view.stride = 6;
    ck_ok(pixels_check(&view, 2, &error));
    view.stride = -7;
    ck_ok(pixels_check(&view, 2, &error));
    ck_status(pixels_check(&view, 3, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "2 x 3 pixels"));

    const dn_pixels bad[] = {
        {NULL, 2, 3, 0, DN_RGB8, 0},
        {pixels, 0, 3, 0, DN_RGB8, 0},
        {pixels, 2, -1, 0, DN_RGB8, 0},
        {pixels, 2, 3, 5, DN_RGB8, 0},
        {pixels, 2, 3, -5, DN_RGB8, 0},
        {pixels, 2, 3, 0, 0, 0},
        {pixels, 2, 3, 0, 7, 0},
        {pixels, 2, 3, 0, -1, 0},
        {pixels, 2, 3, 0, DN_RGB8, 1},
        {pixels, 2, 3, INT64_MAX, DN_RGB8, 0},
        {pixels, 2, 3, INT64_MIN, DN_RGB8, 0},
        {pixels, INT32_MAX, INT32_MAX, INT64_MAX / 2, DN_RGBA8, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error.message[0] = '\0';
        ck_status(pixels_check(&bad[i], 1, &error), DN_E_ARGUMENT);
        ck_assert_msg(strstr(error.message, "image: ") == error.message, "%s", error.message);
    }
}
END_TEST

START_TEST(layouts_of_all_formats)
{
    const int32_t bytes[] = {1, 2, 3, 3, 4, 4};

    for (int32_t format = DN_GRAY8; format <= DN_BGRA8; format++)
        ck_assert_int_eq(image_bytes_per_pixel(format), bytes[format - 1]);
    ck_assert_int_eq(image_bytes_per_pixel(0), 0);
    ck_assert_int_eq(image_bytes_per_pixel(7), 0);
}
END_TEST

/* ---- canvas ---- */

static uint16_t *stretch(const dn_pixels *image, int32_t size)
{
    dn_allocator allocator = heap();
    dn_error error;
    uint16_t *canvas = malloc((size_t)size * (size_t)size * 3 * sizeof *canvas);

    ck_ok(pixels_check(image, 1, &error));
    ck_ok(canvas_fill(image, size, size, canvas, &allocator, &error));
    return canvas;
}

static const struct {
    const char *name;
    int32_t height, width, size;
} stretches[] = {{"stretch.37x50to64", 37, 50, 64},
                 {"stretch.100x70to32", 100, 70, 32},
                 {"stretch.20x200to48", 20, 200, 48},
                 {"stretch.150x9to33", 150, 9, 33},
                 {"stretch.40x40to40", 40, 40, 40}};

START_TEST(canvas_equals_pil)
{
    st_file *golden = golden_open("image.safetensors");
    char name[64];

    snprintf(name, sizeof name, "%s.picture", stretches[_i].name);
    const uint8_t *picture = golden_tensor(golden, name)->data;
    snprintf(name, sizeof name, "%s.rgb", stretches[_i].name);
    const uint8_t *expected = golden_tensor(golden, name)->data;
    snprintf(name, sizeof name, "%s.green", stretches[_i].name);
    float *green = golden_floats(golden, name, NULL);
    size_t pixels = (size_t)stretches[_i].size * (size_t)stretches[_i].size;

    dn_pixels view = rgb_view(picture, stretches[_i].width, stretches[_i].height);
    uint16_t *canvas = stretch(&view, stretches[_i].size);
    double error = 0, green_error = 0;
    for (size_t i = 0; i < 3 * pixels; i++)
        keep_largest(&error, canvas[i] / 257.0 - expected[i]);
    ck_assert_double_le(error, 1.0);
    /* PIL in floating point: no rounding to 8 bits between the passes. */
    for (size_t i = 0; i < pixels; i++)
        keep_largest(&green_error, canvas[3 * i + 1] - 257.0 * (double)green[i]);
    ck_assert_double_le(green_error, 0.55);
    free(canvas);
    free(green);
    golden_close(golden);
}
END_TEST

/* One picture in every format, right side up and upside down, with padded rows that start at odd addresses. */
START_TEST(canvas_of_all_formats)
{
    enum { WIDTH = 31, HEIGHT = 23, SIZE = 16, PAD = 5 };
    static uint8_t rgb[WIDTH * HEIGHT * 3], buffer[HEIGHT * (WIDTH * 4 + PAD) + 1];
    int32_t format = _i / 2 + 1, bytes = image_bytes_per_pixel(format);
    int64_t stride = WIDTH * bytes + PAD;
    _Bool gray = format == DN_GRAY8 || format == DN_GRAY16, upside_down = _i % 2;

    draw_texture(rgb, WIDTH, HEIGHT, 3);
    memset(buffer, 99, sizeof buffer);
    uint8_t *top = buffer + 1 + (upside_down ? (HEIGHT - 1) * stride : 0);
    dn_pixels view = {top, WIDTH, HEIGHT, upside_down ? -stride : stride, format, 0};
    for (int32_t y = 0; y < HEIGHT; y++)
        for (int32_t x = 0; x < WIDTH; x++) {
            uint8_t *from = rgb + (y * WIDTH + x) * 3, *to = top + y * view.stride + x * bytes;
            uint16_t wide = (uint16_t)(from[0] * 257);
            if (gray)
                from[1] = from[2] = from[0];
            if (format == DN_GRAY16)
                memcpy(to, &wide, 2);
            for (int c = 0; c < 3 && format != DN_GRAY16; c++)
                to[gray ? 0 : image_layout(format)->rgb[c]] = from[c];
        }
    dn_pixels plain = rgb_view(rgb, WIDTH, HEIGHT);
    uint16_t *expected = stretch(&plain, SIZE), *canvas = stretch(&view, SIZE);
    double error = 0;
    for (int i = 0; i < SIZE * SIZE * 3; i++)
        keep_largest(&error, canvas[i] - expected[i]);
    ck_assert_double_le(error, format == DN_GRAY16 ? 1 : 0); /* times 257 before or after the sums: rounding */
    free(expected);
    free(canvas);
}
END_TEST

START_TEST(canvas_of_white_is_white)
{
    enum { SIDE = 203 };
    static uint16_t white[SIDE * SIDE];
    const int32_t sizes[] = {1, 7, 64, 203, 311};

    memset(white, 0xFF, sizeof white);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int32_t format = DN_GRAY8; format <= DN_GRAY16; format++) {
            dn_pixels view = {white, SIDE, SIDE - 60, 0, format, 0};
            uint16_t *canvas = stretch(&view, sizes[s]);
            double error = 0;
            for (int32_t i = 0; i < sizes[s] * sizes[s] * 3; i++)
                keep_largest(&error, 65535 - canvas[i]);
            ck_assert_double_eq(error, 0);
            free(canvas);
        }
}
END_TEST

START_TEST(canvas_keeps_16_bits)
{
    uint16_t pixels[64];

    for (int i = 0; i < 64; i++)
        pixels[i] = (uint16_t)(1000 + i);
    dn_pixels view = {pixels, 8, 8, 0, DN_GRAY16, 0};
    uint16_t *canvas = stretch(&view, 8);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(canvas[3 * i], 1000 + i);
    free(canvas);
}
END_TEST

START_TEST(canvas_of_extreme_shapes)
{
    uint8_t *pixels = malloc(20000 * 3);

    for (int i = 0; i < 60000; i++)
        pixels[i] = (uint8_t)(40 + i / 3 % 2 * 100); /* columns of 40 and 140: mean 90 */
    const int32_t shapes[][2] = {{1, 1}, {20000, 1}, {1, 20000}};
    for (size_t s = 0; s < 3; s++) {
        dn_pixels view = rgb_view(pixels, shapes[s][0], shapes[s][1]);
        uint16_t *canvas = stretch(&view, 32);
        int expected = s == 0 ? 40 * 257 : 90 * 257;
        double error = 0;
        for (int i = 0; i < 32 * 32 * 3; i++)
            keep_largest(&error, canvas[i] - expected);
        ck_assert_double_le(error, 30);
        free(canvas);
    }
    free(pixels);
}
END_TEST

START_TEST(canvas_without_memory)
{
    static uint8_t rgb[40 * 30 * 3];
    static uint16_t canvas[64 * 64 * 3];
    static float map[64 * 64], target[50 * 30];
    dn_pixels view = rgb_view(rgb, 40, 30);
    const int32_t sizes[] = {16, 64};

    for (int s = 0; s < 2; s++) {
        dn_status status = DN_E_MEMORY;
        for (long n = 1; status != DN_OK; n++) {
            failing_memory memory = {.fail_at = n};
            dn_allocator allocator = failing_allocator(&memory);
            dn_error error = {0};
            status = canvas_fill(&view, sizes[s], sizes[s], canvas, &allocator, &error);
            ck_assert_int_eq(memory.live, 0);
            ck_assert_msg(status == DN_OK || (status == DN_E_MEMORY && strstr(error.message, "out of memory")), "%s",
                          error.message);
            ck_assert_int_lt(n, 20);
        }
    }
    failing_memory memory = {.fail_at = 1};
    mem_scratch scratch = {.allocator = failing_allocator(&memory)};
    ck_status(map_resize(map, 64, &(canvas_place){0, 0, 64, 64}, target, 30, 50, &scratch, NULL), DN_E_MEMORY);
    ck_assert_int_eq(memory.live, 0);
    ck_ok(map_resize(map, 64, &(canvas_place){0, 0, 64, 64}, target, 30, 50, &scratch,
                     NULL)); /* the scratch can be used again */
    mem_release(&scratch);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- views ---- */

/* Pixel (x, y) of the canvas is {x + 1, y + 1, 7}. */
static uint16_t *index_canvas(int32_t width, int32_t height)
{
    uint16_t *canvas = malloc((size_t)width * (size_t)height * 3 * sizeof *canvas), *pixel = canvas;

    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++, pixel += 3) {
            pixel[0] = (uint16_t)(x + 1);
            pixel[1] = (uint16_t)(y + 1);
            pixel[2] = 7;
        }
    return canvas;
}

START_TEST(view_samples_the_pixel_pil_samples)
{
    const int32_t sizes[] = {64, 63, 448};
    int32_t size = sizes[_i];
    size_t pixels = (size_t)size * (size_t)size, count;
    st_file *golden = golden_open("image.safetensors");
    double *angles = golden_doubles(golden, "rotate.angles", &count);
    char name[32];

    snprintf(name, sizeof name, "rotate.%d", (int)size);
    int64_t *crcs = golden_integers(golden, name, NULL);
    uint16_t *canvas = index_canvas(size, size);
    float *view = malloc(pixels * 3 * sizeof *view);
    int32_t *index = malloc(pixels * sizeof *index);
    for (size_t a = 0; a < count; a++) {
        view_render(canvas, size, size, angles[a], NULL, no_mean, no_std, view);
        for (size_t i = 0; i < pixels; i++) {
            int32_t x = (int32_t)lroundf(view[3 * i] * 65535), y = (int32_t)lroundf(view[3 * i + 1] * 65535);
            index[i] = x == 0 ? 0 : (y - 1) * size + x;
            if (lroundf(view[3 * i + 2] * 65535) != (x == 0 ? 0 : 7))
                index[i] = -1;
        }
        ck_assert_msg(crc32(0, (const Bytef *)index, (uInt)(pixels * sizeof *index)) == (uLong)crcs[a],
                      "size %d, angle %.9g: other pixels than PIL's", (int)size, angles[a]);
    }
    free(index);
    free(view);
    free(canvas);
    free(crcs);
    free(angles);
    golden_close(golden);
}
END_TEST

/* Where pixel (x, y) of a view or map that was rotated comes from, in coordinates whose pixel centres are at
 * half-integers: by the textbook. */
static void source_naive(int width, int height, double angle, int x, int y, double *source_x, double *source_y)
{
    double radians = -angle * acos(-1.0) / 180, dx = x + 0.5 - width / 2.0, dy = y + 0.5 - height / 2.0;

    *source_x = cos(radians) * dx + sin(radians) * dy + width / 2.0;
    *source_y = -sin(radians) * dx + cos(radians) * dy + height / 2.0;
}

/* How far a coordinate is from the border between two pixels. */
static double from_border(double at)
{
    return fabs(at - floor(at + 0.5));
}

/* A view that is not square is turned about its centre: what it sees is the nearest pixel, or nothing.  Where the
 * sample falls on a border between two, rounding decides. */
START_TEST(oblong_view_samples_the_nearest_pixel)
{
    static const int32_t sizes[][2] = {{96, 64}, {64, 96}, {640, 448}, {63, 20}};
    static const double angles[] = {0, 90, 180, 270, 33.3, -137.3, 271, 59};
    int32_t width = sizes[_i][0], height = sizes[_i][1];
    uint16_t *canvas = index_canvas(width, height);
    float *view = malloc((size_t)width * (size_t)height * 3 * sizeof *view);

    for (size_t a = 0; a < sizeof angles / sizeof *angles; a++) {
        int compared = 0, seen = 0, wrong = 0;
        view_render(canvas, width, height, angles[a], NULL, no_mean, no_std, view);
        const float *pixel = view;
        for (int32_t y = 0; y < height; y++)
            for (int32_t x = 0; x < width; x++, pixel += 3) {
                double sx, sy;
                source_naive(width, height, angles[a], x, y, &sx, &sy);
                if (from_border(sx) < 0.01 || from_border(sy) < 0.01)
                    continue;
                _Bool inside = sx >= 0 && sx < width && sy >= 0 && sy < height;
                wrong += lroundf(pixel[0] * 65535) != (inside ? (long)floor(sx) + 1 : 0) ||
                         lroundf(pixel[1] * 65535) != (inside ? (long)floor(sy) + 1 : 0) ||
                         lroundf(pixel[2] * 65535) != (inside ? 7 : 0);
                compared++;
                seen += inside;
            }
        ck_assert_int_eq(wrong, 0);
        if (width % 2 == 0 || fmod(angles[a], 90) != 0)
            ck_assert_int_gt(compared, width * height * 9 / 10);
        if (angles[a] == 90 && width % 2 == 0) { /* the rest is cut off, and as much black is beside it */
            int32_t side = width < height ? width : height;
            ck_assert_int_eq(seen, side * side);
        }
    }
    free(canvas);
    free(view);
}
END_TEST

START_TEST(view_is_normalised)
{
    enum { SIZE = 10 };
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    uint16_t canvas[SIZE * SIZE * 3];
    float view[SIZE * SIZE * 3];

    for (int i = 0; i < SIZE * SIZE * 3; i++)
        canvas[i] = (uint16_t)(i * 217);
    view_render(canvas, SIZE, SIZE, 0, NULL, mean, std, view);
    double error = 0;
    for (int i = 0; i < SIZE * SIZE * 3; i++)
        keep_largest(&error, (double)view[i] - (canvas[i] / 65535.0 - (double)mean[i % 3]) / (double)std[i % 3]);
    ck_assert_double_le(error, 1e-6);
    view_render(canvas, SIZE, SIZE, 45, NULL, mean, std, view);
    for (int c = 0; c < 3; c++) /* a black corner */
        ck_assert_double_le(fabs((double)view[c] + (double)mean[c] / (double)std[c]), 1e-6);
}
END_TEST

static double unit(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static double gray(const double *rgb)
{
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

/* torchvision's adjust_brightness, adjust_contrast, adjust_saturation, one after the other, in double. */
static void jitter_naive(double *rgb, int pixels, const view_jitter *j)
{
    double mean = 0;

    for (int i = 0; i < 3 * pixels; i++)
        rgb[i] = unit(rgb[i] * (double)j->brightness);
    for (int i = 0; i < pixels; i++)
        mean += gray(rgb + 3 * i) / pixels;
    for (int i = 0; i < 3 * pixels; i++)
        rgb[i] = unit((double)j->contrast * rgb[i] + (1 - (double)j->contrast) * mean);
    for (int i = 0; i < pixels; i++) {
        double own = gray(rgb + 3 * i);
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = unit((double)j->saturation * rgb[3 * i + c] + (1 - (double)j->saturation) * own);
    }
}

START_TEST(jitter_equals_naive)
{
    enum { SIZE = 40 };
    static const view_jitter jitters[] = {{1, 1, 1}, {1.4f, 1, 1},       {1, 0.3f, 1}, {1, 1.9f, 1},
                                          {1, 1, 0}, {0.7f, 1.5f, 1.8f}, {0, 1, 1},    {2, 2, 2}};
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    static uint8_t rgb[SIZE * SIZE * 3];
    static float plain[SIZE * SIZE * 3], view[SIZE * SIZE * 3];
    static double expected[SIZE * SIZE * 3];

    draw_texture(rgb, SIZE, SIZE, 8);
    dn_pixels image = rgb_view(rgb, SIZE, SIZE);
    uint16_t *canvas = stretch(&image, SIZE);
    view_render(canvas, SIZE, SIZE, 20, NULL, no_mean, no_std, plain); /* with its black corners */
    for (int i = 0; i < SIZE * SIZE * 3; i++)
        expected[i] = (double)plain[i];
    jitter_naive(expected, SIZE * SIZE, &jitters[_i]);
    view_render(canvas, SIZE, SIZE, 20, &jitters[_i], mean, std, view);
    double error = 0;
    for (int i = 0; i < SIZE * SIZE * 3; i++)
        keep_largest(&error, (double)view[i] - (expected[i] - (double)mean[i % 3]) / (double)std[i % 3]);
    ck_assert_double_le(error, 1e-5);
    free(canvas);
}
END_TEST

/* ---- maps ---- */

/* Bilinear rotation by the textbook, in double. */
static double rotated_naive(const float *map, int width, int height, int channels, double angle, int x, int y, int c)
{
    double sx, sy, value = 0;

    source_naive(width, height, angle, x, y, &sx, &sy);
    sx -= 0.5;
    sy -= 0.5;
    for (int py = (int)floor(sy); py <= (int)floor(sy) + 1; py++)
        for (int px = (int)floor(sx); px <= (int)floor(sx) + 1; px++)
            if (px >= 0 && px < width && py >= 0 && py < height)
                value += (1 - fabs(sx - px)) * (1 - fabs(sy - py)) * (double)map[(py * width + px) * channels + c];
    return value;
}

static float *random_map(size_t n, uint32_t seed)
{
    float *map = malloc(n * sizeof *map);

    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        map[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    return map;
}

START_TEST(map_rotation_equals_naive)
{
    static const struct {
        int width, height, channels;
        double angle;
    } cases[] = {{1, 1, 3, 30},     {2, 2, 1, 45},       {17, 17, 1, 0},   {17, 17, 3, 90},   {16, 16, 3, 180},
                 {33, 33, 3, 33.3}, {32, 32, 2, -137.3}, {48, 48, 1, 271}, {31, 31, 3, 1e-7}, {24, 24, 3, 719},
                 {40, 24, 3, 90},   {24, 40, 3, 123},    {48, 7, 1, 61},   {64, 32, 3, 180}};
    int width = cases[_i].width, height = cases[_i].height, channels = cases[_i].channels;
    size_t n = (size_t)(width * height * channels);
    float *map = random_map(n, 5), *target = malloc(n * sizeof *target);

    double error = 0;
    map_rotate(map, width, height, channels, cases[_i].angle, target);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                keep_largest(&error, (double)target[(y * width + x) * channels + c] -
                                         rotated_naive(map, width, height, channels, cases[_i].angle, x, y, c));
    ck_assert_double_le(error, 2e-6);
    free(map);
    free(target);
}
END_TEST

START_TEST(map_rotation_undoes_the_views)
{
    enum { SIZE = 64 };
    static float map[SIZE * SIZE * 3], view[SIZE * SIZE * 3], back[SIZE * SIZE * 3];
    static uint16_t canvas[SIZE * SIZE * 3];

    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            for (int c = 0; c < 3; c++) {
                double value = 0.5 + 0.2 * sin(0.11 * x) + 0.2 * cos(0.09 * y + c);
                canvas[(y * SIZE + x) * 3 + c] = (uint16_t)(65535 * value);
                map[(y * SIZE + x) * 3 + c] = (float)value;
            }
    const double angles[] = {25, -70, 90, 200};
    for (int a = 0; a < 4; a++) {
        view_render(canvas, SIZE, SIZE, angles[a], NULL, no_mean, no_std, view);
        map_rotate(view, SIZE, SIZE, 3, -angles[a], back);
        double error = 0;
        for (int y = 20; y < 44; y++)
            for (int x = 20; x < 44; x++)
                keep_largest(&error, (double)(back[(y * SIZE + x) * 3] - map[(y * SIZE + x) * 3]));
        ck_assert_double_le(error, 0.02);
    }
    map_rotate(map, SIZE, SIZE, 3, 90, view); /* quarter turns are exact */
    map_rotate(view, SIZE, SIZE, 3, 270, back);
    ck_assert_mem_eq(map, back, sizeof map);
}
END_TEST

START_TEST(blur_equals_scipy)
{
    static const struct {
        const char *name;
        double sigma;
    } cases[] = {{"blur.0.7", 0.7}, {"blur.3", 3}, {"blur.11", 11}};
    st_file *golden = golden_open("image.safetensors");
    size_t n;
    float *map = golden_floats(golden, "blur.source", &n), *expected = golden_floats(golden, cases[_i].name, NULL);
    float *scratch = malloc(n * sizeof *scratch);

    map_blur(map, 19, 37, 3, cases[_i].sigma, scratch);
    ck_assert_double_le(max_abs_difference(map, expected, n), 1e-6);
    free(scratch);
    free(map);
    free(expected);
    golden_close(golden);
}
END_TEST

START_TEST(blur_of_odd_shapes)
{
    static const int shapes[][3] = {{1, 1, 1}, {1, 50, 1}, {50, 1, 3}, {3, 200, 1}, {90, 5, 2}};
    static const double sigmas[] = {0, 1e-200, 0.05, 1, 64}; /* the square of 1e-200 is 0 */

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t k = 0; k < sizeof sigmas / sizeof *sigmas; k++) {
            size_t n = (size_t)(shapes[s][0] * shapes[s][1] * shapes[s][2]);
            float *map = random_map(n, 9), *kept = random_map(n, 9), *scratch = malloc(n * sizeof *scratch);
            double before = 0, after = 0;
            map_blur(map, shapes[s][0], shapes[s][1], shapes[s][2], sigmas[k], scratch);
            if (sigmas[k] < 0.1)
                ck_assert_mem_eq(map, kept, n * sizeof *map);
            for (size_t i = 0; i < n; i++) {
                before += (double)kept[i];
                after += (double)map[i];
            }
            ck_assert_double_le(fabs(before - after), 1e-4); /* mirrored borders keep the sum */
            free(scratch);
            free(kept);
            free(map);
        }
}
END_TEST

START_TEST(map_resize_equals_pil)
{
    static const int shapes[][2] = {{57, 45}, {13, 20}, {10, 70}, {70, 10}};
    int height = shapes[_i][0], width = shapes[_i][1];
    st_file *golden = golden_open("image.safetensors");
    mem_scratch scratch = {.allocator = heap()};
    dn_error error;
    char name[32];

    snprintf(name, sizeof name, "map.%dx%d", height, width);
    float *source = golden_floats(golden, "map.source", NULL), *expected = golden_floats(golden, name, NULL);
    float *target = malloc((size_t)(height * width) * sizeof *target);
    ck_ok(map_resize(source, 32, &(canvas_place){0, 0, 32, 32}, target, height, width, &scratch, &error));
    ck_assert_double_le(max_abs_difference(target, expected, (size_t)(height * width)), 1e-6);
    mem_release(&scratch);
    free(target);
    free(source);
    free(expected);
    golden_close(golden);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("image");
    TCase *cases = tcase_create("image");

    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, check_accepts_and_refuses);
    tcase_add_test(cases, layouts_of_all_formats);
    tcase_add_loop_test(cases, canvas_equals_pil, 0, 5);
    tcase_add_loop_test(cases, canvas_of_all_formats, 0, 12);
    tcase_add_test(cases, canvas_of_white_is_white);
    tcase_add_test(cases, canvas_keeps_16_bits);
    tcase_add_test(cases, canvas_of_extreme_shapes);
    tcase_add_test(cases, canvas_without_memory);
    tcase_add_loop_test(cases, view_samples_the_pixel_pil_samples, 0, 3);
    tcase_add_loop_test(cases, oblong_view_samples_the_nearest_pixel, 0, 4);
    tcase_add_test(cases, view_is_normalised);
    tcase_add_loop_test(cases, jitter_equals_naive, 0, 8);
    tcase_add_loop_test(cases, map_rotation_equals_naive, 0, 14);
    tcase_add_test(cases, map_rotation_undoes_the_views);
    tcase_add_loop_test(cases, blur_equals_scipy, 0, 3);
    tcase_add_test(cases, blur_of_odd_shapes);
    tcase_add_loop_test(cases, map_resize_equals_pil, 0, 4);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
