/* The generator of pictures for pretraining: what it refuses, and what happens when memory or threads run out. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/pretrain/defect.h"
#include "generator_batch.h"

/* ---- calloc, pthread_create and draw_defect that fail when told to; the linker puts them before the real ones ---- */

static long fail_calloc_at, callocs, fail_thread_at, threads_started; /* n-th call; 0: never */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

void *__wrap_calloc(size_t n, size_t size)
{
    return ++callocs == fail_calloc_at ? NULL : __real_calloc(n, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    return ++threads_started == fail_thread_at ? 11 : __real_pthread_create(thread, attributes, start, argument);
}

static bool defects_fail; /* to show */

void __real_draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt);
void __wrap_draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt);

void __wrap_draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt)
{
    if (!defects_fail)
        __real_draw_defect(s, kind, d, attempt);
}

/* ---- errors ---- */

static int32_t run_with(struct generator_options options)
{
    int32_t class_number = 0;
    int64_t instance = 0;
    static uint8_t image[1024 * 1024 * 3];

    return generator_run(&options, &class_number, &instance, NULL, 1, image, NULL, NULL);
}

START_TEST(options_out_of_range)
{
    struct generator_options good = plain_options(32), o;

    ck_assert_int_eq(run_with(good), GENERATOR_OK);
#define REFUSED(field, value)                                \
    do {                                                     \
        o = good;                                            \
        o.field = (value);                                   \
        ck_assert_int_eq(run_with(o), GENERATOR_E_ARGUMENT); \
    } while (0)
    REFUSED(struct_size, 0);
    REFUSED(struct_size, sizeof good + 1);
    REFUSED(size, 31);
    REFUSED(size, 1025);
    REFUSED(size, -1);
    REFUSED(siblings, -1);
    REFUSED(siblings, 65);
    REFUSED(threads, -1);
    REFUSED(threads, 257);
    REFUSED(pose, -0.01f);
    REFUSED(pose, 1.01f);
    REFUSED(pose, NAN);
    REFUSED(look, 2);
    REFUSED(look, NAN);
    REFUSED(degrade, -1);
    REFUSED(degrade, NAN);
    REFUSED(zoom, 0.01f);
    REFUSED(zoom, INFINITY);
    REFUSED(zoom, NAN);
#undef REFUSED
}
END_TEST

/* Far away and close by: nothing outside of the planes is touched, and every picture shows something. */
START_TEST(extremes_of_zoom)
{
    static const float zooms[] = {0.05f, 0.3f, 4, 20};

    for (size_t k = 0; k < sizeof zooms / sizeof *zooms; k++) {
        struct generator_options options = plain_options(48);
        struct batch b;
        options.zoom = zooms[k];
        options.pose = options.look = 1;
        b = make_batch(200, 4, options);
        for (int64_t i = 0; i < b.count; i++)
            b.defects[i] = -1;
        run_batch(&b);
        for (int64_t i = 0; i < b.count; i++)
            ck_assert_int_ge(b.kinds[i], 1);
        free_batch(&b);
    }
}
END_TEST

START_TEST(arrays_out_of_range)
{
    struct batch b = make_batch(2, 1, plain_options(32));

#define RUN(classes, instances, defects, count, images) \
    generator_run(&b.options, classes, instances, defects, count, images, NULL, NULL)
    ck_assert_int_eq(generator_run(NULL, b.classes, b.instances, NULL, 1, b.images, NULL, NULL), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(NULL, b.instances, NULL, 1, b.images), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(b.classes, NULL, NULL, 1, b.images), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(b.classes, b.instances, NULL, 1, NULL), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(b.classes, b.instances, NULL, -1, b.images), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(b.classes, b.instances, NULL, INT64_MAX, b.images), GENERATOR_E_ARGUMENT);
    ck_assert_int_eq(RUN(NULL, NULL, NULL, 0, NULL), GENERATOR_OK);
    b.classes[1] = -1;
    ck_assert_int_eq(RUN(b.classes, b.instances, NULL, 2, b.images), GENERATOR_E_ARGUMENT);
    b.classes[1] = INT32_MAX;
    ck_assert_int_eq(RUN(b.classes, b.instances, NULL, 2, b.images), GENERATOR_OK);
    b.defects[1] = -2;
    ck_assert_int_eq(RUN(b.classes, b.instances, b.defects, 2, b.images), GENERATOR_E_ARGUMENT);
    b.defects[1] = generator_defect_kinds() + 1;
    ck_assert_int_eq(RUN(b.classes, b.instances, b.defects, 2, b.images), GENERATOR_E_ARGUMENT);
#undef RUN
    free_batch(&b);
}
END_TEST

START_TEST(memory_runs_out)
{
    struct batch b = make_batch(8, 1, plain_options(32));
    int32_t error = GENERATOR_E_MEMORY;
    long n = 0;

    b.options.threads = 4;
    while (error == GENERATOR_E_MEMORY) {
        callocs = 0;
        fail_calloc_at = ++n;
        error = generator_run(&b.options, b.classes, b.instances, NULL, b.count, b.images, NULL, NULL);
    }
    fail_calloc_at = 0;
    ck_assert_int_eq(error, GENERATOR_OK);
    ck_assert_int_eq(n, 6); /* the workers, and the planes of each of four */
    free_batch(&b);
}
END_TEST

START_TEST(threads_run_out)
{
    struct batch b = make_batch(8, 1, plain_options(32));

    b.options.threads = 4;
    for (fail_thread_at = 1; fail_thread_at <= 3; fail_thread_at++) {
        threads_started = 0;
        ck_assert_int_eq(generator_run(&b.options, b.classes, b.instances, NULL, b.count, b.images, NULL, NULL),
                         GENERATOR_E_THREAD);
    }
    fail_thread_at = 0;
    ck_assert_int_eq(generator_run(&b.options, b.classes, b.instances, NULL, b.count, b.images, NULL, NULL),
                     GENERATOR_OK);
    free_batch(&b);
}
END_TEST

/* Where no defect can be drawn, the picture is a good one and says so. */
START_TEST(defect_that_does_not_show)
{
    struct generator_options options = plain_options(32);
    struct batch good, failed;
    size_t pixels = 20 * 32 * 32;

    options.degrade = 1;
    good = make_batch(20, 3, options);
    failed = make_batch(20, 3, options);
    for (int64_t i = 0; i < failed.count; i++)
        failed.defects[i] = -1;
    memset(failed.masks, 7, pixels);
    run_batch(&good);
    defects_fail = true;
    run_batch(&failed);
    defects_fail = false;
    ck_assert_mem_eq(failed.kinds, good.kinds, 20 * sizeof *good.kinds);
    ck_assert_mem_eq(failed.masks, good.masks, pixels);
    ck_assert_mem_eq(failed.images, good.images, 3 * pixels);
    free_batch(&good);
    free_batch(&failed);
}
END_TEST

static Suite *generator_errors_suite(void)
{
    Suite *suite = suite_create("generator_errors");
    TCase *errors = tcase_create("errors");

    tcase_add_test(errors, options_out_of_range);
    tcase_add_test(errors, extremes_of_zoom);
    tcase_add_test(errors, arrays_out_of_range);
    tcase_add_test(errors, memory_runs_out);
    tcase_add_test(errors, threads_run_out);
    tcase_add_test(errors, defect_that_does_not_show);
    suite_add_tcase(suite, errors);
    return suite;
}

TEST_MAIN(generator_errors_suite)
