/* Shiryaev and Roberts' statistic on conformal p-values.
 *
 * While good images are exchangeable with the n that the model's scores come from, the place of a new score among those
 * n, j = p (n + 1) in 1 .. n + 1, follows Polya's urn: place j has probability (1 + images so far with j) / (n + 1 +
 * images so far).  So for any function g > 0 the quotient of g(p) and its mean under that urn has mean 1, given all
 * before: a bet that g will be large, at a fair price.  R <- (1 + R) quotient, which has the product of the quotients
 * since each possible moment of a change in it, minus the number of images is then a martingale.  Where it stops at R >=
 * A, the mean number of images until then is A at least, whatever the scores' distribution and however small n is. */
#include "differnet/monitor.h"

#include <math.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/status.h"

#define MOST_EVIDENCE 1e300 /* R stays a number, however long nobody looks */

/* What is bet on: p-values that are smaller or larger than they were, or that lie further apart or closer together. */
enum { BETS = 6 };
static const double slopes[BETS] = {0.5, 0.9, -0.5, -0.9, 0, 0};
static const double curvatures[BETS] = {0, 0, 0, 0, 0.45, -0.45};

/* g: > 0, with mean 1 over p uniform in 0 .. 1. */
static double bet(int k, double p)
{
    double u = 1 - 2 * p;

    return 1 + slopes[k] * u + curvatures[k] * (3 * u * u - 1);
}

struct dn_monitor {
    dn_allocator allocator;
    double images_between_alarms;
    int32_t good_scores, window;
    double start[BETS];    /* sum of g over the n + 1 places */
    double sum[BETS];      /* with that over the images so far; both are not used where n is 0 */
    double evidence[BETS]; /* R */
    int64_t images, moved_at;
    double *recent; /* (window): the last p-values, in a ring */
    dn_error error;
    atomic_int in_use; /* 1: a call is in progress */
};

/* ---- options ---- */

dn_monitor_options monitor_default_options(void)
{
    return (dn_monitor_options){
        .struct_size = sizeof(dn_monitor_options), .good_scores = 0, .images_between_alarms = 10000, .window = 50};
}

dn_status monitor_options_check(const dn_monitor_options *options, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_monitor_options, good_scores, 0, 1 << 24, NULL),
        OPTION_REAL(dn_monitor_options, images_between_alarms, 1, 1e12, OPTION_CLOSED),
        OPTION_INTEGER(dn_monitor_options, window, 1, 1000000, NULL),
    };

    return options_check(options, "dn_monitor_options", ranges, OPTION_COUNT(ranges), error);
}

/* ---- the handle ---- */

void monitor_reset(dn_monitor *monitor)
{
    for (int k = 0; k < BETS; k++) {
        monitor->sum[k] = monitor->start[k];
        monitor->evidence[k] = 0;
    }
    monitor->images = monitor->moved_at = 0;
}

dn_status monitor_create(const dn_monitor_options *options, dn_monitor **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    dn_monitor *monitor = mem_zalloc(&allocator, 1, sizeof *monitor);
    double *recent = mem_zalloc(&allocator, (size_t)options->window, sizeof *recent);
    if (!monitor || !recent) {
        mem_free(&allocator, monitor);
        mem_free(&allocator, recent);
        return fail_memory(error, "a monitor");
    }
    monitor->allocator = allocator;
    monitor->recent = recent;
    monitor->images_between_alarms = options->images_between_alarms;
    monitor->good_scores = options->good_scores;
    monitor->window = options->window;
    for (int k = 0; k < BETS; k++)
        for (int32_t place = 1; place <= options->good_scores + 1; place++)
            monitor->start[k] += bet(k, place / (options->good_scores + 1.0));
    monitor_reset(monitor);
    *out = monitor;
    return DN_OK;
}

void monitor_free(dn_monitor *monitor)
{
    if (!monitor)
        return;
    dn_allocator allocator = monitor->allocator;
    mem_free(&allocator, monitor->recent);
    mem_free(&allocator, monitor);
}

dn_error *monitor_error(dn_monitor *monitor)
{
    return &monitor->error;
}

atomic_int *monitor_in_use(dn_monitor *monitor)
{
    return &monitor->in_use;
}

/* ---- the test ---- */

/* R of all bets, in the mean: a martingale as each of them is. */
static double mean_evidence(const dn_monitor *monitor)
{
    double sum = 0;

    for (int k = 0; k < BETS; k++)
        sum += monitor->evidence[k];
    return sum / BETS;
}

dn_status monitor_add(dn_monitor *monitor, double p_value, dn_error *error)
{
    if (!(p_value > 0 && p_value <= 1)) /* refuses NaN, too */
        return fail(error, DN_E_ARGUMENT,
                    "p_value is %g, must be above 0 and at most 1 (a model without scores of good "
                    "images gives none)",
                    p_value);
    double places = monitor->good_scores + 1.0 + (double)monitor->images;
    for (int k = 0; k < BETS; k++) {
        double gain = bet(k, p_value), price = monitor->good_scores > 0 ? monitor->sum[k] / places : 1;
        monitor->evidence[k] = fmin((1 + monitor->evidence[k]) * (gain / price), MOST_EVIDENCE);
        monitor->sum[k] += gain;
    }
    monitor->recent[monitor->images % monitor->window] = p_value;
    monitor->images++;
    if (monitor->moved_at == 0 && mean_evidence(monitor) >= monitor->images_between_alarms)
        monitor->moved_at = monitor->images;
    return DN_OK;
}

dn_monitor_state monitor_state(const dn_monitor *monitor)
{
    int32_t recent = monitor->images < monitor->window ? (int32_t)monitor->images : monitor->window;
    double sum = 0;

    for (int32_t i = 0; i < recent; i++)
        sum += monitor->recent[i];
    return (dn_monitor_state){.struct_size = sizeof(dn_monitor_state),
                              .moved = monitor->moved_at > 0,
                              .images = monitor->images,
                              .moved_at = monitor->moved_at,
                              .evidence = mean_evidence(monitor) / monitor->images_between_alarms,
                              .recent_mean = recent > 0 ? sum / recent : (double)NAN,
                              .recent_images = recent};
}
