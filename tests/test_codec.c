/* PNG and JPEG: every kind against PIL's pixels, and files that are cut, damaged, too large or hostile. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "decoding.h"
#include "failing_files.h"
#include "golden.h"
#include "image/colormap.h"
#include "image/orient.h"
#include "image/pixels.h"

static const char *const pngs[] = {"gray1.png",
                                   "gray1_interlaced.png",
                                   "gray2.png",
                                   "gray2_interlaced.png",
                                   "gray4.png",
                                   "gray4_interlaced.png",
                                   "gray8.png",
                                   "gray8_interlaced.png",
                                   "gray8_alpha.png",
                                   "gray8_transparent.png",
                                   "gray16.png",
                                   "gray16_interlaced.png",
                                   "gray16_alpha.png",
                                   "palette1.png",
                                   "palette1_interlaced.png",
                                   "palette2.png",
                                   "palette2_interlaced.png",
                                   "palette4.png",
                                   "palette4_interlaced.png",
                                   "palette8.png",
                                   "palette8_interlaced.png",
                                   "rgb8.png",
                                   "rgb8_interlaced.png",
                                   "rgb8_alpha.png",
                                   "rgb8_transparent.png",
                                   "rgb8_chunks.png",
                                   "rgb16.png",
                                   "rgb16_alpha_interlaced.png",
                                   "one_pixel.png"};
static const char *const jpegs[] = {
    "rgb.jpg",      "rgb_420.jpg", "rgb_progressive.jpg", "gray.jpg",   "gray_progressive.jpg",
    "scans_64.jpg", "exif_1.jpg",  "exif_2.jpg",          "exif_3.jpg", "exif_4.jpg",
    "exif_5.jpg",   "exif_6.jpg",  "exif_7.jpg",          "exif_8.jpg"};
enum { PNGS = sizeof pngs / sizeof *pngs, JPEGS = sizeof jpegs / sizeof *jpegs, ALL = PNGS + JPEGS };

static const char *name_of(int i)
{
    return i < PNGS ? pngs[i] : jpegs[i - PNGS];
}

static const char *image_path(const char *name)
{
    char inner[64];

    snprintf(inner, sizeof inner, "images/%s", name);
    return golden_path(inner);
}

/* ---- good files ---- */

START_TEST(decodes_as_pil_does)
{
    const char *name = name_of(_i);
    st_file *golden = golden_open("codec.safetensors");
    const st_tensor *tensor = golden_tensor(golden, name);
    int64_t *expected = golden_integers(golden, name, NULL), worst = 0;
    dn_error error = {0};
    dn_image *image;

    ck_assert_msg(image_open(image_path(name), NULL, 0, &image, &error) == DN_OK, "%s", error.message);
    ck_assert_int_eq(image->height, tensor->shape[0]);
    ck_assert_int_eq(image->width, tensor->shape[1]);
    int32_t format = tensor->rank == 3 ? DN_RGB8 : tensor->type == ST_I32 ? DN_GRAY16 : DN_GRAY8;
    ck_assert_int_eq(image->format, format);
    for (size_t i = 0; i < (size_t)tensor->elements; i++)
        if (llabs(sample(image, i) - expected[i]) > worst)
            worst = llabs(sample(image, i) - expected[i]);
    ck_assert_int_le(worst, _i < PNGS ? 0 : 2); /* JPEG decoders may round differently */
    image_free(image);
    free(expected);
    golden_close(golden);
}
END_TEST

START_TEST(orientation_of_exif)
{
    /* little-endian, two entries, orientation 6 in the second */
    static const uint8_t little[] = {'E', 'x', 'i', 'f', 0,   0, 'I', 'I', 42,   0, 8, 0, 0, 0, 2, 0, 0x0F, 1, 2, 0,
                                     2,   0,   0,   0,   'a', 0, 0,   0,   0x12, 1, 3, 0, 1, 0, 0, 0, 6,    0, 0, 0};
    uint8_t changed[sizeof little];

    ck_assert_int_eq(exif_orientation(little, sizeof little), 6);
    for (size_t size = 0; size < sizeof little - 2; size++) {
        uint8_t *exact = malloc(size + 1); /* so that the sanitizer sees a read past the end */
        memcpy(exact, little, size);
        ck_assert_int_eq(exif_orientation(exact, size), 1);
        free(exact);
    }
    static const struct {
        uint8_t position, value;
        int32_t expected;
    } changes[] = {{36, 1, 1},   {36, 8, 8},   {36, 0, 1},   {36, 9, 1},   {37, 1, 1},  {30, 4, 6},
                   {30, 5, 1},   {32, 2, 1},   {7, 'M', 1},  {8, 43, 1},   {0, 'e', 1}, {14, 1, 1},
                   {15, 255, 6}, {10, 200, 1}, {13, 255, 1}, {28, 0x13, 1}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(changed, little, sizeof little);
        changed[changes[i].position] = changes[i].value;
        ck_assert_int_eq(exif_orientation(changed, sizeof changed), changes[i].expected);
    }
}
END_TEST

START_TEST(garbage_after_the_end_is_ignored)
{
    static const char *const names[] = {"rgb8.png", "gray8_interlaced.png", "rgb.jpg", "rgb_progressive.jpg"};

    for (size_t i = 0; i < 4; i++) {
        size_t size;
        uint8_t *bytes = read_file(image_path(names[i]), &size);
        dn_error error = {0};
        dn_image *image;
        bytes = realloc(bytes, size + 1000);
        memset(bytes + size, 0xA5, 1000);
        ck_assert_msg(decode(bytes, size + 1000, &image, &error) == DN_OK, "%s", error.message);
        image_free(image);
        free(bytes);
    }
}
END_TEST

/* ---- bad files ---- */

START_TEST(truncation_is_an_error)
{
    size_t size, before = SIZE_MAX;
    uint8_t *bytes = read_file(image_path(name_of(_i)), &size);

    for (int part = 0; part <= 50; part++) {
        size_t cut = part < 50 ? size * (size_t)part / 50 : size - 1;
        if (cut == before)
            continue;
        before = cut;
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        dn_error error = {0};
        dn_image *image = (dn_image *)bytes;
        ck_assert_msg(decode(exact, cut, &image, &error) == DN_E_FORMAT, "%s cut to %zu of %zu bytes", name_of(_i), cut,
                      size);
        ck_assert_ptr_null(image);
        ck_assert_msg(strstr(error.message, "test: ") == error.message, "%s", error.message);
        free(exact);
    }
    free(bytes);
}
END_TEST

START_TEST(unsupported_jpegs)
{
    size_t size;
    uint8_t *bytes = read_file(image_path("cmyk.jpg"), &size);

    ck_fails(bytes, size, DN_E_UNSUPPORTED, "convert it to RGB");
    free(bytes);
    bytes = read_file(image_path("scans_127.jpg"), &size);
    ck_fails(bytes, size, DN_E_LIMIT, "more than 100 scans");
    free(bytes);
    bytes = read_file(image_path("rgb.jpg"), &size);
    for (size_t i = 0; i + 4 < size; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0) {
            bytes[i + 4] = 12; /* bits per sample */
            break;
        }
    ck_fails(bytes, size, DN_E_UNSUPPORTED, "12");
    free(bytes);
}
END_TEST

START_TEST(limit_comes_before_allocation)
{
    static const char *const names[] = {"rgb8.png", "rgb_progressive.jpg", "exif_6.jpg"};
    const int64_t pixels[] = {26 * 21, 37 * 24, 37 * 24};

    for (int i = 0; i < 3; i++) {
        size_t size;
        uint8_t *bytes = read_file(image_path(names[i]), &size);
        failing_memory memory = {0};
        image_input input = input_of(bytes, size);
        dn_error error = {0};
        dn_image *image;
        input.allocator = failing_allocator(&memory);
        input.max_pixels = pixels[i];
        ck_ok(image_decode(&input, &image, &error));
        image_free(image);
        input.max_pixels--;
        ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
        ck_assert_ptr_null(image);
        check_error(&error, DN_E_LIMIT, "max_pixels");
        ck_assert_int_eq(memory.live, 0);
        free(bytes);
    }
}
END_TEST

/* Sets the CRC of every chunk right, so that changes reach the code behind the check. */
static void repair_png(uint8_t *bytes, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 |
                        bytes[at + 3];
        if (length > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            bytes[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}

/* 8 bytes for each pixel and 16 MiB, as far as numbers reach. */
START_TEST(memory_by_pixels)
{
    const int64_t spare = 16 << 20, most = (INT64_MAX - spare) / 8;

    ck_assert_int_eq(image_default_memory(0), spare);
    ck_assert_int_eq(image_default_memory(1000), 8000 + spare);
    ck_assert_int_eq(image_default_memory(most), 8 * most + spare);
    ck_assert_int_eq(image_default_memory(most + 1), INT64_MAX);
    ck_assert_int_eq(image_default_memory(INT64_MAX), INT64_MAX);
}
END_TEST

START_TEST(giant_sizes_are_refused)
{
    size_t size;
    uint8_t *bytes = read_file(image_path("rgb8.png"), &size);
    failing_memory memory = {0};
    image_input input = input_of(bytes, size);
    dn_error error = {0};
    dn_image *image;

    input.allocator = failing_allocator(&memory);
    input.max_pixels = 64 << 20;
    memcpy(bytes + 16, "\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF", 8);
    repair_png(bytes, size);
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "test: 2147483647 x 2147483647 pixels");
    ck_fails(bytes, size, DN_E_LIMIT, "a side may have 1048576 at most"); /* whatever max_pixels is */
    memcpy(bytes + 16, "\0\0\0\0\0\0\0\1", 8);
    repair_png(bytes, size);
    ck_status(image_decode(&input, &image, &error), DN_E_FORMAT);
    ck_assert_int_eq(memory.live, 0);
    free(bytes);
}
END_TEST

START_TEST(flipped_bytes)
{
    uint32_t seed = (uint32_t)_i + 1;
    size_t size;
    uint8_t *bytes = read_file(image_path(name_of(_i)), &size), *changed = malloc(size);
    int failures = 0;

    for (int round = 0; round < 60; round++) {
        memcpy(changed, bytes, size);
        for (int flip = 0; flip <= round % 4; flip++) {
            seed = seed * 1664525u + 1013904223u;
            changed[(seed >> 8) % size] ^= (uint8_t)(1u << (seed >> 4) % 8);
        }
        if (_i < PNGS && round % 2)
            repair_png(changed, size);
        image_input input = input_of(changed, size);
        dn_error error = {0};
        dn_image *image;
        input.max_pixels = 1 << 20;
        dn_status status = image_decode(&input, &image, &error);
        ck_assert(status == DN_OK ? image && image->width > 0 : !image && error.message[0]);
        failures += status != DN_OK;
        /* Every sample is set: a memory checker would see it otherwise. */
        size_t samples = image ? (size_t)image->width * (size_t)image->height * (image->format == DN_RGB8 ? 3 : 1) : 0;
        int64_t sum = 0;
        for (size_t i = 0; i < samples; i++)
            sum += sample(image, i);
        ck_assert(sum >= 0);
        image_free(image);
    }
    ck_assert_int_gt(failures, _i < PNGS ? 20 : 0);
    free(changed);
    free(bytes);
}
END_TEST

/* ---- failing memory and files ---- */

START_TEST(decoding_without_memory)
{
    size_t size;
    uint8_t *bytes = read_file(image_path(name_of(_i)), &size);

    ck_decoding_without_memory(bytes, size);
    free(bytes);
}
END_TEST

START_TEST(opening_without_memory)
{
    const char *path = image_path("exif_6.jpg");
    dn_status status = DN_E_MEMORY;

    for (long n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        dn_image_options options = image_default_options();
        dn_error error = {0};
        dn_image *image;
        options.allocator = &allocator;
        status = image_open(path, &options, 0, &image, &error);
        ck_assert_msg(status == DN_OK || strstr(error.message, "exif_6.jpg"), "%s", error.message);
        image_free(image);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(n, 10);
    }
}
END_TEST

START_TEST(encoding_without_memory)
{
    static uint8_t rgb[50 * 40 * 3];
    dn_status status = DN_E_MEMORY;

    draw_texture(rgb, 50, 40, 1);
    dn_pixels view = rgb_view(rgb, 50, 40);
    for (long n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        dn_error error = {0};
        dn_blob *blob = (dn_blob *)rgb;
        status = png_encode(&view, &allocator, &blob, &error);
        ck_assert_msg(status == DN_OK || (status == DN_E_MEMORY && !blob), "%ld: %s", n, error.message);
        blob_free(blob);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(n, 60);
    }
}
END_TEST

/* The old file stays until the new one is complete, whichever call fails; no temporary file is left. */
START_TEST(writing_is_all_or_nothing)
{
    static uint8_t rgb[30 * 20 * 3];
    const char *folder = test_folder(), *path = path_join(folder, "out.png");
    dn_pixels view = rgb_view(rgb, 30, 20);
    dn_image *image;
    long failures = 0;

    draw_texture(rgb, 30, 20, 4);
    for (long n = 1;; n++) {
        dn_error error = {0};
        size_t size;
        write_file(path, "old", 3);
        files_fail_at(n);
        dn_status status = dn_image_write_png(&view, path, &error);
        long calls = files_calls();
        ck_assert_int_eq(files_open(), 0);
        files_restore();
        ck_assert_int_eq(count_files(folder), 1);
        if (status == DN_OK && calls < n)
            break;
        if (status == DN_OK) /* the failed call was the directory's, after the rename */
            continue;
        failures++;
        ck_assert_int_eq(error.status, DN_E_IO);
        ck_assert_msg(strstr(error.message, "out.png") != NULL, "%s", error.message);
        uint8_t *kept = read_file(path, &size);
        ck_assert_uint_eq(size, 3);
        free(kept);
    }
    ck_assert_int_ge(failures, 5); /* open, write, fsync, close, rename */
    files_stutter();
    ck_ok(dn_image_write_png(&view, path, NULL));
    ck_ok(image_open(path, NULL, 0, &image, NULL));
    files_restore();
    ck_assert_mem_eq(image->pixels, rgb, sizeof rgb);
    image_free(image);
}
END_TEST

/* ---- encoding ---- */

/* Encodes, decodes and compares with `expected` (width, height, 3), gray formats with its red. */
static void round_trip(const dn_pixels *view, const uint8_t *expected)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error = {0};
    dn_blob *blob;
    dn_image *image;
    int64_t pixels = (int64_t)view->width * view->height, different = 0;
    _Bool gray = view->format <= DN_GRAY16;

    ck_ok(png_encode(view, &allocator, &blob, &error));
    ck_ok(decode(blob->data, blob->size, &image, &error));
    ck_assert_int_eq(image->width, view->width);
    ck_assert_int_eq(image->height, view->height);
    ck_assert_int_eq(image->format, gray ? view->format : DN_RGB8);
    for (int64_t i = 0; i < pixels * (gray ? 1 : 3); i++) {
        int64_t value = expected[gray ? 3 * i : i];
        different += sample(image, (size_t)i) != (view->format == DN_GRAY16 ? value * 256 + 255 - value : value);
    }
    ck_assert_int_eq(different, 0);
    image_free(image);
    blob_free(blob);
}

START_TEST(encoding_of_all_formats)
{
    static const int32_t sizes[][2] = {{1, 1}, {20000, 1}, {1, 20000}, {37, 29}};
    int32_t format = _i / 2 + 1, bytes = image_bytes_per_pixel(format);
    _Bool upside_down = _i % 2;

    for (int s = 0; s < 4; s++) {
        int32_t width = sizes[s][0], height = sizes[s][1];
        int64_t stride = (int64_t)width * bytes + 3;
        uint8_t *rgb = malloc((size_t)(width * height * 3)), *buffer = malloc((size_t)(stride * height + 1));
        uint8_t *top = buffer + 1 + (upside_down ? (height - 1) * stride : 0);
        dn_pixels view = {top, width, height, upside_down ? -stride : stride, format, 0};
        draw_texture(rgb, width, height, 7);
        memset(buffer, 77, (size_t)(stride * height + 1)); /* alpha, too */
        for (int32_t y = 0; y < height; y++)
            for (int32_t x = 0; x < width; x++) {
                const uint8_t *from = rgb + ((int64_t)y * width + x) * 3;
                uint8_t *to = top + y * view.stride + x * bytes;
                uint16_t wide = (uint16_t)(from[0] * 256 + 255 - from[0]);
                if (format == DN_GRAY16)
                    memcpy(to, &wide, 2);
                else
                    for (int c = format == DN_GRAY8 ? 2 : 0; c < 3; c++)
                        to[image_layout(format)->rgb[c]] = from[format == DN_GRAY8 ? 0 : c];
            }
        round_trip(&view, rgb);
        free(buffer);
        free(rgb);
    }
}
END_TEST

/* ---- colours ---- */

static double linear_of(uint8_t encoded)
{
    double value = encoded / 255.0;

    return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
}

static void oklab_of(const uint8_t rgb[3], double lab[3])
{
    double r = linear_of(rgb[0]), g = linear_of(rgb[1]), b = linear_of(rgb[2]);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);

    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

/* Equal steps are equally large, lightness rises, and no colour was clipped at the border of sRGB. */
START_TEST(colormap_is_uniform)
{
    double before[3] = {0}, least = 1, largest = 0;

    for (int i = 0; i <= 32; i++) {
        uint8_t rgb[3];
        double lab[3];
        colormap_at(i / 32.0, rgb);
        oklab_of(rgb, lab);
        if (i > 0) {
            double step = sqrt(pow(lab[0] - before[0], 2) + pow(lab[1] - before[1], 2) + pow(lab[2] - before[2], 2));
            least = fmin(least, step);
            largest = fmax(largest, step);
            ck_assert_double_gt(lab[0] - before[0], 0.01);
        }
        memcpy(before, lab, sizeof lab);
    }
    ck_assert_double_le(largest / least, 1.25); /* 8-bit rounding of the dark colours */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("codec");
    TCase *cases = tcase_create("codec");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, decodes_as_pil_does, 0, ALL);
    tcase_add_test(cases, orientation_of_exif);
    tcase_add_test(cases, memory_by_pixels);
    tcase_add_test(cases, garbage_after_the_end_is_ignored);
    tcase_add_loop_test(cases, truncation_is_an_error, 0, ALL);
    tcase_add_test(cases, unsupported_jpegs);
    tcase_add_test(cases, limit_comes_before_allocation);
    tcase_add_test(cases, giant_sizes_are_refused);
    tcase_add_loop_test(cases, flipped_bytes, 0, ALL);
    tcase_add_loop_test(cases, decoding_without_memory, 0, ALL);
    tcase_add_test(cases, opening_without_memory);
    tcase_add_test(cases, encoding_without_memory);
    tcase_add_test(cases, writing_is_all_or_nothing);
    tcase_add_loop_test(cases, encoding_of_all_formats, 0, 12);
    tcase_add_test(cases, colormap_is_uniform);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
