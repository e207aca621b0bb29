/* differnet localize: heat maps, overlays and boxes of defects. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "json_writer.h"
#include "memory_stream.h"
#include "output.h"
#include "picture.h"
#include "processors.h"
#include "progress.h"
#include "region.h"
#include "result_names.h"

#define MAX_BOXES 256

typedef struct localize_job {
    const char *folder;
    double threshold, rate; /* of the map, or of false alarms; NaN: not given */
    dn_box_options boxes;
    bool as_json, quiet, trusted;
    const dn_model *model;
    region region;
    char **operands;  /* NULL behind the last */
    image_list stems; /* NAME of the files written for each image, with folders before it */
} localize_job;

static void write_boxes(FILE *file, const char *path, const mapped_image *picture, double threshold,
                        const dn_box *boxes, int32_t count)
{
    json_writer json = {file, false};

    emit_open_object(&json, NULL);
    emit_text(&json, "path", path);
    emit_integer(&json, "width", picture->view.width);
    emit_integer(&json, "height", picture->view.height);
    emit_real(&json, "threshold", threshold);
    emit_single(&json, "peak", picture_peak(picture));
    emit_open_array(&json, "boxes");
    for (int32_t i = 0; i < count; i++) {
        emit_open_object(&json, NULL);
        emit_integer(&json, "x", boxes[i].x);
        emit_integer(&json, "y", boxes[i].y);
        emit_integer(&json, "width", boxes[i].width);
        emit_integer(&json, "height", boxes[i].height);
        emit_single(&json, "peak", boxes[i].peak);
        emit_integer(&json, "area", boxes[i].area);
        emit_single(&json, "mean", boxes[i].mean);
        emit_open_array(&json, "centroid");
        emit_single(&json, NULL, boxes[i].centroid_x);
        emit_single(&json, NULL, boxes[i].centroid_y);
        emit_close_array(&json);
        emit_close_object(&json);
    }
    emit_close_array(&json);
    emit_close_object(&json);
    fputc('\n', file);
}

static bool write_boxes_file(const char *output, const char *path, const mapped_image *picture, double threshold,
                             const dn_box *boxes, int32_t count)
{
    memory_stream memory;
    FILE *file = memory_stream_open(&memory);
    bool written = false;

    if (file)
        write_boxes(file, path, picture, threshold, boxes, count);
    if (file && memory_stream_close(&memory, file))
        written = write_whole_file(output, memory.text, memory.size);
    else
        complain("%s: out of memory", output);
    free(memory.text);
    return written;
}

static bool write_picture(const dn_pixels *view, const char *output)
{
    dn_error error;
    dn_status status = dn_image_write_png(view, output, &error);

    if (status != DN_OK)
        complain_status(output, status, error.message);
    return status == DN_OK;
}

/* DIR/NAME_overlay.png, DIR/NAME_map.png */
static bool write_pictures(const localize_job *job, const char *path, const char *stem, const mapped_image *picture,
                           const dn_box *boxes, int32_t count)
{
    uint8_t *rgb = picture_overlay(picture, job->model, path);
    uint16_t *gray = picture_map16(picture);
    char *overlay = need_text("%s/%s_overlay.png", job->folder, stem);
    char *map = need_text("%s/%s_map.png", job->folder, stem);
    int32_t width = picture->view.width, height = picture->view.height;

    if (rgb)
        region_darken(&job->region, rgb, width, height);
    for (int32_t i = 0; rgb && i < count; i++)
        picture_draw_box(picture, &boxes[i], rgb);
    bool written = rgb && write_picture(&(dn_pixels){rgb, width, height, 0, DN_RGB8, 0}, overlay) &&
                   write_picture(&(dn_pixels){gray, width, height, 0, DN_GRAY16, 0}, map);

    free(map);
    free(overlay);
    free(gray);
    free(rgb);
    return written;
}

static bool localize_one(const localize_job *job, dn_localizer *localizer, const char *path, const char *stem)
{
    mapped_image picture;
    dn_box boxes[MAX_BOXES];
    int32_t count;

    if (!picture_open(&picture, path))
        return false;
    bool done = picture_localize(&picture, path, localizer);
    if (done) {
        dn_status status = dn_localizer_find_boxes(localizer, picture.map, picture.view.width, picture.view.height,
                                                   &job->boxes, boxes, MAX_BOXES, &count);
        if (status != DN_OK)
            complain_status(path, status, dn_localizer_error(localizer)->message);
        done = status == DN_OK;
    }
    char *output = need_text("%s/%s_boxes.json", job->folder, stem);
    done = done && write_pictures(job, path, stem, &picture, boxes, count) &&
           write_boxes_file(output, path, &picture, job->threshold, boxes, count);
    if (done && job->as_json) {
        write_boxes(stdout, path, &picture, job->threshold, boxes, count);
        flush_output();
    } else if (done && !job->quiet) {
        progress_clear();
        printf("%s: %d region%s -> %s/%s_overlay.png\n", path, count, count == 1 ? "" : "s", job->folder, stem);
        flush_output();
    }
    free(output);
    picture_close(&picture);
    return done;
}

static int localize_images(const localize_job *job, dn_localizer *localizer, const image_list *images)
{
    size_t failed = 0;
    progress_bar bar;

    progress_begin(&bar, job->quiet, "localizing", "images", 0);
    for (size_t i = 0; i < images->count; i++) {
        failed += !localize_one(job, localizer, images->paths[i], job->stems.paths[i]);
        progress_update(&bar, (int64_t)i + 1, (int64_t)images->count, NULL);
    }
    progress_end(&bar, (int64_t)(images->count - failed), (int64_t)images->count, NULL);
    if (failed > 0)
        complain("%zu of %zu images could not be done", failed, images->count);
    return finish_output(failed > 0 ? EXIT_FAILED : 0);
}

/* The threshold of boxes: given, or the one that keeps a rate of false alarms. */
static bool set_box_threshold(localize_job *job, dn_localizer *localizer, const char *model_path)
{
    double kept = job->rate;
    dn_status status = DN_OK;

    job->boxes.threshold = (float)job->threshold;
    if (!isnan(job->rate))
        status = dn_localizer_threshold(localizer, job->rate, &job->boxes.threshold, &kept);
    job->threshold = (double)job->boxes.threshold;
    if (status != DN_OK)
        complain_refused(model_path, status, dn_localizer_error(localizer)->message);
    else if (kept > job->rate)
        complain(
            "the smallest share of good images with boxes that the model can promise is %.3g: boxes keep that one, "
            "not %g",
            kept, job->rate);
    return status == DN_OK;
}

static void warn_of_results(const localize_job *job)
{
    for (char **operand = job->operands; *operand; operand++) {
        if (!is_searched(job->folder, *operand))
            continue;
        complain("WARNING: the results in %s lie in the folder of images %s, and would be taken for images the next "
                 "time",
                 job->folder, *operand);
        return;
    }
}

/* What can be told before the work begins.  False, with a message, if the results cannot be written. */
static bool prepare_results(const localize_job *job, const image_list *images)
{
    static const char *const ends[] = {"_overlay.png", "_boxes.json", "_map.png", NULL};
    const char *mask = job->region.mask ? job->region.mask : job->region.ignore;

    if (!results_spare(job->folder, &job->stems, ends, images, mask) ||
        !prepare_folders(job->folder, &job->stems, ends))
        return false;
    warn_of_results(job);
    return true;
}

static int localize_with(const char *model_path, const dn_localizer_options *options, localize_job *job,
                         const image_list *images)
{
    dn_localizer *localizer;
    dn_error error;
    dn_model *model = open_model(model_path, job->trusted);

    if (!model)
        return EXIT_FAILED;
    job->model = model;
    dn_status status = dn_localizer_create(model, options, &localizer, &error);
    if (status != DN_OK) {
        complain_refused(model_path, status, error.message);
        dn_model_unref(model);
        return EXIT_FAILED;
    }
    dn_model_info info = model_info(model);
    if (!(map_scale(&info, options->method) > 0))
        complain("%s: the model holds no heat-map scale: map values are not comparable, and the threshold of %g means "
                 "nothing in particular",
                 model_path, job->threshold);
    int code = EXIT_FAILED;
    if (region_apply_localizer(&job->region, localizer) && set_box_threshold(job, localizer, model_path) &&
        prepare_results(job, images))
        code = localize_images(job, localizer, images);
    dn_localizer_free(localizer);
    dn_model_unref(model);
    return code;
}

static int run_localize(const command_verb *verb, int argc, char **argv)
{
    localize_job job = {.threshold = 1, .rate = (double)NAN};
    const char *method = NULL;
    int64_t max_pixels = picture_limit();
    dn_localizer_options localizing;
    dn_localizer_options_init(&localizing);
    localizing.threads = usable_processors();
    dn_box_options_init(&job.boxes);
    const command_option options[] = {
        {"output", 'o', OPTION_TEXT, &job.folder, 0, 0, "DIR",
         "folder for the results (required);\nmade if it is not there"},
        {"views", 0, OPTION_INTEGER, &localizing.views, 0, 0, "N",
         "rotated views per image of a gradient's map;\ndefault {}"},
        {"map", 0, OPTION_TEXT, &method, 0, 0, "METHOD",
         "positions: of the density at every position;\ngradient: of the flow, the paper's, much slower;\n"
         "default: the former where the model has it"},
        {"threshold", 0, OPTION_REAL, &job.threshold, 1e-6, 1e6, "T",
         "map value from which on a region counts; default {},\nthe most that good images show"},
        {"fpr", 0, OPTION_REAL, &job.rate, 0, 0, "P",
         "instead: the map value at which such a share of good\nimages has a box at all"},
        {"min-area", 0, OPTION_INTEGER, &job.boxes.min_area, 1, INT32_MAX, "PIXELS",
         "leave smaller regions out; default {}"},
        {"gap", 0, OPTION_INTEGER, &job.boxes.gap, 0, 256, "PIXELS",
         "regions with so few pixels between them are one;\ndefault {}"},
        REGION_OPTIONS(&job.region),
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "print each image's boxes, one JSON object per line"},
        {"no-verify", 0, OPTION_FLAG, &job.trusted, 0, 0, NULL,
         "trust the model: skip its checksum, which takes as\nlong as reading the file"},
        MAX_PIXELS_OPTION(&max_pixels, 1, (double)INT64_MAX),
        {"threads", 0, OPTION_INTEGER, &localizing.threads, 0, 0, "N", "default: usable processors: {}"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    image_list images = {0};
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first < 2)
        return wrong_operands(verb, argc == first ? "no model given" : "no images given");
    if (!job.folder)
        return wrong_operands(verb, "-o DIR is missing");
    if (option_given("fpr") && option_given("threshold"))
        return wrong_operands(verb, "--fpr and --threshold exclude each other");
    if (!set_map_method(method, &localizing.method))
        return EXIT_FAILED;
    picture_set_limit(max_pixels);
    bool listed = true;
    job.operands = argv + first + 1;
    for (int i = first + 1; i < argc; i++)
        listed = list_named_operand(argv[i], &images, &job.stems) && listed;
    settle_names(&images, &job.stems);
    code = EXIT_FAILED;
    if (images.count > 0 && region_open(&job.region))
        code = localize_with(argv[first], &localizing, &job, &images);
    region_close(&job.region);
    image_list_free(&job.stems);
    image_list_free(&images);
    return listed ? code : EXIT_FAILED;
}

const command_verb verb_localize = {
    .name = "localize",
    .operands = "MODEL IMAGE...",
    .summary = "show where images are anomalous",
    .description = "Writes for each image NAME.png into DIR:\n"
                   "  NAME_overlay.png  the image with the heat map drawn over it\n"
                   "  NAME_map.png      the heat map, 16-bit gray: 4096 is the most that good images show\n"
                   "  NAME_boxes.json   regions above the threshold, in the image's pixels\n"
                   "A folder stands for all images in it; the folders inside it are made in DIR too.\n\n"
                   "exit code: 0 done, 2 an error.\n",
    .examples = "  differnet localize parts.dnm new/part1.png -o maps\n"
                "  differnet localize parts.dnm new/ -o maps --views 32 --json > boxes.jsonl\n",
    .run = run_localize,
};
