#include "picture_class.h"

#include <stddef.h>

enum stream { STREAM_FAMILY = 1, STREAM_PARENT, STREAM_TWIN, STREAM_LOOK };

static const char *const texture_names[FIELD_KINDS] = {
    "noise", "cells", "crystal", "grating", "weave", "marble", "shapes", "sines", "brushed", "rings", "speckle", "mesh",
    "perforated", "tiles", "leather", "fibres"};

int32_t class_texture_families(void)
{
    return FIELD_KINDS;
}

int32_t class_families(void)
{
    return FIELD_KINDS + object_family_count;
}

const char *class_family_name(int32_t family)
{
    if (family < 0 || family >= class_families())
        return NULL;
    return family < FIELD_KINDS ? texture_names[family] : object_families[family - FIELD_KINDS].name;
}

/* Two of five classes are textures. */
int32_t class_family_of(uint64_t seed, int32_t siblings, int32_t number)
{
    struct dice d = dice_of(seed, STREAM_FAMILY, (uint64_t)(number / siblings));

    if (dice_chance(&d, 0.4f))
        return dice_below(&d, FIELD_KINDS);
    return FIELD_KINDS + dice_below(&d, object_family_count);
}

/* Display values.  The colours of objects and of a texture's second level are 0.15 or more from the first,
 * unless that is near black or white. */
static void make_palette(struct picture_class *c, struct dice *d)
{
    float first = dice_range(d, 0.12f, 0.85f), tint[3] = {0};
    bool one_tint = dice_chance(d, 0.5f);

    c->grey = dice_chance(d, 0.4f);
    for (int32_t i = 0; i < 3; i++)
        tint[i] = dice_range(d, -0.25f, 0.25f);
    for (int32_t k = 0; k < COLOURS; k++) {
        float step = dice_log(d, 0.15f, 0.7f), level = first;
        if (k == 1 || k >= 3)
            level += first + step < 0.95f && (first - step < 0.05f || dice_chance(d, 0.6f)) ? step : -step;
        if (k == 2)
            level = dice_range(d, 0.1f, 0.9f);
        if (k == 5) /* holes and ink: dark, or light on dark */
            level = c->palette[3][1] > 0.35f ? dice_range(d, 0.03f, 0.2f) : dice_range(d, 0.6f, 0.95f);
        level = clamp01(level);
        level = most(level, 0.04f);
        for (int32_t i = 0; i < 3; i++) {
            float own = one_tint ? tint[i] : dice_range(d, -0.35f, 0.35f);
            c->palette[k][i] = c->grey ? level : least(most(level + own * (0.3f + level * 0.7f), 0.02f), 0.97f);
        }
    }
}

static void make_look(struct picture_class *c, struct dice *d)
{
    bool metal = dice_chance(d, 0.4f);

    make_palette(c, d);
    c->ambient = dice_range(d, 0.25f, 0.7f);
    c->gloss = metal ? dice_range(d, 0.1f, 0.6f) : dice_chance(d, 0.5f) ? 0 : dice_range(d, 0.02f, 0.25f);
    c->squarings = dice_int(d, 3, 5);
    c->mirror = metal ? dice_range(d, 0.05f, 0.35f) : 0;
    c->shadow = dice_chance(d, 0.4f) ? 0 : dice_range(d, 0.2f, 0.7f);
}

static unsigned twin_changes(struct maker *m, int32_t sibling)
{
    unsigned changes = 0;

    if (sibling > 0) {
        changes = 1u << ((sibling - 1) % 5);
        for (unsigned k = 0; k < 5; k++)
            changes |= dice_chance(&m->twin, 0.25f) ? 1u << k : 0;
    }
    return changes;
}

static void build_class(struct picture_class *c, struct maker *m)
{
    m->unit = 1;
    if (class_is_object(c)) {
        make_background(&c->ground, m);
        make_object(&c->object, m, object_families[c->family - FIELD_KINDS].build);
    } else {
        make_texture(&c->ground, m, (enum field_kind)c->family);
    }
}

void make_class(struct picture_class *c, uint64_t seed, int32_t siblings, int32_t number)
{
    uint64_t parent = (uint64_t)(number / siblings);
    struct dice look = dice_of(seed, STREAM_LOOK, parent);
    struct maker start = {.parent = dice_of(seed, STREAM_PARENT, parent),
                          .twin = dice_of(seed, STREAM_TWIN, (uint64_t)number)};
    struct maker m;

    c->family = class_family_of(seed, siblings, number);
    start.changes = twin_changes(&start, number % siblings);
    m = start;
    build_class(c, &m);
    if (start.changes && !(m.used & start.changes)) { /* nothing to change in this family: the pitch, then */
        m = start;
        m.changes |= CHANGE_PITCH;
        build_class(c, &m);
    }
    make_look(c, &look);
}
