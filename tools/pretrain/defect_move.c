#include <string.h>

#include "defect_spot.h"

struct move {
    float x, y, turn, zoom; /* of the middle: shift in pixels, rotation in radians, enlargement */
    bool band;              /* a band along the spot's direction moves, with sharp borders */
};

/* In pixels. */
static float shift_length(const struct spot *p, struct dice *d, int32_t attempt)
{
    return most(1.2f, p->radius * dice_log(d, 0.12f, 0.5f)) * (1 + 0.3f * (float)attempt);
}

static void move_pixels(struct scene *s, const struct spot *p, const struct move *m)
{
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float u, v, dx = (float)x - p->x, dy = (float)y - p->y;
            spot_frame(p, x, y, &u, &v);
            float r = sqrtf(u * u + v * v) / (1.2f * p->radius), w = smooth01(1.5f * (1 - r));
            if (m->band)
                w = (fabsf(v) < p->ratio * p->radius * 0.7f) * (r < 1 ? 1.0f : 0.0f);
            if (w <= 0)
                continue;
            float a = m->turn * w, zoom = 1 + m->zoom * w, c = cosf(a) * zoom, t = sinf(a) * zoom;
            float from_x = p->x + dx * c - dy * t + m->x * w, from_y = p->y + dx * t + dy * c + m->y * w;
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t k = 0; k < 3; k++)
                s->image[k][at] = sample(s->good[k], s->size, from_x, from_y);
        }
    }
}

void move_warp(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt)
{
    float reach = shift_length(p, d, attempt);
    struct move m = {.x = reach * p->cosine, .y = reach * p->sine};

    if (dice_chance(d, 0.5f)) /* larger or smaller in the middle, instead of pulled aside */
        m = (struct move){.zoom = dice_chance(d, 0.5f) ? dice_range(d, 0.25f, 0.8f) : -dice_range(d, 0.2f, 0.45f)};
    move_pixels(s, p, &m);
}

void move_swirl(struct scene *s, const struct spot *p, struct dice *d)
{
    struct move m = {.turn = dice_signed_log(d, 0.3f, 2.5f)};

    move_pixels(s, p, &m);
}

void move_cut(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt)
{
    float reach = shift_length(p, d, attempt);
    struct move m = {.x = reach * p->cosine, .y = reach * p->sine, .band = true};

    move_pixels(s, p, &m);
}

void move_patch(struct scene *s, const struct spot *p, struct dice *d)
{
    float side = (float)s->size;
    float from_x = dice_range(d, 0.15f, 0.85f) * side, from_y = dice_range(d, 0.15f, 0.85f) * side;
    bool turned = dice_chance(d, 0.4f);
    float soft = dice_chance(d, 0.5f) ? 1 : 1 + 0.5f * p->radius;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = inside(blob_distance(p, x, y) + 0.4f * (soft - 1), soft);
            float dx = (float)x - p->x, dy = (float)y - p->y;
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = blend(s->good[c][at], sample(s->good[c], s->size, from_x + (turned ? -dy : dx),
                                                               from_y + (turned ? dx : dy)), w);
        }
    }
}

void move_blur(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt)
{
    int32_t radius = (int32_t)(dice_log(d, 1, 5) * most(1, (float)s->size / 128)) + attempt / 2;

    for (int32_t c = 0; c < 3; c++) {
        memcpy(s->spare[c], s->good[c], (size_t)s->size * (size_t)s->size * sizeof(float));
        box_blur(s->spare[c], s->spare[3], s->size, radius);
        box_blur(s->spare[c], s->spare[3], s->size, radius);
    }
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = smooth01(0.5f - blob_distance(p, x, y) / 3);
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = blend(s->good[c][at], s->spare[c][at], w);
        }
    }
}

/* The values of the outline, spread inwards: what is inside is gone. */
void move_missing(struct scene *s, const struct spot *p)
{
    float ring[3][16];

    for (int32_t k = 0; k < 16; k++) {
        float a = 6.2831853f * (float)k / 16;
        float u = 1.15f * p->radius * cosf(a), v = 1.15f * p->radius * p->ratio * sinf(a);
        for (int32_t c = 0; c < 3; c++)
            ring[c][k] = sample(s->good[c], s->size, p->x + u * p->cosine - v * p->sine,
                                p->y + u * p->sine + v * p->cosine);
    }
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float u, v, w = inside(blob_distance(p, x, y), 1.5f), sum[3] = {0}, total = 0;
            if (w <= 0)
                continue;
            spot_frame(p, x, y, &u, &v);
            for (int32_t k = 0; k < 16; k++) {
                float a = (float)k / 16, du = u - 1.15f * p->radius * sine(a + 0.25f);
                float dv = v - 1.15f * p->radius * p->ratio * sine(a), near = 1 / (du * du + dv * dv + 0.1f);
                total += near;
                for (int32_t c = 0; c < 3; c++)
                    sum[c] += near * ring[c][k];
            }
            for (int32_t c = 0; c < 3; c++) {
                float *at = &s->image[c][(size_t)y * (size_t)s->size + (size_t)x];
                *at = blend(*at, sum[c] / total, w);
            }
        }
    }
}
