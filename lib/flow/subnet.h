/* A coupling's network: linear, ReLU, linear, ReLU, linear, ReLU, linear (paper section 4.1). */
#ifndef DN_FLOW_SUBNET_H
#define DN_FLOW_SUBNET_H

#include "flow/flow.h"
#include "flow/linear.h"

/* The two nets of a block, in the order in which they are evaluated and stored. */
#define NET2 0
#define NET1 1

typedef struct subnet {
    linear layers[FLOW_LAYERS];
} subnet;

/* Inputs and outputs of layer 0 .. FLOW_LAYERS-1. */
int32_t subnet_in(int32_t half, int32_t hidden, int layer);
int32_t subnet_out(int32_t half, int32_t hidden, int layer);
/* Floats of one net; 0 if it overflows. */
size_t subnet_parameters(int32_t half, int32_t hidden);
/* The net `which` of a block: pointers into the flow's weights. */
subnet subnet_of(const dn_flow *flow, int32_t block, int which);

/* What the forward pass computes, and the backward pass needs. */
typedef struct subnet_trace {
    float *hidden[FLOW_LAYERS - 1]; /* (hidden, rows), after the ReLU */
    float *output;                  /* (2 * half, rows): s, t */
} subnet_trace;

/* x: (half, rows) -> trace. */
void subnet_forward(const subnet *net, const float *x, int32_t rows, const subnet_trace *trace, pool *workers);

/* Floats for linear_sink.transposed: the larger of (hidden, rows) and (half, rows). */
size_t subnet_transposed_floats(const dn_flow *flow, int32_t rows);

/* dx += gradient towards x, given trace->output replaced by the gradient towards s and t.
 * dx: (half, rows); work: two of (hidden, rows).
 * sink: NULL if only dx is wanted. */
void subnet_backward(const subnet *net, const float *x, int32_t rows, const subnet_trace *trace, float *dx,
                     float *const work[2], const linear_sink *sink, pool *workers);

#endif
