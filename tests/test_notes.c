/* Notes in a model: what is kept, in which order, what is refused, and files that hold what never was written. */
#include <stdlib.h>
#include <string.h>

#include "training.h"

static dn_model *model_of(dn_trainer *trainer)
{
    dn_model *model = NULL;

    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &model));
    return model;
}

static dn_trainer *quick_trainer(const dn_allocator *allocator)
{
    dn_train_options options = tiny_options();

    options.epochs = 1;
    options.allocator = allocator;
    return tiny_trainer(&options, 3);
}

static void check_note(const dn_model *model, int32_t index, const char *key, const char *value)
{
    const char *found;

    ck_assert_str_eq(dn_model_note(model, index, &found), key);
    ck_assert_str_eq(found, value);
}

START_TEST(kept_in_order)
{
    dn_trainer *trainer = quick_trainer(NULL);
    dn_model *model, *again;
    const char *value = "";

    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    trainer_ok(trainer, dn_trainer_note(trainer, "camera", ""));
    trainer_ok(trainer, dn_trainer_note(trainer, "\xc3\x96rtlichkeit", "Halle 3 \"a\" \xe2\x82\xac \xc2\xb5m"));
    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange 2")); /* replaced, where it was */
    model = model_of(trainer);
    dn_blob *bytes = model_bytes(model);
    again = model_of_bytes(bytes);
    for (int i = 0; i < 2; i++) {
        const dn_model *of = i == 0 ? model : again;
        check_note(of, 0, "part", "flange 2");
        check_note(of, 1, "camera", "");
        check_note(of, 2, "\xc3\x96rtlichkeit", "Halle 3 \"a\" \xe2\x82\xac \xc2\xb5m");
        ck_assert_str_eq(dn_model_note(of, 1, NULL), "camera");
        ck_assert_ptr_null(dn_model_note(of, 3, &value));
        ck_assert_ptr_null(value);
        ck_assert_ptr_null(dn_model_note(of, -1, NULL));
    }
    ck_assert_ptr_null(dn_model_note(NULL, 0, &value));
    dn_blob *second = model_bytes(again);
    ck_assert(same_bytes(bytes, second));
    dn_blob_free(second);
    dn_blob_free(bytes);
    dn_model_unref(again);
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

START_TEST(no_part_of_the_id)
{
    uint32_t ids[2];

    for (int i = 0; i < 2; i++) {
        dn_trainer *trainer = quick_trainer(NULL);
        dn_model_info info;
        if (i == 1)
            trainer_ok(trainer, dn_trainer_note(trainer, "operator", "K"));
        dn_model *model = model_of(trainer);
        dn_model_info_init(&info);
        ck_ok(dn_model_get_info(model, &info));
        ids[i] = info.id;
        dn_model_unref(model);
        dn_trainer_free(trainer);
    }
    ck_assert_uint_eq(ids[0], ids[1]);
}
END_TEST

START_TEST(limits)
{
    char key[DN_NOTE_KEY_BYTES + 2], value[DN_NOTE_VALUE_BYTES + 2];
    dn_trainer *trainer = quick_trainer(NULL);

    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    key[DN_NOTE_KEY_BYTES + 1] = value[DN_NOTE_VALUE_BYTES + 1] = '\0';
    trainer_fails(trainer, dn_trainer_note(trainer, key, "x"), DN_E_ARGUMENT, "65 bytes, allowed are 1 to 64");
    trainer_fails(trainer, dn_trainer_note(trainer, "", "x"), DN_E_ARGUMENT, "0 bytes");
    trainer_fails(trainer, dn_trainer_note(trainer, "long", value), DN_E_ARGUMENT,
                  "the note long has 1025 bytes, allowed are 1024");
    trainer_fails(trainer, dn_trainer_note(trainer, "a=b", "x"), DN_E_ARGUMENT, "\"=\"");
    trainer_fails(trainer, dn_trainer_note(trainer, NULL, "x"), DN_E_ARGUMENT, "key is NULL");
    trainer_fails(trainer, dn_trainer_note(trainer, "x", NULL), DN_E_ARGUMENT, "value is NULL");
    ck_status(dn_trainer_note(NULL, "x", "y"), DN_E_ARGUMENT);
    static const char *const unprintable[] = {"a\nb", "\x1b[31m", "\x7f", "\xc2\x9b", "\xc2", "\xff", "\xc3"};
    for (size_t i = 0; i < sizeof unprintable / sizeof *unprintable; i++) {
        trainer_fails(trainer, dn_trainer_note(trainer, "x", unprintable[i]), DN_E_ARGUMENT, "printable UTF-8");
        trainer_fails(trainer, dn_trainer_note(trainer, unprintable[i], "x"), DN_E_ARGUMENT, "printable UTF-8");
    }
    key[DN_NOTE_KEY_BYTES] = value[DN_NOTE_VALUE_BYTES] = '\0';
    for (int i = 0; i < DN_NOTES; i++) {
        key[0] = (char)('A' + i);
        trainer_ok(trainer, dn_trainer_note(trainer, key, value));
    }
    trainer_fails(trainer, dn_trainer_note(trainer, "more", ""), DN_E_ARGUMENT, "more than 32 notes");
    trainer_ok(trainer, dn_trainer_note(trainer, key, "")); /* there already */
    dn_model *model = model_of(trainer);
    key[0] = 'A';
    check_note(model, 0, key, value);
    ck_assert_ptr_nonnull(dn_model_note(model, DN_NOTES - 1, NULL));
    ck_assert_ptr_null(dn_model_note(model, DN_NOTES, NULL));
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

/* Files with notes that no trainer writes. */
START_TEST(hostile_files)
{
    static const char *const replaced[][2] = {
        {"differnet.note.part", "differnet.note.p=rt"}, {"\"flange\"", "\"\\u001b\""}, /* an escape character */
    };
    dn_trainer *trainer = quick_trainer(NULL);
    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    dn_model *model = model_of(trainer), *opened;
    dn_blob *blob = model_bytes(model);
    size_t size = dn_blob_size(blob);

    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++) {
        uint8_t *bytes = malloc(size);
        dn_error error;
        memcpy(bytes, dn_blob_data(blob), size);
        replace_text(bytes, size, replaced[i][0], replaced[i][1]);
        sign_file(bytes, size);
        ck_status(dn_model_open_memory(bytes, size, NULL, &opened, &error), DN_E_FORMAT);
        ck_assert_ptr_null(opened);
        check_error(&error, DN_E_FORMAT, "note");
        free(bytes);
    }
    dn_blob_free(blob);
    dn_model_unref(model);
    dn_trainer_free(trainer);
}
END_TEST

/* A note that memory does not suffice for leaves the others as they were. */
START_TEST(without_memory)
{
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_trainer *trainer = quick_trainer(&allocator);

    trainer_ok(trainer, dn_trainer_note(trainer, "part", "flange"));
    memory.fail_at = memory.calls + 1;
    trainer_fails(trainer, dn_trainer_note(trainer, "camera", "2"), DN_E_MEMORY, "memory");
    memory.fail_at = 0;
    dn_model *model = model_of(trainer);
    check_note(model, 0, "part", "flange");
    ck_assert_ptr_null(dn_model_note(model, 1, NULL));
    dn_model_unref(model);
    dn_trainer_free(trainer);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("notes");
    TCase *cases = tcase_create("notes");

    tcase_add_test(cases, kept_in_order);
    tcase_add_test(cases, no_part_of_the_id);
    tcase_add_test(cases, limits);
    tcase_add_test(cases, hostile_files);
    tcase_add_test(cases, without_memory);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return suite;
}

TEST_MAIN(make_suite)
