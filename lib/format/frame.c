/* What every file of this library's own says about itself: the version of its format, and the checksums of its
 * header and its data. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "format/safetensors.h"

_Bool st_parse_unsigned(const char *text, unsigned base, uint64_t *value)
{
    static const char digits[] = "0123456789abcdef";

    if (!text || !*text)
        return 0;
    *value = 0;
    for (; *text; text++) {
        const char *digit = memchr(digits, *text, base);
        if (!digit || __builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, (uint64_t)(digit - digits), value))
            return 0;
    }
    return 1;
}

/* ---- kinds ---- */

static const struct {
    const char *name, *advice; /* what to do with a file of another kind where this one is wanted */
} kinds[ST_KINDS] = {
    [ST_BACKBONE] = {"backbone", "give the .safetensors file of the CNN"},
    [ST_FLOW] = {"flow", "a model holds a flow, but must be opened as a model"},
    [ST_MODEL] = {"model", "train one with: differnet train"},
    [ST_CHECKPOINT] = {"checkpoint", "remove it or choose another name"},
    [ST_BANK] = {"bank", "remove it or choose another name"},
};

enum st_kind st_kind_of(const st_file *file)
{
    const char *said = st_metadata(file, ST_KIND);

    for (int kind = ST_UNKNOWN + 1; said && kind < ST_KINDS; kind++)
        if (strcmp(said, kinds[kind].name) == 0)
            return (enum st_kind)kind;
    if (!said &&
        (st_find(file, "features.0.weight") || st_find(file, "0.weight") || st_metadata(file, "differnet.layers")))
        return ST_BACKBONE;
    return ST_UNKNOWN;
}

dn_status st_check_kind(const st_file *file, enum st_kind wanted, dn_error *error)
{
    enum st_kind kind = st_kind_of(file);

    if (kind == wanted)
        return DN_OK;
    if (kind == ST_UNKNOWN)
        return fail(error, DN_E_KIND, "%s: holds tensors, but is not a %s; %s", st_label(file), kinds[wanted].name,
                    kinds[wanted].advice);
    return fail(error, DN_E_KIND, "%s: is a %s, not a %s; %s", st_label(file), kinds[kind].name, kinds[wanted].name,
                kinds[wanted].advice);
}

void st_writer_kind(st_writer *writer, enum st_kind kind, int32_t format)
{
    char text[16];

    st_writer_metadata(writer, ST_KIND, kinds[kind].name);
    if (format == 0)
        return;
    snprintf(text, sizeof text, "%d", (int)format);
    st_writer_metadata(writer, "differnet.format", text);
}

/* ---- versions and checksums ---- */

/* 0: the metadata are no version number. */
static uint64_t version_of(const st_file *file)
{
    uint64_t version;

    return st_parse_unsigned(st_metadata(file, "differnet.format"), 10, &version) ? version : 0;
}

static dn_status fail_damaged(const st_file *file, const st_frame *frame, dn_error *error)
{
    return fail(error, DN_E_FORMAT, "%s: checksum differs: the file is damaged; %s", st_label(file), frame->advice);
}

dn_status st_check_header(const st_file *file, const st_frame *frame, dn_error *error)
{
    _Bool equal;

    return !st_header_sum(file, &equal) || equal ? DN_OK : fail_damaged(file, frame, error);
}

_Bool st_version_is(const st_file *file, int32_t version)
{
    return version_of(file) == (uint64_t)version;
}

dn_status st_check_version(const st_file *file, const st_frame *frame, dn_error *error)
{
    uint64_t version = version_of(file);

    if (version == 0)
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.format is missing or no version number",
                    st_label(file));
    if (version > (uint64_t)frame->highest)
        return fail(error, DN_E_VERSION,
                    "%s: written by a newer version of the library (format %llu, this version reads up to %d); "
                    "update the library",
                    st_label(file), (unsigned long long)version, frame->highest);
    return DN_OK;
}

dn_status st_check_sum(st_file *file, const st_frame *frame, _Bool verify, uint32_t *crc, dn_error *error)
{
    const char *text = st_metadata(file, "differnet.crc32");
    uint64_t stored;
    _Bool equal;

    if (version_of(file) >= (uint64_t)frame->summed_from && !st_header_sum(file, &equal))
        return fail(error, DN_E_FORMAT, "%s: the metadata " ST_HEADER_SUM " is missing or no checksum", st_label(file));
    if (!text || strlen(text) != 8 || !st_parse_unsigned(text, 16, &stored))
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.crc32 is missing or no checksum", st_label(file));
    if (verify && st_data_crc32(file) != stored)
        return fail_damaged(file, frame, error);
    *crc = (uint32_t)stored;
    return DN_OK;
}
