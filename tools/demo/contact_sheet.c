/* differnet-contact-sheet: several pictures in one, row by row. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"

#define CELL 180 /* pixels */
#define GAP 6

static const char usage[] =
    "usage: differnet-contact-sheet OUT.png COLUMNS IMAGE...\n\n"
    "Writes a PNG with the images row by row, COLUMNS to a row, each made to fit 180 x 180 pixels.\n";

/* Channel c (0 .. 2) of a pixel; decoded images are DN_GRAY8, DN_GRAY16 or DN_RGB8, rows `stride` bytes apart. */
static int channel(const dn_pixels *view, int64_t stride, int32_t x, int32_t y, int c)
{
    const uint8_t *row = (const uint8_t *)view->pixels + y * stride;

    if (view->format == DN_GRAY8)
        return row[x];
    if (view->format == DN_GRAY16)
        return ((const uint16_t *)(const void *)row)[x] >> 8;
    return row[3 * x + c];
}

/* Draws the image into the cell whose top left pixel is `cell` of a sheet `width` pixels wide: each pixel is the mean
 * of the image's pixels it covers. */
static void draw(const dn_pixels *view, uint8_t *cell, int width)
{
    int64_t stride = view->stride ? view->stride
                                  : (int64_t)view->width * (view->format == DN_GRAY8    ? 1
                                                            : view->format == DN_GRAY16 ? 2
                                                                                        : 3);
    int64_t longer = view->width > view->height ? view->width : view->height;
    int wide = (int)((view->width * (int64_t)CELL + longer - 1) / longer);
    int high = (int)((view->height * (int64_t)CELL + longer - 1) / longer);

    for (int i = 0; i < wide * high; i++) {
        int x = i % wide, y = i / wide;
        int32_t left = (int32_t)(x * (int64_t)view->width / wide);
        int32_t right = (int32_t)((x + 1) * (int64_t)view->width / wide);
        int32_t top = (int32_t)(y * (int64_t)view->height / high);
        int32_t bottom = (int32_t)((y + 1) * (int64_t)view->height / high);
        right = right > left ? right : left + 1;
        bottom = bottom > top ? bottom : top + 1;
        for (int c = 0; c < 3; c++) {
            int64_t sum = 0, count = (int64_t)(right - left) * (bottom - top);
            for (int32_t v = top; v < bottom; v++) {
                for (int32_t u = left; u < right; u++)
                    sum += channel(view, stride, u, v, c);
            }
            cell[(y * width + x) * 3 + c] = (uint8_t)((sum + count / 2) / count);
        }
    }
}

static int add_image(const char *path, uint8_t *cell, int width)
{
    dn_image *image;
    dn_pixels view;
    dn_error error;

    if (dn_image_open_path(path, NULL, &image, &error) != DN_OK) {
        fprintf(stderr, "differnet-contact-sheet: %s\n", error.message);
        return 0;
    }
    dn_image_pixels(image, &view);
    draw(&view, cell, width);
    dn_image_free(image);
    return 1;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long columns = argc > 3 ? strtol(argv[2], &end, 10) : 0;
    dn_error error;

    if (columns < 1 || columns > 100 || *end || argc > 1000) {
        fputs(usage, stderr);
        return 2;
    }
    int count = argc - 3, rows = (count + (int)columns - 1) / (int)columns;
    int width = (int)columns * (CELL + GAP) + GAP, height = rows * (CELL + GAP) + GAP;
    uint8_t *sheet = malloc((size_t)width * (size_t)height * 3);
    int good = sheet != NULL;

    if (sheet)
        memset(sheet, 255, (size_t)width * (size_t)height * 3);
    else
        fprintf(stderr, "differnet-contact-sheet: %s\n", strerror(ENOMEM));
    for (int i = 0; i < count && good; i++) {
        int x = GAP + i % (int)columns * (CELL + GAP), y = GAP + i / (int)columns * (CELL + GAP);
        good = add_image(argv[3 + i], sheet + ((size_t)y * (size_t)width + (size_t)x) * 3, width);
    }
    if (good && dn_image_write_png(&(dn_pixels){sheet, width, height, 0, DN_RGB8, 0}, argv[1], &error) != DN_OK) {
        fprintf(stderr, "differnet-contact-sheet: %s\n", error.message);
        good = 0;
    }
    free(sheet);
    return good ? 0 : 2;
}
