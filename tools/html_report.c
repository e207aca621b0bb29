#include "html_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval_json.h"
#include "jpeg_writer.h"
#include "memory_stream.h"
#include "output.h"
#include "report/page.h"

#define PICTURE_SIDE 320 /* pixels of the longer side, at most */

/* What the page shows of one image. */
typedef struct shown_image {
    int32_t width, height;       /* of the image itself */
    uint8_t *original, *overlay; /* JPEG; NULL: not among the pictures; overlay: NULL without a map, too */
    size_t original_size, overlay_size;
    dn_blob *mask; /* PNG; NULL: none */
    float peak;    /* of the map; NaN: there is none */
    dn_box *boxes; /* (count) */
    int32_t count;
} shown_image;

/* The images of one kind, good or defective, that have pictures so far. */
typedef struct pictured {
    size_t *at; /* (room) indices */
    size_t count, room;
} pictured;

struct html_report {
    shown_image *images; /* (count) */
    size_t count;
    pictured kinds[2];    /* good, defective */
    const region *region; /* borrowed: what --mask or --ignore leave out is dark in overlays */
};

/* ---- which images have pictures ---- */

/* The higher, the more the score looks like the other kind's. */
static double hardness(const evaluation *result, size_t index)
{
    return result->set->images[index].defect >= 0 ? -result->scores[index] : result->scores[index];
}

static void drop_pictures(shown_image *shown)
{
    free(shown->original);
    free(shown->overlay);
    dn_blob_free(shown->mask);
    shown->original = shown->overlay = NULL;
    shown->mask = NULL;
}

/* Whether the image gets pictures: there is room, or the easiest one of its kind is easier and gives up its own. */
static bool take_place(html_report *report, const evaluation *result, size_t index)
{
    pictured *kind = &report->kinds[result->set->images[index].defect >= 0];
    size_t easiest = 0;

    if (kind->count < kind->room) {
        kind->at[kind->count++] = index;
        return true;
    }
    for (size_t i = 1; i < kind->count; i++) {
        if (hardness(result, kind->at[i]) < hardness(result, kind->at[easiest]))
            easiest = i;
    }
    if (kind->room == 0 || !(hardness(result, index) > hardness(result, kind->at[easiest])))
        return false;
    drop_pictures(&report->images[kind->at[easiest]]);
    kind->at[easiest] = index;
    return true;
}

/* What one kind leaves of its half goes to the other. */
static void divide_room(html_report *report, const test_set *set, size_t pictures)
{
    size_t counts[2] = {set->good, set->count - set->good};

    for (int kind = 0; kind < 2; kind++) {
        size_t half = (pictures + (kind == 1)) / 2, others = counts[!kind], left = pictures - half;
        size_t room = half + (others < left ? left - others : 0);
        report->kinds[kind].room = room < counts[kind] ? room : counts[kind];
        report->kinds[kind].at = need_memory(report->kinds[kind].room, sizeof *report->kinds[kind].at);
    }
}

/* ---- pictures ---- */

/* How a side is divided: pixel i of the small one is made of pixels share(i) .. share(i + 1) - 1 of the large one. */
static int32_t share(int32_t i, int32_t small, int32_t large)
{
    return (int32_t)((int64_t)i * large / small);
}

/* The sides of a picture made small. */
static void small_size(const dn_pixels *view, int32_t *width, int32_t *height)
{
    int32_t longer = view->width > view->height ? view->width : view->height;

    *width = longer <= PICTURE_SIDE ? view->width : (int32_t)((int64_t)view->width * PICTURE_SIDE / longer);
    *height = longer <= PICTURE_SIDE ? view->height : (int32_t)((int64_t)view->height * PICTURE_SIDE / longer);
    *width = *width > 0 ? *width : 1;
    *height = *height > 0 ? *height : 1;
}

/* large: (view->height, view->width, 3).  Returns (height, width, 3) of means, as new memory. */
static uint8_t *shrink_rgb(const uint8_t *large, const dn_pixels *view, int32_t width, int32_t height)
{
    uint8_t *small = need_memory((size_t)width * (size_t)height, 3);

    for (int32_t y = 0; y < height; y++) {
        for (int32_t i = 0; i < 3 * width; i++) {
            int32_t left = share(i / 3, width, view->width), right = share(i / 3 + 1, width, view->width);
            int32_t top = share(y, height, view->height), bottom = share(y + 1, height, view->height);
            uint64_t sum = 0;
            for (int32_t v = top; v < bottom; v++) {
                for (int32_t u = left; u < right; u++)
                    sum += large[((size_t)v * (size_t)view->width + (size_t)u) * 3 + (size_t)(i % 3)];
            }
            small[(size_t)y * 3 * (size_t)width + (size_t)i] = (uint8_t)(sum / (uint64_t)((int64_t)(right - left) *
                                                                                          (bottom - top)));
        }
    }
    return small;
}

/* Likewise a map, of maxima: what is above 1 anywhere stays so. */
static float *shrink_map(const float *large, const dn_pixels *view, int32_t width, int32_t height)
{
    float *small = need_memory((size_t)width * (size_t)height, sizeof *small);

    for (int32_t y = 0; y < view->height; y++) {
        int32_t to = (int32_t)(((int64_t)(y + 1) * height - 1) / view->height);
        for (int32_t x = 0; x < view->width; x++) {
            float value = large[(size_t)y * (size_t)view->width + (size_t)x];
            float *at = &small[(size_t)to * (size_t)width + (size_t)(((int64_t)(x + 1) * width - 1) / view->width)];
            *at = value > *at ? value : *at;
        }
    }
    return small;
}

/* A mask as a gray picture: white where one of the pixels is defective. */
static bool encode_mask(shown_image *shown, const char *path, const uint8_t *mask, const dn_pixels *view, int32_t width,
                        int32_t height)
{
    uint8_t *gray = need_memory((size_t)width, (size_t)height);
    dn_error error;

    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            for (int32_t v = share(y, height, view->height); v < share(y + 1, height, view->height); v++) {
                for (int32_t u = share(x, width, view->width); u < share(x + 1, width, view->width); u++) {
                    if (mask[(size_t)v * (size_t)view->width + (size_t)u])
                        gray[(size_t)y * (size_t)width + (size_t)x] = 255;
                }
            }
        }
    }
    dn_status status = dn_image_encode_png(&(dn_pixels){gray, width, height, 0, DN_GRAY8, 0}, &shown->mask, &error);
    if (status != DN_OK)
        complain_status(path, status, error.message);
    free(gray);
    return status == DN_OK;
}

/* A picture of 16 bits as one of 8, in the model's range, as the library shows it; as new memory. */
static uint8_t *narrow_gray(const dn_model_info *model, const dn_pixels *view)
{
    bool given = model->range_low < model->range_high;
    int32_t low = given ? model->range_low : 0, width = given ? model->range_high - low : 65535;
    uint8_t *gray = need_memory((size_t)view->width * (size_t)view->height, 1), *to = gray;

    for (int32_t y = 0; y < view->height; y++) {
        const uint8_t *row = (const uint8_t *)view->pixels + y * (view->stride ? view->stride : 2 * view->width);
        for (int32_t x = 0; x < view->width; x++) {
            uint16_t value;
            memcpy(&value, row + 2 * (size_t)x, sizeof value);
            int32_t above = value <= low ? 0 : value - low < width ? value - low : width;
            *to++ = (uint8_t)((above * 255 + width / 2) / width);
        }
    }
    return gray;
}

/* The picture itself, small.  NULL, with a message, on failure.  Not by dn_model_overlay, which makes dark what the
 * model's mask leaves out. */
static uint8_t *small_picture(const dn_model_info *model, const char *path, const dn_pixels *view, int32_t width,
                              int32_t height)
{
    size_t pixels = (size_t)view->width * (size_t)view->height;
    float *nothing = need_memory(pixels, sizeof *nothing);
    uint8_t *rgb = need_memory(pixels, 3), *gray = view->format == DN_GRAY16 ? narrow_gray(model, view) : NULL;
    uint8_t *small = NULL;
    dn_pixels shown = gray ? (dn_pixels){gray, view->width, view->height, 0, DN_GRAY8, 0} : *view;
    dn_error error;
    dn_status status = dn_image_overlay(&shown, nothing, DN_OVERLAY_FULL, rgb, &error);

    if (status == DN_OK)
        small = shrink_rgb(rgb, view, width, height);
    else
        complain_status(path, status, error.message);
    free(gray);
    free(rgb);
    free(nothing);
    return small;
}

/* Drawn on the small picture, so that contours are as fine as its pixels. */
static bool encode_overlay(shown_image *shown, const html_report *report, const dn_model *model, const char *path,
                           const mapped_image *picture, uint8_t *small, int32_t width, int32_t height)
{
    mapped_image drawn = {.view = {small, width, height, 0, DN_RGB8, 0},
                          .map = shrink_map(picture->map, &picture->view, width, height)};
    uint8_t *rgb = picture_overlay(&drawn, model, path);

    if (rgb) {
        region_darken(report->region, rgb, width, height);
        shown->overlay = jpeg_encode(rgb, width, height, &shown->overlay_size);
    }
    free(rgb);
    free(drawn.map);
    return rgb != NULL;
}

static bool add_pictures(html_report *report, const evaluation *result, size_t index, const mapped_image *picture,
                         const uint8_t *mask)
{
    shown_image *shown = &report->images[index];
    const char *path = result->set->images[index].path; /* as in messages */
    int32_t width, height;

    small_size(&picture->view, &width, &height);
    uint8_t *small = small_picture(&result->model, path, &picture->view, width, height);
    if (!small)
        return false;
    shown->original = jpeg_encode(small, width, height, &shown->original_size);
    bool drawn = !picture->map || encode_overlay(shown, report, result->opened, path, picture, small, width, height);
    if (drawn && mask)
        drawn = encode_mask(shown, path, mask, &picture->view, width, height);
    free(small);
    return drawn;
}

html_report *html_report_create(const evaluation *result, const region *looked_at, size_t pictures)
{
    html_report *report = need_memory(1, sizeof *report);
    size_t count = result->set->count;

    *report = (html_report){.images = need_memory(count, sizeof *report->images), .count = count, .region = looked_at};
    divide_room(report, result->set, pictures);
    return report;
}

bool html_report_add(html_report *report, const evaluation *result, size_t index, const mapped_image *picture,
                     const uint8_t *mask, const dn_box *boxes, int32_t count)
{
    shown_image *shown = &report->images[index];

    shown->width = picture->view.width;
    shown->height = picture->view.height;
    shown->peak = picture->map ? picture_peak(picture) : NAN;
    shown->count = count;
    shown->boxes = need_memory((size_t)count, sizeof *shown->boxes);
    if (count > 0)
        memcpy(shown->boxes, boxes, (size_t)count * sizeof *shown->boxes);
    return !take_place(report, result, index) || add_pictures(report, result, index, picture, mask);
}

void html_report_free(html_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->count; i++) {
        drop_pictures(&report->images[i]);
        free(report->images[i].boxes);
    }
    for (int kind = 0; kind < 2; kind++)
        free(report->kinds[kind].at);
    free(report->images);
    free(report);
}

/* ---- the data ---- */

/* "data:TYPE;base64,..." as new memory */
static char *data_address(const char *type, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t start = strlen("data:") + strlen(type) + strlen(";base64,");
    char *text = need_memory(start + (size + 2) / 3 * 4 + 1, 1), *to = text + start;

    snprintf(text, start + 1, "data:%s;base64,", type);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < size ? bytes[i + 2] : 0);
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
        *to++ = i + 2 < size ? digits[group & 63] : '=';
    }
    return text;
}

/* bytes: NULL for none */
static void emit_picture(json_writer *json, const char *key, const char *type, const uint8_t *bytes, size_t size)
{
    if (!bytes) {
        emit_none(json, key);
        return;
    }
    char *address = data_address(type, bytes, size);
    emit_text(json, key, address);
    free(address);
}

static void write_boxes(json_writer *json, const shown_image *shown)
{
    emit_open_array(json, "boxes");
    for (int32_t i = 0; i < shown->count; i++) {
        const dn_box *box = &shown->boxes[i];
        emit_open_object(json, NULL);
        emit_integer(json, "x", box->x);
        emit_integer(json, "y", box->y);
        emit_integer(json, "width", box->width);
        emit_integer(json, "height", box->height);
        emit_single(json, "peak", box->peak);
        emit_close_object(json);
    }
    emit_close_array(json);
}

static void write_image(json_writer *json, const evaluation *result, const shown_image *shown, size_t index)
{
    const test_image *image = &result->set->images[index];
    size_t prefix = strlen(result->data);
    bool inside = strncmp(image->path, result->data, prefix) == 0;

    while (inside && image->path[prefix] == '/')
        prefix++;
    emit_open_object(json, NULL);
    emit_text(json, "path", image->path + (inside ? prefix : 0));
    emit_text(json, "defect", image->defect < 0 ? "good" : result->set->defects[image->defect]);
    emit_bool(json, "defective", image->defect >= 0);
    emit_real(json, "score", result->scores[index]);
    emit_real(json, "index", result->indices[index]);
    char *warnings = warning_texts(result->image_warnings[index], "; ");
    emit_text(json, "warnings", warnings);
    free(warnings);
    emit_integer(json, "width", shown->width);
    emit_integer(json, "height", shown->height);
    emit_single(json, "peak", shown->peak);
    write_boxes(json, shown);
    emit_picture(json, "original", "image/jpeg", shown->original, shown->original_size);
    emit_picture(json, "overlay", "image/jpeg", shown->overlay, shown->overlay_size);
    emit_picture(json, "mask", "image/png", shown->mask ? dn_blob_data(shown->mask) : NULL,
                 shown->mask ? dn_blob_size(shown->mask) : 0);
    emit_close_object(json);
}

static void write_model(json_writer *json, const evaluation *result)
{
    const char *key, *value;
    double threshold;

    emit_open_object(json, "model");
    emit_text(json, "path", result->model_path);
    emit_text(json, "preset", result->model.preset);
    emit_text(json, "backbone", result->model.backbone);
    emit_bool(json, "backbone_random", result->model.backbone_random);
    emit_integer(json, "train_images", result->model.train_images);
    emit_integer(json, "holdout_images", result->model.holdout_images);
    emit_open_object(json, "notes");
    for (int32_t i = 0; (key = dn_model_note(result->opened, i, &value)); i++)
        emit_text(json, key, value);
    emit_close_object(json);
    emit_open_object(json, "operating_points");
    for (int32_t i = 0; (key = dn_model_operating_point(result->opened, i, &threshold)); i++)
        emit_real(json, key, threshold);
    emit_close_object(json);
    emit_close_object(json);
}

static void write_data(json_writer *json, const html_report *report, const evaluation *result, const char *title)
{
    char *warnings = warning_texts(result->warnings, "; ");

    emit_open_object(json, NULL);
    emit_text(json, "title", title);
    emit_text(json, "data", result->data);
    emit_text(json, "library", dn_version());
    emit_text(json, "warnings", warnings);
    write_model(json, result);
    write_eval_json(json, "eval", result);
    emit_open_array(json, "images");
    for (size_t i = 0; i < report->count; i++)
        write_image(json, result, &report->images[i], i);
    emit_close_array(json);
    emit_close_object(json);
    free(warnings);
}

/* ---- the page ---- */

/* JSON as the content of <script>: "<" stands in texts only, where it may be written in another way. */
static void write_script_text(FILE *page, const char *json, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (json[i] == '<')
            fputs("\\u003c", page);
        else
            fputc(json[i], page);
    }
}

static void write_escaped(FILE *page, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", page);
        else if (*text == '&')
            fputs("&amp;", page);
        else
            fputc(*text, page);
    }
}

static void write_page(FILE *page, const char *title, const char *json, size_t size)
{
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
          "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
          "<title>",
          page);
    write_escaped(page, title);
    fprintf(page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n%s<script type=\"application/json\" id=\"data\">",
            page_css, page_html);
    write_script_text(page, json, size);
    fprintf(page, "</script>\n<script>\n%s</script>\n</body>\n</html>\n", page_js);
}

/* Gives what write_page made of the data; NULL, where memory is out. */
static char *make_page(const html_report *report, const evaluation *result, const char *title, size_t *size)
{
    memory_stream data, page = {0};
    FILE *file = memory_stream_open(&data);
    bool made = file != NULL;

    if (made) {
        json_writer json = {file, false};
        write_data(&json, report, result, title);
        made = memory_stream_close(&data, file);
    }
    file = made ? memory_stream_open(&page) : NULL;
    made = file != NULL;
    if (made) {
        write_page(file, title, data.text, data.size);
        made = memory_stream_close(&page, file);
    }
    free(data.text);
    *size = page.size;
    if (made)
        return page.text;
    free(page.text);
    return NULL;
}

bool html_report_write(const html_report *report, const char *path, const evaluation *result)
{
    char *title = result->title ? need_text("%s", result->title)
                                : need_text("%s on %s", result->model_path, result->data);
    size_t size = 0;
    char *text = make_page(report, result, title, &size);
    bool written = false;

    if (text)
        written = write_whole_file(path, text, size);
    else
        complain("%s: out of memory", path);
    free(text);
    free(title);
    return written;
}
