/* What the tests share: failure by number, temporary folders, test images, float comparison. */
#ifndef DN_TESTS_SUPPORT_H
#define DN_TESTS_SUPPORT_H

#include <check.h>
#include <stdint.h>

#include "differnet.h"

#undef fail /* Check's old macro; lib/base/status.h has a function of this name */

/* An allocator that counts, and fails its n-th allocation (1, 2, ...; 0: never). */
typedef struct failing_memory {
    long fail_at;
    long calls;        /* allocations asked for so far */
    long live;         /* allocations not yet freed; must be 0 at the end */
    size_t held, peak; /* bytes not yet freed, and the most there were */
} failing_memory;
dn_allocator failing_allocator(failing_memory *state);

/* A new empty folder for this test; removed, with what is in it, at exit.  Static buffer per call (64 of them). */
const char *test_folder(void);
/* The bytes at the end of memory behind which nothing can be read, nor in front of its first page: whoever does crashes,
 * with or without a sanitizer. */
const uint8_t *guarded_copy(const void *bytes, size_t size);
void guarded_free(const uint8_t *copy, size_t size);
/* Calls it again and again: what malloc gave must come back.  Nothing is known of that, nor checked, without glibc 2.33. */
void ck_gives_back(void (*once)(void));
/* folder/name.  Static buffers, the last 64 stay valid. */
const char *path_join(const char *folder, const char *name);
void write_file(const char *path, const void *bytes, size_t size);
uint8_t *read_file(const char *path, size_t *size);      /* malloc; test fails if unreadable */
void expect_content(const char *path, const char *text); /* the file's bytes are those of `text` */
int count_files(const char *folder);                     /* entries other than . and .. */
/* The process's threads.  One that was joined can be listed for a moment still: waits while there are more than
 * `expected` (0: does not), two seconds at most. */
int count_tasks(int expected);
const char *golden_path(const char *name); /* tests/golden/NAME */

/* Saves with each allocation failing in turn, until none is left: a save that says it failed has left the old file, one
 * that says it went well the very bytes that it writes with memory enough, and those open. */
typedef struct save_test {
    dn_status (*save)(void *object, const char *path, dn_error *error);
    void (*open)(void *object, const char *path); /* asserts that the file opens and is right */
    void *object;
    failing_memory *memory; /* of the object */
} save_test;
void check_saves_without_memory(const save_test *test, const char *path);

/* Makes the checksums in a file's header right again after a test changed its bytes, so far as they are there. */
void sign_file(uint8_t *bytes, size_t size);
/* The first occurrence of a text in a file; NULL: there is none. */
uint8_t *find_text(uint8_t *bytes, size_t size, const char *text);
/* Replaces the first occurrence of a text in a file by another of the same length. */
void replace_text(uint8_t *bytes, size_t size, const char *from, const char *to);

/* Largest absolute difference; largest absolute value. */
double max_abs_difference(const float *a, const float *b, size_t n);
double max_abs(const float *a, size_t n);

/* Deterministic test picture: RGB8 (height, width, 3), smooth texture that depends on seed. */
void draw_texture(uint8_t *rgb, int32_t width, int32_t height, uint32_t seed);
dn_pixels rgb_view(const uint8_t *rgb, int32_t width, int32_t height);

#define ck_ok(expression)                                                                        \
    do {                                                                                         \
        dn_status ck_status_ = (expression);                                                     \
        ck_assert_msg(ck_status_ == DN_OK, "%s: %s", #expression, dn_status_string(ck_status_)); \
    } while (0)
#define ck_status(expression, expected) ck_assert_int_eq((expression), (expected))
/* The error is there, has this status, and its message holds `part`. */
void check_error(const dn_error *error, dn_status status, const char *part);

/* main() of a test program: runs the suite that `make_suite` returns. */
int run_suite(Suite *suite); /* a test program's exit status */
#define TEST_MAIN(make_suite)           \
    int main(void)                      \
    {                                   \
        return run_suite(make_suite()); \
    }

#endif
