/* Workers for loops whose iterations are independent: threads of our own, or those behind the host's dn_runner. */
#ifndef DN_BASE_POOL_H
#define DN_BASE_POOL_H

#include "differnet.h"

#define POOL_MAX_THREADS 256 /* that an option struct may ask for */

typedef struct pool pool;

/* One iteration: task 0 .. tasks-1, run by worker 0 .. threads-1 (index of its scratch). */
typedef void (*pool_function)(void *context, int32_t task, int32_t worker);

/* Starts threads - 1 threads (the caller of pool_run is worker 0), and returns when they wait for work. */
dn_status pool_create(const dn_allocator *allocator, int32_t threads, pool **out, dn_error *error);
/* Like pool_create, but with a runner (nullable: own threads) no thread is started; it is run once, to see
 * that it keeps its contract. */
dn_status pool_create_on(const dn_runner *runner, const dn_allocator *allocator, int32_t threads, pool **out,
                         dn_error *error);
/* Runs all tasks, in any order, and returns when they are done, whatever a runner does: what it leaves out, the caller
 * does.  A NULL pool runs them in order on the caller.  Which worker runs a task is not determined: results must not
 * depend on it.  Not reentrant.  In a child of fork(), which has none of the threads, the caller runs all of them. */
void pool_run(pool *workers, int32_t tasks, pool_function function, void *context);
/* DN_E_THREAD if the runner broke its contract since this was last asked.  The results stand even then, but the host
 * must know.  NULL is allowed. */
dn_status pool_check(pool *workers, dn_error *error);
int32_t pool_threads(const pool *workers); /* 1 for NULL */
/* NULL is allowed.  Ends the threads; in a child of fork() there are none, and only memory is freed. */
void pool_free(pool *workers);

#endif
