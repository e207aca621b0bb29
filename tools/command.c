#include "command.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

void complain(const char *format, ...)
{
    va_list arguments;

    progress_clear();
    fputs("differnet: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* The library names the field that would have to be raised; here that is an option.  max_memory follows max_pixels. */
static char *with_option_names(const char *text)
{
    static const char *const fields[] = {"raise max_pixels", "raise max_memory"};

    for (int i = 0; i < 2; i++) {
        const char *found = strstr(text, fields[i]);
        if (found)
            return need_text("%.*sraise --max-pixels%s", (int)(found - text), text, found + strlen(fields[i]));
    }
    return need_text("%s", text);
}

/* Bytes that `text` ends with and `path` begins with: the longest such piece. */
static size_t shared_end(const char *text, size_t size, const char *path)
{
    size_t longest = strlen(path) < size ? strlen(path) : size;

    while (longest > 0 && memcmp(text + size - longest, path, longest) != 0)
        longest--;
    return longest;
}

char *with_whole_path(const char *text, const char *path)
{
    static const char gap[] = "...";

    if (strstr(text, path))
        return need_text("%s", text);
    for (const char *dots = strstr(text, gap); dots; dots = strstr(dots + 1, gap)) {
        size_t before = (size_t)(dots - text), head = shared_end(text, before, path), length = strlen(path);
        const char *behind = dots + sizeof gap - 1;
        for (size_t tail = length - head; head > 0 && tail > 0; tail--) {
            /* What follows a path in a message, or its end; else the piece is one of another path. */
            if (strncmp(behind, path + length - tail, tail) == 0 && strchr(": .,;)", behind[tail]))
                return need_text("%.*s%s%s", (int)(before - head), text, path, behind + tail);
        }
    }
    return NULL;
}

void complain_status(const char *path, dn_status status, const char *message)
{
    char *text = with_option_names(message && *message ? message : dn_status_string(status));
    char *whole = path ? with_whole_path(text, path) : NULL;

    if (path && !whole)
        complain("%s: %s", path, text);
    else
        complain("%s", whole ? whole : text);
    free(whole);
    free(text);
}

static void out_of_memory(void)
{
    complain("out of memory");
    exit(EXIT_FAILED);
}

void *need_memory(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory)
        out_of_memory();
    return memory;
}

void *need_more_memory(void *old, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory();
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

char *need_text(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        out_of_memory();
    char *text = need_memory((size_t)length + 1, 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

size_t whole_characters(const char *text, size_t length)
{
    size_t least = length > 3 ? length - 3 : 0, end = length;

    while (end > least && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    return end;
}

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *score_text(char text[SCORE_SIZE], double score)
{
    if (score < 9999.99995) /* what rounds to less than 10000 */
        snprintf(text, SCORE_SIZE, "%.4f", score);
    else
        snprintf(text, SCORE_SIZE, "e^%.2f", log(score));
    return text;
}

char *warning_texts(uint32_t warnings, const char *between)
{
    char *all = need_memory(1, 1);

    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        if (!(warnings & bit))
            continue;
        char *more = need_text("%s%s%s", all, *all ? between : "", dn_warning_text(bit));
        free(all);
        all = more;
    }
    return all;
}

void complain_unlike(const char *path, uint32_t warnings)
{
    char *texts = warning_texts(warnings, "; ");

    complain("%s: not judged, for --strict: %s", path, texts);
    free(texts);
}

static int output_reason; /* errno of the first failure: a later one tells less, and success nothing */

bool flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (output_reason == 0)
        output_reason = errno;
    return false;
}

int finish_output(int code)
{
    if (flush_output())
        return code;
    complain("standard output: cannot write: %s", strerror(output_reason));
    return EXIT_FAILED;
}

/* ---- models ---- */

dn_model *open_model(const char *path, bool trusted)
{
    dn_model_options options;
    dn_model *model;
    dn_error error;

    dn_model_options_init(&options);
    options.verify = trusted ? DN_VERIFY_HEADER : DN_VERIFY_FULL;
    dn_status status = dn_model_open_path(path, &options, &model, &error);

    if (status == DN_OK)
        return model;
    complain_status(path, status, error.message);
    if (status == DN_E_KIND)
        complain("`differnet info %s` tells what this file is; a model is made by `differnet train`", path);
    return NULL;
}

static void require_info(dn_status status)
{
    if (status != DN_OK) {
        complain("%s", dn_status_string(status));
        exit(EXIT_FAILED);
    }
}

const char *const preset_names[] = {
    [DN_PRESET_COMPACT] = "compact", [DN_PRESET_PAPER] = "paper", [DN_PRESET_FAST] = "fast", NULL};
const char *const calibration_names[] = {
    [DN_CALIBRATION_AUTO] = "auto", [DN_CALIBRATION_SPLIT] = "split", [DN_CALIBRATION_CROSS] = "cross", NULL};
const char *const copies_names[] = {
    [DN_COPIES_AUTO] = "auto",     [DN_COPIES_NONE] = "none", [DN_COPIES_SMALL] = "small",
    [DN_COPIES_MIRROR] = "mirror", [DN_COPIES_TURN] = "turn", NULL};
const char *const details_names[] = {
    [DN_DETAILS_AUTO] = "auto", [DN_DETAILS_OFF] = "off", [DN_DETAILS_ON] = "on", NULL};
const char *const fit_names[] = {[DN_FIT_STRETCH] = "stretch", [DN_FIT_LETTERBOX] = "letterbox", NULL};

int32_t find_name(const char *option, const char *const *names, const char *all, const char *given)
{
    int32_t found = 0;

    while (given && names[found] && strcmp(given, names[found]) != 0)
        found++;
    if (names[found])
        return found;
    complain("--%s: '%s' is not known; there are %s", option, given, all);
    return -1;
}

dn_model_info model_info(const dn_model *model)
{
    dn_model_info info;

    dn_model_info_init(&info);
    require_info(dn_model_get_info(model, &info));
    return info;
}

dn_extractor_info extractor_info(const dn_extractor *extractor)
{
    dn_extractor_info info;

    dn_extractor_info_init(&info);
    require_info(dn_extractor_get_info(extractor, &info));
    return info;
}

size_t batch_images(const dn_scorer *scorer)
{
    int32_t together = dn_scorer_batch_images(scorer);

    return together < MAX_BATCH ? (size_t)together : MAX_BATCH;
}

bool set_map_method(const char *text, int32_t *method)
{
    static const char *const names[] = {[DN_MAP_POSITIONS] = "positions", [DN_MAP_GRADIENT] = "gradient"};

    *method = DN_MAP_DEFAULT;
    for (int32_t i = DN_MAP_POSITIONS; text && i <= DN_MAP_GRADIENT; i++)
        if (strcmp(text, names[i]) == 0)
            *method = i;
    if (text && *method == DN_MAP_DEFAULT)
        complain("--map: '%s' is not known; there are positions and gradient", text);
    return !text || *method != DN_MAP_DEFAULT;
}

double map_scale(const dn_model_info *info, int32_t method)
{
    return method == DN_MAP_POSITIONS || (method == DN_MAP_DEFAULT && info->positions) ? info->positions_scale
                                                                                       : info->heatmap_scale;
}
