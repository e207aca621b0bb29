/* Made-up pictures for pretraining: an unlimited number of classes of textures and objects, many pictures of each,
 * whole or damaged.  A picture is a pure function of the options, its class, instance and kind of defect: threads,
 * order and the rest of the batch do not matter.  Near twins: the classes n * siblings .. n * siblings +
 * siblings - 1 are one family's, and differ in small geometry alone (a pitch, a width, a count, a profile, an angle).
 *
 * All functions may be called from several threads at once. */
#ifndef DN_PRETRAIN_GENERATOR_H
#define DN_PRETRAIN_GENERATOR_H

#include <stdint.h>

#if defined __GNUC__
#define GENERATOR_API __attribute__((visibility("default")))
#else
#define GENERATOR_API
#endif

enum generator_error {
    GENERATOR_OK = 0,
    GENERATOR_E_ARGUMENT = -1, /* a NULL pointer, a number out of its range */
    GENERATOR_E_MEMORY = -2,
    GENERATOR_E_THREAD = -3,   /* a thread cannot be started */
};

struct generator_options {
    uint32_t struct_size; /* sizeof (struct generator_options) */
    int32_t size;         /* side of the pictures, pixels, 32 .. 1024 */
    uint64_t seed;        /* of the classes and all that follows */
    int32_t siblings;     /* classes per family of near twins, 1 .. 64; 0: 4 */
    int32_t threads;      /* 1 .. 256; 0: 1 */
    float pose;           /* 0 .. 1: how far instances of a class are shifted, turned, scaled (1: objects any way) */
    float look;           /* 0 .. 1: how far palette, light and exposure vary between them */
    float degrade;        /* 0 .. 1: how often pictures are noisy, blurred, rescaled, stored as JPEG */
    float zoom;           /* factor on the scale of a class, 0.05 .. 20; 0: 1 */
};

/* Draws `count` pictures.
 * classes:   (count), >= 0
 * instances: (count)
 * defects:   (count) 0 none, 1 .. generator_defect_kinds() a kind, -1 one of the kinds at random; NULL: none.  The
 *            picture with a defect differs from the same instance without only at and beside the defect.
 * images:    (count, size, size, 3) RGB
 * kinds:     (count) the kind drawn, or NULL.  (Where the kind asked for cannot be seen, in a picture without any
 *            structure to move or blur, it is another one.)
 * masks:     (count, size, size) 255 where the defect shows, otherwise 0; or NULL
 * Returns GENERATOR_OK, or an error; what was written is undefined then. */
GENERATOR_API int32_t generator_run(const struct generator_options *options, const int32_t *classes,
                                    const int64_t *instances, const int32_t *defects, int64_t count, uint8_t *images,
                                    int32_t *kinds, uint8_t *masks);

/* Number of kinds without "none"; the name of kind 0 .. that number, NULL beyond. */
GENERATOR_API int32_t generator_defect_kinds(void);
GENERATOR_API const char *generator_defect_name(int32_t kind);

/* Textures come first.  The name of family 0 .. generator_families() - 1, NULL beyond. */
GENERATOR_API int32_t generator_families(void);
GENERATOR_API int32_t generator_texture_families(void);
GENERATOR_API const char *generator_family_name(int32_t family);
/* The family of a class, -1 for arguments out of range.  siblings as in the options. */
GENERATOR_API int32_t generator_family_of(uint64_t seed, int32_t siblings, int32_t class_number);

#endif
