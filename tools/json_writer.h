/* Writes JSON as it comes: compact, keys in the order of the calls, numbers so that they read back with the same bits.
 * Bytes of file names that are not UTF-8 become U+FFFD, so that the output always parses. */
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
void json_open_object(json_writer *json, const char *key);
void json_close_object(json_writer *json);
void json_open_array(json_writer *json, const char *key);
void json_close_array(json_writer *json);
void json_text(json_writer *json, const char *key, const char *text);
void json_integer(json_writer *json, const char *key, int64_t value);
void json_unsigned(json_writer *json, const char *key, uint64_t value);
void json_real(json_writer *json, const char *key, double value); /* NaN and infinity: null */
void json_bool(json_writer *json, const char *key, bool value);
void json_none(json_writer *json, const char *key); /* null */

#endif
