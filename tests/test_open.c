/* Ways to open a model: mapped, from memory, with tensors at odd places; verified or not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "differnet/localize.h"
#include "differnet/score.h"
#include "failing_files.h"
#include "small_model.h"

static const dn_model_options trusting = {.struct_size = sizeof trusting, .verify = DN_VERIFY_HEADER};
static const dn_model_options checking = {.struct_size = sizeof checking, .verify = DN_VERIFY_FULL};

static dn_blob *file_of(const dn_model *model, int32_t storage)
{
    dn_blob *blob;

    ck_ok(model_save_memory(model, storage, &blob, NULL));
    return blob;
}

static dn_model *open_bytes(const dn_blob *blob, const dn_model_options *options)
{
    dn_error error = {0};
    dn_model *model;
    dn_status status = model_open_memory(blob->data, blob->size, options, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

static dn_model *open_path(const char *path, const dn_model_options *options)
{
    dn_error error = {0};
    dn_model *model;
    dn_status status = model_open_path(path, options, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

/* Scores the test's picture; the score is unset if that fails. */
static dn_status score_with(dn_model *model, dn_score *score, dn_error *error)
{
    const dn_scorer_options options = {
        .struct_size = sizeof options, .angles = -1, .threads = 1, .false_alarm_rate = 0.3};
    static uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_scorer *scorer;

    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 3);
    *score = (dn_score){0};
    ck_ok(scorer_create(model, &options, &scorer, NULL));
    dn_status status = scorer_score(scorer, &(scorer_input){.view = &view}, score, error);
    scorer_free(scorer);
    return status;
}

static dn_status map_with(dn_model *model, float *map, dn_error *error)
{
    const dn_localizer_options options = {
        .struct_size = sizeof options, .views = 2, .angles = -1, .threads = 1, .sigma = 3};
    static uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_localizer *localizer;

    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 3);
    ck_ok(localizer_create(model, &options, &localizer, NULL));
    dn_status status = localizer_map(localizer, &view, map, error);
    localizer_free(localizer);
    return status;
}

/* The same file with a blank more behind its header, so that no tensor is aligned. */
static dn_blob *shifted(const dn_blob *blob)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *odd = blob_create(&allocator);
    uint64_t header;

    ck_assert_ptr_nonnull(odd);
    memcpy(&header, blob->data, sizeof header);
    size_t data = 8 + (size_t)header;
    ck_assert(blob_append(odd, blob->data, data) && blob_append(odd, " ", 1) &&
              blob_append(odd, blob->data + data, blob->size - data));
    header++;
    memcpy(odd->data, &header, sizeof header);
    sign_file(odd->data, odd->size);
    return odd;
}

#define FIRST_WEIGHT "flow.blocks.0.net2.0.weight"

/* A tensor's bytes in a file. */
static uint8_t *tensor_in(dn_blob *blob, const char *name)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_file *file;

    ck_ok(st_parse(blob->data, blob->size, "file", &allocator, &file, NULL));
    size_t place = (size_t)(st_find(file, name)->data - blob->data);
    st_free(file);
    return blob->data + place;
}

/* ---- the same model, however it is opened ---- */

static void check_same_bits(dn_model *model, const dn_score *expected, const float *expected_map, _Bool in_place)
{
    float map[SMALL_SIDE * SMALL_SIDE];
    dn_score score;

    ck_assert_int_eq(model->flow->owned == NULL, in_place);
    ck_assert_int_eq(model->flow->keep_alive != NULL, in_place);
    ck_ok(score_with(model, &score, NULL));
    ck_assert_mem_eq(&score, expected, sizeof score);
    ck_ok(map_with(model, map, NULL));
    ck_assert_mem_eq(map, expected_map, sizeof map);
    model_unref(model);
}

START_TEST(same_bits)
{
    const char *folder = test_folder(), *path = path_join(folder, "part.dnm"), *odd_path = path_join(folder, "odd.dnm");
    const dn_model_options *const ways[] = {&checking, &trusting};
    float map[SMALL_SIDE * SMALL_SIDE];
    dn_model *model = small_model();
    dn_blob *blob = file_of(model, DN_STORAGE_F32), *odd = shifted(blob);
    dn_score score;

    ck_ok(score_with(model, &score, NULL));
    ck_ok(map_with(model, map, NULL));
    ck_assert(score.score > 0);
    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    write_file(odd_path, odd->data, odd->size);
    for (int i = 0; i < 2; i++) {
        check_same_bits(open_path(path, ways[i]), &score, map, 1);
        check_same_bits(open_bytes(blob, ways[i]), &score, map, 1);
        check_same_bits(open_path(odd_path, ways[i]), &score, map, 0);
        check_same_bits(open_bytes(odd, ways[i]), &score, map, 0);
    }
    blob_free(odd);
    blob_free(blob);
    model_unref(model);
}
END_TEST

/* A mapped file may lose its name. */
START_TEST(file_removed_after_opening)
{
    const char *path = path_join(test_folder(), "part.dnm");
    dn_model *model = small_model();
    dn_score expected, score;

    ck_ok(score_with(model, &expected, NULL));
    for (int32_t verify = DN_VERIFY_HEADER; verify <= DN_VERIFY_FULL; verify++) {
        ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
        dn_model *mapped = open_path(path, verify ? &checking : &trusting);
        ck_assert_int_eq(unlink(path), 0);
        ck_ok(score_with(mapped, &score, NULL));
        ck_assert_mem_eq(&score, &expected, sizeof score);
        model_unref(mapped);
    }
    model_unref(model);
}
END_TEST

/* The mapping goes with the last user of the flow; a file that is converted is closed at once. */
START_TEST(mapping_lives_as_long_as_the_flow)
{
    const char *folder = test_folder(), *path = path_join(folder, "part.dnm"), *half = path_join(folder, "half.dnm");
    dn_model *model = small_model();

    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    ck_ok(model_save(model, half, DN_STORAGE_F16, NULL));
    for (int i = 0; i < 2; i++) {
        files_fail_at(0);
        dn_model *opened = open_path(path, i ? &checking : &trusting);
        ck_assert_int_eq(files_open(), 1); /* the mapping; the file itself is closed */
        dn_flow *flow = flow_ref(opened->flow);
        model_unref(opened);
        ck_assert_int_eq(files_open(), 1);
        flow_unref(flow);
        ck_assert_int_eq(files_open(), 0);
        opened = open_path(half, i ? &checking : &trusting);
        ck_assert_int_eq(files_open(), 0);
        model_unref(opened);
        files_restore();
    }
    model_unref(model);
}
END_TEST

/* ---- damage ---- */

static void check_refused(const dn_blob *blob, const dn_model_options *options, dn_status status, const char *part)
{
    const char *path = path_join(test_folder(), "part.dnm");
    dn_error error = {0};
    dn_model *model = NULL;

    ck_status(model_open_memory(blob->data, blob->size, options, &model, &error), status);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(error.message, part) != NULL, "\"%s\" lacks \"%s\"", error.message, part);
    write_file(path, blob->data, blob->size);
    files_fail_at(0);
    ck_status(model_open_path(path, options, &model, &error), status);
    ck_assert_int_eq(files_open(), 0);
    files_restore();
    ck_assert_msg(strstr(error.message, part) && strstr(error.message, path), "\"%s\"", error.message);
}

/* A damaged weight that is still a number: found by full verification, a wrong score without it. */
START_TEST(damaged_weight)
{
    dn_model *model = small_model();
    dn_blob *blob = file_of(model, DN_STORAGE_F32);
    const float other = 0.7f;
    dn_score expected, score;

    ck_ok(score_with(model, &expected, NULL));
    memcpy(tensor_in(blob, FIRST_WEIGHT) + 4, &other, sizeof other);
    check_refused(blob, &checking, DN_E_FORMAT, "checksum differs: the file is damaged; copy it again");
    dn_model *opened = open_bytes(blob, &trusting);
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_eq(opened->id, model->id); /* what the header says */
    ck_ok(score_with(opened, &score, NULL));
    ck_assert(isfinite(score.score) && score.score != expected.score);
    model_unref(opened);
    blob_free(blob);
    model_unref(model);
}
END_TEST

/* NaN in a weight that is not read at opening, any one of them, is found by scoring and by localizing.  With a proper
 * checksum, that is, as a program would write it, full verification finds it by name. */
START_TEST(weight_without_value)
{
    static float map[SMALL_SIDE * SMALL_SIDE];
    dn_model *model = small_model();
    size_t parameters = flow_parameters(model->flow->dimension, model->flow->blocks, model->flow->hidden);
    dn_error error = {0};
    dn_score score;

    for (size_t i = 0; i < parameters; i += i % 7 + 1) {
        float kept = model->flow->owned[i];
        model->flow->owned[i] = NAN;
        dn_blob *blob = file_of(model, DN_STORAGE_F32);
        model->flow->owned[i] = kept;
        dn_model *opened = open_bytes(blob, &trusting);
        ck_status(score_with(opened, &score, &error), DN_E_NUMERIC);
        ck_assert_ptr_nonnull(strstr(error.message, "overflow"));
        ck_status(map_with(opened, map, &error), DN_E_NUMERIC);
        model_unref(opened);
        if (i < 16)
            check_refused(blob, &checking, DN_E_NUMERIC, "tensor " FIRST_WEIGHT " holds NaN or infinity");
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* What is read anyway is checked in any case. */
START_TEST(never_trusted)
{
    const dn_model_options *const ways[] = {&checking, &trusting};
    const uint16_t half_infinity = 0x7C00;
    dn_model *model = small_model();

    for (int i = 0; i < 2; i++) {
        float kept = model->extractor->weights[0];
        model->extractor->weights[0] = INFINITY;
        dn_blob *blob = file_of(model, DN_STORAGE_F32);
        model->extractor->weights[0] = kept;
        check_refused(blob, ways[i], DN_E_NUMERIC, "tensor backbone.features.");
        blob_free(blob);
        kept = model->flow->owned[3];
        model->flow->owned[3] = NAN;
        blob = file_of(model, DN_STORAGE_F32);
        model->flow->owned[3] = kept;
        dn_blob *odd = shifted(blob), *half = file_of(model, DN_STORAGE_F16);
        memcpy(tensor_in(half, FIRST_WEIGHT) + 6, &half_infinity, sizeof half_infinity);
        check_refused(odd, ways[i], DN_E_NUMERIC, "tensor " FIRST_WEIGHT);
        if (ways[i] == &trusting)
            check_refused(half, ways[i], DN_E_NUMERIC, "tensor " FIRST_WEIGHT);
        else
            check_refused(half, ways[i], DN_E_FORMAT, "checksum");
        blob_free(odd);
        blob_free(half);
        blob_free(blob);
        kept = model->deviation[1];
        model->deviation[1] = -1;
        blob = file_of(model, DN_STORAGE_F32);
        model->deviation[1] = kept;
        check_refused(blob, ways[i], DN_E_FORMAT, "features.deviation");
        blob->size -= 5;
        check_refused(blob, ways[i], DN_E_FORMAT, "truncated");
        blob->size += 5;
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* ---- failing memory and files ---- */

START_TEST(fails_cleanly_without_verification)
{
    const char *path = path_join(test_folder(), "part.dnm");
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model_options options = {.struct_size = sizeof options, .verify = DN_VERIFY_HEADER, .allocator = &allocator};
    dn_model *model = small_model(), *opened;
    dn_status status = DN_E_MEMORY;

    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    for (long fail_at = 1; status != DN_OK; fail_at++) {
        memory = (failing_memory){.fail_at = fail_at};
        files_fail_at(0);
        status = model_open_path(path, &options, &opened, NULL);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && !opened));
        model_unref(opened);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_eq(files_open(), 0);
        files_restore();
    }
    ck_assert_int_gt(memory.calls, 5);
    memory = (failing_memory){0};
    status = DN_E_IO;
    for (long number = 1; status != DN_OK; number++) {
        ck_assert_int_lt(number, 10);
        files_fail_at(number);
        status = model_open_path(path, &options, &opened, NULL);
        ck_assert(status == DN_OK || (status == DN_E_IO && !opened));
        model_unref(opened);
        ck_assert_int_eq(files_open(), 0);
        files_restore();
    }
    model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("open");
    TCase *tests = tcase_create("open");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, same_bits);
    tcase_add_test(tests, file_removed_after_opening);
    tcase_add_test(tests, mapping_lives_as_long_as_the_flow);
    tcase_add_test(tests, damaged_weight);
    tcase_add_test(tests, weight_without_value);
    tcase_add_test(tests, never_trusted);
    tcase_add_test(tests, fails_cleanly_without_verification);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
