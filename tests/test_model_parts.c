/* Parts of a model that do not fit, as a file put together by hand can have them: facts, operating points, densities.
 * And copies of a whole model, and its opening, without memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet/model_points.h"
#include "small_model.h"
#include "training.h"

/* ---- facts ---- */

static dn_model *model_of_facts(void)
{
    const model_facts facts = {.views = 4,
                               .angles = DN_ANGLES_STRATIFIED,
                               .standardized = 1,
                               .seed = UINT64_MAX,
                               .heatmap_scale = 0.25,
                               .calibration = DN_CALIBRATION_CROSS,
                               .folds = 5,
                               .fit = DN_FIT_LETTERBOX,
                               .range = {100, 4000},
                               .copies = DN_COPIES_MIRROR,
                               .preset = "compactcompact",
                               .library = "1234567"};

    return small_model_of(&facts);
}

/* A key twice, a number where a text should be and the other way round, what no terminal shall show. */
START_TEST(facts_that_cannot_be)
{
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"\\\"18446744073709551615\\\"", "123456789012345678901234", "the fact \"seed\""},
        {"\\\"1234567\\\"", "12345678901", "the fact \"library\""},
        {"1234567\\\"", "\\\\u001f\\\"", "the fact \"library\""},
        {"\\\"epochs\\\"", "\\\"scales\\\"", "differnet.facts"},
        {"\\\"heatmap_scale\\\":0.25", "\\\"final_loss\\\":   0.25", "differnet.facts"},
        {"\\\"library\\\"", "\\\"storage\\\"", "differnet.facts"},
        {"\\\"calibration\\\":", "\\\"folds\\\":      ", "differnet.facts"},
        {"\\\"folds\\\":5", "\\\"folds\\\":x", "differnet.facts"},
        {"\\\"folds\\\":5", "\\\"folds\\\":-", "differnet.facts"},
        {"\\\"calibration\\\":2", "\\\"calibration\\\":9", "the fact \"calibration\""},
        {"\\\"heatmap_scale\\\":0.25", "\\\"heatmap_scale\\\":-0.2", "the fact \"heatmap_scale\""},
        {"\\\"heatmap_scale\\\":0.25", "\\\"heatmap_scale\\\":null", "the fact \"heatmap_scale\""},
        {"\"compactcompact\"", "\"compact,ompact\"", "differnet.preset"},
        {"\\\"tile_columns\\\":1,\\\"tile_rows\\\":1", "\\\"tile_columns\\\":33,\\\"tile_row\\\":1", "out of range"},
        {"\\\"tile_columns\\\":1,\\\"tile_rows\\\":1", "\\\"tile_columns\\\":1,\\\"tile_rows\\\":0", "out of range"},
        {"\\\"tile_rows\\\":1,\\\"fit\\\":\\\"letterbox\\\"", "\\\"tile_rows\\\":33,\\\"fit\\\":\\\"stretch\\\" ",
         "out of range"},
        {"\\\"tile_columns\\\":1,", "\\\"tile_columms\\\":1,", "out of range"},
        {"\\\"low\\\":100,\\\"high\\\"", "\\\"low\\\":100,\\\"low\\\" ", "differnet.range"},
        {"\\\"low\\\":100,\\\"high\\\"", "\\\"high\\\":10,\\\"high\\\"", "differnet.range"},
    };
    const dn_model_options options = {.struct_size = sizeof options, .verify = DN_VERIFY_FULL};
    dn_model *model = model_of_facts(), *opened;
    dn_blob *blob;

    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    uint8_t *bytes = malloc(blob->size);
    ck_ok(model_open_memory(blob->data, blob->size, &options, &opened, NULL));
    ck_assert_mem_eq(&opened->facts, &model->facts, sizeof model->facts);
    model_unref(opened);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_error error = {0};
        memcpy(bytes, blob->data, blob->size);
        replace_text(bytes, blob->size, cases[i].from, cases[i].to);
        sign_file(bytes, blob->size);
        ck_assert_msg(model_open_memory(bytes, blob->size, &options, &opened, &error) == DN_E_FORMAT, "%zu: %s", i,
                      error.message);
        ck_assert_ptr_null(opened);
        check_error(&error, DN_E_FORMAT, cases[i].part);
    }
    free(bytes);
    blob_free(blob);
    model_unref(model);
}
END_TEST

/* ---- files with some tensors only ---- */

static st_file *parse(st_writer *writer, dn_blob **blob)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error = {0};
    st_file *file;

    st_writer_kind(writer, ST_MODEL, 5);
    ck_assert_msg(st_writer_save_memory(writer, blob, &error) == DN_OK, "%s", error.message);
    ck_assert_msg(st_parse((*blob)->data, (*blob)->size, "by hand", &allocator, &file, &error) == DN_OK, "%s",
                  error.message);
    st_writer_free(writer);
    return file;
}

/* NULL for names, a count of -1 for thresholds: not in the file. */
static dn_status read_points(const char *names, int64_t count, const double *thresholds, model_points *points,
                             dn_error *error)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    dn_blob *blob;

    *points = (model_points){0};
    if (names)
        st_writer_metadata(writer, "differnet.points", names);
    if (count >= 0)
        st_writer_tensor(writer, "points.thresholds", ST_F64, ST_F64, 1, &count, thresholds);
    st_file *file = parse(writer, &blob);
    dn_status status = model_points_read(file, points, error);
    st_free(file);
    blob_free(blob);
    return status;
}

START_TEST(points_that_cannot_be)
{
    static const double thresholds[DN_POINTS + 1] = {0.5, 2};
    static const double infinite[] = {1, (double)INFINITY}, negative[] = {1, -1};
    static const struct {
        const char *names;
        int64_t count;
        const double *thresholds;
        dn_status status;
        const char *part;
    } cases[] = {
        {"a,b", -1, NULL, DN_E_FORMAT, "points.thresholds is missing"},
        {NULL, 2, thresholds, DN_E_FORMAT, "1 to 16 operating points"},
        {"", 0, thresholds, DN_E_FORMAT, "1 to 16 operating points"},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", 17, thresholds, DN_E_FORMAT, "1 to 16 operating points"},
        {"a,b", 2, infinite, DN_E_NUMERIC, "holds NaN or infinity"},
        {"a,b", 2, negative, DN_E_FORMAT, "its threshold is -1"},
        {"a,b,c", 2, thresholds, DN_E_FORMAT, "does not name each of the 2"},
        {"a,b,", 2, thresholds, DN_E_FORMAT, "does not name each of the 2"},
        {"a,a", 2, thresholds, DN_E_FORMAT, "does not name each of the 2"},
        {"a", 2, thresholds, DN_E_FORMAT, "operating point's name"},
        {"a,", 2, thresholds, DN_E_FORMAT, "operating point's name"},
    };
    model_points points;
    dn_error error;
    double threshold;

    ck_ok(read_points(NULL, -1, NULL, &points, NULL));
    ck_assert_int_eq(points.count, 0);
    ck_ok(read_points("a,b", 2, thresholds, &points, NULL));
    ck_assert_int_eq(points.count, 2);
    ck_ok(model_points_find(&points, "b", &threshold, NULL));
    ck_assert_double_eq(threshold, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_status(read_points(cases[i].names, cases[i].count, cases[i].thresholds, &points, &error), cases[i].status);
        check_error(&error, cases[i].status, cases[i].part);
    }
}
END_TEST

/* Sizes of the grid are looked at before anything is allocated for it. */
START_TEST(grids_that_cannot_be)
{
    enum { CHANNELS = POSITIONS_MAX_DIMS + 2 };
    static const int64_t shapes[][3] = {
        {0, 2, 2}, {POSITIONS_MAX_SIDE + 1, 2, 2}, {2, 0, 2},           {2, POSITIONS_MAX_SIDE + 1, 2},
        {2, 2, 0}, {1, 1, POSITIONS_MAX_DIMS + 1}, {1, 1, CHANNELS + 1}};
    static float numbers[4 * (POSITIONS_MAX_SIDE + 1)];

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        failing_memory memory = {0};
        dn_allocator plain = mem_allocator(NULL), counting = failing_allocator(&memory);
        st_writer *writer = st_writer_create(&plain);
        dn_error error;
        dn_blob *blob;
        positions *density = (positions *)(uintptr_t)&memory;
        st_writer_tensor(writer, "positions.centre", ST_F32, ST_F32, 3, shapes[i], numbers);
        st_file *file = parse(writer, &blob);
        int32_t channels = shapes[i][2] > CHANNELS ? POSITIONS_MAX_DIMS - 1 : CHANNELS;
        ck_status(positions_from_tensors(file, "positions.", channels, &counting, NULL, 1, &density, &error),
                  DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT, "dimensions cannot be");
        ck_assert_ptr_null(density);
        ck_assert_int_eq(memory.calls, 0);
        st_free(file);
        blob_free(blob);
    }
}
END_TEST

/* ---- densities that do not fit their model ---- */

static positions *grid_of(int32_t rows, int32_t columns, int32_t channels)
{
    dn_allocator allocator = mem_allocator(NULL);
    positions *density;

    ck_ok(positions_allocate(rows, columns, channels, 2, 1, &allocator, &density, NULL));
    return density;
}

START_TEST(densities_that_do_not_fit)
{
    dn_model *model = model_of_facts(), *tiled;
    const maps_geometry maps = model->plan.grid, fine = maps_details_of(model->extractor);
    const model_facts in_tiles = {.views = 1, .tile_columns = 2};
    const struct {
        int32_t rows, columns, channels; /* more than there are */
        int32_t fine_rows, fine_columns, fine_channels;
        double weight;
    } cases[] = {{1, 0, 0, 0, 0, 0, 1}, {0, 1, 0, 0, 0, 0, 1}, {0, 0, 1, 0, 0, 0, 1}, {0, 0, 0, 1, 0, 0, 1},
                 {0, 0, 0, 0, 1, 0, 1}, {0, 0, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, (double)NAN}};
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error;

    for (size_t i = 0; i <= sizeof cases / sizeof *cases; i++) {
        _Bool fits = i == sizeof cases / sizeof *cases;
        positions *density = grid_of(maps.rows + (fits ? 0 : cases[i].rows),
                                     maps.columns + (fits ? 0 : cases[i].columns),
                                     maps.channels + (fits ? 0 : cases[i].channels));
        density->details = grid_of(fine.rows + (fits ? 0 : cases[i].fine_rows),
                                   fine.columns + (fits ? 0 : cases[i].fine_columns),
                                   fine.channels + (fits ? 0 : cases[i].fine_channels));
        density->detail_weight = fits ? 1 : cases[i].weight;
        dn_status status = model_set_positions(model, density, &error);
        if (fits) {
            ck_ok(status);
        } else {
            ck_status(status, DN_E_ARGUMENT);
            check_error(&error, DN_E_ARGUMENT, "does not fit");
            ck_assert_ptr_null(model->positions);
        }
        positions_unref(density);
    }
    /* Details are of one tile alone. */
    ck_ok(model_create(model->extractor, &in_tiles, &allocator, &tiled, NULL));
    positions *density = grid_of(tiled->plan.grid.rows, tiled->plan.grid.columns, tiled->plan.grid.channels);
    density->details = grid_of(fine.rows, fine.columns, fine.channels);
    density->detail_weight = 1;
    ck_status(model_set_positions(tiled, density, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "of one tile");
    positions_unref(density);
    model_unref(tiled);
    model_unref(model);
}
END_TEST

START_TEST(more_good_scores_than_a_model_takes)
{
    dn_model *model = small_model();
    double score = 1;
    dn_error error;

    ck_status(model_set_holdout(model, &score, MODEL_MAX_HOLDOUT + 1, &error), DN_E_ARGUMENT);
    check_error(&error, DN_E_ARGUMENT, "held-out scores, allowed are 0 to");
    ck_status(model_set_holdout(model, &score, -1, &error), DN_E_ARGUMENT);
    ck_ok(model_set_holdout(model, &score, 1, &error));
    ck_assert_int_eq(model->holdout_count, 1);
    model_unref(model);
}
END_TEST

START_TEST(features_that_nothing_standardises)
{
    static const float means[][4] = {{0, 0, (float)NAN, 0}, {0}, {0}, {0}};
    static const float deviations[][4] = {{1, 1, 1, 1}, {1, 1, (float)INFINITY, 1}, {1, 1, 0, 1}, {1, 1, -1, 1}};
    const model_facts facts = {.views = 1};
    dn_allocator allocator = mem_allocator(NULL);
    dn_model *model = small_model(), *made;
    dn_error error;

    for (size_t i = 0; i < 4; i++) {
        ck_status(model_create_with_flow(model->extractor, model->flow, means[i], deviations[i], &facts, &allocator,
                                         &made, &error),
                  DN_E_ARGUMENT);
        check_error(&error, DN_E_ARGUMENT, "feature 2: ");
        ck_assert_ptr_null(made);
    }
    model_unref(model);
}
END_TEST

/* ---- maps larger than a density ---- */

/* A network of one convolution, every second pixel. */
static dn_extractor *wide_maps(int32_t width, int32_t height)
{
    static const int64_t shape[4] = {1, 3, 1, 1};
    static const float weight[3] = {1, 1, 1};
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_error error = {0};
    dn_blob *blob;

    st_writer_tensor(writer, "w", ST_F32, ST_F32, 4, shape, weight);
    st_writer_metadata(writer, "differnet.layers",
                       "[{\"op\":\"conv\",\"weight\":\"w\",\"stride\":2,\"map\":true},{\"op\":\"relu\",\"tap\":true}]");
    ck_ok(st_writer_save_memory(writer, &blob, NULL));
    st_writer_free(writer);
    dn_extractor_options_init(&options);
    options.scales = 1;
    options.input_size = width;
    options.input_height = height;
    ck_assert_msg(dn_extractor_open_memory(blob->data, blob->size, &options, &extractor, &error) == DN_OK, "%s",
                  error.message);
    blob_free(blob);
    return extractor;
}

START_TEST(maps_of_too_many_cells)
{
    for (int across = 0; across < 2; across++) {
        dn_extractor *extractor = wide_maps(across ? 2048 : 64, across ? 64 : 2048);
        dn_train_options options = tiny_options();
        dn_trainer *trainer;
        dn_model *model;
        options.positions = 1;
        options.flow = 0;
        options.preset = DN_PRESET_FAST;
        options.epochs = 0;
        ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
        dn_extractor_unref(extractor);
        for (uint32_t i = 1; i <= 3; i++)
            ck_ok(add_picture(trainer, i));
        trainer_fails(trainer, dn_trainer_run(trainer, NULL, NULL, &model), DN_E_LIMIT, "at most 512 x 512");
        ck_assert_ptr_null(model);
        dn_trainer_free(trainer);
    }
}
END_TEST

/* Maps of views: told where there is no memory, and where they overflow. */
START_TEST(maps_that_cannot_be_had)
{
    static const int32_t channels[5] = {4, 4, 4, 4, 4};
    static float views[SMALL_SIDE * SMALL_SIDE * 3], maps[64 * 64];
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_error error;

    dn_extractor_options_init(&options);
    options.input_size = SMALL_SIDE;
    options.scales = 1;
    options.allocator = &allocator;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    memory.fail_at = memory.calls + 1;
    ck_status(dn_extractor_maps(extractor, views, 1, maps, &error), DN_E_MEMORY);
    check_error(&error, DN_E_MEMORY, "out of memory");
    ck_ok(dn_extractor_maps(extractor, views, 1, maps, &error));
    for (int i = 0; i < SMALL_SIDE * SMALL_SIDE * 3; i++)
        views[i] = 3e38f;
    ck_status(dn_extractor_maps(extractor, views, 1, maps, &error), DN_E_NUMERIC);
    dn_extractor_unref(extractor);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- without memory ---- */

/* With all that a model can have: both densities, details, a mask, notes. */
static dn_model *whole_model(void)
{
    uint8_t gray[PICTURE_WIDTH * PICTURE_HEIGHT];
    dn_pixels mask = {.pixels = gray, .width = PICTURE_WIDTH, .height = PICTURE_HEIGHT, .format = DN_GRAY8};
    dn_train_options options = tiny_options();
    dn_model *model;

    memset(gray, 0, sizeof gray);
    memset(gray, 255, sizeof gray / 2);
    options.epochs = 1;
    options.positions = 1;
    options.position_dims = 3;
    options.copies = DN_COPIES_NONE;
    options.details = DN_DETAILS_ON;
    options.light = 0;
    options.heatmap_images = 0;
    dn_trainer *trainer = tiny_trainer(&options, 0);
    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    for (uint32_t i = 1; i <= 5; i++)
        ck_ok(add_picture(trainer, i));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    return model;
}

/* As a calibrator copies it. */
static dn_status copy_whole(const dn_model *model, const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    dn_status status = model_copy(model, allocator, out, error);

    if (status == DN_OK)
        status = model_notes_copy(&(*out)->notes, &model->notes, allocator, error);
    if (status != DN_OK) {
        model_unref(*out);
        *out = NULL;
    }
    return status;
}

START_TEST(masks_that_cannot_be)
{
    static const char *const texts[] = {"\\\"width\\\":40,\\\"width\\\": 32", "\\\"width\\\":40,\\\"height\\\":-2",
                                        "\\\"width\\\":-4,\\\"height\\\":32", "\\\"width\\\":40,\\\"height\\\":33"};
    const dn_model_options options = {.struct_size = sizeof options, .verify = 1};
    dn_model *model = whole_model(), *opened;
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob);
    uint8_t *bytes = malloc(size);

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dn_error error;
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, "\\\"width\\\":40,\\\"height\\\":32", texts[i]);
        sign_file(bytes, size);
        ck_status(model_open_memory(bytes, size, &options, &opened, &error), DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT, "mask");
        ck_assert_ptr_null(opened);
    }
    free(bytes);
    dn_blob_free(blob);
    model_unref(model);
}
END_TEST

/* Sizes beyond 2^31, in a header where a note gives them room. */
START_TEST(masks_of_impossible_sizes)
{
    static const char from[] = "\\\"width\\\":40,\\\"height\\\":32}", note_text[] = "0123456789";
    static const char *const texts[] = {"\\\"width\\\":4294967336,\\\"height\\\":32}",
                                        "\\\"width\\\":40,\\\"height\\\":4294967328}"};
    const dn_model_options options = {.struct_size = sizeof options, .verify = 1};
    dn_model *model = whole_model(), *opened;
    dn_error error;
    dn_blob *blob;

    ck_ok(model_notes_set(&model->notes, "part", note_text, &model->allocator, NULL));
    for (int i = 0; i < 2; i++) {
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        uint8_t *at = find_text(blob->data, blob->size, from), *end = at + strlen(from);
        uint8_t *start = find_text(blob->data, blob->size, note_text) + strlen(note_text);
        const size_t more = strlen(texts[i]) - strlen(from);
        ck_assert(start < at);
        memmove(start - more, start, (size_t)(at - start));
        memcpy(end - strlen(texts[i]), texts[i], strlen(texts[i]));
        sign_file(blob->data, blob->size);
        ck_status(model_open_memory(blob->data, blob->size, &options, &opened, &error), DN_E_FORMAT);
        check_error(&error, DN_E_FORMAT, "differnet.mask is not");
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* Of maps with one channel, all numbers 1. */
static positions *ones(int32_t side)
{
    dn_allocator allocator = mem_allocator(NULL);
    positions *density;

    ck_ok(positions_allocate(side, side, 1, 1, 1, &allocator, &density, NULL));
    density->mean[0] = density->projection[0] = 1;
    for (int32_t i = 0; i < side * side; i++)
        density->centre[i] = density->owned[i] = 1;
    return density;
}

/* Details of maps that the backbone, which is no AlexNet, does not have. */
START_TEST(details_that_the_backbone_lacks)
{
    dn_extractor *extractor = wide_maps(64, 64);
    dn_allocator allocator = mem_allocator(NULL);
    model_facts facts = {.views = 1, .whole_share = 0.1, .positions_scale = 1, .standards = {{0, 1}, {0, 1}, {0, 1}}};
    const dn_model_options options = {.struct_size = sizeof options, .verify = 1};
    dn_model *model, *opened;
    positions *density = ones(32);
    dn_error error;
    dn_blob *blob;

    ck_ok(model_create(extractor, &facts, &allocator, &model, NULL));
    ck_ok(model_set_positions(model, density, NULL));
    for (int i = 0; i < 2; i++) {
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        dn_status status = model_open_memory(blob->data, blob->size, &options, &opened, &error);
        ck_assert_msg(status == (i ? DN_E_FORMAT : DN_OK), "%s", error.message);
        if (i)
            check_error(&error, DN_E_FORMAT, "details, which the backbone does not have");
        model_unref(opened);
        blob_free(blob);
        density->details = i ? density->details : ones(32);
    }
    positions_unref(density);
    model_unref(model);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(copied_and_opened_without_memory)
{
    dn_model *model = whole_model(), *made;
    dn_blob *blob = model_bytes(model);

    for (int opening = 0; opening < 2; opening++) {
        dn_status status = DN_E_MEMORY;
        long n;
        for (n = 1; status != DN_OK; n++) {
            failing_memory memory = {.fail_at = n};
            dn_allocator allocator = failing_allocator(&memory);
            const dn_model_options options = {.struct_size = sizeof options, .verify = 1, .allocator = &allocator};
            dn_error error = {0};
            status = opening ? model_open_memory(blob->data, blob->size, &options, &made, &error)
                             : copy_whole(model, &allocator, &made, &error);
            if (status == DN_OK) {
                memory.fail_at = 0;
                dn_blob *again = model_bytes(made);
                ck_assert(same_bytes(blob, again));
                dn_blob_free(again);
                model_unref(made);
            } else {
                check_error(&error, DN_E_MEMORY, "out of memory");
                ck_assert_ptr_null(made);
            }
            ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
            ck_assert_int_lt(n, 1000);
        }
        ck_assert_int_gt(n, 10);
    }
    dn_blob_free(blob);
    model_unref(model);
}
END_TEST

/* A verdict as soon as it is certain; a map of the positions. */
static dn_status decide_with(dn_model *model, const dn_allocator *allocator, const dn_pixels *view, double *told)
{
    dn_scorer_options options;
    dn_scorer *scorer;
    dn_score score;

    dn_scorer_options_init(&options);
    dn_score_init(&score);
    options.allocator = allocator;
    options.views = 2; /* fewer than the model's: they have good scores of their own */
    dn_status status = dn_scorer_create(model, &options, &scorer, NULL);
    if (status == DN_OK)
        status = dn_scorer_decide(scorer, view, &score);
    *told = score.score;
    dn_scorer_free(scorer);
    return status;
}

static dn_status map_with(dn_model *model, const dn_allocator *allocator, const dn_pixels *view, double *told)
{
    static float map[PICTURE_WIDTH * PICTURE_HEIGHT];
    dn_localizer_options options;
    dn_localizer *localizer;

    dn_localizer_options_init(&options);
    options.allocator = allocator;
    options.method = DN_MAP_POSITIONS;
    dn_status status = dn_localizer_create(model, &options, &localizer, NULL);
    if (status == DN_OK)
        status = dn_localizer_map(localizer, view, map);
    *told = max_abs(map, PICTURE_WIDTH * PICTURE_HEIGHT);
    dn_localizer_free(localizer);
    return status;
}

START_TEST(decided_and_mapped_without_memory)
{
    static dn_status (*const uses[])(dn_model *, const dn_allocator *, const dn_pixels *, double *) = {decide_with,
                                                                                                       map_with};
    uint8_t rgb[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    dn_model *model = whole_model();
    dn_pixels view = rgb_view(rgb, PICTURE_WIDTH, PICTURE_HEIGHT);
    double expected, told;

    draw_texture(rgb, PICTURE_WIDTH, PICTURE_HEIGHT, 9);
    for (size_t use = 0; use < sizeof uses / sizeof *uses; use++) {
        dn_status status = DN_E_MEMORY;
        long n;
        ck_ok(uses[use](model, NULL, &view, &expected));
        for (n = 1; status != DN_OK; n++) {
            failing_memory memory = {.fail_at = n};
            dn_allocator allocator = failing_allocator(&memory);
            status = uses[use](model, &allocator, &view, &told);
            ck_assert_msg(status == DN_OK || status == DN_E_MEMORY, "allocation %ld: status %d", n, status);
            ck_assert_msg(memory.live == 0, "allocation %ld: %ld blocks leak", n, memory.live);
            ck_assert_int_lt(n, 200);
        }
        ck_assert_int_gt(n, 5);
        ck_assert_double_gt(told, 0);
        ck_assert_double_eq(told, expected);
    }
    model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("model_parts");
    TCase *tests = tcase_create("model_parts");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, facts_that_cannot_be);
    tcase_add_test(tests, points_that_cannot_be);
    tcase_add_test(tests, grids_that_cannot_be);
    tcase_add_test(tests, densities_that_do_not_fit);
    tcase_add_test(tests, more_good_scores_than_a_model_takes);
    tcase_add_test(tests, features_that_nothing_standardises);
    tcase_add_test(tests, maps_of_too_many_cells);
    tcase_add_test(tests, maps_that_cannot_be_had);
    tcase_add_test(tests, masks_that_cannot_be);
    tcase_add_test(tests, masks_of_impossible_sizes);
    tcase_add_test(tests, details_that_the_backbone_lacks);
    tcase_add_test(tests, copied_and_opened_without_memory);
    tcase_add_test(tests, decided_and_mapped_without_memory);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
