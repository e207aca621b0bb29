#include "cnn/view_features.h"

#include "base/memory.h"
#include "base/status.h"

dn_status view_features_init(view_features *stage, const dn_extractor *extractor, int32_t threads, size_t least,
                             const dn_allocator *allocator, dn_error *error)
{
    size_t floats = features_forward_scratch(extractor), total;

    if (floats < least)
        floats = least;
    *stage = (view_features){.extractor = extractor, .allocator = *allocator};
    if (!size_add(floats, MEM_ALIGNMENT / sizeof(float), &total)) /* so that it can be rounded up */
        return fail_memory(error, "the CNN's scratch");
    stage->stride = mem_padded_floats(floats);
    if (size_mul(stage->stride, (size_t)threads, &total))
        stage->scratch = mem_alloc(allocator, total, sizeof *stage->scratch);
    return stage->scratch ? DN_OK : fail_memory(error, "the CNN's scratch");
}

void view_features_release(view_features *stage)
{
    if (stage->scratch)
        mem_free(&stage->allocator, stage->scratch);
    *stage = (view_features){0};
}

void view_features_render(const dn_extractor *extractor, const uint16_t *canvas, double angle,
                          const view_jitter *jitter, float *view)
{
    view_render(canvas, extractor->input_width, extractor->input_height, angle, jitter, extractor->mean, extractor->std,
                view);
}

void view_features_standardise(float *rows, size_t n, size_t dim, const float *mean, const float *deviation)
{
    for (size_t i = 0; i < n; i++, rows += dim)
        for (size_t j = 0; j < dim; j++)
            rows[j] = (rows[j] - mean[j]) / deviation[j];
}

/* A call of view_features_compute. */
struct compute {
    const view_features *stage;
    const view_batch *batch;
    float *rows;
};

/* One block of an image's views. */
struct block {
    const dn_extractor *extractor;
    const uint16_t *canvas;
    const double *angles;
    const view_jitter *jitters; /* NULL: none */
};

static void render_view(void *context, int32_t index, float *view)
{
    const struct block *block = context;

    view_features_render(block->extractor, block->canvas, block->angles[index],
                         block->jitters ? &block->jitters[index] : NULL, view);
}

static void compute_block(void *context, int32_t task, int32_t worker)
{
    const struct compute *call = context;
    const view_batch *batch = call->batch;
    const dn_extractor *extractor = call->stage->extractor;
    int32_t blocks = features_blocks(batch->views), image = task / blocks, number = task % blocks;
    int32_t n = features_block_views(batch->views, number);
    size_t offset = (size_t)number * FEATURES_BLOCK, first = (size_t)image * (size_t)batch->views + offset;
    size_t dim = (size_t)extractor->feature_dim;
    struct block block = {extractor, batch->canvases[image], batch->angles + (batch->own_angles ? first : offset),
                          batch->jitters ? batch->jitters + first : NULL};
    float *rows = call->rows + first * dim;

    features_forward(extractor, render_view, &block, n, rows, view_features_scratch(call->stage, worker));
    if (batch->mean)
        view_features_standardise(rows, (size_t)n, dim, batch->mean, batch->deviation);
}

void view_features_compute(const view_features *stage, pool *workers, const view_batch *batch, float *rows)
{
    struct compute call = {stage, batch, rows};

    pool_run(workers, batch->images * features_blocks(batch->views), compute_block, &call);
}
