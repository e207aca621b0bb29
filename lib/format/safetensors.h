/* safetensors: 8-byte little-endian header length, JSON header, raw little-endian tensors.
 * The reader trusts nothing: header at most ST_MAX_HEADER bytes, checked arithmetic, offsets contiguous, sorted and
 * covering the file exactly. */
#ifndef DN_FORMAT_SAFETENSORS_H
#define DN_FORMAT_SAFETENSORS_H

#include "base/blob.h"
#include "differnet.h"
#include "format/json.h"

#define ST_MAX_HEADER (16u << 20) /* bytes */
#define ST_MAX_TENSORS 65536
#define ST_MAX_METADATA 65536 /* entries */
#define ST_MAX_RANK 8

enum st_type { ST_F16 = 1, ST_F32, ST_F64, ST_I32, ST_I64, ST_U8, ST_U32, ST_OTHER /* valid, but not read by us */ };

typedef struct st_tensor {
    const char *name;
    enum st_type type;
    int32_t rank; /* 0 .. ST_MAX_RANK */
    int64_t shape[ST_MAX_RANK];
    int64_t elements;    /* product of shape */
    const uint8_t *data; /* into the bytes that were parsed; any alignment */
    size_t bytes;
    _Bool finite; /* F32 known to be without NaN and infinity: by st_data_crc32 */
} st_tensor;

typedef struct st_file st_file;
struct st_writer;

/* Parses the header of `size` bytes, which must outlive *out.  label: file name for messages. */
dn_status st_parse(const uint8_t *bytes, size_t size, const char *label, const dn_allocator *allocator, st_file **out,
                   dn_error *error);
void st_free(st_file *file); /* NULL is allowed */
int32_t st_count(const st_file *file);
const st_tensor *st_at(const st_file *file, int32_t index);      /* in file order */
const st_tensor *st_find(const st_file *file, const char *name); /* NULL: absent */
const char *st_metadata(const st_file *file, const char *key);   /* NULL: absent */
/* Walks the metadata in the file's order: from NULL to the first entry, from an entry to the next, to NULL at the
 * end. */
typedef struct st_entry st_entry;
const st_entry *st_metadata_next(const st_file *file, const st_entry *entry, const char **key, const char **value);
const char *st_label(const st_file *file);
/* Of all tensor bytes, in file order; computed at each call.  Finds out on the way which F32 tensors are finite. */
uint32_t st_data_crc32(st_file *file);
/* The metadata ST_HEADER_SUM holds 8 digits that are the checksum of all bytes in front of the data, these digits taken
 * as zeros.  *equal: they are.  False: there is no such checksum. */
#define ST_HEADER_SUM "differnet.header_crc32"
_Bool st_header_sum(const st_file *file, _Bool *equal);

/* Finds a tensor and checks its rank and shape; DN_E_FORMAT with the tensor's name otherwise.  A shape entry of -1
 * matches any size. */
dn_status st_require(const st_file *file, const char *name, int32_t rank, const int64_t *shape, const st_tensor **out,
                     dn_error *error);
/* Converts F32, F16 or F64 to float; NaN or infinity anywhere is DN_E_NUMERIC, another type DN_E_FORMAT. */
dn_status st_read_f32(const st_file *file, const st_tensor *tensor, float *out, dn_error *error);
dn_status st_read_f64(const st_file *file, const st_tensor *tensor, double *out, dn_error *error);

/* ---- what this library's own files say about themselves (frame.c) ---- */

/* The metadata "differnet.kind". */
#define ST_KIND "differnet.kind"
enum st_kind { ST_UNKNOWN, ST_BACKBONE, ST_FLOW, ST_MODEL, ST_CHECKPOINT, ST_BANK, ST_KINDS };
/* What the file says it is; where it says nothing, a backbone if it holds torchvision's names or a layer list. */
enum st_kind st_kind_of(const st_file *file);
/* DN_E_KIND if it is of another kind than `wanted`: tells which, and what to do. */
dn_status st_check_kind(const st_file *file, enum st_kind wanted, dn_error *error);
/* Tells kind and version of the format, which backbones (0) have none of. */
void st_writer_kind(struct st_writer *writer, enum st_kind kind, int32_t format);

/* Digits only, no sign, blank or overflow; whatever the locale.  base: 10 or 16 (small letters).  False for NULL. */
_Bool st_parse_unsigned(const char *text, unsigned base, uint64_t *value);
/* What a kind of file says about itself. */
typedef struct st_frame {
    int32_t highest;     /* "differnet.format" that is read */
    int32_t summed_from; /* the first one whose header has a checksum */
    const char *advice;  /* what to do with a damaged file ("copy it again") */
} st_frame;

/* The header is as it was written, if it has a checksum ("differnet.header_crc32"): DN_E_FORMAT.  To be called first:
 * what a damaged header says is wrong. */
dn_status st_check_header(const st_file *file, const st_frame *frame, dn_error *error);
/* The metadata "differnet.format" is a number from 1 to frame->highest: else DN_E_FORMAT, above it DN_E_VERSION. */
dn_status st_check_version(const st_file *file, const st_frame *frame, dn_error *error);
_Bool st_version_is(const st_file *file, int32_t version);
/* The header has a checksum where it must.  *crc: the metadata "differnet.crc32"; with `verify` compared with the data.
 * DN_E_FORMAT. */
dn_status st_check_sum(st_file *file, const st_frame *frame, _Bool verify, uint32_t *crc, dn_error *error);

/* ---- writing ---- */

typedef struct st_writer st_writer;

/* Tensors and metadata are added, then written at once.  Tensor data is referenced until then, not copied; names,
 * keys and values are copied.  Errors (memory) are remembered and reported by the write. */
st_writer *st_writer_create(const dn_allocator *allocator); /* NULL: out of memory */
void st_writer_free(st_writer *writer);
void st_writer_metadata(st_writer *writer, const char *key, const char *value);
/* A value that is JSON: is begun with the one, written, and put under a key with the other. */
json_writer *st_writer_json(st_writer *writer);
void st_writer_json_end(st_writer *writer, const char *key);
/* data: native values of `type`.  `stored`: ST_F16 stores ST_F32 data as float16; otherwise equal to `type`. */
void st_writer_tensor(st_writer *writer, const char *name, enum st_type type, enum st_type stored, int32_t rank,
                      const int64_t *shape, const void *data);
/* The crc32 that a save would store: of all tensor bytes as they would be in the file. */
dn_status st_writer_crc32(st_writer *writer, uint32_t *crc, dn_error *error);
/* Adds the metadata keys "differnet.crc32" (8 hex digits, of all tensor bytes as stored) and ST_HEADER_SUM, then
 * writes.  The data starts at a multiple of 64 bytes, with the tensors of the widest type first, else in the order they
 * were added: each is aligned to its type's size.  Saving a float that becomes infinite as float16 is DN_E_NUMERIC. */
dn_status st_writer_save(st_writer *writer, const char *path, dn_error *error); /* atomically */
dn_status st_writer_save_memory(st_writer *writer, dn_blob **out, dn_error *error);

#endif
