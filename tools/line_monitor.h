/* score --monitor: tells on standard error when the p-values are not those of good images any more. */
#ifndef DN_TOOLS_LINE_MONITOR_H
#define DN_TOOLS_LINE_MONITOR_H

#include "command.h"

typedef struct line_monitor {
    bool wanted;
    dn_monitor_options options; /* set up by dn_monitor_options_init */
    dn_monitor *monitor;        /* NULL: not wanted */
} line_monitor;

/* Complains and returns false if a monitor is wanted and there cannot be one. */
bool line_monitor_begin(line_monitor *line, const char *model_path, const dn_model *model);
void line_monitor_add(line_monitor *line, const char *path, double p_value);
void line_monitor_end(line_monitor *line, bool quiet); /* tells, unless `quiet`, how things stand */

#endif
