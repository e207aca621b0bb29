/* The parts of objects, a row at a time.  x, y: (n) in the part's frame; pixel: its width there; cover: (n) in 0..1;
 * height: (n) above the part's base. */
#include "object.h"

/* Height at depth `in` behind an edge: 0 chamfer, 1 round, 2 soft step. */
ROW_INLINE float edge_height(float in, float bevel, int32_t profile)
{
    float t = clamp01(in / bevel);

    return (float)(profile == 0) * t + (float)(profile == 1) * sqrtf(most(0.0f, t * (2 - t))) +
           (float)(profile == 2) * t * t * (3 - 2 * t);
}

ROW_INLINE float box_distance(float x, float y, float half_x, float half_y, float radius)
{
    float qx = fabsf(x) - half_x + radius, qy = fabsf(y) - half_y + radius;
    float ox = most(qx, 0.0f), oy = most(qy, 0.0f);

    return sqrtf(ox * ox + oy * oy) + least(most(qx, qy), 0.0f) - radius;
}

ROW_CLONES static void box_row(const struct part *given, int32_t n, const float *restrict x,
                               const float *restrict y, float pixel, float *restrict cover,
                               float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float bevel = most(p->bevel, pixel);

    for (int32_t i = 0; i < n; i++) {
        float d = box_distance(x[i], y[i], p->half_x, p->half_y, p->radius);
        cover[i] = inside(d, pixel);
        height[i] = p->raise * edge_height(-d, bevel, p->profile);
    }
}

/* A helix seen from the side: on the front the thread falls by half a pitch from one silhouette to the other. */
ROW_CLONES static void rod_row(const struct part *given, int32_t n, const float *restrict x,
                               const float *restrict y, float pixel, float *restrict cover,
                               float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    struct wave wave = wave_of(p->profile, p->width);
    struct gaps gaps = gaps_of(p->missing);
    float slimming = p->taper > 0 ? 0.75f / p->taper : 0, slim_end = p->taper > 0 ? 0.25f : 1;
    float fade = clamp01((p->pitch / pixel - 1.4f) * 1.2f); /* finer than the pixels: no thread */

    for (int32_t i = 0; i < n; i++) {
        float across = least(most(y[i] / p->radius, -1.0f), 1.0f);
        float around = turn_of(across, sqrtf(most(0.0f, 1 - across * across)));
        float phase = x[i] / p->pitch + around * p->slant;
        int32_t turn = floor_int(phase);
        float ridge = blend(0.5f, wave_at(wave, phase), fade);
        ridge *= 1 - 0.85f * gap_at(gaps, turn);
        float slim = least(1.0f, (p->half_x - x[i]) * slimming + slim_end);
        float r = p->radius * slim - p->depth * (1 - ridge);
        cover[i] = inside(most(fabsf(y[i]) - r, fabsf(x[i]) - p->half_x), pixel);
        height[i] = sqrtf(most(0.0f, r * r - y[i] * y[i]));
    }
}

ROW_CLONES static void groove_row(const struct part *given, int32_t n, const float *restrict x,
                                  const float *restrict y, float pixel, float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    struct wave wave = wave_of(p->shape, 0.5f);
    float depth = p->depth * clamp01((p->pitch / pixel - 1.4f) * 1.2f);

    for (int32_t i = 0; i < n; i++)
        height[i] += depth * (wave_at(wave, sqrtf(x[i] * x[i] + y[i] * y[i]) / p->pitch) - 0.5f);
}

ROW_CLONES static void ring_row(const struct part *given, int32_t n, const float *restrict x, const float *restrict y,
                                float pixel, float *restrict cover, float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float bevel = most(p->bevel, pixel);

    for (int32_t i = 0; i < n; i++) {
        float r = sqrtf(x[i] * x[i] + y[i] * y[i]);
        float d = most(r - p->radius, p->inner - r);
        cover[i] = inside(d, pixel);
        height[i] = p->raise * edge_height(-d, bevel, p->profile);
    }
}

static void disc_row(const struct part *p, int32_t n, const float *x, const float *y, float pixel, float *cover,
                     float *height)
{
    ring_row(p, n, x, y, pixel, cover, height);
    if (p->depth != 0 && p->pitch > 1.4f * pixel)
        groove_row(p, n, x, y, pixel, height);
}

/* Teeth: 0 round, 1 trapezoid, 2 pointed, 3 saw. */
ROW_CLONES static void gear_row(const struct part *given, int32_t n, const float *restrict x,
                                const float *restrict y, float pixel, float *restrict cover,
                                float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float bevel = most(p->bevel, pixel), teeth = (float)p->count;
    static const int32_t shapes[4] = {WAVE_SINE, WAVE_TRAPEZOID, WAVE_TRIANGLE, WAVE_SAW};
    struct wave wave = wave_of(shapes[p->shape], p->width);
    struct gaps gaps = gaps_of(p->missing);

    for (int32_t i = 0; i < n; i++) {
        float r = sqrtf(x[i] * x[i] + y[i] * y[i]);
        float phase = (turn_of(y[i], x[i]) + 0.5f) * teeth;
        int32_t tooth = floor_int(phase);
        float up = wave_at(wave, phase) * (1 - gap_at(gaps, tooth));
        float slope = 2 * 6.2831853f * r / teeth; /* the flank's distance is less than the radial one */
        float d = (r - p->radius + p->depth * (1 - up)) * slope / sqrtf(slope * slope + 16 * p->depth * p->depth);
        d = most(d, p->inner - r);
        cover[i] = inside(d, pixel);
        height[i] = p->raise * edge_height(-d, bevel, p->profile);
    }
}

ROW_CLONES static void polygon_row(const struct part *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float pixel, float *restrict cover,
                                   float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float bevel = most(p->bevel, pixel), sides = (float)p->count;

    for (int32_t i = 0; i < n; i++) {
        float r = sqrtf(x[i] * x[i] + y[i] * y[i]);
        float folded = (fraction((turn_of(y[i], x[i]) + 0.5f) * sides) - 0.5f) / sides;
        float d = most(r * sine(folded + 0.25f) - p->radius, p->inner - r);
        cover[i] = inside(d, pixel);
        height[i] = p->raise * edge_height(-d, bevel, p->profile);
    }
}

/* Distance to one set of strands of a coil, which cross height y at phase `at`. */
ROW_INLINE float strand(float x, float pitch, float at, float slope)
{
    float off = (fraction(x / pitch - at + 0.5f) - 0.5f) * pitch;

    return fabsf(off) / sqrtf(1 + slope * slope);
}

ROW_CLONES static void coil_row(const struct part *given, int32_t n, const float *restrict x,
                                const float *restrict y, float pixel, float *restrict cover,
                                float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float reach = p->radius - p->width;

    for (int32_t i = 0; i < n; i++) {
        float s = least(most(y[i] / reach, -1.0f), 1.0f), c = sqrtf(most(0.003f, 1 - s * s));
        float at = turn_of(s, c), slope = p->pitch / (6.2831853f * reach * c);
        float past = most(0.0f, fabsf(y[i]) - reach), end = fabsf(x[i]) - p->half_x;
        float front = strand(x[i], p->pitch, at, slope), back = strand(x[i], p->pitch, 0.5f - at, slope);
        front = sqrtf(front * front + past * past);
        back = sqrtf(back * back + past * past);
        float front_cover = inside(most(front - p->width, end), pixel);
        float back_cover = inside(most(back - p->width, end), pixel);
        float front_height = sqrtf(most(0.0f, p->width * p->width - front * front)) + reach * c * 0.6f;
        float back_height = sqrtf(most(0.0f, p->width * p->width - back * back));
        cover[i] = most(front_cover, back_cover);
        height[i] = blend(back_height, front_height + 0.2f * reach, front_cover);
    }
}

ROW_INLINE float lattice_element(float u, float v, int32_t shape, float r)
{
    float au = fabsf(u), av = fabsf(v), round = sqrtf(u * u + v * v);

    switch (shape) {
    case 0:
        return round - r;
    case 1:
        return most(au, av) - 0.9f * r;
    case 2: /* slot */
        return sqrtf(most(0.0f, au - 0.5f * r) * most(0.0f, au - 0.5f * r) + v * v) - 0.5f * r;
    case 3: /* ring */
        return fabsf(round - 0.75f * r) - 0.25f * r;
    case 4: /* hexagon */
        return most(au * 0.866f + av * 0.5f, av) - r;
    default: /* cross */
        return least(most(au - r, av - 0.3f * r), most(au - 0.3f * r, av - r));
    }
}

ROW_INLINE void elements_row(const struct part *given, int32_t n, const float *restrict x, const float *restrict y,
                             float pixel, float *restrict cover, float *restrict height, int32_t shape)
{
    const struct part copy = *given, *p = &copy;
    struct gaps gaps = gaps_of(p->missing);
    float round = p->inner > 0;
    float r = p->width * p->pitch, bevel = most(p->profile == 1 ? r : p->bevel, pixel);
    float margin = 0.5f * p->pitch, squeeze = p->taper > 0 ? p->taper : 1;

    for (int32_t i = 0; i < n; i++) {
        float b = y[i] / (p->pitch * squeeze) + p->phase;
        int32_t row = floor_int(b);
        float a = x[i] / p->pitch + p->slant * (float)(row & 1);
        int32_t column = floor_int(a);
        float u = (a - (float)column - 0.5f) * p->pitch, v = (b - (float)row - 0.5f) * p->pitch * squeeze;
        float cx = fabsf(x[i] - u), cy = fabsf(y[i] - v); /* the element's centre must be within the bounds */
        float far = blend(most(cx - p->half_x + margin, cy - p->half_y + margin * squeeze),
                          sqrtf(cx * cx + cy * cy) - p->inner, round);
        float d = lattice_element(u, v, shape, r);
        float present = (float)(far <= 1e-4f) * (float)(hash01(column, row, p->seed) < p->fill);
        cover[i] = present * (1 - gap_at(gaps, column + 2 * row)) * inside(d, pixel);
        height[i] = p->raise * edge_height(-d, bevel, p->profile);
    }
}

/* One loop for each shape, without a branch inside. */
ROW_CLONES static void lattice_row(const struct part *p, int32_t n, const float *x, const float *y, float pixel,
                                   float *cover, float *height)
{
    switch (p->shape) {
    case 0:
        elements_row(p, n, x, y, pixel, cover, height, 0);
        break;
    case 1:
        elements_row(p, n, x, y, pixel, cover, height, 1);
        break;
    case 2:
        elements_row(p, n, x, y, pixel, cover, height, 2);
        break;
    case 3:
        elements_row(p, n, x, y, pixel, cover, height, 3);
        break;
    case 4:
        elements_row(p, n, x, y, pixel, cover, height, 4);
        break;
    default:
        elements_row(p, n, x, y, pixel, cover, height, 5);
    }
}

ROW_CLONES static void ticks_row(const struct part *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float pixel, float *restrict cover,
                                 float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    for (int32_t i = 0; i < n; i++) {
        float a = x[i] / p->pitch;
        int32_t tick = floor_int(a);
        float u = (a - (float)tick - 0.5f) * p->pitch;
        float long_one = modulo(tick, p->count) == 0, middle = modulo(2 * tick, p->count) == 0;
        float reach = p->half_y * (0.9f + 0.6f * most(long_one, 0.5f * middle)) - p->half_y * 0.5f;
        float d = most(fabsf(u) - 0.5f * p->width, most(y[i] - reach, fabsf(x[i]) - p->half_x));
        cover[i] = inside(most(d, -p->half_y - y[i]), pixel);
        height[i] = p->raise;
    }
}

ROW_CLONES static void bars_row(const struct part *given, int32_t n, const float *restrict x,
                                const float *restrict y, float pixel, float *restrict cover,
                                float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    for (int32_t i = 0; i < n; i++) {
        float a = x[i] / p->pitch;
        int32_t module = floor_int(a);
        float f = (a - (float)module - 0.5f) * p->pitch; /* from the module's middle */
        float here = hash01(module, 3, p->seed) < p->fill;
        float beside = hash01(module + (f > 0 ? 1 : -1), 3, p->seed) < p->fill;
        float to_edge = clamp01(0.5f - (fabsf(f) - 0.5f * p->pitch) / pixel);
        float ink = blend(beside, here, least(to_edge, 1.0f));
        float ends = inside(most(fabsf(y[i]) - p->half_y, fabsf(x[i]) - p->half_x), pixel);
        cover[i] = ink * ends;
        height[i] = p->raise;
    }
}

ROW_CLONES static void fins_row(const struct part *given, int32_t n, const float *restrict x,
                                const float *restrict y, float pixel, float *restrict cover,
                                float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    struct wave wave = wave_of(p->profile, p->width);
    struct gaps gaps = gaps_of(p->missing);
    float fade = clamp01((p->pitch / pixel - 1.4f) * 1.2f), crossed = p->count > 0;

    for (int32_t i = 0; i < n; i++) {
        float phase = (x[i] + p->slant * y[i]) / p->pitch, other = (x[i] - p->slant * y[i]) / p->pitch;
        int32_t fin = floor_int(phase);
        float up = wave_at(wave, phase);
        float cross_up = wave_at(wave, other);
        up = blend(up, up * cross_up, crossed);
        up *= 1 - 0.8f * gap_at(gaps, fin);
        float d = box_distance(x[i], y[i], p->half_x, p->half_y, p->radius);
        cover[i] = inside(d, pixel);
        height[i] = p->raise * edge_height(-d, most(p->bevel, pixel), 0) + p->depth * blend(0.5f, up, fade);
    }
}

/* Teeth of two tapes that meet at y = 0, half a pitch apart. */
ROW_CLONES static void teeth_row(const struct part *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float pixel, float *restrict cover,
                                 float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float wider = p->shape == 1 ? 0.3f : 0;
    struct gaps gaps = gaps_of(p->missing);
    float reach = p->half_y * 0.25f, length = 0.5f * (p->half_y + reach);

    for (int32_t i = 0; i < n; i++) {
        float best = 1e9f;
        for (int32_t side = 0; side < 2; side++) {
            float a = x[i] / p->pitch + 0.5f * (float)side, sign = side ? -1.0f : 1.0f;
            int32_t tooth = floor_int(a);
            float u = (a - (float)tooth - 0.5f) * p->pitch, v = y[i] * sign - (p->half_y - length);
            float thick = p->width * p->pitch * (1 + wider * (float)(v < -0.5f * length));
            float d = box_distance(u, v, thick, length, least(p->radius * p->pitch, thick));
            best = least(best, d + 1e6f * gap_at(gaps, tooth));
        }
        cover[i] = inside(most(best, fabsf(x[i]) - p->half_x), pixel);
        height[i] = p->raise * edge_height(-best, most(p->bevel, pixel), 1);
    }
}

/* Every other link is seen from its edge. */
ROW_CLONES static void chain_row(const struct part *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float pixel, float *restrict cover,
                                 float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float wire = p->width, half = 0.5f * p->pitch;

    for (int32_t i = 0; i < n; i++) {
        float face_u = (fraction(x[i] / (2 * p->pitch)) - 0.5f) * 2 * p->pitch;
        float edge_u = (fraction(x[i] / (2 * p->pitch) + 0.5f) - 0.5f) * 2 * p->pitch;
        float ring = fabsf(box_distance(face_u, y[i], half + 1.5f * wire, p->half_y - wire, p->half_y - wire)) - wire;
        float edge = box_distance(edge_u, y[i], half + 2.5f * wire, wire, wire);
        float face_cover = inside(ring, pixel), edge_cover = inside(edge, pixel);
        float face_height = sqrtf(most(0.0f, wire * wire - (ring + wire) * (ring + wire)));
        float edge_height_ = 1.2f * wire + sqrtf(most(0.0f, -edge * (2 * wire + edge)));
        float end = inside(fabsf(x[i]) - p->half_x, pixel);
        cover[i] = most(face_cover, edge_cover) * end;
        height[i] = blend(face_height, edge_height_, edge_cover);
    }
}

ROW_CLONES static void bristles_row(const struct part *given, int32_t n, const float *restrict x,
                                    const float *restrict y, float pixel, float *restrict cover,
                                    float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    for (int32_t i = 0; i < n; i++) {
        float up = (y[i] + p->half_y) / (2 * p->half_y), best = 0, top = 0;
        for (int32_t layer = 0; layer < 3; layer++) {
            float lean = p->slant * (line_noise(x[i] / p->pitch * 0.15f, layer, p->seed) - 0.5f) * up * up * 4;
            float a = x[i] / p->pitch + lean + 0.33f * (float)layer;
            int32_t hair = floor_int(a);
            float u = (a - (float)hair - 0.5f) * p->pitch;
            float length = 1 - 0.25f * p->fill * hash01(hair, layer, p->seed + 5);
            float d = most(fabsf(u) - p->width * p->pitch, (up - length) * 2 * p->half_y);
            float round = sqrtf(most(0.0f, 1 - u * u / (p->width * p->width * p->pitch * p->pitch)));
            float here = inside(most(d, fabsf(x[i]) - p->half_x), pixel);
            top = blend(top, (0.4f * (float)layer + round) * p->width * p->pitch, here);
            best = most(best, here);
        }
        cover[i] = best;
        height[i] = top;
    }
}

ROW_CLONES static void dome_row(const struct part *given, int32_t n, const float *restrict x,
                                const float *restrict y, float pixel, float *restrict cover,
                                float *restrict height)
{
    const struct part copy = *given, *p = &copy;
    float square = p->shape != 0;
    float small = least(p->half_x, p->half_y);

    for (int32_t i = 0; i < n; i++) {
        float a = x[i] / p->half_x, b = y[i] / p->half_y;
        float q = blend(a * a + b * b, sqrtf(a * a * a * a + b * b * b * b), square);
        float d = (sqrtf(q) - 1) * small;
        cover[i] = inside(d, pixel);
        height[i] = p->raise * sqrtf(most(0.0f, 1 - q));
    }
}

part_row *part_function(enum part_kind kind)
{
    static part_row *const functions[PART_KINDS] = {
        [PART_BOX] = box_row, [PART_ROD] = rod_row, [PART_DISC] = disc_row, [PART_GEAR] = gear_row,
        [PART_POLYGON] = polygon_row, [PART_COIL] = coil_row, [PART_LATTICE] = lattice_row, [PART_TICKS] = ticks_row,
        [PART_BARS] = bars_row, [PART_FINS] = fins_row, [PART_TEETH] = teeth_row, [PART_CHAIN] = chain_row,
        [PART_BRISTLES] = bristles_row, [PART_DOME] = dome_row,
    };

    return functions[kind];
}
