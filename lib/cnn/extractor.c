#include "cnn/extractor.h"

#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/rng.h"
#include "base/status.h"
#include "cnn/layer_list.h"
#include "cnn/maps.h"

#define TENSOR_NAME 128 /* prefix and name */

/* torchvision's ImageNet statistics. */
static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};

/* Where tensors and metadata come from.  strip: bytes at the start of a tensor's name that this file leaves out. */
struct source {
    const st_file *file;
    const char *prefix;
    const char *label;
    size_t strip;
};

static const char *tensor_name(const struct source *source, const char *name, char *buffer)
{
    snprintf(buffer, TENSOR_NAME, "%s%s", source->prefix, name + source->strip);
    return buffer;
}

static const char *metadata(const struct source *source, const char *key)
{
    char buffer[TENSOR_NAME];

    snprintf(buffer, sizeof buffer, "%s%s", source->prefix, key);
    return st_metadata(source->file, buffer);
}

/* ---- sizes of tensors ---- */

static int64_t weight_floats(const conv_spec *conv)
{
    return (int64_t)conv->kernel_h * conv->kernel_w * (conv->in_c / conv->groups) * conv->out_c;
}

static dn_status check_conv(const cnn_layer *layer, const char *label, dn_error *error)
{
    const conv_spec *conv = &layer->conv;

    if (conv->out_c < 1 || conv->out_c > EXTRACTOR_MAX_CHANNELS || conv->kernel_h < 1 || conv->kernel_w < 1 ||
        conv->kernel_h > EXTRACTOR_MAX_KERNEL || conv->kernel_w > EXTRACTOR_MAX_KERNEL)
        return fail(error, DN_E_UNSUPPORTED,
                    "%s: tensor %s: kernels of 1 to %d pixels and 1 to %d channels are "
                    "handled",
                    label, layer->weight_name, EXTRACTOR_MAX_KERNEL, EXTRACTOR_MAX_CHANNELS);
    if (conv->groups != 1 && conv->out_c != conv->in_c)
        return fail(error, DN_E_UNSUPPORTED,
                    "%s: layer %s: with groups, as many channels must leave (%d) as "
                    "enter (%d)",
                    label, layer->name, conv->out_c, conv->in_c);
    if (conv->pad_top >= conv->kernel_h || conv->pad_bottom >= conv->kernel_h || conv->pad_left >= conv->kernel_w ||
        conv->pad_right >= conv->kernel_w)
        return fail(error, DN_E_FORMAT, "%s: layer %s: \"pad\" must be smaller than the kernel, %d x %d", label,
                    layer->name, conv->kernel_h, conv->kernel_w);
    return DN_OK;
}

/* Takes output channels and kernel size of a convolution from its weight, (out, in / groups, height, width). */
static dn_status resolve_conv(const struct source *source, cnn_layer *layer, dn_error *error)
{
    char name[TENSOR_NAME];
    conv_spec *conv = &layer->conv;
    const st_tensor *tensor = NULL;

    if (conv->groups != 1 && conv->groups != conv->in_c)
        return fail(error, DN_E_UNSUPPORTED,
                    "%s: layer %s: groups is %d; only 1 and the number of channels, here %d, "
                    "are handled",
                    source->label, layer->name, conv->groups, conv->in_c);
    const int64_t shape[4] = {-1, conv->in_c / conv->groups, -1, -1};
    TRY(st_require(source->file, tensor_name(source, layer->weight_name, name), 4, shape, &tensor, error));
    /* Numbers beyond the bounds become 0, which check_conv refuses. */
    conv->out_c = tensor->shape[0] <= EXTRACTOR_MAX_CHANNELS ? (int32_t)tensor->shape[0] : 0;
    conv->kernel_h = tensor->shape[2] <= EXTRACTOR_MAX_KERNEL ? (int32_t)tensor->shape[2] : 0;
    conv->kernel_w = tensor->shape[3] <= EXTRACTOR_MAX_KERNEL ? (int32_t)tensor->shape[3] : 0;
    TRY(check_conv(layer, source->label, error));
    const int64_t bias_shape[1] = {conv->out_c};
    if (layer->bias_name[0])
        TRY(st_require(source->file, tensor_name(source, layer->bias_name, name), 1, bias_shape, &tensor, error));
    return DN_OK;
}

/* Chains the channels through the layers.  source: NULL if the convolutions' sizes are set already. */
static dn_status resolve_layers(dn_extractor *extractor, const struct source *source, dn_error *error)
{
    int32_t channels = 3;

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        cnn_layer *layer = &extractor->layers[i];
        layer->in_channels = channels;
        if (layer->kind == LAYER_CONV) {
            layer->conv.in_c = channels;
            if (source)
                TRY(resolve_conv(source, layer, error));
            channels = layer->conv.out_c;
        }
        layer->pool.channels = channels;
        layer->out_channels = channels;
        if (layer->tap)
            extractor->tap_channels += channels; /* at most 256 * 65536 */
    }
    if (extractor->tap_channels > EXTRACTOR_MAX_FEATURE / extractor->scales)
        return fail(error, DN_E_UNSUPPORTED,
                    "%s: %d scales of %d tapped channels make a feature of more than %d "
                    "numbers",
                    source ? source->label : extractor->name, extractor->scales, extractor->tap_channels,
                    EXTRACTOR_MAX_FEATURE);
    extractor->feature_dim = extractor->scales * extractor->tap_channels;
    return DN_OK;
}

/* ---- weights ---- */

/* One block for all weights, biases and packed weights, each part aligned; largest: floats of the largest weight. */
static dn_status allocate_weights(dn_extractor *extractor, size_t *largest, dn_error *error)
{
    size_t total = 0;
    _Bool fits = 1; /* where sizes have 32 bits */

    *largest = 0;
    for (int32_t i = 0; i < extractor->layer_count && fits; i++) {
        const cnn_layer *layer = &extractor->layers[i];
        if (layer->kind != LAYER_CONV)
            continue;
        size_t weight = (size_t)weight_floats(&layer->conv);
        fits = size_add(total,
                        mem_padded_floats(weight) + mem_padded_floats((size_t)layer->conv.out_c) +
                            mem_padded_floats(conv_packed_floats(&layer->conv)),
                        &total);
        extractor->parameters += (int64_t)weight + (layer->bias_name[0] ? layer->conv.out_c : 0);
        if (weight > *largest)
            *largest = weight;
    }
    extractor->weights = fits ? mem_alloc(&extractor->allocator, total, sizeof(float)) : NULL;
    return extractor->weights ? DN_OK : fail_memory(error, "the backbone's weights");
}

/* (out, in, height, width) -> (height, width, in, out), or back.  Outputs in blocks: those of a block share lines. */
static void weight_from_oihw(const conv_spec *conv, const float *oihw, float *weight)
{
    enum { BLOCK = 16 };
    int32_t in = conv->in_c / conv->groups, area = conv->kernel_h * conv->kernel_w;

    for (int32_t first = 0; first < conv->out_c; first += BLOCK) {
        int32_t end = conv->out_c - first < BLOCK ? conv->out_c : first + BLOCK;
        for (int32_t i = 0; i < in; i++)
            for (int32_t k = 0; k < area; k++)
                for (int32_t o = first; o < end; o++)
                    weight[((int64_t)k * in + i) * conv->out_c + o] = oihw[((int64_t)o * in + i) * area + k];
    }
}

static void weight_to_oihw(const conv_spec *conv, float *oihw)
{
    int32_t in = conv->in_c / conv->groups, area = conv->kernel_h * conv->kernel_w;

    for (int32_t o = 0; o < conv->out_c; o++)
        for (int32_t i = 0; i < in; i++)
            for (int32_t k = 0; k < area; k++)
                *oihw++ = conv->weight[((int64_t)k * in + i) * conv->out_c + o];
}

static uint32_t crc_floats(uint32_t crc, const float *x, size_t n)
{
    return libdeflate_crc32(crc, x, n * sizeof *x);
}

/* Fills weights in layer order.  Either they are read from `source`, or drawn from `generator`: He's normal
 * initialisation (He et al., ICCV 2015, eq. 10: variance 2 / fan-in) with zero biases. */
static dn_status fill_weights(dn_extractor *extractor, const struct source *source, rng *generator, float *oihw,
                              dn_error *error)
{
    char name[TENSOR_NAME];
    float *next = extractor->weights;

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        cnn_layer *layer = &extractor->layers[i];
        conv_spec *conv = &layer->conv;
        if (layer->kind != LAYER_CONV)
            continue;
        size_t count = (size_t)weight_floats(conv);
        float *weight = next, *bias = weight + mem_padded_floats(count);
        next = bias + mem_padded_floats((size_t)conv->out_c);
        memset(bias, 0, (size_t)conv->out_c * sizeof *bias);
        if (source) {
            const st_tensor *tensor = st_find(source->file, tensor_name(source, layer->weight_name, name));
            TRY(st_read_f32(source->file, tensor, oihw, error));
            tensor = layer->bias_name[0] ? st_find(source->file, tensor_name(source, layer->bias_name, name)) : NULL;
            if (tensor)
                TRY(st_read_f32(source->file, tensor, bias, error));
        } else {
            double deviation = sqrt(2.0 * conv->out_c / (double)count);
            for (size_t k = 0; k < count; k++)
                oihw[k] = (float)(deviation * rng_normal(generator));
        }
        extractor->id = crc_floats(crc_floats(extractor->id, oihw, count), bias, (size_t)conv->out_c);
        weight_from_oihw(conv, oihw, weight);
        conv->weight = weight;
        conv->bias = bias;
        if (conv_packed_floats(conv) > 0) {
            conv_pack(conv, next);
            conv->packed = next;
            next += mem_padded_floats(conv_packed_floats(conv));
        }
    }
    return DN_OK;
}

/* Everything after the layers are known: sizes, canonical text, weights, id. */
static dn_status complete(dn_extractor *extractor, const struct source *source, rng *generator, dn_error *error)
{
    size_t largest;

    TRY(resolve_layers(extractor, source, error));
    TRY(layer_list_check_size(extractor, source ? source->label : extractor->name, error));
    TRY(layer_list_print(extractor, &extractor->layer_text, error)); /* before the default taps: it holds the marks */
    maps_default_taps(extractor);
    TRY(allocate_weights(extractor, &largest, error));
    const uint8_t *text = (const uint8_t *)extractor->layer_text;
    extractor->id = libdeflate_crc32(0, text, strlen(extractor->layer_text));
    extractor->id = crc_floats(crc_floats(extractor->id, extractor->mean, 3), extractor->std, 3);
    float *oihw = mem_alloc(&extractor->allocator, largest, sizeof *oihw);
    if (!oihw)
        return fail_memory(error, "the backbone's weights");
    dn_status status = fill_weights(extractor, source, generator, oihw, error);
    mem_free(&extractor->allocator, oihw);
    return status;
}

/* ---- creation ---- */

dn_extractor_options extractor_default_options(void)
{
    return (dn_extractor_options){.struct_size = sizeof(dn_extractor_options), .input_size = 448, .scales = 3};
}

static const option_range ranges[] = {
    OPTION_INTEGER(dn_extractor_options, input_size, 32, 2048, "a multiple of 32"),
    OPTION_INTEGER(dn_extractor_options, scales, 1, EXTRACTOR_MAX_SCALES, NULL),
    OPTION_INTEGER(dn_extractor_options, input_height, 0, 2048, "a multiple of 32, or 0: as input_size"),
};

dn_status extractor_options_check(const dn_extractor_options *options, dn_error *error)
{
    TRY(options_check(options, "dn_extractor_options", ranges, OPTION_COUNT(ranges), error));
    if (options->input_size % 32 != 0)
        return fail(error, DN_E_ARGUMENT, "dn_extractor_options: input_size is %d; it must be a multiple of 32",
                    options->input_size);
    if (options->input_height % 32 != 0)
        return fail(error, DN_E_ARGUMENT, "dn_extractor_options: input_height is %d; it must be a multiple of 32",
                    options->input_height);
    return DN_OK;
}

static dn_status create(const dn_extractor_options *options, dn_extractor **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    TRY(extractor_options_check(options, error)); /* a model's file tells them, too */
    dn_extractor *extractor = mem_zalloc(&allocator, 1, sizeof *extractor);
    if (!extractor)
        return fail_memory(error, "the backbone");
    atomic_init(&extractor->references, 1);
    extractor->allocator = allocator;
    extractor->input_width = options->input_size;
    extractor->input_height = options->input_height > 0 ? options->input_height : options->input_size;
    extractor->scales = options->scales;
    memcpy(extractor->mean, imagenet_mean, sizeof extractor->mean);
    memcpy(extractor->std, imagenet_std, sizeof extractor->std);
    *out = extractor;
    return DN_OK;
}

/* Copies a name for display: control characters become spaces, and the end is cut between UTF-8 characters. */
static void set_name(dn_extractor *extractor, const char *name)
{
    size_t length = strlen(name);

    if (length >= sizeof extractor->name) {
        length = sizeof extractor->name - 1;
        while (length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80)
            length--;
    }
    for (size_t i = 0; i < length; i++)
        extractor->name[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7F ? ' ' : name[i];
    extractor->name[length] = '\0';
}

static dn_status read_metadata(dn_extractor *extractor, const struct source *source, const char *default_name,
                               dn_error *error)
{
    const char *mean = metadata(source, "differnet.mean");
    const char *std = metadata(source, "differnet.std");
    const char *random = metadata(source, "differnet.random");
    const char *name = metadata(source, "name");

    if (mean)
        TRY(layer_list_parse_triple(mean, "differnet.mean", source->label, extractor->mean, error));
    if (std)
        TRY(layer_list_parse_triple(std, "differnet.std", source->label, extractor->std, error));
    for (int i = 0; i < 3; i++)
        if (!(extractor->std[i] >= 1e-6f))
            return fail(error, DN_E_FORMAT, "%s: differnet.std must be at least 1e-6", source->label);
    if (random && strcmp(random, "0") != 0 && strcmp(random, "1") != 0)
        return fail(error, DN_E_FORMAT, "%s: differnet.random must be \"0\" or \"1\"", source->label);
    extractor->random = random && *random == '1';
    set_name(extractor, name && *name ? name : default_name);
    return DN_OK;
}

/* Files that this library writes say what they are. */
static dn_status check_kind(const struct source *source, dn_error *error)
{
    return *source->prefix || !metadata(source, ST_KIND) ? DN_OK : st_check_kind(source->file, ST_BACKBONE, error);
}

/* Without a layer list only AlexNet is known, by the name and kernel size of its first tensor. */
static dn_status recognise_alexnet(struct source *source, dn_error *error)
{
    char name[TENSOR_NAME];
    const st_tensor *tensor = st_find(source->file, tensor_name(source, "features.0.weight", name));

    if (!tensor) {
        source->strip = strlen("features.");
        tensor = st_find(source->file, tensor_name(source, "features.0.weight", name));
    }
    if (tensor && tensor->rank == 4 && tensor->shape[2] == layer_list_alexnet_kernels[0] &&
        tensor->shape[3] == layer_list_alexnet_kernels[0])
        return DN_OK;
    return fail(error, DN_E_UNSUPPORTED,
                "%s: unknown network: expected torchvision's AlexNet (features.{0,3,6,8,10}.{weight,bias}, "
                "features.0.weight of shape (n, 3, 11, 11)), or a layer list in the metadata (differnet.layers)",
                source->label);
}

static dn_status check_alexnet(const dn_extractor *extractor, const struct source *source, dn_error *error)
{
    char name[TENSOR_NAME];
    int conv = 0;

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        const cnn_layer *layer = &extractor->layers[i];
        if (layer->kind != LAYER_CONV)
            continue;
        int32_t kernel = layer_list_alexnet_kernels[conv++];
        const int64_t shape[4] = {-1, -1, kernel, kernel};
        const st_tensor *tensor = NULL;
        TRY(st_require(source->file, tensor_name(source, layer->weight_name, name), 4, shape, &tensor, error));
    }
    return DN_OK;
}

static dn_status load(dn_extractor *extractor, struct source *source, dn_error *error)
{
    const char *list = metadata(source, "differnet.layers");

    TRY(check_kind(source, error));
    if (!list)
        TRY(recognise_alexnet(source, error));
    TRY(read_metadata(extractor, source, list ? "CNN" : "AlexNet", error));
    if (!*source->prefix) /* a model keeps none */
        TRY(notes_read(source->file, &extractor->allocator, &extractor->notes, &extractor->note_count, error));
    TRY(layer_list_parse(extractor, list ? list : layer_list_alexnet, source->label, error));
    if (!list)
        TRY(check_alexnet(extractor, source, error));
    return complete(extractor, source, NULL, error);
}

dn_status extractor_from_tensors(const st_file *file, const char *prefix, const dn_extractor_options *options,
                                 dn_extractor **out, dn_error *error)
{
    struct source source = {file, prefix, st_label(file), 0};
    dn_extractor *extractor = NULL;

    *out = NULL;
    TRY(create(options, &extractor, error));
    dn_status status = load(extractor, &source, error);
    if (status != DN_OK) {
        extractor_unref(extractor);
        return status;
    }
    *out = extractor;
    return DN_OK;
}

static dn_status draw(dn_extractor *extractor, const int32_t channels[5], uint64_t seed, dn_error *error)
{
    rng generator;
    int conv = 0;

    extractor->random = 1;
    snprintf(extractor->name, sizeof extractor->name, "random AlexNet (seed %llu)", (unsigned long long)seed);
    TRY(layer_list_parse(extractor, layer_list_alexnet, extractor->name, error));
    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].kind == LAYER_CONV) {
            conv_spec *spec = &extractor->layers[i].conv;
            spec->kernel_h = spec->kernel_w = layer_list_alexnet_kernels[conv];
            spec->out_c = channels[conv++];
        }
    rng_seed(&generator, seed, RNG_BACKBONE);
    return complete(extractor, NULL, &generator, error);
}

dn_status extractor_random(const int32_t channels[5], uint64_t seed, const dn_extractor_options *options,
                           dn_extractor **out, dn_error *error)
{
    static const int32_t alexnet[LAYER_LIST_ALEXNET_CONVS] = {64, 192, 384, 256, 256};
    dn_extractor *extractor = NULL;

    *out = NULL;
    if (!channels)
        channels = alexnet;
    for (int i = 0; i < LAYER_LIST_ALEXNET_CONVS; i++)
        if (channels[i] < 1 || channels[i] > EXTRACTOR_MAX_RANDOM_CHANNELS)
            return fail(error, DN_E_ARGUMENT, "channels[%d] is %d; it must be from 1 to %d", i, channels[i],
                        EXTRACTOR_MAX_RANDOM_CHANNELS);
    TRY(create(options, &extractor, error));
    dn_status status = draw(extractor, channels, seed, error);
    if (status != DN_OK) {
        extractor_unref(extractor);
        return status;
    }
    *out = extractor;
    return DN_OK;
}

/* ---- writing ---- */

static void write_metadata(st_writer *writer, const char *prefix, const char *key, const char *value)
{
    char buffer[TENSOR_NAME];

    snprintf(buffer, sizeof buffer, "%s%s", prefix, key);
    st_writer_metadata(writer, buffer, value);
}

static void write_conv(const cnn_layer *layer, const char *prefix, enum st_type stored, st_writer *writer, float *oihw)
{
    const conv_spec *conv = &layer->conv;
    const int64_t shape[4] = {conv->out_c, conv->in_c / conv->groups, conv->kernel_h, conv->kernel_w};
    char name[TENSOR_NAME];

    weight_to_oihw(conv, oihw);
    snprintf(name, sizeof name, "%s%s", prefix, layer->weight_name);
    st_writer_tensor(writer, name, ST_F32, stored, 4, shape, oihw);
    snprintf(name, sizeof name, "%s%s", prefix, layer->bias_name);
    if (layer->bias_name[0])
        st_writer_tensor(writer, name, ST_F32, stored, 1, shape, conv->bias);
}

dn_status extractor_to_tensors(const dn_extractor *extractor, const char *prefix, enum st_type stored,
                               st_writer *writer, float **scratch, dn_error *error)
{
    char mean[LAYER_LIST_TRIPLE], std[LAYER_LIST_TRIPLE];

    *scratch = NULL;
    layer_list_print_triple(extractor->mean, mean);
    layer_list_print_triple(extractor->std, std);
    float *oihw = mem_alloc(&extractor->allocator, (size_t)extractor->parameters, sizeof *oihw);
    if (!oihw)
        return fail_memory(error, "the backbone's weights");
    *scratch = oihw;
    write_metadata(writer, prefix, "name", extractor->name);
    write_metadata(writer, prefix, "differnet.layers", extractor->layer_text);
    write_metadata(writer, prefix, "differnet.mean", mean);
    write_metadata(writer, prefix, "differnet.std", std);
    write_metadata(writer, prefix, "differnet.random", extractor->random ? "1" : "0");
    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].kind == LAYER_CONV) {
            write_conv(&extractor->layers[i], prefix, stored, writer, oihw);
            oihw += weight_floats(&extractor->layers[i].conv);
        }
    return DN_OK;
}

/* ---- references ---- */

dn_extractor *extractor_ref(dn_extractor *extractor)
{
    atomic_fetch_add_explicit(&extractor->references, 1, memory_order_relaxed);
    return extractor;
}

void extractor_unref(dn_extractor *extractor)
{
    if (!extractor || atomic_fetch_sub_explicit(&extractor->references, 1, memory_order_acq_rel) != 1)
        return;
    dn_allocator allocator = extractor->allocator;
    mem_free(&allocator, extractor->notes);
    mem_free(&allocator, extractor->layer_text);
    mem_free(&allocator, extractor->weights);
    mem_free(&allocator, extractor->layers);
    mem_free(&allocator, extractor);
}
