/* A batch of rows on its way through the flow and back: buffers and the walk over the blocks. */
#ifndef DN_FLOW_PASS_H
#define DN_FLOW_PASS_H

#include "flow/coupling.h"
#include "flow/subnet.h"

/* What one block leaves behind.  R rows; D = dimension. */
typedef struct block_trace {
    float *permuted;     /* (D, R): x1, x2 */
    float *coupled;      /* (D, R): y1, y2, not yet limited to +-FLOW_LIMIT */
    subnet_trace net[2]; /* NET2, NET1 */
} block_trace;

typedef struct flow_pass {
    const dn_flow *flow;
    pool *workers;
    int32_t rows; /* R: rows that are computed, a multiple of COUPLING_LANES */
    int32_t used; /* the first rows hold data, the others repeat row 0 */
    _Bool keep;   /* every block has its own trace; otherwise all share one, and there is no way back */
    float *traces;
    double *logdet;     /* (R) */
    float *gradient[2]; /* (D, R); two, because undoing a permutation needs a second */
    float *work[2];     /* (hidden, R) */
} flow_pass;

/* `rows` rounded up to a multiple of COUPLING_LANES. */
int32_t pass_rows(int32_t rows);
/* Floats of memory for a pass of R rows; 0 if it overflows. */
size_t pass_floats(const dn_flow *flow, int32_t rows, _Bool keep);
/* Lays a pass of R rows out in `memory` (64-byte aligned), which may be made for more. */
flow_pass pass_make(const dn_flow *flow, int32_t rows, _Bool keep, float *memory, pool *workers);

/* x: (used, D) -> z: (used, D), may be equal to x; pass->logdet. */
void pass_forward(flow_pass *pass, const float *x, int32_t used, float *z);
void pass_inverse(flow_pass *pass, const float *z, int32_t used, float *x);
/* After pass_forward with `keep`.  z_gradient: (used, D), logdet_gradient: (used).  x_gradient: (used, D) or NULL.
 * sink: NULL, or where the parameters' gradients go. */
void pass_backward(flow_pass *pass, const float *z_gradient, const float *logdet_gradient, float *x_gradient,
                   const linear_sink *sink);

#endif
