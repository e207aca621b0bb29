/* differnet train: good images -> model. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "json_writer.h"
#include "layout.h"
#include "output.h"
#include "part_names.h"
#include "processors.h"
#include "progress.h"

typedef struct train_job {
    const char *data, *output, *backbone;
    char *checkpoint, *bank; /* OUTPUT.ckpt, OUTPUT.ckpt.bank */
    int32_t images;          /* 0: all */
    enum part_rule parts;
    bool half, quiet, as_json, recursive;
    text_list notes; /* KEY=VALUE */
    dn_extractor_options extracting;
    dn_train_options training;
} train_job;

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* The first Ctrl-C (or a service's TERM, or the HUP of a terminal that goes away) ends training in order; the second
 * one at once.  What was ignored when the command began (nohup, a shell's background) stays ignored. */
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, before;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

/* ---- progress ---- */

typedef struct train_watch {
    progress_bar bar;
    bool quiet;
    int32_t phase; /* 0: none yet */
    int64_t done, total;
    char note[48];
} train_watch;

static void end_phase(train_watch *watch)
{
    if (watch->phase)
        progress_end(&watch->bar, watch->done, watch->total, *watch->note ? watch->note : NULL);
    watch->phase = 0;
}

static void begin_phase(train_watch *watch, const dn_progress *state)
{
    static const char *const titles[] = {"",
                                         "computing features",
                                         "training",
                                         "scoring images not learned from",
                                         "setting the heat map's scale",
                                         "computing feature maps",
                                         "learning positions",
                                         "training without a fold",
                                         "choosing copies"};
    static const char *const units[] = {"", "views", "epochs", "images", "images", "views", "fits", "epochs", "views"};
    int32_t known = state->phase >= 1 && state->phase <= DN_PHASE_COPIES ? state->phase : 0;

    end_phase(watch);
    watch->phase = state->phase;
    progress_begin(&watch->bar, watch->quiet, titles[known], units[known], state->done);
}

static int32_t show_progress(const dn_progress *state, void *user)
{
    train_watch *watch = user;

    if (state->phase != watch->phase)
        begin_phase(watch, state);
    watch->done = state->done;
    watch->total = state->total;
    watch->note[0] = '\0';
    if ((state->phase == DN_PHASE_TRAIN || state->phase == DN_PHASE_FOLDS) && isfinite(state->loss))
        snprintf(watch->note, sizeof watch->note, "loss %.4f", state->loss);
    progress_update(&watch->bar, watch->done, watch->total, *watch->note ? watch->note : NULL);
    return interrupted;
}

/* ---- steps ---- */

static dn_extractor *open_backbone(const train_job *job)
{
    dn_extractor *extractor;
    dn_error error;
    dn_status status = job->backbone ? dn_extractor_open_path(job->backbone, &job->extracting, &extractor, &error)
                                     : dn_extractor_default(&job->extracting, &extractor, &error);

    if (status != DN_OK) {
        complain_refused(job->backbone, status, error.message);
        if (status == DN_E_UNSUPPORTED && !job->backbone)
            complain("a backbone of your own is given with --backbone FILE");
        return NULL;
    }
    dn_extractor_info info = extractor_info(extractor);
    if (info.random)
        complain("WARNING: the backbone has RANDOM WEIGHTS that stand in for trained ones; expect poor results. Give a "
                 "trained one with --backbone FILE, or leave the option out for the built-in one");
    if (!job->quiet)
        fprintf(stderr, "backbone: %s, %d x %d pixels, %d scales, %d features\n", info.name, info.input_size,
                info.input_size, info.scales, info.feature_dim);
    return extractor;
}

/* Adds all images; names every one that cannot be read.  False as well if it was interrupted: what was added so far is
 * not what was asked for, and no checkpoint would fit it. */
static bool add_images(dn_trainer *trainer, const train_job *job, const image_list *images)
{
    size_t failed = 0;
    progress_bar bar;

    progress_begin(&bar, job->quiet, "reading images", "images", 0);
    for (size_t i = 0; i < images->count; i++) {
        if (interrupted) {
            complain("interrupted before anything was learned");
            return false;
        }
        char *part = part_name(images->paths[i], job->parts);
        dn_status status = dn_trainer_set_group(trainer, part);
        free(part);
        if (status == DN_OK)
            status = dn_trainer_add_path(trainer, images->paths[i]);
        if (status != DN_OK) {
            complain_status(images->paths[i], status, dn_trainer_error(trainer)->message);
            failed++;
        }
        progress_update(&bar, (int64_t)i + 1, (int64_t)images->count, NULL);
    }
    progress_end(&bar, (int64_t)(images->count - failed), (int64_t)images->count, NULL);
    if (failed > 0)
        complain("%zu of %zu images cannot be learned from; repair or remove them", failed, images->count);
    return failed == 0;
}

/* Complains with the whole path of the file that the message is about. */
static void complain_training(const train_job *job, const image_list *images, dn_status status, const char *message)
{
    char *whole = with_whole_path(message, job->checkpoint);

    if (!whole)
        whole = with_whole_path(message, job->bank);
    for (size_t i = 0; i < images->count && !whole; i++)
        whole = with_whole_path(message, images->paths[i]);
    complain_status(NULL, status, whole ? whole : message);
    free(whole);
}

static void explain_failure(const train_job *job, const image_list *images, dn_status status, const char *message)
{
    struct stat there;

    if (status != DN_E_CANCELLED) {
        complain_training(job, images, status, message);
        return;
    }
    if (stat(job->checkpoint, &there) == 0 || stat(job->bank, &there) == 0)
        complain("interrupted; the state is in %s: the same command with --resume goes on from there", job->checkpoint);
    else
        complain("interrupted before there was anything to save");
}

/* Hands the notes over; complains and returns false if one is refused. */
static bool add_notes(dn_trainer *trainer, const text_list *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        const char *note = notes->texts[i], *equals = strchr(note, '=');
        char *key = need_text("%.*s", equals ? (int)(equals - note) : 0, note);
        dn_status status = equals ? dn_trainer_note(trainer, key, equals + 1) : DN_E_ARGUMENT;
        free(key);
        if (status == DN_OK)
            continue;
        complain("--note: %s", equals ? dn_trainer_error(trainer)->message : "KEY=VALUE is wanted");
        return false;
    }
    return true;
}

/* Warns of what the library noticed in the images, in the command's words. */
static void tell_advice(dn_trainer *trainer)
{
    const char *text;

    for (int32_t i = 0; (text = dn_trainer_advice(trainer, i)); i++) {
        const char *remedy = strstr(text, "set range_low = ");
        int low, high;
        if (remedy && sscanf(remedy, "set range_low = %d and range_high = %d", &low, &high) == 2)
            complain("%.*s--range %d:%d%s", (int)(remedy - text), text, low, high,
                     low == 0 && high == 4095 ? ", which is --bits 12, shows them whole" : " shows them whole");
        else
            complain("%s", text);
    }
}

#define MOST_NAMED 10 /* duplicates */

/* Names the duplicates that were found, and warns where images next to each other in the list show the same. */
static void report_parts(const dn_trainer *trainer, const train_job *job, const image_list *images)
{
    dn_trainer_info info;
    int32_t named = 0, kind, first;

    dn_trainer_info_init(&info);
    if (dn_trainer_get_info(trainer, &info) != DN_OK)
        return;
    if (info.duplicates > 0 && !job->quiet)
        complain("%d of %d images are duplicates of others and count once:", info.duplicates, info.images);
    for (int32_t i = 0; !job->quiet && i < info.images && named < MOST_NAMED; i++)
        if ((first = dn_trainer_duplicate_of(trainer, i, &kind)) >= 0) {
            complain("  %s: %s %s", images->paths[i],
                     kind == DN_DUPLICATE_EQUAL ? "the pixels of" : "hardly differs from", images->paths[first]);
            named++;
        }
    if (!job->quiet && info.duplicates > named)
        complain("  and %d more", info.duplicates - named);
    if (job->parts != PARTS_NONE && !job->quiet)
        complain("%d parts in %d images", info.parts, info.images);
    if (job->parts == PARTS_NONE && info.adjacent >= 8 && info.adjacent >= info.images / 5)
        complain("WARNING: %d of %d images look most like the one right before or after them (by chance 2): where a "
                 "camera took "
                 "several of one part, say so (--group-by), or there will be more false alarms than promised",
                 info.adjacent, info.images);
}

static dn_model *run_training(const train_job *job, dn_extractor *extractor, const image_list *images)
{
    dn_trainer *trainer;
    dn_model *model = NULL;
    dn_error error;
    train_watch watch = {.quiet = job->quiet};
    dn_status status = dn_trainer_create(extractor, &job->training, &trainer, &error);

    if (status != DN_OK) {
        complain_refused(NULL, status, error.message);
        return NULL;
    }
    if (add_notes(trainer, &job->notes) && add_images(trainer, job, images)) {
        tell_advice(trainer);
        status = dn_trainer_run(trainer, show_progress, &watch, &model);
        if (status == DN_OK) {
            end_phase(&watch);
            report_parts(trainer, job, images);
        } else
            explain_failure(job, images, status, dn_trainer_error(trainer)->message);
    }
    dn_trainer_free(trainer);
    return model;
}

static int64_t size_of_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* The smallest rate of false alarms that verdicts can keep; 1 without good scores. */
static double smallest_rate(const dn_model_info *info)
{
    return 1.0 / (info->holdout_images + 1);
}

#define USUAL_RATE 0.05 /* of verdicts that nobody has asked another one for */

/* What verdicts of the model can promise, and a warning if that is less than they are asked for by default. */
static void report_promise(const train_job *job, const dn_model_info *info)
{
    const char *how = info->calibration == DN_CALIBRATION_CROSS ? "cross-fitted" : "held out";
    double least = smallest_rate(info);

    if (info->holdout_images == 0) {
        complain("WARNING: no good images were kept out or cross-fitted: the model gives scores, but no verdicts");
    } else if (least > USUAL_RATE) {
        complain("WARNING: false alarms: no rate below %.2g %% can be promised (%d good images, %s); %g %% takes %d of "
                 "them: %s",
                 100 * least, info->holdout_images, how, 100 * USUAL_RATE, (int)(1 / USUAL_RATE) - 1,
                 info->calibration == DN_CALIBRATION_CROSS ? "learn from more" : "use --calibration cross");
    } else if (!job->quiet && !job->as_json) {
        printf("false alarms: %g %% can be promised (%d good images, %s; smallest possible rate %.2g %%)\n",
               100 * USUAL_RATE, info->holdout_images, how, 100 * least);
    }
}

static void report(const train_job *job, const dn_model *model, double seconds)
{
    dn_model_info info = model_info(model);

    if (job->as_json) {
        json_writer json = {stdout, false};
        char id[16];
        snprintf(id, sizeof id, "%08" PRIx32, info.id);
        emit_open_object(&json, NULL);
        emit_text(&json, "model", job->output);
        emit_text(&json, "model_id", id);
        emit_text(&json, "backbone", info.backbone);
        emit_bool(&json, "backbone_random", info.backbone_random != 0);
        emit_integer(&json, "train_images", info.train_images);
        emit_integer(&json, "holdout_images", info.holdout_images);
        emit_integer(&json, "epochs", info.epochs);
        emit_real(&json, "final_loss", info.final_loss);
        emit_integer(&json, "views", info.views);
        emit_integer(&json, "bytes", size_of_file(job->output));
        emit_real(&json, "seconds", seconds);
        if (info.calibration)
            emit_text(&json, "calibration", calibration_names[info.calibration]);
        else
            emit_none(&json, "calibration");
        emit_integer(&json, "folds", info.folds);
        emit_real(&json, "smallest_false_alarm_rate", info.holdout_images > 0 ? smallest_rate(&info) : NAN);
        emit_close_object(&json);
        putchar('\n');
    } else if (!job->quiet) {
        printf("%s: %.1f MB, learned from %d images, %d good scores for verdicts, in %.0f s\n", job->output,
               1e-6 * (double)size_of_file(job->output), info.train_images, info.holdout_images, seconds);
    }
    report_promise(job, &info);
}

static bool save_model(const train_job *job, const dn_model *model)
{
    dn_error error;
    dn_status status = dn_model_save(model, job->output, job->half ? DN_STORAGE_F16 : DN_STORAGE_F32, &error);

    if (status == DN_OK) {
        unlink(job->checkpoint);
        unlink(job->bank);
        return true;
    }
    complain_status(job->output, status, error.message);
    if (size_of_file(job->checkpoint) > 0)
        complain("the trained state is still in %s: once the model can be written, the same command with --resume "
                 "goes on from there",
                 job->checkpoint);
    return false;
}

static int train(const train_job *job, const image_list *images)
{
    double began = seconds_now();
    dn_extractor *extractor = open_backbone(job);

    if (!extractor)
        return EXIT_FAILED;
    dn_model *model = run_training(job, extractor, images);
    dn_extractor_unref(extractor);
    if (!model)
        return EXIT_FAILED;
    int code = save_model(job, model) ? 0 : EXIT_FAILED;
    if (code == 0)
        report(job, model, seconds_now() - began);
    dn_model_unref(model);
    return finish_output(code);
}

/* Whether there is a checkpoint, and what becomes of it. */
static void announce_checkpoint(const train_job *job)
{
    bool there = size_of_file(job->checkpoint) > 0 || size_of_file(job->bank) > 0;

    if (job->training.resume && !there && !job->quiet)
        complain("%s: no checkpoint there; starting anew", job->checkpoint);
    else if (!job->training.resume && there)
        complain("%s: left by an interrupted run, will be overwritten (--resume would go on from it)", job->checkpoint);
}

/* ---- options ---- */

#define NOT_GIVEN INT32_MIN

/* What was given on the command line; NOT_GIVEN or NULL: the preset's or the library's default holds. */
typedef struct train_given {
    const char *preset, *calibration, *copies, *tiles, *fit, *group_by;
    int32_t epochs, hidden, views;
    bool resume;
} train_given;

/* For the help. */
static void describe_presets(char *text, size_t size)
{
    dn_train_options presets[2];

    for (int i = 0; i < 2; i++) {
        dn_train_options_init(&presets[i]);
        if (dn_train_options_preset(&presets[i], i == 0 ? DN_PRESET_COMPACT : DN_PRESET_PAPER) != DN_OK)
            complain("the library does not know the presets of this command");
    }
    snprintf(
        text, size,
        "compact (default): a density at every position\nand a flow on pooled features, hidden width %d,\n%d epochs;\n"
        "fast: the density at every position alone,\nlearned in seconds, one view instead of many;\n"
        "paper: the flow alone, hidden width %d, %d\nepochs, as published, much slower and not for\nfew images",
        presets[0].hidden, presets[0].epochs, presets[1].hidden, presets[1].epochs);
}

/* "auto", "1", "3x2". */
static bool read_tiles(const char *text, dn_train_options *training)
{
    int columns = 0, rows = 0, length = 0;

    if (!text)
        return true;
    if (strcmp(text, "auto") != 0 && strcmp(text, "1") != 0 &&
        (sscanf(text, "%2dx%2d%n", &columns, &rows, &length) != 2 || text[length] || columns < 1 || rows < 1)) {
        complain("--tiles: '%s' is not auto, 1 or COLUMNSxROWS, for instance 3x2", text);
        return false;
    }
    training->tile_columns = strcmp(text, "1") == 0 ? 1 : columns;
    training->tile_rows = strcmp(text, "1") == 0 ? 1 : rows;
    return true;
}

static bool apply_options(train_job *job, const train_given *given)
{
    int32_t preset = find_name("preset", preset_names, "compact, fast and paper", given->preset);
    int32_t copies = find_name("copies", copies_names, "auto, none, small, mirror and turn", given->copies);
    int32_t calibration = find_name("calibration", calibration_names, "auto, split and cross", given->calibration);
    int32_t fit = find_name("fit", fit_names, "stretch and letterbox", given->fit);
    int32_t parts = find_name("group-by", part_rule_names, "folder, prefix and none", given->group_by);

    if (preset < 0 || copies < 0 || calibration < 0 || fit < 0 || parts < 0)
        return false;
    dn_status status = dn_train_options_preset(&job->training, preset);
    if (status != DN_OK) {
        complain("--preset: %s", dn_status_string(status));
        return false;
    }
    job->training.copies = copies;
    job->training.calibration = calibration;
    job->training.fit = fit;
    job->parts = (enum part_rule)parts;
    if (given->epochs != NOT_GIVEN)
        job->training.epochs = given->epochs;
    if (given->hidden != NOT_GIVEN)
        job->training.hidden = given->hidden;
    if (given->views != NOT_GIVEN)
        job->training.views = given->views;
    if (!read_tiles(given->tiles, &job->training))
        return false;
    job->training.resume = given->resume;
    job->checkpoint = need_text("%s.ckpt", job->output);
    job->bank = need_text("%s.ckpt.bank", job->output);
    job->training.checkpoint = job->checkpoint;
    return true;
}

static int train_locked(train_job *job)
{
    image_list images = {0};
    int code = EXIT_FAILED;

    if (list_training_images(job->data, job->recursive, job->quiet, &images)) {
        if (job->images > 0 && (size_t)job->images > images.count)
            complain("%s: --images %d, but there are only %zu", job->data, job->images, images.count);
        else {
            if (job->images > 0)
                choose_images(&images, (size_t)job->images, job->training.seed);
            announce_checkpoint(job);
            catch_signals();
            code = train(job, &images);
        }
    }
    image_list_free(&images);
    return code;
}

static int prepare_and_train(train_job *job, const train_given *given)
{
    output_lock lock = {NULL, -1};
    int code = EXIT_FAILED;

    signal(SIGPIPE, SIG_IGN); /* messages that nobody reads any more are no reason to lose a training */
    /* All that can be refused is refused now, not after hours of work. */
    if (apply_options(job, given) && check_output_path(job->output) && check_output_path(job->checkpoint) &&
        check_output_path(job->bank) && lock_output(&lock, job->output, "training"))
        code = train_locked(job);
    unlock_output(&lock);
    free(job->checkpoint);
    free(job->bank);
    free(job->notes.texts);
    return code;
}

/* --range LOW:HIGH or --bits N (0: not given). */
static bool set_range(dn_train_options *training, const char *range, int32_t bits)
{
    int end = 0;

    if (range && bits > 0) {
        complain("--range and --bits exclude each other: --bits 12 is --range 0:4095");
        return false;
    }
    if (bits > 0)
        training->range_high = (1 << bits) - 1;
    if (!range)
        return true;
    if (sscanf(range, "%" SCNd32 ":%" SCNd32 "%n", &training->range_low, &training->range_high, &end) == 2 &&
        range[end] == '\0' && training->range_low >= 0 && training->range_low < training->range_high &&
        training->range_high <= 65535)
        return true;
    complain("--range: '%s' is not LOW:HIGH with 0 <= LOW < HIGH <= 65535", range);
    return false;
}

static int run_train(const command_verb *verb, int argc, char **argv)
{
    train_job job = {0};
    train_given given = {.epochs = NOT_GIVEN, .hidden = NOT_GIVEN, .views = NOT_GIVEN};
    const char *range = NULL;
    int32_t bits = 0;
    char presets[512];
    dn_extractor_options_init(&job.extracting);
    dn_train_options_init(&job.training);
    job.training.threads = usable_processors();
    describe_presets(presets, sizeof presets);
    const command_option options[] = {
        {"output", 'o', OPTION_TEXT, &job.output, 0, 0, "MODEL", "file to write the model to (required)"},
        {"backbone", 0, OPTION_TEXT, &job.backbone, 0, 0, "FILE",
         "CNN weights, safetensors; default: the built-in one"},
        {"preset", 0, OPTION_TEXT, &given.preset, 0, 0, "NAME", presets},
        {"epochs", 0, OPTION_INTEGER, &given.epochs, 0, 0, "N", "default: the preset's"},
        {"recursive", 0, OPTION_FLAG, &job.recursive, 0, 0, NULL,
         "learn from all images below DATA, whatever its\nfolders are called"},
        {"images", 0, OPTION_INTEGER, &job.images, 1, 1000000000, "N",
         "learn from N of the images only, spread evenly,\ndrawn by the seed"},
        {"bank", 0, OPTION_INTEGER, &job.training.bank, 0, 0, "N",
         "rotated views of each image whose features are\ncomputed once and drawn from; default {};\n"
         "0: fresh views for each step, much slower"},
        {"views", 0, OPTION_INTEGER, &given.views, 0, 0, "N",
         "views per image the model scores with by default;\ndefault: the preset's"},
        {"holdout", 0, OPTION_REAL, &job.training.holdout, 0, 0, "SHARE",
         "share of the images kept out of the flow's training\nto tell p-values from; default {}"},
        {"calibration", 0, OPTION_TEXT, &given.calibration, 0, 0, "WAY",
         "good images behind the p-values: split (those that\nare held out), cross (all: flows trained without a\n"
         "part of them judge it) or auto, the default: cross\nwhere --holdout would leave too few"},
        {"folds", 0, OPTION_INTEGER, &job.training.folds, 0, 0, "N",
         "parts of cross-fitting; default 0: 5 for the flow,\n10 for the positions"},
        {"copies", 0, OPTION_TEXT, &given.copies, 0, 0, "NAME",
         "moved copies of the images that the positions learn:\nnone, small (a few degrees, a small shift), mirror,\n"
         "turn (any angle); default: auto, what makes images\nthat were kept out likeliest"},
        {"group-by", 0, OPTION_TEXT, &given.group_by, 0, 0, "RULE",
         "images that show one part: those of a folder, those\nwhose names have the same prefix before a number, or\n"
         "none, the default; duplicates are found in any case"},
        {"input-size", 0, OPTION_INTEGER, &job.extracting.input_size, 0, 0, "PIXELS",
         "side of a view, a multiple of 32; default {}"},
        {"tiles", 0, OPTION_TEXT, &given.tiles, 0, 0, "TILES",
         "what the density at every position cuts an image\ninto, each as large as the input: COLUMNSxROWS, for\n"
         "instance 3x2; auto: as the first image's size\nasks for, 6 at most; default 1: the whole image"},
        {"fit", 0, OPTION_TEXT, &given.fit, 0, 0, "HOW", "stretch (default), or letterbox: images keep their\naspect"},
        {"scales", 0, OPTION_INTEGER, &job.extracting.scales, 0, 0, "N", "sizes each view is seen at; default {}"},
        {"hidden", 0, OPTION_INTEGER, &given.hidden, 0, 0, "N", "width of the flow's nets; default: the preset's"},
        {"note", 0, OPTION_TEXTS, &job.notes, 0, 0, "KEY=VALUE",
         "written into the model, for differnet info to show;\nmay be given several times"},
        {"range", 0, OPTION_TEXT, &range, 0, 0, "LOW:HIGH",
         "values of 16-bit images that are black and white,\nfor scoring too; default: 0:65535"},
        {"bits", 0, OPTION_INTEGER, &bits, 8, 16, "N", "of the values in 16-bit images: 12 is --range 0:4095"},
        {"seed", 0, OPTION_SEED, &job.training.seed, 0, 0, "S", "of all that is random; default {}"},
        MAX_PIXELS_OPTION(&job.training.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.training.threads, 0, 0, "N",
         "default: usable processors: {}; any number gives\nthe same model"},
        {"resume", 0, OPTION_FLAG, &given.resume, 0, 0, NULL, "go on where an interrupted run stopped (MODEL.ckpt)"},
        {"f16", 0, OPTION_FLAG, &job.half, 0, 0, NULL, "store weights as float16: half the size"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object at the end"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first != 1)
        return wrong_operands(verb, argc == first ? "no folder of images given" : "more than one folder given");
    if (!job.output)
        return wrong_operands(verb, "-o MODEL is missing");
    if (!set_range(&job.training, range, bits))
        return EXIT_FAILED;
    job.data = argv[first];
    return prepare_and_train(&job, &given);
}

const command_verb verb_train = {
    .name = "train",
    .operands = "DATA",
    .summary = "learn from good images",
    .description = "Learns from good images what normal looks like and writes a model. DATA is a folder with\n"
                   "train/good or good in it (ok and normal mean the same), or a folder of good images.\n\n"
                   "Ctrl-C stops and keeps the state in MODEL.ckpt and MODEL.ckpt.bank; --resume goes on from there\n"
                   "and gives the same model. Both files are removed at the end.\n\n"
                   "exit code: 0 done, 2 an error or interrupted.\n",
    .examples = "  differnet train parts -o parts.dnm\n"
                "  differnet train photos/good -o parts.dnm --backbone alexnet.safetensors --threads 4\n"
                "  differnet train parts -o small.dnm --images 16 --seed 1\n"
                "  differnet train parts -o parts.dnm --resume\n",
    .run = run_train,
};
