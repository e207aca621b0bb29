#include "operating_points.h"

#include <math.h>

/* What happens where the `above` highest scores are called anomalous. */
static operating_point cut(const ranked_score *scores, size_t count, size_t above, size_t defective, size_t hits)
{
    size_t good = count - defective, alarms = above - hits, missed = defective - hits;
    double low = above < count ? scores[above].score : 0, high = above > 0 ? scores[above - 1].score : (double)INFINITY;
    double threshold = above == 0 ? low : above == count ? high / 2 : sqrt(low) * sqrt(high);

    if (!(threshold >= low && threshold < high))
        threshold = low;
    return (operating_point){
        .threshold = threshold,
        .false_alarms = alarms,
        .missed = missed,
        .f1 = 2.0 * (double)hits / (double)(hits + alarms + defective),
        .balanced_accuracy = 0.5 * ((double)hits / (double)defective + (double)(good - alarms) / (double)good)};
}

void choose_points(const ranked_score *scores, size_t count, double max_misses, operating_point points[POINT_CHOICES])
{
    static const char *const names[POINT_CHOICES] = {"best-f1", "balanced", "max-misses"};
    size_t defective = 0, hits = 0;

    for (size_t i = 0; i < count; i++)
        defective += scores[i].anomalous != 0;
    size_t may_miss = (size_t)floor(max_misses * (double)defective + 1e-9);
    for (size_t above = 0; above <= count; above++) {
        hits += above > 0 && scores[above - 1].anomalous;
        if (above > 0 && above < count && scores[above - 1].score <= scores[above].score)
            continue; /* equal scores are not divided */
        operating_point now = cut(scores, count, above, defective, hits);
        if (above == 0 || now.f1 > points[POINT_BEST_F1].f1)
            points[POINT_BEST_F1] = now;
        if (above == 0 || now.balanced_accuracy > points[POINT_BALANCED].balanced_accuracy)
            points[POINT_BALANCED] = now;
        if (above == 0 || points[POINT_MAX_MISSES].missed > may_miss)
            points[POINT_MAX_MISSES] = now;
    }
    for (int i = 0; i < POINT_CHOICES; i++)
        points[i].name = names[i];
}
