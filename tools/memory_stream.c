#define _GNU_SOURCE /* fopencookie */
#include "memory_stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4096

/* False: out of memory, and the stream has failed. */
static bool append(memory_stream *self, const char *bytes, size_t count)
{
    if (count > self->room - self->size) {
        size_t room = self->room > 0 ? self->room : FIRST_ROOM;
        while (room - self->size < count && room <= SIZE_MAX / 2)
            room *= 2;
        char *text = room - self->size < count ? NULL : realloc(self->text, room);
        if (!text) {
            self->failed = true;
            errno = ENOMEM;
            return false;
        }
        self->text = text;
        self->room = room;
    }
    memcpy(self->text + self->size, bytes, count);
    self->size += count;
    return true;
}

#ifdef __APPLE__ /* has funopen instead */

static int write_some(void *cookie, const char *bytes, int count)
{
    return append(cookie, bytes, (size_t)count) ? count : -1;
}

FILE *memory_stream_open(memory_stream *self)
{
    *self = (memory_stream){0};
    return funopen(self, NULL, write_some, NULL, NULL);
}

#else

static ssize_t write_some(void *cookie, const char *bytes, size_t count)
{
    return append(cookie, bytes, count) ? (ssize_t)count : 0; /* not -1: fopencookie(3) */
}

FILE *memory_stream_open(memory_stream *self)
{
    *self = (memory_stream){0};
    return fopencookie(self, "w", (cookie_io_functions_t){.write = write_some});
}

#endif

bool memory_stream_close(memory_stream *self, FILE *file)
{
    bool good = ferror(file) == 0;

    return fclose(file) == 0 && good && !self->failed;
}
