#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"

/* Tasks first .. end - 1. */
struct range {
    int32_t first, end;
};

struct pool {
    dn_allocator allocator;
    int32_t threads;    /* workers */
    dn_runner runner;   /* run NULL: own threads */
    pid_t process;      /* that has the helpers: a child gets none of them from fork() */
    int32_t started;    /* helper threads that run */
    pthread_t *helpers; /* (threads - 1) */
    struct helper *arguments;
    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t work;   /* a new loop, or the end */
    pthread_cond_t done;   /* the last task of a loop was finished */
    pool_function function;
    void *context;
    int32_t tasks;
    struct range *ranges; /* (threads): each worker's tasks that are not yet taken */
    int32_t untaken;      /* of all workers */
    atomic_int unfinished;
    atomic_uint begun_loops; /* also counts the end, so that a helper that looks only at this sees both */
    int32_t ready;           /* helpers that have come as far as to wait for work */
    int stop;

    /* With a runner.  It gets one job for each worker, and each job takes tasks until none is left: so the host needs
     * to know nothing of workers, and a job that runs late or not at all leaves no task undone. */
    int32_t jobs;      /* of this loop; 0: none is on */
    int32_t active;    /* jobs that are at work */
    _Bool *begun;      /* (threads) */
    const char *fault; /* how the runner first broke its contract since pool_check; NULL: not at all */
};

/* To put a thread to sleep and wake it again takes as long as a small loop, and a step of training is hundreds of loops
 * with next to nothing between them.  So a thread looks this often before it sleeps: 10 to 50 microseconds, as the
 * processor has it. */
#define LOOKS 1000

/* Tells the processor that this thread only waits, so that it leaves the core's units to the other one on it. */
static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

struct helper {
    pool *workers;
    int32_t index;
};

/* A helper's stack: a task takes less than 48 KiB of it (docs/threads.md), the rest is for libraries and the host's
 * allocator hooks, and for the host's thread-local variables, which glibc takes from it.  The default would be the
 * process' limit for its own stack, which may be anything. */
#define STACK_BYTES ((size_t)1024 * 1024)

/* Neighbouring tasks go to the same worker, since they have neighbouring memory: two processors that write close to
 * each other wait for each other, much longer still if they share no cache (each one's prefetcher reaches for what the
 * other writes).  A worker whose own tasks are done takes from the end of who has most left.
 *
 * The first workers get the odd ones: worker 0 is the caller, which is awake already. */
static void share_out(pool *p)
{
    int32_t first = 0;

    for (int32_t i = 0; i < p->threads; i++) {
        int32_t end = first + p->tasks / p->threads + (i < p->tasks % p->threads);
        p->ranges[i] = (struct range){first, end};
        first = end;
    }
    p->untaken = p->tasks;
}

static int32_t left(const struct range *range)
{
    return range->end - range->first;
}

/* The worker's next task; -1: none is left. */
static int32_t take_task(pool *p, int32_t worker)
{
    struct range *own = &p->ranges[worker], *fullest = own;

    if (p->untaken == 0)
        return -1;
    p->untaken--;
    if (left(own) > 0)
        return own->first++;
    for (int32_t i = 0; i < p->threads; i++)
        if (left(&p->ranges[i]) > left(fullest))
            fullest = &p->ranges[i];
    return --fullest->end;
}

/* Takes and runs tasks until none is left.  Called and returns with the mutex held. */
static void run_tasks(pool *p, int32_t worker)
{
    for (int32_t task = take_task(p, worker); task >= 0; task = take_task(p, worker)) {
        pool_function function = p->function;
        void *context = p->context;
        pthread_mutex_unlock(&p->mutex);
        function(context, task, worker);
        pthread_mutex_lock(&p->mutex);
        if (--p->unfinished == 0)
            pthread_cond_signal(&p->done);
    }
}

/* Waits for another loop than the last, or the end.  Called and returns with the mutex held. */
static void wait_for_work(pool *p)
{
    unsigned last = atomic_load_explicit(&p->begun_loops, memory_order_relaxed);

    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < LOOKS && atomic_load_explicit(&p->begun_loops, memory_order_relaxed) == last; i++)
        pause_briefly();
    pthread_mutex_lock(&p->mutex);
    while (atomic_load_explicit(&p->begun_loops, memory_order_relaxed) == last)
        pthread_cond_wait(&p->work, &p->mutex);
}

/* Waits until other workers have finished their tasks.  Called and returns with the mutex held. */
static void wait_for_tasks(pool *p)
{
    if (p->unfinished == 0)
        return;
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < LOOKS && atomic_load_explicit(&p->unfinished, memory_order_relaxed) > 0; i++)
        pause_briefly();
    pthread_mutex_lock(&p->mutex);
    while (p->unfinished > 0)
        pthread_cond_wait(&p->done, &p->mutex);
}

static void *helper_main(void *argument)
{
    struct helper *self = argument;
    pool *p = self->workers;

    pthread_mutex_lock(&p->mutex);
    p->ready++;
    pthread_cond_signal(&p->done);
    while (!p->stop) {
        run_tasks(p, self->index);
        if (!p->stop)
            wait_for_work(p);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* ---- on the host's threads ---- */

static void note_fault(pool *p, const char *fault)
{
    if (!p->fault)
        p->fault = fault;
}

/* What the runner is to call for each job. */
static void run_job(void *context, int32_t job)
{
    pool *p = context;

    pthread_mutex_lock(&p->mutex);
    if (p->jobs == 0) {
        note_fault(p, "called a job after it had returned");
    } else if (job < 0 || job >= p->jobs) {
        note_fault(p, "called a job that does not exist");
    } else if (p->begun[job]) {
        note_fault(p, "called a job twice");
    } else {
        p->begun[job] = 1;
        p->active++;
        run_tasks(p, job);
        if (--p->active == 0)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
}

/* Lets the runner work through the loop that is set up.  Called and returns with the mutex held. */
static void run_on_runner(pool *p)
{
    p->jobs = p->tasks < p->threads ? p->tasks : p->threads;
    memset(p->begun, 0, (size_t)p->jobs * sizeof *p->begun);
    pthread_mutex_unlock(&p->mutex);
    p->runner.run(run_job, p, p->jobs, p->runner.user);
    pthread_mutex_lock(&p->mutex);
    if (p->active > 0)
        note_fault(p, "returned before its jobs had");
    for (int32_t i = 0; i < p->jobs; i++)
        if (!p->begun[i])
            note_fault(p, "left a job out");
    p->jobs = 0; /* no job begins any more */
    while (p->active > 0)
        pthread_cond_wait(&p->done, &p->mutex);
    run_tasks(p, 0);
}

static void do_nothing(void *context, int32_t task, int32_t worker)
{
    (void)context;
    (void)task;
    (void)worker;
}

static dn_status try_runner(pool *p, dn_error *error)
{
    pool_run(p, p->threads, do_nothing, NULL);
    return pool_check(p, error);
}

/* ---- on own threads ---- */

static int create_helpers(pool *p)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);

    if (failed)
        return failed;
    failed = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (int32_t i = 0; i < p->threads - 1 && !failed; i++) {
        p->arguments[i] = (struct helper){p, i + 1};
        failed = pthread_create(&p->helpers[i], &attributes, helper_main, &p->arguments[i]);
        if (!failed)
            p->started++;
    }
    pthread_attr_destroy(&attributes);
    return failed;
}

/* Starts the helpers with signals blocked: the host's handlers run on the host's threads.  Faults of a thread itself
 * cannot go elsewhere: those stay open, for the host's crash handler.
 *
 * Waits for them, so that behind the creation no thread is in the middle of starting, whatever the host does next. */
static dn_status start_helpers(pool *p, dn_error *error)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t others, before;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    int failed = create_helpers(p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return fail(error, DN_E_THREAD, "cannot start thread %d of %d: %s", p->started + 2, p->threads,
                    strerror(failed));
    pthread_mutex_lock(&p->mutex);
    while (p->ready < p->started)
        pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    return DN_OK;
}

/* ---- the pool ---- */

static dn_status prepare(pool *p, dn_error *error)
{
    size_t threads = (size_t)p->threads;

    p->ranges = mem_zalloc(&p->allocator, threads, sizeof *p->ranges);
    if (!p->ranges)
        return fail_memory(error, "the thread pool");
    if (p->runner.run) {
        p->begun = mem_zalloc(&p->allocator, threads, sizeof *p->begun);
        return p->begun ? try_runner(p, error) : fail_memory(error, "the thread pool");
    }
    p->helpers = mem_zalloc(&p->allocator, threads, sizeof *p->helpers);
    p->arguments = mem_zalloc(&p->allocator, threads, sizeof *p->arguments);
    if (!p->helpers || !p->arguments)
        return fail_memory(error, "the thread pool");
    return start_helpers(p, error);
}

dn_status pool_create(const dn_allocator *allocator, int32_t threads, pool **out, dn_error *error)
{
    return pool_create_on(NULL, allocator, threads, out, error);
}

dn_status pool_create_on(const dn_runner *runner, const dn_allocator *allocator, int32_t threads, pool **out,
                         dn_error *error)
{
    *out = NULL;
    pool *p = mem_zalloc(allocator, 1, sizeof *p);
    if (!p)
        return fail_memory(error, "the thread pool");
    p->allocator = *allocator;
    p->threads = threads;
    p->process = getpid();
    if (runner)
        p->runner = *runner;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    dn_status status = prepare(p, error);
    if (status != DN_OK) {
        pool_free(p);
        return status;
    }
    *out = p;
    return DN_OK;
}

/* Whether this is a child of fork(), to which it has brought no helper.  The mutex and the conditions are then as they
 * happened to be, and who could unlock them is gone: they are not touched. */
static _Bool is_forked(const pool *p)
{
    return getpid() != p->process;
}

void pool_run(pool *p, int32_t tasks, pool_function function, void *context)
{
    if (!p || p->threads == 1 || tasks <= 1 || (p->started > 0 && is_forked(p))) {
        for (int32_t i = 0; i < tasks; i++)
            function(context, i, 0);
        return;
    }
    pthread_mutex_lock(&p->mutex);
    p->function = function;
    p->context = context;
    p->tasks = tasks;
    share_out(p);
    p->unfinished = tasks;
    p->begun_loops++;
    if (p->runner.run) {
        run_on_runner(p);
    } else {
        pthread_cond_broadcast(&p->work);
        run_tasks(p, 0);
    }
    wait_for_tasks(p);
    pthread_mutex_unlock(&p->mutex);
}

dn_status pool_check(pool *p, dn_error *error)
{
    if (!p || !p->runner.run)
        return DN_OK;
    pthread_mutex_lock(&p->mutex);
    const char *fault = p->fault;
    p->fault = NULL;
    pthread_mutex_unlock(&p->mutex);
    if (fault)
        return fail(error, DN_E_THREAD,
                    "the host's runner %s: it must call each job once and return when all have "
                    "returned (dn_runner)",
                    fault);
    return DN_OK;
}

int32_t pool_threads(const pool *p)
{
    return p ? p->threads : 1;
}

static void end_helpers(pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stop = 1;
    p->begun_loops++;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int32_t i = 0; i < p->started; i++)
        pthread_join(p->helpers[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
}

void pool_free(pool *p)
{
    if (!p)
        return;
    if (!is_forked(p))
        end_helpers(p);
    dn_allocator allocator = p->allocator;
    mem_free(&allocator, p->begun);
    mem_free(&allocator, p->ranges);
    mem_free(&allocator, p->arguments);
    mem_free(&allocator, p->helpers);
    mem_free(&allocator, p);
}
