/* Files that the command writes: complete or not at all, where links lead, with the mode of what was there. */
#ifndef DN_TOOLS_OUTPUT_H
#define DN_TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* Writes a file that appears complete or not at all; where renaming is impossible (a mount point), in place.  Complains
 * on failure. */
bool write_whole_file(const char *path, const void *bytes, size_t size);
/* Whether a file could be written at `path`: its folder exists and takes new files, its name is not too long, and what
 * is there can be replaced.  Complains if not. */
bool check_output_path(const char *path);
/* Removes the temporary files that killed runs left: of `path`; of all files in a folder whose names have `end`. */
void remove_stale_output(const char *path);
void remove_stale_results(const char *folder_path, const char *end);
/* Makes a folder if it is not there; its parent must exist.  Complains on failure. */
bool make_folder(const char *path);

/* The right to write `path`, until it is given back or the process ends. */
typedef struct output_lock {
    char *path; /* of the lock's file; NULL: not locked */
    int fd;
} output_lock;
/* False, with a message, if another process has it: "another WHAT writes this model".  Where the file system has no
 * locks, says so and goes on. */
bool lock_output(output_lock *lock, const char *path, const char *what);
void unlock_output(output_lock *lock);

#endif
