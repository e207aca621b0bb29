/* differnet info: what a model, backbone or flow file holds, or which backbone is built in. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "command.h"
#include "json_writer.h"

static const char *storage_name(int32_t storage)
{
    return storage == DN_STORAGE_F16 ? "float16" : "float32";
}

/* As --copies of train names them. */
static const char *copies_name(int32_t copies)
{
    return copies > DN_COPIES_AUTO && copies <= DN_COPIES_TURN ? copies_names[copies] : "not known";
}

static const char *angles_name(int32_t angles)
{
    return angles == DN_ANGLES_GRID ? "grid" : "stratified";
}

static int64_t file_bytes(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* ---- models ---- */

static void write_notes_json(json_writer *json, const dn_model *model)
{
    const char *key, *value;

    emit_open_object(json, "notes");
    for (int32_t i = 0; (key = dn_model_note(model, i, &value)); i++)
        emit_text(json, key, value);
    emit_close_object(json);
}

static void write_points_json(json_writer *json, const dn_model *model)
{
    const char *name;
    double threshold;

    emit_open_object(json, "operating_points");
    for (int32_t i = 0; (name = dn_model_operating_point(model, i, &threshold)); i++)
        emit_real(json, name, threshold);
    emit_close_object(json);
}

static void print_points(const dn_model *model)
{
    const char *name;
    double threshold;

    for (int32_t i = 0; (name = dn_model_operating_point(model, i, &threshold)); i++)
        printf("%-15s%s: score above %.6g\n", i == 0 ? "op. points" : "", name, threshold);
}

static void print_notes(const dn_model *model)
{
    const char *key, *value;

    for (int32_t i = 0; (key = dn_model_note(model, i, &value)); i++)
        printf("%-15s%s: %s\n", i == 0 ? "notes" : "", key, value);
}

/* Names of DN_TRAIT_... */
static const char *const trait_names[DN_TRAITS] = {"colour",    "brightness", "contrast", "sharpness", "darkest",
                                                   "brightest", "size",       "shape",    "bits"};

static void write_seen_json(json_writer *json, const dn_model_info *info)
{
    if (info->seen_images == 0) {
        emit_none(json, "seen");
        return;
    }
    emit_open_object(json, "seen");
    emit_integer(json, "images", info->seen_images);
    for (int t = 0; t < DN_TRAITS; t++) {
        emit_open_array(json, trait_names[t]);
        emit_real(json, NULL, info->seen_low[t]);
        emit_real(json, NULL, info->seen_high[t]);
        emit_close_array(json);
    }
    emit_close_object(json);
}

static void write_model_json(const char *path, const dn_model *model)
{
    dn_model_info info = model_info(model);
    json_writer json = {stdout, false};
    int32_t count;
    const double *scores = dn_model_holdout_scores(model, &count);
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, info.id);
    emit_open_object(&json, NULL);
    emit_text(&json, "path", path);
    emit_text(&json, "kind", "model");
    emit_integer(&json, "bytes", file_bytes(path));
    emit_text(&json, "id", id);
    emit_text(&json, "library", info.library);
    emit_text(&json, "backbone", info.backbone);
    emit_bool(&json, "backbone_random", info.backbone_random != 0);
    emit_integer(&json, "input_size", info.input_size);
    emit_integer(&json, "input_height", info.input_height);
    emit_integer(&json, "scales", info.scales);
    emit_integer(&json, "feature_dim", info.feature_dim);
    emit_bool(&json, "standardized", info.standardized != 0);
    emit_integer(&json, "blocks", info.blocks);
    emit_integer(&json, "hidden", info.hidden);
    emit_real(&json, "clamp", info.clamp);
    emit_integer(&json, "parameters", info.parameters);
    emit_text(&json, "storage", storage_name(info.storage));
    emit_integer(&json, "views", info.views);
    emit_text(&json, "angles", angles_name(info.angles));
    emit_integer(&json, "train_images", info.train_images);
    emit_integer(&json, "epochs", info.epochs);
    emit_integer(&json, "bank", info.bank);
    emit_unsigned(&json, "seed", info.seed);
    emit_real(&json, "final_loss", info.final_loss);
    emit_real(&json, "heatmap_scale", info.heatmap_scale > 0 ? info.heatmap_scale : NAN);
    emit_text(&json, "preset", info.preset);
    emit_bool(&json, "flow", info.flow == 1);
    emit_bool(&json, "positions", info.positions == 1);
    emit_integer(&json, "map_rows", info.map_rows);
    emit_integer(&json, "map_columns", info.map_columns);
    emit_integer(&json, "map_channels", info.map_channels);
    emit_integer(&json, "position_dims", info.position_dims);
    emit_text(&json, "copies", copies_name(info.copies));
    emit_real(&json, "detail_weight", info.detail_weight);
    emit_real(&json, "flow_weight", info.flow_weight > 0 ? info.flow_weight : NAN);
    emit_integer(&json, "tile_columns", info.tile_columns);
    emit_integer(&json, "tile_rows", info.tile_rows);
    emit_text(&json, "fit", fit_names[info.fit]);
    emit_real(&json, "mask_share", info.mask_share < 1 ? info.mask_share : NAN);
    emit_real(&json, "positions_scale", info.positions_scale > 0 ? info.positions_scale : NAN);
    write_notes_json(&json, model);
    write_points_json(&json, model);
    emit_integer(&json, "holdout_images", info.holdout_images);
    if (info.calibration)
        emit_text(&json, "calibration", calibration_names[info.calibration]);
    else
        emit_none(&json, "calibration");
    emit_integer(&json, "folds", info.folds);
    emit_open_array(&json, "holdout_scores");
    for (int32_t i = 0; i < count; i++)
        emit_real(&json, NULL, scores[i]);
    emit_close_array(&json);
    write_seen_json(&json, &info);
    emit_open_array(&json, "range");
    emit_integer(&json, NULL, info.range_low);
    emit_integer(&json, NULL, info.range_high > 0 ? info.range_high : 65535);
    emit_close_array(&json);
    emit_close_object(&json);
    putchar('\n');
}

static void print_holdout(const dn_model *model)
{
    int32_t count;
    const double *scores = dn_model_holdout_scores(model, &count);

    if (count == 0) {
        printf("verdicts       no good images: the model gives scores but no verdicts\n");
        return;
    }
    dn_model_info info = model_info(model);
    char low[SCORE_SIZE], high[SCORE_SIZE], middle[SCORE_SIZE];
    printf("verdicts       by %d good images, %s, scores %s to %s, median %s\n", count,
           info.calibration == DN_CALIBRATION_CROSS ? "cross-fitted" : "held out", score_text(low, scores[0]),
           score_text(high, scores[count - 1]), score_text(middle, (scores[(count - 1) / 2] + scores[count / 2]) / 2));
    printf("               the smallest false-alarm rate it can promise is 1/%d = %.3g\n", count + 1,
           1.0 / (count + 1));
}

/* What the images were like. */
static void print_seen(const dn_model_info *info)
{
    const double *low = info->seen_low, *high = info->seen_high;

    if (info->seen_images == 0)
        return;
    printf("seen           %d images, %s, %g to %g bits, width / height %.3g to %.3g, side %.0f to %.0f pixels\n",
           info->seen_images,
           high[DN_TRAIT_COLOUR] <= 0.004 ? "gray"
           : low[DN_TRAIT_COLOUR] >= 0.02 ? "in colour"
                                          : "gray and in colour",
           low[DN_TRAIT_BITS], high[DN_TRAIT_BITS], low[DN_TRAIT_SHAPE], high[DN_TRAIT_SHAPE], low[DN_TRAIT_SIZE],
           high[DN_TRAIT_SIZE]);
    printf("               brightness %.3f to %.3f, contrast %.3f to %.3f, sharpness %.3f to %.3f\n",
           low[DN_TRAIT_BRIGHTNESS], high[DN_TRAIT_BRIGHTNESS], low[DN_TRAIT_CONTRAST], high[DN_TRAIT_CONTRAST],
           low[DN_TRAIT_SHARPNESS], high[DN_TRAIT_SHARPNESS]);
}

static void print_model(const char *path, const dn_model *model)
{
    dn_model_info info = model_info(model);

    printf("file           %s: model, %.1f MB, %s, id %08" PRIx32 ", made by version %s\n", path,
           1e-6 * (double)file_bytes(path), storage_name(info.storage), info.id, info.library);
    printf("backbone       %s%s\n", info.backbone,
           info.backbone_random ? ": RANDOM WEIGHTS that stand in for trained ones; expect poor results" : "");
    printf("input          %d x %d pixels, %d scales, %d features, %s\n", info.input_size, info.input_height,
           info.scales, info.feature_dim, info.standardized ? "standardised" : "not standardised");
    if (*info.preset)
        printf("preset         %s\n", info.preset);
    if (info.positions)
        printf("positions      %d x %d cells, %d channels, %d dimensions, moved copies: %s\n", info.map_rows,
               info.map_columns, info.map_channels, info.position_dims, copies_name(info.copies));
    if (info.detail_weight > 0)
        printf("details        %d x %d cells, weight %.3g\n", info.detail_rows, info.detail_columns,
               info.detail_weight);
    if (info.tile_columns * info.tile_rows > 1)
        printf("tiles          %d x %d of an image, overlapping\n", info.tile_columns, info.tile_rows);
    if (info.fit != DN_FIT_STRETCH)
        printf("fit            %s: images keep their aspect\n", fit_names[info.fit]);
    if (info.mask_share < 1)
        printf("mask           %.3g %% of an image counts\n", 100 * info.mask_share);
    if (info.flow)
        printf("flow           %d blocks, hidden width %d, clamp %g\n", info.blocks, info.hidden, info.clamp);
    if (info.flow_weight > 0)
        printf("flow's weight  %.3g beside the positions'\n", info.flow_weight);
    printf("parameters     %" PRId64 "\n", info.parameters);
    if (info.flow)
        printf("scoring        %d views, %s angles\n", info.views, angles_name(info.angles));
    printf("trained on     %d images, ", info.train_images);
    if (info.flow)
        printf("%d epochs, ", info.epochs);
    if (info.flow && info.bank > 0)
        printf("%d views of each, ", info.bank);
    else if (info.flow)
        printf("fresh views for each step, ");
    printf("seed %" PRIu64, info.seed);
    if (isfinite(info.final_loss))
        printf(", final loss %.4f", info.final_loss);
    putchar('\n');
    print_seen(&info);
    if (info.range_high > 0)
        printf("range          16-bit pixels from %d (black) to %d (white)\n", info.range_low, info.range_high);
    print_holdout(model);
    double scale = info.positions ? info.positions_scale : info.heatmap_scale;
    if (scale > 0)
        printf("heat map       scale %.4g\n", scale);
    else
        printf("heat map       no scale: maps are not comparable between images\n");
    print_points(model);
    print_notes(model);
}

/* ---- backbones; path: NULL for the built-in one ---- */

static void write_metadata_json(json_writer *json, const dn_extractor *extractor)
{
    const char *key, *value;

    emit_open_object(json, "metadata");
    for (int32_t i = 0; (key = dn_extractor_metadata(extractor, i, &value)); i++)
        emit_text(json, key, value);
    emit_close_object(json);
}

static void write_file_json(json_writer *json, const char *path)
{
    if (path)
        emit_text(json, "path", path);
    else
        emit_none(json, "path");
    emit_text(json, "kind", "backbone");
    if (path)
        emit_integer(json, "bytes", file_bytes(path));
    else
        emit_none(json, "bytes");
}

static void write_extractor_json(const char *path, const dn_extractor *extractor)
{
    dn_extractor_info info = extractor_info(extractor);
    json_writer json = {stdout, false};
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, info.id);
    emit_open_object(&json, NULL);
    write_file_json(&json, path);
    emit_text(&json, "id", id);
    emit_text(&json, "name", info.name);
    emit_bool(&json, "random", info.random != 0);
    emit_integer(&json, "layers", info.layers);
    emit_integer(&json, "parameters", info.parameters);
    emit_open_array(&json, "taps");
    for (int32_t i = 0; i < info.taps; i++)
        emit_text(&json, NULL, dn_extractor_tap_name(extractor, i));
    emit_close_array(&json);
    emit_integer(&json, "input_size", info.input_size);
    emit_integer(&json, "input_height", info.input_height);
    emit_integer(&json, "scales", info.scales);
    emit_integer(&json, "feature_dim", info.feature_dim);
    emit_open_array(&json, "mean");
    for (int i = 0; i < 3; i++)
        emit_single(&json, NULL, info.mean[i]);
    emit_close_array(&json);
    emit_open_array(&json, "std");
    for (int i = 0; i < 3; i++)
        emit_single(&json, NULL, info.std[i]);
    emit_close_array(&json);
    write_metadata_json(&json, extractor);
    emit_close_object(&json);
    putchar('\n');
}

/* A file's text for a terminal: control characters (C1's, which are C2 80 to C2 9F, too) become blanks. */
static void print_safely(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool two = c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0;
        putchar(two || *c < ' ' || *c == 0x7F ? ' ' : *c);
        c += two;
    }
}

static void print_metadata(const dn_extractor *extractor)
{
    const char *key, *value;

    for (int32_t i = 0; (key = dn_extractor_metadata(extractor, i, &value)); i++) {
        printf("%-15s", i == 0 ? "metadata" : "");
        print_safely(key);
        fputs(": ", stdout);
        print_safely(value);
        putchar('\n');
    }
}

static void print_extractor(const char *path, const dn_extractor *extractor)
{
    dn_extractor_info info = extractor_info(extractor);

    if (path)
        printf("file           %s: backbone, %.1f MB, id %08" PRIx32 "\n", path, 1e-6 * (double)file_bytes(path),
               info.id);
    else
        printf("built in       backbone, id %08" PRIx32 "\n", info.id);
    printf("name           %s%s\n", info.name,
           info.random ? ": RANDOM WEIGHTS that stand in for trained ones; expect poor results" : "");
    printf("layers         %d, %" PRId64 " parameters\n", info.layers, info.parameters);
    printf("features from ");
    for (int32_t i = 0; i < info.taps; i++)
        printf(" %s", dn_extractor_tap_name(extractor, i));
    printf("\ninput          %d x %d pixels, %d scales, %d features (by default)\n", info.input_size, info.input_height,
           info.scales, info.feature_dim);
    printf("normalised by  mean %.4g %.4g %.4g, deviation %.4g %.4g %.4g\n", (double)info.mean[0], (double)info.mean[1],
           (double)info.mean[2], (double)info.std[0], (double)info.std[1], (double)info.std[2]);
    print_metadata(extractor);
}

static int show_extractor(const char *path, dn_extractor *extractor, bool as_json)
{
    if (as_json)
        write_extractor_json(path, extractor);
    else
        print_extractor(path, extractor);
    return finish_output(0);
}

/* ---- flows ---- */

static int show_flow(const char *path, const dn_flow *flow, bool as_json)
{
    dn_flow_options info;

    dn_flow_options_init(&info);
    dn_status status = dn_flow_get_info(flow, &info);
    if (status != DN_OK) {
        complain_status(path, status, NULL);
        return EXIT_FAILED;
    }
    if (as_json) {
        json_writer json = {stdout, false};
        emit_open_object(&json, NULL);
        emit_text(&json, "path", path);
        emit_text(&json, "kind", "flow");
        emit_integer(&json, "bytes", file_bytes(path));
        emit_integer(&json, "dimension", info.dimension);
        emit_integer(&json, "blocks", info.blocks);
        emit_integer(&json, "hidden", info.hidden);
        emit_real(&json, "clamp", info.clamp);
        emit_unsigned(&json, "seed", info.seed);
        emit_close_object(&json);
        putchar('\n');
    } else {
        printf("file           %s: flow, %.1f MB\n", path, 1e-6 * (double)file_bytes(path));
        printf("flow           dimension %d, %d blocks, hidden width %d, clamp %g, seed %" PRIu64 "\n", info.dimension,
               info.blocks, info.hidden, info.clamp, info.seed);
    }
    return finish_output(0);
}

/* ---- the verb ---- */

static int show_extractor_or_flow(const char *path, bool as_json)
{
    dn_extractor *extractor;
    dn_flow *flow;
    dn_error error, flow_error;
    dn_status status = dn_extractor_open_path(path, NULL, &extractor, &error);

    if (status == DN_OK) {
        int code = show_extractor(path, extractor, as_json);
        dn_extractor_unref(extractor);
        return code;
    }
    if (status != DN_E_KIND) {
        complain_status(path, status, error.message);
        return EXIT_FAILED;
    }
    status = dn_flow_open_path(path, NULL, &flow, &flow_error);
    if (status != DN_OK) { /* neither: why it is no backbone tells most */
        complain_status(path, status, status == DN_E_KIND ? error.message : flow_error.message);
        return EXIT_FAILED;
    }
    int code = show_flow(path, flow, as_json);
    dn_flow_unref(flow);
    return code;
}

static int show_built_in(bool as_json)
{
    dn_extractor *extractor;
    dn_error error;
    dn_status status = dn_extractor_default(NULL, &extractor, &error);

    if (status != DN_OK) {
        complain_status(NULL, status, error.message);
        if (status == DN_E_UNSUPPORTED)
            complain("a backbone of your own is told about with: differnet info FILE");
        return EXIT_FAILED;
    }
    int code = show_extractor(NULL, extractor, as_json);
    dn_extractor_unref(extractor);
    return code;
}

static int run_info(const command_verb *verb, int argc, char **argv)
{
    bool as_json = false;
    const command_option options[] = {
        {"json", 0, OPTION_FLAG, &as_json, 0, 0, NULL, "one JSON object instead of text"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    dn_model *model;
    dn_error error;
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc == first)
        return show_built_in(as_json);
    if (argc - first != 1)
        return wrong_operands(verb, "more than one file given");
    dn_status status = dn_model_open_path(argv[first], NULL, &model, &error);
    if (status == DN_E_KIND)
        return show_extractor_or_flow(argv[first], as_json);
    if (status != DN_OK) {
        complain_status(argv[first], status, error.message);
        return EXIT_FAILED;
    }
    if (as_json)
        write_model_json(argv[first], model);
    else
        print_model(argv[first], model);
    dn_model_unref(model);
    return finish_output(0);
}

const command_verb verb_info = {
    .name = "info",
    .operands = "[FILE]",
    .summary = "tell what a model, backbone or flow file holds",
    .description = "Tells the kind of a file (model, backbone or flow) and what it holds. Without FILE: the backbone\n"
                   "that is built in, which `differnet train` uses unless another one is given.\n",
    .examples = "  differnet info parts.dnm\n"
                "  differnet info --json parts.dnm\n"
                "  differnet info alexnet.safetensors\n"
                "  differnet info\n",
    .run = run_info,
};
