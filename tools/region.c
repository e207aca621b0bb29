#include "region.h"

#include <string.h>

bool region_given(const region *self)
{
    return self->mask || self->ignore;
}

static const char *path_of(const region *self)
{
    return self->mask ? self->mask : self->ignore;
}

static int32_t kind_of(const region *self)
{
    return self->mask ? DN_MASK_INCLUDE : DN_MASK_IGNORE;
}

bool region_open(region *self)
{
    if (self->mask && self->ignore) {
        complain("--mask and --ignore exclude each other");
        return false;
    }
    return !region_given(self) || picture_open(&self->picture, path_of(self));
}

void region_close(region *self)
{
    if (self->picture.image)
        picture_close(&self->picture);
}

static bool applied(const region *self, dn_status status, const dn_error *error)
{
    if (status != DN_OK)
        complain_status(path_of(self), status, error->message);
    return status == DN_OK;
}

bool region_apply_scorer(const region *self, dn_scorer *scorer)
{
    return !region_given(self) ||
           applied(self, dn_scorer_set_mask(scorer, &self->picture.view, kind_of(self)), dn_scorer_error(scorer));
}

bool region_apply_localizer(const region *self, dn_localizer *localizer)
{
    return !region_given(self) || applied(self, dn_localizer_set_mask(localizer, &self->picture.view, kind_of(self)),
                                          dn_localizer_error(localizer));
}

bool region_apply_trainer(const region *self, dn_trainer *trainer)
{
    return !region_given(self) ||
           applied(self, dn_trainer_set_mask(trainer, &self->picture.view, kind_of(self)), dn_trainer_error(trainer));
}

/* As the library sees it: a channel of at least half of white. */
static bool is_bright(const dn_pixels *view, int32_t x, int32_t y)
{
    const uint8_t *pixels = view->pixels;
    size_t at = (size_t)y * (size_t)view->width + (size_t)x;
    uint16_t wide;

    if (view->format == DN_GRAY8)
        return pixels[at] >= 128;
    if (view->format == DN_RGB8)
        return pixels[3 * at] >= 128 || pixels[3 * at + 1] >= 128 || pixels[3 * at + 2] >= 128;
    memcpy(&wide, pixels + 2 * at, sizeof wide);
    return wide >= 32768;
}

void region_darken(const region *self, uint8_t *rgb, int32_t width, int32_t height)
{
    const dn_pixels *view = &self->picture.view;

    for (int32_t y = 0; region_given(self) && y < height; y++)
        for (int32_t x = 0; x < width; x++, rgb += 3) {
            int32_t u = (int32_t)((x + 0.5) / width * view->width), v = (int32_t)((y + 0.5) / height * view->height);
            if (is_bright(view, u, v) != (kind_of(self) == DN_MASK_INCLUDE))
                for (int c = 0; c < 3; c++)
                    rgb[c] = (uint8_t)(rgb[c] / 3);
        }
}
