/* Fuzz target: descriptions of pixels, true and false ones, and what is made of true ones: a PNG that decodes to the
 * same pixels, an overlay, a view.  The memory that a description speaks of is there to the byte. */
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define MAX_BYTES ((int64_t)1 << 18)
#define VIEW 64

/* The input: kind of description, format, width, height, stride; then pixels, over and over. */
enum { KIND, FORMAT, WIDTH, HEIGHT = WIDTH + 4, STRIDE = HEIGHT + 4, PIXELS = STRIDE + 8 };

static int64_t number(const uint8_t *bytes, int size)
{
    uint64_t value = 0;

    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return size == 4 ? (int32_t)(uint32_t)value : (int64_t)value;
}

static int32_t pixel_bytes(int32_t format)
{
    static const int32_t bytes[] = {0, 1, 2, 3, 3, 4, 4};

    return format >= 1 && format <= 6 ? bytes[format] : 0;
}

/* Small sizes more often than a random number would be, and strides near a row's length. */
static dn_pixels describe(const uint8_t *data)
{
    dn_pixels d = {.format = data[FORMAT] & 64 ? (int8_t)data[FORMAT] : data[FORMAT] % 8,
                   .width = (int32_t)number(data + WIDTH, 4),
                   .height = (int32_t)number(data + HEIGHT, 4),
                   .stride = number(data + STRIDE, 8)};

    if (!(data[KIND] & 1))
        d.width = d.width & 63;
    if (!(data[KIND] & 2))
        d.height = d.height & 63;
    if (!(data[KIND] & 4))
        d.stride = 0;
    else if (!(data[KIND] & 8))
        d.stride = (data[KIND] & 16 ? -1 : 1) * ((int64_t)d.width * pixel_bytes(d.format) + (int8_t)data[STRIDE]);
    if (data[KIND] & 32)
        d.reserved = data[KIND] >> 6;
    return d;
}

/* Whether the description can be true, told by 128 bits. */
static _Bool valid(const dn_pixels *d, int64_t *before, int64_t *after)
{
    int32_t bytes = pixel_bytes(d->format);
    __extension__ typedef __int128 wide;
    wide row = (wide)d->width * bytes, stride = d->stride ? (wide)d->stride : row;
    wide size = stride < 0 ? -stride : stride, span = size * ((wide)d->height - 1);

    if (bytes == 0 || d->width < 1 || d->height < 1 || d->reserved != 0 || size < row || size * d->height > PTRDIFF_MAX)
        return 0;
    *before = stride < 0 ? (int64_t)span : 0;
    *after = (stride < 0 ? 0 : (int64_t)span) + (int64_t)row;
    return 1;
}

static void ck_refused(dn_status status, const dn_error *error)
{
    fuzz_require(status == DN_E_ARGUMENT && error->status == status && error->message[0], "a false description");
}

static void refuse(const dn_pixels *d)
{
    static float map[1];
    uint8_t rgb[3];
    dn_error error = {0};
    dn_blob *blob = (dn_blob *)&error;

    ck_refused(dn_image_encode_png(d, &blob, &error), &error);
    fuzz_require(!blob, "no blob");
    error.message[0] = '\0';
    ck_refused(dn_image_overlay(d, map, 0, rgb, &error), &error);
}

/* Sample `c` of three, as a decoder gives it. */
static int sample(const dn_pixels *d, int64_t x, int64_t y, int c)
{
    static const int order[][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 1, 2}, {2, 1, 0}, {0, 1, 2}, {2, 1, 0}};
    int32_t bytes = pixel_bytes(d->format);
    const uint8_t *pixel = (const uint8_t *)d->pixels + y * (d->stride ? d->stride : (int64_t)d->width * bytes) +
                           x * bytes;
    uint16_t value;

    if (d->format != DN_GRAY16)
        return pixel[order[d->format][c]];
    memcpy(&value, pixel, 2);
    return value;
}

static void check_png(const dn_pixels *d)
{
    dn_image_options options;
    dn_error error = {0};
    dn_blob *blob;
    dn_image *image;
    dn_pixels back;

    fuzz_require(dn_image_encode_png(d, &blob, &error) == DN_OK, error.message);
    dn_image_options_init(&options);
    fuzz_require(dn_image_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, &image, &error) == DN_OK,
                 error.message);
    dn_image_pixels(image, &back);
    fuzz_require(back.width == d->width && back.height == d->height, "the PNG's size");
    fuzz_require((back.format == d->format) || (d->format > DN_GRAY16 && back.format == DN_RGB8), "its format");
    for (int64_t y = 0; y < d->height; y++)
        for (int64_t x = 0; x < d->width; x++)
            for (int c = 0; c < (back.format == DN_RGB8 ? 3 : 1); c++)
                fuzz_require(sample(d, x, y, c) == sample(&back, x, y, c), "its pixels");
    dn_image_free(image);
    dn_blob_free(blob);
}

static void check_others(const dn_pixels *d)
{
    static dn_extractor *extractor;
    static float view[VIEW * VIEW * 3];
    size_t pixels = (size_t)d->width * (size_t)d->height;
    float *map = calloc(pixels, sizeof *map);
    uint8_t *rgb = malloc(3 * pixels);
    dn_error error = {0};
    const double angle = 30;

    fuzz_require(map && rgb, "memory");
    for (size_t i = 0; i < pixels; i++)
        map[i] = (float)(i % 5);
    fuzz_require(dn_image_overlay(d, map, 0, rgb, &error) == DN_OK, error.message);
    free(map);
    free(rgb);
    if (!extractor) {
        static const int32_t channels[5] = {1, 1, 1, 1, 1};
        dn_extractor_options options;
        dn_extractor_options_init(&options);
        options.input_size = VIEW;
        options.scales = 1;
        fuzz_require(dn_extractor_random(channels, 1, &options, &extractor, NULL) == DN_OK, "extractor");
    }
    dn_status status = dn_extractor_views(extractor, d, &angle, 1, view, &error);
    fuzz_require(status == DN_OK || (status == DN_E_ARGUMENT && error.message[0]), "a view, or an error");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t before, after;

    if (size < PIXELS)
        return 0;
    dn_pixels d = describe(data);
    if (!valid(&d, &before, &after)) {
        d.pixels = data; /* must not be touched */
        refuse(&d);
        return 0;
    }
    if (before + after > MAX_BYTES || (int64_t)d.width * d.height > MAX_BYTES)
        return 0;
    uint8_t *memory = malloc((size_t)(before + after));
    fuzz_require(memory != NULL, "memory");
    for (int64_t i = 0; i < before + after; i++)
        memory[i] = size > PIXELS ? data[PIXELS + (size_t)i % (size - PIXELS)] : 7;
    d.pixels = memory + before;
    check_png(&d);
    check_others(&d);
    free(memory);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    if (index >= 16)
        return NULL;
    *size = PIXELS + 32;
    uint8_t *seed = malloc(*size);
    fuzz_require(seed != NULL, "memory");
    for (size_t i = 0; i < *size; i++)
        seed[i] = (uint8_t)(i * 37 + (size_t)index);
    seed[KIND] = (uint8_t[]){0, 4, 20, 63, 12, 28}[index % 6];
    seed[FORMAT] = (uint8_t)(1 + index % 7);
    return seed;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
