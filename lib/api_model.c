/* dn_model_*: arguments checked, then lib/differnet/model.c and model_file.c. */
#include "api.h"

#include <math.h>
#include <string.h>

#include "differnet/model.h"

static const dn_model_options default_options = {.struct_size = sizeof(dn_model_options), .verify = DN_VERIFY_FULL};

void dn_model_options_init_size(dn_model_options *options, size_t size)
{
    options_init(options, size, &default_options, sizeof default_options);
}

void dn_model_info_init_size(dn_model_info *info, size_t size)
{
    static const dn_model_info empty = {.struct_size = sizeof empty};

    options_init(info, size, &empty, sizeof empty);
}

static dn_status read_options(const dn_model_options *options, dn_model_options *own, dn_error *error)
{
    *own = default_options;
    TRY(options_read(own, sizeof *own, options, "dn_model_options", error));
    if (own->verify != DN_VERIFY_HEADER && own->verify != DN_VERIFY_FULL)
        return fail(error, DN_E_ARGUMENT, "dn_model_options: verify is %d, must be DN_VERIFY_HEADER or DN_VERIFY_FULL",
                    own->verify);
    return allocator_check(own->allocator, "dn_model_options", error);
}

dn_status dn_model_open_path(const char *path, const dn_model_options *options, dn_model **out, dn_error *error)
{
    dn_model_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(path, error);
    TRY(read_options(options, &own, error));
    return model_open_path(path, &own, out, error);
}

dn_status dn_model_open_memory(const void *bytes, size_t size, const dn_model_options *options, dn_model **out,
                               dn_error *error)
{
    dn_model_options own;

    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(bytes, error);
    TRY(read_options(options, &own, error));
    return model_open_memory(bytes, size, &own, out, error);
}

dn_status dn_model_save(const dn_model *model, const char *path, int32_t storage, dn_error *error)
{
    REQUIRE(model, error);
    REQUIRE(path, error);
    TRY(storage_check(storage, error));
    return model_save(model, path, storage, error);
}

dn_status dn_model_save_memory(const dn_model *model, int32_t storage, dn_blob **out, dn_error *error)
{
    REQUIRE(out, error);
    *out = NULL;
    REQUIRE(model, error);
    TRY(storage_check(storage, error));
    return model_save_memory(model, storage, out, error);
}

dn_model *dn_model_ref(dn_model *model)
{
    return model ? model_ref(model) : NULL;
}

void dn_model_unref(dn_model *model)
{
    model_unref(model);
}

/* Numbers that the densities learned. */
static int64_t model_numbers(const dn_model *model)
{
    const dn_flow *flow = model->flow;
    const positions *density = model->positions;
    int64_t count = flow ? (int64_t)flow_parameters(flow->dimension, flow->blocks, flow->hidden) : 0;

    if (density)
        count += (int64_t)density->channels * (1 + density->dims) +
                 (int64_t)positions_cells(density) * (density->dims + (int64_t)positions_triangle(density->dims));
    return count;
}

dn_status dn_model_get_info(const dn_model *model, dn_model_info *info)
{
    REQUIRE(model, NULL);
    REQUIRE(info, NULL);
    const dn_extractor *extractor = model->extractor;
    const dn_flow *flow = model->flow;
    const model_facts *facts = &model->facts;
    dn_model_info own = {
        .struct_size = sizeof own,
        .id = model->id,
        .input_size = extractor->input_width,
        .input_height = extractor->input_height,
        .scales = extractor->scales,
        .feature_dim = extractor->feature_dim,
        .blocks = flow ? flow->blocks : 0,
        .hidden = flow ? flow->hidden : 0,
        .views = facts->views,
        .angles = facts->angles,
        .standardized = facts->standardized,
        .backbone_random = extractor->random,
        .storage = model->storage,
        .train_images = facts->train_images,
        .holdout_images = model->holdout_count,
        .epochs = facts->epochs,
        .bank = facts->bank,
        .seed = facts->seed,
        .clamp = flow ? flow->clamp : 0,
        .final_loss = facts->final_loss,
        .heatmap_scale = facts->heatmap_scale,
        .parameters = extractor->parameters + model_numbers(model),
    };

    const positions *density = model->positions;
    own.flow = flow != NULL;
    own.positions = density != NULL;
    own.positions_scale = facts->positions_scale;
    own.calibration = facts->calibration;
    own.folds = facts->folds;
    if (density) {
        own.map_rows = density->rows;
        own.map_columns = density->columns;
        own.map_channels = density->channels;
        own.position_dims = density->dims;
        own.copies = facts->copies;
        if (density->details) {
            own.detail_weight = density->detail_weight;
            own.detail_rows = density->details->rows;
            own.detail_columns = density->details->columns;
        }
    }
    own.flow_weight = facts->flow_weight;
    own.range_low = facts->range.low;
    own.range_high = facts->range.high;
    own.seen_images = (int32_t)model->seen.images;
    memcpy(own.seen_low, model->seen.low, sizeof own.seen_low);
    memcpy(own.seen_high, model->seen.high, sizeof own.seen_high);
    own.tile_columns = model->plan.columns;
    own.tile_rows = model->plan.rows;
    own.fit = model->plan.whole.fit;
    const image_mask *mask = &model->mask;
    own.mask_share = mask->width > 0 ? (double)mask_count(mask) / ((double)mask->width * mask->height) : 1;
    memcpy(own.preset, facts->preset, sizeof own.preset);
    memcpy(own.backbone, extractor->name, sizeof own.backbone);
    memcpy(own.library, facts->library, sizeof own.library);
    return output_write(info, &own, sizeof own, "dn_model_info", NULL);
}

const double *dn_model_holdout_scores(const dn_model *model, int32_t *count)
{
    if (count)
        *count = model ? model->holdout_count : 0;
    return model ? model->holdout_scores : NULL;
}

const char *dn_model_note(const dn_model *model, int32_t index, const char **value)
{
    _Bool there = model && index >= 0 && index < model->notes.count;

    if (value)
        *value = there ? model->notes.notes[index].value : NULL;
    return there ? model->notes.notes[index].key : NULL;
}

const char *dn_model_operating_point(const dn_model *model, int32_t index, double *threshold)
{
    _Bool there = model && index >= 0 && index < model->points.count;

    if (threshold)
        *threshold = there ? model->points.thresholds[index] : (double)NAN;
    return there ? model->points.names[index] : NULL;
}

dn_extractor *dn_model_extractor(const dn_model *model)
{
    return model ? model->extractor : NULL;
}

dn_flow *dn_model_flow(const dn_model *model)
{
    return model ? model->flow : NULL;
}

const float *dn_model_feature_mean(const dn_model *model)
{
    return model ? model->mean : NULL;
}

const float *dn_model_feature_deviation(const dn_model *model)
{
    return model ? model->deviation : NULL;
}
