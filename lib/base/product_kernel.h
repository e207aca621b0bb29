/* The product for one instruction set.  Included by product.c once for each, with
 *
 *   KERNEL(name)   name of a function for this instruction set
 *   TARGET         attribute that chooses it
 *   LANES          floats of a vector
 *   WIDEST         vectors of a panel, 2 or 4
 *
 * A tile is a few rows of C by a few vectors.  Its sums stay in registers; each step of k takes one row of B's panel
 * and multiplies it by one number of each of A's rows; with `ahead`, it asks for one line of that. */

typedef float KERNEL(vector) __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* rows x vectors of C, constants where this is compiled along.  Whether `ahead` is NULL is known there, too, so
 * that asking costs nothing. */
TARGET SIMD_INLINE void KERNEL(tile)(const int rows, const int vectors, int64_t k, const float *a, int64_t a_row,
                                     int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c, int64_t ldc,
                                     product_ahead *ahead)
{
    KERNEL(vector) sums[MOST_ROWS][WIDEST] = {0}, row[WIDEST];
    const float *base = ahead ? ahead->base : NULL;
    const int64_t *next = ahead ? ahead->next : NULL, *last = ahead ? ahead->last : NULL;

    for (int64_t step = 0; step < k; step++, a += a_column, b += ldb) {
        if (ahead) {
            FETCH_TO_WRITE(base + *next);
            next += next < last;
        }
        UNROLL
        for (int v = 0; v < vectors; v++)
            row[v] = *(const KERNEL(vector) *)(b + v * LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float factor = a[r * a_row];
            UNROLL
            for (int v = 0; v < vectors; v++)
                sums[r][v] += factor * row[v];
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            KERNEL(vector) *out = (KERNEL(vector) *)(c + r * ldc + v * LANES);
            if (add)
                *out += sums[r][v];
            else
                *out = sums[r][v];
        }
    }
    if (ahead)
        ahead->next = next;
}

/* `rows` rows by `vectors` vectors. */
TARGET SIMD_INLINE void KERNEL(some_rows)(int rows, int vectors, int64_t k, const float *a, int64_t a_row,
                                          int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c,
                                          int64_t ldc, product_ahead *ahead)
{
#define TILE(r, v) \
    case (r) + 16 * (v): \
        KERNEL(tile)(r, v, k, a, a_row, a_column, b, ldb, add, c, ldc, ahead); \
        return;
#define TILES(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v) TILE(5, v) TILE(6, v)
    switch (rows + 16 * vectors) {
        TILES(1)
        TILE(7, 1)
        TILE(8, 1)
        TILES(2)
#if WIDEST > 2
        TILES(3)
        TILE(7, 3)
        TILE(8, 3)
        TILES(4)
#endif
    default:
        __builtin_unreachable();
    }
#undef TILES
#undef TILE
}

/* Compiled twice: what asks for lines is a little slower, and most products have none to ask for. */
TARGET static void KERNEL(some_rows_alone)(int rows, int vectors, int64_t k, const float *a, int64_t a_row,
                                           int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c,
                                           int64_t ldc)
{
    KERNEL(some_rows)(rows, vectors, k, a, a_row, a_column, b, ldb, add, c, ldc, NULL);
}

TARGET static void KERNEL(some_rows_fetching)(int rows, int vectors, int64_t k, const float *a, int64_t a_row,
                                              int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c,
                                              int64_t ldc, product_ahead *ahead)
{
    product_ahead local = *ahead; /* its address is not NULL: the compiler knows */

    KERNEL(some_rows)(rows, vectors, k, a, a_row, a_column, b, ldb, add, c, ldc, &local);
    ahead->next = local.next;
}

/* Columns of the next panel, when `left` are left, at least LANES: three vectors, and a two or four to make them come
 * out even. */
static int64_t KERNEL(panel)(int64_t left)
{
    int64_t vectors = left / LANES;

    if (WIDEST == 2)
        return LANES * (vectors < 2 ? 1 : 2);
    return LANES * (vectors % 3 == 0 ? 3 : vectors % 3 == 2 ? 2 : vectors >= 4 ? 4 : 1);
}

/* One of C's last columns, which make no vector. */
TARGET static void KERNEL(column)(int64_t m, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                                  float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        float sum = 0;
        for (int64_t step = 0; step < k; step++)
            sum += a.data[i * a.row + step * a.column] * b[step * ldb];
        c[i * ldc] = add ? c[i * ldc] + sum : sum;
    }
}

/* All rows of a panel of C. */
TARGET static void KERNEL(rows)(int64_t m, int vectors, int64_t k, product_factor a, const float *b, int64_t ldb,
                                _Bool add, float *c, int64_t ldc, product_ahead *ahead)
{
    int most = vectors % 2 ? ROWS_OF_ODD : ROWS_OF_EVEN;
    int64_t tiles = (m + most - 1) / most;

    for (int64_t i = 0; i < m; tiles--) {
        int rows = (int)((m - i + tiles - 1) / tiles); /* of about equal size */
        const float *from = a.data + i * a.row;
        if (ahead)
            KERNEL(some_rows_fetching)(rows, vectors, k, from, a.row, a.column, b, ldb, add, c + i * ldc, ldc, ahead);
        else
            KERNEL(some_rows_alone)(rows, vectors, k, from, a.row, a.column, b, ldb, add, c + i * ldc, ldc);
        i += rows;
    }
}

static void KERNEL(product)(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                            float *c, int64_t ldc, product_ahead *ahead)
{
    assert(ldb > 0 || n % PRODUCT_LANES == 0);
    for (int64_t first = 0; first < k || first == 0; first += SLICE) {
        int64_t depth = k - first < SLICE ? k - first : SLICE, j = 0;
        product_factor part = {a.data + first * a.column, a.row, a.column};
        _Bool more = add || first > 0;
        while (n - j >= LANES) {
            int64_t width = KERNEL(panel)(n - j);
            int vectors = (int)(width / LANES);
            if (ldb == 0)
                KERNEL(rows)(m, vectors, depth, part, b + j * k + first * width, width, more, c + j, ldc, ahead);
            else
                KERNEL(rows)(m, vectors, depth, part, b + first * ldb + j, ldb, more, c + j, ldc, ahead);
            j += width;
        }
        for (; j < n; j++)
            KERNEL(column)(m, depth, part, b + first * ldb + j, ldb, more, c + j, ldc);
    }
}
