#include "demo_render.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The part's own coordinates: its centre is 0, its outer radius 1, heights in the same unit, z towards the camera. */
#define PI 3.14159265358979f
#define SUBSAMPLES 3     /* per pixel and direction */
#define PART_SCALE 0.86f /* outer radius as a share of half the picture */
#define BOLT_HOLES 6
#define BOLT_CIRCLE 0.715f
#define BOLT_RADIUS 0.088f
#define BOLT_SINK 0.118f /* outer radius of the countersink */
#define PIN_RADIUS 0.038f
#define BORE_RADIUS 0.205f
#define MAT_HEIGHT (-0.25f)

/* ---- randomness ---- */

static uint32_t hash(uint32_t x, uint32_t y, uint32_t seed)
{
    uint32_t h = x * 0x8DA6B343u ^ y * 0xD8163841u ^ seed * 0xCB1AB31Fu;

    h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
    h = (h ^ (h >> 12)) * 0x297A2D39u;
    return h ^ (h >> 15);
}

/* Smooth noise, -1 .. 1, features of about the size 1. */
static float noise(float x, float y, uint32_t seed)
{
    float fx = floorf(x), fy = floorf(y), u = x - fx, v = y - fy;
    uint32_t ix = (uint32_t)(int32_t)fx, iy = (uint32_t)(int32_t)fy;
    float a = (float)hash(ix, iy, seed), b = (float)hash(ix + 1, iy, seed);
    float c = (float)hash(ix, iy + 1, seed), d = (float)hash(ix + 1, iy + 1, seed);

    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    return (a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v) * (2 / 4294967296.0f) - 1;
}

static float layered_noise(float x, float y, int layers, uint32_t seed)
{
    float sum = 0, weight = 1, total = 0;

    for (int i = 0; i < layers; i++) {
        sum += weight * noise(x, y, seed + (uint32_t)i);
        total += weight;
        weight *= 0.5f;
        x *= 2.03f;
        y *= 2.03f;
    }
    return sum / total;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static float uniform(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(next_random(state) >> 40) * (1 / 16777216.0f);
}

/* Nearly normal: a sum of four uniform numbers, deviation 1. */
static float bell(uint64_t *state)
{
    uint64_t bits = next_random(state);
    float sum = 0;

    for (int i = 0; i < 4; i++)
        sum += (float)(bits >> (16 * i) & 0xFFFF) / 65535 - 0.5f;
    return sum * 1.7320508f;
}

static float step_between(float low, float high, float x)
{
    float t = (x - low) / (high - low);

    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

/* ---- the scene ---- */

typedef struct demo_scene {
    uint32_t grain;                       /* seed of the textures */
    float cosine, sine, shift_x, shift_y; /* pose */
    float light[3], exposure, warmth;
    enum demo_defect defect;
    float place_x, place_y; /* of the defect, part coordinates */
    float extent, direction;
    int missing;       /* bolt hole that was not drilled; -1: none */
    float curve[4][2]; /* the scratch: control points of a Bezier curve */
} demo_scene;

/* What one sample shows. */
enum material { MAT, STEEL, HOLE, FRACTURE };
typedef struct scene_sample {
    float x, y; /* part coordinates */
    float height;
    float stain;     /* 0 .. 1 */
    float roughness; /* of a scratch's torn metal, 0 .. 1 */
    uint8_t material;
    bool defective;
} scene_sample;

static void choose_place(demo_scene *scene, uint64_t *random)
{
    /* On the ring between hub and rim, in a gap between bolt holes. */
    float gap = floorf(uniform(random, 0, BOLT_HOLES)) + 0.5f;
    float angle = gap * 2 * PI / BOLT_HOLES + uniform(random, -0.2f, 0.2f), radius = uniform(random, 0.55f, 0.85f);

    if (scene->defect == DEMO_BROKEN_EDGE) {
        angle = uniform(random, -PI, PI);
        radius = uniform(random, 0.99f, 1.04f);
    }
    scene->place_x = radius * cosf(angle);
    scene->place_y = radius * sinf(angle);
    scene->direction = uniform(random, -PI, PI);
    scene->extent = scene->defect == DEMO_BROKEN_EDGE ? uniform(random, 0.09f, 0.17f)
                    : scene->defect == DEMO_DENT      ? uniform(random, 0.08f, 0.14f)
                                                      : uniform(random, 0.13f, 0.24f);
}

static void choose_scratch(demo_scene *scene, uint64_t *random)
{
    float length = uniform(random, 0.30f, 0.75f), x = cosf(scene->direction), y = sinf(scene->direction);
    float bend = uniform(random, -0.12f, 0.12f);

    for (int i = 0; i < 4; i++) {
        float along = length * ((float)i / 3 - 0.5f), across = (i == 1 || i == 2) ? bend * (i == 1 ? 1 : 0.4f) : 0;
        scene->curve[i][0] = scene->place_x + along * x - across * y;
        scene->curve[i][1] = scene->place_y + along * y + across * x;
    }
    scene->extent = uniform(random, 0.007f, 0.012f);
}

static demo_scene make_scene(enum demo_defect defect, uint64_t *random)
{
    demo_scene scene = {.defect = defect, .missing = -1};
    float turn = uniform(random, -0.06f, 0.06f), azimuth = -2.25f + uniform(random, -0.04f, 0.04f);

    scene.grain = (uint32_t)next_random(random);
    scene.cosine = cosf(turn);
    scene.sine = sinf(turn);
    scene.shift_x = uniform(random, -0.025f, 0.025f);
    scene.shift_y = uniform(random, -0.025f, 0.025f);
    scene.light[0] = 0.60f * cosf(azimuth);
    scene.light[1] = 0.60f * sinf(azimuth);
    scene.light[2] = 0.80f;
    scene.exposure = uniform(random, 0.96f, 1.04f);
    scene.warmth = uniform(random, -0.015f, 0.015f);
    choose_place(&scene, random);
    if (defect == DEMO_MISSING_HOLE)
        scene.missing = (int)uniform(random, 0, BOLT_HOLES);
    if (defect == DEMO_SCRATCH)
        choose_scratch(&scene, random);
    return scene;
}

/* Distance from a hole's centre, or a large number if the sample is nearer to another one. */
static float hole_distance(const demo_scene *scene, float x, float y)
{
    float sector = 2 * PI / BOLT_HOLES;
    int nearest = (int)floorf(atan2f(y, x) / sector + 0.5f);
    float angle = (float)nearest * sector;

    if ((nearest + BOLT_HOLES) % BOLT_HOLES == scene->missing)
        return 9;
    return hypotf(x - BOLT_CIRCLE * cosf(angle), y - BOLT_CIRCLE * sinf(angle));
}

/* Lowers the height inside a hole's conical edge; returns whether the sample is in the hole itself. */
static bool drill(scene_sample *sample, float distance, float radius, float sink)
{
    if (distance < radius) {
        sample->height = -0.2f;
        sample->material = HOLE;
        return true;
    }
    if (distance < sink)
        sample->height -= 0.9f * (sink - distance);
    return false;
}

static float turned_profile(float r)
{
    float height = 0.07f * (1 - step_between(0.405f, 0.435f, r)); /* hub */

    height -= 0.030f * step_between(0.500f, 0.512f, r) * (1 - step_between(0.532f, 0.544f, r)); /* groove for a seal */
    if (r > 0.955f)
        height -= 0.8f * (r - 0.955f); /* chamfer */
    return height;
}

static float scratch_distance(const demo_scene *scene, float x, float y, float *along)
{
    float best = 9, px = scene->curve[0][0], py = scene->curve[0][1];
    const int pieces = 16;

    for (int i = 1; i <= pieces; i++) {
        float t = (float)i / pieces, s = 1 - t;
        float w[4] = {s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t}, qx = 0, qy = 0;
        for (int k = 0; k < 4; k++) {
            qx += w[k] * scene->curve[k][0];
            qy += w[k] * scene->curve[k][1];
        }
        float dx = qx - px, dy = qy - py, part = ((x - px) * dx + (y - py) * dy) / (dx * dx + dy * dy);
        part = part < 0 ? 0 : part > 1 ? 1 : part;
        float distance = hypotf(x - px - part * dx, y - py - part * dy);
        if (distance < best) {
            best = distance;
            *along = ((float)(i - 1) + part) / pieces;
        }
        px = qx;
        py = qy;
    }
    return best;
}

static void add_scratch(const demo_scene *scene, scene_sample *sample)
{
    float along = 0, reach = 0.6f;

    if (hypotf(sample->x - scene->place_x, sample->y - scene->place_y) > reach)
        return;
    float distance = scratch_distance(scene, sample->x, sample->y, &along);
    float width = scene->extent * (1 + 0.35f * noise(along * 14, 0.5f, scene->grain + 70));
    width *= step_between(0, 0.12f, along) * (1 - step_between(0.75f, 1, along));
    if (width < 1e-4f || distance > 2.2f * width)
        return;
    float inside = 1 - step_between(0.3f * width, width, distance);
    sample->height += -1.1f * width * inside + 0.35f * width * step_between(width, 1.4f * width, distance) *
                                                   (1 - step_between(1.6f * width, 2.2f * width, distance));
    sample->roughness = inside;
    sample->defective = distance < 1.5f * width;
}

static void add_dent(const demo_scene *scene, scene_sample *sample)
{
    float dx = sample->x - scene->place_x, dy = sample->y - scene->place_y, c = cosf(scene->direction);
    float s = sinf(scene->direction), u = c * dx + s * dy, v = 1.25f * (c * dy - s * dx);
    float distance = hypotf(u, v) / scene->extent;

    if (distance > 1.8f)
        return;
    distance += 0.12f * noise(dx * 14, dy * 14, scene->grain + 80);
    sample->height -= 0.30f * scene->extent * (1 - step_between(0, 1, distance));
    sample->height += 0.05f * scene->extent * step_between(0.8f, 1.1f, distance) *
                      (1 - step_between(1.1f, 1.5f, distance));
    sample->defective = distance < 1.0f;
}

static void add_stain(const demo_scene *scene, scene_sample *sample)
{
    float dx = sample->x - scene->place_x, dy = sample->y - scene->place_y;
    float distance = hypotf(dx, dy) / scene->extent;

    if (distance > 1.8f)
        return;
    float edge = distance + 0.55f * layered_noise(dx * 9, dy * 9, 4, scene->grain + 90);
    float body = 1 - step_between(0.70f, 0.95f, edge), ring = 1 - step_between(0.02f, 0.16f, fabsf(edge - 0.80f));
    sample->stain = 0.62f * body * (1 + 0.3f * noise(dx * 26, dy * 26, scene->grain + 95)) + 0.28f * ring;
    sample->stain = sample->stain > 1 ? 1 : sample->stain < 0 ? 0 : sample->stain;
    sample->defective = sample->stain > 0.22f;
}

static void break_edge(const demo_scene *scene, scene_sample *sample)
{
    float dx = sample->x - scene->place_x, dy = sample->y - scene->place_y;
    float distance = hypotf(dx, dy) / scene->extent;

    if (distance > 2)
        return;
    distance += 0.30f * layered_noise(dx * 16, dy * 16, 3, scene->grain + 60);
    if (distance > 1)
        return;
    sample->defective = true;
    if (distance < 0.62f) {
        sample->material = MAT;
        sample->height = MAT_HEIGHT;
        return;
    }
    sample->material = FRACTURE;
    sample->height -= 0.55f * scene->extent * (1 - distance) / 0.38f * 0.5f;
    sample->height += 0.030f * layered_noise(dx * 40, dy * 40, 3, scene->grain + 65);
}

static scene_sample sample_scene(const demo_scene *scene, float x, float y)
{
    scene_sample sample = {.x = x, .y = y, .material = STEEL};
    float r = hypotf(x, y), pin = PI / BOLT_HOLES;

    if (r > 1) {
        sample.material = MAT;
        sample.height = MAT_HEIGHT;
        return sample;
    }
    sample.height = turned_profile(r);
    bool open = drill(&sample, r, BORE_RADIUS, BORE_RADIUS + 0.03f) ||
                drill(&sample, hole_distance(scene, x, y), BOLT_RADIUS, BOLT_SINK) ||
                drill(&sample, hypotf(x - BOLT_CIRCLE * cosf(pin), y - BOLT_CIRCLE * sinf(pin)), PIN_RADIUS,
                      PIN_RADIUS + 0.014f);
    if (scene->missing >= 0) {
        float angle = (float)scene->missing * 2 * PI / BOLT_HOLES;
        sample.defective = hypotf(x - BOLT_CIRCLE * cosf(angle), y - BOLT_CIRCLE * sinf(angle)) < BOLT_SINK;
    }
    if (open)
        return sample;
    if (scene->defect == DEMO_SCRATCH)
        add_scratch(scene, &sample);
    else if (scene->defect == DEMO_DENT)
        add_dent(scene, &sample);
    else if (scene->defect == DEMO_STAIN)
        add_stain(scene, &sample);
    else if (scene->defect == DEMO_BROKEN_EDGE)
        break_edge(scene, &sample);
    return sample;
}

/* ---- shading ---- */

/* Light that comes from direction d: a softbox, a weak second one opposite, a bright ceiling, dark walls. */
static float surroundings(const demo_scene *scene, const float d[3])
{
    const float *l = scene->light;
    float main = d[0] * l[0] + d[1] * l[1] + d[2] * l[2], other = -d[0] * l[0] - d[1] * l[1] + d[2] * l[2];

    return 0.07f + 0.17f * step_between(0.2f, 1, d[2]) + 0.95f * step_between(0.80f, 0.99f, main) +
           0.22f * step_between(0.82f, 0.99f, other);
}

/* The surroundings mirrored in a surface of slope (sx, sy), seen from straight above. */
static float mirrored(const demo_scene *scene, float sx, float sy)
{
    float scale = 2 / (1 + sx * sx + sy * sy);
    const float d[3] = {-sx * scale, -sy * scale, scale - 1}; /* 2 n (n . view) - view, n = (-sx, -sy, 1) / |.| */

    return surroundings(scene, d);
}

/* Turned steel: the tool left fine rings, whose slopes spread reflections across them. */
static void shade_steel(const demo_scene *scene, const scene_sample *sample, float sx, float sy, float colour[3])
{
    float r = hypotf(sample->x, sample->y), angle = atan2f(sample->y, sample->x), light = 0;
    /* Across the rings, in the picture's frame. */
    float ux = r > 0 ? (scene->cosine * sample->x - scene->sine * sample->y) / r : 1;
    float uy = r > 0 ? (scene->sine * sample->x + scene->cosine * sample->y) / r : 0;
    float rings = 0.6f * noise(r * 62, angle * 1.5f, scene->grain) +
                  0.4f * noise(r * 27, angle * 0.7f, scene->grain + 1);
    float wear = layered_noise(sample->x * 5, sample->y * 5, 3, scene->grain + 2);
    float spread = 0.17f + 0.25f * sample->roughness;

    for (int k = -3; k <= 3; k++) {
        float tilt = spread * (float)k / 3 + 0.05f * rings;
        light += mirrored(scene, sx + tilt * ux, sy + tilt * uy);
    }
    light = light / 7 * (1 + 0.10f * rings + 0.05f * wear) + 0.10f * sample->roughness;
    float dull = 0.16f + 0.25f * light, brown = sample->stain;
    colour[0] = light * 0.97f * (1 - brown) + dull * 0.62f * brown;
    colour[1] = light * 0.98f * (1 - brown) + dull * 0.44f * brown;
    colour[2] = light * 1.00f * (1 - brown) + dull * 0.27f * brown;
}

/* Rubber: fine grain, a woven relief, and the part's shadow. */
static void shade_mat(const demo_scene *scene, const scene_sample *sample, float colour[3])
{
    float x = sample->x, y = sample->y, weave = sinf(x * 95) * sinf(y * 95);
    float grain = layered_noise(x * 60, y * 60, 2, scene->grain + 10);
    float patch = noise(x * 2.2f, y * 2.2f, scene->grain + 11);
    float shadow = hypotf(x + 0.09f * scene->light[0], y + 0.09f * scene->light[1]);
    float light = 0.050f * (1 + 0.10f * weave + 0.22f * grain + 0.10f * patch);

    light *= 1 - 0.70f * (1 - step_between(0.96f, 1.10f, shadow));
    colour[0] = light * 0.86f;
    colour[1] = light;
    colour[2] = light * 1.08f;
}

/* A drilled wall: only the side that faces the lamp catches light, and less the deeper it lies. */
static void shade_hole(const demo_scene *scene, const scene_sample *sample, float colour[3])
{
    float x = sample->x, y = sample->y, r = hypotf(x, y), radius = BORE_RADIUS, distance = r;

    if (r > 2 * BORE_RADIUS) {
        float sector = 2 * PI / BOLT_HOLES, angle = floorf(atan2f(y, x) / sector + 0.5f) * sector;
        x -= BOLT_CIRCLE * cosf(angle);
        y -= BOLT_CIRCLE * sinf(angle);
        radius = BOLT_RADIUS;
        distance = hypotf(x, y);
        if (distance > radius) { /* none of the bolt holes: the pin's */
            x = sample->x - BOLT_CIRCLE * cosf(PI / BOLT_HOLES);
            y = sample->y - BOLT_CIRCLE * sinf(PI / BOLT_HOLES);
            radius = PIN_RADIUS;
            distance = hypotf(x, y);
        }
    }
    float facing = distance > 0 ? -(x * scene->light[0] + y * scene->light[1]) / (0.6f * distance) : 0;
    float wall = facing > 0 ? facing * step_between(0.72f, 1, distance / radius) : 0;
    colour[0] = colour[1] = colour[2] = 0.010f + 0.16f * wall;
}

static void shade_fracture(const demo_scene *scene, const scene_sample *sample, float sx, float sy, float colour[3])
{
    float length = sqrtf(1 + sx * sx + sy * sy);
    float facing = (-sx * scene->light[0] - sy * scene->light[1] + scene->light[2]) / length;
    float glint = step_between(0.45f, 0.75f, noise(sample->x * 90, sample->y * 90, scene->grain + 66));
    float light = 0.07f + 0.26f * (facing > 0 ? facing : 0) + 0.25f * glint * (facing > 0 ? facing : 0);

    colour[0] = light * 0.95f;
    colour[1] = light * 0.96f;
    colour[2] = light;
}

static void shade(const demo_scene *scene, const scene_sample *sample, float sx, float sy, float colour[3])
{
    switch (sample->material) {
    case STEEL:
        shade_steel(scene, sample, sx, sy, colour);
        break;
    case HOLE:
        shade_hole(scene, sample, colour);
        break;
    case FRACTURE:
        shade_fracture(scene, sample, sx, sy, colour);
        break;
    default:
        shade_mat(scene, sample, colour);
    }
}

/* ---- the camera ---- */

/* Slope between two samples; steps from the part to a hole or the mat are walls, not slopes. */
static float slope(const scene_sample *before, const scene_sample *after, float distance)
{
    float rise = (after->height - before->height) / distance;

    if ((before->material == MAT || before->material == HOLE) != (after->material == MAT || after->material == HOLE))
        return 0;
    return rise < -1.5f ? -1.5f : rise > 1.5f ? 1.5f : rise;
}

/* samples: (fine, fine); the picture has fine / SUBSAMPLES pixels each way. */
static void take_samples(const demo_scene *scene, int fine, scene_sample *samples)
{
    float unit = 2 / (PART_SCALE * (float)fine);

    for (int v = 0; v < fine; v++) {
        for (int u = 0; u < fine; u++) {
            float x = ((float)u + 0.5f - 0.5f * (float)fine) * unit - scene->shift_x;
            float y = ((float)v + 0.5f - 0.5f * (float)fine) * unit - scene->shift_y;
            samples[v * fine + u] = sample_scene(scene, scene->cosine * x + scene->sine * y,
                                                 scene->cosine * y - scene->sine * x);
        }
    }
}

static void shade_pixel(const demo_scene *scene, int fine, const scene_sample *samples, int px, int py, float colour[3],
                        int *defective)
{
    float step = 4 / (PART_SCALE * (float)fine); /* from one neighbour to the other */

    colour[0] = colour[1] = colour[2] = 0;
    *defective = 0;
    for (int i = 0; i < SUBSAMPLES * SUBSAMPLES; i++) {
        int u = px * SUBSAMPLES + i % SUBSAMPLES, v = py * SUBSAMPLES + i / SUBSAMPLES;
        int left = u > 0 ? u - 1 : u, right = u + 1 < fine ? u + 1 : u;
        int above = v > 0 ? v - 1 : v, below = v + 1 < fine ? v + 1 : v;
        float one[3];
        shade(scene, &samples[v * fine + u], slope(&samples[v * fine + left], &samples[v * fine + right], step),
              slope(&samples[above * fine + u], &samples[below * fine + u], step), one);
        for (int c = 0; c < 3; c++)
            colour[c] += one[c] / (SUBSAMPLES * SUBSAMPLES);
        *defective += samples[v * fine + u].defective;
    }
}

/* Vignetting, exposure, white balance, photon and read-out noise, gamma. */
static uint8_t expose(const demo_scene *scene, float light, int channel, float off_centre, uint64_t *random)
{
    float balance = channel == 0 ? 1 + scene->warmth : channel == 2 ? 1 - scene->warmth : 1;

    light *= scene->exposure * balance * (1 - 0.16f * off_centre * off_centre);
    light += bell(random) * sqrtf(2.5e-6f + 1.6e-4f * (light > 0 ? light : 0));
    light = light < 0 ? 0 : light;
    if (light > 0.8f) /* a soft shoulder, no hard clipping */
        light = 0.8f + 0.2f * (1 - expf(-(light - 0.8f) / 0.2f));
    return (uint8_t)(255 * powf(light, 1 / 2.2f) + 0.5f);
}

int demo_render(enum demo_defect defect, uint64_t seed, int size, uint8_t *rgb, uint8_t *mask)
{
    int fine = size * SUBSAMPLES;
    uint64_t random = seed;
    demo_scene scene = make_scene(defect, &random);
    scene_sample *samples = malloc((size_t)fine * (size_t)fine * sizeof *samples);

    if (!samples)
        return 0;
    take_samples(&scene, fine, samples);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            float colour[3], off = hypotf((float)(2 * x - size), (float)(2 * y - size)) / (float)size;
            int defective;
            shade_pixel(&scene, fine, samples, x, y, colour, &defective);
            for (int c = 0; c < 3; c++)
                rgb[(y * size + x) * 3 + c] = expose(&scene, colour[c], c, off, &random);
            if (mask)
                mask[y * size + x] = defective * 3 >= SUBSAMPLES * SUBSAMPLES ? 255 : 0;
        }
    }
    free(samples);
    return 1;
}
