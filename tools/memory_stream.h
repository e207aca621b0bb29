/* A stream into memory.  open_memstream() is none to rely on: glibc's forgets that memory was out, and neither ferror()
 * nor fclose() tells that text is missing. */
#ifndef DN_TOOLS_MEMORY_STREAM_H
#define DN_TOOLS_MEMORY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct memory_stream {
    char *text;  /* what was written; NULL: nothing.  The caller's, to be freed */
    size_t size; /* its bytes, once the stream is closed; no 0 behind them */
    size_t room;
    bool failed; /* memory was out */
} memory_stream;

/* NULL: out of memory.  self must live until the stream is closed. */
FILE *memory_stream_open(memory_stream *self);
/* False: something is missing. */
bool memory_stream_close(memory_stream *self, FILE *file);

#endif
