/* lib/base/pool.c: every task once, on the workers promised; own threads and the host's runner, broken ones too. */
#define _GNU_SOURCE /* pthread_getattr_np */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/status.h"
#include "runners.h"
#include "support.h"

static dn_error error;

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

static void note_stack(void *context, int32_t task, int32_t worker)
{
    size_t *smallest = context, size = 0;
    pthread_attr_t attributes;

    (void)task;
    if (worker == 0 || pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
    *smallest = size;
}

/* Helpers' stacks do not hang on the process' limit. */
START_TEST(test_pool_stacks)
{
    dn_allocator allocator = mem_allocator(NULL);
    pthread_attr_t before, little;
    size_t size = 0;
    pool *workers;

    pthread_getattr_default_np(&before);
    pthread_attr_init(&little);
    pthread_attr_setstacksize(&little, 65536);
    ck_assert_int_eq(pthread_setattr_default_np(&little), 0);
    dn_status status = pool_create(&allocator, 2, &workers, &error);
    pthread_setattr_default_np(&before);
    pthread_attr_destroy(&little);
    pthread_attr_destroy(&before);
    ck_ok(status);
    while (size == 0)
        pool_run(workers, 100, note_stack, &size);
    ck_assert_uint_ge(size, 1024 * 1024);
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
    static const char *const says[] = {NULL,
                                       "left a job out",
                                       "left a job out",
                                       "called a job twice",
                                       "called a job that does not exist",
                                       "called a job that does not exist",
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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pool");
    TCase *tests = tcase_create("pool");

    tcase_add_test(tests, test_pool_runs_every_task_once);
    tcase_add_test(tests, test_pool_is_parallel);
    tcase_add_test(tests, test_pool_waits);
    tcase_add_test(tests, test_pool_shares);
    tcase_add_test(tests, test_pool_without_threads);
    tcase_add_test(tests, test_pool_leaves_signals_to_the_host);
    tcase_add_test(tests, test_pool_stacks);
    tcase_add_test(tests, test_pool_out_of_memory);
    tcase_add_loop_test(tests, test_pool_on_runners, 0, 3);
    tcase_add_test(tests, test_pool_runner_is_parallel);
    tcase_add_test(tests, test_pool_on_broken_runners);
    tcase_add_test(tests, test_pool_on_a_hasty_runner);
    tcase_add_test(tests, test_pool_runner_at_creation);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
