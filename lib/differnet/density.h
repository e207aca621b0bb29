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

/* What goes into an image's score: the flow's score, and two numbers of the positions' map, that which stands out in it
 * and the level of the whole. */
enum part { PART_FLOW, PART_LOCAL, PART_WHOLE, PARTS };

/* Where the logarithms of a part's scores of good images lie that it did not learn from, so that scores of several
 * parts can be compared.  spread 0: not known. */
typedef struct part_standard {
    double median, spread; /* spread: from the median to the 90 % quantile */
} part_standard;

/* The quantile of `count` values >= 1, which are sorted, linear between neighbours. */
double quantile(double *values, int32_t count, double share);
/* The median and spread of the logarithms of `count` scores, which are sorted.  A score of 0 counts as a tiny one, and
 * the spread is at least PART_LEAST_SPREAD. */
#define PART_LEAST_SPREAD 0.02
part_standard part_measure(double *scores, int32_t count);

/* The image's score from those of its parts; NaN where the model has no such part.  The flow's alone is that score.
 * Otherwise each is standardised, t = (log score - median) / spread, and damped, d(t) = sign(t) log(1 + |t|), so that
 * none outshouts the others.  Without a flow an image is as unusual as one of the positions' two parts says:
 *     score = exp(d(hypot(max(t_local, 0), max(t_whole, 0)) + 0.05 (t_local + t_whole)))
 * With a flow, which looks at the whole image, the level of the map counts only where it is beyond all good images':
 *     score = exp(d(t_local) + d(t_flow) + 3 d(max(t_whole - 2, 0)))
 * Both are about 1 for the typical good image, and grow with each of the scores. */
double parts_combine(const part_standard standards[PARTS], const double scores[PARTS]);

#endif
