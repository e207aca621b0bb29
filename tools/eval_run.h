/* One evaluation of differnet eval: a model on a test set. */
#ifndef DN_TOOLS_EVAL_RUN_H
#define DN_TOOLS_EVAL_RUN_H

#include "evaluation.h"
#include "region.h"

#define AUPRO_LIMIT 0.3

typedef struct eval_job {
    const char *model_path, *data, *report, *title;
    bool quiet, no_maps, strict;
    int32_t pictures;  /* images that the report shows in pictures, at most */
    double threshold;  /* NaN: by the rate */
    const char *point; /* NULL: none */
    region region;     /* opened */
    dn_scorer_options scoring;
    dn_localizer_options localizing;
} eval_job;

/* Scores the images of job->data and computes all figures; writes job->report, if one is wanted (`unreported`: which
 * failed).  Complains and returns false on failure; evaluation_free in any case. */
bool evaluate(const eval_job *job, evaluation *result);
void evaluation_free(evaluation *result);

#endif
