/* The backbone as embed.py's C source is, byte for byte, the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backbone/embedded.h"

int main(void)
{
    size_t size = (size_t)embedded_backbone_size;
    FILE *file = fopen(DEFAULT_BACKBONE, "rb");
    uint8_t *bytes = malloc(size + 1);
    int same = file && bytes && fread(bytes, 1, size + 1, file) == size && memcmp(bytes, embedded_backbone, size) == 0;

    if (!same)
        fprintf(stderr, "embed.py's source is not %s\n", DEFAULT_BACKBONE);
    free(bytes);
    if (file)
        fclose(file);
    return same ? 0 : 1;
}
