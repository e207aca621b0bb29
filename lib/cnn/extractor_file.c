#include "cnn/extractor_file.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

#define MAX_FILE ((int64_t)1 << 32) /* bytes; far above any backbone */

dn_status extractor_open_memory(const void *bytes, size_t size, const char *label, const dn_extractor_options *options,
                                dn_extractor **out, dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);
    st_file *file = NULL;

    TRY(st_parse(bytes, size, label, &allocator, &file, error));
    dn_status status = extractor_from_tensors(file, "", options, out, error);
    st_free(file);
    return status;
}

dn_status extractor_open_path(const char *path, const dn_extractor_options *options, dn_extractor **out,
                              dn_error *error)
{
    dn_allocator allocator = mem_allocator(options->allocator);
    uint8_t *bytes = NULL;
    size_t size = 0;

    TRY(file_read(path, MAX_FILE, &allocator, &bytes, &size, error));
    dn_status status = extractor_open_memory(bytes, size, path, options, out, error);
    mem_free(&allocator, bytes);
    return status;
}

/* Saves to `path`, or to *blob if path is NULL. */
static dn_status save(const dn_extractor *extractor, const char *path, int32_t storage, dn_blob **blob, dn_error *error)
{
    enum st_type stored = storage == DN_STORAGE_F16 ? ST_F16 : ST_F32;
    float *scratch = NULL;
    st_writer *writer = st_writer_create(&extractor->allocator);

    if (!writer)
        return fail_memory(error, "the backbone's file");
    st_writer_kind(writer, ST_BACKBONE, 0);
    dn_status status = extractor_to_tensors(extractor, "", stored, writer, &scratch, error);
    for (int32_t i = 0; i < extractor->note_count; i++)
        st_writer_metadata(writer, extractor->notes[i].key, extractor->notes[i].value);
    if (status == DN_OK)
        status = path ? st_writer_save(writer, path, error) : st_writer_save_memory(writer, blob, error);
    st_writer_free(writer);
    mem_free(&extractor->allocator, scratch);
    return status;
}

dn_status extractor_save(const dn_extractor *extractor, const char *path, int32_t storage, dn_error *error)
{
    return save(extractor, path, storage, NULL, error);
}

dn_status extractor_save_memory(const dn_extractor *extractor, int32_t storage, dn_blob **out, dn_error *error)
{
    return save(extractor, NULL, storage, out, error);
}
