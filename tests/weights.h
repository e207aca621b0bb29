/* What the tests of files of weights share (tools/convert): a file byte by byte, what is read of it as text.  Of one that is
 * refused, the whole message is compared: it tells which check it was.  Nothing behind the bytes can be read. */
#ifndef DN_TESTS_WEIGHTS_H
#define DN_TESTS_WEIGHTS_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/convert/weights_file.h"
#include "support.h"

#define P(literal) literal, sizeof(literal) - 1
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- bytes ---- */

static uint8_t *made;
static size_t made_size, made_room;

static inline void put(const void *bytes, size_t size)
{
    if (size > made_room - made_size)
        made = realloc(made, made_room = 2 * (made_size + size));
    memcpy(made + made_size, bytes, size);
    made_size += size;
}

static inline void put_number(uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        put(&(uint8_t){(uint8_t)(i < 8 ? number >> 8 * i : 0)}, 1);
}

/* Writes over what is there. */
static inline void patch(size_t at, uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        made[at + (size_t)i] = (uint8_t)(number >> 8 * i);
}

static inline uint64_t at_patch(size_t at, int size)
{
    uint64_t number = 0;

    for (int i = 0; i < size; i++)
        number |= (uint64_t)made[at + (size_t)i] << 8 * i;
    return number;
}

/* ---- what is read, as text ---- */

static char *shown;

static inline void show_element(FILE *out, const file_tensor *tensor, const uint8_t *element)
{
    float number;

    if (tensor->type == ELEMENT_F32)
        fprintf(out, " %g", (double)*(float *)memcpy(&number, element, 4));
    else
        for (size_t i = 0; i < tensor->element_size; i++)
            fprintf(out, "%s%02x", i ? "" : " ", element[i]);
}

static inline void show_elements(FILE *out, const file_tensor *tensor, int32_t axis, const uint8_t *from)
{
    if (axis == tensor->rank)
        show_element(out, tensor, from);
    else
        for (int64_t i = 0; i < tensor->shape[axis]; i++)
            show_elements(out, tensor, axis + 1, from + i * tensor->stride[axis] * (int64_t)tensor->element_size);
}

static inline const char *show(const weights_file *file)
{
    static const char *const types[] = {"f16", "bf16", "f32", "f64", "other"};
    size_t size;
    FILE *out = open_memstream(&shown, &size);

    fprintf(out, "%s:", file->format);
    for (int i = 0; i < BACKBONE_KEYS; i++)
        if (file->metadata[i])
            fprintf(out, " %s=%s", backbone_keys[i], file->metadata[i]);
    for (size_t i = 0; i < file->count; i++) {
        const file_tensor *tensor = &file->tensors[i];
        fprintf(out, " [%s %s", tensor->name, types[tensor->type]);
        for (int32_t k = 0; k < tensor->rank; k++)
            fprintf(out, " %" PRId64 "/%" PRId64, tensor->shape[k], tensor->stride[k]);
        fprintf(out, " =");
        if (tensor->elements > 0)
            show_elements(out, tensor, 0, tensor->data);
        fprintf(out, "]");
    }
    ck_assert_int_eq(fclose(out), 0);
    return shown;
}

/* ---- what is expected of the bytes made ---- */

static weights_file file;
static dn_error error;
static const uint8_t *copy;

static inline bool read_made(void)
{
    copy = guarded_copy(made, made_size);
    return weights_read(&file, copy, made_size, &error);
}

static inline void close_made(void)
{
    weights_free(&file);
    guarded_free(copy, made_size);
    free(shown);
    shown = NULL;
}

static inline void expect(const char *expected)
{
    bool good = read_made();

    ck_assert_msg(good, "%s: %s", expected, error.message);
    ck_assert_str_eq(show(&file), expected);
    close_made();
}

static inline void refuse(dn_status status, const char *expected)
{
    bool good = read_made();

    ck_assert_msg(!good, "%s: accepted", expected);
    ck_assert_str_eq(error.message, expected);
    ck_assert_int_eq(error.status, status);
    close_made();
}

/* Bytes at a place are others: refused. */
static inline void spoil(size_t at, uint64_t number, int size, const char *expected)
{
    uint64_t old = at_patch(at, size);
    dn_status status = strstr(expected, "encrypted") || strstr(expected, "zip method") ? DN_E_UNSUPPORTED : DN_E_FORMAT;

    patch(at, number, size);
    refuse(status, expected);
    patch(at, old, size);
}

/* And: read all the same. */
static inline void change(size_t at, uint64_t number, int size, const char *expected)
{
    uint64_t old = at_patch(at, size);

    patch(at, number, size);
    expect(expected);
    patch(at, old, size);
}

/* A file that ends too early is refused, wherever it ends. */
static inline void refuse_cuts(size_t whole)
{
    size_t size = made_size;

    for (made_size = 0; made_size < whole; made_size++) {
        ck_assert(!read_made());
        ck_assert(error.status < 0 && error.message[0]);
        close_made();
    }
    made_size = size;
}

/* ---- a state dict: w (2, 3) and b (2), of storages "10" and "1" ---- */

#define FLOATS(key, count) "(U\7storagectorch\nFloatStorage\n" key "U\3cpu" count "tQ"
#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n("
#define HOOKS "\x89}tR"
#define W TENSOR FLOATS("U\2\x31\x30", "K\6") "K\0K\2K\3\x86K\3K\1\x86" HOOKS
#define B TENSOR FLOATS("U\1\x31", "K\2") "K\0K\2\x85K\1\x85" HOOKS
#define STATE "\x80\2}(U\1w" W "U\1\x62" B "u."
#define READ "[w f32 2/3 3/1 = 0.5 -1.25 3 0 1 -7] [b f32 2/1 = 0.125 -2]"

static const float weights[] = {0.5f, -1.25f, 3, 0, 1, -7}, biases[] = {0.125f, -2};

#endif
