/* differnet eval: how well a model tells good from defective, on a test set in MVTec layout. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval_json.h"
#include "evaluation.h"
#include "html_report.h"
#include "output.h"
#include "picture.h"
#include "processors.h"
#include "progress.h"

#define RESAMPLES 2000
#define AUPRO_LIMIT 0.3
#define MAX_BOXES 256

typedef struct eval_job {
    const char *model_path, *data, *report, *title;
    bool as_json, quiet, no_maps, strict;
    double threshold;  /* NaN: by the rate */
    const char *point; /* NULL: none */
    dn_scorer_options scoring;
    dn_localizer_options localizing;
} eval_job;

/* What one pass over the images needs. */
typedef struct eval_tools {
    dn_model *model;
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
        done = html_report_add(tools->report, index, tools->model, image->path, &picture, mask, boxes, count);
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

/* ---- output ---- */

static void print_json(const evaluation *result)
{
    json_writer json = {stdout, false};

    write_eval_json(&json, NULL, result);
    putchar('\n');
}

static void print_verdicts(const evaluation *result)
{
    const test_set *set = result->set;
    char number[SCORE_SIZE];

    printf("verdicts    ");
    if (!isnan(result->false_alarm_rate))
        printf("at a false-alarm rate of %.3g ", result->false_alarm_rate);
    printf("(score above %s): %zu of %zu good images called\n"
           "            anomalous, %zu of %zu defective ones missed\n",
           score_text(number, result->threshold), result->false_alarms, set->good, result->missed,
           set->count - set->good);
}

static void print_boxes(const evaluation *result)
{
    const box_figures *boxes = &result->box_figures;
    size_t good = result->set->good, defective = result->set->count - good;

    printf("boxes       %zu of %zu good images have one", boxes->good_with_boxes, good);
    if (result->pixels)
        printf(", %zu of %zu defects are hit by one", boxes->defects_hit, boxes->defects);
    printf("\n            %.2f per good image, %.2f per defective one\n", (double)boxes->in_good / (double)good,
           (double)boxes->in_defective / (double)defective);
}

static void print_text(const evaluation *result)
{
    const test_set *set = result->set;
    size_t defective = set->count - set->good;
    char number[SCORE_SIZE];

    printf("model       %s, id %08" PRIx32 ", %d views\n", result->model_path, result->model.id, result->views);
    if (result->model.backbone_random)
        printf("            its backbone has RANDOM WEIGHTS that stand in for trained ones\n");
    printf("images      %zu: %zu good, %zu defective\n", set->count, set->good, defective);
    printf("image       AUROC %.4f (95 %% interval %.4f to %.4f), average precision %.4f, best F1 %.4f at %s\n",
           result->auroc, result->interval[0], result->interval[1], result->average_precision, result->f1,
           score_text(number, result->f1_threshold));
    if (result->pixels)
        printf("pixel       AUROC %.4f, AUPRO %.4f (up to %.0f %% false positives), %d view%s\n", result->pixel_auroc,
               result->pixel_aupro, 100 * AUPRO_LIMIT, result->map_views, result->map_views == 1 ? "" : "s");
    if (result->boxes)
        print_boxes(result);
    if (!isnan(result->threshold))
        print_verdicts(result);
    if (result->unlike > 0) {
        char *texts = warning_texts(result->warnings, "; ");
        printf("unlike      %zu images are unlike those learned from: %s\n", result->unlike, texts);
        free(texts);
    }
    printf("\n%-24s %7s %8s\n", "defect", "images", "AUROC");
    for (size_t d = 0; d < set->defect_count; d++)
        printf("%-24s %7zu %8.4f\n", set->defects[d], set->defect_images[d], result->defect_auroc[d]);
}

/* ---- the verb ---- */

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
    result->boxes = tools->localizer && map_scale(&result->model, job->localizing.method) > 0;
    if (result->pixels && !pixel_histogram_init(&tools->pixels)) {
        complain("out of memory");
        return false;
    }
    if (job->report)
        tools->report = html_report_create(result->set->count);
    return true;
}

static void free_tools(eval_tools *tools)
{
    html_report_free(tools->report);
    pixel_histogram_free(&tools->pixels);
    dn_localizer_free(tools->localizer);
    dn_scorer_free(tools->scorer);
    dn_model_unref(tools->model);
}

static int evaluate_set(const eval_job *job, const test_set *set)
{
    eval_tools tools = {0};
    evaluation result = {.title = job->title,
                         .data = job->data,
                         .model_path = job->model_path,
                         .set = set,
                         .pixels = set->masks && !job->no_maps,
                         .map_views = job->localizing.views};

    tools.model = open_model(job->model_path, false);
    if (!tools.model)
        return EXIT_FAILED;
    result.model = model_info(tools.model);
    result.opened = tools.model;
    if (result.model.positions && job->localizing.method != DN_MAP_GRADIENT)
        result.map_views = 1;
    result.scores = need_memory(set->count, sizeof *result.scores);
    result.indices = need_memory(set->count, sizeof *result.indices);
    result.image_warnings = need_memory(set->count, sizeof *result.image_warnings);
    result.ranking = need_memory(set->count, sizeof *result.ranking);
    result.defect_auroc = need_memory(set->defect_count, sizeof *result.defect_auroc);
    bool done = make_tools(job, &result, &tools) && evaluate_images(&result, &tools, job->quiet, job->strict) &&
                compute_figures(&result, &tools.pixels);
    if (done && job->as_json)
        print_json(&result);
    else if (done)
        print_text(&result);
    if (done && job->report)
        done = html_report_write(tools.report, job->report, &result);
    free(result.defect_auroc);
    free(result.ranking);
    free(result.image_warnings);
    free(result.indices);
    free(result.scores);
    free_tools(&tools);
    return finish_output(done ? 0 : EXIT_FAILED);
}

static int run_eval(const command_verb *verb, int argc, char **argv)
{
    eval_job job = {.threshold = (double)NAN};
    const char *method = NULL;
    test_set set;
    dn_scorer_options_init(&job.scoring);
    dn_localizer_options_init(&job.localizing);
    job.scoring.threads = usable_processors();
    const command_option options[] = {
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object instead of text"},
        {"report", 0, OPTION_TEXT, &job.report, 0, 0, "FILE.html",
         "write a page to work in: threshold, curves, images"},
        {"title", 0, OPTION_TEXT, &job.title, 0, 0, "TEXT", "the page's title; default: model and data set"},
        {"views", 0, OPTION_INTEGER, &job.scoring.views, 0, 0, "N",
         "views per image to score with; default: the model's"},
        {"map-views", 0, OPTION_INTEGER, &job.localizing.views, 0, 0, "N",
         "views per image for maps from the gradient;\ndefault {}"},
        {"map", 0, OPTION_TEXT, &method, 0, 0, "METHOD", "positions or gradient, as in localize"},
        {"no-maps", 0, OPTION_FLAG, &job.no_maps, 0, 0, NULL,
         "no pixel figures: masks are not read and no maps\nmade for them, which saves half of the time or more"},
        VERDICT_OPTIONS(&job.scoring.false_alarm_rate, &job.threshold, &job.point),
        STRICT_OPTION(&job.strict),
        MAX_PIXELS_OPTION(&job.scoring.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.scoring.threads, 0, 0, "N", "default: usable processors: {}"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first != 2)
        return wrong_operands(verb, argc - first < 2 ? "a model and a data set are needed" : "too many arguments");
    if (verdict_options_clash())
        return EXIT_FAILED;
    job.model_path = argv[first];
    job.data = argv[first + 1];
    job.localizing.threads = job.scoring.threads;
    if (job.report)
        remove_stale_output(job.report);
    picture_set_limit(job.scoring.max_pixels);
    if (!set_map_method(method, &job.localizing.method))
        return EXIT_FAILED;
    if ((job.report && !check_output_path(job.report)) || !open_test_set(job.data, !job.no_maps, job.quiet, &set))
        return EXIT_FAILED;
    code = evaluate_set(&job, &set);
    free_test_set(&set);
    return code;
}

const command_verb verb_eval = {
    .name = "eval",
    .operands = "MODEL DATA",
    .summary = "measure a model on a test set with known defects",
    .description = "Scores test/good and test/<defect> of a data set in MVTec layout and prints image AUROC\n"
                   "(with a 95 % bootstrap interval), average precision and best F1, and for each defect its AUROC\n"
                   "against all good images. With masks (ground_truth/<defect>/<name>_mask.png) also pixel AUROC\n"
                   "and AUPRO up to 30 % false positives.\n\n"
                   "exit code: 0 done, 2 an error.\n",
    .examples = "  differnet eval parts.dnm parts\n"
                "  differnet eval parts.dnm parts --json --no-maps\n"
                "  differnet eval parts.dnm parts --report parts.html\n",
    .run = run_eval,
};
