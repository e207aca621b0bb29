/* Fuzz target: what `differnet convert` reads, PyTorch checkpoints above all.  Every tensor of a valid file is read. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../tools/convert/weights_file.h"
#include "fuzz.h"

#define LIMIT ((size_t)1 << 22) /* bytes of all tensors */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weights_file file;
    dn_error error;
    size_t packed_size;

    if (!weights_read(&file, data, size, &error)) {
        fuzz_require(error.status < 0 && error.message[0], "an error is described");
        weights_free(&file);
        return 0;
    }
    fuzz_require(error.status == DN_OK, "no error");
    if (!file.metadata[KEY_LAYERS]) {
        file.metadata[KEY_LAYERS] = strdup("[{\"op\":\"conv\",\"weight\":\"w\"}]");
        fuzz_require(file.metadata[KEY_LAYERS] != NULL, "memory");
    }
    uint8_t *packed = weights_pack(&file, LIMIT, &packed_size, &error);
    weights_free(&file);
    if (!packed) {
        fuzz_require(error.status < 0 && error.message[0], "an error is described");
        return 0;
    }
    /* What was packed is what is read again. */
    weights_file again;
    fuzz_require(weights_read(&again, packed, packed_size, &error), error.message);
    weights_free(&again);
    dn_extractor *extractor;
    dn_status status = dn_extractor_open_memory(packed, packed_size, NULL, &extractor, &error);
    fuzz_require((status == DN_OK) == (extractor != NULL), "an extractor or an error");
    dn_extractor_unref(extractor);
    free(packed);
    return 0;
}

/* ---- seeds: w (2, 3, 1, 1) and b (2), in each format ---- */

typedef struct buffer {
    uint8_t bytes[16384];
    size_t size;
} buffer;

static void put(buffer *to, const void *bytes, size_t size)
{
    fuzz_require(size <= sizeof to->bytes - to->size, "room in a seed");
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static void put_text(buffer *to, const char *string)
{
    put(to, string, strlen(string));
}

static void put_number(buffer *to, uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        put(to, &(uint8_t){(uint8_t)(number >> 8 * i)}, 1);
}

static void put_floats(buffer *to, int count)
{
    for (int i = 0; i < count; i++)
        put(to, &(float){0.25f * (float)i}, 4);
}

#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n("
#define HOOKS \
    "\x89"    \
    "ccollections\nOrderedDict\n)RtR"

/* The storage's persistent id.  legacy: with the view that the format before 1.6 may have. */
static void put_storage(buffer *to, const char *key, int count, const char *view)
{
    put_text(to, "(U\7storagectorch\nFloatStorage\nX\1");
    put(to, "\0\0\0", 3);
    put_text(to, key);
    put_text(to, "\x8C\3"
                 "cpuK");
    put_number(to, (uint64_t)count, 1);
    put_text(to, view);
    put_text(to, "tQ");
}

static void put_state_dict(buffer *to, const char *view)
{
    put_text(to, "\x80\2}q");
    put(to, "\0(", 2);
    put_text(to, "U\1w" REBUILD);
    put_storage(to, "0", 6, view);
    put(to, "K\0(K\2K\3K\1K\1tr\1\0\0\0(K\3K\1K\1K\1t", 27);
    put_text(to, HOOKS "U\1bctorch._utils\n_rebuild_parameter\n(" REBUILD);
    put_storage(to, "1", 2, view);
    put(to, "K\0K\2\x85q\2K\1\x85", 10);
    put_text(to, HOOKS "\x88"
                       "ccollections\nOrderedDict\n)RtRu}bX\1");
    put(to, "\0\0\0e", 4);
    put_text(to, "](NI-12\n\x8A\x0A"
                 "ABCDEFGHIJG12345678es.");
}

static void put_entry(buffer *directory, buffer *to, const char *name, const buffer *content, int deflated)
{
    buffer packed = *content;
    uint32_t place = (uint32_t)to->size, crc = (uint32_t)crc32(0, content->bytes, (uInt)content->size);

    if (deflated) {
        z_stream stream = {.next_in = (uint8_t *)(uintptr_t)content->bytes,
                           .avail_in = (uInt)content->size,
                           .next_out = packed.bytes,
                           .avail_out = sizeof packed.bytes};
        fuzz_require(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
                         deflate(&stream, Z_FINISH) == Z_STREAM_END,
                     "deflate");
        packed.size = stream.total_out;
        deflateEnd(&stream);
    }
    for (int central = 0; central < 2; central++) {
        buffer *target = central ? directory : to;
        put_text(target, central ? "PK\1\2" : "PK\3\4");
        put_number(target, 20, central ? 4 : 2); /* versions; flags: 0 */
        put_number(target, 0, 2);
        put_number(target, deflated ? 8 : 0, 2);
        put_number(target, 0, 4);
        put_number(target, crc, 4);
        put_number(target, packed.size, 4);
        put_number(target, content->size, 4);
        put_number(target, strlen(name), 2);
        put_number(target, 0, 2);
        if (central) {
            put_number(target, 0, 8);
            put_number(target, 0, 2);
            put_number(target, place, 4);
        }
        put_text(target, name);
    }
    put(to, packed.bytes, packed.size);
}

static void make_zip(buffer *to, int deflated)
{
    static buffer directory, pickle, weight, bias;

    directory.size = pickle.size = weight.size = bias.size = 0;
    put_state_dict(&pickle, "");
    put_floats(&weight, 6);
    put_floats(&bias, 2);
    put_entry(&directory, to, "archive/data.pkl", &pickle, deflated);
    put_entry(&directory, to, "archive/data/0", &weight, deflated);
    put_entry(&directory, to, "archive/data/1", &bias, 0);
    size_t start = to->size;
    put(to, directory.bytes, directory.size);
    if (deflated) { /* 64-bit records as well */
        size_t record = to->size;
        put_text(to, "PK\6\6");
        put_number(to, 44, 8);
        put_number(to, 45, 4);
        put_number(to, 0, 8);
        put_number(to, 3, 8);
        put_number(to, 3, 8);
        put_number(to, directory.size, 8);
        put_number(to, start, 8);
        put_text(to, "PK\6\7");
        put_number(to, 0, 4);
        put_number(to, record, 8);
        put_number(to, 1, 4);
    }
    put_text(to, "PK\5\6");
    put_number(to, 0, 4);
    put_number(to, 3, 2);
    put_number(to, 3, 2);
    put_number(to, directory.size, 4);
    put_number(to, start, 4);
    put_number(to, 0, 2);
}

static void make_legacy(buffer *to)
{
    put_text(to, "\x80\2\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\2M\xE9\3.");
    put_text(to, "\x80\2}U\x0Dlittle_endian\x88s.");
    put_state_dict(to, "N");
    put_text(to, "\x80\2](U\1"
                 "0U\1"
                 "1e.");
    put_number(to, 6, 8);
    put_floats(to, 6);
    put_number(to, 2, 8);
    put_floats(to, 2);
}

static void sum_header(uint8_t *header)
{
    unsigned sum = 0;

    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += header[i];
    for (int i = 5; i >= 0; i--, sum /= 8)
        header[148 + i] = (uint8_t)('0' + sum % 8);
    header[154] = 0;
}

static void put_file(buffer *to, const char *name, const buffer *content)
{
    uint8_t header[512] = {0};
    size_t rest = content->size;

    memcpy(header, name, strlen(name));
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    header[156] = '0';
    for (int i = 10; i >= 0; i--, rest /= 8)
        header[124 + i] = (uint8_t)('0' + rest % 8);
    sum_header(header);
    put(to, header, sizeof header);
    put(to, content->bytes, content->size);
    while (to->size % 512)
        put(to, "", 1);
}

static void make_tar(buffer *to)
{
    static buffer info, pickle, tensors, storages;

    info.size = pickle.size = tensors.size = storages.size = 0;
    put_text(&info, "\x80\2}U\x0Dlittle_endian\x88s.");
    put_text(&pickle, "\x80\2"
                      "ccollections\nOrderedDict\n](](U\1wU\2"
                      "11Qe](U\1bU\2"
                      "12Qee\x85R.");
    put_text(&tensors, "\x80\2K\2.\x80\2(K\x0BK\x15"
                       "ctorch\nFloatTensor\nt.");
    static const uint8_t shape[] = {4, 2, 3, 1, 1, 3, 1, 1, 1, 0};
    for (size_t i = 0; i < sizeof shape; i++)
        put_number(&tensors, shape[i], 8);
    put_text(&tensors, "\x80\2(K\x0CI23\nctorch\nFloatTensor\nt.");
    static const uint8_t flat[] = {1, 2, 1, 0};
    for (size_t i = 0; i < sizeof flat; i++)
        put_number(&tensors, flat[i], 8);
    put_text(&storages, "\x80\2K\2.\x80\2(K\x15U\3cpuctorch\nFloatStorage\nt.");
    put_number(&storages, 6, 8);
    put_floats(&storages, 6);
    put_text(&storages, "\x80\2(K\x16U\3cpuctorch\nFloatStorage\nt.");
    put_number(&storages, 3, 8);
    put_floats(&storages, 3);
    put_text(&storages, "\x80\2](K\x17K\x16K\1K\2ta.");
    put_file(to, "sys_info", &info);
    put_file(to, "pickle", &pickle);
    put_file(to, "tensors", &tensors);
    put_file(to, "storages", &storages);
}

static uint8_t *copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = malloc(size ? size : 1);

    fuzz_require(copied != NULL, "memory");
    memcpy(copied, bytes, size);
    return copied;
}

/* What a tar archive ends with is padding. */
static size_t last_byte(const buffer *made)
{
    size_t size = made->size;

    while (size > 0 && made->bytes[size - 1] == 0)
        size--;
    return size;
}

/* A file that ends too early is refused, wherever it ends. */
static void refuse_cuts(const buffer *made, size_t whole)
{
    for (size_t size = 0; size < whole; size++) {
        uint8_t *bytes = copy(made->bytes, size); /* of exactly that size, so that a read beyond it is seen */
        weights_file file;
        dn_error error;
        fuzz_require(!weights_read(&file, bytes, size, &error), "a file that is cut off is refused");
        fuzz_require(error.status < 0 && error.message[0], "an error is described");
        weights_free(&file);
        free(bytes);
    }
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    static const char listed[] = "{\"w\":{\"dtype\":\"F16\",\"shape\":[2,3,1,1],\"data_offsets\":[0,12]},"
                                 "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
                                 "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]},"
                                 "\"__metadata__\":{\"name\":\"n\",\"differnet.layers\":\"[]\"}}";
    static buffer made;

    made.size = 0;
    if (index == 0 || index == 1)
        make_zip(&made, index);
    else if (index == 2)
        make_legacy(&made);
    else if (index == 3)
        make_tar(&made);
    else
        return index == 4 ? fuzz_container(listed, 24, size) : NULL;
    weights_file file;
    dn_error error;
    _Bool good = weights_read(&file, made.bytes, made.size, &error);
    fuzz_require(good && file.count == 2, good ? "two tensors in a seed" : error.message);
    weights_free(&file);
    refuse_cuts(&made, index == 3 ? last_byte(&made) : made.size);
    *size = made.size;
    return copy(made.bytes, made.size);
}

/* ---- repair ---- */

static uint32_t number32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The checksums of stored files, wherever the directory is. */
static void repair_zip(uint8_t *data, size_t size)
{
    for (size_t i = 0; size >= 46 && i <= size - 46; i++) {
        if (memcmp(data + i, "PK\1\2", 4) != 0 || data[i + 10] != 0)
            continue;
        size_t place = number32(data + i + 42), length = number32(data + i + 20);
        if (place > size || size - place < 30)
            continue;
        size_t skip = 30u + data[place + 26] + 256u * data[place + 27] + data[place + 28] + 256u * data[place + 29];
        if (skip > size - place || length > size - place - skip)
            continue;
        uint32_t crc = (uint32_t)crc32(0, data + place + skip, (uInt)length);
        for (int k = 0; k < 4; k++)
            data[i + 16 + (size_t)k] = (uint8_t)(crc >> 8 * k);
    }
}

void fuzz_repair(uint8_t *data, size_t size)
{
    if (size >= 4 && memcmp(data, "PK\3\4", 4) == 0)
        repair_zip(data, size);
    else if (size >= 512 && memcmp(data + 257, "ustar", 5) == 0) {
        for (size_t at = 0; size - at >= 512; at += 512)
            if (memcmp(data + at + 257, "ustar", 5) == 0)
                sum_header(data + at);
    } else if (size >= 9 && data[8] == '{') {
        fuzz_repair_header(data, size);
    }
}
