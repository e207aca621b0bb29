/* Built with -ffp-contract=fast: a product and its sum are one instruction where the processor has it. */
#include "base/product.h"

#include <assert.h>
#include <stddef.h>

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

/* ---- any processor: vectors of 16 bytes ---- */

#define KERNEL(name) name##_any
#define TARGET
#define LANES 4
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

#ifdef __x86_64__

#define KERNEL(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define WIDEST 2
#include "base/product_kernel.h"
#undef KERNEL
#undef TARGET
#undef LANES
#undef WIDEST

#define KERNEL(name) name##_avx512
#define TARGET __attribute__((target("avx512f,fma")))
#define LANES PRODUCT_LANES
#define WIDEST 4
#include "base/product_kernel.h"

#endif

/* ---- choice ---- */

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

product_function product_of_kind(int32_t kind)
{
#ifdef __x86_64__
    if (kind > 0)
        return kind == 2 ? product_avx512 : product_avx2;
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
    (void)kind;
    return panel_any(left);
}

void product(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add, float *c,
             int64_t ldc)
{
    product_of_kind(product_kinds() - 1)(m, n, k, a, b, ldb, add, c, ldc, NULL);
}

void product_fetching(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                      float *c, int64_t ldc, product_ahead ahead)
{
    product_of_kind(product_kinds() - 1)(m, n, k, a, b, ldb, add, c, ldc, ahead.base ? &ahead : NULL);
}

void product_panels(int64_t m, int64_t n, int64_t k, product_factor a, const float *panels, _Bool add, float *c,
                    int64_t ldc)
{
    product_of_kind(product_kinds() - 1)(m, n, k, a, panels, 0, add, c, ldc, NULL);
}

int64_t product_panel(int64_t left)
{
    return product_panel_of_kind(product_kinds() - 1, left);
}

/* ---- transpose ---- */

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

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
