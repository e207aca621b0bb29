/* Light: from height and albedo to what a camera shows. */
#include <string.h>

#include "scene.h"

struct line {
    float diffuse[MAX_SIDE], highlight[MAX_SIDE];
};

/* up, here, down: rows of height, with `here` of n pixels from `left`; per_pixel: 0.5 / pixel side. */
ROW_CLONES static void light_row(const struct light *given, int32_t n, const float *restrict up,
                                 const float *restrict down, const float *restrict before,
                                 const float *restrict after, float per_pixel, struct line *restrict out)
{
    const struct light copy = *given, *l = &copy;
    float flat = l->z, sharper = l->squarings > 3, sharpest = l->squarings > 4;

    for (int32_t i = 0; i < n; i++) {
        float gx = (before[i] - after[i]) * per_pixel, gy = (up[i] - down[i]) * per_pixel;
        gx = least(most(gx, -2.5f), 2.5f);
        gy = least(most(gy, -2.5f), 2.5f);
        float norm = 1 / sqrtf(1 + gx * gx + gy * gy);
        float towards = most(0.0f, (gx * l->x + gy * l->y + l->z) * norm);
        float half = most(0.0f, (gx * l->half_x + gy * l->half_y + l->half_z) * norm);
        half *= half; /* power 8, 16 or 32 */
        half *= half;
        half *= half;
        half = blend(half, half * half, sharper);
        half = blend(half, half * half, sharpest);
        float stripes = sine((gx * l->mirror_x + gy * l->mirror_y) * norm * 0.7f);
        out->diffuse[i] = l->ambient + (1 - l->ambient) * towards / flat + l->mirror * stripes * norm;
        out->highlight[i] = l->gloss * half;
    }
}

ROW_CLONES static void camera_row(const struct light *given, int32_t n, int32_t left, float v, float side,
                                  const struct line *restrict line, const float *restrict albedo,
                                  float *restrict image)
{
    const struct light copy = *given, *l = &copy;

    for (int32_t i = 0; i < n; i++) {
        float u = ((float)(left + i) + 0.5f) * side - 0.5f;
        float lamp = l->exposure * most(0.2f, 1 + l->slope_x * u + l->slope_y * v) *
                     (1 - l->vignette * (u * u + v * v));
        float value = lamp * (albedo[i] * line->diffuse[i] + line->highlight[i]);
        image[i] = l->offset + l->gain * sqrtf(most(value, 0.0f));
    }
}

void shade(struct scene *s, struct box where)
{
    int32_t size = s->size, n = where.right - where.left, last = size - 1;
    float side = 1 / (float)size, padded[MAX_SIDE + 2];
    struct line line;

    for (int32_t row = where.top; row < where.bottom && n > 0; row++) {
        size_t at = (size_t)row * (size_t)size + (size_t)where.left;
        const float *here = s->height + (size_t)row * (size_t)size;
        const float *up = s->height + (size_t)(row > 0 ? row - 1 : 0) * (size_t)size + where.left;
        const float *down = s->height + (size_t)(row < last ? row + 1 : last) * (size_t)size + where.left;
        memcpy(padded + 1, here + where.left, (size_t)n * sizeof *padded);
        padded[0] = here[where.left > 0 ? where.left - 1 : 0];
        padded[n + 1] = here[where.right < size ? where.right : last];
        light_row(&s->light, n, up, down, padded, padded + 2, 0.5f * (float)size, &line);
        for (int32_t c = 0; c < 3; c++)
            camera_row(&s->light, n, where.left, ((float)row + 0.5f) * side - 0.5f, side, &line, s->albedo[c] + at,
                       s->image[c] + at);
    }
}

/* What a camera does for a picture that is all black, all white or all the same: exposure first, then contrast. */
void shade_adapt(struct scene *s)
{
    int32_t size = s->size, step = size / 16;
    float sum = 0, squares = 0, count = 0, mean, contrast;

    for (int32_t row = 1; row < size; row += 2) {
        const float *line = s->image[1] + (size_t)row * (size_t)size;
        for (int32_t i = 0; i + step < size; i += 2) {
            float change = line[i + step] - line[i];
            sum += line[i];
            squares += change * change;
            count++;
        }
    }
    mean = most(sum / count, 0.02f);
    contrast = most(sqrtf(0.5f * squares / count), 0.002f);
    s->light.gain = mean < 0.2f ? least(0.2f / mean, 3) : mean > 0.75f ? 0.75f / mean : 1;
    mean *= s->light.gain;
    contrast *= s->light.gain;
    if (contrast < 0.05f) {
        float more = least(0.05f / contrast, 5);
        s->light.gain *= more;
        s->light.offset = mean * (1 - more);
    }
    for (int32_t c = 0; c < 3 && (s->light.gain != 1 || s->light.offset != 0); c++)
        for (size_t i = 0; i < (size_t)size * (size_t)size; i++)
            s->image[c][i] = s->light.offset + s->light.gain * s->image[c][i];
}

/* ---- shadow ---- */

static void blur_row(const float *in, float *out, int32_t n, int32_t radius)
{
    float sum = 0, share = 1 / (float)(2 * radius + 1);

    for (int32_t i = -radius; i <= radius; i++)
        sum += in[i < 0 ? 0 : i < n ? i : n - 1];
    for (int32_t i = 0; i < n; i++) {
        out[i] = sum * share;
        int32_t enter = i + radius + 1, leave = i - radius;
        sum += in[enter < n ? enter : n - 1] - in[leave > 0 ? leave : 0];
    }
}

ROW_CLONES static void slide_rows(float *sum, const float *enter, const float *leave, float share, float *out,
                                  int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        out[i] = sum[i] * share;
        sum[i] += enter[i] - leave[i];
    }
}

void box_blur(float *plane, float *spare, int32_t size, int32_t radius)
{
    float sum[MAX_SIDE] = {0}, share = 1 / (float)(2 * radius + 1);
    size_t n = (size_t)size;

    for (int32_t row = 0; row < size; row++)
        blur_row(plane + (size_t)row * n, spare + (size_t)row * n, size, radius);
    for (int32_t k = -radius; k <= radius; k++)
        for (int32_t i = 0; i < size; i++)
            sum[i] += spare[(size_t)(k < 0 ? 0 : k < size ? k : size - 1) * n + (size_t)i];
    for (int32_t row = 0; row < size; row++) {
        int32_t enter = row + radius + 1, leave = row - radius;
        slide_rows(sum, spare + (size_t)(enter < size ? enter : size - 1) * n,
                   spare + (size_t)(leave > 0 ? leave : 0) * n, share, plane + (size_t)row * n, size);
    }
}

ROW_CLONES static void darken_row(int32_t n, const float *restrict shadow, const float *restrict mask, float strength,
                                  float *restrict albedo)
{
    for (int32_t i = 0; i < n; i++)
        albedo[i] *= 1 - strength * shadow[i] * (1 - mask[i]);
}

void shade_shadow(struct scene *s, float strength, int32_t radius)
{
    size_t n = (size_t)s->size;
    float *shadow = s->spare[0];
    int32_t shift_x = (int32_t)(s->light.x * 1.5f * (float)radius);
    int32_t shift_y = (int32_t)(s->light.y * 1.5f * (float)radius);

    memcpy(shadow, s->mask, n * n * sizeof *shadow);
    box_blur(shadow, s->spare[1], s->size, radius);
    for (int32_t row = 0; row < s->size; row++) {
        int32_t from = row + shift_y < 0 ? 0 : row + shift_y >= s->size ? s->size - 1 : row + shift_y;
        float moved[MAX_SIDE];
        for (int32_t i = 0; i < s->size; i++) {
            int32_t at = i + shift_x;
            moved[i] = shadow[(size_t)from * n + (size_t)(at < 0 ? 0 : at < s->size ? at : s->size - 1)];
        }
        for (int32_t c = 0; c < 3; c++)
            darken_row(s->size, moved, s->mask + (size_t)row * n, strength, s->albedo[c] + (size_t)row * n);
    }
}
