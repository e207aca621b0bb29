/* Small symmetric matrices in double: factorisation, inverse, eigenvectors.  Plain C with contiguous inner loops, so
 * that the bits are the same for any number of threads and whatever BLAS the process has. */
#ifndef DN_POSITIONS_SYMMETRIC_H
#define DN_POSITIONS_SYMMETRIC_H

#include <stdint.h>

/* A = U'U (Cholesky), U upper, in place: a (n, n) row-major, of which the upper triangle is read and written.  False if
 * A is not positive definite to working precision. */
_Bool cholesky(double *a, int32_t n);
/* The inverse of an upper triangular U (n, n), to inverse (n, n), upper; what lies below is neither read nor written.
 * */
void invert_triangle(const double *u, int32_t n, double *inverse);
/* d' inverse(U'U) d; d (n) is overwritten. */
double squared_distance(const double *u, int32_t n, double *d);
/* Eigenvectors of A (n, n), full and symmetric, by Jacobi's cyclic rotations: a becomes nearly diagonal, with the
 * eigenvalues there in no order; row i of vectors (n, n) belongs to a[i][i].  Ends after at most 30 sweeps. */
void jacobi(double *a, int32_t n, double *vectors);

#endif
