#include "train/watch.h"

#include "base/status.h"

dn_status train_report(const train_watch *watch, int32_t phase, int64_t done, int64_t total, double loss,
                       dn_error *error)
{
    dn_progress progress = {.struct_size = sizeof progress, .phase = phase, .done = done, .total = total, .loss = loss};

    if (watch->function && watch->function(&progress, watch->user) != 0)
        return fail(error, DN_E_CANCELLED, "training was cancelled; a further run goes on");
    return DN_OK;
}
