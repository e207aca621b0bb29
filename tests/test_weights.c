/* tools/convert: safetensors, which format a file has, tensors by hand, packing. */
#include "weights.h"

/* ---- safetensors ---- */

static void make_safetensors(const char *json, size_t length, size_t data)
{
    made_size = 0;
    put_number(length, 8);
    put(json, length);
    for (size_t i = 0; i < data; i++)
        put_number(i + 1, 1);
}

static void refuse_json(const char *json, size_t data, const char *message)
{
    make_safetensors(json, strlen(json), data);
    refuse(DN_E_FORMAT, message);
}

#define T "tensor t: its type, shape or place in the file is not valid"

START_TEST(test_safetensors)
{
    static const char json[] =
        "{\"__metadata__\":{\"name\":\"n\",\"differnet.kind\":\"k\",\"differnet.mean\":3,\"x\":\"y\"},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[2,1,0,3],\"data_offsets\":[4,4]},"
        "\"a\":{\"dtype\":\"I16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"c\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}";

    make_safetensors(json, sizeof json - 1, 13);
    expect("safetensors: differnet.kind=k name=n [b f16 2/0 1/0 0/3 3/1 =] [a other 2/3 3/1 = 0102 0304 0506 0708 090a "
           "0b0c] "
           "[c other = 0d]");
    refuse_cuts(made_size);
    refuse_json("{\"t\":1", 0, "the safetensors header is damaged");
    refuse_json("{\"t\":{},\"t\":{}}", 0, "the safetensors header is damaged");
    refuse_json("{\"t\":{}}", 0, T);
    refuse_json("{\"t\":5}", 0, T);
    refuse_json("{\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
                "a tensor's name has 0 bytes, not 1 to 255");
    /* The header's length: all that is there, and one byte more; 16 MiB, and one byte more. */
    static const char empty[] = "{}";
    make_safetensors(empty, 2, 0);
    expect("safetensors:");
    patch(0, 3, 8);
    refuse(DN_E_FORMAT, "the safetensors header is damaged, cut off or above 16 MiB");
    patch(0, UINT64_MAX, 8);
    refuse(DN_E_FORMAT, "the safetensors header is damaged, cut off or above 16 MiB");
    patch(0, 1, 8);
    refuse(DN_E_FORMAT, "the safetensors header is damaged");
    const size_t limit = (size_t)16 << 20;
    char *spaces = malloc(limit + 1);
    memset(spaces, ' ', limit + 1);
    memcpy(spaces, empty, 2);
    make_safetensors(spaces, limit, 1);
    expect("safetensors:");
    make_safetensors(spaces, limit + 1, 1);
    refuse(DN_E_FORMAT, "the safetensors header is damaged, cut off or above 16 MiB");
    free(spaces);
}
END_TEST

START_TEST(test_safetensors_types)
{
    static const struct {
        const char *name, *type;
        size_t size;
    } types[] = {{"F32", "f32", 4},      {"F16", "f16", 2},   {"BF16", "bf16", 2},     {"F64", "f64", 8},
                 {"I64", "other", 8},    {"I32", "other", 4}, {"I16", "other", 2},     {"I8", "other", 1},
                 {"U64", "other", 8},    {"U32", "other", 4}, {"U16", "other", 2},     {"U8", "other", 1},
                 {"BOOL", "other", 1},   {"C64", "other", 8}, {"F8_E4M3", "other", 1}, {"F8_E5M2", "other", 1},
                 {"F8_E8M0", "other", 1}};
    char json[200];

    for (size_t i = 0; i < COUNT(types); i++)
        for (size_t size = types[i].size - 1; size <= types[i].size + 1; size++) {
            snprintf(
                json, sizeof json,
                "{\"t\":{\"dtype\":\"%s\",\"shape\":[0],\"data_offsets\":[0,0]},\"u\":{\"dtype\":\"%s\",\"shape\":[],"
                "\"data_offsets\":[0,%zu]}}",
                types[i].name, types[i].name, size);
            make_safetensors(json, strlen(json), 9);
            bool good = read_made();
            ck_assert_msg(good == (size == types[i].size), "%s, %zu bytes", types[i].name, size);
            if (good) {
                ck_assert_uint_eq(file.tensors[1].element_size, size);
                ck_assert_ptr_nonnull(strstr(show(&file), types[i].type));
            }
            close_made();
        }
    refuse_json("{\"t\":{\"dtype\":\"F3\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, T);
    refuse_json("{\"t\":{\"dtype\":\"F322\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, T);
    refuse_json("{\"t\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, T);
}
END_TEST

START_TEST(test_safetensors_places)
{
    static const struct {
        const char *shape, *offsets;
        bool good;
    } cases[] = {
        {"[6]", "[0,6]", true},
        {"[6]", "[2,8]", true},
        {"[7]", "[2,9]", false},
        {"[8]", "[0,8]", true},
        {"[8]", "[1,9]", false},
        {"[9]", "[0,9]", false},
        {"[2]", "[-1,1]", false},
        {"[2]", "[-2,0]", false},
        {"[1]", "[-1,0]", false},
        {"[0]", "[0,0]", true},
        {"[0]", "[8,8]", true},
        {"[0]", "[9,9]", false},
        {"[6]", "[0,6,6]", false},
        {"[6]", "[0]", false},
        {"[6]", "[]", false},
        {"[6]", "6", false},
        {"[0]", "[]", false},
        {"[0]", "{}", false},
        {"[0]", "[0,0,0]", false},
        {"[6]", "[0,5]", false},
        {"[6]", "[0,7]", false},
        {"[2,3]", "[0,6]", true},
        {"[2,4]", "[0,6]", false},
        {"[2,0,3]", "[4,4]", true},
        {"[-6]", "[0,6]", false},
        {"[-2,-3]", "[0,6]", false},
        {"[6.0]", "[0,6]", false},
        {"[true]", "[0,1]", false},
        {"[\"6\"]", "[0,6]", false},
        {"[null]", "[0,0]", false},
        {"6", "[0,6]", false},
        {"{}", "[0,1]", false},
        {"[]", "[7,8]", true},
        {"[1,1,1,1,1,1,1,6]", "[0,6]", true},
        {"[1,1,1,1,1,1,1,1,6]", "[0,6]", false},
        /* Sizes whose product leaves 63 bits, or is what a negative length would be. */
        {"[4611686018427387904,2]", "[0,0]", false},
        {"[4611686018427387904,4]", "[0,0]", false},
        {"[9223372036854775807]", "[0,9223372036854775807]", false},
    };
    char json[300];

    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(json, sizeof json, "{\"t\":{\"dtype\":\"U8\",\"shape\":%s,\"data_offsets\":%s}}", cases[i].shape,
                 cases[i].offsets);
        make_safetensors(json, strlen(json), 8);
        if (!cases[i].good) {
            refuse(DN_E_FORMAT, T);
        } else {
            ck_assert_msg(read_made(), "%s", json);
            ck_assert_ptr_eq(file.tensors[0].data, copy + 8 + strlen(json) + atoi(cases[i].offsets + 1));
            close_made();
        }
    }
    /* 2^62 - 2 times 4 bytes are 2^64 - 8: as many as from 8 back to 0. */
    refuse_json("{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387902],\"data_offsets\":[8,0]}}", 8, T);
    refuse_json("{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 8, T);
}
END_TEST

/* ---- which format ---- */

START_TEST(test_formats)
{
    static const char *const none = "is neither a PyTorch checkpoint (torch.save) nor a safetensors file";
    static const struct {
        const char *bytes;
        size_t size, cut; /* with fewer bytes it is nothing */
        const char *message;
    } cases[] = {
        {P("PK\3\4"), 4, "the zip archive is damaged or cut off: it has no end"},
        {P("\x80\2"), 2, "is a pickle, but not one of torch.save: it does not begin with PyTorch's number"},
        {P("\x80\5"), 2, "is a pickle, but not one of torch.save: it does not begin with PyTorch's number"},
        {P("\1\0\0\0\0\0\0\0{"), 9, "the safetensors header is damaged"},
        {P("PK\3\5"), 0, NULL},
        {P("\x80\1."), 0, NULL},
        {P("\x80\6."), 0, NULL},
        {P("\x81\2."), 0, NULL},
        {P("\2\0\0\0\0\0\0\0[]"), 0, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        made_size = 0;
        put(cases[i].bytes, cases[i].size);
        refuse(DN_E_FORMAT, cases[i].message ? cases[i].message : none);
        if (cases[i].cut) {
            made_size--;
            refuse(DN_E_FORMAT, none);
        }
    }
}
END_TEST

/* ---- tensors by hand ---- */

static bool add(const char *bytes, size_t size)
{
    const file_tensor tensor = {
        .type = ELEMENT_F32, .element_size = 4, .data = (const uint8_t *)weights, .elements = 1};

    return weights_add(&file, &(text){bytes, size}, &tensor, &error);
}

START_TEST(test_names)
{
    static char name[300];

    file = (weights_file){.memory = {.limit = (size_t)64 << 20}};
    memset(name, 'n', sizeof name);
    ck_assert(add(name, 1) && add(name, 255));
    ck_assert_uint_eq(strlen(file.tensors[1].name), 255);
    ck_assert(!add(name, 0));
    check_error(&error, DN_E_FORMAT, "a tensor's name has 0 bytes, not 1 to 255");
    ck_assert(!add(name, 256));
    check_error(&error, DN_E_FORMAT, "a tensor's name has 256 bytes, not 1 to 255");
    ck_assert(add(P(" \x7e\x80\xff")));
    for (size_t size = 14; size <= 18; size++) { /* each ends, whatever comes next */
        ck_assert(add(name, size) && add(name, 3));
        ck_assert_uint_eq(strlen(file.tensors[file.count - 2].name), size);
    }
    ck_assert(!add(P("ab\x1f")) && strcmp(error.message, "tensor ab?: control characters in its name") == 0);
    ck_assert(!add(P("\x7f")) && !add(P("a\0b")) && error.status == DN_E_FORMAT);
    weights_free(&file);
    /* 65536 tensors, in memory that is bounded too. */
    file = (weights_file){.memory = {.limit = (size_t)64 << 20}};
    for (int i = 0; i < 65536; i++) {
        int size = snprintf(name, sizeof name, "%d", i);
        ck_assert(add(name, (size_t)size));
    }
    ck_assert(!add(name, 1));
    check_error(&error, DN_E_LIMIT, "more than 65536 tensors");
    ck_assert_str_eq(file.tensors[65535].name, "65535");
    ck_assert_str_eq(file.tensors[100].name, "100");
    weights_free(&file);
    ck_assert_ptr_null(file.tensors);
    file = (weights_file){.memory = {.limit = 32}};
    ck_assert(add(name, 1) && add(name, 1) && !add(name, 1));
    check_error(&error, DN_E_LIMIT, "more objects than a checkpoint of tensors has");
    ck_assert_uint_eq(file.count, 2);
    weights_free(&file);
}
END_TEST

/* ---- packing ---- */

static void expect_packed(const char *header, const void *data, size_t data_size)
{
    size_t size = 0, length = strlen(header), padded = (8 + length + 63) / 64 * 64;
    uint8_t *bytes = weights_pack(&file, data_size, &size, &error);

    ck_assert_msg(bytes != NULL, "%s", error.message);
    ck_assert_int_eq(error.status, DN_OK);
    ck_assert_uint_eq(size, padded + data_size);
    uint64_t told;
    memcpy(&told, bytes, 8);
    ck_assert_uint_eq(told, padded - 8);
    ck_assert_mem_eq(bytes + 8, header, length);
    for (size_t i = 8 + length; i < padded; i++)
        ck_assert_int_eq(bytes[i], ' ');
    if (data_size > 0)
        ck_assert_mem_eq(bytes + padded, data, data_size);
    free(bytes);
    if (data_size > 0) {
        ck_assert_ptr_null(weights_pack(&file, data_size - 1, &size, &error));
        char message[100];
        snprintf(message, sizeof message, "its tensors have more than %zu bytes", data_size - 1);
        ck_assert_str_eq(error.message, message);
        ck_assert_int_eq(error.status, DN_E_LIMIT);
    }
}

/* The header is filled up to whole 64 bytes, of which there may be none left. */
START_TEST(test_pack_headers)
{
    file = (weights_file){0};
    for (int i = 0; i < 130; i++) {
        char name[140], header[200];
        snprintf(name, sizeof name, "%0*d", i + 1, 1);
        snprintf(header, sizeof header, "{\"__metadata__\":{\"name\":\"%s\"}}", name);
        file.metadata[KEY_NAME] = strdup(name);
        expect_packed(header, NULL, 0);
        weights_free(&file);
    }
    file.metadata[KEY_LAYERS] = strdup("\xff");
    size_t size;
    ck_assert_ptr_null(weights_pack(&file, 10, &size, &error));
    check_error(&error, DN_E_FORMAT, "differnet.layers is not UTF-8");
    weights_free(&file);
}
END_TEST

static file_tensor tensor_of(enum element_type type, size_t element_size, const void *data, int32_t rank,
                             const int64_t *shape, const int64_t *stride)
{
    file_tensor tensor = {.type = type, .element_size = element_size, .data = data, .rank = rank, .elements = 1};

    for (int32_t i = 0; i < rank; i++) {
        tensor.shape[i] = shape[i];
        tensor.stride[i] = stride[i];
        tensor.elements *= (size_t)shape[i];
    }
    return tensor;
}

#define ADD(name, type, size, data, shape, stride, rank)                                                             \
    do {                                                                                                             \
        const file_tensor t_ = tensor_of(type, size, data, rank, (const int64_t[8])shape, (const int64_t[8])stride); \
        ck_assert(weights_add(&file, &(text){name, strlen(name)}, &t_, &error));                                     \
    } while (0)
#define SIZES(...)  \
    {               \
        __VA_ARGS__ \
    }

START_TEST(test_pack_elements)
{
    static const uint16_t halves[] = {0x1122, 0x3344, 0x5566, 0x7788};
    static const double doubles[] = {1, 2, 3, 4, 5, 6};
    static const float numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct __attribute__((packed)) {
        float every_second[3];
        float turned[6];
        double from_behind[4];
        uint16_t half[2];
        uint32_t brain[4], brain_turned[4];
        float none_of_one[2];
        float deep[8];
    } expected = {{0, 2, 4},
                  {0, 3, 1, 4, 2, 5},
                  {1, 3, 2, 4},
                  {0x1122, 0x3344},
                  {0x11220000, 0x33440000, 0x55660000, 0x77880000},
                  {0x11220000, 0x55660000, 0x33440000, 0x77880000},
                  {7, 8},
                  {0, 1, 4, 5, 2, 3, 6, 7}};

    file = (weights_file){.memory = {.limit = 1 << 20}};
    ADD("a", ELEMENT_F32, 4, numbers, SIZES(3), SIZES(2), 1);
    ADD("b", ELEMENT_F32, 4, numbers, SIZES(3, 2), SIZES(1, 3), 2);
    ADD("i", ELEMENT_OTHER, 8, numbers, SIZES(2), SIZES(1), 1);
    ADD("c", ELEMENT_F64, 8, doubles, SIZES(2, 1, 2), SIZES(1, 77, 2), 3);
    ADD("d", ELEMENT_F16, 2, halves, SIZES(2), SIZES(1), 1);
    ADD("e", ELEMENT_BF16, 2, halves, SIZES(4), SIZES(1), 1);
    ADD("f", ELEMENT_BF16, 2, halves, SIZES(2, 2), SIZES(1, 2), 2);
    ADD("g", ELEMENT_F32, 4, numbers + 7, SIZES(1, 2), SIZES(5, 1), 2);
    ADD("h", ELEMENT_F32, 4, NULL, SIZES(3, 0), SIZES(0, 9), 2);
    ADD("k", ELEMENT_F32, 4, numbers, SIZES(2, 2, 2), SIZES(2, 4, 1), 3);
    file.metadata[KEY_KIND] = strdup("x");
    expect_packed("{\"__metadata__\":{\"differnet.kind\":\"x\"},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                  "\"b\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[12,36]},"
                  "\"c\":{\"dtype\":\"F64\",\"shape\":[2,1,2],\"data_offsets\":[36,68]},"
                  "\"d\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[68,72]},"
                  "\"e\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[72,88]},"
                  "\"f\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[88,104]},"
                  "\"g\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[104,112]},"
                  "\"h\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[112,112]},"
                  "\"k\":{\"dtype\":\"F32\",\"shape\":[2,2,2],\"data_offsets\":[112,144]}}",
                  &expected, sizeof expected);
    size_t size;
    ADD("a", ELEMENT_OTHER, 4, numbers, SIZES(1), SIZES(1), 1); /* its name does not count */
    free(weights_pack(&file, 1000, &size, &error));
    ck_assert_int_eq(error.status, DN_OK);
    ADD("a", ELEMENT_F32, 4, numbers, SIZES(1), SIZES(1), 1);
    ck_assert_ptr_null(weights_pack(&file, 1000, &size, &error));
    ck_assert_str_eq(error.message, "two tensors have the name a");
    weights_free(&file);
    file = (weights_file){.memory = {.limit = 1 << 20}};
    ADD("\xff", ELEMENT_F32, 4, numbers, SIZES(1), SIZES(1), 1);
    ck_assert_ptr_null(weights_pack(&file, 1000, &size, &error));
    ck_assert_str_eq(error.message, "a tensor's name is not UTF-8");
    weights_free(&file);
    /* Sums and products beyond 64 bits. */
    file = (weights_file){.memory = {.limit = 1 << 20}};
    ADD("a", ELEMENT_F64, 8, doubles, SIZES((int64_t)1 << 61), SIZES(0), 1);
    ck_assert_ptr_null(weights_pack(&file, SIZE_MAX, &size, &error));
    check_error(&error, DN_E_LIMIT, "more than");
    weights_free(&file);
}
END_TEST

static void read_and_refuse(void)
{
    const char *json =
        "{\"__metadata__\":{\"name\":\"n\"},\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    size_t size;

    make_safetensors(json, strlen(json), 4);
    weights_read(&file, made, made_size, &error);
    free(weights_pack(&file, 4, &size, &error));
    free(weights_pack(&file, 3, &size, &error));
    weights_free(&file);
    weights_read(&file, made, made_size - 1, &error);
    weights_free(&file);
}

START_TEST(test_memory_is_given_back)
{
    make_safetensors("{}", 2, 500);
    ck_gives_back(read_and_refuse);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("weights");
    TCase *files = tcase_create("files");

    tcase_add_test(files, test_safetensors);
    tcase_add_test(files, test_safetensors_types);
    tcase_add_test(files, test_safetensors_places);
    tcase_add_test(files, test_formats);
    tcase_add_test(files, test_names);
    tcase_add_test(files, test_pack_headers);
    tcase_add_test(files, test_pack_elements);
    tcase_add_test(files, test_memory_is_given_back);
    suite_add_tcase(suite, files);
    return suite;
}

TEST_MAIN(make_suite)
