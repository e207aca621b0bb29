#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

/* ---- names ---- */

#define TEMPORARY_TRIES 1000
#define TEMPORARY_END 48   /* bytes of ".PID-N.tmp", and more */
#define TEMPORARY_NAME 200 /* of the name before it: with its end within the 255 that file systems take */
#define MAX_PATH 4095
#define MAX_LINKS 40

/* Bytes of a path up to and including its last slash. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Bytes of a path that a temporary file's path begins with: all, or less of the name where that would be too long.  Cut
 * between UTF-8 characters, which some file systems insist on. */
static size_t temporary_length(const char *path)
{
    size_t folder = folder_length(path), length = strlen(path), most = folder + TEMPORARY_NAME;

    if (most + TEMPORARY_END > MAX_PATH)
        most = MAX_PATH - TEMPORARY_END;
    if (length <= most || most <= folder)
        return length;
    while (most > folder + 1 && ((unsigned char)path[most] & 0xC0) == 0x80)
        most--;
    return most;
}

/* The path that a symbolic link at `path` leads to in the end, whether or not there is a file; `path` itself if it is
 * no link. */
static dn_status follow_links(const char *path, const dn_allocator *allocator, char **target, dn_error *error)
{
    char link[MAX_PATH + 1], *at = mem_strdup(allocator, path);

    *target = NULL;
    for (int i = 0; at; i++) {
        ssize_t size = readlink(at, link, sizeof link);
        if (size < 0) {
            *target = at;
            return DN_OK;
        }
        if (i == MAX_LINKS || (size_t)size == sizeof link) {
            mem_free(allocator, at);
            errno = ELOOP;
            return file_fail(error, path, "follow");
        }
        size_t folder = link[0] == '/' ? 0 : folder_length(at);
        char *next = mem_alloc(allocator, folder + (size_t)size + 1, 1);
        if (next) {
            memcpy(next, at, folder);
            memcpy(next + folder, link, (size_t)size);
            next[folder + (size_t)size] = '\0';
        }
        mem_free(allocator, at);
        at = next;
    }
    return fail_memory(error, "a file name");
}

/* ---- opening ---- */

/* A lock on the temporary file tells others that it is in use.  False if someone took it for a stale one meanwhile.
 * Where there are no locks, nobody removes anything. */
static _Bool lock_temporary(int fd)
{
    struct stat status;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return 0;
    return fstat(fd, &status) != 0 || status.st_nlink > 0;
}

static dn_status make_temporary(file_writer *writer, mode_t mode, dn_error *error)
{
    size_t length = temporary_length(writer->target), room = length + TEMPORARY_END;

    writer->kept = length;
    writer->temporary = mem_alloc(&writer->allocator, room, 1);
    if (!writer->temporary)
        return fail_memory(error, "a file name");
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        snprintf(writer->temporary, room, "%.*s.%ld-%d.tmp", (int)length, writer->target, (long)getpid(), i);
        writer->fd = file_open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (writer->fd >= 0 && lock_temporary(writer->fd))
            return DN_OK;
        if (writer->fd >= 0)
            file_table.close(writer->fd);
        else if (errno != EEXIST)
            break;
    }
    return file_fail(error, writer->path, "create");
}

static void release(file_writer *writer)
{
    mem_free(&writer->allocator, writer->temporary);
    mem_free(&writer->allocator, writer->target);
    mem_free(&writer->allocator, writer->path);
    writer->temporary = writer->target = writer->path = NULL;
    writer->fd = -1;
}

/* Where the system refuses, the file is what a new one is. */
static void keep_owner_and_mode(int fd, const struct stat *old)
{
    if (fchown(fd, old->st_uid, old->st_gid) != 0 && fchown(fd, (uid_t)-1, old->st_gid) != 0)
        errno = 0;
    (void)fchmod(fd, old->st_mode & 0777);
}

dn_status file_writer_open(file_writer *writer, const char *path, const dn_allocator *allocator, dn_error *error)
{
    struct stat old;
    _Bool replaces = stat(path, &old) == 0;

    *writer = (file_writer){.allocator = *allocator, .fd = -1};
    if (replaces && !S_ISREG(old.st_mode))
        return fail(error, DN_E_IO, "%s: exists and is not a regular file", path);
    writer->path = mem_strdup(allocator, path);
    dn_status status = writer->path ? follow_links(path, allocator, &writer->target, error)
                                    : fail_memory(error, "a file name");
    if (status == DN_OK)
        status = make_temporary(writer, replaces ? old.st_mode & 0777 : 0666, error);
    if (status != DN_OK) {
        release(writer);
        return status;
    }
    if (replaces)
        keep_owner_and_mode(writer->fd, &old);
    return DN_OK;
}

void file_writer_abort(file_writer *writer)
{
    if (!writer->temporary)
        return;
    if (writer->fd >= 0)
        file_table.close(writer->fd);
    file_table.unlink(writer->temporary);
    release(writer);
}

/* ---- writing ---- */

/* False with errno. */
static _Bool write_fully(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = file_table.write(fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            errno = wrote == 0 ? ENOSPC : errno;
            return 0;
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return 1;
}

dn_status file_writer_write(file_writer *writer, const void *bytes, size_t size, dn_error *error)
{
    if (write_fully(writer->fd, bytes, size))
        return DN_OK;
    dn_status failed = file_fail(error, writer->path, "write");
    file_writer_abort(writer);
    return failed;
}

/* fsync, as far as the file system has one.  False with errno. */
static _Bool sync_file(int fd)
{
    int status;

    do
        status = file_table.fsync(fd);
    while (status != 0 && errno == EINTR);
    return status == 0 || errno == EINVAL || errno == ENOTSUP || errno == EOPNOTSUPP || errno == ENOSYS;
}

/* close reports write errors of some network file systems.  After EINTR it has closed all the same. */
static _Bool close_file(int fd)
{
    return file_table.close(fd) == 0 || errno == EINTR;
}

/* ---- committing ---- */

/* Makes the names in a file's folder durable.  A file system that cannot sync directories has nothing more to offer: not
 * an error.  The path is as before. */
static void sync_directory(char *path)
{
    size_t folder = folder_length(path);
    char kept = path[folder];

    path[folder] = '\0';
    int fd = file_open(folder ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    path[folder] = kept;
    if (fd < 0)
        return;
    (void)file_table.fsync(fd);
    file_table.close(fd);
}

/* Whether a rename failed because of where the file lies. */
static _Bool cannot_rename_there(int reason)
{
    return reason == EBUSY || reason == EXDEV || reason == EPERM || reason == EACCES || reason == EINVAL ||
           reason == ENOSYS || reason == ENOTSUP || reason == EOPNOTSUPP;
}

#define COPY_BYTES 8192

/* All of one file over the other.  False with errno. */
static _Bool copy_over(int from, int to)
{
    uint8_t bytes[COPY_BYTES];
    off_t size = 0;

    for (;;) {
        ssize_t got = file_table.read(from, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 && file_table.ftruncate(to, size) == 0 && sync_file(to);
        if (!write_fully(to, bytes, (size_t)got))
            return 0;
        size += got;
    }
}

/* Writes the old file itself, from the complete temporary one.  If that goes wrong half-way, the temporary file is all
 * there is, and is kept.  reason: why it cannot be renamed. */
static dn_status replace_in_place(file_writer *writer, int reason, dn_error *error)
{
    int from = file_open(writer->temporary, O_RDONLY | O_CLOEXEC, 0);
    int to = from >= 0 ? file_open(writer->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;

    if (to < 0) {
        if (from >= 0)
            file_table.close(from);
        errno = reason;
        return file_fail(error, writer->path, "replace");
    }
    (void)flock(from, LOCK_EX | LOCK_NB); /* as lock_temporary did */
    sync_directory(writer->temporary);    /* should the power go, its name is there */
    _Bool copied = copy_over(from, to);
    reason = errno;
    if (!close_file(to) && copied) {
        copied = 0;
        reason = errno;
    }
    file_table.close(from);
    if (copied) {
        file_table.unlink(writer->temporary);
        return DN_OK;
    }
    dn_status status = fail(error, DN_E_IO,
                            "%s: was overwritten in part: %s; the complete file lies beside it, its "
                            "name ends in %s",
                            writer->path, strerror(reason), writer->temporary + writer->kept);
    release(writer);
    return status;
}

dn_status file_writer_commit(file_writer *writer, dn_error *error)
{
    _Bool synced = sync_file(writer->fd);
    dn_status status = synced ? DN_OK : file_fail(error, writer->path, "write");

    if (!close_file(writer->fd) && status == DN_OK)
        status = file_fail(error, writer->path, "write");
    writer->fd = -1;
    if (status == DN_OK && file_table.rename(writer->temporary, writer->target) != 0)
        status = cannot_rename_there(errno) ? replace_in_place(writer, errno, error)
                                            : file_fail(error, writer->path, "replace");
    if (status != DN_OK) {
        file_writer_abort(writer);
        return status;
    }
    sync_directory(writer->target);
    release(writer);
    return DN_OK;
}

/* ---- what killed processes left ---- */

/* The process whose temporary file `name` is: of a file whose name begins with the first `size` bytes of `base`.
 * 0: it is no such file. */
static long writer_of(const char *name, const char *base, size_t size)
{
    char *end;

    if (strncmp(name, base, size) != 0 || name[size] != '.')
        return 0;
    for (const char *dot = strchr(name + size, '.'); dot; dot = strchr(dot + 1, '.')) {
        long pid = strtol(dot + 1, &end, 10);
        /* No blank and no sign before the number, as strtol allows, and a digit at least behind it. */
        if (dot[1] >= '0' && pid > 0 && *end == '-' && end[1] >= '0' &&
            strcmp(end + 1 + strspn(end + 1, "0123456789"), ".tmp") == 0)
            return pid;
    }
    return 0;
}

/* Removes a temporary file unless its process lives or it is locked: processes of other containers are not seen. */
static void remove_if_stale(int folder, const char *name, long pid)
{
    if (pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno != ESRCH))
        return;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(folder, name, 0);
    close(fd);
}

void file_remove_stale(const char *path, const dn_allocator *allocator)
{
    char *target;
    struct dirent *entry;

    if (follow_links(path, allocator, &target, NULL) != DN_OK)
        return;
    size_t folder = folder_length(target), kept = temporary_length(target) - folder;
    char *base = mem_strdup(allocator, target + folder);
    target[folder] = '\0';
    DIR *stream = base ? opendir(folder ? target : ".") : NULL;
    while (stream && (entry = readdir(stream))) {
        long pid = writer_of(entry->d_name, base, kept);
        if (pid > 0)
            remove_if_stale(dirfd(stream), entry->d_name, pid);
    }
    if (stream)
        closedir(stream);
    mem_free(allocator, base);
    mem_free(allocator, target);
}
