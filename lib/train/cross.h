/* Cross-fitting of the flow: the images are divided into folds, and for each a flow is trained without its images, which
 * scores them.  So every image is learned from by the model's own flow, and every image tells how good images score that
 * were not learned from. */
#ifndef DN_TRAIN_CROSS_H
#define DN_TRAIN_CROSS_H

#include "flow/flow.h"
#include "train/train_images.h"

#define CROSS_FOLDS 5 /* unless another number is asked for: each costs a training */

typedef struct cross_fit {
    dn_allocator allocator;
    int32_t folds;        /* 0: the flow is not cross-fitted, and nothing below is there */
    int32_t count, views; /* images; the model's views */
    int32_t *fold;        /* (count): which one an image is in */
    uint32_t *members;    /* (count): room for the images that a fold's flow learns from */

    /* The model's own flow comes first; it is kept here once it is learned. */
    dn_flow *flow; /* NULL: not yet */
    float *mean;   /* (2, dim): what it is standardised with, mean and deviation */
    int32_t epoch;
    double loss;

    int32_t done;   /* folds whose images are scored */
    double *scores; /* (count, views): the flow's of each view, of images whose fold is done */
    double *peaks;  /* (count): level of the gradient's map (train_model.c); 0: not measured */
} cross_fit;

/* Divides the images into `folds` folds. */
dn_status cross_create(cross_fit *cross, const train_images *images, int32_t folds, int32_t views, uint64_t seed,
                       const dn_allocator *allocator, dn_error *error);
void cross_release(cross_fit *cross);
/* How many images the flow of a fold learns from. */
int32_t cross_count(const cross_fit *cross, int32_t fold);
/* Which: fills cross->members and returns their number. */
int32_t cross_members(cross_fit *cross, int32_t fold);

#endif
