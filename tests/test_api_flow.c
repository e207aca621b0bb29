/* dn_flow_*: arguments, files, sampling, likelihood. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static dn_flow_options small_options(void)
{
    dn_flow_options options;

    dn_flow_options_init(&options);
    options.dimension = 6;
    options.blocks = 2;
    options.hidden = 5;
    options.seed = 18446744073709551615u;
    options.clamp = 1.7;
    return options;
}

static dn_flow *small_flow(void)
{
    dn_flow_options options = small_options();
    dn_flow *flow = NULL;

    ck_ok(dn_flow_create(&options, &flow, NULL));
    return flow;
}

/* Values between -1.5 and 1.5 that look random. */
static void fill(float *values, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) * (3.0f / 16777216.0f) - 1.5f;
    }
}

/* ---- creation ---- */

START_TEST(has_the_documented_defaults)
{
    dn_flow_options options;

    dn_flow_options_init(&options);
    ck_assert_uint_eq(options.struct_size, sizeof options);
    ck_assert_int_eq(options.dimension, 768);
    ck_assert_int_eq(options.blocks, 8);
    ck_assert_int_eq(options.hidden, 512);
    ck_assert(options.clamp == 3);
    ck_assert_uint_eq(options.seed, 0);
    ck_assert_ptr_null(options.allocator);
}
END_TEST

static void refused(const dn_flow_options *options, const char *word)
{
    dn_flow *flow = (dn_flow *)(uintptr_t)8;
    dn_error error = {0};

    ck_status(dn_flow_create(options, &flow, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(flow);
    ck_assert_int_eq(error.status, DN_E_ARGUMENT);
    ck_assert_msg(strstr(error.message, word) != NULL, "%s", error.message);
}

START_TEST(refuses_options_out_of_range)
{
    static const int32_t dimensions[] = {0, 1, 3, -2, 65538}, blocks[] = {0, -1, 65}, widths[] = {0, -1, 16385};
    const double clamps[] = {0, -1, 100.1, NAN, INFINITY, 1e-60};
    static const dn_allocator half = {0};
    dn_flow_options o;

    for (int i = 0; i < 5; i++)
        o = small_options(), o.dimension = dimensions[i], refused(&o, "dimension");
    for (int i = 0; i < 3; i++)
        o = small_options(), o.blocks = blocks[i], refused(&o, "blocks");
    for (int i = 0; i < 3; i++)
        o = small_options(), o.hidden = widths[i], refused(&o, "hidden");
    for (int i = 0; i < 6; i++)
        o = small_options(), o.clamp = clamps[i], refused(&o, "clamp");
    o = small_options(), o.struct_size = 3, refused(&o, "struct_size");
    o = small_options(), o.allocator = &half, refused(&o, "allocator");
}
END_TEST

START_TEST(refuses_null)
{
    dn_flow *flow = small_flow(), *opened = flow;
    dn_flow_options info;
    dn_blob *blob;
    dn_error error = {0};
    float x[6] = {0};
    double likelihood;

    dn_flow_options_init(&info);
    ck_status(dn_flow_create(NULL, NULL, &error), DN_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "out is NULL"));
    ck_status(dn_flow_open_path(NULL, NULL, &opened, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(opened);
    ck_status(dn_flow_open_path("x", NULL, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_flow_open_memory(x, 1, NULL, NULL, NULL), DN_E_ARGUMENT);
    ck_status(dn_flow_save(NULL, "x", &error), DN_E_ARGUMENT);
    ck_status(dn_flow_save(flow, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_save_memory(NULL, &blob, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(blob);
    ck_status(dn_flow_save_memory(flow, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_get_info(NULL, &info), DN_E_ARGUMENT);
    ck_status(dn_flow_get_info(flow, NULL), DN_E_ARGUMENT);
    ck_status(dn_flow_forward(NULL, x, 1, x, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_forward(flow, NULL, 1, x, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_forward(flow, x, 1, NULL, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_inverse(flow, NULL, 1, x, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_sample(flow, 0, 1, NULL, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_log_likelihood(flow, NULL, 1, &likelihood, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_gradient(flow, x, 1, NULL, NULL, x, &error), DN_E_ARGUMENT);
    ck_assert_ptr_null(dn_flow_ref(NULL));
    dn_flow_unref(NULL);
    dn_flow_unref(flow);
}
END_TEST

START_TEST(tells_its_configuration)
{
    dn_flow *flow = small_flow();
    dn_flow_options info;

    dn_flow_options_init(&info);
    ck_ok(dn_flow_get_info(flow, &info));
    ck_assert_int_eq(info.dimension, 6);
    ck_assert_int_eq(info.blocks, 2);
    ck_assert_int_eq(info.hidden, 5);
    ck_assert(info.clamp == 1.7);
    ck_assert_uint_eq(info.seed, 18446744073709551615u);
    dn_flow_unref(flow);
}
END_TEST

/* ---- use ---- */

START_TEST(refuses_bad_rows)
{
    enum { N = 3 };
    dn_flow *flow = small_flow();
    float x[N * 6], z[N * 6], logdet[N] = {0};
    double likelihood[N];
    dn_error error = {0};

    fill(x, N * 6, 1);
    ck_status(dn_flow_forward(flow, x, 0, z, logdet, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_inverse(flow, x, -1, z, &error), DN_E_ARGUMENT);
    ck_status(dn_flow_sample(flow, 1, 0, z, &error), DN_E_ARGUMENT);
    x[13] = NAN;
    ck_status(dn_flow_forward(flow, x, N, z, logdet, &error), DN_E_NUMERIC);
    ck_assert_msg(strstr(error.message, "row 2") != NULL, "%s", error.message);
    ck_status(dn_flow_inverse(flow, x, N, z, &error), DN_E_NUMERIC);
    ck_status(dn_flow_log_likelihood(flow, x, N, likelihood, &error), DN_E_NUMERIC);
    ck_status(dn_flow_gradient(flow, x, N, z, NULL, z, &error), DN_E_NUMERIC);
    x[13] = -INFINITY;
    ck_status(dn_flow_forward(flow, x, N, z, logdet, &error), DN_E_NUMERIC);
    for (int i = 12; i < 18; i++)
        x[i] = 3e38f; /* finite, but not what becomes of it */
    ck_status(dn_flow_log_likelihood(flow, x, N, likelihood, &error), DN_E_NUMERIC);
    ck_assert_msg(strstr(error.message, "the log-likelihood of row 2 is not finite") != NULL, "%s", error.message);
    fill(x, N * 6, 1);
    x[13] = 0;
    logdet[1] = NAN;
    fill(z, N * 6, 2);
    ck_status(dn_flow_gradient(flow, x, N, z, logdet, z, &error), DN_E_NUMERIC);
    ck_assert_msg(strstr(error.message, "logdet_gradient") != NULL, "%s", error.message);
    ck_ok(dn_flow_forward(flow, x, N, z, NULL, &error));
    z[7] = INFINITY;
    ck_status(dn_flow_gradient(flow, x, N, z, NULL, z, &error), DN_E_NUMERIC);
    ck_assert_msg(strstr(error.message, "z_gradient holds NaN or infinity in row 1") != NULL, "%s", error.message);
    dn_flow_unref(flow);
}
END_TEST

START_TEST(forward_then_inverse)
{
    enum { N = 70 };
    dn_flow *flow = small_flow();
    float x[N * 6], z[N * 6], back[N * 6];

    fill(x, N * 6, 3);
    ck_ok(dn_flow_forward(flow, x, N, z, NULL, NULL));
    ck_ok(dn_flow_inverse(flow, z, N, back, NULL));
    ck_assert_double_gt(max_abs_difference(x, z, N * 6), 0.1);
    ck_assert_double_lt(max_abs_difference(x, back, N * 6), 2e-6);
    dn_flow_unref(flow);
}
END_TEST

START_TEST(samples_depend_on_the_seed_alone)
{
    enum { N = 200 };
    dn_flow *flow = small_flow();
    float x[N * 6], few[2 * 6], other[2 * 6], z[N * 6];
    double sum = 0, squares = 0;

    ck_ok(dn_flow_sample(flow, 5, N, x, NULL));
    ck_ok(dn_flow_sample(flow, 5, 2, few, NULL));
    ck_ok(dn_flow_sample(flow, 6, 2, other, NULL));
    ck_assert_mem_eq(x, few, sizeof few);
    ck_assert_mem_ne(x, other, sizeof other);
    ck_ok(dn_flow_forward(flow, x, N, z, NULL, NULL)); /* N(0, 1) again */
    for (int i = 0; i < N * 6; i++) {
        sum += (double)z[i];
        squares += (double)z[i] * (double)z[i];
    }
    ck_assert_double_lt(fabs(sum / (N * 6)), 0.12);
    ck_assert_double_lt(fabs(squares / (N * 6) - 1), 0.2);
    dn_flow_unref(flow);
}
END_TEST

/* exp(log p) over the plane sums to 1: only if both z and logdet are right. */
START_TEST(density_sums_to_one)
{
    enum { SIDE = 161 };
    const double step = 0.1;
    dn_flow_options options = small_options();
    dn_flow *flow;
    float *x = malloc(SIDE * SIDE * 2 * sizeof *x);
    double *likelihood = malloc(SIDE * SIDE * sizeof *likelihood), sum = 0, peak = 0;

    ck_assert(x && likelihood);
    options.dimension = 2;
    options.seed = 4;
    ck_ok(dn_flow_create(&options, &flow, NULL));
    for (int i = 0; i < SIDE * SIDE; i++) {
        x[2 * i] = (float)((i % SIDE - SIDE / 2) * step);
        x[2 * i + 1] = (float)((i / SIDE - SIDE / 2) * step);
    }
    ck_ok(dn_flow_log_likelihood(flow, x, SIDE * SIDE, likelihood, NULL));
    for (int i = 0; i < SIDE * SIDE; i++) {
        sum += exp(likelihood[i]) * step * step;
        peak = fmax(peak, exp(likelihood[i]));
    }
    ck_assert_double_eq_tol(sum, 1, 0.003);
    ck_assert_double_gt(fabs(peak - 0.15915), 0.003); /* and it is not plain N(0, I) */
    free(x);
    free(likelihood);
    dn_flow_unref(flow);
}
END_TEST

START_TEST(gradient_of_the_log_likelihood)
{
    dn_flow *flow = small_flow();
    const float step = 0.01f;
    float x[6], z[6], towards_z[6], gradient[6], without[6], zero[1] = {0}, one[1] = {1};

    fill(x, 6, 9);
    ck_ok(dn_flow_forward(flow, x, 1, z, NULL, NULL));
    for (int i = 0; i < 6; i++)
        towards_z[i] = -z[i];
    ck_ok(dn_flow_gradient(flow, x, 1, towards_z, one, gradient, NULL));
    for (int i = 0; i < 6; i++) {
        double above, below;
        float kept = x[i];
        x[i] = kept + step;
        ck_ok(dn_flow_log_likelihood(flow, x, 1, &above, NULL));
        x[i] = kept - step;
        ck_ok(dn_flow_log_likelihood(flow, x, 1, &below, NULL));
        x[i] = kept;
        ck_assert_double_eq_tol((double)gradient[i], (above - below) / (2 * (double)step), 2e-3);
    }
    ck_ok(dn_flow_gradient(flow, x, 1, towards_z, NULL, without, NULL));
    ck_assert_double_gt(max_abs_difference(gradient, without, 6), 1e-4);
    ck_ok(dn_flow_gradient(flow, x, 1, towards_z, zero, gradient, NULL));
    ck_assert_mem_eq(gradient, without, sizeof without);
    dn_flow_unref(flow);
}
END_TEST

struct shared_use {
    dn_flow *flow;
    const float *x;
    float z[12];
};

static void *use_flow(void *argument)
{
    struct shared_use *use = argument;

    for (int i = 0; i < 10; i++) {
        dn_flow *own = dn_flow_ref(use->flow);
        if (dn_flow_forward(own, use->x, 2, use->z, NULL, NULL) != DN_OK)
            use->z[0] = NAN;
        dn_flow_unref(own);
    }
    return NULL;
}

START_TEST(threads_share_a_flow)
{
    float x[12];
    struct shared_use uses[2] = {{small_flow(), x, {0}}};
    pthread_t threads[2];

    fill(x, 12, 3);
    uses[1] = uses[0];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_flow, &uses[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_mem_eq(uses[0].z, uses[1].z, sizeof uses[0].z);
    ck_assert(isfinite(uses[0].z[0]) && uses[0].z[0] != 0);
    dn_flow_unref(uses[0].flow);
}
END_TEST

/* ---- files ---- */

START_TEST(saves_and_opens)
{
    enum { N = 3 };
    dn_flow *flow = small_flow(), *from_path, *from_memory;
    const char *folder = test_folder(), *path = path_join(folder, "a.safetensors");
    dn_flow_options info;
    dn_blob *blob;
    size_t size;
    float x[N * 6], z[3][N * 6], logdet[3][N];

    ck_ok(dn_flow_save(flow, path, NULL));
    ck_ok(dn_flow_save(flow, path, NULL)); /* again: replaced */
    ck_assert_int_eq(count_files(folder), 1);
    ck_ok(dn_flow_save_memory(flow, &blob, NULL));
    uint8_t *bytes = read_file(path, &size);
    ck_assert_uint_eq(size, dn_blob_size(blob));
    ck_assert_mem_eq(bytes, dn_blob_data(blob), size);
    free(bytes);

    ck_ok(dn_flow_open_path(path, NULL, &from_path, NULL));
    ck_assert_int_eq(remove(path), 0); /* nothing of it is needed any more */
    ck_ok(dn_flow_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &from_memory, NULL));
    dn_blob_free(blob);
    fill(x, N * 6, 3);
    ck_ok(dn_flow_forward(flow, x, N, z[0], logdet[0], NULL));
    ck_ok(dn_flow_forward(from_path, x, N, z[1], logdet[1], NULL));
    ck_ok(dn_flow_forward(from_memory, x, N, z[2], logdet[2], NULL));
    for (int i = 1; i < 3; i++) {
        ck_assert_mem_eq(z[0], z[i], sizeof z[0]);
        ck_assert_mem_eq(logdet[0], logdet[i], sizeof logdet[0]);
    }
    dn_flow_options_init(&info);
    ck_ok(dn_flow_get_info(from_path, &info));
    ck_assert(info.clamp == 1.7 && info.seed == 18446744073709551615u && info.hidden == 5);
    dn_flow_unref(flow);
    dn_flow_unref(from_path);
    dn_flow_unref(from_memory);
}
END_TEST

/* A flow file whose bytes a test may change; free() it. */
static uint8_t *flow_file(size_t *size)
{
    dn_flow *flow = small_flow();
    dn_blob *blob;

    ck_ok(dn_flow_save_memory(flow, &blob, NULL));
    *size = dn_blob_size(blob);
    uint8_t *bytes = malloc(*size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, dn_blob_data(blob), *size);
    dn_blob_free(blob);
    dn_flow_unref(flow);
    return bytes;
}

static size_t data_start(const uint8_t *bytes)
{
    uint64_t length;

    memcpy(&length, bytes, sizeof length);
    return 8 + (size_t)length;
}

static void bad_file(const uint8_t *bytes, size_t size, dn_status expected, const char *word)
{
    const char *path = path_join(test_folder(), "bad.safetensors");
    dn_flow *flow = (dn_flow *)(uintptr_t)8;
    dn_error error = {0};

    write_file(path, bytes, size);
    ck_status(dn_flow_open_path(path, NULL, &flow, &error), expected);
    ck_assert_ptr_null(flow);
    ck_assert_int_eq(error.status, expected);
    ck_assert_msg(strstr(error.message, "bad.safetensors") != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, word) != NULL, "%s", error.message);
}

START_TEST(refuses_headers)
{
    static const struct {
        const char *old, *new;
        dn_status status;
        const char *word;
    } cases[] = {
        {"\"differnet.kind\":\"flow\"", "\"differnet.kind\":\"what\"", DN_E_KIND, "not a flow"},
        {"\"differnet.kind\":\"flow\"", "\"differnet.kinx\":\"flow\"", DN_E_KIND, "not a flow"},
        {"\"differnet.kind\":\"flow\",", "\"differnet.kind\":\"model\"", DN_E_FORMAT, "JSON"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"3\"", DN_E_VERSION, "newer"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"0\"", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.format\":\"2\"", "\"differnet.format\":\"x\"", DN_E_FORMAT, "differnet.format"},
        {"\"differnet.crc32\"", "\"differnet.crc33\"", DN_E_FORMAT, "differnet.crc32"},
        {"\"differnet.header_crc32\"", "\"differnet.header_crc33\"", DN_E_FORMAT, "differnet.header_crc32 is missing"},
        {"\"differnet.flow\"", "\"differnet.flox\"", DN_E_FORMAT, "differnet.flow"},
        {"\\\"dimension\\\":6", "\\\"dimension\\\":7", DN_E_FORMAT, "dimension"},
        {"\\\"dimension\\\":6", "\\\"dimension\\\":8", DN_E_FORMAT, "blocks.0.net2.0.weight"},
        {"\\\"blocks\\\":2", "\\\"blocks\\\":3", DN_E_FORMAT, "blocks.2.net2.0.weight"},
        {"\\\"blocks\\\":2", "\\\"blocks\\\":0", DN_E_FORMAT, "blocks"},
        {"\\\"hidden\\\":5", "\\\"hidden\\\":9", DN_E_FORMAT, "blocks.0.net2.0.weight"},
        {"\\\"hidden\\\":5", "\\\"hidder\\\":5", DN_E_FORMAT, "hidden"},
        /* 5 and 2^32; 5 - 2^32 */
        {"\\\"hidden\\\":5,\\\"clamp\\\":1.7,\\\"seed\\\":\\\"18446744073709551615\\\"",
         "\\\"hidden\\\":4294967301,\\\"clamp\\\":1.7,\\\"seed\\\":\\\"18446744073\\\"", DN_E_FORMAT, "hidden"},
        {"\\\"hidden\\\":5,\\\"clamp\\\":1.7,\\\"seed\\\":\\\"18446744073709551615\\\"",
         "\\\"hidden\\\":-4294967291,\\\"clamp\\\":1.7,\\\"seed\\\":\\\"1844674407\\\"", DN_E_FORMAT, "hidden"},
        {"\\\"clamp\\\":1.", "\\\"clamp\\\":-1", DN_E_FORMAT, "clamp"},
        {"\\\"seed\\\":\\\"1", "\\\"seed\\\":\\\"-", DN_E_FORMAT, "seed"},
        {"\\\"seed\\\":\\\"1", "\\\"seed\\\":\\\"9", DN_E_FORMAT, "seed"},
        {"blocks.1.permutation", "blocks.7.permutation", DN_E_FORMAT, "blocks.1.permutation"},
        {"{\"dtype\":\"U32\"", "{\"dtype\":\"F32\"", DN_E_FORMAT, "permutation"},
        {"blocks.1.net1.3.bias", "blocks.1.net1.4.bias", DN_E_FORMAT, "blocks.1.net1.3.bias"},
    };
    size_t size;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *bytes = flow_file(&size);
        replace_text(bytes, size, cases[i].old, cases[i].new);
        if (!strstr(cases[i].new, "\"model\"")) /* which takes a comma away */
            sign_file(bytes, size);
        bad_file(bytes, size, cases[i].status, cases[i].word);
        free(bytes);
    }
}
END_TEST

START_TEST(refuses_data)
{
    size_t size;
    uint8_t *bytes = flow_file(&size);
    size_t start = data_start(bytes);
    const float nan_value = NAN;
    const uint32_t huge = 6;

    bytes[start + 100] ^= 1;
    bad_file(bytes, size, DN_E_FORMAT, "checksum");
    bytes[start + 100] ^= 1;

    memcpy(bytes + start + 8, &nan_value, sizeof nan_value);
    sign_file(bytes, size);
    bad_file(bytes, size, DN_E_NUMERIC, "blocks.0.net2.0.weight");
    memset(bytes + start + 8, 0, sizeof nan_value);

    memcpy(bytes + size - 4, &huge, sizeof huge); /* the last block's permutation lies last */
    sign_file(bytes, size);
    bad_file(bytes, size, DN_E_FORMAT, "blocks.1.permutation");
    memcpy(bytes + size - 4, bytes + size - 8, 4); /* an entry twice */
    sign_file(bytes, size);
    bad_file(bytes, size, DN_E_FORMAT, "not a permutation");
    free(bytes);
}
END_TEST

/* A safetensors file of one float. */
static size_t tiny_file(uint8_t *bytes, const char *header)
{
    uint64_t length = strlen(header);

    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 0, 4);
    return 8 + length + 4;
}

START_TEST(tells_other_kinds)
{
    uint8_t bytes[256];
    dn_flow *flow;
    dn_error error = {0};
    size_t size = tiny_file(bytes, "{\"features.0.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");

    bad_file(bytes, size, DN_E_KIND, "backbone");
    size = tiny_file(bytes, "{\"__metadata__\":{\"differnet.kind\":\"model\"},"
                            "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    bad_file(bytes, size, DN_E_KIND, "model");
    bad_file((const uint8_t *)"\x89PNG\r\n\x1a\n....", 12, DN_E_FORMAT, "PNG");
    bad_file(bytes, 0, DN_E_FORMAT, "empty");
    ck_status(dn_flow_open_memory(bytes, 5, NULL, &flow, &error), DN_E_FORMAT);
    ck_status(dn_flow_open_path("/nonexistent/flow", NULL, &flow, &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/flow"));
}
END_TEST

START_TEST(survives_truncation_and_flipped_bits)
{
    size_t size;
    uint8_t *bytes = flow_file(&size);
    dn_flow *flow;

    for (size_t length = 0; length < size; length += length < data_start(bytes) ? 7 : 41) {
        uint8_t *part = malloc(length + 1); /* of its own, so that reading too far is noticed */
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, length);
        ck_assert_int_ne(dn_flow_open_memory(part, length, NULL, &flow, NULL), DN_OK);
        ck_assert_ptr_null(flow);
        free(part);
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (uint8_t)(1u << i % 8);
        ck_assert_msg(dn_flow_open_memory(bytes, size, NULL, &flow, NULL) != DN_OK, "byte %zu", i);
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    ck_ok(dn_flow_open_memory(bytes, size, NULL, &flow, NULL));
    dn_flow_unref(flow);
    free(bytes);
}
END_TEST

START_TEST(reports_a_failing_save)
{
    dn_flow *flow = small_flow();
    dn_error error = {0};
    const char *folder = test_folder();

    ck_status(dn_flow_save(flow, path_join(folder, "none/a"), &error), DN_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "none/a"));
    ck_status(dn_flow_save(flow, folder, &error), DN_E_IO);
    ck_assert_int_eq(count_files(folder), 0);
    dn_flow_unref(flow);
}
END_TEST

/* ---- memory ---- */

/* Everything once; the first failure is returned. */
static dn_status do_everything(const dn_allocator *allocator, const uint8_t *bytes, size_t size)
{
    dn_flow_options options = small_options();
    dn_flow *flow = NULL, *read = NULL;
    dn_blob *blob = NULL;
    float x[12], z[12], gradient[12], logdet[2];
    double likelihood[2];

    options.allocator = allocator;
    fill(x, 12, 1);
    dn_status status = dn_flow_create(&options, &flow, NULL);
    if (status == DN_OK)
        status = dn_flow_forward(flow, x, 2, z, logdet, NULL);
    if (status == DN_OK)
        status = dn_flow_inverse(flow, z, 2, x, NULL);
    if (status == DN_OK)
        status = dn_flow_sample(flow, 1, 2, x, NULL);
    if (status == DN_OK)
        status = dn_flow_log_likelihood(flow, x, 2, likelihood, NULL);
    if (status == DN_OK)
        status = dn_flow_gradient(flow, x, 2, z, NULL, gradient, NULL);
    if (status == DN_OK)
        status = dn_flow_save_memory(flow, &blob, NULL);
    if (status == DN_OK)
        status = dn_flow_open_memory(bytes, size, allocator, &read, NULL);
    dn_blob_free(blob);
    dn_flow_unref(read);
    dn_flow_unref(flow);
    return status;
}

START_TEST(survives_failing_allocations)
{
    size_t size;
    uint8_t *bytes = flow_file(&size);

    for (long fail_at = 1;; fail_at++) {
        failing_memory memory = {.fail_at = fail_at};
        dn_allocator failing = failing_allocator(&memory);
        dn_status status = do_everything(&failing, bytes, size);
        ck_assert_int_eq(memory.live, 0);
        if (status == DN_OK) {
            ck_assert_int_gt(fail_at, 15);
            break;
        }
        ck_status(status, DN_E_MEMORY);
    }
    free(bytes);
}
END_TEST

static dn_status save_flow(void *flow, const char *path, dn_error *error)
{
    return dn_flow_save(flow, path, error);
}

static void open_flow(void *flow, const char *path)
{
    dn_flow *again;
    float x[6], z[6], expected[6], logdet;

    fill(x, 6, 1);
    ck_ok(dn_flow_open_path(path, NULL, &again, NULL));
    ck_ok(dn_flow_forward(again, x, 1, z, &logdet, NULL));
    ck_ok(dn_flow_forward(flow, x, 1, expected, &logdet, NULL));
    ck_assert_mem_eq(z, expected, sizeof z);
    dn_flow_unref(again);
}

START_TEST(saves_without_memory)
{
    const char *folder = test_folder();
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_flow_options options = small_options();
    dn_flow *flow;

    options.allocator = &allocator;
    ck_ok(dn_flow_create(&options, &flow, NULL));
    save_test test = {save_flow, open_flow, flow, &memory};
    check_saves_without_memory(&test, path_join(folder, "flow.safetensors"));
    ck_assert_int_eq(count_files(folder), 1);
    dn_flow_unref(flow);
    ck_assert_int_eq(memory.live, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("api_flow");
    TCase *tests = tcase_create("api_flow");

    tcase_add_test(tests, has_the_documented_defaults);
    tcase_add_test(tests, refuses_options_out_of_range);
    tcase_add_test(tests, refuses_null);
    tcase_add_test(tests, tells_its_configuration);
    tcase_add_test(tests, refuses_bad_rows);
    tcase_add_test(tests, forward_then_inverse);
    tcase_add_test(tests, samples_depend_on_the_seed_alone);
    tcase_add_test(tests, density_sums_to_one);
    tcase_add_test(tests, gradient_of_the_log_likelihood);
    tcase_add_test(tests, threads_share_a_flow);
    tcase_add_test(tests, saves_and_opens);
    tcase_add_test(tests, refuses_headers);
    tcase_add_test(tests, refuses_data);
    tcase_add_test(tests, tells_other_kinds);
    tcase_add_test(tests, survives_truncation_and_flipped_bits);
    tcase_add_test(tests, reports_a_failing_save);
    tcase_add_test(tests, survives_failing_allocations);
    tcase_add_test(tests, saves_without_memory);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
