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
