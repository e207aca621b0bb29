/* A contest: the density at every position learns from some images, with copies of each kind and without, and others,
 * which are always the images themselves, tell how likely it makes them.  Copies that the density without copies finds
 * absurd do not suit and need not compete, so that a part in a fixed pose costs little. */
#include "train/choose_copies.h"

#include <math.h>

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"

/* Images with which there is a contest: fewer cannot tell, more do without (docs/accuracy.md, "Copies of few images"). */
#define LEAST_IMAGES 6
#define MOST_IMAGES 128
#define LEAST_FIXED 12 /* with which they tell whether the pose is fixed */
#define LEARNED 64     /* images that are learned from, at most */
#define HELD 16        /* likewise that tell */
#define FEW 32         /* images up to which those compete, too, that are moved a little: they rarely win */

/* So many are enough to tell which copies are absurd. */
#define SUIT_LEARNED 16
#define SUIT_HELD 4

/* Mean negative log-densities per dimension are compared (without the constant). */
#define ABSURD 1.0      /* copies less likely than the images by more than this do not suit */
#define LEAST_GAIN 0.05 /* that copies must bring */

struct contest {
    train_maps *maps;
    positions *density;
    uint64_t seed;
    int32_t count;           /* images: the first of each group, or one would tell of its own copies */
    int32_t *images;         /* (count) */
    const int32_t *held_out; /* of these: the (held) that tell; the first (learned) are learned from */
    int32_t learned, held;
    float *z; /* (z_views, cells, dims): of the images that are learned from, with their copies */
    int32_t z_views;
    float *z_held; /* (held, cells, dims) */
    train_maps_progress progress;
};

static copy_plan plan_of(const struct contest *contest, int32_t kind)
{
    const dn_extractor *extractor = contest->maps->extractor;

    return copies_planned(kind, contest->learned, 0, contest->seed, extractor->mean, extractor->std);
}

/* log det of a cell's covariance U'U, from the packed inverse of U. */
static double log_determinant(const positions *density, int32_t cell)
{
    const float *row = density->factor + (size_t)cell * positions_triangle(density->dims);
    double sum = 0;

    for (int32_t i = 0; i < density->dims; row += density->dims - i, i++)
        sum -= 2 * log((double)*row);
    return sum;
}

/* Mean over views and cells that count of (distance^2 + log det) / (2 dims).  z: (views, cells, dims). */
static double loss_of(const struct contest *contest, const float *z, int32_t views)
{
    const positions *density = contest->density;
    int32_t cells = (int32_t)positions_cells(density), dims = density->dims;
    const uint8_t *inside = train_maps_inside(contest->maps);
    double sum = 0;

    for (int32_t cell = 0; cell < cells; cell++) {
        if (inside && !inside[cell])
            continue;
        double determinant = log_determinant(density, cell) / dims;
        for (int32_t view = 0; view < views; view++)
            sum += (double)positions_distance(density, cell,
                                              z + ((size_t)view * (size_t)cells + (size_t)cell) * (size_t)dims) +
                   determinant;
    }
    return sum / (2.0 * views * contest->maps->counted);
}

/* Room for the views that are learned from. */
static dn_status reserve(struct contest *contest, int32_t views, dn_error *error)
{
    const dn_allocator *allocator = &contest->maps->allocator;
    size_t floats = positions_cells(contest->density) * (size_t)contest->density->dims;

    if (views <= contest->z_views)
        return DN_OK;
    mem_free(allocator, contest->z);
    contest->z = mem_alloc(allocator, (size_t)views, floats * sizeof *contest->z);
    contest->z_views = contest->z ? views : 0;
    return contest->z ? DN_OK : fail_memory(error, "the choice of copies");
}

/* Learns from the images with their copies. */
static dn_status learn(struct contest *contest, const copy_plan *plan, dn_error *error)
{
    train_views views = {contest->images, contest->learned, plan, -1, plan->count + 1};
    positions_options options = positions_default_options();

    options.dims = contest->density->dims;
    options.views = views.each;
    options.inside = train_maps_inside(contest->maps);
    TRY(reserve(contest, views.count * views.each, error));
    train_space space = {contest->density, contest->z, NULL};
    TRY(train_maps_project(contest->maps, &views, &space, 1, &contest->progress, error));
    return positions_fit_cells(contest->density, &options, contest->z, views.count * views.each, contest->maps->workers,
                               error);
}

/* How likely the images held out are, themselves (copy -1) or as copies. */
static dn_status judge(struct contest *contest, const copy_plan *plan, int32_t copy, double *loss, dn_error *error)
{
    train_views views = {contest->held_out, contest->held, plan, copy, 1};
    train_space space = {contest->density, contest->z_held, NULL};

    TRY(train_maps_project(contest->maps, &views, &space, 1, &contest->progress, error));
    *loss = loss_of(contest, contest->z_held, views.count);
    return DN_OK;
}

/* Which kinds compete: those whose copies of images held out are about as likely as these, in the eyes of a density
 * that was learned without copies. */
static dn_status find_competitors(struct contest *contest, _Bool competes[DN_COPIES_TURN + 1], dn_error *error)
{
    int32_t learned = contest->learned, held = contest->held, count = contest->count;
    double base, loss;

    contest->learned = learned < SUIT_LEARNED ? learned : SUIT_LEARNED;
    contest->held = held < SUIT_HELD ? held : SUIT_HELD;
    contest->progress.total = contest->learned + (count > FEW ? 3 : 4) * contest->held;
    copy_plan plan = plan_of(contest, DN_COPIES_NONE);
    TRY(learn(contest, &plan, error));
    TRY(judge(contest, &plan, -1, &base, error));
    for (int32_t k = DN_COPIES_SMALL; k <= DN_COPIES_TURN; k++) {
        competes[k] = 0;
        if (k == DN_COPIES_SMALL && count > FEW)
            continue;
        plan = plan_of(contest, k);
        TRY(judge(contest, &plan, plan.moved / 2, &loss, error));
        competes[k] = loss < base + ABSURD;
    }
    contest->learned = learned;
    contest->held = held;
    return DN_OK;
}

/* Views that the contest looks at. */
static int64_t contest_views(const struct contest *contest, const _Bool competes[DN_COPIES_TURN + 1])
{
    int64_t views = 0;

    for (int32_t k = DN_COPIES_NONE; k <= DN_COPIES_TURN; k++)
        if (k == DN_COPIES_NONE || competes[k])
            views += (int64_t)contest->learned * (plan_of(contest, k).count + 1) + contest->held;
    return views;
}

/* kind NULL: only what competes is asked for. */
static dn_status run_contest(struct contest *contest, int32_t *kind, _Bool *fixed, dn_error *error)
{
    _Bool competes[DN_COPIES_TURN + 1];
    double best = 0;

    TRY(find_competitors(contest, competes, error));
    *fixed = contest->count >= LEAST_FIXED && !competes[DN_COPIES_MIRROR] && !competes[DN_COPIES_TURN];
    contest->progress.total = contest->progress.done;
    if (!kind || (*fixed && !competes[DN_COPIES_SMALL]))
        return DN_OK;
    contest->progress.total += contest_views(contest, competes);
    for (int32_t k = DN_COPIES_NONE; k <= DN_COPIES_TURN; k++) {
        copy_plan plan = plan_of(contest, k);
        double loss;
        if (k != DN_COPIES_NONE && !competes[k])
            continue;
        TRY(learn(contest, &plan, error));
        TRY(judge(contest, &plan, -1, &loss, error));
        if (k == DN_COPIES_NONE) {
            best = loss - LEAST_GAIN;
        } else if (loss < best) {
            best = loss;
            *kind = k;
        }
    }
    return DN_OK;
}

dn_status choose_copies(train_maps *maps, positions *density, uint64_t seed, int32_t *kind, _Bool *fixed,
                        dn_error *error)
{
    int32_t count = maps->images->groups.count, held = count / 4 < HELD ? count / 4 : HELD;
    int32_t learned = count - held < LEARNED ? count - held : LEARNED;
    struct contest contest = {.maps = maps,
                              .density = density,
                              .seed = seed,
                              .count = count,
                              .learned = learned,
                              .held = held,
                              .progress = {DN_PHASE_COPIES, 0, 0}};
    size_t floats = positions_cells(density) * (size_t)density->dims;
    rng generator;

    if (kind)
        *kind = DN_COPIES_NONE;
    *fixed = 0;
    if (count < LEAST_IMAGES)
        return DN_OK;
    contest.images = mem_alloc(&maps->allocator, (size_t)count, sizeof *contest.images);
    contest.z_held = mem_alloc(&maps->allocator, (size_t)held, floats * sizeof *contest.z_held);
    dn_status status = DN_OK;
    if (!contest.images || !contest.z_held) {
        status = fail_memory(error, "the choice of copies");
    } else {
        rng_seed(&generator, seed, RNG_CONTEST);
        rng_permutation(&generator, (uint32_t *)contest.images, (uint32_t)count);
        for (int32_t i = 0; i < count; i++)
            contest.images[i] = maps->images->groups.first[contest.images[i]];
        contest.held_out = contest.images + learned;
        status = run_contest(&contest, count > MOST_IMAGES ? NULL : kind, fixed, error);
    }
    mem_free(&maps->allocator, contest.images);
    mem_free(&maps->allocator, contest.z);
    mem_free(&maps->allocator, contest.z_held);
    return status;
}
