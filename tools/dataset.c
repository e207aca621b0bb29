#include "dataset.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define MAX_DEPTH 64

/* ---- order ---- */

int natural_compare(const char *a, const char *b)
{
    const char *x = a, *y = b;

    while (*x && *y) {
        if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
            x += strspn(x, "0");
            y += strspn(y, "0");
            size_t m = strspn(x, "0123456789"), n = strspn(y, "0123456789");
            int order = m != n ? (m < n ? -1 : 1) : strncmp(x, y, m);
            if (order)
                return order;
            x += m;
            y += n;
        } else if (*x != *y) {
            return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
        } else {
            x++;
            y++;
        }
    }
    if (*x || *y)
        return *x ? 1 : -1;
    return strcmp(a, b); /* 1.png and 01.png: equal so far, but the order must not be left to chance */
}

static int compare_paths(const void *a, const void *b)
{
    return natural_compare(*(char *const *)a, *(char *const *)b);
}

/* ---- folders ---- */

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool has_image_name(const char *name)
{
    const char *dot = strrchr(name, '.'), *ending;

    for (int32_t i = 0; dot && (ending = dn_image_ending(i)); i++) {
        if (strcasecmp(dot, ending) == 0)
            return true;
    }
    return false;
}

static char *join(const char *folder, const char *name)
{
    size_t length = strlen(folder);

    return need_text("%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/", name);
}

static void append(image_list *list, char *path)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->paths = need_more_memory(list->paths, list->capacity, sizeof *list->paths);
    }
    list->paths[list->count++] = path;
}

void image_list_free(image_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (image_list){0};
}

/* The names in a folder that do not begin with a dot, in order. */
static bool list_names(const char *folder, image_list *names)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;

    *names = (image_list){0};
    errno = stream ? 0 : errno;
    while (stream && (entry = readdir(stream))) {
        if (entry->d_name[0] != '.')
            append(names, need_text("%s", entry->d_name));
        errno = 0;
    }
    int reason = errno;
    if (stream)
        closedir(stream);
    if (reason) {
        complain("%s: cannot read this folder: %s", folder, strerror(reason));
        image_list_free(names);
        return false;
    }
    if (names->count > 0)
        qsort(names->paths, names->count, sizeof *names->paths, compare_paths);
    return true;
}

/* The folders from the root of a search down to the present one. */
typedef struct ancestor {
    const struct ancestor *above;
    dev_t device;
    ino_t inode;
    int depth;
} ancestor;

static bool seen_above(const ancestor *at, const struct stat *status)
{
    for (; at; at = at->above) {
        if (at->device == status->st_dev && at->inode == status->st_ino)
            return true;
    }
    return false;
}

static bool search(const char *folder, const ancestor *above, image_list *list)
{
    struct stat status;
    image_list names;
    bool good = true;

    if (!list_names(folder, &names))
        return false;
    if (stat(folder, &status) != 0) {
        complain("%s: %s", folder, strerror(errno));
        image_list_free(&names);
        return false;
    }
    ancestor here = {above, status.st_dev, status.st_ino, above ? above->depth + 1 : 0};
    for (size_t i = 0; i < names.count && good; i++) {
        char *path = join(folder, names.paths[i]);
        if (is_folder(path)) {
            if (stat(path, &status) == 0 && !seen_above(&here, &status) && here.depth < MAX_DEPTH)
                good = search(path, &here, list);
        } else if (has_image_name(path)) {
            append(list, path);
            continue;
        }
        free(path);
    }
    image_list_free(&names);
    return good;
}

bool list_images(const char *folder, image_list *list)
{
    return search(folder, NULL, list);
}

bool list_operand(const char *path, image_list *list)
{
    size_t before = list->count;
    struct stat status;

    if (stat(path, &status) != 0) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(status.st_mode)) {
        append(list, need_text("%s", path));
        return true;
    }
    if (!list_images(path, list))
        return false;
    if (list->count == before)
        complain("%s: no images (.png, .jpg, .bmp, .pgm, .tif, ...) in this folder", path);
    return list->count > before;
}

/* folder/good, or folder/ok; NULL if there is neither. */
static char *find_good(const char *folder)
{
    static const char *const names[] = {"good", "ok"};

    for (int i = 0; i < 2; i++) {
        char *path = join(folder, names[i]);
        if (is_folder(path))
            return path;
        free(path);
    }
    return NULL;
}

bool list_training_images(const char *data, image_list *list)
{
    char *train = join(data, "train"), *test = join(data, "test"), *good = find_good(train);
    bool layout = is_folder(train) || is_folder(test), listed = false;

    if (!is_folder(data))
        complain("%s: not a folder; give a folder of good images, or one with train/good in it", data);
    else if (layout && !good)
        complain("%s: no folder train/good (or train/ok) in it; the images to learn from belong there", data);
    else
        listed = list_operand(good ? good : data, list);
    free(good);
    free(test);
    free(train);
    return listed;
}

/* splitmix64: a small well-mixed generator; any would do, but it must stay the same. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void choose_images(image_list *list, size_t count, uint64_t seed)
{
    size_t total = list->count;

    if (count >= total)
        return;
    for (size_t i = 0; i < count; i++) {
        /* Slices are not empty, since count < total, and what is swapped away is never in a later slice. */
        size_t first = i * total / count, last = (i + 1) * total / count;
        size_t chosen = first + (size_t)(next_random(&seed) % (last - first));
        char *path = list->paths[chosen];
        list->paths[chosen] = list->paths[i];
        list->paths[i] = path;
    }
    for (size_t i = count; i < total; i++)
        free(list->paths[i]);
    list->count = count;
}

/* ---- test sets ---- */

/* ground_truth/<defect>/<name>_mask.png of test/<defect>/<name>.<extension>.  relative: "<name>.<extension>", perhaps
 * with folders before it. */
static char *mask_path(const char *ground_truth, const char *defect, const char *relative)
{
    return need_text("%s/%s/%.*s_mask.png", ground_truth, defect, (int)(strrchr(relative, '.') - relative), relative);
}

/* Adds the images of test/<name>; defect: -1 for good ones. */
static bool add_folder(test_set *set, const char *test, const char *name, const char *ground_truth, int32_t defect)
{
    image_list list = {0};
    char *folder = join(test, name);
    bool complete = list_operand(folder, &list);

    set->images = need_more_memory(set->images, set->count + list.count, sizeof *set->images);
    for (size_t i = 0; i < list.count; i++) {
        test_image *image = &set->images[set->count++];
        *image = (test_image){list.paths[i], NULL, defect};
        if (defect < 0)
            continue;
        if (ground_truth)
            image->mask = mask_path(ground_truth, name, image->path + strlen(folder) + 1);
        if (image->mask && access(image->mask, R_OK) != 0) {
            complain("%s: %s: the mask of %s; add it, or evaluate with --no-maps", image->mask, strerror(errno),
                     image->path);
            complete = false;
        }
    }
    free(list.paths); /* the paths themselves belong to the set now */
    free(folder);
    return complete;
}

static bool add_defects(test_set *set, const char *test, const char *good, const char *ground_truth)
{
    image_list names;
    bool complete = list_names(test, &names);

    if (!complete)
        return false;
    set->defects = need_memory(names.count, sizeof *set->defects);
    set->defect_images = need_memory(names.count, sizeof *set->defect_images);
    for (size_t i = 0; i < names.count && complete; i++) {
        char *folder = join(test, names.paths[i]);
        if (is_folder(folder) && strcmp(folder, good) != 0) {
            size_t before = set->count;
            complete = add_folder(set, test, names.paths[i], ground_truth, (int32_t)set->defect_count);
            set->defect_images[set->defect_count] = set->count - before;
            set->defects[set->defect_count++] = need_text("%s", names.paths[i]);
        }
        free(folder);
    }
    image_list_free(&names);
    return complete;
}

bool open_test_set(const char *data, bool with_masks, test_set *set)
{
    char *test = join(data, "test"), *truth = join(data, "ground_truth"), *good = find_good(test);
    bool complete = false;

    *set = (test_set){0};
    set->masks = with_masks && is_folder(truth);
    if (!good) {
        complain("%s: no folder test/good (or test/ok) in it; `differnet eval` wants test/good, test/<defect>, and for "
                 "pixel figures ground_truth/<defect>/<name>_mask.png", data);
    } else if (add_folder(set, test, strrchr(good, '/') + 1, NULL, -1)) {
        set->good = set->count;
        complete = add_defects(set, test, good, set->masks ? truth : NULL);
        if (complete && set->count == set->good) {
            complain("%s: no folder of defective images beside good; nothing can be told from good images alone", test);
            complete = false;
        }
    }
    free(good);
    free(truth);
    free(test);
    if (!complete)
        free_test_set(set);
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
