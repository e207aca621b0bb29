/* Paths from standard input, one a line or NUL-separated, as they come. */
#ifndef DN_TOOLS_PATH_STREAM_H
#define DN_TOOLS_PATH_STREAM_H

#include "dataset.h"

typedef struct path_stream {
    int fd;
    char separator;
    char *bytes;
    size_t size, capacity; /* read and not yet handed out */
    bool ended;
    int reason; /* errno if reading failed; else 0 */
} path_stream;

void path_stream_init(path_stream *stream, int fd, char separator);
/* Waits for the next path and appends it to the list, with those behind it that have come already, `most` in all.
 * False at the end, or if reading failed. */
bool path_stream_next(path_stream *stream, size_t most, image_list *paths);
void path_stream_free(path_stream *stream);

#endif
