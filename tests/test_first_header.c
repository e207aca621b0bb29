/* A program compiled with the oldest header whose ABI is promised (docs/abi.md), run with the library as it is now.  All
 * structs lie on the heap in the sizes of that header, so that a sanitizer sees a byte written beyond.
 *
 * usage: test_first_header GOLDEN_FOLDER */
#include "abi/differnet.h.first"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 48
#define IMAGES 6

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)
#define OK(expression) CHECK((expression) == DN_OK)

static void *make(size_t size)
{
    void *memory = malloc(size);

    CHECK(memory != NULL);
    memset(memory, 0xAA, size);
    return memory;
}

static dn_score *new_score(void)
{
    dn_score *score = make(sizeof *score);

    dn_score_init(score);
    return score;
}

static void draw(uint8_t *rgb, uint32_t seed)
{
    uint32_t noise = seed * 2654435761u + 7;

    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        noise = noise * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(60 + i / 3 % SIDE * 2 + i / 3 / SIDE + (noise >> 27));
    }
}

static dn_pixels view_of(const uint8_t *rgb)
{
    return (dn_pixels){.pixels = rgb, .width = SIDE, .height = SIDE, .stride = SIDE * 3, .format = DN_RGB8};
}

/* ---- a model's file with a score that is known ---- */

static void kept_model(const char *folder)
{
    char model_path[4096], picture[4096];
    dn_model_options *opening = make(sizeof *opening);
    dn_image_options *reading = make(sizeof *reading);
    dn_model_info *info = make(sizeof *info);
    dn_error *error = make(sizeof *error);
    dn_score *score = new_score();
    dn_model *model;
    dn_scorer *scorer;
    dn_image *image;
    dn_pixels pixels;

    snprintf(model_path, sizeof model_path, "%s/models/format2_calibrated.dnm", folder);
    snprintf(picture, sizeof picture, "%s/models/part.png", folder);
    dn_model_options_init(opening);
    opening->verify = DN_VERIFY_FULL;
    OK(dn_model_open_path(model_path, opening, &model, error));
    dn_model_info_init(info);
    OK(dn_model_get_info(model, info));
    CHECK(info->struct_size == sizeof *info && info->input_size == 32 && info->views == 3 && info->hidden == 4);
    CHECK(info->flow == 1 && info->positions == 1 && info->range_high == 0 && info->storage == DN_STORAGE_F16);
    OK(dn_scorer_create(model, NULL, &scorer, error));
    OK(dn_scorer_score_path(scorer, picture, score));
    CHECK(score->struct_size == sizeof *score && score->views == 3 && score->p_value == 1);
    CHECK(fabs(score->score - 0.25772511705816864) < 1e-4 && !score->anomalous);
    dn_scorer_free(scorer);
    dn_model_unref(model);

    dn_image_options_init(reading);
    OK(dn_image_open_path(picture, reading, &image, error));
    dn_image_pixels(image, &pixels);
    CHECK(pixels.width > 0 && pixels.height > 0);
    reading->max_pixels = (int64_t)pixels.width * pixels.height - 1;
    dn_image_free(image);
    CHECK(dn_image_open_path(picture, reading, &image, error) == DN_E_LIMIT && error->status == DN_E_LIMIT);
    free(score);
    free(error);
    free(info);
    free(reading);
    free(opening);
}

/* ---- from images to a model, with both densities ---- */

static int32_t count_progress(const dn_progress *progress, void *user)
{
    int *calls = user;

    CHECK(progress->struct_size >= sizeof *progress && progress->done <= progress->total);
    ++*calls;
    return 0;
}

static dn_model *train(void)
{
    static const int32_t channels[5] = {4, 4, 6, 6, 8};
    static uint8_t rgb[SIDE * SIDE * 3];
    dn_extractor_options *extracting = make(sizeof *extracting);
    dn_train_options *options = make(sizeof *options);
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_model *model;
    int calls = 0;

    dn_extractor_options_init(extracting);
    extracting->input_size = 64;
    extracting->scales = 1;
    OK(dn_extractor_random(channels, 1, extracting, &extractor, NULL));
    dn_train_options_init(options);
    options->epochs = 2;
    options->epoch_steps = 1;
    options->hidden = 8;
    options->blocks = 2;
    options->bank = 4;
    options->views = 3;
    options->heatmap_images = 1;
    options->calibration = DN_CALIBRATION_SPLIT;
    options->holdout = 0.34;
    options->seed = 5;
    OK(dn_trainer_create(extractor, options, &trainer, NULL));
    for (uint32_t i = 1; i <= IMAGES; i++) {
        dn_pixels view = view_of(rgb);
        draw(rgb, i);
        OK(dn_trainer_add_pixels(trainer, &view));
    }
    OK(dn_trainer_note(trainer, "line", "7"));
    CHECK(dn_trainer_run(trainer, count_progress, &calls, &model) == DN_OK && calls > 3);
    dn_trainer_free(trainer);
    dn_extractor_unref(extractor);
    free(options);
    free(extracting);
    return model;
}

static void check_training(dn_model *model)
{
    dn_model_info *info = make(sizeof *info);
    const char *value = "";

    dn_model_info_init(info);
    OK(dn_model_get_info(model, info));
    CHECK(info->seed == 5 && info->epochs == 2 && info->hidden == 8 && info->blocks == 2 && info->views == 3);
    CHECK(info->train_images == 4 && info->holdout_images == 2 && info->positions == 1 && info->bank == 4);
    CHECK(strcmp(dn_model_note(model, 0, &value), "line") == 0 && strcmp(value, "7") == 0);
    free(info);
}

/* Alone, in a batch whose scores lie behind one another in this header's size, and after writing and reading: the same. */
static void check_scores(dn_model *model)
{
    static uint8_t rgb[3][SIDE * SIDE * 3];
    dn_score *scores = make(3 * sizeof *scores), *single = new_score();
    dn_scorer_options *options = make(sizeof *options);
    dn_pixels views[3];
    dn_scorer *scorer;
    dn_model *again;
    dn_blob *blob;

    dn_scorer_options_init(options);
    options->threads = 2;
    OK(dn_model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    OK(dn_model_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &again, NULL));
    OK(dn_scorer_create(again, options, &scorer, NULL));
    for (uint32_t i = 0; i < 3; i++) {
        draw(rgb[i], i + 10);
        views[i] = view_of(rgb[i]);
        dn_score_init(&scores[i]);
    }
    OK(dn_scorer_score_batch(scorer, views, 3, scores, NULL));
    dn_scorer_free(scorer);
    OK(dn_scorer_create(model, NULL, &scorer, NULL));
    for (int i = 0; i < 3; i++) {
        OK(dn_scorer_score(scorer, &views[i], single));
        CHECK(memcmp(single, &scores[i], sizeof *single) == 0 && single->score > 0);
    }
    OK(dn_scorer_set_threshold(scorer, single->score / 2));
    OK(dn_scorer_decide(scorer, &views[2], single));
    CHECK(single->anomalous == 1);
    dn_scorer_free(scorer);
    dn_model_unref(again);
    dn_blob_free(blob);
    free(options);
    free(single);
    free(scores);
}

static void check_map(dn_model *model)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    float *map = make(SIDE * SIDE * sizeof *map), peak = 0;
    dn_localizer_options *options = make(sizeof *options);
    dn_box *boxes = make(2 * sizeof *boxes);
    dn_localizer *localizer;
    dn_pixels view = view_of(rgb);
    int32_t count;

    draw(rgb, 20);
    dn_localizer_options_init(options);
    OK(dn_localizer_create(model, options, &localizer, NULL));
    OK(dn_localizer_map(localizer, &view, map));
    for (int i = 0; i < SIDE * SIDE; i++)
        peak = fmaxf(peak, map[i]);
    OK(dn_localizer_boxes(localizer, map, SIDE, SIDE, peak / 2, boxes, 2, &count));
    CHECK(count >= 1 && boxes[0].peak == peak && boxes[0].area >= 1 && boxes[0].mean <= peak);
    CHECK(boxes[0].x >= 0 && boxes[0].x + boxes[0].width <= SIDE);
    dn_localizer_free(localizer);
    free(boxes);
    free(options);
    free(map);
}

static void check_monitor(void)
{
    dn_monitor_options *options = make(sizeof *options);
    dn_monitor_state *state = make(sizeof *state);
    dn_monitor *monitor;

    dn_monitor_options_init(options);
    options->window = 10;
    OK(dn_monitor_create(options, &monitor, NULL));
    for (int i = 0; i < 100; i++)
        OK(dn_monitor_add(monitor, (i % 10 + 0.5) / 10));
    dn_monitor_state_init(state);
    OK(dn_monitor_get_state(monitor, state));
    CHECK(state->images == 100 && !state->moved && state->recent_images == 10 && fabs(state->recent_mean - 0.5) < 1e-9);
    dn_monitor_free(monitor);
    free(state);
    free(options);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    kept_model(arguments[1]);
    dn_model *model = train();
    check_training(model);
    check_scores(model);
    check_map(model);
    check_monitor();
    dn_model_unref(model);
    return 0;
}
