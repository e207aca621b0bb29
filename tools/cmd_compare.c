/* differnet compare: two models on the same images. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"
#include "processors.h"
#include "score_set.h"

/* One of the two models, and what it says. */
typedef struct side {
    const char *name, *path; /* "old" or "new" */
    dn_model_info info;
    dn_score *scores; /* (set->count) */
    set_figures figures;
} side;

typedef struct comparison {
    const char *data;
    bool as_json, quiet, labelled;
    dn_scorer_options scoring;
    test_set set;
    side sides[2];
    double rank_correlation, log_correlation;
    size_t changed;
} comparison;

/* ---- the figures ---- */

static bool score_side(const comparison *job, side *of)
{
    dn_scorer *scorer;
    dn_error error;
    char title[32];
    dn_model *model = open_model(of->path, false);

    if (!model)
        return false;
    of->info = model_info(model);
    dn_status status = dn_scorer_create(model, &job->scoring, &scorer, &error);
    dn_model_unref(model);
    if (status != DN_OK) {
        complain_refused(of->path, status, error.message);
        return false;
    }
    snprintf(title, sizeof title, "scoring, %s model", of->name);
    of->scores = need_memory(job->set.count, sizeof *of->scores);
    bool done = score_set(scorer, &job->set, title, job->quiet, of->scores);
    dn_scorer_free(scorer);
    if (!done)
        complain("no comparison: it would not be one of the whole set");
    else
        of->figures = score_figures(&job->set, of->scores);
    return done;
}

static bool is_changed(const comparison *job, size_t i)
{
    return job->sides[0].scores[i].anomalous != job->sides[1].scores[i].anomalous;
}

static void compare_scores(comparison *job)
{
    size_t count = job->set.count;
    double *values = need_memory(count, 2 * sizeof *values);

    for (size_t i = 0; i < count; i++) {
        for (int s = 0; s < 2; s++)
            values[(size_t)s * count + i] = log(fmax(job->sides[s].scores[i].score, 1e-30));
        job->changed += is_changed(job, i);
    }
    job->log_correlation = metrics_correlation(values, values + count, count);
    job->rank_correlation = metrics_rank_correlation(values, values + count, count);
    free(values);
}

/* ---- output ---- */

static const char *label_of(const comparison *job, size_t i)
{
    int32_t defect = job->set.images[i].defect;

    return !job->labelled ? NULL : defect < 0 ? "good" : job->set.defects[defect];
}

static void emit_anomalous(json_writer *json, int32_t anomalous)
{
    if (anomalous < 0)
        emit_none(json, "anomalous");
    else
        emit_bool(json, "anomalous", anomalous == 1);
}

static void write_side_json(json_writer *json, const comparison *job, const side *of)
{
    const dn_score *any = of->scores; /* the threshold is the same for all images */
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, of->info.id);
    emit_open_object(json, of->name);
    emit_text(json, "path", of->path);
    emit_text(json, "model_id", id);
    emit_integer(json, "views", any->views);
    emit_real(json, "auroc", of->figures.auroc);
    emit_real(json, "ap", of->figures.average_precision);
    emit_real(json, "f1_max", of->figures.f1);
    emit_real(json, "f1_threshold", of->figures.f1_threshold);
    emit_real(json, "false_alarm_rate", any->false_alarm_rate);
    emit_real(json, "threshold", any->threshold);
    emit_integer(json, "anomalous", (int64_t)of->figures.anomalous);
    if (job->labelled) {
        emit_integer(json, "false_alarms", (int64_t)of->figures.false_alarms);
        emit_integer(json, "missed", (int64_t)of->figures.missed);
    } else {
        emit_none(json, "false_alarms");
        emit_none(json, "missed");
    }
    emit_close_object(json);
}

static void write_changed_json(json_writer *json, const comparison *job, size_t i)
{
    const char *label = label_of(job, i);

    emit_open_object(json, NULL);
    emit_text(json, "path", job->set.images[i].path);
    if (label)
        emit_text(json, "label", label);
    else
        emit_none(json, "label");
    for (int s = 0; s < 2; s++) {
        const dn_score *score = &job->sides[s].scores[i];
        emit_open_object(json, job->sides[s].name);
        emit_real(json, "score", score->score);
        emit_real(json, "p_value", score->p_value);
        emit_anomalous(json, score->anomalous);
        emit_close_object(json);
    }
    emit_close_object(json);
}

static void write_json(const comparison *job)
{
    json_writer json = {stdout, false};

    emit_open_object(&json, NULL);
    emit_integer(&json, "images", (int64_t)job->set.count);
    if (job->labelled)
        emit_integer(&json, "good", (int64_t)job->set.good);
    else
        emit_none(&json, "good");
    for (int s = 0; s < 2; s++)
        write_side_json(&json, job, &job->sides[s]);
    emit_real(&json, "rank_correlation", job->rank_correlation);
    emit_real(&json, "log_correlation", job->log_correlation);
    emit_open_array(&json, "changed");
    for (size_t i = 0; i < job->set.count; i++) {
        if (is_changed(job, i))
            write_changed_json(&json, job, i);
    }
    emit_close_array(&json);
    emit_close_object(&json);
    putchar('\n');
}

static const char *verdict(int32_t anomalous)
{
    return anomalous < 0 ? "no verdict" : anomalous ? "ANOMALOUS" : "normal";
}

static void print_row(const char *title, double old, double new)
{
    printf("%-24s %10.4f %10.4f\n", title, old, new);
}

static void print_text(const comparison *job)
{
    const side *old = &job->sides[0], *new = &job->sides[1];

    for (int s = 0; s < 2; s++)
        printf("%-11s %s, id %08" PRIx32 "\n", job->sides[s].name, job->sides[s].path, job->sides[s].info.id);
    printf("images      %zu", job->set.count);
    if (job->labelled)
        printf(": %zu good, %zu defective", job->set.good, job->set.count - job->set.good);
    printf("\n\n%-24s %10s %10s\n", "", old->name, new->name);
    if (job->labelled) {
        print_row("AUROC", old->figures.auroc, new->figures.auroc);
        print_row("average precision", old->figures.average_precision, new->figures.average_precision);
        print_row("best F1", old->figures.f1, new->figures.f1);
    }
    print_row("threshold", old->scores->threshold, new->scores->threshold);
    print_row("false-alarm rate", old->scores->false_alarm_rate, new->scores->false_alarm_rate);
    printf("%-24s %10zu %10zu\n", "called anomalous", old->figures.anomalous, new->figures.anomalous);
    if (job->labelled) {
        printf("%-24s %10zu %10zu\n", "false alarms", old->figures.false_alarms, new->figures.false_alarms);
        printf("%-24s %10zu %10zu\n", "missed", old->figures.missed, new->figures.missed);
    }
    printf("\nscores      rank correlation %.4f, correlation of their logarithms %.4f\n", job->rank_correlation,
           job->log_correlation);
    printf("verdicts    %zu of %zu changed\n", job->changed, job->set.count);
    for (size_t i = 0; i < job->set.count; i++) {
        const char *label = label_of(job, i);
        if (is_changed(job, i))
            printf("%s%s%s%s: %s -> %s, score %.4g -> %.4g\n", job->set.images[i].path, label ? " (" : "",
                   label ? label : "", label ? ")" : "", verdict(old->scores[i].anomalous),
                   verdict(new->scores[i].anomalous), old->scores[i].score, new->scores[i].score);
    }
}

/* ---- the verb ---- */

static int compare(comparison *job)
{
    bool done = score_side(job, &job->sides[0]) && score_side(job, &job->sides[1]);

    if (done) {
        compare_scores(job);
        if (job->as_json)
            write_json(job);
        else
            print_text(job);
    }
    for (int s = 0; s < 2; s++)
        free(job->sides[s].scores);
    return finish_output(done ? 0 : EXIT_FAILED);
}

static int run_compare(const command_verb *verb, int argc, char **argv)
{
    comparison job = {0};
    dn_scorer_options_init(&job.scoring);
    job.scoring.threads = usable_processors();
    const command_option options[] = {
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object instead of text"},
        {"views", 0, OPTION_INTEGER, &job.scoring.views, 0, 0, "N", "rotated views per image; default: each model's"},
        {"fpr", 0, OPTION_REAL, &job.scoring.false_alarm_rate, 0, 0, "P",
         "false-alarm rate of the verdicts; default {}"},
        MAX_PIXELS_OPTION(&job.scoring.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.scoring.threads, 0, 0, "N", "default: usable processors: {}"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first != 3)
        return wrong_operands(verb, argc - first < 3 ? "two models and images are needed" : "too many arguments");
    job.sides[0] = (side){.name = "old", .path = argv[first]};
    job.sides[1] = (side){.name = "new", .path = argv[first + 1]};
    job.data = argv[first + 2];
    if (!open_any_set(job.data, job.quiet, &job.set, &job.labelled))
        return EXIT_FAILED;
    code = compare(&job);
    free_test_set(&job.set);
    return code;
}

const command_verb verb_compare = {
    .name = "compare",
    .operands = "OLD NEW DATA",
    .summary = "compare two models on the same images",
    .description = "Scores the images of DATA with both models and prints their figures beside each other, how far\n"
                   "their scores agree, and the images whose verdict changed. DATA is a data set in MVTec layout\n"
                   "(test/good, test/<defect>), or an image or folder of images of which nobody says what they are:\n"
                   "then there is no AUROC.\n\n"
                   "exit code: 0 done, 2 an error.\n",
    .examples = "  differnet compare parts.dnm retrained.dnm parts\n"
                "  differnet compare parts.dnm retrained.dnm today/ --json\n",
    .run = run_compare,
};
