/* A JSON document through the library's reader and writer. */
#ifndef DN_TESTS_JSON_REWRITE_H
#define DN_TESTS_JSON_REWRITE_H

#include "format/json.h"

/* Writes what was read, value by value.  A number that is too large for a double becomes the text "too large".  Ends
 * the program if memory is out. */
void json_rewrite(json_value value, json_writer *json);

#endif
