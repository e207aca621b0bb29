/* The options --mask and --ignore: what counts in images. */
#ifndef DN_TOOLS_REGION_H
#define DN_TOOLS_REGION_H

#include "picture.h"

typedef struct region {
    const char *mask, *ignore; /* files, as given; one of them at most */
    mapped_image picture;      /* opened */
} region;

#define REGION_OPTIONS(region)                                                                                \
    {"mask", 0, OPTION_TEXT, &(region)->mask,                                                                 \
     0,      0, "FILE",      "look only where this picture, of the images' aspect,\nis bright"},              \
    {                                                                                                         \
        "ignore", 0, OPTION_TEXT, &(region)->ignore, 0, 0, "FILE", "do not look where this picture is bright" \
    }

/* Whether one of the options is there. */
bool region_given(const region *self);
/* Opens the file; complains on failure. */
bool region_open(region *self);
void region_close(region *self);
bool region_apply_scorer(const region *self, dn_scorer *scorer);          /* complains on failure */
bool region_apply_localizer(const region *self, dn_localizer *localizer); /* likewise */
bool region_apply_trainer(const region *self, dn_trainer *trainer);       /* likewise */
/* Darkens what does not count in an overlay (height, width, 3). */
void region_darken(const region *self, uint8_t *rgb, int32_t width, int32_t height);

#endif
