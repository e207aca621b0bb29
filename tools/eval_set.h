/* Test sets: good images, defective ones, and their masks.
 *
 *     DATA/test/good/     DATA/test/<defect>/     DATA/ground_truth/<defect>/<name>_mask.png
 *
 * The names that are known, and what else is accepted: docs/cli.md. */
#ifndef DN_TOOLS_EVAL_SET_H
#define DN_TOOLS_EVAL_SET_H

#include "dataset.h"

typedef struct test_image {
    char *path;
    char *mask;     /* a file, or a folder of several; NULL: a good image, or a data set without masks */
    int32_t defect; /* index into `defects`; -1: good */
} test_image;

typedef struct test_set {
    test_image *images; /* good ones first, then defect by defect */
    size_t count, good;
    char **defects; /* names, in order */
    size_t *defect_images;
    size_t defect_count;
    size_t masks_beside; /* masks that lay beside images, and are left out */
    bool masks;          /* there is a folder of masks, and with it a mask for each defective image */
} test_set;
/* Reads the test images.  with_masks: false leaves masks alone.  Tells what it takes, unless `quiet`.  Complains and
 * returns false if good or defective images are missing, or a mask. */
bool open_test_set(const char *data, bool with_masks, bool quiet, test_set *set);
/* Whether a folder is a test set: with a folder of good images, as above.  Complains about nothing. */
bool is_test_set(const char *data);
void free_test_set(test_set *set);

#endif
