/* Copies of good images that the density at every position learns beside them: moved, as another part of the kind could
 * lie, and in another light (light.h). */
#ifndef DN_TRAIN_COPIES_H
#define DN_TRAIN_COPIES_H

#include "differnet.h"

/* What an image is learned with, beside itself.  Copy 0 .. moved - 1 is moved; copies from there on are in another
 * light only.  Moved copies are in another light, too, four out of five of them. */
typedef struct copy_plan {
    int32_t kind;  /* DN_COPIES_NONE, _SMALL, _MIRROR, _TURN */
    int32_t moved; /* 0 for DN_COPIES_NONE */
    int32_t count; /* all copies */
    int32_t light; /* 0: none is in another light */
    uint64_t seed;
    const float *mean, *std; /* that views are normalised with; borrowed */
} copy_plan;

/* How each of so many images is copied: fewer times the more there are. */
copy_plan copies_planned(int32_t kind, int32_t images, _Bool light, uint64_t seed, const float *mean, const float *std);

/* One copy of an image: copies_change's context. */
typedef struct image_copy {
    const copy_plan *plan;
    int32_t image, copy; /* -1: the image itself, which stays as it is */
} image_copy;
/* Changes a normalised view (height, width, 3).  scratch: as large. */
void copies_change(void *context, int32_t width, int32_t height, float *view, float *scratch);

#endif
