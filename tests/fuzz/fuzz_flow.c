/* Fuzz target: flow files, and the flow that a valid one holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "differnet.h"
#include "fuzz.h"

static dn_status open_with(const uint8_t *data, size_t size, const dn_allocator *allocator)
{
    dn_flow *flow;
    dn_status status = dn_flow_open_memory(data, size, allocator, &flow, NULL);

    dn_blob *blob = NULL;
    if (status == DN_OK)
        status = dn_flow_save_memory(flow, &blob, NULL);
    dn_blob_free(blob);
    dn_flow_unref(flow);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dn_flow_options info;
    dn_flow *flow;
    dn_error error = {0};

    dn_status status = dn_flow_open_memory(data, size, NULL, &flow, &error);
    fuzz_fail_allocations(open_with, data, size, status);
    if (status != DN_OK) {
        fuzz_require(!flow && error.status == status && error.message[0], "an error is described");
        return 0;
    }
    dn_flow_options_init(&info);
    fuzz_require(dn_flow_get_info(flow, &info) == DN_OK, "info");
    fuzz_require(info.dimension >= 2 && info.dimension <= 65536 && info.blocks >= 1 && info.hidden >= 1, "sizes");
    float *x = malloc((size_t)info.dimension * sizeof *x), logdet;
    fuzz_require(x != NULL, "memory");
    for (int32_t i = 0; i < info.dimension; i++)
        x[i] = (float)(i % 7) - 3;
    if (dn_flow_forward(flow, x, 1, x, &logdet, &error) == DN_OK) {
        fuzz_require(isfinite(logdet) && isfinite(x[0]), "results are finite");
        status = dn_flow_inverse(flow, x, 1, x, &error);
        fuzz_require(status == DN_OK || error.message[0], "an error is described");
    }
    free(x);
    dn_flow_unref(flow);
    return 0;
}

uint8_t *fuzz_seed(int index, size_t *size)
{
    dn_flow_options options;
    dn_flow *flow;
    dn_blob *blob;

    if (index >= 2)
        return NULL;
    dn_flow_options_init(&options);
    options.dimension = index ? 10 : 4;
    options.blocks = index ? 1 : 2;
    options.hidden = 3;
    fuzz_require(dn_flow_create(&options, &flow, NULL) == DN_OK, "flow");
    fuzz_require(dn_flow_save_memory(flow, &blob, NULL) == DN_OK, "saving");
    *size = dn_blob_size(blob);
    uint8_t *bytes = malloc(*size);
    fuzz_require(bytes != NULL, "memory");
    memcpy(bytes, dn_blob_data(blob), *size);
    dn_blob_free(blob);
    dn_flow_unref(flow);
    return bytes;
}

void fuzz_repair(uint8_t *data, size_t size)
{
    fuzz_repair_sums(data, size);
}
