/* Scoring: N views of one image -> features -> flow -> mean of z^2 (paper equation 6), p-value, verdict. */
#ifndef DN_DIFFERNET_SCORE_H
#define DN_DIFFERNET_SCORE_H

#include <stdatomic.h>

#include "base/memory.h"
#include "base/pool.h"
#include "cnn/view_features.h"
#include "differnet/model.h"
#include "differnet/position_map.h"
#include "image/mask.h"

/* The n scoring angles in degrees (DN_ANGLES_...), the same for every model and image:
 * stratified: -180 + (i + u_i) * 360 / n with u_i seeded uniform; grid: i * 360 / n. */
void score_angles(int32_t kind, int32_t n, double *angles);

/* Images that are handled together: as many as give the flow SCORE_ROWS rows, which it reads its weights once for, but
 * neither more than SCORE_IMAGES nor than SCORE_CANVASES bytes of canvases; one at least. */
#define SCORE_ROWS 256
#define SCORE_IMAGES 16
#define SCORE_CANVASES ((size_t)32 << 20)

/* Views after which scorer_decide looks at the sum first; then after twice as many, and so on.  A block of the flow is
 * paid for each time, so that it would be slow to look more often. */
#define SCORE_DECIDE_VIEWS 8 /* whole blocks of views, so that these are those of scorer_score */

/* An image to score: a file, or the caller's pixels. */
typedef struct scorer_input {
    const char *path; /* NULL: `view` */
    const dn_pixels *view;
} scorer_input;

/* An image as the network's views are cut from it. */
struct score_image {
    uint16_t *canvas;   /* (height, width, 3) of the plan's whole: for the flow */
    uint16_t *tiles;    /* (height, width, 3) of the model's plan: for the positions; with one tile it is `canvas` */
    uint8_t *inside;    /* (rows, columns) of the positions' grid: cells that count */
    canvas_place place; /* of the image on `canvas` */
    _Bool partly;       /* some do not */
    uint32_t warnings;  /* DN_WARN_... */
    mem_scratch resampling;
};

struct dn_scorer {
    dn_allocator allocator;
    dn_image_options files; /* how they are decoded */
    dn_model *model;        /* reference */
    pool *workers;          /* own */
    int32_t views;
    double false_alarm_rate;
    double threshold; /* that the caller has set; NaN: none, the verdict goes by the rate */
    double *angles;   /* (views) */
    /* Scores of good images under these views, ascending: the model's, or computed for another number of them. */
    const double *good_scores;
    double *own_scores;  /* NULL: the model's */
    view_features stage; /* the workers' scratch */
    double *view_scores; /* (views) */
    int32_t scored;      /* views of the last score; 0: none */
    int32_t batch;       /* images that are handled together, at most */

    int32_t capacity;           /* images that there is memory for: */
    struct score_image *images; /* (capacity) */
    int32_t *loaded;            /* (capacity): numbers of the images that are there; the others could not be read */
    const uint16_t **canvases;  /* (capacity): those of the loaded images */
    /* With a flow, and with a density at every position: otherwise NULL. */
    float *features; /* (images, views, dim); the flow turns it into z in place */
    float *logdet;   /* (images, views) */
    float *flow_scratch;
    int32_t flow_rows;      /* rows per block of the flow */
    float *maps;            /* (images, rows, columns) of the density at every position */
    position_level *levels; /* (images): what the maps say */
    float *map_scratch;
    image_mask own_mask;    /* of the images to come, as the caller set it, within the model's; width 0: none */
    const image_mask *mask; /* that, or the model's */
    dn_error error;
    atomic_int in_use; /* 1: a call is in progress */
};

/* ---- scorer.c ---- */

/* Sees to it that there is memory for `images` images. */
dn_status scorer_reserve(dn_scorer *scorer, int32_t images, dn_error *error);
/* Loads images 0 ... and lists those that went well; returns their number. */
int32_t scorer_load(dn_scorer *scorer, const scorer_input *inputs, int32_t count, dn_error *errors);
/* Image `number` is there: the next of the loaded ones. */
void scorer_list_loaded(dn_scorer *scorer, int32_t number, int32_t *loaded);

dn_scorer_options scorer_default_options(void);
dn_status scorer_options_check(const dn_scorer_options *options, dn_error *error); /* ranges of its numbers */
/* options: complete and checked. */
dn_status scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error);
void scorer_free(dn_scorer *scorer);

/* What verdicts go by from now on: each replaces the other.  DN_E_ARGUMENT for a number out of range: all stays. */
dn_status scorer_set_false_alarm_rate(dn_scorer *scorer, double rate, dn_error *error);
dn_status scorer_set_threshold(dn_scorer *scorer, double threshold, dn_error *error);
/* What counts of the images to come, within the model's own mask (NULL: that alone).  The image has passed pixels_check. */
dn_status scorer_set_mask(dn_scorer *scorer, const dn_pixels *image, int32_t kind, dn_error *error);

/* ---- score.c ---- */

/* Fills all but struct_size.  Allocates only for a file, and where an image needs more scratch than all before it. */
dn_status scorer_score(dn_scorer *scorer, const scorer_input *image, dn_score *score, dn_error *error);
/* The last image that was scored alone, on the plan's whole (height, width, 3): what does not count is filled. */
const uint16_t *scorer_masked_canvas(const dn_scorer *scorer);
/* Like scorer_score, of an image that canvas_fill has stretched already: canvas (height, width, 3). */
dn_status scorer_score_canvas(dn_scorer *scorer, const uint16_t *canvas, dn_score *score, dn_error *error);
/* Like scorer_score, but ends as soon as the verdict is certain. */
dn_status scorer_decide(dn_scorer *scorer, const scorer_input *image, dn_score *score, dn_error *error);

/* scorer_score of the caller's pixels, and its map in their size (height, width), divided by the model's scale: from
 * one pass.  DN_E_STATE if the model has no density at every position. */
dn_status scorer_inspect(dn_scorer *scorer, const scorer_input *image, float *map, dn_score *score, dn_error *error);

/* Many images: files, or the caller's pixels. */
typedef struct scorer_list {
    const dn_pixels *views;
    const char *const *paths; /* NULL: `views` */
    int32_t count;
} scorer_list;
/* What became of an image: its score, or an error.  Called in the list's order. */
typedef void (*scorer_result)(void *context, int32_t image, const dn_score *score, const dn_error *error);
/* Scores them scorer->batch at a time, with the bits of scorer_score.  Allocates where there are more images at a time
 * than ever before, too.  If it fails itself, no result was told from image *done on. */
dn_status scorer_score_list(dn_scorer *scorer, const scorer_list *list, scorer_result result, void *context,
                            int32_t *done, dn_error *error);

#endif
