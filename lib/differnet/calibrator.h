/* A model's verdicts anew, without training: other good images to compare scores with, operating points, notes.  The
 * model itself is shared and stays as it is; a new one comes out, of the same densities. */
#ifndef DN_DIFFERNET_CALIBRATOR_H
#define DN_DIFFERNET_CALIBRATOR_H

#include <stdatomic.h>

#include "differnet/score.h"

dn_calibrator_options calibrator_default_options(void);
dn_status calibrator_options_check(const dn_calibrator_options *options, dn_error *error); /* ranges of its numbers */
/* options: complete and checked. */
dn_status calibrator_create(dn_model *model, const dn_calibrator_options *options, dn_calibrator **out,
                            dn_error *error);
void calibrator_free(dn_calibrator *calibrator);
dn_status calibrator_add(dn_calibrator *calibrator, const scorer_input *image, dn_score *score, dn_error *error);
dn_status calibrator_set_point(dn_calibrator *calibrator, const char *name, double threshold, dn_error *error);
dn_status calibrator_note(dn_calibrator *calibrator, const char *key, const char *value, dn_error *error);
/* images: (capacity), of which *count get the numbers of the suspects, in order. */
dn_status calibrator_look(dn_calibrator *calibrator, dn_calibrator_info *info, int32_t *images, int32_t capacity,
                          int32_t *count, dn_error *error);
dn_status calibrator_model(dn_calibrator *calibrator, dn_model **out, dn_error *error);
dn_error *calibrator_error(dn_calibrator *calibrator);
atomic_int *calibrator_in_use(dn_calibrator *calibrator); /* 1: a call is in progress */

/* ---- whether good images are what they should be; scores in any order ---- */

/* What new scores look like beside those that the model holds. */
typedef struct suspicion {
    _Bool moved;  /* most of the new ones are higher than all that are held, which chance would not do */
    double limit; /* images of a higher score are suspects; infinity: none is */
} suspicion;
/* held: (held_count), scratch: (held_count + count), fresh: (count).  docs/numerics.md, "Calibrating anew". */
suspicion suspect_scores(const double *held, int32_t held_count, const double *fresh, int32_t count, double *scratch);

#endif
