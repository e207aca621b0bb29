/* Figures of merit of an anomaly detector, as scikit-learn and the MVTec AD evaluation define them. */
#ifndef DN_TOOLS_METRICS_H
#define DN_TOOLS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "differnet.h"

/* ---- image level: scores (higher is more anomalous) and labels (1 anomalous, 0 good) ---- */

typedef struct ranked_score {
    double score;
    uint8_t anomalous;
} ranked_score;

/* Sorts descending by score; all functions below want that order and at least one image of each kind.  Equal scores
 * count as one step of the curves, so their order does not matter. */
void metrics_rank(ranked_score *scores, size_t count);
/* Area under the ROC curve (trapezoids, so a tie counts half). */
double metrics_auroc(const ranked_score *scores, size_t count);
/* Average precision: sum over steps of (recall gained) * precision. */
double metrics_average_precision(const ranked_score *scores, size_t count);
/* The best F1 over all thresholds; *threshold (nullable) is the smallest score that counts as anomalous there. */
double metrics_best_f1(const ranked_score *scores, size_t count, double *threshold);

/* Percentile bootstrap: the middle 95 % of the AUROC over `resamples` redrawings of the good and, separately, the
 * anomalous images.  Deterministic.  False if memory is out. */
bool metrics_auroc_interval(const ranked_score *scores, size_t count, int resamples, double interval[2]);

/* Correlation of two rows of `count` numbers (Pearson's), and that of their ranks (Spearman's; of equal numbers the mean
 * rank).  NaN where one of them does not vary or memory is out. */
double metrics_correlation(const double *a, const double *b, size_t count);
double metrics_rank_correlation(const double *a, const double *b, size_t count);

/* ---- pixel level ----
 *
 * Maps are gathered in a histogram whose bins are the floats' upper bits, so that memory does not grow with the
 * number of images.  12 bits of the significand are kept: values closer than 1/4096 of themselves are one
 * step of the curves. */

#define PIXEL_BINS ((size_t)1 << 20)

typedef struct pixel_histogram {
    uint64_t *normal;    /* (PIXEL_BINS) pixels that are not defective */
    uint64_t *defective; /* (PIXEL_BINS) */
    double *overlap;     /* (PIXEL_BINS) sum of 1 / size of its region over the defective pixels */
    uint64_t regions;    /* 8-connected defective regions of all masks */
    int32_t *labels;     /* scratch of the labelling */
    size_t label_capacity;
} pixel_histogram;
bool pixel_histogram_init(pixel_histogram *histogram); /* false if memory is out */
void pixel_histogram_free(pixel_histogram *histogram);
/* map: (height, width), >= 0; mask: (height, width), non-zero is defective, or NULL for a good image.  False if memory
 * is out. */
bool pixel_histogram_add(pixel_histogram *histogram, const float *map, const uint8_t *mask, int32_t width,
                         int32_t height);
/* Area under the pixels' ROC curve; NaN without normal or without defective pixels. */
double pixel_histogram_auroc(const pixel_histogram *histogram);
/* Area under the per-region overlap curve: mean share of each region that is found, over the share of all normal
 * pixels (those of good images too) that is reported, up to `limit` (0.3), divided by `limit`.  NaN as above. */
double pixel_histogram_aupro(const pixel_histogram *histogram, double limit);

/* ---- boxes ---- */

typedef struct box_figures {
    size_t good_with_boxes;       /* good images that have a box at all */
    size_t in_good, in_defective; /* boxes in images of each kind */
    size_t defects, defects_hit;  /* 8-connected regions of all masks; those that a box shares a pixel with */
} box_figures;

/* Adds an image.  boxes: (count) inside of it; mask: (height, width) as above, or NULL.  False if the image is too large or
 * memory is out. */
bool box_figures_add(box_figures *figures, bool defective, const dn_box *boxes, int32_t count, const uint8_t *mask,
                     int32_t width, int32_t height);

#endif
