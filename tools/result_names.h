/* What the results of images are called: for each image a name without extension, with the folders it lies in, below
 * the folder for the results. */
#ifndef DN_TOOLS_RESULT_NAMES_H
#define DN_TOOLS_RESULT_NAMES_H

#include "dataset.h"

/* The longest end that may be added to a name: file systems take 255 bytes. */
#define RESULT_END 25

/* Lists the images of an operand as list_operand does, and appends to `names` what each is called: a file by its name,
 * an image in a folder with the folders below that one. */
bool list_named_operand(const char *path, image_list *images, image_list *names);
/* Makes all names different.  Where images of several folders share a name, all keep their folders, from the one on
 * that they have in common; what shares a name still (a.png and a.jpg) is numbered: a, a-2, ... */
void settle_names(const image_list *images, image_list *names);
/* Whether no file below `output` that names with `ends` (up to NULL) stand for is one of the images, or the mask (NULL:
 * none).  Complains if one is. */
bool results_spare(const char *output, const image_list *names, const char *const *ends, const image_list *images,
                   const char *mask);
/* Whether a folder lies where list_operand looks for images. */
bool is_searched(const char *path, const char *operand);
/* Makes the folders that the names need below `output`, tries whether files of those names with the first of `ends` can
 * be written, and removes what killed runs left of such files.  ends: up to NULL, the longest first.  Complains and
 * returns false on failure. */
bool prepare_folders(const char *output, const image_list *names, const char *const *ends);

#endif
