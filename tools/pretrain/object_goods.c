/* Families of packed, woven and wound goods, and assemblies of all. */
#include "object.h"

static void set_extent(struct builder *b, float half_x, float half_y)
{
    if (b->frame.scale == 1) {
        b->object->half_x = half_x;
        b->object->half_y = half_y;
    }
}

static void add_imprint(struct builder *b, float width, bool line)
{
    struct dice *d = &b->m->parent;
    struct part ink = {.on_surface = true, .colour = 5, .bevel = 0.04f * width, .profile = 2};
    int32_t strokes = make_count(b->m, 2, 6);

    ink.opacity = dice_chance(d, 0.5f) ? 0 : 0.8f;
    ink.raise = dice_chance(d, 0.5f) ? -0.06f * width : 0.03f * width;
    float w = width * make_width(b->m, 0.03f, 0.09f);
    if (line) {
        add_stroke(b, ink, 0, -width, 0, width, w);
        return;
    }
    float x = dice_range(d, -0.5f, 0.5f) * width, y = dice_range(d, -0.5f, 0.5f) * width;
    struct builder turned = inner_builder(b, 0, 0, make_angle(b->m, 0, 0), 1);
    for (int32_t i = 0; i < strokes; i++) {
        float nx = dice_range(d, -0.5f, 0.5f) * width, ny = dice_range(d, -0.5f, 0.5f) * width;
        add_stroke(&turned, ink, x, y, nx, ny, w);
        x = nx;
        y = ny;
    }
}

void build_pill(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t sort = dice_below(d, 3), grid = dice_chance(d, 0.5f) ? 1 : dice_int(d, 2, 5);
    float ratio = sort == 0 ? 1 : dice_range(d, 0.35f, 0.7f), size = 1.0f / (float)grid;

    for (int32_t i = 0; i < grid * grid; i++) {
        float x = ((float)(i % grid) - 0.5f * (float)(grid - 1)) * 2 * size, bevel = 0.3f + 0.6f * (float)(sort == 1);
        float y = ((float)(i / grid) - 0.5f * (float)(grid - 1)) * 2 * size;
        struct builder in = inner_builder(b, x, y, 0, size * 0.9f);
        struct maker same = *m; /* every pill of a blister is the same */
        struct part body = {.kind = PART_BOX, .half_x = 0.95f, .half_y = 0.95f * ratio, .radius = 0.95f * ratio,
                            .profile = 1, .raise = 0.4f * ratio, .colour = 3, .opacity = 1};
        in.m = i == grid * grid - 1 ? m : &same;
        body.bevel = bevel * ratio * maker_vary(in.m, CHANGE_WIDTH, 0.25f, 0.5f);
        body.half_x *= maker_vary(in.m, CHANGE_PITCH, 0.06f, 0.12f);
        add_part(&in, body, 0, 0, 0);
        if (sort == 1) { /* a capsule of two halves */
            struct part half = body;
            half.half_x = 0.95f * make_width(in.m, 0.4f, 0.6f);
            half.colour = 4;
            half.half_y *= 1.05f;
            half.radius = fminf(half.half_y, half.half_x);
            add_part(&in, half, -0.95f + half.half_x, 0, 0);
        }
        add_imprint(&in, 0.6f * ratio, sort == 0 && dice_chance(&in.m->parent, 0.4f));
    }
    set_extent(b, 0.95f, grid == 1 ? 0.95f * ratio : 0.95f);
}

void build_bottle(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t rings = make_count(m, 3, 7), knurled = dice_below(d, 2);
    float radius = 0.95f;

    if (knurled) {
        struct part cap = {.kind = PART_GEAR, .radius = 0.97f, .half_x = 1, .half_y = 1, .raise = 0.1f, .bevel = 0.04f,
                           .colour = 4, .opacity = 1, .width = 0.5f};
        cap.count = (int32_t)most(12, 6.0f / make_pitch(m, 2.5f, 10));
        cap.depth = 3.0f / (float)cap.count * 0.6f;
        cap.shape = make_shape(m, 3);
        add_part(b, cap, 0, 0, 0);
        radius = 0.97f - cap.depth * 1.2f;
    }
    for (int32_t i = 0; i < rings; i++) {
        struct part p = {.kind = PART_DISC, .radius = radius, .half_x = radius, .half_y = radius, .colour = 3 + i % 3,
                         .opacity = 1, .pitch = 0.1f, .base = 0.02f * (float)i};
        struct maker ring = make_element(m, 3, i);
        p.profile = dice_below(&ring.parent, 3);
        p.raise = dice_range(&ring.parent, -0.15f, 0.2f);
        p.bevel = radius * make_width(&ring, 0.03f, 0.2f);
        if (dice_chance(&ring.parent, 0.3f)) {
            p.pitch = make_pitch(&ring, 2.5f, 9);
            p.depth = 0.2f * p.pitch;
        }
        add_part(b, p, 0, 0, 0);
        m->used |= ring.used;
        radius *= dice_range(&ring.parent, 0.6f, 0.93f);
    }
    set_extent(b, 0.95f, 0.95f);
}

void build_cable(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t cores = make_count(m, 1, 7);
    float core = cores == 1 ? 0.8f : cores <= 4 ? 0.42f : 0.3f, strand = make_pitch(m, 3, 14);
    float wall = make_width(m, 0.6f, 0.85f);
    struct part sheath = {.kind = PART_DISC, .radius = 0.97f, .half_x = 0.97f, .half_y = 0.97f, .bevel = 0.06f,
                          .raise = 0.1f, .profile = 1, .colour = 3, .opacity = 1};

    strand = fminf(strand, 0.5f * core * wall);
    add_part(b, sheath, 0, 0, 0);
    for (int32_t i = 0; i < cores; i++) {
        float around = cores == 1 || (cores == 7 && i == 6) ? 0 : cores <= 4 ? 0.48f : 0.6f;
        float angle = 6.2831853f * (float)i / (float)(cores >= 7 ? cores - 1 : cores);
        float x = around * cosf(angle), y = around * sinf(angle);
        struct part skin = sheath, copper = {.kind = PART_LATTICE, .pitch = strand, .slant = 0.5f, .taper = 0.866f,
                                             .width = 0.47f, .profile = 1, .raise = 0.3f * strand, .fill = 1,
                                             .colour = 4, .opacity = 1, .base = 0.08f};
        skin.radius = skin.half_x = skin.half_y = core;
        skin.colour = dice_int(d, 3, 5);
        skin.bevel = 0.03f;
        add_part(b, skin, x, y, 0);
        copper.inner = core * wall - 0.5f * strand;
        copper.half_x = copper.half_y = core * wall;
        if (copper.inner > 0)
            add_part(b, copper, x, y, make_angle(m, 0, 1));
    }
    set_extent(b, 0.95f, 0.95f);
}

void build_zipper(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    struct part teeth = {.kind = PART_TEETH, .half_x = 1, .colour = 4, .opacity = 1, .bevel = 0.03f, .base = 0.03f};
    struct part tape = {.kind = PART_BOX, .half_x = 1.02f, .half_y = 0.6f, .raise = 0.02f, .bevel = 0.02f, .colour = 3,
                        .opacity = 1};
    struct part cloth = {.kind = PART_FINS, .half_x = 1, .half_y = 0.58f, .on_surface = true, .width = 0.5f};

    teeth.pitch = make_pitch(m, 4, 24);
    teeth.half_y = fminf(0.45f, teeth.pitch * dice_range(d, 0.7f, 1.6f));
    teeth.width = make_width(m, 0.18f, 0.26f);
    teeth.radius = 0.15f;
    teeth.shape = dice_below(d, 2);
    teeth.raise = 0.25f * teeth.pitch;
    teeth.missing = make_missing(m);
    cloth.pitch = make_pitch(m, 2.5f, 6);
    cloth.depth = 0.2f * cloth.pitch;
    cloth.slant = dice_range(d, -1, 1);
    cloth.count = dice_below(d, 2);
    add_part(b, tape, 0, 0, 0);
    add_part(b, cloth, 0, 0, 0);
    add_part(b, teeth, 0, 0, 0);
    set_extent(b, 1, 0.6f);
}

void build_chain(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t rows = dice_int(d, 1, 4);
    struct part chain = {.kind = PART_CHAIN, .half_x = 1, .colour = 3, .opacity = 1};
    float step;

    chain.pitch = make_pitch(m, 6, 30);
    chain.half_y = chain.pitch * make_width(m, 0.35f, 0.6f);
    chain.width = chain.pitch * make_width(m, 0.08f, 0.14f);
    step = 2.4f * chain.half_y;
    for (int32_t i = 0; i < rows; i++)
        add_part(b, chain, 0, ((float)i - 0.5f * (float)(rows - 1)) * step, 0);
    set_extent(b, 1, 0.5f * step * (float)rows);
}

void build_brush(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    struct part hairs = {.kind = PART_BRISTLES, .half_x = 0.9f, .half_y = 0.6f, .colour = 3, .opacity = 1,
                         .seed = dice_seed(d), .base = 0.02f};
    struct part handle = {.kind = PART_BOX, .half_x = 0.98f, .half_y = 0.25f, .radius = 0.05f, .bevel = 0.08f,
                          .raise = 0.2f, .profile = 1, .colour = 4, .opacity = 1};

    hairs.pitch = make_pitch(m, 2.5f, 9);
    hairs.width = make_width(m, 0.15f, 0.4f);
    hairs.slant = dice_range(d, 0, 2);
    hairs.fill = dice_uniform(d);
    add_part(b, hairs, 0, 0.25f, 0);
    add_part(b, handle, 0, -0.45f, 0);
    set_extent(b, 0.95f, 0.7f);
}

void build_assembly(struct builder *b)
{
    static build_function *const inner[] = {build_screw, build_gear, build_nut, build_flange, build_plate,
                                            build_spring, build_fins, build_connector, build_text, build_code,
                                            build_ruler, build_pill, build_bottle, build_cable, build_turned};
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t count = dice_int(d, 2, 5), grid = count > 2 ? 2 : 1;

    if (dice_chance(d, 0.5f)) {
        struct part ground = {.kind = PART_BOX, .half_x = 1, .half_y = 1, .radius = 0.05f, .bevel = 0.03f,
                              .raise = 0.03f, .colour = dice_int(d, 3, 5), .opacity = 1};
        add_part(b, ground, 0, 0, 0);
    }
    for (int32_t i = 0; i < count; i++) {
        float x = grid == 1 ? (float)i - 0.5f : (float)(i % 2) - 0.5f, y = grid == 1 ? 0 : (float)(i / 2 % 2) - 0.5f;
        struct maker own = make_element(m, 5, i);
        float scale = i == 4 ? 0.25f : grid == 1 ? 0.48f : dice_range(d, 0.35f, 0.5f);
        struct builder in = inner_builder(b, i == 4 ? 0 : x, i == 4 ? 0 : y, dice_below(d, 4) * 0.25f, scale);
        own.unit = m->unit * scale; /* so that pitches keep their size in the picture */
        in.m = &own;
        inner[dice_below(d, (int32_t)(sizeof inner / sizeof *inner))](&in);
        m->used |= own.used;
    }
    set_extent(b, 1, grid == 1 ? 0.5f : 1);
}

const struct object_family object_families[] = {
    {"screw", build_screw}, {"turned part", build_turned}, {"gear", build_gear}, {"nut", build_nut},
    {"flange", build_flange}, {"plate", build_plate}, {"spring", build_spring}, {"fins", build_fins},
    {"washers", build_washer_stack}, {"circuit board", build_board}, {"connector", build_connector},
    {"text", build_text}, {"code", build_code}, {"ruler", build_ruler}, {"ball grid", build_ball_grid},
    {"solar cell", build_solar}, {"pill", build_pill}, {"bottle", build_bottle}, {"cable", build_cable},
    {"zipper", build_zipper}, {"chain", build_chain}, {"brush", build_brush}, {"assembly", build_assembly},
};
const int32_t object_family_count = (int32_t)(sizeof object_families / sizeof *object_families);
