#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/decimal.h"
#include "format/json.h"

static void append(json_writer *json, const char *text, size_t size)
{
    if (!json->failed && !blob_append(json->blob, text, size))
        json->failed = 1;
}

static void append_quoted(json_writer *json, const char *text)
{
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";

    append(json, "\"", 1);
    while (*text) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
            plain++;
        append(json, text, plain);
        text += plain;
        if (!*text)
            break;
        char escape[8];
        const char *place = strchr(letters, *text);
        if (place)
            snprintf(escape, sizeof escape, "\\%c", names[place - letters]);
        else
            snprintf(escape, sizeof escape, "\\u%04X", (unsigned)(unsigned char)*text);
        append(json, escape, strlen(escape));
        text++;
    }
    append(json, "\"", 1);
}

/* The comma and the key in front of a value. */
static void begin(json_writer *json, const char *key)
{
    if (json->follows)
        append(json, ",", 1);
    json->follows = 1;
    if (key) {
        append_quoted(json, key);
        append(json, ":", 1);
    }
}

void json_open(json_writer *json, const char *key, const char *bracket)
{
    begin(json, key);
    append(json, bracket, 1);
    json->follows = 0;
}

void json_close(json_writer *json, const char *bracket)
{
    append(json, bracket, 1);
    json->follows = 1;
}

void json_put_word(json_writer *json, const char *key, const char *word)
{
    begin(json, key);
    append(json, word, strlen(word));
}

void json_put_text(json_writer *json, const char *key, const char *text)
{
    begin(json, key);
    append_quoted(json, text);
}

void json_put_integer(json_writer *json, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, value);
    json_put_word(json, key, text);
}

void json_put_double(json_writer *json, const char *key, double value)
{
    char text[DECIMAL_TEXT] = "null";

    if (isfinite(value))
        decimal_print(value, text);
    json_put_word(json, key, text);
}

void json_put_float(json_writer *json, const char *key, float value)
{
    char text[DECIMAL_TEXT] = "null";

    if (isfinite(value))
        decimal_print_float(value, text);
    json_put_word(json, key, text);
}

_Bool json_end(json_writer *json)
{
    append(json, "", 1);
    return !json->failed;
}
