/* Tensors of files that others wrote: PyTorch checkpoints in each of their three formats, and safetensors.  Nothing in
 * a file is executed or trusted. */
#ifndef DN_TOOLS_WEIGHTS_FILE_H
#define DN_TOOLS_WEIGHTS_FILE_H

#include "pickle.h"

/* A tensor whose elements all lie within the file (or within what was unpacked of it). */
typedef struct file_tensor {
    const char *name; /* 1 .. 255 bytes, none of them a control character */
    enum element_type type;
    size_t element_size; /* bytes */
    int32_t rank;
    int64_t shape[TENSOR_MAX_RANK], stride[TENSOR_MAX_RANK]; /* strides in elements */
    size_t elements;
    const uint8_t *data; /* the first element; any alignment */
} file_tensor;

/* What a safetensors file can say about a backbone (docs/format.md). */
enum backbone_key { KEY_KIND, KEY_NAME, KEY_LAYERS, KEY_MEAN, KEY_STD, KEY_RANDOM, BACKBONE_KEYS };
extern const char *const backbone_keys[BACKBONE_KEYS];

typedef struct weights_file {
    const char *format; /* "torch-zip", "torch-legacy", "torch-tar", "safetensors" */
    file_tensor *tensors;
    size_t count, room;
    char *metadata[BACKBONE_KEYS]; /* NULL: not told */
    arena memory;
    uint8_t **unpacked; /* what was stored compressed */
    size_t unpacked_count;
} weights_file;

/* Reads `size` bytes, which must outlive *out.  Whatever becomes of it, weights_free follows. */
bool weights_read(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error);
void weights_free(weights_file *self);

/* A safetensors file of all floating-point tensors, bfloat16 widened to float32, and the metadata; malloc.  NULL, with
 * *error filled: above `limit` bytes of tensors (DN_E_LIMIT), a name twice or not in UTF-8 (DN_E_FORMAT). */
uint8_t *weights_pack(const weights_file *self, size_t limit, size_t *size, dn_error *error);

/* ---- between the readers ---- */

/* Fills *error; returns false. */
bool weights_refuse(dn_error *error, dn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

bool read_torch_zip(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error);
bool read_torch_legacy(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error);
bool read_torch_tar(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error);
bool read_safetensors(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error);

/* Whether the machine that a former format describes (sys_info) was little-endian; NULL, an unread one, is false. */
bool weights_check_machine(const value *machine, dn_error *error);
/* The dictionary of tensors: the object itself, or what it has under a usual key.  NULL: refused. */
const value *weights_state_dict(const value *object, dn_error *error);
/* Adds the tensors of a state dict, whose storages' data is known. */
bool weights_add_all(weights_file *self, const value *dict, dn_error *error);
/* Adds a tensor after checking its name. */
bool weights_add(weights_file *self, const text *name, const file_tensor *tensor, dn_error *error);

#endif
