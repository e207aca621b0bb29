/* Version, status names, memory, OpenBLAS settings, and what all api_*.c share. */
#include "api.h"

#include <string.h>

#include "base/blas.h"
#include "base/blob.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

#define MAX_STRUCT_SIZE 4096

const char *dn_version(void)
{
    return STRINGIFY(DN_VERSION_MAJOR) "." STRINGIFY(DN_VERSION_MINOR) "." STRINGIFY(DN_VERSION_PATCH);
}

const char *dn_status_string(dn_status status)
{
    switch (status) {
    case DN_OK:
        return "success";
    case DN_E_ARGUMENT:
        return "invalid argument";
    case DN_E_MEMORY:
        return "out of memory";
    case DN_E_IO:
        return "input or output error";
    case DN_E_FORMAT:
        return "malformed file";
    case DN_E_KIND:
        return "wrong kind of file";
    case DN_E_VERSION:
        return "file of a newer version";
    case DN_E_LIMIT:
        return "limit exceeded";
    case DN_E_UNSUPPORTED:
        return "unsupported file";
    case DN_E_NUMERIC:
        return "not a finite number";
    case DN_E_CANCELLED:
        return "cancelled";
    case DN_E_STATE:
        return "call does not fit the state";
    case DN_E_THREAD:
        return "thread failure";
    default:
        return "unknown status";
    }
}

/* ---- calls on mutable handles ---- */

const dn_error call_in_use = {DN_E_STATE,
                              "this handle is used by another thread, or by the call whose callback uses it "
                              "now: it serves one call at a time"};

atomic_int *call_begin(atomic_int *in_use)
{
    return atomic_exchange_explicit(in_use, 1, memory_order_acquire) ? NULL : in_use;
}

void call_end(atomic_int **in_use)
{
    if (*in_use)
        atomic_store_explicit(*in_use, 0, memory_order_release);
}

_Bool call_in_progress(const atomic_int *in_use)
{
    return atomic_load_explicit((atomic_int *)(uintptr_t)in_use, memory_order_acquire) != 0;
}

const dn_error *call_error(const atomic_int *in_use, const dn_error *own)
{
    return call_in_progress(in_use) ? &call_in_use : own;
}

/* ---- bytes ---- */

const void *dn_blob_data(const dn_blob *blob)
{
    return blob ? blob->data : NULL;
}

size_t dn_blob_size(const dn_blob *blob)
{
    return blob ? blob->size : 0;
}

void dn_blob_free(dn_blob *blob)
{
    blob_free(blob);
}

dn_status dn_blas_set_threads(int32_t threads)
{
    if (threads < 1 || threads > 1024)
        return DN_E_ARGUMENT;
    return blas_set_threads(threads);
}

int32_t dn_blas_threads(void)
{
    return blas_threads();
}

const char *dn_blas_corename(void)
{
    return blas_corename();
}

dn_status allocator_check(const dn_allocator *allocator, const char *what, dn_error *error)
{
    if (allocator && (!allocator->alloc || !allocator->free))
        return fail(error, DN_E_ARGUMENT, "%s: the allocator lacks alloc or free", what);
    return DN_OK;
}

dn_status runner_check(const dn_runner *runner, const char *what, dn_error *error)
{
    if (runner && !runner->run)
        return fail(error, DN_E_ARGUMENT, "%s: the runner lacks run", what);
    return DN_OK;
}

dn_status storage_check(int32_t storage, dn_error *error)
{
    if (storage != DN_STORAGE_F32 && storage != DN_STORAGE_F16)
        return fail(error, DN_E_ARGUMENT, "storage is %d, must be DN_STORAGE_F32 or DN_STORAGE_F16", storage);
    return DN_OK;
}

/* ---- structs that carry their size ---- */

void options_init(void *callers, size_t size, const void *own, size_t own_size)
{
    uint32_t struct_size = (uint32_t)size;

    if (!callers || size < sizeof struct_size || size > MAX_STRUCT_SIZE)
        return;
    memset(callers, 0, size);
    memcpy(callers, own, size < own_size ? size : own_size);
    memcpy(callers, &struct_size, sizeof struct_size);
}

dn_status struct_size_check(const void *callers, const char *what, size_t *size, dn_error *error)
{
    uint32_t struct_size;

    memcpy(&struct_size, callers, sizeof struct_size);
    if (struct_size < 2 * sizeof struct_size || struct_size > MAX_STRUCT_SIZE)
        return fail(error, DN_E_ARGUMENT, "%s: struct_size is %u; set it with the struct's init macro", what,
                    (unsigned)struct_size);
    *size = struct_size;
    return DN_OK;
}

dn_status options_read(void *own, size_t own_size, const void *callers, const char *what, dn_error *error)
{
    uint32_t kept_size = (uint32_t)own_size;
    size_t size = 0;

    if (!callers)
        return DN_OK;
    TRY(struct_size_check(callers, what, &size, error));
    for (size_t i = own_size; i < size; i++)
        if (((const uint8_t *)callers)[i] != 0)
            return fail(error, DN_E_ARGUMENT, "%s: sets an option that version %s does not know", what, dn_version());
    memcpy(own, callers, size < own_size ? size : own_size);
    memcpy(own, &kept_size, sizeof kept_size);
    return DN_OK;
}

dn_status output_write(void *callers, const void *own, size_t own_size, const char *what, dn_error *error)
{
    size_t size = 0;

    TRY(struct_size_check(callers, what, &size, error));
    options_init(callers, size, own, own_size);
    return DN_OK;
}
