/* BMP: every depth, both directions, palettes and bit masks; cut, damaged, too large. */
#include <stdlib.h>

#include "decoding.h"

enum { W = 13, H = 5, MAX_BYTES = 4096 };

typedef struct bmp_kind {
    uint32_t header; /* 12, 40, 108, ... */
    uint16_t bits;
    uint32_t compression;
    int32_t colours; /* of the palette */
    _Bool top_down, gray;
    uint32_t masks[3];
} bmp_kind;

static const bmp_kind kinds[] = {
    {40, 24, 0, 0, 0, 0, {0}},
    {40, 24, 0, 0, 1, 0, {0}},
    {12, 24, 0, 0, 0, 0, {0}},
    {124, 24, 0, 0, 0, 0, {0}},
    {40, 8, 0, 256, 0, 1, {0}},
    {40, 8, 0, 256, 1, 0, {0}},
    {40, 8, 0, 200, 0, 0, {0}},
    {12, 8, 0, 256, 0, 1, {0}},
    {40, 4, 0, 16, 0, 0, {0}},
    {40, 1, 0, 2, 0, 1, {0}},
    {40, 32, 0, 0, 0, 0, {0xFF0000, 0xFF00, 0xFF}},
    {40, 32, 3, 0, 0, 0, {0xFF, 0xFF00, 0xFF0000}},
    {108, 32, 3, 0, 1, 0, {0x3FF, 0xFFC00, 0x3FF00000}},
    {40, 16, 0, 0, 0, 0, {0x7C00, 0x3E0, 0x1F}},
    {56, 16, 3, 0, 0, 0, {0xF800, 0x7E0, 0x1F}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void put(uint8_t *at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t pixel_at(const bmp_kind *k, int x, int y)
{
    uint32_t value = (uint32_t)(y * W + x) * 2654435761u;

    value = k->bits == 32 ? value : value >> (32 - k->bits);
    return k->colours ? value % (uint32_t)k->colours : value;
}

static uint8_t colour_of(const bmp_kind *k, uint32_t index, int channel)
{
    return (uint8_t)(k->gray ? 255 - index : index * 3 + (uint32_t)channel * 50);
}

/* What channel 0 .. 2 (red, green, blue) of a pixel must become. */
static int expected_at(const bmp_kind *k, uint32_t pixel, int channel)
{
    if (k->colours)
        return colour_of(k, pixel, channel);
    if (k->bits == 24)
        return pixel >> (16 - 8 * channel) & 255;
    uint32_t mask = k->masks[channel], low = mask & (~mask + 1);
    return (int)(((double)(pixel & mask) / low) / (mask / low) * 255 + 0.5);
}

static size_t make(const bmp_kind *k, uint8_t *bytes)
{
    const size_t masks = k->header == 40 && k->compression ? 12 : 0, entry = k->header == 12 ? 3 : 4;
    const size_t start = 14 + k->header + masks + (size_t)k->colours * entry, row = (W * k->bits + 31u) / 32 * 4;

    memset(bytes, 0, MAX_BYTES);
    memcpy(bytes, "BM", 2);
    put(bytes + 10, (uint32_t)start, 4);
    put(bytes + 14, k->header, 4);
    put(bytes + 18, W, k->header == 12 ? 2 : 4);
    put(bytes + (k->header == 12 ? 20 : 22), (uint32_t)(k->top_down ? -H : H), k->header == 12 ? 2 : 4);
    put(bytes + (k->header == 12 ? 24 : 28), k->bits, 2);
    if (k->header > 12) {
        put(bytes + 30, k->compression, 4);
        put(bytes + 46, k->bits > 8 || k->colours == 1 << k->bits ? 0 : (uint32_t)k->colours, 4);
    }
    for (int c = 0; c < 3 && k->compression; c++)
        put(bytes + 54 + 4 * c, k->masks[c], 4);
    for (int i = 0; i < k->colours; i++)
        for (int c = 0; c < 3; c++)
            bytes[14 + k->header + masks + (size_t)i * entry + (size_t)(2 - c)] = colour_of(k, (uint32_t)i, c);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            uint8_t *line = bytes + start + (size_t)(k->top_down ? y : H - 1 - y) * row;
            uint32_t pixel = pixel_at(k, x, y);
            if (k->bits >= 8)
                put(line + x * k->bits / 8, pixel, k->bits / 8);
            else
                line[x * k->bits / 8] |= (uint8_t)(pixel << (8 - k->bits - x * k->bits % 8));
        }
    return start + row * H;
}

START_TEST(every_kind)
{
    static uint8_t bytes[MAX_BYTES];
    const bmp_kind *k = &kinds[_i];
    const int channels = k->gray ? 1 : 3;

    dn_image *image = decoded(bytes, make(k, bytes));
    ck_shape(image, W, H, k->gray ? DN_GRAY8 : DN_RGB8);
    for (int i = 0; i < W * H * channels; i++) {
        int pixel = i / channels;
        ck_assert_int_eq(image->pixels[i], expected_at(k, pixel_at(k, pixel % W, pixel / W), i % channels));
    }
    image_free(image);
}
END_TEST

START_TEST(hostile_files)
{
    static uint8_t bytes[MAX_BYTES];
    size_t size = make(&kinds[_i], bytes), filled = (4 - (W * kinds[_i].bits + 7u) / 8 % 4) % 4;

    image_free(decoded(bytes, size - filled)); /* a row's end that holds no pixel may be missing */
    ck_truncations(bytes, size - filled);
    ck_decoding_without_memory(bytes, size);
    ck_survives(bytes, size, (uint32_t)_i + 1, 200);
    for (uint32_t round = 0; round < 2000; round++) { /* the header */
        uint32_t seed = round * 16 + (uint32_t)_i;
        make(&kinds[_i], bytes);
        bytes[2 + next_random(&seed) % 52] = (uint8_t)next_random(&seed);
        ck_survives(bytes, size, seed, 1);
    }
}
END_TEST

START_TEST(damaged_files)
{
    static uint8_t bytes[MAX_BYTES];
    static const struct {
        int at, bytes;
        uint32_t value;
        dn_status status;
        const char *part;
    } changes[] = {{14, 4, 39, DN_E_FORMAT, "its header has an impossible size"},
                   {14, 4, 0xFFFFFFFF, DN_E_FORMAT, "its header has an impossible size"},
                   {10, 4, 50, DN_E_FORMAT, "its pixels begin inside its header"},
                   {10, 4, 0xFFFFFFFF, DN_E_FORMAT, "truncated BMP file"},
                   {18, 4, 0, DN_E_FORMAT, "impossible size of 0 x 5"},
                   {18, 4, 0xFFFFFFFF, DN_E_FORMAT, "impossible size of -1 x 5"},
                   {22, 4, 0x80000000, DN_E_LIMIT, "13 x 2147483648 pixels"},
                   {28, 2, 7, DN_E_FORMAT, "an impossible number of bits per pixel"},
                   {28, 2, 257, DN_E_FORMAT, "an impossible number of bits per pixel"},
                   {28, 2, 0, DN_E_FORMAT, "an impossible number of bits per pixel"},
                   {30, 4, 1, DN_E_UNSUPPORTED, "test: unsupported BMP file: compressed pixels; convert it to PNG"},
                   {30, 4, 4, DN_E_UNSUPPORTED, "compressed pixels"},
                   {30, 4, 3, DN_E_FORMAT, "bit masks for pixels that have none"},
                   {46, 4, 199, DN_E_FORMAT, "a pixel has colour 199 of a palette of 199"}};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        size_t size = make(&kinds[6], bytes);
        put(bytes + changes[i].at, changes[i].value, changes[i].bytes);
        bytes[size - 1 - 3] = 199; /* the last pixel: the row is filled up by 3 */
        if (changes[i].at != 46)
            bytes[size - 1 - 3] = 0;
        ck_fails(bytes, size, changes[i].status, changes[i].part);
    }
    for (int c = 0; c < 3; c++) {
        size_t size = make(&kinds[11], bytes);
        put(bytes + 54 + 4 * c, 0xF0F0, 4);
        ck_fails(bytes, size, DN_E_FORMAT, "impossible bit masks");
        put(bytes + 54 + 4 * c, 0, 4);
        ck_fails(bytes, size, DN_E_FORMAT, "impossible bit masks");
    }
}
END_TEST

/* Gray is what all channels of all colours agree on. */
/* A single pixel of 32 bits, so small that no bit masks fit behind the header of 40 bytes. */
START_TEST(cut_before_its_masks)
{
    static uint8_t bytes[MAX_BYTES];

    make(&kinds[11], bytes);
    put(bytes + 10, 54, 4);
    put(bytes + 18, 1, 4);
    put(bytes + 22, 1, 4);
    for (size_t size = 58; size < 66; size++)
        ck_fails(bytes, size, DN_E_FORMAT, "truncated BMP file");
    image_free(decoded(bytes, 66));
}
END_TEST

START_TEST(nearly_gray_palettes)
{
    static uint8_t bytes[MAX_BYTES];

    for (size_t c = 0; c < 3; c++) {
        size_t size = make(&kinds[4], bytes);
        bytes[14 + 40 + 77 * 4 + c] ^= 1;
        dn_image *image = decoded(bytes, size);
        ck_shape(image, W, H, DN_RGB8);
        image_free(image);
    }
}
END_TEST

/* A palette ends where the pixels begin. */
START_TEST(short_palettes)
{
    static uint8_t bytes[MAX_BYTES];

    for (size_t colours = 99; colours <= 100; colours++) {
        size_t size = make(&kinds[4], bytes), start = 14 + 40 + colours * 4;
        put(bytes + 10, (uint32_t)start, 4);
        memset(bytes + start, 99, size - start);
        if (colours == 99) {
            ck_fails(bytes, size, DN_E_FORMAT, "a pixel has colour 99 of a palette of 99");
        } else {
            dn_image *image = decoded(bytes, size);
            ck_assert_int_eq(image->pixels[0], 255 - 99);
            image_free(image);
        }
        put(bytes + 10, (uint32_t)start + 3, 4); /* three bytes are no colour */
        if (colours == 99)
            ck_fails(bytes, size, DN_E_FORMAT, "a pixel has colour 99 of a palette of 99");
    }
    ck_fails((const uint8_t *)"BM", 2, DN_E_FORMAT, "test: truncated BMP file: it ends after 2 bytes");
}
END_TEST

START_TEST(limits_come_before_allocation)
{
    static uint8_t bytes[MAX_BYTES];
    size_t size = make(&kinds[0], bytes);
    image_input input = input_of(bytes, size);
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;

    input.allocator = failing_allocator(&memory);
    input.max_pixels = W * H - 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    input.max_pixels++;
    input.max_memory = W * H * 3 - 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    input.max_memory++;
    input.min_side = H + 1;
    ck_status(image_decode(&input, &image, &error), DN_E_ARGUMENT);
    ck_assert_int_eq(memory.calls, 0);
    input.min_side = H;
    ck_ok(image_decode(&input, &image, &error));
    image_free(image);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("bmp");
    TCase *cases = tcase_create("bmp");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, every_kind, 0, KINDS);
    tcase_add_loop_test(cases, hostile_files, 0, KINDS);
    tcase_add_test(cases, damaged_files);
    tcase_add_test(cases, cut_before_its_masks);
    tcase_add_test(cases, nearly_gray_palettes);
    tcase_add_test(cases, short_palettes);
    tcase_add_test(cases, limits_come_before_allocation);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
