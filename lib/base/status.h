/* Reporting errors: every fallible internal function returns a dn_status and fills a nullable dn_error. */
#ifndef DN_BASE_STATUS_H
#define DN_BASE_STATUS_H

#include "differnet.h"

/* Fills *error (nullable) with the status and the formatted message (one that is too long loses its middle, so that a
 * path's end and the reason behind it stay; cut between UTF-8 characters) and
 * returns `status`:  return fail(error, DN_E_IO, "%s: cannot open: %s", path, strerror(errno)); */
dn_status fail(dn_error *error, dn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* fail() for a failed allocation of `what`. */
dn_status fail_memory(dn_error *error, const char *what);

/* Passes a failure on. */
#define TRY(expression)                       \
    do {                                      \
        dn_status try_status_ = (expression); \
        if (try_status_ != DN_OK)             \
            return try_status_;               \
    } while (0)

#endif
