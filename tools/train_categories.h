/* differnet train on a folder of several data sets: a model for each. */
#ifndef DN_TOOLS_TRAIN_CATEGORIES_H
#define DN_TOOLS_TRAIN_CATEGORIES_H

#include "dataset.h"
#include "train_run.h"

/* Whether the job's data are several data sets, and what they are called; one is enough where the output is a folder. */
bool find_categories(const train_job *job, image_list *names);
/* Trains one after the other into OUTPUT/<category>.dnm; one that fails does not stop the others.  With `resume`, those
 * whose model is there already are left alone, unless it is older than the run that was interrupted.  Returns the
 * command's exit code. */
int train_categories(const train_job *job, const image_list *names);

#endif
