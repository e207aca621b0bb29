/* Built with -ffp-contract=fast: a product and its sum are one instruction where the processor has it. */
#include "base/product.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/blas.h"
#include "base/simd.h"

/* k is cut into slices, whose sums are added up in C: rounding errors grow with the length of a chain of sums, and a
 * panel of B of this length stays in the cache. */
#define SLICE 256

/* Rows of a tile of 1 or 3 vectors, and of 2 or 4, such that all sums stay in registers: up to 24 of 32, and 12 of 16
 * where a panel has two vectors at most. */
#define MOST_ROWS 8
#define ROWS_OF_ODD MOST_ROWS
#define ROWS_OF_EVEN 6

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* sum + factor * row.  gcc makes one instruction of it wherever there is one.  clang does not where it instruments the
 * loop, and then tiles of different sizes round differently: it is given the instruction. */
#ifdef __clang__
#define MULTIPLY_ADD(factor, row, sum) (KERNEL(vector)) FUSED(factor, row, sum)
#else
#define MULTIPLY_ADD(factor, row, sum) ((sum) + (factor) * (row))
#endif

/* ---- any processor: vectors of 16 bytes ---- */

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

SIMD_INLINE four load_some_any(const float *from, int n)
{
    return (four){from[0], n > 1 ? from[1] : 0, n > 2 ? from[2] : 0, 0};
}

SIMD_INLINE void store_some_any(float *to, int n, four values)
{
    for (int i = 0; i < n; i++)
        to[i] = values[i];
}

#define KERNEL(name) name##_any
#define TARGET
#define LANES 4
#define LOAD_SOME load_some_any
#define STORE_SOME store_some_any
#define FUSED(factor, row, sum) ((sum) + (factor) * (row))
#ifdef __aarch64__
#define WIDEST 4 /* 32 registers */
#else
#define WIDEST 2
#endif
#include "base/product_kernel.h"
#undef KERNEL
#undef TARGET
#undef LANES
#undef WIDEST
#undef LOAD_SOME
#undef STORE_SOME
#undef FUSED

#ifdef __x86_64__

/* All ones for the first n of 8 numbers at places + 8 - n. */
static const int32_t places[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

#define KERNEL(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define PLACES(n) _mm256_loadu_si256((const __m256i *)(const void *)(places + 8 - (n)))
#define LOAD_SOME(from, n) _mm256_maskload_ps(from, PLACES(n))
#define STORE_SOME(to, n, vector) _mm256_maskstore_ps(to, PLACES(n), (__m256)(vector))
#define FUSED(factor, row, sum) _mm256_fmadd_ps(_mm256_set1_ps(factor), (__m256)(row), (__m256)(sum))
#define LANES 8
#define WIDEST 2
#include "base/product_kernel.h"
#undef KERNEL
#undef TARGET
#undef LANES
#undef WIDEST
#undef LOAD_SOME
#undef STORE_SOME
#undef FUSED

#define KERNEL(name) name##_avx512
#define TARGET __attribute__((target("avx512f,fma")))
#define PLACES_512(n) (__mmask16)((1U << (n)) - 1)
#define LOAD_SOME(from, n) _mm512_maskz_loadu_ps(PLACES_512(n), from)
#define STORE_SOME(to, n, vector) _mm512_mask_storeu_ps(to, PLACES_512(n), (__m512)(vector))
#define FUSED(factor, row, sum) _mm512_fmadd_ps(_mm512_set1_ps(factor), (__m512)(row), (__m512)(sum))
#define LANES PRODUCT_LANES
#define WIDEST 4
#include "base/product_kernel.h"

#endif

int32_t product_kinds(void)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 1;
    return __builtin_cpu_supports("avx512f") ? 3 : 2;
#else
    return 1;
#endif
}

/* ---- OpenBLAS ---- */

#if DN_OPENBLAS

/* OpenBLAS chooses its kernel, and how many threads it takes, by the shape of a product.  So that a row's or column's
 * bits do not depend on what lies beside it, it gets blocks of few shapes: BLAS_COLUMNS columns, BLAS_STEP rows or a
 * multiple of that, the last of which are filled up with zeros, and a slice of k.  Its kernels sum up all of such a
 * block alike, and it takes one thread for a block of no more than 2^18 multiplications. */
#define BLAS_COLUMNS PRODUCT_LANES
#define BLAS_STEP 8
#define BLAS_ROWS 64
_Static_assert(BLAS_ROWS % BLAS_STEP == 0 && BLAS_ROWS * BLAS_COLUMNS * SLICE <= 1 << 18, "a block takes one thread");

/* Rows of a block: its kernels for AVX2 take 12 rows at a time where there are as many, and sum up some of them in
 * another order. */
static int64_t blas_rows(void)
{
    return product_kinds() > 1 ? BLAS_STEP : BLAS_ROWS;
}

/* Rows of a block.  A: (rows, k), B: (k, BLAS_COLUMNS). */
static void blas_block(int64_t rows, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
                       int64_t ldc)
{
    _Bool transposed = a.column != 1;

    blas_gemm(transposed ? BLAS_T : BLAS_N, BLAS_N, rows, BLAS_COLUMNS, k, 1, a.data, transposed ? a.column : a.row, b,
              ldb, add ? 1 : 0, c, ldc);
}

/* The last rows, fewer than BLAS_STEP. */
static void blas_last_rows(int64_t rows, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
                           int64_t ldc)
{
    float filled[BLAS_STEP * SLICE] = {0}, result[BLAS_STEP * BLAS_COLUMNS] = {0};

    for (int64_t i = 0; i < rows; i++) {
        for (int64_t step = 0; step < k; step++)
            filled[i * k + step] = a.data[i * a.row + step * a.column];
        if (add)
            memcpy(result + i * BLAS_COLUMNS, c + i * ldc, BLAS_COLUMNS * sizeof *c);
    }
    blas_block(BLAS_STEP, k, (product_factor){filled, k, 1}, b, ldb, add, result, BLAS_COLUMNS);
    for (int64_t i = 0; i < rows; i++)
        memcpy(c + i * ldc, result + i * BLAS_COLUMNS, BLAS_COLUMNS * sizeof *c);
}

/* BLAS_COLUMNS columns and a slice of k. */
static void blas_columns(int64_t m, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
                         int64_t ldc)
{
    int64_t most = blas_rows();

    for (int64_t i = 0, rows; i < m; i += rows) {
        product_factor part = {a.data + i * a.row, a.row, a.column};
        rows = m - i < most ? (m - i) / BLAS_STEP * BLAS_STEP : most;
        if (rows > 0) {
            blas_block(rows, k, part, b, ldb, add, c + i * ldc, ldc);
            continue;
        }
        rows = m - i;
        blas_last_rows(rows, k, part, b, ldb, add, c + i * ldc, ldc);
    }
}

static void product_blas(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                         float *c, int64_t ldc, product_ahead *ahead)
{
    int64_t last = n % BLAS_COLUMNS, whole = n - last;

    assert(ldb > 0 || last == 0);
    for (; ahead && ahead->next < ahead->last; ahead->next++)
        FETCH_TO_WRITE(ahead->base + *ahead->next);
    for (int64_t first = 0; first < k && m > 0; first += SLICE) {
        int64_t depth = k - first < SLICE ? k - first : SLICE;
        product_factor part = {a.data + first * a.column, a.row, a.column};
        for (int64_t j = 0; j < whole; j += BLAS_COLUMNS)
            if (ldb == 0)
                blas_columns(m, depth, part, b + j * k + first * BLAS_COLUMNS, BLAS_COLUMNS, add || first > 0, c + j,
                             ldc);
            else
                blas_columns(m, depth, part, b + first * ldb + j, ldb, add || first > 0, c + j, ldc);
    }
    if (k == 0)
        product_any(m, n, k, a, b, ldb, add, c, ldc, NULL); /* zeros */
    else if (last > 0)
        product_any(m, last, k, a, b + whole, ldb, add, c + whole, ldc, NULL);
}

static int64_t panel_blas(int64_t left)
{
    (void)left;
    return BLAS_COLUMNS;
}

#endif

/* ---- choice ---- */

#ifdef DN_COVERAGE
int32_t product_choice = DN_PRODUCTS;
#else
#define product_choice DN_PRODUCTS
#endif

int32_t product_kind(void)
{
    int32_t own = product_kinds() - 1;

    return product_choice == PRODUCTS_OWN || (product_choice == PRODUCTS_AUTO && own > 0) ? own : PRODUCT_BLAS;
}

product_function product_of_kind(int32_t kind)
{
#ifdef __x86_64__
    if (kind > 0)
        return kind == 2 ? product_avx512 : product_avx2;
#endif
#if DN_OPENBLAS
    if (kind == PRODUCT_BLAS)
        return product_blas;
#endif
    (void)kind;
    return product_any;
}

int64_t product_panel_of_kind(int32_t kind, int64_t left)
{
#ifdef __x86_64__
    if (kind > 0)
        return kind == 2 ? panel_avx512(left) : panel_avx2(left);
#endif
#if DN_OPENBLAS
    if (kind == PRODUCT_BLAS)
        return panel_blas(left);
#endif
    (void)kind;
    return panel_any(left);
}

dn_status product_ready(int32_t threads, dn_error *error)
{
#if DN_OPENBLAS
    if (product_kind() == PRODUCT_BLAS)
        return blas_reserve(threads, error);
#endif
    (void)threads;
    (void)error;
    return DN_OK;
}

void product(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
             int64_t ldc)
{
    product_of_kind(product_kind())(m, n, k, a, b, ldb, add, c, ldc, NULL);
}

void product_fetching(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                      float *c, int64_t ldc, product_ahead ahead)
{
    product_of_kind(product_kind())(m, n, k, a, b, ldb, add, c, ldc, ahead.base ? &ahead : NULL);
}

void product_panels(int64_t m, int64_t n, int64_t k, product_factor a, const float *panels, _Bool add, float *c,
                    int64_t ldc)
{
    product_of_kind(product_kind())(m, n, k, a, panels, 0, add, c, ldc, NULL);
}

int64_t product_panel(int64_t left)
{
    return product_panel_of_kind(product_kind(), left);
}

/* ---- transpose ---- */

#ifdef __clang__
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t four_places __attribute__((vector_size(16)));
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (four_places){i, j, k, l})
#endif

/* A block of 4 x 4. */
static void transpose_block(const float *from, int64_t ld_from, float *to, int64_t ld_to)
{
    four a = *(const four *)from, b = *(const four *)(from + ld_from);
    four c = *(const four *)(from + 2 * ld_from), d = *(const four *)(from + 3 * ld_from);
    four ab_low = SHUFFLE(a, b, 0, 4, 1, 5), ab_high = SHUFFLE(a, b, 2, 6, 3, 7);
    four cd_low = SHUFFLE(c, d, 0, 4, 1, 5), cd_high = SHUFFLE(c, d, 2, 6, 3, 7);

    *(four *)to = SHUFFLE(ab_low, cd_low, 0, 1, 4, 5);
    *(four *)(to + ld_to) = SHUFFLE(ab_low, cd_low, 2, 3, 6, 7);
    *(four *)(to + 2 * ld_to) = SHUFFLE(ab_high, cd_high, 0, 1, 4, 5);
    *(four *)(to + 3 * ld_to) = SHUFFLE(ab_high, cd_high, 2, 3, 6, 7);
}

/* Lines of `to` are written whole: few of them are in the first cache at a time if they are a power of 2 apart. */
#define LINE 16

void product_transpose(int64_t rows, int64_t columns, const float *from, int64_t ld_from, float *to, int64_t ld_to)
{
    for (int64_t first = 0; first < rows; first += LINE) {
        int64_t last = rows - first < LINE ? rows : first + LINE;
        for (int64_t x = 0; x < columns; x += 4)
            for (int64_t y = first; y < last; y += 4) {
                if (columns - x >= 4 && last - y >= 4) {
                    transpose_block(from + y * ld_from + x, ld_from, to + x * ld_to + y, ld_to);
                    continue;
                }
                for (int64_t i = y; i < last && i < y + 4; i++)
                    for (int64_t j = x; j < columns && j < x + 4; j++)
                        to[j * ld_to + i] = from[i * ld_from + j];
            }
    }
}
