/* What changes while the flow trains: with the bank's standardisation all that a checkpoint holds. */
#ifndef DN_TRAIN_TRAIN_STATE_H
#define DN_TRAIN_TRAIN_STATE_H

#include "base/rng.h"
#include "flow/flow_train.h"
#include "train/feature_bank.h"

typedef struct train_state {
    dn_allocator allocator;
    const dn_train_options *options; /* borrowed */
    int32_t images, epochs;          /* training images, and how often an epoch of them is seen */
    dn_flow *flow;
    flow_optimiser *optimiser; /* its options.learning_rate is that of the last step */
    float *rows;               /* (images of a step * batch_views, dim) */

    int32_t epoch;    /* epochs that went well */
    int64_t position; /* images that the epoch in progress has seen, over all its passes; 0: between epochs */
    rng generator;    /* RNG_TRAIN_ORDER: order of images, choice of views, noise */
    uint32_t *order;  /* (images): the training images in the order of the pass in progress */
    double loss_sum;  /* of the images that the epoch in progress has seen */
    double loss;      /* mean of the last good epoch; NaN before it */
    float *good;      /* (flow_parameters): the weights after `epoch` epochs */
    _Bool diverged;   /* the weights are `good` again, the moments are not: no way on */
} train_state;

/* A flow at its start.  dimension: of its rows. */
dn_status train_state_create(const dn_train_options *options, int32_t dimension, int32_t images, int32_t epochs,
                             const dn_allocator *allocator, train_state **out, dn_error *error);
void train_state_free(train_state *state); /* NULL is allowed */

/* Epochs in which a flow that learns from `part` of the images makes as many steps, rounded to whole epochs, as that of all
 * images in options->epochs. */
int32_t train_epochs_of_part(const dn_train_options *options, int32_t images, int32_t part);

/* Weights of the flow. */
size_t train_state_parameters(const train_state *state);
/* Images that an epoch shows: the training images, once or several times (dn_train_options.epoch_steps). */
int64_t train_state_epoch_images(const train_state *state);
_Bool train_state_epochs_left(const train_state *state);

/* One step: the next images of the epoch.  After a failure the state is as before, or it has diverged. */
dn_status train_state_step(train_state *state, feature_bank *bank, pool *workers, dn_error *error);
/* After the last step of an epoch. */
dn_status train_state_end_epoch(train_state *state, dn_error *error);
/* DN_E_NUMERIC, and the state has diverged, if a weight is not finite. */
dn_status train_state_check(train_state *state, dn_error *error);
/* The flow with the weights `good`: the state's own if it will not change again, else a copy. */
dn_status train_state_good_flow(const train_state *state, dn_flow **out, dn_error *error);
/* A flow as every training begins with, whatever images it learns from. */
dn_status train_new_flow(const dn_train_options *options, int32_t dimension, const dn_allocator *allocator,
                         dn_flow **out, dn_error *error);

#endif
