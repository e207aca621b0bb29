/* Operating points: thresholds of the score under a name.  In files: tensor "points.thresholds", metadata
 * "differnet.points". */
#ifndef DN_DIFFERNET_MODEL_POINTS_H
#define DN_DIFFERNET_MODEL_POINTS_H

#include "format/safetensors.h"

/* Starts as {0}. */
typedef struct model_points {
    int32_t count;
    char names[DN_POINTS][DN_POINT_NAME_BYTES + 1];
    double thresholds[DN_POINTS];
} model_points;

/* Sets a point; one of the same name is replaced.  DN_E_ARGUMENT: no name, too many, no threshold. */
dn_status model_points_set(model_points *points, const char *name, double threshold, dn_error *error);
/* DN_E_ARGUMENT, with the names there are, if there is none of this name. */
dn_status model_points_find(const model_points *points, const char *name, double *threshold, dn_error *error);

/* The points must live until the file is written. */
void model_points_write(const model_points *points, st_writer *writer);
/* DN_E_FORMAT where model_points_set would refuse. */
dn_status model_points_read(const st_file *file, model_points *points, dn_error *error);

#endif
