/* Fuzz target: the checkpoint and the feature bank that a training goes on from, and the next steps of a training that
 * did.  The bytes stand in for a file of exactly their size: a read beyond its end is seen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "fuzz.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

#define SIDE 16
#define EXISTS "/" /* a path that stat() finds; what it opens is the input */

/* ---- the input as a file ---- */

static struct {
    const uint8_t *data;
    size_t size;
} input;

static int open_input(const char *path, int flags, mode_t mode)
{
    (void)path;
    (void)flags;
    (void)mode;
    return 1000;
}

static int stat_input(int fd, struct stat *status)
{
    (void)fd;
    *status = (struct stat){.st_mode = S_IFREG, .st_size = (off_t)input.size};
    return 0;
}

static int close_input(int fd)
{
    (void)fd;
    return 0;
}

/* malloc's alignment is enough: files are read at any. */
static void *map_input(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    uint8_t *copy = malloc(size);

    (void)address;
    (void)protection;
    (void)flags;
    (void)fd;
    (void)offset;
    return copy ? memcpy(copy, input.data, size) : MAP_FAILED;
}

static int unmap_input(void *address, size_t size)
{
    (void)size;
    free(address);
    return 0;
}

static void replace_files(void)
{
    file_table.open = open_input;
    file_table.fstat = stat_input;
    file_table.close = close_input;
    file_table.mmap = map_input;
    file_table.munmap = unmap_input;
}

/* ---- the training that it belongs to ---- */

static dn_trainer *new_trainer(void)
{
    static const int32_t channels[5] = {1, 2, 1, 2, 2};
    uint8_t pixels[SIDE * SIDE];
    dn_pixels image = {.pixels = pixels, .width = SIDE, .height = SIDE, .format = DN_GRAY8};
    dn_extractor_options extractor_options;
    dn_train_options options;
    dn_extractor *extractor;
    dn_trainer *trainer;

    dn_extractor_options_init(&extractor_options);
    extractor_options.input_size = 64;
    extractor_options.scales = 1;
    dn_train_options_init(&options);
    options.epochs = 5;
    options.epoch_steps = 1;
    options.hidden = 2;
    options.blocks = 1;
    options.bank = 2;
    options.batch_images = 2;
    options.batch_views = 1;
    options.calibration = DN_CALIBRATION_CROSS;
    options.folds = 3;
    options.views = 2;
    options.positions = 0;
    fuzz_require(dn_extractor_random(channels, 1, &extractor_options, &extractor, NULL) == DN_OK, "extractor");
    fuzz_require(dn_trainer_create(extractor, &options, &trainer, NULL) == DN_OK, "trainer");
    dn_extractor_unref(extractor);
    for (int i = 0; i < 3; i++) {
        for (int p = 0; p < SIDE * SIDE; p++)
            pixels[p] = (uint8_t)(p * (37 + i));
        fuzz_require(dn_trainer_add_pixels(trainer, &image) == DN_OK, "image");
    }
    fuzz_require(trainer_prepare(trainer, NULL) == DN_OK, "splitting");
    return trainer;
}

static train_state *new_state(const dn_trainer *trainer)
{
    train_state *state;

    fuzz_require(train_state_create(&trainer->options, trainer->extractor->feature_dim, trainer->images.train_count,
                                    trainer->options.epochs, &trainer->allocator, &state, NULL) == DN_OK,
                 "a state");
    return state;
}

static void fill(dn_trainer *trainer)
{
    fuzz_require(feature_bank_fill(trainer->bank, &(train_watch){0}, NULL) == DN_OK &&
                     feature_bank_standardise(trainer->bank, NULL) == DN_OK,
                 "a bank");
}

/* Trains to the end of an epoch, if the state allows that. */
static void go_on(train_state *state, feature_bank *bank)
{
    dn_error error = {0};
    dn_status status = DN_OK;

    fuzz_require(state->epoch >= 0 && state->position >= 0, "counters");
    if (!train_state_epochs_left(state))
        return;
    do
        status = train_state_step(state, bank, NULL, &error);
    while (status == DN_OK && state->position < train_state_epoch_images(state) && state->position > 0);
    fuzz_require(status == DN_OK || (error.status == status && error.message[0]), "an error is described");
    for (size_t i = 0; i < train_state_parameters(state); i++)
        fuzz_require(status != DN_OK || !isnan(state->good[i]), "good weights are numbers");
}

/* The flow and the folds' scores that the file before this one held. */
static void forget_cross(dn_trainer *trainer)
{
    flow_unref(trainer->cross.flow);
    mem_free(&trainer->allocator, trainer->cross.mean);
    trainer->cross.flow = NULL;
    trainer->cross.mean = NULL;
    trainer->cross.done = 0;
}

/* learned: it holds no training in progress, so flows that are learned. */
static void check_cross(dn_trainer *trainer, _Bool learned)
{
    dn_error error = {0};

    forget_cross(trainer);
    dn_status status = checkpoint_load_cross(EXISTS, trainer->bank, &trainer->cross, &error);
    fuzz_require(status == DN_OK || (error.status == status && error.message[0]), "an error is described");
    fuzz_require(status == DN_OK || !trainer->cross.flow, "a flow, or an error");
    fuzz_require(!learned || status != DN_OK || trainer->cross.flow, "a flow that is learned");
    fuzz_require(!trainer->cross.flow == !trainer->cross.mean, "with what it is standardised with");
    fuzz_require(trainer->cross.done >= 0 && trainer->cross.done <= trainer->cross.folds, "folds");
}

/* ---- memory that runs out ---- */

static dn_trainer *training;
static const dn_allocator *own_memory;

static void *allocate(size_t alignment, size_t size)
{
    return own_memory->alloc(alignment, size, own_memory->user);
}

static void release(void *block)
{
    own_memory->free(block, own_memory->user);
}

/* What is loaded takes the place of what was there: as many blocks as before. */
static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    const struct mem_table usual = mem_table;
    train_state *state = new_state(training);
    _Bool found;

    forget_cross(training);
    (void)data; /* the input is the file already */
    (void)size;
    own_memory = allocator;
    mem_table.aligned_alloc = allocate;
    mem_table.free = release;
    dn_status bank = checkpoint_load_bank(EXISTS, training->bank, &found, NULL);
    dn_status whole = checkpoint_load(EXISTS, state, training->bank, &found, NULL);
    dn_status cross = checkpoint_load_cross(EXISTS, training->bank, &training->cross, NULL);
    forget_cross(training);
    mem_table = usual;
    train_state_free(state);
    return whole == DN_E_MEMORY || cross == DN_E_MEMORY ? DN_E_MEMORY : bank;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_error error = {0};
    _Bool bank_found, found;

    if (!training) {
        training = new_trainer();
        fill(training); /* rows that a checkpoint without a bank would compute */
        replace_files();
    }
    input.data = data;
    input.size = size;
    dn_status status = checkpoint_load_bank(EXISTS, training->bank, &bank_found, &error);
    fuzz_require(bank_found == (status == DN_OK), "a bank or an error");
    fuzz_fail_allocations(open_with, data, size, status);
    fuzz_require(status == DN_OK || (error.status == status && error.message[0]), "an error is described");
    train_state *state = new_state(training);
    error.message[0] = '\0';
    status = checkpoint_load(EXISTS, state, training->bank, &found, &error);
    fuzz_require(!found || status == DN_OK, "a state or an error");
    fuzz_require(status == DN_OK || (error.status == status && error.message[0]), "an error is described");
    fuzz_require(!found || !bank_found, "a file of one kind");
    if (found)
        go_on(state, training->bank);
    train_state_free(state);
    check_cross(training, status == DN_OK && !found);
    return 0;
}

/* ---- seeds ---- */

static uint8_t *read_back(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 16);

    fuzz_require(file && bytes, path);
    *size = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    unlink(path);
    return bytes;
}

/* As if the model's own flow were learned, and a fold's images scored. */
static void begin_folds(dn_trainer *trainer, const train_state *state)
{
    size_t bytes = 2 * (size_t)trainer->extractor->feature_dim * sizeof(float);
    cross_fit *cross = &trainer->cross;

    cross->mean = mem_alloc(&trainer->allocator, bytes, 1);
    fuzz_require(cross->mean && train_state_good_flow(state, &cross->flow, NULL) == DN_OK, "a flow");
    memcpy(cross->mean, trainer->bank->mean, bytes);
    cross->epoch = trainer->options.epochs;
    cross->loss = 1.5;
    cross->done = 1;
}

/* 0: the bank; then checkpoints before the first step, within an epoch, behind one; then the last as formats 1 and 2, and
 * of folds, in one and between two. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    static char name[] = "/tmp/fuzz_checkpoint.XXXXXX";
    static const int steps[] = {0, 0, 1, 2, 2, 2, 2, 2};
    char path[64];

    if (index > 7)
        return NULL;
    fuzz_require(strcpy(name + sizeof name - 7, "XXXXXX") && mkdtemp(name), "a folder");
    snprintf(path, sizeof path, "%s/state", name);
    dn_trainer *trainer = new_trainer();
    train_state *state = new_state(trainer);
    fill(trainer);
    for (int i = 0; i < steps[index]; i++)
        fuzz_require(train_state_step(state, trainer->bank, NULL, NULL) == DN_OK, "a step");
    if (steps[index] == 2)
        fuzz_require(train_state_end_epoch(state, NULL) == DN_OK, "an epoch");
    if (index >= 6)
        begin_folds(trainer, state);
    fuzz_require(
        (index == 0 ? checkpoint_save_bank(path, trainer->bank, NULL)
                    : checkpoint_save(path, index == 7 ? NULL : state, trainer->bank, &trainer->cross, NULL)) == DN_OK,
        "saving");
    uint8_t *bytes = read_back(path, size);
    rmdir(name);
    train_state_free(state);
    dn_trainer_free(trainer);
    for (size_t i = 8; index > 3 && index < 6 && i + 24 < *size; i++)
        if (!memcmp(bytes + i, "\"differnet.format\":\"", 20))
            bytes[i + 20] = (uint8_t)('0' + index - 3);
    fuzz_repair(bytes, *size);
    return bytes;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    fuzz_repair_sums(data, size);
}
