#include "csv_writer.h"

#include <math.h>
#include <string.h>

#include "json_writer.h"

void csv_text(FILE *file, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    putc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', file);
        putc(*text, file);
    }
    putc('"', file);
}

void csv_number(FILE *file, double value)
{
    char text[NUMBER_SIZE] = "";

    if (isfinite(value))
        format_real(text, value);
    fprintf(file, ",%s", text);
}
