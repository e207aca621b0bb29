/* Loading, recognising, writing and refusing backbones. */
#include "cnn/extractor.h"
#include "cnn/maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "golden.h"
#include "support.h"

#define MAX_TENSORS 16
#define FLOATS 4096

/* A backbone file being made up: all tensors share the values 0.01, 0.02, ... */
typedef struct draft {
    struct {
        const char *name;
        int32_t rank;
        int64_t shape[4];
    } tensors[MAX_TENSORS];
    const char *layers;      /* differnet.layers; NULL: none */
    const char *key, *value; /* one more metadata entry; NULL: none */
    const char *poisoned;    /* name of a tensor that has a NaN in it */
} draft;

static dn_extractor_options make_options(int32_t size, int32_t scales)
{
    return (dn_extractor_options){.struct_size = sizeof(dn_extractor_options), .input_size = size, .scales = scales};
}

static dn_blob *write_draft(const draft *d)
{
    static float values[FLOATS], poisoned[FLOATS];
    dn_allocator allocator = mem_allocator(NULL);
    st_writer *writer = st_writer_create(&allocator);
    dn_blob *blob = NULL;

    for (int i = 0; i < FLOATS; i++)
        values[i] = poisoned[i] = (float)(i % 100 + 1) * 0.01f;
    poisoned[1] = NAN;
    ck_assert_ptr_nonnull(writer);
    for (int i = 0; i < MAX_TENSORS && d->tensors[i].name; i++)
        st_writer_tensor(writer, d->tensors[i].name, ST_F32, ST_F32, d->tensors[i].rank, d->tensors[i].shape,
                         d->poisoned && strcmp(d->poisoned, d->tensors[i].name) == 0 ? poisoned : values);
    if (d->layers)
        st_writer_metadata(writer, "differnet.layers", d->layers);
    if (d->key)
        st_writer_metadata(writer, d->key, d->value);
    ck_ok(st_writer_save_memory(writer, &blob, NULL));
    st_writer_free(writer);
    return blob;
}

static dn_status load_blob(const dn_blob *blob, const char *prefix, const dn_extractor_options *options,
                           dn_extractor **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);
    st_file *file = NULL;
    dn_status status = st_parse(blob->data, blob->size, "some.safetensors", &allocator, &file, error);

    *out = NULL;
    if (status != DN_OK)
        return status;
    status = extractor_from_tensors(file, prefix, options, out, error);
    st_free(file);
    return status;
}

static dn_status load_draft(const draft *d, int32_t size, int32_t scales, dn_extractor **out, dn_error *error)
{
    dn_extractor_options options = make_options(size, scales);
    dn_blob *blob = write_draft(d);
    dn_status status = load_blob(blob, "", &options, out, error);

    blob_free(blob);
    return status;
}

static void refuse(const draft *d, int32_t size, int32_t scales, dn_status expected, const char *message)
{
    dn_extractor *extractor = NULL;
    dn_error error = {0};
    dn_status status = load_draft(d, size, scales, &extractor, &error);

    ck_assert_msg(status == expected && error.status == expected, "%d, not %d: %s", status, expected, error.message);
    ck_assert_ptr_null(extractor);
    ck_assert_msg(strstr(error.message, message) != NULL, "\"%s\" lacks \"%s\"", error.message, message);
    ck_assert_msg(strstr(error.message, "some.safetensors") != NULL, "\"%s\" names no file", error.message);
}

static dn_extractor *accept(const draft *d, int32_t size, int32_t scales)
{
    dn_extractor *extractor = NULL;
    dn_error error = {0};
    dn_status status = load_draft(d, size, scales, &extractor, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return extractor;
}

/* ---- AlexNet ---- */

static draft small_alexnet(void)
{
    return (draft){.tensors = {{"features.0.weight", 4, {2, 3, 11, 11}},
                               {"features.0.bias", 1, {2}},
                               {"features.3.weight", 4, {3, 2, 5, 5}},
                               {"features.3.bias", 1, {3}},
                               {"features.6.weight", 4, {4, 3, 3, 3}},
                               {"features.6.bias", 1, {4}},
                               {"features.8.weight", 4, {3, 4, 3, 3}},
                               {"features.8.bias", 1, {3}},
                               {"features.10.weight", 4, {5, 3, 3, 3}},
                               {"features.10.bias", 1, {5}}}};
}

START_TEST(alexnet_is_recognised)
{
    draft d = small_alexnet();
    dn_extractor *extractor = accept(&d, 256, 3);

    ck_assert_int_eq(extractor->layer_count, 13);
    ck_assert_int_eq(extractor->taps, 1);
    ck_assert_int_eq(extractor->tap_channels, 5);
    ck_assert_int_eq(extractor->feature_dim, 15);
    ck_assert_int_eq(extractor->random, 0);
    ck_assert_int_eq(extractor->parameters, 726 + 2 + 150 + 3 + 108 + 4 + 108 + 3 + 135 + 5);
    ck_assert_str_eq(extractor->name, "AlexNet");
    ck_assert_str_eq(extractor->layers[12].name, "features.12");
    ck_assert_float_eq_tol(extractor->mean[0], 0.485f, 1e-7f);
    ck_assert_float_eq_tol(extractor->std[2], 0.225f, 1e-7f);
    /* Weight o, i, y, x of the file is weight y, x, i, o here. */
    const float *weight = extractor->layers[3].conv.weight; /* (5, 5, 2, 3) */
    int index = ((2 * 2 + 1) * 5 + 3) * 5 + 4;              /* o 2, i 1, y 3, x 4 */
    ck_assert_float_eq(weight[((3 * 5 + 4) * 2 + 1) * 3 + 2], (float)(index % 100 + 1) * 0.01f);
    extractor_unref(extractor);
}
END_TEST

START_TEST(alexnet_variants_are_equal)
{
    draft d = small_alexnet(), bare = small_alexnet(), whole = small_alexnet();
    dn_extractor *expected = accept(&d, 256, 3);

    for (int i = 0; i < 10; i++)
        bare.tensors[i].name += strlen("features.");
    dn_extractor *extractor = accept(&bare, 256, 3);
    ck_assert_uint_eq(extractor->id, expected->id);
    ck_assert_str_eq(extractor->layer_text, expected->layer_text);
    extractor_unref(extractor);

    whole.tensors[10].name = "classifier.1.weight";
    whole.tensors[10].rank = 2;
    whole.tensors[10].shape[0] = whole.tensors[10].shape[1] = 20;
    whole.poisoned = "classifier.1.weight"; /* not even looked at */
    extractor = accept(&whole, 256, 3);
    ck_assert_uint_eq(extractor->id, expected->id);
    extractor_unref(extractor);

    /* The canonical layer list, given explicitly, is the same network. */
    d.layers = expected->layer_text;
    extractor = accept(&d, 256, 3);
    ck_assert_uint_eq(extractor->id, expected->id);
    extractor_unref(extractor);
    /* The id depends on what the network computes, not on the size it is used at. */
    extractor = accept(&d, 448, 2);
    ck_assert_uint_eq(extractor->id, expected->id);
    extractor_unref(extractor);
    d.key = "differnet.mean";
    d.value = "[0.485, 0.456, 0.407]";
    extractor = accept(&d, 256, 3);
    ck_assert_uint_ne(extractor->id, expected->id);
    extractor_unref(extractor);
    extractor_unref(expected);
}
END_TEST

START_TEST(broken_alexnet_is_refused)
{
    draft d = small_alexnet();

    d.tensors[4].name = "features.7.weight";
    refuse(&d, 256, 3, DN_E_FORMAT, "features.6.weight");
    d = small_alexnet();
    d.tensors[9].name = "features.11.bias";
    refuse(&d, 256, 3, DN_E_FORMAT, "features.10.bias");
    d = small_alexnet();
    d.tensors[6].shape[1] = 5; /* channels do not chain */
    refuse(&d, 256, 3, DN_E_FORMAT, "features.8.weight");
    d = small_alexnet();
    d.tensors[2].shape[2] = 3; /* another kernel */
    refuse(&d, 256, 3, DN_E_FORMAT, "features.3.weight");
    d = small_alexnet();
    d.tensors[5].shape[0] = 3;
    refuse(&d, 256, 3, DN_E_FORMAT, "features.6.bias");
    d = small_alexnet();
    d.poisoned = "features.8.bias";
    refuse(&d, 256, 3, DN_E_NUMERIC, "features.8.bias");
    d.poisoned = "features.10.weight";
    refuse(&d, 256, 3, DN_E_NUMERIC, "features.10.weight");
    d = small_alexnet();
    d.tensors[0].shape[2] = 7; /* not AlexNet at all */
    refuse(&d, 256, 3, DN_E_UNSUPPORTED, "differnet.layers");
    d.tensors[0].shape[2] = 11;
    d.tensors[0].shape[3] = 7;
    refuse(&d, 256, 3, DN_E_UNSUPPORTED, "differnet.layers");
    d.tensors[0].rank = 3;
    refuse(&d, 256, 3, DN_E_UNSUPPORTED, "differnet.layers");
    d.tensors[0].name = "something";
    refuse(&d, 256, 3, DN_E_UNSUPPORTED, "features.{0,3,6,8,10}");
    d = (draft){.layers = NULL};
    refuse(&d, 256, 3, DN_E_UNSUPPORTED, "AlexNet");
}
END_TEST

START_TEST(other_kinds_are_refused)
{
    draft d = small_alexnet();

    d.key = "differnet.kind";
    d.value = "model";
    refuse(&d, 256, 3, DN_E_KIND, "is a model, not a backbone");
    d.value = "flow";
    refuse(&d, 256, 3, DN_E_KIND, "flow");
    d.value = "spoon";
    refuse(&d, 256, 3, DN_E_KIND, "not a backbone");
    d.value = "backbone";
    extractor_unref(accept(&d, 256, 3));
}
END_TEST

/* A name is for people: of what does not belong on a terminal it keeps the place, of a long one whole characters. */
START_TEST(names_are_shown)
{
    draft d = small_alexnet();
    char name[200];

    d.key = "name";
    d.value = "";
    dn_extractor *extractor = accept(&d, 64, 1);
    ck_assert_str_eq(extractor->name, "AlexNet");
    extractor_unref(extractor);
    d.value = "a\nb\x7f\xc3\xa4";
    extractor = accept(&d, 64, 1);
    ck_assert_str_eq(extractor->name, "a b \xc3\xa4");
    extractor_unref(extractor);
    for (size_t odd = 0; odd < 2; odd++) {
        size_t length = odd;
        memset(name, 'x', odd);
        for (; length < 190; length += 2)
            memcpy(name + length, "\xc3\xa4", 3);
        d.value = name;
        extractor = accept(&d, 64, 1);
        size_t kept = strlen(extractor->name);
        ck_assert_uint_le(kept, sizeof extractor->name - 1);
        ck_assert_uint_ge(kept, sizeof extractor->name - 2);
        ck_assert_uint_eq(kept % 2, odd);
        ck_assert_mem_eq(extractor->name, name, kept);
        extractor_unref(extractor);
    }
}
END_TEST

/* ---- input size ---- */

START_TEST(sizes_are_checked)
{
    draft d = small_alexnet();

    extractor_unref(accept(&d, 256, 3));
    extractor_unref(accept(&d, 64, 1));
    refuse(&d, 224, 3, DN_E_ARGUMENT, "works is 256");
    refuse(&d, 32, 1, DN_E_ARGUMENT, "works is 64");
    refuse(&d, 96, 2, DN_E_ARGUMENT, "works is 128");
    refuse(&d, 448, 5, DN_E_ARGUMENT, "works is 1024");

    d = (draft){.tensors = {{"w", 4, {1, 3, 1, 1}}},
                .layers = "[{\"op\":\"maxpool\",\"kernel\":64,\"stride\":64},{\"op\":\"maxpool\",\"kernel\":64,"
                          "\"stride\":64}]"};
    refuse(&d, 2048, 1, DN_E_ARGUMENT, "no input size up to 2048");
    d.layers = "[{\"op\":\"avgpool\",\"kernel\":[1,64],\"stride\":64},{\"op\":\"avgpool\",\"kernel\":[1,64],"
               "\"stride\":1},{\"op\":\"relu\"}]"; /* too narrow only */
    refuse(&d, 2048, 1, DN_E_ARGUMENT, "no input size up to 2048");
    /* 2048 x 2048 x 128 floats are 2 GiB for one layer. */
    d = (draft){.tensors = {{"w", 4, {128, 3, 1, 1}}}, .layers = "[{\"op\":\"conv\",\"weight\":\"w\"}]"};
    refuse(&d, 2048, 1, DN_E_LIMIT, "layer w");
    extractor_unref(accept(&d, 1024, 1));
    /* 1 GiB is the limit. */
    d = (draft){.tensors = {{"w", 4, {256, 3, 1, 1}}}, .layers = "[{\"op\":\"conv\",\"weight\":\"w\"}]"};
    extractor_unref(accept(&d, 1024, 1));
    d.tensors[0].shape[0] = 257;
    refuse(&d, 1024, 1, DN_E_LIMIT, "layer w");
}
END_TEST

/* What a file makes the processor do is bounded, too: 2^42 multiplications, here of 512 x 512 = 2^18 windows.  A pool of
 * 64 x 64 x 3 numbers, each counting 64 times: 3 * 2^36.  One of 64 x 21 x 3: 63 * 2^30.  What is left beside 21 of the
 * former and the latter is 2^30 = 4096 * 2^18: a convolution to 85 maps with 4 x 4 x 3 weights each fits, and a relu of its
 * output does not. */
START_TEST(work_is_bounded)
{
    const char *wide = "{\"op\":\"maxpool\",\"kernel\":64,\"stride\":1,\"pad\":[31,31,32,32]}";
    const char *end = "{\"op\":\"avgpool\",\"kernel\":[64,21],\"stride\":1,\"pad\":[31,10,32,10]},"
                      "{\"op\":\"conv\",\"weight\":\"w\",\"pad\":[1,1,2,2]}";
    char layers[2500], pools[2000] = "";
    draft d = {.tensors = {{"w", 4, {85, 3, 4, 4}}}, .layers = layers};

    for (int i = 0; i < 21; i++)
        sprintf(pools + strlen(pools), "%s,", wide);
    sprintf(layers, "[%s%s]", pools, end);
    extractor_unref(accept(&d, 512, 1));
    sprintf(layers, "[%s%s,{\"op\":\"relu\"}]", pools, end);
    refuse(&d, 512, 1, DN_E_LIMIT,
           "up to layer relu.23 the network takes 4.398e+12 multiplications for a view of 512 x 512");
    sprintf(layers, "[%s%s,%s]", pools, wide, end);
    refuse(&d, 512, 1, DN_E_LIMIT, "up to layer maxpool.21 the network takes 4.535e+12");
}
END_TEST

START_TEST(options_are_checked)
{
    const int32_t bad[][2] = {{0, 3}, {16, 1}, {31, 1}, {100, 3}, {2080, 3}, {-32, 3}, {448, 0}, {448, 6}, {448, -1}};
    dn_extractor *extractor;
    dn_error error;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dn_extractor_options options = make_options(bad[i][0], bad[i][1]);
        ck_status(extractor_random(NULL, 0, &options, &extractor, &error), DN_E_ARGUMENT);
        ck_assert_ptr_null(extractor);
        ck_assert_ptr_nonnull(strstr(error.message, bad[i][1] == 3 || bad[i][1] == 1 ? "input_size" : "scales"));
    }
}
END_TEST

/* ---- layer lists ---- */

#define CONV "{\"op\":\"conv\",\"weight\":\"a.weight\",\"bias\":\"a.bias\""

static draft one_conv(const char *layers)
{
    return (draft){.tensors = {{"a.weight", 4, {4, 3, 3, 3}},
                               {"a.bias", 1, {4}},
                               {"d.weight", 4, {4, 1, 3, 3}},
                               {"b.weight", 4, {6, 4, 1, 2}},
                               {"rank", 3, {4, 3, 3}},
                               {"empty", 4, {0, 3, 3, 3}},
                               {"wide", 4, {1, 3, 1, 65}},
                               {"two", 4, {8, 1, 1, 1}},
                               {"flat", 4, {4, 3, 0, 3}},
                               {"thin", 4, {4, 3, 3, 0}},
                               {"high", 4, {1, 3, 65, 1}},
                               {"many", 4, {65537, 3, 0, 1}}},
                   .layers = layers};
}

START_TEST(lists_are_read)
{
    draft d = one_conv("[" CONV ",\"stride\":2,\"pad\":[0,1,2,1]}, {\"op\":\"relu6\",\"tap\":true},"
                       "{\"op\":\"conv\",\"weight\":\"d.weight\",\"groups\":4,\"pad\":1,\"tap\":false},"
                       "{\"op\":\"conv\",\"weight\":\"b.weight\",\"name\":\"last\"}, {\"op\":\"relu\"},"
                       "{\"op\":\"avgpool\",\"kernel\":[3,2],\"stride\":1,\"pad\":[2,1,0,1],\"tap\":true},"
                       "{\"op\":\"conv\",\"weight\":\"missing\"}]");
    dn_extractor *extractor = accept(&d, 64, 2);
    const cnn_layer *layers = extractor->layers;

    ck_assert_int_eq(extractor->layer_count, 6); /* nothing after the last tap */
    ck_assert_int_eq(extractor->taps, 2);
    ck_assert_int_eq(extractor->tap_channels, 4 + 6);
    ck_assert_int_eq(extractor->feature_dim, 20);
    ck_assert_int_eq(extractor->parameters, 108 + 4 + 36 + 48);
    ck_assert_str_eq(extractor->name, "CNN");
    ck_assert_int_eq(layers[0].conv.pad_top, 0);
    ck_assert_int_eq(layers[0].conv.pad_left, 1);
    ck_assert_int_eq(layers[0].conv.pad_bottom, 2);
    ck_assert_int_eq(layers[0].conv.pad_right, 1);
    ck_assert_str_eq(layers[0].name, "a");
    ck_assert_str_eq(layers[1].name, "relu6.1");
    ck_assert_int_eq(layers[2].conv.groups, 4);
    ck_assert_float_eq(layers[2].conv.bias[3], 0);
    ck_assert_str_eq(layers[3].name, "last");
    ck_assert_int_eq(layers[3].conv.kernel_w, 2);
    ck_assert_int_eq(layers[5].pool.kernel_h, 3);
    ck_assert_int_eq(layers[5].pool.pad_top, 2);
    ck_assert_int_eq(layers[5].pool.channels, 6);
    ck_assert_str_eq(
        extractor->layer_text,
        "[{\"op\":\"conv\",\"name\":\"a\",\"weight\":\"a.weight\",\"bias\":\"a.bias\",\"stride\":2,\"pad\":[0,1,2,1],"
        "\"groups\":1},{\"op\":\"relu6\",\"name\":\"relu6.1\",\"tap\":true},"
        "{\"op\":\"conv\",\"name\":\"d\",\"weight\":\"d.weight\",\"stride\":1,\"pad\":[1,1,1,1],\"groups\":4},"
        "{\"op\":\"conv\",\"name\":\"last\",\"weight\":\"b.weight\",\"stride\":1,\"pad\":[0,0,0,0],\"groups\":1},"
        "{\"op\":\"relu\",\"name\":\"relu.4\"},"
        "{\"op\":\"avgpool\",\"name\":\"avgpool.5\",\"kernel\":[3,2],\"stride\":1,\"pad\":[2,1,0,1],\"tap\":true}]");
    extractor_unref(extractor);
}
END_TEST

/* Marks for maps: those of the list, which its text keeps; without any, the last activation of each size, which the
 * text does not tell. */
START_TEST(layer_list_marks_maps)
{
    draft d = one_conv("[" CONV ",\"map\":true},{\"op\":\"relu6\",\"tap\":true}]");

    dn_extractor *extractor = accept(&d, 64, 1);
    ck_assert_int_eq(maps_taps(extractor), 1);
    ck_assert_str_eq(maps_tap_name(extractor, 0), "a");
    ck_assert_ptr_null(maps_tap_name(extractor, 1));
    ck_assert_ptr_nonnull(strstr(extractor->layer_text, "\"map\":true"));
    extractor_unref(extractor);
    d = one_conv("[" CONV ",\"stride\":4},{\"op\":\"relu6\"},{\"op\":\"maxpool\",\"kernel\":3,\"stride\":2}]");
    extractor = accept(&d, 64, 1);
    ck_assert_int_eq(maps_taps(extractor), 1);
    ck_assert_str_eq(maps_tap_name(extractor, 0), "relu6.1");
    ck_assert_ptr_null(strstr(extractor->layer_text, "\"map\""));
    extractor_unref(extractor);
}
END_TEST

static const struct bad_list {
    const char *layers;
    dn_status status;
    const char *message;
} bad_lists[] = {
    {"", DN_E_FORMAT, "malformed JSON"},
    {"[" CONV "}", DN_E_FORMAT, "malformed JSON"},
    {"[{\"op\":\"relu\",\"op\":\"relu\"}]", DN_E_FORMAT, "layer 0: a key appears twice"},
    {"[]", DN_E_FORMAT, "1 to 256 layers"},
    {"{}", DN_E_FORMAT, "1 to 256 layers"},
    {"[3]", DN_E_FORMAT, "layer 0: must be an object"},
    {"[{}]", DN_E_FORMAT, "\"op\""},
    {"[{\"op\":7}]", DN_E_FORMAT, "\"op\""},
    {"[{\"op\":\"relu\"},{\"op\":\"gelu\"}]", DN_E_UNSUPPORTED, "layer 1: unknown operator \"gelu\""},
    {"[{\"op\":\"a\\nb\"}]", DN_E_UNSUPPORTED, "not a plain name"},
    {"[" CONV ",\"dilation\":2}]", DN_E_UNSUPPORTED, "no key \"dilation\""},
    {"[{\"op\":\"relu\",\"stride\":1}]", DN_E_UNSUPPORTED, "relu has no key \"stride\""},
    {"[{\"op\":\"maxpool\",\"kernel\":3,\"stride\":2,\"groups\":1}]", DN_E_UNSUPPORTED, "groups"},
    {"[{\"op\":\"relu\",\"tap\":1}]", DN_E_FORMAT, "\"tap\""},
    {"[{\"op\":\"relu\",\"map\":\"yes\"}]", DN_E_FORMAT, "\"map\""},
    {"[" CONV ",\"tap\":true},{\"op\":\"relu\",\"map\":true}]", DN_E_UNSUPPORTED, "behind the last"},
    {"[{\"op\":\"relu\",\"name\":\"\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"relu\",\"name\":\"a \\\"b\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"relu\",\"name\":\"a\\\"b\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"relu\",\"name\":\"a\\\\b\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"relu\",\"name\":\"a\\u007f\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"relu\",\"name\":\"\\u00e4\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"\"}]", DN_E_UNSUPPORTED, "not a plain name"},
    {"[{\"op\":\"1234567890123456789012345678901234567890123456789\"}]", DN_E_UNSUPPORTED, "not a plain name"},
    {"[{\"op\":\"relu\",\"name\":\"1234567890123456789012345678901234567890123456789\"}]", DN_E_FORMAT, "\"name\""},
    {"[{\"op\":\"conv\"}]", DN_E_FORMAT, "\"weight\" is missing"},
    {"[{\"op\":\"conv\",\"weight\":3}]", DN_E_FORMAT, "\"weight\""},
    {"[{\"op\":\"conv\",\"weight\":\"nowhere\"}]", DN_E_FORMAT, "nowhere"},
    {"[{\"op\":\"conv\",\"weight\":\"rank\"}]", DN_E_FORMAT, "rank"},
    {"[{\"op\":\"conv\",\"weight\":\"empty\"}]", DN_E_UNSUPPORTED, "empty"},
    {"[{\"op\":\"conv\",\"weight\":\"wide\"}]", DN_E_UNSUPPORTED, "wide"},
    {"[{\"op\":\"conv\",\"weight\":\"flat\"}]", DN_E_UNSUPPORTED, "flat"},
    {"[{\"op\":\"conv\",\"weight\":\"thin\"}]", DN_E_UNSUPPORTED, "thin"},
    {"[{\"op\":\"conv\",\"weight\":\"high\"}]", DN_E_UNSUPPORTED, "high"},
    {"[{\"op\":\"conv\",\"weight\":\"many\"}]", DN_E_UNSUPPORTED, "many"},
    {"[{\"op\":\"conv\",\"weight\":\"a.weight\",\"bias\":\"a bias\"}]", DN_E_FORMAT, "\"bias\""},
    {"[{\"op\":\"conv\",\"weight\":\"b.weight\"}]", DN_E_FORMAT, "b.weight"},
    {"[{\"op\":\"conv\",\"weight\":\"a.weight\",\"bias\":\"b.weight\"}]", DN_E_FORMAT, "b.weight"},
    {"[" CONV "}," CONV "}]", DN_E_UNSUPPORTED, "a.weight is used twice"},
    {"[{\"op\":\"conv\",\"weight\":\"a.bias\",\"bias\":\"a.bias\"}]", DN_E_UNSUPPORTED, "a.bias is used twice"},
    {"[" CONV ",\"stride\":0}]", DN_E_FORMAT, "\"stride\""},
    {"[" CONV ",\"stride\":65}]", DN_E_FORMAT, "\"stride\""},
    {"[" CONV ",\"stride\":1.5}]", DN_E_FORMAT, "\"stride\""},
    {"[" CONV ",\"stride\":[1,1]}]", DN_E_FORMAT, "\"stride\""},
    {"[" CONV ",\"stride\":4294967297}]", DN_E_FORMAT, "\"stride\""},
    {"[" CONV ",\"pad\":-1}]", DN_E_FORMAT, "\"pad\""},
    {"[" CONV ",\"pad\":[1,1]}]", DN_E_FORMAT, "\"pad\""},
    {"[" CONV ",\"pad\":[0,0,0,-1]}]", DN_E_FORMAT, "\"pad\""},
    {"[" CONV ",\"pad\":[3,0,0,0]}]", DN_E_FORMAT, "smaller than the kernel"},
    {"[" CONV ",\"pad\":[0,3,0,0]}]", DN_E_FORMAT, "smaller than the kernel"},
    {"[" CONV ",\"pad\":[0,0,3,0]}]", DN_E_FORMAT, "smaller than the kernel"},
    {"[" CONV ",\"pad\":[0,0,0,3]}]", DN_E_FORMAT, "smaller than the kernel"},
    {"[" CONV ",\"groups\":0}]", DN_E_FORMAT, "\"groups\""},
    {"[" CONV ",\"groups\":2}]", DN_E_UNSUPPORTED, "groups is 2"},
    {"[" CONV "},{\"op\":\"conv\",\"weight\":\"two\",\"groups\":4}]", DN_E_UNSUPPORTED, "leave (8)"},
    {"[" CONV "},{\"op\":\"conv\",\"weight\":\"d.weight\",\"groups\":3}]", DN_E_UNSUPPORTED, "groups is 3"},
    {"[{\"op\":\"maxpool\",\"stride\":2}]", DN_E_FORMAT, "\"kernel\""},
    {"[{\"op\":\"maxpool\",\"kernel\":2}]", DN_E_FORMAT, "\"stride\""},
    {"[{\"op\":\"maxpool\",\"kernel\":[2,2,2],\"stride\":2}]", DN_E_FORMAT, "\"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":65,\"stride\":2}]", DN_E_FORMAT, "\"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":[3,2],\"stride\":2,\"pad\":2}]", DN_E_FORMAT, "smaller than \"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":[3,2],\"stride\":2,\"pad\":[3,0,0,0]}]", DN_E_FORMAT, "smaller than \"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":[3,2],\"stride\":2,\"pad\":[0,0,3,0]}]", DN_E_FORMAT, "smaller than \"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":[3,2],\"stride\":2,\"pad\":[0,0,0,2]}]", DN_E_FORMAT, "smaller than \"kernel\""},
    {"[{\"op\":\"avgpool\",\"kernel\":2,\"stride\":2,\"pad\":\"x\"}]", DN_E_FORMAT, "\"pad\""},
};

START_TEST(bad_lists_are_refused)
{
    draft d = one_conv(bad_lists[_i].layers);

    refuse(&d, 64, 1, bad_lists[_i].status, bad_lists[_i].message);
}
END_TEST

START_TEST(long_lists_are_bounded)
{
    char *text = malloc(64 * 300), *end = text;
    draft d = {.layers = text};

    for (int i = 0; i < 257; i++)
        end += sprintf(end, "%s{\"op\":\"relu\"}", i ? "," : "[");
    strcpy(end, "]");
    refuse(&d, 64, 1, DN_E_FORMAT, "1 to 256 layers");
    strcpy(end - strlen(",{\"op\":\"relu\"}"), "]");
    dn_extractor *extractor = accept(&d, 64, 1);
    ck_assert_int_eq(extractor->layer_count, 256);
    ck_assert_int_eq(extractor->parameters, 0);
    ck_assert_int_eq(extractor->feature_dim, 3);
    extractor_unref(extractor);
    free(text);
}
END_TEST

START_TEST(long_features_are_refused)
{
    draft d = {.tensors = {{"w", 4, {400, 3, 1, 1}}}, .layers = "[{\"op\":\"conv\",\"weight\":\"w\",\"tap\":true}"};
    char text[8192];
    char *end = text + sprintf(text, "%s", d.layers);

    for (int i = 0; i < 40; i++)
        end += sprintf(end, ",{\"op\":\"relu\",\"tap\":true}");
    strcpy(end, "]");
    d.layers = text;
    extractor_unref(accept(&d, 64, 3));
    refuse(&d, 64, 4, DN_E_UNSUPPORTED, "more than 65536");
}
END_TEST

/* ---- metadata ---- */

START_TEST(metadata_is_read)
{
    draft d = one_conv("[" CONV "}]");

    d.key = "differnet.std";
    d.value = "[0.5, 1, 2e-1]";
    dn_extractor *extractor = accept(&d, 64, 1);
    ck_assert_float_eq(extractor->std[0], 0.5f);
    ck_assert_float_eq(extractor->std[1], 1.0f);
    ck_assert_float_eq(extractor->std[2], 0.2f);
    extractor_unref(extractor);
    d.key = "name";
    d.value = "tile\tnet";
    extractor = accept(&d, 64, 1);
    ck_assert_str_eq(extractor->name, "tile net");
    extractor_unref(extractor);
    /* 64 bytes hold 62 letters and not the half of a two-byte character. */
    d.value = "01234567890123456789012345678901234567890123456789012345678901\xC3\xA4";
    extractor = accept(&d, 64, 1);
    ck_assert_uint_eq(strlen(extractor->name), 62);
    extractor_unref(extractor);
    d.key = "differnet.random";
    d.value = "1";
    extractor = accept(&d, 64, 1);
    ck_assert_int_eq(extractor->random, 1);
    extractor_unref(extractor);
}
END_TEST

START_TEST(bad_metadata_is_refused)
{
    const char *bad[][2] = {
        {"differnet.std", "[1, 1, 0]"}, {"differnet.std", "[1, 1, -1]"},     {"differnet.std", "[1, 1]"},
        {"differnet.std", "[1, 1, 1"},  {"differnet.mean", "[1, 1, \"1\"]"}, {"differnet.mean", "[1, 1, 1e40]"},
        {"differnet.mean", "0.5"},      {"differnet.mean", "[0, 0, 1e400]"}, {"differnet.random", "yes"},
        {"differnet.random", ""},       {"differnet.mean", "[1, 1, 1, 1]"},  {"differnet.mean", "[0, -1.001e30, 0]"},
    };
    draft edge = one_conv("[" CONV "}]");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        draft d = one_conv("[" CONV "}]");
        d.key = bad[i][0];
        d.value = bad[i][1];
        refuse(&d, 64, 1, DN_E_FORMAT, bad[i][0]);
    }
    edge.key = "differnet.mean";
    edge.value = "[1e30, -1e30, 0]";
    dn_extractor *extractor = accept(&edge, 64, 1);
    ck_assert(extractor->mean[0] == 1e30f && extractor->mean[1] == -1e30f && extractor->mean[2] == 0);
    extractor_unref(extractor);
}
END_TEST

/* ---- random ---- */

START_TEST(random_is_seeded)
{
    const int32_t channels[5] = {4, 6, 8, 6, 64};
    dn_extractor_options options = make_options(256, 3);
    dn_extractor *a, *b, *c;

    ck_ok(extractor_random(channels, 7, &options, &a, NULL));
    ck_ok(extractor_random(channels, 7, &options, &b, NULL));
    ck_ok(extractor_random(channels, 8, &options, &c, NULL));
    ck_assert_uint_eq(a->id, b->id);
    ck_assert_uint_ne(a->id, c->id);
    ck_assert_int_eq(a->random, 1);
    ck_assert_str_eq(a->name, "random AlexNet (seed 7)");
    ck_assert_int_eq(a->feature_dim, 192);
    /* He: variance 2 / fan-in, zero bias. */
    const conv_spec *conv = &a->layers[10].conv;
    int count = 3 * 3 * 6 * 64;
    double sum = 0, square = 0;
    for (int i = 0; i < count; i++) {
        sum += (double)conv->weight[i];
        square += (double)conv->weight[i] * (double)conv->weight[i];
    }
    ck_assert_double_eq_tol(sum / count, 0, 0.02);
    ck_assert_double_eq_tol(square / count * 54 / 2, 1, 0.1);
    for (int i = 0; i < 64; i++)
        ck_assert_float_eq(conv->bias[i], 0);
    extractor_unref(a);
    extractor_unref(b);
    extractor_unref(c);

    const int32_t none[5] = {4, 6, 0, 6, 10}, many[5] = {4, 4097, 8, 6, 10};
    dn_error error;
    ck_status(extractor_random(none, 0, &options, &a, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "channels[2] is 0"));
    ck_status(extractor_random(many, 0, &options, &a, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(a);
}
END_TEST

/* ---- writing ---- */

static dn_blob *save(const dn_extractor *extractor, const char *prefix, enum st_type stored)
{
    st_writer *writer = st_writer_create(&extractor->allocator);
    float *scratch = NULL;
    dn_blob *blob = NULL;

    ck_assert_ptr_nonnull(writer);
    ck_ok(extractor_to_tensors(extractor, prefix, stored, writer, &scratch, NULL));
    ck_ok(st_writer_save_memory(writer, &blob, NULL));
    st_writer_free(writer);
    mem_free(&extractor->allocator, scratch);
    return blob;
}

static void check_equal(const dn_extractor *a, const dn_extractor *b)
{
    ck_assert_uint_eq(a->id, b->id);
    ck_assert_str_eq(a->layer_text, b->layer_text);
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->random, b->random);
    ck_assert_int_eq(a->parameters, b->parameters);
    ck_assert_mem_eq(a->mean, b->mean, sizeof a->mean);
    ck_assert_mem_eq(a->std, b->std, sizeof a->std);
}

START_TEST(written_is_read_again)
{
    draft d = one_conv("[" CONV ",\"pad\":[0,1,2,1]},{\"op\":\"relu6\",\"tap\":true},{\"op\":\"maxpool\",\"kernel\":3,"
                       "\"stride\":2},{\"op\":\"conv\",\"weight\":\"d.weight\",\"groups\":4},"
                       "{\"op\":\"conv\",\"weight\":\"b.weight\",\"tap\":true}]");
    d.key = "differnet.mean";
    d.value = "[0.1, 0.333333333, -7e-3]";
    dn_extractor_options options = make_options(64, 2);
    const char *prefixes[] = {"", "backbone."};

    for (int i = 0; i < 2; i++) {
        dn_extractor *extractor = accept(&d, 64, 2), *again;
        dn_error error = {0};
        dn_blob *blob = save(extractor, prefixes[i], ST_F32);
        dn_status status = load_blob(blob, prefixes[i], &options, &again, &error);
        ck_assert_msg(status == DN_OK, "%s", error.message);
        check_equal(extractor, again);
        blob_free(blob);
        extractor_unref(again);
        extractor_unref(extractor);
    }
}
END_TEST

START_TEST(written_as_half)
{
    const int32_t channels[5] = {4, 6, 8, 6, 10};
    dn_extractor_options options = make_options(256, 3);
    dn_extractor *extractor, *half, *again;

    ck_ok(extractor_random(channels, 3, &options, &extractor, NULL));
    dn_blob *blob = save(extractor, "", ST_F16);
    ck_ok(load_blob(blob, "", &options, &half, NULL));
    ck_assert_uint_lt(blob->size, (size_t)extractor->parameters * 2 + 4096);
    blob_free(blob);
    ck_assert_int_eq(half->random, 1);
    ck_assert_uint_ne(half->id, extractor->id);
    size_t count = 11 * 11 * 3 * 4;
    ck_assert_double_lt(max_abs_difference(half->layers[0].conv.weight, extractor->layers[0].conv.weight, count),
                        max_abs(extractor->layers[0].conv.weight, count) / 2048);
    /* Rounded once, the weights stay as they are. */
    blob = save(half, "", ST_F16);
    ck_ok(load_blob(blob, "", &options, &again, NULL));
    check_equal(half, again);
    blob_free(blob);
    extractor_unref(again);
    extractor_unref(half);
    extractor_unref(extractor);
}
END_TEST

/* ---- memory ---- */

START_TEST(allocations_may_fail)
{
    draft d = small_alexnet();
    dn_blob *blob = write_draft(&d);
    dn_status status = DN_E_MEMORY;
    long fail_at = 0;

    while (status == DN_E_MEMORY) {
        failing_memory memory = {.fail_at = ++fail_at};
        dn_allocator allocator = failing_allocator(&memory);
        dn_extractor_options options = make_options(256, 3);
        dn_extractor *extractor = NULL;
        dn_error error = {0};
        options.allocator = &allocator;
        status = load_blob(blob, "", &options, &extractor, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert((status == DN_OK) == (extractor != NULL));
        extractor_unref(extractor);
        ck_assert_int_eq(memory.live, 0);
    }
    ck_ok(status);
    ck_assert_int_gt(fail_at, 5);
    blob_free(blob);
}
END_TEST

START_TEST(writing_may_run_out_of_memory)
{
    draft d = small_alexnet();
    dn_blob *source = write_draft(&d);
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor_options options = make_options(256, 3);
    dn_extractor *extractor;
    dn_status status = DN_E_MEMORY;
    long fail_at = 0;

    options.allocator = &allocator;
    ck_ok(load_blob(source, "", &options, &extractor, NULL));
    while (status == DN_E_MEMORY) {
        memory.calls = 0;
        memory.fail_at = ++fail_at;
        float *scratch = NULL;
        dn_blob *blob = NULL;
        st_writer *writer = st_writer_create(&allocator);
        if (!writer)
            continue;
        status = extractor_to_tensors(extractor, "", ST_F32, writer, &scratch, NULL);
        if (status == DN_OK)
            status = st_writer_save_memory(writer, &blob, NULL);
        st_writer_free(writer);
        mem_free(&allocator, scratch);
        blob_free(blob);
    }
    ck_ok(status);
    ck_assert_int_gt(fail_at, 3);
    extractor_unref(extractor);
    ck_assert_int_eq(memory.live, 0);
    blob_free(source);
}
END_TEST

START_TEST(references_count)
{
    draft d = small_alexnet();
    dn_blob *blob = write_draft(&d);
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor_options options = make_options(256, 3);
    dn_extractor *extractor;

    options.allocator = &allocator;
    ck_ok(load_blob(blob, "", &options, &extractor, NULL));
    ck_assert_ptr_eq(extractor_ref(extractor), extractor);
    extractor_unref(extractor);
    ck_assert_int_gt(memory.live, 0);
    ck_assert_int_eq(extractor->layer_count, 13);
    extractor_unref(extractor);
    ck_assert_int_eq(memory.live, 0);
    extractor_unref(NULL);
    blob_free(blob);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("extractor");
    TCase *tcase = tcase_create("extractor");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, alexnet_is_recognised);
    tcase_add_test(tcase, alexnet_variants_are_equal);
    tcase_add_test(tcase, broken_alexnet_is_refused);
    tcase_add_test(tcase, other_kinds_are_refused);
    tcase_add_test(tcase, names_are_shown);
    tcase_add_test(tcase, sizes_are_checked);
    tcase_add_test(tcase, work_is_bounded);
    tcase_add_test(tcase, options_are_checked);
    tcase_add_test(tcase, lists_are_read);
    tcase_add_test(tcase, layer_list_marks_maps);
    tcase_add_loop_test(tcase, bad_lists_are_refused, 0, (int)(sizeof bad_lists / sizeof bad_lists[0]));
    tcase_add_test(tcase, long_lists_are_bounded);
    tcase_add_test(tcase, long_features_are_refused);
    tcase_add_test(tcase, metadata_is_read);
    tcase_add_test(tcase, bad_metadata_is_refused);
    tcase_add_test(tcase, random_is_seeded);
    tcase_add_test(tcase, written_is_read_again);
    tcase_add_test(tcase, written_as_half);
    tcase_add_test(tcase, allocations_may_fail);
    tcase_add_test(tcase, writing_may_run_out_of_memory);
    tcase_add_test(tcase, references_count);
    suite_add_tcase(suite, tcase);
    return suite;
}

TEST_MAIN(make_suite)
