#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"

#define SHOWN_FOLDERS 20

/* The folder of a kind that is meant: of several the one whose name stands first among the known ones.  NULL: none. */
static folder *find_kind(const folder *at, enum folder_kind kind)
{
    folder *found = NULL;

    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        if (inside && inside->kind == kind && (!found || inside->rank < found->rank))
            found = inside;
    }
    return found;
}

/* Whether there may be images in a folder; what cannot be read may well hold some. */
static bool may_hold_images(const folder *at)
{
    if (at->total > 0 || at->reason)
        return true;
    for (size_t i = 0; i < at->count; i++) {
        if (at->entries[i].inside && may_hold_images(at->entries[i].inside))
            return true;
    }
    return false;
}

/* The one folder of no known kind that may hold images; NULL if there are none or several. */
static folder *only_other(const folder *at, size_t *others)
{
    folder *found = NULL;

    *others = 0;
    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        if (inside && inside->kind == FOLDER_OTHER && may_hold_images(inside)) {
            found = inside;
            ++*others;
        }
    }
    return *others == 1 ? found : NULL;
}

/* Bytes of a name, or of a path, before its extension. */
static size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? (size_t)(dot - name) : strlen(name);
}

/* ---- telling ---- */

static void tell_count(const folder *at, size_t images, const char *before)
{
    if (at->reason)
        complain("%s%s (cannot be read: %s)", before, at->path, strerror(at->reason));
    else
        complain("%s%zu image%s in %s", before, images, images == 1 ? "" : "s", at->path);
}

/* The folders with images of their own (taken: only taken ones), `left` of them at most. */
static void tell_folders(const folder *at, bool taken, const char *before, size_t *left, size_t *more)
{
    if ((at->images > 0 || at->reason) && (at->taken || !taken)) {
        if (*left > 0) {
            tell_count(at, at->images, before);
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
        if (may_hold_images(at))
            tell_count(at, at->total, "left out: ");
        return;
    }
    if (!at->taken && at->images > 0)
        tell_count(at, at->images, "left out: ");
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
        bool other = inside && (inside->kind == FOLDER_MASKS || inside->kind == FOLDER_BAD ||
                                inside->kind == FOLDER_TEST);
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
        if (inside && inside->kind != FOLDER_OTHER && may_hold_images(inside))
            return true;
    }
    return false;
}

/* Takes the folders with the good images.  False if it is not clear which they are.
 * train: the folder is called so, and what it holds must be called good unless it lies right in it. */
static bool take_what_is_good(folder *at, bool train)
{
    folder *below = train ? NULL : find_kind(at, FOLDER_TRAIN);
    size_t others;

    if (below)
        return take_what_is_good(below, true);
    if (take_good(at))
        return true;
    below = only_other(at, &others);
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

/* Masks are no images to learn from, wherever they lie. */
static void leave_masks_out(image_list *list)
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
    if (kept < count)
        complain("left out: %zu mask%s beside images (NAME_mask.png and the like)", count - kept,
                 count - kept == 1 ? "" : "s");
    free(masks);
}

static void explain_unclear(const folder *at)
{
    complain("%s: it is not clear which images are good. They are looked for in train/good, or good (or ok, normal), "
             "or right in the folder; but there are", at->path);
    tell_all_folders(at, false, "  ");
    complain("name the folder of good images itself, or learn from all of these with --recursive");
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
    if (!may_hold_images(at))
        complain("%s: no images (.png, .jpg, .jpeg) in this folder", data);
    else if (!recursive && !at->reason && !take_what_is_good(at, false))
        explain_unclear(at);
    else
        listed = folder_collect(at, !at->reason, list);
    if (listed && !recursive)
        leave_masks_out(list);
    if (listed && list->count == 0) {
        complain("%s: no images (.png, .jpg, .jpeg) in its folder of good ones", data);
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

/* ---- masks ---- */

/* The masks of one defect. */
typedef struct mask_folder {
    const folder *at;
    image_list masks; /* paths */
    bool *used;
    size_t prefix;    /* of each path: the folder's own, with "/" */
} mask_folder;

static bool mask_folder_open(mask_folder *self, const folder *at)
{
    *self = (mask_folder){.at = at, .prefix = strlen(at->path) + 1};
    bool good = folder_collect(at, false, &self->masks);
    self->used = need_memory(self->masks.count, sizeof *self->used);
    return good;
}

static void mask_folder_close(mask_folder *self)
{
    image_list_free(&self->masks);
    free(self->used);
}

/* The folder with all masks of the image `relative`, called as it is ("name/000.png" of "name.ext"); NULL: none. */
static char *find_own_folder(mask_folder *self, const char *relative)
{
    size_t stem = stem_length(relative);
    char *found = NULL;

    for (size_t i = 0; i < self->masks.count; i++) {
        const char *path = self->masks.paths[i], *mask = path + self->prefix;
        if (strncasecmp(mask, relative, stem) != 0 || mask[stem] != '/')
            continue;
        self->used[i] = true;
        found = found ? found : need_text("%.*s", (int)(self->prefix + stem), path);
    }
    return found;
}

/* The mask of the image `relative` ("name.ext", perhaps with folders before it): name_mask.EXT, name.EXT, ... in any
 * case, in this order, or the folder called name.  NULL: none. */
static char *find_mask(mask_folder *self, const char *relative)
{
    static const char *const ends[] = {"_mask", "", "-mask", ".mask", "_gt", "_label", "_ground_truth"};
    size_t stem = stem_length(relative);

    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
        for (size_t i = 0; i < self->masks.count; i++) {
            const char *mask = self->masks.paths[i] + self->prefix;
            size_t end = strlen(ends[e]);
            if (stem_length(mask) == stem + end && strncasecmp(mask, relative, stem) == 0 &&
                strncasecmp(mask + stem, ends[e], end) == 0) {
                self->used[i] = true;
                return need_text("%s", self->masks.paths[i]);
            }
        }
    }
    return find_own_folder(self, relative);
}

static void tell_unused_masks(const mask_folder *self)
{
    size_t unused = 0;
    const char *first = NULL;

    for (size_t i = 0; i < self->masks.count; i++) {
        unused += !self->used[i];
        first = !self->used[i] && !first ? self->masks.paths[i] + self->prefix : first;
    }
    if (unused > 0)
        complain("%s: %zu of %zu masks belong to no image (%s%s)", self->at->path, unused, self->masks.count, first,
                 unused > 1 ? ", ..." : "");
}

/* The folder of a defect's masks: of the same name, in any case; where all masks lie in one folder, that one. */
static folder *find_masks_of(const folder *truth, const char *defect)
{
    folder *found = NULL;

    for (size_t i = 0; i < truth->count; i++) {
        folder *inside = truth->entries[i].inside;
        if (inside && strcmp(inside->name, defect) == 0)
            return inside;
        if (inside && strcasecmp(inside->name, defect) == 0)
            found = inside;
    }
    return found;
}

/* ---- test sets ---- */

/* Adds the images of a folder; defect: -1 for good ones. */
static bool add_images(test_set *set, const folder *at, int32_t defect)
{
    image_list list = {0};
    bool good = folder_collect(at, false, &list);

    if (good && list.count == 0) {
        complain("%s: no images (.png, .jpg, .jpeg) in this folder", at->path);
        good = false;
    }
    set->images = need_more_memory(set->images, set->count + list.count, sizeof *set->images);
    for (size_t i = 0; i < list.count; i++)
        set->images[set->count++] = (test_image){list.paths[i], NULL, defect};
    free(list.paths); /* the paths themselves belong to the set now */
    return good;
}

/* Finds the masks of the images from `first` on, which are those of the folder `at`. */
static bool add_masks(test_set *set, size_t first, const folder *at, folder *masks)
{
    mask_folder folder_of_masks;
    bool complete = mask_folder_open(&folder_of_masks, masks);

    for (size_t i = first; i < set->count && complete; i++) {
        test_image *image = &set->images[i];
        const char *relative = image->path + strlen(at->path) + 1;
        image->mask = find_mask(&folder_of_masks, relative);
        if (!image->mask)
            complain("%s/%.*s_mask.png: %s: the mask of %s; add it, or evaluate with --no-maps", masks->path,
                     (int)stem_length(relative), relative, strerror(ENOENT), image->path);
    }
    for (size_t i = first; i < set->count && complete; i++)
        complete = set->images[i].mask != NULL;
    masks->taken = true;
    if (complete)
        tell_unused_masks(&folder_of_masks);
    mask_folder_close(&folder_of_masks);
    return complete;
}

static bool add_defect(test_set *set, const folder *at, folder *truth)
{
    size_t first = set->count;
    bool complete = add_images(set, at, (int32_t)set->defect_count);

    set->defect_images[set->defect_count] = set->count - first;
    set->defects[set->defect_count++] = need_text("%s", at->name);
    if (!complete || !truth)
        return complete;
    folder *masks = find_masks_of(truth, at->name);
    if (!masks && truth->images > 0)
        masks = truth;
    if (masks)
        return add_masks(set, first, at, masks);
    complain("%s/%s: no such folder: the masks of %s; add them, or evaluate with --no-maps", truth->path, at->name,
             at->path);
    return false;
}

/* Whether a folder inside `test` holds images of a defect.  Where the data set has no folder called test, those of
 * other purposes lie beside them. */
static bool is_defect(const folder *inside, bool called_test)
{
    return inside && inside->kind != FOLDER_GOOD && inside->kind != FOLDER_MASKS &&
           (called_test || (inside->kind != FOLDER_TRAIN && inside->kind != FOLDER_TEST));
}

static bool add_test_images(test_set *set, const folder *test, folder *truth)
{
    bool called_test = test->kind == FOLDER_TEST, complete = true;

    for (size_t i = 0; i < test->count && complete; i++) {
        if (test->entries[i].inside && test->entries[i].inside->kind == FOLDER_GOOD)
            complete = add_images(set, test->entries[i].inside, -1);
    }
    set->good = set->count;
    set->defects = need_memory(test->count, sizeof *set->defects);
    set->defect_images = need_memory(test->count, sizeof *set->defect_images);
    for (size_t i = 0; i < test->count && complete; i++) {
        if (is_defect(test->entries[i].inside, called_test))
            complete = add_defect(set, test->entries[i].inside, truth);
    }
    if (complete && set->count == set->good) {
        complain("%s: no folder of defective images beside good; nothing can be told from good images alone",
                 test->path);
        complete = false;
    }
    return complete;
}

static void tell_test_set(const test_set *set, const folder *test, const folder *truth)
{
    for (size_t i = 0; i < test->count; i++) {
        const folder *inside = test->entries[i].inside;
        if (inside && inside->kind == FOLDER_GOOD)
            tell_count(inside, inside->total, "good: ");
    }
    for (size_t d = 0; d < set->defect_count; d++)
        complain("defective: %zu image%s in %s/%s%s%s", set->defect_images[d], set->defect_images[d] == 1 ? "" : "s",
                 test->path, set->defects[d], truth ? ", masks in " : "", truth ? truth->path : "");
}

/* Images and masks that are not used although they look as if they should be. */
static void tell_unused(const folder *test, const folder *truth)
{
    if (test->images > 0)
        complain("left out: %zu image%s right in %s, neither good nor of a defect", test->images,
                 test->images == 1 ? "" : "s", test->path);
    for (size_t i = 0; truth && i < truth->count; i++) {
        const folder *masks = truth->entries[i].inside;
        if (masks && !masks->taken && masks->kind != FOLDER_GOOD && may_hold_images(masks))
            complain("%s: masks that are not used: there is no folder %s/%s", masks->path, test->path, masks->name);
    }
}

/* The folder with the good and defective images, and the masks' (NULL: none).  NULL: there is no such thing. */
static folder *find_test(folder *at, folder **truth)
{
    size_t others;

    *truth = NULL;
    while (at) {
        folder *test = find_kind(at, FOLDER_TEST), *masks = find_kind(at, FOLDER_MASKS);
        *truth = *truth ? *truth : masks;
        if (!test && find_kind(at, FOLDER_GOOD))
            test = at;
        if (test) {
            masks = find_kind(test, FOLDER_MASKS);
            *truth = *truth ? *truth : masks;
            return find_kind(test, FOLDER_GOOD) ? test : NULL;
        }
        at = at->images == 0 ? only_other(at, &others) : NULL;
    }
    return NULL;
}

bool open_test_set(const char *data, bool with_masks, bool quiet, test_set *set)
{
    left_out left = {0};
    folder *at = folder_open(data, &left), *truth = NULL, *test = at ? find_test(at, &truth) : NULL;
    bool complete = false;

    *set = (test_set){0};
    tell_left_out(&left);
    truth = with_masks ? truth : NULL;
    set->masks = truth != NULL;
    if (!test)
        complain("%s: no folder test/good (or ok, normal) in it; `differnet eval` wants test/good, test/<defect>, and "
                 "for pixel figures ground_truth/<defect>/<name>_mask.png", data);
    else
        complete = add_test_images(set, test, truth);
    if (complete && !quiet)
        tell_test_set(set, test, truth);
    if (complete)
        tell_unused(test, truth);
    if (!complete)
        free_test_set(set);
    folder_free(at);
    left_out_free(&left);
    return complete;
}

void free_test_set(test_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->images[i].path);
        free(set->images[i].mask);
    }
    for (size_t i = 0; i < set->defect_count; i++)
        free(set->defects[i]);
    free(set->defects);
    free(set->defect_images);
    free(set->images);
    *set = (test_set){0};
}
