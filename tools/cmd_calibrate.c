/* differnet calibrate: other verdicts for a model, without training. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"
#include "layout.h"
#include "operating_points.h"
#include "output.h"
#include "processors.h"
#include "progress.h"
#include "score_set.h"

typedef struct calibrate_job {
    const char *model_path, *output, *data;
    image_list good;
    dn_calibrator_options options;
    double max_misses;
    text_list points, notes; /* NAME=T, KEY=VALUE */
    bool keep, accept, as_json, quiet;

    dn_model_info before;
    dn_calibrator *calibrator;
    dn_calibrator_info info;
    int32_t *suspects; /* (info.suspects): numbers among `good` */
    operating_point chosen[POINT_CHOICES];
    bool has_chosen;
    size_t test_good, test_defective;
} calibrate_job;

/* ---- good images ---- */

/* Names every image that cannot be read; false if there is one. */
static bool add_good_images(calibrate_job *job)
{
    progress_bar bar;
    size_t failed = 0, count = job->good.count;

    if (count == 0)
        return true;
    progress_begin(&bar, job->quiet, "scoring good images", "images", 0);
    for (size_t i = 0; i < count; i++) {
        const char *path = job->good.paths[i];
        dn_status status = dn_calibrator_add_path(job->calibrator, path, NULL);
        if (status != DN_OK)
            complain_status(path, status, dn_calibrator_error(job->calibrator)->message);
        failed += status != DN_OK;
        progress_update(&bar, (int64_t)i + 1, (int64_t)count, NULL);
    }
    progress_end(&bar, (int64_t)count, (int64_t)count, NULL);
    if (failed > 0)
        complain("%zu of %zu images cannot be used; repair or remove them", failed, count);
    return failed == 0;
}

/* Tells what the good images look like beside those that the model holds; false if some look like defects. */
static bool look_at_images(calibrate_job *job)
{
    dn_calibrator_info *info = &job->info;

    job->suspects = need_memory(job->good.count, sizeof *job->suspects);
    dn_calibrator_info_init(info);
    if (dn_calibrator_get_info(job->calibrator, info, job->suspects, (int32_t)job->good.count) != DN_OK) {
        complain("%s", dn_calibrator_error(job->calibrator)->message);
        return false;
    }
    if (info->counted < info->added)
        complain("%d of %d images repeat another one and are counted once", info->added - info->counted, info->added);
    if (info->moved == 1)
        complain("warning: most of these images score higher than all good ones that the model holds: camera, light or "
                 "parts have changed, or they are not good");
    for (int32_t i = 0; i < info->suspects; i++)
        complain("%s: scores like a defect (above %.4g)", job->good.paths[job->suspects[i]], info->limit);
    if (info->suspects > 0 && !job->accept)
        complain("%d of %d images said to be good score like defects: look at them, and leave them out, or say with "
                 "--accept that they are good",
                 info->suspects, info->counted);
    return info->suspects == 0 || job->accept;
}

/* ---- operating points ---- */

static bool set_point(const calibrate_job *job, const char *name, double threshold)
{
    if (dn_calibrator_set_point(job->calibrator, name, threshold) == DN_OK)
        return true;
    complain("%s", dn_calibrator_error(job->calibrator)->message);
    return false;
}

static bool set_given_points(const calibrate_job *job)
{
    for (size_t i = 0; i < job->points.count; i++) {
        const char *text = job->points.texts[i], *equals = strchr(text, '=');
        char *end = NULL, *name = need_text("%.*s", equals ? (int)(equals - text) : 0, text);
        double threshold = equals ? strtod(equals + 1, &end) : 0;
        bool read = equals && end != equals + 1 && *end == '\0';
        if (!read)
            complain("--point: '%s' is not NAME=THRESHOLD", text);
        bool done = read && set_point(job, name, threshold);
        free(name);
        if (!done)
            return false;
    }
    for (size_t i = 0; i < job->notes.count; i++) {
        const char *note = job->notes.texts[i], *equals = strchr(note, '=');
        char *key = need_text("%.*s", equals ? (int)(equals - note) : 0, note);
        dn_status status = equals ? dn_calibrator_note(job->calibrator, key, equals + 1) : DN_E_ARGUMENT;
        free(key);
        if (status != DN_OK) {
            complain("--note: %s", equals ? dn_calibrator_error(job->calibrator)->message : "KEY=VALUE is wanted");
            return false;
        }
    }
    return true;
}

static bool choose_from(calibrate_job *job, const test_set *set, const dn_score *scores)
{
    ranked_score *ranking = need_memory(set->count, sizeof *ranking);

    for (size_t i = 0; i < set->count; i++)
        ranking[i] = (ranked_score){scores[i].score, set->images[i].defect >= 0};
    metrics_rank(ranking, set->count);
    choose_points(ranking, set->count, job->max_misses, job->chosen);
    free(ranking);
    job->has_chosen = true;
    job->test_good = set->good;
    job->test_defective = set->count - set->good;
    for (int i = 0; i < POINT_CHOICES; i++) {
        if (!set_point(job, job->chosen[i].name, job->chosen[i].threshold))
            return false;
    }
    return true;
}

/* Thresholds from images of which it is known which are defective. */
static bool choose_from_data(calibrate_job *job, dn_model *model)
{
    dn_scorer_options scoring;
    dn_scorer *scorer;
    dn_error error;
    test_set set;

    if (!job->data)
        return true;
    dn_scorer_options_init(&scoring);
    scoring.threads = job->options.threads;
    scoring.max_pixels = job->options.max_pixels;
    dn_status status = dn_scorer_create(model, &scoring, &scorer, &error);
    if (status != DN_OK) {
        complain_refused(job->model_path, status, error.message);
        return false;
    }
    bool done = open_test_set(job->data, false, job->quiet, &set);
    if (done) {
        dn_score *scores = need_memory(set.count, sizeof *scores);
        done = set.good > 0 && score_set(scorer, &set, "scoring labelled images", job->quiet, scores) &&
               choose_from(job, &set, scores);
        free(scores);
        free_test_set(&set);
    }
    dn_scorer_free(scorer);
    return done;
}

/* ---- output ---- */

static void write_json(const calibrate_job *job, const dn_model *made)
{
    json_writer json = {stdout, false};
    char id[16];
    double threshold;
    const char *name;

    snprintf(id, sizeof id, "%08" PRIx32, model_info(made).id);
    emit_open_object(&json, NULL);
    emit_text(&json, "model", job->output);
    emit_text(&json, "model_id", id);
    emit_integer(&json, "images", job->info.added);
    emit_integer(&json, "counted", job->info.counted);
    emit_integer(&json, "good_scores", job->info.good_scores);
    emit_bool(&json, "moved", job->info.moved == 1);
    emit_open_array(&json, "suspects");
    for (int32_t i = 0; i < job->info.suspects; i++)
        emit_text(&json, NULL, job->good.paths[job->suspects[i]]);
    emit_close_array(&json);
    emit_open_object(&json, "operating_points");
    for (int32_t i = 0; (name = dn_model_operating_point(made, i, &threshold)); i++)
        emit_real(&json, name, threshold);
    emit_close_object(&json);
    emit_open_object(&json, "chosen");
    for (int i = 0; i < POINT_CHOICES && job->has_chosen; i++) {
        emit_open_object(&json, job->chosen[i].name);
        emit_real(&json, "threshold", job->chosen[i].threshold);
        emit_real(&json, "f1", job->chosen[i].f1);
        emit_real(&json, "balanced_accuracy", job->chosen[i].balanced_accuracy);
        emit_integer(&json, "false_alarms", (int64_t)job->chosen[i].false_alarms);
        emit_integer(&json, "missed", (int64_t)job->chosen[i].missed);
        emit_close_object(&json);
    }
    emit_close_object(&json);
    emit_close_object(&json);
    putchar('\n');
}

static void print_text(const calibrate_job *job, const dn_model *made)
{
    double threshold;
    const char *name;

    printf("%s: %d good scores for verdicts (before: %d)", job->output, job->info.good_scores,
           job->before.holdout_images);
    if (job->info.good_scores > 0)
        printf("; the smallest false-alarm rate it can promise is 1/%d = %.3g", job->info.good_scores + 1,
               1.0 / (job->info.good_scores + 1));
    putchar('\n');
    for (int32_t i = 0; (name = dn_model_operating_point(made, i, &threshold)); i++)
        printf("operating point %-16s score above %.6g\n", name, threshold);
    for (int i = 0; i < POINT_CHOICES && job->has_chosen; i++)
        printf(
            "%-16s on the images it was chosen on: %zu of %zu good ones called anomalous, %zu of %zu defects missed\n",
            job->chosen[i].name, job->chosen[i].false_alarms, job->test_good, job->chosen[i].missed,
            job->test_defective);
}

/* ---- the verb ---- */

static bool save(const calibrate_job *job)
{
    dn_model *made;
    dn_error error;

    if (dn_calibrator_model(job->calibrator, &made) != DN_OK) {
        complain("%s", dn_calibrator_error(job->calibrator)->message);
        return false;
    }
    dn_status status = dn_model_save(made, job->output, job->before.storage, &error);
    if (status != DN_OK)
        complain_status(job->output, status, error.message);
    else if (job->as_json)
        write_json(job, made);
    else if (!job->quiet)
        print_text(job, made);
    dn_model_unref(made);
    return status == DN_OK;
}

static int calibrate(calibrate_job *job)
{
    dn_error error;
    dn_model *model = open_model(job->model_path, false);

    if (!model)
        return EXIT_FAILED;
    job->before = model_info(model);
    job->options.keep = job->keep;
    job->options.accept_suspects = job->accept;
    dn_status status = dn_calibrator_create(model, &job->options, &job->calibrator, &error);
    if (status != DN_OK)
        complain_refused(job->model_path, status, error.message);
    bool done = status == DN_OK && set_given_points(job) && add_good_images(job) && look_at_images(job) &&
                choose_from_data(job, model) && save(job);
    free(job->suspects);
    dn_calibrator_free(job->calibrator);
    dn_model_unref(model);
    return finish_output(done ? 0 : EXIT_FAILED);
}

/* With the right to write the output, which is tried first. */
static int prepare_and_calibrate(calibrate_job *job)
{
    output_lock lock = {NULL, -1};
    int code = EXIT_FAILED;

    if (check_output_path(job->output) && lock_output(&lock, job->output, "run")) {
        remove_stale_output(job->output);
        code = calibrate(job);
    }
    unlock_output(&lock);
    return code;
}

static int run_calibrate(const command_verb *verb, int argc, char **argv)
{
    calibrate_job job = {.max_misses = 0};
    dn_calibrator_options_init(&job.options);
    job.options.threads = usable_processors();
    const command_option options[] = {
        {"output", 'o', OPTION_TEXT, &job.output, 0, 0, "NEW", "file to write the new model to (required)"},
        {"keep", 0, OPTION_FLAG, &job.keep, 0, 0, NULL,
         "the good images that the model holds scores of count\nas well; otherwise the new ones alone"},
        {"accept", 0, OPTION_FLAG, &job.accept, 0, 0, NULL, "take good images that score like defects, too"},
        {"data", 0, OPTION_TEXT, &job.data, 0, 0, "DATA",
         "data set with test/good and test/<defect>: thresholds\nfor the operating points best-f1, balanced and\n"
         "max-misses are chosen on it"},
        {"max-misses", 0, OPTION_REAL, &job.max_misses, 0, 1, "SHARE",
         "of the defects, that the operating point max-misses\nmay miss; default {}"},
        {"point", 0, OPTION_TEXTS, &job.points, 0, 0, "NAME=T",
         "an operating point: a threshold of the score under a\nname; may be given several times"},
        {"note", 0, OPTION_TEXTS, &job.notes, 0, 0, "KEY=VALUE", "a note in the new model, as in train"},
        MAX_PIXELS_OPTION(&job.options.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.options.threads, 0, 0, "N", "default: usable processors: {}"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object at the end"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);
    bool listed = true;

    if (first < 0)
        return code;
    if (argc == first)
        return wrong_operands(verb, "no model given");
    if (!job.output)
        return wrong_operands(verb, "-o NEW is missing");
    if (argc - first < 2 && !job.data && job.points.count == 0 && job.notes.count == 0)
        return wrong_operands(verb, "no good images given, and no --data, --point or --note");
    if (option_given("max-misses") && !job.data)
        return wrong_operands(verb, "--max-misses is of the defects in --data DATA, which is missing");
    job.model_path = argv[first];
    for (int i = first + 1; i < argc; i++)
        listed = list_operand(argv[i], &job.good) && listed;
    tell_masks(leave_masks_out(&job.good));
    code = listed ? prepare_and_calibrate(&job) : EXIT_FAILED;
    image_list_free(&job.good);
    free(job.points.texts);
    free(job.notes.texts);
    return code;
}

const command_verb verb_calibrate = {
    .name = "calibrate",
    .operands = "MODEL [GOOD...] -o NEW",
    .summary = "change a model's verdicts without training",
    .description =
        "Makes a new model whose p-values and verdicts go by other good images: GOOD are images, or folders\n"
        "of them, that the model has not learned from. From images of which it is known which are\n"
        "defective (--data) it chooses thresholds, kept as operating points: score --operating-point NAME.\n"
        "Scores of images stay what they are. MODEL stays as it is, unless NEW is MODEL.\n\n"
        "exit code: 0 done, 2 an error; good images that score like defects are one, unless --accept.\n",
    .examples = "  differnet calibrate parts.dnm monday/good -o parts2.dnm\n"
                "  differnet calibrate parts.dnm more/good -o parts.dnm --keep\n"
                "  differnet calibrate parts.dnm --data parts -o parts2.dnm --max-misses 0.02\n"
                "  differnet score parts2.dnm new/ --operating-point best-f1\n",
    .run = run_calibrate,
};
