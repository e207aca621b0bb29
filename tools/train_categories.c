#include "train_categories.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "output.h"

enum category_state { WAITING, TRAINED, THERE, FAILED };
static const char *const state_names[] = {"not begun", "trained", "there already", "failed"};

typedef struct category {
    const char *name;
    char *data, *output;
    enum category_state state;
    trained_model trained; /* TRAINED; THERE: but for `seconds`, which is NaN */
} category;

static bool names_folder(const char *path)
{
    size_t length = strlen(path);

    return (length > 0 && path[length - 1] == '/') || is_folder(path);
}

bool find_categories(const train_job *job, image_list *names)
{
    return !job->recursive &&
           list_categories(job->data, FOLDER_TRAIN, names_folder(job->output) ? 1 : 2, job->quiet, names);
}

/* ---- models that the run is to replace ---- */

/* A run writes down which models are older than itself, for --resume not to take them for its own. */
#define OUTDATED_NAME "outdated-models.txt"

/* Complains and returns false if the list is there and cannot be read. */
static bool read_outdated(const char *path, image_list *names)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;

    if (!file && errno == ENOENT)
        return true;
    while (file && (length = getline(&line, &capacity, file)) > 0)
        image_list_add(names, need_text("%.*s", (int)(length - (line[length - 1] == '\n')), line));
    bool read = file && !ferror(file);
    if (!read)
        complain("%s: cannot read: %s", path, strerror(errno));
    free(line);
    if (file)
        fclose(file);
    return read;
}

static bool write_outdated(const char *path, const image_list *names)
{
    char *text = need_text("%s", "");

    for (size_t i = 0; i < names->count; i++) {
        char *longer = need_text("%s%s\n", text, names->paths[i]);
        free(text);
        text = longer;
    }
    bool written = names->count > 0 ? write_whole_file(path, text, strlen(text)) : unlink(path) == 0;
    if (!written && names->count == 0)
        complain("%s: cannot remove: %s", path, strerror(errno));
    free(text);
    return written;
}

static bool is_listed(const image_list *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->paths[i], name) == 0)
            return true;
    }
    return false;
}

/* Takes a name off the list, which is read anew: a run of other data sets may have the same folder.  Complains and returns
 * false on failure. */
static bool forget_outdated(const char *path, const char *name)
{
    image_list names = {0};
    bool good = read_outdated(path, &names);
    size_t kept = 0, count = names.count;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(names.paths[i], name) == 0)
            free(names.paths[i]);
        else
            names.paths[kept++] = names.paths[i];
    }
    names.count = kept;
    good = good && (kept == count || write_outdated(path, &names));
    image_list_free(&names);
    return good;
}

static bool is_outdated(const char *path, const char *name)
{
    image_list names = {0};
    bool outdated = read_outdated(path, &names) && is_listed(&names, name);

    image_list_free(&names);
    return outdated;
}

/* Adds the data sets that have a model already.  Complains and returns false on failure. */
static bool list_outdated(const char *path, const category *all, size_t count)
{
    image_list names = {0};
    struct stat status;

    remove_stale_output(path);
    bool good = read_outdated(path, &names);
    size_t before = names.count;
    for (size_t i = 0; i < count; i++) {
        if (stat(all[i].output, &status) == 0 && !is_listed(&names, all[i].name))
            image_list_add(&names, need_text("%s", all[i].name));
    }
    good = good && (names.count == before || write_outdated(path, &names));
    image_list_free(&names);
    return good;
}

/* ---- the run ---- */

/* Whether the category's model was made by an earlier run, which is not to be gone on with. */
static bool is_there(category *of)
{
    char *checkpoint = need_text("%s.ckpt", of->output);
    struct stat status, unused;
    bool finished = stat(of->output, &status) == 0 && stat(checkpoint, &unused) != 0;
    dn_model *model = finished ? open_model(of->output, true) : NULL;

    free(checkpoint);
    if (!model)
        return false;
    of->trained = (trained_model){model_info(model), (int64_t)status.st_size, (double)NAN};
    dn_model_unref(model);
    return true;
}

/* False: nothing would come of the others either. */
static bool train_category(const train_job *job, const char *outdated, category *of)
{
    train_job one = *job;
    enum train_outcome outcome;

    one.data = of->data;
    one.output = of->output;
    bool is_old = job->training.resume && is_outdated(outdated, of->name);
    if (is_old && !job->quiet)
        complain("%s: older than the run that was interrupted (" OUTDATED_NAME "): made anew", of->output);
    if (job->training.resume && !is_old && is_there(of)) {
        of->state = THERE;
        if (!job->quiet)
            complain("%s: there already, left alone (without --resume it would be made anew)", of->output);
        return true;
    }
    outcome = train_run(&one, &of->trained);
    of->state = outcome == TRAIN_DONE ? TRAINED : FAILED;
    if (outcome == TRAIN_DONE) {
        forget_outdated(outdated, of->name);
        report_trained(&one, &of->trained);
    }
    return outcome != TRAIN_REFUSED && !was_interrupted();
}

/* ---- output ---- */

static size_t count_state(const category *all, size_t count, enum category_state state)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += all[i].state == state;
    return found;
}

static void print_table(const category *all, size_t count)
{
    printf("\n%-24s %7s %12s %11s %8s %8s\n", "category", "images", "good scores", "least rate", "MB", "seconds");
    for (size_t i = 0; i < count; i++) {
        const trained_model *trained = &all[i].trained;
        if (all[i].state == FAILED || all[i].state == WAITING) {
            printf("%-24s %s\n", all[i].name, state_names[all[i].state]);
            continue;
        }
        printf("%-24s %7d %12d ", all[i].name, trained->info.train_images, trained->info.holdout_images);
        if (trained->info.holdout_images > 0)
            printf("%9.2g %% ", 100 * smallest_rate(&trained->info));
        else
            printf("%11s ", "-");
        printf("%8.1f ", 1e-6 * (double)trained->bytes);
        if (all[i].state == TRAINED)
            printf("%8.0f\n", trained->seconds);
        else
            printf("%8s\n", "there");
    }
}

static void write_json(const train_job *job, const category *all, size_t count, double seconds)
{
    json_writer json = {stdout, false};

    emit_open_object(&json, NULL);
    emit_text(&json, "folder", job->output);
    emit_open_array(&json, "categories");
    for (size_t i = 0; i < count; i++) {
        emit_open_object(&json, NULL);
        emit_text(&json, "category", all[i].name);
        emit_text(&json, "state", state_names[all[i].state]);
        if (all[i].state == TRAINED || all[i].state == THERE)
            emit_trained(&json, all[i].output, &all[i].trained);
        emit_close_object(&json);
    }
    emit_close_array(&json);
    emit_integer(&json, "trained", (int64_t)count_state(all, count, TRAINED));
    emit_integer(&json, "there", (int64_t)count_state(all, count, THERE));
    emit_integer(&json, "failed", (int64_t)count_state(all, count, FAILED));
    emit_integer(&json, "not_begun", (int64_t)count_state(all, count, WAITING));
    emit_real(&json, "seconds", seconds);
    emit_close_object(&json);
    putchar('\n');
}

/* Names what there is no model of.  False if there is any. */
static bool all_done(const category *all, size_t count)
{
    size_t missing = count_state(all, count, FAILED) + count_state(all, count, WAITING);

    if (missing == 0)
        return true;
    complain("%zu of %zu categories were not trained; the same command with --resume does these alone:", missing,
             count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].state == FAILED || all[i].state == WAITING)
            complain("  %s: %s", all[i].name, state_names[all[i].state]);
    }
    return false;
}

/* ---- the whole ---- */

static bool check_folder(const train_job *job, const image_list *names)
{
    const char *end = strrchr(job->output, '.');
    struct stat status;

    if (end && strcmp(end, ".dnm") == 0 && stat(job->output, &status) != 0) {
        complain("%s holds %zu data sets (%s, %s%s), a model for each: -o DIR must name a folder for them. Name one "
                 "data set for a model of it, or learn all in one with --recursive",
                 job->data, names->count, names->paths[0], names->paths[1], names->count > 2 ? ", ..." : "");
        return false;
    }
    return make_folder(job->output);
}

static category *prepare(const train_job *job, const image_list *names)
{
    category *all = need_memory(names->count, sizeof *all);
    size_t length = strlen(job->output);
    const char *between = length > 0 && job->output[length - 1] == '/' ? "" : "/";

    for (size_t i = 0; i < names->count; i++) {
        all[i].name = names->paths[i];
        all[i].data = need_text("%s/%s", job->data, all[i].name);
        all[i].output = need_text("%s%s%s.dnm", job->output, between, all[i].name);
    }
    return all;
}

static bool check_outputs(const category *all, size_t count)
{
    bool good = true;

    for (size_t i = 0; i < count; i++)
        good = check_train_output(all[i].output) && good;
    return good;
}

static int run_all(const train_job *job, const char *outdated, category *all, size_t count)
{
    double began = seconds_now();
    bool go_on = true;

    for (size_t i = 0; i < count && go_on; i++) {
        if (!job->quiet)
            complain("category %zu of %zu: %s", i + 1, count, all[i].name);
        go_on = train_category(job, outdated, &all[i]);
    }
    if (job->as_json)
        write_json(job, all, count, seconds_now() - began);
    else if (!job->quiet)
        print_table(all, count);
    return finish_output(all_done(all, count) ? 0 : EXIT_FAILED);
}

int train_categories(const train_job *job, const image_list *names)
{
    int code = EXIT_FAILED;

    if (!check_folder(job, names))
        return EXIT_FAILED;
    category *all = prepare(job, names);
    char *outdated = need_text("%s/" OUTDATED_NAME, job->output);
    if (check_outputs(all, names->count) && (job->training.resume || list_outdated(outdated, all, names->count)))
        code = run_all(job, outdated, all, names->count);
    free(outdated);
    for (size_t i = 0; i < names->count; i++) {
        free(all[i].data);
        free(all[i].output);
    }
    free(all);
    return code;
}
