/* Model files (.dnm): safetensors with the tensors of all parts, and facts as one JSON object (docs/format.md). */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "differnet/model.h"
#include "format/json.h"

const char *const model_copies_names[DN_COPIES_TURN + 1] = {
    [DN_COPIES_NONE] = "none", [DN_COPIES_SMALL] = "small", [DN_COPIES_MIRROR] = "mirror", [DN_COPIES_TURN] = "turn"};
static const char *const fit_names[] = {[DN_FIT_STRETCH] = "stretch", [DN_FIT_LETTERBOX] = "letterbox"};

/* ---- writing ---- */

/* The seed is a text because JSON readers lose digits of large integers; a loss that is not known is null, JSON having
 * no NaN. */
static void add_facts(const dn_model *model, int32_t storage, st_writer *writer)
{
    const model_facts *facts = &model->facts;
    json_writer *json = st_writer_json(writer);
    char seed[24];

    snprintf(seed, sizeof seed, "%llu", (unsigned long long)facts->seed);
    json_open(json, NULL, "{");
    json_put_integer(json, "input_size", model->extractor->input_size);
    json_put_integer(json, "scales", model->extractor->scales);
    json_put_integer(json, "views", facts->views);
    json_put_integer(json, "angles", facts->angles);
    json_put_integer(json, "standardized", facts->standardized);
    json_put_integer(json, "train_images", facts->train_images);
    json_put_integer(json, "epochs", facts->epochs);
    json_put_integer(json, "bank", facts->bank);
    json_put_text(json, "seed", seed);
    json_put_double(json, "final_loss", facts->final_loss);
    json_put_double(json, "heatmap_scale", facts->heatmap_scale);
    json_put_text(json, "storage", storage == DN_STORAGE_F16 ? "float16" : "float32");
    json_put_text(json, "library", facts->library);
    json_put_integer(json, "calibration", facts->calibration);
    json_put_integer(json, "folds", facts->folds);
    json_close(json, "}");
    st_writer_json_end(writer, "differnet.facts");
}

/* How images are laid before the network. */
static void add_shape(const dn_model *model, st_writer *writer)
{
    json_writer *json = st_writer_json(writer);

    json_open(json, NULL, "{");
    json_put_integer(json, "tile_columns", model->plan.columns);
    json_put_integer(json, "tile_rows", model->plan.rows);
    json_put_text(json, "fit", fit_names[model->plan.whole.fit]);
    json_close(json, "}");
    st_writer_json_end(writer, "differnet.shape");
}

/* Which values of 16-bit pixels are black and white. */
static void add_range(canvas_range range, st_writer *writer)
{
    json_writer *json = st_writer_json(writer);

    json_open(json, NULL, "{");
    json_put_integer(json, "low", range.low);
    json_put_integer(json, "high", range.high);
    json_close(json, "}");
    st_writer_json_end(writer, "differnet.range");
}

/* ---- writing: the densities ---- */

static void add_flow(const dn_model *model, st_writer *writer)
{
    int64_t dim = model->extractor->feature_dim;

    st_writer_tensor(writer, "features.mean", ST_F32, ST_F32, 1, &dim, model->mean);
    st_writer_tensor(writer, "features.deviation", ST_F32, ST_F32, 1, &dim, model->deviation);
}

static void add_positions(const dn_model *model, enum st_type stored, st_writer *writer)
{
    const int64_t one = 1, peaks = model->peak_count;

    positions_to_tensors(model->positions, "positions.", stored, writer);
    st_writer_tensor(writer, "positions.scale", ST_F64, ST_F64, 1, &one, &model->facts.positions_scale);
    if (peaks > 0)
        st_writer_tensor(writer, "positions.peaks", ST_F64, ST_F64, 1, &peaks, model->peaks);
}

/* What the held-out scores come from, row by row. */
static void add_calibration(const calibration *rows, st_writer *writer)
{
    const int64_t flow[2] = {rows->count, rows->views}, levels[2] = {rows->count, 2};

    if (rows->flow)
        st_writer_tensor(writer, "calibration.flow", ST_F64, ST_F64, 2, flow, rows->flow);
    if (rows->levels)
        st_writer_tensor(writer, "calibration.positions", ST_F64, ST_F64, 2, levels, rows->levels);
}

/* The densities' names, and where their parts' scores lie if that is known: median and spread of each. */
static void add_densities(const dn_model *model, st_writer *writer)
{
    const part_standard *standards = model->facts.standards;
    const int64_t one[2] = {1, 2}, two[2] = {2, 2}, single = 1;
    char names[64] = "";

    for (int d = 0; d < DENSITIES; d++)
        if (model_has(model, d))
            strcat(strcat(names, *names ? "," : ""), density_names[d]);
    if (standards[PART_FLOW].spread > 0)
        st_writer_tensor(writer, "flow.standard", ST_F64, ST_F64, 2, one, &standards[PART_FLOW]);
    if (model->positions) {
        st_writer_tensor(writer, "positions.standard", ST_F64, ST_F64, 2, two, &standards[PART_LOCAL]);
        st_writer_tensor(writer, "positions.whole_share", ST_F64, ST_F64, 1, &single, &model->facts.whole_share);
    }
    st_writer_metadata(writer, "differnet.densities", names);
    st_writer_metadata(writer, "differnet.preset", model->facts.preset);
    if (model->facts.copies != DN_COPIES_AUTO)
        st_writer_metadata(writer, "differnet.copies", model_copies_names[model->facts.copies]);
}

dn_status model_to_writer(const dn_model *model, int32_t storage, st_writer *writer, float **scratch, dn_error *error)
{
    enum st_type stored = storage == DN_STORAGE_F16 ? ST_F16 : ST_F32;
    int64_t count = model->holdout_count;

    *scratch = NULL;
    st_writer_kind(writer, ST_MODEL, model_is_plain(model) ? MODEL_FORMAT_PLAIN : MODEL_FORMAT);
    if (!model_is_plain(model))
        add_shape(model, writer);
    add_facts(model, storage, writer);
    if (model->facts.range.high > 0)
        add_range(model->facts.range, writer);
    add_densities(model, writer);
    model_notes_write(&model->notes, writer);
    model_points_write(&model->points, writer);
    if (model->flow)
        flow_to_tensors(model->flow, "flow.", stored, writer);
    TRY(extractor_to_tensors(model->extractor, "backbone.", stored, writer, scratch, error));
    if (model->flow)
        add_flow(model, writer);
    if (model->positions)
        add_positions(model, stored, writer);
    st_writer_tensor(writer, "holdout.scores", ST_F64, ST_F64, 1, &count, model->holdout_scores);
    if (model->calibration && count > 0)
        add_calibration(model->calibration, writer);
    if (model->seen.images > 0)
        seen_to_tensors(&model->seen, writer);
    return DN_OK;
}

/* Saves to `path`, or to *blob if path is NULL. */
static dn_status save(const dn_model *model, int32_t storage, const char *path, dn_blob **blob, dn_error *error)
{
    float *scratch = NULL;
    st_writer *writer = st_writer_create(&model->allocator);

    if (!writer)
        return fail_memory(error, "the model's file");
    dn_status status = model_to_writer(model, storage, writer, &scratch, error);
    if (status == DN_OK)
        status = path ? st_writer_save(writer, path, error) : st_writer_save_memory(writer, blob, error);
    st_writer_free(writer);
    mem_free(&model->extractor->allocator, scratch);
    return status;
}

dn_status model_save(const dn_model *model, const char *path, int32_t storage, dn_error *error)
{
    return save(model, storage, path, NULL, error);
}

dn_status model_save_memory(const dn_model *model, int32_t storage, dn_blob **out, dn_error *error)
{
    *out = NULL;
    return save(model, storage, NULL, out, error);
}

/* ---- reading: facts ---- */

typedef struct loaded_facts {
    model_facts model;
    int32_t input_size, scales, storage;
} loaded_facts;

static dn_status fail_fact(const st_file *file, const char *name, dn_error *error)
{
    return fail(error, DN_E_FORMAT, "%s: the fact \"%s\" is missing or out of range", st_label(file), name);
}

enum { REAL_FACTS = 2, TEXT_FACTS = 3 };
static const char *const real_names[REAL_FACTS] = {"final_loss", "heatmap_scale"};
static const char *const text_names[TEXT_FACTS] = {"seed", "storage", "library"};

/* final_loss: a number or null; heatmap_scale: a number. */
static dn_status read_reals(const st_file *file, const json_value values[REAL_FACTS], model_facts *facts,
                            dn_error *error)
{
    if (json_type_of(values[0]) == JSON_NULL)
        facts->final_loss = NAN;
    else if (!json_read_real(values[0], &facts->final_loss))
        return fail_fact(file, real_names[0], error);
    if (!json_read_real(values[1], &facts->heatmap_scale) || facts->heatmap_scale < 0)
        return fail_fact(file, real_names[1], error);
    return DN_OK;
}

static dn_status read_texts(const st_file *file, const json_value values[TEXT_FACTS], loaded_facts *facts,
                            dn_error *error)
{
    char seed[24];

    if (!json_read_text(values[0], seed, sizeof seed) || !st_parse_unsigned(seed, 10, &facts->model.seed))
        return fail_fact(file, text_names[0], error);
    if (!json_text_is(values[1], "float32") && !json_text_is(values[1], "float16"))
        return fail_fact(file, text_names[1], error);
    facts->storage = json_text_is(values[1], "float16") ? DN_STORAGE_F16 : DN_STORAGE_F32;
    if (!json_read_text(values[2], facts->model.library, sizeof facts->model.library))
        return fail_fact(file, text_names[2], error);
    for (const char *c = facts->model.library; *c; c++) /* it goes into reports and to terminals */
        if (*c < 0x20 || *c > 0x7E)
            return fail_fact(file, text_names[2], error);
    return DN_OK;
}

/* "name": value in [least, most] */
typedef struct integer_fact {
    int32_t *value;
    int32_t least, most;
} integer_fact;

static dn_status read_integer(const st_file *file, const char *name, json_value value, const integer_fact *fact,
                              dn_error *error)
{
    int64_t wide;

    if (!json_read_integer(value, &wide) || wide < fact->least || wide > fact->most)
        return fail_fact(file, name, error);
    *fact->value = (int32_t)wide;
    return DN_OK;
}

static dn_status fail_facts(const st_file *file, dn_error *error)
{
    return fail(error, DN_E_FORMAT, "%s: the metadata differnet.facts is missing or no JSON object", st_label(file));
}

/* Facts that files of old do not have. */
static dn_status read_later_facts(const st_file *file, json_value object, model_facts *facts, dn_error *error)
{
    enum { INTEGERS = 2 };
    static const char *const names[INTEGERS] = {"calibration", "folds"};
    const integer_fact integers[INTEGERS] = {{&facts->calibration, 0, DN_CALIBRATION_CROSS},
                                             {&facts->folds, 0, MODEL_MAX_HOLDOUT}};
    json_value values[INTEGERS];

    if (!json_pick(object, names, INTEGERS, values))
        return fail_facts(file, error);
    for (size_t i = 0; i < INTEGERS; i++)
        if (values[i].size > 0)
            TRY(read_integer(file, names[i], values[i], &integers[i], error));
    return DN_OK;
}

static dn_status read_facts(const st_file *file, json_value object, loaded_facts *facts, dn_error *error)
{
    enum { INTEGERS = 8 };
    static const char *const names[INTEGERS] = {"input_size",   "scales",       "views",  "angles",
                                                "standardized", "train_images", "epochs", "bank"};
    const integer_fact integers[INTEGERS] = {
        {&facts->input_size, 32, 2048},
        {&facts->scales, 1, EXTRACTOR_MAX_SCALES},
        {&facts->model.views, 1, MODEL_MAX_VIEWS},
        {&facts->model.angles, DN_ANGLES_STRATIFIED, DN_ANGLES_GRID},
        {&facts->model.standardized, 0, 1},
        {&facts->model.train_images, 0, INT32_MAX},
        {&facts->model.epochs, 0, INT32_MAX},
        {&facts->model.bank, 0, INT32_MAX},
    };
    json_value values[INTEGERS], reals[REAL_FACTS], texts[TEXT_FACTS];

    if (!json_pick(object, names, INTEGERS, values) || !json_pick(object, real_names, REAL_FACTS, reals) ||
        !json_pick(object, text_names, TEXT_FACTS, texts))
        return fail_facts(file, error);
    for (size_t i = 0; i < INTEGERS; i++)
        TRY(read_integer(file, names[i], values[i], &integers[i], error));
    TRY(read_reals(file, reals, &facts->model, error));
    TRY(read_later_facts(file, object, &facts->model, error));
    return read_texts(file, texts, facts, error);
}

static dn_status load_facts(const st_file *file, loaded_facts *facts, dn_error *error)
{
    const char *text = st_metadata(file, "differnet.facts");
    json_value object;
    size_t position;

    *facts = (loaded_facts){.storage = DN_STORAGE_F32};
    if (!text || !json_parse(text, strlen(text), &object, &position))
        return fail_facts(file, error);
    return read_facts(file, object, facts, error);
}

/* How images are laid before the network; in files that do not tell, they are stretched to one square. */
static dn_status load_shape(const st_file *file, model_facts *facts, dn_error *error)
{
    static const char *const names[3] = {"tile_columns", "tile_rows", "fit"};
    const char *text = st_metadata(file, "differnet.shape");
    json_value object, values[3];
    size_t position;
    int64_t columns, rows;
    int fit = DN_FIT_STRETCH;

    facts->tile_columns = facts->tile_rows = 1;
    if (!text)
        return DN_OK;
    if (!json_parse(text, strlen(text), &object, &position) || !json_pick(object, names, 3, values))
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.shape is no JSON object of three values",
                    st_label(file));
    while (fit <= DN_FIT_LETTERBOX && !json_text_is(values[2], fit_names[fit]))
        fit++;
    if (!json_read_integer(values[0], &columns) || columns < 1 || columns > TILES_MAX ||
        !json_read_integer(values[1], &rows) || rows < 1 || rows > TILES_MAX || fit > DN_FIT_LETTERBOX)
        return fail(error, DN_E_FORMAT,
                    "%s: the metadata differnet.shape: a number is out of range, or \"fit\" unknown", st_label(file));
    facts->tile_columns = (int32_t)columns;
    facts->tile_rows = (int32_t)rows;
    facts->fit = fit;
    return DN_OK;
}

/* Files that do not tell a range use the whole one. */
static dn_status load_range(const st_file *file, canvas_range *range, dn_error *error)
{
    static const char *const names[2] = {"low", "high"};
    const char *text = st_metadata(file, "differnet.range");
    json_value object, values[2];
    size_t position;
    int64_t low, high;

    if (!text)
        return DN_OK;
    if (!json_parse(text, strlen(text), &object, &position) || !json_pick(object, names, 2, values) ||
        !json_read_integer(values[0], &low) || !json_read_integer(values[1], &high) || low < 0 || low >= high ||
        high > 65535)
        return fail(error, DN_E_FORMAT,
                    "%s: the metadata differnet.range is not \"low\" and \"high\" with 0 <= low < high <= 65535",
                    st_label(file));
    *range = (canvas_range){(int32_t)low, (int32_t)high};
    return DN_OK;
}

/* ---- reading: the parts ---- */

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

static dn_status read_positions(const struct reading *r, dn_error *error)
{
    positions *density;
    _Bool in_place = 0;
    dn_error problem;

    TRY(positions_from_tensors(r->file, "positions.", r->model->plan.grid.channels, &r->model->allocator, &in_place,
                               r->verify, &density, error));
    if (in_place) {
        density->release = release_bytes;
        density->keep_alive = keep_bytes(r->bytes, density->factor,
                                         positions_cells(density) * positions_triangle(density->dims));
    }
    dn_status status = model_set_positions(r->model, density, &problem);
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
    return DN_OK;
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

/* Which copies were learned, for display. */
static dn_status read_copies(const st_file *file, model_facts *facts, dn_error *error)
{
    const char *name = st_metadata(file, "differnet.copies");

    facts->copies = DN_COPIES_AUTO;
    for (int32_t kind = DN_COPIES_NONE; name && kind <= DN_COPIES_TURN; kind++)
        if (strcmp(name, model_copies_names[kind]) == 0)
            facts->copies = kind;
    if (name && facts->copies == DN_COPIES_AUTO)
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.copies names no kind of copies", st_label(file));
    return DN_OK;
}

/* The preset's name, for display. */
static dn_status read_preset(const st_file *file, model_facts *facts, dn_error *error)
{
    const char *preset = st_metadata(file, "differnet.preset");

    if (!preset)
        return DN_OK;
    if (strlen(preset) >= sizeof facts->preset || strspn(preset, "abcdefghijklmnopqrstuvwxyz-") != strlen(preset))
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.preset is no preset's name", st_label(file));
    strcpy(facts->preset, preset);
    return DN_OK;
}

/* Reads a parsed file whose frame was checked. */
static dn_status load_parts(const st_file *file, loaded_facts *facts, file_bytes *bytes, _Bool verify,
                            const dn_allocator *allocator, dn_model **out, dn_error *error)
{
    dn_extractor_options options = {.struct_size = sizeof options,
                                    .input_size = facts->input_size,
                                    .scales = facts->scales,
                                    .allocator = allocator};
    dn_extractor *extractor = NULL;
    dn_error problem;

    TRY(read_preset(file, &facts->model, error));
    TRY(read_copies(file, &facts->model, error));
    TRY(load_shape(file, &facts->model, error));
    TRY(load_range(file, &facts->model.range, error));
    if (extractor_from_tensors(file, "backbone.", &options, &extractor, &problem) != DN_OK)
        return fail_part(file, &problem, error);
    dn_status status = model_create(extractor, &facts->model, allocator, out, &problem);
    if (status != DN_OK)
        status = fail_part(file, &problem, error);
    extractor_unref(extractor);
    if (status == DN_OK) {
        status = read_densities(&(struct reading){file, bytes, verify, *out}, error);
        if (status == DN_OK)
            status = load_holdout(file, *out, error);
        if (status == DN_OK)
            status = load_peaks(file, *out, error);
        if (status == DN_OK)
            status = load_calibration(file, *out, error);
        if (status == DN_OK)
            status = model_notes_read(file, &(*out)->notes, allocator, error);
        if (status == DN_OK)
            status = seen_from_tensors(file, &(*out)->seen, error);
        if (status == DN_OK)
            status = model_points_read(file, &(*out)->points, error);
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
        status = load_facts(file, &facts, error);
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
