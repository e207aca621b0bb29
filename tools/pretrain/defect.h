/* Damage to a finished scene. */
#ifndef DN_PRETRAIN_DEFECT_H
#define DN_PRETRAIN_DEFECT_H

#include "scene.h"

enum defect_kind {
    DEFECT_NONE, DEFECT_SCRATCH, DEFECT_CRACK, DEFECT_STAIN, DEFECT_PIT, DEFECT_DENT, DEFECT_PATCH, DEFECT_WARP,
    DEFECT_SWIRL, DEFECT_BLUR, DEFECT_MISSING, DEFECT_FIBRE, DEFECT_CHIP, DEFECT_COLOUR, DEFECT_CUT, DEFECT_KINDS
};

const char *defect_name(int32_t kind);

/* Changes s->image, which equals s->good before, by a defect of the kind.  attempt: 0, 1, ..: later ones are stronger
 * and larger.  Uses spare planes. */
void draw_defect(struct scene *s, int32_t kind, struct dice d, int32_t attempt);

/* Where image differs from good by more than `step` of display values: 255 in mask (nullable); the number of such
 * pixels. */
int64_t find_change(const struct scene *s, float *const *image, float *const *good, float step, uint8_t *mask);

#endif
