/* One training step: forward, loss, backward with Adam's update fused in (paper equation 3). */
#ifndef DN_FLOW_FLOW_TRAIN_H
#define DN_FLOW_FLOW_TRAIN_H

#include "flow/flow.h"

typedef struct adam_options {
    double learning_rate, beta1, beta2, epsilon, weight_decay; /* weight_decay * w is added to the gradient */
} adam_options;

typedef struct flow_optimiser {
    dn_flow *flow; /* borrowed; its weights are changed, so it must own them and have one user */
    dn_allocator allocator;
    adam_options options;
    int64_t step; /* steps done */
    float *m, *v; /* Adam's moments, ordered by place (linear.h) */
    int32_t max_rows;
    float *scratch;
} flow_optimiser;

dn_status flow_optimiser_create(dn_flow *flow, const adam_options *options, int32_t max_rows, flow_optimiser **out,
                                dn_error *error);
void flow_optimiser_free(flow_optimiser *optimiser);
/* Orders moments that lie as flow.weights does by place. */
void flow_moments_by_place(const dn_flow *flow, const float *by_parameter, float *by_place);

/* x: (rows, dimension), rows <= max_rows.  Returns loss = mean over rows of (|z|^2 / 2 - logdet) / dimension before
 * the update.  If the loss is not finite nothing is changed.
 * gradients: NULL, or room for flow_parameters() floats that receive the gradient without weight decay; then no
 * update is made (for tests). */
double flow_train_step(flow_optimiser *optimiser, const float *x, int32_t rows, float *gradients, pool *workers);

#endif
