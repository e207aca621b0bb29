#include "cnn/layer_list.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/blob.h"
#include "base/memory.h"
#include "base/status.h"
#include "cnn/features.h"
#include "format/decimal.h"
#include "format/json.h"

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

enum { KEY_OP, KEY_NAME, KEY_TAP, KEY_MAP, KEY_WEIGHT, KEY_BIAS, KEY_KERNEL, KEY_STRIDE, KEY_PAD, KEY_GROUPS, KEYS };
static const char *const key_names[KEYS] = {"op",   "name",   "tap",    "map", "weight",
                                            "bias", "kernel", "stride", "pad", "groups"};
#define KEY_BIT(key) (1u << (key))
#define ANY_KEYS (KEY_BIT(KEY_OP) | KEY_BIT(KEY_NAME) | KEY_BIT(KEY_TAP) | KEY_BIT(KEY_MAP)) /* of every operator */
#define CONV_KEYS \
    (KEY_BIT(KEY_WEIGHT) | KEY_BIT(KEY_BIAS) | KEY_BIT(KEY_STRIDE) | KEY_BIT(KEY_PAD) | KEY_BIT(KEY_GROUPS))
#define POOL_KEYS (KEY_BIT(KEY_KERNEL) | KEY_BIT(KEY_STRIDE) | KEY_BIT(KEY_PAD))

/* What a layer list can contain. */
static const struct operation {
    const char *op;
    enum layer_kind kind;
    enum activation activation;
    unsigned keys;
} operations[] = {
    {"conv", LAYER_CONV, ACTIVATION_NONE, ANY_KEYS | CONV_KEYS},
    {"relu", LAYER_ACTIVATION, ACTIVATION_RELU, ANY_KEYS},
    {"relu6", LAYER_ACTIVATION, ACTIVATION_RELU6, ANY_KEYS},
    {"maxpool", LAYER_MAXPOOL, ACTIVATION_NONE, ANY_KEYS | POOL_KEYS},
    {"avgpool", LAYER_AVGPOOL, ACTIVATION_NONE, ANY_KEYS | POOL_KEYS},
};
#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

/* One layer being read, and what its messages need. */
struct reader {
    json_value object, values[KEYS]; /* under each key; no value where it is absent */
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

/* A text for a message; `buffer` holds it. */
static const char *shown(json_value text, char buffer[EXTRACTOR_NAME])
{
    if (json_read_text(text, buffer, EXTRACTOR_NAME) && plain(buffer, EXTRACTOR_NAME))
        return buffer;
    return "(not a plain name)";
}

/* ---- values ---- */

static _Bool has(const struct reader *r, int key)
{
    return r->values[key].size > 0;
}

/* Copies the string under `key`; an absent optional one leaves `out` empty. */
static dn_status read_name(const struct reader *r, int key, _Bool required, char *out, size_t capacity)
{
    out[0] = '\0';
    if (!has(r, key) && !required)
        return DN_OK;
    if (!has(r, key))
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" is missing", r->label, r->index, key_names[key]);
    if (!json_read_text(r->values[key], out, capacity) || !plain(out, capacity))
        return fail(r->error, DN_E_FORMAT,
                    "%s: layer %d: \"%s\" must be a name of 1 to %d ASCII characters without space, quote, backslash",
                    r->label, r->index, key_names[key], (int)capacity - 1);
    return DN_OK;
}

static dn_status check_integer(const struct reader *r, int key, json_value value, int32_t least, int32_t most,
                               int32_t *out)
{
    int64_t integer;

    if (!json_read_integer(value, &integer) || integer < least || integer > most)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" must be of integers from %d to %d", r->label, r->index,
                    key_names[key], least, most);
    *out = (int32_t)integer;
    return DN_OK;
}

/* Reads an integer, or an array of `count` of them; an integer stands for `count` equal ones. */
static dn_status read_integers(const struct reader *r, int key, int32_t least, int32_t most, int32_t count,
                               int32_t *out)
{
    json_value none, entry;
    int32_t found = 0;

    if (json_type_of(r->values[key]) == JSON_ARRAY && count > 1) {
        for (json_cursor cursor = json_inside(r->values[key]); json_next(&cursor, &none, &entry); found++)
            if (found < count)
                TRY(check_integer(r, key, entry, least, most, &out[found]));
        if (found != count)
            return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" must be one integer or %d", r->label, r->index,
                        key_names[key], count);
        return DN_OK;
    }
    TRY(check_integer(r, key, r->values[key], least, most, &out[0]));
    for (int32_t i = 1; i < count; i++)
        out[i] = out[0];
    return DN_OK;
}

/* pad: one number, or top, left, bottom, right.  It is smaller than the kernel, so that no window lies outside. */
static dn_status read_pad(const struct reader *r, int32_t pad[4])
{
    memset(pad, 0, 4 * sizeof *pad);
    return has(r, KEY_PAD) ? read_integers(r, KEY_PAD, 0, EXTRACTOR_MAX_KERNEL - 1, 4, pad) : DN_OK;
}

/* ---- layers ---- */

static dn_status read_conv(const struct reader *r, cnn_layer *layer)
{
    conv_spec *conv = &layer->conv;
    int32_t pad[4];

    TRY(read_name(r, KEY_WEIGHT, 1, layer->weight_name, sizeof layer->weight_name));
    TRY(read_name(r, KEY_BIAS, 0, layer->bias_name, sizeof layer->bias_name));
    conv->stride = 1;
    conv->groups = 1;
    if (has(r, KEY_STRIDE))
        TRY(read_integers(r, KEY_STRIDE, 1, MAX_STRIDE, 1, &conv->stride));
    if (has(r, KEY_GROUPS))
        TRY(read_integers(r, KEY_GROUPS, 1, EXTRACTOR_MAX_CHANNELS, 1, &conv->groups));
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

    TRY(read_integers(r, KEY_KERNEL, 1, EXTRACTOR_MAX_KERNEL, 2, kernel));
    TRY(read_integers(r, KEY_STRIDE, 1, MAX_STRIDE, 1, &pool->stride));
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
    char name[EXTRACTOR_NAME];

    if (json_type_of(r->values[KEY_OP]) != JSON_TEXT)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: must be an object with \"op\"", r->label, r->index);
    for (int i = 0; i < OPERATIONS; i++)
        if (json_text_is(r->values[KEY_OP], operations[i].op)) {
            *out = &operations[i];
            return DN_OK;
        }
    return fail(r->error, DN_E_UNSUPPORTED,
                "%s: layer %d: unknown operator \"%s\"; there are conv, relu, relu6, maxpool, avgpool", r->label,
                r->index, shown(r->values[KEY_OP], name));
}

/* An unknown key may change what the layer does: refused, not skipped. */
static dn_status check_keys(const struct reader *r, const struct operation *operation)
{
    char name[EXTRACTOR_NAME];
    json_value key, value;

    for (json_cursor cursor = json_inside(r->object); json_next(&cursor, &key, &value);) {
        int i = 0;
        while (i < KEYS && !((operation->keys & KEY_BIT(i)) && json_text_is(key, key_names[i])))
            i++;
        if (i == KEYS)
            return fail(r->error, DN_E_UNSUPPORTED, "%s: layer %d: %s has no key \"%s\"", r->label, r->index,
                        operation->op, shown(key, name));
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

/* true, or false, which is also what an absent one means. */
static dn_status read_mark(const struct reader *r, int key, int32_t *mark)
{
    enum json_type type = json_type_of(r->values[key]);

    if (type != JSON_NONE && type != JSON_TRUE && type != JSON_FALSE)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: \"%s\" must be true or false", r->label, r->index,
                    key_names[key]);
    *mark = type == JSON_TRUE;
    return DN_OK;
}

static dn_status read_layer(struct reader *r, cnn_layer *layer)
{
    const struct operation *operation = NULL;

    if (!json_pick(r->object, key_names, KEYS, r->values) && json_type_of(r->object) == JSON_OBJECT)
        return fail(r->error, DN_E_FORMAT, "%s: layer %d: a key appears twice", r->label, r->index);
    TRY(find_operation(r, &operation));
    TRY(check_keys(r, operation));
    layer->kind = operation->kind;
    layer->activation = operation->activation;
    TRY(read_mark(r, KEY_TAP, &layer->tap));
    TRY(read_mark(r, KEY_MAP, &layer->map));
    if (layer->kind == LAYER_CONV)
        TRY(read_conv(r, layer));
    else if (layer->kind != LAYER_ACTIVATION)
        TRY(read_pool(r, layer));
    if (has(r, KEY_NAME))
        return read_name(r, KEY_NAME, 1, layer->name, sizeof layer->name);
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

static dn_status set_taps(dn_extractor *extractor, const char *label, dn_error *error)
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
    for (int32_t i = last + 1; i < extractor->layer_count; i++)
        if (extractor->layers[i].map)
            return fail(error, DN_E_UNSUPPORTED, "%s: layer %s is marked \"map\", but lies behind the last \"tap\"",
                        label, extractor->layers[i].name);
    extractor->layer_count = last + 1;
    return DN_OK;
}

static dn_status read_list(dn_extractor *extractor, json_value list, const char *label, dn_error *error)
{
    json_value none, entry;
    struct reader r = {.label = label, .error = error};
    size_t count = 0;

    if (json_type_of(list) == JSON_ARRAY)
        for (json_cursor cursor = json_inside(list); json_next(&cursor, &none, &entry);)
            count++;
    if (count < 1 || count > EXTRACTOR_MAX_LAYERS)
        return fail(error, DN_E_FORMAT, "%s: the layer list must be an array of 1 to %d layers", label,
                    EXTRACTOR_MAX_LAYERS);
    extractor->layers = mem_zalloc(&extractor->allocator, count, sizeof *extractor->layers);
    if (!extractor->layers)
        return fail_memory(error, "the layer list");
    for (json_cursor cursor = json_inside(list); json_next(&cursor, &none, &r.object); r.index++)
        TRY(read_layer(&r, &extractor->layers[r.index]));
    extractor->layer_count = (int32_t)count;
    TRY(set_taps(extractor, label, error));
    return check_tensor_names(extractor, label, error);
}

/* Parses JSON that is `what`. */
static dn_status parse_json(const char *text, const char *what, const char *label, json_value *out, dn_error *error)
{
    size_t position;

    if (!json_parse(text, strlen(text), out, &position))
        return fail(error, DN_E_FORMAT, "%s: %s: malformed JSON at character %zu", label, what, position);
    return DN_OK;
}

dn_status layer_list_parse(dn_extractor *extractor, const char *text, const char *label, dn_error *error)
{
    json_value list;

    TRY(parse_json(text, "differnet.layers", label, &list, error));
    return read_list(extractor, list, label, error);
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

static void put_integers(json_writer *json, const char *key, int count, const int32_t *values)
{
    json_open(json, key, "[");
    for (int i = 0; i < count; i++)
        json_put_integer(json, NULL, values[i]);
    json_close(json, "]");
}

static void put_conv(json_writer *json, const cnn_layer *layer)
{
    const conv_spec *conv = &layer->conv;

    json_put_text(json, "weight", layer->weight_name);
    if (layer->bias_name[0])
        json_put_text(json, "bias", layer->bias_name);
    json_put_integer(json, "stride", conv->stride);
    put_integers(json, "pad", 4, (int32_t[]){conv->pad_top, conv->pad_left, conv->pad_bottom, conv->pad_right});
    json_put_integer(json, "groups", conv->groups);
}

static void put_pool(json_writer *json, const pool_spec *pool)
{
    put_integers(json, "kernel", 2, (int32_t[]){pool->kernel_h, pool->kernel_w});
    json_put_integer(json, "stride", pool->stride);
    put_integers(json, "pad", 4, (int32_t[]){pool->pad_top, pool->pad_left, pool->pad_bottom, pool->pad_right});
}

static void put_layer(json_writer *json, const cnn_layer *layer)
{
    json_open(json, NULL, "{");
    json_put_text(json, "op", operator_name(layer));
    json_put_text(json, "name", layer->name);
    if (layer->kind == LAYER_CONV)
        put_conv(json, layer);
    else if (layer->kind != LAYER_ACTIVATION)
        put_pool(json, &layer->pool);
    if (layer->tap)
        json_put_word(json, "tap", "true");
    if (layer->map)
        json_put_word(json, "map", "true");
    json_close(json, "}");
}

dn_status layer_list_print(const dn_extractor *extractor, char **out, dn_error *error)
{
    dn_blob *blob = blob_create(&extractor->allocator);
    json_writer json = {.blob = blob, .failed = !blob};

    json_open(&json, NULL, "[");
    for (int32_t i = 0; i < extractor->layer_count; i++)
        put_layer(&json, &extractor->layers[i]);
    json_close(&json, "]");
    *out = json_end(&json) ? mem_strdup(&extractor->allocator, (const char *)blob->data) : NULL;
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

static _Bool fits(const dn_extractor *extractor, int32_t h, int32_t w)
{
    for (int32_t i = 0; i < extractor->layer_count && h > 0 && w > 0; i++)
        cnn_layer_output(&extractor->layers[i], &h, &w);
    return h > 0 && w > 0;
}

/* Multiplications that one number of a layer's output takes. */
static int64_t work_of(const cnn_layer *layer)
{
    const conv_spec *conv = &layer->conv;
    const pool_spec *pool = &layer->pool;

    if (layer->kind == LAYER_CONV)
        return (int64_t)conv->kernel_h * conv->kernel_w * (conv->in_c / conv->groups);
    return layer->kind == LAYER_ACTIVATION ? 1 : (int64_t)pool->kernel_h * pool->kernel_w * EXTRACTOR_POOL_WORK;
}

/* Where sizes have 32 bits, sums of them must not wrap: what a network needs is far below the most that there can be. */
#define MOST_FLOATS ((double)(SIZE_MAX / 16))

/* Floats that a convolution needs beside its maps, at most: strips of windows, the weights transposed, or the products
 * of Winograd's tiles (nn/conv.c, nn/winograd.c). */
static double conv_floats(const conv_spec *conv)
{
    double row = (double)conv->kernel_h * conv->kernel_w * conv->in_c;

    if (conv->groups > 1)
        return 0;
    return 8 * row * conv->out_c + 4096 * (row + conv->out_c) + (1 << 20);
}

/* A file of a few hundred bytes can ask for more memory than there is, and for pools that take hours. */
static dn_status check_cost(const dn_extractor *extractor, const char *label, dn_error *error)
{
    int32_t h = extractor->input_height, w = extractor->input_width;
    int64_t work = 0;
    double kept = 3.0 * h * w, largest = kept, beside = 0; /* floats */

    for (int32_t i = 0; i < extractor->layer_count; i++) {
        const cnn_layer *layer = &extractor->layers[i];
        cnn_layer_output(layer, &h, &w);
        if ((int64_t)h * w > EXTRACTOR_MAX_OUTPUT / layer->out_channels)
            return fail(error, DN_E_LIMIT,
                        "%s: layer %s gives %d x %d x %d numbers at an input size of %d x %d; the limit "
                        "is %d",
                        label, layer->name, h, w, layer->out_channels, extractor->input_width, extractor->input_height,
                        EXTRACTOR_MAX_OUTPUT);
        work += (int64_t)h * w * layer->out_channels * work_of(layer);
        if (work > EXTRACTOR_MAX_WORK)
            return fail(
                error, DN_E_LIMIT,
                "%s: up to layer %s the network takes %.4g multiplications for a view of %d x %d pixels (a pool's "
                "numbers count %d each); the limit is %.4g: use a smaller input size or network",
                label, layer->name, (double)work, extractor->input_width, extractor->input_height, EXTRACTOR_POOL_WORK,
                (double)EXTRACTOR_MAX_WORK);
        double floats = (double)h * w * layer->out_channels;
        kept += floats;
        largest = fmax(largest, floats);
        if (layer->kind == LAYER_CONV)
            beside = fmax(beside, conv_floats(&layer->conv));
    }
    /* A gradient keeps the maps of a block of views at all scales, which are below 3/2 of the first one's, and has room
     * for four of the largest beside them (cnn/features.c); Winograd's blocks are copies of a map. */
    if (FEATURES_BLOCK * (1.5 * kept + 6 * largest) + beside > MOST_FLOATS)
        return fail(
            error, DN_E_LIMIT,
            "%s: the network takes more memory for views of %d x %d pixels than this machine has addresses for: "
            "use a smaller input size or network",
            label, extractor->input_width, extractor->input_height);
    return DN_OK;
}

dn_status layer_list_check_size(const dn_extractor *extractor, const char *label, dn_error *error)
{
    int32_t shift = extractor->scales - 1;
    int32_t least = 32;

    if (fits(extractor, extractor->input_height >> shift, extractor->input_width >> shift))
        return check_cost(extractor, label, error);
    while (least <= 2048 && !fits(extractor, least >> shift, least >> shift))
        least += 32;
    if (least > 2048)
        return fail(error, DN_E_ARGUMENT,
                    "%s: no input size up to 2048 gets through the network at %d scales; "
                    "use fewer",
                    label, extractor->scales);
    return fail(error, DN_E_ARGUMENT,
                "%s: input size %d x %d is too small: at %d scales the smallest is %d x %d pixels, which does not get "
                "through the network; the smallest input size that works is %d",
                label, extractor->input_width, extractor->input_height, extractor->scales,
                extractor->input_width >> shift, extractor->input_height >> shift, least);
}

/* ---- mean and std ---- */

dn_status layer_list_parse_triple(const char *text, const char *key, const char *label, float triple[3],
                                  dn_error *error)
{
    json_value list, none, entry;
    double values[3];
    int count = 0;

    TRY(parse_json(text, key, label, &list, error));
    _Bool good = json_type_of(list) == JSON_ARRAY;
    for (json_cursor cursor = json_inside(list); good && json_next(&cursor, &none, &entry); count++)
        good = count < 3 && json_read_real(entry, &values[count]) && fabs(values[count]) <= 1e30; /* a finite float */
    if (!good || count != 3)
        return fail(error, DN_E_FORMAT, "%s: %s must be an array of three numbers", label, key);
    for (int i = 0; i < 3; i++)
        triple[i] = (float)values[i];
    return DN_OK;
}

void layer_list_print_triple(const float triple[3], char text[LAYER_LIST_TRIPLE])
{
    char numbers[3][DECIMAL_TEXT];

    for (int i = 0; i < 3; i++)
        decimal_print_float(triple[i], numbers[i]);
    snprintf(text, LAYER_LIST_TRIPLE, "[%s,%s,%s]", numbers[0], numbers[1], numbers[2]);
}
