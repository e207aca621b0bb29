#include "picture.h"

#include <stdlib.h>

/* One setting for the whole command, since each of its runs has one --max-pixels. */
static int64_t most_pixels;

int64_t picture_limit(void)
{
    dn_image_options options;

    dn_image_options_init(&options);
    return most_pixels > 0 ? most_pixels : options.max_pixels;
}

void picture_set_limit(int64_t pixels)
{
    most_pixels = pixels;
}

bool picture_open(mapped_image *picture, const char *path)
{
    dn_image_options options;
    dn_error error;
    dn_status status;

    picture->map = NULL;
    dn_image_options_init(&options);
    options.max_pixels = picture_limit();
    status = dn_image_open_path(path, &options, &picture->image, &error);
    if (status != DN_OK) {
        complain_status(path, status, error.message);
        return false;
    }
    dn_image_pixels(picture->image, &picture->view);
    return true;
}

void picture_close(mapped_image *picture)
{
    free(picture->map);
    dn_image_free(picture->image);
    *picture = (mapped_image){0};
}

bool picture_localize(mapped_image *picture, const char *path, dn_localizer *localizer)
{
    size_t pixels = (size_t)picture->view.width * (size_t)picture->view.height;

    if (!picture->map)
        picture->map = need_memory(pixels, sizeof *picture->map);
    dn_status status = dn_localizer_map(localizer, &picture->view, picture->map);
    if (status != DN_OK)
        complain_status(path, status, dn_localizer_error(localizer)->message);
    return status == DN_OK;
}

float picture_peak(const mapped_image *picture)
{
    size_t pixels = (size_t)picture->view.width * (size_t)picture->view.height;
    float peak = 0;

    for (size_t i = 0; i < pixels; i++)
        peak = picture->map[i] > peak ? picture->map[i] : peak;
    return peak;
}

uint8_t *picture_overlay(const mapped_image *picture, const char *path)
{
    dn_error error;
    float peak = picture_peak(picture), full = peak > DN_OVERLAY_FULL ? peak : DN_OVERLAY_FULL;
    uint8_t *rgb = need_memory((size_t)picture->view.width * (size_t)picture->view.height, 3);
    dn_status status = dn_image_overlay(&picture->view, picture->map, full, rgb, &error);

    if (status == DN_OK)
        return rgb;
    complain_status(path, status, error.message);
    free(rgb);
    return NULL;
}

uint16_t *picture_map16(const mapped_image *picture)
{
    size_t pixels = (size_t)picture->view.width * (size_t)picture->view.height;
    uint16_t *gray = need_memory(pixels, sizeof *gray);

    for (size_t i = 0; i < pixels; i++) {
        float value = picture->map[i] * MAP_UNIT + 0.5f;
        gray[i] = value >= 65535 ? 65535 : (uint16_t)value;
    }
    return gray;
}

/* A pixel's brightest channel, 0 .. 255. */
static int brightest(const dn_pixels *view, const uint8_t *row, int32_t x)
{
    if (view->format == DN_GRAY16)
        return ((const uint16_t *)(const void *)row)[x] >> 8;
    if (view->format == DN_GRAY8)
        return row[x];
    const uint8_t *rgb = row + 3 * x;
    int most = rgb[0] > rgb[1] ? rgb[0] : rgb[1];
    return most > rgb[2] ? most : rgb[2];
}

uint8_t *open_mask(const char *path, const dn_pixels *size)
{
    mapped_image mask;

    if (!picture_open(&mask, path))
        return NULL;
    if (mask.view.width != size->width || mask.view.height != size->height) {
        complain("%s: the mask has %d x %d pixels, its image %d x %d; both must have the same size", path,
                 mask.view.width, mask.view.height, size->width, size->height);
        picture_close(&mask);
        return NULL;
    }
    uint8_t *defective = need_memory((size_t)size->width * (size_t)size->height, 1);
    int64_t stride = mask.view.stride;
    if (stride == 0)
        stride = (int64_t)size->width * (mask.view.format == DN_GRAY8 ? 1 : mask.view.format == DN_GRAY16 ? 2 : 3);
    for (int32_t y = 0; y < size->height; y++) {
        const uint8_t *row = (const uint8_t *)mask.view.pixels + y * stride;
        for (int32_t x = 0; x < size->width; x++)
            defective[(size_t)y * (size_t)size->width + (size_t)x] = brightest(&mask.view, row, x) > 127;
    }
    picture_close(&mask);
    return defective;
}
