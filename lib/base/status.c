#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a cut message that come from its end, where the reason stands: more than the longest one has. */
#define MESSAGE_END 192
static const char gap[] = "...";
_Static_assert(sizeof((dn_error *)0)->message > MESSAGE_END + sizeof gap + 3, "a cut message has a beginning");

/* Longer than any path that a file was opened by, with a reason. */
#define WHOLE_MESSAGE (4096 + 512)

static _Bool inside_character(const char *text)
{
    return ((unsigned char)*text & 0xC0) == 0x80;
}

/* A message that is too long loses its middle: of a long path, the file's name and the reason behind it are worth more
 * than the folders.  Cut between UTF-8 characters. */
static void shorten(char *message, size_t capacity, const char *text, size_t length)
{
    size_t head = capacity - 1 - (sizeof gap - 1) - MESSAGE_END;
    const char *end = text + length - MESSAGE_END;

    for (int i = 0; i < 3 && inside_character(text + head); i++)
        head--;
    for (int i = 0; i < 3 && inside_character(end); i++)
        end++;
    snprintf(message, capacity, "%.*s%s%s", (int)head, text, gap, end);
}

dn_status fail(dn_error *error, dn_status status, const char *format, ...)
{
    char whole[WHOLE_MESSAGE];

    if (!error)
        return status;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    if (length < 0)
        whole[0] = '\0';
    size_t kept = strlen(whole);
    if (kept < sizeof error->message)
        memcpy(error->message, whole, kept + 1);
    else
        shorten(error->message, sizeof error->message, whole, kept);
    error->status = status;
    return status;
}

dn_status fail_memory(dn_error *error, const char *what)
{
    return fail(error, DN_E_MEMORY, "out of memory for %s", what);
}
