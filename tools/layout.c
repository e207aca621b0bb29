#include "layout.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"

#define SHOWN_FOLDERS 20

/* ---- telling ---- */

/* The folders with images of their own (taken: only taken ones), `left` of them at most. */
static void tell_folders(const folder *at, bool taken, const char *before, size_t *left, size_t *more)
{
    if ((at->images > 0 || at->reason) && (at->taken || !taken)) {
        if (*left > 0) {
            folder_tell(at, at->images, before);
            --*left;
        } else {
            ++*more;
        }
    }
    for (size_t i = 0; i < at->count; i++) {
        if (at->entries[i].inside)
            tell_folders(at->entries[i].inside, taken, before, left, more);
    }
}

static void tell_all_folders(const folder *at, bool taken, const char *before)
{
    size_t left = SHOWN_FOLDERS, more = 0;

    tell_folders(at, taken, before, &left, &more);
    if (more > 0)
        complain("%sand %zu more folders", before, more);
}

static bool any_taken(const folder *at)
{
    bool taken = at->taken;

    for (size_t i = 0; i < at->count && !taken; i++)
        taken = at->entries[i].inside && any_taken(at->entries[i].inside);
    return taken;
}

/* What holds images and is not taken, each time the topmost folder of which nothing is. */
static void tell_untaken(const folder *at)
{
    if (!any_taken(at)) {
        if (folder_may_hold_images(at))
            folder_tell(at, at->total, "left out: ");
        return;
    }
    if (!at->taken && at->images > 0)
        folder_tell(at, at->images, "left out: ");
    for (size_t i = 0; i < at->count; i++) {
        if (at->entries[i].inside)
            tell_untaken(at->entries[i].inside);
    }
}

/* ---- what to learn from ---- */

/* Takes a folder with all that is inside, but for what is called masks, a test or defects. */
static void take(folder *at, bool all)
{
    at->taken = true;
    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        bool other = inside &&
                     (inside->kind == FOLDER_MASKS || inside->kind == FOLDER_BAD || inside->kind == FOLDER_TEST);
        if (inside && (all || !other))
            take(inside, all);
    }
}

static bool take_good(const folder *at)
{
    bool found = false;

    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        if (inside && inside->kind == FOLDER_GOOD) {
            take(inside, false);
            found = true;
        }
    }
    return found;
}

static bool holds_known_others(const folder *at)
{
    for (size_t i = 0; i < at->count; i++) {
        const folder *inside = at->entries[i].inside;
        if (inside && inside->kind != FOLDER_OTHER && folder_may_hold_images(inside))
            return true;
    }
    return false;
}

/* Takes the folders with the good images.  False if it is not clear which they are.
 * train: the folder is called so, and what it holds must be called good unless it lies right in it. */
static bool take_what_is_good(folder *at, bool train)
{
    folder *below = train ? NULL : folder_of_kind(at, FOLDER_TRAIN);
    size_t others;

    if (below)
        return take_what_is_good(below, true);
    if (take_good(at))
        return true;
    below = folder_only_other(at, &others);
    if (at->images > 0 && others == 0) {
        at->taken = true;
        return true;
    }
    /* A folder around the data set, or around the images. */
    return at->images == 0 && below && !train && !holds_known_others(at) && take_what_is_good(below, false);
}

/* Whether list[i] is the mask of an image beside it: part_mask.png and part.jpg. */
static bool is_mask_beside(const image_list *list, size_t i)
{
    static const char *const ends[] = {"_mask", "-mask", "_gt", "_label", "_ground_truth"};
    const char *path = list->paths[i];
    size_t stem = stem_length(path);

    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
        size_t end = strlen(ends[e]);
        if (stem <= end || strncasecmp(path + stem - end, ends[e], end) != 0)
            continue;
        for (size_t j = 0; j < list->count; j++) {
            if (stem_length(list->paths[j]) == stem - end && strncmp(list->paths[j], path, stem - end) == 0)
                return true;
        }
    }
    return false;
}

size_t leave_masks_out(image_list *list)
{
    size_t kept = 0, count = list->count;
    bool *masks = need_memory(count, sizeof *masks);

    for (size_t i = 0; i < count; i++)
        masks[i] = is_mask_beside(list, i);
    for (size_t i = 0; i < count; i++) {
        if (masks[i])
            free(list->paths[i]);
        else
            list->paths[kept++] = list->paths[i];
    }
    list->count = kept;
    free(masks);
    return count - kept;
}

void tell_masks(size_t count)
{
    if (count > 0)
        complain("left out: %zu mask%s beside images (NAME_mask.png and the like)", count, count == 1 ? "" : "s");
}

static void explain_unclear(const folder *at)
{
    complain("%s: it is not clear which images are good. They are looked for in train/good, or good (or ok, normal), "
             "or right in the folder; but there are",
             at->path);
    tell_all_folders(at, false, "  ");
    complain(
        "name the folder of good images itself (update takes several), or learn from all of these with --recursive");
}

bool list_training_images(const char *data, bool recursive, bool quiet, image_list *list)
{
    left_out left = {0};
    folder *at = folder_open(data, &left);
    bool listed = false;

    if (!at) {
        complain("DATA is a folder of good images, or one with train/good in it");
        return false;
    }
    tell_left_out(&left);
    if (recursive)
        take(at, true);
    if (!folder_may_hold_images(at))
        complain("%s: no images (.png, .jpg, .bmp, .pgm, .tif, ...) in this folder", data);
    else if (!recursive && !at->reason && !take_what_is_good(at, false))
        explain_unclear(at);
    else
        listed = folder_collect(at, !at->reason, list);
    if (listed && !recursive)
        tell_masks(leave_masks_out(list));
    if (listed && list->count == 0) {
        complain("%s: no images (.png, .jpg, .bmp, .pgm, .tif, ...) in its folder of good ones", data);
        listed = false;
    }
    if (listed && !quiet) {
        tell_all_folders(at, true, "learning from ");
        tell_untaken(at);
    }
    folder_free(at);
    left_out_free(&left);
    return listed;
}

/* ---- several data sets ---- */

static bool is_data_set(const folder *at, enum folder_kind purpose)
{
    const folder *below = folder_of_kind(at, purpose);

    below = below ? below : folder_of_kind(at, FOLDER_GOOD);
    return below && folder_may_hold_images(below);
}

/* A folder whose name says that it is for masks or defects must be a whole data set: NAME/train/good. */
static bool is_category(const folder *at, enum folder_kind purpose)
{
    if (at->kind == FOLDER_OTHER)
        return is_data_set(at, purpose);
    const folder *below = at->kind == FOLDER_MASKS || at->kind == FOLDER_BAD ? folder_of_kind(at, purpose) : NULL;
    below = below ? folder_of_kind(below, FOLDER_GOOD) : NULL;
    return below && folder_may_hold_images(below);
}

static void tell_other_folders(const folder *at, enum folder_kind purpose)
{
    if (at->images > 0)
        folder_tell(at, at->images, "left out: ");
    for (size_t i = 0; i < at->count; i++) {
        const folder *inside = at->entries[i].inside;
        if (inside && folder_may_hold_images(inside) && !is_category(inside, purpose))
            folder_tell(inside, inside->total, "left out: ");
    }
}

bool list_categories(const char *root, enum folder_kind purpose, size_t least, bool quiet, image_list *names)
{
    left_out left = {0};
    folder *at = is_folder(root) ? folder_open(root, &left) : NULL;
    bool several = at && !folder_of_kind(at, purpose) && !folder_of_kind(at, FOLDER_GOOD);

    for (size_t i = 0; several && i < at->count; i++) {
        const folder *inside = at->entries[i].inside;
        if (inside && is_category(inside, purpose))
            image_list_add(names, need_text("%s", inside->name));
    }
    several = names->count >= least;
    if (several && !quiet)
        tell_other_folders(at, purpose);
    folder_free(at);
    left_out_free(&left);
    return several;
}
