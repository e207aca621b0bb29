/* lib/base/status.c: messages, and where a long one is cut. */
#include <string.h>

#include "base/status.h"
#include "support.h"

static dn_error error;

START_TEST(test_fail)
{
    ck_status(fail(&error, DN_E_IO, "%s: %d", "a", 7), DN_E_IO);
    ck_assert_int_eq(error.status, DN_E_IO);
    ck_assert_str_eq(error.message, "a: 7");
    ck_status(fail(NULL, DN_E_LIMIT, "nobody listens"), DN_E_LIMIT);
    ck_status(fail_memory(&error, "a map"), DN_E_MEMORY);
    ck_assert_str_eq(error.message, "out of memory for a map");
}
END_TEST

/* A message that is too long keeps its beginning and its end, cut between characters, wherever the cuts fall. */
START_TEST(test_message_cut)
{
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x94\xA7"};
    char text[4500];

    for (size_t kind = 0; kind < 4; kind++)
        for (size_t size = 252; size < sizeof text; size += size < 300 ? 1 : 997) {
            size_t step = strlen(characters[kind]), shift = size % 4, length = shift;
            memset(text, '.', shift);
            for (; length + step < size; length += step)
                memcpy(text + length, characters[kind], step);
            text[length] = '\0';
            fail(&error, DN_E_IO, "%s: no reason", text);
            size_t kept = strlen(error.message);
            ck_assert_uint_lt(kept, sizeof error.message);
            ck_assert_uint_gt(kept + 2 * step, sizeof error.message - 1);
            const char *dots = strstr(error.message + 3, "...");
            ck_assert_ptr_nonnull(dots);
            ck_assert_mem_eq(error.message, text, (size_t)(dots - error.message));
            ck_assert_uint_eq(((size_t)(dots - error.message) - shift) % step, 0);
            size_t behind = strlen(dots + 3) - strlen(": no reason");
            ck_assert_str_eq(dots + 3 + behind, ": no reason");
            ck_assert_mem_eq(dots + 3, text + length - behind, behind);
            ck_assert_uint_eq(behind % step, 0);
        }
}
END_TEST

/* Text that is not UTF-8 is cut all the same, and what no buffer holds too. */
START_TEST(test_message_of_anything)
{
    static char text[100000];

    memset(text, 0x80, sizeof text - 1);
    fail(&error, DN_E_IO, "%.400s!", text);
    ck_assert_uint_gt(strlen(error.message), 200);
    ck_assert_int_eq(error.message[strlen(error.message) - 1], '!');
    fail(&error, DN_E_IO, "%s", text);
    ck_assert_uint_gt(strlen(error.message), 200);
}
END_TEST

/* A message that fits exactly keeps its last character. */
START_TEST(test_message_fits)
{
    char text[252];

    memset(text, '.', sizeof text);
    memcpy(text + 249, "\xC3\xA9", 3);
    fail(&error, DN_E_IO, "%s", text);
    ck_assert_str_eq(error.message, text);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("status");
    TCase *tests = tcase_create("status");

    tcase_add_test(tests, test_fail);
    tcase_add_test(tests, test_message_cut);
    tcase_add_test(tests, test_message_of_anything);
    tcase_add_test(tests, test_message_fits);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
