/* What should be looked at in the images of a training. */
#include <math.h>
#include <stdio.h>

#include "train/trainer.h"

#define LEAST_USED 0.25   /* of the 16-bit range; below it features see little of the image */
#define LEAST_BITS 8      /* of a camera's values */
#define THERMAL_ROOM 0.25 /* of the used range, kept free at both ends for what is hotter or colder */
#define LITTLE 0.05       /* of the brightness that can be: there is nothing to be seen */

/* The range that would do: 0 .. 2^bits - 1 for cameras of fewer bits, else the used one with room at both ends. */
static canvas_range better_range(double darkest, double brightest)
{
    double used = brightest - darkest;
    int32_t bits = LEAST_BITS;

    while ((1 << bits) - 1 < brightest)
        bits++;
    if (used >= LEAST_USED * ((1 << bits) - 1))
        return (canvas_range){0, (1 << bits) - 1};
    double low = floor(darkest - THERMAL_ROOM * used), high = ceil(brightest + THERMAL_ROOM * used) + 1;
    return (canvas_range){low > 0 ? (int32_t)low : 0, high < 65535 ? (int32_t)high : 65535};
}

/* Of a range beside which all of the values lie. */
static const char *advice_of_range(dn_trainer *t)
{
    const train_images *images = &t->images;
    const char *all = images->seen.low[DN_TRAIT_DARKEST] > 1 - LITTLE  ? "white"
                      : images->seen.high[DN_TRAIT_BRIGHTEST] < LITTLE ? "black"
                                                                       : NULL;

    if (!all)
        return NULL;
    snprintf(
        t->advice, sizeof t->advice,
        "all of the 16-bit images is %s with range_low = %d and range_high = %d: a range counts after the values of "
        "files of fewer bits were scaled to 0 to 65535",
        all, images->range.low, images->range.high);
    return t->advice;
}

const char *trainer_advice(dn_trainer *t, int32_t index)
{
    const train_images *images = &t->images;
    double darkest = 65535 * images->seen.low[DN_TRAIT_DARKEST];
    double brightest = 65535 * images->seen.high[DN_TRAIT_BRIGHTEST];

    if (index != 0 || images->count == 0 || images->seen.low[DN_TRAIT_BITS] < 16)
        return NULL;
    if (images->range.low > 0 || (images->range.high > 0 && images->range.high < 65535))
        return advice_of_range(t);
    if (brightest - darkest >= LEAST_USED * 65535)
        return NULL;
    canvas_range better = better_range(darkest, brightest);
    snprintf(t->advice, sizeof t->advice,
             "the 16-bit images use only the values from %.0f to %.0f, less than a quarter of 0 to 65535: set "
             "range_low = %d and range_high = %d, so that little differences are seen",
             darkest, brightest, better.low, better.high);
    return t->advice;
}
