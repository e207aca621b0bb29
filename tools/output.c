#define _GNU_SOURCE /* statx */
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define MAX_LINKS 40
#define TEMPORARY_NAME 200 /* bytes of a name that a temporary one begins with; its end within 255 */
#define MAX_PATH 4095

/* ---- names ---- */

/* Bytes of a path up to and including its last slash. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Where a symbolic link leads in the end, whether or not there is a file. */
static char *follow_links(const char *path)
{
    char *at = need_text("%s", path), link[MAX_PATH + 1];
    ssize_t size;

    for (int i = 0; i < MAX_LINKS && (size = readlink(at, link, MAX_PATH)) >= 0; i++) {
        link[size] = '\0';
        char *next = need_text("%.*s%s", link[0] == '/' ? 0 : (int)folder_length(at), at, link);
        free(at);
        at = next;
    }
    return at;
}

/* Bytes of a path that a temporary file's path begins with: all, or less of a long name. */
static size_t temporary_length(const char *target)
{
    size_t length = strlen(target), most = folder_length(target) + TEMPORARY_NAME;

    return length < most ? length : whole_characters(target, most);
}

/* ---- writing ---- */

/* Opens a new file beside `target`.  Returns its descriptor, or -1 with errno set. */
static int open_temporary(const char *target, char **temporary)
{
    struct stat old;
    bool replaces = stat(target, &old) == 0;

    *temporary = need_text("%.*s.%ld-0.tmp", (int)temporary_length(target), target, (long)getpid());
    int fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? old.st_mode & 0777 : 0666);
    if (fd < 0 && errno == EEXIST && unlink(*temporary) == 0) /* left by a process of the same number that was killed */
        fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? old.st_mode & 0777 : 0666);
    if (fd >= 0)
        (void)flock(fd, LOCK_EX | LOCK_NB); /* it is in use, for remove_stale of other processes */
    if (fd >= 0 && replaces) {
        int reason = fchown(fd, old.st_uid, old.st_gid); /* as far as the system allows it */
        reason = fchmod(fd, old.st_mode & 0777);
        (void)reason;
    }
    return fd;
}

/* Writes, syncs and closes.  False with errno. */
static bool fill_file(int fd, const char *bytes, size_t size)
{
    bool written = true;

    for (size_t done = 0; done < size && written;) {
        ssize_t wrote = write(fd, bytes + done, size - done);
        written = wrote > 0 || (wrote < 0 && errno == EINTR);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    written = written && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS || errno == EINTR);
    int reason = errno;
    if (close(fd) != 0 && written)
        return false;
    errno = reason;
    return written;
}

/* Writes the old file itself, where a complete one cannot be renamed to it.  False with errno, and `begun` if the old
 * file is not what it was. */
static bool write_in_place(const char *target, const char *bytes, size_t size, bool *begun)
{
    int reason = errno, fd = -1;

    if (reason != EIO && reason != ENOSPC)
        fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    *begun = fd >= 0;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        return fill_file(fd, bytes, size);
    if (fd >= 0)
        close(fd);
    else
        errno = reason;
    return false;
}

bool write_whole_file(const char *path, const void *bytes, size_t size)
{
    char *target = follow_links(path), *temporary;
    int fd = open_temporary(target, &temporary);
    bool written = fd >= 0 && fill_file(fd, bytes, size), begun = false;
    bool renamed = written && rename(temporary, target) == 0;

    if (written && !renamed)
        written = write_in_place(target, bytes, size, &begun);
    int reason = errno;
    if (!written && begun)
        complain("%s: was overwritten in part: %s; the complete file is %s", path, strerror(reason), temporary);
    else if (!written)
        complain("%s: cannot write: %s", path, strerror(reason));
    if (fd >= 0 && !renamed && (written || !begun))
        unlink(temporary);
    free(temporary);
    free(target);
    return written;
}

/* ---- what killed runs left ---- */

/* The process whose temporary file `name` is ("part.dnm.123-0.tmp"), of a file whose name holds `mark`.  0: none. */
static long writer_of(const char *name, const char *mark)
{
    const char *dot = strstr(name, mark);
    char *end = NULL;

    for (dot = dot ? strchr(dot, '.') : NULL; dot; dot = strchr(dot + 1, '.')) {
        long pid = strtol(dot + 1, &end, 10);
        if (pid > 0 && *end == '-' && strcmp(end + 1 + strspn(end + 1, "0123456789"), ".tmp") == 0)
            return pid;
    }
    return 0;
}

/* Of files whose names begin with `start` and hold `mark`. */
static void remove_stale(const char *folder_path, const char *start, const char *mark)
{
    DIR *stream = opendir(folder_path);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        long pid = strncmp(entry->d_name, start, strlen(start)) == 0 ? writer_of(entry->d_name, mark) : 0;
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue; /* no temporary file, or one whose process lives */
        int fd = openat(dirfd(stream), entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) /* nor does one of another container write it */
            unlinkat(dirfd(stream), entry->d_name, 0);
        if (fd >= 0)
            close(fd);
    }
    if (stream)
        closedir(stream);
}

void remove_stale_results(const char *folder_path, const char *end)
{
    remove_stale(folder_path, "", end);
}

void remove_stale_output(const char *path)
{
    char *target = follow_links(path);
    size_t length = folder_length(target);
    char *folder_path = need_text("%.*s", length ? (int)length : 1, length ? target : ".");
    char *start = need_text("%.*s.", (int)(temporary_length(target) - length), target + length);

    remove_stale(folder_path, start, start);
    free(start);
    free(folder_path);
    free(target);
}

/* ---- looking first ---- */

/* Whether something is mounted at a path: it can be written, but never replaced. */
static bool is_mount_point(const char *path)
{
    struct statx status;

    return statx(AT_FDCWD, path, 0, 0, &status) == 0 && (status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool can_be_replaced(const char *path, const char *target)
{
    int fd = is_mount_point(target) ? open(target, O_WRONLY | O_CLOEXEC) : -2;

    if (fd == -1)
        complain("%s: is mounted there and cannot be written: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return fd != -1;
}

/* Only trying tells: permissions, read-only file systems and a full disk all show here. */
static bool can_be_created(const char *path, const char *target)
{
    char *temporary;
    int fd = open_temporary(target, &temporary);

    if (fd < 0) {
        complain("%s: cannot be created: %s; the folder must exist and be writable", path, strerror(errno));
    } else {
        close(fd);
        unlink(temporary);
    }
    free(temporary);
    return fd >= 0;
}

bool check_output_path(const char *path)
{
    struct stat status;

    if (*path == '\0') {
        complain("the output's name is empty");
        return false;
    }
    bool there = stat(path, &status) == 0;
    if (!there && errno == ENAMETOOLONG) {
        complain("%s: cannot be created: %s; choose a shorter one", path, strerror(errno));
        return false;
    }
    if (!there && errno == ELOOP) {
        complain("%s: cannot be created: %s", path, strerror(errno));
        return false;
    }
    if (there && !S_ISREG(status.st_mode)) {
        complain("%s: exists and is not a regular file; choose another name", path);
        return false;
    }
    char *target = follow_links(path);
    bool good = can_be_created(path, target) && (!there || can_be_replaced(path, target));
    free(target);
    return good;
}

bool make_folder(const char *path)
{
    struct stat status;

    if (mkdir(path, 0777) == 0)
        return true;
    int reason = errno;
    if (reason == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return true;
    if (reason == EEXIST)
        complain("%s: exists and is not a folder; choose another name", path);
    else
        complain("%s: cannot make this folder: %s; its parent must exist and be writable", path, strerror(reason));
    return false;
}

/* ---- one at a time ---- */

/* Whether the locked file still has its name: who had the lock before may have removed it meanwhile. */
static bool still_there(int fd, const char *path)
{
    struct stat own, named;

    return fstat(fd, &own) == 0 && stat(path, &named) == 0 && own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

/* Opens and locks.  Returns a descriptor, or -1 with errno. */
static int take_lock(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            if (reason != EINTR && reason != EWOULDBLOCK)
                unlink(path); /* what cannot be locked is nobody's lock */
            close(fd);
            errno = reason;
            if (reason != EINTR)
                return -1;
        } else if (still_there(fd, path)) {
            return fd;
        } else {
            close(fd);
        }
    }
}

/* What this process holds; an exit in the middle, as where memory runs out, leaves no file either. */
static output_lock *held;

static void unlock_held(void)
{
    if (held)
        unlock_output(held);
}

bool lock_output(output_lock *lock, const char *path, const char *what)
{
    char *target = follow_links(path); /* one file under two names is one output */

    *lock = (output_lock){need_text("%s.lock", target), -1};
    free(target);
    lock->fd = take_lock(lock->path);
    if (lock->fd >= 0) {
        held = atexit(unlock_held) == 0 ? lock : NULL;
        return true;
    }
    int reason = errno;
    if (reason == EWOULDBLOCK)
        complain("%s: another %s writes this model; wait for it, or choose another name", path, what);
    else
        complain("%s: cannot be locked (%s): take care that no other %s writes this model", lock->path,
                 strerror(reason), what);
    free(lock->path);
    lock->path = NULL;
    return reason != EWOULDBLOCK;
}

void unlock_output(output_lock *lock)
{
    if (!lock->path)
        return;
    unlink(lock->path); /* while it is held: nobody else's is removed */
    close(lock->fd);
    free(lock->path);
    *lock = (output_lock){NULL, -1};
    held = NULL;
}
