#include "differnet/model_points.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

#define NAMES "differnet.points" /* with commas, in the order of the thresholds */
#define THRESHOLDS "points.thresholds"

static int32_t find(const model_points *points, const char *name)
{
    int32_t at = 0;

    while (at < points->count && strcmp(points->names[at], name) != 0)
        at++;
    return at;
}

dn_status model_points_set(model_points *points, const char *name, double threshold, dn_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);

    if (length < 1 || length > DN_POINT_NAME_BYTES || strspn(name, letters) != length)
        return fail(error, DN_E_ARGUMENT,
                    "an operating point's name has 1 to %d of the letters a to z and A to Z, "
                    "digits, \".\", \"_\" and \"-\"",
                    DN_POINT_NAME_BYTES);
    if (!isfinite(threshold) || threshold < 0)
        return fail(error, DN_E_ARGUMENT, "the operating point %s: its threshold is %g, not a number >= 0", name,
                    threshold);
    int32_t at = find(points, name);
    if (at == DN_POINTS)
        return fail(error, DN_E_ARGUMENT, "more than %d operating points for one model", DN_POINTS);
    strcpy(points->names[at], name);
    points->thresholds[at] = threshold;
    points->count += at == points->count;
    return DN_OK;
}

static void list_names(const model_points *points, char names[DN_POINTS * (DN_POINT_NAME_BYTES + 1) + 1])
{
    *names = '\0';
    for (int32_t i = 0; i < points->count; i++)
        strcat(strcat(names, i > 0 ? "," : ""), points->names[i]);
}

dn_status model_points_find(const model_points *points, const char *name, double *threshold, dn_error *error)
{
    char names[DN_POINTS * (DN_POINT_NAME_BYTES + 1) + 1];
    int32_t at = find(points, name);

    list_names(points, names);
    if (points->count == 0)
        return fail(error, DN_E_ARGUMENT, "the model has no operating points, so none called %.32s", name);
    if (at == points->count)
        return fail(error, DN_E_ARGUMENT, "the model has no operating point %.32s; there are %s", name, names);
    *threshold = points->thresholds[at];
    return DN_OK;
}

/* ---- files ---- */

void model_points_write(const model_points *points, st_writer *writer)
{
    char names[DN_POINTS * (DN_POINT_NAME_BYTES + 1) + 1];
    const int64_t count = points->count;

    if (count == 0)
        return;
    list_names(points, names);
    st_writer_metadata(writer, NAMES, names);
    st_writer_tensor(writer, THRESHOLDS, ST_F64, ST_F64, 1, &count, points->thresholds);
}

static dn_status read_names(const st_file *file, const char *names, const double *thresholds, int64_t count,
                            model_points *points, dn_error *error)
{
    dn_error problem;

    for (int64_t i = 0; i < count; i++) {
        char name[DN_POINT_NAME_BYTES + 2] = "";
        size_t length = strcspn(names, ",");
        strncat(name, names, length < sizeof name - 1 ? length : sizeof name - 1);
        if (model_points_set(points, name, thresholds[i], &problem) != DN_OK)
            return fail(error, DN_E_FORMAT, "%s: %s", st_label(file), problem.message);
        names += length;
        names += *names == ',' && i + 1 < count;
    }
    if (*names || points->count != count)
        return fail(error, DN_E_FORMAT, "%s: the metadata " NAMES " does not name each of the %d operating points once",
                    st_label(file), (int)count);
    return DN_OK;
}

dn_status model_points_read(const st_file *file, model_points *points, dn_error *error)
{
    const char *names = st_metadata(file, NAMES);
    const int64_t any = -1;
    const st_tensor *tensor;
    double thresholds[DN_POINTS];

    if (!names && !st_find(file, THRESHOLDS))
        return DN_OK;
    TRY(st_require(file, THRESHOLDS, 1, &any, &tensor, error));
    if (!names || tensor->elements < 1 || tensor->elements > DN_POINTS)
        return fail(error, DN_E_FORMAT,
                    "%s: tensor " THRESHOLDS ": 1 to %d operating points, and their names in " NAMES, st_label(file),
                    DN_POINTS);
    TRY(st_read_f64(file, tensor, thresholds, error));
    return read_names(file, names, thresholds, tensor->elements, points, error);
}
