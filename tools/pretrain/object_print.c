/* Families of printed and electronic things: precise small marks on a flat ground. */
#include "object.h"

static void set_extent(struct builder *b, float half_x, float half_y)
{
    if (b->frame.scale == 1) {
        b->object->half_x = half_x;
        b->object->half_y = half_y;
    }
}

static void add_ground(struct builder *b, float half_x, float half_y, int32_t colour)
{
    struct part p = {.kind = PART_BOX, .half_x = half_x, .half_y = half_y, .bevel = 0.02f, .raise = 0.04f,
                     .radius = dice_range(&b->m->parent, 0.005f, 0.08f), .colour = colour, .opacity = 1};

    add_part(b, p, 0, 0, 0);
}

/* One track: along a grid with turns of 45 degrees, pads at its ends. */
static void add_track(struct builder *b, struct dice *d, const struct part *line, const struct part *pad, float grid,
                      float half_x, float half_y)
{
    static const int8_t steps[8][2] = {{1, 0}, {1, 1}, {0, 1}, {-1, 1}, {-1, 0}, {-1, -1}, {0, -1}, {1, -1}};
    float x = grid * floorf(dice_range(d, -half_x, half_x) / grid);
    float y = grid * floorf(dice_range(d, -half_y, half_y) / grid);
    int32_t direction = 2 * dice_below(d, 4), bends = dice_int(d, 1, 4);

    add_part(b, *pad, x, y, 0);
    for (int32_t i = 0; i < bends; i++) {
        float run = grid * (float)dice_int(d, 1, 7);
        float nx = x + run * steps[direction][0], ny = y + run * steps[direction][1];
        if (fabsf(nx) > half_x || fabsf(ny) > half_y)
            break;
        add_stroke(b, *line, x, y, nx, ny, line->width);
        x = nx;
        y = ny;
        direction = (direction + (dice_chance(d, 0.5f) ? 1 : 7)) % 8;
    }
    add_part(b, *pad, x, y, 0);
}

/* A housing with pins on two or four sides. */
static void add_chip(struct builder *b, float x, float y, float half, float pitch, float pin, int32_t sides)
{
    struct dice *d = &b->m->parent;
    struct part body = {.kind = PART_BOX, .half_x = half, .half_y = half * dice_range(d, 0.6f, 1), .radius = 0.01f,
                        .bevel = 0.03f, .raise = 0.08f, .colour = 5, .opacity = 1};

    for (int32_t side = 0; side < sides; side++) {
        bool upright = side >= 2;
        float length = upright ? body.half_y : body.half_x, off = (upright ? body.half_x : body.half_y) + 0.05f * half;
        int32_t count = (int32_t)(1.8f * length / pitch);
        for (int32_t i = 0; i < count && i < 24; i++) {
            float along = ((float)i - 0.5f * (float)(count - 1)) * pitch, out = side % 2 ? off : -off;
            struct part p = {.kind = PART_BOX, .half_x = 0.14f * half, .half_y = pin, .radius = 0.3f * pin,
                             .bevel = pin, .profile = 1, .raise = 0.04f, .colour = 4, .opacity = 1};
            add_part(b, p, x + (upright ? out : along), y + (upright ? along : out), upright ? 0 : 0.25f);
        }
    }
    add_part(b, body, x, y, 0);
    struct part mark = {.kind = PART_DISC, .half_x = 0.08f * half, .half_y = 0.08f * half, .radius = 0.08f * half,
                        .on_surface = true, .raise = -0.01f, .bevel = 0.02f, .colour = 4, .opacity = 0.4f};
    add_part(b, mark, x - 0.7f * body.half_x, y - 0.7f * body.half_y, 0);
}

void build_board(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float ratio = dice_range(d, 0.6f, 1), grid = make_pitch(m, 3, 16), rounded = dice_chance(d, 0.7f);
    struct part line = {.colour = 4, .opacity = dice_range(d, 0.4f, 1), .on_surface = true, .raise = 0.01f,
                        .bevel = 0.01f, .profile = 2};
    struct part pad = {.kind = rounded ? PART_DISC : PART_BOX, .colour = 4, .opacity = 1, .raise = 0.06f,
                       .bevel = 0.01f};
    int32_t tracks = dice_int(d, 12, 50), chips = dice_int(d, 0, 3), small = dice_int(d, 0, 14);

    add_ground(b, 0.98f, 0.98f * ratio, 3);
    line.width = grid * make_width(m, 0.1f, 0.3f);
    pad.radius = grid * make_width(m, 0.25f, 0.45f);
    pad.inner = rounded ? pad.radius * make_width(m, 0.3f, 0.6f) : 0;
    pad.half_x = pad.half_y = pad.radius;
    pad.radius *= rounded ? 1 : 0.2f;
    pad.on_surface = false;
    for (int32_t i = 0; i < tracks; i++) {
        struct dice own = dice_of(d->state, 4, (uint64_t)i); /* the layout is the same for all twins */
        add_track(b, &own, &line, &pad, grid, 0.93f, 0.93f * ratio);
    }
    for (int32_t i = 0; i < chips; i++) {
        float x = dice_range(d, -0.6f, 0.6f), y = dice_range(d, -0.6f, 0.6f) * ratio;
        float half = dice_range(d, 0.12f, 0.35f);
        add_chip(b, x, y, half, grid * 0.8f, grid * 0.2f, dice_chance(d, 0.5f) ? 2 : 4);
    }
    for (int32_t i = 0; i < small; i++) { /* resistors: metal ends, a dark body */
        float x = grid * floorf(dice_range(d, -0.9f, 0.9f) / grid), y = dice_range(d, -0.9f, 0.9f) * ratio;
        float turn = dice_below(d, 2) * 0.25f;
        struct part part = {.kind = PART_BOX, .half_x = 1.2f * grid, .half_y = 0.55f * grid, .bevel = 0.02f,
                            .raise = 0.05f, .colour = 4, .opacity = 1};
        add_part(b, part, x, y, turn);
        part.half_x *= 0.6f;
        part.raise = 0.06f;
        part.colour = 5;
        add_part(b, part, x, y, turn);
    }
    set_extent(b, 0.98f, 0.98f * ratio);
}

void build_connector(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t rows = make_count(m, 1, 4);
    float pitch = make_pitch(m, 4, 28), height = fminf(0.9f, pitch * (float)rows * 0.75f + 0.08f);
    struct part cavity = {.kind = PART_LATTICE, .half_x = 0.92f, .half_y = 0.5f * pitch * (float)rows, .pitch = pitch,
                          .fill = 1, .on_surface = true, .colour = 5, .opacity = 0.9f, .bevel = 0.1f * pitch};
    struct part pin;

    add_ground(b, 0.98f, height, 3);
    cavity.shape = make_shape(m, 6);
    cavity.width = make_width(m, 0.3f, 0.42f);
    cavity.raise = -0.3f * pitch;
    cavity.missing = make_missing(m);
    cavity.phase = rows % 2 ? 0.5f : 0; /* an odd number of rows: one in the middle */
    add_part(b, cavity, 0, 0, 0);
    pin = cavity;
    pin.colour = 4;
    pin.opacity = 1;
    pin.shape = dice_below(d, 3);
    pin.width = cavity.width * make_width(m, 0.3f, 0.6f);
    pin.profile = dice_below(d, 2);
    pin.raise = 0.4f * pitch;
    add_part(b, pin, 0, 0, 0);
    for (int32_t side = -1; side <= 1; side += 2) { /* latches or terminals */
        struct part fins = {.kind = PART_FINS, .half_x = 0.9f, .half_y = 0.08f, .pitch = pitch, .depth = 0.2f * pitch,
                            .width = 0.5f, .profile = 2, .colour = 4, .opacity = 1, .raise = 0.02f, .bevel = 0.02f};
        if (dice_chance(d, 0.6f))
            add_part(b, fins, 0, (float)side * (height + 0.06f), 0);
    }
    set_extent(b, 0.98f, height);
}

/* Letters of an alphabet of the class' own: strokes between the nine points of a 3 x 3 grid, some of them bent. */
static void add_glyph(struct builder *b, const struct part *ink, uint32_t letter, float x, float y, float w, float h,
                      float stroke)
{
    struct dice d = dice_of(letter, 77, 5);
    int32_t strokes = dice_int(&d, 2, 4), px = dice_below(&d, 3), py = 2 * dice_below(&d, 2);

    for (int32_t i = 0; i < strokes; i++) {
        int32_t qx = px, qy = py;
        while (qx == px && qy == py) {
            qx = dice_chance(&d, 0.4f) ? px : dice_below(&d, 3);
            qy = dice_chance(&d, 0.3f) ? py : dice_below(&d, 3);
        }
        add_stroke(b, *ink, x + ((float)px - 1) * w, y + ((float)py - 1) * h, x + ((float)qx - 1) * w,
                   y + ((float)qy - 1) * h, stroke);
        px = qx;
        py = qy;
    }
}

void build_text(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float tall = fminf(make_pitch(m, 6, 36), 0.5f), advance = tall * dice_range(d, 0.6f, 0.9f);
    float line = tall * dice_range(d, 1.3f, 2), stroke = 0.5f * tall * make_width(m, 0.09f, 0.24f);
    int32_t style = dice_below(d, 3), letters = dice_int(d, 4, 24), columns, rows;
    struct part ink = {.on_surface = true, .colour = dice_int(d, 4, 5), .bevel = stroke};

    ink.profile = dice_below(d, 3);
    ink.opacity = style == 0 ? 1 : dice_chance(d, 0.4f) ? 0.5f : 0;
    ink.raise = style == 0 ? 0 : (style == 1 ? -1.0f : 1.0f) * stroke * dice_range(d, 0.6f, 1.4f);
    columns = (int32_t)fminf(1.8f / advance, 24);
    rows = (int32_t)fminf(fmaxf(1, dice_range(d, 0.3f, 1.6f) / line), 110.0f / (float)columns);
    rows = rows < 1 ? 1 : rows;
    float half_y = fminf(0.98f, 0.5f * line * (float)rows + 0.1f);
    if (dice_chance(d, 0.85f))
        add_ground(b, 0.98f, half_y, 3);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t c = 0; c < columns; c++) {
            struct dice own = dice_of(d->state, (uint64_t)r, (uint64_t)c);
            uint32_t letter = (uint32_t)dice_below(&own, letters) * 7919u + (uint32_t)letters;
            if (dice_chance(&own, 0.12f))
                continue;
            add_glyph(b, &ink, letter, ((float)c - 0.5f * (float)(columns - 1)) * advance,
                      ((float)r - 0.5f * (float)(rows - 1)) * line, 0.32f * advance, 0.4f * tall, stroke);
        }
    }
    set_extent(b, 0.98f, half_y);
}

void build_code(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    bool bars = dice_chance(d, 0.4f);
    float pitch = make_pitch(m, 2.5f, 12), ratio = bars ? dice_range(d, 0.3f, 0.6f) : dice_range(d, 0.6f, 1);
    struct part code = {.half_x = 0.85f, .half_y = 0.85f * ratio, .pitch = pitch, .on_surface = true,
                        .colour = 5, .opacity = dice_range(d, 0.5f, 1), .bevel = 0.2f * pitch};

    code.seed = dice_seed(d);
    code.kind = bars ? PART_BARS : PART_LATTICE;
    if (!bars) {
        code.shape = make_shape(m, 5);
        code.width = make_width(m, 0.33f, 0.5f);
    }
    code.fill = bars ? 0.5f : dice_range(d, 0.35f, 0.9f);
    code.raise = dice_chance(d, 0.6f) ? 0 : dice_sign(d) * 0.15f * pitch;
    if (dice_chance(d, 0.8f))
        add_ground(b, 0.98f, 0.98f * ratio, 3);
    add_part(b, code, 0, 0, 0);
    set_extent(b, 0.98f, 0.98f * ratio);
}

void build_ruler(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float half_y = dice_range(d, 0.15f, 0.5f), stroke = 0.02f;
    struct part ticks = {.kind = PART_TICKS, .half_x = 0.94f, .on_surface = true, .colour = 5, .opacity = 1};
    int32_t both = dice_below(d, 2);

    add_ground(b, 0.98f, half_y, 3);
    ticks.pitch = make_pitch(m, 2.5f, 14);
    ticks.width = ticks.pitch * make_width(m, 0.2f, 0.45f);
    ticks.count = make_count(m, 4, 12);
    ticks.half_y = half_y * dice_range(d, 0.35f, 0.6f);
    ticks.raise = dice_chance(d, 0.5f) ? 0 : -0.3f * ticks.width;
    add_part(b, ticks, 0, -half_y + 0.55f * half_y, 0);
    if (both)
        add_part(b, ticks, 0, half_y - 0.55f * half_y, 0.5f);
    struct part ink = {.on_surface = true, .colour = 5, .opacity = 1, .bevel = 0.01f};
    float every = ticks.pitch * (float)ticks.count, tall = fminf(0.3f * half_y, 0.6f * every);
    for (int32_t i = -12; i <= 12 && !both; i++)
        if (fabsf((float)i * every) < 0.9f)
            add_glyph(b, &ink, (uint32_t)(i + 40) * 77u, ((float)i + 0.5f / (float)ticks.count) * every, 0.55f * half_y,
                      0.3f * tall, 0.4f * tall, fminf(stroke, 0.1f * tall));
    set_extent(b, 0.98f, half_y);
}

void build_ball_grid(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    float ratio = dice_range(d, 0.6f, 1), pitch = make_pitch(m, 3, 22);
    struct part balls = {.kind = PART_LATTICE, .half_x = 0.92f, .half_y = 0.92f * ratio, .pitch = pitch, .fill = 1,
                         .on_surface = true, .colour = 4, .opacity = 1, .profile = 1};

    add_ground(b, 0.98f, 0.98f * ratio, 3);
    balls.width = make_width(m, 0.25f, 0.45f);
    balls.raise = pitch * balls.width;
    balls.missing = make_missing(m);
    balls.slant = dice_chance(d, 0.7f) ? 0 : 0.5f;
    add_part(b, balls, 0, 0, 0);
    if (dice_chance(d, 0.5f)) {
        struct part middle = {.kind = PART_BOX, .half_x = 0.35f, .half_y = 0.35f * ratio, .bevel = 0.02f,
                              .raise = 0.06f, .radius = 0.02f, .colour = dice_int(d, 3, 5), .opacity = 1};
        add_part(b, middle, 0, 0, 0);
    }
    set_extent(b, 0.98f, 0.98f * ratio);
}

/* A cell with fingers and bus bars; corners cut. */
void build_solar(struct builder *b)
{
    struct maker *m = b->m;
    struct dice *d = &m->parent;
    int32_t bars = make_count(m, 2, 5), cells = dice_chance(d, 0.6f) ? 1 : 2;
    float pitch = make_pitch(m, 2.5f, 9), half = cells == 1 ? 0.98f : 0.48f;
    float bar = make_width(m, 0.012f, 0.035f), radius = dice_range(d, 0.01f, 0.2f) * half;
    float finger = pitch * make_width(m, 0.08f, 0.22f), glow = dice_range(d, 0.4f, 1);

    for (int32_t cell = 0; cell < cells * cells; cell++) {
        float x = cells == 1 ? 0 : ((float)(cell % 2) - 0.5f), y = cells == 1 ? 0 : ((float)(cell / 2) - 0.5f);
        struct part ground = {.kind = PART_BOX, .half_x = half, .half_y = half, .radius = radius, .bevel = 0.01f,
                              .raise = 0.01f, .colour = 3, .opacity = 1};
        struct part fingers = {.kind = PART_TICKS, .half_x = half * 0.96f, .half_y = half * 0.97f, .pitch = pitch,
                               .width = 2 * finger, .count = 1, .on_surface = true, .colour = 4, .opacity = glow};
        struct part bus = {.kind = PART_BOX, .half_x = bar, .half_y = half * 0.97f, .bevel = 0.01f,
                           .on_surface = true, .raise = 0.005f, .colour = 4, .opacity = 1};
        add_part(b, ground, x, y, 0);
        add_part(b, fingers, x, y, 0);
        for (int32_t i = 0; i < bars; i++)
            add_part(b, bus, x, y + (((float)i + 0.5f) / (float)bars * 2 - 1) * half, 0.25f);
    }
    set_extent(b, 0.98f, 0.98f);
}
