#include "picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset.h"

/* Bytes that are read from a pipe at once. */
#define PIPE_BYTES ((size_t)1 << 20)

bool is_pipe(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 &&
           (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode) || S_ISSOCK(status.st_mode));
}

/* All that comes out of a pipe, `most` bytes at most.  Complains and returns NULL on failure. */
static uint8_t *read_pipe(const char *path, size_t most, size_t *size)
{
    uint8_t *bytes = NULL;
    size_t capacity = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *size = 0;
    while (fd >= 0 && *size <= most) {
        if (capacity - *size < PIPE_BYTES) {
            capacity = 2 * capacity + PIPE_BYTES;
            bytes = need_more_memory(bytes, capacity, 1);
        }
        got = read(fd, bytes + *size, PIPE_BYTES);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        *size += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        complain("%s: cannot read: %s", path, strerror(errno));
    else if (*size > most)
        complain("%s: more than %zu bytes, the limit for an image", path, most);
    if (fd >= 0)
        close(fd);
    if (got >= 0 && *size <= most)
        return bytes;
    free(bytes);
    return NULL;
}

static dn_status open_pipe(const char *path, const dn_image_options *options, dn_image **image, dn_error *error)
{
    size_t size;
    uint8_t *bytes = read_pipe(path, (size_t)options->max_bytes, &size);

    if (!bytes)
        return DN_E_IO;
    dn_status status = dn_image_open_memory(bytes, size, options, image, error);
    if (status != DN_OK) {
        static const char label[] = "image in memory: "; /* what the library calls such bytes */
        const char *message = error->message;
        complain_status(path, status, message + (strncmp(message, label, sizeof label - 1) ? 0 : sizeof label - 1));
    }
    free(bytes);
    return status;
}

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

    *picture = (mapped_image){0};
    dn_image_options_init(&options);
    options.max_pixels = picture_limit();
    if (is_pipe(path)) {
        if (open_pipe(path, &options, &picture->image, &error) != DN_OK)
            return false;
    } else {
        status = dn_image_open_path(path, &options, &picture->image, &error);
        if (status != DN_OK) {
            complain_status(path, status, error.message);
            return false;
        }
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

/* ---- drawing ---- */

static const uint8_t line_colour[3] = {255, 236, 64};

/* Lines are as wide as is seen when the whole picture is looked at. */
static int32_t line_width(const mapped_image *picture)
{
    int32_t side = picture->view.width < picture->view.height ? picture->view.width : picture->view.height;

    return side < 400 ? 1 : side / 400;
}

static void draw_pixel(const mapped_image *picture, uint8_t *rgb, int32_t x, int32_t y)
{
    if (x >= 0 && y >= 0 && x < picture->view.width && y < picture->view.height)
        memcpy(rgb + ((size_t)y * (size_t)picture->view.width + (size_t)x) * 3, line_colour, 3);
}

/* Whether the map is above 1; outside the picture it is not. */
static bool is_marked(const mapped_image *picture, int32_t x, int32_t y)
{
    return x >= 0 && y >= 0 && x < picture->view.width && y < picture->view.height &&
           picture->map[(size_t)y * (size_t)picture->view.width + (size_t)x] > 1;
}

/* The inner edge of what is marked. */
static void draw_contours(const mapped_image *picture, uint8_t *rgb)
{
    int32_t wide = line_width(picture);

    for (int32_t y = 0; y < picture->view.height; y++)
        for (int32_t x = 0; x < picture->view.width; x++)
            if (is_marked(picture, x, y) && !(is_marked(picture, x - wide, y) && is_marked(picture, x + wide, y) &&
                                              is_marked(picture, x, y - wide) && is_marked(picture, x, y + wide)))
                draw_pixel(picture, rgb, x, y);
}

/* A frame around the box, a little outside of it. */
void picture_draw_box(const mapped_image *picture, const dn_box *box, uint8_t *rgb)
{
    int32_t wide = line_width(picture), gap = 3 * wide;
    int32_t left = box->x - gap, top = box->y - gap;
    int32_t right = box->x + box->width - 1 + gap, bottom = box->y + box->height - 1 + gap;

    for (int32_t k = 0; k < wide; k++) {
        for (int32_t x = left; x <= right; x++) {
            draw_pixel(picture, rgb, x, top + k);
            draw_pixel(picture, rgb, x, bottom - k);
        }
        for (int32_t y = top; y <= bottom; y++) {
            draw_pixel(picture, rgb, left + k, y);
            draw_pixel(picture, rgb, right - k, y);
        }
    }
}

uint8_t *picture_overlay(const mapped_image *picture, const dn_model *model, const char *path)
{
    dn_error error;
    float peak = picture_peak(picture), full = peak > DN_OVERLAY_FULL ? peak : DN_OVERLAY_FULL;
    uint8_t *rgb = need_memory((size_t)picture->view.width * (size_t)picture->view.height, 3);
    dn_status status = dn_model_overlay(model, &picture->view, picture->map, full, rgb, &error);

    if (status != DN_OK) {
        complain_status(path, status, error.message);
        free(rgb);
        return NULL;
    }
    draw_contours(picture, rgb);
    return rgb;
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

/* ---- masks ---- */

/* A pixel's brightest channel. */
static uint16_t brightest(const dn_pixels *view, const uint8_t *row, int32_t x)
{
    if (view->format == DN_GRAY16)
        return ((const uint16_t *)(const void *)row)[x];
    if (view->format == DN_GRAY8)
        return row[x];
    const uint8_t *rgb = row + 3 * x;
    uint8_t most = rgb[0] > rgb[1] ? rgb[0] : rgb[1];
    return most > rgb[2] ? most : rgb[2];
}

/* All pixels' brightest channels, as new memory. */
static uint16_t *mask_values(const dn_pixels *view)
{
    size_t width = (size_t)view->width, height = (size_t)view->height;
    size_t row_bytes = width * (view->format == DN_GRAY8 ? 1 : view->format == DN_GRAY16 ? 2 : 3);
    uint16_t *values = need_memory(width * height, sizeof *values);

    for (size_t y = 0; y < height; y++) {
        const uint8_t *row = (const uint8_t *)view->pixels +
                             (view->stride ? (int64_t)y * view->stride : (int64_t)(y * row_bytes));
        for (int32_t x = 0; x < view->width; x++)
            values[y * width + (size_t)x] = brightest(view, row, x);
    }
    return values;
}

/* Numbers of classes go up to here; a picture this dark is no mask in black and white. */
#define MAX_CLASS 32

/* The value above which a mask's pixels are defective: of two values the larger one is, whatever it is (0/1, 0/255,
 * 0/65535); of class numbers all but 0; else, where edges were smoothed or a JPEG blurred them, the upper half. */
static uint16_t mask_threshold(const uint16_t *values, size_t count)
{
    uint16_t low = values[0], high = values[0];
    bool two = true;

    for (size_t i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    for (size_t i = 0; i < count && two; i++)
        two = values[i] == low || values[i] == high;
    if (low == high || (!two && high <= MAX_CLASS))
        return 0;
    return two ? low : (uint16_t)((low + high) / 2);
}

/* Marks what a mask's file says is defective. */
static bool add_mask(const char *path, const dn_pixels *size, uint8_t *defective)
{
    mapped_image mask;

    if (!picture_open(&mask, path))
        return false;
    if (mask.view.width != size->width || mask.view.height != size->height) {
        complain("%s: the mask has %d x %d pixels, its image %d x %d; both must have the same size", path,
                 mask.view.width, mask.view.height, size->width, size->height);
        picture_close(&mask);
        return false;
    }
    size_t count = (size_t)size->width * (size_t)size->height;
    uint16_t *values = mask_values(&mask.view), threshold = mask_threshold(values, count);
    for (size_t i = 0; i < count; i++)
        defective[i] |= values[i] > threshold;
    free(values);
    picture_close(&mask);
    return true;
}

uint8_t *open_mask(const char *path, const dn_pixels *size, size_t *marked)
{
    size_t count = (size_t)size->width * (size_t)size->height;
    uint8_t *defective = need_memory(count, 1);
    image_list files = {0};
    bool good = list_operand(path, &files);

    for (size_t i = 0; i < files.count && good; i++)
        good = add_mask(files.paths[i], size, defective);
    image_list_free(&files);
    *marked = 0;
    for (size_t i = 0; i < count; i++)
        *marked += defective[i];
    if (good)
        return defective;
    free(defective);
    return NULL;
}
