#include "differnet/localize.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/product.h"
#include "base/status.h"
#include "differnet/calibrate.h"
#include "differnet/gradient_map.h"
#include "differnet/inside.h"
#include "differnet/position_map.h"
#include "differnet/regions.h"
#include "image/canvas.h"
#include "image/heatmap.h"
#include "image/mask.h"

struct dn_localizer {
    dn_allocator allocator;
    dn_model *model;        /* reference */
    pool *workers;          /* own */
    int32_t method;         /* DN_MAP_POSITIONS or DN_MAP_GRADIENT: what follows is there for one of them */
    uint16_t *canvas;       /* (height, width, 3) of the model's plan: of the whole for the gradient, of all tiles */
    image_mask own_mask;    /* of the images to come, as the caller set it, within the model's; width 0: none */
    const image_mask *mask; /* that, or the model's */
    mem_scratch resampling; /* between the image's size and the network's */
    gradient_map gradient;
    float *cells;    /* (rows, columns) */
    uint8_t *inside; /* (rows, columns): cells that count */
    float *scratch;  /* of the positions' map */
    dn_error error;
    atomic_int in_use; /* 1: a call is in progress */
};

dn_error *localizer_error(dn_localizer *localizer)
{
    return &localizer->error;
}

atomic_int *localizer_in_use(dn_localizer *localizer)
{
    return &localizer->in_use;
}

/* ---- options ---- */

dn_localizer_options localizer_default_options(void)
{
    return (dn_localizer_options){.struct_size = sizeof(dn_localizer_options),
                                  .views = 16,
                                  .angles = -1,
                                  .threads = 1,
                                  .sigma = 3,
                                  .method = DN_MAP_DEFAULT};
}

dn_status localizer_options_check(const dn_localizer_options *options, dn_error *error)
{
    static const option_range ranges[] = {
        OPTION_INTEGER(dn_localizer_options, views, 1, MODEL_MAX_VIEWS, NULL),
        OPTION_INTEGER(dn_localizer_options, angles, -1, DN_ANGLES_GRID, "-1: the model's kind"),
        OPTION_INTEGER(dn_localizer_options, threads, 1, POOL_MAX_THREADS, NULL),
        OPTION_REAL(dn_localizer_options, sigma, 0, BLUR_MAX_SIGMA, OPTION_CLOSED),
        OPTION_INTEGER(dn_localizer_options, method, DN_MAP_DEFAULT, DN_MAP_GRADIENT, "0: the model's best"),
    };

    return options_check(options, "dn_localizer_options", ranges, OPTION_COUNT(ranges), error);
}

/* ---- life ---- */

static dn_status choose_method(dn_localizer *self, int32_t method, dn_error *error)
{
    const dn_model *model = self->model;

    self->method = method;
    if (method == DN_MAP_DEFAULT)
        self->method = model->positions ? DN_MAP_POSITIONS : DN_MAP_GRADIENT;
    if (self->method == DN_MAP_POSITIONS && !model->positions)
        return fail(error, DN_E_STATE,
                    "the model holds no density at every position: DN_MAP_POSITIONS cannot be; use "
                    "DN_MAP_GRADIENT, or train it with another preset");
    if (self->method == DN_MAP_GRADIENT && !model->flow)
        return fail(error, DN_E_STATE,
                    "the model holds no flow: DN_MAP_GRADIENT cannot be; use DN_MAP_POSITIONS, or "
                    "train it with another preset");
    return DN_OK;
}

static dn_status allocate(dn_localizer *self, const dn_localizer_options *options, dn_error *error)
{
    const dn_allocator *allocator = &self->allocator;
    const dn_model *model = self->model;

    TRY(choose_method(self, options->method, error));
    size_t samples = self->method == DN_MAP_GRADIENT ? view_floats(model->extractor)
                                                     : tile_canvas_samples(&model->plan);
    self->canvas = mem_alloc(allocator, samples, sizeof *self->canvas);
    if (!self->canvas)
        return fail_memory(error, "the localizer");
    TRY(pool_create_on(options->runner, allocator, options->threads, &self->workers, error));
    if (self->method == DN_MAP_GRADIENT)
        return gradient_map_init(&self->gradient, model, options, allocator, self->workers, error);
    size_t floats = position_map_scratch(model->extractor, &model->plan, model->positions, options->threads);
    self->cells = mem_alloc(allocator, positions_cells(model->positions), sizeof *self->cells);
    self->inside = mem_alloc(allocator, positions_cells(model->positions), sizeof *self->inside);
    self->scratch = floats ? mem_alloc(allocator, floats, sizeof *self->scratch) : NULL;
    return self->cells && self->inside && self->scratch ? DN_OK : fail_memory(error, "the localizer");
}

dn_status localizer_create(dn_model *model, const dn_localizer_options *options, dn_localizer **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    dn_localizer *self = mem_zalloc(&allocator, 1, sizeof *self);
    if (!self)
        return fail_memory(error, "the localizer");
    self->allocator = allocator;
    self->resampling.allocator = allocator;
    self->own_mask.allocator = allocator;
    self->model = model_ref(model);
    self->mask = &model->mask;
    dn_status status = allocate(self, options, error);
    if (status != DN_OK) {
        localizer_free(self);
        return status;
    }
    *out = self;
    return DN_OK;
}

void localizer_free(dn_localizer *self)
{
    if (!self)
        return;
    dn_allocator allocator = self->allocator;
    pool_free(self->workers);
    gradient_map_release(&self->gradient);
    mem_free(&allocator, self->canvas);
    mem_free(&allocator, self->cells);
    mem_free(&allocator, self->inside);
    mem_free(&allocator, self->scratch);
    mem_release(&self->resampling);
    mask_clear(&self->own_mask);
    model_unref(self->model);
    mem_free(&allocator, self);
}

/* ---- maps ---- */

dn_status localizer_raw_map(dn_localizer *self, const dn_pixels *image, const float **map, dn_error *error)
{
    *map = NULL;
    TRY(product_ready(pool_threads(self->workers), error));
    const canvas_shape *whole = &self->model->plan.whole;
    canvas_place place = canvas_place_of(whole, image->width, image->height);
    TRY(canvas_refill(image, whole, self->canvas, &self->resampling, error));
    if (self->mask->width > 0)
        mask_fill(self->mask, whole, &place, self->canvas);
    return gradient_map_run(&self->gradient, self->canvas, map, error);
}

dn_status localizer_raw_map_canvas(dn_localizer *self, const uint16_t *canvas, const float **map, dn_error *error)
{
    *map = NULL;
    TRY(product_ready(pool_threads(self->workers), error));
    return gradient_map_run(&self->gradient, canvas, map, error);
}

/* The gradient's map, resized and scaled. */
static dn_status map_gradient(dn_localizer *self, const dn_pixels *image, float *map, dn_error *error)
{
    double scale = self->model->facts.heatmap_scale;
    const float *raw;

    TRY(localizer_raw_map(self, image, &raw, error));
    canvas_place place = canvas_place_of(&self->model->plan.whole, image->width, image->height);
    TRY(map_resize(raw, self->model->extractor->input_width, &place, map, image->height, image->width,
                   &self->resampling, error));
    for (size_t i = 0; scale > 0 && i < (size_t)image->height * (size_t)image->width; i++) {
        map[i] = (float)(map[i] / scale);
        if (!isfinite(map[i]))
            return fail(error, DN_E_NUMERIC, "the heat map divided by the model's scale %g is not finite", scale);
    }
    return DN_OK;
}

/* The map of the density at every position. */
static dn_status map_positions(dn_localizer *self, const dn_pixels *image, float *map, dn_error *error)
{
    const dn_model *model = self->model;
    _Bool partly;

    TRY(product_ready(pool_threads(self->workers), error));
    TRY(canvas_refill(image, &model->plan.canvas, self->canvas, &self->resampling, error));
    TRY(inside_find(&model->plan, self->mask, image->width, image->height, self->inside, &partly, error));
    const uint8_t *inside = partly ? self->inside : NULL;
    position_map(model->extractor, &model->plan, model->positions, self->canvas, inside, self->cells, self->scratch,
                 self->workers);
    TRY(pool_check(self->workers, error));
    return position_image_map(model, self->cells, inside, map, image->height, image->width, error);
}

dn_status localizer_map(dn_localizer *self, const dn_pixels *image, float *map, dn_error *error)
{
    TRY(mask_check(self->mask, image->width, image->height, error));
    TRY(self->method == DN_MAP_POSITIONS ? map_positions(self, image, map, error)
                                         : map_gradient(self, image, map, error));
    mask_map(self->mask, map, image->height, image->width);
    return DN_OK;
}

dn_status localizer_set_mask(dn_localizer *self, const dn_pixels *image, int32_t kind, dn_error *error)
{
    return mask_for_call(&self->own_mask, image, kind, &self->model->mask, &self->mask, error);
}

/* ---- boxes ---- */

dn_status localizer_boxes(dn_localizer *localizer, const float *map, int32_t width, int32_t height,
                          const dn_box_options *options, dn_box *boxes, int32_t capacity, int32_t *count)
{
    return regions_find(map, width, height, options, boxes, capacity, count, &localizer->allocator, &localizer->error);
}

/* A map between the cells' centres is nowhere above its highest cell, which is what the stored peaks are: so a good
 * image has a box with the probability that its peak is above the chosen one. */
dn_status localizer_threshold(dn_localizer *localizer, double false_alarm_rate, float *threshold, double *kept,
                              dn_error *error)
{
    const dn_model *model = localizer->model;
    double scale = model->facts.positions_scale;
    dn_score peak = {.score = 0};

    if (localizer->method != DN_MAP_POSITIONS || model->peak_count == 0 || !(scale > 0))
        return fail(error, DN_E_STATE,
                    "the model does not hold how high the maps of good images are, or not of this kind of map: give a "
                    "threshold, or train it anew with the positions' density");
    calibrate_verdict(model->peaks, model->peak_count, false_alarm_rate, &peak);
    /* peaks[i] * factor is what position_image_map makes of it; a box begins at the threshold, not above it */
    float least = peak.threshold < 0 ? 0 : (float)peak.threshold * (float)(1 / scale);
    *threshold = nextafterf(least, INFINITY);
    if (kept)
        *kept = peak.false_alarm_rate;
    return DN_OK;
}
