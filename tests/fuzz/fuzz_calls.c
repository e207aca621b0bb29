/* Fuzz target: sequences of public calls, in any order, with arguments good and bad, with an allocator that fails at any
 * place and callbacks that cancel.  Each call keeps the header's promises: an object or an error that is described,
 * finite results, the same bits for the same question, nothing leaked.
 *
 * The input is a sequence of calls of three bytes: which, on which handle, with what. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define SIDE 16
#define VIEW 64
enum { SLOTS = 3, PICTURES = 4, MAX_CALLS = 60, MAX_WORK = 40 };

/* ---- what the calls work on ---- */

static struct {
    long fail_at, calls, live;
} memory;

static struct {
    dn_extractor *extractor[SLOTS];
    dn_flow *flow[SLOTS];
    dn_model *model[SLOTS];
    dn_scorer *scorer[SLOTS];
    dn_localizer *localizer[SLOTS];
    dn_trainer *trainer[SLOTS];
    dn_blob *blob[SLOTS];
    uint64_t question[SLOTS]; /* of a scorer: which model and options */
} is;

static dn_error error;
static int work; /* slow calls so far */
static struct {
    uint64_t question;
    double score;
} known[64]; /* answers given */
static int known_count;

static void *allocate(size_t alignment, size_t size, void *user)
{
    (void)user;
    if (++memory.calls == memory.fail_at)
        return NULL;
    void *block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    fuzz_require(block != NULL, "memory");
    __atomic_add_fetch(&memory.live, 1, __ATOMIC_SEQ_CST);
    return block;
}

static void release(void *pointer, void *user)
{
    (void)user;
    __atomic_sub_fetch(&memory.live, 1, __ATOMIC_SEQ_CST);
    free(pointer);
}

static const dn_allocator allocator = {allocate, release, NULL};

static dn_pixels picture(uint8_t which)
{
    static uint8_t pixels[PICTURES][SIDE * SIDE];
    uint8_t *p = pixels[which % PICTURES];

    for (int i = 0; i < SIDE * SIDE; i++)
        p[i] = (uint8_t)(i * (37 + which % PICTURES));
    return (dn_pixels){.pixels = p, .width = SIDE, .height = which % 16 == 15 ? 3 : SIDE, .format = DN_GRAY8};
}

/* What a call may end with. */
static _Bool check(dn_status status, const dn_error *described)
{
    fuzz_require(status == DN_OK || (status < 0 && status >= DN_E_THREAD), "a known status");
    fuzz_require(status == DN_OK || (described->status == status && described->message[0]), "an error is described");
    fuzz_require(status != DN_E_MEMORY || memory.fail_at > 0, "memory is out only if it is");
    return status == DN_OK;
}

/* Likewise of a call that makes an object. */
static _Bool made_it(dn_status status, const dn_error *described, const void *object)
{
    fuzz_require((status == DN_OK) == (object != NULL), "an object, or an error");
    return check(status, described);
}

/* ---- the calls ---- */

static void extractor_make(int i, uint8_t how)
{
    static const int32_t channels[2][5] = {{1, 2, 1, 2, 2}, {1, 1, 1, 1, 3}};
    dn_extractor_options options;
    dn_extractor *made;

    dn_extractor_options_init(&options);
    options.input_size = how % 32 == 31 ? 100 : VIEW;
    options.scales = 1;
    options.allocator = how & 2 ? &allocator : NULL;
    dn_status status;
    if (how & 4 && is.blob[i])
        status = dn_extractor_open_memory(dn_blob_data(is.blob[i]), dn_blob_size(is.blob[i]), &options, &made, &error);
    else
        status = dn_extractor_random(channels[how & 1], how >> 6, &options, &made, &error);
    if (!made_it(status, &error, made))
        return;
    dn_extractor_unref(is.extractor[i]);
    is.extractor[i] = made;
}

static void keep_blob(int i, dn_status status, dn_blob *blob)
{
    if (!made_it(status, &error, blob))
        return;
    fuzz_require(dn_blob_size(blob) > 0 && dn_blob_data(blob), "bytes");
    dn_blob_free(is.blob[i]);
    is.blob[i] = blob;
}

static void extractor_use(int i, uint8_t how)
{
    static float views[2 * VIEW * VIEW * 3], gradient[2 * VIEW * VIEW * 3], features[2 * 64];
    dn_pixels image = picture(how);
    const double angles[2] = {how, how & 1 ? (double)NAN : 2.0 * how};
    int32_t n = how % 3; /* 0 is refused */
    dn_extractor_info info;
    dn_status status;
    dn_blob *blob;

    if (!is.extractor[i] || work++ > MAX_WORK)
        return;
    dn_extractor_info_init(&info);
    fuzz_require(dn_extractor_get_info(is.extractor[i], &info) == DN_OK && info.feature_dim <= 64, "info");
    if (how & 64) {
        status = dn_extractor_save_memory(is.extractor[i], how & 1, &blob, &error);
        keep_blob(i, status, blob);
        return;
    }
    if (!check(dn_extractor_views(is.extractor[i], &image, angles, n, views, &error), &error) ||
        !check(dn_extractor_features(is.extractor[i], views, n, features, &error), &error))
        return;
    for (int32_t j = 0; j < n * info.feature_dim; j++)
        fuzz_require(isfinite(features[j]), "features are finite");
    (void)check(dn_extractor_gradient(is.extractor[i], views, n, features, gradient, &error), &error);
    (void)check(dn_extractor_features_image(is.extractor[i], &image, angles, n, features, &error), &error);
}

static void flow_make(int i, uint8_t how)
{
    dn_flow_options options;
    dn_flow *made;
    dn_status status;

    dn_flow_options_init(&options);
    options.dimension = 2 + how % 5; /* an odd one is refused */
    options.blocks = 1 + how / 64;
    options.hidden = 3;
    options.seed = how;
    options.allocator = how & 8 ? &allocator : NULL;
    if (how & 16 && is.blob[i])
        status = dn_flow_open_memory(dn_blob_data(is.blob[i]), dn_blob_size(is.blob[i]), options.allocator, &made,
                                     &error);
    else
        status = dn_flow_create(&options, &made, &error);
    if (!made_it(status, &error, made))
        return;
    dn_flow_unref(is.flow[i]);
    is.flow[i] = made;
}

static void flow_use(int i, uint8_t how)
{
    static float x[3 * 16], z[3 * 16], back[3 * 16], logdet[3];
    double likelihood[3];
    dn_flow_options info;
    dn_status status;
    dn_blob *blob;
    int32_t n = how % 4; /* 0 is refused */

    if (!is.flow[i])
        return;
    dn_flow_options_init(&info);
    fuzz_require(dn_flow_get_info(is.flow[i], &info) == DN_OK && info.dimension <= 16, "info");
    if (how & 64) {
        status = dn_flow_save_memory(is.flow[i], &blob, &error);
        keep_blob(i, status, blob);
        return;
    }
    for (int j = 0; j < 3 * info.dimension; j++)
        x[j] = how & 128 && j == 1 ? (float)INFINITY : (float)(j % 5) - 2;
    _Bool good = check(dn_flow_forward(is.flow[i], x, n, z, how & 4 ? logdet : NULL, &error), &error);
    fuzz_require(!good || (!(how & 128) && n > 0), "what is not finite is refused");
    if (!good)
        return;
    if (check(dn_flow_inverse(is.flow[i], z, n, back, &error), &error))
        for (int32_t j = 0; j < n * info.dimension; j++)
            fuzz_require(fabsf(back[j] - x[j]) < 0.05f, "the inverse");
    (void)check(dn_flow_log_likelihood(is.flow[i], x, n, likelihood, &error), &error);
    (void)check(dn_flow_gradient(is.flow[i], x, n, z, NULL, back, &error), &error);
    (void)check(dn_flow_sample(is.flow[i], how, n, x, &error), &error);
}

static void model_open(int i, uint8_t how)
{
    dn_model_options options;
    dn_model *made;

    if (!is.blob[i])
        return;
    dn_model_options_init(&options);
    options.verify = how & 1 ? DN_VERIFY_HEADER : how & 32 ? 7 : DN_VERIFY_FULL;
    options.allocator = how & 2 ? &allocator : NULL;
    dn_status status = dn_model_open_memory(dn_blob_data(is.blob[i]), dn_blob_size(is.blob[i]), &options, &made,
                                            &error);
    if (!made_it(status, &error, made))
        return;
    dn_model_unref(is.model[how % SLOTS]);
    is.model[how % SLOTS] = made;
}

static void model_use(int i, uint8_t how)
{
    dn_model_info info;
    dn_blob *blob;
    int32_t count;

    if (!is.model[i])
        return;
    dn_model_info_init(&info);
    fuzz_require(dn_model_get_info(is.model[i], &info) == DN_OK && info.flow + info.positions >= 1, "info");
    const double *scores = dn_model_holdout_scores(is.model[i], &count);
    for (int32_t j = 1; j < count; j++)
        fuzz_require(scores[j] >= scores[j - 1], "scores ascend");
    fuzz_require(dn_model_extractor(is.model[i]) && !dn_model_flow(is.model[i]) == !info.flow, "parts");
    if (how & 1) {
        dn_status status = dn_model_save_memory(is.model[i], how >> 1 & 3, &blob, &error);
        keep_blob(i, status, blob);
    }
    if (how & 8 && dn_model_flow(is.model[i])) {
        dn_flow_unref(is.flow[i]);
        is.flow[i] = dn_flow_ref(dn_model_flow(is.model[i]));
    }
    if (how & 16) {
        dn_extractor_unref(is.extractor[i]);
        is.extractor[i] = dn_extractor_ref(dn_model_extractor(is.model[i]));
    }
    if (how & 32) { /* what was made from it keeps it */
        dn_model_unref(is.model[i]);
        is.model[i] = NULL;
    }
}

static void scorer_make(int i, uint8_t how)
{
    dn_scorer_options options;
    dn_model_info info;
    dn_scorer *made;

    if (!is.model[i])
        return;
    dn_scorer_options_init(&options);
    options.views = how % 4;
    options.threads = how & 16 ? 2 : 1;
    options.angles = how & 32 ? DN_ANGLES_GRID : -1;
    options.allocator = how & 4 ? &allocator : NULL;
    options.false_alarm_rate = how & 64 ? 0 : 0.5; /* 0 is refused */
    dn_status status = dn_scorer_create(is.model[i], &options, &made, &error);
    if (!made_it(status, &error, made))
        return;
    dn_scorer_free(is.scorer[i]);
    is.scorer[i] = made;
    dn_model_info_init(&info);
    fuzz_require(dn_model_get_info(is.model[i], &info) == DN_OK, "info");
    is.question[i] = (uint64_t)info.id << 32 | (uint64_t)(how % 4) << 8 | (how & 32);
}

/* The same model, options and picture: the same bits, whoever asks. */
static void remember(uint64_t question, double score)
{
    for (int k = 0; k < known_count; k++)
        if (known[k].question == question) {
            fuzz_require(!memcmp(&known[k].score, &score, sizeof score), "the same bits");
            return;
        }
    if (known_count < (int)(sizeof known / sizeof *known)) {
        known[known_count].question = question;
        known[known_count++].score = score;
    }
}

static void scorer_use(int i, uint8_t how)
{
    static float map[SIDE * SIDE];
    dn_pixels image = picture(how), images[3] = {picture(0), picture(how), picture(2)};
    dn_score score, scores[3];
    dn_scorer *scorer = is.scorer[i];
    dn_status status;

    if (!scorer || work++ > MAX_WORK)
        return;
    for (int j = 0; j < 3; j++)
        dn_score_init(&scores[j]);
    dn_score_init(&score);
    if (how & 16)
        status = dn_scorer_score_batch(scorer, images, 3, scores, NULL);
    else if (how & 32)
        status = dn_scorer_inspect(scorer, &image, map, &score);
    else
        status = how & 64 ? dn_scorer_decide(scorer, &image, &score) : dn_scorer_score(scorer, &image, &score);
    const dn_score *answer = how & 16 ? &scores[1] : &score;
    if (!check(status, dn_scorer_error(scorer)))
        return;
    fuzz_require(image.height >= DN_MIN_SIDE, "a small image is refused");
    fuzz_require(isfinite(answer->score) && answer->score >= 0, "a score is finite");
    if (!answer->lower_bound)
        remember(is.question[i] | (uint64_t)(how % PICTURES) << 16, answer->score);
}

static void localizer_make(int i, uint8_t how)
{
    dn_localizer_options options;
    dn_localizer *made;

    if (!is.model[i])
        return;
    dn_localizer_options_init(&options);
    options.views = how % 4; /* 0 is refused */
    options.method = how >> 2 & 3;
    options.threads = how & 16 ? 2 : 1;
    options.allocator = how & 32 ? &allocator : NULL;
    dn_status status = dn_localizer_create(is.model[i], &options, &made, &error);
    if (!made_it(status, &error, made))
        return;
    dn_localizer_free(is.localizer[i]);
    is.localizer[i] = made;
}

static void localizer_use(int i, uint8_t how)
{
    static float map[SIDE * SIDE];
    static uint8_t rgb[SIDE * SIDE * 3];
    dn_pixels image = picture(how);
    dn_box boxes[4];
    int32_t count;

    if (!is.localizer[i] || work++ > MAX_WORK)
        return;
    if (!check(dn_localizer_map(is.localizer[i], &image, map), dn_localizer_error(is.localizer[i])))
        return;
    for (int j = 0; j < SIDE * SIDE; j++)
        fuzz_require(isfinite(map[j]) && map[j] >= 0, "a map is finite");
    if (check(dn_localizer_boxes(is.localizer[i], map, SIDE, SIDE, 0.5f, boxes, how & 3, &count),
              dn_localizer_error(is.localizer[i])))
        fuzz_require(count >= 0 && count <= (how & 3), "boxes");
    (void)check(dn_image_overlay(&image, map, 0, rgb, &error), &error);
}

static void trainer_make(int i, uint8_t how)
{
    dn_train_options options;
    dn_trainer *made;

    if (!is.extractor[i])
        return;
    dn_train_options_init(&options);
    options.epochs = how & 3;
    options.epoch_steps = 1;
    options.hidden = 2;
    options.blocks = 1;
    options.bank = how & 4 ? 1 : 0;
    options.batch_views = 1;
    options.views = 2;
    options.heatmap_images = how & 8 ? 1 : 0;
    options.flow = how & 16 ? 0 : 1;
    options.positions = how & 32 ? 1 : 0;
    options.light = 0;
    options.threads = how & 64 ? 2 : 1;
    options.allocator = how & 128 ? &allocator : NULL;
    dn_status status = dn_trainer_create(is.extractor[i], &options, &made, &error);
    if (!made_it(status, &error, made))
        return;
    dn_trainer_free(is.trainer[i]);
    is.trainer[i] = made;
}

static void trainer_add(int i, uint8_t how)
{
    dn_pixels image = picture(how);

    if (is.trainer[i])
        (void)check(dn_trainer_add_pixels(is.trainer[i], &image), dn_trainer_error(is.trainer[i]));
}

/* How often a run may report before it is cancelled. */
typedef struct patience {
    dn_trainer *trainer;
    int left;
} patience;

static int32_t watch(const dn_progress *progress, void *user)
{
    patience *p = user;
    dn_pixels image = picture(0);

    fuzz_require(progress->done <= progress->total, "progress");
    fuzz_require(dn_trainer_add_pixels(p->trainer, &image) == DN_E_STATE, "one call at a time");
    return p->left-- == 0;
}

static void trainer_use(int i, uint8_t how)
{
    patience p = {is.trainer[i], how & 1 ? how / 8 : -1};
    dn_model *made;

    if (!is.trainer[i] || (work += 4) > MAX_WORK)
        return;
    dn_status status = how & 4 ? dn_trainer_model(is.trainer[i], &made)
                               : dn_trainer_run(is.trainer[i], how & 2 ? NULL : watch, &p, &made);
    if (!made_it(status, dn_trainer_error(is.trainer[i]), made))
        return;
    dn_model_unref(is.model[i]);
    is.model[i] = made;
}

/* The next calls meet an allocation that fails. */
static void fail_later(int i, uint8_t how)
{
    memory.fail_at = memory.calls + 1 + how + 256 * i;
}

static void drop(int i, uint8_t how)
{
    if (how % 7 == 0) {
        dn_extractor_unref(is.extractor[i]);
        is.extractor[i] = NULL;
    } else if (how % 7 == 1) {
        dn_flow_unref(is.flow[i]);
        is.flow[i] = NULL;
    } else if (how % 7 == 2) {
        dn_model_unref(is.model[i]);
        is.model[i] = NULL;
    } else if (how % 7 == 3) {
        dn_scorer_free(is.scorer[i]);
        is.scorer[i] = NULL;
    } else if (how % 7 == 4) {
        dn_localizer_free(is.localizer[i]);
        is.localizer[i] = NULL;
    } else if (how % 7 == 5) {
        dn_trainer_free(is.trainer[i]);
        is.trainer[i] = NULL;
    } else {
        dn_blob_free(is.blob[i]);
        is.blob[i] = NULL;
    }
}

static void (*const calls[])(int, uint8_t) = {
    extractor_make, extractor_use, flow_make,    flow_use,    model_open,  model_use,  scorer_make, scorer_use,
    localizer_make, localizer_use, trainer_make, trainer_add, trainer_use, fail_later, drop,
};
#define CALLS (sizeof calls / sizeof *calls)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&memory, 0, sizeof memory);
    memset(&is, 0, sizeof is);
    work = known_count = 0;
    for (size_t at = 0; at + 3 <= size && at < 3 * MAX_CALLS; at += 3)
        calls[data[at] % CALLS](data[at + 1] % SLOTS, data[at + 2]);
    for (int i = 0; i < SLOTS; i++)
        for (uint8_t kind = 0; kind < 7; kind++)
            drop(i, kind);
    fuzz_require(memory.live == 0, "nothing is leaked");
    return 0;
}

/* Train, score, localise, save, open, score again; flows; with failures in between. */
uint8_t *fuzz_seed(int index, size_t *size)
{
    enum { E = 0, EU, F, FU, O, MU, S, SU, L, LU, T, TA, TU, FAIL, DROP };
    static const uint8_t sequences[][72] = {
        {E, 0, 0,  T,  0, 0x0D, TA, 0, 0, TA, 0, 1, TA, 0, 2,    TU, 0, 2, S,  0, 2,    SU,   0, 1, SU, 0, 0x11,
         L, 0, 10, LU, 0, 3,    MU, 0, 1, O,  0, 0, S,  0, 0x12, SU, 0, 1, SU, 0, 0x41, DROP, 0, 2, SU, 0, 0},
        {E, 1, 2, T, 1, 0xB0, TA, 1,  0, TA,   1, 1, TU,   1,  2, MU, 1,
         3, O, 1, 3, S, 1,    5,  SU, 1, 0x21, L, 1, 0x24, LU, 1, 2},
        {E,    0, 2, T,  0, 0xAE, TA, 0, 0,    TA, 0, 1, TA,   0, 2, TU, 0, 0x11, TU, 0, 4,
         FAIL, 0, 9, TU, 0, 2,    MU, 0, 0x39, S,  0, 6, FAIL, 0, 1, SU, 0, 2,    SU, 0, 2},
        {F, 0, 8, FU, 0, 3, FU, 0, 64, F, 0, 24, FU, 0, 2, FU, 0, 0x83, FAIL, 0, 2, FU, 0, 3, F, 0, 1, F, 0, 0x4A},
        {E, 2, 3, EU, 2, 4, EU, 2, 64, E, 2, 6, EU, 2, 5, T, 2, 0, E, 2, 31, FAIL, 0, 3, E, 2, 2, DROP, 2, 0, EU, 2, 1},
    };

    if ((size_t)index >= sizeof sequences / sizeof *sequences)
        return NULL;
    *size = sizeof sequences[0];
    uint8_t *seed = malloc(*size);
    fuzz_require(seed != NULL, "memory");
    return memcpy(seed, sequences[index], *size);
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
