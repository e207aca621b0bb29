#include <string.h>

#include "defect_spot.h"

/* Of a pixel, 0..1. */
typedef float weight_function(const struct spot *p, int32_t x, int32_t y);

/* Adds weight * amplitude * tint to the image within the box. */
static void paint(struct scene *s, const struct spot *p, weight_function *weight)
{
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = weight(p, x, y);
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] + w * p->amplitude * p->tint[c]);
        }
    }
}

/* Nearly white or black already: the other way shows more. */
static void turn_amplitude(const struct scene *s, struct spot *p)
{
    float here = plane_at(s->good[1], s->size, (int32_t)p->x, (int32_t)p->y);

    if ((here > 0.75f && p->amplitude > 0) || (here < 0.2f && p->amplitude < 0))
        p->amplitude = -p->amplitude;
}

/* ---- lines ---- */

static float line_weight(const struct spot *p, int32_t x, int32_t y)
{
    float u, v;

    spot_frame(p, x, y, &u, &v);
    v -= p->bend * 0.5f * u * u;
    float ends = inside((fabsf(u) - p->radius) / 3, 1), strength = 0.6f + 0.4f * value_noise(u * 0.2f + 99, 0, p->seed);
    return inside(fabsf(v) / sqrtf(1 + p->bend * p->bend * u * u) - p->width, 1.2f) * ends * strength;
}

void paint_scratch(struct scene *s, struct spot *p)
{
    turn_amplitude(s, p);
    paint(s, p, line_weight);
}

/* A hair with its shadow beside it. */
void paint_fibre(struct scene *s, struct spot *p)
{
    struct spot shadow = *p;

    p->amplitude = (p->amplitude > 0 ? 1 : -1) * most(fabsf(p->amplitude), 0.15f);
    turn_amplitude(s, p);
    shadow.x += 1.5f * p->width;
    shadow.y += 1.5f * p->width;
    shadow.amplitude = -0.08f;
    paint(s, &shadow, line_weight);
    paint(s, p, line_weight);
}

#define CRACK_POINTS 20

/* A random walk, thinner towards its ends. */
void paint_crack(struct scene *s, struct spot *p, struct dice *d)
{
    float px[CRACK_POINTS], py[CRACK_POINTS], step = 2 * p->radius / CRACK_POINTS, angle = atan2f(p->sine, p->cosine);
    float x = p->x - p->cosine * p->radius, y = p->y - p->sine * p->radius;

    p->amplitude = -fabsf(p->amplitude) - 0.08f;
    turn_amplitude(s, p);
    for (int32_t i = 0; i < CRACK_POINTS; i++) {
        px[i] = x;
        py[i] = y;
        float way = angle + dice_range(d, -1.1f, 1.1f);
        x += cosf(way) * step;
        y += sinf(way) * step;
    }
    for (int32_t j = p->box.top; j < p->box.bottom; j++) {
        for (int32_t i = p->box.left; i < p->box.right; i++) {
            float best = 1e9f;
            for (int32_t k = 0; k + 1 < CRACK_POINTS; k++) {
                float ax = px[k + 1] - px[k], ay = py[k + 1] - py[k], bx = (float)i - px[k], by = (float)j - py[k];
                float t = clamp01((ax * bx + ay * by) / (ax * ax + ay * ay));
                float ex = bx - t * ax, ey = by - t * ay;
                float middle = fabsf(((float)k + t) / CRACK_POINTS * 2 - 1);
                best = least(best, sqrtf(ex * ex + ey * ey) - p->width * (1 - 0.7f * middle));
            }
            float w = inside(best, 1);
            size_t at = (size_t)j * (size_t)s->size + (size_t)i;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] + w * p->amplitude);
        }
    }
}

/* ---- spots ---- */

static float stain_weight(const struct spot *p, int32_t x, int32_t y)
{
    float d = blob_distance(p, x, y), soft = 1 + p->radius * (p->seed & 1 ? 1.2f : 0.1f);

    return smooth01(0.5f - (d + 0.25f * soft) / soft);
}

void paint_stain(struct scene *s, struct spot *p)
{
    turn_amplitude(s, p);
    paint(s, p, stain_weight);
}

static float core_weight(const struct spot *p, int32_t x, int32_t y)
{
    return inside(blob_distance(p, x, y) + 0.25f * p->radius, 1.2f);
}

static float rim_weight(const struct spot *p, int32_t x, int32_t y)
{
    float u, v, d = blob_distance(p, x, y), thick = most(0.25f * p->radius, 0.8f);

    spot_frame(p, x, y, &u, &v);
    return inside(fabsf(d + 0.1f * p->radius) - 0.5f * thick, 1.2f) * clamp01(0.5f + 0.7f * u / p->radius);
}

void paint_pit(struct scene *s, struct spot *p)
{
    struct spot rim = *p;

    p->amplitude = -fabsf(p->amplitude) - 0.05f;
    turn_amplitude(s, p);
    rim.amplitude = -0.7f * p->amplitude;
    paint(s, p, core_weight);
    paint(s, &rim, rim_weight);
}

/* The scene with a height and an albedo of its own. */
static struct scene damaged_scene(struct scene *s)
{
    struct scene t = *s;
    size_t bytes = (size_t)s->size * (size_t)s->size * sizeof(float);

    t.height = s->spare[0];
    memcpy(t.height, s->height, bytes);
    for (int32_t c = 0; c < 3; c++) {
        t.albedo[c] = s->spare[1 + c];
        memcpy(t.albedo[c], s->albedo[c], bytes);
    }
    return t;
}

void paint_dent(struct scene *s, const struct spot *p)
{
    struct scene t = damaged_scene(s);
    float depth = 1.6f * p->amplitude * p->radius / (float)s->size;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float in = clamp01(-blob_distance(p, x, y) / p->radius);
            t.height[(size_t)y * (size_t)s->size + (size_t)x] += depth * in * in * (3 - 2 * in);
        }
    }
    shade(&t, p->box);
}

/* Part of the object breaks away: the background shows; without an edge nearby, a hollow with a sharp border. */
void paint_chip(struct scene *s, const struct spot *p)
{
    struct scene t = damaged_scene(s);
    float depth = (0.3f + fabsf(p->amplitude)) * 0.25f * p->radius / (float)s->size;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            float w = inside(blob_distance(p, x, y), 1), away = w * s->mask[at];
            float grain = value_noise((float)x * 0.5f, (float)y * 0.5f, p->seed + 9);
            for (int32_t c = 0; c < 3; c++) {
                float broken = s->albedo[c][at] * (1 + p->amplitude * w * (0.5f + grain));
                t.albedo[c][at] = s->mask[at] > 0 ? blend(s->albedo[c][at], s->under[c][at], away) : broken;
            }
            t.height[at] = s->mask[at] > 0 ? blend(s->height[at], 0, away)
                                           : s->height[at] - depth * w * (0.5f + grain);
        }
    }
    shade(&t, p->box);
}

void paint_colour(struct scene *s, const struct spot *p, struct dice *d)
{
    float gain[3], all = 1 + 0.8f * p->amplitude;

    for (int32_t c = 0; c < 3; c++)
        gain[c] = all * (1 + (p->tint[c] - 0.6f) * 0.6f * dice_uniform(d) * (p->tint[0] != 1));
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = stain_weight(p, x, y);
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] * blend(1, gain[c], w));
        }
    }
}
