/* For compare_json.py: reads documents from standard input, each behind its length (4 bytes), and writes each as the
 * library's reader and writer give it back, likewise; 0xFFFFFFFF where the reader refuses it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "json_rewrite.h"

static void put(const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, stdout) != size)
        abort();
}

static void answer(const uint8_t *document, uint32_t size)
{
    dn_allocator allocator = mem_allocator(NULL);
    json_writer json = {.blob = blob_create(&allocator)};
    uint32_t length = UINT32_MAX;
    json_value root;
    size_t position;

    if (json_parse(document, size, &root, &position)) {
        json_rewrite(root, &json);
        length = (uint32_t)json.blob->size;
        put(&length, sizeof length);
        put(json.blob->data, length);
    } else {
        put(&length, sizeof length);
    }
    blob_free(json.blob);
}

int main(void)
{
    uint32_t size;

    while (fread(&size, sizeof size, 1, stdin) == 1) {
        uint8_t *document = malloc(size + 1); /* size: what compare_json.py sends */
        if (!document || fread(document, 1, size, stdin) != size)
            abort();
        answer(document, size);
        free(document);
    }
    return fflush(stdout) != 0;
}
