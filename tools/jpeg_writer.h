/* Small pictures for pages: JPEG, as PNG would make them several times as large. */
#ifndef DN_TOOLS_JPEG_WRITER_H
#define DN_TOOLS_JPEG_WRITER_H

#include <stddef.h>
#include <stdint.h>

/* rgb: (height, width, 3), sides of 1 .. 65500.  Returns the file as new memory (free).  Ends the command, with a message,
 * where memory is out. */
uint8_t *jpeg_encode(const uint8_t *rgb, int32_t width, int32_t height, size_t *size);

#endif
