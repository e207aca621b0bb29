/* Python pickles, read and not executed: an interpreter for the few opcodes that checkpoints of tensors need.  It
 * makes values of the kinds below and nothing else; every other opcode and every unknown global is refused. */
#ifndef DN_TOOLS_PICKLE_H
#define DN_TOOLS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "differnet.h"
#include "torch_objects.h"

/* ---- memory (pickle_value.c) ---- */

/* Zeroed memory that is freed at once.  What a file asks for in many small pieces is bounded by one limit. */
typedef struct arena {
    struct arena_block *blocks;
    size_t taken, limit; /* bytes */
} arena;

void *arena_take(arena *memory, size_t count, size_t size); /* NULL: beyond the limit */
void arena_free(arena *memory);

/* ---- values ---- */

/* Bytes of the file; no NUL behind them. */
typedef struct text {
    const char *bytes;
    size_t size;
} text;

enum value_kind {
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_BIG,  /* an integer beyond 64 bits: `text` has its little-endian bytes */
    VALUE_REAL, /* a float, whose value nobody asks for */
    VALUE_TEXT,
    VALUE_TUPLE,
    VALUE_LIST,
    VALUE_DICT,
    VALUE_GLOBAL,
    VALUE_STORAGE,
    VALUE_TENSOR
};

typedef struct value {
    enum value_kind kind;
    union {
        int64_t integer; /* VALUE_BOOL, VALUE_INTEGER */
        text text;
        struct {
            struct value **items; /* of a dictionary: key, value, key, value, ... */
            size_t count, room;
        };
        const torch_global *global;
        torch_storage *storage;
        torch_tensor *tensor;
    };
} value;

bool text_is(const text *given, const char *string);
bool value_is_text(const value *given, const char *string);
/* The value under a key; NULL: absent.  Of several the last, as in Python. */
value *dict_find(const value *dict, const char *key);

/* ---- reading (pickle.c) ---- */

typedef struct unpickler {
    const uint8_t *bytes;
    size_t size, at;   /* the next byte to read */
    const char *label; /* for messages: "data.pkl" */
    arena *memory;
    dn_error *error;
    /* Makes the value that a persistent id stands for; NULL: refused, with *error filled. */
    value *(*persistent)(struct unpickler *self, const value *id);
    void *context; /* of `persistent` */

    size_t opcode_at;
    bool stopped;
    value **stack;
    size_t depth, stack_room;
    size_t *marks; /* depths of the stack */
    size_t mark_count, mark_room;
    value **memo;
    size_t memo_count, memo_room;
} unpickler;

/* Reads one pickle from `at`, which is then behind its end.  NULL: refused, with *error filled. */
value *unpickle(unpickler *self);

/* ---- for those who make values ---- */

/* Fills *error with place and message; returns NULL. */
value *unpickle_refuse(unpickler *self, dn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* NULL: beyond the memory's limit, with *error filled. */
value *unpickle_make(unpickler *self, enum value_kind kind);
bool unpickle_append(unpickler *self, value *sequence, value *item);
/* Copies text for a message: cut to the buffer, with question marks for what a terminal might take as commands. */
const char *text_shown(const text *given, char *buffer, size_t size);

#endif
