#include <string.h>

#include "defect_spot.h"

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
    spot.width = 0.5f * dice_range(d, 1, 3);
    spot.width *= dice_range(d, 1, fine);
    spot.amplitude = least(most(dice_signed_log(d, 0.06f, 0.7f) * more, -0.9f), 0.9f);
    spot.bend = dice_range(d, -1, 1) * (kind == DEFECT_FIBRE ? 1.2f : 0.3f) / spot.radius;
    spot.rough = dice_chance(d, 0.5f) ? 0 : dice_uniform(d);
    bool tinted = dice_chance(d, 0.3f);
    for (int32_t c = 0; c < 3; c++)
        spot.tint[c] = tinted ? dice_range(d, 0.1f, 1.2f) : 1;
    choose_place(s, kind, d, attempt, &spot);
    spot.box = box_around(s, spot.x, spot.y, spot.radius * 1.3f + 3 * fine);
    return spot;
}

void draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt)
{
    struct spot p = make_spot(s, kind, &d, attempt);

    switch (kind) {
    case DEFECT_SCRATCH:
        paint_scratch(s, &p);
        break;
    case DEFECT_CRACK:
        paint_crack(s, &p, &d);
        break;
    case DEFECT_STAIN:
        paint_stain(s, &p);
        break;
    case DEFECT_PIT:
        paint_pit(s, &p);
        break;
    case DEFECT_DENT:
        paint_dent(s, &p);
        break;
    case DEFECT_PATCH:
        move_patch(s, &p, &d);
        break;
    case DEFECT_WARP:
        move_warp(s, &p, &d, attempt);
        break;
    case DEFECT_SWIRL:
        move_swirl(s, &p, &d);
        break;
    case DEFECT_BLUR:
        move_blur(s, &p, &d, attempt);
        break;
    case DEFECT_MISSING:
        move_missing(s, &p);
        break;
    case DEFECT_FIBRE:
        paint_fibre(s, &p);
        break;
    case DEFECT_CHIP:
        paint_chip(s, &p);
        break;
    case DEFECT_COLOUR:
        paint_colour(s, &p, &d);
        break;
    default:
        move_cut(s, &p, &d, attempt);
    }
}
