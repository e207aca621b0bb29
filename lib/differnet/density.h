/* Densities: what a model learned about good images.  A model holds one or several of these kinds:
 *
 *   flow       the paper's: a normalizing flow on features pooled over all positions and averaged over many views
 *   positions  a Gaussian at every position of one view's feature maps
 *
 * Each gives an image a score >= 0 that is larger the less likely the image is. */
#ifndef DN_DIFFERNET_DENSITY_H
#define DN_DIFFERNET_DENSITY_H

#include "differnet.h"

enum density { DENSITY_FLOW, DENSITY_POSITIONS, DENSITIES };

/* "flow", "positions": their names in files. */
extern const char *const density_names[DENSITIES];

/* Where the logarithms of a density's scores of good images lie that it did not learn from, so that scores of several
 * densities can be compared.  spread 0: not known. */
typedef struct density_standard {
    double median, spread; /* spread: from the median to the 90 % quantile */
    double weight;         /* in the image's score, >= 0 */
} density_standard;

/* The median and spread of `count` scores (> 0 counts; 0 as a tiny one), which are sorted.  Few or equal ones: spread is
 * at least DENSITY_LEAST_SPREAD. */
#define DENSITY_LEAST_SPREAD 0.02
density_standard density_measure(double *scores, int32_t count, double weight);

/* The quantile of `count` values >= 1, which are sorted, linear between neighbours. */
double density_quantile(double *values, int32_t count, double share);

/* The image's score from those of its densities.  scores: NaN where the model has no such density.  With one density it
 * is that one's score.  With several each is standardised, t = (log score - median) / spread, and damped, so that none
 * outshouts the others:
 *     score = exp(sum over densities of weight * sign(t) * log(1 + |t|))
 * which is about 1 for the typical good image, and grows with each of the scores. */
double density_combine(const density_standard standards[DENSITIES], const double scores[DENSITIES]);

#endif
