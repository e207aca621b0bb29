/* differnet score: how anomalous images are, and whether they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "dataset.h"
#include "json_writer.h"

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
    putchar('\n');
}

static void write_text(const char *path, const dn_score *score, int column)
{
    printf("%-*s  %9.4f", column, path, score->score);
    if (score->anomalous >= 0)
        printf("  p %-6.3g  %s", score->p_value, score->anomalous ? "ANOMALOUS" : "normal");
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

/* Scores all images; an error with one does not stop the others. */
static int score_images(dn_scorer *scorer, const image_list *images, enum score_format format)
{
    int column = path_column(images);
    size_t anomalous = 0, failed = 0;

    if (format == SCORE_CSV)
        puts("path,score,p_value,threshold,anomalous,views,false_alarm_rate");
    for (size_t i = 0; i < images->count; i++) {
        dn_score score;
        dn_score_init(&score);
        dn_status status = dn_scorer_score_path(scorer, images->paths[i], &score);
        if (status != DN_OK) {
            complain_status(images->paths[i], status, dn_scorer_error(scorer)->message);
            failed++;
            continue;
        }
        anomalous += score.anomalous == 1;
        if (format == SCORE_JSON)
            write_json(images->paths[i], &score);
        else if (format == SCORE_CSV)
            write_csv(images->paths[i], &score);
        else
            write_text(images->paths[i], &score, column);
        fflush(stdout); /* whoever reads along wants each result at once */
    }
    if (failed > 0 && images->count > 1)
        complain("%zu of %zu images could not be scored", failed, images->count);
    return finish_output(failed > 0 ? EXIT_FAILED : anomalous > 0 ? EXIT_ANOMALOUS : 0);
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
                      const image_list *images, enum score_format format)
{
    dn_scorer *scorer;
    dn_error error;
    dn_model *model = open_model(model_path, trusted);

    if (!model)
        return EXIT_FAILED;
    dn_status status = dn_scorer_create(model, options, &scorer, &error);
    if (status != DN_OK) {
        complain_status(model_path, status, error.message);
        dn_model_unref(model);
        return EXIT_FAILED;
    }
    announce_rate(model, options->false_alarm_rate);
    int code = score_images(scorer, images, format);
    dn_scorer_free(scorer);
    dn_model_unref(model);
    return code;
}

static int run_score(const command_verb *verb, int argc, char **argv)
{
    bool as_json = false, as_csv = false, trusted = false;
    dn_scorer_options scoring;
    dn_scorer_options_init(&scoring);
    scoring.threads = usable_processors();
    const command_option options[] = {
        {"views", 0, OPTION_INTEGER, &scoring.views, 1, 1024, "N", "rotated views per image; default: the model's"},
        {"fpr", 0, OPTION_REAL, &scoring.false_alarm_rate, 1e-9, 1, "P",
         "share of good images that may be called anomalous;\ndefault 0.05"},
        {"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON object per image and line"},
        {"csv", 0, OPTION_FLAG, &as_csv, 0, 0, NULL, "comma-separated values with a header"},
        {"no-verify", 0, OPTION_FLAG, &trusted, 0, 0, NULL,
         "trust the model: skip its checksum, which takes as\nlong as reading the file"},
        {"threads", 0, OPTION_INTEGER, &scoring.threads, 1, 256, "N", "default: all usable processors"},
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
    code = images.count > 0 ? score_with(argv[first], trusted, &scoring, &images,
                                         as_json ? SCORE_JSON : as_csv ? SCORE_CSV : SCORE_TEXT)
                            : EXIT_FAILED;
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
