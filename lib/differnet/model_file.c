/* Opening a model file (.dnm): the frame, the metadata (model_facts.c), the tensors of all parts (docs/format.md). */
#include <stdatomic.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "cnn/maps.h"
#include "differnet/model_file.h"
#include "format/json.h"

/* Bytes of a file that densities may point into: mapped, or copied.  Each of them, and who reads the file, holds one
 * reference. */
typedef struct file_bytes {
    atomic_int references;
    dn_allocator allocator;
    file_mapping mapping; /* zeroed for copied bytes */
    uint8_t *copy;        /* NULL for mapped bytes */
} file_bytes;

static void release_bytes(void *keep_alive)
{
    file_bytes *bytes = keep_alive;
    dn_allocator allocator = bytes->allocator;

    if (atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel) != 1)
        return;
    file_unmap(&bytes->mapping);
    mem_free(&allocator, bytes->copy);
    mem_free(&allocator, bytes);
}

/* Numbers inside the bytes stay in use.  Mapped pages that were read for the checksum are let go: they come back when
 * they are needed. */
static file_bytes *keep_bytes(file_bytes *bytes, const float *numbers, size_t count)
{
    atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
    if (bytes->mapping.bytes)
        file_map_forget(&bytes->mapping, numbers, count * sizeof *numbers);
    return bytes;
}

/* A file being read: what all densities' readers need. */
struct reading {
    const st_file *file;
    file_bytes *bytes;
    _Bool verify;
    dn_model *model;
};

/* Passes a failure of a part on.  A part's reader blames its arguments; here they came from the file. */
static dn_status fail_part(const st_file *file, const dn_error *problem, dn_error *error)
{
    if (problem->status == DN_E_ARGUMENT)
        return fail(error, DN_E_FORMAT, "%s: %s", st_label(file), problem->message);
    return fail(error, problem->status, "%s", problem->message);
}

static dn_status read_standardisation(const struct reading *r, dn_flow *flow, float *buffer, dn_error *error)
{
    int64_t dim = r->model->extractor->feature_dim;
    float *mean = buffer, *deviation = buffer + dim;
    const st_tensor *tensor;

    TRY(st_require(r->file, "features.mean", 1, &dim, &tensor, error));
    TRY(st_read_f32(r->file, tensor, mean, error));
    TRY(st_require(r->file, "features.deviation", 1, &dim, &tensor, error));
    TRY(st_read_f32(r->file, tensor, deviation, error));
    for (int64_t i = 0; i < dim; i++)
        if (deviation[i] <= 0)
            return fail(error, DN_E_FORMAT, "%s: tensor features.deviation: entry %lld is %g, not above 0",
                        st_label(r->file), (long long)i, (double)deviation[i]);
    return model_set_flow(r->model, flow, mean, deviation, error);
}

/* Median and spread of `parts` parts. */
static dn_status read_standards(const st_file *file, const char *name, int32_t parts, part_standard *standards,
                                dn_error *error)
{
    const int64_t shape[2] = {parts, 2};
    const st_tensor *tensor;
    double numbers[2 * PARTS];

    TRY(st_require(file, name, 2, shape, &tensor, error));
    TRY(st_read_f64(file, tensor, numbers, error));
    for (int32_t p = 0; p < parts; p++) {
        standards[p] = (part_standard){numbers[2 * p], numbers[2 * p + 1]};
        if (standards[p].spread < 0)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: a spread below 0", st_label(file), name);
    }
    return DN_OK;
}

static dn_status read_flow(const struct reading *r, dn_error *error)
{
    const dn_allocator *allocator = &r->model->allocator;
    dn_flow *flow = NULL;
    _Bool in_place = 0;
    dn_error problem;

    if (flow_from_tensors(r->file, "flow.", allocator, &in_place, r->verify, &flow, &problem) != DN_OK)
        return fail_part(r->file, &problem, error);
    if (in_place) {
        flow->release = release_bytes;
        flow->keep_alive = keep_bytes(r->bytes, flow->weights,
                                      flow_parameters(flow->dimension, flow->blocks, flow->hidden));
    }
    dn_status status = DN_OK;
    float *buffer = NULL;
    if (flow->dimension != r->model->extractor->feature_dim)
        status = fail(error, DN_E_FORMAT, "%s: the flow has %d dimensions, the backbone's features have %d",
                      st_label(r->file), flow->dimension, r->model->extractor->feature_dim);
    else if (!(buffer = mem_alloc(allocator, (size_t)flow->dimension, 2 * sizeof *buffer)))
        status = fail_memory(error, st_label(r->file));
    else
        status = read_standardisation(r, flow, buffer, error);
    mem_free(allocator, buffer);
    flow_unref(flow);
    if (status == DN_OK && st_find(r->file, "flow.standard"))
        status = read_standards(r->file, "flow.standard", 1, &r->model->facts.standards[PART_FLOW], error);
    return status;
}

/* `count` numbers, all finite. */
static dn_status read_doubles(const st_file *file, const char *name, int64_t count, double *out, dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, 1, &count, &tensor, error));
    return st_read_f64(file, tensor, out, error);
}

/* A density whose tensors' names begin with `prefix`, of maps of so many channels. */
static dn_status read_density(const struct reading *r, const char *prefix, int32_t channels, positions **out,
                              dn_error *error)
{
    _Bool in_place = 0;

    TRY(positions_from_tensors(r->file, prefix, channels, &r->model->allocator, &in_place, r->verify, out, error));
    if (in_place) {
        (*out)->release = release_bytes;
        (*out)->keep_alive = keep_bytes(r->bytes, (*out)->factor,
                                        positions_cells(*out) * positions_triangle((*out)->dims));
    }
    return DN_OK;
}

/* The details of a density, if the file has them. */
static dn_status read_details(const struct reading *r, positions *density, dn_error *error)
{
    int32_t channels = maps_details_of(r->model->extractor).channels;

    if (!st_find(r->file, "positions.detail_weight"))
        return DN_OK;
    if (channels == 0)
        return fail(error, DN_E_FORMAT, "%s: a density of details, which the backbone does not have",
                    st_label(r->file));
    TRY(read_doubles(r->file, "positions.detail_weight", 1, &density->detail_weight, error));
    return read_density(r, "positions.details.", channels, &density->details, error);
}

static dn_status read_positions(const struct reading *r, dn_error *error)
{
    positions *density;
    dn_error problem;

    TRY(read_density(r, "positions.", r->model->plan.grid.channels, &density, error));
    dn_status status = read_details(r, density, &problem);
    if (status == DN_OK)
        status = model_set_positions(r->model, density, &problem);
    positions_unref(density);
    if (status != DN_OK)
        return fail_part(r->file, &problem, error);
    TRY(read_standards(r->file, "positions.standard", 2, &r->model->facts.standards[PART_LOCAL], error));
    TRY(read_doubles(r->file, "positions.whole_share", 1, &r->model->facts.whole_share, error));
    TRY(read_doubles(r->file, "positions.scale", 1, &r->model->facts.positions_scale, error));
    if (r->model->facts.positions_scale < 0)
        return fail(error, DN_E_FORMAT, "%s: tensor positions.scale: a scale below 0", st_label(r->file));
    return DN_OK;
}

/* How far the sum of both trusts the flow: not in files up to format 4. */
static dn_status read_flow_weight(const struct reading *r, dn_error *error)
{
    double *weight = &r->model->facts.flow_weight;

    if (!st_find(r->file, "flow.weight"))
        return DN_OK;
    TRY(read_doubles(r->file, "flow.weight", 1, weight, error));
    if (!(*weight > 0 && *weight <= 1))
        return fail(error, DN_E_FORMAT, "%s: tensor flow.weight: %g, not above 0 and at most 1", st_label(r->file),
                    *weight);
    return DN_OK;
}

/* The densities that the metadata names, in any order; in files of format 1 it was always the flow. */
static dn_status read_densities(const struct reading *r, dn_error *error)
{
    static dn_status (*const readers[DENSITIES])(const struct reading *, dn_error *) = {
        [DENSITY_FLOW] = read_flow, [DENSITY_POSITIONS] = read_positions};
    const char *names = st_metadata(r->file, "differnet.densities");

    if (!names)
        return st_version_is(r->file, 1)
                   ? read_flow(r, error)
                   : fail(error, DN_E_FORMAT, "%s: the metadata differnet.densities is missing", st_label(r->file));
    for (const char *name = names; *name;) {
        size_t length = strcspn(name, ",");
        int d = 0;
        while (d < DENSITIES && (strlen(density_names[d]) != length || strncmp(density_names[d], name, length) != 0))
            d++;
        if (d == DENSITIES)
            return fail(error, DN_E_UNSUPPORTED,
                        "%s: holds a density that this version does not know "
                        "(differnet.densities); update the library",
                        st_label(r->file));
        if (model_has(r->model, d))
            return fail(error, DN_E_FORMAT, "%s: the density %s is there twice", st_label(r->file), density_names[d]);
        TRY(readers[d](r, error));
        name += length + (name[length] == ',');
    }
    if (!r->model->flow && !r->model->positions)
        return fail(error, DN_E_FORMAT, "%s: the model has no density", st_label(r->file));
    return r->model->flow && r->model->positions ? read_flow_weight(r, error) : DN_OK;
}

/* Numbers >= 0 in ascending order, as new memory (NULL if there are none, or it fails). */
static dn_status read_ascending(const st_file *file, const char *name, const dn_allocator *allocator, double **numbers,
                                int32_t *count, dn_error *error)
{
    const int64_t any = -1;
    const st_tensor *tensor;

    *numbers = NULL;
    TRY(st_require(file, name, 1, &any, &tensor, error));
    if (tensor->elements > MODEL_MAX_HOLDOUT)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: more than %d scores", st_label(file), name, MODEL_MAX_HOLDOUT);
    *count = (int32_t)tensor->elements;
    *numbers = mem_alloc(allocator, (size_t)tensor->elements, sizeof **numbers);
    if (!*numbers)
        return fail_memory(error, st_label(file));
    dn_status status = st_read_f64(file, tensor, *numbers, error);
    for (int32_t i = 0; status == DN_OK && i < *count; i++)
        if ((*numbers)[i] < 0 || (i > 0 && (*numbers)[i] < (*numbers)[i - 1]))
            status = fail(error, DN_E_FORMAT, "%s: tensor %s: entry %d is negative or out of order", st_label(file),
                          name, i);
    return status;
}

static dn_status load_holdout(const st_file *file, dn_model *model, dn_error *error)
{
    double *scores;
    int32_t count;
    dn_status status = read_ascending(file, "holdout.scores", &model->allocator, &scores, &count, error);

    if (status == DN_OK)
        status = model_set_holdout(model, scores, count, error);
    mem_free(&model->allocator, scores);
    return status;
}

/* Files of old do not hold them. */
static dn_status load_peaks(const st_file *file, dn_model *model, dn_error *error)
{
    double *peaks;
    int32_t count;

    if (!model->positions || !st_find(file, "positions.peaks"))
        return DN_OK;
    dn_status status = read_ascending(file, "positions.peaks", &model->allocator, &peaks, &count, error);
    if (status == DN_OK)
        status = model_set_peaks(model, peaks, count, error);
    mem_free(&model->allocator, peaks);
    return status;
}

/* Numbers that are all >= 0. */
static dn_status read_rows(const st_file *file, const st_tensor *tensor, double *out, dn_error *error)
{
    TRY(st_read_f64(file, tensor, out, error));
    for (int64_t i = 0; i < tensor->elements; i++)
        if (out[i] < 0)
            return fail(error, DN_E_FORMAT, "%s: tensor %s: entry %lld is negative", st_label(file), tensor->name,
                        (long long)i);
    return DN_OK;
}

/* What the held-out scores come from, if the file tells.  The scores themselves are those that were stored: they keep
 * their bits on a machine with other logarithms. */
static dn_status load_calibration(const st_file *file, dn_model *model, dn_error *error)
{
    int32_t count = model->holdout_count, views = model->flow ? model->facts.views : 0;
    const int64_t flow_shape[2] = {count, views}, level_shape[2] = {count, 2};
    const st_tensor *flow = st_find(file, "calibration.flow"), *levels = st_find(file, "calibration.positions");
    calibration *rows;

    if (!flow && !levels)
        return DN_OK;
    if (model->flow)
        TRY(st_require(file, "calibration.flow", 2, flow_shape, &flow, error));
    if (model->positions)
        TRY(st_require(file, "calibration.positions", 2, level_shape, &levels, error));
    TRY(calibration_create(count, views, model->positions != NULL, &model->allocator, &rows, error));
    dn_status status = rows->flow ? read_rows(file, flow, rows->flow, error) : DN_OK;
    if (status == DN_OK && rows->levels)
        status = read_rows(file, levels, &rows->levels[0].top, error);
    if (status != DN_OK) {
        calibration_free(rows);
        return status;
    }
    model->calibration = rows;
    return DN_OK;
}

/* What counts in images, if the file tells. */
static dn_status load_mask(const st_file *file, dn_model *model, dn_error *error)
{
    static const char *const names[2] = {"width", "height"};
    const char *text = st_metadata(file, "differnet.mask");
    const st_tensor *tensor;
    json_value object, values[2];
    size_t position;
    int64_t width, height;

    if (!text)
        return DN_OK;
    if (!json_parse(text, strlen(text), &object, &position) || !json_pick(object, names, 2, values) ||
        !json_read_integer(values[0], &width) || !json_read_integer(values[1], &height) || width < 1 ||
        width > INT32_MAX || height < 1 || height > INT32_MAX)
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.mask is not \"width\" and \"height\" above 0",
                    st_label(file));
    const int64_t shape[2] = {height, (int64_t)mask_stride((int32_t)width)};
    TRY(st_require(file, "mask", 2, shape, &tensor, error));
    if (tensor->type != ST_U8)
        return fail(error, DN_E_FORMAT, "%s: tensor mask: not of type U8", st_label(file));
    TRY(mask_set_bits(&model->mask, tensor->data, (int32_t)width, (int32_t)height, error));
    return mask_count(&model->mask) > 0
               ? DN_OK
               : fail(error, DN_E_FORMAT, "%s: tensor mask: nothing of an image counts", st_label(file));
}

/* All that is in the file beside the backbone. */
static dn_status read_parts(const struct reading *r, dn_error *error)
{
    dn_model *model = r->model;

    TRY(read_densities(r, error));
    TRY(load_mask(r->file, model, error));
    TRY(load_holdout(r->file, model, error));
    TRY(load_peaks(r->file, model, error));
    TRY(load_calibration(r->file, model, error));
    TRY(model_notes_read(r->file, &model->notes, &model->allocator, error));
    TRY(seen_from_tensors(r->file, &model->seen, error));
    return model_points_read(r->file, &model->points, error);
}

/* Reads a parsed file whose frame was checked. */
static dn_status load_parts(const st_file *file, loaded_facts *facts, file_bytes *bytes, _Bool verify,
                            const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    dn_extractor_options options = {.struct_size = sizeof options,
                                    .input_size = facts->input_size,
                                    .input_height = facts->input_height,
                                    .scales = facts->scales,
                                    .allocator = allocator};
    dn_extractor *extractor = NULL;
    dn_error problem;

    if (extractor_from_tensors(file, "backbone.", &options, &extractor, &problem) != DN_OK)
        return fail_part(file, &problem, error);
    dn_status status = model_create(extractor, &facts->model, allocator, out, &problem);
    if (status != DN_OK)
        status = fail_part(file, &problem, error);
    extractor_unref(extractor);
    if (status == DN_OK) {
        status = read_parts(&(struct reading){file, bytes, verify, *out}, error);
        if (status != DN_OK) {
            model_unref(*out);
            *out = NULL;
        }
    }
    return status;
}

static dn_status load(const uint8_t *data, size_t size, const char *label, file_bytes *bytes, _Bool verify,
                      const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    static const st_frame frame = {MODEL_FORMAT, 2, "copy it again"};
    st_file *file;
    loaded_facts facts;
    uint32_t tensors = 0;

    TRY(st_parse(data, size, label, allocator, &file, error));
    dn_status status = st_check_header(file, &frame, error);
    if (status == DN_OK)
        status = st_check_kind(file, ST_MODEL, error);
    if (status == DN_OK)
        status = st_check_version(file, &frame, error);
    if (status == DN_OK)
        status = st_check_sum(file, &frame, verify, &tensors, error);
    if (status == DN_OK)
        status = model_facts_read(file, &facts, error);
    if (status == DN_OK)
        status = load_parts(file, &facts, bytes, verify, allocator, out, error);
    if (status == DN_OK) {
        (*out)->id = model_id(*out, tensors);
        (*out)->storage = facts.storage;
    }
    st_free(file);
    return status;
}

dn_status model_open_path(const char *path, const dn_model_options *options, dn_model **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    file_bytes *bytes = mem_zalloc(&allocator, 1, sizeof *bytes);
    if (!bytes)
        return fail_memory(error, path);
    atomic_init(&bytes->references, 1);
    bytes->allocator = allocator;
    dn_status status = file_map(path, &bytes->mapping, error);
    if (status == DN_OK)
        status = load(bytes->mapping.bytes, bytes->mapping.size, path, bytes, options->verify, &allocator, out, error);
    release_bytes(bytes);
    return status;
}

dn_status model_open_memory(const void *data, size_t size, const dn_model_options *options, dn_model **out,
                            dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);

    *out = NULL;
    file_bytes *bytes = mem_zalloc(&allocator, 1, sizeof *bytes);
    if (!bytes)
        return fail_memory(error, "a model");
    atomic_init(&bytes->references, 1);
    bytes->allocator = allocator;
    bytes->copy = mem_alloc(&allocator, size, 1);
    dn_status status = bytes->copy ? DN_OK : fail_memory(error, "a copy of the model");
    if (status == DN_OK) {
        if (size > 0)
            memcpy(bytes->copy, data, size);
        status = load(bytes->copy, size, "model in memory", bytes, options->verify, &allocator, out, error);
    }
    release_bytes(bytes);
    return status;
}
