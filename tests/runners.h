/* Runners as a host could have them (dn_runner), good and broken. */
#ifndef DN_TESTS_RUNNERS_H
#define DN_TESTS_RUNNERS_H

#include <pthread.h>

#include "support.h"

#define RUNNER_JOBS 8 /* at most */

enum runner_fault {
    RUNNER_GOOD,
    RUNNER_SKIPS,  /* leaves the last job out */
    RUNNER_IDLES,  /* calls no job at all */
    RUNNER_TWICE,  /* calls job 0 twice */
    RUNNER_BEYOND, /* calls a job that does not exist */
    RUNNER_BELOW,  /* calls job -1 */
    RUNNER_LATE,   /* calls job 0 after it has returned: in host_settle() */
    RUNNER_FAULTS
};

/* `user` of all runners below. */
typedef struct host {
    enum runner_fault fault; /* of run_broken */
    long runs;               /* loops so far */
    dn_job_fn late;          /* RUNNER_LATE: job 0, not called yet */
    void *late_context;
} host;

typedef struct host_job {
    dn_job_fn job;
    void *context;
    int32_t index;
} host_job;

static inline void *host_thread(void *argument)
{
    const host_job *own = argument;

    own->job(own->context, own->index);
    return NULL;
}

static inline void run_in_order(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    ((host *)user)->runs++;
    for (int32_t i = 0; i < jobs; i++)
        job(context, i);
}

static inline void run_reversed(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    ((host *)user)->runs++;
    for (int32_t i = jobs - 1; i >= 0; i--)
        job(context, i);
}

/* Each job on a thread of its own; none on the caller's. */
static inline void run_on_threads(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    pthread_t threads[RUNNER_JOBS];
    host_job own[RUNNER_JOBS];

    ((host *)user)->runs++;
    ck_assert_int_le(jobs, RUNNER_JOBS);
    for (int32_t i = 0; i < jobs; i++) {
        own[i] = (host_job){job, context, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, host_thread, &own[i]), 0);
    }
    for (int32_t i = 0; i < jobs; i++)
        pthread_join(threads[i], NULL);
}

/* Calls what RUNNER_LATE left behind. */
static inline void host_settle(host *self)
{
    if (self->late)
        self->late(self->late_context, 0);
    self->late = NULL;
}

static inline void run_broken(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    host *self = user;

    self->runs++;
    for (int32_t i = 0; i < jobs; i++) {
        if (self->fault == RUNNER_IDLES || (self->fault == RUNNER_SKIPS && i == jobs - 1) ||
            (self->fault == RUNNER_LATE && i == 0))
            continue;
        job(context, i);
    }
    if (self->fault == RUNNER_TWICE)
        job(context, 0);
    if (self->fault == RUNNER_BEYOND)
        job(context, jobs);
    if (self->fault == RUNNER_BELOW)
        job(context, -1);
    if (self->fault == RUNNER_LATE) {
        self->late = job;
        self->late_context = context;
    }
}

#endif
