#include "dataset.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

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

/* ---- lists ---- */

void image_list_add(image_list *list, char *path)
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

/* ---- names ---- */

size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? (size_t)(dot - name) : strlen(name);
}

bool has_image_name(const char *name)
{
    const char *dot = strrchr(name, '.'), *ending;

    for (int32_t i = 0; dot && (ending = dn_image_ending(i)); i++) {
        if (strcasecmp(dot, ending) == 0)
            return true;
    }
    return false;
}

/* Pictures that users have among others; those that can be read are no matter here. */
static bool has_picture_name(const char *name)
{
    static const char *const extensions[] = {
        ".dib",  ".tif", ".tiff", ".webp", ".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2",
        ".jfif", ".jpe", ".tga",  ".exr",  ".raw", ".dng",  ".cr2",  ".nef",  ".arw"}; /* .tif: where the library has no libtiff */
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof extensions / sizeof extensions[0]; i++) {
        if (strcasecmp(dot, extensions[i]) == 0)
            return true;
    }
    return false;
}

static const struct known_name {
    const char *name; /* small letters, without blanks, "-" and "_" */
    enum folder_kind kind;
} known_names[] = {
    {"train", FOLDER_TRAIN},
    {"training", FOLDER_TRAIN},
    {"test", FOLDER_TEST},
    {"testing", FOLDER_TEST},
    {"testpublic", FOLDER_TEST},
    {"testprivate", FOLDER_TEST},
    {"testset", FOLDER_TEST},
    {"evaluation", FOLDER_TEST},
    {"eval", FOLDER_TEST},
    {"validation", FOLDER_TEST},
    {"valid", FOLDER_TEST},
    {"val", FOLDER_TEST},
    {"good", FOLDER_GOOD},
    {"ok", FOLDER_GOOD},
    {"normal", FOLDER_GOOD},
    {"okay", FOLDER_GOOD},
    {"pass", FOLDER_GOOD},
    {"passed", FOLDER_GOOD},
    {"nodefect", FOLDER_GOOD},
    {"nodefects", FOLDER_GOOD},
    {"defectfree", FOLDER_GOOD},
    {"nondefective", FOLDER_GOOD},
    {"anomalyfree", FOLDER_GOOD},
    {"bad", FOLDER_BAD},
    {"ng", FOLDER_BAD},
    {"nok", FOLDER_BAD},
    {"ko", FOLDER_BAD},
    {"notok", FOLDER_BAD},
    {"notgood", FOLDER_BAD},
    {"nogood", FOLDER_BAD},
    {"defect", FOLDER_BAD},
    {"defects", FOLDER_BAD},
    {"defective", FOLDER_BAD},
    {"anomaly", FOLDER_BAD},
    {"anomalies", FOLDER_BAD},
    {"anomalous", FOLDER_BAD},
    {"abnormal", FOLDER_BAD},
    {"fail", FOLDER_BAD},
    {"failed", FOLDER_BAD},
    {"fault", FOLDER_BAD},
    {"faulty", FOLDER_BAD},
    {"reject", FOLDER_BAD},
    {"rejects", FOLDER_BAD},
    {"rejected", FOLDER_BAD},
    {"damaged", FOLDER_BAD},
    {"scrap", FOLDER_BAD},
    {"groundtruth", FOLDER_MASKS},
    {"groundtruths", FOLDER_MASKS},
    {"gt", FOLDER_MASKS},
    {"mask", FOLDER_MASKS},
    {"masks", FOLDER_MASKS},
    {"label", FOLDER_MASKS},
    {"labels", FOLDER_MASKS},
    {"annotation", FOLDER_MASKS},
    {"annotations", FOLDER_MASKS},
    {"segmentation", FOLDER_MASKS},
    {"segmentations", FOLDER_MASKS},
    {"@eadir", FOLDER_SYSTEM},
    {"@recycle", FOLDER_SYSTEM},
    {"#recycle", FOLDER_SYSTEM},
    {"#snapshot", FOLDER_SYSTEM},
    {"~snapshot", FOLDER_SYSTEM},
    {"@recentlysnapshot", FOLDER_SYSTEM},
    {"$recycle.bin", FOLDER_SYSTEM},
    {"systemvolumeinformation", FOLDER_SYSTEM},
    {"found.000", FOLDER_SYSTEM},
    {"macosx", FOLDER_SYSTEM},
    {"lost+found", FOLDER_SYSTEM},
};

/* Whether a folder is called so. */
static bool is_called(const char *name, const char *known)
{
    for (; *name; name++) {
        if (strchr(" -_", *name))
            continue;
        if (tolower((unsigned char)*name) != *known)
            return false;
        known++;
    }
    return *known == '\0';
}

static void name_kind(folder *at)
{
    for (size_t i = 0; i < sizeof known_names / sizeof known_names[0]; i++) {
        if (!is_called(at->name, known_names[i].name))
            continue;
        at->kind = known_names[i].kind;
        at->rank = (int)i;
        return;
    }
}

/* ---- folders ---- */

bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static char *join(const char *path, const char *name)
{
    size_t length = strlen(path);

    return need_text("%s%s%s", path, length > 0 && path[length - 1] == '/' ? "" : "/", name);
}

/* The names in a folder that do not begin with a dot, in order.  Returns 0, or errno. */
static int list_names(const char *path, image_list *names)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    *names = (image_list){0};
    errno = stream ? 0 : errno;
    while (stream && (entry = readdir(stream))) {
        if (entry->d_name[0] != '.')
            image_list_add(names, need_text("%s", entry->d_name));
        errno = 0;
    }
    int reason = errno;
    if (stream)
        closedir(stream);
    if (names->count > 0)
        qsort(names->paths, names->count, sizeof *names->paths, compare_paths);
    return reason;
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

static folder *new_folder(char *path)
{
    folder *at = need_memory(1, sizeof *at);
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    const char *slash = strrchr(path, '/');
    at->path = path;
    at->name = slash && slash[1] ? slash + 1 : path;
    name_kind(at);
    return at;
}

static void read_folder(folder *at, const struct stat *own, const ancestor *above, left_out *left);

/* One name of a folder.  True if it is kept as *entry. */
static bool read_entry(const folder *at, const char *name, const ancestor *here, struct folder_entry *entry,
                       left_out *left)
{
    struct stat status;
    char *path = join(at->path, name);
    bool there = stat(path, &status) == 0, inside = there && S_ISDIR(status.st_mode);
    bool file = !there ||
                S_ISREG(status.st_mode); /* not a pipe, which would be waited for; what is gone is told later */

    *entry = (struct folder_entry){0};
    if (file && has_image_name(name)) {
        entry->image = path;
        return true;
    }
    if (file && has_picture_name(name)) {
        image_list_add(&left->files, path);
    } else if (inside && !seen_above(here, &status) && here->depth < MAX_DEPTH) {
        folder *found = new_folder(path);
        if (found->kind != FOLDER_SYSTEM) {
            read_folder(found, &status, here, left);
            entry->inside = found;
            return true;
        }
        image_list_add(&left->folders, need_text("%s", path));
        folder_free(found);
    } else {
        free(path);
    }
    return false;
}

static void read_folder(folder *at, const struct stat *own, const ancestor *above, left_out *left)
{
    image_list names;
    ancestor here = {above, own->st_dev, own->st_ino, above ? above->depth + 1 : 0};

    at->reason = list_names(at->path, &names);
    at->entries = need_memory(names.count, sizeof *at->entries);
    for (size_t i = 0; i < names.count; i++) {
        struct folder_entry entry;
        if (!read_entry(at, names.paths[i], &here, &entry, left))
            continue;
        at->images += entry.image != NULL;
        at->total += entry.image ? 1 : entry.inside->total;
        at->entries[at->count++] = entry;
    }
    image_list_free(&names);
}

folder *folder_open(const char *path, left_out *left)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!S_ISDIR(status.st_mode)) {
        complain("%s: not a folder", path);
        return NULL;
    }
    folder *at = new_folder(need_text("%s", path));
    read_folder(at, &status, NULL, left);
    return at;
}

void folder_free(folder *at)
{
    if (!at)
        return;
    for (size_t i = 0; i < at->count; i++) {
        free(at->entries[i].image);
        folder_free(at->entries[i].inside);
    }
    free(at->entries);
    free(at->path);
    free(at);
}

bool folder_collect(const folder *at, bool taken_only, image_list *list)
{
    bool own = at->taken || !taken_only, good = true;

    if (own && at->reason) {
        complain("%s: cannot read this folder: %s", at->path, strerror(at->reason));
        return false;
    }
    for (size_t i = 0; i < at->count && good; i++) {
        if (at->entries[i].inside)
            good = folder_collect(at->entries[i].inside, taken_only, list);
        else if (own)
            image_list_add(list, need_text("%s", at->entries[i].image));
    }
    return good;
}

/* ---- what folders are for ---- */

folder *folder_of_kind(const folder *at, enum folder_kind kind)
{
    folder *found = NULL;

    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        if (inside && inside->kind == kind && (!found || inside->rank < found->rank))
            found = inside;
    }
    return found;
}

bool folder_may_hold_images(const folder *at)
{
    if (at->total > 0 || at->reason)
        return true;
    for (size_t i = 0; i < at->count; i++) {
        if (at->entries[i].inside && folder_may_hold_images(at->entries[i].inside))
            return true;
    }
    return false;
}

folder *folder_only_other(const folder *at, size_t *others)
{
    folder *found = NULL;

    *others = 0;
    for (size_t i = 0; i < at->count; i++) {
        folder *inside = at->entries[i].inside;
        if (inside && inside->kind == FOLDER_OTHER && folder_may_hold_images(inside)) {
            found = inside;
            ++*others;
        }
    }
    return *others == 1 ? found : NULL;
}

void folder_tell(const folder *at, size_t images, const char *before)
{
    if (at->reason)
        complain("%s%s (cannot be read: %s)", before, at->path, strerror(at->reason));
    else
        complain("%s%zu image%s in %s", before, images, images == 1 ? "" : "s", at->path);
}

/* ---- what is left out ---- */

#define SHOWN_NAMES 4

/* "lost+found, a.bmp, ..." */
static char *first_names(const image_list *paths)
{
    char *text = need_text("%s", "");

    for (size_t i = 0; i < paths->count && i <= SHOWN_NAMES; i++) {
        const char *name = i < SHOWN_NAMES ? strrchr(paths->paths[i], '/') + 1 : "...";
        char *longer = need_text("%s%s%s", text, i > 0 ? ", " : "", name);
        free(text);
        text = longer;
    }
    return text;
}

void tell_left_out(const left_out *left)
{
    char *folders = first_names(&left->folders), *files = first_names(&left->files);

    if (left->folders.count > 0)
        complain("left out: %zu folder%s of the system's own (%s)", left->folders.count,
                 left->folders.count == 1 ? "" : "s", folders);
    if (left->files.count > 0)
        complain("left out: %zu picture%s of kinds that are not looked for in folders (%s); convert what belongs to "
                 "the images",
                 left->files.count, left->files.count == 1 ? "" : "s", files);
    free(files);
    free(folders);
}

void left_out_free(left_out *left)
{
    image_list_free(&left->folders);
    image_list_free(&left->files);
}

/* ---- operands ---- */

static bool list_folder(const char *path, image_list *list)
{
    left_out left = {0};
    folder *at = folder_open(path, &left);
    bool listed = at && folder_collect(at, false, list);

    tell_left_out(&left);
    if (listed && at->total == 0) {
        complain("%s: no images (.png, .jpg, .bmp, .pgm, .tif, ...) in this folder", path);
        listed = false;
    }
    folder_free(at);
    left_out_free(&left);
    return listed;
}

bool list_operand(const char *path, image_list *list)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(status.st_mode))
        return list_folder(path, list);
    image_list_add(list, need_text("%s", path));
    return true;
}
