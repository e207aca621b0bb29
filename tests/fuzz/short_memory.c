/* Inputs are opened again with an allocator that fails once. */
#include <stdlib.h>

#include "fuzz.h"

int fuzz_each_allocation;

static struct {
    unsigned fail_at, calls, live;
} memory;

static void *allocate(size_t alignment, size_t size, void *user)
{
    (void)user;
    if (++memory.calls == memory.fail_at)
        return NULL;
    void *block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    fuzz_require(block != NULL, "memory");
    memory.live++;
    return block;
}

static void release(void *pointer, void *user)
{
    (void)user;
    memory.live--;
    free(pointer);
}

/* Whether there was such an allocation. */
static int fails_at(unsigned place, fuzz_opener *open, const uint8_t *data, size_t size, dn_status expected)
{
    static const dn_allocator allocator = {allocate, release, NULL};

    memory.fail_at = place;
    memory.calls = memory.live = 0;
    dn_status status = open(data, size, &allocator);
    fuzz_require(memory.live == 0, "all memory is given back");
    fuzz_require(status == (memory.calls < place ? expected : DN_E_MEMORY), "memory is out only if it is");
    return memory.calls >= place;
}

void fuzz_fail_allocations(fuzz_opener *open, const uint8_t *data, size_t size, dn_status expected)
{
    uint32_t hash = (uint32_t)size;

    for (unsigned place = 1; fuzz_each_allocation && fails_at(place, open, data, size, expected);)
        place++;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    if (!fuzz_each_allocation && hash >> 8 & 1)
        fails_at(1 + (hash >> 16) % 32, open, data, size, expected);
}
