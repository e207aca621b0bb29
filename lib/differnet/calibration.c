#include "differnet/calibration.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

dn_status calibration_create(int32_t count, int32_t views, _Bool positions, const dn_allocator *allocator,
                             calibration **out, dn_error *error)
{
    *out = NULL;
    calibration *rows = mem_zalloc(allocator, 1, sizeof *rows);
    if (!rows)
        return fail_memory(error, "the scores of good images");
    *rows = (calibration){.allocator = *allocator, .count = count, .views = views};
    if (views > 0)
        rows->flow = mem_zalloc(allocator, (size_t)count, (size_t)views * sizeof *rows->flow);
    if (positions)
        rows->levels = mem_zalloc(allocator, (size_t)count, sizeof *rows->levels);
    if ((views > 0 && !rows->flow) || (positions && !rows->levels)) {
        calibration_free(rows);
        return fail_memory(error, "the scores of good images");
    }
    *out = rows;
    return DN_OK;
}

dn_status calibration_copy(const calibration *from, const dn_allocator *allocator, calibration **out, dn_error *error)
{
    size_t count = (size_t)from->count; /* 0 has memory, too */

    TRY(calibration_create(from->count, from->flow ? from->views : 0, from->levels != NULL, allocator, out, error));
    if (from->flow)
        memcpy((*out)->flow, from->flow, count * (size_t)from->views * sizeof *from->flow);
    if (from->levels)
        memcpy((*out)->levels, from->levels, count * sizeof *from->levels);
    return DN_OK;
}

void calibration_free(calibration *rows)
{
    if (!rows)
        return;
    dn_allocator allocator = rows->allocator;
    mem_free(&allocator, rows->flow);
    mem_free(&allocator, rows->levels);
    mem_free(&allocator, rows);
}

static _Bool valid(double number)
{
    return isfinite(number) && number >= 0;
}

dn_status calibration_check(const calibration *rows, dn_error *error)
{
    size_t numbers = rows->flow ? (size_t)rows->count * (size_t)rows->views : 0;

    for (size_t i = 0; i < numbers; i++)
        if (!valid(rows->flow[i]))
            return fail(error, DN_E_NUMERIC, "good image %zu: the flow's score of a view is %g, not a number >= 0",
                        i / (size_t)rows->views, rows->flow[i]);
    for (int32_t i = 0; rows->levels && i < rows->count; i++)
        if (!valid(rows->levels[i].top) || !valid(rows->levels[i].median))
            return fail(error, DN_E_NUMERIC, "good image %d: its map's scores are %g and %g, not numbers >= 0", i,
                        rows->levels[i].top, rows->levels[i].median);
    return DN_OK;
}

int32_t calibration_view(int32_t i, int32_t views, int32_t stored)
{
    return (int32_t)((int64_t)i * stored / views);
}

/* Added up as a scorer adds them, for the same bits. */
double calibration_flow(const calibration *rows, int32_t row, int32_t views)
{
    const double *scores = rows->flow + (size_t)row * (size_t)rows->views;
    int32_t used = views < rows->views ? views : rows->views;
    double sum = 0;

    for (int32_t i = 0; i < used; i++)
        sum += scores[calibration_view(i, used, rows->views)];
    return sum / used;
}
