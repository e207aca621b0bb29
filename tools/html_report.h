/* The page `differnet eval --report` writes: one file with everything in it. */
#ifndef DN_TOOLS_HTML_REPORT_H
#define DN_TOOLS_HTML_REPORT_H

#include "evaluation.h"
#include "picture.h"

typedef struct html_report html_report;

html_report *html_report_create(size_t images);
/* Keeps what the page shows of an image, made small: the picture, its map if there is one, its mask (height, width) or NULL,
 * and its boxes (count).  Complains on failure. */
bool html_report_add(html_report *report, size_t index, const dn_model *model, const char *path,
                     const mapped_image *picture, const uint8_t *mask, const dn_box *boxes, int32_t count);
/* Writes the page once the figures are there.  Complains on failure. */
bool html_report_write(const html_report *report, const char *path, const evaluation *result);
void html_report_free(html_report *report); /* NULL is allowed */

#endif
