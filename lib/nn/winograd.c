#include "nn/winograd.h"

#include <string.h>

#include "base/product.h"
#include "base/simd.h"
#include "nn/activation.h"
#include "nn/cook_toom.h"
#include "nn/window.h"

/* The output is cut into tiles of 4 x 4.  A tile of n x n inputs (n = 4 + taps - 1) is transformed, each of its n^2
 * points is multiplied by a (channels, out_c) matrix of transformed weights, for all tiles of a group in one product,
 * and the sums are transformed back: n^2 instead of 16 taps^2 multiplications per pair of channels.
 *
 * A stride of s is taken out first: s x s pixels become one block with s^2 times the channels, and the kernel one of
 * ceil(kernel / s) blocks with stride 1, padded with zero weights.
 *
 * The gradient is the transpose, step by step, with the same transformed weights: of one point at a time, transposed
 * into the scratch. */
#define M COOK_TOOM_OUTPUTS
#define LEAST_CHANNELS 32
_Static_assert(COOK_TOOM_LANES % PRODUCT_LANES == 0, "panels hold whole vectors");

/* Tiles in a group: as many as make the transformed tiles as large as the weights, which are read once per group (and
 * transposed by the gradient), but not fewer than GROUP_LEAST; 48 to 96 are equally fast (bench/bench_conv.c). */
#define GROUP_LEAST 64

/* With fewer tiles in a view the direct method is as fast: all weights are read for little work.  (The number of views
 * does not matter, so that a view's bits do not depend on it.) */
#define LEAST_TILES 4

/* Floats between the products of a tile: a line more than dense, so that they do not fall on the same cache sets. */
#define SKEW 16

struct plan {
    cook_toom transform;
    size_t n2;                             /* tile^2 */
    size_t channels, out_c;                /* of the map that tiles are cut from: stride^2 * in_c */
    int32_t in_h, in_w, pad_top, pad_left; /* likewise */
    int32_t out_h, out_w, tiles_x;
    size_t each;              /* tiles in a view */
    size_t tiles, group;      /* in all views; in a group, the last of which may be smaller */
    size_t in_step, out_step; /* floats from one of the n^2 products to the next */

    /* Parts of the scratch, in floats, all multiples of 16: with a stride the blocks (views, in_h, in_w, channels) come
     * first, then a tile at the border, (n, n, channels) or (4, 4, out_c). */
    size_t patch;
    size_t in_products;  /* (n^2, group, channels), in_step */
    size_t out_products; /* (n^2, group, out_c), out_step */
    size_t transposed;   /* (out_c, channels): weights of one of the n^2 products, for the gradient */
    size_t scratch;
};

static int32_t taps_of(int32_t kernel, int32_t stride)
{
    return (kernel + stride - 1) / stride;
}

_Bool winograd_fits(const conv_spec *spec)
{
    int32_t taps = taps_of(spec->kernel_h, spec->stride);
    int64_t channels = (int64_t)spec->stride * spec->stride * spec->in_c;

    return spec->groups == 1 && (taps == 3 || taps == 5) && taps_of(spec->kernel_w, spec->stride) == taps &&
           channels >= LEAST_CHANNELS && channels % COOK_TOOM_LANES == 0 && spec->out_c >= LEAST_CHANNELS &&
           spec->out_c % COOK_TOOM_LANES == 0;
}

/* Floats of a view of the map that tiles are cut from. */
static size_t in_floats(const struct plan *p)
{
    return (size_t)p->in_h * (size_t)p->in_w * p->channels;
}

/* Floats of a tile at the border, before or behind the products. */
static size_t patch_floats(const struct plan *p)
{
    return p->n2 * (p->channels > p->out_c ? p->channels : p->out_c);
}

static struct plan plan_of(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w)
{
    struct plan p = {.in_h = in_h, .in_w = in_w, .pad_top = spec->pad_top, .pad_left = spec->pad_left};
    int32_t taps = taps_of(spec->kernel_h, spec->stride);

    cook_toom_init(&p.transform, taps);
    p.n2 = (size_t)p.transform.tile * (size_t)p.transform.tile;
    p.channels = (size_t)spec->stride * (size_t)spec->stride * (size_t)spec->in_c;
    p.out_c = (size_t)spec->out_c;
    p.out_h = conv_out(in_h, spec->pad_top, spec->pad_bottom, spec->kernel_h, spec->stride);
    p.out_w = conv_out(in_w, spec->pad_left, spec->pad_right, spec->kernel_w, spec->stride);
    if (spec->stride > 1) {
        p.in_h = p.out_h + taps - 1;
        p.in_w = p.out_w + taps - 1;
        p.pad_top = p.pad_left = 0;
    }
    p.tiles_x = (p.out_w + M - 1) / M;
    p.each = (size_t)p.tiles_x * (size_t)((p.out_h + M - 1) / M);
    p.tiles = (size_t)views * p.each;
    p.group = p.channels * p.out_c / (p.channels + p.out_c);
    if (p.group < GROUP_LEAST)
        p.group = GROUP_LEAST;
    size_t groups = p.tiles > 0 ? (p.tiles + p.group - 1) / p.group : 1;
    p.group = (p.tiles + groups - 1) / groups; /* of about equal size */
    p.in_step = p.group * p.channels + SKEW;
    p.out_step = p.group * p.out_c + SKEW;
    p.patch = spec->stride > 1 ? (size_t)views * in_floats(&p) : 0;
    p.in_products = p.patch + patch_floats(&p);
    p.out_products = p.in_products + p.n2 * p.in_step;
    p.transposed = p.out_products + p.n2 * p.out_step;
    p.scratch = p.transposed + p.channels * p.out_c;
    return p;
}

_Bool winograd_pays(const conv_spec *spec, int32_t in_h, int32_t in_w)
{
    return plan_of(spec, 1, in_h, in_w).tiles >= LEAST_TILES;
}

/* ---- weights ---- */

size_t winograd_packed_floats(const conv_spec *spec)
{
    struct plan p = plan_of(spec, 1, spec->kernel_h, spec->kernel_w);

    return p.n2 * p.channels * p.out_c;
}

/* Weights of output channels 0 .. out_c-1 at tap (y, x) for a channel of the blocks; NULL where the kernel ends. */
static const float *weight_row(const conv_spec *spec, int32_t y, int32_t x, int32_t channel)
{
    int32_t s = spec->stride, inner = channel / spec->in_c;
    int32_t ky = y * s + inner / s, kx = x * s + inner % s;

    if (ky >= spec->kernel_h || kx >= spec->kernel_w)
        return NULL;
    return spec->weight +
           (((size_t)ky * (size_t)spec->kernel_w + (size_t)kx) * (size_t)spec->in_c + (size_t)(channel % spec->in_c)) *
               (size_t)spec->out_c;
}

#define PACK_BLOCK PRODUCT_WIDEST /* the most output channels that are packed together: those of a panel */

/* sum[o] = f[0] g[0][o] + .. + f[taps - 1] g[taps - 1][o];  g's rows are `step` rows apart. */
SIMD_INLINE void add_taps(int32_t taps, const double *restrict f, const double (*restrict g)[PACK_BLOCK], int32_t step,
                          int32_t n, double *restrict sum)
{
    for (int32_t o = 0; o < n; o++) {
        double total = f[0] * g[0][o];
        for (int32_t k = 1; k < taps; k++)
            total += f[k] * g[k * step][o];
        sum[o] = total;
    }
}

/* Unrolled for the two numbers of taps that there are. */
SIMD_CLONES static void filter_row(int32_t taps, const double *f, const double (*g)[PACK_BLOCK], int32_t step,
                                   int32_t n, double *sum)
{
    if (taps == 3)
        add_taps(3, f, g, step, n, sum);
    else
        add_taps(5, f, g, step, n, sum);
}

SIMD_CLONES static void to_floats(const double *restrict sum, int32_t n, float *restrict packed)
{
    for (int32_t o = 0; o < n; o++)
        packed[o] = (float)sum[o];
}

SIMD_CLONES static void to_doubles(const float *restrict row, int32_t n, double *restrict out)
{
    for (int32_t o = 0; o < n; o++)
        out[o] = (double)row[o];
}

/* g: (taps, taps, n), a channel's filters for `n` outputs from `first` on; zeros where the kernel ends. */
static void load_taps(const conv_spec *spec, int32_t taps, int32_t channel, int32_t first, int32_t n,
                      double (*g)[PACK_BLOCK])
{
    for (int32_t k = 0; k < taps * taps; k++) {
        const float *row = weight_row(spec, k / taps, k % taps, channel);
        if (row)
            to_doubles(row + first, n, g[k]);
        else
            memset(g[k], 0, (size_t)n * sizeof **g);
    }
}

/* U = G g G^T, a row of G g at a time;  U[i, j] (n) goes to `packed`, `step` floats from one (i, j) to the next. */
static void pack_filters(const cook_toom *t, const double (*g)[PACK_BLOCK], int32_t n, float *packed, size_t step)
{
    double half[COOK_TOOM_TAPS][PACK_BLOCK], sum[PACK_BLOCK]; /* half: (taps, n), row i of G g */

    for (int32_t i = 0; i < t->tile; i++) {
        for (int32_t x = 0; x < t->taps; x++)
            filter_row(t->taps, t->filter[i], g + x, t->taps, n, half[x]);
        for (int32_t j = 0; j < t->tile; j++, packed += step) {
            filter_row(t->taps, t->filter[j], (const double(*)[PACK_BLOCK])half, 1, n, sum);
            to_floats(sum, n, packed);
        }
    }
}

/* packed: (n, n), each the panels of a (channels, out_c) matrix.  Filter by filter, so that weights are read once. */
void winograd_pack(const conv_spec *spec, float *packed)
{
    struct plan p = plan_of(spec, 1, spec->kernel_h, spec->kernel_w);
    double g[COOK_TOOM_TAPS * COOK_TOOM_TAPS][PACK_BLOCK];

    for (int32_t channel = 0; channel < (int32_t)p.channels; channel++)
        for (int32_t first = 0, n; first < spec->out_c; first += n) {
            n = (int32_t)product_panel(spec->out_c - first);
            load_taps(spec, p.transform.taps, channel, first, n, g);
            pack_filters(&p.transform, (const double(*)[PACK_BLOCK])g, n,
                         packed + (size_t)first * p.channels + (size_t)channel * (size_t)n, p.channels * p.out_c);
        }
}

size_t winograd_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, int32_t threads)
{
    struct plan p = plan_of(spec, views, in_h, in_w);

    return p.scratch + (size_t)(threads - 1) * patch_floats(&p);
}

/* ---- pixels to blocks ---- */

/* Blocks (views, in_h, in_w, channels) of the pixels x, or the other way to dx.  in_h, in_w: of the pixels. */
struct move_job {
    const conv_spec *spec;
    const struct plan *p;
    int32_t in_h, in_w;
    const float *x;
    float *dx, *blocks;
};

/* One row of blocks of one view: each block is a window of stride x stride pixels.  With x, copies its pixels to the
 * blocks; without, adds the blocks to the pixels of dx. */
static void move_row(void *context, int32_t row, int32_t worker)
{
    const struct move_job *job = context;
    const conv_spec *spec = job->spec;
    const struct plan *p = job->p;
    int32_t s = spec->stride, by = row % p->in_h;
    size_t pixels = (size_t)(row / p->in_h) * (size_t)job->in_h * (size_t)job->in_w * (size_t)spec->in_c;
    float *blocks = job->blocks + (size_t)row * (size_t)p->in_w * p->channels;

    (void)worker;
    for (int32_t bx = 0; bx < p->in_w; bx++, blocks += p->channels) {
        window h = window_at(by, s, spec->pad_top, s, job->in_h), w = window_at(bx, s, spec->pad_left, s, job->in_w);
        if (job->x)
            window_gather(h, w, job->x + pixels, job->in_w, (size_t)spec->in_c, blocks);
        else
            window_scatter(h, w, blocks, job->dx + pixels, job->in_w, (size_t)spec->in_c);
    }
}

static void move_views(struct move_job job, pool *workers)
{
    pool_run(workers, (int32_t)(job.p->tiles / job.p->each) * job.p->in_h, move_row, &job);
}

/* ---- forward ---- */

/* Where a tile is: its view, and its row and column there. */
struct place {
    size_t view;
    int32_t y, x;
};

static struct place place_of(const struct plan *p, size_t tile)
{
    size_t inside = tile % p->each;

    return (struct place){tile / p->each, (int32_t)(inside / (size_t)p->tiles_x),
                          (int32_t)(inside % (size_t)p->tiles_x)};
}

static struct cook_toom_layout dense(int32_t columns, size_t channels)
{
    return (struct cook_toom_layout){(size_t)columns * channels, channels};
}

/* Products of a tile in a buffer whose products are `step` apart. */
static struct cook_toom_layout spread(const struct plan *p, size_t step)
{
    return (struct cook_toom_layout){(size_t)p->transform.tile * step, step};
}

static void tile_forward_in(const struct plan *p, float *patch, size_t tile, const float *x, float *products)
{
    struct place at = place_of(p, tile);
    int32_t n = p->transform.tile;
    window h = window_at(at.y, M, p->pad_top, n, p->in_h), w = window_at(at.x, M, p->pad_left, n, p->in_w);

    x += at.view * in_floats(p);
    if (window_is_inside(h) && window_is_inside(w)) {
        const float *from = x + ((size_t)h.origin * (size_t)p->in_w + (size_t)w.origin) * p->channels;
        cook_toom_input(&p->transform, from, dense(p->in_w, p->channels), products, spread(p, p->in_step), p->channels);
        return;
    }
    window_gather(h, w, x, p->in_w, p->channels, patch);
    cook_toom_input(&p->transform, patch, dense(n, p->channels), products, spread(p, p->in_step), p->channels);
}

static void tile_forward_out(const struct plan *p, float *patch, size_t tile, const float *products,
                             enum activation activation, const float *bias, float *y)
{
    struct place at = place_of(p, tile);
    window h = window_at(at.y, M, 0, M, p->out_h), w = window_at(at.x, M, 0, M, p->out_w);
    size_t row = (size_t)p->out_w * p->out_c, inside = (size_t)w.last * p->out_c;
    _Bool whole = window_is_inside(h) && window_is_inside(w);

    y += (at.view * (size_t)p->out_h + (size_t)h.origin) * row + (size_t)w.origin * p->out_c;
    cook_toom_output(&p->transform, products, spread(p, p->out_step), whole ? y : patch,
                     dense(whole ? p->out_w : M, p->out_c), p->out_c);
    for (int32_t i = 0; i < h.last; i++, y += row) {
        if (!whole)
            memcpy(y, patch + (size_t)i * M * p->out_c, inside * sizeof *y);
        activation_bias(activation, bias, y, (size_t)w.last, p->out_c);
    }
}

/* A group of tiles on its way through the layer. */
struct group_job {
    const conv_spec *spec;
    const struct plan *p;
    size_t first, count; /* tiles */
    const float *x;
    enum activation activation;
    float *y, *scratch, *in_products, *out_products;
};

/* Each worker's patch; all but the first one's lie behind what one thread needs. */
static float *patch_of(const struct group_job *job, int32_t worker)
{
    return worker == 0 ? job->scratch + job->p->patch
                       : job->scratch + job->p->scratch + (size_t)(worker - 1) * patch_floats(job->p);
}

static void group_in(void *context, int32_t tile, int32_t worker)
{
    const struct group_job *job = context;

    tile_forward_in(job->p, patch_of(job, worker), job->first + (size_t)tile, job->x,
                    job->in_products + (size_t)tile * job->p->channels);
}

/* One of the n^2 products: each reads its own weights, once for all tiles of the group. */
static void group_product(void *context, int32_t k, int32_t worker)
{
    const struct group_job *job = context;
    const struct plan *p = job->p;

    (void)worker;
    product_panels((int64_t)job->count, job->spec->out_c, (int64_t)p->channels,
                   (product_factor){job->in_products + (size_t)k * p->in_step, (int64_t)p->channels, 1},
                   job->spec->packed + (size_t)k * p->channels * p->out_c, 0,
                   job->out_products + (size_t)k * p->out_step, job->spec->out_c);
}

static void group_out(void *context, int32_t tile, int32_t worker)
{
    const struct group_job *job = context;

    tile_forward_out(job->p, patch_of(job, worker), job->first + (size_t)tile,
                     job->out_products + (size_t)tile * job->p->out_c, job->activation, job->spec->bias, job->y);
}

void winograd_forward(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *x,
                      enum activation activation, float *y, float *scratch, pool *workers)
{
    struct plan p = plan_of(spec, views, in_h, in_w);
    struct group_job job = {
        spec, &p, 0, 0, x, activation, y, scratch, scratch + p.in_products, scratch + p.out_products};

    if (spec->stride > 1) {
        move_views((struct move_job){spec, &p, in_h, in_w, x, NULL, scratch}, workers);
        job.x = scratch;
    }
    for (; job.first < p.tiles; job.first += p.group) {
        job.count = p.tiles - job.first < p.group ? p.tiles - job.first : p.group;
        pool_run(workers, (int32_t)job.count, group_in, &job);
        pool_run(workers, (int32_t)p.n2, group_product, &job);
        pool_run(workers, (int32_t)job.count, group_out, &job);
    }
}

/* ---- gradient towards the input ---- */

/* Panels of a (channels, out_c) matrix -> transposed (out_c, channels). */
static void transpose_panels(const struct plan *p, const float *panels, float *transposed)
{
    int64_t channels = (int64_t)p->channels, width;

    for (int64_t left = (int64_t)p->out_c; left > 0; left -= width) {
        width = product_panel(left);
        product_transpose(channels, width, panels, width, transposed, channels);
        panels += channels * width;
        transposed += width * channels;
    }
}

static void tile_gradient_in(const struct plan *p, float *patch, size_t tile, const float *dy, float *products)
{
    struct place at = place_of(p, tile);
    window h = window_at(at.y, M, 0, M, p->out_h), w = window_at(at.x, M, 0, M, p->out_w);

    dy += at.view * (size_t)p->out_h * (size_t)p->out_w * p->out_c;
    if (window_is_inside(h) && window_is_inside(w)) {
        const float *from = dy + ((size_t)h.origin * (size_t)p->out_w + (size_t)w.origin) * p->out_c;
        cook_toom_output_gradient(&p->transform, from, dense(p->out_w, p->out_c), products, spread(p, p->out_step),
                                  p->out_c);
        return;
    }
    window_gather(h, w, dy, p->out_w, p->out_c, patch);
    cook_toom_output_gradient(&p->transform, patch, dense(M, p->out_c), products, spread(p, p->out_step), p->out_c);
}

static void tile_gradient_out(const struct plan *p, float *patch, size_t tile, const float *products, float *dx)
{
    struct place at = place_of(p, tile);
    int32_t n = p->transform.tile;
    window h = window_at(at.y, M, p->pad_top, n, p->in_h), w = window_at(at.x, M, p->pad_left, n, p->in_w);

    cook_toom_input_gradient(&p->transform, products, spread(p, p->in_step), patch, dense(n, p->channels), p->channels);
    window_scatter(h, w, patch, dx + at.view * in_floats(p), p->in_w, p->channels);
}

void winograd_gradient(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *dy, float *dx,
                       float *scratch)
{
    struct plan p = plan_of(spec, views, in_h, in_w);
    float *patch = scratch + p.patch, *in_products = scratch + p.in_products;
    float *out_products = scratch + p.out_products, *transposed = scratch + p.transposed;
    float *target = spec->stride > 1 ? scratch : dx;
    memset(target, 0, (size_t)views * in_floats(&p) * sizeof *target);
    for (size_t first = 0; first < p.tiles; first += p.group) {
        size_t count = p.tiles - first < p.group ? p.tiles - first : p.group;
        for (size_t i = 0; i < count; i++)
            tile_gradient_in(&p, patch, first + i, dy, out_products + i * p.out_c);
        for (size_t k = 0; k < p.n2; k++) {
            transpose_panels(&p, spec->packed + k * p.channels * p.out_c, transposed);
            product((int64_t)count, (int64_t)p.channels, spec->out_c,
                    (product_factor){out_products + k * p.out_step, spec->out_c, 1}, transposed, (int64_t)p.channels, 0,
                    in_products + k * p.in_step, (int64_t)p.channels);
        }
        for (size_t i = 0; i < count; i++)
            tile_gradient_out(&p, patch, first + i, in_products + i * p.channels, target);
    }
    if (spec->stride > 1) {
        memset(dx, 0, (size_t)views * (size_t)in_h * (size_t)in_w * (size_t)spec->in_c * sizeof *dx);
        move_views((struct move_job){spec, &p, in_h, in_w, NULL, dx, scratch}, NULL);
    }
}
