/* JPEG files as cameras write them: what leaves all pixels intact is let through, what loses some is not; and what
 * decoding may cost. */
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "decoding.h"

enum { W = 96, H = 64, RST = 0xD0, EOI = 0xD9, SOS = 0xDA, DQT = 0xDB, DHT = 0xC4, SOF0 = 0xC0 };

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

/* The file of pixels whose settings are made; `made` and `size` are its destination's. */
static bytes compress(struct jpeg_compress_struct *c, uint8_t *pixels, unsigned char **made, unsigned long *size)
{
    jpeg_start_compress(c, TRUE);
    for (JDIMENSION y = 0; y < c->image_height; y++) {
        JSAMPROW row = pixels + y * c->image_width * (JDIMENSION)c->input_components;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    jpeg_destroy_compress(c);
    bytes b = {malloc(*size), *size};
    memcpy(b.data, *made, *size);
    free(*made);
    return b;
}

/* A picture of W x H; kind: 'g'ray, 'c'olour, 'p'rogressive, 'a'dobe's marker,
 * 't'wo components.  restart: MCUs, 0: none. */
static bytes make(char kind, unsigned restart)
{
    static uint8_t rgb[W * H * 3];
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr manager;
    unsigned char *made = NULL;
    unsigned long size = 0;

    draw_texture(rgb, W, H, 3);
    c.err = jpeg_std_error(&manager);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &made, &size);
    c.image_width = W;
    c.image_height = H;
    c.input_components = kind == 'g' ? 1 : kind == 't' ? 2 : 3;
    c.in_color_space = kind == 'g' ? JCS_GRAYSCALE : kind == 't' ? JCS_UNKNOWN : JCS_RGB;
    jpeg_set_defaults(&c);
    if (kind == 'p')
        jpeg_simple_progression(&c);
    c.write_JFIF_header = kind != 'a';
    c.write_Adobe_marker = kind == 'a';
    c.restart_interval = restart;
    return compress(&c, rgb, &made, &size);
}

/* Where the marker 0xFF, `low` .. `high` stands for the n-th time (0, 1, ...). */
static size_t find(bytes b, int low, int high, int n)
{
    for (size_t i = 0; i + 1 < b.size; i++)
        if (b.data[i] == 0xFF && b.data[i + 1] >= low && b.data[i + 1] <= high && n-- == 0)
            return i;
    ck_abort_msg("no such marker");
    return 0;
}

static bytes with_insertion(bytes b, size_t at, const void *more, size_t count)
{
    bytes made = {malloc(b.size + count), b.size + count};

    memcpy(made.data, b.data, at);
    memcpy(made.data + at, more, count);
    memcpy(made.data + at + count, b.data + at, b.size - at);
    return made;
}

static bytes without(bytes b, size_t at, size_t count)
{
    bytes made = {malloc(b.size), b.size - count};

    memcpy(made.data, b.data, at);
    memcpy(made.data + at, b.data + at + count, b.size - at - count);
    return made;
}

/* Decodes to the same pixels as the clean file. */
static void ck_same(bytes clean, bytes other)
{
    dn_image *a = decoded(clean.data, clean.size), *b = decoded(other.data, other.size);

    ck_shape(b, a->width, a->height, a->format);
    ck_assert_mem_eq(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * (a->format == DN_RGB8 ? 3 : 1));
    image_free(a);
    image_free(b);
}

/* Inserts, compares, frees. */
static void ck_same_with(bytes clean, size_t at, const void *more, size_t count)
{
    bytes other = with_insertion(clean, at, more, count);

    ck_same(clean, other);
    free(other.data);
}

static void ck_fails_with(bytes clean, size_t at, const void *more, size_t count)
{
    bytes other = with_insertion(clean, at, more, count);

    ck_fails(other.data, other.size, DN_E_FORMAT, "damaged JPEG file");
    free(other.data);
}

static const char zeros[300];

/* ---- let through ---- */

START_TEST(zeros_before_a_marker)
{
    static const size_t counts[] = {1, 2, 3, 7, 8, 9, 16, 17, 300};
    const bytes clean = make("gcp"[_i], 2);
    bytes all = with_insertion(clean, 0, "", 0);

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        ck_same_with(clean, find(clean, EOI, EOI, 0), zeros, counts[i]);
        for (int n = 0; n < 9; n += 4)
            ck_same_with(clean, find(clean, RST, RST + 7, n), zeros, counts[i]);
    }
    for (int n = 0; n < 10; n++) { /* before each of ten, one more every time */
        bytes more = with_insertion(all, find(all, RST, RST + 7, n), zeros, (size_t)n + 1);
        free(all.data);
        all = more;
    }
    ck_same(clean, all);
    free(all.data);
    free(clean.data);
}
END_TEST

START_TEST(bytes_between_segments)
{
    static const char *const words[] = {"\1", "ab", "xyz", "\0\xE0", "\xC4\0\4"};
    const bytes clean = make("gcp"[_i], 0);
    const size_t places[] = {find(clean, DQT, DQT, 0), find(clean, SOF0, SOF0 + 2, 0), find(clean, SOS, SOS, 0)};

    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            ck_same_with(clean, places[p], words[i], strlen(words[i] + 1) + 1); /* may begin with 0 */
        for (size_t count = 1; count < 300; count += 1 + count)
            ck_same_with(clean, places[p], zeros, count);
        ck_same_with(clean, places[p], "\xFF\xFF\xFF", 3); /* fill bytes, as the standard allows */
    }
    free(clean.data);
}
END_TEST

START_TEST(zeros_between_scans)
{
    const bytes clean = make('p', 0);

    for (int n = 1; n < 4; n++) {
        ck_same_with(clean, find(clean, SOS, SOS, n), zeros, 20); /* behind its Huffman table */
        ck_same_with(clean, find(clean, DHT, DHT, n), zeros, 20); /* behind the scan before */
    }
    free(clean.data);
}
END_TEST

START_TEST(adobe_transforms)
{
    static const uint8_t transforms[] = {2, 3, 7, 255};
    const bytes clean = make('a', 0);
    bytes other = with_insertion(clean, 0, "", 0);

    for (int i = 0; i < 4; i++) {
        ck_assert_mem_eq(other.data + 6, "Adobe", 5);
        other.data[17] = transforms[i];
        ck_same(clean, other);
    }
    other.data[17] = 0; /* that one means RGB: other colours */
    dn_image *a = decoded(clean.data, clean.size), *b = decoded(other.data, other.size);
    ck_assert_mem_ne(a->pixels, b->pixels, 300);
    image_free(a);
    image_free(b);
    free(other.data);
    free(clean.data);
}
END_TEST

/* ---- not let through ---- */

START_TEST(lost_data_stays_an_error)
{
    const bytes clean = make("gcp"[_i], 2);
    const size_t rst = find(clean, RST, RST + 7, 3), eoi = find(clean, EOI, EOI, 0);
    const bytes whole = make("gcp"[_i], 0);
    bytes other;

    ck_fails_with(clean, rst, "\x12\x34\x56\x78\x9A\xBC\xDE\x11\x22\x33", 10);
    ck_fails_with(clean, rst, "\x12\0\0\0\0\0\0\0\0\0\0", 11); /* not only zeros */
    ck_fails_with(clean, eoi, "\x12\x34\x56\x78\x9A\xBC\xDE\x11\x22\x33\x44\x55\x66\x77\x88\x99", 16);
    other = without(whole, find(whole, SOS, SOS, 0) + 100, 40);
    ck_fails(other.data, other.size, DN_E_FORMAT, "damaged JPEG file");
    free(other.data);
    other = without(clean, rst, 2);
    ck_fails(other.data, other.size, DN_E_FORMAT, "damaged JPEG file");
    free(other.data);
    ck_fails(clean.data, eoi, DN_E_FORMAT, "damaged JPEG file"); /* no end */
    free(whole.data);
    free(clean.data);
}
END_TEST

/* A segment whose marker is damaged would be skipped as if it were not there, or its rest. */
START_TEST(lost_segments_stay_an_error)
{
    const bytes clean = make("gcp"[_i], 0), other = with_insertion(clean, 0, "", 0);
    const int markers[] = {DQT, SOF0 + (_i == 2 ? 2 : 0), DHT};

    for (int i = 0; i < 3; i++) {
        size_t at = find(clean, markers[i], markers[i], 0);
        other.data[at] = 0xFE;
        ck_fails(other.data, other.size, DN_E_FORMAT, "JPEG file");
        other.data[at] = 0xFF;
    }
    ck_fails_with(clean, find(clean, DQT, DQT, 0), "\0\0\0\1", 4);
    ck_fails_with(clean, find(clean, SOS, SOS, 0), "the rest of a table", 19);
    for (int n = 1; _i == 2 && n < 4; n++) { /* a whole scan */
        size_t at = find(clean, SOS, SOS, n);
        other.data[at] = 0;
        ck_fails(other.data, other.size, DN_E_FORMAT, "damaged JPEG file");
        other.data[at] = 0xFF;
    }
    free(other.data);
    free(clean.data);
}
END_TEST

START_TEST(unsupported_kinds)
{
    static const uint8_t jpeg_ls[] = {0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8};
    const bytes clean = make('c', 0);
    const size_t sof = find(clean, SOF0, SOF0, 0), eoi = find(clean, EOI, EOI, 0);
    bytes dnl = with_insertion(clean, eoi, "\xFF\xDC\0\4\0\x40", 6), two = make('t', 0);

    ck_same(clean, dnl); /* it only repeats the height */
    dnl.data[sof + 5] = dnl.data[sof + 6] = 0;
    ck_fails(dnl.data, dnl.size, DN_E_UNSUPPORTED,
             "test: unsupported JPEG file: its height is told behind the picture");
    dnl.data[sof + 7] = dnl.data[sof + 8] = 0; /* no width either */
    ck_fails(dnl.data, dnl.size, DN_E_FORMAT, "damaged JPEG file");
    ck_fails(two.data, two.size, DN_E_UNSUPPORTED, "JPEG with 2 unknown colour components");
    free(two.data);
    ck_fails(jpeg_ls, sizeof jpeg_ls, DN_E_UNSUPPORTED, "test: unsupported JPEG file: JPEG-LS");
    clean.data[sof + 1] = 0xC3; /* lossless */
    ck_fails(clean.data, clean.size, DN_E_UNSUPPORTED, "unsupported JPEG file");
    clean.data[sof + 1] = 0xFD; /* nothing at all */
    ck_fails(clean.data, clean.size, DN_E_FORMAT, "damaged JPEG file");
    free(dnl.data);
    free(clean.data);
}
END_TEST

START_TEST(orientation_as_long)
{
    static const char longs[] = "\xFF\xE1\0\x22"
                                "Exif\0\0"
                                "MM\0*\0\0\0\x08"
                                "\0\1"
                                "\1\x12\0\4\0\0\0\1\0\0\0\6"
                                "\0\0\0\0";
    bytes other = make('g', 0), big;

    big = with_insertion(other, 2, longs, sizeof longs - 1);
    dn_image *image = decoded(big.data, big.size), *plain = decoded(other.data, other.size);
    ck_shape(image, H, W, DN_GRAY8);
    for (int y = 0; y < W; y++)
        for (int x = 0; x < H; x++)
            ck_assert_int_eq(image->pixels[y * H + x], plain->pixels[(H - 1 - x) * W + y]);
    image_free(plain);
    image_free(image);
    big.data[2 + 4 + 6 + 8 + 2 + 8] = 1; /* 0x01000006 is no orientation */
    image = decoded(big.data, big.size);
    ck_shape(image, W, H, DN_GRAY8);
    image_free(image);
    free(big.data);
    free(other.data);
}
END_TEST

/* A segment's content is no marker, however long it is; one that tells no orientation does not end the search. */
START_TEST(orientation_behind_others)
{
    static const char exif[] = "\xFF\xE1\0\x22"
                               "Exif\0\0"
                               "MM\0*\0\0\0\x08"
                               "\0\1"
                               "\1\x12\0\3\0\0\0\1\0\6\0\0"
                               "\0\0\0\0";
    static const char other[] = "\xFF\xE1\0\2\xFF\xE1\0\x08http:/"; /* the first is empty */
    char segment[2 + 0x134] = "\xFF\xE2\1\x34"; /* of 308 bytes: behind the first 52 something like a segment */
    const bytes clean = make('g', 0);
    bytes within, behind;

    memcpy(segment + 2 + 0x34, exif, sizeof exif - 1);
    within = with_insertion(clean, 2, segment, sizeof segment);
    ck_same(clean, within);
    behind = with_insertion(within, 2 + sizeof segment, exif, sizeof exif - 1);
    bytes last = with_insertion(behind, 2 + sizeof segment, other, sizeof other - 1);
    for (int i = 0; i < 2; i++) {
        dn_image *image = i == 0 ? decoded(behind.data, behind.size) : decoded(last.data, last.size);
        ck_shape(image, H, W, DN_GRAY8);
        image_free(image);
    }
    free(last.data);
    free(behind.data);
    free(within.data);
    free(clean.data);
}
END_TEST

/* ---- cost ---- */

/* Gray, progressive, each coefficient in a scan of its own, the last bit of some in one more. */
static bytes make_scans(int count)
{
    static jpeg_scan_info script[127];
    static uint8_t gray[16 * 16];
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr manager;
    unsigned char *made = NULL;
    unsigned long size = 0;
    int later = count - 64;

    draw_texture(gray, 16, 5, 3);
    script[0] = (jpeg_scan_info){.comps_in_scan = 1};
    for (int k = 1; k < 64; k++)
        script[k] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = k, .Se = k, .Al = k <= later};
    for (int k = 1; k <= later; k++)
        script[63 + k] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = k, .Se = k, .Ah = 1};
    c.err = jpeg_std_error(&manager);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &made, &size);
    c.image_width = c.image_height = 16;
    c.input_components = 1;
    c.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    c.scan_info = script;
    c.num_scans = count;
    return compress(&c, gray, &made, &size);
}

START_TEST(scans_are_bounded)
{
    const bytes most = make_scans(100), more = make_scans(101);

    image_free(decoded(most.data, most.size));
    ck_fails(more.data, more.size, DN_E_LIMIT, "test: more than 100 scans in a JPEG file");
    free(most.data);
    free(more.data);
}
END_TEST

/* Decodes within max_memory; the need told where it is too little is the least that suffices. */
START_TEST(memory_is_bounded)
{
    const bytes jpeg = make("gcp"[_i], 0);
    image_input input = input_of(jpeg.data, jpeg.size);
    const int64_t pixels = W * H * (_i == 0 ? 1 : 3);
    dn_error error = {0};
    dn_image *image;
    long long need = 0;

    input.max_memory = 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    ck_assert_ptr_null(image);
    ck_assert_int_eq(
        sscanf(error.message, "test: decoding takes %lld bytes, more than the limit of 1; raise max_memory", &need), 1);
    /* A MiB, rows of 512 bytes for each block of a colour's width and of one MCU more, and for a progressive file its
     * coefficients, of 128 bytes a block.  4:2:0: blocks of 12 x 8 and twice 6 x 4, MCUs of 2 x 2 and 1 x 1. */
    const long long rows = _i == 0 ? 13 * 512 : (14 + 7 + 7) * 512, blocks = _i == 2 ? 14 * 10 + 7 * 5 + 7 * 5 : 0;
    ck_assert_int_eq(need, (1 << 20) + pixels + rows + blocks * 128);
    input.max_memory = need - 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    input.max_memory = need;
    ck_ok(image_decode(&input, &image, &error));
    image_free(image);
    free(jpeg.data);
}
END_TEST

/* A few hundred KB may hold 64 million pixels: with the defaults that is refused where the decoder would need more than
 * the pixels, and its memory is not taken before. */
START_TEST(large_progressive_jpeg_is_refused)
{
    const bytes jpeg = make('p', 0);
    image_input input = input_of(jpeg.data, jpeg.size);
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;
    size_t sof = find(jpeg, SOF0 + 2, SOF0 + 2, 0);

    memcpy(jpeg.data + sof + 5, "\x20\0\x20\0", 4); /* 8192 x 8192 */
    jpeg.data[sof + 11] = 0x11;                     /* all colours at full size */
    input.allocator = failing_allocator(&memory);
    input.max_pixels = 64 << 20;
    input.max_memory = image_default_memory(input.max_pixels);
    ck_assert_int_eq(input.max_memory, (512 << 20) + (16 << 20));
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "raise max_memory");
    ck_assert_int_eq(memory.calls, 0);
    free(jpeg.data);
}
END_TEST

START_TEST(small_images_are_refused_before_they_are_decoded)
{
    const bytes jpeg = make('c', 0);
    image_input input = input_of(jpeg.data, jpeg.size);
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;

    input.allocator = failing_allocator(&memory);
    input.min_side = H + 1;
    ck_status(image_decode(&input, &image, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "test: image: 96 x 64 pixels; width and height must be at least 65");
    ck_assert_int_eq(memory.calls, 0);
    input.min_side = H;
    ck_ok(image_decode(&input, &image, &error));
    image_free(image);
    free(jpeg.data);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("jpeg");
    TCase *cases = tcase_create("jpeg");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, zeros_before_a_marker, 0, 3);
    tcase_add_loop_test(cases, bytes_between_segments, 0, 3);
    tcase_add_test(cases, zeros_between_scans);
    tcase_add_test(cases, adobe_transforms);
    tcase_add_loop_test(cases, lost_data_stays_an_error, 0, 3);
    tcase_add_loop_test(cases, lost_segments_stay_an_error, 0, 3);
    tcase_add_test(cases, unsupported_kinds);
    tcase_add_test(cases, orientation_as_long);
    tcase_add_test(cases, orientation_behind_others);
    tcase_add_test(cases, scans_are_bounded);
    tcase_add_loop_test(cases, memory_is_bounded, 0, 3);
    tcase_add_test(cases, large_progressive_jpeg_is_refused);
    tcase_add_test(cases, small_images_are_refused_before_they_are_decoded);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
