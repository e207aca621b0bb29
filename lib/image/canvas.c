/* Stretching an image of any format to the square that views are cut from. */
#include "image/resample.h"
#include "image/canvas.h"
#include "image/pixels.h"

typedef struct canvas_rows {
    uint16_t *canvas; /* (size, size, 3) */
    int32_t size;
    float scale; /* from the image's samples to 0 .. 65535 */
    const pixel_layout *layout;
} canvas_rows;

static void store_row(void *context, int32_t y, const float *row)
{
    const canvas_rows *rows = context;
    uint16_t *target = rows->canvas + (size_t)y * (size_t)rows->size * 3;

    for (int32_t x = 0; x < rows->size; x++, row += rows->layout->channels, target += 3)
        for (int c = 0; c < 3; c++) {
            float value = row[rows->layout->rgb[c]] * rows->scale + 0.5f;
            target[c] = (uint16_t)(value < 65535.0f ? value : 65535.0f);
        }
}

dn_status canvas_refill(const dn_pixels *image, int32_t size, uint16_t *canvas, mem_scratch *scratch, dn_error *error)
{
    const pixel_layout *layout = image_layout(image->format);
    _Bool wide = layout->bytes_per_sample == 2;
    canvas_rows rows = {canvas, size, wide ? 1.0f : 257.0f, layout};
    resample_source source = {image->pixels, image_stride(image), image->height,
                              image->width,  layout->channels,    wide ? SAMPLE_U16 : SAMPLE_U8};

    return resample(&source, size, size, store_row, &rows, scratch, error);
}

dn_status canvas_fill(const dn_pixels *image, int32_t size, uint16_t *canvas, const dn_allocator *allocator,
                      dn_error *error)
{
    mem_scratch scratch = {.allocator = *allocator};
    dn_status status = canvas_refill(image, size, canvas, &scratch, error);

    mem_release(&scratch);
    return status;
}
