/* differnet score: how anomalous images are, and whether they are. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "dataset.h"
#include "folder_watch.h"
#include "csv_writer.h"
#include "json_writer.h"
#include "line_monitor.h"
#include "path_stream.h"
#include "picture.h"
#include "processors.h"
#include "region.h"

#define MAX_PATH_COLUMN 60
/* Results of a group come together: not later than this after the first could have come. */
#define GROUP_SECONDS 0.25

enum score_format { SCORE_TEXT, SCORE_JSON, SCORE_CSV };

/* What is done with each image. */
typedef struct score_job {
    dn_scorer *scorer;
    dn_model_info model;
    line_monitor line;
    const char *point; /* operating point; NULL: none */
    region region;
    enum score_format format;
    bool decide; /* end with an image once its verdict is certain */
    bool strict; /* an image unlike those learned from is an error */
    bool quiet;
    int column;           /* width of the paths in text */
    double image_seconds; /* what an image took lately; 0: not known yet */
    size_t total, anomalous, failed;
} score_job;

/* An image that was scored. */
typedef struct scored_image {
    const char *path;
    const dn_score *score;
    double seconds; /* its share of its group's time */
} scored_image;

static double log_score(const dn_score *score)
{
    return score->score > 0 ? log(score->score) : (double)NAN;
}

static void write_json(const score_job *job, const scored_image *image)
{
    const dn_score *score = image->score;
    json_writer json = {stdout, false};
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, job->model.id);
    emit_open_object(&json, NULL);
    emit_text(&json, "path", image->path);
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
    emit_real(&json, "flow_score", score->flow_score);
    emit_real(&json, "local_score", score->local_score);
    emit_real(&json, "whole_score", score->whole_score);
    emit_real(&json, "index", score->index);
    emit_real(&json, "log_score", log_score(score));
    emit_text(&json, "model_id", id);
    emit_text(&json, "preset", job->model.preset);
    emit_open_array(&json, "warnings");
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        if (score->warnings & bit)
            emit_text(&json, NULL, dn_warning_text(bit));
    }
    emit_close_array(&json);
    emit_real(&json, "milliseconds", 1000 * image->seconds);
    emit_close_object(&json);
    putchar('\n');
}

static void write_csv(const scored_image *image)
{
    const dn_score *score = image->score;

    csv_text(stdout, image->path);
    csv_number(stdout, score->score);
    csv_number(stdout, score->p_value);
    csv_number(stdout, score->threshold);
    printf(",%s,%d", score->anomalous < 0 ? "" : score->anomalous ? "true" : "false", score->views);
    csv_number(stdout, score->false_alarm_rate);
    printf(",%s", score->lower_bound ? "true" : "false");
    csv_number(stdout, score->index);
    csv_number(stdout, log_score(score));
    char *warnings = warning_texts(score->warnings, "; ");
    putchar(',');
    csv_text(stdout, warnings);
    putchar('\n');
    free(warnings);
}

/* "PATH  index 0.312  score    1.2345  p 0.4     normal" */
static void write_text(const scored_image *image, int column)
{
    const dn_score *score = image->score;
    bool bound = score->lower_bound == 1;
    char number[SCORE_SIZE];

    printf("%-*s", column, image->path);
    if (!isnan(score->index))
        printf("  index %s%.3f", bound ? ">=" : "", score->index);
    printf("  score %s%*s", bound ? ">=" : "", SCORE_COLUMN, score_text(number, score->score));
    if (!isnan(score->p_value))
        printf("  p %s%-*.3g", bound ? "<=" : "", bound ? 4 : 6, score->p_value);
    if (score->anomalous >= 0)
        printf("  %s", score->anomalous ? "ANOMALOUS" : "normal");
    if (score->warnings != 0) {
        char *warnings = warning_texts(score->warnings, "; ");
        printf("  (%s)", warnings);
        free(warnings);
    }
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

static void write_score(score_job *job, const scored_image *image)
{
    job->anomalous += image->score->anomalous == 1;
    if (job->format == SCORE_JSON)
        write_json(job, image);
    else if (job->format == SCORE_CSV)
        write_csv(image);
    else
        write_text(image, job->column);
    flush_output(); /* whoever reads along wants each result at once */
    line_monitor_add(&job->line, image->path, image->score->p_value);
}

static void report(score_job *job, const scored_image *image, dn_status status, const char *message)
{
    job->total++;
    if (status == DN_OK && job->strict && image->score->warnings != 0) {
        complain_unlike(image->path, image->score->warnings);
        message = NULL;
    } else if (status == DN_OK) {
        write_score(job, image);
        return;
    }
    if (message)
        complain_status(image->path, status, message);
    job->failed++;
}

/* Scores what comes out of a pipe. */
static void score_pipe(score_job *job, const char *path)
{
    scored_image image = {.path = path};
    double began = seconds_now();
    mapped_image picture;
    dn_score score;

    dn_score_init(&score);
    image.score = &score;
    if (!picture_open(&picture, path)) {
        report(job, &image, DN_E_IO, NULL);
        return;
    }
    dn_status status = job->decide ? dn_scorer_decide(job->scorer, &picture.view, &score)
                                   : dn_scorer_score(job->scorer, &picture.view, &score);
    image.seconds = seconds_now() - began;
    report(job, &image, status, dn_scorer_error(job->scorer)->message);
    picture_close(&picture);
}

/* Scores up to a batch of images; an error with one does not stop the others. */
static void score_group(score_job *job, const char *const *paths, int32_t count)
{
    dn_score scores[MAX_BATCH];
    dn_error errors[MAX_BATCH];
    double began = seconds_now();

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
    double seconds = (seconds_now() - began) / count;
    for (int32_t i = 0; i < count; i++)
        report(job, &(scored_image){paths[i], &scores[i], seconds}, errors[i].status, errors[i].message);
}

/* Images to score together: the verdict of a single one can be certain early, and results shall not wait for each other
 * for long; apart from that many at a time are faster. */
static size_t group_size(const score_job *job)
{
    size_t most = job->decide || job->image_seconds <= 0 ? 1 : batch_images(job->scorer);
    double timely = GROUP_SECONDS / job->image_seconds;

    return most > 1 && timely < (double)most ? (timely < 1 ? 1 : (size_t)timely) : most;
}

/* Until nobody sees the results any more. */
static void score_images(score_job *job, const image_list *images)
{
    for (size_t i = 0; i < images->count && !ferror(stdout);) {
        size_t left = images->count - i, group = group_size(job), count = 0;
        double began = seconds_now();
        while (count < group && count < left && !is_pipe(images->paths[i + count]))
            count++;
        if (count > 0)
            score_group(job, (const char *const *)images->paths + i, (int32_t)count);
        else
            score_pipe(job, images->paths[i]);
        i += count > 0 ? count : 1;
        job->image_seconds = (seconds_now() - began) / (double)(count > 0 ? count : 1);
    }
}

/* ---- where the images come from ---- */

typedef struct score_source {
    image_list images;   /* named on the command line */
    bool from_input;     /* then those whose paths come from standard input */
    bool zeros;          /* with a NUL behind each path */
    const char *watched; /* then new ones in this folder; NULL: none */
    bool complete;       /* nothing that was named is missing */
} score_source;

static void score_input(score_job *job, score_source *source)
{
    path_stream stream;
    image_list paths = {0};

    path_stream_init(&stream, STDIN_FILENO, source->zeros ? '\0' : '\n');
    while (!ferror(stdout) && path_stream_next(&stream, MAX_BATCH, &paths)) {
        image_list images = {0};
        for (size_t i = 0; i < paths.count; i++)
            source->complete = list_operand(paths.paths[i], &images) && source->complete;
        score_images(job, &images);
        image_list_free(&images);
        image_list_free(&paths);
    }
    if (stream.reason) {
        complain("standard input: cannot read: %s", strerror(stream.reason));
        source->complete = false;
    }
    path_stream_free(&stream);
}

static void score_new_files(score_job *job, score_source *source, folder_watch *watch)
{
    enum watch_result result;

    do {
        image_list images = {0};
        result = watch_next(watch, &images);
        score_images(job, &images);
        image_list_free(&images);
    } while (result == WATCH_FILES && !ferror(stdout));
    source->complete = source->complete && result != WATCH_FAILED;
}

static int score_all(score_job *job, score_source *source)
{
    folder_watch watch = {.fd = -1};

    if (source->watched && !watch_open(&watch, source->watched))
        return EXIT_FAILED;
    job->column = path_column(&source->images);
    if (job->format == SCORE_CSV)
        puts("path,score,p_value,threshold,anomalous,views,false_alarm_rate,lower_bound,index,log_score,warnings");
    flush_output();
    if (source->watched && !job->quiet)
        complain("watching %s; Ctrl-C ends", source->watched);
    score_images(job, &source->images);
    if (source->from_input)
        score_input(job, source);
    if (source->watched && !ferror(stdout))
        score_new_files(job, source, &watch);
    watch_close(&watch);
    if (job->total == 0 && source->complete && !source->watched && !ferror(stdout)) {
        complain("no images given");
        return EXIT_FAILED;
    }
    if (job->failed > 0 && job->total > 1)
        complain("%zu of %zu images could not be scored", job->failed, job->total);
    bool failed = job->failed > 0 || !source->complete;
    return finish_output(failed ? EXIT_FAILED : job->anomalous > 0 ? EXIT_ANOMALOUS : 0);
}

/* Tells once what the model cannot promise. */
static void announce_rate(const dn_model *model, double false_alarm_rate, double threshold)
{
    int32_t count;

    dn_model_holdout_scores(model, &count);
    if (!isnan(threshold))
        return;
    if (count == 0)
        complain("the model holds no scores of good images: scores only, no verdicts");
    else if (false_alarm_rate < 1.0 / (count + 1))
        complain("the model holds %d good scores: the smallest false-alarm rate it can promise is 1/%d = %.3g; "
                 "verdicts keep that one, not %g",
                 count, count + 1, 1.0 / (count + 1), false_alarm_rate);
}

static int score_with(const char *model_path, bool trusted, const dn_scorer_options *options, double threshold,
                      score_source *source, score_job *job)
{
    dn_error error;
    dn_model *model = open_model(model_path, trusted);

    if (!model)
        return EXIT_FAILED;
    job->model = model_info(model);
    dn_status status = dn_scorer_create(model, options, &job->scorer, &error);
    if (status != DN_OK) {
        complain_refused(model_path, status, error.message);
        dn_model_unref(model);
        return EXIT_FAILED;
    }
    bool known = find_operating_point(model_path, model, job->point, &threshold);
    if (known)
        announce_rate(model, options->false_alarm_rate, threshold);
    bool ready = known && region_apply_scorer(&job->region, job->scorer) && apply_threshold(job->scorer, threshold) &&
                 line_monitor_begin(&job->line, model_path, model);
    int code = ready ? score_all(job, source) : EXIT_FAILED;
    line_monitor_end(&job->line, job->quiet);
    dn_scorer_free(job->scorer);
    dn_model_unref(model);
    return code;
}

static bool names_input(char **operands)
{
    while (*operands && strcmp(*operands, "-") != 0)
        operands++;
    return *operands != NULL;
}

/* Lists the operands behind the model; "-" stands for standard input. */
static void list_operands(score_source *source, char **operands, int count)
{
    source->complete = true;
    for (int i = 0; i < count; i++) {
        if (strcmp(operands[i], "-") == 0)
            source->from_input = true;
        else
            source->complete = list_operand(operands[i], &source->images) && source->complete;
    }
}

static int run_score(const command_verb *verb, int argc, char **argv)
{
    bool as_json = false, as_csv = false, trusted = false;
    double threshold = (double)NAN;
    score_job job = {0};
    score_source source = {0};
    dn_scorer_options scoring;
    dn_scorer_options_init(&scoring);
    dn_monitor_options_init(&job.line.options);
    scoring.threads = usable_processors();
    const command_option options[] = {
        {"views", 0, OPTION_INTEGER, &scoring.views, 0, 0, "N", "rotated views per image; default: the model's"},
        VERDICT_OPTIONS(&scoring.false_alarm_rate, &threshold, &job.point),
        {"decide", 0, OPTION_FLAG, &job.decide, 0, 0, NULL,
         "be done with an image once it is certainly anomalous:\nthe same verdicts, scores that are lower bounds"},
        REGION_OPTIONS(&job.region),
        STRICT_OPTION(&job.strict),
        {"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON object per image and line"},
        {"csv", 0, OPTION_FLAG, &as_csv, 0, 0, NULL, "comma-separated values with a header"},
        {"null", '0', OPTION_FLAG, &source.zeros, 0, 0, NULL, "paths on standard input are NUL-separated"},
        {"watch", 0, OPTION_TEXT, &source.watched, 0, 0, "DIR",
         "then score each new image in DIR once it is complete,\nuntil Ctrl-C"},
        {"monitor", 0, OPTION_FLAG, &job.line.wanted, 0, 0, NULL,
         "tell when the p-values are not those of good images\nany more: the line has changed"},
        {"between-alarms", 0, OPTION_REAL, &job.line.options.images_between_alarms, 0, 0, "N",
         "of --monitor, where nothing changes: images in the\nmean, at least; default {}"},
        {"no-verify", 0, OPTION_FLAG, &trusted, 0, 0, NULL,
         "trust the model: skip its checksum, which takes as\nlong as reading the file"},
        MAX_PIXELS_OPTION(&scoring.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &scoring.threads, 0, 0, "N", "default: usable processors: {}"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "results, errors and warnings only"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first < (source.watched ? 1 : 2))
        return wrong_operands(verb, argc == first ? "no model given" : "no images given");
    if (job.decide && job.line.wanted)
        return wrong_operands(verb, "--decide and --monitor exclude each other: an early verdict has no exact p-value");
    if (option_given("between-alarms") && !job.line.wanted)
        return wrong_operands(verb, "--between-alarms is of --monitor, which is missing");
    if (source.zeros && !names_input(argv + first + 1))
        return wrong_operands(verb, "--null is of the paths on standard input, but - is not given");
    if (as_json && as_csv)
        return wrong_operands(verb, "--json and --csv exclude each other");
    if (verdict_options_clash())
        return EXIT_FAILED;
    picture_set_limit(scoring.max_pixels); /* of pipes and masks; the scorer's own limit is that of files */
    list_operands(&source, argv + first + 1, argc - first - 1);
    job.format = as_json ? SCORE_JSON : as_csv ? SCORE_CSV : SCORE_TEXT;
    bool some = source.images.count > 0 || source.from_input || source.watched;
    code = EXIT_FAILED;
    if (some && region_open(&job.region))
        code = score_with(argv[first], trusted, &scoring, threshold, &source, &job);
    region_close(&job.region);
    image_list_free(&source.images);
    return code;
}

const command_verb verb_score = {
    .name = "score",
    .operands = "MODEL IMAGE...|-|--watch DIR",
    .summary = "tell how anomalous images are",
    .description =
        "Prints for each image its index (0 to 1: 0.25 for a typical good image, 0.5 at the threshold), its\n"
        "score (about 1 for good ones; e^N: a large one by its logarithm), its p-value (the share of good\n"
        "images that score as high) and a verdict. A folder stands for all images in it, - for those whose paths\n"
        "come from standard input, one a line. Each result is printed as soon as it is known.\n"
        "In what an image is unlike all that the model learned from is told in brackets.\n\n"
        "exit code: 0 all images are normal (or the model gives no verdicts), 1 at least one is\n"
        "anomalous, 2 an error.\n",
    .examples = "  differnet score parts.dnm new/part1.png\n"
                "  differnet score parts.dnm new/ --fpr 0.01 --json\n"
                "  differnet score parts.dnm new/*.jpg --csv > scores.csv\n"
                "  find new -name '*.png' -print0 | differnet score parts.dnm - -0 --json\n"
                "  differnet score parts.dnm --watch /var/camera --monitor --json\n",
    .run = run_score,
};
