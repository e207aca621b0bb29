/* From scores of held-out good images to a verdict. */
#ifndef DN_DIFFERNET_CALIBRATE_H
#define DN_DIFFERNET_CALIBRATE_H

#include "differnet.h"

/* Verdict of score->score (finite) from held-out scores, ascending: fills p_value, threshold, false_alarm_rate and
 * anomalous.  At a rate of 1 every score is anomalous: the threshold is then -1, below any score. */
void calibrate_verdict(const double *scores, int32_t count, double false_alarm_rate, dn_score *score);

#endif
