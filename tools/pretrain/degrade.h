/* What optics, sensor and storage do to a picture. */
#ifndef DN_PRETRAIN_DEGRADE_H
#define DN_PRETRAIN_DEGRADE_H

#include "scene.h"

struct degradation {
    float blur;      /* standard deviation in pixels; 0: none */
    float shrink;    /* factor of down- and upscaling; 1: none */
    float noise;     /* standard deviation of display values; 0: none */
    float grey;      /* 0..1 of the noise that all channels share */
    int32_t quality; /* of JPEG, 1..100; 0: none */
    bool subsampled; /* colour at half the resolution */
    uint32_t seed;
};

void make_degradation(struct degradation *g, struct dice *d, float strength, int32_t size);
/* Blur and scaling of three planes, in place; spare: two more. */
void degrade_optics(const struct degradation *g, float *const *planes, float *const *spare, int32_t size);
/* Noise, then 8 bits, then JPEG's losses: (size, size, 3).  spare: three planes. */
void degrade_store(const struct degradation *g, float *const *planes, float *const *spare, int32_t size,
                   uint8_t *rgb);

#endif
