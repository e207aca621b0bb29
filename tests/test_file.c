/* lib/base/file.c: reading, mapping and atomic writing, with every call of the system failing in turn. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "failing_files.h"
#include "support.h"

static dn_error error;

/* ---- reading files ---- */

static dn_status read_path(const char *path, int64_t max_bytes, uint8_t **bytes, size_t *size)
{
    dn_allocator allocator = mem_allocator(NULL);

    error = (dn_error){0};
    return file_read(path, max_bytes, &allocator, bytes, size, &error);
}

START_TEST(test_file_read)
{
    const char *path = path_join(test_folder(), "a");
    uint8_t *bytes;
    size_t size;

    write_file(path, "hello", 5);
    ck_ok(read_path(path, 5, &bytes, &size));
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(bytes, "hello", 5);
    free(bytes);
    ck_status(read_path(path, 4, &bytes, &size), DN_E_LIMIT);
    ck_assert_ptr_null(bytes);
    ck_assert_ptr_nonnull(strstr(error.message, "5 bytes, more than the limit of 4"));
    files_stutter();
    ck_ok(read_path(path, 5, &bytes, &size));
    files_restore();
    ck_assert_mem_eq(bytes, "hello", 5);
    free(bytes);
    write_file(path, "", 0);
    ck_ok(read_path(path, 4, &bytes, &size));
    ck_assert_uint_eq(size, 0);
    free(bytes);
}
END_TEST

/* In a process that closed its standard input a file can get descriptor 0; an interruption long ago means nothing. */
START_TEST(test_descriptor_0)
{
    const char *path = path_join(test_folder(), "a");
    uint8_t *bytes;
    size_t size;

    write_file(path, "hello", 5);
    close(0);
    errno = EINTR;
    ck_assert_int_eq(file_open(path, O_RDONLY, 0), 0);
    close(0);
    ck_ok(read_path(path, 5, &bytes, &size));
    ck_assert_mem_eq(bytes, "hello", 5);
    free(bytes);
    ck_assert_int_eq(open(path, O_RDONLY), 0); /* and it was closed again */
    close(0);
}
END_TEST

START_TEST(test_file_map)
{
    const char *path = path_join(test_folder(), "a");
    file_mapping mapping;

    write_file(path, "hello", 5);
    ck_ok(file_map(path, &mapping, &error));
    ck_assert_uint_eq(mapping.size, 5);
    ck_assert_mem_eq(mapping.bytes, "hello", 5);
    file_unmap(&mapping);
    ck_assert_ptr_null(mapping.bytes);
    file_unmap(&mapping);
    write_file(path, "", 0);
    ck_ok(file_map(path, &mapping, &error));
    ck_assert(mapping.bytes == NULL && mapping.size == 0);
    file_unmap(&mapping);
}
END_TEST

/* Memory that this process shares with files, in bytes. */
static double file_memory(void)
{
    long total = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld %ld", &total, &resident, &shared), 3);
    fclose(file);
    return (double)shared * (double)sysconf(_SC_PAGESIZE);
}

/* Forgotten pages take no memory, and are there again when they are read, whether or not the system went along. */
START_TEST(test_file_map_forget)
{
    enum { SIZE = 16 << 20, KEPT = (5 << 20) + 1000, KEPT_SIZE = 8 << 20 };
    const char *path = path_join(test_folder(), "a");
    uint8_t *bytes = malloc(SIZE);
    file_mapping mapping;

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
    write_file(path, bytes, SIZE);
    ck_ok(file_map(path, &mapping, &error));
    double before = file_memory();
    ck_assert_mem_eq(mapping.bytes, bytes, SIZE);
    double read = file_memory();
    file_map_forget(&mapping, mapping.bytes + KEPT, KEPT_SIZE);
    double forgotten = file_memory();
    ck_assert_double_ge(read - before, 15e6);
    ck_assert_double_ge(read - forgotten, 7e6);
    ck_assert_double_ge(forgotten - before, 3.5e6); /* huge pages of 2 MB that are partly kept may be gone, too */
    ck_assert_mem_eq(mapping.bytes, bytes, SIZE);
    files_fail_at(1);
    file_map_forget(&mapping, mapping.bytes, SIZE); /* nothing to do */
    ck_assert_int_eq(files_calls(), 0);
    file_map_forget(&mapping, mapping.bytes + SIZE, 0);
    ck_assert_str_eq(files_trace(), "a"); /* which failed */
    files_restore();
    ck_assert_mem_eq(mapping.bytes, bytes, SIZE);
    file_unmap(&mapping);
    free(bytes);
}
END_TEST

/* What cannot be read is refused at once, by name; `reason` is part of the message. */
static void expect_unreadable(const char *path, const char *reason)
{
    file_mapping mapping;
    uint8_t *bytes;
    size_t size;

    ck_status(read_path(path, 1000, &bytes, &size), DN_E_IO);
    ck_assert_ptr_null(bytes);
    ck_assert_msg(strstr(error.message, path) && strstr(error.message, reason), "%s", error.message);
    ck_status(file_map(path, &mapping, &error), DN_E_IO);
    ck_assert_msg(strstr(error.message, path) && strstr(error.message, reason), "%s", error.message);
    ck_assert_ptr_null(mapping.bytes);
}

START_TEST(test_file_unreadable)
{
    const char *folder = test_folder(), *secret = path_join(folder, "secret"), *queue = path_join(folder, "pipe");

    expect_unreadable(path_join(folder, "absent"), "cannot open: No such file");
    expect_unreadable(path_join(folder, "absent/file"), "cannot open: No such file");
    expect_unreadable(folder, "not a regular file");
    expect_unreadable("/dev/zero", "not a regular file");
    ck_assert_int_eq(mkfifo(queue, 0600), 0);
    expect_unreadable(queue, "not a regular file");
    if (geteuid() != 0) { /* root reads everything */
        write_file(secret, "x", 1);
        ck_assert_int_eq(chmod(secret, 0), 0);
        expect_unreadable(secret, "cannot open: Permission denied");
    }
}
END_TEST

START_TEST(test_file_read_failures)
{
    failing_memory memory = {.fail_at = 1};
    dn_allocator allocator = failing_allocator(&memory);
    const char *path = path_join(test_folder(), "a");
    int finished = 0;

    write_file(path, "hello", 5);
    for (long number = 1; !finished; number++) {
        uint8_t *bytes;
        size_t size;
        files_fail_at(number);
        dn_status status = read_path(path, 5, &bytes, &size);
        finished = files_calls() < number;
        files_restore();
        ck_assert_int_eq(files_open(), 0);
        if (status == DN_OK)
            ck_assert_mem_eq(bytes, "hello", 5);
        else
            ck_assert(status == DN_E_IO && !bytes && strstr(error.message, path));
        free(bytes);
    }
    finished = 0;
    for (long number = 1; !finished; number++) {
        file_mapping mapping;
        files_fail_at(number);
        dn_status status = file_map(path, &mapping, &error);
        finished = files_calls() < number;
        ck_assert(status == DN_OK || (status == DN_E_IO && !mapping.bytes && strstr(error.message, path)));
        file_unmap(&mapping);
        files_restore();
        ck_assert_int_eq(files_open(), 0);
    }
    uint8_t *bytes;
    size_t size;
    ck_status(file_read(path, 5, &allocator, &bytes, &size, &error), DN_E_MEMORY);
    ck_assert_ptr_null(bytes);
}
END_TEST

/* A file that another program cuts while it is read. */
static const char *cut_path;
static ssize_t (*real_read)(int fd, void *buffer, size_t size);

static ssize_t cut_then_read(int fd, void *buffer, size_t size)
{
    ck_assert_int_eq(truncate(cut_path, 2), 0);
    errno = EINTR; /* of a call long ago: an end of file is none */
    return real_read(fd, buffer, size);
}

START_TEST(test_file_cut_while_reading)
{
    struct file_table kept = file_table;
    uint8_t *bytes;
    size_t size;

    cut_path = path_join(test_folder(), "a");
    write_file(cut_path, "hello", 5);
    real_read = file_table.read;
    file_table.read = cut_then_read;
    dn_status status = read_path(cut_path, 5, &bytes, &size);
    file_table = kept;
    ck_status(status, DN_E_IO);
    ck_assert_ptr_null(bytes);
    ck_assert_ptr_nonnull(strstr(error.message, "became shorter"));
}
END_TEST

/* ---- writing files ---- */

static dn_status write_path(const char *path, const char *text, const dn_allocator *allocator)
{
    dn_allocator own = mem_allocator(allocator);
    file_writer writer;

    error = (dn_error){0};
    TRY(file_writer_open(&writer, path, &own, &error));
    TRY(file_writer_write(&writer, text, strlen(text) / 2, &error));
    TRY(file_writer_write(&writer, text + strlen(text) / 2, strlen(text) - strlen(text) / 2, &error));
    return file_writer_commit(&writer, &error);
}

START_TEST(test_file_write)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    struct stat status;
    mode_t mask = umask(022);

    ck_ok(write_path(path, "first", NULL));
    expect_content(path, "first");
    ck_ok(write_path(path, "second, longer", NULL));
    expect_content(path, "second, longer");
    ck_ok(write_path(path, "", NULL));
    expect_content(path, "");
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0644);
    ck_assert_int_eq(count_files(folder), 1);
    umask(mask);
}
END_TEST

/* The file's bytes are on the disk before it gets its name, and the name is before the call returns. */
START_TEST(test_file_write_order)
{
    files_fail_at(0);
    ck_ok(write_path(path_join(test_folder(), "a"), "text", NULL));
    files_restore();
    ck_assert_str_eq(files_trace(), "owwfcRofc");
}
END_TEST

/* Nothing appears under the name before the commit, and nothing is left after an abort. */
START_TEST(test_file_write_abort)
{
    dn_allocator allocator = mem_allocator(NULL);
    const char *folder = test_folder(), *path = path_join(folder, "a");
    file_writer writer;

    ck_ok(file_writer_open(&writer, path, &allocator, &error));
    ck_ok(file_writer_write(&writer, "text", 4, &error));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(count_files(folder), 1);
    file_writer_abort(&writer);
    file_writer_abort(&writer);
    ck_assert_int_eq(count_files(folder), 0);
}
END_TEST

START_TEST(test_file_write_failures)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    int finished = 0, succeeded = 0;

    for (long number = 1; !finished; number++) {
        write_file(path, "old", 3);
        files_fail_at(number);
        dn_status status = write_path(path, "new text", NULL);
        finished = files_calls() < number;
        files_restore();
        if (status == DN_OK) {
            expect_content(path, "new text");
            succeeded++;
        } else {
            ck_assert_int_eq(status, DN_E_IO);
            expect_content(path, "old");
            ck_assert_msg(!strncmp(error.message, path, strlen(path)) && strstr(error.message, "Input/output error"),
                          "%s", error.message);
        }
        ck_assert_int_eq(count_files(folder), 1);
        ck_assert_int_eq(files_open(), 0);
        ck_assert_int_lt(number, 30);
    }
    /* Only the directory's open, fsync and close may fail unnoticed. */
    ck_assert_int_eq(succeeded, 3 + 1);
    files_stutter();
    ck_ok(write_path(path, "in small pieces", NULL));
    files_restore();
    expect_content(path, "in small pieces");
}
END_TEST

START_TEST(test_file_write_out_of_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    const char *folder = test_folder(), *path = path_join(folder, "a");
    dn_status status = DN_E_MEMORY;

    for (memory.fail_at = 1; status != DN_OK; memory.fail_at++) {
        ck_assert_int_lt(memory.fail_at, 20);
        memory.calls = 0;
        status = write_path(path, "text", &allocator);
        ck_assert(status == DN_OK || status == DN_E_MEMORY);
        ck_assert_int_eq(memory.live, 0);
        ck_assert_int_eq(count_files(folder), status == DN_OK);
    }
}
END_TEST

static ssize_t write_nothing(int fd, const void *buffer, size_t size)
{
    (void)fd;
    (void)buffer;
    (void)size;
    return 0;
}

START_TEST(test_file_write_full_disk)
{
    struct file_table kept = file_table;
    const char *folder = test_folder();

    file_table.write = write_nothing;
    dn_status status = write_path(path_join(folder, "a"), "text", NULL);
    file_table = kept;
    ck_status(status, DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "No space left"));
    ck_assert_int_eq(count_files(folder), 0);
}
END_TEST

START_TEST(test_file_write_refusals)
{
    const char *folder = test_folder(), *queue = path_join(folder, "pipe");

    ck_status(write_path(folder, "x", NULL), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "not a regular file"));
    ck_assert_int_eq(mkfifo(queue, 0600), 0);
    ck_status(write_path(queue, "x", NULL), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "not a regular file"));
    ck_status(write_path(path_join(folder, "absent/a"), "x", NULL), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "absent/a: cannot create: No such file"));
    ck_status(write_path("", "x", NULL), DN_E_IO);
    ck_assert_int_eq(count_files(folder), 1);
}
END_TEST

/* A stale temporary file of another run is neither used nor removed. */
START_TEST(test_file_write_beside_stale_file)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    char stale[64];

    snprintf(stale, sizeof stale, "a.%ld-0.tmp", (long)getpid());
    write_file(path_join(folder, stale), "stale", 5);
    ck_ok(write_path(path, "text", NULL));
    expect_content(path, "text");
    expect_content(path_join(folder, stale), "stale");
    ck_assert_int_eq(count_files(folder), 2);
}
END_TEST

/* The directory to sync is the current one, a relative one, or the root. */
START_TEST(test_file_write_relative)
{
    const char *folder = test_folder();
    int before = open(".", O_RDONLY | O_DIRECTORY);

    ck_assert_int_eq(chdir(folder), 0);
    ck_ok(write_path("a", "text", NULL));
    ck_ok(write_path("./b", "text", NULL));
    ck_status(write_path("/proc/differnet-test", "text", NULL), DN_E_IO);
    ck_assert_int_eq(fchdir(before), 0);
    close(before);
    expect_content(path_join(folder, "a"), "text");
    expect_content(path_join(folder, "b"), "text");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");

    tcase_add_test(tests, test_file_read);
    tcase_add_test(tests, test_descriptor_0);
    tcase_add_test(tests, test_file_map);
    tcase_add_test(tests, test_file_map_forget);
    tcase_add_test(tests, test_file_unreadable);
    tcase_add_test(tests, test_file_read_failures);
    tcase_add_test(tests, test_file_cut_while_reading);
    tcase_add_test(tests, test_file_write);
    tcase_add_test(tests, test_file_write_order);
    tcase_add_test(tests, test_file_write_abort);
    tcase_add_test(tests, test_file_write_failures);
    tcase_add_test(tests, test_file_write_out_of_memory);
    tcase_add_test(tests, test_file_write_full_disk);
    tcase_add_test(tests, test_file_write_refusals);
    tcase_add_test(tests, test_file_write_beside_stale_file);
    tcase_add_test(tests, test_file_write_relative);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
