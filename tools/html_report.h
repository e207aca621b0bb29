/* The page `differnet eval --report` writes: one file with everything in it. */
#ifndef DN_TOOLS_HTML_REPORT_H
#define DN_TOOLS_HTML_REPORT_H

#include "evaluation.h"

/* Writes the page.  localizer: draws the heat maps of the images shown.  Complains on failure. */
bool write_html_report(const char *path, const evaluation *result, dn_localizer *localizer);

#endif
