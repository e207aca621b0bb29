#include "cnn/network.h"

#include <string.h>

#include "nn/activation.h"

void step_without_weights(const struct step *step, const float *x, float *y)
{
    const cnn_layer *layer = step->layer;

    if (layer->kind == LAYER_ACTIVATION) {
        memcpy(y, x, step_out_floats(step) * sizeof *y);
        activation_forward(step->activation, y, step_out_floats(step));
    } else if (layer->kind == LAYER_MAXPOOL) {
        maxpool_forward(&layer->pool, step->in_h, step->in_w, x, y);
    } else {
        avgpool_forward(&layer->pool, step->in_h, step->in_w, x, y);
    }
}

/* A convolution applies the activation that follows, unless its own output is wanted. */
static _Bool fuses(const dn_extractor *extractor, int32_t layer)
{
    const cnn_layer *layers = extractor->layers;

    return layers[layer].kind == LAYER_CONV && !layers[layer].tap && !layers[layer].map &&
           layer + 1 < extractor->layer_count && layers[layer + 1].kind == LAYER_ACTIVATION;
}

void network_plan(const dn_extractor *extractor, int32_t h, int32_t w, struct network *network)
{
    size_t tap = 0;

    network->count = network->early = 0;
    for (int32_t i = 0; i < extractor->layer_count; i++) {
        struct step *step = &network->steps[network->count++];
        *step = (struct step){.layer = &extractor->layers[i], .tap = tap, .in_h = h, .in_w = w};
        cnn_layer_output(step->layer, &h, &w);
        step->out_h = h;
        step->out_w = w;
        step->activation = step->layer->activation;
        if (fuses(extractor, i))
            step->activation = extractor->layers[++i].activation;
        step->tapped = extractor->layers[i].tap;
        step->mapped = extractor->layers[i].map;
        if (step->tapped)
            tap += (size_t)step->layer->out_channels;
    }
}

void network_plan_maps(const dn_extractor *extractor, struct network *network)
{
    network_plan(extractor, extractor->input_height, extractor->input_width, network);
    while (network->count > 1 && !network->steps[network->count - 1].mapped)
        network->count--;
}
