#include "cnn/maps.h"

#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "cnn/network.h"

/* ---- which layers ---- */

/* A layer's output is the input shrunk by this much, in both directions. */
static int32_t stride_of(const cnn_layer *layer)
{
    if (layer->kind == LAYER_CONV)
        return layer->conv.stride;
    return layer->kind == LAYER_ACTIVATION ? 1 : layer->pool.stride;
}

static _Bool is_alexnet(const dn_extractor *extractor)
{
    static const enum layer_kind kinds[] = {
        LAYER_CONV,       LAYER_ACTIVATION, LAYER_MAXPOOL,    LAYER_CONV, LAYER_ACTIVATION, LAYER_MAXPOOL, LAYER_CONV,
        LAYER_ACTIVATION, LAYER_CONV,       LAYER_ACTIVATION, LAYER_CONV, LAYER_ACTIVATION, LAYER_MAXPOOL};
    int32_t count = (int32_t)(sizeof kinds / sizeof *kinds);

    if (extractor->layer_count != count)
        return 0;
    for (int32_t i = 0; i < count; i++)
        if (extractor->layers[i].kind != kinds[i])
            return 0;
    return extractor->layers[0].conv.stride == 4;
}

void maps_default_taps(dn_extractor *extractor)
{
    static const int32_t alexnet[] = {5, 7, 9, 11};
    int32_t stride = 1;
    cnn_layer *last = NULL;

    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].map)
            return;
    if (is_alexnet(extractor)) {
        for (size_t i = 0; i < sizeof alexnet / sizeof *alexnet; i++)
            extractor->layers[alexnet[i]].map = 1;
        return;
    }
    for (int32_t i = 0; i < extractor->layer_count && stride <= 16; i++) {
        cnn_layer *layer = &extractor->layers[i];
        if (stride_of(layer) > 1 && last && stride >= 4)
            last->map = 1;
        stride *= stride_of(layer);
        if (layer->kind == LAYER_ACTIVATION) /* its own stride is 1 */
            last = layer;
    }
    if (!last)
        last = &extractor->layers[extractor->layer_count - 1];
    last->map = 1;
}

int32_t maps_taps(const dn_extractor *extractor)
{
    int32_t taps = 0;

    for (int32_t i = 0; i < extractor->layer_count; i++)
        taps += extractor->layers[i].map != 0;
    return taps;
}

const char *maps_tap_name(const dn_extractor *extractor, int32_t tap)
{
    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].map && tap-- == 0)
            return extractor->layers[i].name;
    return NULL;
}

/* ---- where the cells are ---- */

/* Centre of output 0 and step from one output to the next, in pixels of the view, in one direction. */
struct axis {
    double stride, offset;
};

static struct axis axis_behind(struct axis axis, int32_t kernel, int32_t stride, int32_t pad)
{
    return (struct axis){axis.stride * stride, axis.offset + axis.stride * ((kernel - 1) / 2.0 - pad)};
}

/* Where the outputs of step `index` of the network are. */
static void axes_of(const struct network *network, int32_t index, struct axis *y, struct axis *x)
{
    *y = *x = (struct axis){1, 0.5}; /* of a pixel */
    for (int32_t i = 0; i <= index; i++) {
        const cnn_layer *layer = network->steps[i].layer;
        const conv_spec *conv = &layer->conv;
        const pool_spec *window = &layer->pool;
        if (layer->kind == LAYER_CONV) {
            *y = axis_behind(*y, conv->kernel_h, conv->stride, conv->pad_top);
            *x = axis_behind(*x, conv->kernel_w, conv->stride, conv->pad_left);
        } else if (layer->kind != LAYER_ACTIVATION) {
            *y = axis_behind(*y, window->kernel_h, window->stride, window->pad_top);
            *x = axis_behind(*x, window->kernel_w, window->stride, window->pad_left);
        }
    }
}

maps_geometry maps_of(const dn_extractor *extractor)
{
    struct network network;
    maps_geometry geometry = {0};
    struct axis y = {0, 0}, x = {0, 0};

    network_plan_maps(extractor, &network);
    for (int32_t i = 0; i < network.count; i++) {
        const struct step *step = &network.steps[i];
        if (!step->mapped)
            continue;
        geometry.channels += step->layer->out_channels;
        if (geometry.rows == 0 || step->out_h * step->out_w < geometry.rows * geometry.columns) { /* the coarsest */
            geometry.rows = step->out_h;
            geometry.columns = step->out_w;
            axes_of(&network, i, &y, &x);
        }
    }
    geometry.stride_y = y.stride;
    geometry.stride_x = x.stride;
    geometry.offset_y = y.offset;
    geometry.offset_x = x.offset;
    return geometry;
}

/* ---- details ---- */

#define ALEXNET_SECOND 3 /* layer: the second convolution, with or without the activation behind it */

/* The step whose output the details are; -1: there are none. */
static int32_t details_step(const dn_extractor *extractor, const struct network *network)
{
    int32_t found = -1;

    for (int32_t i = 0; is_alexnet(extractor) && i < network->count; i++)
        if (network->steps[i].layer == &extractor->layers[ALEXNET_SECOND] ||
            network->steps[i].layer == &extractor->layers[ALEXNET_SECOND + 1])
            found = i;
    return found;
}

maps_geometry maps_details_of(const dn_extractor *extractor)
{
    struct network network;
    maps_geometry geometry = {0};

    network_plan_maps(extractor, &network);
    int32_t i = details_step(extractor, &network);
    if (i >= 0) {
        geometry.rows = network.steps[i].out_h;
        geometry.columns = network.steps[i].out_w;
        geometry.channels = network.steps[i].layer->out_channels;
    }
    return geometry;
}

/* ---- computing them ---- */

/* Parts of the scratch, in floats. */
struct maps_layout {
    size_t output;   /* of a step: by turns here and there */
    size_t operator; /* what a convolution needs */
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct maps_layout layout_of(const struct network *network, int32_t threads)
{
    struct maps_layout layout = {0, 0};

    for (int32_t i = 0; i < network->count; i++) {
        const struct step *step = &network->steps[i];
        layout.output = larger(layout.output, mem_padded_floats(step_out_floats(step)));
        if (step->layer->kind == LAYER_CONV)
            layout.operator= larger(layout.operator, mem_padded_floats(
                                        conv_shared_scratch(&step->layer->conv, step->in_h, step->in_w, threads)));
    }
    return layout;
}

size_t maps_scratch(const dn_extractor *extractor, int32_t threads)
{
    struct network network;

    network_plan_maps(extractor, &network);
    struct maps_layout layout = layout_of(&network, threads);
    return 2 * layout.output + layout.operator;
}

/* x (in_h, in_w, channels) -> y, for one view. */
static void run_step(const struct step *step, const float *x, float *y, float *scratch, pool *workers)
{
    const cnn_layer *layer = step->layer;

    if (layer->kind == LAYER_CONV) {
        conv_forward_shared(&layer->conv, step->in_h, step->in_w, x, step->activation, y, scratch, workers);
    } else {
        step_without_weights(step, x, y);
    }
}

void maps_forward(const dn_extractor *extractor, const float *view, float *maps, float *details, float *scratch,
                  pool *workers)
{
    struct network network;
    maps_geometry geometry = maps_of(extractor);
    int32_t channel = 0;

    network_plan_maps(extractor, &network);
    struct maps_layout layout = layout_of(&network, pool_threads(workers));
    float *outputs[2] = {scratch, scratch + layout.output}, *operator= outputs[1] + layout.output;
    const float *x = view;
    int32_t detailed = details ? details_step(extractor, &network) : -1;
    for (int32_t i = 0; i < network.count; i++) {
        const struct step *step = &network.steps[i];
        float *y = outputs[i % 2];
        run_step(step, x, y, operator, workers);
        if (step->mapped) {
            maps_to_grid(y, step->out_h, step->out_w, step->layer->out_channels, maps, geometry.rows, geometry.columns,
                         geometry.channels, channel);
            channel += step->layer->out_channels;
        }
        if (i == detailed)
            memcpy(details, y, step_out_floats(step) * sizeof *details);
        x = y;
    }
}

dn_status maps_of_views(const dn_extractor *extractor, const float *views, int32_t n, float *maps, dn_error *error)
{
    maps_geometry geometry = maps_of(extractor);
    size_t pixels = view_floats(extractor);
    size_t floats = (size_t)geometry.rows * (size_t)geometry.columns * (size_t)geometry.channels;

    if (!floats_finite(views, (size_t)n * pixels))
        return fail(error, DN_E_NUMERIC, "a view holds NaN or infinity");
    float *scratch = mem_alloc(&extractor->allocator, maps_scratch(extractor, 1), sizeof *scratch);
    if (!scratch)
        return fail_memory(error, "the feature maps");
    for (int32_t i = 0; i < n; i++)
        maps_forward(extractor, views + (size_t)i * pixels, maps + (size_t)i * floats, NULL, scratch, NULL);
    mem_free(&extractor->allocator, scratch);
    if (!floats_finite(maps, (size_t)n * floats))
        return fail(error, DN_E_NUMERIC, "the feature maps are not finite: the backbone's numbers overflow");
    return DN_OK;
}
