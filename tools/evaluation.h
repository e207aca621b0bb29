/* What `differnet eval` finds out. */
#ifndef DN_TOOLS_EVALUATION_H
#define DN_TOOLS_EVALUATION_H

#include "command.h"
#include "eval_set.h"
#include "metrics.h"

typedef struct evaluation {
    const char *title; /* of the report; NULL: model and data set */
    const char *data, *model_path;
    dn_model_info model;
    dn_model *opened;
    test_set *set;
    double *scores;           /* (set->count) in the set's order */
    double *indices;          /* likewise, of dn_score.index; NaN without a threshold */
    uint32_t *image_warnings; /* likewise, DN_WARN_... */
    ranked_score *ranking;    /* (set->count) */
    int32_t views, map_views;
    double auroc, interval[2], average_precision, f1, f1_threshold;
    bool boxes; /* known: there were maps, whose scale the model holds */
    box_figures box_figures;
    bool pixels; /* the two below are known */
    double pixel_auroc, pixel_aupro;
    double *defect_auroc; /* (set->defect_count) one defect's images against all good ones */
    /* The model's own verdicts; threshold is NaN if it gives none. */
    double threshold, false_alarm_rate;
    size_t false_alarms, missed;
    size_t unlike;     /* images that are unlike those learned from, */
    uint32_t warnings; /* and in what */
    bool unreported;   /* the report could not be written */
} evaluation;

#endif
