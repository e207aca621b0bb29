/* Folders of images, and data sets in MVTec layout:
 *
 *     DATA/train/good/     DATA/test/good/     DATA/test/<defect>/
 *     DATA/ground_truth/<defect>/<name>_mask.png
 *
 * `ok` is read as `good`.  Images end as dn_image_ending() tells, in any case.  Hidden files and folders are left out,
 * folders inside are searched, symbolic links followed (a link to a folder that is being searched is not). */
#ifndef DN_TOOLS_DATASET_H
#define DN_TOOLS_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct image_list {
    char **paths; /* numbers inside names count as numbers: 2.png before 10.png */
    size_t count, capacity;
} image_list;
void image_list_free(image_list *list);

/* All images below a folder, appended in order.  Complains and returns false if a folder cannot be read. */
bool list_images(const char *folder, image_list *list);
/* Appends `path` itself if it is no folder, and all images below it if it is.  False, with a message, if there is
 * nothing of that name or no image in the folder. */
bool list_operand(const char *path, image_list *list);
/* The good images to learn from: DATA/train/good, or, where there is no DATA/train, all images below DATA. */
bool list_training_images(const char *data, image_list *list);
/* Keeps `count` of the images: one from each of `count` even slices of the list, drawn by the seed. */
void choose_images(image_list *list, size_t count, uint64_t seed);

/* "1.png" before "2.png" before "10.png"; byte order otherwise. */
int natural_compare(const char *a, const char *b);

typedef struct test_image {
    char *path;
    char *mask;     /* NULL: a good image, or a data set without masks */
    int32_t defect; /* index into `defects`; -1: good */
} test_image;

typedef struct test_set {
    test_image *images; /* good ones first, then defect by defect */
    size_t count, good;
    char **defects;     /* names, in order */
    size_t *defect_images;
    size_t defect_count;
    bool masks;         /* there is a folder ground_truth, and with it a mask for each defective image */
} test_set;
/* Reads DATA/test.  with_masks: false leaves DATA/ground_truth alone.  Complains and returns false if DATA is not in
 * MVTec layout, lacks good or defective images, or a mask is missing. */
bool open_test_set(const char *data, bool with_masks, test_set *set);
void free_test_set(test_set *set);

#endif
