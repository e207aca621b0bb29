/* Hot elementwise loops, compiled for several instruction sets; the dynamic loader picks by the CPU.
 *
 * For loops whose result does not depend on the width of the vectors: elementwise sums, products, comparisons.  (The
 * project but for product.c is built with -ffp-contract=off, so that no variant fuses a product and a sum.)  Functions
 * called inside must be SIMD_INLINE to be compiled along.  Empty where the loader or a sanitizer's runtime cannot do
 * it, and with DN_COVERAGE: counts are of one copy of each branch then (scripts/coverage). */
#ifndef DN_BASE_SIMD_H
#define DN_BASE_SIMD_H

#include <stdint.h> /* defines __GLIBC__ where it is so */

/* GCC alone: clang 14 makes the resolvers of static functions global, so that equal names in two files collide. */
#if defined __x86_64__ && defined __GLIBC__ && !defined __clang__ && __GNUC__ >= 9 && !defined __SANITIZE_ADDRESS__ && \
    !defined __SANITIZE_THREAD__ && !defined DN_COVERAGE
#define SIMD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SIMD_CLONES
#endif

/* Asks for the cache line of an address that will be written soon, FETCH_FLOATS floats, such that no other processor
 * keeps it: a line fetched only to be read has to be asked for again, and nothing hides that where two processors share
 * no cache.  gcc's __builtin_prefetch(address, 1) does the same on x86 only if all processors that the code is for know
 * the instruction; those that do not know it pass over it. */
#define FETCH_FLOATS 16
#ifdef __SANITIZE_ADDRESS__ /* fetching never faults: it is read instead, so that a wrong address is found */
#define FETCH_TO_WRITE(address) ((void)*(const volatile char *)(address))
#elif defined __x86_64__
#define FETCH_TO_WRITE(address) __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(address)))
#else
#define FETCH_TO_WRITE(address) __builtin_prefetch(address, 1)
#endif

#ifdef DN_COVERAGE
#define SIMD_INLINE static inline
#else
#define SIMD_INLINE static inline __attribute__((always_inline))
#endif

#endif
