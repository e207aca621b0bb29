/* lib/format: float16, reading hostile bytes, writing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "failing_files.h"
#include "format/half.h"
#include "format/safetensors.h"
#include "support.h"

static dn_error error;

/* Exactly `size` bytes on the heap, so that a read beyond them is seen. */
static uint8_t *exact_copy(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    return copy;
}

/* ---- float16 ---- */

/* value = significand * 2^exponent, from the definition of binary16. */
static double half_value(uint16_t half)
{
    int exponent = (half >> 10) & 31;
    double fraction = half & 1023;
    double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);

    return half & 0x8000 ? -magnitude : magnitude;
}

/* The checks below run for every float16, so they count instead of asserting one by one. */

START_TEST(test_half_to_float)
{
    int wrong = 0;

    for (uint32_t half = 0; half < 0x10000; half++) {
        float value = half_to_float((uint16_t)half);
        if ((half & 0x7C00) != 0x7C00)
            wrong += (double)value != half_value((uint16_t)half) || !!signbit(value) != half >> 15;
        else if (half & 0x03FF)
            wrong += !isnan(value);
        else
            wrong += !isinf(value) || (value < 0) != half >> 15;
    }
    ck_assert_int_eq(wrong, 0);
}
END_TEST

START_TEST(test_half_round_trip)
{
    int wrong = 0;

    for (uint32_t half = 0; half < 0x10000; half++) {
        _Bool undefined = (half & 0x7C00) == 0x7C00 && (half & 0x03FF);
        wrong += half_from_float(half_to_float((uint16_t)half)) != (undefined ? half | 0x0200 : half); /* quiet */
    }
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* All of them at once, at any alignment, give the same bits; what is not finite is told, wherever it is. */
START_TEST(test_many_halves)
{
    enum { COUNT = 0x10000 };
    uint8_t *bytes = malloc(2 * COUNT + 1);
    float *out = malloc(COUNT * sizeof *out);
    const uint16_t infinity = 0xFC00, largest = 0xFBFF;

    for (size_t shift = 0; shift < 2; shift++) {
        for (uint32_t half = 0; half < COUNT; half++)
            memcpy(bytes + shift + 2 * half, &(uint16_t){(uint16_t)half}, 2);
        ck_assert(!halves_to_floats(bytes + shift, COUNT, out));
        for (uint32_t half = 0; half < COUNT; half++) {
            float value = half_to_float((uint16_t)half);
            ck_assert_mem_eq(&out[half], &value, sizeof value);
        }
        ck_assert(halves_to_floats(bytes + shift, 0x7C00, out)); /* up to the largest finite one */
        for (size_t at = 0; at < 70; at++) {
            memcpy(bytes + shift + 2 * at, &infinity, 2);
            ck_assert(!halves_to_floats(bytes + shift, 70, out));
            memcpy(bytes + shift + 2 * at, &largest, 2);
            ck_assert(halves_to_floats(bytes + shift, 70, out));
        }
    }
    ck_assert(halves_to_floats(bytes, 0, out));
    free(bytes);
    free(out);
}
END_TEST

/* Between each two neighbours: below, at and above the middle, where the even one wins. */
START_TEST(test_half_rounds_to_nearest_even)
{
    int wrong = 0;

    for (uint32_t half = 0; half < 0x7BFF; half++) {
        double exact = (half_value((uint16_t)half) + half_value((uint16_t)(half + 1))) / 2;
        float middle = (float)exact; /* exact: one bit more than a float16 has */
        uint32_t even = half % 2 ? half + 1 : half;
        wrong += (double)middle != exact || half_from_float(nextafterf(middle, 0)) != half ||
                 half_from_float(middle) != even || half_from_float(nextafterf(middle, INFINITY)) != half + 1 ||
                 half_from_float(-middle) != (0x8000 | even);
    }
    ck_assert_int_eq(wrong, 0);
}
END_TEST

START_TEST(test_half_ends)
{
    ck_assert_uint_eq(half_from_float(65504), 0x7BFF);
    ck_assert_uint_eq(half_from_float(nextafterf(65520, 0)), 0x7BFF);
    ck_assert_uint_eq(half_from_float(65520), 0x7C00);
    ck_assert_uint_eq(half_from_float(1e30f), 0x7C00);
    ck_assert_uint_eq(half_from_float(-INFINITY), 0xFC00);
    ck_assert_uint_eq(half_from_float(0x1p-25f), 0);
    ck_assert_uint_eq(half_from_float(nextafterf(0x1p-25f, 1)), 1);
    ck_assert_uint_eq(half_from_float(-0.0f), 0x8000);
    ck_assert_uint_eq(half_from_float(0x1p-149f), 0);
    ck_assert_uint_eq(half_from_float(NAN) & 0x7E00, 0x7E00);
}
END_TEST

/* ---- reading ---- */

/* A file with this header and `data_size` bytes of data. */
static uint8_t *make_file(const char *json, size_t data_size, size_t *size)
{
    uint64_t length = strlen(json);
    uint8_t *bytes = malloc(8 + length + data_size);

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, json, length);
    memset(bytes + 8 + length, 0, data_size);
    *size = 8 + length + data_size;
    return bytes;
}

static dn_status parse_json(const char *json, size_t data_size)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_file *file;
    size_t size;
    uint8_t *bytes = make_file(json, data_size, &size);
    dn_status status = st_parse(bytes, size, "part.safetensors", &allocator, &file, &error);

    if (status != DN_OK)
        ck_assert_ptr_null(file);
    st_free(file);
    free(bytes);
    return status;
}

#define ENTRY(dtype, shape, begin, end) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static const struct {
    const char *json;
    size_t data_size;
    const char *message; /* what follows the file's name */
} hostile[] = {
    {"{", 0, "corrupt header: no valid JSON"},
    {"{}x", 0, "corrupt header: no valid JSON"},
    {"{\"a\\u0000b\":1}", 0, "corrupt header: no valid JSON"},
    {"{\"\xFF\":1}", 0, "corrupt header: no valid JSON"},
    {"{\"a\":99999999999999999999}", 0, "tensor a: its entry is not a JSON object"},
    {"{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"a\":" ENTRY("U8", "[1]", 0, 1) "}", 1, "a name appears twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 1, "a name appears twice"},
    {"{}", 1, "1 bytes behind the last tensor"},
    {"{\"\":" ENTRY("U8", "[1]", 0, 1) "}", 1, "name is empty"},
    {"{\"a\\u001b[2J\":" ENTRY("U8", "[1]", 0, 1) "}", 1, "control characters"},
    {"{\"a\\u007f\":" ENTRY("U8", "[1]", 0, 1) "}", 1, "control characters"},
    {"{\"a\":1}", 0, "tensor a: its entry is not a JSON object"},
    {"{\"a\":[]}", 0, "tensor a: its entry is not a JSON object"},
    {"{\"a\":{}}", 0, "tensor a: dtype is missing or unknown"},
    {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "tensor a: dtype is missing or unknown"},
    {"{\"a\":" ENTRY("F12", "[1]", 0, 1) "}", 1, "tensor a: dtype is missing or unknown"},
    {"{\"a\":" ENTRY("f32", "[1]", 0, 4) "}", 4, "tensor a: dtype is missing or unknown"},
    {"{\"a\":" ENTRY("U8", "1", 0, 1) "}", 1, "tensor a: shape is not a list"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "tensor a: shape is not a list"},
    {"{\"a\":" ENTRY("U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "tensor a: shape is not a list of at most 8"},
    {"{\"a\":" ENTRY("U8", "[-1]", 0, 1) "}", 1, "tensor a: shape holds something else"},
    {"{\"a\":" ENTRY("U8", "[1.0]", 0, 1) "}", 1, "tensor a: shape holds something else"},
    {"{\"a\":" ENTRY("U8", "[null]", 0, 1) "}", 1, "tensor a: shape holds something else"},
    {"{\"a\":" ENTRY("U8", "[true]", 0, 1) "}", 1, "tensor a: shape holds something else"},
    {"{\"a\":" ENTRY("U8", "[4294967296,4294967296]", 0, 0) "}", 0, "tensor a: shape is too large"},
    {"{\"a\":" ENTRY("U8", "[9223372036854775807,2,0]", 0, 0) "}", 0, "tensor a: shape is too large"},
    {"{\"a\":" ENTRY("F32", "[4611686018427387904]", 0, 0) "}", 0, "tensor a: 0 bytes of data do not fit"},
    {"{\"a\":" ENTRY("F64", "[2305843009213693952]", 0, 0) "}", 0, "tensor a: 0 bytes of data do not fit"},
    {"{\"a\":" ENTRY("F32", "[2]", 0, 4) "}", 4, "tensor a: 4 bytes of data do not fit"},
    {"{\"a\":" ENTRY("F32", "[]", 0, 8) "}", 8, "tensor a: 8 bytes of data do not fit"},
    {"{\"a\":" ENTRY("U8", "[1]", 1, 0) "}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":" ENTRY("U8", "[1]", -1, 0) "}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":" ENTRY("U8", "[1]", -9223372036854775808, 9223372036854775807) "}", 1, "data_offsets are not"},
    {"{\"a\":" ENTRY("U8", "[1]", 0.0, 1) "}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "tensor a: data_offsets are not"},
    {"{\"a\":" ENTRY("U8", "[2]", 0, 2) "}", 1, "truncated: tensor a ends at byte 2, file has 1"},
    {"{\"a\":" ENTRY("U8", "[1]", 9223372036854775806, 9223372036854775807) "}", 1, "truncated: tensor a"},
    {"{\"a\":" ENTRY("U8", "[1]", 1, 2) "}", 2, "tensor a: data leaves a gap"},
    {"{\"a\":" ENTRY("U8", "[2]", 0, 2) ",\"b\":" ENTRY("U8", "[2]", 1, 3) "}", 3, "tensor b: data overlaps"},
    {"{\"a\":" ENTRY("U8", "[2]", 0, 2) ",\"b\":" ENTRY("U8", "[2]", 0, 2) "}", 2, "tensor b: data overlaps"},
    {"{\"a\":" ENTRY("U8", "[2]", 0, 2) ",\"b\":" ENTRY("U8", "[0]", 1, 1) "}", 2, "tensor b: data overlaps"},
    {"{\"a\":" ENTRY("U8", "[2]", 0, 2) "}", 5, "3 bytes behind the last tensor"},
    {"{\"__metadata__\":1}", 0, "__metadata__ is not a JSON object"},
    {"{\"__metadata__\":null}", 0, "__metadata__ is not a JSON object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ holds something else than strings"},
    {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, "a name appears twice"},
    {"{\"__metadata__\":{\"a\":\"b\",\"c\":\"\",\"\\u0061\":\"c\"}}", 0, "a name appears twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "a name appears twice"},
    {"{\"a\":{\"shape\":[1],\"dtype\":\"U8\",\"data_offsets\":[0,1],\"sh\\u0061pe\":[1]}}", 1, "a name appears twice"},
};

START_TEST(test_hostile_headers)
{
    char expected[200];

    ck_status(parse_json(hostile[_i].json, hostile[_i].data_size), DN_E_FORMAT);
    snprintf(expected, sizeof expected, "part.safetensors: ");
    ck_assert_msg(!strncmp(error.message, expected, strlen(expected)) && strstr(error.message, hostile[_i].message),
                  "%s\n gave %s", hostile[_i].json, error.message);
}
END_TEST

START_TEST(test_valid_headers)
{
    ck_ok(parse_json("{}", 0));
    ck_ok(parse_json("{\"__metadata__\":{}}   ", 0));
    ck_ok(parse_json("{\"a\":" ENTRY("F32", "[]", 0, 4) "}", 4));
    ck_ok(parse_json("{\"a\":" ENTRY("F32", "[0,7]", 0, 0) ",\"b\":" ENTRY("BF16", "[1]", 0, 2) "}", 2));
    ck_ok(parse_json("{\"b\":" ENTRY("BOOL", "[1]", 1, 2) ",\"a\":" ENTRY("F8_E5M2", "[1]", 0, 1) "}", 2));
    ck_ok(parse_json("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"new\":{}}}", 1));
}
END_TEST

/* Each type with as many bytes as an element has, one less and one more. */
START_TEST(test_types)
{
    static const struct {
        const char *name;
        size_t size;
    } types[] = {{"F32", 4},  {"F16", 2},     {"F64", 8},     {"I32", 4},     {"I64", 8}, {"U8", 1},
                 {"U32", 4},  {"BOOL", 1},    {"I8", 1},      {"I16", 2},     {"U16", 2}, {"U64", 8},
                 {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"C64", 8}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t size = 3 * types[i].size - 1; size <= 3 * types[i].size + 1; size++) {
            char json[100];
            snprintf(json, sizeof json, "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                     types[i].name, size);
            ck_status(parse_json(json, size), size == 3 * types[i].size ? DN_OK : DN_E_FORMAT);
        }
}
END_TEST

/* What `memory` held at most while a file was parsed that is refused with `message`. */
static size_t peak_of(const char *json, const char *message)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    st_file *file;
    size_t size;
    uint8_t *bytes = make_file(json, 0, &size);

    ck_status(st_parse(bytes, size, "x", &allocator, &file, &error), DN_E_FORMAT);
    ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
    ck_assert_int_eq(memory.live, 0);
    free(bytes);
    return memory.peak;
}

/* The largest header there may be, filled with what a tree would have many nodes for: nothing is made of it. */
START_TEST(test_small_values_in_a_large_header)
{
    static const struct {
        const char *start, *repeated, *end, *message;
    } cases[] = {
        {"{\"a\":[{}", ",{}", "]}", "tensor a: its entry is not a JSON object"},
        {"{\"a\":[{}", ",{}", "", "no valid JSON at its byte 16777216"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1", ",1", "]}}", "shape is not a list of at most 8 sizes"},
        {"{\"a\":{\"b\":[]", ",\"b\":[]", "}}", "tensor a: dtype is missing or unknown"},
        {"{\"a\":0", ",\"a\":0", "}", "more than 65536 tensors"},
        {"{\"__metadata__\":{\"a\":\"\"", ",\"a\":\"\"", "}}", "more than 65536 metadata"},
    };
    const char *start = cases[_i].start, *repeated = cases[_i].repeated, *end = cases[_i].end;
    char *json = malloc(ST_MAX_HEADER + 1), *at = json;

    ck_assert_ptr_nonnull(json);
    at += sprintf(at, "%s", start);
    while ((size_t)(at - json) + strlen(repeated) + strlen(end) <= ST_MAX_HEADER)
        at += sprintf(at, "%s", repeated);
    while ((size_t)(at - json) + strlen(end) < ST_MAX_HEADER)
        *at++ = ' ';
    strcpy(at, end);
    ck_assert_uint_eq(strlen(json), ST_MAX_HEADER);
    ck_assert_uint_le(peak_of(json, cases[_i].message), 4096);
    free(json);
}
END_TEST

/* Nesting that would overflow the stack of a careless parser. */
START_TEST(test_deep_nesting)
{
    enum { DEPTH = 1000000 };
    char *json = malloc(DEPTH + 8);

    ck_assert_ptr_nonnull(json);
    memcpy(json, "{\"a\":", 5);
    memset(json + 5, '[', DEPTH);
    json[5 + DEPTH] = '\0';
    ck_status(parse_json(json, 0), DN_E_FORMAT);
    free(json);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    const char *message;
} foreign[] = {
    {"", 0, "x: not a safetensors file (it is empty)"},
    {"\1", 1, "x: not a safetensors file (only 1 bytes)"},
    {"\2\0\0\0\0\0\0\0", 8, "x: not a safetensors file (only 8 bytes)"},
    {"PK\3\4aaaaaaaaaaaa", 16, "x: not a safetensors file (a zip archive, perhaps of PyTorch: convert"},
    {"\x80\2}q\1aaaaaaaaa", 14, "x: not a safetensors file (a Python pickle"},
    {"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16, "x: not a safetensors file (a PNG image)"},
    {"\xFF\xD8\xFF\xE0........", 12, "x: not a safetensors file (a JPEG image)"},
    {"version https://git-lfs", 23, "x: not a safetensors file (perhaps a Git LFS pointer"},
    {"some text in a file", 19, "x: not a safetensors file (it does not start with"},
    {"\2\0\0\1\0\0\0\0{}", 10, "x: not a safetensors file (a header of 16777218 bytes, more than the limit"},
    {"\2\0\0\0\0\0\0\x80{}", 10, "x: not a safetensors file (a header of 9223372036854775810 bytes"},
    {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, "x: not a safetensors file (a header of 18446744073709551615"},
    {"\3\0\0\0\0\0\0\0{}", 10, "x: truncated: header says 11 bytes, file has 10"},
};

START_TEST(test_foreign_files)
{
    dn_allocator allocator = mem_allocator(NULL);
    uint8_t *bytes = exact_copy(foreign[_i].bytes, foreign[_i].size);
    st_file *file;

    ck_status(st_parse(bytes, foreign[_i].size, "x", &allocator, &file, &error), DN_E_FORMAT);
    ck_assert_int_eq(error.status, DN_E_FORMAT);
    ck_assert_msg(!strncmp(error.message, foreign[_i].message, strlen(foreign[_i].message)), "%s", error.message);
    ck_status(st_parse(bytes, foreign[_i].size, "x", &allocator, &file, NULL), DN_E_FORMAT);
    free(bytes);
}
END_TEST

START_TEST(test_too_many_tensors)
{
    char *json = malloc(16 + (size_t)(ST_MAX_TENSORS + 2) * 16);
    char *end = json;

    ck_assert_ptr_nonnull(json);
    end += sprintf(end, "{");
    for (int i = 0; i < ST_MAX_TENSORS + 2; i++)
        end += sprintf(end, "%s\"%d\":0", i ? "," : "", i);
    sprintf(end, "}");
    ck_status(parse_json(json, 0), DN_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "more than 65536 tensors"));
    free(json);
}
END_TEST

/* ---- writing and reading back ---- */

static const float weights[6] = {1, -2.5f, 0.1f, 65504, 0x1p-24f, 0};
static const double moments[2] = {1e300, -1e-300};
static const int32_t counts[3] = {INT32_MIN, 0, INT32_MAX};
static const int64_t long_counts[1] = {INT64_MIN};
static const uint32_t permutation[2] = {4000000000u, 1};
static const uint8_t bytes_of_text[5] = {1, 2, 3, 4, 255};

/* A writer with one tensor of each kind. */
static st_writer *fill_writer(const dn_allocator *allocator)
{
    st_writer *writer = st_writer_create(allocator);

    if (!writer)
        return NULL;
    st_writer_metadata(writer, "differnet.kind", "test");
    st_writer_metadata(writer, "quoted \"\\\n", "\xC3\xA9\t\"{}\x1B");
    st_writer_tensor(writer, "text", ST_U8, ST_U8, 1, (int64_t[]){5}, bytes_of_text);
    st_writer_tensor(writer, "narrow", ST_F32, ST_F16, 2, (int64_t[]){2, 3}, weights);
    st_writer_tensor(writer, "weights", ST_F32, ST_F32, 2, (int64_t[]){3, 2}, weights);
    st_writer_tensor(writer, "moments", ST_F64, ST_F64, 1, (int64_t[]){2}, moments);
    st_writer_tensor(writer, "counts", ST_I32, ST_I32, 1, (int64_t[]){3}, counts);
    st_writer_tensor(writer, "long", ST_I64, ST_I64, 0, NULL, long_counts);
    st_writer_tensor(writer, "permutation", ST_U32, ST_U32, 1, (int64_t[]){2}, permutation);
    st_writer_tensor(writer, "empty", ST_F32, ST_F32, 2, (int64_t[]){0, 4}, NULL);
    return writer;
}

static void check_bytes(const st_file *file, const char *name, enum st_type type, const void *expected, size_t size)
{
    const st_tensor *tensor = st_find(file, name);

    ck_assert_ptr_nonnull(tensor);
    ck_assert_str_eq(tensor->name, name);
    ck_assert_int_eq(tensor->type, type);
    ck_assert_uint_eq(tensor->bytes, size);
    ck_assert_mem_eq(tensor->data, expected, size);
}

static int count_metadata(const st_file *file)
{
    const st_entry *entry = NULL;
    const char *key, *value;
    int count = 0;

    while ((entry = st_metadata_next(file, entry, &key, &value))) {
        ck_assert_str_eq(st_metadata(file, key), value);
        count++;
    }
    return count;
}

static void check_content(const uint8_t *bytes, size_t size)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_file *file;
    uint64_t header;
    char digits[9];
    _Bool equal = 0;

    memcpy(&header, bytes, 8);
    ck_assert_uint_eq((8 + header) % 64, 0);
    ck_ok(st_parse(bytes, size, "round trip", &allocator, &file, &error));
    ck_assert_str_eq(st_label(file), "round trip");
    ck_assert_int_eq(st_count(file), 8);
    check_bytes(file, "weights", ST_F32, weights, sizeof weights);
    check_bytes(file, "moments", ST_F64, moments, sizeof moments);
    check_bytes(file, "counts", ST_I32, counts, sizeof counts);
    check_bytes(file, "long", ST_I64, long_counts, sizeof long_counts);
    check_bytes(file, "permutation", ST_U32, permutation, sizeof permutation);
    check_bytes(file, "text", ST_U8, bytes_of_text, sizeof bytes_of_text);
    check_bytes(file, "empty", ST_F32, "", 0);
    ck_assert_str_eq(st_metadata(file, "differnet.kind"), "test");
    ck_assert_str_eq(st_metadata(file, "quoted \"\\\n"), "\xC3\xA9\t\"{}\x1B");
    ck_assert_ptr_null(st_metadata(file, "absent"));
    ck_assert_int_eq(count_metadata(file), 4); /* both checksums, too */
    ck_assert_ptr_null(st_find(file, "absent"));
    ck_assert_ptr_null(st_find(file, "__metadata__"));
    snprintf(digits, sizeof digits, "%08x", (unsigned)st_data_crc32(file));
    ck_assert_str_eq(st_metadata(file, "differnet.crc32"), digits);
    ck_assert_uint_eq(st_data_crc32(file), crc32(0, bytes + 8 + header, (uInt)(size - 8 - header)));
    ck_assert(st_header_sum(file, &equal) && equal);
    st_free(file);
}

static dn_blob *save_all(void)
{
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = fill_writer(&allocator);
    dn_blob *blob;

    ck_ok(st_writer_save_memory(writer, &blob, &error));
    st_writer_free(writer);
    return blob;
}

START_TEST(test_round_trip_memory)
{
    dn_blob *blob = save_all();

    check_content(blob->data, blob->size);
    blob_free(blob);
}
END_TEST

START_TEST(test_round_trip_file)
{
    dn_allocator allocator = mem_allocator(NULL);
    const char *folder = test_folder(), *path = path_join(folder, "a.safetensors");
    st_writer *writer = fill_writer(&allocator);
    dn_blob *blob;
    size_t size;

    ck_ok(st_writer_save(writer, path, &error));
    ck_ok(st_writer_save(writer, path, &error));
    ck_ok(st_writer_save_memory(writer, &blob, &error));
    st_writer_free(writer);
    uint8_t *bytes = read_file(path, &size);
    check_content(bytes, size);
    ck_assert_uint_eq(size, blob->size);
    ck_assert_mem_eq(bytes, blob->data, size);
    ck_assert_int_eq(count_files(folder), 1);
    free(bytes);
    blob_free(blob);
}
END_TEST

/* File order, alignment, and what the header says about both. */
START_TEST(test_layout)
{
    static const char *const order[] = {"moments",     "long",  "weights", "counts",
                                        "permutation", "empty", "narrow",  "text"};
    static const size_t sizes[] = {8, 8, 4, 4, 4, 4, 2, 1};
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *blob = save_all();
    st_file *file;

    ck_ok(st_parse(blob->data, blob->size, "x", &allocator, &file, &error));
    for (int32_t i = 0; i < 8; i++) {
        ck_assert_str_eq(st_at(file, i)->name, order[i]);
        ck_assert_uint_eq((size_t)(st_at(file, i)->data - blob->data) % sizes[i], 0);
    }
    st_free(file);
    blob_free(blob);
}
END_TEST

START_TEST(test_read_floats)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *blob = save_all();
    st_file *file;
    float values[6];
    double doubles[6];

    ck_ok(st_parse(blob->data, blob->size, "x", &allocator, &file, &error));
    ck_ok(st_read_f32(file, st_find(file, "weights"), values, &error));
    ck_assert_mem_eq(values, weights, sizeof weights);
    ck_ok(st_read_f32(file, st_find(file, "narrow"), values, &error));
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(values[i], half_to_float(half_from_float(weights[i])));
    ck_ok(st_read_f64(file, st_find(file, "narrow"), doubles, &error));
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(doubles[i], (double)values[i]);
    ck_ok(st_read_f64(file, st_find(file, "moments"), doubles, &error));
    ck_assert_mem_eq(doubles, moments, sizeof moments);
    ck_ok(st_read_f32(file, st_find(file, "empty"), values, &error));
    ck_status(st_read_f32(file, st_find(file, "moments"), values, &error), DN_E_NUMERIC); /* 1e300 */
    ck_assert_str_eq(error.message, "x: tensor moments holds NaN or infinity");
    ck_status(st_read_f32(file, st_find(file, "counts"), values, &error), DN_E_FORMAT);
    ck_assert_str_eq(error.message, "x: tensor counts is neither F32 nor F16 nor F64");
    ck_status(st_read_f64(file, st_find(file, "text"), doubles, &error), DN_E_FORMAT);
    st_free(file);
    blob_free(blob);
}
END_TEST

START_TEST(test_read_not_finite)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    dn_allocator allocator = mem_allocator(NULL);

    for (int i = 0; i < 6; i++) {
        enum st_type type = i < 3 ? ST_F32 : ST_F64;
        float singles[2] = {1, (float)bad[i % 3]}, out[2];
        double doubles[2] = {1, bad[i % 3]}, out_double[2];
        st_writer *writer = st_writer_create(&allocator);
        dn_blob *blob;
        st_file *file;
        st_writer_tensor(writer, "w", type, type, 1, (int64_t[]){2}, i < 3 ? (void *)singles : (void *)doubles);
        ck_ok(st_writer_save_memory(writer, &blob, &error));
        st_writer_free(writer);
        ck_ok(st_parse(blob->data, blob->size, "x", &allocator, &file, &error));
        ck_status(st_read_f32(file, st_at(file, 0), out, &error), DN_E_NUMERIC);
        ck_status(st_read_f64(file, st_at(file, 0), out_double, &error), DN_E_NUMERIC);
        st_free(file);
        blob_free(blob);
    }
}
END_TEST

START_TEST(test_require)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *blob = save_all();
    const st_tensor *tensor;
    st_file *file;

    ck_ok(st_parse(blob->data, blob->size, "x", &allocator, &file, &error));
    ck_ok(st_require(file, "weights", 2, (int64_t[]){3, 2}, &tensor, &error));
    ck_assert_ptr_eq(tensor, st_find(file, "weights"));
    ck_ok(st_require(file, "weights", 2, (int64_t[]){-1, 2}, &tensor, &error));
    ck_ok(st_require(file, "long", 0, NULL, &tensor, &error));
    ck_status(st_require(file, "weights", 2, (int64_t[]){3, 3}, &tensor, &error), DN_E_FORMAT);
    ck_assert_str_eq(error.message, "x: tensor weights: dimension 1 is 2, expected 3");
    ck_assert_ptr_null(tensor);
    ck_status(st_require(file, "weights", 1, (int64_t[]){6}, &tensor, &error), DN_E_FORMAT);
    ck_assert_str_eq(error.message, "x: tensor weights has 2 dimensions, expected 1");
    ck_status(st_require(file, "other", 1, (int64_t[]){6}, &tensor, &error), DN_E_FORMAT);
    ck_assert_str_eq(error.message, "x: tensor other is missing");
    st_free(file);
    blob_free(blob);
}
END_TEST

/* More floats than one conversion chunk, and more tensors than the first allocation holds. */
START_TEST(test_many_and_large)
{
    enum { FLOATS = 10001, TENSORS = 100 };
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    float *values = malloc(FLOATS * sizeof *values), *out = malloc(FLOATS * sizeof *out);
    dn_blob *blob;
    st_file *file;
    const st_entry *entry;
    const char *key, *value;
    char name[16];

    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)(i % 2048) / 64;
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "t%d", i * 37 % TENSORS);
        st_writer_tensor(writer, name, ST_F32, ST_F16, 1, (int64_t[]){i ? i : FLOATS}, values);
        st_writer_metadata(writer, name, name);
    }
    ck_ok(st_writer_save_memory(writer, &blob, &error));
    st_writer_free(writer);
    ck_ok(st_parse(blob->data, blob->size, "x", &allocator, &file, &error));
    ck_assert_int_eq(st_count(file), TENSORS);
    entry = st_metadata_next(file, NULL, &key, &value);
    ck_assert_str_eq(key, "differnet.crc32"); /* the writer's own come first */
    entry = st_metadata_next(file, entry, &key, &value);
    ck_assert_str_eq(key, "differnet.header_crc32");
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "t%d", i * 37 % TENSORS);
        const st_tensor *tensor = st_find(file, name);
        ck_assert_ptr_nonnull(tensor);
        ck_assert_int_eq(tensor->elements, i ? i : FLOATS);
        ck_ok(st_read_f32(file, tensor, out, &error));
        ck_assert_mem_eq(out, values, (size_t)tensor->elements * sizeof *out);
        ck_assert_str_eq(st_metadata(file, name), name);
        entry = st_metadata_next(file, entry, &key, &value); /* in the order they were added */
        ck_assert_str_eq(key, name);
        ck_assert_str_eq(value, name);
    }
    ck_assert_ptr_null(st_metadata_next(file, entry, &key, &value));
    st_free(file);
    blob_free(blob);
    free(values);
    free(out);
}
END_TEST

/* ---- refusals of the writer ---- */

static void expect_refusal(st_writer *writer, dn_status expected, const char *message)
{
    const char *folder = test_folder();
    dn_blob *blob;

    ck_status(st_writer_save_memory(writer, &blob, &error), expected);
    ck_assert_ptr_null(blob);
    ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
    ck_status(st_writer_save(writer, path_join(folder, "a"), &error), expected);
    ck_assert_int_eq(count_files(folder), 0);
    st_writer_free(writer);
}

START_TEST(test_writer_refusals)
{
    static const float large[2] = {1, 65520}, undefined[1] = {NAN};
    static const int64_t one[1] = {1}, two[1] = {2}, huge[2] = {INT64_MAX, INT64_MAX}, negative[1] = {-1};
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *w;

    w = st_writer_create(&allocator);
    st_writer_tensor(w, "big", ST_F32, ST_F16, 1, two, large);
    expect_refusal(w, DN_E_NUMERIC, "tensor big: 65520 is not a finite number as float16");
    w = st_writer_create(&allocator);
    st_writer_tensor(w, "nan", ST_F32, ST_F16, 1, one, undefined);
    expect_refusal(w, DN_E_NUMERIC, "tensor nan");
    w = st_writer_create(&allocator);
    st_writer_tensor(w, "a", ST_F32, ST_F32, 1, one, large);
    st_writer_tensor(w, "a", ST_F32, ST_F32, 1, one, large);
    expect_refusal(w, DN_E_ARGUMENT, "a is written twice");
    w = st_writer_create(&allocator);
    st_writer_metadata(w, "differnet.crc32", "0");
    expect_refusal(w, DN_E_ARGUMENT, "differnet.crc32 is written twice");
    w = st_writer_create(&allocator);
    st_writer_metadata(w, "differnet.header_crc32", "0");
    expect_refusal(w, DN_E_ARGUMENT, "differnet.header_crc32 is written twice");
    w = st_writer_create(&allocator);
    st_writer_metadata(w, "a", "\xFF");
    expect_refusal(w, DN_E_ARGUMENT, "not UTF-8");
    w = st_writer_create(&allocator);
    st_writer_tensor(w, "\xC3", ST_F32, ST_F32, 1, one, large);
    expect_refusal(w, DN_E_ARGUMENT, "not UTF-8");
    for (int i = 0; i < 6; i++) {
        w = st_writer_create(&allocator);
        st_writer_tensor(w, "a",
                         i == 3   ? ST_F64
                         : i == 4 ? ST_OTHER
                                  : ST_F32,
                         i == 3   ? ST_F16
                         : i == 4 ? ST_OTHER
                                  : ST_F32,
                         i == 0   ? 2
                         : i == 1 ? 9
                         : i == 5 ? -1
                                  : 1,
                         i == 0   ? huge
                         : i == 2 ? negative
                                  : one,
                         large);
        expect_refusal(w, DN_E_ARGUMENT, "impossible type or shape");
    }
}
END_TEST

/* What no file could be read with is not written. */
START_TEST(test_writer_limits)
{
    static const int64_t none[1] = {0};
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    char name[16];

    for (int i = 0; i <= ST_MAX_TENSORS; i++) {
        snprintf(name, sizeof name, "%d", i);
        st_writer_tensor(writer, name, ST_U8, ST_U8, 1, none, bytes_of_text);
    }
    expect_refusal(writer, DN_E_LIMIT, "more than 65536 tensors");
    writer = st_writer_create(&allocator);
    for (int i = 0; i <= ST_MAX_METADATA - 2; i++) {
        snprintf(name, sizeof name, "%d", i);
        st_writer_metadata(writer, name, "");
    }
    expect_refusal(writer, DN_E_LIMIT, "more than 65534 metadata");
}
END_TEST

START_TEST(test_header_limit)
{
    dn_allocator allocator = mem_allocator(NULL);
    char *text = malloc(ST_MAX_HEADER + 1);
    st_writer *writer = st_writer_create(&allocator);
    dn_blob *blob;

    memset(text, 'a', ST_MAX_HEADER);
    text[ST_MAX_HEADER] = '\0';
    st_writer_metadata(writer, "long", text);
    ck_status(st_writer_save_memory(writer, &blob, &error), DN_E_LIMIT);
    ck_assert_ptr_null(blob);
    ck_assert_ptr_nonnull(strstr(error.message, "more than the limit of 16777216"));
    st_writer_free(writer);
    free(text);
}
END_TEST

/* The checksum's walk marks the F32 tensors without NaN and infinity, larger than the pieces it works in, too. */
START_TEST(test_walk_finds_finite_tensors)
{
    enum { COUNT = 50000 };
    static const int64_t count = COUNT, one = 1;
    static const size_t places[] = {0, 1, 16383, 16384, 32768, 49999};
    static const float odd = INFINITY;
    dn_allocator allocator = mem_allocator(NULL);
    float *values = calloc(COUNT, sizeof *values);

    for (size_t i = 0; i <= sizeof places / sizeof *places; i++) { /* the last time without NaN */
        st_writer *writer = st_writer_create(&allocator);
        dn_blob *blob;
        st_file *file;
        if (i < sizeof places / sizeof *places)
            values[places[i]] = -NAN;
        st_writer_tensor(writer, "values", ST_F32, ST_F32, 1, &count, values);
        st_writer_tensor(writer, "odd", ST_F32, ST_F32, 1, &one, &odd);
        st_writer_tensor(writer, "counts", ST_I32, ST_I32, 1, &count, values);
        ck_ok(st_writer_save_memory(writer, &blob, NULL));
        ck_ok(st_parse(blob->data, blob->size, "walk", &allocator, &file, NULL));
        ck_assert(!st_find(file, "values")->finite); /* not known yet */
        uint64_t header;
        memcpy(&header, blob->data, sizeof header);
        ck_assert_uint_eq(st_data_crc32(file), crc32(0, blob->data + 8 + header, (uInt)(blob->size - 8 - header)));
        ck_assert(st_find(file, "values")->finite == (i == sizeof places / sizeof *places));
        ck_assert(!st_find(file, "odd")->finite && !st_find(file, "counts")->finite);
        st_free(file);
        blob_free(blob);
        st_writer_free(writer);
        if (i < sizeof places / sizeof *places)
            values[places[i]] = 1;
    }
    free(values);
}
END_TEST

/* ---- damage ---- */

START_TEST(test_every_truncation)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *blob = save_all();

    for (size_t size = 0; size < blob->size; size++) {
        uint8_t *bytes = exact_copy(blob->data, size);
        st_file *file;
        ck_status(st_parse(bytes, size, "short", &allocator, &file, &error), DN_E_FORMAT);
        ck_assert_ptr_null(file);
        ck_assert_msg(!strncmp(error.message, "short: ", 7), "%s", error.message);
        if (size > 8)
            ck_assert_msg(strstr(error.message, "truncated") != NULL, "%s", error.message);
        free(bytes);
    }
    blob_free(blob);
}
END_TEST

/* Reads all there is. */
static void read_all(st_file *file)
{
    for (int32_t i = 0; i < st_count(file); i++) {
        const st_tensor *tensor = st_at(file, i);
        ck_assert_ptr_eq(st_find(file, tensor->name), tensor);
        double *values = malloc((size_t)tensor->elements * sizeof *values + 1);
        dn_status status = st_read_f64(file, tensor, values, &error);
        ck_assert(status == DN_OK || status == DN_E_FORMAT || status == DN_E_NUMERIC);
        free(values);
    }
    st_data_crc32(file);
}

START_TEST(test_random_damage)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_blob *blob = save_all();
    rng random;
    int accepted = 0;

    rng_seed(&random, 1, 99);
    for (int round = 0; round < 4000; round++) {
        uint8_t *bytes = exact_copy(blob->data, blob->size);
        st_file *file;
        for (uint64_t flips = 1 + rng_below(&random, 3); flips > 0; flips--)
            bytes[rng_below(&random, blob->size)] ^= (uint8_t)(1u << rng_below(&random, 8));
        dn_status status = st_parse(bytes, blob->size, "damaged", &allocator, &file, &error);
        if (status == DN_OK) {
            read_all(file);
            accepted++;
        } else {
            ck_assert_int_eq(status, DN_E_FORMAT);
        }
        st_free(file);
        free(bytes);
    }
    ck_assert_int_gt(accepted, 0); /* flips in the data only */
    ck_assert_int_lt(accepted, 4000);
    blob_free(blob);
}
END_TEST

/* ---- failures by number ---- */

START_TEST(test_parse_out_of_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_blob *blob = save_all();
    st_file *file = NULL;
    dn_status status = DN_E_MEMORY;

    for (memory.fail_at = 1; status != DN_OK; memory.fail_at++) {
        ck_assert_int_lt(memory.fail_at, 100);
        memory.calls = 0;
        status = st_parse(blob->data, blob->size, "x", &allocator, &file, &error);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && memory.live == 0 && !file));
    }
    ck_assert_int_gt(memory.fail_at, 4);
    st_free(file);
    ck_assert_int_eq(memory.live, 0);
    blob_free(blob);
}
END_TEST

START_TEST(test_write_out_of_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    const char *folder = test_folder(), *path = path_join(folder, "a");
    int finished = 0;

    for (memory.fail_at = 1; !finished; memory.fail_at++) {
        ck_assert_int_lt(memory.fail_at, 100);
        memory.calls = 0;
        st_writer *writer = fill_writer(&allocator);
        dn_blob *blob = NULL;
        dn_status status = writer ? st_writer_save_memory(writer, &blob, &error) : DN_E_MEMORY;
        if (status == DN_OK)
            status = st_writer_save(writer, path, &error);
        ck_assert(status == DN_OK || status == DN_E_MEMORY);
        finished = status == DN_OK;
        ck_assert_int_eq(count_files(folder), finished);
        blob_free(blob);
        st_writer_free(writer);
        ck_assert_int_eq(memory.live, 0);
    }
}
END_TEST

/* RFC 3629: which texts go into a header. */
START_TEST(test_utf8)
{
    static const struct {
        const char *text;
        _Bool valid;
    } cases[] = {
        {"", 1},
        {"a", 1},
        {"\xC2\x80", 1},
        {"\xDF\xBF", 1},
        {"\xE0\xA0\x80", 1},
        {"\xED\x9F\xBF", 1},
        {"\xEE\x80\x80", 1},
        {"\xEF\xBF\xBF", 1},
        {"\xF0\x90\x80\x80", 1},
        {"\xF4\x8F\xBF\xBF", 1},
        {"\x80", 0},
        {"\xBF", 0},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"\xC2", 0},
        {"\xC2.", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xED\xA0\x80", 0},
        {"\xE2\x82", 0},
        {"\xE2\x82.", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"\xF8\x88\x80\x80\x80", 0},
        {"\xFE", 0},
        {"\xFF", 0},
    };
    dn_allocator allocator = mem_allocator(NULL);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        st_writer *writer = st_writer_create(&allocator);
        dn_blob *blob;
        st_writer_metadata(writer, "text", cases[i].text);
        ck_status(st_writer_save_memory(writer, &blob, &error), cases[i].valid ? DN_OK : DN_E_ARGUMENT);
        blob_free(blob);
        st_writer_free(writer);
    }
}
END_TEST

START_TEST(test_save_file_failures)
{
    dn_allocator allocator = mem_allocator(NULL);
    const char *folder = test_folder(), *path = path_join(folder, "a");
    st_writer *writer = fill_writer(&allocator);
    int finished = 0;

    for (long number = 1; !finished; number++) {
        size_t size;
        write_file(path, "old", 3);
        files_fail_at(number);
        dn_status status = st_writer_save(writer, path, &error);
        finished = files_calls() < number;
        files_restore();
        uint8_t *bytes = read_file(path, &size);
        if (status == DN_OK) {
            check_content(bytes, size);
        } else {
            ck_assert_int_eq(status, DN_E_IO);
            ck_assert_uint_eq(size, 3);
            ck_assert_mem_eq(bytes, "old", 3);
            ck_assert_ptr_nonnull(strstr(error.message, path));
        }
        ck_assert_int_eq(count_files(folder), 1);
        ck_assert_int_eq(files_open(), 0);
        free(bytes);
        ck_assert_int_lt(number, 100);
    }
    files_stutter();
    ck_ok(st_writer_save(writer, path, &error));
    files_restore();
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    check_content(bytes, size);
    free(bytes);
    st_writer_free(writer);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *half = tcase_create("float16"), *reading = tcase_create("reading"), *writing = tcase_create("writing"),
          *damage = tcase_create("damage"), *failures = tcase_create("failures");

    tcase_add_test(half, test_half_to_float);
    tcase_add_test(half, test_half_round_trip);
    tcase_add_test(half, test_many_halves);
    tcase_add_test(half, test_half_rounds_to_nearest_even);
    tcase_add_test(half, test_half_ends);
    tcase_add_loop_test(reading, test_hostile_headers, 0, (int)(sizeof hostile / sizeof *hostile));
    tcase_add_test(reading, test_valid_headers);
    tcase_add_test(reading, test_types);
    tcase_add_loop_test(reading, test_small_values_in_a_large_header, 0, 6);
    tcase_add_test(reading, test_deep_nesting);
    tcase_add_loop_test(reading, test_foreign_files, 0, (int)(sizeof foreign / sizeof *foreign));
    tcase_add_test(reading, test_too_many_tensors);
    tcase_add_test(writing, test_round_trip_memory);
    tcase_add_test(writing, test_round_trip_file);
    tcase_add_test(writing, test_layout);
    tcase_add_test(writing, test_read_floats);
    tcase_add_test(writing, test_read_not_finite);
    tcase_add_test(writing, test_require);
    tcase_add_test(writing, test_many_and_large);
    tcase_add_test(writing, test_writer_refusals);
    tcase_add_test(writing, test_writer_limits);
    tcase_add_test(writing, test_header_limit);
    tcase_add_test(writing, test_utf8);
    tcase_add_test(writing, test_walk_finds_finite_tensors);
    tcase_add_test(damage, test_every_truncation);
    tcase_add_test(damage, test_random_damage);
    tcase_add_test(failures, test_parse_out_of_memory);
    tcase_add_test(failures, test_write_out_of_memory);
    tcase_add_test(failures, test_save_file_failures);
    for (size_t i = 0; i < 5; i++) {
        TCase *cases[] = {half, reading, writing, damage, failures};
        tcase_set_timeout(cases[i], 120);
        suite_add_tcase(suite, cases[i]);
    }
    return suite;
}

TEST_MAIN(make_suite)
