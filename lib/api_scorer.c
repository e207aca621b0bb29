/* dn_scorer_*: arguments checked, then lib/differnet/score.c. */
#include "api.h"

#include <string.h>

#include "differnet/score.h"

#define MAX_THREADS 256

static const dn_scorer_options default_options = {
    .struct_size = sizeof(dn_scorer_options), .views = 0, .angles = -1, .threads = 1, .false_alarm_rate = 0.05};

void dn_scorer_options_init_size(dn_scorer_options *options, size_t size)
{
    options_init(options, size, &default_options, sizeof default_options);
}

void dn_score_init_size(dn_score *score, size_t size)
{
    static const dn_score empty = {.struct_size = sizeof empty};

    options_init(score, size, &empty, sizeof empty);
}

static dn_status check_options(const dn_scorer_options *options, dn_error *error)
{
    if (options->views < 0 || options->views > MODEL_MAX_VIEWS)
        return fail(error, DN_E_ARGUMENT, "dn_scorer_options: views is %d, must be 1 .. %d, or 0 for the model's own "
                    "number", options->views, MODEL_MAX_VIEWS);
    if (options->angles < -1 || options->angles > DN_ANGLES_GRID)
        return fail(error, DN_E_ARGUMENT, "dn_scorer_options: angles is %d, must be DN_ANGLES_STRATIFIED, "
                    "DN_ANGLES_GRID, or -1 for the model's own", options->angles);
    if (options->threads < 1 || options->threads > MAX_THREADS)
        return fail(error, DN_E_ARGUMENT, "dn_scorer_options: threads is %d, must be 1 .. %d", options->threads,
                    MAX_THREADS);
    if (!(options->false_alarm_rate > 0 && options->false_alarm_rate <= 1)) /* refuses NaN, too */
        return fail(error, DN_E_ARGUMENT, "dn_scorer_options: false_alarm_rate is %g, must be > 0 .. 1",
                    options->false_alarm_rate);
    TRY(allocator_check(options->allocator, "dn_scorer_options", error));
    return runner_check(options->runner, "dn_scorer_options", error);
}

dn_status dn_scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error)
{
    dn_scorer_options own = default_options;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    TRY(options_read(&own, sizeof own, options, "dn_scorer_options", error));
    TRY(check_options(&own, error));
    return scorer_create(model, &own, out, error);
}

/* ---- one image ---- */

/* Starts a call: no error yet, no view scores. */
static void begin(dn_scorer *scorer)
{
    scorer->error = (dn_error){0};
    scorer->scored = 0;
}

typedef dn_status (*scorer_function)(dn_scorer *scorer, const scorer_input *image, dn_score *score, dn_error *error);

/* The caller's *score is written on success only. */
static dn_status score_single(dn_scorer *scorer, scorer_function function, scorer_input image, dn_score *score)
{
    dn_score own = {.struct_size = sizeof own};

    TRY(function(scorer, &image, &own, &scorer->error));
    dn_status status = output_write(score, &own, sizeof own, "dn_score", &scorer->error);
    if (status != DN_OK)
        scorer->scored = 0; /* a failed call leaves no view scores either */
    return status;
}

dn_status dn_scorer_score(dn_scorer *scorer, const dn_pixels *image, dn_score *score)
{
    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(image, &scorer->error);
    REQUIRE(score, &scorer->error);
    return score_single(scorer, scorer_score, (scorer_input){.view = image}, score);
}

dn_status dn_scorer_score_path(dn_scorer *scorer, const char *path, dn_score *score)
{
    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(path, &scorer->error);
    REQUIRE(score, &scorer->error);
    return score_single(scorer, scorer_score, (scorer_input){.path = path}, score);
}

dn_status dn_scorer_decide(dn_scorer *scorer, const dn_pixels *image, dn_score *score)
{
    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(image, &scorer->error);
    REQUIRE(score, &scorer->error);
    return score_single(scorer, scorer_decide, (scorer_input){.view = image}, score);
}

dn_status dn_scorer_decide_path(dn_scorer *scorer, const char *path, dn_score *score)
{
    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(path, &scorer->error);
    REQUIRE(score, &scorer->error);
    return score_single(scorer, scorer_decide, (scorer_input){.path = path}, score);
}

/* ---- many images ---- */

/* A batch call's arguments; either `views` or `paths`. */
struct batch {
    const dn_pixels *views;
    const char *const *paths;
    int32_t count;
    dn_score *scores;
    size_t stride;    /* bytes from one of the caller's scores to the next: what the caller's dn_score measures */
    dn_error *errors; /* may be NULL */
};

/* The caller's score i. */
static void *score_at(const struct batch *batch, int32_t i)
{
    return (char *)batch->scores + (size_t)i * batch->stride;
}

/* Nothing was scored from image `first` on. */
static dn_status fail_rest(dn_scorer *scorer, const struct batch *batch, int32_t first, const dn_error *cause)
{
    for (int32_t i = first; batch->errors && i < batch->count; i++)
        batch->errors[i] = *cause;
    if (scorer->error.status == DN_OK)
        scorer->error = *cause;
    return scorer->error.status;
}

/* All scores must be set up, and alike. */
static dn_status check_batch(struct batch *batch, dn_error *error)
{
    size_t size;

    if (!batch->scores || (!batch->views && !batch->paths))
        return fail(error, DN_E_ARGUMENT, "a batch whose list of %s is NULL", batch->scores ? "images" : "scores");
    if (batch->count < 0)
        return fail(error, DN_E_ARGUMENT, "a batch of %d images: count must be >= 0", batch->count);
    for (int32_t i = 0; i < batch->count; i++) {
        if (batch->paths && !batch->paths[i])
            return fail(error, DN_E_ARGUMENT, "paths[%d] is NULL", i);
        TRY(struct_size_check(score_at(batch, i), "scores", &size, error));
        if (i == 0)
            batch->stride = size;
        if (size != batch->stride)
            return fail(error, DN_E_ARGUMENT, "scores[%d]: struct_size is %zu, that of scores[0] %zu; call "
                        "dn_score_init for each", i, size, batch->stride);
    }
    return DN_OK;
}

/* Hands over what became of image i. */
static void write_result(dn_scorer *scorer, const struct batch *batch, int32_t i, const dn_score *score,
                         dn_error *error)
{
    dn_error cause = *error;

    if (cause.status == DN_OK)
        cause.status = output_write(score_at(batch, i), score, sizeof *score, "dn_score", &cause);
    else if (batch->views)
        fail(&cause, error->status, "images[%d]: %s", i, error->message);
    if (cause.status != DN_OK && scorer->error.status == DN_OK)
        scorer->error = cause;
    if (batch->errors)
        batch->errors[i] = cause;
}

/* Images first .. first + count - 1, which the scorer handles together. */
static dn_status score_group(dn_scorer *scorer, const struct batch *batch, int32_t first, int32_t count,
                             dn_error *cause)
{
    scorer_input images[SCORE_IMAGES] = {0};
    dn_score scores[SCORE_IMAGES];
    dn_error errors[SCORE_IMAGES];

    for (int32_t i = 0; i < count; i++) {
        images[i] = batch->paths ? (scorer_input){.path = batch->paths[first + i]}
                                 : (scorer_input){.view = &batch->views[first + i]};
        scores[i] = (dn_score){.struct_size = sizeof *scores};
    }
    TRY(scorer_score_group(scorer, images, count, scores, errors, cause));
    for (int32_t i = 0; i < count; i++)
        write_result(scorer, batch, first + i, &scores[i], &errors[i]);
    return DN_OK;
}

static dn_status score_all(dn_scorer *scorer, struct batch *batch)
{
    dn_error cause = {0};

    if (check_batch(batch, &cause) != DN_OK)
        return fail_rest(scorer, batch, 0, &cause);
    for (int32_t first = 0; first < batch->count;) {
        int32_t left = batch->count - first, count = left < scorer->batch ? left : scorer->batch;
        if (score_group(scorer, batch, first, count, &cause) != DN_OK)
            return fail_rest(scorer, batch, first, &cause);
        first += count;
    }
    return scorer->error.status;
}

dn_status dn_scorer_score_batch(dn_scorer *scorer, const dn_pixels *images, int32_t count, dn_score *scores,
                                dn_error *errors)
{
    struct batch batch = {.views = images, .count = count, .scores = scores, .errors = errors};

    REQUIRE(scorer, NULL);
    begin(scorer);
    return count == 0 ? DN_OK : score_all(scorer, &batch);
}

dn_status dn_scorer_score_batch_paths(dn_scorer *scorer, const char *const *paths, int32_t count, dn_score *scores,
                                      dn_error *errors)
{
    struct batch batch = {.paths = paths, .count = count, .scores = scores, .errors = errors};

    REQUIRE(scorer, NULL);
    begin(scorer);
    return count == 0 ? DN_OK : score_all(scorer, &batch);
}

int32_t dn_scorer_batch_images(const dn_scorer *scorer)
{
    return scorer ? scorer->batch : 0;
}

/* ---- the rest ---- */

const double *dn_scorer_view_scores(const dn_scorer *scorer, int32_t *count)
{
    if (count)
        *count = scorer ? scorer->scored : 0;
    return scorer && scorer->scored > 0 ? scorer->view_scores : NULL;
}

const dn_error *dn_scorer_error(const dn_scorer *scorer)
{
    return scorer ? &scorer->error : NULL;
}

void dn_scorer_free(dn_scorer *scorer)
{
    scorer_free(scorer);
}
