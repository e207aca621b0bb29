/* The backbone that is compiled into the library: the bytes of default.safetensors. */
#ifndef DN_BACKBONE_EMBEDDED_H
#define DN_BACKBONE_EMBEDDED_H

#include <stdint.h>

#ifdef __ELF__
#define EMBEDDED_HIDDEN __attribute__((visibility("hidden")))
#else
#define EMBEDDED_HIDDEN
#endif

/* Read-only pages of the library's file: they take memory only while they are read. */
extern const uint8_t embedded_backbone[] EMBEDDED_HIDDEN;
extern const uint64_t embedded_backbone_size EMBEDDED_HIDDEN; /* 0: this build has none */

#endif
