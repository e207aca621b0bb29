/* Comma-separated values as RFC 4180 has them. */
#ifndef DN_TOOLS_CSV_WRITER_H
#define DN_TOOLS_CSV_WRITER_H

#include <stdio.h>

/* Quotes around what holds a comma, quote or line break; quotes inside doubled. */
void csv_text(FILE *file, const char *text);
/* A comma, and the number as in JSON; nothing for NaN and infinity. */
void csv_number(FILE *file, double value);

#endif
