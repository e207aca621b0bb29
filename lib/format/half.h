/* IEEE 754 binary16, as safetensors stores it ("F16"). */
#ifndef DN_FORMAT_HALF_H
#define DN_FORMAT_HALF_H

#include <stddef.h>
#include <stdint.h>

/* Rounds to nearest, ties to even.  Too large becomes infinity; NaN stays NaN. */
uint16_t half_from_float(float value);
float half_to_float(uint16_t half); /* exact */
/* n of them, at any alignment; false if one is NaN or infinite. */
_Bool halves_to_floats(const uint8_t *halves, size_t n, float *out);

#endif
