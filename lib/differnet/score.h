/* Scoring: N views of one image -> features -> flow -> mean of z^2 (paper equation 6), p-value, verdict. */
#ifndef DN_DIFFERNET_SCORE_H
#define DN_DIFFERNET_SCORE_H

#include "base/pool.h"
#include "differnet/model.h"

/* The n scoring angles in degrees (DN_ANGLES_...), the same for every model and image:
 * stratified: -180 + (i + u_i) * 360 / n with u_i seeded uniform; grid: i * 360 / n. */
void score_angles(int32_t kind, int32_t n, double *angles);

struct dn_scorer {
    dn_allocator allocator;
    dn_model *model;       /* reference */
    pool *workers;         /* own */
    int32_t views;
    double false_alarm_rate;
    double *angles;        /* (views) */
    uint16_t *canvas;      /* (size, size, 3) */
    float *worker_scratch; /* per worker: the CNN's scratch */
    size_t worker_stride;  /* floats */
    float *features;       /* (views, dim); the flow turns it into z in place */
    float *logdet;         /* (views) */
    float *flow_scratch;
    double *view_scores;   /* (views) */
    int32_t scored;        /* views of the last score; 0: none */
    dn_error error;
};

dn_status scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error);
void scorer_free(dn_scorer *scorer);
/* image has passed image_view_check.  Fills all but struct_size.  Allocates nothing but what canvas_fill needs. */
dn_status scorer_score(dn_scorer *scorer, const dn_image_view *image, dn_score *score, dn_error *error);
/* Like scorer_score, of an image that canvas_fill has stretched already: canvas (size, size, 3). */
dn_status scorer_score_canvas(dn_scorer *scorer, const uint16_t *canvas, dn_score *score, dn_error *error);

/* Verdict of score->score (finite) from held-out scores, ascending: fills p_value, threshold, false_alarm_rate and
 * anomalous (calibrate.c).  At a rate of 1 every score is anomalous: the threshold is then -1, below any score. */
void calibrate_verdict(const double *scores, int32_t count, double false_alarm_rate, dn_score *score);

#endif
