/* A host that loads the library while it runs (dlopen), works with it and unloads it, over and over: it leaves no
 * descriptor, no thread, no memory.  Not linked with the library, which the environment names (DIFFERNET_LIBRARY).
 * ROUNDS: how often (default 25). */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1 /* they keep what is freed */
#else
#define SANITIZED 0
#endif

#define SIDE 64
#define WARM 5 /* rounds after which nothing may grow */

/* The function of this name, as the header declares it. */
#define LOAD(name)                                \
    __typeof__(&name) name##_;                    \
    do {                                          \
        void *found_ = dlsym(library, #name);     \
        ck_assert_msg(found_ != NULL, #name);     \
        memcpy(&name##_, &found_, sizeof found_); \
    } while (0)

static long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    ck_assert(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

static double work(void *library)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    dn_scorer_options options;
    dn_model *model;
    dn_scorer *scorer;
    dn_score score;
    dn_error error = {0};

    LOAD(dn_version);
    LOAD(dn_model_open_path);
    LOAD(dn_scorer_options_init_size);
    LOAD(dn_scorer_create);
    LOAD(dn_score_init_size);
    LOAD(dn_scorer_score);
    LOAD(dn_scorer_free);
    LOAD(dn_model_unref);
    ck_assert_ptr_nonnull(dn_version_());
    draw_texture(rgb, SIDE, SIDE, 3);
    dn_pixels view = rgb_view(rgb, SIDE, SIDE);
    ck_assert_msg(dn_model_open_path_(golden_path("heatmap_model.safetensors"), NULL, &model, &error) == DN_OK, "%s",
                  error.message);
    dn_scorer_options_init_size_(&options, sizeof options);
    options.threads = 3;
    options.views = 8;
    ck_assert_int_eq(dn_scorer_create_(model, &options, &scorer, NULL), DN_OK);
    dn_score_init_size_(&score, sizeof score);
    ck_assert_int_eq(dn_scorer_score_(scorer, &view, &score), DN_OK);
    dn_scorer_free_(scorer);
    dn_model_unref_(model);
    return score.score;
}

START_TEST(loaded_and_unloaded)
{
    const char *name = getenv("DIFFERNET_LIBRARY");
    long rounds = getenv("ROUNDS") ? atol(getenv("ROUNDS")) : 25, pages = 0;
    int descriptors = 0, threads = 0;
    double expected = 0;

    ck_assert_ptr_nonnull(name);
    for (long round = 0; round < rounds; round++) {
        void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        ck_assert_msg(library != NULL, "%s", dlerror());
        double score = work(library);
        ck_assert_int_eq(dlclose(library), 0);
        if (round == 0)
            expected = score;
        ck_assert_double_eq(score, expected);
        if (round == WARM) {
            descriptors = count_files("/proc/self/fd");
            threads = count_files("/proc/self/task");
            pages = mapped_pages();
        } else if (round > WARM) {
            ck_assert_int_eq(count_files("/proc/self/fd"), descriptors);
            ck_assert_int_le(count_tasks(threads), threads);
        }
    }
    /* An allocator's arenas may come and go: less than a page a round is none that grows. */
    ck_assert_int_le(SANITIZED ? pages : mapped_pages(), pages + 40000 + rounds);
    if (getenv("ROUNDS"))
        printf("loaded and unloaded %ld times\n", rounds);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("load");
    TCase *tests = tcase_create("load");

    tcase_add_test(tests, loaded_and_unloaded);
    tcase_set_timeout(tests, 3600);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
