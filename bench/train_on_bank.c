/* Trains a flow on a feature bank that an earlier training left behind (CHECKPOINT.bank), with another seed: the C side
 * of compare_training.py.
 *
 *   train_on_bank BANK BACKBONE SEED EPOCHS HIDDEN THREADS VIEWS OUT.flow
 *
 * Prints one line per epoch: epoch, mean loss, seconds.  Looks inside the trainer, which has no public way in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/blas.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "differnet/trainer.h"

static double started;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int32_t show(const dn_progress *progress, void *user)
{
    int64_t *shown = user;

    if (progress->phase == DN_PHASE_TRAIN && progress->done > *shown) {
        *shown = progress->done;
        printf("%lld %.6f %.1f\n", (long long)progress->done, progress->loss, now() - started);
        fflush(stdout);
    }
    return 0;
}

/* Gives the trainer a bank as if it had just been filled: (images, views, dim) floats. */
static dn_status adopt_bank(dn_trainer *trainer, const char *path, dn_error *error)
{
    file_mapping mapping;
    st_file *file = NULL;
    const st_tensor *features;
    const int64_t shape[] = {-1, trainer->options.bank, trainer->extractor->feature_dim};

    TRY(file_map(path, &mapping, error));
    dn_status status = st_parse(mapping.bytes, mapping.size, path, &trainer->allocator, &file, error);
    if (status == DN_OK)
        status = st_require(file, "features", 3, shape, &features, error);
    if (status == DN_OK) {
        trainer->train_count = trainer->banked = trainer->count = (int32_t)features->shape[0];
        trainer->bank = mem_alloc(&trainer->allocator, (size_t)features->elements, sizeof *trainer->bank);
        trainer->split = mem_zalloc(&trainer->allocator, (size_t)trainer->train_count, sizeof *trainer->split);
        trainer->images = mem_zalloc(&trainer->allocator, (size_t)trainer->train_count, sizeof *trainer->images);
        status = trainer->bank && trainer->split && trainer->images ? st_read_f32(file, features, trainer->bank, error)
                                                                    : fail_memory(error, "the bank");
    }
    st_free(file);
    file_unmap(&mapping);
    return status;
}

static dn_status run(char **argv, dn_error *error)
{
    dn_train_options options;
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_model *model;
    int64_t shown = 0;

    dn_train_options_init(&options);
    options.seed = strtoull(argv[3], NULL, 10);
    options.epochs = atoi(argv[4]);
    options.hidden = atoi(argv[5]);
    options.threads = atoi(argv[6]);
    options.bank = atoi(argv[7]);
    options.holdout = 0;
    options.heatmap_images = 0;
    TRY(dn_extractor_open_path(argv[2], NULL, &extractor, error));
    dn_status status = dn_trainer_create(extractor, &options, &trainer, error);
    dn_extractor_unref(extractor);
    TRY(status);
    status = adopt_bank(trainer, argv[1], error);
    started = now();
    if (status == DN_OK)
        status = trainer_run(trainer, show, &shown, &model, error);
    trainer_free(trainer);
    TRY(status);
    status = dn_flow_save(dn_model_flow(model), argv[8], error);
    dn_model_unref(model);
    return status;
}

int main(int argc, char **argv)
{
    dn_error error;

    if (argc != 9) {
        fprintf(stderr, "usage: %s BANK BACKBONE SEED EPOCHS HIDDEN THREADS VIEWS OUT.flow\n", argv[0]);
        return 2;
    }
    blas_set_threads(1);
    if (run(argv, &error) != DN_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    return 0;
}
