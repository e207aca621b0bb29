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

#define FLOW_MAX_DIMENSION 65536
#define FLOW_MAX_BLOCKS 64
#define FLOW_MAX_HIDDEN 16384
#define FLOW_MAX_CLAMP 100.0

#define LOG_TWO_PI 1.837877066409345483560659472811

struct dn_flow {
    atomic_int references;
    dn_allocator allocator;
    int32_t dimension, half, blocks, hidden;
    double clamp; /* a of paper equation 5 */
    uint64_t seed;
    uint32_t *permutation;             /* (blocks, dimension): entry i of the permuted row is x[permutation[i]] */
    const float *weights;              /* layout above; points into `owned` or into a mapping that `keep_alive` holds */
    float *owned;                      /* NULL if the weights are mapped */
    void (*release)(void *keep_alive); /* called at the last unref, may be NULL */
    void *keep_alive;
};

size_t flow_parameters(int32_t dimension, int32_t blocks, int32_t hidden); /* floats; 0 if it overflows */

/* DN_OK if the configuration is within differnet.h's ranges; otherwise `status`, the message starting with `label`. */
dn_status flow_check(const dn_flow_options *configuration, dn_status status, const char *label, dn_error *error);
dn_status flow_create(const dn_flow_options *options, dn_flow **out, dn_error *error);
/* A flow of this (checked) configuration with unset permutations; its weights unset too, or absent (`allocate` 0). */
dn_status flow_allocate(const dn_flow_options *configuration, _Bool allocate, dn_flow **out, dn_error *error);

/* Adds the configuration as a JSON object under the metadata key "differnet.flow", the weights in the layout's order
 * as PREFIX"blocks.K.net2.L.weight", ".bias", then net1's, and behind them all PREFIX"blocks.K.permutation" (U32).
 * The flow must live until the file is written. */
void flow_to_tensors(const dn_flow *flow, const char *prefix, enum st_type stored, st_writer *writer);
/* The flow that flow_to_tensors wrote.  F32 tensors that are 4-byte aligned and lie in the file in the layout's order
 * are used in place: then the caller sets release/keep_alive so that the bytes outlive the flow (*in_place tells).
 * in_place NULL: the weights are always copied.  NaN and infinity are refused (DN_E_NUMERIC) except, without `verify`,
 * in weights that are used in place: these are not read at all. */
dn_status flow_from_tensors(const st_file *file, const char *prefix, const dn_allocator *allocator, _Bool *in_place,
                            _Bool verify, dn_flow **out, dn_error *error);
/* A flow file whole: kind, version and checksum are verified, the weights copied.  label: file name for messages. */
dn_status flow_read(const uint8_t *bytes, size_t size, const char *label, const dn_allocator *allocator, dn_flow **out,
                    dn_error *error);
/* A writer that holds the whole flow file; NULL: out of memory. */
st_writer *flow_writer(const dn_flow *flow);
dn_flow *flow_ref(dn_flow *flow);
void flow_unref(dn_flow *flow);

/* Rows are processed in blocks of at most FLOW_ROWS.  A row's bits depend on the row alone, not on n, its place or the
 * number of threads. */
#define FLOW_ROWS 64

/* Floats of scratch (64-byte aligned) for flow_forward and flow_inverse. */
size_t flow_scratch(const dn_flow *flow);
/* x, z: (n, dimension), may be equal; logdet: (n) or NULL.  Work is spread over `workers` (nullable). */
void flow_forward(const dn_flow *flow, const float *x, int32_t n, float *z, float *logdet, float *scratch,
                  pool *workers);
void flow_inverse(const dn_flow *flow, const float *z, int32_t n, float *x, float *scratch, pool *workers);
/* The same in blocks of at most `rows` rows (1 ...): the weights are read once for each block, so that larger ones are
 * faster where there are many rows.  The bits do not depend on it.  flow_rows_scratch: 0 if it overflows. */
size_t flow_rows_scratch(const dn_flow *flow, int32_t rows);
void flow_forward_rows(const dn_flow *flow, const float *x, int32_t n, int32_t rows, float *z, float *logdet,
                       float *scratch, pool *workers);

/* Floats of scratch (64-byte aligned) for flow_gradient; 0 if it overflows. */
size_t flow_gradient_scratch(const dn_flow *flow);
/* Turns each row's z (and logdet) into z_gradient (and logdet_gradient); called per block of rows. */
typedef void (*flow_chain)(void *context, const float *z, const float *logdet, int32_t rows, float *z_gradient,
                           float *logdet_gradient);
/* z: (n, dimension), logdet: (n): results of the forward pass, either may be NULL; x_gradient: (n, dimension). */
void flow_gradient(const dn_flow *flow, const float *x, int32_t n, flow_chain chain, void *context, float *z,
                   float *logdet, float *x_gradient, float *scratch, pool *workers);

#endif
