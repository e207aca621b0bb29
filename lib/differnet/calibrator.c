#include "differnet/calibrator.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/status.h"
#include "image/codec.h"

/* What was measured of each image that counts. */
struct dn_calibrator {
    dn_allocator allocator;
    dn_model *model;   /* reference */
    dn_scorer *scorer; /* of the model's own views */
    int32_t keep, accept_suspects;
    int32_t added;          /* images, in all */
    int32_t count;          /* of them that are no repetition of another one: */
    int32_t room;           /* that there is memory for */
    int32_t *image;         /* (count): its number among the added ones */
    double *scores;         /* (count) */
    double *flow;           /* (count, views); NULL without a flow */
    position_level *levels; /* (count) */
    model_notes notes;      /* the new model's */
    model_points points;
    dn_error error;
    atomic_int in_use; /* 1: a call is in progress */
};

/* ---- options ---- */

dn_calibrator_options calibrator_default_options(void)
{
    return (dn_calibrator_options){.struct_size = sizeof(dn_calibrator_options),
                                   .threads = 1,
                                   .max_pixels = IMAGE_MAX_PIXELS,
                                   .max_bytes = IMAGE_MAX_BYTES};
}

dn_status calibrator_options_check(const dn_calibrator_options *options, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_calibrator_options, keep, 0, 1, NULL),
        OPTION_INTEGER(dn_calibrator_options, accept_suspects, 0, 1, NULL),
        OPTION_INTEGER(dn_calibrator_options, threads, 1, POOL_MAX_THREADS, NULL),
    };

    return options_check(options, "dn_calibrator_options", ranges, OPTION_COUNT(ranges), error);
}

/* ---- the handle ---- */

static dn_status begin(dn_calibrator *c, const dn_calibrator_options *options, dn_error *error)
{
    dn_scorer_options scoring = scorer_default_options();

    scoring.threads = options->threads;
    scoring.runner = options->runner;
    scoring.allocator = &c->allocator;
    scoring.max_pixels = options->max_pixels;
    scoring.max_bytes = options->max_bytes;
    scoring.max_memory = options->max_memory;
    TRY(model_notes_copy(&c->notes, &c->model->notes, &c->allocator, error));
    return scorer_create(c->model, &scoring, &c->scorer, error);
}

dn_status calibrator_create(dn_model *model, const dn_calibrator_options *options, dn_calibrator **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    if (options->keep && model->holdout_count > 0 && !model->calibration)
        return fail(error, DN_E_STATE,
                    "the model, of an earlier version, does not tell what its scores of good images come from: they "
                    "cannot be kept beside new ones; calibrate it with keep = 0");
    dn_calibrator *c = mem_zalloc(&allocator, 1, sizeof *c);
    if (!c)
        return fail_memory(error, "a calibrator");
    c->allocator = allocator;
    c->model = model_ref(model);
    c->keep = options->keep;
    c->accept_suspects = options->accept_suspects;
    c->points = model->points;
    dn_status status = begin(c, options, error);
    if (status != DN_OK) {
        calibrator_free(c);
        return status;
    }
    *out = c;
    return DN_OK;
}

void calibrator_free(dn_calibrator *c)
{
    if (!c)
        return;
    dn_allocator allocator = c->allocator;
    scorer_free(c->scorer);
    model_unref(c->model);
    model_notes_release(&c->notes, &allocator);
    mem_free(&allocator, c->image);
    mem_free(&allocator, c->scores);
    mem_free(&allocator, c->flow);
    mem_free(&allocator, c->levels);
    mem_free(&allocator, c);
}

dn_error *calibrator_error(dn_calibrator *c)
{
    return &c->error;
}

atomic_int *calibrator_in_use(dn_calibrator *c)
{
    return &c->in_use;
}

dn_status calibrator_set_point(dn_calibrator *c, const char *name, double threshold, dn_error *error)
{
    return model_points_set(&c->points, name, threshold, error);
}

dn_status calibrator_note(dn_calibrator *c, const char *key, const char *value, dn_error *error)
{
    return model_notes_set(&c->notes, key, value, &c->allocator, error);
}

/* ---- images ---- */

/* The flow's scores of a row's views. */
static size_t flow_row(const dn_calibrator *c)
{
    return c->model->flow ? (size_t)c->scorer->views : 0;
}

/* A copy of `count` items with room for more; NULL: out of memory, the old ones stay. */
static void *grown(const dn_calibrator *c, const void *items, int32_t count, int32_t room, size_t size)
{
    void *larger = mem_zalloc(&c->allocator, (size_t)room, size);

    if (larger && count > 0)
        memcpy(larger, items, (size_t)count * size);
    return larger;
}

static dn_status make_room(dn_calibrator *c, dn_error *error)
{
    int32_t room = c->room > 0 ? 2 * c->room : 64;

    if (c->count < c->room)
        return DN_OK;
    if (c->count == MODEL_MAX_HOLDOUT)
        return fail(error, DN_E_LIMIT, "more than %d good images", MODEL_MAX_HOLDOUT);
    int32_t *image = grown(c, c->image, c->count, room, sizeof *image);
    double *scores = grown(c, c->scores, c->count, room, sizeof *scores);
    position_level *levels = grown(c, c->levels, c->count, room, sizeof *levels);
    double *flow = flow_row(c) ? grown(c, c->flow, c->count, room, flow_row(c) * sizeof *flow) : NULL;
    _Bool whole = image && scores && levels && (flow || flow_row(c) == 0);
    mem_free(&c->allocator, whole ? (void *)c->image : (void *)image);
    mem_free(&c->allocator, whole ? c->scores : scores);
    mem_free(&c->allocator, whole ? c->levels : levels);
    mem_free(&c->allocator, whole ? c->flow : flow);
    if (!whole)
        return fail_memory(error, "the scores of good images");
    c->image = image;
    c->scores = scores;
    c->levels = levels;
    c->flow = flow;
    c->room = room;
    return DN_OK;
}

/* Whether row `count` says the same as one before: the same pixels, most likely. */
static _Bool is_repeated(const dn_calibrator *c)
{
    size_t views = flow_row(c);

    for (int32_t i = 0; i < c->count; i++)
        if (memcmp(&c->scores[i], &c->scores[c->count], sizeof *c->scores) == 0 &&
            memcmp(&c->levels[i], &c->levels[c->count], sizeof *c->levels) == 0 &&
            (views == 0 ||
             memcmp(c->flow + (size_t)i * views, c->flow + (size_t)c->count * views, views * sizeof *c->flow) == 0))
            return 1;
    return 0;
}

dn_status calibrator_add(dn_calibrator *c, const scorer_input *image, dn_score *score, dn_error *error)
{
    size_t views = flow_row(c);

    TRY(make_room(c, error));
    TRY(scorer_score(c->scorer, image, score, error));
    c->scores[c->count] = score->score;
    c->levels[c->count] = c->model->positions ? c->scorer->levels[0] : (position_level){0, 0};
    if (views > 0)
        memcpy(c->flow + (size_t)c->count * views, c->scorer->view_scores, views * sizeof *c->flow);
    c->image[c->count] = c->added++;
    c->count += !is_repeated(c);
    return DN_OK;
}

/* ---- what they say ---- */

dn_status calibrator_look(dn_calibrator *c, dn_calibrator_info *info, int32_t *images, int32_t capacity, int32_t *count,
                          dn_error *error)
{
    const dn_model *model = c->model;
    size_t all = (size_t)model->holdout_count + (size_t)c->count;
    double *scratch = mem_alloc(&c->allocator, all, sizeof *scratch);

    if (!scratch)
        return fail_memory(error, "the scores of good images");
    suspicion told = suspect_scores(model->holdout_scores, model->holdout_count, c->scores, c->count, scratch);
    mem_free(&c->allocator, scratch);
    *info = (dn_calibrator_info){.struct_size = sizeof *info, .added = c->added, .counted = c->count};
    info->good_scores = c->count == 0 || c->keep ? model->holdout_count + c->count : c->count;
    info->moved = told.moved;
    info->limit = told.limit;
    *count = 0;
    for (int32_t i = 0; i < c->count; i++) {
        if (c->scores[i] <= told.limit)
            continue;
        if (*count < capacity)
            images[(*count)++] = c->image[i];
        info->suspects++;
    }
    return DN_OK;
}

/* ---- the new model ---- */

/* The rows that the new model holds: of the images, behind those of the model if they are kept. */
static dn_status make_rows(const dn_calibrator *c, calibration **out, dn_error *error)
{
    const calibration *old = c->keep ? c->model->calibration : NULL;
    int32_t before = old ? old->count : 0, views = c->model->flow ? c->scorer->views : 0;

    if (c->count > MODEL_MAX_HOLDOUT - before)
        return fail(error, DN_E_LIMIT, "more than %d good images", MODEL_MAX_HOLDOUT);
    TRY(calibration_create(before + c->count, views, c->model->positions != NULL, &c->allocator, out, error));
    calibration *rows = *out;
    if (rows->flow) {
        size_t held = (size_t)before * (size_t)views;
        if (held > 0)
            memcpy(rows->flow, old->flow, held * sizeof *rows->flow);
        memcpy(rows->flow + held, c->flow, (size_t)c->count * (size_t)views * sizeof *rows->flow);
    }
    if (rows->levels) {
        if (before > 0)
            memcpy(rows->levels, old->levels, (size_t)before * sizeof *rows->levels);
        memcpy(rows->levels + before, c->levels, (size_t)c->count * sizeof *rows->levels);
    }
    return DN_OK;
}

static dn_status calibrate_anew(const dn_calibrator *c, dn_model *model, dn_error *error)
{
    calibration *rows;

    if (c->count == 0)
        return DN_OK;
    TRY(make_rows(c, &rows, error));
    dn_status status = model_set_calibration(model, rows, error);
    if (status != DN_OK) {
        calibration_free(rows);
        return status;
    }
    if (!c->keep) { /* images that no density has seen, as held-out ones are */
        model->facts.calibration = DN_CALIBRATION_SPLIT;
        model->facts.folds = 0;
    }
    return DN_OK;
}

static dn_status refuse_suspects(dn_calibrator *c, dn_error *error)
{
    dn_calibrator_info info;
    int32_t first = 0, count;

    if (c->accept_suspects || c->count == 0)
        return DN_OK;
    TRY(calibrator_look(c, &info, &first, 1, &count, error));
    if (info.suspects == 0)
        return DN_OK;
    return fail(error, DN_E_STATE,
                "%d of %d good images score like defects (number %d is the first): look at them, and leave them out or "
                "say that they are good (accept_suspects)",
                info.suspects, info.counted, first);
}

dn_status calibrator_model(dn_calibrator *c, dn_model **out, dn_error *error)
{
    dn_model *model;

    TRY(refuse_suspects(c, error));
    TRY(model_copy(c->model, &c->allocator, &model, error));
    model->points = c->points;
    dn_status status = model_notes_copy(&model->notes, &c->notes, &c->allocator, error);
    if (status == DN_OK)
        status = calibrate_anew(c, model, error);
    if (status == DN_OK)
        status = model_seal(model, error);
    if (status != DN_OK) {
        model_unref(model);
        return status;
    }
    *out = model;
    return DN_OK;
}
