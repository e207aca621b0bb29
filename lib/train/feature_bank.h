/* The feature bank: features of random views of the training images, computed once (paper section 3.2, whose
 * transformations are drawn anew for each step; a bank of enough views is the same up to chance, and far cheaper); what
 * they are standardised with; and the rows of a training step, from the bank or from fresh views. */
#ifndef DN_TRAIN_FEATURE_BANK_H
#define DN_TRAIN_FEATURE_BANK_H

#include "base/rng.h"
#include "cnn/view_features.h"
#include "train/train_images.h"
#include "train/watch.h"

/* Images whose canvases are in memory at once, at most. */
#define BANK_CANVASES 16

typedef struct feature_bank {
    dn_allocator allocator;
    const dn_extractor *extractor; /* borrowed, like the next three */
    const dn_train_options *options;
    const train_images *images; /* split */
    pool *workers;
    int32_t views; /* of each image: options.bank, or batch_views where they only serve the standardisation */
    view_features stage;
    struct bank_canvas *loaded; /* (BANK_CANVASES) */
    const uint16_t **canvases;  /* (BANK_CANVASES): theirs */
    double *angles;             /* of the views that are being computed */
    view_jitter *jitters;       /* likewise */

    /* The training images that are learned from now, indices into images->split: (member_count), or NULL for all. */
    const uint32_t *members;
    int32_t member_count;

    float *rows;      /* (train_count, views, dim), not standardised; NULL if not needed or not yet begun */
    int32_t filled;   /* training images whose rows are complete */
    float *mean;      /* (dim); NULL until known */
    float *deviation; /* (dim), behind the mean */
} feature_bank;

/* A bank without rows.  images: split. */
dn_status feature_bank_create(const dn_extractor *extractor, const dn_train_options *options,
                              const train_images *images, pool *workers, const dn_allocator *allocator,
                              feature_bank **out, dn_error *error);
void feature_bank_free(feature_bank *bank); /* NULL is allowed */

/* Computes the rows of all training images; goes on where a cancelled call stopped. */
dn_status feature_bank_fill(feature_bank *bank, const train_watch *watch, dn_error *error);
void feature_bank_drop_rows(feature_bank *bank);
/* Learns from these training images from now on: what they are standardised with is not known yet.  members: must live
 * as long. */
void feature_bank_choose(feature_bank *bank, const uint32_t *members, int32_t count);
/* Finds mean and deviation of the members' rows (0 and 1 if they are not to be standardised). */
dn_status feature_bank_standardise(feature_bank *bank, dn_error *error);

/* Take over what was read from a file, allocated with the bank's allocator, in place of what there is: rows of all
 * training images; mean and deviation, (2, dim). */
void feature_bank_take_rows(feature_bank *bank, float *rows);
void feature_bank_take_standardisation(feature_bank *bank, float *mean);

/* Rows (count, batch_views, dim) of one training step, standardised and with noise: batch_views views of each of
 * `count` members, at most batch_images, drawn from the bank or rendered now. */
dn_status feature_bank_draw(feature_bank *bank, const uint32_t *images, int32_t count, rng *generator, float *rows,
                            dn_error *error);

#endif
