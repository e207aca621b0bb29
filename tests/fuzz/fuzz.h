/* What a fuzz target gives to replay.c.  A target also has libFuzzer's LLVMFuzzerTestOneInput. */
#ifndef DN_TESTS_FUZZ_H
#define DN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "differnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A valid input to start from, number 0, 1, ...; malloc; NULL: no more of them. */
uint8_t *fuzz_seed(int index, size_t *size);

/* Makes lengths or checksums right again after a mutation, so that the code behind them is reached. */
void fuzz_repair(uint8_t *data, size_t size);

/* fuzz_repair for safetensors: sets the header's length to where its braces close. */
void fuzz_repair_header(uint8_t *data, size_t size);

/* fuzz_repair for files of the library's own: fuzz_repair_header, and both checksums. */
void fuzz_repair_sums(uint8_t *data, size_t size);

/* In a safetensors file: other numbers, another type or another shape of one tensor, as many bytes.  Does nothing to what
 * is no such file. */
void fuzz_change_tensor(uint8_t *data, size_t size, uint64_t random);

/* A safetensors file of a JSON header and `data_size` bytes of small numbers; malloc. */
uint8_t *fuzz_container(const char *json, size_t data_size, size_t *size);

/* Opens what the bytes hold with this allocator, and lets go of it. */
typedef dn_status fuzz_opener(const uint8_t *data, size_t size, const dn_allocator *allocator);

/* Opens it again with an allocator that fails once, for half of the inputs and at a place that their bytes decide: that is
 * told, or the status is the expected one if there is no such place; and all memory is given back. */
void fuzz_fail_allocations(fuzz_opener *open, const uint8_t *data, size_t size, dn_status expected);
/* Set by replay.c for a target's own seeds: at every place in turn. */
extern int fuzz_each_allocation;

/* Ends the program, as a failed check does. */
void fuzz_require(int condition, const char *what);

#endif
