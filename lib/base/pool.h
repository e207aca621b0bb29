/* A pool of worker threads for loops whose iterations are independent. */
#ifndef DN_BASE_POOL_H
#define DN_BASE_POOL_H

#include "differnet.h"

typedef struct pool pool;

/* One iteration: task 0 .. tasks-1, run by worker 0 .. threads-1 (index of its scratch). */
typedef void (*pool_function)(void *context, int32_t task, int32_t worker);

/* Starts threads - 1 threads (the caller of pool_run is worker 0) and warms OpenBLAS in each. */
dn_status pool_create(const dn_allocator *allocator, int32_t threads, pool **out, dn_error *error);
/* Runs all tasks, in any order, and returns when they are done.  A NULL pool runs them in order on the caller.
 * Which worker runs a task is not determined: results must not depend on it.  Not reentrant. */
void pool_run(pool *workers, int32_t tasks, pool_function function, void *context);
int32_t pool_threads(const pool *workers); /* 1 for NULL */
void pool_free(pool *workers);             /* NULL is allowed */

#endif
