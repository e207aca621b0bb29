/* Fuzz target: decoding PNG and JPEG. */
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define MAX_PIXELS 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_image_options options;
    dn_pixels view;
    dn_image *image;
    dn_error error = {0};

    dn_image_options_init(&options);
    options.max_pixels = MAX_PIXELS;
    dn_status status = dn_image_open_memory(data, size, &options, &image, &error);
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

/* PNGs of each kind that the library writes; files of other kinds are given to replay.c by name. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    static const int32_t formats[] = {DN_GRAY8, DN_GRAY16, DN_RGB8};
    uint8_t pixels[9 * 7 * 3];
    dn_pixels view = {.pixels = pixels, .width = 9, .height = 7};
    dn_blob *blob;

    if (index >= 3)
        return NULL;
    view.format = formats[index];
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
