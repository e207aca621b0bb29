/* Draws the numbers that make a class.  All come from the dice of the family ("parent"); near twins of one family
 * differ by what their `changes` name, small geometry only. */
#ifndef DN_PRETRAIN_MAKER_H
#define DN_PRETRAIN_MAKER_H

#include "random.h"

enum change {
    CHANGE_PITCH = 1,   /* 6 to 15 per cent */
    CHANGE_WIDTH = 2,   /* of strokes, holes, corners: 15 to 35 per cent */
    CHANGE_COUNT = 4,   /* one more or less */
    CHANGE_PROFILE = 8, /* another shape of tooth or element; every k-th missing */
    CHANGE_ANGLE = 16,  /* 4 to 9 degrees */
};

struct maker {
    struct dice parent, twin;
    unsigned changes; /* of enum change, that this twin has; 0: the first of the family */
    unsigned used;    /* of enum change, that the family has a number for */
    float unit;       /* picture sides per unit of the frame that is being built */
};

static inline float maker_vary(struct maker *m, unsigned change, float low, float high)
{
    m->used |= change;
    if (!(m->changes & change))
        return 1;
    float amount = dice_range(&m->twin, low, high);
    return dice_chance(&m->twin, 0.5f) ? 1 + amount : 1 / (1 + amount);
}

/* A pitch in units of the frame; low, high: in pixels of a picture of 128. */
static inline float make_pitch(struct maker *m, float low, float high)
{
    return dice_log(&m->parent, low, high) / (128 * m->unit) * maker_vary(m, CHANGE_PITCH, 0.06f, 0.15f);
}

/* A width, in the unit of low and high. */
static inline float make_width(struct maker *m, float low, float high)
{
    return dice_range(&m->parent, low, high) * maker_vary(m, CHANGE_WIDTH, 0.15f, 0.35f);
}

static inline int32_t make_count(struct maker *m, int32_t low, int32_t high)
{
    int32_t count = dice_int(&m->parent, low, high);

    m->used |= CHANGE_COUNT;
    if (m->changes & CHANGE_COUNT)
        count += count > low && dice_chance(&m->twin, 0.5f) ? -1 : 1;
    return count;
}

/* One of 0 .. n - 1. */
static inline int32_t make_shape(struct maker *m, int32_t n)
{
    int32_t shape = dice_below(&m->parent, n);

    m->used |= CHANGE_PROFILE;
    if (m->changes & CHANGE_PROFILE)
        shape = (shape + dice_int(&m->twin, 1, n - 1)) % n;
    return shape;
}

/* In turns. */
static inline float make_angle(struct maker *m, float low, float high)
{
    float angle = dice_range(&m->parent, low, high);

    m->used |= CHANGE_ANGLE;
    if (m->changes & CHANGE_ANGLE)
        angle += dice_signed_log(&m->twin, 4, 9) / 360;
    return angle;
}

/* The maker for element `index` of several alike: with dice of its own, so that one more or less leaves the others as
 * they are. */
static inline struct maker make_element(const struct maker *m, uint64_t stream, int32_t index)
{
    struct maker one = *m;

    one.parent = dice_of(m->parent.state, stream, (uint64_t)index);
    return one;
}

/* k: every k-th element is missing; mostly 0, none is. */
static inline int32_t make_missing(struct maker *m)
{
    int32_t missing = dice_chance(&m->parent, 0.25f) ? dice_int(&m->parent, 3, 9) : 0;

    m->used |= CHANGE_PROFILE;
    if (m->changes & CHANGE_PROFILE)
        missing = missing ? missing + 1 : dice_int(&m->twin, 3, 7);
    return missing;
}

#endif
