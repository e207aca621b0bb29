/* A program with worker threads of its own lends them to the library and scores a batch of files: no thread is started
 * that the program does not know.
 *
 *   cc own_pool.c -o own_pool $(pkg-config --cflags --libs differnet) -pthread
 *   ./own_pool part.dnm photo1.png photo2.png ...
 */
#include <differnet.h>
#include <pthread.h>
#include <stdio.h>

enum { WORKERS = 4, FILES = 256 };

struct pool { /* one loop at a time, its jobs taken in order */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    dn_job_fn job;
    void *context;
    int32_t next, jobs, unfinished;
};

static void *worker(void *argument)
{
    struct pool *pool = argument;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->next == pool->jobs)
            pthread_cond_wait(&pool->work, &pool->mutex);
        int32_t mine = pool->next++;
        pthread_mutex_unlock(&pool->mutex);
        pool->job(pool->context, mine);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->unfinished == 0)
            pthread_cond_signal(&pool->done);
    }
    return NULL; /* not reached: the threads end with the program */
}

static void run(dn_job_fn job, void *context, int32_t jobs, void *user)
{
    struct pool *pool = user; /* every job once, back when all are done */

    pthread_mutex_lock(&pool->mutex);
    pool->job = job;
    pool->context = context;
    pool->next = 0;
    pool->jobs = pool->unfinished = jobs;
    pthread_cond_broadcast(&pool->work);
    while (pool->unfinished > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static int score_files(const char *model_path, const char *const *paths, int32_t count, const dn_runner *runner)
{
    static dn_score scores[FILES];
    static dn_error errors[FILES];
    dn_scorer_options options;
    dn_scorer *scorer = NULL;
    dn_model *model;
    dn_error error;

    dn_scorer_options_init(&options);
    options.threads = WORKERS;
    options.runner = runner;
    for (int32_t i = 0; i < count; i++)
        dn_score_init(&scores[i]);
    if (dn_blas_threads() > 1 && dn_blas_set_threads(1) != DN_OK) /* its own would be in the way of ours */
        return 2;
    dn_status status = dn_model_open_path(model_path, NULL, &model, &error);
    if (status == DN_OK)
        status = dn_scorer_create(model, &options, &scorer, &error);
    dn_model_unref(model);
    if (status != DN_OK)
        return fprintf(stderr, "%s\n", error.message), 2;
    status = dn_scorer_score_batch_paths(scorer, paths, count, scores, errors);
    for (int32_t i = 0; i < count; i++)
        if (errors[i].status == DN_OK)
            printf("%s: %.4f%s\n", paths[i], scores[i].score, scores[i].anomalous == 1 ? ", ANOMALOUS" : "");
        else
            fprintf(stderr, "%s\n", errors[i].message);
    dn_scorer_free(scorer);
    return status == DN_OK ? 0 : 2;
}

int main(int argc, char **argv)
{
    static struct pool pool = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, 0, 0, 0};
    const dn_runner runner = {run, &pool};
    pthread_t thread;

    if (argc < 3 || argc - 2 > FILES)
        return fprintf(stderr, "usage: %s MODEL IMAGE... (up to %d)\n", argv[0], FILES), 2;
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&thread, NULL, worker, &pool) != 0 || pthread_detach(thread) != 0)
            return 2;
    return score_files(argv[1], (const char *const *)argv + 2, argc - 2, &runner);
}
