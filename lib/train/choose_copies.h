/* Which copies suit a part, told by good images that were not learned from. */
#ifndef DN_TRAIN_CHOOSE_COPIES_H
#define DN_TRAIN_CHOOSE_COPIES_H

#include "train/train_maps.h"

/* *kind: DN_COPIES_NONE, _SMALL, _MIRROR or _TURN; NULL: not asked for.  *fixed: whether the parts lie in a fixed pose,
 * so that mirrored and turned ones are nothing like them; 0 with too few images to tell.  density: its projection is
 * fitted; its Gaussians are overwritten. */
dn_status choose_copies(train_maps *maps, positions *density, uint64_t seed, int32_t *kind, _Bool *fixed,
                        dn_error *error);

#endif
