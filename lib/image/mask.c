#include "image/mask.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "image/pixels.h"

/* The brightest of a pixel's channels is at least half of white. */
static _Bool is_bright(const uint8_t *pixel, const pixel_layout *layout)
{
    _Bool bright = 0;

    for (int c = 0; c < 3; c++) {
        uint16_t wide;
        const uint8_t *sample = pixel + (size_t)layout->rgb[c] * (size_t)layout->bytes_per_sample;
        if (layout->bytes_per_sample == 2) {
            memcpy(&wide, sample, sizeof wide);
            bright |= wide >= 32768;
        } else {
            bright |= *sample >= 128;
        }
    }
    return bright;
}

size_t mask_stride(int32_t width)
{
    return ((size_t)width + 7) / 8;
}

static _Bool bit_at(const image_mask *self, int32_t x, int32_t y)
{
    return self->bits[(size_t)y * mask_stride(self->width) + (size_t)x / 8] >> (7 - x % 8) & 1;
}

static void mark(image_mask *self, int32_t x, int32_t y)
{
    self->bits[(size_t)y * mask_stride(self->width) + (size_t)x / 8] |= (uint8_t)(1 << (7 - x % 8));
}

int64_t mask_count(const image_mask *self)
{
    int64_t count = 0;

    for (int32_t y = 0; y < self->height; y++)
        for (int32_t x = 0; x < self->width; x++)
            count += bit_at(self, x, y);
    return count;
}

/* A mask in which nothing counts. */
static dn_status make_empty(const dn_allocator *allocator, int32_t width, int32_t height, image_mask *out,
                            dn_error *error)
{
    *out = (image_mask){.allocator = *allocator, .width = width, .height = height};
    out->bits = mem_zalloc(allocator, (size_t)height, mask_stride(width));
    return out->bits ? DN_OK : fail_memory(error, "the mask");
}

/* Takes over the memory of another one. */
static void replace(image_mask *self, const image_mask *by)
{
    mask_clear(self);
    self->bits = by->bits;
    self->width = by->width;
    self->height = by->height;
}

static void read_pixels(image_mask *self, const dn_pixels *image, int32_t kind)
{
    const pixel_layout *layout = image_layout(image->format);
    size_t bytes = (size_t)image_bytes_per_pixel(image->format);

    for (int32_t y = 0; y < image->height; y++) {
        const uint8_t *row = (const uint8_t *)image->pixels + (int64_t)y * image_stride(image);
        for (int32_t x = 0; x < image->width; x++)
            if (is_bright(row + (size_t)x * bytes, layout) == (kind == DN_MASK_INCLUDE))
                mark(self, x, y);
    }
}

/* What counts in both; pixels of the finer one. */
static dn_status intersect(image_mask *self, const image_mask *within, dn_error *error)
{
    const image_mask *finer = within->width > self->width ? within : self, *other = finer == self ? within : self;
    image_mask both;

    TRY(make_empty(&self->allocator, finer->width, finer->height, &both, error));
    for (int32_t y = 0; y < both.height; y++)
        for (int32_t x = 0; x < both.width; x++)
            if (bit_at(finer, x, y) && mask_at(other, (x + 0.5) / both.width, (y + 0.5) / both.height))
                mark(&both, x, y);
    replace(self, &both);
    return DN_OK;
}

/* Leaves nothing of a mask that is of no use. */
static dn_status finish(image_mask *made, int32_t kind, const image_mask *within, dn_error *error)
{
    if (mask_count(made) == 0)
        return fail(error, DN_E_ARGUMENT, "the mask of %d x %d pixels is %s: nothing of an image would count",
                    made->width, made->height, kind == DN_MASK_INCLUDE ? "black everywhere" : "white everywhere");
    if (!within || within->width == 0)
        return DN_OK;
    if (mask_check(within, made->width, made->height, NULL) != DN_OK)
        return fail(error, DN_E_ARGUMENT,
                    "the mask of %d x %d pixels has another aspect than the model's own of %d x %d", made->width,
                    made->height, within->width, within->height);
    TRY(intersect(made, within, error));
    return mask_count(made) > 0 ? DN_OK
                                : fail(error, DN_E_ARGUMENT,
                                       "the mask leaves nothing of what counts by the model's own mask: both hold");
}

dn_status mask_set(image_mask *self, const dn_pixels *image, int32_t kind, const image_mask *within, dn_error *error)
{
    image_mask made;

    TRY(make_empty(&self->allocator, image->width, image->height, &made, error));
    read_pixels(&made, image, kind);
    dn_status status = finish(&made, kind, within, error);
    if (status == DN_OK)
        replace(self, &made);
    else
        mask_clear(&made);
    return status;
}

dn_status mask_for_call(image_mask *own, const dn_pixels *image, int32_t kind, const image_mask *kept,
                        const image_mask **out, dn_error *error)
{
    if (image)
        TRY(mask_set(own, image, kind, kept, error));
    else
        mask_clear(own);
    *out = image ? own : kept;
    return DN_OK;
}

dn_status mask_set_bits(image_mask *self, const uint8_t *bits, int32_t width, int32_t height, dn_error *error)
{
    image_mask made;

    TRY(make_empty(&self->allocator, width, height, &made, error));
    memcpy(made.bits, bits, (size_t)height * mask_stride(width));
    replace(self, &made);
    return DN_OK;
}

dn_status mask_copy(const image_mask *from, image_mask *to, dn_error *error)
{
    if (from->width > 0)
        return mask_set_bits(to, from->bits, from->width, from->height, error);
    mask_clear(to);
    return DN_OK;
}

void mask_clear(image_mask *self)
{
    mem_free(&self->allocator, self->bits);
    self->bits = NULL;
    self->width = self->height = 0;
}

dn_status mask_check(const image_mask *self, int32_t width, int32_t height, dn_error *error)
{
    /* Sizes a and a', b and b' in pixels, each rounded by up to half of one: a b' and a' b are as equal as can be. */
    double first = (double)self->width * height, second = (double)self->height * width;
    double rounding = ((double)width + height < (double)self->width + self->height ? (double)self->width + self->height
                                                                                   : (double)width + height) /
                      2;
    double allowed = 0.01 * first > rounding ? 0.01 * first : rounding;

    if (self->width == 0 || (first - second <= allowed && second - first <= allowed))
        return DN_OK;
    return fail(error, DN_E_ARGUMENT, "the %smask of %d x %d pixels has another aspect than the image of %d x %d",
                self->of_model ? "model's " : "", self->width, self->height, width, height);
}

static int32_t pixel_at(double share, int32_t pixels)
{
    int32_t at = share > 0 ? (int32_t)(share * pixels) : 0;

    return at < pixels ? at : pixels - 1;
}

_Bool mask_at(const image_mask *self, double x, double y)
{
    if (self->width == 0)
        return 1;
    return bit_at(self, pixel_at(x, self->width), pixel_at(y, self->height));
}

void mask_fill(const image_mask *self, const canvas_shape *shape, const canvas_place *place, uint16_t *canvas)
{
    for (int32_t y = place->y; y < place->y + place->height; y++)
        for (int32_t x = place->x; x < place->x + place->width; x++) {
            uint16_t *pixel = canvas + ((size_t)y * (size_t)shape->width + (size_t)x) * 3;
            if (!mask_at(self, (x - place->x + 0.5) / place->width, (y - place->y + 0.5) / place->height))
                memcpy(pixel, shape->fill, sizeof shape->fill);
        }
}

void mask_map(const image_mask *self, float *map, int32_t height, int32_t width)
{
    for (int32_t y = 0; self->width > 0 && y < height; y++)
        for (int32_t x = 0; x < width; x++, map++)
            if (!mask_at(self, (x + 0.5) / width, (y + 0.5) / height))
                *map = 0;
}

void mask_darken(const image_mask *self, uint8_t *rgb, int32_t height, int32_t width)
{
    for (int32_t y = 0; self->width > 0 && y < height; y++)
        for (int32_t x = 0; x < width; x++, rgb += 3)
            if (!mask_at(self, (x + 0.5) / width, (y + 0.5) / height))
                for (int c = 0; c < 3; c++)
                    rgb[c] = (uint8_t)(rgb[c] / 3);
}
