#include "weights_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define MAX_MEMORY ((size_t)256 << 20) /* of what a pickle describes */
#define MAX_TENSORS 65536
#define MAX_NAME 255

const char *const backbone_keys[BACKBONE_KEYS] = {
    [KEY_KIND] = "differnet.kind", [KEY_NAME] = "name",         [KEY_LAYERS] = "differnet.layers",
    [KEY_MEAN] = "differnet.mean", [KEY_STD] = "differnet.std", [KEY_RANDOM] = "differnet.random"};

bool weights_refuse(dn_error *error, dn_status status, const char *format, ...)
{
    va_list arguments;

    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- tensors ---- */

bool weights_add(weights_file *self, const text *name, const file_tensor *tensor, dn_error *error)
{
    char shown[64];

    text_shown(name, shown, sizeof shown);
    if (name->size == 0 || name->size > MAX_NAME)
        return weights_refuse(error, DN_E_FORMAT, "a tensor's name has %zu bytes, not 1 to %d", name->size, MAX_NAME);
    for (size_t i = 0; i < name->size; i++)
        if ((unsigned char)name->bytes[i] < ' ' || name->bytes[i] == 0x7F)
            return weights_refuse(error, DN_E_FORMAT, "tensor %s: control characters in its name", shown);
    if (self->count >= MAX_TENSORS)
        return weights_refuse(error, DN_E_LIMIT, "more than %d tensors", MAX_TENSORS);
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->tensors = need_more_memory(self->tensors, self->room, sizeof *self->tensors);
    }
    char *copy = arena_take(&self->memory, name->size + 1, 1);
    if (!copy)
        return weights_refuse(error, DN_E_LIMIT, "more objects than a checkpoint of tensors has");
    memcpy(copy, name->bytes, name->size);
    self->tensors[self->count] = *tensor;
    self->tensors[self->count++].name = copy;
    return true;
}

/* Number of elements, and one more than the largest index in the storage; false if either leaves 63 bits. */
static bool measure(const torch_tensor *tensor, int64_t *elements, int64_t *end)
{
    bool nothing = false;

    *elements = 1;
    *end = tensor->offset;
    for (int32_t i = 0; i < tensor->rank; i++) {
        nothing = nothing || tensor->shape[i] == 0;
        if (__builtin_mul_overflow(*elements, tensor->shape[i] ? tensor->shape[i] : 1, elements))
            return false;
    }
    if (nothing) /* wherever it lies */
        *elements = *end = 0;
    for (int32_t i = 0; !nothing && i < tensor->rank; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(tensor->shape[i] - 1, tensor->stride[i], &reach) ||
            __builtin_add_overflow(*end, reach, end))
            return false;
    }
    return nothing || !__builtin_add_overflow(*end, 1, end);
}

static bool add_torch(weights_file *self, const text *name, const torch_tensor *tensor, dn_error *error)
{
    const torch_storage *storage = tensor->storage;
    file_tensor added = {.type = ELEMENT_F32, .element_size = 4, .rank = tensor->rank};
    const int64_t visible = storage ? storage->view_elements : 0;
    int64_t elements, end;
    char shown[64];

    text_shown(name, shown, sizeof shown);
    if (!measure(tensor, &elements, &end) || end > visible)
        return weights_refuse(error, DN_E_FORMAT, "tensor %s reaches beyond its storage", shown);
    if (elements > visible)
        return weights_refuse(error, DN_E_UNSUPPORTED,
                              "tensor %s has more elements than its storage (an expanded "
                              "view); save tensor.contiguous()",
                              shown);
    memcpy(added.shape, tensor->shape, sizeof added.shape);
    memcpy(added.stride, tensor->stride, sizeof added.stride);
    added.elements = (size_t)elements;
    if (storage) {
        added.type = storage->type->element;
        added.element_size = storage->type->element_size;
        if (elements > 0)
            added.data = storage->data + (size_t)(storage->view_offset + tensor->offset) * added.element_size;
    }
    return weights_add(self, name, &added, error);
}

bool weights_add_all(weights_file *self, const value *dict, dn_error *error)
{
    for (size_t i = 0; i < dict->count; i += 2) {
        const value *name = dict->items[i], *item = dict->items[i + 1];
        if (name->kind == VALUE_TEXT && item->kind == VALUE_TENSOR &&
            !add_torch(self, &name->text, item->tensor, error))
            return false;
    }
    return true;
}

/* ---- the state dict ---- */

static bool holds_tensors(const value *dict)
{
    for (size_t i = 1; i < dict->count; i += 2)
        if (dict->items[i]->kind == VALUE_TENSOR)
            return true;
    return false;
}

bool weights_check_machine(const value *machine, dn_error *error)
{
    if (!machine)
        return false;
    const value *little = machine->kind == VALUE_DICT ? dict_find(machine, "little_endian") : NULL;
    if (!little || little->kind != VALUE_BOOL || !little->integer)
        return weights_refuse(error, DN_E_UNSUPPORTED, "its numbers are not little-endian");
    return true;
}

const value *weights_state_dict(const value *object, dn_error *error)
{
    static const char *const keys[] = {"state_dict", "model_state_dict", "model"};

    if (object->kind != VALUE_DICT) {
        weights_refuse(error, DN_E_UNSUPPORTED, "holds no dictionary of tensors; save model.state_dict()");
        return NULL;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const value *inner = dict_find(object, keys[i]);
        if (inner && inner->kind == VALUE_DICT && holds_tensors(inner))
            return inner;
    }
    if (holds_tensors(object))
        return object;
    weights_refuse(error, DN_E_UNSUPPORTED,
                   "holds no tensors, neither itself nor under \"state_dict\", "
                   "\"model_state_dict\" or \"model\"; save model.state_dict()");
    return NULL;
}

/* ---- names ---- */

/* What torch.nn.DataParallel puts before each name: all of them begin with it, or none is changed. */
static void strip_prefix(weights_file *self, const char *prefix)
{
    size_t length = strlen(prefix);

    for (size_t i = 0; i < self->count; i++)
        if (strncmp(self->tensors[i].name, prefix, length) != 0 || !self->tensors[i].name[length])
            return;
    for (size_t i = 0; i < self->count; i++)
        self->tensors[i].name += length;
}

/* ---- all formats ---- */

bool weights_read(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error)
{
    bool good;

    *out = (weights_file){.memory = {.limit = MAX_MEMORY}};
    *error = (dn_error){0};
    if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0)
        good = read_torch_zip(out, bytes, size, error);
    else if (size >= 512 && memcmp(bytes + 257, "ustar", 5) == 0)
        good = read_torch_tar(out, bytes, size, error);
    else if (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5)
        good = read_torch_legacy(out, bytes, size, error);
    else if (size >= 9 && bytes[8] == '{')
        good = read_safetensors(out, bytes, size, error);
    else
        return weights_refuse(error, DN_E_FORMAT,
                              "is neither a PyTorch checkpoint (torch.save) nor a safetensors "
                              "file");
    if (good && !out->metadata[KEY_LAYERS]) /* a layer list names tensors as they are */
        strip_prefix(out, "module.");
    return good;
}

void weights_free(weights_file *self)
{
    for (size_t i = 0; i < self->unpacked_count; i++)
        free(self->unpacked[i]);
    free(self->unpacked);
    for (int i = 0; i < BACKBONE_KEYS; i++)
        free(self->metadata[i]);
    free(self->tensors);
    arena_free(&self->memory);
    *self = (weights_file){0};
}
