#include "differnet/model.h"

#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "cnn/maps.h"
#include "differnet/position_map.h"

dn_status model_create(dn_extractor *extractor, const model_facts *facts, const dn_allocator *allocator, dn_model **out,
                       dn_error *error)
{
    int32_t columns = facts->tile_columns > 0 ? facts->tile_columns : 1;
    int32_t rows = facts->tile_rows > 0 ? facts->tile_rows : 1;

    *out = NULL;
    TRY(tile_plan_check(extractor, columns, rows, error));
    dn_model *model = mem_zalloc(allocator, 1, sizeof *model);
    if (!model)
        return fail_memory(error, "the model");
    atomic_init(&model->references, 1);
    model->allocator = *allocator;
    model->mask.allocator = *allocator;
    model->mask.of_model = 1;
    model->extractor = extractor_ref(extractor);
    model->facts = *facts;
    model->facts.tile_columns = columns;
    model->facts.tile_rows = rows;
    model->plan = tile_plan_of(extractor, columns, rows, facts->fit);
    model->plan.whole.range = model->plan.canvas.range = facts->range;
    model_set_heatmap_scale(model, facts->heatmap_scale);
    model->storage = DN_STORAGE_F32;
    *out = model;
    return DN_OK;
}

dn_status model_set_flow(dn_model *model, dn_flow *flow, const float *mean, const float *deviation, dn_error *error)
{
    size_t dim = (size_t)model->extractor->feature_dim;

    if (flow->dimension != model->extractor->feature_dim)
        return fail(error, DN_E_ARGUMENT, "a flow of %d dimensions does not fit features of %d", flow->dimension,
                    model->extractor->feature_dim);
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(mean[i]) || !isfinite(deviation[i]) || deviation[i] <= 0)
            return fail(error, DN_E_ARGUMENT, "feature %zu: mean %g and deviation %g do not standardise it", i,
                        (double)mean[i], (double)deviation[i]);
    model->mean = mem_alloc(&model->allocator, dim, sizeof *model->mean);
    model->deviation = mem_alloc(&model->allocator, dim, sizeof *model->deviation);
    if (!model->mean || !model->deviation)
        return fail_memory(error, "the model");
    memcpy(model->mean, mean, dim * sizeof *mean);
    memcpy(model->deviation, deviation, dim * sizeof *deviation);
    model->flow = flow_ref(flow);
    return DN_OK;
}

dn_status model_create_with_flow(dn_extractor *extractor, dn_flow *flow, const float *mean, const float *deviation,
                                 const model_facts *facts, const dn_allocator *allocator, dn_model **out,
                                 dn_error *error)
{
    TRY(model_create(extractor, facts, allocator, out, error));
    dn_status status = model_set_flow(*out, flow, mean, deviation, error);
    if (status != DN_OK) {
        model_unref(*out);
        *out = NULL;
    }
    return status;
}

dn_status model_set_positions(dn_model *model, positions *density, dn_error *error)
{
    const maps_geometry maps = model->plan.grid;

    if (density->rows != maps.rows || density->columns != maps.columns || density->channels != maps.channels)
        return fail(error, DN_E_ARGUMENT,
                    "a density of %d x %d positions and %d channels does not fit maps of %d x %d "
                    "and %d",
                    density->rows, density->columns, density->channels, maps.rows, maps.columns, maps.channels);
    const maps_geometry fine = maps_details_of(model->extractor);
    const positions *details = density->details;
    if (details && (!tiles_one(&model->plan) || details->rows != fine.rows || details->columns != fine.columns ||
                    details->channels != fine.channels || !(density->detail_weight > 0)))
        return fail(
            error, DN_E_ARGUMENT,
            "a density of details of %d x %d positions and %d channels, weight %g, does not fit those of %d x %d "
            "and %d of one tile",
            details->rows, details->columns, details->channels, density->detail_weight, fine.rows, fine.columns,
            fine.channels);
    model->positions = positions_ref(density);
    return DN_OK;
}

_Bool model_is_plain(const dn_model *model)
{
    return tiles_one(&model->plan) && model->plan.whole.fit == DN_FIT_STRETCH && model->facts.range.high == 0 &&
           model->mask.width == 0;
}

_Bool model_has(const dn_model *model, int density)
{
    return density == DENSITY_FLOW ? model->flow != NULL : model->positions != NULL;
}

static int compare_scores(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

/* An ascending copy of `count` numbers, which must be finite and >= 0.  what: for messages, "held-out score". */
static dn_status copy_sorted(const dn_model *model, const double *numbers, int32_t count, const char *what,
                             double **sorted, dn_error *error)
{
    if (count < 0 || count > MODEL_MAX_HOLDOUT)
        return fail(error, DN_E_ARGUMENT, "%d %ss, allowed are 0 to %d", count, what, MODEL_MAX_HOLDOUT);
    for (int32_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]) || numbers[i] < 0)
            return fail(error, DN_E_NUMERIC, "%s %d is %g, not a number >= 0", what, i, numbers[i]);
    *sorted = mem_alloc(&model->allocator, (size_t)count, sizeof **sorted);
    if (!*sorted)
        return fail_memory(error, "the scores of good images");
    if (count > 0) {
        memcpy(*sorted, numbers, (size_t)count * sizeof **sorted);
        qsort(*sorted, (size_t)count, sizeof **sorted, compare_scores);
    }
    return DN_OK;
}

dn_status model_set_peaks(dn_model *model, const double *peaks, int32_t count, dn_error *error)
{
    double *sorted;

    TRY(copy_sorted(model, peaks, count, "map's peak", &sorted, error));
    mem_free(&model->allocator, model->peaks);
    model->peaks = sorted;
    model->peak_count = count;
    return DN_OK;
}

dn_status model_set_holdout(dn_model *model, const double *scores, int32_t count, dn_error *error)
{
    double *sorted;

    TRY(copy_sorted(model, scores, count, "held-out score", &sorted, error));
    mem_free(&model->allocator, model->holdout_scores);
    calibration_free(model->calibration);
    model->calibration = NULL;
    model->holdout_scores = sorted;
    model->holdout_count = count;
    return DN_OK;
}

void model_calibrated_scores(const dn_model *model, const calibration *rows, int32_t views, double *scores)
{
    const model_facts *facts = &model->facts;

    for (int32_t i = 0; i < rows->count; i++) {
        double parts[PARTS] = {(double)NAN, (double)NAN, (double)NAN};
        if (rows->flow)
            parts[PART_FLOW] = calibration_flow(rows, i, views);
        if (rows->levels)
            position_scores(rows->levels[i], facts->whole_share, &parts[PART_LOCAL], &parts[PART_WHOLE]);
        scores[i] = parts_combine(facts->standards, facts->flow_weight, parts);
    }
    if (rows->count > 0)
        qsort(scores, (size_t)rows->count, sizeof *scores, compare_scores);
}

dn_status model_set_calibration(dn_model *model, calibration *rows, dn_error *error)
{
    TRY(calibration_check(rows, error));
    double *scores = mem_alloc(&model->allocator, (size_t)rows->count, sizeof *scores);
    if (!scores)
        return fail_memory(error, "the scores of good images");
    model_calibrated_scores(model, rows, rows->views, scores);
    dn_status status = model_set_holdout(model, scores, rows->count, error);
    mem_free(&model->allocator, scores);
    if (status == DN_OK)
        model->calibration = rows;
    return status;
}

static dn_status copy_parts(const dn_model *from, dn_model *to, dn_error *error)
{
    if (from->flow)
        TRY(model_set_flow(to, from->flow, from->mean, from->deviation, error));
    if (from->positions)
        TRY(model_set_positions(to, from->positions, error));
    TRY(mask_copy(&from->mask, &to->mask, error));
    TRY(model_set_holdout(to, from->holdout_scores, from->holdout_count, error));
    if (from->peaks)
        TRY(model_set_peaks(to, from->peaks, from->peak_count, error));
    return from->calibration ? calibration_copy(from->calibration, &to->allocator, &to->calibration, error) : DN_OK;
}

dn_status model_copy(const dn_model *from, const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    TRY(model_create(from->extractor, &from->facts, allocator, out, error));
    (*out)->storage = from->storage;
    (*out)->seen = from->seen;
    dn_status status = copy_parts(from, *out, error);
    if (status != DN_OK) {
        model_unref(*out);
        *out = NULL;
    }
    return status;
}

void model_set_heatmap_scale(dn_model *model, double scale)
{
    model->facts.heatmap_scale = isfinite(scale) && scale > 0 ? scale : 0;
}

uint32_t model_id(const dn_model *model, uint32_t tensors)
{
    const dn_extractor *extractor = model->extractor;
    const dn_flow *flow = model->flow;
    const positions *density = model->positions;
    double reals[2] = {flow ? flow->clamp : 0, model->facts.heatmap_scale};
    uint64_t bits[2];

    memcpy(bits, reals, sizeof bits);
    /* The extractor's id stands for its layers, paddings, mean and std; of a density that is not there all is zero. */
    const uint64_t settings[] = {
        tensors,
        extractor->id,
        extractor_input_number(extractor),
        (uint64_t)extractor->scales,
        (uint64_t)model->facts.views,
        (uint64_t)model->facts.angles,
        flow ? (uint64_t)flow->dimension : 0,
        flow ? (uint64_t)flow->blocks : 0,
        flow ? (uint64_t)flow->hidden : 0,
        bits[0],
        bits[1],
        density ? (uint64_t)density->rows : 0,
        density ? (uint64_t)density->columns : 0,
        density ? (uint64_t)density->dims : 0,
        /* Only where the image is not simply stretched to one input. */
        (uint64_t)model->plan.columns,
        (uint64_t)model->plan.rows,
        (uint64_t)model->plan.whole.fit,
    };
    _Bool shaped = !tiles_one(&model->plan) || model->plan.whole.fit != DN_FIT_STRETCH;
    size_t plain = sizeof settings - 3 * sizeof *settings;
    uint32_t id = libdeflate_crc32(0, settings, shaped ? sizeof settings : plain);
    const uint64_t range[2] = {(uint64_t)model->facts.range.low, (uint64_t)model->facts.range.high};
    const uint64_t masked = (uint64_t)model->mask.width; /* the rest of the mask is a tensor */

    id = range[1] > 0 ? libdeflate_crc32(id, range, sizeof range) : id;
    id = masked > 0 ? libdeflate_crc32(id, &masked, sizeof masked) : id;
    if (!density || !density->details)
        return id;
    const uint64_t details[3] = {(uint64_t)density->details->rows, (uint64_t)density->details->columns,
                                 (uint64_t)density->details->dims}; /* their weight is a tensor */
    return libdeflate_crc32(id, details, sizeof details);
}

dn_status model_seal(dn_model *model, dn_error *error)
{
    float *scratch = NULL;
    uint32_t tensors = 0;
    st_writer *writer = st_writer_create(&model->allocator);

    if (!writer)
        return fail_memory(error, "the model's checksum");
    dn_status status = model_to_writer(model, DN_STORAGE_F32, writer, &scratch, error);
    if (status == DN_OK)
        status = st_writer_crc32(writer, &tensors, error);
    model->id = model_id(model, tensors);
    st_writer_free(writer);
    mem_free(&model->extractor->allocator, scratch);
    return status;
}

dn_model *model_ref(dn_model *model)
{
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
    return model;
}

void model_unref(dn_model *model)
{
    if (!model || atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1)
        return;
    dn_allocator allocator = model->allocator;
    extractor_unref(model->extractor);
    flow_unref(model->flow);
    positions_unref(model->positions);
    mem_free(&allocator, model->mean);
    mem_free(&allocator, model->deviation);
    mem_free(&allocator, model->holdout_scores);
    mem_free(&allocator, model->peaks);
    calibration_free(model->calibration);
    mask_clear(&model->mask);
    model_notes_release(&model->notes, &allocator);
    mem_free(&allocator, model);
}
