/* differnet convert: a backbone file out of a PyTorch checkpoint or of safetensors. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/weights_file.h"
#include "command.h"
#include "json_writer.h"
#include "output.h"

#define MAX_FILE ((uint64_t)1 << 32)
#define MAX_LIST ((size_t)1 << 20) /* bytes of a layer list */
#define SHOWN_NAMES 8

typedef struct conversion {
    const char *input, *output;
    const char *layers, *name, *mean, *std; /* options; NULL: not given */
    bool half, as_json;
    weights_file file;
    dn_extractor *extractor; /* as it will be in the output */
    dn_blob *blob;           /* the output */
    bool *kept;              /* of each tensor of `file` */
    size_t kept_count;
} conversion;

/* ---- files ---- */

static bool read_fully(int fd, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = read(fd, bytes, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno; /* shorter than it was a moment ago */
            return false;
        }
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

/* A regular file of up to `most` bytes, with a NUL behind them.  Complains and returns NULL on failure. */
static uint8_t *read_whole_file(const char *path, uint64_t most, size_t *size)
{
    struct stat status;
    uint8_t *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &status) != 0)
        complain("%s: cannot open: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode))
        complain("%s: not a regular file", path);
    else if ((uint64_t)status.st_size > most || (uint64_t)status.st_size >= SIZE_MAX)
        complain("%s: has %lld bytes, more than the limit of %" PRIu64, path, (long long)status.st_size, most);
    else {
        *size = (size_t)status.st_size;
        bytes = need_memory(*size + 1, 1);
        if (!read_fully(fd, bytes, *size)) {
            complain("%s: cannot read: %s", path, strerror(errno));
            free(bytes);
            bytes = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return bytes;
}

static bool same_file(const char *a, const char *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* ---- options ---- */

static void set_metadata(weights_file *file, enum backbone_key key, char *string)
{
    free(file->metadata[key]);
    file->metadata[key] = string;
}

/* "0.5,0.5,0.5" as the JSON array that the metadata holds. */
static bool set_triple(weights_file *file, enum backbone_key key, const char *option, const char *given)
{
    double values[3];
    const char *at = given;
    bool good = true;

    for (int i = 0; good && i < 3; i++) {
        char *end;
        values[i] = strtod(at, &end);
        good = end != at && fabs(values[i]) <= 1e30 && *end == (i < 2 ? ',' : '\0') &&
               (key != KEY_STD || values[i] >= 1e-6);
        at = end + 1;
    }
    if (!good) {
        complain("--%s: '%s' is not three numbers%s with commas between them, such as 0.5,0.5,0.5", option, given,
                 key == KEY_STD ? " of 0.000001 and above" : "");
        return false;
    }
    set_metadata(file, key, need_text("[%.9g, %.9g, %.9g]", values[0], values[1], values[2]));
    return true;
}

static bool set_layers(weights_file *file, const char *path)
{
    size_t size;
    uint8_t *bytes = read_whole_file(path, MAX_LIST, &size);

    if (!bytes)
        return false;
    if (strlen((const char *)bytes) != size) {
        complain("%s: is no JSON text", path);
        free(bytes);
        return false;
    }
    set_metadata(file, KEY_LAYERS, (char *)bytes);
    return true;
}

/* What was asked for goes over what the file itself says. */
static bool apply_options(conversion *self)
{
    if (self->name)
        set_metadata(&self->file, KEY_NAME, need_text("%s", self->name));
    return (!self->layers || set_layers(&self->file, self->layers)) &&
           (!self->mean || set_triple(&self->file, KEY_MEAN, "mean", self->mean)) &&
           (!self->std || set_triple(&self->file, KEY_STD, "std", self->std));
}

/* ---- conversion ---- */

/* The library knows the bytes it is given as "(memory)". */
static void complain_backbone(const conversion *self, dn_status status, const char *message)
{
    static const char label[] = "(memory): ";
    bool labelled = strncmp(message, label, sizeof label - 1) == 0;

    complain_status(self->input, status, labelled ? message + sizeof label - 1 : message);
    if (status == DN_E_UNSUPPORTED && !self->file.metadata[KEY_LAYERS])
        complain("other networks than AlexNet need a layer list: --layers FILE.json, see docs/backbones.md");
}

/* The input's tensors and the options, as a network. */
static bool open_network(conversion *self)
{
    dn_error error = {0};
    size_t size;
    uint8_t *bytes = weights_pack(&self->file, MAX_FILE < SIZE_MAX ? (size_t)MAX_FILE : SIZE_MAX, &size, &error);

    if (!bytes) {
        complain_status(self->input, error.status, error.message);
        return false;
    }
    dn_status status = dn_extractor_open_memory(bytes, size, NULL, &self->extractor, &error);
    free(bytes);
    if (status != DN_OK)
        complain_backbone(self, status, error.message);
    return status == DN_OK;
}

/* Makes the output's bytes, and reads them as every user will. */
static bool make_output(conversion *self)
{
    dn_extractor *again;
    dn_error error = {0};
    dn_status status = dn_extractor_save_memory(self->extractor, self->half ? DN_STORAGE_F16 : DN_STORAGE_F32,
                                                &self->blob, &error);

    if (status == DN_OK)
        status = dn_extractor_open_memory(dn_blob_data(self->blob), dn_blob_size(self->blob), NULL, &again, &error);
    if (status != DN_OK) {
        complain_backbone(self, status, error.message);
        return false;
    }
    uint32_t id = extractor_info(self->extractor).id;
    dn_extractor_unref(self->extractor);
    self->extractor = again;
    if (self->half || extractor_info(again).id == id)
        return true;
    complain("%s: what was written is not what was read; please report this", self->output);
    return false;
}

/* Which tensors went into the output: those that it names.  AlexNet's may lack "features." in the input. */
static bool find_kept(conversion *self)
{
    weights_file written;
    dn_error error;

    self->kept = need_memory(self->file.count, sizeof *self->kept);
    bool good = weights_read(&written, dn_blob_data(self->blob), dn_blob_size(self->blob), &error);
    self->kept_count = written.count;
    for (size_t i = 0; good && i < written.count; i++) {
        const char *name = written.tensors[i].name;
        const char *bare = strncmp(name, "features.", 9) == 0 ? name + 9 : name;
        size_t place = self->file.count;
        for (size_t j = 0; j < self->file.count; j++)
            if (!strcmp(self->file.tensors[j].name, name) ||
                (place == self->file.count && !strcmp(self->file.tensors[j].name, bare)))
                place = j;
        if (place < self->file.count)
            self->kept[place] = true;
    }
    weights_free(&written);
    if (!good)
        complain_status(self->output, error.status, error.message);
    return good;
}

static bool convert(conversion *self)
{
    dn_error error;
    size_t size;
    uint8_t *bytes = read_whole_file(self->input, MAX_FILE, &size);

    if (!bytes)
        return false;
    bool good = weights_read(&self->file, bytes, size, &error);
    if (!good)
        complain_status(self->input, error.status, error.message);
    good = good && apply_options(self) && open_network(self) && make_output(self) && find_kept(self) &&
           write_whole_file(self->output, dn_blob_data(self->blob), dn_blob_size(self->blob));
    free(bytes);
    return good;
}

/* ---- report ---- */

static void write_json(const conversion *self)
{
    dn_extractor_info info = extractor_info(self->extractor);
    json_writer json = {stdout, false};
    char id[16];

    snprintf(id, sizeof id, "%08" PRIx32, info.id);
    emit_open_object(&json, NULL);
    emit_text(&json, "input", self->input);
    emit_text(&json, "format", self->file.format);
    emit_text(&json, "output", self->output);
    emit_integer(&json, "bytes", (int64_t)dn_blob_size(self->blob));
    emit_text(&json, "storage", self->half ? "float16" : "float32");
    emit_text(&json, "id", id);
    emit_text(&json, "name", info.name);
    emit_integer(&json, "layers", info.layers);
    emit_integer(&json, "parameters", info.parameters);
    emit_open_array(&json, "taps");
    for (int32_t i = 0; i < info.taps; i++)
        emit_text(&json, NULL, dn_extractor_tap_name(self->extractor, i));
    emit_close_array(&json);
    emit_integer(&json, "tensors", (int64_t)self->kept_count);
    emit_open_array(&json, "dropped");
    for (size_t i = 0; i < self->file.count; i++)
        if (!self->kept[i])
            emit_text(&json, NULL, self->file.tensors[i].name);
    emit_close_array(&json);
    emit_close_object(&json);
    putchar('\n');
}

static void print_dropped(const conversion *self)
{
    size_t dropped = 0;

    for (size_t i = 0; i < self->file.count; i++)
        dropped += !self->kept[i];
    printf("kept           %zu tensors", self->kept_count);
    if (dropped > 0)
        printf(", and not %zu that no layer uses:", dropped);
    for (size_t i = 0, shown = 0; i < self->file.count && shown < SHOWN_NAMES; i++)
        if (!self->kept[i] && ++shown)
            printf(" %s", self->file.tensors[i].name);
    printf(dropped > SHOWN_NAMES ? " ...\n" : "\n");
}

static void print_report(const conversion *self)
{
    dn_extractor_info info = extractor_info(self->extractor);

    printf("read           %s: %s\n", self->input,
           strcmp(self->file.format, "safetensors") == 0 ? "safetensors"
           : strcmp(self->file.format, "torch-zip") == 0 ? "PyTorch checkpoint, zip format"
           : strcmp(self->file.format, "torch-tar") == 0 ? "PyTorch checkpoint, tar format (before 0.1.10)"
                                                         : "PyTorch checkpoint, format before 1.6");
    printf("written        %s: backbone, %.1f MB, %s, id %08" PRIx32 "\n", self->output,
           1e-6 * (double)dn_blob_size(self->blob), self->half ? "float16" : "float32", info.id);
    printf("name           %s\n", info.name);
    printf("layers         %d, %" PRId64 " parameters\n", info.layers, info.parameters);
    printf("features from ");
    for (int32_t i = 0; i < info.taps; i++)
        printf(" %s", dn_extractor_tap_name(self->extractor, i));
    printf("\nnormalised by  mean %.4g %.4g %.4g, deviation %.4g %.4g %.4g\n", (double)info.mean[0],
           (double)info.mean[1], (double)info.mean[2], (double)info.std[0], (double)info.std[1], (double)info.std[2]);
    print_dropped(self);
}

/* ---- the verb ---- */

static int run_convert(const command_verb *verb, int argc, char **argv)
{
    conversion self = {0};
    const command_option options[] = {
        {"f16", 0, OPTION_FLAG, &self.half, 0, 0, NULL, "store float16: half the size (default: float32)"},
        {"layers", 0, OPTION_TEXT, &self.layers, 0, 0, "FILE.json",
         "layer list of a network other than AlexNet\n(default: IN's own, if it is safetensors)"},
        {"name", 0, OPTION_TEXT, &self.name, 0, 0, "TEXT", "name for display"},
        {"mean", 0, OPTION_TEXT, &self.mean, 0, 0, "R,G,B",
         "the network sees (rgb in 0..1 - mean) / std\n(default: IN's own, or ImageNet's)"},
        {"std", 0, OPTION_TEXT, &self.std, 0, 0, "R,G,B", "likewise"},
        {"json", 0, OPTION_FLAG, &self.as_json, 0, 0, NULL, "one JSON object instead of text"},
        {NULL, 0, OPTION_FLAG, NULL, 0, 0, NULL, NULL},
    };
    int code, first = parse_options(verb, options, argc, argv, &code);

    if (first < 0)
        return code;
    if (argc - first != 2)
        return wrong_operands(verb, argc - first > 2 ? "more than two files given" : "IN and OUT are needed");
    self.input = argv[first];
    self.output = argv[first + 1];
    if (same_file(self.input, self.output)) {
        complain("%s: IN and OUT are the same file; give OUT another name", self.input);
        return EXIT_FAILED;
    }
    remove_stale_output(self.output);
    code = check_output_path(self.output) && convert(&self) ? 0 : EXIT_FAILED;
    if (code == 0 && self.as_json)
        write_json(&self);
    else if (code == 0)
        print_report(&self);
    weights_free(&self.file);
    dn_extractor_unref(self.extractor);
    dn_blob_free(self.blob);
    free(self.kept);
    return code == 0 ? finish_output(0) : code;
}

const command_verb verb_convert = {
    .name = "convert",
    .operands = "IN OUT",
    .summary = "make a backbone of a PyTorch checkpoint or safetensors",
    .description = "Reads the weights of a network from a PyTorch checkpoint (torch.save, any version) or a\n"
                   "safetensors file and writes them as a backbone for `differnet train --backbone`. AlexNet is\n"
                   "recognised by torchvision's names; other sequential networks need a layer list. The pickle in\n"
                   "a checkpoint is read, never executed.\n",
    .examples = "  differnet convert alexnet-owt-7be5be79.pth alexnet.safetensors --f16\n"
                "  differnet convert mobilenet.pth mobilenet.safetensors --layers mobilenet.json --mean 0.5,0.5,0.5\n"
                "    --std 0.5,0.5,0.5\n",
    .run = run_convert,
};
