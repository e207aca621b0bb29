/* lib/base/memory.c and blob.c: checked sizes, alignment, scratch and blobs that grow, allocations that fail. */
#include <stdint.h>
#include <string.h>

#include "base/blob.h"
#include "base/memory.h"
#include "support.h"

START_TEST(test_checked_arithmetic)
{
    size_t out;

    ck_assert(size_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    ck_assert(size_mul(0, SIZE_MAX, &out) && out == 0);
    ck_assert(!size_mul(SIZE_MAX / 2 + 1, 2, &out));
    ck_assert(size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    ck_assert(!size_add(SIZE_MAX, 1, &out));
}
END_TEST

START_TEST(test_allocation)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);

    for (size_t size = 0; size < 300; size++) {
        uint8_t *bytes = mem_zalloc(&allocator, size, 1);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_uint_eq((uintptr_t)bytes % MEM_ALIGNMENT, 0);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(bytes[i], 0);
        mem_free(&allocator, bytes);
    }
    mem_free(&allocator, NULL);
    ck_assert_int_eq(memory.live, 0);
    long calls = memory.calls;
    ck_assert_ptr_null(mem_alloc(&allocator, SIZE_MAX, 2));
    ck_assert_ptr_null(mem_zalloc(&allocator, SIZE_MAX / 4 + 1, 4));
    ck_assert_ptr_null(mem_alloc(&allocator, SIZE_MAX, 1));
    ck_assert_ptr_null(mem_alloc(&allocator, SIZE_MAX - 63, 1));
    ck_assert_ptr_null(mem_alloc(&allocator, (size_t)PTRDIFF_MAX + 1, 1));
    ck_assert_int_eq(memory.calls, calls); /* refused before the allocator is asked */
    char *copy = mem_strdup(&allocator, "text");
    ck_assert_str_eq(copy, "text");
    mem_free(&allocator, copy);
    memory.fail_at = memory.calls + 1;
    ck_assert_ptr_null(mem_strdup(&allocator, "text"));
    memory.fail_at = memory.calls + 1;
    ck_assert_ptr_null(mem_zalloc(&allocator, 1, 1));
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static void *no_memory(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    return NULL;
}

START_TEST(test_default_allocator)
{
    dn_allocator allocator = mem_allocator(NULL), own = failing_allocator(NULL), copy = mem_allocator(&own);
    struct mem_table kept = mem_table;

    ck_assert(copy.alloc == own.alloc && copy.free == own.free && copy.user == own.user);
    void *bytes = mem_alloc(&allocator, 10, 10);
    ck_assert_ptr_nonnull(bytes);
    mem_free(&allocator, bytes);
    mem_table.aligned_alloc = no_memory;
    ck_assert_ptr_null(mem_alloc(&allocator, 10, 10));
    ck_assert_ptr_null(mem_alloc(&allocator, (size_t)64 << 20, 1)); /* in whole huge pages */
    ck_assert_ptr_null(mem_alloc(&allocator, PTRDIFF_MAX - 128, 1));
    mem_table = kept;
}
END_TEST

START_TEST(test_scratch_grows_only)
{
    failing_memory memory = {0};
    mem_scratch scratch = {.allocator = failing_allocator(&memory)};

    void *first = mem_reserve(&scratch, 100);
    ck_assert(first && (uintptr_t)first % MEM_ALIGNMENT == 0);
    ck_assert_ptr_eq(mem_reserve(&scratch, 1), first);
    ck_assert_ptr_eq(mem_reserve(&scratch, 100), first);
    ck_assert_int_eq(memory.calls, 1);
    ck_assert_ptr_nonnull(mem_reserve(&scratch, 101));
    ck_assert_int_eq(memory.calls, 2);
    ck_assert_int_eq(memory.live, 1);
    memory.fail_at = 3;
    ck_assert_ptr_null(mem_reserve(&scratch, 1000));
    ck_assert_int_eq(memory.live, 0);
    ck_assert_ptr_nonnull(mem_reserve(&scratch, 1));
    ck_assert_ptr_null(mem_reserve(&scratch, SIZE_MAX));
    mem_release(&scratch);
    mem_release(&scratch);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(test_blob)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_blob *blob = blob_create(&allocator);

    ck_assert(blob_append(blob, NULL, 0) && blob->size == 0);
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert(blob_append(blob, &i, sizeof i));
    ck_assert_uint_eq(blob->size, 4000);
    ck_assert_int_lt(memory.calls, 20); /* grows by doubling */
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_mem_eq(blob->data + 4 * i, &i, 4);
    memory.fail_at = memory.calls + 1;
    ck_assert(!blob_reserve(blob, 100000));
    memory.fail_at = memory.calls + 1;
    ck_assert(!blob_append(blob, blob->data, SIZE_MAX - 100));
    ck_assert(!blob_append(blob, blob->data, SIZE_MAX));
    ck_assert_uint_eq(blob->size, 4000);
    memory.fail_at = 0;
    ck_assert(blob_reserve(blob, 100000) && blob->capacity >= 100000);
    long calls = memory.calls;
    while (blob->size < 100000)
        ck_assert(blob_append(blob, "12345678", 8));
    ck_assert_int_eq(memory.calls, calls);
    blob_free(blob);
    blob_free(NULL);
    memory.fail_at = memory.calls + 1;
    ck_assert_ptr_null(blob_create(&allocator));
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("allocation");
    TCase *tests = tcase_create("allocation");

    tcase_add_test(tests, test_checked_arithmetic);
    tcase_add_test(tests, test_allocation);
    tcase_add_test(tests, test_default_allocator);
    tcase_add_test(tests, test_scratch_grows_only);
    tcase_add_test(tests, test_blob);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
