/* PNG: palettes that are too short, orientation in eXIf, sizes that cost more than they hold. */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "decoding.h"

enum { GRAY = 0, RGB = 2, PALETTE = 3, LARGE = 1 << 24, MAX_BYTES = LARGE + (1 << 16) };

typedef struct png_file {
    uint8_t bytes[MAX_BYTES];
    size_t size;
} png_file;

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void add_chunk(png_file *p, const char *type, const void *data, size_t size)
{
    uint8_t *at = p->bytes + p->size;

    put_u32(at, (uint32_t)size);
    memcpy(at + 4, type, 4);
    if (size > 0)
        memcpy(at + 8, data, size);
    put_u32(at + 8 + size, (uint32_t)crc32(0, at + 4, (uInt)size + 4));
    p->size += 12 + size;
}

static void begin(png_file *p, uint32_t width, uint32_t height, uint8_t depth, uint8_t kind, _Bool interlaced)
{
    uint8_t header[13] = {0};

    memcpy(p->bytes, "\x89PNG\r\n\x1A\n", 8);
    p->size = 8;
    put_u32(header, width);
    put_u32(header + 4, height);
    header[8] = depth;
    header[9] = kind;
    header[12] = interlaced;
    add_chunk(p, "IHDR", header, sizeof header);
}

/* Rows with their filter bytes. */
static void add_pixels(png_file *p, const uint8_t *rows, size_t size)
{
    uint8_t packed[4096];
    uLongf packed_size = sizeof packed;

    ck_assert_int_eq(compress(packed, &packed_size, rows, size), Z_OK);
    add_chunk(p, "IDAT", packed, packed_size);
}

/* A palette image of 8 x 8 pixels, all of colour 0 but the one at (5, 3), of colour `index`; `colours` are given. */
static void make_palette_image(png_file *p, uint8_t depth, int index, int colours, _Bool interlaced)
{
    static const struct {
        uint8_t x, y, step_x, step_y;
    } passes[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    uint8_t palette[256 * 3], rows[256] = {0};
    size_t used = 0;

    for (int i = 0; i < colours * 3; i++)
        palette[i] = (uint8_t)(i + 7);
    begin(p, 8, 8, depth, PALETTE, interlaced);
    add_chunk(p, "PLTE", palette, (size_t)colours * 3);
    for (int pass = 0; pass < (interlaced ? 7 : 1); pass++) {
        int x0 = interlaced ? passes[pass].x : 0, y0 = interlaced ? passes[pass].y : 0;
        int dx = interlaced ? passes[pass].step_x : 1, dy = interlaced ? passes[pass].step_y : 1;
        for (int y = y0; y < 8; y += dy) {
            size_t row = ++used; /* behind the filter byte */
            for (int x = x0, i = 0; x < 8; x += dx, i += depth)
                if (x == 5 && y == 3)
                    rows[row + (size_t)i / 8] |= (uint8_t)(index << (8 - depth - i % 8));
            used += ((size_t)(8 - x0 + dx - 1) / (size_t)dx * depth + 7) / 8;
        }
    }
    add_pixels(p, rows, used);
    add_chunk(p, "IEND", NULL, 0);
}

START_TEST(palettes)
{
    static const struct {
        uint8_t depth, colours;
    } kinds[] = {{1, 1}, {2, 3}, {4, 10}, {8, 1}, {8, 10}, {8, 255}};
    static png_file p;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int colours = kinds[i].colours;
        make_palette_image(&p, kinds[i].depth, colours, colours, _i);
        ck_fails(p.bytes, p.size, DN_E_FORMAT, "test: damaged PNG file: a pixel has colour");
        make_palette_image(&p, kinds[i].depth, colours - 1, colours, _i);
        dn_image *image = decoded(p.bytes, p.size);
        ck_shape(image, 8, 8, DN_RGB8);
        for (int k = 0; k < 8 * 8 * 3; k++) {
            int index = k / 3 == 3 * 8 + 5 ? colours - 1 : 0;
            ck_assert_int_eq(image->pixels[k], (uint8_t)(3 * index + k % 3 + 7));
        }
        image_free(image);
        ck_decoding_without_memory(p.bytes, p.size);
    }
}
END_TEST

/* ---- orientation ---- */

/* TIFF's structure with one entry, orientation; type 3: 16 bits, 4: 32. */
static size_t make_exif(uint8_t *at, _Bool big_endian, uint8_t type, uint8_t orientation)
{
    static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                     0,   1,   0,  0, 0, 0, 0, 0, 0, 0, 0,    0, 0};

    memcpy(at, big_endian ? big : little, sizeof big);
    at[big_endian ? 13 : 12] = type;
    at[!big_endian ? 18 : type == 3 ? 19 : 21] = orientation;
    return sizeof big;
}

/* Gray pixels of 3 x 2, value 10 y + x, with an eXIf chunk before or behind the pixels. */
static void make_oriented(png_file *p, const uint8_t *exif, size_t size, _Bool behind)
{
    static const uint8_t rows[] = {0, 0, 1, 2, 0, 10, 11, 12};

    begin(p, 3, 2, 8, GRAY, 0);
    if (!behind)
        add_chunk(p, "eXIf", exif, size);
    add_pixels(p, rows, sizeof rows);
    if (behind)
        add_chunk(p, "eXIf", exif, size);
    add_chunk(p, "IEND", NULL, 0);
}

START_TEST(orientation_in_exif)
{
    static const uint8_t turned[9][6] = {{0},
                                         {0, 1, 2, 10, 11, 12},
                                         {2, 1, 0, 12, 11, 10},
                                         {12, 11, 10, 2, 1, 0},
                                         {10, 11, 12, 0, 1, 2},
                                         {0, 10, 1, 11, 2, 12},
                                         {10, 0, 11, 1, 12, 2},
                                         {12, 2, 11, 1, 10, 0},
                                         {2, 12, 1, 11, 0, 10}};
    static png_file p;
    uint8_t exif[64];

    for (int kind = 0; kind < 8; kind++) {
        size_t size = make_exif(exif, kind & 1, kind & 2 ? 3 : 4, (uint8_t)_i);
        make_oriented(&p, exif, size, kind & 4);
        dn_image *image = decoded(p.bytes, p.size);
        ck_shape(image, _i < 5 ? 3 : 2, _i < 5 ? 2 : 3, DN_GRAY8);
        ck_assert_mem_eq(image->pixels, turned[_i], 6);
        image_free(image);
        ck_decoding_without_memory(p.bytes, p.size);
    }
}
END_TEST

/* A length that needs all its four bytes: pixels with much behind them in their chunk. */
START_TEST(orientation_behind_a_large_chunk)
{
    static const uint8_t rows[] = {0, 0, 1, 2, 0, 10, 11, 12};
    static uint8_t packed[LARGE + 1];
    static png_file p;
    uint8_t exif[64];
    uLongf packed_size = sizeof packed;

    ck_assert_int_eq(compress(packed, &packed_size, rows, sizeof rows), Z_OK);
    begin(&p, 3, 2, 8, GRAY, 0);
    add_chunk(&p, "IDAT", packed, sizeof packed);
    add_chunk(&p, "eXIf", exif, make_exif(exif, 1, 3, 6));
    add_chunk(&p, "IEND", NULL, 0);
    dn_image *image = decoded(p.bytes, p.size);
    ck_shape(image, 2, 3, DN_GRAY8);
    image_free(image);
}
END_TEST

START_TEST(exif_that_tells_nothing)
{
    static png_file p;
    uint8_t exif[64];
    size_t size = make_exif(exif, 1, 3, 6);

    begin(&p, 3, 2, 8, GRAY, 0);
    add_pixels(&p, (const uint8_t[8]){0}, 8);
    add_chunk(&p, "IEND", NULL, 0);
    add_chunk(&p, "eXIf", exif, size); /* behind the end it is no part of the image */
    dn_image *ended = decoded(p.bytes, p.size);
    ck_shape(ended, 3, 2, DN_GRAY8);
    image_free(ended);

    for (size_t cut = 0; cut < size; cut++) { /* whole but for its last bytes, which mean nothing */
        make_oriented(&p, exif, cut, cut % 2);
        dn_image *image = decoded(p.bytes, p.size);
        ck_assert_int_eq(image->width, cut >= 20 ? 2 : 3);
        image_free(image);
    }
    make_exif(exif, 1, 3, 9);
    make_oriented(&p, exif, size, 0);
    dn_image *image = decoded(p.bytes, p.size);
    ck_shape(image, 3, 2, DN_GRAY8);
    image_free(image);
    p.bytes[8 + 25 + 8 + 19] ^= 1; /* its checksum is wrong now */
    ck_fails(p.bytes, p.size, DN_E_FORMAT, "damaged PNG file");
}
END_TEST

/* ---- cost ---- */

/* A row costs time even if it holds one pixel. */
START_TEST(long_sides_are_refused)
{
    static const uint32_t sizes[][2] = {{1, IMAGE_MAX_SIDE + 1}, {IMAGE_MAX_SIDE + 1, 1}, {1, 64 << 20}, {64 << 20, 1}};
    static const uint8_t row[] = {0, 0};
    static png_file p;

    for (int i = 0; i < 4; i++) {
        begin(&p, sizes[i][0], sizes[i][1], 8, GRAY, 0);
        add_pixels(&p, row, sizeof row);
        add_chunk(&p, "IEND", NULL, 0);
        ck_fails(p.bytes, p.size, DN_E_LIMIT, "a side may have 1048576 at most");
    }
    begin(&p, 1, IMAGE_MAX_SIDE, 8, GRAY, 0); /* large enough, but not there */
    add_pixels(&p, row, sizeof row);
    add_chunk(&p, "IEND", NULL, 0);
    ck_fails(p.bytes, p.size, DN_E_FORMAT, "damaged PNG file");
}
END_TEST

START_TEST(memory_is_bounded)
{
    static png_file p;
    uint8_t exif[64];
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;

    make_oriented(&p, exif, make_exif(exif, 1, 3, 6), 0);
    image_input input = input_of(p.bytes, p.size);
    input.allocator = failing_allocator(&memory);
    input.max_memory = 6;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "more than the limit of 6; raise max_memory to read it");
    ck_assert_int_eq(memory.live, 0);
    for (long long need = 0; need < 1 << 20;) { /* all that the messages ask for, and a byte less */
        error = (dn_error){0};
        if (image_decode(&input, &image, &error) == DN_OK)
            break;
        ck_assert_int_eq(sscanf(error.message, "test: decoding takes %lld bytes", &need), 1);
        ck_assert_int_gt(need, input.max_memory);
        input.max_memory = need - 1;
        ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
        input.max_memory = need;
    }
    image_free(image);
    input.min_side = 3;
    ck_status(image_decode(&input, &image, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "test: image: 3 x 2 pixels; width and height must be at least 3");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("png");
    TCase *cases = tcase_create("png");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, palettes, 0, 2);
    tcase_add_loop_test(cases, orientation_in_exif, 1, 9);
    tcase_add_test(cases, orientation_behind_a_large_chunk);
    tcase_add_test(cases, exif_that_tells_nothing);
    tcase_add_test(cases, long_sides_are_refused);
    tcase_add_test(cases, memory_is_bounded);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
