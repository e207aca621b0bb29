/* The part of a kernel's window that lies inside the input.  It is never empty, as padding is smaller than the kernel. */
#ifndef DN_NN_WINDOW_H
#define DN_NN_WINDOW_H

#include <stdint.h>

/* Kernel offsets first .. last-1 along one axis; input coordinate = origin + offset. */
typedef struct window {
    int32_t origin, first, last;
} window;

static inline window window_at(int32_t out, int32_t stride, int32_t pad_before, int32_t kernel, int32_t in)
{
    window w = {.origin = out * stride - pad_before, .first = 0, .last = kernel};

    if (w.origin < 0)
        w.first = -w.origin;
    if (in - w.origin < kernel)
        w.last = in - w.origin;
    return w;
}

#endif
