#include "differnet/score.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "differnet/features.h"
#include "image/view.h"

#define LOG_TWO_PI 1.8378770664093454836

void score_angles(int32_t kind, int32_t n, double *angles)
{
    rng generator;

    rng_seed(&generator, 0, RNG_SCORE_ANGLE);
    for (int32_t i = 0; i < n; i++)
        angles[i] = kind == DN_ANGLES_GRID ? i * 360.0 / n : -180 + (i + rng_uniform(&generator)) * 360.0 / n;
}

/* Floats of one worker: the CNN's scratch, a multiple of 64 bytes; false if that overflows. */
static _Bool worker_floats(const dn_extractor *extractor, size_t *floats)
{
    if (!size_add(features_forward_scratch(extractor), 15, floats))
        return 0;
    *floats -= *floats % 16;
    return 1;
}

static dn_status allocate(dn_scorer *scorer, int32_t threads, dn_error *error)
{
    const dn_allocator *allocator = &scorer->allocator;
    const dn_extractor *extractor = scorer->model->extractor;
    size_t side = (size_t)extractor->input_size, views = (size_t)scorer->views, scratch;
    size_t flow_floats = flow_scratch(scorer->model->flow);

    if (flow_floats == 0 || !worker_floats(extractor, &scorer->worker_stride) ||
        !size_mul(scorer->worker_stride, (size_t)threads, &scratch))
        return fail_memory(error, "the scorer");
    scorer->angles = mem_alloc(allocator, views, sizeof *scorer->angles);
    scorer->canvas = mem_alloc(allocator, side * side * 3, sizeof *scorer->canvas);
    scorer->worker_scratch = mem_alloc(allocator, scratch, sizeof *scorer->worker_scratch);
    scorer->features = mem_alloc(allocator, views * (size_t)extractor->feature_dim, sizeof *scorer->features);
    scorer->logdet = mem_alloc(allocator, views, sizeof *scorer->logdet);
    scorer->flow_scratch = mem_alloc(allocator, flow_floats, sizeof *scorer->flow_scratch);
    scorer->view_scores = mem_alloc(allocator, views, sizeof *scorer->view_scores);
    if (!scorer->angles || !scorer->canvas || !scorer->worker_scratch || !scorer->features || !scorer->logdet ||
        !scorer->flow_scratch || !scorer->view_scores)
        return fail_memory(error, "the scorer");
    return pool_create(allocator, threads, &scorer->workers, error);
}

dn_status scorer_create(dn_model *model, const dn_scorer_options *options, dn_scorer **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    dn_scorer *scorer = mem_zalloc(&allocator, 1, sizeof *scorer);
    if (!scorer)
        return fail_memory(error, "the scorer");
    scorer->allocator = allocator;
    scorer->model = model_ref(model);
    scorer->views = options->views > 0 ? options->views : model->facts.views;
    scorer->false_alarm_rate = options->false_alarm_rate;
    dn_status status = allocate(scorer, options->threads, error);
    if (status != DN_OK) {
        scorer_free(scorer);
        return status;
    }
    score_angles(options->angles >= 0 ? options->angles : model->facts.angles, scorer->views, scorer->angles);
    *out = scorer;
    return DN_OK;
}

void scorer_free(dn_scorer *scorer)
{
    if (!scorer)
        return;
    dn_allocator allocator = scorer->allocator;
    pool_free(scorer->workers);
    mem_free(&allocator, scorer->angles);
    mem_free(&allocator, scorer->canvas);
    mem_free(&allocator, scorer->worker_scratch);
    mem_free(&allocator, scorer->features);
    mem_free(&allocator, scorer->logdet);
    mem_free(&allocator, scorer->flow_scratch);
    mem_free(&allocator, scorer->view_scores);
    model_unref(scorer->model);
    mem_free(&allocator, scorer);
}

struct score_views {
    const dn_scorer *scorer;
    int32_t first;
};

static void render(void *context, int32_t index, float *view)
{
    const struct score_views *views = context;
    const dn_scorer *scorer = views->scorer;
    const dn_extractor *extractor = scorer->model->extractor;

    view_render(scorer->canvas, extractor->input_size, scorer->angles[views->first + index], NULL, extractor->mean,
                extractor->std, view);
}

/* One block of views: render -> features (n, dim) -> standardise. */
static void score_block(void *context, int32_t task, int32_t worker)
{
    dn_scorer *scorer = context;
    int32_t dim = scorer->model->extractor->feature_dim, n = features_block_views(scorer->views, task);
    struct score_views views = {scorer, task * FEATURES_BLOCK};
    float *rows = scorer->features + (size_t)views.first * (size_t)dim;

    features_forward(scorer->model->extractor, render, &views, n, rows,
                     scorer->worker_scratch + (size_t)worker * scorer->worker_stride);
    for (int32_t i = 0; i < n; i++)
        model_standardise(scorer->model, rows + (size_t)i * (size_t)dim);
}

/* |z|^2 of one view. */
static double squared_norm(const float *z, int32_t dim)
{
    double sum = 0;

    for (int32_t i = 0; i < dim; i++)
        sum += (double)z[i] * z[i];
    return sum;
}

/* Scores what scorer->canvas holds. */
static dn_status score_canvas(dn_scorer *scorer, dn_score *score, dn_error *error)
{
    const dn_model *model = scorer->model;
    int32_t dim = model->extractor->feature_dim, views = scorer->views;
    double score_sum = 0, likelihood_sum = 0;

    scorer->scored = 0;
    pool_run(scorer->workers, features_blocks(views), score_block, scorer);
    /* The flow limits its blocks' outputs: infinite features could come out of it as finite numbers. */
    if (!flow_finite(scorer->features, (size_t)views * (size_t)dim))
        return fail(error, DN_E_NUMERIC, "the image's features are not finite: the model's numbers overflow; train it "
                    "anew");
    flow_forward(model->flow, scorer->features, views, scorer->features, scorer->logdet, scorer->flow_scratch,
                 scorer->workers);
    for (int32_t i = 0; i < views; i++) {
        double norm = squared_norm(scorer->features + (size_t)i * (size_t)dim, dim);
        scorer->view_scores[i] = norm / dim;
        score_sum += norm / dim;
        /* log p(y) = -|z|^2 / 2 - dim / 2 * log(2 pi) + logdet (paper equation 2) */
        likelihood_sum += -0.5 * norm - 0.5 * dim * LOG_TWO_PI + (double)scorer->logdet[i];
    }
    /* score = mean over views and dimensions of z^2 (paper equation 6) */
    score->score = score_sum / views;
    score->log_likelihood = likelihood_sum / views;
    score->views = views;
    score->reserved = 0;
    if (!isfinite(score->score) || !isfinite(score->log_likelihood))
        return fail(error, DN_E_NUMERIC, "the image's score is %g and its log-likelihood %g: the model's numbers "
                    "overflow; train it anew", score->score, score->log_likelihood);
    scorer->scored = views;
    calibrate_verdict(model->holdout_scores, model->holdout_count, scorer->false_alarm_rate, score);
    return DN_OK;
}

dn_status scorer_score(dn_scorer *scorer, const dn_image_view *image, dn_score *score, dn_error *error)
{
    scorer->scored = 0;
    TRY(canvas_fill(image, scorer->model->extractor->input_size, scorer->canvas, &scorer->allocator, error));
    return score_canvas(scorer, score, error);
}

dn_status scorer_score_canvas(dn_scorer *scorer, const uint16_t *canvas, dn_score *score, dn_error *error)
{
    size_t side = (size_t)scorer->model->extractor->input_size;

    memcpy(scorer->canvas, canvas, side * side * 3 * sizeof *canvas);
    return score_canvas(scorer, score, error);
}
