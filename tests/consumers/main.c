/* A program of a user's, in C.  Its functions have names that the library has, too. */
#include <differnet.h>
#include <stdio.h>
#include <string.h>

int fail(void);
int options_init(void);

int fail(void)
{
    return 1;
}

int options_init(void)
{
    return 0;
}

/* Through libpng and back. */
static dn_status through_png(const dn_pixels *picture, dn_error *error)
{
    dn_blob *png = NULL;
    dn_image *image = NULL;
    dn_pixels view;
    dn_status status = dn_image_encode_png(picture, &png, error);

    if (status == DN_OK)
        status = dn_image_open_memory(dn_blob_data(png), dn_blob_size(png), NULL, &image, error);
    if (status == DN_OK) {
        dn_image_pixels(image, &view);
        if (view.width != picture->width || memcmp(view.pixels, picture->pixels, 64 * 64) != 0)
            status = DN_E_FORMAT;
    }
    dn_image_free(image);
    dn_blob_free(png);
    return status;
}

/* The features of a picture, as numbers that can be compared. */
static dn_status print_features(const dn_pixels *picture, dn_error *error)
{
    const int32_t channels[5] = {4, 4, 4, 4, 4};
    const double angles[1] = {30};
    float features[4];
    dn_extractor_options options;
    dn_extractor *network = NULL;

    dn_extractor_options_init(&options);
    options.input_size = 64;
    options.scales = 1;
    dn_status status = dn_extractor_random(channels, 1, &options, &network, error);
    if (status == DN_OK)
        status = dn_extractor_features_image(network, picture, angles, 1, features, error);
    for (int i = 0; status == DN_OK && i < 4; i++)
        printf("%a ", (double)features[i]);
    dn_extractor_unref(network);
    return status;
}

int main(void)
{
    static uint8_t gray[64 * 64];
    dn_pixels picture = {0};
    dn_error error;

    for (int i = 0; i < 64 * 64; i++)
        gray[i] = (uint8_t)(i * 7 % 251);
    picture.pixels = gray;
    picture.width = picture.height = 64;
    picture.format = DN_GRAY8;
    if (through_png(&picture, &error) != DN_OK || print_features(&picture, &error) != DN_OK) {
        fprintf(stderr, "%s\n", error.message);
        return fail();
    }
    printf("%s\n", dn_version());
    return options_init();
}
