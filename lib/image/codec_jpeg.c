/* JPEG by libjpeg(-turbo).  Errors leave by longjmp, as in codec_png.c: what must survive lives in the job.  libjpeg
 * allocates by malloc on its own; only the pixels come from the caller's allocator. */
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "image/codec.h"
#include "image/orient.h"

#define MAX_SCANS 100       /* a usual progressive file has 6 to 12; each one costs a pass over the whole image */
#define EXIF_MARKER (JPEG_APP0 + 1)
#define EXIF_MAX_BYTES 65533

typedef struct jpeg_job {
    struct jpeg_decompress_struct decompress;
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const dn_allocator *allocator;
    const char *label;
    dn_error *error;
    dn_status status; /* why libjpeg jumped out */
    const uint8_t *bytes;
    size_t size;
    int64_t max_pixels;
    dn_image *image;
} jpeg_job;

_Bool jpeg_recognise(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

/* ---- callbacks ---- */

static dn_status status_of_code(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return DN_E_MEMORY;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
        return DN_E_UNSUPPORTED;
    default:
        return DN_E_FORMAT;
    }
}

static void leave_with_message(j_common_ptr common)
{
    jpeg_job *job = common->client_data;
    char text[JMSG_LENGTH_MAX];

    common->err->format_message(common, text);
    job->status = status_of_code(common->err->msg_code);
    if (job->status == DN_E_MEMORY)
        fail_memory(job->error, job->label);
    else
        fail(job->error, job->status, "%s: %s JPEG file: %s", job->label,
             job->status == DN_E_FORMAT ? "damaged" : "unsupported", text);
    longjmp(job->escape, 1);
}

/* A warning means corrupt or missing data, for which libjpeg would put in something of its own: an error here.  An
 * unknown revision of the JFIF header is harmless. */
static void job_emit(j_common_ptr common, int level)
{
    if (level < 0 && common->err->msg_code != JWRN_JFIF_MAJOR)
        leave_with_message(common);
}

static void job_print_nothing(j_common_ptr common)
{
    (void)common;
}

static void job_progress(j_common_ptr common)
{
    jpeg_job *job = common->client_data;

    if (job->decompress.input_scan_number > MAX_SCANS) {
        job->status = fail(job->error, DN_E_LIMIT, "%s: more than %d scans in a JPEG file", job->label, MAX_SCANS);
        longjmp(job->escape, 1);
    }
}

/* ---- reading ---- */

/* Chooses gray or RGB output; *format gets the matching DN_ format. */
static dn_status choose_format(jpeg_job *job, int32_t *format)
{
    struct jpeg_decompress_struct *d = &job->decompress;

    switch (d->jpeg_color_space) {
    case JCS_GRAYSCALE:
        d->out_color_space = JCS_GRAYSCALE;
        *format = DN_GRAY8;
        return DN_OK;
    case JCS_YCbCr:
    case JCS_RGB:
        d->out_color_space = JCS_RGB;
        *format = DN_RGB8;
        return DN_OK;
    case JCS_CMYK:
    case JCS_YCCK:
        return fail(job->error, DN_E_UNSUPPORTED, "%s: JPEG with CMYK colours; convert it to RGB", job->label);
    default:
        return fail(job->error, DN_E_UNSUPPORTED, "%s: JPEG with %d unknown colour components; convert it to RGB",
                    job->label, d->num_components);
    }
}

static dn_status read_rows(jpeg_job *job)
{
    struct jpeg_decompress_struct *d = &job->decompress;
    int32_t format = 0;

    TRY(choose_format(job, &format));
    TRY(image_allocate(d->image_width, d->image_height, format, job->label, job->max_pixels, job->allocator,
                       &job->image, job->error));
    jpeg_start_decompress(d);
    size_t row = (size_t)d->output_width * (size_t)d->output_components;
    while (d->output_scanline < d->output_height) {
        JSAMPROW target = job->image->pixels + (size_t)d->output_scanline * row;
        jpeg_read_scanlines(d, &target, 1);
    }
    jpeg_finish_decompress(d); /* reads on to the end-of-image marker */
    return DN_OK;
}

/* The first orientation that an APP1 segment tells. */
static int32_t read_orientation(const struct jpeg_decompress_struct *d)
{
    int32_t orientation = 1;

    for (jpeg_saved_marker_ptr marker = d->marker_list; marker && orientation == 1; marker = marker->next)
        if (marker->marker == EXIF_MARKER)
            orientation = exif_orientation(marker->data, marker->data_length);
    return orientation;
}

static void read_guarded(jpeg_job *job)
{
    if (setjmp(job->escape))
        return;
    jpeg_create_decompress(&job->decompress);
    job->decompress.progress = &job->progress;
    jpeg_mem_src(&job->decompress, job->bytes, (unsigned long)job->size);
    jpeg_save_markers(&job->decompress, EXIF_MARKER, EXIF_MAX_BYTES);
    jpeg_read_header(&job->decompress, TRUE);
    int32_t orientation = read_orientation(&job->decompress);
    job->status = read_rows(job);
    if (job->status == DN_OK)
        job->status = image_orient(&job->image, orientation, job->label, job->error);
}

dn_status jpeg_decode(const uint8_t *bytes, size_t size, const char *label, int64_t max_pixels,
                      const dn_allocator *allocator, dn_image **out, dn_error *error)
{
    jpeg_job job = {.allocator = allocator, .label = label, .error = error, .bytes = bytes, .size = size,
                    .max_pixels = max_pixels};

    *out = NULL;
    job.decompress.err = jpeg_std_error(&job.manager);
    job.decompress.client_data = &job;
    job.manager.error_exit = leave_with_message;
    job.manager.emit_message = job_emit;
    job.manager.output_message = job_print_nothing;
    job.progress.progress_monitor = job_progress;
    read_guarded(&job);
    jpeg_destroy_decompress(&job.decompress);
    if (job.status != DN_OK) {
        image_free(job.image);
        return job.status;
    }
    *out = job.image;
    return DN_OK;
}
