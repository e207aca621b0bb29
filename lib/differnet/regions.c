/* Connected regions of a heat map, by runs: each row is cut into runs of values >= threshold, and a run joins the
 * components of the runs of the row above that touch it, corners included (union-find).  Two rows of runs and the
 * components are all the memory it takes. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "differnet/regions.h"

typedef struct run {
    int32_t first, last; /* columns */
    size_t component;
} run;

typedef struct component {
    size_t parent;          /* itself: a root */
    int32_t x0, y0, x1, y1; /* bounding box, ends included */
    int32_t peak_x, peak_y; /* first place of the peak, in row order */
    float peak;
    int32_t area;
} component;

typedef struct finder {
    const dn_allocator *allocator;
    run *above, *current;  /* ((width + 1) / 2) each */
    component *components; /* (capacity) */
    size_t count, capacity;
} finder;

static size_t find_root(component *components, size_t index)
{
    while (components[index].parent != index) {
        components[index].parent = components[components[index].parent].parent; /* halves the path */
        index = components[index].parent;
    }
    return index;
}

/* Whether a's peak comes before b's: higher, or as high and first in row order. */
static _Bool is_stronger(const component *a, const component *b)
{
    if (a->peak != b->peak)
        return a->peak > b->peak;
    return a->peak_y != b->peak_y ? a->peak_y < b->peak_y : a->peak_x < b->peak_x;
}

/* Joins two components; the older one becomes the root. */
static void join(component *components, size_t first, size_t second)
{
    first = find_root(components, first);
    second = find_root(components, second);
    if (first == second)
        return;
    component *kept = &components[first < second ? first : second];
    component *joined = &components[first < second ? second : first];
    joined->parent = first < second ? first : second;
    kept->x0 = joined->x0 < kept->x0 ? joined->x0 : kept->x0;
    kept->y0 = joined->y0 < kept->y0 ? joined->y0 : kept->y0;
    kept->x1 = joined->x1 > kept->x1 ? joined->x1 : kept->x1;
    kept->y1 = joined->y1 > kept->y1 ? joined->y1 : kept->y1;
    kept->area += joined->area;
    if (is_stronger(joined, kept)) {
        kept->peak = joined->peak;
        kept->peak_x = joined->peak_x;
        kept->peak_y = joined->peak_y;
    }
}

static dn_status add_component(finder *self, const component *added, size_t *index, dn_error *error)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 64;
        component *grown = mem_alloc(self->allocator, capacity, sizeof *grown);
        if (!grown)
            return fail_memory(error, "the heat map's regions");
        if (self->count > 0)
            memcpy(grown, self->components, self->count * sizeof *grown);
        mem_free(self->allocator, self->components);
        self->components = grown;
        self->capacity = capacity;
    }
    *index = self->count++;
    self->components[*index] = *added;
    self->components[*index].parent = *index;
    return DN_OK;
}

/* Cuts a row into runs, each a component of its own. */
static dn_status find_runs(finder *self, const float *row, int32_t y, int32_t width, float threshold, int32_t *runs,
                           dn_error *error)
{
    *runs = 0;
    for (int32_t x = 0; x < width; x++) {
        if (!(row[x] >= threshold))
            continue;
        component own = {.x0 = x, .y0 = y, .y1 = y, .peak_x = x, .peak_y = y, .peak = row[x]};
        run *added = &self->current[(*runs)++];
        added->first = x;
        for (; x < width && row[x] >= threshold; x++)
            if (row[x] > own.peak) {
                own.peak = row[x];
                own.peak_x = x;
            }
        added->last = own.x1 = x - 1;
        own.area = x - added->first;
        TRY(add_component(self, &own, &added->component, error));
    }
    return DN_OK;
}

/* Joins the runs of two neighbouring rows that touch, corners included. */
static void join_rows(finder *self, int32_t above_count, int32_t current_count)
{
    int32_t a = 0, c = 0;

    while (a < above_count && c < current_count) {
        const run *above = &self->above[a], *current = &self->current[c];
        if (above->first <= current->last + 1 && current->first <= above->last + 1)
            join(self->components, above->component, current->component);
        if (above->last < current->last)
            a++;
        else
            c++;
    }
}

static int compare_components(const void *a, const void *b)
{
    return is_stronger(a, b) ? -1 : is_stronger(b, a);
}

/* Roots to the front, strongest first; returns their number. */
static size_t sort_roots(finder *self)
{
    size_t roots = 0;

    for (size_t i = 0; i < self->count; i++)
        if (self->components[i].parent == i)
            self->components[roots++] = self->components[i]; /* roots <= i: nothing unread is overwritten */
    if (roots > 0)
        qsort(self->components, roots, sizeof *self->components, compare_components);
    return roots;
}

static dn_status find_components(finder *self, const float *map, int32_t width, int32_t height, float threshold,
                                 dn_error *error)
{
    int32_t above_count = 0, count;

    for (int32_t y = 0; y < height; y++) {
        TRY(find_runs(self, map + (size_t)y * (size_t)width, y, width, threshold, &count, error));
        join_rows(self, above_count, count);
        run *swapped = self->above;
        self->above = self->current;
        self->current = swapped;
        above_count = count;
    }
    return DN_OK;
}

dn_status regions_find(const float *map, int32_t width, int32_t height, float threshold, dn_box *boxes,
                       int32_t capacity, int32_t *count, const dn_allocator *allocator, dn_error *error)
{
    finder self = {.allocator = allocator};
    size_t runs = (size_t)width / 2 + 1;

    *count = 0;
    self.above = mem_alloc(allocator, runs, sizeof *self.above);
    self.current = mem_alloc(allocator, runs, sizeof *self.current);
    dn_status status = self.above && self.current ? DN_OK : fail_memory(error, "the heat map's regions");
    if (status == DN_OK)
        status = find_components(&self, map, width, height, threshold, error);
    if (status == DN_OK) {
        size_t roots = sort_roots(&self);
        *count = roots < (size_t)capacity ? (int32_t)roots : capacity;
        for (int32_t i = 0; i < *count; i++) {
            const component *c = &self.components[i];
            boxes[i] = (dn_box){c->x0, c->y0, c->x1 - c->x0 + 1, c->y1 - c->y0 + 1, c->peak, c->area};
        }
    }
    mem_free(allocator, self.above);
    mem_free(allocator, self.current);
    mem_free(allocator, self.components);
    return status;
}
