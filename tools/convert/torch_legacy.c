/* What torch.save wrote from PyTorch 0.1.10 to 1.5, and writes still with _use_new_zipfile_serialization=False: pickles
 * of a magic number, a version, facts about the machine, the object and the keys of its storages; then the storages in
 * the order of the keys, each as a count of 8 bytes and its numbers. */
#include <stdlib.h>
#include <string.h>

#include "weights_file.h"
#include "command.h"

#define PROTOCOL 1001

/* Storages of the pickle, in order of their keys. */
typedef struct legacy {
    weights_file *out;
    dn_error *error;
    unpickler reader;
    torch_storage **storages;
    size_t count, room;
} legacy;

static value *collect_storage(unpickler *reader, const value *id)
{
    legacy *self = reader->context;
    value *made = torch_storage_value(reader, id);

    if (!made)
        return NULL;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->storages = need_more_memory(self->storages, self->room, sizeof *self->storages);
    }
    self->storages[self->count++] = made->storage;
    return made;
}

static bool refuse(legacy *self, const char *what)
{
    return weights_refuse(self->error, DN_E_FORMAT, "byte %zu: %s", self->reader.at, what);
}

/* ---- the head ---- */

static bool is_integer(const value *given, int64_t integer)
{
    return given && given->kind == VALUE_INTEGER && given->integer == integer;
}

static bool read_head(legacy *self)
{
    static const char magic[] = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
    const value *number = unpickle(&self->reader);

    if (!number || number->kind != VALUE_BIG || !text_is(&number->text, magic))
        return weights_refuse(self->error, DN_E_FORMAT,
                              "is a pickle, but not one of torch.save: it does not begin "
                              "with PyTorch's number");
    if (!is_integer(unpickle(&self->reader), PROTOCOL))
        return refuse(self, "the checkpoint's version is not 1001");
    return weights_check_machine(unpickle(&self->reader), self->error);
}

/* ---- the storages ---- */

static int compare_keys(const torch_storage *a, const char *key, size_t key_size)
{
    int order = memcmp(a->key, key, a->key_size < key_size ? a->key_size : key_size);

    return order ? order : (a->key_size > key_size) - (a->key_size < key_size);
}

static int compare_storages(const void *a, const void *b)
{
    const torch_storage *second = *(torch_storage *const *)b;

    return compare_keys(*(torch_storage *const *)a, second->key, second->key_size);
}

/* The first storage with a key, of which there may be several descriptions one behind the other. */
static size_t find(const legacy *self, const text *key)
{
    size_t low = 0, high = self->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_keys(self->storages[middle], key->bytes, key->size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The numbers of the storage `key`, at the reader's position, which moves on. */
static bool read_storage(legacy *self, const text *key)
{
    unpickler *reader = &self->reader;
    size_t i = find(self, key), bytes;
    uint64_t elements;

    if (i == self->count || compare_keys(self->storages[i], key->bytes, key->size) != 0)
        return refuse(self, "a storage that no tensor uses");
    if (reader->size - reader->at < sizeof elements)
        return refuse(self, "the storages are cut off");
    memcpy(&elements, reader->bytes + reader->at, sizeof elements);
    reader->at += sizeof elements;
    size_t element_size = self->storages[i]->type->element_size;
    if (__builtin_mul_overflow(elements, element_size, &bytes) || bytes > reader->size - reader->at)
        return refuse(self, "the storages are cut off");
    for (; i < self->count && compare_keys(self->storages[i], key->bytes, key->size) == 0; i++) {
        torch_storage *storage = self->storages[i];
        if ((uint64_t)storage->elements != elements || storage->type->element_size != element_size || storage->data)
            return refuse(self, "a storage whose size differs from what the pickle says");
        storage->data = reader->bytes + reader->at;
    }
    reader->at += bytes;
    return true;
}

static bool read_storages(legacy *self)
{
    const value *keys = unpickle(&self->reader);

    if (!keys)
        return false;
    if (keys->kind != VALUE_LIST)
        return refuse(self, "the keys of the storages are no list");
    if (self->count > 0)
        qsort(self->storages, self->count, sizeof *self->storages, compare_storages);
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->items[i]->kind != VALUE_TEXT)
            return refuse(self, "the key of a storage is no text");
        if (!read_storage(self, &keys->items[i]->text))
            return false;
    }
    for (size_t i = 0; i < self->count; i++)
        if (!self->storages[i]->data)
            return refuse(self, "a storage is missing");
    return true;
}

/* ---- the whole ---- */

static bool read_object(legacy *self)
{
    self->reader.persistent = collect_storage;
    const value *object = unpickle(&self->reader);
    const value *dict = object ? weights_state_dict(object, self->error) : NULL;

    return dict && read_storages(self) && weights_add_all(self->out, dict, self->error);
}

bool read_torch_legacy(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error)
{
    legacy self = {.out = out,
                   .error = error,
                   .reader = {.bytes = bytes,
                              .size = size,
                              .label = "pickle",
                              .memory = &out->memory,
                              .error = error,
                              .persistent = torch_storage_value}};

    out->format = "torch-legacy";
    self.reader.context = &self;
    bool good = read_head(&self) && read_object(&self);
    free(self.storages);
    return good;
}
