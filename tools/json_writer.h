/* Writes JSON as it comes: compact, keys in the order of the calls, numbers so that they read back with the same bits.
 * Bytes of file names that are not UTF-8 become U+FFFD, so that the output always parses.
 * (Names that begin with json_ are jansson's, which differnet convert uses.) */
#ifndef DN_TOOLS_JSON_WRITER_H
#define DN_TOOLS_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json_writer {
    FILE *file;
    bool comma; /* the next value follows another one */
} json_writer;

/* key: NULL inside an array and at the top. */
void emit_open_object(json_writer *json, const char *key);
void emit_close_object(json_writer *json);
void emit_open_array(json_writer *json, const char *key);
void emit_close_array(json_writer *json);
void emit_text(json_writer *json, const char *key, const char *text);
void emit_integer(json_writer *json, const char *key, int64_t value);
void emit_unsigned(json_writer *json, const char *key, uint64_t value);
void emit_real(json_writer *json, const char *key, double value);  /* NaN and infinity: null */
void emit_single(json_writer *json, const char *key, float value); /* likewise, read back as float */
void emit_bool(json_writer *json, const char *key, bool value);
void emit_none(json_writer *json, const char *key); /* null */

/* A finite number as in JSON: the fewest digits that read back the same. */
#define NUMBER_SIZE 40
void format_real(char text[NUMBER_SIZE], double value);

#endif
