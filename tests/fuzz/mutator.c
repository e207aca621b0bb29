/* Under libFuzzer: its own mutations, or sometimes one of a tensor, and then mostly fuzz_repair. */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (seed / 8 % 4 == 0)
        fuzz_change_tensor(data, size, seed * 0x9E3779B97F4A7C15u >> 16);
    if (seed / 8 % 4 || seed / 32 % 2)
        size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8)
        fuzz_repair(data, size);
    return size;
}
