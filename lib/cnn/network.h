/* The network as a list of steps for an input of some size: each a layer, with the activation behind it. */
#ifndef DN_CNN_NETWORK_H
#define DN_CNN_NETWORK_H

#include "cnn/extractor.h"

/* One step of the network at one scale: a layer, and the activation behind it where that is done in one go. */
struct step {
    const cnn_layer *layer;
    enum activation activation;
    _Bool tapped, mapped; /* the output goes into the feature, into the maps */
    size_t tap;           /* entries of the scale's feature before this step's */
    int32_t in_h, in_w, out_h, out_w;
};

struct network {
    struct step steps[EXTRACTOR_MAX_LAYERS];
    int32_t count;
    int32_t early; /* of them, those that take one view at a time (features.c); 0 after network_plan */
};

static inline size_t step_in_floats(const struct step *step)
{
    return (size_t)step->in_h * (size_t)step->in_w * (size_t)step->layer->in_channels;
}

static inline size_t step_out_floats(const struct step *step)
{
    return (size_t)step->out_h * (size_t)step->out_w * (size_t)step->layer->out_channels;
}

/* One view through a step that is no convolution: x (in_h, in_w, channels) -> y (out_h, out_w, channels). */
void step_without_weights(const struct step *step, const float *x, float *y);
/* The steps for an input of h x w pixels, up to the last one that the feature is taken from. */
void network_plan(const dn_extractor *extractor, int32_t h, int32_t w, struct network *network);
/* Those for a view of the input size, up to the last one that maps are taken from. */
void network_plan_maps(const dn_extractor *extractor, struct network *network);

#endif
