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

double density_quantile(double *values, int32_t count, double share)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    double position = share * (count - 1);
    int32_t below = (int32_t)position;

    if (below + 1 >= count)
        return values[count - 1];
    return values[below] + (position - below) * (values[below + 1] - values[below]);
}

density_standard density_measure(double *scores, int32_t count, double weight)
{
    if (count < 1)
        return (density_standard){0, 0, weight};
    double median = log_score(density_quantile(scores, count, 0.5));
    double high = log_score(density_quantile(scores, count, 0.9));
    return (density_standard){median, fmax(high - median, DENSITY_LEAST_SPREAD), weight};
}

double density_combine(const density_standard standards[DENSITIES], const double scores[DENSITIES])
{
    double sum = 0, only = NAN;
    int present = 0;

    for (int d = 0; d < DENSITIES; d++) {
        const density_standard *s = &standards[d];
        if (isnan(scores[d]))
            continue;
        present++;
        only = scores[d];
        double t = (log_score(scores[d]) - s->median) / (s->spread > 0 ? s->spread : 1);
        sum += s->weight * copysign(log1p(fabs(t)), t);
    }
    return present == 1 ? only : exp(sum);
}
