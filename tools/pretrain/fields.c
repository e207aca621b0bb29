/* The fields of textures, a row at a time.  x, y: (n) in units of the field; out: (n) in 0..1. */
#include "texture.h"

ROW_CLONES static void noise_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float weight = 1, scale = 1, total = 0, ridged = (float)(f->mode & 1);

    for (int32_t i = 0; i < n; i++)
        out[i] = 0;
    for (int32_t octave = 0; octave < f->count; octave++) {
        for (int32_t i = 0; i < n; i++) {
            float v = value_noise(x[i] * scale, y[i] * scale, f->grain + (uint32_t)octave);
            float ridge = 1 - fabsf(2 * v - 1);
            out[i] += weight * blend(v, ridge * ridge, ridged);
        }
        total += weight;
        weight *= f->gain;
        scale *= 2.03f;
    }
    float slope = f->mode & 2 ? 1 / (f->soft * 0.3f + f->pixel) : 1.5f, middle = 0.5f - 0.1f * ridged;
    for (int32_t i = 0; i < n; i++)
        out[i] = clamp01((out[i] / total - middle) * slope + 0.5f);
}

struct cells {
    float x[MAX_SIDE], y[MAX_SIDE];          /* set before: the places looked at */
    float first[MAX_SIDE], second[MAX_SIDE]; /* distances to the nearest two points */
    float tone[MAX_SIDE];                    /* random value of the nearest */
};

/* metric: 0 round, 1 diamond, 2 square. */
ROW_CLONES static void nearest_cells(int32_t n, float jitter, int32_t metric, uint32_t seed, struct cells *restrict c)
{
    float diamond = metric == 1, square = metric == 2;

    for (int32_t i = 0; i < n; i++) {
        c->first[i] = c->second[i] = 9;
        c->tone[i] = 0;
    }
    for (int32_t k = 0; k < 9; k++) {
        int32_t shift_x = k % 3 - 1, shift_y = k / 3 - 1;
        for (int32_t i = 0; i < n; i++) {
            int32_t column = floor_int(c->x[i]) + shift_x, row = floor_int(c->y[i]) + shift_y;
            uint32_t bits = hash_bits(column, row, seed);
            float px = (float)(int32_t)(bits & 1023) * (1 / 1024.0f) - 0.5f;
            float py = (float)(int32_t)(bits >> 10 & 1023) * (1 / 1024.0f) - 0.5f;
            float dx = fabsf((float)column + 0.5f + jitter * px - c->x[i]);
            float dy = fabsf((float)row + 0.5f + jitter * py - c->y[i]);
            float round = sqrtf(dx * dx + dy * dy);
            float d = round + diamond * (dx + dy - round) + square * (most(dx, dy) - round);
            float tone = (float)(int32_t)(bits >> 20) * (1 / 4096.0f);
            int nearer = d < c->first[i];
            c->second[i] = nearer ? c->first[i] : least(c->second[i], d);
            c->tone[i] = nearer ? tone : c->tone[i];
            c->first[i] = nearer ? d : c->first[i];
        }
    }
}

ROW_CLONES static void cells_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    struct cells c;

    for (int32_t i = 0; i < n; i++) {
        c.x[i] = x[i];
        c.y[i] = y[i];
    }
    nearest_cells(n, f->jitter, f->shape, f->grain, &c);
    switch (f->mode) {
    case 0:
        for (int32_t i = 0; i < n; i++)
            out[i] = clamp01(c.first[i] * 1.3f);
        break;
    case 1: /* edges */
        for (int32_t i = 0; i < n; i++)
            out[i] = inside(c.second[i] - c.first[i] - f->width * 0.4f, 2 * f->pixel + f->soft * 0.1f);
        break;
    case 2: /* flat cells with dark joints */
        for (int32_t i = 0; i < n; i++)
            out[i] = (0.3f + 0.7f * c.tone[i]) *
                     inside(f->width * 0.25f + c.first[i] - c.second[i], 2 * f->pixel);
        break;
    default:
        for (int32_t i = 0; i < n; i++)
            out[i] = clamp01((c.second[i] - c.first[i]) * 1.4f);
    }
}

/* Crystals, each in one tone, under a fine grid: solar cells.  The grid is in units of 1 / count of the field's. */
ROW_CLONES static void crystal_row(const struct field *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float barred = f->mode != 0;
    struct cells c;
    float lines = (float)f->count, pixel = f->pixel * lines, bars = 1.0f / (float)(f->count * f->step);

    for (int32_t i = 0; i < n; i++) {
        c.x[i] = x[i] * f->gain + f->warp * value_noise(x[i] * 1.7f, y[i] * 1.7f, f->grain);
        c.y[i] = y[i] + f->warp * value_noise(x[i] * 1.7f, y[i] * 1.7f, f->grain + 1);
    }
    nearest_cells(n, 1, f->shape, f->grain + 2, &c);
    for (int32_t i = 0; i < n; i++) {
        float tone = 0.15f + 0.6f * c.tone[i] + f->soft * 0.3f * (value_noise(x[i] * 9, y[i] * 9, f->grain + 3) - 0.5f);
        float across = fabsf(fraction(x[i] * lines) - 0.5f), along = fabsf(fraction(y[i] * lines * bars * 4) - 0.5f);
        float line = inside(across - f->width * 0.35f, pixel);
        float bar = inside(along - f->width * 0.12f, pixel * bars * 4);
        float grid = blend(line, most(line * 0.7f, bar), barred);
        out[i] = clamp01(tone + (1 - tone) * grid);
    }
}

ROW_CLONES static void grating_row(const struct field *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    struct wave wave = wave_of(f->shape, f->width);
    struct gaps gaps = gaps_of(f->missing);

    for (int32_t i = 0; i < n; i++)
        out[i] = 0;
    for (int32_t k = 0; k < f->count; k++) {
        const float w[3] = {f->wave[k][0], f->wave[k][1], f->wave[k][2]};
        float share = 1.0f / (float)f->count;
        for (int32_t i = 0; i < n; i++) {
            float phase = x[i] * w[0] + y[i] * w[1] + w[2] + f->warp * value_noise(x[i] * 0.2f, y[i] * 0.2f, f->grain);
            int32_t stripe = floor_int(phase);
            out[i] += share * (1 - 0.75f * gap_at(gaps, stripe)) * wave_at(wave, phase);
        }
    }
}

/* Threads of two directions.  Warp threads run along y, weft threads along x; which is on top follows the bond. */
ROW_CLONES static void weave_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float fill = f->width; /* of a thread, of the pitch: < 1 leaves gaps */

    for (int32_t i = 0; i < n; i++) {
        int32_t column = floor_int(x[i]), row = floor_int(y[i]);
        float u = x[i] - (float)column - 0.5f, v = y[i] - (float)row - 0.5f;
        int32_t place = modulo(column + row * f->step, f->count);
        int warp_up = place < f->mode;
        float across = (warp_up ? u : v) * 2 / fill, along = warp_up ? v : u;
        float other = (warp_up ? v : u) * 2 / fill;
        float top = sqrtf(most(0.0f, 1 - across * across)) * (1 - 1.2f * along * along);
        float below = 0.45f * sqrtf(most(0.0f, 1 - other * other));
        float twist = f->gain * sine((along * 2 + across * 0.6f) * 2);
        float tint = hash01(warp_up ? column : row, warp_up, f->grain) - 0.5f;
        float v1 = most(top * (0.85f + 0.15f * twist + f->jitter * 0.3f * tint), below);
        out[i] = clamp01(v1 + (warp_up ? f->soft * 0.25f : 0.0f) - f->soft * 0.1f);
    }
}

ROW_CLONES static void marble_row(const struct field *given, int32_t n, const float *restrict x,
                                  const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    struct wave wave = wave_of(f->shape, 0.5f);
    float plain = f->mode == 0, veined = f->mode == 1, wooden = f->mode == 2;
    for (int32_t i = 0; i < n; i++) {
        float a = x[i] * 0.3f, b = y[i] * 0.3f;
        float wx = value_noise(a, b, f->grain) + 0.4f * value_noise(a * 2.7f, b * 2.7f, f->grain + 1);
        float wy = value_noise(a + 9.5f, b, f->grain + 2) + 0.4f * value_noise(a * 2.7f, b * 2.7f, f->grain + 3);
        float u = x[i] * 0.5f + f->warp * wx, v = y[i] * 0.5f + f->warp * wy;
        float marble = value_noise(u, v, f->grain + 4);
        float ring = sqrtf((u - 20) * (u - 20) + v * v * 0.1f);
        float wood = wave_at(wave, ring * (1 + 2 * f->gain) + 0.5f * marble);
        float veins = 0.5f + 0.5f * sine(marble * (1 + 4 * f->gain));
        out[i] = plain * marble + veined * veins + wooden * wood;
    }
}

/* Signed distance to an element of half size r: 0 disc, 1 square, 2 diamond, 3 cross, 4 ring, 5 hexagon. */
ROW_INLINE float element(float u, float v, int32_t shape, float r)
{
    float au = fabsf(u), av = fabsf(v), round = sqrtf(u * u + v * v);

    switch (shape) {
    case 0:
        return round - r;
    case 1:
        return most(au, av) - r;
    case 2:
        return (au + av - 1.2f * r) * 0.7071f;
    case 3:
        return least(most(au - r, av - 0.35f * r), most(au - 0.35f * r, av - r));
    case 4:
        return fabsf(round - 0.8f * r) - 0.25f * r;
    default:
        return most(au * 0.866f + av * 0.5f, av) - r;
    }
}

ROW_INLINE void shape_row(const struct field *given, int32_t n, const float *restrict x, const float *restrict y,
                          float *restrict out, int32_t shape)
{
    const struct field copy = *given, *f = &copy;
    struct gaps gaps = gaps_of(f->missing);

    for (int32_t i = 0; i < n; i++) {
        int32_t row = floor_int(y[i]);
        float shifted = x[i] + 0.5f * (float)(f->mode & row & 1);
        int32_t column = floor_int(shifted);
        float u = shifted - (float)column - 0.5f + f->jitter * 0.3f * (hash01(column, row, f->grain) - 0.5f);
        float v = y[i] - (float)row - 0.5f + f->jitter * 0.3f * (hash01(column, row, f->grain + 1) - 0.5f);
        float cover = inside(element(u, v, shape, f->width), f->pixel + f->soft * 0.3f);
        float tint = 1 - f->gain * hash01(column, row, f->grain + 2);
        out[i] = (1 - gap_at(gaps, column + 2 * row)) * cover * tint;
    }
}

/* One loop for each shape, without a branch inside. */
ROW_CLONES static void shapes_row(const struct field *f, int32_t n, const float *x, const float *y, float *out)
{
    switch (f->shape) {
    case 0:
        shape_row(f, n, x, y, out, 0);
        break;
    case 1:
        shape_row(f, n, x, y, out, 1);
        break;
    case 2:
        shape_row(f, n, x, y, out, 2);
        break;
    case 3:
        shape_row(f, n, x, y, out, 3);
        break;
    case 4:
        shape_row(f, n, x, y, out, 4);
        break;
    default:
        shape_row(f, n, x, y, out, 5);
    }
}

ROW_CLONES static void sines_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float hard = f->mode != 0;
    for (int32_t i = 0; i < n; i++) {
        float a = x[i], b = y[i];
        for (int32_t k = 0; k < WAVES; k += 2) {
            float next = 0.6f * sine(0.35f * (a * f->wave[k][0] + b * f->wave[k][1]) + f->wave[k][2]) + 0.5f * a;
            b = 0.6f * sine(0.35f * (a * f->wave[k + 1][0] - b * f->wave[k + 1][1]) + f->wave[k + 1][2]) + 0.5f * b;
            a = next;
        }
        float v = sine(a * (0.5f + f->gain) + 0.7f * sine(b));
        out[i] = blend(0.5f + 0.5f * v, inside(-v, f->soft + 4 * f->pixel), hard);
    }
}

ROW_CLONES static void brushed_row(const struct field *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float scratched = f->mode != 0;
    for (int32_t i = 0; i < n; i++) {
        float fine = value_noise(x[i] * 0.05f, y[i] * 2.1f, f->grain);
        float middle = value_noise(x[i] * 0.09f, y[i], f->grain + 1);
        float wide = value_noise(x[i] * 0.02f, y[i] * 0.21f, f->grain + 2);
        float v = 0.45f * fine + 0.35f * middle + 0.2f * wide;
        float scratch = 1 - fabsf(2 * v - 1) * (2 + 4 * f->gain);
        out[i] = clamp01(blend((v - 0.5f) * 2 + 0.5f, scratch, scratched));
    }
}

ROW_CLONES static void rings_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    struct wave wave = wave_of(f->shape, f->width);
    float plain = f->mode == 0, grained = f->mode == 1, spoked = f->mode == 2;
    for (int32_t i = 0; i < n; i++) {
        float r = sqrtf(x[i] * x[i] + y[i] * y[i]), turn = turn_of(y[i], x[i]);
        float wobble = f->warp * 0.5f * value_noise(x[i] * 0.15f, y[i] * 0.15f, f->grain);
        float spiral = r + (float)f->step * turn + wobble;
        float v = wave_at(wave, spiral);
        float grain = line_noise(r * 2.3f, 7, f->grain + 1);
        float spokes = wave_at(wave, turn * (float)f->count);
        out[i] = plain * v + grained * (0.6f * v + 0.4f * grain) + spoked * v * (0.4f + 0.6f * spokes);
    }
}

ROW_CLONES static void speckle_row(const struct field *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float salted = f->mode != 0;
    for (int32_t i = 0; i < n; i++) {
        float a = value_noise(x[i], y[i], f->grain), b = value_noise(x[i] * 2.3f, y[i] * 2.3f, f->grain + 1);
        float c = value_noise(x[i] * 0.4f, y[i] * 0.4f, f->grain + 2);
        float soft = 0.05f + 0.3f * f->soft + f->pixel;
        float flakes = 0.5f * inside(f->width - a, soft) + 0.3f * inside(0.62f - b, soft) + 0.2f * c;
        float salt = inside(0.8f - b, soft);
        out[i] = clamp01(blend(flakes, salt + 0.4f * c * f->gain, salted));
    }
}

ROW_CLONES static void tiles_row(const struct field *given, int32_t n, const float *restrict x,
                                 const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    float offset = f->mode ? 1 / (float)f->count : 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t row = floor_int(y[i]);
        float shifted = x[i] / f->gain + offset * (float)modulo(row * f->step, f->count);
        int32_t column = floor_int(shifted);
        float u = (fabsf(shifted - (float)column - 0.5f) - 0.5f) * f->gain, v = fabsf(y[i] - (float)row - 0.5f) - 0.5f;
        float radius = 0.3f * f->soft, joint = f->width * 0.15f;
        float qx = most(u + radius + joint, 0.0f), qy = most(v + radius + joint, 0.0f);
        float edge = sqrtf(qx * qx + qy * qy) - radius;
        float grain = value_noise(x[i] * 4, y[i] * 4, f->grain + 5);
        float face = 0.55f + 0.35f * f->jitter * hash01(column, row, f->grain) + 0.15f * grain;
        out[i] = clamp01(face * inside(edge, f->pixel + 0.05f * f->soft));
    }
}

ROW_CLONES static void leather_row(const struct field *given, int32_t n, const float *restrict x,
                                   const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    struct cells c;

    for (int32_t i = 0; i < n; i++) {
        c.x[i] = x[i] + f->warp * 0.4f * value_noise(x[i], y[i], f->grain + 3);
        c.y[i] = y[i] + f->warp * 0.4f * value_noise(x[i], y[i], f->grain + 4);
    }
    nearest_cells(n, f->jitter, 0, f->grain, &c);
    for (int32_t i = 0; i < n; i++) {
        float gap = (c.second[i] - c.first[i]) / (f->width + 0.05f);
        float dome = 1 - 0.5f * c.first[i] * c.first[i];
        out[i] = clamp01(smooth01(gap) * dome + 0.1f * (value_noise(x[i] * 5, y[i] * 5, f->grain + 5) - 0.5f));
    }
}

/* Fibres: a straight piece through every cell of several sheared grids. */
ROW_CLONES static void fibres_row(const struct field *given, int32_t n, const float *restrict x,
                                  const float *restrict y, float *restrict out)
{
    const struct field copy = *given, *f = &copy;
    for (int32_t i = 0; i < n; i++)
        out[i] = 0.15f;
    for (int32_t k = 0; k < f->count; k++) {
        float angle = f->wave[k % WAVES][2] * f->warp, c = sine(angle + 0.25f), s = sine(angle);
        for (int32_t i = 0; i < n; i++) {
            float u = (x[i] * c + y[i] * s) * 0.12f + (float)k * 3.3f, v = y[i] * c - x[i] * s;
            v += f->jitter * 1.5f * value_noise(u * 2, v * 0.3f, f->grain + (uint32_t)k);
            int32_t row = floor_int(v);
            float off = fabsf(v - (float)row - 0.5f);
            float bright = line_noise(u * 1.5f, row, f->grain + 77u + (uint32_t)k);
            float body = inside(off - f->width * 0.35f, f->pixel + 0.15f) * bright;
            out[i] = most(out[i], body);
        }
    }
}

/* A mesh is a weave with gaps; a perforated sheet a lattice with the elements dark. */
static void perforated_row(const struct field *f, int32_t n, const float *restrict x,
                                      const float *restrict y, float *restrict out)
{
    shapes_row(f, n, x, y, out);
    for (int32_t i = 0; i < n; i++)
        out[i] = 1 - out[i];
}

field_row *field_function(enum field_kind kind)
{
    static field_row *const functions[FIELD_KINDS] = {
        [FIELD_NOISE] = noise_row, [FIELD_CELLS] = cells_row, [FIELD_CRYSTAL] = crystal_row,
        [FIELD_GRATING] = grating_row, [FIELD_WEAVE] = weave_row, [FIELD_MARBLE] = marble_row,
        [FIELD_SHAPES] = shapes_row, [FIELD_SINES] = sines_row, [FIELD_BRUSHED] = brushed_row,
        [FIELD_RINGS] = rings_row, [FIELD_SPECKLE] = speckle_row, [FIELD_MESH] = weave_row,
        [FIELD_PERFORATED] = perforated_row, [FIELD_TILES] = tiles_row, [FIELD_LEATHER] = leather_row,
        [FIELD_FIBRES] = fibres_row,
    };

    return functions[kind];
}
