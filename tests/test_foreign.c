/* Files that are no images of ours: the message says what they are.  And the list of endings. */
#include <stdlib.h>

#include "decoding.h"
#include "image/foreign.h"

START_TEST(what_a_file_is)
{
    static const struct {
        const char *start;
        size_t size;
        const char *kind;
    } files[] = {
#define FILE_OF(bytes, kind) {bytes, sizeof(bytes) - 1, "test: " kind}
        FILE_OF("x", "not a PNG, JPEG, BMP"),
        FILE_OF("\x01\x02\x03\x04\x05\x06\x07\x08\x09", "not a PNG, JPEG, BMP"),
        FILE_OF("GIF89a  ", "a GIF image, not a PNG, JPEG, BMP"),
        FILE_OF("RIFF\x10\0\0\0WEBPVP8 ", "a WebP image, not a"),
        FILE_OF("\0\0\0\x18"
                "ftypheic\0\0\0\0",
                "a HEIC image"),
        FILE_OF("\0\0\0\x18"
                "ftyphevc\0\0\0\0",
                "a HEIC image"),
        FILE_OF("\0\0\0\x18"
                "ftypmif1\0\0\0\0",
                "a HEIC image"),
        FILE_OF("\0\0\0\x1C"
                "ftypavif\0\0\0\0",
                "an AVIF image"),
        FILE_OF("\0\0\0\x1C"
                "ftypisom\0\0\0\0",
                "a video"),
        FILE_OF("\0\0\0\x0CjP  \r\n", "a JPEG 2000 image"),
        FILE_OF("\xFF\x0A\xFA\x1F", "a JPEG XL image"),
        FILE_OF("8BPS\0\1", "a Photoshop image"),
        FILE_OF("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
                "a Git LFS pointer (fetch the image itself with `git lfs pull`)"),
        FILE_OF("<!DOCTYPE html><title>404</title>", "a web page"),
        FILE_OF("\xEF\xBB\xBF \r\n<HTML lang=en>", "a web page"),
        FILE_OF("<?xml version='1.0'?>", "an XML file"),
        FILE_OF("{\"error\": \"not found\"}", "a text (JSON)"),
        FILE_OF("\n\n\n\n\n\n\n\n", "a text"),
        FILE_OF("part 17, camera 2", "a text"),
        FILE_OF("%PDF-1.7\n", "a PDF document"),
        FILE_OF("PK\3\4\x14\0", "a ZIP archive"),
        FILE_OF("\x93NUMPY\1\0", "a NumPy array"),
        FILE_OF("\0\5\x16\7\0\2\0\0Mac OS X", "a file of macOS beside an image"),
        FILE_OF("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "nothing but zeros"),
        FILE_OF("\x89PNG\r\n\x1a\n", "truncated PNG file"),
        FILE_OF("\xFF\xD8\xFF", "damaged JPEG file"),
        FILE_OF("BM", "truncated BMP file"),
        FILE_OF("P5\n", "truncated PNM file"),
#ifdef DN_WITH_TIFF
        FILE_OF("II*\0\xFF\0\0\0", "damaged TIFF file"),
#else
        FILE_OF("II*\0\xFF\0\0\0", "a TIFF image (this build reads none"),
        FILE_OF("MM\0+\0\0\0\0", "a TIFF image (this build reads none"),
#endif
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        uint8_t *exact = malloc(files[i].size);
        memcpy(exact, files[i].start, files[i].size);
        ck_fails(exact, files[i].size, DN_E_FORMAT, files[i].kind);
        free(exact);
    }
    ck_fails((const uint8_t *)"", 0, DN_E_FORMAT, "test: the file is empty");
}
END_TEST

START_TEST(kinds_told_behind_the_start)
{
    uint8_t bytes[512];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i | 0x80);
    memcpy(bytes + 128, "DICM", 4);
    ck_fails(bytes, sizeof bytes, DN_E_FORMAT, "test: a DICOM image");
    bytes[128] = 0;
    memcpy(bytes + 257, "ustar", 5);
    ck_fails(bytes, sizeof bytes, DN_E_FORMAT, "test: a tar archive");
    ck_fails(bytes, 260, DN_E_FORMAT, "test: not a ");
}
END_TEST

START_TEST(nothing_at_all)
{
    ck_assert_ptr_null(foreign_kind((const uint8_t *)"", 0));
    ck_assert_str_eq(foreign_kind((const uint8_t *)"", 1), "nothing but zeros (a copy that was not completed?)");
}
END_TEST

START_TEST(endings)
{
    int32_t count = 0;

    for (; image_ending(count); count++) {
        ck_assert_int_eq(image_ending(count)[0], '.');
        for (int32_t i = 0; i < count; i++)
            ck_assert_str_ne(image_ending(i), image_ending(count));
    }
    ck_assert_int_ge(count, 8);
    ck_assert_str_eq(image_ending(0), ".png");
    ck_assert_ptr_null(image_ending(-1));
    ck_assert_ptr_null(image_ending(INT32_MIN));
    ck_assert_ptr_null(image_ending(INT32_MAX));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("foreign");
    TCase *cases = tcase_create("foreign");

    tcase_add_test(cases, what_a_file_is);
    tcase_add_test(cases, kinds_told_behind_the_start);
    tcase_add_test(cases, nothing_at_all);
    tcase_add_test(cases, endings);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
