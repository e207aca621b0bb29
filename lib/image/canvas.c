/* Bringing an image of any format to a canvas. */
#include "image/canvas.h"
#include "image/pixels.h"
#include "image/resample.h"

typedef struct canvas_rows {
    uint16_t *first;  /* of the image's place: (height, width, 3) of the canvas */
    size_t row;       /* samples of a canvas' row */
    int32_t width;    /* of the place */
    float low, scale; /* from the image's samples to 0 .. 65535 */
    const pixel_layout *layout;
} canvas_rows;

static void store_row(void *context, int32_t y, const float *row)
{
    const canvas_rows *rows = context;
    uint16_t *target = rows->first + (size_t)y * rows->row;

    for (int32_t x = 0; x < rows->width; x++, row += rows->layout->channels, target += 3)
        for (int c = 0; c < 3; c++) {
            float value = (row[rows->layout->rgb[c]] - rows->low) * rows->scale + 0.5f;
            value = value > 0 ? value : 0;
            target[c] = (uint16_t)(value < 65535.0f ? value : 65535.0f);
        }
}

/* `length` pixels of a side that becomes `numerator` / `denominator` as long: 1 at least. */
static int32_t scaled(int32_t length, int32_t numerator, int32_t denominator)
{
    int64_t pixels = ((int64_t)length * numerator + denominator / 2) / denominator;

    return pixels > 1 ? (int32_t)pixels : 1;
}

canvas_place canvas_place_of(const canvas_shape *shape, int32_t width, int32_t height)
{
    canvas_place place = {0, 0, shape->width, shape->height};

    if (shape->fit != DN_FIT_LETTERBOX)
        return place;
    if ((int64_t)width * shape->height > (int64_t)height * shape->width)
        place.height = scaled(height, shape->width, width);
    else
        place.width = scaled(width, shape->height, height);
    place.x = (shape->width - place.width) / 2;
    place.y = (shape->height - place.height) / 2;
    return place;
}

static void fill_free(const canvas_shape *shape, const canvas_place *place, uint16_t *canvas)
{
    for (int32_t y = 0; y < shape->height; y++)
        for (int32_t x = 0; x < shape->width; x++, canvas += 3)
            if (x < place->x || y < place->y || x >= place->x + place->width || y >= place->y + place->height)
                for (int c = 0; c < 3; c++)
                    canvas[c] = shape->fill[c];
}

dn_status canvas_refill(const dn_pixels *image, const canvas_shape *shape, uint16_t *canvas, mem_scratch *scratch,
                        dn_error *error)
{
    const pixel_layout *layout = image_layout(image->format);
    _Bool wide = layout->bytes_per_sample == 2;
    canvas_place place = canvas_place_of(shape, image->width, image->height);
    size_t row = (size_t)shape->width * 3;
    canvas_rows rows = {canvas + (size_t)place.y * row + (size_t)place.x * 3, row, place.width, 0, 257.0f, layout};
    resample_source source = {image->pixels, image_stride(image), image->height,
                              image->width,  layout->channels,    wide ? SAMPLE_U16 : SAMPLE_U8};

    if (wide) {
        rows.low = (float)shape->range.low;
        rows.scale = shape->range.high > 0 ? 65535.0f / (float)(shape->range.high - shape->range.low) : 1.0f;
    }
    if (shape->fit == DN_FIT_LETTERBOX)
        fill_free(shape, &place, canvas);
    return resample(&source, place.height, place.width, store_row, &rows, scratch, error);
}

dn_status canvas_fill(const dn_pixels *image, int32_t width, int32_t height, uint16_t *canvas,
                      const dn_allocator *allocator, dn_error *error)
{
    const canvas_shape shape = {.width = width, .height = height, .fit = DN_FIT_STRETCH};
    mem_scratch scratch = {.allocator = *allocator};
    dn_status status = canvas_refill(image, &shape, canvas, &scratch, error);

    mem_release(&scratch);
    return status;
}
