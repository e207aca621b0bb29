#include "object.h"

#include <string.h>

static const float two_pi = 6.2831853f;

/* The frame of what lies at (x, y), rotated and scaled, in `outer`. */
static struct frame inner_frame(const struct frame *outer, float x, float y, float turn, float scale)
{
    float c = cosf(two_pi * turn), s = sinf(two_pi * turn);

    return (struct frame){
        outer->x + outer->scale * (outer->cosine * x - outer->sine * y),
        outer->y + outer->scale * (outer->sine * x + outer->cosine * y),
        outer->cosine * c - outer->sine * s,
        outer->sine * c + outer->cosine * s,
        outer->scale * scale,
    };
}

struct builder inner_builder(const struct builder *b, float x, float y, float turn, float scale)
{
    struct builder inner = *b;

    inner.frame = inner_frame(&b->frame, x, y, turn, scale);
    return inner;
}

void add_part(struct builder *b, struct part p, float x, float y, float turn)
{
    struct object *o = b->object;

    if (o->count == MAX_PARTS)
        return;
    p.frame = inner_frame(&b->frame, x, y, turn, 1);
    o->parts[o->count++] = p;
}

void add_stroke(struct builder *b, struct part p, float x0, float y0, float x1, float y1, float w)
{
    float dx = x1 - x0, dy = y1 - y0;

    p.kind = PART_BOX;
    p.half_x = 0.5f * sqrtf(dx * dx + dy * dy) + w;
    p.half_y = p.radius = w;
    add_part(b, p, 0.5f * (x0 + x1), 0.5f * (y0 + y1), atan2f(dy, dx) / two_pi);
}

static void make_grain(struct object *o, struct maker *m)
{
    static const enum field_kind kinds[] = {FIELD_NOISE, FIELD_BRUSHED, FIELD_BRUSHED, FIELD_SPECKLE, FIELD_NOISE};
    struct dice *d = &m->parent;
    float turn = dice_below(d, 4) * 0.25f;
    struct field *f = &o->grain;

    turn += dice_chance(d, 0.3f) ? dice_uniform(d) : 0;
    f->kind = kinds[dice_below(d, (int32_t)(sizeof kinds / sizeof *kinds))];
    f->pitch = dice_log(d, 1.5f, 12) / 128;
    f->stretch = 1;
    f->cosine = cosf(two_pi * turn);
    f->sine = sinf(two_pi * turn);
    f->count = dice_int(d, 1, 3);
    f->gain = 0.5f;
    f->width = 0.5f;
    f->soft = 0.5f;
    f->mode = f->kind == FIELD_SPECKLE;
    o->grain_tone = dice_chance(d, 0.3f) ? 0 : dice_log(d, 0.03f, 0.4f);
    o->grain_bump = dice_chance(d, 0.6f) ? 0 : dice_log(d, 0.01f, 0.15f);
}

/* The point of the object in the middle of the picture, so that as little as possible of the picture is empty. */
static float anchor_at(float share, float half, float unit)
{
    return share * most(0.0f, half - 0.42f / unit);
}

void make_object(struct object *o, struct maker *m, build_function *build)
{
    struct dice *d = &m->parent;
    struct builder b = {m, o, {0, 0, 1, 0, 1}};

    o->count = 0;
    o->half_x = o->half_y = 1;
    o->ring = 0;
    o->unit = m->unit = dice_log(d, 0.3f, 1.8f);
    float turn = dice_chance(d, 0.5f) ? dice_below(d, 4) * 0.25f : dice_uniform(d);
    o->turn = (struct frame){0, 0, cosf(two_pi * turn), sinf(two_pi * turn), 1};
    make_grain(o, m); /* before the parts: twins may need more or fewer numbers for those */
    float share_x = dice_range(d, -1, 1), share_y = dice_range(d, -1, 1);
    build(&b);
    o->anchor_x = anchor_at(share_x, o->half_x, o->unit);
    o->anchor_y = anchor_at(share_y, o->half_y, o->unit);
    if (o->ring > 0) {
        float far = o->ring * anchor_at(1, 1, o->unit) / (1 - 0.42f / 1.8f) * blend(0.8f, 1.1f, fabsf(share_y));
        o->anchor_x = far * cosf(3.1415927f * share_x);
        o->anchor_y = far * sinf(3.1415927f * share_x);
    }
}

/* ---- drawing ---- */

/* Picture to part: x = a u + b v + cx, y = -b u + a v + cy, (u, v) in pixels. */
struct map {
    float a, b, cx, cy;
    float pixel;  /* in units of the part */
    float height; /* picture sides per unit */
};

static struct frame object_frame(const struct object *o, const struct pose *pose)
{
    struct frame place = {pose->x, pose->y, pose->cosine, pose->sine, pose->scale};
    struct frame turned = inner_frame(&place, 0, 0, 0, o->unit);
    float c = turned.cosine * o->turn.cosine - turned.sine * o->turn.sine;

    turned.sine = turned.sine * o->turn.cosine + turned.cosine * o->turn.sine;
    turned.cosine = c;
    return inner_frame(&turned, -o->anchor_x, -o->anchor_y, 0, 1);
}

/* frame: the part's in the picture, in sides from the centre. */
static struct map map_of(const struct frame *f, int32_t size)
{
    float per_pixel = 1 / (f->scale * (float)size), half = 0.5f * (float)size - 0.5f;
    struct map m = {f->cosine * per_pixel, f->sine * per_pixel, 0, 0, per_pixel, f->scale};
    float u = f->x * (float)size + half, v = f->y * (float)size + half;

    m.cx = -(m.a * u + m.b * v);
    m.cy = m.b * u - m.a * v;
    return m;
}

/* Narrows left .. right to where |start + step * i| <= half. */
static void clip_span(float start, float step, float half, float *left, float *right)
{
    if (fabsf(step) < 1e-9f) {
        if (fabsf(start) > half)
            *right = *left - 1;
        return;
    }
    float one = (-half - start) / step, two = (half - start) / step;
    *left = fmaxf(*left, fminf(one, two));
    *right = fminf(*right, fmaxf(one, two));
}

struct span {
    float x[MAX_SIDE], y[MAX_SIDE], cover[MAX_SIDE], height[MAX_SIDE];
};

ROW_CLONES static void put_span(const struct part *p, const struct map *m, const struct scene *s, size_t at,
                                int32_t n, const struct span *w)
{
    float *height = s->height + at, *mask = s->mask + at;

    if (p->on_surface) {
        for (int32_t i = 0; i < n; i++)
            height[i] += w->height[i] * w->cover[i] * m->height;
    } else {
        for (int32_t i = 0; i < n; i++) {
            height[i] = blend(height[i], (p->base + w->height[i]) * m->height, w->cover[i]);
            mask[i] = most(mask[i], w->cover[i]);
        }
    }
    for (int32_t c = 0; c < 3 && p->opacity > 0; c++) {
        float *albedo = s->albedo[c] + at, colour = s->palette[p->colour][c];
        for (int32_t i = 0; i < n; i++)
            albedo[i] = blend(albedo[i], colour, w->cover[i] * p->opacity);
    }
}

ROW_CLONES static void span_points(const struct map *m, int32_t left, int32_t row, int32_t n, struct span *w)
{
    float x = m->a * (float)left + m->b * (float)row + m->cx, y = m->a * (float)row - m->b * (float)left + m->cy;

    for (int32_t i = 0; i < n; i++) {
        w->x[i] = x + m->a * (float)i;
        w->y[i] = y - m->b * (float)i;
    }
}

static void draw_part(const struct part *p, const struct frame *whole, struct scene *s)
{
    struct frame f = {
        whole->x + whole->scale * (whole->cosine * p->frame.x - whole->sine * p->frame.y),
        whole->y + whole->scale * (whole->sine * p->frame.x + whole->cosine * p->frame.y),
        whole->cosine * p->frame.cosine - whole->sine * p->frame.sine,
        whole->sine * p->frame.cosine + whole->cosine * p->frame.sine,
        whole->scale * p->frame.scale,
    };
    struct map m = map_of(&f, s->size);
    float half = 0.5f * (float)s->size - 0.5f, scale = f.scale * (float)s->size;
    float reach = (fabsf(f.sine) * p->half_x + fabsf(f.cosine) * p->half_y) * scale + 1.5f;
    float middle = f.y * (float)s->size + half;
    int32_t top = (int32_t)fmaxf(0, middle - reach), bottom = (int32_t)fminf((float)s->size - 1, middle + reach);
    struct span w;

    for (int32_t row = top; row <= bottom; row++) {
        float left = 0, right = (float)s->size - 1;
        clip_span(m.b * (float)row + m.cx, m.a, p->half_x + 1.5f * m.pixel, &left, &right);
        clip_span(m.a * (float)row + m.cy, -m.b, p->half_y + 1.5f * m.pixel, &left, &right);
        if (!(right >= left))
            continue;
        int32_t from = (int32_t)ceilf(left), n = (int32_t)floorf(right) - from + 1;
        if (n <= 0)
            continue;
        span_points(&m, from, row, n, &w);
        part_function(p->kind)(p, n, w.x, w.y, m.pixel, w.cover, w.height);
        put_span(p, &m, s, (size_t)row * (size_t)s->size + (size_t)from, n, &w);
    }
}

ROW_CLONES static void grain_span(int32_t n, float tone, float bump, const float *value, struct scene *s, size_t at)
{
    const float *mask = s->mask + at;
    float *height = s->height + at;

    for (int32_t c = 0; c < 3; c++) {
        float *albedo = s->albedo[c] + at;
        for (int32_t i = 0; i < n; i++)
            albedo[i] *= 1 + tone * mask[i] * (value[i] - 0.5f);
    }
    for (int32_t i = 0; i < n; i++)
        height[i] += bump * mask[i] * value[i];
}

static void draw_grain(const struct object *o, const struct frame *whole, struct dice *d, struct scene *s)
{
    struct field f = o->grain;
    struct frame turned = *whole;
    float factor = whole->scale / o->unit; /* the grain grows with the pose's scale */
    float value[MAX_SIDE], shift = dice_range(d, 20, 60);
    struct span w;

    f.grain = dice_seed(d);
    f.pixel = 1 / ((float)s->size * f.pitch * factor);
    turned.cosine = whole->cosine * f.cosine - whole->sine * f.sine;
    turned.sine = whole->sine * f.cosine + whole->cosine * f.sine;
    turned.scale = f.pitch * factor;
    struct map m = map_of(&turned, s->size);
    m.cx += shift;
    m.cy += shift;
    for (int32_t row = 0; row < s->size; row++) {
        span_points(&m, 0, row, s->size, &w);
        field_function(f.kind)(&f, s->size, w.x, w.y, value);
        grain_span(s->size, o->grain_tone, o->grain_bump * f.pitch * factor, value, s,
                   (size_t)row * (size_t)s->size);
    }
}

void render_object(const struct object *o, const struct pose *pose, struct dice instance, struct scene *s)
{
    struct frame whole = object_frame(o, pose);

    for (int32_t i = 0; i < o->count; i++)
        draw_part(&o->parts[i], &whole, s);
    if (o->grain_tone > 0 || o->grain_bump > 0)
        draw_grain(o, &whole, &instance, s);
}
