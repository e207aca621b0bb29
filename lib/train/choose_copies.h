/* Which copies suit a part, told by good images that were not learned from. */
#ifndef DN_TRAIN_CHOOSE_COPIES_H
#define DN_TRAIN_CHOOSE_COPIES_H

#include "train/train_maps.h"

/* *kind: DN_COPIES_NONE, _SMALL, _MIRROR or _TURN.  density: its projection is fitted; its Gaussians are overwritten. */
dn_status choose_copies(train_maps *maps, positions *density, uint64_t seed, int32_t *kind, dn_error *error);

#endif
