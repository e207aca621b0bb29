#include "train/train_options.h"

#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "base/status.h"
#include "differnet/tiles.h"
#include "image/codec.h"
#include "positions/positions.h"
#include "train/cross.h"
#include "train/train_positions.h"

dn_train_options train_default_options(void)
{
    return (dn_train_options){
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
        .views = 16,
        .angles = DN_ANGLES_STRATIFIED,
        .heatmap_images = 16,
        .threads = 1,
        .checkpoint = NULL,
        .checkpoint_epochs = 16,
        .resume = 0,
        .allocator = NULL,
        .runner = NULL,
        .preset = DN_PRESET_COMPACT,
        .flow = 1,
        .positions = 1,
        .position_dims = 100,
        .light = 1,
        .copies = DN_COPIES_AUTO,
        .max_pixels = IMAGE_MAX_PIXELS,
        .max_bytes = IMAGE_MAX_BYTES,
        .max_memory = 0,
        .calibration = DN_CALIBRATION_AUTO,
        .folds = 0,
        .tile_columns = 1,
        .tile_rows = 1,
        .fit = DN_FIT_STRETCH,
        .duplicates = 1,
    };
}

const char *const train_preset_names[DN_PRESET_FAST + 1] = {
    [DN_PRESET_COMPACT] = "compact", [DN_PRESET_PAPER] = "paper", [DN_PRESET_FAST] = "fast"};

dn_status train_options_preset(dn_train_options *options, int32_t preset)
{
    dn_train_options defaults = train_default_options();
    _Bool paper = preset == DN_PRESET_PAPER, fast = preset == DN_PRESET_FAST;

    if (!paper && !fast && preset != DN_PRESET_COMPACT)
        return DN_E_ARGUMENT;
    options->epochs = paper ? 192 : fast ? 0 : defaults.epochs;
    options->hidden = paper ? 2048 : defaults.hidden;
    options->epoch_steps = paper ? 1 : defaults.epoch_steps;
    options->schedule = paper ? DN_SCHEDULE_CONSTANT : defaults.schedule;
    options->learning_rate = paper ? 2e-4 : defaults.learning_rate;
    options->feature_noise = paper ? 0 : defaults.feature_noise;
    options->views = paper ? 64 : defaults.views;
    options->preset = preset;
    options->flow = !fast;
    options->positions = !paper;
    return DN_OK;
}

/* ---- like a model ---- */

/* Folds that were asked for.  What few images forced is none to keep, nor is what no number means: the flow's would be
 * the positions', too. */
static int32_t guess_folds(const dn_model *model)
{
    int32_t folds = model->facts.folds, usual = model->flow ? CROSS_FOLDS : POSITIONS_FOLDS;

    return folds == usual || 2 * folds > model->facts.train_images ? 0 : folds;
}

/* What was kept out is known but for rounding: the usual share is likelier than one near it.  With more than half, other
 * images have calibrated since. */
static void guess_holdout(dn_train_options *options, const dn_model *model)
{
    int64_t held = model->holdout_count, all = (int64_t)model->facts.train_images + held;

    if (!model->flow || model->facts.calibration == DN_CALIBRATION_CROSS)
        return;
    if ((double)held > MODEL_MAX_SHARE * (double)all) {
        options->calibration = DN_CALIBRATION_AUTO;
        return;
    }
    options->calibration = DN_CALIBRATION_SPLIT; /* of none, too */
    if (held == 0)
        options->holdout = 0;
    else if (held != (int64_t)floor(options->holdout * (double)all + 0.5))
        options->holdout = (double)held / (double)all;
}

/* From what came of them, in files that do not tell them. */
static void guess_asked(dn_train_options *options, const dn_model *model)
{
    const model_facts *facts = &model->facts;

    options->calibration = facts->calibration;
    guess_holdout(options, model);
    options->folds = guess_folds(model);
    options->copies = facts->copies;
    if (model->positions)
        options->details = model->positions->details ? DN_DETAILS_ON : DN_DETAILS_OFF;
}

asked_options train_options_asked(const dn_train_options *options)
{
    return (asked_options){.known = 1,
                           .calibration = options->calibration,
                           .folds = options->folds,
                           .holdout = options->holdout,
                           .copies = options->copies,
                           .details = options->details,
                           .duplicates = options->duplicates};
}

static void set_asked(dn_train_options *options, const asked_options *asked)
{
    options->calibration = asked->calibration;
    options->folds = asked->folds;
    options->holdout = asked->holdout;
    options->copies = asked->copies;
    options->details = asked->details;
    options->duplicates = asked->duplicates;
}

static void set_flow(dn_train_options *options, const dn_model *model)
{
    const model_facts *facts = &model->facts;

    options->epochs = facts->epochs;
    options->hidden = model->flow->hidden;
    options->blocks = model->flow->blocks;
    options->clamp = model->flow->clamp;
    options->bank = facts->bank;
    options->standardize = facts->standardized;
    options->views = facts->views;
}

void train_options_of_model(dn_train_options *options, const dn_model *model)
{
    const model_facts *facts = &model->facts;

    for (int32_t preset = 0; preset <= DN_PRESET_FAST; preset++)
        if (strcmp(train_preset_names[preset], facts->preset) == 0)
            (void)train_options_preset(options, preset); /* it is known */
    options->flow = model->flow != NULL;
    options->positions = model->positions != NULL;
    options->seed = facts->seed;
    options->angles = facts->angles;
    if (model->flow)
        set_flow(options, model);
    if (model->positions)
        options->position_dims = model->positions->dims;
    if (facts->asked.known)
        set_asked(options, &facts->asked);
    else
        guess_asked(options, model);
    options->tile_columns = model->plan.columns;
    options->tile_rows = model->plan.rows;
    options->fit = model->plan.whole.fit;
    options->range_low = facts->range.low;
    options->range_high = facts->range.high;
}

/* ---- ranges ---- */

static const option_range ranges[] = {
/* clang-format off */
#define ENTRY(field, type, low, high, ends, role) \
    {#field, offsetof(dn_train_options, field), type, low, high, ends, TRAIN_DECIDES_##role, NULL}
/* clang-format on */
#define INTEGER(field, low, high, role) ENTRY(field, OPTION_INT32, low, high, OPTION_CLOSED, role)
#define REAL(field, low, high, ends, role) ENTRY(field, OPTION_DOUBLE, low, high, OPTION_##ends, role)
    ENTRY(seed, OPTION_UINT64, 0, 0, OPTION_CLOSED, BANK),
    REAL(holdout, 0, MODEL_MAX_SHARE, CLOSED, BANK),
    INTEGER(bank, 0, 4096, BANK),
    REAL(brightness, 0, 1, CLOSED, BANK),
    REAL(contrast, 0, 1, CLOSED, BANK),
    REAL(saturation, 0, 1, CLOSED, BANK),
    INTEGER(standardize, 0, 1, FLOW),
    INTEGER(hidden, 1, 16384, FLOW),
    INTEGER(blocks, 1, 64, FLOW),
    REAL(clamp, 0, 100, ABOVE, FLOW),
    INTEGER(batch_images, 1, TRAIN_MAX_BATCH, FLOW),
    INTEGER(batch_views, 1, 64, FLOW),
    REAL(learning_rate, 0, 1, ABOVE, FLOW),
    REAL(beta1, 0, 1, BELOW, FLOW),
    REAL(beta2, 0, 1, BELOW, FLOW),
    REAL(epsilon, 0, 1, ABOVE, FLOW),
    REAL(weight_decay, 0, 1, CLOSED, FLOW),
    INTEGER(epoch_steps, 1, 100000, FLOW),
    INTEGER(schedule, DN_SCHEDULE_CONSTANT, DN_SCHEDULE_COSINE, FLOW),
    INTEGER(epochs, 0, 1000000, FLOW),
    REAL(feature_noise, 0, 100, CLOSED, FLOW),
    INTEGER(views, 1, 1024, NOTHING),
    INTEGER(angles, DN_ANGLES_STRATIFIED, DN_ANGLES_GRID, NOTHING),
    INTEGER(heatmap_images, 0, 1024, NOTHING),
    INTEGER(threads, 1, POOL_MAX_THREADS, NOTHING),
    INTEGER(checkpoint_epochs, 1, 1000000, NOTHING),
    INTEGER(resume, 0, 1, NOTHING),
    INTEGER(preset, DN_PRESET_COMPACT, DN_PRESET_FAST, NOTHING),
    INTEGER(flow, 0, 1, NOTHING),
    INTEGER(positions, 0, 1, NOTHING),
    INTEGER(position_dims, 1, POSITIONS_MAX_DIMS, NOTHING),
    INTEGER(light, 0, 1, NOTHING),
    INTEGER(calibration, DN_CALIBRATION_AUTO, DN_CALIBRATION_CROSS, NOTHING),
    INTEGER(folds, 0, MODEL_MAX_FOLDS, NOTHING),
    INTEGER(copies, DN_COPIES_AUTO, DN_COPIES_TURN, NOTHING),
    INTEGER(tile_columns, 0, TILES_MAX, NOTHING),
    INTEGER(tile_rows, 0, TILES_MAX, NOTHING),
    INTEGER(fit, DN_FIT_STRETCH, DN_FIT_LETTERBOX, NOTHING),
    INTEGER(range_low, 0, 65535, NOTHING), /* they have a part in the images' checksum */
    INTEGER(range_high, 0, 65535, NOTHING),
    INTEGER(duplicates, 0, 1, NOTHING),
    INTEGER(details, DN_DETAILS_AUTO, DN_DETAILS_ON, NOTHING),
#undef REAL
#undef INTEGER
#undef ENTRY
};
_Static_assert(OPTION_COUNT(ranges) <= TRAIN_MAX_OPTIONS, "a checkpoint has room for all");

dn_status train_options_check(const dn_train_options *options, dn_error *error)
{
    TRY(options_check(options, "dn_train_options", ranges, OPTION_COUNT(ranges), error));
    if (!options->flow && !options->positions)
        return fail(error, DN_E_ARGUMENT,
                    "dn_train_options: flow and positions are both 0: one density must be learned");
    if (options->folds == 1)
        return fail(
            error, DN_E_ARGUMENT,
            "dn_train_options: folds is 1, but what one fold leaves out needs others to learn from: at least 2, or "
            "0 for as many as suit");
    if ((options->tile_columns == 0) != (options->tile_rows == 0))
        return fail(error, DN_E_ARGUMENT,
                    "dn_train_options: %d x %d tiles: both are 0 (chosen by the first image's size), or neither",
                    options->tile_columns, options->tile_rows);
    if (options->range_low >= options->range_high && (options->range_low != 0 || options->range_high != 0))
        return fail(error, DN_E_ARGUMENT, "dn_train_options: range_low is %d, not below range_high, %d",
                    options->range_low, options->range_high);
    return DN_OK;
}

const option_range *train_option_table(size_t *count)
{
    *count = OPTION_COUNT(ranges);
    return ranges;
}
