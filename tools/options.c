#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define MAX_OPTIONS 40
#define HELP_COLUMN 24

/* The options of the verb that is running. */
static const command_option *verb_options;
static bool verb_given[MAX_OPTIONS]; /* which of them stood on the command line */

static void print_default(const command_option *option)
{
    switch (option->kind) {
    case OPTION_INTEGER:
        printf("%" PRId32, *(const int32_t *)option->target);
        break;
    case OPTION_LARGE:
        printf("%" PRId64, *(const int64_t *)option->target);
        break;
    case OPTION_REAL:
        printf("%g", *(const double *)option->target);
        break;
    case OPTION_SEED:
        printf("%" PRIu64, *(const uint64_t *)option->target);
        break;
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_TEXTS:
        break;
    }
}

static void print_option_help(const command_option *option)
{
    for (const char *text = option->help; *text; text++) {
        if (strncmp(text, "{}", 2) == 0) {
            print_default(option);
            text++;
            continue;
        }
        putchar(*text);
        if (*text == '\n')
            printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

static void print_help(const command_verb *verb, const command_option *options)
{
    printf("usage: differnet %s %s [OPTION...]\n\n%s\n", verb->name, verb->operands, verb->description);
    printf("options:\n");
    for (const command_option *option = options; option->name; option++) {
        char letter[8] = "", left[64];
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        printf("%-*s", HELP_COLUMN, left);
        if (strlen(left) >= HELP_COLUMN)
            printf("\n%*s", HELP_COLUMN, "");
        print_option_help(option);
    }
    printf("%-*sthis help\n\nexamples:\n%s", HELP_COLUMN, "  -h, --help", verb->examples);
}

static int option_error(const command_verb *verb)
{
    complain("see `differnet %s --help`", verb->name);
    return EXIT_FAILED;
}

int wrong_operands(const command_verb *verb, const char *what)
{
    complain("%s: %s; usage: differnet %s %s [OPTION...]", verb->name, what, verb->name, verb->operands);
    return option_error(verb);
}

/* Otherwise the library refuses what is out of range. */
static bool has_range(const command_option *option)
{
    return option->minimum < option->maximum;
}

static bool set_integer(const command_option *option, const char *text)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool fits = option->kind == OPTION_LARGE || (value >= INT32_MIN && value <= INT32_MAX);
    if (end == text || *end || errno || !fits) {
        complain("--%s: '%s' is not a whole number, or too large for one", option->name, text);
        return false;
    }
    if (has_range(option) && ((double)value < option->minimum || (double)value > option->maximum)) {
        complain("--%s is %lld, outside %.0f .. %.0f", option->name, value, option->minimum, option->maximum);
        return false;
    }
    if (option->kind == OPTION_LARGE)
        *(int64_t *)option->target = value;
    else
        *(int32_t *)option->target = (int32_t)value;
    return true;
}

static bool set_real(const command_option *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value)) {
        complain("--%s: '%s' is not a finite number", option->name, text);
        return false;
    }
    if (has_range(option) && (value < option->minimum || value > option->maximum)) {
        complain("--%s is %g, outside %g .. %g", option->name, value, option->minimum, option->maximum);
        return false;
    }
    *(double *)option->target = value;
    return true;
}

static bool set_seed(const command_option *option, const char *text)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || strchr(text, '-')) {
        complain("--%s: '%s' is not a whole number from 0 to 18446744073709551615", option->name, text);
        return false;
    }
    *(uint64_t *)option->target = value;
    return true;
}

static void add_text(text_list *list, const char *text)
{
    list->texts = need_more_memory(list->texts, list->count + 1, sizeof *list->texts);
    list->texts[list->count++] = text;
}

static bool set_option(const command_option *option, const char *text)
{
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        return true;
    case OPTION_INTEGER:
    case OPTION_LARGE:
        return set_integer(option, text);
    case OPTION_REAL:
        return set_real(option, text);
    case OPTION_SEED:
        return set_seed(option, text);
    case OPTION_TEXTS:
        add_text(option->target, text);
        return true;
    case OPTION_TEXT:
        break;
    }
    *(const char **)option->target = text;
    return true;
}

/* Our own table in getopt_long's terms.  An option's value is 1000 + its index, with or without a letter. */
static int fill_tables(const command_option *options, struct option *table, char *letters)
{
    int count = 0;

    *letters++ = ':'; /* a missing argument is told from an unknown option */
    for (; options[count].name && count < MAX_OPTIONS; count++) {
        bool takes = options[count].kind != OPTION_FLAG;
        table[count] = (struct option){options[count].name, takes ? required_argument : no_argument, NULL,
                                       1000 + count};
        if (options[count].letter) {
            *letters++ = options[count].letter;
            if (takes)
                *letters++ = ':';
        }
    }
    *letters++ = 'h';
    *letters = '\0';
    table[count] = (struct option){"help", no_argument, NULL, 'h'};
    table[count + 1] = (struct option){NULL, 0, NULL, 0};
    return count;
}

static const command_option *find_option(const command_option *options, int count, int value)
{
    for (int i = 0; i < count; i++) {
        if (value == 1000 + i || (value == options[i].letter && value != 0))
            return &options[i];
    }
    return NULL;
}

static int report_bad_option(const command_verb *verb, int kind, char **argv)
{
    /* For a letter, optind may point at its own group still; for a word it is past it. */
    if (optopt > 0 && optopt < 256)
        complain("%s: %s -%c", verb->name, kind == ':' ? "an argument is missing after" : "unknown option", optopt);
    else
        complain("%s: %s %s", verb->name,
                 kind == ':' ? "an argument is missing after" : "unknown, ambiguous or misused option",
                 argv[optind - 1]);
    return option_error(verb);
}

/* Whether help is asked for, before any default has changed.  What is wrong is left to the reading proper. */
static bool asks_for_help(int argc, char **argv, const char *letters, const struct option *table)
{
    int value;

    optind = 0; /* begins anew */
    while ((value = getopt_long(argc, argv, letters, table, NULL)) != -1 && value != '?' && value != ':') {
        if (value == 'h')
            return true;
    }
    return false;
}

int parse_options(const command_verb *verb, const command_option *options, int argc, char **argv, int *code)
{
    struct option table[MAX_OPTIONS + 2];
    char letters[2 * MAX_OPTIONS + 4];
    int count = fill_tables(options, table, letters), value;

    verb_options = options;
    opterr = 0;
    if (asks_for_help(argc, argv, letters, table)) {
        print_help(verb, options);
        *code = finish_output(0);
        return -1;
    }
    optind = 0;
    while ((value = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        const command_option *option = find_option(options, count, value);
        if (!option) {
            *code = report_bad_option(verb, value, argv);
            return -1;
        }
        if (!set_option(option, optarg)) {
            *code = option_error(verb);
            return -1;
        }
        verb_given[option - options] = true;
    }
    return optind;
}

bool option_given(const char *name)
{
    for (int i = 0; verb_options[i].name; i++) {
        if (strcmp(verb_options[i].name, name) == 0)
            return verb_given[i];
    }
    return false;
}

/* ---- the library's names ---- */

static bool verb_has(const char *name)
{
    for (const command_option *option = verb_options; option && option->name; option++) {
        if (strcmp(option->name, name) == 0)
            return true;
    }
    return false;
}

/* The name of an option in the library's spelling is its field's. */
static const char *option_spelled(const char *field)
{
    for (const command_option *option = verb_options; option && option->name; option++) {
        const char *a = option->name, *b = field;
        while (*a && (*a == *b || (*a == '-' && *b == '_'))) {
            a++;
            b++;
        }
        if (*a == *b)
            return option->name;
    }
    return NULL;
}

/* The verb's option that sets a field; NULL if none does.  owner: the struct's name, or "". */
static const char *option_of_field(const char *owner, const char *field)
{
    static const struct {
        const char *owner, *field, *option;
    } others[] = {
        {"dn_scorer_options", "false_alarm_rate", "fpr"},
        {"", "false_alarm_rate", "fpr"},
        {"dn_extractor_options", "input_height", "input-size"},
        {"dn_monitor_options", "images_between_alarms", "between-alarms"},
        {"dn_localizer_options", "views", "map-views"}, /* eval, whose --views are the scorer's */
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(owner, others[i].owner) == 0 && strcmp(field, others[i].field) == 0 && verb_has(others[i].option))
            return others[i].option;
    }
    return option_spelled(field);
}

/* "dn_train_options: bank is -1, ..." is "--bank is -1, ..." for who gave the option.  False: it is about no option. */
static bool complain_of_option(const char *text)
{
    char owner[40] = "", field[40];
    int length = 0;

    if (sscanf(text, "dn_%*[a-z_]: %n", &length) == 0 && length > 0)
        snprintf(owner, sizeof owner, "%.*s", length - 2, text);
    if (sscanf(text + length, "%39[a-z_]", field) != 1 || strncmp(text + length + strlen(field), " is ", 4) != 0)
        return false;
    const char *option = option_of_field(owner, field);
    if (option)
        complain("--%s%s", option, text + length + strlen(field));
    return option != NULL;
}

void complain_refused(const char *path, dn_status status, const char *message)
{
    if (status != DN_E_ARGUMENT || !complain_of_option(message))
        complain_status(path, status, message);
}

/* ---- options of several verbs ---- */

bool verdict_options_clash(void)
{
    static const char *const names[] = {"fpr", "threshold", "operating-point"};
    const char *given = NULL;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!option_given(names[i]))
            continue;
        if (given) {
            complain("--%s and --%s exclude each other: a verdict goes by the one or by the other", given, names[i]);
            return true;
        }
        given = names[i];
    }
    return false;
}

bool find_operating_point(const char *path, const dn_model *model, const char *name, double *threshold)
{
    char *names = need_text("%s", "");
    const char *there;
    double value;

    for (int32_t i = 0; name && (there = dn_model_operating_point(model, i, &value)); i++) {
        if (strcmp(there, name) == 0) {
            *threshold = value;
            free(names);
            return true;
        }
        char *longer = need_text("%s%s%s", names, i > 0 ? ", " : "", there);
        free(names);
        names = longer;
    }
    if (name && *names)
        complain("%s: the model has no operating point '%s'; there are %s", path, name, names);
    else if (name)
        complain("%s: the model has no operating points, so none called '%s'; `differnet calibrate` makes them", path,
                 name);
    free(names);
    return name == NULL;
}

bool apply_threshold(dn_scorer *scorer, double threshold)
{
    if (isnan(threshold))
        return true;
    dn_status status = dn_scorer_set_threshold(scorer, threshold);
    if (status != DN_OK)
        complain_refused(NULL, status, dn_scorer_error(scorer)->message);
    return status == DN_OK;
}
