/* The dn_image functions through the shared library. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

static const char *image_path(const char *name)
{
    char inner[64];

    snprintf(inner, sizeof inner, "images/%s", name);
    return golden_path(inner);
}

START_TEST(options_have_the_documented_defaults)
{
    dn_image_options options;

    memset(&options, 0xAA, sizeof options);
    dn_image_options_init(&options);
    ck_assert_uint_eq(options.struct_size, sizeof options);
    ck_assert_uint_eq(options.reserved, 0);
    ck_assert_int_eq(options.max_pixels, (int64_t)64 << 20);
    ck_assert_int_eq(options.max_bytes, (int64_t)1 << 30);
    ck_assert_ptr_null(options.allocator);
    ck_assert_int_eq(options.max_memory, 0);
}
END_TEST

START_TEST(bad_options_are_refused)
{
    const char *path = image_path("rgb8.png");
    dn_allocator empty = {0};
    dn_image *image = NULL;

    for (int i = 0; i < 7; i++) {
        dn_error error = {0};
        dn_image_options options;
        dn_image_options_init(&options);
        options.struct_size = i == 0 ? 0 : options.struct_size;
        options.reserved = i == 1;
        options.max_pixels = i == 2 ? 0 : i == 3 ? -5 : options.max_pixels;
        options.max_bytes = i == 4 ? 0 : options.max_bytes;
        options.allocator = i == 5 ? &empty : NULL;
        options.max_memory = i == 6 ? -1 : 0;
        ck_status(dn_image_open_path(path, &options, &image, &error), DN_E_ARGUMENT);
        ck_assert_ptr_null(image);
        ck_assert_msg(strstr(error.message, "dn_image_options") != NULL, "%s", error.message);
    }
}
END_TEST

START_TEST(longer_options_need_a_zero_tail)
{
    struct {
        dn_image_options options;
        uint64_t unknown;
    } longer;
    dn_image *image;

    dn_image_options_init_size(&longer.options, sizeof longer);
    ck_ok(dn_image_open_path(image_path("rgb8.png"), &longer.options, &image, NULL));
    dn_image_free(image);
    longer.unknown = 1;
    ck_status(dn_image_open_path(image_path("rgb8.png"), &longer.options, &image, NULL), DN_E_ARGUMENT);
}
END_TEST

START_TEST(null_arguments)
{
    uint8_t pixel[3] = {0};
    float map = 0;
    dn_pixels view = rgb_view(pixel, 1, 1);
    dn_image *image = (dn_image *)pixel;
    dn_blob *blob = (dn_blob *)pixel;
    dn_error error = {0};

    ck_status(dn_image_open_path(NULL, NULL, &image, &error), DN_E_ARGUMENT);
    ck_assert_str_eq(error.message, "dn_image_open_path: path is NULL");
    ck_assert_ptr_null(image);
    ck_status(dn_image_open_path("x", NULL, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_open_memory(NULL, 1, NULL, &image, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_open_memory(NULL, 0, NULL, &image, &error), DN_E_FORMAT);
    ck_assert_str_eq(error.message, "image in memory: the file is empty");
    ck_status(dn_image_open_memory(pixel, 1, NULL, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_encode_png(NULL, &blob, NULL), DN_E_ARGUMENT);
    ck_assert_ptr_null(blob);
    ck_status(dn_image_encode_png(&view, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_write_png(NULL, "x", NULL), DN_E_ARGUMENT);
    ck_status(dn_image_write_png(&view, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_overlay(NULL, &map, 0, pixel, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_overlay(&view, NULL, 0, pixel, NULL), DN_E_ARGUMENT);
    ck_status(dn_image_overlay(&view, &map, 0, NULL, NULL), DN_E_ARGUMENT);
    dn_image_free(NULL);
    dn_image_pixels(NULL, &view);
    ck_assert_ptr_null(view.pixels);
    dn_image_pixels(NULL, NULL);
}
END_TEST

START_TEST(bad_views_are_refused)
{
    uint8_t pixels[12] = {0}, rgb[12];
    const float map[4] = {0};
    const dn_pixels bad[] = {{NULL, 2, 2, 0, DN_RGB8, 0},
                             {pixels, 0, 2, 0, DN_RGB8, 0},
                             {pixels, 2, 2, 5, DN_RGB8, 0},
                             {pixels, 2, 2, 0, 9, 0},
                             {pixels, 2, 2, 0, DN_RGB8, 3}};
    const char *folder = test_folder();
    dn_blob *blob;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_status(dn_image_encode_png(&bad[i], &blob, NULL), DN_E_ARGUMENT);
        ck_status(dn_image_write_png(&bad[i], path_join(folder, "x.png"), NULL), DN_E_ARGUMENT);
        ck_status(dn_image_overlay(&bad[i], map, 0, rgb, NULL), DN_E_ARGUMENT);
    }
    ck_assert_int_eq(count_files(folder), 0);
}
END_TEST

START_TEST(opens_by_path_and_from_memory)
{
    static const char *const names[] = {"rgb8.png", "gray16_interlaced.png", "gray.jpg", "exif_6.jpg"};
    static const int32_t formats[] = {DN_RGB8, DN_GRAY16, DN_GRAY8, DN_RGB8}, widths[] = {26, 26, 37, 24};

    for (int i = 0; i < 4; i++) {
        size_t size;
        uint8_t *bytes = read_file(image_path(names[i]), &size);
        dn_image *by_path, *from_memory;
        dn_pixels a, b;
        ck_ok(dn_image_open_path(image_path(names[i]), NULL, &by_path, NULL));
        ck_ok(dn_image_open_memory(bytes, size, NULL, &from_memory, NULL));
        memset(bytes, 0, size); /* the bytes are not kept */
        dn_image_pixels(by_path, &a);
        dn_image_pixels(from_memory, &b);
        ck_assert_int_eq(a.format, formats[i]);
        ck_assert_int_eq(a.width, widths[i]);
        size_t pixel = a.format == DN_RGB8 ? 3 : a.format == DN_GRAY16 ? 2 : 1;
        ck_assert(a.width == b.width && a.height == b.height && a.format == b.format && !a.stride && !a.reserved);
        ck_assert_mem_eq(a.pixels, b.pixels, (size_t)a.width * (size_t)a.height * pixel);
        dn_image_free(by_path);
        dn_image_free(from_memory);
        free(bytes);
    }
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
    const char *folder = test_folder();
    dn_error error = {0};
    dn_image *image;

    ck_status(dn_image_open_path(path_join(folder, "none.png"), NULL, &image, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "none.png: cannot open"));
    ck_status(dn_image_open_path(folder, NULL, &image, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "not a regular file"));
    write_file(path_join(folder, "empty.png"), "", 0);
    ck_status(dn_image_open_path(path_join(folder, "empty.png"), NULL, &image, &error), DN_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "empty.png: the file is empty"));
    write_file(path_join(folder, "text.png"), "hello", 5);
    ck_status(dn_image_open_path(path_join(folder, "text.png"), NULL, &image, &error), DN_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "text.png: not a PNG, JPEG, "));
    ck_assert_int_eq(mkfifo(path_join(folder, "pipe.png"), 0600), 0);
    ck_status(dn_image_open_path(path_join(folder, "pipe.png"), NULL, &image, &error), DN_E_IO);
    uint8_t pixel[3] = {0};
    dn_pixels view = rgb_view(pixel, 1, 1);
    ck_status(dn_image_write_png(&view, path_join(folder, "none/x.png"), &error), DN_E_IO);
    ck_status(dn_image_write_png(&view, folder, &error), DN_E_IO);
}
END_TEST

START_TEST(limits_of_the_options)
{
    size_t size;
    uint8_t *bytes = read_file(image_path("rgb8.png"), &size);
    dn_image_options options;
    dn_error error = {0};
    dn_image *image;

    dn_image_options_init(&options);
    options.max_pixels = 26 * 21 - 1;
    ck_status(dn_image_open_path(image_path("rgb8.png"), &options, &image, &error), DN_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.message, "26 x 21 pixels"));
    options.max_pixels++;
    options.max_bytes = (int64_t)size - 1;
    ck_status(dn_image_open_path(image_path("rgb8.png"), &options, &image, &error), DN_E_LIMIT);
    ck_status(dn_image_open_memory(bytes, size, &options, &image, &error), DN_E_LIMIT);
    options.max_bytes++;
    options.max_memory = 26 * 21 * 3 - 1;
    ck_status(dn_image_open_path(image_path("rgb8.png"), &options, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "max_memory");
    ck_status(dn_image_open_memory(bytes, size, &options, &image, &error), DN_E_LIMIT);
    options.max_memory = 0; /* the default follows max_pixels */
    ck_ok(dn_image_open_path(image_path("rgb8.png"), &options, &image, &error));
    dn_image_free(image);
    ck_ok(dn_image_open_memory(bytes, size, &options, &image, &error));
    dn_image_free(image);
    free(bytes);
}
END_TEST

START_TEST(endings_of_file_names)
{
    int32_t found = 0, count = 0;

    for (const char *ending; (ending = dn_image_ending(count)); count++)
        found += !strcmp(ending, ".png") || !strcmp(ending, ".jpg") || !strcmp(ending, ".bmp") ||
                 !strcmp(ending, ".pgm");
    ck_assert_int_eq(found, 4);
    ck_assert_ptr_null(dn_image_ending(-1));
    ck_assert_ptr_null(dn_image_ending(count));
}
END_TEST

START_TEST(allocator_of_the_options)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_image_options options;
    dn_image *image;

    dn_image_options_init(&options);
    options.allocator = &allocator;
    ck_ok(dn_image_open_path(image_path("rgb8.png"), &options, &image, NULL));
    allocator = (dn_allocator){0}; /* it was copied */
    ck_assert_int_eq(memory.live, 2);
    dn_image_free(image);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(names_of_any_bytes)
{
    static const char *const names[] = {"with space.png", "größe 图像.png", "\xFF\xFE latin.png", "-n.png",
                                        "a%s%n.png"};
    static uint8_t rgb[9 * 8 * 3];
    const char *folder = test_folder();

    draw_texture(rgb, 9, 8, 2);
    dn_pixels view = rgb_view(rgb, 9, 8), read;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dn_error error = {0};
        dn_image *image;
        const char *path = path_join(folder, names[i]);
        dn_status status = dn_image_write_png(&view, path, &error);
        if (status == DN_E_IO && names[i][0] == '\xFF')
            continue; /* a file system that takes UTF-8 only */
        ck_assert_msg(status == DN_OK, "%s", error.message);
        ck_ok(dn_image_write_png(&view, path, &error)); /* replaces */
        ck_ok(dn_image_open_path(path, NULL, &image, &error));
        dn_image_pixels(image, &read);
        ck_assert_mem_eq(read.pixels, rgb, sizeof rgb);
        dn_image_free(image);
        write_file(path, "bad", 3);
        ck_status(dn_image_open_path(path, NULL, &image, &error), DN_E_FORMAT);
        ck_assert_msg(strstr(error.message, names[i]) != NULL, "%s", error.message);
    }
}
END_TEST

START_TEST(encoding_equals_writing)
{
    static uint8_t rgb[50 * 40 * 3];
    const char *path = path_join(test_folder(), "a.png");
    dn_blob *blob;
    size_t size;

    draw_texture(rgb, 50, 40, 1);
    dn_pixels view = rgb_view(rgb, 50, 40);
    ck_ok(dn_image_encode_png(&view, &blob, NULL));
    ck_ok(dn_image_write_png(&view, path, NULL));
    uint8_t *bytes = read_file(path, &size);
    ck_assert_uint_eq(size, dn_blob_size(blob));
    ck_assert_mem_eq(bytes, dn_blob_data(blob), size);
    free(bytes);
    dn_blob_free(blob);
}
END_TEST

START_TEST(overlay_colours_only_what_exceeds_1)
{
    enum { W = 6, H = 2 };
    const float map[W * H] = {0, 1, 1.0001f, 2, 4, 1e30f, -3, 0.5f, 1, 3, 8, 4};
    uint8_t image[W * H * 3], rgb[W * H * 3], hotter[W * H * 3];

    for (int i = 0; i < W * H * 3; i++)
        image[i] = (uint8_t)(i * 7);
    dn_pixels view = rgb_view(image, W, H);
    ck_ok(dn_image_overlay(&view, map, 0, rgb, NULL));
    for (int i = 0; i < W * H; i++) {
        _Bool same = !memcmp(rgb + 3 * i, image + 3 * i, 3);
        ck_assert_msg(same == (map[i] <= 1), "pixel %d", i);
    }
    /* `full` = 4 by default; beyond it the colour stays: a quarter of the image, three quarters of a yellow. */
    for (int c = 0; c < 3; c++) {
        ck_assert_int_le(abs((rgb[12 + c] - image[12 + c] / 4) - (rgb[15 + c] - image[15 + c] / 4)), 1);
        ck_assert_int_le(abs((rgb[12 + c] - image[12 + c] / 4) - (rgb[30 + c] - image[30 + c] / 4)), 1);
    }
    ck_assert_int_gt(rgb[12] - image[12] / 4, 150); /* red and green make yellow */
    ck_assert_int_gt(rgb[13] - image[13] / 4, 130);
    ck_assert_int_lt(rgb[14] - image[14] / 4, 90);
    ck_ok(dn_image_overlay(&view, map, DN_OVERLAY_FULL, hotter, NULL));
    ck_assert_mem_eq(hotter, rgb, sizeof rgb);
    ck_ok(dn_image_overlay(&view, map, 8, hotter, NULL));
    ck_assert_mem_ne(hotter + 12, rgb + 12, 3);
}
END_TEST

/* A map of zeros shows the image as it is, from every format. */
START_TEST(overlay_keeps_the_image)
{
    enum { W = 7, H = 5, PAD = 9 };
    int32_t format = _i + 1;
    static const int bytes[] = {1, 2, 3, 3, 4, 4}, red[] = {0, 0, 0, 2, 0, 2};
    const float map[W * H] = {0};
    uint8_t buffer[H * (W * 4 + PAD)], rgb[W * H * 3];
    int stride = W * bytes[_i] + PAD;

    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (uint8_t)(i * 37);
    dn_pixels view = {buffer + (H - 1) * stride, W, H, -stride, format, 0};
    ck_ok(dn_image_overlay(&view, map, 0, rgb, NULL));
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const uint8_t *pixel = buffer + (H - 1 - y) * stride + x * bytes[_i], *shown = rgb + (y * W + x) * 3;
            if (format == DN_GRAY16) {
                uint16_t wide;
                memcpy(&wide, pixel, 2);
                ck_assert_int_eq(shown[0], (int)lround(wide / 257.0));
            } else {
                ck_assert_int_eq(shown[0], pixel[red[_i]]);
                ck_assert_int_eq(shown[1], pixel[format == DN_GRAY8 ? 0 : 1]);
                ck_assert_int_eq(shown[2], pixel[format == DN_GRAY8 ? 0 : 2 - red[_i]]);
            }
        }
}
END_TEST

START_TEST(overlay_refuses_what_is_no_number)
{
    uint8_t image[12] = {0}, rgb[12] = {0}, untouched[12] = {0};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    dn_pixels view = rgb_view(image, 2, 2);
    dn_error error = {0};

    for (int i = 0; i < 3; i++) {
        float map[4] = {2, 2, 2, bad[i]};
        ck_status(dn_image_overlay(&view, map, 0, rgb, &error), DN_E_NUMERIC);
        ck_assert_ptr_nonnull(strstr(error.message, "x = 1, y = 1"));
        ck_assert_mem_eq(rgb, untouched, sizeof rgb);
        map[3] = 0;
        ck_status(dn_image_overlay(&view, map, bad[i], rgb, &error), DN_E_ARGUMENT);
    }
    const float fulls[] = {1, 0.5f, 1e-30f};
    for (int i = 0; i < 3; i++) {
        const float map[4] = {0};
        ck_status(dn_image_overlay(&view, map, fulls[i], rgb, &error), DN_E_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.message, "full"));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_image");
    TCase *cases = tcase_create("api_image");

    tcase_add_test(cases, options_have_the_documented_defaults);
    tcase_add_test(cases, bad_options_are_refused);
    tcase_add_test(cases, longer_options_need_a_zero_tail);
    tcase_add_test(cases, null_arguments);
    tcase_add_test(cases, bad_views_are_refused);
    tcase_add_test(cases, opens_by_path_and_from_memory);
    tcase_add_test(cases, files_that_cannot_be_read);
    tcase_add_test(cases, limits_of_the_options);
    tcase_add_test(cases, endings_of_file_names);
    tcase_add_test(cases, allocator_of_the_options);
    tcase_add_test(cases, names_of_any_bytes);
    tcase_add_test(cases, encoding_equals_writing);
    tcase_add_test(cases, overlay_colours_only_what_exceeds_1);
    tcase_add_loop_test(cases, overlay_keeps_the_image, 0, 6);
    tcase_add_test(cases, overlay_refuses_what_is_no_number);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
