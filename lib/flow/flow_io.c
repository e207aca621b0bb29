/* Flow files: safetensors with the weights, the permutations, and the configuration as one JSON object under
 * "differnet.flow" (docs/format.md). */
#include <stdio.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/subnet.h"
#include "format/json.h"

#define FLOW_FORMAT 2
#define CONFIGURATION_KEY "differnet.flow"
#define NAME_SIZE 128

static const char *const net_names[] = {[NET2] = "net2", [NET1] = "net1"};

/* PREFIXblocks.K.net2.L.weight; the prefix is one of the library's own, and short. */
static void parameter_name(char name[NAME_SIZE], const char *prefix, int32_t block, int which, int layer,
                           const char *what)
{
    snprintf(name, NAME_SIZE, "%sblocks.%d.%s.%d.%s", prefix, block, net_names[which], layer, what);
}

static void permutation_name(char name[NAME_SIZE], const char *prefix, int32_t block)
{
    snprintf(name, NAME_SIZE, "%sblocks.%d.permutation", prefix, block);
}

/* ---- writing ---- */

/* The seed is a text because JSON readers lose digits of large integers. */
static void add_configuration(const dn_flow *flow, st_writer *writer)
{
    json_writer *json = st_writer_json(writer);
    char seed[24];

    snprintf(seed, sizeof seed, "%llu", (unsigned long long)flow->seed);
    json_open(json, NULL, "{");
    json_put_integer(json, "dimension", flow->dimension);
    json_put_integer(json, "blocks", flow->blocks);
    json_put_integer(json, "hidden", flow->hidden);
    json_put_double(json, "clamp", flow->clamp);
    json_put_text(json, "seed", seed);
    json_close(json, "}");
    st_writer_json_end(writer, CONFIGURATION_KEY);
}

static void add_net(const dn_flow *flow, const char *prefix, int32_t block, int which, enum st_type stored,
                    st_writer *writer)
{
    subnet net = subnet_of(flow, block, which);
    char name[NAME_SIZE];

    for (int i = 0; i < FLOW_LAYERS; i++) {
        const linear *layer = &net.layers[i];
        int64_t shape[2] = {layer->out, layer->in};
        parameter_name(name, prefix, block, which, i, "weight");
        st_writer_tensor(writer, name, ST_F32, stored, 2, shape, layer->weight);
        parameter_name(name, prefix, block, which, i, "bias");
        st_writer_tensor(writer, name, ST_F32, stored, 1, shape, layer->bias);
    }
}

void flow_to_tensors(const dn_flow *flow, const char *prefix, enum st_type stored, st_writer *writer)
{
    char name[NAME_SIZE];
    int64_t dimension = flow->dimension;

    add_configuration(flow, writer);
    for (int32_t k = 0; k < flow->blocks; k++)
        for (int which = NET2; which <= NET1; which++)
            add_net(flow, prefix, k, which, stored, writer);
    for (int32_t k = 0; k < flow->blocks; k++) {
        permutation_name(name, prefix, k);
        st_writer_tensor(writer, name, ST_U32, ST_U32, 1, &dimension,
                         flow->permutation + (size_t)k * (size_t)flow->dimension);
    }
}

st_writer *flow_writer(const dn_flow *flow)
{
    st_writer *writer = st_writer_create(&flow->allocator);

    if (!writer)
        return NULL;
    st_writer_kind(writer, ST_FLOW, FLOW_FORMAT);
    flow_to_tensors(flow, "", ST_F32, writer);
    return writer;
}

/* ---- reading: the configuration ---- */

/* false: missing, no integer, or no int32_t. */
static _Bool get_integer(json_value entry, int32_t *value)
{
    int64_t wide;
    _Bool good = json_read_integer(entry, &wide) && wide >= INT32_MIN && wide <= INT32_MAX;

    *value = good ? (int32_t)wide : 0;
    return good;
}

static dn_status load_configuration(const st_file *file, dn_flow_options *c, dn_error *error)
{
    static const char *const keys[5] = {"dimension", "blocks", "hidden", "clamp", "seed"};
    const char *text = st_metadata(file, CONFIGURATION_KEY);
    char seed[24];
    json_value object, found[5];
    size_t position;

    if (!text || !json_parse(text, strlen(text), &object, &position) || !json_pick(object, keys, 5, found))
        return fail(error, DN_E_FORMAT, "%s: the metadata " CONFIGURATION_KEY " is missing or no JSON object",
                    st_label(file));
    if (!get_integer(found[0], &c->dimension) || !get_integer(found[1], &c->blocks) ||
        !get_integer(found[2], &c->hidden) || !json_read_real(found[3], &c->clamp) ||
        !json_read_text(found[4], seed, sizeof seed) || !st_parse_unsigned(seed, 10, &c->seed))
        return fail(error, DN_E_FORMAT,
                    "%s: the metadata " CONFIGURATION_KEY " lacks dimension, blocks, hidden, clamp "
                    "or seed",
                    st_label(file));
    return flow_check(c, DN_E_FORMAT, st_label(file), error);
}

/* ---- reading: the tensors ---- */

/* A flow being read. */
typedef struct reading {
    const st_file *file;
    const char *prefix;
    dn_flow_options configuration;
    dn_error *error;
    const uint8_t *place; /* where the next parameter lies if they all lie in layout order; NULL: they do not */
    _Bool verify;         /* look for NaN and infinity */
    float *target;        /* where the next parameter is copied to, which looks for NaN too; NULL: nowhere */
} reading;

/* Finds a parameter tensor and does with it what `self` says. */
static dn_status read_parameter(reading *self, const char *name, int32_t rank, const int64_t *shape)
{
    const st_tensor *tensor;

    TRY(st_require(self->file, name, rank, shape, &tensor, self->error));
    if (tensor->type != ST_F32 || tensor->data != self->place)
        self->place = NULL;
    else
        self->place += tensor->bytes;
    if (self->verify && !tensor->finite && !floats_finite(tensor->data, (size_t)tensor->elements))
        return fail(self->error, DN_E_NUMERIC, "%s: tensor %s holds NaN or infinity", st_label(self->file), name);
    if (self->target) {
        TRY(st_read_f32(self->file, tensor, self->target, self->error));
        self->target += tensor->elements;
    }
    return DN_OK;
}

/* All parameters in layout order. */
static dn_status read_parameters(reading *self)
{
    char name[NAME_SIZE];
    int32_t half = self->configuration.dimension / 2, hidden = self->configuration.hidden;

    for (int32_t k = 0; k < 2 * self->configuration.blocks; k++)
        for (int i = 0; i < FLOW_LAYERS; i++) {
            int64_t shape[2] = {subnet_out(half, hidden, i), subnet_in(half, hidden, i)};
            parameter_name(name, self->prefix, k / 2, k % 2, i, "weight");
            TRY(read_parameter(self, name, 2, shape));
            parameter_name(name, self->prefix, k / 2, k % 2, i, "bias");
            TRY(read_parameter(self, name, 1, shape));
        }
    return DN_OK;
}

/* The first parameter's bytes, if all lie behind it in layout order and can be used as they are; otherwise NULL.
 * Finds out on the way whether all parameters are there. */
static dn_status locate_parameters(reading *self, const float **weights)
{
    char name[NAME_SIZE];

    *weights = NULL;
    parameter_name(name, self->prefix, 0, NET2, 0, "weight");
    const st_tensor *first = st_find(self->file, name);
    self->place = first && (uintptr_t)first->data % sizeof(float) == 0 ? first->data : NULL;
    TRY(read_parameters(self));
    if (self->place)
        *weights = (const float *)(const void *)first->data;
    return DN_OK;
}

/* seen: (dimension) zeros. */
static dn_status read_permutation(const reading *self, int32_t block, uint32_t *permutation, uint8_t *seen)
{
    char name[NAME_SIZE];
    int64_t dimension = self->configuration.dimension;
    const st_tensor *tensor;

    permutation_name(name, self->prefix, block);
    TRY(st_require(self->file, name, 1, &dimension, &tensor, self->error));
    if (tensor->type != ST_U32)
        return fail(self->error, DN_E_FORMAT, "%s: tensor %s is not of type U32", st_label(self->file), name);
    memcpy(permutation, tensor->data, tensor->bytes);
    for (int64_t i = 0; i < dimension; i++) {
        if (permutation[i] >= (uint32_t)dimension || seen[permutation[i]])
            return fail(self->error, DN_E_FORMAT, "%s: tensor %s is not a permutation (entry %lld)",
                        st_label(self->file), name, (long long)i);
        seen[permutation[i]] = 1;
    }
    return DN_OK;
}

static dn_status read_permutations(const reading *self, dn_flow *flow)
{
    dn_status status = DN_OK;
    uint8_t *seen = mem_alloc(&flow->allocator, (size_t)flow->dimension, 1);

    if (!seen)
        return fail_memory(self->error, st_label(self->file));
    for (int32_t k = 0; k < flow->blocks && status == DN_OK; k++) {
        memset(seen, 0, (size_t)flow->dimension);
        status = read_permutation(self, k, flow->permutation + (size_t)k * (size_t)flow->dimension, seen);
    }
    mem_free(&flow->allocator, seen);
    return status;
}

dn_status flow_from_tensors(const st_file *file, const char *prefix, const dn_allocator *allocator, _Bool *in_place,
                            _Bool verify, dn_flow **out, dn_error *error)
{
    reading self = {.file = file, .prefix = prefix, .error = error};
    const float *weights;
    dn_flow *flow;

    *out = NULL;
    TRY(load_configuration(file, &self.configuration, error));
    self.configuration.allocator = allocator;
    TRY(locate_parameters(&self, &weights));
    _Bool use = in_place && weights;
    TRY(flow_allocate(&self.configuration, !use, &flow, error));
    if (use)
        flow->weights = weights;
    self.verify = use && verify;
    self.target = flow->owned;
    dn_status status = read_permutations(&self, flow);
    if (status == DN_OK)
        status = read_parameters(&self);
    if (status != DN_OK) {
        flow_unref(flow);
        return status;
    }
    if (in_place)
        *in_place = use;
    *out = flow;
    return DN_OK;
}

/* ---- reading: flow files ---- */

static dn_status check_file(st_file *file, dn_error *error)
{
    static const st_frame frame = {FLOW_FORMAT, 2, "copy it again"};
    uint32_t crc;

    TRY(st_check_header(file, &frame, error));
    TRY(st_check_kind(file, ST_FLOW, error));
    TRY(st_check_version(file, &frame, error));
    return st_check_sum(file, &frame, 1, &crc, error);
}

dn_status flow_read(const uint8_t *bytes, size_t size, const char *label, const dn_allocator *allocator, dn_flow **out,
                    dn_error *error)
{
    st_file *file;

    *out = NULL;
    TRY(st_parse(bytes, size, label, allocator, &file, error));
    dn_status status = check_file(file, error);
    if (status == DN_OK)
        status = flow_from_tensors(file, "", allocator, NULL, 1, out, error);
    st_free(file);
    return status;
}
