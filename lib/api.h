/* Included by api_*.c only, before anything else: the public header with its functions exported, and the checks that
 * every entry point makes. */
#ifndef DN_LIB_API_H
#define DN_LIB_API_H

#define DN_API __attribute__((visibility("default")))
#include "differnet.h"

#include "base/status.h"

/* Refuses a NULL argument by name. */
#define REQUIRE(pointer, error)                                                              \
    do {                                                                                     \
        if (!(pointer))                                                                      \
            return fail((error), DN_E_ARGUMENT, "%s: %s is NULL", __func__, #pointer);       \
    } while (0)

/* Copies a caller's option struct (nullable: defaults stay) over `own`, which holds the defaults, by the zero-tail
 * rule: a longer struct is accepted if its unknown tail is zero, a shorter one keeps our defaults for the rest. */
dn_status options_read(void *own, size_t own_size, const void *callers, const char *what, dn_error *error);
/* Copies `own` to the caller's output struct: as many bytes as its struct_size says, the unknown tail zeroed. */
dn_status output_write(void *callers, const void *own, size_t own_size, const char *what, dn_error *error);
/* The size that the caller's struct says it has; DN_E_ARGUMENT if it was not set up. */
dn_status struct_size_check(const void *callers, const char *what, size_t *size, dn_error *error);
/* Writes defaults `own` into a caller's struct of `size` bytes and sets struct_size; the unknown tail is zeroed. */
void options_init(void *callers, size_t size, const void *own, size_t own_size);

/* Refuses a storage that is neither DN_STORAGE_F32 nor DN_STORAGE_F16. */
dn_status storage_check(int32_t storage, dn_error *error);

/* Refuses an allocator (nullable) that lacks one of its functions.  what: the struct or function it was given to. */
dn_status allocator_check(const dn_allocator *allocator, const char *what, dn_error *error);
/* Likewise a runner. */
dn_status runner_check(const dn_runner *runner, const char *what, dn_error *error);

#endif
