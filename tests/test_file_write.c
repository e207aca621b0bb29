/* Where files are written to: links, odd names, mount points, file systems that lack calls, what killed runs left.
 * Faults of single calls: test_base.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "failing_files.h"
#include "support.h"

static dn_error error;
static struct file_table real;

static void keep_calls(void)
{
    real = file_table;
}

static void restore_calls(void)
{
    files_restore();
    file_table = real;
}

/* Gives back all memory and every descriptor, whether it goes well or not. */
static dn_status write_path(const char *path, const char *text)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    file_writer writer;
    int open_before = count_files("/proc/self/fd");

    error = (dn_error){0};
    dn_status status = file_writer_open(&writer, path, &allocator, &error);
    if (status == DN_OK)
        status = file_writer_write(&writer, text, strlen(text), &error);
    if (status == DN_OK)
        status = file_writer_commit(&writer, &error);
    ck_assert_int_eq(memory.live, 0);
    ck_assert_int_eq(count_files("/proc/self/fd"), open_before);
    return status;
}

static void remove_stale(const char *path)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    int open_before = count_files("/proc/self/fd");

    file_remove_stale(path, &allocator);
    ck_assert_int_eq(memory.live, 0);
    ck_assert_int_eq(count_files("/proc/self/fd"), open_before);
}

/* ---- links ---- */

START_TEST(test_links_are_followed)
{
    const char *folder = test_folder(), *inside = path_join(folder, "inside"), *file = path_join(inside, "file");
    const char *link = path_join(folder, "link"), *chain = path_join(folder, "chain");
    struct stat status;

    ck_assert_int_eq(mkdir(inside, 0755), 0);
    ck_assert_int_eq(symlink("inside/file", link), 0); /* relative to its own folder */
    ck_assert_int_eq(symlink(link, chain), 0);
    ck_ok(write_path(link, "to a file that is not there yet"));
    expect_content(file, "to a file that is not there yet");
    ck_ok(write_path(chain, "new"));
    expect_content(file, "new");
    ck_assert_int_eq(lstat(link, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_int_eq(lstat(chain, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_int_eq(count_files(inside), 1);
}
END_TEST

START_TEST(test_links_that_lead_nowhere)
{
    const char *folder = test_folder(), *loop = path_join(folder, "loop"), *lost = path_join(folder, "lost");

    ck_assert_int_eq(symlink("loop", loop), 0);
    ck_status(write_path(loop, "x"), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "loop: cannot follow: Too many levels"));
    ck_assert_int_eq(symlink("absent/file", lost), 0);
    ck_status(write_path(lost, "x"), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "lost: cannot create: No such file"));
}
END_TEST

static mode_t mode_asked;

static int noting_open(const char *path, int flags, mode_t mode)
{
    if (flags & O_CREAT)
        mode_asked = mode;
    return real.open(path, flags, mode);
}

/* From the start: nobody reads in between what is for its owner alone. */
START_TEST(test_mode_is_kept)
{
    static const mode_t modes[] = {0600, 0640, 0666, 0444, 0755};
    const char *path = path_join(test_folder(), "a");
    struct stat status;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        write_file(path, "old", 3);
        ck_assert_int_eq(chmod(path, modes[i]), 0);
        keep_calls();
        file_table.open = noting_open;
        ck_ok(write_path(path, "new"));
        restore_calls();
        ck_assert_int_eq(mode_asked, modes[i]);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_int_eq(status.st_mode & 07777, modes[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

START_TEST(test_owner_is_kept)
{
    const char *path = path_join(test_folder(), "a");
    struct stat status;

    if (geteuid() != 0)
        return; /* only root gives files away */
    write_file(path, "old", 3);
    ck_assert_int_eq(chown(path, 12, 34), 0);
    ck_ok(write_path(path, "new"));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert(status.st_uid == 12 && status.st_gid == 34);
}
END_TEST

/* ---- names ---- */

START_TEST(test_long_names)
{
    const char *folder = test_folder();
    char name[256];

    for (size_t size = 180; size <= 255; size += size < 190 ? 1 : 5)
        for (int kind = 0; kind < 2; kind++) {
            memset(name, 'a', size);
            for (size_t i = size % 2; kind && i < size; i += 2)
                memcpy(name + i, "\xC3\xA9", 2);
            name[size] = '\0';
            ck_ok(write_path(path_join(folder, name), "text"));
            expect_content(path_join(folder, name), "text");
            ck_assert_int_eq(unlink(path_join(folder, name)), 0);
            ck_assert_int_eq(count_files(folder), 0);
        }
}
END_TEST

/* ---- what file systems lack ---- */

static int failing_errno;
static const char *failing_call; /* "rename", "fsync", "open" */
static int failures_left;

static int maybe_fail(const char *call)
{
    if (strcmp(failing_call, call) != 0 || failures_left == 0)
        return 0;
    failures_left--;
    errno = failing_errno;
    return 1;
}

static int refused_open(const char *path, int flags, mode_t mode)
{
    return maybe_fail("open") ? -1 : real.open(path, flags, mode);
}

static int refused_fsync(int fd)
{
    return maybe_fail("fsync") ? -1 : real.fsync(fd);
}

static int refused_rename(const char *from, const char *to)
{
    return maybe_fail("rename") ? -1 : real.rename(from, to);
}

static dn_status write_where(const char *call, int reason, int times, const char *path, const char *text)
{
    keep_calls();
    failing_call = call;
    failing_errno = reason;
    failures_left = times;
    file_table.open = refused_open;
    file_table.fsync = refused_fsync;
    file_table.rename = refused_rename;
    dn_status status = write_path(path, text);
    restore_calls();
    return status;
}

START_TEST(test_without_rename)
{
    static const int reasons[] = {EBUSY, EXDEV, EPERM, EINVAL, ENOSYS, ENOTSUP};
    const char *folder = test_folder(), *path = path_join(folder, "a");
    struct stat before, after;

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        write_file(path, "an old text that is longer", 26);
        ck_assert_int_eq(stat(path, &before), 0);
        ck_ok(write_where("rename", reasons[i], -1, path, "new"));
        expect_content(path, "new");
        ck_assert_int_eq(stat(path, &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
        ck_assert_int_eq(unlink(path), 0);
        ck_ok(write_where("rename", reasons[i], -1, path, "to a new file"));
        expect_content(path, "to a new file");
        ck_assert_int_eq(count_files(folder), 1);
    }
    ck_status(write_where("rename", EIO, -1, path, "x"), DN_E_IO);
    expect_content(path, "to a new file");
    ck_assert_int_eq(count_files(folder), 1);
}
END_TEST

START_TEST(test_without_fsync)
{
    static const int reasons[] = {EINVAL, ENOTSUP, ENOSYS};
    const char *path = path_join(test_folder(), "a");

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        ck_ok(write_where("fsync", reasons[i], -1, path, "text"));
        expect_content(path, "text");
    }
    ck_ok(write_where("fsync", EINTR, 3, path, "other"));
    expect_content(path, "other");
    ck_status(write_where("fsync", EIO, -1, path, "x"), DN_E_IO);
    expect_content(path, "other");
}
END_TEST

START_TEST(test_interrupted_open)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    dn_allocator allocator = mem_allocator(NULL);
    file_mapping mapping;
    uint8_t *bytes;
    size_t size;

    ck_ok(write_where("open", EINTR, 5, path, "text"));
    keep_calls();
    failures_left = 5;
    file_table.open = refused_open;
    ck_ok(file_read(path, 10, &allocator, &bytes, &size, &error));
    mem_free(&allocator, bytes);
    failures_left = 5;
    ck_ok(file_map(path, &mapping, &error));
    file_unmap(&mapping);
    restore_calls();
    ck_assert_int_eq(failures_left, 0);
}
END_TEST

/* Where the old file has to be overwritten itself, a fault leaves it as it was, or the whole new file beside it. */
START_TEST(test_faults_in_place)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    int finished = 0;

    for (long number = 1; !finished; number++) {
        char name[64];
        write_file(path, "old", 3);
        files_fail_at(number);
        keep_calls(); /* the counting ones */
        failing_call = "rename";
        failing_errno = EBUSY;
        failures_left = -1;
        file_table.rename = refused_rename;
        dn_status status = write_path(path, "new text");
        finished = files_calls() < number;
        int opened = (int)files_open();
        files_restore();
        ck_assert_int_eq(opened, 0);
        snprintf(name, sizeof name, "a.%ld-0.tmp", (long)getpid());
        if (status == DN_OK) {
            expect_content(path, "new text");
        } else if (strstr(error.message, "in part")) {
            ck_assert_msg(strstr(error.message, "Input/output error") && strstr(error.message, name + 1), "%s",
                          error.message);
            expect_content(path_join(folder, name), "new text");
        } else {
            expect_content(path, "old");
            ck_assert_int_eq(count_files(folder), 1);
        }
        unlink(path_join(folder, name));
        ck_assert_int_lt(number, 40);
    }
}
END_TEST

/* ---- what killed processes left ---- */

/* The number of no process. */
#define DEAD "4194305"

START_TEST(test_stale_files)
{
    static const struct stale {
        const char *name;
        int stays;
    } files[] = {
        {"m.dnm." DEAD "-0.tmp", 0},
        {"m.dnm.ckpt." DEAD "-12.tmp", 0},
        {"m.dnm.ckpt.bank." DEAD "-1.tmp", 0},
        {"m.dnm.9" DEAD "-9.tmp", 0},
        {"m.dnm.0" DEAD "-09.tmp", 0},
        {"m.dnm.1-0.tmp", 1},
        {"m.dnm.tmp", 1},
        {"m.dnm." DEAD "-0.tmp.bak", 1},
        {"m.dnm." DEAD ".tmp", 1},
        {"other.dnm." DEAD "-0.tmp", 1},
        {"m.dnm." DEAD "-.tmp", 1},
        {"m.dnm.-" DEAD "-0.tmp", 1},
        {"m.dnmx." DEAD "-0.tmp", 1},
        {"m.dnm", 1},
    };
    const char *folder = test_folder();

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        write_file(path_join(folder, files[i].name), "x", 1);
    const char *locked = path_join(folder, "m.dnm." DEAD "-7.tmp"); /* of a process in another container */
    write_file(locked, "x", 1);
    int fd = open(locked, O_RDONLY);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    remove_stale(path_join(folder, "m.dnm"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert_msg((access(path_join(folder, files[i].name), F_OK) == 0) == files[i].stays, "%s", files[i].name);
    ck_assert_int_eq(access(locked, F_OK), 0);
    close(fd);
    remove_stale(path_join(folder, "m.dnm"));
    ck_assert_int_ne(access(locked, F_OK), 0);
    remove_stale(path_join(folder, "absent/m.dnm"));
    remove_stale("");
    ck_assert_int_eq(symlink("m.dnm", path_join(folder, "link")), 0); /* beside what a link leads to */
    write_file(path_join(folder, "m.dnm." DEAD "-0.tmp"), "x", 1);
    remove_stale(path_join(folder, "link"));
    ck_assert_int_ne(access(path_join(folder, "m.dnm." DEAD "-0.tmp"), F_OK), 0);
}
END_TEST

/* A file that this process is writing is not stale. */
START_TEST(test_own_files_stay)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    dn_allocator allocator = mem_allocator(NULL);
    file_writer writer;

    ck_ok(file_writer_open(&writer, path, &allocator, &error));
    file_remove_stale(path, &allocator);
    ck_assert_int_eq(count_files(folder), 1);
    ck_ok(file_writer_write(&writer, "text", 4, &error));
    ck_ok(file_writer_commit(&writer, &error));
    expect_content(path, "text");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("file_write");
    TCase *links = tcase_create("links"), *systems = tcase_create("file systems"), *stale = tcase_create("stale");

    tcase_add_test(links, test_links_are_followed);
    tcase_add_test(links, test_links_that_lead_nowhere);
    tcase_add_test(links, test_mode_is_kept);
    tcase_add_test(links, test_owner_is_kept);
    tcase_add_test(links, test_long_names);
    tcase_add_test(systems, test_without_rename);
    tcase_add_test(systems, test_without_fsync);
    tcase_add_test(systems, test_interrupted_open);
    tcase_add_test(systems, test_faults_in_place);
    tcase_add_test(stale, test_stale_files);
    tcase_add_test(stale, test_own_files_stay);
    suite_add_tcase(suite, links);
    suite_add_tcase(suite, systems);
    suite_add_tcase(suite, stale);
    return suite;
}

TEST_MAIN(make_suite)
