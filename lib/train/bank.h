/* The feature bank: features of random views of the training images, computed once (paper section 3.2, whose
 * transformations are drawn anew for each step; a bank of enough views is the same up to chance, and far cheaper). */
#ifndef DN_TRAIN_BANK_H
#define DN_TRAIN_BANK_H

#include "train/trainer.h"
#include "image/view.h"

/* A view of the image in one of the canvas slots. */
typedef struct view_request {
    int32_t slot;
    double angle; /* degrees */
    view_jitter jitter;
} view_request;

/* Allocates what the functions below need; nothing if that was done. */
dn_status bank_prepare(dn_trainer *trainer, dn_error *error);
void bank_release(dn_trainer *trainer);

/* Views per training image that the bank holds: options.bank, or batch_views for the pass that only finds the
 * standardisation. */
int32_t bank_views(const dn_trainer *trainer);
/* Computes the rows of all training images; goes on where a cancelled call stopped. */
dn_status bank_fill(dn_trainer *trainer, const train_watch *watch, dn_error *error);
/* Finds mean and deviation of the bank's features (0 and 1 if they are not to be standardised). */
dn_status bank_standardise(dn_trainer *trainer, dn_error *error);

/* Rows of one training step, standardised and with noise, to trainer->rows: batch_views views of each of `count`
 * training images (indices into trainer->split), drawn from the bank or rendered now. */
dn_status bank_draw(dn_trainer *trainer, const uint32_t *images, int32_t count, rng *generator, dn_error *error);

#endif
