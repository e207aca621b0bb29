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

/* A message that is cut is cut between characters, wherever the cut falls. */
START_TEST(test_message_cut)
{
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x94\xA7"};
    char text[600];

    for (size_t kind = 0; kind < 4; kind++)
        for (size_t shift = 0; shift < 4; shift++) {
            size_t step = strlen(characters[kind]), length = shift;
            memset(text, '.', shift);
            for (; length + step < 500; length += step)
                memcpy(text + length, characters[kind], step);
            text[length] = '\0';
            fail(&error, DN_E_IO, "%s", text);
            size_t kept = strlen(error.message);
            ck_assert_uint_lt(kept, sizeof error.message);
            ck_assert_uint_gt(kept + step, sizeof error.message - 1);
            ck_assert_uint_eq((kept - shift) % step, 0);
            ck_assert_mem_eq(error.message, text, kept);
        }
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
    tcase_add_test(tests, test_message_fits);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
