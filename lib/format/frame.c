/* What every file of this library's own says about itself: the version of its format, and the checksum of its data. */
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

dn_status st_check_version(const st_file *file, int32_t highest, dn_error *error)
{
    uint64_t version;

    if (!st_parse_unsigned(st_metadata(file, "differnet.format"), 10, &version) || version == 0)
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.format is missing or no version number",
                    st_label(file));
    if (version > (uint64_t)highest)
        return fail(error, DN_E_VERSION,
                    "%s: written by a newer version of the library (format %llu, this version reads up to %d); "
                    "update the library", st_label(file), (unsigned long long)version, highest);
    return DN_OK;
}

dn_status st_check_sum(st_file *file, _Bool verify, const char *advice, uint32_t *crc, dn_error *error)
{
    const char *text = st_metadata(file, "differnet.crc32");
    uint64_t stored;

    if (!text || strlen(text) != 8 || !st_parse_unsigned(text, 16, &stored))
        return fail(error, DN_E_FORMAT, "%s: the metadata differnet.crc32 is missing or no checksum", st_label(file));
    if (verify && st_data_crc32(file) != stored)
        return fail(error, DN_E_FORMAT, "%s: checksum differs: the file is damaged; %s", st_label(file), advice);
    *crc = (uint32_t)stored;
    return DN_OK;
}
