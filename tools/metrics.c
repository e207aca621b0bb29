#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- image level ---- */

static int descending(const void *a, const void *b)
{
    double x = ((const ranked_score *)a)->score, y = ((const ranked_score *)b)->score;

    return x < y ? 1 : x > y ? -1 : 0;
}

void metrics_rank(ranked_score *scores, size_t count)
{
    qsort(scores, count, sizeof *scores, descending);
}

/* Walks the steps of a curve: a step is a group of equal scores. */
typedef struct curve_step {
    size_t next;            /* first image after this step */
    double anomalous, good; /* images up to and with this step */
} curve_step;

static void take_step(const ranked_score *scores, size_t count, curve_step *step)
{
    double score = scores[step->next].score;

    for (; step->next < count && scores[step->next].score == score; step->next++) {
        if (scores[step->next].anomalous)
            step->anomalous++;
        else
            step->good++;
    }
}

static double count_anomalous(const ranked_score *scores, size_t count)
{
    double anomalous = 0;

    for (size_t i = 0; i < count; i++)
        anomalous += scores[i].anomalous ? 1 : 0;
    return anomalous;
}

double metrics_auroc(const ranked_score *scores, size_t count)
{
    curve_step step = {0};
    double area = 0, good = 0, anomalous = 0;

    while (step.next < count) {
        take_step(scores, count, &step);
        area += (step.good - good) * (step.anomalous + anomalous) / 2;
        good = step.good;
        anomalous = step.anomalous;
    }
    return area / (good * anomalous);
}

double metrics_average_precision(const ranked_score *scores, size_t count)
{
    curve_step step = {0};
    double sum = 0, before = 0;

    while (step.next < count) {
        take_step(scores, count, &step);
        sum += (step.anomalous - before) * step.anomalous / (step.anomalous + step.good);
        before = step.anomalous;
    }
    return sum / before;
}

double metrics_best_f1(const ranked_score *scores, size_t count, double *threshold)
{
    curve_step step = {0};
    double best = -1, all = count_anomalous(scores, count);

    while (step.next < count) {
        double score = scores[step.next].score;
        take_step(scores, count, &step);
        double f1 = 2 * step.anomalous / (step.anomalous + step.good + all);
        if (f1 > best) {
            best = f1;
            if (threshold)
                *threshold = score;
        }
    }
    return best;
}

/* xorshift64*: the bootstrap needs only speed and the same numbers each time. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

/* Redraws as many of members (indices into the ranking) as there are: weight[index] counts the draws. */
static void redraw(const size_t *members, size_t count, uint32_t *weight, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        weight[members[i]] = 0;
    for (size_t i = 0; i < count; i++)
        weight[members[(size_t)((next_random(state) >> 32) * (uint64_t)count >> 32)]]++;
}

/* metrics_auroc of the images taken weight[i] times: the order of the ranking stays, so nothing is sorted again. */
static double weighted_auroc(const ranked_score *scores, const uint32_t *weight, size_t count)
{
    double area = 0, good = 0, anomalous = 0;

    for (size_t i = 0; i < count;) {
        double more_good = 0, more_anomalous = 0, score = scores[i].score;
        for (; i < count && scores[i].score == score; i++) {
            if (scores[i].anomalous)
                more_anomalous += weight[i];
            else
                more_good += weight[i];
        }
        area += more_good * (anomalous + more_anomalous / 2);
        good += more_good;
        anomalous += more_anomalous;
    }
    return area / (good * anomalous);
}

static int ascending_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

/* Quantile of sorted values, interpolated as numpy does by default. */
static double quantile(const double *sorted, int count, double share)
{
    double position = share * (count - 1);
    int below = (int)position;
    int above = below + 1 < count ? below + 1 : below;

    return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

bool metrics_auroc_interval(const ranked_score *scores, size_t count, int resamples, double interval[2])
{
    size_t *members = calloc(count + 1, sizeof *members); /* good ones from the front, anomalous ones behind them */
    uint32_t *weight = calloc(count + 1, sizeof *weight);
    double *areas = calloc((size_t)resamples, sizeof *areas);
    bool possible = members && weight && areas;
    uint64_t state = 0x9E3779B97F4A7C15u;
    size_t good = 0, next = 0;

    if (possible) {
        for (int kind = 0; kind < 2; kind++) {
            for (size_t i = 0; i < count; i++) {
                if ((scores[i].anomalous != 0) == kind)
                    members[next++] = i;
            }
            good = kind == 0 ? next : good;
        }
        for (int r = 0; r < resamples; r++) {
            redraw(members, good, weight, &state);
            redraw(members + good, count - good, weight, &state);
            areas[r] = weighted_auroc(scores, weight, count);
        }
        qsort(areas, (size_t)resamples, sizeof *areas, ascending_numbers);
        interval[0] = quantile(areas, resamples, 0.025);
        interval[1] = quantile(areas, resamples, 0.975);
    }
    free(areas);
    free(weight);
    free(members);
    return possible;
}

/* ---- agreement of two scores ---- */

double metrics_correlation(const double *a, const double *b, size_t count)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;

    for (size_t i = 0; i < count; i++) {
        mean_a += a[i] / (double)count;
        mean_b += b[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
    }
    /* What rounding makes of equal numbers is no variation. */
    if (aa <= 1e-24 * mean_a * mean_a * (double)count || bb <= 1e-24 * mean_b * mean_b * (double)count)
        return (double)NAN;
    return ab / sqrt(aa) / sqrt(bb);
}

typedef struct placed {
    double value;
    size_t index;
} placed;

static int compare_placed(const void *a, const void *b)
{
    double first = ((const placed *)a)->value, second = ((const placed *)b)->value;

    return (first > second) - (first < second);
}

/* sorted: scratch of (count). */
static void rank_values(const double *values, size_t count, placed *sorted, double *ranks)
{
    for (size_t i = 0; i < count; i++)
        sorted[i] = (placed){values[i], i};
    qsort(sorted, count, sizeof *sorted, compare_placed);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && sorted[end].value <= sorted[first].value; end++)
            ;
        for (size_t i = first; i < end; i++)
            ranks[sorted[i].index] = 0.5 * (double)(first + end - 1);
    }
}

double metrics_rank_correlation(const double *a, const double *b, size_t count)
{
    double *ranks = calloc(count ? count : 1, 2 * sizeof *ranks), result = (double)NAN;
    placed *sorted = calloc(count ? count : 1, sizeof *sorted);

    if (ranks && sorted) {
        rank_values(a, count, sorted, ranks);
        rank_values(b, count, sorted, ranks + count);
        result = metrics_correlation(ranks, ranks + count, count);
    }
    free(ranks);
    free(sorted);
    return result;
}

/* ---- pixel level ---- */

bool pixel_histogram_init(pixel_histogram *histogram)
{
    *histogram = (pixel_histogram){
        .normal = calloc(PIXEL_BINS, sizeof(uint64_t)),
        .defective = calloc(PIXEL_BINS, sizeof(uint64_t)),
        .overlap = calloc(PIXEL_BINS, sizeof(double)),
    };
    if (histogram->normal && histogram->defective && histogram->overlap)
        return true;
    pixel_histogram_free(histogram);
    return false;
}

void pixel_histogram_free(pixel_histogram *histogram)
{
    free(histogram->normal);
    free(histogram->defective);
    free(histogram->overlap);
    free(histogram->labels);
    *histogram = (pixel_histogram){0};
}

/* Floats >= 0 have the order of their bits; the upper 8 + 12 bits below the sign number the bin. */
static size_t bin_of(float value)
{
    uint32_t bits;

    if (!(value > 0))
        return 0;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 11;
}

/* Union-find over pixels: labels[i] is a pixel of the same region with a smaller or the same index; a root names
 * itself. */
static int32_t find_root(int32_t *labels, int32_t i)
{
    while (labels[i] != i) {
        labels[i] = labels[labels[i]];
        i = labels[i];
    }
    return i;
}

static void join_regions(int32_t *labels, int32_t a, int32_t b)
{
    a = find_root(labels, a);
    b = find_root(labels, b);
    if (a < b)
        labels[b] = a;
    else
        labels[a] = b;
}

/* labels: (height, width); -1 where the mask is 0, else the root of the pixel's 8-connected region. */
static void label_regions(const uint8_t *mask, int32_t width, int32_t height, int32_t *labels)
{
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            int32_t i = y * width + x;
            labels[i] = mask[i] ? i : -1;
            if (!mask[i])
                continue;
            /* The neighbours that have been visited: left, and the three above. */
            if (x > 0 && mask[i - 1])
                join_regions(labels, i, i - 1);
            for (int32_t dx = -1; dx <= 1 && y > 0; dx++) {
                if (x + dx >= 0 && x + dx < width && mask[i - width + dx])
                    join_regions(labels, i, i - width + dx);
            }
        }
    }
    for (int32_t i = 0; i < width * height; i++) {
        if (labels[i] >= 0)
            labels[i] = find_root(labels, i);
    }
}

/* labels: (2, height, width): the labels, then the size of each region at its root's place. */
static void add_defective(pixel_histogram *histogram, const float *map, const uint8_t *mask, int32_t width,
                          int32_t height)
{
    int32_t pixels = width * height, *labels = histogram->labels, *sizes = labels + pixels;

    label_regions(mask, width, height, labels);
    memset(sizes, 0, (size_t)pixels * sizeof *sizes);
    for (int32_t i = 0; i < pixels; i++) {
        if (labels[i] >= 0)
            sizes[labels[i]]++;
    }
    for (int32_t i = 0; i < pixels; i++) {
        size_t bin = bin_of(map[i]);
        if (labels[i] < 0) {
            histogram->normal[bin]++;
            continue;
        }
        histogram->defective[bin]++;
        histogram->overlap[bin] += 1.0 / sizes[labels[i]];
        histogram->regions += labels[i] == i;
    }
}

bool pixel_histogram_add(pixel_histogram *histogram, const float *map, const uint8_t *mask, int32_t width,
                         int32_t height)
{
    size_t pixels = (size_t)width * (size_t)height;

    if (!mask) {
        for (size_t i = 0; i < pixels; i++)
            histogram->normal[bin_of(map[i])]++;
        return true;
    }
    if (pixels > INT32_MAX / 2)
        return false;
    if (pixels > histogram->label_capacity) {
        int32_t *labels = realloc(histogram->labels, 2 * pixels * sizeof *labels);
        if (!labels)
            return false;
        histogram->labels = labels;
        histogram->label_capacity = pixels;
    }
    add_defective(histogram, map, mask, width, height);
    return true;
}

static double sum_counts(const uint64_t *counts)
{
    double sum = 0;

    for (size_t i = 0; i < PIXEL_BINS; i++)
        sum += (double)counts[i];
    return sum;
}

double pixel_histogram_auroc(const pixel_histogram *histogram)
{
    double area = 0, normal = 0, defective = 0;

    for (size_t bin = PIXEL_BINS; bin-- > 0;) {
        double more = (double)histogram->defective[bin];
        area += (double)histogram->normal[bin] * (defective + more / 2);
        normal += (double)histogram->normal[bin];
        defective += more;
    }
    return normal > 0 && defective > 0 ? area / (normal * defective) : NAN;
}

double pixel_histogram_aupro(const pixel_histogram *histogram, double limit)
{
    double normal = sum_counts(histogram->normal), regions = (double)histogram->regions;
    double area = 0, x = 0, overlap = 0;

    if (normal == 0 || regions == 0)
        return NAN;
    for (size_t bin = PIXEL_BINS; bin-- > 0;) {
        double step = (double)histogram->normal[bin] / normal, rise = histogram->overlap[bin] / regions;
        if (x + step >= limit) { /* the last trapezoid is cut where the curve reaches the limit */
            double part = step > 0 ? (limit - x) / step : 0;
            area += (limit - x) * (overlap + rise * part / 2);
            break;
        }
        area += step * (overlap + rise / 2);
        x += step;
        overlap += rise;
    }
    return area / limit;
}

/* ---- boxes ---- */

/* hit: (height, width), zeroed; gets 1 at the root of each region that one of the boxes shares a pixel with. */
static void mark_hit_regions(const int32_t *labels, int32_t width, const dn_box *boxes, int32_t count, uint8_t *hit)
{
    for (const dn_box *box = boxes; box < boxes + count; box++) {
        for (int32_t y = box->y; y < box->y + box->height; y++) {
            for (int32_t x = box->x; x < box->x + box->width; x++) {
                int32_t root = labels[y * width + x];
                if (root >= 0)
                    hit[root] = 1;
            }
        }
    }
}

bool box_figures_add(box_figures *figures, bool defective, const dn_box *boxes, int32_t count, const uint8_t *mask,
                     int32_t width, int32_t height)
{
    size_t pixels = (size_t)width * (size_t)height;

    if (mask) {
        if (pixels > INT32_MAX)
            return false;
        int32_t *labels = calloc(pixels, sizeof *labels);
        uint8_t *hit = calloc(pixels, 1);
        if (!labels || !hit) {
            free(labels);
            free(hit);
            return false;
        }
        label_regions(mask, width, height, labels);
        mark_hit_regions(labels, width, boxes, count, hit);
        for (int32_t i = 0; i < (int32_t)pixels; i++) {
            figures->defects += labels[i] == i;
            figures->defects_hit += hit[i];
        }
        free(hit);
        free(labels);
    }
    figures->good_with_boxes += !defective && count > 0;
    *(defective ? &figures->in_defective : &figures->in_good) += (size_t)count;
    return true;
}
