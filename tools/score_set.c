#include "score_set.h"

#include <math.h>
#include <stdlib.h>

#include "layout.h"
#include "progress.h"

/* Scores images first .. first + count - 1, at most MAX_BATCH. */
static bool score_group(dn_scorer *scorer, const test_set *set, size_t first, size_t count, dn_score *scores)
{
    const char *paths[MAX_BATCH] = {0};
    dn_error errors[MAX_BATCH];

    for (size_t i = 0; i < count; i++) {
        paths[i] = set->images[first + i].path;
        dn_score_init(&scores[first + i]);
    }
    dn_status status = dn_scorer_score_batch_paths(scorer, paths, (int32_t)count, scores + first, errors);
    for (size_t i = 0; i < count; i++) {
        if (errors[i].status != DN_OK)
            complain_status(paths[i], errors[i].status, errors[i].message);
    }
    return status == DN_OK;
}

bool score_set(dn_scorer *scorer, const test_set *set, const char *title, bool quiet, dn_score *scores)
{
    progress_bar bar;
    size_t group = batch_images(scorer);
    bool all = true;

    progress_begin(&bar, quiet, title, "images", 0);
    for (size_t first = 0; first < set->count; first += group) {
        size_t count = set->count - first < group ? set->count - first : group;
        all = score_group(scorer, set, first, count, scores) && all;
        progress_update(&bar, (int64_t)(first + count), (int64_t)set->count, NULL);
    }
    progress_end(&bar, (int64_t)set->count, (int64_t)set->count, NULL);
    return all;
}

set_figures score_figures(const test_set *set, const dn_score *scores)
{
    set_figures figures = {(double)NAN, (double)NAN, (double)NAN, (double)NAN, 0, 0, 0};
    ranked_score *ranking = need_memory(set->count, sizeof *ranking);

    for (size_t i = 0; i < set->count; i++) {
        bool defective = set->images[i].defect >= 0;
        ranking[i] = (ranked_score){scores[i].score, defective};
        figures.anomalous += scores[i].anomalous == 1;
        figures.false_alarms += scores[i].anomalous == 1 && !defective;
        figures.missed += scores[i].anomalous == 0 && defective;
    }
    if (set->good > 0 && set->good < set->count) {
        metrics_rank(ranking, set->count);
        figures.auroc = metrics_auroc(ranking, set->count);
        figures.average_precision = metrics_average_precision(ranking, set->count);
        figures.f1 = metrics_best_f1(ranking, set->count, &figures.f1_threshold);
    }
    free(ranking);
    return figures;
}

test_set unlabelled_set(image_list *images)
{
    test_set set = {.count = images->count, .good = images->count};

    set.images = need_memory(images->count, sizeof *set.images);
    for (size_t i = 0; i < images->count; i++)
        set.images[i] = (test_image){images->paths[i], NULL, -1};
    free(images->paths);
    *images = (image_list){0};
    return set;
}

bool open_any_set(const char *data, bool quiet, test_set *set, bool *labelled)
{
    image_list images = {0};

    *labelled = is_folder(data) && is_test_set(data);
    if (*labelled)
        return open_test_set(data, false, quiet, set);
    *set = (test_set){0};
    if (!list_operand(data, &images)) {
        image_list_free(&images);
        return false;
    }
    tell_masks(leave_masks_out(&images));
    *set = unlabelled_set(&images);
    return true;
}
