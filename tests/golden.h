/* Golden files: numbers made by tests/golden/make_*.py, read with the library's own reader. */
#ifndef DN_TESTS_GOLDEN_H
#define DN_TESTS_GOLDEN_H

#include "format/safetensors.h"

/* Opens tests/golden/NAME; the test fails if it is absent.  One handle for each golden_close. */
st_file *golden_open(const char *name);
const st_tensor *golden_tensor(const st_file *file, const char *name); /* the test fails if it is absent */
/* Values of a tensor as float or double (F16, F32, F64), or int64 (U8, I32, U32, I64); *count (nullable) gets their
 * number.  malloc. */
float *golden_floats(const st_file *file, const char *name, size_t *count);
double *golden_doubles(const st_file *file, const char *name, size_t *count);
int64_t *golden_integers(const st_file *file, const char *name, size_t *count);
void golden_close(st_file *file);

#endif
