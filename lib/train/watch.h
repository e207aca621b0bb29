/* Who wants to know how far a training is. */
#ifndef DN_TRAIN_WATCH_H
#define DN_TRAIN_WATCH_H

#include "differnet.h"

typedef struct train_watch {
    dn_progress_fn function; /* may be NULL */
    void *user;
} train_watch;

/* Tells the watcher; DN_E_CANCELLED if it asks to stop.  loss: NaN where there is none. */
dn_status train_report(const train_watch *watch, int32_t phase, int64_t done, int64_t total, double loss,
                       dn_error *error);

#endif
