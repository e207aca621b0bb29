/* The trainer: life, and the run from images to a trained flow (paper section 3.2). */
#include "train/train.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "train/bank.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
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
    if (extractor->feature_dim % 2 != 0)
        return fail(error, DN_E_ARGUMENT,
                    "the backbone %s gives %d numbers per view, but the flow couples two halves: an even number is "
                    "needed; use another number of scales", extractor->name, extractor->feature_dim);
    dn_trainer *t = mem_zalloc(&allocator, 1, sizeof *t);
    if (!t)
        return fail_memory(error, "a trainer");
    t->allocator = allocator;
    t->extractor = extractor_ref(extractor);
    t->options = *options;
    t->options.allocator = NULL; /* the caller's; t->allocator is the copy */
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

static void release_training(dn_trainer *t)
{
    flow_optimiser_free(t->optimiser);
    flow_unref(t->flow);
    mem_free(&t->allocator, t->rows);
    mem_free(&t->allocator, t->state.order);
    mem_free(&t->allocator, t->state.good);
    t->optimiser = NULL;
    t->flow = NULL;
    t->rows = NULL;
    t->state = (train_state){0};
}

void trainer_free(dn_trainer *t)
{
    if (!t)
        return;
    dn_allocator allocator = t->allocator;
    release_training(t);
    bank_release(t);
    pool_free(t->workers);
    for (int32_t i = 0; i < t->count; i++) {
        mem_free(&allocator, t->images[i].path);
        mem_free(&allocator, t->images[i].canvas);
    }
    mem_free(&allocator, t->images);
    mem_free(&allocator, t->split);
    mem_free(&allocator, t->mean);
    mem_free(&allocator, (void *)(uintptr_t)t->options.checkpoint); /* our own copy */
    mem_free(&allocator, t->bank_path);
    extractor_unref(t->extractor);
    mem_free(&allocator, t);
}

dn_error *trainer_error(dn_trainer *t)
{
    return &t->error;
}

dn_status train_report(const train_watch *watch, int32_t phase, int64_t done, int64_t total, double loss,
                       dn_error *error)
{
    dn_progress progress = {.struct_size = sizeof progress, .phase = phase, .done = done, .total = total,
                            .loss = loss};

    if (watch->function && watch->function(&progress, watch->user) != 0)
        return fail(error, DN_E_CANCELLED, "training was cancelled; a further run goes on");
    return DN_OK;
}

/* ---- counting ---- */

/* Steps of one pass over the training images; the last one may be smaller. */
static int64_t pass_steps(const dn_trainer *t)
{
    return ((int64_t)t->train_count + t->options.batch_images - 1) / t->options.batch_images;
}

/* Passes of one epoch. */
static int64_t epoch_passes(const dn_trainer *t)
{
    return (t->options.epoch_steps + pass_steps(t) - 1) / pass_steps(t);
}

int64_t train_epoch_images(const dn_trainer *t)
{
    return epoch_passes(t) * t->train_count;
}

/* Steps of the whole training. */
static int64_t total_steps(const dn_trainer *t)
{
    return t->options.epochs * epoch_passes(t) * pass_steps(t);
}

static _Bool epochs_left(const dn_trainer *t)
{
    return t->state.epoch < t->options.epochs;
}

/* ---- beginning ---- */

static size_t parameters_of(const dn_trainer *t)
{
    return flow_parameters(t->flow->dimension, t->flow->blocks, t->flow->hidden);
}

static int32_t images_per_step(const dn_trainer *t)
{
    return t->options.batch_images < t->train_count ? t->options.batch_images : t->train_count;
}

static dn_status create_flow(dn_trainer *t, dn_error *error)
{
    const dn_train_options *o = &t->options;
    dn_flow_options flow = {.struct_size = sizeof flow, .dimension = t->extractor->feature_dim, .blocks = o->blocks,
                            .hidden = o->hidden, .clamp = o->clamp, .seed = o->seed, .allocator = &t->allocator};
    adam_options adam = {o->learning_rate, o->beta1, o->beta2, o->epsilon, o->weight_decay};
    int32_t rows = images_per_step(t) * o->batch_views;

    TRY(flow_create(&flow, &t->flow, error));
    TRY(flow_optimiser_create(t->flow, &adam, rows, &t->optimiser, error));
    t->rows = mem_alloc(&t->allocator, (size_t)rows * (size_t)t->extractor->feature_dim, sizeof *t->rows);
    t->state.order = mem_zalloc(&t->allocator, (size_t)t->train_count, sizeof *t->state.order);
    t->state.good = mem_alloc(&t->allocator, parameters_of(t), sizeof *t->state.good);
    if (!t->rows || !t->state.order || !t->state.good)
        return fail_memory(error, "training");
    memcpy(t->state.good, t->flow->weights, parameters_of(t) * sizeof *t->state.good);
    rng_seed(&t->state.generator, o->seed, RNG_TRAIN_ORDER);
    t->state.loss = NAN;
    return DN_OK;
}

/* The flow at its start, or where the checkpoint says. */
static dn_status begin_training(dn_trainer *t, dn_error *error)
{
    _Bool found = 0;

    if (t->flow)
        return DN_OK;
    dn_status status = create_flow(t, error);
    if (status == DN_OK && t->options.resume)
        status = checkpoint_load(t, &found, error);
    if (status != DN_OK)
        release_training(t); /* a failure may have left half a state */
    return status;
}

/* The feature bank and the standardisation, as far as they are needed. */
static dn_status prepare_features(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    _Bool stored = t->options.checkpoint && t->options.bank > 0;
    _Bool moments = t->options.standardize && !t->mean;

    if ((t->options.bank > 0 && epochs_left(t)) || moments) {
        if (stored && t->options.resume && !t->bank)
            TRY(checkpoint_load_bank(t, error));
        if (!t->bank || t->banked < t->train_count)
            TRY(bank_fill(t, watch, error));
    }
    if (!t->mean)
        TRY(bank_standardise(t, error));
    if (stored && t->bank && !t->bank_saved) {
        TRY(checkpoint_save_bank(t, error));
        t->bank_saved = 1;
    }
    if (t->options.bank == 0) {
        mem_free(&t->allocator, t->bank);
        t->bank = NULL;
    }
    return pool_check(t->workers, error);
}

/* ---- training ---- */

/* Gives up: the weights are those of the last good epoch again, and nothing goes on from here. */
static dn_status diverge(dn_trainer *t, dn_error *error)
{
    memcpy(t->flow->owned, t->state.good, parameters_of(t) * sizeof(float));
    t->state.position = 0;
    t->diverged = 1;
    return fail(error, DN_E_NUMERIC,
                "training diverged in epoch %d (loss or weights are not finite): use a learning_rate below %g; %s",
                t->state.epoch + 1, t->options.learning_rate,
                t->state.epoch > 0 ? "dn_trainer_model gives the epoch before" : "no epoch went well");
}

/* One step: the next images of the epoch.  After a failure the state is as before. */
static dn_status train_step(dn_trainer *t, dn_error *error)
{
    train_state *state = &t->state;
    rng generator = state->generator;
    int32_t seen = (int32_t)(state->position % t->train_count), left = t->train_count - seen; /* in this pass */
    int32_t count = left < t->options.batch_images ? left : t->options.batch_images;

    if (seen == 0)
        rng_permutation(&generator, state->order, (uint32_t)t->train_count);
    TRY(bank_draw(t, state->order + seen, count, &generator, error));
    t->optimiser->options.learning_rate =
        schedule_rate(t->options.schedule, t->options.learning_rate, t->optimiser->step, total_steps(t));
    double loss = flow_train_step(t->optimiser, t->rows, count * t->options.batch_views, NULL, t->workers);
    if (!isfinite(loss))
        return diverge(t, error);
    state->loss_sum = (state->position == 0 ? 0 : state->loss_sum) + loss * count;
    state->generator = generator;
    state->position += count;
    return DN_OK;
}

static dn_status end_epoch(dn_trainer *t, dn_error *error)
{
    train_state *state = &t->state;

    if (!floats_finite(t->flow->weights, parameters_of(t)))
        return diverge(t, error);
    memcpy(state->good, t->flow->weights, parameters_of(t) * sizeof *state->good);
    state->loss = state->loss_sum / (double)train_epoch_images(t);
    state->position = 0;
    state->epoch++;
    return DN_OK;
}

/* Tells the watcher; a cancelled training is saved first, unless the epoch in progress has gone wrong already. */
static dn_status report_epoch(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    TRY(pool_check(t->workers, error)); /* here, where a further run can go on */
    dn_status status = train_report(watch, DN_PHASE_TRAIN, t->state.epoch, t->options.epochs, t->state.loss, error);

    if (status == DN_OK || !t->options.checkpoint)
        return status;
    if (!floats_finite(t->flow->weights, parameters_of(t)))
        return diverge(t, error);
    TRY(checkpoint_save(t, error));
    return status;
}

/* The rest of an epoch.  The watcher is asked after each step, so that a long epoch can be cancelled. */
static dn_status train_epoch(dn_trainer *t, const train_watch *watch, dn_error *error)
{
    for (;;) {
        TRY(train_step(t, error));
        if (t->state.position == train_epoch_images(t))
            break;
        TRY(report_epoch(t, watch, error));
    }
    TRY(end_epoch(t, error));
    _Bool due = t->state.epoch % t->options.checkpoint_epochs == 0 || !epochs_left(t);
    if (t->options.checkpoint && due)
        TRY(checkpoint_save(t, error));
    return report_epoch(t, watch, error);
}

dn_status trainer_run(dn_trainer *t, dn_progress_fn progress, void *user, dn_model **out, dn_error *error)
{
    train_watch watch = {progress, user};

    *out = NULL;
    if (t->count == 0)
        return fail(error, DN_E_STATE, "no images: add at least one good image");
    if (t->diverged)
        return fail(error, DN_E_NUMERIC, "training diverged before: make a new trainer with a smaller learning_rate");
    if (!t->split)
        TRY(train_images_split(t, error));
    TRY(bank_prepare(t, error));
    TRY(begin_training(t, error));
    TRY(prepare_features(t, &watch, error));
    if (epochs_left(t))
        TRY(report_epoch(t, &watch, error));
    while (epochs_left(t))
        TRY(train_epoch(t, &watch, error));
    return train_make_model(t, &watch, out, error);
}

dn_status trainer_model(dn_trainer *t, dn_model **out, dn_error *error)
{
    train_watch nobody = {NULL, NULL};

    *out = NULL;
    if (!t->mean || !t->flow || (t->state.epoch == 0 && t->options.epochs > 0))
        return fail(error, DN_E_STATE, "no epoch of training has gone well yet: there is no model");
    return train_make_model(t, &nobody, out, error);
}
