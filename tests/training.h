/* What the training tests share: the smallest network, its options, and pictures to train on. */
#ifndef DN_TESTS_TRAINING_H
#define DN_TESTS_TRAINING_H

#include <string.h>

#include "support.h"

#define PICTURE_WIDTH 40
#define PICTURE_HEIGHT 32

/* 64 pixels, one scale, feature dimension 8. */
static inline dn_extractor *tiny_extractor(const dn_allocator *allocator)
{
    const int32_t channels[5] = {4, 4, 6, 6, 8};
    dn_extractor_options options;
    dn_extractor *extractor = NULL;

    dn_extractor_options_init(&options);
    options.input_size = 64;
    options.scales = 1;
    options.allocator = allocator;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

static inline dn_train_options tiny_options(void)
{
    dn_train_options options;

    dn_train_options_init(&options);
    options.epochs = 6;
    options.epoch_steps = 1;
    options.schedule = DN_SCHEDULE_CONSTANT;
    options.learning_rate = 2e-4;
    options.feature_noise = 0;
    options.hidden = 8;
    options.blocks = 2;
    options.bank = 6;
    options.batch_images = 2;
    options.batch_views = 3;
    options.views = 4;
    options.heatmap_images = 2;
    options.holdout = 0.2;
    options.checkpoint_epochs = 2;
    options.positions = 0;                      /* tests of the density at every position switch it on, */
    options.calibration = DN_CALIBRATION_SPLIT; /* those of cross-fitting likewise */
    return options;
}

static inline dn_status add_picture(dn_trainer *trainer, uint32_t seed)
{
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, seed);
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    return dn_trainer_add_pixels(trainer, &view);
}

/* A trainer with `images` pictures of seeds 1, 2, ... */
static inline dn_trainer *tiny_trainer(const dn_train_options *options, int images)
{
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_trainer *trainer = NULL;
    dn_error error = {0};

    ck_assert_msg(dn_trainer_create(extractor, options, &trainer, &error) == DN_OK, "%s", error.message);
    dn_extractor_unref(extractor);
    for (int i = 0; i < images; i++)
        ck_ok(add_picture(trainer, (uint32_t)i + 1));
    return trainer;
}

/* Asserts that a call on a trainer succeeds. */
#define trainer_ok(trainer, expression) \
    ck_assert_msg((expression) == DN_OK, "%s: %s", #expression, dn_trainer_error(trainer)->message)
/* Asserts a failure and a part of its message. */
#define trainer_fails(trainer, expression, expected, part)                                                \
    do {                                                                                                  \
        ck_assert_int_eq((expression), (expected));                                                       \
        ck_assert_int_eq(dn_trainer_error(trainer)->status, (expected));                                  \
        ck_assert_msg(strstr(dn_trainer_error(trainer)->message, part) != NULL, "no \"%s\" in: %s", part, \
                      dn_trainer_error(trainer)->message);                                                \
    } while (0)

/* A model's file, the model of one, and the comparison of two: equal bits, equal bytes. */
static inline dn_blob *model_bytes(dn_model *model)
{
    dn_blob *blob = NULL;

    ck_ok(dn_model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    return blob;
}

static inline dn_model *model_of_bytes(const dn_blob *blob)
{
    dn_model *model = NULL;
    dn_error error = {0};

    ck_assert_msg(dn_model_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &model, &error) == DN_OK, "%s",
                  error.message);
    return model;
}

static inline _Bool same_bytes(const dn_blob *a, const dn_blob *b)
{
    return dn_blob_size(a) == dn_blob_size(b) && !memcmp(dn_blob_data(a), dn_blob_data(b), dn_blob_size(a));
}

/* Runs the trainer to the end and frees it; the model's bytes. */
static inline dn_blob *run_to_bytes(dn_trainer *trainer)
{
    dn_model *model = NULL;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_blob *blob = model_bytes(model);
    dn_model_unref(model);
    dn_trainer_free(trainer);
    return blob;
}

/* A watcher that cancels at the n-th call of a phase, and counts. */
#define PHASES 16
typedef struct watcher {
    int32_t cancel_phase;
    int cancel_call;                     /* 1, 2, ...; 0: never */
    int calls[PHASES];                   /* by phase */
    int64_t done[PHASES], total[PHASES]; /* of the last call of each phase */
    double loss;
    int phases_fell; /* a phase smaller than the one before was reported */
    int32_t phase;
} watcher;

static inline int32_t watch(const dn_progress *progress, void *user)
{
    watcher *w = user;

    ck_assert_uint_eq(progress->struct_size, sizeof *progress);
    ck_assert_int_ge(progress->phase, DN_PHASE_FEATURES);
    ck_assert_int_lt(progress->phase, PHASES);
    ck_assert_int_le(progress->done, progress->total);
    w->phases_fell += progress->phase < w->phase;
    w->phase = progress->phase;
    w->calls[w->phase]++;
    w->done[w->phase] = progress->done;
    w->total[w->phase] = progress->total;
    if (w->phase == DN_PHASE_TRAIN)
        w->loss = progress->loss;
    return w->phase == w->cancel_phase && w->calls[w->phase] == w->cancel_call;
}

#endif
