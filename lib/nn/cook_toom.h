/* Toom-Cook filtering F(m, r): m outputs of an r-tap filter with n = m + r - 1 products.
 *
 * With points a_i, M(x) = prod_i (x - a_i), N_i = M / (x - a_i), f_i = N_i(a_i), and infinity as the last point, the
 * filter y_k = sum_j g_j d_(k+j) is  y = A^T [(G g) . (B^T d)]  where
 *   G:   row i is a_i^j / f_i, the last one picks g_(r-1)
 *   B^T: row i holds the coefficients of N_i, the last one those of M
 *   A^T: column i is a_i^k, the last one picks y_(m-1).
 * In two dimensions each matrix is applied to rows and columns (Winograd; Lavin and Gray, CVPR 2016, equation 8).
 *
 * The points here are 0, pairs +-a_i, and infinity.  So M = x E(x^2) with E = prod_i (x^2 - a_i^2), the rows of a pair
 * share their even and odd parts, and a transform needs about half of the operations of the full matrix. */
#ifndef DN_NN_COOK_TOOM_H
#define DN_NN_COOK_TOOM_H

#include <stddef.h>
#include <stdint.h>

#define COOK_TOOM_PAIRS 3
#define COOK_TOOM_TILE (2 * COOK_TOOM_PAIRS + 2) /* largest n */
#define COOK_TOOM_OUTPUTS 4                      /* m */
#define COOK_TOOM_TAPS 5                         /* largest r */

typedef struct cook_toom {
    int32_t taps, pairs, tile;                       /* r, pairs of points, n = 2 * pairs + 2 */
    float power[COOK_TOOM_OUTPUTS][COOK_TOOM_PAIRS]; /* a_i^k */
    float even[COOK_TOOM_PAIRS + 1];                 /* E's coefficients, of x^0, x^2, .. */
    float rest[COOK_TOOM_PAIRS][COOK_TOOM_PAIRS];    /* [i]: those of E / (x^2 - a_i^2) */
    double filter[COOK_TOOM_TILE][COOK_TOOM_TAPS];   /* G; rows 0, +a_0, -a_0, +a_1, .. , infinity */
} cook_toom;

/* taps: 3 or 5. */
void cook_toom_init(cook_toom *transform, int32_t taps);

/* The four transforms of a tile whose points are vectors of channels, a multiple of COOK_TOOM_LANES. */
#define COOK_TOOM_LANES 16

/* Floats from one row of points, and from one column, to the next. */
struct cook_toom_layout {
    size_t row, column;
};

/* products (n, n) = B^T d B,  d: (n, n) */
void cook_toom_input(const cook_toom *transform, const float *d, struct cook_toom_layout d_at, float *products,
                     struct cook_toom_layout products_at, size_t channels);
/* y (m, m) = A^T products A,  products: (n, n) */
void cook_toom_output(const cook_toom *transform, const float *products, struct cook_toom_layout products_at, float *y,
                      struct cook_toom_layout y_at, size_t channels);
/* The transpose of cook_toom_output: products (n, n) = A dy A^T,  dy: (m, m) */
void cook_toom_output_gradient(const cook_toom *transform, const float *dy, struct cook_toom_layout dy_at,
                               float *products, struct cook_toom_layout products_at, size_t channels);
/* The transpose of cook_toom_input: dd (n, n) = B products B^T,  products: (n, n) */
void cook_toom_input_gradient(const cook_toom *transform, const float *products, struct cook_toom_layout products_at,
                              float *dd, struct cook_toom_layout dd_at, size_t channels);

#endif
