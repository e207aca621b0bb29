/* What a backbone's file tells about itself beyond what the library uses: how it was trained, its licence, ... */
#ifndef DN_CNN_NOTES_H
#define DN_CNN_NOTES_H

#include "format/safetensors.h"

typedef struct note {
    const char *key, *value;
} note;

/* Copies the file's metadata, in its order, but for the keys that read_metadata and others take ("name",
 * "differnet.kind" ...).  *notes: one block with all texts, NULL if there are none (mem_free). */
dn_status notes_read(const st_file *file, const dn_allocator *allocator, note **notes, int32_t *count, dn_error *error);

#endif
