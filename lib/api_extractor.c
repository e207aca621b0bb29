/* dn_extractor_*: backbones, views, features and their gradient. */
#include "api.h"

#include <math.h>
#include <string.h>

#include "backbone/embedded.h"
#include "base/file.h"
#include "base/memory.h"
#include "cnn/extractor.h"
#include "cnn/features.h"
#include "image/canvas.h"
#include "image/pixels.h"

#define MAX_VIEWS 65536
#define MAX_FILE ((int64_t)1 << 32) /* bytes; far above any backbone */

static const dn_extractor_options default_options = {
    .struct_size = sizeof(dn_extractor_options), .input_size = 448, .scales = 3};

void dn_extractor_options_init_size(dn_extractor_options *options, size_t size)
{
    options_init(options, size, &default_options, sizeof default_options);
}

void dn_extractor_info_init_size(dn_extractor_info *info, size_t size)
{
    static const dn_extractor_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

/* The caller's options over the defaults.  Ranges of size and scales are checked where the extractor is made. */
static dn_status read_options(const dn_extractor_options *options, dn_extractor_options *own, dn_error *error)
{
    *own = default_options;
    TRY(options_read(own, sizeof *own, options, "dn_extractor_options", error));
    if (own->reserved != 0)
        return fail(error, DN_E_ARGUMENT, "dn_extractor_options: reserved is %d; it must be 0", own->reserved);
    return allocator_check(own->allocator, "dn_extractor_options", error);
}

static dn_status open_bytes(const uint8_t *bytes, size_t size, const char *label, const dn_extractor_options *options,
                            const dn_allocator *allocator, dn_extractor **out, dn_error *error)
{
    st_file *file = NULL;

    TRY(st_parse(bytes, size, label, allocator, &file, error));
    dn_status status = extractor_from_tensors(file, "", options, out, error);
    st_free(file);
    return status;
}

dn_status dn_extractor_open_path(const char *path, const dn_extractor_options *options, dn_extractor **out,
                                 dn_error *error)
{
    dn_extractor_options own;
    uint8_t *bytes = NULL;
    size_t size = 0;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(path, error);
    TRY(read_options(options, &own, error));
    dn_allocator allocator = mem_allocator(own.allocator);
    TRY(file_read(path, MAX_FILE, &allocator, &bytes, &size, error));
    dn_status status = open_bytes(bytes, size, path, &own, &allocator, out, error);
    mem_free(&allocator, bytes);
    return status;
}

dn_status dn_extractor_open_memory(const void *bytes, size_t size, const dn_extractor_options *options,
                                   dn_extractor **out, dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(bytes, error);
    TRY(read_options(options, &own, error));
    dn_allocator allocator = mem_allocator(own.allocator);
    return open_bytes(bytes, size, "(memory)", &own, &allocator, out, error);
}

dn_status dn_extractor_default(const dn_extractor_options *options, dn_extractor **out, dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    TRY(read_options(options, &own, error));
    if (embedded_backbone_size == 0)
        return fail(error, DN_E_UNSUPPORTED, "this build of the library has no built-in backbone "
                    "(embed_backbone=false): give the file of one, with dn_extractor_open_path or the command's option "
                    "--backbone FILE");
    dn_allocator allocator = mem_allocator(own.allocator);
    return open_bytes(embedded_backbone, (size_t)embedded_backbone_size, "(built-in backbone)", &own, &allocator, out,
                      error);
}

dn_status dn_extractor_random(const int32_t channels[5], uint64_t seed, const dn_extractor_options *options,
                              dn_extractor **out, dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    TRY(read_options(options, &own, error));
    return extractor_random(channels, seed, &own, out, error);
}

/* Saves to `path`, or to *blob if path is NULL. */
static dn_status save(const dn_extractor *extractor, const char *path, int32_t storage, dn_blob **blob,
                      dn_error *error)
{
    enum st_type stored = storage == DN_STORAGE_F16 ? ST_F16 : ST_F32;
    float *scratch = NULL;
    st_writer *writer = st_writer_create(&extractor->allocator);

    if (!writer)
        return fail_memory(error, "the backbone's file");
    st_writer_metadata(writer, "differnet.kind", "backbone");
    dn_status status = extractor_to_tensors(extractor, "", stored, writer, &scratch, error);
    for (int32_t i = 0; i < extractor->note_count; i++)
        st_writer_metadata(writer, extractor->notes[i].key, extractor->notes[i].value);
    if (status == DN_OK)
        status = path ? st_writer_save(writer, path, error) : st_writer_save_memory(writer, blob, error);
    st_writer_free(writer);
    mem_free(&extractor->allocator, scratch);
    return status;
}

dn_status dn_extractor_save(const dn_extractor *extractor, const char *path, int32_t storage, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(path, error);
    TRY(storage_check(storage, error));
    return save(extractor, path, storage, NULL, error);
}

dn_status dn_extractor_save_memory(const dn_extractor *extractor, int32_t storage, dn_blob **out, dn_error *error)
{
    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(extractor, error);
    TRY(storage_check(storage, error));
    return save(extractor, NULL, storage, out, error);
}

dn_extractor *dn_extractor_ref(dn_extractor *extractor)
{
    return extractor ? extractor_ref(extractor) : NULL;
}

void dn_extractor_unref(dn_extractor *extractor)
{
    extractor_unref(extractor);
}

dn_status dn_extractor_get_info(const dn_extractor *extractor, dn_extractor_info *info)
{
    REQUIRE(extractor, NULL);
    REQUIRE(info, NULL);
    dn_extractor_info own = {
        .struct_size = sizeof own,
        .input_size = extractor->input_size,
        .scales = extractor->scales,
        .taps = extractor->taps,
        .feature_dim = extractor->feature_dim,
        .random = extractor->random,
        .id = extractor->id,
        .layers = extractor->layer_count,
        .parameters = extractor->parameters,
    };
    memcpy(own.mean, extractor->mean, sizeof own.mean);
    memcpy(own.std, extractor->std, sizeof own.std);
    memcpy(own.name, extractor->name, sizeof own.name);
    return output_write(info, &own, sizeof own, "dn_extractor_info", NULL);
}

const char *dn_extractor_tap_name(const dn_extractor *extractor, int32_t tap)
{
    if (!extractor || tap < 0)
        return NULL;
    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].tap && tap-- == 0)
            return extractor->layers[i].name;
    return NULL;
}

const char *dn_extractor_metadata(const dn_extractor *extractor, int32_t index, const char **value)
{
    if (!extractor || !value || index < 0 || index >= extractor->note_count)
        return NULL;
    *value = extractor->notes[index].value;
    return extractor->notes[index].key;
}

/* ---- views and features ---- */

/* Floats in a view. */
static size_t view_floats(const dn_extractor *extractor)
{
    return (size_t)extractor->input_size * (size_t)extractor->input_size * 3;
}

/* n, and that arrays of n views and n features can exist at all. */
static dn_status check_count(const dn_extractor *extractor, int32_t n, dn_error *error)
{
    size_t larger = view_floats(extractor), bytes;

    if ((size_t)extractor->feature_dim > larger)
        larger = (size_t)extractor->feature_dim;
    if (n < 1 || n > MAX_VIEWS)
        return fail(error, DN_E_ARGUMENT, "n is %d; it must be from 1 to %d", n, MAX_VIEWS);
    if (!size_mul((size_t)n, larger, &bytes) || !size_mul(bytes, sizeof(float), &bytes))
        return fail(error, DN_E_ARGUMENT, "n is %d: too many for this machine's memory addresses", n);
    return DN_OK;
}

static dn_status check_image(const dn_pixels *image, const double *angles, int32_t n, dn_error *error)
{
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(angles[i]))
            return fail(error, DN_E_ARGUMENT, "angles[%d] is not a finite number", i);
    return pixels_check(image, 1, error);
}

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
static dn_status make_canvas(const dn_extractor *extractor, const dn_pixels *image, uint16_t **canvas,
                             dn_error *error)
{
    *canvas = mem_alloc(&extractor->allocator, view_floats(extractor), sizeof **canvas);
    if (!*canvas)
        return fail_memory(error, "the image at the network's size");
    dn_status status = canvas_fill(image, extractor->input_size, *canvas, &extractor->allocator, error);
    if (status != DN_OK) {
        mem_free(&extractor->allocator, *canvas);
        *canvas = NULL;
    }
    return status;
}

dn_status dn_extractor_views(const dn_extractor *extractor, const dn_pixels *image, const double *angles,
                             int32_t n, float *views, dn_error *error)
{
    uint16_t *canvas = NULL;

    REQUIRE(extractor, error);
    REQUIRE(image, error);
    REQUIRE(angles, error);
    REQUIRE(views, error);
    TRY(check_count(extractor, n, error));
    TRY(check_image(image, angles, n, error));
    TRY(make_canvas(extractor, image, &canvas, error));
    struct canvas_views source = {extractor, canvas, angles};
    for (int32_t i = 0; i < n; i++)
        features_render(&source, i, views + (size_t)i * view_floats(extractor));
    mem_free(&extractor->allocator, canvas);
    return DN_OK;
}

/* Where views come from: finished ones, or an image and angles.  Those of the block at hand start at `first`. */
struct view_source {
    const float *views;         /* (n, size, size, 3) */
    struct canvas_views canvas; /* angles: (n) */
    int32_t first;
};

static void give_view(void *context, int32_t index, float *view)
{
    const struct view_source *source = context;
    size_t floats = view_floats(source->canvas.extractor);

    memcpy(view, source->views + (size_t)(source->first + index) * floats, floats * sizeof *view);
}

static void render_view(void *context, int32_t index, float *view)
{
    struct view_source *source = context;

    features_render(&source->canvas, source->first + index, view);
}

/* Features (n, feature_dim) of all views of a source, block by block. */
static void source_features(struct view_source *source, features_source function, int32_t n, float *features,
                            float *scratch)
{
    const dn_extractor *extractor = source->canvas.extractor;

    for (int32_t block = 0; block < features_blocks(n); block++) {
        source->first = block * FEATURES_BLOCK;
        features_forward(extractor, function, source, features_block_views(n, block),
                         features + (size_t)source->first * (size_t)extractor->feature_dim, scratch);
    }
}

dn_status dn_extractor_features(const dn_extractor *extractor, const float *views, int32_t n, float *features,
                                dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(views, error);
    REQUIRE(features, error);
    TRY(check_count(extractor, n, error));
    TRY(check_finite(views, n, view_floats(extractor), "views", error));
    float *scratch = mem_alloc(&extractor->allocator, features_forward_scratch(extractor), sizeof *scratch);
    if (!scratch)
        return fail_memory(error, "the features");
    struct view_source source = {.views = views, .canvas = {.extractor = extractor}};
    source_features(&source, give_view, n, features, scratch);
    mem_free(&extractor->allocator, scratch);
    return check_finite(features, n, (size_t)extractor->feature_dim, "features", error);
}

dn_status dn_extractor_features_image(const dn_extractor *extractor, const dn_pixels *image, const double *angles,
                                      int32_t n, float *features, dn_error *error)
{
    uint16_t *canvas = NULL;

    REQUIRE(extractor, error);
    REQUIRE(image, error);
    REQUIRE(angles, error);
    REQUIRE(features, error);
    TRY(check_count(extractor, n, error));
    TRY(check_image(image, angles, n, error));
    TRY(make_canvas(extractor, image, &canvas, error));
    float *scratch = mem_alloc(&extractor->allocator, features_forward_scratch(extractor), sizeof *scratch);
    struct view_source source = {.canvas = {extractor, canvas, angles}};
    if (scratch)
        source_features(&source, render_view, n, features, scratch);
    dn_status status = scratch ? DN_OK : fail_memory(error, "the features");
    mem_free(&extractor->allocator, scratch);
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

dn_status dn_extractor_gradient(const dn_extractor *extractor, const float *views, int32_t n,
                                const float *feature_gradient, float *pixel_gradient, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(views, error);
    REQUIRE(feature_gradient, error);
    REQUIRE(pixel_gradient, error);
    TRY(check_count(extractor, n, error));
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
