#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"

static int open_file(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

struct file_table file_table = {open_file, fstat,  read, write,  fsync,   close,
                                rename,    unlink, mmap, munmap, madvise, ftruncate};

int file_open(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = file_table.open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Half of what a message can take of a path.  No file can be opened by a longer one, but one can be asked for. */
#define PATH_PART 1024

dn_status file_fail(dn_error *error, const char *path, const char *verb)
{
    const char *reason = strerror(errno);
    size_t length = strlen(path);

    if (length <= 2 * PATH_PART)
        return fail(error, DN_E_IO, "%s: cannot %s: %s", path, verb, reason);
    return fail(error, DN_E_IO, "%.*s...%s: cannot %s: %s", PATH_PART, path, path + length - PATH_PART, verb, reason);
}

/* Opens a regular file and tells its size.  A pipe or directory is refused: reading one could block or fail late. */
static dn_status open_regular(const char *path, int *fd, int64_t *size, dn_error *error)
{
    struct stat status;

    /* O_NONBLOCK so that opening a pipe without a writer returns. */
    *fd = file_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (*fd < 0)
        return file_fail(error, path, "open");
    if (file_table.fstat(*fd, &status) != 0) {
        dn_status failed = file_fail(error, path, "examine");
        file_table.close(*fd);
        return failed;
    }
    if (!S_ISREG(status.st_mode)) {
        file_table.close(*fd);
        return fail(error, DN_E_IO, "%s: not a regular file", path);
    }
    *size = (int64_t)status.st_size;
    return DN_OK;
}

/* Reads exactly `size` bytes. */
static dn_status read_fully(int fd, uint8_t *bytes, size_t size, const char *path, dn_error *error)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = file_table.read(fd, bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file_fail(error, path, "read");
        if (got == 0)
            return fail(error, DN_E_IO, "%s: became shorter while it was read", path);
        done += (size_t)got;
    }
    return DN_OK;
}

dn_status file_read(const char *path, int64_t max_bytes, const dn_allocator *allocator, uint8_t **bytes, size_t *size,
                    dn_error *error)
{
    int fd;
    int64_t length = 0;

    *bytes = NULL;
    *size = 0;
    TRY(open_regular(path, &fd, &length, error));
    if (length > max_bytes) {
        file_table.close(fd);
        return fail(error, DN_E_LIMIT, "%s: %lld bytes, more than the limit of %lld", path, (long long)length,
                    (long long)max_bytes);
    }
    uint8_t *buffer = mem_alloc(allocator, (size_t)length, 1);
    dn_status status = buffer ? read_fully(fd, buffer, (size_t)length, path, error) : fail_memory(error, path);
    file_table.close(fd);
    if (status != DN_OK) {
        mem_free(allocator, buffer);
        return status;
    }
    *bytes = buffer;
    *size = (size_t)length;
    return DN_OK;
}

dn_status file_map(const char *path, file_mapping *mapping, dn_error *error)
{
    int fd;
    int64_t length = 0;

    *mapping = (file_mapping){NULL, 0};
    TRY(open_regular(path, &fd, &length, error));
    if (length > 0) {
        void *bytes = file_table.mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            dn_status failed = file_fail(error, path, "map");
            file_table.close(fd);
            return failed;
        }
        *mapping = (file_mapping){bytes, (size_t)length};
    }
    file_table.close(fd);
    return DN_OK;
}

/* Whole pages of [begin, end).  If the system refuses, nothing is lost but memory. */
static void forget_pages(uintptr_t begin, uintptr_t end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end)
        (void)file_table.madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void file_map_forget(const file_mapping *mapping, const void *kept, size_t size)
{
    uintptr_t begin = (uintptr_t)mapping->bytes, from = (uintptr_t)kept;

    forget_pages(begin, from);
    forget_pages(from + size, begin + mapping->size);
}

void file_unmap(file_mapping *mapping)
{
    if (mapping->bytes)
        file_table.munmap((void *)(uintptr_t)mapping->bytes, mapping->size);
    *mapping = (file_mapping){NULL, 0};
}
