/* The affine coupling of one half (paper equations 4 and 5), forward, inverse and gradient.
 *
 *     y = x * exp(l(s)) + t,   l(s) = a * 0.636 * atan(s / a)
 *
 * Arrays are (half, rows), as in linear.h; each call handles COUPLING_LANES neighbouring rows: pointers to the first
 * one, `stride` floats from one feature to the next.  Every row has its own sums: no other row touches them. */
#ifndef DN_FLOW_COUPLING_H
#define DN_FLOW_COUPLING_H

#include <stdint.h>

#define COUPLING_LANES 16

/* Adds the sum of l(s), which is log |det dy/dx|, to logdet (COUPLING_LANES).  s is replaced by exp(l(s)) and t by
 * l'(s): what coupling_gradient needs. */
void coupling_forward(const float *restrict x, float *restrict s, float *restrict t, float *restrict y, int32_t half,
                      int64_t stride, float a, double *restrict logdet);

/* x = (y - t) * exp(-l(s)), in place on y. */
void coupling_inverse(float *restrict y, const float *restrict s, const float *restrict t, int32_t half, int64_t stride,
                      float a);

/* Gradient of <dy, y> + logdet_gradient * sum l(s).  d: dy on entry, the gradient towards x on return; s, t: as
 * coupling_forward left them on entry, the gradients towards s and t on return.  logdet_gradient: (COUPLING_LANES). */
void coupling_gradient(const float *restrict x, float *restrict d, float *restrict s, float *restrict t, int32_t half,
                       int64_t stride, const float *restrict logdet_gradient);

#endif
