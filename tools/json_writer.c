#include "json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at `text`; 0 if there is none. */
static int utf8_length(const unsigned char *text)
{
    int length = *text < 0x80                    ? 1
                 : *text >= 0xC2 && *text < 0xE0 ? 2
                 : *text >= 0xE0 && *text < 0xF0 ? 3
                 : *text >= 0xF0 && *text < 0xF5 ? 4
                                                 : 0;

    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] >= 0xA0) || /* too long; surrogates */
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] >= 0x90))   /* too long; too large */
        return 0;
    return length;
}

static void write_string(FILE *file, const char *string)
{
    const unsigned char *text = (const unsigned char *)string;

    fputc('"', file);
    while (*text) {
        int length = utf8_length(text);
        if (length == 0) {
            fputs("\\ufffd", file);
            length = 1;
        } else if (*text == '"' || *text == '\\') {
            fprintf(file, "\\%c", *text);
        } else if (*text < 0x20) {
            fprintf(file, "\\u%04x", *text);
        } else {
            fwrite(text, 1, (size_t)length, file);
        }
        text += length;
    }
    fputc('"', file);
}

static void begin_value(json_writer *json, const char *key)
{
    if (json->comma)
        fputs(", ", json->file);
    json->comma = true;
    if (key) {
        write_string(json->file, key);
        fputs(": ", json->file);
    }
}

static void open_bracket(json_writer *json, const char *key, char bracket)
{
    begin_value(json, key);
    fputc(bracket, json->file);
    json->comma = false;
}

static void close_bracket(json_writer *json, char bracket)
{
    fputc(bracket, json->file);
    json->comma = true;
}

void emit_open_object(json_writer *json, const char *key)
{
    open_bracket(json, key, '{');
}

void emit_close_object(json_writer *json)
{
    close_bracket(json, '}');
}

void emit_open_array(json_writer *json, const char *key)
{
    open_bracket(json, key, '[');
}

void emit_close_array(json_writer *json)
{
    close_bracket(json, ']');
}

void emit_text(json_writer *json, const char *key, const char *text)
{
    begin_value(json, key);
    write_string(json->file, text);
}

void emit_integer(json_writer *json, const char *key, int64_t value)
{
    begin_value(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void emit_unsigned(json_writer *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->file, "%" PRIu64, value);
}

/* The first of `low` .. `high` digits with which the number reads back the same. */
static void format_number(char text[NUMBER_SIZE], double value, int low, int high)
{
    for (int digits = low; digits <= high; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, value);
        if (high > 9 ? strtod(text, NULL) == value : (double)strtof(text, NULL) == value)
            break;
    }
    if (!strpbrk(text, ".e")) /* a real number stays one for readers that tell them apart */
        strcat(text, ".0");
}

void format_real(char text[NUMBER_SIZE], double value)
{
    format_number(text, value, 15, 17);
}

static void write_number(json_writer *json, const char *key, double value, int low, int high)
{
    char text[NUMBER_SIZE];

    if (!isfinite(value)) {
        emit_none(json, key);
        return;
    }
    begin_value(json, key);
    format_number(text, value, low, high);
    fputs(text, json->file);
}

void emit_real(json_writer *json, const char *key, double value)
{
    write_number(json, key, value, 15, 17);
}

void emit_single(json_writer *json, const char *key, float value)
{
    write_number(json, key, (double)value, 6, 9);
}

void emit_bool(json_writer *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->file);
}

void emit_none(json_writer *json, const char *key)
{
    begin_value(json, key);
    fputs("null", json->file);
}
