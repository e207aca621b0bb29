/* Makes calls of the C library fail in a program that this is preloaded into (LD_PRELOAD): from before main() on.
 *
 * FAULT=KIND:NUMBER:FOREVER, numbers as of faults_arm(); FAULT_CALLS: a file that gets the number of calls and the
 * name of the first call on files that failed at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "faults.h"

__attribute__((constructor)) static void arm(void)
{
    const char *fault = getenv("FAULT");
    int kind, forever;
    long number;

    if (fault && sscanf(fault, "%d:%ld:%d", &kind, &number, &forever) == 3)
        faults_arm((enum fault_kind)kind, number, forever != 0);
}

__attribute__((destructor)) static void tell(void)
{
    long calls = faults_disarm();
    const char *failed = faults_failed();
    const char *path = getenv("FAULT_CALLS");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (file) {
        fprintf(file, "%ld %s\n", calls, failed ? failed : "none");
        fclose(file);
    }
}
