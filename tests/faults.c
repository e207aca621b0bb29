#define _GNU_SOURCE /* RTLD_NEXT, O_TMPFILE */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* glibc's own, under names that nothing replaces. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static atomic_int armed; /* 0, or kind + 1 */
static atomic_long calls, live;
static long failing;
static _Bool from_then_on;
static const char *_Atomic failed; /* the name of the first call on files that failed */

void faults_arm(enum fault_kind kind, long number, _Bool forever)
{
    failing = number;
    from_then_on = forever;
    atomic_store(&calls, 0);
    atomic_store(&failed, NULL);
    atomic_store(&armed, (int)kind + 1);
}

long faults_disarm(void)
{
    atomic_store(&armed, 0);
    return atomic_load(&calls);
}

const char *faults_failed(void)
{
    return atomic_load(&failed);
}

long faults_live(void)
{
    return atomic_load(&live);
}

/* Counts a call of a kind; true if it is to fail. */
static _Bool fails(enum fault_kind kind)
{
    if (atomic_load(&armed) != (int)kind + 1)
        return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    return failing > 0 && (number == failing || (from_then_on && number > failing));
}

/* errno and true if a call on files is to fail.  writes: it takes room on the disk; waits: a signal can interrupt it. */
static _Bool file_fails(const char *name, _Bool writes, _Bool waits)
{
    const char *none = NULL;

    if (fails(FAULT_EIO))
        errno = EIO;
    else if (writes && fails(FAULT_ENOSPC))
        errno = ENOSPC;
    else if (waits && fails(FAULT_EINTR))
        errno = EINTR;
    else
        return 0;
    atomic_compare_exchange_strong(&failed, &none, name);
    return 1;
}

/* The function that this program's own one hides. */
#define REAL(name)                             \
    static __typeof__(name) *real;             \
    if (!real) {                               \
        void *found = dlsym(RTLD_NEXT, #name); \
        memcpy(&real, &found, sizeof real);    \
    }

/* ---- memory ---- */

static void *counted(void *block)
{
    atomic_fetch_add(&live, block != NULL);
    return block;
}

static _Bool no_memory(void)
{
    if (!fails(FAULT_MEMORY))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return no_memory() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return no_memory() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (no_memory())
        return NULL;
    void *moved = __libc_realloc(block, size);
    if (!block)
        return counted(moved);
    if (!moved && size == 0)
        atomic_fetch_sub(&live, 1);
    return moved;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return no_memory() ? NULL : counted(__libc_memalign(alignment, size));
}

void *memalign(size_t alignment, size_t size)
{
    return no_memory() ? NULL : counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *made = no_memory() ? NULL : counted(__libc_memalign(alignment, size));

    if (!made)
        return ENOMEM;
    *block = made;
    return 0;
}

void free(void *block)
{
    atomic_fetch_sub(&live, block != NULL);
    __libc_free(block);
}

/* ---- threads ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    REAL(pthread_create)
    return fails(FAULT_THREAD) ? EAGAIN : real(thread, attributes, start, argument);
}

/* ---- files ---- */

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    REAL(open)
    va_list more;

    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return file_fails("open", (flags & O_CREAT) != 0, 1) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    REAL(openat)
    va_list more;

    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return file_fails("openat", 0, 1) ? -1 : real(folder, path, flags, mode);
}

ssize_t read(int fd, void *buffer, size_t size)
{
    REAL(read)
    return file_fails("read", 0, 1) ? -1 : real(fd, buffer, size > 1 && fails(FAULT_SHORT) ? 1 : size);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    REAL(write)
    return file_fails("write", 1, 1) ? -1 : real(fd, buffer, size > 1 && fails(FAULT_SHORT) ? 1 : size);
}

int fsync(int fd)
{
    REAL(fsync)
    return file_fails("fsync", 1, 1) ? -1 : real(fd);
}

/* Closed it is all the same. */
int close(int fd)
{
    REAL(close)
    _Bool fail = file_fails("close", 1, 1);
    int reason = errno, status = real(fd);

    if (fail)
        errno = reason;
    return fail ? -1 : status;
}

int rename(const char *from, const char *to)
{
    REAL(rename)
    return file_fails("rename", 1, 0) ? -1 : real(from, to);
}

int unlink(const char *path)
{
    REAL(unlink)
    return file_fails("unlink", 0, 0) ? -1 : real(path);
}

int fstat(int fd, struct stat *status)
{
    REAL(fstat)
    return file_fails("fstat", 0, 0) ? -1 : real(fd, status);
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate)
    return file_fails("ftruncate", 1, 0) ? -1 : real(fd, size);
}

int fchmod(int fd, mode_t mode)
{
    REAL(fchmod)
    return file_fails("fchmod", 0, 0) ? -1 : real(fd, mode);
}

int flock(int fd, int operation)
{
    REAL(flock)
    return file_fails("flock", 0, 1) ? -1 : real(fd, operation);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap)
    return fd >= 0 && file_fails("mmap", 0, 0) ? MAP_FAILED : real(address, size, protection, flags, fd, offset);
}
