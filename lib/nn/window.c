#include "nn/window.h"

#include <string.h>

#include "base/simd.h"

void window_gather(window h, window w, const float *x, int32_t in_w, size_t channels, float *rows)
{
    size_t line = (size_t)w.size * channels, before = (size_t)w.first * channels;
    size_t inside = (size_t)(w.last - w.first) * channels;

    for (int32_t y = 0; y < h.size; y++, rows += line) {
        if (y < h.first || y >= h.last || inside == 0) {
            memset(rows, 0, line * sizeof *rows);
            continue;
        }
        size_t from = (size_t)(h.origin + y) * (size_t)in_w + (size_t)(w.origin + w.first);
        memset(rows, 0, before * sizeof *rows);
        memcpy(rows + before, x + from * channels, inside * sizeof *rows);
        memset(rows + before + inside, 0, (line - before - inside) * sizeof *rows);
    }
}

SIMD_CLONES
static void add(const float *restrict from, float *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

void window_scatter(window h, window w, const float *rows, float *x, int32_t in_w, size_t channels)
{
    size_t inside = (size_t)(w.last - w.first) * channels;

    if (inside == 0)
        return;
    for (int32_t y = h.first; y < h.last; y++) {
        size_t to = (size_t)(h.origin + y) * (size_t)in_w + (size_t)(w.origin + w.first);
        size_t from = (size_t)y * (size_t)w.size + (size_t)w.first;
        add(rows + from * channels, x + to * channels, inside);
    }
}
