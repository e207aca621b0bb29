#include "cnn/notes.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

/* Keys of a backbone's metadata that have a meaning of their own: docs/format.md. */
static _Bool is_note(const char *key)
{
    static const char *const taken[] = {"name",
                                        ST_KIND,
                                        "differnet.layers",
                                        "differnet.mean",
                                        "differnet.std",
                                        "differnet.random",
                                        "differnet.format",
                                        "differnet.crc32",
                                        ST_HEADER_SUM};

    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (!strcmp(key, taken[i]))
            return 0;
    return 1;
}

static const char *append(char **end, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*end, text, size);

    *end += size;
    return copy;
}

dn_status notes_read(const st_file *file, const dn_allocator *allocator, note **notes, int32_t *count, dn_error *error)
{
    const st_entry *entry = NULL;
    const char *key, *value;
    size_t texts = 0, found = 0; /* a header has at most ST_MAX_HEADER bytes: nothing here overflows */

    *notes = NULL;
    *count = 0;
    while ((entry = st_metadata_next(file, entry, &key, &value)))
        if (is_note(key)) {
            texts += strlen(key) + strlen(value) + 2;
            found++;
        }
    if (found == 0)
        return DN_OK;
    *notes = mem_alloc(allocator, 1, found * sizeof **notes + texts);
    if (!*notes)
        return fail_memory(error, "the backbone's metadata");
    char *end = (char *)(*notes + found);
    while ((entry = st_metadata_next(file, entry, &key, &value)))
        if (is_note(key)) {
            note *next = &(*notes)[(*count)++];
            next->key = append(&end, key);
            next->value = append(&end, value);
        }
    return DN_OK;
}
