/* What the verbs of the command `differnet` share: messages, memory, time, exit codes, options. */
#ifndef DN_TOOLS_COMMAND_H
#define DN_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "differnet.h"

/* Exit codes: 0 done (score: all images normal), */
#define EXIT_ANOMALOUS 1 /* score: at least one image is anomalous */
#define EXIT_FAILED 2    /* an error */

/* ---- messages (command.c) ---- */

/* Prints "differnet: MESSAGE" to standard error, above a progress bar if one is shown. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Like complain, for a failed call of the library about `path` (NULL: none); names the file if the message does not,
 * and with the whole path where the message has a shortened one. */
void complain_status(const char *path, dn_status status, const char *message);

/* The library's message `text` with `path` whole where it stands there, shortened ("/long/pa...name.png") or not, as
 * new memory.  NULL: it does not stand there. */
char *with_whole_path(const char *text, const char *path);

/* Memory that is always there: the command ends with a message when it is not. */
void *need_memory(size_t count, size_t size);                 /* zeroed */
void *need_more_memory(void *old, size_t count, size_t size); /* realloc */
char *need_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `length`, or up to 3 bytes less: where UTF-8 text may be cut.  What is no UTF-8 may be cut anywhere. */
size_t whole_characters(const char *text, size_t length);

double seconds_now(void); /* monotonic clock */

/* A score as tables show it, in SCORE_COLUMN characters at most: "12.3456"; from 10000 on its logarithm, "e^9.21". */
#define SCORE_COLUMN 9
#define SCORE_SIZE 16
const char *score_text(char text[SCORE_SIZE], double score);

/* Writes out what was printed.  False, and so from then on, if standard output cannot be written. */
bool flush_output(void);
/* EXIT_FAILED, with a message, if standard output could not be written; else `code`. */
int finish_output(int code);

/* The texts of an image's warnings (dn_score.warnings), in one, as new memory. */
char *warning_texts(uint32_t warnings, const char *between);
/* Complains about an image that --strict makes an error of. */
void complain_unlike(const char *path, uint32_t warnings);

/* Opens a model; trusted: without reading all of it (DN_VERIFY_HEADER).  Complains and returns NULL on failure. */
dn_model *open_model(const char *path, bool trusted);
/* The model's facts; ends the command if the library cannot tell them. */
dn_model_info model_info(const dn_model *model);
dn_extractor_info extractor_info(const dn_extractor *extractor);

/* Images to score with one call: 1 .. MAX_BATCH. */
#define MAX_BATCH 16
size_t batch_images(const dn_scorer *scorer);

/* What options call DN_PRESET_..., DN_CALIBRATION_..., DN_COPIES_..., DN_DETAILS_..., DN_FIT_...; each list ends with
 * NULL. */
extern const char *const preset_names[], *const calibration_names[], *const copies_names[], *const details_names[],
                                                                                                *const fit_names[];
/* Position of a name in such a list; -1 and a complaint, which names `all`, if it is not there.  NULL: the first. */
int32_t find_name(const char *option, const char *const *names, const char *all, const char *given);

/* ---- verbs and their options (options.c) ---- */

enum option_kind { OPTION_FLAG, OPTION_INTEGER, OPTION_LARGE, OPTION_REAL, OPTION_TEXT, OPTION_TEXTS, OPTION_SEED };

/* The arguments of an option that may be given several times, in order. */
typedef struct text_list {
    const char **texts;
    size_t count;
} text_list;

typedef struct command_option {
    const char *name; /* without the dashes */
    char letter;      /* 'o' for -o as well; 0: none */
    enum option_kind kind;
    void
        *target; /* bool, int32_t, int64_t, double, const char *, text_list or uint64_t; untouched if it is not given */
    double minimum, maximum; /* OPTION_INTEGER, OPTION_LARGE, OPTION_REAL; 0, 0: the library knows the range */
    const char *argument;    /* "N" in the help; NULL for a flag */
    const char *help;        /* {}: the default, which is what `target` holds before the options are read */
} command_option;

typedef struct command_verb {
    const char *name;
    const char *operands;    /* "MODEL IMAGE..." */
    const char *summary;     /* one line */
    const char *description; /* paragraphs for --help */
    const char *examples;
    int (*run)(const struct command_verb *verb, int argc, char **argv); /* argv[0] is the verb */
} command_verb;

/* --max-pixels, which all verbs that read images have.  target: int64_t */
#define MAX_PIXELS_OPTION(target, minimum, maximum)                                                              \
    {                                                                                                            \
        "max-pixels", 0, OPTION_LARGE, (target), (minimum), (maximum), "N",                                      \
            "refuse images of more pixels before they are read;\ndefault {}; decoding may take 8 bytes for each" \
    }

/* Parses options, which may stand anywhere, and moves the operands to the end of argv.  Returns the index of the first
 * operand, or -1 when the command shall end with *code: help was asked for and printed, or an option is wrong.
 * options ends with an entry whose name is NULL. */
int parse_options(const command_verb *verb, const command_option *options, int argc, char **argv, int *code);
/* Whether an option of the verb that is running was given. */
bool option_given(const char *name);
/* Like complain_status, for a call that options were passed to: where the library names a field that one of the verb's
 * options sets, the option is named instead. */
void complain_refused(const char *path, dn_status status, const char *message);
/* Complains about operands that are missing or too many; returns EXIT_FAILED. */
int wrong_operands(const command_verb *verb, const char *what);

extern const command_verb verb_train, verb_update, verb_score, verb_localize, verb_eval, verb_calibrate, verb_compare,
    verb_info, verb_convert;

/* --fpr, --threshold and --operating-point of verbs that judge images.  rate, threshold: double, which holds NaN before;
 * point: const char * */
#define VERDICT_OPTIONS(rate, threshold, point)                                                                         \
    {"fpr", 0, OPTION_REAL, (rate), 0, 0, "P", "share of good images that may be called anomalous;\ndefault {}"},       \
        {"threshold", 0,                                                                                                \
         OPTION_REAL, (threshold),                                                                                      \
         0,           0,                                                                                                \
         "T",         "call anomalous what scores above T, instead of --fpr;\nalso where the model gives no verdicts"}, \
    {                                                                                                                   \
        "operating-point", 0, OPTION_TEXT, (point), 0, 0, "NAME",                                                       \
            "a threshold that the model holds under this name\n(differnet calibrate), instead of --fpr"                 \
    }
/* --strict.  target: bool */
#define STRICT_OPTION(target)                                                                                    \
    {                                                                                                            \
        "strict", 0, OPTION_FLAG, (target), 0, 0, NULL,                                                          \
            "an image unlike those learned from (in light, size,\ncolour, sharpness) is an error, not a warning" \
    }
/* Sees to it that verdicts go by a threshold, if one was given.  Complains and returns false if it cannot be. */
bool apply_threshold(dn_scorer *scorer, double threshold);
/* The threshold that the model holds under a name (NULL: *threshold stays).  Complains, with the names there are, and
 * returns false if there is none. */
bool find_operating_point(const char *path, const dn_model *model, const char *name, double *threshold);
/* Whether several of them were given, which complains. */
bool verdict_options_clash(void);

/* What --map says, into dn_localizer_options; complains and returns false if it is not known.  text: NULL for the
 * model's best. */
bool set_map_method(const char *text, int32_t *method);
/* The scale of the maps that a localizer of this method makes: 0 if the model holds none. */
double map_scale(const dn_model_info *info, int32_t method);

#endif
