/* A heat map drawn over its image. */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "image/colormap.h"
#include "image/overlay.h"
#include "image/pixels.h"

#define COLOURS 256
#define LEAST_WEIGHT 0.35f   /* share of the map's colour just above 1: seen on black parts and on white ones */
#define HOTTEST_WEIGHT 0.75f /* at `full`; the image stays visible below it */
#define FIRST_COLOUR 0.45f   /* where the colour map begins: its darkest part would not be seen on dark parts */

/* A 16-bit value as 8 bits. */
static uint8_t narrow(uint16_t value, canvas_range range)
{
    uint32_t low = (uint32_t)range.low, high = range.high > range.low ? (uint32_t)range.high : 65535,
             width = high - low;

    return value <= low ? 0 : value >= high ? 255 : (uint8_t)(((value - low) * 255u + width / 2) / width);
}

/* The image's row as RGB8. */
static void row_to_rgb(const dn_pixels *image, canvas_range range, int32_t y, uint8_t *rgb)
{
    const pixel_layout *layout = image_layout(image->format);
    const uint8_t *row = image_row(image, y);

    for (int32_t x = 0; x < image->width; x++, rgb += 3) {
        uint16_t wide;
        if (layout->bytes_per_sample == 2) {
            memcpy(&wide, row + 2 * (size_t)x, sizeof wide);
            memset(rgb, narrow(wide, range), 3);
            continue;
        }
        for (int c = 0; c < 3; c++)
            rgb[c] = row[(size_t)x * (size_t)layout->channels + (size_t)layout->rgb[c]];
    }
}

/* Blends colours over one row.  t = 0 at map value 1, up to which nothing is drawn, to 1 at `full`. */
static void blend_row(const float *map, int32_t width, float full, uint8_t colours[COLOURS][3], uint8_t *rgb)
{
    for (int32_t x = 0; x < width; x++, rgb += 3) {
        if (!(map[x] > 1))
            continue;
        float t = map[x] < full ? (map[x] - 1) / (full - 1) : 1;
        float weight = LEAST_WEIGHT + (HOTTEST_WEIGHT - LEAST_WEIGHT) * sqrtf(t);
        float place = FIRST_COLOUR + (1 - FIRST_COLOUR) * t;
        const uint8_t *colour = colours[(int)(place * (COLOURS - 1) + 0.5f)];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((1 - weight) * (float)rgb[c] + weight * (float)colour[c] + 0.5f);
    }
}

dn_status overlay_render(const dn_pixels *image, canvas_range range, const float *map, float full, uint8_t *rgb,
                         dn_error *error)
{
    uint8_t colours[COLOURS][3];
    size_t width = (size_t)image->width;

    for (size_t i = 0; i < width * (size_t)image->height; i++)
        if (!isfinite(map[i]))
            return fail(error, DN_E_NUMERIC, "heat map: the value at x = %zu, y = %zu is not a finite number",
                        i % width, i / width);
    for (int i = 0; i < COLOURS; i++)
        colormap_at((double)i / (COLOURS - 1), colours[i]);
    for (int32_t y = 0; y < image->height; y++) {
        row_to_rgb(image, range, y, rgb + (size_t)y * width * 3);
        blend_row(map + (size_t)y * width, image->width, full, colours, rgb + (size_t)y * width * 3);
    }
    return DN_OK;
}
