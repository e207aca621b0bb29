/* What the parts of a model's file share: writing (model_write.c), the metadata that is read first (model_facts.c), tensors
 * and opening (model_file.c). */
#ifndef DN_DIFFERNET_MODEL_FILE_H
#define DN_DIFFERNET_MODEL_FILE_H

#include "differnet/model.h"

/* "none", ...; "stretch", ...: what DN_COPIES_... and DN_FIT_... are called in files. */
extern const char *const model_copies_names[DN_COPIES_TURN + 1];
extern const char *const model_fit_names[DN_FIT_LETTERBOX + 1];

typedef struct loaded_facts {
    model_facts model;
    int32_t input_size, input_height, scales, storage; /* input_height 0: a square */
} loaded_facts;

/* All that the metadata tell, of a file whose frame was checked. */
dn_status model_facts_read(const st_file *file, loaded_facts *facts, dn_error *error);

#endif
