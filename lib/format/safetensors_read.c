#include "format/safetensors.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used in the file's byte order");

#define PIECE ((size_t)64 * 1024) /* bytes that are looked at twice in a row */
#define SUM_DIGITS 8

struct st_entry {
    const char *key, *value;
};

struct st_file {
    dn_allocator allocator;
    char *label;
    char *texts;              /* the tensors' names, and the metadata's keys and values */
    st_tensor *tensors;       /* (count), in file order */
    const st_tensor **sorted; /* (count), by name */
    int32_t count;
    st_entry *metadata;      /* (metadata_count), in file order */
    const st_entry **by_key; /* (metadata_count) */
    int32_t metadata_count;
    const uint8_t *start; /* first byte of the file */
    const uint8_t *sum;   /* digits of ST_HEADER_SUM in the header; NULL: none */
    const uint8_t *data;  /* first tensor byte */
    size_t data_size;
};

static const struct dtype {
    char name[8];
    uint8_t size; /* bytes of an element */
    uint8_t type;
} dtypes[] = {
    {"F32", 4, ST_F32},    {"F16", 2, ST_F16},       {"F64", 8, ST_F64},       {"I32", 4, ST_I32},
    {"I64", 8, ST_I64},    {"U8", 1, ST_U8},         {"U32", 4, ST_U32},       {"BOOL", 1, ST_OTHER},
    {"I8", 1, ST_OTHER},   {"I16", 2, ST_OTHER},     {"U16", 2, ST_OTHER},     {"U64", 8, ST_OTHER},
    {"BF16", 2, ST_OTHER}, {"F8_E4M3", 1, ST_OTHER}, {"F8_E5M2", 1, ST_OTHER}, {"F8_E8M0", 1, ST_OTHER},
    {"C64", 8, ST_OTHER},
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

static const struct dtype *find_dtype(json_value name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (json_text_is(name, dtypes[i].name))
            return &dtypes[i];
    return NULL;
}

static dn_status parse_shape(json_value shape, const char *label, st_tensor *tensor, dn_error *error)
{
    json_value key, entry;
    json_cursor cursor = json_inside(shape);
    _Bool list = json_type_of(shape) == JSON_ARRAY;

    tensor->rank = 0;
    tensor->elements = 1;
    while (list && json_next(&cursor, &key, &entry)) {
        list = tensor->rank < ST_MAX_RANK;
        if (!list)
            break;
        int64_t *size = &tensor->shape[tensor->rank++];
        if (!json_read_integer(entry, size) || *size < 0)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: shape holds something else than sizes", label,
                        tensor->name);
        if (__builtin_mul_overflow(tensor->elements, *size, &tensor->elements))
            return fail(error, DN_E_FORMAT, "%s: tensor %s: shape is too large", label, tensor->name);
    }
    if (!list)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: shape is not a list of at most %d sizes", label, tensor->name,
                    ST_MAX_RANK);
    return DN_OK;
}

/* [begin, end] */
static _Bool read_pair(json_value list, int64_t *begin, int64_t *end)
{
    json_value key, entry;
    json_cursor cursor = json_inside(list);

    return json_type_of(list) == JSON_ARRAY && json_next(&cursor, &key, &entry) && json_read_integer(entry, begin) &&
           json_next(&cursor, &key, &entry) && json_read_integer(entry, end) && !json_next(&cursor, &key, &entry);
}

/* Fills tensor->data and bytes.  Offsets beyond the file are told as a truncation. */
static dn_status parse_offsets(json_value offsets, size_t element_size, const st_file *file, st_tensor *tensor,
                               dn_error *error)
{
    int64_t begin, end, bytes;

    if (!read_pair(offsets, &begin, &end) || begin < 0 || end < begin)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: data_offsets are not [begin, end]", file->label, tensor->name);
    if (__builtin_mul_overflow(tensor->elements, (int64_t)element_size, &bytes) || end - begin != bytes)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: %lld bytes of data do not fit its shape and dtype", file->label,
                    tensor->name, (long long)(end - begin));
    if ((uint64_t)end > file->data_size)
        return fail(error, DN_E_FORMAT, "%s: truncated: tensor %s ends at byte %llu, file has %zu of data", file->label,
                    tensor->name, (unsigned long long)end, file->data_size);
    tensor->data = file->data + begin;
    tensor->bytes = (size_t)bytes;
    return DN_OK;
}

static dn_status fail_twice(const st_file *file, dn_error *error)
{
    return fail(error, DN_E_FORMAT, "%s: corrupt header: a name appears twice", file->label);
}

static dn_status parse_tensor(const char *name, json_value entry, const st_file *file, st_tensor *tensor,
                              dn_error *error)
{
    static const char *const keys[3] = {"dtype", "shape", "data_offsets"};
    json_value found[3];

    if (!name_allowed(name))
        return fail(error, DN_E_FORMAT, "%s: a tensor's name is empty or holds control characters", file->label);
    tensor->name = name;
    if (json_type_of(entry) != JSON_OBJECT)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: its entry is not a JSON object", file->label, name);
    if (!json_pick(entry, keys, 3, found))
        return fail_twice(file, error);
    const struct dtype *dtype = find_dtype(found[0]);
    if (!dtype)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: dtype is missing or unknown", file->label, name);
    tensor->type = (enum st_type)dtype->type;
    TRY(parse_shape(found[1], file->label, tensor, error));
    return parse_offsets(found[2], dtype->size, file, tensor, error);
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

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const st_entry *const *)a)->key, (*(const st_entry *const *)b)->key);
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

/* What a header holds: numbers of entries, and the bytes of all names, keys and values. */
typedef struct header_sizes {
    size_t tensors, metadata, texts;
} header_sizes;

static dn_status measure_metadata(const st_file *file, json_value metadata, header_sizes *sizes, dn_error *error)
{
    json_value key, value;

    if (json_type_of(metadata) != JSON_OBJECT)
        return fail(error, DN_E_FORMAT, "%s: __metadata__ is not a JSON object", file->label);
    for (json_cursor cursor = json_inside(metadata); json_next(&cursor, &key, &value); sizes->metadata++) {
        if (json_type_of(value) != JSON_TEXT)
            return fail(error, DN_E_FORMAT, "%s: __metadata__ holds something else than strings", file->label);
        sizes->texts += json_text_size(key) + json_text_size(value) + 2;
    }
    if (sizes->metadata > ST_MAX_METADATA)
        return fail(error, DN_E_FORMAT, "%s: more than %d metadata", file->label, ST_MAX_METADATA);
    return DN_OK;
}

static dn_status measure_header(const st_file *file, json_value root, header_sizes *sizes, dn_error *error)
{
    json_value key, value;
    _Bool found = 0;

    for (json_cursor cursor = json_inside(root); json_next(&cursor, &key, &value);) {
        if (!json_text_is(key, "__metadata__")) {
            sizes->tensors++;
            sizes->texts += json_text_size(key) + 1;
        } else if (found) {
            return fail_twice(file, error);
        } else {
            TRY(measure_metadata(file, value, sizes, error));
            found = 1;
        }
    }
    if (sizes->tensors > ST_MAX_TENSORS)
        return fail(error, DN_E_FORMAT, "%s: more than %d tensors", file->label, ST_MAX_TENSORS);
    return DN_OK;
}

static dn_status allocate(st_file *file, const header_sizes *sizes, dn_error *error)
{
    file->texts = mem_alloc(&file->allocator, sizes->texts, 1);
    file->tensors = mem_zalloc(&file->allocator, sizes->tensors, sizeof *file->tensors);
    file->sorted = mem_alloc(&file->allocator, sizes->tensors, sizeof *file->sorted);
    file->metadata = mem_alloc(&file->allocator, sizes->metadata, sizeof *file->metadata);
    file->by_key = mem_alloc(&file->allocator, sizes->metadata, sizeof *file->by_key);
    if (!file->texts || !file->tensors || !file->sorted || !file->metadata || !file->by_key)
        return fail_memory(error, file->label);
    return DN_OK;
}

/* Copies a text to *end, which moves on. */
static const char *copy_text(json_value text, char **end)
{
    char *copy = *end;
    size_t size = json_text_size(text) + 1;

    (void)json_read_text(text, copy, size);
    *end += size;
    return copy;
}

static void load_metadata(st_file *file, json_value metadata, char **texts)
{
    json_value key, value;

    for (json_cursor cursor = json_inside(metadata); json_next(&cursor, &key, &value); file->metadata_count++) {
        st_entry *entry = &file->metadata[file->metadata_count];
        if (json_text_is(key, ST_HEADER_SUM) && value.size == SUM_DIGITS + 2)
            file->sum = value.at + 1;
        entry->key = copy_text(key, texts);
        entry->value = copy_text(value, texts);
    }
}

/* Sorts by name and by key, and refuses what is there twice. */
static dn_status sort_names(st_file *file, dn_error *error)
{
    for (int32_t i = 0; i < file->count; i++)
        file->sorted[i] = &file->tensors[i];
    for (int32_t i = 0; i < file->metadata_count; i++)
        file->by_key[i] = &file->metadata[i];
    qsort(file->sorted, (size_t)file->count, sizeof *file->sorted, compare_names);
    qsort(file->by_key, (size_t)file->metadata_count, sizeof *file->by_key, compare_keys);
    for (int32_t i = 1; i < file->count; i++)
        if (compare_names(&file->sorted[i - 1], &file->sorted[i]) == 0)
            return fail_twice(file, error);
    for (int32_t i = 1; i < file->metadata_count; i++)
        if (compare_keys(&file->by_key[i - 1], &file->by_key[i]) == 0)
            return fail_twice(file, error);
    return DN_OK;
}

static dn_status load_header(st_file *file, const uint8_t *header, size_t size, dn_error *error)
{
    header_sizes sizes = {0};
    json_value root, key, value;
    size_t position;

    if (!json_parse(header, size, &root, &position))
        return fail(error, DN_E_FORMAT, "%s: corrupt header: no valid JSON at its byte %zu", file->label, position);
    TRY(measure_header(file, root, &sizes, error));
    TRY(allocate(file, &sizes, error));
    char *texts = file->texts;
    for (json_cursor cursor = json_inside(root); json_next(&cursor, &key, &value);) {
        if (json_text_is(key, "__metadata__")) {
            load_metadata(file, value, &texts);
        } else {
            TRY(parse_tensor(copy_text(key, &texts), value, file, &file->tensors[file->count], error));
            file->count++;
        }
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, compare_places);
    TRY(sort_names(file, error));
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
    file->start = bytes;
    file->data = bytes + 8 + header_size;
    file->data_size = size - 8 - header_size;
    file->label = mem_strdup(allocator, label);
    dn_status status = file->label ? load_header(file, bytes + 8, header_size, error) : fail_memory(error, label);
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
    mem_free(&allocator, file->by_key);
    mem_free(&allocator, file->metadata);
    mem_free(&allocator, file->sorted);
    mem_free(&allocator, file->tensors);
    mem_free(&allocator, file->texts);
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
    int32_t low = 0, high = file->metadata_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = strcmp(file->by_key[middle]->key, key);
        if (order == 0)
            return file->by_key[middle]->value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const st_entry *st_metadata_next(const st_file *file, const st_entry *entry, const char **key, const char **value)
{
    const st_entry *next = entry ? entry + 1 : file->metadata;

    if (next == file->metadata + file->metadata_count)
        return NULL;
    *key = next->key;
    *value = next->value;
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

_Bool st_header_sum(const st_file *file, _Bool *equal)
{
    char digits[SUM_DIGITS + 1] = "00000000";
    uint64_t stored;

    if (!file->sum)
        return 0;
    const uint8_t *rest = file->sum + SUM_DIGITS;
    uint32_t crc = libdeflate_crc32(0, file->start, (size_t)(file->sum - file->start));
    crc = libdeflate_crc32(crc, digits, SUM_DIGITS);
    crc = libdeflate_crc32(crc, rest, (size_t)(file->data - rest));
    memcpy(digits, file->sum, SUM_DIGITS);
    *equal = st_parse_unsigned(digits, 16, &stored) && stored == crc;
    return 1;
}
