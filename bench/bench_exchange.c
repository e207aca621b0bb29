/* How long a cache line takes from one processor to another and back: nanoseconds, the least of several attempts.
 *
 *   bench_exchange
 *
 * Between the first and the last processor that this process may use; ends with 77 if that is one.  Some 50 ns where they
 * share a cache, several times as much where they do not; a virtual machine's may change from one moment to the next,
 * and with them how fast a training step is. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ATTEMPTS = 5, EXCHANGES = 20000 };

static _Alignas(128) atomic_int line; /* counts up: odd numbers are written by the one side, even ones by the other */

static void need(int done, const char *what)
{
    if (!done) {
        fprintf(stderr, "bench_exchange: cannot %s\n", what);
        exit(1);
    }
}

static void use_processor(int number)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(number, &set);
    need(sched_setaffinity(0, sizeof set, &set) == 0, "choose a processor");
}

static void await(int number)
{
    while (atomic_load_explicit(&line, memory_order_acquire) != number)
        ;
}

static void *answer(void *processor)
{
    use_processor(*(int *)processor);
    for (int i = 0; i < EXCHANGES; i++) {
        await(2 * i + 1);
        atomic_store_explicit(&line, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

/* Nanoseconds of an exchange. */
static double attempt(int processor)
{
    pthread_t other;
    struct timespec begun, ended;

    atomic_store(&line, 0);
    need(pthread_create(&other, NULL, answer, &processor) == 0, "start a thread");
    for (int i = 0; i < EXCHANGES; i++) {
        if (i == 1) /* the other one is there */
            clock_gettime(CLOCK_MONOTONIC, &begun);
        atomic_store_explicit(&line, 2 * i + 1, memory_order_release);
        await(2 * i + 2);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    pthread_join(other, NULL);
    return (1e9 * (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec)) / (EXCHANGES - 1);
}

int main(void)
{
    int first = -1, last = -1;
    double least = 1e9;
    cpu_set_t usable;

    need(sched_getaffinity(0, sizeof usable, &usable) == 0, "ask for the processors");
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &usable)) {
            first = first < 0 ? i : first;
            last = i;
        }
    if (first == last) {
        fprintf(stderr, "bench_exchange: there is one processor only\n");
        return 77;
    }
    use_processor(first);
    for (int i = 0; i < ATTEMPTS; i++) {
        double nanoseconds = attempt(last);
        least = nanoseconds < least ? nanoseconds : least;
    }
    printf("%.1f\n", least);
    return 0;
}
