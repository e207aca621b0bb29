/* Copies and parts: what is found, by hand-made thumbnails and pictures; that a part is on one side of every split and fold,
 * and counts once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "differnet/groups.h"
#include "train/trainer.h"
#include "training.h"

#define MANY 12

/* Thumbnails at random, but for those that `like` makes alike: like[i] >= 0 is that image with noise of a deviation. */
static void make_thumbs(const int *like, const double *noise, int count, float *thumbs, group_image *images)
{
    uint32_t state = 1;

    for (int i = 0; i < count; i++) {
        float *thumb = thumbs + (size_t)i * THUMB_SIZE;
        for (int j = 0; j < THUMB_SIZE; j++) {
            state = state * 1664525 + 1013904223;
            float random = (float)((double)(state >> 8) / (1 << 24) * sqrt(12) - sqrt(3));
            thumb[j] = like[i] < 0 ? random : thumbs[like[i] * THUMB_SIZE + j] + (float)noise[i] * random;
        }
        images[i] = (group_image){thumb, (uint32_t)i, -1};
    }
}

static image_groups find(const group_image *images, int count, _Bool copies)
{
    dn_allocator allocator = mem_allocator(NULL);
    image_groups groups;

    ck_ok(groups_find(images, count, count, copies, &allocator, &groups, NULL));
    return groups;
}

static void release(image_groups *groups)
{
    dn_allocator allocator = mem_allocator(NULL);

    groups_release(groups, &allocator);
}

/* The distance of two random thumbnails is 2 per number; noise of deviation s adds s^2: near below 0.006 x nearly 2. */
START_TEST(near_and_equal)
{
    static const int like[MANY] = {-1, -1, 0, -1, 1, 2, -1, -1, 7, -1, -1, 9};
    static const double noise[MANY] = {[2] = 0.05, [4] = 0, [5] = 0.05, [8] = 0.5, [11] = 0.09};
    static float thumbs[MANY * THUMB_SIZE];
    group_image images[MANY];

    make_thumbs(like, noise, MANY, thumbs, images);
    images[4].crc = images[1].crc;
    image_groups groups = find(images, MANY, 1);
    const int copy_of[MANY] = {-1, -1, 0, -1, 1, 2, -1, -1, -1, -1, -1, 9};
    const int group[MANY] = {0, 1, 0, 2, 1, 0, 3, 4, 5, 6, 7, 6};
    for (int i = 0; i < MANY; i++) {
        if (i == 5) /* near both, the first one and its copy */
            ck_assert(groups.copy_of[i] == 0 || groups.copy_of[i] == 2);
        else
            ck_assert_int_eq(groups.copy_of[i], copy_of[i]);
        ck_assert_int_eq(groups.kind[i], copy_of[i] < 0 ? 0 : i == 4 ? DN_DUPLICATE_EQUAL : DN_DUPLICATE_NEAR);
        ck_assert_int_eq(groups.group[i], group[i]);
    }
    ck_assert_int_eq(groups.count, 8);
    ck_assert(groups.first[0] == 0 && groups.first[2] == 3 && groups.first[7] == 10);
    ck_assert_int_eq(groups.adjacent, 2); /* 7 and 8 */
    release(&groups);
    groups = find(images, MANY, 0);
    ck_assert_int_eq(groups.count, MANY);
    release(&groups);
}
END_TEST

/* An equal image counts more than an earlier one that is near, of several equal ones the first. */
START_TEST(equal_before_near)
{
    static const int like[MANY] = {-1, -1, 0, -1, -1, 2, -1, 2, -1, -1, -1, -1};
    static const double noise[MANY] = {[2] = 0.05};
    static float thumbs[MANY * THUMB_SIZE];
    group_image images[MANY];

    make_thumbs(like, noise, MANY, thumbs, images);
    images[5].crc = images[7].crc = images[2].crc;
    image_groups groups = find(images, MANY, 1);
    ck_assert(groups.copy_of[2] == 0 && groups.kind[2] == DN_DUPLICATE_NEAR);
    ck_assert(groups.copy_of[5] == 2 && groups.kind[5] == DN_DUPLICATE_EQUAL);
    ck_assert(groups.copy_of[7] == 2 && groups.kind[7] == DN_DUPLICATE_EQUAL);
    release(&groups);
}
END_TEST

static double squared_distance(const float *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < THUMB_SIZE; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* Where near ends: at NEAR_SHARE of the mean over all pairs, to the per cent. */
START_TEST(near_ends_at_its_share)
{
    static const int like[MANY] = {-1, -1, -1, -1, -1, 0, -1, -1, -1, -1, -1, -1};
    double noise[MANY] = {[5] = 0.1};
    static float thumbs[MANY * THUMB_SIZE];
    group_image images[MANY];

    for (int above = 0; above <= 1; above++) {
        for (int round = 0; round < 4; round++) { /* the pair's noise such that its share is as wanted */
            double usual = 0;
            make_thumbs(like, noise, MANY, thumbs, images);
            for (int i = 0; i < MANY; i++)
                for (int j = 0; j < i; j++)
                    usual += squared_distance(images[i].thumb, images[j].thumb) / (MANY * (MANY - 1) / 2);
            double share = squared_distance(images[0].thumb, images[5].thumb) / usual;
            noise[5] *= sqrt((above ? 1.01 : 0.99) * NEAR_SHARE / share);
        }
        make_thumbs(like, noise, MANY, thumbs, images);
        image_groups groups = find(images, MANY, 1);
        ck_assert_int_eq(groups.count, above ? MANY : MANY - 1);
        ck_assert_int_eq(groups.copy_of[5], above ? -1 : 0);
        release(&groups);
    }
}
END_TEST

/* Names, and names that copies join. */
START_TEST(named_groups)
{
    static const int like[MANY] = {-1, -1, -1, -1, -1, -1, 0, -1, -1, -1, -1, -1};
    static const double noise[MANY] = {[6] = 0.01};
    static float thumbs[MANY * THUMB_SIZE];
    group_image images[MANY];

    make_thumbs(like, noise, MANY, thumbs, images);
    images[0].name = images[2].name = images[9].name = 0;
    images[6].name = images[3].name = 1;
    images[4].name = 2;
    image_groups groups = find(images, MANY, 0);
    const int by_name[MANY] = {0, 1, 0, 2, 3, 4, 2, 5, 6, 0, 7, 8};
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(groups.group[i], by_name[i]);
    release(&groups);
    groups = find(images, MANY, 1);
    const int by_both[MANY] = {0, 1, 0, 0, 2, 3, 0, 4, 5, 0, 6, 7};
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(groups.group[i], by_both[i]);
    ck_assert_int_eq(groups.count, 8);
    release(&groups);
}
END_TEST

/* An image that its name puts with one before the image that it is a copy of. */
START_TEST(name_before_copy)
{
    static const int like[7] = {-1, -1, -1, -1, -1, -1, 5};
    static const double noise[7] = {[6] = 0.01};
    static float thumbs[7 * THUMB_SIZE];
    group_image images[7];

    make_thumbs(like, noise, 7, thumbs, images);
    images[1].name = images[6].name = 0;
    image_groups groups = find(images, 7, 1);
    const int expected[7] = {0, 1, 2, 3, 4, 1, 1};
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(groups.group[i], expected[i]);
    ck_assert_int_eq(groups.count, 5);
    release(&groups);
}
END_TEST

/* The first two images and the last two, each nearest to the other. */
START_TEST(adjacent_ends)
{
    static const int like[4] = {-1, 0, -1, 2};
    static const double noise[4] = {[1] = 0.5, [3] = 0.5};
    static float thumbs[4 * THUMB_SIZE];
    group_image images[4];

    make_thumbs(like, noise, 4, thumbs, images);
    image_groups groups = find(images, 4, 1);
    ck_assert_int_eq(groups.adjacent, 4);
    ck_assert_int_eq(groups.count, 4);
    release(&groups);
}
END_TEST

/* Nothing to compare with, and images that show nothing. */
START_TEST(extremes)
{
    static float thumbs[2 * THUMB_SIZE];
    group_image images[2] = {{thumbs, 1, -1}, {thumbs + THUMB_SIZE, 1, -1}};

    image_groups groups = find(images, 1, 1);
    ck_assert(groups.count == 1 && groups.adjacent == 0);
    release(&groups);
    groups = find(images, 2, 1);
    ck_assert(groups.count == 1 && groups.kind[1] == DN_DUPLICATE_EQUAL);
    release(&groups);
    images[1].crc = 2; /* of other sizes, say */
    groups = find(images, 2, 1);
    ck_assert_int_eq(groups.count, 2);
    release(&groups);
}
END_TEST

/* A stripe over a gray ground: its gray values' means, standardised. */
START_TEST(thumbnail)
{
    static uint16_t canvas[64 * 64 * 3];
    float thumb[THUMB_SIZE];
    double mean = 0, squares = 0;

    for (int i = 0; i < 64 * 64 * 3; i++)
        canvas[i] = (uint16_t)(20000 + (i / 3 / 64 < 2 ? 30000 : 0));
    group_thumb(canvas, 64, 64, thumb);
    for (int i = 0; i < THUMB_SIZE; i++) {
        ck_assert((i < THUMB_SIDE) == (thumb[i] > 0));
        mean += (double)thumb[i] / THUMB_SIZE;
        squares += (double)thumb[i] * (double)thumb[i] / THUMB_SIZE;
    }
    ck_assert_double_eq_tol(mean, 0, 1e-6);
    ck_assert_double_eq_tol(squares, 1, 1e-5);
    memset(canvas, 7, sizeof canvas);
    group_thumb(canvas, 64, 64, thumb);
    ck_assert(thumb[5] == 0);
}
END_TEST

/* All colours count the same: squares of one of them each, equally bright, are one gray. */
START_TEST(thumbnail_of_colours)
{
    static uint16_t canvas[64 * 64 * 3];
    float thumb[THUMB_SIZE];

    for (int i = 0; i < 64 * 64; i++)
        canvas[3 * i + i % 64 / 2 % 3] = 30000;
    group_thumb(canvas, 64, 64, thumb);
    for (int i = 0; i < THUMB_SIZE; i++)
        ck_assert(thumb[i] == 0);
}
END_TEST

/* Of an oblong canvas each entry is the mean of a part as oblong. */
START_TEST(thumbnail_of_an_oblong)
{
    enum { WIDTH = 96, HEIGHT = 64 };
    static uint16_t canvas[WIDTH * HEIGHT * 3];
    float thumb[THUMB_SIZE];

    for (int i = 0; i < WIDTH * HEIGHT; i++)
        for (int c = 0; c < 3; c++) /* parts of 3 x 2 pixels, the middle of each bright where it is in an odd column */
            canvas[3 * i + c] = i % WIDTH / 3 % 2 && i % WIDTH % 3 == 1 ? 60000 : 0;
    group_thumb(canvas, WIDTH, HEIGHT, thumb);
    for (int i = 0; i < THUMB_SIZE; i++)
        ck_assert_double_eq_tol((double)thumb[i], i % 2 ? 1 : -1, 1e-5);
}
END_TEST

/* ---- training ---- */

/* Each of `parts` pictures three times. */
static dn_trainer *bursts(const dn_train_options *o, int parts, _Bool named)
{
    dn_trainer *t = tiny_trainer(o, 0);
    char name[16];

    for (int i = 0; i < 3 * parts; i++) {
        snprintf(name, sizeof name, "part %d", i % parts);
        if (named)
            trainer_ok(t, dn_trainer_set_group(t, name));
        trainer_ok(t, add_picture(t, named ? (uint32_t)i + 1 : (uint32_t)(i % parts) + 1));
    }
    return t;
}

/* By copies, and by names: on one side, and once. */
START_TEST(one_side_and_once)
{
    enum { SHOWN = 6 };
    dn_train_options o = tiny_options();
    dn_trainer_info info;
    dn_model *model;
    int32_t fold[3 * SHOWN], kind;

    o.holdout = 0.4;
    o.positions = 1;
    o.position_dims = 4;
    o.calibration = _i / 2 ? DN_CALIBRATION_CROSS : DN_CALIBRATION_SPLIT;
    dn_trainer *t = bursts(&o, SHOWN, _i % 2);
    dn_trainer_info_init(&info);
    ck_ok(dn_trainer_get_info(t, &info));
    ck_assert(info.images == 3 * SHOWN && info.parts == 0);
    ck_assert_int_eq(dn_trainer_duplicate_of(t, 7, &kind), -1);
    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    ck_ok(dn_trainer_get_info(t, &info));
    ck_assert_int_eq(info.parts, SHOWN);
    ck_assert_int_eq(info.duplicates, _i % 2 ? 0 : 2 * SHOWN);
    ck_assert_int_eq(dn_trainer_duplicate_of(t, 7, &kind), _i % 2 ? -1 : 1);
    ck_assert_int_eq(kind, _i % 2 ? 0 : DN_DUPLICATE_EQUAL);
    ck_assert_int_eq(dn_trainer_duplicate_of(t, 1, NULL), -1);
    ck_assert_int_eq(dn_trainer_duplicate_of(t, -1, NULL), -1);
    ck_assert_int_eq(dn_trainer_duplicate_of(t, 3 * SHOWN, &kind), -1);
    int32_t calibrating = _i / 2 ? SHOWN : 2;
    ck_assert_int_eq(model->holdout_count, calibrating);
    ck_assert_int_eq(model->peak_count, SHOWN);
    ck_assert_double_eq(model->facts.flow_weight, part_flow_weight(_i / 2 ? SHOWN : SHOWN - 2));
    ck_assert_int_eq(model->calibration->count, calibrating);
    ck_assert_int_eq(t->images.holdout_count, _i / 2 ? 0 : 3 * 2);
    const int32_t *split = t->images.split;
    for (int a = 0; a < t->images.train_count; a++) /* a part of both sides */
        for (int b = t->images.train_count; b < 3 * SHOWN; b++)
            ck_assert_int_ne(split[a] % SHOWN, split[b] % SHOWN);
    train_images_folds(&t->images, 4, 3, fold);
    for (int i = SHOWN; i < 3 * SHOWN; i++)
        ck_assert_int_eq(fold[i], fold[i % SHOWN]);
    for (int i = 0; _i / 2 && i < 3 * SHOWN; i++)
        ck_assert_int_eq(t->cross.fold[i], t->cross.fold[i % SHOWN]);
    dn_model_unref(model);
    trainer_fails(t, dn_trainer_set_group(t, "late"), DN_E_STATE, "training has begun");
    dn_trainer_free(t);
}
END_TEST

/* More names than the first list of them holds; one that was said before is the same. */
START_TEST(many_names)
{
    enum { NAMES = 150 };
    dn_train_options o = tiny_options();
    dn_trainer *t = tiny_trainer(&o, 0);
    char name[16];

    for (int i = 0; i <= NAMES; i++) {
        snprintf(name, sizeof name, "part %d", i % NAMES);
        trainer_ok(t, dn_trainer_set_group(t, name));
        trainer_ok(t, add_picture(t, (uint32_t)i + 1));
    }
    ck_assert_int_eq(t->images.name_count, NAMES);
    ck_ok(train_images_find_groups(&t->images, 0, NULL));
    ck_assert_int_eq(t->images.groups.count, NAMES);
    for (int32_t i = 0; i <= NAMES; i++)
        ck_assert_int_eq(train_images_first(&t->images, i), i < NAMES);
    dn_trainer_free(t);
}
END_TEST

/* Not looked for, a copy vouches for its like: as many calibrate as there are images. */
START_TEST(duplicates_let_be)
{
    dn_train_options o = tiny_options();
    dn_model *model;

    o.duplicates = 0;
    o.calibration = DN_CALIBRATION_CROSS;
    dn_trainer *t = bursts(&o, 3, 0);
    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    ck_assert_int_eq(model->holdout_count, 9);
    dn_model_unref(model);
    dn_trainer_free(t);
    t = bursts(&o, 3, 0);
    trainer_fails(t, dn_trainer_set_group(t, ""), DN_E_ARGUMENT, "empty");
    dn_trainer_free(t);
    o.duplicates = 1; /* one part only: nothing to compare with */
    t = bursts(&o, 1, 0);
    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    ck_assert_int_eq(model->holdout_count, 0);
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

/* A checkpoint of other parts is of other images. */
START_TEST(checkpoint_of_other_parts)
{
    dn_train_options o = tiny_options();
    dn_model *model;
    watcher w = {.cancel_phase = DN_PHASE_TRAIN, .cancel_call = 4};

    o.checkpoint = path_join(test_folder(), "state");
    dn_trainer *t = bursts(&o, 4, 0);
    trainer_fails(t, dn_trainer_run(t, watch, &w, &model), DN_E_CANCELLED, "cancelled");
    dn_trainer_free(t);
    o.resume = 1;
    o.duplicates = 0;
    t = bursts(&o, 4, 0);
    trainer_fails(t, dn_trainer_run(t, NULL, NULL, &model), DN_E_STATE, "made with other images");
    dn_trainer_free(t);
    o.duplicates = 1;
    t = bursts(&o, 4, 0);
    trainer_ok(t, dn_trainer_run(t, NULL, NULL, &model));
    dn_model_unref(model);
    dn_trainer_free(t);
}
END_TEST

START_TEST(failing_allocations)
{
    dn_train_options o = tiny_options();
    failing_memory memory = {0};
    dn_allocator allocator = failing_allocator(&memory);
    dn_extractor *extractor = tiny_extractor(NULL);
    dn_status status = DN_E_MEMORY;
    dn_trainer *t;

    o.allocator = &allocator;
    for (long fail_at = 1; status != DN_OK; fail_at++) {
        dn_error error;
        memory = (failing_memory){0};
        ck_ok(dn_trainer_create(extractor, &o, &t, NULL));
        memory.fail_at = memory.calls + fail_at;
        status = dn_trainer_set_group(t, "one");
        if (status == DN_OK)
            status = add_picture(t, 1);
        if (status == DN_OK)
            status = dn_trainer_set_group(t, "two");
        if (status == DN_OK)
            status = add_picture(t, 2);
        if (status == DN_OK)
            status = trainer_prepare(t, &error);
        ck_assert(status == DN_OK || status == DN_E_MEMORY);
        dn_trainer_free(t);
        ck_assert_int_eq(memory.live, 0);
    }
    dn_extractor_unref(extractor);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("groups");
    TCase *tests = tcase_create("groups");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, near_and_equal);
    tcase_add_test(tests, equal_before_near);
    tcase_add_test(tests, near_ends_at_its_share);
    tcase_add_test(tests, named_groups);
    tcase_add_test(tests, name_before_copy);
    tcase_add_test(tests, adjacent_ends);
    tcase_add_test(tests, extremes);
    tcase_add_test(tests, thumbnail);
    tcase_add_test(tests, thumbnail_of_colours);
    tcase_add_test(tests, thumbnail_of_an_oblong);
    tcase_add_loop_test(tests, one_side_and_once, 0, 4);
    tcase_add_test(tests, many_names);
    tcase_add_test(tests, duplicates_let_be);
    tcase_add_test(tests, checkpoint_of_other_parts);
    tcase_add_test(tests, failing_allocations);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
