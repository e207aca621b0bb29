#include "cnn/features.h"

#include <string.h>

#include "base/memory.h"
#include "cnn/network.h"
#include "nn/activation.h"

/* The first steps of a scale, whose maps are large, take one view after the other, so that the maps stay in the cache.
 * From the first step on whose input and output have no more floats than this, a step takes all views of the block, so
 * that they share the passes over its weights.  With 2 MB the former are, in AlexNet at 448 px, the first two
 * convolutions and their pools: the maps of four views would be larger than the weights that they share. */
#define EARLY_FLOATS ((size_t)512 * 1024)

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A view at one scale; exact, as both sides are multiples of 32. */
static int32_t scale_height(const dn_extractor *extractor, int32_t scale)
{
    return extractor->input_height >> scale;
}

static int32_t scale_width(const dn_extractor *extractor, int32_t scale)
{
    return extractor->input_width >> scale;
}

static size_t scale_floats(const dn_extractor *extractor, int32_t scale)
{
    return (size_t)scale_height(extractor, scale) * (size_t)scale_width(extractor, scale) * 3;
}

/* All steps at one scale. */
static void plan(const dn_extractor *extractor, int32_t scale, struct network *network)
{
    network_plan(extractor, scale_height(extractor, scale), scale_width(extractor, scale), network);
    while (network->early < network->count &&
           step_in_floats(&network->steps[network->early]) + step_out_floats(&network->steps[network->early]) >
               EARLY_FLOATS)
        network->early++;
}

/* Where pixel (y, x) of a scale is taken from in the floats of a view. */
static size_t pixel_at(const dn_extractor *extractor, int32_t scale, int32_t y, int32_t x)
{
    return (((size_t)y << scale) * (size_t)extractor->input_width + ((size_t)x << scale)) * 3;
}

/* Every 2^scale-th pixel of a view, the nearest-sample pyramid of the paper's section 3.3. */
static void shrink(const dn_extractor *extractor, const float *view, int32_t scale, float *small)
{
    for (int32_t y = 0; y < scale_height(extractor, scale); y++)
        for (int32_t x = 0; x < scale_width(extractor, scale); x++, small += 3)
            memcpy(small, view + pixel_at(extractor, scale, y, x), 3 * sizeof *small);
}

/* The gradient of shrink: adds small to the pixels of a view's gradient that it was taken from. */
static void spread(const dn_extractor *extractor, const float *small, int32_t scale, float *gradient)
{
    for (int32_t y = 0; y < scale_height(extractor, scale); y++)
        for (int32_t x = 0; x < scale_width(extractor, scale); x++, small += 3) {
            float *pixel = gradient + pixel_at(extractor, scale, y, x);
            for (int c = 0; c < 3; c++)
                pixel[c] += small[c];
        }
}

/* n views (n, height, width, 3) -> those of a scale but the first. */
static void shrink_views(const dn_extractor *extractor, const float *views, int32_t n, int32_t scale, float *small)
{
    size_t from = view_floats(extractor), to = scale_floats(extractor, scale);

    for (int32_t v = 0; v < n; v++)
        shrink(extractor, views + (size_t)v * from, scale, small + (size_t)v * to);
}

/* ---- forward ---- */

/* The feature's entries of one scale, for some views. */
struct rows {
    float *first;
    size_t stride; /* floats from one view's to the next */
};

static struct rows rows_at(const dn_extractor *extractor, float *features, int32_t view, int32_t scale)
{
    size_t dimension = (size_t)extractor->feature_dim;

    return (struct rows){features + (size_t)view * dimension + (size_t)scale * (size_t)extractor->tap_channels,
                         dimension};
}

/* x: (n, in_h, in_w, in_channels) -> y: (n, out_h, out_w, out_channels); and the feature's entries of a tap: the mean
 * of each map (global average pooling). */
static void step_forward(const struct step *step, int32_t n, const float *x, float *y, struct rows features,
                         float *scratch)
{
    const cnn_layer *layer = step->layer;
    size_t in = step_in_floats(step), out = step_out_floats(step);

    if (layer->kind == LAYER_CONV)
        conv_forward(&layer->conv, n, step->in_h, step->in_w, x, step->activation, y, scratch);
    for (int32_t v = 0; v < n; v++, x += in, y += out) {
        if (layer->kind != LAYER_CONV)
            step_without_weights(step, x, y);
        if (step->tapped)
            global_mean_forward(y, step->out_h * step->out_w, layer->out_channels,
                                features.first + (size_t)v * features.stride + step->tap);
    }
}

/* Parts of the scratch of features_forward, in floats. */
struct forward_layout {
    size_t view;     /* one view of the first scale; all, if there are no steps that take one at a time */
    size_t small;    /* views of the scales but the first */
    size_t early[2]; /* a step's output for one view: by turns here and there */
    size_t late[2];  /* a step's output for all views of a block */
    size_t operator; /* what a convolution needs */
};

/* Views that a step takes at once. */
static int32_t views_of(const struct network *network, int32_t step)
{
    return step < network->early ? 1 : FEATURES_BLOCK;
}

static size_t operator_floats(const struct network *network, int32_t index, _Bool gradient)
{
    const struct step *step = &network->steps[index];

    if (step->layer->kind != LAYER_CONV)
        return 0;
    return (gradient ? conv_gradient_scratch : conv_scratch)(&step->layer->conv, views_of(network, index), step->in_h,
                                                             step->in_w);
}

static struct forward_layout forward_layout(const dn_extractor *extractor)
{
    struct network network;
    struct forward_layout layout = {0};

    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        plan(extractor, scale, &network);
        if (scale == 0)
            layout.view = mem_padded_floats((size_t)views_of(&network, 0) * step_in_floats(&network.steps[0]));
        else
            layout.small += mem_padded_floats(FEATURES_BLOCK * step_in_floats(&network.steps[0]));
        for (int32_t i = 0; i < network.count; i++) {
            size_t out = step_out_floats(&network.steps[i]);
            if (i < network.early - 1) {
                size_t *early = &layout.early[i % 2];
                *early = larger(*early, mem_padded_floats(out));
            } else { /* the early steps' last outputs are the late ones' input */
                size_t *late = &layout.late[(i - network.early + 1) % 2];
                *late = larger(*late, mem_padded_floats(FEATURES_BLOCK * out));
            }
            layout.operator= larger(layout.operator, mem_padded_floats(operator_floats(&network, i, 0)));
        }
    }
    return layout;
}

size_t features_forward_scratch(const dn_extractor *extractor)
{
    struct forward_layout layout = forward_layout(extractor);

    return layout.view + layout.small + layout.early[0] + layout.early[1] + layout.late[0] + layout.late[1] +
           layout.operator;
}

/* A forward pass over a block of views, and where its parts lie. */
struct forward {
    const dn_extractor *extractor;
    int32_t n;
    float *features; /* (n, dim) */
    float *early[2], *late[2], *operator;
};

/* Steps first .. end-1 for views view .. view+n-1, outputs by turns to buffers[0] and [1], but the last one to `last`
 * unless that is NULL. */
static void run_forward(const struct forward *pass, int32_t scale, int32_t view, int32_t n, const struct step *first,
                        const struct step *end, const float *x, float *const buffers[2], float *last)
{
    struct rows rows = rows_at(pass->extractor, pass->features, view, scale);

    for (const struct step *step = first; step < end; step++) {
        float *y = last && step + 1 == end ? last : buffers[(step - first) % 2];
        step_forward(step, n, x, y, rows, pass->operator);
        x = y;
    }
}

/* The steps of view `view` that are done before the next one's, from its pixels x on; the last output goes to its place
 * in late[0]. */
static void run_early(const struct forward *pass, const struct network *network, int32_t scale, int32_t view,
                      const float *x)
{
    const struct step *steps = network->steps, *split = steps + network->early;

    if (network->early > 0)
        run_forward(pass, scale, view, 1, steps, split, x, pass->early,
                    pass->late[0] + (size_t)view * step_out_floats(split - 1));
}

/* The other steps, of all views; x: their pixels, for a scale without early steps. */
static void run_late(const struct forward *pass, const struct network *network, int32_t scale, const float *x)
{
    float *const buffers[2] = {pass->late[1], pass->late[0]}; /* late[0] holds the input */

    run_forward(pass, scale, 0, pass->n, network->steps + network->early, network->steps + network->count,
                network->early > 0 ? pass->late[0] : x, buffers, NULL);
}

/* Scale 0: fetches the views, lays out the other scales, and runs the early steps. */
static void first_scale(const struct forward *pass, const struct network *network, features_source source,
                        void *context, float *view, float *small)
{
    const dn_extractor *extractor = pass->extractor;
    size_t step = network->early > 0 ? 0 : step_in_floats(&network->steps[0]);

    for (int32_t v = 0; v < pass->n; v++) {
        float *pixels = view + (size_t)v * step, *next = small;
        source(context, v, pixels);
        for (int32_t scale = 1; scale < extractor->scales; scale++) {
            size_t floats = scale_floats(extractor, scale);
            shrink(extractor, pixels, scale, next + (size_t)v * floats);
            next += mem_padded_floats(FEATURES_BLOCK * floats);
        }
        run_early(pass, network, 0, v, pixels);
    }
}

void features_forward(const dn_extractor *extractor, features_source source, void *context, int32_t n, float *features,
                      float *scratch)
{
    struct forward_layout layout = forward_layout(extractor);
    struct network network;
    struct forward pass = {.extractor = extractor, .n = n, .features = features};
    float *view = scratch, *small = view + layout.view;

    pass.early[0] = small + layout.small;
    pass.early[1] = pass.early[0] + layout.early[0];
    pass.late[0] = pass.early[1] + layout.early[1];
    pass.late[1] = pass.late[0] + layout.late[0];
    pass.operator= pass.late[1] + layout.late[1];
    plan(extractor, 0, &network);
    first_scale(&pass, &network, source, context, view, small);
    run_late(&pass, &network, 0, view);
    for (int32_t scale = 1; scale < extractor->scales; scale++) {
        plan(extractor, scale, &network);
        size_t floats = step_in_floats(&network.steps[0]);
        for (int32_t v = 0; v < n; v++)
            run_early(&pass, &network, scale, v, small + (size_t)v * floats);
        run_late(&pass, &network, scale, small);
        small += mem_padded_floats(FEATURES_BLOCK * floats);
    }
}

/* ---- gradient ---- */

/* Parts of the scratch of features_gradient, in floats. */
struct gradient_layout {
    size_t feature;  /* features of a block; their gradient needs as much */
    size_t kept;     /* views (but the first scale's) and outputs of all scales */
    size_t early;    /* gradient of a step's output or input, for one view; there are two */
    size_t late;     /* likewise, for all views of a block; there are two */
    size_t operator; /* what a convolution needs */
};

/* Floats that stay from the forward pass at one scale: the views, unless they are the caller's, and all outputs. */
static size_t kept_floats(const struct network *network, int32_t scale)
{
    size_t total = scale > 0 ? mem_padded_floats(FEATURES_BLOCK * step_in_floats(&network->steps[0])) : 0;

    for (int32_t i = 0; i < network->count; i++)
        total += mem_padded_floats(FEATURES_BLOCK * step_out_floats(&network->steps[i]));
    return total;
}

static struct gradient_layout gradient_layout(const dn_extractor *extractor)
{
    struct network network;
    struct gradient_layout layout = {mem_padded_floats(FEATURES_BLOCK * (size_t)extractor->feature_dim), 0, 0, 0, 0};

    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        plan(extractor, scale, &network);
        layout.kept += kept_floats(&network, scale);
        for (int32_t i = 0; i < network.count; i++) {
            size_t largest = larger(step_in_floats(&network.steps[i]), step_out_floats(&network.steps[i]));
            if (i < network.early)
                layout.early = larger(layout.early, mem_padded_floats(largest));
            if (i >= network.early)
                layout.late = larger(layout.late, mem_padded_floats(FEATURES_BLOCK * largest));
            else if (i == network.count - 1) /* no late step: the gradient starts there all the same */
                layout.late = larger(layout.late,
                                     mem_padded_floats(FEATURES_BLOCK * step_out_floats(&network.steps[i])));
            layout.operator= larger(layout.operator, mem_padded_floats(operator_floats(&network, i, 1)));
        }
    }
    return layout;
}

size_t features_gradient_scratch(const dn_extractor *extractor)
{
    struct gradient_layout layout = gradient_layout(extractor);

    return 2 * (layout.feature + layout.early + layout.late) + layout.kept + layout.operator;
}

/* What the forward pass at one scale leaves behind: input, n views, and outputs of each step for n views. */
struct kept {
    const float *input;
    float *outputs[EXTRACTOR_MAX_LAYERS];
};

/* Lays out what is kept at a scale in memory, and puts the views there (the first scale's are the caller's). */
static void keep_views(const dn_extractor *extractor, const struct network *network, const float *views, int32_t n,
                       int32_t scale, float *memory, struct kept *kept)
{
    kept->input = views;
    if (scale > 0) {
        shrink_views(extractor, views, n, scale, memory);
        kept->input = memory;
        memory += mem_padded_floats(FEATURES_BLOCK * step_in_floats(&network->steps[0]));
    }
    for (int32_t i = 0; i < network->count; i++) {
        kept->outputs[i] = memory;
        memory += mem_padded_floats(FEATURES_BLOCK * step_out_floats(&network->steps[i]));
    }
}

/* Input of step `index` for the views from `view` on. */
static const float *kept_input(const struct network *network, const struct kept *kept, int32_t index, int32_t view)
{
    return (index > 0 ? kept->outputs[index - 1] : kept->input) + (size_t)view * step_in_floats(&network->steps[index]);
}

static float *kept_output(const struct network *network, const struct kept *kept, int32_t index, int32_t view)
{
    return kept->outputs[index] + (size_t)view * step_out_floats(&network->steps[index]);
}

/* Forward pass at one scale that keeps every output: the same arithmetic as that of features_forward. */
static void keep_forward(const dn_extractor *extractor, const struct network *network, const struct kept *kept,
                         int32_t n, int32_t scale, float *features, float *operator)
{
    for (int32_t v = 0; v < n; v++)
        for (int32_t i = 0; i < network->early; i++)
            step_forward(&network->steps[i], 1, kept_input(network, kept, i, v), kept_output(network, kept, i, v),
                         rows_at(extractor, features, v, scale), operator);
    for (int32_t i = network->early; i < network->count; i++)
        step_forward(&network->steps[i], n, kept_input(network, kept, i, 0), kept_output(network, kept, i, 0),
                     rows_at(extractor, features, 0, scale), operator);
}

/* Takes dy through one step, for n views.  x, y: its input and output.  Returns where dx is: `dx`, or `dy` if changed
 * in place. */
static float *step_gradient(const struct step *step, int32_t n, const float *x, const float *y, float *dy, float *dx,
                            float *operator)
{
    const cnn_layer *layer = step->layer;
    size_t in = step_in_floats(step), out = step_out_floats(step);

    activation_gradient(step->activation, y, dy, (size_t)n * out);
    if (layer->kind == LAYER_ACTIVATION)
        return dy;
    if (layer->kind == LAYER_CONV)
        conv_gradient(&layer->conv, n, step->in_h, step->in_w, dy, dx, operator);
    for (size_t v = 0; v < (size_t)n; v++) {
        if (layer->kind == LAYER_MAXPOOL)
            maxpool_gradient(&layer->pool, step->in_h, step->in_w, x + v * in, dy + v * out, dx + v * in);
        else if (layer->kind == LAYER_AVGPOOL)
            avgpool_gradient(&layer->pool, step->in_h, step->in_w, dy + v * out, dx + v * in);
    }
    return dx;
}

/* The views that a backward pass is about, and what it needs. */
struct backward {
    const struct network *network;
    const struct kept *kept;
    int32_t view, n;      /* views view .. view + n - 1 */
    struct rows features; /* gradient of the feature, from `view` on */
    float *buffers[2];
    float *operator;
};

/* Back through steps end-1 .. first.  dy: gradient towards the last one's output, changed.  Returns the gradient
 * towards the first one's input: in a buffer, or in dy. */
static float *run_backward(const struct backward *pass, int32_t first, int32_t end, float *dy)
{
    for (int32_t i = end - 1; i >= first; i--) {
        const struct step *step = &pass->network->steps[i];
        for (int32_t v = 0; step->tapped && v < pass->n; v++)
            global_mean_gradient(pass->features.first + (size_t)v * pass->features.stride + step->tap,
                                 step->out_h * step->out_w, step->layer->out_channels,
                                 dy + (size_t)v * step_out_floats(step));
        dy = step_gradient(step, pass->n, kept_input(pass->network, pass->kept, i, pass->view),
                           kept_output(pass->network, pass->kept, i, pass->view), dy,
                           pass->buffers[dy == pass->buffers[0]], pass->operator);
    }
    return dy;
}

/* Backward pass at one scale; adds to pixel_gradient (n, height, width, 3). */
static void scale_gradient(const dn_extractor *extractor, const struct network *network, const struct kept *kept,
                           int32_t n, int32_t scale, float *feature_gradient, float *pixel_gradient,
                           float *const early[2], float *const late[2], float *operator)
{
    size_t pixels = view_floats(extractor);
    const struct step *last = &network->steps[network->count - 1];
    size_t split = network->early > 0 ? step_out_floats(&network->steps[network->early - 1])
                                      : step_in_floats(&network->steps[0]);
    struct backward pass = {network, kept, 0, n, rows_at(extractor, feature_gradient, 0, scale),
                            {late[0], late[1]}, operator};

    memset(late[0], 0, (size_t)n * step_out_floats(last) * sizeof **late);
    float *dy = run_backward(&pass, network->early, network->count, late[0]);
    pass.n = 1;
    pass.buffers[0] = early[0];
    pass.buffers[1] = early[1];
    for (pass.view = 0; pass.view < n; pass.view++, dy += split, pixel_gradient += pixels) {
        pass.features = rows_at(extractor, feature_gradient, pass.view, scale);
        spread(extractor, run_backward(&pass, 0, network->early, dy), scale, pixel_gradient);
    }
}

void features_gradient(const dn_extractor *extractor, const float *views, int32_t n, features_chain chain,
                       void *context, float *pixel_gradient, float *scratch)
{
    struct gradient_layout layout = gradient_layout(extractor);
    struct network network;
    struct kept kept;
    float *features = scratch, *feature_gradient = features + layout.feature;
    float *early[2], *late[2], *memory = feature_gradient + layout.feature, *part = memory;

    early[0] = memory + layout.kept;
    early[1] = early[0] + layout.early;
    late[0] = early[1] + layout.early;
    late[1] = late[0] + layout.late;
    float *operator= late[1] + layout.late;
    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        plan(extractor, scale, &network);
        keep_views(extractor, &network, views, n, scale, part, &kept);
        keep_forward(extractor, &network, &kept, n, scale, features, operator);
        part += kept_floats(&network, scale);
    }
    chain(context, features, n, feature_gradient);
    memset(pixel_gradient, 0, (size_t)n * view_floats(extractor) * sizeof *pixel_gradient);
    part = memory;
    for (int32_t scale = 0; scale < extractor->scales; scale++) {
        plan(extractor, scale, &network);
        keep_views(extractor, &network, views, n, scale, part, &kept);
        scale_gradient(extractor, &network, &kept, n, scale, feature_gradient, pixel_gradient, early, late, operator);
        part += kept_floats(&network, scale);
    }
}
