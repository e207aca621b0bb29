/* Files that are given as images and are none that this library reads. */
#ifndef DN_IMAGE_FOREIGN_H
#define DN_IMAGE_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

/* What the bytes are, for a message ("a GIF image", "a web page"); NULL if that is not known.  Static string. */
const char *foreign_kind(const uint8_t *bytes, size_t size);

#endif
