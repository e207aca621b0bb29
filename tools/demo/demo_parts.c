/* differnet-demo-parts: a data set of rendered parts in MVTec layout, to try everything with. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "demo_render.h"
#include "differnet.h"

static const char usage[] =
    "usage: differnet-demo-parts DIR [--good N] [--defects N] [--size PIXELS] [--seed S]\n\n"
    "Renders pictures of one made-up part, a turned flange, into DIR: train/good (--good, default 40), test/good\n"
    "(half as many), and --defects (default 6) of each kind of defect in test/<defect>, with masks in ground_truth.\n"
    "--size: side of the pictures, 64 to 2048, default 320. The same seed gives the same pictures.\n";

static const char *const defect_names[DEMO_DEFECTS] = {"good",         "broken_edge", "dent",
                                                       "missing_hole", "scratch",     "stain"};

typedef struct demo_set {
    const char *folder;
    long size, good, defects;
    uint64_t seed;
    uint8_t *rgb, *mask;
} demo_set;

static bool make_folders(const char *root, const char *first, const char *second)
{
    char path[4096];
    const char *const parts[] = {"", first, second};
    size_t length = 0;

    for (int i = 0; i < 3; i++) {
        int more = snprintf(path + length, sizeof path - length, "%s%s", i == 0 ? root : "/", parts[i]);
        if (more < 0 || (size_t)more >= sizeof path - length) {
            fprintf(stderr, "differnet-demo-parts: %s: the name is too long\n", root);
            return false;
        }
        length += (size_t)more;
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            fprintf(stderr, "differnet-demo-parts: %s: %s\n", path, strerror(errno));
            return false;
        }
    }
    return true;
}

static bool write_picture(const demo_set *set, const void *pixels, int32_t format, const char *kind, const char *name,
                          long number, const char *ending)
{
    char path[4096];
    dn_error error;
    dn_pixels view = {pixels, (int32_t)set->size, (int32_t)set->size, 0, format, 0};

    snprintf(path, sizeof path, "%s/%s/%s/%03ld%s.png", set->folder, kind, name, number, ending);
    if (dn_image_write_png(&view, path, &error) == DN_OK)
        return true;
    fprintf(stderr, "differnet-demo-parts: %s\n", error.message);
    return false;
}

/* kind: "train" or "test".  Each picture's seed depends on its place only, so that more pictures leave the others
 * as they are. */
static bool render_folder(const demo_set *set, const char *kind, enum demo_defect defect, long count)
{
    const char *name = defect_names[defect];
    bool training = strcmp(kind, "train") == 0;

    if (!make_folders(set->folder, kind, name) || (defect && !make_folders(set->folder, "ground_truth", name)))
        return false;
    for (long i = 0; i < count; i++) {
        uint64_t seed = set->seed * 0x100000001B3u + (uint64_t)(training ? 0 : 1 + defect) * 1000003u + (uint64_t)i;
        if (!demo_render(defect, seed, (int)set->size, set->rgb, set->mask)) {
            fprintf(stderr, "differnet-demo-parts: out of memory\n");
            return false;
        }
        if (!write_picture(set, set->rgb, DN_RGB8, kind, name, i, "") ||
            (defect && !write_picture(set, set->mask, DN_GRAY8, "ground_truth", name, i, "_mask")))
            return false;
    }
    return true;
}

static bool render_all(const demo_set *set)
{
    if (!render_folder(set, "train", DEMO_GOOD, set->good) ||
        !render_folder(set, "test", DEMO_GOOD, (set->good + 1) / 2))
        return false;
    for (int defect = 1; defect < DEMO_DEFECTS; defect++) {
        if (!render_folder(set, "test", (enum demo_defect)defect, set->defects))
            return false;
    }
    return true;
}

static bool set_number(const char *name, const char *text, long low, long high, long *number)
{
    char *end;

    errno = 0;
    *number = strtol(text, &end, 10);
    if (end != text && !*end && !errno && *number >= low && *number <= high)
        return true;
    fprintf(stderr, "differnet-demo-parts: --%s: '%s' is not a whole number from %ld to %ld\n", name, text, low, high);
    return false;
}

static int parse(int argc, char **argv, demo_set *set)
{
    static const struct option options[] = {
        {"good", required_argument, NULL, 'g'}, {"defects", required_argument, NULL, 'd'},
        {"size", required_argument, NULL, 's'}, {"seed", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int letter;
    long seed;

    while ((letter = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        bool good = letter == 'g'   ? set_number("good", optarg, 1, 100000, &set->good)
                    : letter == 'd' ? set_number("defects", optarg, 0, 100000, &set->defects)
                    : letter == 's' ? set_number("size", optarg, 64, 2048, &set->size)
                    : letter == 'r' ? set_number("seed", optarg, 0, 1000000000, &seed)
                                    : false;
        if (!good)
            return 2;
        if (letter == 'r')
            set->seed = (uint64_t)seed;
    }
    if (argc - optind != 1) {
        fputs(usage, stderr);
        return 2;
    }
    set->folder = argv[optind];
    return -1;
}

int main(int argc, char **argv)
{
    demo_set set = {.size = 320, .good = 40, .defects = 6};
    int code = parse(argc, argv, &set);

    if (code >= 0)
        return code;
    set.rgb = malloc((size_t)(set.size * set.size) * 3);
    set.mask = malloc((size_t)(set.size * set.size));
    bool done = set.rgb && set.mask && render_all(&set);
    if (!set.rgb || !set.mask)
        fprintf(stderr, "differnet-demo-parts: out of memory\n");
    free(set.mask);
    free(set.rgb);
    return done ? 0 : 2;
}
