/* The flow once more, in double and with plain loops: the oracle of the flow's tests. */
#ifndef DN_TESTS_NAIVE_FLOW_H
#define DN_TESTS_NAIVE_FLOW_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "flow/flow.h"
#include "support.h"

static inline double *naive_room(int32_t n)
{
    double *values = malloc((size_t)n * sizeof *values);

    ck_assert_ptr_nonnull(values);
    return values;
}

/* One net: x (half) -> output (2 * half).  Returns where its weights end. */
static inline const double *naive_net(const dn_flow *flow, const double *weights, const double *x, double *output)
{
    int32_t widest = flow->hidden > flow->dimension ? flow->hidden : flow->dimension, in = flow->half;
    double *layers[2] = {naive_room(widest), naive_room(widest)};

    memcpy(layers[1], x, (size_t)flow->half * sizeof *x);
    for (int i = 0; i < 4; i++) {
        int32_t out = i == 3 ? flow->dimension : flow->hidden;
        for (int32_t o = 0; o < out; o++) {
            double sum = weights[in * out + o];
            for (int32_t k = 0; k < in; k++)
                sum += weights[o * in + k] * layers[(i + 1) % 2][k];
            layers[i % 2][o] = i < 3 && sum < 0 ? 0 : sum;
        }
        weights += in * out + out;
        in = out;
    }
    memcpy(output, layers[1], (size_t)flow->dimension * sizeof *output);
    free(layers[0]);
    free(layers[1]);
    return weights;
}

/* One row.  weights: in flow.weights' layout.  z: (dimension); returns logdet. */
static inline double naive_forward(const dn_flow *flow, const double *weights, const double *x, double *z)
{
    int32_t dimension = flow->dimension, half = flow->half;
    double *u = naive_room(dimension), *net = naive_room(dimension), a = flow->clamp, logdet = 0;

    memcpy(z, x, (size_t)dimension * sizeof *z);
    for (int32_t block = 0; block < flow->blocks; block++) {
        for (int32_t i = 0; i < dimension; i++)
            u[i] = z[flow->permutation[block * dimension + i]];
        for (int part = 0; part < 2; part++) { /* y1 from x2, then y2 from y1 */
            weights = naive_net(flow, weights, part == 0 ? u + half : z, net);
            for (int32_t i = 0; i < half; i++) {
                double l = a * 0.636 * atan(net[i] / a);
                z[part * half + i] = u[part * half + i] * exp(l) + net[half + i];
                logdet += l;
            }
        }
        for (int32_t i = 0; i < dimension; i++)
            z[i] = z[i] > 1e6 ? 1e6 : z[i] < -1e6 ? -1e6 : z[i];
    }
    free(u);
    free(net);
    return logdet;
}

/* <z_gradient, z> + logdet_gradient * logdet of one row: what the gradient differentiates. */
static inline double naive_target(const dn_flow *flow, const double *weights, const double *x, const float *z_gradient,
                                  double logdet_gradient)
{
    double *z = naive_room(flow->dimension);
    double sum = logdet_gradient * naive_forward(flow, weights, x, z);

    for (int32_t i = 0; i < flow->dimension; i++)
        sum += (double)z_gradient[i] * z[i];
    free(z);
    return sum;
}

/* The flow's weights as double; malloc. */
static inline double *naive_weights(const dn_flow *flow)
{
    size_t n = flow_parameters(flow->dimension, flow->blocks, flow->hidden);
    double *weights = naive_room((int32_t)n);

    for (size_t i = 0; i < n; i++)
        weights[i] = (double)flow->weights[i];
    return weights;
}

#endif
