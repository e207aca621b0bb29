/* The training state in one file, the feature bank in another (safetensors, docs/format.md).  The bank tells whose they
 * are: its extractor, options and images. */
#ifndef DN_TRAIN_CHECKPOINT_H
#define DN_TRAIN_CHECKPOINT_H

#include "train/cross.h"
#include "train/feature_bank.h"
#include "train/train_state.h"

/* state: of the training in progress; NULL between two. */
dn_status checkpoint_save(const char *path, const train_state *state, const feature_bank *bank, const cross_fit *cross,
                          dn_error *error);
/* What the file tells of flows that are learned: the model's own, and scores of folds.  Nothing changed if there is no
 * such file, or none is learned.  DN_E_STATE if it belongs to other images or options. */
dn_status checkpoint_load_cross(const char *path, const feature_bank *bank, cross_fit *cross, dn_error *error);
/* Replaces the state and the bank's standardisation by the file's; *found = 0 and nothing changed if there is no such
 * file, or no training was in progress.  DN_E_STATE if it belongs to other images or options.  After a failure the state
 * is unusable, the bank as it was. */
dn_status checkpoint_load(const char *path, train_state *state, feature_bank *bank, _Bool *found, dn_error *error);

/* The bank's rows, of all training images. */
dn_status checkpoint_save_bank(const char *path, const feature_bank *bank, dn_error *error);
/* *found = 0 and nothing changed if there is no such file. */
dn_status checkpoint_load_bank(const char *path, feature_bank *bank, _Bool *found, dn_error *error);

#endif
