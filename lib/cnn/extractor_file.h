/* Backbone files. */
#ifndef DN_CNN_EXTRACTOR_FILE_H
#define DN_CNN_EXTRACTOR_FILE_H

#include "base/blob.h"
#include "cnn/extractor.h"

dn_status extractor_open_path(const char *path, const dn_extractor_options *options, dn_extractor **out,
                              dn_error *error);
/* label: what messages call the bytes. */
dn_status extractor_open_memory(const void *bytes, size_t size, const char *label, const dn_extractor_options *options,
                                dn_extractor **out, dn_error *error);
/* storage: DN_STORAGE_... */
dn_status extractor_save(const dn_extractor *extractor, const char *path, int32_t storage, dn_error *error);
dn_status extractor_save_memory(const dn_extractor *extractor, int32_t storage, dn_blob **out, dn_error *error);

#endif
