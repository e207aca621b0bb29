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
