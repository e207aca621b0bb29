/* OpenBLAS in the place of our own products, which it has on processors without AVX2 and with -Dproducts=openblas: the
 * same numbers but for rounding, and each call that multiplies asks first whether there is memory for it.  Skipped where
 * OpenBLAS does not multiply and cannot be chosen, as it can in builds with DN_COVERAGE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/product.h"
#include "differnet/localize.h"
#include "differnet/score.h"
#include "small_model.h"
#include "training.h"

#if DN_OPENBLAS

enum { VIEW = SMALL_SIDE * SMALL_SIDE * 3 };

#ifdef DN_COVERAGE
static void choose(int32_t choice)
{
    product_choice = choice;
}
#endif

/* Leaves the process 64 MiB more than it has: half of a work buffer of OpenBLAS'. */
static void limit_memory(_Bool limited)
{
    unsigned long pages = 0;
    struct rlimit limit;
    FILE *status = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(status);
    ck_assert_int_eq(fscanf(status, "%lu", &pages), 1);
    fclose(status);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = limited ? (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)64 << 20) : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* With a density at every position, of no particular numbers. */
static dn_model *model_with_positions(void)
{
    dn_model *model = small_model();
    dn_allocator allocator = mem_allocator(NULL);
    const maps_geometry grid = model->plan.grid;
    positions *density;

    ck_ok(positions_allocate(grid.rows, grid.columns, grid.channels, 2, 1, &allocator, &density, NULL));
    memset(density->owned, 0, positions_cells(density) * positions_triangle(2) * sizeof *density->owned);
    ck_ok(model_set_positions(model, density, NULL));
    positions_unref(density);
    return model;
}

static void ck_no_memory(dn_status status, const dn_error *error)
{
    ck_status(status, DN_E_MEMORY);
    check_error(error, DN_E_MEMORY, "out of memory for OpenBLAS");
}

START_TEST(every_product_asks_for_memory)
{
    static float views[VIEW], gradient[VIEW], features[64], maps[VIEW];
    static uint16_t canvas[VIEW];
    static uint8_t rgb[VIEW];
    const double angle = 0;
    dn_pixels view = rgb_view(rgb, SMALL_SIDE, SMALL_SIDE);
    dn_train_options training = tiny_options();
    dn_localizer_options mapping;
    dn_localizer *localizers[2];
    dn_scorer *scorer;
    dn_score score;
    dn_model *trained;
    const float *raw;
    dn_error error;

    if (getenv("CK_FORK") && !strcmp(getenv("CK_FORK"), "no"))
        return; /* valgrind needs memory itself */
#ifdef DN_COVERAGE
    const int32_t usual = product_choice;
    choose(PRODUCTS_OPENBLAS);
#endif
    ck_assert_int_eq(product_kind(), PRODUCT_BLAS);
    draw_texture(rgb, SMALL_SIDE, SMALL_SIDE, 1);
    dn_model *model = model_with_positions();
    dn_extractor *extractor = model->extractor;
    ck_ok(dn_scorer_create(model, NULL, &scorer, NULL));
    for (int i = 0; i < 2; i++) {
        dn_localizer_options_init(&mapping);
        mapping.method = i == 0 ? DN_MAP_GRADIENT : DN_MAP_POSITIONS;
        ck_ok(dn_localizer_create(model, &mapping, &localizers[i], NULL));
    }
    training.positions = 1;
    dn_trainer *trainer = tiny_trainer(&training, 4);
    dn_score_init(&score);

    limit_memory(1);
    ck_no_memory(dn_extractor_features(extractor, views, 1, features, &error), &error);
    ck_no_memory(dn_extractor_features_image(extractor, &view, &angle, 1, features, &error), &error);
    ck_no_memory(dn_extractor_gradient(extractor, views, 1, features, gradient, &error), &error);
    ck_no_memory(dn_extractor_maps(extractor, views, 1, maps, &error), &error);
    ck_no_memory(dn_flow_forward(model->flow, features, 1, features, NULL, &error), &error);
    ck_no_memory(dn_scorer_score(scorer, &view, &score), dn_scorer_error(scorer));
    ck_no_memory(dn_scorer_decide(scorer, &view, &score), dn_scorer_error(scorer));
    ck_no_memory(dn_scorer_inspect(scorer, &view, maps, &score), dn_scorer_error(scorer));
    ck_no_memory(dn_scorer_score_batch(scorer, &view, 1, &score, &error), &error);
    ck_no_memory(scorer_score_canvas(scorer, canvas, &score, &error), &error);
    for (int i = 0; i < 2; i++)
        ck_no_memory(dn_localizer_map(localizers[i], &view, maps), dn_localizer_error(localizers[i]));
    ck_no_memory(localizer_raw_map_canvas(localizers[0], canvas, &raw, &error), &error);
    ck_no_memory(dn_trainer_run(trainer, NULL, NULL, &trained), dn_trainer_error(trainer));
    limit_memory(0);
    ck_ok(dn_extractor_maps(extractor, views, 1, maps, &error));
    trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &trained));
    dn_model_unref(trained);
    dn_trainer_free(trainer);
    for (int i = 0; i < 2; i++)
        dn_localizer_free(localizers[i]);
    dn_scorer_free(scorer);
    model_unref(model);
#ifdef DN_COVERAGE
    choose(usual);
#endif
}
END_TEST

#ifdef DN_COVERAGE

/* Features, their gradient, and what the flow makes of them. */
static void multiply(int32_t choice, const float *views, float features[4], float *gradient, float z[4])
{
    const int32_t usual = product_choice;

    choose(choice);
    dn_model *model = small_model();
    ck_ok(dn_extractor_features(model->extractor, views, 1, features, NULL));
    ck_ok(dn_extractor_gradient(model->extractor, views, 1, features, gradient, NULL));
    ck_ok(dn_flow_forward(model->flow, features, 1, z, NULL, NULL));
    model_unref(model);
    choose(usual);
}

START_TEST(the_same_but_for_rounding)
{
    static float views[VIEW], own[VIEW], gradient[VIEW];
    float features[2][4], z[2][4];

    for (int i = 0; i < VIEW; i++)
        views[i] = (float)(i * 7919 % 1000) / 500 - 1;
    multiply(PRODUCTS_OWN, views, features[0], own, z[0]);
    multiply(PRODUCTS_OPENBLAS, views, features[1], gradient, z[1]);
    ck_assert_double_gt(max_abs(features[0], 4), 0);
    ck_assert_double_le(max_abs_difference(features[0], features[1], 4), 1e-5 * max_abs(features[0], 4));
    ck_assert_double_gt(max_abs(own, VIEW), 0);
    ck_assert_double_le(max_abs_difference(own, gradient, VIEW), 1e-5 * max_abs(own, VIEW));
    ck_assert_double_le(max_abs_difference(z[0], z[1], 4), 1e-5 * max_abs(z[0], 4));
}
END_TEST

#endif

#endif

static Suite *make_suite(void)
{
    Suite *suite = suite_create("openblas");
    TCase *tests = tcase_create("openblas");

    tcase_set_timeout(tests, 60);
#if DN_OPENBLAS
    tcase_add_test(tests, every_product_asks_for_memory);
#ifdef DN_COVERAGE
    tcase_add_test(tests, the_same_but_for_rounding);
#endif
#endif
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
#ifdef DN_COVERAGE
    _Bool there = DN_OPENBLAS;
#else
    _Bool there = DN_OPENBLAS && product_kind() == PRODUCT_BLAS;
#endif

    if (!there) {
        puts("skipped: OpenBLAS does not multiply here");
        return 77;
    }
    return run_suite(make_suite());
}
