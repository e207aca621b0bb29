/* What the monitor's alarms cost and find, by simulation: false alarms beside the promise, with and without rare defects,
 * and how soon a change is told.  Scores of good images are normal numbers, of defects larger than all of them. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "differnet.h"

#define MOST_GOOD 400

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(state >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* good: (n), ascending. */
static double p_value(const double *good, int n, double score)
{
    int low = 0, high = n;

    while (low < high) {
        int middle = (low + high) / 2;
        if (good[middle] < score)
            low = middle + 1;
        else
            high = middle;
    }
    return (1.0 + n - low) / (n + 1.0);
}

/* A line: `before` good images, then `after` whose scores are `shift` higher, a share of all defective.  How many images
 * there were at the alarm; 0: none. */
static int run_line(dn_monitor *monitor, int good, double defects, int before, int after, double shift)
{
    double scores[MOST_GOOD];
    dn_monitor_state told;

    for (int i = 0; i < good; i++)
        scores[i] = normal();
    qsort(scores, (size_t)good, sizeof *scores, compare);
    dn_monitor_state_init(&told);
    if (dn_monitor_reset(monitor) != DN_OK)
        abort();
    for (int t = 0; t < before + after; t++) {
        double score = normal() + (t >= before ? shift : 0);
        if (uniform() < defects)
            score = 1e9;
        if (dn_monitor_add(monitor, p_value(scores, good, score)) != DN_OK ||
            dn_monitor_get_state(monitor, &told) != DN_OK)
            abort();
        if (told.moved)
            return t + 1;
    }
    return 0;
}

static dn_monitor *monitor_of(int good, double between)
{
    dn_monitor_options options;
    dn_monitor *monitor;

    dn_monitor_options_init(&options);
    options.good_scores = good;
    options.images_between_alarms = between;
    options.window = 1;
    if (dn_monitor_create(&options, &monitor, NULL) != DN_OK)
        abort();
    return monitor;
}

int main(void)
{
    static const int counts[] = {19, 40, 100, 400};
    static const double shares[] = {0, 0.01, 0.02, 0.04, 0.1}, shifts[] = {0.5, 1, 2};
    enum { RUNS = 4000, IMAGES = 200, BETWEEN = 1000, FOUND_RUNS = 1000 };

    printf("share of %d lines with an alarm within %d images, promised without defects: %.3f\n", RUNS, IMAGES,
           (double)IMAGES / BETWEEN);
    printf("%11s", "good scores");
    for (int s = 0; s < 5; s++)
        printf("  %3.0f %% def.", 100 * shares[s]);
    for (int c = 0; c < 4; c++) {
        dn_monitor *monitor = monitor_of(counts[c], BETWEEN);
        printf("\n%11d", counts[c]);
        for (int s = 0; s < 5; s++) {
            int alarms = 0;
            for (int run = 0; run < RUNS; run++)
                alarms += run_line(monitor, counts[c], shares[s], IMAGES, 0, 0) > 0;
            printf("  %10.3f", (double)alarms / RUNS);
        }
        dn_monitor_free(monitor);
    }
    printf("\n\nimages until the alarm (median of %d lines; 10000 between false alarms) after scores rise\n%11s",
           FOUND_RUNS, "good scores");
    for (int s = 0; s < 3; s++)
        printf("  by %3.1f dev.", shifts[s]);
    for (int c = 0; c < 4; c++) {
        dn_monitor *monitor = monitor_of(counts[c], 10000);
        printf("\n%11d", counts[c]);
        for (int s = 0; s < 3; s++) {
            double delays[FOUND_RUNS];
            int found = 0;
            for (int run = 0; run < FOUND_RUNS; run++) {
                int at = run_line(monitor, counts[c], 0, 200, 2000, shifts[s]);
                if (at == 0 || at > 200)
                    delays[found++] = at > 0 ? at - 200 : 1e9;
            }
            qsort(delays, (size_t)found, sizeof *delays, compare);
            printf("  %11.0f", delays[found / 2]);
        }
        dn_monitor_free(monitor);
    }
    putchar('\n');
    return 0;
}
