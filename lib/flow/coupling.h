/* The affine coupling of one half of a row (paper equations 4 and 5), forward, inverse and gradient.
 *
 *     y = x * exp(l(s)) + t,   l(s) = a * 0.636 * atan(s / a)
 *
 * All arrays have `half` floats, `net` has 2 * half: s, then t. */
#ifndef DN_FLOW_COUPLING_H
#define DN_FLOW_COUPLING_H

#include <stdint.h>

/* Returns the sum of l(s): this row's part of log |det dy/dx|.  net is replaced by exp(l(s)), then l'(s): what
 * coupling_gradient needs. */
double coupling_forward(const float *restrict x, float *restrict net, float *restrict y, int32_t half, float a);

/* x = (y - t) * exp(-l(s)), in place on y. */
void coupling_inverse(float *restrict y, const float *restrict net, int32_t half, float a);

/* Gradient of <dy, y> + logdet_gradient * sum l(s).  d: dy on entry, the gradient towards x on return; net: as
 * coupling_forward left it on entry, the gradients towards s and t on return. */
void coupling_gradient(const float *restrict x, float *restrict d, float *restrict net, int32_t half,
                       float logdet_gradient);

#endif
