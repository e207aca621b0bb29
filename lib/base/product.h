/* Products of matrices whose second factor lies as it is read, row by row: the multiplications of the flow's layers and
 * of convolutions.  They are many, and long in one direction only, so that a general SGEMM spends a fifth of its time
 * on packing its factors; here nothing is packed.
 *
 * Who multiplies is chosen when the library is built (-Dproducts): code of our own for the processor's instruction set,
 * or OpenBLAS; with `auto` the former where the processor has AVX2 or AVX-512. */
#ifndef DN_BASE_PRODUCT_H
#define DN_BASE_PRODUCT_H

#include "differnet.h"

/* Entry (i, k) of a matrix is data[i * row + k * column]. */
typedef struct product_factor {
    const float *data;
    int64_t row, column;
} product_factor;

/* C = A B, or C += A B where `add`.  A: (m, k), B: (k, n), C: (m, n); ldb, ldc: floats from one row to the next.
 *
 * The bits of an entry of C depend on its row of A and its column of B alone (and on the instruction set; with OpenBLAS
 * also on whether it is among the last n % PRODUCT_LANES columns): not on m, n, or where it lies. */
void product(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
             int64_t ldc);

/* Cache lines of memory that will be written soon. */
typedef struct product_ahead {
    const float *base;          /* NULL: none */
    const int64_t *next, *last; /* offsets from `base`, one for each line, from *next to *last: at least one */
} product_ahead;

/* The same, and meanwhile the lines `ahead` are fetched into the cache: one with each step of the sums, so that they
 * hide it.  Less is fetched if the product has fewer steps. */
void product_fetching(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                      float *c, int64_t ldc, product_ahead ahead);

/* product() with a B that is laid out for it, which pays for weights, read often: in panels of some columns, one behind
 * the other, each (k, width).  n is a multiple of PRODUCT_LANES. */
void product_panels(int64_t m, int64_t n, int64_t k, product_factor a, const float *panels, _Bool add, float *c,
                    int64_t ldc);
/* Width of the next panel, when `left` columns are left: at most PRODUCT_WIDEST. */
int64_t product_panel(int64_t left);
#define PRODUCT_WIDEST 64

/* to (columns, rows) = transpose of from (rows, columns); ld_from, ld_to: floats from one row to the next. */
void product_transpose(int64_t rows, int64_t columns, const float *from, int64_t ld_from, float *to, int64_t ld_to);

/* To be called on the way to products, with the number of threads that will make them at the same time: OpenBLAS gets
 * its memory, or it is DN_E_MEMORY (blas_reserve).  Nothing where it does not multiply. */
dn_status product_ready(int32_t threads, dn_error *error);

/* ---- kinds ---- */

#define PRODUCT_LANES 16

/* Instruction sets that there is code for: 0 .. product_kinds() - 1 work on this processor. */
int32_t product_kinds(void);
/* OpenBLAS; not with -Dblas=disabled. */
#define PRODUCT_BLAS (-1)
/* Who multiplies: DN_PRODUCTS, from meson. */
#define PRODUCTS_AUTO 0
#define PRODUCTS_OWN 1
#define PRODUCTS_OPENBLAS 2
#ifdef DN_COVERAGE /* where branches are counted, tests choose otherwise, before they make anything that multiplies */
extern int32_t product_choice;
#endif
/* What product() uses: the last instruction set, or OpenBLAS. */
int32_t product_kind(void);
/* ldb 0: B is in panels; ahead NULL: nothing, otherwise its `next` moves on, to `last` at most. */
typedef void (*product_function)(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb,
                                 _Bool add, float *c, int64_t ldc, product_ahead *ahead);
product_function product_of_kind(int32_t kind);
int64_t product_panel_of_kind(int32_t kind, int64_t left);

#endif
