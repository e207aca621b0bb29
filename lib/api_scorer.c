/* dn_scorer_*: arguments checked, then lib/differnet/score.c. */
#include "api.h"

#include <string.h>

#include "differnet/score.h"
#include "image/codec.h"
#include "image/view.h"

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
    return allocator_check(options->allocator, "dn_scorer_options", error);
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

/* Checks and scores an image; the caller's *score is written on success only. */
static dn_status score_image(dn_scorer *scorer, const dn_image_view *image, dn_score *score)
{
    dn_score own = {.struct_size = sizeof own};

    TRY(image_view_check(image, DN_MIN_SIDE, &scorer->error));
    TRY(scorer_score(scorer, image, &own, &scorer->error));
    dn_status status = output_write(score, &own, sizeof own, "dn_score", &scorer->error);
    if (status != DN_OK)
        scorer->scored = 0; /* a failed call leaves no view scores either */
    return status;
}

/* Starts a call: no error yet, no view scores. */
static void begin(dn_scorer *scorer)
{
    scorer->error = (dn_error){0};
    scorer->scored = 0;
}

dn_status dn_scorer_score(dn_scorer *scorer, const dn_image_view *image, dn_score *score)
{
    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(image, &scorer->error);
    REQUIRE(score, &scorer->error);
    return score_image(scorer, image, score);
}

/* Puts the file's name in front of the scorer's message. */
static dn_status name_file(dn_scorer *scorer, const char *path)
{
    dn_error inner = scorer->error;

    return fail(&scorer->error, inner.status, "%s: %s", path, inner.message);
}

dn_status dn_scorer_score_path(dn_scorer *scorer, const char *path, dn_score *score)
{
    dn_image_options options;
    dn_image *image;

    REQUIRE(scorer, NULL);
    begin(scorer);
    REQUIRE(path, &scorer->error);
    REQUIRE(score, &scorer->error);
    dn_image_options_init(&options);
    options.allocator = &scorer->allocator;
    TRY(image_open(path, &options, &image, &scorer->error));
    const dn_image_view view = {.pixels = image->pixels, .width = image->width, .height = image->height,
                                .format = image->format};
    dn_status status = score_image(scorer, &view, score);
    image_free(image);
    return status == DN_OK ? DN_OK : name_file(scorer, path);
}

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
