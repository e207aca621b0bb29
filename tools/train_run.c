/* One training of differnet train: from images to the model's file. */
#include "train_run.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "output.h"
#include "progress.h"

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool was_interrupted(void)
{
    return interrupted;
}

void catch_signals(void)
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
    if (job->like)
        return dn_extractor_ref(dn_model_extractor(job->like));
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
                info.input_height, info.scales, info.feature_dim);
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
        const char *remedy = strstr(text, "set range_low = "), *given = strstr(text, "range_low = ");
        int low, high, end = 0;
        if (remedy && sscanf(remedy, "set range_low = %d and range_high = %d", &low, &high) == 2)
            complain("%.*s--range %d:%d%s", (int)(remedy - text), text, low, high,
                     low == 0 && high == 4095 ? ", which is --bits 12, shows them whole" : " shows them whole");
        else if (given && sscanf(given, "range_low = %d and range_high = %d%n", &low, &high, &end) == 2)
            complain("WARNING: %.*s--range %d:%d%s", (int)(given - text), text, low, high, given + end);
        else
            complain("%s", text);
    }
}

#define MOST_NAMED 10 /* duplicates */

/* Names the duplicates that were found, and warns where images next to each other in the list show the same. */
static void report_parts(const dn_trainer *trainer, const train_job *job, const image_list *images)
{
    dn_trainer_info info;
    int32_t named = 0, near = 0;

    dn_trainer_info_init(&info);
    if (dn_trainer_get_info(trainer, &info) != DN_OK)
        return;
    if (info.duplicates > 0 && !job->quiet)
        complain("%d of %d images are duplicates of others and count once:", info.duplicates, info.images);
    for (int32_t i = 0; i < info.images; i++) {
        int32_t kind, first = dn_trainer_duplicate_of(trainer, i, &kind);
        near += kind == DN_DUPLICATE_NEAR;
        if (first < 0 || job->quiet || named == MOST_NAMED)
            continue;
        complain("  %s: %s %s", images->paths[i], kind == DN_DUPLICATE_EQUAL ? "the pixels of" : "hardly differs from",
                 images->paths[first]);
        named++;
    }
    if (!job->quiet && info.duplicates > named)
        complain("  and %d more", info.duplicates - named);
    if (job->parts != PARTS_NONE && !job->quiet)
        complain("%d parts in %d images", info.parts, info.images);
    if (job->parts == PARTS_NONE && near >= 8 && near > info.images / 2)
        complain("WARNING: by their looks %d images show %d parts only: if they are different parts, of several kinds "
                 "that hardly differ within a kind, say so (--keep-duplicates), or few of them count",
                 info.images, info.parts);
    if (job->parts == PARTS_NONE && info.adjacent >= 8 && info.adjacent >= info.images / 5)
        complain("WARNING: %d of %d images look most like the one right before or after them (by chance 2): where a "
                 "camera took "
                 "several of one part, say so (--group-by), or there will be more false alarms than promised",
                 info.adjacent, info.images);
}

/* *model: NULL unless it is done. */
static enum train_outcome learn(const train_job *job, dn_extractor *extractor, const image_list *images,
                                dn_model **model)
{
    dn_trainer *trainer;
    dn_error error;
    train_watch watch = {.quiet = job->quiet};
    enum train_outcome outcome = TRAIN_FAILED;
    dn_status status = job->like ? dn_trainer_create_like(job->like, &job->training, &trainer, &error)
                                 : dn_trainer_create(extractor, &job->training, &trainer, &error);

    *model = NULL;
    if (status != DN_OK) {
        complain_refused(NULL, status, error.message);
        return TRAIN_REFUSED;
    }
    if (!add_notes(trainer, &job->notes) || !region_apply_trainer(&job->region, trainer)) {
        outcome = TRAIN_REFUSED;
    } else if (add_images(trainer, job, images)) {
        tell_advice(trainer);
        status = dn_trainer_run(trainer, show_progress, &watch, model);
        if (status == DN_OK) {
            end_phase(&watch);
            report_parts(trainer, job, images);
            outcome = TRAIN_DONE;
        } else {
            explain_failure(job, images, status, dn_trainer_error(trainer)->message);
        }
    }
    dn_trainer_free(trainer);
    return outcome;
}

static int64_t size_of_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* ---- what it came to ---- */

double smallest_rate(const dn_model_info *info)
{
    return info->holdout_images > 0 ? 1.0 / (info->holdout_images + 1) : (double)NAN;
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

void report_trained(const train_job *job, const trained_model *trained)
{
    if (!job->quiet && !job->as_json)
        printf("%s: %.1f MB, learned from %d images, %d good scores for verdicts, in %.0f s\n", job->output,
               1e-6 * (double)trained->bytes, trained->info.train_images, trained->info.holdout_images,
               trained->seconds);
    report_promise(job, &trained->info);
}

void emit_trained(json_writer *json, const char *output, const trained_model *trained)
{
    const dn_model_info *info = &trained->info;
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, info->id);
    emit_text(json, "model", output);
    emit_text(json, "model_id", id);
    emit_text(json, "backbone", info->backbone);
    emit_bool(json, "backbone_random", info->backbone_random != 0);
    emit_integer(json, "train_images", info->train_images);
    emit_integer(json, "holdout_images", info->holdout_images);
    emit_integer(json, "epochs", info->epochs);
    emit_real(json, "final_loss", info->final_loss);
    emit_integer(json, "views", info->views);
    emit_integer(json, "bytes", trained->bytes);
    emit_real(json, "seconds", trained->seconds);
    if (info->calibration)
        emit_text(json, "calibration", calibration_names[info->calibration]);
    else
        emit_none(json, "calibration");
    emit_integer(json, "folds", info->folds);
    emit_real(json, "smallest_false_alarm_rate", smallest_rate(info));
}

/* ---- the whole ---- */

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

/* Whether there is a checkpoint, and what becomes of it. */
static void announce_checkpoint(const train_job *job)
{
    bool there = size_of_file(job->checkpoint) > 0 || size_of_file(job->bank) > 0;

    if (job->training.resume && !there && !job->quiet)
        complain("%s: no checkpoint there; starting anew", job->checkpoint);
    else if (!job->training.resume && there)
        complain("%s: left by an interrupted run, will be overwritten (--resume would go on from it)", job->checkpoint);
}

static bool list_images(const train_job *job, image_list *images)
{
    for (size_t i = 0; job->listed && i < job->listed->count; i++)
        image_list_add(images, need_text("%s", job->listed->paths[i]));
    if (job->listed)
        return true;
    if (!list_training_images(job->data, job->recursive, job->quiet, images))
        return false;
    if (job->images > 0 && (size_t)job->images > images->count) {
        complain("%s: --images %d, but there are only %zu", job->data, job->images, images->count);
        return false;
    }
    if (job->images > 0)
        choose_images(images, (size_t)job->images, job->training.seed);
    return true;
}

static enum train_outcome train_on(const train_job *job, const image_list *images, trained_model *trained)
{
    double began = seconds_now();
    dn_extractor *extractor = open_backbone(job);
    dn_model *model;

    if (!extractor)
        return TRAIN_REFUSED;
    enum train_outcome outcome = learn(job, extractor, images, &model);
    dn_extractor_unref(extractor);
    if (outcome != TRAIN_DONE)
        return outcome;
    if (save_model(job, model))
        *trained = (trained_model){model_info(model), size_of_file(job->output), seconds_now() - began};
    else
        outcome = TRAIN_FAILED;
    dn_model_unref(model);
    return outcome;
}

static char *checkpoint_of(const char *output)
{
    return need_text("%s.ckpt", output);
}

static char *bank_of(const char *output)
{
    return need_text("%s.ckpt.bank", output);
}

bool check_train_output(const char *output)
{
    char *checkpoint = checkpoint_of(output), *bank = bank_of(output);
    bool good = check_output_path(output) && check_output_path(checkpoint) && check_output_path(bank);

    free(checkpoint);
    free(bank);
    return good;
}

enum train_outcome train_run(const train_job *given, trained_model *trained)
{
    train_job job = *given;
    output_lock lock = {NULL, -1};
    image_list images = {0};
    enum train_outcome outcome = TRAIN_FAILED;

    job.checkpoint = checkpoint_of(job.output);
    job.bank = bank_of(job.output);
    job.training.checkpoint = job.checkpoint;
    if (lock_output(&lock, job.output, "training") && list_images(&job, &images)) {
        announce_checkpoint(&job);
        catch_signals();
        outcome = train_on(&job, &images, trained);
    }
    image_list_free(&images);
    unlock_output(&lock);
    free(job.checkpoint);
    free(job.bank);
    return outcome;
}
