#include "differnet/seen.h"

#include <math.h>
#include <stddef.h>

#include "base/status.h"

#define GRAY 0.004     /* colour up to which an image is gray: one step of 8 bits */
#define IN_COLOUR 0.02 /* from which on it is in colour */
#define LEAST_MARGIN 0.15
#define MARGIN_SHARE 0.25

void seen_add(seen_images *seen, const double traits[DN_TRAITS])
{
    for (int t = 0; t < DN_TRAITS; t++) {
        seen->low[t] = seen->images > 0 ? fmin(seen->low[t], traits[t]) : traits[t];
        seen->high[t] = seen->images > 0 ? fmax(seen->high[t], traits[t]) : traits[t];
    }
    seen->images++;
}

/* ---- files ---- */

void seen_to_tensors(const seen_images *seen, st_writer *writer)
{
    const int64_t one = 1, traits = DN_TRAITS;

    st_writer_tensor(writer, "seen.images", ST_F64, ST_F64, 1, &one, &seen->images);
    st_writer_tensor(writer, "seen.low", ST_F64, ST_F64, 1, &traits, seen->low);
    st_writer_tensor(writer, "seen.high", ST_F64, ST_F64, 1, &traits, seen->high);
}

static dn_status read_doubles(const st_file *file, const char *name, int64_t count, double *out, dn_error *error)
{
    const st_tensor *tensor;

    TRY(st_require(file, name, 1, &count, &tensor, error));
    return st_read_f64(file, tensor, out, error); /* finite ones */
}

/* Whether the numbers can be those of images. */
static _Bool is_possible(const seen_images *seen)
{
    for (int t = 0; t < DN_TRAITS; t++)
        if (seen->low[t] < 0 || seen->low[t] > seen->high[t])
            return 0;
    return seen->images >= 1 && seen->images <= INT32_MAX && seen->images == floor(seen->images);
}

dn_status seen_from_tensors(const st_file *file, seen_images *seen, dn_error *error)
{
    *seen = (seen_images){.images = 0};
    if (!st_find(file, "seen.images"))
        return DN_OK;
    TRY(read_doubles(file, "seen.images", 1, &seen->images, error));
    TRY(read_doubles(file, "seen.low", DN_TRAITS, seen->low, error));
    TRY(read_doubles(file, "seen.high", DN_TRAITS, seen->high, error));
    if (!is_possible(seen))
        return fail(error, DN_E_FORMAT, "%s: the tensors seen.images, seen.low and seen.high: not those of images",
                    st_label(file));
    return DN_OK;
}

/* ---- comparing ---- */

/* Traits that are compared by their logarithms, with a least value that has one. */
static const struct {
    int trait;
    double least;
    uint32_t below, above;
} compared[] = {
    {DN_TRAIT_BRIGHTNESS, 1e-3, DN_WARN_DARK, DN_WARN_BRIGHT},
    {DN_TRAIT_CONTRAST, 1e-3, DN_WARN_FLAT, DN_WARN_CONTRAST},
    {DN_TRAIT_SHARPNESS, 1e-3, DN_WARN_BLURRED, DN_WARN_SHARP},
    {DN_TRAIT_SIZE, 1e-3, DN_WARN_SMALL, DN_WARN_LARGE},
    {DN_TRAIT_SHAPE, 1e-9, DN_WARN_NARROW, DN_WARN_WIDE},
};

static uint32_t compare(const seen_images *seen, size_t c, double value)
{
    double least = compared[c].least, images = seen->images;
    double low = log(fmax(seen->low[compared[c].trait], least)), high = log(fmax(seen->high[compared[c].trait], least));
    double margin = fmax(LEAST_MARGIN + 1 / images, (MARGIN_SHARE + 8 / images) * (high - low));
    double own = log(fmax(value, least));

    return own < low - margin ? compared[c].below : own > high + margin ? compared[c].above : 0;
}

uint32_t seen_warnings(const seen_images *seen, const double traits[DN_TRAITS])
{
    uint32_t warnings = 0;

    if (seen->images < 1)
        return 0;
    if (traits[DN_TRAIT_COLOUR] <= GRAY && seen->low[DN_TRAIT_COLOUR] >= IN_COLOUR)
        warnings |= DN_WARN_GRAY;
    if (traits[DN_TRAIT_COLOUR] >= IN_COLOUR && seen->high[DN_TRAIT_COLOUR] <= GRAY)
        warnings |= DN_WARN_COLOUR;
    if (traits[DN_TRAIT_BITS] < seen->low[DN_TRAIT_BITS])
        warnings |= DN_WARN_8_BIT;
    if (traits[DN_TRAIT_BITS] > seen->high[DN_TRAIT_BITS])
        warnings |= DN_WARN_16_BIT;
    for (size_t c = 0; c < sizeof compared / sizeof *compared; c++)
        warnings |= compare(seen, c, traits[compared[c].trait]);
    return warnings;
}

const char *warning_text(uint32_t warning)
{
    static const struct {
        uint32_t warning;
        const char *text;
    } texts[] = {
        {DN_WARN_GRAY, "gray image, the model learned from colour"},
        {DN_WARN_COLOUR, "image in colour, the model learned from gray"},
        {DN_WARN_8_BIT, "8-bit image, the model learned from 16 bits"},
        {DN_WARN_16_BIT, "16-bit image, the model learned from 8 bits"},
        {DN_WARN_DARK, "darker than all images learned from"},
        {DN_WARN_BRIGHT, "brighter than all images learned from"},
        {DN_WARN_FLAT, "less contrast than all images learned from"},
        {DN_WARN_CONTRAST, "more contrast than all images learned from"},
        {DN_WARN_BLURRED, "less sharp than all images learned from"},
        {DN_WARN_SHARP, "sharper or noisier than all images learned from"},
        {DN_WARN_SMALL, "fewer pixels than all images learned from"},
        {DN_WARN_LARGE, "more pixels than all images learned from"},
        {DN_WARN_NARROW, "narrower, for its height, than all images learned from"},
        {DN_WARN_WIDE, "wider, for its height, than all images learned from"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].warning == warning)
            return texts[i].text;
    return NULL;
}
