#include "image/resample.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

/* Weights along one axis: result i is the sum over t < count[i] of weights[i * taps + t] * source[first[i] + t]. */
typedef struct axis {
    int32_t taps; /* largest count */
    int32_t *first, *count;
    float *weights;
} axis;

/* Weight of source position `x` (pixel centres at half-integers) for a triangle of half-width `support`. */
static double triangle(double x, double centre, double support)
{
    double distance = fabs(x - centre) / support;

    return distance < 1 ? 1 - distance : 0;
}

static void axis_weigh(axis *a, int32_t in, int32_t out)
{
    double scale = (double)in / out;
    double support = scale > 1 ? scale : 1;

    for (int32_t i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        double first = floor(centre - support + 0.5), end = floor(centre + support + 0.5);
        a->first[i] = first > 0 ? (int32_t)first : 0;
        a->count[i] = (end < in ? (int32_t)end : in) - a->first[i];
        if (a->count[i] > a->taps) /* rounding; the last weight would be 0 */
            a->count[i] = a->taps;
        float *weights = a->weights + (size_t)i * (size_t)a->taps;
        for (int32_t t = 0; t < a->count[i]; t++)
            sum += triangle(a->first[i] + t + 0.5, centre, support);
        for (int32_t t = 0; t < a->count[i]; t++)
            weights[t] = (float)(triangle(a->first[i] + t + 0.5, centre, support) / sum);
    }
}

/* Number of source samples that one result can depend on. */
static int32_t axis_taps(int32_t in, int32_t out)
{
    double scale = (double)in / out;
    double taps = 2 * ceil(scale > 1 ? scale : 1) + 1;

    return taps < in ? (int32_t)taps : in;
}

/* Four rows at a time, so that the sums are loaded and stored a quarter as often.  sum: (n), += the weighted rows. */
#define BLEND_ROWS 4

static void blend_u8(const uint8_t *const rows[BLEND_ROWS], const float w[BLEND_ROWS], size_t n, float *restrict sum)
{
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    float wa = w[0], wb = w[1], wc = w[2], wd = w[3];

    for (size_t i = 0; i < n; i++)
        sum[i] += (wa * (float)a[i] + wb * (float)b[i]) + (wc * (float)c[i] + wd * (float)d[i]);
}

static inline float load_u16(const uint8_t *row, size_t i)
{
    uint16_t value; /* rows of the caller may lie at odd addresses */

    memcpy(&value, row + 2 * i, sizeof value);
    return (float)value;
}

static void blend_u16(const uint8_t *const rows[BLEND_ROWS], const float w[BLEND_ROWS], size_t n, float *restrict sum)
{
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    float wa = w[0], wb = w[1], wc = w[2], wd = w[3];

    for (size_t i = 0; i < n; i++)
        sum[i] += (wa * load_u16(a, i) + wb * load_u16(b, i)) + (wc * load_u16(c, i) + wd * load_u16(d, i));
}

static void blend_f32(const uint8_t *const rows[BLEND_ROWS], const float w[BLEND_ROWS], size_t n, float *restrict sum)
{
    const float *a = (const float *)(const void *)rows[0], *b = (const float *)(const void *)rows[1];
    const float *c = (const float *)(const void *)rows[2], *d = (const float *)(const void *)rows[3];
    float wa = w[0], wb = w[1], wc = w[2], wd = w[3];

    for (size_t i = 0; i < n; i++)
        sum[i] += (wa * a[i] + wb * b[i]) + (wc * c[i] + wd * d[i]);
}

static void blend(enum sample_type type, const uint8_t *const rows[BLEND_ROWS], const float w[BLEND_ROWS], size_t n,
                  float *sum)
{
    if (type == SAMPLE_U8)
        blend_u8(rows, w, n, sum);
    else if (type == SAMPLE_U16)
        blend_u16(rows, w, n, sum);
    else
        blend_f32(rows, w, n, sum);
}

/* Rows that blend_column reads: row y lies at base + (y % period) * stride. */
typedef struct row_store {
    const uint8_t *base;
    int64_t stride; /* bytes */
    int32_t period;
    enum sample_type type;
} row_store;

/* Vertical pass: row i of the result, n samples. */
static void blend_column(const axis *vertical, int32_t i, const row_store *store, size_t n, float *sum)
{
    const float *weights = vertical->weights + (size_t)i * (size_t)vertical->taps;

    memset(sum, 0, n * sizeof *sum);
    for (int32_t t = 0; t < vertical->count[i]; t += BLEND_ROWS) {
        const uint8_t *rows[BLEND_ROWS];
        float w[BLEND_ROWS];
        for (int32_t k = 0; k < BLEND_ROWS; k++) {
            /* Past the end: the last row again, with no weight. */
            int32_t tap = t + k < vertical->count[i] ? t + k : vertical->count[i] - 1;
            rows[k] = store->base + (vertical->first[i] + tap) % store->period * store->stride;
            w[k] = t + k == tap ? weights[tap] : 0;
        }
        blend(store->type, rows, w, n, sum);
    }
}

static inline void resample_row(const axis *horizontal, const float *source, int32_t width, int32_t channels,
                                float *target)
{
    for (int32_t i = 0; i < width; i++) {
        const float *weights = horizontal->weights + (size_t)i * (size_t)horizontal->taps;
        const float *pixel = source + (size_t)horizontal->first[i] * (size_t)channels;
        float sum[4] = {0, 0, 0, 0};
        for (int32_t t = 0; t < horizontal->count[i]; t++, pixel += channels)
            for (int32_t c = 0; c < channels; c++)
                sum[c] += weights[t] * pixel[c];
        for (int32_t c = 0; c < channels; c++)
            target[(size_t)i * (size_t)channels + (size_t)c] = sum[c];
    }
}

/* Horizontal pass: source (in, channels) -> target (width, channels).  One copy per channel count, so that the inner
 * loop is unrolled. */
static void resample_line(const axis *horizontal, const float *source, int32_t width, int32_t channels, float *target)
{
    if (channels == 1)
        resample_row(horizontal, source, width, 1, target);
    else if (channels == 3)
        resample_row(horizontal, source, width, 3, target);
    else
        resample_row(horizontal, source, width, 4, target);
}

typedef struct job {
    const resample_source *source;
    axis vertical, horizontal;
    int32_t height, width; /* of the result */
    resample_emit emit;
    void *context;
    float *line;   /* (source width, channels) */
    float *ring;   /* (vertical taps, width, channels): stretched source rows, when enlarging */
    float *result; /* (width, channels) */
} job;

/* Fewer rows come out than go in: blend source rows first (contiguous memory, every sample read about twice), then
 * stretch the few blended rows. */
static void shrink_rows(const job *j)
{
    const resample_source *s = j->source;
    row_store store = {s->pixels, s->stride, s->height, s->type};
    size_t n = (size_t)s->width * (size_t)s->channels;

    for (int32_t y = 0; y < j->height; y++) {
        blend_column(&j->vertical, y, &store, n, j->line);
        resample_line(&j->horizontal, j->line, j->width, s->channels, j->result);
        j->emit(j->context, y, j->result);
    }
}

/* More rows come out than go in: stretch each source row once, keeping the last few, and blend those. */
static void enlarge_rows(const job *j)
{
    static const float one[BLEND_ROWS] = {1, 0, 0, 0};
    const resample_source *s = j->source;
    const axis *v = &j->vertical;
    size_t in = (size_t)s->width * (size_t)s->channels, out = (size_t)j->width * (size_t)s->channels;
    row_store ring = {(const uint8_t *)j->ring, (int64_t)(out * sizeof(float)), v->taps, SAMPLE_F32};
    int32_t stretched = 0;

    for (int32_t y = 0; y < j->height; y++) {
        for (; stretched < v->first[y] + v->count[y]; stretched++) {
            const uint8_t *row = s->pixels + stretched * s->stride;
            const uint8_t *rows[BLEND_ROWS] = {row, row, row, row};
            memset(j->line, 0, in * sizeof *j->line);
            blend(s->type, rows, one, in, j->line);
            resample_line(&j->horizontal, j->line, j->width, s->channels,
                          j->ring + (size_t)(stretched % v->taps) * out);
        }
        blend_column(v, y, &ring, out, j->result);
        j->emit(j->context, y, j->result);
    }
}

/* Parts of one block of memory, one behind the other; without a block (base NULL) it counts how much is needed. */
typedef struct carver {
    uint8_t *base;
    size_t used;
    _Bool overflow;
} carver;

static void *carve(carver *c, size_t count, size_t size)
{
    size_t start = c->used, bytes;

    if (!size_mul(count, size, &bytes) || !size_add(bytes, MEM_ALIGNMENT - 1, &bytes) ||
        !size_add(c->used, bytes / MEM_ALIGNMENT * MEM_ALIGNMENT, &c->used))
        c->overflow = 1;
    return c->base ? c->base + start : NULL;
}

static void carve_axis(carver *c, int32_t in, int32_t out, axis *a)
{
    size_t weights;

    a->taps = axis_taps(in, out);
    a->first = carve(c, (size_t)out, sizeof *a->first);
    a->count = carve(c, (size_t)out, sizeof *a->count);
    if (!size_mul((size_t)out, (size_t)a->taps, &weights))
        c->overflow = 1;
    else
        a->weights = carve(c, weights, sizeof *a->weights);
}

static void carve_job(carver *c, job *j)
{
    const resample_source *s = j->source;
    size_t pixel = (size_t)s->channels * sizeof(float), ring;

    carve_axis(c, s->height, j->height, &j->vertical);
    carve_axis(c, s->width, j->width, &j->horizontal);
    j->line = carve(c, (size_t)s->width, pixel);
    j->result = carve(c, (size_t)j->width, pixel);
    if (s->height >= j->height)
        return;
    if (!size_mul((size_t)j->vertical.taps, (size_t)j->width, &ring))
        c->overflow = 1;
    else
        j->ring = carve(c, ring, pixel);
}

dn_status resample(const resample_source *source, int32_t height, int32_t width, resample_emit emit, void *context,
                   mem_scratch *scratch, dn_error *error)
{
    job j = {.source = source, .height = height, .width = width, .emit = emit, .context = context};
    carver parts = {0};

    carve_job(&parts, &j);
    parts.base = parts.overflow ? NULL : mem_reserve(scratch, parts.used);
    if (!parts.base)
        return fail_memory(error, "resampling");
    parts.used = 0;
    carve_job(&parts, &j);
    axis_weigh(&j.vertical, source->height, height);
    axis_weigh(&j.horizontal, source->width, width);
    if (source->height < height)
        enlarge_rows(&j);
    else
        shrink_rows(&j);
    return DN_OK;
}
