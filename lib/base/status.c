#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drops an incomplete UTF-8 character that truncation left at the end of `text`. */
static void trim_partial_character(char *text)
{
    size_t end = strlen(text);
    size_t start = end;

    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t needed = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (end - start < needed)
        text[start - 1] = '\0';
}

dn_status fail(dn_error *error, dn_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        if (length < 0)
            error->message[0] = '\0';
        else if ((size_t)length >= sizeof error->message)
            trim_partial_character(error->message);
        error->status = status;
    }
    return status;
}

dn_status fail_memory(dn_error *error, const char *what)
{
    return fail(error, DN_E_MEMORY, "out of memory for %s", what);
}
