#include "train/light.h"

#include "base/rng.h"
#include "image/heatmap.h"

/* What happens between two pictures of the same part: exposure, focus, the sensor's noise.  Deviations in pixels of a
 * view and in gray values of 255. */
#define GAIN 0.07f
#define BLUR 0.6
#define NOISE 2.5

int32_t light_copies(int32_t images)
{
    return images <= 32 ? LIGHT_KINDS : images <= 128 ? 2 : 1;
}

int32_t light_kind(int32_t image, int32_t number, int32_t kinds)
{
    return (image + number) % kinds;
}

/* rgb is multiplied by `gain`; (x + mean / std) is rgb / std. */
static void change_gain(const light_copy *copy, float gain, size_t pixels, float *view)
{
    for (size_t i = 0; i < pixels; i++, view += 3)
        for (int c = 0; c < 3; c++) {
            float black = copy->mean[c] / copy->std[c], white = (1 - copy->mean[c]) / copy->std[c];
            float value = (view[c] + black) * gain - black;
            view[c] = value < white ? value : white;
        }
}

/* The same noise in all three channels: most images are gray. */
static void add_noise(const light_copy *copy, size_t pixels, float *view)
{
    rng generator;

    rng_seed(&generator, copy->seed, RNG_LIGHT | copy->copy << 8);
    for (size_t i = 0; i < pixels; i++, view += 3) {
        float noise = (float)(NOISE / 255 * rng_normal(&generator));
        for (int c = 0; c < 3; c++)
            view[c] += noise / copy->std[c];
    }
}

void light_change(void *context, int32_t width, int32_t height, float *view, float *scratch)
{
    const light_copy *copy = context;
    size_t pixels = (size_t)width * (size_t)height;

    if (copy->kind == 2)
        map_blur(view, height, width, 3, BLUR, scratch);
    else if (copy->kind == 3)
        add_noise(copy, pixels, view);
    else
        change_gain(copy, copy->kind == 0 ? 1 - GAIN : 1 + GAIN, pixels, view);
}
