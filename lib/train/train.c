/* The trainer: life, and the run from images to a trained flow (paper section 3.2). */
#include "train/train.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/product.h"
#include "base/status.h"
#include "train/checkpoint.h"
#include "train/train_options.h"
#include "train/trainer.h"

/* ---- life ---- */

static dn_status copy_paths(dn_trainer *t, dn_error *error)
{
    if (!t->options.checkpoint)
        return DN_OK;
    size_t length = strlen(t->options.checkpoint);
    t->options.checkpoint = mem_strdup(&t->allocator, t->options.checkpoint);
    t->bank_path = mem_alloc(&t->allocator, length + sizeof ".bank", 1);
    if (!t->options.checkpoint || !t->bank_path)
        return fail_memory(error, "a file name");
    memcpy(t->bank_path, t->options.checkpoint, length);
    memcpy(t->bank_path + length, ".bank", sizeof ".bank");
    return DN_OK;
}

dn_status trainer_create(dn_extractor *extractor, const dn_train_options *options, dn_trainer **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    if (options->flow && extractor->feature_dim % 2 != 0)
        return fail(error, DN_E_ARGUMENT,
                    "the backbone %s gives %d numbers per view, but the flow couples two halves: an even number is "
                    "needed; use another number of scales",
                    extractor->name, extractor->feature_dim);
    if (options->positions && options->tile_columns > 0) /* otherwise the first image tells */
        TRY(tile_plan_check(extractor, options->tile_columns, options->tile_rows, error));
    dn_trainer *t = mem_zalloc(&allocator, 1, sizeof *t);
    if (!t)
        return fail_memory(error, "a trainer");
    t->allocator = allocator;
    t->extractor = extractor_ref(extractor);
    train_images_init(&t->images, extractor, options, &allocator);
    t->options = *options;
    t->options.allocator = NULL; /* the caller's; t->allocator is the copy */
    t->asked = train_options_asked(options);
    if (options->runner)
        t->runner = *options->runner;
    t->options.runner = options->runner ? &t->runner : NULL;
    dn_status status = copy_paths(t, error);
    if (status == DN_OK)
        status = pool_create_on(options->runner, &allocator, options->threads, &t->workers, error);
    if (status != DN_OK) {
        trainer_free(t);
        return status;
    }
    *out = t;
    return DN_OK;
}

dn_status trainer_create_like(const dn_model *model, const dn_train_options *options, dn_trainer **out, dn_error *error)
{
    TRY(trainer_create(model->extractor, options, out, error));
    dn_status status = mask_copy(&model->mask, &(*out)->images.mask, error);
    if (status == DN_OK)
        status = model_notes_copy(&(*out)->notes, &model->notes, &(*out)->allocator, error);
    if (status != DN_OK) {
        trainer_free(*out);
        *out = NULL;
    }
    return status;
}

void trainer_free(dn_trainer *t)
{
    if (!t)
        return;
    dn_allocator allocator = t->allocator;
    trained_positions_release(&t->positions);
    train_state_free(t->state);
    cross_release(&t->cross);
    feature_bank_free(t->bank);
    train_images_release(&t->images);
    model_notes_release(&t->notes, &allocator);
    pool_free(t->workers);
    mem_free(&allocator, (void *)(uintptr_t)t->options.checkpoint); /* our own copy */
    mem_free(&allocator, t->bank_path);
    extractor_unref(t->extractor);
    mem_free(&allocator, t);
}

dn_status trainer_note(dn_trainer *t, const char *key, const char *value, dn_error *error)
{
    return model_notes_set(&t->notes, key, value, &t->allocator, error);
}

dn_error *trainer_error(dn_trainer *t)
{
    return &t->error;
}

atomic_int *trainer_in_use(dn_trainer *t)
{
    return &t->in_use;
}

dn_status trainer_set_mask(dn_trainer *t, const dn_pixels *mask, int32_t kind, dn_error *error)
{
    return train_images_set_mask(&t->images, mask, kind, error);
}

dn_status trainer_add_path(dn_trainer *t, const char *path, dn_error *error)
{
    return train_images_add_path(&t->images, path, error);
}

dn_status trainer_add_pixels(dn_trainer *t, const dn_pixels *image, dn_error *error)
{
    return train_images_add_pixels(&t->images, image, error);
}

dn_status trainer_set_group(dn_trainer *t, const char *name, dn_error *error)
{
    return train_images_set_group(&t->images, name, error);
}

int32_t trainer_duplicate_of(const dn_trainer *t, int32_t image, int32_t *kind)
{
    const image_groups *groups = &t->images.groups;

    if (groups->count == 0 || image < 0 || image >= t->images.count || groups->copy_of[image] < 0)
        return -1;
    *kind = groups->kind[image];
    return groups->copy_of[image];
}

dn_trainer_info trainer_info(const dn_trainer *t)
{
    const image_groups *groups = &t->images.groups;
    dn_trainer_info info = {
        .struct_size = sizeof info, .images = t->images.count, .parts = groups->count, .adjacent = groups->adjacent};

    for (int32_t i = 0; groups->count > 0 && i < t->images.count; i++)
        info.duplicates += groups->copy_of[i] >= 0;
    return info;
}

/* ---- beginning ---- */

/* Whether a share of the images is kept out, or the flow is cross-fitted (dn_train_options.calibration).  With a share
 * that is too small for the rate that verdicts keep by default, every image has to tell. */
#define PROMISED_RATE 0.05
static void decide_calibration(dn_trainer *t)
{
    dn_train_options *options = &t->options;
    double least = 1.0 / (train_images_held(&t->images, options->holdout) + 1);

    if (options->calibration == DN_CALIBRATION_AUTO)
        options->calibration = least > PROMISED_RATE ? DN_CALIBRATION_CROSS : DN_CALIBRATION_SPLIT;
    if (options->flow && options->calibration == DN_CALIBRATION_CROSS)
        options->holdout = 0;
}

static dn_status divide(dn_trainer *t, dn_error *error)
{
    int32_t most = t->options.folds > 0 ? t->options.folds : CROSS_FOLDS, count = t->images.groups.count;

    if (t->options.calibration != DN_CALIBRATION_CROSS || count < 2)
        return DN_OK;
    return cross_create(&t->cross, &t->images, most < count ? most : count, t->options.views, t->options.seed,
                        &t->allocator, error);
}

dn_status trainer_prepare(dn_trainer *t, dn_error *error)
{
    TRY(train_images_find_groups(&t->images, t->options.duplicates, error));
    decide_calibration(t);
    TRY(train_images_split(&t->images, t->options.holdout, t->options.seed, error));
    if (t->bank || !t->options.flow)
        return DN_OK;
    if (t->cross.folds == 0)
        TRY(divide(t, error));
    return feature_bank_create(t->extractor, &t->options, &t->images, t->workers, &t->allocator, &t->bank, error);
}

/* The flow of a fold is trained for as many steps as the model's own.  With fewer it would find good images more unusual
 * than that does, and verdicts would be too mild. */
static int32_t fold_epochs(const dn_trainer *t, int32_t fold)
{
    return train_epochs_of_part(&t->options, t->cross.count, cross_count(&t->cross, fold));
}

/* Epochs of the flows of the first so many folds. */
static int64_t folds_epochs(const dn_trainer *t, int32_t folds)
{
    int64_t epochs = 0;

    for (int32_t fold = 0; fold < folds; fold++)
        epochs += fold_epochs(t, fold);
    return epochs;
}

/* The next flow at its start, or where the checkpoint says: the model's own, then those of the folds.  No state: all
 * are learned. */
static dn_status begin_training(dn_trainer *t, dn_error *error)
{
    cross_fit *cross = &t->cross;
    _Bool resume = t->options.resume && !t->begun, found = 0;

    if (t->state)
        return DN_OK;
    if (resume && cross->folds > 0)
        TRY(checkpoint_load_cross(t->options.checkpoint, t->bank, cross, error));
    if (cross->flow && cross->done == cross->folds)
        return DN_OK;
    if (cross->flow)
        feature_bank_choose(t->bank, cross->members, cross_members(cross, cross->done));
    int32_t epochs = cross->flow ? fold_epochs(t, cross->done) : t->options.epochs;
    TRY(train_state_create(&t->options, t->extractor->feature_dim, t->bank->member_count, epochs, &t->allocator,
                           &t->state, error));
    dn_status status = resume ? checkpoint_load(t->options.checkpoint, t->state, t->bank, &found, error) : DN_OK;
    if (status != DN_OK) { /* it may have left half a state */
        train_state_free(t->state);
        t->state = NULL;
        return status;
    }
    t->begun = 1;
    return DN_OK;
}

/* The feature bank and the standardisation, as far as they are needed. */
static dn_status prepare_features(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    feature_bank *bank = t->bank;
    _Bool stored = t->options.checkpoint && t->options.bank > 0;
    _Bool moments = t->options.standardize && !bank->mean;
    _Bool last = t->cross.folds == 0 || (t->cross.flow && t->cross.done + 1 == t->cross.folds);

    TRY(product_ready(pool_threads(t->workers), error));
    if ((t->options.bank > 0 && train_state_epochs_left(t->state)) || moments) {
        if (stored && t->options.resume && !bank->rows)
            TRY(checkpoint_load_bank(t->bank_path, bank, &t->bank_saved, error));
        if (bank->filled < t->images.train_count)
            TRY(feature_bank_fill(bank, watch, error));
    }
    if (!bank->mean)
        TRY(feature_bank_standardise(bank, error));
    if (stored && bank->rows && !t->bank_saved) {
        TRY(checkpoint_save_bank(t->bank_path, bank, error));
        t->bank_saved = 1;
    }
    if (t->options.bank == 0 && last)
        feature_bank_drop_rows(bank);
    return pool_check(t->workers, error);
}

/* ---- training ---- */

static dn_status save(const dn_trainer *t, dn_error *error)
{
    if (!t->options.checkpoint)
        return DN_OK;
    return checkpoint_save(t->options.checkpoint, t->state, t->bank, &t->cross, error);
}

/* Tells the watcher; a cancelled training is saved first, unless the epoch in progress has gone wrong already. */
static dn_status report_epoch(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    const cross_fit *cross = &t->cross;
    int64_t done = t->state->epoch;
    dn_status status;

    TRY(pool_check(t->workers, error)); /* here, where a further run can go on */
    if (cross->flow)
        status = train_report(watch, DN_PHASE_FOLDS, folds_epochs(t, cross->done) + done, folds_epochs(t, cross->folds),
                              t->state->loss, error);
    else
        status = train_report(watch, DN_PHASE_TRAIN, done, t->options.epochs, t->state->loss, error);
    if (status == DN_OK || !t->options.checkpoint)
        return status;
    TRY(train_state_check(t->state, error));
    TRY(save(t, error));
    return status;
}

/* The rest of an epoch.  The watcher is asked after each step, so that a long epoch can be cancelled. */
static dn_status train_epoch(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    train_state *state = t->state;

    for (;;) {
        TRY(train_state_step(state, t->bank, t->workers, error));
        if (state->position == train_state_epoch_images(state))
            break;
        TRY(report_epoch(t, watch, error));
    }
    TRY(train_state_end_epoch(state, error));
    if (state->epoch % t->options.checkpoint_epochs == 0 || !train_state_epochs_left(state))
        TRY(save(t, error));
    return report_epoch(t, watch, error);
}

/* The model's own flow is learned, and the folds' are next. */
static dn_status keep_flow(dn_trainer *t, dn_error *error)
{
    size_t numbers = 2 * (size_t)t->extractor->feature_dim;
    float *mean = mem_alloc(&t->allocator, numbers, sizeof *mean);

    if (!mean)
        return fail_memory(error, "the standardisation");
    dn_status status = train_state_good_flow(t->state, &t->cross.flow, error);
    if (status != DN_OK) {
        mem_free(&t->allocator, mean);
        return status;
    }
    memcpy(mean, t->bank->mean, numbers * sizeof *mean);
    t->cross.mean = mean;
    t->cross.epoch = t->state->epoch;
    t->cross.loss = t->state->loss;
    return DN_OK;
}

/* One flow from its start, or where it was left, to what it is for. */
static dn_status learn_one(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    TRY(prepare_features(t, watch, error));
    if (train_state_epochs_left(t->state))
        TRY(report_epoch(t, watch, error));
    while (train_state_epochs_left(t->state))
        TRY(train_epoch(t, watch, error));
    if (t->cross.folds == 0)
        return DN_OK;
    if (!t->cross.flow) {
        TRY(keep_flow(t, error));
    } else {
        TRY(train_score_fold(t, t->cross.done, watch, error));
        t->cross.done++;
    }
    train_state_free(t->state);
    t->state = NULL;
    return save(t, error);
}

static dn_status learn_flow(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    do {
        TRY(begin_training(t, error));
        if (t->state)
            TRY(learn_one(t, watch, error));
    } while (t->cross.folds > 0 && !(t->cross.flow && t->cross.done == t->cross.folds));
    return DN_OK;
}

/* Takes seconds, so that a cancelled run begins anew. */
static dn_status learn_positions(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    if (!t->options.positions || t->positions.density)
        return DN_OK;
    return train_positions(t->extractor, &t->options, &t->images, t->workers, watch, &t->allocator, &t->positions,
                           error);
}

dn_status trainer_run(dn_trainer *t, dn_progress_fn progress, void *user, dn_model **out, dn_error *error)
{
    train_watch watch = {progress, user};

    *out = NULL;
    if (t->images.count == 0)
        return fail(error, DN_E_STATE, "no images: add at least one good image");
    if (t->state && t->state->diverged)
        return fail(error, DN_E_NUMERIC, "training diverged before: make a new trainer with a smaller learning_rate");
    if (t->options.checkpoint) /* before it takes the disk's room itself */
        file_remove_stale(t->options.checkpoint, &t->allocator);
    TRY(trainer_prepare(t, error));
    TRY(learn_positions(t, &watch, error));
    if (t->options.flow)
        TRY(learn_flow(t, &watch, error));
    return train_make_model(t, &watch, out, error);
}

dn_status trainer_model(dn_trainer *t, dn_model **out, dn_error *error)
{
    train_watch nobody = {NULL, NULL};
    _Bool begun = t->state && t->bank->mean && (t->state->epoch > 0 || t->options.epochs == 0);

    *out = NULL;
    if ((t->options.positions && !t->positions.density) || (t->options.flow && !t->cross.flow && !begun))
        return fail(error, DN_E_STATE, "no epoch of training has gone well yet: there is no model");
    return train_make_model(t, &nobody, out, error);
}
