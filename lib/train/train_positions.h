/* The density at every position, from the good images: projection, folds, the final fit. */
#ifndef DN_TRAIN_TRAIN_POSITIONS_H
#define DN_TRAIN_TRAIN_POSITIONS_H

#include "base/pool.h"
#include "differnet/position_map.h"
#include "train/train_images.h"
#include "train/watch.h"

/* All good images are learned from.  Each is also scored by a density that has not seen it: they are divided into
 * folds, and for each fold the Gaussians are fitted to the others (cross-fitting). */
typedef struct trained_positions {
    dn_allocator allocator;
    positions *density;
    position_level *levels; /* (images.count), in order of addition: of the density that has not seen the image; NULL
                               with fewer than two images */
    double *peaks;          /* (images.count), sorted: highest values of the maps by these densities; NULL likewise */
    double scale;           /* of the map; 0: not known */
    int32_t folds;
    int32_t copies; /* DN_COPIES_... that were learned, too */
} trained_positions;

/* On failure *out is empty. */
dn_status train_positions(const dn_extractor *extractor, const dn_train_options *options, const train_images *images,
                          pool *workers, const train_watch *watch, const dn_allocator *allocator,
                          trained_positions *out, dn_error *error);
void trained_positions_release(trained_positions *trained); /* what was taken is NULL */

#endif
