#include "base/finite.h"

#include <stdint.h>
#include <string.h>

#include "base/simd.h"

SIMD_CLONES _Bool floats_finite(const void *values, size_t n)
{
    const unsigned char *bytes = values;
    uint32_t found = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + 4 * i, sizeof bits);
        found |= (bits & 0x7F800000u) + 0x00800000u; /* an exponent of all ones carries into the sign's place */
    }
    return !(found & 0x80000000u);
}
