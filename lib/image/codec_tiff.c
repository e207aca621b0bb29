/* TIFF by libtiff: the first page, gray, RGB or palette, in strips or tiles.  What libtiff has to say stays with the
 * handle; it reads from memory by the functions below.  It allocates by malloc on its own; the pixels and a row or tile
 * come from the caller's allocator. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

#include "base/memory.h"
#include "base/status.h"
#include "image/codec.h"
#include "image/orient.h"
#include "image/pixels.h"

typedef struct tiff_job {
    const image_input *input;
    dn_error *error;
    uint64_t position;
    TIFF *tiff;
    _Bool reading_pixels; /* from here on a warning means lost data */
    char complaint[120];  /* libtiff's first; empty: none */
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, compression, orientation;
    uint16_t *colours[3]; /* of a palette: red, green, blue */
    int32_t colour_shift; /* from a palette's numbers to 8 bits */
    uint8_t *buffer;      /* a row, or a tile */
    dn_image *image;
} tiff_job;

_Bool tiff_recognise(const uint8_t *bytes, size_t size)
{
    static const char *const starts[] = {"II*\0", "MM\0*", "II+\0", "MM\0+"}; /* `+`: BigTIFF */

    for (int i = 0; i < 4; i++)
        if (size >= 4 && memcmp(bytes, starts[i], 4) == 0)
            return 1;
    return 0;
}

/* ---- callbacks ---- */

static tmsize_t job_read(thandle_t handle, void *target, tmsize_t size)
{
    tiff_job *job = handle;
    uint64_t left = job->position < job->input->size ? job->input->size - job->position : 0;
    uint64_t count = size < 0 ? 0 : (uint64_t)size < left ? (uint64_t)size : left;

    if (count > 0)
        memcpy(target, job->input->bytes + job->position, (size_t)count);
    job->position += count;
    return (tmsize_t)count;
}

static tmsize_t job_write(thandle_t handle, void *bytes, tmsize_t size)
{
    (void)handle;
    (void)bytes;
    (void)size;
    return -1;
}

static toff_t job_seek(thandle_t handle, toff_t offset, int whence)
{
    tiff_job *job = handle;
    uint64_t base = whence == SEEK_CUR ? job->position : whence == SEEK_END ? job->input->size : 0;

    job->position = base + offset;
    return job->position;
}

static int job_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t job_size(thandle_t handle)
{
    const tiff_job *job = handle;

    return job->input->size;
}

/* Both handlers return 1: nothing is left for libtiff's own, which print. */
__attribute__((format(printf, 4, 0))) static int job_complain(TIFF *tiff, void *user, const char *module,
                                                              const char *format, va_list arguments)
{
    tiff_job *job = user;

    (void)tiff;
    (void)module;
    if (!job->complaint[0])
        vsnprintf(job->complaint, sizeof job->complaint, format, arguments);
    return 1;
}

/* Most warnings about the directory are about tags that do not matter here.  But without some tags libtiff guesses:
 * gray where the palette is lost. */
static _Bool matters(const char *warning)
{
    static const char *const tags[] = {
        "\"ColorMap\"",  "\"ExtraSamples\"", "\"FillOrder\"", "\"Orientation\"", "\"PhotometricInterpretation\"",
        "\"Predictor\"", "\"SampleFormat\""};

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strstr(warning, tags[i]) && strstr(warning, "ignored"))
            return 1;
    return 0;
}

__attribute__((format(printf, 4, 0))) static int job_warn(TIFF *tiff, void *user, const char *module,
                                                          const char *format, va_list arguments)
{
    tiff_job *job = user;
    const _Bool first = !job->complaint[0];

    job_complain(tiff, user, module, format, arguments);
    if (first && !job->reading_pixels && !matters(job->complaint))
        job->complaint[0] = '\0';
    return 1;
}

/* ---- what kind of TIFF ---- */

/* libtiff has no error numbers: what its text is about decides. */
static dn_status damaged(tiff_job *job)
{
    /* The last one is of a table that grows. */
    static const char *const no_memory[] = {"emory", "No space", "alloc", "Insertion in"};
    const char *text = job->complaint[0] ? job->complaint : "no reason is known";

    if (strstr(text, "byte limit") || strstr(text, "require libjpeg to"))
        return fail(job->error, DN_E_LIMIT, "%s: large TIFF file: %s; raise max_memory to read it", job->input->label,
                    text);
    for (size_t i = 0; i < sizeof no_memory / sizeof *no_memory; i++)
        if (strstr(text, no_memory[i]))
            return fail_memory(job->error, job->input->label);
    return fail(job->error, DN_E_FORMAT, "%s: damaged TIFF file: %s", job->input->label, text);
}

static dn_status unsupported(tiff_job *job, const char *what, int number)
{
    return fail(job->error, DN_E_UNSUPPORTED, "%s: unsupported TIFF file: %s %d; convert it to PNG", job->input->label,
                what, number);
}

static dn_status check_samples(tiff_job *job)
{
    const _Bool palette = job->photometric == PHOTOMETRIC_PALETTE;
    const uint16_t wanted = job->photometric == PHOTOMETRIC_RGB || job->photometric == PHOTOMETRIC_YCBCR ? 3 : 1;
    uint16_t format;
    uint32_t layers = 1;

    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_SAMPLEFORMAT, &format);
    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return unsupported(job, "signed or floating-point samples, format", format);
    if (job->bits < 1 || job->bits > (palette ? 8 : 16))
        return unsupported(job, "bits per sample:", job->bits);
    if (job->samples < wanted || job->samples > wanted + 1) /* one more is alpha */
        return unsupported(job, "samples per pixel:", job->samples);
    if (TIFFGetField(job->tiff, TIFFTAG_IMAGEDEPTH, &layers) && layers != 1)
        return unsupported(job, "layers:", (int)layers);
    return DN_OK;
}

static dn_status check_kind(tiff_job *job)
{
    static const uint16_t compressions[] = {COMPRESSION_NONE,    COMPRESSION_LZW,      COMPRESSION_ADOBE_DEFLATE,
                                            COMPRESSION_DEFLATE, COMPRESSION_PACKBITS, COMPRESSION_JPEG};
    uint32_t subfile = 0;
    size_t i = 0;

    while (i < sizeof compressions / sizeof *compressions && compressions[i] != job->compression)
        i++;
    if (i == sizeof compressions / sizeof *compressions)
        return unsupported(job, "compression", job->compression);
    if (TIFFGetField(job->tiff, TIFFTAG_SUBFILETYPE, &subfile) && (subfile & FILETYPE_REDUCEDIMAGE))
        return unsupported(job, "its first page is a preview (a camera's raw file?), kind", (int)subfile);
    switch (job->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_PALETTE:
        return check_samples(job);
    case PHOTOMETRIC_YCBCR: /* libjpeg makes RGB of it */
        if (job->compression == COMPRESSION_JPEG && job->planar == PLANARCONFIG_CONTIG)
            return check_samples(job);
        return unsupported(job, "YCbCr with compression", job->compression);
    default:
        return unsupported(job, "colours of kind", job->photometric);
    }
}

static dn_status read_palette(tiff_job *job)
{
    if (job->photometric != PHOTOMETRIC_PALETTE)
        return DN_OK;
    if (!TIFFGetField(job->tiff, TIFFTAG_COLORMAP, &job->colours[0], &job->colours[1], &job->colours[2]))
        return fail(job->error, DN_E_FORMAT, "%s: damaged TIFF file: no palette", job->input->label);
    /* Some old programs wrote 8 bits. */
    for (size_t i = 0; i < (size_t)3 << job->bits; i++)
        if (job->colours[i % 3][i / 3] > 255)
            job->colour_shift = 8;
    return DN_OK;
}

static dn_status read_header(tiff_job *job)
{
    if (!TIFFGetField(job->tiff, TIFFTAG_IMAGEWIDTH, &job->width) ||
        !TIFFGetField(job->tiff, TIFFTAG_IMAGELENGTH, &job->height))
        return fail(job->error, DN_E_FORMAT, "%s: damaged TIFF file: no width or height", job->input->label);
    TRY(image_check_size(job->input, job->width, job->height, job->error));
    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_BITSPERSAMPLE, &job->bits);
    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_SAMPLESPERPIXEL, &job->samples);
    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_PLANARCONFIG, &job->planar);
    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_COMPRESSION, &job->compression);
    TIFFGetFieldDefaulted(job->tiff, TIFFTAG_ORIENTATION, &job->orientation);
    if (!TIFFGetField(job->tiff, TIFFTAG_PHOTOMETRIC, &job->photometric))
        job->photometric = job->samples < 3 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;
    TRY(check_kind(job));
    if (job->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(job->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    return read_palette(job);
}

/* ---- pixels ---- */

static uint32_t read_sample(const uint8_t *row, size_t i, uint16_t bits)
{
    uint32_t value = 0;
    uint16_t wide;

    if (bits == 8)
        return row[i];
    if (bits == 16) { /* libtiff has put it into the machine's order */
        memcpy(&wide, row + 2 * i, sizeof wide);
        return wide;
    }
    for (size_t bit = i * bits; bit < (i + 1) * bits; bit++)
        value = value << 1 | (row[bit / 8] >> (7 - bit % 8) & 1);
    return value;
}

/* Stores sample `to` of the image: `value` of job->bits bits. */
static void store(const tiff_job *job, size_t to, uint32_t value)
{
    const uint32_t white = (1u << job->bits) - 1;

    if (job->photometric == PHOTOMETRIC_MINISWHITE)
        value = white - value;
    if (job->image->format == DN_GRAY16) {
        uint16_t wide = (uint16_t)(((uint64_t)value * 65535 + white / 2) / white);
        memcpy(job->image->pixels + 2 * to, &wide, sizeof wide);
    } else {
        job->image->pixels[to] = (uint8_t)((value * 255 + white / 2) / white); /* at most 65535 x 255 */
    }
}

/* `count` pixels from the start of `row` to the image's pixels from (x, y) on; plane: which of the colours the row
 * holds, where each has its own. */
static void store_pixels(const tiff_job *job, const uint8_t *row, size_t count, size_t x, size_t y, size_t plane)
{
    const size_t first = y * job->width + x, channels = job->image->format == DN_RGB8 ? 3 : 1;
    const _Bool apart = job->planar == PLANARCONFIG_SEPARATE;
    const size_t stride = apart ? 1 : job->samples;

    for (size_t i = 0; i < count; i++) {
        if (job->photometric == PHOTOMETRIC_PALETTE) {
            uint32_t index = read_sample(row, i * stride, job->bits);
            for (size_t c = 0; c < 3; c++)
                job->image->pixels[(first + i) * 3 + c] = (uint8_t)(job->colours[c][index] >> job->colour_shift);
        } else if (apart) {
            store(job, (first + i) * channels + plane, read_sample(row, i, job->bits));
        } else {
            for (size_t c = 0; c < channels; c++)
                store(job, (first + i) * channels + c, read_sample(row, i * stride + c, job->bits));
        }
    }
}

static dn_status read_strips(tiff_job *job, uint16_t plane)
{
    for (uint32_t y = 0; y < job->height; y++) {
        if (TIFFReadScanline(job->tiff, job->buffer, y, plane) != 1 || job->complaint[0])
            return damaged(job);
        store_pixels(job, job->buffer, job->width, 0, y, plane);
    }
    return DN_OK;
}

static dn_status read_tiles(tiff_job *job, uint16_t plane)
{
    const size_t row = (size_t)TIFFTileRowSize64(job->tiff);
    uint32_t wide = 0, high = 0;

    TIFFGetField(job->tiff, TIFFTAG_TILEWIDTH, &wide);
    TIFFGetField(job->tiff, TIFFTAG_TILELENGTH, &high);
    for (uint32_t y = 0; y < job->height; y += high)
        for (uint32_t x = 0; x < job->width; x += wide) {
            uint32_t columns = job->width - x < wide ? job->width - x : wide;
            uint32_t rows = job->height - y < high ? job->height - y : high;
            if (TIFFReadTile(job->tiff, job->buffer, x, y, 0, plane) < 0 || job->complaint[0])
                return damaged(job);
            for (uint32_t r = 0; r < rows; r++)
                store_pixels(job, job->buffer + r * row, columns, x, y + r, plane);
        }
    return DN_OK;
}

/* The bytes of a row or tile; 0 if libtiff and this file do not agree on them. */
static uint64_t buffer_bytes(const tiff_job *job)
{
    const uint64_t samples = job->planar == PLANARCONFIG_SEPARATE ? 1 : job->samples;
    uint32_t wide = job->width, high = 1;
    const _Bool tiled = TIFFIsTiled(job->tiff);

    if (tiled &&
        (!TIFFGetField(job->tiff, TIFFTAG_TILEWIDTH, &wide) || !TIFFGetField(job->tiff, TIFFTAG_TILELENGTH, &high)))
        return 0;
    if (wide == 0 || high == 0 || wide > INT32_MAX || high > INT32_MAX)
        return 0;
    uint64_t row = (wide * samples * job->bits + 7) / 8; /* below 2^31 x 2^2 x 2^4 */
    uint64_t told = tiled ? TIFFTileRowSize64(job->tiff) : TIFFScanlineSize64(job->tiff);
    uint64_t bytes = tiled ? TIFFTileSize64(job->tiff) : told;
    return told == row && bytes / high == row ? bytes : 0;
}

static dn_status read_pixels(tiff_job *job)
{
    const _Bool colour = job->photometric != PHOTOMETRIC_MINISWHITE && job->photometric != PHOTOMETRIC_MINISBLACK;
    const int32_t format = colour ? DN_RGB8 : job->bits > 8 ? DN_GRAY16 : DN_GRAY8;
    const uint16_t planes = job->planar != PLANARCONFIG_SEPARATE || job->photometric == PHOTOMETRIC_PALETTE
                                ? 1
                                : (uint16_t)(colour ? 3 : 1);
    const uint64_t bytes = buffer_bytes(job);
    dn_status status = DN_OK;

    if (job->complaint[0])
        return damaged(job);
    if (bytes == 0)
        return unsupported(job, "rows of an unusual size, samples:", job->samples);
    /* libtiff copies a strip or tile of the file, which is no longer than the file. */
    TRY(image_allocate(job->input, job->width, job->height, format, bytes + job->input->size, &job->image, job->error));
    job->buffer = mem_alloc(&job->input->allocator, (size_t)bytes, 1);
    if (!job->buffer)
        return fail_memory(job->error, job->input->label);
    job->reading_pixels = 1;
    for (uint16_t plane = 0; plane < planes && status == DN_OK; plane++)
        status = TIFFIsTiled(job->tiff) ? read_tiles(job, plane) : read_strips(job, plane);
    return status == DN_OK ? image_orient(&job->image, job->orientation, job->input, job->error) : status;
}

static dn_status decode(tiff_job *job)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();

    if (!options)
        return fail_memory(job->error, job->input->label);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, job->input->max_memory);
    TIFFOpenOptionsSetErrorHandlerExtR(options, job_complain, job);
    TIFFOpenOptionsSetWarningHandlerExtR(options, job_warn, job);
    job->tiff = TIFFClientOpenExt("file", "rm", job, job_read, job_write, job_seek, job_close, job_size, NULL, NULL,
                                  options);
    TIFFOpenOptionsFree(options);
    if (!job->tiff || job->complaint[0])
        return damaged(job);
    TRY(read_header(job));
    return read_pixels(job);
}

dn_status tiff_decode(const image_input *input, dn_image **out, dn_error *error)
{
    tiff_job job = {.input = input, .error = error};

    *out = NULL;
    dn_status status = decode(&job);
    mem_free(&input->allocator, job.buffer);
    if (job.tiff)
        TIFFClose(job.tiff);
    if (status != DN_OK) {
        image_free(job.image);
        return status;
    }
    *out = job.image;
    return DN_OK;
}
