#include "eval_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "layout.h"

/* ---- masks ---- */

/* The masks of one defect. */
typedef struct mask_folder {
    const folder *at;
    image_list masks; /* paths */
    bool *used;
    size_t prefix; /* of each path: the folder's own, with "/" */
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
static bool add_images(test_set *set, folder *at, int32_t defect)
{
    image_list list = {0};
    bool good = folder_collect(at, false, &list);

    set->masks_beside += leave_masks_out(&list);
    at->total = list.count; /* as is told */
    if (good && list.count == 0) {
        complain("%s: no images (.png, .jpg, .bmp, .pgm, .tif, ...) in this folder", at->path);
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

static bool add_defect(test_set *set, folder *at, folder *truth)
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
            folder_tell(inside, inside->total, "good: ");
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
        if (masks && !masks->taken && masks->kind != FOLDER_GOOD && folder_may_hold_images(masks))
            complain("%s: masks that are not used: there is no folder %s/%s", masks->path, test->path, masks->name);
    }
}

/* The folder with the good and defective images, and the masks' (NULL: none).  NULL: there is no such thing. */
static folder *find_test(folder *at, folder **truth)
{
    size_t others;

    *truth = NULL;
    while (at) {
        folder *test = folder_of_kind(at, FOLDER_TEST), *masks = folder_of_kind(at, FOLDER_MASKS);
        *truth = *truth ? *truth : masks;
        if (!test && folder_of_kind(at, FOLDER_GOOD))
            test = at;
        if (test) {
            masks = folder_of_kind(test, FOLDER_MASKS);
            *truth = *truth ? *truth : masks;
            return folder_of_kind(test, FOLDER_GOOD) ? test : NULL;
        }
        at = at->images == 0 ? folder_only_other(at, &others) : NULL;
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
                 "for pixel figures ground_truth/<defect>/<name>_mask.png",
                 data);
    else
        complete = add_test_images(set, test, truth);
    if (complete && !quiet)
        tell_test_set(set, test, truth);
    if (complete)
        tell_unused(test, truth);
    tell_masks(set->masks_beside);
    if (!complete)
        free_test_set(set);
    folder_free(at);
    left_out_free(&left);
    return complete;
}

bool is_test_set(const char *data)
{
    left_out left = {0};
    folder *at = folder_open(data, &left), *truth, *test = at ? find_test(at, &truth) : NULL;
    /* A folder called good alone, without one called test around it, may hold anything. */
    bool found = test && (test->kind == FOLDER_TEST || truth);

    for (size_t i = 0; test && i < test->count; i++)
        found = found || is_defect(test->entries[i].inside, false);
    folder_free(at);
    left_out_free(&left);
    return found;
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
