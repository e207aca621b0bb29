/* What good images had that a model did not learn from: enough to know the score of each, and so the verdict's
 * distribution, for any number of views that a scorer is asked for. */
#ifndef DN_DIFFERNET_CALIBRATION_H
#define DN_DIFFERNET_CALIBRATION_H

#include "differnet.h"

/* What a smoothed map of the density at every position says: the mean of its highest cells, and its median. */
typedef struct position_level {
    double top, median; /* NaN if the map is not finite */
} position_level;

/* One row for each image, in order of addition. */
typedef struct calibration {
    dn_allocator allocator;
    int32_t count, views;   /* views: the model's own number; 0 without a flow */
    double *flow;           /* (count, views): the flow's mean of z^2 of each view; NULL without a flow */
    position_level *levels; /* (count); NULL without a density at every position */
} calibration;

/* Rows of zeros.  views 0: no flow. */
dn_status calibration_create(int32_t count, int32_t views, _Bool positions, const dn_allocator *allocator,
                             calibration **out, dn_error *error);
dn_status calibration_copy(const calibration *from, const dn_allocator *allocator, calibration **out, dn_error *error);
void calibration_free(calibration *rows); /* NULL is allowed */
/* DN_E_NUMERIC if a number is negative or not finite. */
dn_status calibration_check(const calibration *rows, dn_error *error);

/* Which of `stored` views are looked at where `views` <= stored are asked for: view i of them, evenly spread. */
int32_t calibration_view(int32_t i, int32_t views, int32_t stored);
/* The flow's score of a row as a scorer of so many views computes it: from a part of the stored views, or from all of
 * them where more are asked for than there are. */
double calibration_flow(const calibration *rows, int32_t row, int32_t views);

#endif
