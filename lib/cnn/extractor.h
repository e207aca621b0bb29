/* The CNN: layer list and weights.  Immutable after creation. */
#ifndef DN_CNN_EXTRACTOR_H
#define DN_CNN_EXTRACTOR_H

#include <stdatomic.h>

#include "differnet.h"
#include "cnn/notes.h"
#include "format/safetensors.h"
#include "nn/conv.h"
#include "nn/pooling.h"

#define EXTRACTOR_MAX_LAYERS 256
#define EXTRACTOR_MAX_SCALES 5
#define EXTRACTOR_MAX_CHANNELS 65536
#define EXTRACTOR_MAX_KERNEL 64 /* pixels of a convolution's or a pool's side */
#define EXTRACTOR_MAX_RANDOM_CHANNELS 4096
#define EXTRACTOR_MAX_FEATURE 65536           /* numbers in a feature: what a flow takes */
#define EXTRACTOR_MAX_OUTPUT (1 << 28)        /* floats of one layer's output: 1 GiB */
#define EXTRACTOR_MAX_WORK (INT64_C(1) << 42) /* multiplications of one view; VGG-19 at 2048 x 2048: 2^40.6 */
#define EXTRACTOR_POOL_WORK 64                /* multiplications that one number of a pool's window counts as */
#define EXTRACTOR_NAME 48                     /* bytes of a layer's name, tensors' names: room for a suffix */

enum layer_kind { LAYER_CONV, LAYER_ACTIVATION, LAYER_MAXPOOL, LAYER_AVGPOOL };

/* One layer; NHWC. */
typedef struct cnn_layer {
    enum layer_kind kind;
    int32_t in_channels, out_channels;
    conv_spec conv;             /* LAYER_CONV */
    enum activation activation; /* LAYER_ACTIVATION */
    pool_spec pool;             /* LAYER_MAXPOOL, LAYER_AVGPOOL */
    int32_t tap;                /* 1: the mean of this layer's output goes into the feature */
    int32_t map;                /* 1: this layer's output goes into the maps */
    char name[EXTRACTOR_NAME];  /* "features.0" */
    char weight_name[EXTRACTOR_NAME + 16];
    char bias_name[EXTRACTOR_NAME + 16]; /* "": no bias, zeros */
} cnn_layer;

/* Height and width that a layer makes of its input's, in place; <= 0 if the input is too small. */
void cnn_layer_output(const cnn_layer *layer, int32_t *h, int32_t *w);

struct dn_extractor {
    atomic_int references;
    dn_allocator allocator;
    int32_t input_width, input_height, scales;
    int32_t feature_dim; /* scales * tap_channels */
    int32_t tap_channels, taps;
    int32_t layer_count;
    cnn_layer *layers;
    float *weights; /* one block that the layers point into */
    int64_t parameters;
    int32_t random;
    uint32_t id; /* crc32 of layer list and weights */
    float mean[3], std[3];
    char name[64];
    char *layer_text; /* canonical JSON layer list, as docs/format.md describes it */
    note *notes;      /* (note_count), of the file it was loaded from */
    int32_t note_count;
};

/* Floats of a view (height, width, 3); samples of a canvas. */
static inline size_t view_floats(const dn_extractor *extractor)
{
    return (size_t)extractor->input_width * (size_t)extractor->input_height * 3;
}

static inline _Bool extractor_is_square(const dn_extractor *extractor)
{
    return extractor->input_width == extractor->input_height;
}

/* One number for the input's size, to compare: a square's side, as it was when all inputs were square. */
static inline uint64_t extractor_input_number(const dn_extractor *extractor)
{
    uint64_t height = extractor_is_square(extractor) ? 0 : (uint64_t)extractor->input_height;

    return (uint64_t)extractor->input_width | height << 32;
}

dn_extractor_options extractor_default_options(void);
dn_status extractor_options_check(const dn_extractor_options *options, dn_error *error); /* all but the allocator */
/* Builds an extractor from parsed tensors whose names start with `prefix` ("" for a backbone file, "backbone." inside
 * a model); metadata keys get the same prefix.  options: complete and not NULL; ranges are checked here. */
dn_status extractor_from_tensors(const st_file *file, const char *prefix, const dn_extractor_options *options,
                                 dn_extractor **out, dn_error *error);
/* Adds tensors (weights as OIHW float data in torchvision's layout) and metadata under `prefix` to a file being
 * written: prefix + "differnet.layers", "differnet.mean", "differnet.std", "differnet.random" and "name".  `*scratch`
 * receives a block that must live until the file is written (mem_free with the extractor's allocator). */
dn_status extractor_to_tensors(const dn_extractor *extractor, const char *prefix, enum st_type stored,
                               st_writer *writer, float **scratch, dn_error *error);
/* channels: NULL for AlexNet's own. */
dn_status extractor_random(const int32_t channels[5], uint64_t seed, const dn_extractor_options *options,
                           dn_extractor **out, dn_error *error);
dn_extractor *extractor_ref(dn_extractor *extractor);
void extractor_unref(dn_extractor *extractor);

#endif
