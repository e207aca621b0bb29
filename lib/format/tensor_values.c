/* Tensors of a file as the numbers that are asked for. */
#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/status.h"
#include "format/half.h"
#include "format/safetensors.h"

#define PIECE ((size_t)64 * 1024) /* bytes that are looked at twice in a row */

dn_status st_require(const st_file *file, const char *name, int32_t rank, const int64_t *shape, const st_tensor **out,
                     dn_error *error)
{
    const st_tensor *tensor = st_find(file, name);

    *out = NULL;
    if (!tensor)
        return fail(error, DN_E_FORMAT, "%s: tensor %s is missing", st_label(file), name);
    if (tensor->rank != rank)
        return fail(error, DN_E_FORMAT, "%s: tensor %s has %d dimensions, expected %d", st_label(file), name,
                    tensor->rank, rank);
    for (int32_t i = 0; i < rank; i++)
        if (shape[i] != -1 && tensor->shape[i] != shape[i])
            return fail(error, DN_E_FORMAT, "%s: tensor %s: dimension %d is %lld, expected %lld", st_label(file), name,
                        i, (long long)tensor->shape[i], (long long)shape[i]);
    *out = tensor;
    return DN_OK;
}

/* Element `index` of a floating-point tensor. */
static double element(const st_tensor *tensor, int64_t index)
{
    uint16_t half;
    float single;
    double value;

    switch (tensor->type) {
    case ST_F16:
        memcpy(&half, tensor->data + index * 2, sizeof half);
        return (double)half_to_float(half);
    case ST_F32:
        memcpy(&single, tensor->data + index * 4, sizeof single);
        return (double)single;
    default:
        memcpy(&value, tensor->data + index * 8, sizeof value);
        return value;
    }
}

static dn_status require_floats(const st_file *file, const st_tensor *tensor, dn_error *error)
{
    if (tensor->type != ST_F32 && tensor->type != ST_F16 && tensor->type != ST_F64)
        return fail(error, DN_E_FORMAT, "%s: tensor %s is neither F32 nor F16 nor F64", st_label(file), tensor->name);
    return DN_OK;
}

static dn_status fail_numeric(const st_file *file, const st_tensor *tensor, dn_error *error)
{
    return fail(error, DN_E_NUMERIC, "%s: tensor %s holds NaN or infinity", st_label(file), tensor->name);
}

/* False if one of them is NaN or infinite, as float. */
static _Bool to_floats(const st_tensor *tensor, float *out)
{
    size_t n = (size_t)tensor->elements;
    const uint8_t *data = tensor->data;

    if (tensor->type == ST_F16)
        return halves_to_floats(data, n, out);
    for (size_t at = 0; tensor->type == ST_F32 && at < n; at += PIECE / sizeof *out) {
        size_t count = n - at < PIECE / sizeof *out ? n - at : PIECE / sizeof *out;
        memcpy(out + at, data + at * sizeof *out, count * sizeof *out);
        if (!floats_finite(out + at, count))
            return 0;
    }
    for (size_t i = 0; tensor->type == ST_F64 && i < n; i++) {
        out[i] = (float)element(tensor, (int64_t)i);
        if (!isfinite(out[i]))
            return 0;
    }
    return 1;
}

dn_status st_read_f32(const st_file *file, const st_tensor *tensor, float *out, dn_error *error)
{
    TRY(require_floats(file, tensor, error));
    return to_floats(tensor, out) ? DN_OK : fail_numeric(file, tensor, error);
}

dn_status st_read_f64(const st_file *file, const st_tensor *tensor, double *out, dn_error *error)
{
    TRY(require_floats(file, tensor, error));
    for (int64_t i = 0; i < tensor->elements; i++) {
        out[i] = element(tensor, i);
        if (!isfinite(out[i]))
            return fail_numeric(file, tensor, error);
    }
    return DN_OK;
}
