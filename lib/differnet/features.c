#include "differnet/features.h"

#include <string.h>

#include "base/memory.h"
#include "nn/activation.h"

/* One step of the network at one scale: a layer, and the activation behind it where that is done in one go. */
struct step {
    const cnn_layer *layer;
    enum activation activation;
    _Bool tapped;
    int32_t in_h, in_w, out_h, out_w;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A convolution applies the activation that follows, unless its own output is wanted. */
static _Bool fuses(const dn_extractor *extractor, int32_t layer)
{
    const cnn_layer *layers = extractor->layers;

    return layers[layer].kind == LAYER_CONV && !layers[layer].tap && layer + 1 < extractor->layer_count &&
           layers[layer + 1].kind == LAYER_ACTIVATION;
}

/* The steps at a scale whose view is side x side; returns their number. */
static int32_t plan(const dn_extractor *extractor, int32_t side, struct step steps[EXTRACTOR_MAX_LAYERS])
{
    int32_t count = 0, h = side, w = side;

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        struct step *step = &steps[count++];
        *step = (struct step){.layer = &extractor->layers[i], .in_h = h, .in_w = w};
        cnn_layer_output(step->layer, &h, &w);
        step->out_h = h;
        step->out_w = w;
        step->activation = step->layer->activation;
        if (fuses(extractor, i))
            step->activation = extractor->layers[++i].activation;
        step->tapped = extractor->layers[i].tap;
    }
    return count;
}

static size_t in_floats(const struct step *step)
{
    return (size_t)step->in_h * (size_t)step->in_w * (size_t)step->layer->in_channels;
}

static size_t out_floats(const struct step *step)
{
    return (size_t)step->out_h * (size_t)step->out_w * (size_t)step->layer->out_channels;
}

static int32_t scale_side(const dn_extractor *extractor, int32_t scale)
{
    return extractor->input_size >> scale; /* exact: the size is a multiple of 32 */
}

static size_t view_floats(int32_t side)
{
    return (size_t)side * (size_t)side * 3;
}

/* Every 2^scale-th pixel of view (size, size, 3), the nearest-sample pyramid of the paper's section 3.3. */
static void shrink(const float *view, int32_t size, int32_t scale, float *small)
{
    int32_t side = size >> scale;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++, small += 3)
            memcpy(small, view + (((size_t)y << scale) * (size_t)size + ((size_t)x << scale)) * 3, 3 * sizeof *small);
}

/* The gradient of shrink: adds small (side, side, 3) to the pixels of (size, size, 3) that it was taken from. */
static void spread(const float *small, int32_t size, int32_t scale, float *gradient)
{
    int32_t side = size >> scale;

    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++, small += 3) {
            float *pixel = gradient + (((size_t)y << scale) * (size_t)size + ((size_t)x << scale)) * 3;
            for (int c = 0; c < 3; c++)
                pixel[c] += small[c];
        }
}

/* ---- forward ---- */

static void step_forward(const struct step *step, const float *x, float *y, float *scratch)
{
    const cnn_layer *layer = step->layer;

    switch (layer->kind) {
    case LAYER_CONV:
        conv_forward(&layer->conv, step->in_h, step->in_w, x, step->activation, y, scratch);
        break;
    case LAYER_ACTIVATION:
        memcpy(y, x, out_floats(step) * sizeof *y);
        activation_forward(step->activation, y, out_floats(step));
        break;
    case LAYER_MAXPOOL:
        maxpool_forward(&layer->pool, step->in_h, step->in_w, x, y);
        break;
    case LAYER_AVGPOOL:
        avgpool_forward(&layer->pool, step->in_h, step->in_w, x, y);
        break;
    }
}

/* The feature's entries of one tap: the mean of each map (global average pooling). */
static float *tap_forward(const struct step *step, const float *y, float *features)
{
    if (!step->tapped)
        return features;
    global_mean_forward(y, step->out_h * step->out_w, step->layer->out_channels, features);
    return features + step->layer->out_channels;
}

/* Parts of the scratch of features_forward, in floats. */
struct forward_layout {
    size_t small;    /* a view of a scale other than the first */
    size_t output;   /* a layer's output; there are two */
    size_t operator; /* what a convolution needs */
};

static struct forward_layout forward_layout(const dn_extractor *extractor)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    struct forward_layout layout = {0, 0, 0};

    if (extractor->scales > 1)
        layout.small = mem_padded_floats(view_floats(scale_side(extractor, 1)));
    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        int32_t count = plan(extractor, scale_side(extractor, scale), steps);
        for (int32_t i = 0; i < count; i++) {
            layout.output = larger(layout.output, mem_padded_floats(out_floats(&steps[i])));
            if (steps[i].layer->kind == LAYER_CONV)
                layout.operator = larger(layout.operator, conv_forward_scratch(&steps[i].layer->conv, steps[i].in_h,
                                                                             steps[i].in_w));
        }
    }
    return layout;
}

size_t features_forward_scratch(const dn_extractor *extractor)
{
    struct forward_layout layout = forward_layout(extractor);

    return layout.small + 2 * layout.output + mem_padded_floats(layout.operator);
}

static void view_forward(const dn_extractor *extractor, const struct forward_layout *layout, const float *view,
                         float *features, float *scratch)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    float *small = scratch;
    float *outputs[2] = {small + layout->small, small + layout->small + layout->output};
    float *operator = outputs[1] + layout->output;

    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        int32_t count = plan(extractor, scale_side(extractor, scale), steps);
        const float *x = view;
        if (scale > 0) {
            shrink(view, extractor->input_size, scale, small);
            x = small;
        }
        for (int32_t i = 0; i < count; i++) {
            float *y = outputs[i % 2];
            step_forward(&steps[i], x, y, operator);
            features = tap_forward(&steps[i], y, features);
            x = y;
        }
    }
}

void features_forward(const dn_extractor *extractor, const float *views, int32_t n, float *features, float *scratch)
{
    struct forward_layout layout = forward_layout(extractor);

    for (int32_t i = 0; i < n; i++)
        view_forward(extractor, &layout, views + (size_t)i * view_floats(extractor->input_size),
                     features + (size_t)i * (size_t)extractor->feature_dim, scratch);
}

/* ---- gradient ---- */

/* Parts of the scratch of features_gradient, in floats. */
struct gradient_layout {
    size_t feature;  /* features, and their gradient after them */
    size_t kept;     /* views (but the first) and outputs of all scales */
    size_t turned;   /* gradient of a layer's output or input; there are two */
    size_t operator; /* what a convolution needs */
};

/* Floats that stay from the forward pass at one scale: the view, unless it is the caller's, and all outputs. */
static size_t kept_floats(const struct step *steps, int32_t count, int32_t scale)
{
    size_t total = scale > 0 ? mem_padded_floats(in_floats(&steps[0])) : 0;

    for (int32_t i = 0; i < count; i++)
        total += mem_padded_floats(out_floats(&steps[i]));
    return total;
}

static struct gradient_layout gradient_layout(const dn_extractor *extractor)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    struct gradient_layout layout = {2 * mem_padded_floats((size_t)extractor->feature_dim), 0, 0, 0};

    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        int32_t count = plan(extractor, scale_side(extractor, scale), steps);
        layout.kept += kept_floats(steps, count, scale);
        for (int32_t i = 0; i < count; i++) {
            const struct step *step = &steps[i];
            layout.turned = larger(layout.turned, mem_padded_floats(larger(in_floats(step), out_floats(step))));
            if (step->layer->kind != LAYER_CONV)
                continue;
            size_t forward = conv_forward_scratch(&step->layer->conv, step->in_h, step->in_w);
            size_t gradient = conv_gradient_scratch(&step->layer->conv, step->in_h, step->in_w);
            layout.operator = larger(layout.operator, larger(forward, gradient));
        }
    }
    return layout;
}

size_t features_gradient_scratch(const dn_extractor *extractor)
{
    struct gradient_layout layout = gradient_layout(extractor);

    return layout.feature + layout.kept + 2 * layout.turned + mem_padded_floats(layout.operator);
}

/* Forward pass at one scale that keeps every output, one behind the other. */
static float *keep_forward(const dn_extractor *extractor, const float *view, int32_t scale, float *kept,
                           float *features, float *operator)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    int32_t count = plan(extractor, scale_side(extractor, scale), steps);
    const float *x = view;

    if (scale > 0) {
        shrink(view, extractor->input_size, scale, kept);
        x = kept;
        kept += mem_padded_floats(in_floats(&steps[0]));
    }
    for (int32_t i = 0; i < count; i++) {
        step_forward(&steps[i], x, kept, operator);
        features = tap_forward(&steps[i], kept, features);
        x = kept;
        kept += mem_padded_floats(out_floats(&steps[i]));
    }
    return features;
}

/* Takes dy through one step.  x, y: its input and output.  Returns where dx is: `dx`, or `dy` if changed in place. */
static float *step_gradient(const struct step *step, const float *x, const float *y, float *dy, float *dx,
                            float *operator)
{
    const cnn_layer *layer = step->layer;

    activation_gradient(step->activation, y, dy, out_floats(step));
    switch (layer->kind) {
    case LAYER_CONV:
        conv_gradient(&layer->conv, step->in_h, step->in_w, dy, dx, operator);
        return dx;
    case LAYER_MAXPOOL:
        maxpool_gradient(&layer->pool, step->in_h, step->in_w, x, dy, dx);
        return dx;
    case LAYER_AVGPOOL:
        avgpool_gradient(&layer->pool, step->in_h, step->in_w, dy, dx);
        return dx;
    case LAYER_ACTIVATION:
        break;
    }
    return dy;
}

/* Backward pass at one scale.  kept: what keep_forward left; feature_gradient: (tap_channels) of this scale.  Adds to
 * pixel_gradient (size, size, 3). */
static void scale_gradient(const dn_extractor *extractor, const float *view, int32_t scale, const float *kept,
                           const float *feature_gradient, float *pixel_gradient, float *turned[2], float *operator)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    int32_t count = plan(extractor, scale_side(extractor, scale), steps);
    const float *y = kept + kept_floats(steps, count, scale); /* just behind the last output */
    float *dy = turned[0];

    feature_gradient += extractor->tap_channels;
    memset(dy, 0, out_floats(&steps[count - 1]) * sizeof *dy);
    for (int32_t i = count - 1; i >= 0; i--) {
        const struct step *step = &steps[i];
        y -= mem_padded_floats(out_floats(step));
        const float *x = i > 0 ? y - mem_padded_floats(in_floats(step)) : scale > 0 ? kept : view;
        if (step->tapped) {
            feature_gradient -= step->layer->out_channels;
            global_mean_gradient(feature_gradient, step->out_h * step->out_w, step->layer->out_channels, dy);
        }
        dy = step_gradient(step, x, y, dy, dy == turned[0] ? turned[1] : turned[0], operator);
    }
    spread(dy, extractor->input_size, scale, pixel_gradient);
}

static void view_gradient(const dn_extractor *extractor, const struct gradient_layout *layout, const float *view,
                          features_chain chain, void *context, float *pixel_gradient, float *scratch)
{
    struct step steps[EXTRACTOR_MAX_LAYERS];
    float *features = scratch, *feature_gradient = scratch + layout->feature / 2;
    float *kept = scratch + layout->feature;
    float *turned[2] = {kept + layout->kept, kept + layout->kept + layout->turned};
    float *operator = turned[1] + layout->turned;
    float *entry = features, *part = kept;

    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        int32_t count = plan(extractor, scale_side(extractor, scale), steps);
        entry = keep_forward(extractor, view, scale, part, entry, operator);
        part += kept_floats(steps, count, scale);
    }
    chain(context, features, 1, feature_gradient);
    memset(pixel_gradient, 0, view_floats(extractor->input_size) * sizeof *pixel_gradient);
    part = kept;
    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        int32_t count = plan(extractor, scale_side(extractor, scale), steps);
        scale_gradient(extractor, view, scale, part, feature_gradient + scale * extractor->tap_channels,
                       pixel_gradient, turned, operator);
        part += kept_floats(steps, count, scale);
    }
}

void features_gradient(const dn_extractor *extractor, const float *views, int32_t n, features_chain chain,
                       void *context, float *pixel_gradient, float *scratch)
{
    struct gradient_layout layout = gradient_layout(extractor);
    size_t view = view_floats(extractor->input_size);

    /* FEATURES_BLOCK is 1: there is one view, and the chain sees it alone. */
    for (int32_t i = 0; i < n; i++)
        view_gradient(extractor, &layout, views + (size_t)i * view, chain, context, pixel_gradient + (size_t)i * view,
                      scratch);
}
