#include "image/traits.h"

#include <math.h>
#include <stdlib.h>

#include "image/pixels.h"

#define ROW_STEP 4 /* of the canvas: a quarter of the rows tells as much */
#define PIECE 512  /* columns at a time */
#define BINS 1024  /* of the histogram of gray, 64 values each */
#define WHITE 65535.0
#define LEAST_DIFFERENCE 64.0 /* an image of one gray has no sharpness: not the one of its rounding */
#define OUTER_SHARE 0.1       /* of the pixels, at either end, that contrast leaves out: a defect is not contrast */

/* Sums over the pixels looked at. */
typedef struct sums {
    int64_t pixels, colour, gray;
    int64_t laplacian, differences; /* of absolute values */
    int32_t darkest, brightest;
    int32_t histogram[BINS];
} sums;

static void gray_row(const uint16_t *rgb, int32_t count, int32_t *gray)
{
    for (int32_t x = 0; x < count; x++)
        gray[x] = (rgb[3 * x] + 2 * rgb[3 * x + 1] + rgb[3 * x + 2]) >> 2;
}

static int32_t spread(const uint16_t *rgb)
{
    int32_t most = rgb[0] > rgb[1] ? rgb[0] : rgb[1], least = rgb[0] < rgb[1] ? rgb[0] : rgb[1];

    return (most > rgb[2] ? most : rgb[2]) - (least < rgb[2] ? least : rgb[2]);
}

/* `count` pixels from the one at `rgb` on, which has neighbours on all sides.  stride: samples of a row. */
static void add_piece(const uint16_t *rgb, size_t stride, int32_t count, sums *s)
{
    int32_t above[PIECE], row[PIECE + 2], below[PIECE];
    int32_t laplacian = 0, differences = 0; /* at most 512 x 2^18 */

    gray_row(rgb - stride, count, above);
    gray_row(rgb - 3, count + 2, row);
    gray_row(rgb + stride, count, below);
    for (int32_t x = 0; x < count; x++) {
        laplacian += abs(4 * row[x + 1] - row[x] - row[x + 2] - above[x] - below[x]);
        differences += abs(row[x + 2] - row[x + 1]);
    }
    for (int32_t x = 0; x < count; x++) {
        int32_t gray = row[x + 1];
        s->colour += spread(rgb + 3 * x);
        s->gray += gray;
        s->darkest = gray < s->darkest ? gray : s->darkest;
        s->brightest = gray > s->brightest ? gray : s->brightest;
        s->histogram[gray >> 6]++;
    }
    s->laplacian += laplacian;
    s->differences += differences;
    s->pixels += count;
}

/* The gray below which so many of the pixels lie, as the middle of its bin. */
static double quantile_gray(const sums *s, double share)
{
    double wanted = share * (double)s->pixels, below = 0;
    int bin = 0;

    while (bin < BINS - 1 && (below += s->histogram[bin]) <= wanted)
        bin++;
    return (bin + 0.5) / BINS;
}

void image_traits(const dn_pixels *image, const uint16_t *canvas, int32_t height, int32_t width,
                  double traits[DN_TRAITS])
{
    sums s = {.darkest = 65535};
    size_t stride = (size_t)width * 3;

    for (int32_t y = 1; y < height - 1; y += ROW_STEP)
        for (int32_t x = 1; x < width - 1; x += PIECE) {
            int32_t left = width - 1 - x;
            add_piece(canvas + (size_t)y * stride + (size_t)x * 3, stride, left < PIECE ? left : PIECE, &s);
        }
    double pixels = (double)s.pixels;
    traits[DN_TRAIT_COLOUR] = (double)s.colour / pixels / WHITE;
    traits[DN_TRAIT_BRIGHTNESS] = (double)s.gray / pixels / WHITE;
    traits[DN_TRAIT_CONTRAST] = quantile_gray(&s, 1 - OUTER_SHARE) - quantile_gray(&s, OUTER_SHARE);
    traits[DN_TRAIT_SHARPNESS] = (double)s.laplacian / fmax((double)s.differences, LEAST_DIFFERENCE * pixels);
    traits[DN_TRAIT_DARKEST] = s.darkest / WHITE;
    traits[DN_TRAIT_BRIGHTEST] = s.brightest / WHITE;
    traits[DN_TRAIT_SIZE] = sqrt((double)image->width * image->height);
    traits[DN_TRAIT_SHAPE] = (double)image->width / image->height;
    traits[DN_TRAIT_BITS] = 8.0 * image_layout(image->format)->bytes_per_sample;
}
