/* A CSV file with a row for each image of an evaluation. */
#ifndef DN_TOOLS_EVAL_IMAGES_H
#define DN_TOOLS_EVAL_IMAGES_H

#include "evaluation.h"
#include "memory_stream.h"

/* Rows that are collected until they are written. */
typedef struct image_rows {
    memory_stream memory;
    FILE *file; /* into it; NULL: out of memory */
} image_rows;

void image_rows_begin(image_rows *self);
void image_rows_add(image_rows *self, const char *category, const evaluation *result);
/* Writes the file, if `path` is not NULL, and lets the rows go.  Complains and returns false on failure. */
bool image_rows_end(image_rows *self, const char *path);

#endif
