#include "defect.h"

#include <string.h>

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

const char *defect_name(int32_t kind)
{
    static const char *const names[DEFECT_KINDS] = {"none", "scratch", "crack", "stain", "pit", "dent", "patch", "warp",
                                                    "swirl", "blur", "missing", "fibre", "chip", "colour", "cut"};

    return kind >= 0 && kind < DEFECT_KINDS ? names[kind] : NULL;
}

ROW_CLONES static int64_t count_row(int32_t n, float step, float *const *a, float *const *b, size_t at, uint8_t *mask)
{
    int32_t count = 0;
    uint8_t found[MAX_SIDE];

    for (int32_t i = 0; i < n; i++) {
        float red = fabsf(clamp01(a[0][at + (size_t)i]) - clamp01(b[0][at + (size_t)i]));
        float green = fabsf(clamp01(a[1][at + (size_t)i]) - clamp01(b[1][at + (size_t)i]));
        float blue = fabsf(clamp01(a[2][at + (size_t)i]) - clamp01(b[2][at + (size_t)i]));
        int more = most(red, most(green, blue)) > step;
        found[i] = more ? 255 : 0;
        count += more;
    }
    if (mask)
        memcpy(mask + at, found, (size_t)n);
    return count;
}

int64_t find_change(const struct scene *s, float *const *image, float *const *good, float step, uint8_t *mask)
{
    int64_t count = 0;

    for (int32_t row = 0; row < s->size; row++)
        count += count_row(s->size, step, image, good, (size_t)row * (size_t)s->size, mask);
    return count;
}

/* ---- place and size ---- */

static float plane_at(const float *plane, int32_t size, int32_t x, int32_t y)
{
    x = x < 0 ? 0 : x < size ? x : size - 1;
    y = y < 0 ? 0 : y < size ? y : size - 1;
    return plane[(size_t)y * (size_t)size + (size_t)x];
}

/* How much there is to damage around (x, y): contrast, and the object. */
static float interest(const struct scene *s, int32_t x, int32_t y, int32_t reach)
{
    float sum = 0, squares = 0, mask = 0;

    for (int32_t j = -2; j <= 2; j++) {
        for (int32_t i = -2; i <= 2; i++) {
            float v = plane_at(s->good[1], s->size, x + i * reach / 2, y + j * reach / 2);
            sum += v;
            squares += v * v;
            mask += plane_at(s->mask, s->size, x + i * reach / 2, y + j * reach / 2);
        }
    }
    return sqrtf(most(0.0f, squares / 25 - sum * sum / 625)) + 0.02f + 0.15f * mask / 25;
}

/* For chips: an edge of the object, if there is one. */
static float edge_interest(const struct scene *s, int32_t x, int32_t y, int32_t reach)
{
    float low = 1, high = 0;

    for (int32_t k = 0; k < 9; k++) {
        float mask = plane_at(s->mask, s->size, x + (k % 3 - 1) * reach / 2, y + (k / 3 - 1) * reach / 2);
        low = least(low, mask);
        high = most(high, mask);
    }
    return high - low + 0.05f * interest(s, x, y, reach);
}

static void choose_place(const struct scene *s, int32_t kind, struct dice *d, int32_t attempt, struct spot *spot)
{
    bool best = attempt > 0 || dice_chance(d, 0.8f) || kind == DEFECT_CHIP;
    int32_t tries = best ? (kind == DEFECT_CHIP ? 24 : 6) : 1, reach = (int32_t)most(2, spot->radius);
    float found = -1, side = (float)s->size;

    for (int32_t i = 0; i < tries; i++) {
        float x = dice_range(d, 0.06f, 0.94f) * side, y = dice_range(d, 0.06f, 0.94f) * side;
        float value = kind == DEFECT_CHIP ? edge_interest(s, (int32_t)x, (int32_t)y, reach)
                                          : interest(s, (int32_t)x, (int32_t)y, reach);
        if (value > found) {
            found = value;
            spot->x = x;
            spot->y = y;
        }
    }
}

static struct box box_around(const struct scene *s, float x, float y, float reach)
{
    struct box b = {(int32_t)floorf(x - reach), (int32_t)floorf(y - reach), (int32_t)ceilf(x + reach) + 1,
                    (int32_t)ceilf(y + reach) + 1};

    b.left = b.left < 0 ? 0 : b.left;
    b.top = b.top < 0 ? 0 : b.top;
    b.right = b.right > s->size ? s->size : b.right;
    b.bottom = b.bottom > s->size ? s->size : b.bottom;
    return b;
}

static struct spot make_spot(const struct scene *s, int32_t kind, struct dice *d, int32_t attempt)
{
    bool line = kind == DEFECT_SCRATCH || kind == DEFECT_CRACK || kind == DEFECT_FIBRE;
    bool moves = kind == DEFECT_WARP || kind == DEFECT_SWIRL || kind == DEFECT_CUT || kind == DEFECT_BLUR;
    float side = (float)s->size, turn = 6.2831853f * dice_uniform(d);
    float more = 1 + 0.35f * (float)attempt, fine = most(1, side / 128);
    struct spot spot = {.cosine = cosf(turn), .sine = sinf(turn), .seed = dice_seed(d)};

    /* 2 to 25 per cent of the side across; lines are longer, and what only moves pixels is not so small */
    spot.radius = 0.5f * side * dice_log(d, moves ? 0.06f : line ? 0.08f : 0.022f, line ? 0.6f : 0.26f);
    spot.radius = least(most(spot.radius, 1.3f) * (1 + 0.12f * (float)attempt), 0.3f * side);
    spot.ratio = dice_range(d, 0.4f, 1);
    spot.width = 0.5f * dice_range(d, 1, 3) * dice_range(d, 1, fine);
    spot.amplitude = dice_sign(d) * least(0.9f, dice_log(d, 0.06f, 0.7f) * more);
    spot.bend = dice_range(d, -1, 1) * (kind == DEFECT_FIBRE ? 1.2f : 0.3f) / spot.radius;
    spot.rough = dice_chance(d, 0.5f) ? 0 : dice_uniform(d);
    bool tinted = dice_chance(d, 0.3f);
    for (int32_t c = 0; c < 3; c++)
        spot.tint[c] = tinted ? dice_range(d, 0.1f, 1.2f) : 1;
    choose_place(s, kind, d, attempt, &spot);
    spot.box = box_around(s, spot.x, spot.y, spot.radius * 1.3f + 3 * fine);
    return spot;
}

/* Of a pixel: along and across the spot's direction. */
static void spot_frame(const struct spot *p, int32_t x, int32_t y, float *along, float *across)
{
    float dx = (float)x - p->x, dy = (float)y - p->y;

    *along = dx * p->cosine + dy * p->sine;
    *across = dy * p->cosine - dx * p->sine;
}

/* Signed distance to the outline of a blob, pixels. */
static float blob_distance(const struct spot *p, int32_t x, int32_t y)
{
    float u, v, noise = 0;

    spot_frame(p, x, y, &u, &v);
    if (p->rough > 0) {
        float f = 2.5f / p->radius;
        noise = value_noise(u * f + 30, v * f + 30, p->seed) + 0.5f * value_noise(u * f * 2 + 30, v * f * 2, p->seed + 1);
    }
    return sqrtf(u * u + v * v / (p->ratio * p->ratio)) * (1 - 0.15f * p->rough) + p->rough * p->radius * 0.4f * noise -
           p->radius;
}

typedef float weight_function(const struct spot *p, int32_t x, int32_t y);

/* image = image moved towards `colour` values by weight * strength, or plus amplitude if colour is NULL. */
static void paint(struct scene *s, const struct spot *p, weight_function *weight)
{
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = weight(p, x, y);
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] + w * p->amplitude * p->tint[c]);
        }
    }
}

/* Nearly white or black already: the other way shows more. */
static void turn_amplitude(const struct scene *s, struct spot *p)
{
    float here = plane_at(s->good[1], s->size, (int32_t)p->x, (int32_t)p->y);

    if ((here > 0.75f && p->amplitude > 0) || (here < 0.2f && p->amplitude < 0))
        p->amplitude = -p->amplitude;
}

/* ---- lines ---- */

static float line_weight(const struct spot *p, int32_t x, int32_t y)
{
    float u, v;

    spot_frame(p, x, y, &u, &v);
    v -= p->bend * 0.5f * u * u;
    float ends = inside((fabsf(u) - p->radius) / 3, 1), strength = 0.6f + 0.4f * value_noise(u * 0.2f + 99, 0, p->seed);
    return inside(fabsf(v) / sqrtf(1 + p->bend * p->bend * u * u) - p->width, 1.2f) * ends * strength;
}

static void draw_scratch(struct scene *s, struct spot *p)
{
    turn_amplitude(s, p);
    paint(s, p, line_weight);
}

/* A hair with its shadow beside it. */
static void draw_fibre(struct scene *s, struct spot *p)
{
    struct spot shadow = *p;

    p->amplitude = (p->amplitude > 0 ? 1 : -1) * most(fabsf(p->amplitude), 0.15f);
    turn_amplitude(s, p);
    shadow.x += 1.5f * p->width;
    shadow.y += 1.5f * p->width;
    shadow.amplitude = -0.08f;
    paint(s, &shadow, line_weight);
    paint(s, p, line_weight);
}

#define CRACK_POINTS 20

/* A random walk, thinner towards its ends. */
static void draw_crack(struct scene *s, struct spot *p, struct dice *d)
{
    float px[CRACK_POINTS], py[CRACK_POINTS], step = 2 * p->radius / CRACK_POINTS, angle = atan2f(p->sine, p->cosine);
    float x = p->x - p->cosine * p->radius, y = p->y - p->sine * p->radius;

    p->amplitude = -fabsf(p->amplitude) - 0.08f;
    turn_amplitude(s, p);
    for (int32_t i = 0; i < CRACK_POINTS; i++) {
        px[i] = x;
        py[i] = y;
        float way = angle + dice_range(d, -1.1f, 1.1f);
        x += cosf(way) * step;
        y += sinf(way) * step;
    }
    for (int32_t j = p->box.top; j < p->box.bottom; j++) {
        for (int32_t i = p->box.left; i < p->box.right; i++) {
            float best = 1e9f;
            for (int32_t k = 0; k + 1 < CRACK_POINTS; k++) {
                float ax = px[k + 1] - px[k], ay = py[k + 1] - py[k], bx = (float)i - px[k], by = (float)j - py[k];
                float t = clamp01((ax * bx + ay * by) / (ax * ax + ay * ay));
                float ex = bx - t * ax, ey = by - t * ay;
                float middle = fabsf(((float)k + t) / CRACK_POINTS * 2 - 1);
                best = least(best, sqrtf(ex * ex + ey * ey) - p->width * (1 - 0.7f * middle));
            }
            float w = inside(best, 1);
            size_t at = (size_t)j * (size_t)s->size + (size_t)i;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] + w * p->amplitude);
        }
    }
}

/* ---- spots ---- */

static float stain_weight(const struct spot *p, int32_t x, int32_t y)
{
    float d = blob_distance(p, x, y), soft = 1 + p->radius * (p->seed & 1 ? 1.2f : 0.1f);

    return smooth01(0.5f - (d + 0.25f * soft) / soft);
}

static float core_weight(const struct spot *p, int32_t x, int32_t y)
{
    return inside(blob_distance(p, x, y) + 0.25f * p->radius, 1.2f);
}

static float rim_weight(const struct spot *p, int32_t x, int32_t y)
{
    float u, v, d = blob_distance(p, x, y), thick = most(0.25f * p->radius, 0.8f);

    spot_frame(p, x, y, &u, &v);
    return inside(fabsf(d + 0.1f * p->radius) - 0.5f * thick, 1.2f) * clamp01(0.5f + 0.7f * u / p->radius);
}

static void draw_pit(struct scene *s, struct spot *p)
{
    struct spot rim = *p;

    p->amplitude = -fabsf(p->amplitude) - 0.05f;
    turn_amplitude(s, p);
    rim.amplitude = -0.7f * p->amplitude;
    paint(s, p, core_weight);
    paint(s, &rim, rim_weight);
}

/* The scene with a height and an albedo of its own. */
static struct scene damaged_scene(struct scene *s)
{
    struct scene t = *s;
    size_t bytes = (size_t)s->size * (size_t)s->size * sizeof(float);

    t.height = s->spare[0];
    memcpy(t.height, s->height, bytes);
    for (int32_t c = 0; c < 3; c++) {
        t.albedo[c] = s->spare[1 + c];
        memcpy(t.albedo[c], s->albedo[c], bytes);
    }
    return t;
}

static void draw_dent(struct scene *s, const struct spot *p)
{
    struct scene t = damaged_scene(s);
    float depth = 1.6f * p->amplitude * p->radius / (float)s->size;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float in = clamp01(-blob_distance(p, x, y) / p->radius);
            t.height[(size_t)y * (size_t)s->size + (size_t)x] += depth * in * in * (3 - 2 * in);
        }
    }
    shade(&t, p->box);
}

/* Part of the object breaks away: the background shows; without an edge nearby, a hollow with a sharp border. */
static void draw_chip(struct scene *s, const struct spot *p)
{
    struct scene t = damaged_scene(s);
    float depth = (0.3f + fabsf(p->amplitude)) * 0.25f * p->radius / (float)s->size;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            float w = inside(blob_distance(p, x, y), 1), away = w * s->mask[at];
            float grain = value_noise((float)x * 0.5f, (float)y * 0.5f, p->seed + 9);
            for (int32_t c = 0; c < 3; c++) {
                float broken = s->albedo[c][at] * (1 + p->amplitude * w * (0.5f + grain));
                t.albedo[c][at] = s->mask[at] > 0 ? blend(s->albedo[c][at], s->under[c][at], away) : broken;
            }
            t.height[at] = s->mask[at] > 0 ? blend(s->height[at], 0, away)
                                           : s->height[at] - depth * w * (0.5f + grain);
        }
    }
    shade(&t, p->box);
}

static void draw_colour(struct scene *s, const struct spot *p, struct dice *d)
{
    float gain[3], all = 1 + 0.8f * p->amplitude;

    for (int32_t c = 0; c < 3; c++)
        gain[c] = all * (1 + (p->tint[c] - 0.6f) * 0.6f * dice_uniform(d) * (p->tint[0] != 1));
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = stain_weight(p, x, y);
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = clamp01(s->image[c][at] * blend(1, gain[c], w));
        }
    }
}

/* ---- moved pixels ---- */

static float sample(const float *plane, int32_t size, float x, float y)
{
    x = least(most(x, 0.0f), (float)(size - 1));
    y = least(most(y, 0.0f), (float)(size - 1));
    int32_t i = (int32_t)x, j = (int32_t)y, right = i + 1 < size, below = j + 1 < size ? size : 0;
    const float *at = plane + (size_t)j * (size_t)size + (size_t)i;
    float fx = x - (float)i, fy = y - (float)j;

    return blend(blend(at[0], at[right], fx), blend(at[below], at[below + right], fx), fy);
}

struct move {
    float x, y, turn, zoom; /* of the middle: shift in pixels, rotation in radians, enlargement */
    bool line;              /* only one side of a line moves, and sharply */
};

static void move_pixels(struct scene *s, const struct spot *p, const struct move *m)
{
    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float u, v, dx = (float)x - p->x, dy = (float)y - p->y;
            spot_frame(p, x, y, &u, &v);
            float r = sqrtf(u * u + v * v) / (1.2f * p->radius), w = smooth01(1.5f * (1 - r));
            if (m->line)
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

static void draw_move(struct scene *s, const struct spot *p, int32_t kind, struct dice *d, int32_t attempt)
{
    float reach = most(1.2f, p->radius * dice_log(d, 0.12f, 0.5f)) * (1 + 0.3f * (float)attempt);
    struct move m = {0};

    if (kind == DEFECT_WARP && dice_chance(d, 0.5f))
        m.zoom = dice_chance(d, 0.5f) ? dice_range(d, 0.25f, 0.8f) : -dice_range(d, 0.2f, 0.45f);
    else if (kind == DEFECT_SWIRL)
        m.turn = dice_sign(d) * dice_log(d, 0.3f, 2.5f);
    else
        m = (struct move){reach * p->cosine, reach * p->sine, 0, 0, kind == DEFECT_CUT};
    move_pixels(s, p, &m);
}

static void draw_patch(struct scene *s, const struct spot *p, struct dice *d)
{
    float side = (float)s->size, from_x = dice_range(d, 0.15f, 0.85f) * side, from_y = dice_range(d, 0.15f, 0.85f) * side;
    bool turned = dice_chance(d, 0.4f);
    float soft = dice_chance(d, 0.5f) ? 1 : 1 + 0.5f * p->radius;

    for (int32_t y = p->box.top; y < p->box.bottom; y++) {
        for (int32_t x = p->box.left; x < p->box.right; x++) {
            float w = inside(blob_distance(p, x, y) + 0.4f * (soft - 1), soft), dx = (float)x - p->x, dy = (float)y - p->y;
            size_t at = (size_t)y * (size_t)s->size + (size_t)x;
            for (int32_t c = 0; c < 3 && w > 0; c++)
                s->image[c][at] = blend(s->good[c][at], sample(s->good[c], s->size, from_x + (turned ? -dy : dx),
                                                               from_y + (turned ? dx : dy)), w);
        }
    }
}

static void draw_blur(struct scene *s, const struct spot *p, struct dice *d, int32_t attempt)
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
static void draw_missing(struct scene *s, const struct spot *p)
{
    float ring[3][16];

    for (int32_t k = 0; k < 16; k++) {
        float a = 6.2831853f * (float)k / 16, u = 1.15f * p->radius * cosf(a), v = 1.15f * p->radius * p->ratio * sinf(a);
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

void draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt)
{
    struct spot p = make_spot(s, kind, &d, attempt);

    switch (kind) {
    case DEFECT_SCRATCH:
        draw_scratch(s, &p);
        break;
    case DEFECT_CRACK:
        draw_crack(s, &p, &d);
        break;
    case DEFECT_STAIN:
        turn_amplitude(s, &p);
        paint(s, &p, stain_weight);
        break;
    case DEFECT_PIT:
        draw_pit(s, &p);
        break;
    case DEFECT_DENT:
        draw_dent(s, &p);
        break;
    case DEFECT_PATCH:
        draw_patch(s, &p, &d);
        break;
    case DEFECT_BLUR:
        draw_blur(s, &p, &d, attempt);
        break;
    case DEFECT_MISSING:
        draw_missing(s, &p);
        break;
    case DEFECT_FIBRE:
        draw_fibre(s, &p);
        break;
    case DEFECT_CHIP:
        draw_chip(s, &p);
        break;
    case DEFECT_COLOUR:
        draw_colour(s, &p, &d);
        break;
    default:
        draw_move(s, &p, kind, &d, attempt);
    }
}
