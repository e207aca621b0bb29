/* The public API while the C library fails: memory (also what libpng, libjpeg and libtiff ask for), threads, and every
 * call on files, each once and from then on, at each position.  What a call says is what happened; what it says went
 * well is right; files are the old or the new one and open; handles can be used again or freed; nothing is left open.
 *
 * At most POSITIONS positions for each scenario and fault, evenly spread; with FAULTS_ALL=1 in the environment all, with
 * FAULTS_ONLY=N one pair of scenario and fault alone, and FAULTS_SHOW=1 tells each. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "heatmap_golden.h"
#include "training.h"

#define POSITIONS 12
#define SIDE 40

/* ---- what the scenarios work on ---- */

static const char *folder;
static dn_model *model;
static dn_scorer *scorer;
static dn_localizer *localizer;
static int32_t threads;   /* of the handles that are made */
static uint64_t sum;      /* of a scenario's results */
static _Bool tiff;        /* the library reads TIFF */
static dn_error last;     /* of an image */
static _Bool undescribed; /* an error without a text, or the other way round */
static uint8_t picture[SIDE * SIDE * 3];

static void add(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * 0x100000001B3u;
}

static void add_file(const char *path)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    add(bytes, size);
    free(bytes);
}

/* Ends a scenario with a call's status. */
#define STEP(call)                \
    do {                          \
        dn_status step_ = (call); \
        if (step_ != DN_OK) {     \
            status = step_;       \
            goto end;             \
        }                         \
    } while (0)

static const char *at(const char *name)
{
    return path_join(folder, name);
}

/* ---- scenarios: public calls, and their results; no ck_assert, which takes memory ---- */

static dn_status decode(const char *path)
{
    dn_image *image = NULL;
    dn_pixels pixels;
    dn_error error = {0};
    dn_status status = DN_OK;

    STEP(dn_image_open_path(path, NULL, &image, &error));
    dn_image_pixels(image, &pixels);
    static const size_t bytes[] = {0, 1, 2, 3};
    add(pixels.pixels, (size_t)pixels.width * (size_t)pixels.height * bytes[pixels.format]);
end:
    last = error;
    undescribed |= status != DN_OK && (error.status != status || !error.message[0] || image);
    dn_image_free(image);
    return status;
}

static dn_status images(void)
{
    dn_status status = DN_OK;

    STEP(decode(golden_path("images/rgb8_interlaced.png")));
    STEP(decode(golden_path("images/palette8.png")));
    STEP(decode(golden_path("images/exif_6.jpg")));
    STEP(decode(golden_path("images/rgb_progressive.jpg")));
    STEP(decode(at("picture.pgm")));
    if (tiff)
        STEP(decode(at("picture.tif")));
end:
    return status;
}

static dn_status png(void)
{
    dn_pixels view = rgb_view(picture, SIDE, SIDE);
    dn_blob *blob = NULL;
    dn_status status = DN_OK;

    STEP(dn_image_encode_png(&view, &blob, NULL));
    add(dn_blob_data(blob), dn_blob_size(blob));
    STEP(dn_image_write_png(&view, at("written.png"), NULL));
end:
    dn_blob_free(blob);
    return status;
}

static dn_status extractor(void)
{
    static float views[2 * 64 * 64 * 3], features[2 * 64];
    const double angles[2] = {0, 33};
    dn_pixels view = rgb_view(picture, SIDE, SIDE);
    dn_extractor_options options;
    dn_extractor *made = NULL;
    dn_status status = DN_OK;

    dn_extractor_options_init(&options);
    options.input_size = 64;
    options.scales = 1;
    STEP(dn_extractor_open_path(golden_path("cnn_mobile.safetensors"), &options, &made, NULL));
    STEP(dn_extractor_views(made, &view, angles, 2, views, NULL));
    STEP(dn_extractor_features(made, views, 2, features, NULL));
    STEP(dn_extractor_gradient(made, views, 2, features, views, NULL));
    add(views, sizeof views);
    STEP(dn_extractor_save(made, at("backbone"), DN_STORAGE_F16, NULL));
end:
    dn_extractor_unref(made);
    return status;
}

static dn_status flow(void)
{
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, logdet[2];
    dn_flow_options options;
    dn_flow *made = NULL, *opened = NULL;
    dn_status status = DN_OK;

    dn_flow_options_init(&options);
    options.dimension = 4;
    options.hidden = 6;
    options.blocks = 2;
    STEP(dn_flow_create(&options, &made, NULL));
    STEP(dn_flow_save(made, at("flow"), NULL));
    STEP(dn_flow_open_path(at("flow"), NULL, &opened, NULL));
    STEP(dn_flow_forward(opened, x, 2, x, logdet, NULL));
    add(x, sizeof x);
end:
    dn_flow_unref(opened);
    dn_flow_unref(made);
    return status;
}

static dn_status model_file(void)
{
    dn_model *opened = NULL;
    dn_blob *blob = NULL;
    dn_status status = DN_OK;

    STEP(dn_model_save(model, at("model"), DN_STORAGE_F32, NULL));
    STEP(dn_model_open_path(at("model"), NULL, &opened, NULL));
    STEP(dn_model_save_memory(opened, DN_STORAGE_F16, &blob, NULL));
    add(dn_blob_data(blob), dn_blob_size(blob));
end:
    dn_blob_free(blob);
    dn_model_unref(opened);
    return status;
}

static dn_status score_with(dn_scorer *with)
{
    const char *paths[3] = {at("picture.png"), golden_path("images/rgb_420.jpg"), at("picture.pgm")};
    dn_pixels view = rgb_view(picture, SIDE, SIDE);
    dn_score scores[3];
    dn_error errors[3];
    dn_status status = DN_OK;

    for (int i = 0; i < 3; i++)
        dn_score_init(&scores[i]);
    STEP(dn_scorer_score(with, &view, &scores[0]));
    add(&scores[0].score, sizeof scores[0].score);
    STEP(dn_scorer_score_path(with, paths[0], &scores[0]));
    STEP(dn_scorer_score_batch_paths(with, paths, 3, scores, errors));
    for (int i = 0; i < 3; i++)
        add(&scores[i].score, sizeof scores[i].score);
end:
    undescribed |= dn_scorer_error(with)->status != status || !dn_scorer_error(with)->message[0] != (status == DN_OK);
    return status;
}

static dn_status new_scorer(void)
{
    dn_scorer_options options;
    dn_scorer *made = NULL;
    dn_status status = DN_OK;

    dn_scorer_options_init(&options);
    options.views = 4;
    options.threads = threads;
    STEP(dn_scorer_create(model, &options, &made, NULL));
    STEP(score_with(made));
end:
    dn_scorer_free(made);
    return status;
}

static dn_status old_scorer(void)
{
    return score_with(scorer);
}

static dn_status map_with(dn_localizer *with)
{
    static float map[SIDE * SIDE];
    dn_pixels view = rgb_view(picture, SIDE, SIDE);
    dn_box boxes[4];
    int32_t count = 0;
    dn_status status = DN_OK;

    STEP(dn_localizer_map(with, &view, map));
    add(map, sizeof map);
    STEP(dn_localizer_boxes(with, map, SIDE, SIDE, 0.5f, boxes, 4, &count));
    add(&count, sizeof count);
end:
    undescribed |= dn_localizer_error(with)->status != status ||
                   !dn_localizer_error(with)->message[0] != (status == DN_OK);
    return status;
}

static dn_status new_localizer(void)
{
    dn_localizer_options options;
    dn_localizer *made = NULL;
    dn_status status = DN_OK;

    dn_localizer_options_init(&options);
    options.views = 2;
    options.threads = threads;
    STEP(dn_localizer_create(model, &options, &made, NULL));
    STEP(map_with(made));
end:
    dn_localizer_free(made);
    return status;
}

static dn_status old_localizer(void)
{
    return map_with(localizer);
}

/* Trains with a checkpoint after each epoch; resume: goes on from one that is there. */
static dn_status train(int32_t resume)
{
    dn_train_options options = tiny_options();
    dn_extractor *made = NULL;
    dn_trainer *trainer = NULL;
    dn_model *trained = NULL;
    dn_status status = DN_OK;

    options.epochs = 2;
    options.checkpoint = at("state");
    options.checkpoint_epochs = 1;
    options.resume = resume;
    options.threads = threads;
    options.positions = 1;
    options.light = 0;
    options.holdout = 0.3;
    options.heatmap_images = 1;
    STEP(dn_extractor_random(
        (const int32_t[5]){2, 2, 2, 2, 4}, 1,
        &(dn_extractor_options){.struct_size = sizeof(dn_extractor_options), .input_size = 64, .scales = 1}, &made,
        NULL));
    STEP(dn_trainer_create(made, &options, &trainer, NULL));
    for (uint32_t i = 1; i < 4; i++)
        STEP(add_picture(trainer, i));
    STEP(dn_trainer_add_path(trainer, at("picture.png")));
    STEP(dn_trainer_run(trainer, NULL, NULL, &trained));
    STEP(dn_model_save(trained, at("trained"), DN_STORAGE_F32, NULL));
end:
    dn_model_unref(trained);
    dn_trainer_free(trainer);
    dn_extractor_unref(made);
    return status;
}

static dn_status training(void)
{
    return train(0);
}

static dn_status resumed(void)
{
    return train(1);
}

static const struct scenario {
    const char *name;
    dn_status (*act)(void);
    _Bool has_threads;
    const char *files[3]; /* that it writes, the last one last */
} scenarios[] = {
    {"images", images, 0, {NULL}},
    {"png", png, 0, {"written.png"}},
    {"extractor", extractor, 0, {"backbone"}},
    {"flow", flow, 0, {"flow"}},
    {"model", model_file, 0, {"model"}},
    {"a new scorer", new_scorer, 1, {NULL}},
    {"a scorer", old_scorer, 1, {NULL}},
    {"a new localizer", new_localizer, 1, {NULL}},
    {"a localizer", old_localizer, 1, {NULL}},
    {"training", training, 1, {"state.bank", "state", "trained"}},
    {"resumed training", resumed, 1, {"state.bank", "state", "trained"}},
};
#define SCENARIOS ((int)(sizeof scenarios / sizeof *scenarios))

/* ---- preparing ---- */

static void make_handles(void)
{
    dn_scorer_options scorer_options;
    dn_localizer_options localizer_options;

    dn_scorer_options_init(&scorer_options);
    scorer_options.views = 4;
    scorer_options.threads = threads;
    ck_ok(dn_scorer_create(model, &scorer_options, &scorer, NULL));
    dn_localizer_options_init(&localizer_options);
    localizer_options.views = 2;
    localizer_options.threads = threads;
    ck_ok(dn_localizer_create(model, &localizer_options, &localizer, NULL));
}

/* A gray TIFF in one strip; whether it can be read. */
static _Bool make_tiff(const char *path)
{
    static const uint16_t entries[9][2] = {{256, SIDE}, {257, SIDE}, {258, 8},    {259, 1},          {262, 1},
                                           {273, 256},  {277, 1},    {278, SIDE}, {279, SIDE * SIDE}};
    uint8_t bytes[256 + SIDE * SIDE] = {'I', 'I', '*', 0, 8, 0, 0, 0, 9};
    dn_image *image;

    for (size_t i = 0; i < 9; i++) {
        uint16_t entry[6] = {entries[i][0], 3, 1, 0, entries[i][1], 0};
        memcpy(bytes + 10 + 12 * i, entry, sizeof entry);
    }
    memcpy(bytes + 256, picture, SIDE * SIDE);
    write_file(path, bytes, sizeof bytes);
    dn_status status = dn_image_open_path(path, NULL, &image, NULL);
    dn_image_free(image);
    return status == DN_OK;
}

static void prepare(int32_t with_threads)
{
    dn_pixels view = rgb_view(picture, SIDE, SIDE);
    char pgm[16 + SIDE * SIDE];

    threads = with_threads;
    folder = test_folder();
    draw_texture(picture, SIDE, SIDE, 5);
    int head = snprintf(pgm, sizeof pgm, "P5 %d %d 255\n", SIDE, SIDE);
    memcpy(pgm + head, picture, SIDE * SIDE);
    write_file(at("picture.pgm"), pgm, (size_t)head + SIDE * SIDE);
    ck_ok(dn_image_write_png(&view, at("picture.png"), NULL));
    tiff = make_tiff(at("picture.tif"));
    ck_ok(train(0)); /* its model is the one that the others use */
    ck_ok(dn_model_open_path(at("trained"), NULL, &model, NULL));
    make_handles();
}

static void finish(void)
{
    dn_scorer_free(scorer);
    dn_localizer_free(localizer);
    dn_model_unref(model);
}

/* ---- the check ---- */

/* A scenario without faults: its results and files, and what it leaves of the process's resources. */
typedef struct expectation {
    uint64_t sum, files[3];
    int descriptors, tasks, left; /* entries of the folder */
    long live;
} expectation;

static uint64_t file_sum(const char *path)
{
    uint64_t kept = sum;

    sum = 0;
    add_file(path);
    uint64_t result = sum;
    sum = kept;
    return result;
}

static expectation measure(const struct scenario *s)
{
    expectation e = {0};

    for (int round = 0; round < 2; round++) { /* the first one also fills caches of the C library's */
        sum = 0;
        ck_ok(s->act());
    }
    e.sum = sum;
    for (int i = 0; i < 3 && s->files[i]; i++)
        e.files[i] = file_sum(at(s->files[i]));
    e.descriptors = count_files("/proc/self/fd");
    e.tasks = count_tasks(0);
    e.left = count_files(folder);
    e.live = faults_live();
    return e;
}

static _Bool status_fits(enum fault_kind kind, _Bool forever, dn_status status)
{
    switch (kind) {
    case FAULT_MEMORY: /* pthread_create takes memory, too */
        return status == DN_OK || status == DN_E_MEMORY || (threads > 1 && status == DN_E_THREAD);
    case FAULT_THREAD:
        return status == DN_E_THREAD;
    case FAULT_EINTR:
    case FAULT_SHORT:
        return !forever ? status == DN_OK : status == DN_OK || status == DN_E_IO;
    default:
        return status == DN_OK || status == DN_E_IO;
    }
}

/* Files are old ones, that is those of the run before, or new ones: the same bytes, as a scenario always writes the
 * same; or, between, those of an earlier point of a training, which is gone on with below. */
static void check_files(const struct scenario *s, const expectation *e, const char *what)
{
    _Bool trains = s->act == training || s->act == resumed;

    for (int i = 0; i < 3 && s->files[i]; i++)
        if (!(trains && i == 1))
            ck_assert_msg(file_sum(at(s->files[i])) == e->files[i], "%s: %s is neither the old nor the new file", what,
                          s->files[i]);
}

/* Temporary files stay where unlink() failed alone. */
static void remove_temporary(const char *what, _Bool allowed)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;

    while ((entry = readdir(stream))) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && !strcmp(entry->d_name + length - 4, ".tmp")) {
            ck_assert_msg(allowed, "%s: %s was left", what, entry->d_name);
            unlink(path_join(folder, entry->d_name));
        }
    }
    closedir(stream);
}

static const char *const fault_names[] = {"memory", "threads", "EIO", "ENOSPC", "EINTR", "short"};

/* One run with a fault; false when there was no call number `number`. */
static _Bool run(const struct scenario *s, const expectation *e, enum fault_kind kind, long number, _Bool forever)
{
    char what[128];

    snprintf(what, sizeof what, "%s with %d threads, %s fails at %ld%s", s->name, (int)threads, fault_names[kind],
             number, forever ? " and ever after" : "");
    if (getenv("FAULTS_SHOW"))
        fprintf(stderr, "%s\n", what);
    sum = 0;
    faults_arm(kind, number, forever);
    dn_status status = s->act();
    if (faults_disarm() < number)
        return 0;
    ck_assert_msg(status_fits(kind, forever, status), "%s: %s %s", what, dn_status_string(status), last.message);
    ck_assert_msg(!undescribed, "%s: an error is not described", what);
    ck_assert_msg(status != DN_OK || sum == e->sum, "%s: other results", what);
    ck_assert_msg(count_files("/proc/self/fd") == e->descriptors, "%s: a descriptor is open", what);
    ck_assert_msg(count_tasks(e->tasks) == e->tasks, "%s: a thread is left", what);
    ck_assert_msg(threads > 1 || faults_live() == e->live, "%s: %ld blocks are left", what, faults_live() - e->live);
    remove_temporary(what, kind == FAULT_EIO);
    check_files(s, e, what);
    sum = 0; /* all can be used again; a training goes on from what there is */
    status = s->act == training ? resumed() : s->act();
    ck_assert_msg(status == DN_OK && sum == e->sum, "%s: afterwards: %s", what, dn_status_string(status));
    check_files(s, e, what);
    return 1;
}

static long runs;

static void all_positions(const struct scenario *s, const expectation *e, enum fault_kind kind)
{
    sum = 0;
    faults_arm(kind, 0, 0);
    ck_ok(s->act());
    long count = faults_disarm(), step = getenv("FAULTS_ALL") ? 1 : (count + POSITIONS - 1) / POSITIONS;

    for (int forever = 0; forever < 2; forever++) {
        if (forever && (kind == FAULT_EINTR || kind == FAULT_SHORT))
            continue; /* never ends; or is slow only */
        for (long number = 1 + forever * (step / 2); number <= count && run(s, e, kind, number, forever);
             number += step)
            runs++;
    }
    if (getenv("FAULTS_SHOW"))
        fprintf(stderr, "%s, %d threads, %s: %ld positions\n", s->name, (int)threads, fault_names[kind], count);
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define REPLACEABLE 0 /* malloc is the sanitizer's */
#else
#define REPLACEABLE 1
#endif

/* One kind of fault in one scenario, with 1 and with 3 threads. */
START_TEST(faults)
{
    const struct scenario *s = &scenarios[_i / FAULT_KINDS];
    enum fault_kind kind = (enum fault_kind)(_i % FAULT_KINDS);

    for (int32_t with = 1; with <= (s->has_threads ? 3 : 1); with += 2) {
        prepare(with);
        expectation e = measure(s);
        all_positions(s, &e, kind);
        finish();
    }
    if (getenv("FAULTS_SHOW"))
        fprintf(stderr, "%ld runs\n", runs);
}
END_TEST

/* The faults are there: else the test above would prove nothing. */
START_TEST(faults_reach_the_library)
{
    dn_image *image = NULL;
    dn_flow *made = NULL;

    prepare(1);
    faults_arm(FAULT_MEMORY, 1, 1);
    dn_status memory = dn_flow_create(NULL, &made, NULL);
    faults_disarm();
    ck_status(memory, DN_E_MEMORY);
    faults_arm(FAULT_EIO, 2, 0);
    dn_status reading = dn_image_open_path(at("picture.png"), NULL, &image, NULL);
    ck_assert_int_ge(faults_disarm(), 2);
    ck_status(reading, DN_E_IO);
    finish();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");

    tcase_add_test(tests, faults_reach_the_library);
    const char *only = getenv("FAULTS_ONLY"); /* scenario number * 6 + fault number */
    tcase_add_loop_test(tests, faults, only ? atoi(only) : 0, only ? atoi(only) + 1 : SCENARIOS * FAULT_KINDS);
    tcase_set_timeout(tests, 3600);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    if (!REPLACEABLE || (getenv("CK_FORK") && !strcmp(getenv("CK_FORK"), "no"))) {
        puts("skipped: memory is the sanitizer's or valgrind's");
        return 77;
    }
    return run_suite(make_suite());
}
