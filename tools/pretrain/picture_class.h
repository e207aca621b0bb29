/* A class: everything that its instances share. */
#ifndef DN_PRETRAIN_PICTURE_CLASS_H
#define DN_PRETRAIN_PICTURE_CLASS_H

#include "object.h"

struct picture_class {
    int32_t family;        /* textures first */
    struct texture ground; /* the texture, or the object's background */
    struct object object;  /* if it is one */
    float palette[COLOURS][3]; /* display values */
    bool grey;
    float gloss, ambient, mirror;
    int32_t squarings;
    float shadow;
};

int32_t class_families(void);
int32_t class_texture_families(void);
const char *class_family_name(int32_t family);
int32_t class_family_of(uint64_t seed, int32_t siblings, int32_t number);
void make_class(struct picture_class *c, uint64_t seed, int32_t siblings, int32_t number);
static inline bool class_is_object(const struct picture_class *c)
{
    return c->family >= class_texture_families();
}

#endif
