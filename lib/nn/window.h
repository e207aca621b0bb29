/* Windows of a map (height, width, channels): a layer's kernel at one output position, or a tile. */
#ifndef DN_NN_WINDOW_H
#define DN_NN_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/* One axis of a window: input coordinate = origin + offset.  Offsets first .. last-1 lie inside the input. */
typedef struct window {
    int32_t origin, size, first, last;
} window;

static inline window window_at(int32_t out, int32_t stride, int32_t pad_before, int32_t size, int32_t in)
{
    window w = {.origin = out * stride - pad_before, .size = size, .first = 0, .last = size};

    if (w.origin < 0)
        w.first = -w.origin < size ? -w.origin : size;
    if (in - w.origin < size)
        w.last = in - w.origin;
    if (w.last < w.first)
        w.last = w.first;
    return w;
}

static inline _Bool window_is_inside(window w)
{
    return w.first == 0 && w.last == w.size;
}

/* Copies a window of x (.., in_w, channels) to dense rows (h.size, w.size, channels), zeros outside the input. */
void window_gather(window h, window w, const float *x, int32_t in_w, size_t channels, float *rows);
/* The transpose: adds the rows to where they came from; what lies outside is dropped. */
void window_scatter(window h, window w, const float *rows, float *x, int32_t in_w, size_t channels);

#endif
