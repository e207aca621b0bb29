#include "flow/subnet.h"

#include "base/memory.h"

int32_t subnet_in(int32_t half, int32_t hidden, int layer)
{
    return layer == 0 ? half : hidden;
}

int32_t subnet_out(int32_t half, int32_t hidden, int layer)
{
    return layer == FLOW_LAYERS - 1 ? 2 * half : hidden;
}

size_t subnet_parameters(int32_t half, int32_t hidden)
{
    size_t sum = 0, layer;

    for (int i = 0; i < FLOW_LAYERS; i++)
        if (!size_mul((size_t)subnet_in(half, hidden, i) + 1, (size_t)subnet_out(half, hidden, i), &layer) ||
            !size_add(sum, layer, &sum))
            return 0;
    return sum;
}

subnet subnet_of(const dn_flow *flow, int32_t block, int which)
{
    subnet net;
    const float *next = flow->weights + subnet_parameters(flow->half, flow->hidden) * (size_t)(2 * block + which);

    for (int i = 0; i < FLOW_LAYERS; i++) {
        int32_t in = subnet_in(flow->half, flow->hidden, i), out = subnet_out(flow->half, flow->hidden, i);
        const float *bias = next + (size_t)in * (size_t)out;
        net.layers[i] = (linear){in, out, next, bias};
        next = bias + out;
    }
    return net;
}

size_t subnet_transposed_floats(const dn_flow *flow, int32_t rows)
{
    size_t widest = (size_t)(flow->hidden > flow->half ? flow->hidden : flow->half);

    return mem_padded_floats((size_t)rows * widest);
}

/* The input of a layer: x or the hidden layer before it. */
static const float *input_of(const float *x, const subnet_trace *trace, int layer)
{
    return layer == 0 ? x : trace->hidden[layer - 1];
}

void subnet_forward(const subnet *net, const float *x, int32_t rows, const subnet_trace *trace, pool *workers)
{
    for (int i = 0; i < FLOW_LAYERS; i++) {
        _Bool last = i == FLOW_LAYERS - 1;
        linear_forward(&net->layers[i], input_of(x, trace, i), rows, !last, last ? trace->output : trace->hidden[i],
                       workers);
    }
}

void subnet_backward(const subnet *net, const float *x, int32_t rows, const subnet_trace *trace, float *dx,
                     float *const work[2], const linear_sink *sink, pool *workers)
{
    const float *dy = trace->output; /* gradient towards the present layer's output */

    for (int i = FLOW_LAYERS - 1; i >= 0; i--) {
        float *towards = i > 0 ? work[i % 2] : dx;
        linear_backward(&net->layers[i], input_of(x, trace, i), dy, rows, i == 0, towards, sink, workers);
        dy = towards;
    }
}
