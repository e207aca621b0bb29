/* Fuzz target: model files, and scoring with a valid one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define SIDE 16

static uint8_t *picture(int which)
{
    static uint8_t pixels[SIDE * SIDE];

    for (int i = 0; i < SIDE * SIDE; i++)
        pixels[i] = (uint8_t)(i * (37 + 5 * which));
    return pixels;
}

/* Scores one picture under one view, with its map where the model has a density at every position. */
static void use(dn_model *model, _Bool positions)
{
    static float map[SIDE * SIDE];
    dn_pixels image = {.pixels = picture(0), .width = SIDE, .height = SIDE, .format = DN_GRAY8};
    dn_scorer_options options;
    dn_scorer *scorer;
    dn_score score;

    dn_scorer_options_init(&options);
    options.views = 1;
    if (dn_scorer_create(model, &options, &scorer, NULL) != DN_OK)
        return;
    dn_score_init(&score);
    dn_status status = positions ? dn_scorer_inspect(scorer, &image, map, &score)
                                 : dn_scorer_score(scorer, &image, &score);
    if (status != DN_OK)
        fuzz_require(dn_scorer_error(scorer)->message[0] != '\0', "an error is described");
    else
        fuzz_require(isfinite(score.score) && score.score >= 0, "a score is finite");
    for (int i = 0; status == DN_OK && positions && i < SIDE * SIDE; i++)
        fuzz_require(isfinite(map[i]), "a map is finite");
    dn_scorer_free(scorer);
}

/* Opens and saves, which takes memory of this allocator. */
static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    dn_model_options options;
    dn_model *model;
    dn_blob *blob = NULL;

    dn_model_options_init(&options);
    options.verify = DN_VERIFY_HEADER;
    options.allocator = allocator;
    dn_status status = dn_model_open_memory(data, size, &options, &model, NULL);
    if (status == DN_OK)
        status = dn_model_save_memory(model, data[size - 1] % 2 ? DN_STORAGE_F16 : DN_STORAGE_F32, &blob, NULL);
    dn_blob_free(blob);
    dn_model_unref(model);
    return status;
}

/* A model that is saved can be opened: the status of saving. */
static dn_status save(const dn_model *model, int32_t storage)
{
    dn_model_options options;
    dn_model *again;
    dn_blob *blob;
    dn_error error = {0};

    dn_status status = dn_model_save_memory(model, storage, &blob, &error);
    fuzz_require((status == DN_OK) == (blob != NULL), "bytes, or a failure");
    if (status != DN_OK) {
        fuzz_require(error.status == status && error.message[0], "an error is described");
        return status;
    }
    dn_model_options_init(&options);
    options.verify = DN_VERIFY_HEADER;
    fuzz_require(dn_model_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, &again, &error) == DN_OK,
                 error.message);
    dn_model_unref(again);
    dn_blob_free(blob);
    return status;
}

/* What is verified as well opens only if it opens without that. */
static void check_verified(const uint8_t *data, size_t size, dn_status unverified)
{
    dn_model *model;
    dn_status status = dn_model_open_memory(data, size, NULL, &model, NULL);

    fuzz_require((status == DN_OK) == (model != NULL), "a model, or a failure");
    fuzz_require(status != DN_OK || unverified == DN_OK, "verification accepts less");
    dn_model_unref(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_model_options options;
    dn_model_info info;
    dn_model *model;
    dn_error error = {0};

    dn_model_options_init(&options);
    /* The checksum would stop nearly everything at the door, so this is the way in, and weights of any bits are used.
     * */
    options.verify = DN_VERIFY_HEADER;
    dn_status status = dn_model_open_memory(data, size, &options, &model, &error);
    check_verified(data, size, status);
    if (status != DN_OK) {
        fuzz_require(!model && error.status == status && error.message[0], "an error is described");
        fuzz_fail_allocations(open_with, data, size, status);
        return 0;
    }
    fuzz_fail_allocations(open_with, data, size, save(model, data[size - 1] % 2 ? DN_STORAGE_F16 : DN_STORAGE_F32));
    dn_model_info_init(&info);
    fuzz_require(dn_model_get_info(model, &info) == DN_OK, "info");
    if (info.parameters < 100000 && info.input_size <= 128)
        use(model, info.positions);
    dn_model_unref(model);
    return 0;
}

/* All that a model can hold beside its densities: a mask, a range, a note, an operating point, details. */
static void choose_all(dn_train_options *options)
{
    options->fit = DN_FIT_LETTERBOX;
    options->range_low = 100;
    options->range_high = 65000;
    options->copies = DN_COPIES_MIRROR;
    options->details = DN_DETAILS_ON;
    options->calibration = DN_CALIBRATION_CROSS;
    options->folds = 2;
}

static void add_all(dn_trainer *trainer, const dn_pixels *image)
{
    fuzz_require(dn_trainer_set_mask(trainer, image, DN_MASK_INCLUDE) == DN_OK &&
                     dn_trainer_note(trainer, "camera", "4") == DN_OK,
                 "a mask and a note");
}

/* The same model with an operating point. */
static dn_model *with_point(dn_model *model)
{
    dn_calibrator *calibrator;
    dn_model *made = NULL;

    fuzz_require(dn_calibrator_create(model, NULL, &calibrator, NULL) == DN_OK, "calibrator");
    fuzz_require(dn_calibrator_set_point(calibrator, "strict", 1.5) == DN_OK &&
                     dn_calibrator_set_point(calibrator, "usual", 2.5) == DN_OK &&
                     dn_calibrator_model(calibrator, &made) == DN_OK,
                 "operating points");
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
    return made;
}

/* Models on the smallest AlexNet with scores of good images, by turns in float32 and float16: both densities, with a flow
 * of one block that is hardly trained; the flow alone; the density at every position alone; both and all else; two
 * tiles. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    enum { BOTH, FLOW, POSITIONS, ALL, TILES, KINDS };
    static const int32_t channels[5] = {1, 2, 1, 2, 2};
    dn_pixels image = {.pixels = picture(0), .width = SIDE, .height = SIDE, .format = DN_GRAY8};
    dn_extractor_options extractor_options;
    dn_train_options train_options;
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_model *model;
    dn_blob *blob;

    if (index >= 2 * KINDS)
        return NULL;
    dn_extractor_options_init(&extractor_options);
    extractor_options.input_size = 64;
    extractor_options.scales = 1;
    dn_train_options_init(&train_options);
    train_options.epochs = 1;
    train_options.hidden = 2;
    train_options.blocks = 1;
    train_options.bank = 1;
    train_options.views = 1;
    train_options.heatmap_images = 0;
    train_options.flow = index / 2 != POSITIONS;
    train_options.positions = index / 2 != FLOW;
    train_options.tile_columns = index / 2 == TILES ? 2 : 1;
    if (index / 2 == ALL)
        choose_all(&train_options);
    fuzz_require(dn_extractor_random(channels, 1, &extractor_options, &extractor, NULL) == DN_OK, "extractor");
    fuzz_require(dn_trainer_create(extractor, &train_options, &trainer, NULL) == DN_OK, "trainer");
    if (index / 2 == ALL)
        add_all(trainer, &image);
    for (int i = 0; i < 4; i++) {
        image.pixels = picture(i);
        fuzz_require(dn_trainer_add_pixels(trainer, &image) == DN_OK, "image");
    }
    fuzz_require(dn_trainer_run(trainer, NULL, NULL, &model) == DN_OK, dn_trainer_error(trainer)->message);
    if (index / 2 == ALL)
        model = with_point(model);
    fuzz_require(dn_model_save_memory(model, index % 2 ? DN_STORAGE_F16 : DN_STORAGE_F32, &blob, NULL) == DN_OK,
                 "saving");
    *size = dn_blob_size(blob);
    uint8_t *bytes = malloc(*size);
    fuzz_require(bytes != NULL, "memory");
    memcpy(bytes, dn_blob_data(blob), *size);
    dn_blob_free(blob);
    dn_model_unref(model);
    dn_trainer_free(trainer);
    dn_extractor_unref(extractor);
    return bytes;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    fuzz_repair_sums(data, size);
}
