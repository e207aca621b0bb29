/* Views, features and gradients on the caller alone, with memory of the call's own: what the API gives of a CNN. */
#ifndef DN_CNN_EXTRACTOR_VIEWS_H
#define DN_CNN_EXTRACTOR_VIEWS_H

#include "cnn/extractor.h"

/* n: 1 or more, of which arrays can exist.  image: has passed pixels_check; angles (n) are finite.  Numbers that are
 * not finite, given or made, are DN_E_NUMERIC. */
dn_status extractor_views(const dn_extractor *extractor, const dn_pixels *image, const double *angles, int32_t n,
                          float *views, dn_error *error);
dn_status extractor_features(const dn_extractor *extractor, const float *views, int32_t n, float *features,
                             dn_error *error);
dn_status extractor_features_image(const dn_extractor *extractor, const dn_pixels *image, const double *angles,
                                   int32_t n, float *features, dn_error *error);
dn_status extractor_gradient(const dn_extractor *extractor, const float *views, int32_t n,
                             const float *feature_gradient, float *pixel_gradient, dn_error *error);

#endif
