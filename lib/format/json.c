#include "format/json.h"

#include <math.h>
#include <string.h>

#include "format/decimal.h"

_Static_assert(JSON_MAX_NUMBER <= DECIMAL_MAX_DIGITS, "a number's digits fit");

/* A place in a document. */
typedef struct scanner {
    const uint8_t *at, *end;
} scanner;

/* The next byte; 0, which no JSON holds, at the end. */
static uint8_t peek(const scanner *s)
{
    return s->at < s->end ? *s->at : 0;
}

static _Bool take(scanner *s, char expected)
{
    if (peek(s) != (uint8_t)expected)
        return 0;
    s->at++;
    return 1;
}

static void skip_blanks(scanner *s)
{
    while (peek(s) == ' ' || peek(s) == '\n' || peek(s) == '\t' || peek(s) == '\r')
        s->at++;
}

/* ---- texts ---- */

/* One character of UTF-8; `end` lies behind it or further. */
static _Bool scan_character(scanner *s)
{
    static const uint32_t smallest[4] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = *s->at;
    int more = first < 0x80 ? 0 : first < 0xC0 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF8 ? 3 : -1;

    if (more < 0 || s->end - s->at <= more)
        return 0;
    uint32_t code = more > 0 ? first & (0x3Fu >> more) : first;
    for (int i = 1; i <= more; i++) {
        if ((s->at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s->at[i] & 0x3F);
    }
    if (code < smallest[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return 0;
    s->at += 1 + more;
    return 1;
}

_Bool json_is_utf8(const char *text)
{
    scanner s = {(const uint8_t *)text, (const uint8_t *)text + strlen(text)};

    while (s.at < s.end)
        if (!scan_character(&s))
            return 0;
    return 1;
}

/* Four hexadecimal digits, or -1. */
static int32_t hexadecimal(const uint8_t *at, const uint8_t *end)
{
    int32_t code = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* What follows \u, with the second half of a surrogate pair: *code.  NUL and halves that stand alone are refused. */
static _Bool scan_code(scanner *s, uint32_t *code)
{
    int32_t first = hexadecimal(s->at, s->end);

    if (first <= 0 || (first >= 0xDC00 && first < 0xE000))
        return 0;
    s->at += 4;
    *code = (uint32_t)first;
    if (first < 0xD800 || first >= 0xE000)
        return 1;
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
        return 0;
    int32_t second = hexadecimal(s->at + 2, s->end);
    if (second < 0xDC00 || second >= 0xE000)
        return 0;
    s->at += 6;
    *code = 0x10000 + ((uint32_t)(first - 0xD800) << 10) + (uint32_t)(second - 0xDC00);
    return 1;
}

/* What follows a backslash. */
static _Bool scan_escape(scanner *s, uint32_t *code)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t letter = peek(s);
    const char *place = letter ? strchr(letters, letter) : NULL;

    if (take(s, 'u'))
        return scan_code(s, code);
    if (!place)
        return 0;
    s->at++;
    *code = (uint8_t)meanings[place - letters];
    return 1;
}

static _Bool scan_text(scanner *s)
{
    uint32_t code;

    if (!take(s, '"'))
        return 0;
    while (s->at < s->end && *s->at != '"')
        if (*s->at < 0x20 || !(take(s, '\\') ? scan_escape(s, &code) : scan_character(s)))
            return 0;
    return take(s, '"');
}

/* ---- other values ---- */

static _Bool scan_digits(scanner *s)
{
    const uint8_t *start = s->at;

    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > start;
}

static _Bool scan_number(scanner *s)
{
    const uint8_t *start = s->at;

    (void)take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return 0;
    if (take(s, '.') && !scan_digits(s))
        return 0;
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (!take(s, '+'))
            (void)take(s, '-');
        if (!scan_digits(s))
            return 0;
    }
    return s->at - start <= JSON_MAX_NUMBER;
}

static _Bool scan_word(scanner *s, const char *word)
{
    for (; *word; word++)
        if (!take(s, *word))
            return 0;
    return 1;
}

static _Bool scan_scalar(scanner *s)
{
    switch (peek(s)) {
    case '"':
        return scan_text(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

/* A key with its colon. */
static _Bool scan_key(scanner *s)
{
    skip_blanks(s);
    if (!scan_text(s))
        return 0;
    skip_blanks(s);
    return take(s, ':');
}

/* Moves over one value with all it holds; if that is not valid, to where it shows. */
static _Bool scan_value(scanner *s)
{
    uint64_t objects = 0; /* a bit for every container that is open, the innermost the lowest: it is an object */
    int depth = 0;

    _Static_assert(JSON_MAX_DEPTH <= 64, "a bit for each level");
    for (;;) {
        skip_blanks(s);
        _Bool object = peek(s) == '{', opened = object || peek(s) == '[';
        if (opened) {
            if (depth++ == JSON_MAX_DEPTH)
                return 0;
            objects = objects << 1 | object;
            s->at++;
        } else if (!scan_scalar(s)) {
            return 0;
        }
        /* Closes what ends here, up to where another value is due. */
        for (; depth > 0; opened = 0) {
            object = objects & 1;
            skip_blanks(s);
            if (take(s, object ? '}' : ']')) {
                objects >>= 1;
                depth--;
            } else if (!(opened || take(s, ',')) || (object && !scan_key(s))) {
                return 0;
            } else {
                break;
            }
        }
        if (depth == 0)
            return 1;
    }
}

_Bool json_parse(const void *bytes, size_t size, json_value *root, size_t *position)
{
    scanner s = {bytes, (const uint8_t *)bytes + size};

    skip_blanks(&s);
    const uint8_t *start = s.at;
    _Bool good = scan_value(&s);
    *root = (json_value){start, (size_t)(s.at - start)};
    if (good)
        skip_blanks(&s);
    *position = (size_t)(s.at - (const uint8_t *)bytes);
    if (good && s.at == s.end)
        return 1;
    *root = (json_value){NULL, 0};
    return 0;
}

/* ---- what a value is and holds ---- */

enum json_type json_type_of(json_value value)
{
    switch (value.size > 0 ? *value.at : 0) {
    case 0:
        return JSON_NONE;
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_TEXT;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

json_cursor json_inside(json_value value)
{
    enum json_type type = json_type_of(value);

    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return (json_cursor){NULL, NULL, 0};
    return (json_cursor){value.at + 1, value.at + value.size - 1, type == JSON_OBJECT};
}

/* The document is known to be valid: a failure here is its end. */
_Bool json_next(json_cursor *cursor, json_value *key, json_value *value)
{
    scanner s = {cursor->at, cursor->end};

    *key = *value = (json_value){NULL, 0};
    skip_blanks(&s);
    (void)take(&s, ',');
    skip_blanks(&s);
    if (cursor->object) {
        const uint8_t *start = s.at;
        if (!scan_text(&s))
            return 0;
        *key = (json_value){start, (size_t)(s.at - start)};
        skip_blanks(&s);
        (void)take(&s, ':');
        skip_blanks(&s);
    }
    const uint8_t *start = s.at;
    if (!scan_value(&s))
        return 0;
    *value = (json_value){start, (size_t)(s.at - start)};
    cursor->at = s.at;
    return 1;
}

_Bool json_pick(json_value object, const char *const *keys, size_t count, json_value *found)
{
    json_value key, value;

    for (size_t i = 0; i < count; i++)
        found[i] = (json_value){NULL, 0};
    for (json_cursor cursor = json_inside(object); json_next(&cursor, &key, &value);)
        for (size_t i = 0; i < count; i++)
            if (json_text_is(key, keys[i])) {
                if (found[i].size > 0)
                    return 0;
                found[i] = value;
            }
    return json_type_of(object) == JSON_OBJECT;
}

/* ---- reading values ---- */

_Bool json_read_integer(json_value value, int64_t *out)
{
    int64_t number = 0;

    *out = 0;
    if (json_type_of(value) != JSON_NUMBER)
        return 0;
    _Bool negative = *value.at == '-';
    for (size_t i = negative; i < value.size; i++) {
        int digit = value.at[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number))
            return 0;
    }
    *out = number;
    return 1;
}

_Bool json_read_real(json_value value, double *out)
{
    char digits[JSON_MAX_NUMBER];
    int count = 0, exponent = 0, written = 0;
    _Bool point = 0;

    *out = 0;
    if (json_type_of(value) != JSON_NUMBER)
        return 0;
    const uint8_t *at = value.at, *end = value.at + value.size;
    for (at += *at == '-'; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.')
            point = 1;
        else
            digits[count++] = (char)*at;
        exponent -= point && *at != '.';
    }
    _Bool small = at + 1 < end && at[1] == '-';
    for (at += at < end; at < end; at++)
        if (*at >= '0' && *at <= '9' && written < 100000) /* far beyond any double */
            written = 10 * written + (*at - '0');
    *out = decimal_to_double(digits, count, exponent + (small ? -written : written));
    if (*value.at == '-')
        *out = -*out;
    return isfinite(*out);
}

/* The next character of a valid text, escapes resolved: 1 to 4 bytes. */
static int decode(scanner *s, uint8_t out[4])
{
    const uint8_t *start = s->at;
    uint32_t code = 0;

    if (!take(s, '\\')) {
        s->at++;
        while ((peek(s) & 0xC0) == 0x80)
            s->at++;
        memcpy(out, start, (size_t)(s->at - start));
        return (int)(s->at - start);
    }
    (void)scan_escape(s, &code);
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(more > 0 ? (0xFF00u >> (more + 1) & 0xFF) | code : code);
    return 1 + more;
}

/* Between a text's quotes; nothing for other values. */
static scanner inside_text(json_value value)
{
    if (json_type_of(value) != JSON_TEXT)
        return (scanner){NULL, NULL};
    return (scanner){value.at + 1, value.at + value.size - 1};
}

size_t json_text_size(json_value value)
{
    uint8_t bytes[4];
    size_t size = 0;

    for (scanner s = inside_text(value); s.at < s.end;)
        size += (size_t)decode(&s, bytes);
    return size;
}

_Bool json_read_text(json_value value, char *out, size_t room)
{
    uint8_t bytes[4];

    if (json_type_of(value) != JSON_TEXT || json_text_size(value) >= room)
        return 0;
    for (scanner s = inside_text(value); s.at < s.end;) {
        int size = decode(&s, bytes);
        memcpy(out, bytes, (size_t)size);
        out += size;
    }
    *out = '\0';
    return 1;
}

_Bool json_text_is(json_value value, const char *text)
{
    uint8_t bytes[4];
    size_t length = strlen(text), done = 0;

    for (scanner s = inside_text(value); s.at < s.end;) {
        size_t size = (size_t)decode(&s, bytes);
        if (size > length - done || memcmp(bytes, text + done, size) != 0)
            return 0;
        done += size;
    }
    return done == length && json_type_of(value) == JSON_TEXT;
}
