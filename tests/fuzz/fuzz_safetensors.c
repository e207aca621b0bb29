/* Fuzz target: the reader of lib/format.  Every header is parsed, every tensor of a valid file is read. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/safetensors.h"
#include "fuzz.h"

static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    st_file *file;
    dn_status status = st_parse(data, size, "input", allocator, &file, NULL);

    st_free(file);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error = {0};
    st_file *file;
    const st_entry *entry = NULL;
    const char *key, *value;
    size_t total = 0;

    dn_status status = st_parse(data, size, "input", &allocator, &file, &error);
    fuzz_fail_allocations(open_with, data, size, status);
    if (status != DN_OK) {
        fuzz_require(!file && error.status == status && error.message[0], "an error is described");
        return 0;
    }
    for (int32_t i = 0; i < st_count(file); i++) {
        const st_tensor *tensor = st_at(file, i);
        fuzz_require(tensor->data >= data && tensor->bytes <= size, "data lies in the file");
        fuzz_require(st_find(file, tensor->name) == tensor, "every tensor is found by its name");
        total += tensor->bytes;
        double *values = malloc((size_t)tensor->elements * sizeof *values + 1);
        fuzz_require(values != NULL, "memory");
        (void)st_read_f64(file, tensor, values, &error);
        (void)st_read_f32(file, tensor, (float *)(void *)values, &error);
        free(values);
    }
    fuzz_require(total < size, "tensors do not overlap");
    while ((entry = st_metadata_next(file, entry, &key, &value)))
        fuzz_require(st_metadata(file, key) == value, "metadata are found by their key");
    (void)st_data_crc32(file);
    st_free(file);
    return 0;
}

/* A header of one entry more than may be, in or outside its metadata. */
static uint8_t *too_many(const char *before, const char *entry, const char *behind, size_t *size)
{
    const size_t count = ST_MAX_TENSORS + 1, length = strlen(entry);
    char *header = malloc(count * length + 64), *to = header;

    fuzz_require(header != NULL && ST_MAX_TENSORS == ST_MAX_METADATA, "memory");
    to = stpcpy(to, before);
    for (size_t i = 0; i < count; i++)
        to = stpcpy(to, entry);
    strcpy(to - 1, behind); /* without the last comma */
    uint8_t *seed = fuzz_container(header, 0, size);
    free(header);
    return seed;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    static const char *const headers[] = {
        "{}",
        "{\"__metadata__\":{\"differnet.kind\":\"test\",\"a\":\"\\u00e9\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[24,26]},"
        "\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[26,26]},"
        "\"o\":{\"dtype\":\"BF16\",\"shape\":[1,1,1,1,1,1,1,3],\"data_offsets\":[26,32]}}",
    };
    static const size_t data_sizes[] = {0, 32};

    if (index == 2)
        return too_many("{", "\"\":0,", "}", size);
    if (index == 3)
        return too_many("{\"__metadata__\":{", "\"\":\"\",", "}}", size);
    return index < 2 ? fuzz_container(headers[index], data_sizes[index], size) : NULL;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    fuzz_repair_header(data, size);
}
