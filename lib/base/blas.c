#include "base/blas.h"

#include <cblas.h>

void blas_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
                (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

void blas_warm(void)
{
    /* Large enough to leave OpenBLAS' small-matrix path, which uses no work buffer. */
    enum { SIDE = 128 };
    static const float zeros[SIDE * SIDE];
    float result[SIDE * SIDE];

    blas_gemm(BLAS_N, BLAS_N, SIDE, SIDE, SIDE, 1, zeros, SIDE, zeros, SIDE, 0, result, SIDE);
}

int32_t blas_threads(void)
{
    return openblas_get_num_threads();
}

void blas_set_threads(int32_t threads)
{
    openblas_set_num_threads(threads);
}

const char *blas_corename(void)
{
    return openblas_get_corename();
}
