/* The deployable whole: extractor, standardisation, flow, scores of held-out good images, heat-map scale. */
#ifndef DN_DIFFERNET_MODEL_H
#define DN_DIFFERNET_MODEL_H

#include <stdatomic.h>

#include "differnet/extractor.h"
#include "flow/flow.h"

/* What the trainer knows besides the weights; stored as metadata. */
typedef struct model_facts {
    int32_t views, angles;        /* scoring defaults */
    int32_t standardized;
    int32_t train_images, epochs, bank;
    uint64_t seed;
    double final_loss;            /* NaN: not known */
    double heatmap_scale;         /* 0: not known */
    char library[16];
} model_facts;

struct dn_model {
    atomic_int references;
    dn_allocator allocator;
    dn_extractor *extractor;
    dn_flow *flow;
    float *mean, *deviation;      /* (feature_dim); 0 and 1 if not standardised */
    double *holdout_scores;       /* (holdout_count), ascending */
    int32_t holdout_count;
    int32_t storage;
    uint32_t id;
    model_facts facts;
};

/* Takes references to extractor and flow; copies mean, deviation (feature_dim each). */
dn_status model_create(dn_extractor *extractor, dn_flow *flow, const float *mean, const float *deviation,
                       const model_facts *facts, const dn_allocator *allocator, dn_model **out, dn_error *error);
/* Replaces the held-out scores (sorted here) or the heat map's scale of a model that nobody shares yet. */
dn_status model_set_holdout(dn_model *model, const double *scores, int32_t count, dn_error *error);
void model_set_heatmap_scale(dn_model *model, double scale);
/* Computes model->id from the tensors as they would be stored.  Called when the model is complete. */
dn_status model_seal(dn_model *model, dn_error *error);

dn_status model_open_path(const char *path, const dn_model_options *options, dn_model **out, dn_error *error);
dn_status model_open_memory(const void *bytes, size_t size, const dn_model_options *options, dn_model **out,
                            dn_error *error);
dn_status model_save(const dn_model *model, const char *path, int32_t storage, dn_error *error);
dn_status model_save_memory(const dn_model *model, int32_t storage, dn_blob **out, dn_error *error);
dn_model *model_ref(dn_model *model);
void model_unref(dn_model *model);

#endif
