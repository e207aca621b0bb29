/* The backbone that is compiled into the library: the bytes of default.safetensors. */
#ifndef DN_BACKBONE_EMBEDDED_H
#define DN_BACKBONE_EMBEDDED_H

#include <stdint.h>

/* Read-only pages of the library's file: they take memory only while they are read. */
extern const uint8_t embedded_backbone[] __attribute__((visibility("hidden")));
extern const uint64_t embedded_backbone_size __attribute__((visibility("hidden"))); /* 0: this build has none */

#endif
