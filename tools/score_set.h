/* Scores of all images of a list, as compare and calibrate need them. */
#ifndef DN_TOOLS_SCORE_SET_H
#define DN_TOOLS_SCORE_SET_H

#include "command.h"
#include "eval_set.h"
#include "metrics.h"

/* scores: (set->count), written in the set's order.  Names every image that cannot be scored; false if there is one.
 * title: what the progress says ("scoring with OLD"). */
bool score_set(dn_scorer *scorer, const test_set *set, const char *title, bool quiet, dn_score *scores);

/* Figures of image scores, where good and defective images are told apart. */
typedef struct set_figures {
    double auroc, average_precision, f1, f1_threshold; /* NaN without images of both kinds */
    size_t anomalous, false_alarms, missed;            /* the model's verdicts */
} set_figures;
set_figures score_figures(const test_set *set, const dn_score *scores);

/* A set of images of which nobody says what they are (`defect` of all is -1).  It takes over the list's paths. */
test_set unlabelled_set(image_list *images);
/* Reads a data set in MVTec layout, or else an image or all images of a folder, of which nobody says what they are
 * (`labelled`: false; `defect` of all is -1).  Complains and returns false if there are none. */
bool open_any_set(const char *data, bool quiet, test_set *set, bool *labelled);

#endif
