/* Evaluations as a table: one row for each data set. */
#ifndef DN_TOOLS_EVAL_TABLE_H
#define DN_TOOLS_EVAL_TABLE_H

#include "eval_run.h"

enum eval_format { EVAL_TEXT, EVAL_JSON, EVAL_CSV };

/* What a row shows; NaN: not known. */
enum { ROW_AUROC, ROW_AP, ROW_F1, ROW_PIXEL_AUROC, ROW_AUPRO, ROW_FALSE_ALARMS, ROW_MISSED, ROW_FIGURES };
typedef struct eval_row {
    const char *name;
    bool done; /* false: there are no figures */
    size_t images, good;
    double figures[ROW_FIGURES]; /* the last two are shares */
} eval_row;

eval_row eval_row_of(const char *name, const evaluation *result);
/* Means over the rows that are done, of each figure over those that know it; images and good ones: their sums. */
eval_row eval_row_mean(const eval_row *rows, size_t count);
void print_eval_csv(const eval_row *rows, size_t count, const eval_row *mean); /* mean: NULL for none */

/* Evaluates the models of a folder, FOLDER/<category>.dnm, on the data sets of another one.  One that cannot be
 * evaluated does not stop the others.  images: file for a row of each image (eval_images.h); NULL: none.  Returns the
 * command's exit code. */
int evaluate_categories(const eval_job *job, enum eval_format format, const char *images);

#endif
