/* dn_scorer_*: arguments checked, then lib/differnet/score.c. */
#include "api.h"

#include <string.h>

#include "differnet/score.h"
#include "image/pixels.h"

void dn_scorer_options_init_size(dn_scorer_options *options, size_t size)
{
    dn_scorer_options defaults = scorer_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

void dn_score_init_size(dn_score *score, size_t size)
{
    static const dn_score empty = {.struct_size = sizeof empty};

    options_init(score, size, &empty, sizeof empty);
}

dn_status dn_scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error)
{
    dn_scorer_options own = scorer_default_options();

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    TRY(options_read(&own, sizeof own, options, "dn_scorer_options", error));
    TRY(scorer_options_check(&own, error));
    TRY(image_limits_check(own.max_pixels, own.max_bytes, own.max_memory, "dn_scorer_options", error));
    TRY(allocator_check(own.allocator, "dn_scorer_options", error));
    TRY(runner_check(own.runner, "dn_scorer_options", error));
    return scorer_create(model, &own, out, error);
}

dn_status dn_scorer_set_false_alarm_rate(dn_scorer *scorer, double false_alarm_rate)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    return scorer_set_false_alarm_rate(scorer, false_alarm_rate, error);
}

dn_status dn_scorer_set_threshold(dn_scorer *scorer, double threshold)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    return scorer_set_threshold(scorer, threshold, error);
}

dn_status dn_scorer_set_operating_point(dn_scorer *scorer, const char *name)
{
    double threshold;

    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    REQUIRE(name, error);
    TRY(model_points_find(&scorer->model->points, name, &threshold, error));
    return scorer_set_threshold(scorer, threshold, error);
}

dn_status dn_scorer_set_mask(dn_scorer *scorer, const dn_pixels *mask, int32_t kind)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    if (mask)
        TRY(mask_arguments_check(mask, kind, error));
    return scorer_set_mask(scorer, mask, kind, error);
}

/* ---- one image ---- */

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
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    scorer->scored = 0;
    REQUIRE(image, error);
    REQUIRE(score, error);
    return score_single(scorer, scorer_score, (scorer_input){.view = image}, score);
}

dn_status dn_scorer_score_path(dn_scorer *scorer, const char *path, dn_score *score)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    scorer->scored = 0;
    REQUIRE(path, error);
    REQUIRE(score, error);
    return score_single(scorer, scorer_score, (scorer_input){.path = path}, score);
}

dn_status dn_scorer_decide(dn_scorer *scorer, const dn_pixels *image, dn_score *score)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    scorer->scored = 0;
    REQUIRE(image, error);
    REQUIRE(score, error);
    return score_single(scorer, scorer_decide, (scorer_input){.view = image}, score);
}

dn_status dn_scorer_decide_path(dn_scorer *scorer, const char *path, dn_score *score)
{
    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    scorer->scored = 0;
    REQUIRE(path, error);
    REQUIRE(score, error);
    return score_single(scorer, scorer_decide, (scorer_input){.path = path}, score);
}

dn_status dn_scorer_inspect(dn_scorer *scorer, const dn_pixels *image, float *map, dn_score *score)
{
    dn_score own = {.struct_size = sizeof own};

    REQUIRE(scorer, NULL);
    BEGIN_CALL(&scorer->in_use, &scorer->error);
    scorer->scored = 0;
    REQUIRE(image, error);
    REQUIRE(map, error);
    REQUIRE(score, error);
    TRY(scorer_inspect(scorer, &(scorer_input){.view = image}, map, &own, error));
    return output_write(score, &own, sizeof own, "dn_score", error);
}

/* ---- many images ---- */

/* A batch call: its arguments, and where its results go. */
struct batch {
    dn_scorer *scorer;
    scorer_list list;
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
static dn_status fail_rest(const struct batch *batch, int32_t first, const dn_error *cause)
{
    dn_scorer *scorer = batch->scorer;

    for (int32_t i = first; batch->errors && i < batch->list.count; i++)
        batch->errors[i] = *cause;
    if (scorer->error.status == DN_OK)
        scorer->error = *cause;
    return scorer->error.status;
}

/* All scores must be set up, and alike. */
static dn_status check_batch(struct batch *batch, dn_error *error)
{
    size_t size;

    if (!batch->scores || (!batch->list.views && !batch->list.paths))
        return fail(error, DN_E_ARGUMENT, "a batch whose list of %s is NULL", batch->scores ? "images" : "scores");
    if (batch->list.count < 0)
        return fail(error, DN_E_ARGUMENT, "a batch of %d images: count must be >= 0", batch->list.count);
    for (int32_t i = 0; i < batch->list.count; i++) {
        if (batch->list.paths && !batch->list.paths[i])
            return fail(error, DN_E_ARGUMENT, "paths[%d] is NULL", i);
        TRY(struct_size_check(score_at(batch, i), "scores", &size, error));
        if (i == 0)
            batch->stride = size;
        if (size != batch->stride)
            return fail(error, DN_E_ARGUMENT,
                        "scores[%d]: struct_size is %zu, that of scores[0] %zu; call "
                        "dn_score_init for each",
                        i, size, batch->stride);
    }
    return DN_OK;
}

/* Hands over what became of image i. */
static void write_result(void *context, int32_t i, const dn_score *score, const dn_error *error)
{
    const struct batch *batch = context;
    dn_error *first = &batch->scorer->error, cause = *error;

    if (cause.status == DN_OK)
        cause.status = output_write(score_at(batch, i), score, sizeof *score, "dn_score", &cause);
    else if (!batch->list.paths)
        fail(&cause, error->status, "images[%d]: %s", i, error->message);
    if (cause.status != DN_OK && first->status == DN_OK)
        *first = cause;
    if (batch->errors)
        batch->errors[i] = cause;
}

static dn_status score_list(struct batch *batch)
{
    dn_scorer *scorer = batch->scorer;
    dn_error cause = {0};
    int32_t done = 0;

    scorer->error = (dn_error){0};
    scorer->scored = 0;
    if (batch->list.count == 0)
        return DN_OK;
    dn_status status = check_batch(batch, &cause);
    if (status == DN_OK)
        status = scorer_score_list(scorer, &batch->list, write_result, batch, &done, &cause);
    return status == DN_OK ? scorer->error.status : fail_rest(batch, done, &cause);
}

static dn_status score_batch(struct batch *batch)
{
    REQUIRE(batch->scorer, NULL);
    atomic_int *in_use = call_begin(&batch->scorer->in_use);
    if (!in_use) {
        for (int32_t i = 0; batch->errors && i < batch->list.count; i++)
            batch->errors[i] = call_in_use;
        return DN_E_STATE; /* nothing of a scorer in use is touched, its error neither */
    }
    dn_status status = score_list(batch);
    call_end(&in_use);
    return status;
}

dn_status dn_scorer_score_batch(dn_scorer *scorer, const dn_pixels *images, int32_t count, dn_score *scores,
                                dn_error *errors)
{
    return score_batch(&(struct batch){scorer, {.views = images, .count = count}, scores, 0, errors});
}

dn_status dn_scorer_score_batch_paths(dn_scorer *scorer, const char *const *paths, int32_t count, dn_score *scores,
                                      dn_error *errors)
{
    return score_batch(&(struct batch){scorer, {.paths = paths, .count = count}, scores, 0, errors});
}

int32_t dn_scorer_batch_images(const dn_scorer *scorer)
{
    return scorer ? scorer->batch : 0;
}

/* ---- the rest ---- */

const char *dn_warning_text(uint32_t warning)
{
    return warning_text(warning);
}

const double *dn_scorer_view_scores(const dn_scorer *scorer, int32_t *count)
{
    int32_t scored = scorer && !call_in_progress(&scorer->in_use) ? scorer->scored : 0;

    if (count)
        *count = scored;
    return scored > 0 ? scorer->view_scores : NULL;
}

const dn_error *dn_scorer_error(const dn_scorer *scorer)
{
    return scorer ? call_error(&scorer->in_use, &scorer->error) : NULL;
}

void dn_scorer_free(dn_scorer *scorer)
{
    scorer_free(scorer);
}
