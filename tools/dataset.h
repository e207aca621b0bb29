/* Folders of images: what lies in them, in which order, and what is left out.
 *
 * Images end as dn_image_ending() tells, in any case.  Hidden files and folders and the folders that systems keep among
 * a user's own (a recycle bin, thumbnails, "lost+found") are left out, as is what is neither file nor folder; folders
 * inside are searched, symbolic links followed (a link to a folder that is being searched is not). */
#ifndef DN_TOOLS_DATASET_H
#define DN_TOOLS_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct image_list {
    char **paths; /* numbers inside names count as numbers: 2.png before 10.png */
    size_t count, capacity;
} image_list;
void image_list_add(image_list *list, char *path); /* which belongs to the list from now on */
void image_list_free(image_list *list);

/* Bytes of a name, or of a path, before its extension. */
size_t stem_length(const char *name);
/* Whether a name ends as those of images do that can be read. */
bool has_image_name(const char *name);

/* Appends `path` itself if it is no folder, and all images below it if it is.  False, with a message, if there is
 * nothing of that name, no image in the folder, or a folder that cannot be read. */
bool list_operand(const char *path, image_list *list);
/* Keeps `count` of the images: one from each of `count` even slices of the list, drawn by the seed. */
void choose_images(image_list *list, size_t count, uint64_t seed);

/* "1.png" before "2.png" before "10.png"; byte order otherwise. */
int natural_compare(const char *a, const char *b);

/* ---- folders ---- */

/* Whether there is a folder at `path`. */
bool is_folder(const char *path);

/* What a folder's name says about it, without regard to case, blanks, "-" and "_". */
enum folder_kind {
    FOLDER_OTHER,
    FOLDER_GOOD, /* good, ok, normal, ... */
    FOLDER_BAD,  /* bad, ng, defect, anomaly, ... */
    FOLDER_TRAIN,
    FOLDER_TEST,   /* test, validation, ... */
    FOLDER_MASKS,  /* ground_truth, masks, ... */
    FOLDER_SYSTEM, /* no data: @eaDir, lost+found, ... */
};

/* A folder and all below it. */
typedef struct folder {
    char *path;
    const char *name; /* the last part of path */
    enum folder_kind kind;
    int rank;   /* of two names of one kind the smaller one is meant first: test before validation */
    int reason; /* errno if it cannot be read; else 0 */
    struct folder_entry {
        char *image;           /* an image's path, or NULL: */
        struct folder *inside; /* a folder, never FOLDER_SYSTEM */
    } * entries;               /* in order of their names */
    size_t count;
    size_t images, total; /* images right in it; with those of the folders inside */
    bool taken;           /* its own images are wanted; for the callers */
} folder;

/* What is left out while folders are read. */
typedef struct left_out {
    image_list folders; /* FOLDER_SYSTEM: paths */
    image_list files;   /* pictures of kinds that cannot be read: paths */
} left_out;
void tell_left_out(const left_out *left); /* a line for each kind, if there is any */
void left_out_free(left_out *left);

/* Reads a folder and all below it; what cannot be read inside has a reason.  Complains and returns NULL if `path`
 * itself is no folder. */
folder *folder_open(const char *path, left_out *left);
void folder_free(folder *at); /* NULL is allowed */
/* Appends all images of a folder, in order; with `taken_only` those of taken folders.  Complains and returns false if
 * one of the folders cannot be read. */
bool folder_collect(const folder *at, bool taken_only, image_list *list);

/* The folder of a kind that is meant: of several the one whose name stands first among the known ones.  NULL: none. */
folder *folder_of_kind(const folder *at, enum folder_kind kind);
/* Whether there may be images in a folder; what cannot be read may well hold some. */
bool folder_may_hold_images(const folder *at);
/* The one folder of no known kind that may hold images; NULL if there are none or several.  others: how many. */
folder *folder_only_other(const folder *at, size_t *others);
/* Tells how many images there are in a folder, or why it cannot be read: "BEFORE12 images in PATH". */
void folder_tell(const folder *at, size_t images, const char *before);

#endif
