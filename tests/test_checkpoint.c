/* Checkpoints: going on gives the same bits; foreign, damaged and unwritable files give clear errors. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include "training.h"

#define IMAGES 6 /* 5 to train on in steps of 2, 2 and 1; 1 held out */

static dn_train_options options_at(const char *checkpoint, int32_t resume)
{
    dn_train_options o = tiny_options();

    o.checkpoint = checkpoint;
    o.resume = resume;
    o.heatmap_images = 0; /* the slowest part, and of no interest here */
    return o;
}

static const char *new_checkpoint(void)
{
    return path_join(test_folder(), "state");
}

static const char *bank_of(const char *checkpoint)
{
    static char path[1100];

    snprintf(path, sizeof path, "%s.bank", checkpoint);
    return path;
}

static _Bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Trains until the n-th call of a phase, and frees the trainer: what a killed process leaves. */
static void train_until(const dn_train_options *options, int32_t phase, int call)
{
    dn_trainer *trainer = tiny_trainer(options, IMAGES);
    watcher w = {.cancel_phase = phase, .cancel_call = call};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    dn_trainer_free(trainer);
}

static void expect_bytes(const dn_train_options *options, const dn_blob *expected)
{
    dn_blob *bytes = run_to_bytes(tiny_trainer(options, IMAGES));

    ck_assert(same_bytes(bytes, expected));
    dn_blob_free(bytes);
}

/* ---- going on ---- */

/* Stopped at a call of DN_PHASE_TRAIN and gone on with, it gives the bytes of a run that was not. */
static void interrupt_and_resume(dn_train_options o, int call)
{
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));

    o.checkpoint = new_checkpoint();
    train_until(&o, DN_PHASE_TRAIN, call);
    o.resume = 1;
    expect_bytes(&o, straight);
    dn_blob_free(straight);
}

/* Calls of DN_PHASE_TRAIN: the start, then 3 per epoch; so 10 is the end of epoch 3, 9 and 11 are within epochs. */
START_TEST(resume_gives_the_same_bits)
{
    static const int calls[] = {1, 2, 9, 10, 11, 19};
    dn_train_options o = options_at(NULL, 0);
    o.bank = _i < 6 ? 6 : 0;
    o.brightness = 0.1;
    interrupt_and_resume(o, calls[_i % 6]);
}
END_TEST

/* A schedule, noise and two passes per epoch, of 3 steps each. */
static dn_train_options varied_options(void)
{
    dn_train_options o = options_at(NULL, 0);

    o.epoch_steps = 4;
    o.schedule = DN_SCHEDULE_COSINE;
    o.learning_rate = 1e-3;
    o.feature_noise = 0.1;
    return o;
}

START_TEST(resume_within_a_schedule)
{
    static const int calls[] = {2, 4, 5, 7, 20, 36}; /* 4: between two passes; 7: between two epochs */
    dn_train_options o = varied_options();
    o.bank = _i < 6 ? 6 : 0;
    interrupt_and_resume(o, calls[_i % 6]);
}
END_TEST

START_TEST(resume_again_and_again)
{
    dn_train_options o = _i ? varied_options() : options_at(NULL, 0);
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));

    o.checkpoint = new_checkpoint();
    o.resume = 1;
    for (int round = 0; round < 7; round++)
        train_until(&o, DN_PHASE_TRAIN, 3); /* two steps further each time */
    expect_bytes(&o, straight);
    dn_blob_free(straight);
}
END_TEST

/* Without a cancel: what the last regular save left, as after a crash. */
START_TEST(regular_saves)
{
    dn_train_options o = options_at(NULL, 0);
    dn_blob *six = run_to_bytes(tiny_trainer(&o, IMAGES));
    watcher w = {0};
    dn_model *model = NULL;

    o = options_at(new_checkpoint(), 0);
    o.epochs = 3;
    o.checkpoint_epochs = 1000; /* the end is saved all the same */
    dn_blob *three = run_to_bytes(tiny_trainer(&o, IMAGES));
    o.resume = 1;
    expect_bytes(&o, three); /* nothing left to train */
    o.epochs = 6;
    o.threads = 2;
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    trainer_ok(trainer, dn_trainer_run(trainer, watch, &w, &model));
    ck_assert_int_eq(w.calls[DN_PHASE_FEATURES], 0); /* the bank was read */
    ck_assert_int_eq(w.calls[DN_PHASE_TRAIN], 1 + 3 * 3);
    dn_blob *bytes = model_bytes(model);
    ck_assert(same_bytes(bytes, six));
    dn_model_unref(model);
    dn_trainer_free(trainer);
    o.epochs = 5;
    trainer = tiny_trainer(&o, IMAGES);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_STATE, "epoch 6, beyond epochs = 5");
    dn_trainer_free(trainer);
    dn_blob_free(bytes);
    dn_blob_free(three);
    dn_blob_free(six);
}
END_TEST

/* A state within epoch 3 that then diverges still has epoch 2's weights. */
static int32_t poison(const dn_progress *progress, void *user)
{
    dn_trainer *trainer = user;

    if (progress->phase == DN_PHASE_TRAIN)
        trainer->state->flow->owned[0] = NAN;
    return 0;
}

START_TEST(good_epoch_is_in_the_checkpoint)
{
    dn_train_options o = options_at(new_checkpoint(), 0);
    dn_model *model = NULL;

    train_until(&o, DN_PHASE_TRAIN, 9);
    o.resume = 1;
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    trainer_fails(trainer, dn_trainer_run(trainer, poison, trainer, &model), DN_E_NUMERIC, "epoch 3");
    trainer_ok(trainer, dn_trainer_model(trainer, &model));
    dn_blob *kept = model_bytes(model);
    dn_model_unref(model);
    dn_trainer_free(trainer);
    o = options_at(NULL, 0);
    o.epochs = 2;
    expect_bytes(&o, kept);
    dn_blob_free(kept);
}
END_TEST

START_TEST(bank_is_saved_before_the_first_epoch)
{
    dn_train_options o = options_at(new_checkpoint(), 1);
    watcher w = {0};
    dn_model *model = NULL;

    train_until(&o, DN_PHASE_FEATURES, 2);
    ck_assert(!exists(bank_of(o.checkpoint)) && !exists(o.checkpoint));
    train_until(&o, DN_PHASE_TRAIN, 1);
    ck_assert(exists(bank_of(o.checkpoint)));
    remove(o.checkpoint);
    o.learning_rate = 1e-3; /* does not change features */
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    trainer_ok(trainer, dn_trainer_run(trainer, watch, &w, &model));
    ck_assert_int_eq(w.calls[DN_PHASE_FEATURES], 0);
    dn_model_unref(model);
    dn_trainer_free(trainer);
    remove(bank_of(o.checkpoint)); /* a lost bank is made again */
    o.epochs = 8;
    trainer = tiny_trainer(&o, IMAGES);
    trainer_ok(trainer, dn_trainer_run(trainer, watch, &w, &model));
    ck_assert_int_gt(w.calls[DN_PHASE_FEATURES], 0);
    ck_assert(exists(bank_of(o.checkpoint)));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(without_resume_training_starts_anew)
{
    dn_train_options o = options_at(NULL, 0);
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));

    o.checkpoint = new_checkpoint();
    write_file(o.checkpoint, "rubbish", 7);
    write_file(bank_of(o.checkpoint), "rubbish", 7);
    expect_bytes(&o, straight);
    o.resume = 1;
    expect_bytes(&o, straight);
    dn_blob_free(straight);
}
END_TEST

START_TEST(without_a_bank_no_bank_file)
{
    dn_train_options o = options_at(new_checkpoint(), 0);

    o.bank = 0;
    o.epochs = 1;
    dn_blob_free(run_to_bytes(tiny_trainer(&o, IMAGES)));
    ck_assert(exists(o.checkpoint) && !exists(bank_of(o.checkpoint)));
}
END_TEST

/* ---- foreign files ---- */

static void expect_failure(const dn_train_options *options, int images, dn_status expected, const char *part)
{
    dn_trainer *trainer = tiny_trainer(options, images);
    dn_model *model = (dn_model *)trainer;

    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), expected, part);
    ck_assert_ptr_null(model);
    /* Not cured by asking again. */
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), expected, part);
    dn_trainer_free(trainer);
}

START_TEST(other_options_and_images_are_refused)
{
    dn_train_options o = options_at(new_checkpoint(), 0), other;

    train_until(&o, DN_PHASE_TRAIN, 4);
    o.resume = 1;
#define OTHER(field, value)                                                    \
    do {                                                                       \
        other = o;                                                             \
        other.field = (value);                                                 \
        expect_failure(&other, IMAGES, DN_E_STATE, "made with other " #field); \
    } while (0)
    OTHER(seed, 1);
    OTHER(holdout, 0.1);
    OTHER(bank, 7);
    OTHER(brightness, 0.1);
    OTHER(contrast, 0.1);
    OTHER(saturation, 0.1);
    OTHER(standardize, 0);
    OTHER(hidden, 9);
    OTHER(blocks, 3);
    OTHER(clamp, 2);
    OTHER(batch_images, 3);
    OTHER(batch_views, 2);
    OTHER(learning_rate, 1e-4);
    OTHER(beta1, 0.9);
    OTHER(beta2, 0.9);
    OTHER(epsilon, 1e-5);
    OTHER(weight_decay, 0);
    OTHER(epoch_steps, 4);
    OTHER(schedule, DN_SCHEDULE_COSINE);
    OTHER(feature_noise, 0.1);
#undef OTHER
    expect_failure(&o, IMAGES + 1, DN_E_STATE, "made with other images");
    expect_failure(&o, IMAGES - 1, DN_E_STATE, "remove it or train without resume");
    other = o; /* of no influence on training */
    other.views = 2;
    other.angles = 1;
    other.heatmap_images = 1;
    other.threads = 2;
    other.epochs = 2;
    other.checkpoint_epochs = 5;
    dn_blob_free(run_to_bytes(tiny_trainer(&other, IMAGES)));
}
END_TEST

/* A schedule depends on the number of epochs, and so does all that was trained by it. */
START_TEST(a_schedule_is_for_its_number_of_epochs)
{
    dn_train_options o = varied_options();

    o.checkpoint = new_checkpoint();
    train_until(&o, DN_PHASE_TRAIN, 4);
    o.resume = 1;
    o.epochs++;
    expect_failure(&o, IMAGES, DN_E_STATE, "made with other epochs");
    o.epochs--;
    dn_blob_free(run_to_bytes(tiny_trainer(&o, IMAGES)));
}
END_TEST

START_TEST(a_foreign_bank_is_refused)
{
    dn_train_options o = options_at(new_checkpoint(), 0);

    train_until(&o, DN_PHASE_TRAIN, 4);
    remove(o.checkpoint);
    o.resume = 1;
    o.seed = 1;
    expect_failure(&o, IMAGES, DN_E_STATE, "state.bank does not belong");
}
END_TEST

START_TEST(another_kind_of_file)
{
    dn_train_options o = options_at(new_checkpoint(), 0);
    size_t size;

    train_until(&o, DN_PHASE_TRAIN, 4);
    o.resume = 1;
    uint8_t *bank = read_file(bank_of(o.checkpoint), &size);
    write_file(o.checkpoint, bank, size);
    free(bank);
    expect_failure(&o, IMAGES, DN_E_KIND, "not a checkpoint");
    write_file(o.checkpoint, "", 0);
    expect_failure(&o, IMAGES, DN_E_FORMAT, "state");
}
END_TEST

/* ---- damaged files ---- */

START_TEST(damage_is_found)
{
    dn_train_options o = options_at(new_checkpoint(), 0);
    const char *path = _i ? path_join(test_folder(), "unused") : o.checkpoint;
    dn_model *model = NULL;
    size_t size;

    train_until(&o, DN_PHASE_TRAIN, 4);
    if (_i) { /* the bank instead */
        remove(o.checkpoint);
        path = bank_of(o.checkpoint);
    }
    o.resume = 1;
    uint8_t *bytes = read_file(path, &size), *changed = malloc(size);
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    for (size_t cut = 0; cut < size; cut += cut < 1500 ? 61 : 1009) {
        write_file(path, bytes, cut);
        trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_FORMAT, "state");
    }
    for (size_t flip = 0; flip < size; flip += flip < 1500 ? 37 : 1013) {
        memcpy(changed, bytes, size);
        changed[flip] ^= (uint8_t)(1 << flip % 8);
        write_file(path, changed, size);
        ck_assert_msg(dn_trainer_run(trainer, NULL, NULL, &model) != DN_OK, "byte %zu", flip);
    }
    memcpy(changed, bytes, size);
    replace_text(changed, size, _i ? "\"differnet.format\":\"2\"" : "\"differnet.format\":\"4\"",
                 "\"differnet.format\":\"5\"");
    sign_file(changed, size);
    write_file(path, changed, size);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_VERSION, "format 5");
    replace_text(changed, size, "\"differnet.format\":\"5\"", "\"differnet.format\":\"x\"");
    sign_file(changed, size);
    write_file(path, changed, size);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_FORMAT, "version number");
    write_file(path, bytes, size); /* the trainer itself was not harmed */
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
    free(bytes);
    free(changed);
}
END_TEST

/* Values that a good file never holds: a generator of zeros would draw zeros for ever. */
START_TEST(impossible_state)
{
    dn_train_options o = options_at(new_checkpoint(), 0);
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 4};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    train_state *state = trainer->state;
    const char *says = "counters are invalid";
    switch (_i) {
    case 0:
        memset(&state->generator, 0, sizeof state->generator);
        break;
    case 1:
        state->optimiser->step = INT64_MAX;
        break;
    case 2:
        state->optimiser->step = -1;
        break;
    case 3:
        state->position = train_state_epoch_images(state);
        break;
    case 4:
        state->position = -1;
        break;
    case 5:
        state->epoch = -1;
        break;
    case 6:
        state->order[0] = (uint32_t)state->images;
        says = "order of images is invalid";
        break;
    default:
        trainer->bank->deviation[0] = _i == 7 ? 0 : NAN;
        says = _i == 7 ? "deviation is not positive" : "deviation";
    }
    ck_ok(checkpoint_save(o.checkpoint, state, trainer->bank, &trainer->cross, NULL));
    dn_trainer_free(trainer);
    o.resume = 1;
    expect_failure(&o, IMAGES, _i == 8 ? DN_E_NUMERIC : DN_E_FORMAT, says);
}
END_TEST
#define IMPOSSIBLE_STATES 9

/* The own flow is learned, and a fold's in progress. */
static dn_train_options crossed_options(void)
{
    dn_train_options o = options_at(new_checkpoint(), 0);

    o.calibration = DN_CALIBRATION_CROSS;
    o.folds = 2;
    o.epochs = 2;
    return o;
}

START_TEST(impossible_folds)
{
    dn_train_options o = crossed_options();
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    watcher w = {.cancel_phase = DN_PHASE_FOLDS, .cancel_call = 2};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    cross_fit *cross = &trainer->cross;
    const char *says = "counters are invalid";
    switch (_i) {
    case 0:
        cross->epoch++;
        break;
    case 1:
        cross->done = -1;
        break;
    case 2:
        cross->done = cross->folds + 1;
        break;
    case 3:
        cross->scores[1] = -1;
        says = "folds.scores: entry 1 is negative";
        break;
    case 4:
        cross->peaks[0] = -1;
        says = "folds.peaks: entry 0 is negative";
        break;
    default:
        cross->mean[trainer->extractor->feature_dim] = 0;
        says = "deviation is not positive";
    }
    ck_ok(checkpoint_save(o.checkpoint, trainer->state, trainer->bank, cross, NULL));
    dn_trainer_free(trainer);
    o.resume = 1;
    expect_failure(&o, IMAGES, DN_E_FORMAT, says);
}
END_TEST
#define IMPOSSIBLE_FOLDS 6

/* Every tensor in turn has another name, and then another type of the same size.  Which of the two trainings a file with
 * folds tells of follows from what is there: without the weights of one it is the other's. */
START_TEST(tensors_that_are_missing_or_of_another_type)
{
    static const char key[] = "\":{\"dtype\":\"";
    static const char *const types[][2] = {{"F32", "I32"}, {"U32", "I32"}, {"I64", "F64"}, {"F64", "I64"}};
    dn_train_options o = _i == 1 ? crossed_options() : options_at(new_checkpoint(), 0);
    const char *path = o.checkpoint;
    dn_model *model = NULL;
    size_t size;
    int tensors = 0;

    train_until(&o, _i == 1 ? DN_PHASE_FOLDS : DN_PHASE_TRAIN, _i == 1 ? 2 : 4);
    if (_i == 2) { /* the bank instead */
        remove(path);
        path = bank_of(path);
    }
    o.resume = 1;
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    uint8_t *bytes = read_file(path, &size);
    for (uint8_t *at = bytes; at + sizeof key + 2 <= bytes + size; at++) {
        if (memcmp(at, key, sizeof key - 1) != 0)
            continue;
        uint8_t *type = at + sizeof key - 1, *name = at;
        while (name[-1] != '"')
            name--;
        const _Bool optional = _i == 1 && at - name >= 7 && !memcmp(at - 7, "weights", 7);
        at[-1] ^= 1;
        sign_file(bytes, size);
        write_file(path, bytes, size);
        at[-1] ^= 1;
        if (!optional)
            trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_FORMAT, "state");
        size_t t = 0;
        while (memcmp(type, types[t][0], 3) != 0)
            ck_assert_uint_lt(++t, sizeof types / sizeof *types);
        memcpy(type, types[t][1], 3);
        sign_file(bytes, size);
        write_file(path, bytes, size);
        memcpy(type, types[t][0], 3);
        trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_FORMAT, "state");
        tensors++;
    }
    ck_assert_int_ge(tensors, _i == 2 ? 2 : 8);
    sign_file(bytes, size);
    write_file(path, bytes, size); /* the trainer itself was not harmed */
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(trainer);
    free(bytes);
}
END_TEST

/* The other way than flow_moments_by_place, in place. */
static void moments_by_parameter(const dn_flow *flow, float *moments)
{
    size_t n = flow_parameters(flow->dimension, flow->blocks, flow->hidden);
    float *index = malloc(n * sizeof *index), *place = malloc(n * sizeof *place), *kept = malloc(n * sizeof *kept);

    ck_assert(index && place && kept && n < 1 << 24); /* whole numbers that a float holds */
    for (size_t i = 0; i < n; i++)
        index[i] = (float)i;
    memcpy(kept, moments, n * sizeof *kept);
    flow_moments_by_place(flow, index, place);
    ck_assert_mem_ne(index, place, n * sizeof *index);
    for (size_t i = 0; i < n; i++)
        moments[(size_t)place[i]] = kept[i];
    free(index);
    free(place);
    free(kept);
}

/* Format 4 is the first to say what the folds belong to. */
static void without_cross(uint8_t *bytes, size_t size)
{
    replace_text(bytes, size, "\"belongs_to.cross\"", "\"unknown_to.cross\"");
}

/* The older formats' headers have no checksum. */
static void without_header_sum(uint8_t *bytes, size_t size)
{
    replace_text(bytes, size, "\"differnet.header_crc32\"", "\"differnet.header_crc00\"");
}

/* Formats 2 and 3 had the same tensors, as has format 1 of a bank. */
START_TEST(formats_2_and_3_are_read)
{
    dn_train_options o = options_at(NULL, 0);
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));
    size_t size;

    o.checkpoint = new_checkpoint();
    train_until(&o, DN_PHASE_TRAIN, 9);
    for (int i = 0; i < 2; i++) {
        const char *path = i ? bank_of(o.checkpoint) : o.checkpoint;
        uint8_t *bytes = read_file(path, &size);
        without_header_sum(bytes, size);
        write_file(path, bytes, size);
        o.resume = 1;
        expect_failure(&o, IMAGES, DN_E_FORMAT, "differnet.header_crc32 is missing");
        replace_text(bytes, size, i ? "\"differnet.format\":\"2\"" : "\"differnet.format\":\"4\"",
                     i         ? "\"differnet.format\":\"1\""
                     : _i == 2 ? "\"differnet.format\":\"2\""
                               : "\"differnet.format\":\"3\"");
        if (i == 0)
            without_cross(bytes, size);
        if (_i == 3)
            replace_text(bytes, size, "\"differnet.header_crc00\"", "\"differnet.header_crc32\"");
        if (_i == 3)
            sign_file(bytes, size);
        write_file(path, bytes, size);
        free(bytes);
    }
    expect_bytes(&o, straight);
    dn_blob_free(straight);
}
END_TEST

/* Format 1 had the moments in the order of the weights. */
START_TEST(format_1_is_read)
{
    dn_train_options o = options_at(NULL, 0);
    o.hidden = 100; /* more than a block of columns */
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 9 + _i};
    dn_model *model = NULL;
    size_t size;

    o.checkpoint = new_checkpoint();
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    moments_by_parameter(trainer->state->flow, trainer->state->optimiser->m);
    moments_by_parameter(trainer->state->flow, trainer->state->optimiser->v);
    ck_ok(checkpoint_save(o.checkpoint, trainer->state, trainer->bank, &trainer->cross, NULL));
    dn_trainer_free(trainer);
    uint8_t *bytes = read_file(o.checkpoint, &size);
    replace_text(bytes, size, "\"differnet.format\":\"4\"", "\"differnet.format\":\"1\"");
    without_header_sum(bytes, size);
    without_cross(bytes, size);
    write_file(o.checkpoint, bytes, size);
    free(bytes);
    o.resume = 1;
    expect_bytes(&o, straight);
    dn_blob_free(straight);
}
END_TEST

/* ---- the system fails ---- */

static struct file_table system_calls;
static long calls, fail_at;
static _Bool disk_full;

static _Bool fails(void)
{
    if (++calls != fail_at)
        return 0;
    errno = EIO;
    return 1;
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    /* A directory that cannot be opened is not synced, which is no error. */
    return !(flags & O_DIRECTORY) && fails() ? -1 : system_calls.open(path, flags, mode);
}

static int failing_fstat(int fd, struct stat *status)
{
    return fails() ? -1 : system_calls.fstat(fd, status);
}

static ssize_t failing_write(int fd, const void *bytes, size_t size)
{
    if (disk_full) {
        errno = ENOSPC;
        return -1;
    }
    return fails() ? -1 : system_calls.write(fd, bytes, size);
}

static int failing_rename(const char *from, const char *to)
{
    return fails() ? -1 : system_calls.rename(from, to);
}

static void *failing_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? (void *)-1 : system_calls.mmap(address, size, protection, flags, fd, offset);
}

static void replace_system(void)
{
    system_calls = file_table;
    file_table.open = failing_open;
    file_table.fstat = failing_fstat;
    file_table.write = failing_write;
    file_table.rename = failing_rename;
    file_table.mmap = failing_mmap;
    calls = fail_at = 0;
    disk_full = 0;
}

static void restore_system(void)
{
    file_table = system_calls;
}

/* The n-th system call fails, for every n, in a run that reads and writes both files: an error of the file, and a
 * second run goes on from there to the same model. */
START_TEST(every_system_call_can_fail)
{
    dn_train_options o = options_at(NULL, 0);
    o.epochs = 4;
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));
    const char *checkpoint = new_checkpoint();
    long failures = 0;

    for (long n = 1;; n++) {
        dn_model *model = NULL;
        remove(checkpoint);
        remove(bank_of(checkpoint));
        o.checkpoint = checkpoint;
        o.resume = 1;
        if (_i)
            train_until(&o, DN_PHASE_TRAIN, 5);
        dn_trainer *trainer = tiny_trainer(&o, IMAGES);
        calls = 0;
        fail_at = n;
        dn_status status = dn_trainer_run(trainer, NULL, NULL, &model);
        fail_at = 0;
        if (status == DN_OK) {
            dn_model_unref(model);
            dn_trainer_free(trainer);
            break;
        }
        failures++;
        trainer_fails(trainer, status, DN_E_IO, "state");
        dn_blob *bytes = run_to_bytes(trainer);
        ck_assert_msg(same_bytes(bytes, straight), "call %ld", n);
        dn_blob_free(bytes);
    }
    ck_assert_int_gt(failures, 8);
    dn_blob_free(straight);
}
END_TEST

/* A full disk stops training with an error, the file of before stays, nothing is lost. */
START_TEST(disk_full_loses_nothing)
{
    dn_train_options o = options_at(new_checkpoint(), 0);
    dn_model *model = NULL;
    size_t size, size_after;

    train_until(&o, DN_PHASE_TRAIN, 4);
    uint8_t *before = read_file(o.checkpoint, &size);
    o.resume = 1;
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    disk_full = 1;
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_IO, "No space left");
    trainer_ok(trainer, dn_trainer_model(trainer, &model)); /* what was trained so far is there */
    dn_model_unref(model);
    /* Cancelled with a disk that is still full: the more urgent news is that nothing was saved. */
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 2};
    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_IO, "No space left");
    disk_full = 0;
    uint8_t *after = read_file(o.checkpoint, &size_after);
    ck_assert(size == size_after && !memcmp(before, after, size));
    free(before);
    free(after);
    dn_blob *bytes = run_to_bytes(trainer);
    dn_train_options plain = options_at(NULL, 0);
    expect_bytes(&plain, bytes);
    dn_blob_free(bytes);
}
END_TEST

START_TEST(a_folder_that_does_not_exist)
{
    dn_train_options o = options_at(path_join(test_folder(), "none/state"), 0);
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_IO, "none/state.bank");
    dn_trainer_free(trainer);
}
END_TEST

/* A checkpoint that cannot even be looked for is not taken for one that is not there. */
START_TEST(a_folder_that_is_a_file)
{
    const char *folder = test_folder(), *file = path_join(folder, "file");
    dn_train_options o = options_at(path_join(file, "state"), 1);
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    dn_model *model = NULL;

    write_file(file, "", 0);
    trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_IO, "cannot open");
    ck_assert_ptr_null(model);
    dn_trainer_free(trainer);
}
END_TEST

static dn_status save_state(void *object, const char *path, dn_error *error)
{
    const dn_trainer *trainer = object;

    return checkpoint_save(path, trainer->state, trainer->bank, &trainer->cross, error);
}

static dn_status save_bank(void *object, const char *path, dn_error *error)
{
    const dn_trainer *trainer = object;

    return checkpoint_save_bank(path, trainer->bank, error);
}

/* Who goes on from the files that were saved gets the model of a run that was not interrupted. */
static void go_on(void *trainer, const char *path)
{
    dn_train_options o = options_at(NULL, 0);
    dn_blob *straight = run_to_bytes(tiny_trainer(&o, IMAGES));
    const char *checkpoint = ((dn_trainer *)trainer)->options.checkpoint;
    size_t size;
    uint8_t *saved = read_file(path, &size), *state = read_file(checkpoint, &size);

    free(saved);
    o.checkpoint = checkpoint;
    o.resume = 1;
    expect_bytes(&o, straight);
    write_file(checkpoint, state, size); /* as it was: the run has written its own */
    free(state);
    dn_blob_free(straight);
}

START_TEST(saves_without_memory)
{
    const char *checkpoint = new_checkpoint();
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_train_options o = options_at(checkpoint, 0);
    o.allocator = &allocator;
    dn_trainer *trainer = tiny_trainer(&o, IMAGES);
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 9};
    dn_model *model = NULL;

    trainer_fails(trainer, dn_trainer_run(trainer, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    save_test test = {_i ? save_bank : save_state, go_on, trainer, &memory};
    check_saves_without_memory(&test, _i ? bank_of(checkpoint) : checkpoint);
    dn_trainer_free(trainer);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *resume = tcase_create("resume"), *foreign = tcase_create("foreign"), *failing = tcase_create("failing");

    tcase_set_timeout(resume, 60);
    tcase_set_timeout(foreign, 60);
    tcase_set_timeout(failing, 120);
    tcase_add_loop_test(resume, resume_gives_the_same_bits, 0, 12);
    tcase_add_loop_test(resume, resume_within_a_schedule, 0, 12);
    tcase_add_loop_test(resume, resume_again_and_again, 0, 2);
    tcase_add_test(resume, regular_saves);
    tcase_add_test(resume, good_epoch_is_in_the_checkpoint);
    tcase_add_test(resume, bank_is_saved_before_the_first_epoch);
    tcase_add_test(resume, without_resume_training_starts_anew);
    tcase_add_test(resume, without_a_bank_no_bank_file);
    tcase_add_test(foreign, other_options_and_images_are_refused);
    tcase_add_test(foreign, a_schedule_is_for_its_number_of_epochs);
    tcase_add_test(foreign, a_foreign_bank_is_refused);
    tcase_add_test(foreign, another_kind_of_file);
    tcase_add_loop_test(foreign, damage_is_found, 0, 2);
    tcase_add_loop_test(foreign, formats_2_and_3_are_read, 2, 4);
    tcase_add_loop_test(foreign, format_1_is_read, 0, 2);
    tcase_add_loop_test(foreign, impossible_state, 0, IMPOSSIBLE_STATES);
    tcase_add_loop_test(foreign, impossible_folds, 0, IMPOSSIBLE_FOLDS);
    tcase_add_loop_test(foreign, tensors_that_are_missing_or_of_another_type, 0, 3);
    tcase_add_checked_fixture(failing, replace_system, restore_system);
    tcase_add_loop_test(failing, every_system_call_can_fail, 0, 2);
    tcase_add_test(failing, disk_full_loses_nothing);
    tcase_add_test(failing, a_folder_that_does_not_exist);
    tcase_add_test(failing, a_folder_that_is_a_file);
    tcase_add_loop_test(resume, saves_without_memory, 0, 2);
    suite_add_tcase(suite, resume);
    suite_add_tcase(suite, foreign);
    suite_add_tcase(suite, failing);
    return suite;
}

TEST_MAIN(make_suite)
