/* Fuzz target: layer lists.  The input is the list's text; the file around it has tensors a (2, 3, 3, 3), b (2),
 * d (2, 1, 3, 3), p (4, 2, 1, 1), q (3, 3, 1, 1), v (2, 2, 3, 2).  What a valid list describes is computed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define SIDE 64
#define MAX_TEXT 8192

static const char tensors[] = "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3,3,3],\"data_offsets\":[0,216]},"
                              "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[216,224]},"
                              "\"d\":{\"dtype\":\"F32\",\"shape\":[2,1,3,3],\"data_offsets\":[224,296]},"
                              "\"p\":{\"dtype\":\"F16\",\"shape\":[4,2,1,1],\"data_offsets\":[296,312]},"
                              "\"q\":{\"dtype\":\"F32\",\"shape\":[3,3,1,1],\"data_offsets\":[312,348]},"
                              "\"v\":{\"dtype\":\"F32\",\"shape\":[2,2,3,2],\"data_offsets\":[348,444]}}";
#define DATA 444

/* The list as a JSON string within the header. */
static char *header_of(const uint8_t *data, size_t size)
{
    char *header = malloc(6 * size + sizeof tensors + 64), *to = header;

    fuzz_require(header != NULL, "memory");
    to += sprintf(to, "{\"__metadata__\":{\"differnet.layers\":\"");
    for (size_t i = 0; i < size; i++)
        if (data[i] == '"' || data[i] == '\\')
            to += sprintf(to, "\\%c", data[i]);
        else if (data[i] < ' ')
            to += sprintf(to, "\\u%04x", data[i]);
        else
            *to++ = (char)data[i];
    sprintf(to, "\"},%s", tensors);
    return header;
}

/* A view's features, its maps, and the gradient; and the same network from its own file has the same features. */
static void use(const dn_extractor *extractor, int32_t dimension)
{
    static float view[SIDE * SIDE * 3], gradient[SIDE * SIDE * 3];
    float *features = malloc(2 * (size_t)dimension * sizeof *features), *again = features + dimension;
    dn_maps_info maps;
    dn_error error = {0};

    fuzz_require(features != NULL, "memory");
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        view[i] = (float)(i % 19) / 19;
    dn_status status = dn_extractor_features(extractor, view, 1, features, &error);
    fuzz_require(status == DN_OK || error.message[0], "an error is described");
    for (int32_t i = 0; status == DN_OK && i < dimension; i++)
        fuzz_require(isfinite(features[i]), "a feature is finite");
    dn_maps_info_init(&maps);
    if (dn_extractor_get_maps_info(extractor, &maps) == DN_OK) {
        size_t floats = (size_t)maps.rows * (size_t)maps.columns * (size_t)maps.channels;
        fuzz_require(maps.rows >= 1 && maps.columns >= 1 && maps.channels >= 1 && floats < 1 << 24, "a grid");
        float *map = malloc(floats * sizeof *map);
        fuzz_require(map != NULL, "memory");
        if (dn_extractor_maps(extractor, view, 1, map, NULL) == DN_OK)
            for (size_t i = 0; i < floats; i++)
                fuzz_require(isfinite(map[i]), "a map is finite");
        free(map);
    }
    dn_extractor *copy;
    dn_extractor_options options;
    dn_blob *blob;
    dn_extractor_options_init(&options);
    options.input_size = SIDE;
    options.scales = 1;
    fuzz_require(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &blob, NULL) == DN_OK, "saving");
    fuzz_require(dn_extractor_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, &copy, &error) == DN_OK,
                 error.message);
    dn_blob_free(blob);
    if (status == DN_OK) {
        fuzz_require(dn_extractor_features(copy, view, 1, again, NULL) == DN_OK, "features of the copy");
        fuzz_require(!memcmp(features, again, (size_t)dimension * sizeof *features), "a copy has the same features");
    }
    dn_extractor_unref(copy);
    for (int32_t i = 0; i < dimension; i++)
        features[i] = 1;
    status = dn_extractor_gradient(extractor, view, 1, features, gradient, &error);
    fuzz_require(status == DN_OK || error.message[0], "an error is described");
    free(features);
}

static void choose(dn_extractor_options *options, const dn_allocator *allocator)
{
    dn_extractor_options_init(options);
    options->input_size = SIDE;
    options->scales = 1;
    options->allocator = allocator;
}

static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    dn_extractor_options options;
    dn_extractor *extractor;

    choose(&options, allocator);
    dn_status status = dn_extractor_open_memory(data, size, &options, &extractor, NULL);
    dn_extractor_unref(extractor);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_extractor_options options;
    dn_extractor_info info;
    dn_extractor *extractor;
    dn_error error = {0};
    size_t file_size;

    if (size > MAX_TEXT)
        return 0;
    char *header = header_of(data, size);
    uint8_t *file = fuzz_container(header, DATA, &file_size);
    free(header);
    choose(&options, NULL);
    dn_status status = dn_extractor_open_memory(file, file_size, &options, &extractor, &error);
    fuzz_fail_allocations(open_with, file, file_size, status);
    free(file);
    fuzz_require((status == DN_OK) == (extractor != NULL), "an extractor, or an error");
    if (status != DN_OK) {
        fuzz_require(error.status == status && error.message[0], "an error is described");
        return 0;
    }
    dn_extractor_info_init(&info);
    fuzz_require(dn_extractor_get_info(extractor, &info) == DN_OK && info.feature_dim >= 1, "info");
    use(extractor, info.feature_dim);
    dn_extractor_unref(extractor);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    /* Apostrophes stand for quotes. */
    static const char *const lists[] = {
        ("[{'op':'conv','weight':'a','bias':'b','stride':2,'pad':[0,1,0,1],'name':'first'},{'op':'relu6','map':true},"
         "{'op':'conv','weight':'d','groups':2,'pad':1},{'op':'relu','tap':true},"
         "{'op':'maxpool','kernel':3,'stride':2,'pad':1},{'op':'avgpool','kernel':[2,1],'stride':2},"
         "{'op':'conv','weight':'p','tap':true}]"),
        ("[{'op':'conv','weight':'q'},{'op':'relu'},{'op':'conv','weight':'a','stride':4,'pad':1},"
         "{'op':'conv','weight':'v','pad':[2,1,0,0],'stride':1},{'op':'relu','map':true,'tap':true}]"),
        "[{'op':'maxpool','kernel':64,'stride':64},{'op':'avgpool','kernel':1,'stride':1}]",
        "[{'op':'relu','tap':false},{'op':'conv','weight':'missing'}]",
        "[{'op':'conv','weight':'a','dilation':2}]",
        "[{'op':'softmax'}]",
        "[]",
    };

    if ((size_t)index >= sizeof lists / sizeof *lists)
        return NULL;
    *size = strlen(lists[index]);
    uint8_t *seed = malloc(*size);
    fuzz_require(seed != NULL, "memory");
    for (size_t i = 0; i < *size; i++)
        seed[i] = (uint8_t)(lists[index][i] == '\'' ? '"' : lists[index][i]);
    return seed;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
}
