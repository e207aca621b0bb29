/* differnet eval: how well a model tells good from defective, on a test set in MVTec layout. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval_images.h"
#include "eval_json.h"
#include "eval_run.h"
#include "eval_table.h"
#include "output.h"
#include "picture.h"
#include "processors.h"

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

/* The last folder of a path. */
static char *name_of(const char *path)
{
    size_t end = strlen(path), begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    return need_text("%.*s", (int)(end - begin), path + begin);
}

static void print_result(const evaluation *result, enum eval_format format, const char *name)
{
    const eval_row row = eval_row_of(name, result);

    if (format == EVAL_JSON)
        print_json(result);
    else if (format == EVAL_CSV)
        print_eval_csv(&row, 1, NULL);
    else
        print_text(result);
}

static int evaluate_one(const eval_job *job, enum eval_format format, const char *images)
{
    char *name = name_of(job->data);
    image_rows rows;
    evaluation result;
    bool done = evaluate(job, &result);

    image_rows_begin(&rows);
    if (done) {
        print_result(&result, format, name);
        image_rows_add(&rows, name, &result);
    }
    done = image_rows_end(&rows, done ? images : NULL) && done && !result.unreported;
    evaluation_free(&result);
    free(name);
    return finish_output(done ? 0 : EXIT_FAILED);
}

/* With all that can be refused refused. */
static int run_job(const eval_job *job, enum eval_format format, const char *images)
{
    bool several = is_folder(job->model_path);

    if (several && job->report) {
        complain("--report is of one data set: evaluate that one by its model, %s/NAME.dnm %s/NAME", job->model_path,
                 job->data);
        return EXIT_FAILED;
    }
    if ((job->report && !check_output_path(job->report)) || (images && !check_output_path(images)))
        return EXIT_FAILED;
    return several ? evaluate_categories(job, format, images) : evaluate_one(job, format, images);
}

static int run_eval(const command_verb *verb, int argc, char **argv)
{
    eval_job job = {.threshold = (double)NAN, .pictures = 1000};
    const char *method = NULL, *images = NULL;
    bool as_json = false, as_csv = false;
    dn_scorer_options_init(&job.scoring);
    dn_localizer_options_init(&job.localizing);
    job.scoring.threads = usable_processors();
    const command_option options[] = {
        {"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON object instead of text"},
        {"csv", 0, OPTION_FLAG, &as_csv, 0, 0, NULL, "a table of comma-separated values instead of text"},
        {"images-csv", 0, OPTION_TEXT, &images, 0, 0, "FILE.csv", "write a row for each image"},
        {"report", 0, OPTION_TEXT, &job.report, 0, 0, "FILE.html",
         "write a page to work in: threshold, curves, images"},
        {"title", 0, OPTION_TEXT, &job.title, 0, 0, "TEXT", "the page's title; default: model and data set"},
        {"pictures", 0, OPTION_INTEGER, &job.pictures, 0, INT32_MAX, "N",
         "images that the page shows in pictures, at most;\ndefault {}"},
        {"views", 0, OPTION_INTEGER, &job.scoring.views, 0, 0, "N",
         "views per image to score with; default: the model's"},
        {"map-views", 0, OPTION_INTEGER, &job.localizing.views, 0, 0, "N",
         "views per image for maps from the gradient;\ndefault {}"},
        {"map", 0, OPTION_TEXT, &method, 0, 0, "METHOD", "positions or gradient, as in localize"},
        {"no-maps", 0, OPTION_FLAG, &job.no_maps, 0, 0, NULL,
         "no pixel figures: masks are not read and no maps\nmade for them, which saves half of the time or more"},
        VERDICT_OPTIONS(&job.scoring.false_alarm_rate, &job.threshold, &job.point),
        REGION_OPTIONS(&job.region),
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
    if (as_json && as_csv)
        return wrong_operands(verb, "--json and --csv exclude each other");
    if ((option_given("title") || option_given("pictures")) && !job.report)
        return wrong_operands(verb, "--title and --pictures are of --report FILE.html, which is missing");
    if (verdict_options_clash())
        return EXIT_FAILED;
    job.model_path = argv[first];
    job.data = argv[first + 1];
    job.localizing.threads = job.scoring.threads;
    if (job.report)
        remove_stale_output(job.report);
    if (images)
        remove_stale_output(images);
    picture_set_limit(job.scoring.max_pixels);
    code = EXIT_FAILED;
    if (set_map_method(method, &job.localizing.method) && region_open(&job.region))
        code = run_job(&job, as_json ? EVAL_JSON : as_csv ? EVAL_CSV : EVAL_TEXT, images);
    region_close(&job.region);
    return code;
}

const command_verb verb_eval = {
    .name = "eval",
    .operands = "MODEL DATA",
    .summary = "measure a model on a test set with known defects",
    .description = "Scores test/good and test/<defect> of a data set in MVTec layout and prints image AUROC\n"
                   "(with a 95 % bootstrap interval), average precision and best F1, and for each defect its AUROC\n"
                   "against all good images. With masks (ground_truth/<defect>/<name>_mask.png) also pixel AUROC\n"
                   "and AUPRO up to 30 % false positives. Where MODEL is a folder, as train makes it of several data\n"
                   "sets, each NAME.dnm is measured on DATA/NAME: one table with the means.\n\n"
                   "exit code: 0 done, 2 an error.\n",
    .examples = "  differnet eval parts.dnm parts\n"
                "  differnet eval parts.dnm parts --json --no-maps\n"
                "  differnet eval parts.dnm parts --report parts.html\n"
                "  differnet eval models/ mvtec --csv > table.csv\n",
    .run = run_eval,
};
