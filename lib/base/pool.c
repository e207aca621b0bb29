#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/blas.h"
#include "base/memory.h"
#include "base/status.h"

struct pool {
    dn_allocator allocator;
    int32_t threads;
    int32_t started;         /* helper threads that run */
    pthread_t *helpers;      /* (threads - 1) */
    struct helper *arguments;
    pthread_mutex_t mutex;   /* guards everything below */
    pthread_cond_t work;     /* a new loop, or the end */
    pthread_cond_t done;     /* the last task of a loop was finished */
    pool_function function;
    void *context;
    int32_t tasks;
    int32_t next;            /* first task not yet taken */
    int32_t unfinished;
    int stop;
};

struct helper {
    pool *workers;
    int32_t index;
};

/* Takes and runs tasks until none is left.  Called and returns with the mutex held. */
static void run_tasks(pool *p, int32_t worker)
{
    while (p->next < p->tasks) {
        int32_t task = p->next++;
        pool_function function = p->function;
        void *context = p->context;
        pthread_mutex_unlock(&p->mutex);
        function(context, task, worker);
        pthread_mutex_lock(&p->mutex);
        if (--p->unfinished == 0)
            pthread_cond_signal(&p->done);
    }
}

static void *helper_main(void *argument)
{
    struct helper *self = argument;
    pool *p = self->workers;

    blas_warm();
    pthread_mutex_lock(&p->mutex);
    while (!p->stop) {
        run_tasks(p, self->index);
        if (!p->stop)
            pthread_cond_wait(&p->work, &p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Starts the helpers with signals blocked: the host's handlers run on the host's threads.  Faults of a thread itself
 * cannot go elsewhere: those stay open, for the host's crash handler. */
static dn_status start_helpers(pool *p, dn_error *error)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t others, before;
    int failed = 0;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    for (int32_t i = 0; i < p->threads - 1 && !failed; i++) {
        p->arguments[i] = (struct helper){p, i + 1};
        failed = pthread_create(&p->helpers[i], NULL, helper_main, &p->arguments[i]);
        if (!failed)
            p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return fail(error, DN_E_THREAD, "cannot start thread %d of %d: %s", p->started + 2, p->threads,
                    strerror(failed));
    return DN_OK;
}

dn_status pool_create(const dn_allocator *allocator, int32_t threads, pool **out, dn_error *error)
{
    *out = NULL;
    pool *p = mem_zalloc(allocator, 1, sizeof *p);
    if (!p)
        return fail_memory(error, "the thread pool");
    p->allocator = *allocator;
    p->threads = threads;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->helpers = mem_zalloc(allocator, (size_t)threads, sizeof *p->helpers);
    p->arguments = mem_zalloc(allocator, (size_t)threads, sizeof *p->arguments);
    dn_status status = DN_OK;
    if (!p->helpers || !p->arguments)
        status = fail_memory(error, "the thread pool");
    if (status == DN_OK)
        status = start_helpers(p, error);
    if (status != DN_OK) {
        pool_free(p);
        return status;
    }
    blas_warm();
    *out = p;
    return DN_OK;
}

void pool_run(pool *p, int32_t tasks, pool_function function, void *context)
{
    if (!p || p->threads == 1 || tasks <= 1) {
        for (int32_t i = 0; i < tasks; i++)
            function(context, i, 0);
        return;
    }
    pthread_mutex_lock(&p->mutex);
    p->function = function;
    p->context = context;
    p->tasks = tasks;
    p->next = 0;
    p->unfinished = tasks;
    pthread_cond_broadcast(&p->work);
    run_tasks(p, 0);
    while (p->unfinished > 0)
        pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

int32_t pool_threads(const pool *p)
{
    return p ? p->threads : 1;
}

void pool_free(pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stop = 1;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int32_t i = 0; i < p->started; i++)
        pthread_join(p->helpers[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    dn_allocator allocator = p->allocator;
    mem_free(&allocator, p->arguments);
    mem_free(&allocator, p->helpers);
    mem_free(&allocator, p);
}
