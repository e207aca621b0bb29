#include "nn/conv.h"

#include <string.h>

#include "base/product.h"
#include "nn/activation.h"
#include "nn/depthwise.h"
#include "nn/window.h"
#include "nn/winograd.h"

/* The direct method: strips of output positions of all views, each strip's windows laid out as the rows of a matrix
 * that stays in the cache (512 KB), times the weights.  A strip has at least STRIP_LEAST positions, for fewer do not
 * pay for reading the weights. */
#define STRIP_FLOATS ((size_t)128 * 1024)
#define STRIP_LEAST 64

struct shape {
    int32_t in_h, in_w, out_w;
    size_t positions; /* views * out_h * out_w */
    size_t each;      /* of them, in a view */
    size_t row;       /* floats in a window: kernel_h * kernel_w * in_c */
    size_t strip;     /* positions in a strip; the last one may be smaller */
};

int32_t conv_out(int32_t in, int32_t pad_before, int32_t pad_after, int32_t kernel, int32_t stride)
{
    int64_t room = (int64_t)in + pad_before + pad_after - kernel;

    return room < 0 ? 0 : (int32_t)(room / stride + 1);
}

static _Bool is_depthwise(const conv_spec *spec)
{
    return spec->groups > 1;
}

/* Whether the input is its own matrix of windows: pads, which are smaller than the kernel, are 0 then. */
static _Bool is_matrix(const conv_spec *spec)
{
    return spec->kernel_h == 1 && spec->kernel_w == 1 && spec->stride == 1;
}

static struct shape shape_of(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w)
{
    struct shape s = {.in_h = in_h, .in_w = in_w};
    int32_t out_h = conv_out(in_h, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);

    s.out_w = conv_out(in_w, spec->pad_left, spec->pad_right, spec->kernel_w, spec->stride);
    s.each = (size_t)out_h * (size_t)s.out_w;
    s.positions = (size_t)views * s.each;
    s.row = (size_t)spec->kernel_h * (size_t)spec->kernel_w * (size_t)spec->in_c;
    s.strip = STRIP_FLOATS / s.row;
    if (s.strip < STRIP_LEAST)
        s.strip = STRIP_LEAST;
    if (s.strip > s.positions)
        s.strip = s.positions;
    return s;
}

size_t conv_packed_floats(const conv_spec *spec)
{
    return winograd_fits(spec) ? winograd_packed_floats(spec) : 0;
}

void conv_pack(const conv_spec *spec, float *packed)
{
    if (winograd_fits(spec))
        winograd_pack(spec, packed);
}

static _Bool uses_winograd(const conv_spec *spec, int32_t in_h, int32_t in_w)
{
    return spec->packed && winograd_pays(spec, in_h, in_w);
}

/* The rows of a strip. */
static size_t rows_floats(const conv_spec *spec, const struct shape *s)
{
    return is_matrix(spec) ? 0 : s->strip * s->row;
}

/* The gradient's product takes either the weights transposed, once, or of each strip dy and the result: whichever is
 * less to transpose.  The sums are the same. */
static _Bool transposes_weight(const conv_spec *spec, const struct shape *s)
{
    return s->row * (size_t)spec->out_c <= s->strip * (s->row + (size_t)spec->out_c);
}

/* Positions of a strip as columns: whole vectors. */
static size_t columns_of(size_t positions)
{
    return (positions + PRODUCT_LANES - 1) / PRODUCT_LANES * PRODUCT_LANES;
}

static size_t transposed_floats(const conv_spec *spec, const struct shape *s)
{
    return transposes_weight(spec, s) ? s->row * (size_t)spec->out_c
                                      : columns_of(s->strip) * (s->row + (size_t)spec->out_c);
}

static size_t direct_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, _Bool gradient)
{
    struct shape s = shape_of(spec, views, in_h, in_w);

    if (is_depthwise(spec))
        return 0;
    return rows_floats(spec, &s) + (gradient ? transposed_floats(spec, &s) : 0);
}

/* The most that any number of views takes. */
static size_t most_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, _Bool gradient)
{
    size_t most = 0;

    for (int32_t n = 1; n <= views; n++) {
        size_t floats = uses_winograd(spec, in_h, in_w) ? winograd_scratch(spec, n, in_h, in_w, 1)
                                                        : direct_scratch(spec, n, in_h, in_w, gradient);
        most = floats > most ? floats : most;
    }
    return most;
}

size_t conv_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w)
{
    return most_scratch(spec, views, in_h, in_w, 0);
}

size_t conv_gradient_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w)
{
    return most_scratch(spec, views, in_h, in_w, 1);
}

size_t conv_shared_scratch(const conv_spec *spec, int32_t in_h, int32_t in_w, int32_t threads)
{
    return uses_winograd(spec, in_h, in_w) ? winograd_scratch(spec, 1, in_h, in_w, threads)
                                           : direct_scratch(spec, 1, in_h, in_w, 0);
}

/* The window at a position, vertically and horizontally, in its view. */
static window window_y(const conv_spec *spec, const struct shape *s, size_t position)
{
    int32_t y = (int32_t)(position % s->each / (size_t)s->out_w);

    return window_at(y, spec->stride, spec->pad_top, spec->kernel_h, s->in_h);
}

static window window_x(const conv_spec *spec, const struct shape *s, size_t position)
{
    int32_t x = (int32_t)(position % s->each % (size_t)s->out_w);

    return window_at(x, spec->stride, spec->pad_left, spec->kernel_w, s->in_w);
}

/* Floats before the view that a position belongs to. */
static size_t view_offset(const conv_spec *spec, const struct shape *s, size_t position)
{
    return position / s->each * (size_t)s->in_h * (size_t)s->in_w * (size_t)spec->in_c;
}

/* ---- forward ---- */

/* Copies the windows at positions first .. first+count-1 to rows (count, kernel_h, kernel_w, in_c). */
static void gather_strip(const conv_spec *spec, const struct shape *s, size_t first, size_t count, const float *x,
                         float *rows)
{
    for (size_t p = first; p < first + count; p++, rows += s->row)
        window_gather(window_y(spec, s, p), window_x(spec, s, p), x + view_offset(spec, s, p), s->in_w,
                      (size_t)spec->in_c, rows);
}

/* y[p] = activation(rows[p] W + bias).  rows: (positions, row), W: (row, out_c), y: (positions, out_c). */
static void direct_forward(const conv_spec *spec, const struct shape *s, const float *x, enum activation activation,
                           float *y, float *scratch)
{
    size_t out_c = (size_t)spec->out_c;

    for (size_t first = 0; first < s->positions; first += s->strip) {
        size_t count = s->positions - first < s->strip ? s->positions - first : s->strip;
        const float *rows = scratch;
        if (is_matrix(spec))
            rows = x + first * s->row;
        else
            gather_strip(spec, s, first, count, x, scratch);
        product((int64_t)count, spec->out_c, (int64_t)s->row, (product_factor){rows, (int64_t)s->row, 1}, spec->weight,
                spec->out_c, 0, y + first * out_c, spec->out_c);
        activation_bias(activation, spec->bias, y + first * out_c, count, out_c);
    }
}

static void forward(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *x,
                    enum activation activation, float *y, float *scratch, struct pool *workers)
{
    if (uses_winograd(spec, in_h, in_w)) {
        winograd_forward(spec, views, in_h, in_w, x, activation, y, scratch, workers);
        return;
    }
    struct shape s = shape_of(spec, views, in_h, in_w);
    if (!is_depthwise(spec)) {
        direct_forward(spec, &s, x, activation, y, scratch);
        return;
    }
    for (size_t p = 0; p < s.positions; p += s.each)
        depthwise_forward(spec, in_h, in_w, x + view_offset(spec, &s, p), activation, y + p * (size_t)spec->out_c);
}

void conv_forward(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *x,
                  enum activation activation, float *y, float *scratch)
{
    forward(spec, views, in_h, in_w, x, activation, y, scratch, NULL);
}

void conv_forward_shared(const conv_spec *spec, int32_t in_h, int32_t in_w, const float *x, enum activation activation,
                         float *y, float *scratch, struct pool *workers)
{
    forward(spec, 1, in_h, in_w, x, activation, y, scratch, workers);
}

/* ---- gradient towards the input ---- */

/* rows (count, row) = (W dy^T)^T. */
static void rows_by_columns(const conv_spec *spec, const struct shape *s, size_t count, const float *dy, float *rows,
                            float *scratch)
{
    int64_t out_c = spec->out_c, row = (int64_t)s->row, n = (int64_t)columns_of(count);
    float *columns = scratch, *result = scratch + out_c * n; /* (out_c, n), (row, n) */

    for (int64_t i = 0; i < out_c; i++)
        memset(columns + i * n + count, 0, ((size_t)n - count) * sizeof *columns);
    product_transpose((int64_t)count, out_c, dy, out_c, columns, n);
    product(row, n, out_c, (product_factor){spec->weight, out_c, 1}, columns, n, 0, result, n);
    product_transpose(row, (int64_t)count, result, n, rows, row);
}

/* drows[p] = dy[p] W^T, added to where the rows came from. */
static void direct_gradient(const conv_spec *spec, const struct shape *s, const float *dy, float *dx, float *scratch)
{
    size_t out_c = (size_t)spec->out_c;
    int64_t row = (int64_t)s->row;
    float *transposed = scratch + rows_floats(spec, s);

    if (!is_matrix(spec))
        memset(dx, 0, view_offset(spec, s, s->positions) * sizeof *dx);
    if (transposes_weight(spec, s))
        product_transpose(row, spec->out_c, spec->weight, spec->out_c, transposed, row);
    for (size_t first = 0; first < s->positions; first += s->strip) {
        size_t count = s->positions - first < s->strip ? s->positions - first : s->strip;
        float *rows = is_matrix(spec) ? dx + first * s->row : scratch;
        if (transposes_weight(spec, s))
            product((int64_t)count, row, spec->out_c, (product_factor){dy + first * out_c, spec->out_c, 1}, transposed,
                    row, 0, rows, row);
        else
            rows_by_columns(spec, s, count, dy + first * out_c, rows, transposed);
        if (is_matrix(spec))
            continue;
        for (size_t p = first; p < first + count; p++, rows += s->row)
            window_scatter(window_y(spec, s, p), window_x(spec, s, p), rows, dx + view_offset(spec, s, p), s->in_w,
                           (size_t)spec->in_c);
    }
}

void conv_gradient(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *dy, float *dx,
                   float *scratch)
{
    if (uses_winograd(spec, in_h, in_w)) {
        winograd_gradient(spec, views, in_h, in_w, dy, dx, scratch);
        return;
    }
    struct shape s = shape_of(spec, views, in_h, in_w);
    if (!is_depthwise(spec)) {
        direct_gradient(spec, &s, dy, dx, scratch);
        return;
    }
    for (size_t p = 0; p < s.positions; p += s.each)
        depthwise_gradient(spec, in_h, in_w, dy + p * (size_t)spec->out_c, dx + view_offset(spec, &s, p));
}
