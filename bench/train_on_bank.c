/* Trains a flow as `differnet train` does, but on features that are there already: for compare_training.py and
 * accuracy.py.
 *
 *   train_on_bank BANK BACKBONE OUT.dnm [NAME=VALUE ...]
 *
 * BANK      safetensors with the tensor `features`, (images, views, feature_dim), not standardised: what
 *           feature_store.py writes, or what a training leaves behind (CHECKPOINT.bank)
 * BACKBONE  what the features were computed with: a file, or `default` or `random` for the library's own
 * NAME      images: learn from so many of the images only, drawn as `differnet train --images` does; 0: all
 *           seed, epochs, hidden, learning_rate, weight_decay, holdout, threads: as in dn_train_options, default the
 *           library's
 *
 * Prints one line per epoch (epoch, mean loss, seconds), then "holdout" and the indices of the images kept out.  The
 * model has no scores of them and no scale for heat maps: both would need the images.  Looks inside the trainer, which
 * has no public way in. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blas.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "train/trainer.h"
#include "format/safetensors.h"

#include "../tools/command.h"
#include "../tools/dataset.h"
#include "../tools/output.h"

typedef struct bank_job {
    const char *bank_path, *backbone, *output;
    int32_t images; /* 0: all */
    dn_train_options options;
    double started;
    int64_t shown; /* epochs */
} bank_job;

static int32_t show(const dn_progress *progress, void *user)
{
    bank_job *job = user;

    if (progress->phase == DN_PHASE_TRAIN && progress->done > job->shown) {
        job->shown = progress->done;
        printf("%lld %.6f %.1f\n", (long long)progress->done, progress->loss, seconds_now() - job->started);
        fflush(stdout);
    }
    return 0;
}

/* ---- the bank ---- */

/* Numbers, ascending, of the images to learn from: `count` of `total`. */
static uint32_t *choose_numbers(size_t total, size_t count, uint64_t seed)
{
    image_list list = {0};
    uint32_t *numbers = need_memory(count, sizeof *numbers);

    list.paths = need_memory(total, sizeof *list.paths);
    list.count = list.capacity = total;
    for (size_t i = 0; i < total; i++)
        list.paths[i] = need_text("%zu", i);
    choose_images(&list, count, seed);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (uint32_t)strtoul(list.paths[i], NULL, 10);
    image_list_free(&list);
    return numbers;
}

/* Copies the rows of the images to learn from into the trainer, as if it had just computed them. */
static dn_status fill_trainer(dn_trainer *t, const float *features, const uint32_t *chosen, int32_t count,
                              dn_error *error)
{
    size_t floats = (size_t)t->options.bank * (size_t)t->extractor->feature_dim;

    t->images.list = mem_zalloc(&t->allocator, (size_t)count, sizeof *t->images.list);
    if (!t->images.list)
        return fail_memory(error, "the images");
    t->images.count = t->images.capacity = count;
    for (int32_t i = 0; i < count; i++)
        t->images.list[i].name = -1; /* of no group */
    TRY(trainer_prepare(t, error));
    float *rows = mem_alloc(&t->allocator, (size_t)t->images.train_count * floats, sizeof *rows);
    if (!rows)
        return fail_memory(error, "the bank");
    for (int32_t i = 0; i < t->images.train_count; i++)
        memcpy(rows + (size_t)i * floats, features + (size_t)chosen[t->images.split[i]] * floats,
               floats * sizeof *rows);
    feature_bank_take_rows(t->bank, rows);
    return DN_OK;
}

static void print_holdout(const dn_trainer *t, const uint32_t *chosen)
{
    printf("holdout");
    for (int32_t i = 0; i < t->images.holdout_count; i++)
        printf(" %u", (unsigned)chosen[t->images.split[t->images.train_count + i]]);
    putchar('\n');
}

/* ---- training ---- */

static dn_status train(bank_job *job, dn_extractor *extractor, const float *features, int32_t total, dn_error *error)
{
    dn_trainer *trainer;
    dn_model *model;
    int32_t count = job->images ? job->images : total;

    if (count > total)
        return fail(error, DN_E_ARGUMENT, "%s: images=%d, but there are only %d", job->bank_path, count, total);
    TRY(dn_trainer_create(extractor, &job->options, &trainer, error));
    uint32_t *chosen = choose_numbers((size_t)total, (size_t)count, job->options.seed);
    dn_status status = fill_trainer(trainer, features, chosen, count, error);
    job->started = seconds_now();
    if (status == DN_OK) {
        int32_t held = trainer->images.holdout_count;
        trainer->images.holdout_count = 0; /* nothing to score: there are no pixels */
        trainer->images.count = trainer->images.train_count;
        status = trainer_run(trainer, show, job, &model, error);
        trainer->images.holdout_count = held;
        trainer->images.count = count;
    }
    if (status == DN_OK) {
        print_holdout(trainer, chosen);
        status = dn_model_save(model, job->output, DN_STORAGE_F32, error);
        dn_model_unref(model);
    }
    free(chosen);
    trainer_free(trainer);
    return status;
}

static dn_status train_on_file(bank_job *job, dn_extractor *extractor, const st_file *file, dn_error *error)
{
    const int64_t shape[] = {-1, -1, extractor->feature_dim};
    dn_allocator allocator = mem_allocator(NULL);
    const st_tensor *tensor;

    TRY(st_require(file, "features", 3, shape, &tensor, error));
    if (tensor->shape[0] < 1 || tensor->shape[0] > INT32_MAX || tensor->shape[1] < 1 || tensor->shape[1] > INT32_MAX)
        return fail(error, DN_E_FORMAT, "%s: no features, or too many", job->bank_path);
    job->options.bank = (int32_t)tensor->shape[1];
    float *features = mem_alloc(&allocator, (size_t)tensor->elements, sizeof *features);
    if (!features)
        return fail_memory(error, "the features");
    dn_status status = st_read_f32(file, tensor, features, error);
    if (status == DN_OK)
        status = train(job, extractor, features, (int32_t)tensor->shape[0], error);
    mem_free(&allocator, features);
    return status;
}

static dn_status open_backbone(const char *name, dn_extractor **out, dn_error *error)
{
    if (strcmp(name, "default") == 0)
        return dn_extractor_default(NULL, out, error);
    if (strcmp(name, "random") == 0)
        return dn_extractor_random(NULL, 0, NULL, out, error);
    return dn_extractor_open_path(name, NULL, out, error);
}

static dn_status run(bank_job *job, dn_error *error)
{
    dn_extractor *extractor;
    file_mapping mapping;
    st_file *file = NULL;
    dn_allocator allocator = mem_allocator(NULL);

    TRY(file_map(job->bank_path, &mapping, error));
    dn_status status = st_parse(mapping.bytes, mapping.size, job->bank_path, &allocator, &file, error);
    if (status == DN_OK)
        status = open_backbone(job->backbone, &extractor, error);
    if (status == DN_OK) {
        status = train_on_file(job, extractor, file, error);
        dn_extractor_unref(extractor);
    }
    st_free(file);
    file_unmap(&mapping);
    return status;
}

/* ---- settings ---- */

/* Applies "NAME=VALUE".  Ranges are checked where the options are used. */
static bool apply_setting(bank_job *job, const char *text)
{
    const struct {
        const char *name;
        int32_t *whole;
        double *real;
    } settings[] = {
        {"images", &job->images, NULL},
        {"epochs", &job->options.epochs, NULL},
        {"hidden", &job->options.hidden, NULL},
        {"threads", &job->options.threads, NULL},
        {"learning_rate", NULL, &job->options.learning_rate},
        {"weight_decay", NULL, &job->options.weight_decay},
        {"holdout", NULL, &job->options.holdout},
    };
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;
    char *end = NULL;
    double value = equals ? strtod(equals + 1, &end) : 0;

    if (!equals || end == equals + 1 || *end || !isfinite(value))
        return false;
    if (length == 4 && strncmp(text, "seed", length) == 0 && value >= 0 && value <= 0x1p53 && floor(value) == value) {
        job->options.seed = (uint64_t)value;
        return true;
    }
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strlen(settings[i].name) != length || strncmp(text, settings[i].name, length) != 0)
            continue;
        if (settings[i].real)
            *settings[i].real = value;
        else if (value >= 0 && value <= INT32_MAX && floor(value) == value)
            *settings[i].whole = (int32_t)value;
        else
            return false;
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    bank_job job = {0};
    dn_error error;

    if (argc < 4) {
        fprintf(stderr, "usage: %s BANK BACKBONE OUT.dnm [NAME=VALUE ...]\n", argv[0]);
        return EXIT_FAILED;
    }
    job.bank_path = argv[1];
    job.backbone = argv[2];
    job.output = argv[3];
    dn_train_options_init(&job.options);
    job.options.positions = 0; /* there are no pictures */
    job.options.duplicates = 0;
    job.options.calibration = DN_CALIBRATION_SPLIT;
    job.options.heatmap_images = 0;
    for (int i = 4; i < argc; i++) {
        if (!apply_setting(&job, argv[i])) {
            fprintf(stderr, "%s: not a setting, or out of range\n", argv[i]);
            return EXIT_FAILED;
        }
    }
    if (!check_output_path(job.output))
        return EXIT_FAILED;
    blas_set_threads(1);
    if (run(&job, &error) != DN_OK) {
        fprintf(stderr, "%s\n", error.message);
        return EXIT_FAILED;
    }
    return finish_output(0);
}
