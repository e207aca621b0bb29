#include "pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define MAX_STACK (1u << 20)
#define MAX_MEMO (1u << 20)
#define MAX_LINE 256 /* characters of a global's module or name, digits of an integer */

value *unpickle_refuse(unpickler *self, dn_status status, const char *format, ...)
{
    char message[sizeof self->error->message];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    self->error->status = status;
    snprintf(self->error->message, sizeof self->error->message, "%s, byte %zu: %.200s", self->label, self->opcode_at,
             message);
    return NULL;
}

static bool refuse_format(unpickler *self, const char *what)
{
    unpickle_refuse(self, DN_E_FORMAT, "%s", what);
    return false;
}

/* ---- bytes ---- */

/* The next n bytes; NULL: there are not as many. */
static const uint8_t *take(unpickler *self, size_t n)
{
    if (n > self->size - self->at) {
        unpickle_refuse(self, DN_E_FORMAT, "the pickle is cut off");
        return NULL;
    }
    const uint8_t *bytes = self->bytes + self->at;
    self->at += n;
    return bytes;
}

/* A little-endian number of 1 .. 8 bytes. */
static bool take_number(unpickler *self, int size, uint64_t *number)
{
    const uint8_t *bytes = take(self, (size_t)size);

    *number = 0;
    for (int i = 0; bytes && i < size; i++)
        *number |= (uint64_t)bytes[i] << 8 * i;
    return bytes != NULL;
}

/* Text up to the next line feed, which is skipped. */
static bool take_line(unpickler *self, text *line)
{
    size_t room = self->size - self->at;
    const uint8_t *start = self->bytes + self->at;
    const uint8_t *end = room ? memchr(start, '\n', room < MAX_LINE ? room : MAX_LINE) : NULL;

    if (!end)
        return refuse_format(self, "a line is cut off or too long");
    *line = (text){(const char *)start, (size_t)(end - start)};
    self->at += line->size + 1;
    return true;
}

/* ---- stack ---- */

static bool push(unpickler *self, value *item)
{
    if (!item)
        return false;
    if (self->depth == self->stack_room) {
        if (self->depth >= MAX_STACK)
            return refuse_format(self, "the stack grows too high");
        self->stack_room = self->stack_room ? 2 * self->stack_room : 256;
        self->stack = need_more_memory(self->stack, self->stack_room, sizeof *self->stack);
    }
    self->stack[self->depth++] = item;
    return true;
}

/* Whether n values lie above the last mark. */
static bool have(unpickler *self, size_t n)
{
    size_t floor = self->mark_count ? self->marks[self->mark_count - 1] : 0;

    return self->depth - floor >= n || refuse_format(self, "the stack has too few values");
}

static value *pop(unpickler *self)
{
    return have(self, 1) ? self->stack[--self->depth] : NULL;
}

/* Removes the last mark; the values above it are stack[*start .. depth - 1]. */
static bool pop_mark(unpickler *self, size_t *start)
{
    if (self->mark_count == 0)
        return refuse_format(self, "there is no mark");
    *start = self->marks[--self->mark_count];
    return true;
}

/* ---- simple values ---- */

static bool push_integer(unpickler *self, enum value_kind kind, int64_t integer)
{
    value *made = unpickle_make(self, kind);

    if (made)
        made->integer = integer;
    return push(self, made);
}

static bool push_text(unpickler *self, enum value_kind kind, uint64_t size)
{
    const uint8_t *bytes = take(self, size);
    value *made = bytes ? unpickle_make(self, kind) : NULL;

    if (made)
        made->text = (text){(const char *)bytes, (size_t)size};
    return push(self, made);
}

static bool run_none(unpickler *self, int argument)
{
    (void)argument;
    return push(self, unpickle_make(self, VALUE_NONE));
}

static bool run_bool(unpickler *self, int argument)
{
    return push_integer(self, VALUE_BOOL, argument);
}

/* argument: bytes of the integer; only that of 4 has a sign. */
static bool run_integer(unpickler *self, int argument)
{
    uint64_t number;

    if (!take_number(self, argument, &number))
        return false;
    return push_integer(self, VALUE_INTEGER, argument == 4 ? (int32_t)(uint32_t)number : (int64_t)number);
}

/* Two's complement of a length that is told in one byte. */
static bool run_long(unpickler *self, int argument)
{
    uint64_t size, number;

    (void)argument;
    if (!take_number(self, 1, &size))
        return false;
    if (size > 8)
        return push_text(self, VALUE_BIG, size);
    if (!take_number(self, (int)size, &number))
        return false;
    if (size > 0 && size < 8 && number >> (8 * size - 1))
        number |= ~(uint64_t)0 << 8 * size;
    return push_integer(self, VALUE_INTEGER, (int64_t)number);
}

/* Decimal digits in a line; Python 2 wrote integers above 32 bits so. */
static bool run_decimal(unpickler *self, int argument)
{
    text line;
    int64_t number = 0;

    (void)argument;
    if (!take_line(self, &line))
        return false;
    bool negative = line.size > 0 && line.bytes[0] == '-';
    bool good = line.size > negative;
    for (size_t i = negative; good && i < line.size; i++)
        good = line.bytes[i] >= '0' && line.bytes[i] <= '9' && !__builtin_mul_overflow(number, 10, &number) &&
               !__builtin_add_overflow(number, line.bytes[i] - '0', &number);
    if (!good)
        return refuse_format(self, "a line that should be an integer is none");
    return push_integer(self, VALUE_INTEGER, negative ? -number : number);
}

static bool run_real(unpickler *self, int argument)
{
    (void)argument;
    return take(self, 8) && push(self, unpickle_make(self, VALUE_REAL));
}

/* argument: bytes of the length. */
static bool run_text(unpickler *self, int argument)
{
    uint64_t size;

    return take_number(self, argument, &size) && push_text(self, VALUE_TEXT, size);
}

/* ---- containers ---- */

/* argument: VALUE_TUPLE, VALUE_LIST or VALUE_DICT. */
static bool run_empty(unpickler *self, int argument)
{
    return push(self, unpickle_make(self, (enum value_kind)argument));
}

static bool make_tuple(unpickler *self, size_t start)
{
    value *tuple = unpickle_make(self, VALUE_TUPLE);

    for (size_t i = start; tuple && i < self->depth; i++)
        if (!unpickle_append(self, tuple, self->stack[i]))
            return false;
    self->depth = start;
    return push(self, tuple);
}

/* argument: number of values; 0: those above the mark. */
static bool run_tuple(unpickler *self, int argument)
{
    size_t start;

    if (argument == 0)
        return pop_mark(self, &start) && make_tuple(self, start);
    return have(self, (size_t)argument) && make_tuple(self, self->depth - (size_t)argument);
}

/* Moves stack[start ..] into the list or dictionary below it. */
static bool fill(unpickler *self, size_t start, enum value_kind kind)
{
    size_t count = self->depth - start;
    value *target = NULL;

    self->depth = start;
    if (!have(self, 1))
        return false;
    target = self->stack[start - 1];
    if (target->kind != kind || (kind == VALUE_DICT && count % 2 != 0))
        return refuse_format(self,
                             kind == VALUE_DICT ? "items for what is no dictionary" : "items for what is no list");
    for (size_t i = 0; i < count; i++)
        if (!unpickle_append(self, target, self->stack[start + i]))
            return false;
    return true;
}

/* argument: VALUE_LIST or VALUE_DICT. */
static bool run_add(unpickler *self, int argument)
{
    size_t count = argument == VALUE_DICT ? 2 : 1;

    return have(self, count + 1) && fill(self, self->depth - count, (enum value_kind)argument);
}

static bool run_add_marked(unpickler *self, int argument)
{
    size_t start;

    return pop_mark(self, &start) && fill(self, start, (enum value_kind)argument);
}

/* ---- memo ---- */

static bool remember(unpickler *self, uint64_t index)
{
    if (!have(self, 1))
        return false;
    if (index >= MAX_MEMO)
        return refuse_format(self, "the memo grows too large");
    if (index >= self->memo_room) {
        size_t room = self->memo_room ? 2 * self->memo_room : 256;
        while (room <= index)
            room *= 2;
        self->memo = need_more_memory(self->memo, room, sizeof *self->memo);
        memset(self->memo + self->memo_room, 0, (room - self->memo_room) * sizeof *self->memo);
        self->memo_room = room;
    }
    self->memo_count += self->memo[index] == NULL;
    self->memo[index] = self->stack[self->depth - 1];
    return true;
}

/* argument: bytes of the index; 0: the next free one. */
static bool run_put(unpickler *self, int argument)
{
    uint64_t index = self->memo_count;

    return (argument == 0 || take_number(self, argument, &index)) && remember(self, index);
}

static bool run_get(unpickler *self, int argument)
{
    uint64_t index;

    if (!take_number(self, argument, &index))
        return false;
    if (index >= self->memo_room || !self->memo[index])
        return refuse_format(self, "the memo has no such entry");
    return push(self, self->memo[index]);
}

/* ---- globals and what is made of them ---- */

static bool push_global(unpickler *self, const text *module, const text *name)
{
    char shown_module[64], shown_name[64];
    const torch_global *global = torch_find_global(module, name);
    value *made = global ? unpickle_make(self, VALUE_GLOBAL) : NULL;

    if (!global)
        unpickle_refuse(self, DN_E_UNSUPPORTED,
                        "refers to %s.%s, which plain tensors do not need (nothing was "
                        "executed); save model.state_dict() alone",
                        text_shown(module, shown_module, 64), text_shown(name, shown_name, 64));
    if (made)
        made->global = global;
    return push(self, made);
}

static bool run_global(unpickler *self, int argument)
{
    text module, name;

    (void)argument;
    return take_line(self, &module) && take_line(self, &name) && push_global(self, &module, &name);
}

static bool run_stack_global(unpickler *self, int argument)
{
    (void)argument;
    if (!have(self, 2))
        return false;
    const value *name = pop(self), *module = pop(self);
    if (module->kind != VALUE_TEXT || name->kind != VALUE_TEXT)
        return refuse_format(self, "a global's name is no text");
    return push_global(self, &module->text, &name->text);
}

static bool run_reduce(unpickler *self, int argument)
{
    (void)argument;
    if (!have(self, 2))
        return false;
    const value *arguments = pop(self), *function = pop(self);
    if (function->kind != VALUE_GLOBAL || arguments->kind != VALUE_TUPLE)
        return refuse_format(self, "a call of what is no function");
    return push(self, torch_call(self, function->global, arguments));
}

/* Attributes of an ordered dictionary (a state_dict's _metadata): nothing that is needed. */
static bool run_build(unpickler *self, int argument)
{
    (void)argument;
    if (!have(self, 2))
        return false;
    const value *state = pop(self);
    if (state->kind != VALUE_DICT || self->stack[self->depth - 1]->kind != VALUE_DICT)
        return refuse_format(self, "attributes for what is no ordered dictionary");
    return true;
}

static bool run_persistent(unpickler *self, int argument)
{
    const value *id = pop(self);

    (void)argument;
    return id && push(self, self->persistent(self, id));
}

/* ---- the rest ---- */

static bool run_protocol(unpickler *self, int argument)
{
    uint64_t version;

    (void)argument;
    if (!take_number(self, 1, &version))
        return false;
    return version <= 5 || refuse_format(self, "an unknown protocol of pickle");
}

static bool run_frame(unpickler *self, int argument)
{
    uint64_t size;

    (void)argument;
    if (!take_number(self, 8, &size))
        return false;
    return size <= self->size - self->at || refuse_format(self, "the pickle is cut off");
}

static bool run_mark(unpickler *self, int argument)
{
    (void)argument;
    if (self->mark_count == self->mark_room) {
        if (self->mark_count >= MAX_STACK)
            return refuse_format(self, "too many marks");
        self->mark_room = self->mark_room ? 2 * self->mark_room : 64;
        self->marks = need_more_memory(self->marks, self->mark_room, sizeof *self->marks);
    }
    self->marks[self->mark_count++] = self->depth;
    return true;
}

static bool run_stop(unpickler *self, int argument)
{
    (void)argument;
    self->stopped = true;
    return true;
}

/* clang-format off */
static const struct opcode {
    uint8_t code;
    bool (*run)(unpickler *self, int argument);
    int argument;
} opcodes[] = {
    {0x80 /* PROTO */, run_protocol, 0}, {0x95 /* FRAME */, run_frame, 0}, {'(' /* MARK */, run_mark, 0},
    {'.' /* STOP */, run_stop, 0}, {'N' /* NONE */, run_none, 0}, {0x88 /* NEWTRUE */, run_bool, 1},
    {0x89 /* NEWFALSE */, run_bool, 0}, {'K' /* BININT1 */, run_integer, 1}, {'M' /* BININT2 */, run_integer, 2},
    {'J' /* BININT */, run_integer, 4}, {0x8A /* LONG1 */, run_long, 0}, {'I' /* INT */, run_decimal, 0},
    {'G' /* BINFLOAT */, run_real, 0}, {'X' /* BINUNICODE */, run_text, 4}, {0x8C /* SHORT_BINUNICODE */, run_text, 1},
    {'T' /* BINSTRING */, run_text, 4}, {'U' /* SHORT_BINSTRING */, run_text, 1},
    {')' /* EMPTY_TUPLE */, run_empty, VALUE_TUPLE}, {']' /* EMPTY_LIST */, run_empty, VALUE_LIST},
    {'}' /* EMPTY_DICT */, run_empty, VALUE_DICT}, {0x85 /* TUPLE1 */, run_tuple, 1}, {0x86 /* TUPLE2 */, run_tuple, 2},
    {0x87 /* TUPLE3 */, run_tuple, 3}, {'t' /* TUPLE */, run_tuple, 0}, {'a' /* APPEND */, run_add, VALUE_LIST},
    {'e' /* APPENDS */, run_add_marked, VALUE_LIST}, {'s' /* SETITEM */, run_add, VALUE_DICT},
    {'u' /* SETITEMS */, run_add_marked, VALUE_DICT}, {'q' /* BINPUT */, run_put, 1}, {'r' /* LONG_BINPUT */, run_put, 4},
    {0x94 /* MEMOIZE */, run_put, 0}, {'h' /* BINGET */, run_get, 1}, {'j' /* LONG_BINGET */, run_get, 4},
    {'c' /* GLOBAL */, run_global, 0}, {0x93 /* STACK_GLOBAL */, run_stack_global, 0}, {'R' /* REDUCE */, run_reduce, 0},
    {'b' /* BUILD */, run_build, 0}, {'Q' /* BINPERSID */, run_persistent, 0},
};

/* Known by name, to say what is refused. */
static const struct refused_opcode {
    uint8_t code;
    const char *name;
} refused_opcodes[] = {
    {'0', "POP"}, {'1', "POP_MARK"}, {'2', "DUP"}, {'B', "BINBYTES"}, {'C', "SHORT_BINBYTES"}, {'F', "FLOAT"},
    {'L', "LONG"}, {'P', "PERSID"}, {'S', "STRING"}, {'V', "UNICODE"}, {'d', "DICT"}, {'l', "LIST"}, {'g', "GET"},
    {'p', "PUT"}, {'i', "INST"}, {'o', "OBJ"}, {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {0x82, "EXT1"}, {0x83, "EXT2"},
    {0x84, "EXT4"}, {0x8B, "LONG4"}, {0x8D, "BINUNICODE8"}, {0x8E, "BINBYTES8"}, {0x8F, "EMPTY_SET"},
    {0x90, "ADDITEMS"}, {0x91, "FROZENSET"}, {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};
/* clang-format on */
#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool refuse_opcode(unpickler *self, uint8_t code)
{
    for (size_t i = 0; i < COUNT(refused_opcodes); i++)
        if (refused_opcodes[i].code == code) {
            unpickle_refuse(self, DN_E_UNSUPPORTED,
                            "opcode %s (0x%02X), which plain tensors do not need (nothing was "
                            "executed); save model.state_dict() alone",
                            refused_opcodes[i].name, code);
            return false;
        }
    unpickle_refuse(self, DN_E_FORMAT, "0x%02X is no opcode of a pickle", code);
    return false;
}

static bool step(unpickler *self)
{
    self->opcode_at = self->at;
    const uint8_t *code = take(self, 1);

    if (!code)
        return false;
    for (size_t i = 0; i < COUNT(opcodes); i++)
        if (opcodes[i].code == *code)
            return opcodes[i].run(self, opcodes[i].argument);
    return refuse_opcode(self, *code);
}

value *unpickle(unpickler *self)
{
    value *result = NULL;
    bool good = true;

    self->stopped = false;
    self->depth = self->mark_count = self->memo_count = 0;
    while (good && !self->stopped)
        good = step(self);
    if (good && (self->depth != 1 || self->mark_count != 0))
        refuse_format(self, "the pickle does not end with one value");
    else if (good)
        result = self->stack[0];
    free(self->stack);
    free(self->marks);
    free(self->memo);
    self->stack = self->memo = NULL;
    self->marks = NULL;
    self->stack_room = self->mark_room = self->memo_room = 0;
    return result;
}
