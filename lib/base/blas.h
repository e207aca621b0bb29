/* The only door to OpenBLAS. */
#ifndef DN_BASE_BLAS_H
#define DN_BASE_BLAS_H

#include "differnet.h"

#define BLAS_N 0 /* as stored */
#define BLAS_T 1 /* transposed */

/* To be called on the way to what follows: is there memory for products of `threads` threads at the same time?
 * Otherwise DN_E_MEMORY.  (OpenBLAS maps a work buffer for each of them when it first needs it, and loops for ever
 * where it gets none.)  Cheap when it was asked for as many threads before.
 *
 * It can only look: a host that takes the memory before the products do can still make them wait for it. */
dn_status blas_reserve(int32_t threads, dn_error *error);

/* C = alpha * op(A) * op(B) + beta * C, all row-major.  op(A): (m, k), op(B): (k, n), C: (m, n).
 * lda, ldb, ldc: floats from one stored row to the next. */
void blas_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* Without OpenBLAS (-Dblas=disabled): no thread, DN_E_UNSUPPORTED, "none". */
int32_t blas_threads(void);
dn_status blas_set_threads(int32_t threads);
const char *blas_corename(void);

#endif
