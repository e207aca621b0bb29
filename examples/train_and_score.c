/* Learns from good pictures and scores others.
 *
 *   cc train_and_score.c -o train_and_score $(pkg-config --cflags --libs differnet)
 *   ./train_and_score good1.png good2.png ... -- unknown1.png unknown2.png ...
 */
#include <differnet.h>
#include <stdio.h>
#include <string.h>

static int32_t show_progress(const dn_progress *progress, void *user)
{
    static const char *const phases[] = {"further work", "features",  "training", "held-out images", "heat-map scale",
                                         "feature maps", "positions", "folds",    "copies"};
    int32_t known = progress->phase >= 1 && progress->phase <= DN_PHASE_COPIES ? progress->phase : 0;

    (void)user;
    fprintf(stderr, "\r%-16s %lld of %lld ", phases[known], (long long)progress->done, (long long)progress->total);
    return 0; /* non-zero would cancel */
}

static dn_status train(char **paths, int count, dn_model **model)
{
    dn_error error;
    dn_extractor *extractor;
    dn_trainer *trainer;
    dn_train_options options;

    dn_status status = dn_extractor_default(NULL, &extractor, &error);
    if (status != DN_OK) {
        fprintf(stderr, "backbone: %s\n", error.message);
        return status;
    }
    dn_train_options_init(&options); /* learned in seconds: dn_train_options_preset(&options, DN_PRESET_FAST) */
    options.threads = 2;
    status = dn_trainer_create(extractor, &options, &trainer, &error);
    dn_extractor_unref(extractor); /* the trainer holds its own reference */
    if (status != DN_OK) {
        fprintf(stderr, "trainer: %s\n", error.message);
        return status;
    }
    for (int i = 0; i < count && status == DN_OK; i++)
        status = dn_trainer_add_path(trainer, paths[i]);
    if (status == DN_OK)
        status = dn_trainer_run(trainer, show_progress, NULL, model);
    fputc('\n', stderr);
    if (status != DN_OK)
        fprintf(stderr, "training: %s\n", dn_trainer_error(trainer)->message);
    dn_trainer_free(trainer);
    return status;
}

static int score_all(dn_model *model, char **paths, int count)
{
    dn_error error;
    dn_scorer *scorer;
    int failures = 0;

    if (dn_scorer_create(model, NULL, &scorer, &error) != DN_OK) {
        fprintf(stderr, "scorer: %s\n", error.message);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        dn_score score;
        dn_score_init(&score);
        if (dn_scorer_score_path(scorer, paths[i], &score) != DN_OK) {
            fprintf(stderr, "%s\n", dn_scorer_error(scorer)->message);
            failures++;
            continue;
        }
        printf("%s: score %.4f, p-value %.3f, %s\n", paths[i], score.score, score.p_value,
               score.anomalous < 0 ? "no verdict"
               : score.anomalous   ? "ANOMALOUS"
                                   : "normal");
    }
    dn_scorer_free(scorer);
    return failures;
}

int main(int argc, char **argv)
{
    dn_model *model;
    int split = 1;

    while (split < argc && strcmp(argv[split], "--") != 0)
        split++;
    if (split < 2 || split + 1 >= argc) {
        fprintf(stderr, "usage: %s GOOD... -- IMAGE...\n", argv[0]);
        return 2;
    }
    if (dn_blas_threads() > 1 && dn_blas_set_threads(1) != DN_OK) /* the trainer brings its own threads */
        return 2;
    if (train(argv + 1, split - 1, &model) != DN_OK)
        return 2;
    int failures = score_all(model, argv + split + 1, argc - split - 1);
    dn_model_unref(model);
    return failures ? 2 : 0;
}
