/* Writing a model file (.dnm): safetensors with the tensors of all parts, and facts as one JSON object (docs/format.md). */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "differnet/model_file.h"
#include "format/json.h"

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
    json_put_integer(json, "input_size", model->extractor->input_width);
    if (!extractor_is_square(model->extractor))
        json_put_integer(json, "input_height", model->extractor->input_height);
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
    json_put_text(json, "fit", model_fit_names[model->plan.whole.fit]);
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

static void add_asked(const asked_options *asked, st_writer *writer)
{
    json_writer *json = st_writer_json(writer);

    json_open(json, NULL, "{");
    json_put_integer(json, "calibration", asked->calibration);
    json_put_integer(json, "folds", asked->folds);
    json_put_double(json, "holdout", asked->holdout);
    json_put_integer(json, "copies", asked->copies);
    json_put_integer(json, "details", asked->details);
    json_put_integer(json, "duplicates", asked->duplicates);
    json_close(json, "}");
    st_writer_json_end(writer, "differnet.asked");
}

/* What counts in images; rows of bits tell their width only roughly. */
static void add_mask(const image_mask *mask, st_writer *writer)
{
    const int64_t shape[2] = {mask->height, (int64_t)mask_stride(mask->width)};
    json_writer *json = st_writer_json(writer);

    json_open(json, NULL, "{");
    json_put_integer(json, "width", mask->width);
    json_put_integer(json, "height", mask->height);
    json_close(json, "}");
    st_writer_json_end(writer, "differnet.mask");
    st_writer_tensor(writer, "mask", ST_U8, ST_U8, 2, shape, mask->bits);
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
    if (model->facts.flow_weight > 0)
        st_writer_tensor(writer, "flow.weight", ST_F64, ST_F64, 1, &single, &model->facts.flow_weight);
    if (model->positions) {
        st_writer_tensor(writer, "positions.standard", ST_F64, ST_F64, 2, two, &standards[PART_LOCAL]);
        st_writer_tensor(writer, "positions.whole_share", ST_F64, ST_F64, 1, &single, &model->facts.whole_share);
    }
    st_writer_metadata(writer, "differnet.densities", names);
    st_writer_metadata(writer, "differnet.preset", model->facts.preset);
    if (model->facts.copies != DN_COPIES_AUTO)
        st_writer_metadata(writer, "differnet.copies", model_copies_names[model->facts.copies]);
}

/* The lowest version whose readers read this model rightly. */
static int32_t format_of(const dn_model *model)
{
    if (model->facts.flow_weight > 0 || !extractor_is_square(model->extractor))
        return MODEL_FORMAT;
    if (model->positions && model->positions->details)
        return MODEL_FORMAT_DETAILS;
    return model_is_plain(model) ? MODEL_FORMAT_PLAIN : MODEL_FORMAT_SHAPED;
}

dn_status model_to_writer(const dn_model *model, int32_t storage, st_writer *writer, float **scratch, dn_error *error)
{
    enum st_type stored = storage == DN_STORAGE_F16 ? ST_F16 : ST_F32;
    int64_t count = model->holdout_count;

    *scratch = NULL;
    st_writer_kind(writer, ST_MODEL, format_of(model));
    if (!model_is_plain(model))
        add_shape(model, writer);
    add_facts(model, storage, writer);
    if (model->facts.asked.known)
        add_asked(&model->facts.asked, writer);
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
    if (model->mask.width > 0)
        add_mask(&model->mask, writer);
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
