#include "format/safetensors.h"

#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/half.h"

#define ALIGNMENT 64
#define CHUNK 4096 /* floats converted at a time */
#define CRC_KEY "differnet.crc32"

typedef struct entry {
    char *name;
    enum st_type type, stored;
    int32_t rank;
    int64_t shape[ST_MAX_RANK];
    size_t elements;
    size_t bytes; /* as stored */
    const void *data;
} entry;

typedef struct pair {
    char *key, *value;
} pair;

struct st_writer {
    dn_allocator allocator;
    dn_status status; /* of the calls so far */
    entry *tensors;   /* (tensor_room) */
    size_t tensor_count, tensor_room;
    pair *metadata; /* (metadata_room) */
    size_t metadata_count, metadata_room;
    json_writer json; /* of st_writer_json; its blob is kept */
    uint16_t chunk[CHUNK];
};

/* Where bytes go: a checksum, a file, memory. */
typedef struct sink {
    dn_status (*put)(struct sink *self, const void *bytes, size_t size, dn_error *error);
    uint32_t crc;
    file_writer file;
    dn_blob *blob;
} sink;

static const char *type_name(enum st_type type)
{
    switch (type) {
    case ST_F16:
        return "F16";
    case ST_F32:
        return "F32";
    case ST_F64:
        return "F64";
    case ST_I32:
        return "I32";
    case ST_I64:
        return "I64";
    case ST_U8:
        return "U8";
    case ST_U32:
        return "U32";
    default:
        return NULL;
    }
}

static size_t type_size(enum st_type type)
{
    switch (type) {
    case ST_U8:
        return 1;
    case ST_F16:
        return 2;
    case ST_F64:
    case ST_I64:
        return 8;
    default:
        return 4;
    }
}

/* ---- collecting ---- */

st_writer *st_writer_create(const dn_allocator *allocator)
{
    st_writer *writer = mem_zalloc(allocator, 1, sizeof *writer);

    if (writer)
        writer->allocator = *allocator;
    return writer;
}

void st_writer_free(st_writer *writer)
{
    if (!writer)
        return;
    dn_allocator allocator = writer->allocator;
    for (size_t i = 0; i < writer->tensor_count; i++)
        mem_free(&allocator, writer->tensors[i].name);
    for (size_t i = 0; i < writer->metadata_count; i++) {
        mem_free(&allocator, writer->metadata[i].key);
        mem_free(&allocator, writer->metadata[i].value);
    }
    mem_free(&allocator, writer->tensors);
    mem_free(&allocator, writer->metadata);
    blob_free(writer->json.blob);
    mem_free(&allocator, writer);
}

/* Makes room for one more item of `size` bytes in *items. */
static _Bool grow(const dn_allocator *allocator, void **items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return 1;
    size_t larger = *room ? 2 * *room : 16;
    void *grown = mem_alloc(allocator, larger, size);
    if (!grown)
        return 0;
    if (count > 0)
        memcpy(grown, *items, count * size);
    mem_free(allocator, *items);
    *items = grown;
    *room = larger;
    return 1;
}

void st_writer_metadata(st_writer *writer, const char *key, const char *value)
{
    void *items = writer->metadata;

    if (writer->status != DN_OK)
        return;
    writer->status = DN_E_MEMORY;
    _Bool room = grow(&writer->allocator, &items, writer->metadata_count, &writer->metadata_room, sizeof(pair));
    writer->metadata = items;
    if (!room)
        return;
    pair added = {mem_strdup(&writer->allocator, key), mem_strdup(&writer->allocator, value)};
    if (!added.key || !added.value) {
        mem_free(&writer->allocator, added.key);
        mem_free(&writer->allocator, added.value);
        return;
    }
    writer->metadata[writer->metadata_count++] = added;
    writer->status = DN_OK;
}

json_writer *st_writer_json(st_writer *writer)
{
    dn_blob *blob = writer->json.blob ? writer->json.blob : blob_create(&writer->allocator);

    if (blob)
        blob->size = 0;
    writer->json = (json_writer){.blob = blob, .failed = !blob};
    return &writer->json;
}

void st_writer_json_end(st_writer *writer, const char *key)
{
    if (json_end(&writer->json))
        st_writer_metadata(writer, key, (const char *)writer->json.blob->data);
    else if (writer->status == DN_OK)
        writer->status = DN_E_MEMORY;
}

/* elements and bytes from the shape; false for a description that makes no sense. */
static _Bool measure(entry *tensor)
{
    _Bool narrowed = tensor->type == ST_F32 && tensor->stored == ST_F16;

    if (!type_name(tensor->stored) || (tensor->stored != tensor->type && !narrowed))
        return 0;
    tensor->elements = 1;
    for (int32_t i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0 || !size_mul(tensor->elements, (size_t)tensor->shape[i], &tensor->elements))
            return 0;
    return size_mul(tensor->elements, type_size(tensor->stored), &tensor->bytes);
}

void st_writer_tensor(st_writer *writer, const char *name, enum st_type type, enum st_type stored, int32_t rank,
                      const int64_t *shape, const void *data)
{
    entry added = {.type = type, .stored = stored, .rank = rank, .data = data};
    void *items = writer->tensors;

    if (writer->status != DN_OK)
        return;
    writer->status = DN_E_ARGUMENT;
    if (rank < 0 || rank > ST_MAX_RANK)
        return;
    for (int32_t i = 0; i < rank; i++)
        added.shape[i] = shape[i];
    if (!measure(&added))
        return;
    writer->status = DN_E_MEMORY;
    _Bool room = grow(&writer->allocator, &items, writer->tensor_count, &writer->tensor_room, sizeof(entry));
    writer->tensors = items;
    if (!room)
        return;
    added.name = mem_strdup(&writer->allocator, name);
    if (!added.name)
        return;
    /* Wider types first, otherwise in the order of the calls: so every tensor is aligned to its type's size. */
    size_t place = writer->tensor_count++;
    for (; place > 0 && type_size(writer->tensors[place - 1].stored) < type_size(stored); place--)
        writer->tensors[place] = writer->tensors[place - 1];
    writer->tensors[place] = added;
    writer->status = DN_OK;
}

/* ---- the header ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names for one object: UTF-8, and none twice.  They are sorted here. */
static dn_status check_names(const char **names, size_t count, dn_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!json_is_utf8(names[i]))
            return fail(error, DN_E_ARGUMENT, "a name or value for a file's header is not UTF-8");
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(names[i - 1], names[i]))
            return fail(error, DN_E_ARGUMENT, "%s is written twice to one file", names[i]);
    return DN_OK;
}

/* names: room for those of all tensors, or of all metadata, and two more. */
static dn_status check_texts(const st_writer *writer, const char **names, dn_error *error)
{
    size_t count = 0;

    names[count++] = CRC_KEY;
    names[count++] = ST_HEADER_SUM;
    for (size_t i = 0; i < writer->metadata_count; i++) {
        names[count++] = writer->metadata[i].key;
        if (!json_is_utf8(writer->metadata[i].value))
            return fail(error, DN_E_ARGUMENT, "a name or value for a file's header is not UTF-8");
    }
    TRY(check_names(names, count, error));
    count = 0;
    names[count++] = "__metadata__";
    for (size_t i = 0; i < writer->tensor_count; i++)
        names[count++] = writer->tensors[i].name;
    return check_names(names, count, error);
}

static dn_status check_header(const st_writer *writer, dn_error *error)
{
    size_t most = writer->metadata_count > writer->tensor_count ? writer->metadata_count : writer->tensor_count;
    const char **names = mem_alloc(&writer->allocator, most + 2, sizeof *names);

    if (!names)
        return fail_memory(error, "a file's header");
    dn_status status = check_texts(writer, names, error);
    mem_free(&writer->allocator, names);
    return status;
}

/* *sum: where the digits of the header's checksum go. */
static void put_metadata(const st_writer *writer, uint32_t crc, json_writer *json, size_t *sum)
{
    char digits[9];

    snprintf(digits, sizeof digits, "%08x", crc);
    json_open(json, "__metadata__", "{");
    json_put_text(json, CRC_KEY, digits);
    json_put_text(json, ST_HEADER_SUM, "00000000");
    *sum = json->blob->size - 9; /* with the quote behind them */
    for (size_t i = 0; i < writer->metadata_count; i++)
        json_put_text(json, writer->metadata[i].key, writer->metadata[i].value);
    json_close(json, "}");
}

static void put_tensor(const entry *tensor, size_t begin, size_t end, json_writer *json)
{
    json_open(json, tensor->name, "{");
    json_put_text(json, "dtype", type_name(tensor->stored));
    json_open(json, "shape", "[");
    for (int32_t i = 0; i < tensor->rank; i++)
        json_put_integer(json, NULL, tensor->shape[i]);
    json_close(json, "]");
    json_open(json, "data_offsets", "[");
    json_put_integer(json, NULL, (int64_t)begin);
    json_put_integer(json, NULL, (int64_t)end);
    json_close(json, "]");
    json_close(json, "}");
}

static dn_status put_tensors(const st_writer *writer, json_writer *json, size_t *data_size, dn_error *error)
{
    size_t offset = 0, end;

    for (size_t i = 0; i < writer->tensor_count; i++) {
        const entry *tensor = &writer->tensors[i];
        if (!size_add(offset, tensor->bytes, &end) || end > INT64_MAX)
            return fail(error, DN_E_LIMIT, "the tensors are too large for one file");
        put_tensor(tensor, offset, end, json);
        offset = end;
    }
    *data_size = offset;
    return DN_OK;
}

/* The file up to its data: length, JSON, and blanks up to the alignment. */
static dn_status put_header(const st_writer *writer, uint32_t crc, dn_blob *blob, size_t *data_size, dn_error *error)
{
    static const char blanks[] = "                                                                ";
    json_writer json = {.blob = blob};
    char digits[9];
    uint64_t length = 0;
    size_t sum = 0;

    TRY(check_header(writer, error));
    json.failed = !blob_append(blob, &length, sizeof length);
    json_open(&json, NULL, "{");
    put_metadata(writer, crc, &json, &sum);
    TRY(put_tensors(writer, &json, data_size, error));
    json_close(&json, "}");
    if (json.failed || !blob_append(blob, blanks, (ALIGNMENT - blob->size % ALIGNMENT) % ALIGNMENT))
        return fail_memory(error, "a file's header");
    length = blob->size - sizeof length;
    if (length > ST_MAX_HEADER)
        return fail(error, DN_E_LIMIT, "a file's header would have %llu bytes, more than the limit of %u",
                    (unsigned long long)length, ST_MAX_HEADER);
    memcpy(blob->data, &length, sizeof length);
    snprintf(digits, sizeof digits, "%08x", libdeflate_crc32(0, blob->data, blob->size));
    memcpy(blob->data + sum, digits, 8);
    return DN_OK;
}

static dn_status make_header(const st_writer *writer, uint32_t crc, dn_blob **out, size_t *data_size, dn_error *error)
{
    dn_blob *blob = blob_create(&writer->allocator);
    dn_status status = blob ? put_header(writer, crc, blob, data_size, error) : fail_memory(error, "a file's header");

    if (status != DN_OK) {
        blob_free(blob);
        blob = NULL;
    }
    *out = blob;
    return status;
}

/* ---- the data ---- */

static dn_status put_crc(sink *self, const void *bytes, size_t size, dn_error *error)
{
    (void)error;
    self->crc = libdeflate_crc32(self->crc, bytes, size);
    return DN_OK;
}

static dn_status put_file(sink *self, const void *bytes, size_t size, dn_error *error)
{
    return file_writer_write(&self->file, bytes, size, error);
}

static dn_status put_blob(sink *self, const void *bytes, size_t size, dn_error *error)
{
    return blob_append(self->blob, bytes, size) ? DN_OK : fail_memory(error, "a file in memory");
}

/* float32 -> float16, a chunk at a time. */
static dn_status put_narrowed(st_writer *writer, const entry *tensor, sink *target, dn_error *error)
{
    const float *values = tensor->data;

    for (size_t done = 0; done < tensor->elements; done += CHUNK) {
        size_t count = tensor->elements - done < CHUNK ? tensor->elements - done : CHUNK;
        for (size_t i = 0; i < count; i++) {
            uint16_t half = half_from_float(values[done + i]);
            if ((half & 0x7C00) == 0x7C00)
                return fail(error, DN_E_NUMERIC, "tensor %s: %g is not a finite number as float16; save as float32",
                            tensor->name, (double)values[done + i]);
            writer->chunk[i] = half;
        }
        TRY(target->put(target, writer->chunk, count * sizeof *writer->chunk, error));
    }
    return DN_OK;
}

static dn_status put_data(st_writer *writer, sink *target, dn_error *error)
{
    for (size_t i = 0; i < writer->tensor_count; i++) {
        const entry *tensor = &writer->tensors[i];
        if (tensor->bytes == 0)
            continue;
        if (tensor->stored != tensor->type)
            TRY(put_narrowed(writer, tensor, target, error));
        else
            TRY(target->put(target, tensor->data, tensor->bytes, error));
    }
    return DN_OK;
}

/* ---- saving ---- */

dn_status st_writer_crc32(st_writer *writer, uint32_t *crc, dn_error *error)
{
    sink checksum = {.put = put_crc};

    *crc = 0;
    if (writer->status == DN_E_MEMORY)
        return fail_memory(error, "a file's header");
    if (writer->status != DN_OK)
        return fail(error, writer->status, "a tensor to be written has an impossible type or shape");
    if (writer->tensor_count > ST_MAX_TENSORS)
        return fail(error, DN_E_LIMIT, "more than %d tensors for one file", ST_MAX_TENSORS);
    if (writer->metadata_count > ST_MAX_METADATA - 2) /* the writer adds its own */
        return fail(error, DN_E_LIMIT, "more than %d metadata for one file", ST_MAX_METADATA - 2);
    TRY(put_data(writer, &checksum, error));
    *crc = checksum.crc;
    return DN_OK;
}

/* Everything but the data itself.  The data is read twice, so that its checksum can stand in front of it. */
static dn_status prepare(st_writer *writer, dn_blob **header, size_t *data_size, dn_error *error)
{
    uint32_t crc;

    *header = NULL;
    TRY(st_writer_crc32(writer, &crc, error));
    return make_header(writer, crc, header, data_size, error);
}

dn_status st_writer_save(st_writer *writer, const char *path, dn_error *error)
{
    sink target = {.put = put_file};
    dn_blob *header;
    size_t data_size;

    TRY(prepare(writer, &header, &data_size, error));
    file_remove_stale(path, &writer->allocator);
    dn_status status = file_writer_open(&target.file, path, &writer->allocator, error);
    if (status == DN_OK) {
        status = put_file(&target, header->data, header->size, error);
        if (status == DN_OK)
            status = put_data(writer, &target, error);
        if (status == DN_OK)
            status = file_writer_commit(&target.file, error);
        else
            file_writer_abort(&target.file);
    }
    blob_free(header);
    return status;
}

dn_status st_writer_save_memory(st_writer *writer, dn_blob **out, dn_error *error)
{
    sink target = {.put = put_blob};
    size_t data_size, total;

    *out = NULL;
    TRY(prepare(writer, &target.blob, &data_size, error));
    dn_status status = DN_OK;
    if (!size_add(target.blob->size, data_size, &total) || !blob_reserve(target.blob, total))
        status = fail_memory(error, "a file in memory");
    if (status == DN_OK)
        status = put_data(writer, &target, error);
    if (status != DN_OK) {
        blob_free(target.blob);
        return status;
    }
    *out = target.blob;
    return DN_OK;
}
