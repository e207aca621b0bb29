/* Thresholds chosen on images of which it is known which are defective. */
#ifndef DN_TOOLS_OPERATING_POINTS_H
#define DN_TOOLS_OPERATING_POINTS_H

#include "metrics.h"

typedef struct operating_point {
    const char *name;
    double threshold;            /* anomalous means score > threshold */
    size_t false_alarms, missed; /* among the images it was chosen on */
    double f1, balanced_accuracy;
} operating_point;

enum { POINT_BEST_F1, POINT_BALANCED, POINT_MAX_MISSES, POINT_CHOICES };

/* scores: ranked by metrics_rank, of both kinds.  Best F1; best mean of the shares of good and of defective images judged
 * rightly; the fewest false alarms with at most a share of `max_misses` of the defective ones missed.  Of equally good
 * ones that with the fewest images called anomalous.  A threshold lies at the geometric mean of the scores it divides. */
void choose_points(const ranked_score *scores, size_t count, double max_misses, operating_point points[POINT_CHOICES]);

#endif
