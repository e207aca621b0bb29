/* What a file is that is no image of ours: the user who sees "a web page" knows at once what went wrong. */
#include "image/foreign.h"

#include <string.h>
#include <strings.h>

typedef struct signature {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *kind;
} signature;

#define AT(offset, bytes, kind)                      \
    {                                                \
        (offset), (bytes), sizeof(bytes) - 1, (kind) \
    }

/* The first that fits counts. */
static const signature signatures[] = {
    AT(0, "GIF8", "a GIF image"),
    AT(8, "WEBP", "a WebP image"),
    AT(4, "ftypavif", "an AVIF image"),
    AT(4, "ftypavis", "an AVIF image"),
    AT(4, "ftyphe", "a HEIC image"),
    AT(4, "ftypmif1", "a HEIC image"),
    AT(4, "ftypmsf1", "a HEIC image"),
    AT(4, "ftypcrx ", "a camera's raw file (CR3)"),
    AT(4, "ftyp", "a video (MP4 or the like)"),
    AT(0, "II*\0", "a TIFF image (this build reads none: it was made without libtiff)"),
    AT(0, "MM\0*", "a TIFF image (this build reads none: it was made without libtiff)"),
    AT(0, "II+\0", "a TIFF image (this build reads none: it was made without libtiff)"),
    AT(0, "MM\0+", "a TIFF image (this build reads none: it was made without libtiff)"),
    AT(0, "II\xBC", "a JPEG XR image"),
    AT(0, "\0\0\0\x0CjP  ", "a JPEG 2000 image"),
    AT(0, "\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    AT(0, "\0\0\0\x0CJXL ", "a JPEG XL image"),
    AT(0, "\xFF\x0A", "a JPEG XL image"),
    AT(0, "8BPS", "a Photoshop image"),
    AT(0, "v/1\x01", "an OpenEXR image"),
    AT(0, "#?RADIANCE", "a Radiance HDR image"),
    AT(0, "qoif", "a QOI image"),
    AT(0, "P7\n", "a PAM image"),
    AT(0, "PF\n", "a PFM image (float)"),
    AT(0, "Pf\n", "a PFM image (float)"),
    AT(0, "SIMPLE  =", "a FITS image"),
    AT(128, "DICM", "a DICOM image"),
    AT(0, "\0\0\1\0", "an icon (ICO)"),
    AT(0,
       "\x8A"
       "MNG",
       "an MNG animation"),
    AT(8, "AVI ", "a video (AVI)"),
    AT(0, "\x1A\x45\xDF\xA3", "a video (Matroska)"),
    AT(0, "version https://git-lfs", "a Git LFS pointer (fetch the image itself with `git lfs pull`)"),
    AT(0, "%PDF", "a PDF document"),
    AT(0, "%!PS", "a PostScript document"),
    AT(0, "PK\3\4", "a ZIP archive"),
    AT(0, "\x1F\x8B", "a gzip archive"),
    AT(0, "7z\xBC\xAF", "a 7z archive"),
    AT(0, "Rar!", "a RAR archive"),
    AT(257, "ustar", "a tar archive"),
    AT(0, "\x93NUMPY", "a NumPy array"),
    AT(0, "\x89HDF", "an HDF5 file"),
    AT(0, "SQLite format 3", "an SQLite database"),
    AT(0,
       "\x7F"
       "ELF",
       "a program"),
    AT(0, "\0\5\x16\7", "a file of macOS beside an image (AppleDouble)"),
};

/* Words that pages and other text begin with, in any case, behind blanks and a byte order mark. */
static const signature words[] = {
    AT(0, "<!doctype html", "a web page"), AT(0, "<html", "a web page"),  AT(0, "<head", "a web page"),
    AT(0, "<svg", "an SVG drawing"),       AT(0, "<?xml", "an XML file"), AT(0, "{", "a text (JSON)"),
};

static _Bool is_text(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((bytes[i] < 32 && !strchr("\t\n\r\f", bytes[i])) || bytes[i] == 0 || bytes[i] == 127)
            return 0;
    return 1;
}

static const char *text_kind(const uint8_t *bytes, size_t size)
{
    size_t at = size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;

    while (at < size && bytes[at] && strchr(" \t\r\n", bytes[at]))
        at++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (size - at >= words[i].size && strncasecmp((const char *)bytes + at, words[i].bytes, words[i].size) == 0)
            return words[i].kind;
    return "a text";
}

const char *foreign_kind(const uint8_t *bytes, size_t size)
{
    const size_t looked_at = size < 512 ? size : 512;
    size_t zeros = 0;

    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (size >= s->offset + s->size && memcmp(bytes + s->offset, s->bytes, s->size) == 0)
            return s->kind;
    }
    while (zeros < size && bytes[zeros] == 0)
        zeros++;
    if (zeros == size && size > 0)
        return "nothing but zeros (a copy that was not completed?)";
    return size >= 8 && is_text(bytes, looked_at) ? text_kind(bytes, looked_at) : NULL;
}
