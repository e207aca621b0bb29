/* Trainer: options checked, then lib/train/train.c. */
#include "api.h"

#include <stddef.h>
#include <string.h>

#include "train/train.h"

static const dn_train_options defaults = {
    .struct_size = sizeof(dn_train_options),
    .epochs = 64,
    .seed = 0,
    .hidden = 512,
    .blocks = 8,
    .clamp = 3,
    .batch_images = 24,
    .batch_views = 4,
    .epoch_steps = 8,
    .bank = 20,
    .standardize = 1,
    .schedule = DN_SCHEDULE_COSINE,
    .learning_rate = 1e-3,
    .beta1 = 0.8,
    .beta2 = 0.8,
    .epsilon = 1e-4,
    .weight_decay = 1e-5,
    .feature_noise = 2,
    .brightness = 0,
    .contrast = 0,
    .saturation = 0,
    .holdout = 0.1,
    .views = 64,
    .angles = DN_ANGLES_STRATIFIED,
    .heatmap_images = 16,
    .threads = 1,
    .checkpoint = NULL,
    .checkpoint_epochs = 16,
    .resume = 0,
    .allocator = NULL,
    .runner = NULL,
};

void dn_train_options_init_size(dn_train_options *options, size_t size)
{
    options_init(options, size, &defaults, sizeof defaults);
}

dn_status dn_train_options_preset(dn_train_options *options, int32_t preset)
{
    _Bool paper = preset == DN_PRESET_PAPER;

    /* feature_noise is the last field that is set. */
    if (!options || options->struct_size < offsetof(dn_train_options, feature_noise) + sizeof options->feature_noise)
        return DN_E_ARGUMENT;
    if (!paper && preset != DN_PRESET_COMPACT)
        return DN_E_ARGUMENT;
    options->epochs = paper ? 192 : defaults.epochs;
    options->hidden = paper ? 2048 : defaults.hidden;
    options->epoch_steps = paper ? 1 : defaults.epoch_steps;
    options->schedule = paper ? DN_SCHEDULE_CONSTANT : defaults.schedule;
    options->learning_rate = paper ? 2e-4 : defaults.learning_rate;
    options->feature_noise = paper ? 0 : defaults.feature_noise;
    return DN_OK;
}

/* ---- ranges ---- */

static const struct integer_range {
    const char *name;
    size_t offset;
    int32_t low, high;
} integer_ranges[] = {
#define INTEGER(field, low, high) {#field, offsetof(dn_train_options, field), low, high}
    INTEGER(epochs, 0, 1000000),
    INTEGER(hidden, 1, 16384),
    INTEGER(blocks, 1, 64),
    INTEGER(batch_images, 1, 1024),
    INTEGER(batch_views, 1, 64),
    INTEGER(epoch_steps, 1, 100000),
    INTEGER(bank, 0, 4096),
    INTEGER(standardize, 0, 1),
    INTEGER(schedule, DN_SCHEDULE_CONSTANT, DN_SCHEDULE_COSINE),
    INTEGER(views, 1, 1024),
    INTEGER(angles, DN_ANGLES_STRATIFIED, DN_ANGLES_GRID),
    INTEGER(heatmap_images, 0, 1024),
    INTEGER(threads, 1, 256),
    INTEGER(checkpoint_epochs, 1, 1000000),
    INTEGER(resume, 0, 1),
#undef INTEGER
};

/* CLOSED: low .. high; ABOVE: without low; BELOW: without high. */
enum range_kind { CLOSED, ABOVE, BELOW };

static const struct real_range {
    const char *name;
    size_t offset;
    double low, high;
    enum range_kind kind;
} real_ranges[] = {
#define REAL(field, low, high, kind) {#field, offsetof(dn_train_options, field), low, high, kind}
    REAL(clamp, 0, 100, ABOVE),
    REAL(learning_rate, 0, 1, ABOVE),
    REAL(beta1, 0, 1, BELOW),
    REAL(beta2, 0, 1, BELOW),
    REAL(epsilon, 0, 1, ABOVE),
    REAL(weight_decay, 0, 1, CLOSED),
    REAL(feature_noise, 0, 100, CLOSED),
    REAL(brightness, 0, 1, CLOSED),
    REAL(contrast, 0, 1, CLOSED),
    REAL(saturation, 0, 1, CLOSED),
    REAL(holdout, 0, 0.5, CLOSED),
#undef REAL
};

static dn_status check_integers(const dn_train_options *options, dn_error *error)
{
    for (size_t i = 0; i < sizeof integer_ranges / sizeof *integer_ranges; i++) {
        const struct integer_range *range = &integer_ranges[i];
        int32_t value;
        memcpy(&value, (const char *)options + range->offset, sizeof value);
        if (value < range->low || value > range->high)
            return fail(error, DN_E_ARGUMENT, "dn_train_options: %s is %d, outside %d .. %d", range->name, value,
                        range->low, range->high);
    }
    return DN_OK;
}

static dn_status check_reals(const dn_train_options *options, dn_error *error)
{
    for (size_t i = 0; i < sizeof real_ranges / sizeof *real_ranges; i++) {
        const struct real_range *range = &real_ranges[i];
        double value;
        memcpy(&value, (const char *)options + range->offset, sizeof value);
        /* Written so that NaN is refused. */
        _Bool inside = value >= range->low && value <= range->high &&
                       !(range->kind == ABOVE && value <= range->low) &&
                       !(range->kind == BELOW && value >= range->high);
        if (!inside)
            return fail(error, DN_E_ARGUMENT, "dn_train_options: %s is %g, outside %s%g .. %s%g", range->name, value,
                        range->kind == ABOVE ? "> " : "", range->low, range->kind == BELOW ? "< " : "", range->high);
    }
    return DN_OK;
}

static dn_status check_pointers(const dn_train_options *options, dn_error *error)
{
    if (options->resume && !options->checkpoint)
        return fail(error, DN_E_ARGUMENT, "dn_train_options: resume is 1, but checkpoint is NULL: there is nothing to "
                    "go on from");
    if (options->checkpoint && options->checkpoint[0] == '\0')
        return fail(error, DN_E_ARGUMENT, "dn_train_options: checkpoint is an empty path");
    TRY(allocator_check(options->allocator, "dn_train_options", error));
    return runner_check(options->runner, "dn_train_options", error);
}

/* ---- the handle ---- */

dn_status dn_trainer_create(dn_extractor *extractor, const dn_train_options *options, dn_trainer **out,
                            dn_error *error)
{
    dn_train_options own = defaults;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(extractor, error);
    TRY(options_read(&own, sizeof own, options, "dn_train_options", error));
    TRY(check_integers(&own, error));
    TRY(check_reals(&own, error));
    TRY(check_pointers(&own, error));
    return trainer_create(extractor, &own, out, error);
}

/* Where a call on a trainer leaves its error: in the trainer, cleared first. */
static dn_error *fresh_error(dn_trainer *trainer)
{
    dn_error *error = trainer_error(trainer);

    *error = (dn_error){0};
    return error;
}

dn_status dn_trainer_add_path(dn_trainer *trainer, const char *path)
{
    if (!trainer)
        return DN_E_ARGUMENT;
    dn_error *error = fresh_error(trainer);
    REQUIRE(path, error);
    return trainer_add_path(trainer, path, error);
}

dn_status dn_trainer_add_pixels(dn_trainer *trainer, const dn_pixels *image)
{
    if (!trainer)
        return DN_E_ARGUMENT;
    dn_error *error = fresh_error(trainer);
    REQUIRE(image, error);
    return trainer_add_pixels(trainer, image, error);
}

dn_status dn_trainer_run(dn_trainer *trainer, dn_progress_fn progress, void *user, dn_model **out)
{
    if (out)
        *out = NULL;
    if (!trainer)
        return DN_E_ARGUMENT;
    dn_error *error = fresh_error(trainer);
    REQUIRE(out, error);
    return trainer_run(trainer, progress, user, out, error);
}

dn_status dn_trainer_model(dn_trainer *trainer, dn_model **out)
{
    if (out)
        *out = NULL;
    if (!trainer)
        return DN_E_ARGUMENT;
    dn_error *error = fresh_error(trainer);
    REQUIRE(out, error);
    return trainer_model(trainer, out, error);
}

const dn_error *dn_trainer_error(const dn_trainer *trainer)
{
    return trainer ? trainer_error((dn_trainer *)(uintptr_t)trainer) : NULL;
}

void dn_trainer_free(dn_trainer *trainer)
{
    trainer_free(trainer);
}
