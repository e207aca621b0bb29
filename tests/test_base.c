/* lib/base: status, memory, blob, random numbers, thread pool, files, OpenBLAS' door. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/blas.h"
#include "base/blob.h"
#include "base/file.h"
#include "base/finite.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/status.h"
#include "failing_files.h"
#include "runners.h"
#include "support.h"

static dn_error error;

/* ---- status ---- */

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

/* ---- memory ---- */

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
    mem_table = kept;
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

/* ---- random numbers ---- */

START_TEST(test_rng_known)
{
    /* The generator's published test vector, and seedings from an independent implementation. */
    static const uint64_t published[4] = {11520, 0, 1509978240, 1215971899390074240};
    static const struct {
        uint64_t seed, stream, numbers[2];
    } seeded[] = {
        {0, 0, {0xfb5405f7bd79c540, 0x780c98e26cea5883}},
        {0, 1, {0xef75d62a19ba94ed, 0x8e9490536375f270}},
        {1, 0, {0xee127fe613436e33, 0xd6dad8d34a1874ea}},
        {UINT64_MAX, UINT64_MAX, {0x5a24625849aef5fa, 0x0177bf4162305fac}},
    };
    rng generator = {{1, 2, 3, 4}};

    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(rng_next(&generator), published[i]);
    for (size_t k = 0; k < sizeof seeded / sizeof *seeded; k++) {
        rng_seed(&generator, seeded[k].seed, seeded[k].stream);
        for (int i = 0; i < 2; i++)
            ck_assert_uint_eq(rng_next(&generator), seeded[k].numbers[i]);
    }
}
END_TEST

START_TEST(test_rng_uniform)
{
    enum { DRAWS = 100000, BINS = 16 };
    long bins[BINS] = {0};
    double sum = 0, sum_of_squares = 0, normal_sum = 0, normal_squares = 0;
    int outside = 0;
    rng generator;

    rng_seed(&generator, 3, 0);
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&generator);
        outside += !(u >= 0 && u < 1);
        bins[(int)(u * BINS) & (BINS - 1)]++;
        sum += u;
        sum_of_squares += u * u;
    }
    ck_assert_int_eq(outside, 0);
    double chi_square = 0;
    for (int i = 0; i < BINS; i++)
        chi_square += pow((double)bins[i] - (double)DRAWS / BINS, 2) / ((double)DRAWS / BINS);
    ck_assert_double_lt(chi_square, 37.7); /* 15 degrees of freedom, p = 0.001 */
    ck_assert_double_eq_tol(sum / DRAWS, 0.5, 4 * sqrt(1.0 / 12 / DRAWS));
    ck_assert_double_eq_tol(sum_of_squares / DRAWS, 1.0 / 3, 0.004);
    for (int i = 0; i < DRAWS; i++) {
        double z = rng_normal(&generator);
        normal_sum += z;
        normal_squares += z * z;
    }
    ck_assert_double_eq_tol(normal_sum / DRAWS, 0, 4 / sqrt(DRAWS));
    ck_assert_double_eq_tol(normal_squares / DRAWS, 1, 0.02);
}
END_TEST

START_TEST(test_rng_below)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 1000, (uint64_t)1 << 63, ((uint64_t)1 << 63) + 1, UINT64_MAX};
    long counts[7] = {0};
    rng generator;

    rng_seed(&generator, 4, 0);
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        for (int i = 0; i < 200; i++)
            ck_assert_uint_lt(rng_below(&generator, limits[k]), limits[k]);
    for (int i = 0; i < 70000; i++)
        counts[rng_below(&generator, 7)]++;
    for (int i = 0; i < 7; i++)
        ck_assert_int_le(labs(counts[i] - 10000), 400);
    /* A plain remainder would give the lowest third half of all draws. */
    long low = 0;
    for (int i = 0; i < 9000; i++)
        low += rng_below(&generator, (uint64_t)3 << 62) < (uint64_t)1 << 62;
    ck_assert_int_le(labs(low - 3000), 250);
}
END_TEST

START_TEST(test_rng_permutation)
{
    static const uint32_t known[8] = {6, 1, 2, 4, 0, 3, 5, 7};
    uint32_t order[1000], seen[1000] = {0};
    long first_at[5] = {0};
    rng generator;

    rng_seed(&generator, 7, 1);
    rng_permutation(&generator, order, 8);
    ck_assert_mem_eq(order, known, sizeof known);
    rng_permutation(&generator, order, 1000);
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_lt(order[i], 1000);
        ck_assert_uint_eq(seen[order[i]]++, 0);
    }
    for (int i = 0; i < 10000; i++) {
        rng_permutation(&generator, order, 5);
        for (int k = 0; k < 5; k++)
            first_at[k] += order[k] == 0;
    }
    for (int k = 0; k < 5; k++)
        ck_assert_int_le(labs(first_at[k] - 2000), 200);
    rng_permutation(&generator, order, 1);
    ck_assert_uint_eq(order[0], 0);
    rng_permutation(&generator, order, 0);
}
END_TEST

/* ---- thread pool ---- */

typedef struct tally {
    atomic_int runs[257];
    atomic_int bad_workers;
    int32_t threads;
} tally;

static void count_run(void *context, int32_t task, int32_t worker)
{
    tally *t = context;

    atomic_fetch_add(&t->runs[task], 1);
    if (worker < 0 || worker >= t->threads)
        atomic_fetch_add(&t->bad_workers, 1);
}

START_TEST(test_pool_runs_every_task_once)
{
    static const int32_t sizes[] = {0, 1, 2, 3, 8, 257};
    dn_allocator allocator = mem_allocator(NULL);

    for (int32_t threads = 1; threads <= 5; threads++) {
        pool *workers;
        ck_ok(pool_create(&allocator, threads, &workers, &error));
        ck_assert_int_eq(pool_threads(workers), threads);
        for (int round = 0; round < 300; round++) {
            int32_t tasks = sizes[round % 6];
            tally t = {.threads = threads};
            pool_run(workers, tasks, count_run, &t);
            int wrong = 0;
            for (int32_t i = 0; i < 257; i++)
                wrong += atomic_load(&t.runs[i]) != (i < tasks);
            ck_assert_int_eq(wrong, 0);
            ck_assert_int_eq(atomic_load(&t.bad_workers), 0);
        }
        pool_free(workers);
    }
}
END_TEST

typedef struct meeting {
    pthread_barrier_t barrier;
    atomic_int workers;
} meeting;

static void meet(void *context, int32_t task, int32_t worker)
{
    meeting *m = context;

    (void)task;
    atomic_fetch_or(&m->workers, 1 << worker);
    pthread_barrier_wait(&m->barrier); /* returns only if all tasks run at once */
}

/* Four tasks of a pool of four run at once, on different workers. */
static void check_meeting(pool *workers)
{
    meeting m = {.workers = 0};

    pthread_barrier_init(&m.barrier, NULL, 4);
    pool_run(workers, 4, meet, &m);
    ck_assert_int_eq(atomic_load(&m.workers), 15);
    pthread_barrier_destroy(&m.barrier);
    pool_free(workers);
}

START_TEST(test_pool_is_parallel)
{
    dn_allocator allocator = mem_allocator(NULL);
    pool *workers;

    ck_ok(pool_create(&allocator, 4, &workers, &error));
    check_meeting(workers);
}
END_TEST

static void meet_then_linger(void *context, int32_t task, int32_t worker)
{
    meeting *m = context;

    (void)task;
    pthread_barrier_wait(&m->barrier);
    if (worker != 0)
        usleep(20000);
    atomic_fetch_add(&m->workers, 1);
}

/* The caller comes back when the slowest worker is done, not when it runs out of tasks itself. */
START_TEST(test_pool_waits)
{
    dn_allocator allocator = mem_allocator(NULL);
    pool *workers;
    meeting m = {.workers = 0};

    ck_ok(pool_create(&allocator, 3, &workers, &error));
    pthread_barrier_init(&m.barrier, NULL, 3);
    for (int round = 1; round <= 3; round++) {
        pool_run(workers, 3, meet_then_linger, &m);
        ck_assert_int_eq(atomic_load(&m.workers), 3 * round);
    }
    pthread_barrier_destroy(&m.barrier);
    pool_free(workers);
}
END_TEST

typedef struct shares {
    atomic_int worker[10]; /* of each task */
    int32_t order[10];     /* tasks in the order in which they were begun */
    atomic_int begun;
    atomic_int late; /* tasks that have waited in vain */
} shares;

/* The first tasks of both workers wait for each other, and task 5 for all others to begin; not for ever. */
static void note_share(void *context, int32_t task, int32_t worker)
{
    shares *s = context;
    time_t begun = time(NULL);

    atomic_store(&s->worker[task], worker);
    s->order[atomic_fetch_add(&s->begun, 1)] = task;
    while (atomic_load(&s->begun) < (task == 5 ? 10 : 2))
        if (time(NULL) > begun + 10) {
            atomic_fetch_add(&s->late, 1);
            return;
        }
}

/* A worker has neighbouring tasks, and then takes from the end of another one's. */
START_TEST(test_pool_shares)
{
    static const int32_t others[] = {1, 2, 3, 4, 9, 8, 7, 6}; /* what worker 0 takes behind task 0 */
    dn_allocator allocator = mem_allocator(NULL);
    pool *workers;

    ck_ok(pool_create(&allocator, 2, &workers, &error));
    for (int round = 0; round < 20; round++) {
        shares s = {.begun = 0};
        pool_run(workers, 10, note_share, &s);
        ck_assert_int_eq(atomic_load(&s.late), 0);
        ck_assert_int_eq(s.order[0] + s.order[1], 5); /* 0 and 5, in any order */
        ck_assert_mem_eq(s.order + 2, others, sizeof others);
        for (int32_t i = 0; i < 10; i++)
            ck_assert_int_eq(atomic_load(&s.worker[i]), i == 5);
    }
    pool_free(workers);
}
END_TEST

static void record_order(void *context, int32_t task, int32_t worker)
{
    int32_t *next = context;

    ck_assert_int_eq(worker, 0);
    ck_assert_int_eq(task, (*next)++);
}

START_TEST(test_pool_without_threads)
{
    int32_t next = 0;

    ck_assert_int_eq(pool_threads(NULL), 1);
    pool_run(NULL, 10, record_order, &next);
    ck_assert_int_eq(next, 10);
    pool_free(NULL);
}
END_TEST

static void note_signal_mask(void *context, int32_t task, int32_t worker)
{
    atomic_int *open = context;
    sigset_t mask;

    (void)task;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (worker != 0 && !sigismember(&mask, SIGINT))
        atomic_fetch_add(open, 1);
}

START_TEST(test_pool_leaves_signals_to_the_host)
{
    dn_allocator allocator = mem_allocator(NULL);
    atomic_int open = 0;
    sigset_t before, after;
    pool *workers;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    ck_ok(pool_create(&allocator, 3, &workers, &error));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    pool_run(workers, 100, note_signal_mask, &open);
    ck_assert_int_eq(atomic_load(&open), 0);
    pool_free(workers);
}
END_TEST

START_TEST(test_pool_out_of_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    pool *workers = NULL;
    dn_status status = DN_E_MEMORY;

    for (memory.fail_at = 1; status != DN_OK; memory.fail_at++) {
        ck_assert_int_lt(memory.fail_at, 20);
        memory.calls = 0;
        status = pool_create(&allocator, 2, &workers, &error);
        ck_assert(status == DN_OK || (status == DN_E_MEMORY && !workers && memory.live == 0));
    }
    pool_free(workers);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- the pool on a host's runner ---- */

static const struct {
    void (*run)(dn_job_fn job, void *context, int32_t jobs, void *user);
} good_runners[] = {{run_in_order}, {run_reversed}, {run_on_threads}};

START_TEST(test_pool_on_runners)
{
    static const int32_t sizes[] = {0, 1, 2, 3, 8, 257};
    dn_allocator allocator = mem_allocator(NULL);
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {good_runners[_i].run, &self};

    for (int32_t threads = 1; threads <= 5; threads++) {
        pool *workers;
        ck_ok(pool_create_on(&runner, &allocator, threads, &workers, &error));
        ck_assert_int_eq(pool_threads(workers), threads);
        for (int round = 0; round < 60; round++) {
            tally t = {.threads = threads};
            long before = self.runs;
            pool_run(workers, sizes[round % 6], count_run, &t);
            ck_assert_int_eq(self.runs - before, threads > 1 && sizes[round % 6] > 1);
            int wrong = 0;
            for (int32_t i = 0; i < 257; i++)
                wrong += atomic_load(&t.runs[i]) != (i < sizes[round % 6]);
            ck_assert_int_eq(wrong, 0);
            ck_assert_int_eq(atomic_load(&t.bad_workers), 0);
            ck_ok(pool_check(workers, &error));
        }
        pool_free(workers);
    }
}
END_TEST

/* Jobs that run at the same time are different workers. */
START_TEST(test_pool_runner_is_parallel)
{
    dn_allocator allocator = mem_allocator(NULL);
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {run_on_threads, &self};
    pool *workers;

    ck_ok(pool_create_on(&runner, &allocator, 4, &workers, &error));
    check_meeting(workers);
}
END_TEST

/* Whatever a runner does, every task is run once, and the fault is told once. */
START_TEST(test_pool_on_broken_runners)
{
    static const char *const says[] = {
        NULL, "left a job out", "left a job out", "called a job twice", "called a job that does not exist",
        "left a job out"};
    dn_allocator allocator = mem_allocator(NULL);
    host self = {.fault = RUNNER_GOOD};
    dn_runner runner = {run_broken, &self};
    pool *workers;

    ck_ok(pool_create_on(&runner, &allocator, 3, &workers, &error));
    for (int fault = RUNNER_GOOD; fault < RUNNER_FAULTS; fault++) {
        tally t = {.threads = 3};
        self.fault = (enum runner_fault)fault;
        pool_run(workers, 100, count_run, &t);
        for (int32_t i = 0; i < 100; i++)
            ck_assert_int_eq(atomic_load(&t.runs[i]), 1);
        ck_assert_int_eq(atomic_load(&t.bad_workers), 0);
        ck_status(pool_check(workers, &error), fault == RUNNER_GOOD ? DN_OK : DN_E_THREAD);
        if (fault != RUNNER_GOOD)
            ck_assert_msg(strstr(error.message, says[fault]) != NULL, "%s", error.message);
        ck_ok(pool_check(workers, &error));
    }
    host_settle(&self); /* runs nothing, but is told the next time */
    ck_status(pool_check(workers, &error), DN_E_THREAD);
    ck_assert_ptr_nonnull(strstr(error.message, "after it had returned"));
    self.fault = RUNNER_GOOD;
    pool_run(workers, 100, count_run, &(tally){.threads = 3});
    ck_ok(pool_check(workers, &error));
    pool_free(workers);
    ck_ok(pool_check(NULL, &error));
}
END_TEST

/* Leaves job 0 at work, in a task that has begun. */
typedef struct hasty {
    pthread_t thread;
    host_job job;
    int left;
    pthread_barrier_t begun;
} hasty;

static void run_hastily(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    hasty *self = user;

    if (self->left) { /* only once */
        run_in_order(job, context, jobs, &(host){.fault = RUNNER_GOOD});
        return;
    }
    self->job = (host_job){job, context, 0};
    self->left = 1;
    ck_assert_int_eq(pthread_create(&self->thread, NULL, host_thread, &self->job), 0);
    pthread_barrier_wait(&self->begun);
    for (int32_t i = 1; i < jobs; i++)
        job(context, i);
}

static void linger(void *context, int32_t task, int32_t worker)
{
    hasty *self = context;

    if (worker == 0 && task == 0) {
        pthread_barrier_wait(&self->begun);
        usleep(50000);
        self->left = 2;
    }
}

/* The loop ends when the job does that the runner did not wait for. */
START_TEST(test_pool_on_a_hasty_runner)
{
    dn_allocator allocator = mem_allocator(NULL);
    hasty self = {.left = 1};
    dn_runner runner = {run_hastily, &self};
    pool *workers;

    pthread_barrier_init(&self.begun, NULL, 2);
    ck_ok(pool_create_on(&runner, &allocator, 2, &workers, &error));
    self.left = 0;
    pool_run(workers, 4, linger, &self);
    ck_assert_int_eq(self.left, 2);
    ck_status(pool_check(workers, &error), DN_E_THREAD);
    ck_assert_ptr_nonnull(strstr(error.message, "returned before its jobs had"));
    pthread_join(self.thread, NULL);
    pthread_barrier_destroy(&self.begun);
    pool_free(workers);
}
END_TEST

START_TEST(test_pool_runner_at_creation)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    host self = {.fault = RUNNER_SKIPS};
    dn_runner runner = {run_broken, &self};
    pool *workers;

    ck_status(pool_create_on(&runner, &allocator, 2, &workers, &error), DN_E_THREAD);
    ck_assert_ptr_null(workers);
    ck_assert_int_eq(memory.live, 0);
    self.fault = RUNNER_GOOD;
    for (memory.fail_at = 1;; memory.fail_at++) {
        ck_assert_int_lt(memory.fail_at, 20);
        memory.calls = 0;
        if (pool_create_on(&runner, &allocator, 2, &workers, &error) == DN_OK)
            break;
        ck_assert(!workers && memory.live == 0 && error.status == DN_E_MEMORY);
    }
    pool_free(workers);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- scratch that stays ---- */

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

/* ---- OpenBLAS ---- */

START_TEST(test_gemm)
{
    enum { M = 5, N = 7, K = 3, LD = 9 };
    float a[LD * LD], b[LD * LD], c[LD * LD], start[LD * LD];

    for (int i = 0; i < LD * LD; i++) {
        a[i] = (float)(i % 11) - 5;
        b[i] = (float)(i % 7) - 3;
        start[i] = (float)(i % 5);
    }
    for (int kind = 0; kind < 4; kind++) {
        int ta = kind & 1, tb = kind >> 1;
        memcpy(c, start, sizeof c);
        blas_gemm(ta ? BLAS_T : BLAS_N, tb ? BLAS_T : BLAS_N, M, N, K, 2, a, LD, b, LD, 3, c, LD);
        for (int i = 0; i < LD * LD; i++) {
            int row = i / LD, column = i % LD;
            float expected = start[i];
            if (row < M && column < N) {
                float sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (ta ? a[k * LD + row] : a[row * LD + k]) * (tb ? b[column * LD + k] : b[k * LD + column]);
                expected = 2 * sum + 3 * start[i];
            }
            ck_assert_float_eq(c[i], expected); /* small integers: exact */
        }
    }
}
END_TEST

START_TEST(test_blas_settings)
{
    int32_t before = blas_threads();

    blas_warm();
    blas_set_threads(1);
    ck_assert_int_eq(blas_threads(), 1);
    blas_set_threads(before);
    ck_assert_uint_gt(strlen(blas_corename()), 0);
}
END_TEST

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

static void expect_content(const char *path, const char *text)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
    free(bytes);
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
    Suite *suite = suite_create("base");
    TCase *plain = tcase_create("plain"), *threads = tcase_create("pool"), *files = tcase_create("files");

    tcase_add_test(plain, test_fail);
    tcase_add_test(plain, test_message_cut);
    tcase_add_test(plain, test_message_of_anything);
    tcase_add_test(plain, test_message_fits);
    tcase_add_test(plain, test_checked_arithmetic);
    tcase_add_test(plain, test_allocation);
    tcase_add_test(plain, test_finite);
    tcase_add_test(plain, test_default_allocator);
    tcase_add_test(plain, test_blob);
    tcase_add_test(plain, test_rng_known);
    tcase_add_test(plain, test_rng_uniform);
    tcase_add_test(plain, test_rng_below);
    tcase_add_test(plain, test_rng_permutation);
    tcase_add_test(plain, test_gemm);
    tcase_add_test(plain, test_blas_settings);
    tcase_add_test(threads, test_pool_runs_every_task_once);
    tcase_add_loop_test(threads, test_pool_on_runners, 0, 3);
    tcase_add_test(threads, test_pool_runner_is_parallel);
    tcase_add_test(threads, test_pool_on_broken_runners);
    tcase_add_test(threads, test_pool_on_a_hasty_runner);
    tcase_add_test(threads, test_pool_runner_at_creation);
    tcase_add_test(threads, test_scratch_grows_only);
    tcase_add_test(threads, test_pool_is_parallel);
    tcase_add_test(threads, test_pool_waits);
    tcase_add_test(threads, test_pool_shares);
    tcase_add_test(threads, test_pool_without_threads);
    tcase_add_test(threads, test_pool_leaves_signals_to_the_host);
    tcase_add_test(threads, test_pool_out_of_memory);
    tcase_add_test(files, test_file_read);
    tcase_add_test(files, test_file_map);
    tcase_add_test(files, test_file_map_forget);
    tcase_add_test(files, test_file_unreadable);
    tcase_add_test(files, test_file_read_failures);
    tcase_add_test(files, test_file_cut_while_reading);
    tcase_add_test(files, test_file_write);
    tcase_add_test(files, test_file_write_order);
    tcase_add_test(files, test_file_write_abort);
    tcase_add_test(files, test_file_write_failures);
    tcase_add_test(files, test_file_write_out_of_memory);
    tcase_add_test(files, test_file_write_full_disk);
    tcase_add_test(files, test_file_write_refusals);
    tcase_add_test(files, test_file_write_beside_stale_file);
    tcase_add_test(files, test_file_write_relative);
    tcase_set_timeout(plain, 60);
    tcase_set_timeout(threads, 120);
    tcase_set_timeout(files, 60);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, threads);
    suite_add_tcase(suite, files);
    return suite;
}

TEST_MAIN(make_suite)
