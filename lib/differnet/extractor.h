/* The CNN: layer list, weights, topology recognition.  Immutable after creation. */
#ifndef DN_DIFFERNET_EXTRACTOR_H
#define DN_DIFFERNET_EXTRACTOR_H

#include <stdatomic.h>

#include "differnet.h"
#include "format/safetensors.h"
#include "nn/conv.h"
#include "nn/pooling.h"

#define EXTRACTOR_MAX_LAYERS 256
#define EXTRACTOR_MAX_SCALES 5

enum layer_kind { LAYER_CONV, LAYER_ACTIVATION, LAYER_MAXPOOL, LAYER_AVGPOOL };

/* One layer; NHWC. */
typedef struct cnn_layer {
    enum layer_kind kind;
    int32_t in_channels, out_channels;
    conv_spec conv;             /* LAYER_CONV */
    enum activation activation; /* LAYER_ACTIVATION */
    pool_spec pool;             /* LAYER_MAXPOOL, LAYER_AVGPOOL */
    int32_t tap;                /* 1: the mean of this layer's output goes into the feature */
    char name[48];              /* "features.0" */
} cnn_layer;

struct dn_extractor {
    atomic_int references;
    dn_allocator allocator;
    int32_t input_size, scales;
    int32_t feature_dim;   /* scales * tap_channels */
    int32_t tap_channels, taps;
    int32_t layer_count;
    cnn_layer *layers;
    float *weights;        /* one block that the layers point into */
    int64_t parameters;
    int32_t random;
    uint32_t id;           /* crc32 of topology and weights */
    float mean[3], std[3];
    char name[64];
    char *topology;        /* canonical JSON layer list, as docs/format.md describes it */
};

/* Builds an extractor from parsed tensors whose names start with `prefix` ("" for a backbone file, "backbone." inside
 * a model); metadata keys get the same prefix.  label: file name for messages. */
dn_status extractor_from_tensors(const st_file *file, const char *prefix, const dn_extractor_options *options,
                                 dn_extractor **out, dn_error *error);
/* Adds tensors (weights as OIHW float data in torchvision's layout) and metadata under `prefix` to a file being
 * written.  `*scratch` receives a block that must live until the file is written (mem_free with the extractor's
 * allocator). */
dn_status extractor_to_tensors(const dn_extractor *extractor, const char *prefix, enum st_type stored,
                               st_writer *writer, float **scratch, dn_error *error);
dn_status extractor_random(const int32_t channels[5], uint64_t seed, const dn_extractor_options *options,
                           dn_extractor **out, dn_error *error);
dn_extractor *extractor_ref(dn_extractor *extractor);
void extractor_unref(dn_extractor *extractor);

#endif
