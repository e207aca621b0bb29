/* The page `differnet eval --report` writes: one file with everything in it. */
#ifndef DN_TOOLS_HTML_REPORT_H
#define DN_TOOLS_HTML_REPORT_H

#include "evaluation.h"
#include "picture.h"
#include "region.h"

typedef struct html_report html_report;

/* A page of result->set with pictures of `pictures` images at most.  Where there are more images, these are the good ones
 * that score highest and the defective ones that score lowest, half of each: the mistakes, wherever the threshold is put.
 * looked_at: opened; it must live as long as the report. */
html_report *html_report_create(const evaluation *result, const region *looked_at, size_t pictures);
/* Keeps what the page shows of an image that is scored already: its size, the map's peak, its boxes (count); and, made
 * small, the picture, its map if there is one and its mask (height, width) or NULL.  Complains on failure. */
bool html_report_add(html_report *report, const evaluation *result, size_t index, const mapped_image *picture,
                     const uint8_t *mask, const dn_box *boxes, int32_t count);
/* Writes the page once the figures are there.  Complains on failure. */
bool html_report_write(const html_report *report, const char *path, const evaluation *result);
void html_report_free(html_report *report); /* NULL is allowed */

#endif
