#include "differnet/score.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/product.h"
#include "base/status.h"
#include "differnet/calibrate.h"

_Static_assert(SCORE_DECIDE_VIEWS % FEATURES_BLOCK == 0, "a view's block is the same whether it is scored or decided");

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* ---- canvases -> views -> features -> z ---- */

/* z and logdet of views first .. first + count - 1 of the first `images` loaded images, one image behind the other.
 * errors: of all images. */
static void compute_views(dn_scorer *scorer, int32_t images, int32_t first, int32_t count, dn_error *errors)
{
    const dn_model *model = scorer->model;
    view_batch batch = {.images = images,
                        .views = count,
                        .canvases = scorer->canvases,
                        .angles = scorer->angles + first,
                        .mean = model->mean,
                        .deviation = model->deviation};
    size_t floats = (size_t)count * (size_t)model->extractor->feature_dim;

    view_features_compute(&scorer->stage, scorer->workers, &batch, scorer->features);
    /* The flow limits its blocks' outputs: infinite features could come out of it as finite numbers. */
    for (int32_t i = 0; i < images; i++)
        if (!floats_finite(scorer->features + (size_t)i * floats, floats))
            fail(&errors[scorer->loaded[i]], DN_E_NUMERIC,
                 "the image's features are not finite: the model's numbers "
                 "overflow; train it anew");
    flow_forward_rows(model->flow, scorer->features, images * count, scorer->flow_rows, scorer->features,
                      scorer->logdet, scorer->flow_scratch, scorer->workers);
}

/* ---- z -> score ---- */

/* What one image's views add up to, in their order. */
typedef struct score_sum {
    double score, likelihood;
} score_sum;

/* |z|^2 of one view. */
static double squared_norm(const float *z, int32_t dim)
{
    double sum = 0;

    for (int32_t i = 0; i < dim; i++)
        sum += (double)z[i] * z[i];
    return sum;
}

/* Adds `count` views, whose z and logdet start at row `row`.  view_scores: (count). */
static void add_views(const dn_scorer *scorer, int32_t row, int32_t count, double *view_scores, score_sum *sum)
{
    int32_t dim = scorer->model->extractor->feature_dim;

    for (int32_t i = row; i < row + count; i++) {
        double norm = squared_norm(scorer->features + (size_t)i * (size_t)dim, dim);
        view_scores[i - row] = norm / dim;
        sum->score += norm / dim;
        /* log p(y) = -|z|^2 / 2 - dim / 2 * log(2 pi) + logdet (paper equation 2) */
        sum->likelihood += -0.5 * norm - 0.5 * dim * LOG_TWO_PI + (double)scorer->logdet[i];
    }
}

/* The score and its verdict from what the densities say: the sum over all views, or over the first ones, which gives a
 * lower bound; and the map of loaded image `image`. */
static dn_status judge(const dn_scorer *scorer, const score_sum *sum, int32_t image, dn_score *score, dn_error *error)
{
    const dn_model *model = scorer->model;

    /* score = mean over views and dimensions of z^2 (paper equation 6) */
    score->flow_score = model->flow ? sum->score / scorer->views : (double)NAN;
    score->log_likelihood = model->flow ? sum->likelihood / scorer->views : (double)NAN;
    score->local_score = score->whole_score = (double)NAN;
    if (model->positions)
        position_scores(scorer->levels[image], model->facts.whole_share, &score->local_score, &score->whole_score);
    score->views = scorer->views;
    score->lower_bound = 0;
    score->warnings = scorer->images[scorer->loaded[image]].warnings;
    score->score = parts_combine(
        model->facts.standards, model->facts.flow_weight,
        (double[PARTS]){
            [PART_FLOW] = score->flow_score, [PART_LOCAL] = score->local_score, [PART_WHOLE] = score->whole_score});
    /* Finite parts can overflow together, and the sum does not tell which part was there but not a number. */
    if (!isfinite(score->score) ||
        (model->flow && (!isfinite(score->flow_score) || !isfinite(score->log_likelihood))) ||
        (model->positions && !(isfinite(score->local_score) && isfinite(score->whole_score))))
        return fail(error, DN_E_NUMERIC,
                    "the image's score is %g, of the flow's %g, its log-likelihood %g and the map's "
                    "scores %g and %g: the model's numbers overflow; train it anew",
                    score->score, score->flow_score, score->log_likelihood, score->local_score, score->whole_score);
    if (isnan(scorer->threshold))
        calibrate_verdict(scorer->good_scores, model->holdout_count, scorer->false_alarm_rate, score);
    else
        calibrate_threshold(scorer->good_scores, model->holdout_count, scorer->threshold, score);
    calibrate_index(scorer->good_scores, model->holdout_count, score);
    return DN_OK;
}

/* The cells that count, NULL: all. */
static const uint8_t *image_inside(const struct score_image *image)
{
    return image->partly ? image->inside : NULL;
}

static void hide_masked(const dn_scorer *scorer, const struct score_image *image)
{
    if (scorer->mask->width > 0)
        mask_fill(scorer->mask, &scorer->model->plan.whole, &image->place, image->canvas);
}

const uint16_t *scorer_masked_canvas(const dn_scorer *scorer)
{
    hide_masked(scorer, &scorer->images[0]);
    return scorer->images[0].canvas;
}

/* The map of each of the first `images` loaded images. */
static void compute_maps(dn_scorer *scorer, int32_t images)
{
    const dn_model *model = scorer->model;

    for (int32_t i = 0; model->positions && i < images; i++) {
        size_t cells = positions_cells(model->positions);
        float *map = scorer->maps + (size_t)i * cells;
        const struct score_image *image = &scorer->images[scorer->loaded[i]];
        scorer->levels[i] = position_map(model->extractor, &model->plan, model->positions, image->tiles,
                                         image_inside(image), map, scorer->map_scratch, scorer->workers);
    }
}

/* Scores of the first `images` loaded images; scores and errors: of all images. */
static dn_status score_loaded(dn_scorer *scorer, int32_t images, dn_score *scores, dn_error *errors, dn_error *error)
{
    compute_maps(scorer, images);
    /* What the flow is not to see is filled after the positions have looked: they leave out cells instead. */
    for (int32_t i = 0; scorer->model->flow && i < images; i++)
        hide_masked(scorer, &scorer->images[scorer->loaded[i]]);
    if (images > 0 && scorer->model->flow)
        compute_views(scorer, images, 0, scorer->views, errors);
    for (int32_t i = 0; i < images; i++) {
        int32_t number = scorer->loaded[i];
        score_sum sum = {0, 0};
        if (errors[number].status != DN_OK)
            continue;
        if (scorer->model->flow)
            add_views(scorer, i * scorer->views, scorer->views, scorer->view_scores, &sum);
        judge(scorer, &sum, i, &scores[number], &errors[number]);
    }
    return pool_check(scorer->workers, error);
}

/* Scores 1 .. scorer->batch images.  errors (count): status DN_OK where scores[i] was filled.  If it fails itself, none
 * was. */
static dn_status score_group(dn_scorer *scorer, const scorer_input *inputs, int32_t count, dn_score *scores,
                             dn_error *errors, dn_error *error)
{
    scorer->scored = 0;
    TRY(product_ready(pool_threads(scorer->workers), error));
    TRY(scorer_reserve(scorer, count, error));
    return score_loaded(scorer, scorer_load(scorer, inputs, count, errors), scores, errors, error);
}

/* After one image was scored alone: its view scores are there. */
static dn_status end_single(dn_scorer *scorer, const dn_error *cause, int32_t views, dn_error *error)
{
    if (cause->status != DN_OK)
        return fail(error, cause->status, "%s", cause->message);
    scorer->scored = scorer->model->flow ? views : 0;
    return DN_OK;
}

dn_status scorer_score(dn_scorer *scorer, const scorer_input *image, dn_score *score, dn_error *error)
{
    dn_error own;

    TRY(score_group(scorer, image, 1, score, &own, error));
    return end_single(scorer, &own, scorer->views, error);
}

dn_status scorer_score_canvas(dn_scorer *scorer, const uint16_t *canvas, dn_score *score, dn_error *error)
{
    dn_error own = {0};
    int32_t loaded = 0;

    scorer->scored = 0;
    TRY(product_ready(pool_threads(scorer->workers), error));
    TRY(scorer_reserve(scorer, 1, error));
    scorer->images[0].warnings = 0; /* the image itself is not known */
    memcpy(scorer->images[0].canvas, canvas, view_floats(scorer->model->extractor) * sizeof *canvas);
    scorer_list_loaded(scorer, 0, &loaded);
    TRY(score_loaded(scorer, loaded, score, &own, error));
    return end_single(scorer, &own, scorer->views, error);
}

/* ---- many images ---- */

/* Images first .. first + count - 1 of the list. */
static dn_status score_part(dn_scorer *scorer, const scorer_list *list, int32_t first, int32_t count,
                            scorer_result result, void *context, dn_error *error)
{
    scorer_input inputs[SCORE_IMAGES] = {0};
    dn_score scores[SCORE_IMAGES];
    dn_error errors[SCORE_IMAGES];

    for (int32_t i = 0; i < count; i++) {
        inputs[i] = list->paths ? (scorer_input){.path = list->paths[first + i]}
                                : (scorer_input){.view = &list->views[first + i]};
        scores[i] = (dn_score){.struct_size = sizeof *scores};
    }
    TRY(score_group(scorer, inputs, count, scores, errors, error));
    for (int32_t i = 0; i < count; i++)
        result(context, first + i, &scores[i], &errors[i]);
    return DN_OK;
}

dn_status scorer_score_list(dn_scorer *scorer, const scorer_list *list, scorer_result result, void *context,
                            int32_t *done, dn_error *error)
{
    for (*done = 0; *done < list->count;) {
        int32_t count = smaller(list->count - *done, scorer->batch);
        TRY(score_part(scorer, list, *done, count, result, context, error));
        *done += count;
    }
    return DN_OK;
}

/* ---- verdict ---- */

/* The sum only grows, and the image's score with it: a view's score is >= 0, and rounding keeps the order of sums and
 * of quotients.  So the score will be at least the first views' sum over the number of all views, computed like the
 * score itself, and what is anomalous with that is anomalous. */
static dn_status decide_loaded(dn_scorer *scorer, dn_score *score, dn_error *cause)
{
    score_sum sum = {0, 0};
    int32_t done = 0;

    compute_maps(scorer, 1);
    if (!scorer->model->flow)
        return judge(scorer, &sum, 0, score, cause);
    hide_masked(scorer, &scorer->images[0]);
    while (done < scorer->views) {
        int32_t count = smaller(done > 0 ? done : SCORE_DECIDE_VIEWS, scorer->views - done);
        compute_views(scorer, 1, done, count, cause);
        if (cause->status != DN_OK)
            return cause->status;
        add_views(scorer, 0, count, scorer->view_scores + done, &sum);
        done += count;
        TRY(judge(scorer, &sum, 0, score, cause));
        if (score->anomalous == 1)
            break;
    }
    if (done == scorer->views)
        return DN_OK;
    score->views = done;
    score->lower_bound = 1;
    score->log_likelihood = (double)NAN;
    return DN_OK;
}

dn_status scorer_decide(dn_scorer *scorer, const scorer_input *image, dn_score *score, dn_error *error)
{
    dn_error own;

    scorer->scored = 0;
    TRY(product_ready(pool_threads(scorer->workers), error));
    TRY(scorer_reserve(scorer, 1, error));
    if (scorer_load(scorer, image, 1, &own) == 1)
        decide_loaded(scorer, score, &own);
    TRY(pool_check(scorer->workers, error));
    return end_single(scorer, &own, score->views, error);
}

dn_status scorer_inspect(dn_scorer *scorer, const scorer_input *image, float *map, dn_score *score, dn_error *error)
{
    const dn_model *model = scorer->model;

    if (!model->positions)
        return fail(error, DN_E_STATE,
                    "the model holds no density at every position: use dn_localizer_map, or train it "
                    "with another preset");
    TRY(scorer_score(scorer, image, score, error));
    TRY(position_image_map(model, scorer->maps, image_inside(&scorer->images[0]), map, image->view->height,
                           image->view->width, error));
    mask_map(scorer->mask, map, image->view->height, image->view->width);
    return DN_OK;
}
