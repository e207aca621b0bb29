/* How much memory is needed: the formulas of docs/memory.md, computed here anew, against a counting allocator; and the
 * process as a whole against a limit. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "cnn/features.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "small_model.h"

#define MEGABYTE 1e6

/* ---- an allocator that counts bytes ---- */

#define HEAD 64 /* in front of each block: its size */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t live, peak;

static void *counted_alloc(size_t alignment, size_t size, void *user)
{
    (void)user;
    ck_assert_uint_le(alignment, HEAD);
    char *block = aligned_alloc(HEAD, size + HEAD);
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    pthread_mutex_lock(&lock);
    live += size;
    if (live > peak)
        peak = live;
    pthread_mutex_unlock(&lock);
    return block + HEAD;
}

static void counted_free(void *pointer, void *user)
{
    char *block = (char *)pointer - HEAD;
    size_t size;

    (void)user;
    memcpy(&size, block, sizeof size);
    pthread_mutex_lock(&lock);
    live -= size;
    pthread_mutex_unlock(&lock);
    free(block);
}

static const dn_allocator counting = {counted_alloc, counted_free, NULL};

static void check_peak(double formula)
{
    double ratio = (double)peak / formula;

    ck_assert_msg(ratio > 0.97 && ratio < 1.03, "%.3f MB at most, the formula says %.3f (ratio %.4f)",
                  (double)peak / MEGABYTE, formula / MEGABYTE, ratio);
}

/* ---- the formulas; D, H, K: dimension, hidden, blocks; S: side of a view; R: rows ---- */

static double parameters(double d, double h, double k)
{
    return 2 * k * (d / 2 * h + h + 2 * (h * h + h) + d * h + d);
}

/* Activations of R rows; traces: blocks whose activations are kept. */
static double activations(double d, double h, double traces, double r)
{
    return r * (4 * (traces * (4 * d + 6 * h) + 2 * d + 2 * h) + 8);
}

static double scorer_bytes(const dn_extractor *e, double h, double views, double threads)
{
    double s = e->input_width, d = e->feature_dim;

    return threads * 4.0 * (double)features_forward_scratch(e) + 6 * s * s + 4 * views * d + activations(d, h, 1, 64);
}

static double localizer_bytes(const dn_extractor *e, double h, double k, double views, double threads)
{
    double s = e->input_width, d = e->feature_dim, slots = views < 16 ? views : 16;

    return threads * (FEATURES_BLOCK * 24 * s * s + 4.0 * (double)features_gradient_scratch(e)) +
           (10 + 4 * slots) * s * s + 8 * views * d + activations(d, h, k, 64) + 2 * 64 * 4 * (d + 1);
}

/* A model's own bytes if its flow is mapped: the backbone as it is, and prepared. */
static double backbone_bytes(const dn_extractor *e)
{
    double total = 0;

    for (int32_t i = 0; i < e->layer_count; i++)
        if (e->layers[i].kind == LAYER_CONV)
            total += 4.0 * (double)conv_packed_floats(&e->layers[i].conv);
    return total + 4.0 * (double)e->parameters;
}

/* ---- scoring ---- */

static const char *compact, *compact_half; /* files, written once */

/* A model of the compact preset's size.  Written by a process of its own, so that this one's peak is of scoring. */
static void write_compact_models(void)
{
    static float mean[768], deviation[768];
    const model_facts facts = {.views = 64, .angles = DN_ANGLES_STRATIFIED};
    dn_allocator allocator = mem_allocator(NULL);
    dn_extractor_options extractor_options;
    dn_flow_options flow_options;
    dn_extractor *extractor;
    dn_flow *flow;
    dn_model *model;
    int status;

    compact = path_join(test_folder(), "compact.dnm");
    compact_half = path_join(test_folder(), "half.dnm");
    fflush(stdout);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child > 0) {
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return;
    }
    for (int i = 0; i < 768; i++)
        deviation[i] = 1;
    dn_extractor_options_init(&extractor_options);
    dn_flow_options_init(&flow_options);
    _exit(extractor_random(NULL, 1, &extractor_options, &extractor, NULL) != DN_OK ||
          flow_create(&flow_options, &flow, NULL) != DN_OK ||
          model_create_with_flow(extractor, flow, mean, deviation, &facts, &allocator, &model, NULL) != DN_OK ||
          model_save(model, compact, DN_STORAGE_F32, NULL) != DN_OK ||
          model_save(model, compact_half, DN_STORAGE_F16, NULL) != DN_OK);
}

/* The most memory that this process has had, in bytes; 0 if that means nothing: under a sanitizer or valgrind (all
 * tests in one process). */
static double process_peak(void)
{
    const char *fork_mode = getenv("CK_FORK");
    char line[256];
    double kilobytes = 0;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return 0;
#endif
    if (fork_mode && !strcmp(fork_mode, "no"))
        return 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    if (status)
        fclose(status);
    return 1024 * kilobytes;
}

static dn_model *open_counted(const char *path, int32_t verify)
{
    const dn_model_options options = {.struct_size = sizeof options, .verify = verify, .allocator = &counting};
    dn_error error = {0};
    dn_model *model;
    dn_status status = model_open_path(path, &options, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

static void score_counted(dn_model *model, int32_t views, int32_t threads)
{
    const dn_scorer_options options = {.struct_size = sizeof options,
                                       .views = views,
                                       .angles = -1,
                                       .threads = threads,
                                       .false_alarm_rate = 0.3,
                                       .allocator = &counting};
    static uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_score score = {0};
    dn_scorer *scorer;

    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 3);
    ck_ok(scorer_create(model, &options, &scorer, NULL));
    ck_ok(scorer_score(scorer, &(scorer_input){.view = &view}, &score, NULL));
    scorer_free(scorer);
}

/* The whole process: 1.3 times the weights and 64 MB.  Then the library's own part, whose flow is in the file. */
START_TEST(scoring)
{
    dn_model *model = open_counted(compact, DN_VERIFY_FULL);
    double weights = 4 * ((double)model->extractor->parameters + parameters(768, 512, 8));
    score_counted(model, 2, 1);
    ck_assert_msg(process_peak() <= 1.3 * weights + 64 * MEGABYTE, "%.1f MB, the weights have %.1f",
                  process_peak() / MEGABYTE, weights / MEGABYTE);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        peak = live;
        score_counted(model, 2, threads);
        check_peak(backbone_bytes(model->extractor) + scorer_bytes(model->extractor, 512, 2, threads));
    }
    model_unref(model);
    ck_assert_uint_eq(live, 0);
}
END_TEST

/* Flow weights that are not read take no memory of the process. */
START_TEST(opening_without_verification)
{
    dn_model *model = open_counted(compact, DN_VERIFY_HEADER);
    double flow = 4 * parameters(768, 512, 8), found = process_peak();
    ck_assert_msg(found == 0 || found < backbone_bytes(model->extractor) + flow / 2, "%.1f MB, the flow alone has %.1f",
                  found / MEGABYTE, flow / MEGABYTE);
    model_unref(model);
}
END_TEST

/* What is stored as float16 is converted: the flow's weights are the library's own then. */
START_TEST(half_precision)
{
    dn_model *model = open_counted(compact_half, DN_VERIFY_FULL);
    score_counted(model, 2, 1);
    check_peak(4 * parameters(768, 512, 8) + backbone_bytes(model->extractor) +
               scorer_bytes(model->extractor, 512, 2, 1));
    model_unref(model);
}
END_TEST

START_TEST(localizing)
{
    static uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    static float map[SMALL_SIDE * SMALL_SIDE];
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_localizer *localizer;

    dn_model *model = open_counted(compact, DN_VERIFY_FULL);
    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 3);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        const dn_localizer_options options = {.struct_size = sizeof options,
                                              .views = 2,
                                              .angles = -1,
                                              .sigma = 3,
                                              .threads = threads,
                                              .allocator = &counting};
        peak = live;
        ck_ok(localizer_create(model, &options, &localizer, NULL));
        ck_ok(localizer_map(localizer, &view, map, NULL));
        check_peak(backbone_bytes(model->extractor) + localizer_bytes(model->extractor, 512, 8, 2, threads));
        localizer_free(localizer);
    }
    model_unref(model);
}
END_TEST

/* ---- training ---- */

typedef struct training {
    int32_t images, side, hidden, blocks, batch_images, batch_views, bank, threads;
    int32_t heatmap; /* images that set the heat map's scale */
    _Bool paths;     /* images are added by path */
} training;

/* Features: 64 numbers. */
static dn_extractor *make_extractor(const training *c)
{
    static const int32_t channels[5] = {8, 8, 16, 16, 64};
    dn_extractor_options options;
    dn_extractor *extractor;

    dn_extractor_options_init(&options);
    options.input_size = c->side;
    options.scales = 1;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

static double training_bytes(const dn_extractor *e, const training *c)
{
    double d = e->feature_dim, h = c->hidden, k = c->blocks, s = e->input_width, threads = c->threads;
    double held = (int)(0.1 * c->images + 0.5);
    _Bool cross = held < 19; /* too few for a rate of 5 %: cross-fitted */
    double learned = cross ? c->images : c->images - held;
    double rows = c->batch_images * c->batch_views;
    double views = c->bank > 0 ? c->bank : c->batch_views, together = 64 / views;
    double canvases = !c->paths ? c->images : c->bank == 0 || together > 16 ? 16 : together < 1 ? 1 : (int)together;
    double worker = 4.0 * (double)features_forward_scratch(e);
    double state = 16 * parameters(d, h, k) + activations(d, h, k, rows) + 4 * rows * (2 * d + 1) +
                   4 * rows * (h > d / 2 ? h : d / 2);
    double bank = 4 * learned * c->bank * d;
    double thumbnails = 4096.0 * c->images;
    double folds = cross ? 4 * parameters(d, h, k) + 4.0 * c->images * 4 * d : 0; /* features of 4 views */
    double score = scorer_bytes(e, h, 4, threads) + 6 * s * s;
    double map = c->heatmap > 0 ? localizer_bytes(e, h, k, 16, threads) + 10 * s * s : 0;

    return state + bank + thumbnails + folds + 6 * s * s * canvases + threads * worker + (map > score ? map : score);
}

static void add_images(dn_trainer *trainer, const training *c)
{
    static uint8_t rgb[SMALL_SIDE * SMALL_SIDE * 3];
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    const char *folder = c->paths ? test_folder() : NULL;
    char name[32];

    for (int32_t i = 0; i < c->images; i++) {
        draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, (uint32_t)i + 1);
        if (c->paths) {
            snprintf(name, sizeof name, "%d.png", i);
            const char *path = path_join(folder, name);
            ck_ok(dn_image_write_png(&view, path, NULL));
            ck_ok(dn_trainer_add_path(trainer, path));
        } else {
            ck_ok(dn_trainer_add_pixels(trainer, &view));
        }
    }
}

static const training trainings[] = {
    /* images side hidden blocks batch bank threads heatmap paths */
    {30, 64, 96, 4, 8, 4, 16, 1, 4, 0},   /* as it comes */
    {30, 64, 160, 2, 8, 4, 16, 3, 4, 1},  /* the weights' part is large */
    {60, 64, 16, 2, 8, 4, 400, 1, 4, 1},  /* the bank's is */
    {30, 64, 16, 8, 24, 20, 16, 1, 0, 0}, /* the rows' is */
    {40, 128, 32, 2, 8, 4, 0, 2, 4, 1},   /* no bank; the views' is */
    {200, 64, 16, 1, 8, 4, 4, 1, 0, 0},   /* the pictures' is */
};

START_TEST(train)
{
    const training *c = &trainings[_i];
    dn_extractor *extractor = make_extractor(c);
    dn_train_options options;
    dn_trainer *trainer;
    dn_model *model;

    dn_train_options_init(&options);
    options.positions = 0;
    options.epochs = 1;
    options.epoch_steps = 1;
    options.hidden = c->hidden;
    options.blocks = c->blocks;
    options.batch_images = c->batch_images;
    options.batch_views = c->batch_views;
    options.bank = c->bank;
    options.threads = c->threads;
    options.heatmap_images = c->heatmap;
    options.views = 4;
    options.allocator = &counting;
    live = peak = 0;
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    add_images(trainer, c);
    ck_assert_msg(dn_trainer_run(trainer, NULL, NULL, &model) == DN_OK, "%s", dn_trainer_error(trainer)->message);
    dn_trainer_free(trainer);
    dn_model_unref(model);
    ck_assert_uint_eq(live, 0);
    check_peak(training_bytes(extractor, c));
    dn_extractor_unref(extractor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *use = tcase_create("use"), *learn = tcase_create("training");

    tcase_set_timeout(use, 240);
    tcase_add_unchecked_fixture(use, write_compact_models, NULL);
    tcase_add_test(use, scoring);
    tcase_add_test(use, opening_without_verification);
    tcase_add_test(use, half_precision);
    tcase_add_test(use, localizing);
    suite_add_tcase(suite, use);
    tcase_set_timeout(learn, 240);
    tcase_add_loop_test(learn, train, 0, sizeof trainings / sizeof *trainings);
    suite_add_tcase(suite, learn);
    return suite;
}

TEST_MAIN(make_suite)
