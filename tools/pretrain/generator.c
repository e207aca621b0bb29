#include "generator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "defect.h"
#include "degrade.h"
#include "picture_class.h"

#define PLANES (2 + 5 * 3 + SPARES) /* height, mask; albedo, under, image, good, clean */
#define ATTEMPTS 10

enum stream { STREAM_POSE = 101, STREAM_LIGHT, STREAM_GRAIN, STREAM_DEGRADE, STREAM_DEFECT, STREAM_KIND };

/* What one thread works with. */
struct worker {
    struct scene scene;
    float *clean[3];    /* the picture without the defect, after the optics */
    float *planes;      /* all of them */
    struct picture_class class;
    int32_t class_number; /* of `class`, -1: none yet */
    struct job *job;
    pthread_t thread;
    bool started;
};

struct job {
    struct generator_options options;
    const int32_t *classes;
    const int64_t *instances;
    const int32_t *defects;
    int64_t count;
    uint8_t *images;
    int32_t *kinds;
    uint8_t *masks;
    atomic_llong next; /* first picture not yet taken */
};

/* A stream of one picture: by class, instance and purpose. */
static struct dice picture_dice(const struct job *j, int64_t i, enum stream purpose)
{
    uint64_t number = mix_bits((uint64_t)(uint32_t)j->classes[i] + 0x9E3779B97F4A7C15u) ^ (uint64_t)j->instances[i];

    return dice_of(j->options.seed, (uint64_t)purpose, number);
}

static struct pose make_pose(const struct generator_options *o, bool object, struct dice *d)
{
    float far = o->pose, angle = object ? 3.1415927f * powf(far, 1.6f) : 0.45f * far;
    float turn = dice_range(d, -angle, angle);
    struct pose p = {cosf(turn), sinf(turn), o->zoom * expf(dice_range(d, -0.25f, 0.25f) * far), 0, 0};

    p.x = dice_range(d, -0.2f, 0.2f) * far;
    p.y = dice_range(d, -0.2f, 0.2f) * far;
    return p;
}

static void make_light(struct scene *s, const struct picture_class *c, float look, struct dice *d)
{
    /* the light's home is the upper left; with `look` it comes from anywhere */
    float angle = -2.2f + look * dice_range(d, -3.14f, 3.14f), low = 0.6f + look * dice_range(d, -0.3f, 0.2f);
    struct light *l = &s->light;
    float norm;

    l->x = cosf(angle) * low;
    l->y = sinf(angle) * low;
    l->z = sqrtf(1 - low * low);
    norm = sqrtf(2 + 2 * l->z);
    l->half_x = l->x / norm;
    l->half_y = l->y / norm;
    l->half_z = (l->z + 1) / norm;
    l->ambient = clamp01(c->ambient + 0.15f * look * dice_range(d, -1, 1));
    l->gloss = c->gloss * (1 + 0.5f * look * dice_range(d, -1, 1));
    l->squarings = c->squarings;
    l->mirror = c->mirror;
    l->mirror_x = cosf(angle + 1);
    l->mirror_y = sinf(angle + 1);
    l->slope_x = 0.8f * look * dice_range(d, -1, 1);
    l->slope_y = 0.8f * look * dice_range(d, -1, 1);
    l->vignette = dice_chance(d, 0.4f * look) ? dice_range(d, 0.1f, 1.2f) : 0;
    l->exposure = expf(0.5f * look * dice_range(d, -1, 1));
    l->gain = 1;
    l->offset = 0;
}

static void set_palette(struct scene *s, const struct picture_class *c, float look, struct dice *d)
{
    for (int32_t k = 0; k < COLOURS; k++) {
        float all = 0.1f * look * dice_range(d, -1, 1);
        for (int32_t i = 0; i < 3; i++) {
            float own = 0.06f * look * dice_range(d, -1, 1) * (c->grey ? 0.0f : 1.0f);
            float value = least(most(c->palette[k][i] + all + own, 0.02f), 0.98f);
            s->palette[k][i] = value * value;
        }
    }
}

/* The good picture: s->good. */
static void draw_good(struct worker *w, int64_t i)
{
    struct scene *s = &w->scene;
    const struct generator_options *o = &w->job->options;
    struct dice pose_dice = picture_dice(w->job, i, STREAM_POSE), light = picture_dice(w->job, i, STREAM_LIGHT);
    struct dice grain = picture_dice(w->job, i, STREAM_GRAIN);
    size_t bytes = (size_t)s->size * (size_t)s->size * sizeof(float);
    bool object = class_is_object(&w->class);
    struct pose pose = make_pose(o, object, &pose_dice);

    make_light(s, &w->class, o->look, &light);
    set_palette(s, &w->class, o->look, &light);
    render_texture(&w->class.ground, &pose, grain, s);
    memset(s->mask, 0, bytes);
    for (int32_t c = 0; c < 3; c++)
        memcpy(s->under[c], s->albedo[c], bytes);
    if (object) {
        render_object(&w->class.object, &pose, picture_dice(w->job, i, STREAM_GRAIN), s);
        if (w->class.shadow > 0)
            shade_shadow(s, w->class.shadow, 1 + s->size / 40);
    }
    shade(s, (struct box){0, 0, s->size, s->size});
    shade_adapt(s);
    for (int32_t c = 0; c < 3; c++)
        memcpy(s->good[c], s->image[c], bytes);
}

static bool try_defect(struct worker *w, int32_t kind, struct dice d, int32_t attempt, const struct degradation *g,
                       uint8_t *mask)
{
    struct scene *s = &w->scene;
    size_t bytes = (size_t)s->size * (size_t)s->size * sizeof(float);
    int64_t enough = 4 + s->size / 16;
    float step = least(0.02f + 0.8f * g->noise, 0.06f);

    for (int32_t c = 0; c < 3 && attempt > 0; c++)
        memcpy(s->image[c], s->good[c], bytes);
    d.state += 0x632BE59BD9B4E019u * (uint64_t)attempt;
    draw_defect(s, kind, d, attempt);
    if (find_change(s, s->image, s->good, step, NULL) < enough)
        return false;
    degrade_optics(g, s->image, s->spare, s->size);
    return find_change(s, s->image, w->clean, step, mask) >= enough;
}

/* Returns the kind that could be drawn; where none could, the picture is the good one. */
static int32_t damage(struct worker *w, int64_t i, int32_t kind, const struct degradation *g, uint8_t *mask)
{
    struct scene *s = &w->scene;
    struct dice d = picture_dice(w->job, i, STREAM_DEFECT);
    size_t bytes = (size_t)s->size * (size_t)s->size * sizeof(float);

    for (int32_t c = 0; c < 3; c++)
        memcpy(w->clean[c], s->good[c], bytes);
    degrade_optics(g, w->clean, s->spare, s->size);
    for (int32_t attempt = 0; attempt < ATTEMPTS; attempt++)
        if (try_defect(w, kind, d, attempt, g, mask))
            return kind;
    for (int32_t attempt = 1; attempt < ATTEMPTS; attempt++)
        if (try_defect(w, DEFECT_STAIN, d, attempt + 3, g, mask))
            return DEFECT_STAIN;
    for (int32_t c = 0; c < 3; c++)
        memcpy(s->image[c], w->clean[c], bytes);
    if (mask)
        memset(mask, 0, (size_t)s->size * (size_t)s->size);
    return DEFECT_NONE;
}

static void draw_picture(struct worker *w, int64_t i)
{
    struct job *j = w->job;
    struct scene *s = &w->scene;
    struct degradation g;
    struct dice degrade = picture_dice(j, i, STREAM_DEGRADE), kind_dice = picture_dice(j, i, STREAM_KIND);
    size_t n = (size_t)s->size * (size_t)s->size;
    uint8_t *mask = j->masks ? j->masks + n * (size_t)i : NULL;
    int32_t kind = j->defects ? j->defects[i] : 0;

    if (kind < 0)
        kind = dice_int(&kind_dice, 1, DEFECT_KINDS - 1);
    if (w->class_number != j->classes[i]) {
        make_class(&w->class, j->options.seed, j->options.siblings, j->classes[i]);
        w->class_number = j->classes[i];
    }
    draw_good(w, i);
    make_degradation(&g, &degrade, j->options.degrade, s->size);
    if (kind > 0) {
        kind = damage(w, i, kind, &g, mask);
    } else {
        degrade_optics(&g, s->image, s->spare, s->size);
        if (mask)
            memset(mask, 0, n);
    }
    degrade_store(&g, s->image, s->spare, s->size, j->images + 3 * n * (size_t)i);
    if (j->kinds)
        j->kinds[i] = kind;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    int64_t i;

    while ((i = atomic_fetch_add(&w->job->next, 1)) < w->job->count)
        draw_picture(w, i);
    return NULL;
}

/* ---- threads ---- */

static bool prepare_worker(struct worker *w, struct job *j)
{
    size_t n = (size_t)j->options.size * (size_t)j->options.size;
    float *next = w->planes = calloc(PLANES, n * sizeof *w->planes);
    struct scene *s = &w->scene;

    w->job = j;
    w->class_number = -1;
    if (!next)
        return false;
    s->size = j->options.size;
    s->height = next;
    s->mask = next + n;
    next += 2 * n;
    for (int32_t c = 0; c < 3; c++, next += 5 * n) {
        s->albedo[c] = next;
        s->under[c] = next + n;
        s->image[c] = next + 2 * n;
        s->good[c] = next + 3 * n;
        w->clean[c] = next + 4 * n;
    }
    for (int32_t k = 0; k < SPARES; k++, next += n)
        s->spare[k] = next;
    return true;
}

static int32_t run_workers(struct worker *workers, int32_t threads, struct job *j)
{
    int32_t error = GENERATOR_OK;

    for (int32_t t = 0; t < threads && !error; t++)
        if (!prepare_worker(&workers[t], j))
            error = GENERATOR_E_MEMORY;
    for (int32_t t = 1; t < threads && !error; t++) {
        workers[t].started = !pthread_create(&workers[t].thread, NULL, work, &workers[t]);
        if (!workers[t].started)
            error = GENERATOR_E_THREAD;
    }
    if (!error)
        work(&workers[0]);
    else
        atomic_store(&j->next, j->count); /* those that run have nothing more to do */
    for (int32_t t = 1; t < threads; t++)
        if (workers[t].started)
            pthread_join(workers[t].thread, NULL);
    for (int32_t t = 0; t < threads; t++)
        free(workers[t].planes);
    return error;
}

/* ---- API ---- */

static bool in_range(float x, float low, float high)
{
    return x >= low && x <= high; /* false for a NaN */
}

/* Defaults filled in; false if a number is out of its range. */
static bool check_options(const struct generator_options *given, struct generator_options *o)
{
    if (!given || given->struct_size != sizeof *o)
        return false;
    *o = *given;
    o->siblings = o->siblings == 0 ? 4 : o->siblings;
    o->threads = o->threads == 0 ? 1 : o->threads;
    o->zoom = o->zoom == 0 ? 1 : o->zoom;
    return o->size >= 32 && o->size <= MAX_SIDE && o->siblings >= 1 && o->siblings <= 64 && o->threads >= 1 &&
           o->threads <= 256 && in_range(o->pose, 0, 1) && in_range(o->look, 0, 1) && in_range(o->degrade, 0, 1) &&
           in_range(o->zoom, 0.05f, 20);
}

static bool check_pictures(const struct job *j)
{
    if (j->count < 0 || j->count > INT64_MAX / (3 * MAX_SIDE * MAX_SIDE))
        return false;
    if (j->count > 0 && (!j->classes || !j->instances || !j->images))
        return false;
    for (int64_t i = 0; i < j->count; i++) {
        if (j->classes[i] < 0)
            return false;
        if (j->defects && (j->defects[i] < -1 || j->defects[i] >= DEFECT_KINDS))
            return false;
    }
    return true;
}

int32_t generator_run(const struct generator_options *options, const int32_t *classes, const int64_t *instances,
                      const int32_t *defects, int64_t count, uint8_t *images, int32_t *kinds, uint8_t *masks)
{
    struct job job = {.classes = classes, .instances = instances, .defects = defects, .count = count, .images = images,
                      .kinds = kinds, .masks = masks};
    struct worker *workers;
    int32_t threads, error;

    if (!check_options(options, &job.options) || !check_pictures(&job))
        return GENERATOR_E_ARGUMENT;
    if (count == 0)
        return GENERATOR_OK;
    threads = job.options.threads < count ? job.options.threads : (int32_t)count;
    workers = calloc((size_t)threads, sizeof *workers);
    if (!workers)
        return GENERATOR_E_MEMORY;
    error = run_workers(workers, threads, &job);
    free(workers);
    return error;
}

int32_t generator_defect_kinds(void)
{
    return DEFECT_KINDS - 1;
}

const char *generator_defect_name(int32_t kind)
{
    return defect_name(kind);
}

int32_t generator_families(void)
{
    return class_families();
}

int32_t generator_texture_families(void)
{
    return class_texture_families();
}

const char *generator_family_name(int32_t family)
{
    return class_family_name(family);
}

int32_t generator_family_of(uint64_t seed, int32_t siblings, int32_t class_number)
{
    siblings = siblings == 0 ? 4 : siblings;
    if (siblings < 1 || siblings > 64 || class_number < 0)
        return -1;
    return class_family_of(seed, siblings, class_number);
}
