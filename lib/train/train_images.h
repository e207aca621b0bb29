/* The good images of a training: adding, decoding, splitting off the held-out ones. */
#ifndef DN_TRAIN_TRAIN_IMAGES_H
#define DN_TRAIN_TRAIN_IMAGES_H

#include "differnet/seen.h"
#include "differnet/tiles.h"
#include "image/mask.h"
#include "differnet/groups.h"

/* A good image: a path to decode when needed, or what is needed of the caller's pixels. */
typedef struct train_image {
    char *path;       /* NULL if pixels were added */
    uint16_t *canvas; /* (height, width, 3) of the plan's whole; NULL if a path was added */
    uint16_t *tiles;  /* (height, width, 3) of the plan's canvas; with one tile NULL, being `canvas` */
    int32_t width, height;
    uint32_t crc; /* of size, format and pixels: tells images of a checkpoint apart */
    int32_t name; /* of its group; -1: none */
    float *thumb; /* (THUMB_SIZE) */
} train_image;

typedef struct train_images {
    dn_allocator allocator;
    dn_image_options files;               /* how they are decoded */
    const dn_extractor *extractor;        /* borrowed */
    int32_t tile_columns, tile_rows, fit; /* as the options say; 0 x 0 tiles: the first image tells */
    canvas_range range;                   /* of 16-bit pixels */
    image_mask mask;                      /* what counts in them; width 0: everything */
    tile_plan plan;                       /* known once there is an image */
    train_image *list;                    /* (count), in order of addition */
    seen_images seen;                     /* what they are like */
    int32_t count, capacity;

    char **names; /* (name_count): of groups */
    int32_t name_count, name_capacity;
    int32_t name; /* of the group of images that are added now; -1: none */

    /* Made by train_images_find_groups: no image can be added after it. */
    image_groups
        groups; /* images of one part are on one side of every split and fold, and their first one calibrates */

    /* Made by train_images_split. */
    int32_t *split; /* (count): training images first, then held-out ones, each in order of addition */
    int32_t train_count, holdout_count;
} train_images;

/* options: the limits of image files, and how they are laid before the network. */
void train_images_init(train_images *images, const dn_extractor *extractor, const dn_train_options *options,
                       const dn_allocator *allocator);
void train_images_release(train_images *images);
/* What counts in the images; NULL: everything.  The picture has passed pixels_check.  DN_E_STATE once there are
 * images. */
dn_status train_images_set_mask(train_images *images, const dn_pixels *mask, int32_t kind, dn_error *error);
dn_status train_images_add_path(train_images *images, const char *path, dn_error *error);
dn_status train_images_add_pixels(train_images *images, const dn_pixels *pixels, dn_error *error);
/* Images that are added from now on belong to the group of this name; NULL: to none. */
dn_status train_images_set_group(train_images *images, const char *name, dn_error *error);
/* Finds out which images belong together; copies: also copies.  Nothing if that was done. */
dn_status train_images_find_groups(train_images *images, _Bool copies, dn_error *error);
/* Whether an image is the first one of its group. */
_Bool train_images_first(const train_images *images, int32_t image);
/* How many groups are kept out: the share asked for, at least one if there are three or more, none otherwise. */
int32_t train_images_held(const train_images *images, double holdout);
/* Chooses the held-out images, a share of `holdout`; nothing if that was done. */
dn_status train_images_split(train_images *images, double holdout, uint64_t seed, dn_error *error);

/* Divides the groups into folds of about equal size, by a seeded permutation; fold: (count), of each image.  Twice the folds
 * are halves of these. */
void train_images_folds(const train_images *images, int32_t folds, uint64_t seed, int32_t *fold);

/* Number and pixels of the images, in order, and how the canvas that the flow sees is made of them, in which range, and
 * what of it counts. */
uint64_t train_images_id(const train_images *images);
/* Name of an image for messages: its path, or "image N" (counted from 1) in `buffer`. */
#define TRAIN_LABEL 32
const char *train_images_label(const train_images *images, int32_t image, char buffer[TRAIN_LABEL]);
/* *canvas: the image on the plan's whole (height, width, 3), in `buffer` (as large) or kept since it was added.  For the
 * flow: what does not count is filled as in scoring. */
dn_status train_images_canvas(const train_images *images, int32_t image, uint16_t *buffer, const uint16_t **canvas,
                              dn_error *error);
/* Likewise on the canvas (height, width, 3) that the plan's tiles are cut from, for the positions: all of the image. */
dn_status train_images_tiles(const train_images *images, int32_t image, uint16_t *buffer, const uint16_t **canvas,
                             dn_error *error);
/* Whether train_images_canvas needs its buffer for an image. */
_Bool train_images_loads(const train_images *images, int32_t image);
/* A buffer for the plan's whole; NULL if memory is out. */
uint16_t *train_images_buffer(const train_images *images);

#endif
