/* Progress on standard error: a bar on a terminal, plain lines every few seconds in a log, or nothing. */
#ifndef DN_TOOLS_PROGRESS_H
#define DN_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress_bar {
    bool quiet;
    bool terminal;
    const char *title; /* "training" */
    const char *unit;  /* "epochs" */
    int64_t first;     /* done when the phase began: work of an earlier run that is gone on with */
    double began;      /* seconds */
    double shown;      /* when a line was last written */
} progress_bar;

/* Starts a phase; ends the one before.  title and unit must outlive it. */
void progress_begin(progress_bar *bar, bool quiet, const char *title, const char *unit, int64_t done);
/* note: NULL, or what else to tell ("loss -1.20"). */
void progress_update(progress_bar *bar, int64_t done, int64_t total, const char *note);
/* Ends the phase: the bar gives way to one plain line. */
void progress_end(progress_bar *bar, int64_t done, int64_t total, const char *note);
/* Wipes the bar so that a message can be written; the next update draws it again. */
void progress_clear(void);

#endif
