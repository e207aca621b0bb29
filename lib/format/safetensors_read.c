#include "format/safetensors.h"

#include <jansson.h>
#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used in the file's byte order");

#define PIECE ((size_t)64 * 1024) /* bytes that are looked at twice in a row */

struct st_file {
    dn_allocator allocator;
    char *label;
    json_t *root;             /* the header; the tensors' names live in it */
    json_t *metadata;         /* in root; NULL: none */
    st_tensor *tensors;       /* (count), in file order */
    const st_tensor **sorted; /* (count), by name */
    int32_t count;
    const uint8_t *data;      /* first tensor byte */
    size_t data_size;
};

static const struct dtype {
    char name[8];
    uint8_t size; /* bytes of an element */
    uint8_t type;
} dtypes[] = {
    {"F32", 4, ST_F32}, {"F16", 2, ST_F16}, {"F64", 8, ST_F64}, {"I32", 4, ST_I32}, {"I64", 8, ST_I64},
    {"U8", 1, ST_U8}, {"U32", 4, ST_U32}, {"BOOL", 1, ST_OTHER}, {"I8", 1, ST_OTHER}, {"I16", 2, ST_OTHER},
    {"U16", 2, ST_OTHER}, {"U64", 8, ST_OTHER}, {"BF16", 2, ST_OTHER}, {"F8_E4M3", 1, ST_OTHER},
    {"F8_E5M2", 1, ST_OTHER}, {"F8_E8M0", 1, ST_OTHER}, {"C64", 8, ST_OTHER},
};

/* ---- the header's frame ---- */

/* What a file that is no safetensors file seems to be, for the message. */
static const char *guess_kind(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *magic, *kind;
    } kinds[] = {
        {"PK\3\4", "a zip archive, perhaps of PyTorch: convert it to safetensors first"},
        {"\x80\2", "a Python pickle, perhaps of PyTorch: convert it to safetensors first"},
        {"\x89PNG", "a PNG image"},
        {"\xFF\xD8\xFF", "a JPEG image"},
        {"\x89HDF", "an HDF5 file"},
        {"version ", "perhaps a Git LFS pointer: run git lfs pull"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i].magic);
        if (size >= length && !memcmp(bytes, kinds[i].magic, length))
            return kinds[i].kind;
    }
    return "it does not start with a header length and '{'";
}

/* Finds the JSON header: *header_size bytes from offset 8. */
static dn_status frame_header(const uint8_t *bytes, size_t size, const char *label, size_t *header_size,
                              dn_error *error)
{
    uint64_t length;

    if (size == 0)
        return fail(error, DN_E_FORMAT, "%s: not a safetensors file (it is empty)", label);
    if (size < 9)
        return fail(error, DN_E_FORMAT, "%s: not a safetensors file (only %zu bytes)", label, size);
    memcpy(&length, bytes, sizeof length);
    if (bytes[8] != '{')
        return fail(error, DN_E_FORMAT, "%s: not a safetensors file (%s)", label, guess_kind(bytes, size));
    if (length > ST_MAX_HEADER)
        return fail(error, DN_E_FORMAT,
                    "%s: not a safetensors file (a header of %llu bytes, more than the limit of %u)", label,
                    (unsigned long long)length, ST_MAX_HEADER);
    if (length > size - 8)
        return fail(error, DN_E_FORMAT, "%s: truncated: header says %llu bytes, file has %zu", label,
                    (unsigned long long)length + 8, size);
    *header_size = (size_t)length;
    return DN_OK;
}

/* ---- tensors ---- */

/* Names go into messages, and messages to terminals. */
static _Bool name_allowed(const char *name)
{
    if (!*name)
        return 0;
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7F)
            return 0;
    return 1;
}

static const struct dtype *find_dtype(const char *name)
{
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(dtypes[i].name, name))
            return &dtypes[i];
    return NULL;
}

static dn_status parse_shape(const json_t *shape, const char *label, st_tensor *tensor, dn_error *error)
{
    size_t rank = json_array_size(shape);

    if (!json_is_array(shape) || rank > ST_MAX_RANK)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: shape is not a list of at most %d sizes", label, tensor->name,
                    ST_MAX_RANK);
    tensor->rank = (int32_t)rank;
    tensor->elements = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *entry = json_array_get(shape, i);
        tensor->shape[i] = json_integer_value(entry);
        if (!json_is_integer(entry) || tensor->shape[i] < 0)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: shape holds something else than sizes", label,
                        tensor->name);
        if (__builtin_mul_overflow(tensor->elements, tensor->shape[i], &tensor->elements))
            return fail(error, DN_E_FORMAT, "%s: tensor %s: shape is too large", label, tensor->name);
    }
    return DN_OK;
}

/* Fills tensor->data and bytes.  Offsets beyond the file are told as a truncation. */
static dn_status parse_offsets(const json_t *offsets, size_t element_size, const st_file *file, st_tensor *tensor,
                               dn_error *error)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    int64_t bytes;

    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) || begin < 0 || end < begin)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: data_offsets are not [begin, end]", file->label, tensor->name);
    if (__builtin_mul_overflow(tensor->elements, (int64_t)element_size, &bytes) || end - begin != bytes)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: %lld bytes of data do not fit its shape and dtype",
                    file->label, tensor->name, (long long)(end - begin));
    if ((uint64_t)end > file->data_size)
        return fail(error, DN_E_FORMAT, "%s: truncated: tensor %s ends at byte %llu, file has %zu of data",
                    file->label, tensor->name, (unsigned long long)end, file->data_size);
    tensor->data = file->data + begin;
    tensor->bytes = (size_t)bytes;
    return DN_OK;
}

static dn_status parse_tensor(const char *name, const json_t *entry, const st_file *file, st_tensor *tensor,
                              dn_error *error)
{
    if (!name_allowed(name))
        return fail(error, DN_E_FORMAT, "%s: a tensor's name is empty or holds control characters", file->label);
    tensor->name = name;
    if (!json_is_object(entry))
        return fail(error, DN_E_FORMAT, "%s: tensor %s: its entry is not a JSON object", file->label, name);
    const json_t *type_name = json_object_get(entry, "dtype");
    const struct dtype *dtype = find_dtype(json_string_value(type_name));
    if (!dtype)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: dtype is missing or unknown", file->label, name);
    tensor->type = (enum st_type)dtype->type;
    TRY(parse_shape(json_object_get(entry, "shape"), file->label, tensor, error));
    return parse_offsets(json_object_get(entry, "data_offsets"), dtype->size, file, tensor, error);
}

/* By place in the file; empty tensors before the one that starts where they lie. */
static int compare_places(const void *a, const void *b)
{
    const st_tensor *first = a, *second = b;

    if (first->data != second->data)
        return first->data < second->data ? -1 : 1;
    if (first->bytes != second->bytes)
        return first->bytes < second->bytes ? -1 : 1;
    return strcmp(first->name, second->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const st_tensor *const *)a)->name, (*(const st_tensor *const *)b)->name);
}

/* Every data byte belongs to one tensor: no gap, no overlap, nothing behind the last. */
static dn_status check_cover(const st_file *file, dn_error *error)
{
    const uint8_t *expected = file->data;

    for (int32_t i = 0; i < file->count; i++) {
        const st_tensor *tensor = &file->tensors[i];
        if (tensor->data != expected)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: data %s another tensor's", file->label, tensor->name,
                        tensor->data < expected ? "overlaps" : "leaves a gap behind");
        expected += tensor->bytes;
    }
    size_t used = (size_t)(expected - file->data);
    if (used != file->data_size)
        return fail(error, DN_E_FORMAT, "%s: %zu bytes behind the last tensor", file->label, file->data_size - used);
    return DN_OK;
}

/* ---- the whole ---- */

static dn_status load_json(st_file *file, const uint8_t *header, size_t size, dn_error *error)
{
    json_error_t problem = {0}; /* jansson itself leaves parts of it unset */

    file->root = json_loadb((const char *)header, size, JSON_REJECT_DUPLICATES, &problem);
    if (file->root)
        return DN_OK;
    /* jansson's own text is not passed on: it quotes the file's bytes. */
    switch (json_error_code(&problem)) {
    case json_error_out_of_memory:
    case json_error_unknown: /* some of jansson's failed allocations leave no code */
        return fail_memory(error, file->label);
    case json_error_duplicate_key:
        return fail(error, DN_E_FORMAT, "%s: corrupt header: a name appears twice", file->label);
    default:
        return fail(error, DN_E_FORMAT, "%s: corrupt header: no valid JSON at its byte %d", file->label,
                    problem.position);
    }
}

static dn_status check_metadata(const st_file *file, dn_error *error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(file->metadata))
        return fail(error, DN_E_FORMAT, "%s: __metadata__ is not a JSON object", file->label);
    json_object_foreach(file->metadata, key, value)
        if (!json_is_string(value))
            return fail(error, DN_E_FORMAT, "%s: __metadata__ holds something else than strings", file->label);
    return DN_OK;
}

static dn_status load_tensors(st_file *file, dn_error *error)
{
    size_t entries = json_object_size(file->root);
    const char *name;
    json_t *entry;

    if (entries > ST_MAX_TENSORS + 1)
        return fail(error, DN_E_FORMAT, "%s: more than %d tensors", file->label, ST_MAX_TENSORS);
    file->tensors = mem_zalloc(&file->allocator, entries, sizeof *file->tensors);
    file->sorted = mem_zalloc(&file->allocator, entries, sizeof *file->sorted);
    if (!file->tensors || !file->sorted)
        return fail_memory(error, file->label);
    json_object_foreach(file->root, name, entry) {
        if (!strcmp(name, "__metadata__")) {
            file->metadata = entry;
            TRY(check_metadata(file, error));
        } else {
            TRY(parse_tensor(name, entry, file, &file->tensors[file->count], error));
            file->count++;
        }
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, compare_places);
    for (int32_t i = 0; i < file->count; i++)
        file->sorted[i] = &file->tensors[i];
    qsort(file->sorted, (size_t)file->count, sizeof *file->sorted, compare_names);
    return check_cover(file, error);
}

dn_status st_parse(const uint8_t *bytes, size_t size, const char *label, const dn_allocator *allocator, st_file **out,
                   dn_error *error)
{
    size_t header_size = 0;

    *out = NULL;
    TRY(frame_header(bytes, size, label, &header_size, error));
    st_file *file = mem_zalloc(allocator, 1, sizeof *file);
    if (!file)
        return fail_memory(error, label);
    file->allocator = *allocator;
    file->data = bytes + 8 + header_size;
    file->data_size = size - 8 - header_size;
    file->label = mem_strdup(allocator, label);
    dn_status status = file->label ? load_json(file, bytes + 8, header_size, error) : fail_memory(error, label);
    if (status == DN_OK)
        status = load_tensors(file, error);
    if (status != DN_OK) {
        st_free(file);
        return status;
    }
    *out = file;
    return DN_OK;
}

void st_free(st_file *file)
{
    if (!file)
        return;
    dn_allocator allocator = file->allocator;
    json_decref(file->root);
    mem_free(&allocator, file->sorted);
    mem_free(&allocator, file->tensors);
    mem_free(&allocator, file->label);
    mem_free(&allocator, file);
}

/* ---- access ---- */

int32_t st_count(const st_file *file)
{
    return file->count;
}

const st_tensor *st_at(const st_file *file, int32_t index)
{
    return &file->tensors[index];
}

const st_tensor *st_find(const st_file *file, const char *name)
{
    int32_t low = 0, high = file->count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = strcmp(file->sorted[middle]->name, name);
        if (order == 0)
            return file->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *st_metadata(const st_file *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

/* An entry is one of jansson's iterators, which point into the object. */
const st_entry *st_metadata_next(const st_file *file, const st_entry *entry, const char **key, const char **value)
{
    void *next = entry ? json_object_iter_next(file->metadata, (void *)entry) : json_object_iter(file->metadata);

    if (next) {
        *key = json_object_iter_key(next);
        *value = json_string_value(json_object_iter_value(next));
    }
    return next;
}

const char *st_label(const st_file *file)
{
    return file->label;
}

/* Reads each piece twice, the second time from the cache. */
uint32_t st_data_crc32(st_file *file)
{
    uint32_t crc = 0;

    for (int32_t i = 0; i < file->count; i++) {
        st_tensor *tensor = &file->tensors[i];
        _Bool finite = tensor->type == ST_F32;
        for (size_t at = 0; at < tensor->bytes; at += PIECE) {
            size_t size = tensor->bytes - at < PIECE ? tensor->bytes - at : PIECE;
            crc = libdeflate_crc32(crc, tensor->data + at, size);
            finite = finite && floats_finite(tensor->data + at, size / sizeof(float));
        }
        tensor->finite = finite;
    }
    return crc;
}

dn_status st_require(const st_file *file, const char *name, int32_t rank, const int64_t *shape, const st_tensor **out,
                     dn_error *error)
{
    const st_tensor *tensor = st_find(file, name);

    *out = NULL;
    if (!tensor)
        return fail(error, DN_E_FORMAT, "%s: tensor %s is missing", file->label, name);
    if (tensor->rank != rank)
        return fail(error, DN_E_FORMAT, "%s: tensor %s has %d dimensions, expected %d", file->label, name,
                    tensor->rank, rank);
    for (int32_t i = 0; i < rank; i++)
        if (shape[i] != -1 && tensor->shape[i] != shape[i])
            return fail(error, DN_E_FORMAT, "%s: tensor %s: dimension %d is %lld, expected %lld", file->label, name, i,
                        (long long)tensor->shape[i], (long long)shape[i]);
    *out = tensor;
    return DN_OK;
}

/* Element `index` of a floating-point tensor. */
static double element(const st_tensor *tensor, int64_t index)
{
    uint16_t half;
    float single;
    double value;

    switch (tensor->type) {
    case ST_F16:
        memcpy(&half, tensor->data + index * 2, sizeof half);
        return (double)half_to_float(half);
    case ST_F32:
        memcpy(&single, tensor->data + index * 4, sizeof single);
        return (double)single;
    default:
        memcpy(&value, tensor->data + index * 8, sizeof value);
        return value;
    }
}

static dn_status require_floats(const st_file *file, const st_tensor *tensor, dn_error *error)
{
    if (tensor->type != ST_F32 && tensor->type != ST_F16 && tensor->type != ST_F64)
        return fail(error, DN_E_FORMAT, "%s: tensor %s is neither F32 nor F16 nor F64", file->label, tensor->name);
    return DN_OK;
}

static dn_status fail_numeric(const st_file *file, const st_tensor *tensor, dn_error *error)
{
    return fail(error, DN_E_NUMERIC, "%s: tensor %s holds NaN or infinity", file->label, tensor->name);
}

/* False if one of them is NaN or infinite, as float. */
static _Bool to_floats(const st_tensor *tensor, float *out)
{
    size_t n = (size_t)tensor->elements;
    const uint8_t *data = tensor->data;

    if (tensor->type == ST_F16)
        return halves_to_floats(data, n, out);
    for (size_t at = 0; tensor->type == ST_F32 && at < n; at += PIECE / sizeof *out) {
        size_t count = n - at < PIECE / sizeof *out ? n - at : PIECE / sizeof *out;
        memcpy(out + at, data + at * sizeof *out, count * sizeof *out);
        if (!floats_finite(out + at, count))
            return 0;
    }
    for (size_t i = 0; tensor->type == ST_F64 && i < n; i++) {
        out[i] = (float)element(tensor, (int64_t)i);
        if (!isfinite(out[i]))
            return 0;
    }
    return 1;
}

dn_status st_read_f32(const st_file *file, const st_tensor *tensor, float *out, dn_error *error)
{
    TRY(require_floats(file, tensor, error));
    return to_floats(tensor, out) ? DN_OK : fail_numeric(file, tensor, error);
}

dn_status st_read_f64(const st_file *file, const st_tensor *tensor, double *out, dn_error *error)
{
    TRY(require_floats(file, tensor, error));
    for (int64_t i = 0; i < tensor->elements; i++) {
        out[i] = element(tensor, i);
        if (!isfinite(out[i]))
            return fail_numeric(file, tensor, error);
    }
    return DN_OK;
}
