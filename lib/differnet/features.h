/* view -> pyramid of scales -> CNN -> mean of each tapped map -> feature; and the gradient back to the pixels. */
#ifndef DN_DIFFERNET_FEATURES_H
#define DN_DIFFERNET_FEATURES_H

#include "differnet/extractor.h"

/* Views that are handled together; features_* accept 1 .. FEATURES_BLOCK views and give each view the same bits
 * whatever its company. */
#define FEATURES_BLOCK 1

/* Floats of scratch for features_forward / features_gradient.  One scratch per thread. */
size_t features_forward_scratch(const dn_extractor *extractor);
size_t features_gradient_scratch(const dn_extractor *extractor);

/* view: (n, size, size, 3) -> features: (n, feature_dim), largest scale first. */
void features_forward(const dn_extractor *extractor, const float *views, int32_t n, float *features, float *scratch);

/* features as above, and pixel_gradient (n, size, size, 3) of <feature_gradient, features>.
 * The gradient of the features may depend on the features: `chain` is called once after the forward pass (of all
 * scales) to turn features (n, feature_dim) into feature_gradient (n, feature_dim), both inside the scratch. */
typedef void (*features_chain)(void *context, const float *features, int32_t n, float *feature_gradient);
void features_gradient(const dn_extractor *extractor, const float *views, int32_t n, features_chain chain,
                       void *context, float *pixel_gradient, float *scratch);

#endif
