#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "pickle.h"

/* ---- memory ---- */

#define BLOCK_BYTES 65536
#define ALIGNMENT 16

typedef struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) uint8_t bytes[];
} arena_block;

void *arena_take(arena *memory, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, ALIGNMENT, &bytes))
        return NULL;
    bytes = bytes / ALIGNMENT * ALIGNMENT; /* also of nothing: a piece of its own */
    if (bytes > memory->limit - memory->taken)
        return NULL;
    memory->taken += bytes;
    arena_block *block = memory->blocks;
    if (!block || bytes > block->size - block->used) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = need_memory(1, sizeof *block + room);
        block->size = room;
        block->next = memory->blocks;
        memory->blocks = block;
    }
    void *taken = block->bytes + block->used;
    block->used += bytes;
    return taken;
}

void arena_free(arena *memory)
{
    while (memory->blocks) {
        arena_block *next = memory->blocks->next;
        free(memory->blocks);
        memory->blocks = next;
    }
    memory->taken = 0;
}

/* ---- values ---- */

bool text_is(const text *given, const char *string)
{
    return given->size == strlen(string) && memcmp(given->bytes, string, given->size) == 0;
}

bool value_is_text(const value *given, const char *string)
{
    return given->kind == VALUE_TEXT && text_is(&given->text, string);
}

value *dict_find(const value *dict, const char *key)
{
    for (size_t i = dict->count; i >= 2; i -= 2)
        if (value_is_text(dict->items[i - 2], key))
            return dict->items[i - 1];
    return NULL;
}

const char *text_shown(const text *given, char *buffer, size_t size)
{
    size_t length = given->size < size - 1 ? given->size : size - 1;

    for (size_t i = 0; i < length; i++)
        buffer[i] = given->bytes[i] >= ' ' && given->bytes[i] <= '~' ? given->bytes[i] : '?';
    buffer[length] = '\0';
    return buffer;
}

value *unpickle_make(unpickler *self, enum value_kind kind)
{
    value *made = arena_take(self->memory, 1, sizeof *made);

    if (!made)
        return unpickle_refuse(self, DN_E_LIMIT, "more objects than a checkpoint of tensors has");
    made->kind = kind;
    return made;
}

bool unpickle_append(unpickler *self, value *sequence, value *item)
{
    if (sequence->count == sequence->room) {
        size_t room = sequence->room ? 2 * sequence->room : 8;
        value **items = arena_take(self->memory, room, sizeof *items);
        if (!items) {
            unpickle_refuse(self, DN_E_LIMIT, "more objects than a checkpoint of tensors has");
            return false;
        }
        if (sequence->count > 0)
            memcpy(items, sequence->items, sequence->count * sizeof *items);
        sequence->items = items;
        sequence->room = room;
    }
    sequence->items[sequence->count++] = item;
    return true;
}
