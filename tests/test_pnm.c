/* PBM, PGM and PPM, as text and binary; cut, damaged, too large. */
#include <stdio.h>
#include <stdlib.h>

#include "decoding.h"

#define TEXT(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void ck_pixels(const uint8_t *bytes, size_t size, int32_t width, int32_t height, int32_t format,
                      const int *expected)
{
    dn_image *image = decoded(bytes, size);

    ck_shape(image, width, height, format);
    for (size_t i = 0; i < (size_t)(width * height * (format == DN_RGB8 ? 3 : 1)); i++)
        ck_assert_int_eq(sample(image, i), expected[i]);
    image_free(image);
}

START_TEST(every_kind)
{
    static const int bits[] = {255, 0, 255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

    ck_pixels(TEXT("P1 10 2\n0101 1 0\t1\n010\n1111111100"), 10, 2, DN_GRAY8, bits);
    ck_pixels(TEXT("P4\n10 2\n\x5A\x80\xFF\x3F"), 10, 2, DN_GRAY8, bits);
    ck_pixels(TEXT("P2\n2 2\n255\n0 1\n2 255\n"), 2, 2, DN_GRAY8, (int[]){0, 1, 2, 255});
    ck_pixels(TEXT("P5\n2 2\n255\n\x00\x0A#\xFF"), 2, 2, DN_GRAY8, (int[]){0, 10, '#', 255});
    ck_pixels(TEXT("P3 1 2 255 1 2 3 253 254 255"), 1, 2, DN_RGB8, (int[]){1, 2, 3, 253, 254, 255});
    ck_pixels(TEXT("P6 1 2 255\n\1\2\3\xFD\xFE\xFF"), 1, 2, DN_RGB8, (int[]){1, 2, 3, 253, 254, 255});
}
END_TEST

/* What the header calls the largest value is white. */
START_TEST(values_are_stretched)
{
    ck_pixels(TEXT("P2 3 1 1 0 1 1"), 3, 1, DN_GRAY8, (int[]){0, 255, 255});
    ck_pixels(TEXT("P5 3 1 100\n\0\62\144"), 3, 1, DN_GRAY8, (int[]){0, 128, 255});
    ck_pixels(TEXT("P2 3 1 4095 0 4095 1"), 3, 1, DN_GRAY16, (int[]){0, 65535, 16});
    ck_pixels(TEXT("P5 3 1 4095\n\0\0\x0F\xFF\0\1"), 3, 1, DN_GRAY16, (int[]){0, 65535, 16});
    ck_pixels(TEXT("P5 3 1 65535\n\0\0\xFF\xFF\1\2"), 3, 1, DN_GRAY16, (int[]){0, 65535, 258});
    ck_pixels(TEXT("P5 2 1 256\n\0\0\1\0"), 2, 1, DN_GRAY16, (int[]){0, 65535});
    ck_pixels(TEXT("P3 1 1 65535 128 129 65535"), 1, 1, DN_RGB8, (int[]){0, 1, 255});
    ck_pixels(TEXT("P6 1 1 65535\n\0\x80\0\x81\xFF\xFF"), 1, 1, DN_RGB8, (int[]){0, 1, 255});
}
END_TEST

START_TEST(headers_and_comments)
{
    static const int pixels[] = {'#', 'b'};

    ck_pixels(TEXT("P5#a camera\n# 7 7\r2#\n1 # more\n \t255\n#b"), 2, 1, DN_GRAY8, pixels);
    ck_pixels(TEXT("P5\r\n2 1\r\n255\n#b and what follows"), 2, 1, DN_GRAY8, pixels);
    ck_pixels(TEXT("P2 2 1 255 35#not 7\n 98"), 2, 1, DN_GRAY8, pixels);
    ck_pixels(TEXT("P5 0002 01 0255\n#b"), 2, 1, DN_GRAY8, pixels);
}
END_TEST

START_TEST(damaged_files)
{
    static const char *const texts[] = {"P5 2 1 0\nab",
                                        "P5 2 1 65536\nabcd",
                                        "P5 -2 1 255\nab",
                                        "P5 2 x 255\nab",
                                        "P5 2 1 255xab",
                                        "P5 2 1 100\nez",
                                        "P2 2 1 9 3 10",
                                        "P2 2 1 9 3 -1",
                                        "P2 2 1 9 3 4x",
                                        "P1 2 1 12",
                                        "P3 1 1 9 1 2 c",
                                        "P5 2 1 25.5\nab",
                                        "P5 99999999999999999999 1 255\nab"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_fails((const uint8_t *)texts[i], strlen(texts[i]), DN_E_FORMAT, "test: damaged PNM file");
    ck_fails(TEXT("P5 0 1 255\n"), DN_E_FORMAT, "impossible size of 0 x 1");
    ck_fails(TEXT("P5 2 2 255\nabc"), DN_E_FORMAT, "test: truncated PNM file: it ends after 14 bytes");
    ck_fails(TEXT("P2 2 2 255\n1 2 3"), DN_E_FORMAT, "test: truncated PNM file");
    ck_fails(TEXT("P1 2 2 1 0  "), DN_E_FORMAT, "test: truncated PNM file: it ends after 12 bytes");
    ck_fails(TEXT("P2 2 1 9 4   "), DN_E_FORMAT, "test: truncated PNM file: it ends after 13 bytes");
    ck_fails(TEXT("P5 2 1 255"), DN_E_FORMAT, "test: truncated PNM file: it ends after 10 bytes");
    ck_fails(TEXT("P5 2 1"), DN_E_FORMAT, "test: truncated PNM file: it ends after 6 bytes");
    ck_fails(TEXT("P5\n"), DN_E_FORMAT, "test: truncated PNM file: it ends after 3 bytes");
    ck_fails(TEXT("P5"), DN_E_FORMAT, "test: not a ");
    ck_fails(TEXT("P7\nWIDTH 1\n"), DN_E_FORMAT, "test: a PAM image, not a ");
    ck_fails(TEXT("Pf\n1 1\n-1\n1234"), DN_E_FORMAT, "test: a PFM image (float), not a ");
}
END_TEST

/* Files of each binary kind, with pixels that differ. */
static size_t make(uint8_t *bytes, int kind)
{
    static const char *const headers[] = {"P4\n37 21\n", "P5\n37 21\n255\n", "P5\n37 21\n65535\n", "P6\n37 21\n255\n"};
    static const size_t sizes[] = {5 * 21, 37 * 21, 37 * 21 * 2, 37 * 21 * 3};
    size_t start = strlen(headers[kind]);

    memcpy(bytes, headers[kind], start);
    for (size_t i = 0; i < sizes[kind]; i++)
        bytes[start + i] = (uint8_t)(i * 37 + i / 256);
    return start + sizes[kind];
}

START_TEST(hostile_files)
{
    static uint8_t bytes[4096];
    size_t size = make(bytes, _i);

    ck_truncations(bytes, size);
    ck_decoding_without_memory(bytes, size);
    ck_survives(bytes, size, (uint32_t)_i + 1, 300);
    ck_survives(bytes, 16, (uint32_t)_i + 9, 3000); /* the header */
}
END_TEST

START_TEST(limits_come_before_allocation)
{
    static const char *const texts[] = {"P5 60000 60000 255\n", "P6 2147483647 2147483647 255\n", "P1 70000 70000 0",
                                        "P2 1048577 1 255 7"};
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;

    for (size_t i = 0; i < 4; i++) {
        image_input input = input_of((const uint8_t *)texts[i], strlen(texts[i]));
        input.allocator = failing_allocator(&memory);
        input.max_pixels = 64 << 20;
        ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
        ck_assert_int_eq(memory.calls, 0);
    }
    /* Within the limits, but without the pixels: no memory either. */
    image_input input = input_of(TEXT("P5 8000 8000 255\n1234"));
    input.allocator = failing_allocator(&memory);
    ck_status(image_decode(&input, &image, &error), DN_E_FORMAT);
    ck_assert_int_eq(memory.calls, 0);
    input = input_of(TEXT("P5 2 2 255\n1234"));
    input.max_memory = 3;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "decoding takes 4 bytes");
    input.max_memory = 4;
    ck_ok(image_decode(&input, &image, &error));
    image_free(image);
}
END_TEST

/* As many bytes as the pixels take at least, of text a digit and a blank for each; one less is known before there is
 * memory for them. */
START_TEST(least_bytes)
{
    static const struct {
        const uint8_t *bytes;
        size_t size;
        int last; /* sample */
    } files[] = {{TEXT("P1 3 1 011"), 0},
                 {TEXT("P2 3 1 9 0 1 9"), 255},
                 {TEXT("P3 1 1 9 0 1 9"), 255},
                 {TEXT("P4 9 2\n\0\0\0\x80"), 0},
                 {TEXT("P4 8 2\n\0\1"), 0},
                 {TEXT("P5 3 1 9\n\0\1\x9"), 255},
                 {TEXT("P5 1 1 999\n\3\xe7"), 65535},
                 {TEXT("P6 1 1 9\n\0\1\x9"), 255},
                 {TEXT("P6 1 1 999\n\0\0\0\0\3\xe7"), 255}};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        failing_memory memory = {0};
        dn_error error = {0};
        dn_image *image = decoded(files[i].bytes, files[i].size);
        size_t samples = (size_t)image->width * (size_t)image->height * (image->format == DN_RGB8 ? 3 : 1);
        ck_assert_int_eq(sample(image, samples - 1), files[i].last);
        image_free(image);
        image_input input = input_of(files[i].bytes, files[i].size - 1);
        input.allocator = failing_allocator(&memory);
        ck_status(image_decode(&input, &image, &error), DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT, "truncated");
        ck_assert_int_eq(memory.calls, 0);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pnm");
    TCase *cases = tcase_create("pnm");

    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, every_kind);
    tcase_add_test(cases, values_are_stretched);
    tcase_add_test(cases, headers_and_comments);
    tcase_add_test(cases, damaged_files);
    tcase_add_loop_test(cases, hostile_files, 0, 4);
    tcase_add_test(cases, limits_come_before_allocation);
    tcase_add_test(cases, least_bytes);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
