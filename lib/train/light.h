/* Copies of good images as another light, lens or sensor would have shown them, so that what the camera does is not
 * taken for a defect. */
#ifndef DN_TRAIN_LIGHT_H
#define DN_TRAIN_LIGHT_H

#include <stdint.h>

/* darker, lighter, out of focus, noisy */
#define LIGHT_KINDS 4

typedef struct light_copy {
    int32_t kind;        /* 0 .. LIGHT_KINDS - 1 */
    uint64_t seed, copy; /* of the noise: another one for each copy */
    const float *mean, *std;
} light_copy;

/* Copies that each of so many images gets: few images, in which little of this happened, get one of each kind. */
int32_t light_copies(int32_t images);
/* Kind of copy `number` (0 ...) of an image, among so many. */
int32_t light_kind(int32_t image, int32_t number, int32_t kinds);
/* Changes a normalised view (height, width, 3) as `context`, a light_copy, says.  scratch: as large. */
void light_change(void *context, int32_t width, int32_t height, float *view, float *scratch);

#endif
