/* Convolution by Winograd's minimal filtering (Lavin and Gray, CVPR 2016), for layers that conv.c finds fit. */
#ifndef DN_NN_WINOGRAD_H
#define DN_NN_WINOGRAD_H

#include "base/pool.h"
#include "nn/conv.h"

/* Whether the layer can be computed so at all. */
_Bool winograd_fits(const conv_spec *spec);
/* Whether that is no slower than the direct method for views of this size. */
_Bool winograd_pays(const conv_spec *spec, int32_t in_h, int32_t in_w);

size_t winograd_packed_floats(const conv_spec *spec);
void winograd_pack(const conv_spec *spec, float *packed);

/* As the functions of conv.h, for a spec with packed weights; the scratch is for `views` views, neither more nor less,
 * and for so many threads.  A view's bits depend on the view alone. */
size_t winograd_scratch(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, int32_t threads);
void winograd_forward(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *x,
                      enum activation activation, float *y, float *scratch, pool *workers);
void winograd_gradient(const conv_spec *spec, int32_t views, int32_t in_h, int32_t in_w, const float *dy, float *dx,
                       float *scratch);

#endif
