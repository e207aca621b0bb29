/* dn_extractor_save and dn_extractor_save_memory: what is written is the same network, whole or not at all. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "failing_files.h"
#include "format/safetensors.h"
#include "support.h"

static dn_extractor_options make_options(const dn_allocator *allocator)
{
    dn_extractor_options options;

    dn_extractor_options_init(&options);
    options.input_size = 256;
    options.allocator = allocator;
    return options;
}

static dn_extractor_info get_info(const dn_extractor *extractor)
{
    dn_extractor_info info;

    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(extractor, &info));
    return info;
}

static dn_extractor *open_golden(const char *name, const dn_allocator *allocator)
{
    dn_extractor_options options = make_options(allocator);
    dn_extractor *extractor;
    dn_error error = {0};
    dn_status status = dn_extractor_open_path(golden_path(name), &options, &extractor, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return extractor;
}

static dn_extractor *open_blob(const dn_blob *blob)
{
    dn_extractor_options options = make_options(NULL);
    dn_extractor *extractor;
    dn_error error = {0};
    dn_status status = dn_extractor_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, &extractor, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return extractor;
}

/* Number 0 .. 3 of the ways to make an extractor. */
#define KINDS 4
static dn_extractor *make_kind(int kind, const dn_allocator *allocator)
{
    const int32_t channels[5] = {4, 6, 8, 6, 10};
    dn_extractor_options options = make_options(allocator);
    dn_extractor *extractor = NULL;

    if (kind == 0)
        return open_golden("cnn_alexnet.safetensors", allocator);
    if (kind == 1)
        return open_golden("cnn_mobile.safetensors", allocator);
    if (kind == 2)
        ck_ok(dn_extractor_random(channels, 3, &options, &extractor, NULL));
    else
        ck_ok(dn_extractor_random(NULL, 0, &options, &extractor, NULL));
    return extractor;
}

/* ---- what is written ---- */

START_TEST(every_kind_comes_back)
{
    dn_extractor *extractor = make_kind(_i, NULL);
    dn_extractor_info before = get_info(extractor);
    const char *path = path_join(test_folder(), "backbone.safetensors");
    dn_blob *blob;
    size_t size;

    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &blob, NULL));
    dn_extractor *again = open_blob(blob);
    dn_extractor_info after = get_info(again);
    ck_assert_mem_eq(&before, &after, sizeof before); /* the id among it: all weights have the same bits */
    for (int32_t i = 0; i < before.taps; i++)
        ck_assert_str_eq(dn_extractor_tap_name(extractor, i), dn_extractor_tap_name(again, i));
    ck_ok(dn_extractor_save(extractor, path, DN_STORAGE_F32, NULL));
    uint8_t *bytes = read_file(path, &size);
    ck_assert_uint_eq(size, dn_blob_size(blob));
    ck_assert_mem_eq(bytes, dn_blob_data(blob), size);
    ck_ok(dn_extractor_save(again, path, DN_STORAGE_F32, NULL)); /* over the old one, and the same bytes */
    free(bytes);
    bytes = read_file(path, &size);
    ck_assert_mem_eq(bytes, dn_blob_data(blob), size);
    free(bytes);
    dn_blob_free(blob);
    dn_extractor_unref(again);
    dn_extractor_unref(extractor);
}
END_TEST

/* The blob's file with `entries` put first into its metadata. */
static uint8_t *with_metadata(const dn_blob *blob, const char *entries, size_t *size)
{
    static const char opening[] = "\"__metadata__\":{";
    const uint8_t *bytes = dn_blob_data(blob);
    size_t more = strlen(entries), header = 0;

    for (int i = 7; i >= 0; i--)
        header = header << 8 | bytes[i];
    size_t before = 8;
    while (memcmp(bytes + before, opening, sizeof opening - 1) != 0)
        ck_assert_uint_lt(++before, header);
    before += sizeof opening - 1;
    *size = dn_blob_size(blob) + more;
    uint8_t *changed = malloc(*size);
    ck_assert_ptr_nonnull(changed);
    memcpy(changed, bytes, before);
    memcpy(changed + before, entries, more);
    memcpy(changed + before + more, bytes + before, dn_blob_size(blob) - before);
    for (size_t i = 0, length = header + more; i < 8; i++, length >>= 8)
        changed[i] = (uint8_t)length;
    return changed;
}

/* What a file tells about itself is not lost when it is saved again. */
START_TEST(metadata_comes_back)
{
    static const char entries[] = "\"licence\":\"free for all\",\"training.seed\":\"7\",";
    dn_extractor_options options = make_options(NULL);
    dn_extractor *random = make_kind(2, NULL), *noted;
    const char *value = NULL;
    dn_blob *blob;
    size_t size;

    ck_ok(dn_extractor_save_memory(random, DN_STORAGE_F32, &blob, NULL));
    uint8_t *bytes = with_metadata(blob, entries, &size);
    dn_blob_free(blob);
    ck_ok(dn_extractor_open_memory(bytes, size, &options, &noted, NULL));
    ck_ok(dn_extractor_save_memory(noted, DN_STORAGE_F16, &blob, NULL));
    dn_extractor *again = open_blob(blob);
    ck_assert_str_eq(dn_extractor_metadata(again, 0, &value), "licence");
    ck_assert_str_eq(value, "free for all");
    ck_assert_str_eq(dn_extractor_metadata(again, 1, &value), "training.seed");
    ck_assert_str_eq(value, "7");
    ck_assert_ptr_null(dn_extractor_metadata(again, 2, &value));
    dn_blob_free(blob);
    free(bytes);
    dn_extractor_unref(again);
    dn_extractor_unref(noted);
    dn_extractor_unref(random);
}
END_TEST

START_TEST(half_is_rounded_once)
{
    dn_extractor *extractor = make_kind(_i, NULL), *half, *again;
    dn_blob *wide, *narrow, *repeated;

    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &wide, NULL));
    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F16, &narrow, NULL));
    ck_assert_uint_eq(dn_blob_size(wide) - dn_blob_size(narrow), 2 * (size_t)get_info(extractor).parameters);
    half = open_blob(narrow);
    /* The golden AlexNet is float16 already. */
    ck_assert((get_info(half).id == get_info(extractor).id) == (_i == 0));
    ck_ok(dn_extractor_save_memory(half, DN_STORAGE_F16, &repeated, NULL));
    again = open_blob(repeated);
    ck_assert_uint_eq(get_info(again).id, get_info(half).id);
    dn_extractor_unref(again);
    dn_extractor_unref(half);
    dn_blob_free(repeated);
    dn_blob_free(narrow);
    dn_blob_free(wide);
    dn_extractor_unref(extractor);
}
END_TEST

START_TEST(file_says_what_it_is)
{
    dn_allocator plain = mem_allocator(NULL);
    dn_extractor *extractor = make_kind(2, NULL);
    dn_model *model;
    dn_blob *blob;
    dn_error error = {0};
    const st_frame frame = {.summed_from = 0, .advice = ""}; /* whatever the version, which backbones lack */
    st_file *file;
    uint32_t crc;

    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F16, &blob, NULL));
    ck_ok(st_parse(dn_blob_data(blob), dn_blob_size(blob), "blob", &plain, &file, NULL));
    ck_assert_str_eq(st_metadata(file, "differnet.kind"), "backbone");
    ck_assert_str_eq(st_metadata(file, "differnet.random"), "1");
    ck_assert_str_eq(st_metadata(file, "name"), "random AlexNet (seed 3)");
    ck_ok(st_check_header(file, &frame, NULL));
    ck_ok(st_check_sum(file, &frame, 1, &crc, NULL));
    ck_assert_int_eq(st_count(file), 10);
    st_free(file);
    ck_status(dn_model_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &model, &error), DN_E_KIND);
    ck_assert_ptr_nonnull(strstr(error.message, "is a backbone"));
    dn_blob_free(blob);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- refusals ---- */

START_TEST(arguments_are_checked)
{
    dn_extractor *extractor = make_kind(2, NULL);
    dn_blob *blob = (dn_blob *)(void *)extractor;
    dn_error error = {0};

    ck_status(dn_extractor_save(NULL, "x", DN_STORAGE_F32, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_save(extractor, NULL, DN_STORAGE_F32, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "path is NULL"));
    ck_status(dn_extractor_save(extractor, "x", 2, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "storage is 2"));
    ck_status(dn_extractor_save_memory(extractor, DN_STORAGE_F32, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_extractor_save_memory(NULL, DN_STORAGE_F32, &blob, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(blob);
    ck_status(dn_extractor_save_memory(extractor, -1, &blob, NULL), DN_E_ARGUMENT);
    dn_extractor_unref(extractor);
}
END_TEST

/* The golden network with a bias that float16 cannot hold. */
START_TEST(too_large_for_half)
{
    const char *folder = test_folder(), *path = path_join(folder, "half.safetensors");
    dn_extractor_options options = make_options(NULL);
    dn_extractor *extractor;
    dn_blob *blob;
    dn_error error = {0};
    const float large = 65520;
    size_t size;
    uint8_t *bytes = read_file(golden_path("cnn_mobile.safetensors"), &size);
    uint64_t header;

    memcpy(&header, bytes, sizeof header);
    memcpy(bytes + 8 + header, &large, sizeof large); /* the first weight of the first tensor */
    ck_ok(dn_extractor_open_memory(bytes, size, &options, &extractor, NULL));
    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &blob, NULL));
    dn_blob_free(blob);
    ck_status(dn_extractor_save_memory(extractor, DN_STORAGE_F16, &blob, &error), DN_E_NUMERIC);
    ck_assert_ptr_null(blob);
    ck_assert_ptr_nonnull(strstr(error.message, "save as float32"));
    ck_status(dn_extractor_save(extractor, path, DN_STORAGE_F16, &error), DN_E_NUMERIC);
    ck_assert_int_eq(count_files(folder), 0);
    dn_extractor_unref(extractor);
    free(bytes);
}
END_TEST

START_TEST(unwritable)
{
    const char *folder = test_folder(), *nowhere = path_join(folder, "absent/b.safetensors");
    dn_extractor *extractor = make_kind(2, NULL);
    dn_error error = {0};

    ck_status(dn_extractor_save(extractor, nowhere, DN_STORAGE_F32, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, nowhere));
    ck_status(dn_extractor_save(extractor, folder, DN_STORAGE_F32, &error), DN_E_IO);
    ck_assert_int_eq(count_files(folder), 0);
    dn_extractor_unref(extractor);
}
END_TEST

/* ---- failures by number ---- */

/* Whichever call fails, the old file stays whole, or the new one is there. */
START_TEST(saving_is_atomic)
{
    const char *folder = test_folder(), *path = path_join(folder, "backbone.safetensors");
    dn_extractor *old = make_kind(0, NULL), *extractor = make_kind(1, NULL);
    dn_status status = DN_E_IO;
    size_t old_size, size;
    int failures = 0;

    ck_ok(dn_extractor_save(old, path, DN_STORAGE_F32, NULL));
    uint8_t *old_bytes = read_file(path, &old_size);
    for (long number = 1; status != DN_OK; number++) {
        dn_error error = {0};
        files_fail_at(number);
        status = dn_extractor_save(extractor, path, DN_STORAGE_F32, &error);
        long calls = files_calls();
        ck_assert_int_eq(files_open(), 0);
        files_restore();
        if (status != DN_OK) {
            ck_status(status, DN_E_IO);
            ck_assert_ptr_nonnull(strstr(error.message, path));
            uint8_t *bytes = read_file(path, &size);
            ck_assert_uint_eq(size, old_size);
            ck_assert_mem_eq(bytes, old_bytes, size);
            free(bytes);
            failures++;
        }
        ck_assert_int_eq(count_files(folder), 1);
        ck_assert(status != DN_OK || calls >= number); /* a failed sync of the folder is no error */
    }
    ck_assert_int_ge(failures, 4); /* create, write, sync, close, rename */
    dn_extractor_options options = make_options(NULL);
    dn_extractor *again;
    ck_ok(dn_extractor_open_path(path, &options, &again, NULL));
    ck_assert_uint_eq(get_info(again).id, get_info(extractor).id);
    dn_extractor_unref(again);
    dn_extractor_unref(extractor);
    dn_extractor_unref(old);
    free(old_bytes);
}
END_TEST

START_TEST(allocations_may_fail)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor *extractor = make_kind(1, &allocator);
    dn_status status = DN_E_MEMORY;
    long before = memory.live, fail_at = 0;

    while (status == DN_E_MEMORY) {
        dn_error error = {0};
        dn_blob *blob = NULL;
        memory.calls = 0;
        memory.fail_at = ++fail_at;
        status = dn_extractor_save_memory(extractor, DN_STORAGE_F16, &blob, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert((status == DN_OK) == (blob != NULL));
        dn_blob_free(blob);
        ck_assert_int_eq(memory.live, before);
    }
    ck_ok(status);
    ck_assert_int_gt(fail_at, 10);
    dn_extractor_unref(extractor);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static dn_status save_backbone(void *extractor, const char *path, dn_error *error)
{
    return dn_extractor_save(extractor, path, DN_STORAGE_F32, error);
}

static void open_backbone(void *extractor, const char *path)
{
    dn_extractor_options options = make_options(NULL);
    dn_extractor *again;

    ck_ok(dn_extractor_open_path(path, &options, &again, NULL));
    ck_assert_uint_eq(get_info(again).id, get_info(extractor).id);
    dn_extractor_unref(again);
}

START_TEST(saves_without_memory)
{
    const char *folder = test_folder();
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor *extractor = make_kind(_i, &allocator);
    save_test test = {save_backbone, open_backbone, extractor, &memory};

    check_saves_without_memory(&test, path_join(folder, "backbone.safetensors"));
    ck_assert_int_eq(count_files(folder), 1);
    dn_extractor_unref(extractor);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("backbone_file");
    TCase *tcase = tcase_create("backbone_file");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_kind_comes_back, 0, KINDS);
    tcase_add_loop_test(tcase, half_is_rounded_once, 0, 3);
    tcase_add_test(tcase, metadata_comes_back);
    tcase_add_test(tcase, file_says_what_it_is);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, too_large_for_half);
    tcase_add_test(tcase, unwritable);
    tcase_add_test(tcase, saving_is_atomic);
    tcase_add_test(tcase, allocations_may_fail);
    tcase_add_loop_test(tcase, saves_without_memory, 0, KINDS);
    suite_add_tcase(suite, tcase);
    return suite;
}

TEST_MAIN(make_suite)
