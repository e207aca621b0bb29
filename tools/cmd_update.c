/* differnet update: a model of the same kind that has learned from more good images. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "processors.h"
#include "score_set.h"
#include "train_run.h"

enum { BEFORE, AFTER, TIMES };

typedef struct update_job {
    const char *model_path, *old_data, *output, *group_by;
    bool accept_unlike, as_json, quiet, resume, recursive;
    double rate;
    int64_t max_pixels;
    int32_t threads;

    test_set images; /* old ones first */
    size_t old_count;
    dn_model_info info[TIMES];
    dn_score *scores[TIMES]; /* (images.count) */
    trained_model trained;
} update_job;

/* ---- images ---- */

/* Appends the images of an operand: of a folder those that train would take.  Complains on failure. */
static bool list_new(const update_job *job, const char *path, image_list *list)
{
    image_list found = {0};

    if (!is_folder(path))
        return list_operand(path, list);
    bool listed = list_training_images(path, job->recursive, job->quiet, &found);
    for (size_t i = 0; i < found.count; i++)
        image_list_add(list, found.paths[i]);
    free(found.paths); /* the paths themselves belong to `list` now */
    return listed;
}

/* old: what the model learned from.  Complains on failure. */
static bool list_all(update_job *job, char **operands, int count)
{
    image_list list = {0};
    bool listed = list_training_images(job->old_data, job->recursive, job->quiet, &list);

    job->old_count = list.count;
    for (int i = 0; i < count && listed; i++)
        listed = list_new(job, operands[i], &list);
    if (listed)
        job->images = unlabelled_set(&list);
    image_list_free(&list);
    return listed;
}

static void tell_old(const update_job *job)
{
    const dn_model_info *info = &job->info[BEFORE];
    int32_t learned = info->train_images;

    if (job->old_count < (size_t)learned)
        complain("WARNING: %s holds %zu images, but %s learned from %d: what is missing is forgotten", job->old_data,
                 job->old_count, job->model_path, learned);
}

/* New images that are unlike those learned from: false unless that is accepted. */
static bool check_new(const update_job *job)
{
    size_t unlike = 0;

    for (size_t i = job->old_count; i < job->images.count; i++) {
        uint32_t warnings = job->scores[BEFORE][i].warnings;
        if (warnings == 0)
            continue;
        char *texts = warning_texts(warnings, "; ");
        complain("%s: unlike those learned from: %s", job->images.images[i].path, texts);
        free(texts);
        unlike++;
    }
    if (unlike == 0 || job->accept_unlike)
        return true;
    complain(
        "%zu of %zu new images are of another kind: leave them out, or say with --accept-unlike that the model shall "
        "learn them, too",
        unlike, job->images.count - job->old_count);
    return false;
}

/* ---- scores ---- */

static bool score_all(update_job *job, int when, const char *path, dn_model *model)
{
    dn_scorer_options options;
    dn_scorer *scorer;
    dn_error error;

    dn_scorer_options_init(&options);
    options.threads = job->threads;
    options.max_pixels = job->max_pixels;
    options.false_alarm_rate = job->rate;
    dn_status status = dn_scorer_create(model, &options, &scorer, &error);
    if (status != DN_OK) {
        complain_refused(path, status, error.message);
        return false;
    }
    job->info[when] = model_info(model);
    job->scores[when] = need_memory(job->images.count, sizeof *job->scores[when]);
    bool done = score_set(scorer, &job->images, when == BEFORE ? "scoring, old model" : "scoring, new model",
                          job->quiet, job->scores[when]);
    dn_scorer_free(scorer);
    return done;
}

/* What a model says of the images first .. end - 1. */
typedef struct said {
    size_t anomalous;
    double median; /* of the scores */
} said;

static int compare_reals(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

static said what_is_said(const dn_score *scores, size_t first, size_t end)
{
    size_t count = end - first;
    double *sorted = need_memory(count, sizeof *sorted);
    said of = {0, (double)NAN};

    for (size_t i = 0; i < count; i++) {
        sorted[i] = scores[first + i].score;
        of.anomalous += scores[first + i].anomalous == 1;
    }
    qsort(sorted, count, sizeof *sorted, compare_reals);
    if (count > 0)
        of.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free(sorted);
    return of;
}

/* An old image that was normal before and is not now. */
static bool is_forgotten(const update_job *job, size_t i)
{
    return i < job->old_count && job->scores[BEFORE][i].anomalous == 0 && job->scores[AFTER][i].anomalous == 1;
}

/* ---- output ---- */

static void emit_said(json_writer *json, const char *key, const update_job *job, size_t first, size_t end)
{
    said before = what_is_said(job->scores[BEFORE], first, end), after = what_is_said(job->scores[AFTER], first, end);

    emit_open_object(json, key);
    emit_integer(json, "images", (int64_t)(end - first));
    emit_integer(json, "anomalous_before", (int64_t)before.anomalous);
    emit_integer(json, "anomalous", (int64_t)after.anomalous);
    emit_real(json, "median_before", before.median);
    emit_real(json, "median", after.median);
    emit_close_object(json);
}

static void write_json(const update_job *job)
{
    json_writer json = {stdout, false};
    const dn_model_info *before = &job->info[BEFORE];
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, before->id);
    emit_open_object(&json, NULL);
    emit_trained(&json, job->output, &job->trained);
    emit_real(&json, "threshold", job->scores[AFTER][0].threshold);
    emit_open_object(&json, "before");
    emit_text(&json, "model", job->model_path);
    emit_text(&json, "model_id", id);
    emit_integer(&json, "train_images", before->train_images);
    emit_integer(&json, "holdout_images", before->holdout_images);
    emit_real(&json, "threshold", job->scores[BEFORE][0].threshold);
    emit_close_object(&json);
    emit_said(&json, "new_images", job, job->old_count, job->images.count);
    emit_said(&json, "old_images", job, 0, job->old_count);
    emit_open_array(&json, "forgotten");
    for (size_t i = 0; i < job->old_count; i++) {
        if (is_forgotten(job, i))
            emit_text(&json, NULL, job->images.images[i].path);
    }
    emit_close_array(&json);
    emit_close_object(&json);
    putchar('\n');
}

static void print_said(const char *title, const update_job *job, size_t first, size_t end)
{
    said before = what_is_said(job->scores[BEFORE], first, end), after = what_is_said(job->scores[AFTER], first, end);
    char old[SCORE_SIZE], new[SCORE_SIZE];

    printf("%s  %zu: called anomalous %zu -> %zu, median score %s -> %s\n", title, end - first, before.anomalous,
           after.anomalous, score_text(old, before.median), score_text(new, after.median));
}

static void print_text(const update_job *job)
{
    const dn_model_info *before = &job->info[BEFORE], *after = &job->info[AFTER];
    char old[SCORE_SIZE], new[SCORE_SIZE];

    printf("learned from  %d -> %d images, %d -> %d good scores for verdicts\n", before->train_images,
           after->train_images, before->holdout_images, after->holdout_images);
    if (!isnan(job->scores[BEFORE][0].threshold) && !isnan(job->scores[AFTER][0].threshold))
        printf("threshold     %s -> %s\n", score_text(old, job->scores[BEFORE][0].threshold),
               score_text(new, job->scores[AFTER][0].threshold));
    print_said("new images  ", job, job->old_count, job->images.count);
    print_said("old images  ", job, 0, job->old_count);
    for (size_t i = 0; i < job->old_count; i++) {
        if (is_forgotten(job, i))
            printf("%s: normal -> ANOMALOUS\n", job->images.images[i].path);
    }
}

/* ---- the verb ---- */

/* What the new model is trained with: what the old one tells. */
static bool make_training(const update_job *job, const dn_model *model, const image_list *listed, train_job *training)
{
    int32_t parts = find_name("group-by", part_rule_names, "folder, prefix and none", job->group_by);

    *training = (train_job){.data = job->old_data,
                            .output = job->output,
                            .like = model,
                            .listed = listed,
                            .quiet = job->quiet,
                            .as_json = job->as_json,
                            .half = job->info[BEFORE].storage == DN_STORAGE_F16};
    if (parts < 0)
        return false;
    training->parts = (enum part_rule)parts;
    dn_train_options_init(&training->training);
    if (dn_train_options_of_model(&training->training, model) != DN_OK) {
        complain("%s: the options that it was trained with cannot be told", job->model_path);
        return false;
    }
    training->training.threads = job->threads;
    training->training.max_pixels = job->max_pixels;
    training->training.resume = job->resume;
    return true;
}

static bool train_new(update_job *job, const dn_model *model)
{
    image_list listed = {need_memory(job->images.count, sizeof *listed.paths), job->images.count, job->images.count};
    train_job training;

    for (size_t i = 0; i < listed.count; i++)
        listed.paths[i] = job->images.images[i].path;
    bool done = make_training(job, model, &listed, &training) && train_run(&training, &job->trained) == TRAIN_DONE;
    if (done)
        report_trained(&training, &job->trained);
    free(listed.paths);
    return done;
}

static bool tell_change(update_job *job)
{
    dn_model *made = open_model(job->output, true);

    if (!made)
        return false;
    bool done = score_all(job, AFTER, job->output, made);
    dn_model_unref(made);
    if (!done)
        complain("%s is made, but what has changed is not known", job->output);
    else if (job->as_json)
        write_json(job);
    else if (!job->quiet)
        print_text(job);
    return done;
}

static int update(update_job *job)
{
    dn_model *model = open_model(job->model_path, false);

    if (!model)
        return EXIT_FAILED;
    bool done = score_all(job, BEFORE, job->model_path, model);
    if (done)
        tell_old(job);
    done = done && check_new(job) && train_new(job, model) && tell_change(job);
    if (done && dn_model_operating_point(model, 0, NULL))
        complain("the operating points of %s are thresholds of its scores and are left out: choose them anew with "
                 "differnet calibrate",
                 job->model_path);
    dn_model_unref(model);
    for (int when = BEFORE; when < TIMES; when++)
        free(job->scores[when]);
    return finish_output(done ? 0 : EXIT_FAILED);
}

static int run_update(const command_verb *verb, int argc, char **argv)
{
    update_job job = {0};
    dn_scorer_options defaults;
    dn_scorer_options_init(&defaults);
    job.rate = defaults.false_alarm_rate;
    job.max_pixels = defaults.max_pixels;
    job.threads = usable_processors();
    const command_option options[] = {
        {"output", 'o', OPTION_TEXT, &job.output, 0, 0, "NEW", "file to write the new model to (required)"},
        {"old", 0, OPTION_TEXT, &job.old_data, 0, 0, "DATA",
         "the images that MODEL learned from, as train takes\nthem (required): a model does not hold them"},
        {"recursive", 0, OPTION_FLAG, &job.recursive, 0, 0, NULL,
         "all images below DATA and folders of NEW_GOOD, as in\ntrain"},
        {"group-by", 0, OPTION_TEXT, &job.group_by, 0, 0, "RULE",
         "images that show one part, as in train: folder,\nprefix or none, the default"},
        {"accept-unlike", 0, OPTION_FLAG, &job.accept_unlike, 0, 0, NULL,
         "learn new images that are unlike those learned from,\ntoo: in light, size, colour, sharpness"},
        {"fpr", 0, OPTION_REAL, &job.rate, 0, 0, "P", "false-alarm rate of the verdicts that are told;\ndefault {}"},
        MAX_PIXELS_OPTION(&job.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.threads, 0, 0, "N", "default: usable processors: {}"},
        {"resume", 0, OPTION_FLAG, &job.resume, 0, 0, NULL, "go on where an interrupted run stopped (NEW.ckpt)"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object at the end"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first < 2)
        return wrong_operands(verb, argc == first ? "no model given" : "no new images given");
    if (!job.output)
        return wrong_operands(verb, "-o NEW is missing");
    if (!job.old_data)
        return wrong_operands(verb, "--old DATA is missing, the images that the model learned from: it does not hold "
                                    "them, and would forget them");
    signal(SIGPIPE, SIG_IGN); /* as in train */
    job.model_path = argv[first];
    code = EXIT_FAILED;
    if (check_train_output(job.output) && list_all(&job, argv + first + 1, argc - first - 1))
        code = update(&job);
    free_test_set(&job.images);
    return code;
}

const command_verb verb_update = {
    .name = "update",
    .operands = "MODEL NEW_GOOD... --old DATA -o NEW",
    .summary = "learn further good images",
    .description =
        "Makes a new model that has learned from new good images (files, or folders as train takes them) as well\n"
        "as from those that MODEL learned from, with MODEL's backbone, mask, notes and options: the same as\n"
        "training on all of them. It is calibrated anew. Then it tells what has changed: how both models judge\n"
        "the new images and the old ones, and old images that were normal and are not any more. New images\n"
        "unlike those learned from are an error, unless --accept-unlike. MODEL stays as it is, unless NEW is\n"
        "MODEL.\n\n"
        "exit code: 0 done, 2 an error or interrupted.\n",
    .examples = "  differnet update parts.dnm monday/good --old parts -o parts2.dnm\n"
                "  differnet update parts.dnm monday/good tuesday/good --old parts -o parts.dnm --json\n",
    .run = run_update,
};
