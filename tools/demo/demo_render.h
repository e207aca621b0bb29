/* Renders pictures of one made-up industrial part: a turned steel flange on a rubber mat under a lamp. */
#ifndef DN_TOOLS_DEMO_RENDER_H
#define DN_TOOLS_DEMO_RENDER_H

#include <stdint.h>

enum demo_defect { DEMO_GOOD, DEMO_BROKEN_EDGE, DEMO_DENT, DEMO_MISSING_HOLE, DEMO_SCRATCH, DEMO_STAIN, DEMO_DEFECTS };

/* rgb: (size, size, 3); mask: (size, size), 255 where the defect shows, or NULL.  All that is random (pose, light,
 * grain, noise, the defect's place and shape) follows from `seed`.  Returns 0 if memory is out. */
int demo_render(enum demo_defect defect, uint64_t seed, int size, uint8_t *rgb, uint8_t *mask);

#endif
