/* Writing where it is not easy: paths as long as there are, temporary names that others take or remove, files of other
 * owners, faults while an old file is overwritten itself.  Links, modes, odd file systems: test_file_write.c. */
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
#include "support.h"

#define LONGEST 4095 /* bytes of a path, without its end */

static dn_error error;
static struct file_table real;

static dn_status write_with(const dn_allocator *allocator, const char *path, const char *text)
{
    file_writer writer;

    error = (dn_error){0};
    dn_status status = file_writer_open(&writer, path, allocator, &error);
    if (status == DN_OK)
        status = file_writer_write(&writer, text, strlen(text), &error);
    if (status == DN_OK)
        status = file_writer_commit(&writer, &error);
    return status;
}

static dn_status write_path(const char *path, const char *text)
{
    dn_allocator allocator = mem_allocator(NULL);

    return write_with(&allocator, path, text);
}

/* ---- long paths ---- */

/* Folders in each other whose path, with a slash at its end, has `length` bytes. */
static void make_deep(const char *base, size_t length, char path[LONGEST + 1])
{
    size_t size = strlen(base);

    memcpy(path, base, size);
    path[size++] = '/';
    while (size < length) {
        size_t room = length - size - 1, name = room > 201 ? 200 : room;
        memset(path + size, 'd', name);
        path[size + name] = '\0';
        ck_assert_int_eq(mkdir(path, 0700), 0);
        path[size + name] = '/';
        size += name + 1;
    }
}

static void remove_deep(const char *base, size_t length, char path[LONGEST + 1])
{
    while (length > strlen(base) + 1) {
        path[length - 1] = '\0';
        ck_assert_int_eq(rmdir(path), 0);
        length = (size_t)(strrchr(path, '/') - path) + 1;
    }
}

/* The temporary name beside a file is cut so that its path can be opened; where not even that is enough it is told. */
START_TEST(longest_paths)
{
    static const struct {
        size_t folder, name;
        _Bool fits;
    } cases[] = {{3950, 90, 1}, {3950, 145, 1}, {4046, 49, 1}, {4060, 10, 1}, {4085, 10, 0}};
    const char *base = test_folder();
    char path[LONGEST + 1];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t folder = cases[i].folder, length = folder + cases[i].name;
        ck_assert_uint_le(length, LONGEST);
        make_deep(base, folder, path);
        memset(path + folder, 'n', cases[i].name);
        path[length] = '\0';
        if (cases[i].fits) {
            ck_ok(write_path(path, "old"));
            ck_ok(write_path(path, "text"));
            expect_content(path, "text");
            ck_assert_int_eq(unlink(path), 0);
        } else {
            ck_status(write_path(path, "text"), DN_E_IO);
            ck_assert_ptr_nonnull(strstr(error.message, "cannot create: File name too long"));
        }
        remove_deep(base, folder, path); /* nothing is left in them */
    }
}
END_TEST

/* No character begins anywhere: the temporary name is as short as can be. */
START_TEST(a_name_of_continuation_bytes)
{
    const char *folder = test_folder();
    char name[231];

    memset(name, 0x80, 230);
    name[230] = '\0';
    ck_ok(write_path(path_join(folder, name), "text"));
    expect_content(path_join(folder, name), "text");
    ck_assert_int_eq(count_files(folder), 1);
}
END_TEST

START_TEST(no_memory_for_a_links_target)
{
    const char *folder = test_folder(), *link = path_join(folder, "link"), *chain = path_join(folder, "chain");
    dn_status status = DN_E_MEMORY;
    int failures = 0;

    ck_assert_int_eq(symlink("file", link), 0);
    ck_assert_int_eq(symlink("link", chain), 0);
    for (long n = 1; status != DN_OK; n++) {
        failing_memory memory = {.fail_at = n};
        dn_allocator allocator = failing_allocator(&memory);
        status = write_with(&allocator, chain, "text");
        ck_assert_int_eq(memory.live, 0);
        if (status == DN_OK)
            break;
        check_error(&error, DN_E_MEMORY, "out of memory");
        ck_assert_int_eq(count_files(folder), 2);
        failures++;
    }
    ck_assert_int_ge(failures, 5); /* the path, three targets, the temporary name */
    expect_content(path_join(folder, "file"), "text");
}
END_TEST

/* ---- temporary names ---- */

enum { NOTHING, LOCKED, REMOVED, EXISTS };
static int others_do, others_left; /* to the next so many temporary files */
static int held = -1, asked;

/* Another process comes between the making of a temporary file and its lock. */
static int contested_open(const char *path, int flags, mode_t mode)
{
    if (!(flags & O_EXCL) || others_left == 0)
        return real.open(path, flags, mode);
    others_left--;
    asked++;
    if (others_do == EXISTS) {
        errno = EEXIST;
        return -1;
    }
    int fd = real.open(path, flags, mode);
    if (others_do == REMOVED) {
        unlink(path);
    } else {
        held = open(path, O_RDONLY);
        flock(held, LOCK_EX);
    }
    return fd;
}

static dn_status write_contested(int what, int times, const char *path, const char *text)
{
    real = file_table;
    others_do = what;
    others_left = times;
    asked = 0;
    file_table.open = contested_open;
    dn_status status = write_path(path, text);
    file_table = real;
    return status;
}

START_TEST(names_that_others_have)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    dn_allocator allocator = mem_allocator(NULL);

    ck_ok(write_contested(REMOVED, 3, path, "first"));
    expect_content(path, "first");
    ck_assert_int_eq(count_files(folder), 1);
    ck_ok(write_contested(EXISTS, 7, path, "second"));
    expect_content(path, "second");
    ck_assert_int_eq(count_files(folder), 1);
    ck_ok(write_contested(LOCKED, 1, path, "third"));
    expect_content(path, "third");
    ck_assert_int_eq(count_files(folder), 2); /* the one that another has locked is left to it */
    file_remove_stale(path, &allocator);
    ck_assert_int_eq(count_files(folder), 2);
    close(held);
    file_remove_stale(path, &allocator);
    ck_assert_int_eq(count_files(folder), 1);
    ck_status(write_contested(EXISTS, -1, path, "fourth"), DN_E_IO);
    ck_assert_int_eq(asked, 1000);
    ck_assert_ptr_nonnull(strstr(error.message, "a: cannot create: File exists"));
    expect_content(path, "third");
}
END_TEST

/* ---- overwritten in place ---- */

static int read_reasons[2], close_reason, to_overwrite; /* errno of the next reads, and of closing the old file */

static int noting_open(const char *path, int flags, mode_t mode)
{
    int fd = real.open(path, flags, mode);

    if ((flags & (O_WRONLY | O_EXCL)) == O_WRONLY)
        to_overwrite = fd;
    return fd;
}

static int refused_rename(const char *from, const char *to)
{
    (void)from;
    (void)to;
    errno = EACCES;
    return -1;
}

static ssize_t failing_read(int fd, void *buffer, size_t size)
{
    int reason = read_reasons[0];

    read_reasons[0] = read_reasons[1];
    read_reasons[1] = 0;
    errno = reason;
    return reason ? -1 : real.read(fd, buffer, size);
}

static int failing_close(int fd)
{
    int status = real.close(fd), fails = fd == to_overwrite && close_reason;

    if (fails)
        errno = close_reason;
    return fails ? -1 : status;
}

/* A read that is interrupted is done again, a close is done all the same; of two faults the first is told. */
START_TEST(faults_in_place)
{
    static const struct {
        int reads[2], close, told; /* told 0: it goes well */
    } cases[] = {{{0, 0}, 0, 0},           {{EINTR, EINTR}, 0, 0},   {{0, 0}, EINTR, 0},
                 {{0, 0}, EDQUOT, EDQUOT}, {{EISDIR, 0}, 0, EISDIR}, {{EISDIR, 0}, EDQUOT, EISDIR}};
    const char *folder = test_folder(), *path = path_join(folder, "a");
    char name[64];

    snprintf(name, sizeof name, "a.%ld-0.tmp", (long)getpid());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, "old", 3);
        real = file_table;
        memcpy(read_reasons, cases[i].reads, sizeof read_reasons);
        close_reason = cases[i].close;
        to_overwrite = -1;
        file_table.open = noting_open;
        file_table.rename = refused_rename;
        file_table.read = failing_read;
        file_table.close = failing_close;
        dn_status status = write_path(path, "new text");
        file_table = real;
        ck_assert_int_ge(to_overwrite, 0);
        if (cases[i].told == 0) {
            ck_ok(status);
            expect_content(path, "new text");
            ck_assert_int_eq(count_files(folder), 1);
            continue;
        }
        ck_status(status, DN_E_IO);
        ck_assert_ptr_nonnull(strstr(error.message, "was overwritten in part"));
        ck_assert_ptr_nonnull(strstr(error.message, strerror(cases[i].told)));
        expect_content(path_join(folder, name), "new text");
        ck_assert_int_eq(unlink(path_join(folder, name)), 0);
    }
}
END_TEST

/* ---- other owners ---- */

enum { USER = 65534, GROUP = 65533 };

/* Who may not give files away keeps what can be kept: the group, if it is the own one; the mode always. */
START_TEST(files_of_others)
{
    const char *folder = test_folder(), *path = path_join(folder, "a");
    struct stat status;

    if (geteuid() != 0)
        return; /* only root becomes somebody else */
    ck_assert_int_eq(chmod(folder, 0777), 0);
    for (int own_group = 0; own_group < 2; own_group++) {
        write_file(path, "old", 3);
        ck_assert_int_eq(chown(path, 0, own_group ? GROUP : 0), 0);
        ck_assert_int_eq(chmod(path, 0646), 0);
        ck_assert_int_eq(setegid(own_group ? GROUP : USER), 0);
        ck_assert_int_eq(seteuid(USER), 0);
        dn_status written = write_path(path, "new");
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(setegid(0), 0);
        ck_ok(written);
        expect_content(path, "new");
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_uid, USER);
        ck_assert_uint_eq(status.st_gid, own_group ? GROUP : USER);
        ck_assert_uint_eq(status.st_mode & 07777, 0646);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

/* The number of no process. */
#define DEAD "4194305"

/* What looks like a temporary file and is none stays, as does what cannot be opened, and that of a process that lives
 * and belongs to somebody else. */
START_TEST(names_that_are_not_stale)
{
    static const char *const stay[] = {"m.dnm.0-0.tmp", "m.dnm.:-0.tmp", "m.dnm.!-0.tmp", "m.dnm." DEAD "-:.tmp",
                                       "m.dnm." DEAD "-!.tmp"};
    const char *folder = test_folder(), *path = path_join(folder, "m.dnm"), *link, *of_root;
    dn_allocator allocator = mem_allocator(NULL);
    int files = 0;

    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++, files++)
        write_file(path_join(folder, stay[i]), "x", 1);
    link = path_join(folder, "m.dnm." DEAD "-1.tmp");
    ck_assert_int_eq(symlink("m.dnm.0-0.tmp", link), 0);
    of_root = path_join(folder, "m.dnm.1-0.tmp");
    write_file(of_root, "x", 1);
    files += 2;
    ck_assert_int_eq(chmod(folder, 0777), 0);
    _Bool root = geteuid() == 0;
    if (root)
        ck_assert_int_eq(seteuid(USER), 0);
    file_remove_stale(path, &allocator);
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(count_files(folder), files);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("places");
    TCase *tests = tcase_create("places");

    tcase_add_test(tests, longest_paths);
    tcase_add_test(tests, a_name_of_continuation_bytes);
    tcase_add_test(tests, no_memory_for_a_links_target);
    tcase_add_test(tests, names_that_others_have);
    tcase_add_test(tests, faults_in_place);
    tcase_add_test(tests, files_of_others);
    tcase_add_test(tests, names_that_are_not_stale);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
