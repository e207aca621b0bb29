/* Power cuts.  The operations on files of a save, or of a whole training with checkpoints, are recorded; then every
 * prefix of them is taken for what had been done when the power went, and of what no fsync had made durable by then every
 * combination may be on the disk, or not: writes in any order, whole, in part or as zeros, names created, renamed or
 * removed.  Whatever is found then is the old file or the new one, to the byte.
 *
 * All combinations of a prefix up to LIMIT (or POWER_STATES of the environment), and beyond that as many at random. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "training.h"

#define LIMIT 400
enum { OPERATIONS = 1024, FILES = 64, DESCRIPTORS = 1024, NAMES = 16, CHOICES = 4 };

/* ---- the record ---- */

enum kind { CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, SYNC_FOLDER };

typedef struct operation {
    enum kind kind;
    int file;     /* its number, whatever its name; not of the last two */
    int name, to; /* numbers of names */
    size_t offset, size;
    uint8_t *bytes; /* of a write */
} operation;

static operation record[OPERATIONS];
static int operations, files, names, open_file[DESCRIPTORS]; /* file + 1; -1: a folder; 0: only read */
static size_t position[DESCRIPTORS];
static char *name[NAMES];
static int leads_to[NAMES]; /* file + 1, as of now */
static struct file_table real;
static _Bool rename_fails;

static int name_of(const char *path)
{
    for (int i = 0; i < names; i++)
        if (!strcmp(name[i], path))
            return i;
    ck_assert_int_lt(names, NAMES);
    name[names] = strdup(path);
    leads_to[names] = 0;
    return names++;
}

static operation *note(enum kind kind)
{
    ck_assert_int_lt(operations, OPERATIONS);
    record[operations] = (operation){.kind = kind};
    return &record[operations++];
}

static int noted_open(const char *path, int flags, mode_t mode)
{
    int fd = real.open(path, flags, mode);

    if (fd < 0)
        return fd;
    ck_assert_int_lt(fd, DESCRIPTORS);
    open_file[fd] = flags & O_DIRECTORY ? -1 : 0;
    position[fd] = 0;
    if (flags & O_DIRECTORY || (flags & O_ACCMODE) == O_RDONLY)
        return fd;
    int n = name_of(path);
    if (!leads_to[n]) {
        operation *o = note(CREATE);
        ck_assert_int_lt(files, FILES);
        o->file = files++;
        o->name = n;
        leads_to[n] = o->file + 1;
    }
    open_file[fd] = leads_to[n];
    return fd;
}

static ssize_t noted_write(int fd, const void *bytes, size_t size)
{
    ssize_t wrote = real.write(fd, bytes, size);

    if (wrote <= 0 || open_file[fd] <= 0)
        return wrote;
    operation *o = note(WRITE);
    *o = (operation){WRITE, open_file[fd] - 1, 0, 0, position[fd], (size_t)wrote, malloc((size_t)wrote)};
    memcpy(o->bytes, bytes, o->size);
    position[fd] += o->size;
    return wrote;
}

static int noted_fsync(int fd)
{
    if (open_file[fd] < 0)
        note(SYNC_FOLDER);
    else if (open_file[fd] > 0)
        note(SYNC)->file = open_file[fd] - 1;
    return real.fsync(fd);
}

static int noted_truncate(int fd, off_t size)
{
    operation *o = note(TRUNCATE);

    o->file = open_file[fd] - 1;
    o->size = (size_t)size;
    return real.ftruncate(fd, size);
}

static int noted_rename(const char *from, const char *to)
{
    if (rename_fails) {
        errno = EBUSY;
        return -1;
    }
    operation *o = note(RENAME);
    o->name = name_of(from);
    o->to = name_of(to);
    o->file = leads_to[o->name] - 1;
    leads_to[o->to] = leads_to[o->name];
    leads_to[o->name] = 0;
    return real.rename(from, to);
}

static int noted_unlink(const char *path)
{
    operation *o = note(UNLINK);

    o->name = name_of(path);
    leads_to[o->name] = 0;
    return real.unlink(path);
}

static void begin(void)
{
    operations = files = names = 0;
    real = file_table;
    file_table.open = noted_open;
    file_table.write = noted_write;
    file_table.fsync = noted_fsync;
    file_table.ftruncate = noted_truncate;
    file_table.rename = noted_rename;
    file_table.unlink = noted_unlink;
}

static void end(void)
{
    file_table = real;
    rename_fails = 0;
}

/* A file that is there, safe, before the record begins: like one that was written and synced first. */
static void had(const char *path)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    int n = name_of(path);

    note(CREATE)->name = n;
    record[operations - 1].file = files++;
    leads_to[n] = files;
    *note(WRITE) = (operation){WRITE, files - 1, 0, 0, 0, size, bytes};
    note(SYNC)->file = files - 1;
    note(SYNC_FOLDER);
}

static void forget_record(void)
{
    for (int i = 0; i < operations; i++)
        free(record[i].bytes);
    for (int i = 0; i < names; i++)
        free(name[i]);
}

/* ---- what is on the disk after a cut ---- */

typedef struct content {
    uint8_t *bytes;
    size_t size;
} content;

static struct {
    int file[NAMES]; /* number + 1; 0: no such name */
    content of[FILES];
} disk;

/* Whether operation i is durable, if the first `done` ones had been made. */
static _Bool durable(int i, int done)
{
    const operation *o = &record[i];
    _Bool of_file = o->kind == WRITE || o->kind == TRUNCATE;

    for (int j = i + 1; j < done; j++)
        if (of_file ? record[j].kind == SYNC && record[j].file == o->file : record[j].kind == SYNC_FOLDER)
            return 1;
    return 0;
}

static void resize(content *c, size_t size)
{
    if (size > c->size) {
        c->bytes = realloc(c->bytes, size);
        ck_assert_ptr_nonnull(c->bytes);
        memset(c->bytes + c->size, 0, size - c->size);
    }
    c->size = size;
}

/* choice: 0 all of it, 1 nothing, 2 the first half, 3 the length without the bytes. */
static void apply(const operation *o, int choice)
{
    if (choice == 1 || o->kind == SYNC || o->kind == SYNC_FOLDER)
        return;
    content *c = &disk.of[o->file];
    switch (o->kind) {
    case CREATE:
        disk.file[o->name] = o->file + 1;
        break;
    case WRITE: {
        size_t size = choice == 2 ? o->size / 2 : o->size;
        if (c->size < o->offset + size)
            resize(c, o->offset + size);
        if (choice == 3)
            memset(c->bytes + o->offset, 0, size);
        else
            memcpy(c->bytes + o->offset, o->bytes, size);
        break;
    }
    case TRUNCATE:
        resize(c, o->size);
        break;
    case RENAME:
        if (disk.file[o->name] == o->file + 1)
            disk.file[o->name] = 0;
        disk.file[o->to] = o->file + 1;
        break;
    default:
        disk.file[o->name] = 0;
    }
}

static void clear_disk(void)
{
    for (int i = 0; i < FILES; i++)
        free(disk.of[i].bytes);
    memset(&disk, 0, sizeof disk);
}

static long states;
static int first_operation; /* what came before it is on the disk */

/* Calls `check` with the disk after each combination for each prefix. */
static void cut_everywhere(void (*check)(int done))
{
    long limit = getenv("POWER_STATES") ? atol(getenv("POWER_STATES")) : LIMIT;
    int open[OPERATIONS], choices[OPERATIONS] = {0};
    rng generator;

    rng_seed(&generator, 1, 1);
    for (int done = first_operation; done <= operations; done++) {
        int count = 0;
        double combinations = 1;
        for (int i = 0; i < done; i++)
            if (record[i].kind != SYNC && record[i].kind != SYNC_FOLDER && !durable(i, done)) {
                open[count++] = i;
                combinations *= record[i].kind == WRITE ? CHOICES : 2;
            }
        long trials = combinations <= (double)limit ? (long)combinations : limit;
        for (long t = 0; t < trials; t++) {
            long rest = t;
            for (int k = 0; k < count; k++) {
                int of = record[open[k]].kind == WRITE ? CHOICES : 2;
                choices[open[k]] = combinations <= (double)limit ? (int)(rest % of)
                                                                 : (int)(rng_uniform(&generator) * of) % of;
                rest /= of;
            }
            clear_disk();
            for (int i = 0; i < done; i++)
                apply(&record[i], choices[i]);
            check(done);
            states++;
        }
        for (int k = 0; k < count; k++)
            choices[open[k]] = 0;
    }
    clear_disk();
}

static _Bool holds(int file, const content *expected)
{
    return file && disk.of[file - 1].size == expected->size &&
           !memcmp(disk.of[file - 1].bytes, expected->bytes, expected->size);
}

/* ---- saving a model over an old one ---- */

static content versions[2];
static int target;

static void old_or_new(int done)
{
    ck_assert_msg(holds(disk.file[target], &versions[0]) || holds(disk.file[target], &versions[1]),
                  "after %d of %d operations the model is neither the old nor the new one", done, operations);
    ck_assert_msg(done < operations || holds(disk.file[target], &versions[1]), "what is saved stays saved");
}

/* Overwritten in place: then the complete file lies beside it. */
static void old_or_new_or_beside(int done)
{
    _Bool beside = 0;

    for (int i = 0; i < names; i++)
        beside |= i != target && holds(disk.file[i], &versions[1]);
    ck_assert_msg(beside || holds(disk.file[target], &versions[0]) || holds(disk.file[target], &versions[1]),
                  "after %d of %d operations the new model is lost, and so is the old one", done, operations);
    ck_assert_msg(done < operations || holds(disk.file[target], &versions[1]), "what is saved stays saved");
}

static void must_open(const content *c)
{
    dn_model *model = NULL;

    ck_ok(dn_model_open_memory(c->bytes, c->size, NULL, &model, NULL));
    dn_model_unref(model);
}

START_TEST(saving_a_model)
{
    const char *path = path_join(test_folder(), "model.dnm");
    dn_train_options options = tiny_options();
    dn_model *models[2];

    states = 0;
    for (int i = 0; i < 2; i++) {
        options.epochs = i;
        dn_trainer *trainer = tiny_trainer(&options, 4);
        trainer_ok(trainer, dn_trainer_run(trainer, NULL, NULL, &models[i]));
        dn_trainer_free(trainer);
    }
    ck_ok(dn_model_save(models[0], path, DN_STORAGE_F32, NULL));
    versions[0].bytes = read_file(path, &versions[0].size);
    begin();
    had(path);
    first_operation = operations;
    rename_fails = _i == 1;
    ck_ok(dn_model_save(models[1], path, DN_STORAGE_F32, NULL));
    end();
    target = name_of(path);
    versions[1].bytes = read_file(path, &versions[1].size);
    ck_assert_uint_ne(operations, first_operation);
    for (int i = 0; i < 2; i++) {
        must_open(&versions[i]);
        dn_model_unref(models[i]);
    }
    cut_everywhere(_i == 1 ? old_or_new_or_beside : old_or_new);
    if (getenv("POWER_SHOW"))
        fprintf(stderr, "saving a model%s: %d operations, %ld states\n", _i ? " in place" : "",
                operations - first_operation, states);
    ck_assert_int_ge(states, 1000);
    for (int i = 0; i < 2; i++)
        free(versions[i].bytes);
    forget_record();
}
END_TEST

/* ---- a training with checkpoints ---- */

enum { STATE, BANK, KINDS_OF_FILE, VERSIONS = 16 };
static int watched[KINDS_OF_FILE];
static content written[KINDS_OF_FILE][VERSIONS]; /* each complete file that was renamed to the name, in order */
static int renamed_at[KINDS_OF_FILE][VERSIONS], version_count[KINDS_OF_FILE];
static _Bool seen[VERSIONS + 1][VERSIONS + 1];

static void collect_versions(void)
{
    memset(version_count, 0, sizeof version_count);
    for (int i = 0; i < operations; i++) {
        apply(&record[i], 0);
        for (int k = 0; k < KINDS_OF_FILE; k++)
            if (record[i].kind == RENAME && record[i].to == watched[k]) {
                const content *c = &disk.of[record[i].file];
                int v = version_count[k]++;
                ck_assert_int_lt(v, VERSIONS);
                written[k][v] = (content){malloc(c->size), c->size};
                memcpy(written[k][v].bytes, c->bytes, c->size);
                renamed_at[k][v] = i;
            }
    }
    clear_disk();
}

/* The version number + 1 that is found, 0: none; it is none before the last durable one. */
static int version_found(int k, int done)
{
    int file = disk.file[watched[k]], least = 0, found = 0;

    for (int v = 0; v < version_count[k] && renamed_at[k][v] < done; v++) {
        if (durable(renamed_at[k][v], done))
            least = v + 1;
        if (holds(file, &written[k][v]))
            found = v + 1;
    }
    ck_assert_msg(!file == !found, "after %d operations %s is torn", done, k == STATE ? "a checkpoint" : "a bank");
    ck_assert_msg(found >= least, "after %d operations a file that was saved is gone", done);
    return found;
}

static void any_complete_version(int done)
{
    int state = version_found(STATE, done), bank = version_found(BANK, done);

    seen[state][bank] = 1;
}

/* A training that goes on from what was found. */
static void go_on(const dn_train_options *options, const char *bank_path, int state, int bank, const dn_blob *expected)
{
    remove(options->checkpoint);
    remove(bank_path);
    if (state)
        write_file(options->checkpoint, written[STATE][state - 1].bytes, written[STATE][state - 1].size);
    if (bank)
        write_file(bank_path, written[BANK][bank - 1].bytes, written[BANK][bank - 1].size);
    dn_blob *bytes = run_to_bytes(tiny_trainer(options, 4));
    ck_assert_msg(same_bytes(bytes, expected), "with checkpoint %d and bank %d training ends elsewhere", state, bank);
    dn_blob_free(bytes);
}

START_TEST(training)
{
    const char *folder = test_folder(), *bank_path = path_join(folder, "state.bank");
    dn_train_options options = tiny_options();
    int combinations = 0;

    states = 0;
    options.epochs = 4;
    options.checkpoint = path_join(folder, "state");
    options.checkpoint_epochs = 1;
    options.heatmap_images = 0;
    begin();
    first_operation = 0;
    dn_blob *expected = run_to_bytes(tiny_trainer(&options, 4));
    end();
    watched[STATE] = name_of(options.checkpoint);
    watched[BANK] = name_of(bank_path);
    collect_versions();
    ck_assert_int_ge(version_count[STATE], 3);
    ck_assert_int_eq(version_count[BANK], 1);
    memset(seen, 0, sizeof seen);
    cut_everywhere(any_complete_version);
    options.resume = 1;
    for (int s = 0; s <= VERSIONS; s++)
        for (int b = 0; b <= VERSIONS; b++)
            if (seen[s][b]) {
                go_on(&options, bank_path, s, b, expected);
                combinations++;
            }
    if (getenv("POWER_SHOW"))
        fprintf(stderr, "training: %d operations, %ld states, %d pairs of files gone on from\n", operations, states,
                combinations);
    ck_assert_int_ge(combinations, version_count[STATE] + 1);
    for (int k = 0; k < KINDS_OF_FILE; k++)
        for (int v = 0; v < version_count[k]; v++)
            free(written[k][v].bytes);
    dn_blob_free(expected);
    forget_record();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("power");
    TCase *tests = tcase_create("power");

    tcase_add_loop_test(tests, saving_a_model, 0, 2);
    tcase_add_test(tests, training);
    tcase_set_timeout(tests, 3600);
    suite_add_tcase(suite, tests);
    return suite;
}

TEST_MAIN(make_suite)
