/* PNG by libpng.  libpng reports errors by longjmp: everything that must survive the jump lives in a struct of the
 * caller of the function that sets it, so that no local variable is indeterminate and all is freed in one place. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "image/codec.h"
#include "image/orient.h"
#include "image/pixels.h"

#define SIGNATURE_SIZE 8
#define MAX_SIDE 0x7FFFFFFF        /* of PNG itself; max_pixels is what bounds an image */
#define MAX_CHUNK_BYTES (8u << 20) /* of any chunk that must be held in memory */
#define CHUNK_FRAME 12             /* length, name and checksum around a chunk's data */
#define DECODER_BYTES (1 << 18)    /* of libpng and zlib, rows apart */
#define ROW_BYTES 16               /* of two rows for each pixel, at most 8 bytes wide */
#define COMPRESSION 4              /* half of the time of the default 6 or less, about 2 % more bytes */

typedef struct png_job {
    dn_allocator allocator;
    const char *label;
    dn_error *error;
    dn_status status;    /* why libpng jumped out */
    _Bool out_of_memory; /* an allocation failed, whatever libpng made of it */
    png_structp png;
    png_infop info;
    /* reading */
    const image_input *input;
    size_t position;
    dn_image *image;
    _Bool indexed; /* the image's rows begin with indices into the palette */
    /* writing */
    const dn_pixels *view;
    dn_blob *blob;
} png_job;

_Bool png_recognise(const uint8_t *bytes, size_t size)
{
    return size >= SIGNATURE_SIZE && png_sig_cmp(bytes, 0, SIGNATURE_SIZE) == 0;
}

static _Bool little_endian(void)
{
    const uint16_t probe = 1;
    uint8_t first;

    memcpy(&first, &probe, 1);
    return first == 1;
}

/* ---- callbacks ---- */

static png_voidp job_malloc(png_structp png, png_alloc_size_t size)
{
    png_job *job = png_get_mem_ptr(png);
    void *pointer = mem_alloc(&job->allocator, size, 1);

    if (!pointer)
        job->out_of_memory = 1;
    return pointer;
}

static void job_free(png_structp png, png_voidp pointer)
{
    png_job *job = png_get_mem_ptr(png);

    mem_free(&job->allocator, pointer);
}

/* Leaves the job with an error that is not libpng's own. */
PNG_NORETURN static void leave(png_structp png, dn_status status)
{
    png_job *job = png_get_error_ptr(png);

    job->status = status;
    png_longjmp(png, 1);
}

/* Where an allocation failed png_decode() and png_encode() tell that in its place. */
static void job_error(png_structp png, png_const_charp message)
{
    png_job *job = png_get_error_ptr(png);

    if (job->view)
        leave(png, fail(job->error, DN_E_UNSUPPORTED, "%s: cannot be written as PNG: %s", job->label, message));
    leave(png, fail(job->error, DN_E_FORMAT, "%s: damaged PNG file: %s", job->label, message));
}

static void job_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void job_read(png_structp png, png_bytep target, size_t size)
{
    png_job *job = png_get_io_ptr(png);

    if (size > job->input->size - job->position)
        leave(png, fail(job->error, DN_E_FORMAT, "%s: truncated PNG file: it ends after %zu bytes", job->label,
                        job->input->size));
    memcpy(target, job->input->bytes + job->position, size);
    job->position += size;
}

static void job_write(png_structp png, png_bytep bytes, size_t size)
{
    png_job *job = png_get_io_ptr(png);

    if (!blob_append(job->blob, bytes, size))
        leave(png, fail_memory(job->error, job->label));
}

static void job_flush(png_structp png)
{
    (void)png;
}

/* ---- reading ---- */

/* Asks libpng to deliver GRAY8, GRAY16 (native order) or RGB8, and returns which. */
static int32_t choose_format(png_job *job)
{
    png_structp png = job->png;
    int type = png_get_color_type(png, job->info), depth = png_get_bit_depth(png, job->info);

    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(png);
    if (type & PNG_COLOR_MASK_COLOR) {
        job->indexed = type == PNG_COLOR_TYPE_PALETTE; /* libpng would take black for what its palette lacks */
        if (job->indexed)
            png_set_packing(png);
        if (depth == 16)
            png_set_scale_16(png);
        return DN_RGB8;
    }
    if (depth == 16) {
        if (little_endian()) /* PNG is big-endian */
            png_set_swap(png);
        return DN_GRAY16;
    }
    if (depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    return DN_GRAY8;
}

/* Turns indices, the first `width` bytes of each row, into colours; from the end, so that none is overwritten early. */
static void apply_palette(png_job *job)
{
    const size_t width = (size_t)job->image->width;
    png_colorp palette = NULL;
    int colours = 0;

    png_get_PLTE(job->png, job->info, &palette, &colours);
    for (size_t y = 0; y < (size_t)job->image->height; y++) {
        uint8_t *row = job->image->pixels + y * width * 3;
        for (size_t x = width; x-- > 0;) {
            int index = row[x];
            if (index >= colours)
                leave(job->png, fail(job->error, DN_E_FORMAT,
                                     "%s: damaged PNG file: a pixel has colour %d of a palette "
                                     "of %d",
                                     job->label, index, colours));
            row[3 * x] = palette[index].red;
            row[3 * x + 1] = palette[index].green;
            row[3 * x + 2] = palette[index].blue;
        }
    }
}

static void read_rows(png_job *job)
{
    int passes = png_set_interlace_handling(job->png);
    size_t row = (size_t)job->image->width * (size_t)image_bytes_per_pixel(job->image->format);

    png_read_update_info(job->png, job->info);
    if (png_get_rowbytes(job->png, job->info) != (job->indexed ? (size_t)job->image->width : row))
        png_error(job->png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < (size_t)job->image->height; y++)
            png_read_row(job->png, job->image->pixels + y * row, NULL);
    png_read_end(job->png, NULL);
    if (job->indexed)
        apply_palette(job);
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What the eXIf chunk tells, wherever it stands.  libpng has gone through all chunks of the file by now. */
static int32_t read_orientation(const image_input *input)
{
    size_t at = SIGNATURE_SIZE;

    while (input->size - at >= CHUNK_FRAME) {
        const uint8_t *chunk = input->bytes + at;
        size_t length = read_u32(chunk);
        if (length > input->size - at - CHUNK_FRAME || memcmp(chunk + 4, "IEND", 4) == 0)
            break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            return exif_orientation(chunk + 8, length);
        at += CHUNK_FRAME + length;
    }
    return 1;
}

static void read_guarded(png_job *job)
{
    png_structp png = job->png;

    if (setjmp(png_jmpbuf(png)))
        return;
    png_set_read_fn(png, job, job_read);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* Nothing but the pixels is wanted: text, profiles, transparency and the like are skipped unparsed. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
    png_read_info(png, job->info);
    int64_t width = png_get_image_width(png, job->info), height = png_get_image_height(png, job->info);
    dn_status status = image_allocate(job->input, width, height, choose_format(job),
                                      DECODER_BYTES + (uint64_t)width * ROW_BYTES, &job->image, job->error);
    if (status != DN_OK)
        leave(png, status);
    read_rows(job);
    job->status = DN_OK;
}

dn_status png_decode(const image_input *input, dn_image **out, dn_error *error)
{
    png_job job = {
        .allocator = input->allocator, .label = input->label, .error = error, .status = DN_E_MEMORY, .input = input};

    *out = NULL;
    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, job_error, job_warning, &job, job_malloc, job_free);
    if (job.png)
        job.info = png_create_info_struct(job.png);
    if (job.info)
        read_guarded(&job);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    /* libpng goes on without some of the allocations that fail; then the pixels are not to be trusted either. */
    if (job.out_of_memory || (!job.image && job.status == DN_E_MEMORY))
        job.status = fail_memory(error, input->label);
    if (job.status == DN_OK)
        job.status = image_orient(&job.image, read_orientation(input), input, error);
    if (job.status != DN_OK) {
        image_free(job.image);
        return job.status;
    }
    *out = job.image;
    return DN_OK;
}

/* ---- writing ---- */

static void write_guarded(png_job *job)
{
    const pixel_layout *layout = image_layout(job->view->format);
    png_structp png = job->png;

    if (setjmp(png_jmpbuf(png)))
        return;
    png_set_write_fn(png, job, job_write, job_flush);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_compression_level(png, COMPRESSION);
    png_set_IHDR(png, job->info, (png_uint_32)job->view->width, (png_uint_32)job->view->height,
                 8 * layout->bytes_per_sample, layout->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, job->info);
    if (layout->channels == 4)
        png_set_filler(png, 0, PNG_FILLER_AFTER); /* drops alpha */
    if (layout->rgb[0] == 2)
        png_set_bgr(png);
    if (layout->bytes_per_sample == 2 && little_endian())
        png_set_swap(png);
    for (int32_t y = 0; y < job->view->height; y++)
        png_write_row(png, image_row(job->view, y));
    png_write_end(png, job->info);
    job->status = DN_OK;
}

dn_status png_encode(const dn_pixels *image, const dn_allocator *allocator, dn_blob **out, dn_error *error)
{
    png_job job = {.allocator = *allocator, .label = "image", .error = error, .status = DN_E_MEMORY, .view = image};

    *out = NULL;
    job.blob = blob_create(allocator);
    if (job.blob)
        job.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &job, job_error, job_warning, &job, job_malloc,
                                            job_free);
    if (job.png)
        job.info = png_create_info_struct(job.png);
    if (job.info)
        write_guarded(&job);
    png_destroy_write_struct(&job.png, &job.info);
    if (job.out_of_memory || job.status == DN_E_MEMORY)
        job.status = fail_memory(error, "a PNG file");
    if (job.status != DN_OK) {
        blob_free(job.blob);
        return job.status;
    }
    *out = job.blob;
    return DN_OK;
}
