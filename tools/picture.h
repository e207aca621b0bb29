/* Pictures the command makes: reading masks, heat maps and their overlays. */
#ifndef DN_TOOLS_PICTURE_H
#define DN_TOOLS_PICTURE_H

#include "command.h"

/* The value of a map that fills a 16-bit map picture's pixel to MAP_UNIT; 16 and more saturate. */
#define MAP_UNIT 4096

/* An opened image and its heat map. */
typedef struct mapped_image {
    dn_image *image;
    dn_pixels view;
    float *map; /* (height, width); NULL before picture_localize */
} mapped_image;
/* Pixels that an opened image may have: the library's default, or what was set. */
int64_t picture_limit(void);
void picture_set_limit(int64_t pixels);
/* Opens an image: a file, or what comes out of a pipe (/dev/stdin, a shell's <(...)).  Complains on failure. */
bool picture_open(mapped_image *picture, const char *path);
/* Whether a path is no regular file, but one that bytes can come out of. */
bool is_pipe(const char *path);
void picture_close(mapped_image *picture);
bool picture_localize(mapped_image *picture, const char *path, dn_localizer *localizer); /* complains on failure */

/* The map's largest value. */
float picture_peak(const mapped_image *picture);
/* The image, in the model's range, with its map drawn over it, RGB8, as new memory.  The peak gets the hottest colour, if it is not below
 * DN_OVERLAY_FULL: so good parts stay clean, and a map that is far above what is usual still tells where.  NULL, with a
 * message, on failure. */
uint8_t *picture_overlay(const mapped_image *picture, const dn_model *model, const char *path);
void picture_draw_box(const mapped_image *picture, const dn_box *box, uint8_t *rgb); /* on an overlay */
/* The map as 16-bit gray, as new memory. */
uint16_t *picture_map16(const mapped_image *picture);

/* Reads a mask, or all masks in a folder: 1 where a pixel is defective, else 0, as new memory; marked: how many are 1.
 * Of two values the larger one is defective, of class numbers (up to 32) all but 0, else what is above half of the
 * mask's range.  It must have the picture's size.  NULL, with a message, on failure. */
uint8_t *open_mask(const char *path, const dn_pixels *size, size_t *marked);

#endif
