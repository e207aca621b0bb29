/* PNM: bitmaps (P1, P4), gray (P2, P5) and colour (P3, P6); the first three as text, the others binary.  The header is
 * text: the kind, width, height and, but for bitmaps, the value that stands for white; `#` begins a comment. */
#include <string.h>

#include "base/status.h"
#include "image/codec.h"

#define MAX_VALUE 65535

typedef struct pnm {
    const image_input *input;
    dn_error *error;
    size_t at;
    _Bool bitmap, colour, text;
    int64_t width, height;
    uint32_t white; /* 1 .. 65535 */
} pnm;

static _Bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static _Bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

_Bool pnm_recognise(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
           (is_blank(bytes[2]) || bytes[2] == '#');
}

static dn_status damaged(const pnm *p, const char *what)
{
    return fail(p->error, DN_E_FORMAT, "%s: damaged PNM file: %s", p->input->label, what);
}

static dn_status truncated(const pnm *p)
{
    return fail(p->error, DN_E_FORMAT, "%s: truncated PNM file: it ends after %zu bytes", p->input->label,
                p->input->size);
}

/* ---- text ---- */

/* Blanks and comments up to the next word. */
static void skip_blanks(pnm *p)
{
    const image_input *in = p->input;

    while (p->at < in->size && (is_blank(in->bytes[p->at]) || in->bytes[p->at] == '#'))
        if (in->bytes[p->at++] == '#')
            while (p->at < in->size && in->bytes[p->at] != '\n' && in->bytes[p->at] != '\r')
                p->at++;
}

/* A number of at most `largest`. */
static dn_status read_number(pnm *p, uint32_t largest, uint32_t *number)
{
    const image_input *in = p->input;
    uint64_t value = 0;

    skip_blanks(p);
    if (p->at == in->size)
        return truncated(p);
    if (!is_digit(in->bytes[p->at]))
        return damaged(p, "something else where a number is expected");
    for (; p->at < in->size && is_digit(in->bytes[p->at]); p->at++)
        if ((value = 10 * value + (uint64_t)(in->bytes[p->at] - '0')) > largest)
            return damaged(p, "a number is too large");
    *number = (uint32_t)value;
    return DN_OK;
}

static dn_status read_header(pnm *p)
{
    const uint8_t kind = p->input->bytes[1];
    uint32_t width, height;

    p->at = 2;
    p->bitmap = kind == '1' || kind == '4';
    p->colour = kind == '3' || kind == '6';
    p->text = kind <= '3';
    p->white = 1;
    TRY(read_number(p, INT32_MAX, &width));
    TRY(read_number(p, INT32_MAX, &height));
    TRY(image_check_size(p->input, width, height, p->error));
    p->width = width;
    p->height = height;
    if (!p->bitmap)
        TRY(read_number(p, MAX_VALUE, &p->white));
    if (p->white == 0)
        return damaged(p, "its largest value is 0");
    if (p->at == p->input->size)
        return truncated(p);
    if (!is_blank(p->input->bytes[p->at++])) /* one blank, and what follows is pixels */
        return damaged(p, "something else where the pixels are expected");
    return DN_OK;
}

/* A text bitmap's digits need no blanks between them. */
static dn_status read_digit(pnm *p, uint32_t *value)
{
    skip_blanks(p);
    if (p->at == p->input->size)
        return truncated(p);
    *value = (uint32_t)p->input->bytes[p->at++] - '0';
    return *value <= 1 ? DN_OK : damaged(p, "something else than 0 and 1 in a bitmap");
}

/* ---- pixels ---- */

/* Stores sample i, which is 0 .. white. */
static void store(const pnm *p, dn_image *image, size_t i, uint32_t value)
{
    if (image->format == DN_GRAY16) {
        uint16_t wide = (uint16_t)(((uint64_t)value * 65535 + p->white / 2) / p->white);
        memcpy(image->pixels + 2 * i, &wide, sizeof wide);
    } else {
        image->pixels[i] = (uint8_t)(p->white == 255 ? value : (value * 255 + p->white / 2) / p->white);
    }
}

static dn_status read_text(pnm *p, dn_image *image, size_t samples)
{
    for (size_t i = 0; i < samples; i++) {
        uint32_t value = 0;
        if (p->bitmap) {
            TRY(read_digit(p, &value));
            value = 1 - value; /* 1 is black */
        } else {
            TRY(read_number(p, p->white, &value));
            if (p->at < p->input->size && !is_blank(p->input->bytes[p->at]) && p->input->bytes[p->at] != '#')
                return damaged(p, "something else than a blank behind a number");
        }
        store(p, image, i, value);
    }
    return DN_OK;
}

/* Rows of bits, each in whole bytes. */
static void read_bits(const pnm *p, dn_image *image)
{
    const uint8_t *from = p->input->bytes + p->at;
    const size_t width = (size_t)p->width, row = (width + 7) / 8;

    for (size_t y = 0; y < (size_t)p->height; y++, from += row)
        for (size_t x = 0; x < width; x++)
            image->pixels[y * width + x] = from[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
}

static dn_status read_binary(const pnm *p, dn_image *image, size_t samples)
{
    const uint8_t *from = p->input->bytes + p->at;
    const _Bool wide = p->white > 255;

    for (size_t i = 0; i < samples; i++, from += wide ? 2 : 1) {
        uint32_t value = wide ? (uint32_t)from[0] << 8 | from[1] : from[0];
        if (value > p->white)
            return damaged(p, "a value is above the largest that its header tells");
        store(p, image, i, value);
    }
    return DN_OK;
}

/* Bytes that the pixels take at least: checked before there is memory for them. */
static uint64_t least_bytes(const pnm *p, uint64_t samples)
{
    if (p->text)
        return p->bitmap ? samples : 2 * samples - 1;
    return p->bitmap ? (uint64_t)(p->width + 7) / 8 * (uint64_t)p->height : samples * (p->white > 255 ? 2 : 1);
}

dn_status pnm_decode(const image_input *input, dn_image **out, dn_error *error)
{
    pnm p = {.input = input, .error = error};
    dn_image *image;
    dn_status status = DN_OK;

    *out = NULL;
    TRY(read_header(&p));
    const uint64_t samples = (uint64_t)p.width * (uint64_t)p.height * (p.colour ? 3 : 1);
    if (input->size - p.at < least_bytes(&p, samples))
        return truncated(&p);
    TRY(image_allocate(input, p.width, p.height,
                       p.colour        ? DN_RGB8
                       : p.white > 255 ? DN_GRAY16
                                       : DN_GRAY8,
                       0, &image, error));
    if (p.text)
        status = read_text(&p, image, (size_t)samples);
    else if (p.bitmap)
        read_bits(&p, image);
    else
        status = read_binary(&p, image, (size_t)samples);
    if (status != DN_OK) {
        image_free(image);
        return status;
    }
    *out = image;
    return DN_OK;
}
