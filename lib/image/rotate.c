/* Rotation: of the canvas into a view (nearest pixel), and of maps back (bilinear). */
#include <math.h>

#include "image/heatmap.h"
#include "image/view.h"

/* The inverse map of a rotation about the centre: target pixel (x, y) reads from
 *     x' = cos x + sin y + x0,   y' = -sin x + cos y + y0      (cos, sin of -angle)
 * in coordinates whose pixel centres are at half-integers. */
typedef struct rotation {
    double cosine, sine, x0, y0;
} rotation;

static rotation rotation_about_centre(int32_t width, int32_t height, double angle)
{
    const double pi = 3.14159265358979323846;
    double turn = fmod(angle, 360.0);
    double radians = -(turn < 0 ? turn + 360.0 : turn) * pi / 180.0;
    /* Rounded to 15 digits, as PIL does: quarter turns become exact. */
    double cosine = nearbyint(cos(radians) * 1e15) / 1e15, sine = nearbyint(sin(radians) * 1e15) / 1e15;
    double x = width / 2.0, y = height / 2.0;

    return (rotation){cosine, sine, -cosine * x - sine * y + x, sine * x - cosine * y + y};
}

static int64_t floor_divide(int64_t a, int64_t b) /* b > 0 */
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Narrows *first .. *end (exclusive) to the i with low <= start + i * step < high. */
static void clip_steps(int64_t start, int64_t step, int64_t low, int64_t high, int32_t *first, int32_t *end)
{
    int64_t from = *first, to = *end;

    if (step < 0) { /* mirrored: -high < -start + i * -step <= -low */
        int64_t kept = low;
        start = -start;
        step = -step;
        low = 1 - high;
        high = 1 - kept;
    }
    if (step == 0) {
        if (start < low || start >= high)
            to = from;
    } else {
        int64_t begin = -floor_divide(start - low, step); /* ceil((low - start) / step) */
        int64_t stop = -floor_divide(start - high, step); /* ceil((high - start) / step) */
        from = begin > from ? begin : from;
        to = stop < to ? stop : to;
    }
    if (to < from)
        to = from;
    *first = (int32_t)from;
    *end = (int32_t)to;
}

/* ---- views ---- */

/* Positions are fixed-point numbers with 16 fractional bits, rounded as PIL rounds them, so that the same pixel is hit
 * where a sample falls on the border between two. */
#define VIEW_BITS 16
#define CHUNK_PIXELS 64
#define PATTERN 24 /* multiple of 3 channels and of 8 samples, which fill a vector register */

static int64_t view_fixed(double value)
{
    return (int64_t)floor(value * (1 << VIEW_BITS) + 0.5);
}

/* The line of pixels through the canvas that one row of the view reads. */
typedef struct scan {
    const uint16_t *canvas; /* (height, width, 3) */
    int32_t width;
    int32_t x, y, step_x, step_y; /* fixed-point */
} scan;

/* Copies pixels first .. first + n - 1 of the scan, all inside the canvas. */
static void scan_gather(const scan *s, int32_t first, int32_t n, uint16_t *pixels)
{
    uint32_t x = (uint32_t)(s->x + first * s->step_x), y = (uint32_t)(s->y + first * s->step_y);
    uint32_t step_x = (uint32_t)s->step_x, step_y = (uint32_t)s->step_y, width = (uint32_t)s->width;

    for (int32_t i = 0; i < n; i++, x += step_x, y += step_y, pixels += 3) {
        const uint16_t *from = s->canvas + (size_t)((y >> VIEW_BITS) * width + (x >> VIEW_BITS)) * 3;
        pixels[0] = from[0];
        pixels[1] = from[1];
        pixels[2] = from[2];
    }
}

/* values[i] = samples[i] * scale[i % 3] + offset[i % 3]; scale, offset: (PATTERN). */
static void convert(const uint16_t *samples, int32_t n, const float *scale, const float *offset, float *restrict values)
{
    int32_t i = 0;

    for (; i + PATTERN <= n; i += PATTERN)
        for (int32_t j = 0; j < PATTERN; j++)
            values[i + j] = (float)samples[i + j] * scale[j] + offset[j];
    for (int32_t j = 0; i + j < n; j++)
        values[i + j] = (float)samples[i + j] * scale[j] + offset[j];
}

static void fill_black(float *row, int32_t first, int32_t end, const float *offset)
{
    for (int32_t i = 3 * first; i < 3 * end; i++)
        row[i] = offset[i % 3];
}

/* view = rotated canvas * scale + offset, per channel; scale, offset: (PATTERN). */
static void rotate_canvas(const uint16_t *canvas, int32_t width, int32_t height, double angle, const float *scale,
                          const float *offset, float *view)
{
    rotation r = rotation_about_centre(width, height, angle);
    int64_t cosine = view_fixed(r.cosine), sine = view_fixed(r.sine), minus_sine = view_fixed(-r.sine);
    int64_t x = view_fixed(r.x0 + r.cosine * 0.5 + r.sine * 0.5), y = view_fixed(r.y0 - r.sine * 0.5 + r.cosine * 0.5);
    int64_t right = (int64_t)width << VIEW_BITS, bottom = (int64_t)height << VIEW_BITS;
    uint16_t pixels[CHUNK_PIXELS * 3];

    for (int32_t row = 0; row < height; row++, x += sine, y += cosine, view += (size_t)width * 3) {
        scan s = {canvas, width, (int32_t)x, (int32_t)y, (int32_t)cosine, (int32_t)minus_sine};
        int32_t first = 0, end = width;
        clip_steps(x, cosine, 0, right, &first, &end);
        clip_steps(y, minus_sine, 0, bottom, &first, &end);
        fill_black(view, 0, first, offset);
        for (int32_t i = first; i < end; i += CHUNK_PIXELS) {
            int32_t n = end - i < CHUNK_PIXELS ? end - i : CHUNK_PIXELS;
            scan_gather(&s, i, n, pixels);
            convert(pixels, 3 * n, scale, offset, view + (size_t)i * 3);
        }
        fill_black(view, end, width, offset);
    }
}

static float clamp_unit(float value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static float gray_of(const float *rgb)
{
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

/* rgb: (pixels, 3) in 0 .. 1, in place, clamped after each step:
 *     brightness b: b rgb;  contrast c: c rgb + (1 - c) mean gray of the view;  saturation s: s rgb + (1 - s) gray. */
static void jitter_apply(float *rgb, size_t pixels, const view_jitter *jitter)
{
    double sum = 0;

    for (size_t i = 0; i < pixels; i++) {
        for (int c = 0; c < 3; c++)
            rgb[3 * i + (size_t)c] = clamp_unit(jitter->brightness * rgb[3 * i + (size_t)c]);
        sum += (double)gray_of(rgb + 3 * i);
    }
    float mean = (float)(sum / (double)pixels);
    for (size_t i = 0; i < pixels; i++) {
        float *pixel = rgb + 3 * i;
        for (int c = 0; c < 3; c++)
            pixel[c] = clamp_unit(jitter->contrast * pixel[c] + (1 - jitter->contrast) * mean);
        float gray = gray_of(pixel);
        for (int c = 0; c < 3; c++)
            pixel[c] = clamp_unit(jitter->saturation * pixel[c] + (1 - jitter->saturation) * gray);
    }
}

void view_render(const uint16_t *canvas, int32_t width, int32_t height, double angle, const view_jitter *jitter,
                 const float mean[3], const float std[3], float *view)
{
    float scale[PATTERN], offset[PATTERN];
    size_t pixels = (size_t)width * (size_t)height;

    for (int i = 0; i < PATTERN; i++) { /* (v / 65535 - mean) / std = v * scale + offset */
        scale[i] = jitter ? (float)(1 / 65535.0) : (float)(1 / (65535.0 * (double)std[i % 3]));
        offset[i] = jitter ? 0 : -mean[i % 3] / std[i % 3];
    }
    rotate_canvas(canvas, width, height, angle, scale, offset, view);
    if (!jitter)
        return;
    jitter_apply(view, pixels, jitter);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            view[3 * i + c] = (view[3 * i + c] - mean[c]) / std[c];
}

/* ---- maps ---- */

#define MAP_BITS 32

static int64_t map_fixed(double value)
{
    return (int64_t)floor(value * 4294967296.0 + 0.5);
}

static float map_fraction(int64_t position)
{
    return (float)((uint32_t)position >> 8) * 0x1p-24f;
}

/* A float map and the position of one sample in it: fixed-point, relative to the centre of pixel (0, 0). */
typedef struct map_point {
    const float *map; /* (height, width, channels) */
    int32_t width, height, channels;
    int64_t x, y;
} map_point;

/* Samples of which some of the four neighbours lie outside the map and count as 0. */
static void sample_border(const map_point *p, float *target)
{
    int64_t x = p->x >> MAP_BITS, y = p->y >> MAP_BITS;
    float fx = map_fraction(p->x), fy = map_fraction(p->y);

    for (int32_t c = 0; c < p->channels; c++)
        target[c] = 0;
    for (int corner = 0; corner < 4; corner++) {
        int64_t px = x + (corner & 1), py = y + (corner >> 1);
        if (px < 0 || px >= p->width || py < 0 || py >= p->height)
            continue;
        float weight = (corner & 1 ? fx : 1 - fx) * (corner >> 1 ? fy : 1 - fy);
        for (int32_t c = 0; c < p->channels; c++)
            target[c] += weight * p->map[(py * p->width + px) * p->channels + c];
    }
}

static inline void sample_inner(const map_point *p, int32_t channels, float *target)
{
    const float *a = p->map + ((p->y >> MAP_BITS) * p->width + (p->x >> MAP_BITS)) * channels;
    const float *b = a + (int64_t)p->width * channels;
    float fx = map_fraction(p->x), fy = map_fraction(p->y);

    for (int32_t c = 0; c < channels; c++) {
        float upper = a[c] + fx * (a[c + channels] - a[c]);
        float lower = b[c] + fx * (b[c + channels] - b[c]);
        target[c] = upper + fy * (lower - upper);
    }
}

/* Row of samples first .. end - 1 of the scan that starts at p and advances by (step_x, step_y). */
static void sample_row(map_point p, int64_t step_x, int64_t step_y, int32_t first, int32_t end, _Bool inner,
                       float *target)
{
    p.x += first * step_x;
    p.y += first * step_y;
    for (int32_t i = first; i < end; i++, p.x += step_x, p.y += step_y) {
        float *pixel = target + (int64_t)i * p.channels;
        if (!inner)
            sample_border(&p, pixel);
        else if (p.channels == 3)
            sample_inner(&p, 3, pixel);
        else
            sample_inner(&p, p.channels, pixel);
    }
}

static void clear(float *row, int32_t first, int32_t end, int32_t channels)
{
    for (int64_t i = (int64_t)first * channels; i < (int64_t)end * channels; i++)
        row[i] = 0;
}

void map_rotate(const float *source, int32_t width, int32_t height, int32_t channels, double angle, float *target)
{
    rotation r = rotation_about_centre(width, height, angle);
    int64_t cosine = map_fixed(r.cosine), sine = map_fixed(r.sine);
    int64_t right = (int64_t)width << MAP_BITS, bottom = (int64_t)height << MAP_BITS;
    int64_t one = (int64_t)1 << MAP_BITS;
    /* Half a pixel less, as positions count from pixel centres here. */
    map_point p = {source,
                   width,
                   height,
                   channels,
                   map_fixed(r.x0 + r.cosine * 0.5 + r.sine * 0.5 - 0.5),
                   map_fixed(r.y0 - r.sine * 0.5 + r.cosine * 0.5 - 0.5)};

    for (int32_t row = 0; row < height; row++, p.x += sine, p.y += cosine, target += (int64_t)width * channels) {
        int32_t first = 0, end = width; /* where at least one neighbour may be inside */
        clip_steps(p.x, cosine, -one, right, &first, &end);
        clip_steps(p.y, -sine, -one, bottom, &first, &end);
        int32_t inner = first, inner_end = end; /* where all four are */
        clip_steps(p.x, cosine, 0, right - one, &inner, &inner_end);
        clip_steps(p.y, -sine, 0, bottom - one, &inner, &inner_end);
        clear(target, 0, first, channels);
        sample_row(p, cosine, -sine, first, inner, 0, target);
        sample_row(p, cosine, -sine, inner, inner_end, 1, target);
        sample_row(p, cosine, -sine, inner_end, end, 0, target);
        clear(target, end, width, channels);
    }
}
