/* Fuzz target: backbone files, and the network that a valid one describes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

#define SIDE 64

/* One view through the network, and the gradient back. */
static void use(const dn_extractor *extractor)
{
    dn_extractor_info info;
    dn_error error = {0};
    const char *value;
    float *view = calloc(SIDE * SIDE * 3, sizeof *view), *gradient = calloc(SIDE * SIDE * 3, sizeof *gradient);

    dn_extractor_info_init(&info);
    fuzz_require(dn_extractor_get_info(extractor, &info) == DN_OK, "info");
    fuzz_require(info.feature_dim >= 1 && info.input_size == SIDE, "sizes");
    for (int32_t i = 0; i < info.taps; i++)
        fuzz_require(dn_extractor_tap_name(extractor, i) != NULL, "name of each tap");
    for (int32_t i = 0; dn_extractor_metadata(extractor, i, &value); i++)
        fuzz_require(strlen(value) < UINT32_MAX, "metadata are texts");
    float *features = malloc((size_t)info.feature_dim * sizeof *features);
    fuzz_require(view && gradient && features, "memory");
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        view[i] = (float)(i % 19) / 19;
    if (dn_extractor_features(extractor, view, 1, features, &error) == DN_OK)
        for (int32_t i = 0; i < info.feature_dim; i++)
            fuzz_require(isfinite(features[i]), "a feature is finite");
    for (int32_t i = 0; i < info.feature_dim; i++)
        features[i] = 1;
    dn_status status = dn_extractor_gradient(extractor, view, 1, features, gradient, &error);
    fuzz_require(status == DN_OK || error.message[0], "an error is described");
    free(features);
    free(gradient);
    free(view);
}

/* Opens and saves, which takes memory of this allocator. */
static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    dn_extractor_options options;
    dn_extractor *extractor;

    dn_extractor_options_init(&options);
    options.input_size = SIDE;
    options.scales = 1;
    options.allocator = allocator;
    dn_status status = dn_extractor_open_memory(data, size, &options, &extractor, NULL);
    dn_blob *blob = NULL;
    if (status == DN_OK)
        status = dn_extractor_save_memory(extractor, data[size - 1] % 2 ? DN_STORAGE_F16 : DN_STORAGE_F32, &blob, NULL);
    dn_blob_free(blob);
    dn_extractor_unref(extractor);
    return status;
}

/* A backbone that is saved can be opened: the status of saving. */
static dn_status save(const dn_extractor *extractor, int32_t storage)
{
    dn_extractor_options options;
    dn_extractor *again;
    dn_blob *blob;
    dn_error error = {0};

    dn_status status = dn_extractor_save_memory(extractor, storage, &blob, &error);
    fuzz_require((status == DN_OK) == (blob != NULL), "bytes, or a failure");
    if (status != DN_OK) {
        fuzz_require(error.status == status && error.message[0], "an error is described");
        return status;
    }
    dn_extractor_options_init(&options);
    options.input_size = SIDE;
    options.scales = 1;
    fuzz_require(dn_extractor_open_memory(dn_blob_data(blob), dn_blob_size(blob), &options, &again, &error) == DN_OK,
                 error.message);
    dn_extractor_unref(again);
    dn_blob_free(blob);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_error error = {0};

    dn_extractor_options_init(&options);
    options.input_size = SIDE;
    options.scales = 1;
    dn_status status = dn_extractor_open_memory(data, size, &options, &extractor, &error);
    if (status != DN_OK) {
        fuzz_require(!extractor && error.status == status && error.message[0], "an error is described");
        fuzz_fail_allocations(open_with, data, size, status);
        return 0;
    }
    fuzz_fail_allocations(open_with, data, size, save(extractor, data[size - 1] % 2 ? DN_STORAGE_F16 : DN_STORAGE_F32));
    dn_extractor_info info;
    dn_extractor_info_init(&info);
    if (dn_extractor_get_info(extractor, &info) == DN_OK && info.parameters < 100000)
        use(extractor);
    dn_extractor_unref(extractor);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    /* Convolution, depthwise convolution, both poolings, two taps. */
    static const char listed[] = "{\"__metadata__\":{\"note\":\"\\u00e9\",\"differnet.layers\":\"["
                                 "{\\\"op\\\":\\\"conv\\\",\\\"weight\\\":\\\"a\\\",\\\"bias\\\":\\\"ab\\\","
                                 "\\\"stride\\\":2,\\\"pad\\\":[0,1,0,1]},"
                                 "{\\\"op\\\":\\\"relu6\\\"},"
                                 "{\\\"op\\\":\\\"conv\\\",\\\"weight\\\":\\\"d\\\",\\\"groups\\\":2,\\\"pad\\\":1},"
                                 "{\\\"op\\\":\\\"relu\\\",\\\"tap\\\":true},"
                                 "{\\\"op\\\":\\\"maxpool\\\",\\\"kernel\\\":3,\\\"stride\\\":2,\\\"pad\\\":1},"
                                 "{\\\"op\\\":\\\"avgpool\\\",\\\"kernel\\\":2,\\\"stride\\\":2},"
                                 "{\\\"op\\\":\\\"conv\\\",\\\"weight\\\":\\\"p\\\",\\\"tap\\\":true}]\"},"
                                 "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3,3,3],\"data_offsets\":[0,216]},"
                                 "\"ab\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[216,224]},"
                                 "\"d\":{\"dtype\":\"F32\",\"shape\":[2,1,3,3],\"data_offsets\":[224,296]},"
                                 "\"p\":{\"dtype\":\"F16\",\"shape\":[4,2,1,1],\"data_offsets\":[296,312]}}";

    return index == 0 ? fuzz_container(listed, 312, size) : NULL;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    fuzz_repair_header(data, size);
}
