/* Elementwise activations. */
#ifndef DN_NN_ACTIVATION_H
#define DN_NN_ACTIVATION_H

#include <stddef.h>

enum activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6 };

/* x = activation(x), in place; NONE does nothing. */
void activation_forward(enum activation activation, float *x, size_t n);
/* dx = dy where the activation is open, else 0; in place on dy.  y: the activation's output. */
void activation_gradient(enum activation activation, const float *y, float *dy, size_t n);
/* x[p][c] = activation(x[p][c] + bias[c]), in place.  x: (positions, channels). */
void activation_bias(enum activation activation, const float *bias, float *x, size_t positions, size_t channels);

#endif
