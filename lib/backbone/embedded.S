/* default.safetensors as read-only data (embedded.h), for ELF; embed.py makes C source of it for other object files.  The
 * assembler copies the file in at once.  Not inline assembly in C: link-time optimisation would lose it. */

        .section .rodata
        .balign 64
        .globl  embedded_backbone
        .hidden embedded_backbone
        .type   embedded_backbone, %object
embedded_backbone:
        .incbin "backbone/default.safetensors"
.Lend:
        .size   embedded_backbone, .Lend - embedded_backbone

        .balign 8
        .globl  embedded_backbone_size
        .hidden embedded_backbone_size
        .type   embedded_backbone_size, %object
embedded_backbone_size:
        .8byte  .Lend - embedded_backbone
        .size   embedded_backbone_size, 8

/* The linker gives the library only those protections that every object file says it stands: no executable stack, and
 * on processors with guarded branches these.  There is no code here to break them. */
        .section .note.GNU-stack, "", %progbits
#if defined(__CET__)
#include <cet.h>
#elif defined(__aarch64__) && (defined(__ARM_FEATURE_BTI_DEFAULT) || defined(__ARM_FEATURE_PAC_DEFAULT))
        .section .note.gnu.property, "a", %note
        .balign 8
        .4byte  4, 16, 5        /* sizes of name and content; NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .4byte  0xc0000000, 4   /* GNU_PROPERTY_AARCH64_FEATURE_1_AND, and the size of its value */
        .4byte  3, 0            /* BTI, PAC; padding */
#endif
