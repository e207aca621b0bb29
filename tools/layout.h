/* Which images of a folder DATA are learned from: data sets in MVTec layout, and what users have instead.  The names
 * that are known, and what else is accepted: docs/cli.md. */
#ifndef DN_TOOLS_LAYOUT_H
#define DN_TOOLS_LAYOUT_H

#include "dataset.h"

/* The good images to learn from.  Tells how many come from which folder and what is left out, unless `quiet`.
 * recursive: all images below DATA, whatever the folders are called.  Complains and returns false if there are none, or
 * if it is not clear which are good. */
bool list_training_images(const char *data, bool recursive, bool quiet, image_list *list);

/* Takes the masks that lie beside their images out of a list: they are none themselves.  Returns how many. */
size_t leave_masks_out(image_list *list);
void tell_masks(size_t count);

/* Appends the names of the data sets in a folder that is none itself: of its folders that hold one of the purpose
 * (FOLDER_TRAIN, FOLDER_TEST), or a good one, with images.  Tells what else holds images, unless `quiet`.  False, without
 * a word, if there are fewer than `least` (1 at least). */
bool list_categories(const char *root, enum folder_kind purpose, size_t least, bool quiet, image_list *names);

#endif
