/* In place of blas.c where the library is built without OpenBLAS. */
#include "base/blas.h"

int32_t blas_threads(void)
{
    return 0;
}

dn_status blas_set_threads(int32_t threads)
{
    (void)threads;
    return DN_E_UNSUPPORTED;
}

const char *blas_corename(void)
{
    return "none";
}
