/* Looking for NaN and infinity. */
#ifndef DN_BASE_FINITE_H
#define DN_BASE_FINITE_H

#include <stddef.h>

/* False if one of `n` floats is NaN or infinite.  values: any alignment. */
_Bool floats_finite(const void *values, size_t n);

#endif
