/* Families of turned, milled and wound metal parts. */
#include "object.h"

static void set_extent(struct builder *b, float half_x, float half_y)
{
    if (b->frame.scale == 1) { /* not a part of an assembly */
        b->object->half_x = half_x;
        b->object->half_y = half_y;
    }
}

static void set_ring(struct builder *b, float radius)
{
    if (b->frame.scale == 1)
        b->object->ring = radius;
}

static struct part round_part(enum part_kind kind, float radius, float raise, float bevel, int32_t colour)
{
    return (struct part){.kind = kind, .radius = radius, .half_x = radius * 1.16f, .half_y = radius * 1.16f,
                         .raise = raise, .bevel = bevel, .colour = colour, .opacity = 1};
}

/* A hole seen from above: dark ground, lower than the surface. */
static void add_hole(struct builder *b, float x, float y, float radius, bool sunk)
{
    struct part p = round_part(PART_DISC, radius * 1.7f, -0.35f * radius, 0.7f * radius, 3);

    p.on_surface = true;
    p.opacity = 0;
    if (sunk)
        add_part(b, p, x, y, 0);
    p = round_part(PART_DISC, radius, 0, 0.3f * radius, 0);
    p.base = -0.3f * radius;
    p.colour = 5;
    add_part(b, p, x, y, 0);
}

static struct part thread(struct maker *m, float half_x, float radius)
{
    float pitch = fminf(make_pitch(m, 2.5f, 20), radius * 0.9f);
    struct part p = {.kind = PART_ROD, .half_x = half_x, .half_y = radius, .radius = radius, .colour = 3,
                     .opacity = 1, .pitch = pitch, .slant = (float)dice_int(&m->parent, 1, 2)};

    p.profile = make_shape(m, 5);
    p.width = make_width(m, 0.35f, 0.65f);
    p.depth = pitch * dice_range(&m->parent, 0.3f, 0.65f);
    return p;
}

static struct part smooth_rod(float half_x, float radius, int32_t colour)
{
    return (struct part){.kind = PART_ROD, .half_x = half_x, .half_y = radius, .radius = radius, .colour = colour,
                         .opacity = 1, .pitch = 1, .slant = 0, .width = 0.5f, .depth = 0};
}

static void one_screw(struct builder *b, float y, float radius, const struct part *shaft, int32_t head, float neck)
{
    struct part p = *shaft;
    float head_half = 0.16f, front = -0.68f + neck;

    p.half_x = 0.5f * (1 - front);
    p.frame.x = 0;
    add_part(b, smooth_rod(0.5f * (neck + 0.1f), radius * 0.88f, 3), -0.68f + 0.5f * neck, y, 0);
    add_part(b, p, 0.5f * (1 + front), y, 0);
    if (head == 0) { /* hexagon from the side: three faces */
        for (int32_t i = -1; i <= 1; i++) {
            struct part face = {.kind = PART_BOX, .half_x = head_half, .half_y = radius * (i ? 0.5f : 1.0f),
                                .bevel = 0.02f, .raise = radius * (i ? 0.9f : 1.4f), .colour = 4, .opacity = 1};
            add_part(b, face, -0.84f, y + (float)i * 1.45f * radius, 0);
        }
    } else if (head == 1) { /* cylinder, knurled */
        struct part knurl = smooth_rod(head_half, radius * 1.7f, 4);
        struct part ridges = {.kind = PART_FINS, .half_x = radius * 1.7f, .half_y = head_half * 0.85f,
                              .on_surface = true, .pitch = shaft->pitch, .depth = 0.3f * shaft->pitch,
                              .width = 0.5f};
        add_part(b, knurl, -0.84f, y, 0);
        add_part(b, ridges, -0.84f, y, 0.25f);
    } else if (head == 2) { /* pan */
        struct part pan = {.kind = PART_DOME, .half_x = head_half * 1.2f, .half_y = radius * 1.9f,
                           .raise = radius * 1.6f, .colour = 4, .opacity = 1, .shape = 1};
        add_part(b, pan, -0.82f, y, 0);
    }
}

void build_screw(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t rows = dice_chance(d, 0.6f) ? 1 : dice_int(d, 2, 4);
    float radius = make_width(m, 0.12f, 0.34f) / (rows > 1 ? 1.6f : 1);
    struct part shaft = thread(m, 0.8f, radius);
    int32_t head = dice_below(d, 4);
    float neck = dice_chance(d, 0.5f) ? 0 : make_width(m, 0.1f, 0.5f);

    shaft.taper = dice_chance(d, 0.5f) ? dice_range(d, 0.05f, 0.5f) : 0;
    shaft.missing = m->changes & CHANGE_PROFILE ? make_missing(m) : 0;
    for (int32_t i = 0; i < rows; i++)
        one_screw(b, ((float)i - 0.5f * (float)(rows - 1)) * radius * 4.2f, radius, &shaft, head, neck);
    set_extent(b, 1, rows > 1 ? 2 * radius * (float)rows : radius);
}

/* A shaft of cylinders: plain, threaded, grooved, conical. */
void build_turned(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t pieces = dice_int(d, 2, 6);
    float at = -1, widest = 0, shares[6], total = 0;

    for (int32_t i = 0; i < pieces; i++)
        total += shares[i] = dice_range(d, 0.3f, 1);
    for (int32_t i = 0; i < pieces; i++) {
        struct maker piece = make_element(m, 1, i);
        float half = shares[i] / total, radius = dice_range(&piece.parent, 0.15f, 0.6f);
        struct part p = thread(&piece, half, radius);
        int32_t sort = dice_below(&piece.parent, 5);
        p.colour = dice_chance(&piece.parent, 0.7f) ? 3 : 4;
        if (sort <= 1) { /* marks of the lathe */
            p.slant = 0;
            p.depth *= sort == 0 ? 0.07f : 0.2f;
        }
        if (sort == 2)
            p.missing = make_missing(&piece);
        if (sort == 3 && dice_chance(&piece.parent, 0.3f))
            p.taper = half;
        m->used |= piece.used;
        add_part(b, p, at + half, 0, 0);
        at += 2 * half;
        widest = fmaxf(widest, radius);
    }
    set_extent(b, 1, widest);
}

static void add_centre(struct builder *b, float radius)
{
    struct dice *d = &b->m->parent;
    int32_t sort = dice_below(d, 4);

    if (sort == 0)
        return;
    if (sort == 1) { /* socket */
        struct part p = round_part(PART_POLYGON, radius * 0.8f, 0, 0.1f * radius, 5);
        p.count = make_count(b->m, 4, 8);
        add_part(b, p, 0, 0, dice_uniform(d));
        return;
    }
    add_hole(b, 0, 0, radius, sort == 2);
    if (sort == 3) { /* keyway */
        struct part p = {.kind = PART_BOX, .half_x = 0.25f * radius, .half_y = 0.25f * radius, .colour = 5,
                         .opacity = 1, .bevel = 0.01f};
        add_part(b, p, radius, 0, 0);
    }
}

static void add_circle_of_holes(struct builder *b, float around, float radius, int32_t count, int32_t missing,
                                bool sunk)
{
    for (int32_t i = 0; i < count; i++) {
        float angle = 6.2831853f * (float)i / (float)count;
        if (missing > 0 && i % missing == 0)
            continue;
        add_hole(b, around * cosf(angle), around * sinf(angle), radius, sunk);
    }
}

void build_gear(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float pitch = make_pitch(m, 3, 25);
    struct part p = round_part(PART_GEAR, 0.95f, 0.15f, 0.02f + 0.05f * dice_uniform(d), 3);
    int32_t holes = make_count(m, 3, 8);

    p.count = (int32_t)most(8, 6.0f / pitch);
    p.depth = least(0.3f, (5.7f / (float)p.count) * dice_range(d, 0.3f, 0.8f));
    p.width = make_width(m, 0.4f, 0.6f);
    p.shape = make_shape(m, 4);
    p.missing = make_missing(m);
    add_part(b, p, 0, 0, 0);
    if (dice_chance(d, 0.5f)) { /* a groove or a hub */
        float radius = dice_range(d, 0.3f, 0.65f), raise = dice_sign(d) * 0.08f;
        struct part hub = round_part(PART_DISC, radius, raise, 0.03f, 4);
        hub.on_surface = true;
        hub.opacity = dice_uniform(d) * 0.7f;
        add_part(b, hub, 0, 0, 0);
    }
    if (dice_chance(d, 0.6f)) {
        float radius = make_width(m, 0.06f, 0.14f);
        add_circle_of_holes(b, 0.5f, radius, holes, 0, dice_chance(d, 0.3f));
    }
    add_centre(b, make_width(m, 0.1f, 0.28f));
    set_extent(b, 0.95f, 0.95f);
    set_ring(b, 0.9f);
}

void build_nut(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float bore = make_width(m, 0.35f, 0.6f);
    struct part p = round_part(PART_POLYGON, 0.85f, 0.3f, 0.15f, 3);

    p.count = dice_chance(d, 0.6f) ? 6 : make_count(m, 4, 12);
    p.profile = dice_below(d, 3);
    add_part(b, p, 0, 0, 0);
    p = round_part(PART_DISC, bore * 1.15f, -0.08f, 0.08f, 4);
    p.on_surface = true;
    p.opacity = 0;
    add_part(b, p, 0, 0, 0);
    p = round_part(PART_DISC, bore, 0, 0.01f, 4);
    p.pitch = make_pitch(m, 2.5f, 12); /* the thread, seen as rings */
    p.depth = 0.5f * p.pitch;
    p.shape = dice_below(d, 4);
    add_part(b, p, 0, 0, 0);
    add_hole(b, 0.02f, 0.02f, bore * make_width(m, 0.6f, 0.85f), false);
    set_extent(b, 0.85f, 0.85f);
    set_ring(b, bore);
}

void build_flange(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    struct part p = round_part(PART_DISC, 0.95f, 0.12f, 0.03f, 3);
    int32_t rings = dice_int(d, 1, 4), holes = make_count(m, 3, 16);
    float bore = make_width(m, 0.1f, 0.35f);

    if (dice_chance(d, 0.6f)) { /* turning marks */
        p.pitch = make_pitch(m, 2.5f, 10);
        p.depth = p.pitch * dice_log(d, 0.04f, 0.3f);
        p.shape = make_shape(m, 4);
    }
    add_part(b, p, 0, 0, 0);
    for (int32_t i = 0; i < rings; i++) {
        struct maker ring = make_element(m, 2, i);
        float outer = dice_range(&ring.parent, 0.35f, 0.8f), raise = dice_range(&ring.parent, 0.02f, 0.12f);
        float up = dice_sign(&ring.parent);
        struct part step = round_part(PART_DISC, outer, up * raise, 0.02f, dice_int(&ring.parent, 3, 4));
        step.on_surface = true;
        step.inner = dice_chance(&ring.parent, 0.5f) ? outer * make_width(&ring, 0.6f, 0.9f) : 0;
        step.opacity = dice_chance(&ring.parent, 0.6f) ? 0 : 0.6f;
        m->used |= ring.used;
        add_part(b, step, 0, 0, 0);
    }
    float around = dice_range(d, 0.6f, 0.8f), hole = fminf(make_width(m, 0.04f, 0.13f), 2.0f / (float)holes);
    int32_t missing = dice_chance(d, 0.2f) ? make_missing(m) : 0;
    add_circle_of_holes(b, around, hole, holes, missing, dice_chance(d, 0.4f));
    add_centre(b, bore);
    set_extent(b, 0.95f, 0.95f);
    set_ring(b, 0.7f);
}

void build_plate(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float ratio = dice_range(d, 0.4f, 1), corner = make_width(m, 0.01f, 0.2f);
    struct part p = {.kind = PART_BOX, .half_x = 0.98f, .half_y = 0.98f * ratio, .radius = corner,
                     .bevel = dice_range(d, 0.01f, 0.06f), .raise = 0.1f, .colour = 3, .opacity = 1};
    struct part holes = {.kind = PART_LATTICE, .on_surface = true, .colour = 5, .half_x = 0.9f,
                         .half_y = 0.98f * ratio - 0.08f, .fill = 1};

    p.profile = dice_below(d, 3);
    add_part(b, p, 0, 0, 0);
    holes.pitch = make_pitch(m, 4, 30);
    holes.taper = dice_chance(d, 0.5f) ? 1 : make_width(m, 0.7f, 1.5f);
    holes.shape = make_shape(m, 6);
    holes.slant = dice_chance(d, 0.5f) ? 0 : 0.5f;
    holes.width = make_width(m, 0.2f, 0.4f);
    holes.profile = dice_below(d, 3);
    holes.bevel = holes.pitch * 0.12f;
    holes.raise = holes.pitch * dice_signed_log(d, 0.1f, 0.4f);
    holes.opacity = holes.raise < 0 ? dice_range(d, 0.4f, 1) : dice_uniform(d) * 0.5f;
    holes.missing = make_missing(m);
    add_part(b, holes, 0, 0, dice_chance(d, 0.3f) ? make_angle(m, -0.1f, 0.1f) : 0);
    if (dice_chance(d, 0.4f))
        add_circle_of_holes(b, 0.35f * ratio, 0.06f, make_count(m, 3, 6), 0, true);
    set_extent(b, 0.98f, 0.98f * ratio);
}

void build_spring(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t rows = dice_chance(d, 0.7f) ? 1 : dice_int(d, 2, 3);
    struct part p = {.kind = PART_COIL, .half_x = 1, .colour = 3, .opacity = 1};

    p.radius = dice_range(d, 0.15f, 0.5f) / (float)rows;
    p.pitch = make_pitch(m, 4, 28);
    p.width = fminf(p.pitch * make_width(m, 0.18f, 0.4f), p.radius * 0.4f);
    p.half_y = p.radius;
    for (int32_t i = 0; i < rows; i++) {
        float y = ((float)i - 0.5f * (float)(rows - 1)) * 2.3f * p.radius;
        if (dice_chance(d, 0.4f))
            add_part(b, smooth_rod(1.1f, 0.5f * p.radius, 4), 0, y, 0);
        add_part(b, p, 0, y, 0);
    }
    set_extent(b, 1, p.radius * 1.15f * (float)rows);
}

void build_fins(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float ratio = dice_range(d, 0.4f, 1);
    struct part p = {.kind = PART_FINS, .half_x = 0.98f, .half_y = 0.98f * ratio, .radius = 0.03f, .bevel = 0.03f,
                     .raise = 0.1f, .colour = 3, .opacity = 1};

    p.pitch = make_pitch(m, 2.5f, 25);
    p.depth = p.pitch * dice_range(d, 0.2f, 0.8f);
    p.profile = make_shape(m, 5);
    p.width = make_width(m, 0.3f, 0.7f);
    p.count = dice_chance(d, 0.3f); /* knurled */
    p.slant = p.count ? make_width(m, 0.5f, 1.5f) : dice_chance(d, 0.5f) ? 0 : dice_range(d, -0.5f, 0.5f);
    p.missing = make_missing(m);
    add_part(b, p, 0, 0, 0);
    if (dice_chance(d, 0.5f)) { /* a land with holes through it */
        struct part land = {.kind = PART_BOX, .half_x = 0.98f, .half_y = 0.1f, .bevel = 0.02f, .raise = 0.12f,
                            .colour = 4, .opacity = 1};
        add_part(b, land, 0, 0, 0);
        for (int32_t i = -2; i <= 2; i++)
            add_hole(b, 0.4f * (float)i, 0, 0.05f, false);
    }
    set_extent(b, 0.98f, 0.98f * ratio);
}

/* Discs on one axis seen from the side, or scattered rings from above. */
void build_washer_stack(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float radius = make_pitch(m, 8, 30), ratio = make_width(m, 0.4f, 0.75f);
    bool toothed = dice_chance(d, 0.4f);
    int32_t count = toothed ? make_count(m, 8, 24) : 8;

    radius = fminf(radius, 0.6f);
    for (int32_t i = 0; i < 24; i++) {
        struct part p = round_part(toothed ? PART_GEAR : PART_DISC, radius, 0.1f * radius, 0.15f * radius,
                                   dice_int(d, 3, 4));
        p.inner = radius * ratio;
        p.count = count;
        p.depth = toothed ? 0.15f * radius : 0;
        p.pitch = 1;
        p.width = 0.5f;
        p.base = 0.02f * (float)i * radius;
        float x = dice_range(d, -0.9f, 0.9f), y = dice_range(d, -0.9f, 0.9f);
        add_part(b, p, x, y, dice_uniform(d));
    }
    set_extent(b, 0.9f, 0.9f);
}
