/* lib/format: JSON and decimal numbers.  compare_json.py compares both with Python's. */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "format/decimal.h"
#include "json_rewrite.h"
#include "support.h"

/* Exactly its bytes on the heap, so that a read beyond them is seen. */
static _Bool parse_bytes(const char *bytes, size_t size, size_t *position)
{
    char *copy = malloc(size ? size : 1);
    json_value root;

    memcpy(copy, bytes, size);
    _Bool good = json_parse(copy, size, &root, position);
    ck_assert(good == (root.size > 0));
    free(copy);
    return good;
}

/* A document that stays. */
static json_value parse(const char *text)
{
    json_value root;
    size_t position;

    ck_assert_msg(json_parse(text, strlen(text), &root, &position), "%s: byte %zu", text, position);
    return root;
}

/* ---- what is accepted ---- */

START_TEST(accepts)
{
    static const char *const documents[] = {
        "{}",
        "[]",
        " [ ] ",
        "{ }",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "1.5",
        "1e5",
        "1E+5",
        "-1.25e-7",
        "\"\"",
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"",
        "[1,2,[3,{\"a\":[]}],{}]",
        "\t\r\n{\"a\":1,\"a\":2}\n",
        "\"\x7F\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "\"\xC2\x80\xE0\xA0\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"",
        "[\"]\",\"}\",\"\\\"\"]",
        "1e999",
        "\"\\uFFFF\"",
    };
    size_t position;

    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        ck_assert_msg(parse_bytes(documents[i], strlen(documents[i]), &position), "%s", documents[i]);
}
END_TEST

START_TEST(refuses)
{
    static const struct {
        const char *document;
        size_t position; /* where it shows */
    } cases[] = {
        {"", 0},
        {" ", 1},
        {"{", 1},
        {"[", 1},
        {"}", 0},
        {"{]", 1},
        {"[}", 1},
        {"[1", 2},
        {"[1,", 3},
        {"[1,]", 3},
        {"[,1]", 1},
        {"[1 2]", 3},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},
        {"{a:1}", 1},
        {"{1:1}", 1},
        {"{\"a\":1 \"b\":2}", 7},
        {"1 2", 2},
        {"{}{}", 2},
        {"tru", 3},
        {"trues", 4},
        {"nul", 3},
        {"True", 0},
        {"01", 1},
        {"-", 1},
        {"+1", 0},
        {".5", 0},
        {"1.", 2},
        {"1.e5", 2},
        {"1e", 2},
        {"1e+", 3},
        {"0x10", 1},
        {"NaN", 0},
        {"Infinity", 0},
        {"-Infinity", 1},
        {"'a'", 0},
        {"\"", 1},
        {"\"a", 2},
        {"\"\\", 2},
        {"\"\\\"", 3},
        {"\"\\x\"", 2},
        {"\"\\u12", 3},
        {"\"\\u12g4\"", 3},
        {"\"\\u12/4\"", 3},
        {"\"\\u12:4\"", 3},
        {"\"\\u12@4\"", 3},
        {"\"\\u12G4\"", 3},
        {"\"\\u12`4\"", 3},
        {"\"\\u0000\"", 3},
        {"\"\\uD800\"", 7},
        {"\"\\uDC00\"", 3},
        {"\"\\uD800\\u0041\"", 7},
        {"\"\\uD800\\", 7},
        {"\"\n\"", 1},
        {"\"\x1F\"", 1},
        {"\"\x80\"", 1},
        {"\"\xC0\x80\"", 1},
        {"\"\xED\xA0\x80\"", 1},
        {"\"\xF4\x90\x80\x80\"", 1},
        {"\"\xF8\x90\x80\x80\"", 1},
        {"\"\xE2\x82\"", 1},
        {"\"\xE2\x82", 1},
        {"\xEF\xBB\xBF{}", 0},
        {"/* */1", 0},
        {"[1]\f", 3},
    };
    size_t position;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(!parse_bytes(cases[i].document, strlen(cases[i].document), &position), "%s", cases[i].document);
        ck_assert_msg(position == cases[i].position, "%s: byte %zu", cases[i].document, position);
    }
    ck_assert(!parse_bytes("1\0", 2, &position));
    ck_assert(!parse_bytes("\"\0\"", 3, &position));
}
END_TEST

/* Levels of nesting, and bytes of a number: one more than allowed. */
START_TEST(limits)
{
    char text[4 * JSON_MAX_DEPTH + 2 * JSON_MAX_NUMBER];
    size_t position;

    for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        size_t half = (size_t)depth;
        memset(text, '[', half);
        memset(text + half, ']', half);
        ck_assert_int_eq(parse_bytes(text, 2 * half, &position), depth == JSON_MAX_DEPTH);
    }
    for (size_t length = JSON_MAX_NUMBER; length <= JSON_MAX_NUMBER + 1; length++) {
        memset(text, '7', length);
        ck_assert_int_eq(parse_bytes(text, length, &position), length == JSON_MAX_NUMBER);
    }
}
END_TEST

/* Whatever is cut off, nothing is read behind the end and nothing is accepted. */
START_TEST(every_prefix)
{
    static const char document[] =
        "{\"a\":[1,-2.5e-3,true,null],\"\xC3\xA9\\uD83D\\uDE00\":{\"b\":\"\\\\\",\"c\":[[]],\"d\":false}}";
    size_t position;

    for (size_t size = 0; size < strlen(document); size++)
        ck_assert(!parse_bytes(document, size, &position));
    ck_assert(parse_bytes(document, strlen(document), &position));
}
END_TEST

/* ---- taking values ---- */

START_TEST(walks_in_order)
{
    json_value key, value, root = parse(" [ 1 , \"b\" , [ 2 , 3 ] , { } , null ] ");
    enum json_type types[] = {JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT, JSON_NULL};
    int count = 0;

    for (json_cursor cursor = json_inside(root); json_next(&cursor, &key, &value); count++) {
        ck_assert_int_eq(json_type_of(value), types[count]);
        ck_assert_uint_eq(key.size, 0);
    }
    ck_assert_int_eq(count, 5);
    root = parse("{ \"x\" : {\"y\":[1]} , \"\\u0078\" : 2 }");
    count = 0;
    for (json_cursor cursor = json_inside(root); json_next(&cursor, &key, &value); count++)
        ck_assert(json_text_is(key, "x"));
    ck_assert_int_eq(count, 2);
    json_cursor none = json_inside(parse("1"));
    ck_assert(!json_next(&none, &key, &value));
    none = json_inside((json_value){NULL, 0});
    ck_assert(!json_next(&none, &key, &value));
    none = json_inside(parse("{}"));
    ck_assert(!json_next(&none, &key, &value));
}
END_TEST

START_TEST(picks_values)
{
    static const char *const keys[] = {"a", "b", "c"};
    json_value found[3];
    int64_t number;

    ck_assert(json_pick(parse("{\"c\":3,\"x\":0,\"x\":0,\"a\":1}"), keys, 3, found));
    ck_assert(json_read_integer(found[0], &number) && number == 1);
    ck_assert_int_eq(json_type_of(found[1]), JSON_NONE);
    ck_assert(json_read_integer(found[2], &number) && number == 3);
    ck_assert(!json_pick(parse("{\"c\":3,\"c\":3}"), keys, 3, found));
    ck_assert(!json_pick(parse("{\"c\":3,\"\\u0063\":3}"), keys, 3, found));
    ck_assert(!json_pick(parse("[\"a\",1]"), keys, 3, found));
    ck_assert(!json_pick((json_value){NULL, 0}, keys, 3, found));
    ck_assert(json_pick(parse("{}"), keys, 3, found));
}
END_TEST

START_TEST(reads_texts)
{
    json_value text = parse("\"a\\u00e9\\uD83D\\uDE00\\n\xE2\x82\xAC\"");
    const char *expected = "a\xC3\xA9\xF0\x9F\x98\x80\n\xE2\x82\xAC";
    char out[32] = "kept";

    ck_assert_uint_eq(json_text_size(text), strlen(expected));
    ck_assert(!json_read_text(text, out, strlen(expected)));
    ck_assert_str_eq(out, "kept");
    ck_assert(json_read_text(text, out, strlen(expected) + 1));
    ck_assert_str_eq(out, expected);
    ck_assert(json_text_is(text, expected));
    ck_assert(!json_text_is(text, "a\xC3\xA9\xF0\x9F\x98\x80\n\xE2\x82"));
    ck_assert(!json_text_is(text, "a\xC3\xA9\xF0\x9F\x98\x80\n\xE2\x82\xAC."));
    ck_assert(!json_text_is(text, ""));
    ck_assert(json_text_is(parse("\"\\u09af\\uA0Ff\""), "\xE0\xA6\xAF\xEA\x83\xBF")); /* the ends of all digits */
    ck_assert(json_text_is(parse("\"\""), ""));
    ck_assert(!json_text_is(parse("[]"), ""));
    ck_assert(!json_text_is((json_value){NULL, 0}, ""));
    ck_assert(!json_read_text(parse("1"), out, sizeof out));
    ck_assert_uint_eq(json_text_size(parse("{\"a\":1}")), 0);
}
END_TEST

START_TEST(reads_integers)
{
    static const struct {
        const char *text;
        _Bool good;
        int64_t value;
    } cases[] = {
        {"0", 1, 0},
        {"-0", 1, 0},
        {"-7", 1, -7},
        {"9223372036854775807", 1, INT64_MAX},
        {"-9223372036854775808", 1, INT64_MIN},
        {"9223372036854775808", 0, 0},
        {"-9223372036854775809", 0, 0},
        {"99999999999999999999", 0, 0},
        {"1.0", 0, 0},
        {"1e2", 0, 0},
        {"\"1\"", 0, 0},
        {"true", 0, 0},
        {"[1]", 0, 0},
    };
    int64_t value;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(json_read_integer(parse(cases[i].text), &value) == cases[i].good, "%s", cases[i].text);
        ck_assert_int_eq(value, cases[i].value);
    }
    ck_assert(!json_read_integer((json_value){NULL, 0}, &value));
}
END_TEST

/* ---- numbers ---- */

static double real(const char *text)
{
    double value;

    ck_assert_msg(json_read_real(parse(text), &value), "%s", text);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double random_double(rng *generator)
{
    uint64_t bits;
    double value;

    do {
        bits = rng_next(generator);
        memcpy(&value, &bits, sizeof value);
    } while (!isfinite(value));
    return value;
}

/* The C library reads exactly too, in the locale "C". */
START_TEST(reads_reals)
{
    static const char *const texts[] = {
        "0",
        "1",
        "-1",
        "0.1",
        "0.3e1",
        "123456789012345678901234567890",
        "5e-324",
        "2.4703282292062327208299e-324",
        "2.4703282292062327208300e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "1.7976931348623158079e308",
        "9007199254740993",
        "9007199254740992.9999999999999999",
        "1e23",
        "8.5e-23",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000001e100",
        "1e-400",
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000e-300",
        "0e999",
        "6929495644600919.5",
        "3.518437208883201171875e13",
    };
    rng generator;
    char text[64];
    double value;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(bits_of(real(texts[i])) == bits_of(strtod(texts[i], NULL)), "%s: %.17g", texts[i],
                      real(texts[i]));
    rng_seed(&generator, 1, 0);
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%.*e", (int)(rng_next(&generator) % 20), random_double(&generator));
        if (json_read_real(parse(text), &value))
            ck_assert_msg(bits_of(value) == bits_of(strtod(text, NULL)), "%s: %.17g", text, value);
        else
            ck_assert(isinf(strtod(text, NULL)));
    }
    ck_assert(signbit(real("-0")) && signbit(real("-0.0")) && !signbit(real("0")));
    ck_assert(!json_read_real(parse("1.7976931348623158080e308"), &value));
    ck_assert(!json_read_real(parse("-1e309"), &value));
    ck_assert(!json_read_real(parse("1e99999999999999999999"), &value));
    ck_assert(real("1e-99999999999999999999") == 0);
    ck_assert(!json_read_real(parse("\"1\""), &value));
    ck_assert(!json_read_real((json_value){NULL, 0}, &value));
}
END_TEST

static int significant_digits(const char *text)
{
    int count = 0, zeros = 0;

    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && count == 0))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        count++;
    }
    return count - zeros;
}

/* The number comes back, and with a digit less (as the C library rounds) it would not. */
static void check_printed(double value, _Bool single)
{
    char text[DECIMAL_TEXT], shorter[64];

    if (single)
        decimal_print_float((float)value, text);
    else
        decimal_print(value, text);
    ck_assert_uint_lt(strlen(text), DECIMAL_TEXT);
    ck_assert_msg(single ? strtof(text, NULL) == (float)value : bits_of(strtod(text, NULL)) == bits_of(value),
                  "%s is not %.17g", text, value);
    int digits = significant_digits(text);
    ck_assert_int_le(digits, single ? 9 : 17);
    snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
    ck_assert_msg(digits < 2 || (single ? strtof(shorter, NULL) != (float)value : strtod(shorter, NULL) != value),
                  "%s is shorter than %s", shorter, text);
}

START_TEST(prints_shortest)
{
    rng generator;

    rng_seed(&generator, 2, 0);
    for (int i = 0; i < 5000; i++) {
        double value = i % 2 ? random_double(&generator) : (double)(int64_t)rng_next(&generator) / 1024;
        uint32_t bits = (uint32_t)rng_next(&generator);
        float single;
        memcpy(&single, &bits, sizeof single);
        check_printed(value, 0);
        if (isfinite(single))
            check_printed((double)single, 1);
    }
    for (int exponent = -1074; exponent < 1024; exponent++)
        check_printed(ldexp(1, exponent), 0);
    for (int exponent = -149; exponent < 128; exponent++)
        check_printed(ldexp(1, exponent), 1);
}
END_TEST

START_TEST(prints_as_json)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0.0"},
        {1, "1"},
        {-3, "-3"},
        {0.5, "0.5"},
        {1e15, "1000000000000000"},
        {1e16, "1e16"},
        {1.5e17, "1.5e17"},
        {1e-4, "0.0001"},
        {1e-5, "1e-5"},
        {-1.25e-7, "-1.25e-7"},
        {0.1, "0.1"},
        {100, "100"},
        {0.1 + 0.2, "0.30000000000000004"},
        {DBL_MAX, "1.7976931348623157e308"},
        {DBL_TRUE_MIN, "5e-324"},
        {0x1p-44, "5.684341886080802e-14"},
        {123456.75, "123456.75"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {9.5e22, "9.5e22"},
        {0x1p55, "3.602879701896397e16"},
        {90071992547409.125, "90071992547409.12"}, /* ties to even */
        {90071992547409.375, "90071992547409.38"},
        {0x1p53, "9007199254740992"},
        {2.4, "2.4"},
        {1.9, "1.9"},
    };
    char text[DECIMAL_TEXT];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decimal_print(cases[i].value, text);
        ck_assert_str_eq(text, cases[i].text);
    }
    decimal_print_float(0.485f, text);
    ck_assert_str_eq(text, "0.485");
    decimal_print_float(-FLT_MAX, text);
    ck_assert_str_eq(text, "-3.4028235e38");
    decimal_print_float(FLT_TRUE_MIN, text);
    ck_assert_str_eq(text, "1e-45");
}
END_TEST

/* ---- writing ---- */

static void check_written(json_writer *json, const char *expected)
{
    ck_assert(json_end(json));
    ck_assert_str_eq((const char *)json->blob->data, expected);
    json->blob->size = 0;
    *json = (json_writer){.blob = json->blob};
}

START_TEST(writes)
{
    dn_allocator allocator = mem_allocator(NULL);
    json_writer json = {.blob = blob_create(&allocator)};

    json_open(&json, NULL, "{");
    json_put_text(&json, "a\"\\", "\b\f\n\r\t\x01\x1F/\x7F\xC3\xA9");
    json_open(&json, "list", "[");
    json_put_integer(&json, NULL, INT64_MIN);
    json_put_integer(&json, NULL, INT64_MAX);
    json_open(&json, NULL, "[");
    json_close(&json, "]");
    json_put_double(&json, NULL, -2.5);
    json_close(&json, "]");
    json_put_double(&json, "nan", (double)NAN);
    json_put_float(&json, "inf", INFINITY);
    json_put_float(&json, "tenth", 0.1f);
    json_put_word(&json, "yes", "true");
    json_open(&json, "none", "{");
    json_close(&json, "}");
    json_close(&json, "}");
    check_written(&json, "{\"a\\\"\\\\\":\"\\b\\f\\n\\r\\t\\u0001\\u001F/\x7F\xC3\xA9\",\"list\":[-9223372036854775808,"
                         "9223372036854775807,[],-2.5],\"nan\":null,\"inf\":null,\"tenth\":0.1,\"yes\":true,"
                         "\"none\":{}}");
    json_rewrite(parse(" [ 1.50 , \"\\u0041\" , {\"a\":[true,false,null]} ] "), &json);
    check_written(&json, "[1.5,\"A\",{\"a\":[true,false,null]}]");
    blob_free(json.blob);
}
END_TEST

START_TEST(writing_may_run_out_of_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    _Bool good = 0;

    for (memory.fail_at = 1; !good; memory.fail_at++) {
        memory.calls = 0;
        json_writer json = {.blob = blob_create(&allocator)};
        json.failed = !json.blob;
        json_open(&json, NULL, "[");
        for (int i = 0; i < 100; i++)
            json_put_text(&json, NULL, "a text that takes some room");
        json_close(&json, "]");
        good = json_end(&json);
        ck_assert(good == (memory.calls < memory.fail_at));
        blob_free(json.blob);
        ck_assert_int_eq(memory.live, 0);
    }
    ck_assert_int_gt(memory.fail_at, 5);
}
END_TEST

/* A locale with a decimal comma changes nothing. */
START_TEST(any_locale)
{
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ps_AF", "C.UTF-8"};
    char text[DECIMAL_TEXT];

    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++) {
        setlocale(LC_ALL, locales[i]); /* those that are there */
        ck_assert(bits_of(real("0.1")) == bits_of(0.1) && bits_of(real("1234567.5e-3")) == bits_of(1234.5675));
        decimal_print(1234.5, text);
        ck_assert_str_eq(text, "1234.5");
    }
    setlocale(LC_ALL, "C");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("json");
    TCase *tests = tcase_create("json");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, accepts);
    tcase_add_test(tests, refuses);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, every_prefix);
    tcase_add_test(tests, walks_in_order);
    tcase_add_test(tests, picks_values);
    tcase_add_test(tests, reads_texts);
    tcase_add_test(tests, reads_integers);
    tcase_add_test(tests, reads_reals);
    tcase_add_test(tests, prints_shortest);
    tcase_add_test(tests, prints_as_json);
    tcase_add_test(tests, writes);
    tcase_add_test(tests, writing_may_run_out_of_memory);
    tcase_add_test(tests, any_locale);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
