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
 * none outshouts the others.  To the positions an image is as unusual as one of their two parts says:
 *     r     = hypot(max(t_local, 0), a max(t_whole, 0)) + 0.05 (t_local + t_whole)
 *     score = exp(d(r) + flow_weight d(t_flow))
 * Without a flow a = 1 and the second term is 0.  A flow looks at the whole image, too: then a = 1/2.
 * flow_weight 0, in files up to format 4: score = exp(d(t_local) + d(t_flow) + 3 d(max(t_whole - 2, 0))).
 * All are about 1 for the typical good image, and grow with each of the scores. */
double parts_combine(const part_standard standards[PARTS], double flow_weight, const double scores[PARTS]);

/* What a flow's word is worth beside the positions', 0 .. 1: it needs many images, and they do not. */
double part_flow_weight(int32_t parts);

#endif
