#include "texture.h"

#include <string.h>

/* Lowest and highest pitch of a kind, pixels of a picture of 128. */
static const float pitches[FIELD_KINDS][2] = {
    [FIELD_NOISE] = {4, 50}, [FIELD_CELLS] = {4, 36}, [FIELD_CRYSTAL] = {10, 60}, [FIELD_GRATING] = {2.5f, 20},
    [FIELD_WEAVE] = {2.5f, 20}, [FIELD_MARBLE] = {5, 30}, [FIELD_SHAPES] = {3, 28}, [FIELD_SINES] = {8, 50},
    [FIELD_BRUSHED] = {2, 9}, [FIELD_RINGS] = {2.5f, 16}, [FIELD_SPECKLE] = {2.5f, 16}, [FIELD_MESH] = {4, 25},
    [FIELD_PERFORATED] = {4, 30}, [FIELD_TILES] = {8, 50}, [FIELD_LEATHER] = {3, 20}, [FIELD_FIBRES] = {3, 10},
};

static void make_numbers(struct field *f, struct maker *m)
{
    struct dice *d = &m->parent;

    f->gain = dice_uniform(d);
    f->width = dice_range(d, 0.2f, 0.8f);
    f->jitter = dice_chance(d, 0.5f) ? 0 : dice_uniform(d);
    f->soft = dice_chance(d, 0.5f) ? 0 : dice_uniform(d);
    f->warp = dice_chance(d, 0.5f) ? 0 : dice_uniform(d);
    for (int32_t k = 0; k < WAVES; k++)
        for (int32_t j = 0; j < 3; j++)
            f->wave[k][j] = dice_range(d, -1, 1);
}

/* Only what shows in the kind and mode counts as a change of a twin. */
static void vary_width(struct field *f, struct maker *m, bool shows)
{
    if (shows)
        f->width *= maker_vary(m, CHANGE_WIDTH, 0.15f, 0.35f);
}

static void make_waves(struct field *f, struct maker *m)
{
    f->count = dice_int(&m->parent, 1, 3);
    f->shape = make_shape(m, 5);
    f->missing = make_missing(m);
    for (int32_t k = 0; k < f->count; k++) {
        float turn = k ? make_angle(m, -0.25f, 0.25f) : 0;
        f->wave[k][0] = sinf(6.2831853f * turn);
        f->wave[k][1] = cosf(6.2831853f * turn) * dice_range(&m->parent, 0.6f, 1.2f);
    }
    f->warp *= 1.5f;
    vary_width(f, m, f->shape == WAVE_TRAPEZOID);
}

/* Bonds: plain, twills, satin.  A thread of the warp is up at `mode` of `count` places, moved by `step` each row. */
static void make_bond(struct field *f, struct maker *m)
{
    static const int32_t bonds[6][3] = {{2, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 2, 1}, {4, 1, 3}, {5, 1, 2}};
    const int32_t *bond = bonds[make_shape(m, 6)];

    f->count = bond[0];
    f->mode = bond[1];
    f->step = bond[2];
    f->width = f->kind == FIELD_MESH ? make_width(m, 0.3f, 0.6f) : make_width(m, 0.8f, 1.1f);
    f->gain = dice_chance(&m->parent, 0.5f) ? 1 : 0;
}

static void make_noise(struct field *f, struct maker *m)
{
    f->count = make_count(m, 1, 5);
    f->mode = dice_below(&m->parent, 4);
    f->gain = 0.4f + 0.35f * f->gain;
}

static void make_cells(struct field *f, struct maker *m)
{
    f->shape = dice_below(&m->parent, 3);
    f->mode = dice_below(&m->parent, 4);
    f->jitter = dice_range(&m->parent, 0.5f, 1);
    vary_width(f, m, f->mode == 1 || f->mode == 2);
}

static void make_crystal(struct field *f, struct maker *m)
{
    f->shape = dice_below(&m->parent, 3);
    f->mode = dice_below(&m->parent, 2);
    f->count = make_count(m, 2, 8);
    f->step = f->mode ? make_count(m, 2, 5) : dice_int(&m->parent, 2, 5);
    f->width = make_width(m, 0.15f, 0.6f);
    f->gain = 0.4f + f->gain;
}

static void make_marble(struct field *f, struct maker *m)
{
    f->shape = dice_below(&m->parent, 4);
    f->mode = dice_below(&m->parent, 3);
    f->warp = dice_range(&m->parent, 0.3f, 3);
}

static void make_shapes(struct field *f, struct maker *m)
{
    f->shape = make_shape(m, 6);
    f->mode = dice_below(&m->parent, 2);
    f->width = make_width(m, 0.2f, 0.36f);
    f->missing = make_missing(m);
    f->gain = dice_chance(&m->parent, 0.7f) ? 0 : f->gain;
    f->soft *= 0.6f;
}

static void make_sines(struct field *f, struct maker *m)
{
    f->mode = dice_below(&m->parent, 2);
    for (int32_t k = 0; k < WAVES; k++) {
        f->wave[k][0] *= 4;
        f->wave[k][1] *= 4;
    }
}

static void make_brushed(struct field *f, struct maker *m)
{
    f->mode = dice_below(&m->parent, 2);
}

static void make_rings(struct field *f, struct maker *m)
{
    f->shape = make_shape(m, 5);
    f->mode = dice_below(&m->parent, 3);
    f->step = make_count(m, 0, 6);
    f->count = f->mode == 2 ? make_count(m, 5, 60) : dice_int(&m->parent, 5, 60);
    vary_width(f, m, f->shape == WAVE_TRAPEZOID);
}

static void make_speckle(struct field *f, struct maker *m)
{
    f->mode = dice_below(&m->parent, 2);
    vary_width(f, m, f->mode == 0);
}

static void make_tiles(struct field *f, struct maker *m)
{
    f->mode = dice_below(&m->parent, 2);
    f->count = dice_int(&m->parent, 2, 4);
    f->step = 1;
    f->gain = make_width(m, 0.7f, 2.5f);
    vary_width(f, m, true);
}

static void make_leather(struct field *f, struct maker *m)
{
    f->jitter = dice_range(&m->parent, 0.6f, 1);
    vary_width(f, m, true);
}

static void make_fibres(struct field *f, struct maker *m)
{
    f->count = make_count(m, 3, 6);
    f->warp = dice_range(&m->parent, 0.05f, 0.5f);
    vary_width(f, m, true);
}

static void make_field(struct field *f, struct maker *m, enum field_kind kind)
{
    static void (*const kinds[FIELD_KINDS])(struct field *f, struct maker *m) = {
        [FIELD_NOISE] = make_noise, [FIELD_CELLS] = make_cells, [FIELD_CRYSTAL] = make_crystal,
        [FIELD_GRATING] = make_waves, [FIELD_WEAVE] = make_bond, [FIELD_MARBLE] = make_marble,
        [FIELD_SHAPES] = make_shapes, [FIELD_SINES] = make_sines, [FIELD_BRUSHED] = make_brushed,
        [FIELD_RINGS] = make_rings, [FIELD_SPECKLE] = make_speckle, [FIELD_MESH] = make_bond,
        [FIELD_PERFORATED] = make_shapes, [FIELD_TILES] = make_tiles, [FIELD_LEATHER] = make_leather,
        [FIELD_FIBRES] = make_fibres,
    };
    struct dice *d = &m->parent;
    float turn = dice_chance(d, 0.4f) ? dice_below(d, 4) * 0.25f : dice_uniform(d);

    memset(f, 0, sizeof *f);
    f->kind = kind;
    f->pattern = dice_seed(d);
    f->pitch = make_pitch(m, pitches[kind][0], pitches[kind][1]);
    f->cosine = cosf(6.2831853f * turn);
    f->sine = sinf(6.2831853f * turn);
    f->stretch = dice_chance(d, 0.6f) ? 1 : dice_log(d, 0.6f, kind == FIELD_NOISE ? 5 : 1.6f);
    make_numbers(f, m);
    kinds[kind](f, m);
}

void make_texture(struct texture *t, struct maker *m, enum field_kind kind)
{
    struct dice *d = &m->parent;

    m->unit = 1;
    make_field(&t->base, m, kind);
    struct maker same = *m; /* twins share the second layer */
    same.changes = 0;
    make_field(&t->over, &same, (enum field_kind)dice_below(&same.parent, FIELD_KINDS));
    m->parent = same.parent;
    t->combine = dice_below(d, 6);
    t->over_strength = dice_chance(d, 0.35f) ? 0 : dice_range(d, 0.15f, 0.7f);
    t->bump = dice_chance(d, 0.4f) ? 0 : dice_signed_log(d, 0.05f, 0.5f);
    t->contrast = dice_log(d, 0.35f, 1);
}

void make_background(struct texture *t, struct maker *m)
{
    static const enum field_kind kinds[] = {FIELD_NOISE, FIELD_NOISE, FIELD_BRUSHED, FIELD_SPECKLE, FIELD_FIBRES,
                                            FIELD_LEATHER, FIELD_WEAVE, FIELD_GRATING, FIELD_MARBLE};
    struct maker plain = *m;

    plain.changes = 0;
    make_texture(t, &plain, kinds[dice_below(&plain.parent, (int32_t)(sizeof kinds / sizeof *kinds))]);
    t->over_strength *= 0.3f;
    t->contrast = dice_chance(&plain.parent, 0.4f) ? 0.02f : dice_log(&plain.parent, 0.05f, 0.5f);
    t->bump *= t->contrast;
    m->parent = plain.parent;
}

/* A line of the field's coordinates: x = start + step * i. */
static void field_line(const struct field *f, const struct pose *pose, float shift_x, float shift_y, int32_t size,
                       int32_t row, float *x, float *y)
{
    float side = 1.0f / (float)size, v = ((float)row + 0.5f) * side - 0.5f - pose->y;
    float u = 0.5f * side - 0.5f - pose->x;
    float c = pose->cosine / pose->scale, s = pose->sine / pose->scale;
    /* back to the class' frame, then into the field's */
    float cx = c * f->cosine - s * f->sine, sx = s * f->cosine + c * f->sine;
    float ax = cx / f->pitch, bx = sx / f->pitch;
    float ay = -sx / (f->pitch * f->stretch), by = cx / (f->pitch * f->stretch);
    float x0 = ax * u + bx * v + shift_x, y0 = ay * u + by * v + shift_y;

    for (int32_t i = 0; i < size; i++) {
        x[i] = x0 + ax * side * (float)i;
        y[i] = y0 + ay * side * (float)i;
    }
}

ROW_CLONES static void combine_rows(int32_t how, float strength, int32_t n, float *a, const float *b)
{
    for (int32_t i = 0; i < n; i++) {
        float both = how == 0   ? a[i]
                     : how == 1 ? a[i] * b[i] * 1.5f
                     : how == 2 ? fabsf(a[i] - b[i])
                     : how == 3 ? (b[i] > 0.5f ? a[i] : 1 - a[i])
                     : how == 4 ? most(a[i], b[i])
                                : 0.5f * (a[i] + b[i]);
        a[i] = clamp01(blend(a[i], both, strength));
    }
}

ROW_CLONES static void colour_row(int32_t n, const float *a, const float *b, const float *from, const float *to,
                                  const float *third, float contrast, float tint, float *const *albedo)
{
    for (int32_t c = 0; c < 3; c++) {
        float low = from[c], step = (to[c] - from[c]) * contrast, other = (third[c] - from[c]) * tint;
        float *out = albedo[c];
        for (int32_t i = 0; i < n; i++)
            out[i] = low + step * a[i] + other * b[i];
    }
}

static void settle(struct field *f, const struct pose *pose, struct dice *d, int32_t size, float *shift)
{
    bool centred = f->kind == FIELD_RINGS || f->kind == FIELD_SINES;
    float far = centred ? 0 : 50;

    f->grain = dice_seed(d);
    f->pixel = 1.0f / ((float)size * f->pitch * pose->scale);
    shift[0] = dice_range(d, -far, far);
    shift[1] = dice_range(d, -far, far);
    if (centred) { /* the class says where the centre is */
        shift[0] = f->wave[0][2] * 0.3f / f->pitch;
        shift[1] = f->wave[1][2] * 0.3f / f->pitch;
    }
}

void render_texture(const struct texture *t, const struct pose *pose, struct dice instance, struct scene *s)
{
    float x[MAX_SIDE], y[MAX_SIDE], a[MAX_SIDE], b[MAX_SIDE], shift_a[2], shift_b[2];
    struct field base = t->base, over = t->over;
    float bump = t->bump * base.pitch * pose->scale;

    settle(&base, pose, &instance, s->size, shift_a);
    settle(&over, pose, &instance, s->size, shift_b);
    memset(b, 0, sizeof b);
    for (int32_t row = 0; row < s->size; row++) {
        size_t at = (size_t)row * (size_t)s->size;
        float *albedo[3] = {s->albedo[0] + at, s->albedo[1] + at, s->albedo[2] + at};
        field_line(&base, pose, shift_a[0], shift_a[1], s->size, row, x, y);
        field_function(base.kind)(&base, s->size, x, y, a);
        if (t->over_strength > 0) {
            field_line(&over, pose, shift_b[0], shift_b[1], s->size, row, x, y);
            field_function(over.kind)(&over, s->size, x, y, b);
            combine_rows(t->combine, t->over_strength, s->size, a, b);
        }
        colour_row(s->size, a, b, s->palette[0], s->palette[1], s->palette[2], t->contrast,
                   0.5f * t->over_strength * t->contrast, albedo);
        for (int32_t i = 0; i < s->size; i++)
            s->height[at + (size_t)i] = bump * a[i];
    }
}
