#include "failing_files.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/file.h"

static struct file_table original;
static int replaced, stutter;
static long calls, fail_number, open_handles;
static char trace[64];

/* Counts a call; true if it is the one to fail. */
static int fails(char letter)
{
    if (calls < (long)sizeof trace - 1)
        trace[calls] = letter;
    if (++calls != fail_number)
        return 0;
    errno = EIO;
    return 1;
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    int fd = fails('o') ? -1 : original.open(path, flags, mode);

    open_handles += fd >= 0;
    return fd;
}

static int failing_fstat(int fd, struct stat *status)
{
    return fails('s') ? -1 : original.fstat(fd, status);
}

static int interrupted(size_t *size)
{
    if (!stutter)
        return 0;
    if (*size > 3)
        *size = 3;
    errno = EINTR;
    return calls % 2;
}

static ssize_t failing_read(int fd, void *buffer, size_t size)
{
    if (fails('r') || interrupted(&size))
        return -1;
    return original.read(fd, buffer, size);
}

static ssize_t failing_write(int fd, const void *buffer, size_t size)
{
    if (fails('w') || interrupted(&size))
        return -1;
    return original.write(fd, buffer, size);
}

static int failing_fsync(int fd)
{
    return fails('f') ? -1 : original.fsync(fd);
}

/* A close that reports an error has closed all the same. */
static int failing_close(int fd)
{
    int failed = fails('c');
    int status = original.close(fd);

    open_handles--;
    if (failed)
        errno = EIO;
    return failed ? -1 : status;
}

static int failing_rename(const char *from, const char *to)
{
    return fails('R') ? -1 : original.rename(from, to);
}

static int failing_unlink(const char *path)
{
    return fails('U') ? -1 : original.unlink(path);
}

static void *failing_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails('m'))
        return MAP_FAILED;
    void *bytes = original.mmap(address, size, protection, flags, fd, offset);
    open_handles += bytes != MAP_FAILED;
    return bytes;
}

static int counted_munmap(void *address, size_t size)
{
    open_handles--;
    return original.munmap(address, size);
}

static int failing_madvise(void *address, size_t size, int advice)
{
    return fails('a') ? -1 : original.madvise(address, size, advice);
}

static int failing_ftruncate(int fd, off_t size)
{
    return fails('t') ? -1 : original.ftruncate(fd, size);
}

void files_fail_at(long number)
{
    if (!replaced)
        original = file_table;
    replaced = 1;
    calls = 0;
    memset(trace, 0, sizeof trace);
    fail_number = number;
    stutter = 0;
    file_table = (struct file_table){failing_open,  failing_fstat,  failing_read,    failing_write,
                                     failing_fsync, failing_close,  failing_rename,  failing_unlink,
                                     failing_mmap,  counted_munmap, failing_madvise, failing_ftruncate};
}

void files_stutter(void)
{
    files_fail_at(0);
    stutter = 1;
}

long files_calls(void)
{
    return calls;
}

const char *files_trace(void)
{
    return trace;
}

long files_open(void)
{
    return open_handles;
}

void files_restore(void)
{
    if (replaced)
        file_table = original;
    replaced = 0;
}
