/* JPEG by libjpeg(-turbo).  Errors leave by longjmp, as in codec_png.c: what must survive lives in the job.  libjpeg
 * allocates by malloc on its own; only the pixels come from the caller's allocator. */
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <limits.h>
#include <setjmp.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "image/codec.h"
#include "image/orient.h"

#define MAX_SCANS 100           /* a usual progressive file has 6 to 12; each one costs a pass over the whole image */
#define DECODER_BYTES (1 << 20) /* of libjpeg itself, rows apart */

/* Markers, as they follow an 0xFF. */
enum { RST0 = 0xD0, RST7 = 0xD7, EOI = 0xD9, SOS = 0xDA, APP1 = 0xE1, SOF55 = 0xF7 /* JPEG-LS */ };

/* Counts the zero bytes that stand before markers.  Scans are told from segments, so that zeros at a segment's end do
 * not count. */
typedef struct padding_walk {
    size_t at; /* how far it has come */
    _Bool in_scan;
    size_t zeros;   /* counted so far */
    size_t skipped; /* by libjpeg, and accounted for */
} padding_walk;

typedef struct jpeg_job {
    struct jpeg_decompress_struct decompress;
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const image_input *input;
    dn_error *error;
    dn_status status; /* why libjpeg jumped out */
    padding_walk walk;
    dn_image *image;
} jpeg_job;

_Bool jpeg_recognise(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

/* ---- callbacks ---- */

/* The status of libjpeg's error; *what, if it stays not NULL, is told in place of libjpeg's own words. */
static dn_status status_of_error(j_common_ptr common, const char **what)
{
    const jpeg_job *job = common->client_data;

    *what = NULL;
    switch (common->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        return DN_E_MEMORY;
    case JERR_NO_BACKING_STORE: /* it would go to a temporary file */
        *what = "decoding takes more memory than max_memory";
        return DN_E_LIMIT;
    case JERR_EMPTY_IMAGE:
        if (job->decompress.image_height != 0 || job->decompress.image_width == 0)
            return DN_E_FORMAT;
        *what = "its height is told behind the picture (DNL)";
        return DN_E_UNSUPPORTED;
    case JERR_UNKNOWN_MARKER:
        if (common->err->msg_parm.i[0] != SOF55)
            return DN_E_FORMAT;
        *what = "JPEG-LS";
        return DN_E_UNSUPPORTED;
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
    const char *what, *label = job->input->label;
    char text[JMSG_LENGTH_MAX];

    common->err->format_message(common, text);
    job->status = status_of_error(common, &what);
    if (job->status == DN_E_MEMORY)
        fail_memory(job->error, label);
    else
        fail(job->error, job->status, "%s: %s JPEG file: %s", label,
             job->status == DN_E_FORMAT  ? "damaged"
             : job->status == DN_E_LIMIT ? "large"
                                         : "unsupported",
             what ? what : text);
    longjmp(job->escape, 1);
}

/* Where the segment ends whose length stands at `at`, behind its marker. */
static size_t segment_end(const image_input *input, size_t at)
{
    size_t left = input->size - at;
    size_t length = left >= 2 ? (size_t)input->bytes[at] << 8 | input->bytes[at + 1] : left;

    return at + (length < left ? length : left);
}

/* The next marker from *at on, and *at behind it; EOI at the end of the file.  *zeros: how many zero bytes stand before
 * it. */
static int next_marker(const image_input *input, size_t *at, size_t *zeros)
{
    const uint8_t *bytes = input->bytes;

    for (*zeros = 0; *at < input->size && bytes[*at] != 0xFF; ++*at)
        *zeros = bytes[*at] == 0 ? *zeros + 1 : 0;
    while (*at < input->size && bytes[*at] == 0xFF)
        ++*at;
    return *at < input->size ? bytes[(*at)++] : EOI;
}

/* Walks to the marker at `end` or behind it. */
static void walk_padding(padding_walk *w, const image_input *input, size_t end)
{
    while (w->at <= end && w->at < input->size) {
        size_t zeros;
        int marker = next_marker(input, &w->at, &zeros);
        if (marker == 0) /* 0xFF of the data itself: what stands before it is the data's too */
            continue;
        w->zeros += zeros;
        if (w->in_scan && marker >= RST0 && marker <= RST7)
            continue;
        w->in_scan = marker == SOS;
        w->at = marker == EOI ? input->size : segment_end(input, w->at);
    }
}

/* Bytes before the first scan that belong to no segment.  More than a few that are not zeros are the rest of a segment
 * whose marker is damaged: tables and orientation may have been in it. */
#define FEW_BYTES 3 /* less than any segment */
static _Bool harmless_between_segments(const image_input *input, size_t end, size_t count)
{
    size_t other = 0;

    for (size_t i = end - count; i < end; i++)
        other += input->bytes[i] != 0;
    return other == 0 || count <= FEW_BYTES;
}

/* libjpeg has skipped bytes before a marker.  Zeros there are padding of cameras that fill up to a whole word; anything
 * else in or behind a scan is data that it lost its way in.  It tells of what it had read ahead only at a later marker,
 * so the sums are compared. */
static _Bool harmless_bytes(jpeg_job *job)
{
    struct jpeg_decompress_struct *d = &job->decompress;
    size_t count = (size_t)d->err->msg_parm.i[0], end = (size_t)(d->src->next_input_byte - job->input->bytes);

    if (d->input_scan_number == 0)
        return count <= end && harmless_between_segments(job->input, end, count);
    walk_padding(&job->walk, job->input, end);
    job->walk.skipped += count;
    return job->walk.skipped <= job->walk.zeros;
}

/* A warning means corrupt or missing data, for which libjpeg would put in something of its own: an error here.  Three
 * kinds leave all pixels as they were meant: an unknown revision of the JFIF header, a colour transform that Adobe
 * never defined (three components are YCbCr then, for all decoders), and padding. */
static void job_emit(j_common_ptr common, int level)
{
    jpeg_job *job = common->client_data;
    int code = common->err->msg_code;

    if (level >= 0 || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM)
        return;
    if (code != JWRN_EXTRANEOUS_DATA || !harmless_bytes(job))
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
        job->status = fail(job->error, DN_E_LIMIT, "%s: more than %d scans in a JPEG file", job->input->label,
                           MAX_SCANS);
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
        return fail(job->error, DN_E_UNSUPPORTED, "%s: JPEG with CMYK colours; convert it to RGB", job->input->label);
    default:
        return fail(job->error, DN_E_UNSUPPORTED, "%s: JPEG with %d unknown colour components; convert it to RGB",
                    job->input->label, d->num_components);
    }
}

/* What libjpeg takes beside the pixels: rows, and for pictures of several scans all coefficients of 16 bits. */
static uint64_t decoder_bytes(struct jpeg_decompress_struct *d)
{
    uint64_t bytes = DECODER_BYTES;

    for (int i = 0; i < d->num_components; i++) {
        const jpeg_component_info *c = &d->comp_info[i];
        uint64_t wide = c->width_in_blocks + (uint64_t)c->h_samp_factor; /* rounded up to whole MCUs */
        uint64_t high = c->height_in_blocks + (uint64_t)c->v_samp_factor;
        bytes += wide * DCTSIZE * 64; /* rows of MCUs in the main and upsampling controllers: 40 bytes measured */
        if (jpeg_has_multiple_scans(d))
            bytes += wide * high * DCTSIZE2 * sizeof(JCOEF);
    }
    return bytes;
}

static dn_status read_rows(jpeg_job *job)
{
    struct jpeg_decompress_struct *d = &job->decompress;
    int32_t format = 0;

    TRY(choose_format(job, &format));
    TRY(image_allocate(job->input, d->image_width, d->image_height, format, decoder_bytes(d), &job->image, job->error));
    /* libjpeg itself holds to it, too, where it asks for much. */
    d->mem->max_memory_to_use = job->input->max_memory < LONG_MAX ? (long)job->input->max_memory : LONG_MAX;
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
static int32_t read_orientation(const image_input *input)
{
    int32_t orientation = 1;
    size_t at = 2, zeros;
    int marker;

    while (orientation == 1 && (marker = next_marker(input, &at, &zeros)) != SOS && marker != EOI) {
        size_t end = segment_end(input, at);
        if (marker == APP1 && end - at > 2)
            orientation = exif_orientation(input->bytes + at + 2, end - at - 2);
        at = end;
    }
    return orientation;
}

static void read_guarded(jpeg_job *job)
{
    if (setjmp(job->escape))
        return;
    jpeg_create_decompress(&job->decompress);
    job->decompress.progress = &job->progress;
    jpeg_mem_src(&job->decompress, job->input->bytes, (unsigned long)job->input->size);
    jpeg_read_header(&job->decompress, TRUE);
    job->status = read_rows(job);
    if (job->status == DN_OK)
        job->status = image_orient(&job->image, read_orientation(job->input), job->input, job->error);
}

dn_status jpeg_decode(const image_input *input, dn_image **out, dn_error *error)
{
    jpeg_job job = {.input = input, .error = error, .walk = {.at = 2}};

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
