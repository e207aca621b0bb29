/* JSON (RFC 8259): read where it lies, without a tree and without memory, and written into a blob.
 *
 * What is read is hostile: it is checked whole before anything is taken from it.  UTF-8 only; at most JSON_MAX_DEPTH
 * arrays and objects inside each other; numbers of at most JSON_MAX_NUMBER bytes; no \u0000 and no half of a surrogate
 * pair in a text.  Keys may appear twice for this reader: who takes values from an object refuses that (json_pick).
 * Numbers are exact in both directions, whatever the locale. */
#ifndef DN_FORMAT_JSON_H
#define DN_FORMAT_JSON_H

#include "base/blob.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_NUMBER 128

enum json_type {
    JSON_NONE /* there is no value */,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_TEXT,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* One value: its bytes in the document, without blanks around. */
typedef struct json_value {
    const uint8_t *at;
    size_t size; /* 0: no value */
} json_value;

/* ---- reading ---- */

/* The document as one value.  False: it is no valid JSON, and *position the byte where that shows. */
_Bool json_parse(const void *bytes, size_t size, json_value *root, size_t *position);
enum json_type json_type_of(json_value value);

/* What an object or array holds, in its order: for (json_cursor c = json_inside(v); json_next(&c, &key, &value);)
 * Anything else holds nothing.  In an array key is no value. */
typedef struct json_cursor {
    const uint8_t *at, *end;
    _Bool object;
} json_cursor;
json_cursor json_inside(json_value value);
_Bool json_next(json_cursor *cursor, json_value *key, json_value *value);

/* Takes the values of `count` keys from an object: found[i] is no value where keys[i] is absent.  Others are skipped.
 * False: it is no object, or one of the keys appears twice. */
_Bool json_pick(json_value object, const char *const *keys, size_t count, json_value *found);

_Bool json_read_integer(json_value value, int64_t *out); /* false: no number without point and exponent, or too large */
_Bool json_read_real(json_value value, double *out);     /* nearest; false: no number, or too large for a double */
/* A text's size in bytes without the final NUL, escapes resolved; 0 for other values. */
size_t json_text_size(json_value value);
/* The text with its final NUL; false (out is unchanged): no text, or it needs more than `room` bytes. */
_Bool json_read_text(json_value value, char *out, size_t room);
_Bool json_text_is(json_value value, const char *text);

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
_Bool json_is_utf8(const char *text);

/* ---- writing (json_write.c) ---- */

/* Compact, in the order of the calls.  Starts as {.blob = blob}. */
typedef struct json_writer {
    dn_blob *blob;
    _Bool follows; /* the next value follows another one */
    _Bool failed;  /* memory was out once: what is in the blob is no JSON */
} json_writer;

/* key: NULL in an array and at the top.  Keys and texts must be UTF-8. */
void json_open(json_writer *json, const char *key, const char *bracket); /* "{" or "[" */
void json_close(json_writer *json, const char *bracket);
void json_put_text(json_writer *json, const char *key, const char *text);
void json_put_integer(json_writer *json, const char *key, int64_t value);
void json_put_double(json_writer *json, const char *key, double value);   /* null if not finite */
void json_put_float(json_writer *json, const char *key, float value);     /* likewise; brings the float back */
void json_put_word(json_writer *json, const char *key, const char *word); /* true, false, null */
/* Puts a NUL behind the document, so that the blob's bytes are a string; false: memory was out. */
_Bool json_end(json_writer *json);

#endif
