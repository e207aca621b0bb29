/* Inside of the defects: the place of one, and what the files of this folder that draw them share. */
#ifndef DN_PRETRAIN_DEFECT_SPOT_H
#define DN_PRETRAIN_DEFECT_SPOT_H

#include "defect.h"

/* Where and how strong.  Lengths in pixels. */
struct spot {
    float x, y;             /* centre */
    float radius, ratio;    /* half length along its direction; across / along */
    float cosine, sine;
    float width;            /* of thin ones, half */
    float amplitude;        /* signed, display values */
    float tint[3];          /* of the amplitude, per channel */
    float bend;             /* curvature of lines, 1 / pixel */
    float rough;            /* 0..1: irregular outline */
    uint32_t seed;
    struct box box;
};

/* Value at the nearest pixel. */
static inline float plane_at(const float *plane, int32_t size, int32_t x, int32_t y)
{
    x = x < 0 ? 0 : x < size ? x : size - 1;
    y = y < 0 ? 0 : y < size ? y : size - 1;
    return plane[(size_t)y * (size_t)size + (size_t)x];
}

/* Value between the pixels. */
static inline float sample(const float *plane, int32_t size, float x, float y)
{
    x = least(most(x, 0.0f), (float)(size - 1));
    y = least(most(y, 0.0f), (float)(size - 1));
    int32_t i = (int32_t)x, j = (int32_t)y, right = i + 1 < size, below = j + 1 < size ? size : 0;
    const float *at = plane + (size_t)j * (size_t)size + (size_t)i;
    float fx = x - (float)i, fy = y - (float)j;

    return blend(blend(at[0], at[right], fx), blend(at[below], at[below + right], fx), fy);
}

/* Of a pixel: along and across the spot's direction. */
static inline void spot_frame(const struct spot *p, int32_t x, int32_t y, float *along, float *across)
{
    float dx = (float)x - p->x, dy = (float)y - p->y;

    *along = dx * p->cosine + dy * p->sine;
    *across = dy * p->cosine - dx * p->sine;
}

/* Signed distance to the outline of a blob, pixels. */
static inline float blob_distance(const struct spot *p, int32_t x, int32_t y)
{
    float u, v, noise = 0;

    spot_frame(p, x, y, &u, &v);
    if (p->rough > 0) {
        float f = 2.5f / p->radius;
        noise = value_noise(u * f + 30, v * f + 30, p->seed);
        noise += 0.5f * value_noise(u * f * 2 + 30, v * f * 2, p->seed + 1);
    }
    return sqrtf(u * u + v * v / (p->ratio * p->ratio)) * (1 - 0.15f * p->rough) + p->rough * p->radius * 0.4f * noise -
           p->radius;
}

/* defect_paint.c: changes of brightness and colour, and of the height */
void paint_scratch(struct scene *s, struct spot *p);
void paint_fibre(struct scene *s, struct spot *p);
void paint_crack(struct scene *s, struct spot *p, struct dice *d);
void paint_stain(struct scene *s, struct spot *p);
void paint_pit(struct scene *s, struct spot *p);
void paint_colour(struct scene *s, const struct spot *p, struct dice *d);
void paint_dent(struct scene *s, const struct spot *p);
void paint_chip(struct scene *s, const struct spot *p);

/* defect_move.c: pixels from elsewhere */
void move_warp(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt);
void move_swirl(struct scene *s, const struct spot *p, struct dice *d);
void move_cut(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt);
void move_patch(struct scene *s, const struct spot *p, struct dice *d);
void move_blur(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt);
void move_missing(struct scene *s, const struct spot *p);

#endif
