/* The image of tests/golden/make_heatmap.py, and its model. */
#ifndef DN_TESTS_HEATMAP_GOLDEN_H
#define DN_TESTS_HEATMAP_GOLDEN_H

#include <stdint.h>
#include <stdlib.h>

#include "support.h"

#define GOLDEN_MODEL "heatmap_model.safetensors"
#define GOLDEN_SIZE 128
#define GOLDEN_DIM 8
#define GOLDEN_VIEWS 4

/* rgb: (GOLDEN_SIZE, GOLDEN_SIZE, 3). */
static inline void golden_image(uint8_t *rgb)
{
    for (int y = 0; y < GOLDEN_SIZE; y++)
        for (int x = 0; x < GOLDEN_SIZE; x++)
            for (int c = 0; c < 3; c++) {
                int noise = (int)((((int64_t)x * 73856093) ^ ((int64_t)y * 19349663) ^ ((c + 1) * 83492791LL)) % 61);
                int wave = abs((3 * x + 5 * y + 40 * c) % 180 - 90);
                int ramp = (7 * x - 4 * y) % 120;
                wave += abs((ramp < 0 ? ramp + 120 : ramp) - 60) + x * y / 512; /* Python's % is never negative */
                int value = wave + noise;
                *rgb++ = (uint8_t)(value > 255 ? 255 : value);
            }
}

static inline dn_model *golden_model(void)
{
    dn_error error = {0};
    dn_model *model;
    dn_status status = dn_model_open_path(golden_path(GOLDEN_MODEL), NULL, &model, &error);

    ck_assert_msg(status == DN_OK, "%s", error.message);
    return model;
}

#endif
