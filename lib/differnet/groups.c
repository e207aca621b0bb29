#include "differnet/groups.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

#define PIECE 64 /* of a thumbnail, between two looks at the distance so far */

/* ---- thumbnails ---- */

void group_thumb(const uint16_t *canvas, int32_t width, int32_t height, float *thumb)
{
    int32_t across = width / THUMB_SIDE, down = height / THUMB_SIDE;
    double sums[THUMB_SIZE] = {0}, mean = 0, squares = 0;

    for (int32_t y = 0; y < down * THUMB_SIDE; y++)
        for (int32_t x = 0; x < across * THUMB_SIDE; x++) {
            const uint16_t *rgb = canvas + ((size_t)y * (size_t)width + (size_t)x) * 3;
            sums[y / down * THUMB_SIDE + x / across] += rgb[0] + rgb[1] + rgb[2];
        }
    for (int i = 0; i < THUMB_SIZE; i++)
        mean += sums[i] / THUMB_SIZE;
    for (int i = 0; i < THUMB_SIZE; i++)
        squares += (sums[i] - mean) * (sums[i] - mean) / THUMB_SIZE;
    for (int i = 0; i < THUMB_SIZE; i++)
        thumb[i] = squares > 0 ? (float)((sums[i] - mean) / sqrt(squares)) : 0;
}

/* Squared distance, or some number above `most` if it is larger than that. */
static double distance(const float *a, const float *b, double most)
{
    double sum = 0;

    for (int i = 0; i < THUMB_SIZE && sum <= most; i += PIECE)
        for (int j = i; j < i + PIECE; j++) {
            double difference = (double)a[j] - (double)b[j];
            sum += difference * difference;
        }
    return sum;
}

/* Mean squared distance over all pairs: from the spread about the mean thumbnail, without looking at the pairs. */
static double usual_distance(const group_image *images, int32_t count)
{
    double sum = 0;

    for (int j = 0; j < THUMB_SIZE; j++) {
        double mean = 0, squares = 0;
        for (int32_t i = 0; i < count; i++)
            mean += (double)images[i].thumb[j] / count;
        for (int32_t i = 0; i < count; i++)
            squares += ((double)images[i].thumb[j] - mean) * ((double)images[i].thumb[j] - mean);
        sum += squares;
    }
    return count > 1 ? 2 * sum / (count - 1) : 0;
}

/* ---- groups ---- */

/* While groups are found, group[i] is an earlier image of the same group, or i for its first one. */
static int32_t root(const int32_t *group, int32_t i)
{
    while (group[i] != i)
        i = group[i];
    return i;
}

static void join(int32_t *group, int32_t a, int32_t b)
{
    int32_t first = root(group, a), second = root(group, b);

    if (first < second)
        group[second] = first;
    else
        group[first] = second;
}

/* Copies of earlier images; and, of each image, whether its nearest one was added next to it. */
static void find_copies(const group_image *images, int32_t count, double *nearest, int32_t *neighbour,
                        image_groups *out)
{
    double near = NEAR_SHARE * usual_distance(images, count);

    for (int32_t i = 0; i < count; i++)
        nearest[i] = (double)INFINITY;
    for (int32_t i = 0; i < count; i++)
        for (int32_t j = 0; j < i; j++) {
            double most = fmax(near, fmax(nearest[i], nearest[j]));
            double apart = distance(images[i].thumb, images[j].thumb, most);
            if (apart < nearest[i])
                nearest[i] = apart, neighbour[i] = j;
            if (apart < nearest[j])
                nearest[j] = apart, neighbour[j] = i;
            _Bool equal = apart == 0 && images[i].crc == images[j].crc;
            if (!equal && !(apart < near))
                continue;
            join(out->group, i, j);
            if (out->copy_of[i] < 0 || (equal && out->kind[i] == DN_DUPLICATE_NEAR)) {
                out->copy_of[i] = j;
                out->kind[i] = equal ? DN_DUPLICATE_EQUAL : DN_DUPLICATE_NEAR;
            }
        }
    for (int32_t i = 0; count > 1 && i < count; i++)
        out->adjacent += neighbour[i] == i - 1 || neighbour[i] == i + 1;
}

/* Images with the same name; latest: (names), the image that a name was used for last. */
static void join_names(const group_image *images, int32_t count, int32_t names, int32_t *latest, image_groups *out)
{
    for (int32_t i = 0; i < names; i++)
        latest[i] = -1;
    for (int32_t i = 0; i < count; i++) {
        int32_t name = images[i].name;
        if (name < 0)
            continue;
        if (latest[name] >= 0)
            join(out->group, i, latest[name]);
        latest[name] = i;
    }
}

/* From links to numbers. */
static void number_groups(int32_t count, image_groups *out)
{
    for (int32_t i = 0; i < count; i++) {
        if (out->group[i] == i) {
            out->first[out->count] = i;
            out->group[i] = out->count++;
        } else { /* an earlier image, whose number is known */
            out->group[i] = out->group[out->group[i]];
        }
    }
}

dn_status groups_find(const group_image *images, int32_t count, int32_t names, _Bool copies,
                      const dn_allocator *allocator, image_groups *out, dn_error *error)
{
    size_t n = (size_t)count;

    *out = (image_groups){0};
    out->group = mem_alloc(allocator, n, sizeof *out->group);
    out->first = mem_alloc(allocator, n, sizeof *out->first);
    out->copy_of = mem_alloc(allocator, n, sizeof *out->copy_of);
    out->kind = mem_zalloc(allocator, n, sizeof *out->kind);
    double *nearest = mem_alloc(allocator, n, sizeof *nearest);
    int32_t *numbers = mem_alloc(allocator, (size_t)names, sizeof *numbers);
    _Bool made = out->group && out->first && out->copy_of && out->kind && nearest && numbers;
    for (int32_t i = 0; made && i < count; i++) {
        out->group[i] = i;
        out->copy_of[i] = -1;
    }
    if (made) {
        join_names(images, count, names, numbers, out);
        if (copies)
            find_copies(images, count, nearest, numbers, out);
        number_groups(count, out);
    } else {
        groups_release(out, allocator);
    }
    mem_free(allocator, nearest);
    mem_free(allocator, numbers);
    return made ? DN_OK : fail_memory(error, "the groups of images");
}

void groups_release(image_groups *groups, const dn_allocator *allocator)
{
    mem_free(allocator, groups->group);
    mem_free(allocator, groups->first);
    mem_free(allocator, groups->copy_of);
    mem_free(allocator, groups->kind);
    *groups = (image_groups){0};
}
