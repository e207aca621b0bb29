#include "golden.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support.h"

/* The bytes of each open file, which must live as long as its handle. */
#define MAX_OPEN 32
static struct {
    st_file *file;
    uint8_t *bytes;
} opened[MAX_OPEN];

st_file *golden_open(const char *name)
{
    dn_allocator allocator = mem_allocator(NULL);
    dn_error error = {0};
    size_t size;
    int slot = 0;

    while (slot < MAX_OPEN && opened[slot].file)
        slot++;
    ck_assert_int_lt(slot, MAX_OPEN);
    opened[slot].bytes = read_file(golden_path(name), &size);
    dn_status status = st_parse(opened[slot].bytes, size, name, &allocator, &opened[slot].file, &error);
    ck_assert_msg(status == DN_OK, "%s", error.message);
    return opened[slot].file;
}

void golden_close(st_file *file)
{
    for (int slot = 0; slot < MAX_OPEN; slot++)
        if (file && opened[slot].file == file) {
            st_free(file);
            free(opened[slot].bytes);
            opened[slot].file = NULL;
            opened[slot].bytes = NULL;
        }
}

const st_tensor *golden_tensor(const st_file *file, const char *name)
{
    const st_tensor *tensor = st_find(file, name);

    ck_assert_msg(tensor != NULL, "%s: no tensor %s", st_label(file), name);
    return tensor;
}

/* Room for a tensor's values. */
static void *allocate(const st_tensor *tensor, size_t size, size_t *count)
{
    void *values = malloc((size_t)tensor->elements * size + 1);

    ck_assert_ptr_nonnull(values);
    if (count)
        *count = (size_t)tensor->elements;
    return values;
}

float *golden_floats(const st_file *file, const char *name, size_t *count)
{
    const st_tensor *tensor = golden_tensor(file, name);
    float *values = allocate(tensor, sizeof *values, count);
    dn_error error = {0};
    dn_status status = st_read_f32(file, tensor, values, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return values;
}

double *golden_doubles(const st_file *file, const char *name, size_t *count)
{
    const st_tensor *tensor = golden_tensor(file, name);
    double *values = allocate(tensor, sizeof *values, count);
    dn_error error = {0};
    dn_status status = st_read_f64(file, tensor, values, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return values;
}

int64_t *golden_integers(const st_file *file, const char *name, size_t *count)
{
    const st_tensor *tensor = golden_tensor(file, name);
    int64_t *values = allocate(tensor, sizeof *values, count);

    for (int64_t i = 0; i < tensor->elements; i++) {
        int32_t narrow = 0;
        uint32_t narrow_unsigned = 0;
        switch (tensor->type) {
        case ST_U8:
            values[i] = tensor->data[i];
            break;
        case ST_I32:
            memcpy(&narrow, tensor->data + 4 * i, 4);
            values[i] = narrow;
            break;
        case ST_U32:
            memcpy(&narrow_unsigned, tensor->data + 4 * i, 4);
            values[i] = narrow_unsigned;
            break;
        case ST_I64:
            memcpy(&values[i], tensor->data + 8 * i, 8);
            break;
        default:
            ck_abort_msg("%s: tensor %s holds no integers", st_label(file), name);
        }
    }
    return values;
}
