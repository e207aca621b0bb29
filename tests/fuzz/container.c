/* Safetensors files for the fuzz targets, written without the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

void fuzz_require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

uint8_t *fuzz_container(const char *json, size_t data_size, size_t *size)
{
    uint64_t length = strlen(json);
    uint8_t *bytes = calloc(1, 8 + length + data_size);

    fuzz_require(bytes != NULL, "memory");
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, json, length);
    /* 0x3d as every fourth byte: as float32 about 0.03, as float16 0 and about 1.3. */
    for (size_t i = 3; i < data_size; i += 4)
        bytes[8 + length + i] = 0x3d;
    *size = 8 + length + data_size;
    return bytes;
}

void fuzz_repair_header(uint8_t *data, size_t size)
{
    int depth = 0, quoted = 0;

    for (size_t i = 8; i < size; i++) {
        if (quoted) {
            if (data[i] == '\\')
                i++;
            else if (data[i] == '"')
                quoted = 0;
            continue;
        }
        quoted = data[i] == '"';
        depth += (data[i] == '{') - (data[i] == '}');
        if (depth == 0) {
            size_t end = i + 1;
            while (end < size && data[end] == ' ')
                end++;
            uint64_t length = end - 8;
            memcpy(data, &length, 8);
            return;
        }
    }
}

static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

/* Where the eight digits behind a key are; NULL: nowhere before `end`. */
static uint8_t *find_sum(uint8_t *data, size_t end, const char *key)
{
    size_t length = strlen(key);

    for (size_t i = 8; i + length + 8 <= end; i++)
        if (!memcmp(data + i, key, length))
            return data + i + length;
    return NULL;
}

static void put_sum(uint8_t *to, uint32_t crc)
{
    char digits[9];

    snprintf(digits, sizeof digits, "%08x", (unsigned)crc);
    memcpy(to, digits, 8);
}

void fuzz_repair_sums(uint8_t *data, size_t size)
{
    uint64_t length;

    fuzz_repair_header(data, size);
    if (size < 8)
        return;
    memcpy(&length, data, 8);
    if (length > size - 8)
        return;
    size_t start = 8 + (size_t)length;
    uint8_t *data_sum = find_sum(data, start, "\"differnet.crc32\":\"");
    uint8_t *header_sum = find_sum(data, start, "\"differnet.header_crc32\":\"");
    if (data_sum)
        put_sum(data_sum, crc32_of(data + start, size - start));
    if (header_sum) {
        memcpy(header_sum, "00000000", 8);
        put_sum(header_sum, crc32_of(data, start));
    }
}

/* ---- mutations of what the bytes mean ---- */

/* The next place of `text` in the header from `at` on; NULL: nowhere. */
static uint8_t *find_text(uint8_t *at, const uint8_t *end, const char *text)
{
    size_t length = strlen(text);

    for (; (size_t)(end - at) > length + 1; at++)
        if (!memcmp(at, text, length))
            return at;
    return NULL;
}

/* A decimal number at *at, which moves behind it; the byte behind it is the header's, too. */
static size_t read_size(const uint8_t **at, const uint8_t *end)
{
    size_t number = 0;

    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        number = 10 * number + (size_t)(**at - '0');
    return number;
}

/* Numbers of a tensor: one of them, or all. */
static void change_numbers(uint8_t *data, size_t size, uint8_t *dtype, uint64_t random)
{
    static const float singles[] = {0, -1, 1, 1e-30f, 3e38f, -0.0f, 0.5f, 2};
    static const uint16_t halves[] = {0, 0xBC00, 0x3C00, 1, 0x7BFF, 0x8000, 0x7C00, 0x7E00};
    static const int64_t integers[] = {0, -1, 1, 2, INT32_MAX, INT64_MAX, 5, 255};
    size_t element = dtype[1] == '6' ? 8 : dtype[1] == '3' ? 4 : dtype[1] == '1' ? 2 : 1;
    uint8_t bytes[8];
    double wide = (double)singles[random % 8];

    if (size < element)
        return;
    memcpy(bytes, &integers[random % 8], 8);
    if (dtype[0] == 'F') {
        memcpy(bytes, &wide, 8);
        if (element == 4)
            memcpy(bytes, &singles[random % 8], 4);
        if (element == 2)
            memcpy(bytes, &halves[random % 8], 2);
        if (random / 8 % 8 == 0) /* all ones: not a number */
            memset(bytes, 0xFF, 8);
    }
    random /= 64;
    size_t count = size / element, first = random % 3 ? (random / 3) % count : 0;
    size_t last = random % 3 == 2 ? count : first + 1;
    for (size_t i = first; i < last; i++)
        memcpy(data + i * element, bytes, element);
}

/* Another type of the same size. */
static void change_type(uint8_t *dtype)
{
    if (dtype[0] == 'F')
        dtype[0] = 'I';
    else if (dtype[0] == 'I')
        dtype[0] = dtype[1] == '3' ? 'U' : 'F';
    else if (dtype[0] == 'U' && dtype[1] == '8')
        dtype[0] = 'I';
    else if (dtype[0] == 'U')
        dtype[0] = 'F';
}

/* [2,3] becomes [3,2]: as many elements. */
static void turn_shape(uint8_t *shape, const uint8_t *end)
{
    uint8_t turned[64];
    size_t length = 0, to = 0;

    while (shape + length < end && shape[length] != ']')
        length++;
    if (length > sizeof turned)
        return;
    for (size_t stop = length; stop > 0;) {
        size_t start = stop;
        while (start > 0 && shape[start - 1] != ',')
            start--;
        memcpy(turned + to, shape + start, stop - start);
        to += stop - start;
        if (start > 0)
            turned[to++] = ',';
        stop = start > 0 ? start - 1 : 0;
    }
    memcpy(shape, turned, to);
}

void fuzz_change_tensor(uint8_t *data, size_t size, uint64_t random)
{
    uint64_t length;
    uint8_t *entries[256], *at = data + 8;
    int count = 0;

    if (size < 9 || data[8] != '{')
        return;
    memcpy(&length, data, 8);
    if (length > size - 8)
        return;
    uint8_t *end = data + 8 + length;
    for (; count < 256 && (at = find_text(at, end, "\"dtype\":\"")); at++)
        entries[count++] = at + 9;
    if (count == 0)
        return;
    uint8_t *dtype = entries[random % (uint64_t)count];
    random /= (uint64_t)count;
    uint8_t *shape = find_text(dtype, end, "\"shape\":["), *offsets = find_text(dtype, end, "\"data_offsets\":[");
    switch (random % 8) {
    case 0:
        change_type(dtype);
        break;
    case 1:
        if (shape)
            turn_shape(shape + 9, end);
        break;
    default:
        if (!offsets)
            break;
        const uint8_t *number = offsets + 16;
        size_t first = read_size(&number, end);
        number += number < end;
        size_t last = read_size(&number, end);
        if (first < last && last <= size - 8 - length)
            change_numbers(end + first, last - first, dtype, random / 8);
    }
}
