/* What the library asks of the process it is loaded into: little of a thread's stack, nothing of fork(), and OpenBLAS
 * only where it multiplies.  Through the shared library. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if DN_OPENBLAS
#include <cblas.h>
#endif

#include "heatmap_golden.h"
#include "training.h"

#define SIDE GOLDEN_SIZE
#define SECONDS 60 /* after which a child counts as hanging */

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1 /* frames are larger, memory is mapped by the terabyte */
#else
#define SANITIZED 0
#endif

static uint8_t picture[SIDE * SIDE * 3];

static dn_pixels golden_view(void)
{
    golden_image(picture);
    return rgb_view(picture, SIDE, SIDE);
}

static dn_status create_scorer(dn_model *model, int32_t threads, dn_scorer **out)
{
    dn_scorer_options options;

    dn_scorer_options_init(&options);
    options.threads = threads;
    options.views = 8;
    return dn_scorer_create(model, &options, out, NULL);
}

static dn_scorer *make_scorer(dn_model *model, int32_t threads)
{
    dn_scorer *scorer;

    ck_ok(create_scorer(model, threads, &scorer));
    return scorer;
}

static double score_of(dn_scorer *scorer)
{
    dn_pixels view = golden_view();
    dn_score score;

    dn_score_init(&score);
    return dn_scorer_score(scorer, &view, &score) == DN_OK ? score.score : -1;
}

/* ---- OpenBLAS ---- */

static atomic_long products; /* calls of OpenBLAS' */

#if DN_OPENBLAS

/* In place of OpenBLAS' own for the whole process: counts them. */
void cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k,
                 float alpha, const float *a, blasint lda, const float *b, blasint ldb, float beta, float *c,
                 blasint ldc)
{
    static void (*real)(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, float, const float *,
                        blasint, const float *, blasint, float, float *, blasint);
    void *found = dlsym(RTLD_NEXT, "cblas_sgemm");

    memcpy(&real, &found, sizeof real);
    atomic_fetch_add(&products, 1);
    real(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

#endif

/* Whether OpenBLAS multiplies in the network and the flow (-Dproducts; 0: auto, 1: own, 2: OpenBLAS). */
static _Bool openblas_multiplies(void)
{
#ifdef __x86_64__
    if (PRODUCTS == 0)
        return !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma");
#endif
    return PRODUCTS != 1;
}

/* Not by creating a handle, and where our own code multiplies, not at all. */
START_TEST(openblas_is_left_alone)
{
    dn_model *model = golden_model();
    dn_localizer *localizer;
    dn_localizer_options options;
    static float map[SIDE * SIDE];
    dn_pixels view = golden_view();

    dn_localizer_options_init(&options);
    options.threads = 2;
    dn_scorer *scorer = make_scorer(model, 3);
    ck_ok(dn_localizer_create(model, &options, &localizer, NULL));
    ck_assert_int_eq(atomic_load(&products), 0);
    ck_assert_double_ge(score_of(scorer), 0);
    ck_ok(dn_localizer_map(localizer, &view, map));
    ck_assert_int_eq(atomic_load(&products) > 0, openblas_multiplies());
    dn_localizer_free(localizer);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

/* ---- fork() ---- */

/* Waits for a child, which must end by itself and well. */
static void expect_success(pid_t child)
{
    int status;

    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child %s %d",
                  WIFSIGNALED(status) ? "was ended by signal" : "exited with",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* A child can free what the parent made, and even use it: on its one thread, with the same bits. */
START_TEST(handles_outlive_a_fork)
{
    dn_model *model = golden_model();
    dn_scorer *scorer = make_scorer(model, 4);
    double before = score_of(scorer);

    for (int use = 0; use < 2; use++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS);
            int wrong = use && score_of(scorer) != before;
            dn_scorer_free(scorer);
            dn_model_unref(model);
            _exit(wrong);
        }
        expect_success(child);
    }
    ck_assert_double_eq(score_of(scorer), before);
    dn_scorer_free(scorer);
    dn_model_unref(model);
}
END_TEST

START_TEST(trainers_outlive_a_fork)
{
    dn_train_options options = tiny_options();

    options.threads = 3;
    dn_trainer *trainer = tiny_trainer(&options, 4);
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        dn_trainer_free(trainer);
        _exit(0);
    }
    expect_success(child);
    dn_blob_free(run_to_bytes(trainer));
}
END_TEST

/* Behind a creation no thread is still on its way. */
START_TEST(fork_right_after_creation)
{
    dn_model *model = golden_model();

    alarm(4 * SECONDS); /* the parent must not hang either */
    for (int round = 0; round < 40; round++) {
        dn_scorer *scorer = make_scorer(model, 4);
        pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS);
            dn_scorer *own = make_scorer(model, 1);
            double score = score_of(own);
            dn_scorer_free(own);
            dn_scorer_free(scorer);
            dn_model_unref(model);
            _exit(score < 0);
        }
        expect_success(child);
        dn_scorer_free(scorer);
    }
    alarm(0);
    dn_model_unref(model);
}
END_TEST

/* ---- little memory ---- */

/* Whose own memory and stacks would be measured. */
static _Bool under_valgrind(void)
{
    const char *fork_mode = getenv("CK_FORK"); /* "no" there alone */

    return fork_mode && !strcmp(fork_mode, "no");
}

/* With no room for a work buffer of OpenBLAS' (128 MiB), which waits for ever for one, a score comes all the same or
 * fails for want of memory. */
START_TEST(little_address_space)
{
    if (SANITIZED || under_valgrind())
        return;
    pid_t child = fork();
    if (child == 0) {
        dn_model *model = golden_model();
        unsigned long pages = 0;
        FILE *file = fopen("/proc/self/statm", "r");
        int read = file ? fscanf(file, "%lu", &pages) : 0;
        struct rlimit limit = {(rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)100 << 20), RLIM_INFINITY};
        alarm(SECONDS);
        if (read != 1 || setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(2);
        dn_scorer *scorer = make_scorer(model, 2);
        dn_pixels view = golden_view();
        dn_score score;
        dn_score_init(&score);
        dn_status status = dn_scorer_score(scorer, &view, &score);
        dn_scorer_free(scorer);
        _exit(status == (openblas_multiplies() ? DN_E_MEMORY : DN_OK) ? 0 : 3);
    }
    expect_success(child);
}
END_TEST

/* ---- the stack ---- */

#define STACK ((size_t)(SANITIZED ? 4096 : 512) * 1024)
#define PAINT 0xa5
#define LIMIT ((size_t)48 * 1024) /* docs/threads.md */

/* What the calls below share. */
static struct {
    const char *folder, *png, *model_path;
    dn_model *model;
} shared;

/* Channels that are no multiple of a vector, for the direct method; and large ones, for Winograd's. */
static const int32_t odd_channels[5] = {5, 7, 6, 3, 4}, large_channels[5] = {32, 48, 64, 32, 32};

static dn_extractor *make_extractor(const int32_t *channels)
{
    dn_extractor_options options;
    dn_extractor *extractor;

    dn_extractor_options_init(&options);
    options.input_size = 128;
    options.scales = 2;
    ck_ok(dn_extractor_random(channels, 1, &options, &extractor, NULL));
    return extractor;
}

static void use_extractor(const int32_t *channels)
{
    enum { VIEW = 128 * 128 * 3 };
    float *views = malloc(5 * VIEW * sizeof *views), *gradient = malloc(5 * VIEW * sizeof *views);
    dn_extractor *extractor = make_extractor(channels);
    dn_extractor_info info;
    const double angles[5] = {0, 10, 100, 200, 300};
    dn_pixels view = golden_view();
    dn_blob *blob;

    dn_extractor_info_init(&info);
    ck_ok(dn_extractor_get_info(extractor, &info));
    float *features = malloc(5 * (size_t)info.feature_dim * sizeof *features);
    ck_ok(dn_extractor_views(extractor, &view, angles, 5, views, NULL));
    ck_ok(dn_extractor_features(extractor, views, 5, features, NULL));
    ck_ok(dn_extractor_features_image(extractor, &view, angles, 5, features, NULL));
    ck_ok(dn_extractor_gradient(extractor, views, 5, features, gradient, NULL));
    ck_ok(dn_extractor_save(extractor, path_join(shared.folder, "backbone"), DN_STORAGE_F16, NULL));
    ck_ok(dn_extractor_save_memory(extractor, DN_STORAGE_F32, &blob, NULL));
    dn_extractor_unref(extractor);
    ck_ok(dn_extractor_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &extractor, NULL));
    dn_extractor_unref(extractor);
    dn_blob_free(blob);
    free(features);
    free(gradient);
    free(views);
}

static void use_odd_extractor(void)
{
    use_extractor(odd_channels);
}

static void use_large_extractor(void)
{
    use_extractor(large_channels);
}

static void use_default_extractor(void)
{
    dn_extractor_options options;
    dn_extractor *extractor;
    dn_error error;

    dn_extractor_options_init(&options);
    options.input_size = 64;
    if (dn_extractor_default(&options, &extractor, &error) == DN_OK)
        dn_extractor_unref(extractor);
}

/* Rows and features that are no multiple of a vector or a block. */
static void use_flow(void)
{
    enum { DIMENSION = 150, ROWS = 19 };
    dn_flow_options options;
    dn_flow *flow;
    dn_blob *blob;
    static float x[ROWS * DIMENSION], z[ROWS * DIMENSION], logdet[ROWS];
    static double likelihood[ROWS];

    dn_flow_options_init(&options);
    options.dimension = DIMENSION;
    options.hidden = 90;
    options.blocks = 2;
    ck_ok(dn_flow_create(&options, &flow, NULL));
    ck_ok(dn_flow_sample(flow, 1, ROWS, x, NULL));
    ck_ok(dn_flow_forward(flow, x, ROWS, z, logdet, NULL));
    ck_ok(dn_flow_inverse(flow, z, ROWS, x, NULL));
    ck_ok(dn_flow_log_likelihood(flow, x, ROWS, likelihood, NULL));
    ck_ok(dn_flow_gradient(flow, x, ROWS, z, logdet, x, NULL));
    ck_ok(dn_flow_save_memory(flow, &blob, NULL));
    dn_flow_unref(flow);
    ck_ok(dn_flow_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &flow, NULL));
    dn_blob_free(blob);
    dn_flow_unref(flow);
}

static void use_images(void)
{
    dn_pixels view = golden_view();
    dn_image *image;
    dn_blob *blob;
    static float map[SIDE * SIDE];
    static uint8_t overlay[SIDE * SIDE * 3];

    ck_ok(dn_image_write_png(&view, shared.png, NULL));
    ck_ok(dn_image_open_path(shared.png, NULL, &image, NULL));
    dn_image_free(image);
    ck_ok(dn_image_open_path(golden_path("images/gray.jpg"), NULL, &image, NULL));
    dn_image_free(image);
    ck_ok(dn_image_encode_png(&view, &blob, NULL));
    dn_blob_free(blob);
    ck_status(dn_image_open_path(path_join(shared.folder, "absent"), NULL, &image, NULL), DN_E_IO);
    ck_ok(dn_image_overlay(&view, map, 2, overlay, NULL));
}

static void use_model(void)
{
    dn_model *model;
    dn_model_info info;
    dn_blob *blob;

    ck_ok(dn_model_save(shared.model, shared.model_path, DN_STORAGE_F32, NULL));
    ck_ok(dn_model_open_path(shared.model_path, NULL, &model, NULL));
    dn_model_info_init(&info);
    ck_ok(dn_model_get_info(model, &info));
    ck_ok(dn_model_save_memory(model, DN_STORAGE_F16, &blob, NULL));
    dn_model_unref(model);
    ck_ok(dn_model_open_memory(dn_blob_data(blob), dn_blob_size(blob), NULL, &model, NULL));
    dn_model_unref(model);
    dn_blob_free(blob);
    ck_status(dn_model_open_path(shared.png, NULL, &model, NULL), DN_E_FORMAT);
}

static void use_scorer(void)
{
    static dn_pixels views[20];
    static dn_score scores[20];
    static const char *paths[20];
    dn_scorer *scorer = make_scorer(shared.model, 2);

    for (int i = 0; i < 20; i++) {
        views[i] = golden_view();
        paths[i] = shared.png;
        dn_score_init(&scores[i]);
    }
    ck_ok(dn_scorer_score(scorer, &views[0], &scores[0]));
    ck_ok(dn_scorer_score_path(scorer, shared.png, &scores[0]));
    ck_ok(dn_scorer_decide(scorer, &views[0], &scores[0]));
    ck_ok(dn_scorer_decide_path(scorer, shared.png, &scores[0]));
    ck_ok(dn_scorer_score_batch(scorer, views, 20, scores, NULL));
    ck_ok(dn_scorer_score_batch_paths(scorer, paths, 20, scores, NULL));
    ck_status(dn_scorer_score_path(scorer, "absent", &scores[0]), DN_E_IO);
    dn_scorer_free(scorer);
}

static void use_localizer(void)
{
    dn_localizer_options options;
    dn_localizer *localizer;
    dn_pixels view = golden_view();
    static float map[SIDE * SIDE];
    static dn_box boxes[8];
    int32_t count;

    dn_localizer_options_init(&options);
    options.views = 5;
    ck_ok(dn_localizer_create(shared.model, &options, &localizer, NULL));
    ck_ok(dn_localizer_map(localizer, &view, map));
    ck_ok(dn_localizer_boxes(localizer, map, SIDE, SIDE, 1, boxes, 8, &count));
    dn_localizer_free(localizer);
}

static void use_trainer(const int32_t *channels)
{
    dn_train_options options = tiny_options();
    dn_extractor *extractor = make_extractor(channels);
    dn_trainer *trainer;

    options.hidden = 90;
    options.epochs = 3;
    options.brightness = 0.1;
    options.checkpoint = path_join(shared.folder, "checkpoint");
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (uint32_t i = 0; i < 4; i++)
        ck_ok(add_picture(trainer, i));
    ck_ok(dn_trainer_add_path(trainer, shared.png));
    dn_blob_free(run_to_bytes(trainer));
    options.resume = 1;
    options.epochs = 4;
    extractor = make_extractor(channels);
    ck_ok(dn_trainer_create(extractor, &options, &trainer, NULL));
    dn_extractor_unref(extractor);
    for (uint32_t i = 0; i < 4; i++)
        ck_ok(add_picture(trainer, i));
    ck_ok(dn_trainer_add_path(trainer, shared.png));
    dn_blob_free(run_to_bytes(trainer));
    ck_assert_int_eq(remove(options.checkpoint), 0);
}

static void use_odd_trainer(void)
{
    use_trainer(odd_channels);
}

static void use_large_trainer(void)
{
    use_trainer(large_channels);
}

static const struct {
    const char *what;
    void (*use)(void);
} uses[] = {{"images", use_images},
            {"the backbone", use_default_extractor},
            {"an extractor", use_odd_extractor},
            {"a large extractor", use_large_extractor},
            {"a flow", use_flow},
            {"a model", use_model},
            {"a scorer", use_scorer},
            {"a localizer", use_localizer},
            {"a trainer", use_odd_trainer},
            {"a large trainer", use_large_trainer}};
#define USES ((int)(sizeof uses / sizeof *uses))

static uint8_t *entered; /* where the thread's stack was when it called */

static void *use_on_thread(void *argument)
{
    entered = __builtin_frame_address(0);
    uses[*(const int *)argument].use();
    return NULL;
}

/* Bytes of stack that a use takes: of a painted one, those whose paint is gone. */
static size_t stack_of(int use)
{
    uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *lowest = stack;
    pthread_attr_t attributes;
    pthread_t thread;

    ck_assert(stack != MAP_FAILED);
    memset(stack, PAINT, STACK);
    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, use_on_thread, &use), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    while (*lowest == PAINT)
        lowest++;
    size_t taken = (size_t)(entered - lowest);
    munmap(stack, STACK);
    return taken;
}

START_TEST(little_stack)
{
    if (under_valgrind())
        return;
    shared.folder = test_folder();
    shared.png = path_join(shared.folder, "picture.png");
    shared.model_path = path_join(shared.folder, "model.dnm");
    shared.model = golden_model();
    if (_i > 0)
        use_images();                         /* the picture that the others read */
    for (int round = 0; round < 2; round++) { /* first the loader, too, looks up what the test calls */
        size_t taken = stack_of(_i);
        if (getenv("SHOW_STACKS") && round > 0)
            printf("%s: %zu bytes of stack\n", uses[_i].what, taken);
        ck_assert_msg(SANITIZED || round == 0 || taken <= LIMIT, "%s: %zu bytes of stack", uses[_i].what, taken);
    }
    dn_model_unref(shared.model);
}
END_TEST

/* ---- the process as it was ---- */

#define SIGNALS 32
typedef struct process {
    char locale[256], folder[1024];
    int rounding, descriptors, tasks, blas_threads;
    mode_t mask;
    sigset_t blocked;
    void (*handlers[SIGNALS])(int);
    uint64_t environment;
} process;

extern char **environ;

static process process_now(int expected)
{
    process now;

    memset(&now, 0, sizeof now);
    snprintf(now.locale, sizeof now.locale, "%s", setlocale(LC_ALL, NULL));
    ck_assert_ptr_nonnull(getcwd(now.folder, sizeof now.folder));
    now.rounding = fegetround();
    now.descriptors = count_files("/proc/self/fd");
    now.tasks = count_tasks(expected);
    now.blas_threads = dn_blas_threads();
    now.mask = umask(0);
    umask(now.mask);
    pthread_sigmask(SIG_SETMASK, NULL, &now.blocked);
    for (int i = 1; i < SIGNALS; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0)
            now.handlers[i] = action.sa_handler;
    }
    for (char **entry = environ; *entry; entry++)
        for (const char *c = *entry; *c; c++)
            now.environment = (now.environment ^ (uint8_t)*c) * 0x100000001B3u;
    return now;
}

/* What a use may not change, and may not print. */
START_TEST(host_is_as_it_was)
{
    const char *printed = path_join(test_folder(), "printed");
    struct stat status;

    shared.folder = test_folder();
    shared.png = path_join(shared.folder, "picture.png");
    shared.model_path = path_join(shared.folder, "model.dnm");
    shared.model = golden_model();
    use_images();
    uses[_i].use(); /* what the C library sets up once, it has now */
    int out = dup(1), err = dup(2), file = open(printed, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert(out >= 0 && err >= 0 && file >= 0 && dup2(file, 1) == 1 && dup2(file, 2) == 2);
    fesetround(FE_DOWNWARD);
    process before = process_now(0);
    uses[_i].use();
    process after = process_now(before.tasks);
    fesetround(FE_TONEAREST);
    dup2(out, 1);
    dup2(err, 2);
    ck_assert_int_eq(stat(printed, &status), 0);
    ck_assert_msg(status.st_size == 0, "%s prints", uses[_i].what);
    ck_assert_str_eq(after.locale, before.locale);
    ck_assert_str_eq(after.folder, before.folder);
    ck_assert_int_eq(after.descriptors, before.descriptors);
    ck_assert_msg(SANITIZED || after.tasks <= before.tasks, "%s leaves a thread", uses[_i].what);
    ck_assert_msg(!memcmp(&after.rounding, &before.rounding, sizeof after.rounding), "rounding");
    ck_assert_int_eq(after.blas_threads, before.blas_threads);
    ck_assert_int_eq((int)after.mask, (int)before.mask);
    ck_assert_msg(!memcmp(&after.blocked, &before.blocked, sizeof after.blocked), "blocked signals");
    ck_assert_msg(!memcmp(after.handlers, before.handlers, sizeof after.handlers), "handlers of signals");
    ck_assert_msg(after.environment == before.environment, "the environment");
    dn_model_unref(shared.model);
}
END_TEST

/* ---- fork() at any moment ---- */

static atomic_int working, failures;

/* Checks nothing itself: a lock of Check's that this thread holds while another one forks would never fall in the child. */
static void *work_on(void *argument)
{
    while (atomic_load(&working)) {
        dn_scorer *scorer;
        if (create_scorer(argument, 3, &scorer) != DN_OK) {
            atomic_fetch_add(&failures, 1);
            break;
        }
        for (int i = 0; i < 5; i++)
            atomic_fetch_add(&failures, score_of(scorer) < 0);
        dn_scorer_free(scorer);
    }
    return NULL;
}

/* While other threads make, use and free handles.  The child uses one of its own and one that was idle. */
START_TEST(fork_at_any_moment)
{
    dn_model *model = golden_model();
    dn_scorer *idle = make_scorer(model, 3);
    int rounds = getenv("FORKS") ? atoi(getenv("FORKS")) : 40;
    pthread_t threads[2];

    (void)golden_view(); /* drawn before the threads read it */
    double expected = score_of(idle);
    atomic_store(&working, 1);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_on, model), 0);
    for (int round = 0; round < rounds; round++) {
        usleep((useconds_t)(round * 7919 % 3000));
        pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS);
            dn_scorer *own = make_scorer(model, 1 + round % 2);
            int wrong = score_of(own) != expected || score_of(idle) != expected;
            dn_scorer_free(own);
            dn_scorer_free(idle);
            dn_model_unref(model);
            _exit(wrong);
        }
        expect_success(child);
    }
    atomic_store(&working, 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
    dn_scorer_free(idle);
    dn_model_unref(model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("host");
    TCase *tests = tcase_create("host");

    tcase_add_test(tests, openblas_is_left_alone);
    tcase_add_test(tests, handles_outlive_a_fork);
    tcase_add_test(tests, trainers_outlive_a_fork);
    tcase_add_test(tests, fork_right_after_creation);
    tcase_add_test(tests, little_address_space);
    tcase_add_loop_test(tests, little_stack, 0, USES);
    tcase_add_loop_test(tests, host_is_as_it_was, 0, USES);
    /* Sanitizers' runtimes do not survive a fork beside other threads; what these hold is lost in the child. */
    if (!SANITIZED && !under_valgrind())
        tcase_add_test(tests, fork_at_any_moment);
    tcase_set_timeout(tests, 300);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
