/* Trainer: options checked, then lib/train/train.c. */
#include "api.h"

#include <stddef.h>
#include <string.h>

#include "train/train.h"
#include "train/train_options.h"

void dn_train_options_init_size(dn_train_options *options, size_t size)
{
    dn_train_options defaults = train_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

/* Whether the caller's struct has all the fields that train_options_of_model sets. */
static _Bool holds_all(const dn_train_options *options)
{
    return options && options->struct_size >= offsetof(dn_train_options, details) + sizeof options->details;
}

dn_status dn_train_options_preset(dn_train_options *options, int32_t preset)
{
    /* `positions` is the last field that is set. */
    if (!options || options->struct_size < offsetof(dn_train_options, positions) + sizeof options->positions)
        return DN_E_ARGUMENT;
    return train_options_preset(options, preset);
}

dn_status dn_train_options_of_model(dn_train_options *options, const dn_model *model)
{
    if (!model || !holds_all(options))
        return DN_E_ARGUMENT;
    train_options_of_model(options, model);
    return DN_OK;
}

static dn_status check_pointers(const dn_train_options *options, dn_error *error)
{
    if (options->resume && !options->checkpoint)
        return fail(error, DN_E_ARGUMENT,
                    "dn_train_options: resume is 1, but checkpoint is NULL: there is nothing to "
                    "go on from");
    if (options->checkpoint && options->checkpoint[0] == '\0')
        return fail(error, DN_E_ARGUMENT, "dn_train_options: checkpoint is an empty path");
    TRY(allocator_check(options->allocator, "dn_train_options", error));
    return runner_check(options->runner, "dn_train_options", error);
}

/* ---- the handle ---- */

/* The caller's options, or their defaults, checked. */
static dn_status read_options(const dn_train_options *options, dn_train_options *own, dn_error *error)
{
    TRY(options_read(own, sizeof *own, options, "dn_train_options", error));
    TRY(train_options_check(own, error));
    TRY(image_limits_check(own->max_pixels, own->max_bytes, own->max_memory, "dn_train_options", error));
    return check_pointers(own, error);
}

dn_status dn_trainer_create(dn_extractor *extractor, const dn_train_options *options, dn_trainer **out, dn_error *error)
{
    dn_train_options own = train_default_options();

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(extractor, error);
    TRY(read_options(options, &own, error));
    return trainer_create(extractor, &own, out, error);
}

dn_status dn_trainer_create_like(const dn_model *model, const dn_train_options *options, dn_trainer **out,
                                 dn_error *error)
{
    dn_train_options own = train_default_options();

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    train_options_of_model(&own, model);
    TRY(read_options(options, &own, error));
    return trainer_create_like(model, &own, out, error);
}

dn_status dn_trainer_set_mask(dn_trainer *trainer, const dn_pixels *mask, int32_t kind)
{
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    if (mask)
        TRY(mask_arguments_check(mask, kind, error));
    return trainer_set_mask(trainer, mask, kind, error);
}

dn_status dn_trainer_add_path(dn_trainer *trainer, const char *path)
{
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    REQUIRE(path, error);
    return trainer_add_path(trainer, path, error);
}

dn_status dn_trainer_add_pixels(dn_trainer *trainer, const dn_pixels *image)
{
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    REQUIRE(image, error);
    return trainer_add_pixels(trainer, image, error);
}

dn_status dn_trainer_set_group(dn_trainer *trainer, const char *name)
{
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    if (name && !*name)
        return fail(error, DN_E_ARGUMENT, "a group's name is empty: NULL stands for no group");
    return trainer_set_group(trainer, name, error);
}

/* What is told of a trainer that another call is using is nothing. */
static dn_trainer *at_rest(const dn_trainer *trainer)
{
    dn_trainer *own = (dn_trainer *)(uintptr_t)trainer;

    return own && !call_in_progress(trainer_in_use(own)) ? own : NULL;
}

int32_t dn_trainer_duplicate_of(const dn_trainer *trainer, int32_t image, int32_t *kind)
{
    const dn_trainer *own = at_rest(trainer);
    int32_t own_kind = 0, first = own ? trainer_duplicate_of(own, image, &own_kind) : -1;

    if (kind)
        *kind = own_kind;
    return first;
}

void dn_trainer_info_init_size(dn_trainer_info *info, size_t size)
{
    static const dn_trainer_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

dn_status dn_trainer_get_info(const dn_trainer *trainer, dn_trainer_info *info)
{
    REQUIRE(trainer, NULL);
    REQUIRE(info, NULL);
    const dn_trainer *own = at_rest(trainer);
    if (!own)
        return DN_E_STATE;
    dn_trainer_info told = trainer_info(own);
    return output_write(info, &told, sizeof told, "dn_trainer_info", NULL);
}

dn_status dn_trainer_note(dn_trainer *trainer, const char *key, const char *value)
{
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    REQUIRE(key, error);
    REQUIRE(value, error);
    return trainer_note(trainer, key, value, error);
}

dn_status dn_trainer_run(dn_trainer *trainer, dn_progress_fn progress, void *user, dn_model **out)
{
    if (out)
        *out = NULL;
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    REQUIRE(out, error);
    return trainer_run(trainer, progress, user, out, error);
}

dn_status dn_trainer_model(dn_trainer *trainer, dn_model **out)
{
    if (out)
        *out = NULL;
    REQUIRE(trainer, NULL);
    BEGIN_CALL(trainer_in_use(trainer), trainer_error(trainer));
    REQUIRE(out, error);
    return trainer_model(trainer, out, error);
}

const char *dn_trainer_advice(dn_trainer *trainer, int32_t index)
{
    atomic_int *in_use = trainer ? call_begin(trainer_in_use(trainer)) : NULL;

    if (!in_use)
        return NULL;
    const char *advice = trainer_advice(trainer, index);
    call_end(&in_use);
    return advice;
}

const dn_error *dn_trainer_error(const dn_trainer *trainer)
{
    dn_trainer *own = (dn_trainer *)(uintptr_t)trainer;

    return own ? call_error(trainer_in_use(own), trainer_error(own)) : NULL;
}

void dn_trainer_free(dn_trainer *trainer)
{
    trainer_free(trainer);
}
