/* Training: good images -> feature bank -> flow -> held-out scores and heat-map scale -> model. */
#ifndef DN_TRAIN_TRAIN_H
#define DN_TRAIN_TRAIN_H

#include <stdatomic.h>

#include "differnet/model.h"

dn_status trainer_create(dn_extractor *extractor, const dn_train_options *options, dn_trainer **out, dn_error *error);
/* A trainer with a model's extractor, mask and notes. */
dn_status trainer_create_like(const dn_model *model, const dn_train_options *options, dn_trainer **out,
                              dn_error *error);
void trainer_free(dn_trainer *trainer);
dn_status trainer_set_mask(dn_trainer *trainer, const dn_pixels *mask, int32_t kind, dn_error *error);
dn_status trainer_add_path(dn_trainer *trainer, const char *path, dn_error *error);
dn_status trainer_add_pixels(dn_trainer *trainer, const dn_pixels *image, dn_error *error);
dn_status trainer_set_group(dn_trainer *trainer, const char *name, dn_error *error);
int32_t trainer_duplicate_of(const dn_trainer *trainer, int32_t image, int32_t *kind);
dn_trainer_info trainer_info(const dn_trainer *trainer);
dn_status trainer_note(dn_trainer *trainer, const char *key, const char *value, dn_error *error);
const char *trainer_advice(dn_trainer *trainer, int32_t index); /* NULL: there are no more */
dn_status trainer_run(dn_trainer *trainer, dn_progress_fn progress, void *user, dn_model **out, dn_error *error);
dn_status trainer_model(dn_trainer *trainer, dn_model **out, dn_error *error);
dn_error *trainer_error(dn_trainer *trainer);
atomic_int *trainer_in_use(dn_trainer *trainer); /* 1: a call is in progress */

#endif
