#include "support.h"

#include <dirent.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 256
#define SLOT_SIZE 1024

static void *counted_alloc(size_t alignment, size_t size, void *user)
{
    failing_memory *state = user;
    long call = __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);

    if (call == state->fail_at)
        return NULL;
    void *pointer = aligned_alloc(alignment, size);
    __atomic_add_fetch(&state->live, 1, __ATOMIC_RELAXED);
    size_t held = __atomic_add_fetch(&state->held, malloc_usable_size(pointer), __ATOMIC_RELAXED);
    size_t peak = __atomic_load_n(&state->peak, __ATOMIC_RELAXED);
    while (held > peak &&
           !__atomic_compare_exchange_n(&state->peak, &peak, held, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return pointer;
}

static void counted_free(void *pointer, void *user)
{
    failing_memory *state = user;

    __atomic_sub_fetch(&state->live, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&state->held, malloc_usable_size(pointer), __ATOMIC_RELAXED);
    free(pointer);
}

dn_allocator failing_allocator(failing_memory *state)
{
    return (dn_allocator){counted_alloc, counted_free, state};
}

/* Whole pages for `size` bytes, one before them and one behind. */
static size_t guarded_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page + 2 * page;
}

const uint8_t *guarded_copy(const void *bytes, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), all = guarded_pages(size);
    uint8_t *start = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *copy;

    ck_assert(start != MAP_FAILED);
    ck_assert_int_eq(mprotect(start + page, all - 2 * page, PROT_READ | PROT_WRITE), 0);
    copy = start + all - page - size;
    memcpy(copy, bytes, size);
    return copy;
}

void guarded_free(const uint8_t *copy, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), all = guarded_pages(size);

    munmap((void *)(uintptr_t)(copy + size + page - all), all);
}

#ifndef __GLIBC_PREREQ
#define __GLIBC_PREREQ(major, minor) 0
#endif

/* What malloc has given and not got back. */
static size_t live_bytes(void)
{
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 now = mallinfo2();

    return now.uordblks + now.hblkhd;
#else
    return 0;
#endif
}

void ck_gives_back(void (*once)(void))
{
    size_t before = 0;

    for (int i = 0; i <= 400; i++) {
        if (i == 200) /* the C library keeps some of what it will give out again */
            before = live_bytes();
        once();
    }
    ck_assert_uint_lt(live_bytes(), before + 1000);
}

/* ---- files ---- */

static char folders[SLOTS][SLOT_SIZE];
static int folder_count;
static pid_t folder_owner;

static void remove_tree(const char *path)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return;
    if (S_ISDIR(status.st_mode)) {
        chmod(path, 0700);
        DIR *folder = opendir(path);
        struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            char inner[2 * SLOT_SIZE];
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            remove_tree(inner);
        }
        if (folder)
            closedir(folder);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void remove_folders(void)
{
    if (getpid() != folder_owner)
        return;
    for (int i = 0; i < folder_count; i++)
        remove_tree(folders[i]);
}

const char *test_folder(void)
{
    if (folder_owner != getpid()) { /* first call, or in a forked test */
        folder_owner = getpid();
        folder_count = 0;
        atexit(remove_folders);
    }
    ck_assert_int_lt(folder_count, SLOTS);
    char *name = folders[folder_count];
    const char *base = getenv("TMPDIR");
    snprintf(name, SLOT_SIZE, "%s/differnet-test-XXXXXX", base && *base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(name));
    folder_count++;
    return name;
}

static char *slot(void)
{
    static char slots[SLOTS][SLOT_SIZE];
    static int next;

    return slots[next++ % SLOTS];
}

const char *path_join(const char *folder, const char *name)
{
    char *path = slot();

    snprintf(path, SLOT_SIZE, "%s/%s", folder, name);
    return path;
}

void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "cannot create %s", path);
    ck_assert_uint_eq(size ? fwrite(bytes, 1, size, file) : 0, size);
    ck_assert_int_eq(fclose(file), 0);
}

uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    ck_assert_msg(file != NULL, "cannot open %s", path);
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)length + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)length, file), (size_t)length);
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

void expect_content(const char *path, const char *text)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
    free(bytes);
}

int count_files(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    struct dirent *entry;

    ck_assert_msg(folder != NULL, "cannot open %s", path);
    while ((entry = readdir(folder)))
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return count;
}

int count_tasks(int expected)
{
    int tasks = count_files("/proc/self/task");

    for (int i = 0; i < 200 && expected > 0 && tasks > expected; i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        tasks = count_files("/proc/self/task");
    }
    return tasks;
}

const char *golden_path(const char *name)
{
    const char *folder = getenv("DIFFERNET_GOLDEN");

    return path_join(folder ? folder : GOLDEN_FOLDER, name);
}

static void check_file_is(const char *path, const void *expected, size_t expected_size)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    ck_assert_uint_eq(size, expected_size);
    ck_assert_mem_eq(bytes, expected, size);
    free(bytes);
}

void check_saves_without_memory(const save_test *test, const char *path)
{
    _Bool finished = 0;
    long failures = 0, live = test->memory->live;
    size_t size;

    ck_assert_int_eq(test->save(test->object, path, NULL), DN_OK);
    uint8_t *good = read_file(path, &size);
    test->open(test->object, path);
    for (long number = 1; !finished; number++) {
        dn_error error = {0};
        write_file(path, "old", 3);
        test->memory->calls = 0;
        test->memory->fail_at = number;
        dn_status status = test->save(test->object, path, &error);
        finished = test->memory->calls < number;
        test->memory->fail_at = 0;
        if (status == DN_OK) {
            check_file_is(path, good, size);
            test->open(test->object, path);
        } else {
            check_error(&error, DN_E_MEMORY, "out of memory");
            check_file_is(path, "old", 3);
            failures++;
        }
        ck_assert(!finished || status == DN_OK);
        ck_assert_int_eq(test->memory->live, live);
        ck_assert_int_lt(number, 1000);
    }
    ck_assert_int_gt(failures, 10);
    free(good);
}

/* ---- safetensors files ---- */

/* Bit by bit, from the definition. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

uint8_t *find_text(uint8_t *bytes, size_t size, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(bytes + i, text, length))
            return bytes + i;
    return NULL;
}

static void put_digits(uint8_t *to, uint32_t crc)
{
    char digits[9];

    snprintf(digits, sizeof digits, "%08x", (unsigned)crc);
    memcpy(to, digits, 8);
}

void sign_file(uint8_t *bytes, size_t size)
{
    static const char data_key[] = "\"differnet.crc32\":\"", header_key[] = "\"differnet.header_crc32\":\"";
    uint64_t length;

    memcpy(&length, bytes, sizeof length);
    ck_assert_uint_le(length, size - 8);
    size_t start = 8 + (size_t)length;
    uint8_t *data_sum = find_text(bytes, start, data_key), *header_sum = find_text(bytes, start, header_key);
    if (data_sum)
        put_digits(data_sum + sizeof data_key - 1, crc32_of(bytes + start, size - start));
    if (header_sum) {
        memcpy(header_sum + sizeof header_key - 1, "00000000", 8);
        put_digits(header_sum + sizeof header_key - 1, crc32_of(bytes, start));
    }
}

void replace_text(uint8_t *bytes, size_t size, const char *from, const char *to)
{
    uint8_t *place = find_text(bytes, size, from);

    ck_assert_uint_eq(strlen(from), strlen(to));
    ck_assert_msg(place != NULL, "no %s in the file", from);
    memcpy(place, to, strlen(to));
}

/* ---- numbers and pictures ---- */

double max_abs_difference(const float *a, const float *b, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= largest)) /* so that NaN is kept */
            largest = difference;
    }
    return largest;
}

double max_abs(const float *a, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i]) <= largest))
            largest = fabs((double)a[i]);
    return largest;
}

void check_error(const dn_error *error, dn_status status, const char *part)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(error->status, status);
    ck_assert_msg(strstr(error->message, part) != NULL, "\"%s\" lacks \"%s\"", error->message, part);
}

void draw_texture(uint8_t *rgb, int32_t width, int32_t height, uint32_t seed)
{
    uint32_t noise = seed * 2654435761u + 1;
    double phase = (seed % 97) * 0.21, tilt = 0.3 + (seed % 13) * 0.05;

    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                noise = noise * 1664525u + 1013904223u;
                double wave = sin(phase + 0.17 * x + tilt * 0.4 * y + c) + cos(0.05 * x - 0.21 * y);
                double value = 128 + 40 * wave + (double)(noise >> 24) / 16;
                rgb[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] = (uint8_t)(value < 0 ? 0 : value);
            }
}

dn_pixels rgb_view(const uint8_t *rgb, int32_t width, int32_t height)
{
    return (dn_pixels){.pixels = rgb, .width = width, .height = height, .format = DN_RGB8};
}

/* ---- running ---- */

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
