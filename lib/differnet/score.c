#include "differnet/score.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/option.h"
#include "base/rng.h"
#include "base/status.h"
#include "differnet/calibrate.h"
#include "image/canvas.h"
#include "image/codec.h"
#include "image/pixels.h"

_Static_assert(SCORE_DECIDE_VIEWS % FEATURES_BLOCK == 0, "a view's block is the same whether it is scored or decided");

void score_angles(int32_t kind, int32_t n, double *angles)
{
    rng generator;

    rng_seed(&generator, 0, RNG_SCORE_ANGLE);
    for (int32_t i = 0; i < n; i++)
        angles[i] = kind == DN_ANGLES_GRID ? i * 360.0 / n : -180 + (i + rng_uniform(&generator)) * 360.0 / n;
}

/* ---- options ---- */

dn_scorer_options scorer_default_options(void)
{
    return (dn_scorer_options){.struct_size = sizeof(dn_scorer_options), .views = 0, .angles = -1, .threads = 1,
                               .false_alarm_rate = 0.05};
}

dn_status scorer_options_check(const dn_scorer_options *options, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_scorer_options, views, 0, MODEL_MAX_VIEWS, "0: the model's number"),
        OPTION_INTEGER(dn_scorer_options, angles, -1, DN_ANGLES_GRID, "-1: the model's kind"),
        OPTION_INTEGER(dn_scorer_options, threads, 1, POOL_MAX_THREADS, NULL),
        OPTION_REAL(dn_scorer_options, false_alarm_rate, 0, 1, OPTION_ABOVE),
    };

    return options_check(options, "dn_scorer_options", ranges, OPTION_COUNT(ranges), error);
}

/* ---- memory ---- */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static size_t canvas_samples(const dn_scorer *scorer)
{
    return view_floats(scorer->model->extractor->input_size);
}

static int32_t batch_images(const dn_scorer *scorer)
{
    size_t canvases = SCORE_CANVASES / (canvas_samples(scorer) * sizeof(uint16_t));
    int32_t images = smaller(SCORE_ROWS / scorer->views, SCORE_IMAGES);

    if (canvases < (size_t)images)
        images = (int32_t)canvases;
    return images > 1 ? images : 1;
}

static void release_images(dn_scorer *scorer)
{
    const dn_allocator *allocator = &scorer->allocator;

    for (int32_t i = 0; scorer->images && i < scorer->capacity; i++) {
        mem_free(allocator, scorer->images[i].canvas);
        mem_release(&scorer->images[i].resampling);
    }
    mem_free(allocator, scorer->images);
    mem_free(allocator, scorer->loaded);
    mem_free(allocator, scorer->canvases);
    mem_free(allocator, scorer->features);
    mem_free(allocator, scorer->logdet);
    mem_free(allocator, scorer->flow_scratch);
    scorer->images = NULL;
    scorer->loaded = NULL;
    scorer->canvases = NULL;
    scorer->features = scorer->logdet = scorer->flow_scratch = NULL;
    scorer->capacity = 0;
}

static _Bool allocate_images(dn_scorer *scorer)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t images = (size_t)scorer->capacity, rows = images * (size_t)scorer->views;
    size_t flow_floats = flow_rows_scratch(scorer->model->flow, scorer->flow_rows);

    scorer->images = mem_zalloc(allocator, images, sizeof *scorer->images);
    scorer->loaded = mem_alloc(allocator, images, sizeof *scorer->loaded);
    scorer->canvases = mem_alloc(allocator, images, sizeof *scorer->canvases);
    scorer->features = mem_alloc(allocator, rows * (size_t)scorer->model->extractor->feature_dim,
                                 sizeof *scorer->features);
    scorer->logdet = mem_alloc(allocator, rows, sizeof *scorer->logdet);
    scorer->flow_scratch = flow_floats ? mem_alloc(allocator, flow_floats, sizeof *scorer->flow_scratch) : NULL;
    if (!scorer->images || !scorer->loaded || !scorer->canvases || !scorer->features || !scorer->logdet ||
        !scorer->flow_scratch)
        return 0;
    for (size_t i = 0; i < images; i++) {
        struct score_image *image = &scorer->images[i];
        image->resampling.allocator = *allocator;
        image->canvas = mem_alloc(allocator, canvas_samples(scorer), sizeof *image->canvas);
        if (!image->canvas)
            return 0;
    }
    return 1;
}

/* Sees to it that there is memory for `images` images. */
static dn_status reserve(dn_scorer *scorer, int32_t images, dn_error *error)
{
    if (images <= scorer->capacity)
        return DN_OK;
    release_images(scorer);
    scorer->capacity = images;
    scorer->flow_rows = smaller(images * scorer->views, SCORE_ROWS);
    if (allocate_images(scorer))
        return DN_OK;
    release_images(scorer); /* a later call tries again */
    return fail_memory(error, "the scorer");
}

static dn_status allocate(dn_scorer *scorer, const dn_scorer_options *options, dn_error *error)
{
    const dn_allocator *allocator = &scorer->allocator;
    size_t views = (size_t)scorer->views;

    scorer->angles = mem_alloc(allocator, views, sizeof *scorer->angles);
    scorer->view_scores = mem_alloc(allocator, views, sizeof *scorer->view_scores);
    if (!scorer->angles || !scorer->view_scores)
        return fail_memory(error, "the scorer");
    TRY(view_features_init(&scorer->stage, scorer->model->extractor, options->threads, 0, allocator, error));
    TRY(reserve(scorer, 1, error));
    return pool_create_on(options->runner, allocator, options->threads, &scorer->workers, error);
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
    scorer->batch = batch_images(scorer);
    dn_status status = allocate(scorer, options, error);
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
    release_images(scorer);
    mem_free(&allocator, scorer->angles);
    view_features_release(&scorer->stage);
    mem_free(&allocator, scorer->view_scores);
    model_unref(scorer->model);
    mem_free(&allocator, scorer);
}

/* ---- images -> canvases ---- */

static dn_status fill_image(const dn_scorer *scorer, const dn_pixels *view, struct score_image *image, dn_error *error)
{
    TRY(pixels_check(view, DN_MIN_SIDE, error));
    return canvas_refill(view, scorer->model->extractor->input_size, image->canvas, &image->resampling, error);
}

/* Likewise of a file; errors name it. */
static dn_status open_image(const dn_scorer *scorer, const char *path, struct score_image *image, dn_error *error)
{
    dn_image_options options = image_default_options();
    dn_image *decoded;
    dn_error cause = {0};

    options.allocator = &scorer->allocator;
    TRY(image_open(path, &options, &decoded, error));
    const dn_pixels view = image_pixels(decoded);
    dn_status status = fill_image(scorer, &view, image, &cause);
    image_free(decoded);
    return status == DN_OK ? DN_OK : fail(error, status, "%s: %s", path, cause.message);
}

struct load_job {
    dn_scorer *scorer;
    const scorer_input *inputs;
    dn_error *errors;
};

static void load_image(void *context, int32_t task, int32_t worker)
{
    const struct load_job *job = context;
    const scorer_input *input = &job->inputs[task];
    struct score_image *image = &job->scorer->images[task];
    dn_error *error = &job->errors[task];

    (void)worker;
    *error = (dn_error){0};
    if (input->path)
        error->status = open_image(job->scorer, input->path, image, error);
    else
        error->status = fill_image(job->scorer, input->view, image, error);
}

/* Image `number` is there. */
static void list_loaded(dn_scorer *scorer, int32_t number, int32_t *loaded)
{
    scorer->loaded[*loaded] = number;
    scorer->canvases[(*loaded)++] = scorer->images[number].canvas;
}

/* Loads images 0 ... and lists those that went well; returns their number. */
static int32_t load_images(dn_scorer *scorer, const scorer_input *inputs, int32_t count, dn_error *errors)
{
    struct load_job job = {scorer, inputs, errors};
    int32_t loaded = 0;

    pool_run(scorer->workers, count, load_image, &job);
    for (int32_t i = 0; i < count; i++)
        if (errors[i].status == DN_OK)
            list_loaded(scorer, i, &loaded);
    return loaded;
}

/* ---- canvases -> views -> features -> z ---- */

/* z and logdet of views first .. first + count - 1 of the first `images` loaded images, one image behind the other.
 * errors: of all images. */
static void compute_views(dn_scorer *scorer, int32_t images, int32_t first, int32_t count, dn_error *errors)
{
    const dn_model *model = scorer->model;
    view_batch batch = {.images = images, .views = count, .canvases = scorer->canvases,
                        .angles = scorer->angles + first, .mean = model->mean, .deviation = model->deviation};
    size_t floats = (size_t)count * (size_t)model->extractor->feature_dim;

    view_features_compute(&scorer->stage, scorer->workers, &batch, scorer->features);
    /* The flow limits its blocks' outputs: infinite features could come out of it as finite numbers. */
    for (int32_t i = 0; i < images; i++)
        if (!floats_finite(scorer->features + (size_t)i * floats, floats))
            fail(&errors[scorer->loaded[i]], DN_E_NUMERIC, "the image's features are not finite: the model's numbers "
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

/* The score and its verdict from the sum over all views, or a lower bound of it from the first ones' sum. */
static dn_status judge(const dn_scorer *scorer, const score_sum *sum, dn_score *score, dn_error *error)
{
    /* score = mean over views and dimensions of z^2 (paper equation 6) */
    score->score = sum->score / scorer->views;
    score->log_likelihood = sum->likelihood / scorer->views;
    score->views = scorer->views;
    score->lower_bound = 0;
    if (!isfinite(score->score) || !isfinite(score->log_likelihood))
        return fail(error, DN_E_NUMERIC, "the image's score is %g and its log-likelihood %g: the model's numbers "
                    "overflow; train it anew", score->score, score->log_likelihood);
    calibrate_verdict(scorer->model->holdout_scores, scorer->model->holdout_count, scorer->false_alarm_rate, score);
    return DN_OK;
}

/* Scores of the first `images` loaded images; scores and errors: of all images. */
static dn_status score_loaded(dn_scorer *scorer, int32_t images, dn_score *scores, dn_error *errors, dn_error *error)
{
    if (images > 0)
        compute_views(scorer, images, 0, scorer->views, errors);
    for (int32_t i = 0; i < images; i++) {
        int32_t number = scorer->loaded[i];
        score_sum sum = {0, 0};
        if (errors[number].status != DN_OK)
            continue;
        add_views(scorer, i * scorer->views, scorer->views, scorer->view_scores, &sum);
        judge(scorer, &sum, &scores[number], &errors[number]);
    }
    return pool_check(scorer->workers, error);
}

/* Scores 1 .. scorer->batch images.  errors (count): status DN_OK where scores[i] was filled.  If it fails itself, none
 * was. */
static dn_status score_group(dn_scorer *scorer, const scorer_input *inputs, int32_t count, dn_score *scores,
                             dn_error *errors, dn_error *error)
{
    scorer->scored = 0;
    TRY(reserve(scorer, count, error));
    return score_loaded(scorer, load_images(scorer, inputs, count, errors), scores, errors, error);
}

/* After one image was scored alone: its view scores are there. */
static dn_status end_single(dn_scorer *scorer, const dn_error *cause, int32_t views, dn_error *error)
{
    if (cause->status != DN_OK)
        return fail(error, cause->status, "%s", cause->message);
    scorer->scored = views;
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
    TRY(reserve(scorer, 1, error));
    memcpy(scorer->images[0].canvas, canvas, canvas_samples(scorer) * sizeof *canvas);
    list_loaded(scorer, 0, &loaded);
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

/* The sum only grows: a view's score is >= 0, and rounding keeps the order of sums and of quotients.  So the score will
 * be at least the first views' sum over the number of all views, computed like the score itself, and what is anomalous
 * with that is anomalous. */
static dn_status decide_loaded(dn_scorer *scorer, dn_score *score, dn_error *cause)
{
    score_sum sum = {0, 0};
    int32_t done = 0;

    while (done < scorer->views) {
        int32_t count = smaller(done > 0 ? done : SCORE_DECIDE_VIEWS, scorer->views - done);
        compute_views(scorer, 1, done, count, cause);
        if (cause->status != DN_OK)
            return cause->status;
        add_views(scorer, 0, count, scorer->view_scores + done, &sum);
        done += count;
        TRY(judge(scorer, &sum, score, cause));
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
    TRY(reserve(scorer, 1, error));
    if (load_images(scorer, image, 1, &own) == 1)
        decide_loaded(scorer, score, &own);
    TRY(pool_check(scorer->workers, error));
    return end_single(scorer, &own, score->views, error);
}
