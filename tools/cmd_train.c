/* differnet train: good images -> model. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "processors.h"
#include "train_categories.h"
#include "train_run.h"

/* ---- options ---- */

#define NOT_GIVEN INT32_MIN

/* What was given on the command line; NOT_GIVEN or NULL: the preset's or the library's default holds. */
typedef struct train_given {
    const char *preset, *calibration, *copies, *details, *input_size, *tiles, *fit, *group_by;
    int32_t epochs, hidden, views;
    bool resume, keep_duplicates;
} train_given;

/* For the help. */
static void describe_presets(char *text, size_t size)
{
    dn_train_options presets[2];

    for (int i = 0; i < 2; i++) {
        dn_train_options_init(&presets[i]);
        if (dn_train_options_preset(&presets[i], i == 0 ? DN_PRESET_COMPACT : DN_PRESET_PAPER) != DN_OK)
            complain("the library does not know the presets of this command");
    }
    snprintf(
        text, size,
        "compact (default): a density at every position\nand a flow on pooled features, hidden width %d,\n%d epochs;\n"
        "fast: the density at every position alone,\nlearned in seconds, one view instead of many;\n"
        "paper: the flow alone, hidden width %d, %d\nepochs, as published, much slower and not for\nfew images",
        presets[0].hidden, presets[0].epochs, presets[1].hidden, presets[1].epochs);
}

/* "auto", "1", "3x2". */
static bool read_tiles(const char *text, dn_train_options *training)
{
    int columns = 0, rows = 0, length = 0;

    if (!text)
        return true;
    if (strcmp(text, "auto") != 0 && strcmp(text, "1") != 0 &&
        (sscanf(text, "%2dx%2d%n", &columns, &rows, &length) != 2 || text[length] || columns < 1 || rows < 1)) {
        complain("--tiles: '%s' is not auto, 1 or COLUMNSxROWS, for instance 3x2", text);
        return false;
    }
    training->tile_columns = strcmp(text, "1") == 0 ? 1 : columns;
    training->tile_rows = strcmp(text, "1") == 0 ? 1 : rows;
    return true;
}

/* "448", "640x448". */
static bool read_input_size(const char *text, dn_extractor_options *extracting)
{
    int width = 0, height = 0, length = 0;

    if (!text)
        return true;
    int numbers = sscanf(text, "%4dx%4d%n", &width, &height, &length);
    if (numbers == 1 && length == 0)
        sscanf(text, "%4d%n", &width, &length);
    if (numbers < 1 || text[length] || width < 1 || (numbers == 2 && height < 1)) {
        complain("--input-size: '%s' is not PIXELS or WIDTHxHEIGHT, for instance 640x448", text);
        return false;
    }
    extracting->input_size = width;
    extracting->input_height = height;
    return true;
}

static bool apply_options(train_job *job, const train_given *given)
{
    int32_t preset = find_name("preset", preset_names, "compact, fast and paper", given->preset);
    int32_t copies = find_name("copies", copies_names, "auto, none, small, mirror and turn", given->copies);
    int32_t details = find_name("details", details_names, "auto, off and on", given->details);
    int32_t calibration = find_name("calibration", calibration_names, "auto, split and cross", given->calibration);
    int32_t fit = find_name("fit", fit_names, "stretch and letterbox", given->fit);
    int32_t parts = find_name("group-by", part_rule_names, "folder, prefix and none", given->group_by);

    if (preset < 0 || copies < 0 || details < 0 || calibration < 0 || fit < 0 || parts < 0)
        return false;
    dn_status status = dn_train_options_preset(&job->training, preset);
    if (status != DN_OK) {
        complain("--preset: %s", dn_status_string(status));
        return false;
    }
    job->training.copies = copies;
    job->training.details = details;
    job->training.calibration = calibration;
    job->training.fit = fit;
    job->parts = (enum part_rule)parts;
    if (given->epochs != NOT_GIVEN)
        job->training.epochs = given->epochs;
    if (given->hidden != NOT_GIVEN)
        job->training.hidden = given->hidden;
    if (given->views != NOT_GIVEN)
        job->training.views = given->views;
    if (!read_tiles(given->tiles, &job->training) || !read_input_size(given->input_size, &job->extracting))
        return false;
    job->training.resume = given->resume;
    job->training.duplicates = !given->keep_duplicates;
    return true;
}

/* DATA is one data set. */
static int train_one(const train_job *job)
{
    trained_model trained;

    if (!check_train_output(job->output) || train_run(job, &trained) != TRAIN_DONE)
        return EXIT_FAILED;
    if (job->as_json) {
        json_writer json = {stdout, false};
        emit_open_object(&json, NULL);
        emit_trained(&json, job->output, &trained);
        emit_close_object(&json);
        putchar('\n');
    }
    report_trained(job, &trained);
    return finish_output(0);
}

static int train(train_job *job, const train_given *given)
{
    image_list categories = {0};
    int code = EXIT_FAILED;

    signal(SIGPIPE, SIG_IGN); /* messages that nobody reads any more are no reason to lose a training */
    /* All that can be refused is refused now, not after hours of work. */
    if (apply_options(job, given) && region_open(&job->region))
        code = find_categories(job, &categories) ? train_categories(job, &categories) : train_one(job);
    region_close(&job->region);
    image_list_free(&categories);
    free(job->notes.texts);
    return code;
}

/* --range LOW:HIGH or --bits N (0: not given). */
static bool set_range(dn_train_options *training, const char *range, int32_t bits)
{
    int end = 0;

    if (range && bits > 0) {
        complain("--range and --bits exclude each other: --bits 12 is --range 0:4095");
        return false;
    }
    if (bits > 0)
        training->range_high = (1 << bits) - 1;
    if (!range)
        return true;
    if (sscanf(range, "%" SCNd32 ":%" SCNd32 "%n", &training->range_low, &training->range_high, &end) == 2 &&
        range[end] == '\0' && training->range_low >= 0 && training->range_low < training->range_high &&
        training->range_high <= 65535)
        return true;
    complain("--range: '%s' is not LOW:HIGH with 0 <= LOW < HIGH <= 65535", range);
    return false;
}

static int run_train(const command_verb *verb, int argc, char **argv)
{
    train_job job = {0};
    train_given given = {.epochs = NOT_GIVEN, .hidden = NOT_GIVEN, .views = NOT_GIVEN};
    const char *range = NULL;
    int32_t bits = 0;
    char presets[512], sizes[128];
    dn_extractor_options_init(&job.extracting);
    dn_train_options_init(&job.training);
    job.training.threads = usable_processors();
    describe_presets(presets, sizeof presets);
    snprintf(sizes, sizeof sizes,
             "side of a view, a multiple of 32; for oblong parts\nWIDTHxHEIGHT, for instance 640x448; default %d",
             job.extracting.input_size);
    const command_option options[] = {
        {"output", 'o', OPTION_TEXT, &job.output, 0, 0, "MODEL",
         "file to write the model to (required); where DATA\nholds several data sets, the folder for DIR/NAME.dnm"},
        {"backbone", 0, OPTION_TEXT, &job.backbone, 0, 0, "FILE",
         "CNN weights, safetensors; default: the built-in one"},
        {"preset", 0, OPTION_TEXT, &given.preset, 0, 0, "NAME", presets},
        {"epochs", 0, OPTION_INTEGER, &given.epochs, 0, 0, "N", "default: the preset's"},
        {"recursive", 0, OPTION_FLAG, &job.recursive, 0, 0, NULL,
         "learn from all images below DATA, whatever its\nfolders are called"},
        {"images", 0, OPTION_INTEGER, &job.images, 1, 1000000000, "N",
         "learn from N of the images only, spread evenly,\ndrawn by the seed"},
        {"bank", 0, OPTION_INTEGER, &job.training.bank, 0, 0, "N",
         "rotated views of each image whose features are\ncomputed once and drawn from; default {};\n"
         "0: fresh views for each step, much slower"},
        {"views", 0, OPTION_INTEGER, &given.views, 0, 0, "N",
         "views per image the model scores with by default;\ndefault: the preset's"},
        {"holdout", 0, OPTION_REAL, &job.training.holdout, 0, 0, "SHARE",
         "share of the images kept out of the flow's training\nto tell p-values from; default {}"},
        {"calibration", 0, OPTION_TEXT, &given.calibration, 0, 0, "WAY",
         "good images behind the p-values: split (those that\nare held out), cross (all: flows trained without a\n"
         "part of them judge it) or auto, the default: cross\nwhere --holdout would leave too few"},
        {"folds", 0, OPTION_INTEGER, &job.training.folds, 0, 0, "N",
         "parts of cross-fitting; default 0: 5 for the flow;\nfor the positions 20, up to 40 images one for each"},
        {"copies", 0, OPTION_TEXT, &given.copies, 0, 0, "NAME",
         "moved copies of the images that the positions learn:\nnone, small (a few degrees, a small shift), mirror,\n"
         "turn (any angle); default: auto, what makes images\nthat were kept out likeliest"},
        {"details", 0, OPTION_TEXT, &given.details, 0, 0, "WHETHER",
         "a second density on a finer grid, for what is small:\non, off, or auto, the default: on where the parts lie\n"
         "in a fixed pose"},
        {"group-by", 0, OPTION_TEXT, &given.group_by, 0, 0, "RULE",
         "images that show one part: those of a folder, those\nwhose names have the same prefix before a number, or\n"
         "none, the default; duplicates are found in any case"},
        {"keep-duplicates", 0, OPTION_FLAG, &given.keep_duplicates, 0, 0, NULL,
         "images that hardly differ show different parts:\nnone is taken for a shot of another one"},
        {"input-size", 0, OPTION_TEXT, &given.input_size, 0, 0, "PIXELS", sizes},
        {"tiles", 0, OPTION_TEXT, &given.tiles, 0, 0, "TILES",
         "what the density at every position cuts an image\ninto, each as large as the input: COLUMNSxROWS, for\n"
         "instance 3x2; auto: as the first image's size\nasks for, 6 at most; default 1: the whole image"},
        {"fit", 0, OPTION_TEXT, &given.fit, 0, 0, "HOW", "stretch (default), or letterbox: images keep their\naspect"},
        {"scales", 0, OPTION_INTEGER, &job.extracting.scales, 0, 0, "N", "sizes each view is seen at; default {}"},
        {"hidden", 0, OPTION_INTEGER, &given.hidden, 0, 0, "N", "width of the flow's nets; default: the preset's"},
        {"note", 0, OPTION_TEXTS, &job.notes, 0, 0, "KEY=VALUE",
         "written into the model, for differnet info to show;\nmay be given several times"},
        {"range", 0, OPTION_TEXT, &range, 0, 0, "LOW:HIGH",
         "values of 16-bit images that are black and white,\nfor scoring too; default: 0:65535"},
        {"bits", 0, OPTION_INTEGER, &bits, 8, 16, "N", "of the values in 16-bit images: 12 is --range 0:4095"},
        REGION_OPTIONS(&job.region),
        {"seed", 0, OPTION_SEED, &job.training.seed, 0, 0, "S", "of all that is random; default {}"},
        MAX_PIXELS_OPTION(&job.training.max_pixels, 0, 0),
        {"threads", 0, OPTION_INTEGER, &job.training.threads, 0, 0, "N",
         "default: usable processors: {}; any number gives\nthe same model"},
        {"resume", 0, OPTION_FLAG, &given.resume, 0, 0, NULL, "go on where an interrupted run stopped (MODEL.ckpt)"},
        {"f16", 0, OPTION_FLAG, &job.half, 0, 0, NULL, "store weights as float16: half the size"},
        {"quiet", 0, OPTION_FLAG, &job.quiet, 0, 0, NULL, "errors and warnings only"},
        {"json", 0, OPTION_FLAG, &job.as_json, 0, 0, NULL, "one JSON object at the end"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first != 1)
        return wrong_operands(verb, argc == first ? "no folder of images given" : "more than one folder given");
    if (!job.output)
        return wrong_operands(verb, "-o MODEL is missing");
    /* The positions, which the other presets learn, have folds in any case. */
    if (option_given("folds") && given.preset && strcmp(given.preset, "paper") == 0 && given.calibration &&
        strcmp(given.calibration, "split") == 0)
        return wrong_operands(verb, "--folds has no effect with --preset paper and --calibration split");
    if (!set_range(&job.training, range, bits))
        return EXIT_FAILED;
    job.data = argv[first];
    picture_set_limit(job.training.max_pixels);
    return train(&job, &given);
}

const command_verb verb_train = {
    .name = "train",
    .operands = "DATA",
    .summary = "learn from good images",
    .description = "Learns from good images what normal looks like and writes a model. DATA is a folder with\n"
                   "train/good or good in it (ok and normal mean the same), or a folder of good images. Where DATA\n"
                   "holds several such folders (bottle/train/good, cable/train/good, ...), -o names a folder, and\n"
                   "each gets a model there, DIR/bottle.dnm. One that fails does not stop the others; --resume\n"
                   "leaves alone those whose model is there already.\n\n"
                   "Ctrl-C stops and keeps the state in MODEL.ckpt and MODEL.ckpt.bank; --resume goes on from there\n"
                   "and gives the same model. Both files are removed at the end.\n\n"
                   "exit code: 0 done, 2 an error or interrupted.\n",
    .examples = "  differnet train parts -o parts.dnm\n"
                "  differnet train photos/good -o parts.dnm --backbone alexnet.safetensors --threads 4\n"
                "  differnet train parts -o small.dnm --images 16 --seed 1\n"
                "  differnet train parts -o parts.dnm --resume\n"
                "  differnet train mvtec -o models/ --preset fast\n",
    .run = run_train,
};
