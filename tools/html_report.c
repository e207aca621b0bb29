#include "html_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "picture.h"

#define SHOWN_MISTAKES 6   /* of each kind */
#define THUMBNAIL_SIDE 240 /* pixels */
#define HISTOGRAM_BARS 40
#define CHART_WIDTH 420
#define CHART_HEIGHT 260

static const char page_style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}"
    "td,th{padding:.2em 1em .2em 0;text-align:left;border-bottom:1px solid #ddd}td.n,th.n{text-align:right}"
    ".charts{display:flex;flex-wrap:wrap;gap:2em}.shots{display:flex;flex-wrap:wrap;gap:1em}"
    "figure{margin:0;width:240px}figure img{width:240px;height:auto;display:block}"
    "figcaption{font-size:12px;overflow-wrap:anywhere;color:#444}.note{color:#a33}"
    "svg text{font:11px system-ui,sans-serif}";

static void write_escaped(FILE *page, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", page);
        else if (*text == '>')
            fputs("&gt;", page);
        else if (*text == '&')
            fputs("&amp;", page);
        else if (*text == '"')
            fputs("&quot;", page);
        else
            fputc(*text, page);
    }
}

static void write_base64(FILE *page, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < size ? bytes[i + 2] : 0);
        fputc(digits[group >> 18], page);
        fputc(digits[group >> 12 & 63], page);
        fputc(i + 1 < size ? digits[group >> 6 & 63] : '=', page);
        fputc(i + 2 < size ? digits[group & 63] : '=', page);
    }
}

/* ---- figures and tables ---- */

static void write_row(FILE *page, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void write_row(FILE *page, const char *name, const char *format, ...)
{
    va_list arguments;

    fprintf(page, "<tr><td>%s</td><td class=n>", name);
    va_start(arguments, format);
    vfprintf(page, format, arguments);
    va_end(arguments);
    fputs("</td></tr>\n", page);
}

static void write_figures(FILE *page, const evaluation *result)
{
    const test_set *set = result->set;
    char number[SCORE_SIZE];

    fputs("<table>\n", page);
    write_row(page, "images", "%zu: %zu good, %zu defective", set->count, set->good, set->count - set->good);
    write_row(page, "image AUROC", "%.4f", result->auroc);
    write_row(page, "95 % interval (bootstrap)", "%.4f to %.4f", result->interval[0], result->interval[1]);
    write_row(page, "average precision", "%.4f", result->average_precision);
    write_row(page, "best F1", "%.4f at score %s", result->f1, score_text(number, result->f1_threshold));
    if (result->pixels) {
        write_row(page, "pixel AUROC", "%.4f", result->pixel_auroc);
        write_row(page, "AUPRO, up to 30 % false positives", "%.4f", result->pixel_aupro);
    }
    if (!isnan(result->threshold)) {
        write_row(page, "verdicts: threshold of the score", "%s", score_text(number, result->threshold));
        write_row(page, "verdicts: false-alarm rate kept", "%.3g", result->false_alarm_rate);
        write_row(page, "good images called anomalous", "%zu of %zu", result->false_alarms, set->good);
        write_row(page, "defective images missed", "%zu of %zu", result->missed, set->count - set->good);
    }
    write_row(page, "views", "%d", result->views);
    if (result->unlike > 0) {
        char *texts = warning_texts(result->warnings, "; ");
        write_row(page, "images unlike those learned from", "%zu: %s", result->unlike, texts);
        free(texts);
    }
    fputs("</table>\n", page);
    if (result->model.backbone_random)
        fputs("<p class=note>The backbone has random weights that stand in for trained ones.</p>\n", page);
}

static void write_defects(FILE *page, const evaluation *result)
{
    fputs("<h2>Defects</h2>\n<table>\n<tr><th>defect</th><th class=n>images</th><th class=n>AUROC</th></tr>\n", page);
    for (size_t d = 0; d < result->set->defect_count; d++) {
        fputs("<tr><td>", page);
        write_escaped(page, result->set->defects[d]);
        fprintf(page, "</td><td class=n>%zu</td><td class=n>%.4f</td></tr>\n", result->set->defect_images[d],
                result->defect_auroc[d]);
    }
    fputs("</table>\n", page);
}

/* ---- charts ---- */

/* The histogram spans what is informative: scores of bad images can be many times those of good ones, so its axis is
 * logarithmic. */
static void write_histogram(FILE *page, const evaluation *result)
{
    const test_set *set = result->set;
    size_t good[HISTOGRAM_BARS] = {0}, bad[HISTOGRAM_BARS] = {0}, most = 1;
    double low = log(fmax(result->ranking[set->count - 1].score, 1e-12));
    double high = log(fmax(result->ranking[0].score, 1e-12));
    double range = high > low ? high - low : 1;

    for (size_t i = 0; i < set->count; i++) {
        double place = (log(fmax(result->ranking[i].score, 1e-12)) - low) / range * HISTOGRAM_BARS;
        int bar = place < HISTOGRAM_BARS - 1 ? (int)place : HISTOGRAM_BARS - 1;
        size_t *count = result->ranking[i].anomalous ? &bad[bar] : &good[bar];
        *count += 1;
        most = good[bar] > most ? good[bar] : bad[bar] > most ? bad[bar] : most;
    }
    fprintf(page, "<div><h2>Scores</h2><svg width=%d height=%d role=img>\n", CHART_WIDTH, CHART_HEIGHT);
    double step = (double)CHART_WIDTH / HISTOGRAM_BARS, unit = (CHART_HEIGHT - 50.0) / (double)most;
    for (int bar = 0; bar < HISTOGRAM_BARS; bar++) {
        double x = bar * step, base = CHART_HEIGHT - 30;
        fprintf(page, "<rect x=%.1f y=%.1f width=%.1f height=%.1f fill='#2a7fb8' fill-opacity=.7 />", x,
                base - unit * (double)good[bar], step - 1, unit * (double)good[bar]);
        fprintf(page, "<rect x=%.1f y=%.1f width=%.1f height=%.1f fill='#d1495b' fill-opacity=.6 />\n", x,
                base - unit * (double)bad[bar], step - 1, unit * (double)bad[bar]);
    }
    if (result->threshold > 0) {
        double x = (log(result->threshold) - low) / range * CHART_WIDTH;
        if (x >= 0 && x <= CHART_WIDTH)
            fprintf(page, "<line x1=%.1f y1=15 x2=%.1f y2=%d stroke='#222' stroke-dasharray=4 />", x, x,
                    CHART_HEIGHT - 30);
    }
    fprintf(page, "<text x=0 y=%d>%.3g</text><text x=%d y=%d text-anchor=end>%.3g (logarithmic)</text>\n",
            CHART_HEIGHT - 12, exp(low), CHART_WIDTH, CHART_HEIGHT - 12, exp(high));
    fputs("<text x=0 y=11 fill='#2a7fb8'>good</text><text x=40 y=11 fill='#d1495b'>defective</text>"
          "<text x=110 y=11>- - the model's threshold</text></svg></div>\n",
          page);
}

static void write_roc(FILE *page, const evaluation *result)
{
    const test_set *set = result->set;
    double good = 0, bad = 0, all_good = (double)set->good, all_bad = (double)(set->count - set->good);
    const int side = CHART_HEIGHT - 40, left = 30;

    fprintf(page, "<div><h2>ROC curve</h2><svg width=%d height=%d role=img>\n", CHART_HEIGHT, CHART_HEIGHT);
    fprintf(page,
            "<rect x=%d y=5 width=%d height=%d fill=none stroke='#ccc' />"
            "<line x1=%d y1=%d x2=%d y2=5 stroke='#ccc' />\n<path fill=none stroke='#222' stroke-width=1.5 d='M%d %d",
            left, side, side, left, side + 5, left + side, left, side + 5);
    for (size_t i = 0; i < set->count; i++) {
        bad += result->ranking[i].anomalous;
        good += !result->ranking[i].anomalous;
        if (i + 1 == set->count || result->ranking[i + 1].score != result->ranking[i].score)
            fprintf(page, " L%.2f %.2f", left + side * good / all_good, 5 + side * (1 - bad / all_bad));
    }
    fprintf(page,
            "' />\n<text x=%d y=%d text-anchor=middle>false-positive rate</text>"
            "<text transform='translate(12 %d) rotate(-90)' text-anchor=middle>true-positive rate</text></svg></div>\n",
            left + side / 2, side + 25, side / 2 + 5);
}

/* ---- the worst mistakes ---- */

/* The picture made smaller by averaging whole blocks of pixels; its own size if it is small. */
static uint8_t *shrink(const uint8_t *rgb, int32_t width, int32_t height, int32_t *new_width, int32_t *new_height)
{
    int32_t longer = width > height ? width : height, block = (longer + THUMBNAIL_SIDE - 1) / THUMBNAIL_SIDE;

    /* A side shorter than the block keeps one pixel, made of what is there. */
    *new_width = width / block > 0 ? width / block : 1;
    *new_height = height / block > 0 ? height / block : 1;
    int32_t block_width = block < width ? block : width, block_height = block < height ? block : height;
    uint8_t *small = need_memory((size_t)*new_width * (size_t)*new_height, 3);
    for (int32_t y = 0; y < *new_height; y++) {
        for (int32_t i = 0; i < 3 * *new_width; i++) {
            uint64_t sum = 0;
            for (int32_t v = 0; v < block_height; v++) {
                for (int32_t u = 0; u < block_width; u++)
                    sum += rgb[((size_t)(y * block + v) * (size_t)width + (size_t)(i / 3 * block + u)) * 3 +
                               (size_t)(i % 3)];
            }
            small[(size_t)(y * 3 * *new_width + i)] = (uint8_t)(sum / (uint64_t)(block_width * block_height));
        }
    }
    return small;
}

static bool write_thumbnail(FILE *page, const char *path, const dn_model *model, dn_localizer *localizer)
{
    mapped_image picture;
    dn_blob *png = NULL;
    dn_error error;
    int32_t width, height;

    if (!picture_open(&picture, path))
        return false;
    uint8_t *rgb = picture_localize(&picture, path, localizer) ? picture_overlay(&picture, model, path) : NULL;
    bool drawn = rgb != NULL;
    if (rgb) {
        uint8_t *small = shrink(rgb, picture.view.width, picture.view.height, &width, &height);
        dn_status status = dn_image_encode_png(&(dn_pixels){small, width, height, 0, DN_RGB8, 0}, &png, &error);
        if (status == DN_OK) {
            fputs("<img alt='' src='data:image/png;base64,", page);
            write_base64(page, dn_blob_data(png), dn_blob_size(png));
            fputs("'>", page);
        } else {
            complain_status(path, status, error.message);
            drawn = false;
        }
        dn_blob_free(png);
        free(small);
        free(rgb);
    }
    picture_close(&picture);
    return drawn;
}

typedef struct scored_image {
    double badness; /* how wrong the score is: high for a good image, low for a defective one */
    size_t index;
} scored_image;

static int by_badness(const void *a, const void *b)
{
    const scored_image *x = a, *y = b;

    return x->badness > y->badness ? -1 : x->badness < y->badness ? 1 : x->index < y->index ? -1 : 1;
}

/* The good images that score highest, or the defective ones that score lowest. */
static bool write_worst(FILE *page, const evaluation *result, bool good, dn_localizer *localizer)
{
    const test_set *set = result->set;
    size_t first = good ? 0 : set->good, count = good ? set->good : set->count - set->good;
    scored_image *order = need_memory(count, sizeof *order);
    bool written = true;

    for (size_t i = 0; i < count; i++)
        order[i] = (scored_image){(good ? 1 : -1) * result->scores[first + i], first + i};
    qsort(order, count, sizeof *order, by_badness);
    fprintf(page, "<h2>%s</h2>\n<div class=shots>\n",
            good ? "Good images that score highest" : "Defective images that score lowest");
    for (size_t i = 0; i < count && i < SHOWN_MISTAKES && written; i++) {
        double score = result->scores[order[i].index];
        char number[SCORE_SIZE];
        const test_image *image = &set->images[order[i].index];
        fputs("<figure>", page);
        written = write_thumbnail(page, image->path, result->opened, localizer);
        fprintf(page, "<figcaption>score %s", score_text(number, score));
        if (isnan(result->threshold))
            fputs(": ", page);
        else
            fprintf(page, ", index %.3f, called %s: ", result->indices[order[i].index],
                    score > result->threshold ? "anomalous" : "normal");
        write_escaped(page, image->path);
        fputs("</figcaption></figure>\n", page);
    }
    fputs("</div>\n", page);
    free(order);
    return written;
}

static bool write_page(FILE *page, const evaluation *result, dn_localizer *localizer)
{
    fprintf(page,
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>differnet eval</title>\n"
            "<style>%s</style></head><body>\n<h1>",
            page_style);
    write_escaped(page, result->model_path);
    fputs(" on ", page);
    write_escaped(page, result->data);
    fprintf(page, "</h1>\n<p>model id %08" PRIx32 ", libdifferent %s</p>\n", result->model.id, dn_version());
    write_figures(page, result);
    fputs("<div class=charts>\n", page);
    write_histogram(page, result);
    write_roc(page, result);
    fputs("</div>\n", page);
    write_defects(page, result);
    bool written = write_worst(page, result, true, localizer) && write_worst(page, result, false, localizer);
    fputs("</body></html>\n", page);
    return written;
}

bool write_html_report(const char *path, const evaluation *result, dn_localizer *localizer)
{
    char *text = NULL;
    size_t size = 0;
    FILE *page = open_memstream(&text, &size);

    if (!page) {
        complain("%s: out of memory", path);
        return false;
    }
    bool written = write_page(page, result, localizer);
    if (fclose(page) != 0) {
        complain("%s: out of memory", path);
        written = false;
    }
    written = written && write_whole_file(path, text, size);
    free(text);
    return written;
}
