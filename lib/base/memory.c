#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mem_table mem_table = {aligned_alloc, free};

/* Blocks from LARGE bytes on are asked to lie in pages of 2 MB where the system has them on request: weights and
 * activations are read with long strides, and their first touch costs a fault for each page. */
#define LARGE ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

static void *default_alloc(size_t alignment, size_t size, void *user)
{
    (void)user;
#ifdef MADV_HUGEPAGE
    if (size >= LARGE && size <= PTRDIFF_MAX - HUGE_PAGE) {
        size_t whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        void *block = mem_table.aligned_alloc(HUGE_PAGE, whole);
        if (block)
            (void)madvise(block, whole, MADV_HUGEPAGE); /* only advice: without it all is as it was */
        return block;
    }
#endif
    return mem_table.aligned_alloc(alignment, size);
}

static void default_free(void *pointer, void *user)
{
    (void)user;
    mem_table.free(pointer);
}

dn_allocator mem_allocator(const dn_allocator *allocator)
{
    if (allocator)
        return *allocator;
    return (dn_allocator){default_alloc, default_free, NULL};
}

_Bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

_Bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *mem_alloc(const dn_allocator *allocator, size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes) || !size_add(bytes, MEM_ALIGNMENT, &bytes))
        return NULL;
    /* aligned_alloc wants a multiple of the alignment; 0 bytes become one unit. */
    bytes -= bytes % MEM_ALIGNMENT;
    if (bytes > PTRDIFF_MAX)
        return NULL;
    return allocator->alloc(MEM_ALIGNMENT, bytes, allocator->user);
}

void *mem_zalloc(const dn_allocator *allocator, size_t count, size_t size)
{
    void *pointer = mem_alloc(allocator, count, size);

    if (pointer)
        memset(pointer, 0, count * size);
    return pointer;
}

char *mem_strdup(const dn_allocator *allocator, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(allocator, size, 1);

    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void mem_free(const dn_allocator *allocator, void *pointer)
{
    if (pointer)
        allocator->free(pointer, allocator->user);
}

void *mem_reserve(mem_scratch *scratch, size_t size)
{
    if (scratch->bytes && size <= scratch->size)
        return scratch->bytes;
    mem_release(scratch); /* first, so that both are never there at once */
    scratch->bytes = mem_alloc(&scratch->allocator, size, 1);
    scratch->size = scratch->bytes ? size : 0;
    return scratch->bytes;
}

void mem_release(mem_scratch *scratch)
{
    mem_free(&scratch->allocator, scratch->bytes);
    scratch->bytes = NULL;
    scratch->size = 0;
}
