/* EXIF orientation: reading it from hostile bytes, and turning an image by it. */
#include <string.h>

#include "base/status.h"
#include "image/codec.h"
#include "image/orient.h"
#include "image/pixels.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4
#define ENTRY_SIZE 12
#define TILE 32 /* pixels: a transposed tile of both images stays in the nearest cache */

/* A TIFF structure; reads outside of it give 0, which is no valid value of anything looked for here. */
typedef struct tiff {
    const uint8_t *bytes;
    size_t size;
    _Bool big_endian;
} tiff;

static uint32_t read_u16(const tiff *t, size_t at)
{
    if (at > t->size || t->size - at < 2)
        return 0;
    const uint8_t *p = t->bytes + at;
    return t->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const tiff *t, size_t at)
{
    uint32_t first = read_u16(t, at), second = read_u16(t, at + 2);

    return t->big_endian ? first << 16 | second : second << 16 | first;
}

/* The value of entry `entry`, a single number of 16 bits as the standard wants it, or of 32 as some cameras write; 0 if
 * it is something else. */
static uint32_t orientation_value(const tiff *t, size_t entry)
{
    uint32_t type = read_u16(t, entry + 2);

    if (read_u32(t, entry + 4) != 1)
        return 0;
    return type == TYPE_SHORT ? read_u16(t, entry + 8) : type == TYPE_LONG ? read_u32(t, entry + 8) : 0;
}

int32_t exif_orientation(const uint8_t *bytes, size_t size)
{
    const size_t start = size >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0 ? 6 : 0; /* not in a PNG's chunk */
    tiff t = {bytes + start, size - start, size > start && bytes[start] == 'M'};
    const uint32_t byte_order = t.big_endian ? 0x4D4D : 0x4949;

    if (read_u16(&t, 0) != byte_order || read_u16(&t, 2) != 42)
        return 1;
    size_t directory = read_u32(&t, 4);
    uint32_t entries = read_u16(&t, directory);
    for (uint32_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + (size_t)i * ENTRY_SIZE;
        if (read_u16(&t, entry) != TAG_ORIENTATION)
            continue;
        uint32_t value = orientation_value(&t, entry);
        return value >= 1 && value <= 8 ? (int32_t)value : 1;
    }
    return 1;
}

/* Target pixel (x, y) is source pixel origin + x * step_x + y * step_y (in pixels). */
typedef struct turn {
    int64_t origin, step_x, step_y;
} turn;

static turn turn_for(int32_t orientation, int64_t width, int64_t height)
{
    int64_t right = width - 1, bottom = (height - 1) * width;

    switch (orientation) {
    case 2:
        return (turn){right, -1, width}; /* mirrored left to right */
    case 3:
        return (turn){bottom + right, -1, -width}; /* half turn */
    case 4:
        return (turn){bottom, 1, -width}; /* mirrored top to bottom */
    case 5:
        return (turn){0, width, 1}; /* transposed */
    case 6:
        return (turn){bottom, -width, 1}; /* to be turned clockwise */
    case 7:
        return (turn){bottom + right, -width, -1}; /* transposed about the other diagonal */
    case 8:
        return (turn){right, width, -1}; /* to be turned counter-clockwise */
    default:
        return (turn){0, 1, width};
    }
}

static void turn_tile(const dn_image *source, turn t, dn_image *target, int32_t x0, int32_t y0)
{
    int32_t bytes = image_bytes_per_pixel(source->format);
    int32_t x1 = x0 + TILE < target->width ? x0 + TILE : target->width;
    int32_t y1 = y0 + TILE < target->height ? y0 + TILE : target->height;

    for (int32_t y = y0; y < y1; y++) {
        uint8_t *to = target->pixels + ((int64_t)y * target->width + x0) * bytes;
        int64_t from = t.origin + x0 * t.step_x + y * t.step_y;
        for (int32_t x = x0; x < x1; x++, from += t.step_x)
            for (int32_t b = 0; b < bytes; b++)
                *to++ = source->pixels[from * bytes + b];
    }
}

dn_status image_orient(dn_image **image, int32_t orientation, const image_input *input, dn_error *error)
{
    dn_image *source = *image, *target;
    _Bool transposed = orientation >= 5;

    if (orientation <= 1 || orientation > 8)
        return DN_OK;
    uint64_t source_bytes = (uint64_t)source->width * (uint64_t)source->height *
                            (uint64_t)image_bytes_per_pixel(source->format);
    TRY(image_allocate(input, transposed ? source->height : source->width, transposed ? source->width : source->height,
                       source->format, source_bytes, &target, error));
    turn t = turn_for(orientation, source->width, source->height);
    for (int32_t y = 0; y < target->height; y += TILE)
        for (int32_t x = 0; x < target->width; x += TILE)
            turn_tile(source, t, target, x, y);
    image_free(source);
    *image = target;
    return DN_OK;
}
