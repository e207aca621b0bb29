/* Defaults and ranges of dn_train_options, and what each option decides. */
#ifndef DN_TRAIN_TRAIN_OPTIONS_H
#define DN_TRAIN_TRAIN_OPTIONS_H

#include "base/option.h"
#include "differnet/model.h"

/* option_range.role: what depends on the option.  A checkpoint belongs to trainings with the same values of those that
 * decide anything, a bank to those with the same TRAIN_DECIDES_BANK. */
enum train_role {
    TRAIN_DECIDES_NOTHING, /* of a checkpoint */
    TRAIN_DECIDES_FLOW,    /* how the flow comes about */
    TRAIN_DECIDES_BANK,    /* the features, and so the flow */
};

#define TRAIN_MAX_OPTIONS 60 /* entries of the table */
#define TRAIN_MAX_BATCH 1024 /* batch_images */

dn_train_options train_default_options(void);
/* What DN_PRESET_... are called in models. */
extern const char *const train_preset_names[DN_PRESET_FAST + 1];
/* Sets the fields that a preset fixes.  DN_E_ARGUMENT for an unknown one. */
dn_status train_options_preset(dn_train_options *options, int32_t preset);
/* Sets what a model tells of its training, and what its preset fixes; the rest stays. */
void train_options_of_model(dn_train_options *options, const dn_model *model);
/* What a model keeps of the options as they are given. */
asked_options train_options_asked(const dn_train_options *options);
/* Ranges of its numbers. */
dn_status train_options_check(const dn_train_options *options, dn_error *error);
/* All options but paths, allocator, runner and the limits of image files.  Their order is that of a checkpoint's
 * fields: new ones come last. */
const option_range *train_option_table(size_t *count);

#endif
