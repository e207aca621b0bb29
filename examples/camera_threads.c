/* Several camera threads score raw buffers with one shared model: the model is immutable, each thread has its scorer.
 *
 *   cc camera_threads.c -o camera_threads $(pkg-config --cflags --libs differnet) -pthread
 *   ./camera_threads part.dnm
 */
#include <differnet.h>
#include <pthread.h>
#include <stdio.h>

enum { CAMERAS = 3, FRAMES = 4, WIDTH = 640, HEIGHT = 480 };

struct camera {
    dn_model *model;
    int index;
    int failed;
};

/* Stands in for a driver: a 16-bit gray frame. */
static void grab(int camera, int frame, uint16_t *pixels)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            pixels[y * WIDTH + x] = (uint16_t)(x * 80 + ((x ^ y) & 31) * 90 + camera * 500 + frame * 50);
}

static void *watch(void *argument)
{
    struct camera *self = argument;
    static uint16_t frames[CAMERAS][WIDTH * HEIGHT];
    dn_scorer_options options;
    dn_scorer *scorer;
    dn_error error;

    dn_scorer_options_init(&options);
    options.views = 4; /* fewer views: faster, a little less accurate */
    if (dn_scorer_create(self->model, &options, &scorer, &error) != DN_OK) {
        fprintf(stderr, "camera %d: %s\n", self->index, error.message);
        self->failed = 1;
        return NULL;
    }
    for (int frame = 0; frame < FRAMES; frame++) {
        dn_pixels view = {.pixels = frames[self->index],
                          .width = WIDTH,
                          .height = HEIGHT,
                          .stride = WIDTH * (int64_t)sizeof(uint16_t),
                          .format = DN_GRAY16};
        dn_score score;

        grab(self->index, frame, frames[self->index]);
        dn_score_init(&score);
        if (dn_scorer_score(scorer, &view, &score) != DN_OK) {
            fprintf(stderr, "camera %d: %s\n", self->index, dn_scorer_error(scorer)->message);
            self->failed = 1;
            break;
        }
        printf("camera %d, frame %d: score %.4f, p-value %.3f%s\n", self->index, frame, score.score, score.p_value,
               score.anomalous == 1 ? ", ANOMALOUS" : "");
    }
    dn_scorer_free(scorer);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[CAMERAS];
    struct camera cameras[CAMERAS];
    dn_model *model;
    dn_error error;
    int failed = 0, started = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    if (dn_blas_threads() > 1 && dn_blas_set_threads(1) != DN_OK) /* each scorer runs on its own thread */
        return 2;
    if (dn_model_open_path(argv[1], NULL, &model, &error) != DN_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    for (int i = 0; i < CAMERAS; i++) {
        cameras[i] = (struct camera){model, i, 0};
        if (pthread_create(&threads[i], NULL, watch, &cameras[i]) != 0)
            break;
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        failed |= cameras[i].failed;
    }
    dn_model_unref(model);
    return failed || started < CAMERAS ? 2 : 0;
}
