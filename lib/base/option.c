#include "base/option.h"

#include <string.h>

#include "base/status.h"

static double value_of(const void *options, const option_range *range)
{
    const char *field = (const char *)options + range->offset;
    int32_t whole;
    double real;

    if (range->type == OPTION_INT32) {
        memcpy(&whole, field, sizeof whole);
        return whole;
    }
    memcpy(&real, field, sizeof real);
    return real;
}

/* Written so that NaN is outside. */
static _Bool inside(const option_range *range, double value)
{
    return value >= range->low && value <= range->high && !(range->ends == OPTION_ABOVE && value <= range->low) &&
           !(range->ends == OPTION_BELOW && value >= range->high);
}

dn_status options_check(const void *options, const char *what, const option_range *ranges, size_t count,
                        dn_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const option_range *range = &ranges[i];
        if (range->type == OPTION_UINT64)
            continue;
        double value = value_of(options, range);
        int digits = range->type == OPTION_INT32 ? 10 : 6; /* those of %g */
        if (!inside(range, value))
            return fail(error, DN_E_ARGUMENT, "%s: %s is %.*g, outside %s%.*g .. %s%.*g%s%s%s", what, range->name,
                        digits, value, range->ends == OPTION_ABOVE ? "> " : "", digits, range->low,
                        range->ends == OPTION_BELOW ? "< " : "", digits, range->high, range->note ? " (" : "",
                        range->note ? range->note : "", range->note ? ")" : "");
    }
    return DN_OK;
}
