/* A picture in the making: planes of (size, size) floats. */
#ifndef DN_PRETRAIN_SCENE_H
#define DN_PRETRAIN_SCENE_H

#include "maker.h"
#include "noise.h"

#define COLOURS 6 /* of a palette: 0, 1, 2 the background, 3, 4, 5 the object */
#define SPARES 8

struct light {
    float x, y, z;             /* direction to the light, unit length */
    float half_x, half_y, half_z; /* half way between light and eye */
    float ambient;             /* 0..1: light that comes from everywhere */
    float gloss;               /* strength of the highlight */
    int32_t squarings;         /* 3, 4, 5: the highlight's power is 2^squarings */
    float mirror, mirror_x, mirror_y; /* strength and direction of a striped surrounding that metal reflects */
    float slope_x, slope_y;    /* of brightness over the picture, per side */
    float vignette;            /* darkening of the corners */
    float exposure;
    float gain, offset;        /* of the display values at the end: 1 and 0 */
};

struct scene {
    int32_t size;
    float *height;    /* in picture sides */
    float *mask;      /* 0..1: the object covers the pixel */
    float *albedo[3]; /* linear */
    float *under[3];  /* albedo of the background */
    float *image[3];  /* display values, 0..1 and a little beyond */
    float *good[3];   /* the image before the defect */
    float *spare[SPARES];
    struct light light;
    float palette[COLOURS][3]; /* linear */
};

/* Where an instance lies: point p of the class, in picture sides from the centre, is seen at scale * R p + (x, y). */
struct pose {
    float cosine, sine, scale, x, y;
};

struct box {
    int32_t left, top, right, bottom; /* right and bottom are outside */
};

/* Computes scene->image inside the box from height and albedo. */
void shade(struct scene *s, struct box where);
/* Gain and offset for the picture that was shaded, which is changed accordingly; later calls of shade() follow. */
void shade_adapt(struct scene *s);
/* Darkens the albedo of the background beside the object. */
void shade_shadow(struct scene *s, float strength, int32_t radius);
/* In place; radius in pixels; `spare`: a plane to work with. */
void box_blur(float *plane, float *spare, int32_t size, int32_t radius);

#endif
