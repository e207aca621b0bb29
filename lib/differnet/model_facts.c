/* The metadata of a model file: what is known before a tensor is read (docs/format.md). */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "differnet/model_file.h"
#include "format/json.h"

const char *const model_copies_names[DN_COPIES_TURN + 1] = {
    [DN_COPIES_NONE] = "none", [DN_COPIES_SMALL] = "small", [DN_COPIES_MIRROR] = "mirror", [DN_COPIES_TURN] = "turn"};
const char *const model_fit_names[DN_FIT_LETTERBOX + 1] = {
    [DN_FIT_STRETCH] = "stretch", [DN_FIT_LETTERBOX] = "letterbox"};

/* ---- differnet.facts ---- */

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

/* Facts that not all files have. */
static dn_status read_later_facts(const st_file *file, json_value object, loaded_facts *facts, dn_error *error)
{
    enum { INTEGERS = 3 };
    static const char *const names[INTEGERS] = {"calibration", "folds", "input_height"};
    const integer_fact integers[INTEGERS] = {{&facts->model.calibration, 0, DN_CALIBRATION_CROSS},
                                             {&facts->model.folds, 0, MODEL_MAX_HOLDOUT},
                                             {&facts->input_height, 32, 2048}};
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
    TRY(read_later_facts(file, object, facts, error));
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

/* ---- the others ---- */

/* How images are laid before the network; in files that do not tell, they are stretched to one input. */
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
    while (fit <= DN_FIT_LETTERBOX && !json_text_is(values[2], model_fit_names[fit]))
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

static dn_status load_asked(const st_file *file, asked_options *asked, dn_error *error)
{
    enum { INTEGERS = 5, NAMES = INTEGERS + 1 };
    static const char *const names[NAMES] = {"calibration", "folds", "copies", "details", "duplicates", "holdout"};
    const integer_fact integers[INTEGERS] = {{&asked->calibration, DN_CALIBRATION_AUTO, DN_CALIBRATION_CROSS},
                                             {&asked->folds, 0, MODEL_MAX_FOLDS},
                                             {&asked->copies, DN_COPIES_AUTO, DN_COPIES_TURN},
                                             {&asked->details, DN_DETAILS_AUTO, DN_DETAILS_ON},
                                             {&asked->duplicates, 0, 1}};
    const char *text = st_metadata(file, "differnet.asked");
    json_value object, values[NAMES];
    size_t position;

    if (!text)
        return DN_OK;
    asked->known = json_parse(text, strlen(text), &object, &position) && json_pick(object, names, NAMES, values) &&
                   json_read_real(values[INTEGERS], &asked->holdout) && asked->holdout >= 0 &&
                   asked->holdout <= MODEL_MAX_SHARE;
    for (size_t i = 0; i < INTEGERS && asked->known; i++)
        asked->known = read_integer(file, names[i], values[i], &integers[i], NULL) == DN_OK;
    return asked->known
               ? DN_OK
               : fail(error, DN_E_FORMAT,
                      "%s: the metadata differnet.asked is no JSON object, or an option in it is missing or out "
                      "of range",
                      st_label(file));
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

dn_status model_facts_read(const st_file *file, loaded_facts *facts, dn_error *error)
{
    TRY(load_facts(file, facts, error));
    TRY(read_preset(file, &facts->model, error));
    TRY(read_copies(file, &facts->model, error));
    TRY(load_shape(file, &facts->model, error));
    TRY(load_asked(file, &facts->model.asked, error));
    return load_range(file, &facts->model.range, error);
}
