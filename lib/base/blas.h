/* The only door to OpenBLAS. */
#ifndef DN_BASE_BLAS_H
#define DN_BASE_BLAS_H

#include <stdint.h>

#define BLAS_N 0 /* as stored */
#define BLAS_T 1 /* transposed */

/* C = alpha * op(A) * op(B) + beta * C, all row-major.  op(A): (m, k), op(B): (k, n), C: (m, n).
 * lda, ldb, ldc: floats from one stored row to the next. */
void blas_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* Runs one small product, so that OpenBLAS maps this thread's work buffer now and not in the middle of a score
 * (OpenBLAS 0.3.21 loops for ever when that fails: better at creation, when memory is known to be there). */
void blas_warm(void);

int32_t blas_threads(void);
void blas_set_threads(int32_t threads);
const char *blas_corename(void);

#endif
