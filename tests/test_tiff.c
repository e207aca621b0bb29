/* TIFF: what libtiff writes of each kind; cut, damaged, too large; nothing printed. */
#include <stdio.h>
#include <stdlib.h>
#include <tiffio.h>
#include <unistd.h>

#include "decoding.h"

enum { W = 45, H = 29 };

typedef struct tiff_kind {
    uint16_t bits, samples, photometric, compression, planar;
    uint32_t tile;    /* its side; 0: strips of 7 rows */
    const char *mode; /* of TIFFOpen: byte order, BigTIFF */
} tiff_kind;

static const tiff_kind kinds[] = {
    {8, 1, PHOTOMETRIC_MINISBLACK, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wl"},
    {16, 1, PHOTOMETRIC_MINISBLACK, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wl"},
    {16, 1, PHOTOMETRIC_MINISBLACK, COMPRESSION_LZW, PLANARCONFIG_CONTIG, 16, "wb"},
    {12, 1, PHOTOMETRIC_MINISBLACK, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wb"},
    {1, 1, PHOTOMETRIC_MINISWHITE, COMPRESSION_PACKBITS, PLANARCONFIG_CONTIG, 0, "wl"},
    {4, 1, PHOTOMETRIC_MINISBLACK, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wl"},
    {8, 1, PHOTOMETRIC_MINISWHITE, COMPRESSION_ADOBE_DEFLATE, PLANARCONFIG_CONTIG, 16, "w8"},
    {8, 2, PHOTOMETRIC_MINISBLACK, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wl"},
    {8, 3, PHOTOMETRIC_RGB, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wl"},
    {8, 3, PHOTOMETRIC_RGB, COMPRESSION_LZW, PLANARCONFIG_SEPARATE, 0, "wb"},
    {8, 3, PHOTOMETRIC_RGB, COMPRESSION_NONE, PLANARCONFIG_SEPARATE, 16, "wl"},
    {8, 4, PHOTOMETRIC_RGB, COMPRESSION_ADOBE_DEFLATE, PLANARCONFIG_CONTIG, 32, "wl"},
    {8, 2, PHOTOMETRIC_MINISBLACK, COMPRESSION_LZW, PLANARCONFIG_SEPARATE, 0, "wl"},
    {8, 2, PHOTOMETRIC_PALETTE, COMPRESSION_NONE, PLANARCONFIG_SEPARATE, 0, "wl"},
    {16, 3, PHOTOMETRIC_RGB, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 0, "wb8"},
    {16, 4, PHOTOMETRIC_RGB, COMPRESSION_ADOBE_DEFLATE, PLANARCONFIG_SEPARATE, 0, "wl"},
    {8, 1, PHOTOMETRIC_PALETTE, COMPRESSION_PACKBITS, PLANARCONFIG_CONTIG, 0, "wl"},
    {4, 1, PHOTOMETRIC_PALETTE, COMPRESSION_NONE, PLANARCONFIG_CONTIG, 16, "wb"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Sample s of the pixel (x, y), as it stands in the file. */
static uint32_t value_at(const tiff_kind *k, uint32_t x, uint32_t y, uint32_t s)
{
    return ((y * W + x) * 4 + s) * 2654435761u >> (32 - k->bits);
}

static void put_sample(uint8_t *row, size_t i, uint16_t bits, uint32_t value)
{
    uint16_t wide = (uint16_t)value;

    if (bits == 16)
        memcpy(row + 2 * i, &wide, 2);
    else
        for (size_t bit = 0; bit < bits; bit++)
            row[(i * bits + bit) / 8] |= (uint8_t)((value >> (bits - 1 - bit) & 1) << (7 - (i * bits + bit) % 8));
}

/* Pixels from (x0, y0) on, `wide` of a row and `high` rows, of all samples or of one. */
static void fill(const tiff_kind *k, uint8_t *rows, size_t row_bytes, uint32_t x0, uint32_t y0, uint32_t wide,
                 uint32_t high, uint32_t plane)
{
    const _Bool apart = k->planar == PLANARCONFIG_SEPARATE;

    memset(rows, 0, row_bytes * high);
    for (uint32_t y = 0; y < high; y++)
        for (uint32_t x = 0; x < wide; x++)
            for (uint32_t s = 0; s < (apart ? 1u : k->samples); s++)
                put_sample(rows + y * row_bytes, apart ? x : x * k->samples + s, k->bits,
                           value_at(k, x0 + x, y0 + y, apart ? plane : s));
}

static void set_tags(TIFF *t, const tiff_kind *k, uint16_t orientation)
{
    static uint16_t colours[3][256];

    TIFFSetField(t, TIFFTAG_IMAGEWIDTH, W);
    TIFFSetField(t, TIFFTAG_IMAGELENGTH, H);
    TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, k->bits);
    TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, k->samples);
    TIFFSetField(t, TIFFTAG_PHOTOMETRIC, k->photometric);
    TIFFSetField(t, TIFFTAG_COMPRESSION, k->compression);
    TIFFSetField(t, TIFFTAG_PLANARCONFIG, k->planar);
    TIFFSetField(t, TIFFTAG_ORIENTATION, orientation);
    if (k->tile) {
        TIFFSetField(t, TIFFTAG_TILEWIDTH, k->tile);
        TIFFSetField(t, TIFFTAG_TILELENGTH, k->tile);
    } else {
        TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 7);
    }
    for (int i = 0; i < 3 * 256; i++)
        colours[i / 256][i % 256] = (uint16_t)((i % 256) * 256 + i / 256 * 50);
    if (k->photometric == PHOTOMETRIC_PALETTE)
        TIFFSetField(t, TIFFTAG_COLORMAP, colours[0], colours[1], colours[2]);
}

static uint8_t *make(const tiff_kind *k, uint16_t orientation, size_t *size)
{
    static uint8_t rows[32 * 32 * 8];
    const char *path = path_join(test_folder(), "a.tif");
    const uint32_t planes = k->planar == PLANARCONFIG_SEPARATE ? k->samples : 1;
    TIFF *t = TIFFOpen(path, k->mode);

    ck_assert_ptr_nonnull(t);
    set_tags(t, k, orientation);
    for (uint32_t plane = 0; plane < planes; plane++)
        for (uint32_t y = 0; y < H; y += k->tile ? k->tile : 1)
            for (uint32_t x = 0; x < W; x += k->tile ? k->tile : W) {
                fill(k, rows, (size_t)(k->tile ? TIFFTileRowSize(t) : TIFFScanlineSize(t)), x, y, k->tile ? k->tile : W,
                     k->tile ? k->tile : 1, plane);
                if (k->tile)
                    ck_assert_int_gt(TIFFWriteTile(t, rows, x, y, 0, (uint16_t)plane), 0);
                else
                    ck_assert_int_eq(TIFFWriteScanline(t, rows, y, (uint16_t)plane), 1);
            }
    TIFFClose(t);
    return read_file(path, size);
}

static int expected_at(const tiff_kind *k, uint32_t x, uint32_t y, uint32_t channel)
{
    uint32_t value = value_at(k, x, y, k->photometric == PHOTOMETRIC_RGB ? channel : 0), white = (1u << k->bits) - 1;

    if (k->photometric == PHOTOMETRIC_PALETTE)
        return (int)(value * 256 + channel * 50) >> 8;
    if (k->photometric == PHOTOMETRIC_MINISWHITE)
        value = white - value;
    double largest = k->photometric == PHOTOMETRIC_RGB || k->bits <= 8 ? 255 : 65535;
    return (int)(value * largest / white + 0.5);
}

static _Bool is_colour(const tiff_kind *k)
{
    return k->photometric == PHOTOMETRIC_RGB || k->photometric == PHOTOMETRIC_PALETTE;
}

START_TEST(every_kind)
{
    const tiff_kind *k = &kinds[_i];
    const uint32_t channels = is_colour(k) ? 3 : 1;
    size_t size;
    uint8_t *bytes = make(k, ORIENTATION_TOPLEFT, &size);
    dn_image *image = decoded(bytes, size);

    ck_shape(image, W, H, is_colour(k) ? DN_RGB8 : k->bits > 8 ? DN_GRAY16 : DN_GRAY8);
    for (uint32_t i = 0; i < W * H * channels; i++)
        ck_assert_int_eq(sample(image, i), expected_at(k, i / channels % W, i / channels / W, i % channels));
    image_free(image);
    ck_decoding_without_memory(bytes, size);
    free(bytes);
}
END_TEST

START_TEST(orientation)
{
    const tiff_kind *k = &kinds[_i % 2 ? 8 : 1];
    const uint32_t channels = is_colour(k) ? 3 : 1;
    size_t size;
    uint8_t *bytes = make(k, (uint16_t)_i, &size);
    dn_image *image = decoded(bytes, size);
    const uint32_t wide = _i < 5 ? W : H, high = _i < 5 ? H : W;

    ck_shape(image, (int32_t)wide, (int32_t)high, is_colour(k) ? DN_RGB8 : DN_GRAY16);
    for (uint32_t i = 0; i < W * H * channels; i++) {
        uint32_t x = i / channels % wide, y = i / channels / wide, a = _i < 5 ? x : y, b = _i < 5 ? y : x;
        uint32_t from_x = _i == 2 || _i == 3 || _i == 7 || _i == 8 ? W - 1 - a : a;
        uint32_t from_y = _i == 3 || _i == 4 || _i == 6 || _i == 7 ? H - 1 - b : b;
        ck_assert_int_eq(sample(image, i), expected_at(k, from_x, from_y, i % channels));
    }
    image_free(image);
    free(bytes);
}
END_TEST

START_TEST(jpeg_inside)
{
    static const uint16_t photometrics[] = {PHOTOMETRIC_YCBCR, PHOTOMETRIC_RGB, PHOTOMETRIC_MINISBLACK};
    const tiff_kind k = {8, _i == 2 ? 1 : 3, photometrics[_i], COMPRESSION_JPEG, PLANARCONFIG_CONTIG, 0, "w"};
    const char *path = path_join(test_folder(), "a.tif");
    uint8_t row[W * 3];
    size_t size;
    TIFF *t = TIFFOpen(path, "w");

    set_tags(t, &k, 1);
    TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 16);
    if (_i == 0)
        TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    for (uint32_t y = 0; y < H; y++) {
        memset(row, (int)(100 + y), sizeof row);
        ck_assert_int_eq(TIFFWriteScanline(t, row, y, 0), 1);
    }
    TIFFClose(t);
    uint8_t *bytes = read_file(path, &size);
    dn_image *image = decoded(bytes, size);
    ck_shape(image, W, H, _i == 2 ? DN_GRAY8 : DN_RGB8);
    for (int i = 0; i < W * H; i++)
        ck_assert_int_le(abs((int)sample(image, (size_t)(i * (_i == 2 ? 1 : 3))) - (100 + i / W)), 4);
    image_free(image);
    ck_truncations(bytes, size);
    ck_survives(bytes, size, 5, 1000);
    free(bytes);
}
END_TEST

START_TEST(hostile_files)
{
    size_t size;
    uint8_t *bytes = make(&kinds[_i], ORIENTATION_TOPLEFT, &size);
    uint32_t seed = (uint32_t)_i;

    ck_truncations(bytes, size);
    ck_assert_int_gt(ck_survives(bytes, size, (uint32_t)_i + 1, 300), 0);
    for (int round = 0; round < 1000; round++) { /* the directory stands at the end */
        uint8_t *at = &bytes[size - 1 - next_random(&seed) % (size < 300 ? size : 300)], old = *at;
        *at = (uint8_t)next_random(&seed);
        ck_survives(bytes, size, seed, 1);
        *at = old;
    }
    free(bytes);
}
END_TEST

/* Tag, value, what is then wrong; NULL: nothing. */
START_TEST(kinds_by_tags)
{
    static const struct {
        uint32_t tag, value;
        const char *part;
    } changes[] = {{TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_VOID, NULL},
                   {TIFFTAG_SUBFILETYPE, FILETYPE_PAGE, NULL},
                   {TIFFTAG_IMAGEDEPTH, 1, NULL},
                   {TIFFTAG_IMAGEDEPTH, 2, "layers: 2"},
                   {TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_IEEEFP, "signed or floating-point samples, format 3"},
                   {TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_INT, "signed or floating-point samples, format 2"},
                   {TIFFTAG_BITSPERSAMPLE, 32, "bits per sample: 32"},
                   {TIFFTAG_COMPRESSION, COMPRESSION_ZSTD, "compression 50000"},
                   {TIFFTAG_COMPRESSION, COMPRESSION_CCITTFAX4, "compression 4"},
                   {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_SEPARATED, "colours of kind 5"},
                   {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_CFA, "colours of kind 32803"},
                   {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB, "samples per pixel: 1"},
                   {TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE, "its first page is a preview"}};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *path = path_join(test_folder(), "a.tif");
        uint8_t strip_bytes[W * 7] = {0};
        size_t size;
        TIFF *t = TIFFOpen(path, "w");
        set_tags(t, &kinds[0], 1);
        TIFFSetField(t, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
        TIFFSetField(t, changes[i].tag, changes[i].value);
        for (uint32_t strip = 0; strip < (H + 6) / 7; strip++)
            ck_assert_int_gt(TIFFWriteRawStrip(t, strip, strip_bytes, sizeof strip_bytes), 0);
        TIFFClose(t);
        uint8_t *bytes = read_file(path, &size);
        if (changes[i].part)
            ck_fails(bytes, size, DN_E_UNSUPPORTED, changes[i].part);
        else
            image_free(decoded(bytes, size));
        free(bytes);
    }
}
END_TEST

/* ---- directories put together by hand: what libtiff does not write ---- */

typedef struct tag {
    uint16_t tag, type; /* 1: bytes, 3: 16 bits, 4: 32 bits */
    uint32_t count, value;
} tag;

enum { DATA = 256, TAGS = 16 };

/* The tags of an image of 4 x 2 gray pixels; of several with one number the last counts.  `size` bytes of pixels, each
 * its own number, and a palette, if a tag points to it, begin at DATA. */
static uint8_t *by_hand(const tag *changes, size_t count, size_t size)
{
    static const tag usual[] = {{TIFFTAG_IMAGEWIDTH, 4, 1, 4},
                                {TIFFTAG_IMAGELENGTH, 4, 1, 2},
                                {TIFFTAG_BITSPERSAMPLE, 3, 1, 8},
                                {TIFFTAG_COMPRESSION, 3, 1, COMPRESSION_NONE},
                                {TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_MINISBLACK},
                                {TIFFTAG_STRIPOFFSETS, 4, 1, DATA},
                                {TIFFTAG_SAMPLESPERPIXEL, 3, 1, 1},
                                {TIFFTAG_ROWSPERSTRIP, 4, 1, 2},
                                {TIFFTAG_STRIPBYTECOUNTS, 4, 1, 24}};
    tag tags[TAGS];
    uint16_t there = sizeof usual / sizeof *usual;
    uint8_t *bytes = calloc(1, DATA + size), *at = bytes + 10;

    memcpy(tags, usual, sizeof usual);
    for (size_t i = 0; i < count; i++) {
        uint16_t k = 0;
        while (k < there && tags[k].tag < changes[i].tag)
            k++;
        if (k == there || tags[k].tag != changes[i].tag) {
            memmove(tags + k + 1, tags + k, (size_t)(there - k) * sizeof *tags);
            there++;
        }
        tags[k] = changes[i];
    }
    memcpy(bytes, "II*\0\10\0\0", 8);
    for (uint16_t k = 0; k < there; k++) /* a tag of no values is left out */
        if (tags[k].count > 0) {
            bytes[8]++;
            memcpy(at, &tags[k], 12);
            at += 12;
        }
    for (size_t i = 0; i < size; i++)
        bytes[DATA + i] = (uint8_t)i;
    return bytes;
}

/* Without a word about colours they are those of so many samples. */
START_TEST(colours_that_are_not_told)
{
    for (uint32_t samples = 1; samples <= 3; samples += 2) {
        const tag changes[] = {{TIFFTAG_PHOTOMETRIC, 3, 0, 0}, {TIFFTAG_SAMPLESPERPIXEL, 3, 1, samples}};
        uint8_t *bytes = by_hand(changes, 2, 24);
        dn_image *image = decoded(bytes, DATA + 24);
        ck_shape(image, 4, 2, samples == 1 ? DN_GRAY8 : DN_RGB8);
        for (uint32_t i = 0; i < 8 * samples; i++)
            ck_assert_int_eq(sample(image, i), i);
        image_free(image);
        free(bytes);
    }
}
END_TEST

/* A palette whose numbers are all below 256 is one of 8 bits, as old programs wrote it; one that is not tells it. */
START_TEST(palette_of_8_bits)
{
    enum { PALETTE = 32 };
    const tag changes[] = {{TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_PALETTE},
                           {TIFFTAG_COLORMAP, 3, 3 * 256, DATA + PALETTE}};
    const size_t size = PALETTE + 3 * 256 * 2;

    enum { OLD, WIDE, FIRST_WIDE };
    for (int kind = OLD; kind <= FIRST_WIDE; kind++) {
        uint8_t *bytes = by_hand(changes, 2, size);
        for (uint16_t i = 0; i < 3 * 256; i++) {
            uint16_t colour = (uint16_t)(i < 256 ? 255 - i : i < 512 ? 7 : i % 100);
            colour = (uint16_t)(kind == WIDE || (kind == FIRST_WIDE && i == 0) ? colour * 256 : colour);
            memcpy(bytes + DATA + PALETTE + 2 * i, &colour, 2);
        }
        dn_image *image = decoded(bytes, DATA + size);
        ck_shape(image, 4, 2, DN_RGB8);
        for (uint32_t i = 0; i < 8; i++) {
            _Bool seen = kind != FIRST_WIDE;
            ck_assert_int_eq(sample(image, 3 * i), seen || i == 0 ? 255 - i : 0);
            ck_assert_int_eq(sample(image, 3 * i + 1), seen ? 7 : 0);
            ck_assert_int_eq(sample(image, 3 * i + 2), seen ? 12 + i : 0);
        }
        image_free(image);
        free(bytes);
    }
}
END_TEST

START_TEST(refused_directories)
{
    static const struct {
        tag tags[4];
        dn_status status;
        const char *part;
    } cases[] = {
        {{{TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_YCBCR}, {TIFFTAG_SAMPLESPERPIXEL, 3, 1, 3}},
         DN_E_UNSUPPORTED,
         "YCbCr with compression 1"},
        {{{TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_YCBCR},
          {TIFFTAG_SAMPLESPERPIXEL, 3, 1, 3},
          {TIFFTAG_COMPRESSION, 3, 1, COMPRESSION_JPEG},
          {TIFFTAG_PLANARCONFIG, 3, 1, PLANARCONFIG_SEPARATE}},
         DN_E_UNSUPPORTED,
         "YCbCr with compression 7"},
        {{{TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_RGB}, {TIFFTAG_SAMPLESPERPIXEL, 3, 1, 5}},
         DN_E_UNSUPPORTED,
         "samples per pixel: 5"},
        {{{TIFFTAG_PHOTOMETRIC, 3, 1, PHOTOMETRIC_PALETTE},
          {TIFFTAG_BITSPERSAMPLE, 3, 1, 16},
          {TIFFTAG_COLORMAP, 3, 3 * 65536, DATA}},
         DN_E_UNSUPPORTED,
         "bits per sample: 16"},
        {{{TIFFTAG_BITSPERSAMPLE, 3, 1, 0}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_BITSPERSAMPLE, 3, 1, 24}}, DN_E_UNSUPPORTED, "bits per sample: 24"},
        {{{TIFFTAG_IMAGEWIDTH, 4, 0, 0}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_IMAGELENGTH, 4, 0, 0}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_IMAGEWIDTH, 4, 1, 0}}, DN_E_FORMAT, "scanline size is zero"},
        {{{TIFFTAG_STRIPOFFSETS, 4, 0, 0}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_SAMPLEFORMAT, 3, 1, SAMPLEFORMAT_COMPLEXINT}}, DN_E_UNSUPPORTED, "format 5"},
        /* Tiles: no side, one of them, one that no image needs. */
        {{{TIFFTAG_TILEWIDTH, 4, 1, 0}, {TIFFTAG_TILELENGTH, 4, 1, 16}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_TILEWIDTH, 4, 1, 16}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_TILELENGTH, 4, 1, 16}}, DN_E_FORMAT, "damaged"},
        {{{TIFFTAG_TILEWIDTH, 4, 1, 0xFFFFFFF0}, {TIFFTAG_TILELENGTH, 4, 1, 16}}, DN_E_UNSUPPORTED, "unusual size"},
        {{{TIFFTAG_TILEWIDTH, 4, 1, 16}, {TIFFTAG_TILELENGTH, 4, 1, 0xFFFFFFF0}}, DN_E_UNSUPPORTED, "unusual size"},
    };
    const size_t size = 3 * 65536 * 2;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t count = 0;
        while (count < 4 && cases[i].tags[count].tag)
            count++;
        uint8_t *bytes = by_hand(cases[i].tags, count, size);
        ck_fails(bytes, DATA + size, cases[i].status, cases[i].part);
        free(bytes);
    }
    ck_fails((const uint8_t *)"II*", 4, DN_E_FORMAT, "damaged TIFF file"); /* a beginning, and nothing more */
    ck_fails((const uint8_t *)"II*", 3, DN_E_FORMAT, "test: not a ");
}
END_TEST

START_TEST(limits_come_before_allocation)
{
    size_t size;
    uint8_t *bytes = make(&kinds[8], ORIENTATION_TOPLEFT, &size);
    image_input input = input_of(bytes, size);
    failing_memory memory = {0};
    dn_error error = {0};
    dn_image *image;

    input.allocator = failing_allocator(&memory);
    input.max_pixels = W * H - 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "test: 45 x 29 pixels, more than the limit of 1304");
    input.max_pixels++;
    input.min_side = H + 1;
    ck_status(image_decode(&input, &image, &error), DN_E_ARGUMENT);
    input.min_side = H;
    input.max_memory = W * H * 3 + W * 3 + (int64_t)size - 1;
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    check_error(&error, DN_E_LIMIT, "raise max_memory");
    ck_assert_int_eq(memory.calls, 0);
    input.max_memory++;
    ck_ok(image_decode(&input, &image, &error));
    image_free(image);
    input.max_memory = 10; /* not even libtiff's own */
    ck_status(image_decode(&input, &image, &error), DN_E_LIMIT);
    ck_assert_int_eq(memory.live, 0);
    free(bytes);
}
END_TEST

/* What libtiff complains about is in the message, and nowhere else. */
START_TEST(nothing_is_printed)
{
    const char *path = path_join(test_folder(), "printed");
    size_t size, printed;
    uint8_t *bytes = make(&kinds[2], ORIENTATION_TOPLEFT, &size);
    int kept = dup(2);
    uint32_t seed = 1;
    char *seen;

    ck_assert_ptr_nonnull(freopen(path, "w", stderr));
    for (int round = 0; round < 500; round++) {
        size_t at = next_random(&seed) % size;
        uint8_t old = bytes[at];
        dn_image *image;
        bytes[at] ^= (uint8_t)(1 + next_random(&seed) % 255);
        const image_input input = input_of(bytes, size);
        image_input bounded = input;
        bounded.max_pixels = bounded.max_memory = 1 << 20;
        if (image_decode(&bounded, &image, NULL) == DN_OK)
            image_free(image);
        bytes[at] = old;
    }
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    seen = (char *)read_file(path, &printed);
    ck_assert_msg(printed == 0, "%.*s", (int)printed, seen);
    free(seen);
    free(bytes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("tiff");
    TCase *cases = tcase_create("tiff");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, every_kind, 0, KINDS);
    tcase_add_loop_test(cases, orientation, 1, 9);
    tcase_add_loop_test(cases, jpeg_inside, 0, 3);
    tcase_add_loop_test(cases, hostile_files, 0, KINDS);
    tcase_add_test(cases, kinds_by_tags);
    tcase_add_test(cases, colours_that_are_not_told);
    tcase_add_test(cases, palette_of_8_bits);
    tcase_add_test(cases, refused_directories);
    tcase_add_test(cases, limits_come_before_allocation);
    tcase_add_test(cases, nothing_is_printed);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
