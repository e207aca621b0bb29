/* Safetensors, read and written: the header is JSON (docs/format.md). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights_file.h"
#include "command.h"

#define MAX_HEADER (16u << 20)
#define ALIGNMENT 64

static const struct {
    const char *name;
    enum element_type type;
    size_t size;
} element_types[] = {
    {"F32", ELEMENT_F32, 4},       {"F16", ELEMENT_F16, 2},       {"BF16", ELEMENT_BF16, 2},
    {"F64", ELEMENT_F64, 8},       {"I64", ELEMENT_OTHER, 8},     {"I32", ELEMENT_OTHER, 4},
    {"I16", ELEMENT_OTHER, 2},     {"I8", ELEMENT_OTHER, 1},      {"U64", ELEMENT_OTHER, 8},
    {"U32", ELEMENT_OTHER, 4},     {"U16", ELEMENT_OTHER, 2},     {"U8", ELEMENT_OTHER, 1},
    {"BOOL", ELEMENT_OTHER, 1},    {"C64", ELEMENT_OTHER, 8},     {"F8_E4M3", ELEMENT_OTHER, 1},
    {"F8_E5M2", ELEMENT_OTHER, 1}, {"F8_E8M0", ELEMENT_OTHER, 1},
};

/* ---- reading ---- */

static bool read_type(const json_t *description, file_tensor *tensor)
{
    const char *name = json_string_value(json_object_get(description, "dtype"));

    for (size_t i = 0; name && i < sizeof element_types / sizeof *element_types; i++)
        if (strcmp(name, element_types[i].name) == 0) {
            tensor->type = element_types[i].type;
            tensor->element_size = element_types[i].size;
            return true;
        }
    return false;
}

/* Shape, number of elements, and the strides of elements that follow each other. */
static bool read_shape(const json_t *description, file_tensor *tensor)
{
    const json_t *shape = json_object_get(description, "shape");
    int64_t elements = 1;

    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_MAX_RANK)
        return false;
    tensor->rank = (int32_t)json_array_size(shape);
    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        const json_t *size = json_array_get(shape, (size_t)i);
        tensor->shape[i] = json_integer_value(size);
        tensor->stride[i] = elements;
        if (!json_is_integer(size) || tensor->shape[i] < 0 ||
            __builtin_mul_overflow(elements, tensor->shape[i], &elements))
            return false;
    }
    tensor->elements = (size_t)elements;
    return true;
}

static bool read_place(const json_t *description, const uint8_t *data, size_t size, file_tensor *tensor)
{
    const json_t *offsets = json_object_get(description, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    size_t bytes;

    if (json_array_size(offsets) != 2 || begin < 0 || end < begin || (uint64_t)end > size ||
        __builtin_mul_overflow(tensor->elements, tensor->element_size, &bytes) || bytes != (uint64_t)(end - begin))
        return false;
    tensor->data = data + begin;
    return true;
}

static bool read_entry(weights_file *out, const char *name, const json_t *description, const uint8_t *data, size_t size,
                       dn_error *error)
{
    file_tensor tensor = {0};
    text label = {name, strlen(name)};
    char shown[64];

    if (!read_type(description, &tensor) || !read_shape(description, &tensor) ||
        !read_place(description, data, size, &tensor))
        return weights_refuse(error, DN_E_FORMAT, "tensor %s: its type, shape or place in the file is not valid",
                              text_shown(&label, shown, sizeof shown));
    return weights_add(out, &label, &tensor, error);
}

static void read_metadata(weights_file *out, const json_t *metadata)
{
    for (int i = 0; i < BACKBONE_KEYS; i++) {
        const char *string = json_string_value(json_object_get(metadata, backbone_keys[i]));
        if (string)
            out->metadata[i] = need_text("%s", string);
    }
}

static bool read_header(weights_file *out, const json_t *header, const uint8_t *data, size_t size, dn_error *error)
{
    const char *name;
    json_t *description;

    if (!json_is_object(header))
        return weights_refuse(error, DN_E_FORMAT, "the safetensors header is damaged");
    json_object_foreach((json_t *)(uintptr_t)header, name, description)
    {
        if (strcmp(name, "__metadata__") == 0)
            read_metadata(out, description);
        else if (!read_entry(out, name, description, data, size, error))
            return false;
    }
    return true;
}

/* jansson can lose that memory was out, and go on without a byte of a text. */
static bool memory_was_out;

static void *take(size_t size)
{
    void *bytes = malloc(size);

    memory_was_out |= !bytes;
    return bytes;
}

bool read_safetensors(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error)
{
    uint64_t length;

    out->format = "safetensors";
    memcpy(&length, bytes, sizeof length); /* there are 9 bytes at least */
    if (length > MAX_HEADER || length > size - sizeof length)
        return weights_refuse(error, DN_E_FORMAT, "the safetensors header is damaged, cut off or above 16 MiB");
    memory_was_out = false;
    json_set_alloc_funcs(take, free);
    json_t *header = json_loadb((const char *)bytes + sizeof length, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
    bool good = memory_was_out ? weights_refuse(error, DN_E_MEMORY, "out of memory")
                               : read_header(out, header, bytes + sizeof length + length,
                                             size - sizeof length - (size_t)length, error);
    json_decref(header);
    return good;
}

/* ---- writing: the elements ---- */

static bool is_contiguous(const file_tensor *tensor)
{
    int64_t stride = 1;

    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != stride)
            return false;
        stride *= tensor->shape[i];
    }
    return true;
}

/* bfloat16 is the upper half of a float32. */
static void widen(const uint8_t *from, size_t count, uint8_t *to)
{
    for (size_t i = 0; i < count; i++, from += 2, to += 4) {
        to[0] = to[1] = 0;
        to[2] = from[0];
        to[3] = from[1];
    }
}

static size_t packed_size(const file_tensor *tensor)
{
    return tensor->type == ELEMENT_BF16 ? 4 : tensor->element_size;
}

static void copy_elements(const file_tensor *tensor, const uint8_t *from, size_t count, uint8_t *to)
{
    if (tensor->type == ELEMENT_BF16)
        widen(from, count, to);
    else
        memcpy(to, from, count * tensor->element_size);
}

/* Elements in the order of their indices, wherever they lie. */
static void copy_tensor(const file_tensor *tensor, uint8_t *to)
{
    int64_t index[TENSOR_MAX_RANK] = {0}, at = 0;

    if (tensor->elements == 0)
        return;
    if (is_contiguous(tensor)) {
        copy_elements(tensor, tensor->data, tensor->elements, to);
        return;
    }
    for (size_t done = 0; done < tensor->elements; done++) {
        copy_elements(tensor, tensor->data + (size_t)at * tensor->element_size, 1, to + done * packed_size(tensor));
        for (int32_t i = tensor->rank - 1; i >= 0; i--) {
            if (++index[i] < tensor->shape[i]) {
                at += tensor->stride[i];
                break;
            }
            at -= (tensor->shape[i] - 1) * tensor->stride[i];
            index[i] = 0;
        }
    }
}

/* ---- writing: the header ---- */

static const char *packed_type(const file_tensor *tensor)
{
    return tensor->type == ELEMENT_F16 ? "F16" : tensor->type == ELEMENT_F64 ? "F64" : "F32";
}

/* Adds a tensor at *offset, which moves on. */
static bool describe(json_t *header, const file_tensor *tensor, size_t limit, size_t *offset, dn_error *error)
{
    size_t bytes, end;

    if (__builtin_mul_overflow(tensor->elements, packed_size(tensor), &bytes) ||
        __builtin_add_overflow(*offset, bytes, &end) || end > limit)
        return weights_refuse(error, DN_E_LIMIT, "its tensors have more than %zu bytes", limit);
    if (json_object_get(header, tensor->name))
        return weights_refuse(error, DN_E_FORMAT, "two tensors have the name %s", tensor->name);
    json_t *shape = json_array();
    for (int32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    json_t *description = json_pack("{s:s, s:o, s:[I, I]}", "dtype", packed_type(tensor), "shape", shape,
                                    "data_offsets", (json_int_t)*offset, (json_int_t)end);
    *offset = end;
    if (json_object_set_new(header, tensor->name, description) != 0)
        return weights_refuse(error, DN_E_FORMAT, "a tensor's name is not UTF-8");
    return true;
}

static bool fill_header(const weights_file *self, size_t limit, json_t *header, size_t *data_size, dn_error *error)
{
    json_t *metadata = json_object();

    *data_size = 0;
    if (json_object_set_new(header, "__metadata__", metadata) != 0)
        return weights_refuse(error, DN_E_MEMORY, "out of memory");
    for (int i = 0; i < BACKBONE_KEYS; i++)
        if (self->metadata[i] && json_object_set_new(metadata, backbone_keys[i], json_string(self->metadata[i])) != 0)
            return weights_refuse(error, DN_E_FORMAT, "%s is not UTF-8", backbone_keys[i]);
    for (size_t i = 0; i < self->count; i++)
        if (self->tensors[i].type != ELEMENT_OTHER && !describe(header, &self->tensors[i], limit, data_size, error))
            return false;
    return true;
}

static uint8_t *assemble(const weights_file *self, const char *json, size_t data_size, size_t *size)
{
    uint64_t length = strlen(json), padded = (8 + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - 8;
    uint8_t *bytes = need_memory(8 + (size_t)padded + data_size, 1), *to = bytes + 8 + padded;

    memcpy(bytes, &padded, sizeof padded);
    memcpy(bytes + 8, json, (size_t)length);
    memset(bytes + 8 + length, ' ', (size_t)(padded - length));
    for (size_t i = 0; i < self->count; i++)
        if (self->tensors[i].type != ELEMENT_OTHER) {
            copy_tensor(&self->tensors[i], to);
            to += self->tensors[i].elements * packed_size(&self->tensors[i]);
        }
    *size = 8 + (size_t)padded + data_size;
    return bytes;
}

uint8_t *weights_pack(const weights_file *self, size_t limit, size_t *size, dn_error *error)
{
    json_t *header = json_object();
    size_t data_size;
    uint8_t *bytes = NULL;

    *error = (dn_error){0};
    if (fill_header(self, limit, header, &data_size, error)) {
        char *json = json_dumps(header, JSON_COMPACT);
        if (json)
            bytes = assemble(self, json, data_size, size);
        else
            weights_refuse(error, DN_E_MEMORY, "out of memory");
        free(json);
    }
    json_decref(header);
    return bytes;
}
