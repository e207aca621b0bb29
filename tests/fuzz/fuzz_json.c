/* Fuzz target: the JSON of lib/format.  What is accepted is read whole, written, and read again to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "../json_rewrite.h"
#include "base/memory.h"
#include "fuzz.h"

static dn_blob *rewrite(json_value value)
{
    dn_allocator allocator = mem_allocator(NULL);
    json_writer json = {.blob = blob_create(&allocator)};

    fuzz_require(json.blob != NULL, "memory");
    json_rewrite(value, &json);
    return json.blob;
}

/* The bytes as a text of C, and between quotes: it is UTF-8 if that is a document. */
static void check_text(const uint8_t *data, size_t size)
{
    char *quoted = malloc(size + 3);
    json_value root;
    size_t position;

    fuzz_require(quoted != NULL, "memory");
    quoted[0] = '"';
    memcpy(quoted + 1, data, size);
    quoted[size + 1] = '\0';
    size_t length = strlen(quoted);
    _Bool utf8 = json_is_utf8(quoted + 1), plain = 1;
    for (size_t i = 1; i < length; i++)
        plain = plain && (uint8_t)quoted[i] >= ' ' && quoted[i] != '"' && quoted[i] != '\\';
    quoted[length] = '"';
    fuzz_require(!plain || json_parse(quoted, length + 1, &root, &position) == utf8, "UTF-8");
    free(quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"a", "b"};
    json_value root, found[2];
    size_t position;
    double number;

    check_text(data, size);
    _Bool good = json_parse(data, size, &root, &position);
    fuzz_require(position <= size && good == (root.size > 0), "the position is in the document");
    if (!good)
        return 0;
    (void)json_pick(root, keys, 2, found);
    fuzz_require(json_type_of(root) == JSON_NUMBER || !json_read_real(root, &number), "a number");
    fuzz_require(!json_text_is(root, "") || root.size == 2, "a text");
    dn_blob *first = rewrite(root);
    fuzz_require(json_parse(first->data, first->size, &root, &position), "what is written is valid");
    dn_blob *second = rewrite(root);
    fuzz_require(first->size == second->size && !memcmp(first->data, second->data, first->size),
                 "writing changes no value");
    blob_free(first);
    blob_free(second);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    static const char *const documents[] = {
        "{\"a\":[1,-2.5e-3,true,false,null,1.7976931348623157e308,5e-324,123456789012345678901234567890],"
        "\"\xC3\xA9\\uD83D\\uDE00\\n\\\"\":{\"b\":\"\\\\\",\"c\":[[]],\"d\":false},\"e\":{}}",
        "[{\"op\":\"conv\",\"weight\":\"features.0.weight\",\"stride\":4,"
        "\"pad\":[2,2,2,2]},{\"op\":\"relu\",\"tap\":true}]",
        " 0.10000000000000001 ",
        "[9223372036854775807,9223372036854775808,-9223372036854775808,-9223372036854775809]",
        "[1e1000000,-1e-1000000,9007199254740993.0,9007199254740995.0]", /* ties */
        "\"\"",
        "\xC3\xA9 \xED\xA0\x80",
        "[[[[[[[[[[\"\\u00e9\\b\\f\\r\\t\\/\"]]]]]]]]]]",
    };
    const size_t count = sizeof documents / sizeof *documents;

    if ((size_t)index >= count)
        return NULL;
    *size = strlen(documents[index]);
    uint8_t *seed = malloc(*size);
    fuzz_require(seed != NULL, "memory");
    return memcpy(seed, documents[index], *size);
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
