#include "positions/symmetric.h"

#include <math.h>
#include <string.h>

#include "base/simd.h"

/* y -= factor * x. */
SIMD_CLONES static void subtract(double *restrict y, const double *restrict x, double factor, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] -= factor * x[i];
}

_Bool cholesky(double *a, int32_t n)
{
    for (int32_t j = 0; j < n; j++) {
        double *row = a + (int64_t)j * n;
        if (!(row[j] > 0)) /* refuses NaN, too */
            return 0;
        double pivot = sqrt(row[j]);
        for (int32_t i = j; i < n; i++)
            row[i] /= pivot;
        for (int32_t i = j + 1; i < n; i++)
            subtract(a + (int64_t)i * n + i, row + i, row[i], n - i);
    }
    return 1;
}

void invert_triangle(const double *u, int32_t n, double *inverse)
{
    /* Row i of U X = I, from the last one up: X[i] = (e_i - sum over j > i of U[i][j] X[j]) / U[i][i]. */
    for (int32_t i = n - 1; i >= 0; i--) {
        double *row = inverse + (int64_t)i * n;
        memset(row + i, 0, (size_t)(n - i) * sizeof *row);
        row[i] = 1;
        for (int32_t j = i + 1; j < n; j++)
            subtract(row + j, inverse + (int64_t)j * n + j, u[(int64_t)i * n + j], n - j);
        for (int32_t j = i; j < n; j++)
            row[j] /= u[(int64_t)i * n + i];
    }
}

/* (x, y) = (c x - s y, s x + c y), element by element. */
SIMD_CLONES static void turn(double *restrict x, double *restrict y, double c, double s, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        double kept = x[i];
        x[i] = c * kept - s * y[i];
        y[i] = s * kept + c * y[i];
    }
}

/* The rotation of rows and columns p and q that makes a[p][q] zero (Golub and Van Loan, section 8.5). */
static void rotate_pair(double *a, int32_t n, double *vectors, int32_t p, int32_t q)
{
    double *row_p = a + (int64_t)p * n, *row_q = a + (int64_t)q * n;
    double theta = (row_q[q] - row_p[p]) / (2 * row_p[q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;

    turn(row_p, row_q, c, s, n);
    for (int32_t i = 0; i < n; i++) {
        double *at = a + (int64_t)i * n, kept = at[p];
        at[p] = c * kept - s * at[q];
        at[q] = s * kept + c * at[q];
    }
    turn(vectors + (int64_t)p * n, vectors + (int64_t)q * n, c, s, n);
}

void jacobi(double *a, int32_t n, double *vectors)
{
    memset(vectors, 0, (size_t)n * (size_t)n * sizeof *vectors);
    for (int32_t i = 0; i < n; i++)
        vectors[(int64_t)i * n + i] = 1;
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0, diagonal = 0;
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = i; j < n; j++)
                *(i == j ? &diagonal : &off) += a[(int64_t)i * n + j] * a[(int64_t)i * n + j];
        if (off <= 1e-24 * diagonal)
            return;
        for (int32_t p = 0; p < n - 1; p++)
            for (int32_t q = p + 1; q < n; q++)
                if (a[(int64_t)p * n + q] != 0)
                    rotate_pair(a, n, vectors, p, q);
    }
}
