/* A main() for a fuzz target, where there is no fuzzer.
 * usage: TARGET [-n ROUNDS] [-w FOLDER] [-p PACKED.gz] [FILE | FOLDER | PACKED.gz]...
 * Runs the target on each input given and on its own seeds; with -n then on ROUNDS mutations of them, the same on every
 * run.  -w: only writes all of these to FOLDER, to start a fuzzer from.  -p: only writes them to one packed file, without
 * the target's own seeds.  A packed file is gzip's; inside each input follows its length, 4 bytes, lowest first. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "fuzz.h"

/* What zlib and stat() have written, which MemorySanitizer does not see. */
#if defined __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define SET_OUTSIDE(bytes, size) __msan_unpoison(bytes, size)
#endif
#endif
#ifndef SET_OUTSIDE
#define SET_OUTSIDE(bytes, size) ((void)0)
#endif

#define MAX_SEEDS 8192
#define MAX_SIZE (1u << 20)
#define MAX_MUTATED 65536 /* bytes of an input: larger ones are there for their number of things, and slow */

typedef struct input {
    uint8_t *data;
    size_t size;
} input;

static input seeds[MAX_SEEDS];
static int seed_count;
static uint64_t state = 0x9E3779B97F4A7C15u;

static void add_seed(uint8_t *data, size_t size)
{
    fuzz_require(seed_count < MAX_SEEDS, "not too many seeds");
    seeds[seed_count++] = (input){data, size};
}

/* The inputs of a packed file. */
static void add_packed(const char *path)
{
    gzFile file = gzopen(path, "rb");
    uint8_t head[4];
    int got;

    fuzz_require(file != NULL, path);
    while ((got = gzread(file, head, 4)) == 4) {
        SET_OUTSIDE(head, 4);
        size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        uint8_t *data = malloc(size < MAX_SIZE ? size + 1 : 1);
        fuzz_require(data && size <= MAX_SIZE && gzread(file, data, (unsigned)size) == (int)size, path);
        SET_OUTSIDE(data, size);
        add_seed(data, size);
    }
    fuzz_require(got == 0 && gzclose(file) == Z_OK, path);
}

static void write_packed(const char *path, int first)
{
    gzFile file = gzopen(path, "wb9");

    fuzz_require(file != NULL, path);
    for (int i = first; i < seed_count; i++) {
        size_t size = seeds[i].size;
        const uint8_t head[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24)};
        fuzz_require(gzwrite(file, head, 4) == 4 && gzwrite(file, seeds[i].data, (unsigned)size) == (int)size, path);
    }
    fuzz_require(gzclose(file) == Z_OK, path);
}

static void add_file(const char *path)
{
    size_t length = strlen(path);

    if (length > 3 && !strcmp(path + length - 3, ".gz")) {
        add_packed(path);
        return;
    }
    FILE *file = fopen(path, "rb");
    fuzz_require(file != NULL, path);
    uint8_t *data = malloc(MAX_SIZE);
    fuzz_require(data != NULL, "memory");
    size_t size = fread(data, 1, MAX_SIZE, file);
    fclose(file);
    add_seed(data, size);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_path(const char *path)
{
    struct dirent **entries;
    struct stat status;
    char inner[4096];

    fuzz_require(stat(path, &status) == 0, path);
    SET_OUTSIDE(&status, sizeof status);
    if (!S_ISDIR(status.st_mode)) {
        add_file(path);
        return;
    }
    int count = scandir(path, &entries, visible, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        add_path(inner);
        free(entries[i]);
    }
    free(entries);
}

/* ---- mutation ---- */

static uint64_t random_below(uint64_t n)
{
    state ^= state << 13; /* xorshift64 */
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (state >> 11) % n : 0;
}

static void flip_bit(input *in)
{
    in->data[random_below(in->size)] ^= (uint8_t)(1u << random_below(8));
}

static void set_byte(input *in)
{
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '{', '}', '[', ']', ',', '-', '9', ' ', '.'};

    in->data[random_below(in->size)] = values[random_below(sizeof values)];
}

/* Where JSON has numbers, other numbers are more telling than other bytes. */
static void change_digit(input *in)
{
    size_t start = random_below(in->size);

    for (size_t i = 0; i < in->size && i < 4096; i++) {
        uint8_t *byte = &in->data[(start + i) % in->size];
        if (*byte >= '0' && *byte <= '9') {
            *byte = (uint8_t)('0' + random_below(10));
            return;
        }
    }
}

static void delete_range(input *in)
{
    size_t start = random_below(in->size), room = in->size - start;
    size_t length = 1 + random_below(random_below(2) ? room : room < 8 ? room : 8);

    if (length > room)
        length = room;
    memmove(in->data + start, in->data + start + length, room - length);
    in->size -= length;
}

/* Inserts bytes of any seed; the input has room for MAX_SIZE. */
static void insert_range(input *in)
{
    const input *from = &seeds[random_below((uint64_t)seed_count)];
    size_t start = random_below(in->size), source = random_below(from->size);
    size_t length = 1 + random_below(64);

    if (from->size == 0 || in->size + length > MAX_SIZE)
        return;
    if (length > from->size - source)
        length = from->size - source;
    memmove(in->data + start + length, in->data + start, in->size - start);
    memcpy(in->data + start, from->data + source, length);
    in->size += length;
}

static void change_tensor(input *in)
{
    fuzz_change_tensor(in->data, in->size, random_below(UINT64_MAX));
}

static void truncate_end(input *in)
{
    in->size = random_below(in->size);
}

static void mutate(input *in)
{
    static void (*const mutations[])(input *) = {flip_bit,      flip_bit,     set_byte,     change_digit, change_digit,
                                                 change_tensor, delete_range, insert_range, truncate_end};

    for (uint64_t steps = 1 + random_below(4); steps > 0 && in->size > 0; steps--)
        mutations[random_below(sizeof mutations / sizeof *mutations)](in);
    if (random_below(8))
        fuzz_repair(in->data, in->size);
}

/* Runs on a copy of exactly that size, so that a read beyond it is seen. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    fuzz_require(copy != NULL, "memory");
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void write_seeds(const char *folder)
{
    char path[4096];

    for (int i = 0; i < seed_count; i++) {
        snprintf(path, sizeof path, "%s/seed%d", folder, i);
        FILE *file = fopen(path, "wb");
        fuzz_require(file && fwrite(seeds[i].data, 1, seeds[i].size, file) == seeds[i].size && !fclose(file), path);
    }
}

/* The inputs, and mutations of them. */
static void run_all(int own, long rounds)
{
    uint8_t *work = malloc(MAX_SIZE);

    fuzz_require(work != NULL, "memory");
    for (int i = 0; i < seed_count; i++) {
        fuzz_each_allocation = i < own;
        run(seeds[i].data, seeds[i].size);
    }
    fuzz_each_allocation = 0;
    for (long round = 0; round < rounds && seed_count > 0; round++) {
        if (seeds[round % seed_count].size > MAX_MUTATED)
            continue;
        input in = {work, seeds[round % seed_count].size};
        memcpy(work, seeds[round % seed_count].data, in.size);
        mutate(&in);
        run(in.data, in.size);
    }
    free(work);
}

int main(int argc, char **argv)
{
    long rounds = 0;
    const char *folder = NULL, *packed = NULL;
    size_t size;
    uint8_t *data;

    for (int i = 0; (data = fuzz_seed(i, &size)); i++)
        add_seed(data, size);
    int own = seed_count;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-n") && i + 1 < argc)
            rounds = atol(argv[++i]);
        else if (!strcmp(argv[i], "-w") && i + 1 < argc)
            folder = argv[++i];
        else if (!strcmp(argv[i], "-p") && i + 1 < argc)
            packed = argv[++i];
        else
            add_path(argv[i]);
    }
    if (folder)
        write_seeds(folder);
    if (packed)
        write_packed(packed, own);
    if (!folder && !packed)
        run_all(own, rounds);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].data);
    printf("%d seeds, %ld mutations\n", seed_count, rounds);
    return 0;
}
