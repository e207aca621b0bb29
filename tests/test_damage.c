/* Damaged files: every truncation, every flipped bit of the header and flipped bits of the data, in each kind of file that
 * has checksums (all but backbones, docs/format.md), are an error with a text; the intact file opens.
 *
 * FLIPS in the environment: how many of the data's bits, at random (default 4000).  Without it, not all of what is
 * opened through a file, and under a sanitizer every STEPth only. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/rng.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include "training.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define STEP 17
#else
#define STEP 1
#endif

static dn_train_options options;
static dn_trainer *trainer; /* that the checkpoint and the bank belong to */
static const char *path;    /* of the file that is opened */

/* ---- opening ---- */

static dn_status open_model(const uint8_t *bytes, size_t size, dn_error *error)
{
    dn_model *model;
    dn_status status = dn_model_open_memory(bytes, size, NULL, &model, error);

    dn_model_unref(model);
    return status;
}

static dn_status open_flow(const uint8_t *bytes, size_t size, dn_error *error)
{
    dn_flow *flow;
    dn_status status = dn_flow_open_memory(bytes, size, NULL, &flow, error);

    dn_flow_unref(flow);
    return status;
}

static dn_status open_checkpoint(const uint8_t *bytes, size_t size, dn_error *error)
{
    train_state *state;
    _Bool found;

    write_file(path, bytes, size);
    ck_ok(train_state_create(&options, trainer->extractor->feature_dim, trainer->images.train_count, options.epochs,
                             &trainer->allocator, &state, NULL));
    dn_status status = checkpoint_load(path, state, trainer->bank, &found, error);
    train_state_free(state);
    return status;
}

static dn_status open_bank(const uint8_t *bytes, size_t size, dn_error *error)
{
    _Bool found;

    write_file(path, bytes, size);
    return checkpoint_load_bank(path, trainer->bank, &found, error);
}

/* ---- the files ---- */

static uint8_t *taken(dn_blob *blob, size_t *size)
{
    *size = dn_blob_size(blob);
    uint8_t *bytes = malloc(*size);

    memcpy(bytes, dn_blob_data(blob), *size);
    dn_blob_free(blob);
    return bytes;
}

static uint8_t *make_flow(size_t *size)
{
    dn_flow_options flow_options;
    dn_flow *flow;
    dn_blob *blob;

    dn_flow_options_init(&flow_options);
    flow_options.dimension = 6;
    flow_options.hidden = 5;
    flow_options.blocks = 2;
    ck_ok(dn_flow_create(&flow_options, &flow, NULL));
    ck_ok(dn_flow_save_memory(flow, &blob, NULL));
    dn_flow_unref(flow);
    return taken(blob, size);
}

/* Trains, and keeps what it wrote; the trainer afterwards is a new one, prepared. */
static uint8_t *make_trained(const char *ending, size_t *size)
{
    char name[1100];
    const char *state = path_join(test_folder(), "state");

    options = tiny_options();
    options.epochs = 2;
    options.positions = 1;
    options.light = 0;
    options.checkpoint = state;
    options.checkpoint_epochs = 1;
    options.heatmap_images = 1;
    dn_blob *model = run_to_bytes(tiny_trainer(&options, 6));
    trainer = tiny_trainer(&options, 6);
    ck_ok(trainer_prepare(trainer, NULL));
    path = path_join(test_folder(), "damaged");
    if (!ending)
        return taken(model, size);
    dn_blob_free(model);
    strcpy(name, state);
    strcat(name, ending);
    return read_file(name, size);
}

static const struct kind {
    const char *name;
    dn_status (*open)(const uint8_t *bytes, size_t size, dn_error *error);
    const char *ending; /* of a training's file; NULL: its model */
} kinds[] = {{"model", open_model, NULL},
             {"flow", open_flow, NULL},
             {"checkpoint", open_checkpoint, ""},
             {"bank", open_bank, ".bank"}};
#define KINDS ((int)(sizeof kinds / sizeof *kinds))

static void must_fail(const struct kind *kind, const uint8_t *bytes, size_t size, const char *what, size_t where)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees a read behind it */
    dn_error error = {0};

    memcpy(exact, bytes, size);
    dn_status status = kind->open(exact, size, &error);
    ck_assert_msg(status != DN_OK, "a %s, %s %zu: not noticed", kind->name, what, where);
    ck_assert(error.status == status && error.message[0]);
    free(exact);
}

static void flip_and_check(const struct kind *kind, uint8_t *bytes, size_t size, size_t bit)
{
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    must_fail(kind, bytes, size, "bit", bit);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

START_TEST(damage_is_noticed)
{
    const struct kind *kind = &kinds[_i];
    long flips = getenv("FLIPS") ? atol(getenv("FLIPS")) : 4000;
    const size_t step = getenv("FLIPS")                                            ? 1
                        : kind->open == open_checkpoint || kind->open == open_bank ? 7 * STEP
                                                                                   : STEP;
    uint64_t header;
    size_t size;
    dn_error error = {0};
    uint8_t *bytes = kind->open == open_flow ? make_flow(&size) : make_trained(kind->ending, &size);
    rng generator;

    rng_seed(&generator, 7, 7);
    ck_assert_msg(kind->open(bytes, size, &error) == DN_OK, "%s", error.message);
    memcpy(&header, bytes, 8);
    header += 8;
    ck_assert_uint_lt(header, size);
    for (size_t cut = 0; cut < size; cut += step)
        must_fail(kind, bytes, cut, "cut at", cut);
    for (size_t bit = 0; bit < 8 * header; bit += step)
        flip_and_check(kind, bytes, size, bit);
    for (long i = 0; i < flips; i += (long)step)
        flip_and_check(kind, bytes, size, 8 * header + (size_t)(rng_uniform(&generator) * 8 * (double)(size - header)));
    ck_assert_msg(kind->open(bytes, size, &error) == DN_OK, "%s", error.message);
    dn_trainer_free(trainer);
    trainer = NULL; /* where all run in one process, as under valgrind */
    free(bytes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("damage");
    TCase *tests = tcase_create("damage");

    tcase_add_loop_test(tests, damage_is_noticed, 0, KINDS);
    tcase_set_timeout(tests, 3600);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
