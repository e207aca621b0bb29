#include "base/blas.h"

#include <cblas.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/status.h"

/* OpenBLAS' work buffer (BUFFER_SIZE in its common_*.h). */
#define BUFFER_MIB (sizeof(void *) > 4 ? (size_t)128 : (size_t)32)

/* For that many threads there was memory once: they have their buffers.  These are the process', and so is this. */
static atomic_int blas_reserved;

dn_status blas_reserve(int32_t threads, dn_error *error)
{
    int32_t before = atomic_load(&blas_reserved);

    if (threads <= before)
        return DN_OK;
    /* One for each thread that is new, and for each of OpenBLAS' own that help. */
    size_t mebibytes = (size_t)(threads - before + openblas_get_num_threads() - 1) * BUFFER_MIB;
    void *memory = mmap(NULL, mebibytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return fail(error, DN_E_MEMORY,
                    "out of memory for OpenBLAS: it maps %zu MiB for its work buffers; allow more "
                    "(ulimit -v), or use fewer threads",
                    mebibytes);
    munmap(memory, mebibytes << 20);
    while (before < threads && !atomic_compare_exchange_weak(&blas_reserved, &before, threads))
        ;
    return DN_OK;
}

void blas_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
                (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

int32_t blas_threads(void)
{
    return openblas_get_num_threads();
}

dn_status blas_set_threads(int32_t threads)
{
    openblas_set_num_threads(threads);
    return DN_OK;
}

const char *blas_corename(void)
{
    return openblas_get_corename();
}
