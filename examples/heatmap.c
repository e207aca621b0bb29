/* Shows where a defect is: writes the heat map over the image as PNG and prints the boxes.
 *
 * The map is the one of the density at every position, from one view, if the model has that; otherwise the gradient of
 * the flow's loss.  options.method asks for one of them.  A program that wants the verdict as well makes a scorer and
 * calls dn_scorer_inspect: both from one pass.
 *
 *   cc heatmap.c -o heatmap $(pkg-config --cflags --libs differnet)
 *   ./heatmap part.dnm photo.jpg overlay.png
 */
#include <differnet.h>
#include <stdio.h>
#include <stdlib.h>

static dn_status localize(dn_localizer *localizer, const dn_pixels *image, const char *path, dn_error *error)
{
    size_t pixels = (size_t)image->width * (size_t)image->height;
    float *map = malloc(pixels * sizeof *map); /* (height, width) */
    uint8_t *rgb = malloc(pixels * 3);         /* (height, width, 3) */
    dn_box boxes[16];
    int32_t count = 0;
    dn_status status = map && rgb ? DN_OK : DN_E_MEMORY;

    if (status == DN_OK)
        status = dn_localizer_map(localizer, image, map);
    if (status == DN_OK)
        status = dn_localizer_boxes(localizer, map, image->width, image->height, 1.0f, boxes, 16, &count);
    if (status != DN_OK)
        *error = *dn_localizer_error(localizer);
    for (int32_t i = 0; status == DN_OK && i < count; i++)
        printf("x %d, y %d, %d x %d pixels, peak %.1f times what good parts show\n", boxes[i].x, boxes[i].y,
               boxes[i].width, boxes[i].height, (double)boxes[i].peak);
    if (status == DN_OK)
        status = dn_image_overlay(image, map, 0, rgb, error);
    if (status == DN_OK) {
        dn_pixels overlay = {.pixels = rgb, .width = image->width, .height = image->height, .format = DN_RGB8};
        status = dn_image_write_png(&overlay, path, error);
    }
    free(rgb);
    free(map);
    return status;
}

int main(int argc, char **argv)
{
    dn_model *model = NULL;
    dn_image *image = NULL;
    dn_localizer *localizer = NULL;
    dn_localizer_options options;
    dn_pixels view;
    dn_error error = {DN_OK, ""};

    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL IMAGE OUT.png\n", argv[0]);
        return 2;
    }
    dn_localizer_options_init(&options);
    options.threads = 2;
    dn_status status = dn_blas_threads() > 1 ? dn_blas_set_threads(1) : DN_OK;
    if (status == DN_OK)
        status = dn_model_open_path(argv[1], NULL, &model, &error);
    if (status == DN_OK)
        status = dn_image_open_path(argv[2], NULL, &image, &error);
    if (status == DN_OK)
        status = dn_localizer_create(model, &options, &localizer, &error);
    if (status == DN_OK) {
        dn_image_pixels(image, &view);
        status = localize(localizer, &view, argv[3], &error);
    }
    if (status != DN_OK)
        fprintf(stderr, "%s\n", error.message[0] ? error.message : dn_status_string(status));
    dn_localizer_free(localizer);
    dn_image_free(image);
    dn_model_unref(model);
    return status == DN_OK ? 0 : 2;
}
