#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/safetensors.h"

/* In format 1 of a checkpoint the moments lie as the weights do. */
#define CHECKPOINT_FORMAT 2
#define BANK_FORMAT 1

/* ---- whose checkpoint it is ---- */

/* What features and training depend on, one number each.  The first BANK_FIELDS determine the bank's rows; a bank
 * can be used by trainings that differ in the others.  Threads and paths have no influence, nor have epochs without a
 * schedule. */
enum { BANK_FIELDS = 10, FIELDS = 25 };
static const char *const field_names[FIELDS] = {
    "backbone", "input_size", "scales", "images", "seed", "holdout", "bank", "brightness", "contrast", "saturation",
    "standardize", "hidden", "blocks", "clamp", "batch_images", "batch_views", "learning_rate", "beta1", "beta2",
    "epsilon", "weight_decay", "epoch_steps", "schedule", "epochs", "feature_noise",
};

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Number and pixels of the images, in order. */
static uint64_t images_of(const dn_trainer *t)
{
    uint32_t crc = 0;

    for (int32_t i = 0; i < t->count; i++)
        crc = libdeflate_crc32(crc, &t->images[i].crc, sizeof t->images[i].crc);
    return (uint64_t)t->count << 32 | crc;
}

static void fill_fields(const dn_trainer *t, uint64_t fields[FIELDS])
{
    const dn_train_options *o = &t->options;
    uint64_t own[FIELDS] = {
        t->extractor->id, (uint64_t)t->extractor->input_size, (uint64_t)t->extractor->scales, images_of(t), o->seed,
        bits_of(o->holdout), (uint64_t)o->bank, bits_of(o->brightness), bits_of(o->contrast), bits_of(o->saturation),
        (uint64_t)o->standardize, (uint64_t)o->hidden, (uint64_t)o->blocks, bits_of(o->clamp),
        (uint64_t)o->batch_images, (uint64_t)o->batch_views, bits_of(o->learning_rate),
        bits_of(o->beta1), bits_of(o->beta2), bits_of(o->epsilon), bits_of(o->weight_decay),
        (uint64_t)o->epoch_steps, (uint64_t)o->schedule,
        o->schedule == DN_SCHEDULE_CONSTANT ? 0 : (uint64_t)o->epochs, bits_of(o->feature_noise),
    };

    memcpy(fields, own, sizeof own);
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

static dn_status check_fields(const dn_trainer *t, const st_file *file, int32_t count, dn_error *error)
{
    uint64_t own[FIELDS], theirs[FIELDS];

    fill_fields(t, own);
    TRY(read_bits(file, "belongs_to", ST_I64, sizeof *theirs, count, theirs, error));
    for (int32_t i = 0; i < count; i++)
        if (own[i] != theirs[i])
            return fail(error, DN_E_STATE, "%s does not belong to these images and options (it was made with other "
                        "%s): remove it or train without resume", st_label(file), field_names[i]);
    return DN_OK;
}

/* ---- files ---- */

static void add_frame(const dn_trainer *t, st_writer *writer, const char *kind, int32_t version, uint64_t fields[FIELDS],
                      int64_t count)
{
    char format[16];

    snprintf(format, sizeof format, "%" PRId32, version);
    st_writer_metadata(writer, "differnet.kind", kind);
    st_writer_metadata(writer, "differnet.format", format);
    fill_fields(t, fields);
    st_writer_tensor(writer, "belongs_to", ST_I64, ST_I64, 1, &count, fields);
}

static dn_status check_frame(st_file *file, const char *kind, int32_t version, dn_error *error)
{
    const char *found = st_metadata(file, "differnet.kind");
    uint32_t crc;

    if (!found || strcmp(found, kind) != 0)
        return fail(error, DN_E_KIND, "%s: not a %s file: remove it or choose another name", st_label(file),
                    kind);
    TRY(st_check_version(file, version, error));
    return st_check_sum(file, 1, "remove it to train anew", &crc, error);
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

static dn_status open_file(const dn_trainer *t, const char *path, const char *kind, int32_t version,
                           struct opened *opened, dn_error *error)
{
    struct stat information;

    *opened = (struct opened){{NULL, 0}, NULL};
    if (stat(path, &information) != 0 && errno == ENOENT)
        return DN_OK;
    TRY(file_map(path, &opened->mapping, error));
    dn_status status = st_parse(opened->mapping.bytes, opened->mapping.size, path, &t->allocator, &opened->file, error);
    if (status == DN_OK)
        status = check_frame(opened->file, kind, version, error);
    if (status != DN_OK) {
        close_file(opened);
        opened->file = NULL;
    }
    return status;
}

/* ---- the training state ---- */

enum { COUNTERS = 7 }; /* epoch, position, step, generator's state */
#define MAX_STEP ((int64_t)1 << 53) /* more than any training makes */

static void add_state(const dn_trainer *t, st_writer *writer, int64_t counters[COUNTERS], double losses[2])
{
    const train_state *state = &t->state;
    int64_t dimension = t->extractor->feature_dim, images = t->train_count;
    int64_t count = COUNTERS, two = 2;
    int64_t parameters = (int64_t)flow_parameters(t->flow->dimension, t->flow->blocks, t->flow->hidden);

    counters[0] = state->epoch;
    counters[1] = state->position;
    counters[2] = t->optimiser->step;
    memcpy(counters + 3, state->generator.state, sizeof state->generator.state);
    losses[0] = state->epoch > 0 ? state->loss : 0; /* NaN before the first epoch */
    losses[1] = state->loss_sum;
    st_writer_tensor(writer, "counters", ST_I64, ST_I64, 1, &count, counters);
    st_writer_tensor(writer, "losses", ST_F64, ST_F64, 1, &two, losses);
    st_writer_tensor(writer, "order", ST_U32, ST_U32, 1, &images, state->order);
    st_writer_tensor(writer, "mean", ST_F32, ST_F32, 1, &dimension, t->mean);
    st_writer_tensor(writer, "deviation", ST_F32, ST_F32, 1, &dimension, t->deviation);
    st_writer_tensor(writer, "weights", ST_F32, ST_F32, 1, &parameters, t->flow->weights);
    st_writer_tensor(writer, "m", ST_F32, ST_F32, 1, &parameters, t->optimiser->m);
    st_writer_tensor(writer, "v", ST_F32, ST_F32, 1, &parameters, t->optimiser->v);
    if (state->position > 0) /* otherwise equal to weights */
        st_writer_tensor(writer, "good", ST_F32, ST_F32, 1, &parameters, state->good);
}

dn_status checkpoint_save(dn_trainer *t, dn_error *error)
{
    int64_t counters[COUNTERS];
    uint64_t fields[FIELDS];
    double losses[2];
    st_writer *writer = st_writer_create(&t->allocator);

    if (!writer)
        return fail_memory(error, "a checkpoint");
    add_frame(t, writer, "checkpoint", CHECKPOINT_FORMAT, fields, FIELDS);
    add_state(t, writer, counters, losses);
    dn_status status = st_writer_save(writer, t->options.checkpoint, error);
    st_writer_free(writer);
    return status;
}

static dn_status read_floats(const st_file *file, const char *name, int64_t count, float *out, dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, 1, &count, &tensor, error));
    return st_read_f32(file, tensor, out, error);
}

static dn_status read_order(dn_trainer *t, const st_file *file, dn_error *error)
{
    uint32_t *order = t->state.order, count = (uint32_t)t->train_count;

    TRY(read_bits(file, "order", ST_U32, sizeof *order, count, order, error));
    for (uint32_t i = 0; i < count; i++)
        if (order[i] >= count)
            return fail(error, DN_E_FORMAT, "%s: its order of images is invalid: remove it to train anew",
                        st_label(file));
    return DN_OK;
}

static dn_status read_counters(dn_trainer *t, const st_file *file, dn_error *error)
{
    int64_t counters[COUNTERS], two = 2;
    double losses[2];
    const st_tensor *tensor;

    TRY(read_bits(file, "counters", ST_I64, sizeof *counters, COUNTERS, counters, error));
    TRY(st_require(file, "losses", 1, &two, &tensor, error));
    TRY(st_read_f64(file, tensor, losses, error));
    /* A generator of zeros only would give zeros for ever, and so hang who waits for another number. */
    if (counters[0] < 0 || counters[0] > INT32_MAX || counters[1] < 0 || counters[1] >= train_epoch_images(t) ||
        counters[2] < 0 || counters[2] > MAX_STEP || !(counters[3] | counters[4] | counters[5] | counters[6]))
        return fail(error, DN_E_FORMAT, "%s: its counters are invalid: remove it to train anew", st_label(file));
    if (counters[0] + (counters[1] > 0) > t->options.epochs)
        return fail(error, DN_E_STATE, "%s is at epoch %" PRId64 ", beyond epochs = %d: ask for more epochs, or "
                    "remove it", st_label(file), counters[0] + (counters[1] > 0), t->options.epochs);
    t->state.epoch = (int32_t)counters[0];
    t->state.position = counters[1];
    t->optimiser->step = counters[2];
    memcpy(t->state.generator.state, counters + 3, sizeof t->state.generator.state);
    t->state.loss = counters[0] > 0 ? losses[0] : NAN;
    t->state.loss_sum = losses[1];
    return DN_OK;
}

static dn_status read_standardisation(dn_trainer *t, const st_file *file, dn_error *error)
{
    size_t dimension = (size_t)t->extractor->feature_dim;
    float *mean = mem_alloc(&t->allocator, 2 * dimension, sizeof *mean);

    if (!mean)
        return fail_memory(error, "the standardisation");
    dn_status status = read_floats(file, "mean", (int64_t)dimension, mean, error);
    if (status == DN_OK)
        status = read_floats(file, "deviation", (int64_t)dimension, mean + dimension, error);
    for (size_t j = 0; status == DN_OK && j < dimension; j++)
        if (!(mean[dimension + j] > 0))
            status = fail(error, DN_E_FORMAT, "%s: a deviation is not positive: remove it to train anew",
                          st_label(file));
    if (status != DN_OK) {
        mem_free(&t->allocator, mean);
        return status;
    }
    mem_free(&t->allocator, t->mean);
    t->mean = mean;
    t->deviation = mean + dimension;
    return DN_OK;
}

/* Before the weights of the last good epoch, whose place serves as scratch. */
static dn_status read_moments(dn_trainer *t, const st_file *file, const char *name, int64_t count, float *moments,
                              dn_error *error)
{
    if (st_check_version(file, 1, NULL) != DN_OK)
        return read_floats(file, name, count, moments, error);
    TRY(read_floats(file, name, count, t->state.good, error));
    flow_moments_by_place(t->flow, t->state.good, moments);
    return DN_OK;
}

static dn_status read_state(dn_trainer *t, const st_file *file, dn_error *error)
{
    size_t parameters = flow_parameters(t->flow->dimension, t->flow->blocks, t->flow->hidden);
    int64_t count = (int64_t)parameters;

    TRY(check_fields(t, file, FIELDS, error));
    TRY(read_counters(t, file, error));
    TRY(read_order(t, file, error));
    TRY(read_floats(file, "weights", count, t->flow->owned, error));
    TRY(read_moments(t, file, "m", count, t->optimiser->m, error));
    TRY(read_moments(t, file, "v", count, t->optimiser->v, error));
    if (t->state.position > 0)
        TRY(read_floats(file, "good", count, t->state.good, error));
    else
        memcpy(t->state.good, t->flow->owned, parameters * sizeof(float));
    return read_standardisation(t, file, error);
}

dn_status checkpoint_load(dn_trainer *t, _Bool *found, dn_error *error)
{
    struct opened opened;

    *found = 0;
    TRY(open_file(t, t->options.checkpoint, "checkpoint", CHECKPOINT_FORMAT, &opened, error));
    if (!opened.file)
        return DN_OK;
    dn_status status = read_state(t, opened.file, error);
    close_file(&opened);
    *found = status == DN_OK;
    return status;
}

/* ---- the feature bank ---- */

/* (train_count, views, dim) */
static void bank_shape(const dn_trainer *t, int64_t shape[3])
{
    shape[0] = t->train_count;
    shape[1] = t->options.bank;
    shape[2] = t->extractor->feature_dim;
}

dn_status checkpoint_save_bank(dn_trainer *t, dn_error *error)
{
    uint64_t fields[FIELDS];
    int64_t shape[3];
    st_writer *writer = st_writer_create(&t->allocator);

    if (!writer)
        return fail_memory(error, "the feature bank's file");
    add_frame(t, writer, "bank", BANK_FORMAT, fields, BANK_FIELDS);
    bank_shape(t, shape);
    st_writer_tensor(writer, "features", ST_F32, ST_F32, 3, shape, t->bank);
    dn_status status = st_writer_save(writer, t->bank_path, error);
    st_writer_free(writer);
    return status;
}

static dn_status read_bank(dn_trainer *t, const st_file *file, dn_error *error)
{
    int64_t shape[3];
    const st_tensor *features;

    TRY(check_fields(t, file, BANK_FIELDS, error));
    bank_shape(t, shape);
    TRY(st_require(file, "features", 3, shape, &features, error));
    float *bank = mem_alloc(&t->allocator, (size_t)features->elements, sizeof *bank);
    if (!bank)
        return fail_memory(error, "the feature bank");
    dn_status status = st_read_f32(file, features, bank, error);
    if (status != DN_OK) {
        mem_free(&t->allocator, bank);
        return status;
    }
    t->bank = bank;
    t->banked = t->train_count;
    t->bank_saved = 1;
    return DN_OK;
}

dn_status checkpoint_load_bank(dn_trainer *t, dn_error *error)
{
    struct opened opened;

    TRY(open_file(t, t->bank_path, "bank", BANK_FORMAT, &opened, error));
    if (!opened.file)
        return DN_OK;
    dn_status status = read_bank(t, opened.file, error);
    close_file(&opened);
    return status;
}
