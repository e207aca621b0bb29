#include "path_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define READ_BYTES 65536

void path_stream_init(path_stream *stream, int fd, char separator)
{
    *stream = (path_stream){.fd = fd, .separator = separator};
}

void path_stream_free(path_stream *stream)
{
    free(stream->bytes);
    *stream = (path_stream){.fd = -1, .ended = true};
}

/* Reads what there is; waits if there is nothing. */
static void read_more(path_stream *stream)
{
    ssize_t got;

    if (stream->capacity - stream->size < READ_BYTES) {
        stream->capacity = 2 * stream->capacity + READ_BYTES;
        stream->bytes = need_more_memory(stream->bytes, stream->capacity, 1);
    }
    do
        got = read(stream->fd, stream->bytes + stream->size, stream->capacity - stream->size);
    while (got < 0 && errno == EINTR);
    stream->reason = got < 0 ? errno : 0;
    stream->ended = got <= 0;
    stream->size += got > 0 ? (size_t)got : 0;
}

/* Takes the first path out of what was read, if it is complete.  NULL: it is not.  Empty ones are passed over. */
static char *take_path(path_stream *stream)
{
    for (;;) {
        const char *end = stream->size ? memchr(stream->bytes, stream->separator, stream->size) : NULL;
        size_t length = end ? (size_t)(end - stream->bytes) : stream->size;
        if (!end && (!stream->ended || length == 0))
            return NULL;
        char *path = length > 0 ? need_text("%.*s", (int)length, stream->bytes) : NULL;
        size_t taken = length + (end != NULL);
        stream->size -= taken;
        memmove(stream->bytes, stream->bytes + taken, stream->size);
        if (path)
            return path;
    }
}

bool path_stream_next(path_stream *stream, size_t most, image_list *paths)
{
    char *path;

    while (!(path = take_path(stream)) && !stream->ended)
        read_more(stream);
    if (!path)
        path = take_path(stream);
    for (size_t count = 1; path; path = count++ < most ? take_path(stream) : NULL)
        image_list_add(paths, path);
    return paths->count > 0;
}
