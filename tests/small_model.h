/* A model so small that many views cost little: 64 pixels, one scale, features of 4 numbers. */
#ifndef DN_TESTS_SMALL_MODEL_H
#define DN_TESTS_SMALL_MODEL_H

#include "base/memory.h"
#include "differnet/model.h"
#include "support.h"

#define SMALL_SIDE 64

static inline dn_model *small_model_of(const model_facts *facts)
{
    static const int32_t channels[5] = {4, 4, 4, 4, 4};
    const dn_extractor_options extractor_options = {
        .struct_size = sizeof extractor_options, .input_size = SMALL_SIDE, .scales = 1};
    const dn_flow_options flow_options = {
        .struct_size = sizeof flow_options, .dimension = 4, .blocks = 2, .hidden = 8, .clamp = 3};
    const float mean[4] = {0.1f, 0.2f, 0.3f, 0.4f}, deviation[4] = {1, 2, 0.5f, 1};
    dn_allocator allocator = mem_allocator(NULL);
    dn_extractor *extractor;
    dn_flow *flow;
    dn_model *model;

    ck_ok(extractor_random(channels, 3, &extractor_options, &extractor, NULL));
    ck_ok(flow_create(&flow_options, &flow, NULL));
    ck_ok(model_create_with_flow(extractor, flow, mean, deviation, facts, &allocator, &model, NULL));
    extractor_unref(extractor);
    flow_unref(flow);
    return model;
}

static inline dn_model *small_model(void)
{
    const model_facts facts = {.views = 4, .angles = DN_ANGLES_STRATIFIED, .standardized = 1};

    return small_model_of(&facts);
}

#endif
