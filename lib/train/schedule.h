/* The learning rate of each training step. */
#ifndef DN_TRAIN_SCHEDULE_H
#define DN_TRAIN_SCHEDULE_H

#include <stdint.h>

/* Learning rate of step `step` (0 .. total - 1).  schedule: DN_SCHEDULE_...; peak: its highest rate. */
double schedule_rate(int32_t schedule, double peak, int64_t step, int64_t total);

#endif
