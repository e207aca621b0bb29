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

dn_status mask_set(image_mask *self, const dn_pixels *image, int32_t kind, dn_error *error)
{
    const pixel_layout *layout = image_layout(image->format);
    size_t width = (size_t)image->width, height = (size_t)image->height, count = 0, bytes;

    uint8_t *inside = size_mul(width, height, &bytes) ? mem_alloc(&self->allocator, bytes, 1) : NULL;
    if (!inside)
        return fail_memory(error, "the mask");
    for (size_t y = 0; y < height; y++) {
        const uint8_t *row = (const uint8_t *)image->pixels + (int64_t)y * image_stride(image);
        for (size_t x = 0; x < width; x++) {
            _Bool bright = is_bright(row + x * (size_t)image_bytes_per_pixel(image->format), layout);
            inside[y * width + x] = bright == (kind == DN_MASK_INCLUDE);
            count += inside[y * width + x];
        }
    }
    if (count == 0) {
        mem_free(&self->allocator, inside);
        return fail(error, DN_E_ARGUMENT, "the mask of %d x %d pixels is %s: nothing of an image would count",
                    image->width, image->height, kind == DN_MASK_INCLUDE ? "black everywhere" : "white everywhere");
    }
    mask_clear(self);
    self->inside = inside;
    self->width = image->width;
    self->height = image->height;
    return DN_OK;
}

void mask_clear(image_mask *self)
{
    mem_free(&self->allocator, self->inside);
    self->inside = NULL;
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
    return fail(error, DN_E_ARGUMENT, "the mask of %d x %d pixels has another aspect than the image of %d x %d",
                self->width, self->height, width, height);
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
    return self->inside[(size_t)pixel_at(y, self->height) * (size_t)self->width + (size_t)pixel_at(x, self->width)];
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
