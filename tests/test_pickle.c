/* tools/convert: Python's pickles, opcode by opcode: what each makes, and where each limit is.  Nothing behind the bytes
 * can be read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/convert/pickle.h"
#include "support.h"

#define P(literal) literal, sizeof(literal) - 1

/* ---- reading ---- */

static arena memory;
static dn_error error;
static unpickler reader;
static char *shown;

/* A tuple of the id; an id None is refused. */
static value *keep_id(unpickler *self, const value *id)
{
    ck_assert_ptr_eq(self, &reader);
    if (id->kind == VALUE_NONE)
        return unpickle_refuse(self, DN_E_CANCELLED, "no id: %d", 7);
    value *made = unpickle_make(self, VALUE_TUPLE);
    return made && unpickle_append(self, made, (value *)(uintptr_t)id) ? made : NULL;
}

static void open_bytes(const void *bytes, size_t size, size_t limit)
{
    memory = (arena){.limit = limit};
    error = (dn_error){0};
    reader = (unpickler){.bytes = guarded_copy(bytes, size),
                         .size = size,
                         .label = "it",
                         .memory = &memory,
                         .error = &error,
                         .persistent = keep_id};
}

static void close_bytes(void)
{
    guarded_free(reader.bytes, reader.size);
    arena_free(&memory);
    ck_assert_uint_eq(memory.taken, 0);
    free(shown);
    shown = NULL;
}

static void show_text(FILE *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(out, bytes[i] > ' ' && bytes[i] <= '~' ? "%c" : "%02x", (unsigned char)bytes[i]);
}

static void show(FILE *out, const value *given)
{
    static const char ends[] = "()[]{}";
    int kind = given->kind == VALUE_TUPLE ? 0 : given->kind == VALUE_LIST ? 2 : 4;

    switch (given->kind) {
    case VALUE_NONE:
        fprintf(out, "None");
        break;
    case VALUE_BOOL:
        fprintf(out, "bool %" PRId64, given->integer);
        break;
    case VALUE_INTEGER:
        fprintf(out, "%" PRId64, given->integer);
        break;
    case VALUE_BIG:
        fprintf(out, "big ");
        show_text(out, given->text.bytes, given->text.size);
        break;
    case VALUE_REAL:
        fprintf(out, "real");
        break;
    case VALUE_TEXT:
        fprintf(out, "'");
        show_text(out, given->text.bytes, given->text.size);
        fprintf(out, "'");
        break;
    case VALUE_TUPLE:
    case VALUE_LIST:
    case VALUE_DICT:
        fprintf(out, "%c", ends[kind]);
        for (size_t i = 0; i < given->count; i++) {
            fprintf(out, "%s", i == 0 ? "" : kind == 4 && i % 2 == 1 ? ": " : ", ");
            show(out, given->items[i]);
        }
        fprintf(out, "%c", ends[kind + 1]);
        break;
    case VALUE_GLOBAL:
        fprintf(out, "%s.%s", given->global->module, given->global->name);
        break;
    case VALUE_STORAGE:
        fprintf(out, "%s '%.*s' %" PRId64 " from %" PRId64 ", %" PRId64, given->storage->type->name,
                (int)given->storage->key_size, given->storage->key, given->storage->elements,
                given->storage->view_offset, given->storage->view_elements);
        ck_assert_ptr_null(given->storage->data);
        break;
    case VALUE_TENSOR:
        fprintf(out, "%.*s+%" PRId64, (int)given->tensor->storage->key_size, given->tensor->storage->key,
                given->tensor->offset);
        for (int32_t i = 0; i < given->tensor->rank; i++)
            fprintf(out, " %" PRId64 "/%" PRId64, given->tensor->shape[i], given->tensor->stride[i]);
        break;
    }
}

/* The value as text, valid until close_bytes. */
static const char *text_of(const value *given)
{
    size_t size;

    free(shown);
    FILE *out = open_memstream(&shown, &size);

    ck_assert_ptr_nonnull(out);
    show(out, given);
    ck_assert_int_eq(fclose(out), 0);
    return shown;
}

#define ROOM ((size_t)64 << 20)

static void expect(const void *bytes, size_t size, const char *expected)
{
    open_bytes(bytes, size, ROOM);
    value *result = unpickle(&reader);
    ck_assert_msg(result != NULL, "%s: %s", expected, error.message);
    ck_assert_str_eq(text_of(result), expected);
    ck_assert_uint_eq(reader.at, size);
    close_bytes();
}

static void refuse(const void *bytes, size_t size, const char *message)
{
    open_bytes(bytes, size, ROOM);
    value *result = unpickle(&reader);
    ck_assert_msg(result == NULL, "%s: accepted", message);
    ck_assert_str_eq(error.message, message);
    ck_assert_int_eq(error.status, strstr(message, "do not need") ? DN_E_UNSUPPORTED : DN_E_FORMAT);
    close_bytes();
}

typedef struct pickle_case {
    const char *bytes;
    size_t size;
    const char *text;
} pickle_case;
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- values ---- */

/* clang-format off */
START_TEST(test_values)
{
    static const pickle_case cases[] = {
        {P("N."), "None"}, {P("\x88."), "bool 1"}, {P("\x89."), "bool 0"},
        {P("K\0."), "0"}, {P("K\xff."), "255"}, {P("M\1\2."), "513"}, {P("M\xfe\xff."), "65534"},
        {P("J\4\3\2\1."), "16909060"}, {P("J\xff\xff\xff\x7f."), "2147483647"}, {P("J\0\0\0\x80."), "-2147483648"},
        {P("J\xfe\xff\xff\xff."), "-2"},
        {P("\x8a\0."), "0"}, {P("\x8a\1\x7f."), "127"}, {P("\x8a\1\x80."), "-128"}, {P("\x8a\2\xff\x7f."), "32767"},
        {P("\x8a\2\0\x80."), "-32768"}, {P("\x8a\7\0\0\0\0\0\0\x80."), "-36028797018963968"},
        {P("\x8a\7\xff\xff\xff\xff\xff\xff\x7f."), "36028797018963967"},
        {P("\x8a\x08\2\1\0\0\0\0\0\0."), "258"}, {P("\x8a\x08\0\0\0\0\0\0\0\x80."), "-9223372036854775808"},
        {P("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), "9223372036854775807"},
        {P("\x8a\x09\1\0\0\0\0\0\0\0\0."), "big 010000000000000000"},
        {P("I0\n."), "0"}, {P("I7\n."), "7"}, {P("I019\n."), "19"}, {P("I-8\n."), "-8"},
        {P("I9223372036854775807\n."), "9223372036854775807"}, {P("I-9223372036854775807\n."), "-9223372036854775807"},
        {P("G12345678."), "real"},
        {P("X\3\0\0\0abc."), "'abc'"}, {P("X\0\0\0\0."), "''"}, {P("T\3\0\0\0abc."), "'abc'"},
        {P("\x8c\3" "abc."), "'abc'"}, {P("U\3abc."), "'abc'"}, {P("U\0."), "''"},
        {P(")."), "()"}, {P("]."), "[]"}, {P("}."), "{}"},
        {P("K\1\x85."), "(1)"}, {P("K\1K\2\x86."), "(1, 2)"}, {P("K\1K\2K\3\x87."), "(1, 2, 3)"},
        {P("(t."), "()"}, {P("(K\1K\2K\3K\4t."), "(1, 2, 3, 4)"}, {P("(K\5K\6(K\7tt."), "(5, 6, (7))"},
        {P("]K\1a."), "[1]"}, {P("]K\1aK\2a."), "[1, 2]"}, {P("](e."), "[]"}, {P("](K\1K\2e."), "[1, 2]"},
        {P("](K\1K\2eK\3a."), "[1, 2, 3]"}, {P("(](K\1et."), "([1])"},
        {P("}K\1K\2s."), "{1: 2}"}, {P("}(u."), "{}"}, {P("}(K\1K\2K\3K\4u."), "{1: 2, 3: 4}"},
        {P("}(K\1K\2uK\3K\4s."), "{1: 2, 3: 4}"}, {P("(}K\1K\2st."), "({1: 2})"},
        /* The memo: by index, and by the next free one. */
        {P("(K\7q\0h\0t."), "(7, 7)"}, {P("(K\7q\xffh\xfft."), "(7, 7)"}, {P("(K\7r\xff\xff\0\0j\xff\xff\0\0t."), "(7, 7)"},
        {P("(K\5q\0K\7r\0\1\0\0j\0\1\0\0h\0t."), "(5, 7, 7, 5)"}, {P("(K\5q\0K\7r\0\2\0\0j\0\2\0\0h\0t."), "(5, 7, 7, 5)"},
        {P("(K\7r\xff\xff\x0f\0j\xff\xff\x0f\0t."), "(7, 7)"}, {P("(K\7r\0\2\0\0K\6q\xffj\0\2\0\0h\xfft."), "(7, 6, 7, 6)"},
        {P("(K\5\x94K\6\x94h\0h\1t."), "(5, 6, 5, 6)"}, {P("(K\5q\3K\6\x94h\1t."), "(5, 6, 6)"},
        {P("(K\5q\3q\3K\6\x94h\1t."), "(5, 6, 6)"}, {P("(K\5q\0K\6q\0h\0t."), "(5, 6, 6)"},
        {P("ctorch\nFloatStorage\n."), "torch.Float"}, {P("U\5torchU\x0b" "FloatTensor\x93."), "torch.Float"},
        {P("ccollections\nOrderedDict\n)R."), "{}"}, {P("(ccollections\nOrderedDict\n)Rt."), "({})"},
        {P("(U\5torchU\x0b" "FloatTensor\x93t."), "(torch.Float)"},
        {P("}K\1K\2s}b."), "{1: 2}"}, {P("(}}bt."), "({})"},
        {P("K\5Q."), "(5)"}, {P("(K\5Qt."), "((5))"},
        {P("\x80\0N."), "None"}, {P("\x80\5N."), "None"}, {P("\x95\2\0\0\0\0\0\0\0N."), "None"},
        {P("\x95\0\0\0\0\0\0\0\0N."), "None"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].bytes, cases[i].size, cases[i].text);
}
END_TEST

START_TEST(test_refused)
{
#define CUT "the pickle is cut off"
#define FEW "the stack has too few values"
#define LINE "a line is cut off or too long"
#define DIGITS "a line that should be an integer is none"
#define MARK "there is no mark"
#define CALL "a call of what is no function"
#define BUILD "attributes for what is no ordered dictionary"
#define END "the pickle does not end with one value"
    static const pickle_case cases[] = {
        {P(""), "it, byte 0: " CUT}, {P("N"), "it, byte 1: " CUT}, {P("K"), "it, byte 0: " CUT},
        {P("NM\1"), "it, byte 1: " CUT}, {P("J\1\2\3"), "it, byte 0: " CUT}, {P("\x8a"), "it, byte 0: " CUT},
        {P("\x8a\3ab"), "it, byte 0: " CUT}, {P("\x8a\x08" "1234567"), "it, byte 0: " CUT},
        {P("\x8a\x09" "12345678"), "it, byte 0: " CUT}, {P("G1234567"), "it, byte 0: " CUT},
        {P("NX\3\0\0"), "it, byte 1: " CUT}, {P("X\4\0\0\0abc"), "it, byte 0: " CUT}, {P("U\4abc"), "it, byte 0: " CUT},
        {P("U"), "it, byte 0: " CUT}, {P("Nq"), "it, byte 1: " CUT}, {P("Nr\0\0\0"), "it, byte 1: " CUT},
        {P("h"), "it, byte 0: " CUT}, {P("j\0\0\0"), "it, byte 0: " CUT}, {P("\x80"), "it, byte 0: " CUT},
        {P("\x80\6N."), "it, byte 0: an unknown protocol of pickle"}, {P("\x95\2\0\0\0\0\0\0"), "it, byte 0: " CUT},
        {P("\x95\3\0\0\0\0\0\0\0N."), "it, byte 0: " CUT}, {P("NN\x95\x0d\0\0\0\0\0\0\0N."), "it, byte 2: " CUT},
        {P("I"), "it, byte 0: " LINE}, {P("I12"), "it, byte 0: " LINE}, {P("c"), "it, byte 0: " LINE},
        {P("ctorch\n"), "it, byte 0: " LINE}, {P("ctorch\nFloatStorage"), "it, byte 0: " LINE},
        {P("I\n."), "it, byte 0: " DIGITS}, {P("I-\n."), "it, byte 0: " DIGITS}, {P("I1/\n."), "it, byte 0: " DIGITS},
        {P("I:1\n."), "it, byte 0: " DIGITS}, {P("I1-\n."), "it, byte 0: " DIGITS}, {P("I--1\n."), "it, byte 0: " DIGITS},
        {P("I9223372036854775808\n."), "it, byte 0: " DIGITS}, {P("I92233720368547758070\n."), "it, byte 0: " DIGITS},
        {P("I-9223372036854775808\n."), "it, byte 0: " DIGITS},
        /* Too few values, on the whole stack and above the mark. */
        {P("\x85"), "it, byte 0: " FEW}, {P("N\x86"), "it, byte 1: " FEW}, {P("NN\x87"), "it, byte 2: " FEW},
        {P("N(\x85"), "it, byte 2: " FEW}, {P("N(N\x86"), "it, byte 3: " FEW}, {P("N(NN\x87"), "it, byte 4: " FEW},
        {P("a"), "it, byte 0: " FEW}, {P("]a"), "it, byte 1: " FEW}, {P("](a"), "it, byte 2: " FEW},
        {P("](Na"), "it, byte 3: " FEW}, {P("s"), "it, byte 0: " FEW}, {P("}Ns"), "it, byte 2: " FEW},
        {P("}}(Ns"), "it, byte 4: " FEW}, {P("}(NNs"), "it, byte 4: " FEW}, {P("}(s"), "it, byte 2: " FEW},
        {P("(e"), "it, byte 1: " FEW}, {P("](" "(Nee."), "it, byte 4: " FEW}, {P("(u"), "it, byte 1: " FEW},
        {P("}((NNuu."), "it, byte 5: " FEW},
        {P("q\0"), "it, byte 0: " FEW}, {P("N(q\0"), "it, byte 2: " FEW}, {P("\x94"), "it, byte 0: " FEW},
        {P("\x93"), "it, byte 0: " FEW}, {P("U\5torch\x93"), "it, byte 7: " FEW}, {P("U\5torch(N\x93"), "it, byte 9: " FEW},
        {P("R"), "it, byte 0: " FEW}, {P(")R"), "it, byte 1: " FEW}, {P("ccollections\nOrderedDict\n()R"), "it, byte 27: " FEW},
        {P("b"), "it, byte 0: " FEW}, {P("}b"), "it, byte 1: " FEW}, {P("}(}b"), "it, byte 3: " FEW},
        {P("Q"), "it, byte 0: " FEW}, {P("N(Q"), "it, byte 2: " FEW},
        {P("t"), "it, byte 0: " MARK}, {P("Nt"), "it, byte 1: " MARK}, {P("]e"), "it, byte 1: " MARK},
        {P("}u"), "it, byte 1: " MARK}, {P("(tt"), "it, byte 2: " MARK},
        {P("NNa"), "it, byte 2: items for what is no list"}, {P("}(Ne"), "it, byte 3: items for what is no list"},
        {P("NNNs"), "it, byte 3: items for what is no dictionary"}, {P("](NNu"), "it, byte 4: items for what is no dictionary"},
        {P("}(Nu"), "it, byte 3: items for what is no dictionary"}, {P("}(NNNu"), "it, byte 5: items for what is no dictionary"},
        {P("h\0"), "it, byte 0: the memo has no such entry"}, {P("Nq\1h\0"), "it, byte 3: the memo has no such entry"},
        {P("Nq\1h\2"), "it, byte 3: the memo has no such entry"}, {P("Nq\1h\xff"), "it, byte 3: the memo has no such entry"},
        {P("Nq\1j\0\1\0\0"), "it, byte 3: the memo has no such entry"},
        {P("Nq\1r\0\2\0\0j\xff\3\0\0"), "it, byte 8: the memo has no such entry"},
        {P("Nr\0\0\x10\0"), "it, byte 1: the memo grows too large"}, {P("Nr\0\0\0\x80"), "it, byte 1: the memo grows too large"},
        {P("NU\1a\x93"), "it, byte 4: a global's name is no text"}, {P("U\1aN\x93"), "it, byte 4: a global's name is no text"},
        {P("N)R"), "it, byte 2: " CALL}, {P("ccollections\nOrderedDict\n]R"), "it, byte 26: " CALL},
        {P("ctorch\nFloatStorage\n)R"), "it, byte 21: " CALL},
        {P("}Nb"), "it, byte 2: " BUILD}, {P("N}b"), "it, byte 2: " BUILD},
        {P("."), "it, byte 0: " END}, {P("NN."), "it, byte 2: " END}, {P("(."), "it, byte 1: " END}, {P("(N."), "it, byte 2: " END},
        {P("N(."), "it, byte 2: " END},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        refuse(cases[i].bytes, cases[i].size, cases[i].text);
}
END_TEST

/* The names of docs.python.org/3/library/pickletools. */
static const struct { uint8_t code; const char *name; } others[] = {
    {'0', "POP"}, {'1', "POP_MARK"}, {'2', "DUP"}, {'B', "BINBYTES"}, {'C', "SHORT_BINBYTES"}, {'F', "FLOAT"},
    {'L', "LONG"}, {'P', "PERSID"}, {'S', "STRING"}, {'V', "UNICODE"}, {'d', "DICT"}, {'l', "LIST"}, {'g', "GET"},
    {'p', "PUT"}, {'i', "INST"}, {'o', "OBJ"}, {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {0x82, "EXT1"}, {0x83, "EXT2"},
    {0x84, "EXT4"}, {0x8b, "LONG4"}, {0x8d, "BINUNICODE8"}, {0x8e, "BINBYTES8"}, {0x8f, "EMPTY_SET"}, {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"}, {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};
/* clang-format on */

START_TEST(test_other_opcodes)
{
    static const char known[] = "(.NKMJIGXTU)]}taesuqrhjcRbQ"
                                "\x80\x95\x88\x89\x8a\x8c\x85\x86\x87\x94\x93";
    size_t named = 0;

    for (int code = 0; code < 256; code++) {
        uint8_t bytes[] = {'N', (uint8_t)code, '.'};
        char message[200];
        if (code && strchr(known, code))
            continue;
        snprintf(message, sizeof message, "it, byte 1: 0x%02X is no opcode of a pickle", (unsigned)code);
        for (size_t i = 0; i < COUNT(others); i++)
            if (others[i].code == code) {
                snprintf(message, sizeof message,
                         "it, byte 1: opcode %s (0x%02X), which plain tensors do not need (nothing was executed); "
                         "save model.state_dict() alone",
                         others[i].name, (unsigned)code);
                named++;
            }
        refuse(bytes, sizeof bytes, message);
    }
    ck_assert_uint_eq(named, COUNT(others));
}
END_TEST

/* ---- limits ---- */

/* `count` times a byte, and what follows. */
static uint8_t *many(char byte, size_t count, const char *tail, size_t tail_size)
{
    uint8_t *bytes = malloc(count + tail_size);

    memset(bytes, byte, count);
    memcpy(bytes + count, tail, tail_size);
    return bytes;
}

START_TEST(test_high_stacks)
{
    const size_t limit = (size_t)1 << 20;
    uint8_t *values = many('N', limit + 1, ".", 1), *marks = many('(', limit + 1, ".", 1);

    refuse(values, limit + 1, "it, byte 1048576: the stack grows too high");
    memcpy(values + limit, ".", 1);
    refuse(values, limit + 1, "it, byte 1048576: the pickle does not end with one value");
    refuse(marks, limit + 1, "it, byte 1048576: too many marks");
    memcpy(marks + limit, ".", 1);
    refuse(marks, limit + 1, "it, byte 1048576: the pickle does not end with one value");
    free(values);
    free(marks);
}
END_TEST

/* A line has up to 255 characters. */
START_TEST(test_long_lines)
{
    static char line[600];
    const char *refused = "it, byte 0: a line is cut off or too long";

    snprintf(line, sizeof line, "I%0255d\n.", 12);
    expect(line, strlen(line), "12");
    snprintf(line, sizeof line, "I%0256d\n.", 12);
    refuse(line, strlen(line), refused);
    snprintf(line, sizeof line, "c%0256d\n%0255d\n.", 1, 1);
    refuse(line, strlen(line), refused);
    snprintf(line, sizeof line, "c%0255d\n%0256d\n.", 1, 1);
    refuse(line, strlen(line), refused);
}
END_TEST

START_TEST(test_unknown_names)
{
#define TAIL ", which plain tensors do not need (nothing was executed); save model.state_dict() alone"
    char line[200], message[252];

    refuse(P("cos\nsystem\n)R."), "it, byte 0: refers to os.system" TAIL);
    refuse(P("U\2osU\6system\x93)R."), "it, byte 12: refers to os.system" TAIL);
    refuse(P("cos\x1b\x7f~\nsys \n."), "it, byte 0: refers to os??~.sys " TAIL);
    /* 63 characters of each are shown, and 200 of the message. */
    snprintf(line, sizeof line, "c%063d\n%063d\n.", 1, 2);
    snprintf(message, sizeof message, "it, byte 0: %.200s",
             "refers to 000000000000000000000000000000000000000000000000000000000000001."
             "000000000000000000000000000000000000000000000000000000000000002" TAIL);
    refuse(line, strlen(line), message);
    snprintf(line, sizeof line, "c%064d\n%064d\n.", 1, 2);
    snprintf(message, sizeof message, "it, byte 0: %.200s",
             "refers to 000000000000000000000000000000000000000000000000000000000000000."
             "000000000000000000000000000000000000000000000000000000000000000" TAIL);
    refuse(line, strlen(line), message);
}
END_TEST

/* ---- several pickles, and what becomes of memory ---- */

START_TEST(test_one_after_the_other)
{
    open_bytes(P("K\1.K\5\x94h\0\x86.(NK\3."), ROOM);
    ck_assert_str_eq(text_of(unpickle(&reader)), "1");
    ck_assert_str_eq(text_of(unpickle(&reader)), "(5, 5)");
    ck_assert_ptr_null(unpickle(&reader));
    ck_assert_str_eq(error.message, "it, byte 14: the pickle does not end with one value");
    ck_assert_ptr_null(unpickle(&reader));
    ck_assert_str_eq(error.message, "it, byte 15: the pickle is cut off");
    /* One that was refused leaves nothing behind: neither values, nor marks, nor memo. */
    reader.at = 3;
    ck_assert_str_eq(text_of(unpickle(&reader)), "(5, 5)");
    close_bytes();
    open_bytes(P("N\x94N\x94(N!h\0.K\1\x94h\0\x86."), ROOM);
    ck_assert_ptr_null(unpickle(&reader));
    ck_assert_ptr_null(unpickle(&reader));
    ck_assert_str_eq(error.message, "it, byte 7: the memo has no such entry");
    reader.at = 10;
    ck_assert_str_eq(text_of(unpickle(&reader)), "(1, 1)");
    close_bytes();
}
END_TEST

START_TEST(test_persistent)
{
    open_bytes(P("NQ."), ROOM);
    ck_assert_ptr_null(unpickle(&reader));
    check_error(&error, DN_E_CANCELLED, "it, byte 1: no id: 7");
    close_bytes();
}
END_TEST

#define STORAGE                             \
    "(U\7storagectorch\nFloatStorage\nU\1k" \
    "U\3cpuK\x0ctQ"
#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE "K\2K\2K\3\x86K\3K\1\x86\x89}tR"

/* What the file's values take is bounded; whichever of them is one too many, that is told. */
START_TEST(test_memory_limit)
{
    static const char bytes[] = "}(U\1a](NNNNNNNNNNe}(NNNNu(NNNt" TENSOR "ccollections\nOrderedDict\n](NN\x86NN\x86"
                                "e\x85Ru.";
    size_t limit = 0, refused = 0;
    value *result = NULL;

    for (; !result; limit += 8) {
        open_bytes(bytes, sizeof bytes - 1, limit);
        reader.persistent = torch_storage_value;
        result = unpickle(&reader);
        ck_assert_uint_le(memory.taken, limit);
        if (!result) {
            refused++;
            ck_assert_msg(strstr(error.message, "too many") || strstr(error.message, "more objects"), "%s",
                          error.message);
            ck_assert_int_eq(error.status, DN_E_LIMIT);
        } else {
            ck_assert_uint_eq(memory.taken, limit);
        }
        close_bytes();
    }
    ck_assert_uint_gt(refused, 100);
}
END_TEST

static void read_and_refuse(void)
{
    static const char bytes[] = "Nq\0(t\x86.N(Nq\0q\xffN\x81";

    open_bytes(P(bytes), ROOM);
    unpickle(&reader);
    unpickle(&reader);
    close_bytes();
}

START_TEST(test_memory_is_given_back)
{
    ck_gives_back(read_and_refuse);
}
END_TEST

START_TEST(test_arena)
{
    arena small = {.limit = 96};

    ck_assert_ptr_null(arena_take(&small, 1, 96));
    ck_assert_ptr_null(arena_take(&small, 1, SIZE_MAX));
    ck_assert_ptr_null(arena_take(&small, 1, SIZE_MAX - 15));
    ck_assert_ptr_null(arena_take(&small, SIZE_MAX / 2 + 2, 2));
    ck_assert_uint_eq(small.taken, 0);
    ck_assert_ptr_nonnull(arena_take(&small, 1, 15));
    ck_assert_uint_eq(small.taken, 16);
    ck_assert_ptr_nonnull(arena_take(&small, 1, 0));
    ck_assert_uint_eq(small.taken, 32);
    ck_assert_ptr_nonnull(arena_take(&small, 4, 4));
    ck_assert_uint_eq(small.taken, 64);
    ck_assert_ptr_null(arena_take(&small, 2, 16));
    ck_assert_ptr_nonnull(arena_take(&small, 1, 31));
    ck_assert_uint_eq(small.taken, 96);
    ck_assert_ptr_null(arena_take(&small, 1, 0));
    ck_assert_ptr_null(arena_take(&small, 1, SIZE_MAX - 95));
    arena_free(&small);
    ck_assert_uint_eq(small.taken, 0);
    ck_assert_ptr_nonnull(arena_take(&small, 1, 95));
    arena_free(&small);
}
END_TEST

/* Small pieces, and some larger than what is asked of the system at once: zeroed, aligned, and none upon another. */
START_TEST(test_arena_pieces)
{
    enum { PIECES = 6000 };
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    arena large = {.limit = (size_t)64 << 20};

    for (size_t i = 0; i < PIECES; i++) {
        sizes[i] = i % 1000 == 999 ? 100000 : i % 50 * 20 + 1;
        pieces[i] = arena_take(&large, sizes[i], 1);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            if (pieces[i][k] != 0)
                ck_abort_msg("piece %zu is not zeroed", i);
        memset(pieces[i], (int)(i % 255 + 1), sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            if (pieces[i][k] != i % 255 + 1)
                ck_abort_msg("piece %zu lies upon another", i);
    arena_free(&large);
}
END_TEST

/* A list takes memory in proportion to its length, and keeps its order. */
START_TEST(test_long_lists)
{
    enum { LENGTH = 100000 };
    arena room = {.limit = LENGTH * 16 * 4};
    value *items = calloc(LENGTH, sizeof *items);
    value list = {.kind = VALUE_LIST};

    reader = (unpickler){.label = "it", .memory = &room, .error = &error};
    for (size_t i = 0; i < LENGTH; i++)
        ck_assert(unpickle_append(&reader, &list, &items[i]));
    ck_assert_uint_eq(list.count, LENGTH);
    for (size_t i = 0; i < LENGTH; i++)
        ck_assert_ptr_eq(list.items[i], &items[i]);
    arena_free(&room);
    free(items);
}
END_TEST

/* ---- texts and dictionaries ---- */

START_TEST(test_texts)
{
    static const text given = {"ab\0c", 4}, empty = {NULL, 0}, edges = {"\x1f ~\x7f\xff\x80", 6};
    static const value number = {.kind = VALUE_INTEGER}, word = {.kind = VALUE_TEXT, .text = {"word", 4}};
    char buffer[] = "........";

    ck_assert(!text_is(&given, "ab"));
    ck_assert(text_is(&(text){"abc", 2}, "ab") && !text_is(&(text){"abc", 2}, "abc") &&
              !text_is(&(text){"ax", 2}, "ab"));
    ck_assert(value_is_text(&word, "word") && !value_is_text(&word, "Word") && !value_is_text(&number, ""));
    ck_assert_str_eq(text_shown(&given, buffer, 5), "ab?c");
    ck_assert_mem_eq(buffer, "ab?c\0...", 8);
    ck_assert_str_eq(text_shown(&given, buffer, 4), "ab?");
    ck_assert_str_eq(text_shown(&given, buffer, 8), "ab?c");
    ck_assert_str_eq(text_shown(&edges, buffer, 8), "? ~???");
    ck_assert_str_eq(text_shown(&empty, buffer, 1), "");
}
END_TEST

START_TEST(test_dictionaries)
{
    open_bytes(P("}(U\1aK\1U\1bK\2U\1bK\3U\1cK\4K\5K\6U\1dU\1eu."), ROOM);
    const value *dict = unpickle(&reader);
    ck_assert_int_eq(dict_find(dict, "a")->integer, 1);
    ck_assert_int_eq(dict_find(dict, "b")->integer, 3);
    ck_assert_int_eq(dict_find(dict, "c")->integer, 4);
    ck_assert(value_is_text(dict_find(dict, "d"), "e"));
    ck_assert_ptr_null(dict_find(dict, "e"));
    ck_assert_ptr_null(dict_find(dict, ""));
    close_bytes();
    ck_assert_ptr_null(dict_find(&(value){.kind = VALUE_DICT}, "a"));
}
END_TEST

/* ---- PyTorch's globals ---- */

START_TEST(test_globals)
{
    static const struct {
        const char *name;
        enum element_type type;
        size_t size;
    } types[] = {{"Float", ELEMENT_F32, 4},   {"Half", ELEMENT_F16, 2},           {"BFloat16", ELEMENT_BF16, 2},
                 {"Double", ELEMENT_F64, 8},  {"Long", ELEMENT_OTHER, 8},         {"Int", ELEMENT_OTHER, 4},
                 {"Short", ELEMENT_OTHER, 2}, {"Char", ELEMENT_OTHER, 1},         {"Byte", ELEMENT_OTHER, 1},
                 {"Bool", ELEMENT_OTHER, 1},  {"ComplexFloat", ELEMENT_OTHER, 8}, {"ComplexDouble", ELEMENT_OTHER, 16}};
    static const char *const endings[] = {"Storage", "Tensor"}, *const modules[] = {"torch", "torch.cuda"},
                             *const absent[] = {
                                 "Float", "FloatStorag", "FloatStorages", "Storage", "XFloatTensor", "float", ""};

    for (size_t m = 0; m < COUNT(modules); m++) {
        text module = {modules[m], strlen(modules[m])};
        for (size_t i = 0; i < COUNT(types) * COUNT(endings); i++) {
            char name[40];
            int size = snprintf(name, sizeof name, "%s%s", types[i / 2].name, endings[i % 2]);
            const torch_global *global = torch_find_global(&module, &(text){name, (size_t)size});
            ck_assert_msg(global != NULL, "%s", name);
            ck_assert_int_eq(global->function, TORCH_TYPE);
            ck_assert_int_eq(global->element, types[i / 2].type);
            ck_assert_uint_eq(global->element_size, types[i / 2].size);
        }
        for (size_t i = 0; i < COUNT(absent); i++)
            ck_assert_ptr_null(torch_find_global(&module, &(text){absent[i], strlen(absent[i])}));
    }
    ck_assert_ptr_null(torch_find_global(&(text){"torc", 4}, &(text){"FloatStorage", 12}));
    ck_assert_ptr_null(torch_find_global(&(text){"torch", 5}, &(text){"_rebuild_tensor", 15}));
    ck_assert_ptr_null(torch_find_global(&(text){"torch._utils", 12}, &(text){"OrderedDict", 11}));
}
END_TEST

static void expect_objects(const void *bytes, size_t size, const char *expected)
{
    open_bytes(bytes, size, ROOM);
    reader.persistent = torch_storage_value;
    const value *made = unpickle(&reader);
    const char *got = made ? text_of(made) : strstr(error.message, ": ") + 2;
    ck_assert_msg(strcmp(got, expected) == 0, "%s, not %s", got, expected);
    ck_assert(made || error.status == (strstr(expected, "whole module") ? DN_E_UNSUPPORTED : DN_E_FORMAT));
    close_bytes();
}

/* clang-format off */
START_TEST(test_objects)
{
#define DICT "ccollections\nOrderedDict\n"
#define OLD "ctorch._utils\n_rebuild_tensor\n("
#define NEW "ctorch._utils\n_rebuild_tensor_v2\n("
#define PARAMETER "ctorch._utils\n_rebuild_parameter\n("
#define IN(kind, rest) "(U\7storagectorch\n" kind "Storage\nU\2k1U\3cpu" rest "tQ"
#define ONE IN("Half", "K\x0c")
#define WITHOUT "a tensor without storage and offset"
#define SIZES "a tensor whose sizes and strides are not up to 8 integers of 0 and above"
#define NONE "a persistent id that describes no storage"
#define VIEW "a view beyond its storage"
    static const pickle_case cases[] = {
        {P(DICT "](N\x88\x86](K\1K\2ee\x85R."), "{None: bool 1, 1: 2}"}, {P(DICT "]\x85R."), "{}"},
        {P(DICT "]]\x86R."), "an ordered dictionary of what is no list"},
        {P(DICT ")\x85R."), "an ordered dictionary of what is no list"},
        {P(DICT "]Na\x85R."), "an ordered dictionary of what are no pairs"},
        {P(DICT "]N\x85" "a\x85R."), "an ordered dictionary of what are no pairs"},
        {P(DICT "](NNNtae\x85R."), "there is no mark"},
        {P(DICT "]NNN\x87" "a\x85R."), "an ordered dictionary of what are no pairs"},
        {P(DICT "]}NNsa\x85R."), "an ordered dictionary of what are no pairs"},
        {P(ONE "."), "Half 'k1' 12 from 0, 12"}, {P(IN("Float", "K\0") "."), "Float 'k1' 0 from 0, 0"},
        {P(IN("Long", "K\x0cN") "."), "Long 'k1' 12 from 0, 12"},
        {P(IN("Long", "K\x0cU\1vK\3K\x09\x87") "."), "Long 'k1' 12 from 3, 9"},
        {P(IN("Long", "K\x0cNK\0K\0\x87") "."), "Long 'k1' 12 from 0, 0"},
        {P(IN("Long", "K\x0cNK\x0cK\0\x87") "."), "Long 'k1' 12 from 12, 0"},
        {P(IN("Long", "K\x0cNK\1K\2\x87") "."), "Long 'k1' 12 from 1, 2"},
        {P(IN("Long", "K\x0cNK\3K\x0a\x87") "."), VIEW}, {P(IN("Long", "K\x0cNK\x0dK\0\x87") "."), VIEW},
        {P(IN("Long", "K\x0cNI-1\nK\1\x87") "."), VIEW}, {P(IN("Long", "K\x0cNK\1I-1\n\x87") "."), VIEW},
        {P(IN("Long", "K\x0cK\1K\2\x86") "."), VIEW}, {P(IN("Long", "K\x0c(NK\1K\2Nt") "."), VIEW},
        {P(IN("Long", "K\x0cNNK\2\x87") "."), VIEW}, {P(IN("Long", "K\x0cNK\2N\x87") "."), VIEW},
        {P(IN("Long", "K\x0c](NK\1K\2e") "."), VIEW},
        {P(IN("Long", "") "."), NONE}, {P(IN("Long", "K\1NN") "."), NONE},
        {P(IN("Long", "I-1\n") "."), NONE}, {P(IN("Long", "N") "."), NONE},
        {P("NQ."), NONE}, {P(")Q."), NONE}, {P("U\6moduleQ."), NONE},
        {P("](U\6moduleeQ."), NONE},
        {P("U\6module\x85Q."), "a whole module was saved, which takes its code to read; save model.state_dict() alone"},
        {P("(U\7storageU\1tU\2k1U\3cpuK\1tQ."), NONE},
        {P("(U\7storagE" "ctorch\nIntTensor\nU\2k1U\3cpuK\1tQ."), NONE},
        {P("(U\7storageccollections\nOrderedDict\nU\2k1U\3cpuK\1tQ."), NONE},
        {P("(U\7storagectorch\nIntTensor\nNU\3cpuK\1tQ."), NONE},
        {P("](U\7storagectorch\nIntTensor\nU\2k1U\3cpuK\1eQ."), NONE},
        {P("(U\7storagectorch\nIntTensor\nU\2k1NK\1tQ."), "Int 'k1' 1 from 0, 1"},
        /* Tensors: four arguments, later six and seven. */
        {P(OLD ONE "K\2K\2K\3\x86K\3K\1\x86tR."), "k1+2 2/3 3/1"}, {P(OLD ONE "K\0))tR."), "k1+0"},
        {P(OLD ONE "K\2K\0\x85K\0\x85tR."), "k1+2 0/0"},
        {P(OLD ONE "K\2(K\1K\2K\3K\4K\5K\6K\7K\x08t(K\x08K\7K\6K\5K\4K\3K\2K\1ttR."), "k1+2 1/8 2/7 3/6 4/5 5/4 6/3 7/2 8/1"},
        {P(OLD ONE "K\2K\2\x85tR."), WITHOUT}, {P(OLD ONE "K\2K\2\x85K\1\x85NtR."), WITHOUT},
        {P(NEW ONE "K\2K\2\x85K\1\x85NNtR."), "k1+2 2/1"}, {P(NEW ONE "K\2K\2\x85K\1\x85NNNtR."), "k1+2 2/1"},
        {P(NEW ONE "K\2K\2\x85K\1\x85NtR."), WITHOUT}, {P(NEW ONE "K\2K\2\x85K\1\x85NNNNtR."), WITHOUT},
        {P(OLD "NK\2K\2\x85K\1\x85tR."), WITHOUT}, {P(OLD ONE "NK\2\x85K\1\x85tR."), WITHOUT},
        {P(OLD ONE "I-1\nK\2\x85K\1\x85tR."), WITHOUT}, {P(OLD "tR."), WITHOUT},
        {P(OLD ONE "K\2NK\1\x85tR."), SIZES}, {P(OLD ONE "K\2K\1\x85NtR."), SIZES},
        {P(OLD ONE "K\2](K\1eK\1\x85tR."), SIZES}, {P(OLD ONE "K\2K\1\x85)tR."), SIZES},
        {P(OLD ONE "K\2)K\1\x85tR."), SIZES}, {P(OLD ONE "K\2I-1\n\x85K\1\x85tR."), SIZES},
        {P(OLD ONE "K\2K\1\x85I-1\n\x85tR."), SIZES}, {P(OLD ONE "K\2N\x85K\1\x85tR."), SIZES},
        {P(OLD ONE "K\2(NNNNNNNNNt)tR."), SIZES},
        {P(OLD ONE "K\2(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1ttR."), SIZES},
        {P(PARAMETER OLD ONE "K\0))tRNNtR."), "k1+0"}, {P(PARAMETER OLD ONE "K\0))tRNtR."), "a parameter without a tensor"},
        {P(PARAMETER OLD ONE "K\0))tRNNNtR."), "a parameter without a tensor"},
        {P(PARAMETER "NNNtR."), "a parameter without a tensor"}, {P(PARAMETER "tR."), "a parameter without a tensor"},
        {P("ctorch\nByteTensor\n)R."), "a call of what is no function"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect_objects(cases[i].bytes, cases[i].size, cases[i].text);
}
END_TEST
/* clang-format on */

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pickle");
    TCase *values = tcase_create("values"), *limits = tcase_create("limits"), *objects = tcase_create("objects");

    tcase_add_test(values, test_values);
    tcase_add_test(values, test_refused);
    tcase_add_test(values, test_other_opcodes);
    tcase_add_test(values, test_unknown_names);
    tcase_add_test(values, test_one_after_the_other);
    tcase_add_test(values, test_persistent);
    tcase_add_test(limits, test_high_stacks);
    tcase_add_test(limits, test_long_lines);
    tcase_add_test(limits, test_memory_limit);
    tcase_add_test(limits, test_memory_is_given_back);
    tcase_add_test(limits, test_arena);
    tcase_add_test(limits, test_arena_pieces);
    tcase_add_test(limits, test_long_lists);
    tcase_add_test(objects, test_texts);
    tcase_add_test(objects, test_dictionaries);
    tcase_add_test(objects, test_globals);
    tcase_add_test(objects, test_objects);
    suite_add_tcase(suite, values);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, objects);
    return suite;
}

TEST_MAIN(make_suite)
