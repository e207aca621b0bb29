/* From scores of held-out good images to a verdict: conformal p-values.  If a new good image is exchangeable with the
 * held-out ones, P(p <= r) <= r whatever the scores' distribution, so that "anomalous if p <= r" keeps the rate r of
 * false alarms. */
#include <math.h>

#include "differnet/calibrate.h"

/* Number of stored scores >= score.  scores: ascending. */
static int32_t count_at_least(const double *scores, int32_t count, double score)
{
    int32_t low = 0, high = count; /* scores[0 .. low) < score <= scores[high ..) */

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (scores[middle] < score)
            low = middle + 1;
        else
            high = middle;
    }
    return count - low;
}

/* The largest number of stored scores >= s at which p = (1 + number) / (n + 1) is still <= rate. */
static int32_t allowed_above(int32_t count, double rate)
{
    /* 0.05 * 20 must count as 1 although 0.05 is not exactly representable; 2^24 scores leave room for this. */
    const double rounding = 1e-6;

    return (int32_t)floor(rate * (count + 1.0) + rounding) - 1;
}

void calibrate_verdict(const double *scores, int32_t count, double false_alarm_rate, dn_score *score)
{
    if (count == 0) {
        score->anomalous = -1;
        score->p_value = score->threshold = score->false_alarm_rate = (double)NAN;
        return;
    }
    double least = 1.0 / (count + 1.0);
    int32_t above = count_at_least(scores, count, score->score);

    score->p_value = (1.0 + above) / (count + 1.0);
    score->false_alarm_rate = false_alarm_rate > least ? false_alarm_rate : least;
    int32_t allowed = allowed_above(count, score->false_alarm_rate);
    /* At most `allowed` scores are >= s if and only if s exceeds the one with `allowed` scores behind it. */
    score->threshold = allowed < count ? scores[count - 1 - allowed] : -1.0;
    score->anomalous = score->score > score->threshold;
}

void calibrate_threshold(const double *scores, int32_t count, double threshold, dn_score *score)
{
    score->threshold = threshold;
    score->anomalous = score->score > threshold;
    score->p_value = score->false_alarm_rate = (double)NAN;
    if (count == 0)
        return;
    score->p_value = (1.0 + count_at_least(scores, count, score->score)) / (count + 1.0);
    /* Any score above the threshold has at most those held-out ones at or above it that are above the threshold. */
    int32_t above = count_at_least(scores, count, nextafter(threshold, (double)INFINITY));
    score->false_alarm_rate = (1.0 + above) / (count + 1.0);
}

/* ---- index ---- */

static double index_power(const double *scores, int32_t count, double threshold)
{
    double median = count > 0 ? scores[count / 2] : threshold;

    if (!(median < threshold))
        return 1;
    return fmin(fmax(log(3) / (log(threshold) - log(median)), INDEX_LEAST_POWER), INDEX_MOST_POWER);
}

void calibrate_index(const double *scores, int32_t count, dn_score *score)
{
    double value = score->score, threshold = score->threshold;

    if (isnan(threshold))
        score->index = (double)NAN;
    else if (threshold < 0)
        score->index = 1;
    else if (value == threshold) /* 0 / 0, too */
        score->index = 0.5;
    else /* a quotient that overflows is one of an index of 0 */
        score->index = 1 / (1 + pow(threshold / value, index_power(scores, count, threshold)));
}
