#include "positions/symmetric.h"

#include <math.h>
#include <string.h>

#include "base/simd.h"

#define GROUP 4 /* rows that are taken away in one pass */

/* y (n) -= count rows x, `stride` apart, each times its factor: one after the other, as rounding goes, though GROUP of
 * them in one pass.  Factors lie `step` apart. */
SIMD_CLONES static void subtract_rows(double *restrict y, int32_t n, const double *x, int64_t stride,
                                      const double *factors, int64_t step, int32_t count)
{
    for (; count >= GROUP; count -= GROUP, x += GROUP * stride, factors += GROUP * step) {
        const double *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
        double f0 = factors[0], f1 = factors[step], f2 = factors[2 * step], f3 = factors[3 * step];
        for (int32_t i = 0; i < n; i++)
            y[i] = y[i] - f0 * x[i] - f1 * x1[i] - f2 * x2[i] - f3 * x3[i];
    }
    for (; count > 0; count--, x += stride, factors += step) {
        double factor = *factors;
        for (int32_t i = 0; i < n; i++)
            y[i] -= factor * x[i];
    }
}

_Bool cholesky(double *a, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        double *row = a + (int64_t)i * n;
        /* Row i from its diagonal on -= sum over k < i of U[k][i] U[k]. */
        subtract_rows(row + i, n - i, a + i, n, a + i, n, i);
        if (!(row[i] > 0)) /* refuses NaN, too */
            return 0;
        double pivot = sqrt(row[i]);
        for (int32_t j = i; j < n; j++)
            row[j] /= pivot;
    }
    return 1;
}

void invert_triangle(const double *u, int32_t n, double *inverse)
{
    /* Row i of U X = I, from the last one up: X[i] = (e_i - sum over j > i of U[i][j] X[j]) / U[i][i]. */
    for (int32_t i = n - 1; i >= 0; i--) {
        double *row = inverse + (int64_t)i * n;
        const double *factors = u + (int64_t)i * n;
        memset(row + i, 0, (size_t)(n - i) * sizeof *row);
        row[i] = 1;
        for (int32_t j = i + 1; j < n; j += GROUP) {
            int32_t rows = n - j < GROUP ? n - j : GROUP, last = j + rows - 1;
            for (int32_t column = j; column < last; column++) /* where not all of them reach */
                for (int32_t k = j; k <= column; k++)
                    row[column] -= factors[k] * inverse[(int64_t)k * n + column];
            subtract_rows(row + last, n - last, inverse + (int64_t)j * n + last, n, factors + j, 1, rows);
        }
        for (int32_t j = i; j < n; j++)
            row[j] /= factors[i];
    }
}

double squared_distance(const double *u, int32_t n, double *d)
{
    double sum = 0;

    /* U' y = d, from the first entry on. */
    for (int32_t i = 0; i < n; i++) {
        const double *row = u + (int64_t)i * n;
        double y = d[i] / row[i];
        sum += y * y;
        subtract_rows(d + i + 1, n - i - 1, row + i + 1, n, &y, 1, 1);
    }
    return sum;
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
