/* What PyTorch puts into pickles: the globals that are allowed, storages, tensors. */
#ifndef DN_TOOLS_TORCH_OBJECTS_H
#define DN_TOOLS_TORCH_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_MAX_RANK 8

struct unpickler;
struct value;
struct text;

enum element_type { ELEMENT_F16, ELEMENT_BF16, ELEMENT_F32, ELEMENT_F64, ELEMENT_OTHER };

enum torch_function {
    TORCH_ORDERED_DICT,   /* collections.OrderedDict */
    TORCH_REBUILD_TENSOR, /* torch._utils._rebuild_tensor, of versions before 0.4 */
    TORCH_REBUILD_TENSOR_V2,
    TORCH_REBUILD_PARAMETER,
    TORCH_TYPE /* torch.FloatStorage, torch.FloatTensor and the like: never called */
};

typedef struct torch_global {
    const char *module, *name;
    enum torch_function function;
    enum element_type element; /* of TORCH_TYPE */
    size_t element_size;       /* bytes */
} torch_global;

/* A block of numbers that tensors look into. */
typedef struct torch_storage {
    const torch_global *type;
    const char *key; /* name within the file */
    size_t key_size;
    int64_t elements;      /* as the pickle says */
    int64_t view_offset;   /* of a view into the storage `key`: elements to skip, 0 for the storage itself */
    int64_t view_elements; /* and what is visible: `elements` for the storage itself */
    const uint8_t *data;   /* all `elements`; NULL: not found yet */
} torch_storage;

/* Sizes and strides, in elements.  Nothing in it is checked against the storage. */
typedef struct torch_tensor {
    torch_storage *storage; /* NULL: no elements */
    int64_t offset;         /* within the visible part of the storage */
    int32_t rank;
    int64_t shape[TENSOR_MAX_RANK], stride[TENSOR_MAX_RANK];
} torch_tensor;

/* The global of that name; NULL: not allowed. */
const torch_global *torch_find_global(const struct text *module, const struct text *name);
/* What calling `function` with a tuple of arguments gives; NULL: refused. */
struct value *torch_call(struct unpickler *self, const torch_global *function, const struct value *arguments);
/* A storage from its persistent id: ("storage", type, key, location, elements [, view]).  For `persistent`. */
struct value *torch_storage_value(struct unpickler *self, const struct value *id);

#endif
