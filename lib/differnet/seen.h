/* What the images were like that a model learned from, and whether another one is like them. */
#ifndef DN_DIFFERNET_SEEN_H
#define DN_DIFFERNET_SEEN_H

#include "format/safetensors.h"
#include "image/traits.h"

/* The least and the most of each trait (DN_TRAIT_...). */
typedef struct seen_images {
    double images; /* their number, a whole one; 0: nothing is known (files of old) */
    double low[DN_TRAITS], high[DN_TRAITS];
} seen_images;

void seen_add(seen_images *seen, const double traits[DN_TRAITS]);
/* The tensors seen.*: references `seen` until the file is written.  A file without them leaves *seen empty; numbers that
 * cannot be those of images are DN_E_FORMAT. */
void seen_to_tensors(const seen_images *seen, st_writer *writer);
dn_status seen_from_tensors(const st_file *file, seen_images *seen, dn_error *error);
/* In what an image is unlike all that were learned from: DN_WARN_... or'ed; 0 where nothing is known.
 * A trait's logarithm may lie outside theirs by max(0.15 + 1 / n, (0.25 + 8 / n) (log high - log low)), n being their
 * number: another good image is seldom farther out, and with few images more often than with many. */
uint32_t seen_warnings(const seen_images *seen, const double traits[DN_TRAITS]);
/* "darker than all images learned from"; NULL if it is not exactly one warning. */
const char *warning_text(uint32_t warning);

#endif
