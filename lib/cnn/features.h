/* view -> pyramid of scales -> CNN -> mean of each tapped map -> feature; and the gradient back to the pixels. */
#ifndef DN_CNN_FEATURES_H
#define DN_CNN_FEATURES_H

#include "cnn/extractor.h"

/* The most views that are handled together: features_* accept 1 .. FEATURES_BLOCK.  A view's bits depend on the view
 * alone where all convolutions are Winograd's or depthwise, as in AlexNet; with others on how many there are and on its
 * place among them as well, not on what the others show.  So that they depend on the image alone, its views are always
 * cut in the same way: FEATURES_BLOCK at a time, what is left at the end. */
#define FEATURES_BLOCK 4

/* Blocks that so many views of an image make, and the views in one of them. */
static inline int32_t features_blocks(int32_t views)
{
    return (views + FEATURES_BLOCK - 1) / FEATURES_BLOCK;
}

static inline int32_t features_block_views(int32_t views, int32_t block)
{
    int32_t left = views - block * FEATURES_BLOCK;

    return left < FEATURES_BLOCK ? left : FEATURES_BLOCK;
}

/* Floats of scratch for features_forward / features_gradient.  One scratch per thread. */
size_t features_forward_scratch(const dn_extractor *extractor);
size_t features_gradient_scratch(const dn_extractor *extractor);

/* n views -> features: (n, feature_dim), largest scale first.  `source` writes view `index` (height, width, 3); it is
 * called once for each, in order. */
typedef void (*features_source)(void *context, int32_t index, float *view);
void features_forward(const dn_extractor *extractor, features_source source, void *context, int32_t n, float *features,
                      float *scratch);

/* The gradient towards views (n, height, width, 3): features as above, and pixel_gradient (n, height, width, 3) of
 * <feature_gradient, features>.  The gradient of the features may depend on the features: `chain` is called once after
 * the forward pass (of all scales) to turn features (n, feature_dim) into feature_gradient (n, feature_dim), both
 * inside the scratch. */
typedef void (*features_chain)(void *context, const float *features, int32_t n, float *feature_gradient);
void features_gradient(const dn_extractor *extractor, const float *views, int32_t n, features_chain chain,
                       void *context, float *pixel_gradient, float *scratch);

#endif
