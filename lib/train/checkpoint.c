#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/safetensors.h"
#include "train/train_options.h"

/* In format 1 of a checkpoint the moments lie as the weights do; up to format 3 there was no cross-fitting. */
#define CHECKPOINT_FORMAT 4
#define BANK_FORMAT 2

static const st_frame checkpoint_frame = {CHECKPOINT_FORMAT, 3, "remove it to train anew"};
static const st_frame bank_frame = {BANK_FORMAT, 2, "remove it to train anew"};

/* ---- whose checkpoint it is ---- */

/* What features and training depend on, one number each; all but options are listed first.  A bank's file has those
 * that determine its rows, a checkpoint all: a bank can be used by trainings that differ in the others. */
enum { OWN_FIELDS = 4, MAX_FIELDS = OWN_FIELDS + TRAIN_MAX_OPTIONS };

typedef struct field_list {
    int64_t count;
    const char *names[MAX_FIELDS];
    uint64_t values[MAX_FIELDS];
} field_list;

static void add_field(field_list *fields, const char *name, uint64_t value)
{
    fields->names[fields->count] = name;
    fields->values[fields->count++] = value;
}

static _Bool is_crossed(const dn_train_options *options)
{
    return options->calibration == DN_CALIBRATION_CROSS;
}

/* Epochs have no influence without a schedule: a training can be asked for more, unless flows of other folds have had
 * theirs. */
static uint64_t option_bits(const dn_train_options *options, const option_range *option)
{
    const char *field = (const char *)options + option->offset;
    uint64_t bits;
    int32_t whole;

    if (option->offset == offsetof(dn_train_options, epochs) && options->schedule == DN_SCHEDULE_CONSTANT &&
        !is_crossed(options))
        return 0;
    if (option->type == OPTION_INT32) {
        memcpy(&whole, field, sizeof whole);
        return (uint64_t)whole;
    }
    memcpy(&bits, field, sizeof bits);
    return bits;
}

/* role: the least that an option decides to be listed. */
static void list_fields(const feature_bank *bank, enum train_role role, field_list *fields)
{
    size_t count;
    const option_range *options = train_option_table(&count);

    fields->count = 0;
    add_field(fields, "backbone", bank->extractor->id);
    add_field(fields, "input_size", extractor_input_number(bank->extractor));
    add_field(fields, "scales", (uint64_t)bank->extractor->scales);
    add_field(fields, "images", train_images_id(bank->images));
    for (size_t i = 0; i < count; i++)
        if (options[i].role >= (int32_t)role)
            add_field(fields, options[i].name, option_bits(bank->options, &options[i]));
}

/* What folds and their scores depend on besides; 0 without cross-fitting. */
static void list_cross_fields(const dn_train_options *options, field_list *fields)
{
    uint64_t crossed = is_crossed(options);

    fields->count = 0;
    add_field(fields, "calibration", crossed);
    add_field(fields, "folds", crossed * (uint64_t)options->folds);
    add_field(fields, "views", crossed * (uint64_t)options->views);
    add_field(fields, "angles", crossed * (uint64_t)options->angles);
    add_field(fields, "heatmap_images", crossed * (uint64_t)options->heatmap_images);
}

/* Bits of a tensor of 64-bit or 32-bit elements, at any alignment. */
static dn_status read_bits(const st_file *file, const char *name, enum st_type type, size_t element, int64_t count,
                           void *out, dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, 1, &count, &tensor, error));
    if (tensor->type != type)
        return fail(error, DN_E_FORMAT, "%s: tensor %s has the wrong type", st_label(file), name);
    memcpy(out, tensor->data, (size_t)count * element);
    return DN_OK;
}

static dn_status compare_fields(const field_list *own, const char *name, const st_file *file, dn_error *error)
{
    uint64_t theirs[MAX_FIELDS];

    TRY(read_bits(file, name, ST_I64, sizeof *theirs, own->count, theirs, error));
    for (int64_t i = 0; i < own->count; i++)
        if (own->values[i] != theirs[i])
            return fail(error, DN_E_STATE,
                        "%s does not belong to these images and options (it was made with other "
                        "%s): remove it or train without resume",
                        st_label(file), own->names[i]);
    return DN_OK;
}

static dn_status check_fields(const feature_bank *bank, enum train_role role, const st_file *file, dn_error *error)
{
    field_list own;

    list_fields(bank, role, &own);
    return compare_fields(&own, "belongs_to", file, error);
}

static dn_status check_checkpoint(const feature_bank *bank, const st_file *file, dn_error *error)
{
    field_list own;

    TRY(check_fields(bank, TRAIN_DECIDES_FLOW, file, error));
    if (st_version_is(file, 1) || st_version_is(file, 2) || st_version_is(file, 3))
        return DN_OK;
    list_cross_fields(bank->options, &own);
    return compare_fields(&own, "belongs_to.cross", file, error);
}

/* ---- files ---- */

/* fields: must live until the file is written. */
static void add_frame(st_writer *writer, enum st_kind kind, int32_t version, const field_list *fields)
{
    st_writer_kind(writer, kind, version);
    st_writer_tensor(writer, "belongs_to", ST_I64, ST_I64, 1, &fields->count, fields->values);
}

static dn_status check_frame(st_file *file, enum st_kind kind, const st_frame *frame, dn_error *error)
{
    uint32_t crc;

    TRY(st_check_header(file, frame, error));
    TRY(st_check_kind(file, kind, error));
    TRY(st_check_version(file, frame, error));
    return st_check_sum(file, frame, 1, &crc, error);
}

/* A file being read. */
struct opened {
    file_mapping mapping;
    st_file *file; /* NULL: there is no such file */
};

static void close_file(struct opened *opened)
{
    st_free(opened->file);
    file_unmap(&opened->mapping);
}

static dn_status open_file(const char *path, enum st_kind kind, const st_frame *frame, const dn_allocator *allocator,
                           struct opened *opened, dn_error *error)
{
    struct stat information;

    *opened = (struct opened){{NULL, 0}, NULL};
    if (stat(path, &information) != 0 && errno == ENOENT)
        return DN_OK;
    TRY(file_map(path, &opened->mapping, error));
    dn_status status = st_parse(opened->mapping.bytes, opened->mapping.size, path, allocator, &opened->file, error);
    if (status == DN_OK)
        status = check_frame(opened->file, kind, frame, error);
    if (status != DN_OK) {
        close_file(opened);
        opened->file = NULL;
    }
    return status;
}

/* ---- the training state ---- */

enum { COUNTERS = 7 };              /* epoch, position, step, generator's state */
#define MAX_STEP ((int64_t)1 << 53) /* more than any training makes */

static void add_state(const train_state *state, const feature_bank *bank, st_writer *writer, int64_t counters[COUNTERS],
                      double losses[2])
{
    int64_t dimension = bank->extractor->feature_dim, images = state->images;
    int64_t parameters = (int64_t)train_state_parameters(state);
    int64_t count = COUNTERS, two = 2;

    counters[0] = state->epoch;
    counters[1] = state->position;
    counters[2] = state->optimiser->step;
    memcpy(counters + 3, state->generator.state, sizeof state->generator.state);
    losses[0] = state->epoch > 0 ? state->loss : 0; /* NaN before the first epoch */
    losses[1] = state->loss_sum;
    st_writer_tensor(writer, "counters", ST_I64, ST_I64, 1, &count, counters);
    st_writer_tensor(writer, "losses", ST_F64, ST_F64, 1, &two, losses);
    st_writer_tensor(writer, "order", ST_U32, ST_U32, 1, &images, state->order);
    st_writer_tensor(writer, "mean", ST_F32, ST_F32, 1, &dimension, bank->mean);
    st_writer_tensor(writer, "deviation", ST_F32, ST_F32, 1, &dimension, bank->deviation);
    st_writer_tensor(writer, "weights", ST_F32, ST_F32, 1, &parameters, state->flow->weights);
    st_writer_tensor(writer, "m", ST_F32, ST_F32, 1, &parameters, state->optimiser->m);
    st_writer_tensor(writer, "v", ST_F32, ST_F32, 1, &parameters, state->optimiser->v);
    if (state->position > 0) /* otherwise equal to weights */
        st_writer_tensor(writer, "good", ST_F32, ST_F32, 1, &parameters, state->good);
}

/* What is learned already: the model's own flow, and the folds' scores. */
static void add_cross(const cross_fit *cross, int64_t dimension, st_writer *writer, int64_t counters[2])
{
    const dn_flow *flow = cross->flow;
    int64_t parameters = (int64_t)flow_parameters(flow->dimension, flow->blocks, flow->hidden);
    int64_t two = 2, one = 1, count = cross->count, scores[2] = {cross->count, cross->views};

    counters[0] = cross->epoch;
    counters[1] = cross->done;
    st_writer_tensor(writer, "own.counters", ST_I64, ST_I64, 1, &two, counters);
    if (cross->epoch > 0) /* NaN without any */
        st_writer_tensor(writer, "own.loss", ST_F64, ST_F64, 1, &one, &cross->loss);
    st_writer_tensor(writer, "own.mean", ST_F32, ST_F32, 1, &dimension, cross->mean);
    st_writer_tensor(writer, "own.deviation", ST_F32, ST_F32, 1, &dimension, cross->mean + dimension);
    st_writer_tensor(writer, "own.weights", ST_F32, ST_F32, 1, &parameters, flow->weights);
    st_writer_tensor(writer, "folds.scores", ST_F64, ST_F64, 2, scores, cross->scores);
    st_writer_tensor(writer, "folds.peaks", ST_F64, ST_F64, 1, &count, cross->peaks);
}

dn_status checkpoint_save(const char *path, const train_state *state, const feature_bank *bank, const cross_fit *cross,
                          dn_error *error)
{
    int64_t counters[COUNTERS], cross_counters[2];
    double losses[2];
    field_list fields, cross_fields;
    st_writer *writer = st_writer_create(&bank->allocator);

    if (!writer)
        return fail_memory(error, "a checkpoint");
    list_fields(bank, TRAIN_DECIDES_FLOW, &fields);
    list_cross_fields(bank->options, &cross_fields);
    add_frame(writer, ST_CHECKPOINT, CHECKPOINT_FORMAT, &fields);
    st_writer_tensor(writer, "belongs_to.cross", ST_I64, ST_I64, 1, &cross_fields.count, cross_fields.values);
    if (cross->flow)
        add_cross(cross, bank->extractor->feature_dim, writer, cross_counters);
    if (state)
        add_state(state, bank, writer, counters, losses);
    dn_status status = st_writer_save(writer, path, error);
    st_writer_free(writer);
    return status;
}

static dn_status read_floats(const st_file *file, const char *name, int64_t count, float *out, dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, 1, &count, &tensor, error));
    return st_read_f32(file, tensor, out, error);
}

static dn_status read_order(train_state *state, const st_file *file, dn_error *error)
{
    uint32_t count = (uint32_t)state->images;

    TRY(read_bits(file, "order", ST_U32, sizeof *state->order, count, state->order, error));
    for (uint32_t i = 0; i < count; i++)
        if (state->order[i] >= count)
            return fail(error, DN_E_FORMAT, "%s: its order of images is invalid: remove it to train anew",
                        st_label(file));
    return DN_OK;
}

static dn_status read_counters(train_state *state, const st_file *file, dn_error *error)
{
    int64_t counters[COUNTERS], two = 2;
    double losses[2];
    const st_tensor *tensor;
    int64_t images = train_state_epoch_images(state);

    TRY(read_bits(file, "counters", ST_I64, sizeof *counters, COUNTERS, counters, error));
    TRY(st_require(file, "losses", 1, &two, &tensor, error));
    TRY(st_read_f64(file, tensor, losses, error));
    /* A generator of zeros only would give zeros for ever, and so hang who waits for another number. */
    if (counters[0] < 0 || counters[0] > INT32_MAX || counters[1] < 0 || counters[1] >= images || counters[2] < 0 ||
        counters[2] > MAX_STEP || !(counters[3] | counters[4] | counters[5] | counters[6]))
        return fail(error, DN_E_FORMAT, "%s: its counters are invalid: remove it to train anew", st_label(file));
    if (counters[0] + (counters[1] > 0) > state->epochs)
        return fail(error, DN_E_STATE,
                    "%s is at epoch %" PRId64 ", beyond epochs = %d: ask for more epochs, or "
                    "remove it",
                    st_label(file), counters[0] + (counters[1] > 0), state->epochs);
    state->epoch = (int32_t)counters[0];
    state->position = counters[1];
    state->optimiser->step = counters[2];
    memcpy(state->generator.state, counters + 3, sizeof state->generator.state);
    state->loss = counters[0] > 0 ? losses[0] : NAN;
    state->loss_sum = losses[1];
    return DN_OK;
}

/* *out: (2, dim), allocated. */
static dn_status read_standardisation(const feature_bank *bank, const st_file *file, const char *mean_name,
                                      const char *deviation_name, float **out, dn_error *error)
{
    size_t dimension = (size_t)bank->extractor->feature_dim;
    float *mean = mem_alloc(&bank->allocator, 2 * dimension, sizeof *mean);

    if (!mean)
        return fail_memory(error, "the standardisation");
    dn_status status = read_floats(file, mean_name, (int64_t)dimension, mean, error);
    if (status == DN_OK)
        status = read_floats(file, deviation_name, (int64_t)dimension, mean + dimension, error);
    for (size_t j = 0; status == DN_OK && j < dimension; j++)
        if (!(mean[dimension + j] > 0))
            status = fail(error, DN_E_FORMAT, "%s: a deviation is not positive: remove it to train anew",
                          st_label(file));
    if (status != DN_OK) {
        mem_free(&bank->allocator, mean);
        return status;
    }
    *out = mean;
    return DN_OK;
}

/* Before the weights of the last good epoch, whose place serves as scratch. */
static dn_status read_moments(train_state *state, const st_file *file, const char *name, float *moments,
                              dn_error *error)
{
    int64_t count = (int64_t)train_state_parameters(state);

    if (!st_version_is(file, 1))
        return read_floats(file, name, count, moments, error);
    TRY(read_floats(file, name, count, state->good, error));
    flow_moments_by_place(state->flow, state->good, moments);
    return DN_OK;
}

static dn_status read_state(train_state *state, const st_file *file, dn_error *error)
{
    size_t parameters = train_state_parameters(state);
    int64_t count = (int64_t)parameters;

    TRY(read_counters(state, file, error));
    TRY(read_order(state, file, error));
    TRY(read_floats(file, "weights", count, state->flow->owned, error));
    TRY(read_moments(state, file, "m", state->optimiser->m, error));
    TRY(read_moments(state, file, "v", state->optimiser->v, error));
    if (state->position > 0)
        return read_floats(file, "good", count, state->good, error);
    memcpy(state->good, state->flow->owned, parameters * sizeof *state->good);
    return DN_OK;
}

dn_status checkpoint_load(const char *path, train_state *state, feature_bank *bank, _Bool *found, dn_error *error)
{
    struct opened opened;

    *found = 0;
    TRY(open_file(path, ST_CHECKPOINT, &checkpoint_frame, &state->allocator, &opened, error));
    if (!opened.file)
        return DN_OK;
    dn_status status = check_checkpoint(bank, opened.file, error);
    _Bool in_progress = st_find(opened.file, "weights") || !st_find(opened.file, "own.weights");
    float *mean = NULL;
    if (status == DN_OK && in_progress)
        status = read_state(state, opened.file, error);
    if (status == DN_OK && in_progress)
        status = read_standardisation(bank, opened.file, "mean", "deviation", &mean, error);
    close_file(&opened);
    if (mean)
        feature_bank_take_standardisation(bank, mean);
    *found = mean != NULL;
    return status;
}

/* ---- what is learned already ---- */

/* Numbers that are all >= 0. */
static dn_status read_numbers(const st_file *file, const char *name, int32_t rank, const int64_t *shape, double *out,
                              dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, rank, shape, &tensor, error));
    TRY(st_read_f64(file, tensor, out, error));
    for (int64_t i = 0; i < tensor->elements; i++)
        if (out[i] < 0)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: entry %" PRId64 " is negative: remove it to train anew",
                        st_label(file), name, i);
    return DN_OK;
}

static dn_status read_cross_counters(const st_file *file, const dn_train_options *options, cross_fit *cross,
                                     dn_error *error)
{
    const st_tensor *tensor;
    int64_t counters[2], one = 1;

    TRY(read_bits(file, "own.counters", ST_I64, sizeof *counters, 2, counters, error));
    if (counters[0] != options->epochs || counters[1] < 0 || counters[1] > cross->folds)
        return fail(error, DN_E_FORMAT, "%s: its counters are invalid: remove it to train anew", st_label(file));
    cross->epoch = (int32_t)counters[0];
    cross->done = (int32_t)counters[1];
    cross->loss = NAN;
    if (cross->epoch == 0)
        return DN_OK;
    TRY(st_require(file, "own.loss", 1, &one, &tensor, error));
    return st_read_f64(file, tensor, &cross->loss, error);
}

static dn_status read_cross(const feature_bank *bank, const st_file *file, cross_fit *cross, dn_error *error)
{
    int64_t count = cross->count, shape[2] = {cross->count, cross->views};
    dn_flow *flow = NULL;
    float *mean = NULL;

    cross->done = 0; /* until all is there */
    TRY(read_numbers(file, "folds.scores", 2, shape, cross->scores, error));
    TRY(read_numbers(file, "folds.peaks", 1, &count, cross->peaks, error));
    TRY(train_new_flow(bank->options, bank->extractor->feature_dim, &bank->allocator, &flow, error));
    int64_t parameters = (int64_t)flow_parameters(flow->dimension, flow->blocks, flow->hidden);
    dn_status status = read_floats(file, "own.weights", parameters, flow->owned, error);
    if (status == DN_OK)
        status = read_standardisation(bank, file, "own.mean", "own.deviation", &mean, error);
    if (status == DN_OK)
        status = read_cross_counters(file, bank->options, cross, error);
    if (status != DN_OK) {
        cross->done = 0;
        mem_free(&bank->allocator, mean);
        flow_unref(flow);
        return status;
    }
    flow_unref(cross->flow); /* of an earlier run, if the rest of its checkpoint could not be read */
    mem_free(&bank->allocator, cross->mean);
    cross->flow = flow;
    cross->mean = mean;
    return DN_OK;
}

dn_status checkpoint_load_cross(const char *path, const feature_bank *bank, cross_fit *cross, dn_error *error)
{
    struct opened opened;

    TRY(open_file(path, ST_CHECKPOINT, &checkpoint_frame, &bank->allocator, &opened, error));
    if (!opened.file)
        return DN_OK;
    dn_status status = check_checkpoint(bank, opened.file, error);
    if (status == DN_OK && st_find(opened.file, "own.weights"))
        status = read_cross(bank, opened.file, cross, error);
    close_file(&opened);
    return status;
}

/* ---- the feature bank ---- */

/* (train_count, views, dim) */
static void bank_shape(const feature_bank *bank, int64_t shape[3])
{
    shape[0] = bank->images->train_count;
    shape[1] = bank->views;
    shape[2] = bank->extractor->feature_dim;
}

dn_status checkpoint_save_bank(const char *path, const feature_bank *bank, dn_error *error)
{
    field_list fields;
    int64_t shape[3];
    st_writer *writer = st_writer_create(&bank->allocator);

    if (!writer)
        return fail_memory(error, "the feature bank's file");
    list_fields(bank, TRAIN_DECIDES_BANK, &fields);
    add_frame(writer, ST_BANK, BANK_FORMAT, &fields);
    bank_shape(bank, shape);
    st_writer_tensor(writer, "features", ST_F32, ST_F32, 3, shape, bank->rows);
    dn_status status = st_writer_save(writer, path, error);
    st_writer_free(writer);
    return status;
}

static dn_status read_bank(feature_bank *bank, const st_file *file, dn_error *error)
{
    int64_t shape[3];
    const st_tensor *features;

    TRY(check_fields(bank, TRAIN_DECIDES_BANK, file, error));
    bank_shape(bank, shape);
    TRY(st_require(file, "features", 3, shape, &features, error));
    float *rows = mem_alloc(&bank->allocator, (size_t)features->elements, sizeof *rows);
    if (!rows)
        return fail_memory(error, "the feature bank");
    dn_status status = st_read_f32(file, features, rows, error);
    if (status != DN_OK) {
        mem_free(&bank->allocator, rows);
        return status;
    }
    feature_bank_take_rows(bank, rows);
    return DN_OK;
}

dn_status checkpoint_load_bank(const char *path, feature_bank *bank, _Bool *found, dn_error *error)
{
    struct opened opened;

    *found = 0;
    TRY(open_file(path, ST_BANK, &bank_frame, &bank->allocator, &opened, error));
    if (!opened.file)
        return DN_OK;
    dn_status status = read_bank(bank, opened.file, error);
    close_file(&opened);
    *found = status == DN_OK;
    return status;
}
