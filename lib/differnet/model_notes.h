/* What the user wrote into a model about itself: part, camera, operator.  In files: metadata "differnet.note.KEY". */
#ifndef DN_DIFFERNET_MODEL_NOTES_H
#define DN_DIFFERNET_MODEL_NOTES_H

#include "format/safetensors.h"

typedef struct model_note {
    char key[DN_NOTE_KEY_BYTES + 1];
    char value[DN_NOTE_VALUE_BYTES + 1];
} model_note;

/* Starts as {0}; the allocator is the owner's, the same for all calls. */
typedef struct model_notes {
    model_note *notes; /* (count) in the order they were first set */
    int32_t count;
} model_notes;

/* Sets a note; one of the same key is replaced.  DN_E_ARGUMENT: too long, too many, not printable UTF-8. */
dn_status model_notes_set(model_notes *notes, const char *key, const char *value, const dn_allocator *allocator,
                          dn_error *error);
dn_status model_notes_copy(model_notes *to, const model_notes *from, const dn_allocator *allocator, dn_error *error);
void model_notes_release(model_notes *notes, const dn_allocator *allocator);

void model_notes_write(const model_notes *notes, st_writer *writer);
/* DN_E_FORMAT where model_notes_set would refuse. */
dn_status model_notes_read(const st_file *file, model_notes *notes, const dn_allocator *allocator, dn_error *error);

#endif
