#include "differnet/model_notes.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

#define PREFIX "differnet.note."

/* UTF-8 that a terminal can be given: no control characters, nor those of C1 (C2 80 to C2 9F). */
static _Bool is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7F || (c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0))
            return 0;
    return json_is_utf8(text);
}

static dn_status check_note(const char *key, const char *value, dn_error *error)
{
    if (*key == '\0' || strlen(key) > DN_NOTE_KEY_BYTES)
        return fail(error, DN_E_ARGUMENT, "a note's key has %zu bytes, allowed are 1 to %d", strlen(key),
                    DN_NOTE_KEY_BYTES);
    if (!is_printable(key) || strchr(key, '='))
        return fail(error, DN_E_ARGUMENT, "a note's key must be printable UTF-8 without \"=\"");
    if (strlen(value) > DN_NOTE_VALUE_BYTES)
        return fail(error, DN_E_ARGUMENT, "the note %s has %zu bytes, allowed are %d", key, strlen(value),
                    DN_NOTE_VALUE_BYTES);
    if (!is_printable(value))
        return fail(error, DN_E_ARGUMENT, "the note %s is not printable UTF-8", key);
    return DN_OK;
}

static dn_status add_note(model_notes *notes, const dn_allocator *allocator, dn_error *error)
{
    if (notes->count == DN_NOTES)
        return fail(error, DN_E_ARGUMENT, "more than %d notes for one model", DN_NOTES);
    model_note *grown = mem_zalloc(allocator, (size_t)notes->count + 1, sizeof *grown);
    if (!grown)
        return fail_memory(error, "a note");
    if (notes->count > 0)
        memcpy(grown, notes->notes, (size_t)notes->count * sizeof *grown);
    mem_free(allocator, notes->notes);
    notes->notes = grown;
    notes->count++;
    return DN_OK;
}

dn_status model_notes_set(model_notes *notes, const char *key, const char *value, const dn_allocator *allocator,
                          dn_error *error)
{
    int32_t at = 0;

    TRY(check_note(key, value, error));
    while (at < notes->count && strcmp(notes->notes[at].key, key) != 0)
        at++;
    if (at == notes->count)
        TRY(add_note(notes, allocator, error));
    strcpy(notes->notes[at].key, key);
    strcpy(notes->notes[at].value, value);
    return DN_OK;
}

dn_status model_notes_copy(model_notes *to, const model_notes *from, const dn_allocator *allocator, dn_error *error)
{
    if (from->count == 0)
        return DN_OK;
    to->notes = mem_alloc(allocator, (size_t)from->count, sizeof *to->notes);
    if (!to->notes)
        return fail_memory(error, "the notes");
    memcpy(to->notes, from->notes, (size_t)from->count * sizeof *to->notes);
    to->count = from->count;
    return DN_OK;
}

void model_notes_release(model_notes *notes, const dn_allocator *allocator)
{
    mem_free(allocator, notes->notes);
    *notes = (model_notes){NULL, 0};
}

void model_notes_write(const model_notes *notes, st_writer *writer)
{
    char key[sizeof PREFIX + DN_NOTE_KEY_BYTES];

    for (int32_t i = 0; i < notes->count; i++) {
        snprintf(key, sizeof key, PREFIX "%s", notes->notes[i].key);
        st_writer_metadata(writer, key, notes->notes[i].value);
    }
}

dn_status model_notes_read(const st_file *file, model_notes *notes, const dn_allocator *allocator, dn_error *error)
{
    const st_entry *entry = NULL;
    const char *key, *value;
    dn_error problem;

    while ((entry = st_metadata_next(file, entry, &key, &value))) {
        if (strncmp(key, PREFIX, strlen(PREFIX)) != 0)
            continue;
        if (model_notes_set(notes, key + strlen(PREFIX), value, allocator, &problem) != DN_OK)
            return fail(error, problem.status == DN_E_ARGUMENT ? DN_E_FORMAT : problem.status, "%s: %s", st_label(file),
                        problem.message);
    }
    return DN_OK;
}
