/* A model's file that holds all that one can hold: each tensor of it missing, of another type, and with numbers that no
 * version writes.  Checksums are right, so that only the reader's own checks stand between them and a score. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "training.h"

static uint8_t *file;
static size_t size;

/* Both densities, details, a mask, an operating point, a note and the scores of good images view by view. */
static void make_file(void)
{
    static uint8_t gray[PICTURE_WIDTH * PICTURE_HEIGHT];
    const dn_pixels mask = {gray, PICTURE_WIDTH, PICTURE_HEIGHT, 0, DN_GRAY8, 0};
    dn_train_options options = tiny_options();
    dn_error error = {0};
    dn_calibrator *calibrator;
    dn_model *model, *pointed;

    memset(gray, 255, sizeof gray);
    memset(gray, 0, 4 * PICTURE_WIDTH);
    options.positions = 1;
    options.details = DN_DETAILS_ON;
    options.holdout = 0.34; /* two scores, which can be out of order */
    options.epochs = 2;
    dn_trainer *trainer = tiny_trainer(&options, 0);
    trainer_ok(trainer, dn_trainer_set_mask(trainer, &mask, DN_MASK_INCLUDE));
    for (uint32_t i = 1; i <= 6; i++)
        ck_ok(add_picture(trainer, i));
    trainer_ok(trainer, dn_trainer_note(trainer, "line", "7"));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    dn_trainer_free(trainer);
    ck_ok(dn_calibrator_create(model, NULL, &calibrator, &error));
    ck_ok(dn_calibrator_set_point(calibrator, "night", 3.5));
    ck_ok(dn_calibrator_model(calibrator, &pointed));
    dn_calibrator_free(calibrator);
    dn_model_unref(model);
    dn_blob *blob = model_bytes(pointed);
    dn_model_unref(pointed);
    size = dn_blob_size(blob);
    file = malloc(size);
    ck_assert_ptr_nonnull(file);
    memcpy(file, dn_blob_data(blob), size);
    dn_blob_free(blob);
}

static void free_file(void)
{
    free(file);
}

static dn_status reopen(dn_model **model, dn_error *error)
{
    sign_file(file, size);
    return dn_model_open_memory(file, size, NULL, model, error);
}

static dn_status open_changed(dn_error *error)
{
    dn_model *model;
    dn_status status = reopen(&model, error);

    dn_model_unref(model);
    return status;
}

/* ---- tensors ---- */

static const char key[] = "\":{\"dtype\":\"";

/* The next `key` in the header behind `from`, NULL if there is none. */
static uint8_t *next_tensor(uint8_t *from)
{
    for (uint8_t *at = from; at + sizeof key + 4 <= file + size; at++)
        if (memcmp(at, key, sizeof key - 1) == 0)
            return at;
    return NULL;
}

/* Where the name that ends at `at` begins. */
static const char *name_at(const uint8_t *at)
{
    while (at[-1] != '"')
        at--;
    return (const char *)at;
}

/* What files of old lack, or models of another kind: without it there is another model, or a part of it is refused. */
static _Bool optional(const char *name)
{
    static const char *const beginnings[] = {"calibration.",  "seen.",       "positions.peaks", "positions.detail",
                                             "flow.standard", "flow.weight", "points.",         "notes."};

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return 1;
    return 0;
}

START_TEST(missing)
{
    dn_error error = {0};
    int tensors = 0, refused = 0;

    for (uint8_t *at = next_tensor(file); at; at = next_tensor(at + 1), tensors++) {
        at[-1] ^= 1;
        dn_status status = open_changed(&error);
        at[-1] ^= 1;
        ck_assert_msg(status == DN_E_FORMAT || (status == DN_OK && optional(name_at(at))), "%.30s: status %d",
                      name_at(at), status);
        refused += status != DN_OK;
    }
    ck_assert_int_gt(tensors, 30);
    ck_assert_int_gt(refused, tensors - 10);
    ck_assert_int_eq(open_changed(&error), DN_OK);
}
END_TEST

START_TEST(of_another_type)
{
    static const char *const types[][2] = {{"F32", "I32"}, {"U32", "I32"}, {"F64", "I64"}, {"U8\"", "I8\""}};
    dn_error error = {0};

    for (uint8_t *at = next_tensor(file); at; at = next_tensor(at + 1)) {
        uint8_t *type = at + sizeof key - 1;
        size_t t = 0;
        while (memcmp(type, types[t][0], 3) != 0)
            ck_assert_uint_lt(++t, sizeof types / sizeof *types);
        memcpy(type, types[t][1], 3);
        dn_status status = open_changed(&error);
        memcpy(type, types[t][0], 3);
        ck_assert_msg(status == DN_E_FORMAT, "%.30s: status %d", name_at(at), status);
    }
}
END_TEST

/* Where the number `index` of a tensor lies. */
static uint8_t *number_at(const char *name, size_t element, size_t index)
{
    char quoted[64];
    uint64_t header;
    const char *at = (const char *)file;

    snprintf(quoted, sizeof quoted, "\"%s\":{", name);
    do { /* the header begins with its length, in bytes that may be zero */
        at++;
        ck_assert_msg(at + strlen(quoted) < (const char *)file + size, "no tensor %s", name);
    } while (memcmp(at, quoted, strlen(quoted)) != 0);
    at = strstr(at, "\"data_offsets\":[");
    memcpy(&header, file, sizeof header);
    return file + 8 + header + strtoull(at + strlen("\"data_offsets\":["), NULL, 10) + index * element;
}

START_TEST(numbers_that_cannot_be)
{
    static const struct {
        const char *name;
        size_t index;
        double value;
        dn_status status;
    } changes[] = {
        {"positions.standard", 1, -1, DN_E_FORMAT},
        {"positions.standard", 3, -1, DN_E_FORMAT},
        {"positions.standard", 0, NAN, DN_E_NUMERIC},
        {"flow.standard", 1, -1, DN_E_FORMAT},
        {"positions.scale", 0, -1, DN_E_FORMAT},
        {"positions.scale", 0, INFINITY, DN_E_NUMERIC},
        {"positions.whole_share", 0, NAN, DN_E_NUMERIC},
        {"positions.detail_weight", 0, NAN, DN_E_NUMERIC},
        {"positions.detail_weight", 0, -1, DN_E_FORMAT},
        {"holdout.scores", 0, -1, DN_E_FORMAT},
        {"holdout.scores", 0, 1e30, DN_E_FORMAT},
        {"holdout.scores", 0, NAN, DN_E_NUMERIC},
        {"positions.peaks", 0, -1, DN_E_FORMAT},
        {"positions.peaks", 0, 1e30, DN_E_FORMAT},
        {"calibration.flow", 0, -1, DN_E_FORMAT},
        {"calibration.positions", 0, NAN, DN_E_NUMERIC},
        {"seen.images", 0, -1, DN_E_FORMAT},
        {"seen.low", 0, 1e30, DN_E_FORMAT},
    };
    dn_error error = {0};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t *place = number_at(changes[i].name, sizeof(double), changes[i].index), before[sizeof(double)];
        memcpy(before, place, sizeof before);
        memcpy(place, &changes[i].value, sizeof before);
        dn_status status = open_changed(&error);
        memcpy(place, before, sizeof before);
        ck_assert_msg(status == changes[i].status, "%s, %zu, %g: status %d, %s", changes[i].name, changes[i].index,
                      changes[i].value, status, error.message);
        ck_assert_msg(strstr(error.message, changes[i].name) || strstr(error.message, "weight -1"), "%s: %s",
                      changes[i].name, error.message);
    }
    uint8_t *deviation = number_at("features.deviation", sizeof(float), 0);
    memset(deviation, 0, sizeof(float));
    ck_assert_int_eq(open_changed(&error), DN_E_FORMAT);
    check_error(&error, DN_E_FORMAT, "not above 0");
}
END_TEST

/* ---- what the metadata say ---- */

START_TEST(words_that_cannot_be)
{
    static const struct {
        const char *from, *to;
        dn_status status;
    } changes[] = {
        {"\"flow,positions\"", "\"flow,positiona\"", DN_E_UNSUPPORTED},
        {"\"flow,positions\"", "\"flow,flow     \"", DN_E_UNSUPPORTED},
        {"\"flow,positions\"", "\"flow,flow,flow\"", DN_E_FORMAT},
        {"differnet.densities", "differnet.densitiez", DN_E_FORMAT},
        {"width\\\":40", "width\\\":-1", DN_E_FORMAT},
        {"width\\\":40", "width\\\":[]", DN_E_FORMAT},
        {"height\\\":32", "height\\\":-1", DN_E_FORMAT},
        {"height\\\":32", "height\\\":{}", DN_E_FORMAT},
        {"height\\\":32", "heighd\\\":32", DN_E_FORMAT},
        {"height\\\":32}", "height\\\":32 ", DN_E_FORMAT},
        {"holdout\\\":0.", "holdout\\\":1.", DN_E_FORMAT},
        {"holdout\\\":0.", "holdouT\\\":0.", DN_E_FORMAT},
        {"holdout\\\":0.", "holdout\\\"=0.", DN_E_FORMAT},
        {"details\\\":2", "details\\\":3", DN_E_FORMAT},
    };
    dn_error error = {0};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        replace_text(file, size, changes[i].from, changes[i].to);
        dn_status status = open_changed(&error);
        replace_text(file, size, changes[i].to, changes[i].from);
        ck_assert_msg(status == changes[i].status, "%s: status %d, %s", changes[i].to, status, error.message);
    }
    ck_assert_int_eq(open_changed(&error), DN_OK);
}
END_TEST

/* Nothing depends on it, the weight of the flow no more than the rest. */
START_TEST(densities_in_another_order)
{
    dn_model_info infos[2];

    for (int i = 0; i < 2; i++) {
        dn_model *model;
        dn_error error;
        if (i > 0)
            replace_text(file, size, "\"flow,positions\"", "\"positions,flow\"");
        ck_assert_msg(reopen(&model, &error) == DN_OK, "%s", error.message);
        dn_model_info_init(&infos[i]);
        ck_ok(dn_model_get_info(model, &infos[i]));
        dn_model_unref(model);
    }
    ck_assert(infos[0].flow_weight > 0);
    ck_assert_double_eq(infos[1].flow_weight, infos[0].flow_weight);
    ck_assert_uint_eq(infos[1].id, infos[0].id);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_tensors");
    TCase *tests = tcase_create("api_tensors");

    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_file, free_file);
    tcase_add_test(tests, missing);
    tcase_add_test(tests, of_another_type);
    tcase_add_test(tests, numbers_that_cannot_be);
    tcase_add_test(tests, words_that_cannot_be);
    tcase_add_test(tests, densities_in_another_order);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
