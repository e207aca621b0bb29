#include "base/blob.h"

#include <string.h>

#include "base/memory.h"

dn_blob *blob_create(const dn_allocator *allocator)
{
    dn_blob *blob = mem_zalloc(allocator, 1, sizeof *blob);

    if (blob)
        blob->allocator = *allocator;
    return blob;
}

_Bool blob_reserve(dn_blob *blob, size_t capacity)
{
    if (capacity <= blob->capacity)
        return 1;
    size_t grown = blob->capacity < SIZE_MAX / 2 ? blob->capacity * 2 : capacity;
    if (grown < capacity)
        grown = capacity;
    uint8_t *data = mem_alloc(&blob->allocator, grown, 1);
    if (!data)
        return 0;
    if (blob->size > 0)
        memcpy(data, blob->data, blob->size);
    mem_free(&blob->allocator, blob->data);
    blob->data = data;
    blob->capacity = grown;
    return 1;
}

_Bool blob_append(dn_blob *blob, const void *bytes, size_t size)
{
    size_t total;

    if (size == 0)
        return 1;
    if (!size_add(blob->size, size, &total) || !blob_reserve(blob, total))
        return 0;
    memcpy(blob->data + blob->size, bytes, size);
    blob->size = total;
    return 1;
}

void blob_free(dn_blob *blob)
{
    if (!blob)
        return;
    dn_allocator allocator = blob->allocator;
    mem_free(&allocator, blob->data);
    mem_free(&allocator, blob);
}
