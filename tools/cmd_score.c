/* differnet score: how anomalous images are, and whether they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "dataset.h"
#include "json_writer.h"
#include "processors.h"

#define MAX_PATH_COLUMN 60

enum score_format { SCORE_TEXT, SCORE_JSON, SCORE_CSV };

static void write_json(const char *path, const dn_score *score)
{
    json_writer json = {stdout, false};

    emit_open_object(&json, NULL);
    emit_text(&json, "path", path);
    emit_real(&json, "score", score->score);
    emit_real(&json, "p_value", score->p_value);
    emit_real(&json, "threshold", score->threshold);
    if (score->anomalous < 0)
        emit_none(&json, "anomalous");
    else
        emit_bool(&json, "anomalous", score->anomalous == 1);
    emit_integer(&json, "views", score->views);
    emit_real(&json, "false_alarm_rate", score->false_alarm_rate);
    emit_real(&json, "log_likelihood", score->log_likelihood);
    emit_bool(&json, "lower_bound", score->lower_bound == 1);
    emit_close_object(&json);
    putchar('\n');
}

/* RFC 4180: quotes around what holds a comma, quote or line break; quotes inside doubled. */
static void write_csv_text(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void write_csv_number(double value)
{
    putchar(',');
    if (isfinite(value))
        printf("%.17g", value);
}

static void write_csv(const char *path, const dn_score *score)
{
    write_csv_text(path);
    write_csv_number(score->score);
    write_csv_number(score->p_value);
    write_csv_number(score->threshold);
    printf(",%s,%d", score->anomalous < 0 ? "" : score->anomalous ? "true" : "false", score->views);
    write_csv_number(score->false_alarm_rate);
    printf(",%s\n", score->lower_bound ? "true" : "false");
}

static void write_text(const char *path, const dn_score *score, int column)
{
    bool bound = score->lower_bound == 1;

    printf("%-*s%s%9.4f", column, path, bound ? " >=" : "  ", score->score);
    if (score->anomalous >= 0)
        printf("  p %s%-*.3g  %s", bound ? "<=" : "", bound ? 4 : 6, score->p_value,
               score->anomalous ? "ANOMALOUS" : "normal");
    putchar('\n');
}

static int path_column(const image_list *images)
{
    size_t column = 0;

    for (size_t i = 0; i < images->count; i++) {
        size_t length = strlen(images->paths[i]);
        if (length > column && length <= MAX_PATH_COLUMN)
            column = length;
    }
    return (int)column;
}

/* What is done with each image. */
typedef struct score_job {
    dn_scorer *scorer;
    enum score_format format;
    bool decide;       /* end with an image once its verdict is certain */
    int column;        /* width of the paths in text */
    size_t anomalous, failed;
} score_job;

static void write_score(score_job *job, const char *path, const dn_score *score)
{
    job->anomalous += score->anomalous == 1;
    if (job->format == SCORE_JSON)
        write_json(path, score);
    else if (job->format == SCORE_CSV)
        write_csv(path, score);
    else
        write_text(path, score, job->column);
    fflush(stdout); /* whoever reads along wants each result at once */
}

/* Scores up to a batch of images; an error with one does not stop the others. */
static void score_group(score_job *job, const char *const *paths, int32_t count)
{
    dn_score scores[MAX_BATCH];
    dn_error errors[MAX_BATCH];

    for (int32_t i = 0; i < count; i++)
        dn_score_init(&scores[i]);
    if (!job->decide) {
        /* errors[] tells all that the status does */
        dn_status ignored = dn_scorer_score_batch_paths(job->scorer, paths, count, scores, errors);
        (void)ignored;
    } else {
        dn_status status = dn_scorer_decide_path(job->scorer, paths[0], &scores[0]);
        errors[0] = *dn_scorer_error(job->scorer);
        errors[0].status = status;
    }
    for (int32_t i = 0; i < count; i++) {
        if (errors[i].status == DN_OK) {
            write_score(job, paths[i], &scores[i]);
        } else {
            complain_status(paths[i], errors[i].status, errors[i].message);
            job->failed++;
        }
    }
}

static int score_images(score_job *job, const image_list *images)
{
    /* The verdict of a single image can be certain early; many at a time are faster. */
    size_t group = job->decide ? 1 : batch_images(job->scorer);

    job->column = path_column(images);
    if (job->format == SCORE_CSV)
        puts("path,score,p_value,threshold,anomalous,views,false_alarm_rate,lower_bound");
    for (size_t i = 0; i < images->count; i += group) {
        size_t left = images->count - i;
        score_group(job, (const char *const *)images->paths + i, (int32_t)(left < group ? left : group));
    }
    if (job->failed > 0 && images->count > 1)
        complain("%zu of %zu images could not be scored", job->failed, images->count);
    return finish_output(job->failed > 0 ? EXIT_FAILED : job->anomalous > 0 ? EXIT_ANOMALOUS : 0);
}

/* Tells once what the model cannot promise. */
static void announce_rate(const dn_model *model, double false_alarm_rate)
{
    int32_t count;

    dn_model_holdout_scores(model, &count);
    if (count == 0)
        complain("the model holds no scores of good images: scores only, no verdicts");
    else if (false_alarm_rate < 1.0 / (count + 1))
        complain("the model holds %d good scores: the smallest false-alarm rate it can promise is 1/%d = %.3g; "
                 "verdicts keep that one, not %g", count, count + 1, 1.0 / (count + 1), false_alarm_rate);
}

static int score_with(const char *model_path, bool trusted, const dn_scorer_options *options,
                      const image_list *images, score_job *job)
{
    dn_error error;
    dn_model *model = open_model(model_path, trusted);

    if (!model)
        return EXIT_FAILED;
    dn_status status = dn_scorer_create(model, options, &job->scorer, &error);
    if (status != DN_OK) {
        complain_status(model_path, status, error.message);
        dn_model_unref(model);
        return EXIT_FAILED;
    }
    announce_rate(model, options->false_alarm_rate);
    int code = score_images(job, images);
    dn_scorer_free(job->scorer);
    dn_model_unref(model);
    return code;
}

static int run_score(const command_verb *verb, int argc, char **argv)
{
    bool as_json = false, as_csv = false, trusted = false;
    score_job job = {0};
    dn_scorer_options scoring;
    dn_scorer_options_init(&scoring);
    scoring.threads = usable_processors();
    const command_option options[] = {
        {"views", 0, OPTION_INTEGER, &scoring.views, 1, 1024, "N", "rotated views per image; default: the model's"},
        {"fpr", 0, OPTION_REAL, &scoring.false_alarm_rate, 1e-9, 1, "P",
         "share of good images that may be called anomalous;\ndefault 0.05"},
        {"decide", 0, OPTION_FLAG, &job.decide, 0, 0, NULL,
         "be done with an image once it is certainly anomalous:\nthe same verdicts, scores that are lower bounds"},
        {"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON object per image and line"},
        {"csv", 0, OPTION_FLAG, &as_csv, 0, 0, NULL, "comma-separated values with a header"},
        {"no-verify", 0, OPTION_FLAG, &trusted, 0, 0, NULL,
         "trust the model: skip its checksum, which takes as\nlong as reading the file"},
        {"threads", 0, OPTION_INTEGER, &scoring.threads, 1, 256, "N", "default: usable processors, up to 32"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    image_list images = {0};
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first < 2)
        return wrong_operands(verb, argc == first ? "no model given" : "no images given");
    if (as_json && as_csv)
        return wrong_operands(verb, "--json and --csv exclude each other");
    bool listed = true;
    for (int i = first + 1; i < argc; i++)
        listed = list_operand(argv[i], &images) && listed;
    job.format = as_json ? SCORE_JSON : as_csv ? SCORE_CSV : SCORE_TEXT;
    code = images.count > 0 ? score_with(argv[first], trusted, &scoring, &images, &job) : EXIT_FAILED;
    image_list_free(&images);
    return listed ? code : EXIT_FAILED;
}

const command_verb verb_score = {
    .name = "score",
    .operands = "MODEL IMAGE...",
    .summary = "tell how anomalous images are",
    .description = "Prints for each image its score (about 1 for good ones), its p-value (the share of good images\n"
                   "that score as high) and a verdict. A folder stands for all images in it.\n\n"
                   "exit code: 0 all images are normal (or the model gives no verdicts), 1 at least one is\n"
                   "anomalous, 2 an error.\n",
    .examples = "  differnet score parts.dnm new/part1.png\n"
                "  differnet score parts.dnm new/ --fpr 0.01 --json\n"
                "  differnet score parts.dnm new/*.jpg --csv > scores.csv\n",
    .run = run_score,
};
