/* Memory: every allocation of the library goes through a dn_allocator. */
#ifndef DN_BASE_MEMORY_H
#define DN_BASE_MEMORY_H

#include "differnet.h"

#define MEM_ALIGNMENT 64

/* The C library's functions behind the default allocator.  Tests replace them to make the n-th call fail. */
struct mem_table {
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void (*free)(void *pointer);
};
extern struct mem_table mem_table;

/* A copy of `allocator`, or the default one for NULL. */
dn_allocator mem_allocator(const dn_allocator *allocator);

/* count * size bytes aligned to 64; NULL if the product overflows or memory is out.  0 bytes give 1 byte. */
void *mem_alloc(const dn_allocator *allocator, size_t count, size_t size);
/* Like mem_alloc, zeroed. */
void *mem_zalloc(const dn_allocator *allocator, size_t count, size_t size);
/* Copy of a string. */
char *mem_strdup(const dn_allocator *allocator, const char *text);
/* NULL is allowed. */
void mem_free(const dn_allocator *allocator, void *pointer);

/* Scratch that is kept from one call to the next: it grows when a call needs more than any before.  Starts as
 * {allocator}. */
typedef struct mem_scratch {
    dn_allocator allocator;
    void *bytes;
    size_t size;
} mem_scratch;
/* At least `size` bytes aligned to 64, with any content; NULL if memory is out: the scratch is then empty. */
void *mem_reserve(mem_scratch *scratch, size_t size);
void mem_release(mem_scratch *scratch); /* the scratch can be used again */

/* Floats rounded up to a multiple of MEM_ALIGNMENT bytes, so that what follows in one block is aligned too. */
static inline size_t mem_padded_floats(size_t floats)
{
    const size_t unit = MEM_ALIGNMENT / sizeof(float);

    return (floats + unit - 1) / unit * unit;
}

/* *out = a * b; false if that overflows. */
_Bool size_mul(size_t a, size_t b, size_t *out);
_Bool size_add(size_t a, size_t b, size_t *out);

#endif
