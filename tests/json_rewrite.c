#include "json_rewrite.h"

#include <stdlib.h>

static char *text_of(json_value value)
{
    size_t room = json_text_size(value) + 1;
    char *text = malloc(room);

    if (!text || !json_read_text(value, text, room))
        abort();
    return text;
}

static void put_number(json_value value, const char *key, json_writer *json)
{
    int64_t integer;
    double real;

    if (json_read_integer(value, &integer))
        json_put_integer(json, key, integer);
    else if (json_read_real(value, &real))
        json_put_double(json, key, real);
    else
        json_put_text(json, key, "too large");
}

static void put_scalar(json_value value, const char *key, json_writer *json)
{
    char *text;

    switch (json_type_of(value)) {
    case JSON_TEXT:
        text = text_of(value);
        json_put_text(json, key, text);
        free(text);
        break;
    case JSON_NUMBER:
        put_number(value, key, json);
        break;
    case JSON_TRUE:
        json_put_word(json, key, "true");
        break;
    case JSON_FALSE:
        json_put_word(json, key, "false");
        break;
    case JSON_NULL:
        json_put_word(json, key, "null");
        break;
    default:
        abort();
    }
}

static void put_value(json_value value, const char *key, json_writer *json)
{
    _Bool object = json_type_of(value) == JSON_OBJECT;
    json_value name, inner;

    if (!object && json_type_of(value) != JSON_ARRAY) {
        put_scalar(value, key, json);
        return;
    }
    json_open(json, key, object ? "{" : "[");
    for (json_cursor cursor = json_inside(value); json_next(&cursor, &name, &inner);) {
        char *text = object ? text_of(name) : NULL;
        put_value(inner, text, json);
        free(text);
    }
    json_close(json, object ? "}" : "]");
}

void json_rewrite(json_value value, json_writer *json)
{
    put_value(value, NULL, json);
    if (json->failed)
        abort();
}
