/* The product for one instruction set.  Included by product.c once for each, with
 *
 *   KERNEL(name)   name of a function for this instruction set
 *   TARGET         attribute that chooses it
 *   LANES          floats of a vector
 *   WIDEST         vectors of a panel, 2 or 4
 *   LOAD_SOME(from, n)  vector of the n < LANES floats at `from`, and zeros; touches nothing behind them
 *   STORE_SOME(to, n, vector)  likewise
 *   FUSED(factor, row, sum)  sum + factor * row, of a number and two vectors
 *
 * A tile is a few rows of C by a few vectors.  Its sums stay in registers; each step of k takes one row of B's panel
 * and multiplies it by one number of each of A's rows; with `ahead`, it asks for one line of that. */

typedef float KERNEL(vector) __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

SIMD_INLINE TARGET KERNEL(vector) KERNEL(load)(const float *from, int n)
{
    return n == LANES ? *(const KERNEL(vector) *)from : (KERNEL(vector))LOAD_SOME(from, n);
}

SIMD_INLINE TARGET void KERNEL(store)(float *to, int n, KERNEL(vector) values)
{
    if (n == LANES)
        *(KERNEL(vector) *)to = values;
    else
        STORE_SOME(to, n, values);
}

/* rows x vectors of C, constants where this is compiled along; the last vector has `last` columns of C, LANES or fewer.
 * Whether that is LANES, and `ahead` NULL, is known there, too, so that asking costs nothing. */
TARGET SIMD_INLINE void KERNEL(tile)(const int rows, const int vectors, const int last, int64_t k, const float *a,
                                     int64_t a_row, int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c,
                                     int64_t ldc, product_ahead *ahead)
{
    KERNEL(vector) sums[MOST_ROWS][WIDEST] = {0}, row[WIDEST];
    const float *base = ahead ? ahead->base : NULL;
    const int64_t *next = ahead ? ahead->next : NULL, *end = ahead ? ahead->last : NULL;

    for (int64_t step = 0; step < k; step++, a += a_column, b += ldb) {
        if (ahead) {
            FETCH_TO_WRITE(base + *next);
            next += next < end;
        }
        UNROLL
        for (int v = 0; v < vectors; v++)
            row[v] = KERNEL(load)(b + v * LANES, v == vectors - 1 ? last : LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            float factor = a[r * a_row];
            UNROLL
            for (int v = 0; v < vectors; v++)
                sums[r][v] = MULTIPLY_ADD(factor, row[v], sums[r][v]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            float *out = c + r * ldc + v * LANES;
            int n = v == vectors - 1 ? last : LANES;
            if (add)
                sums[r][v] += KERNEL(load)(out, n);
            KERNEL(store)(out, n, sums[r][v]);
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
#define TILE(r, v)                                                                    \
    case (r) + 16 * (v):                                                              \
        KERNEL(tile)(r, v, LANES, k, a, a_row, a_column, b, ldb, add, c, ldc, ahead); \
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

/* The last columns of C, `last` of which make no vector: one or two. */
TARGET static void KERNEL(some_rows_at_end)(int rows, int vectors, int last, int64_t k, const float *a, int64_t a_row,
                                            int64_t a_column, const float *b, int64_t ldb, _Bool add, float *c,
                                            int64_t ldc, product_ahead *ahead)
{
#define TILE(r, v)                                                                   \
    case (r) + 16 * (v):                                                             \
        KERNEL(tile)(r, v, last, k, a, a_row, a_column, b, ldb, add, c, ldc, ahead); \
        return;
#define TILES(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v) TILE(5, v) TILE(6, v)
    switch (rows + 16 * vectors) {
        TILES(1)
        TILE(7, 1)
        TILE(8, 1)
        TILES(2)
    default:
        __builtin_unreachable();
    }
#undef TILES
#undef TILE
}

/* All rows of a panel of C. */
TARGET static void KERNEL(rows)(int64_t m, int vectors, int last, int64_t k, product_factor a, const float *b,
                                int64_t ldb, _Bool add, float *c, int64_t ldc, product_ahead *ahead)
{
    int most = vectors % 2 ? ROWS_OF_ODD : ROWS_OF_EVEN;
    int64_t tiles = (m + most - 1) / most;

    for (int64_t i = 0; i < m; tiles--) {
        int rows = (int)((m - i + tiles - 1) / tiles); /* of about equal size */
        const float *from = a.data + i * a.row;
        float *to = c + i * ldc;
        if (last < LANES)
            KERNEL(some_rows_at_end)(rows, vectors, last, k, from, a.row, a.column, b, ldb, add, to, ldc, ahead);
        else if (ahead)
            KERNEL(some_rows_fetching)(rows, vectors, k, from, a.row, a.column, b, ldb, add, to, ldc, ahead);
        else
            KERNEL(some_rows_alone)(rows, vectors, k, from, a.row, a.column, b, ldb, add, to, ldc);
        i += rows;
    }
}

static void KERNEL(product)(int64_t m, int64_t n, int64_t k, product_factor a, const float *b, int64_t ldb, _Bool add,
                            float *c, int64_t ldc, product_ahead *ahead)
{
    int last = (int)(n % LANES), at_end = last == 0 ? 0 : n < LANES ? 1 : 2; /* vectors that go together at the end */
    int64_t whole = n - last - (at_end == 2 ? LANES : 0);

    assert(ldb > 0 || n % PRODUCT_LANES == 0);
    for (int64_t first = 0; first < k || first == 0; first += SLICE) {
        int64_t depth = k - first < SLICE ? k - first : SLICE, j = 0, width;
        product_factor part = {a.data + first * a.column, a.row, a.column};
        _Bool more = add || first > 0;
        for (; j < whole; j += width) {
            width = KERNEL(panel)(whole - j);
            const float *from = ldb == 0 ? b + j * k + first * width : b + first * ldb + j;
            KERNEL(rows)
            (m, (int)(width / LANES), LANES, depth, part, from, ldb == 0 ? width : ldb, more, c + j, ldc, ahead);
        }
        if (at_end > 0)
            KERNEL(rows)(m, at_end, last, depth, part, b + first * ldb + j, ldb, more, c + j, ldc, ahead);
    }
}
