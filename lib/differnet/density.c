#include "differnet/density.h"

#include <math.h>
#include <stdlib.h>

#define LEAST_SCORE 1e-30 /* a score of 0 has no logarithm */

const char *const density_names[DENSITIES] = {[DENSITY_FLOW] = "flow", [DENSITY_POSITIONS] = "positions"};

static int compare(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

static double log_score(double score)
{
    return log(fmax(score, LEAST_SCORE));
}

double quantile(double *values, int32_t count, double share)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    double position = share * (count - 1);
    int32_t below = (int32_t)position;

    if (below + 1 >= count)
        return values[count - 1];
    return values[below] + (position - below) * (values[below + 1] - values[below]);
}

/* Images with which the flow's word counts half (docs/accuracy.md, "Together with the flow"). */
#define FLOW_IMAGES 150.0

part_standard part_measure(double *scores, int32_t count)
{
    if (count < 1)
        return (part_standard){0, 0};
    double median = log_score(quantile(scores, count, 0.5));
    double high = log_score(quantile(scores, count, 0.9));
    return (part_standard){median, fmax(high - median, PART_LEAST_SPREAD)};
}

static double standardise(const part_standard *standard, double score)
{
    return (log_score(score) - standard->median) / (standard->spread > 0 ? standard->spread : 1);
}

static double damp(double t)
{
    return copysign(log1p(fabs(t)), t);
}

double parts_combine(const part_standard standards[PARTS], double flow_weight, const double scores[PARTS])
{
    if (isnan(scores[PART_LOCAL]))
        return scores[PART_FLOW];
    double local = standardise(&standards[PART_LOCAL], scores[PART_LOCAL]);
    double whole = standardise(&standards[PART_WHOLE], scores[PART_WHOLE]);
    double level = (isnan(scores[PART_FLOW]) ? 1 : 0.5) * fmax(whole, 0);
    double unusual = damp(hypot(fmax(local, 0), level) + 0.05 * (local + whole));
    if (isnan(scores[PART_FLOW]))
        return exp(unusual);
    double flow = standardise(&standards[PART_FLOW], scores[PART_FLOW]);
    if (flow_weight == 0)
        return exp(damp(local) + damp(flow) + 3 * damp(fmax(whole - 2, 0)));
    return exp(unusual + flow_weight * damp(flow));
}

double part_flow_weight(int32_t images)
{
    double ratio = images / FLOW_IMAGES;

    return ratio * ratio / (ratio * ratio + 1);
}
