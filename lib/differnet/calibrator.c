#include "differnet/calibrator.h"

#include <libdeflate.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/status.h"
#include "differnet/groups.h"
#include "image/codec.h"

/* What was measured of each image. */
struct dn_calibrator {
    dn_allocator allocator;
    dn_model *model;   /* reference */
    dn_scorer *scorer; /* of the model's own views */
    int32_t keep, accept_suspects;
    int32_t count;          /* images */
    int32_t room;           /* that there is memory for */
    double *scores;         /* (count) */
    double *flow;           /* (count, views); NULL without a flow */
    position_level *levels; /* (count) */
    double *peaks;          /* (count): of the positions' maps, 0 without them */
    float *thumbs;          /* (count, THUMB_SIZE) */
    uint32_t *crc;          /* (count): of the images on their canvas */
    image_groups groups;    /* of the first `grouped` images: copies of one image count once, as the first of them */
    int32_t grouped;
    model_notes notes; /* the new model's */
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
    mem_free(&allocator, c->scores);
    mem_free(&allocator, c->flow);
    mem_free(&allocator, c->levels);
    mem_free(&allocator, c->peaks);
    mem_free(&allocator, c->thumbs);
    mem_free(&allocator, c->crc);
    groups_release(&c->groups, &allocator);
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

/* Room for more items; if it cannot be had, the old ones stay. */
static _Bool grow(const dn_calibrator *c, void *items, size_t size, int32_t room)
{
    void *old, *larger = mem_zalloc(&c->allocator, (size_t)room, size);

    if (!larger)
        return 0;
    memcpy(&old, items, sizeof old);
    if (c->count > 0)
        memcpy(larger, old, (size_t)c->count * size);
    mem_free(&c->allocator, old);
    memcpy(items, &larger, sizeof larger);
    return 1;
}

static dn_status make_room(dn_calibrator *c, dn_error *error)
{
    int32_t room = c->room > 0 ? 2 * c->room : 64;

    if (c->count < c->room)
        return DN_OK;
    if (c->count == MODEL_MAX_HOLDOUT)
        return fail(error, DN_E_LIMIT, "more than %d good images", MODEL_MAX_HOLDOUT);
    if (!grow(c, &c->scores, sizeof *c->scores, room) || !grow(c, &c->levels, sizeof *c->levels, room) ||
        !grow(c, &c->peaks, sizeof *c->peaks, room) || !grow(c, &c->thumbs, THUMB_SIZE * sizeof *c->thumbs, room) ||
        !grow(c, &c->crc, sizeof *c->crc, room) ||
        (flow_row(c) > 0 && !grow(c, &c->flow, flow_row(c) * sizeof *c->flow, room)))
        return fail_memory(error, "the scores of good images");
    c->room = room;
    return DN_OK;
}

/* What tells copies of the image that was scored: of what counts of it, as in training. */
static void keep_thumb(dn_calibrator *c)
{
    const canvas_shape *whole = &c->model->plan.whole;
    const uint16_t *canvas = scorer_masked_canvas(c->scorer);

    group_thumb(canvas, whole->width, whole->height, c->thumbs + (size_t)c->count * THUMB_SIZE);
    c->crc[c->count] = libdeflate_crc32(0, canvas, view_floats(c->model->extractor) * sizeof *canvas);
}

dn_status calibrator_add(dn_calibrator *c, const scorer_input *image, dn_score *score, dn_error *error)
{
    size_t views = flow_row(c);

    TRY(make_room(c, error));
    TRY(scorer_score(c->scorer, image, score, error));
    c->scores[c->count] = score->score;
    if (c->model->positions) {
        c->levels[c->count] = c->scorer->levels[0];
        c->peaks[c->count] = position_peak(c->scorer->maps, positions_cells(c->model->positions));
    }
    if (views > 0)
        memcpy(c->flow + (size_t)c->count * views, c->scorer->view_scores, views * sizeof *c->flow);
    keep_thumb(c);
    c->count++;
    return DN_OK;
}

/* Which images are copies of others: known again after any were added. */
static dn_status find_groups(dn_calibrator *c, dn_error *error)
{
    if (c->grouped == c->count)
        return DN_OK;
    group_image *images = mem_alloc(&c->allocator, (size_t)c->count, sizeof *images);
    if (!images)
        return fail_memory(error, "the groups of images");
    for (int32_t i = 0; i < c->count; i++)
        images[i] = (group_image){c->thumbs + (size_t)i * THUMB_SIZE, c->crc[i], -1};
    groups_release(&c->groups, &c->allocator);
    c->grouped = 0;
    dn_status status = groups_find(images, c->count, c->count, 1, &c->allocator, &c->groups, error);
    mem_free(&c->allocator, images);
    if (status == DN_OK)
        c->grouped = c->count;
    return status;
}

/* ---- what they say ---- */

dn_status calibrator_look(dn_calibrator *c, dn_calibrator_info *info, int32_t *images, int32_t capacity, int32_t *count,
                          dn_error *error)
{
    const dn_model *model = c->model;

    TRY(find_groups(c, error));
    int32_t counted = c->groups.count;
    double *fresh = mem_alloc(&c->allocator, (size_t)counted, sizeof *fresh);
    double *scratch = mem_alloc(&c->allocator, (size_t)model->holdout_count + (size_t)counted, sizeof *scratch);
    if (!fresh || !scratch) {
        mem_free(&c->allocator, fresh);
        mem_free(&c->allocator, scratch);
        return fail_memory(error, "the scores of good images");
    }
    for (int32_t i = 0; i < counted; i++)
        fresh[i] = c->scores[c->groups.first[i]];
    suspicion told = suspect_scores(model->holdout_scores, model->holdout_count, fresh, counted, scratch);
    *info = (dn_calibrator_info){.struct_size = sizeof *info, .added = c->count, .counted = counted};
    info->good_scores = counted == 0 || c->keep ? model->holdout_count + counted : counted;
    info->moved = told.moved;
    info->limit = told.limit;
    *count = 0;
    for (int32_t i = 0; i < counted; i++) {
        if (fresh[i] <= told.limit)
            continue;
        if (*count < capacity)
            images[(*count)++] = c->groups.first[i];
        info->suspects++;
    }
    mem_free(&c->allocator, fresh);
    mem_free(&c->allocator, scratch);
    return DN_OK;
}

/* ---- the new model ---- */

/* The rows that the new model holds: of the images, behind those of the model if they are kept. */
static dn_status make_rows(const dn_calibrator *c, calibration **out, dn_error *error)
{
    const calibration *old = c->keep ? c->model->calibration : NULL;
    int32_t before = old ? old->count : 0, counted = c->groups.count;
    size_t views = flow_row(c);

    if (counted > MODEL_MAX_HOLDOUT - before)
        return fail(error, DN_E_LIMIT, "more than %d good images", MODEL_MAX_HOLDOUT);
    TRY(calibration_create(before + counted, (int32_t)views, c->model->positions != NULL, &c->allocator, out, error));
    calibration *rows = *out;
    if (rows->flow && before > 0)
        memcpy(rows->flow, old->flow, (size_t)before * views * sizeof *rows->flow);
    if (rows->levels && before > 0)
        memcpy(rows->levels, old->levels, (size_t)before * sizeof *rows->levels);
    for (int32_t i = 0; i < counted; i++) {
        size_t row = (size_t)(before + i), image = (size_t)c->groups.first[i];
        if (rows->flow)
            memcpy(rows->flow + row * views, c->flow + image * views, views * sizeof *rows->flow);
        if (rows->levels)
            rows->levels[row] = c->levels[image];
    }
    return DN_OK;
}

/* How high the maps of good images are.  Where the model's own images count and it does not tell it of them, that stays
 * unknown. */
static dn_status set_peaks(const dn_calibrator *c, dn_model *model, dn_error *error)
{
    int32_t before = c->keep ? model->peak_count : 0, counted = c->groups.count;

    if (!model->positions || (c->keep && before == 0 && model->holdout_count > 0))
        return DN_OK;
    double *peaks = mem_alloc(&c->allocator, (size_t)before + (size_t)counted, sizeof *peaks);
    if (!peaks)
        return fail_memory(error, "the scores of good images");
    if (before > 0)
        memcpy(peaks, model->peaks, (size_t)before * sizeof *peaks);
    for (int32_t i = 0; i < counted; i++)
        peaks[before + i] = c->peaks[c->groups.first[i]];
    dn_status status = model_set_peaks(model, peaks, before + counted, error);
    mem_free(&c->allocator, peaks);
    return status;
}

static dn_status calibrate_anew(dn_calibrator *c, dn_model *model, dn_error *error)
{
    calibration *rows;

    if (c->count == 0)
        return DN_OK;
    TRY(find_groups(c, error));
    TRY(make_rows(c, &rows, error));
    dn_status status = set_peaks(c, model, error);
    if (status == DN_OK)
        status = model_set_calibration(model, rows, error);
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
