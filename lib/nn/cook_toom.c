#include "nn/cook_toom.h"

#include <math.h>
#include <string.h>

#include "base/simd.h"

#define MOST COOK_TOOM_TILE
#define OUTPUTS COOK_TOOM_OUTPUTS

/* Points that lose few digits: for 3 taps +-1/sqrt(2), +-sqrt(2), found by search; for 5 taps the usual ones. */
static void choose_points(int32_t taps, double point[COOK_TOOM_PAIRS])
{
    static const double three[] = {0.70710678118654752440, 1.41421356237309504880, 0}, five[] = {1, 2, 0.5};

    memcpy(point, taps == 3 ? three : five, sizeof three);
}

/* Coefficients in x^2 of the product of (x^2 - a_i^2) over all pairs but `left_out` (-1: none). */
static void even_product(const double *point, int32_t pairs, int32_t left_out, double *coefficient)
{
    int32_t degree = 0;

    coefficient[0] = 1;
    for (int32_t i = 0; i < pairs; i++) {
        if (i == left_out)
            continue;
        coefficient[++degree] = 0;
        for (int32_t j = degree; j >= 0; j--)
            coefficient[j] = (j > 0 ? coefficient[j - 1] : 0) - point[i] * point[i] * coefficient[j];
    }
}

/* Rows a^j / f of G for the pair +-a: f = N(a) = 2 a^2 prod over the others of (a^2 - a_j^2), the same for -a. */
static void filter_rows(cook_toom *t, const double *point, int32_t pair)
{
    double a = point[pair], f = 2 * a * a;

    for (int32_t j = 0; j < t->pairs; j++)
        if (j != pair)
            f *= a * a - point[j] * point[j];
    for (int32_t j = 0; j < t->taps; j++) {
        t->filter[1 + 2 * pair][j] = pow(a, j) / f;
        t->filter[2 + 2 * pair][j] = pow(-a, j) / f;
    }
}

void cook_toom_init(cook_toom *transform, int32_t taps)
{
    double point[COOK_TOOM_PAIRS], coefficient[COOK_TOOM_PAIRS + 1];
    cook_toom *t = transform;

    memset(t, 0, sizeof *t);
    t->taps = taps;
    t->tile = OUTPUTS + taps - 1;
    t->pairs = (t->tile - 2) / 2;
    choose_points(taps, point);
    even_product(point, t->pairs, -1, coefficient);
    for (int32_t j = 0; j <= t->pairs; j++)
        t->even[j] = (float)coefficient[j];
    t->filter[0][0] = 1 / coefficient[0]; /* f = E(0) */
    t->filter[t->tile - 1][taps - 1] = 1;
    for (int32_t i = 0; i < t->pairs; i++) {
        filter_rows(t, point, i);
        even_product(point, t->pairs, i, coefficient);
        for (int32_t j = 0; j < t->pairs; j++)
            t->rest[i][j] = (float)coefficient[j];
        for (int32_t k = 0; k < OUTPUTS; k++)
            t->power[k][i] = (float)pow(point[i], k);
    }
}

/* ---- one line of a tile ---- */

/* Channels that are transformed together; the compiler splits them as the instruction set needs. */
typedef float lanes __attribute__((vector_size(COOK_TOOM_LANES * sizeof(float)), aligned(4), may_alias));

enum line { INPUT, OUTPUT, OUTPUT_GRADIENT, INPUT_GRADIENT };

/* out = B^T in */
SIMD_INLINE void input_line(const cook_toom *t, int pairs, const lanes *in, lanes *out)
{
    out[0] = in[0] * t->even[0];
    out[2 * pairs + 1] = in[1] * t->even[0];
    for (int j = 1; j <= pairs; j++) {
        out[0] += in[2 * j] * t->even[j];
        out[2 * pairs + 1] += in[2 * j + 1] * t->even[j];
    }
    for (int i = 0; i < pairs; i++) {
        lanes even = in[2] * t->rest[i][0], odd = in[1] * t->rest[i][0];
        for (int j = 1; j < pairs; j++) {
            even += in[2 * j + 2] * t->rest[i][j];
            odd += in[2 * j + 1] * t->rest[i][j];
        }
        odd *= t->power[1][i];
        out[1 + 2 * i] = even + odd;
        out[2 + 2 * i] = even - odd;
    }
}

/* out = A^T in */
SIMD_INLINE void output_line(const cook_toom *t, int pairs, const lanes *in, lanes *out)
{
    lanes sum[COOK_TOOM_PAIRS], difference[COOK_TOOM_PAIRS];

    out[0] = in[0];
    for (int i = 0; i < pairs; i++) {
        sum[i] = in[1 + 2 * i] + in[2 + 2 * i];
        difference[i] = in[1 + 2 * i] - in[2 + 2 * i];
        out[0] += sum[i];
    }
    for (int k = 1; k < OUTPUTS; k++) {
        const lanes *part = k % 2 ? difference : sum;
        out[k] = part[0] * t->power[k][0];
        for (int i = 1; i < pairs; i++)
            out[k] += part[i] * t->power[k][i];
    }
    out[OUTPUTS - 1] += in[2 * pairs + 1];
}

/* out = A in */
SIMD_INLINE void output_gradient_line(const cook_toom *t, int pairs, const lanes *in, lanes *out)
{
    out[0] = in[0];
    for (int i = 0; i < pairs; i++) {
        lanes even = in[0] + in[2] * t->power[2][i];
        lanes odd = in[1] * t->power[1][i] + in[3] * t->power[3][i];
        out[1 + 2 * i] = even + odd;
        out[2 + 2 * i] = even - odd;
    }
    out[2 * pairs + 1] = in[OUTPUTS - 1];
}

/* out = B in */
SIMD_INLINE void input_gradient_line(const cook_toom *t, int pairs, const lanes *in, lanes *out)
{
    for (int j = 0; j <= pairs; j++) {
        out[2 * j] = in[0] * t->even[j];
        out[2 * j + 1] = in[2 * pairs + 1] * t->even[j];
    }
    for (int i = 0; i < pairs; i++) {
        lanes sum = in[1 + 2 * i] + in[2 + 2 * i];
        lanes difference = (in[1 + 2 * i] - in[2 + 2 * i]) * t->power[1][i];
        for (int j = 0; j < pairs; j++) {
            out[2 * j + 2] += sum * t->rest[i][j];
            out[2 * j + 1] += difference * t->rest[i][j];
        }
    }
}

SIMD_INLINE void one_line(const cook_toom *t, enum line line, int pairs, const lanes *in, lanes *out)
{
    if (line == INPUT)
        input_line(t, pairs, in, out);
    else if (line == OUTPUT)
        output_line(t, pairs, in, out);
    else if (line == OUTPUT_GRADIENT)
        output_gradient_line(t, pairs, in, out);
    else
        input_gradient_line(t, pairs, in, out);
}

/* ---- tiles ---- */

/* out = P in P^T for COOK_TOOM_LANES channels, P: (to, from) the matrix of `line`. */
SIMD_INLINE void transform_lanes(const cook_toom *t, enum line line, int pairs, int from, int to, const float *in,
                                 struct cook_toom_layout in_at, float *out, struct cook_toom_layout out_at)
{
    lanes half[MOST][MOST], read[MOST], written[MOST];

    for (int y = 0; y < from; y++) {
        for (int x = 0; x < from; x++)
            read[x] = *(const lanes *)(in + (size_t)y * in_at.row + (size_t)x * in_at.column);
        one_line(t, line, pairs, read, written);
        for (int x = 0; x < to; x++)
            half[x][y] = written[x];
    }
    for (int x = 0; x < to; x++) {
        one_line(t, line, pairs, half[x], written);
        for (int y = 0; y < to; y++)
            *(lanes *)(out + (size_t)y * out_at.row + (size_t)x * out_at.column) = written[y];
    }
}

SIMD_INLINE void transform_tile(const cook_toom *t, enum line line, int pairs, int from, int to, const float *in,
                                struct cook_toom_layout in_at, float *out, struct cook_toom_layout out_at,
                                size_t channels)
{
    for (size_t c = 0; c < channels; c += COOK_TOOM_LANES)
        transform_lanes(t, line, pairs, from, to, in + c, in_at, out + c, out_at);
}

SIMD_CLONES
void cook_toom_input(const cook_toom *transform, const float *d, struct cook_toom_layout d_at, float *products,
                     struct cook_toom_layout products_at, size_t channels)
{
    if (transform->pairs == 2)
        transform_tile(transform, INPUT, 2, 6, 6, d, d_at, products, products_at, channels);
    else
        transform_tile(transform, INPUT, 3, 8, 8, d, d_at, products, products_at, channels);
}

SIMD_CLONES
void cook_toom_output(const cook_toom *transform, const float *products, struct cook_toom_layout products_at, float *y,
                      struct cook_toom_layout y_at, size_t channels)
{
    if (transform->pairs == 2)
        transform_tile(transform, OUTPUT, 2, 6, OUTPUTS, products, products_at, y, y_at, channels);
    else
        transform_tile(transform, OUTPUT, 3, 8, OUTPUTS, products, products_at, y, y_at, channels);
}

SIMD_CLONES
void cook_toom_output_gradient(const cook_toom *transform, const float *dy, struct cook_toom_layout dy_at,
                               float *products, struct cook_toom_layout products_at, size_t channels)
{
    if (transform->pairs == 2)
        transform_tile(transform, OUTPUT_GRADIENT, 2, OUTPUTS, 6, dy, dy_at, products, products_at, channels);
    else
        transform_tile(transform, OUTPUT_GRADIENT, 3, OUTPUTS, 8, dy, dy_at, products, products_at, channels);
}

SIMD_CLONES
void cook_toom_input_gradient(const cook_toom *transform, const float *products, struct cook_toom_layout products_at,
                              float *dd, struct cook_toom_layout dd_at, size_t channels)
{
    if (transform->pairs == 2)
        transform_tile(transform, INPUT_GRADIENT, 2, 6, 6, products, products_at, dd, dd_at, channels);
    else
        transform_tile(transform, INPUT_GRADIENT, 3, 8, 8, products, products_at, dd, dd_at, channels);
}
