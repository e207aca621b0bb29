/* Ranges of the numbers in an option struct, as a table. */
#ifndef DN_BASE_OPTION_H
#define DN_BASE_OPTION_H

#include <stddef.h>

#include "differnet.h"

enum option_type { OPTION_INT32, OPTION_DOUBLE, OPTION_UINT64 /* any value is good */ };

/* CLOSED: low .. high; ABOVE: without low; BELOW: without high. */
enum option_ends { OPTION_CLOSED, OPTION_ABOVE, OPTION_BELOW };

typedef struct option_range {
    const char *name; /* of the struct's field */
    size_t offset;
    enum option_type type;
    double low, high;
    enum option_ends ends;
    int32_t role;     /* the table's owner knows */
    const char *note; /* of a value with a meaning of its own, for the message; NULL: there is none */
} option_range;

/* Entries of a struct's fields.  note: NULL or text. */
/* clang-format off */
#define OPTION_INTEGER(options, field, low, high, note) \
    {#field, offsetof(options, field), OPTION_INT32, low, high, OPTION_CLOSED, 0, note}
#define OPTION_REAL(options, field, low, high, ends) \
    {#field, offsetof(options, field), OPTION_DOUBLE, low, high, ends, 0, NULL}
/* clang-format on */
#define OPTION_COUNT(table) (sizeof(table) / sizeof *(table))

/* DN_E_ARGUMENT if a field lies outside its range; the message names `what`, the struct, and the field. */
dn_status options_check(const void *options, const char *what, const option_range *ranges, size_t count,
                        dn_error *error);

#endif
