/* Files: reading whole, mapping, and writing atomically. */
#ifndef DN_BASE_FILE_H
#define DN_BASE_FILE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "differnet.h"

/* The system calls behind this module.  Tests replace them to make the n-th call fail or write short. */
struct file_table {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*fstat)(int fd, struct stat *status);
    ssize_t (*read)(int fd, void *buffer, size_t size);
    ssize_t (*write)(int fd, const void *buffer, size_t size);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    void *(*mmap)(void *address, size_t size, int protection, int flags, int fd, off_t offset);
    int (*munmap)(void *address, size_t size);
    int (*madvise)(void *address, size_t size, int advice);
    int (*ftruncate)(int fd, off_t size);
};
extern struct file_table file_table;

/* open() that a signal does not end. */
int file_open(const char *path, int flags, mode_t mode);
/* Fails with errno: "PATH: cannot VERB: REASON". */
dn_status file_fail(dn_error *error, const char *path, const char *verb);

/* Reads a regular file whole.  *bytes belongs to the caller (mem_free).  DN_E_LIMIT above max_bytes. */
dn_status file_read(const char *path, int64_t max_bytes, const dn_allocator *allocator, uint8_t **bytes, size_t *size,
                    dn_error *error);

/* A regular file mapped read-only.  An empty file maps to bytes = NULL, size = 0. */
typedef struct file_mapping {
    const uint8_t *bytes;
    size_t size;
} file_mapping;
dn_status file_map(const char *path, file_mapping *mapping, dn_error *error);
/* Gives the memory of pages back except those that hold `size` bytes from `kept` on, a part of the mapping.  All can be
 * read as before, from the file. */
void file_map_forget(const file_mapping *mapping, const void *kept, size_t size);
void file_unmap(file_mapping *mapping); /* a zeroed mapping is allowed */

/* ---- writing (file_write.c) ---- */

/* Writing `path` atomically: a temporary file in the same directory, fsync, rename, fsync of the directory.  A symbolic
 * link is followed: the file it leads to is replaced, and keeps its mode and, where the system allows it, its owner.
 * Where renaming is impossible (a mount point, some file systems) the complete temporary file is copied into the old
 * one in place.  After file_writer_open succeeded, exactly one of commit and abort must follow; a failed write or
 * commit has aborted already (abort is then allowed, and does nothing). */
typedef struct file_writer {
    dn_allocator allocator;
    char *path;      /* as given, for messages */
    char *target;    /* where it leads: the file to replace */
    char *temporary; /* in target's directory: its name, cut where it is long, + ".PID-N.tmp" */
    size_t kept;     /* bytes before ".PID-N.tmp" */
    int fd;          /* -1: closed */
} file_writer;
dn_status file_writer_open(file_writer *writer, const char *path, const dn_allocator *allocator, dn_error *error);
dn_status file_writer_write(file_writer *writer, const void *bytes, size_t size, dn_error *error);
dn_status file_writer_commit(file_writer *writer, dn_error *error);
void file_writer_abort(file_writer *writer);

/* Removes the temporary files that killed processes left of `path`, and of files whose names begin with its own and a
 * dot (a checkpoint beside its model).  Those that a process is writing stay. */
void file_remove_stale(const char *path, const dn_allocator *allocator);

#endif
