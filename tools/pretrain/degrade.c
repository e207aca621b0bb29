#include "degrade.h"

#include <string.h>

#define MAX_TAPS 8 /* of the blur, on each side */

void make_degradation(struct degradation *g, struct dice *d, float strength, int32_t size)
{
    float fine = most(1, (float)size / 224);

    /* every number is drawn, used or not: the streams do not depend on the strength */
    float blur = dice_log(d, 0.35f, 1.5f) * fine, shrink = dice_log(d, 1.2f, 2.6f), noise = dice_log(d, 0.003f, 0.06f);
    int32_t quality = dice_int(d, 25, 92);

    g->blur = dice_chance(d, 0.6f * strength) ? blur : 0;
    g->shrink = dice_chance(d, 0.35f * strength) ? shrink : 1;
    g->noise = dice_chance(d, strength) ? noise : 0;
    g->quality = dice_chance(d, 0.5f * strength) ? quality : 0;
    g->grey = dice_chance(d, 0.5f) ? 1 : dice_uniform(d);
    g->subsampled = dice_chance(d, 0.6f);
    g->seed = dice_seed(d);
}

/* ---- optics ---- */

ROW_CLONES static void add_row(int32_t n, float weight, const float *in, float *out)
{
    for (int32_t i = 0; i < n; i++)
        out[i] += weight * in[i];
}

static int32_t nearest_index(int32_t i, int32_t size)
{
    return i < 0 ? 0 : i < size ? i : size - 1;
}

static void blur_plane(float *plane, float *spare, int32_t size, float sigma)
{
    int32_t taps = (int32_t)least(ceilf(2.5f * sigma), MAX_TAPS);
    float weights[2 * MAX_TAPS + 1], total = 0, padded[MAX_SIDE + 2 * MAX_TAPS];
    size_t n = (size_t)size, bytes = n * sizeof *plane;

    for (int32_t k = -taps; k <= taps; k++)
        total += weights[k + taps] = expf(-0.5f * (float)(k * k) / (sigma * sigma));
    for (int32_t row = 0; row < size; row++) {
        float *out = spare + (size_t)row * n;
        memset(out, 0, bytes);
        for (int32_t k = -taps; k <= taps; k++)
            add_row(size, weights[k + taps] / total, plane + (size_t)nearest_index(row + k, size) * n, out);
    }
    for (int32_t row = 0; row < size; row++) {
        float *out = plane + (size_t)row * n;
        const float *in = spare + (size_t)row * n;
        for (int32_t k = 0; k < taps; k++) {
            padded[k] = in[0];
            padded[taps + size + k] = in[size - 1];
        }
        memcpy(padded + taps, in, bytes);
        memset(out, 0, bytes);
        for (int32_t k = -taps; k <= taps; k++)
            add_row(size, weights[k + taps] / total, padded + taps + k, out);
    }
}

/* Linear interpolation of (in, in) to (out, out); both rows are `stride` apart. */
static void scale_plane(const float *from, int32_t in, float *to, int32_t out, size_t stride)
{
    int32_t left[MAX_SIDE];
    float share[MAX_SIDE], mixed[MAX_SIDE], ratio = (float)in / (float)out;

    for (int32_t i = 0; i < out; i++) {
        float x = least(most(((float)i + 0.5f) * ratio - 0.5f, 0), (float)(in - 1) - 0.001f);
        left[i] = (int32_t)x;
        share[i] = x - (float)left[i];
    }
    for (int32_t row = 0; row < out; row++) {
        const float *a = from + (size_t)left[row] * stride, *b = a + stride;
        for (int32_t i = 0; i < in; i++)
            mixed[i] = blend(a[i], b[i], share[row]);
        for (int32_t i = 0; i < out; i++)
            to[(size_t)row * stride + (size_t)i] = blend(mixed[left[i]], mixed[left[i] + 1], share[i]);
    }
}

void degrade_optics(const struct degradation *g, float *const *planes, float *const *spare, int32_t size)
{
    int32_t small = (int32_t)((float)size / g->shrink);

    for (int32_t c = 0; c < 3; c++) {
        if (g->blur > 0)
            blur_plane(planes[c], spare[0], size, g->blur);
        if (small < size) {
            scale_plane(planes[c], size, spare[0], small, (size_t)size);
            scale_plane(spare[0], small, planes[c], size, (size_t)size);
        }
    }
}

/* ---- sensor ---- */

/* Sum of four bytes: nearly normal, of variance 1. */
ROW_INLINE float hash_normal(int32_t x, int32_t y, uint32_t seed)
{
    uint32_t h = hash_bits(x, y, seed);
    int32_t sum = (int32_t)((h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24));

    return ((float)sum - 510) * (1 / 147.8f);
}

ROW_CLONES static void noise_line(int32_t n, int32_t row, uint32_t seed, float amount, float *plane)
{
    for (int32_t i = 0; i < n; i++)
        plane[i] += amount * hash_normal(i, row, seed);
}

/* ---- JPEG: the transform and its rounding; nothing else of it loses anything ---- */

static void cosine_table(float table[8][8])
{
    for (int32_t k = 0; k < 8; k++)
        for (int32_t i = 0; i < 8; i++)
            table[k][i] = (k ? 0.5f : 0.35355339f) * sine(((float)((2 * i + 1) * k)) / 32 + 0.25f);
}

/* A step of rounding grows with the frequency; quality as is usual: 50 is 1, 100 nearly nothing. */
static void step_table(int32_t quality, bool colour, float steps[8][8])
{
    float scale = quality < 50 ? 50.0f / (float)quality : 2 - (float)quality / 50;

    for (int32_t i = 0; i < 8; i++) {
        for (int32_t j = 0; j < 8; j++) {
            float step = colour ? 17 + 14 * (float)(i + j) : 11 + 5 * (float)(i + j) + 1.2f * (float)(i * j);
            steps[i][j] = most(1, least(step, colour ? 99 : 120) * scale);
        }
    }
}

typedef float block[8][8];

/* out = A in, out = in A^T, and with A transposed. */
ROW_INLINE void multiply(block a, bool transposed, block in, block out)
{
    for (int32_t i = 0; i < 8; i++) {
        for (int32_t j = 0; j < 8; j++)
            out[i][j] = 0;
        for (int32_t k = 0; k < 8; k++) {
            float w = transposed ? a[k][i] : a[i][k];
            for (int32_t j = 0; j < 8; j++)
                out[i][j] += w * in[k][j];
        }
    }
}

ROW_INLINE void transpose(block in, block out)
{
    for (int32_t i = 0; i < 8; i++)
        for (int32_t j = 0; j < 8; j++)
            out[j][i] = in[i][j];
}

ROW_CLONES static void round_block(block table, block steps, block pixels)
{
    block a, b;

    multiply(table, false, pixels, a);
    transpose(a, b);
    multiply(table, false, b, a); /* coefficients, transposed; the steps are symmetric */
    for (int32_t i = 0; i < 8; i++)
        for (int32_t j = 0; j < 8; j++)
            a[i][j] = steps[i][j] * floor_of(a[i][j] / steps[i][j] + 0.5f);
    multiply(table, true, a, b);
    transpose(b, a);
    multiply(table, true, a, pixels);
}

/* plane: (side, side) of values around 0, rows `stride` apart. */
static void round_plane(float *plane, int32_t side, int32_t stride, int32_t quality, bool colour)
{
    block table, steps, pixels;

    cosine_table(table);
    step_table(quality, colour, steps);
    for (int32_t y = 0; y < side; y += 8) {
        for (int32_t x = 0; x < side; x += 8) {
            for (int32_t k = 0; k < 64; k++) {
                int32_t from_y = nearest_index(y + k / 8, side), from_x = nearest_index(x + k % 8, side);
                pixels[k / 8][k % 8] = plane[(size_t)from_y * (size_t)stride + (size_t)from_x];
            }
            round_block(table, steps, pixels);
            for (int32_t k = 0; k < 64; k++)
                if (y + k / 8 < side && x + k % 8 < side)
                    plane[(size_t)(y + k / 8) * (size_t)stride + (size_t)(x + k % 8)] = pixels[k / 8][k % 8];
        }
    }
}

ROW_CLONES static void to_luma(size_t n, float *const *rgb, float *const *out)
{
    for (size_t i = 0; i < n; i++) {
        float r = 255 * clamp01(rgb[0][i]), g = 255 * clamp01(rgb[1][i]), b = 255 * clamp01(rgb[2][i]);
        float y = 0.299f * r + 0.587f * g + 0.114f * b;
        out[0][i] = y - 128;
        out[1][i] = 0.564f * (b - y);
        out[2][i] = 0.713f * (r - y);
    }
}

ROW_CLONES static void from_luma(size_t n, float *const *in, float *const *rgb)
{
    for (size_t i = 0; i < n; i++) {
        float y = in[0][i] + 128, r = y + in[2][i] / 0.713f, b = y + in[1][i] / 0.564f;
        rgb[0][i] = r * (1 / 255.0f);
        rgb[1][i] = (y - 0.299f * r - 0.114f * b) / 0.587f * (1 / 255.0f);
        rgb[2][i] = b * (1 / 255.0f);
    }
}

/* Means of 2 x 2 in place, in the corner of the plane; and back. */
static void halve(float *plane, int32_t size)
{
    for (int32_t y = 0; y < size / 2; y++)
        for (int32_t x = 0; x < size / 2; x++) {
            const float *at = plane + (size_t)(2 * y) * (size_t)size + (size_t)(2 * x);
            plane[(size_t)y * (size_t)size + (size_t)x] = 0.25f * (at[0] + at[1] + at[size] + at[size + 1]);
        }
}

static void double_again(float *plane, int32_t size)
{
    for (int32_t y = size - 1; y >= 0; y--)
        for (int32_t x = size - 1; x >= 0; x--)
            plane[(size_t)y * (size_t)size + (size_t)x] =
                plane[(size_t)nearest_index(y / 2, size / 2) * (size_t)size + (size_t)nearest_index(x / 2, size / 2)];
}

static void lose_jpeg(const struct degradation *g, float *const *planes, float *const *spare, int32_t size)
{
    size_t n = (size_t)size * (size_t)size;

    to_luma(n, planes, spare);
    round_plane(spare[0], size, size, g->quality, false);
    for (int32_t c = 1; c < 3; c++) {
        if (g->subsampled)
            halve(spare[c], size);
        round_plane(spare[c], g->subsampled ? size / 2 : size, size, g->quality, true);
        if (g->subsampled)
            double_again(spare[c], size);
    }
    from_luma(n, spare, planes);
}

ROW_CLONES static void store_pixels(size_t n, const float *red, const float *green, const float *blue, uint8_t *rgb)
{
    for (size_t i = 0; i < n; i++) {
        rgb[3 * i] = (uint8_t)(int32_t)(255 * clamp01(red[i]) + 0.5f);
        rgb[3 * i + 1] = (uint8_t)(int32_t)(255 * clamp01(green[i]) + 0.5f);
        rgb[3 * i + 2] = (uint8_t)(int32_t)(255 * clamp01(blue[i]) + 0.5f);
    }
}

void degrade_store(const struct degradation *g, float *const *planes, float *const *spare, int32_t size, uint8_t *rgb)
{
    for (int32_t row = 0; row < size && g->noise > 0; row++) {
        for (int32_t c = 0; c < 3; c++) {
            float *line = planes[c] + (size_t)row * (size_t)size;
            noise_line(size, row, g->seed, g->noise * g->grey, line);
            if (g->grey < 1)
                noise_line(size, row, g->seed + 1 + (uint32_t)c, g->noise * (1 - g->grey), line);
        }
    }
    if (g->quality > 0)
        lose_jpeg(g, planes, spare, size);
    store_pixels((size_t)size * (size_t)size, planes[0], planes[1], planes[2], rgb);
}
