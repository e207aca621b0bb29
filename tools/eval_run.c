#include "eval_run.h"

#include <math.h>
#include <stdlib.h>

#include "html_report.h"
#include "output.h"
#include "picture.h"
#include "progress.h"

#define RESAMPLES 2000
#define MAX_BOXES 256

/* What one pass over the images needs. */
typedef struct eval_tools {
    dn_model *model; /* borrowed */
    dn_scorer *scorer;
    dn_localizer *localizer; /* NULL: neither pixel figures nor the maps of a report are wanted */
    pixel_histogram pixels;
    html_report *report; /* NULL: none is wanted */
} eval_tools;

/* ---- the pass over the images ---- */

/* A mask that says nothing is legal, and likely a mistake. */
static void tell_odd_mask(const test_image *image, const mapped_image *picture, size_t marked)
{
    size_t pixels = (size_t)picture->view.width * (size_t)picture->view.height;

    if (marked > 0 && marked < pixels)
        return;
    complain("%s: marks %s: the pixel figures take %s of %s for defective. A mask is read by its brightness; one that "
             "is drawn in transparency must be saved as gray",
             image->mask, marked == 0 ? "nothing" : "every pixel", marked == 0 ? "no pixel" : "all", image->path);
}

/* mask: 1 where the image is defective, as new memory; NULL for a good image, or where masks are not wanted. */
static bool read_mask(const test_image *image, const mapped_image *picture, uint8_t **mask)
{
    size_t marked;

    *mask = NULL;
    if (!image->mask)
        return true;
    *mask = open_mask(image->mask, &picture->view, &marked);
    if (*mask)
        tell_odd_mask(image, picture, marked);
    return *mask != NULL;
}

/* The boxes that `localize` would draw. */
static bool find_boxes(const eval_tools *tools, const char *path, const mapped_image *picture, dn_box boxes[MAX_BOXES],
                       int32_t *count)
{
    dn_status status = dn_localizer_find_boxes(tools->localizer, picture->map, picture->view.width,
                                               picture->view.height, NULL, boxes, MAX_BOXES, count);

    if (status != DN_OK)
        complain_status(path, status, dn_localizer_error(tools->localizer)->message);
    return status == DN_OK;
}

/* Figures of an image's map and boxes. */
static bool add_map(evaluation *result, eval_tools *tools, const test_image *image, mapped_image *picture,
                    const uint8_t *mask, dn_box boxes[MAX_BOXES], int32_t *count)
{
    int32_t width = picture->view.width, height = picture->view.height;

    if (!picture_localize(picture, image->path, tools->localizer))
        return false;
    bool added = !result->pixels || pixel_histogram_add(&tools->pixels, picture->map, mask, width, height);
    if (added && result->boxes) {
        if (!find_boxes(tools, image->path, picture, boxes, count))
            return false;
        added = box_figures_add(&result->box_figures, image->defect >= 0, boxes, *count, mask, width, height);
    }
    if (!added)
        complain("%s: too large, or out of memory", image->path);
    return added;
}

/* The map of one image, and its pictures for the report, where they are wanted. */
static bool evaluate_map(evaluation *result, eval_tools *tools, size_t index)
{
    const test_image *image = &result->set->images[index];
    mapped_image picture;
    uint8_t *mask = NULL;
    dn_box boxes[MAX_BOXES];
    int32_t count = 0;

    if (!tools->localizer && !tools->report)
        return true;
    if (!picture_open(&picture, image->path))
        return false;
    bool done = read_mask(image, &picture, &mask);
    if (done && tools->localizer)
        done = add_map(result, tools, image, &picture, mask, boxes, &count);
    if (done && tools->report)
        done = html_report_add(tools->report, result, index, &picture, mask, boxes, count);
    free(mask);
    picture_close(&picture);
    return done;
}

/* False: the image is unlike those learned from, and that is an error. */
static bool keep_score(evaluation *result, size_t index, const dn_score *score, bool strict)
{
    bool defective = result->set->images[index].defect >= 0;

    if (strict && score->warnings != 0) {
        complain_unlike(result->set->images[index].path, score->warnings);
        return false;
    }
    result->unlike += score->warnings != 0;
    result->warnings |= score->warnings;
    result->scores[index] = score->score;
    result->indices[index] = score->index;
    result->image_warnings[index] = score->warnings;
    result->views = score->views;
    result->threshold = score->threshold;
    result->false_alarm_rate = score->false_alarm_rate;
    result->false_alarms += score->anomalous == 1 && !defective;
    result->missed += score->anomalous == 0 && defective;
    return true;
}

/* Scores images first .. first + count - 1, at most MAX_BATCH. */
static bool score_group(evaluation *result, eval_tools *tools, size_t first, size_t count, bool strict)
{
    const char *paths[MAX_BATCH] = {0};
    dn_score scores[MAX_BATCH];
    dn_error errors[MAX_BATCH];

    for (size_t i = 0; i < count; i++) {
        paths[i] = result->set->images[first + i].path;
        dn_score_init(&scores[i]);
    }
    dn_status status = dn_scorer_score_batch_paths(tools->scorer, paths, (int32_t)count, scores, errors);
    bool done = status == DN_OK;
    for (size_t i = 0; i < count; i++) {
        if (errors[i].status == DN_OK)
            done = keep_score(result, first + i, &scores[i], strict) && done;
        else
            complain_status(paths[i], errors[i].status, errors[i].message);
    }
    return done;
}

static bool evaluate_images(evaluation *result, eval_tools *tools, bool quiet, bool strict)
{
    progress_bar bar;
    size_t count = result->set->count, group = batch_images(tools->scorer);

    progress_begin(&bar, quiet, "evaluating", "images", 0);
    for (size_t first = 0; first < count; first += group) {
        size_t end = count - first < group ? count : first + group;
        bool done = score_group(result, tools, first, end - first, strict);
        for (size_t i = first; i < end && done; i++) {
            done = evaluate_map(result, tools, i);
            progress_update(&bar, (int64_t)i + 1, (int64_t)count, NULL);
        }
        if (!done) {
            complain("no figures: they would not be those of the whole set");
            return false;
        }
    }
    progress_end(&bar, (int64_t)count, (int64_t)count, NULL);
    return true;
}

/* ---- the figures ---- */

/* Ranks the good images and those of one defect (-1: of all).  Returns how many. */
static size_t rank_images(const evaluation *result, int32_t defect, ranked_score *ranking)
{
    size_t count = 0;

    for (size_t i = 0; i < result->set->count; i++) {
        int32_t of = result->set->images[i].defect;
        if (of < 0 || defect < 0 || of == defect)
            ranking[count++] = (ranked_score){result->scores[i], of >= 0};
    }
    metrics_rank(ranking, count);
    return count;
}

static bool compute_figures(evaluation *result, const pixel_histogram *pixels)
{
    const test_set *set = result->set;

    for (size_t d = 0; d < set->defect_count; d++) {
        size_t count = rank_images(result, (int32_t)d, result->ranking);
        result->defect_auroc[d] = metrics_auroc(result->ranking, count);
    }
    size_t count = rank_images(result, -1, result->ranking);
    result->auroc = metrics_auroc(result->ranking, count);
    result->average_precision = metrics_average_precision(result->ranking, count);
    result->f1 = metrics_best_f1(result->ranking, count, &result->f1_threshold);
    if (result->pixels) {
        result->pixel_auroc = pixel_histogram_auroc(pixels);
        result->pixel_aupro = pixel_histogram_aupro(pixels, AUPRO_LIMIT);
        result->pixels = pixels->regions > 0; /* masks that are empty throughout tell nothing */
    }
    if (metrics_auroc_interval(result->ranking, count, RESAMPLES, result->interval))
        return true;
    complain("out of memory");
    return false;
}

/* ---- the whole ---- */

static bool make_tools(const eval_job *job, evaluation *result, eval_tools *tools)
{
    dn_error error;
    dn_status status = dn_scorer_create(tools->model, &job->scoring, &tools->scorer, &error);

    double threshold = job->threshold;
    if (status == DN_OK && (!find_operating_point(job->model_path, tools->model, job->point, &threshold) ||
                            !apply_threshold(tools->scorer, threshold)))
        return false;
    if (status == DN_OK && (result->pixels || (job->report && !job->no_maps)))
        status = dn_localizer_create(tools->model, &job->localizing, &tools->localizer, &error);
    if (status != DN_OK) {
        complain_refused(job->model_path, status, error.message);
        return false;
    }
    if (!region_apply_scorer(&job->region, tools->scorer) ||
        (tools->localizer && !region_apply_localizer(&job->region, tools->localizer)))
        return false;
    result->boxes = tools->localizer && map_scale(&result->model, job->localizing.method) > 0;
    if (result->pixels && !pixel_histogram_init(&tools->pixels)) {
        complain("out of memory");
        return false;
    }
    if (job->report)
        tools->report = html_report_create(result, &job->region, (size_t)job->pictures);
    return true;
}

static void free_tools(eval_tools *tools)
{
    html_report_free(tools->report);
    pixel_histogram_free(&tools->pixels);
    dn_localizer_free(tools->localizer);
    dn_scorer_free(tools->scorer);
}

static bool run(const eval_job *job, evaluation *result)
{
    eval_tools tools = {.model = result->opened};

    bool done = make_tools(job, result, &tools) && evaluate_images(result, &tools, job->quiet, job->strict) &&
                compute_figures(result, &tools.pixels);
    if (done && job->report)
        result->unreported = !html_report_write(tools.report, job->report, result);
    free_tools(&tools);
    return done;
}

bool evaluate(const eval_job *job, evaluation *result)
{
    *result = (evaluation){
        .title = job->title, .data = job->data, .model_path = job->model_path, .map_views = job->localizing.views};
    result->set = need_memory(1, sizeof *result->set);
    if (!open_test_set(job->data, !job->no_maps, job->quiet, result->set))
        return false;
    result->opened = open_model(job->model_path, false);
    if (!result->opened)
        return false;
    result->pixels = result->set->masks && !job->no_maps;
    result->model = model_info(result->opened);
    if (result->model.positions && job->localizing.method != DN_MAP_GRADIENT)
        result->map_views = 1;
    size_t count = result->set->count;
    result->scores = need_memory(count, sizeof *result->scores);
    result->indices = need_memory(count, sizeof *result->indices);
    result->image_warnings = need_memory(count, sizeof *result->image_warnings);
    result->ranking = need_memory(count, sizeof *result->ranking);
    result->defect_auroc = need_memory(result->set->defect_count, sizeof *result->defect_auroc);
    return run(job, result);
}

void evaluation_free(evaluation *result)
{
    free(result->defect_auroc);
    free(result->ranking);
    free(result->image_warnings);
    free(result->indices);
    free(result->scores);
    dn_model_unref(result->opened);
    free_test_set(result->set);
    free(result->set);
}
