#include "cnn/layer_list.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/blob.h"
#include "base/memory.h"
#include "base/status.h"

#define MAX_STRIDE 64

const char layer_list_alexnet[] =
    "[{\"op\":\"conv\",\"name\":\"features.0\",\"weight\":\"features.0.weight\",\"bias\":\"features.0.bias\","
    "\"stride\":4,\"pad\":2},"
    "{\"op\":\"relu\",\"name\":\"features.1\"},"
    "{\"op\":\"maxpool\",\"name\":\"features.2\",\"kernel\":3,\"stride\":2},"
    "{\"op\":\"conv\",\"name\":\"features.3\",\"weight\":\"features.3.weight\",\"bias\":\"features.3.bias\",\"pad\":2},"
    "{\"op\":\"relu\",\"name\":\"features.4\"},"
    "{\"op\":\"maxpool\",\"name\":\"features.5\",\"kernel\":3,\"stride\":2},"
    "{\"op\":\"conv\",\"name\":\"features.6\",\"weight\":\"features.6.weight\",\"bias\":\"features.6.bias\",\"pad\":1},"
    "{\"op\":\"relu\",\"name\":\"features.7\"},"
    "{\"op\":\"conv\",\"name\":\"features.8\",\"weight\":\"features.8.weight\",\"bias\":\"features.8.bias\",\"pad\":1},"
    "{\"op\":\"relu\",\"name\":\"features.9\"},"
    "{\"op\":\"conv\",\"name\":\"features.10\",\"weight\":\"features.10.weight\",\"bias\":\"features.10.bias\","
    "\"pad\":1},"
    "{\"op\":\"relu\",\"name\":\"features.11\"},"
    "{\"op\":\"maxpool\",\"name\":\"features.12\",\"kernel\":3,\"stride\":2}]";
const int32_t layer_list_alexnet_kernels[LAYER_LIST_ALEXNET_CONVS] = {11, 5, 3, 3, 3};

/* What a layer list can contain.  op, name and tap fit every operator. */
static const struct operation {
    const char *op;
    enum layer_kind kind;
    enum activation activation;
    const char *keys[6];
} operations[] = {
    {"conv", LAYER_CONV, ACTIVATION_NONE, {"weight", "bias", "stride", "pad", "groups", NULL}},
    {"relu", LAYER_ACTIVATION, ACTIVATION_RELU, {NULL}},
    {"relu6", LAYER_ACTIVATION, ACTIVATION_RELU6, {NULL}},
    {"maxpool", LAYER_MAXPOOL, ACTIVATION_NONE, {"kernel", "stride", "pad", NULL}},
    {"avgpool", LAYER_AVGPOOL, ACTIVATION_NONE, {"kernel", "stride", "pad", NULL}},
};
#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

/* One layer being read, and what its messages need. */
struct reader {
    const json_t *object;
    const char *label;
    int32_t index;
    dn_error *error;
};

/* Names go into messages, tensor names and canonical JSON: printable ASCII that needs no escaping. */
static _Bool plain(const char *text, size_t capacity)
{
    size_t length = strlen(text);

    if (length == 0 || length >= capacity)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return 0;
    return 1;
}

static const char *shown(const char *text)
{
    return plain(text, EXTRACTOR_NAME) ? text : "(not a plain name)";
}

/* ---- values ---- */

/* Copies the string under `key`; an absent optional one leaves `out` empty. */
static dn_status read_name(const struct reader *r, const char *key, _Bool required, char *out, size_t capacity)
{
    const json_t *value = json_object_get(r->object, key);

    out[0] = '\0';
    if (!value && !required)
        return DN_OK;
    if (!value)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" is missing", r->label, r->index, key);
    const char *text = json_string_value(value);
    if (!text || !plain(text, capacity))
        return fail(r->error, DN_E_FORMAT,
                    "%s: layer %d: \"%s\" must be a name of 1 to %d ASCII characters without space, quote, backslash",
                    r->label, r->index, key, (int)capacity - 1);
    memcpy(out, text, strlen(text) + 1);
    return DN_OK;
}

static dn_status check_integer(const struct reader *r, const char *key, const json_t *value, int32_t least,
                               int32_t most, int32_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > most)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" must be of integers from %d to %d", r->label, r->index,
                    key, least, most);
    *out = (int32_t)json_integer_value(value);
    return DN_OK;
}

/* Reads an integer, or an array of `count` of them; an integer stands for `count` equal ones. */
static dn_status read_integers(const struct reader *r, const char *key, int32_t least, int32_t most, int32_t count,
                               int32_t *out)
{
    const json_t *value = json_object_get(r->object, key);

    if (json_is_array(value) && count > 1) {
        if (json_array_size(value) != (size_t)count)
            return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" must be one integer or %d", r->label, r->index,
                        key, count);
        for (int32_t i = 0; i < count; i++)
            TRY(check_integer(r, key, json_array_get(value, (size_t)i), least, most, &out[i]));
        return DN_OK;
    }
    TRY(check_integer(r, key, value, least, most, &out[0]));
    for (int32_t i = 1; i < count; i++)
        out[i] = out[0];
    return DN_OK;
}

static _Bool has(const struct reader *r, const char *key)
{
    return json_object_get(r->object, key) != NULL;
}

/* pad: one number, or top, left, bottom, right.  It is smaller than the kernel, so that no window lies outside. */
static dn_status read_pad(const struct reader *r, int32_t pad[4])
{
    memset(pad, 0, 4 * sizeof *pad);
    return has(r, "pad") ? read_integers(r, "pad", 0, EXTRACTOR_MAX_KERNEL - 1, 4, pad) : DN_OK;
}

/* ---- layers ---- */

static dn_status read_conv(const struct reader *r, cnn_layer *layer)
{
    conv_spec *conv = &layer->conv;
    int32_t pad[4];

    TRY(read_name(r, "weight", 1, layer->weight_name, sizeof layer->weight_name));
    TRY(read_name(r, "bias", 0, layer->bias_name, sizeof layer->bias_name));
    conv->stride = 1;
    conv->groups = 1;
    if (has(r, "stride"))
        TRY(read_integers(r, "stride", 1, MAX_STRIDE, 1, &conv->stride));
    if (has(r, "groups"))
        TRY(read_integers(r, "groups", 1, EXTRACTOR_MAX_CHANNELS, 1, &conv->groups));
    TRY(read_pad(r, pad));
    conv->pad_top = pad[0];
    conv->pad_left = pad[1];
    conv->pad_bottom = pad[2];
    conv->pad_right = pad[3];
    return DN_OK;
}

static dn_status read_pool(const struct reader *r, cnn_layer *layer)
{
    pool_spec *pool = &layer->pool;
    int32_t kernel[2] = {0}, pad[4] = {0};

    TRY(read_integers(r, "kernel", 1, EXTRACTOR_MAX_KERNEL, 2, kernel));
    TRY(read_integers(r, "stride", 1, MAX_STRIDE, 1, &pool->stride));
    TRY(read_pad(r, pad));
    if (pad[0] >= kernel[0] || pad[2] >= kernel[0] || pad[1] >= kernel[1] || pad[3] >= kernel[1])
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"pad\" must be smaller than \"kernel\"", r->label, r->index);
    pool->kernel_h = kernel[0];
    pool->kernel_w = kernel[1];
    pool->pad_top = pad[0];
    pool->pad_left = pad[1];
    pool->pad_bottom = pad[2];
    pool->pad_right = pad[3];
    return DN_OK;
}

static dn_status find_operation(const struct reader *r, const struct operation **out)
{
    const char *op = json_string_value(json_object_get(r->object, "op"));

    if (!op)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: must be an object with \"op\"", r->label, r->index);
    for (int i = 0; i < OPERATIONS; i++)
        if (strcmp(op, operations[i].op) == 0) {
            *out = &operations[i];
            return DN_OK;
        }
    return fail(r->error, DN_E_UNSUPPORTED,
                "%s: layer %d: unknown operator \"%s\"; there are conv, relu, relu6, maxpool, avgpool", r->label,
                r->index, shown(op));
}

/* An unknown key may change what the layer does: refused, not skipped. */
static dn_status check_keys(const struct reader *r, const struct operation *operation)
{
    for (void *at = json_object_iter((json_t *)(uintptr_t)r->object); at;
         at = json_object_iter_next((json_t *)(uintptr_t)r->object, at)) {
        const char *key = json_object_iter_key(at);
        _Bool known = strcmp(key, "op") == 0 || strcmp(key, "name") == 0 || strcmp(key, "tap") == 0;
        for (int i = 0; !known && operation->keys[i]; i++)
            known = strcmp(key, operation->keys[i]) == 0;
        if (!known)
            return fail(r->error, DN_E_UNSUPPORTED, "%s: layer %d: %s has no key \"%s\"", r->label, r->index,
                        operation->op, shown(key));
    }
    return DN_OK;
}

/* "conv0.weight" -> "conv0"; other layers are called after operator and place. */
static void default_name(cnn_layer *layer, const char *op, int32_t index)
{
    size_t length = strlen(layer->weight_name);
    const char suffix[] = ".weight";

    if (layer->kind != LAYER_CONV) {
        snprintf(layer->name, sizeof layer->name, "%s.%d", op, index);
        return;
    }
    if (length >= sizeof suffix && strcmp(layer->weight_name + length - (sizeof suffix - 1), suffix) == 0)
        length -= sizeof suffix - 1;
    snprintf(layer->name, sizeof layer->name, "%.*s", (int)length, layer->weight_name);
}

static dn_status read_layer(const struct reader *r, cnn_layer *layer)
{
    const struct operation *operation = NULL;
    const json_t *tap = json_object_get(r->object, "tap");

    TRY(find_operation(r, &operation));
    TRY(check_keys(r, operation));
    layer->kind = operation->kind;
    layer->activation = operation->activation;
    if (tap && !json_is_boolean(tap))
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"tap\" must be true or false", r->label, r->index);
    layer->tap = json_is_true(tap);
    if (layer->kind == LAYER_CONV)
        TRY(read_conv(r, layer));
    else if (layer->kind != LAYER_ACTIVATION)
        TRY(read_pool(r, layer));
    if (has(r, "name"))
        return read_name(r, "name", 1, layer->name, sizeof layer->name);
    default_name(layer, operation->op, r->index);
    return DN_OK;
}

/* A tensor read twice would let a small file ask for much memory, and could not be written again. */
static dn_status check_tensor_names(const dn_extractor *extractor, const char *label, dn_error *error)
{
    for (int32_t i = 0; i < 2 * extractor->layer_count; i++) {
        const cnn_layer *layer = &extractor->layers[i / 2];
        const char *name = i % 2 ? layer->bias_name : layer->weight_name;
        for (int32_t j = 0; *name && j < i; j++) {
            const cnn_layer *earlier = &extractor->layers[j / 2];
            if (strcmp(name, j % 2 ? earlier->bias_name : earlier->weight_name) == 0)
                return fail(error, DN_E_UNSUPPORTED, "%s: layer list: tensor %s is used twice", label, name);
        }
    }
    return DN_OK;
}

static void set_taps(dn_extractor *extractor)
{
    int32_t last = -1;

    extractor->taps = 0;
    for (int32_t i = 0; i < extractor->layer_count; i++)
        if (extractor->layers[i].tap) {
            extractor->taps++;
            last = i;
        }
    if (last < 0) {
        last = extractor->layer_count - 1;
        extractor->layers[last].tap = 1;
        extractor->taps = 1;
    }
    extractor->layer_count = last + 1;
}

static dn_status read_list(dn_extractor *extractor, const json_t *list, const char *label, dn_error *error)
{
    size_t count = json_array_size(list); /* 0 if it is no array */

    if (count < 1 || count > EXTRACTOR_MAX_LAYERS)
        return fail(error, DN_E_FORMAT, "%s: the layer list must be an array of 1 to %d layers", label,
                    EXTRACTOR_MAX_LAYERS);
    extractor->layers = mem_zalloc(&extractor->allocator, count, sizeof *extractor->layers);
    if (!extractor->layers)
        return fail_memory(error, "the layer list");
    for (size_t i = 0; i < count; i++) {
        struct reader r = {json_array_get(list, i), label, (int32_t)i, error};
        TRY(read_layer(&r, &extractor->layers[i]));
    }
    extractor->layer_count = (int32_t)count;
    set_taps(extractor);
    return check_tensor_names(extractor, label, error);
}

/* Parses JSON that is `what`. */
static dn_status load_json(const char *text, const char *what, const char *label, json_t **out, dn_error *error)
{
    json_error_t problem = {0};

    *out = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
    if (*out)
        return DN_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return fail_memory(error, what);
    return fail(error, DN_E_FORMAT, "%s: %s: malformed JSON at character %d", label, what, problem.position);
}

dn_status layer_list_parse(dn_extractor *extractor, const char *text, const char *label, dn_error *error)
{
    json_t *list = NULL;

    TRY(load_json(text, "differnet.layers", label, &list, error));
    dn_status status = read_list(extractor, list, label, error);
    json_decref(list);
    return status;
}

/* ---- writing ---- */

/* "conv", "relu", ... */
static const char *operator_name(const cnn_layer *layer)
{
    int i = 0;

    while (operations[i].kind != layer->kind || operations[i].activation != layer->activation)
        i++;
    return operations[i].op;
}

/* Room for one layer's text: three names and a dozen numbers. */
#define LAYER_TEXT (3 * (EXTRACTOR_NAME + 16) + 256)

static void print_layer(const cnn_layer *layer, char *text)
{
    const conv_spec *conv = &layer->conv;
    const pool_spec *pool = &layer->pool;
    int used = snprintf(text, LAYER_TEXT, "{\"op\":\"%s\",\"name\":\"%s\"", operator_name(layer), layer->name);

    if (layer->kind == LAYER_CONV) {
        used += snprintf(text + used, LAYER_TEXT - (size_t)used, ",\"weight\":\"%s\"", layer->weight_name);
        if (layer->bias_name[0])
            used += snprintf(text + used, LAYER_TEXT - (size_t)used, ",\"bias\":\"%s\"", layer->bias_name);
        used += snprintf(text + used, LAYER_TEXT - (size_t)used, ",\"stride\":%d,\"pad\":[%d,%d,%d,%d],\"groups\":%d",
                         conv->stride, conv->pad_top, conv->pad_left, conv->pad_bottom, conv->pad_right, conv->groups);
    } else if (layer->kind != LAYER_ACTIVATION) {
        used += snprintf(text + used, LAYER_TEXT - (size_t)used,
                         ",\"kernel\":[%d,%d],\"stride\":%d,\"pad\":[%d,%d,%d,%d]", pool->kernel_h, pool->kernel_w,
                         pool->stride, pool->pad_top, pool->pad_left, pool->pad_bottom, pool->pad_right);
    }
    snprintf(text + used, LAYER_TEXT - (size_t)used, "%s}", layer->tap ? ",\"tap\":true" : "");
}

dn_status layer_list_print(const dn_extractor *extractor, char **out, dn_error *error)
{
    char text[LAYER_TEXT];
    dn_blob *blob = blob_create(&extractor->allocator);
    _Bool good = blob != NULL;

    for (int32_t i = 0; good && i < extractor->layer_count; i++) {
        print_layer(&extractor->layers[i], text);
        good = blob_append(blob, i ? "," : "[", 1) && blob_append(blob, text, strlen(text));
    }
    good = good && blob_append(blob, "]", 2); /* with the final NUL */
    *out = good ? mem_strdup(&extractor->allocator, (const char *)blob->data) : NULL;
    blob_free(blob);
    return *out ? DN_OK : fail_memory(error, "the layer list");
}

/* ---- sizes ---- */

void cnn_layer_output(const cnn_layer *layer, int32_t *h, int32_t *w)
{
    const conv_spec *conv = &layer->conv;
    const pool_spec *pool = &layer->pool;

    if (layer->kind == LAYER_CONV) {
        *h = conv_out(*h, conv->pad_top, conv->pad_bottom, conv->kernel_h, conv->stride);
        *w = conv_out(*w, conv->pad_left, conv->pad_right, conv->kernel_w, conv->stride);
    } else if (layer->kind != LAYER_ACTIVATION) {
        *h = conv_out(*h, pool->pad_top, pool->pad_bottom, pool->kernel_h, pool->stride);
        *w = conv_out(*w, pool->pad_left, pool->pad_right, pool->kernel_w, pool->stride);
    }
}

static _Bool fits(const dn_extractor *extractor, int32_t side)
{
    int32_t h = side, w = side;

    for (int32_t i = 0; i < extractor->layer_count && h > 0 && w > 0; i++)
        cnn_layer_output(&extractor->layers[i], &h, &w);
    return h > 0 && w > 0;
}

static dn_status check_memory(const dn_extractor *extractor, const char *label, dn_error *error)
{
    int32_t h = extractor->input_size, w = extractor->input_size;

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        const cnn_layer *layer = &extractor->layers[i];
        cnn_layer_output(layer, &h, &w);
        if ((int64_t)h * w > EXTRACTOR_MAX_OUTPUT / layer->out_channels)
            return fail(error, DN_E_LIMIT, "%s: layer %s gives %d x %d x %d numbers at an input size of %d; the limit "
                        "is %d", label, layer->name, h, w, layer->out_channels, extractor->input_size,
                        EXTRACTOR_MAX_OUTPUT);
    }
    return DN_OK;
}

dn_status layer_list_check_size(const dn_extractor *extractor, const char *label, dn_error *error)
{
    int32_t shift = extractor->scales - 1;
    int32_t least = 32;

    if (fits(extractor, extractor->input_size >> shift))
        return check_memory(extractor, label, error);
    while (least <= 2048 && !fits(extractor, least >> shift))
        least += 32;
    if (least > 2048)
        return fail(error, DN_E_ARGUMENT, "%s: no input size up to 2048 gets through the network at %d scales; "
                    "use fewer", label, extractor->scales);
    return fail(error, DN_E_ARGUMENT,
                "%s: input size %d is too small: at %d scales the smallest is %d pixels wide, which does not get "
                "through the network; the smallest input size that works is %d", label, extractor->input_size,
                extractor->scales, extractor->input_size >> shift, least);
}

/* ---- mean and std ---- */

dn_status layer_list_parse_triple(const char *text, const char *key, const char *label, float triple[3],
                                dn_error *error)
{
    json_t *list = NULL;

    TRY(load_json(text, key, label, &list, error));
    _Bool good = json_array_size(list) == 3;
    for (size_t i = 0; good && i < 3; i++) {
        const json_t *value = json_array_get(list, i);
        good = json_is_number(value) && fabs(json_number_value(value)) <= 1e30; /* a finite float */
        triple[i] = good ? (float)json_number_value(value) : 0;
    }
    json_decref(list);
    return good ? DN_OK : fail(error, DN_E_FORMAT, "%s: %s must be an array of three numbers", label, key);
}

dn_status layer_list_print_triple(const float triple[3], char *text, size_t size, dn_error *error)
{
    /* jansson writes a point whatever the locale; 9 digits bring the same float back. */
    json_t *list = json_array();
    _Bool good = list != NULL;

    for (int i = 0; good && i < 3; i++)
        good = json_array_append_new(list, json_real((double)triple[i])) == 0;
    size_t length = good ? json_dumpb(list, text, size - 1, JSON_COMPACT | JSON_REAL_PRECISION(9)) : 0;
    json_decref(list);
    if (length == 0 || length >= size)
        return fail_memory(error, "the metadata");
    text[length] = '\0';
    return DN_OK;
}
