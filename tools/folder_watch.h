/* New files of a folder, each once it is complete. */
#ifndef DN_TOOLS_FOLDER_WATCH_H
#define DN_TOOLS_FOLDER_WATCH_H

#include <sys/types.h>

#include "dataset.h"

/* Files told last: a file that is closed twice without a change between is not new. */
#define WATCH_MEMORY 256

typedef struct folder_watch {
    const char *path;
    int fd;       /* inotify */
    bool waiting; /* signals are caught */
    struct watched_file {
        dev_t device;
        ino_t inode;
        off_t size;
        struct timespec changed;
    } told[WATCH_MEMORY];
    size_t told_count; /* in all */
} folder_watch;

/* Complains and returns false on failure.  From here on no new file is missed. */
bool watch_open(folder_watch *watch, const char *path);
void watch_close(folder_watch *watch);

enum watch_result { WATCH_FILES, WATCH_INTERRUPTED, WATCH_FAILED };
/* Waits for new images, that is for files with an image's name that were written and closed, or moved into the folder,
 * and appends their paths.  From the first call on SIGINT, SIGTERM and SIGHUP, unless they are ignored, end the watch
 * (WATCH_INTERRUPTED).  WATCH_FAILED, with a message, if the folder is gone or files were missed. */
enum watch_result watch_next(folder_watch *watch, image_list *images);

#endif
