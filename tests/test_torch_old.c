/* tools/convert: what torch.save wrote before PyTorch 1.6, and before 0.1.10. */
#include "weights.h"

/* ---- the format before PyTorch 1.6 ---- */

#define MAGIC "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\2M\xe9\3."
#define MACHINE "\x80\2}U\x0dlittle_endian\x88s."
#define KEYS                     \
    "\x80\2](U\2\x31\x30U\1\x31" \
    "e."

static void make_legacy(const char *head, size_t head_size, const char *state, size_t state_size, const char *keys,
                        size_t keys_size)
{
    made_size = 0;
    put(head, head_size);
    put(state, state_size);
    put(keys, keys_size);
    put_number(6, 8);
    put(weights, 24);
    put_number(2, 8);
    put(biases, 8);
}

START_TEST(test_legacy)
{
    static const char *const size_differs = "a storage whose size differs from what the pickle says";
    char message[252];

    make_legacy(P(MAGIC VERSION MACHINE), P(STATE), P(KEYS));
    expect("torch-legacy: " READ);
    refuse_cuts(made_size);
    /* The counts before the storages; what the message counts is where the reader is. */
    size_t storages = made_size - 48, second = made_size - 16;
#define AT(place, what) (snprintf(message, sizeof message, "byte %zu: %s", (size_t)(place), what), message)
    spoil(storages, 5, 8, AT(storages + 8, size_differs));
    spoil(storages, 7, 8, AT(storages + 8, size_differs));
    spoil(storages, 10, 8, AT(storages + 8, size_differs));
    spoil(storages, 11, 8, AT(storages + 8, "the storages are cut off"));
    spoil(storages, (uint64_t)1 << 62, 8, AT(storages + 8, "the storages are cut off"));
    spoil(storages, UINT64_MAX, 8, AT(storages + 8, "the storages are cut off"));
    spoil(second, 3, 8, AT(second + 8, "the storages are cut off"));
    spoil(second, 1, 8, AT(second + 8, size_differs));
    made_size -= 9;
    refuse(DN_E_FORMAT, AT(second, "the storages are cut off"));
    /* The keys. */
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE),
                P("\x80\2](U\2\x31\x30U\1\x32"
                  "e."));
    refuse(DN_E_FORMAT, AT(second, "a storage that no tensor uses"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE), P("\x80\2](U\2\x31\x30U\0e."));
    refuse(DN_E_FORMAT, AT(second - 1, "a storage that no tensor uses"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE),
                P("\x80\2](U\2\x31\x30U\3\x31\x30\x30"
                  "e."));
    refuse(DN_E_FORMAT, AT(second + 2, "a storage that no tensor uses"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE), P("\x80\2](U\2\x31\x30Ne."));
    refuse(DN_E_FORMAT, AT(second - 2, "the key of a storage is no text"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE),
                P("\x80\2]U\2\x31\x30"
                  "a."));
    refuse(DN_E_FORMAT, AT(storages - 4 + 32, "a storage is missing"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE), P("\x80\2)."));
    refuse(DN_E_FORMAT, AT(storages - 9, "the keys of the storages are no list"));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE),
                P("\x80\2](U\2\x31\x30U\2\x31\x30"
                  "e."));
    made_size -= 16;
    put_number(6, 8);
    put(weights, 24);
    refuse(DN_E_FORMAT, AT(made_size - 24, size_differs));
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE),
                P("\x80\2]U\1\x31"
                  "a."));
    patch(made_size - 48, 2, 8);
    refuse(DN_E_FORMAT, AT(made_size - 40 + 8, "a storage is missing"));
    /* A second description of a storage, of as many elements of another size. */
    make_legacy(P(MAGIC VERSION MACHINE),
                P("\x80\2}(U\1w" W "U\1\x62" TENSOR
                  "(U\7storagectorch\nHalfStorage\nU\2\x31\x30U\3cpuK\6tQK\0K\2\x85K\1\x85" HOOKS "u."),
                P("\x80\2]U\2\x31\x30"
                  "a."));
    refuse(DN_E_FORMAT, AT(made_size - 40, size_differs));
    make_legacy(P(MAGIC VERSION MACHINE), P("\x80\2}U\1wNQs."), P(KEYS));
    refuse(DN_E_FORMAT, "pickle, byte 49: a persistent id that describes no storage");
    /* Without any. */
    made_size = 0;
    put(P(MAGIC VERSION MACHINE "\x80\2}."
                                "\x80\2]."));
    refuse(DN_E_UNSUPPORTED,
           "holds no tensors, neither itself nor under \"state_dict\", \"model_state_dict\" or \"model\"; save "
           "model.state_dict()");
    made_size = 0;
    put(P(MAGIC VERSION MACHINE
          "\x80\2}U\1wctorch._utils\n_rebuild_tensor\n(" FLOATS("U\1\x31", "K\0") "K\0K\0\x85K\1\x85tRs.\x80\2]U\1\x31"
                                                                                  "a."));
    refuse(DN_E_FORMAT, AT(made_size, "the storages are cut off"));
    put_number(0, 8);
    expect("torch-legacy: [w f32 0/1 =]");
}
END_TEST

START_TEST(test_legacy_heads)
{
    const char *number = "is a pickle, but not one of torch.save: it does not begin with PyTorch's number";
    const char *little = "its numbers are not little-endian";
    static const struct {
        const char *head;
        size_t size, version; /* where its version ends; 0: another message */
    } wrong[] = {
        {P("\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18." VERSION MACHINE), 0},
        {P("\x80\2\x8a\x0b\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\0." VERSION MACHINE), 0},
        {P("\x80\2U\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." VERSION MACHINE), 0},
        {P("\x80\2M\xe9\3." VERSION MACHINE), 0},
        {P("\x80\2\x81"), 0},
        {P(MAGIC "\x80\2M\xea\3." MACHINE), 21},
        {P(MAGIC "\x80\2M\xe8\3." MACHINE), 21},
        {P(MAGIC "\x80\2\x88." MACHINE), 19},
        {P(MAGIC "\x80\2U\1x." MACHINE), 21},
        {P(MAGIC "\x80\2\x81." MACHINE), 18},
    };
    static const struct {
        const char *machine;
        size_t size;
        bool good;
    } machines[] = {
        {P("\x80\2}U\x0dlittle_endian\x89s."), false},
        {P("\x80\2}U\x0dlittle_endianK\1s."), false},
        {P("\x80\2}."), false},
        {P("\x80\2](U\x0dlittle_endian\x88"
           "e."),
         false},
        {P("\x80\2}U\x0dlittle_endiaN\x88s."), false},
        {P("\x80\2}(U\x0dlittle_endian\x88U\1x\x89u."), true},
        {P("\x80\2}(U\x0dlittle_endian\x89U\x0dlittle_endian\x88u."), true},
    };
    char message[252];

    for (size_t i = 0; i < COUNT(wrong); i++) {
        make_legacy(wrong[i].head, wrong[i].size, P(STATE), P(KEYS));
        snprintf(message, sizeof message, "byte %zu: the checkpoint's version is not 1001", wrong[i].version);
        refuse(DN_E_FORMAT, wrong[i].version ? message : number);
    }
    for (size_t i = 0; i < COUNT(machines); i++) {
        made_size = 0;
        put(P(MAGIC VERSION));
        put(machines[i].machine, machines[i].size);
        uint8_t head[200];
        size_t size = made_size;
        memcpy(head, made, size);
        make_legacy((const char *)head, size, P(STATE), P(KEYS));
        if (machines[i].good)
            expect("torch-legacy: " READ);
        else
            refuse(DN_E_UNSUPPORTED, little);
    }
    make_legacy(P(MAGIC VERSION "\x80\2\x81."), P(STATE), P(KEYS));
    refuse(DN_E_UNSUPPORTED,
           "pickle, byte 23: opcode NEWOBJ (0x81), which plain tensors do not need (nothing was executed); save "
           "model.state_dict() alone");
}
END_TEST

/* Many storages, each described twice, whose keys begin with each other. */
START_TEST(test_legacy_many)
{
    enum { STORAGES = 300 };
    char key[20];

    made_size = 0;
    put(P(MAGIC VERSION MACHINE "\x80\2}("));
    for (int i = 0; i < 2 * STORAGES; i++) {
        int size = snprintf(key, sizeof key, "%d", i * 7 % STORAGES);
        put(P("U\3"));
        snprintf(key + 10, 10, "%c%c%c", i < STORAGES ? 'a' : 'b', 'a' + i % STORAGES / 20, 'a' + i % 20);
        put(key + 10, 3);
        put(P(TENSOR "(U\7storagectorch\nFloatStorage\nU"));
        put_number((uint64_t)size, 1);
        put(key, (size_t)size);
        put(P("U\3cpuK\2"));
        put(i < STORAGES ? "N" : "U\1vK\1K\1\x87", i < STORAGES ? 1 : 8);
        put(P("tQK\0K\1\x85K\1\x85" HOOKS));
    }
    put(P("u.\x80\2]("));
    for (int i = 0; i < STORAGES; i++) {
        int size = snprintf(key, sizeof key, "%d", i);
        put("U", 1);
        put_number((uint64_t)size, 1);
        put(key, (size_t)size);
    }
    put(P("e."));
    for (int i = 0; i < STORAGES; i++) {
        put_number(2, 8);
        put(&(float){(float)i}, 4);
        put(&(float){(float)i + 0.5f}, 4);
    }
    ck_assert_msg(read_made(), "%s", error.message);
    ck_assert_uint_eq(file.count, 2 * STORAGES);
    for (int i = 0; i < 2 * STORAGES; i++) {
        float number;
        memcpy(&number, file.tensors[i].data, 4);
        ck_assert_float_eq(number, (float)(i * 7 % STORAGES) + (i < STORAGES ? 0 : 0.5f));
    }
    close_made();
}
END_TEST

/* ---- the format before PyTorch 0.1.10 ---- */

static size_t header_at[8];

static void sum_header(size_t at)
{
    unsigned sum = 0;

    memset(made + at + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += made[at + i];
    for (size_t i = 6; i-- > 0; sum /= 8)
        made[at + 148 + i] = (uint8_t)('0' + sum % 8);
    made[at + 154] = 0;
}

static void put_file(const char *name, const void *bytes, size_t size)
{
    char header[512] = {0};

    snprintf(header, 100, "%s", name);
    snprintf(header + 124, 12, "%011zo", size);
    memset(header + 136, '7', 12); /* its time: right behind, not looked at */
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    header[156] = '0';
    put(header, sizeof header);
    sum_header(made_size - 512);
    put(bytes, size);
}

static void pad(void)
{
    while (made_size % 512)
        put_number(0, 1);
}

typedef struct part {
    const char *name;
    const void *bytes;
    size_t size;
} part;

/* Ends with the last file's content, without padding. */
static void make_tar(const part *parts, size_t count)
{
    made_size = 0;
    for (size_t i = 0; i < count; i++) {
        pad();
        header_at[i] = made_size;
        put_file(parts[i].name, parts[i].bytes, parts[i].size);
    }
}

#define LONG(number) number "\0\0\0\0\0\0\0"
#define PAIR(name, key) "(U\1" name "U\2" key "Qt"
#define OBJECT \
    "\x80\2"   \
    "ccollections\nOrderedDict\n](" PAIR("w", "11") PAIR("b", "12") "e\x85R."
#define TENSOR_OF(key, storage) "\x80\2(K" key "K" storage "ctorch\nFloatTensor\nt."
#define TENSORS                                                                                              \
    "\x80\2K\2." TENSOR_OF("\x0b", "\x15") LONG("\2") LONG("\2") LONG("\3") LONG("\3") LONG("\1") LONG("\0") \
        TENSOR_OF("\x0c", "\x17") LONG("\1") LONG("\2") LONG("\1") LONG("\0")
#define STORAGE_OF(key) "\x80\2(K" key "U\3cpuctorch\nFloatStorage\nt."
#define STORAGES_TO(views)                                                                                       \
    "\x80\2K\2." STORAGE_OF("\x16") LONG("\4") "\0\0\x10\x41\0\0\0\x3e\0\0\0\xc0\0\0\x10\x41" STORAGE_OF("\x15") \
        LONG("\6") "\0\0\0\x3f\0\0\xa0\xbf\0\0\x40\x40\0\0\0\0\0\0\x80\x3f\0\0\xe0\xc0" views
#define VIEWS "\x80\2](K\x17K\x16K\1K\2ta."
#define TAR "the tar archive is damaged or cut off: "
#define NO_FILE(name) "is a tar archive, but not one of torch.save: it has no file " name

static const part parts[] = {
    {"sys_info", P(MACHINE)}, {"storages", P(STORAGES_TO(VIEWS))}, {"pickle", P(OBJECT)}, {"tensors", P(TENSORS)}};

START_TEST(test_tar)
{
    make_tar(parts, 4);
    expect("torch-tar: " READ);
    refuse_cuts(made_size);
    pad();
    expect("torch-tar: " READ);
    put("x", 1); /* less than a block is nothing */
    expect("torch-tar: " READ);
    for (int i = 0; i < 510; i++)
        put("x", 1);
    expect("torch-tar: " READ);
    put("x", 1);
    refuse(DN_E_FORMAT, TAR "a header's sum or size is wrong");
    made[made_size - 512] = 0; /* the end, whatever follows */
    expect("torch-tar: " READ);
    for (size_t left = 0; left < 4; left++) {
        static const char *const messages[] = {NO_FILE("sys_info"), NO_FILE("storages"), NO_FILE("pickle"),
                                               NO_FILE("tensors")};
        part some[4];
        for (size_t i = 0; i < 4; i++)
            some[i] = i == left ? (part){"other", "", 0} : parts[i];
        make_tar(some, 4);
        refuse(DN_E_FORMAT, messages[left]);
        some[left] = parts[left];
        part twice[] = {some[0], some[1], some[2], some[3], some[left]};
        make_tar(twice, 5);
        refuse(DN_E_FORMAT, TAR "a file is there twice");
    }
}
END_TEST

START_TEST(test_tar_headers)
{
    const char *wrong = TAR "a header's sum or size is wrong";
    make_tar(parts, 4);
    size_t size = sizeof TENSORS - 1, last = header_at[3];
    for (size_t i = 0; i < 512; i += i == 156 ? 101 : 1) /* every byte counts */
        if (i < 148 || i > 155) {
            made[last + i] ^= 4;
            refuse(DN_E_FORMAT, wrong);
            made[last + i] ^= 4;
        }
    char digits[20];
    snprintf(digits, sizeof digits, "%zo", size);
    static const struct {
        int blanks, zeros;
        char end;
        bool good;
    } cases[] = {{0, 0, 0, true},    {0, 0, ' ', true},  {0, 3, 0, true},    {3, 0, ' ', true},  {2, 3, 0, true},
                 {0, 0, '8', false}, {0, 0, '9', false}, {0, 0, '/', false}, {0, 0, 'x', false}, {0, 0, '-', false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char field[13];
        memset(field, 0, sizeof field);
        int used = snprintf(field, sizeof field, "%*s%.*s%s", cases[i].blanks, "", cases[i].zeros, "000", digits);
        field[used] = cases[i].end;
        memcpy(made + last + 124, field, 12);
        sum_header(last);
        if (cases[i].good)
            expect("torch-tar: " READ);
        else
            refuse(DN_E_FORMAT, wrong);
    }
    snprintf(digits, sizeof digits, "%012zo", size); /* digits alone, without an end */
    memcpy(made + last + 124, digits, 12);
    sum_header(last);
    expect("torch-tar: " READ);
    /* A size of one digit. */
    part five[] = {parts[0], parts[1], parts[2], {"other", "12345", 5}, parts[3]};
    make_tar(five, 5);
    memcpy(made + header_at[3] + 124, "5\0          ", 12);
    sum_header(header_at[3]);
    expect("torch-tar: " READ);
    make_tar(parts, 4);
    memset(made + last + 124, ' ', 12);
    sum_header(last);
    refuse(DN_E_FORMAT, wrong);
    memset(made + last + 124, '7', 12);
    sum_header(last);
    refuse(DN_E_FORMAT, TAR "a file is cut off");
    snprintf(digits, sizeof digits, "%011zo", size + 1);
    memcpy(made + last + 124, digits, 12);
    sum_header(last);
    refuse(DN_E_FORMAT, TAR "a file is cut off");
    /* The sum's own digits. */
    make_tar(parts, 4);
    static const struct {
        int blanks, digits;
        const char *end;
    } sums[] = {{2, 1, ""}, {0, 1, " "}, {0, 6, ""}, {0, 7, ""}, {0, 8, ""}};
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < 512; i++)
        sum += i < 148 || i > 155 ? made[last + i] : 0;
    for (size_t i = 0; i < COUNT(sums); i++) {
        memset(made + last + 148, 0, 8);
        char field[20];
        int used = snprintf(field, sizeof field, "%*s%0*o%s", sums[i].blanks, "", sums[i].digits, sum, sums[i].end);
        memcpy(made + last + 148, field, (size_t)used);
        expect("torch-tar: " READ);
        snprintf(field, sizeof field, "%*s%0*o%s", sums[i].blanks, "", sums[i].digits, sum + 1, sums[i].end);
        memcpy(made + last + 148, field, (size_t)used);
        refuse(DN_E_FORMAT, wrong);
    }
}
END_TEST

/* Of the kinds of files, '0' and NUL are regular; a name may fill its field. */
START_TEST(test_tar_kinds)
{
    char name[101];

    make_tar(parts, 4);
    made[header_at[2] + 156] = 0;
    sum_header(header_at[2]);
    expect("torch-tar: " READ);
    made[header_at[2] + 156] = '1';
    sum_header(header_at[2]);
    refuse(DN_E_FORMAT, NO_FILE("pickle"));
    memset(name, 'p', 100);
    name[100] = 0;
    part all[] = {parts[0], parts[1], parts[2], parts[3], {name, "abc", 3}};
    make_tar(all, 5);
    memset(made + header_at[4], 'p', 100);
    sum_header(header_at[4]);
    expect("torch-tar: " READ);
    memcpy(made + header_at[2], "pickle", 6);
    memset(made + header_at[2] + 7, 'x', 93); /* behind the end of the name */
    sum_header(header_at[2]);
    expect("torch-tar: " READ);
    made[header_at[2] + 6] = 'x';
    sum_header(header_at[2]);
    refuse(DN_E_FORMAT, NO_FILE("pickle"));
}
END_TEST

#define MISSING "a persistent id that is no tensor's; only checkpoints of plain tensors can be read"

static void refuse_part(int which, const void *bytes, size_t size, dn_status status, const char *message)
{
    part all[] = {parts[0], parts[1], parts[2], parts[3]};

    all[which].bytes = bytes;
    all[which].size = size;
    make_tar(all, 4);
    refuse(status, message);
}

static void expect_part(int which, const void *bytes, size_t size, const char *text_read)
{
    part all[] = {parts[0], parts[1], parts[2], parts[3]};

    all[which].bytes = bytes;
    all[which].size = size;
    make_tar(all, 4);
    expect(text_read);
}

START_TEST(test_tar_parts)
{
    enum { INFO, STORAGES, OBJECTS, SHAPES };
#define REFUSE(which, literal, message) refuse_part(which, literal, sizeof(literal) - 1, DN_E_FORMAT, TAR message)
    refuse_part(INFO, P("\x80\2}."), DN_E_UNSUPPORTED, "its numbers are not little-endian");
    refuse_part(INFO, P("\x80\2U\1xQ."), DN_E_FORMAT, "sys_info, byte 5: a persistent id where none belongs");
    refuse_part(INFO, P("\x80\2"), DN_E_FORMAT, "sys_info, byte 2: the pickle is cut off");
    /* Counts. */
    REFUSE(STORAGES, "\x80\2N.", "a count is wrong");
    REFUSE(STORAGES, "\x80\2I-1\n.", "a count is wrong");
    REFUSE(STORAGES, "\x80\2J\1\0\1\0.", "a count is wrong");
    REFUSE(SHAPES, "\x80\2J\1\0\1\0.", "a count is wrong");
    REFUSE(SHAPES, "\x80\2\x88.", "a count is wrong");
    refuse_part(STORAGES, P("\x80\2J\0\0\1\0."), DN_E_FORMAT, "storages, byte 8: the pickle is cut off");
    refuse_part(STORAGES, P("\x80\2K\0."), DN_E_FORMAT, "storages, byte 5: the pickle is cut off");
    refuse_part(STORAGES, P("\x80\2\x81."), DN_E_UNSUPPORTED,
                "storages, byte 2: opcode NEWOBJ (0x81), which plain tensors do not need (nothing was executed); save "
                "model.state_dict() alone");
    refuse_part(SHAPES, P("\x80\2"), DN_E_FORMAT, "tensors, byte 2: the pickle is cut off");
    refuse_part(SHAPES, P("\x80\2K\1."), DN_E_FORMAT, "tensors, byte 5: the pickle is cut off");
    REFUSE(STORAGES, "\x80\2K\0.\x80\2].", "a tensor's storage is missing");
    refuse_part(SHAPES, P("\x80\2K\0."), DN_E_UNSUPPORTED,
                "pickle, byte 37: a persistent id that is no tensor's; only checkpoints of plain tensors can be read");
    /* Descriptions of storages. */
#define WRONG "the description of a storage is wrong"
#define ONE(description) "\x80\2K\1.\x80\2" description "." LONG("\0") "\x80\2]."
    REFUSE(STORAGES, ONE("N"), WRONG);
    REFUSE(STORAGES, ONE("](K\1Nctorch\nIntTensor\ne"), WRONG);
    REFUSE(STORAGES, ONE("K\1N\x86"), WRONG);
    REFUSE(STORAGES, ONE("(K\1Nctorch\nIntTensor\nNt"), WRONG);
    REFUSE(STORAGES, ONE("NNctorch\nIntTensor\n\x87"), WRONG);
    REFUSE(STORAGES, ONE("K\1NN\x87"), WRONG);
    REFUSE(STORAGES, ONE("K\1Nccollections\nOrderedDict\n\x87"), WRONG);
    REFUSE(STORAGES, ONE("K\1Nctorch\nIntTensor\n\x87"), "a tensor's storage is missing");
#define SIZED(size, numbers, rest) "\x80\2K\1.\x80\2K\1Nctorch\nDoubleStorage\n\x87." size numbers rest
    REFUSE(STORAGES, SIZED("\1\0\0\0\0\0\0", "", ""), "numbers are cut off");
    REFUSE(STORAGES, SIZED("\xff\xff\xff\xff\xff\xff\xff\xff", "", ""), "a size is negative");
    REFUSE(STORAGES, SIZED(LONG("\1"), "1234567", ""), "the storages are cut off");
    REFUSE(STORAGES, SIZED("\1\0\0\0\0\0\0\x20", "12345678", ""), "the storages are cut off");
    refuse_part(STORAGES, P(SIZED(LONG("\1"), "12345678", "")), DN_E_FORMAT,
                "storages, byte 49: the pickle is cut off");
    /* Views. */
#define VIEWING(views) STORAGES_TO("\x80\2" views ".")
    REFUSE(STORAGES, VIEWING("N"), "the views are no list");
    REFUSE(STORAGES, VIEWING(")"), "the views are no list");
    REFUSE(STORAGES, VIEWING("]Na"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("]](K\x17K\x16K\1K\2e\x61"), "a view into no storage");
    REFUSE(STORAGES,
           VIEWING("]K\x17K\x16K\1\x87"
                   "a"),
           "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16K\1K\2Nta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](NK\x16K\1K\2ta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17NK\1K\2ta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16NK\2ta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16K\1Nta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x14K\1K\2ta"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("]((K\x17K\x16K\1K\2t(K\x18K\x17K\0K\1te"), "a view into no storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16K\3K\2ta"), "a view beyond its storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16K\5K\0ta"), "a view beyond its storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16I-1\nK\2ta"), "a view beyond its storage");
    REFUSE(STORAGES, VIEWING("](K\x17K\x16K\0I-1\nta"), "a view beyond its storage");
    REFUSE(STORAGES, VIEWING("](K\x16K\x16K\1K\2ta"), "a key is there twice");
    REFUSE(STORAGES, VIEWING("]((K\x17K\x16K\1K\2t(K\x17K\x16K\1K\2te"), "a key is there twice");
    expect_part(STORAGES, P(VIEWING("]((K\x17K\x16K\1K\2t(K\x18K\x16K\4K\0te")), "torch-tar: " READ);
    expect_part(STORAGES, P(VIEWING("](K\x17K\x16K\0K\4ta")),
                "torch-tar: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [b f32 2/1 = 9 0.125]");
    REFUSE(STORAGES, "\x80\2K\2." STORAGE_OF("\x16") LONG("\0") STORAGE_OF("\x16") LONG("\0") "\x80\2].",
           "a key is there twice");
    /* Tensors. */
#undef WRONG
#define WRONG "the description of a tensor is wrong"
#define DESCRIBED(description) "\x80\2K\1.\x80\2" description "." LONG("\0") LONG("\0")
    REFUSE(SHAPES, DESCRIBED("N"), WRONG);
    REFUSE(SHAPES, DESCRIBED("](K\x0bK\x15Ne"), WRONG);
    REFUSE(SHAPES, DESCRIBED("K\x0bK\x15\x86"), WRONG);
    REFUSE(SHAPES, DESCRIBED("(K\x0bK\x15NNt"), WRONG);
    REFUSE(SHAPES, DESCRIBED("NK\x15N\x87"), WRONG);
    REFUSE(SHAPES, DESCRIBED("K\x0b\x88N\x87"), WRONG);
    REFUSE(SHAPES, DESCRIBED("K\x0bK\x14N\x87"), "a tensor's storage is missing");
    /* A tensor without a storage has no elements. */
    part alone[] = {
        parts[0], parts[1], {"pickle", P("\x80\2}U\1wU\2\x31\x31Qs.")}, {"tensors", P(DESCRIBED("K\x0bNN\x87"))}};
    make_tar(alone, 4);
    refuse(DN_E_FORMAT, "tensor w reaches beyond its storage");
    alone[3] = (part){"tensors", P("\x80\2K\1.\x80\2K\x0bNN\x87." LONG("\1") LONG("\0") LONG("\1") LONG("\7"))};
    make_tar(alone, 4);
    expect("torch-tar: [w f32 0/1 =]");
    alone[2] = (part){"pickle", P("\x80\2}U\1wU\0Qs.")}; /* no digit is no key, not even 0 */
    alone[3] = (part){"tensors", P("\x80\2K\1." TENSOR_OF("\0", "\x15") LONG("\0") LONG("\5"))};
    make_tar(alone, 4);
    refuse(DN_E_UNSUPPORTED, "pickle, byte 8: " MISSING);
    alone[2] = (part){"pickle", P("\x80\2}U\1wU\1\x39Qs.")}; /* a key of one digit */
    alone[3] = (part){"tensors", P("\x80\2K\1." TENSOR_OF("\x09", "\x15") LONG("\0") LONG("\5"))};
    make_tar(alone, 4);
    expect("torch-tar: [w f32 = -7]");
    refuse_part(SHAPES, P(DESCRIBED("K\x0cK\x15N\x87")), DN_E_UNSUPPORTED,
                "pickle, byte 37: a persistent id that is no tensor's; only checkpoints of plain tensors can be read");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\x09"), "a tensor has more than 8 dimensions");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") "\xff\xff\xff\xff\0\0\0\0",
           "a tensor has more than 8 dimensions");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") "\0\0\0\0\0\0\0\x80", "numbers are cut off");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\1") LONG("\1"), "numbers are cut off");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\1") "\0\0\0\0\0\0\0\x80", "a size is negative");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\1") LONG("\1") "\0\0\0\0\0\0\0\x80",
           "a size is negative");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\1") LONG("\1") LONG("\1"), "numbers are cut off");
    REFUSE(SHAPES, "\x80\2K\1." TENSOR_OF("\x0b", "\x15") LONG("\1") LONG("\1") LONG("\1") "\0\0\0\0\0\0\0\x80",
           "a size is negative");
    REFUSE(SHAPES,
           "\x80\2K\2." TENSOR_OF("\x0b", "\x15") LONG("\0") LONG("\0") TENSOR_OF("\x0b", "\x15") LONG("\0") LONG("\0"),
           "a key is there twice");
    /* Four bytes of the rank have no meaning; eight dimensions and an offset. */
    expect_part(SHAPES,
                P("\x80\2K\2." TENSOR_OF("\x0b", "\x15") "\x08\0\0\0\1\2\3\x84" LONG("\1") LONG("\1") LONG("\1")
                      LONG("\1") LONG("\1") LONG("\1") LONG("\1") LONG("\3") LONG("\0") LONG("\1") LONG("\2") LONG("\3")
                          LONG("\4") LONG("\5") LONG("\6") LONG("\2") LONG("\1") TENSOR_OF("\x0c", "\x17") LONG("\0")
                              LONG("\1")),
                "torch-tar: [w f32 1/0 1/1 1/2 1/3 1/4 1/5 1/6 3/2 = -1.25 0 -7] [b f32 = -2]");
    /* The object. */
    refuse_part(OBJECTS, P("\x80\2}U\1wK\x0bQs."), DN_E_UNSUPPORTED, "pickle, byte 8: " MISSING);
    refuse_part(OBJECTS, P("\x80\2}U\1wU\0Qs."), DN_E_UNSUPPORTED, "pickle, byte 8: " MISSING);
    refuse_part(OBJECTS, P("\x80\2}U\1wU\2\x31/Qs."), DN_E_UNSUPPORTED, "pickle, byte 10: " MISSING);
    refuse_part(OBJECTS, P("\x80\2}U\1wU\2\x31:Qs."), DN_E_UNSUPPORTED, "pickle, byte 10: " MISSING);
    refuse_part(OBJECTS, P("\x80\2}U\1wU\2\x30<Qs."), DN_E_UNSUPPORTED, "pickle, byte 10: " MISSING); /* not 12 */
    refuse_part(OBJECTS, P("\x80\2}U\1wU\2\x31\x30Qs."), DN_E_UNSUPPORTED, "pickle, byte 10: " MISSING);
    /* 2^64 + 11, which would be 11 in 64 bits. */
    refuse_part(OBJECTS,
                P("\x80\2}U\1wU\x14"
                  "18446744073709551627Qs."),
                DN_E_UNSUPPORTED, "pickle, byte 28: " MISSING);
    expect_part(OBJECTS,
                P("\x80\2}U\1wU\4"
                  "0011Qs."),
                "torch-tar: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]");
    refuse_part(OBJECTS, P("\x80\2N."), DN_E_UNSUPPORTED, "holds no dictionary of tensors; save model.state_dict()");
    refuse_part(OBJECTS, P("\x80\2"), DN_E_FORMAT, "pickle, byte 2: the pickle is cut off");
}
END_TEST

/* As many views as there may be, and one more. */
START_TEST(test_tar_many_views)
{
    static const char head[] = STORAGES_TO("\x80\2]("), view[] = "(K\x17K\x16K\0K\1t";
    const size_t step = sizeof view - 1, start = sizeof head - 1;

    for (size_t count = 65536; count <= 65537; count++) {
        char *bytes = malloc(start + count * step + 2);
        memcpy(bytes, head, start);
        for (size_t i = 0; i < count; i++)
            memcpy(bytes + start + i * step, view, step);
        memcpy(bytes + start + count * step, "e.", 2);
        refuse_part(1, bytes, start + count * step + 2, DN_E_FORMAT,
                    count == 65536 ? TAR "a key is there twice" : TAR "the views are no list");
        free(bytes);
    }
}
END_TEST

/* One header alone is enough to be known. */
START_TEST(test_tar_known)
{
    const char *none = "is neither a PyTorch checkpoint (torch.save) nor a safetensors file";

    make_tar((const part[]){{"other", "", 0}}, 1);
    ck_assert_uint_eq(made_size, 512);
    refuse(DN_E_FORMAT, NO_FILE("sys_info"));
    patch(257, 0x2020207261747375, 8); /* "ustar", and what GNU tar wrote behind it */
    sum_header(0);
    refuse(DN_E_FORMAT, NO_FILE("sys_info"));
    made_size = 511;
    refuse(DN_E_FORMAT, none);
    made_size = 512;
    made[261] = 'R';
    refuse(DN_E_FORMAT, none);
}
END_TEST

static void read_and_refuse(void)
{
    make_tar(parts, 4);
    make_tar(parts, 4);
    weights_read(&file, made, made_size, &error);
    weights_free(&file);
    weights_read(&file, made, made_size - 9, &error);
    weights_free(&file);
    make_legacy(P(MAGIC VERSION MACHINE), P(STATE), P(KEYS));
    weights_read(&file, made, made_size, &error);
    weights_free(&file);
    weights_read(&file, made, made_size - 9, &error);
    weights_free(&file);
}

START_TEST(test_memory_is_given_back)
{
    ck_gives_back(read_and_refuse);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("torch_old");
    TCase *files = tcase_create("files");

    tcase_add_test(files, test_legacy);
    tcase_add_test(files, test_legacy_heads);
    tcase_add_test(files, test_legacy_many);
    tcase_add_test(files, test_tar);
    tcase_add_test(files, test_tar_headers);
    tcase_add_test(files, test_tar_kinds);
    tcase_add_test(files, test_tar_parts);
    tcase_add_test(files, test_tar_many_views);
    tcase_add_test(files, test_tar_known);
    tcase_add_test(files, test_memory_is_given_back);
    suite_add_tcase(suite, files);
    return suite;
}

TEST_MAIN(make_suite)
