#include "cnn/extractor_views.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "cnn/view_features.h"
#include "image/canvas.h"

/* what: "views" and so on, one row of `floats` per view. */
static dn_status check_finite(const float *values, int32_t n, size_t floats, const char *what, dn_error *error)
{
    for (int32_t i = 0; i < n; i++, values += floats)
        for (size_t k = 0; k < floats; k++)
            if (!isfinite(values[k]))
                return fail(error, DN_E_NUMERIC, "%s: view %d has a value that is not a finite number", what, i);
    return DN_OK;
}

/* The image at the network's size, from which views are rotated.  *canvas belongs to the caller. */
static dn_status make_canvas(const dn_extractor *extractor, const dn_pixels *image, uint16_t **canvas, dn_error *error)
{
    *canvas = mem_alloc(&extractor->allocator, view_floats(extractor), sizeof **canvas);
    if (!*canvas)
        return fail_memory(error, "the image at the network's size");
    dn_status status = canvas_fill(image, extractor->input_width, extractor->input_height, *canvas,
                                   &extractor->allocator, error);
    if (status != DN_OK) {
        mem_free(&extractor->allocator, *canvas);
        *canvas = NULL;
    }
    return status;
}

dn_status extractor_views(const dn_extractor *extractor, const dn_pixels *image, const double *angles, int32_t n,
                          float *views, dn_error *error)
{
    size_t floats = view_floats(extractor);
    uint16_t *canvas;

    TRY(make_canvas(extractor, image, &canvas, error));
    for (int32_t i = 0; i < n; i++, views += floats)
        view_features_render(extractor, canvas, angles[i], NULL, views);
    mem_free(&extractor->allocator, canvas);
    return DN_OK;
}

/* Views that are there already, one behind the other. */
struct finished_views {
    const float *views;
    size_t floats; /* of a view */
};

static void give_view(void *context, int32_t index, float *view)
{
    const struct finished_views *finished = context;

    memcpy(view, finished->views + (size_t)index * finished->floats, finished->floats * sizeof *view);
}

dn_status extractor_features(const dn_extractor *extractor, const float *views, int32_t n, float *features,
                             dn_error *error)
{
    size_t floats = view_floats(extractor), dimension = (size_t)extractor->feature_dim;

    TRY(check_finite(views, n, floats, "views", error));
    float *scratch = mem_alloc(&extractor->allocator, features_forward_scratch(extractor), sizeof *scratch);
    if (!scratch)
        return fail_memory(error, "the features");
    for (int32_t block = 0; block < features_blocks(n); block++) {
        size_t first = (size_t)block * FEATURES_BLOCK;
        struct finished_views finished = {views + first * floats, floats};
        features_forward(extractor, give_view, &finished, features_block_views(n, block), features + first * dimension,
                         scratch);
    }
    mem_free(&extractor->allocator, scratch);
    return check_finite(features, n, dimension, "features", error);
}

dn_status extractor_features_image(const dn_extractor *extractor, const dn_pixels *image, const double *angles,
                                   int32_t n, float *features, dn_error *error)
{
    uint16_t *canvas;
    view_features stage;

    TRY(make_canvas(extractor, image, &canvas, error));
    const uint16_t *canvases[1] = {canvas};
    view_batch batch = {.images = 1, .views = n, .canvases = canvases, .angles = angles};
    dn_status status = view_features_init(&stage, extractor, 1, 0, &extractor->allocator, error);
    if (status == DN_OK)
        view_features_compute(&stage, NULL, &batch, features);
    view_features_release(&stage);
    mem_free(&extractor->allocator, canvas);
    if (status != DN_OK)
        return status;
    return check_finite(features, n, (size_t)extractor->feature_dim, "features", error);
}

struct given_gradient {
    const float *gradient;
    size_t size; /* bytes */
};

static void give_gradient(void *context, const float *features, int32_t n, float *feature_gradient)
{
    const struct given_gradient *given = context;

    (void)features;
    memcpy(feature_gradient, given->gradient, (size_t)n * given->size);
}

dn_status extractor_gradient(const dn_extractor *extractor, const float *views, int32_t n,
                             const float *feature_gradient, float *pixel_gradient, dn_error *error)
{
    size_t floats = view_floats(extractor), dimension = (size_t)extractor->feature_dim;

    TRY(check_finite(views, n, floats, "views", error));
    TRY(check_finite(feature_gradient, n, dimension, "feature_gradient", error));
    float *scratch = mem_alloc(&extractor->allocator, features_gradient_scratch(extractor), sizeof *scratch);
    if (!scratch)
        return fail_memory(error, "the gradient");
    for (int32_t block = 0; block < features_blocks(n); block++) {
        size_t first = (size_t)block * FEATURES_BLOCK;
        struct given_gradient given = {feature_gradient + first * dimension, dimension * sizeof(float)};
        features_gradient(extractor, views + first * floats, features_block_views(n, block), give_gradient, &given,
                          pixel_gradient + first * floats, scratch);
    }
    mem_free(&extractor->allocator, scratch);
    return check_finite(pixel_gradient, n, floats, "pixel_gradient", error);
}
