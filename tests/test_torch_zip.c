/* tools/convert: what torch.save writes since PyTorch 1.6, and what a state dict in it may be. */
#include <zlib.h>

#include "weights.h"

/* ---- zip ---- */

typedef struct member {
    const char *name;
    const void *data;
    size_t size;
    bool deflated;
} member;

#define OTHER 0xA5A5A5A5A5A5A5A5u

static size_t local_at[8], central_at[8], end_at;

static size_t pack(const member *from, uint8_t *to, size_t room)
{
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)from->data,
                       .avail_in = (uInt)from->size,
                       .next_out = to,
                       .avail_out = (uInt)room};

    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t size = room - stream.avail_out;
    deflateEnd(&stream);
    return size;
}

/* Each entry with an extra field of its own, each of the directory with a comment too.  wide: sizes and places of the
 * directory stand in its extra fields, and those of the directory itself in a 64-bit record. */
static void make_zip(const member *members, size_t count, bool wide)
{
    static uint8_t packed[8][4096];
    size_t packed_size[8], start;

    made_size = 0;
    for (size_t i = 0; i < count; i++) {
        const member *m = &members[i];
        packed_size[i] = m->deflated ? pack(m, packed[i], sizeof packed[i]) : m->size;
        local_at[i] = made_size;
        put(P("PK\3\4\x14\0\0\0"));
        put_number(m->deflated ? 8 : 0, 2);
        put_number(OTHER, 8); /* time, and again what the directory has: not looked at */
        put_number(OTHER, 8);
        put_number(strlen(m->name), 2);
        put_number(3, 2);
        put(m->name, strlen(m->name));
        put("xyz", 3);
        put(m->deflated ? packed[i] : m->data, packed_size[i]);
    }
    start = made_size;
    for (size_t i = 0; i < count; i++) {
        const member *m = &members[i];
        central_at[i] = made_size;
        put(P("PK\1\2\x14\0\x14\0\x08\0"));
        put_number(m->deflated ? 8 : 0, 2);
        put_number(OTHER, 4); /* time */
        put_number(crc32(0, m->data, (uInt)m->size), 4);
        put_number(wide ? UINT32_MAX : packed_size[i], 4);
        put_number(wide ? UINT32_MAX : m->size, 4);
        put_number(strlen(m->name), 2);
        put_number(wide ? 34 : 6, 2);
        put_number(1, 2);
        put_number(OTHER, 8); /* disk, attributes */
        put_number(wide ? UINT32_MAX : local_at[i], 4);
        put(m->name, strlen(m->name));
        put(P("\7\0\2\0\1\0"));
        if (wide) {
            put(P("\1\0\x18\0"));
            put_number(m->size, 8);
            put_number(packed_size[i], 8);
            put_number(local_at[i], 8);
        }
        put("#", 1);
    }
    end_at = made_size;
    size_t size = end_at - start;
    if (wide) {
        put(P("PK\6\6\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0"));
        put_number(count, 8);
        put_number(count, 8);
        put_number(size, 8);
        put_number(start, 8);
        put(P("PK\6\7\0\0\0\0"));
        put_number(end_at, 8);
        put_number(1, 4);
        end_at = made_size;
    }
    put(P("PK\5\6\0\0\0\0"));
    put_number(wide ? UINT16_MAX : count, 2);
    put_number(wide ? UINT16_MAX : count, 2);
    put_number(wide ? UINT32_MAX : size, 4);
    put_number(wide ? UINT32_MAX : start, 4);
    put_number(0, 2);
}

#define LITTLE                            \
    {                                     \
        "a/byteorder", "little", 6, false \
    }
static const member members[] = {{"a/data.pkl", P(STATE), false},
                                 {"a/data/10", weights, 24, false},
                                 LITTLE,
                                 {"a/data/1", biases, 8, false},
                                 {"", "", 0, false}};

#define ZIP "the zip archive is damaged or cut off: "
#define OUTSIDE ZIP "its directory lies outside"
#define CUT ZIP "its directory is cut off"

START_TEST(test_zip)
{
    make_zip(members, 5, false);
    expect("torch-zip: " READ);
    refuse_cuts(made_size);
    for (size_t count = 2; count <= 4; count++) { /* in any order, and without what may be absent */
        member some[] = {members[3], members[0], members[1], members[2]};
        make_zip(some, count, false);
        if (count >= 3)
            expect("torch-zip: " READ);
        else
            refuse(DN_E_FORMAT, "storage 10 is missing");
    }
    make_zip(members, 2, false);
    refuse(DN_E_FORMAT, "storage 1 is missing");
}
END_TEST

/* An archive may end with a comment, in which anything may stand. */
START_TEST(test_zip_comments)
{
    static const size_t sizes[] = {1, 21, 22, 23, 65535};
    static uint8_t comment[65536];

    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(comment, 'c', sizeof comment);
        make_zip(members, 5, false);
        patch(end_at + 20, sizes[i], 2);
        if (sizes[i] >= 22) { /* as if the archive ended here, but for its comment's size */
            memcpy(comment + sizes[i] - 22, "PK\5\6", 4);
        }
        put(comment, sizes[i]);
        expect("torch-zip: " READ);
        put("c", 1);
        refuse(DN_E_FORMAT, ZIP "it has no end");
        made_size -= 2;
        refuse(DN_E_FORMAT, ZIP "it has no end");
    }
    made_size = 0;
    put(P("PK\3\4"));
    refuse(DN_E_FORMAT, ZIP "it has no end");
    put_number(0, 17);
    refuse(DN_E_FORMAT, ZIP "it has no end");
    put_number(0, 1);
    refuse(DN_E_FORMAT, ZIP "it has no end");
    put_number(0, 65536 - 22); /* whole pages: nothing in front of them can be read either */
    refuse(DN_E_FORMAT, ZIP "it has no end");
}
END_TEST

START_TEST(test_zip_directory)
{
    make_zip(members, 5, false);
    size_t first = central_at[0], last = central_at[4], size = end_at - first;

    spoil(end_at + 10, 0, 2, OUTSIDE);
    spoil(end_at + 10, size / 46 + 1, 2, OUTSIDE);
    spoil(end_at + 10, size / 46, 2, CUT);
    spoil(end_at + 10, 6, 2, CUT);
    spoil(end_at + 12, size + 1, 4, OUTSIDE);
    spoil(end_at + 12, size - 1, 4, CUT);
    spoil(end_at + 12, size - 53 + 45, 4, CUT);
    spoil(end_at + 12, 5 * 46 - 1, 4, OUTSIDE);
    spoil(end_at + 12, 5 * 46, 4, CUT);
    spoil(end_at + 12, UINT32_MAX, 4, OUTSIDE);
    spoil(end_at + 16, first + 1, 4, OUTSIDE);
    spoil(end_at + 16, end_at + 1, 4, OUTSIDE);
    spoil(end_at + 16, UINT32_MAX, 4, OUTSIDE);
    spoil(first, 'p', 1, CUT);
    spoil(last, 'p', 1, CUT);
    spoil(last + 32, 2, 2, CUT);
    spoil(first + 32, 60000, 2, CUT);
    spoil(first + 46 + 10 + 2, 3, 2, CUT); /* an extra field beyond its entry */
    change(first + 46 + 10 + 2, 0, 1, "torch-zip: " READ);
    spoil(first + 8, 1, 2, "the zip archive is encrypted");
    spoil(first + 8, 9, 2, "the zip archive is encrypted");
    change(first + 8, 0xFFFE, 2, "torch-zip: " READ);
    /* One entry alone: as many as the directory has room for. */
    member alone = {"a/data.pkl", P(STATE), false};
    make_zip(&alone, 1, false);
    refuse(DN_E_FORMAT, "storage 10 is missing");
    member twice[] = {alone, {"a/b", "1", 1, false}, {"a/b", "2", 1, false}};
    make_zip(twice, 3, false);
    refuse(DN_E_FORMAT, ZIP "two files have one name");
}
END_TEST

START_TEST(test_zip_entries)
{
    make_zip(members, 5, false);
    size_t first = central_at[0], last = central_at[4], size = sizeof STATE - 1, start = first;
    const char *place = ZIP "a file lies outside", *names = ZIP "a file lies outside or has two names";
    const char *sum =
        "a/data.pkl: its checksum differs: the file is damaged; copy it again (or it was saved with checksums "
        "turned off)";

    spoil(first + 10, 9, 2, "zip method 9; only stored and deflated are handled");
    spoil(first + 10, 65535, 2, "zip method 65535; only stored and deflated are handled");
    spoil(first + 10, 8, 2, ZIP "compressed data is not valid");
    spoil(first + 16, at_patch(first + 16, 4) ^ 1u << 31, 4, sum);
    spoil(first + 16, at_patch(first + 16, 4) ^ 1, 4, sum);
    spoil(first + 20, size - 1, 4, ZIP "a stored file has two sizes");
    spoil(first + 24, size + 1, 4, ZIP "a stored file has two sizes");
    spoil(first + 24, UINT32_MAX - 1, 4, ZIP "a stored file has two sizes");
    spoil(first + 20, made_size, 4, names);
    spoil(first + 20, made_size + 1, 4, ZIP "a file is larger than all");
    spoil(first + 20, UINT32_MAX, 4, ZIP "a file is larger than all");
    spoil(first + 42, 1, 4, place);
    spoil(first + 42, local_at[1], 4, names);
    spoil(first + 42, start - 29, 4, place);
    spoil(first + 42, start + 1, 4, place);
    spoil(first + 42, UINT32_MAX - 1, 4, place);
    spoil(last + 42, local_at[4] + 1, 4, place);
    patch(last + 24, 1, 4);
    spoil(last + 20, 1, 4, names); /* one byte would be the directory's */
    patch(last + 24, 0, 4);
    spoil(local_at[4] + 28, 4, 2, names);
    spoil(local_at[0] + 28, 60000, 2, names);
    spoil(local_at[0] + 26, 9, 2, names);
    spoil(local_at[0] + 26, 11, 2, names);
    spoil(local_at[0] + 30 + 9, 'k', 1, names);
    spoil(local_at[0] + 30, 'b', 1, names);
    spoil(local_at[4], 'p', 1, place);
    change(local_at[4] + 20, UINT64_MAX, 6, "torch-zip: " READ);
    /* An entry that needs no more than its header. */
    patch(local_at[4] + 28, 0, 2);
    memmove(made + start - 3, made + start, made_size - start);
    made_size -= 3;
    patch(made_size - 22 + 16, start - 3, 4);
    expect("torch-zip: " READ);
}
END_TEST

START_TEST(test_zip_wide)
{
    make_zip(members, 5, true);
    expect("torch-zip: " READ);
    refuse_cuts(made_size);
    size_t locator = end_at - 20, record = locator - 56, first = central_at[0], extra = first + 46 + 10;
    spoil(record + 32, 0, 8, OUTSIDE);
    spoil(record + 32, 6, 8, CUT);
    spoil(record + 32, (uint64_t)1 << 62, 8, OUTSIDE);
    spoil(record + 40, at_patch(record + 40, 8) - 1, 8, CUT);
    spoil(record + 40, UINT64_MAX, 8, OUTSIDE);
    spoil(record + 48, UINT64_MAX, 8, OUTSIDE);
    spoil(record + 48, end_at + 1, 8, OUTSIDE);
    /* Without a 64-bit record, what the other says counts: nothing that could be. */
    spoil(locator, 'p', 1, OUTSIDE);
    spoil(record, 'p', 1, OUTSIDE);
    spoil(locator + 8, record + 1, 8, OUTSIDE);
    spoil(locator + 8, locator, 8, OUTSIDE);
    spoil(locator + 8, locator + 1, 8, OUTSIDE);
    spoil(locator + 8, UINT64_MAX, 8, OUTSIDE);
    spoil(locator + 8, UINT64_MAX - 55, 8, OUTSIDE);
    /* One byte less than a record before its locator. */
    uint8_t *old = malloc(made_size);
    memcpy(old, made, made_size);
    memcpy(made + record + 1, "PK\6\6", 4);
    patch(locator + 8, record + 1, 8);
    refuse(DN_E_FORMAT, OUTSIDE);
    memcpy(made, old, made_size);
    /* The extra field: its length, which of the numbers it has. */
    spoil(extra + 8, 23, 2, CUT);
    spoil(extra + 8, 25, 2, CUT);
    spoil(extra + 6, 2, 2, ZIP "a file is larger than all");
    spoil(extra + 6, 257, 2, ZIP "a file is larger than all");
    change(extra + 0, 9, 2, "torch-zip: " READ);
    spoil(extra + 10, UINT64_MAX, 8, ZIP "a file is larger than all");
    spoil(extra + 10, ((uint64_t)1 << 32) + 1, 8, ZIP "a file is larger than all");
    spoil(extra + 10, (uint64_t)1 << 32, 8, ZIP "a stored file has two sizes");
    spoil(extra + 18, (uint64_t)1 << 32, 8, ZIP "a file is larger than all");
    spoil(extra + 26, (uint64_t)1 << 32, 8, ZIP "a file lies outside");
    /* One of the three stands in the extra field, of the others what the entry says counts. */
    static const size_t fields[] = {24, 20, 42};
    const uint64_t values[] = {sizeof STATE - 1, sizeof STATE - 1, local_at[0]};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            patch(first + fields[k], k == i ? UINT32_MAX : values[k], 4);
        patch(extra + 8, 8, 2);
        patch(extra + 10, values[i], 8);
        patch(extra + 18, 5 | (uint64_t)12 << 16, 8); /* another field fills the rest */
        expect("torch-zip: " READ);
        patch(extra + 8, 7, 2);
        patch(extra + 10 + 7, 5 | (uint64_t)13 << 16, 8);
        refuse(DN_E_FORMAT, CUT);
        memcpy(made, old, made_size);
    }
    /* A field without content at the very end. */
    patch(extra + 8, 20, 2);
    patch(extra + 30, 9, 4);
    patch(first + 42, local_at[0], 4);
    expect("torch-zip: " READ);
    patch(extra + 8, 24, 2);
    memcpy(made, old, made_size);
    patch(extra + 6, 5, 2);
    patch(extra + 8, 20, 2);
    patch(extra + 30, 1, 4);
    refuse(DN_E_FORMAT, CUT);
    free(old);
}
END_TEST

/* A record of one byte too few before its locator is none: the other one counts. */
START_TEST(test_zip_short_record)
{
    make_zip(members, 5, false);
    uint8_t last[22];
    memcpy(last, made + end_at, 22);
    made_size = end_at;
    put(P("PK\6\6"));
    for (int i = 0; i < 51; i++)
        put_number(OTHER, 1);
    put(P("PK\6\7\0\0\0\0"));
    put_number(end_at, 8);
    put_number(1, 4);
    put(last, 22);
    expect("torch-zip: " READ);
}
END_TEST

START_TEST(test_zip_deflated)
{
    static uint8_t zeros[100000];
    member packed[] = {members[0],          members[1], LITTLE, members[3], {"a/none", zeros, sizeof zeros, true},
                       {"a/x", "", 0, true}};
    const char *invalid = ZIP "compressed data is not valid";
    const char *impossible = "a compressed file claims an impossible size, or all together have more than 4 GiB";

    for (int i = 0; i < 4; i++)
        packed[i].deflated = true;
    make_zip(packed, 6, false);
    expect("torch-zip: " READ);
    size_t first = central_at[0], packed_size = at_patch(first + 20, 4);
    spoil(first + 20, packed_size - 1, 4, invalid);
    spoil(first + 20, packed_size + 1, 4, invalid);
    spoil(first + 24, sizeof STATE - 2, 4, invalid);
    spoil(first + 24, sizeof STATE, 4, invalid);
    spoil(first + 24, 1032 * packed_size + 1031, 4, invalid);
    spoil(first + 10, 0, 2, ZIP "a stored file has two sizes");
    patch(first + 24, 1032 * packed_size + 1032, 4);
    refuse(DN_E_LIMIT, impossible);
    patch(first + 24, sizeof STATE - 1, 4);
    /* What is needed is unpacked once, also where two tensors share it. */
    ck_assert(read_made());
    ck_assert_uint_eq(file.unpacked_count, 4);
    close_made();
    packed[0].data = "\x80\2}(U\1w" W "U\1\x62" B "U\1v" W "u.";
    packed[0].size = sizeof STATE - 1 + sizeof("U\1v" W) - 1;
    make_zip(packed, 6, false);
    expect("torch-zip: " READ " [v f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]");
    ck_assert(read_made());
    ck_assert_uint_eq(file.unpacked_count, 4);
    close_made();
}
END_TEST

START_TEST(test_zip_names)
{
    static const struct {
        const char *pickle, *other, *message;
        dn_status status;
    } cases[] = {
        {"a/data.pkl", "a/constants.pkl", "is a TorchScript archive; save model.state_dict() with torch.save",
         DN_E_UNSUPPORTED},
        {"data.pkl", "a/x", "is a zip archive, but not one of torch.save: no data.pkl", DN_E_FORMAT},
        {"a/b/data.pkl", "a/x", "is a zip archive, but not one of torch.save: no data.pkl", DN_E_FORMAT},
        {"a/data.pk", "a/x", "is a zip archive, but not one of torch.save: no data.pkl", DN_E_FORMAT},
        {"a/data.pkl", "b/data.pkl", "is a zip archive, but not one of torch.save: no data.pkl", DN_E_FORMAT},
        {"adata.pkl", "a/x", "is a zip archive, but not one of torch.save: no data.pkl", DN_E_FORMAT},
    };
    static const struct {
        const char *order;
        bool good;
    } orders[] = {{"little", true}, {"big", false},     {"bigggg", false},
                  {"littl", false}, {"little2", false}, {"", false}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        member all[] = {{cases[i].pickle, P(STATE), false}, members[1], {cases[i].other, "y", 1, false}, members[3]};
        make_zip(all, 4, false);
        refuse(cases[i].status, cases[i].message);
    }
    member root[] = {{"/data.pkl", P(STATE), false}, {"/data/10", weights, 24, false}, {"/data/1", biases, 8, false}};
    make_zip(root, 3, false);
    expect("torch-zip: " READ);
    for (size_t i = 0; i < COUNT(orders); i++) {
        member all[] = {
            members[0], members[1], {"a/byteorder", orders[i].order, strlen(orders[i].order), false}, members[3]};
        make_zip(all, 4, false);
        if (orders[i].good)
            expect("torch-zip: " READ);
        else
            refuse(DN_E_UNSUPPORTED, "its numbers are not little-endian");
        spoil(central_at[2] + 16, 0x12345678, 4,
              "a/byteorder: its checksum differs: the file is damaged; copy it again (or it was saved with checksums "
              "turned off)");
    }
}
END_TEST

START_TEST(test_zip_storages)
{
    member all[] = {members[0], {"a/data/10", weights, 23, false}, {"a/data/1", weights, 24, false}};

    make_zip(all, 3, false);
    refuse(DN_E_FORMAT, "storage 10 has 23 bytes, too few for 6 elements");
    all[1].size = 24;
    make_zip(all, 3, false);
    expect("torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [b f32 2/1 = 0.5 -1.25]");
    spoil(central_at[1] + 16, 0x12345678, 4,
          "a/data/10: its checksum differs: the file is damaged; copy it again (or it was saved with checksums turned "
          "off)");
    /* More elements than 64 bits can count the bytes of. */
    member huge[] = {
        {"a/data.pkl",
         P("\x80\2}U\1w" TENSOR FLOATS("U\1\x31", "\x8a\x08\1\0\0\0\0\0\0\x40") "K\0K\1\x85K\1\x85" HOOKS "s."), false},
        {"a/data/1", weights, 24, false}};
    make_zip(huge, 2, false);
    refuse(DN_E_FORMAT, "storage 1 has 24 bytes, too few for 4611686018427387905 elements");
    /* Of no elements: without a file.  The tensors of a dictionary alone are looked for. */
    member none[1];
    none[0] = (member){"a/data.pkl",
                       P("\x80\2}(U\1w" TENSOR FLOATS("U\1\x37", "K\0") "K\0K\0\x85K\1\x85" HOOKS "U\1\x6eK\1u."),
                       false};
    make_zip(none, 1, false);
    expect("torch-zip: [w f32 0/1 =]");
    none[0] = (member){"a/data.pkl", P("\x80\2K\1."), false};
    make_zip(none, 1, false);
    refuse(DN_E_UNSUPPORTED, "holds no dictionary of tensors; save model.state_dict()");
}
END_TEST

/* ---- what a state dict may be ---- */

static void make_dict(const char *body, size_t size)
{
    static uint8_t all[2000];

    ck_assert_uint_lt(size, sizeof all - 10);
    memcpy(all, "\x80\2", 2);
    memcpy(all + 2, body, size);
    memcpy(all + 2 + size, ".", 1);
    make_zip((const member[]){{"a/data.pkl", all, size + 3, false}, members[1], members[3]}, 3, false);
}

START_TEST(test_state_dicts)
{
#define NONE                                                                                              \
    "holds no tensors, neither itself nor under \"state_dict\", \"model_state_dict\" or \"model\"; save " \
    "model.state_dict()"
    static const struct {
        const char *body;
        size_t size;
        const char *read;
    } cases[] = {
        {P("}(U\1w" W "U\1xK\1U\1y)u"), "torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]"},
        {P("}(U\1xK\1U\1w" W "u"), "torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]"},
        {P("}(K\5" W "U\1\x62" B "u"), "torch-zip: [b f32 2/1 = 0.125 -2]"},
        {P("}(U\1w" W "U\x0astate_dict}U\1\x62" B "su"), "torch-zip: [b f32 2/1 = 0.125 -2]"},
        {P("}(U\1w" W "U\x10model_state_dict}U\1\x62" B "su"), "torch-zip: [b f32 2/1 = 0.125 -2]"},
        {P("}(U\1w" W "U\5model}U\1\x62" B "su"), "torch-zip: [b f32 2/1 = 0.125 -2]"},
        {P("}(U\1w" W "U\5model}U\1\x62K\5su"), "torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]"},
        {P("}(U\1w" W "U\5model](U\1\x62" B "eu"), "torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7]"},
        {P("}(U\5model}U\1w" W "sU\x0astate_dict}U\1\x62" B "su"), "torch-zip: [b f32 2/1 = 0.125 -2]"},
        {P("}(U\x08module.w" W "U\x08module.b" B "u"), "torch-zip: " READ},
        {P("}(U\x08module.w" W "U\1\x62" B "u"),
         "torch-zip: [module.w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [b f32 2/1 = 0.125 -2]"},
        {P("}(U\1w" W "U\x08module.b" B "u"),
         "torch-zip: [w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [module.b f32 2/1 = 0.125 -2]"},
        {P("}(U\x08module.w" W "U\7module." B "u"),
         "torch-zip: [module.w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [module. f32 2/1 = 0.125 -2]"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        make_dict(cases[i].body, cases[i].size);
        expect(cases[i].read);
    }
    make_dict(P("}(K\1K\2" W "K\3u"));
    refuse(DN_E_UNSUPPORTED, NONE);
    make_dict(P("]" W "a"));
    refuse(DN_E_UNSUPPORTED, "holds no dictionary of tensors; save model.state_dict()");
}
END_TEST

/* Tensors of storage "10", of six elements: where they reach to, how many elements they have. */
START_TEST(test_tensor_places)
{
#define BEYOND "tensor t reaches beyond its storage"
#define EXPANDED "tensor t has more elements than its storage (an expanded view); save tensor.contiguous()"
#define HUGE "\x8a\x08\0\0\0\0\0\0\0\x40" /* 2^62 */
#define MOST "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
    static const struct {
        const char *place;
        size_t size;
        const char *read; /* or the message */
    } cases[] = {
        {P("K\0))"), "[t f32 = 0.5]"},
        {P("K\5))"), "[t f32 = -7]"},
        {P("K\6))"), BEYOND},
        {P("K\0K\6\x85K\1\x85"), "[t f32 6/1 = 0.5 -1.25 3 0 1 -7]"},
        {P("K\1K\6\x85K\1\x85"), BEYOND},
        {P("K\0K\7\x85K\1\x85"), BEYOND},
        {P("K\0K\6\x85K\0\x85"), "[t f32 6/0 = 0.5 0.5 0.5 0.5 0.5 0.5]"},
        {P("K\0K\7\x85K\0\x85"), EXPANDED},
        {P("K\1K\3\x85K\2\x85"), "[t f32 3/2 = -1.25 0 -7]"},
        {P("K\2K\3\x85K\2\x85"), BEYOND},
        {P("K\1K\2K\2\x86K\3K\1\x86"), "[t f32 2/3 2/1 = -1.25 3 1 -7]"},
        {P("K\2K\2K\2\x86K\3K\1\x86"), BEYOND},
        {P("K\0K\1K\2\x86" HUGE "K\1\x86"), "[t f32 1/4611686018427387904 2/1 = 0.5 -1.25]"},
        {P("K\0K\0\x85K\1\x85"), "[t f32 0/1 =]"},
        {P("K\xc8K\0\x85K\1\x85"), "[t f32 0/1 =]"},
        {P(MOST "K\0" MOST "\x86" HUGE HUGE "\x86"),
         "[t f32 0/4611686018427387904 9223372036854775807/4611686018427387904 =]"},
        {P("K\0K\3\x85" HUGE "\x85"), BEYOND},
        {P("K\0K\2K\2\x86" HUGE HUGE "\x86"), BEYOND},
        {P(MOST "))"), BEYOND},
        {P("K\0" HUGE "K\2\x86K\0K\0\x86"), BEYOND},
        {P("K\0K\0" HUGE "K\2\x87K\0K\0K\0\x87"), BEYOND},
        {P(HUGE "K\2\x85" HUGE "\x85"), BEYOND},
        {P("K\0" HUGE "\x85K\0\x85"), EXPANDED},
    };
    char body[400], message[252];

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size = 0;
        static const char head[] = "}U\1tctorch._utils\n_rebuild_tensor\n(" FLOATS("U\2\x31\x30", "K\6");
        memcpy(body, head, size = sizeof head - 1);
        memcpy(body + size, cases[i].place, cases[i].size);
        size += cases[i].size;
        memcpy(body + size, "tRs", 3);
        make_dict(body, size + 3);
        snprintf(message, sizeof message, "torch-zip: %s", cases[i].read);
        if (cases[i].read[0] == '[')
            expect(message);
        else
            refuse(cases[i].read[9] == 'h' ? DN_E_UNSUPPORTED : DN_E_FORMAT, cases[i].read);
    }
    /* In the visible part of a storage: elements 2 to 4. */
#define PART "(U\7storagectorch\nFloatStorage\nU\2\x31\x30U\3cpuK\6NK\2K\3\x87tQ"
    make_dict(P("}U\1tctorch._utils\n_rebuild_tensor\n(" PART "K\1K\2\x85K\1\x85tRs"));
    expect("torch-zip: [t f32 2/1 = 0 1]");
    make_dict(P("}U\1tctorch._utils\n_rebuild_tensor\n(" PART "K\2K\2\x85K\1\x85tRs"));
    refuse(DN_E_FORMAT, BEYOND);
    make_dict(P("}U\1tctorch._utils\n_rebuild_tensor\n(" PART "K\0K\4\x85K\0\x85tRs"));
    refuse(DN_E_UNSUPPORTED, EXPANDED);
}
END_TEST

static void read_and_refuse(void)
{
    weights_read(&file, made, made_size, &error);
    weights_free(&file);
    made[local_at[1] + 30 + 9 + 3 + 5] ^= 1;
    weights_read(&file, made, made_size, &error);
    weights_free(&file);
    made[local_at[1] + 30 + 9 + 3 + 5] ^= 1;
    weights_read(&file, made, made_size - 30, &error);
    weights_free(&file);
}

START_TEST(test_memory_is_given_back)
{
    static member packed[4];

    memcpy(packed, members, sizeof packed);
    for (int i = 0; i < 4; i++)
        packed[i].deflated = true;
    make_zip(packed, 4, false);
    ck_gives_back(read_and_refuse);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("torch_zip");
    TCase *files = tcase_create("files");

    tcase_add_test(files, test_zip);
    tcase_add_test(files, test_zip_comments);
    tcase_add_test(files, test_zip_directory);
    tcase_add_test(files, test_zip_entries);
    tcase_add_test(files, test_zip_wide);
    tcase_add_test(files, test_zip_short_record);
    tcase_add_test(files, test_zip_deflated);
    tcase_add_test(files, test_zip_names);
    tcase_add_test(files, test_zip_storages);
    tcase_add_test(files, test_state_dicts);
    tcase_add_test(files, test_tensor_places);
    tcase_add_test(files, test_memory_is_given_back);
    suite_add_tcase(suite, files);
    return suite;
}

TEST_MAIN(make_suite)
