/* What torch.save has written since PyTorch 1.6: a zip archive with NAME/data.pkl, whose storages are the files
 * NAME/data/KEY.  PKWARE's APPNOTE describes the archive.  PyTorch stores without compression, with 64-bit records. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "weights_file.h"
#include "command.h"

#define MAX_ENTRIES (1u << 17)
#define MAX_UNPACKED ((uint64_t)1 << 32) /* bytes, of all compressed files together */
#define DEFLATE_RATIO 1032               /* no byte can become more: zlib's FAQ */

#define END_BYTES 22
#define LOCATOR_BYTES 20
#define END64_BYTES 56
#define ENTRY_BYTES 46
#define LOCAL_BYTES 30

/* One file of the archive. */
typedef struct entry {
    text name;
    int method; /* 0: stored, 8: deflated */
    uint32_t crc;
    size_t packed_size, size;
    const uint8_t *packed;
    const uint8_t *bytes; /* NULL: not yet unpacked and checked */
} entry;

typedef struct archive {
    const uint8_t *bytes;
    size_t size;
    size_t directory, directory_size; /* position, bytes */
    entry *entries;                   /* by name */
    size_t count;
    text folder;       /* "archive/" */
    uint64_t unpacked; /* bytes */
    weights_file *out;
    dn_error *error;
} archive;

static uint64_t number(const uint8_t *bytes, int size)
{
    uint64_t sum = 0;

    for (int i = 0; i < size; i++)
        sum |= (uint64_t)bytes[i] << 8 * i;
    return sum;
}

static bool damaged(archive *self, const char *what)
{
    return weights_refuse(self->error, DN_E_FORMAT, "the zip archive is damaged or cut off: %s", what);
}

/* ---- the directory ---- */

/* Position of the record at the archive's end; false if there is none. */
static bool find_end(const archive *self, size_t *end)
{
    if (self->size < END_BYTES)
        return false;
    size_t most = self->size - END_BYTES < 65535 ? self->size - END_BYTES : 65535;
    for (size_t comment = 0; comment <= most; comment++) {
        const uint8_t *at = self->bytes + self->size - END_BYTES - comment;
        if (memcmp(at, "PK\5\6", 4) == 0 && number(at + 20, 2) == comment) {
            *end = self->size - END_BYTES - comment;
            return true;
        }
    }
    return false;
}

/* The 64-bit record, if there is one before `end`. */
static const uint8_t *find_end64(const archive *self, size_t end)
{
    const uint8_t *locator = self->bytes + end - LOCATOR_BYTES;

    if (end < LOCATOR_BYTES || memcmp(locator, "PK\6\7", 4) != 0)
        return NULL;
    uint64_t at = number(locator + 8, 8);
    if (at > end - LOCATOR_BYTES || end - LOCATOR_BYTES - at < END64_BYTES ||
        memcmp(self->bytes + at, "PK\6\6", 4) != 0)
        return NULL;
    return self->bytes + at;
}

static bool find_directory(archive *self)
{
    size_t end;

    if (!find_end(self, &end))
        return damaged(self, "it has no end");
    const uint8_t *record = self->bytes + end, *record64 = find_end64(self, end);
    uint64_t count = record64 ? number(record64 + 32, 8) : number(record + 10, 2);
    uint64_t size = record64 ? number(record64 + 40, 8) : number(record + 12, 4);
    uint64_t at = record64 ? number(record64 + 48, 8) : number(record + 16, 4);
    if (count < 1 || count > MAX_ENTRIES || at > end || size > end - at || size / ENTRY_BYTES < count)
        return damaged(self, "its directory lies outside");
    self->directory = (size_t)at;
    self->directory_size = (size_t)size;
    self->count = (size_t)count;
    return true;
}

/* Sizes and position that do not fit into 32 bits stand in an extra field. */
static bool read_extra64(const uint8_t *extra, size_t size, uint64_t *values[3])
{
    while (size >= 4) {
        size_t length = (size_t)number(extra + 2, 2);
        if (length > size - 4)
            return false;
        if (number(extra, 2) == 1) {
            const uint8_t *at = extra + 4, *end = at + length;
            for (int i = 0; i < 3; i++)
                if (*values[i] == UINT32_MAX) {
                    if (end - at < 8)
                        return false;
                    *values[i] = number(at, 8);
                    at += 8;
                }
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    return true;
}

/* The data behind an entry's own header, which must tell the same name. */
static bool locate(archive *self, entry *e, uint64_t at)
{
    size_t room = self->directory; /* files lie before it */

    if (at > room || room - at < LOCAL_BYTES || memcmp(self->bytes + at, "PK\3\4", 4) != 0)
        return damaged(self, "a file lies outside");
    const uint8_t *header = self->bytes + at;
    size_t name_size = (size_t)number(header + 26, 2), skip = LOCAL_BYTES + name_size + (size_t)number(header + 28, 2);
    room -= (size_t)at;
    if (skip > room || e->packed_size > room - skip || name_size != e->name.size ||
        memcmp(header + LOCAL_BYTES, e->name.bytes, name_size) != 0)
        return damaged(self, "a file lies outside or has two names");
    e->packed = header + skip;
    return true;
}

/* One entry of the directory at *at, which moves on. */
static bool read_entry(archive *self, const uint8_t **at, size_t *room, entry *e)
{
    const uint8_t *header = *at;

    if (*room < ENTRY_BYTES || memcmp(header, "PK\1\2", 4) != 0)
        return damaged(self, "its directory is cut off");
    size_t name_size = (size_t)number(header + 28, 2), extra_size = (size_t)number(header + 30, 2);
    size_t whole = ENTRY_BYTES + name_size + extra_size + (size_t)number(header + 32, 2);
    uint64_t size = number(header + 24, 4), packed_size = number(header + 20, 4), place = number(header + 42, 4);
    uint64_t *values[3] = {&size, &packed_size, &place};
    if (whole > *room || !read_extra64(header + ENTRY_BYTES + name_size, extra_size, values))
        return damaged(self, "its directory is cut off");
    if (number(header + 8, 2) & 1)
        return weights_refuse(self->error, DN_E_UNSUPPORTED, "the zip archive is encrypted");
    *e = (entry){.name = {(const char *)header + ENTRY_BYTES, name_size},
                 .method = (int)number(header + 10, 2),
                 .crc = (uint32_t)number(header + 16, 4)};
    if (packed_size > self->size || size > MAX_UNPACKED || (size_t)size != size)
        return damaged(self, "a file is larger than all");
    e->size = (size_t)size;
    e->packed_size = (size_t)packed_size;
    *at += whole;
    *room -= whole;
    return locate(self, e, place);
}

static int compare_text(const text *a, const text *b)
{
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);

    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_text(&((const entry *)a)->name, &((const entry *)b)->name);
}

static bool read_directory(archive *self)
{
    const uint8_t *at = self->bytes + self->directory;
    size_t room = self->directory_size;

    self->entries = need_memory(self->count, sizeof *self->entries);
    for (size_t i = 0; i < self->count; i++)
        if (!read_entry(self, &at, &room, &self->entries[i]))
            return false;
    qsort(self->entries, self->count, sizeof *self->entries, compare_entries);
    for (size_t i = 1; i < self->count; i++)
        if (compare_entries(&self->entries[i - 1], &self->entries[i]) == 0)
            return damaged(self, "two files have one name");
    return true;
}

/* ---- files ---- */

/* The file FOLDER + inner + key; NULL: absent. */
static entry *find(const archive *self, const char *inner, const char *key, size_t key_size)
{
    size_t inner_size = strlen(inner), low = 0, high = self->count;
    char *name = need_memory(self->folder.size + inner_size + key_size + 1, 1);

    memcpy(name, self->folder.bytes, self->folder.size);
    memcpy(name + self->folder.size, inner, inner_size);
    memcpy(name + self->folder.size + inner_size, key, key_size);
    text wanted = {name, self->folder.size + inner_size + key_size};
    entry *found = NULL;
    while (!found && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_text(&self->entries[middle].name, &wanted);
        if (order == 0)
            found = &self->entries[middle];
        else if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    free(name);
    return found;
}

static bool inflate_all(const entry *e, uint8_t *out)
{
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)e->packed, .next_out = out};
    size_t in_left = e->packed_size, out_left = e->size;
    int status = inflateInit2(&stream, -MAX_WBITS); /* no header of zlib's */

    if (status != Z_OK)
        return false;
    while (status == Z_OK) { /* zlib counts in 32 bits */
        stream.avail_in = in_left > 1u << 30 ? 1u << 30 : (uInt)in_left;
        stream.avail_out = out_left > 1u << 30 ? 1u << 30 : (uInt)out_left;
        in_left -= stream.avail_in;
        out_left -= stream.avail_out;
        status = inflate(&stream, Z_NO_FLUSH);
        in_left += stream.avail_in;
        out_left += stream.avail_out;
    }
    inflateEnd(&stream);
    return status == Z_STREAM_END && in_left == 0 && out_left == 0;
}

static bool unpack(archive *self, entry *e)
{
    weights_file *out = self->out;

    if (e->size / DEFLATE_RATIO > e->packed_size || e->size > MAX_UNPACKED - self->unpacked)
        return weights_refuse(self->error, DN_E_LIMIT,
                              "a compressed file claims an impossible size, or all "
                              "together have more than 4 GiB");
    self->unpacked += e->size;
    uint8_t *bytes = need_memory(e->size, 1);
    out->unpacked = need_more_memory(out->unpacked, out->unpacked_count + 1, sizeof *out->unpacked);
    out->unpacked[out->unpacked_count++] = bytes;
    if (!inflate_all(e, bytes))
        return damaged(self, "compressed data is not valid");
    e->bytes = bytes;
    return true;
}

/* Makes e->bytes point to the file's content, whose checksum fits. */
static bool open_entry(archive *self, entry *e)
{
    char shown[64];

    if (e->bytes)
        return true;
    if (e->method != 0 && e->method != 8)
        return weights_refuse(self->error, DN_E_UNSUPPORTED, "zip method %d; only stored and deflated are handled",
                              e->method);
    if (e->method == 0 && e->packed_size != e->size)
        return damaged(self, "a stored file has two sizes");
    if (e->method == 8 && !unpack(self, e))
        return false;
    const uint8_t *bytes = e->method == 0 ? e->packed : e->bytes;
    e->bytes = NULL;
    if ((uint32_t)crc32_z(0, bytes, e->size) != e->crc)
        return weights_refuse(self->error, DN_E_FORMAT,
                              "%s: its checksum differs: the file is damaged; copy it "
                              "again (or it was saved with checksums turned off)",
                              text_shown(&e->name, shown, sizeof shown));
    e->bytes = bytes;
    return true;
}

/* The one folder that has a data.pkl. */
static bool find_folder(archive *self)
{
    static const char wanted[] = "data.pkl";
    size_t length = sizeof wanted - 1, found = 0;

    for (size_t i = 0; i < self->count; i++) {
        const text *name = &self->entries[i].name;
        if (name->size <= length || memcmp(name->bytes + name->size - length, wanted, length) != 0 ||
            memchr(name->bytes, '/', name->size) != name->bytes + name->size - length - 1)
            continue;
        self->folder = (text){name->bytes, name->size - length};
        found++;
    }
    if (found != 1)
        return weights_refuse(self->error, DN_E_FORMAT, "is a zip archive, but not one of torch.save: no data.pkl");
    if (find(self, "constants.pkl", "", 0))
        return weights_refuse(self->error, DN_E_UNSUPPORTED,
                              "is a TorchScript archive; save "
                              "model.state_dict() with torch.save");
    return true;
}

static bool check_byte_order(archive *self)
{
    entry *e = find(self, "byteorder", "", 0);

    if (!e) /* before 2.1 */
        return true;
    if (!open_entry(self, e))
        return false;
    if (e->size != 6 || memcmp(e->bytes, "little", 6) != 0)
        return weights_refuse(self->error, DN_E_UNSUPPORTED, "its numbers are not little-endian");
    return true;
}

/* ---- tensors ---- */

static bool find_storage(archive *self, torch_storage *storage)
{
    text key = {storage->key, storage->key_size};
    char shown[64];
    size_t bytes;

    if (storage->data || storage->elements == 0)
        return true;
    entry *e = find(self, "data/", storage->key, storage->key_size);
    if (!e)
        return weights_refuse(self->error, DN_E_FORMAT, "storage %s is missing", text_shown(&key, shown, sizeof shown));
    if (__builtin_mul_overflow((size_t)storage->elements, storage->type->element_size, &bytes) || bytes > e->size)
        return weights_refuse(self->error, DN_E_FORMAT, "storage %s has %zu bytes, too few for %lld elements",
                              text_shown(&key, shown, sizeof shown), e->size, (long long)storage->elements);
    if (!open_entry(self, e))
        return false;
    storage->data = e->bytes;
    return true;
}

static bool find_storages(archive *self, const value *dict)
{
    for (size_t i = 1; i < dict->count; i += 2)
        if (dict->items[i]->kind == VALUE_TENSOR && !find_storage(self, dict->items[i]->tensor->storage))
            return false;
    return true;
}

static bool read_pickle(archive *self)
{
    entry *e = find(self, "data.pkl", "", 0);

    if (!open_entry(self, e))
        return false;
    unpickler reader = {.bytes = e->bytes,
                        .size = e->size,
                        .label = "data.pkl",
                        .memory = &self->out->memory,
                        .error = self->error,
                        .persistent = torch_storage_value};
    const value *object = unpickle(&reader);
    const value *dict = object ? weights_state_dict(object, self->error) : NULL;
    return dict && find_storages(self, dict) && weights_add_all(self->out, dict, self->error);
}

bool read_torch_zip(weights_file *out, const uint8_t *bytes, size_t size, dn_error *error)
{
    archive self = {.bytes = bytes, .size = size, .out = out, .error = error};

    out->format = "torch-zip";
    bool good = find_directory(&self) && read_directory(&self) && find_folder(&self) && check_byte_order(&self) &&
                read_pickle(&self);
    free(self.entries);
    return good;
}
