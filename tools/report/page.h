/* The parts of the report's page that are the same for all reports: the files page.css, page.html (what is inside of
 * <body>) and page.js, which fills it from the JSON in the element "data". */
#ifndef DN_TOOLS_REPORT_PAGE_H
#define DN_TOOLS_REPORT_PAGE_H

extern const char page_css[], page_html[], page_js[];

#endif
