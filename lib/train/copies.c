#include "train/copies.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "train/light.h"

/* What DN_COPIES_SMALL does, at most: degrees, and a share of the view's width and height. */
#define SMALL_ANGLE 4.0
#define SMALL_SHIFT 0.015

/* Moved views of all images together, as far as the least and the most of each image allow. */
#define MOVED_VIEWS 640

static int32_t moved_copies(int32_t kind, int32_t images)
{
    static const struct {
        int32_t least, most;
    } range[] = {
        [DN_COPIES_NONE] = {0, 0}, [DN_COPIES_SMALL] = {2, 8}, [DN_COPIES_MIRROR] = {3, 3}, [DN_COPIES_TURN] = {3, 16}};
    int32_t copies = MOVED_VIEWS / images;

    return copies < range[kind].least ? range[kind].least : copies > range[kind].most ? range[kind].most : copies;
}

copy_plan copies_planned(int32_t kind, int32_t images, _Bool light, uint64_t seed, const float *mean, const float *std)
{
    int32_t moved = moved_copies(kind, images), lit = light ? light_copies(images) : 0;

    return (copy_plan){.kind = kind,
                       .moved = moved,
                       .count = moved > lit ? moved : lit,
                       .light = light,
                       .seed = seed,
                       .mean = mean,
                       .std = std};
}

/* ---- moving ---- */

/* The target's pixel (x, y) reads from matrix (x, y) + shift, about the centre, in pixels. */
typedef struct movement {
    double matrix[2][2], shift[2];
} movement;

static movement turned(double degrees, double shift_x, double shift_y)
{
    double radians = degrees * 3.14159265358979323846 / 180;

    return (movement){{{cos(radians), sin(radians)}, {-sin(radians), cos(radians)}}, {shift_x, shift_y}};
}

/* Left and right, above and below, or both exchanged; turns: every angle is as likely, those of an image being spread
 * over the circle. */
static movement choose_movement(const image_copy *copy, int32_t width, int32_t height)
{
    const copy_plan *plan = copy->plan;
    rng generator;

    rng_seed(&generator, plan->seed, RNG_COPIES | (uint64_t)copy->image << 8);
    if (plan->kind == DN_COPIES_MIRROR)
        return (movement){{{copy->copy == 1 ? 1 : -1, 0}, {0, copy->copy == 0 ? 1 : -1}}, {0, 0}};
    if (plan->kind == DN_COPIES_TURN)
        return turned(360 * (copy->copy + 0.5 + rng_uniform(&generator)) / (plan->moved + 1), 0, 0);
    for (int32_t i = 0; i < 3 * copy->copy; i++)
        rng_uniform(&generator);
    double angle = SMALL_ANGLE * (2 * rng_uniform(&generator) - 1);
    double shift_x = SMALL_SHIFT * width * (2 * rng_uniform(&generator) - 1);
    return turned(angle, shift_x, SMALL_SHIFT * height * (2 * rng_uniform(&generator) - 1));
}

/* The pixel that stands for `at`, which may be outside: the view is continued by its mirror images, so that no border is
 * learned that no part has.  size >= 2. */
static int32_t reflect(int32_t at, int32_t size)
{
    int32_t period = 2 * size - 2, inside = at % period;

    inside = inside < 0 ? inside + period : inside;
    return inside < size ? inside : period - inside;
}

/* target (3) = source (height, width, 3) at (x, y), linear between pixels' centres. */
static void sample(const float *source, int32_t width, int32_t height, double x, double y, float *target)
{
    int32_t left = (int32_t)floor(x), top = (int32_t)floor(y);
    float share_x = (float)(x - left), share_y = (float)(y - top);
    size_t columns[2] = {(size_t)reflect(left, width), (size_t)reflect(left + 1, width)};
    size_t rows[2] = {(size_t)reflect(top, height), (size_t)reflect(top + 1, height)};

    for (size_t c = 0; c < 3; c++) {
        const float *above = source + rows[0] * (size_t)width * 3 + c;
        const float *below = source + rows[1] * (size_t)width * 3 + c;
        float first = above[3 * columns[0]] + share_x * (above[3 * columns[1]] - above[3 * columns[0]]);
        float second = below[3 * columns[0]] + share_x * (below[3 * columns[1]] - below[3 * columns[0]]);
        target[c] = first + share_y * (second - first);
    }
}

static void move(const movement *m, int32_t width, int32_t height, float *view, float *scratch)
{
    double centre_x = (width - 1) / 2.0, centre_y = (height - 1) / 2.0;

    memcpy(scratch, view, (size_t)width * (size_t)height * 3 * sizeof *scratch);
    for (int32_t row = 0; row < height; row++)
        for (int32_t column = 0; column < width; column++, view += 3) {
            double x = column - centre_x, y = row - centre_y;
            sample(scratch, width, height, m->matrix[0][0] * x + m->matrix[0][1] * y + m->shift[0] + centre_x,
                   m->matrix[1][0] * x + m->matrix[1][1] * y + m->shift[1] + centre_y, view);
        }
}

/* ---- one copy ---- */

void copies_change(void *context, int32_t width, int32_t height, float *view, float *scratch)
{
    const image_copy *copy = context;
    const copy_plan *plan = copy->plan;
    int32_t kinds = LIGHT_KINDS + (copy->copy < plan->moved), kind = light_kind(copy->image, copy->copy, kinds);

    if (copy->copy < 0)
        return;
    if (copy->copy < plan->moved) {
        movement m = choose_movement(copy, width, height);
        move(&m, width, height, view, scratch);
    }
    if (plan->light && kind < LIGHT_KINDS) {
        light_copy light = {kind, plan->seed, (uint64_t)copy->image | (uint64_t)copy->copy << 32, plan->mean,
                            plan->std};
        light_change(&light, width, height, view, scratch);
    }
}
