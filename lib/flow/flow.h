/* The normalizing flow (paper section 3.1): permutation and affine coupling, `blocks` times.
 *
 * Parameter layout: one block of floats (`flow.weights`), per block k = 0 .. blocks-1: net2, then net1 (the order in
 * which they are evaluated); per net 4 linear layers, each weight (out, in) row-major, then bias (out):
 *   (hidden, half) (hidden)  (hidden, hidden) (hidden)  (hidden, hidden) (hidden)  (2 * half, hidden) (2 * half)
 * half = dimension / 2; the first `half` outputs are s, the others t. */
#ifndef DN_FLOW_FLOW_H
#define DN_FLOW_FLOW_H

#include <stdatomic.h>

#include "base/pool.h"
#include "differnet.h"
#include "format/safetensors.h"

#define FLOW_LAYERS 4

struct dn_flow {
    atomic_int references;
    dn_allocator allocator;
    int32_t dimension, half, blocks, hidden;
    float clamp;
    uint64_t seed;
    uint32_t *permutation;    /* (blocks, dimension): entry i of the permuted row is x[permutation[i]] */
    const float *weights;     /* layout above; points into `owned` or into a mapping that `keep_alive` holds */
    float *owned;             /* NULL if the weights are mapped */
    void (*release)(void *keep_alive); /* called at the last unref, may be NULL */
    void *keep_alive;
};

size_t flow_parameters(int32_t dimension, int32_t blocks, int32_t hidden); /* floats; 0 if it overflows */

dn_status flow_create(const dn_flow_options *options, dn_flow **out, dn_error *error);
/* A flow from tensors under `prefix` of a parsed file.  F32 tensors that are 4-byte aligned and lie in the file in
 * the layout's order are used in place: then the caller sets release/keep_alive so that the bytes outlive the flow
 * (*in_place tells). */
dn_status flow_from_tensors(const st_file *file, const char *prefix, const dn_allocator *allocator, _Bool *in_place,
                            dn_flow **out, dn_error *error);
void flow_to_tensors(const dn_flow *flow, const char *prefix, enum st_type stored, st_writer *writer);
dn_flow *flow_ref(dn_flow *flow);
void flow_unref(dn_flow *flow);

/* Rows are processed in blocks of FLOW_ROWS, the last one padded with zeros, so that a row's bits never depend on n. */
#define FLOW_ROWS 32

size_t flow_scratch(const dn_flow *flow); /* floats of scratch for the functions below */
/* x, z: (n, dimension), may be equal; logdet: (n) or NULL.  Work is spread over `workers` (nullable). */
void flow_forward(const dn_flow *flow, const float *x, int32_t n, float *z, float *logdet, float *scratch,
                  pool *workers);
void flow_inverse(const dn_flow *flow, const float *z, int32_t n, float *x, float *scratch, pool *workers);

size_t flow_gradient_scratch(const dn_flow *flow);
/* Turns each row's z (and logdet) into z_gradient (and logdet_gradient); called per block of rows. */
typedef void (*flow_chain)(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                           float *logdet_gradient);
/* z, logdet (nullable): results of the forward pass; x_gradient: (n, dimension). */
void flow_gradient(const dn_flow *flow, const float *x, int32_t n, flow_chain chain, void *context, float *z,
                   float *logdet, float *x_gradient, float *scratch, pool *workers);

#endif
