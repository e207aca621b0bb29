/* What torch.save wrote before PyTorch 0.1.10, as torchvision's weights of that time: a tar archive of four files.
 * `storages`: how many there are; of each the pickle (key, location, type), a count of 8 bytes and its numbers; then
 * views into them.  `tensors`: how many; of each the pickle (key, key of its storage, type), then rank, sizes, strides
 * and offset as binary numbers.  `pickle`: the object, in which a persistent id is the key of a tensor in decimal
 * digits.  `sys_info`: facts about the machine. */
#include <stdlib.h>
#include <string.h>

#include "weights_file.h"
#include "command.h"

#define BLOCK 512
#define MAX_COUNT 65536

/* A storage or a tensor, by its key. */
typedef struct keyed {
    int64_t key;
    void *object;
} keyed;

typedef struct table {
    keyed *entries;
    size_t count, room;
} table;

typedef struct tar {
    weights_file *out;
    dn_error *error;
    text files[4]; /* as in `names` */
    table storages, tensors;
} tar;

enum { SYS_INFO, PICKLE, TENSORS, STORAGES };
static const char *const names[4] = {"sys_info", "pickle", "tensors", "storages"};

static bool damaged(tar *self, const char *what)
{
    return weights_refuse(self->error, DN_E_FORMAT, "the tar archive is damaged or cut off: %s", what);
}

/* ---- keys ---- */

static void add(table *to, int64_t key, void *object)
{
    if (to->count == to->room) {
        to->room = to->room ? 2 * to->room : 64;
        to->entries = need_more_memory(to->entries, to->room, sizeof *to->entries);
    }
    to->entries[to->count++] = (keyed){key, object};
}

static int compare_keys(const void *a, const void *b)
{
    int64_t first = ((const keyed *)a)->key, second = ((const keyed *)b)->key;

    return (first > second) - (first < second);
}

/* False, with a message, if a key is there twice. */
static bool sort(tar *self, table *given)
{
    if (given->count > 0)
        qsort(given->entries, given->count, sizeof *given->entries, compare_keys);
    for (size_t i = 1; i < given->count; i++)
        if (given->entries[i - 1].key == given->entries[i].key)
            return damaged(self, "a key is there twice");
    return true;
}

/* In a sorted table; NULL: absent. */
static void *find(const table *sorted, int64_t key)
{
    const keyed wanted = {key, NULL};
    const keyed *found = sorted->count > 0
                             ? bsearch(&wanted, sorted->entries, sorted->count, sizeof *sorted->entries, compare_keys)
                             : NULL;

    return found ? found->object : NULL;
}

/* ---- the archive ---- */

/* Octal digits, up to a blank or NUL.  A field has 12 bytes at most: 36 bits. */
static bool octal(const uint8_t *field, size_t size, uint64_t *number)
{
    size_t i = 0, digits = 0;

    *number = 0;
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++, digits++)
        *number = *number << 3 | (uint64_t)(field[i] - '0');
    return digits > 0 && (i == size || field[i] == ' ' || field[i] == 0);
}

static bool check_header(const uint8_t *header)
{
    uint64_t told, sum = 8 * ' '; /* the sum's own field counts as blanks */

    for (size_t i = 0; i < BLOCK; i++)
        if (i < 148 || i >= 156)
            sum += header[i];
    return octal(header + 148, 8, &told) && told == sum;
}

/* Takes the content of a file whose name is known. */
static bool take_file(tar *self, const uint8_t *header, const uint8_t *content, size_t size)
{
    const uint8_t *end = memchr(header, 0, 100);
    text name = {(const char *)header, end ? (size_t)(end - header) : 100};

    for (int i = 0; i < 4; i++)
        if (text_is(&name, names[i])) {
            if (self->files[i].bytes)
                return damaged(self, "a file is there twice");
            self->files[i] = (text){(const char *)content, size};
        }
    return true;
}

static bool read_archive(tar *self, const uint8_t *bytes, size_t size)
{
    size_t at = 0;

    while (size - at >= BLOCK && bytes[at] != 0) {
        const uint8_t *header = bytes + at;
        uint64_t length;
        if (!check_header(header) || !octal(header + 124, 12, &length))
            return damaged(self, "a header's sum or size is wrong");
        at += BLOCK;
        if (length > size - at)
            return damaged(self, "a file is cut off");
        /* '0' and NUL are regular files; what others tell (times, owners) is of no interest. */
        if ((header[156] == '0' || header[156] == 0) && !take_file(self, header, bytes + at, (size_t)length))
            return false;
        size_t padded = ((size_t)length + BLOCK - 1) / BLOCK * BLOCK;
        at += padded < size - at ? padded : size - at;
    }
    for (int i = 0; i < 4; i++)
        if (!self->files[i].bytes)
            return weights_refuse(self->error, DN_E_FORMAT,
                                  "is a tar archive, but not one of torch.save: it has "
                                  "no file %s",
                                  names[i]);
    return true;
}

/* ---- the files ---- */

static value *no_persistent(unpickler *reader, const value *id)
{
    (void)id;
    return unpickle_refuse(reader, DN_E_FORMAT, "a persistent id where none belongs");
}

static unpickler open_file(tar *self, int file)
{
    return (unpickler){.bytes = (const uint8_t *)self->files[file].bytes,
                       .size = self->files[file].size,
                       .label = names[file],
                       .memory = &self->out->memory,
                       .error = self->error,
                       .persistent = no_persistent,
                       .context = self};
}

/* How many descriptions follow. */
static bool read_count(tar *self, unpickler *reader, int64_t *count)
{
    const value *number = unpickle(reader);

    if (!number)
        return false;
    if (number->kind != VALUE_INTEGER || number->integer < 0 || number->integer > MAX_COUNT)
        return damaged(self, "a count is wrong");
    *count = number->integer;
    return true;
}

/* The next little-endian number of 8 bytes. */
static bool read_eight(tar *self, unpickler *reader, int64_t *number)
{
    if (reader->size - reader->at < sizeof *number)
        return damaged(self, "numbers are cut off");
    memcpy(number, reader->bytes + reader->at, sizeof *number);
    reader->at += sizeof *number;
    return true;
}

/* Likewise, >= 0. */
static bool read_binary(tar *self, unpickler *reader, int64_t *number)
{
    return read_eight(self, reader, number) && (*number >= 0 || damaged(self, "a size is negative"));
}

static bool check_machine(tar *self)
{
    unpickler reader = open_file(self, SYS_INFO);

    return weights_check_machine(unpickle(&reader), self->error);
}

static bool read_storage(tar *self, unpickler *reader)
{
    const value *description = unpickle(reader);
    torch_storage *storage = arena_take(&self->out->memory, 1, sizeof *storage);
    size_t bytes;

    if (!description)
        return false;
    if (!storage || description->kind != VALUE_TUPLE || description->count != 3 ||
        description->items[0]->kind != VALUE_INTEGER || description->items[2]->kind != VALUE_GLOBAL ||
        description->items[2]->global->function != TORCH_TYPE)
        return damaged(self, "the description of a storage is wrong");
    storage->type = description->items[2]->global;
    if (!read_binary(self, reader, &storage->elements))
        return false;
    if (__builtin_mul_overflow((size_t)storage->elements, storage->type->element_size, &bytes) ||
        bytes > reader->size - reader->at)
        return damaged(self, "the storages are cut off");
    storage->view_elements = storage->elements;
    storage->data = reader->bytes + reader->at;
    reader->at += bytes;
    add(&self->storages, description->items[0]->integer, storage);
    return true;
}

/* (key of the view, key of its storage, offset, elements); the storage is one of the first `whole_count`. */
static bool add_view(tar *self, const value *view, size_t whole_count)
{
    const table storages = {.entries = self->storages.entries, .count = whole_count};
    torch_storage *part = arena_take(&self->out->memory, 1, sizeof *part);
    bool good = part && view->kind == VALUE_TUPLE && view->count == 4;

    for (size_t i = 0; good && i < 4; i++)
        good = view->items[i]->kind == VALUE_INTEGER;
    const torch_storage *whole = good ? find(&storages, view->items[1]->integer) : NULL;
    if (!whole)
        return damaged(self, "a view into no storage");
    int64_t offset = view->items[2]->integer, elements = view->items[3]->integer;
    if (offset < 0 || offset > whole->elements || elements < 0 || elements > whole->elements - offset)
        return damaged(self, "a view beyond its storage");
    *part = *whole;
    part->view_offset = offset;
    part->view_elements = elements;
    add(&self->storages, view->items[0]->integer, part);
    return true;
}

static bool read_storages(tar *self)
{
    unpickler reader = open_file(self, STORAGES);
    int64_t count = 0;

    if (!read_count(self, &reader, &count))
        return false;
    for (int64_t i = 0; i < count; i++)
        if (!read_storage(self, &reader))
            return false;
    if (!sort(self, &self->storages))
        return false;
    const value *views = unpickle(&reader);
    if (!views)
        return false;
    if (views->kind != VALUE_LIST || views->count > MAX_COUNT)
        return damaged(self, "the views are no list");
    size_t whole = self->storages.count; /* what is sorted: views look into storages, never into views */
    for (size_t i = 0; i < views->count; i++)
        if (!add_view(self, views->items[i], whole))
            return false;
    return sort(self, &self->storages);
}

/* Rank (4 bytes and 4 without meaning), sizes, strides, offset. */
static bool read_shape(tar *self, unpickler *reader, torch_tensor *tensor)
{
    int64_t head = 0;

    if (!read_eight(self, reader, &head))
        return false;
    tensor->rank = (int32_t)(head & 0xFFFFFFFF);
    if (tensor->rank < 0 || tensor->rank > TENSOR_MAX_RANK)
        return damaged(self, "a tensor has more than 8 dimensions");
    for (int32_t i = 0; i < tensor->rank; i++)
        if (!read_binary(self, reader, &tensor->shape[i]))
            return false;
    for (int32_t i = 0; i < tensor->rank; i++)
        if (!read_binary(self, reader, &tensor->stride[i]))
            return false;
    return read_binary(self, reader, &tensor->offset);
}

static bool read_tensor(tar *self, unpickler *reader)
{
    const value *description = unpickle(reader);
    torch_tensor *tensor = arena_take(&self->out->memory, 1, sizeof *tensor);

    if (!description)
        return false;
    if (!tensor || description->kind != VALUE_TUPLE || description->count != 3 ||
        description->items[0]->kind != VALUE_INTEGER ||
        (description->items[1]->kind != VALUE_INTEGER && description->items[1]->kind != VALUE_NONE))
        return damaged(self, "the description of a tensor is wrong");
    if (description->items[1]->kind == VALUE_INTEGER) {
        tensor->storage = find(&self->storages, description->items[1]->integer);
        if (!tensor->storage)
            return damaged(self, "a tensor's storage is missing");
    }
    add(&self->tensors, description->items[0]->integer, tensor);
    return read_shape(self, reader, tensor);
}

static bool read_tensors(tar *self)
{
    unpickler reader = open_file(self, TENSORS);
    int64_t count = 0;

    if (!read_count(self, &reader, &count))
        return false;
    for (int64_t i = 0; i < count; i++)
        if (!read_tensor(self, &reader))
            return false;
    return sort(self, &self->tensors);
}

/* ---- the object ---- */

/* Decimal digits: the key of a tensor. */
static value *find_tensor(unpickler *reader, const value *id)
{
    const tar *self = reader->context;
    int64_t key = 0;
    bool good = id->kind == VALUE_TEXT && id->text.size > 0;

    for (size_t i = 0; good && i < id->text.size; i++) {
        char digit = id->text.bytes[i];
        good = digit >= '0' && digit <= '9' && !__builtin_mul_overflow(key, 10, &key) &&
               !__builtin_add_overflow(key, digit - '0', &key);
    }
    torch_tensor *tensor = good ? find(&self->tensors, key) : NULL;
    if (!tensor)
        return unpickle_refuse(reader, DN_E_UNSUPPORTED,
                               "a persistent id that is no tensor's; only checkpoints of "
                               "plain tensors can be read");
    value *made = unpickle_make(reader, VALUE_TENSOR);
    if (made)
        made->tensor = tensor;
    return made;
}

static bool read_object(tar *self)
{
    unpickler reader = open_file(self, PICKLE);

    reader.persistent = find_tensor;
    const value *object = unpickle(&reader);
    const value *dict = object ? weights_state_dict(object, self->error) : NULL;
    return dict && weights_add_all(self->out, dict, self->error);
}

bool read_torch_tar(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error)
{
    tar self = {.out = out, .error = error};

    out->format = "torch-tar";
    bool good = read_archive(&self, bytes, size) && check_machine(&self) && read_storages(&self) &&
                read_tensors(&self) && read_object(&self);
    free(self.storages.entries);
    free(self.tensors.entries);
    return good;
}
