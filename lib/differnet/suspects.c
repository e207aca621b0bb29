/* Defects among images that are said to be good, told by their scores. */
#include <math.h>
#include <string.h>

#include "differnet/calibrator.h"

#define CHANCE 0.01       /* that exchangeable scores are called otherwise */
#define FENCE 2.2         /* quartile distances above the upper quartile: Hoaglin, Iglewicz (1987) */
#define LEAST_SCORE 1e-30 /* a score of 0 has no logarithm */
#define FENCE_LEAST 8     /* scores that quartiles are worth something from */

/* Of exchangeable scores, the probability that the highest `above` of all are fresh ones. */
static double chance_of(int32_t above, int32_t fresh, int32_t all)
{
    double chance = 1;

    for (int32_t i = 0; i < above; i++)
        chance *= (double)(fresh - i) / (all - i);
    return chance;
}

static void fill_logs(double *logs, const double *scores, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        logs[i] = log(fmax(scores[i], LEAST_SCORE));
}

suspicion suspect_scores(const double *held, int32_t held_count, const double *fresh, int32_t count, double *scratch)
{
    suspicion told = {0, (double)INFINITY};
    double highest = -1;
    int32_t above = 0;

    for (int32_t i = 0; i < held_count; i++)
        highest = fmax(highest, held[i]);
    for (int32_t i = 0; i < count; i++)
        above += fresh[i] > highest;
    _Bool unlikely = held_count > 0 && chance_of(above, count, held_count + count) <= CHANCE;
    told.moved = unlikely && above > count / 2;
    if (unlikely && !told.moved)
        told.limit = highest;
    /* Where the line has moved, only the new ones tell what is usual now. */
    int32_t used = told.moved ? 0 : held_count;
    fill_logs(scratch, held, used);
    fill_logs(scratch + used, fresh, count);
    if (used + count >= FENCE_LEAST) {
        double low = quantile(scratch, used + count, 0.25), high = quantile(scratch, used + count, 0.75);
        told.limit = fmin(told.limit, exp(high + FENCE * fmax(high - low, PART_LEAST_SPREAD)));
    }
    return told;
}
