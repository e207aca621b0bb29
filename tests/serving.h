/* What the tests of the scorer, the localizer and the host's threads share: pictures, a scorer, a trainer. */
#ifndef DN_TESTS_SERVING_H
#define DN_TESTS_SERVING_H

#include <string.h>

#include "support.h"

#define SIDE 48
#define MANY 21 /* images: more than a batch of 16 */

static uint8_t pictures[MANY][SIDE * SIDE * 3];

/* Pictures that differ: by texture, and some by a bright square. */
static inline void draw_pictures(dn_pixels views[MANY])
{
    for (int i = 0; i < MANY; i++) {
        draw_texture(pictures[i], SIDE, SIDE, (uint32_t)i);
        for (int y = 10; i % 3 == 1 && y < 10 + i; y++)
            memset(pictures[i] + (y * SIDE + 12) * 3, 255, 20 * 3);
        views[i] = rgb_view(pictures[i], SIDE, SIDE);
    }
}

static inline dn_scorer *make_scorer(dn_model *model, const dn_scorer_options *options)
{
    dn_error error = {0};
    dn_scorer *scorer;
    dn_status status = dn_scorer_create(model, options, &scorer, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return scorer;
}

static inline void score_alone(dn_scorer *scorer, const dn_pixels *views, int count, dn_score *scores)
{
    for (int i = 0; i < count; i++) {
        dn_score_init(&scores[i]);
        ck_ok(dn_scorer_score(scorer, &views[i], &scores[i]));
    }
}

static inline dn_trainer *make_trainer(const dn_runner *runner, int32_t threads, double holdout)
{
    const int32_t channels[5] = {2, 3, 2, 3, 4};
    dn_extractor_options extracting;
    dn_train_options options;
    dn_extractor *extractor;
    dn_pixels views[MANY];
    dn_trainer *trainer;

    dn_extractor_options_init(&extracting);
    extracting.input_size = 64;
    extracting.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &extracting, &extractor, NULL));
    dn_train_options_init(&options);
    options.positions = 0;
    options.epochs = 3;
    options.hidden = 8;
    options.blocks = 2;
    options.bank = 2;
    options.views = 4;
    options.heatmap_images = 2;
    options.holdout = holdout;
    options.calibration = DN_CALIBRATION_SPLIT;
    options.threads = threads;
    options.runner = runner;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    draw_pictures(views);
    for (int i = 0; i < 6; i++)
        ck_ok(dn_trainer_add_pixels(trainer, &views[i]));
    return trainer;
}

#endif
