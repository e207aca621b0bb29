/* Checkpoints: the training state in one file, the feature bank in another (safetensors, docs/format.md). */
#ifndef DN_TRAIN_CHECKPOINT_H
#define DN_TRAIN_CHECKPOINT_H

#include "train/trainer.h"

/* All functions need a checkpoint path, and buffers (flow, optimiser, state) that exist. */
dn_status checkpoint_save(dn_trainer *trainer, dn_error *error);
/* Replaces state, weights, moments and standardisation by the file's; *found = 0 and nothing changed if there is no
 * such file.  DN_E_STATE if it belongs to other images or options.  After a failure the state is unusable. */
dn_status checkpoint_load(dn_trainer *trainer, _Bool *found, dn_error *error);

dn_status checkpoint_save_bank(dn_trainer *trainer, dn_error *error);
/* Fills trainer->bank from the file if there is one. */
dn_status checkpoint_load_bank(dn_trainer *trainer, dn_error *error);

#endif
