/* dn_extractor_*: backbones, views, features and their gradient. */
#include "api.h"

#include <math.h>
#include <string.h>

#include "backbone/embedded.h"
#include "base/memory.h"
#include "base/product.h"
#include "cnn/extractor.h"
#include "cnn/extractor_file.h"
#include "cnn/extractor_views.h"
#include "image/pixels.h"

#define MAX_VIEWS 65536

void dn_extractor_options_init_size(dn_extractor_options *options, size_t size)
{
    dn_extractor_options defaults = extractor_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

void dn_extractor_info_init_size(dn_extractor_info *info, size_t size)
{
    static const dn_extractor_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

/* The caller's options over the defaults.  Ranges are checked where the extractor is made. */
static dn_status read_options(const dn_extractor_options *options, dn_extractor_options *own, dn_error *error)
{
    *own = extractor_default_options();
    TRY(options_read(own, sizeof *own, options, "dn_extractor_options", error));
    return allocator_check(own->allocator, "dn_extractor_options", error);
}

dn_status dn_extractor_open_path(const char *path, const dn_extractor_options *options, dn_extractor **out,
                                 dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(path, error);
    TRY(read_options(options, &own, error));
    return extractor_open_path(path, &own, out, error);
}

dn_status dn_extractor_open_memory(const void *bytes, size_t size, const dn_extractor_options *options,
                                   dn_extractor **out, dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(bytes, error);
    TRY(read_options(options, &own, error));
    return extractor_open_memory(bytes, size, "(memory)", &own, out, error);
}

dn_status dn_extractor_default(const dn_extractor_options *options, dn_extractor **out, dn_error *error)
{
    dn_extractor_options own;

    REQUIRE(out, error);
    *out = NULL;
    TRY(read_options(options, &own, error));
    TRY(extractor_options_check(&own, error));
    if (embedded_backbone_size == 0)
        return fail(error, DN_E_UNSUPPORTED,
                    "this build of the library has no built-in backbone "
                    "(embed_backbone=false): give the file of one, with dn_extractor_open_path");
    return extractor_open_memory(embedded_backbone, (size_t)embedded_backbone_size, "(built-in backbone)", &own, out,
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

dn_status dn_extractor_save(const dn_extractor *extractor, const char *path, int32_t storage, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(path, error);
    TRY(storage_check(storage, error));
    return extractor_save(extractor, path, storage, error);
}

dn_status dn_extractor_save_memory(const dn_extractor *extractor, int32_t storage, dn_blob **out, dn_error *error)
{
    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(extractor, error);
    TRY(storage_check(storage, error));
    return extractor_save_memory(extractor, storage, out, error);
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
        .input_size = extractor->input_width,
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
    own.input_height = extractor->input_height;
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

dn_status dn_extractor_views(const dn_extractor *extractor, const dn_pixels *image, const double *angles, int32_t n,
                             float *views, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(image, error);
    REQUIRE(angles, error);
    REQUIRE(views, error);
    TRY(check_count(extractor, n, error));
    TRY(check_image(image, angles, n, error));
    return extractor_views(extractor, image, angles, n, views, error);
}

dn_status dn_extractor_features(const dn_extractor *extractor, const float *views, int32_t n, float *features,
                                dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(views, error);
    REQUIRE(features, error);
    TRY(check_count(extractor, n, error));
    TRY(product_ready(1, error));
    return extractor_features(extractor, views, n, features, error);
}

dn_status dn_extractor_features_image(const dn_extractor *extractor, const dn_pixels *image, const double *angles,
                                      int32_t n, float *features, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(image, error);
    REQUIRE(angles, error);
    REQUIRE(features, error);
    TRY(check_count(extractor, n, error));
    TRY(check_image(image, angles, n, error));
    TRY(product_ready(1, error));
    return extractor_features_image(extractor, image, angles, n, features, error);
}

dn_status dn_extractor_gradient(const dn_extractor *extractor, const float *views, int32_t n,
                                const float *feature_gradient, float *pixel_gradient, dn_error *error)
{
    REQUIRE(extractor, error);
    REQUIRE(views, error);
    REQUIRE(feature_gradient, error);
    REQUIRE(pixel_gradient, error);
    TRY(check_count(extractor, n, error));
    TRY(product_ready(1, error));
    return extractor_gradient(extractor, views, n, feature_gradient, pixel_gradient, error);
}
