#include "result_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "output.h"

#define LONGEST_NAME (255 - RESULT_END)

/* The path without its extension, and with a last part that leaves room for an end. */
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);

    if (length > LONGEST_NAME)
        length = whole_characters(name, LONGEST_NAME);
    return need_text("%.*s", (int)((size_t)(name - path) + length), path);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool list_named_operand(const char *path, image_list *images, image_list *names)
{
    struct stat status;
    size_t first = images->count, length = strlen(path);
    bool listed = list_operand(path, images), inside = stat(path, &status) == 0 && S_ISDIR(status.st_mode);

    while (length > 1 && path[length - 1] == '/')
        length--; /* as the images' paths have it */
    for (size_t i = first; i < images->count; i++) {
        const char *image = images->paths[i], *below = inside ? image + length : last_part(image);
        while (*below == '/')
            below++;
        image_list_add(names, stem_of(below));
    }
    return listed;
}

/* ---- folders in common ---- */

/* The image's folder, absolute and without links or "..". */
static char *folder_of(const char *path)
{
    const char *name = last_part(path);
    char *given = name == path ? need_text(".") : need_text("%.*s", (int)(name - path), path);
    char *whole = realpath(given, NULL);

    if (!whole)
        return given;
    free(given);
    return whole;
}

/* Bytes of two paths' common folders, without the slash behind them. */
static size_t common_length(const char *a, const char *b, size_t length)
{
    size_t same = 0, folders = 0;

    for (; same < length && a[same] == b[same] && a[same]; same++) {
        if (a[same] == '/')
            folders = same;
    }
    bool whole = (a[same] == '/' || !a[same]) && (b[same] == '/' || !b[same]);
    return whole ? same : folders;
}

static void name_by_folders(const image_list *images, image_list *names)
{
    char **folders = need_memory(images->count, sizeof *folders);
    size_t common = 0;

    for (size_t i = 0; i < images->count; i++) {
        folders[i] = folder_of(images->paths[i]);
        common = i == 0 ? strlen(folders[0]) : common_length(folders[i], folders[0], common);
    }
    for (size_t i = 0; i < images->count; i++) {
        const char *below = folders[i] + common;
        while (*below == '/')
            below++;
        char *whole = need_text("%s%s%s", below, *below ? "/" : "", last_part(images->paths[i]));
        free(names->paths[i]);
        names->paths[i] = stem_of(whole);
        free(whole);
        free(folders[i]);
    }
    free(folders);
}

/* ---- names in common ---- */

typedef struct numbered_name {
    const char *name;
    size_t index;
} numbered_name;

static int by_name(const void *a, const void *b)
{
    const numbered_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

static numbered_name *sort_names(const image_list *names)
{
    numbered_name *sorted = need_memory(names->count, sizeof *sorted);

    for (size_t i = 0; i < names->count; i++)
        sorted[i] = (numbered_name){names->paths[i], i};
    qsort(sorted, names->count, sizeof *sorted, by_name);
    return sorted;
}

static bool same_folder(const char *a, const char *b)
{
    size_t length = (size_t)(last_part(a) - a);

    return length == (size_t)(last_part(b) - b) && memcmp(a, b, length) == 0;
}

/* Whether images of different folders have one name. */
static bool folders_share_names(const image_list *images, const image_list *names)
{
    numbered_name *sorted = sort_names(names);
    bool shared = false;

    for (size_t i = 1; i < names->count && !shared; i++)
        shared = strcmp(sorted[i - 1].name, sorted[i].name) == 0 &&
                 !same_folder(images->paths[sorted[i - 1].index], images->paths[sorted[i].index]);
    free(sorted);
    return shared;
}

static int compare_name(const void *key, const void *element)
{
    return strcmp(key, ((const numbered_name *)element)->name);
}

static void number_names(image_list *names)
{
    numbered_name *sorted = sort_names(names);
    char **unique = need_memory(names->count, sizeof *unique);
    size_t number = 1;

    for (size_t i = 0; i < names->count; i++) {
        const char *name = sorted[i].name;
        number = i > 0 && strcmp(sorted[i - 1].name, name) == 0 ? number : 1;
        char *own = need_text("%s", name);
        while (number > 1 && bsearch(own, sorted, names->count, sizeof *sorted, compare_name)) {
            free(own);
            own = need_text("%s-%zu", name, number++);
        }
        number += number == 1;
        unique[sorted[i].index] = own;
    }
    for (size_t i = 0; i < names->count; i++) {
        free(names->paths[i]);
        names->paths[i] = unique[i];
    }
    free(unique);
    free(sorted);
}

void settle_names(const image_list *images, image_list *names)
{
    if (folders_share_names(images, names))
        name_by_folders(images, names);
    number_names(names);
}

/* ---- what is to be looked at ---- */

typedef struct file_id {
    dev_t device;
    ino_t inode;
} file_id;

/* False if there is no such file. */
static bool identify(const char *path, file_id *id)
{
    struct stat status;
    bool there = stat(path, &status) == 0;

    if (there)
        *id = (file_id){status.st_dev, status.st_ino};
    return there;
}

static int compare_ids(const void *a, const void *b)
{
    const file_id *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* The first result that is one of these files, as new memory; NULL: none. */
static char *find_result(const char *output, const image_list *names, const char *const *ends, const file_id *files,
                         size_t count)
{
    for (size_t i = 0; i < names->count; i++)
        for (size_t e = 0; ends[e]; e++) {
            char *path = need_text("%s/%s%s", output, names->paths[i], ends[e]);
            file_id id;
            if (identify(path, &id) && bsearch(&id, files, count, sizeof *files, compare_ids))
                return path;
            free(path);
        }
    return NULL;
}

bool results_spare(const char *output, const image_list *names, const char *const *ends, const image_list *images,
                   const char *mask)
{
    file_id *files = need_memory(images->count + 1, sizeof *files);
    size_t count = 0;

    for (size_t i = 0; i < images->count; i++)
        count += identify(images->paths[i], &files[count]);
    if (mask)
        count += identify(mask, &files[count]);
    qsort(files, count, sizeof *files, compare_ids);
    char *found = find_result(output, names, ends, files, count);
    if (found)
        complain("%s: a result would be written there, but it is one of the images to look at (or the mask); name "
                 "another folder with -o",
                 found);
    free(found);
    free(files);
    return !found;
}

bool is_searched(const char *path, const char *operand)
{
    char *inside = realpath(path, NULL), *above = realpath(operand, NULL);
    size_t length = above ? strlen(above) : 0;

    length -= length == 1; /* the root's slash is the next folder's, too */
    bool found = inside && above && strncmp(inside, above, length) == 0 && (inside[length] == '/' || !inside[length]) &&
                 !strstr(inside + length, "/.");
    free(inside);
    free(above);
    return found;
}

/* ---- on the disk ---- */

/* Makes the folders of `name` below `output`. */
static bool make_folders(const char *output, const char *name)
{
    bool made = true;

    for (const char *slash = strchr(name, '/'); slash && made; slash = strchr(slash + 1, '/')) {
        char *path = need_text("%s/%.*s", output, (int)(slash - name), name);
        made = make_folder(path);
        free(path);
    }
    return made;
}

/* The folder of `name` below `output`, for files with these ends. */
static bool prepare_folder(const char *output, const char *name, const char *const *ends)
{
    char *path = need_text("%s/%s", output, name);
    bool made = make_folders(output, name);

    *strrchr(path, '/') = '\0';
    for (size_t i = 0; made && ends[i]; i++)
        remove_stale_results(path, ends[i]);
    free(path);
    return made;
}

bool prepare_folders(const char *output, const image_list *names, const char *const *ends)
{
    bool good = make_folder(output);

    for (size_t i = 0; i < names->count && good; i++) {
        bool known = i > 0 && same_folder(names->paths[i - 1], names->paths[i]);
        char *path = need_text("%s/%s%s", output, names->paths[i], ends[0]);
        good = (known || prepare_folder(output, names->paths[i], ends)) && check_output_path(path);
        free(path);
    }
    return good;
}
