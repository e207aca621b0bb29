/* The density at every position, from the good images: projection, folds, the final fit. */
#ifndef DN_TRAIN_TRAIN_POSITIONS_H
#define DN_TRAIN_TRAIN_POSITIONS_H

#include "base/pool.h"
#include "differnet/position_map.h"
#include "train/train_images.h"
#include "train/watch.h"

#define POSITIONS_FOLDS 20 /* unless another number is asked for, or there are few images */

/* All good images are learned from.  They are also judged by a density that has not seen them: they are divided into
 * folds, and for each fold the Gaussians are fitted to the others (cross-fitting).  Of many images those that the
 * projection was found from are not judged. */
typedef struct trained_positions {
    dn_allocator allocator;
    positions *density;
    int32_t judged; /* images that were; 0 with fewer than two images, and what follows NULL or 0 */
    int32_t *row;   /* (images.count), in order of addition: where in `levels` an image is; -1: it was not judged */
    position_level *levels; /* (judged), in order of addition: of the density that has not seen the image */
    int32_t peak_count;     /* images that were judged, of each group the first */
    double *peaks;          /* (peak_count), sorted: highest values of the maps by these densities */
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
