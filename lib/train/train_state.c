#include "train/train_state.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "train/schedule.h"

/* ---- counting ---- */

size_t train_state_parameters(const train_state *state)
{
    return flow_parameters(state->flow->dimension, state->flow->blocks, state->flow->hidden);
}

/* Steps of one pass over so many images; the last one may be smaller. */
static int64_t pass_steps(const dn_train_options *options, int32_t images)
{
    return ((int64_t)images + options->batch_images - 1) / options->batch_images;
}

/* Passes of one epoch. */
static int64_t epoch_passes(const dn_train_options *options, int32_t images)
{
    int64_t steps = pass_steps(options, images);

    return (options->epoch_steps + steps - 1) / steps;
}

static int64_t epoch_steps(const dn_train_options *options, int32_t images)
{
    return epoch_passes(options, images) * pass_steps(options, images);
}

int64_t train_state_epoch_images(const train_state *state)
{
    return epoch_passes(state->options, state->images) * state->images;
}

int32_t train_epochs_of_part(const dn_train_options *options, int32_t images, int32_t part)
{
    int64_t all = options->epochs * epoch_steps(options, images), each = epoch_steps(options, part);
    int64_t epochs = (all + each / 2) / each;

    return epochs < INT32_MAX ? (int32_t)epochs : INT32_MAX;
}

_Bool train_state_epochs_left(const train_state *state)
{
    return state->epoch < state->epochs;
}

/* ---- life ---- */

static dn_flow_options flow_options(const dn_train_options *o, int32_t dimension, const dn_allocator *allocator)
{
    return (dn_flow_options){.struct_size = sizeof(dn_flow_options),
                             .dimension = dimension,
                             .blocks = o->blocks,
                             .hidden = o->hidden,
                             .clamp = o->clamp,
                             .seed = o->seed,
                             .allocator = allocator};
}

dn_status train_new_flow(const dn_train_options *options, int32_t dimension, const dn_allocator *allocator,
                         dn_flow **out, dn_error *error)
{
    dn_flow_options flow = flow_options(options, dimension, allocator);

    return flow_create(&flow, out, error);
}

static dn_status begin(train_state *state, int32_t dimension, dn_error *error)
{
    const dn_train_options *o = state->options;
    adam_options adam = {o->learning_rate, o->beta1, o->beta2, o->epsilon, o->weight_decay};
    int32_t rows = (o->batch_images < state->images ? o->batch_images : state->images) * o->batch_views;

    TRY(train_new_flow(o, dimension, &state->allocator, &state->flow, error));
    TRY(flow_optimiser_create(state->flow, &adam, rows, &state->optimiser, error));
    size_t parameters = train_state_parameters(state);
    state->rows = mem_alloc(&state->allocator, (size_t)rows * (size_t)dimension, sizeof *state->rows);
    state->order = mem_zalloc(&state->allocator, (size_t)state->images, sizeof *state->order);
    state->good = mem_alloc(&state->allocator, parameters, sizeof *state->good);
    if (!state->rows || !state->order || !state->good)
        return fail_memory(error, "training");
    memcpy(state->good, state->flow->weights, parameters * sizeof *state->good);
    rng_seed(&state->generator, o->seed, RNG_TRAIN_ORDER);
    state->loss = NAN;
    return DN_OK;
}

dn_status train_state_create(const dn_train_options *options, int32_t dimension, int32_t images, int32_t epochs,
                             const dn_allocator *allocator, train_state **out, dn_error *error)
{
    *out = NULL;
    train_state *state = mem_zalloc(allocator, 1, sizeof *state);
    if (!state)
        return fail_memory(error, "training");
    state->allocator = *allocator;
    state->options = options;
    state->images = images;
    state->epochs = epochs;
    dn_status status = begin(state, dimension, error);
    if (status != DN_OK) {
        train_state_free(state);
        return status;
    }
    *out = state;
    return DN_OK;
}

void train_state_free(train_state *state)
{
    if (!state)
        return;
    dn_allocator allocator = state->allocator;
    flow_optimiser_free(state->optimiser);
    flow_unref(state->flow);
    mem_free(&allocator, state->rows);
    mem_free(&allocator, state->order);
    mem_free(&allocator, state->good);
    mem_free(&allocator, state);
}

/* ---- training ---- */

/* Gives up: the weights are those of the last good epoch again, and nothing goes on from here. */
static dn_status diverge(train_state *state, dn_error *error)
{
    memcpy(state->flow->owned, state->good, train_state_parameters(state) * sizeof *state->good);
    state->position = 0;
    state->diverged = 1;
    return fail(error, DN_E_NUMERIC,
                "training diverged in epoch %d (loss or weights are not finite): use a learning_rate below %g; %s",
                state->epoch + 1, state->options->learning_rate,
                state->epoch > 0 ? "dn_trainer_model gives the epoch before" : "no epoch went well");
}

dn_status train_state_check(train_state *state, dn_error *error)
{
    return floats_finite(state->flow->weights, train_state_parameters(state)) ? DN_OK : diverge(state, error);
}

dn_status train_state_step(train_state *state, feature_bank *bank, pool *workers, dn_error *error)
{
    const dn_train_options *o = state->options;
    rng generator = state->generator;
    int32_t seen = (int32_t)(state->position % state->images), left = state->images - seen; /* in this pass */
    int32_t count = left < o->batch_images ? left : o->batch_images;

    if (seen == 0)
        rng_permutation(&generator, state->order, (uint32_t)state->images);
    TRY(feature_bank_draw(bank, state->order + seen, count, &generator, state->rows, error));
    state->optimiser->options.learning_rate = schedule_rate(o->schedule, o->learning_rate, state->optimiser->step,
                                                            state->epochs * epoch_steps(o, state->images));
    double loss = flow_train_step(state->optimiser, state->rows, count * o->batch_views, NULL, workers);
    if (!isfinite(loss))
        return diverge(state, error);
    state->loss_sum = (state->position == 0 ? 0 : state->loss_sum) + loss * count;
    state->generator = generator;
    state->position += count;
    return DN_OK;
}

dn_status train_state_end_epoch(train_state *state, dn_error *error)
{
    TRY(train_state_check(state, error));
    memcpy(state->good, state->flow->weights, train_state_parameters(state) * sizeof *state->good);
    state->loss = state->loss_sum / (double)train_state_epoch_images(state);
    state->position = 0;
    state->epoch++;
    return DN_OK;
}

dn_status train_state_good_flow(const train_state *state, dn_flow **out, dn_error *error)
{
    const dn_flow *flow = state->flow;

    if (state->diverged || (!train_state_epochs_left(state) && state->position == 0)) {
        *out = flow_ref(state->flow);
        return DN_OK;
    }
    dn_flow_options options = flow_options(state->options, flow->dimension, &state->allocator);
    TRY(flow_allocate(&options, 1, out, error));
    memcpy((*out)->permutation, flow->permutation,
           (size_t)flow->blocks * (size_t)flow->dimension * sizeof *flow->permutation);
    memcpy((*out)->owned, state->good, train_state_parameters(state) * sizeof *state->good);
    return DN_OK;
}
