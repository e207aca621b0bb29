/* Model files: round trips, damaged and foreign files, failing memory and disk. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cnn/maps.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "failing_files.h"
#include "golden.h"
#include "heatmap_golden.h"
#include "support.h"

#define SIDE 64
#define DIM 8 /* 2 scales x 4 channels */
#define HOLDOUT 5

static const model_facts plain_facts = {.views = 6,
                                        .angles = DN_ANGLES_GRID,
                                        .standardized = 1,
                                        .train_images = 12,
                                        .epochs = 3,
                                        .bank = 9,
                                        .seed = UINT64_MAX,
                                        .final_loss = -0.1234567890123,
                                        .heatmap_scale = 0.3,
                                        .library = "0.1.0"};
static const dn_model_options plain = {.struct_size = sizeof plain, .verify = 1};

/* A small model that owns its weights. */
static dn_status make_model_with(const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    static const int32_t channels[5] = {4, 4, 4, 4, 4};
    static const double scores[HOLDOUT] = {0.5, 3, 0.25, 1, 1};
    dn_extractor_options extractor_options = {
        .struct_size = sizeof extractor_options, .input_size = 128, .scales = 2, .allocator = allocator};
    dn_flow_options flow_options = {.struct_size = sizeof flow_options,
                                    .dimension = DIM,
                                    .blocks = 2,
                                    .hidden = 8,
                                    .clamp = 3,
                                    .seed = 5,
                                    .allocator = allocator};
    dn_allocator own = mem_allocator(allocator);
    float mean[DIM], deviation[DIM];
    dn_extractor *extractor = NULL;
    dn_flow *flow = NULL;

    *out = NULL;
    for (int i = 0; i < DIM; i++) {
        mean[i] = 0.1f * (float)i;
        deviation[i] = 0.5f + 0.3f * (float)i;
    }
    dn_status status = extractor_random(channels, 3, &extractor_options, &extractor, error);
    if (status == DN_OK)
        status = flow_create(&flow_options, &flow, error);
    if (status == DN_OK)
        status = model_create_with_flow(extractor, flow, mean, deviation, &plain_facts, &own, out, error);
    extractor_unref(extractor);
    flow_unref(flow);
    if (status == DN_OK)
        status = model_set_holdout(*out, scores, HOLDOUT, error);
    if (status == DN_OK)
        status = model_seal(*out, error);
    if (status != DN_OK) {
        model_unref(*out);
        *out = NULL;
    }
    return status;
}

static dn_model *make_model(void)
{
    dn_error error = {0};
    dn_model *model;
    dn_status status = make_model_with(NULL, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

static dn_model *open_model(const char *path)
{
    dn_error error = {0};
    dn_model *model;
    dn_status status = model_open_path(path, &plain, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

static dn_score score_of(dn_model *model)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    const dn_scorer_options options = {
        .struct_size = sizeof options, .angles = -1, .threads = 1, .false_alarm_rate = 0.3};
    dn_pixels view = rgb_view(rgb, SIDE, SIDE);
    dn_scorer *scorer;
    dn_score score = {0};

    draw_texture(rgb, SIDE, SIDE, 3);
    ck_ok(scorer_create(model, &options, &scorer, NULL));
    ck_ok(scorer_score(scorer, &(scorer_input){.view = &view}, &score, NULL));
    scorer_free(scorer);
    return score;
}

/* The message says `part`, and the file's name if there is a path. */
static void check_message(const dn_error *error, dn_status status, const char *path, const char *part)
{
    ck_assert_int_eq(error->status, status);
    ck_assert_msg(strstr(error->message, part) != NULL, "\"%s\" lacks \"%s\"", error->message, part);
    if (path)
        ck_assert_msg(strstr(error->message, path) != NULL, "\"%s\" lacks the path", error->message);
}

/* Opening from memory fails so, with and without an error to fill. */
static void check_refused(const uint8_t *bytes, size_t size, int verify, dn_status status, const char *part)
{
    dn_model_options options = {.struct_size = sizeof options, .verify = verify};
    dn_model *model = (dn_model *)(uintptr_t)&options; /* must become NULL */
    dn_error error = {0};
    dn_status got = model_open_memory(bytes, size, &options, &model, &error);

    ck_assert_msg(got == status, "%s instead of %s: %s", dn_status_string(got), dn_status_string(status),
                  error.message);
    ck_assert_ptr_null(model);
    check_message(&error, status, NULL, part);
    ck_assert_int_eq(model_open_memory(bytes, size, &options, &model, NULL), status);
}

/* ---- round trips ---- */

static void check_same(const dn_model *a, const dn_model *b)
{
    size_t weights = flow_parameters(a->flow->dimension, a->flow->blocks, a->flow->hidden) * sizeof(float);

    ck_assert_mem_eq(a->flow->weights, b->flow->weights, weights);
    ck_assert_uint_eq(a->extractor->id, b->extractor->id);
    ck_assert_int_eq(a->extractor->input_width, b->extractor->input_width);
    ck_assert_int_eq(a->extractor->scales, b->extractor->scales);
    ck_assert_int_eq(a->extractor->random, b->extractor->random);
    ck_assert_mem_eq(a->mean, b->mean, DIM * sizeof *a->mean);
    ck_assert_mem_eq(a->deviation, b->deviation, DIM * sizeof *a->deviation);
    ck_assert_int_eq(a->holdout_count, b->holdout_count);
    ck_assert_mem_eq(a->holdout_scores, b->holdout_scores, (size_t)a->holdout_count * sizeof *a->holdout_scores);
    ck_assert_mem_eq(&a->facts, &b->facts, sizeof a->facts);
    ck_assert_int_eq(a->storage, b->storage);
    ck_assert_uint_eq(a->id, b->id);
}

START_TEST(round_trip)
{
    const char *folder = test_folder(), *path = path_join(folder, "part.dnm");
    dn_model *model = make_model(), *again, *copied;
    dn_blob *blob;
    size_t size;

    ck_assert_uint_ne(model->id, 0);
    for (int i = 1; i < HOLDOUT; i++)
        ck_assert(model->holdout_scores[i - 1] <= model->holdout_scores[i]);
    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    ck_assert_int_eq(count_files(folder), 1);
    again = open_model(path);
    check_same(model, again);
    ck_assert_ptr_null(again->flow->owned); /* used in place */
    dn_score before = score_of(model), after = score_of(again);
    ck_assert_mem_eq(&before, &after, sizeof before);

    uint8_t *bytes = read_file(path, &size);
    ck_ok(model_save_memory(again, DN_STORAGE_F32, &blob, NULL));
    ck_assert_uint_eq(blob->size, size);
    ck_assert_mem_eq(blob->data, bytes, size);
    ck_ok(model_open_memory(bytes, size, &plain, &copied, NULL));
    memset(bytes, 0, size); /* they are not kept */
    check_same(model, copied);
    after = score_of(copied);
    ck_assert_mem_eq(&before, &after, sizeof before);
    free(bytes);
    blob_free(blob);
    model_unref(copied);
    model_unref(again);
    model_unref(model);
}
END_TEST

/* The model that make_heatmap.py put together: every fact arrives. */
START_TEST(facts_of_golden)
{
    dn_model *model = open_model(golden_path(GOLDEN_MODEL));

    ck_assert_int_eq(model->facts.views, 4);
    ck_assert_int_eq(model->facts.angles, DN_ANGLES_STRATIFIED);
    ck_assert_int_eq(model->facts.standardized, 1);
    ck_assert_int_eq(model->facts.train_images, 3);
    ck_assert_int_eq(model->facts.epochs, 2);
    ck_assert_int_eq(model->facts.bank, 0);
    ck_assert(model->facts.seed == UINT64_MAX);
    ck_assert(isnan(model->facts.final_loss));
    ck_assert_double_eq(model->facts.heatmap_scale, 0.0025);
    ck_assert_str_eq(model->facts.library, "0.1.0");
    ck_assert_int_eq(model->storage, DN_STORAGE_F32);
    ck_assert_int_eq(model->extractor->input_width, GOLDEN_SIZE);
    ck_assert_int_eq(model->extractor->scales, 2);
    ck_assert_int_eq(model->holdout_count, 5);
    ck_assert_double_eq(model->holdout_scores[4], 7.5);
    uint32_t id = model->id;
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_eq(model->id, id); /* its tensors are in the order in which we write them */
    model_unref(model);
}
END_TEST

START_TEST(half_precision)
{
    const char *path = path_join(test_folder(), "half.dnm");
    dn_model *model = make_model(), *half, *full;
    dn_blob *narrow, *wide;

    ck_ok(model_save(model, path, DN_STORAGE_F16, NULL));
    half = open_model(path);
    ck_assert_int_eq(half->storage, DN_STORAGE_F16);
    ck_assert_ptr_nonnull(half->flow->owned);
    ck_assert_uint_ne(half->id, model->id);
    ck_assert_mem_eq(half->deviation, model->deviation, DIM * sizeof *model->deviation);
    ck_assert_mem_eq(half->holdout_scores, model->holdout_scores, HOLDOUT * sizeof *model->holdout_scores);
    dn_score exact = score_of(model), rounded = score_of(half);
    ck_assert_double_eq_tol(rounded.score, exact.score, 0.01 * exact.score);

    /* Rounded weights survive both storages exactly. */
    ck_ok(model_save_memory(half, DN_STORAGE_F32, &wide, NULL));
    ck_ok(model_save_memory(half, DN_STORAGE_F16, &narrow, NULL));
    ck_assert_uint_lt(narrow->size, wide->size);
    ck_ok(model_open_memory(wide->data, wide->size, &plain, &full, NULL));
    ck_assert_int_eq(full->storage, DN_STORAGE_F32);
    exact = score_of(full);
    ck_assert_mem_eq(&exact, &rounded, sizeof exact);
    model_unref(full);
    ck_ok(model_open_memory(narrow->data, narrow->size, &plain, &full, NULL));
    check_same(half, full);
    model_unref(full);
    blob_free(narrow);
    blob_free(wide);
    model_unref(half);
    model_unref(model);
}
END_TEST

/* A weight that float16 cannot hold: an error, and no file. */
START_TEST(half_precision_overflow)
{
    const char *folder = test_folder();
    dn_model *model = make_model();
    dn_error error = {0};

    model->flow->owned[3] = 1e6f;
    ck_status(model_save(model, path_join(folder, "half.dnm"), DN_STORAGE_F16, &error), DN_E_NUMERIC);
    check_message(&error, DN_E_NUMERIC, NULL, "float32");
    ck_assert_int_eq(count_files(folder), 0);
    model_unref(model);
}
END_TEST

/* Nothing to know: no held-out scores, no loss, no scale. */
START_TEST(unknown_facts)
{
    dn_model *model = make_model(), *again;
    dn_blob *blob;

    ck_ok(model_set_holdout(model, NULL, 0, NULL));
    model_set_heatmap_scale(model, (double)NAN);
    model->facts.final_loss = (double)NAN;
    model->facts.library[0] = '\0';
    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    ck_ok(model_open_memory(blob->data, blob->size, &plain, &again, NULL));
    ck_assert_int_eq(again->holdout_count, 0);
    ck_assert_double_eq(again->facts.heatmap_scale, 0);
    ck_assert(isnan(again->facts.final_loss));
    ck_assert_str_eq(again->facts.library, "");
    blob_free(blob);
    model_unref(again);
    model_unref(model);
}
END_TEST

/* A decimal comma changes neither what is written nor what is read.  (Locales other than C may not be installed.) */
START_TEST(any_locale)
{
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "ru_RU.UTF-8"};
    dn_model *model = make_model(), *again;
    dn_blob *point, *comma;

    ck_ok(model_save_memory(model, DN_STORAGE_F32, &point, NULL));
    for (size_t i = 0; i < sizeof locales / sizeof *locales && !setlocale(LC_NUMERIC, locales[i]); i++)
        ;
    ck_ok(model_save_memory(model, DN_STORAGE_F32, &comma, NULL));
    ck_assert_uint_eq(comma->size, point->size);
    ck_assert_mem_eq(comma->data, point->data, point->size);
    ck_ok(model_open_memory(comma->data, comma->size, &plain, &again, NULL));
    check_same(model, again);
    setlocale(LC_NUMERIC, "C");
    blob_free(point);
    blob_free(comma);
    model_unref(again);
    model_unref(model);
}
END_TEST

/* ---- parts that do not fit ---- */

START_TEST(create_refuses)
{
    dn_model *model = make_model(), *other;
    dn_allocator allocator = mem_allocator(NULL);
    dn_flow_options options = {.dimension = DIM + 2, .blocks = 1, .hidden = 2, .clamp = 3};
    float zeros[DIM] = {0}, ones[DIM], broken[DIM];
    const double bad[][2] = {{1, -1}, {1, (double)NAN}, {(double)INFINITY, 1}};
    dn_error error = {0};
    dn_flow *flow;

    for (int i = 0; i < DIM; i++)
        ones[i] = broken[i] = 1;
    ck_ok(flow_create(&options, &flow, NULL));
    ck_status(model_create_with_flow(model->extractor, flow, zeros, ones, &plain_facts, &allocator, &other, &error),
              DN_E_ARGUMENT);
    check_message(&error, DN_E_ARGUMENT, NULL, "10 dimensions");
    ck_assert_ptr_null(other);
    broken[5] = 0;
    ck_status(
        model_create_with_flow(model->extractor, model->flow, zeros, broken, &plain_facts, &allocator, &other, &error),
        DN_E_ARGUMENT);
    check_message(&error, DN_E_ARGUMENT, NULL, "feature 5");
    broken[5] = NAN;
    ck_status(
        model_create_with_flow(model->extractor, model->flow, broken, ones, &plain_facts, &allocator, &other, NULL),
        DN_E_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_status(model_set_holdout(model, bad[i], 2, &error), DN_E_NUMERIC);
    check_message(&error, DN_E_NUMERIC, NULL, "held-out score 0");
    ck_status(model_set_holdout(model, bad[0], -1, NULL), DN_E_ARGUMENT);
    ck_assert_int_eq(model->holdout_count, HOLDOUT); /* unchanged */
    flow_unref(flow);
    model_unref(model);
}
END_TEST

/* ---- damaged and foreign files ---- */

START_TEST(truncated)
{
    dn_model *model = make_model();
    dn_blob *blob;

    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    for (size_t size = 0; size < blob->size; size += size < 64 ? 1 : 211)
        for (int verify = 0; verify < 2; verify++) {
            uint8_t *cut = malloc(size + 1); /* its own block: reading past the end is seen */
            memcpy(cut, blob->data, size);
            check_refused(cut, size, verify, DN_E_FORMAT, "memory");
            free(cut);
        }
    check_refused(blob->data, blob->size - 1, 1, DN_E_FORMAT, "truncated");
    blob_free(blob);
    model_unref(model);
}
END_TEST

START_TEST(damaged_data)
{
    dn_model *model = make_model();
    dn_blob *blob;
    uint64_t header;

    ck_ok(model_save_memory(model, DN_STORAGE_F16, &blob, NULL));
    memcpy(&header, blob->data, sizeof header);
    for (size_t at = 8 + (size_t)header; at < blob->size; at += 97) {
        blob->data[at] ^= 0x10;
        check_refused(blob->data, blob->size, 1, DN_E_FORMAT, "checksum differs: the file is damaged; copy it again");
        blob->data[at] ^= 0x10;
    }
    /* The last bytes are of the last tensor. */
    blob->data[blob->size - 1] ^= 1;
    check_refused(blob->data, blob->size, 1, DN_E_FORMAT, "checksum");
    blob_free(blob);
    model_unref(model);
}
END_TEST

START_TEST(changed_header)
{
    static const struct {
        const char *from, *to;
        dn_status status;
        const char *part;
    } cases[] = {
        {"\"differnet.kind\":\"model\"", "\"differnet.kind\":\"medal\"", DN_E_KIND, "is not a model"},
        {"\"differnet.kind\":\"model\"", "\"differnet.kind\":\"flow\" ", DN_E_KIND, "is a flow, not a model"},
        {"\"differnet.kind\"", "\"differnet.kine\"", DN_E_KIND, "not a model; train one with: differnet train"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"9\"", DN_E_VERSION, "newer version"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"x\"", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"0\"", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"\" ", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.format\"", "\"differnet.farmot\"", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.crc32\"", "\"differnet.crc23\"", DN_E_FORMAT, "differnet.crc32"},
        {"\"differnet.facts\"", "\"differnet.fakts\"", DN_E_FORMAT, "differnet.facts"},
        {"{\\\"input_size", "[\\\"input_size", DN_E_FORMAT, "differnet.facts"},
        {"input_size\\\":128", "input_size\\\":127", DN_E_FORMAT, "memory"},
        {"input_size\\\":128", "input_size\\\":-96", DN_E_FORMAT, "input_size"},
        {"input_size\\\":128", "input_size\\\":9e2", DN_E_FORMAT, "input_size"},
        {"scales\\\":2", "scales\\\":3", DN_E_FORMAT, "memory"}, /* does not fit the flow, or the network */
        {"scales\\\":2", "scales\\\":1", DN_E_FORMAT, "dimensions"},
        {"scales\\\":2", "scales\\\":6", DN_E_FORMAT, "scales"},
        {"views\\\":6", "views\\\":0", DN_E_FORMAT, "views"},
        {"views\\\":6", "vievs\\\":6", DN_E_FORMAT, "views"},
        {"angles\\\":1", "angles\\\":2", DN_E_FORMAT, "angles"},
        {"standardized\\\":1", "standardized\\\":5", DN_E_FORMAT, "standardized"},
        {"train_images\\\":12", "train_images\\\":-1", DN_E_FORMAT, "train_images"},
        {"seed\\\":\\\"18446744073709551615", "seed\\\":\\\"18446744073709551616", DN_E_FORMAT, "seed"},
        {"seed\\\":\\\"18446744073709551615", "seed\\\":\\\" 8446744073709551615", DN_E_FORMAT, "seed"},
        {"final_loss\\\":-0.12", "final_loss\\\":true ", DN_E_FORMAT, "differnet.facts"},
        {"heatmap_scale\\\":0", "heatmap_scale\\\":-", DN_E_FORMAT, "differnet.facts"},
        {"heatmap_scale\\\":0", "heatmap_scole\\\":0", DN_E_FORMAT, "heatmap_scale"},
        {"storage\\\":\\\"float32", "storage\\\":\\\"float64", DN_E_FORMAT, "storage"},
        {"library\\\":\\\"0", "library\\\":\\\"\x7f", DN_E_FORMAT, "library"},
        {"\"differnet.flow\"", "\"differnet.flaw\"", DN_E_FORMAT, "differnet.flow"},
        {"\"features.mean\"", "\"features.lean\"", DN_E_FORMAT, "features.mean is missing"},
        {"\"features.deviation\"", "\"features.devotions\"", DN_E_FORMAT, "features.deviation is missing"},
        {"\"holdout.scores\"", "\"holdout.scares\"", DN_E_FORMAT, "holdout.scores is missing"},
        {"\"backbone.features.3.weight\"", "\"backbone.features.3.height\"", DN_E_FORMAT, "features.3.weight"},
        {"\"flow.blocks.1.net1.2.bias\"", "\"flow.blocks.1.net1.2.bios\"", DN_E_FORMAT, "net1.2.bias"},
    };
    dn_model *model = make_model();

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_blob *blob;
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        replace_text(blob->data, blob->size, cases[i].from, cases[i].to);
        check_refused(blob->data, blob->size, _i, DN_E_FORMAT, "checksum differs: the file is damaged; copy it again");
        sign_file(blob->data, blob->size);
        check_refused(blob->data, blob->size, _i, cases[i].status, cases[i].part);
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* Every bit of everything in front of the data, with and without verification of the data, and 10000 bits of that, at
 * least one of every byte. */
START_TEST(every_flipped_bit_is_found)
{
    static const dn_model_options ways[2] = {{.struct_size = sizeof *ways, .verify = 0},
                                             {.struct_size = sizeof *ways, .verify = 1}};
    dn_model *model = make_model(), *opened;
    dn_blob *blob;
    uint64_t header;
    size_t accepted = 0;

    ck_ok(model_save_memory(model, _i ? DN_STORAGE_F16 : DN_STORAGE_F32, &blob, NULL));
    memcpy(&header, blob->data, sizeof header);
    size_t data = 8 + (size_t)header;
    for (size_t bit = 0; bit < 8 * data; bit++) {
        blob->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        accepted += model_open_memory(blob->data, blob->size, &ways[!_i], &opened, NULL) == DN_OK;
        model_unref(opened);
        blob->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t i = 0; i < 10000; i++) {
        size_t at = data + i % (blob->size - data), bit = (i + i / (blob->size - data)) % 8;
        blob->data[at] ^= (uint8_t)(1u << bit);
        accepted += model_open_memory(blob->data, blob->size, &ways[1], &opened, NULL) == DN_OK;
        model_unref(opened);
        blob->data[at] ^= (uint8_t)(1u << bit);
    }
    ck_assert_uint_eq(accepted, 0);
    ck_ok(model_open_memory(blob->data, blob->size, &ways[1], &opened, NULL));
    model_unref(opened);
    blob_free(blob);
    model_unref(model);
}
END_TEST

/* A header with other settings is another model: another id, and for all but the map's scale another score. */
START_TEST(id_of_settings)
{
    static const struct {
        const char *from, *to;
        _Bool id, score; /* which differ */
    } cases[] = {
        {"clamp\\\":3", "clamp\\\":2", 1, 1},
        {"views\\\":6", "views\\\":5", 1, 1},
        {"angles\\\":1", "angles\\\":0", 1, 1},
        {"\\\"stride\\\":4,\\\"pad\\\":[2,2,2,2]", "\\\"stride\\\":4,\\\"pad\\\":[1,2,2,2]", 1, 1},
        {".mean\":\"[0.485,", ".mean\":\"[0.486,", 1, 1},
        {".std\":\"[0.229,", ".std\":\"[0.228,", 1, 1},
        {"input_size\\\":128", "input_size\\\":160", 1, 1},
        {"heatmap_scale\\\":0.3", "heatmap_scale\\\":0.4", 1, 0},
        {"train_images\\\":12", "train_images\\\":13", 0, 0},
        {"epochs\\\":3", "epochs\\\":4", 0, 0},
        {"final_loss\\\":-0.1", "final_loss\\\":-0.2", 0, 0},
        {"library\\\":\\\"0.1.0", "library\\\":\\\"0.2.0", 0, 0},
        {"standardized\\\":1", "standardized\\\":0", 0, 0}, /* mean and deviation are what counts */
    };
    dn_model *model = make_model(), *other;
    double score = score_of(model).score;
    dn_error error = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_blob *blob;
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        replace_text(blob->data, blob->size, cases[i].from, cases[i].to);
        sign_file(blob->data, blob->size);
        ck_assert_msg(model_open_memory(blob->data, blob->size, &plain, &other, &error) == DN_OK, "%s", error.message);
        ck_assert_msg((other->id != model->id) == cases[i].id, "%s", cases[i].to);
        ck_assert_msg((score_of(other).score != score) == cases[i].score, "%s", cases[i].to);
        model_unref(other);
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* Held-out scores set no score, but p-values and decisions: another id. */
START_TEST(id_of_tensors)
{
    const double scores[2] = {1, 2};
    dn_model *model = make_model();
    uint32_t id = model->id;

    ck_ok(model_seal(model, NULL));
    ck_assert_uint_eq(model->id, id);
    ck_ok(model_set_holdout(model, scores, 2, NULL));
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_ne(model->id, id);
    id = model->id;
    model->mean[3] = nextafterf(model->mean[3], 9);
    ck_ok(model_seal(model, NULL));
    ck_assert_uint_ne(model->id, id);
    model_unref(model);
}
END_TEST

/* What earlier versions wrote opens, scores as it did, and says what it is; saved again it is of today's format. */
START_TEST(earlier_formats)
{
    static const struct {
        const char *name;
        double score;
    } files[] = {{"model_format1.dnm", 1.9291559066085868}};
    const dn_scorer_options options = {.struct_size = sizeof options, .angles = -1, .threads = 1};
    uint8_t rgb[40 * 32 * 3];
    const char *path = path_join(test_folder(), "again.dnm");
    dn_model *model = open_model(golden_path(files[_i].name)), *again;
    dn_pixels view = rgb_view(rgb, 40, 32);
    dn_scorer *scorer;
    dn_score score = {0};

    draw_texture(rgb, 40, 32, 99);
    ck_ok(scorer_create(model, &options, &scorer, NULL));
    ck_ok(scorer_score(scorer, &(scorer_input){.view = &view}, &score, NULL));
    scorer_free(scorer);
    ck_assert_double_eq_tol(score.score, files[_i].score, 1e-5);
    ck_assert_double_eq_tol(score.p_value, 0.25, 1e-12);
    ck_assert_int_eq(score.views, 3);
    ck_assert_double_eq(model->flow->clamp, 1.9);
    ck_assert_double_eq(model->facts.final_loss, 0.61432626192747608);
    ck_assert_double_eq(model->facts.heatmap_scale, 2.2409404436984916e-6);
    ck_assert(model->facts.seed == 12345678901234567u);
    ck_assert(model->extractor->mean[0] == 0.485f && model->extractor->std[2] == 0.225f);
    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    again = open_model(path);
    ck_assert_uint_eq(again->id, model->id);
    ck_assert_mem_eq(&again->facts, &model->facts, sizeof model->facts);
    model_unref(again);
    model_unref(model);
}
END_TEST

/* Saves a model whose numbers were spoilt, and tries to open it. */
static void check_spoilt(dn_model *model, dn_status status, const char *part)
{
    dn_blob *blob;

    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    check_refused(blob->data, blob->size, 1, status, part);
    blob_free(blob);
    model_unref(model);
}

START_TEST(impossible_numbers)
{
    dn_model *model = make_model();
    model->flow->owned[7] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "flow.blocks.0.net2.0.weight");
    model = make_model();
    model->flow->owned[7] = INFINITY;
    check_spoilt(model, DN_E_NUMERIC, "flow.blocks.0.net2.0.weight");
    model = make_model();
    model->extractor->weights[0] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "backbone.features.");
    model = make_model();
    model->flow->permutation[3] = model->flow->permutation[2];
    check_spoilt(model, DN_E_FORMAT, "permutation");
    model = make_model();
    model->mean[2] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "features.mean");
    model = make_model();
    model->deviation[2] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "features.deviation");
    model = make_model();
    model->deviation[2] = 0;
    check_spoilt(model, DN_E_FORMAT, "features.deviation: entry 2");
    model = make_model();
    model->holdout_scores[0] = -1;
    check_spoilt(model, DN_E_FORMAT, "holdout.scores: entry 0");
    model = make_model();
    model->holdout_scores[3] = 0;
    check_spoilt(model, DN_E_FORMAT, "holdout.scores: entry 3");
    model = make_model();
    model->holdout_scores[4] = (double)NAN;
    check_spoilt(model, DN_E_NUMERIC, "holdout.scores");
}
END_TEST

/* ---- the density at every position ---- */

#define DIMS 3

/* make_model's with a density at every position of numbers made up, too. */
static dn_model *make_shaped(int32_t tile_columns, int32_t tile_rows, int32_t fit)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_model *model = make_model();
    positions *density;

    model->plan = tile_plan_of(model->extractor, tile_columns, tile_rows, fit);
    model->facts.tile_columns = tile_columns;
    model->facts.tile_rows = tile_rows;
    model->facts.fit = fit;
    maps_geometry maps = model->plan.grid;

    ck_ok(positions_allocate(maps.rows, maps.columns, maps.channels, DIMS, 1, &allocator, &density, NULL));
    for (int i = 0; i < maps.channels; i++)
        density->mean[i] = 0.01f * (float)i;
    for (int i = 0; i < maps.channels * DIMS; i++)
        density->projection[i] = (float)sin(i);
    for (int i = 0; i < maps.rows * maps.columns * DIMS; i++)
        density->centre[i] = (float)cos(i);
    for (int i = 0; i < maps.rows * maps.columns * DIMS * (DIMS + 1) / 2; i++)
        density->owned[i] = 1 + 0.5f * (float)sin(0.3 * i);
    ck_ok(model_set_positions(model, density, NULL));
    positions_unref(density);
    model->facts.standards[PART_FLOW] = (part_standard){0.1, 0.2};
    model->facts.standards[PART_LOCAL] = (part_standard){0.3, 0.4};
    model->facts.standards[PART_WHOLE] = (part_standard){0.5, 0.6};
    model->facts.whole_share = 0.7;
    model->facts.positions_scale = 1.5;
    strcpy(model->facts.preset, "compact");
    model->facts.copies = DN_COPIES_MIRROR;
    ck_ok(model_seal(model, NULL));
    return model;
}

static dn_model *make_positions(void)
{
    return make_shaped(1, 1, DN_FIT_STRETCH);
}

START_TEST(round_trip_of_positions)
{
    const char *path = path_join(test_folder(), "part.dnm");

    for (int flow = 0; flow < 2; flow++) {
        dn_model *model = make_positions();
        if (!flow) {
            flow_unref(model->flow);
            model->flow = NULL;
            model->facts.standards[PART_FLOW] = (part_standard){0, 0};
            ck_ok(model_seal(model, NULL));
        }
        dn_score score = score_of(model);
        ck_assert(isfinite(score.score) && score.local_score > 0);
        ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
        dn_model *again = open_model(path);
        const positions *a = model->positions, *b = again->positions;
        ck_assert_int_eq(again->flow != NULL, flow);
        ck_assert_ptr_null(b->owned); /* used in place */
        ck_assert_mem_eq(a->factor, b->factor, positions_cells(a) * positions_triangle(DIMS) * sizeof(float));
        ck_assert_mem_eq(a->centre, b->centre, positions_cells(a) * DIMS * sizeof(float));
        ck_assert_mem_eq(&again->facts, &model->facts, sizeof model->facts);
        ck_assert_uint_eq(again->id, model->id);
        dn_score other = score_of(again);
        ck_assert_mem_eq(&score, &other, sizeof score);
        model_unref(again);
        model_unref(model);
    }
}
END_TEST

static const double four_peaks[4] = {4, 0.5, 2, 1};

static dn_status threshold_at(dn_model *model, int32_t method, double rate, float *threshold, double *kept)
{
    dn_localizer_options options = localizer_default_options();
    dn_localizer *localizer;
    dn_error error = {0};

    options.method = method;
    options.views = 1;
    ck_ok(localizer_create(model, &options, &localizer, NULL));
    dn_status status = localizer_threshold(localizer, rate, threshold, kept, &error);
    if (status != DN_OK)
        check_error(&error, DN_E_STATE, "give a threshold");
    localizer_free(localizer);
    return status;
}

/* Of four good images' peaks 0.5, 1, 2 and 4, at a scale of 1.5, in the file too. */
START_TEST(threshold_of_boxes)
{
    static const struct {
        double rate, peak, kept;
    } cases[] = {{0.05, 4, 0.2}, {0.2, 4, 0.2},   {0.39, 4, 0.39}, {0.4, 2, 0.4},
                 {0.6, 1, 0.6},  {0.8, 0.5, 0.8}, {1, 0, 1}};
    const char *path = path_join(test_folder(), "part.dnm");
    dn_model *model = make_positions();
    float threshold;
    double kept;

    ck_status(threshold_at(model, DN_MAP_POSITIONS, 0.1, &threshold, &kept), DN_E_STATE); /* as a file of old */
    ck_ok(model_set_peaks(model, four_peaks, 4, NULL));
    ck_ok(model_seal(model, NULL));
    ck_ok(model_save(model, path, DN_STORAGE_F16, NULL));
    dn_model *again = open_model(path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int file = 0; file < 2; file++) {
            ck_ok(threshold_at(file ? again : model, DN_MAP_POSITIONS, cases[i].rate, &threshold, &kept));
            ck_assert_double_eq(kept, cases[i].kept);
            ck_assert(threshold == nextafterf((float)cases[i].peak * (float)(1 / 1.5), INFINITY));
        }
    ck_ok(threshold_at(model, DN_MAP_POSITIONS, 0.4, &threshold, NULL));
    ck_status(threshold_at(model, DN_MAP_GRADIENT, 0.4, &threshold, &kept), DN_E_STATE);
    model->facts.positions_scale = 0; /* not known: the map's height is none of the peaks' */
    ck_status(threshold_at(model, DN_MAP_POSITIONS, 0.4, &threshold, &kept), DN_E_STATE);
    model_unref(again);
    model_unref(model);
}
END_TEST

/* Metadata and names of tensors. */
START_TEST(changed_header_of_positions)
{
    static const struct {
        const char *from, *to;
        dn_status status;
        const char *part;
    } cases[] = {
        {"\"flow,positions\"", "\"flow,neighbour\"", DN_E_UNSUPPORTED, "does not know"},
        {"\"flow,positions\"", "\"flow,position\" ", DN_E_UNSUPPORTED, "does not know"},
        {"\"flow,positions\"", "\"flo,positions\" ", DN_E_UNSUPPORTED, "does not know"},
        {"\"flow,positions\"", "\",flow,positio\" ", DN_E_UNSUPPORTED, "does not know"},
        {"\"flow,positions\"", "\"flow,flow,flow\"", DN_E_FORMAT, "flow is there twice"},
        {"\"flow,positions\"", "\"\"              ", DN_E_FORMAT, "no density"},
        {"\"differnet.densities\"", "\"differnet.destinies\"", DN_E_FORMAT, "differnet.densities is missing"},
        {"\"differnet.preset\":\"compact\"", "\"differnet.preset\":\"comp ct\"", DN_E_FORMAT, "preset"},
        {"\"differnet.copies\":\"mirror\"", "\"differnet.copies\":\"mirro\" ", DN_E_FORMAT, "copies"},
        {"\"positions.mean\"", "\"positions.lean\"", DN_E_FORMAT, "positions.mean is missing"},
        {"\"positions.projection\"", "\"positions.projektion\"", DN_E_FORMAT, "positions.projection is missing"},
        {"\"positions.centre\"", "\"positions.center\"", DN_E_FORMAT, "positions.centre is missing"},
        {"\"positions.factor\"", "\"positions.faktor\"", DN_E_FORMAT, "positions.factor is missing"},
        {"\"positions.scale\"", "\"positions.skale\"", DN_E_FORMAT, "positions.scale is missing"},
        {"\"positions.standard\"", "\"positions.stendard\"", DN_E_FORMAT, "positions.standard is missing"},
        {"\"positions.whole_share\"", "\"positions.whole_shere\"", DN_E_FORMAT, "positions.whole_share is missing"},
    };
    dn_model *model = make_positions();

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_blob *blob;
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        replace_text(blob->data, blob->size, cases[i].from, cases[i].to);
        sign_file(blob->data, blob->size);
        check_refused(blob->data, blob->size, _i, cases[i].status, cases[i].part);
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* Tiles, and images in their own aspect: told in a file of the next format, which older readers refuse. */
START_TEST(round_trip_of_shapes)
{
    static const int32_t shapes[][3] = {
        {1, 1, DN_FIT_STRETCH}, {2, 1, DN_FIT_STRETCH}, {1, 3, DN_FIT_LETTERBOX}, {1, 1, DN_FIT_LETTERBOX}};
    const char *path = path_join(test_folder(), "part.dnm");
    uint32_t ids[4];

    for (int i = 0; i < 4; i++) {
        dn_model *model = make_shaped(shapes[i][0], shapes[i][1], shapes[i][2]);
        dn_score score = score_of(model);
        ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
        dn_model *again = open_model(path);
        dn_score other = score_of(again);
        size_t size;
        char *bytes = (char *)read_file(path, &size);
        ck_assert_int_eq(strstr(bytes + 8, i ? "\"differnet.format\":\"3\"" : "\"differnet.format\":\"2\"") != NULL, 1);
        ck_assert_int_eq(strstr(bytes + 8, "differnet.shape") != NULL, i > 0);
        free(bytes);
        ck_assert_mem_eq(&score, &other, sizeof score);
        ck_assert_mem_eq(&again->facts, &model->facts, sizeof model->facts);
        const tile_plan *a = &again->plan, *b = &model->plan; /* not their bytes: they have gaps */
        ck_assert(a->columns == b->columns && a->rows == b->rows && a->whole.fit == b->whole.fit &&
                  a->canvas.fit == b->canvas.fit && a->canvas.width == b->canvas.width &&
                  a->canvas.height == b->canvas.height && a->step_columns == b->step_columns &&
                  a->step_rows == b->step_rows && a->grid.columns == b->grid.columns && a->grid.rows == b->grid.rows);
        ck_assert_mem_eq(a->whole.fill, b->whole.fill, sizeof a->whole.fill);
        ck_assert_uint_eq(again->id, model->id);
        ids[i] = model->id;
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(ids[j], ids[i]);
        model_unref(again);
        model_unref(model);
    }
}
END_TEST

START_TEST(changed_shape)
{
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"tile_columns\\\":2", "tile_columns\\\":0", "out of range"},
        {"tile_columns\\\":2", "tile_columns\\\":1", "does not fit maps"},
        {"tile_columns\\\":2", "tile_columns\\\":9", "does not fit maps"},
        {"tile_rows\\\":1", "tile_rows\\\":x", "no JSON object"},
        {"tile_rows\\\":1", "tile_raws\\\":1", "out of range"},
        {"letterbox\\\"", "letterbux\\\"", "unknown"},
        {"\"differnet.shape\"", "\"differnet.shope\"", "does not fit maps"},
        {"{\\\"tile_columns", "[\\\"tile_columns", "no JSON object"},
        {"tile_columns\\\":2,\\\"tile_rows", "tile_rows\\\":2,   \\\"tile_rows", "no JSON object"},
    };
    dn_model *model = make_shaped(2, 1, DN_FIT_LETTERBOX);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_blob *blob;
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        replace_text(blob->data, blob->size, cases[i].from, cases[i].to);
        sign_file(blob->data, blob->size);
        check_refused(blob->data, blob->size, _i, DN_E_FORMAT, cases[i].part);
        blob_free(blob);
    }
    model_unref(model);
}
END_TEST

/* "positions,positions" is longer than what a file of both holds: one of positions alone, whose preset makes room. */
START_TEST(positions_twice)
{
    dn_model *model = make_positions();
    dn_blob *blob;

    flow_unref(model->flow);
    model->flow = NULL;
    strcpy(model->facts.preset, "aaaaaaaaaaaa");
    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    replace_text(blob->data, blob->size, "\"positions\",\"differnet.preset\":\"aaaaaaaaaaaa\"",
                 "\"positions,positions\",\"differnet.preset\":\"aa\"");
    sign_file(blob->data, blob->size);
    check_refused(blob->data, blob->size, 1, DN_E_FORMAT, "positions is there twice");
    blob_free(blob);
    model_unref(model);
}
END_TEST

/* Shapes that do not fit each other, or the backbone.  Of a model whose tensors were made with other sizes. */
START_TEST(positions_of_other_shapes)
{
    static const struct {
        int32_t rows, columns, channels, dims; /* more than make_positions' */
        const char *part;
    } cases[] = {
        {1, 0, 0, 0, "does not fit maps of 7 x 7"},
        {0, -1, 0, 0, "does not fit maps of 7 x 7"},
        {0, 0, 1, 0, "positions.mean"},
        {0, 0, -1, 0, "positions.mean"},
        {0, 0, 14, 14, "cannot be"},
    };
    dn_allocator allocator = mem_allocator(NULL);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_model *model = make_positions();
        const positions *p = model->positions;
        positions *other;
        ck_ok(positions_allocate(p->rows + cases[i].rows, p->columns + cases[i].columns,
                                 p->channels + cases[i].channels, p->dims + cases[i].dims, 1, &allocator, &other,
                                 NULL));
        for (size_t k = 0; k < positions_cells(other) * positions_triangle(other->dims); k++)
            other->owned[k] = 1;
        memset(other->mean, 0, (size_t)other->channels * sizeof(float));
        memset(other->projection, 0, (size_t)other->channels * (size_t)other->dims * sizeof(float));
        memset(other->centre, 0, positions_cells(other) * (size_t)other->dims * sizeof(float));
        dn_error error;
        ck_status(model_set_positions(model, other, &error), DN_E_ARGUMENT);
        check_message(&error, DN_E_ARGUMENT, NULL, "does not fit maps of 7 x 7 and 16");
        positions_unref(model->positions);
        model->positions = other;
        check_spoilt(model, DN_E_FORMAT, cases[i].part);
    }
}
END_TEST

START_TEST(impossible_numbers_of_positions)
{
    dn_model *model = make_positions();
    model->positions->owned[11] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "positions.factor");
    model = make_positions();
    model->positions->owned[11] = INFINITY;
    check_spoilt(model, DN_E_NUMERIC, "positions.factor");
    model = make_positions();
    model->positions->mean[1] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "positions.mean");
    model = make_positions();
    model->positions->projection[1] = -INFINITY;
    check_spoilt(model, DN_E_NUMERIC, "positions.projection");
    model = make_positions();
    model->positions->centre[1] = NAN;
    check_spoilt(model, DN_E_NUMERIC, "positions.centre");
    model = make_positions();
    model->facts.standards[PART_WHOLE].spread = -0.1;
    check_spoilt(model, DN_E_FORMAT, "positions.standard: a spread below 0");
    model = make_positions();
    model->facts.standards[PART_LOCAL].median = (double)NAN;
    check_spoilt(model, DN_E_NUMERIC, "positions.standard");
    model = make_positions();
    model->facts.whole_share = (double)INFINITY;
    check_spoilt(model, DN_E_NUMERIC, "positions.whole_share");
    for (int i = 0; i < 3; i++) {
        model = make_positions();
        ck_ok(model_set_peaks(model, four_peaks, 4, NULL));
        model->peaks[i] = (double[]){-0.1, 0.4, (double)NAN}[i];
        check_spoilt(model, i < 2 ? DN_E_FORMAT : DN_E_NUMERIC, "positions.peaks");
    }
    model = make_positions();
    model->facts.positions_scale = -1;
    check_spoilt(model, DN_E_FORMAT, "positions.scale: a scale below 0");
    model = make_positions();
    model->facts.positions_scale = (double)NAN;
    check_spoilt(model, DN_E_NUMERIC, "positions.scale");
    model = make_positions();
    model->facts.standards[PART_FLOW].median = (double)INFINITY;
    check_spoilt(model, DN_E_NUMERIC, "flow.standard");
}
END_TEST

/* A spread that is next to nothing makes a score that no number can hold: with a flow, and without. */
START_TEST(spreads_next_to_nothing)
{
    static uint8_t gray[SIDE * SIDE];
    const dn_scorer_options options = {
        .struct_size = sizeof options, .angles = -1, .threads = 1, .false_alarm_rate = 0.3};

    for (int flow = 0; flow < 2; flow++) {
        dn_model *model = make_positions(), *again;
        dn_pixels view = {.pixels = gray, .width = SIDE, .height = SIDE, .format = DN_GRAY8};
        dn_scorer *scorer;
        dn_blob *blob;
        dn_error error;
        dn_score score = {0};
        if (!flow) {
            flow_unref(model->flow);
            model->flow = NULL;
        }
        model->facts.standards[PART_LOCAL] = (part_standard){-1, 1e-320};
        model->facts.standards[PART_WHOLE] = (part_standard){-1, flow ? 1e-200 : 1e-320};
        ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
        ck_ok(model_open_memory(blob->data, blob->size, &plain, &again, NULL));
        ck_ok(scorer_create(again, &options, &scorer, NULL));
        ck_status(scorer_score(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
        check_message(&error, DN_E_NUMERIC, NULL, "train it anew");
        ck_status(scorer_decide(scorer, &(scorer_input){.view = &view}, &score, &error), DN_E_NUMERIC);
        scorer_free(scorer);
        blob_free(blob);
        model_unref(again);
        model_unref(model);
    }
}
END_TEST

/* A scale that is next to nothing: the score does without it, the map does not. */
START_TEST(scale_next_to_nothing)
{
    static uint8_t gray[SIDE * SIDE];
    static float map[SIDE * SIDE];
    const dn_scorer_options options = {
        .struct_size = sizeof options, .angles = -1, .threads = 1, .false_alarm_rate = 0.3};
    const dn_pixels view = {.pixels = gray, .width = SIDE, .height = SIDE, .format = DN_GRAY8};
    dn_model *model = make_positions();
    dn_scorer *scorer;
    dn_error error;
    dn_score score = {0};

    ck_ok(scorer_create(model, &options, &scorer, NULL));
    ck_ok(scorer_inspect(scorer, &(scorer_input){.view = &view}, map, &score, NULL));
    model->facts.positions_scale = 1e-300;
    ck_ok(scorer_score(scorer, &(scorer_input){.view = &view}, &score, NULL));
    ck_status(scorer_inspect(scorer, &(scorer_input){.view = &view}, map, &score, &error), DN_E_NUMERIC);
    check_message(&error, DN_E_NUMERIC, NULL, "the image's map is not finite");
    scorer_free(scorer);
    model_unref(model);
}
END_TEST

/* Without the check of the checksum a damaged weight passes, if it is still a number. */
START_TEST(not_verified)
{
    const dn_model_options trusting = {.struct_size = sizeof trusting, .verify = 0};
    dn_model *model = make_model(), *again;
    dn_blob *blob;

    ck_ok(model_save_memory(model, DN_STORAGE_F32, &blob, NULL));
    ck_ok(model_open_memory(blob->data, blob->size, &trusting, &again, NULL));
    ck_assert_uint_eq(again->id, model->id);
    model_unref(again);
    for (size_t at = blob->size - 1; at > 0; at--) /* the lowest bits of a positive deviation, mean or so */
        if (blob->data[at]) {
            blob->data[at] ^= 1;
            break;
        }
    check_refused(blob->data, blob->size, 1, DN_E_FORMAT, "checksum");
    blob_free(blob);
    model_unref(model);
}
END_TEST

static void check_path_refused(const char *path, dn_status status, const char *part)
{
    dn_error error = {0};
    dn_model *model = NULL;

    ck_status(model_open_path(path, &plain, &model, &error), status);
    ck_assert_ptr_null(model);
    check_message(&error, status, path, part);
}

START_TEST(foreign_files)
{
    const char *folder = test_folder(), *path = path_join(folder, "file");
    dn_flow_options options = {.dimension = 4, .blocks = 1, .hidden = 2, .clamp = 3};
    dn_flow *flow;

    check_path_refused(path, DN_E_IO, "open");
    check_path_refused(folder, DN_E_IO, "regular");
    write_file(path, "", 0);
    check_path_refused(path, DN_E_FORMAT, "empty");
    write_file(path, "\x89PNG\r\n\x1a\n and more", 17);
    check_path_refused(path, DN_E_FORMAT, "not a safetensors");
    check_path_refused(golden_path("cnn_alexnet.safetensors"), DN_E_KIND, "is a backbone, not a model; train one with");
    check_path_refused(golden_path("heatmap.safetensors"), DN_E_KIND, "is not a model");
    ck_ok(flow_create(&options, &flow, NULL));
    st_writer *writer = flow_writer(flow);
    ck_ok(st_writer_save(writer, path, NULL));
    check_path_refused(path, DN_E_KIND, "is a flow, not a model");
    st_writer_free(writer);
    flow_unref(flow);
}
END_TEST

/* ---- failing disk ---- */

/* Whichever call fails, the old file stays whole, or the new one is there. */
START_TEST(save_is_atomic)
{
    const char *folder = test_folder(), *path = path_join(folder, "part.dnm");
    dn_model *old = make_model(), *model = make_model();
    size_t old_size, size;

    old->mean[0] = 5;
    ck_ok(model_save(old, path, DN_STORAGE_F32, NULL));
    uint8_t *old_bytes = read_file(path, &old_size);
    dn_status status = DN_E_IO;
    int failures = 0;
    for (long number = 1; status != DN_OK; number++) {
        dn_error error = {0};
        files_fail_at(number);
        status = model_save(model, path, DN_STORAGE_F32, &error);
        long calls = files_calls();
        ck_assert_int_eq(files_open(), 0);
        files_restore();
        if (status != DN_OK) {
            check_message(&error, DN_E_IO, path, "cannot");
            uint8_t *bytes = read_file(path, &size);
            ck_assert_uint_eq(size, old_size);
            ck_assert_mem_eq(bytes, old_bytes, size);
            free(bytes);
            failures++;
        }
        ck_assert_int_eq(count_files(folder), 1);
        ck_assert(status != DN_OK || calls >= number); /* a failed sync of the folder is no error */
    }
    ck_assert_int_ge(failures, 4); /* create, write, sync, close, rename */
    dn_model *again = open_model(path);
    check_same(model, again);
    model_unref(again);
    free(old_bytes);
    model_unref(old);
    model_unref(model);
}
END_TEST

START_TEST(open_fails_cleanly)
{
    const char *path = path_join(test_folder(), "part.dnm");
    dn_model *model = make_model(), *again;
    dn_status status = DN_E_IO;

    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    for (long number = 1; status != DN_OK && number < 10; number++) {
        dn_error error = {0};
        files_fail_at(number);
        status = model_open_path(path, &plain, &again, &error);
        ck_assert_ptr_eq(again, status == DN_OK ? again : NULL);
        if (status != DN_OK)
            check_message(&error, DN_E_IO, path, "cannot");
        else
            model_unref(again);
        ck_assert_int_eq(files_open(), 0); /* the mapping, too */
        files_restore();
    }
    ck_assert_int_eq(status, DN_OK);
    model_unref(model);
}
END_TEST

START_TEST(unwritable)
{
    const char *folder = test_folder();
    const char *nowhere = path_join(folder, "absent/part.dnm");
    dn_model *model = make_model();
    dn_error error = {0};

    ck_status(model_save(model, nowhere, DN_STORAGE_F32, &error), DN_E_IO);
    check_message(&error, DN_E_IO, nowhere, "cannot create");
    ck_status(model_save(model, folder, DN_STORAGE_F32, &error), DN_E_IO);
    check_message(&error, DN_E_IO, folder, "not a regular file");
    ck_assert_int_eq(count_files(folder), 0);
    if (geteuid() != 0) { /* root may write anywhere */
        chmod(folder, 0500);
        ck_status(model_save(model, path_join(folder, "part.dnm"), DN_STORAGE_F32, &error), DN_E_IO);
        chmod(folder, 0700);
    }
    model_unref(model);
}
END_TEST

/* Saving over the file that a model is mapped from leaves that model as it is, even if it is the same model. */
START_TEST(replaced_while_open)
{
    const char *path = path_join(test_folder(), "part.dnm");
    dn_model *model = make_model(), *mapped;

    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    mapped = open_model(path);
    dn_score before = score_of(mapped);
    ck_ok(model_save(mapped, path, DN_STORAGE_F16, NULL));
    dn_score after = score_of(mapped);
    ck_assert_mem_eq(&before, &after, sizeof before);
    model_unref(mapped);
    mapped = open_model(path);
    ck_assert_int_eq(mapped->storage, DN_STORAGE_F16);
    model_unref(mapped);
    model_unref(model);
}
END_TEST

/* The flow and extractor of a model outlive it. */
START_TEST(parts_outlive_the_model)
{
    const char *path = path_join(test_folder(), "part.dnm");
    dn_model *model = make_model();
    float x[DIM] = {1, 2, 3, 4, 5, 6, 7, 8}, z[DIM], expected[DIM];
    dn_allocator allocator = mem_allocator(NULL);

    ck_ok(model_save(model, path, DN_STORAGE_F32, NULL));
    dn_model *mapped = open_model(path);
    dn_flow *flow = flow_ref(mapped->flow);
    dn_extractor *extractor = extractor_ref(mapped->extractor);
    model_unref(mapped);
    float *scratch = mem_alloc(&allocator, flow_scratch(flow), sizeof *scratch);
    flow_forward(flow, x, 1, z, NULL, scratch, NULL);
    flow_forward(model->flow, x, 1, expected, NULL, scratch, NULL);
    ck_assert_mem_eq(z, expected, sizeof z);
    ck_assert_uint_eq(extractor->id, model->extractor->id);
    mem_free(&allocator, scratch);
    flow_unref(flow);
    extractor_unref(extractor);
    model_unref(model);
}
END_TEST

/* ---- failing memory ---- */

typedef dn_status (*attempt)(const dn_allocator *allocator, const char *path, int32_t storage, dn_error *error);

static dn_status attempt_create(const dn_allocator *allocator, const char *path, int32_t storage, dn_error *error)
{
    dn_model *model;
    dn_status status = make_model_with(allocator, &model, error);

    (void)path;
    (void)storage;
    model_unref(model);
    return status;
}

static dn_status attempt_open(const dn_allocator *allocator, const char *path, int32_t storage, dn_error *error)
{
    dn_model_options options = {.struct_size = sizeof options, .verify = 1, .allocator = allocator};
    dn_model *model;
    dn_status status = model_open_path(path, &options, &model, error);

    (void)storage;
    ck_assert((model == NULL) == (status != DN_OK));
    model_unref(model);
    return status;
}

static dn_status attempt_open_memory(const dn_allocator *allocator, const char *path, int32_t storage, dn_error *error)
{
    dn_model_options options = {.struct_size = sizeof options, .verify = 1, .allocator = allocator};
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    dn_model *model;
    dn_status status = model_open_memory(bytes, size, &options, &model, error);

    (void)storage;
    free(bytes);
    model_unref(model);
    return status;
}

static dn_status attempt_save(const dn_allocator *allocator, const char *path, int32_t storage, dn_error *error)
{
    dn_model *model = make_model();
    dn_allocator kept = model->allocator;
    dn_blob *blob = NULL;

    (void)path;
    model->allocator = *allocator; /* for the saving alone */
    dn_status status = model_save_memory(model, storage, &blob, error);
    ck_assert((blob == NULL) == (status != DN_OK));
    blob_free(blob);
    model->allocator = kept;
    model_unref(model);
    return status;
}

static void fail_each(attempt function, const char *path, int32_t storage)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_status status = DN_E_MEMORY;

    for (long fail_at = 1; status != DN_OK; fail_at++) {
        dn_error error = {0};
        memory = (failing_memory){.fail_at = fail_at};
        status = function(&allocator, path, storage, &error);
        if (status != DN_OK)
            check_message(&error, DN_E_MEMORY, NULL, "out of memory");
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_lt(fail_at, 1000);
    }
    ck_assert_int_gt(memory.calls, 3);
}

START_TEST(failing_allocations)
{
    const char *folder = test_folder(), *path = path_join(folder, "part.dnm");
    dn_model *model = make_model();

    fail_each(attempt_create, NULL, 0);
    for (int32_t storage = DN_STORAGE_F32; storage <= DN_STORAGE_F16; storage++) {
        ck_ok(model_save(model, path, storage, NULL));
        fail_each(attempt_open, path, storage);
        fail_each(attempt_open_memory, path, storage);
        fail_each(attempt_save, path, storage);
        ck_assert_int_eq(count_files(folder), 1);
    }
    model_unref(model);
}
END_TEST

static dn_status save_float32(void *model, const char *path, dn_error *error)
{
    return model_save(model, path, DN_STORAGE_F32, error);
}

static dn_status save_float16(void *model, const char *path, dn_error *error)
{
    return model_save(model, path, DN_STORAGE_F16, error);
}

static void open_saved(void *model, const char *path)
{
    dn_model *again = open_model(path);

    ck_assert_mem_eq(&((dn_model *)model)->facts, &again->facts, sizeof again->facts);
    ck_assert_msg(score_of(again).score > 0, "no score");
    model_unref(again);
}

START_TEST(saves_without_memory)
{
    const char *folder = test_folder();
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_model *model;

    ck_ok(make_model_with(&allocator, &model, NULL));
    save_test test = {_i ? save_float16 : save_float32, open_saved, model, &memory};
    check_saves_without_memory(&test, path_join(folder, "part.dnm"));
    ck_assert_int_eq(count_files(folder), 1);
    model_unref(model);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("model");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, facts_of_golden);
    tcase_add_test(tests, half_precision);
    tcase_add_test(tests, half_precision_overflow);
    tcase_add_test(tests, unknown_facts);
    tcase_add_test(tests, any_locale);
    tcase_add_test(tests, create_refuses);
    tcase_add_test(tests, truncated);
    tcase_add_test(tests, damaged_data);
    tcase_add_loop_test(tests, changed_header, 0, 2);
    tcase_add_loop_test(tests, every_flipped_bit_is_found, 0, 2);
    tcase_add_test(tests, id_of_settings);
    tcase_add_test(tests, id_of_tensors);
    tcase_add_loop_test(tests, earlier_formats, 0, 1);
    tcase_add_test(tests, impossible_numbers);
    tcase_add_test(tests, round_trip_of_positions);
    tcase_add_loop_test(tests, changed_header_of_positions, 0, 2);
    tcase_add_test(tests, round_trip_of_shapes);
    tcase_add_loop_test(tests, changed_shape, 0, 2);
    tcase_add_test(tests, positions_twice);
    tcase_add_test(tests, positions_of_other_shapes);
    tcase_add_test(tests, impossible_numbers_of_positions);
    tcase_add_test(tests, threshold_of_boxes);
    tcase_add_test(tests, spreads_next_to_nothing);
    tcase_add_test(tests, scale_next_to_nothing);
    tcase_add_test(tests, not_verified);
    tcase_add_test(tests, foreign_files);
    tcase_add_test(tests, save_is_atomic);
    tcase_add_test(tests, open_fails_cleanly);
    tcase_add_test(tests, unwritable);
    tcase_add_test(tests, replaced_while_open);
    tcase_add_test(tests, parts_outlive_the_model);
    tcase_add_test(tests, failing_allocations);
    tcase_add_loop_test(tests, saves_without_memory, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
