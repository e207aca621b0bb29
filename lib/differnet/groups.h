/* Which good images are one and the same part: copies, found by their thumbnails, and what the caller says. */
#ifndef DN_DIFFERNET_GROUPS_H
#define DN_DIFFERNET_GROUPS_H

#include "differnet.h"

#define THUMB_SIDE 32 /* divides every canvas */
#define THUMB_SIZE (THUMB_SIDE * THUMB_SIDE)
/* Images are near copies where their thumbnails' distance is below this share of the mean over all pairs.  Noise, light
 * and JPEG leave 0.0005 to 0.0044; the most alike of different parts, solar cells of one module, have 0.010
 * (docs/accuracy.md). */
#define NEAR_SHARE 0.006

typedef struct image_groups {
    int32_t count;    /* groups; 0: not known yet */
    int32_t *group;   /* (images): 0 .. count - 1, in the order in which a group's first image was added */
    int32_t *first;   /* (count): that image */
    int32_t *copy_of; /* (images): an earlier image that this one is a copy of, or -1 */
    int32_t *kind;    /* (images): DN_DUPLICATE_..., 0 without one */
    int32_t adjacent; /* images whose nearest one was added right before or after them */
} image_groups;

/* One image, as far as it matters here. */
typedef struct group_image {
    const float *thumb; /* (THUMB_SIZE) */
    uint32_t crc;       /* of its pixels */
    int32_t name;       /* of the group that the caller puts it in; -1: none */
} group_image;

/* thumb: means of the gray values of equal parts of the canvas (height, width, 3), to mean 0 and deviation 1 (0 where all are
 * the same), so that the light does not count. */
void group_thumb(const uint16_t *canvas, int32_t width, int32_t height, float *thumb);
/* images: (count); names: there are no more of them, nor images.  copies: whether copies are looked for, for which alone
 * thumbnails are read.  A name that is used for several images makes one group of them. */
dn_status groups_find(const group_image *images, int32_t count, int32_t names, _Bool copies,
                      const dn_allocator *allocator, image_groups *out, dn_error *error);
void groups_release(image_groups *groups, const dn_allocator *allocator);

#endif
