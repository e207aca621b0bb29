/* Included by api_*.c only, before anything else: the public header with its functions exported, and the checks that
 * every entry point makes. */
#ifndef DN_LIB_API_H
#define DN_LIB_API_H

#ifdef _WIN32
#define DN_API __declspec(dllexport)
#else
#define DN_API __attribute__((visibility("default")))
#endif
#include "differnet.h"

#include <stdatomic.h>

#include "base/status.h"

/* Refuses a NULL argument by name. */
#define REQUIRE(pointer, error)                                                        \
    do {                                                                               \
        if (!(pointer))                                                                \
            return fail((error), DN_E_ARGUMENT, "%s: %s is NULL", __func__, #pointer); \
    } while (0)

/* Begins a call on a mutable handle: DN_E_STATE if another one is in progress, of another thread or the one whose
 * callback makes this one.  Otherwise `error` is where this call leaves its error, cleared.  The call ends, and the
 * handle's flag falls, where the function returns. */
#define BEGIN_CALL(in_use, own_error)                                              \
    __attribute__((cleanup(call_end))) atomic_int *call_held = call_begin(in_use); \
    if (!call_held)                                                                \
        return DN_E_STATE;                                                         \
    dn_error *error = (own_error);                                                 \
    *error = (dn_error)                                                            \
    {                                                                              \
        0                                                                          \
    }

atomic_int *call_begin(atomic_int *in_use); /* NULL: it is in use */
void call_end(atomic_int **in_use);         /* nullable what it points to */
extern const dn_error call_in_use;
/* What dn_<handle>_error returns: the handle's own error, or call_in_use while the own one may be written. */
const dn_error *call_error(const atomic_int *in_use, const dn_error *own);
_Bool call_in_progress(const atomic_int *in_use);

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

/* Refuses pixels that cannot be a mask, and a kind that is no DN_MASK_... */
dn_status mask_arguments_check(const dn_pixels *mask, int32_t kind, dn_error *error);

/* Refuses limits of image files, fields of these names in the struct `what`, that are out of range. */
dn_status image_limits_check(int64_t max_pixels, int64_t max_bytes, int64_t max_memory, const char *what,
                             dn_error *error);
/* Refuses an allocator (nullable) that lacks one of its functions.  what: the struct or function it was given to. */
dn_status allocator_check(const dn_allocator *allocator, const char *what, dn_error *error);
/* Likewise a runner. */
dn_status runner_check(const dn_runner *runner, const char *what, dn_error *error);

#endif
