/* EXIF orientation. */
#ifndef DN_IMAGE_ORIENT_H
#define DN_IMAGE_ORIENT_H

#include "image/codec.h"

/* Orientation 1 .. 8 from EXIF, the content of a JPEG's APP1 segment or a PNG's eXIf chunk; 1 if it is no EXIF or tells
 * none. */
int32_t exif_orientation(const uint8_t *bytes, size_t size);
/* The image turned as EXIF orientation 1 .. 8 says; replaces *image.  input: what it was decoded from. */
dn_status image_orient(dn_image **image, int32_t orientation, const image_input *input, dn_error *error);

#endif
