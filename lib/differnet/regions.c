/* Connected regions of a heat map, by runs: each row is cut into runs of values >= threshold, and a run joins the
 * components of the runs of the rows above that touch it, corners included, or lie within the gap (union-find).  So many
 * rows of runs and the components are all the memory it takes. */
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
    double sum, sum_x, sum_y; /* over its pixels: of the map, and of twice their places */
} component;

typedef struct finder {
    const dn_allocator *allocator;
    run *runs;       /* (gap + 2, stride): the row being cut and those it can touch, as a ring */
    int32_t *counts; /* (gap + 2) */
    size_t stride;
    int32_t rows, gap;
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
    kept->sum += joined->sum;
    kept->sum_x += joined->sum_x;
    kept->sum_y += joined->sum_y;
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

static run *runs_of(const finder *self, int32_t y)
{
    return self->runs + (size_t)(y % self->rows) * self->stride;
}

/* The run of values >= threshold that begins at x. */
static component measure_run(const float *row, int32_t x, int32_t y, int32_t width, float threshold)
{
    component own = {.x0 = x, .y0 = y, .y1 = y, .peak_x = x, .peak_y = y, .peak = row[x]};

    for (; x < width && row[x] >= threshold; x++) {
        own.sum += (double)row[x];
        if (row[x] > own.peak) {
            own.peak = row[x];
            own.peak_x = x;
        }
    }
    own.x1 = x - 1;
    own.area = x - own.x0;
    own.sum_x = ((double)own.x0 + x) * own.area;
    own.sum_y = (2.0 * y + 1) * own.area;
    return own;
}

/* Cuts a row into runs, each a component of its own, joined with the one before it within the gap. */
static dn_status find_runs(finder *self, const float *row, int32_t y, int32_t width, float threshold, dn_error *error)
{
    run *runs = runs_of(self, y);
    int32_t *count = &self->counts[y % self->rows];

    *count = 0;
    for (int32_t x = 0; x < width; x++) {
        if (!(row[x] >= threshold))
            continue;
        component own = measure_run(row, x, y, width, threshold);
        run *added = &runs[(*count)++];
        added->first = own.x0;
        added->last = own.x1;
        TRY(add_component(self, &own, &added->component, error));
        if (*count > 1 && added->first - added[-1].last - 1 <= self->gap)
            join(self->components, added[-1].component, added->component);
        x = own.x1;
    }
    return DN_OK;
}

/* Joins the runs of two rows that touch, corners included, or lie within the gap.  Whichever run ends first is done
 * with: a later run that it reaches, too, was joined within its row. */
static void join_rows(finder *self, int32_t above_row, int32_t current_row)
{
    const run *above = runs_of(self, above_row), *current = runs_of(self, current_row);
    int32_t above_count = self->counts[above_row % self->rows], count = self->counts[current_row % self->rows];
    int32_t a = 0, c = 0;

    while (a < above_count && c < count) {
        if (above[a].first - 1 - self->gap <= current[c].last && current[c].first - 1 - self->gap <= above[a].last)
            join(self->components, above[a].component, current[c].component);
        if (above[a].last < current[c].last)
            a++;
        else
            c++;
    }
}

static int compare_components(const void *a, const void *b)
{
    return is_stronger(a, b) ? -1 : is_stronger(b, a);
}

/* Roots that are large enough to the front, strongest first; returns their number. */
static size_t sort_roots(finder *self, int32_t min_area)
{
    size_t roots = 0;

    for (size_t i = 0; i < self->count; i++)
        if (self->components[i].parent == i && self->components[i].area >= min_area)
            self->components[roots++] = self->components[i]; /* roots <= i: nothing unread is overwritten */
    if (roots > 0)
        qsort(self->components, roots, sizeof *self->components, compare_components);
    return roots;
}

static dn_status find_components(finder *self, const float *map, int32_t width, int32_t height, float threshold,
                                 dn_error *error)
{
    for (int32_t y = 0; y < height; y++) {
        TRY(find_runs(self, map + (size_t)y * (size_t)width, y, width, threshold, error));
        for (int32_t above = y - 1; above >= 0 && above >= y - 1 - self->gap; above--)
            join_rows(self, above, y);
    }
    return DN_OK;
}

static dn_box box_of(const component *c)
{
    double area = c->area;

    return (dn_box){.x = c->x0,
                    .y = c->y0,
                    .width = c->x1 - c->x0 + 1,
                    .height = c->y1 - c->y0 + 1,
                    .peak = c->peak,
                    .area = c->area,
                    .mean = (float)(c->sum / area),
                    .centroid_x = (float)(c->sum_x / (2 * area)),
                    .centroid_y = (float)(c->sum_y / (2 * area))};
}

dn_box_options regions_default_options(void)
{
    return (dn_box_options){.struct_size = sizeof(dn_box_options), .threshold = 1, .min_area = 1, .gap = 0};
}

dn_status regions_find(const float *map, int32_t width, int32_t height, const dn_box_options *options, dn_box *boxes,
                       int32_t capacity, int32_t *count, const dn_allocator *allocator, dn_error *error)
{
    finder self = {.allocator = allocator, .gap = options->gap, .stride = (size_t)width / 2 + 1};

    *count = 0;
    self.rows = options->gap + 2;
    self.runs = mem_alloc(allocator, (size_t)self.rows * self.stride, sizeof *self.runs);
    self.counts = mem_alloc(allocator, (size_t)self.rows, sizeof *self.counts);
    dn_status status = self.runs && self.counts ? DN_OK : fail_memory(error, "the heat map's regions");
    if (status == DN_OK)
        status = find_components(&self, map, width, height, options->threshold, error);
    if (status == DN_OK) {
        size_t roots = sort_roots(&self, options->min_area);
        *count = roots < (size_t)capacity ? (int32_t)roots : capacity;
        for (int32_t i = 0; i < *count; i++)
            boxes[i] = box_of(&self.components[i]);
    }
    mem_free(allocator, self.runs);
    mem_free(allocator, self.counts);
    mem_free(allocator, self.components);
    return status;
}
