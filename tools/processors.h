/* How many threads to work with unless told otherwise. */
#ifndef DN_TOOLS_PROCESSORS_H
#define DN_TOOLS_PROCESSORS_H

#include <stdint.h>

/* The most that are taken unasked: each takes memory, and parts of a millisecond's work are not shared out well among
 * more. */
#define MOST_THREADS 32

/* Processors that this process may use: those it may run on, and not more than its control group's quota pays for;
 * 1 .. MOST_THREADS. */
int32_t usable_processors(void);

/* The quota of the control groups (version 1 or 2) that a process is in, in processors, rounded up; INT32_MAX if there
 * is none.  root: before /proc/self/cgroup and /sys/fs/cgroup; "" but for tests. */
int32_t quota_processors(const char *root);

#endif
