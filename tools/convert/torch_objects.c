#include "torch_objects.h"

#include <string.h>

#include "pickle.h"

/* Functions come first; of a type there are a storage and a tensor, of main memory and of a GPU. */
static const torch_global functions[] = {
    {"collections", "OrderedDict", TORCH_ORDERED_DICT, ELEMENT_OTHER, 0},
    {"torch._utils", "_rebuild_tensor", TORCH_REBUILD_TENSOR, ELEMENT_OTHER, 0},
    {"torch._utils", "_rebuild_tensor_v2", TORCH_REBUILD_TENSOR_V2, ELEMENT_OTHER, 0},
    {"torch._utils", "_rebuild_parameter", TORCH_REBUILD_PARAMETER, ELEMENT_OTHER, 0},
};
static const torch_global types[] = {
    {"torch", "Float", TORCH_TYPE, ELEMENT_F32, 4},          {"torch", "Half", TORCH_TYPE, ELEMENT_F16, 2},
    {"torch", "BFloat16", TORCH_TYPE, ELEMENT_BF16, 2},      {"torch", "Double", TORCH_TYPE, ELEMENT_F64, 8},
    {"torch", "Long", TORCH_TYPE, ELEMENT_OTHER, 8},         {"torch", "Int", TORCH_TYPE, ELEMENT_OTHER, 4},
    {"torch", "Short", TORCH_TYPE, ELEMENT_OTHER, 2},        {"torch", "Char", TORCH_TYPE, ELEMENT_OTHER, 1},
    {"torch", "Byte", TORCH_TYPE, ELEMENT_OTHER, 1},         {"torch", "Bool", TORCH_TYPE, ELEMENT_OTHER, 1},
    {"torch", "ComplexFloat", TORCH_TYPE, ELEMENT_OTHER, 8}, {"torch", "ComplexDouble", TORCH_TYPE, ELEMENT_OTHER, 16},
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Whether `name` is `type` followed by "Storage" or "Tensor". */
static bool names_type(const text *name, const char *type)
{
    size_t length = strlen(type);

    if (name->size <= length || memcmp(name->bytes, type, length) != 0)
        return false;
    text rest = {name->bytes + length, name->size - length};
    return text_is(&rest, "Storage") || text_is(&rest, "Tensor");
}

const torch_global *torch_find_global(const text *module, const text *name)
{
    for (size_t i = 0; i < COUNT(functions); i++)
        if (text_is(module, functions[i].module) && text_is(name, functions[i].name))
            return &functions[i];
    if (!text_is(module, "torch") && !text_is(module, "torch.cuda"))
        return NULL;
    for (size_t i = 0; i < COUNT(types); i++)
        if (names_type(name, types[i].name))
            return &types[i];
    return NULL;
}

/* ---- calls ---- */

static value *refuse(unpickler *self, const char *what)
{
    return unpickle_refuse(self, DN_E_FORMAT, "%s", what);
}

/* OrderedDict(), or Python 2's OrderedDict([[key, value], ...]). */
static value *make_dictionary(unpickler *self, const value *arguments)
{
    value *dict = unpickle_make(self, VALUE_DICT);

    if (!dict || arguments->count == 0)
        return dict;
    const value *pairs = arguments->items[0];
    if (arguments->count != 1 || pairs->kind != VALUE_LIST)
        return refuse(self, "an ordered dictionary of what is no list");
    for (size_t i = 0; i < pairs->count; i++) {
        const value *pair = pairs->items[i];
        if ((pair->kind != VALUE_LIST && pair->kind != VALUE_TUPLE) || pair->count != 2)
            return refuse(self, "an ordered dictionary of what are no pairs");
        if (!unpickle_append(self, dict, pair->items[0]) || !unpickle_append(self, dict, pair->items[1]))
            return NULL;
    }
    return dict;
}

/* A tuple of up to TENSOR_MAX_RANK integers >= 0. */
static bool read_sizes(const value *tuple, int64_t *sizes, int32_t *rank)
{
    if (tuple->kind != VALUE_TUPLE || tuple->count > TENSOR_MAX_RANK)
        return false;
    for (size_t i = 0; i < tuple->count; i++) {
        const value *size = tuple->items[i];
        if (size->kind != VALUE_INTEGER || size->integer < 0)
            return false;
        sizes[i] = size->integer;
    }
    *rank = (int32_t)tuple->count;
    return true;
}

/* (storage, offset, sizes, strides, ...): what follows tells about gradients and hooks. */
static value *make_tensor(unpickler *self, const value *arguments, size_t least, size_t most)
{
    torch_tensor *tensor = arena_take(self->memory, 1, sizeof *tensor);
    value *const *items = arguments->items;
    int32_t strides;

    if (arguments->count < least || arguments->count > most || items[0]->kind != VALUE_STORAGE ||
        items[1]->kind != VALUE_INTEGER || items[1]->integer < 0)
        return refuse(self, "a tensor without storage and offset");
    value *made = tensor ? unpickle_make(self, VALUE_TENSOR) : unpickle_refuse(self, DN_E_LIMIT, "too many tensors");
    if (!made)
        return NULL;
    tensor->storage = items[0]->storage;
    tensor->offset = items[1]->integer;
    if (!read_sizes(items[2], tensor->shape, &tensor->rank) || !read_sizes(items[3], tensor->stride, &strides) ||
        strides != tensor->rank)
        return refuse(self, "a tensor whose sizes and strides are not up to 8 integers of 0 and above");
    made->tensor = tensor;
    return made;
}

value *torch_call(unpickler *self, const torch_global *function, const value *arguments)
{
    switch (function->function) {
    case TORCH_ORDERED_DICT:
        return make_dictionary(self, arguments);
    case TORCH_REBUILD_TENSOR:
        return make_tensor(self, arguments, 4, 4);
    case TORCH_REBUILD_TENSOR_V2:
        return make_tensor(self, arguments, 6, 7);
    case TORCH_REBUILD_PARAMETER:
        if (arguments->count != 3 || arguments->items[0]->kind != VALUE_TENSOR)
            return refuse(self, "a parameter without a tensor");
        return arguments->items[0];
    default:
        return refuse(self, "a call of what is no function");
    }
}

/* ---- storages ---- */

/* None, or ("key of the view", offset, elements). */
static bool read_view(const value *view, torch_storage *storage)
{
    if (view->kind == VALUE_NONE)
        return true;
    if (view->kind != VALUE_TUPLE || view->count != 3 || view->items[1]->kind != VALUE_INTEGER ||
        view->items[2]->kind != VALUE_INTEGER)
        return false;
    storage->view_offset = view->items[1]->integer;
    storage->view_elements = view->items[2]->integer;
    return storage->view_offset >= 0 && storage->view_offset <= storage->elements && storage->view_elements >= 0 &&
           storage->view_elements <= storage->elements - storage->view_offset;
}

value *torch_storage_value(unpickler *self, const value *id)
{
    torch_storage *storage = arena_take(self->memory, 1, sizeof *storage);
    value *const *items = id->items;

    if (id->kind == VALUE_TUPLE && id->count > 0 && value_is_text(items[0], "module"))
        return unpickle_refuse(self, DN_E_UNSUPPORTED,
                               "a whole module was saved, which takes its code to read; save "
                               "model.state_dict() alone");
    if (id->kind != VALUE_TUPLE || id->count < 5 || id->count > 6 || !value_is_text(items[0], "storage") ||
        items[1]->kind != VALUE_GLOBAL || items[1]->global->function != TORCH_TYPE || items[2]->kind != VALUE_TEXT ||
        items[4]->kind != VALUE_INTEGER || items[4]->integer < 0)
        return refuse(self, "a persistent id that describes no storage");
    value *made = storage ? unpickle_make(self, VALUE_STORAGE) : unpickle_refuse(self, DN_E_LIMIT, "too many storages");
    if (!made)
        return NULL;
    storage->type = items[1]->global;
    storage->key = items[2]->text.bytes;
    storage->key_size = items[2]->text.size;
    storage->elements = storage->view_elements = items[4]->integer;
    if (id->count == 6 && !read_view(items[5], storage))
        return refuse(self, "a view beyond its storage");
    made->storage = storage;
    return made;
}
