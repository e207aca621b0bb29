/* Fuzz target: decoding images of every format. */
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define MAX_PIXELS 65536

/* Now and then with less memory than a JPEG's decoder takes. */
static void choose(dn_image_options *options, size_t size, const dn_allocator *allocator)
{
    dn_image_options_init(options);
    options->max_pixels = MAX_PIXELS;
    options->max_memory = size % 8 ? 0 : 500000;
    options->allocator = allocator;
}

static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    dn_image_options options;
    dn_image *image;

    choose(&options, size, allocator);
    dn_status status = dn_image_open_memory(data, size, &options, &image, NULL);
    dn_image_free(image);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_image_options options;
    dn_pixels view;
    dn_image *image;
    dn_error error = {0};

    choose(&options, size, NULL);
    dn_status status = dn_image_open_memory(data, size, &options, &image, &error);
    fuzz_fail_allocations(open_with, data, size, status);
    if (status != DN_OK) {
        fuzz_require(!image && error.status == status && error.message[0], "an error is described");
        return 0;
    }
    dn_image_pixels(image, &view);
    fuzz_require(view.width >= 1 && view.height >= 1 && (int64_t)view.width * view.height <= MAX_PIXELS, "size");
    size_t pixel = view.format == DN_RGB8 ? 3 : view.format == DN_GRAY16 ? 2 : 1;
    size_t row = view.stride ? (size_t)view.stride : (size_t)view.width * pixel;
    unsigned sum = 0; /* every pixel is there and set */
    for (size_t i = 0; i < row * (size_t)view.height; i++)
        sum += ((const uint8_t *)view.pixels)[i];
    fuzz_require(sum != 1u << 31, "pixels");
    dn_image_free(image);
    return 0;
}

/* PNGs of each kind that the library writes. */
static uint8_t *png_seed(int32_t format, size_t *size)
{
    uint8_t pixels[9 * 7 * 3];
    dn_pixels view = {.pixels = pixels, .width = 9, .height = 7, .format = format};
    dn_blob *blob;

    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37);
    fuzz_require(dn_image_encode_png(&view, &blob, NULL) == DN_OK, "encoding");
    *size = dn_blob_size(blob);
    uint8_t *bytes = malloc(*size);
    fuzz_require(bytes != NULL, "memory");
    memcpy(bytes, dn_blob_data(blob), *size);
    dn_blob_free(blob);
    return bytes;
}

#define TEXT(head)             \
    {                          \
        head, sizeof(head) - 1 \
    }
#define ZERO "\0\0\0\0"
#define BYTE(low) low "\0\0\0" /* of 32 bits */

/* What stands before the pixels. */
static const struct {
    const char *bytes;
    size_t size;
} heads[] = {
    TEXT("P1 3 1\n1 0 1"),
    TEXT("P4 9 7\n"),
    TEXT("P2 2 2 15\n1 2 3 15 "),
    TEXT("P5\n# a camera\n9 7\n255\n"),
    TEXT("P5 9 7 65535\n"),
    TEXT("P3 1 1 255 1 2 3 "),
    TEXT("P6 9 7 65535\n"),
    /* File header, header: 24 bits; 1 bit and top down; 16 bits with masks; OS/2. */
    TEXT("BM" ZERO ZERO BYTE("\x36") BYTE("\x28") BYTE("\x9") BYTE("\x7") "\1\0\x18\0" ZERO ZERO ZERO ZERO ZERO ZERO),
    TEXT("BM" ZERO ZERO BYTE("\x3E") BYTE("\x28") BYTE("\x9") "\xF9\xFF\xFF\xFF"
                                                              "\1\0\1\0" ZERO ZERO ZERO ZERO BYTE("\2") ZERO ZERO
         "\xFF\xFF\xFF\0"),
    TEXT("BM" ZERO ZERO BYTE("\x42") BYTE("\x28") BYTE("\x9") BYTE("\x7") "\1\0\x10\0" BYTE("\3")
             ZERO ZERO ZERO ZERO ZERO "\0\xF8\0\0"
                                      "\xE0\7\0\0"
                                      "\x1F\0\0\0"),
    TEXT("BM" ZERO ZERO BYTE("\x20") BYTE("\x0C") "\x9\0\7\0\1\0\1\0"
                                                  "\0\0\0\xFF\xFF\xFF"),
};

/* Directories of TIFFs: tag and value, up to a zero.  The pixels stand at 256: gray; 16 bits; RGB in one tile, to be
 * turned; JPEG's compression of something that is none. */
enum { TIFF_PIXELS = 256 };
static const uint16_t directories[][24] = {
    {256, 9, 257, 7, 258, 8, 259, 1, 262, 1, 273, TIFF_PIXELS, 277, 1, 278, 7, 279, 63},
    {256, 9, 257, 7, 258, 16, 259, 1, 262, 0, 273, TIFF_PIXELS, 277, 1, 278, 7, 279, 126},
    {256, 9, 257, 7, 258, 8, 259, 1, 262, 2, 274, 6, 277, 3, 322, 16, 323, 16, 324, TIFF_PIXELS, 325, 768},
    {256, 9, 257, 7, 258, 8, 259, 32773, 262, 1, 273, TIFF_PIXELS, 277, 1, 278, 7, 279, 700},
    {256, 9, 257, 7, 258, 8, 259, 7, 262, 6, 273, TIFF_PIXELS, 277, 3, 278, 7, 279, 700},
};

static void put_directory(uint8_t *bytes, const uint16_t *entries)
{
    uint8_t *at = bytes + 10;

    memcpy(bytes, "II*\0\x8\0\0", 8);
    for (bytes[8] = 0; entries[0]; entries += 2, at += 12, bytes[8]++) {
        const uint8_t entry[12] = {(uint8_t)entries[0], (uint8_t)(entries[0] >> 8), 3, 0, 1, 0, 0, 0,
                                   (uint8_t)entries[1], (uint8_t)(entries[1] >> 8), 0, 0};
        memcpy(at, entry, sizeof entry);
    }
    bytes[9] = 0;
    memset(at, 0, 4); /* no second page */
}

/* JPEGs are given to replay.c by name, and files of other kinds. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    static const int32_t formats[] = {DN_GRAY8, DN_GRAY16, DN_RGB8};
    enum { HEADS = sizeof heads / sizeof *heads, DIRECTORIES = sizeof directories / sizeof *directories, NOISE = 1100 };

    if (index < 3)
        return png_seed(formats[index], size);
    if ((index -= 3) >= HEADS + DIRECTORIES)
        return NULL;
    *size = NOISE;
    uint8_t *bytes = malloc(*size);
    fuzz_require(bytes != NULL, "memory");
    for (size_t i = 0; i < NOISE; i++)
        bytes[i] = (uint8_t)(i * 37 + i / 7);
    if (index < HEADS)
        memcpy(bytes, heads[index].bytes, heads[index].size);
    else
        put_directory(bytes, directories[index - HEADS]);
    return bytes;
}

static uint32_t png_crc(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xFFFFFFFF;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

/* A PNG's chunks: length, type, data, checksum of type and data.  A JPEG has no checksums. */
void fuzz_repair(uint8_t *data, size_t size)
{
    size_t at = 8;

    if (size < 8 || memcmp(data, "\x89PNG\r\n\x1A\n", 8) != 0)
        return;
    while (size - at >= 12) {
        size_t length = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12)
            return;
        uint32_t crc = png_crc(data + at + 4, length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}
