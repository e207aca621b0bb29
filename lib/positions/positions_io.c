/* The density's tensors in a file: docs/format.md. */
#include <stdio.h>

#include "base/finite.h"
#include "base/status.h"
#include "positions/positions.h"

#define NAME_SIZE 64

static const char *tensor_name(char name[NAME_SIZE], const char *prefix, const char *what)
{
    snprintf(name, NAME_SIZE, "%s%s", prefix, what); /* the prefix is one of the library's own, and short */
    return name;
}

void positions_to_tensors(const positions *p, const char *prefix, enum st_type stored, st_writer *writer)
{
    int64_t mean[1] = {p->channels}, projection[2] = {p->channels, p->dims};
    int64_t centre[3] = {p->rows, p->columns, p->dims};
    int64_t factor[3] = {p->rows, p->columns, (int64_t)positions_triangle(p->dims)};
    char name[NAME_SIZE];

    st_writer_tensor(writer, tensor_name(name, prefix, "mean"), ST_F32, ST_F32, 1, mean, p->mean);
    st_writer_tensor(writer, tensor_name(name, prefix, "projection"), ST_F32, ST_F32, 2, projection, p->projection);
    st_writer_tensor(writer, tensor_name(name, prefix, "centre"), ST_F32, ST_F32, 3, centre, p->centre);
    st_writer_tensor(writer, tensor_name(name, prefix, "factor"), ST_F32, stored, 3, factor, p->factor);
    if (p->details) {
        const int64_t one = 1;
        char details[NAME_SIZE];
        positions_to_tensors(p->details, tensor_name(details, prefix, "details."), stored, writer);
        st_writer_tensor(writer, tensor_name(name, prefix, "detail_weight"), ST_F64, ST_F64, 1, &one,
                         &p->detail_weight);
    }
}

/* The sizes that the tensors' shapes tell; all are checked before anything is allocated. */
static dn_status read_shape(const st_file *file, const char *prefix, int32_t channels, int64_t centre[3],
                            dn_error *error)
{
    const int64_t any[3] = {-1, -1, -1};
    const st_tensor *tensor;
    char name[NAME_SIZE];

    TRY(st_require(file, tensor_name(name, prefix, "centre"), 3, any, &tensor, error));
    for (int i = 0; i < 3; i++)
        centre[i] = tensor->shape[i];
    if (centre[0] < 1 || centre[0] > POSITIONS_MAX_SIDE || centre[1] < 1 || centre[1] > POSITIONS_MAX_SIDE ||
        centre[2] < 1 || centre[2] > POSITIONS_MAX_DIMS || centre[2] > channels)
        return fail(error, DN_E_FORMAT, "%s: tensor %s: a grid of %lld x %lld cells and %lld dimensions cannot be",
                    st_label(file), name, (long long)centre[0], (long long)centre[1], (long long)centre[2]);
    return DN_OK;
}

static dn_status read_tensor(const st_file *file, const char *prefix, const char *what, int32_t rank,
                             const int64_t *shape, float *out, dn_error *error)
{
    const st_tensor *tensor;
    char name[NAME_SIZE];

    TRY(st_require(file, tensor_name(name, prefix, what), rank, shape, &tensor, error));
    return st_read_f32(file, tensor, out, error);
}

dn_status positions_from_tensors(const st_file *file, const char *prefix, int32_t channels,
                                 const dn_allocator *allocator, _Bool *in_place, _Bool verify, positions **out,
                                 dn_error *error)
{
    int64_t centre[3], factor[3], projection[2] = {channels, 0};
    const st_tensor *tensor;
    char name[NAME_SIZE];

    *out = NULL;
    TRY(read_shape(file, prefix, channels, centre, error));
    projection[1] = centre[2];
    factor[0] = centre[0];
    factor[1] = centre[1];
    factor[2] = (int64_t)positions_triangle((int32_t)centre[2]);
    TRY(st_require(file, tensor_name(name, prefix, "factor"), 3, factor, &tensor, error));
    _Bool mapped = in_place && tensor->type == ST_F32 && (uintptr_t)tensor->data % sizeof(float) == 0;
    if (mapped && verify && !tensor->finite && !floats_finite(tensor->data, (size_t)tensor->elements))
        return fail(error, DN_E_NUMERIC, "%s: tensor %s: NaN or infinity", st_label(file), name);
    TRY(positions_allocate((int32_t)centre[0], (int32_t)centre[1], channels, (int32_t)centre[2], !mapped, allocator,
                           out, error));
    positions *p = *out;
    dn_status status = read_tensor(file, prefix, "mean", 1, projection, p->mean, error);
    if (status == DN_OK)
        status = read_tensor(file, prefix, "projection", 2, projection, p->projection, error);
    if (status == DN_OK)
        status = read_tensor(file, prefix, "centre", 3, centre, p->centre, error);
    if (status == DN_OK && mapped)
        p->factor = (const float *)(const void *)tensor->data;
    else if (status == DN_OK)
        status = st_read_f32(file, tensor, p->owned, error);
    if (status != DN_OK) {
        positions_unref(p);
        *out = NULL;
        return status;
    }
    if (in_place)
        *in_place = mapped;
    return DN_OK;
}
