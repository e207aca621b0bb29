/* BMP: uncompressed, 1 to 32 bits per pixel.  All numbers are little-endian; rows stand bottom up, each filled up to
 * whole words of 4 bytes. */
#include <string.h>

#include "base/status.h"
#include "image/codec.h"

#define FILE_HEADER 14
#define CORE_HEADER 12 /* OS/2: sizes of 16 bits, palette of 3 bytes per colour */
#define INFO_HEADER 40
#define MAX_HEADER 124
#define MASKS_END (FILE_HEADER + 52)

enum { UNCOMPRESSED = 0, BIT_FIELDS = 3, ALPHA_BIT_FIELDS = 6 };

/* Where a colour's bits lie in a pixel of 16 or 32 bits. */
typedef struct bit_field {
    uint32_t shift, largest; /* value = pixel >> shift & largest; largest = 0: the colour is not there */
} bit_field;

typedef struct bmp {
    const image_input *input;
    dn_error *error;
    int64_t width, height;
    _Bool top_down;
    uint32_t header_size, compression;
    int32_t bits;             /* per pixel */
    size_t row_bytes, pixels; /* of the file; where its pixels begin */
    uint8_t palette[256][3];  /* RGB */
    int32_t colours;
    _Bool gray;          /* all colours of the palette are */
    bit_field fields[3]; /* RGB */
} bmp;

_Bool bmp_recognise(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 'B' && bytes[1] == 'M';
}

static uint32_t read_u16(const bmp *b, size_t at)
{
    const uint8_t *p = b->input->bytes + at;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t read_u32(const bmp *b, size_t at)
{
    return read_u16(b, at) | read_u16(b, at + 2) << 16;
}

static dn_status damaged(const bmp *b, const char *what)
{
    return fail(b->error, DN_E_FORMAT, "%s: damaged BMP file: %s", b->input->label, what);
}

static dn_status truncated(const bmp *b)
{
    return fail(b->error, DN_E_FORMAT, "%s: truncated BMP file: it ends after %zu bytes", b->input->label,
                b->input->size);
}

static dn_status unsupported(const bmp *b, const char *what)
{
    return fail(b->error, DN_E_UNSUPPORTED, "%s: unsupported BMP file: %s; convert it to PNG", b->input->label, what);
}

/* ---- header ---- */

static dn_status read_sizes(bmp *b)
{
    if (b->input->size < FILE_HEADER + CORE_HEADER)
        return truncated(b);
    b->header_size = read_u32(b, FILE_HEADER);
    if (b->header_size == CORE_HEADER) {
        b->width = read_u16(b, 18);
        b->height = read_u16(b, 20);
        b->bits = (int32_t)read_u16(b, 24);
        return DN_OK;
    }
    if (b->header_size < INFO_HEADER || b->header_size > MAX_HEADER)
        return damaged(b, "its header has an impossible size");
    if (b->input->size < FILE_HEADER + b->header_size)
        return truncated(b);
    b->width = (int32_t)read_u32(b, 18);
    b->height = (int32_t)read_u32(b, 22);
    b->top_down = b->height < 0;
    if (b->top_down)
        b->height = -b->height;
    b->bits = (int32_t)read_u16(b, 28);
    b->compression = read_u32(b, 30);
    return DN_OK;
}

static dn_status check_kind(const bmp *b)
{
    static const uint8_t depths[] = {1, 4, 8, 16, 24, 32};
    const _Bool masked = b->compression == BIT_FIELDS || b->compression == ALPHA_BIT_FIELDS;

    if (b->compression != UNCOMPRESSED && !masked)
        return unsupported(b, "compressed pixels");
    if (!memchr(depths, b->bits, sizeof depths) || b->bits > 32)
        return damaged(b, "an impossible number of bits per pixel");
    if (masked && b->bits != 16 && b->bits != 32)
        return damaged(b, "bit masks for pixels that have none");
    return DN_OK;
}

/* The palette stands between header and pixels. */
static dn_status read_palette(bmp *b)
{
    const size_t start = FILE_HEADER + b->header_size, entry = b->header_size == CORE_HEADER ? 3 : 4;
    size_t colours = b->header_size == CORE_HEADER ? 0 : read_u32(b, 46);
    const size_t most = (size_t)1 << b->bits, room = b->pixels > start ? (b->pixels - start) / entry : 0;

    if (colours == 0 || colours > most)
        colours = most;
    if (colours > room)
        colours = room; /* pixels that use a colour beyond are damaged, not the file */
    b->colours = (int32_t)colours;
    b->gray = 1;
    for (size_t i = 0; i < colours; i++) {
        const uint8_t *bgr = b->input->bytes + start + i * entry;
        for (int c = 0; c < 3; c++)
            b->palette[i][c] = bgr[2 - c];
        b->gray = b->gray && bgr[0] == bgr[1] && bgr[1] == bgr[2];
    }
    return DN_OK;
}

/* The field of a mask, whose bits must stand together. */
static _Bool field_of_mask(uint32_t mask, bit_field *field)
{
    *field = (bit_field){0, mask};
    while (field->largest && !(field->largest & 1)) {
        field->largest >>= 1;
        field->shift++;
    }
    return (field->largest & (field->largest + 1)) == 0;
}

static dn_status read_fields(bmp *b)
{
    uint32_t masks[3] = {0xFF0000, 0xFF00, 0xFF};

    if (b->compression != UNCOMPRESSED) { /* they stand behind a header of 40 bytes, or inside a longer one */
        if (b->input->size < MASKS_END)
            return truncated(b);
        for (size_t c = 0; c < 3; c++)
            masks[c] = read_u32(b, FILE_HEADER + INFO_HEADER + 4 * c);
    } else if (b->bits == 16) {
        masks[0] = 0x7C00;
        masks[1] = 0x3E0;
        masks[2] = 0x1F;
    }
    for (int c = 0; c < 3; c++)
        if (!field_of_mask(masks[c], &b->fields[c]) || masks[c] == 0 || (b->bits == 16 && masks[c] > 0xFFFF))
            return damaged(b, "impossible bit masks");
    return DN_OK;
}

static dn_status read_header(bmp *b)
{
    TRY(read_sizes(b));
    TRY(check_kind(b));
    TRY(image_check_size(b->input, b->width, b->height, b->error));
    b->pixels = read_u32(b, 10);
    if (b->pixels < FILE_HEADER + b->header_size)
        return damaged(b, "its pixels begin inside its header");
    if (b->pixels > b->input->size)
        return truncated(b);
    size_t used = ((size_t)b->width * (size_t)b->bits + 7) / 8; /* sides are below 2^20 by now */
    b->row_bytes = (used + 3) / 4 * 4;
    if (b->input->size - b->pixels < b->row_bytes * (size_t)(b->height - 1) + used)
        return truncated(b);
    return b->bits <= 8 ? read_palette(b) : b->bits == 24 ? DN_OK : read_fields(b);
}

/* ---- pixels ---- */

static dn_status read_indexed(const bmp *b, const uint8_t *from, uint8_t *to)
{
    const int32_t per_byte = 8 / b->bits, mask = (1 << b->bits) - 1;

    for (int32_t x = 0; x < (int32_t)b->width; x++) {
        int32_t index = from[x / per_byte] >> (8 - b->bits * (1 + x % per_byte)) & mask;
        if (index >= b->colours)
            return fail(b->error, DN_E_FORMAT, "%s: damaged BMP file: a pixel has colour %d of a palette of %d",
                        b->input->label, (int)index, (int)b->colours);
        *to++ = b->palette[index][0];
        if (b->gray)
            continue;
        *to++ = b->palette[index][1];
        *to++ = b->palette[index][2];
    }
    return DN_OK;
}

static void read_bgr(const bmp *b, const uint8_t *from, uint8_t *to)
{
    for (int64_t x = 0; x < b->width; x++, from += 3, to += 3) {
        to[0] = from[2];
        to[1] = from[1];
        to[2] = from[0];
    }
}

static void read_masked(const bmp *b, const uint8_t *from, uint8_t *to)
{
    const int32_t bytes = b->bits / 8;

    for (int64_t x = 0; x < b->width; x++, from += bytes) {
        uint32_t pixel = (uint32_t)from[0] | (uint32_t)from[1] << 8;
        if (bytes == 4)
            pixel |= (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
        for (int c = 0; c < 3; c++) {
            const bit_field f = b->fields[c];
            uint64_t value = pixel >> f.shift & f.largest;
            *to++ = (uint8_t)((value * 255 + f.largest / 2) / f.largest);
        }
    }
}

static dn_status read_row(const bmp *b, const uint8_t *from, uint8_t *to)
{
    if (b->bits <= 8)
        return read_indexed(b, from, to);
    if (b->bits == 24)
        read_bgr(b, from, to);
    else
        read_masked(b, from, to);
    return DN_OK;
}

dn_status bmp_decode(const image_input *input, dn_image **out, dn_error *error)
{
    bmp b = {.input = input, .error = error};
    dn_image *image;

    *out = NULL;
    TRY(read_header(&b));
    TRY(image_allocate(input, b.width, b.height, b.gray ? DN_GRAY8 : DN_RGB8, 0, &image, error));
    const size_t row = (size_t)b.width * (b.gray ? 1 : 3), rows = (size_t)b.height;
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *from = input->bytes + b.pixels + (b.top_down ? y : rows - 1 - y) * b.row_bytes;
        dn_status status = read_row(&b, from, image->pixels + y * row);
        if (status != DN_OK) {
            image_free(image);
            return status;
        }
    }
    *out = image;
    return DN_OK;
}
