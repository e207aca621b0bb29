/* lib/base/finite.c: the search for NaN and infinity. */
#include <stdint.h>
#include <string.h>

#include "base/finite.h"
#include "support.h"

/* Every bit pattern's class is told, at any place and alignment. */
START_TEST(test_finite)
{
    static const uint32_t finite[] = {0, 0x80000000, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000};
    static const uint32_t others[] = {0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00000, 0xFFFFFFFF};
    uint8_t bytes[4 * 70 + 3];

    for (size_t shift = 0; shift < 4; shift++) {
        for (size_t i = 0; i < 70; i++)
            memcpy(bytes + shift + 4 * i, &finite[i % 8], 4);
        ck_assert(floats_finite(bytes + shift, 70));
        for (size_t i = 0; i < 70; i++) {
            memcpy(bytes + shift + 4 * i, &others[i % 5], 4);
            ck_assert(!floats_finite(bytes + shift, 70));
            ck_assert(floats_finite(bytes + shift, i)); /* not looked at */
            memcpy(bytes + shift + 4 * i, &finite[i % 8], 4);
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("finite");
    TCase *tests = tcase_create("finite");

    tcase_add_test(tests, test_finite);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
