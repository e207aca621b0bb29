#include "train/cross.h"

#include "base/memory.h"
#include "base/status.h"

dn_status cross_create(cross_fit *cross, const train_images *images, int32_t folds, int32_t views, uint64_t seed,
                       const dn_allocator *allocator, dn_error *error)
{
    size_t count = (size_t)images->count;

    *cross = (cross_fit){.allocator = *allocator, .folds = folds, .count = images->count, .views = views};
    cross->fold = mem_alloc(allocator, count, sizeof *cross->fold);
    cross->members = mem_alloc(allocator, count, sizeof *cross->members);
    cross->scores = mem_zalloc(allocator, count, (size_t)views * sizeof *cross->scores);
    cross->peaks = mem_zalloc(allocator, count, sizeof *cross->peaks);
    if (!cross->fold || !cross->members || !cross->scores || !cross->peaks) {
        cross_release(cross);
        return fail_memory(error, "cross-fitting");
    }
    train_images_folds(images, folds, seed, cross->fold);
    return DN_OK;
}

void cross_release(cross_fit *cross)
{
    mem_free(&cross->allocator, cross->fold);
    mem_free(&cross->allocator, cross->members);
    mem_free(&cross->allocator, cross->scores);
    mem_free(&cross->allocator, cross->peaks);
    mem_free(&cross->allocator, cross->mean);
    flow_unref(cross->flow);
    *cross = (cross_fit){.allocator = cross->allocator};
}

int32_t cross_count(const cross_fit *cross, int32_t fold)
{
    int32_t count = 0;

    for (int32_t i = 0; i < cross->count; i++)
        count += cross->fold[i] != fold;
    return count;
}

int32_t cross_members(cross_fit *cross, int32_t fold)
{
    int32_t members = 0;

    for (int32_t i = 0; i < cross->count; i++)
        if (cross->fold[i] != fold)
            cross->members[members++] = (uint32_t)i;
    return members;
}
