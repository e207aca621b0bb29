/* The flow works on blocks of FLOW_ROWS rows whatever their number, so its gradient is computed for all views at once:
 * features of all views, then the flow's gradient, then the CNN's gradient view by view, which computes the features
 * again.  That repeated forward pass costs less than a padded block of the flow for each view. */
#include "differnet/gradient_map.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "differnet/score.h"
#include "image/heatmap.h"

#define BLOCK GRADIENT_MAP_BLOCK
_Static_assert(BLOCK % FEATURES_BLOCK == 0, "a block of maps holds whole blocks of views");

/* ---- life ---- */

/* Floats of a view or its gradient. */
static size_t view_size(const gradient_map *self)
{
    return view_floats(self->model->extractor);
}

dn_status gradient_map_init(gradient_map *self, const dn_model *model, const dn_localizer_options *options,
                            const dn_allocator *allocator, pool *workers, dn_error *error)
{
    *self = (gradient_map){
        .allocator = *allocator, .model = model, .workers = workers, .views = options->views, .sigma = options->sigma};
    size_t views = (size_t)self->views, pixels = view_size(self) / 3;
    size_t rows = views * (size_t)model->extractor->feature_dim;
    size_t maps = views < BLOCK ? views : BLOCK, flow_floats = flow_gradient_scratch(model->flow);
    size_t gradient = 2 * FEATURES_BLOCK * view_size(self) + features_gradient_scratch(model->extractor);

    if (flow_floats == 0)
        return fail_memory(error, "the localizer");
    TRY(view_features_init(&self->stage, model->extractor, options->threads, gradient, allocator, error));
    self->angles = mem_alloc(allocator, views, sizeof *self->angles);
    self->features = mem_alloc(allocator, rows, sizeof *self->features);
    self->feature_gradient = mem_alloc(allocator, rows, sizeof *self->feature_gradient);
    self->flow_scratch = mem_alloc(allocator, flow_floats, sizeof *self->flow_scratch);
    self->view_maps = mem_alloc(allocator, maps * pixels, sizeof *self->view_maps);
    self->map = mem_alloc(allocator, pixels, sizeof *self->map);
    if (!self->angles || !self->features || !self->feature_gradient || !self->flow_scratch || !self->view_maps ||
        !self->map)
        return fail_memory(error, "the localizer");
    score_angles(options->angles >= 0 ? options->angles : model->facts.angles, self->views, self->angles);
    return DN_OK;
}

void gradient_map_release(gradient_map *self)
{
    if (!self->model)
        return;
    mem_free(&self->allocator, self->angles);
    mem_free(&self->allocator, self->features);
    mem_free(&self->allocator, self->feature_gradient);
    mem_free(&self->allocator, self->flow_scratch);
    view_features_release(&self->stage);
    mem_free(&self->allocator, self->view_maps);
    mem_free(&self->allocator, self->map);
}

/* ---- gradients ---- */

/* loss of a view = (|z|^2 / 2 - logdet) / dim (paper equation 3): dz = z / dim, dlogdet = -1 / dim. */
static void loss_gradient(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                          float *logdet_gradient)
{
    const gradient_map *self = context;
    int32_t dim = self->model->extractor->feature_dim;
    float share = 1.0f / (float)dim;

    (void)logdet;
    for (size_t i = 0; i < (size_t)rows * (size_t)dim; i++)
        z_gradient[i] = z[i] * share;
    for (int32_t i = 0; i < rows; i++)
        logdet_gradient[i] = -share;
}

/* Rows of feature_gradient. */
struct gradient_rows {
    const float *values; /* (n, dim) */
    size_t bytes;        /* of a row */
};

static void copy_rows(void *context, const float *features, int32_t n, float *feature_gradient)
{
    const struct gradient_rows *rows = context;

    (void)features;
    memcpy(feature_gradient, rows->values, (size_t)n * rows->bytes);
}

/* The last pass: the gradients of the views from first + task * FEATURES_BLOCK on, rotated back and blurred, to their
 * places in view_maps. */
static void block_maps(void *context, int32_t task, int32_t worker)
{
    gradient_map *self = context;
    const dn_extractor *extractor = self->model->extractor;
    int32_t width = extractor->input_width, height = extractor->input_height;
    int32_t place = task * FEATURES_BLOCK, index = self->first + place;
    int32_t n = features_block_views(self->views, index / FEATURES_BLOCK);
    size_t floats = view_size(self), dim = (size_t)extractor->feature_dim;
    float *view = view_features_scratch(&self->stage, worker);
    float *gradient = view + FEATURES_BLOCK * floats;
    float *map = self->view_maps + (size_t)place * (floats / 3); /* (height, width) */
    struct gradient_rows rows = {self->feature_gradient + (size_t)index * dim, dim * sizeof *rows.values};

    for (int32_t i = 0; i < n; i++)
        view_features_render(extractor, self->canvas, self->angles[index + i], NULL, view + (size_t)i * floats);
    features_gradient(extractor, view, n, copy_rows, &rows, gradient, view + 2 * FEATURES_BLOCK * floats);
    for (int32_t i = 0; i < n; i++, view += floats, gradient += floats, map += floats / 3) {
        map_rotate(gradient, width, height, 3, -self->angles[index + i], view);
        map_blur(view, height, width, 3, self->sigma, gradient);
        for (size_t p = 0; p < floats / 3; p++)
            map[p] = (fabsf(view[3 * p]) + fabsf(view[3 * p + 1]) + fabsf(view[3 * p + 2])) / 3;
    }
}

/* Gradient of each view's loss with respect to its features as they come from the CNN. */
static dn_status features_to_gradients(gradient_map *self, dn_error *error)
{
    const dn_model *model = self->model;
    int32_t dim = model->extractor->feature_dim;
    const uint16_t *canvases[1] = {self->canvas};
    view_batch batch = {.images = 1,
                        .views = self->views,
                        .canvases = canvases,
                        .angles = self->angles,
                        .mean = model->mean,
                        .deviation = model->deviation};

    view_features_compute(&self->stage, self->workers, &batch, self->features);
    /* The flow limits its blocks' outputs: infinite features could come out of it as finite numbers. */
    if (!floats_finite(self->features, (size_t)self->views * (size_t)dim))
        return fail(error, DN_E_NUMERIC,
                    "the image's features are not finite: the model's numbers overflow; train it "
                    "anew");
    flow_gradient(model->flow, self->features, self->views, loss_gradient, self, NULL, NULL, self->feature_gradient,
                  self->flow_scratch, self->workers);
    for (int32_t i = 0; i < self->views; i++)
        for (int32_t j = 0; j < dim; j++) /* y' = (y - mean) / deviation */
            self->feature_gradient[(size_t)i * (size_t)dim + (size_t)j] /= model->deviation[j];
    return DN_OK;
}

dn_status gradient_map_run(gradient_map *self, const uint16_t *canvas, const float **map, dn_error *error)
{
    size_t pixels = view_size(self) / 3;

    self->canvas = canvas;
    TRY(features_to_gradients(self, error));
    memset(self->map, 0, pixels * sizeof *self->map);
    for (self->first = 0; self->first < self->views; self->first += BLOCK) {
        int32_t count = self->views - self->first < BLOCK ? self->views - self->first : BLOCK;
        pool_run(self->workers, features_blocks(count), block_maps, self);
        for (int32_t k = 0; k < count; k++)
            for (size_t i = 0; i < pixels; i++)
                self->map[i] += self->view_maps[(size_t)k * pixels + i];
    }
    TRY(pool_check(self->workers, error));
    for (size_t i = 0; i < pixels; i++) {
        float mean = self->map[i] / (float)self->views;
        self->map[i] = mean * mean;
        if (!isfinite(self->map[i]))
            return fail(error, DN_E_NUMERIC,
                        "the image's heat map is not finite: the model's numbers overflow; "
                        "train it anew");
    }
    *map = self->map;
    return DN_OK;
}
