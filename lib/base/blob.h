/* Bytes that grow: the files the library makes in memory.  The public handle dn_blob. */
#ifndef DN_BASE_BLOB_H
#define DN_BASE_BLOB_H

#include "differnet.h"

struct dn_blob {
    dn_allocator allocator;
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* An empty blob; NULL if memory is out. */
dn_blob *blob_create(const dn_allocator *allocator);
/* Makes room for `capacity` bytes in all: appending up to there cannot fail then.  False (the blob unchanged) if
 * memory is out. */
_Bool blob_reserve(dn_blob *blob, size_t capacity);
/* Appends; false (the blob unchanged) if memory is out. */
_Bool blob_append(dn_blob *blob, const void *bytes, size_t size);
void blob_free(dn_blob *blob);

#endif
