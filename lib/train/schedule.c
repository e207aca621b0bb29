#include "train/schedule.h"

#include <math.h>

#include "differnet.h"

/* The share of the steps over which the rate rises. */
#define WARMUP 0.05

/* Warm-up: linear from peak / w to peak over the first w steps.  Then half a cosine from peak towards 0, which the step
 * after the last one would reach (Loshchilov and Hutter, 2017, without restarts). */
static double cosine_rate(double peak, int64_t step, int64_t total)
{
    const double pi = 3.14159265358979323846;
    int64_t warmup = (int64_t)(WARMUP * (double)total);

    if (step < warmup)
        return peak * (double)(step + 1) / (double)warmup;
    return peak * 0.5 * (1 + cos(pi * (double)(step - warmup) / (double)(total - warmup)));
}

double schedule_rate(int32_t schedule, double peak, int64_t step, int64_t total)
{
    return schedule == DN_SCHEDULE_COSINE ? cosine_rate(peak, step, total) : peak;
}
