/* Whether scores still lie as those of good images did: a test of p-values as they come (docs/numerics.md). */
#ifndef DN_DIFFERNET_MONITOR_H
#define DN_DIFFERNET_MONITOR_H

#include <stdatomic.h>

#include "differnet.h"

dn_monitor_options monitor_default_options(void);
dn_status monitor_options_check(const dn_monitor_options *options, dn_error *error); /* ranges of its numbers */
/* options: complete and checked. */
dn_status monitor_create(const dn_monitor_options *options, dn_monitor **out, dn_error *error);
void monitor_free(dn_monitor *monitor);
dn_status monitor_add(dn_monitor *monitor, double p_value, dn_error *error);
void monitor_reset(dn_monitor *monitor);
dn_monitor_state monitor_state(const dn_monitor *monitor);
dn_error *monitor_error(dn_monitor *monitor);
atomic_int *monitor_in_use(dn_monitor *monitor); /* 1: a call is in progress */

#endif
