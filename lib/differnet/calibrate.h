/* From scores of held-out good images to a verdict. */
#ifndef DN_DIFFERNET_CALIBRATE_H
#define DN_DIFFERNET_CALIBRATE_H

#include "differnet.h"

/* Verdict of score->score (finite) from held-out scores, ascending: fills p_value, threshold, false_alarm_rate and
 * anomalous.  At a rate of 1 every score is anomalous: the threshold is then -1, below any score. */
void calibrate_verdict(const double *scores, int32_t count, double false_alarm_rate, dn_score *score);
/* Likewise with a threshold that is given (>= 0), not found: a verdict even without held-out scores.  false_alarm_rate
 * is the one that the threshold keeps, the largest p-value that it calls anomalous. */
void calibrate_threshold(const double *scores, int32_t count, double threshold, dn_score *score);

/* Fills index, from score and threshold: 0.5 where they are equal, 0.25 at the held-out scores' median,
 *     index = 1 / (1 + (threshold / score)^k),  k = log 3 / log(threshold / median)
 * with k within INDEX_LEAST_POWER .. INDEX_MOST_POWER, and 1 without held-out scores or if their median is not below
 * the threshold.  1 at a threshold of -1, NaN without a threshold. */
#define INDEX_LEAST_POWER 0.25
#define INDEX_MOST_POWER 16.0
void calibrate_index(const double *scores, int32_t count, dn_score *score);

#endif
